"""The live panel: a training that one steers while it runs.

Model and figure have one owner, the thread of the notebook's cells. There an asyncio task trains in short bursts and
draws in between. Callbacks may come from another thread (JupyterLab serves widgets over kernel subshells): they post
what is wished, and the owner does it.
"""

import asyncio
import html
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import ipywidgets
from IPython import get_ipython

from invtutor.digits import Digits
from invtutor.figures import Figure
from invtutor.figures.live import RATES, LivePicture
from invtutor.live import KNOBS, OOD_RATE, PRESETS, Session, Snapshot, knobs, sign, switch
from invtutor.recipes import ALGORITHMS, Recipe
from invtutor.widgets.panel import Shown, blank

__all__ = ["Live", "live"]

HZ = 8.0  # pictures a second, at most
SLOWEST = 0.18  # seconds between pictures, where drawing them leaves as much time for steps
BURST = 0.02  # seconds of steps before callbacks get their turn
SLOW = 0.5  # seconds; a step that takes longer is worth a word
SPEEDS = (1, 5, 20, 100)
RECORDS = 50  # of a `run`, at most; ten at least, where it has so many steps
OWN = "your own"

_ONE_TWO_FIVE = [round(digit * 10.0**power, 9) for power in range(-5, 8) for digit in (1, 2, 5)]


def _ladder(low: float, high: float, *, zero: bool) -> list[float]:
    return [0.0] * zero + [value for value in _ONE_TWO_FIVE if low <= value <= high]


LADDERS: Mapping[str, list[float]] = {
    "penalty_weight": _ladder(1.0, 1e7, zero=True),
    "learning_rate": _ladder(1e-5, 1e-1, zero=False),
    "inner_rate": _ladder(0.01, 10.0, zero=True),
    "step_size": _ladder(0.001, 1.0, zero=True),
    "threshold": [i / 20 for i in range(21)],
    "budget": [i / 20 for i in range(1, 21)],
    "anneal": list(range(0, 501, 25)),
    "seed": list(range(10)),
}
WORDS = {
    "penalty_weight": "Penalty weight",
    "learning_rate": "Learning rate",
    "inner_rate": "Inner rate",
    "step_size": "Step size",
    "threshold": "Threshold",
    "budget": "Budget",
    "anneal": "Anneal until step",
    "seed": "Seed",
}
SIGNED = set(KNOBS) - {"learning_rate", "anneal"}  # whose signs are not words
LINEAR = ("threshold", "budget")  # all others have a logarithmic axis
PLACES = (("penalty_weight", "budget"), ("threshold", "inner_rate", "step_size"))  # a method has one of each at most

_shown: WeakValueDictionary[str, "Live"] = WeakValueDictionary()  # by the cell that shows it


def live(recipe: Recipe, *, digits: Digits | None = None, key: str | None = None) -> "Live":
    """A panel in which the recipe is trained while you steer it.

    Penalty weight, learning rate, annealing and the method's own knob act on the running training; method, flip rates,
    label noise and seed start a fresh run. Without an end to aim at, the learning rate does not decay.

    digits: to share with the lesson; None loads those of `recipe.source`. key: a panel of the same key is closed first;
    None is the notebook's cell, so that running a cell again leaves one training and not two. Raises ValueError as
    `recipes.build` does.
    """
    key = key or _cell()
    older = _shown.pop(key, None) if key else None
    if older is not None:
        older.close()
    panel = Live(recipe, digits=digits)
    if key:
        _shown[key] = panel
    return panel


def _cell() -> str | None:
    """The id of the notebook cell that is running, where the notebook's program tells it."""
    shell = get_ipython()
    parent: Any = shell.get_parent() if hasattr(shell, "get_parent") else None
    return parent["metadata"].get("cellId") if parent else None


class Live(Shown):
    """What `live` returns.

    controls, buttons: the widgets by name. session: the training (`invtutor.live.Session`); None after `close`, and
    where a fresh run could not be built. error: of the last attempt; it is shown, and `run`, `set` and `press` raise
    it.

    Call its methods from the thread that made it, as a notebook's cells do.
    """

    def __init__(self, recipe: Recipe, *, digits: Digits | None = None):
        self.error: Exception | None = None
        self.session: Session | None = None
        self.playing = False
        self._digits = digits
        self._base = recipe.but(decay="constant")
        self._wanted: Recipe | None = self._base  # of the fresh run that is still to be built
        self._posts: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._owner = threading.get_ident()
        self._quiet = False  # controls are set by us and not by the student
        self._task: asyncio.Task[None] | None = None
        self._since, self._begun, self._cost, self._until = 0, 0.0, 0.0, 0
        self.pictures = 0
        self._loop = _running_loop()
        self.controls = _controls(self._base)
        self.buttons = {
            name: ipywidgets.Button(description=button.description, tooltip=button.tooltip, layout={"width": "110px"})
            for name, button in BUTTONS.items()
        }
        self.image = blank(900, 560)
        wide = {"max_width": "900px"}
        self.status = ipywidgets.HTML(layout=ipywidgets.Layout(min_height="3.2em", **wide))
        self.html = ipywidgets.HTML(layout=ipywidgets.Layout(min_height="8em", **wide))
        self.code = ipywidgets.HTML(layout=ipywidgets.Layout(min_height="5em", **wide))
        self.ui = _arrange(self)
        self._fulfill()
        self._raise()
        for name, control in self.controls.items():
            control.observe(partial(self._changed, name), names="value")
        for name, button in self.buttons.items():
            button.on_click(partial(self._clicked, name))

    # -------------------------------------------------------------------------------------------------- for cells

    def run(self, steps: int) -> None:
        """Take steps now, as Play does but without waiting for anybody, and draw once. Raises what training raises."""
        self._pause()
        self._drain()
        self._attempt(partial(self._take, steps))
        self._raise()

    def set(self, **values: Any) -> None:
        """Set controls, as a student would. Raises ValueError for an unknown name, and what comes of it."""
        for name in values:
            if name not in self.controls:
                raise ValueError(f"Parameter `values` should name some of {', '.join(self.controls)}. Found {name!r}.")
        for name, value in values.items():
            control = self.controls[name]
            if name in LADDERS:
                with self._silence():
                    _offer(control, value)
            control.value = value
        self._drain()
        self._raise()

    def press(self, name: str) -> None:
        """Press a button by its name. Raises ValueError for an unknown name, and what comes of it."""
        if name not in self.buttons:
            raise ValueError(f"Parameter `name` should be one of {', '.join(self.buttons)}. Found {name!r}.")
        self.buttons[name].click()
        self._raise()

    def to_recipe(self) -> Recipe:
        """The recipe whose run ends where the panel stands, unless knobs were turned on the way (`session.changes`)."""
        return self._session().to_recipe()

    def picture(self) -> Figure:
        """The present figure, to be shown as a static picture beside the panel."""
        return self._drawing.figure

    def command(self) -> str:
        """The command that takes the very steps that the panel took, turned knobs included."""
        return self._session().command()

    def close(self) -> None:
        """Stop, let go of model and data, and take the widgets away."""
        self._pause("Closed.")
        self.session = self._wanted = None
        for widget in _tree(self.ui):
            widget.close()

    # ------------------------------------------------------------------------------------- callbacks, from any thread

    def _changed(self, name: str, change: Any) -> None:
        if not (self._quiet and threading.get_ident() == self._owner):
            self._post(partial(self._apply, name, change["new"]))

    def _clicked(self, name: str, button: Any = None) -> None:
        self._post(BUTTONS[name].action.__get__(self))

    def _post(self, action: Callable[[], None]) -> None:
        self._posts.put(action)
        if threading.get_ident() == self._owner:
            self._drain()
        elif self._loop is not None:
            self._loop.call_soon_threadsafe(self._drain)

    # ------------------------------------------------------------------------------------------ the owner's own work

    def _drain(self) -> None:
        """Do what was posted. However many changes ask for a fresh run, it is built once."""
        done = 0
        while True:
            try:
                action = self._posts.get_nowait()
            except Empty:
                break
            self._attempt(action)
            done += 1
        if self._wanted is not None:
            self._attempt(self._fulfill)
        elif done and not self.playing and self.session is not None and self.error is None:
            self._attempt(self._draw)

    def _attempt(self, action: Callable[[], None]) -> None:
        """Do it. An error stops the training, is shown and kept."""
        try:
            action()
        except Exception as error:
            self._pause()
            self.error = error
            words = html.escape(f"{type(error).__name__}: {error}")
            self._say(f"<b>Stopped by an error. {words}</b>")

    def _raise(self) -> None:
        if self.error is not None:
            raise self.error

    def _session(self) -> Session:
        if self.session is None:
            raise RuntimeError("The panel is closed, or its last run could not be built.")
        return self.session

    def _apply(self, name: str, value: Any) -> None:
        if name == "speed":
            return  # it is read where it is needed
        recipe = self._wanted or (self.session.recipe if self.session else self._base)
        if name in KNOBS and self._wanted is None and self.session is not None:
            self.session.steer(name, value)
            return
        if name == "preset":
            wanted = recipe if value == OWN else PRESETS[value].recipe(self._base)
        elif name == "method":
            wanted = switch(recipe, value)
        elif name.startswith("flip_rate_"):
            rates = list(recipe.flip_rates)
            rates[int(name.removeprefix("flip_rate_")) - 1] = value
            wanted = recipe.but(flip_rates=tuple(rates))
        else:
            wanted = recipe.but(**{name: value})
        if name != "preset" and wanted != recipe:
            self._show(preset=OWN)
        if wanted != recipe or value in PRESETS:
            self._wanted = wanted

    def _fulfill(self) -> None:
        """Start the fresh run that was wished for. The old one goes first: two worlds need twice the memory."""
        assert self._wanted is not None
        self._base, self._wanted = self._wanted, None
        self.session = self.error = None
        session = Session(self._base, digits=self._digits)
        self._drawing = _drawing(session)
        self.session = session
        self._mirror()
        self._draw()
        if not self.playing:
            self._say(f"Ready at step 0. {self._hint()}")

    def _play(self) -> None:
        session = self._session()
        if self._loop is None:
            raise RuntimeError("Play needs the event loop of a notebook. Here, use run(steps).")
        if self.playing:
            return
        self.error = None
        self.playing = True
        self._until = session.recipe.steps * (1 + session.taken // session.recipe.steps)
        self._task = self._loop.create_task(self._train())
        self._say(f"Training. {self._hint()}")

    def _pause(self, words: str = "") -> None:
        was, self.playing = self.playing, False
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
        if was and self.session is not None:
            self._say(words or f"Paused at step {self.session.taken}.")

    def _step(self) -> None:
        self._pause()
        self._take(1)

    def _reset(self) -> None:
        self._wanted = self._wanted or (self.session.recipe if self.session else self._base)

    def _tell(self) -> None:
        turned = len(self._session().changes)
        note = (
            f"It turns knobs {turned} time{'s' * (turned > 1)} on the way, as you did."
            if turned
            else "No knob was turned on the way."
        )
        self.code.value = f"<code>{html.escape(self.command())}</code><br>Takes these very steps. {note}"

    async def _train(self) -> None:
        try:
            while self.playing:
                self._drain()
                if self.playing:
                    self._attempt(self._burst)
                await asyncio.sleep(self._rest())
        finally:
            if self._task is asyncio.current_task():  # cancelled by somebody else
                self.playing, self._task = False, None

    def _burst(self) -> None:
        """Steps for a short while, and a picture where one is due."""
        session, speed, start = self._session(), self.controls["speed"].value, time.perf_counter()
        before, spent = session.taken, 0.0
        while self._since < speed and session.taken < self._until and spent < BURST:
            session.step()
            self._since += 1
            spent = time.perf_counter() - start
        if spent > SLOW and session.taken == before + 1:  # all that a student presses waits as long
            self._say(f"Training. One step of {session.algorithm} takes {spent:.1f} s. {self._hint()}")
        age = time.perf_counter() - self._begun
        if session.taken >= self._until:
            self._draw()
            self._pause(f"Paused at step {session.taken}, the recipe's last. Play goes on.")
        elif age >= max(SLOWEST, 2 * self._cost) or (self._since >= speed and not self._rest()):
            self._draw()

    def _rest(self) -> float:
        """Seconds to wait: none, unless all steps of a picture are taken before the next may be drawn."""
        if not self.playing or self._since < self.controls["speed"].value:
            return 0.0
        return max(0.0, self._begun + max(1 / HZ, 2 * self._cost) - time.perf_counter())

    def _take(self, steps: int) -> None:
        session = self._session()
        each = max(1, min(self.controls["speed"].value, steps // 10), -(-steps // RECORDS))
        while steps > 0:
            session.step(min(each, steps))
            steps -= each
            session.snapshot()
        self._draw()
        self._say(f"Paused at step {session.taken}.")

    def _draw(self) -> None:
        session = self._session()
        self._begun = time.perf_counter()
        shot = session.snapshot()
        own = knobs(session.recipe)
        ends = [environment.flip_rate for environment in session.world.train] + [OOD_RATE]
        self.image.value = self._drawing.draw(
            shot.history,
            shot.trace,
            shot.curve(RATES),
            shot.curve(ends),
            shot.predicted.tolist(),
            own.pop(_main_knob(session.recipe)),
            _standing(session.recipe, own) + f"   ≤ {self.controls['speed'].value} steps a picture",
        )
        self.html.value = _numbers(session, shot)
        self.pictures += 1
        self._since = 0
        self._cost = time.perf_counter() - self._begun

    def _say(self, words: str) -> None:
        self.status.value = f'<div role="status" aria-live="polite">{words}</div>'

    def _hint(self) -> str:
        preset = PRESETS.get(self.controls["preset"].value)
        return f"<b>What to look for:</b> {html.escape(preset.hint)}" if preset else ""

    @contextmanager
    def _silence(self) -> Iterator[None]:
        """Set controls without taking it for the student's doing."""
        self._quiet = True
        try:
            yield
        finally:
            self._quiet = False

    def _show(self, **values: Any) -> None:
        with self._silence():
            for name, value in values.items():
                if name in LADDERS:
                    _offer(self.controls[name], value)
                self.controls[name].value = value

    def _mirror(self) -> None:
        """Let the controls show the recipe; those that its method has not are hidden, their place stays."""
        recipe = self._session().recipe
        own = knobs(recipe)
        rates = {f"flip_rate_{i}": rate for i, rate in enumerate(recipe.flip_rates, start=1)}
        noise = {} if isinstance(recipe.label_noise, tuple) else {"label_noise": recipe.label_noise}
        self._show(**own, **rates, **noise, method=recipe.algorithm, seed=recipe.seed)
        for name in own:
            self.controls[name].description = f"{WORDS[name]} {sign(recipe, name)}" if name in SIGNED else WORDS[name]
        away = {name for place in PLACES for name in place if name != next((n for n in place if n in own), place[0])}
        for name in KNOBS:
            layout = self.controls[name].layout
            layout.visibility, layout.order = ("visible", "0") if name in own else ("hidden", "1")
            layout.display = "none" if name in away else ""


class _Button(NamedTuple):
    description: str
    tooltip: str
    action: Callable[[Live], None]


BUTTONS: Mapping[str, _Button] = {
    "play": _Button("Play", "Train until the recipe's last step, and on when pressed again", Live._play),
    "pause": _Button("Pause", "Stop training; everything stays", Live._pause),
    "step": _Button("Step", "Take a single step", Live._step),
    "reset": _Button("Reset", "Start anew from step 0 with the present settings", Live._reset),
    "command": _Button("Command", "Print the command that takes the very same steps", Live._tell),
}


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _main_knob(recipe: Recipe) -> str:
    """The knob whose history is drawn."""
    return next(iter(knobs(recipe)))  # in the order of KNOBS


def _drawing(session: Session) -> LivePicture:
    recipe, world = session.recipe, session.world
    knob = _main_knob(recipe)
    ladder = [value for value in LADDERS[knob] if value > 0]
    names = {f"p={e.name.partition('p=')[2]}": e.name for e in world.validation}
    ood = f"p={OOD_RATE:g}"
    return LivePicture(
        names | {f"test {ood}": f"test {ood}"},
        {label: name.replace("validation", "validation risk") for label, name in names.items()}
        | {f"test {ood}": f"test risk {ood}"},
        flip_rates=[*recipe.flip_rates, OOD_RATE],
        train_rates=recipe.flip_rates,
        ceiling=world.bayes("invariant").accuracy(OOD_RATE),
        chance=1 / world.classes,
        knob=knob,
        label=sign(recipe, knob),
        scale=None if knob in LINEAR else (ladder[0], ladder[-1]),
        shown=session.shown,
        steps=recipe.steps,
    )


def _numbers(session: Session, shot: Snapshot) -> str:
    """The text twin of the picture."""
    recipe, last, trace = session.recipe, shot.history.last, shot.trace.last
    acts = {"penalty_weight": trace.get("penalty_weight")}.items() - knobs(recipe).items()
    acting = "".join(
        f" ({sign(recipe, name)} acts as {value:g} while annealing)" for name, value in acts if value is not None
    )
    accuracies = ", ".join(
        f"{name} {100 * value:.1f} %" for name, value in last.items() if name.startswith(("validation p=", "test p="))
    )
    risks = {name: value for name, value in (last | trace).items() if " risk " in name}
    others = {name: last[name] for name in ("risk", "penalty", "kept") if name in last}
    spoken = ", ".join(f"{name} {value:.3g}" for name, value in (others | risks).items())
    standing = _standing(recipe, knobs(recipe)) + acting
    right = int((shot.predicted == session.shown.labels.cpu()).sum())
    return (
        f"<b>Step {shot.step}, {html.escape(str(session.algorithm))}</b>: {standing}.<br>"
        f"Accuracy: {accuracies}; {right} of the {len(session.shown)} digits shown.<br>Risks in nats: {spoken}."
    )


def _standing(recipe: Recipe, values: Mapping[str, float]) -> str:
    return ", ".join(f"{sign(recipe, name)} = {_number(value)}" for name, value in values.items())


def _number(value: float) -> str:
    return f"{value:,.10g}"


def _offer(slider: Any, value: float) -> None:
    """Make room on a ladder for a value of its own."""
    if value not in [option for _, option in slider.options]:
        values = sorted({value, *(option for _, option in slider.options)})
        slider.options = [(_number(option), option) for option in values]


def _wide() -> dict[str, Any]:
    return {"layout": {"width": "98%"}, "style": {"description_width": "122px"}}


def _controls(recipe: Recipe) -> dict[str, Any]:
    def ladder(name: str, *, continuous_update: bool = True) -> Any:
        return ipywidgets.SelectionSlider(
            options=[(_number(value), value) for value in LADDERS[name]],
            description=WORDS[name],
            continuous_update=continuous_update,
            **_wide(),
        )

    def chance(description: str, value: float, most: float) -> Any:
        return ipywidgets.FloatSlider(
            value=value,
            min=0.0,
            max=most,
            step=0.05,
            description=description,
            readout_format=".2f",
            continuous_update=False,  # each change trains anew
            **_wide(),
        )

    noise = recipe.label_noise
    return {
        "preset": ipywidgets.Dropdown(options=[OWN, *PRESETS], description="Preset", **_wide()),
        "method": ipywidgets.Dropdown(
            options=[(method.label, name) for name, method in ALGORITHMS.items()],
            value=recipe.algorithm,
            description="Method",
            **_wide(),
        ),
        **{name: ladder(name) for name in KNOBS},
        **{
            f"flip_rate_{i}": chance(f"Flip rate p_e, {i}", rate, 1.0)
            for i, rate in enumerate(recipe.flip_rates, start=1)
        },
        "label_noise": chance("Label noise", sum(noise) / len(noise) if isinstance(noise, tuple) else noise, 0.5),
        "seed": ladder("seed", continuous_update=False),
        "speed": ipywidgets.SelectionSlider(
            options=[(str(steps), steps) for steps in SPEEDS],
            value=20,
            description="Steps per picture",
            **_wide(),
        ),
    }


def _arrange(panel: Live) -> Any:
    """As many columns as the width allows, and fixed heights."""

    def grid(names: Sequence[str]) -> Any:
        layout = {"grid_template_columns": "repeat(auto-fill, minmax(270px, 1fr))", "max_width": "900px"}
        return ipywidgets.GridBox([panel.controls[name] for name in names], layout=layout)

    rates = [name for name in panel.controls if name.startswith("flip_rate_")]
    fresh = ["preset", "method", *rates, "label_noise", "seed"]
    steering = [name for name in panel.controls if name not in fresh]
    buttons = ipywidgets.HBox(list(panel.buttons.values()), layout={"flex_flow": "row wrap"})
    return ipywidgets.VBox(
        [
            ipywidgets.HTML("<b>A fresh run</b> starts when one of these is changed:"),
            grid(fresh),
            ipywidgets.HTML("<b>The running training</b> follows these:"),
            grid(steering),
            buttons,
            panel.status,
            panel.image,
            panel.html,
            panel.code,
        ]
    )


def _tree(widget: Any) -> list[Any]:
    return [widget, *(below for child in getattr(widget, "children", ()) for below in _tree(child))]
