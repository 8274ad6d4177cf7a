"""The dummy scale w of IRM's kin, in whose place 1 stands, and the weight λ of what is asked of it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from invtutor.worlds.risks import fitting

__all__ = ["rescaled", "residuals", "slope"]


def residuals(logits: Tensor, labels: Tensor, scale: Tensor | float = 1.0) -> Tensor:
    """∂ℓ_i/∂z_i = σ(z_i) − y_i of every sample at z = scale·logits: logits (n, outputs), labels (n,) → (n, outputs)."""
    labels, logits = fitting(logits, labels), scale * logits
    if logits.shape[1] == 1:
        return logits.sigmoid() - labels[:, None]
    return logits.softmax(-1) - F.one_hot(labels, logits.shape[1])


def slope(logits: Tensor, labels: Tensor, scale: Tensor | float = 1.0) -> Tensor:
    """∂R(w·logits)/∂w at w = scale: logits (n, outputs), labels (n,) → (outputs,).
    By the chain rule it is mean((σ(w·z) − y)·z), differentiable in one pass. For several classes w is a vector.
    """
    return (residuals(logits, labels, scale) * logits).mean(0)


def rescaled(objective: Tensor, penalty_weight: float | Tensor) -> Tensor:
    """objective / max(1, λ), which keeps the gradient's size when λ jumps; λ may be a tensor, an input of a graph."""
    weight = torch.as_tensor(penalty_weight, dtype=objective.dtype, device=objective.device)
    return objective / weight.clamp(min=1.0)
