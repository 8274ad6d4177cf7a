"""The exact world of two weights: closed forms against samples, autograd and what is known about its solutions."""

from math import log

import pytest
import torch
from torch import Tensor
from two_bits import two_bit as sampled

from invtutor.algorithms.meta_irm import deviation
from invtutor.exact import two_bit

RATES = (0.1, 0.2)
GRID = torch.tensor([[0.0, 0.0], [1.1, 1.73], [-0.5, 2.0], [3.0, -1.0]], dtype=torch.double)


@pytest.mark.parametrize("rate", RATES)
def test_risk_and_accuracy_are_those_of_samples_that_were_counted_out(rate: float) -> None:
    environment = sampled(rate, dtype=torch.double)
    for weights in GRID:
        logits = environment.inputs @ weights
        signs = 2 * environment.labels - 1
        assert two_bit.risk(weights, rate) == pytest.approx(
            torch.nn.functional.softplus(-signs * logits).mean().item(), abs=1e-12
        )
        right = (signs * logits > 0).double() + 0.5 * (logits == 0)
        assert two_bit.accuracy(weights, rate) == pytest.approx(right.mean().item())


def test_known_values() -> None:
    shape = torch.tensor([log(3), 0.0], dtype=torch.double)
    for rate in (0.0, 0.1, 0.9):
        assert two_bit.risk(shape, rate) == pytest.approx(0.56234, abs=1e-5)
        assert two_bit.accuracy(shape, rate) == pytest.approx(0.75)
    pooled = torch.tensor([log(3), log(0.85 / 0.15)], dtype=torch.double)
    assert two_bit.risks(pooled, (0.1, 0.2, 0.9)) == pytest.approx([0.286, 0.423, 1.381], abs=1e-3)


def test_the_gradient_is_that_of_the_risk() -> None:
    weights = GRID.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(two_bit.risk(weights, 0.2, 0.1).sum(), weights)
    assert torch.allclose(two_bit.gradient(GRID, 0.2, 0.1), slopes)
    assert torch.autograd.gradcheck(lambda w: two_bit.gradient(w, 0.2), weights)


def test_everything_takes_a_grid_at_once() -> None:
    alphas = torch.tensor([0.0, 1.0, 2.0, 5.0], dtype=torch.double)
    together = two_bit.meta_losses(GRID, (0.1, 0.2, 0.3), alphas)
    assert together.shape == (6, 4)
    for i, (weights, alpha) in enumerate(zip(GRID, alphas.tolist(), strict=True)):
        alone = two_bit.meta_losses(weights, (0.1, 0.2, 0.3), alpha)
        assert torch.allclose(together[:, i], alone)


def test_meta_losses_are_risks_after_a_step() -> None:
    weights = GRID[1]
    steps = [weights - 2 * two_bit.gradient(weights, rate) for rate in RATES]
    assert torch.equal(two_bit.adapted(weights, 0.1, 2), steps[0])
    across = torch.stack([two_bit.risk(steps[0], 0.2), two_bit.risk(steps[1], 0.1)])
    assert torch.equal(two_bit.meta_losses(weights, RATES, 2), across)
    within = torch.stack([two_bit.risk(steps[0], 0.1), two_bit.risk(steps[1], 0.2)])
    assert torch.equal(two_bit.meta_losses(weights, RATES, 2, same_environment=True), within)
    assert torch.equal(two_bit.meta_losses(weights, RATES, 0), two_bit.risks(weights, RATES[::-1]))


def test_minimize_finds_erm() -> None:
    start = torch.zeros(3, 2, dtype=torch.double)
    found = two_bit.minimize(lambda w: two_bit.risks(w, RATES).mean(0), start)
    assert torch.allclose(found, torch.tensor([log(3), log(0.85 / 0.15)], dtype=torch.double), atol=1e-4)
    assert not start.any() and not found.requires_grad


# Solved independently (Nelder-Mead) for the sum over both pairs and the sample deviation: against the mean and the
# population deviation, its λ counts √½ as much.
TABLE = {
    (0.01, 0.0): (1.10, 1.73),
    (0.01, 0.5): (1.10, 1.60),
    (0.01, 1.0): (1.10, 1.48),
    (0.01, 10.0): (1.10, 0.00),
    (0.1, 1.0): (1.10, 1.47),
    (0.1, 10.0): (1.08, 0.00),
    (1.0, 0.0): (1.11, 1.73),
    (1.0, 0.5): (1.12, 1.56),
    (1.0, 1.0): (1.13, 1.41),
    (1.0, 10.0): (0.93, -0.06),
    (5.0, 1.0): (1.64, 0.55),
    (5.0, 10.0): (2.25, -0.79),
}


def test_minimize_solves_a_grid_of_meta_irm() -> None:
    settings = torch.tensor(list(TABLE), dtype=torch.double)
    alpha, weight = settings[:, 0], settings[:, 1] * 0.5**0.5

    def objective(weights: Tensor) -> Tensor:
        losses = two_bit.meta_losses(weights, RATES, alpha)
        return losses.mean(0) + weight * deviation(losses)

    found = two_bit.minimize(objective, torch.zeros(len(settings), 2, dtype=torch.double))
    assert found == pytest.approx(torch.tensor(list(TABLE.values()), dtype=torch.double), abs=0.02)


def test_ties_count_half_whatever_the_rounding() -> None:
    for weight in (0.3, 1.0, 0.1 + 0.2, 1e-9, 1e6):
        for other in (weight, 3 * (weight / 3), weight * (1 + 1e-15)):
            weights = torch.tensor([[weight, other], [weight, -other], [0.0, 0.0]], dtype=torch.double)
            found = two_bit.accuracy(weights, 0.1)
            assert found.tolist() == pytest.approx([(0.75 + 0.9) / 2, (0.75 + 0.1) / 2, 0.5])


def test_a_third_bit_is_a_second_clue_that_is_flipped_as_often() -> None:
    silent = torch.cat([GRID, torch.zeros(4, 1, dtype=torch.double)], 1)
    assert torch.allclose(two_bit.risk(silent, 0.2, 0.1), two_bit.risk(GRID, 0.2, 0.1), rtol=1e-12)
    assert torch.allclose(two_bit.accuracy(silent, 0.2), two_bit.accuracy(GRID, 0.2), rtol=1e-12)
    weights = torch.tensor([[1.1, 1.7, 1.7], [1.6, 0.5, -0.6]], dtype=torch.double, requires_grad=True)
    (slopes,) = torch.autograd.grad(two_bit.risk(weights, 0.2).sum(), weights)
    assert torch.allclose(two_bit.gradient(weights, 0.2), slopes)
    assert torch.allclose(
        weights[1] @ two_bit.cases(3).T, torch.tensor([1.5, 2.7, 0.5, 1.7, -1.7, -0.5, -2.7, -1.5]).double()
    )
    # whoever goes by the majority of three bits, and what lesson 01 says of it
    assert [two_bit.accuracy(weights[0], rate).item() for rate in (0.1, 0.2, 0.9)] == pytest.approx(
        [0.945, 0.88, 0.145]
    )


def test_with_two_clues_the_variance_of_risks_is_least_at_shape_alone() -> None:
    weight, pooled = torch.tensor([0.0, 10.0, 100.0, 1000.0]), torch.zeros(4, 3, dtype=torch.double)

    def vrex(weights: Tensor, share: float = 1.0) -> Tensor:
        by_environment = two_bit.risks(weights, RATES)
        return by_environment.mean(0) + share * weight * by_environment.var(0, unbiased=False)

    pooled = two_bit.minimize(lambda weights: vrex(weights, 0.0), pooled)
    found = two_bit.minimize(vrex, pooled, steps=3000)
    assert two_bit.accuracy(found, 0.9).tolist() == pytest.approx([0.145, 0.145, 0.75, 0.75])
    assert found[-1].tolist() == pytest.approx([log(3), 0, 0], abs=0.06)
