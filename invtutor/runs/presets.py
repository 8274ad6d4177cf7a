"""Settings whose outcome their names tell."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from invtutor.runs.knobs import switch
from invtutor.runs.recipe import Recipe
from invtutor.runs.session import Session
from invtutor.worlds.colored_mnist import OOD_RATE, ColoredWorld

__all__ = ["PRESETS", "Preset", "hint"]


class Preset(NamedTuple):
    """A setting whose outcome its name tells: the method, what is changed in its recipe, and where to look."""

    method: str
    changes: Mapping[str, Any]
    hint: str

    def recipe(self, base: Recipe) -> Recipe:
        """The preset in the world, and with the sizes, of another recipe."""
        return switch(base, self.method).but(**self.changes)


PRESETS: Mapping[str, Preset] = {
    "ERM takes the color": Preset(
        "erm", {}, "after a few steps near 90, 80 and 10 %, which is what the color alone gives; little changes then."
    ),
    "IRMv1 leaves the color": Preset(
        "irmv1",
        {"batch_size": 1500, "steps": 400, "anneal": 150, "l2": 7e-4},  # short: a panel may have few digits to memorize
        "color comes first; once annealing ends, the three accuracies draw together, between 60 and 70 %.",
    ),
    "λ too small": Preset(
        "irmv1",
        {"penalty_weight": 1.0},
        "the penalty is there, but it costs less than the color is worth: at p = 0.9 still below 30 %.",
    ),
    "λ too large: collapse to 50 %": Preset(
        "irmv1",
        {"penalty_weight": 1e6, "anneal": 0},
        "a network that says nothing pays no penalty, and this one stays near 50 %. Annealing is what makes a large λ "
        "possible.",
    ),
    "no annealing": Preset(
        "irmv1",
        {"anneal": 0},
        "the λ that works after annealing keeps the network from learning anything: near 50 %.",
    ),
    "α too large: inverted": Preset(
        "meta_irm",
        {"inner_rate": 3.0, "penalty_weight": 0.0, "batch_size": 1500, "l2": 1e-3},
        "each inner step overshoots, and what is right after it is wrong before it: 10, 20 and 90 %.",
    ),
    "AND-mask where it cannot help": Preset(
        "and_mask", {}, "color agrees with the label in both environments, no sign objects, and no τ helps: 10 %."
    ),
}


_LEAST = {"samples": 5000, "width": 64}  # with which the presets' hints were measured; None is all samples


def hint(preset: str, session: Session) -> str:
    """Where to look in a run of a preset. Its name and its own hint tell what was seen in the lessons' world; of any
    other, this says what the clues are worth there."""
    recipe, world = session.recipe, session.world
    if not isinstance(world, ColoredWorld):
        return "its name tells what was seen on Colored MNIST, and this is another world."
    known, usual = recipe.world_options, Recipe().world_options
    same = all(known[name] == value for name, value in usual.items() if name not in ("samples", "source"))
    sizes = {"samples": known["samples"], "width": recipe.width}
    large = all(sizes[name] is None or sizes[name] >= least for name, least in _LEAST.items())
    if same and large and session.data.source == "mnist":
        return PRESETS[preset].hint
    rates = [*dict.fromkeys(world.flip_rates), *({OOD_RATE} - {*world.flip_rates})]

    def worth(clue: Literal["invariant", "color", "pooled"]) -> str:
        accuracies = [f"{100 * world.bayes(clue).accuracy(rate):.3g}" for rate in rates]
        return _listed(accuracies if len(set(accuracies)) > 1 else accuracies[:1]) + " %"

    shape = worth("invariant")
    worths = f"{worth('color')} from color alone, {shape} from shape alone, {worth('pooled')} from both"
    return (
        f"its name tells what was seen with flip rates {_listed(usual['flip_rates'])}, "
        f"label noise {usual['label_noise']:g}, "
        f"{_LEAST['samples']:,} or more MNIST digits and width {_LEAST['width']} or more. Here, at p = "
        f"{_listed(rates)}, the rule that is best in training is right on "
        f"{f'{shape} without color' if world.grayscale else worths}."
    )


def _listed(values: Sequence[object]) -> str:
    *others, last = map(str, values)
    return f"{', '.join(others)} and {last}" if others else last
