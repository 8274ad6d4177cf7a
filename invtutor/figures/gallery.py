"""Digits in color, and pictures of any world, side by side."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from torch import Tensor

from invtutor.fields import require
from invtutor.figures.base import DIM, SMALL, new_figure
from invtutor.worlds.environment import Environment

__all__ = ["INKS", "digits", "recolor"]

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

SIDE = 14  # pixels of a digit: gaps and frames of larger pictures grow with them
MOST = 96  # pixels of a side that are shown


def digits(
    environment: Environment, columns: int = 10, rows: int = 2, *, gap: int | None = None, ax: Axes | None = None
) -> Axes:
    """The first samples of an environment, in rows. A frame marks those in which the spurious clue contradicts the
    label, such as digits whose color is not their label's.

    environment: of pictures (n, channels, height, width), of any size, bytes or floats. gap: pixels between two digits
    of a row; None leaves room for their captions.
    One channel is shown gray, three are red, green and blue. Others are shown by `INKS`: blue for 0 and orange for 1,
    whatever the papers call the channels; where all of them are alike (`Environment.gray`) the samples are white, their
    captions name the label alone.
    """
    require("columns", columns >= 1, "at least 1", columns)
    require("rows", rows >= 1, "at least 1", rows)
    narrow = columns > 8  # then "label 1 · orange" takes two lines
    wide, high, separator = (16, 22, "\n") if narrow else (20, 20, " · ")
    wide = wide if gap is None else SIDE + gap
    _, height, width, _ = _in_color(environment.inputs[:1]).shape
    size = height / SIDE
    wide, high = max(width, height) + round(size * (wide - SIDE)), round(size * high)
    if ax is None:
        ax = new_figure(900, round(900 * rows * high / (columns * wide)) + 10).subplots()
    ax.set_axis_off()
    ax.imshow(np.ones((rows * high, columns * wide, 3)), extent=(0, columns * wide, rows * high, 0))
    for i in range(min(len(environment), columns * rows)):
        left, top = i % columns * wide + (wide - width) // 2, i // columns * high + round(size)
        corner, reach = (left - 0.6 * size, top - 0.6 * size), (width + 1.2 * size, height + 1.2 * size)
        frame = Rectangle(corner, *reach, fill=False, color="black", linewidth=2)
        ax.add_patch(frame)
        style: dict[str, Any] = {"ha": "center", "va": "baseline", "fontsize": SMALL, "gid": separator}
        ax.text(
            left + width / 2, top + high - 2 * size, "", **style
        )  # the baseline of the last line: equal for every word
    recolor(ax, environment)
    return ax


def recolor(ax: Axes, environment: Environment) -> None:
    """Show another environment in Axes that `digits` made, without building them anew."""
    shown, names = environment.each(lambda tensor: tensor[: len(ax.texts)].cpu()), list(INKS)
    inked = shown.inputs.shape[1] not in (1, 3)
    gray = inked and bool((shown.inputs == shown.inputs[:, :1]).all())
    pictures = _in_color(shown.inputs)
    _, height, width, _ = pictures.shape
    wall = np.ones_like(ax.images[0].get_array())
    for i, (picture, frame, text) in enumerate(zip(pictures, ax.patches, ax.texts, strict=True)):
        assert isinstance(frame, Rectangle)
        left, top = (round(corner + 0.6 * height / SIDE) for corner in frame.get_xy())
        wall[top : top + height, left : left + width] = picture
        conflict = not gray and "conflict" in shown.attributes and bool(shown["conflict"][i])
        frame.set_visible(conflict)
        color = (
            f"{text.get_gid()}{names[int(shown['color'][i])]}"
            if inked and not gray and "color" in shown.attributes
            else ""
        )
        text.set_text(f"label {shown.labels[i]}{color}")
        text.set_color("black" if conflict else DIM)
    ax.images[0].set_data(wall)


def _in_color(inputs: Tensor) -> np.ndarray[Any, Any]:
    """Pictures (n, channels, height, width) as (n, height, width, 3) in [0, 1]; floats beyond are squeezed into it."""
    step = -(-max(inputs.shape[2:]) // MOST)
    pixels = inputs[..., ::step, ::step].cpu().numpy()
    if pixels.dtype == np.uint8:
        pixels = pixels / np.float32(255)
    low, high = min(0.0, pixels.min(initial=0)), max(1.0, pixels.max(initial=1))
    pixels = (pixels - low) / (high - low)
    channels = pixels.shape[1]
    if channels in (1, 3):
        return np.broadcast_to(pixels, (len(pixels), 3, *pixels.shape[2:])).transpose(0, 2, 3, 1)
    if channels > len(INKS) or (pixels == pixels[:, :1]).all():
        return np.repeat(pixels.mean(1)[..., None], 3, -1)
    palette = np.array([[int(ink[i : i + 2], 16) / 255 for i in (1, 3, 5)] for ink in INKS.values()])
    return np.einsum("nchw,cr->nhwr", pixels, palette[:channels]).clip(0, 1)
