"""Animals and landscapes, drawn from numbers: hundreds of species, and as many places.

A species is a row of traits in [0, 1]: how long the legs are, where the fins stand, what pattern the coat has. Its
animals differ a little in all of them, and in size, pose, angle and color. A shape knows how far each pixel is from its
edge, so that edges are smooth without a finer grid.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["SIDE", "TRAITS", "draw_animals", "draw_places"]

SIDE = 48  # pixels
TRAITS = 40  # numbers that describe a species or a place; each drawing takes as many as it needs
ORDERS = torch.tensor(list(permutations(range(3))))

Trait = Callable[[float, float], Tensor]
"""The next number of the description, between two bounds, of shape (n, 1, 1)."""


@dataclass(frozen=True, eq=False)
class Taper:
    """A line from (x0, y0) to (x1, y1) that is as wide as a circle of radius r0 here and of r1 there."""

    x0: Tensor
    y0: Tensor
    r0: Tensor
    x1: Tensor
    y1: Tensor
    r1: Tensor

    def corners(self) -> list[tuple[Tensor, Tensor]]:
        """Points between which it lies."""
        ends = (self.x0, self.y0, self.r0), (self.x1, self.y1, self.r1)
        return [(x + side * r, y + side * r) for x, y, r in ends for side in (-1, 1)]

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """About how far outside a point lies; negative inside."""
        dx, dy = self.x1 - self.x0, self.y1 - self.y0
        x, y = x - self.x0, y - self.y0
        along = ((x * dx + y * dy) / (dx * dx + dy * dy + 1e-6)).clamp_(0, 1)
        return torch.hypot(x - along * dx, y - along * dy) - (self.r0 + along * (self.r1 - self.r0))


@dataclass(frozen=True, eq=False)
class Ellipse:
    """Around (x, y), with these radii."""

    x: Tensor
    y: Tensor
    wide: Tensor
    high: Tensor

    def corners(self) -> list[tuple[Tensor, Tensor]]:
        """Points between which it lies."""
        return [(self.x + side * self.wide, self.y + side * self.high) for side in (-1, 1)]

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """About how far outside a point lies; negative inside."""
        x, y = x - self.x, y - self.y
        length = torch.hypot(x / self.wide, y / self.high)
        slope = torch.hypot(x / self.wide**2, y / self.high**2)
        return length * (length - 1) / (slope + 1e-6)


@dataclass(frozen=True, eq=False)
class Triangle:
    """Of three corners (x, y), whichever way round."""

    points: Sequence[tuple[Tensor, Tensor]]

    def corners(self) -> list[tuple[Tensor, Tensor]]:
        """Points between which it lies."""
        return list(self.points)

    def distance(self, x: Tensor, y: Tensor) -> Tensor:
        """About how far outside a point lies; negative inside."""
        (ax, ay), (bx, by), (cx, cy) = self.points
        turn = ((bx - ax) * (cy - ay) - (by - ay) * (cx - ax)).sign()
        farthest = torch.tensor(-torch.inf)
        for (px, py), (qx, qy) in zip(self.points, (*self.points[1:], self.points[0]), strict=True):
            dx, dy = qx - px, qy - py
            weight = turn / (torch.hypot(dx, dy) + 1e-6)
            out = dy * weight * (x - px) - dx * weight * (y - py)
            farthest = torch.maximum(farthest, out)
        return farthest


@dataclass(frozen=True, eq=False)
class Part:
    """A shape and how it is painted. coat: has the pattern. bare: has no outline."""

    shape: Taper | Ellipse | Triangle
    color: Tensor  # (n, 3, 1, 1)
    coat: bool = False
    bare: bool = False


def limb(x: Tensor, y: Tensor, r0: Tensor, angle: Tensor, length: Tensor, r1: Tensor) -> Taper:
    """A taper from a point on, in a direction: 0 is ahead, π/2 is up."""
    return Taper(x, y, r0, x + length * angle.cos(), y + length * angle.sin(), r1)


def beast(trait: Trait, mood: Trait, coat: Tensor, second: Tensor) -> list[Part]:
    """A land animal on four legs that looks to the right, farthest parts first.

    trait, mood: what its species is like, and what it itself does just now. coat, second: its colors, (n, 3, 1, 1).
    """
    long, high = trait(0.3, 0.62), trait(0.19, 0.34)
    chest = high * trait(0.8, 1.15)
    legs, thick = trait(0.15, 0.55), trait(0.05, 0.1)
    foot = thick * trait(0.7, 1.1)
    ground = -torch.maximum(high, chest) - legs
    dark, black, white = coat * 0.62, torch.full_like(coat, 0.06), torch.full_like(coat, 0.96)
    parts = []
    stride = mood(-0.14, 0.14)

    def leg(x: Tensor, swing: Tensor, color: Tensor, coated: bool) -> None:
        parts.append(Part(Taper(x, -0.4 * high, thick * 1.3, x + swing, ground + foot, foot), color, coated))

    leg(-long + 0.1, stride + 0.03, dark, False)
    leg(long - 0.02, stride + 0.03, dark, False)

    # The tail hangs, stands or curls; of two pieces.
    angle, curl, tail = trait(0.55, 1.4) * pi, trait(-0.9, 0.9), trait(0.08, 0.5)
    root = trait(0.03, 0.07)
    first = limb(-long - 0.6 * high, 0.45 * high, root, angle, 0.5 * tail, root * 0.9)
    tip = limb(first.x1, first.y1, root * 0.9, angle - curl, 0.5 * tail, root * trait(0.4, 2.2))
    parts += [Part(first, coat, True), Part(tip, torch.where(trait(0, 1)[:, None] < 0.4, second, coat))]

    # Neck and head.
    rise, neck = trait(0.12, 0.42) * pi + mood(-0.1, 0.1), trait(0.16, 0.65)
    head = trait(0.17, 0.27)
    collar = limb(long, 0.25 * chest, chest * 0.75, rise, neck, head * trait(0.5, 0.8))
    x, y = collar.x1 + 0.3 * head, collar.y1 + 0.2 * head
    nod = trait(-0.5, 0.12) + mood(-0.15, 0.15)
    snout, blunt = trait(0.7, 1.9) * head, trait(0.3, 0.7) * head
    muzzle = limb(x, y - 0.15 * head, 0.72 * head, nod, snout, blunt)

    # Ears: pointed or round, upright or hanging.
    lift, ear, lobe = trait(0.35, 0.8) * pi, trait(0.5, 1.9) * head, trait(0.25, 0.5) * head
    floppy = trait(0, 1) < 0.3
    lift = torch.where(floppy, 1.35 * pi, lift)
    end = lobe * torch.where(floppy, 1.1, trait(0.2, 1.1))
    back = limb(x + 0.25 * head, y + 0.6 * head, lobe, lift - 0.35, ear, end)
    front = limb(x - 0.35 * head, y + 0.55 * head, lobe, lift, ear, end)
    horned = trait(0, 1) < 0.22
    horn = limb(x + 0.1 * head, y + 0.8 * head, 0.16 * head, trait(0.3, 0.6) * pi, horned * trait(0.8, 1.6) * head,
                0.05 * head)  # fmt: skip
    mane = trait(0, 1) < 0.2
    ruff = Taper(collar.x0 - 0.4 * chest, collar.y0 + 0.5 * chest, mane * 0.12 + 0.01, x - 0.7 * head, y + 0.6 * head,
                 mane * 0.16 + 0.01)  # fmt: skip

    body = Taper(-long, 0 * high, high, long, 0.1 * chest, chest)
    parts += [Part(ruff, second), Part(back, dark), Part(body, coat, True)]
    leg(-long - 0.02, -stride, coat, True)
    leg(long - 0.14, -stride, coat, True)
    parts += [
        Part(collar, coat, True),
        Part(Taper(x, y, head, x, y, head), coat, True),
        Part(muzzle, torch.where(trait(0, 1)[:, None] < 0.4, second, coat)),
        Part(horn, white * 0.9),
        Part(front, torch.where(trait(0, 1)[:, None] < 0.5, second, coat * 0.85)),
    ]
    for color, r in ((white, 0.42), (black, 0.25)):
        at = x + 0.3 * head + (0.42 - r) * 0.5 * head, y + 0.25 * head
        parts.append(Part(Taper(*at, r * head, *at, r * head), color, bare=True))
    at = muzzle.x1 + 0.55 * blunt, muzzle.y1 + 0.45 * blunt
    parts.append(Part(Taper(*at, 0.5 * blunt, *at, 0.5 * blunt), black, bare=True))
    return parts


def fish(trait: Trait, mood: Trait, coat: Tensor, second: Tensor) -> list[Part]:
    """A fish that looks to the right, farthest parts first; as `beast`."""
    long, high = trait(0.5, 0.8), trait(0.18, 0.5)
    fin = torch.where(trait(0, 1)[:, None] < 0.5, second, coat * 0.75)
    dark, black, white = coat * 0.55, torch.full_like(coat, 0.06), torch.full_like(coat, 0.96)
    zero = torch.zeros_like(long)
    wag = mood(-0.12, 0.12)

    # The tail: two lobes, that are one fan where they meet.
    root, tail = -0.95 * long, trait(0.28, 0.5)
    spread, fork = trait(0.55, 1.1), trait(0.35, 1.0)
    reach = root - tail
    parts = []
    for side in (-1, 1):
        lobe = ((root + 0.12, zero), (reach, wag + side * spread * tail), (root - fork * tail, wag))
        parts.append(Part(Triangle(lobe), fin))

    # Fins on the back and below: from a place on, backwards.
    def crest(side: int, start: Tensor, width: Tensor, height: Tensor, sweep: Tensor) -> Part:
        near, far = start, start - width
        edge = [side * 0.8 * high * (1 - (at / long) ** 2).clamp(0.05).sqrt() for at in (near, far)]
        return Part(Triangle(((near, edge[0]), (far, edge[1]), (far - sweep, side * high + side * height))), fin)

    parts.append(crest(1, trait(0.0, 0.4) * long, trait(0.35, 0.95) * long, trait(0.1, 0.36), trait(-0.25, 0.15)))
    parts.append(crest(-1, trait(-0.25, 0.2) * long, trait(0.2, 0.5) * long, trait(0.06, 0.32), trait(-0.05, 0.15)))

    body = Ellipse(zero, zero, long, high)
    stem = Taper(-0.45 * long, zero, 0.62 * high, root - 0.02, zero, high * trait(0.12, 0.25))
    parts += [Part(stem, coat, True), Part(body, coat, True)]
    # Mouth, gill and the fin at the side.
    lip = trait(-0.3, 0.05) * high
    parts.append(Part(Taper(0.97 * long, lip, zero + 0.025, 0.78 * long, lip - 0.03, zero + 0.015), black, bare=True))
    gill = trait(0.38, 0.5) * long
    for side in (-1, 1):
        cheek = Taper(gill - 0.06, zero, zero + 0.022, gill, side * 0.5 * high, zero + 0.012)
        parts.append(Part(cheek, dark, bare=True))
    flap = trait(0.14, 0.3)
    place = gill - 0.12, -0.15 * high
    swing = mood(-0.3, 0.3)
    side_fin = limb(*place, 0.25 * flap, 1.2 * pi + swing, flap, 0.5 * flap)
    parts.append(Part(side_fin, fin, bare=True))
    eye = trait(0.06, 0.12)
    at = trait(0.6, 0.72) * long, trait(0.1, 0.35) * high
    for color, share in ((white, 1.0), (black, 0.55)):
        parts.append(Part(Taper(*at, share * eye, *at, share * eye), color, bare=True))
    return parts


PLANS = beast, fish  # by label
COATS = torch.tensor([
    [[0.55, 0.36, 0.2], [0.36, 0.24, 0.16], [0.72, 0.55, 0.36], [0.55, 0.53, 0.5], [0.3, 0.3, 0.32],
     [0.88, 0.84, 0.76], [0.85, 0.5, 0.2], [0.9, 0.68, 0.62]],
    [[0.95, 0.5, 0.12], [0.9, 0.25, 0.2], [0.96, 0.82, 0.22], [0.35, 0.62, 0.85], [0.7, 0.75, 0.8],
     [0.3, 0.65, 0.5], [0.62, 0.4, 0.75], [0.85, 0.55, 0.6]],
])  # fmt: skip


def draw_animals(ground: Tensor, traits: Tensor, label: int, generator: torch.Generator) -> Tensor:
    """Animals in front of pictures (n, 3, 48, 48) in [0, 1], as such pictures.

    traits: (n, TRAITS) in [0, 1], those of each one's species. label: 0 for animals of the land, 1 for fish.
    """
    n = len(traits)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(n, *shape, generator=generator)

    own = iter((traits + uniform(-0.07, 0.07, TRAITS)).clamp(0, 1).unbind(1))

    def trait(low: float, high: float) -> Tensor:
        return (low + (high - low) * next(own)).view(n, 1, 1)

    def mood(low: float, high: float) -> Tensor:
        return uniform(low, high, 1, 1)

    # Colors: of two in the palette; a quarter lighter or darker; in a third of the animals red, green and blue trade
    # places, so that color does not give the class away.
    palette = COATS[label]
    mix = [palette[(traits[:, -i] * len(palette)).long().clamp(max=len(palette) - 1)] for i in (1, 2)]
    order = torch.where(uniform(0, 1, 1) < 0.35, ORDERS[torch.randint(6, (n,), generator=generator)], torch.arange(3))
    mix = [(color * uniform(0.75, 1.25, 3)).clamp(0, 1).gather(1, order)[:, :, None, None] for color in mix]
    coat, second = mix
    second = torch.where(traits[:, -3, None, None, None] < 0.5, second, (0.55 * coat + 0.45).clamp(0, 1))
    parts = PLANS[label](trait, mood, coat, second)

    # The frame: the animal's middle and size, turned, bent and perhaps mirrored.
    xs, ys = (torch.cat(some, 1)[:, :, 0] for some in zip(*(c for p in parts for c in p.shape.corners()), strict=True))
    (left, right), (low, top) = (torch.stack([some.amin(1), some.amax(1)]) for some in (xs, ys))
    half = torch.maximum(right - left, top - low).view(n, 1, 1) / 2
    zoom = half / uniform(0.75, 0.98, 1, 1)
    place = (2 * torch.arange(SIDE) + 1) / SIDE - 1
    y, x = torch.meshgrid(-place, place, indexing="ij")
    room = 1 - half / zoom
    x, y = x - uniform(-1, 1, 1, 1) * room, y - uniform(-1, 1, 1, 1) * room
    angle, mirrored = uniform(-0.35, 0.35, 1, 1), uniform(0, 1, 1, 1) < 0.5
    x, y = angle.cos() * x + angle.sin() * y, angle.cos() * y - angle.sin() * x
    x = torch.where(mirrored, -x, x)
    y = y + uniform(-0.12, 0.12, 1, 1) * x * x
    x = zoom * x + (left + right).view(n, 1, 1) / 2
    y = zoom * y + (low + top).view(n, 1, 1) / 2
    pixel = zoom * 2 / SIDE

    def cover(distance: Tensor) -> Tensor:
        return (0.5 - distance / pixel).clamp_(0, 1)[:, None]

    # Pattern: none, stripes, spots, or a light belly.
    kind, wide, tilt = traits[:, -4], 14 + 12 * traits[:, -5], 0.5 * traits[:, -6]
    kind, wide, tilt = (some.view(n, 1, 1) for some in (kind, wide, tilt))
    wave = (wide * (x + tilt * y)).sin()
    spots = wave * (wide * (y - tilt * x)).sin()
    marks = torch.where(kind < 0.55, (4 * wave).clamp(0, 1), (8 * (spots - 0.25)).clamp(0, 1))
    marks = torch.where(kind < 0.8, marks, (0.5 - 9 * (y + 0.06)).clamp(0, 1))
    marks = torch.where(kind < 0.3, torch.zeros(()), marks)[:, None]
    light = (1 + 0.22 * (y - (low + top).view(n, 1, 1) / 2) / half)[:, None]

    distances = [part.shape.distance(x, y) for part in parts]
    outline = torch.stack([d for d, part in zip(distances, parts, strict=True) if not part.bare]).amin(0)
    picture = torch.lerp(ground, 0.25 * coat, cover(outline - 0.75 * pixel))
    patterned = torch.lerp(coat, second, marks) * light
    for part, distance in zip(parts, distances, strict=True):
        color = patterned if part.coat else part.color if part.bare else part.color * light
        picture = torch.lerp(picture, color, cover(distance))
    return picture.clamp_(0, 1)


def draw_places(traits: Tensor, place: int, generator: torch.Generator) -> Tensor:
    """Landscapes without animals, (n, 3, 48, 48) in [0, 1]: place 0 is land, with hills and grass below a sky, and 1
    is water, with waves and light from above. traits: (n, TRAITS) in [0, 1], those of each one's place."""
    n = len(traits)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(n, *shape, generator=generator)

    own = iter(traits.unbind(1))

    def trait(low: float, high: float) -> Tensor:
        return (low + (high - low) * next(own)).view(n, 1, 1)

    def color(low: Sequence[float], high: Sequence[float]) -> Tensor:
        return torch.stack([trait(*bounds) for bounds in zip(low, high, strict=True)], 1)

    def noise(size: int, strength: Tensor) -> Tensor:
        coarse = torch.randn(n, 1, size, size, generator=generator)
        return strength[:, None] * F.interpolate(coarse, size=SIDE, mode="bicubic", align_corners=True)

    line = (2 * torch.arange(SIDE) + 1) / SIDE - 1
    y, x = torch.meshgrid(-line, line, indexing="ij")
    shift = uniform(0, 2 * pi, 1, 1)
    if place == 0:
        sky = color((0.6, 0.72, 0.75), (0.95, 0.9, 1.0)) - 0.08 * y
        picture = sky.expand(n, 3, SIDE, SIDE)
        near, far = color((0.25, 0.4, 0.08), (0.7, 0.68, 0.3)), color((0.3, 0.42, 0.2), (0.62, 0.62, 0.42))
        for depth, hue in ((trait(0.3, 0.75), far), (trait(-0.2, 0.4), near)):
            ridge = depth + trait(0.03, 0.16) * (trait(1.5, 5.0) * x + shift).sin() + 0.05 * (7 * x + 2 * shift).sin()
            cover = ((ridge - y) * SIDE / 2 + 0.5).clamp(0, 1)[:, None]
            grass = noise(SIDE // 2, trait(0.01, 0.04)) * (y < depth)[:, None]
            picture = torch.lerp(picture, hue * (1 + 0.2 * y) + grass, cover)
            shift = shift + 2
        return (picture + noise(6, trait(0.02, 0.06))).clamp_(0, 1)
    deep, shallow = color((0.02, 0.15, 0.35), (0.2, 0.42, 0.65)), color((0.15, 0.45, 0.6), (0.5, 0.75, 0.95))
    picture = torch.lerp(deep, shallow, ((y + 1) / 2 + trait(-0.2, 0.2))[:, None].clamp(0, 1))
    rows = trait(7, 22) * (y + trait(0.02, 0.08) * (trait(3, 9) * x + shift).sin()) + 3 * shift
    waves = (rows.sin() + noise(8, torch.full((n, 1, 1), 0.7))[:, 0]).clamp(0) ** 2
    picture = picture + trait(0.04, 0.16)[:, None] * waves[:, None]
    return (picture + noise(12, trait(0.01, 0.04))).clamp_(0, 1)
