"""Planes of two numbers: contours of a function, paths and arrows on them, and the outcome of each cell of a grid."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, ListedColormap
from matplotlib.patches import Patch, Rectangle
from torch import Tensor

from invtutor.fields import require
from invtutor.figures.base import COLORS, DIM, FAINT, NORMAL, SMALL, new_figure, note, tidy

__all__ = ["HALO", "arrow", "borders", "path", "place", "plane", "regions", "shades"]

TINTS = ("#9CC7E4", "#F2BE9C", "#A9D8C9", "#DFB9D1", "#D9D9D9")  # of COLORS, light enough for black text
Point = Sequence[float] | Tensor
HALO = {"boxstyle": "square,pad=0.1", "color": "white", "alpha": 0.8, "linewidth": 0}
"""Behind words that stand on lines."""
HATCHES = ("", "///", "...", "xxx", "\\\\\\")
SIGNED = LinearSegmentedColormap.from_list("signed", [COLORS[0], "white", COLORS[1]])  # below, at and above 0


def plane(
    height: Callable[[Tensor], Tensor],
    *,
    x: tuple[float, float],
    y: tuple[float, float],
    levels: int | Sequence[float] = 12,
    color: str = FAINT,
    numbers: bool = True,
    xlabel: str = "",
    ylabel: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Contours of a function of two numbers, with equal scales on both axes.

    height: points (*, 2) float64 → (*), such as `lambda w: two_bit.risk(w, 0.1)`. x, y: what is shown of the plane.
    levels: how many contours, or at which heights. numbers: written into them. Raises ValueError for an empty range.
    """
    for name, (low, high) in {"x": x, "y": y}.items():
        require(name, low < high, "a range (low, high)", (low, high))
    ax = tidy(ax or new_figure(480, 480).subplots())
    ax.grid(visible=False)
    across, up = torch.linspace(*x, 101, dtype=torch.double), torch.linspace(*y, 101, dtype=torch.double)
    with torch.no_grad():
        heights = height(torch.stack(torch.meshgrid(across, up, indexing="xy"), -1))
    lines = ax.contour(across, up, heights, levels=levels, colors=color, linewidths=0.9, zorder=1)
    if numbers:
        ax.clabel(lines, fontsize=SMALL - 2, colors=DIM)
    for axis in (ax.axvline, ax.axhline):
        axis(0, color=FAINT, linewidth=0.8, linestyle=":", zorder=0.5)
    ax.set(xlim=x, ylim=y, xlabel=xlabel, ylabel=ylabel, aspect="equal")
    return ax


def path(ax: Axes, points: Sequence[Point] | Tensor, *, label: str = "", **style: Any) -> Axes:
    """A line through points (n, 2) with a dot at each; `style` is that of `Axes.plot`."""
    across, up = np.asarray(points, dtype=float).reshape(-1, 2).T
    usual: dict[str, Any] = {"color": COLORS[4], "marker": ".", "markersize": 5, "linewidth": 1, "zorder": 2}
    ax.plot(across, up, label=label or None, gid="path", **(usual | style))
    return ax


def place(ax: Axes, point: Point, words: str = "", *, offset: tuple[float, float] = (8, 4), **style: Any) -> Axes:
    """A marked and named point; `style` is that of `Axes.plot`."""
    usual: dict[str, Any] = {"color": "black", "marker": "o", "markersize": 7, "linestyle": "", "zorder": 4}
    x, y = map(float, point)
    ax.plot([x], [y], gid="place", **(usual | style))
    if words:
        ink = style.get("color", "black")
        note(ax, words, (x, y), offset, color=ink, fontsize=NORMAL, zorder=5, bbox=HALO)
    return ax


def arrow(ax: Axes, start: Point, vector: Point, *, color: str = "black", dashed: bool = False) -> Axes:
    """An arrow from a point along a vector, drawn to the plane's scale."""
    (x, y), (across, up) = map(float, start), map(float, vector)
    end = (x + across, y + up)
    # A dashed shaft would dash its head as well, so that the head is a drawing of its own.
    parts = (
        [("-", "--", (x, y)), ("-|>", "-", (x + 0.98 * across, y + 0.98 * up))] if dashed else [("-|>", "-", (x, y))]
    )
    for style, line, tail in parts:
        shape: dict[str, Any] = {"arrowstyle": style, "linestyle": line, "mutation_scale": 12, "linewidth": 1.8}
        ax.annotate("", end, tail, zorder=3, arrowprops={"shrinkA": 0, "shrinkB": 0, "color": color} | shape)
    return ax


def regions(
    outcomes: Sequence[Sequence[int]] | Tensor,
    x: Sequence[float],
    y: Sequence[float],
    names: Sequence[str],
    *,
    words: Sequence[Sequence[str]] | None = None,
    ticks: int = 1,
    xlabel: str = "",
    ylabel: str = "",
    ax: Axes | None = None,
) -> Axes:
    """A phase diagram: the outcome of each cell of a grid, told apart by tint and hatching, with a legend on top.

    outcomes: (len(y), len(x)) whole numbers, positions in `names`. x, y: the cells' values, in order; cells are
    equally wide whatever the values. words: written into the cells. ticks: every so many-th value is written.
    Raises ValueError for a grid of another shape, an outcome without a name, and more outcomes than five.
    """
    grid = np.asarray(outcomes)
    require("outcomes", grid.shape == (len(y), len(x)), f"of shape {(len(y), len(x))}", grid.shape)
    require("names", len(names) <= len(TINTS), f"at most {len(TINTS)}", len(names))
    require("outcomes", grid.min() >= 0 and grid.max() < len(names), f"in 0 … {len(names) - 1}", sorted(set(grid.flat)))
    ax = ax or new_figure(560, 460).subplots()
    tints = ListedColormap(TINTS[: len(names)])
    edges = [np.arange(n + 1) - 0.5 for n in grid.shape[::-1]]
    ax.pcolormesh(*edges, grid, cmap=tints, vmin=-0.5, vmax=len(names) - 0.5, gid="cells")
    for row, column in zip(*np.nonzero(grid >= 0), strict=True):
        hatch = HATCHES[grid[row, column]]
        frame: dict[str, Any] = {"fill": False, "edgecolor": "white", "linewidth": 0}
        if hatch:
            ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, hatch=hatch, **frame))
        if words is not None:
            ax.text(column, row, words[row][column], ha="center", va="center", fontsize=SMALL)
    _write_cells(ax, x, y, ticks, xlabel, ylabel)
    seen = [i for i in range(len(names)) if (grid == i).any()]
    keys = [Patch(facecolor=TINTS[i], hatch=HATCHES[i], edgecolor="white", linewidth=0, label=names[i]) for i in seen]
    ax.legend(handles=keys, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(keys), frameon=False, fontsize=SMALL)
    return ax


def shades(
    values: Sequence[Sequence[float]] | Tensor,
    x: Sequence[float],
    y: Sequence[float],
    *,
    reach: float,
    label: str,
    ticks: int = 1,
    xlabel: str = "",
    ylabel: str = "",
    ax: Axes | None = None,
) -> Axes:
    """A quantity over the cells of a grid, as `regions` draws their outcomes: white at 0, with a bar that explains it.

    values: (len(y), len(x)). reach: where the tints end, above 0, on both sides of 0. Raises ValueError for a grid of
    another shape.
    """
    grid = np.asarray(values, dtype=float)
    require("values", grid.shape == (len(y), len(x)), f"of shape {(len(y), len(x))}", grid.shape)
    require("reach", reach > 0, "above 0", reach)
    ax = ax or new_figure(560, 460).subplots()
    edges = [np.arange(n + 1) - 0.5 for n in grid.shape[::-1]]
    cells = ax.pcolormesh(*edges, grid, cmap=SIGNED, vmin=-reach, vmax=reach, gid="cells")
    _write_cells(ax, x, y, ticks, xlabel, ylabel)
    bar = ax.figure.colorbar(cells, ax=ax, extend="both")
    bar.set_label(label, fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL)
    return ax


def borders(ax: Axes, outcomes: Sequence[Sequence[int]] | Tensor, words: Mapping[int, str]) -> Axes:
    """Lines where the outcomes of neighboring cells differ, drawn over `shades` of the same grid, and a name in each
    outcome's widest place. words: by outcome; one without is not named."""
    grid = np.asarray(outcomes)
    for row, column in zip(*np.nonzero(grid[:, 1:] != grid[:, :-1]), strict=True):
        ax.plot([column + 0.5] * 2, [row - 0.5, row + 0.5], color="black", linewidth=1.4, gid="border")
    for row, column in zip(*np.nonzero(grid[1:] != grid[:-1]), strict=True):
        ax.plot([column - 0.5, column + 0.5], [row + 0.5] * 2, color="black", linewidth=1.4, gid="border")
    for outcome, name in words.items():
        inside = grid == outcome
        if not inside.any():
            continue
        outside, cells = np.argwhere(~np.pad(inside, 1)) - 1, np.argwhere(inside)
        room = np.array([(np.abs(outside - cell) / (1, 2)).max(1).min() for cell in cells])  # words are wider than high
        widest = cells[room == room.max()]
        row, column = widest[((widest - widest.mean(0)) ** 2).sum(1).argmin()]
        lines = 1 + name.count("\n")
        note(ax, name, (column, row), (0, -4.5 * lines), ha="center", fontsize=NORMAL + 1)
    return ax


def _write_cells(ax: Axes, x: Sequence[float], y: Sequence[float], ticks: int, xlabel: str, ylabel: str) -> None:
    for axis, values in ((ax.xaxis, x), (ax.yaxis, y)):
        axis.set_ticks(range(0, len(values), ticks), [f"{value:g}" for value in values[::ticks]], fontsize=SMALL)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.spines[:].set_visible(False)
