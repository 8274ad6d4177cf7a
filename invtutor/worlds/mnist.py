"""MNIST's four files: found, verified by their checksums, and downloaded where they are missing.

LeCun, Bottou, Bengio, Haffner, Gradient-based learning applied to document recognition, 1998. This room does without
torch, whose import takes seconds, so that a command can say at once which digits its lessons will have.
"""

import functools
import gzip
import hashlib
import io
import os
import tempfile
import time
import urllib.request
import zlib
from collections.abc import Iterable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO

from platformdirs import user_cache_path
from tqdm import tqdm

from invtutor.files import check_writable, clear, write_atomically

__all__ = ["FILES", "DigitsError", "announce", "cache_folder", "data_folder", "ensure", "load", "look", "raw_folder"]

FILES = {  # name of each raw file: its size in bytes, its sha256
    "train-images-idx3-ubyte": (47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    "train-labels-idx1-ubyte": (60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    "t10k-images-idx3-ubyte": (7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    "t10k-labels-idx1-ubyte": (10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
}
MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")  # torchvision's
GZIP = b"\x1f\x8b"  # how a packed file begins, whatever its name; a raw one begins with zeros
CONNECT_SECONDS = 10.0  # the longest wait for one answer of a server
DOWNLOAD_SECONDS = 120.0  # the longest wait for all four files

Contents = dict[str, bytearray]
Faults = dict[str, tuple[str, str]]  # name of a file: as it is spelled on the disk, what is wrong with it

_failed_downloads: dict[Path, str] = {}  # a process that could not download does not try again


class DigitsError(RuntimeError):
    """MNIST cannot be had on this machine; `why` tells the reason."""

    def __init__(self, why: str):
        super().__init__(f"MNIST cannot be had: {why}.")
        self.why = why


def cache_folder() -> Path:
    """The folder of the user's cache that holds downloaded and drawn digits; of somebody who has no home, in the
    temporary folder."""
    found = user_cache_path("invtutor", appauthor=False)
    return found if found.is_absolute() else Path(tempfile.gettempdir(), "invtutor-cache")


def data_folder() -> Path:
    """Where MNIST is looked for first: `$INVTUTOR_DATA` as an absolute path, else the user's cache."""
    named = os.environ.get("INVTUTOR_DATA")
    return Path(os.path.abspath(os.path.expanduser(named))) if named else cache_folder()


def load() -> tuple[Contents, str]:
    """The content of each of the four files, and a note of what had to be downloaded or lay elsewhere.

    The folder that the user named is read first, then the cache. A missing file is downloaded into that folder; where
    something else lies under its name, which may be the user's own, into the cache. Raises `DigitsError`.
    """
    raw, contents, elsewhere, faults = _gather()
    clear(raw)
    fetched: Contents = {}
    if faults:
        wanted, own = f"{_listed(faults)} in {raw}", cache_folder() / "MNIST" / "raw"
        target = raw if {fault for _, fault in faults.values()} == {"missing"} else own
        _download(target, list(faults))
        fetched, left = _read(target, faults)
        if left:
            cause = _failed_downloads.get(target, "what came is damaged, too")
            raise DigitsError(f"{wanted}, and the download, tried once in a process, failed ({cause})")
    notes = [f"Downloaded what was not whole: {_listed(faults)}."] if fetched else []
    notes += [f"Not in {raw}, but in the cache: {', '.join(elsewhere)}."] if elsewhere else []
    return contents | elsewhere | fetched, " ".join(notes)


def look() -> str:
    """What is wrong with the files where MNIST is looked for; empty where all are whole. Changes nothing."""
    raw, _, _, faults = _gather()
    return f"{_listed(faults)} in {raw}" if faults else ""


def ensure() -> str:
    """Download what is missing. Returns why MNIST cannot be had, empty where it can."""
    try:
        load()
    except DigitsError as error:
        return error.why
    return ""


def announce(source: str) -> None:
    """Say on the terminal, once in a process, that MNIST cannot be had and why, so that `auto` means the stand-in.
    Raises `DigitsError` where the source is mnist itself."""
    if source not in ("auto", "mnist") or not (why := ensure()):
        return
    if source == "mnist":
        raise DigitsError(why)
    _say(f"Digits: a rendered stand-in, not MNIST: {why}.")


@functools.cache
def _say(line: str) -> None:
    print(line, flush=True)


# ------------------------------------------------------------------------------------------------- reading


def raw_folder(root: Path) -> Path:
    """The folder of the files below `root`, which may be that folder itself, or MNIST's. The first that has most of
    them; where there are none, the one that its names speak for."""
    places = [root / "MNIST" / "raw", root / "raw", root]
    if root.name == "raw" and root.parent.name == "MNIST":
        places = [root]
    elif root.name == "MNIST":
        places = [root / "raw", root]

    def present(place: Path) -> int:
        return sum(any(map(os.path.isfile, _spellings(place, name))) for name in FILES)

    return max(places, key=present)


def _spellings(raw: Path, name: str) -> Iterator[Path]:
    """The paths under which people keep a file: packed or not, with a hyphen or with the dot of older archives."""
    for stem in (name, name.replace("-idx", ".idx")):
        yield raw / stem
        yield raw / f"{stem}.gz"


def _gather() -> tuple[Path, Contents, Contents, Faults]:
    """The folder that was named; what is whole there; of the rest, what is whole in the cache; and what is nowhere."""
    raw, own = raw_folder(data_folder()), cache_folder() / "MNIST" / "raw"
    contents, faults = _read(raw, FILES)
    elsewhere, _ = _read(own, faults) if own != raw else ({}, {})
    return raw, contents, elsewhere, {name: fault for name, fault in faults.items() if name not in elsewhere}


def _read(raw: Path, names: Iterable[str]) -> tuple[Contents, Faults]:
    """The contents of the files that are whole, and what is wrong with each of the others."""
    contents: Contents = {}
    faults: Faults = {}
    for name in names:
        for path in _spellings(raw, name):
            try:
                contents[name] = _content(path, *FILES[name])
            except (FileNotFoundError, NotADirectoryError):
                if path.is_symlink():  # to a disk that is not there, perhaps: somebody's, and not to be replaced
                    faults.setdefault(name, (path.name, "a link that leads nowhere"))
            except (OSError, EOFError, zlib.error) as error:
                faults.setdefault(name, (path.name, _line(error)))
            else:
                break
        if name not in contents:
            faults.setdefault(name, (name, "missing"))
    return contents, {name: fault for name, fault in faults.items() if name not in contents}


def _content(path: Path, size: int, checksum: str) -> bytearray:
    """The unpacked content of a file. Raises OSError, among others, where it is not the one with the checksum."""
    if path.exists() and not path.is_file():  # to open a pipe would wait for ever
        raise OSError("no ordinary file")
    with open(path, "rb") as file:
        return _checked(file, size, checksum)


def _checked(file: BinaryIO, size: int, checksum: str) -> bytearray:
    content, packed = bytearray(), file.read(2) == GZIP
    file.seek(0)
    stream = gzip.GzipFile(fileobj=file) if packed else file
    try:
        while len(content) <= size and (part := stream.read(1 << 20)):
            content += part
    except (OSError, EOFError, zlib.error) as error:
        raise OSError(f"damaged, {_line(error)}" if packed else error) from None
    if len(content) != size:
        raise OSError(f"damaged, {f'over {size:,}' if len(content) > size else f'{len(content):,} of {size:,}'} bytes")
    if hashlib.sha256(content).hexdigest() != checksum:
        raise OSError("damaged, wrong checksum")
    return content


def _listed(faults: Faults) -> str:
    """One line that names the files; a folder without any is no damage and needs fewer words."""
    if [fault for _, fault in faults.values()] == ["missing"] * len(FILES):
        return "all four files are missing"
    return ", ".join(f"{name} ({fault})" for name, fault in faults.values())


def _line(text: object) -> str:
    return " ".join(str(text).split())


# ------------------------------------------------------------------------------------------------- downloading


def _download(raw: Path, names: list[str]) -> None:
    """Fetch the files `names` into `raw`, each put in place whole; what goes wrong is kept in `_failed_downloads`."""
    if raw in _failed_downloads:
        return
    deadline = time.monotonic() + DOWNLOAD_SECONDS
    name = names[0]
    try:
        check_writable(raw)
        for name in names:
            content = _fetch(name, deadline)
            raw.mkdir(parents=True, exist_ok=True)  # not before there is something to keep: the path may be a mistake
            write_atomically(raw / name, bytes(content))
    except OSError as error:
        _failed_downloads[raw] = f"{name}: {_line(error)}"


def _fetch(name: str, deadline: float) -> bytearray:
    """The unpacked content of a file, from the first mirror that gives it whole."""
    failures = []
    for mirror in MIRRORS:
        try:
            return _checked(_answer(f"{mirror}{name}.gz", name, deadline), *FILES[name])
        except (OSError, EOFError, HTTPException, ValueError, zlib.error) as error:  # ValueError: a malformed proxy
            failures.append(_line(error))
    raise OSError("; ".join(dict.fromkeys(failures)))  # one reason, such as no network, is often every mirror's


def _answer(url: str, name: str, deadline: float) -> io.BytesIO:
    """What `url` answers, with a progress bar. Raises `TimeoutError` at the `deadline` of the monotonic clock, and
    OSError for more than the file can be when it is packed."""

    def left() -> float:
        if (seconds := deadline - time.monotonic()) <= 0:
            raise TimeoutError(f"took over {DOWNLOAD_SECONDS:g} s in all")
        return seconds

    request = urllib.request.Request(url, headers={"User-Agent": "invtutor"})
    content, most = io.BytesIO(), FILES[name][0] + (1 << 20)
    with urllib.request.urlopen(request, timeout=min(CONNECT_SECONDS, left())) as answer:
        length = getattr(answer, "length", None)  # None where the server does not say
        with tqdm(total=length and min(length, most), desc=name, unit="B", unit_scale=True) as bar:
            while part := answer.read1(1 << 16):  # read1: what has come, so that a trickle meets the deadline, too
                content.write(part)
                bar.update(len(part))
                left()
                if content.tell() > most:
                    raise OSError(f"damaged, over {most:,} bytes")
    content.seek(0)
    return content
