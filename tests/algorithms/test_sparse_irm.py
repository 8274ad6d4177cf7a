"""SparseIRM: its masks, what they do to the network, and the budget."""

import pytest
import torch
from torch.func import functional_call
from two_bits import network, training_environments

from invtutor.algorithms import SparseIRM
from invtutor.algorithms.irmv1 import penalty
from invtutor.algorithms.projections import masked
from invtutor.algorithms.sparse_irm import SPEED, straight_through
from invtutor.worlds.risks import risk

DOUBLE = torch.float64


def test_a_mask_is_hard_and_its_slope_is_one() -> None:
    chances = torch.tensor([0.0, 0.3, 0.3, 1.0], dtype=DOUBLE, requires_grad=True)
    mask = straight_through(chances, torch.tensor([0.0, 0.2, 0.4, 0.999], dtype=DOUBLE))
    assert mask.tolist() == [0, 1, 0, 1]
    (mask * torch.arange(4)).sum().backward()
    assert chances.grad is not None and chances.grad.tolist() == [0, 1, 2, 3]


def test_a_mask_takes_parameters_away_in_their_order() -> None:
    model = network(dtype=DOUBLE)
    count = sum(theta.numel() for theta in model.parameters())
    mask = (torch.arange(count) % 3 > 0).double()
    flat = torch.cat([theta.flatten() for theta in masked(model, mask).values()])
    assert torch.equal(flat, mask * torch.cat([theta.flatten() for theta in model.parameters()]))


def test_the_gradients_of_weights_and_chances_are_those_of_the_masked_objective() -> None:
    algorithm = SparseIRM(network(dtype=DOUBLE), penalty_weight=30.0, share=0.6, rescale=False)
    environments = algorithm.prepare(training_environments(dtype=DOUBLE))
    algorithm.backward(environments)
    *theta, scores = algorithm.parameters()
    assert torch.allclose(SPEED * scores.detach(), torch.full_like(scores, 0.6), atol=1e-6), "on the budget"
    drawn = torch.rand(len(scores), generator=torch.Generator().manual_seed(0))
    mask = (drawn < SPEED * scores).double().requires_grad_()
    terms = []
    for e in environments:
        logits = functional_call(algorithm.model, masked(algorithm.model, mask), (e.inputs,))
        terms.append(risk(logits, e.labels) + 30 * penalty(logits, e.labels))
    *expected, of_mask = torch.autograd.grad(torch.stack(terms).mean(), [*theta, mask])
    for tensor, wanted in zip((*theta, scores), (*expected, SPEED * of_mask), strict=True):
        assert tensor.grad is not None and torch.allclose(tensor.grad, wanted, rtol=1e-6, atol=1e-12)


def test_the_budget_holds_after_every_step_and_the_likely_part_predicts() -> None:
    algorithm = SparseIRM(network(), share=0.5)
    environments = algorithm.prepare(training_environments())
    optimizer = torch.optim.Adam(algorithm.parameters(), lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        algorithm.backward(environments)
        chances = SPEED * algorithm.parameters()[-1].detach()
        assert chances.min() >= 0 and chances.max() <= 1 and chances.mean() <= 0.5 + 1e-5
        optimizer.step()
    kept = (SPEED * algorithm.parameters()[-1].detach() >= 0.5).float()
    assert 0 < kept.mean() < 1
    with torch.no_grad():
        for tensor, part in zip(algorithm.model.parameters(), masked(algorithm.model, kept).values(), strict=True):
            tensor.copy_(part)
    inputs = environments[0].inputs
    assert algorithm.predict(inputs).flatten().tolist() == pytest.approx(algorithm.model(inputs).flatten().tolist())
