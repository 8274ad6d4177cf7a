"""meta-IRM: its gradient against finite differences and closed forms, and what the ablations change."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from two_bits import gradients, network, training_environments

from invtutor.algorithms import ERM, MetaIRM, meta_irm
from invtutor.algorithms.descent import flattened
from invtutor.algorithms.meta_irm import deviation
from invtutor.exact import two_bit
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import risk, squared_norm

DOUBLE = torch.float64
RATES = (0.1, 0.2, 0.3)


def gradient(environments: Sequence[Environment], **hyper: Any) -> Tensor:
    algorithm = MetaIRM(network(dtype=DOUBLE), **hyper)
    algorithm.backward(environments)
    return torch.cat([g.flatten() for g in gradients(algorithm)])


def objective(
    model: nn.Module, environments: Sequence[Environment], hyper: dict[str, Any], constant: Any = None
) -> float:
    """The paper's words, step by step, without a graph through the inner step. constant: inner gradients to use."""
    theta = [p.detach().clone() for p in model.parameters()]
    losses = []
    for i, environment in enumerate(environments):
        inner = risk(model(environment.inputs), environment.labels)
        slopes = constant[i] if constant else torch.autograd.grad(inner, list(model.parameters()))
        with torch.no_grad():
            for p, slope in zip(model.parameters(), slopes, strict=True):
                p -= hyper["inner_rate"] * slope
            losses += [risk(model(e.inputs), e.labels).item() for j, e in enumerate(environments) if j != i]
            for p, value in zip(model.parameters(), theta, strict=True):
                p.copy_(value)
    found = torch.tensor(losses, dtype=DOUBLE)
    weight = hyper["penalty_weight"]
    total = found.mean() + hyper["l2"] * squared_norm(model).detach() + weight * found.var(unbiased=False).sqrt()
    return (total / max(1.0, weight)).item()


def inner_gradients(environments: Sequence[Environment]) -> list[Any]:
    model = network(dtype=DOUBLE)
    return [torch.autograd.grad(risk(model(e.inputs), e.labels), list(model.parameters())) for e in environments]


@pytest.mark.parametrize("first_order", [False, True])
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("weight", [0.0, 0.7, 5.0])
def test_gradient_against_finite_differences(count: int, weight: float, first_order: bool) -> None:
    """The first order's derivative is that of steps whose inner gradients are held at their value at θ."""
    environments = training_environments(count, dtype=DOUBLE)
    hyper = {"penalty_weight": weight, "inner_rate": 2.0, "l2": 1e-3}
    found = gradient(environments, **hyper, first_order=first_order)
    constant = inner_gradients(environments) if first_order else None
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        direction = torch.randn(len(found), generator=generator, dtype=DOUBLE)
        values = []
        for sign in (1, -1):
            model = network(dtype=DOUBLE)
            flat = nn.utils.parameters_to_vector(model.parameters()).detach() + sign * 1e-6 * direction
            nn.utils.vector_to_parameters(flat, model.parameters())
            values.append(objective(model, environments, hyper, constant))
        assert (found @ direction).item() == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5, abs=1e-8)


def test_first_and_second_order_differ_unless_there_is_no_inner_step() -> None:
    environments = training_environments(dtype=DOUBLE)
    for rate, same in ((0.0, True), (2.0, False)):
        first, second = (gradient(environments, inner_rate=rate, first_order=flag) for flag in (True, False))
        assert torch.allclose(first, second, rtol=1e-6) is same


@pytest.mark.parametrize(("count", "same", "pairs"), [(2, False, 2), (2, True, 2), (3, False, 6), (3, True, 3)])
def test_pairs(monkeypatch: pytest.MonkeyPatch, count: int, same: bool, pairs: int) -> None:
    """Every environment judges every other's step, or with same_environment each its own."""
    environments = training_environments(count, dtype=DOUBLE)
    seen: list[Tensor] = []
    monkeypatch.setattr(meta_irm, "deviation", lambda losses: seen.append(losses) or deviation(losses))
    algorithm = MetaIRM(nn.Linear(2, 1, bias=False).double(), inner_rate=2.0, same_environment=same)
    metrics = algorithm.backward(environments)
    assert len(seen[0]) == pairs
    weights = algorithm.model.weight[0].detach()
    closed = two_bit.meta_losses(weights, RATES[:count], 2.0, same_environment=same)
    assert torch.allclose(seen[0].sort().values, closed.sort().values)
    assert metrics["meta risk"] == pytest.approx(closed.mean().item())
    assert metrics["risk"] == pytest.approx(two_bit.risks(weights, RATES[:count]).mean().item())


@pytest.mark.parametrize("hyper", [{}, {"same_environment": True}, {"penalty_weight": 20.0}])
@pytest.mark.parametrize("count", [2, 3])
def test_two_weights_are_moved_as_the_exact_world_says(count: int, hyper: dict[str, Any]) -> None:
    """Samples whose frequencies are counted out, and a network of two weights, are `two_bit` itself."""
    algorithm = MetaIRM(nn.Linear(2, 1, bias=False).double(), inner_rate=2.0, **hyper)
    weights = algorithm.model.weight[0].detach().clone().requires_grad_()
    same = algorithm.same_environment
    losses = two_bit.meta_losses(weights, RATES[:count], 2.0, same_environment=same)
    weight = algorithm.penalty_weight
    (closed,) = torch.autograd.grad((losses.mean() + weight * deviation(losses)) / max(1.0, weight), weights)
    algorithm.backward(training_environments(count, dtype=DOUBLE))
    assert torch.allclose(algorithm.model.weight.grad[0], closed, rtol=1e-6)


def test_the_deviation_has_a_gradient_where_losses_are_equal() -> None:
    losses = torch.full((3,), 0.5, requires_grad=True)
    deviation(losses).backward()
    assert torch.equal(losses.grad, torch.zeros(3))
    assert deviation(torch.tensor([0.2, 0.6])) == pytest.approx(0.2), "of the population, not of a sample"
    assert torch.allclose(deviation(torch.tensor([[0.2, 0.0], [0.6, 1.0]])), torch.tensor([0.2, 0.5]))


def test_equal_environments_leave_the_network_finite() -> None:
    one = training_environments(dtype=DOUBLE)[0]
    assert gradient([one, one], penalty_weight=10.0).isfinite().all()


def test_without_deviation_only_the_mean_counts() -> None:
    """λ = 0 is the paper's ablation "without std loss"; without an inner step as well, it is ERM."""
    environments = training_environments(dtype=DOUBLE)
    bare, full = (gradient(environments, inner_rate=2.0, penalty_weight=w) for w in (0.0, 1.0))
    assert not torch.allclose(bare, full, rtol=1e-2)
    erm = ERM(network(dtype=DOUBLE))
    erm.backward(environments)
    plain = torch.cat([g.flatten() for g in gradients(erm)])
    assert not torch.allclose(bare, plain, rtol=1e-2)
    assert torch.allclose(gradient(environments, inner_rate=0.0, penalty_weight=0.0), plain)


def test_rescaling_changes_nothing_but_the_scale() -> None:
    environments = training_environments(dtype=DOUBLE)
    divided, whole = (gradient(environments, penalty_weight=8.0, rescale=flag) for flag in (True, False))
    assert torch.allclose(8 * divided, whole)


def test_lambda_against_a_sum_of_losses_and_either_deviation() -> None:
    """Two environments: twice our objective is the paper's, at 2λ with the population's σ and at √2·λ with torch's."""
    losses, weight = torch.tensor([0.7, 0.4], dtype=DOUBLE), 1.6
    twice = 2 * (losses.mean() + weight * deviation(losses))
    torch.testing.assert_close(twice, losses.sum() + 2 * weight * losses.std(unbiased=False))
    torch.testing.assert_close(twice, losses.sum() + 2**0.5 * weight * losses.std())


def test_a_step_on_one_vector_is_a_step_on_the_network() -> None:
    """`flattened`: the paper's update, written for a vector, leaves the library's gradients."""
    environments, model = training_environments(3, dtype=DOUBLE), network(dtype=DOUBLE)
    theta, risks = flattened(model, environments)
    assert theta.shape == (sum(p.numel() for p in model.parameters()),)
    slopes = [torch.autograd.grad(r(theta), theta, create_graph=True)[0] for r in risks]
    steps = [theta - 0.3 * slope for slope in slopes]
    losses = torch.stack([r(step) for i, step in enumerate(steps) for j, r in enumerate(risks) if i != j])
    (losses.mean() + 0.5 * deviation(losses)).backward()
    found = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert torch.allclose(found, gradient(environments, inner_rate=0.3, penalty_weight=0.5), rtol=1e-9)
