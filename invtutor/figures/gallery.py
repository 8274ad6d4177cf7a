"""Digits in color, side by side."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from invtutor.figures.base import DIM, SMALL, new_figure, require
from invtutor.worlds.environment import Environment

__all__ = ["INKS", "SIDE", "digits", "recolor"]

# The colors digits wear, with the word that captions use. Two classes take the first two, five the first five.
INKS: Mapping[str, str] = {
    "blue": "#55A4FF",
    "orange": "#FF9A1F",
    "yellow": "#F7EC59",
    "pink": "#FF8AC4",
    "white": "#FFFFFF",
    "cyan": "#4FE3E3",
    "violet": "#A07BFF",
    "brown": "#B5834A",
    "gray": "#8E979F",
    "rust": "#D9513C",
}

SIDE = 14  # pixels of a digit


def digits(
    environment: Environment, columns: int = 10, rows: int = 2, *, gap: int | None = None, ax: Axes | None = None
) -> Axes:
    """The first samples of an environment, in rows. A frame marks those whose color is not their label's.

    gap: pixels between two digits of a row; None leaves room for their captions.
    Colors are shown by `INKS`: blue for 0 and orange for 1, whatever the papers call the channels. A world without
    color (`Environment.gray`) is shown white, its captions name the label alone.
    """
    require("columns", columns >= 1, "at least 1", columns)
    require("rows", rows >= 1, "at least 1", rows)
    narrow = columns > 8  # then "label 1 · orange" takes two lines
    wide, high, separator = (16, 22, "\n") if narrow else (20, 20, " · ")
    wide = wide if gap is None else SIDE + gap
    if ax is None:
        ax = new_figure(900, round(900 * rows * high / (columns * wide)) + 10).subplots()
    ax.set_axis_off()
    ax.imshow(np.ones((rows * high, columns * wide, 3)), extent=(0, columns * wide, rows * high, 0))
    for i in range(min(len(environment), columns * rows)):
        left, top = i % columns * wide + (wide - SIDE) // 2, i // columns * high + 1
        frame = Rectangle((left - 0.6, top - 0.6), SIDE + 1.2, SIDE + 1.2, fill=False, color="black", linewidth=2)
        ax.add_patch(frame)
        style: dict[str, Any] = {"ha": "center", "va": "baseline", "fontsize": SMALL, "gid": separator}
        ax.text(left + SIDE / 2, top + high - 2, "", **style)  # the baseline of the last line: equal for every word
    recolor(ax, environment)
    return ax


def recolor(ax: Axes, environment: Environment) -> None:
    """Show another environment in Axes that `digits` made, without building them anew."""
    count, names = len(ax.texts), list(INKS)
    inputs = environment.inputs[:count].cpu().numpy()
    gray = bool((inputs == inputs[:, :1]).all())
    palette = np.array([[int(INKS[name][i : i + 2], 16) / 255 for i in (1, 3, 5)] for name in names])
    inks = np.ones((1, 3)) if gray else palette[: inputs.shape[1]]
    pictures = np.einsum("nchw,cr->nhwr", inputs[:, :1] if gray else inputs, inks).clip(0, 1)
    wall = np.ones_like(ax.images[0].get_array())
    labels, colors = (tensor[:count].tolist() for tensor in (environment.labels, environment["color"]))
    for picture, label, color, frame, text in zip(pictures, labels, colors, ax.patches, ax.texts, strict=True):
        conflict = not gray and label != color
        left, top = (round(corner + 0.6) for corner in cast(Rectangle, frame).get_xy())
        wall[top : top + SIDE, left : left + SIDE] = picture
        frame.set_visible(conflict)
        text.set_text(f"label {label}" if gray else f"label {label}{text.get_gid()}{names[color]}")
        text.set_color("black" if conflict else DIM)
    ax.images[0].set_data(wall)
