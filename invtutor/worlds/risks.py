"""Risk and accuracy: of one environment, of all of them as a vector, and along the whole curve of flip rates."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invtutor.worlds.environment import INTEGERS, Environment
from invtutor.worlds.judging import evaluating

__all__ = [
    "accuracy",
    "accuracy_curve",
    "correct",
    "fitting",
    "precise",
    "risk",
    "risks",
    "squared_norm",
    "worst_and_average",
]

Predictor = Callable[[Tensor], Tensor]
SINGLE = {"mps"}  # kinds of devices that have no float64


def fitting(logits: Tensor, labels: Tensor, *, values: bool = True) -> Tensor:
    """The labels (n,) as int64, where they fit logits (n, outputs): one per sample, whole numbers, and none beyond the
    classes; `values` looks for that on the CPU, where it costs nothing, unless the labels are a
    tracer's stand-in. Raises ValueError, naming both, where not.

    Without this (n, 1) against (n,) would be broadcast to (n, n), and nobody would notice.
    """
    tensors = isinstance(logits, Tensor) and isinstance(labels, Tensor)
    if not tensors or logits.dim() != 2 or 0 in logits.shape or labels.shape != logits.shape[:1]:
        fits = False
    else:
        fits = logits.is_floating_point() and labels.dtype in INTEGERS
    if not fits:
        of = " and ".join(f"{tuple(t.shape)} {t.dtype}" if isinstance(t, Tensor) else repr(t) for t in (labels, logits))
        wish = "whole numbers (n,) for logits (n, outputs), n at least 1"
        raise ValueError(f"Parameter `labels` should be {wish}. Found labels and logits {of}.")
    if values and type(labels) is Tensor and labels.device.type == "cpu":
        low, high = (value.item() for value in labels.aminmax())
        classes = max(2, logits.shape[1])
        if low < 0 or high >= classes:
            wish = f"in [0, {classes - 1}] for logits {tuple(logits.shape)}"
            raise ValueError(f"Parameter `labels` should be {wish}. Found labels from {low} to {high}.")
    return labels.long()


def risk(logits: Tensor, labels: Tensor, *, reduction: str = "mean") -> Tensor:
    """Mean cross-entropy in nats, a scalar; with reduction "none" that of each sample, (n,).

    logits: (n, 1) for two classes, else (n, classes); labels: (n,). Raises ValueError as `fitting` does.
    """
    return cross_entropy(logits, fitting(logits, labels), reduction=reduction)


def cross_entropy(logits: Tensor, labels: Tensor, *, reduction: str = "mean") -> Tensor:
    """`risk` of labels that are known to fit. It is float32 at least, whatever the logits are."""
    logits = logits.float() if logits.dtype.itemsize < 4 else logits
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits[:, 0], labels.to(logits.dtype), reduction=reduction)
    return F.cross_entropy(logits, labels, reduction=reduction)


def correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Which predictions are right, (n,) bool; a NaN never is. Shapes and errors as in `risk`."""
    labels = fitting(logits, labels)
    predicted = (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)
    return (predicted == labels) & ~logits.isnan().any(1)


def precise(values: Tensor) -> Tensor:
    """The same in float64, or in float32 on a device that has no more."""
    return values.float() if values.device.type in SINGLE else values.double()


def accuracy(model: Predictor, environment: Environment) -> float:
    """Share of right predictions in an environment, in [0, 1]. A model is judged in eval mode and left as it was."""
    with torch.no_grad(), evaluating(model):
        return precise(correct(model(environment.inputs), environment.labels)).mean().item()


def risks(model: Predictor, environments: Sequence[Environment]) -> Tensor:
    """The vector of risks R^e(θ), (environments,)."""
    return torch.stack([risk(model(e.inputs), e.labels) for e in environments])


def squared_norm(model: nn.Module) -> Tensor:
    """‖θ‖², over weights and biases, a scalar: the L2 term of the reference code is `l2` times this."""
    return torch.stack([parameter.square().sum() for parameter in model.parameters()]).sum()


def accuracy_curve(corners: Tensor, flip_rates: Sequence[float]) -> list[float]:
    """Expected test accuracy at each flip rate, from `ColoredWorld.corners`.

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


def worst_and_average(right: Tensor, groups: Tensor, known: Tensor) -> tuple[float, float]:
    """Accuracy in the worst group, and its average with the groups' shares in training.

    right: whether each sample's prediction is right, (n,). groups, known: numbers of the groups of these samples, (n,),
    and of those in training, (m,).
    """
    each = {group: precise(right[groups == group]).mean().item() for group in groups.unique().tolist()}
    sizes = {group: int((known == group).sum()) for group in each}
    return min(each.values()), sum(each[group] * sizes[group] for group in each) / max(1, sum(sizes.values()))
