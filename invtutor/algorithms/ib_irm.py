"""IB-IRM: IRMv1 on features that carry no more than they must."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from invtutor.algorithms.algorithm import Algorithm, Scalars, within
from invtutor.algorithms.scale import rescaled, slope
from invtutor.networks.network import Network
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import risk, squared_norm

__all__ = ["IBIRM", "penalty"]


def penalty(features: Tensor, logits: Tensor, labels: Tensor, bottleneck: Tensor | float) -> Tensor:
    """‖∂R(w·logits)/∂w‖² at w = 1, and γ times the mean variance of a feature: (n, width), (n, outputs), (n,) → scalar.
    A Gaussian's entropy grows with its variance, so that the latter bounds what the features tell."""
    return slope(logits, labels).square().sum() + bottleneck * features.var(0).mean()


@dataclass(eq=False)
class IBIRM(Algorithm):
    """IB-IRM:  mean_e R^e(θ) + λ · mean_e (‖∇_{w|w=1} R^e(w·f_θ)‖² + γ · Var Φ(X^e))      (Ahuja et al. 2021, §4)

    Where the shape alone tells all of the label, a predictor that also uses the color satisfies IRM's penalty; of two
    such the information bottleneck takes the one whose features Φ vary less. On Colored MNIST with its noisy labels the
    first term does the work already.

    paper → code:  λ → penalty_weight (0 is ERM);  γ → bottleneck (0 is IRMv1);  the division by λ → rescale.

    Reference: arXiv 2106.06607. Differences from the authors' code: 1. γ is relative to λ and both rise together, where
    theirs is a weight and has a first step of its own; 2. before annealing ends λ is small, where theirs is 0; 3. not
    the variance within each class, which theirs can take; 4. any number of environments.
    """

    model: Network
    penalty_weight: float = within(1e4, 0, 1e12)
    bottleneck: float = within(1e-2, 0, 1e6)
    rescale: bool = True

    label = "IB-IRM"
    neutral = {"penalty_weight": 0.0}
    looks_inside = True
    holds = True

    def backward(self, environments: Sequence[Environment]) -> Scalars:
        features = [self.model.features(e.inputs) for e in environments]
        batches = [(self.model.head(f), e.labels) for f, e in zip(features, environments, strict=True)]
        mean_risk = torch.stack([risk(*batch) for batch in batches]).mean()
        both = [penalty(f, *batch, self.bottleneck) for f, batch in zip(features, batches, strict=True)]
        mean_penalty = torch.stack(both).mean()
        objective = mean_risk + self.l2 * squared_norm(self.model) + self.penalty_weight * mean_penalty
        (rescaled(objective, self.penalty_weight) if self.rescale else objective).backward()
        return {"risk": mean_risk.detach(), "penalty": mean_penalty.detach()}
