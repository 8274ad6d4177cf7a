"""Self-checks of lesson 07."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from invtutor.algorithms import maple
from invtutor.checks.verdict import Trial, check, near

__all__ = ["check_balancing_budget", "check_influence", "check_projection"]


@check("projection", "Look for a v ≥ 0 with clamp(s − v, 0, 1).sum() ≤ budget; halve an interval until it is small.")
def check_projection(student: Callable[[Tensor, float], Any]) -> Iterator[Trial]:
    """student(values (n,), budget) → the nearest point (n,) with entries in [0, 1] and a sum of at most budget."""
    inside = torch.tensor([0.2, 0.0, 1.0])
    found = torch.as_tensor(student(inside.clone(), 2.0))
    yield found.shape == (3,), "One number per sample, please."
    yield near(found, inside, 1e-3), "[0.2, 0, 1] lies within the budget 2: it must stay. v is at least 0."
    found = torch.as_tensor(student(torch.tensor([1.8, -1.2, 0.4]), 3.0))
    yield near(found, [1.0, 0.0, 0.4], 1e-3), f"Clamp to [0, 1] first of all: [1.8, −1.2, 0.4] → {found.tolist()}."
    found = torch.as_tensor(student(torch.tensor([0.9, 0.5, 0.1]), 1.0))
    hint = "Dividing keeps the ratios; the *nearest* point comes from taking the same v from everybody."
    yield not near(found, [0.6, 0.3333, 0.0667], 1e-3), hint
    generator = torch.Generator().manual_seed(7)
    for budget in (1.0, 5.0, 20.0):
        values = 0.3 + torch.randn(40, generator=generator)
        found = torch.as_tensor(student(values.clone(), budget))
        yield found.sum().item() <= budget + 1e-2, f"The sum is {found.sum():.3f} where the budget is {budget:g}."
        yield (
            near(found, maple.project(values, budget), 2e-3),
            f"It goes wrong for random values, budget {budget:g}.",
        )


@check("hypergradient", "The gradient of a sample's loss is (σ(x·θ) − y)·x. How far does that step lead along v?")
def check_influence(student: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, float], Any]) -> Iterator[Trial]:
    """student(inputs (n, d), labels (n,), theta (d,), direction (d,), mask (n,), rate) → ∂Φ/∂m (n,), w = 1."""
    generator = torch.Generator().manual_seed(8)
    for n, rate in ((6, 0.1), (30, 0.5)):
        inputs, theta, direction = (torch.randn(*size, generator=generator) for size in ((n, 4), (4,), (4,)))
        labels = torch.randint(2, (n,), generator=generator)
        mask = (torch.arange(n) % 3 > 0).float()
        slopes = ((inputs @ theta).sigmoid() - labels) * (inputs @ direction)
        wanted = -rate * slopes / mask.sum()
        found = torch.as_tensor(student(inputs, labels, theta, direction, mask, rate))
        yield found.shape == (n,), f"One number per sample: shape ({n},), not {tuple(found.shape)}."
        yield not near(found, -wanted), "The sign: the inner step goes *down* the loss, θ − α∇ℓ."
        hint = "A sample that is not kept has a derivative, too: what if it were? Do not multiply by the mask."
        yield not near(found, mask * wanted), hint
        yield not near(found, wanted * mask.sum()), "Divide by Σ m: the inner loss is a mean over what is kept."
        yield not near(found, wanted * mask.sum() / n), "Divide by the number of samples that are kept, Σ m, not by n."
        yield near(found, wanted), f"It goes wrong for {n} random samples."


@check("balancing budget", "How many samples conflict? How many aligned ones are needed beside them?")
def check_balancing_budget(student: Callable[[Sequence[float]], Any]) -> Iterator[Trial]:
    """student(flip rates, of equal environments) → the share of all samples in the largest color-balanced subset."""
    found = student([0.1, 0.2])
    yield (
        not near(found, 0.15),
        "15 % are the conflicting samples alone: they teach the color reversed.",
    )
    yield near(found, 0.3), f"For rates .1 and .2 it is not {found}: as many aligned samples as conflicting ones."
    yield near(student([0.25, 0.25, 0.1]), 0.4), "With three environments: what is the mean flip rate?"
    yield near(student([0.9, 0.8]), 0.3), "When most colors are reversed, the aligned samples are the rare ones."
