"""What every picture shares: figures free of pyplot, PNG bytes, colors, and text that keeps out of its own way."""

from collections.abc import Mapping, Sequence
from io import BytesIO
from itertools import cycle, islice
from math import isfinite
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave

__all__ = [
    "COLORS",
    "DASHES",
    "DIM",
    "DPI",
    "FAINT",
    "LEVELS",
    "MARKERS",
    "NORMAL",
    "SMALL",
    "Screen",
    "decade",
    "freeze",
    "new_figure",
]
__all__ += ["note", "png", "shifts", "styles", "tidy"]

# Okabe and Ito's colors, told apart by color-blind readers, dark enough for text on white.
COLORS = ("#0072B2", "#D55E00", "#00795A", "#A2457F", "#3D3D3D")
DASHES = ("-", (0, (5, 1.5)), (0, (6, 1.5, 1, 1.5)), (0, (1, 1.2)), (0, (3, 1, 1, 1, 1, 1)))
MARKERS = ("o", "s", "^", "D", "v")

METADATA: Any = {"Software": None}  # the bytes should not depend on the version of matplotlib
DPI = 100
SMALL, NORMAL = 9, 10  # font sizes in points
FAINT, DIM = "#BBBBBB", "#666666"
LEVELS: Mapping[str, Mapping[str, Any]] = {
    "best invariant": {"color": "black", "linestyle": ":"},
    "color-balanced": {"color": "black", "linestyle": (0, (5, 2, 1, 2))},
}
"""How the two ceilings are drawn, everywhere."""


def new_figure(width: int = 900, height: int = 400) -> Figure:
    """An empty figure of that many pixels, free of pyplot: `left, right = new_figure().subplots(1, 2)`."""
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as a PNG file: the same bytes for the same picture."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=figure.dpi, metadata=METADATA)
    return buffer.getvalue()


class Screen:
    """One figure, drawn again and again.

    From the moment it has artists that matplotlib calls animated, all others are taken to stand still: they are drawn
    once and kept, and a new picture costs no more than the animated artists. Without any, everything is drawn anew.
    """

    def __init__(self, figure: Figure):
        self.figure = figure
        self._still: Any = None

    def png(self) -> bytes:
        """The present picture as a PNG file: the same bytes for the same picture."""
        moving = [artist for ax in self.figure.axes for artist in ax.get_children() if artist.get_animated()]
        if self._still is None or not moving:
            self._canvas = FigureCanvasAgg(self.figure)
            self._canvas.draw()  # leaves out what is animated
            self._still = self._canvas.copy_from_bbox(self.figure.bbox) if moving else None
        else:
            self._canvas.restore_region(self._still)
        for artist in sorted(moving, key=lambda artist: artist.get_zorder()):
            self.figure.draw_artist(artist)
        buffer = BytesIO()
        imsave(buffer, self._canvas.buffer_rgba(), format="png", metadata=METADATA, pil_kwargs={"compress_level": 3})
        return buffer.getvalue()


def freeze(figure: Figure) -> None:
    """Keep the layout of the first picture: finding it costs more than drawing, and pictures must not jump."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def decade(power: int) -> str:
    if 0 <= power <= 1:
        return str(10**power)
    return "10" + str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def styles(count: int) -> list[dict[str, Any]]:
    dashes = (DASHES[i // len(COLORS) % len(DASHES)] if count > len(COLORS) else DASHES[i] for i in range(count))
    pairs = zip(islice(cycle(COLORS), count), dashes, strict=True)
    return [{"color": color, "linestyle": dash, "linewidth": 2, "zorder": 2.5} for color, dash in pairs]


def tidy(ax: Axes | None) -> Axes:
    ax = ax or new_figure().subplots()
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="#EEEEEE")
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=SMALL, colors="#333333")
    ax.xaxis.label.set_fontsize(NORMAL)
    ax.yaxis.label.set_fontsize(NORMAL)
    return ax


def note(ax: Axes, words: str, at: tuple[float, float], offset: tuple[float, float], **style: Any) -> None:
    """Text that stands some points away from a place in the data, inside the axes or out."""
    style.setdefault("fontsize", SMALL)
    ax.annotate(words, at, offset, textcoords="offset points", annotation_clip=False, **style)


def shifts(ax: Axes, values: Sequence[float]) -> list[float]:
    """How far, in points, the text at each value must move up so that no two texts overlap, nor the axis' numbers.

    The nearest places that keep a line's height between them: isotonic regression, by pooling adjacent violators; then
    those that would reach below the axes are lifted, and with them what lies close above.
    """
    if not values:
        return []
    pixels = ax.transData.transform([(ax.get_xlim()[1], value) for value in values])[:, 1] * 72 / DPI
    gap = 1.3 * NORMAL
    order = np.argsort(pixels, kind="stable")
    blocks: list[list[float]] = []
    for rank, index in enumerate(order):
        blocks.append([pixels[index] - rank * gap])
        while len(blocks) > 1 and fmean(blocks[-2]) > fmean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    floor = ax.transAxes.transform((0, 0))[1] * 72 / DPI + NORMAL / 2
    placed = [max(fmean(block), floor) for block in blocks for _ in block]
    shifts = [0.0] * len(values)
    for rank, index in enumerate(order):
        shifts[index] = placed[rank] + rank * gap - pixels[index]
    return shifts if all(map(isfinite, shifts)) else [0.0] * len(values)
