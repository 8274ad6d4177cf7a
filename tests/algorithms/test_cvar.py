"""CVaR DRO against the definition of the worst share of losses."""

from itertools import permutations

import pytest
import torch
from two_bits import network, training_environments

from invtutor.algorithms import CVaRDRO
from invtutor.algorithms.cvar import tail_shares
from invtutor.worlds.risks import risk

DOUBLE = torch.float64


def test_shares_by_hand() -> None:
    losses = torch.tensor([0.2, 0.9, 0.5, 0.7, 0.1], dtype=DOUBLE)
    assert tail_shares(losses, 0.5).tolist() == pytest.approx([0, 0.4, 0.2, 0.4, 0]), "2.5 of 5: two, and half of one"
    assert tail_shares(losses, 1.0).tolist() == pytest.approx([0.2] * 5)
    assert tail_shares(losses, 0.1).tolist() == pytest.approx([0, 1, 0, 0, 0]), "less than one sample is one"


@pytest.mark.parametrize("share", [0.05, 0.2, 0.37, 0.5, 0.99, 1.0])
def test_no_other_shares_weigh_more(share: float) -> None:
    losses = torch.rand(6, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    ours = tail_shares(losses, share)
    assert ours.sum().item() == pytest.approx(1) and ours.min() >= 0 and ours.max() <= max(1 / (6 * share), 1) + 1e-12
    corners = torch.tensor(list(set(permutations(ours.tolist()))), dtype=DOUBLE)  # of all shares that are allowed
    assert (ours @ losses).item() == pytest.approx((corners @ losses).max().item())


@pytest.mark.parametrize("share", [0.1, 0.3, 0.8])
def test_the_mean_of_the_tail_is_rockafellars_minimum(share: float) -> None:
    """CVaR = min_t t + mean max(ℓ − t, 0) / α (Rockafellar and Uryasev 2000), at a t among the losses."""
    losses = torch.randn(40, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    minimum = min((t + (losses - t).clamp(min=0).mean() / share).item() for t in losses)
    assert (tail_shares(losses, share) @ losses).item() == pytest.approx(minimum)


def test_the_gradient_is_that_of_the_worst_samples_of_all_environments() -> None:
    algorithm, environments = CVaRDRO(network(dtype=DOUBLE), share=0.25), training_environments(dtype=DOUBLE)
    metrics = algorithm.backward(environments)
    losses = torch.cat([risk(algorithm.model(e.inputs), e.labels, reduction="none") for e in environments])
    worst = losses.sort(descending=True).values[:40].mean()
    theta = list(algorithm.model.parameters())
    for tensor, expected in zip(theta, torch.autograd.grad(worst, theta), strict=True):
        assert tensor.grad is not None and torch.allclose(tensor.grad, expected)
    assert metrics["penalty"].item() == pytest.approx((worst - losses.mean()).item())
