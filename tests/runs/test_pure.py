"""A step as one function: it traces, λ is one of its inputs, and its steps are those of the loop."""

from collections.abc import Sequence
from functools import cache
from itertools import islice
from typing import Any

import pytest
import torch
from two_bits import network, training_environments

from invtutor.algorithms import ALGORITHMS, Algorithm
from invtutor.fields import hints
from invtutor.runs.loop import training
from invtutor.runs.pure import batch_of, pure, start, trace
from invtutor.worlds.environment import Environment

STEPS, SIZE = 20, 30
GRADIENT = [kind for kind in ALGORITHMS.values() if kind.carries is not None]  # MAPLE's step trains a network
gradient_method = pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.label) for kind in GRADIENT])


def schedules(kind: type[Algorithm]) -> dict[str, Any]:
    """λ, every other number of the method that is no count, l2 and the rate, all of them other at each step."""
    algorithm = kind(network())
    numbers = {name: getattr(algorithm, name) for name, hint in hints(kind).items() if hint is float}
    numbers |= {"l2": 1e-3, "learning_rate": 0.01}
    return {name: lambda step, value=value: value * (1 - step / 50) for name, value in numbers.items()}


def prepared(kind: type[Algorithm]) -> tuple[Algorithm, Sequence[Environment]]:
    algorithm = kind(network(outputs=2))
    return algorithm, algorithm.prepare(training_environments(3), torch.Generator().manual_seed(0))


def example(kind: type[Algorithm]) -> tuple[Algorithm, tuple[Any, ...]]:
    algorithm, environments = prepared(kind)
    parameters, state = start(algorithm)
    knobs = {name: torch.tensor(schedule(0)) for name, schedule in schedules(kind).items()}
    noise = algorithm.noise()
    batch = batch_of([e.sample(SIZE, torch.Generator()) for e in environments])
    return algorithm, (parameters, state, batch, knobs | ({} if noise is None else {"noise": noise}))


@cache
def traced(kind: type[Algorithm]) -> torch.fx.GraphModule:
    algorithm, arguments = example(kind)
    return trace(pure(algorithm), *arguments)


@gradient_method
def test_twenty_steps_of_the_graph_are_twenty_of_the_loop(kind: type[Algorithm]) -> None:
    graph = traced(kind)
    ours, environments = prepared(kind)
    (parameters, state), draws = start(ours), torch.Generator().manual_seed(1)
    found = []
    for step in range(STEPS):
        knobs = {name: torch.tensor(schedule(step)) for name, schedule in schedules(kind).items()}
        if (noise := ours.noise()) is not None:
            knobs["noise"] = noise
        batch = batch_of([e.sample(SIZE, draws) for e in environments])
        parameters, state, metrics = graph(parameters, state, batch, knobs)
        found.append({name: value.item() for name, value in metrics.items()})

    theirs, environments = prepared(kind)
    optimizer = torch.optim.Adam(theirs.parameters())
    draws = torch.Generator().manual_seed(1)
    steps = training(theirs, optimizer, environments, batch_size=SIZE, schedules=schedules(kind), generator=draws)
    for metrics, expected in zip(found, islice(steps, STEPS), strict=True):
        assert metrics == pytest.approx({name: expected[name] for name in metrics}, rel=1e-3, abs=1e-5)
    for a, b in zip(parameters, theirs.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=2e-4)
        assert (a - b).abs().mean() < 1e-5


@gradient_method
def test_what_makes_it_erm_is_an_input_and_acts(kind: type[Algorithm]) -> None:
    _, (parameters, state, batch, knobs) = example(kind)
    graph = traced(kind)
    others = {"l2": 0.0, "learning_rate": 0.5, **(kind.neutral or {})}
    for name, value in others.items():
        turned = knobs | {name: torch.tensor(value)}
        one, other = (graph(parameters, state, batch, values)[:2] for values in (knobs, turned))
        assert not all(map(torch.equal, [*one[0], *one[1]["first"]], [*other[0], *other[1]["first"]])), name


@gradient_method
def test_the_method_itself_stays_as_it_is(kind: type[Algorithm]) -> None:
    algorithm, arguments = example(kind)
    before, values = dict(vars(algorithm)), [tensor.detach().clone() for tensor in algorithm.parameters()]
    pure(algorithm)(*arguments)
    assert vars(algorithm).keys() == before.keys() and all(vars(algorithm)[name] is before[name] for name in before)
    for tensor, value in zip(algorithm.parameters(), values, strict=True):
        assert torch.equal(tensor, value) and tensor.grad is None


def test_a_method_whose_step_is_a_training_is_refused() -> None:
    for kind in ALGORITHMS.values():
        if kind.carries is None:
            with pytest.raises(ValueError, match=f"^Parameter `algorithm` should be .+ Found '{kind.label}'"):
                pure(kind(network()))
