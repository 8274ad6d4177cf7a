"""Random walks over the live panel: whatever is pressed in whatever order, all that it says is true after each action.

What it should say is worked out anew here, from the settings and from the steps that were taken.
"""

import asyncio
import html
import random
import re
import shlex
import signal
import threading
from collections.abc import Iterator
from math import ceil
from typing import Any

import pytest
import torch

from invtutor.algorithms import ALGORITHMS
from invtutor.figures import Screen
from invtutor.runs import presets
from invtutor.runs import session as sessions
from invtutor.runs.commands import parse_change, read_recipe
from invtutor.runs.knobs import KNOBS, Change, knobs, sign
from invtutor.runs.presets import PRESETS
from invtutor.runs.recipe import Recipe
from invtutor.runs.session import replay
from invtutor.widgets import Live, live_panel
from invtutor.widgets.live_controls import OWN
from invtutor.worlds import colored_mnist
from invtutor.worlds.digits import Digits

ACTIONS = 300
LEAST = {"samples": 60, "width": 8}  # of the walk's own world, in place of the presets' own


@pytest.fixture
def small(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> Digits:
    """A few digits that pass for MNIST's, so that the presets' hints are in their own world; nothing is painted."""
    monkeypatch.setattr(colored_mnist, "POOL", 4000)  # a smoke profile needs 2,000 each
    monkeypatch.setattr(colored_mnist, "HELD_OUT", 100)
    monkeypatch.setattr(presets, "_LEAST", LEAST)
    monkeypatch.setattr(Screen, "png", lambda self: b"")
    monkeypatch.setattr(live_panel, "SLOWEST", 0.0)
    monkeypatch.setattr(live_panel, "HZ", 1e6)
    train, test = slice(0, 4100), slice(0, 100)
    return Digits(
        "mnist", digits.images[train], digits.labels[train], digits.test_images[test], digits.test_labels[test]
    )


@pytest.fixture
def idle() -> Iterator[None]:
    """Interrupts are ignored, as by a kernel between two cells."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


class Walk:
    """A panel, and what a student does with it at random."""

    def __init__(self, digits: Digits, seed: int):
        self.random, self.digits, self.done = random.Random(seed), digits, list[str]()
        recipe = Recipe.profile(
            "smoke", "irmv1", source="mnist", device="cpu", batch_size=20, steps=12, anneal=4, early_weight=2.0, **LEAST
        )
        self.panel = Live(recipe, data=digits)

    async def act(self) -> None:
        fresh = self.random.random() < 0.15
        action = self.random.choice(
            [self.change_world, self.choose]
            if fresh
            else [
                *(self.turn, self.turn, self.press, self.press, self.press, self.run, self.wait, self.interrupt),
                self.interrupt_a_cell,
            ]
        )
        await action()
        self.done.append(action.__name__)

    # What a student can do

    async def turn(self) -> None:
        name, pictures = self.random.choice([*knobs(self.recipe), "speed"]), self.panel.pictures
        await self.set(name, self.random.choice([value for _, value in self.panel.controls[name].options]))
        while self.panel.playing and self.panel.pictures == pictures:  # the next picture shows it
            await asyncio.sleep(0)

    async def change_world(self) -> None:
        name = self.random.choice(["flip_rate_1", "flip_rate_2", "label_noise", "seed"])
        choices: dict[str, list[Any]] = {"label_noise": [0.0, 0.05, 0.25, 0.25, 0.5], "seed": [0, 1, 2]}
        await self.set(name, self.random.choice(choices.get(name, [0.0, 0.1, 0.2, 0.2, 0.7, 1.0])))

    async def choose(self) -> None:
        methods = [name for name in ALGORITHMS if name != "maple"]  # a step of which trains a network
        name, values = self.random.choice([("preset", [OWN, *PRESETS]), ("method", methods)])
        await self.set(name, self.random.choice(values))

    async def set(self, name: str, value: Any) -> None:
        """As a slider does, sometimes from a thread of its own."""
        self.done.append(f"{name} = {value}")
        if self.random.random() < 0.2:
            thread = threading.Thread(target=setattr, args=(self.panel.controls[name], "value", value))
            thread.start()
            thread.join()
            await asyncio.sleep(0.001)
        else:
            self.panel.controls[name].value = value

    async def press(self) -> None:
        name = self.random.choice(list(self.panel.buttons))
        self.done.append(name)
        self.panel.buttons[name].click()

    async def run(self) -> None:
        self.panel.run(self.random.randint(1, 9))

    async def wait(self) -> None:
        for _ in range(self.random.randint(1, 10)):
            await asyncio.sleep(0)

    async def interrupt(self) -> None:
        await asyncio.sleep(0)
        playing, said = self.panel.playing, self.panel.status_text
        signal.raise_signal(signal.SIGINT)
        while self.panel.playing:
            await asyncio.sleep(0.001)
        assert self.panel.status_text.startswith("Interrupted. ") if playing else self.panel.status_text == said

    async def interrupt_a_cell(self) -> None:
        """In the midst of a step, or of a picture."""
        session, steps = self.session, self.random.randint(0, 3)
        taken, backward, draw = session.taken, session.algorithm.backward, self.panel._drawing.draw

        def interrupted(*arguments: Any) -> Any:
            if session.taken == taken + steps:
                signal.raise_signal(signal.SIGINT)
            return backward(*arguments)

        def half_drawn(*_: Any) -> bytes:
            del self.panel._drawing.draw
            raise KeyboardInterrupt

        inside = self.random.random() < 0.7
        if inside:
            session.algorithm.backward = interrupted
        else:
            self.panel._drawing.draw = half_drawn
        ignored = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with pytest.raises((KeyboardInterrupt, FloatingPointError)) as stopped:
                self.panel.run(steps + self.random.randint(1, 3))
        finally:
            signal.signal(signal.SIGINT, ignored)
            session.algorithm.backward = backward
            self.panel._drawing.draw = draw
        if stopped.type is KeyboardInterrupt and inside:
            assert session.taken == taken + steps + 1, "steps are whole"

    # What must be true

    @property
    def session(self) -> sessions.Session:
        assert self.panel.session is not None
        return self.panel.session

    @property
    def recipe(self) -> Recipe:
        return self.session.recipe

    def check(self) -> None:
        panel, session = self.panel, self.session
        assert panel.error is None or panel.error is session.failure
        assert panel._wanted is None and panel._posts.empty()
        if not panel.playing:
            assert session.history.last["step"] == session.taken, "what is shown is where it stands"
        self.check_status()
        self.check_controls()
        self.check_text()
        self.check_picture()
        self.check_command()

    def check_status(self) -> None:
        panel, taken, steps = self.panel, self.session.taken, self.recipe.steps
        said, _, hint = re.sub("^Interrupted. ", "", panel.status_text).partition("What to look for: ")
        said = said.strip()
        if self.session.failure:
            assert not panel.playing and re.search(f"FloatingPointError: .* Step {taken} was the last", said), said
        elif panel.playing:
            assert said == "Training."
        elif taken == 0:
            assert said == "Ready at step 0."
        elif taken == steps:
            assert said == f"Paused at step {taken}, the recipe's last. Play goes on."
        elif taken % steps == 0:
            assert said == f"Paused at step {taken}, {taken // steps} times the recipe's {steps}. Play goes on."
        else:
            assert said == f"Paused at step {taken}."
        preset = panel.controls["preset"].value
        assert bool(hint) == (preset != OWN and not self.session.failure)
        if preset != OWN:
            assert self.session.start == self.recipe == PRESETS[preset].recipe(self.recipe)
        if not hint:
            return
        if (self.recipe.flip_rates, self.recipe.label_noise) == ((0.1, 0.2), 0.25):
            assert hint == PRESETS[preset].hint
            return
        noise, mean = self.recipe.label_noise, sum(self.recipe.flip_rates) / 2
        color = [f"{100 * (1 - p if mean < 0.5 else p):.3g}" for p in self.rates]
        shape = [f"{100 * (1 - noise):.3g}"]
        said = re.search(r"right on ([^%]+) % from color alone, ([^%]+) % from shape alone, ([^%]+) % from both", hint)
        assert said, hint
        worths = [re.findall(r"[\d.]+", worth) for worth in said.groups()]
        assert worths[1] == shape
        if mean != 0.5:  # else color says nothing, and a tie is broken
            assert worths[0] == (color if len(set(color)) > 1 else color[:1])
        if abs(abs(mean - 0.5) - (0.5 - noise)) > 1e-9:
            best = color if abs(mean - 0.5) > 0.5 - noise else shape
            assert worths[2] == (best if len(set(best)) > 1 else best[:1])

    @property
    def rates(self) -> list[float]:
        return list(dict.fromkeys([*self.recipe.flip_rates, 0.9]))

    def check_controls(self) -> None:
        shown = {name: control.value for name, control in self.panel.controls.items()}
        assert {name: shown[name] for name in knobs(self.recipe)} == knobs(self.recipe)
        assert (shown["flip_rate_1"], shown["flip_rate_2"]) == self.recipe.flip_rates
        assert shown["label_noise"] == self.recipe.label_noise and shown["seed"] == self.recipe.seed
        assert shown["method"] == self.recipe.algorithm
        for name in KNOBS:
            assert (self.panel.controls[name].layout.visibility == "visible") == (name in knobs(self.recipe))

    def check_text(self) -> None:
        text, last, recipe = self.panel.text, self.session.history.last, self.recipe
        step = last["step"]
        assert text.startswith(f"Step {step}, {ALGORITHMS[recipe.algorithm].label}: ")
        for name, value in knobs(recipe).items():
            assert f"{sign(recipe, name)} = {value:,.10g}" in text
        for name, value in last.items():
            if name.startswith(("validation p=", "test p=")):
                assert f"{name} {100 * value:.1f} %" in text
            elif " risk " in name:
                assert f"{name} {value:.3g}" in text
        acts = re.search(r"acts as ([\d.e+]+) (.+?)\)", text)
        weight = knobs(recipe).get("penalty_weight", 0.0)
        full = recipe.anneal + recipe.ramp
        early = recipe.early_weight
        if weight > early and step < recipe.anneal:
            rise = f", then rises until step {full}" if recipe.ramp else ""
            assert acts and acts.groups() == (f"{early:g}", f"until step {recipe.anneal}{rise}"), text
        elif weight > early and step < full:
            assert acts and acts[2] == f"and rises until step {full}", text
            assert float(acts[1]) == pytest.approx(
                early + (weight - early) * (step - recipe.anneal) / recipe.ramp, rel=1e-3
            )
        else:
            assert not acts, text

    def check_picture(self) -> None:
        drawing, last = self.panel._drawing, self.session.history.last
        accuracy, risk, knob, _curve, wall = drawing.figure.axes
        for ax in (accuracy, risk, knob):
            steps = self.recipe.steps
            assert ax.get_xlim() == (0, steps * max(1, ceil(last["step"] / steps)))
        for p in dict.fromkeys(self.recipe.flip_rates):
            for ax, name, style in ((accuracy, "validation p", ".0f"), (risk, "validation risk p", ".2f")):
                names = [n for n in last if n.split(" (")[0] == f"{name}={p:g}"]
                for name in names:
                    value = last[name] * (100 if ax is accuracy else 1)
                    assert any(
                        t.get_text().startswith(f"{name[name.index('p=') :]}: {value:{style}}") for t in ax.texts
                    )
        assert f"test p=0.9: {100 * last['test p=0.9']:.0f} %" in [t.get_text() for t in accuracy.texts]
        acted = self.acted()
        x, y = (list(data) for data in drawing._knob_line.get_data())
        assert drawing._knob_line.get_drawstyle() == "steps-post"
        drawn = [next(v for s, v in reversed(list(zip(x, y, strict=True))) if s <= step) for step in range(len(acted))]
        assert drawn == pytest.approx(acted) and (x[-1:] == [last["step"]] or not acted)
        setting = next(iter(knobs(self.recipe).values()))
        assert [*drawing._level.get_ydata()] == [
            setting
        ] * 2 and drawing._level_text.get_text() == f"set to {setting:,.10g}"
        shown, right = self.session.shown, 0
        for caption, frame, i in zip(wall.texts, wall.patches, range(10), strict=True):
            truth = int(shown.labels[i])
            hit = re.fullmatch(rf"{truth} → (\d)  ([✓✗])", caption.get_text())
            assert hit and (hit[2] == "✓") == (int(hit[1]) == truth)
            right += hit[2] == "✓"
            assert frame.get_visible() == (int(shown["color"][i]) != truth), "a frame is a color against its label"
        assert f"{right} of the 10 digits shown" in self.panel.text

    def acted(self) -> list[float]:
        """What the drawn knob acted as in each step that is drawn."""
        name, recipe, changes = next(iter(knobs(self.recipe))), self.session.start, list(self.session.changes)
        acted = []
        for step in range(int(self.session.history.last["step"])):
            while changes and changes[0].step == step:
                change = changes.pop(0)
                recipe = recipe.but(**{change.name: change.value})
            value = knobs(recipe)[name]
            early = recipe.early_weight
            if name == "penalty_weight" and value > early:
                share = (step - recipe.anneal) / recipe.ramp if recipe.ramp else 1.0
                value = early if step < recipe.anneal else early + (value - early) * min(1.0, share)
            acted.append(value)
        return acted

    def check_command(self, weights: bool = False) -> None:
        panel, session = self.panel, self.session
        if panel.code.value and not panel.playing:
            words, _, note = panel.code.value.partition("<br>")
            assert html.unescape(words) == f"<code>{panel.command()}</code>"
            turned = sum(change.step < session.taken for change in session.changes)
            assert f"knobs {turned} time" in note or (turned == 0 and "No knob was turned" in note)
            assert ("none is taken yet" in note) == (session.taken == 0)
        if not weights or session.taken == 0:
            return
        again = replay(*commanded(panel.command()), data=self.digits)
        assert again.taken == session.taken
        ours, theirs = (each.algorithm.model.state_dict() for each in (session, again))
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def commanded(command: str) -> tuple[Recipe, list[Change]]:
    words = shlex.split(command)
    given = dict(words[i + 1].split("=", 1) for i, word in enumerate(words) if word == "-p")
    changes = [parse_change(word.removeprefix("--steer=")) for word in words if word.startswith("--steer=")]
    return read_recipe(words[2], given), changes


@pytest.mark.parametrize("seed", range(3))
def test_all_that_the_panel_says_is_true_after_every_action(seed: int, small: Digits, idle: None) -> None:
    complaints: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        walk = Walk(small, seed)
        walk.check()
        for number in range(ACTIONS):
            try:
                await walk.act()
                walk.check()
                if number % 20 == 0 and not walk.panel.playing:
                    walk.check_command(weights=True)
                if walk.session.failure:
                    walk.panel.press("reset")
            except BaseException as error:
                raise AssertionError(f"after {number} actions, the last: {', '.join(walk.done[-12:])}") from error
        walk.panel.press("pause")

    asyncio.run(main())
    assert complaints == []
