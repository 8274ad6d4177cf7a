"""Self-checks of lesson 05; see `verdict` for what a row is."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from invtutor.algorithms import meta_irm
from invtutor.course.checks.verdict import RIGHT, Rows, check
from invtutor.exact import meta_update

__all__ = ["check_deviation", "check_inner_step", "check_orders", "check_outer_losses", "check_update"]

Risks = Sequence[Callable[[Tensor], Tensor]]


def _exact(*numbers: float) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


class _Quartic:
    """R(θ) = Σ (c θ²/2 + θ⁴/4), whose slope is c θ + θ³ and whose curvature is c + 3θ²."""

    def __init__(self, *curvature: float):
        self.curvature = _exact(*curvature)

    def __call__(self, theta: Tensor) -> Tensor:
        return (self.curvature * theta.square() / 2 + theta**4 / 4).sum()

    def __repr__(self) -> str:
        return f"Σ (c θ²/2 + θ⁴/4) with c = {self.curvature.tolist()}"


@check(
    "inner step",
    "Take the gradient of risk(theta) with torch.autograd.grad, and go down by inner_rate times it.",
    [
        (_exact(1.0), _Quartic(1.0), 0.25),
        (_exact(0.5, -1.5, 0.2), _Quartic(0.5, 1.0, 2.0), 0.1),
        (_exact(0.5, -1.0), _Quartic(1.0, 0.3), 0.0),
    ],
    differentiable=["theta"],
    keeps="You changed theta itself. Make a new tensor: θ must still be there.",
    slopes="θ′ is right; its derivative in θ does not see how the gradient moves with θ. Pass create_graph=True, or "
    "you have written the first-order variant.",
)
def check_inner_step(theta: Tensor, risk: Callable[[Tensor], Tensor], inner_rate: float) -> Rows:
    """theta (n,), risk: (n,) → scalar, inner_rate → θ′ (n,), through which gradients flow."""

    def gradient(place: Tensor) -> Tensor:
        return torch.autograd.grad(risk(place), place, create_graph=True)[0]

    slope = gradient(theta)
    step = inner_rate * slope
    yield RIGHT, theta - step
    yield "Your step goes up: the minus sign is missing.", theta + step
    yield "inner_rate is missing: the gradient counts `inner_rate` times.", theta - slope
    yield "That is the gradient; the step takes it from θ.", slope, step
    yield "That is the step alone: add it to θ.", -step
    yield "You go two steps; the inner loop goes one.", theta - step - inner_rate * gradient(theta - step)
    yield "You take the risk itself from θ; take its gradient.", theta - inner_rate * risk(theta)
    long = "You make all gradients equally long; the step is inner_rate times the gradient as it is."
    yield long, theta - step / slope.norm(), theta - inner_rate * slope.sign()
    shrunk = theta - inner_rate * theta
    yield "θ shrinks by the rate: the step wants the gradient of risk(theta), not θ.", shrunk
    yield "θ stays where it is.", theta * 1


@check(
    "deviation",
    "The root of the mean squared distance from the mean; mind its gradient where all are equal.",
    [(_exact(*x),) for x in ([0.2, 0.6], [0.3, 0.5, 0.9, 0.4, 0.2, 0.6], [0.9, 0.1, 0.3], [0.5, 0.5])],
    differentiable=["losses"],
    tolerance=2e-4,
    infinite="Where all losses are equal the gradient is not finite: the root has an infinite slope at 0. Add 1e-12 "
    "under it.",
)
def check_deviation(losses: Tensor) -> Rows:
    """losses (pairs,) → their population standard deviation, with a finite gradient everywhere."""
    x, distances, span = losses, losses - losses.mean(), losses.max() - losses.min()
    total = distances.square().sum()
    yield RIGHT, meta_irm.deviation(losses)
    sample = "That divides by n − 1. The pairs are all there are: divide by n (unbiased=False)."
    yield sample, x.std(), (x.var() + 1e-12).sqrt()
    yield "That is the variance; σ is its root, in nats like the losses.", x.var(unbiased=False)
    yield "That is the variance, and with n − 1; σ is the root of the one with n.", x.var()
    yield "That is the range, largest minus smallest: only two of the losses count.", span
    yield "That is half the range, which is σ for two losses alone.", span / 2
    yield "Distances count by their squares, under a root; you average their sizes.", distances.abs().mean()
    sums = total.sqrt(), (total + 1e-12).sqrt(), distances.norm()
    yield "You add up the squared distances; take their mean.", *sums
    raw = x.square().mean().sqrt()
    yield "You square the losses themselves; square their distances from the mean.", raw
    yield "That is the mean loss.", x.mean()
    yield "Distances above and below the mean cancel: square each before you average.", distances.mean()
    yield "You take the first two losses only.", (x[0] - x[1]).abs() / 2


def _slope(of: Tensor, theta: Tensor) -> Tensor:
    return torch.autograd.grad(of, theta, create_graph=True)[0]


_PROBLEMS = [
    (_exact(1.0), [_Quartic(1.0), _Quartic(3.0)], 0.25),
    (_exact(0.5, -1.0), [_Quartic(1.0, 0.3), _Quartic(0.2, 2.0)], 0.5),
    (_exact(0.5, -1.0), [_Quartic(1.0, 0.3), _Quartic(0.2, 2.0), _Quartic(0.5, 0.5)], 0.2),
]


@check(
    "outer losses",
    "For each environment i an inner step to θ′; for each other environment j its risk at that θ′; stack them all.",
    _PROBLEMS,
    differentiable=["theta"],
    slopes="The losses are right; their derivative in θ does not see how the inner gradient moves with θ. Does your "
    "inner step pass create_graph=True?",
)
def check_outer_losses(theta: Tensor, risks: Risks, inner_rate: float) -> Rows:
    """theta (n,), risks: for each environment (n,) → scalar, inner_rate → R^j(θ′_i) of all pairs i ≠ j, (pairs,)."""
    steps = [theta - inner_rate * _slope(risk(theta), theta) for risk in risks]
    judged = torch.stack([torch.stack([risk(step) for risk in risks]) for step in steps])  # adapted to × judged on
    others = ~torch.eye(len(risks), dtype=torch.bool)
    yield RIGHT, meta_update.outer_losses(theta, risks, inner_rate), judged.T[others]
    yield (
        "Each θ′ is judged where it was adapted; the outer loss is the risk in the *other* environments.",
        judged.diag(),
    )
    yield "The pairs i = j are in as well; each θ′ is judged in the others alone.", judged.flatten(), judged.T.flatten()
    still = torch.stack([risk(theta) for risk in risks])
    yield "You judge θ itself; the outer loop judges θ′, after the inner step.", still, still[others.nonzero()[:, 1]]
    pooled = theta - inner_rate * _slope(still.mean(), theta)
    one = torch.stack([risk(pooled) for risk in risks])
    yield "One step on the mean risk serves all; every environment has a θ′ of its own.", one
    wide = [theta - _slope(risk(theta), theta) for risk in risks]
    yield "inner_rate is missing in your step.", torch.stack([r(s) for s in wide for r in risks])[others.flatten()]
    up = [theta + inner_rate * _slope(risk(theta), theta) for risk in risks]
    yield "Your inner step goes up.", torch.stack([r(s) for s in up for r in risks])[others.flatten()]
    yield "That is their mean; σ will need every loss, so stack them.", judged[others].mean()
    yield "You add the losses up; σ will need every loss, so stack them.", judged[others].sum()


@check(
    "outer update",
    "The outer losses; their mean plus penalty_weight times their σ; its gradient in θ; a step down from θ.",
    [(*problem, weight, 0.1) for problem in _PROBLEMS for weight in (0.0, 0.5, 10.0)],
    keeps="You changed theta itself. Return a new tensor.",
)
def check_update(theta: Tensor, risks: Risks, inner_rate: float, penalty_weight: float, learning_rate: float) -> Rows:
    """→ θ (n,) after one outer step of gradient descent, with β = learning_rate."""
    theta = theta.detach().requires_grad_()
    losses = meta_update.outer_losses(theta, risks, inner_rate)
    sigma = meta_irm.deviation(losses)
    through = _slope(losses.mean() + penalty_weight * sigma, theta)
    step = learning_rate * through
    yield RIGHT, meta_update.outer_update(theta, risks, inner_rate, penalty_weight, learning_rate)
    yield "Your step goes up: the minus sign is missing.", theta + step
    yield "That is the gradient; return θ after the step.", through, step, -step
    yield "σ is missing: the step descends on the mean alone.", theta - learning_rate * _slope(losses.mean(), theta)
    spread = learning_rate * _slope(losses.var(unbiased=False), theta)
    mean = learning_rate * _slope(losses.mean(), theta)
    yield "You weigh the variance; λ weighs its root, σ.", theta - mean - penalty_weight * spread
    pull = learning_rate * penalty_weight * _slope(sigma, theta)
    yield "The mean of the outer losses is missing; λ·σ alone forgets to be right.", theta - pull
    yield "You add the losses up; take their mean.", theta - len(losses) * mean - pull
    yield "λ is missing: σ counts penalty_weight times.", theta - mean - learning_rate * _slope(sigma, theta)
    divided = theta - step / max(1.0, penalty_weight)
    yield "You divide by λ, as the library does for Adam's sake; the update as the paper has it does not.", divided
    yield "learning_rate is missing: the outer step is β times the gradient.", theta - through
    plain = torch.stack([risk(theta) for risk in risks])
    erm = theta - learning_rate * _slope(plain.mean(), theta)
    rex = theta - learning_rate * _slope(plain.mean() + penalty_weight * meta_irm.deviation(plain), theta)
    yield "That is a step of ERM: no inner step is in it.", erm
    yield "You compare the risks of θ; the outer losses are those of the θ′.", rex


@check(
    "orders",
    "θ′ = θ − α·a·(θ − u); the first order is b·(θ′ − v), and the chain rule gives the second.",
    [(0.0, 0.5, 1.0, 1.0, 1.0, -1.0), (2.0, 0.25, 2.0, 0.5, 3.0, 1.0), (1.0, 2.0, 1.5, -0.5, 0.5, 2.0)],
)
def check_orders(theta: float, inner_rate: float, a: float, u: float, b: float, v: float) -> Rows:
    """→ (first, second order) derivative of R_2(θ′) in θ, where R_1(θ) = a/2·(θ − u)² is the inner and
    R_2(θ) = b/2·(θ − v)² the outer risk."""
    factor = 1 - inner_rate * a
    step = inner_rate * a * (theta - u)
    first, still = b * (theta - step - v), b * (theta - v)
    yield RIGHT, (first, factor * first)
    early = (still, still), (still, factor * still), (still, factor * first)
    yield "Your first number is the slope of R₂ at θ; the outer loop judges θ′.", *early
    yield "The second order has one more factor: θ′ itself moves with θ, by dθ′/dθ.", (first, first)
    swapped = factor * first, first
    yield "The two are exchanged: first the one that holds the inner gradient constant.", swapped
    yield "The factor is dθ′/dθ = 1 − α·a; you have 1 − α·b.", (first, (1 - inner_rate * b) * first)
    yield "The factor is dθ′/dθ = 1 − α·a; you have 1 + α·a.", (first, (1 + inner_rate * a) * first)
    yield "The factor is dθ′/dθ = 1 − α·a; you have 1 − α.", (first, (1 - inner_rate) * first)
    yield "The factor is dθ′/dθ = 1 − α·a; you have −α·a.", (first, -inner_rate * a * first)
    up = b * (theta + step - v)
    yield "Your inner step goes up: θ′ = θ − α·a·(θ − u).", (up, (1 + inner_rate * a) * up), (up, factor * up)
    blind = b * (factor * theta - v)
    yield "The inner step does not know u: the slope of R₁ at θ is a·(θ − u).", (blind, factor * blind)
    yield "The factor b is missing: the slope of R₂ at θ′ is b·(θ′ − v).", (first / b, factor * first / b)
    yield "Return two numbers: the derivative to first order, and the one in full.", factor * first, first
