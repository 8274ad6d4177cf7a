"""What may be turned while a training runs."""

from collections.abc import Mapping
from typing import NamedTuple

from invtutor.algorithms import ALGORITHMS
from invtutor.runs.recipe import Recipe
from invtutor.words import meant, shown

__all__ = ["KNOBS", "Change", "knobs", "require_knob", "sign", "switch"]

KNOBS: Mapping[str, str] = {
    "penalty_weight": "λ",
    "threshold": "τ",
    "budget": "K",
    "inner_rate": "α",
    "step_size": "η",
    "learning_rate": "learning rate",
    "anneal": "anneal",
}
"""What may change under a running training, with its sign in the papers. All else belongs to a fresh run."""


class Change(NamedTuple):
    """A knob that was turned after so many steps."""

    step: int
    name: str
    value: float


def knobs(recipe: Recipe) -> dict[str, float]:
    """The recipe's knobs (`KNOBS`) with their values, its class's defaults included."""
    values = recipe.values
    return {name: values[name] for name in KNOBS if name in values and (name != "anneal" or "penalty_weight" in values)}


def sign(recipe: Recipe, name: str) -> str:
    """A knob's sign in the method's own paper."""
    return "β" if name == "penalty_weight" and recipe.algorithm in ("vrex", "mmrex") else KNOBS[name]


def switch(recipe: Recipe, method: str) -> Recipe:
    """The recipe with another method, and what the quick profile gives to that in this world: hyper-parameters,
    learning rate, L2 weight, annealing, batches, steps. World and network stay."""
    wanted = Recipe.profile("quick", method, world=recipe.world)
    names = ["hyper", "learning_rate", "late_rate", "l2", "batch_size", "steps"]
    names += ["early_weight", "anneal", "ramp", "restart"]
    return recipe.but(algorithm=wanted.algorithm, **{name: getattr(wanted, name) for name in names})


def require_knob(recipe: Recipe, name: str) -> None:
    """Raises ValueError for what is no knob of the recipe's method."""
    if name not in knobs(recipe):
        wish = f"a knob of {ALGORITHMS[recipe.algorithm].label}: {', '.join(knobs(recipe))}"
        raise ValueError(f"Parameter `name` should be {wish}. Found {shown(name)}.{meant(name, knobs(recipe))}")
