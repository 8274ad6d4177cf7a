"""The spirals: their geometry, the rivals that train on them, and DANN's reversed gradient."""

import math
import random
import re

import numpy as np
import pytest
import torch
from torch import nn
from two_bits import gradients, network, training_environments

from invtutor.algorithms import DANN, ERM
from invtutor.algorithms.dann import reverse
from invtutor.networks.perceptron import MLP
from invtutor.networks.spiral import Dropout, SpiralMLP
from invtutor.runs.rivals import RIVALS, rival
from invtutor.runs.run import Run, run
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import risk
from invtutor.worlds.spirals import Spirals

DOUBLE = torch.float64
TINY = {"environments": 4, "samples": 64, "shortcut": 3, "width": 8, "batch_size": 32, "epochs": 2}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spirals(
    environments: int = 16, samples: int = 1024, shortcut: int = 16, *, seed: int = 0, **knobs: float
) -> tuple[tuple[Environment, ...], Environment]:
    """The training environments and the test."""
    setting = Spirals(environments, samples, shortcut, **knobs)  # type: ignore[arg-type]
    world = setting.draw(setting.load(), generator(seed))
    return world.train, world.tests[0]


def train(name: str, **changes: object) -> Run:
    return run(rival(name, **{"device": "cpu", **changes}), progress=False)  # type: ignore[arg-type]


# The data


def test_shapes_and_kinds() -> None:
    environments, test = spirals(5, 40, 7, test_samples=30)
    assert len(environments) == 5 and len({e.name for e in (*environments, test)}) == 6
    for environment, count in [(e, 40) for e in environments] + [(test, 30)]:
        assert environment.inputs.shape == (count, 9) and environment.inputs.dtype == torch.float32
        assert environment.labels.shape == (count,) and environment.labels.dtype == torch.int64
        assert set(environment.labels.tolist()) == {0, 1}
        assert not environment.attributes, "nobody can say in which samples the shortcut holds"
    world = Spirals(5, 40, 7).draw(None, generator())
    assert world.outputs == 1 and world.classes == 2 and world.shape == (9,) and not world.validation
    assert len(world.pooled.index.unique()) == 200


def test_without_its_shortcut_a_sample_is_the_mechanism_alone() -> None:
    for environment in (*(pair := spirals(2, 50, 4))[0], pair[1]):
        gray = environment.gray()
        assert torch.equal(gray.inputs[:, :2], environment.inputs[:, :2]) and not gray.inputs[:, 2:].any()
        assert environment.inputs[:, 2:].any(1).all() and gray.inputs.shape == environment.inputs.shape


def test_the_angle_on_the_spiral_tells_the_class() -> None:
    environments, test = spirals(samples=4000, environments=2)
    for environment in (*environments, test):
        points = environment.inputs[:, :2].double()
        assert points.std(0, unbiased=False).tolist() == pytest.approx([1, 1], abs=1e-5)
        # The points were stretched to variance 1; the largest radius, 1.02 at most, undoes it well enough.
        points = points / points.norm(dim=1).max()
        turns = torch.atan2(points[:, 1], points[:, 0]) / (2 * math.pi)
        arm = (turns - 3 * points.norm(dim=1)) % 1  # 0 on one spiral, 1/2 on the other, with the radius' blur
        guess = ((arm > 0.25) & (arm < 0.75)).long()
        assert (guess == environment.labels).double().mean() > 0.97
        # A line cannot tell them apart.
        normal = torch.linalg.lstsq(points, 2.0 * environment.labels.double() - 1).solution
        assert ((points @ normal > 0) == (environment.labels == 1)).double().mean() < 0.65


def test_the_shortcut_is_a_signature_in_training_and_noise_in_the_test() -> None:
    environments, test = spirals(16, 200, 16, scale=1.0)
    signatures = []
    for environment in environments:
        sides = (2 * environment.labels - 1)[:, None] * environment.inputs[:, 2:]
        assert torch.equal(sides, sides[:1].expand_as(sides)), "the same for all examples, but for the class's sign"
        signatures.append(sides[0])
    table = torch.stack(signatures)
    assert 0.8 < table.std() < 1.2 and len(table.unique(dim=0)) == 16
    assert table.mean(0).norm() < 2, "no direction is shared: 16 draws of mean 0"
    noise = test.inputs[:, 2:]
    assert len(noise.unique(dim=0)) == len(test)
    assert noise.std().item() == pytest.approx(1, abs=0.03)
    sides = (2 * test.labels - 1)[:, None] * noise
    assert sides.mean(0).abs().max() < 0.1, "it says nothing about the label"


def test_the_seed_is_all_there_is() -> None:
    (one, test), (again, test_again), (other, _) = (spirals(2, 50, 4, seed=s) for s in (1, 1, 2))
    for a, b in zip((*one, test), (*again, test_again), strict=True):
        assert torch.equal(a.inputs, b.inputs) and torch.equal(a.labels, b.labels)
    assert not torch.equal(one[0].inputs, other[0].inputs)


@pytest.mark.parametrize(("name", "least"), [("environments", 1), ("samples", 2), ("shortcut", 1), ("test_samples", 2)])
def test_counts_are_checked(name: str, least: int) -> None:
    """One sample has no spread to be scaled by."""
    wish, few = f"should be a whole number in [{least:,}, ", least - 1
    with pytest.raises(ValueError, match=rf"^Parameter `{name}` {re.escape(wish)}.+\]\. Found {few}\.$"):
        Spirals(**{name: few})


# The network


def test_dropout_silences_while_training_and_keeps_the_mean() -> None:
    layer, ones = Dropout(0.25, generator()), torch.ones(200, 200)
    dropped = layer(ones)
    assert dropped.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)
    assert not torch.equal(layer(ones), dropped), "a new draw each time"
    assert torch.equal(layer.eval()(ones), ones)


def test_a_networks_weights_come_from_its_generator() -> None:
    one, again, other = (SpiralMLP((5,), 16, 1, generator(s)) for s in (1, 1, 2))
    inputs = torch.randn(7, 5, generator=generator())
    assert one(inputs).shape == (7, 1)
    assert torch.equal(one(inputs), again(inputs)) and not torch.equal(one(inputs), other(inputs))
    linears = [*(layer for layer in one.layers if isinstance(layer, nn.Linear)), one.head]
    assert len(linears) == 4 and all((linear.bias == 0.01).all() for linear in linears)
    wide = SpiralMLP().layers[2].weight
    assert wide.std().item() == pytest.approx(math.sqrt(2 / 256), rel=0.05)


# The rivals


def global_states() -> tuple[object, ...]:
    return random.getstate(), torch.get_rng_state().tolist(), str(np.random.get_state())


@pytest.mark.parametrize("name", RIVALS)
def test_every_rival_trains_a_little(name: str) -> None:
    before = global_states()
    outcome = train(name, seed=3, **TINY)
    assert global_states() == before, "nothing from global randomness"
    assert len(outcome.history) == 2 and outcome.recipe.steps == 4
    for column in ("risk", "learning_rate", "train", "test"):
        assert all(map(math.isfinite, outcome.history.column(column)))
    assert all(outcome.metrics[column] == outcome.history.last[column] for column in ("train", "test"))
    assert 0 <= outcome.metrics["train"] <= 1 and 0 <= outcome.metrics["test"] <= 1
    assert outcome.history.last["learning_rate"] == pytest.approx(0.001)
    again = train(name, seed=3, **TINY)
    assert again.history.records == outcome.history.records, "bit for bit"
    for a, b in zip(outcome.algorithm.parameters(), again.algorithm.parameters(), strict=True):
        assert torch.equal(a, b)


def test_every_rivals_measure_does_something() -> None:
    def weights(name: str) -> torch.Tensor:
        outcome = train(name, **TINY)
        return torch.cat([p.detach().flatten() for p in outcome.algorithm.model.layers[0].parameters()])

    first = {name: weights(name) for name in RIVALS}
    for name, values in first.items():
        assert name == "ERM" or not torch.equal(values, first["ERM"])


def test_l1_adds_the_signs_of_the_weights() -> None:
    # So heavy that the lasso is all that Adam sees: every weight moves towards 0 by the rate, here already .001.
    options = TINY | {"epochs": 1, "batch_size": 64, "learning_rate": 0.01}
    heavy = train("ERM", l1=1000.0, **options).algorithm.model
    start = SpiralMLP((5,), 8, 1, _after_data())
    for before, after in zip(start.parameters(), heavy.parameters(), strict=True):
        assert torch.allclose(before - after, 0.001 * before.sign(), atol=1e-6)


def _after_data() -> torch.Generator:
    after = generator(0)
    Spirals(4, 64, 3).draw(None, after)
    return after


def test_erm_takes_the_shortcut_and_a_mask_does_not() -> None:
    options = {"samples": 256, "width": 64, "epochs": 30, "batch_size": 64, "every": 120}
    erm, masked = (train(name, **options).metrics for name in ("ERM", "AND-mask"))
    assert erm["train"] > 0.97 and erm["test"] < 0.6
    assert masked["train"] < 0.75, "what it learns in so short a time is not the shortcut"


def test_a_rival_is_a_recipe_of_which_everything_can_be_changed() -> None:
    masked, changed = rival("AND-mask"), rival("AND-mask", threshold=0.5, l2=0.0, samples=256, epochs=4)
    assert (masked.threshold, masked.l2, masked.steps) == (1.0, 5e-4, 80 * 1024 // 128)
    assert (changed.threshold, changed.l2, changed.steps) == (0.5, 0.0, 8)
    assert changed == masked.but(threshold=0.5, l2=0.0, samples=256, steps=8)
    with pytest.raises(ValueError, match=r"^Parameter `name` should be one of ERM, .+ Did you mean `dropout`\?$"):
        rival("drop out")


def test_erm_knows_no_environments_and_the_others_do() -> None:
    for name in RIVALS:
        recipe = rival(name, **TINY)
        whole = recipe.algorithm == "erm"
        assert recipe.batch_size == (4 * 32 if whole else 32) and recipe.hyper.get("pooled", False) == whole


# DANN


def dann(**options: float) -> DANN:
    judge = network(width=8, outputs=3, seed=5, dtype=DOUBLE)
    discriminator = nn.Sequential(*judge.layers[2:], judge.head)
    return DANN(network(dtype=DOUBLE), discriminator, **options)


def test_reverse_is_the_identity_whose_gradient_is_turned() -> None:
    features = torch.randn(5, 3, generator=generator(), dtype=DOUBLE, requires_grad=True)
    reversed_ = reverse(features, 0.7)
    assert torch.allclose(reversed_, features, rtol=1e-14)
    (reversed_ * torch.arange(3)).sum().backward()
    assert features.grad is not None and torch.allclose(features.grad, -0.7 * torch.arange(3).expand(5, 3).double())


def test_danns_players_get_their_own_gradients() -> None:
    environments, method = training_environments(3, dtype=DOUBLE), dann(penalty_weight=0.7, l2=1e-3)
    metrics = method.backward(environments)
    hidden, head = method.model.features, method.model.head
    features = [hidden(e.inputs) for e in environments]
    losses = torch.stack([risk(head(f), e.labels) for f, e in zip(features, environments, strict=True)]).mean()
    confusion = torch.stack(
        [risk(method.discriminator(f), torch.full((len(f),), i)) for i, f in enumerate(features)]
    ).mean()
    norm = sum(p.square().sum() for p in method.model.parameters())
    theta, phi = list(method.model.parameters()), list(method.discriminator.parameters())
    climbs = torch.autograd.grad(losses + 1e-3 * norm - 0.7 * confusion, theta, retain_graph=True)
    descends = torch.autograd.grad(confusion, phi)
    assert len(method.parameters()) == len(theta) + len(phi)
    for ours, expected in zip(gradients(method), [*climbs, *descends], strict=True):
        assert torch.allclose(ours, expected, rtol=1e-9, atol=1e-13)
    assert metrics == pytest.approx({"risk": losses.item(), "penalty": confusion.item()})


def test_neutral_dann_is_erm_for_the_model() -> None:
    environments, method = training_environments(3, dtype=DOUBLE), dann(penalty_weight=0.0, l2=1e-3)
    erm = ERM(network(dtype=DOUBLE), l2=1e-3)
    for algorithm in (method, erm):
        algorithm.backward(environments)
    for ours, theirs in zip(method.model.parameters(), erm.model.parameters(), strict=True):
        assert ours.grad is not None and theirs.grad is not None
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-10, atol=1e-14)


def test_a_discriminator_left_to_itself_finds_the_environments() -> None:
    # What the features lose by the reversal is there without it: at weight 0 the discriminator does better.
    environments, _ = spirals(4, 100, 3)

    def confusion(weight: float) -> float:
        algorithm = DANN(SpiralMLP((5,), 16), MLP(16, 16, 4), penalty_weight=weight)
        optimizer = torch.optim.Adam(algorithm.parameters(), lr=0.005)
        for _ in range(150):
            optimizer.zero_grad()
            metrics = algorithm.backward(environments)
            optimizer.step()
        return metrics["penalty"]

    alone, against = confusion(0.0), confusion(1.0)
    assert alone < 0.5 < math.log(4) * 0.8 < against
