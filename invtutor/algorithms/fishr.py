"""Fishr: the gradients of the samples should vary alike in all environments."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from invtutor.algorithms.algorithm import Algorithm, Scalars, within
from invtutor.algorithms.scale import rescaled, residuals
from invtutor.networks.network import Network
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import risk, squared_norm

__all__ = ["Fishr", "gradient_variance", "penalty"]


def gradient_variance(features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """v: the variance over samples of the head's gradients g_i = (σ(z_i) − y_i) ⊗ (φ_i, 1), weights and biases.
    features (n, width), logits (n, outputs), labels (n,) → (outputs, width + 1)."""
    seen = torch.cat([features, torch.ones_like(features[:, :1])], 1)
    return (residuals(logits, labels)[:, :, None] * seen[:, None]).var(0, unbiased=False)


def penalty(variances: Tensor) -> Tensor:
    """mean_e ‖v_e − v̄‖², v̄ the mean over environments: (environments, *) → scalar."""
    return (variances - variances.mean(0)).square().flatten(1).sum(1).mean()


@dataclass(eq=False)
class Fishr(Algorithm):
    """Fishr:  mean_e R^e(θ) + λ · mean_e ‖v_e − v̄‖²,  v_e = Var_i ∇ℓ_i(θ) in e      (Rame et al. 2022, §3)

    Gradients of single samples vary with their residuals and their features, as the Hessian does near a minimum:
    where these variances are equal, the loss is equally flat in all environments. Only the head's gradients are looked
    at, which are known in closed form.

    paper → code:  λ → penalty_weight (0 is ERM);  the division by λ → rescale.

    Reference: arXiv 2109.02934. Differences from the authors' code: 1. the mean over environments, as in the paper,
    where their Colored MNIST code sums over two: a λ there is 2λ here; 2. no moving average of v_e, which is in their
    DomainBed code alone; 3. any number of environments; 4. annealing is a schedule given to the loop.
    """

    model: Network
    penalty_weight: float = within(1e4, 0, 1e12)
    rescale: bool = True

    label = "Fishr"
    neutral = {"penalty_weight": 0.0}
    looks_inside = True
    holds = True

    def backward(self, environments: Sequence[Environment]) -> Scalars:
        features = [self.model.features(e.inputs) for e in environments]
        batches = [(self.model.head(f), e.labels) for f, e in zip(features, environments, strict=True)]
        mean_risk = torch.stack([risk(*batch) for batch in batches]).mean()
        spread = [gradient_variance(f, *batch) for f, batch in zip(features, batches, strict=True)]
        distance = penalty(torch.stack(spread))
        objective = mean_risk + self.l2 * squared_norm(self.model) + self.penalty_weight * distance
        (rescaled(objective, self.penalty_weight) if self.rescale else objective).backward()
        return {"risk": mean_risk.detach(), "penalty": distance.detach()}
