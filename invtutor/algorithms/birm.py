"""BIRM: IRMv1's slope asked of many classifiers near 1, which a network cannot satisfy by chance."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from invtutor.algorithms.algorithm import Algorithm, Scalars, within
from invtutor.algorithms.scale import rescaled, slope
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import risk, squared_norm

__all__ = ["BIRM", "penalty"]


def penalty(logits: Tensor, labels: Tensor, scales: Tensor) -> Tensor:
    """The mean over draws w of ‖∂R(w·logits)/∂w‖², scales (draws, outputs) → scalar."""
    return torch.stack([slope(logits, labels, scale).square().sum() for scale in scales]).mean()


@dataclass(eq=False)
class BIRM(Algorithm):
    """BIRM:  mean_e R^e(θ) + λ · E_w mean_e ‖∇_w R^e(w·f_θ)‖²,  w ~ N(1, σ²)      (Lin et al. 2022, CVPR, §4)

    With few samples a network that knows them by heart has no slope at w = 1 in any environment, color or not. The
    posterior of w given a small environment is wide; the slope is asked at draws from it, where memory does not help.

    paper → code:  λ → penalty_weight (0 is ERM);  σ → deviation (0 is IRMv1);  the draws of w → noise, anew at each
    step, and the same for all environments.

    Differences from the authors' code: 1. σ is given, where theirs is 1200 / (number of samples): .06 for 20,000; 2.
    the division by λ above 1 where they divide by 1 + λ; 3. before annealing ends λ is small, where theirs is 0; 4. any
    number of environments and of classes.
    """

    penalty_weight: float = within(1e4, 0, 1e12)
    deviation: float = within(0.06, 0, 10)
    draws: int = within(10, 1, 1000)
    rescale: bool = True

    label = "BIRM"
    neutral = {"penalty_weight": 0.0}
    holds = True

    def prepare(self, environments: Sequence[Environment], generator: Generator | None = None) -> Sequence[Environment]:
        environments = super().prepare(environments)
        self.outputs = self.predict(environments[0].inputs[:2]).shape[1]
        self.generator = Generator().manual_seed(0)
        return environments

    def noise(self) -> Tensor:
        return torch.randn(self.draws, self.outputs, generator=self.generator)

    def backward(self, environments: Sequence[Environment]) -> Scalars:
        batches = [(self.model(e.inputs), e.labels) for e in environments]
        scales = 1 + self.deviation * self.noise().to(batches[0][0])
        mean_risk = torch.stack([risk(*batch) for batch in batches]).mean()
        mean_penalty = torch.stack([penalty(*batch, scales) for batch in batches]).mean()
        objective = mean_risk + self.l2 * squared_norm(self.model) + self.penalty_weight * mean_penalty
        (rescaled(objective, self.penalty_weight) if self.rescale else objective).backward()
        return {"risk": mean_risk.detach(), "penalty": mean_penalty.detach()}
