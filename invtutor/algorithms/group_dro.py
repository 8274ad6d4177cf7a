"""GroupDRO: the worst environment counts, by weights that follow the risks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Generator, Tensor

from invtutor.algorithms.algorithm import Algorithm, Scalars, within
from invtutor.algorithms.groups import groups
from invtutor.worlds.environment import Environment, pool
from invtutor.worlds.risks import risks, squared_norm

__all__ = ["GroupDRO", "reweigh"]


def reweigh(shares: Tensor, by_environment: Tensor, step_size: float) -> Tensor:
    """q_e · exp(η R_e), normalized: shares and risks (environments,) → shares (environments,)."""
    return torch.softmax(shares.log() + step_size * by_environment, 0)


@dataclass(eq=False)
class GroupDRO(Algorithm):
    """GroupDRO:  min_θ max_q Σ_e q_e R^e(θ), q on the simplex      (Sagawa et al. 2020, arXiv 1911.08731, alg. 1)

    Each step first moves q towards the environments with a high risk, q_e ∝ q_e · exp(η R^e), then takes the gradient
    of Σ_e q_e R^e(θ) with q held fixed. It seeks the best worst case *within* what was seen.

    paper → code:  η_q → step_size (0 is ERM);  q → shares.

    over: environments, or the groups of label and color where the paper has it; the latter must be told the color.

    Difference from the authors' code: no adjustment for small groups.
    """

    step_size: float = within(0.01, 0, 100)
    over: Literal["environments", "groups"] = "environments"
    shares: Tensor | None = field(default=None, init=False)

    label = "GroupDRO"
    neutral = {"step_size": 0.0}
    carries = ("shares",)
    holds = False

    def prepare(self, environments: Sequence[Environment], generator: Generator | None = None) -> Sequence[Environment]:
        self.check(environments)
        chosen = groups(pool(environments)) if self.over == "groups" else environments
        self.shares = self.parameters()[0].new_full((len(chosen),), 1 / len(chosen))
        return chosen

    def backward(self, environments: Sequence[Environment]) -> Scalars:
        by_environment = risks(self.model, environments)
        assert self.shares is not None, "`prepare` makes them"
        self.shares = reweigh(self.shares, by_environment.detach(), self.step_size)
        (self.shares @ by_environment + self.l2 * squared_norm(self.model)).backward()
        return {"risk": by_environment.mean().detach()}
