"""Self-checks of lesson 05."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from invtutor.algorithms import meta_irm
from invtutor.checks.verdict import Trial, check, near

__all__ = ["check_deviation", "check_inner_step", "check_orders"]


@check("inner step", "Take the gradient of risk(theta) with torch.autograd.grad, and go down by inner_rate times it.")
def check_inner_step(student: Callable[[Tensor, Callable[[Tensor], Tensor], float], Tensor]) -> Iterator[Trial]:
    """student(theta (n,), risk: (n,) → scalar, inner_rate) → θ′ (n,), through which gradients flow."""
    generator = torch.Generator().manual_seed(5)
    for size, rate in ((1, 0.5), (3, 0.1)):
        curvature = torch.rand(size, generator=generator) + 0.5
        theta = torch.randn(size, generator=generator).requires_grad_()

        def risk(at: Tensor, curvature: Tensor = curvature) -> Tensor:
            return (curvature * at.square()).sum() / 2

        before = theta.detach().clone()
        found = student(theta, risk, rate)
        wanted = before - rate * curvature * before
        yield torch.equal(theta.detach(), before), "You changed theta itself. Make a new tensor: θ must still be there."
        yield not near(found.detach(), 2 * before - wanted), "Your step goes up: the minus sign is missing."
        yield near(found.detach(), wanted), "θ′ = θ − α·∇R(θ): the gradient at θ, times inner_rate, taken from θ."
        yield found.requires_grad, "θ′ has lost its graph: no detach(), no .data, no torch.no_grad()."
        (through,) = torch.autograd.grad(found.sum(), theta)
        hint = "θ′ is right, but its derivative sees no second derivatives: pass create_graph=True, "
        yield near(through, 1 - rate * curvature), hint + "or you have written the first-order variant."


@check("deviation", "The root of the mean squared distance from the mean; mind its gradient where all are equal.")
def check_deviation(student: Callable[[Tensor], Any]) -> Iterator[Trial]:
    """student(losses (pairs,)) → their population standard deviation, with a finite gradient everywhere."""
    for losses in (torch.tensor([0.2, 0.6]), torch.tensor([0.3, 0.5, 0.9, 0.4, 0.2, 0.6])):
        found, wanted = student(losses), meta_irm.deviation(losses)
        hint = "That divides by n − 1. The pairs are all there are: divide by n (unbiased=False)."
        yield not near(found, losses.std(), 1e-4), hint
        yield not near(found, wanted.square(), 1e-4), "That is the variance; σ is its root, in nats like the losses."
        yield near(found, wanted, 1e-4), f"Of {[round(x, 2) for x in losses.tolist()]} it is {wanted:.4f}."
    leaf = torch.full((2,), 0.5, requires_grad=True)
    equal = torch.as_tensor(student(leaf))
    yield equal.requires_grad, "The deviation must stay differentiable in the losses."
    (slope,) = torch.autograd.grad(equal, leaf)
    hint = "Where all losses are equal your gradient is NaN: the root has an infinite slope at 0. Add 1e-12 under it."
    yield bool(slope.isfinite().all()), hint


@check("orders", "θ′ = θ − α·a·(θ − u); the first order is b·(θ′ − v), and the chain rule gives the second.")
def check_orders(student: Callable[[float, float, float, float, float, float], Any]) -> Iterator[Trial]:
    """student(theta, inner_rate, a, u, b, v) → (first, second order) derivative of R_2(θ′) in θ, where
    R_1(θ) = a/2·(θ − u)² is the inner and R_2(θ) = b/2·(θ − v)² the outer risk."""
    for theta, rate, a, u, b, v in ((0.0, 0.5, 1.0, 1.0, 1.0, -1.0), (2.0, 0.3, 2.0, 0.5, 3.0, 1.0)):
        first, second = student(theta, rate, a, u, b, v)
        adapted = theta - rate * a * (theta - u)
        wanted = b * (adapted - v)
        yield not near(first, b * (theta - v)), "That is the slope of R₂ at θ; the outer loop judges θ′."
        yield near(first, wanted), f"θ′ is {adapted:g} here, and the slope of R₂ there is {wanted:g}."
        yield not near(second, wanted), "The second order has one more factor: θ′ itself moves with θ, by dθ′/dθ."
        yield near(second, (1 - rate * a) * wanted), f"dθ′/dθ = 1 − α·a is {1 - rate * a:g} here: the chain rule."
