"""The smallest world with two clues, solved exactly: a shape bit, a color bit, and a logit with one weight for each.

The shape agrees with the label with chance 1 − label_noise, the color with chance 1 − flip_rate, independently. The
logit for the label is w_shape·s + w_color·c with s, c = ±1 for agreement. Its risk is a sum over four cases, without
samples and without noise, so that what a method does to a network can be predicted from two numbers.

Weights have as many numbers as there are bits: a third one is that of a second spurious clue, which is flipped at the
same rate as the color and independently of it, as in meta-IRM's world of two spurious features.
"""

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import softplus

__all__ = ["accuracy", "adapted", "cases", "gradient", "meta_losses", "minimize", "risk", "risks"]


@cache
def cases(bits: int = 2) -> Tensor:
    """Who agrees with the label, (2**bits, bits) float64: the shape bit first, then the clues; 1 or −1."""
    sign = torch.tensor([1.0, -1.0], dtype=torch.double)
    return torch.cartesian_prod(*[sign] * bits)


def _chances(bits: int, flip_rate: float, label_noise: float) -> Tensor:
    wrong = torch.tensor([label_noise, *[flip_rate] * (bits - 1)], dtype=torch.double)
    return torch.where(cases(bits) > 0, 1 - wrong, wrong).prod(1)


def risk(weights: Tensor, flip_rate: float, label_noise: float = 0.25) -> Tensor:
    """Exact cross-entropy in nats: weights (*, bits) float64 as (w_shape, w_color, …) → (*)."""
    bits = weights.shape[-1]
    return softplus(-(weights @ cases(bits).T)) @ _chances(bits, flip_rate, label_noise)


def risks(weights: Tensor, flip_rates: Sequence[float], label_noise: float = 0.25) -> Tensor:
    """The risks in several environments: weights (*, bits) → (environments, *)."""
    return torch.stack([risk(weights, rate, label_noise) for rate in flip_rates])


def gradient(weights: Tensor, flip_rate: float, label_noise: float = 0.25) -> Tensor:
    """∂risk/∂weights, (*, bits) → (*, bits), in closed form and therefore differentiable itself."""
    bits = weights.shape[-1]
    doubt = torch.sigmoid(-(weights @ cases(bits).T))  # (*, cases): how wrong the logit is
    return -(doubt * _chances(bits, flip_rate, label_noise)) @ cases(bits)


def accuracy(weights: Tensor, flip_rate: float, label_noise: float = 0.25) -> Tensor:
    """Exact accuracy, (*, bits) → (*); a tie counts half, and so does what is one up to the rounding of floats."""
    bits = weights.shape[-1]
    logits = weights @ cases(bits).T
    tie = logits.abs() <= 1e-12 * weights.abs().sum(-1, keepdim=True)
    right = torch.where(tie, 0.5, (logits > 0).double())
    return right @ _chances(bits, flip_rate, label_noise)


def adapted(weights: Tensor, flip_rate: float, inner_rate: float | Tensor, label_noise: float = 0.25) -> Tensor:
    """meta-IRM's inner step θ′ = θ − α∇R^e(θ): (*, bits) → (*, bits). inner_rate: α, a number or (*)."""
    rate = torch.as_tensor(inner_rate, dtype=weights.dtype)
    return weights - rate[..., None] * gradient(weights, flip_rate, label_noise)


def meta_losses(
    weights: Tensor,
    flip_rates: Sequence[float],
    inner_rate: float | Tensor,
    label_noise: float = 0.25,
    *,
    same_environment: bool = False,
) -> Tensor:
    """The risks after an inner step, R^e(θ′_i), of all pairs i ≠ e (or i = e): weights (*, bits) → (pairs, *).

    What meta-IRM minimizes in this world is `losses.mean(0) + penalty_weight * deviation(losses)`, with the deviation
    of `algorithms.meta_irm`.
    """
    steps = [adapted(weights, rate, inner_rate, label_noise) for rate in flip_rates]
    return torch.stack(
        [
            risk(step, rate, label_noise)
            for i, step in enumerate(steps)
            for j, rate in enumerate(flip_rates)
            if (i == j) == same_environment
        ]
    )


def minimize(
    objective: Callable[[Tensor], Tensor], start: Tensor, *, steps: int = 1000, learning_rate: float = 0.1
) -> Tensor:
    """Where Adam, its rate decaying to 0, arrives: start (*, bits) → (*, bits), as many problems at once as starts.

    objective: weights (*, bits) → (*), of which each entry depends on its own weights alone. Adam does not see the
    scale of an objective, so that one rate fits a grid of penalty weights. It finds a local minimum, from `start`.
    """
    weights = start.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([weights], lr=learning_rate)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        (weights.grad,) = torch.autograd.grad(objective(weights).sum(), weights)
        optimizer.step()
        decay.step()
    return weights.detach()
