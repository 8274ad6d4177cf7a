"""Tiny data sets in exactly the layouts in which the real ones are published."""

import csv
import io
import random
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from invtutor.worlds.coinrun import FILE, Recorded, write

COLUMNS = ("img_id", "img_filename", "y", "split", "place", "place_filename")
COUNTS = {0: (18, 3, 3, 18), 1: (3, 3, 3, 3), 2: (5, 5, 5, 5)}  # of each split: those of groups 0 … 3
ATTRIBUTES = ("5_o_Clock_Shadow", "Bald", "Blond_Hair", "Male", "Young")


Pictures = dict[str, list[tuple[int, np.ndarray]]]  # by file: a class, and 3,072 bytes


# CIFAR-10


def cifar_pictures() -> Pictures:
    """The six files of a small CIFAR-10 of 30 pictures each, of classes 1, 9, 0 in turn."""
    generator = np.random.default_rng(0)
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    return {
        name: [((1, 9, 0)[i % 3], generator.integers(0, 256, 3072, dtype=np.uint8)) for i in range(30)]
        for name in names
    }


def cifar_archive(records: Pictures) -> bytes:
    """The binary archive."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, rows in {**records, "readme": []}.items():
            content = b"".join(bytes([label]) + pixels.tobytes() for label, pixels in rows)
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


# Photographs


def photograph(path: Path, label: int, place: int, size: tuple[int, int] = (40, 30)) -> None:
    """A green or a blue ground with a red or a yellow thing in the middle."""
    picture = Image.new("RGB", size, ("green", "blue")[place])
    x, y = size[0] // 2, size[1] // 2
    ImageDraw.Draw(picture).ellipse((x - 9, y - 9, x + 9, y + 9), fill=("red", "yellow")[label])
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, quality=95)


def samples() -> list[tuple[int, int, int]]:
    """(label, place, split) of each photograph, in no order."""
    rows = [
        (group // 2, group % 2, split)
        for split, counts in COUNTS.items()
        for group, count in enumerate(counts)
        for _ in range(count)
    ]
    random.Random(0).shuffle(rows)
    return rows


def write_rows(folder: Path, rows: list[dict[str, object]]) -> None:
    with open(folder / "metadata.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def waterbirds(root: Path) -> list[dict[str, object]]:
    """A folder as the authors' archive holds it; its rows."""
    folder, rows = root / "waterbird_complete95_forest2water2", []
    for number, (label, place, split) in enumerate(samples()):
        name = f"{number % 7 + 1:03}.Some_Bird_{number % 7}/Some_Bird_{number:04}.jpg"
        photograph(folder / name, label, place)
        values = (number, name, label, split, place, f"/forest/{number}.jpg")
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    write_rows(folder, rows)
    return rows


def celeba(root: Path) -> None:
    """A folder as torchvision keeps it."""
    folder, attributes, partition = root / "celeba", [], []
    for number, (blond, male, split) in enumerate(samples(), start=1):
        name = f"{number:06}.jpg"
        photograph(folder / "img_align_celeba" / name, blond, male, (44, 54))
        values = [-1, 1, 2 * blond - 1, 2 * male - 1, 1]
        attributes.append(f"{name} " + " ".join(f"{value:2}" for value in values))
        partition.append(f"{name} {split}")
    (folder / "list_eval_partition.txt").write_text("\n".join(partition) + "\n")
    (folder / "list_attr_celeba.txt").write_text(
        "\n".join([str(len(attributes)), " ".join(ATTRIBUTES) + " ", *attributes]) + "\n"
    )


# CoinRun


def states(levels: int = 5) -> Recorded:
    """Random frames of so many levels, four of each, and what an expert does there; level 7 was not won."""
    generator, count = np.random.default_rng(0), 4 * levels
    return Recorded(
        generator.integers(0, 256, (count, 3, 12, 12), dtype=np.uint8),
        generator.dirichlet((1, 1, 1), count).astype(np.float32),
        np.repeat(np.arange(levels), 4),
        np.array([7]),
        "by a test",
    )


def coinrun(root: Path) -> None:
    """A file as `invtutor coinrun` writes it."""
    write(root / FILE, states())
