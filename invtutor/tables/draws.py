"""Settings of methods, drawn at random, for a search in several worlds (`search`)."""

import random
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from invtutor.fields import one_of
from invtutor.runs.recipe import Recipe

__all__ = ["CELLS", "COUNT", "GOES_ON", "METHODS", "drawn"]

COUNT = 40  # settings of each method
METHODS = ("irmv1", "vrex", "meta_irm")
CELLS: Mapping[str, Mapping[str, Any]] = {
    "25,000 per environment": {},
    "12,500 per environment": {"samples": 12_500},
    "6,250 per environment": {"samples": 6_250},
    "two spurious features": {"patch": True},
    "5 classes": {"classes": 5},
}

_Draw = Callable[[random.Random], Any]


def _power(low: float, high: float) -> _Draw:
    """Ten to a power drawn between two, to three digits."""
    return lambda draw: float(f"{10 ** draw.uniform(low, high):.3g}")


def _one(*values: Any) -> _Draw:
    return lambda draw: draw.choice(values)


_SHARED: Mapping[str, _Draw] = {
    "learning_rate": _power(-3.5, -2.5),
    "l2": _power(-3.7, -2.0),
    "decay": _one("constant", "cosine"),
    "late_rate": _one(1.0, 0.3, 0.1),
}
_OWN: Mapping[str, Mapping[str, _Draw]] = {
    "irmv1": {"penalty_weight": _power(2, 5), "early_weight": _one(1.0, 10.0, 100.0), "halves": _one(False, True)},
    "vrex": {"penalty_weight": _power(2, 5), "early_weight": _one(1.0, 10.0, 100.0), "ema": _one(0.0, 0.8, 0.95)},
    "meta_irm": {"penalty_weight": _power(-0.3, 2), "inner_rate": _power(-1.7, -0.3)},
}
GOES_ON: Mapping[str, Any] = {"restart": False, "late_rate": 1.0}  # Adam, as it was, once annealing is over
# The quick profile's as it was when the search was run, where it has changed since.
_BEFORE: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("quick", "irmv1"): {**GOES_ON, "batch_size": 1500, "steps": 400, "anneal": 150, "l2": 7e-4},
    ("quick", "vrex"): {**GOES_ON, "l2": 1e-3},
    ("quick", "meta_irm"): {**GOES_ON, "anneal": 150, "ramp": 300},
}
_BATCHES = (0.33, 0.67, 1.0, 1.67, 2.67)  # of the profile's own; as many times fewer steps
_ANNEALED, _RAMPED = (0.1, 0.6), (0.0, 0.4)  # shares of the steps, and of those that are left


@cache
def drawn(method: str, profile: str = "quick") -> list[dict[str, Any]]:
    """What each setting of a method changes in its recipe, the same in every world; the first is the one that was
    there before. All see as many samples. Raises ValueError for a method that is not among `METHODS`."""
    one_of("method", METHODS, method)
    before, draw = _BEFORE.get((profile, method), {}), random.Random(method)
    usual = Recipe.profile(profile, method, **before)
    return [dict(before), *(_setting(method, usual, draw) for _ in range(COUNT - 1))]


def _setting(method: str, usual: Recipe, draw: random.Random) -> dict[str, Any]:
    changes = {name: value(draw) for name, value in {**_SHARED, **_OWN[method]}.items()}
    size = usual.batch_size
    assert size is not None, "of full batches there is nothing to choose"
    batch = round(draw.choice(_BATCHES) * size)
    steps = round(usual.steps * size / batch)
    anneal = round(steps * draw.uniform(*_ANNEALED))
    ramp = round((steps - anneal) * draw.uniform(*_RAMPED))
    return changes | {"restart": False, "batch_size": batch, "steps": steps, "anneal": anneal, "ramp": ramp}
