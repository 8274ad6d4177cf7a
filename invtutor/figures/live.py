"""A training as it goes on: accuracies, risks and the steered knob over the steps; where a world has them, its accuracy
curve and a few pictures with what is predicted of them."""

from collections.abc import Iterable, Mapping, Sequence
from math import floor, log10
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text

from invtutor.figures.base import DIM, MARKERS, NORMAL, SMALL, Screen, decade, new_figure, shifts, styles, tidy
from invtutor.figures.gallery import digits
from invtutor.figures.lines import accuracy_curves
from invtutor.runs.history import History
from invtutor.worlds.environment import Environment

__all__ = ["RATES", "Curve", "LivePicture"]

RATES = [i / 20 for i in range(21)]
POINTS = 400  # drawn per line: more than its pixels show


class Curve(NamedTuple):
    """What stands still about an accuracy curve: the flip rates of the dots on it, one for each line of accuracy in
    their order, and what `accuracy_curves` marks."""

    flip_rates: Sequence[float]
    train_rates: Sequence[float]
    ceiling: float | None
    chance: float


class LivePicture:
    """One figure that follows a training: what stands still is drawn once, the lines move (`base.Screen`).

    accuracies, risks: for each line's label the metric's name in the history or the trace; equal labels look alike.
    label: of the knob in the lowest plot. scale: smallest and largest positive value of its logarithmic axis; None is a
    linear one from 0 to 1. steps: the first width of the time axis. curve: None in a world without one.
    shown: samples whose predictions are written below their pictures; a frame says what it says in `gallery.digits`,
    and a cross marks what is misread. None where they are no pictures. title: above them.
    """

    def __init__(
        self,
        accuracies: Mapping[str, str],
        risks: Mapping[str, str],
        *,
        label: str,
        scale: tuple[float, float] | None,
        steps: int,
        curve: Curve | None = None,
        shown: Environment | None = None,
        title: str = "",
        width: int = 900,
        height: int = 600,
    ):
        self.figure = new_figure(width, height)
        self.figure.set_layout_engine("none")  # pictures must not jump, and a layout costs more than the lines
        self._names = (accuracies, risks)
        labels = list(dict.fromkeys([*accuracies, *risks]))
        looks = dict(zip(labels, styles(len(labels)), strict=True))
        self._steps = self._span = steps
        self._scale = scale
        place = self.figure.add_axes
        across = 0.335 if curve or shown else 0.75
        self._accuracy = tidy(place((0.07, 0.625, across, 0.325)))
        self._risk = tidy(place((0.07, 0.345, across, 0.235)))
        self._setting = tidy(place((0.07, 0.085, across, 0.2)))
        self._curve = curve
        self._now: Line2D | None = None
        if curve:
            ax = accuracy_curves(
                {"": [curve.chance] * len(RATES)},
                RATES,
                train_rates=curve.train_rates,
                ceiling=curve.ceiling,
                chance=curve.chance,
                ax=place((0.615, 0.53, 0.37, 0.405)),
            )
            (self._now,) = (line for line in ax.lines if line.get_gid() == "curve")
            self._dots = [
                _line(ax, style["color"], marker=marker, markersize=8, linestyle="none", zorder=4)
                for style, marker in zip(looks.values(), MARKERS, strict=False)
            ]
        self._labels = shown.labels.tolist() if shown else []
        self._captions: list[Text] = []
        if shown:
            ax = digits(shown, columns=5, rows=2, gap=3, ax=place((0.56, 0.01 if curve else 0.3, 0.43, 0.355)))
            ax.set_title(title, fontsize=NORMAL, loc="left")
            self._captions = list(ax.texts)
        self._accuracy.set(ylim=(0, 100), ylabel="accuracy, %")
        self._risk.set(ylim=(0, 1), ylabel="risk, nats")
        self._setting.set(xlabel="step", ylabel=label)
        for ax in (self._accuracy, self._risk):
            ax.tick_params(labelbottom=False)
        if scale is not None:
            _log_axis(self._setting, *scale)
        else:
            self._setting.set_ylim(-0.05, 1.05)
        self._lines = [_lines(self._accuracy, accuracies, looks), _lines(self._risk, risks, looks)]
        self._knob_line = _line(self._setting, "black", drawstyle="steps-post", linewidth=2)
        self._level = _line(self._setting, DIM, linestyle=":", linewidth=1.5)
        self._level_text = _label(self._setting, DIM)
        self._note = self._setting.set_title("", loc="left", fontsize=SMALL, color=DIM)
        for artist in (self._note, *self._captions, *([self._now] if self._now else [])):
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
        at: at the curve's flip rates; both are empty where there is none; setting: where the knob stands; note: above
        its plot."""
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
            moved = _inside(ax, ends, shifts(ax, ends))
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
        if self._curve and self._now:
            self._now.set_ydata(100 * np.asarray(curve))
            for dot, rate, value in zip(self._dots, self._curve.flip_rates, at, strict=False):
                dot.set_data([rate], [100 * value])
        for caption, truth, says in zip(self._captions, self._labels, predicted, strict=bool(self._captions)):
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


def _inside(ax: Axes, values: Sequence[float], shifts: Sequence[float]) -> list[float]:
    """Lift labels that were spread so far down that they would reach into the plot below, and lower those that would
    leave the picture."""
    points = 72 / ax.figure.dpi
    floor, top = ax.transAxes.transform((0, 0))[1] * points, ax.figure.bbox.y1 * points
    places = [
        ax.transData.transform((0, value))[1] * points + shift for value, shift in zip(values, shifts, strict=True)
    ]
    if not places or not np.isfinite(places).all():
        return list(shifts)
    lift = max(0.0, floor + SMALL / 2 - min(places)) + min(0.0, top - SMALL / 2 - max(places))
    return [shift + lift for shift in shifts]


def _line(ax: Axes, color: str, **style: Any) -> Line2D:
    (line,) = ax.plot([], [], color=color, animated=True, **style)
    return line


def _label(ax: Axes, color: str) -> Annotation:
    style: dict[str, Any] = {"va": "center", "color": color, "fontsize": SMALL, "animated": True}
    return ax.annotate("", (0, 0), (6, 0), textcoords="offset points", annotation_clip=False, **style)


def _lines(ax: Axes, names: Iterable[str], looks: Mapping[str, Mapping[str, Any]]) -> list[tuple[Line2D, Annotation]]:
    pairs = []
    for name in names:
        (line,) = ax.plot([], [], animated=True, **looks[name])
        pairs.append((line, _label(ax, looks[name]["color"])))
    return pairs


def _log_axis(ax: Axes, smallest: float, largest: float) -> None:
    """A logarithmic axis with a true zero, its decades named without mathtext (slow)."""
    first, last = floor(log10(smallest)), floor(log10(largest))
    ax.set_yscale("symlog", linthresh=10.0**first, linscale=1.5)
    decades = range(first, last + 1, 1 + (last - first) // 4)
    ax.set_yticks([0.0, *(10.0**d for d in decades)], ["0", *map(decade, decades)])
    ax.minorticks_off()
    ax.set_ylim(-0.25 * 10.0**first, largest * 1.6)
