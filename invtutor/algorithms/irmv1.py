"""IRMv1: a predictor whose best rescaling is no rescaling, in every environment."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from invtutor.algorithms.algorithm import Algorithm, Metrics
from invtutor.environments import Environment
from invtutor.risks import risk, squared_norm

__all__ = ["IRMv1", "penalty", "slope"]


def slope(logits: Tensor, labels: Tensor) -> Tensor:
    """∂R(w·logits)/∂w at w = 1: logits (n, outputs), labels (n,) → (outputs,).

    By the chain rule it is mean((σ(z) − y)·z): one pass, and differentiable without a second backward pass.
    For several classes w is a vector of ones, one per class, as in Choe et al. 2020.
    """
    if logits.shape[1] == 1:
        excess = logits.sigmoid() - labels[:, None]
    else:
        excess = logits.softmax(1) - F.one_hot(labels, logits.shape[1])
    return (excess * logits).mean(0)


def penalty(logits: Tensor, labels: Tensor, *, halves: bool = False) -> Tensor:
    """‖∂R(w·logits)/∂w‖² at w = 1, a scalar; with `halves` the product of the slopes on two halves of the batch.

    The square of a noisy slope is too large on average, by its variance; the product of two independent ones is not
    (Arjovsky et al. 2019, appendix D). It can be negative.
    """
    if halves:
        return (slope(logits[::2], labels[::2]) * slope(logits[1::2], labels[1::2])).sum()
    return slope(logits, labels).square().sum()


@dataclass(eq=False)
class IRMv1(Algorithm):
    """IRMv1:  mean_e R^e(θ) + λ · mean_e ‖∇_{w|w=1} R^e(w·f_θ)‖²      (Arjovsky et al. 2019, arXiv 1907.02893, eq.
    IRMv1)

    paper → code:  λ → penalty_weight (0 is ERM; too large and the constant predictor wins);  w → the dummy scale in
    `slope`; the division by λ → rescale (it keeps the gradient's size when λ jumps);  app. D → halves.

    Differences from the authors' code: 1. the slope in closed form instead of a second backward pass (equal; tested);
    2. any number of environments; 3. annealing is a schedule given to the loop, not a counter in here.
    """

    penalty_weight: float = 1e4
    rescale: bool = True
    halves: bool = False

    label = "IRMv1"

    def backward(self, environments: Sequence[Environment]) -> Metrics:
        batches = [(self.model(e.inputs), e.labels) for e in environments]
        mean_risk = torch.stack([risk(*batch) for batch in batches]).mean()
        mean_penalty = torch.stack([penalty(*batch, halves=self.halves) for batch in batches]).mean()
        objective = mean_risk + self.l2 * squared_norm(self.model) + self.penalty_weight * mean_penalty
        (objective / max(1.0, self.penalty_weight) if self.rescale else objective).backward()
        return {"risk": mean_risk.item(), "penalty": mean_penalty.item()}
