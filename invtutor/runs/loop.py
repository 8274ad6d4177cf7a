"""The loop. It knows optimizers, batches and schedules, and nothing about any method."""

import math
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import islice
from typing import Any

import torch
from tqdm import tqdm

from invtutor.algorithms.algorithm import Algorithm, Metrics, Scalars
from invtutor.algorithms.ready import culprit
from invtutor.runs.history import History
from invtutor.worlds.environment import Environment

__all__ = ["Schedule", "Stage", "cosine", "fit", "require_finite", "step_at", "training"]

Schedule = Callable[[int], float]
Stage = Callable[[int], int]


def step_at(step: int, before: float, after: float, ramp: int = 0) -> Schedule:
    """`before` until `step`, then `after`: at once, as the IRM and REx code does, or along a line over `ramp` steps."""

    def value(now: int) -> float:
        if now < step:
            return before
        return before + (after - before) * min((now - step) / ramp, 1.0) if ramp else after

    return value


def cosine(start: float, first: int, last: int) -> Schedule:
    """`start` until step `first`, then down to 0 at `last`, along half a cosine."""

    def rate(now: int) -> float:
        share = min(max(now - first, 0) / max(last - first, 1), 1.0)
        return 0.5 * start * (1.0 + math.cos(math.pi * share))

    return rate


def training(
    algorithm: Algorithm,
    optimizer: torch.optim.Optimizer,
    environments: Sequence[Environment],
    *,
    batch_size: int | None = None,
    schedules: Mapping[str, Schedule] | None = None,
    stage: Stage | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[Metrics]:
    """Take one optimizer step each time the next metrics are asked for, without end.

    batch_size: samples drawn from each environment at each step; None is the papers' full batch.
    schedules: functions of the step, by name: `learning_rate`, or a field of the algorithm such as `penalty_weight`.
    stage: the part of the training that a step belongs to. With a new one the optimizer starts anew, without its
    running means, which are of the gradients of another objective; None is all one.
    generator: draws the batches; None takes a fresh one with seed 0.

    Raises ValueError for a schedule of something that the algorithm has not, and for a model that it cannot train,
    naming the layer; and FloatingPointError, naming the method and the step, as soon as a metric is not finite: the
    step is then not taken.
    """
    algorithm.check(environments)
    schedules = schedules or {}
    known = {"learning_rate", *(f.name for f in fields(algorithm))} - {"model"}
    for name in schedules:
        if name not in known:
            raise ValueError(
                f"Parameter `schedules` should name {algorithm}'s {', '.join(sorted(known))}. Found {name!r}."
            )
    return _steps(algorithm, optimizer, environments, batch_size, schedules, stage or (lambda _: 0), generator)


def _steps(
    algorithm: Algorithm,
    optimizer: torch.optim.Optimizer,
    environments: Sequence[Environment],
    batch_size: int | None,
    schedules: Mapping[str, Schedule],
    stage: Stage,
    generator: torch.Generator | None,
) -> Iterator[Metrics]:
    generator = generator or torch.Generator().manual_seed(0)
    step, before = 0, stage(0)
    while True:
        if (now := stage(step)) != before:
            optimizer.state.clear()
            before = now
        for name, schedule in schedules.items():
            if name == "learning_rate":
                for group in optimizer.param_groups:
                    group["lr"] = schedule(step)
            else:
                setattr(algorithm, name, schedule(step))
        batch = environments if batch_size is None else [e.sample(batch_size, generator) for e in environments]
        optimizer.zero_grad()
        scalars = algorithm.backward(batch) if step else _first(algorithm, batch)
        metrics = {name: float(value) for name, value in scalars.items()}
        require_finite(algorithm, metrics, step, batch)
        optimizer.step()
        step += 1
        yield metrics | {name: schedule(step - 1) for name, schedule in schedules.items()}


def require_finite(algorithm: Algorithm, metrics: Metrics, step: int, environments: Sequence[Environment] = ()) -> None:
    """Raises FloatingPointError, naming the method and the step, for a metric that is not finite."""
    for name, value in metrics.items():
        if not math.isfinite(value):
            cause = _cause(algorithm, environments, step)
            raise FloatingPointError(f"{algorithm}: {name} is {value} at step {step}. {cause}")


def _first(algorithm: Algorithm, batch: Sequence[Environment]) -> Scalars:
    """The first backward pass: whatever the method cannot do with the model shows here, before any step is taken."""
    try:
        return algorithm.backward(batch)
    except (FloatingPointError, MemoryError, torch.cuda.OutOfMemoryError):
        raise
    except Exception as error:
        if isinstance(error, ValueError) and str(error).startswith("Parameter `"):
            raise
        where, text = culprit(algorithm.model, batch[0].inputs), " ".join(str(error).split())
        raise ValueError(
            f"Parameter `model` should be one that {algorithm} can train. Found in {where}: {text}"
        ) from error


def _cause(algorithm: Algorithm, batch: Sequence[Environment], step: int) -> str:
    """What may be wrong where a metric is not finite."""
    for environment in batch:
        if not environment.inputs.isfinite().all():
            return f"Inputs of {environment.name!r} are not finite."
    for name, parameter in algorithm.model.named_parameters():
        if not step and not parameter.isfinite().all():
            return f"The model's {name!r} is not finite."
    return "Try a smaller learning rate."


def fit(
    algorithm: Algorithm,
    optimizer: torch.optim.Optimizer,
    environments: Sequence[Environment],
    steps: int,
    *,
    batch_size: int | None = None,
    schedules: Mapping[str, Schedule] | None = None,
    stage: Stage | None = None,
    generator: torch.Generator | None = None,
    watch: Callable[[Algorithm], Metrics] | None = None,
    every: int = 50,
    besides: Collection[int] = (),
    progress: bool = True,
) -> History:
    """Take `steps` steps of `training` and record them.

    watch: computes further metrics from the algorithm, under `torch.no_grad`.
    every: a record is kept of each so many-th step, and of the first and the last; and of those in `besides`.
    progress: shows a bar. The other parameters and the errors are those of `training`; what is watched must be finite,
    too.
    """
    history = History()
    loop: dict[str, Any] = {"schedules": schedules, "stage": stage, "generator": generator}
    taken = islice(training(algorithm, optimizer, environments, batch_size=batch_size, **loop), steps)
    file = (
        sys.stdout if "ipykernel.kernelapp" in sys.modules else sys.stderr
    )  # a notebook shows stderr on red, as if it were wrong
    bar = tqdm(taken, total=steps, desc=str(algorithm), disable=not progress, mininterval=0.5, leave=False, file=file)
    for step, metrics in enumerate(bar, start=1):
        if step % every == 0 or step in (1, steps, *besides):
            with torch.no_grad():
                watched = watch(algorithm) if watch else {}
            require_finite(algorithm, watched, step)
            history.append({"step": step} | metrics | watched)
    return history
