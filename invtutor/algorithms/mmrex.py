"""MM-REx: the worst risk over environments, and beyond."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from invtutor.algorithms.algorithm import Algorithm, Scalars, within
from invtutor.algorithms.scale import rescaled
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import risks, squared_norm

__all__ = ["MMREx", "penalty"]


def penalty(by_environment: Tensor) -> Tensor:
    """How far the worst risk lies above the mean, (environments,) → scalar. For two environments |R₁ − R₂| / 2."""
    return by_environment.max() - by_environment.mean()


@dataclass(eq=False)
class MMREx(Algorithm):
    """MM-REx:  (1 − m·λ_min) · max_e R^e(θ) + λ_min · Σ_e R^e(θ)      (Krueger et al. 2021, arXiv 2003.00688, eq. 7)

    With β = 1 − m·λ_min for m environments it reads  mean_e R^e + β · (max_e R^e − mean_e R^e):  β = 0 is ERM, β = 1
    is the worst environment (robust optimization), and β > 1 extrapolates, weighing the best environment negatively.

    paper → code:  λ_min → (1 − penalty_weight) / m;  the division by β → rescale.

    Differences from the authors' code: 1. theirs adds |R₁ − R₂| to the *sum* of two risks, with the same weight as here
    relative to the risk (both halves cancel); 2. any number of environments; 3. annealing is a schedule given to the
    loop.
    """

    penalty_weight: float = within(1e4, 0, 1e12)
    rescale: bool = True

    label = "MM-REx"
    neutral = {"penalty_weight": 0.0}
    holds = True

    def backward(self, environments: Sequence[Environment]) -> Scalars:
        by_environment = risks(self.model, environments)
        risk, excess = by_environment.mean(), penalty(by_environment)
        objective = risk + self.l2 * squared_norm(self.model) + self.penalty_weight * excess
        (rescaled(objective, self.penalty_weight) if self.rescale else objective).backward()
        return {"risk": risk.detach(), "penalty": excess.detach()}
