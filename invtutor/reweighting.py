"""Samples that count differently: MAPLE with a trace of its search, and the rules it is compared with.

The rules train by plain ERM, on samples that are drawn again in proportion to shares that a rule gives them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from invtutor.algorithms import MAPLE, Algorithm
from invtutor.algorithms.algorithm import Metrics
from invtutor.algorithms.maple import project, shrink
from invtutor.digits import Digits
from invtutor.environments import Environment, World, pool
from invtutor.recipes import Recipe, build, schedules
from invtutor.risks import accuracy_curve, corner_accuracies, correct
from invtutor.training import fit

__all__ = [
    "Trace",
    "Turn",
    "conflicting",
    "error_shares",
    "group_dro",
    "group_shares",
    "groups",
    "jtt",
    "redraw",
    "train_on",
]
__all__ += ["trace", "upweighting"]


def conflicting(samples: Environment) -> Tensor:
    """Whose color is not their label's: (n,) bool."""
    if samples.colors is None:
        raise ValueError(f"Parameter `samples` should have colors. Found none in {samples.name!r}.")
    return samples.colors != samples.labels


def groups(samples: Environment) -> list[Environment]:
    """The samples by label and conflict, which for two classes is by label and color; without empty groups."""
    keys = 2 * samples.labels + conflicting(samples).long()
    return [samples.subset(keys == key) for key in keys.unique().tolist()]


def group_shares(samples: Environment) -> Tensor:
    """1 / (size of the sample's group of label and conflict), (n,): every group counts the same."""
    keys = 2 * samples.labels + conflicting(samples).long()
    return 1.0 / keys.bincount()[keys]


def error_shares(samples: Environment, predict: Callable[[Tensor], Tensor], factor: float) -> Tensor:
    """`factor` where a first model errs, 1 where it is right: (n,)."""
    with torch.no_grad():
        right = correct(predict(samples.inputs), samples.labels)
    return torch.where(right, 1.0, factor)


def redraw(samples: Environment, shares: Tensor, generator: torch.Generator) -> Environment:
    """As many samples, drawn with replacement in proportion to `shares`, (n,)."""
    index = torch.multinomial(shares.cpu(), len(samples), replacement=True, generator=generator)
    return samples.subset(index.to(samples.labels.device))


class Turn(NamedTuple):
    """One outer iteration of MAPLE, on the CPU, all (n,): the chances s it began with, the mask drawn from them, m w,
    the hypergradient of the first tensor that is learned, and where the optimizer moved that tensor."""

    chances: Tensor
    mask: Tensor
    shares: Tensor
    gradient: Tensor
    moved: Tensor
    metrics: Metrics


@dataclass(frozen=True, eq=False)
class Trace:
    """MAPLE's whole search. conflicting: (n,) bool, which samples' colors disagree with their labels; the method never
    sees it. kept, dropped: 20 of highest and lowest s. corners: `risks.corner_accuracies` of the solution."""

    recipe: Recipe
    turns: list[Turn]
    conflicting: Tensor
    kept: Environment
    dropped: Environment
    corners: Tensor

    def accuracy(self, flip_rate: float) -> float:
        """Expected test accuracy at a flip rate, in [0, 1]."""
        return accuracy_curve(self.corners, [flip_rate])[0]

    def precision(self, turn: int = -1) -> float:
        """Share of what a turn trained on that is conflicting: .5 is a world without color."""
        shares = self.turns[turn].shares
        return (shares[self.conflicting].sum() / shares.sum()).item()

    def recall(self, turn: int = -1) -> float:
        """Share of the conflicting samples that a turn's mask kept."""
        return self.turns[turn].mask[self.conflicting].mean().item()


def trace(recipe: Recipe, *, digits: Digits | None = None, last: int | None = None) -> Trace:
    """Train MAPLE as `recipes.run` does and keep its turns; a turn takes 0.7 MB in the quick profile.

    recipe: with algorithm `maple`. last: how many turns to keep, counted from the end; None is all of them.
    """
    algorithm, world, generator = build(recipe, digits)
    if not isinstance(algorithm, MAPLE):
        raise ValueError(f"Parameter `recipe` should be one of MAPLE. Found {recipe.algorithm!r}.")
    environments, turns = algorithm.prepare(world.train), list[Turn]()
    learned = algorithm.parameters()[0]
    limit = (algorithm.budget if algorithm.learn_probabilities else 1.0) * len(algorithm.inner)
    chances = algorithm.probabilities.detach().cpu().clone()

    def watch(_: Algorithm) -> Metrics:
        nonlocal chances
        mask, weights, gradient = algorithm.mask.cpu(), shares_of[0].cpu(), learned.grad
        assert gradient is not None
        turns.append(Turn(chances, mask, mask * weights, gradient.cpu().clone(), learned.detach().cpu().clone(), {}))
        del turns[: -last if last else 0]
        chances = project(algorithm.probabilities.detach().cpu(), limit)
        shares_of[0] = shrink(algorithm.weights.detach(), len(mask) ** 0.5)
        return {}

    shares_of = [algorithm.weights.detach().clone()]
    optimizer = torch.optim.Adam(algorithm.parameters(), lr=recipe.learning_rate, fused=True)
    history = fit(
        algorithm,
        optimizer,
        environments,
        recipe.steps,
        batch_size=recipe.batch_size,
        schedules=schedules(recipe, algorithm),
        generator=generator,
        watch=watch,
        every=1,
    )
    turns = [turn._replace(metrics=m) for turn, m in zip(turns, history.records[-len(turns) :], strict=True)]
    corners = corner_accuracies(algorithm.predict, world)
    order = turns[-1].chances.argsort(descending=True, stable=True).to(algorithm.weights.device)
    kept, dropped = (algorithm.inner.subset(some).to("cpu") for some in (order[:20], order[-20:]))
    return Trace(recipe, turns, conflicting(algorithm.inner).cpu(), kept, dropped, corners)


Choice = Callable[[World, torch.Generator], Sequence[Environment]]


def train_on(recipe: Recipe, choose: Choice, *, digits: Digits | None = None) -> tuple[Algorithm, World]:
    """Train as `recipes.run` does, but on the environments that `choose` makes of the world; also returns the world."""
    algorithm, world, generator = build(recipe, digits)
    optimizer = torch.optim.Adam(algorithm.parameters(), lr=recipe.learning_rate, fused=True)
    how: dict[str, Any] = {"schedules": schedules(recipe, algorithm), "generator": generator, "every": recipe.steps}
    fit(algorithm, optimizer, choose(world, generator), recipe.steps, batch_size=recipe.batch_size, **how)
    return algorithm, world


def upweighting(recipe: Recipe, *, digits: Digits | None = None) -> tuple[Algorithm, World]:
    """ERM with every sample weighed by 1 / (size of its group): it must be told the color. The color then says nothing
    about the label: no reweighting does better, so that this is the ceiling."""

    def balanced(world: World, generator: torch.Generator) -> list[Environment]:
        samples = pool(world.train)
        return [redraw(samples, group_shares(samples), generator)]

    return train_on(recipe, balanced, digits=digits)


def jtt(
    recipe: Recipe, factor: float, *, first_steps: int = 20, digits: Digits | None = None
) -> tuple[Algorithm, World]:
    """Just train twice (Liu et al. 2021, arXiv 2107.09044): a few steps of ERM, then ERM with the first model's errors
    counted `factor` times. It needs no color and no environments, but somebody must choose `factor`."""
    pooled: Choice = lambda world, generator: [pool(world.train)]  # noqa: E731
    first, _ = train_on(recipe.but(steps=first_steps, decay="constant"), pooled, digits=digits)

    def with_errors(world: World, generator: torch.Generator) -> list[Environment]:
        samples = pool(world.train)
        return [redraw(samples, error_shares(samples, first.predict, factor), generator)]

    return train_on(recipe, with_errors, digits=digits)


def group_dro(recipe: Recipe, *, digits: Digits | None = None) -> tuple[Algorithm, World]:
    """GroupDRO over the groups of label and color, where the paper has it, in place of the environments."""
    return train_on(recipe, lambda world, generator: groups(pool(world.train)), digits=digits)
