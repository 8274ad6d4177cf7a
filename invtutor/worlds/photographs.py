"""Folders of photographs with groups, in the two layouts in which they are published.

Waterbirds (Sagawa et al. 2020, arXiv 1911.08731): birds of land and of water, cut out and pasted on land or on water;
in training 95 % stand where they belong, in validation and test half of each kind. CelebA (Liu et al. 2015, arXiv
1411.7766): blond hair or not, of women and of men; of the blond few are men. What is asked for is the accuracy in the
worst of the four groups of label × place, or label × sex, whose numbers are those of the authors' code.

Photographs are read when they are needed, once in a process, and stay in memory as bytes.

Differences from the authors' code: 1. the largest square in a photograph's middle is scaled to `size`; theirs scales
Waterbirds to 256 × 256 whatever its shape, and cuts the middle out; 2. nothing is augmented; 3. no network comes with
weights learned on ImageNet: `features` names a file of them, and then a frozen network stands before the one that is
trained.
"""

import csv
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from invtutor.fields import within
from invtutor.worlds.frozen import Frozen
from invtutor.worlds.grouped import TEST, TRAIN, Grouped, Pictures
from invtutor.worlds.missing import DataError
from invtutor.worlds.mnist import data_folder

__all__ = ["Album", "CelebA", "Waterbirds"]

Row = tuple[str, str, int, int, int]  # where it stands, and what it says: a file's name, label, attribute, split


@dataclass(frozen=True, eq=False)
class Album:
    """Photographs by their numbers, read when asked for. All callers of a process share it.

    files: with the row that names each, for messages. labels, attributes, splits: (n,) int64.
    """

    source: str
    where: tuple[str, str, str]
    folder: Path
    files: list[tuple[str, Path]]
    labels: Tensor
    attributes: Tensor
    splits: Tensor
    size: int
    kept: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What no other photographs have: their files, the length of each and when it was written, and their size."""
        found = (path.stat() for _, path in self.files)
        told = [(str(path), s.st_size, s.st_mtime_ns) for (_, path), s in zip(self.files, found, strict=True)]
        return f"{self.size} {told}"

    def __str__(self) -> str:
        return f"{len(self.files):,} photographs in {self.folder}, at {self.size} × {self.size} pixels"

    def inputs(self, numbers: Tensor) -> Tensor:
        """(n, 3, size, size) uint8. Raises `DataError`, naming file and row, where one cannot be read."""
        missing = [number for number in numbers.tolist() if number not in self.kept]
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as readers:
            found = readers.map(lambda number: self._read(*self.files[number]), missing)
            for number, image in zip(missing, tqdm(found, "photographs", len(missing), leave=False), strict=True):
                self.kept[number] = image
        return torch.from_numpy(np.stack([self.kept[number] for number in numbers.tolist()]))

    def _read(self, place: str, path: Path) -> np.ndarray:
        from PIL import Image, ImageOps

        try:
            with Image.open(path, formats=("JPEG", "PNG")) as photograph:
                photograph.draft("RGB", (2 * self.size, 2 * self.size))  # JPEG is decoded at about the size
                square = ImageOps.fit(photograph.convert("RGB"), (self.size, self.size), Image.Resampling.BILINEAR)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise DataError(self.source, f"{place}: {path} is damaged ({error})", *self.where) from None
        return np.asarray(square).transpose(2, 0, 1)


@dataclass(frozen=True)
class Photographs(Grouped):
    """What is drawn of an album. Inputs are (n, 3, size, size) uint8 or, with `features`, (n, features) float32."""

    folder: str = ""
    """The folder below `$INVTUTOR_DATA`, or its full path; empty for its published name."""
    size: int = within(64, 8, 224)
    """Side of the photographs, in pixels."""
    features: str = ""
    """A file below `$INVTUTOR_DATA`, or its full path, with the weights of torchvision's ResNet-18, -34 or -50 in the
    safetensors form: inputs are what it makes of the photographs, made once and kept. Empty for the photographs."""

    published: ClassVar[str]
    """The folder's name as it is published."""
    where: ClassVar[tuple[str, str, str]]
    """Where it is to be had, on which terms, and how large it is."""
    budgets = MappingProxyType({"smoke": {"samples": 400, "test_samples": 200, "size": 32}})

    def load(self) -> Pictures:
        """The album in the folder, of which no photograph has been read. Raises `DataError`."""
        album = self.open(data_folder() / (self.folder or self.published), self.size)
        return Frozen(album, data_folder() / self.features) if self.features else album

    @classmethod
    @cache
    def open(cls, folder: Path, size: int) -> Album:
        """The album in a folder, opened once in a process. Raises `DataError`, naming file and row."""
        try:
            if not folder.is_dir():
                raise ValueError(f"there is no folder {folder}")
            rows, seen = list(cls.rows(folder)), dict[str, str]()
            for place, name, *_ in rows:
                path = PurePosixPath(name)
                if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or not path.parts:
                    raise ValueError(f"{place} should name a file in its folder. Found {name!r}")
                if name in seen:
                    raise ValueError(f"{place} names {name}, as {seen[name]} does")
                if not (folder / name).is_file():
                    raise ValueError(f"{place}: {folder / name} is missing")
                seen[name] = place
            for split, word in ((TRAIN, "training"), (TEST, "test")):
                groups = {row[2:4] for row in rows if row[4] == split}
                for label, attribute in product((0, 1), repeat=2):
                    if (label, attribute) not in groups:
                        group = f"label {label} and {cls.attribute[0]} {attribute}"
                        raise ValueError(f"{folder} has no photographs for {word} of {group}")
        except (OSError, ValueError, csv.Error) as error:
            raise DataError(cls.label, error, *cls.where) from None
        files = [(place, folder / name) for place, name, *_ in rows]
        labels, attributes, splits = torch.tensor([row[2:] for row in rows]).unbind(1)
        return Album(cls.label, cls.where, folder, files, labels, attributes, splits, size)

    @staticmethod
    def rows(folder: Path) -> Iterator[Row]:
        """What the tables of a folder say. Raises ValueError, naming file and row, and OSError."""
        raise NotImplementedError


def _one_of(place: str, name: str, found: str | None, known: str) -> int:
    """Which of the words it is, counted from 0."""
    if found is None or found.strip() not in known.split():
        raise ValueError(f"{place}: {name} should be one of {', '.join(known.split())}. Found {found!r}")
    return known.split().index(found.strip())


@dataclass(frozen=True)
class Waterbirds(Photographs):
    """Birds of land (0) or water (1), on land (0) or water (1): a `metadata.csv` with the columns img_filename, y,
    place and split, beside the folders that it names. Any folder in this layout will do."""

    label = "Waterbirds"
    published = "waterbird_complete95_forest2water2"
    where = "https://github.com/kohpangwei/group_DRO", "its photographs are for non-commercial use", "about 0.5 GB"
    attribute = "place", "land", "water"

    @staticmethod
    def rows(folder: Path) -> Iterator[Row]:
        """The rows of metadata.csv."""
        with open(folder / "metadata.csv", encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            for name in ("img_filename", "y", "split", "place"):
                if name not in (reader.fieldnames or ()):
                    raise ValueError(f"{folder / 'metadata.csv'} should have a column {name}")
            for row in reader:
                place = f"row {reader.line_num} of {folder / 'metadata.csv'}"
                values = [_one_of(place, n, row[n], words) for n, words in (("y", "0 1"), ("place", "0 1"))]
                yield (
                    place,
                    row["img_filename"] or "",
                    values[0],
                    values[1],
                    _one_of(place, "split", row["split"], "0 1 2"),
                )


@dataclass(frozen=True)
class CelebA(Photographs):
    """Blond hair (1) or not (0), of women (0) and men (1): list_attr_celeba.txt, list_eval_partition.txt and the folder
    img_align_celeba, as torchvision keeps them."""

    label = "CelebA"
    published = "celeba"
    where = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html", "for non-commercial research", "1.4 GB"
    attribute = "male", "women", "men"

    @staticmethod
    def conflict(data: Pictures) -> Tensor:
        """Blond men, and women who are not blond."""
        return 1 - (data.labels ^ data.attributes)

    @staticmethod
    def rows(folder: Path) -> Iterator[Row]:
        """The rows of list_attr_celeba.txt, with the splits of list_eval_partition.txt."""
        splits = {}
        listed = folder / "list_eval_partition.txt"
        for number, line in enumerate(listed.read_text(encoding="utf-8").splitlines(), start=1):
            name, _, split = line.strip().partition(" ")
            splits[name] = _one_of(f"row {number} of {listed}", "the split", split, "0 1 2")
        listed = folder / "list_attr_celeba.txt"
        count, names, *lines = listed.read_text(encoding="utf-8").splitlines() or ["", ""]
        columns = names.split()
        for name in ("Blond_Hair", "Male"):
            if name not in columns:
                raise ValueError(f"{listed} should have a column {name} in its second row")
        if count.strip() != str(len(lines)):
            raise ValueError(f"{listed} should have as many rows as it says. Found {len(lines)} and {count!r}")
        for number, line in enumerate(lines, start=3):
            place, (name, *values) = f"row {number} of {listed}", line.split() or [""]
            if len(values) != len(columns):
                raise ValueError(f"{place} should have {len(columns)} values. Found {len(values)}")
            if name not in splits:
                raise ValueError(f"{place}: {name} has no split in list_eval_partition.txt")
            blond, male = (_one_of(place, n, values[columns.index(n)], "-1 1") for n in ("Blond_Hair", "Male"))
            yield place, f"img_align_celeba/{name}", blond, male, splits[name]
