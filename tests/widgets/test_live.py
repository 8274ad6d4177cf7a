"""The live laboratory: a training steered step by step, and the panel around it, driven from Python."""

import asyncio
import gc
import math
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from weakref import ref

import pytest
from jupyter_client.manager import KernelManager

from invtutor import figures
from invtutor.algorithms import ALGORITHMS
from invtutor.runs.budgets import PROFILES
from invtutor.runs.commands import options, parse_change, read_recipe
from invtutor.runs.knobs import KNOBS, Change, knobs, switch
from invtutor.runs.presets import PRESETS, hint
from invtutor.runs.recipe import Recipe
from invtutor.runs.run import run
from invtutor.runs.session import Session, replay
from invtutor.widgets import Live, live, live_panel
from invtutor.worlds.colored_mnist import ColoredWorld
from invtutor.worlds.digits import Digits


def tiny(method: str = "irmv1", **changes: Any) -> Recipe:
    sizes = {"samples": 200, "batch_size": 50, "width": 6, "steps": 12, "anneal": 4, "every": 3, "device": "cpu"}
    return Recipe.profile("smoke", method, **sizes | changes)


def panel(digits: Digits, method: str = "irmv1", **changes: Any) -> Live:
    return live(tiny(method, **changes), data=digits)


# The engine


@pytest.mark.parametrize("decay", ["constant", "cosine"])
@pytest.mark.parametrize("method", ALGORITHMS)
def test_left_alone_a_session_takes_the_steps_of_run(method: str, decay: str, digits: Digits) -> None:
    recipe = tiny(method, decay=decay)
    session = Session(recipe, data=digits)
    for record in run(recipe, data=digits, progress=False).history:
        session.step(int(record["step"]) - session.taken)
        assert record.items() <= session.snapshot().history.last.items()


def test_a_knob_acts_from_the_next_step_on_and_nothing_starts_anew(digits: Digits) -> None:
    session = Session(tiny(penalty_weight=1e3), data=digits)
    alone = Session(tiny(penalty_weight=1e3), data=digits)
    for each in (session, alone):
        each.step(6)
    assert session.snapshot().history.last == alone.snapshot().history.last
    model, before = session.algorithm.model, len(session.history)
    session.steer("penalty_weight", 10.0)
    session.steer("learning_rate", 0.05)
    session.step()
    assert session.taken == 7 and session.algorithm.model is model and len(session.history) == before
    assert session.algorithm.penalty_weight == 10.0
    shot = session.snapshot()
    assert shot.trace.column("penalty_weight") == [1e3, 10.0] and shot.trace.last["learning_rate"] == 0.05
    alone.step()
    assert shot.history.last["test p=0.9"] != alone.snapshot().history.last["test p=0.9"]


@pytest.mark.parametrize(
    ("method", "name", "value"),
    [("and_mask", "threshold", 0.0), ("meta_irm", "inner_rate", 2.0), ("maple", "budget", 0.5)],
)
def test_the_method_s_own_knob_reaches_the_algorithm(method: str, name: str, value: float, digits: Digits) -> None:
    session = Session(tiny(method), data=digits)
    session.step(2)
    session.steer(name, value)
    session.step()
    assert getattr(session.algorithm, name) == value and session.taken == 3


def test_maple_keeps_to_a_budget_that_is_turned_on_the_way(digits: Digits) -> None:
    session = Session(tiny("maple", inner_steps=2), data=digits)
    session.step()
    session.steer("budget", 0.1)
    session.step()
    assert session.algorithm.probabilities.mean() <= 0.1 + 1e-2  # the optimizer's last step is not projected yet


def test_while_annealing_lasts_a_weight_acts_as_one_at_most(digits: Digits) -> None:
    session = Session(tiny(anneal=4), data=digits)
    acted = []
    for weight in (1e4, 0.5, 1e6, 1e6, 1e6):
        session.step()
        acted.append(session.algorithm.penalty_weight)
        session.steer("penalty_weight", weight)
    assert acted == [1.0, 1.0, 0.5, 1.0, 1e6]
    session.steer("anneal", 100)
    session.step()
    assert session.algorithm.penalty_weight == 1.0


def test_before_the_first_step_turning_a_knob_is_another_recipe(digits: Digits) -> None:
    session = Session(tiny(), data=digits)
    session.steer("penalty_weight", 7.0)
    session.steer("anneal", 2)
    session.step(12)
    recipe = tiny(penalty_weight=7.0, anneal=2)
    assert session.changes == [] and session.to_recipe() == recipe
    assert run(recipe, data=digits, progress=False).history.last.items() <= session.snapshot().history.last.items()


def test_only_steps_count_as_turned(digits: Digits) -> None:
    session = Session(tiny(), data=digits)
    session.step(3)
    session.steer("penalty_weight", 1e4)  # where it stands already
    assert session.changes == []
    for weight in (5.0, 6.0, 7.0):
        session.steer("penalty_weight", weight)
    session.steer("learning_rate", 0.01)
    assert session.changes == [Change(3, "penalty_weight", 7.0), Change(3, "learning_rate", 0.01)]


def test_the_command_takes_the_very_steps(digits: Digits) -> None:
    session = Session(tiny(flip_rates=(0.1, 0.3), penalty_weight=91257.18613115903, seed=5), data=digits)
    for count, name, value in ((5, "penalty_weight", 0.0), (1, "learning_rate", 3e-3), (2, "anneal", 0)):
        session.step(count)
        session.steer(name, value)
    session.step(4)
    words = shlex.split(session.command())
    assert words[:3] == ["invtutor", "run", "irmv1"]
    given = dict(words[i + 1].split("=", 1) for i, word in enumerate(words) if word == "-p")
    changes = [parse_change(word.removeprefix("--steer=")) for word in words if word.startswith("--steer=")]
    again = replay(read_recipe("irmv1", given), changes, data=digits)
    assert again.taken == session.taken and again.snapshot().history.last == session.snapshot().history.last
    assert again.command() == session.command()


def test_a_command_that_would_not_be_true_is_refused(digits: Digits) -> None:
    session = Session(tiny(decay="cosine"), data=digits)
    session.step(3)
    with pytest.raises(ValueError, match="`decay` should be constant"):
        session.command()
    session.step(9)
    assert "steps=12" in session.command() and "decay=constant" not in session.command()


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("method", ALGORITHMS)
def test_options_are_read_back(profile: str, method: str) -> None:
    plain = Recipe.profile(profile, method)
    rates = {"flip_rates": (0.25,), "label_noise": (0.1,)}
    if ALGORITHMS[method].least_environments > 1:
        rates = {"flip_rates": (0.25, 1 / 3), "label_noise": (0.1, 0.2)}
    unusual = plain.but(**rates, samples=77, learning_rate=1 / 3, patch=True, seed=9)
    for recipe in (plain, unusual):
        words = options(recipe)
        given = dict(word.split("=", 1) for word in words[1::2])
        assert words[::2] == ["-p"] * len(given)
        assert knobs(read_recipe(method, given)) == knobs(recipe)
        assert read_recipe(method, given).but(hyper={}, every=1) == recipe.but(hyper={}, every=1)
    assert len(options(plain)) <= 2


@pytest.mark.parametrize(
    "text",
    [
        *("penalty_weight=x", "penalty_weight=", "penalty_weight=True", "penalty_weight=nan", "penalty_weight=-1"),
        *("flip_rates=0.1,x", "flip_rates=0.1,2", "seed=1.5", "steps=" + "9" * 400, "rescale=1", "grayscale=maybe"),
        *("threshold=1", "model=1", "algorithm=erm", "hyper=1", "profile=slow", "batch_size=None,", "steps=None"),
        *("width=" + "(" * 300, "source=paper", "learning_rate=1e999"),
    ],
)
def test_wrong_options_are_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        read_recipe("irmv1", dict([text.split("=", 1)]))


@pytest.mark.parametrize("text", ["", "5", "5:seed=1", "x:anneal=1", "-1:anneal=1", "5:penalty_weight", "5:anneal=x"])
def test_wrong_changes_are_one_line(text: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        parse_change(text)


def test_changes_must_come_in_order(digits: Digits) -> None:
    for steps in ((5, 4), (12,)):
        with pytest.raises(ValueError, match="`changes` should be in order"):
            replay(tiny(), [Change(step, "penalty_weight", 1.0) for step in steps], data=digits)


def test_wrong_knobs_are_named(digits: Digits) -> None:
    session = Session(tiny("erm"), data=digits)
    with pytest.raises(ValueError, match=r"`name` should be a knob of ERM: learning_rate\. Found 'penalty_weight'"):
        session.steer("penalty_weight", 1.0)
    with pytest.raises(ValueError, match="`learning_rate`"):
        session.steer("learning_rate", -1.0)
    assert session.recipe.learning_rate == tiny("erm").learning_rate


def test_a_training_that_failed_stays_failed(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    session = Session(tiny(), data=digits)
    session.step(2)
    monkeypatch.setattr(type(session.algorithm), "backward", lambda *_: {"risk": math.inf})
    for _ in range(2):
        with pytest.raises(FloatingPointError, match="step 2"):
            session.step()
    assert session.taken == 2 and session.snapshot().step == 2


@pytest.mark.parametrize("changes", [{"classes": 5}, {"patch": True}, {"grayscale": True}, {"label_noise": (0.1, 0.4)}])
def test_other_worlds(changes: dict[str, Any], digits: Digits) -> None:
    session = Session(tiny("erm", **changes), data=digits)
    session.step(2)
    shot = session.snapshot()
    assert shot.curve([0.9]) == pytest.approx([shot.history.last["test p=0.9"]])
    assert math.isfinite(shot.trace.last["test risk p=0.9"]) and len(shot.predicted) == len(session.shown)
    made = panel(digits, "erm", **changes)
    made.run(2)
    assert made.text.startswith("Step 2, ERM")


# The panel


def png(made: Live) -> bytes:
    data = bytes(made.image.value)
    assert data.startswith(b"\x89PNG")
    return data


@pytest.mark.parametrize("name", ["penalty_weight", "learning_rate", "anneal"])
def test_live_knobs_do_not_reset(name: str, digits: Digits) -> None:
    made = panel(digits)
    made.run(6)
    before, session = (png(made), made.text), made.session
    made.controls[name].index += 1  # as an arrow key does
    assert made.session is session and session.taken == 6
    assert knobs(session.recipe)[name] == made.controls[name].value
    assert (png(made), made.text)[1] != before[1]
    made.run(1)
    assert session.taken == 7 and png(made) != before[0] and made.error is None


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("flip_rate_1", 0.3, "flip_rates"),
        ("label_noise", 0.1, "label_noise"),
        ("seed", 4, "seed"),
        ("method", "vrex", "algorithm"),
        ("preset", "no annealing", "anneal"),
    ],
)
def test_a_fresh_run_starts_where_the_world_or_the_method_changes(
    name: str, value: Any, field: str, digits: Digits
) -> None:
    made = panel(digits)
    made.run(5)
    before, session = png(made), made.session
    made.controls[name].value = value
    assert made.session is not session and made.session.taken == 0 and made.text.startswith("Step 0")
    assert getattr(made.session.recipe, field) != getattr(session.recipe, field)
    assert png(made) != before
    fresh = live(made.session.recipe, data=digits)
    for each in (made, fresh):
        each.run(5)
    assert made.text == fresh.text and png(made) == png(fresh)


def test_run_is_the_recipe_s_own_history(digits: Digits) -> None:
    made = panel(digits)
    made.run(12)
    assert run(tiny(), data=digits, progress=False).history.last.items() <= made.session.history.last.items()
    assert made.to_recipe() == tiny()
    made.press("command")
    assert shlex.join(["invtutor", "run", "irmv1"]) in made.code.value and "No knob was turned" in made.code.value
    made.set(penalty_weight=2.5)  # not on the ladder
    made.press("step")
    made.press("command")
    assert "--steer=12:penalty_weight=2.5" in made.code.value and "1 time on the way" in made.code.value


def test_reset_keeps_the_settings(digits: Digits) -> None:
    made = panel(digits)
    start = png(made), made.text
    made.run(4)
    made.press("reset")
    assert (png(made), made.text) == start
    made.run(4)
    made.set(penalty_weight=50.0)
    made.press("reset")
    assert made.session.taken == 0 and made.session.start.hyper["penalty_weight"] == 50.0
    assert made.session.changes == []


def test_every_method_has_its_own_controls(digits: Digits) -> None:
    made = panel(digits, "erm")
    for method in ALGORITHMS:
        made.set(method=method)
        made.run(1)
        names = set(knobs(made.session.recipe))
        for name in KNOBS:
            layout = made.controls[name].layout
            assert (layout.visibility == "visible" and layout.display == "") == (name in names)
        assert made.error is None and ALGORITHMS[method].label in made.text
    made.set(method="vrex")
    assert made.controls["penalty_weight"].description == "Penalty weight β" and "β = 10,000" in made.text


def test_the_numbers_stand_below_the_picture(digits: Digits) -> None:
    made = panel(digits)
    made.run(2)
    last = made.session.history.last
    for name, value in last.items():
        if name.startswith(("validation p", "test p")):
            assert f"{name} {100 * value:.1f} %" in made.text
    assert "(λ acts as 1 until step 4)" in made.text and "test risk p=0.9" in made.text
    right = int((made.session.snapshot().predicted == made.session.shown.labels).sum())
    assert f"{right} of the 10 digits shown" in made.text
    made.run(6)
    assert "acts as" not in made.text
    assert repr(made).endswith(made.text) and "[Preset, Method" in repr(made)


def test_nothing_jumps_and_every_control_is_named(digits: Digits) -> None:
    made = panel(digits)
    sizes = {png(made)[16:24]}
    for steps in (1, 30):
        made.run(steps)
        sizes.add(png(made)[16:24])
    assert sizes == {(900).to_bytes(4, "big") + (600).to_bytes(4, "big")}
    assert (made.image.width, made.image.height) == ("900", "600")
    for widget in (*made.controls.values(), *made.buttons.values()):
        assert widget.description
    for text in (made.status, made.html, made.code):
        assert text.layout.min_height
    assert 'role="status"' in made.status.value


def test_errors_are_shown_and_kept_and_a_fresh_run_recovers(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    made = panel(digits)
    made.run(2)
    with monkeypatch.context() as patch:
        patch.setattr(ALGORITHMS["irmv1"], "backward", lambda *_: {"risk": math.nan})
        with pytest.raises(FloatingPointError, match="risk is nan at step 2"):
            made.run(3)
        assert isinstance(made.error, FloatingPointError) and "FloatingPointError" in made.status.value
        with pytest.raises(FloatingPointError):
            made.press("step")
    made.press("reset")
    assert made.error is None and "Error" not in made.status.value
    made.run(2)
    with pytest.raises(ValueError, match="`values` should be values for some of preset"):
        made.set(steps=3)
    with pytest.raises(ValueError, match="`name` should be one of play"):
        made.press("stop")


def test_a_fresh_run_that_cannot_be_built_says_so(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise MemoryError("no room for another world")

    made = panel(digits)
    with monkeypatch.context() as patch:
        patch.setattr("invtutor.runs.session.assemble", full)
        with pytest.raises(MemoryError):
            made.set(seed=3)
    assert made.session is None and "Stopped by an error. MemoryError: no room" in made.status.value
    with pytest.raises(RuntimeError, match="could not be built"):
        made.to_recipe()
    made.set(label_noise=0.1)  # what was wished before is not forgotten
    assert made.error is None and (made.session.recipe.seed, made.session.recipe.label_noise) == (3, 0.1)


def test_two_panels_do_not_know_each_other(digits: Digits) -> None:
    first, second = panel(digits), panel(digits, "vrex", seed=1)
    first.run(5)
    shown = png(first), first.text
    second.run(7)
    second.set(penalty_weight=0.0)
    assert (png(first), first.text) == shown and first.session.taken == 5
    first.run(7)
    alone = panel(digits)
    alone.run(5)
    alone.run(7)
    assert first.text == alone.text


def test_the_picture_is_the_panel_s_figure_with_everything_on_it(digits: Digits) -> None:
    made = panel(digits)
    before = figures.png(made.picture())
    made.run(5)
    assert figures.png(made.picture()) != before


def test_no_label_reaches_into_the_plot_below(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    made = panel(digits)
    made.run(3)
    made.session.history.last["validation risk p=0.1"] = 0.01  # close to the floor of a high axis
    made.session.history.last["validation risk p=0.2"] = 0.02
    made.session.trace.last["test risk p=0.9"] = 0.03
    made.session.history.records[0]["validation risk p=0.1"] = 30.0
    made._draw()
    figure = made.picture()
    risks = figure.axes[1]
    floor = risks.get_window_extent().y0
    words = [text for text in risks.texts if "p=" in text.get_text()]
    assert len(words) == 3
    assert all(text.get_window_extent(figure.canvas.get_renderer()).y0 > floor - 3 for text in words)


def test_no_label_reaches_into_the_plot_beside(digits: Digits) -> None:
    made = panel(digits, steps=3)
    made.run(3)  # the lines fill their plot, their labels stand behind it
    made.session.history.last["test p=0.9"] = 1.0  # the widest number
    made._draw()
    figure = made.picture()
    renderer = figure.canvas.get_renderer()
    accuracies, *_, curve, _ = figure.axes
    (widest,) = (text for text in accuracies.texts if "100 %" in text.get_text())
    assert widest.get_window_extent(renderer).x1 < curve.yaxis.label.get_window_extent(renderer).x0


def test_without_a_loop_play_says_what_to_do(digits: Digits) -> None:
    made = panel(digits)
    with pytest.raises(RuntimeError, match=r"use run\(steps\)"):
        made.press("play")
    assert not made.playing


# While it plays


def playing(work: Callable[[], Any]) -> None:
    """Run a coroutine as a notebook's loop would, and see that it leaves no task and no thread."""
    threads = threading.active_count()

    async def main() -> None:
        await work()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert threading.active_count() == threads


async def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def test_play_trains_and_draws_until_pause(digits: Digits) -> None:
    async def work() -> None:
        made = panel(digits, steps=100_000)
        made.press("play")
        assert made.playing and "Training" in made.status.value
        await until(lambda: made.pictures > 4)
        seen = png(made)
        made.press("pause")
        steps = made.session.taken
        assert steps > 4 and f"Paused at step {steps}" in made.status.value and f"Step {steps}," in made.text
        assert png(made) != seen or made._since == 0
        await asyncio.sleep(0.05)
        assert made.session.taken == steps and not made.playing
        # Bursts and pictures leave no trace in the numbers.
        alone = panel(digits, steps=100_000)
        alone.run(steps)
        assert alone.session.history.last == made.session.history.last

    playing(work)


def test_play_stops_at_the_recipe_s_last_step_and_goes_on_when_pressed_again(digits: Digits) -> None:
    async def work() -> None:
        made = panel(digits)
        for last, which in ((12, "the recipe's last"), (24, "2 times the recipe's 12")):
            made.press("play")
            made.press("play")  # twice is once
            await until(lambda: not made.playing)
            assert made.session.taken == last and made.status_text == f"Paused at step {last}, {which}. Play goes on."

    playing(work)


def test_knobs_turned_while_it_plays_act_within_two_pictures(digits: Digits) -> None:
    async def work() -> None:
        made = panel(digits, steps=100_000, anneal=0)
        made.press("play")
        await until(lambda: made.session.taken > 5)
        session, pictures = made.session, made.pictures
        made.set(penalty_weight=5.0)
        await until(lambda: made.pictures == pictures + 2)
        assert made.session is session and session.algorithm.penalty_weight == 5.0 and "λ = 5," in made.text
        assert session.trace.last["penalty_weight"] == 5.0
        made.set(flip_rate_2=0.5)  # a fresh run, which plays on
        assert made.session is not session and made.playing
        await until(lambda: made.session.taken > 3)
        made.press("pause")

    playing(work)


def test_speed_is_the_steps_of_a_picture(digits: Digits) -> None:
    async def work() -> None:
        made = panel(digits, steps=8)
        made.set(speed=1)
        made.press("play")
        await until(lambda: not made.playing)
        assert made.session.history.column("step") == list(range(9))

    playing(work)


def test_a_slow_step_is_worth_a_word(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        monkeypatch.setattr(live_panel, "SLOW", 0.0)
        made = panel(digits, steps=100_000)
        monkeypatch.setattr(live_panel, "BURST", 1e-9)
        made.press("play")
        await until(lambda: "One step of IRMv1 takes" in made.status.value)
        made.press("pause")

    playing(work)


def test_callbacks_of_other_threads_only_post(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    actors = []
    for name in ("step", "steer", "snapshot", "__init__"):
        real = getattr(Session, name)

        def watched(*args: Any, real: Any = real, **options: Any) -> Any:
            actors.append(threading.current_thread())
            return real(*args, **options)

        monkeypatch.setattr(Session, name, watched)

    async def work() -> None:
        made = panel(digits, steps=100_000)
        weights = [value for _, value in made.controls["penalty_weight"].options if 0 < value <= 1000.0]

        def student() -> None:
            made.buttons["play"].click()
            for i, weight in enumerate(weights):
                made.controls["penalty_weight"].value = weight
                made.controls["flip_rate_1"].value = i / 20
                time.sleep(0.01)
            made.buttons["pause"].click()

        thread = threading.Thread(target=student)
        thread.start()
        await until(lambda: not (thread.is_alive() or made.playing))
        thread.join()
        assert made.error is None
        rate = (len(weights) - 1) / 20
        assert made.controls["flip_rate_1"].value == rate == made.session.recipe.flip_rates[0]
        assert made.controls["penalty_weight"].value == weights[-1] == knobs(made.session.recipe)["penalty_weight"]
        made.run(3)

    playing(work)
    assert set(actors) == {threading.main_thread()}


def test_an_error_while_it_plays_is_shown(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        made = panel(digits, steps=100_000)
        made.press("play")
        await until(lambda: made.session.taken > 3)
        with monkeypatch.context() as patch:
            patch.setattr(ALGORITHMS["irmv1"], "backward", lambda *_: {"risk": math.inf})
            await until(lambda: made.error is not None)
        assert not made.playing and re.search(r"FloatingPointError: .+risk is inf at step \d+", made.status.value)

    playing(work)


def test_run_of_a_cell_waits_for_nobody_and_ends_play(digits: Digits) -> None:
    async def work() -> None:
        made = panel(digits, steps=100_000)
        made.press("play")
        before = made.session.taken
        made.run(7)
        assert made.session.taken == before + 7 and not made.playing
        await asyncio.sleep(0.02)
        assert made.session.taken == before + 7

    playing(work)


def test_a_cell_that_runs_again_leaves_one_training(digits: Digits) -> None:
    async def work() -> None:
        first = live(tiny(steps=100_000), data=digits, key="cell")
        other = live(tiny(steps=100_000), data=digits, key="another cell")
        first.press("play")
        other.press("play")
        await until(lambda: first.session.taken > 2)
        second = live(tiny(), data=digits, key="cell")
        assert not first.playing and first.session is None and other.playing
        assert second.session.taken == 0
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 2  # this one, and the other cell's
        other.close()
        second.close()

    playing(work)


def test_a_cancelled_task_is_a_pause(digits: Digits) -> None:
    async def work() -> None:
        made = panel(digits, steps=100_000)
        made.press("play")
        await until(lambda: made.session.taken > 2)
        (task,) = asyncio.all_tasks() - {asyncio.current_task()}
        task.cancel()
        await until(lambda: not made.playing)
        made.run(1)

    playing(work)


def test_a_closed_panel_lets_go(digits: Digits) -> None:
    made = panel(digits)
    made.run(1)
    session = ref(made.session)
    made.close()
    gc.collect()
    assert session() is None
    with pytest.raises(RuntimeError, match="closed"):
        made.run(1)


def test_no_pyplot(digits: Digits) -> None:
    code = "import sys, invtutor.widgets.live_panel; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_preset_chosen_while_it_plays_plays_to_its_own_end(digits: Digits) -> None:
    async def work() -> None:
        made = panel(digits, "erm", samples=60, width=4, steps=10_000)
        made.press("play")
        await until(lambda: made.session.taken > 2)
        made.set(preset="IRMv1 leaves the color", speed=100)
        made.session.step(200 - made.session.taken)  # beyond ERM's end, so that the test is short
        await until(lambda: not made.playing)
        assert made.session.taken == made.session.recipe.steps == 400
        assert made.status_text.startswith("Paused at step 400, the recipe's last.")
        assert made.picture().axes[0].get_xlim() == (0, 400)

    playing(work)


def test_the_switch_is_drawn_where_annealing_ends(digits: Digits) -> None:
    made = panel(digits, steps=40, anneal=17, penalty_weight=100.0)
    made.run(40)  # records lie at 4, 8, ..., 16, 20
    assert made.session.acted["penalty_weight"] == [(0, 1.0), (17, 100.0)]
    x, y = made._drawing._knob_line.get_data()
    assert (list(x), list(y)) == ([0, 17, 40], [1.0, 100.0, 100.0])
    made.set(anneal=60)
    made.run(5)
    assert made.session.acted["penalty_weight"][2:] == [(40, 1.0)]


def test_a_command_tells_no_knob_that_no_step_has_felt(digits: Digits) -> None:
    session = Session(tiny(), data=digits)
    session.step(3)
    session.steer("penalty_weight", 5.0)
    session.steer("learning_rate", 0.01)
    session.steer("penalty_weight", 1e4)  # back
    assert session.changes == [Change(3, "learning_rate", 0.01)] and "--steer" not in session.command()
    session.step()
    assert session.command().endswith("--steer=3:learning_rate=0.01")


def test_what_a_control_cannot_be_is_refused_and_nothing_changes(digits: Digits) -> None:
    made = panel(digits)
    made.run(2)
    shown = made.text, made.status.value, {name: control.value for name, control in made.controls.items()}
    for wrong in (
        *({"penalty_weight": -1.0}, {"penalty_weight": "much"}, {"anneal": 2.5}, {"seed": -1}, {"threshold": 0.5}),
        *({"flip_rate_1": 1.5}, {"label_noise": 0.6}, {"method": "irm"}, {"preset": "IRM"}, {"speed": 7}),
    ):
        with pytest.raises(ValueError, match="Parameter `"):
            made.set(**wrong)
        assert shown == (
            *(made.text, made.status.value),
            {name: control.value for name, control in made.controls.items()},
        )
    made.set(penalty_weight=3e7)  # beyond the slider's own end
    assert "λ = 30,000,000" in made.text and made.picture().axes[2].get_ylim()[1] > 3e7


def test_the_knob_of_a_preset_is_the_preset_no_more(digits: Digits) -> None:
    made = panel(digits)
    made.set(preset="λ too small")
    assert "What to look for" in made.status_text
    made.run(1)
    made.set(penalty_weight=1e4)
    assert made.controls["preset"].value == "your own" and "What to look for" not in made.status_text


# Interrupts


def ignored(work: Callable[[], Any]) -> None:
    """As `playing`, with interrupts ignored between two cells, as a kernel does."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        playing(work)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupt_pauses_what_plays_and_says_so(digits: Digits) -> None:
    async def work() -> None:
        first, second = (panel(digits, steps=100_000) for _ in range(2))
        for made in (first, second):
            made.press("play")
            await until(lambda made=made: made.session.taken > 2)
        signal.raise_signal(signal.SIGINT)
        await until(lambda: not first.playing and not second.playing)
        for made in (first, second):
            steps = made.session.taken
            assert made.status_text == f"Interrupted. Paused at step {steps}." and f"Step {steps}," in made.text
        first.press("play")
        await until(lambda: first.session.taken > steps)
        assert first.status_text == "Training."
        first.press("pause")

    ignored(work)


def test_an_interrupt_that_a_cell_shares_pauses_too(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # as while a cell runs
        made = panel(digits, steps=100_000)
        backward = made.session.algorithm.backward

        def interrupted(*arguments: Any) -> Any:
            if made.session.taken == 5:
                signal.raise_signal(signal.SIGINT)
            return backward(*arguments)

        monkeypatch.setattr(made.session.algorithm, "backward", interrupted)
        made.press("play")
        await until(lambda: not made.playing)
        assert made.session.taken == 6 and made.status_text == "Interrupted. Paused at step 6."
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    ignored(work)


def test_in_a_kernel_an_interrupt_pauses() -> None:
    code = """
from invtutor.runs.recipe import Recipe
from invtutor.widgets import live
made = live(Recipe.profile("smoke", "erm", source="rendered", samples=60, width=4, batch_size=10, steps=1_000_000))
made.press("play")
"""
    folder = tempfile.TemporaryDirectory()  # a short path: a socket's has room for some 100 characters
    manager = KernelManager(kernel_name="python3", transport="ipc", ip=f"{folder.name}/kernel")
    manager.start_kernel()
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=120)
        assert client.execute_interactive(code, timeout=120)["content"]["status"] == "ok"
        said: list[str] = []

        def state() -> str:
            reply = client.execute("", user_expressions={"said": "made.status_text"}, reply=True, timeout=120)
            return reply["content"]["user_expressions"]["said"]["data"]["text/plain"]

        deadline = time.monotonic() + 120
        while "Interrupted. Paused at step" not in (state() if said else "") and time.monotonic() < deadline:
            said.append("asked")
            time.sleep(0.3)  # no cell runs: here the training does
            manager.interrupt_kernel()
            time.sleep(0.5)
        assert "Interrupted. Paused at step" in state()
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        folder.cleanup()


# Presets


def lesson_world(**changes: Any) -> Session:
    """A session that has the recipe's words and no digits: hints need no more."""
    recipe = PRESETS["ERM takes the color"].recipe(Recipe.profile("quick", **{"samples": 5000} | changes))
    noise = (recipe.label_noise,) * len(recipe.flip_rates)
    canvas = SimpleNamespace(patch_draws=None, classes=recipe.classes)
    world = ColoredWorld((), (), canvas, recipe.flip_rates, noise, recipe.grayscale)
    source = "rendered" if recipe.source == "rendered" else "mnist"
    return SimpleNamespace(recipe=recipe, world=world, data=SimpleNamespace(source=source))


def test_a_hint_tells_what_was_seen_where_it_was_seen() -> None:
    for changes in ({}, {"samples": None}, {"width": 390, "seed": 7}):
        for name, preset in PRESETS.items():
            assert hint(name, lesson_world(**changes)) == preset.hint
    for changes in ({"samples": 4999}, {"width": 32}, {"source": "rendered"}):
        words = hint("ERM takes the color", lesson_world(**changes))
        assert words.startswith("its name tells what was seen with flip rates 0.1 and 0.2, label noise 0.25, 5,000 or")
        assert "Here, at p = 0.1, 0.2 and 0.9, the rule that is best in training is right on 90, 80 and 10 %" in words


@pytest.mark.parametrize(
    ("changes", "worths"),
    [
        ({"label_noise": 0.05}, "90, 80 and 10 % from color alone, 95 % from shape alone, 95 % from both"),
        ({"label_noise": 0.4}, "90, 80 and 10 % from color alone, 60 % from shape alone, 90, 80 and 10 % from both"),
        ({"flip_rates": (0.9, 0.9)}, "90 % from color alone, 75 % from shape alone, 90 % from both"),
        ({"label_noise": 0.05, "grayscale": True}, "95 % without color"),
    ],
)
def test_elsewhere_a_hint_tells_what_the_clues_are_worth(changes: dict[str, Any], worths: str) -> None:
    for name in PRESETS:
        assert hint(name, lesson_world(**changes)).endswith(f"is right on {worths}.")


def test_presets_keep_the_world_and_the_sizes() -> None:
    base = tiny("vrex", flip_rates=(0.1, 0.3), seed=3)
    for preset in PRESETS.values():
        recipe = preset.recipe(base)
        assert (recipe.flip_rates, recipe.seed, recipe.width, recipe.samples) == ((0.1, 0.3), 3, 6, 200)
        assert recipe.algorithm == preset.method and preset.hint
    assert switch(base, "irmv1").hyper == Recipe.profile("quick", "irmv1").hyper


OUTCOMES: dict[str, tuple[int, Callable[[float, float], bool]]] = {  # steps; accuracies at p = 0.1 and 0.9
    "ERM takes the color": (40, lambda seen, reversed: 0.87 < seen < 0.93 and 0.07 < reversed < 0.15),
    "IRMv1 leaves the color": (400, lambda seen, reversed: reversed > 0.6 and seen < 0.7),
    "λ too small": (400, lambda seen, reversed: seen > 0.8 and reversed < 0.3),
    "λ too large: collapse to 50 %": (100, lambda seen, reversed: 0.4 < seen < 0.6 and 0.4 < reversed < 0.6),
    "no annealing": (100, lambda seen, reversed: 0.4 < seen < 0.6 and 0.4 < reversed < 0.6),
    "α too large: inverted": (137, lambda seen, reversed: 0.07 < seen < 0.15 and 0.85 < reversed < 0.93),
    "AND-mask where it cannot help": (40, lambda seen, reversed: seen > 0.87 and 0.07 < reversed < 0.13),
}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_do_what_their_names_say(name: str, mnist: Digits) -> None:
    base = Recipe.profile("quick", source="mnist", device="cpu", samples=5000, width=64)
    made = live(base, data=mnist)
    made.set(preset=name, speed=100)
    assert made.status_text == f"Ready at step 0. What to look for: {PRESETS[name].hint}"
    steps, holds = OUTCOMES[name]
    made.run(steps)
    last = made.session.history.last
    assert holds(last["test p=0.1"], last["test p=0.9"]), made.text
