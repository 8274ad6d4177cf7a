"""What every method must do, whatever its mathematics: the same tests for all that recipes know."""

import random
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from two_bits import TEST_RATE, gradients, network, training_environments, two_bit

from invtutor.algorithms import ALGORITHMS, ERM, Algorithm
from invtutor.fields import hints
from invtutor.runs.loop import fit, step_at
from invtutor.runs.recipe import Recipe
from invtutor.runs.run import run
from invtutor.worlds.digits import Digits
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import accuracy, risks

DOUBLE = torch.float64


def those(fit: Callable[[type[Algorithm]], bool]) -> pytest.MarkDecorator:
    """The methods of which that is true."""
    return pytest.mark.parametrize("kind", [pytest.param(k, id=k.label) for k in ALGORITHMS.values() if fit(k)])


every_method = those(lambda kind: True)


def make(
    kind: type[Algorithm], environments: Sequence[Environment], **options: Any
) -> tuple[Algorithm, Sequence[Environment]]:
    """A method around a network that `options` describe, and the environments that the loop would draw from."""
    hyper = {name: options.pop(name) for name in hints(kind) if name in options}
    algorithm = kind(network(**options), **hyper)
    return algorithm, algorithm.prepare(environments)


def tensors(environment: Environment) -> list[torch.Tensor]:
    values = [getattr(environment, f.name) for f in fields(environment)]
    return [value for value in values if isinstance(value, torch.Tensor)]


def train(algorithm: Algorithm, environments: Sequence[Environment], **options: Any) -> list[dict[str, float]]:
    if hasattr(algorithm, "inner_steps"):  # whose number is nothing that these tests ask about
        algorithm.inner_steps = 20
    environments = algorithm.prepare(environments)
    optimizer = torch.optim.Adam(algorithm.parameters(), lr=0.01)
    return fit(algorithm, optimizer, environments, 12, every=1, progress=False, **options).records


@every_method
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("count", [2, 3])
def test_every_moved_tensor_gets_a_finite_gradient(kind: type[Algorithm], count: int, outputs: int) -> None:
    algorithm, environments = make(kind, training_environments(count), outputs=outputs)
    for _ in range(2):  # a mask over time lets nothing pass at first
        metrics = algorithm.backward(environments)
    moved = algorithm.parameters()
    assert moved and all(tensor.is_leaf and tensor.requires_grad for tensor in moved)
    for tensor in moved:
        assert tensor.grad is not None and tensor.grad.shape == tensor.shape
        assert tensor.grad.isfinite().all()
    assert any(tensor.grad.any() for tensor in moved if tensor.grad is not None)
    assert metrics and all(value.shape == () and not value.requires_grad for value in metrics.values())


@every_method
def test_backward_accumulates_like_loss_backward(kind: type[Algorithm]) -> None:
    (fresh, environments), (used, _) = (make(kind, training_environments(dtype=DOUBLE), dtype=DOUBLE) for _ in "ab")
    for tensor in used.parameters():
        tensor.grad = torch.ones_like(tensor)
    for algorithm in (fresh, used):
        algorithm.backward(environments)
    assert all(torch.allclose(1 + a, b) for a, b in zip(gradients(fresh), gradients(used), strict=True))


def model_gradients(algorithm: Algorithm) -> list[torch.Tensor]:
    return [tensor.grad for tensor in algorithm.model.parameters() if tensor.grad is not None]


@pytest.mark.parametrize("count", [2, 3])
@those(lambda kind: kind.neutral is not None)
def test_the_neutral_setting_is_erm(kind: type[Algorithm], count: int) -> None:
    options = {"dtype": DOUBLE, "l2": 1e-3, **(kind.neutral or {})}
    neutral, environments = make(kind, training_environments(count, dtype=DOUBLE), **options)
    erm = ERM(network(dtype=DOUBLE), l2=1e-3)
    for method in (neutral, erm):
        method.backward(environments)
    for ours, expected in zip(model_gradients(neutral), model_gradients(erm), strict=True):
        assert torch.allclose(ours, expected, rtol=1e-10, atol=1e-14)


@those(lambda kind: bool(kind.neutral))  # else it is ERM, or changes the samples alone
def test_the_default_setting_is_not_erm(kind: type[Algorithm]) -> None:
    theta = []
    for hyper in ({}, kind.neutral):
        algorithm, environments = make(kind, training_environments(dtype=DOUBLE), dtype=DOUBLE, **hyper)
        fit(algorithm, torch.optim.Adam(algorithm.parameters(), lr=0.01), environments, 12, progress=False)
        theta.append(torch.cat([tensor.detach().flatten() for tensor in algorithm.model.parameters()]))
    assert (theta[0] - theta[1]).abs().max() > 1e-6


@those(lambda kind: not kind.ordered)
def test_the_order_of_environments_does_not_matter(kind: type[Algorithm]) -> None:
    (one, environments), (other, _) = (
        make(kind, training_environments(3, dtype=DOUBLE), dtype=DOUBLE, l2=1e-3) for _ in "ab"
    )
    first, second = one.backward(environments), other.backward([*environments[1:], environments[0]])
    assert {name: value.item() for name, value in first.items()} == pytest.approx(
        {name: value.item() for name, value in second.items()}
    )
    for a, b in zip(gradients(one), gradients(other), strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-14)


@every_method
@pytest.mark.parametrize("batch_size", [None, 16])
def test_the_same_seed_gives_the_same_history(kind: type[Algorithm], batch_size: int | None) -> None:
    first, again, other = (
        train(
            kind(network(seed=seed)),
            training_environments(),
            batch_size=batch_size,
            generator=torch.Generator().manual_seed(seed),
        )
        for seed in (1, 1, 2)
    )
    assert first == again, "bit for bit"
    assert first != other


@every_method
def test_environments_are_left_alone(kind: type[Algorithm]) -> None:
    environments = training_environments()
    before = [(tensor, tensor.clone(), tensor._version) for e in environments for tensor in tensors(e)]
    train(kind(network()), environments)
    train(kind(network()), environments, batch_size=16)
    for tensor, copy, version in before:
        assert torch.equal(tensor, copy) and tensor._version == version and tensor.grad is None


def test_environments_are_frozen() -> None:
    with pytest.raises(AttributeError):
        training_environments()[0].flip_rate = 0.5  # type: ignore[misc]


def test_labels_tell_the_methods_apart() -> None:
    labels = [str(kind(network())) for kind in ALGORITHMS.values()]
    assert len(set(labels)) == len(labels) and all(label.strip() for label in labels)
    assert labels == [kind.label for kind in ALGORITHMS.values()]


def test_every_published_method_can_be_named_in_a_recipe() -> None:
    ours = {k for k in Algorithm.__subclasses__() if k.__module__.startswith("invtutor.")}
    assert ours == set(ALGORITHMS.values())


@every_method
def test_a_method_predicts_logits(kind: type[Algorithm]) -> None:
    algorithm, (environment, *_) = make(kind, training_environments())
    algorithm.backward([environment, environment])
    assert torch.equal(algorithm.predict(environment.inputs), algorithm.model(environment.inputs))


def global_states() -> tuple[Any, ...]:
    return random.getstate(), torch.get_rng_state().tolist(), str(np.random.get_state())


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_run_takes_nothing_from_global_randomness(name: str, digits: Digits) -> None:
    recipe = Recipe.profile("smoke", name, device="cpu", samples=50, batch_size=10, steps=3, width=4, every=3)
    before = global_states()
    run(recipe, data=digits, progress=False)
    assert global_states() == before


# The lesson itself, in two bits


def trained(kind: type[Algorithm], seed: int) -> Algorithm:
    """A plain Adam loop, with the penalty at weight 1 for the first 150 steps. Wide enough not to get stuck at the
    constant predictor, which the penalties like, too. An inner step has to be small beside a weight of 1,000."""
    hyper = {"inner_rate": 0.1} if "inner_rate" in hints(kind) else {}
    algorithm, environments = make(kind, training_environments(), seed=seed, width=32, **hyper)
    weight = {"penalty_weight": step_at(150, 1.0, 1e3)} if "penalty_weight" in hints(kind) else {}
    fit(
        algorithm,
        torch.optim.Adam(algorithm.parameters(), lr=0.003),
        environments,
        500,
        schedules=weight,
        progress=False,
    )
    return algorithm


def outcome(algorithm: Algorithm) -> tuple[list[float], list[float]]:
    """Accuracies in both training environments and in the test, and the training risks."""
    environments = (*training_environments(), two_bit(TEST_RATE))
    with torch.no_grad():
        by_environment = risks(algorithm.predict, environments[:2]).tolist()
    return [accuracy(algorithm.predict, e) for e in environments], by_environment


# In both environments the color agrees with the label more often than not, so that no sign of a gradient tells it from
# a shape; and the worst environment, p = .2, is still one in which the color is the better clue.
@pytest.mark.long
@those(lambda kind: kind.holds is False)
def test_erm_and_its_kin_take_the_color_and_fail(kind: type[Algorithm]) -> None:
    accuracies, by_environment = outcome(trained(kind, seed=0))
    assert accuracies == pytest.approx([0.9, 0.8, 0.1])
    if kind is ERM:
        assert by_environment == pytest.approx([0.286, 0.423], abs=0.01), "the pooled Bayes predictor"


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 1])
@those(lambda kind: kind.holds is True)
def test_invariant_methods_take_the_shape_and_hold(kind: type[Algorithm], seed: int) -> None:
    accuracies, (first, second) = outcome(trained(kind, seed))
    assert accuracies == pytest.approx([0.75] * 3, abs=0.05)
    assert abs(first - second) < 0.05, "ERM's risks differ by .137"
    assert 0.42 < (first + second) / 2 < 0.65, "near .562, the risk of shape alone"
