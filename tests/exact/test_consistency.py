"""The small examples of the AND-mask's paper, against what can be worked out by hand."""

import math

import pytest
import torch

from invtutor.algorithms.and_mask import mask
from invtutor.exact import two_bit
from invtutor.exact.consistency import (
    PATCHWORK,
    RULES,
    Bowl,
    chance_kept,
    examples,
    exchange_rate,
    follow,
    inconsistency,
    patchwork,
    patchwork_losses,
    squared_error_gradients,
    squared_errors,
    two_bowls,
)

DOUBLE = torch.float64


def vector(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=DOUBLE)


def around(count: int = 720, reach: float = 10.0) -> torch.Tensor:
    """Moves in all directions of the plane."""
    angle = torch.arange(count, dtype=DOUBLE) * 2 * math.pi / count
    return reach * torch.stack([angle.cos(), angle.sin()], 1)


# Two bowls


@pytest.mark.parametrize("angle", [0.0, 30.0, -75.0])
def test_a_bowl_is_its_quadratic(angle: float) -> None:
    bowl = Bowl((0.5, -2.0), (0.3, 4.0), angle)
    assert bowl.loss(vector(0.5, -2.0)).item() == 0.0
    assert torch.linalg.eigvalsh(bowl.hessian).tolist() == pytest.approx([0.3, 4.0])
    along = vector(math.cos(math.radians(angle)), math.sin(math.radians(angle)))
    assert bowl.loss(bowl.center + 2 * along).item() == pytest.approx(0.5 * 0.3 * 4), "the first axis is turned"
    theta = torch.randn(7, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)).requires_grad_()
    (expected,) = torch.autograd.grad(bowl.loss(theta).sum(), theta)
    assert torch.allclose(bowl.gradient(theta), expected)


def ends(curvature: float, angle: float, start: torch.Tensor) -> dict[str, torch.Tensor]:
    bowls = two_bowls(curvature, angle)
    return {
        name: follow(
            lambda theta: torch.stack([bowl.gradient(theta) for bowl in bowls]), start, rule, rate=0.05, steps=3000
        )[-1]
        for name, rule in RULES.items()
    }


@pytest.mark.parametrize("curvature", [1.0, 4.0, 15.0])
def test_the_mean_weighs_minima_by_curvature_and_the_mask_stays_where_they_pull_apart(curvature: float) -> None:
    found = ends(curvature, 0.0, vector(-1.0, 0.4))
    assert found["arithmetic mean"].tolist() == pytest.approx([1.0, (curvature - 1) / (curvature + 1)], abs=1e-6)
    for name in ("AND-mask", "geometric mean"):
        assert found[name].tolist() == pytest.approx([1.0, 0.4], abs=1e-6)


@pytest.mark.parametrize("angle", [15.0, 40.0])
def test_turned_bowls_pull_the_mean_away_from_what_both_want(angle: float) -> None:
    bowls = two_bowls(5.0, angle)
    found = ends(5.0, angle, vector(-1.0, 0.4))
    hessians = torch.stack([bowl.hessian for bowl in bowls])
    pulls = torch.stack([bowl.hessian @ bowl.center for bowl in bowls]).sum(0)
    assert torch.allclose(found["arithmetic mean"], torch.linalg.solve(hessians.sum(0), pulls), atol=1e-6)
    assert found["arithmetic mean"][0] > 1.2
    assert found["geometric mean"].tolist() == pytest.approx([1.0, 0.4], abs=0.01)


def test_from_outside_of_both_minima_the_and_stops_at_the_first_of_them() -> None:
    found = ends(4.0, 0.0, vector(-1.0, 3.0))
    assert found["AND-mask"].tolist() == pytest.approx([1.0, 1.0], abs=0.05)  # the last step goes a little too far
    assert found["geometric mean"].tolist() == pytest.approx([1.0, 1.0], abs=0.01)


def test_exchange_rate_is_the_papers_closed_form_for_parallel_axes() -> None:
    # Parascandolo et al., figure 3: H_A = diag(.05, 1), H_B = diag(1, .05).
    assert exchange_rate(Bowl((0, 0), (0.05, 1.0)), Bowl((0, 0), (1.0, 0.05))) == pytest.approx(20.0)
    assert exchange_rate(Bowl((0, 0), (0.3, 7.0)), Bowl((0, 0), (0.6, 3.0))) == pytest.approx(7 / 3)
    assert exchange_rate(Bowl((0, 0), (0.3, 7.0), 40), Bowl((0, 0), (0.3, 7.0), 40)) == pytest.approx(1.0)


@pytest.mark.parametrize("angle", [0.0, 25.0, 90.0])
def test_exchange_rate_is_the_inconsistency_of_a_common_minimum(angle: float) -> None:
    bowls = Bowl((1.0, 2.0), (0.3, 5.0)), Bowl((1.0, 2.0), (0.5, 1.0), angle)
    found = inconsistency(
        lambda theta: torch.stack([bowl.loss(theta) for bowl in bowls]), vector(1.0, 2.0), around(), 0.1, points=4001
    )
    wanted = 0.1 * exchange_rate(*bowls)
    assert found <= wanted * (1 + 1e-9) and found == pytest.approx(wanted, rel=0.01)
    assert exchange_rate(*bowls) == pytest.approx(exchange_rate(*reversed(bowls)))


# Inconsistency


def test_inconsistency_goes_only_as_far_as_connected_ground_and_compares_with_the_other_environments() -> None:
    # A's loss leaves the tolerance between t = .3 and .6 and comes back; B's loss is t.
    def losses(theta: torch.Tensor) -> torch.Tensor:
        t = theta[..., 0]
        return torch.stack([((t > 0.3) & (t < 0.6)).to(t), t])

    solution, move = vector(0.0), vector(1.0)[None]
    assert inconsistency(losses, solution, move, 0.1) == pytest.approx(0.3, abs=2e-3)
    assert inconsistency(losses, solution, 0.2 * move, 0.1) == pytest.approx(0.2, abs=2e-3)
    assert inconsistency(losses, solution, move, 0.0) == pytest.approx(0.3, abs=2e-3)
    same = inconsistency(lambda theta: losses(theta)[:1].expand(3, *theta.shape[:-1]), solution, move, 0.1)
    assert same == 0.0, "equal environments are consistent"


def test_inconsistency_grows_with_epsilon() -> None:
    bowls = two_bowls(3.0)
    values = [
        inconsistency(lambda t: torch.stack([b.loss(t) for b in bowls]), vector(1.0, 0.5), around(72), epsilon)
        for epsilon in (0.01, 0.1, 1.0)
    ]
    assert values == sorted(values) and values[0] < values[-1]


# Linear regression


def test_the_examples_and_their_gradients() -> None:
    inputs = examples(4)
    assert inputs.shape == (4, 5)
    assert inputs[1].tolist() == pytest.approx([0.0, 3.0, 0.0, 0.0, 0.3])
    theta = torch.randn(5, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)).requires_grad_()
    errors = squared_errors(inputs, theta)
    assert errors.tolist() == pytest.approx([0.5 * (3 * theta[i] + 0.3 * theta[4] - 1).item() ** 2 for i in range(4)])
    rows = torch.stack([torch.autograd.grad(error, theta, retain_graph=True)[0] for error in errors])
    assert torch.allclose(squared_error_gradients(inputs, theta), rows)
    assert squared_errors(inputs, torch.zeros(3, 7, 5, dtype=DOUBLE)).shape == (4, 3, 7)


def regress(rule: str, count: int) -> torch.Tensor:
    inputs = examples(4)[:count]
    start = 0.1 * torch.randn(5, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    return follow(
        lambda theta: squared_error_gradients(inputs, theta),
        start,
        RULES[rule],
        rate=0.3,
        steps=1000,
        weight_decay=0.01,
        rate_decay=0.9995,
    )[-1]


@pytest.mark.parametrize("count", [2, 4])
def test_the_papers_table_of_linear_regression(count: int) -> None:
    """The numbers of the notebook linear_regression_ilc in the authors' code, up to the random start."""
    end = regress("arithmetic mean", count)
    assert end[:count].tolist() == pytest.approx([0.32] * count, abs=0.01)
    assert end[4].item() == pytest.approx(0.12 if count == 4 else 0.065, abs=0.015)
    test = squared_errors(examples(4)[2:], end).mean()
    assert test > 0.3 if count == 2 else test < 1e-4
    for rule in ("AND-mask", "geometric mean"):
        end = regress(rule, count)
        assert end[:4].abs().max() < 0.03 and 2.8 < end[4] < 3.1
        assert 4e-3 < squared_errors(examples(4)[:count], end).mean() < 8e-3
        assert squared_errors(examples(4), end).max() < 0.02, "it holds for environments never seen"


def test_a_patchwork_of_weights_is_easy_to_vary() -> None:
    def forgetting(theta: torch.Tensor) -> float:
        return inconsistency(lambda t: squared_errors(examples(4), t), theta, -theta.diag(), 0.01)

    assert forgetting(regress("arithmetic mean", 4)) > 10 * forgetting(regress("AND-mask", 4))


# Patchwork


def test_the_patchwork_is_two_steps() -> None:
    x = vector(0.0, 0.4, 0.6, 0.7, 0.8, 1.0)
    assert patchwork(PATCHWORK, x).tolist() == pytest.approx([0, 0, 1, 1, 2, 2], abs=0.01)
    assert patchwork(PATCHWORK.expand(3, 2, 6), x).shape == (3, 2, 6)


def test_one_half_does_not_notice_what_the_other_half_needs() -> None:
    x = torch.linspace(0, 1, 201, dtype=DOUBLE)
    losses = patchwork_losses([x[:101], x[100:]])
    moved = PATCHWORK.clone()
    moved[5] = -0.5
    here, there = losses(moved).tolist()
    assert here < 1e-9 and there == pytest.approx(0.5 * 1.5**2 * 0.5, rel=0.05)  # wrong by 1.5 on half of B's places
    move = (moved - PATCHWORK)[None]
    assert inconsistency(losses, PATCHWORK, move, 0.01) == pytest.approx(there)
    mixed = patchwork_losses([x[::2], x[1::2]])
    assert inconsistency(mixed, PATCHWORK, move, 0.01) == pytest.approx(0.01, rel=0.1)


# Random signs and the two-bit world


@pytest.mark.parametrize("environments", [1, 2, 5, 16, 30])
def test_chance_kept_is_what_masks_let_pass(environments: int) -> None:
    assert chance_kept(environments, 0.0) == 1.0
    assert chance_kept(environments, 1.0) == pytest.approx(2.0 ** (1 - environments))
    rows = torch.randn(environments, 100_000, generator=torch.Generator().manual_seed(1))
    for threshold in (0.2, 0.5, 0.6, 0.8):
        chance = chance_kept(environments, threshold)
        deviation = math.sqrt(chance * (1 - chance) / 100_000)
        assert mask(rows, threshold).mean().item() == pytest.approx(chance, abs=5 * deviation + 1e-9)


@pytest.mark.parametrize(
    ("rates", "shape", "color", "right"),
    [((0.1, 0.2), 0.905, 1.344, 0.1), ((0.1, 0.3), 0.903, 0.835, 0.75), ((0.1, 0.5), 1.099, 0.0, 0.75)],
)
def test_the_two_bit_world_foretells_when_the_mask_works(
    rates: tuple[float, float], shape: float, color: float, right: float
) -> None:
    end = follow(
        lambda weights: torch.stack([two_bit.gradient(weights, rate) for rate in rates]),
        vector(0.0, 0.0),
        RULES["AND-mask"],
        rate=0.5,
        steps=3000,
    )[-1]
    assert end.tolist() == pytest.approx([shape, color], abs=2e-3)
    assert two_bit.accuracy(end, 0.9).item() == pytest.approx(right)
