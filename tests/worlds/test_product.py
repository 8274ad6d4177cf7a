"""Every method on every network in every world, for two steps."""

import math
import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from small_worlds import tiny

from invtutor.algorithms import ALGORITHMS
from invtutor.networks import NETWORKS
from invtutor.runs.recipe import Recipe
from invtutor.runs.run import assemble, run
from invtutor.worlds import WORLDS

pytestmark = pytest.mark.usefixtures("small_data")


def triples() -> Iterator[Any]:
    """Every one; with the lowest versions of the libraries every method in each world and on each network."""
    for (i, world), (j, network), (k, method) in product(*map(enumerate, (WORLDS, NETWORKS, ALGORITHMS))):
        marks = () if (i + j + k) % len(NETWORKS) == 0 else pytest.mark.long
        yield pytest.param(world, network, method, marks=marks)


@pytest.mark.parametrize(("world", "network", "method"), [*triples()])
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
    accuracies = [value for name, value in done.metrics.items() if re.match("(train|test|gray)(?!.*risk)", name)]
    assert accuracies and all(0 <= value <= 1 for value in accuracies)
    assert all(math.isfinite(value) for value in done.metrics.values())
    assert done.world.outside(done.algorithm.predict).keys().isdisjoint(done.metrics)
