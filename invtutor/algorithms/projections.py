"""The nearest points that a search may stand at: MAPLE's chances and weights."""

import torch
from torch import Tensor

__all__ = ["project", "shrink"]


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
