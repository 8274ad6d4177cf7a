"""Digit images: MNIST, or a stand-in drawn from the typefaces matplotlib ships."""

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from invtutor.worlds import mnist
from invtutor.worlds.kept import kept
from invtutor.worlds.mnist import DigitsError
from invtutor.worlds.typefaces import draw_digits

__all__ = ["SOURCES", "Digits", "DigitsError", "Source", "load_digits"]

Source = Literal["auto", "mnist", "rendered"]
SOURCES = get_args(Source)
RENDERED_FILE = "rendered-3.npz"  # the number goes up whenever the drawing changes, so that old files are not read
PARTS = "images", "labels", "test_images", "test_labels"
TRAIN, TEST, SIDE = 60_000, 10_000, 28  # digits in each file; pixels of an image's side


@dataclass(frozen=True, eq=False)
class Digits:
    """Digit images and their labels. All callers of a process share the tensors: never write to them."""

    source: str  # "mnist" | "rendered"
    images: Tensor  # (60000, 28, 28) uint8, the training file
    labels: Tensor  # (60000,) int64
    test_images: Tensor  # (10000, 28, 28) uint8, the official test file
    test_labels: Tensor  # (10000,) int64
    why: str = ""  # why these and not MNIST, where that was looked for

    def __str__(self) -> str:
        sizes = f"{len(self.labels):,} + {len(self.test_labels):,}"
        if self.source == "mnist":
            return f"real MNIST ({sizes} digits)"
        return f"rendered stand-in digits ({sizes}), not MNIST{self.why and ': '}{self.why}"


def load_digits(source: str = "auto", *, quiet: bool = False) -> Digits:
    """The digits of `source`: "mnist", "rendered", or "auto" for MNIST where it can be had and else rendered.

    MNIST is looked for in `$INVTUTOR_DATA`, else in the user's cache folder, packed or not, and is downloaded where
    files are missing or damaged. One line says which digits "auto" took and why, and which files were downloaded,
    unless `quiet`.
    Raises `ValueError` for an unknown source and `DigitsError` where the digits cannot be had.
    """
    if source not in SOURCES:
        raise ValueError(f"Parameter `source` should be one of {', '.join(map(repr, SOURCES))}. Found {source!r}.")
    note = ""
    try:
        digits, note = _mnist(mnist.data_folder()) if source != "rendered" else (_rendered(), "")
    except DigitsError as error:
        if source == "mnist":
            raise
        digits = _rendered(error.why)
    if not quiet and (source == "auto" or note):
        print(f"Digits: {digits}{note and '. '}{note}")
    return digits


@functools.cache
def _mnist(root: Path) -> tuple[Digits, str]:
    """MNIST as it is found from `root` on, and a note of what had to be downloaded."""
    contents, note = mnist.load()
    # A file is a header, then a byte for each pixel or label. The tensors keep the memory that was read.
    flat = [torch.frombuffer(contents[name], dtype=torch.uint8) for name in mnist.FILES]
    images, labels, test_images, test_labels = flat
    return Digits(
        "mnist",
        images[16:].view(-1, SIDE, SIDE),
        labels[8:].long(),
        test_images[16:].view(-1, SIDE, SIDE),
        test_labels[8:].long(),
    ), note


@functools.cache
def _rendered(why: str = "") -> Digits:
    """The stand-in, drawn where it is not kept, with the reason for it."""
    if why:
        return replace(_rendered(), why=why)

    def draw() -> tuple[Tensor, ...]:
        return *draw_digits(TRAIN), *draw_digits(TEST, test=True)

    images, labels, test_images, test_labels = kept(RENDERED_FILE, PARTS, draw, _are_digits)
    return Digits("rendered", images, labels, test_images, test_labels)


def _are_digits(images: Tensor, labels: Tensor, test_images: Tensor, test_labels: Tensor) -> bool:
    """Whether these are as many digits as MNIST has, of its shapes and types, and each of the ten occurs."""
    return all(
        (some.shape, some.dtype) == ((count, SIDE, SIDE), torch.uint8)
        and (names.shape, names.dtype) == ((count,), torch.int64)
        and names.unique().tolist() == list(range(10))
        for some, names, count in ((images, labels, TRAIN), (test_images, test_labels, TEST))
    )
