"""SparseIRM: IRMv1 on a part of the network, and a search for the part."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor
from torch.func import functional_call

from invtutor.algorithms.algorithm import Algorithm, Scalars, within
from invtutor.algorithms.projections import masked, project
from invtutor.algorithms.scale import rescaled, slope
from invtutor.worlds.environment import Environment
from invtutor.worlds.judging import evaluating
from invtutor.worlds.risks import risk, squared_norm

__all__ = ["SparseIRM", "straight_through"]

SPEED = 10.0  # a chance moves as much faster than a weight, as in the authors' code: Adam steps by its rate


def straight_through(chances: Tensor, noise: Tensor) -> Tensor:
    """m ~ Bernoulli(s), 1 where the noise, uniform in [0, 1), lies below s; its derivative in s counts as 1. (n,)"""
    return (noise < chances).to(chances) + (chances - chances.detach())


@dataclass(eq=False)
class SparseIRM(Algorithm):
    """SparseIRM:  min_{θ, s} E_m mean_e (R^e(m⊙θ) + λ‖∇_{w|w=1} R^e(w·f_{m⊙θ})‖²),  Σ s ≤ K      (Zhou et al. 2022)

    A parameter θ_j is there with chance s_j, m ~ Bernoulli(s), of which each step draws one: a large network satisfies
    IRM's penalty by heart, a small one cannot. The optimizer's steps are projected onto s in [0, 1], Σ s ≤ K. The part
    with s ≥ ½ predicts.

    paper → code:  λ → penalty_weight;  K → share, of all parameters (at 1, and λ = 0, it is ERM);  s → SPEED · scores.

    Differences from the authors' code: 1. K from the first step on, where theirs falls to it between 28 and 60 % of the
    steps; 2. ∂m/∂s is 1, straight through a mask of zeros and ones, where theirs is a Gumbel-softmax sample's at rising
    temperature; 3. biases have chances, too; 4. the division by λ above 1 where they divide by 1 + λ.
    """

    penalty_weight: float = within(1e4, 0, 1e12)
    share: float = within(0.95, 0, 1, above=True)
    rescale: bool = True
    scores: Tensor | None = field(default=None, init=False)

    label = "SparseIRM"
    neutral = {"penalty_weight": 0.0, "share": 1.0}

    def prepare(self, environments: Sequence[Environment], generator: Generator | None = None) -> Sequence[Environment]:
        environments, self.generator = super().prepare(environments), Generator().manual_seed(0)
        theta = super().parameters()
        self.scores = theta[0].new_full((sum(each.numel() for each in theta),), 1 / SPEED).requires_grad_()
        return environments

    def parameters(self) -> list[Tensor]:
        return super().parameters() + ([] if self.scores is None else [self.scores])

    def noise(self) -> Tensor:
        return torch.rand(0 if self.scores is None else len(self.scores), generator=self.generator)

    def backward(self, environments: Sequence[Environment]) -> Scalars:
        assert self.scores is not None, "`prepare` makes them"
        with torch.no_grad():
            self.scores.copy_(project(SPEED * self.scores, self.share * len(self.scores)) / SPEED)
        theta = masked(self.model, straight_through(SPEED * self.scores, self.noise().to(self.scores)))
        batches = [(functional_call(self.model, theta, (e.inputs,)), e.labels) for e in environments]
        mean_risk = torch.stack([risk(*batch) for batch in batches]).mean()
        mean_penalty = torch.stack([slope(*batch).square().sum() for batch in batches]).mean()
        objective = mean_risk + self.l2 * squared_norm(self.model) + self.penalty_weight * mean_penalty
        (rescaled(objective, self.penalty_weight) if self.rescale else objective).backward()
        return {"risk": mean_risk.detach(), "penalty": mean_penalty.detach()}

    def predict(self, inputs: Tensor) -> Tensor:
        if self.scores is None:
            return super().predict(inputs)
        with evaluating(self.model):
            theta = masked(self.model, (SPEED * self.scores >= 0.5).to(self.scores))
            return functional_call(self.model, theta, (inputs,))
