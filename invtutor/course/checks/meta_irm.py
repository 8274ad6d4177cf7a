"""Self-checks of lesson 05. What is decorated is the right answer; see `verdict.check`."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from invtutor.algorithms import meta_irm
from invtutor.course.checks.verdict import check

__all__ = ["check_deviation", "check_inner_step", "check_orders"]


class _Quartic:
    """R(θ) = Σ (c θ²/2 + θ⁴/4), whose slope is c θ + θ³ and whose curvature is c + 3θ²."""

    def __init__(self, *curvature: float):
        self.curvature = torch.tensor(curvature, dtype=torch.float64)

    def __call__(self, theta: Tensor) -> Tensor:
        return (self.curvature * theta.square() / 2 + theta**4 / 4).sum()

    def __repr__(self) -> str:
        return f"Σ (c θ²/2 + θ⁴/4) with c = {self.curvature.tolist()}"

    def slope(self, theta: Tensor) -> Tensor:
        return self.curvature * theta + theta**3


def _steps() -> Iterator[tuple[Tensor, _Quartic, float]]:
    yield torch.tensor([1.0], dtype=torch.float64), _Quartic(1.0), 0.25
    yield torch.tensor([0.5, -1.5, 0.2], dtype=torch.float64), _Quartic(0.5, 1.0, 2.0), 0.1
    yield torch.tensor([0.5, -1.0], dtype=torch.float64), _Quartic(1.0, 0.3), 0.0


@check(
    "inner step",
    "Take the gradient of risk(theta) with torch.autograd.grad, and go down by inner_rate times it.",
    examples=_steps,
    differentiable=["theta"],
    keeps="You changed theta itself. Make a new tensor: θ must still be there.",
    slopes="θ′ is right; its derivative in θ does not see how the gradient moves with θ. Pass create_graph=True, or "
    "you have written the first-order variant.",
    mistakes={
        "Your step goes up: the minus sign is missing.": lambda theta, risk, rate: theta + rate * risk.slope(theta),
        "inner_rate is missing: the gradient counts `inner_rate` times.": lambda theta, risk, rate: (
            theta - risk.slope(theta)
        ),
        "That is the gradient; the step takes it from θ.": (
            lambda theta, risk, rate: risk.slope(theta),
            lambda theta, risk, rate: rate * risk.slope(theta),
        ),
        "That is the step alone: add it to θ.": lambda theta, risk, rate: -rate * risk.slope(theta),
        "You go two steps; the inner loop goes one.": lambda theta, risk, rate: (
            (one := theta - rate * risk.slope(theta)) - rate * risk.slope(one)
        ),
        "You take the risk itself from θ; take its gradient.": lambda theta, risk, rate: theta - rate * risk(theta),
        "You make all gradients equally long; the step is inner_rate times the gradient as it is.": (
            lambda theta, risk, rate: theta - rate * risk.slope(theta) / risk.slope(theta).norm(),
            lambda theta, risk, rate: theta - rate * risk.slope(theta).sign(),
        ),
        "θ shrinks by the rate: the step wants the gradient of risk(theta), not θ.": (
            lambda theta, risk, rate: theta - rate * theta
        ),
        "θ stays where it is.": lambda theta, risk, rate: theta * 1,
    },
)
def check_inner_step(theta: Tensor, risk: Callable[[Tensor], Tensor], inner_rate: float) -> Tensor:
    """theta (n,), risk: (n,) → scalar, inner_rate → θ′ (n,), through which gradients flow."""
    (gradient,) = torch.autograd.grad(risk(theta), theta, create_graph=True)
    return theta - inner_rate * gradient


def _losses() -> Iterator[tuple[Tensor]]:
    for losses in ([0.2, 0.6], [0.3, 0.5, 0.9, 0.4, 0.2, 0.6], [0.9, 0.1, 0.3], [0.5, 0.5]):
        yield (torch.tensor(losses, dtype=torch.float64),)


@check(
    "deviation",
    "The root of the mean squared distance from the mean; mind its gradient where all are equal.",
    examples=_losses,
    differentiable=["losses"],
    tolerance=2e-4,
    infinite="Where all losses are equal the gradient is not finite: the root has an infinite slope at 0. Add 1e-12 "
    "under it.",
    mistakes={
        "That divides by n − 1. The pairs are all there are: divide by n (unbiased=False).": (
            lambda x: x.std(),
            lambda x: (x.var() + 1e-12).sqrt(),
        ),
        "That is the variance; σ is its root, in nats like the losses.": lambda x: x.var(unbiased=False),
        "That is the variance, and with n − 1; σ is the root of the one with n.": lambda x: x.var(),
        "That is the range, largest minus smallest: only two of the losses count.": lambda x: x.max() - x.min(),
        "That is half the range, which is σ for two losses alone.": lambda x: (x.max() - x.min()) / 2,
        "Distances count by their squares, under a root; you average their sizes.": lambda x: (
            (x - x.mean()).abs().mean()
        ),
        "You add up the squared distances; take their mean.": (
            lambda x: (x - x.mean()).square().sum().sqrt(),
            lambda x: ((x - x.mean()).square().sum() + 1e-12).sqrt(),
            lambda x: (x - x.mean()).norm(),
        ),
        "You square the losses themselves; square their distances from the mean.": lambda x: x.square().mean().sqrt(),
        "That is the mean loss.": lambda x: x.mean(),
        "Distances above and below the mean cancel: square each before you average.": lambda x: (x - x.mean()).mean(),
        "You take the first two losses only.": lambda x: (x[0] - x[1]).abs() / 2,
    },
)
def check_deviation(losses: Tensor) -> Tensor:
    """losses (pairs,) → their population standard deviation, with a finite gradient everywhere."""
    return meta_irm.deviation(losses)


def _orders() -> Iterator[tuple[float, ...]]:
    yield from ((0.0, 0.5, 1.0, 1.0, 1.0, -1.0), (2.0, 0.25, 2.0, 0.5, 3.0, 1.0), (1.0, 2.0, 1.5, -0.5, 0.5, 2.0))


def _adapted(theta: float, rate: float, a: float, u: float) -> float:
    return theta - rate * a * (theta - u)


@check(
    "orders",
    "θ′ = θ − α·a·(θ − u); the first order is b·(θ′ − v), and the chain rule gives the second.",
    examples=_orders,
    mistakes={
        "Your first number is the slope of R₂ at θ; the outer loop judges θ′.": (
            lambda t, r, a, u, b, v: (b * (t - v), b * (t - v)),
            lambda t, r, a, u, b, v: (b * (t - v), (1 - r * a) * b * (t - v)),
            lambda t, r, a, u, b, v: (b * (t - v), (1 - r * a) * b * (_adapted(t, r, a, u) - v)),
        ),
        "The second order has one more factor: θ′ itself moves with θ, by dθ′/dθ.": (
            lambda t, r, a, u, b, v: (b * (_adapted(t, r, a, u) - v),) * 2
        ),
        "The two are exchanged: first the one that holds the inner gradient constant.": (
            lambda t, r, a, u, b, v: ((1 - r * a) * b * (_adapted(t, r, a, u) - v), b * (_adapted(t, r, a, u) - v))
        ),
        "The factor is dθ′/dθ = 1 − α·a; you have 1 − α·b.": (
            lambda t, r, a, u, b, v: (b * (_adapted(t, r, a, u) - v), (1 - r * b) * b * (_adapted(t, r, a, u) - v))
        ),
        "The factor is dθ′/dθ = 1 − α·a; you have 1 + α·a.": (
            lambda t, r, a, u, b, v: (b * (_adapted(t, r, a, u) - v), (1 + r * a) * b * (_adapted(t, r, a, u) - v))
        ),
        "The factor is dθ′/dθ = 1 − α·a; you have 1 − α.": (
            lambda t, r, a, u, b, v: (b * (_adapted(t, r, a, u) - v), (1 - r) * b * (_adapted(t, r, a, u) - v))
        ),
        "The factor is dθ′/dθ = 1 − α·a; you have −α·a.": (
            lambda t, r, a, u, b, v: (b * (_adapted(t, r, a, u) - v), -r * a * b * (_adapted(t, r, a, u) - v))
        ),
        "Your inner step goes up: θ′ = θ − α·a·(θ − u).": (
            lambda t, r, a, u, b, v: (b * (_adapted(t, -r, a, u) - v), (1 + r * a) * b * (_adapted(t, -r, a, u) - v)),
            lambda t, r, a, u, b, v: (b * (_adapted(t, -r, a, u) - v), (1 - r * a) * b * (_adapted(t, -r, a, u) - v)),
        ),
        "The inner step does not know u: the slope of R₁ at θ is a·(θ − u).": (
            lambda t, r, a, u, b, v: (b * (t - r * a * t - v), (1 - r * a) * b * (t - r * a * t - v))
        ),
        "The factor b is missing: the slope of R₂ at θ′ is b·(θ′ − v).": (
            lambda t, r, a, u, b, v: (_adapted(t, r, a, u) - v, (1 - r * a) * (_adapted(t, r, a, u) - v))
        ),
        "Return two numbers: the derivative to first order, and the one in full.": (
            lambda t, r, a, u, b, v: (1 - r * a) * b * (_adapted(t, r, a, u) - v),
            lambda t, r, a, u, b, v: b * (_adapted(t, r, a, u) - v),
        ),
    },
)
def check_orders(theta: float, inner_rate: float, a: float, u: float, b: float, v: float) -> tuple[float, float]:
    """→ (first, second order) derivative of R_2(θ′) in θ, where R_1(θ) = a/2·(θ − u)² is the inner and
    R_2(θ) = b/2·(θ − v)² the outer risk."""
    first = b * (_adapted(theta, inner_rate, a, u) - v)
    return first, (1 - inner_rate * a) * first
