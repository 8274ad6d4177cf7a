"""Where the weights of samples lie: aligned and conflicting ones side by side."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from torch import Tensor

from invtutor.figures.base import COLORS, NORMAL, SMALL, tidy

__all__ = ["budget_curves", "two_groups"]


def two_groups(
    values: Tensor, conflicting: Tensor, *, xlabel: str, span: tuple[float, float] | None = None, ax: Axes | None = None
) -> Axes:
    """How values (n,) are spread over the aligned and over the conflicting samples, each group as shares of its own.

    conflicting: (n,) bool. span: the ends of the axis; values beyond count in the outermost of 12 bins; None fits.
    """
    ax = tidy(ax)
    low, high = span or (values.min().item(), values.max().item())
    edges = np.linspace(low, high if high > low else low + 1, 13)
    for group, color, hatch, name, shift in (
        (conflicting, COLORS[1], "//", "conflicting", 0.0),
        (~conflicting, COLORS[0], "", "aligned", 0.45),
    ):
        found = np.histogram(values[group].numpy().clip(edges[0], edges[-1]), edges)[0] / max(1, int(group.sum()))
        step = edges[1] - edges[0]
        place = edges[:-1] + shift * step + 0.05 * step
        ax.bar(place, found, 0.42 * step, align="edge", color=color, hatch=hatch, edgecolor="white", label=name)
    ax.set(xlabel=xlabel, ylabel="share of the group", ylim=(0, 1.05))
    ax.legend(frameon=False, fontsize=SMALL)
    return ax


def budget_curves(
    budgets: Sequence[float],
    columns: Mapping[str, Sequence[float]],
    *,
    now: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Numbers in [0, 1] by name over the budget; `now` marks one budget."""
    ax = tidy(ax)
    for (name, values), color, mark in zip(columns.items(), COLORS, "os^Dv", strict=False):
        ax.plot(budgets, values, color=color, marker=mark, linewidth=2, label=name)
    if now is not None:
        ax.axvline(now, color="black", linestyle=":", zorder=1)
    ax.set(xlabel="budget K / n", ylim=(0, 1.02), xlim=(0, 1.02))
    ax.legend(frameon=False, fontsize=NORMAL, loc="lower left")
    return ax
