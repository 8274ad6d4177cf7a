"""What searches over samples and over parameters share: the nearest points that they may stand at, and masks."""

import torch
from torch import Tensor, nn

from invtutor.algorithms.ready import trainable

__all__ = ["masked", "project", "shrink"]


def project(probabilities: Tensor, budget: float) -> Tensor:
    """The nearest point with s in [0, 1] and Σ s ≤ budget: clamp(s − v, 0, 1), the least such v ≥ 0 by bisection."""
    high = probabilities.max().clamp(min=0).double()
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
