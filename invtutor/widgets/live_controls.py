"""The live panel's controls: what each is called, what it offers, and where it stands."""

from collections.abc import Mapping, Sequence
from typing import Any

import ipywidgets

from invtutor.algorithms import ALGORITHMS
from invtutor.runs.recipe import Recipe, label, limits
from invtutor.runs.session import KNOBS, PRESETS, knobs, sign

__all__ = ["LADDERS", "LINEAR", "OWN", "arranged", "let_show", "make_controls", "make_room", "mirror"]
__all__ += ["number", "room_for_words"]

SPEEDS = (1, 5, 20, 100)
OWN = "your own"

_ONE_TWO_FIVE = [round(digit * 10.0**power, 9) for power in range(-5, 8) for digit in (1, 2, 5)]


def _ladder(low: float, high: float, *, zero: bool) -> list[float]:
    return [0.0] * zero + [value for value in _ONE_TWO_FIVE if low <= value <= high]


LADDERS: Mapping[str, list[float]] = {
    "penalty_weight": _ladder(1.0, 1e7, zero=True),
    "learning_rate": _ladder(1e-5, 1e-1, zero=False),
    "inner_rate": _ladder(0.01, 10.0, zero=True),
    "step_size": _ladder(0.001, 1.0, zero=True),
    "threshold": [i / 20 for i in range(21)],
    "budget": [i / 20 for i in range(1, 21)],
    "anneal": list(range(0, 501, 25)),
    "seed": list(range(10)),
}
WORDS = {
    "penalty_weight": "Penalty weight",
    "learning_rate": "Learning rate",
    "inner_rate": "Inner rate",
    "step_size": "Step size",
    "threshold": "Threshold",
    "budget": "Budget",
    "anneal": "Anneal until step",
    "seed": "Seed",
}
SIGNED = set(KNOBS) - {"learning_rate", "anneal"}  # whose signs are not words
LINEAR = ("threshold", "budget")  # all others have a logarithmic axis
PLACES = (("penalty_weight", "budget"), ("threshold", "inner_rate", "step_size"))  # a method has one of each at most

WIDE: Mapping[str, Any] = {"layout": {"width": "98%"}, "style": {"description_width": "122px"}}


def make_controls(recipe: Recipe) -> dict[str, Any]:
    """The controls by name, with the recipe's world."""
    noise = recipe.label_noise
    return {
        "preset": ipywidgets.Dropdown(
            options=[OWN, *PRESETS],
            description="Preset",
            style={"description_width": "122px"},
            layout={"width": "98%", "max_width": "440px"},  # its names are long
        ),
        "method": ipywidgets.Dropdown(
            options=[(label(method), method) for method in ALGORITHMS],
            value=recipe.algorithm,
            description="Method",
            **WIDE,
        ),
        **{name: _rungs(name) for name in KNOBS},
        **{
            f"flip_rate_{i}": _chance(f"Flip rate p_e, {i}", rate, 1.0)
            for i, rate in enumerate(recipe.flip_rates, start=1)
        },
        "label_noise": _chance("Label noise", sum(noise) / len(noise) if isinstance(noise, tuple) else noise, 0.5),
        "seed": _rungs("seed", continuous_update=False),
        "speed": ipywidgets.SelectionSlider(
            options=[(str(steps), steps) for steps in SPEEDS],
            value=20,
            description="Steps per picture",
            **WIDE,
        ),
    }


def arranged(controls: Mapping[str, Any]) -> list[Any]:
    """The controls under their headings, in as many columns as the width allows."""

    def grid(names: Sequence[str]) -> Any:
        layout = {"grid_template_columns": "repeat(auto-fill, minmax(270px, 1fr))", "max_width": "900px"}
        return ipywidgets.GridBox([controls[name] for name in names], layout=layout)

    rates = [name for name in controls if name.startswith("flip_rate_")]
    fresh = ["method", *rates, "label_noise", "seed"]
    return [
        ipywidgets.HTML("<b>A fresh run</b> starts when one of these is changed:"),
        controls["preset"],
        grid(fresh),
        ipywidgets.HTML("<b>The running training</b> follows these:"),
        grid([name for name in controls if name not in (*fresh, "preset")]),
    ]


def let_show(controls: Mapping[str, Any], **values: Any) -> None:
    """Set controls, to values between their rungs, too."""
    for name, value in values.items():
        make_room(controls[name], name, value)
        controls[name].value = value


def make_room(control: Any, name: str, value: Any) -> None:
    """Room on a ladder for a value between its rungs."""
    if name in LADDERS and value not in _offered(control):
        _offer(control, sorted({value, *_offered(control)}))


def mirror(controls: Mapping[str, Any], recipe: Recipe) -> None:
    """Let the controls show the recipe; those that its method has not are hidden, their place stays."""
    own = knobs(recipe)
    rates = {f"flip_rate_{i}": rate for i, rate in enumerate(recipe.flip_rates, start=1)}
    noise = {} if isinstance(recipe.label_noise, tuple) else {"label_noise": recipe.label_noise}
    for name in own:  # on their ladders, the values that the method can have
        within, offered = limits(name, recipe), _offered(controls[name])
        values = [value for value in LADDERS[name] if value in within]
        if not set(values) <= set(offered) or any(value not in within for value in offered):
            _offer(controls[name], values)
    let_show(controls, **own, **rates, **noise, method=recipe.algorithm, seed=recipe.seed)
    away = {name for place in PLACES for name in place if name != next((n for n in place if n in own), place[0])}
    for name in KNOBS:
        control, layout = controls[name], controls[name].layout
        if name in own:
            control.description = f"{WORDS[name]} {sign(recipe, name)}" if name in SIGNED else WORDS[name]
        layout.visibility, layout.order = ("visible", "0") if name in own else ("hidden", "1")
        layout.display = "none" if name in away else ""


def room_for_words(lines: int) -> Any:
    """Room for so many lines of text, as many as it takes on a page 800 pixels wide: nothing jumps."""
    return ipywidgets.HTML(layout=ipywidgets.Layout(min_height=f"{28 * lines}px", max_width="900px"))


def number(value: float) -> str:
    return f"{value:,.10g}"


def _rungs(name: str, *, continuous_update: bool = True) -> Any:
    options = [(number(value), value) for value in LADDERS[name]]
    return ipywidgets.SelectionSlider(
        options=options, description=WORDS[name], continuous_update=continuous_update, **WIDE
    )


def _chance(description: str, value: float, most: float) -> Any:
    return ipywidgets.FloatSlider(
        value=value,
        min=0.0,
        max=most,
        step=0.05,
        description=description,
        readout_format=".2f",
        continuous_update=False,  # each change trains anew
        **WIDE,
    )


def _offered(control: Any) -> list[float]:
    return [value for _, value in control.options]


def _offer(control: Any, values: Sequence[float]) -> None:
    control.options = [(number(value), value) for value in values]
