"""A world: it hands out environments, and says what is measured in them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from invtutor.fields import check
from invtutor.worlds.environment import Environment, group_of, pool
from invtutor.worlds.risks import accuracy, correct, precise, risk, worst_and_average

__all__ = ["SMALL_RESIDUAL", "Drawn", "Setting", "World"]

Predictor = Callable[[Tensor], Tensor]
Metrics = dict[str, float]

SMALL_RESIDUAL: Mapping[str, Any] = {
    "network": "residual",
    "width": 4,
    "l2": 1e-4,
    "learning_rate": 5e-3,
    "decay": "cosine",
    "late_rate": 1.0,
    "restart": False,
    "anneal": 0,
}
"""What learns from pictures of some 48 × 48 pixels in seconds. Its last layers see all of a picture, where four
convolutions see too little at once."""


@dataclass(frozen=True)
class Setting:
    """What a world is drawn by. Its fields are the world's knobs, each with a range; a file of its own adds a world.

    budgets: by profile (smoke, quick, paper), values for knobs and for a recipe's fields that make a run affordable,
    where the defaults do not.
    Raises ValueError, naming the field, for what no world can be.
    """

    label: ClassVar[str]  # what legends and tables call the world
    budgets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def __post_init__(self) -> None:
        check(self)

    def sizes(self) -> Sequence[int] | None:
        """How many samples each training environment has; None where that is not known before the data are read."""
        return None

    def load(self) -> Any:
        """What the world is drawn from, read once in a process: something whose `source` is a word that names it, and
        whose text says more. None for a world that needs nothing."""
        return None

    def announce(self) -> None:
        """Say on the terminal what stands in for data that cannot be had."""

    def draw(self, data: Any, generator: torch.Generator) -> "World":
        """The world. generator: the only source of randomness."""
        raise NotImplementedError


class World:
    """Training environments, validation environments held out of each of them, and those that it is judged in.

    outputs: logits that a network needs here: 1 for two classes, else one per class.
    """

    train: tuple[Environment, ...]
    validation: tuple[Environment, ...]
    outputs: int

    def __post_init__(self) -> None:
        names = [environment.name for environment in (*self.train, *self.validation)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"Parameter `name` of environments should be each one's own. Found {twice[0]!r} twice.")

    @property
    def tests(self) -> tuple[Environment, ...]:
        """The environments that nothing is trained or chosen on."""
        raise NotImplementedError

    @cached_property
    def pooled(self) -> Environment:
        """All training samples as one."""
        return pool(self.train, "train")

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input, such as (channels, height, width)."""
        return tuple(self.train[0].inputs.shape[1:])

    @property
    def classes(self) -> int:
        """How many labels there are."""
        return max(2, self.outputs)

    def to(self, device: str | torch.device) -> "World":
        """The same world with all its tensors on `device`."""
        raise NotImplementedError

    def held_out(self, predict: Predictor) -> Metrics:
        """Accuracy and risk in each validation environment or, where there is none, accuracy over all training
        samples."""
        if not self.validation:
            return {"train": accuracy(predict, self.pooled)}
        metrics: Metrics = {}
        for environment in self.validation:
            logits, labels = predict(environment.inputs), environment.labels
            metrics[environment.name] = precise(correct(logits, labels)).mean().item()
            metrics[environment.name.replace("validation", "validation risk")] = risk(logits, labels).item()
        return metrics

    def watch(self, predict: Predictor) -> Metrics:
        """What is measured while it is trained in, by the names of the glossary: `held_out`, and accuracy in each test
        environment; where it has groups, of the worst of them, and the average with groups as large as in training."""
        metrics = self.held_out(predict)
        for environment in self.tests:
            right = precise(correct(predict(environment.inputs), environment.labels))
            metrics[environment.name] = right.mean().item()
            if all({"group", "conflict"} & each.attributes.keys() for each in (environment, *self.train)):
                metrics |= self._by_groups(environment, right)
        return metrics

    def _by_groups(self, environment: Environment, right: Tensor) -> Metrics:
        """Accuracy in an environment's worst group, and its average with groups as large as in training. right: whether
        each of its samples is answered correctly, (n,)."""
        known = torch.cat([group_of(each) for each in self.train])
        worst, average = worst_and_average(right, group_of(environment), known)
        return {f"{environment.name} worst group": worst, f"{environment.name} average": average}

    def final(self, predict: Predictor) -> Metrics:
        """What is measured besides when a run has ended: accuracy in the training environments; where the world has
        groups, what a choice can go by, in the worst group and the worst class of the validation, and its average; and,
        where the spurious clue can be taken away, accuracy in the test without it (`gray`)."""
        known = self.train if self.validation else ()  # else `watch` tells of them
        metrics = {environment.name: accuracy(predict, environment) for environment in known}
        for environment in self.validation:
            if "group" in environment.attributes:
                right = precise(correct(predict(environment.inputs), environment.labels))
                worst, _ = worst_and_average(right, environment.labels, environment.labels)
                metrics |= {f"{environment.name} worst class": worst, **self._by_groups(environment, right)}
        if self.tests and self.tests[0].plain is not None:
            metrics["gray"] = accuracy(predict, self.tests[0].gray())
        return metrics

    def outside(self, predict: Predictor) -> Metrics:
        """The risk where the course looks for failure: in the last test environment."""
        last = self.tests[-1]
        return {f"{last.name} risk": risk(predict(last.inputs), last.labels).item()}

    def corners(self, predict: Predictor) -> Tensor | None:
        """What an accuracy curve over the world's spurious clue is made of; None where it has none."""
        return None

    def validation_corners(self, predict: Predictor) -> list[Any]:
        """As `corners`, on validation samples, so that a choice need not touch the test; empty where that cannot be."""
        return []

    def shown(self, count: int) -> Environment:
        """A few test samples to look at."""
        return self.tests[-1].subset(torch.arange(min(count, len(self.tests[-1]))))


@dataclass(frozen=True, eq=False)
class Drawn(World):
    """A world whose environments are all there, as most are."""

    train: tuple[Environment, ...]
    validation: tuple[Environment, ...] = ()
    tests: tuple[Environment, ...] = ()
    outputs: int = 1

    def to(self, device: str | torch.device) -> "World":
        moved = {
            part: tuple(environment.to(device) for environment in getattr(self, part))
            for part in ("train", "validation", "tests")
        }
        return replace(self, **moved)  # type: ignore[arg-type]
