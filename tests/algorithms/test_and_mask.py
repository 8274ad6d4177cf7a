"""The AND-mask's rules on matrices that were worked out by hand, and the methods that use them."""

import math

import pytest
import torch
from two_bits import gradients, network, training_environments, two_bit

from invtutor.algorithms import AndMask, SandMask
from invtutor.algorithms.and_mask import agreement, and_mask, geometric_mean, mask
from invtutor.algorithms.gradients import environment_gradients
from invtutor.algorithms.sand_mask import soft_mask
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import risk

DOUBLE = torch.float64

# Four environments; the columns: all agree, three of four, two against two, one alone, two and two zeros, all zero.
GRADIENTS = torch.tensor(
    [
        [1.0, 1.0, 1.0, 0.0, 2.0, 0.0],
        [2.0, 2.0, -1.0, 0.0, 0.0, 0.0],
        [4.0, 4.0, 3.0, 6.0, 2.0, 0.0],
        [8.0, -8.0, -2.0, 0.0, 0.0, 0.0],
    ],
    dtype=DOUBLE,
)
AGREEMENT = [1.0, 0.5, 0.0, 0.25, 0.5, 0.0]
MEAN = [3.75, -0.25, 0.25, 1.5, 1.0, 0.0]
KEPT = {0.0: [1, 1, 1, 1, 1, 1], 0.5: [1, 1, 0, 0, 1, 0], 1.0: [1, 0, 0, 0, 0, 0]}


def random_gradients(environments: int, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(environments, *shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


# The rules


def test_agreement_is_the_size_of_the_mean_sign() -> None:
    assert agreement(GRADIENTS).tolist() == AGREEMENT
    assert agreement(-GRADIENTS).tolist() == AGREEMENT


@pytest.mark.parametrize("threshold", KEPT)
def test_the_mask_by_hand(threshold: float) -> None:
    assert mask(GRADIENTS, threshold).tolist() == KEPT[threshold]
    expected = [kept * mean for kept, mean in zip(KEPT[threshold], MEAN, strict=True)]
    assert and_mask(GRADIENTS, threshold).tolist() == expected


@pytest.mark.parametrize("threshold", KEPT)
def test_the_geometric_mean_by_hand(threshold: float) -> None:
    roots = [64**0.25, -(64**0.25), 6**0.25, 0.0, 0.0, 0.0]  # with the sign of the mean; one zero makes the product 0
    expected = [kept * root for kept, root in zip(KEPT[threshold], roots, strict=True)]
    # Zeros are taken as 1e-10, whose fourth root times other numbers' is small and not nothing.
    assert geometric_mean(GRADIENTS, threshold).tolist() == pytest.approx(expected, rel=1e-9, abs=2e-5)


def test_the_geometric_mean_is_at_most_the_arithmetic_one_where_all_agree() -> None:
    rows = random_gradients(5, 200).abs()
    assert (geometric_mean(rows, 1.0) <= and_mask(rows, 1.0) + 1e-12).all()
    equal = torch.full((7, 3), -0.3, dtype=DOUBLE)
    assert torch.allclose(geometric_mean(equal, 1.0), equal[0]) and torch.allclose(and_mask(equal, 1.0), equal[0])


def test_or_against_and() -> None:
    # One environment alone carries the first coordinate, all carry the second; the plain mean cannot tell them apart.
    rows = torch.tensor([[4.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]], dtype=DOUBLE)
    assert and_mask(rows, 0.0).tolist() == [1.0, 1.0]
    assert and_mask(rows, 1.0).tolist() == [0.0, 1.0]
    assert geometric_mean(rows, 0.0)[0] < 1e-6 and geometric_mean(rows, 0.0)[1] == pytest.approx(1.0)


@pytest.mark.parametrize("rule", [and_mask, geometric_mean, lambda g, t: soft_mask(g, t, 3.0)])
@pytest.mark.parametrize("threshold", [0.0, 0.4, 1.0])
def test_rules_do_not_know_the_order_of_environments_and_treat_coordinates_alone(rule, threshold) -> None:  # type: ignore[no-untyped-def]
    rows = random_gradients(6, 4, 5)
    whole = rule(rows, threshold)
    assert whole.shape == (4, 5)
    shuffled = rows[torch.tensor([3, 0, 5, 1, 4, 2])]
    assert torch.allclose(rule(shuffled, threshold), whole, rtol=1e-12, atol=1e-15)
    assert torch.allclose(rule(rows[:, 2, 3], threshold), whole[2, 3], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("rule", [and_mask, geometric_mean])
def test_rules_scale_with_the_gradients_and_turn_with_their_sign(rule) -> None:  # type: ignore[no-untyped-def]
    rows = random_gradients(4, 50)
    for factor in (1e-3, 7.0, -2.0):
        assert torch.allclose(rule(factor * rows, 0.5), factor * rule(rows, 0.5), rtol=1e-5, atol=0)


def test_rows_may_be_scaled_one_by_one_without_changing_the_mask() -> None:
    rows = random_gradients(4, 50)
    scales = torch.tensor([1e-6, 1.0, 30.0, 0.2], dtype=DOUBLE)[:, None]
    assert torch.equal(mask(scales * rows, 0.5), mask(rows, 0.5))
    # The geometric mean only feels the product of the scales.
    factor = scales.prod().item() ** 0.25
    agreed = rows.abs() * rows.mean(0).sign()
    assert torch.allclose(geometric_mean(scales * agreed, 1.0), factor * geometric_mean(agreed, 1.0), rtol=1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("environments", [1, 2, 3, 7, 10, 16, 30, 49])
def test_each_level_of_agreement_counts_as_reached(environments: int, dtype: torch.dtype) -> None:
    # Levels are k/d; a threshold that *is* a level, written as a fraction or a decimal, lets its coordinates pass.
    for agreeing in range((environments + 1) // 2, environments + 1):
        signs = torch.tensor([1.0] * agreeing + [-1.0] * (environments - agreeing), dtype=dtype)[:, None]
        level = (2 * agreeing - environments) / environments
        assert mask(signs, level).item() == 1.0
        assert mask(signs, min(level + 1e-3, 1.01)).item() == 0.0


def test_with_two_environments_the_threshold_is_no_knob() -> None:
    rows = random_gradients(2, 1000)
    assert torch.equal(mask(rows, 0.01), mask(rows, 1.0))
    rows[0, :10] = 0.0  # only exact zeros tell thresholds apart
    assert mask(rows, 0.5)[:10].all() and not mask(rows, 0.51)[:10].any()


@pytest.mark.parametrize("environments", [2, 4, 8, 64])
def test_random_signs_survive_with_chance_two_to_the_one_minus_d(environments: int) -> None:
    rows = random_gradients(environments, 200_000)
    chance = 2.0 ** (1 - environments)
    deviation = math.sqrt(chance / 200_000)
    assert mask(rows, 1.0).mean().item() == pytest.approx(chance, abs=5 * deviation + 1e-9)


def test_the_soft_mask_by_hand() -> None:
    rows = torch.tensor([[1.0, 1.0, 1.0], [3.0, -3.0, 1.0]], dtype=DOUBLE)  # agreement 1, 0, 1; σ² 1, 4, 0
    assert soft_mask(rows, 0.5, 2.0).tolist() == pytest.approx([math.tanh(1.0), 0.0, 1.0])
    assert soft_mask(rows, -0.5, 2.0).tolist() == pytest.approx([math.tanh(3.0), math.tanh(0.25), 1.0])


def test_at_threshold_one_the_soft_mask_lets_nothing_pass_even_full_agreement() -> None:
    assert not soft_mask(random_gradients(4, 100).abs(), 1.0, 1e9).any()


def test_a_steep_soft_mask_is_the_hard_one_just_above_its_threshold() -> None:
    rows = random_gradients(5, 1000)
    assert torch.equal(soft_mask(rows, 0.5, 1e30), mask(rows, 0.5 + 1e-9))  # agreements are .2, .6 and 1


def test_the_soft_mask_prefers_gradients_of_like_size() -> None:
    rows = torch.tensor([[1.0, 1.5, 1.9], [1.0, 0.5, 0.1]], dtype=DOUBLE)  # the same mean, more and more apart
    kept = soft_mask(rows, 0.5, 0.5)
    assert kept[0] > kept[1] > kept[2] > 0


# The gradients of single environments


@pytest.mark.parametrize("sizes", [(80, 80, 80), (80, 40, 13)], ids=["equal sizes", "unequal sizes"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_environment_gradients_are_those_of_autograd(sizes: tuple[int, ...], outputs: int) -> None:
    model = network(outputs=outputs, dtype=DOUBLE)
    environments: list[Environment] = [
        environment.subset(torch.arange(size))
        for environment, size in zip(training_environments(3, dtype=DOUBLE), sizes, strict=True)
    ]
    rows, by_environment = environment_gradients(model, environments)
    assert list(rows) == [name for name, _ in model.named_parameters()]
    for i, environment in enumerate(environments):
        loss = risk(model(environment.inputs), environment.labels)
        expected = torch.autograd.grad(loss, list(model.parameters()))
        assert by_environment[i].item() == pytest.approx(loss.item(), rel=1e-12)
        for row, wanted in zip(rows.values(), expected, strict=True):
            assert torch.allclose(row[i], wanted, rtol=1e-10, atol=1e-14)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


# The methods


@pytest.mark.parametrize("geometric", [False, True])
@pytest.mark.parametrize("rescale", [False, True])
def test_and_mask_fills_grad_with_its_rule_and_rescales_each_tensor(geometric: bool, rescale: bool) -> None:
    environments = training_environments(3, dtype=DOUBLE)
    algorithm = AndMask(network(dtype=DOUBLE), threshold=1.0, geometric=geometric, rescale=rescale)
    metrics = algorithm.backward(environments)
    rows, by_environment = environment_gradients(algorithm.model, environments)
    shares = []
    for row, found in zip(rows.values(), gradients(algorithm), strict=True):
        kept = mask(row, 1.0)
        shares.append(kept.mean().item())
        plain = (geometric_mean if geometric else and_mask)(row, 1.0)
        assert torch.allclose(found, plain / kept.mean() if rescale and kept.any() else plain, rtol=1e-10, atol=1e-14)
    assert 0 < min(shares) < 1, "else the test does not see the scale"
    assert metrics == pytest.approx({"risk": by_environment.mean().item(), "kept": sum(shares) / len(shares)})


def test_sand_mask_fills_grad_with_its_rule_and_rescales_each_tensor() -> None:
    environments = training_environments(3, dtype=DOUBLE)
    algorithm = SandMask(network(dtype=DOUBLE), threshold=0.5, steepness=1e-3)
    algorithm.backward(environments)
    rows, _ = environment_gradients(algorithm.model, environments)
    for row, found in zip(rows.values(), gradients(algorithm), strict=True):
        soft = soft_mask(row, 0.5, 1e-3)
        assert torch.allclose(found, soft * row.mean(0) / soft.mean(), rtol=1e-9, atol=1e-14)


def test_where_nothing_survives_the_gradient_is_zero_and_finite() -> None:
    # The same digits with opposite labels: all gradients are opposite, and the share of survivors is 0.
    one = two_bit(0.1, dtype=DOUBLE)
    model = network(dtype=DOUBLE)
    torch.nn.init.zeros_(model.head.weight)
    torch.nn.init.zeros_(model.head.bias)  # the logit is 0, so that both environments pull equally hard
    other = Environment("opposite", one.inputs, 1 - one.labels)
    for algorithm in (AndMask(model), SandMask(model)):
        for tensor in algorithm.parameters():
            tensor.grad = None
        metrics = algorithm.backward([one, other])
        assert metrics["kept"] == 0.0 and all((gradient == 0).all() for gradient in gradients(algorithm))


@pytest.mark.parametrize("kind", [AndMask, SandMask])
def test_the_l2_term_comes_after_the_mask(kind: type) -> None:
    # A coordinate that the mask vetoes still feels the L2 term: it is what takes away what was there at the start.
    environments = training_environments(2, dtype=DOUBLE)
    algorithm = kind(network(dtype=DOUBLE), l2=0.05)
    algorithm.backward(environments)
    rows, _ = environment_gradients(algorithm.model, environments)
    seen = 0
    for row, parameter, gradient in zip(rows.values(), algorithm.parameters(), gradients(algorithm), strict=True):
        vetoed = mask(row, 1.0) == 0
        seen += int(vetoed.sum())
        assert torch.allclose(gradient[vetoed], 0.1 * parameter.detach()[vetoed], rtol=1e-12, atol=0)
    assert seen > 10
