"""Gradients of several environments: the bowls they descend, what survives a mask, and where on a digit they agree."""

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from torch import Tensor

from invtutor.exact.consistency import Bowl
from invtutor.fields import require
from invtutor.figures.base import (
    COLORS,
    DASHES,
    DIM,
    FAINT,
    MARKERS,
    NORMAL,
    SMALL,
    new_figure,
    note,
    shifts,
    styles,
    tidy,
)
from invtutor.figures.lines import move_cursor
from invtutor.figures.planes import HALO, path, place, plane

__all__ = ["along_threshold", "bowls", "pixel_maps", "survivors", "two_classes", "weight_paths"]


def bowls(
    bowls: Mapping[str, Bowl],
    paths: Mapping[str, Tensor],
    *,
    x: tuple[float, float] = (-1.6, 2.6),
    y: tuple[float, float] = (-2.1, 2.1),
    ax: Axes | None = None,
) -> Axes:
    """The losses of environments as contours over two parameters, their minima, and paths of several rules.

    paths: for each rule, points (n, 2). The last is marked and named; rules that end at one place share a line of text.
    """
    ax = ax or new_figure(560, 520).subplots()
    for bowl, color in zip(bowls.values(), COLORS, strict=False):
        plane(bowl.loss, x=x, y=y, levels=[0.05, 0.2, 0.5, 1.0, 2.0, 4.0], color=color, numbers=False, ax=ax)
    for collection in ax.collections:
        collection.set_alpha(0.4)
    for (name, bowl), color in zip(bowls.items(), COLORS, strict=False):
        place(ax, bowl.minimum, name, color=color, marker="+", markersize=12)
    ax.axvline(next(iter(bowls.values())).minimum[0], color=DIM, linewidth=1, linestyle="--", zorder=0.5)
    ends: list[tuple[list[float], list[str]]] = []
    for (name, points), color, dash, marker in zip(
        paths.items(), cycle(COLORS[4:] + COLORS[2:4]), cycle(DASHES), cycle(MARKERS), strict=False
    ):
        end = points[-1].tolist()
        path(ax, points, color=color, linestyle=dash, linewidth=2, marker="", zorder=3)
        place(ax, end, color=color, marker=marker, markersize=9)
        there = [names for other, names in ends if max(abs(a - b) for a, b in zip(end, other, strict=True)) < 0.1]
        if not there:
            ends.append((end, [name]))
        for names in there[:1]:
            names.append(name)
    for end, names in ends:
        left = end[0] > x[0] + 0.6 * (x[1] - x[0])  # where the text would leave the picture
        below = not any(0 < end[1] - other[1] < 0.35 for other, _ in ends)  # where no other end is close
        offset = (-9 if left else 9, -16 if below else 7)
        style: dict[str, Any] = {"ha": "right" if left else "left", "fontsize": NORMAL, "zorder": 5, "bbox": HALO}
        note(ax, " and ".join(names), (end[0], end[1]), offset, **style)
    first = next(iter(paths.values()))[0]
    place(ax, first.tolist(), "start", offset=(-36, -3), marker="x")
    ax.set(xlabel="θ₁, on which both agree", ylabel="θ₂, on which they do not")
    return ax


def survivors(
    environments: Sequence[int],
    shares: Mapping[str, Sequence[float]],
    *,
    measured: Mapping[str, Sequence[float]] | None = None,
    ylabel: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Shares in (0, 1] against the number of environments, on logarithmic axes; zeros leave a gap.

    shares: for each label one value per number of environments, drawn as a line. measured: drawn as marks, in the
    color of the line with the same label. Raises ValueError for another number of values.
    """
    for name, values in {**shares, **(measured or {})}.items():
        require("shares", len(values) == len(environments), f"{len(environments)} values", f"{len(values)} for {name}")
    ax = tidy(ax or new_figure(700, 420).subplots())
    for (name, values), color, dash, marker in zip(
        shares.items(), cycle(COLORS), cycle(DASHES), cycle(MARKERS), strict=False
    ):
        height = np.asarray(values, dtype=float)
        seen = height > 0
        ax.plot(np.asarray(environments)[seen], height[seen], color=color, linestyle=dash, linewidth=2, gid="curve")
        note(ax, name, (environments[seen.nonzero()[0][-1]], height[seen][-1]), (6, 0), color=color, va="center")
        if measured and name in measured:
            found = np.asarray(measured[name], dtype=float)
            across = np.asarray(environments)[found > 0]
            ax.plot(across, found[found > 0], marker, color=color, markersize=6, gid="measured")
    ax.set(xscale="log", yscale="log", xlabel="environments", ylabel=ylabel)
    ax.set_xticks(list(environments), [str(count) for count in environments])
    ax.xaxis.set_minor_formatter(NullFormatter())
    return ax


def two_classes(points: Tensor, labels: Tensor, *, size: float = 12, ax: Axes | None = None) -> Axes:
    """Points (n, 2) of two classes, labels (n,) of 0 and 1, on one scale and without axes."""
    ax = ax or new_figure(330, 330).subplots()
    for label, (color, marker) in enumerate(zip(COLORS, "ox", strict=False)):
        x, y = np.asarray(points[labels == label]).T
        ax.scatter(x, y, s=size, marker=marker, color=color, alpha=0.6, linewidth=0.8)
    reach = 1.1 * float(points.abs().max())
    ax.set(xticks=[], yticks=[], xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    ax.spines[:].set_color(FAINT)
    return ax


def weight_paths(
    height: Callable[[Tensor], Tensor],
    paths: Mapping[str, Tensor],
    *,
    xlabel: str = "w_shape",
    ylabel: str = "w_color",
    ax: Axes | None = None,
) -> Axes:
    """Paths of several rules over the plane of two weights, above whose dotted diagonal the second outvotes the first.

    height: points (*, 2) → (*), drawn as contours. paths: for each rule, points (n, 2), of which the last is marked.
    """
    ax = plane(height, x=(-0.2, 1.6), y=(-0.2, 2.0), numbers=False, xlabel=xlabel, ylabel=ylabel, ax=ax)
    ax.plot([-0.2, 1.6], [-0.2, 1.6], ":", color=DIM, linewidth=1)
    for (name, points), marker, style in zip(paths.items(), cycle(MARKERS), styles(len(paths)), strict=False):
        path(ax, points, marker="", **style)
        place(ax, points[-1].tolist(), color=style["color"], marker=marker, label=name)
    ax.legend(loc="upper left", frameon=False, fontsize=SMALL)
    return ax


def along_threshold(
    thresholds: Sequence[float],
    columns: Mapping[str, Sequence[float]],
    *,
    at: float | None = None,
    chance: float | None = None,
    ylabel: str = "accuracy",
    ax: Axes | None = None,
) -> Axes:
    """Quantities in [0, 1] against the threshold τ of a mask, with a cursor.

    columns: for each label one value per threshold. chance: marked by a level line. at: where the cursor stands.
    Raises ValueError for columns of another length.
    """
    for name, values in columns.items():
        require("columns", len(values) == len(thresholds), f"{len(thresholds)} values", f"{len(values)} for {name}")
    ax = tidy(ax or new_figure(600, 400).subplots())
    ax.set(ylim=(0, 1.12), xlim=(-0.03, 1.03), xlabel="threshold τ", ylabel=ylabel)
    if chance is not None:
        ax.axhline(chance, color=FAINT, linewidth=1.2, linestyle=":", zorder=1)
    lasts = [values[-1] for values in columns.values()]
    for (name, values), style, marker, shift in zip(
        columns.items(), styles(len(columns)), cycle(MARKERS), shifts(ax, lasts), strict=False
    ):
        ax.plot(thresholds, values, marker=marker, markersize=6, gid="curve", **style)
        note(ax, name, (thresholds[-1], values[-1]), (9, shift), color=style["color"], va="center")
    if at is not None:
        move_cursor(ax, at)
    return ax


def pixel_maps(
    maps: Mapping[str, Mapping[str, Tensor]],
    *,
    low: float = 0.0,
    high: float = 1.0,
    label: str = "",
    figure: Figure | None = None,
) -> Figure:
    """Numbers over the pixels of a digit as a table of maps that share one scale, with a bar that explains it.

    maps: for each row's name, for each column's name, one map (height, width); rows have the same columns.
    """
    columns = list(next(iter(maps.values())))
    require("maps", all(list(row) == columns for row in maps.values()), f"rows with columns {columns}", list(maps))
    figure = figure or new_figure(180 * len(columns) + 180, 185 * len(maps) + 40)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(rect=(0.03, 0, 0.97, 1))  # type: ignore[call-arg]  # room for the rows' names, which it overlooks
    grid = figure.subplots(len(maps), len(columns), squeeze=False)
    for i, (row, named) in enumerate(maps.items()):
        for j, (column, values) in enumerate(named.items()):
            ax = grid[i, j]
            picture = ax.imshow(np.asarray(values.cpu(), dtype=float), vmin=low, vmax=high, cmap="cividis")
            ax.set(xticks=[], yticks=[])
            if j == 0:
                ax.set_ylabel(row, fontsize=NORMAL)
            if i == 0:
                ax.set_title(column, fontsize=NORMAL)
    bar = figure.colorbar(picture, ax=grid, shrink=0.8)
    bar.set_label(label, fontsize=SMALL, color=DIM)
    bar.ax.tick_params(labelsize=SMALL)
    return figure
