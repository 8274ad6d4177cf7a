"""Sliders over what was drawn or run before: the flip rate, the penalty weight. Nothing is trained here."""

import html
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from invtutor import figures
from invtutor.fields import fit, range_of, require
from invtutor.figures import Artist, Axes, Figure
from invtutor.runs.history import History, Spread
from invtutor.runs.run import Run, summarize
from invtutor.widgets.panel import Panel, choice, slider
from invtutor.worlds.colored_mnist import Canvas, ColoredMNIST
from invtutor.worlds.environment import Environment, conflicting

__all__ = ["flip_rate_panel", "penalty_panel"]

SHOWN = 16  # digits in the flip-rate panel
WIDE = {"width": "600px", "max_width": "100%"}


def flip_rate_panel(
    canvas: Canvas,
    predictors: Mapping[str, Callable[[float], float]],
    *,
    value: float = 0.1,
    train_rates: Sequence[float] = (),
    ceiling: float | None = None,
    balanced: float | None = None,
) -> Panel:
    """A slider over the flip rate p_e: the first digits of a canvas are recolored, a cursor runs along the accuracies.

    predictors: by label, accuracy in [0, 1] as a function of the flip rate, such as `world.bayes("color").accuracy`
    or `lambda p: run.curve([p])[0]`. value: where the slider starts. train_rates, ceiling, balanced: marked
    as in `figures.accuracy_curves`.
    """
    limits = range_of(ColoredMNIST, "flip_rates")
    assert limits is not None
    value = fit("value", float, value, limits)
    shown = canvas.head(SHOWN).to("cpu")
    rates = [i / 20 for i in range(21)]
    curves = {name: [predict(rate) for rate in rates] for name, predict in predictors.items()}

    def build(figure: Figure, environment: Environment) -> None:
        halves: Any = figure.subfigures(2, 1, height_ratios=(232, 268))  # their margins differ
        figures.digits(environment, columns=8, ax=halves[0].subplots())
        marks: dict[str, Any] = {"train_rates": train_rates, "ceiling": ceiling, "balanced": balanced}
        figures.accuracy_curves(curves, rates, **marks, chance=1 / canvas.classes, ax=halves[1].subplots())
        figures.freeze(figure)

    def draw(figure: Figure, flip_rate: float) -> str:
        environment = shown.paint(flip_rate)
        if not figure.axes:
            build(figure, environment)
        upper, lower = figure.axes
        figures.recolor(upper, environment)
        _animate([*upper.images, *upper.patches, *upper.texts, *figures.move_cursor(lower, flip_rate)])
        conflicts = int(conflicting(environment).sum())
        accuracies = ", ".join(f"{name} {100 * predict(flip_rate):.1f} %" for name, predict in predictors.items())
        return (
            f"<b>p_e = {flip_rate:.2f}</b>: color disagrees with the label on {conflicts} of the {len(environment)} "
            f"digits shown. Predicted accuracy: {html.escape(accuracies)}."
        )

    words, bounds = "How often the color disagrees with the label.", (limits.low, limits.high)
    control = slider("Flip rate p_e", value, bounds, 0.05, words, readout_format=".2f", layout=WIDE)
    return Panel({"flip_rate": control}, draw, height=500)


def penalty_panel(
    runs: Mapping[float, Sequence[Run]],
    *,
    value: float | None = None,
    environments: Sequence[str] = ("test p=0.1", "test p=0.2", "test p=0.9"),
    symbol: str = "λ",
) -> Panel:
    """A slider over the penalty weights that were run: accuracy in each environment, risk and penalty along the weight,
    and the training at the chosen one. Nothing is trained here.

    runs: for each penalty weight, 0 included, one run per seed. value: where the slider starts; None is the middle.
    environments: names of accuracies (history.GLOSSARY). symbol: the weight's name in the paper. Raises ValueError
    for a weight without runs and an unknown value or environment.
    """
    weights = sorted(runs)
    found = {_number(weight): len(runs[weight]) for weight in weights}
    require("runs", len(runs) > 0 and all(found.values()), "at least one weight, and runs for each", found)
    start = weights[len(weights) // 2] if value is None else value
    require("value", start in runs, f"one of {', '.join(found)}", value)
    summaries = {weight: summarize(runs[weight]) for weight in weights}
    for name in environments:
        require("environments", name in summaries[start], f"some of {', '.join(summaries[start])}", name)
    together = {weight: _mean_history(runs[weight]) for weight in weights}
    watched = [name for name in environments if name in together[start].names]
    validation = [name for name in summaries[start] if name.startswith("validation p=")]
    risks = [name for name in summaries[start] if name.startswith("validation risk p=")]

    def columns(names: Sequence[str]) -> dict[str, list[float]]:
        return {name: [_mean(summaries[weight], name) for weight in weights] for name in names}

    def build(figure: Figure) -> None:
        (accuracy, risk), (training, penalty) = figure.subplots(2, 2)
        figures.along_penalty(weights, columns(environments), symbol=symbol, ax=accuracy)
        figures.along_penalty(weights, columns(risks), symbol=symbol, ax=risk)
        figures.along_penalty(weights, columns(["penalty"]), log_y=True, symbol=symbol, ax=penalty)
        train(training, start)
        figures.freeze(figure)

    def train(ax: Axes, weight: float) -> None:
        recipe = runs[weight][0].recipe
        switch = recipe.anneal if 0 < recipe.anneal < recipe.steps and weight > 1 else None
        figures.histories({"": together[weight]}, watched, switch=switch, ax=ax)
        ax.set_xlim(0, recipe.steps)
        _animate([ax.set_title(f"{symbol} = {_number(weight)}", loc="right", fontsize=figures.NORMAL)])

    def draw(figure: Figure, weight: float) -> str:
        if not figure.axes:
            build(figure)
        accuracy, risk, training, penalty = figure.axes
        for artist in [*training.lines, *training.texts]:
            artist.remove()
        train(training, weight)
        _animate([*training.lines, *training.texts])
        for ax in (accuracy, risk, penalty):
            _animate(figures.move_cursor(ax, weight))
        summary = summaries[weight]
        count = len(runs[weight])
        seeds = f"{count} seeds, mean ± standard deviation" if count > 1 else "1 seed"

        def spoken(name: str, style: str, scale: float = 1.0) -> str:
            mean, std = summary[name].mean, summary[name].std
            return f"{name} {scale * mean:{style}}" + ("" if std is None else f" ± {scale * std:{style}}")

        accuracies = ", ".join(f"{spoken(name, '.1f', 100.0)} %" for name in (*environments, *validation))
        others = ", ".join(spoken(name, ".3g") for name in ("risk", *risks, "penalty") if name in summary)
        return (
            f"<b>{symbol} = {_number(weight)}</b> ({seeds}). Accuracy: {accuracies}.<br>"
            f"After the last step: {others} (risks in nats)."
        )

    options = {_number(weight): weight for weight in weights}
    words = "One of the penalty weights that were run."
    control = choice(f"Penalty weight {symbol}", options, start, words, layout=WIDE)
    return Panel({"weight": control}, draw, height=540)


def _number(weight: float) -> str:
    return f"{weight:,.0f}" if weight >= 1 and weight == round(weight) else f"{weight:g}"


def _mean(summary: Mapping[str, Spread], name: str) -> float:
    return summary[name].mean if name in summary else float("nan")


def _mean_history(runs: Sequence[Run]) -> History:
    """The mean over seeds, record by record; seeds are watched at the same steps."""
    steps = zip(*(run.history for run in runs), strict=True)
    return History([{name: fmean(record[name] for record in records) for name in records[0]} for records in steps])


def _animate(artists: Sequence[Artist]) -> None:
    for artist in artists:
        artist.set_animated(True)
