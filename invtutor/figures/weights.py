"""Where the weights of samples lie: aligned and conflicting ones side by side."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from torch import Tensor

from invtutor.figures.base import COLORS, DIM, NORMAL, note, tidy

__all__ = ["budget_curves", "slopes_of_a_mask", "two_groups"]


def two_groups(
    values: Tensor, conflicting: Tensor, *, xlabel: str, span: tuple[float, float] | None = None, ax: Axes | None = None
) -> Axes:
    """How values (n,) are spread over the aligned and over the conflicting samples, each group as shares of its own.

    conflicting: (n,) bool. span: first and last of 11 places, at which the bars stand and to which values are rounded;
    values beyond count at the ends; None fits.
    """
    ax = tidy(ax)
    low, high = span or (values.min().item(), values.max().item())
    places, step = np.linspace(low, high if high > low else low + 1, 11, retstep=True)
    ends: list[tuple[float, float]] = []
    for group, color, hatch, name, shift in (
        (conflicting, COLORS[1], "//", "conflicting", -0.22),
        (~conflicting, COLORS[0], "", "aligned", 0.22),
    ):
        nearest = np.rint((values[group].double().numpy() - low) / step).clip(0, 10).astype(int)
        found = np.bincount(nearest, minlength=11) / max(1, int(group.sum()))
        ax.bar(places + shift * step, found, 0.42 * step, color=color, hatch=hatch, edgecolor="white")
        top, sign = found.argmax(), 1 if shift > 0 else -1  # the name stands on the group's tallest bar
        at, side = (places[top] + (shift - 0.21 * sign) * step, found[top]), "left" if sign > 0 else "right"
        meet = [y for x, y in ends if x > at[0] and abs(y - at[1]) < 0.1]  # names that would run into each other
        place, lift = (at[0], max(at[1], *meet, 0)), 3 + 1.4 * NORMAL * len(meet)
        note(ax, name, place, (3 * sign, lift), color=color, fontsize=NORMAL, ha=side, weight="bold")
        ends.append(at)
    ax.set(xlabel=xlabel, ylabel="share of the group", ylim=(0, 1.2 if lift > 3 else 1.12))
    return ax


def slopes_of_a_mask(
    chances: Sequence[float], slopes: Sequence[float], carried: Sequence[float], *, ax: Axes | None = None
) -> Axes:
    """Over the chance s: the mean slope of a mask drawn with it, beside 1, and the share of draws that carry it."""
    ax = tidy(ax)
    ax.axhline(1, color=DIM, linewidth=1, linestyle="--", zorder=1)
    for name, values, color, dash in (
        ("mean slope ∂m/∂s", slopes, COLORS[0], "-"),
        ("share of draws with a slope", carried, COLORS[1], "--"),
    ):
        ax.plot(chances, values, color=color, linestyle=dash, linewidth=2)
        note(ax, name, (chances[-1], values[-1]), (8, 0), color=color, fontsize=NORMAL, va="center")
    ax.set(xlabel="s, the chance of being kept", ylim=(0, 2), xlim=(0, 1))
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
