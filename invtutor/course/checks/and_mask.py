"""Self-checks of lesson 06. What is decorated is the right answer; see `verdict.check`."""

from collections.abc import Iterator

import torch
from torch import Tensor

from invtutor.algorithms import and_mask
from invtutor.course.checks.verdict import check
from invtutor.exact import consistency

__all__ = ["check_and_mask", "check_geometric_mean", "check_signs_needed"]


def _masked() -> Iterator[tuple[Tensor, float]]:
    generator = torch.Generator().manual_seed(6)
    some = [torch.tensor([[1.0, -1.0, 2.0], [3.0, -5.0, 2.0]])]  # all agree
    some += [torch.tensor([[10.0, 1.0], [-0.1, 2.0], [0.2, -4.0]])]  # two against one: the mean sign is 1/3
    some += [torch.tensor([[4.0, 3.0], [0.0, 1.0], [0.0, 2.0], [0.0, -1.0]])]  # no sign is no vote
    some += [torch.randn(n, 20, generator=generator) for n in (2, 3, 5)]
    yield from ((gradients, threshold) for gradients in some for threshold in (1.0, 0.3, 0.5, 0.0))


def _agreement(gradients: Tensor) -> Tensor:
    return gradients.sign().mean(0).abs()


@check(
    "AND-mask",
    "Average the signs over environments; where the size of that reaches τ, keep the mean gradient.",
    examples=_masked,
    mistakes={
        "Full agreement must pass at τ = 1: ask for ≥, not for >.": lambda g, tau: (_agreement(g) > tau) * g.mean(0),
        "Environments that all want less agree as well: take the size of the mean sign, .abs().": (
            lambda g, tau: (g.sign().mean(0) >= tau) * g.mean(0)
        ),
        "You keep the sum of the gradients; the step follows their mean.": lambda g, tau: (
            (_agreement(g) >= tau) * g.sum(0)
        ),
        "You compare the *sum* of the signs with τ; their mean is meant.": (
            lambda g, tau: (g.sign().sum(0).abs() >= tau) * g.mean(0)
        ),
        "A gradient of 0 is no vote: its sign is 0, neither plus nor minus.": (
            lambda g, tau: (((g > 0).double().mean(0) - 0.5).abs() >= tau / 2) * g.mean(0),
            lambda g, tau: (((g >= 0).double().mean(0) - 0.5).abs() >= tau / 2) * g.mean(0),
            lambda g, tau: (torch.where(g > 0, 1.0, -1.0).mean(0).abs() >= tau) * g.mean(0),
        ),
        "You average over the coordinates; the environments are dimension 0.": (
            lambda g, tau: (g.sign().mean(1).abs() >= tau) * g.mean(1)
        ),
        "You give the mask alone; it belongs before the mean gradient.": (
            lambda g, tau: (_agreement(g) >= tau).to(g),
            lambda g, tau: _agreement(g) >= tau,
        ),
        "You mask each environment's gradient; their mean over environments is wanted.": (
            lambda g, tau: (_agreement(g) >= tau) * g
        ),
        "Signs vote, not sizes: τ bounds the size of the mean sign, not that of the mean gradient.": (
            lambda g, tau: (g.mean(0).abs() >= tau) * g.mean(0)
        ),
        "That is the plain mean: nothing is masked.": lambda g, tau: g.mean(0),
        "The mask is turned round: you keep what does not agree.": lambda g, tau: (_agreement(g) < tau) * g.mean(0),
        "τ bounds the mean sign, not the share of environments on the larger side.": (
            lambda g, tau: (torch.maximum((g > 0).double().mean(0), (g < 0).double().mean(0)) >= tau) * g.mean(0)
        ),
    },
)
def check_and_mask(gradients: Tensor, threshold: float) -> Tensor:
    """gradients (environments, n), threshold → the masked mean gradient (n,)."""
    return and_mask.and_mask(gradients, threshold)


def _products() -> Iterator[tuple[Tensor]]:
    """Gradients (environments, n), none of them 0."""
    generator = torch.Generator().manual_seed(6)
    yield (torch.tensor([[1.0, -2.0, 3.0], [4.0, -8.0, -3.0]]),)
    yield (torch.tensor([[1.0, -1.0], [8.0, -3.0], [27.0, -9.0]]),)
    yield from ((torch.randn(n, 12, generator=generator),) for n in (2, 3, 5))
    yield (torch.full((60, 1), 1e-6),)  # whose product is 0 in any float


def _unanimous(gradients: Tensor) -> Tensor:
    return (gradients.sign().mean(0).abs() == 1) * gradients[0].sign()


@check(
    "geometric mean",
    "Where all signs agree: that sign, times exp of the mean logarithm of the sizes. Else 0.",
    examples=_products,
    tolerance=1e-7,
    mistakes={
        "That is the arithmetic mean: multiply, and take the root.": (
            lambda g: g.mean(0),
            lambda g: _unanimous(g).abs() * g.mean(0),
        ),
        "The logarithm of a negative number is nan: take the sizes, .abs(), first.": (
            lambda g: g.log().mean(0).exp(),
            lambda g: _unanimous(g) * g.log().mean(0).exp(),
        ),
        "The sizes are right; the sign on which the environments agree is lost.": (
            lambda g: _unanimous(g).abs() * g.abs().log().mean(0).exp()
        ),
        "Where the signs differ, the result must be 0.": (
            lambda g: g[0].sign() * g.abs().log().mean(0).exp(),
            lambda g: g.mean(0).sign() * g.abs().log().mean(0).exp(),
            lambda g: g.sign().prod(0) * g.abs().log().mean(0).exp(),
        ),
        "The mean sign is more than a sign: between −1 and 1 it must become 0.": (
            lambda g: g.sign().mean(0) * g.abs().log().mean(0).exp()
        ),
        "Neither sign nor veto is there: where signs differ the result is 0, else it has their sign.": (
            lambda g: g.abs().log().mean(0).exp()
        ),
        "The root is missing: the product of d numbers wants its d-th root.": (
            lambda g: _unanimous(g) * g.abs().prod(0),
            lambda g: _unanimous(g) * g.abs().log().sum(0).exp(),
        ),
        "A square root is right for two environments; of d numbers it is the d-th root.": (
            lambda g: _unanimous(g) * g.abs().prod(0).sqrt(),
            lambda g: _unanimous(g) * (g.abs().log().sum(0) / 2).exp(),
        ),
        "Sixty factors of 0.000001 underflow to 0: add logarithms instead of multiplying.": (
            lambda g: _unanimous(g) * g.abs().prod(0) ** (1 / len(g)),
            lambda g: _unanimous(g) * g.abs().double().prod(0) ** (1 / len(g)),
        ),
        "exp is missing: that is the mean logarithm.": lambda g: _unanimous(g) * g.abs().log().mean(0),
        "You average over the coordinates; the environments are dimension 0.": (
            lambda g: (g.sign().mean(1).abs() == 1) * g[:, 0].sign() * g.abs().log().mean(1).exp()
        ),
    },
)
def check_geometric_mean(gradients: Tensor) -> Tensor:
    """gradients (environments, n), none of them 0 → their geometric mean (n,), 0 where signs differ."""
    return and_mask.geometric_mean(gradients.double(), 1.0)


@check(
    "signs",
    "k of d signs alike make a mean sign of (2k − d)/d. From which k on is that at least τ?",
    examples=lambda: [(16, 0.5), (10, 0.5), (3, 0.5), (16, 1.0), (16, 0.0), (2, 0.4), (7, 0.3), (80, 0.1), (3, 0.34)],
    mistakes={
        "τ is no share of signs: 8 of 16 equal signs cancel, and their mean is 0.": (
            lambda d, tau: round(d * tau),
            lambda d, tau: int(d * tau),
            lambda d, tau: -int(-d * tau // 1),
            lambda d, tau: -int(-(d * tau) // 1),
            lambda d, tau: d * tau,
        ),
        "A number of signs is whole: round it up.": lambda d, tau: d * (1 + tau) / 2,
        "You round down: with one sign less, the mean sign does not reach τ.": (
            lambda d, tau: int(d * (1 + tau) / 2),
            lambda d, tau: int(d * (1 + tau) // 2),
        ),
        "You round to the nearest whole number; round up, or the mean sign does not reach τ.": (
            lambda d, tau: round(d * (1 + tau) / 2)
        ),
        "At least τ: where the mean sign is τ exactly, it passes. You ask for one sign more.": (
            lambda d, tau: int(d * (1 + tau) / 2 + 1e-9) + 1
        ),
        "All signs are needed at τ = 1 alone.": lambda d, tau: d,
        "A majority is enough for some τ alone; for which one is part of the question.": lambda d, tau: d // 2 + 1,
        "You have solved (2k − d)/d ≥ τ for the wrong side: that is how many may *disagree*.": (
            lambda d, tau: int(d * (1 - tau) / 2 + 1e-9)
        ),
        "That is the surplus 2k − d, not k.": lambda d, tau: 2 * consistency.signs_needed(d, tau) - d,
    },
)
def check_signs_needed(environments: int, threshold: float) -> int:
    """→ the smallest number of equal signs that the mask lets pass."""
    return consistency.signs_needed(environments, threshold)
