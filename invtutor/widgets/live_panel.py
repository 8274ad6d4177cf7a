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
from queue import SimpleQueue
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import ipywidgets
from IPython import get_ipython

from invtutor.algorithms import ALGORITHMS
from invtutor.figures import Figure
from invtutor.figures.live import RATES, LivePicture
from invtutor.runs.recipe import Recipe, label, limits
from invtutor.runs.session import KNOBS, PRESETS, Session, Snapshot, hint, knobs, sign, switch
from invtutor.widgets.interrupts import listen, players
from invtutor.widgets.panel import Shown, blank, plain, require_possible
from invtutor.worlds.colored_mnist import OOD_RATE, ColoredWorld

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


def live(recipe: Recipe, *, data: Any = None, key: str | None = None) -> "Live":
    """A panel in which the recipe is trained while you steer it.

    Penalty weight, learning rate, annealing and the method's own knob act on the running training; method, flip rates,
    label noise and seed start a fresh run. Without an end to aim at, the learning rate does not decay.

    data: to share with the lesson; None loads what the world is drawn from. key: a panel of the same key is closed
    first; None is the notebook's cell, so that running a cell again leaves one training and not two. Raises ValueError
    as `run.assemble` does.
    """
    key = key or _cell()
    older = _shown.pop(key, None) if key else None
    if older is not None:
        older.close()
    panel = Live(recipe, data=data)
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

    controls, buttons: the widgets by name. session: the training (`runs.session.Session`); None after `close`, and
    where a fresh run could not be built. error: of the last attempt; it is shown, and `run`, `set` and `press` raise
    it.

    Call its methods from the thread that made it, as a notebook's cells do.
    """

    def __init__(self, recipe: Recipe, *, data: Any = None):
        self.error: Exception | None = None
        self.session: Session | None = None
        self.playing = False
        self._unbuilt: BaseException | None = None  # why there is no session
        self._interrupted = self._told = False  # what the status and the command's line say
        self._slow = ""
        self._data = data
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
        self.image = blank(900, 600)
        self.status, self.html, self.code = map(_words, (4, 6, 3))
        self.ui = _arrange(self)
        self._fulfill()
        self._tell_state()
        for name, control in self.controls.items():
            control.observe(partial(self._changed, name), names="value")
        for name, button in self.buttons.items():
            button.on_click(partial(self._clicked, name))

    @property
    def status_text(self) -> str:
        """What the panel does, and where to look, without markup."""
        return plain(self.status.value)

    # -------------------------------------------------------------------------------------------------- for cells

    def run(self, steps: int) -> None:
        """Take steps now, as Play does but without waiting for anybody, and draw once. Raises what training raises."""
        self._post(partial(self._take, steps))
        self._raise()

    def set(self, **values: Any) -> None:
        """Set controls, as a student would. Raises ValueError for an unknown name and for a value that the control
        cannot have, and what comes of it."""
        for name in values:
            if name not in self.controls:
                raise ValueError(f"Parameter `values` should name some of {', '.join(self.controls)}. Found {name!r}.")
        self.error = None
        for name, value in values.items():
            self._check(name, value)
            if name in LADDERS:
                with self._silence():
                    _offer(self.controls[name], value)
            self.controls[name].value = value
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
        self._pause()
        self.session = self._wanted = self._unbuilt = self.error = None
        self._tell_state()
        for widget in _tree(self.ui):
            widget.close()

    # ------------------------------------------------------------------------------------- callbacks, from any thread

    def _changed(self, name: str, change: Any) -> None:
        if not (self._quiet and threading.get_ident() == self._owner):
            self._post(partial(self._apply, name, change["new"]))

    def _clicked(self, name: str, button: Any = None) -> None:
        self._post(BUTTONS[name].action.__get__(self))

    def interrupted(self) -> None:
        """`interrupts.Player`"""
        self._posts.put(self._interrupt)

    def _post(self, action: Callable[[], None]) -> None:
        self._posts.put(action)
        if threading.get_ident() == self._owner:
            self._drain()
        elif self._loop is not None:
            self._loop.call_soon_threadsafe(self._drain)

    # ------------------------------------------------------------------------------------------ the owner's own work

    def _drain(self) -> None:
        """Do what was posted. However many changes ask for a fresh run, it is built once."""
        actions = []
        while not self._posts.empty():
            actions.append(self._posts.get_nowait())
        if not actions and self._wanted is None:
            return
        self.error, self._interrupted = None, False
        for action in actions:
            self._attempt(action)
        if self._wanted is not None:
            self._attempt(self._fulfill)
        elif self.session is not None:
            if self.error is not None:
                self._mirror()  # what was refused is not set
            if not self.playing:
                self._attempt(self._draw)
        self._tell_state()

    def _attempt(self, action: Callable[[], None]) -> None:
        """Do it. An error stops the training, is shown and kept; an interrupt of the kernel stops it, too."""
        try:
            action()
        except Exception as error:
            self._pause()
            self.error = self.error or error
        except KeyboardInterrupt:
            self._interrupt()
            if self.session is not None:
                self._draw()
            self._tell_state()
            raise

    def _raise(self) -> None:
        if self.error is not None:
            raise self.error

    def _session(self) -> Session:
        if self.session is None:
            raise RuntimeError("The panel is closed, or its last run could not be built.")
        return self.session

    def _present(self) -> Recipe:
        """What the controls show, or will show in a moment."""
        return self._wanted or (self.session.recipe if self.session else self._base)

    def _check(self, name: str, value: Any) -> None:
        """Raise ValueError for what a control cannot be set to."""
        control, recipe = self.controls[name], self._present()
        if name in KNOBS and name not in knobs(recipe):
            wish = f"a knob of {ALGORITHMS[recipe.algorithm].label}: {', '.join(knobs(recipe))}"
            raise ValueError(f"Parameter `values` should name {wish}. Found {name!r}.")
        if name in LADDERS:
            recipe.but(**{name: value})
        else:
            require_possible(name, control, value)

    def _apply(self, name: str, value: Any) -> None:
        if name == "speed":
            return  # it is read where it is needed
        recipe = self._present()
        if name in KNOBS and self._wanted is None and self.session is not None:
            self.session.steer(name, value)
            if self.session.recipe != recipe:
                self._show(preset=OWN)
            return
        if name == "preset":
            self._show(preset=value)  # another change, posted before this one, may have taken it back
            wanted = recipe if value == OWN else PRESETS[value].recipe(recipe)
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
        self.session, self._told, self._slow = None, False, ""
        try:
            session = Session(self._base, data=self._data)
            self._drawing = _drawing(session)
        except BaseException as error:  # an interrupt, too
            self._unbuilt = error
            raise
        self._unbuilt, self.session, self._until = None, session, self._base.steps
        self._mirror()
        self._draw()

    def _play(self) -> None:
        session = self._session()
        if self._loop is None:
            raise RuntimeError("Play needs the event loop of a notebook. Here, use run(steps).")
        if self.playing:
            return
        if session.failure is not None:
            raise session.failure
        self.playing = True
        self._until = session.recipe.steps * (1 + session.taken // session.recipe.steps)
        self._task = self._loop.create_task(self._train())
        players.add(self)

    def _pause(self) -> None:
        self.playing = False
        players.discard(self)
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    def _interrupt(self) -> None:
        self._pause()
        self._interrupted = True

    def _step(self) -> None:
        self._take(1)

    def _reset(self) -> None:
        self._wanted = self._present()

    def _tell(self) -> None:
        self._session()
        self._told = True

    async def _train(self) -> None:
        try:
            while self.playing:
                listen()
                self._drain()
                if self.playing:
                    self._attempt(self._burst)
                    self._tell_state()
                await asyncio.sleep(self._rest())
        except KeyboardInterrupt:  # the loop must not end by it
            self._interrupt()
        finally:
            if self._task is asyncio.current_task():  # cancelled by somebody else
                self._pause()
                self._attempt(self._draw)
            self._tell_state()
            listen()

    def _burst(self) -> None:
        """Steps for a short while, and a picture where one is due."""
        session, speed, start = self._session(), self.controls["speed"].value, time.perf_counter()
        before, spent = session.taken, 0.0
        while self._since < speed and session.taken < self._until and spent < BURST:
            session.step()
            self._since += 1
            spent = time.perf_counter() - start
        if spent > SLOW and session.taken == before + 1:  # all that a student presses waits as long
            self._slow = f" One step of {session.algorithm} takes {spent:.1f} s."
        age = time.perf_counter() - self._begun
        if session.taken >= self._until:
            self._pause()
            self._draw()
        elif age >= max(SLOWEST, 2 * self._cost) or (self._since >= speed and not self._rest()):
            self._draw()

    def _rest(self) -> float:
        """Seconds to wait: none, unless all steps of a picture are taken before the next may be drawn."""
        if not self.playing or self._since < self.controls["speed"].value:
            return 0.0
        return max(0.0, self._begun + max(1 / HZ, 2 * self._cost) - time.perf_counter())

    def _take(self, steps: int) -> None:
        self._pause()
        session = self._session()
        each = max(1, min(self.controls["speed"].value, steps // 10), -(-steps // RECORDS))
        while steps > 0:
            session.step(min(each, steps))
            steps -= each
            session.snapshot()

    def _draw(self) -> None:
        session = self._session()
        self._begun = time.perf_counter()
        shot = session.snapshot()
        own = knobs(session.recipe)
        ends = [*session.recipe.flip_rates, OOD_RATE]
        self.image.value = self._drawing.draw(
            shot.history,
            shot.trace,
            shot.acted[_main_knob(session.recipe)],
            shot.curve(RATES),
            shot.curve(ends),
            shot.predicted.tolist(),
            own.pop(_main_knob(session.recipe)),
            _standing(session.recipe, own),
        )
        self.html.value = _numbers(session, shot)
        self.code.value = self._spoken_command() if self._told else ""
        self.pictures += 1
        self._since = 0
        self._cost = time.perf_counter() - self._begun

    def _spoken_command(self) -> str:
        session = self._session()
        turned = sum(change.step < session.taken for change in session.changes)
        note = (
            f"It turns knobs {turned} time{'s' * (turned > 1)} on the way, as you did."
            if turned
            else "No knob was turned on the way."
        )
        which = "Takes these very steps." if session.taken else "Takes the first step, since none is taken yet."
        return f"<code>{html.escape(self.command())}</code><br>{which} {note}"

    def _tell_state(self) -> None:
        """What the panel does, and where to look."""
        error = self.error or self._unbuilt or (self.session and self.session.failure)
        words = "Interrupted. " * self._interrupted
        if error:
            told = html.escape(f"{type(error).__name__}: {error}".rstrip(": "))
            words += f"<b>Stopped by an error. {told}</b>"
            if self._unbuilt:
                words += " The picture is that of the run before. Reset tries again."
            elif self.session and self.session.failure:
                words += f" Step {self.session.taken} was the last. Reset starts anew."
        elif self.session is None:
            words = "Closed."
        else:
            words += f"{self._state(self.session)} {self._hint(self.session)}"
        self.status.value = f'<div role="status" aria-live="polite">{words.rstrip()}</div>'

    def _state(self, session: Session) -> str:
        taken, steps = session.taken, session.recipe.steps
        if self.playing:
            return f"Training.{self._slow}"
        if taken == 0:
            return "Ready at step 0."
        if taken % steps:
            return f"Paused at step {taken}."
        times = "the recipe's last" if taken == steps else f"{taken // steps} times the recipe's {steps}"
        return f"Paused at step {taken}, {times}. Play goes on."

    def _hint(self, session: Session) -> str:
        preset = self.controls["preset"].value
        return f"<b>What to look for:</b> {html.escape(hint(preset, session))}" if preset in PRESETS else ""

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
        with self._silence():
            for name in own:  # on their ladders, the values that the method can have
                within, control = limits(name, recipe), self.controls[name]
                values = [value for value in LADDERS[name] if value in within]
                offered = [value for _, value in control.options]
                if not set(values) <= set(offered) or any(value not in within for value in offered):
                    control.options = [(_number(value), value) for value in values]
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
    assert isinstance(world, ColoredWorld)
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
        label=sign(recipe, knob),
        scale=None if knob in LINEAR else (ladder[0], ladder[-1]),
        shown=session.shown,
        steps=recipe.steps,
    )


def _numbers(session: Session, shot: Snapshot) -> str:
    """The text twin of the picture."""
    recipe, last, trace = session.recipe, shot.history.last, shot.trace.last
    accuracies = ", ".join(
        f"{name} {100 * value:.1f} %" for name, value in last.items() if name.startswith(("validation p=", "test p="))
    )
    risks = {name: value for name, value in (last | trace).items() if " risk " in name}
    others = {name: last[name] for name in ("risk", "penalty", "kept") if name in last}
    spoken = ", ".join(f"{name} {value:.3g}" for name, value in (others | risks).items())
    standing = _standing(recipe, knobs(recipe)) + _annealing(session)
    right = int((shot.predicted == session.shown.labels.cpu()).sum())
    return (
        f"<b>Step {shot.step}, {html.escape(str(session.algorithm))}</b>: {standing}.<br>"
        f"Accuracy: {accuracies}; {right} of the {len(session.shown)} digits shown.<br>Risks in nats: {spoken}."
    )


def _annealing(session: Session) -> str:
    """How the penalty weight acts from here on, where that is not what it is set to."""
    recipe, name = session.recipe, "penalty_weight"
    if name not in knobs(recipe) or session.acting(name) == knobs(recipe)[name]:
        return ""
    full = recipe.anneal + recipe.ramp
    rise = f", then rises until step {full}" * (recipe.ramp > 0)
    when = f"until step {recipe.anneal}{rise}" if session.taken < recipe.anneal else f"and rises until step {full}"
    return f" ({sign(recipe, name)} acts as {session.acting(name):.4g} {when})"


def _standing(recipe: Recipe, values: Mapping[str, float]) -> str:
    return ", ".join(f"{sign(recipe, name)} = {_number(value)}" for name, value in values.items())


def _number(value: float) -> str:
    return f"{value:,.10g}"


def _offer(slider: Any, value: float) -> None:
    """Make room on a ladder for a value of its own."""
    if value not in [option for _, option in slider.options]:
        values = sorted({value, *(option for _, option in slider.options)})
        slider.options = [(_number(option), option) for option in values]


def _words(lines: int) -> Any:
    """Room for so many lines of text, as many as it takes on a page 800 pixels wide: nothing jumps."""
    return ipywidgets.HTML(layout=ipywidgets.Layout(min_height=f"{28 * lines}px", max_width="900px"))


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
        "preset": ipywidgets.Dropdown(
            options=[OWN, *PRESETS],
            description="Preset",
            style={"description_width": "122px"},
            layout={"width": "98%", "max_width": "440px"},  # its names are long
        ),
        "method": ipywidgets.Dropdown(
            options=[(label(method), method) for method in ALGORITHMS],
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
    fresh = ["method", *rates, "label_noise", "seed"]
    steering = [name for name in panel.controls if name not in (*fresh, "preset")]
    buttons = ipywidgets.HBox(list(panel.buttons.values()), layout={"flex_flow": "row wrap"})
    return ipywidgets.VBox(
        [
            ipywidgets.HTML("<b>A fresh run</b> starts when one of these is changed:"),
            panel.controls["preset"],
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
