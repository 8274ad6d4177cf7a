"""A training that is steered while it runs: the engine of the live panel. It knows no widgets and no pictures."""

import json
import os
import shlex
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from invtutor.algorithms import ALGORITHMS, Algorithm
from invtutor.algorithms.algorithm import Metrics
from invtutor.files import finite, is_sealed, sealed, workplace, write_atomically
from invtutor.runs.commands import options, text_of
from invtutor.runs.history import GLOSSARY, History
from invtutor.runs.knobs import Change, knobs, require_knob
from invtutor.runs.loop import require_finite
from invtutor.runs.recipe import Recipe, find_device
from invtutor.runs.run import assemble, schedules, stage
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import accuracy_curve

__all__ = ["Session", "Snapshot", "execute", "replay"]

SHOWN = 10  # test digits whose predictions a snapshot holds


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A session at one step, as plain values.

    history: the names of `history.GLOSSARY`. trace: a record for each of history's with the knobs as they acted in the
    last step, and `World.outside`. acted: `Session.acted`. corners: `World.corners`. predicted: classes (n,)
    of the session's `shown` samples. watched: the names of what the world measured.
    """

    step: int
    history: History
    trace: History
    acted: Mapping[str, Sequence[tuple[int, float]]]
    corners: Tensor | None
    predicted: Tensor
    watched: tuple[str, ...]

    @property
    def accuracies(self) -> list[str]:
        """The names of the accuracies among what the world measures."""
        return [name for name in self.watched if "risk" not in name.split()]

    @property
    def risks(self) -> list[str]:
        """The names of the risks that the world measures, those of the trace among them."""
        return [name for name in (*self.watched, *self.trace.records[0]) if "risk" in name.split()]

    def curve(self, flip_rates: Sequence[float]) -> list[float]:
        """Expected test accuracy at each flip rate; none in a world without a curve."""
        return [] if self.corners is None else accuracy_curve(self.corners, flip_rates)


class Session:
    """A recipe under training, step by step, whose knobs can be turned on the way.

    data: to use in place of what the world's setting loads. Left alone it takes the very steps of `run.run`. It may go
    on beyond the recipe's last step. Raises ValueError as `run.assemble` does.

    acted: for each knob, anneal aside, how many steps had been taken when it began to act with another value, and that
    value. failure: what ended the training for good, if anything did.
    """

    def __init__(self, recipe: Recipe, *, data: Any = None):
        self.start = recipe  # as it was when the first step was taken
        self.recipe = recipe  # with the knobs where they stand
        self._stepped = recipe  # as it was when the last step was taken
        self.changes: list[Change] = []
        self.taken = 0
        self.history, self.trace = History(), History()
        self._assembly = assemble(recipe, data)
        self.algorithm, self.world, self.data = self._assembly.algorithm, self._assembly.world, self._assembly.data
        self._kept: list[float] = []  # the most that a mask let pass
        self.acted: dict[str, list[tuple[int, float]]] = {name: [] for name in knobs(recipe) if name != "anneal"}
        self._plan()
        acting = {name: partial(self._acting, name) for name in self.acted}
        self._steps = self._assembly.steps(acting, lambda step: stage(self.recipe, step))
        self._metrics: Metrics = {}
        self._snapshot: Snapshot | None = None
        self.failure: Exception | None = None
        self.shown: Environment = self.world.shown(SHOWN)

    def steer(self, name: str, value: float) -> None:
        """Turn a knob. It acts from the next step on, through the recipe's schedules: while annealing lasts, a penalty
        weight acts as `early_weight` at most. Before the first step this is another recipe; later it is kept in
        `changes`.

        Raises ValueError for a name that is no knob of the method, and for a value that its recipe refuses.
        """
        require_knob(self.recipe, name)
        changed = self.recipe.but(**{name: value})
        if knobs(changed)[name] == knobs(self.recipe)[name]:
            return
        self.recipe = changed
        if self.taken == 0:
            self.start = changed
        else:  # no step was taken with what was set since the last
            self.changes = [change for change in self.changes if change[:2] != (self.taken, name)]
            if knobs(self._stepped)[name] != knobs(changed)[name]:
                self.changes.append(Change(self.taken, name, knobs(changed)[name]))
        self._plan()

    def acting(self, name: str) -> float:
        """What a knob, anneal aside, will act as in the next step."""
        return self._acting(name, self.taken)

    def step(self, count: int = 1) -> None:
        """Take optimizer steps. Raises FloatingPointError as `training` does, now and whenever it is asked again."""
        for _ in range(count):
            if self.failure is not None:
                raise self.failure
            _uninterrupted(self._step)

    def _step(self) -> None:
        try:
            self._metrics = next(self._steps)
        except Exception as error:  # the generator has ended with it
            self.failure = error
            raise
        for name, values in self.acted.items():
            if not values or values[-1][1] != self._metrics[name]:
                values.append((self.taken, self._metrics[name]))
        self.taken += 1
        if "kept" in self._metrics:
            self._kept = [max([self._metrics["kept"], *self._kept])]
        self._stepped = self.recipe

    def snapshot(self) -> Snapshot:
        """Judge the model as it stands, and record it; twice at one step, it is recorded once."""
        if self._snapshot is None or self._snapshot.step != self.taken:
            self._snapshot = self._judge()
        return self._snapshot

    def note(self) -> str:
        """What kept it from learning, in a sentence; empty where nothing did, or no step was taken."""
        return self._assembly.note(self._kept) if self.taken else ""

    def to_recipe(self) -> Recipe:
        """The recipe of a run that ends at this step, with the knobs where they stand."""
        return self.recipe.but(steps=max(1, self.taken))

    def command(self) -> str:
        """The command that takes the same steps (or the first, where none is taken), changes of knobs included."""
        if self.start.decay != "constant" and self.taken != self.start.steps:
            raise ValueError(
                "Parameter `decay` should be constant: cosine depends on the last step, and it is not here."
            )
        recipe = self.start.but(steps=max(1, self.taken))
        words = ["invtutor", "run", recipe.algorithm, *options(recipe)]
        words += [f"--steer={step}:{name}={text_of(value)}" for step, name, value in self.changes if step < self.taken]
        return shlex.join(words)

    def _plan(self) -> None:
        """The schedules for the knobs as they stand."""
        model, hyper = self.algorithm.model, self.recipe.hyper
        self._method: Algorithm = ALGORITHMS[self.recipe.algorithm](model, l2=self.recipe.l2, **hyper)
        self._schedules = schedules(self.recipe, self._method)

    def _acting(self, name: str, step: int) -> float:
        if name in self._schedules:
            return self._schedules[name](step)
        return self.recipe.learning_rate if name == "learning_rate" else getattr(self._method, name)

    @torch.no_grad()
    def _judge(self) -> Snapshot:
        seen: dict[int, Tensor] = {}

        def predict(inputs: Tensor) -> Tensor:  # each environment once: that costs more than a step
            if id(inputs) not in seen:
                seen[id(inputs)] = self.algorithm.predict(inputs)
            return seen[id(inputs)]

        known = {name: value for name, value in self._metrics.items() if name in GLOSSARY}
        judged = self.world.watch(predict)
        require_finite(self.algorithm, judged, self.taken)
        record = {"step": self.taken} | known | judged
        logits = predict(self.shown.inputs)
        predicted = (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)
        acting = {name: values[-1][1] for name, values in self.acted.items() if values}
        self.history.append(record)
        self.trace.append({"step": self.taken} | self.world.outside(predict) | acting)
        history, trace = History(self.history.records), History(self.trace.records)
        acted = {name: list(values) for name, values in self.acted.items()}
        return Snapshot(self.taken, history, trace, acted, self.world.corners(predict), predicted.cpu(), tuple(judged))


def _uninterrupted(action: Callable[[], None]) -> None:
    """Do it as a whole: an interrupt of the kernel acts after it. Half a step is none from which one could go on."""
    handler = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    if not callable(handler):  # nothing can interrupt
        action()
        return
    came: list[Any] = []
    signal.signal(signal.SIGINT, lambda *signs: came.append(signs))
    try:
        action()
    finally:
        signal.signal(signal.SIGINT, handler)
    if came:
        handler(*came[0])


def replay(recipe: Recipe, changes: Sequence[Change] = (), *, data: Any = None) -> Session:
    """Take the recipe's steps, turning knobs where `changes` say so. Raises ValueError for changes out of order or
    beyond the last step, and what `Session` raises."""
    _check(recipe, changes)
    session = Session(recipe, data=data)
    for change in changes:
        session.step(change.step - session.taken)
        session.steer(change.name, change.value)
    session.step(recipe.steps - session.taken)
    return session


def _check(recipe: Recipe, changes: Sequence[Change]) -> None:
    """Raises ValueError, before anything is trained, for what `replay` could not do."""
    taken = 0
    for step, name, value in changes:
        wish = f"in order and before the last step, {recipe.steps}"
        if not taken <= step < recipe.steps:
            raise ValueError(f"Parameter `changes` should be {wish}. Found one at step {step}.")
        require_knob(recipe, name)
        recipe, taken = recipe.but(**{name: value}), step


def execute(recipe: Recipe, changes: Sequence[Change], out: str | os.PathLike[str]) -> Session:
    """Train, and leave `result.json` in `out`: recipe, changes, metrics. Raises ValueError where `out` cannot be used,
    before anything is trained, OSError where it no longer can be after that, and what `replay` raises."""
    _check(recipe, changes)
    find_device(recipe.device)
    result = Path(out) / "result.json"
    if stranger := _stranger(result, recipe.algorithm):
        raise ValueError(stranger)
    recipe.setting.announce()
    data = recipe.setting.load()
    with workplace(result.parent, "results"):
        session = replay(recipe, changes, data=data)
        session.snapshot()
        record = {
            "method": recipe.algorithm,
            "recipe": json.loads(recipe.to_json()),
            "changes": [change._asdict() for change in session.changes],
            "data": getattr(session.data, "source", recipe.world),
            "metrics": session.history.last,
            "command": session.command(),
            "note": session.note(),
        }
        if stranger := _stranger(result, recipe.algorithm):  # of another call, or put there meanwhile
            raise FileExistsError(f"Trained, but {stranger}")
        try:
            write_atomically(result, sealed(json.dumps(finite(record), allow_nan=False)))
        except OSError as error:
            raise OSError(f"Trained, but cannot write results into {result.parent}: {error.strerror}.") from None
    return session


def _stranger(result: Path, method: str) -> str:
    """What forbids to write a method's result there; empty where nothing does."""
    if not os.path.lexists(result):
        return ""
    if is_sealed(result) and json.loads(result.read_text(encoding="utf-8")).get("method") == method:
        return ""
    return f"{result} is not a result of {method}; choose another folder."
