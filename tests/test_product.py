"""Every method on every network in every world, for two steps."""

import hashlib
import math
from collections.abc import Iterator
from itertools import product

import pytest
from downloads import celeba, cifar_archive, cifar_pictures, waterbirds

from invtutor.algorithms import ALGORITHMS
from invtutor.fields import knobs
from invtutor.networks import NETWORKS
from invtutor.runs.recipe import Recipe, own
from invtutor.runs.run import assemble, run
from invtutor.worlds import WORLDS, cifar10
from invtutor.worlds.cifar_mnist import CIFARMNIST, ShapesMNIST
from invtutor.worlds.digits import Digits

FEW = {"samples": 24, "test_samples": 12, "environments": 3, "shares": 3, "size": 12}  # of whichever a world has


@pytest.fixture(scope="module", autouse=True)
def data(digits: Digits, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Something small in every place where a world looks for its data."""
    root, archive = tmp_path_factory.mktemp("data"), cifar_archive(cifar_pictures())
    (root / cifar10.ARCHIVE).write_bytes(archive)
    for write in (waterbirds, celeba):
        write(root)
    caches = (cifar10._read, CIFARMNIST.halves, ShapesMNIST.halves)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INVTUTOR_DATA", str(root))
        patch.setattr(cifar10, "MD5", hashlib.md5(archive).hexdigest())
        patch.setattr("invtutor.worlds.digits._rendered", lambda why="": digits)
        for cache in caches:
            cache.cache_clear()
        yield
    for cache in caches:
        cache.cache_clear()


def tiny(world: str, network: str = "perceptron", method: str = "erm") -> Recipe:
    """A smoke recipe, with little of everything."""
    known = {name: value for name, value in knobs(WORLDS[world]).items() if not isinstance(value, str)}
    few = {name: value for name, value in FEW.items() if name in known}
    few |= {"source": "rendered"} if "source" in knobs(WORLDS[world]) else {}
    few |= {name: 2 for name in own(method) if name.endswith("_steps")}
    few |= {name: 8 for name in own(method) if name.endswith("_batch")}
    recipe = Recipe.profile("smoke", method, world=world, network=network, width=4, steps=2, anneal=1, every=1, **few)
    return recipe.but(batch_size=recipe.batch_size and 8)


@pytest.mark.parametrize(("world", "network", "method"), [*product(WORLDS, NETWORKS, ALGORITHMS)])
def test_it_trains(world: str, network: str, method: str) -> None:
    recipe = tiny(world, network, method)
    try:
        ready = assemble(recipe)
    except ValueError as error:
        samples = assemble(tiny(world)).world.train[0]
        lacks = [samples.plain is None, not {"group", "conflict"} & samples.attributes.keys()]
        assert any(lacks) and str(error).startswith(("Parameter `samples` should be", "Parameter `name` should be"))
        return
    history = ready.fit(progress=False)
    assert len(history) == 2 and all(math.isfinite(value) for record in history for value in record.values())
    few = ready.world.shown(3)
    logits = ready.algorithm.predict(few.inputs)
    assert logits.shape == (len(few), ready.world.outputs) and logits.isfinite().all()


@pytest.mark.parametrize("world", WORLDS)
def test_a_world_measures_what_it_trains(world: str) -> None:
    recipe = tiny(world)
    assert Recipe.from_json(recipe.to_json()) == recipe
    done = run(recipe, progress=False)
    assert done.data is None or (str(done.data) and done.data.source)
    accuracies = [value for name, value in done.metrics.items() if name.startswith(("train", "test", "gray"))]
    assert accuracies and all(0 <= value <= 1 for value in accuracies)
    assert all(math.isfinite(value) for value in done.metrics.values())
    assert done.world.outside(done.algorithm.predict).keys().isdisjoint(done.metrics)
