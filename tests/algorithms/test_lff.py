"""LfF: its weights by hand, the generalized cross-entropy by autograd, and what it remembers of a sample."""

import pytest
import torch
from two_bits import network, training_environments

from invtutor.algorithms import LfF
from invtutor.algorithms.lff import relative_difficulty
from invtutor.worlds.risks import risk

DOUBLE = torch.float64


def test_relative_difficulty_by_hand() -> None:
    biased, debiased = torch.tensor([3.0, 1.0, 0.0, 0.0]), torch.tensor([1.0, 1.0, 2.0, 0.0])
    assert relative_difficulty(biased, debiased).tolist() == pytest.approx([0.75, 0.5, 0.0, 0.0])


def test_the_twin_descends_on_the_generalized_cross_entropy() -> None:
    algorithm = LfF(network(dtype=DOUBLE), exponent=0.7)
    environments = algorithm.prepare(training_environments(dtype=DOUBLE))
    algorithm.backward(environments)
    assert algorithm.twin is not None
    theta = list(algorithm.twin.parameters())
    losses = torch.cat([risk(algorithm.twin(e.inputs), e.labels, reduction="none") for e in environments])
    generalized = ((1 - (-losses).exp() ** 0.7) / 0.7).mean()
    for tensor, expected in zip(theta, torch.autograd.grad(generalized, theta), strict=True):
        assert tensor.grad is not None and torch.allclose(tensor.grad, expected)
    assert len(algorithm.parameters()) == 2 * len(theta)


def test_it_remembers_the_losses_of_each_sample_and_weighs_by_their_share_of_the_classs_largest() -> None:
    algorithm = LfF(network(dtype=DOUBLE), memory=0.7)
    environments = algorithm.prepare(training_environments(dtype=DOUBLE))
    assert torch.equal(torch.cat([e.index for e in environments]), torch.arange(160)), "one number for each sample"
    means: dict[int, list[float]] = {}
    for part in ([0, 3, 5, 8], [3, 5, 90, 7], [0, 3, 3, 9]):
        few = [environments[0].subset(torch.tensor(part) % 80)]
        with torch.no_grad():
            for network_ in (algorithm.twin, algorithm.model):
                for weight in network_.parameters():  # type: ignore[union-attr]
                    weight += 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(part[0]))
            now = torch.stack(
                [risk(n(few[0].inputs), few[0].labels, reduction="none") for n in (algorithm.twin, algorithm.model)]
            )  # type: ignore[misc]
        algorithm.backward(few)
        for place, own in enumerate(few[0].index.tolist()):
            if own in part[:place]:
                continue
            old = means.get(own)
            means[own] = [
                new if old is None else 0.7 * old[i] + 0.3 * new for i, new in enumerate(now[:, place].tolist())
            ]
    assert algorithm.running is not None
    labels = environments[0].labels
    for own, pair in means.items():
        assert algorithm.running[:, own, labels[own]].tolist() == pytest.approx(pair, rel=1e-5)
        assert not algorithm.running[:, own, 1 - labels[own]].any()
    assert (algorithm.running.sum(2)[0] > 0).sum() == len(means)


def test_the_model_follows_the_weighted_mean() -> None:
    algorithm = LfF(network(dtype=DOUBLE))
    environments = algorithm.prepare(training_environments(dtype=DOUBLE))
    with torch.no_grad():
        for weight in algorithm.twin.parameters():  # type: ignore[union-attr]
            weight *= 2
    inputs, labels = (torch.cat([getattr(e, name) for e in environments]) for name in ("inputs", "labels"))
    biased, debiased = (risk(n(inputs), labels, reduction="none") for n in (algorithm.twin, algorithm.model))  # type: ignore[misc]
    largest = [torch.stack([each[labels == c].max() for c in (0, 1)])[labels] for each in (biased, debiased)]
    shares = [(each / most).detach() for each, most in zip((biased, debiased), largest, strict=True)]
    weights = (shares[0] / (shares[0] + shares[1])).detach()
    theta = list(algorithm.model.parameters())
    expected = torch.autograd.grad((weights * debiased).sum() / weights.sum(), theta)
    algorithm.backward(environments)
    assert weights.std() > 0.02
    for tensor, wanted in zip(theta, expected, strict=True):
        assert tensor.grad is not None and torch.allclose(tensor.grad, wanted, rtol=1e-5, atol=1e-8)
