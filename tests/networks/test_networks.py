"""The networks: features and head, their first weights and where they come from, and all methods on each of them."""

from collections.abc import Callable
from dataclasses import fields
from math import sqrt

import pytest
import torch
from torch import Tensor, nn

from invtutor.algorithms import ALGORITHMS
from invtutor.networks import CNN, MLP, NETWORKS, Network
from invtutor.runs.loop import fit
from invtutor.runs.recipe import Recipe
from invtutor.runs.run import run
from invtutor.worlds.environment import Environment

Kind = Callable[..., Network]
SHAPES = [(2, 14, 14), (3, 64, 32), (1, 7, 5), (3, 1, 1), (9, 7), (18,)]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pixels(n: int, shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randint(256, (n, *shape), dtype=torch.uint8, generator=seeded(seed))


def linears(model: MLP) -> list[nn.Linear]:
    return [*(layer for layer in model.layers if isinstance(layer, nn.Linear)), model.head]


@pytest.fixture(params=NETWORKS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return NETWORKS[request.param]


# All networks


@pytest.mark.parametrize("outputs", [1, 5])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_head_reads_the_features_of_inputs_of_any_shape(kind: Kind, shape: tuple[int, ...], outputs: int) -> None:
    model, inputs = kind(shape, 8, outputs, seeded(0)).eval(), pixels(4, shape)
    features = model.features(inputs)
    assert isinstance(model.head, nn.Linear) and features.shape == (4, model.head.in_features)
    assert torch.equal(model(inputs), model.head(features)) and model(inputs).shape == (4, outputs)
    assert (model(inputs) - model(inputs)[0]).abs().max() > 0, "different inputs give different logits"


def test_bytes_are_read_as_numbers_up_to_one(kind: Kind) -> None:
    for dtype in (torch.float32, torch.float64):
        model, inputs = kind((3, 9, 8), 8, 2, seeded(0)).to(dtype).eval(), pixels(5, (3, 9, 8))
        assert torch.equal(model(inputs), model(inputs.to(dtype) / 255))


def test_the_generator_is_the_only_source_of_randomness(kind: Kind) -> None:
    state, inputs = torch.get_rng_state(), pixels(5, (2, 6, 6))
    one, again, other = (kind((2, 6, 6), 8, 1, seeded(seed)) for seed in (3, 3, 4))
    default, zero = kind((2, 6, 6), 8, 1), kind((2, 6, 6), 8, 1, seeded(0))
    assert torch.equal(one(inputs), again(inputs)) and not torch.equal(one(inputs), other(inputs))
    assert torch.equal(default(inputs), zero(inputs))
    assert torch.equal(torch.get_rng_state(), state)


def test_each_example_is_treated_by_itself_unless_a_layer_normalizes_batches_and_every_weight_learns(
    kind: Kind,
) -> None:
    model, inputs = kind((3, 10, 9), 8, 1, seeded(0)).double(), pixels(6, (3, 10, 9))
    mixing = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    model.eval()  # in which dropout is silent, and the mean of a batch counts for nothing
    together, alone = model(inputs), torch.cat([model(row[None]) for row in inputs])
    assert torch.allclose(together, alone, rtol=1e-9)
    together.sum().backward()
    assert all(p.requires_grad and p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())
    for layer in mixing:
        layer.train()
    assert torch.allclose(model(inputs)[:3], model(inputs[:3]), rtol=1e-9) == (not mixing)


def test_what_is_read_without_gradients_is_read_alike(kind: Kind) -> None:
    model, inputs = kind((1, 5, 4), 4, 1, seeded(0)).double().eval(), pixels(600, (1, 5, 4))
    with torch.no_grad():
        judged = model(inputs)
    assert torch.allclose(judged, model(inputs), rtol=1e-9) and not judged.requires_grad


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_method_trains_every_network_on_bytes(name: str, kind: Kind) -> None:
    environments = [
        Environment(
            f"{seed}",
            pixels(12, (2, 6, 6), seed),
            torch.arange(12) % 2,
            {"conflict": torch.arange(12) // 3 % 2},
            plain=abs,
        )
        for seed in (0, 1)
    ]
    model = kind((2, 6, 6), 4, 1, seeded(0))
    few = {field.name: 3 for field in fields(ALGORITHMS[name]) if field.name.endswith("_steps")}
    algorithm, before = ALGORITHMS[name](model, **few), [p.detach().clone() for p in model.parameters()]
    environments = list(algorithm.prepare(environments, seeded(1)))
    optimizer = torch.optim.Adam(algorithm.parameters())
    steps = 2  # at the first a mask over time lets nothing pass
    fit(algorithm, optimizer, environments, steps, batch_size=8, generator=seeded(2), progress=False)
    assert algorithm.predict(environments[0].inputs).isfinite().all()
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


# The perceptron


@pytest.mark.parametrize(("inputs", "width", "outputs"), [(392, 390, 1), (980, 32, 5), (2, 4, 10)])
def test_shapes(inputs: int, width: int, outputs: int) -> None:
    model = MLP(inputs, width, outputs)
    assert [tuple(layer.weight.shape) for layer in linears(model)] == [
        (width, inputs),
        (width, width),
        (outputs, width),
    ]
    assert model(torch.zeros(3, inputs)).shape == (3, outputs)
    assert [type(layer) for layer in model.layers] == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU]


def test_the_published_network_is_the_default() -> None:
    assert [tuple(layer.weight.shape) for layer in linears(MLP())] == [(390, 392), (390, 390), (1, 390)]


def test_images_are_flattened() -> None:
    model, images = MLP(), torch.rand(3, 2, 14, 14, generator=seeded(0))
    assert torch.equal(model(images), model(images.flatten(1)))


def test_forward_is_two_relu_layers_and_a_linear_one() -> None:
    model = MLP(4, 3, 2, seeded(1))
    x = torch.randn(5, 4, generator=seeded(2))
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


def test_weights_are_drawn_from_the_first_layer_to_the_last() -> None:
    generator, model = seeded(7), MLP(6, 5, 2, seeded(7))
    for layer in linears(model):
        assert torch.equal(layer.weight, nn.init.xavier_uniform_(torch.empty_like(layer.weight), generator=generator))


# The convolutional networks


def test_what_convolves_takes_images_and_vectors_alone() -> None:
    for shape in [(0, 4), (2, 3, 4, 5), (), (3, 0, 4)]:
        with pytest.raises(ValueError, match=r"Parameter `shape` should be \(channels, height, width\), \(height,"):
            CNN(shape)


@pytest.mark.parametrize("name", ["convolutional", "residual"])
def test_first_weights_are_kaiming_normal_and_norms_neutral(name: str) -> None:
    layers = list(NETWORKS[name]((3, 8, 8), 32).modules())
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == {"convolutional": 4, "residual": 8}[name]
    for layer in convolutions:
        assert layer.weight.std().item() == pytest.approx(sqrt(2 / layer.weight[0].numel()), rel=0.1)
        assert layer.bias is None
    for layer in layers:
        if isinstance(layer, nn.GroupNorm):
            assert (layer.weight == 1).all() and not layer.bias.any() and layer.num_channels // layer.num_groups >= 2


def test_a_full_batch_in_pieces_is_the_batch(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, found = torch.rand(20, 1, 5, 4, generator=seeded(1), dtype=torch.float64), []
    for piece in (None, 7, 1):
        model = kind((1, 5, 4), 4, 1, seeded(0)).double().eval()  # in which no example depends on the others
        monkeypatch.setattr(Network, "piece", piece)
        monkeypatch.setattr(type(model), "piece", piece)
        logits = model(inputs)
        logits.square().mean().backward()
        found.append([logits, model.features(inputs), *(p.grad for p in model.parameters())])
    for whole, *others in zip(*found, strict=True):
        assert all(torch.allclose(other, whole, rtol=1e-9) for other in others)


def test_products_in_bfloat16_end_near_those_in_float32(kind: Kind) -> None:
    inputs = torch.rand(40, 2, 6, 6, generator=seeded(1))
    model = kind((2, 6, 6), 16, 1, seeded(0)).eval()
    whole = model(inputs)
    model.precision = "bfloat16"
    halved = model(inputs)
    assert halved.dtype == model.features(inputs).dtype == torch.float32
    assert not torch.equal(halved, whole) and torch.allclose(halved, whole, atol=0.2 * whole.std().item())


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_method_trains_in_bfloat16_about_as_in_float32(name: str) -> None:
    recipe = Recipe.profile("smoke", name, source="rendered", samples=200, batch_size=None, width=16, steps=2, anneal=0)
    risks = [run(recipe.but(precision=each), progress=False).history.last["risk"] for each in ("float32", "bfloat16")]
    assert risks[0] == pytest.approx(risks[1], rel=0.02) and risks[0] != risks[1]
