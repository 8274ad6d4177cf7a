"""Color pictures of simple things, drawn: a stand-in for photographs of two kinds of objects.

Triangles and squares of any color, size, place and angle, a little bent, on backgrounds that are as colorful.
"""

from functools import cache
from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["TEST", "TRAIN", "draw_shapes", "shapes"]

SIDE, BATCH = 32, 1000
TRAIN, TEST = 10_000, 2000  # pictures
Part = tuple[Tensor, Tensor]  # images and labels, as `draw_shapes` gives them


@cache
def shapes() -> tuple[Part, Part]:
    """The training and the test pictures, the same in every process. All callers share the tensors: never write to
    them."""
    generator = torch.Generator().manual_seed(0)
    return draw_shapes(TRAIN, generator), draw_shapes(TEST, generator)


def draw_shapes(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images (count, 3, 32, 32) uint8 and labels (count,) int64: 0 for a triangle, 1 for a square, as many of each."""
    labels = torch.arange(count) % 2
    return torch.cat([_draw(some, generator) for some in labels.split(BATCH)]), labels


def _draw(labels: Tensor, generator: torch.Generator) -> Tensor:
    n = len(labels)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(n, *shape, generator=generator)

    def texture(strength: float) -> Tensor:
        coarse = uniform(-strength, strength, 3, 5, 5)
        return F.interpolate(coarse, size=SIDE, mode="bicubic", align_corners=True)

    place = (2 * torch.arange(SIDE) + 1) / SIDE - 1
    y, x = torch.meshgrid(place, place, indexing="ij")
    x, y = x - uniform(-0.15, 0.15, 1, 1), y - uniform(-0.15, 0.15, 1, 1)
    part = 2 * pi / (labels + 3).view(n, 1, 1)  # the angle from a corner to the next
    # Upright but for some 30 degrees: a triangle's corner and a square's side are on top.
    upright = pi / 2 + part * labels.view(n, 1, 1) / 2
    angle = torch.atan2(y, uniform(0.75, 1.3, 1, 1) * x) + upright + uniform(-0.5, 0.5, 1, 1)
    # A regular polygon in polar coordinates: the border lies at cos(π/k) / cos(angle from the middle of its side).
    border = uniform(0.6, 0.95, 1, 1) * (part / 2).cos() / (angle % part - part / 2).cos()
    inside = ((border - torch.hypot(x, y)) * SIDE / 2 + 0.5).clamp(0, 1)[:, None]  # how much of the pixel is covered
    ground = uniform(0.1, 0.9, 3, 1, 1)
    thing = (ground + uniform(0.25, 0.75, 3, 1, 1)) % 1  # of another color
    ground, thing = ground + texture(0.15), thing + texture(0.15)
    return ((ground + inside * (thing - ground)).clamp(0, 1) * 255).round().to(torch.uint8)
