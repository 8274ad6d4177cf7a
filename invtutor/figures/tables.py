"""Tables as pictures: what was measured beside what is published, and differences between paired runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from invtutor.fields import require
from invtutor.figures.base import COLORS, DIM, FAINT, LEVELS, SMALL, new_figure, tidy
from invtutor.runs.history import spread

__all__ = ["beside", "differences"]


def beside(
    measured: Mapping[str, Sequence[float]],
    published: Mapping[str, tuple[float, float | None]] | None = None,
    *,
    xlabel: str = "accuracy, %",
    ceiling: float | None = None,
    balanced: float | None = None,
    names: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """One line per row: a dot for each seed, the mean and its deviation, and a square for the published number.

    measured: for each row its accuracies in [0, 1], one per seed; a row may be empty. published: (mean, deviation) in
    [0, 1] of some rows, the deviation None where not known. ceiling, balanced: as in `accuracy_curves`, marked. names:
    write the rows' names. Raises ValueError where there is no row.
    """
    require("measured", len(measured) > 0, "at least one row", measured)
    ax = _rows(list(measured), names, ax)
    error: dict[str, Any] = {"elinewidth": 1.6, "capsize": 3}
    for height, (row, seeds) in enumerate(measured.items()):
        if seeds:
            over = spread(list(seeds))
            ax.plot([100 * v for v in seeds], [height] * len(seeds), "o", color=COLORS[0], alpha=0.25, markersize=4)
            xerr = None if over.std is None else 100 * over.std
            ax.errorbar(100 * over.mean, height, xerr=xerr, fmt="o", color=COLORS[0], label="measured", **error)
        if published and row in published:
            mean, std = published[row]
            xerr = None if std is None else 100 * std
            square: dict[str, Any] = {"fmt": "s", "color": COLORS[1], "mfc": "white", "label": "published", **error}
            ax.errorbar(100 * mean, height + 0.28, xerr=xerr, **square)
    for name, level in (("best invariant", ceiling), ("color-balanced", balanced)):
        if level is not None:
            ax.axvline(100 * level, label=f"{name} {100 * level:.3g} %", linewidth=1.2, zorder=1, **LEVELS[name])
    ax.set(xlim=(0, 100), xlabel=xlabel)
    handles = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    if len(handles) > 1:
        ax.legend(handles.values(), handles.keys(), fontsize=SMALL, framealpha=1, loc="best")
    return ax


def differences(
    paired: Mapping[str, Sequence[float]], *, xlabel: str = "difference, percentage points", ax: Axes | None = None
) -> Axes:
    """One line per row: a dot for each pair, the mean difference with its 95 % interval, and a line at zero.

    paired: for each row the differences of accuracies, one per seed; with fewer than three there is no interval
    (`history.spread`). Raises ValueError where there is no row, or an empty one.
    """
    require("paired", len(paired) > 0, "at least one row", paired)
    ax = _rows(list(paired), True, ax)
    ax.axvline(0, color=DIM, linewidth=1.2, zorder=1)
    for height, seeds in enumerate(paired.values()):
        over = spread(list(seeds))
        ax.plot([100 * v for v in seeds], [height] * len(seeds), "o", color=FAINT, markersize=5)
        reach = None if over.low is None else 100 * (over.mean - over.low)
        ax.errorbar(100 * over.mean, height, xerr=reach, fmt="D", color=COLORS[0], elinewidth=2, capsize=4)
    ax.set(xlabel=xlabel)
    return ax


def _rows(labels: Sequence[str], names: bool, ax: Axes | None) -> Axes:
    ax = tidy(ax or new_figure(800, 60 + 36 * len(labels)).subplots())
    ax.grid(axis="y", visible=False)
    ax.grid(axis="x", color="#EEEEEE")
    ax.set_yticks(range(len(labels)), labels if names else [""] * len(labels))
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    return ax
