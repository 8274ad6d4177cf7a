"""The live panel: a training that one steers while it runs.

Model and figure have one owner, the thread of the notebook's cells. There an asyncio task trains in short bursts and
draws in between. Callbacks may come from another thread (JupyterLab serves widgets over kernel subshells): they post
what is wished, and the owner does it.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any
from weakref import WeakValueDictionary

import ipywidgets
from IPython import get_ipython

from invtutor.algorithms import ALGORITHMS, Algorithm
from invtutor.fields import require
from invtutor.figures import Figure
from invtutor.runs.knobs import KNOBS, knobs, switch
from invtutor.runs.presets import PRESETS
from invtutor.runs.recipe import Recipe
from invtutor.runs.session import Session
from invtutor.widgets.live_controls import (
    ALL,
    OWN,
    arranged,
    has_rungs,
    let_show,
    make_controls,
    make_room,
    mirror,
    room_for_words,
    turned,
)
from invtutor.widgets.live_picture import draw, drawing
from invtutor.widgets.live_words import look_for, numbers, spoken_command, state, stopped
from invtutor.widgets.panel import Shown, blank, plain, require_possible
from invtutor.widgets.player import Player

__all__ = ["Live", "live"]

HZ = 8.0  # pictures a second, at most
SLOWEST = 0.18  # seconds between pictures, where drawing them leaves as much time for steps
BURST = 0.02  # seconds of steps before callbacks get their turn
SLOW = 0.5  # seconds; a step that takes longer is worth a word
RECORDS = 50  # of a `run`, at most; ten at least, where it has so many steps

_shown: WeakValueDictionary[str, "Live"] = WeakValueDictionary()  # by the cell that shows it


def live(recipe: Recipe | type[Algorithm], *, data: Any = None, key: str | None = None) -> "Live":
    """A panel in which the recipe is trained while you steer it; `live(MyMethod)` takes the quick recipe of a method.

    Penalty weight, learning rate, annealing and the method's own knob act on the running training; method, flip rates,
    label noise and seed start a fresh run. Without an end to aim at, the learning rate does not decay.

    data: to share with the lesson; None loads what the world is drawn from. key: a panel of the same key is closed
    first; None is the notebook's cell, so that running a cell again leaves one training and not two. Raises ValueError
    as `run.assemble` does.
    """
    if isinstance(recipe, type):
        recipe = Recipe.profile("quick", ALGORITHMS.enroll(recipe))
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


class Live(Shown, Player):
    """What `live` returns.

    controls, buttons: the widgets by name. session: the training (`runs.session.Session`); None after `close`, and
    where a fresh run could not be built. error: of the last attempt; it is shown, and `run`, `set` and `press` raise
    it.

    Call its methods from the thread that made it, as a notebook's cells do.
    """

    instead = "run(steps)"

    def __init__(self, recipe: Recipe, *, data: Any = None):
        super().__init__(
            {
                "play": ("Train until the recipe's last step, and on when pressed again", self._play),
                "pause": ("Stop training; everything stays", self.pause),
                "step": ("Take a single step", self._step),
                "reset": ("Start anew from step 0 with the present settings", self._reset),
                "command": ("Print the command that takes the very same steps", self._tell),
            }
        )
        self.session: Session | None = None
        self._unbuilt: BaseException | None = None  # why there is no session
        self._interrupted = self._told = False  # what the status and the command's line say
        self._slow = ""
        self._data = data
        self._base = recipe.but(decay="constant")
        self._wanted: Recipe | None = self._base  # of the fresh run that is still to be built
        self._posts: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._quiet = False  # controls are set by us and not by the student
        self._since, self._begun, self._cost, self._until = 0, 0.0, 0.0, 0
        self.pictures = 0
        self.controls = make_controls(self._base)
        self.image = blank(900, 600)
        self.status, self.html, self.code = map(room_for_words, (4, 6, 3))
        below = [self.button_row, self.status, self.image, self.html, self.code]
        self.ui = ipywidgets.VBox([*arranged(self.controls, self._base), *below])
        self._fulfill()
        self._tell_state()
        for name, control in self.controls.items():
            control.observe(partial(self._changed, name), names="value")

    @property
    def status_text(self) -> str:
        """What the panel does, and where to look, without markup."""
        return plain(self.status.value)

    # -------------------------------------------------------------------------------------------------- for cells

    def run(self, steps: int) -> None:
        """Take steps now, as Play does but without waiting for anybody, and draw once. Raises what training raises."""
        self._ask(partial(self._take, steps))
        self._raise()

    def set(self, **values: Any) -> None:
        """Set controls, as a student would. Raises ValueError for an unknown name and for a value that the control
        cannot have, and what comes of it."""
        for name in values:
            require("values", name in self.controls, f"values for some of {', '.join(self.controls)}", name)
        self.error = None
        for name, value in values.items():
            self._check(name, value)
            with self._silence():
                make_room(self.controls[name], name, value)
            self.controls[name].value = ALL if value is None else value
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
        self.pause()
        self.session = self._wanted = self._unbuilt = self.error = None
        self._tell_state()
        for widget in _tree(self.ui):
            widget.close()

    # ------------------------------------------------------------------------------------- callbacks, from any thread

    def _changed(self, name: str, change: Any) -> None:
        if not (self._quiet and threading.get_ident() == self._owner):
            self._ask(partial(self._apply, name, change["new"]))

    def _ask(self, action: Callable[[], None]) -> None:
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
            self._mirror()  # what was refused is not set
            if not self.playing:
                self._attempt(self._draw)
        self._tell_state()

    def _attempt(self, action: Callable[[], None]) -> None:
        """Do it. An error stops the training, is shown and kept; an interrupt of the kernel stops it, too."""
        try:
            action()
        except Exception as error:
            self.pause()
            self.error = self.error or error
        except KeyboardInterrupt:
            self._interrupt()
            if self.session is not None:
                self._draw()
            self._tell_state()
            raise

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
        if name in KNOBS:
            wish = f"for knobs of {ALGORITHMS[recipe.algorithm].label}: {', '.join(knobs(recipe))}"
            require("values", name in knobs(recipe), wish, name)
        if has_rungs(control, name):
            turned(recipe, name, value)
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
        else:
            wanted = turned(recipe, name, value)
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
            self._drawing = drawing(session)
        except BaseException as error:  # an interrupt, too
            self._unbuilt = error
            raise
        self._unbuilt, self.session, self._until = None, session, self._base.steps
        self._mirror()
        self._draw()

    def _play(self) -> None:
        session = self._session()
        if session.failure is not None:
            raise session.failure
        if not self.playing:
            self._until = session.recipe.steps * (1 + session.taken // session.recipe.steps)
        self.play()

    def _go_on(self) -> float:
        self._drain()
        if self.playing:
            self._attempt(self._burst)
            self._tell_state()
        return self._rest()

    def _interrupt(self) -> None:
        self.pause()
        self._interrupted = True

    def _step(self) -> None:
        self._take(1)

    def _reset(self) -> None:
        self._wanted = self._present()

    def _tell(self) -> None:
        self._session()
        self._told = True

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
            self.pause()
            self._draw()
        elif age >= max(SLOWEST, 2 * self._cost) or (self._since >= speed and not self._rest()):
            self._draw()

    def _rest(self) -> float:
        """Seconds to wait: none, unless all steps of a picture are taken before the next may be drawn."""
        if not self.playing or self._since < self.controls["speed"].value:
            return 0.0
        return max(0.0, self._begun + max(1 / HZ, 2 * self._cost) - time.perf_counter())

    def _take(self, steps: int) -> None:
        self.pause()
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
        self.image.value = draw(self._drawing, session, shot)
        self.html.value = numbers(session, shot)
        self.code.value = spoken_command(session) if self._told else ""
        self.pictures += 1
        self._since = 0
        self._cost = time.perf_counter() - self._begun

    def _tell_state(self) -> None:
        """What the panel does, and where to look."""
        error = self.error or self._unbuilt or (self.session and self.session.failure)
        words = "Interrupted. " * self._interrupted
        if error:
            words += stopped(error, None if self._unbuilt else self.session)
            if self._unbuilt:
                words += " The picture is that of the run before. Reset tries again."
        elif self.session is None:
            words += "Closed."
        else:
            stands = f"Training.{self._slow}" if self.playing else state(self.session)
            words += f"{stands} {look_for(self.controls['preset'].value, self.session)}"
        self.status.value = f'<div role="status" aria-live="polite">{words.rstrip()}</div>'

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
            let_show(self.controls, **values)

    def _mirror(self) -> None:
        """Let the controls show the run, unless another thread has changed some that were not yet read."""
        if self._posts.empty():
            with self._silence():
                mirror(self.controls, self._session().recipe)


def _tree(widget: Any) -> list[Any]:
    return [widget, *(below for child in getattr(widget, "children", ()) for below in _tree(child))]
