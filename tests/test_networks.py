"""The perceptron: its shapes, its first weights and where they come from."""

from math import sqrt

import pytest
import torch
from torch import nn

from invtutor.networks.perceptron import MLP


def linears(model: MLP) -> list[nn.Linear]:
    return [layer for layer in model.layers if isinstance(layer, nn.Linear)]


@pytest.mark.parametrize(("inputs", "width", "outputs"), [(392, 390, 1), (980, 32, 5), (2, 4, 10)])
def test_shapes(inputs: int, width: int, outputs: int) -> None:
    model = MLP(inputs, width, outputs)
    assert [tuple(layer.weight.shape) for layer in linears(model)] == [
        (width, inputs),
        (width, width),
        (outputs, width),
    ]
    assert model(torch.zeros(3, inputs)).shape == (3, outputs)
    assert [type(layer) for layer in model.layers] == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]


def test_the_published_network_is_the_default() -> None:
    assert [tuple(layer.weight.shape) for layer in linears(MLP())] == [(390, 392), (390, 390), (1, 390)]


def test_images_are_flattened() -> None:
    model, images = MLP(), torch.rand(3, 2, 14, 14, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model(images), model(images.flatten(1)))


def test_forward_is_two_relu_layers_and_a_linear_one() -> None:
    model = MLP(4, 3, 2, torch.Generator().manual_seed(1))
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(2))
    first, second, last = linears(model)
    hidden = (x @ first.weight.T + first.bias).clamp(min=0)
    hidden = (hidden @ second.weight.T + second.bias).clamp(min=0)
    assert torch.allclose(model(x), hidden @ last.weight.T + last.bias)


def test_weights_are_xavier_uniform_and_biases_zero() -> None:
    for layer in linears(MLP(392, 256, 1)):
        fan_out, fan_in = layer.weight.shape
        bound = sqrt(6 / (fan_in + fan_out))
        assert layer.weight.abs().max() <= bound
        assert layer.weight.abs().max() > 0.9 * bound
        assert layer.weight.std().item() == pytest.approx(bound / sqrt(3), rel=0.15)
        assert not layer.bias.any()
        assert layer.weight.requires_grad and layer.bias.requires_grad


def test_the_generator_is_the_only_source_of_randomness() -> None:
    state = torch.get_rng_state()
    one, again, other = (MLP(20, 8, 1, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    default, zero = MLP(20, 8, 1), MLP(20, 8, 1, torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), state)
    for a, b, c in zip(linears(one), linears(again), linears(other), strict=True):
        assert torch.equal(a.weight, b.weight) and not torch.equal(a.weight, c.weight)
    assert all(torch.equal(a, b) for a, b in zip(default.parameters(), zero.parameters(), strict=True))
