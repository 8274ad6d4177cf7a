"""Risk and accuracy: of one environment, of all of them as a vector, and along the whole curve of flip rates."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invtutor.environments import Environment, World

__all__ = ["accuracy", "accuracy_curve", "corner_accuracies", "correct", "risk", "risks", "squared_norm"]

Predictor = Callable[[Tensor], Tensor]


def risk(logits: Tensor, labels: Tensor, *, reduction: str = "mean") -> Tensor:
    """Mean cross-entropy in nats, a scalar; with reduction "none" that of each sample, (n,).

    logits: (n, 1) for two classes, else (n, classes); labels: (n,).
    """
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits[:, 0], labels.to(logits.dtype), reduction=reduction)
    return F.cross_entropy(logits, labels, reduction=reduction)


def correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Which predictions are right, (n,) bool. Shapes as in `risk`."""
    predicted = (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)
    return predicted == labels


def accuracy(model: Predictor, environment: Environment) -> float:
    """Share of right predictions in an environment, in [0, 1]."""
    with torch.no_grad():
        return correct(model(environment.inputs), environment.labels).double().mean().item()


def risks(model: Predictor, environments: Sequence[Environment]) -> Tensor:
    """The vector of risks R^e(θ), (environments,)."""
    return torch.stack([risk(model(e.inputs), e.labels) for e in environments])


def squared_norm(model: nn.Module) -> Tensor:
    """‖θ‖², over weights and biases, a scalar: the L2 term of the reference code is `l2` times this."""
    return torch.stack([parameter.square().sum() for parameter in model.parameters()]).sum()


def corner_accuracies(model: Predictor, world: World) -> Tensor:
    """Test accuracy with every spurious bit forced: (2,) for agreeing and flipped color; with patches (2, 2)."""
    accuracies = [accuracy(model, environment) for _, environment in world.corners]
    flat = torch.tensor(accuracies, dtype=torch.float64)
    return flat if len(flat) == 2 else flat.view(2, 2)


def accuracy_curve(corners: Tensor, flip_rates: Sequence[float]) -> list[float]:
    """Expected test accuracy at each flip rate, from `corner_accuracies`.

    At flip rate p a digit wears the agreeing color with chance 1 − p and the flipped one with chance p, so the
    accuracy is (1 − p)·a₀ + p·a₁: a straight line, exact over the colors, with no color left to chance. With an
    independent patch it is the same mixture twice, a parabola.
    """
    curve = []
    for p in flip_rates:
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"Parameter `flip_rates` should be in [0, 1]. Found {p!r}.")
        mixture = torch.tensor([1.0 - p, p], dtype=corners.dtype)
        value = corners
        while value.dim():
            value = torch.tensordot(mixture, value, 1)
        curve.append(value.item())
    return curve
