"""CIFAR-10's color pictures (Krizhevsky, Learning multiple layers of features from tiny images, 2009).

Its binary archive is read as it comes, packed, since the checksum that its page publishes is the archive's; its members
are plain bytes. The Python version is a set of pickles, which this program does not open: torchvision does, after it
has checked each file against a checksum.
"""

import functools
import hashlib
import tarfile
from pathlib import Path

import torch
from torch import Tensor

from invtutor.worlds.missing import DataError
from invtutor.worlds.mnist import data_folder

__all__ = ["cifar10"]

ARCHIVE, MD5 = "cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"
WHERE = "https://www.cs.toronto.edu/~kriz/cifar.html"
TERMS = "without a license; its author asks to be cited: Krizhevsky 2009"
SIZE = "162 MB"
Part = tuple[Tensor, Tensor]  # images (n, 3, 32, 32) uint8, labels (n,) int64


def cifar10() -> tuple[Part, Part]:
    """The training and the test pictures, with classes 0 … 9. All callers of a process share the tensors.

    They are looked for in `$INVTUTOR_DATA` and its folder CIFAR10: the binary archive, then what torchvision keeps.
    Raises `DataError`.
    """
    return _read(data_folder())


@functools.cache
def _read(root: Path) -> tuple[Part, Part]:
    for folder in (root, root / "CIFAR10"):
        for read in (_archive, _torchvision):
            try:
                found = read(folder)
            except (OSError, ImportError) as error:
                raise DataError("CIFAR-10", error, WHERE, TERMS, SIZE) from error
            if found:
                return found
    raise DataError("CIFAR-10", f"neither {ARCHIVE} nor torchvision's folder is in {root}", WHERE, TERMS, SIZE)


def _archive(folder: Path) -> tuple[Part, Part] | None:
    path, found = folder / ARCHIVE, hashlib.md5(usedforsecurity=False)
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            found.update(block)
    if found.hexdigest() != MD5:
        raise OSError(f"{ARCHIVE} in {folder} is damaged, wrong checksum")
    with tarfile.open(path, "r:gz") as archive:
        members = [(Path(member.name).name, archive.extractfile(member)) for member in archive]
        files = {name: file.read() for name, file in members if file}
    train = b"".join(files[f"data_batch_{i}.bin"] for i in range(1, 6))
    return _records(train), _records(files["test_batch.bin"])


def _records(content: bytes) -> Part:
    """A record is a byte for the class and 3,072 for the pixels: all red ones, row by row, then green, then blue."""
    records = torch.frombuffer(bytearray(content), dtype=torch.uint8).view(-1, 1 + 3 * 32 * 32)
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].long()


def _torchvision(folder: Path) -> tuple[Part, Part] | None:
    from torchvision.datasets import CIFAR10

    place = folder / CIFAR10.base_folder
    if not place.is_dir():
        return None
    try:
        parts = [CIFAR10(folder, train=train) for train in (True, False)]
    except RuntimeError:  # before it opens any
        raise OSError(f"{place} is damaged: a file is missing or has a wrong checksum") from None
    train, test = ((torch.from_numpy(part.data).permute(0, 3, 1, 2), torch.tensor(part.targets)) for part in parts)
    return train, test
