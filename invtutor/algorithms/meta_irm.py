"""meta-IRM (arXiv 2103.12947): a step that helps one environment should help the others."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from invtutor.algorithms.algorithm import Algorithm, Scalars, within
from invtutor.algorithms.descent import descend, risk_at, trainable
from invtutor.algorithms.scale import rescaled
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import squared_norm

__all__ = ["MetaIRM", "deviation"]


def deviation(losses: Tensor) -> Tensor:
    """Population standard deviation σ of the losses, (pairs, *) → (*); its gradient at equality is 0, not NaN."""
    return (losses.var(0, unbiased=False) + 1e-12).sqrt()


@dataclass(eq=False)
class MetaIRM(Algorithm):
    """meta-IRM:  mean_{i, e≠i} R^e(θ′_i) + λ · σ_{i, e≠i} R^e(θ′_i),  θ′_i = θ − α∇R^i(θ)      (Bae et al. 2021)

    The inner loop adapts θ to environment i; the outer loop judges θ′_i on every other environment e, and
    differentiates through the step. What predicts is θ; nothing is adapted at the test.

    paper → code:  α → inner_rate;  λ → penalty_weight (0: no standard deviation loss);  stop-gradient through
    ∇R^i → first_order;  inner = meta environment (e = i) → same_environment;  the outer step θ ← θ − β∇(…) is the
    optimizer's, β its learning rate.

    Differences from the paper: 1. the mean over pairs where it sums: for two environments a λ here does what 2λ does
    there, if its σ is the population's. Which σ it takes is not known; if it divides by one less (torch's default),
    √2·λ there does the same; 2. all pairs, where it samples e; for two environments it is the same; 3. population
    deviation; 4. the division by λ above 1 (rescale), as in IRMv1. The authors' code and hyper-parameters are not
    public.
    """

    penalty_weight: float = within(1.0, 0, 1e12)
    inner_rate: float = within(0.3, 0, 100)
    first_order: bool = False
    same_environment: bool = False
    rescale: bool = True

    label = "meta-IRM"
    neutral = {"penalty_weight": 0.0, "inner_rate": 0.0}
    holds = True
    least_environments = 2

    def backward(self, environments: Sequence[Environment]) -> Scalars:
        theta = trainable(self.model)
        inner = [risk_at(self.model, theta, e.inputs, e.labels) for e in environments]
        adapted = [descend(theta, loss, self.inner_rate, first_order=self.first_order) for loss in inner]
        pairs = [(i, j) for i in range(len(inner)) for j in range(len(inner)) if (i == j) == self.same_environment]
        if not pairs:
            raise ValueError("Parameter `environments` should hold at least two for meta-IRM. Found one.")
        losses = torch.stack(
            [risk_at(self.model, adapted[i], environments[j].inputs, environments[j].labels) for i, j in pairs]
        )
        sigma = deviation(losses)
        objective = losses.mean() + self.l2 * squared_norm(self.model) + self.penalty_weight * sigma
        (rescaled(objective, self.penalty_weight) if self.rescale else objective).backward()
        risk = torch.stack(inner).mean()
        return {"risk": risk.detach(), "meta risk": losses.mean().detach(), "penalty": sigma.detach()}
