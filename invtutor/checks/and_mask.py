"""Self-checks of lesson 06."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from invtutor.algorithms import and_mask
from invtutor.checks.verdict import Trial, check, near
from invtutor.consistency import signs_needed

__all__ = ["check_and_mask", "check_geometric_mean", "check_signs_needed"]


def _matrices() -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(6)
    for environments in (2, 3, 5):
        yield torch.randn(environments, 40, generator=generator)


@check("AND-mask", "Average the signs over environments; where the size of that reaches τ, keep the mean gradient.")
def check_and_mask(student: Callable[[Tensor, float], Any]) -> Iterator[Trial]:
    """student(gradients (environments, n), threshold) → the masked mean gradient (n,)."""
    agree = torch.tensor([[1.0, -1.0, 2.0], [3.0, -5.0, 2.0]])
    found = torch.as_tensor(student(agree, 1.0))
    yield found.shape == (3,), f"One number per coordinate: shape (3,), not {tuple(found.shape)}. Reduce dimension 0."
    hint = "Two environments that both want −1 and −5 agree as well: take the size of the mean sign, .abs()."
    yield not near(found, [2.0, 0.0, 2.0]), hint
    yield not near(found, [0.0, 0.0, 0.0]), "At τ = 1 full agreement must pass: ask for ≥, not for >."
    yield not near(found, [4.0, -6.0, 4.0]), "You take the sum of the gradients; the step follows their mean."
    yield (
        near(found, [2.0, -3.0, 2.0]),
        f"[[1, −1, 2], [3, −5, 2]] agree everywhere: the mean is [2, −3, 2]; yours is {found.tolist()}.",
    )
    carried = torch.tensor([[10.0], [-0.1], [0.2]])
    yield (
        near(student(carried, 1.0), [0.0]),
        "One small gradient against two is a veto at τ = 1: signs vote, not sizes.",
    )
    hint = "With two signs against one the mean sign is 1/3: it passes at τ = 0.3. Did you divide by the environments?"
    yield near(student(carried, 0.3), [10.1 / 3]), hint
    hint = "With two signs against one the mean sign is 1/3: it must not pass at τ = 0.5."
    yield near(student(carried, 0.5), [0.0]), hint
    alone = torch.tensor([[4.0], [0.0], [0.0], [0.0]])
    yield near(student(alone, 0.5), [0.0]), "A zero gradient is no vote: sign(0) = 0 counts against agreement."
    yield near(student(alone, 0.0), [1.0]), "At τ = 0 everything passes: the plain mean."
    for gradients in _matrices():
        for threshold in (0.0, 0.5, 1.0):
            wanted = and_mask.and_mask(gradients, threshold)
            yield (
                near(student(gradients.clone(), threshold), wanted),
                f"It goes wrong for random gradients at τ = {threshold}.",
            )


@check("geometric mean", "Where all signs agree: that sign, times exp of the mean logarithm of the sizes. Else 0.")
def check_geometric_mean(student: Callable[[Tensor], Any]) -> Iterator[Trial]:
    """student(gradients (environments, n), none of them 0) → their geometric mean (n,), 0 where signs differ."""
    found = torch.as_tensor(student(torch.tensor([[1.0, -2.0, 3.0], [4.0, -8.0, -3.0]])))
    yield found.shape == (3,), f"One number per coordinate: shape (3,), not {tuple(found.shape)}. Reduce dimension 0."
    yield not near(found[:2], [2.5, -5.0]), "That is the arithmetic mean: multiply, and take the root."
    yield bool(found.isfinite().all()), "The logarithm of a negative number is nan: take the sizes, .abs(), first."
    yield not near(found[:2], [2.0, 4.0]), "The sizes are right; the sign on which the environments agree is lost."
    yield not near(found[:2], [4.0, 16.0]) and not near(found[:2], [4.0, -16.0]), "You forgot the root, 1/environments."
    yield near(found[:2], [2.0, -4.0]), f"Of 1 and 4 it is 2, of −2 and −8 it is −4; yours: {found[:2].tolist()}."
    yield near(found[2], 0.0), "3 and −3 do not agree: the result is 0 there."
    three = student(torch.tensor([[1.0], [8.0], [27.0]]))
    yield near(three, [6.0]), "Of 1, 8 and 27 it is 6, the *third* root of the product: it is not always a square root."
    tiny = torch.full((40, 1), 1e-3)
    yield (
        near(student(tiny), [1e-3], 1e-6),
        "Forty factors of 0.001 underflow to 0: add logarithms instead of multiplying.",
    )
    for gradients in _matrices():
        hint = "It goes wrong for random gradients."
        yield near(student(gradients.clone()), and_mask.geometric_mean(gradients, 1.0), 1e-4), hint


@check("signs", "k of d signs alike make a mean sign of (2k − d)/d. From which k on is that at least τ?")
def check_signs_needed(student: Callable[[int, float], Any]) -> Iterator[Trial]:
    """student(environments, threshold) → the smallest number of equal signs that the mask lets pass."""
    for environments, threshold in (
        (16, 1.0),
        (16, 0.5),
        (10, 0.5),
        (3, 0.5),
        (16, 0.0),
        (2, 0.4),
        (7, 0.3),
        (80, 0.1),
    ):
        wanted = signs_needed(environments, threshold)
        found = student(environments, threshold)
        case = f"{environments} environments at τ = {threshold:g}"
        yield float(found) == int(found), f"A number of signs is whole: round {found} up."
        if wanted != round(threshold * environments):
            hint = f"{case}: τ is no share of signs. {found} equal signs leave {environments - int(found)} others, "
            hint += f"and the mean sign is {(2 * int(found) - environments) / environments:.2f}."
            yield int(found) != round(threshold * environments), hint
        yield int(found) == wanted, f"{case}: {wanted} equal signs are needed, not {found}."
