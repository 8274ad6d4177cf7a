"""V-REx: equal risks in all environments, by their variance."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from invtutor.algorithms.algorithm import Algorithm, Scalars, within
from invtutor.algorithms.scale import rescaled
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import risks, squared_norm

__all__ = ["VREx", "penalty"]


def penalty(by_environment: Tensor) -> Tensor:
    """Population variance of the risks, (environments,) → scalar. For two environments it is (R₁ − R₂)² / 4."""
    return by_environment.var(unbiased=False)


@dataclass(eq=False)
class VREx(Algorithm):
    """V-REx:  mean_e R^e(θ) + β · Var_e R^e(θ)      (Krueger et al. 2021, arXiv 2003.00688, eq. 8)

    paper → code:  β → penalty_weight (0 is ERM);  the division by β → rescale.

    Differences from the authors' code: 1. the mean of the risks where they sum, and the population variance where they
    take (R₁ − R₂)², four times as much; a β here weighs half of theirs against the risk, before annealing ends, too:
    their 1 is a 2 here (the paper profile has it), and L2 terms count half; 2. any number of environments;
    3. annealing is a schedule given to the loop.
    """

    penalty_weight: float = within(1e4, 0, 1e12)
    rescale: bool = True

    label = "V-REx"
    neutral = {"penalty_weight": 0.0}
    holds = True

    def backward(self, environments: Sequence[Environment]) -> Scalars:
        by_environment = risks(self.model, environments)
        risk, spread = by_environment.mean(), penalty(by_environment)
        objective = risk + self.l2 * squared_norm(self.model) + self.penalty_weight * spread
        (rescaled(objective, self.penalty_weight) if self.rescale else objective).backward()
        return {"risk": risk.detach(), "penalty": spread.detach()}
