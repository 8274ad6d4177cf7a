"""Self-checks of lessons 02 to 04. What is decorated is the right answer; see `verdict.check`."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from invtutor.algorithms import irmv1, mmrex, vrex
from invtutor.course.checks.clues import NO_MEAN, batches
from invtutor.course.checks.verdict import check
from invtutor.worlds.risks import accuracy_curve

__all__ = ["check_curve", "check_gray", "check_maximum_excess", "check_objective", "check_slope", "check_variance"]

# Lesson 02 ------------------------------------------------------------------------------------------------------------


def _pictures() -> Iterator[tuple[Tensor]]:
    """Inputs (n, 2, side, side), of which one channel each is lit."""
    yield (torch.tensor([[[[0.2, 0.8]], [[0.0, 0.0]]], [[[0.0, 0.0]], [[1.0, 0.4]]]]),)
    inputs = torch.rand(6, 2, 14, 14, generator=torch.Generator().manual_seed(3))
    inputs[torch.arange(6), torch.tensor([0, 1, 0, 1, 1, 0])] = 0.0
    yield (inputs,)


@check(
    "gray",
    "Add up the channels, and put the sum into each of them.",
    examples=_pictures,
    keeps="You changed the inputs in place; others still need them. Make a new tensor.",
    mistakes={
        "That halves the ink: a mean over a lit and a dark channel. The network has never seen such pale digits.": (
            lambda inputs: inputs.mean(1, keepdim=True).expand_as(inputs)
        ),
        "The network wants two channels: put the sum into each of them.": (
            lambda inputs: inputs.sum(1),
            lambda inputs: inputs.sum(1, keepdim=True),
            lambda inputs: inputs.amax(1),
            lambda inputs: inputs.amax(1, keepdim=True),
        ),
        "You changed nothing: the color can still be read from the channel that is lit.": lambda inputs: inputs,
        "You exchanged the channels, which turns each color into the other.": lambda inputs: inputs.flip(1),
        "You lit one channel for all: every digit has the same color now, and it is a color.": (
            lambda inputs: torch.stack([inputs.sum(1), 0 * inputs[:, 0]], 1),
            lambda inputs: torch.stack([0 * inputs[:, 0], inputs.sum(1)], 1),
        ),
        "You took the first channel for both: digits of the other color are gone.": (
            lambda inputs: inputs[:, :1].expand_as(inputs)
        ),
        "You took the second channel for both: digits of the other color are gone.": (
            lambda inputs: inputs[:, 1:].expand_as(inputs)
        ),
        "The digits are gone: every pixel is 0.": lambda inputs: torch.zeros_like(inputs),
        "You add up over the digits, dimension 0; the channels are dimension 1.": (
            lambda inputs: inputs.sum(0, keepdim=True).expand_as(inputs)
        ),
        "A pixel is not lit or dark, but has a strength: keep it.": lambda inputs: (
            (inputs.sum(1, keepdim=True) > 0).to(inputs).expand_as(inputs)
        ),
    },
)
def check_gray(inputs: Tensor) -> Tensor:
    """inputs (n, 2, 14, 14) → the same digits with both channels lit."""
    return inputs.sum(1, keepdim=True).expand_as(inputs)


@check(
    "curve",
    "A share 1 − p of the digits wears the agreeing color, a share p the flipped one.",
    examples=lambda: [
        (1.0, 0.0, 0.9),
        (0.93, 0.12, 0.2),
        (0.1, 0.8, 0.9),
        (0.7, 0.7, 0.5),
        (0.8, 0.3, 0.0),
        (0.8, 0.3, 1.0),
    ],
    mistakes={
        "The shares are exchanged: a share `flip_rate` of the digits wears the *flipped* color.": (
            lambda a, f, p: p * a + (1 - p) * f
        ),
        "You leave out the digits whose color is flipped.": (lambda a, f, p: a, lambda a, f, p: (1 - p) * a),
        "You leave out the digits whose color agrees.": (lambda a, f, p: f, lambda a, f, p: p * f),
        "You take both accuracies alike; weigh them by how many digits wear which color.": lambda a, f, p: (a + f) / 2,
        "The agreeing digits are a share 1 − p, not all of them.": lambda a, f, p: a + p * f,
        "The difference is taken off the wrong way round: at p = 1 the accuracy is `flipped`.": (
            lambda a, f, p: a + p * (a - f)
        ),
        "That takes p off the accuracy; it does not use `flipped`.": lambda a, f, p: a - p,
        "You multiply the two accuracies; no digit wears both colors.": (lambda a, f, p: a ** (1 - p) * f**p),
        "You take the better of the two; the digits decide which color they wear.": lambda a, f, p: max(a, f),
    },
)
def check_curve(agreeing: float, flipped: float, flip_rate: float) -> float:
    """→ expected accuracy at a flip rate."""
    return accuracy_curve(torch.tensor([agreeing, flipped], dtype=torch.float64), [flip_rate])[0]


# Lesson 03 ------------------------------------------------------------------------------------------------------------


@check(
    "slope",
    "By the chain rule dR/dw = mean(dR/dz · z), and for the cross-entropy dR/dz = σ(z) − y.",
    examples=lambda: [*batches(), (torch.zeros(3, 1), torch.tensor([1, 0, 1]))],
    differentiable=["logits"],
    mistakes={
        "Labels (n,) against logits (n, 1) broadcast to (n, n). Use labels[:, None].": (
            lambda z, y: ((z.sigmoid() - y) * z).mean(),
            lambda z, y: ((z.sigmoid() - y) * z).sum() / len(y),
            lambda z, y: ((z.sigmoid() - y) * z).sum(),
            lambda z, y: (z.sigmoid() - y) * z,
        ),
        "You took the sum over samples; the risk is a mean.": lambda z, y: ((z[:, 0].sigmoid() - y) * z[:, 0]).sum(),
        NO_MEAN: (
            lambda z, y: (z[:, 0].sigmoid() - y) * z[:, 0],
            lambda z, y: (z.sigmoid() - y[:, None]) * z,
        ),
        "You give one number per sample, each divided by n; add them up.": (
            lambda z, y: (z[:, 0].sigmoid() - y) * z[:, 0] / len(y),
            lambda z, y: (z.sigmoid() - y[:, None]) * z / len(y),
        ),
        "That is the slope's square, IRMv1's penalty. The slope itself has a sign.": (
            lambda z, y: ((z[:, 0].sigmoid() - y) * z[:, 0]).mean() ** 2
        ),
        "The σ is missing: dR/dz = σ(z) − y compares a probability with the label.": (
            lambda z, y: ((z[:, 0] - y) * z[:, 0]).mean()
        ),
        "The factor z is missing: w multiplies the logit, so that dz/dw is the logit itself.": (
            lambda z, y: (z[:, 0].sigmoid() - y).mean()
        ),
        "The sign is turned round: dR/dz = σ(z) − y.": lambda z, y: ((y - z[:, 0].sigmoid()) * z[:, 0]).mean(),
        "The size alone is not the slope: it has a sign.": lambda z, y: (
            ((z[:, 0].sigmoid() - y) * z[:, 0]).mean().abs()
        ),
        "That is the risk itself, not its derivative in w.": (
            lambda z, y: F.binary_cross_entropy_with_logits(z[:, 0], y.to(z))
        ),
        "That is the product of two means, which (n,) times (n, 1) gives as well; take the mean of n products.": (
            lambda z, y: (z[:, 0].sigmoid() - y).mean() * z.mean()
        ),
    },
)
def check_slope(logits: Tensor, labels: Tensor) -> Tensor:
    """logits (n, 1), labels (n,) → derivative of the risk in the dummy scale at 1, a scalar."""
    return irmv1.slope(logits, labels)[0]


def _objectives() -> Iterator[tuple[Tensor, Tensor, float]]:
    for risk, penalty in ((0.4, 0.03), (0.6, 0.2)):
        for weight in (0.0, 0.5, 1.0, 4.0, 1e4):
            yield torch.tensor(risk, dtype=torch.float64), torch.tensor(penalty, dtype=torch.float64), weight


@check(
    "objective",
    "Add risk and weighted penalty; divide by the weight where it is larger than 1.",
    examples=_objectives,
    differentiable=["risk", "penalty"],
    tolerance=1e-6,
    mistakes={
        "Undivided, weight 10,000 gives an objective in the hundreds: gradients jump when annealing ends. Divide.": (
            lambda risk, penalty, w: risk + w * penalty
        ),
        "You divide by weights below 1 as well, which makes the objective larger; weights up to 1 do not divide.": (
            lambda risk, penalty, w: (risk + w * penalty) / w if w else risk,
            lambda risk, penalty, w: (risk + w * penalty) / max(w, 1e-9),
            lambda risk, penalty, w: (risk + w * penalty) / max(w, 1e-12),
            lambda risk, penalty, w: risk / w + penalty if w else risk,
        ),
        "Only the penalty is divided. The risk must be, too, or the optimum moves.": (
            lambda risk, penalty, w: risk + w * penalty / max(1.0, w)
        ),
        "Only the risk is divided. The penalty must be, too, or the optimum moves.": (
            lambda risk, penalty, w: risk / max(1.0, w) + w * penalty
        ),
        "You divide by 1 + weight; the method divides by the weight, and only where it is larger than 1.": (
            lambda risk, penalty, w: (risk + w * penalty) / (1 + w)
        ),
        "The weight belongs to the penalty, not to the risk.": (
            lambda risk, penalty, w: (w * risk + penalty) / max(1.0, w)
        ),
        "The risk is missing.": (
            lambda risk, penalty, w: w * penalty / max(1.0, w),
            lambda risk, penalty, w: w * penalty,
        ),
        "The penalty is missing.": (lambda risk, penalty, w: risk, lambda risk, penalty, w: risk / max(1.0, w)),
        "The weight is missing: the penalty counts `weight` times.": (
            lambda risk, penalty, w: risk + penalty,
            lambda risk, penalty, w: (risk + penalty) / max(1.0, w),
        ),
        "min and max are exchanged: divide by the *larger* of 1 and the weight.": (
            lambda risk, penalty, w: (risk + w * penalty) / (min(1.0, w) or 1e-9),
            lambda risk, penalty, w: (risk + w * penalty) / min(1.0, w) if w else risk,
        ),
        "The penalty is subtracted; what is minimized must grow with it.": (
            lambda risk, penalty, w: (risk - w * penalty) / max(1.0, w)
        ),
    },
)
def check_objective(risk: Tensor, penalty: Tensor, weight: float) -> Tensor:
    """→ what IRMv1 minimizes."""
    return (risk + weight * penalty) / max(1.0, weight)


# Lesson 04 ------------------------------------------------------------------------------------------------------------


def _risk_vectors() -> Iterator[tuple[Tensor]]:
    yield from ((torch.tensor(r, dtype=torch.float64),) for r in ([0.3, 0.7], [0.6, 0.6, 0.6], [0.5, 1.4, 0.2]))
    yield (torch.tensor([0.4, 2.0, 0.1, 0.4, 1.1], dtype=torch.float64),)


@check(
    "variance",
    "The mean of the squared distances from the mean risk.",
    examples=_risk_vectors,
    differentiable=["risks"],
    mistakes={
        "That is the unbiased variance, divided by n − 1; the environments are all there are: divide by n.": (
            lambda r: r.var(unbiased=True)
        ),
        "That is the standard deviation, the root of the penalty.": (
            lambda r: r.std(unbiased=False),
            lambda r: (r.var(unbiased=False) + 1e-12).sqrt(),
        ),
        "That is the standard deviation, with n − 1: the penalty is its square, with n.": lambda r: r.std(),
        "That is the range, largest minus smallest; with three environments or more it forgets those between.": (
            lambda r: r.max() - r.min()
        ),
        "That is made of the largest and the smallest risk alone; all environments count.": (
            lambda r: (r.max() - r.min()) ** 2,
            lambda r: (r.max() - r.min()) ** 2 / 4,
            lambda r: (r.max() - r.min()) ** 2 / 2,
        ),
        "You take the first two environments only.": (
            lambda r: (r[0] - r[1]) ** 2 / 4,
            lambda r: (r[0] - r[1]) ** 2,
            lambda r: (r[0] - r[1]) ** 2 / 2,
        ),
        "You square the risks themselves; square their distances from the mean risk.": (
            lambda r: (r**2).mean(),
            lambda r: (r**2).sum(),
        ),
        "You add up the squared distances; take their mean.": lambda r: (r - r.mean()).square().sum(),
        "Distances count by their squares here, not by their sizes.": (
            lambda r: (r - r.mean()).abs().mean(),
            lambda r: (r - r.mean()).abs().sum(),
        ),
        "Distances above and below the mean cancel: square each before you average.": (
            lambda r: (r - r.mean()).mean(),
            lambda r: (r - r.mean()).mean() ** 2,
        ),
        "You give one number per environment; take the mean.": lambda r: (r - r.mean()).square(),
        "That is the mean risk.": lambda r: r.mean(),
    },
)
def check_variance(risks: Tensor) -> Tensor:
    """risks (environments,) → V-REx's penalty."""
    return vrex.penalty(risks)


@check(
    "objective",
    "The mean risk, plus β times how far the worst risk lies above the mean.",
    examples=lambda: ((risks, beta) for (risks,) in _risk_vectors() if risks.std() for beta in (0.0, 1.0, 10.0)),
    differentiable=["risks"],
    mistakes={
        "β = 1 must be the worst case, the largest risk alone: weigh what the worst risk has *above* the mean.": (
            lambda r, beta: r.mean() + beta * r.max()
        ),
        "That is the worst case whatever β is; β = 0 is ERM, the mean risk.": lambda r, beta: r.max(),
        "That is ERM, the mean risk, whatever β is.": lambda r, beta: r.mean(),
        "You weigh the range, largest minus smallest; the excess is the largest minus the *mean*.": (
            lambda r, beta: r.mean() + beta * (r.max() - r.min())
        ),
        "That is the penalty; the mean risk is missing.": (
            lambda r, beta: beta * (r.max() - r.mean()),
            lambda r, beta: r.max() - r.mean(),
        ),
        "You divide by β; here the objective is wanted before any division.": (
            lambda r, beta: (r.mean() + beta * (r.max() - r.mean())) / max(1.0, beta)
        ),
        "The sign is turned round: a worst risk above the mean must cost something.": (
            lambda r, beta: r.mean() + beta * (r.mean() - r.max()),
            lambda r, beta: r.mean() - beta * (r.max() - r.mean()),
        ),
        "That is V-REx's objective; MM-REx takes the worst risk's excess over the mean.": (
            lambda r, beta: r.mean() + beta * r.var(unbiased=False)
        ),
        "You add up the risks; take their mean.": (
            lambda r, beta: r.sum() + beta * (r.max() - r.mean()),
            lambda r, beta: r.sum() + beta * (r.max() - r.sum()),
        ),
        "You start from the worst risk; start from the mean.": lambda r, beta: r.max() + beta * (r.max() - r.mean()),
    },
)
def check_maximum_excess(risks: Tensor, beta: float) -> Tensor:
    """risks (environments,), β → MM-REx's objective, before any division."""
    return risks.mean() + beta * mmrex.penalty(risks)
