"""One update of meta-IRM: as the paper writes it, on a vector θ; and in the world of two bits, with all quantities."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from invtutor.algorithms.descent import descend
from invtutor.algorithms.meta_irm import deviation
from invtutor.exact import two_bit

__all__ = ["MetaIRMProblem", "Update", "inner_step", "outer_losses", "outer_update"]

Risk = Callable[[Tensor], Tensor]


def inner_step(theta: Tensor, risk: Risk, inner_rate: float) -> Tensor:
    """θ′ = θ − α∇R(θ), through which gradients flow: (n,) → (n,)."""
    return descend({"θ": theta}, risk(theta), inner_rate)["θ"]


def outer_losses(theta: Tensor, risks: Sequence[Risk], inner_rate: float) -> Tensor:
    """R^j(θ′_i) of all pairs i ≠ j, (pairs,)."""
    adapted = [inner_step(theta, risk, inner_rate) for risk in risks]
    return torch.stack([risk(step) for i, step in enumerate(adapted) for j, risk in enumerate(risks) if i != j])


def outer_update(
    theta: Tensor, risks: Sequence[Risk], inner_rate: float, penalty_weight: float, learning_rate: float
) -> Tensor:
    """θ − β∇{mean + λσ} of the outer losses: (n,) → (n,)."""
    theta = theta.detach().requires_grad_()
    losses = outer_losses(theta, risks, inner_rate)
    (gradient,) = torch.autograd.grad(losses.mean() + penalty_weight * deviation(losses), theta)
    return theta.detach() - learning_rate * gradient


class Update(NamedTuple):
    """All quantities of one update from θ; rows are training environments i, adapted to i and judged on the others."""

    adapted: Tensor  # (environments, 2): θ′_i
    losses: Tensor  # (environments,): mean over e ≠ i of R^e(θ′_i)
    outer: Tensor  # (environments, 2): the gradient of each loss in θ, through the inner step
    shortcut: Tensor  # (environments, 2): the same without second derivatives
    sigma: Tensor  # (): the deviation over all pairs
    gradient: Tensor  # (2,): of the objective, divided by λ where λ > 1


@dataclass(frozen=True)
class MetaIRMProblem:
    """What meta-IRM minimizes: the mean of the outer losses and λ times their deviation, over max(1, λ)."""

    flip_rates: Sequence[float]
    inner_rate: float
    penalty_weight: float
    label_noise: float = 0.25

    def losses(self, weights: Tensor) -> Tensor:
        """The outer losses of all pairs: weights (*, 2) → (pairs, *)."""
        return two_bit.meta_losses(weights, self.flip_rates, self.inner_rate, self.label_noise)

    def objective(self, weights: Tensor) -> Tensor:
        """Weights (*, 2) → (*)."""
        losses, weight = self.losses(weights), self.penalty_weight
        return (losses.mean(0) + weight * deviation(losses)) / max(1.0, weight)

    def on_others(self, i: int, weights: Tensor) -> Tensor:
        """The mean risk in all environments but i: weights (*, 2) → (*)."""
        others = [rate for j, rate in enumerate(self.flip_rates) if j != i]
        return two_bit.risks(weights, others, self.label_noise).mean(0)

    def update(self, theta: Tensor) -> Update:
        """The update from θ, (2,)."""
        adapted = [two_bit.adapted(theta, rate, self.inner_rate, self.label_noise) for rate in self.flip_rates]

        def outer(i: int, through: bool) -> Tensor:
            place = theta.clone().requires_grad_()
            step = two_bit.adapted(place, self.flip_rates[i], self.inner_rate, self.label_noise)
            judged = self.on_others(i, step if through else place + (step - place).detach())
            return torch.autograd.grad(judged, place)[0]

        place = theta.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(self.objective(place), place)
        every = range(len(self.flip_rates))
        return Update(
            torch.stack(adapted),
            torch.stack([self.on_others(i, weights) for i, weights in enumerate(adapted)]),
            torch.stack([outer(i, True) for i in every]),
            torch.stack([outer(i, False) for i in every]),
            deviation(self.losses(theta)),
            gradient,
        )
