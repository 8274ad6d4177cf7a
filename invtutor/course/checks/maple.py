"""Self-checks of lesson 07. What is decorated is the right answer; see `verdict.check`."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from invtutor.algorithms import maple
from invtutor.course.checks.verdict import check

__all__ = ["check_balancing_budget", "check_influence", "check_projection"]


def _budgets() -> Iterator[tuple[Tensor, float]]:
    yield torch.tensor([0.9, 0.5, 0.1]), 1.0
    yield torch.tensor([0.25, 0.0, 1.0]), 2.0  # lies within: it stays
    yield torch.tensor([1.8, -1.2, 0.4]), 3.0  # lies within once it is clamped
    yield torch.tensor([3.0, 1.5, 1.2, -1.0]), 1.0
    generator = torch.Generator().manual_seed(7)
    yield from ((0.3 + torch.randn(40, generator=generator), budget) for budget in (1.0, 5.0, 20.0))


def _shifted(values: Tensor, v: float) -> Tensor:
    return (values - v).clamp(0, 1)


def _ratio(values: Tensor, budget: float) -> Tensor:
    return values * min(1.0, budget / max(values.sum().item(), 1e-9))


@check(
    "projection",
    "Look for a v ≥ 0 with clamp(values − v, 0, 1).sum() ≤ budget; halve an interval until it is small.",
    examples=_budgets,
    tolerance=2e-3,
    mistakes={
        "Dividing keeps the ratios; the *nearest* point comes from taking the same v from everybody.": (
            lambda s, budget: _ratio(s.clamp(0, 1), budget)
        ),
        "You divide, and do not clamp: entries lie in [0, 1], and the *nearest* point takes one v from everybody.": (
            _ratio,
            lambda s, budget: s * budget / s.sum(),
        ),
        "You clamp to [0, 1] and forget the budget.": lambda s, budget: s.clamp(0, 1),
        "You take the excess in equal parts and clamp after that: who ends at 0 or 1 leaves a rest to the others.": (
            lambda s, budget: (s.clamp(0, 1) - max(s.clamp(0, 1).sum().item() - budget, 0) / len(s)).clamp(0, 1),
            lambda s, budget: (s - max(s.sum().item() - budget, 0) / len(s)).clamp(0, 1),
        ),
        "v is at least 0: what lies within the budget must stay, and nobody is given more.": (
            lambda s, budget: _shifted(s, _solve(s, budget, low=-10.0))
        ),
        "You keep the largest values and drop the others; the nearest point takes the same v from everybody.": (
            lambda s, budget: s.clamp(0, 1) * (s >= s.sort(descending=True).values[min(int(budget), len(s)) - 1]),
            lambda s, budget: (s >= s.sort(descending=True).values[min(int(budget), len(s)) - 1]).double(),
        ),
        "You do not clamp above: entries are at most 1.": lambda s, budget: (s - _solve(s, budget, above=False)).clamp(
            min=0
        ),
        "Everything is 0: v is too large.": lambda s, budget: torch.zeros_like(s),
        "You clamp first and take v off afterwards: clamp(values − v, 0, 1) takes it off before.": (
            lambda s, budget: (s.clamp(0, 1) - _solve(s.clamp(0, 1), budget)).clamp(0, 1)
        ),
        "You return v; the values are wanted from which it was taken.": lambda s, budget: torch.tensor(
            _solve(s, budget)
        ),
    },
)
def check_projection(values: Tensor, budget: float) -> Tensor:
    """values (n,), budget → the nearest point (n,) with entries in [0, 1] and a sum of at most budget."""
    return maple.project(values, budget)


def _solve(values: Tensor, budget: float, *, low: float = 0.0, above: bool = True) -> float:
    """The least v from `low` on for which clamp(values − v, 0, 1), or without the 1, is within the budget."""
    high = max(values.max().item(), low)
    for _ in range(60):
        middle = (low + high) / 2
        fits = (values - middle).clamp(0, 1 if above else None).sum() <= budget
        low, high = (low, middle) if fits else (middle, high)
    return high


def _models() -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor, Tensor, float]]:
    """A linear model's inputs (n, d), labels (n,), θ (d,), direction (d,), mask (n,) and the rate."""
    yield (
        torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),
        torch.tensor([1, 0, 1]),
        torch.tensor([0.5, -0.5]),
        torch.tensor([1.0, 2.0]),
        torch.tensor([1.0, 0.0, 1.0]),
        0.5,
    )
    generator = torch.Generator().manual_seed(8)
    for n, rate in ((6, 0.1), (20, 0.5)):
        inputs, theta, direction = (torch.randn(*size, generator=generator) for size in ((n, 4), (4,), (4,)))
        labels = torch.randint(2, (n,), generator=generator)
        yield inputs, labels, theta, direction, (torch.arange(n) % 3 > 0).float(), rate


def _slopes(x: Tensor, y: Tensor, t: Tensor, v: Tensor) -> Tensor:
    return ((x @ t).sigmoid() - y) * (x @ v)


def _in_full(x: Tensor, y: Tensor, t: Tensor, v: Tensor, m: Tensor, rate: float) -> Tensor:
    """The derivative in which Σ m moves with m as well, where the method holds it constant."""
    slopes = _slopes(x, y, t, v)
    return -rate * (slopes - (m * slopes).sum() / m.sum()) / m.sum()


@check(
    "hypergradient",
    "The gradient of a sample's loss is (σ(x·θ) − y)·x. How far does that step lead along v?",
    examples=_models,
    tolerance=1e-5,
    also=[_in_full],
    mistakes={
        "The sign: the inner step goes *down* the loss, θ − α∇ℓ.": (
            lambda x, y, t, v, m, rate: rate * _slopes(x, y, t, v) / m.sum()
        ),
        "A sample that is not kept has a derivative, too: what if it were? Do not multiply by the mask.": (
            lambda x, y, t, v, m, rate: -rate * m * _slopes(x, y, t, v) / m.sum(),
            lambda x, y, t, v, m, rate: m * _in_full(x, y, t, v, m, rate),
        ),
        "Divide by Σ m: the inner loss is a mean over what is kept.": (
            lambda x, y, t, v, m, rate: -rate * _slopes(x, y, t, v)
        ),
        "Divide by the number of samples that are kept, Σ m, not by n.": (
            lambda x, y, t, v, m, rate: -rate * _slopes(x, y, t, v) / len(m)
        ),
        "The rate of the inner step is missing.": lambda x, y, t, v, m, rate: -_slopes(x, y, t, v) / m.sum(),
        "The σ is missing: the error compares a probability with the label, σ(x·θ) − y.": (
            lambda x, y, t, v, m, rate: -rate * ((x @ t) - y) * (x @ v) / m.sum()
        ),
        "`direction` is missing: you need the gradient's part along it, x·direction.": (
            lambda x, y, t, v, m, rate: -rate * ((x @ t).sigmoid() - y) / m.sum(),
            lambda x, y, t, v, m, rate: -rate * ((x @ t).sigmoid() - y) * (x @ t) / m.sum(),
        ),
        "The label is missing: the gradient of the loss is (σ(x·θ) − y)·x.": (
            lambda x, y, t, v, m, rate: -rate * (x @ t).sigmoid() * (x @ v) / m.sum()
        ),
        "You add up over the samples; one number per sample is wanted.": (
            lambda x, y, t, v, m, rate: (-rate * _slopes(x, y, t, v) / m.sum()).sum(),
            lambda x, y, t, v, m, rate: (-rate * m * _slopes(x, y, t, v) / m.sum()).sum(),
        ),
    },
)
def check_influence(
    inputs: Tensor, labels: Tensor, theta: Tensor, direction: Tensor, mask: Tensor, rate: float
) -> Tensor:
    """inputs (n, d), labels (n,), theta (d,), direction (d,), mask (n,), rate → ∂Φ/∂m (n,), at w = 1.

    MAPLE holds the normalizer Σ m constant. Whoever differentiates it, too, has a right answer as well.
    """
    return -rate * _slopes(inputs, labels, theta, direction) / mask.sum()


@check(
    "balancing budget",
    "How many samples conflict? How many aligned ones are needed beside them?",
    examples=lambda: [([0.1, 0.2],), ([0.25, 0.25, 0.1],), ([0.9, 0.8],), ([0.1, 0.9],), ([0.3, 0.9],), ([0.2],)],
    mistakes={
        "That is the share of conflicting samples alone: as many aligned ones belong beside them.": (
            lambda rates: sum(rates) / len(rates)
        ),
        "When most colors are reversed, the aligned samples are the rare ones.": lambda rates: (
            2 * sum(rates) / len(rates)
        ),
        "That is the share of the rarer kind alone: as many of the other belong beside it.": (
            lambda rates: min(sum(rates), len(rates) - sum(rates)) / len(rates)
        ),
        "You balance each environment by itself; the subset is of all samples, pooled.": (
            lambda rates: 2 * sum(min(p, 1 - p) for p in rates) / len(rates)
        ),
        "You add up the flip rates; average them.": (
            lambda rates: sum(rates),
            lambda rates: 2 * sum(rates),
            lambda rates: 2 * min(sum(rates), 1 - sum(rates)),
        ),
        "You divide by two, as if there always were two environments.": (
            lambda rates: 2 * min(sum(rates) / 2, 1 - sum(rates) / 2)
        ),
        "You look at the lowest flip rate only.": lambda rates: 2 * min(min(rates), 1 - min(rates)),
        "You look at the highest flip rate only.": lambda rates: 2 * min(max(rates), 1 - max(rates)),
        "You look at the first environment only.": lambda rates: 2 * min(rates[0], 1 - rates[0]),
        "That is the share of aligned samples.": lambda rates: 1 - sum(rates) / len(rates),
        "That is what a balanced subset leaves out.": lambda rates: (
            1 - 2 * min(sum(rates), len(rates) - sum(rates)) / len(rates)
        ),
    },
)
def check_balancing_budget(flip_rates: Sequence[float]) -> float:
    """flip rates, of equal environments → the share of all samples in the largest color-balanced subset."""
    conflicting = sum(flip_rates) / len(flip_rates)
    return 2 * min(conflicting, 1 - conflicting)
