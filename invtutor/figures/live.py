"""A training as it goes on: accuracies, risks and the steered knob over the steps, the curve, and a few predictions."""

from collections.abc import Mapping, Sequence
from math import floor, log10
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Annotation

from invtutor.figures.base import DIM, MARKERS, NORMAL, SMALL, Screen, decade, new_figure, shifts, styles, tidy
from invtutor.figures.gallery import digits
from invtutor.figures.lines import accuracy_curves
from invtutor.runs.history import History
from invtutor.worlds.environment import Environment

__all__ = ["LivePicture"]

RATES = [i / 20 for i in range(21)]
POINTS = 400  # drawn per line: more than its pixels show


class LivePicture:
    """One figure that follows a training: what stands still is drawn once, the lines move (`base.Screen`).

    accuracies, risks: for each line's label the metric's name in the history or the trace, in the same order.
    flip_rates: the place of each of them on the curve. label: of the knob in the lowest plot.
    scale: smallest and largest positive value of its logarithmic axis; None is a linear one from 0 to 1.
    shown: digits whose predictions are written below them; a frame says what it says in `gallery.digits`, and a cross
    marks what is misread. steps: the first width of the time axis.
    """

    def __init__(
        self,
        accuracies: Mapping[str, str],
        risks: Mapping[str, str],
        *,
        flip_rates: Sequence[float],
        train_rates: Sequence[float],
        ceiling: float,
        chance: float,
        label: str,
        scale: tuple[float, float] | None,
        shown: Environment,
        steps: int,
        width: int = 900,
        height: int = 600,
    ):
        self.figure = new_figure(width, height)
        self.figure.set_layout_engine("none")  # pictures must not jump, and a layout costs more than the lines
        self._flip_rates, self._names = list(flip_rates), (accuracies, risks)
        self._steps = self._span = steps
        self._labels = shown.labels.tolist()
        self._scale = scale
        place = self.figure.add_axes
        self._accuracy = tidy(place((0.07, 0.625, 0.335, 0.325)))
        self._risk = tidy(place((0.07, 0.345, 0.335, 0.235)))
        self._setting = tidy(place((0.07, 0.085, 0.335, 0.2)))
        self._curve = accuracy_curves(
            {"": [chance] * len(RATES)},
            RATES,
            train_rates=train_rates,
            ceiling=ceiling,
            chance=chance,
            ax=place((0.615, 0.53, 0.37, 0.405)),
        )
        self._wall = digits(shown, columns=5, rows=2, gap=3, ax=place((0.56, 0.01, 0.43, 0.355)))
        self._wall.set_title("at p = 0.9: label → prediction; framed: color ≠ label", fontsize=NORMAL, loc="left")
        self._accuracy.set(ylim=(0, 100), ylabel="accuracy, %")
        self._risk.set(ylim=(0, 1), ylabel="risk, nats")
        self._setting.set(xlabel="step", ylabel=label)
        for ax in (self._accuracy, self._risk):
            ax.tick_params(labelbottom=False)
        if scale is not None:
            _log_axis(self._setting, *scale)
        else:
            self._setting.set_ylim(-0.05, 1.05)
        self._lines = [_lines(self._accuracy, accuracies), _lines(self._risk, risks)]
        self._knob_line = _line(self._setting, "black", drawstyle="steps-post", linewidth=2)
        self._level = _line(self._setting, DIM, linestyle=":", linewidth=1.5)
        self._level_text = _label(self._setting, DIM)
        (now,) = (line for line in self._curve.lines if line.get_gid() == "curve")
        self._now = now
        self._dots = [
            _line(self._curve, style["color"], marker=marker, markersize=8, linestyle="none", zorder=4)
            for style, marker in zip(styles(len(flip_rates)), MARKERS, strict=False)
        ]
        self._note = self._setting.set_title("", loc="left", fontsize=SMALL, color=DIM)
        for artist in (self._now, self._note, *self._wall.texts):
            artist.set_animated(True)
        self._set_span(steps)

    def draw(
        self,
        history: History,
        trace: History,
        acted: Sequence[tuple[int, float]],
        curve: Sequence[float],
        at: Sequence[float],
        predicted: Sequence[int],
        setting: float,
        note: str,
    ) -> bytes:
        """The picture as PNG. acted: from which step on the knob acted with which value; curve: accuracy at `RATES`;
        at: at `flip_rates`; setting: where the knob stands; note: above its plot."""
        every = 1 + len(history) // POINTS
        kept = [a | b for a, b in zip(history.records[::-every][::-1], trace.records[::-every][::-1], strict=True)]
        steps = np.array([record["step"] for record in kept], dtype=float)
        if steps[-1] > self._span:
            self._set_span(self._steps * (1 + int(steps[-1] - 1) // self._steps))
        for ax, lines, names, factor in zip(
            (self._accuracy, self._risk), self._lines, self._names, (100.0, 1.0), strict=True
        ):
            columns = [
                factor * np.array([record.get(name, np.nan) for record in kept], dtype=float) for name in names.values()
            ]
            if ax is self._risk:
                self._set_top(max(float(np.nanmax(column)) for column in columns))
            ends = [column[-1] for column in columns]
            moved = _above_the_floor(ax, ends, shifts(ax, ends))
            for (line, text), label, column, shift in zip(lines, names, columns, moved, strict=True):
                line.set_data(steps, column)
                text.xy = (steps[-1], column[-1])
                text.set_position((6, shift))
                text.set_text(f"{label}: {column[-1]:.0f} %" if factor == 100 else f"{label}: {column[-1]:.2f}")
        self._reach([setting, *(value for _, value in acted)])
        since, values = [step for step, _ in acted], [value for _, value in acted]
        self._knob_line.set_data([*since, steps[-1]] if since else [], values + values[-1:])
        self._level.set_data([0, self._span], [setting, setting])
        self._level_text.xy = (self._span, setting)
        self._level_text.set_text(f"set to {setting:,.10g}")
        self._note.set_text(note)
        self._now.set_ydata(100 * np.asarray(curve))
        for dot, rate, value in zip(self._dots, self._flip_rates, at, strict=True):
            dot.set_data([rate], [100 * value])
        for caption, truth, says in zip(self._wall.texts, self._labels, predicted, strict=True):
            caption.set_text(f"{truth} → {says}  {'✓' if says == truth else '✗'}")
            caption.set_color(DIM if says == truth else "black")
            caption.set_fontweight("normal" if says == truth else "bold")
        return self._screen.png()

    def _set_span(self, steps: int) -> None:
        self._span = steps
        for ax in (self._accuracy, self._risk, self._setting):
            ax.set_xlim(0, steps)
        self._screen = Screen(self.figure)  # what stands still is drawn anew

    def _set_top(self, highest: float) -> None:
        top = self._risk.get_ylim()[1]
        if np.isfinite(highest) and highest > top:
            while highest > top:
                top *= 2
            self._risk.set_ylim(0, top)
            self._screen = Screen(self.figure)

    def _reach(self, values: Sequence[float]) -> None:
        """Widen the knob's logarithmic axis to values beyond the slider's."""
        positive = [value for value in values if value > 0]
        if self._scale is None or not positive:
            return
        wider = min(self._scale[0], *positive), max(self._scale[1], *positive)
        if wider != self._scale:
            self._scale = wider
            _log_axis(self._setting, *wider)
            self._screen = Screen(self.figure)


def _above_the_floor(ax: Axes, values: Sequence[float], shifts: Sequence[float]) -> list[float]:
    """Lift labels that were spread so far down that they would reach into the plot below."""
    points = 72 / ax.figure.dpi
    floor = ax.transAxes.transform((0, 0))[1] * points
    lowest = min(
        ax.transData.transform((0, value))[1] * points + shift for value, shift in zip(values, shifts, strict=True)
    )
    lift = max(0.0, floor + SMALL / 2 - lowest) if np.isfinite(lowest) else 0.0
    return [shift + lift for shift in shifts]


def _line(ax: Axes, color: str, **style: Any) -> Line2D:
    (line,) = ax.plot([], [], color=color, animated=True, **style)
    return line


def _label(ax: Axes, color: str) -> Annotation:
    style: dict[str, Any] = {"va": "center", "color": color, "fontsize": SMALL, "animated": True}
    return ax.annotate("", (0, 0), (6, 0), textcoords="offset points", annotation_clip=False, **style)


def _lines(ax: Axes, names: Mapping[str, str]) -> list[tuple[Line2D, Annotation]]:
    pairs = []
    for style in styles(len(names)):
        (line,) = ax.plot([], [], animated=True, **style)
        pairs.append((line, _label(ax, cast(str, style["color"]))))
    return pairs


def _log_axis(ax: Axes, smallest: float, largest: float) -> None:
    """A logarithmic axis with a true zero, its decades named without mathtext (slow)."""
    first, last = floor(log10(smallest)), floor(log10(largest))
    ax.set_yscale("symlog", linthresh=10.0**first, linscale=1.5)
    decades = range(first, last + 1, 1 + (last - first) // 4)
    ax.set_yticks([0.0, *(10.0**d for d in decades)], ["0", *map(decade, decades)])
    ax.minorticks_off()
    ax.set_ylim(-0.25 * 10.0**first, largest * 1.6)
