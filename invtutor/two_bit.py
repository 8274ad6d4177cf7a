"""The smallest world with two clues, solved exactly: a shape bit, a color bit, and a logit with one weight for each.

The shape agrees with the label with chance 1 − label_noise, the color with chance 1 − flip_rate, independently. The
logit for the label is w_shape·s + w_color·c with s, c = ±1 for agreement. Its risk is a sum over four cases, without
samples and without noise, so that what a method does to a network can be foretold in two numbers.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import softplus

__all__ = ["accuracy", "gradient", "risk", "risks"]

CASES = torch.tensor([(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)], dtype=torch.double)  # (s, c)


def _chances(flip_rate: float, label_noise: float) -> Tensor:
    shape = torch.tensor([1 - label_noise, label_noise], dtype=torch.double)
    color = torch.tensor([1 - flip_rate, flip_rate], dtype=torch.double)
    return torch.outer(shape, color).flatten()


def risk(weights: Tensor, flip_rate: float, label_noise: float = 0.25) -> Tensor:
    """Exact cross-entropy in nats: weights (*, 2) float64 as (w_shape, w_color) → (*)."""
    return softplus(-(weights @ CASES.T)) @ _chances(flip_rate, label_noise)


def risks(weights: Tensor, flip_rates: Sequence[float], label_noise: float = 0.25) -> Tensor:
    """The risks in several environments: weights (*, 2) → (environments, *)."""
    return torch.stack([risk(weights, rate, label_noise) for rate in flip_rates])


def gradient(weights: Tensor, flip_rate: float, label_noise: float = 0.25) -> Tensor:
    """∂risk/∂weights, (*, 2) → (*, 2), in closed form and therefore differentiable itself."""
    doubt = torch.sigmoid(-(weights @ CASES.T))  # (*, cases): how wrong the logit is
    return -(doubt * _chances(flip_rate, label_noise)) @ CASES


def accuracy(weights: Tensor, flip_rate: float, label_noise: float = 0.25) -> Tensor:
    """Exact accuracy, (*, 2) → (*); a tie counts half."""
    logits = weights @ CASES.T
    right = (logits > 0).double() + 0.5 * (logits == 0).double()
    return right @ _chances(flip_rate, label_noise)
