"""V-REx: equal risks in all environments, by their variance."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

from invtutor.algorithms.algorithm import Algorithm, Scalars, within
from invtutor.algorithms.scale import rescaled
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import risks, squared_norm

__all__ = ["VREx", "followed", "penalty", "penalty_by_halves"]


def penalty(by_environment: Tensor) -> Tensor:
    """Population variance of the risks, (environments,) → scalar. For two environments it is (R₁ − R₂)² / 4."""
    return by_environment.var(unbiased=False)


def followed(average: Tensor, values: Tensor, decay: float | Tensor) -> tuple[Tensor, Tensor]:
    """The running mean, decay·average + (1 − decay)·values, without a graph, and the same with the values' gradient.

    The square of an estimate is not the estimate of the square: a batch's risks differ by chance, and their variance is
    too large on average. A function of expected values takes its derivative at their running mean, and the values'
    gradients from the batch (stochastic compositional gradient; Wang, Fang and Liu 2017, alg. 1).
    """
    average = decay * average + (1 - decay) * values.detach()
    return average, values + (average - values).detach()


def penalty_by_halves(first: Tensor, second: Tensor) -> Tensor:
    """The same from the risks (environments,) on two independent halves of a batch → scalar. Right on average, where
    the square of a noisy difference is too large by the noise's variance; so it may be negative."""
    return ((first - first.mean()) * (second - second.mean())).mean()


@dataclass(eq=False)
class VREx(Algorithm):
    """V-REx:  mean_e R^e(θ) + β · Var_e R^e(θ)      (Krueger et al. 2021, arXiv 2003.00688, eq. 8)

    paper → code:  β → penalty_weight (0 is ERM);  the division by β → rescale.

    ema: decay of a running mean of the risks, at which the variance takes its derivative (`followed`); 0 is the step's
    own risks, as in the paper, whose batch is the full one.

    Differences from the authors' code: 1. the mean of the risks where they sum, and the population variance where they
    take (R₁ − R₂)², four times as much; a β here weighs half of theirs against the risk, before annealing ends, too:
    their 1 is a 2 here (the paper profile has it), and L2 terms count half; 2. any number of environments;
    3. annealing is a schedule given to the loop.
    """

    penalty_weight: float = within(1e4, 0, 1e12)
    rescale: bool = True
    ema: float = within(0.0, 0, 1, below=True)
    average: Tensor = field(default_factory=lambda: torch.zeros(()), init=False)

    label = "V-REx"
    neutral = {"penalty_weight": 0.0}
    carries = ("average",)
    holds = True

    def prepare(self, environments: Sequence[Environment], generator: Generator | None = None) -> Sequence[Environment]:
        self.check(environments)
        self.average = self.parameters()[0].new_zeros(len(environments))
        return environments

    def backward(self, environments: Sequence[Environment]) -> Scalars:
        by_environment = risks(self.model, environments)
        self.average, seen = followed(self.average, by_environment, self.ema)
        risk, spread = by_environment.mean(), penalty(seen)
        objective = risk + self.l2 * squared_norm(self.model) + self.penalty_weight * spread
        (rescaled(objective, self.penalty_weight) if self.rescale else objective).backward()
        return {"risk": risk.detach(), "penalty": spread.detach()}
