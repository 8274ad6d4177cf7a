"""What searches over samples and over parameters share: the nearest points that they may stand at, and masks."""

import torch
from torch import Tensor, nn

from invtutor.algorithms.ready import trainable
from invtutor.worlds.risks import precise

__all__ = ["masked", "project", "shrink", "straight_through"]


def project(probabilities: Tensor, budget: float) -> Tensor:
    """The nearest point with s in [0, 1] and Σ s ≤ budget: clamp(s − v, 0, 1), the least such v ≥ 0 by bisection."""
    high = precise(probabilities.max().clamp(min=0))
    low = torch.zeros_like(high)
    for _ in range(50):
        middle = (low + high) / 2
        fits = (probabilities - middle).clamp(0, 1).sum() <= budget
        low, high = torch.where(fits, low, middle), torch.where(fits, middle, high)
    return (probabilities - high).clamp(0, 1)


def shrink(weights: Tensor, radius: float) -> Tensor:
    """The nearest point with w ≥ 0 and ‖w‖ ≤ radius."""
    return weights.clamp(min=0) * (radius / weights.clamp(min=0).norm().clamp(min=radius))


def masked(model: nn.Module, mask: Tensor) -> dict[str, Tensor]:
    """m ⊙ θ by the parameters' names; mask: (parameters,), one number for each of the model's, in their order."""
    theta = trainable(model)
    parts = mask.split([each.numel() for each in theta.values()])
    return {name: own * part.view_as(own) for (name, own), part in zip(theta.items(), parts, strict=True)}


def straight_through(chances: Tensor, noise: Tensor, temperature: float) -> Tensor:
    """MAPLE's authors' mask: 1 where a Gumbel-softmax sample σ((log s/(1 − s) + noise)/T) is at least ½, else 0, and
    that sample's slope in s. chances: s; noise: logistic, the difference of two Gumbel draws; (*) each.
    P(m = 1) is s at any T. The slope's mean over the noise nears 1 as T falls, and few draws then carry all of it.
    """
    soft = torch.sigmoid((chances.logit() + noise) / temperature)
    return (soft >= 0.5).to(soft) + (soft - soft.detach())
