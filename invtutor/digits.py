"""Digit images: MNIST read through torchvision, or a stand-in drawn from the typefaces matplotlib ships.

MNIST: LeCun, Bottou, Bengio, Haffner, Gradient-based learning applied to document recognition, 1998.
"""

import errno
import functools
import gzip
import hashlib
import io
import os
import time
import urllib.request
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
import torch
from platformdirs import user_cache_path
from torch import Tensor
from tqdm import tqdm

from invtutor.files import own_folder, write_atomically
from invtutor.typefaces import draw_digits

__all__ = ["SOURCES", "Digits", "DigitsError", "load_digits"]

SOURCES = ("auto", "mnist", "rendered")
FILES = {  # name of each raw file: its size in bytes, its sha256
    "train-images-idx3-ubyte": (47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    "train-labels-idx1-ubyte": (60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    "t10k-images-idx3-ubyte": (7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    "t10k-labels-idx1-ubyte": (10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
}
CONNECT_SECONDS = 10.0  # the longest wait for one answer of a server
DOWNLOAD_SECONDS = 120.0  # the longest wait for all four files
RENDERED_FILE = "rendered-2.npz"  # the number goes up whenever the drawing changes, so that old files are not read
TRAIN, TEST, SIDE = 60_000, 10_000, 28  # digits in each file; pixels of an image's side

_failed_downloads: dict[Path, str] = {}  # a process that could not download does not try again


class DigitsError(RuntimeError):
    """The digits asked for cannot be had on this machine; the message says why."""


@dataclass(frozen=True, eq=False)
class Digits:
    """Digit images and their labels. All callers of a process share the tensors: never write to them."""

    source: str  # "mnist" | "rendered"
    images: Tensor  # (60000, 28, 28) uint8, the training file
    labels: Tensor  # (60000,) int64
    test_images: Tensor  # (10000, 28, 28) uint8, the official test file
    test_labels: Tensor  # (10000,) int64

    def __str__(self) -> str:
        sizes = f"{len(self.labels):,} + {len(self.test_labels):,}"
        if self.source == "mnist":
            return f"real MNIST ({sizes} digits)"
        return f"rendered stand-in digits ({sizes}), not MNIST"


def load_digits(source: str = "auto", *, quiet: bool = False) -> Digits:
    """The digits of `source`: "mnist", "rendered", or "auto" for MNIST where it can be had and else rendered.

    MNIST is looked for in `$INVTUTOR_DATA`, else in the user's cache folder, and is downloaded there where files are
    missing or damaged. One line says which digits "auto" took and why, and which files were downloaded, unless `quiet`.
    Raises `ValueError` for an unknown source and `DigitsError` where the digits cannot be had.
    """
    if source not in SOURCES:
        raise ValueError(f"Parameter `source` should be one of {', '.join(map(repr, SOURCES))}. Found {source!r}.")
    digits, note = None, ""
    if source != "rendered":
        try:
            digits, note = _mnist(Path(os.environ.get("INVTUTOR_DATA") or cache_folder()).expanduser())
        except DigitsError as error:
            if source == "mnist":
                raise
            note = str(error)
    digits = digits or _rendered()
    if not quiet and (source == "auto" or note):
        print(f"Digits: {digits}{note and '. '}{note}")
    return digits


def cache_folder() -> Path:
    """The folder of the user's cache that holds downloaded and drawn digits."""
    return user_cache_path("invtutor", appauthor=False)


@functools.cache
def _mnist(root: Path) -> tuple[Digits, str]:
    """MNIST from `root`/MNIST/raw, its files verified first, and a note of the files that had to be downloaded."""
    raw, note = root / "MNIST" / "raw", ""
    if faults := _faults(raw):
        reader = _torchvision()
        _download(raw, list(faults), reader.mirrors, dict(reader.resources))
        note = f"Downloaded what was not whole: {_listed(faults)}."
        if faults := _faults(raw):
            raise DigitsError(
                f"MNIST in {raw} is not whole: {_listed(faults)}. The download failed"
                f" ({_failed_downloads.get(raw, 'what came is damaged, too')}); it is tried once in a process."
            )

    def read() -> Digits:
        reader = _torchvision()
        train, test = reader(str(root), train=True), reader(str(root), train=False)
        return Digits("mnist", train.data, train.targets.long(), test.data, test.targets.long())

    # Kept by the checksums of what was read: the import of torchvision takes a second and up to 170 MB in each kernel.
    version = hashlib.sha256("".join(checksum for _, checksum in FILES.values()).encode()).hexdigest()[:8]
    return _kept(f"mnist-{version}.npz", read), note


def _torchvision() -> Any:
    """torchvision's class that reads MNIST, and knows where to get it."""
    try:
        from torchvision.datasets import MNIST
    except Exception as error:  # a torchvision that does not match torch raises more than ImportError
        cause = _line(f"{type(error).__name__}: {error}")
        raise DigitsError(f"MNIST is read through torchvision, whose import fails ({cause}).") from error
    return MNIST


def _faults(raw: Path) -> dict[str, str]:
    """What is wrong with each of the four files; empty where all are whole."""
    faults = {}
    for name, (size, checksum) in FILES.items():
        try:
            content = (raw / name).read_bytes()
        except FileNotFoundError:
            faults[name] = "missing"
        except OSError as error:
            faults[name] = _line(error)
        else:
            if len(content) != size:
                faults[name] = f"damaged, {len(content):,} of {size:,} bytes"
            elif hashlib.sha256(content).hexdigest() != checksum:
                faults[name] = "damaged, wrong checksum"
    return faults


def _download(raw: Path, names: list[str], mirrors: list[str], checksums: dict[str, str]) -> None:
    """Fetch the files `names` into `raw`, each put in place whole; what goes wrong is kept in `_failed_downloads`."""
    if raw in _failed_downloads:
        return
    deadline = time.monotonic() + DOWNLOAD_SECONDS
    name = names[0]
    try:
        _check_writable(raw)
        for name in names:
            content = _fetch(f"{name}.gz", mirrors, checksums[f"{name}.gz"], deadline)
            raw.mkdir(parents=True, exist_ok=True)  # not before there is something to keep: the path may be a mistake
            write_atomically(raw / name, content)
    except OSError as error:
        _failed_downloads[raw] = f"{name}: {_line(error)}"


def _check_writable(folder: Path) -> None:
    """Raise OSError where a folder cannot be made or written, and make nothing."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(there))


def _fetch(name: str, mirrors: list[str], checksum: str, deadline: float) -> bytes:
    """The unpacked content of the gzip file `name`, from the first mirror that gives it with its md5 `checksum`."""
    failures = []
    for mirror in mirrors:
        try:
            packed = _read(mirror + name, name, deadline)
            if hashlib.md5(packed, usedforsecurity=False).hexdigest() != checksum:
                raise OSError("wrong checksum")
            return gzip.decompress(packed)
        except (OSError, EOFError, HTTPException, zlib.error) as error:
            failures.append(_line(error))
    raise OSError("; ".join(dict.fromkeys(failures)))  # one reason, such as no network, is often every mirror's


def _read(url: str, name: str, deadline: float) -> bytes:
    """What `url` answers, with a progress bar. Raises `TimeoutError` at the `deadline` of the monotonic clock."""

    def left() -> float:
        if (seconds := deadline - time.monotonic()) <= 0:
            raise TimeoutError(f"took over {DOWNLOAD_SECONDS:g} s in all")
        return seconds

    request = urllib.request.Request(url, headers={"User-Agent": "invtutor"})
    content = io.BytesIO()
    with urllib.request.urlopen(request, timeout=min(CONNECT_SECONDS, left())) as answer:
        length = int(answer.headers.get("Content-Length") or 0)
        with tqdm(total=length or None, desc=name, unit="B", unit_scale=True) as bar:
            while part := answer.read1(1 << 16):  # read1: what has come, so that a trickle meets the deadline, too
                content.write(part)
                bar.update(len(part))
                left()
    return content.getvalue()


def _listed(faults: dict[str, str]) -> str:
    """One line that names the files; a folder without any is no damage and needs fewer words."""
    if list(faults.values()) == ["missing"] * len(FILES):
        return "all four files are missing"
    return ", ".join(f"{name} ({fault})" for name, fault in faults.items())


def _line(text: object) -> str:
    return " ".join(str(text).split())


@functools.cache
def _rendered() -> Digits:
    """The stand-in, drawn where it is not kept."""

    def draw() -> Digits:
        images, labels = draw_digits(TRAIN + TEST)
        return Digits("rendered", images[:TRAIN], labels[:TRAIN], images[TRAIN:], labels[TRAIN:])

    return _kept(RENDERED_FILE, draw)


def _kept(name: str, make: Callable[[], Digits]) -> Digits:
    """The digits in the file `name` of the cache; where it is missing or damaged, they are made and kept there."""
    path = cache_folder() / name
    parts = ("images", "labels", "test_images", "test_labels")
    try:
        with np.load(path, allow_pickle=False) as file:
            return Digits(name.partition("-")[0], *(torch.from_numpy(file[part]) for part in parts))
    except Exception:  # whatever is wrong with the file, a new one mends it
        digits = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with own_folder(path.parent) as scratch:
            np.savez(scratch / name, **{part: getattr(digits, part).numpy() for part in parts})
            os.replace(scratch / name, path)
    except OSError:
        pass  # nothing is lost but the seconds of the next time
    return digits
