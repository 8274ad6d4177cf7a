"""What an environment is, and what every world must do that recipes can name."""

import copy
import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields

import pytest
import torch
from small_worlds import tiny
from torch import Tensor

from invtutor.networks import NETWORKS
from invtutor.runs.run import assemble
from invtutor.worlds import WORLDS
from invtutor.worlds.environment import Environment, conflicting, group_of, pool, split
from invtutor.worlds.risks import accuracy, accuracy_curve
from invtutor.worlds.world import Drawn, World


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sample_of(count: int = 12, start: int = 100, **attributes: Tensor) -> Environment:
    """Samples of which each part tells the number."""
    number = torch.arange(start, start + count)
    return Environment("here", number[:, None].float(), number % 2, {"place": number, **attributes}, number)


def tensors(environment: Environment) -> dict[str, Tensor]:
    own = {name: getattr(environment, name) for name in ("inputs", "labels", "index")}
    return own | dict(environment.attributes)


def same(one: Environment, other: Environment) -> bool:
    first, second = tensors(one), tensors(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# An environment


def test_an_attribute_is_had_by_its_name() -> None:
    environment = sample_of()
    assert torch.equal(environment["place"], environment.attributes["place"]) and len(environment) == 12
    with pytest.raises(ValueError, match=r"^Parameter `name` should be an attribute of 'here': place\. Found 'color'"):
        environment["color"]
    with pytest.raises(ValueError, match=r"^Parameter `name` should be an attribute of 'bare': none\. Found 'color'"):
        Environment("bare", torch.zeros(2, 1), torch.zeros(2).long())["color"]


def test_whatever_is_done_a_sample_keeps_its_number() -> None:
    environment, other = sample_of(), sample_of(5, 300)
    parts = [
        environment.subset(torch.tensor([3, 1, 3])),
        environment.subset(environment.labels == 1),
        environment.sample(40, seeded()),
        pool([environment, other]),
        *split(pool([environment, other]), 0.3, seeded()),
        environment.to("cpu"),
    ]
    for part in parts:
        assert torch.equal(part.index.float(), part.inputs[:, 0]) and torch.equal(part.index, part["place"])
        assert torch.equal(part.labels, part.index % 2)
    assert [len(part) for part in parts] == [3, 6, 40, 17, 12, 5, 12]
    rest, held_out = parts[4:6]
    assert not set(rest.index.tolist()) & set(held_out.index.tolist())
    assert parts[0].index.tolist() == [103, 101, 103]


def test_without_numbers_samples_are_counted() -> None:
    assert Environment("bare", torch.zeros(3, 1), torch.zeros(3).long()).index.tolist() == [0, 1, 2]


def test_pooled_are_the_attributes_that_all_have() -> None:
    some = pool([sample_of(color=torch.zeros(12).long()), sample_of()])
    assert some.attributes.keys() == {"place"}


def test_an_environment_is_frozen_and_what_is_made_of_it_leaves_it_alone() -> None:
    environment = sample_of()
    before = {name: (tensor.clone(), tensor._version) for name, tensor in tensors(environment).items()}
    for name in (each.name for each in fields(Environment)):
        with pytest.raises(FrozenInstanceError):
            setattr(environment, name, None)
    environment.each(lambda tensor: tensor + 1)
    split(environment.sample(8, seeded()), 0.5, seeded())
    for name, tensor in tensors(environment).items():
        assert torch.equal(tensor, before[name][0]) and tensor._version == before[name][1]


def test_groups_are_the_worlds_own_or_of_label_and_conflict() -> None:
    turned = torch.arange(12) // 2 % 2
    environment = sample_of(conflict=turned)
    assert torch.equal(conflicting(environment), turned.bool())
    assert torch.equal(group_of(environment), 2 * environment.labels + turned)
    assert torch.equal(group_of(sample_of(conflict=turned, group=turned + 5)), turned + 5)
    with pytest.raises(ValueError, match=r"^Parameter `samples` should be from a world that .+ Found 'here', which"):
        group_of(sample_of())


def test_gray_is_what_the_world_says_it_is() -> None:
    bare = sample_of()
    with pytest.raises(ValueError, match=r"^Parameter `samples` should be from a world .+ Found 'here', which cannot"):
        bare.gray()
    gray = Environment("here", bare.inputs, bare.labels, bare.attributes, bare.index, lambda inputs: 0 * inputs).gray()
    assert not gray.inputs.any() and torch.equal(gray.index, bare.index) and bare.inputs.all()


def test_two_environments_of_a_world_have_two_names() -> None:
    with pytest.raises(ValueError, match=r"^Parameter `name` of environments should be .+ Found 'here' twice\.$"):
        Drawn((sample_of(), sample_of()))
    with pytest.raises(ValueError, match=r"Found 'here' twice\.$"):
        Drawn((sample_of(),), (sample_of(),))


# Every world


def every_world(test: Callable[..., None]) -> Callable[..., None]:
    """With something small in every place where a world looks for its data."""
    return pytest.mark.usefixtures("small_data")(pytest.mark.parametrize("name", WORLDS)(test))


def drawn(name: str, seed: int = 0) -> World:
    setting = tiny(name).setting
    return setting.draw(setting.load(), seeded(seed))


def environments(world: World) -> list[Environment]:
    return [*world.train, *world.validation, *world.tests]


@every_world
def test_environments_have_names_numbers_and_labels_of_their_own(name: str) -> None:
    world, setting = drawn(name), tiny(name).setting
    every = environments(world)
    assert world.train and world.tests and len({e.name for e in every}) == len(every)
    numbers = torch.cat([e.index for e in (*world.train, *world.validation)])
    assert len(numbers.unique()) == len(numbers), "no sample twice, and none of validation in training"
    for environment in every:
        assert len(environment) and environment.inputs.shape[1:] == world.shape
        assert environment.inputs.dtype in (torch.float32, torch.uint8)
        assert environment.labels.min() >= 0 and environment.labels.max() < world.classes
    sizes = [len(environment) for environment in world.train]
    assert setting.sizes() is None or list(setting.sizes() or ()) == sizes
    assert len(world.pooled) == sum(sizes) and world.outputs in (1, world.classes)


@every_world
def test_a_world_is_its_seed_and_nothing_else(name: str) -> None:
    state = torch.get_rng_state()
    one, again, other = (environments(drawn(name, seed)) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state), "global randomness is left alone"
    assert all(same(a, b) for a, b in zip(one, again, strict=True))
    assert not all(same(a, b) for a, b in zip(one[: len(other)], other, strict=False))


@every_world
@pytest.mark.parametrize("network", NETWORKS)
def test_what_is_watched_is_finite_and_leaves_the_model_as_it_was(name: str, network: str) -> None:
    ready = assemble(tiny(name, network))
    world, model, predict = ready.world, ready.algorithm.model, ready.algorithm.predict
    before, modes = copy.deepcopy(model.state_dict()), [layer.training for layer in model.modules()]
    watched, final, outside = world.watch(predict), world.final(predict), world.outside(predict)
    assert watched == world.watch(predict) and watched.keys().isdisjoint(final | outside)
    for metric, value in (watched | final | outside).items():
        assert math.isfinite(value) and ("risk" in metric or 0 <= value <= 1), metric
    for environment in world.validation:
        assert watched[environment.name] == accuracy(predict, environment)
    assert all("risk" in metric for metric in outside)
    assert all(torch.equal(before[part], tensor) for part, tensor in model.state_dict().items())
    assert [layer.training for layer in model.modules()] == modes


@every_world
def test_a_world_moves_as_a_whole(name: str) -> None:
    world = drawn(name)
    assert all(same(a, b) for a, b in zip(environments(world), environments(world.to("cpu")), strict=True))
    moved = world.to("meta")
    for environment in (*moved.train, *moved.validation):
        assert {tensor.device.type for tensor in tensors(environment).values()} == {"meta"}
    assert world.train[0].inputs.device.type == "cpu"


@every_world
def test_a_few_of_the_test_are_shown(name: str) -> None:
    world = drawn(name)
    few = world.shown(3)
    assert len(few) == 3 and few.inputs.shape[1:] == world.shape
    assert set(few.index.tolist()) <= set(world.tests[-1].index.tolist())


@every_world
def test_a_curve_has_the_tests_at_its_ends(name: str) -> None:
    ready = assemble(tiny(name))
    world, predict = ready.world, ready.algorithm.predict
    corners = world.corners(predict)
    if corners is None:
        assert all(environment.name in world.watch(predict) for environment in world.tests)
        return
    assert corners.flatten().tolist() == [accuracy(predict, environment) for environment in world.tests]
    assert accuracy_curve(corners, (0.0, 1.0)) == [corners.flatten()[0], corners.flatten()[-1]]


@every_world
def test_knobs_are_said_in_words(name: str) -> None:
    kind = WORLDS[name]
    assert kind.label.strip() and kind.__doc__ and len({each.label for each in WORLDS.values()}) == len(WORLDS)
