"""Land animals and fish, on land and in water: pictures drawn by the course itself, for experiments with groups.

In training 95 % are where they belong. In validation and test half of each kind are, and the test has other species and
other places: whoever has learned what a landscape looks like finds fish on a meadow and dogs at sea.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor
from tqdm import tqdm

from invtutor.worlds.drawing import SIDE, TRAITS, draw_animals, draw_places
from invtutor.worlds.grouped import TEST, TRAIN, VALIDATION, Grouped
from invtutor.worlds.kept import kept
from invtutor.worlds.world import SMALL_RESIDUAL

__all__ = ["Animals", "Menagerie", "draw_menagerie"]

FILE = "animals-2.npz"  # the number goes up whenever the drawing changes, so that old files are not read
PARTS = "images", "labels", "places", "species", "splits"
COUNTS = {TRAIN: 9000, VALIDATION: 1000, TEST: 2000}  # pictures
RARE = 20  # one picture in so many conflicts, in training
SPECIES, HELD_OUT = 400, 100  # of each kind, and places of each; how many of them are kept for the test
BATCH = 50


@dataclass(frozen=True, eq=False)
class Menagerie:
    """All pictures. All callers of a process share the tensors: never write to them.

    images: (n, 3, 48, 48) uint8. labels: 0 for animals of the land, 1 for fish; attributes: 0 on land, 1 in water;
    species, splits: (n,) int64.
    """

    images: Tensor
    labels: Tensor
    attributes: Tensor
    species: Tensor
    splits: Tensor
    source: ClassVar[str] = "drawn"

    def __str__(self) -> str:
        return f"{len(self.labels):,} drawn animals of {2 * SPECIES} species"

    def inputs(self, numbers: Tensor) -> Tensor:
        """(n, 3, 48, 48) uint8."""
        return self.images[numbers]


def draw_menagerie(counts: Mapping[int, int] = COUNTS, seed: int = 0) -> tuple[Tensor, ...]:
    """Images, labels, places, species and splits, as in `Menagerie`. counts: of pictures, by split."""
    generator = torch.Generator().manual_seed(seed)
    traits = torch.rand(2, 2, SPECIES, TRAITS, generator=generator)  # of species by label, and of places by place
    splits = torch.tensor([split for split, count in counts.items() for _ in range(count)])
    number = torch.cat([torch.arange(count) for count in counts.values()])
    labels, turn = number % 2, number // 2
    conflict = torch.where(splits == TRAIN, turn % RARE == 0, turn % 2 == 0).long()
    places = labels ^ conflict
    known = SPECIES - HELD_OUT
    species, where = torch.where(
        splits == TEST,
        torch.randint(known, SPECIES, (2, len(splits)), generator=generator),
        torch.randint(known, (2, len(splits)), generator=generator),
    )
    images = torch.empty(len(splits), 3, SIDE, SIDE, dtype=torch.uint8)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as for digits: cores that are shared would wait for one another
    try:
        for group in tqdm(range(4), "drawing animals", leave=False):
            label, place = divmod(group, 2)
            for some in (2 * labels + places == group).nonzero()[:, 0].split(BATCH):
                ground = draw_places(traits[1, place, where[some]], place, generator)
                picture = draw_animals(ground, traits[0, label, species[some]], label, generator)
                images[some] = (picture * 255).round().to(torch.uint8)
    finally:
        torch.set_num_threads(threads)
    return images, labels, places, 2 * species + labels, splits


def _are_animals(images: Tensor, *others: Tensor) -> bool:
    """Whether these are as many pictures as there should be, of their shape and type, in all groups and splits."""
    count = sum(COUNTS.values())
    labels, places, species, splits = others
    return (
        (images.shape, images.dtype) == ((count, 3, SIDE, SIDE), torch.uint8)
        and all((some.shape, some.dtype) == ((count,), torch.int64) for some in others)
        and (2 * labels + places).unique().tolist() == list(range(4))
        and bool(((species >= 0) & (species < 2 * SPECIES)).all())
        and splits.bincount().tolist() == [*COUNTS.values()]
    )


@cache
def _menagerie() -> Menagerie:
    """The pictures, drawn where they are not kept."""
    return Menagerie(*kept(FILE, PARTS, draw_menagerie, _are_animals))


@dataclass(frozen=True)
class Animals(Grouped):
    """Drawn animals of the land (0) and fish (1), on land (0) or in water (1). Inputs are (n, 3, 48, 48) uint8."""

    label = "animals"
    attribute = "place", "land", "water"
    budgets = MappingProxyType(
        {
            "smoke": {**SMALL_RESIDUAL, "samples": 400, "test_samples": 200, "batch_size": 16, "steps": 10},
            "quick": {**SMALL_RESIDUAL, "samples": 6000, "test_samples": 1000, "batch_size": 24, "steps": 160},
        }
    )

    def load(self) -> Menagerie:
        """The pictures, the same in every process."""
        return _menagerie()
