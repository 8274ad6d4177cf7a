"""The live panel's controls: what each is called, what it offers, and where it stands.

A world's controls are read off its knobs (`worlds.world.Setting`): their types, their ranges, and what they hold.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

import ipywidgets

from invtutor.algorithms import ALGORITHMS
from invtutor.fields import Range, hints, members, range_of
from invtutor.fields import knobs as knobs_of
from invtutor.runs.knobs import KNOBS, knobs, sign
from invtutor.runs.presets import PRESETS
from invtutor.runs.recipe import Recipe, label, limits, owner

__all__ = ["ALL", "OWN", "arranged", "has_rungs", "let_show", "make_controls", "make_room", "mirror", "number"]
__all__ += ["room_for_words", "scale", "turned"]

SPEEDS = (1, 5, 20, 100)
OWN = "your own"
ALL = "all"  # what a slider says for None, which is none of its values

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
WORDS = {"anneal": "Anneal until step", "flip_rates": "Flip rate p_e"}  # of the others, those of their names
SIGNED = set(KNOBS) - {"learning_rate", "anneal"}  # whose signs are not words
LINEAR = ("threshold", "budget")  # all others have a logarithmic axis
PLACES = (("penalty_weight", "budget"), ("threshold", "inner_rate", "step_size"))  # a method has one of each at most

WIDE: Mapping[str, Any] = {"layout": {"width": "98%"}, "style": {"description_width": "122px"}}


def make_controls(recipe: Recipe) -> dict[str, Any]:
    """The controls by name, with the recipe's world."""
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
        **{name: _rungs(_words(name), _rungs_of(name)) for name in KNOBS},
        **_world_controls(recipe),
        "seed": _rungs("Seed", LADDERS["seed"], continuous_update=False),
        "speed": ipywidgets.SelectionSlider(
            options=[(str(steps), steps) for steps in SPEEDS],
            value=20,
            description="Steps per picture",
            **WIDE,
        ),
    }


def arranged(controls: Mapping[str, Any], recipe: Recipe) -> list[Any]:
    """The controls under their headings, in as many columns as the width allows. What a world is drawn by besides its
    rates lies folded."""

    def grid(names: Sequence[str]) -> Any:
        layout = {"grid_template_columns": "repeat(auto-fill, minmax(min(270px, 100%), 1fr))", "max_width": "900px"}
        return ipywidgets.GridBox([controls[name] for name in names], layout=layout)

    world = [name for name in _places(recipe) if name in controls]
    rates = [name for name in world if isinstance(controls[name], ipywidgets.FloatSlider)]
    more = [name for name in world if name not in rates]
    title = f"More of {recipe.setting.label}"
    folded = ipywidgets.Accordion([grid(more)], titles=[title], selected_index=None, layout={"max_width": "900px"})
    steering = [name for name in controls if name not in ("preset", "method", "seed", *world)]
    return [
        ipywidgets.HTML("<b>A fresh run</b> starts when one of these is changed:"),
        controls["preset"],
        grid(["method", *rates, "seed"]),
        *([folded] if more else []),
        ipywidgets.HTML("<b>The running training</b> follows these:"),
        grid(steering),
    ]


def turned(recipe: Recipe, name: str, value: Any) -> Recipe:
    """The recipe with another value for what a control of the world shows, or for one of its own fields."""
    knob, place = _places(recipe).get(name, (name, None))
    if place is not None:
        values = list(recipe.world_options[knob])
        values[place] = value
        value = tuple(values)
    return recipe.but(**{knob: None if value == ALL else value})


def let_show(controls: Mapping[str, Any], **values: Any) -> None:
    """Set controls, to values between their rungs, too."""
    for name, value in values.items():
        make_room(controls[name], name, value)
        controls[name].value = ALL if value is None else value


def make_room(control: Any, name: str, value: Any) -> None:
    """Room on a ladder for a value between its rungs."""
    if value is not None and has_rungs(control, name) and value not in _offered(control):
        _offer(control, [*_offered(control), value])


def has_rungs(control: Any, name: str) -> bool:
    """Whether it offers some of the numbers that it could be set to."""
    return isinstance(control, ipywidgets.SelectionSlider) and name != "speed"


def mirror(controls: Mapping[str, Any], recipe: Recipe) -> None:
    """Let the controls show the recipe; those that its method has not are hidden, their place stays."""
    own = knobs(recipe)
    for name in own:  # on their ladders, the values that the method can have
        within, offered = limits(name, recipe), _offered(controls[name])
        values = [value for value in _rungs_of(name) if value in within]
        if not set(values) <= set(offered) or any(value not in within for value in offered):
            _offer(controls[name], values)
    let_show(controls, **own, method=recipe.algorithm, seed=recipe.seed)
    for name, (knob, place) in _places(recipe).items():
        value = recipe.world_options[knob]
        if name in controls and (place is not None or not isinstance(value, tuple)):
            let_show(controls, **{name: value if place is None else value[place]})
    away = {name for place in PLACES for name in place if name != next((n for n in place if n in own), place[0])}
    for name in KNOBS:
        control, layout = controls[name], controls[name].layout
        if name in own:
            control.description = f"{_words(name)} {sign(recipe, name)}" if name in SIGNED else _words(name)
        layout.visibility, layout.order = ("visible", "0") if name in own else ("hidden", "1")
        layout.display = "none" if name in away else ""


def scale(name: str) -> tuple[float, float] | None:
    """Smallest and largest positive rung of a knob; None for one that is a share of something."""
    rungs = [value for value in _rungs_of(name) if value > 0]
    return None if name in LINEAR else (rungs[0], rungs[-1])


def room_for_words(lines: int) -> Any:
    """Room for so many lines of text, as many as it takes on a page 800 pixels wide: nothing jumps."""
    return ipywidgets.HTML(layout=ipywidgets.Layout(min_height=f"{28 * lines}px", max_width="900px"))


def number(value: float) -> str:
    return f"{value:,.10g}"


def _words(name: str) -> str:
    return WORDS.get(name, name.replace("_", " ").capitalize())


def _rungs_of(name: str) -> list[float]:
    if name in LADDERS:
        return LADDERS[name]
    kind = owner(name)
    return _within(range_of(kind, name) if kind else None)


def _within(limits: Range | None) -> list[float]:
    low, high = (limits.low, limits.high) if limits else (0.0, 1.0)
    return _ladder(low, high, zero=low <= 0)


def _places(recipe: Recipe) -> dict[str, tuple[str, int | None]]:
    """The knob that each control of the world shows, and its place where the knob holds several numbers."""
    kind: Any = type(recipe.setting)
    found: dict[str, tuple[str, int | None]] = {}
    for name in knobs_of(kind):
        value = recipe.world_options[name]
        if isinstance(value, tuple) and float not in members(hints(kind)[name]):
            found |= {f"{name.removesuffix('s')}_{i + 1}": (name, i) for i in range(len(value))}
        else:
            found[name] = (name, None)
    return found


def _world_controls(recipe: Recipe) -> dict[str, Any]:
    kind: Any = type(recipe.setting)
    found = {}
    for control, (name, place) in _places(recipe).items():
        value = recipe.world_options[name]
        words = _words(name) if place is None else f"{_words(name)}, {place + 1}"
        parts = [part for hint in members(hints(kind)[name]) for part in (hint, *get_args(hint))]
        made = _control(words, parts, range_of(kind, name), value if place is None else value[place])
        if made is not None and control not in KNOBS:
            found[control] = made
    return found


def _control(words: str, types: Sequence[Any], within: Range | None, value: Any) -> Any:
    """What shows a field of these types; None for text, and for numbers without a range."""
    if bool in types:
        return ipywidgets.Checkbox(value=value, description=words, indent=False, layout={"width": "98%"})
    if known := [word for part in types if get_origin(part) is Literal for word in get_args(part)]:
        return ipywidgets.Dropdown(
            options=[(str(word), word) for word in known], value=value, description=words, **WIDE
        )
    if within is None or not {int, float} & {*types}:
        return None
    if float in types and within.low >= 0 and within.high <= 1:
        return ipywidgets.FloatSlider(
            value=sum(value) / len(value) if isinstance(value, tuple) else value,
            min=within.low,
            max=within.high,
            step=0.05,
            description=words,
            readout_format=".2f",
            continuous_update=False,  # each change trains anew
            **WIDE,
        )
    rungs = _within(within)
    if float not in types:
        rungs = [int(rung) for rung in rungs if rung == int(rung)]
    return _rungs(words, [*rungs, value, *([None] * (type(None) in types))], continuous_update=False)


def _rungs(words: str, values: Sequence[float | None], *, continuous_update: bool = True) -> Any:
    control = ipywidgets.SelectionSlider(
        options=[("", 0)], description=words, continuous_update=continuous_update, **WIDE
    )
    _offer(control, values)
    return control


def _offered(control: Any) -> list[float]:
    return [value for _, value in control.options]


def _offer(control: Any, values: Sequence[float | None]) -> None:
    numbers = sorted({value for value in values if value not in (None, ALL)})
    rest = [(ALL, ALL)] if {None, ALL} & {*values} else []
    control.options = [(number(value), value) for value in numbers] + rest
