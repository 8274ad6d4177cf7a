"""Fishr: the closed form against one backward pass per sample."""

import pytest
import torch
from two_bits import network, training_environments

from invtutor.algorithms import Fishr
from invtutor.algorithms.fishr import gradient_variance, penalty
from invtutor.worlds.risks import risk

DOUBLE = torch.float64


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_variance_is_that_of_the_samples_gradients(outputs: int) -> None:
    model, environment = network(outputs=outputs, dtype=DOUBLE), training_environments(dtype=DOUBLE)[0]
    features = model.features(environment.inputs)
    rows = []
    for i in range(len(environment)):
        loss = risk(model.head(features[i : i + 1]), environment.labels[i : i + 1])
        weight, bias = torch.autograd.grad(loss, [model.head.weight, model.head.bias], retain_graph=True)
        rows.append(torch.cat([weight, bias[:, None]], 1))
    ours = gradient_variance(features, model.head(features), environment.labels)
    assert ours.shape == (outputs, 9) and torch.allclose(ours, torch.stack(rows).var(0, unbiased=False))


def test_the_penalty_by_hand() -> None:
    assert penalty(torch.tensor([[[1.0, 2.0]], [[3.0, 0.0]]])).item() == pytest.approx(2.0), "1 + 1 in each"
    assert penalty(torch.ones(3, 2, 5)).item() == 0


def test_the_gradient_by_finite_differences() -> None:
    algorithm = Fishr(network(dtype=DOUBLE), penalty_weight=50.0, l2=1e-3, rescale=False)
    environments, weight = training_environments(dtype=DOUBLE), algorithm.model.head.weight

    def objective() -> float:
        metrics = algorithm.backward(environments)
        norm = sum(tensor.square().sum() for tensor in algorithm.model.parameters())
        return (metrics["risk"] + 50 * metrics["penalty"] + 1e-3 * norm).item()

    objective()
    assert weight.grad is not None
    expected, step = weight.grad[0, 2].item(), 1e-5
    values = []
    for change in (step, -2 * step):
        with torch.no_grad():
            weight[0, 2] += change
        values.append(objective())
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(expected, rel=1e-5)
