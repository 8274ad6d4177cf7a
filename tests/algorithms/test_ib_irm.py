"""IB-IRM: both terms of its penalty by hand, and what the second does to features."""

import pytest
import torch
from two_bits import network, training_environments

from invtutor.algorithms import IBIRM, IRMv1
from invtutor.algorithms.ib_irm import penalty
from invtutor.algorithms.irmv1 import penalty as irm_penalty

DOUBLE = torch.float64


def test_the_penalty_by_hand() -> None:
    features = torch.tensor([[1.0, 0.0], [3.0, 0.0], [5.0, 3.0]])
    logits, labels = torch.tensor([[0.3], [-0.2], [1.0]]), torch.tensor([1, 0, 0])
    ours = penalty(features, logits, labels, 0.5)
    assert ours.item() == pytest.approx(irm_penalty(logits, labels).item() + 0.5 * (4 + 3) / 2)


def test_without_a_bottleneck_it_is_irmv1() -> None:
    environments = training_environments(dtype=DOUBLE)
    ours, irm = IBIRM(network(dtype=DOUBLE), bottleneck=0.0, l2=1e-3), IRMv1(network(dtype=DOUBLE), l2=1e-3)
    for method in (ours, irm):
        method.backward(method.prepare(environments))
    for a, b in zip(ours.parameters(), irm.parameters(), strict=True):
        assert a.grad is not None and b.grad is not None and torch.allclose(a.grad, b.grad, rtol=1e-9, atol=1e-14)


def test_the_bottleneck_narrows_the_features() -> None:
    environments, spread = training_environments(), []
    for bottleneck in (0.0, 1.0):
        algorithm = IBIRM(network(width=32), bottleneck=bottleneck, penalty_weight=1.0)
        optimizer = torch.optim.Adam(algorithm.parameters(), lr=0.003)
        for _ in range(100):
            optimizer.zero_grad()
            algorithm.backward(environments)
            optimizer.step()
        spread.append(algorithm.model.features(environments[0].inputs).var(0).mean().item())
    assert spread[1] < 0.5 * spread[0]
