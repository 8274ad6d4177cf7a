"""MAPLE with a trace of its search."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from invtutor.algorithms import MAPLE, Algorithm
from invtutor.algorithms.algorithm import Metrics
from invtutor.algorithms.maple import project, shrink
from invtutor.runs.recipe import Recipe
from invtutor.runs.run import assemble
from invtutor.worlds.environment import Environment, conflicting
from invtutor.worlds.risks import accuracy_curve

__all__ = ["Trace", "Turn", "trace"]


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
    sees it. kept, dropped: 20 of highest and lowest s. corners: `World.corners` of the solution."""

    recipe: Recipe
    turns: list[Turn]
    conflicting: Tensor
    kept: Environment
    dropped: Environment
    corners: Tensor | None

    def accuracy(self, flip_rate: float) -> float:
        """Expected test accuracy at a flip rate, in [0, 1]."""
        assert self.corners is not None
        return accuracy_curve(self.corners, [flip_rate])[0]

    def precision(self, turn: int = -1) -> float:
        """Share of what a turn trained on that is conflicting: .5 is a world without color."""
        shares = self.turns[turn].shares
        return (shares[self.conflicting].sum() / shares.sum()).item()

    def recall(self, turn: int = -1) -> float:
        """Share of the conflicting samples that a turn's mask kept."""
        return self.turns[turn].mask[self.conflicting].mean().item()


def trace(recipe: Recipe, *, data: Any = None, last: int | None = None, progress: bool = True) -> Trace:
    """Train MAPLE as `run.run` does and keep its turns; a turn takes 0.7 MB in the quick profile.

    recipe: with algorithm `maple`. last: how many turns to keep, counted from the end; None is all of them. progress:
    shows a bar.
    """
    ready = assemble(recipe.but(every=1), data)
    algorithm, turns = ready.algorithm, list[Turn]()
    if not isinstance(algorithm, MAPLE):
        raise ValueError(f"Parameter `recipe` should be one of MAPLE. Found {recipe.algorithm!r}.")
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
    history = ready.fit(watch, progress=progress)
    turns = [turn._replace(metrics=m) for turn, m in zip(turns, history.records[-len(turns) :], strict=True)]
    corners = ready.world.corners(algorithm.predict)
    order = turns[-1].chances.argsort(descending=True, stable=True).to(algorithm.weights.device)
    kept, dropped = (algorithm.inner.subset(some).to("cpu") for some in (order[:20], order[-20:]))
    return Trace(recipe, turns, conflicting(algorithm.inner).cpu(), kept, dropped, corners)
