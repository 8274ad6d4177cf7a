"""DANN (arXiv 1505.07818): features from which no discriminator can tell the environments apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from invtutor.algorithms.algorithm import Algorithm, Scalars, within
from invtutor.networks.network import Network
from invtutor.networks.perceptron import MLP
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import risk, squared_norm

__all__ = ["DANN", "reverse"]


def reverse(features: Tensor, penalty_weight: float) -> Tensor:
    """The same values; on the way back the gradient is multiplied by −λ. Any shape."""
    return (1 + penalty_weight) * features.detach() - penalty_weight * features


@dataclass(eq=False)
class DANN(Algorithm):
    """DANN:  min_θ max_φ  mean_e R^e(θ) − λ · D(θ, φ)      (Ganin et al. 2016)

    D is the risk of a discriminator φ that guesses the environment from the features. One backward pass serves both
    players: φ descends on D, and behind the reversal the features climb it, λ times as fast.

    paper → code:  λ → penalty_weight (0 is ERM for the model);  gradient reversal layer → reverse.
    discriminator: features (n, width) → logits (n, environments); None lets `prepare` build one of width 64.

    Differences from the authors' code: 1. every environment has labels, as in domain generalization, where theirs
    adapts to one without; 2. λ is constant unless the loop has a schedule.
    """

    model: Network
    discriminator: nn.Module | None = None
    penalty_weight: float = within(1.0, 0, 1000)

    label = "DANN"
    neutral = {"penalty_weight": 0.0}
    holds = False
    looks_inside = True
    ordered = True  # a discriminator's outputs have places
    least_environments = 2

    def prepare(self, environments: Sequence[Environment], generator: Generator | None = None) -> Sequence[Environment]:
        environments = super().prepare(environments)
        if self.discriminator is None:
            head = self.model.head
            self.discriminator = MLP(head.in_features, 64, len(environments), generator).to(head.weight)
        return environments

    def parameters(self) -> list[Tensor]:
        return [*super().parameters(), *(self.discriminator.parameters() if self.discriminator else ())]

    def backward(self, environments: Sequence[Environment]) -> Scalars:
        inputs, labels = (torch.cat([getattr(e, name).detach() for e in environments]) for name in ("inputs", "labels"))
        origins = torch.cat([torch.full_like(e.labels, i) for i, e in enumerate(environments)])
        assert self.discriminator is not None, "`prepare` builds it"
        features = self.model.features(inputs)
        mean_risk = risk(self.model.head(features), labels)
        confusion = risk(self.discriminator(reverse(features, self.penalty_weight)), origins)
        (mean_risk + self.l2 * squared_norm(self.model) + confusion).backward()
        return {"risk": mean_risk.detach(), "penalty": confusion.detach()}
