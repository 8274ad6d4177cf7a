"""IRMv1: a predictor whose best rescaling is no rescaling, in every environment."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from invtutor.algorithms.algorithm import Algorithm, Scalars, require, within
from invtutor.algorithms.scale import rescaled, slope
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import risk, squared_norm

__all__ = ["IRMv1", "penalty", "slope"]


def penalty(logits: Tensor, labels: Tensor, *, halves: bool = False) -> Tensor:
    """‖∂R(w·logits)/∂w‖² at w = 1, a scalar; with `halves` the product of the slopes on two halves of the batch: the
    square of a noisy slope is too large on average, the product of independent ones is not (ibid., appendix D)."""
    if halves:
        return (slope(logits[::2], labels[::2]) * slope(logits[1::2], labels[1::2])).sum()
    return slope(logits, labels).square().sum()


@dataclass(eq=False)
class IRMv1(Algorithm):
    """IRMv1:  mean_e R^e(θ) + λ · mean_e ‖∇_{w|w=1} R^e(w·f_θ)‖²      (Arjovsky et al. 2019, arXiv 1907.02893, §3)

    paper → code:  λ → penalty_weight (0 is ERM);  w → the dummy scale in `slope`;  appendix D → halves;  the division
    by λ, which keeps the gradient's size when λ jumps → rescale.

    Differences from the authors' code: 1. the slope in closed form, not by a second backward pass (equal; tested);
    2. any number of environments; 3. annealing is a schedule given to the loop.
    """

    penalty_weight: float = within(1e4, 0, 1e12)
    rescale: bool = True
    halves: bool = False

    label = "IRMv1"
    neutral = {"penalty_weight": 0.0}
    holds = True

    def fits(self, samples: Sequence[int], batch_size: int | None = None) -> None:
        require("halves", not self.halves or (batch_size or min(samples)) > 1, "False for batches of one", True)

    def backward(self, environments: Sequence[Environment]) -> Scalars:
        batches = [(self.model(e.inputs), e.labels) for e in environments]
        mean_risk = torch.stack([risk(*batch) for batch in batches]).mean()
        mean_penalty = torch.stack([penalty(*batch, halves=self.halves) for batch in batches]).mean()
        objective = mean_risk + self.l2 * squared_norm(self.model) + self.penalty_weight * mean_penalty
        (rescaled(objective, self.penalty_weight) if self.rescale else objective).backward()
        return {"risk": mean_risk.detach(), "penalty": mean_penalty.detach()}
