"""Digits drawn from the typefaces that matplotlib ships, distorted: the stand-in for people without MNIST.

MNIST's digits fit a box of 20×20 pixels and their center of mass is the middle of 28×28; these are normalized likewise.
As MNIST's test digits are by other writers than its training digits, the test digits here are of other typefaces:
STIX for the test, DejaVu and Computer Modern for training. Change RENDERED_FILE in digits.py whenever the drawing
changes.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

__all__ = ["draw_digits"]

BATCH = 250
HELD_OUT = "STIX"  # how the names of the test typefaces' files begin
CELL, GLYPH, CANVAS = 48, 33, 32  # pixels: an outline's cell, the outline in it, the canvas it is distorted on
BOX, SIDE = 20, 28  # pixels: MNIST's box and image


def draw_digits(count: int, *, test: bool = False) -> tuple[Tensor, Tensor]:
    """Draw `count` digits: images (count, 28, 28) uint8 and labels (count,) int64, the same at every call.

    test: in the typefaces that are kept for the test, else in the others.
    """
    generator = torch.Generator().manual_seed(int(test))
    outlines = _outlines(test)
    batches = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # operations this small wait for one another ten times longer on cores that are shared
    try:
        for _ in tqdm(range(0, count, BATCH), desc="drawing digits", unit_scale=BATCH, leave=False):
            labels = torch.randint(10, (BATCH,), generator=generator)
            faces = torch.randint(len(outlines), (BATCH,), generator=generator)
            batches.append((_distort(outlines[faces, labels], generator), labels))
    finally:
        torch.set_num_threads(threads)
    images, labels = (torch.cat(tensors) for tensors in zip(*batches, strict=True))
    return images[:count], labels[:count]


def _distort(outlines: Tensor, generator: torch.Generator) -> Tensor:
    """Images (n, 28, 28) uint8 of the digits whose signed distances are `outlines` (n, 48, 48), each distorted anew.

    Distances, unlike pixels, stay sharp when they are resampled, and adding to them makes every stroke wider.
    """
    n = len(outlines)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(n, *shape, generator=generator) * (high - low) + low

    angle, shear, width = uniform(-0.3, 0.3), uniform(-0.35, 0.35), uniform(0.75, 1.35)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros(n)
    turn = torch.stack([width * cos, shear * cos - sin, zero, width * sin, shear * sin + cos, zero], 1).view(n, 2, 3)
    grid = F.affine_grid(1.25 * turn, [n, 1, CANVAS, CANVAS], align_corners=False)  # 1.25 leaves room for the corners
    bend = 0.055 * torch.randn(n, 2, 5, 5, generator=generator)
    grid = grid + F.interpolate(bend, size=CANVAS, mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
    bent = F.grid_sample(outlines[:, None], grid, padding_mode="border", align_corners=False)
    stroke = (uniform(2.0, 4.0) - outlines.amax((1, 2))).clamp(-0.4, 2.0)  # thin faces gain, bold ones lose little
    bent = bent + stroke.view(n, 1, 1, 1)

    inside = bent[:, 0] > 0
    rows, columns = inside.sum(2), inside.sum(1)
    height, breadth = (CANVAS - (s > 0).int().argmax(1) - (s > 0).int().flip(1).argmax(1) for s in (rows, columns))
    place = (2 * torch.arange(CANVAS) + 1) / CANVAS - 1
    center = torch.stack([(s * place).sum(1) / s.sum(1) for s in (columns, rows)], 1)  # (n, 2): x, y in [-1, 1]
    zoom = torch.maximum(height, breadth) / CANVAS * SIDE / BOX / uniform(0.9, 1.0)
    center = center + zoom[:, None] * uniform(-2 / SIDE, 2 / SIDE, 2)  # a shift by at most one pixel
    frame = torch.stack([zoom, zero, center[:, 0], zero, zoom, center[:, 1]], 1).view(n, 2, 3)
    grid = F.affine_grid(frame, [n, 1, SIDE, SIDE], align_corners=False)
    final = F.grid_sample(bent, grid, padding_mode="border", align_corners=False)[:, 0]
    ink = final / (1.25 * zoom * CELL / SIDE).view(n, 1, 1) + 0.5  # how much of the pixel is covered
    return (ink.clamp(0, 1) * 255).round().to(torch.uint8)


def _outlines(test: bool) -> Tensor:
    """Signed distance of each pixel to the outline, positive inside: (typefaces, 10, 48, 48) in pixels."""
    import matplotlib
    from matplotlib.font_manager import FontProperties, get_font
    from matplotlib.textpath import TextPath

    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    faces = []
    for file in sorted(file for file in folder.glob("*.ttf") if file.name.startswith(HELD_OUT) == test):
        font, prop = get_font(file), FontProperties(fname=file)
        # A glyph's name tells: some typefaces have symbols in the digits' places, or one sign for all characters.
        if [font.get_glyph_name(font.get_char_index(ord(digit))) for digit in "0123456789"] == names:
            polygons = [TextPath((0, 0), str(digit), size=64, prop=prop).to_polygons() for digit in range(10)]
            faces.append(torch.stack([_distance([np.asarray(part) for part in parts]) for parts in polygons]))
    if not faces:
        raise RuntimeError(f"No typeface with digits was found in {folder}, where matplotlib keeps its own.")
    return torch.stack(faces)


def _distance(polygons: list[np.ndarray]) -> Tensor:
    """Signed distance (48, 48) of each pixel to the edges of closed `polygons`, scaled and centered in the cell."""
    from matplotlib.path import Path as Outline

    corners = np.concatenate(polygons)
    low, high = corners.min(0), corners.max(0)
    scaled = [(polygon - (low + high) / 2) * GLYPH / (high - low).max() for polygon in polygons]
    place = np.arange(CELL) + 0.5 - CELL / 2
    pixels = np.stack(np.meshgrid(place, -place), -1).reshape(-1, 2)  # the first row is on top
    inside = np.logical_xor.reduce([Outline(polygon).contains_points(pixels) for polygon in scaled])
    # As complex numbers, with each edge in turn as the way from 0 to 1: its nearest point is the real part, clipped.
    start, edge = (np.concatenate([part(p @ [1, 1j]) for p in scaled]) for part in (lambda z: z[:-1], np.diff))
    start, edge = start[edge != 0].astype(np.complex64), edge[edge != 0].astype(np.complex64)
    way = ((pixels @ [1, 1j]).astype(np.complex64)[:, None] - start) * (1 / edge)
    distance = (np.abs(way - way.real.clip(0, 1)) * np.abs(edge)).min(1)
    return torch.from_numpy(np.where(inside, distance, -distance)).float().view(CELL, CELL)
