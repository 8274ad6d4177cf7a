"""The temporal AND-mask: its averages and its mask by hand, and the decay that acts behind both."""

import pytest
import torch
from two_bits import network, training_environments

from invtutor.algorithms import TemporalMask
from invtutor.runs.recipe import Recipe
from invtutor.runs.run import assemble
from invtutor.worlds.digits import Digits
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import risks

DOUBLE = torch.float64


def test_a_gradient_passes_where_its_sign_has_lasted() -> None:
    algorithm, memory, threshold = TemporalMask(network(dtype=DOUBLE), l2=0.01), 0.79, 0.36
    environments = algorithm.prepare(training_environments(dtype=DOUBLE))
    own = algorithm.parameters()
    averages, shares = [torch.zeros_like(theta) for theta in own], []
    generator = torch.Generator().manual_seed(0)
    for _ in range(12):
        batch = [environment.sample(8, generator) for environment in environments]
        gradients = torch.autograd.grad(risks(algorithm.model, batch).mean(), own)
        averages = [memory * a + (1 - memory) * g.sign() for a, g in zip(averages, gradients, strict=True)]
        masks = [(a.abs() >= threshold).double() for a in averages]
        for theta in own:
            theta.grad = None
        kept = algorithm.backward(batch)["kept"].item()
        assert kept == pytest.approx(sum(mask.mean().item() for mask in masks) / len(masks))
        shares.append(kept)
        for theta, mask, gradient in zip(own, masks, gradients, strict=True):
            assert theta.grad is not None
            assert torch.allclose(theta.grad, mask * gradient + 0.02 * theta.detach(), atol=1e-12)
    assert shares[0] == 0 < max(shares), "one sign is not yet an average of .36"


def test_what_turns_back_and_forth_never_passes() -> None:
    """Labels turned in every other step: all signs of the head's bias alternate, and the average stays below τ."""
    algorithm = TemporalMask(network(dtype=DOUBLE))
    (environment, *_) = algorithm.prepare(training_environments(dtype=DOUBLE))
    few = environment.subset(environment.labels == 1)
    turned = Environment("turned", few.inputs, 1 - few.labels)
    for step in range(20):
        algorithm.backward([few if step % 2 else turned])
        bias = algorithm.parameters()[-1]
        assert bias.grad is not None and not bias.grad.any()
    for _ in range(2):
        algorithm.backward([few])
    assert bias.grad.any(), "and what lasts does"


def test_weights_decay_behind_the_mask(digits: Digits) -> None:
    """A first step of which nothing passes: only the decay moves the weights, by rate · decay, whatever Adam does."""
    recipe = Recipe("temporal_mask", l2=0.0, width=8, learning_rate=0.01, weight_decay=0.5, batch_size=20, steps=1)
    still, moved = (assemble(recipe.but(weight_decay=decay), digits) for decay in (0.0, 0.5))
    for ready, share in ((still, 1.0), (moved, 0.995)):
        before = [theta.detach().clone() for theta in ready.algorithm.parameters()]
        ready.fit(progress=False)
        for old, new in zip(before, ready.algorithm.parameters(), strict=True):
            assert torch.allclose(new, share * old, rtol=1e-6, atol=0)
