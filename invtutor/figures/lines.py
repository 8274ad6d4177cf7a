"""Curves: accuracy against flip rate, metrics over steps, quantities along a penalty weight."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from math import ceil, floor, log10
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter
from matplotlib.transforms import ScaledTranslation

from invtutor.fields import require
from invtutor.figures.base import (
    DIM,
    FAINT,
    LEVELS,
    MARKERS,
    NORMAL,
    SMALL,
    decade,
    note,
    shifts,
    styles,
    tidy,
)
from invtutor.runs.history import History

__all__ = ["accuracy_curves", "along_penalty", "environment_risks", "histories", "move_cursor"]

SETTINGS = ("penalty_weight", "learning_rate")  # names of history.GLOSSARY that are set and not measured
DIRECT = 5  # up to so many lines are labeled at their ends; more get a legend
ACCURACIES = ("train p=", "validation p=", "test p=", "gray")  # names of history.GLOSSARY that are shown in %


def accuracy_curves(
    curves: Mapping[str, Sequence[float]],
    flip_rates: Sequence[float],
    *,
    train_rates: Sequence[float] = (),
    ceiling: float | None = None,
    balanced: float | None = None,
    chance: float = 0.5,
    bands: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    at: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Accuracy against flip rate. Accuracies and rates are given in [0, 1]; accuracies are shown in %.

    curves: for each label one accuracy per flip rate. bands: (low, high) around some of them.
    train_rates: marked by vertical lines. ceiling: the best invariant accuracy. balanced: what a network reaches
    that is told the colors and trains on color-balanced draws. at: where the cursor stands.
    Raises ValueError for a curve with more or fewer points than there are flip rates.
    """
    _check_lengths("curves", curves, len(flip_rates))
    ax = tidy(ax)
    ax.set(xlim=(0, 1), ylim=(0, 100), xlabel="flip rate pₑ: how often color and label disagree", ylabel="accuracy, %")
    ax.set_xticks(np.linspace(0, 1, 11))
    ax.axhline(100 * chance, color=FAINT, linewidth=1.2, linestyle=":", zorder=2)
    note(ax, f"chance {_percent(chance)}", (1, 100 * chance), (-4, 4), ha="right", color=DIM)
    _ceilings(ax, {"best invariant": ceiling, "color-balanced": balanced})
    neighbors: list[list[float]] = []
    for rate in sorted(train_rates):
        ax.axvline(rate, color=FAINT, linewidth=1, zorder=1)
        near = neighbors and rate - neighbors[-1][-1] < 0.15  # a word each would run together
        neighbors[-1:] = [[*neighbors[-1], rate]] if near else [*neighbors[-1:], [rate]]
    for rates in neighbors:
        note(ax, "train", (fmean(rates), 100), (0, 2), ha="center", color=DIM)
    for style, (label, curve) in zip(styles(len(curves)), curves.items(), strict=True):
        percent = 100 * np.asarray(curve)
        if bands and label in bands:
            low, high = (100 * np.asarray(edge) for edge in bands[label])
            ax.fill_between(flip_rates, low, high, color=style["color"], alpha=0.15, linewidth=0)
        ax.plot(flip_rates, percent, label=label, gid="curve", **style)
    _label_lines(ax)
    if at is not None:
        move_cursor(ax, at)
    return ax


def histories(
    named: Mapping[str, History],
    name: str | Sequence[str],
    *,
    log: bool = False,
    switch: int | None = None,
    ylabel: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """One metric, or several, over the steps of runs. Accuracies (by their names in history.GLOSSARY) are in %.
    What acted in each step (`SETTINGS`) is drawn as steps and not as slopes.

    named: a label for each run. name: of the metrics. switch: the step at which annealing ends, marked.
    Raises ValueError for a metric that a history has not.
    """
    names = [name] if isinstance(name, str) else list(name)
    short = _short(names)
    ax = tidy(ax)
    lines = [(run, metric) for run in named for metric in names]
    for style, (run, metric) in zip(styles(len(lines)), lines, strict=True):
        label = run if len(names) == 1 else short[metric] if len(named) == 1 else f"{run}, {short[metric]}"
        values = np.asarray(named[run].column(metric)) * _scale(metric)
        seen = np.isfinite(values)
        steps = np.asarray(named[run].column("step"))
        how = "steps-pre" if metric in SETTINGS else "default"
        ax.plot(steps[seen], values[seen], label=label, gid="curve", drawstyle=how, **style)
    ax.set(xlabel="step", ylabel=_ylabel(names) if ylabel is None else ylabel)
    _set_height(ax, names, log)
    if switch is not None:
        ax.axvline(switch, color=DIM, linewidth=1, linestyle=":", zorder=1)
        top = ax.get_xaxis_transform()
        note(ax, "annealing ends", (switch, 1), (0, 2), xycoords=top, ha="center", color=DIM)
    _label_lines(ax)
    return ax


def along_penalty(
    weights: Sequence[float],
    columns: Mapping[str, Sequence[float]],
    *,
    at: float | None = None,
    log_y: bool = False,
    ylabel: str = "",
    symbol: str = "λ",
    ax: Axes | None = None,
) -> Axes:
    """Quantities against the penalty weight, on a logarithmic axis that has a true zero. NaN leaves a gap.

    symbol: the weight's name in the method's paper.
    columns: for each label one value per weight; accuracies, by their names in history.GLOSSARY, are shown in %.
    Raises ValueError for negative weights and for columns of another length.
    """
    _check_lengths("columns", columns, len(weights))
    require("weights", all(0 <= w < float("inf") for w in weights), "finite and at least 0", list(weights))
    ax = tidy(ax)
    short = _short(list(columns))
    order = np.argsort(weights)
    x = np.asarray(weights, dtype=float)[order]
    for style, marker, (label, values) in zip(styles(len(columns)), cycle(MARKERS), columns.items(), strict=False):
        y = np.asarray(values, dtype=float)[order] * _scale(label)
        ax.plot(x, y, label=short[label], gid="curve", marker=marker, markersize=5, **style)
    positive = [w for w in x.tolist() if w > 0] or [1.0]
    first, last = floor(log10(min(positive))), ceil(log10(max(positive)))
    ax.set_xscale("symlog", linthresh=10.0**first, linscale=0.8)
    decades = range(first, last + 1, 1 + (last - first) // 7)
    ax.set_xticks([0.0, *(10.0**d for d in decades)], ["0", *map(decade, decades)])
    ax.minorticks_off()
    ax.set_xlim(-0.25 * 10.0**first, max(positive) * 1.6)
    ax.margins(y=0.12)  # room for the cursor's values
    ax.set(xlabel=f"penalty weight {symbol}", ylabel=ylabel or _ylabel(list(columns)))
    _set_height(ax, list(columns), log_y)
    _label_lines(ax)
    if at is not None:
        move_cursor(ax, at)
    return ax


def environment_risks(
    risks: Mapping[str, Sequence[float]],
    flip_rates: Sequence[float],
    *,
    judged: Mapping[str, Sequence[int]],
    ylabel: str = "risk, nats",
    ax: Axes | None = None,
) -> Axes:
    """Risks in nats (or differences of some) of some parameters, a line each over the training environments.

    risks: for each label one risk per flip rate. judged: the numbers of a label's environments that get a ring.
    Raises ValueError for a line with more or fewer points than there are flip rates.
    """
    _check_lengths("risks", risks, len(flip_rates))
    ax = tidy(ax)
    for style, marker, (label, values) in zip(styles(len(risks)), cycle(MARKERS), risks.items(), strict=False):
        ax.plot(flip_rates, values, label=label, gid="curve", marker=marker, markersize=5, **style)
        for i in judged.get(label, ()):
            ring = {"marker": "o", "markersize": 13, "markerfacecolor": "none", "markeredgecolor": style["color"]}
            ax.plot([flip_rates[i]], [values[i]], gid="judged", **ring)
    ax.set_xticks(flip_rates)
    ax.margins(0.15)  # a ring is wide
    ax.ticklabel_format(axis="y", style="plain", useOffset=False)
    ax.set(xlabel="flip rate pₑ of the environment", ylabel=ylabel)
    _label_lines(ax)
    return ax


def move_cursor(ax: Axes, at: float) -> list[Artist]:
    """Put the cursor of `accuracy_curves` or `along_penalty` at another place on the x axis.

    A vertical line, a dot on every curve and its value there; between two points the value is that of the drawn line.
    Returns the cursor's artists, so that a `Screen` can be told that they move.
    """
    for artist in [*ax.lines, *ax.texts]:
        if artist.get_gid() == "cursor":
            artist.remove()
    ax.axvline(at, color="black", linewidth=1.2, zorder=3, gid="cursor")
    across, up = ax.xaxis.get_transform(), ax.yaxis.get_transform()
    crossings = []
    for line in _curves(ax):
        x, y = (np.asarray(data, dtype=float) for data in line.get_data())
        seen = np.isfinite(y) & ((y > 0) | (ax.get_yscale() != "log"))
        if seen.any() and x[seen].min() <= at <= x[seen].max():
            height = np.interp(across.transform([at]), across.transform(x[seen]), up.transform(y[seen]))
            crossings.append((line, up.inverted().transform(height).item()))
    for line, value in crossings:
        ax.plot([at], [value], "o", color=line.get_color(), markersize=6, zorder=4, gid="cursor")
    if len(crossings) > DIRECT:
        crossings = []
    unit = "%" in ax.get_ylabel()
    left = ax.transAxes.inverted().transform(ax.transData.transform((at, ax.get_ylim()[0])))[0] > 0.5
    for (line, value), shift in zip(crossings, shifts(ax, [value for _, value in crossings]), strict=True):
        note(
            ax,
            f"{value:.1f}" if unit else f"{value:.3g}",
            (at, value),
            (-5 if left else 5, shift + 8),  # above its curve, so as not to hide it
            ha="right" if left else "left",
            va="center",
            color=line.get_color(),
            fontweight="bold",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.8},
            zorder=5,
            gid="cursor",
        )
    return [artist for artist in [*ax.lines, *ax.texts] if artist.get_gid() == "cursor"]


def _check_lengths(name: str, columns: Mapping[str, Sequence[float]], length: int) -> None:
    for label, values in columns.items():
        require(name, len(values) == length, f"{length} values each", f"{len(values)} for {label}")


def _scale(name: str) -> float:
    return 100.0 if name.startswith(ACCURACIES) else 1.0


def _short(names: Sequence[str]) -> dict[str, str]:
    """Names without what they share: of test p=0.1 and test p=0.9 remain p=0.1 and p=0.9."""
    kinds = {name.partition(" p=")[0] for name in names}
    alike = len(names) > 1 and len(kinds) == 1 and all(" p=" in name for name in names)
    return {name: "p=" + name.partition(" p=")[2] if alike else name for name in names}


def _ylabel(names: Sequence[str]) -> str:
    if not all(_scale(name) == _scale(names[0]) for name in names):
        return ""
    kinds = {name.partition(" p=")[0] for name in names}
    kind = kinds.pop() if len(kinds) == 1 else ""
    if names and _scale(names[0]) == 100:
        return f"{kind} accuracy, %".strip()
    return f"{kind}, nats" if kind.endswith("risk") else kind


def _set_height(ax: Axes, names: Sequence[str], log: bool) -> None:
    """Accuracies fill 0 to 100 %, always; a logarithmic axis spans whole decades, named without mathtext (slow)."""
    if log:
        data = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in _curves(ax)] or [np.empty(0)])
        data = data[np.isfinite(data) & (data > 0)]
        if not len(data):
            return  # nothing that a logarithmic axis could show
        low, high = floor(log10(data.min())), ceil(log10(data.max()))
        ax.set_yscale("log")
        ax.set_ylim(10.0**low, 10.0 ** max(high, low + 1))
        ax.yaxis.set_major_formatter(lambda value, _: decade(round(log10(value))))
        ax.yaxis.set_minor_formatter(NullFormatter())
    elif names and all(_scale(name) == 100 for name in names):
        ax.set_ylim(0, 100)


def _ceilings(ax: Axes, levels: Mapping[str, float | None]) -> None:
    """Horizontal lines, with their key above the axes: inside, some curve or a cursor's value passes everywhere."""
    known = {name: level for name, level in levels.items() if level is not None}
    lines: list[Artist] = [
        ax.axhline(100 * level, linewidth=1.2, zorder=2, **LEVELS[name]) for name, level in known.items()
    ]
    if lines:
        look: dict[str, Any] = {"fontsize": SMALL, "labelcolor": DIM, "frameon": False}
        look["ncols"] = len(lines) if ax.bbox.width > 280 else 1  # else it would be wider than its axes
        look |= {
            "handlelength": 1.6,
            "handletextpad": 0.5,
            "columnspacing": 1.2,
            "borderaxespad": 0,
            "borderpad": 0.1,
            "labelspacing": 0.2,
        }
        names = [f"{name} {_percent(level)}" for name, level in known.items()]
        above = ax.transAxes + ScaledTranslation(0, 1.5 * SMALL / 72, ax.figure.dpi_scale_trans)  # "train" lies below
        key = Legend(ax, lines, names, loc="lower right", bbox_to_anchor=(1, 1), bbox_transform=above, **look)
        ax.add_artist(key).set_clip_on(False)


def _percent(accuracy: float) -> str:
    return f"{100 * accuracy:.3g} %"


def _curves(ax: Axes) -> list[Line2D]:
    return [line for line in ax.lines if line.get_gid() == "curve"]


def _label_lines(ax: Axes) -> None:
    named = [line for line in _curves(ax) if not str(line.get_label()).startswith("_")]  # matplotlib names the nameless
    lines = [line for line in named if np.isfinite(np.asarray(line.get_ydata(), dtype=float)).any()]
    if len(lines) > DIRECT:
        ax.legend(fontsize=SMALL, frameon=False)
        return
    if len(lines) == 1 and str(lines[0].get_label()) in ax.get_ylabel():
        return  # the axis says it already (as it does where the label is empty)
    ends = []
    for line in lines:
        x, y = (np.asarray(data, dtype=float) for data in line.get_data())
        seen = np.flatnonzero(np.isfinite(y) & ((y > 0) | (ax.get_yscale() != "log")))
        ends.append((x[seen[-1]], y[seen[-1]]) if len(seen) else (x[-1], ax.get_ylim()[0]))
    for line, end, shift in zip(lines, ends, shifts(ax, [y for _, y in ends]), strict=True):
        note(ax, str(line.get_label()), end, (7, shift), va="center", color=line.get_color(), fontsize=NORMAL)
