"""How hard is an explanation to vary? Small exact examples of arXiv 2009.00329, in double precision.

The inconsistency of a solution θ*: move away from it, as far as one environment e hardly notices,

    I_ε(θ*) = max over e, e′ and θ ∈ N_e of |L_e′(θ) − L_e(θ*)|,     N_e: path-connected, |L_e(θ) − L_e(θ*)| ≤ ε,

and look at what this does to another environment e′. An explanation that is hard to vary has a small I_ε; the paper's
invariant learning consistency (ILC) of an algorithm is −I_ε of where it ends, in the mean over where it starts (§2.1).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, comb, cos, radians, sin

import torch
from torch import Tensor

from invtutor.algorithms.and_mask import and_mask, geometric_mean

__all__ = ["PATCHWORK", "RULES", "Bowl", "Rule", "chance_kept", "examples", "exchange_rate", "follow", "inconsistency"]
__all__ += ["patchwork", "patchwork_losses", "routes", "signs_needed", "squared_error_gradients", "squared_errors"]
__all__ += ["two_bowls"]

Rule = Callable[[Tensor], Tensor]  # gradients, one row per environment (environments, *) → the step's direction (*)

RULES: dict[str, Rule] = {
    "arithmetic mean": lambda gradients: gradients.mean(0),
    "AND-mask": lambda gradients: and_mask(gradients, 1.0),
    "geometric mean": lambda gradients: geometric_mean(gradients, 1.0),
}


def follow(
    gradients: Callable[[Tensor], Tensor],
    start: Tensor,
    rule: Rule,
    *,
    rate: float,
    steps: int,
    weight_decay: float = 0.0,
    rate_decay: float = 1.0,
) -> Tensor:
    """θ ← θ − rate · (rule(gradients(θ)) + weight_decay · θ), the rate times `rate_decay` after each step.

    gradients: θ (n,) → (environments, n). start: (n,). Returns the whole path, (steps + 1, n).
    """
    path = [start]
    for _ in range(steps):
        path.append(path[-1] - rate * (rule(gradients(path[-1])) + weight_decay * path[-1]))
        rate *= rate_decay
    return torch.stack(path)


def inconsistency(
    losses: Callable[[Tensor], Tensor], solution: Tensor, moves: Tensor, epsilon: float, *, points: int = 1001
) -> float:
    """The largest |L_e′(θ) − L_e(θ*)|, e′ ≠ e, along straight moves θ* + t · move, 0 ≤ t ≤ 1, each as far as L_e stays
    within ε of L_e(θ*). It bounds I_ε from below.

    losses: θ (*, n) → (environments, *). solution: θ* (n,). moves: (moves, n). points: on each move.
    """
    time = torch.linspace(0, 1, points, dtype=solution.dtype)
    there = losses(solution + time[:, None, None] * moves)  # (environments, points, moves)
    here = losses(solution)[:, None, None]
    unnoticed = ((there - here).abs() <= epsilon).cumprod(1).bool()  # the connected part that begins at θ*
    worst = 0.0
    for e in range(len(here)):
        others = torch.cat([there[:e], there[e + 1 :]]) - here[e]
        worst = max(worst, (others.abs() * unnoticed[e]).max().item())
    return worst


# Two bowls ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bowl:
    """The loss ½ (θ − minimum)ᵀ H (θ − minimum) of one environment, with two parameters.

    curvatures: H's eigenvalues, above 0. angle: by which H's axes are turned from those of θ, in
    radians.
    """

    minimum: tuple[float, float]
    curvatures: tuple[float, float]
    angle: float = 0.0

    @cached_property
    def hessian(self) -> Tensor:
        """H, (2, 2)."""
        c, s = cos(radians(self.angle)), sin(radians(self.angle))
        turn = torch.tensor([[c, -s], [s, c]], dtype=torch.double)
        return turn @ torch.tensor(self.curvatures, dtype=torch.double).diag() @ turn.T

    def loss(self, theta: Tensor) -> Tensor:
        """(*, 2) → (*)."""
        return 0.5 * ((theta - self.center) * self.gradient(theta)).sum(-1)

    def gradient(self, theta: Tensor) -> Tensor:
        """(*, 2) → (*, 2)."""
        return (theta - self.center) @ self.hessian

    @cached_property
    def center(self) -> Tensor:
        """The minimum as a tensor, (2,)."""
        return torch.tensor(self.minimum, dtype=torch.double)


def two_bowls(curvature: float, angle: float = 0.0) -> tuple[Bowl, Bowl]:
    """Two environments that agree on the first parameter, which should be 1, and not on the second: A, whose valley is
    `curvature` times as steep there, wants +1, and B −1. B's axes are turned by `angle`, in degrees."""
    return Bowl((1.0, 1.0), (0.3, curvature)), Bowl((1.0, -1.0), (0.3, 1.0), angle)


START, RATE, STEPS = (-1.0, 0.4), 0.08, 250  # a rate that is small enough for the steepest bowl


def routes(curvature: float, angle: float = 0.0, rules: Mapping[str, Rule] = RULES) -> dict[str, Tensor]:
    """The path of each rule over `two_bowls` from the point `START`, (`STEPS` + 1, 2)."""
    bowls, start = two_bowls(curvature, angle), torch.tensor(START, dtype=torch.double)

    def gradients(theta: Tensor) -> Tensor:
        return torch.stack([bowl.gradient(theta) for bowl in bowls])

    return {name: follow(gradients, start, rule, rate=RATE, steps=STEPS) for name, rule in rules.items()}


def exchange_rate(first: Bowl, second: Bowl) -> float:
    """I_ε / ε of two bowls whose minima coincide: what a move that costs one of them ε can cost the other, at most.

    The largest eigenvalue of H_e⁻¹ H_e′, over both orders: with parallel axes the largest ratio of two curvatures.
    """
    ratios = torch.linalg.eigvals(torch.linalg.solve(first.hessian, second.hessian)).real
    return max(ratios.max().item(), 1 / ratios.min().item())


# Linear regression ----------------------------------------------------------------------------------------------------


def examples(count: int = 4) -> Tensor:
    """Inputs of a linear regression with one example per environment, x_e = 3 · (unit vector e, 0.1), all with y = 1:
    (environments, count + 1). Each environment has a strong feature of its own, and all share a weak one."""
    return 3 * torch.cat([torch.eye(count), torch.full((count, 1), 0.1)], 1).double()


def squared_errors(inputs: Tensor, theta: Tensor) -> Tensor:
    """½ (x_e · θ − 1)²: inputs (environments, n), θ (*, n) → (environments, *)."""
    return 0.5 * (theta @ inputs.T - 1).square().movedim(-1, 0)


def squared_error_gradients(inputs: Tensor, theta: Tensor) -> Tensor:
    """(x_e · θ − 1) x_e: inputs (environments, n), θ (n,) → (environments, n)."""
    return (inputs @ theta - 1)[:, None] * inputs


# Patchwork ------------------------------------------------------------------------------------------------------------

PATCHWORK = torch.tensor([100, -50, 100, -75, 1, 1], dtype=torch.double)


def patchwork(theta: Tensor, x: Tensor) -> Tensor:
    """f = θ₅ σ(θ₁x + θ₂) + θ₆ σ(θ₃x + θ₄): θ (*, 6), x (n,) → (*, n). `PATCHWORK` is the paper's θ* (A.1)."""
    one, two, three, four, five, six = theta[..., None].unbind(-2)
    return five * torch.sigmoid(one * x + two) + six * torch.sigmoid(three * x + four)


def patchwork_losses(places: Sequence[Tensor]) -> Callable[[Tensor], Tensor]:
    """½ mean (f_θ − f_θ*)² over the places x that each environment sees: θ (*, 6) → (environments, *)."""
    return lambda theta: torch.stack(
        [0.5 * (patchwork(theta, x) - patchwork(PATCHWORK, x)).square().mean(-1) for x in places]
    )


# Random gradients -----------------------------------------------------------------------------------------------------


def signs_needed(environments: int, threshold: float) -> int:
    """How many of d signs must be alike for |mean sign| ≥ τ: the smallest whole number ≥ d·(1 + τ)/2."""
    return ceil(environments * (1 + threshold) / 2 - 1e-9)  # a level that is τ itself counts as reached


def chance_kept(environments: int, threshold: float) -> float:
    """The chance that an AND-mask lets a coordinate pass whose gradients have random signs, exactly.

    A sum of binomials: at least `signs_needed` of d signs must be alike, whichever way. At τ = 1 it is 2^(1 − d).
    """
    needed = signs_needed(environments, threshold)
    alike = [k for k in range(environments + 1) if max(k, environments - k) >= needed]
    return sum(comb(environments, k) for k in alike) / 2**environments
