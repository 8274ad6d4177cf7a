"""A step of a run as one function without side effects, which can be traced and taken elsewhere: into a page, say.

parameters, state = start(algorithm)
parameters, state, metrics = pure(algorithm)(parameters, state, batch, knobs)
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from invtutor.algorithms.algorithm import Algorithm, Scalars
from invtutor.fields import require
from invtutor.worlds.environment import Environment

__all__ = ["State", "Step", "adam", "batch_of", "filled", "pure", "start", "trace"]

State = Mapping[str, Any]  # `step`, Adam's `first` and `second` moments, and what the method carries, by name
Batch = Sequence[Mapping[str, Tensor]]  # of each environment `inputs`, `labels` and `index`
Step = Callable[[Sequence[Tensor], State, Batch, Mapping[str, Any]], tuple[list[Tensor], State, Scalars]]


def adam(
    theta: Tensor, gradient: Tensor, first: Tensor, second: Tensor, step: Tensor, rate: Tensor | float
) -> tuple[Tensor, Tensor, Tensor]:
    """Adam (Kingma and Ba 2015, alg. 1) with torch's defaults: θ and both moments after the step, counted from 1."""
    first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient.square()
    corrected = (second / (1 - 0.999**step)).sqrt() + 1e-8
    return theta - rate / (1 - 0.9**step) * first / corrected, first, second


def start(algorithm: Algorithm) -> tuple[list[Tensor], State]:
    """Parameters and state before the first step, of a method that is prepared."""
    parameters = [tensor.detach().clone() for tensor in algorithm.parameters()]
    zeros = {name: [torch.zeros_like(tensor) for tensor in parameters] for name in ("first", "second")}
    return parameters, {"step": torch.zeros(()), **zeros, **_carried(algorithm)}


def batch_of(environments: Sequence[Environment]) -> Batch:
    """What a step reads of environments."""
    return [{"inputs": e.inputs, "labels": e.labels, "index": e.index} for e in environments]


def pure(algorithm: Algorithm) -> Step:
    """`backward` and Adam's step as a function (parameters, state, batch, knobs) → (parameters, state, metrics).

    knobs: `learning_rate`, and fields of the method such as l2 or penalty_weight, as numbers or as tensors; what is not
    named is a constant of the step. `noise` stands for what the method would draw. The method itself stays as it is.
    Raises ValueError for a method like MAPLE, whose step is more than one gradient.
    """
    backward = filled(algorithm)

    def step(
        parameters: Sequence[Tensor], state: State, batch: Batch, knobs: Mapping[str, Any]
    ) -> tuple[list[Tensor], State, Scalars]:
        leaves, carried, metrics = backward(parameters, state, batch, knobs)
        moved, now = [], state["step"] + 1
        with torch.no_grad():
            for leaf, first, second in zip(leaves, state["first"], state["second"], strict=True):
                assert leaf.grad is not None
                moved.append(adam(leaf.detach(), leaf.grad, first, second, now, knobs["learning_rate"]))
        theta, first, second = map(list, zip(*moved, strict=True))
        return theta, {"step": now, "first": first, "second": second, **carried}, metrics

    return step


def filled(algorithm: Algorithm) -> Step:
    """`backward` alone, as a function (parameters, state, batch, knobs) → (parameters with their `.grad`, what the
    method carries, metrics), with arguments and errors as in `pure`; of the state it reads what is carried alone."""
    _carried(algorithm)

    def step(
        parameters: Sequence[Tensor], state: State, batch: Batch, knobs: Mapping[str, Any]
    ) -> tuple[list[Tensor], State, Scalars]:
        leaves = [tensor.detach().clone().requires_grad_() for tensor in parameters]
        environments = [Environment(str(i), e["inputs"], e["labels"], index=e["index"]) for i, e in enumerate(batch)]
        values = {name: value for name, value in knobs.items() if name not in ("learning_rate", "noise")}
        values |= {name: state[name] for name in _carried(algorithm)}
        if "noise" in knobs:
            values["noise"] = lambda: knobs["noise"]
        with _standing_in(algorithm, leaves, values):
            metrics = algorithm.backward(environments)
            carried = _carried(algorithm)
        return leaves, carried, metrics

    return step


def trace(step: Callable[..., Any], *example: Any) -> torch.fx.GraphModule:
    """The graph of a step, for arguments of the example's shapes; all tensors among them are its inputs."""
    from torch.fx.experimental.proxy_tensor import make_fx

    graph = make_fx(step, tracing_mode="fake")(*example)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _carried(algorithm: Algorithm) -> dict[str, Tensor]:
    """What the method hands on from step to step."""
    names = algorithm.carries
    require("algorithm", names is not None, "a method whose step is one gradient", algorithm.label)
    return {name: getattr(algorithm, name) for name in names or ()}


@contextmanager
def _standing_in(algorithm: Algorithm, leaves: Sequence[Tensor], values: Mapping[str, Any]) -> Iterator[None]:
    """In here `leaves` are what the optimizer moves, and attributes have other values; nothing of it lasts."""
    others = {id(own): leaf for own, leaf in zip(algorithm.parameters(), leaves, strict=True)}
    networks = [value for value in vars(algorithm).values() if isinstance(value, nn.Module)]
    places = [vars(algorithm), *(layer._parameters for network in networks for layer in network.modules())]
    before = [dict(place) for place in places]
    try:
        for place, known in zip(places, before, strict=True):
            place.update({name: others[id(own)] for name, own in known.items() if id(own) in others})
        vars(algorithm).update(values)
        yield
    finally:
        for place, known in zip(places, before, strict=True):
            place.clear()
            place.update(known)
