"""BIRM: the slope away from 1, and its mean over draws."""

import pytest
import torch
from two_bits import network, training_environments

from invtutor.algorithms import BIRM, IRMv1
from invtutor.algorithms.birm import penalty
from invtutor.algorithms.scale import slope
from invtutor.worlds.risks import risk

DOUBLE = torch.float64


def batch(outputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(outputs)
    logits = torch.randn(50, outputs, generator=generator, dtype=DOUBLE)
    return logits, torch.randint(max(2, outputs), (50,), generator=generator)


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_slope_at_a_draw_is_the_derivative_there(outputs: int) -> None:
    logits, labels = batch(outputs)
    scale = torch.linspace(0.5, 1.5, outputs, dtype=DOUBLE).requires_grad_()
    expected = torch.autograd.grad(risk(logits * scale, labels), scale)[0]
    assert torch.allclose(slope(logits, labels, scale.detach()), expected)


def test_the_penalty_is_the_mean_over_draws() -> None:
    logits, labels = batch(1)
    step, scales = 1e-5, [0.8, 1.0, 1.3]
    differences = [
        (risk((w + step) * logits, labels) - risk((w - step) * logits, labels)).item() / (2 * step) for w in scales
    ]
    ours = penalty(logits, labels, torch.tensor(scales, dtype=DOUBLE)[:, None])
    assert ours.item() == pytest.approx(sum(d**2 for d in differences) / 3, rel=1e-6)


def test_without_deviation_it_is_irmv1() -> None:
    environments = training_environments(dtype=DOUBLE)
    ours, irm = BIRM(network(dtype=DOUBLE), deviation=0.0), IRMv1(network(dtype=DOUBLE))
    for method in (ours, irm):
        method.backward(method.prepare(environments))
    for a, b in zip(ours.parameters(), irm.parameters(), strict=True):
        assert a.grad is not None and b.grad is not None and torch.allclose(a.grad, b.grad, rtol=1e-9, atol=1e-14)


def test_draws_are_new_at_each_step_and_the_same_again_after_prepare() -> None:
    algorithm = BIRM(network(outputs=3), draws=4)
    algorithm.prepare(training_environments())
    first, second = algorithm.noise(), algorithm.noise()
    assert first.shape == (4, 3) and not torch.equal(first, second)
    algorithm.prepare(training_environments())
    assert torch.equal(algorithm.noise(), first)
