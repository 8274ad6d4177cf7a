"""Fixtures of the tests: digits, crude ones for nearly all tests and real ones for a few; a shelf of lessons."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from downloads import celeba, cifar_archive, cifar_pictures, coinrun, waterbirds
from small_lessons import write_lesson

from invtutor.course import lessons
from invtutor.worlds import cifar10, shapes
from invtutor.worlds.animals import Menagerie, draw_menagerie
from invtutor.worlds.cifar_mnist import CIFARMNIST, ShapesMNIST
from invtutor.worlds.digits import Digits, load_digits

torch.set_num_threads(1)  # the tests' networks are tiny, and the machine may be shared

DRAWINGS = 50  # of each class


@pytest.fixture(scope="session")
def digits() -> Digits:
    """As many digits as MNIST has, crude and cheap: ten patterns of blocks in the middle, each in shades of its own.

    Equally many of each class; every image has ink, and, like MNIST's, none in its corners. Never write to them.
    """
    generator = torch.Generator().manual_seed(0)
    blocks = torch.rand(10, 4, 4, generator=generator) < 0.5
    shades = torch.rand(10, DRAWINGS, 16, 16, generator=generator) * 127 + 128
    drawings = torch.zeros(10, DRAWINGS, 28, 28, dtype=torch.uint8)
    drawings[:, :, 6:22, 6:22] = (blocks.repeat_interleave(4, 1).repeat_interleave(4, 2)[:, None] * shades).byte()
    files = []
    for count in (60_000, 10_000):
        labels = torch.randperm(count, generator=generator) % 10
        files += [drawings[labels, torch.randint(DRAWINGS, (count,), generator=generator)], labels]
    return Digits("rendered", *files)


@pytest.fixture(scope="session")
def mnist() -> Digits:
    """The real digits, where the machine has them; the tests never download."""
    folder = os.environ.get("INVTUTOR_DATA")
    if not folder:
        pytest.skip("needs real MNIST: INVTUTOR_DATA is not set")
    if not (Path(folder).expanduser() / "MNIST" / "raw").is_dir():
        pytest.skip(f"needs real MNIST: INVTUTOR_DATA={folder} has no MNIST/raw")
    return load_digits("mnist", quiet=True)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of lessons that the library takes for its own."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setattr(lessons, "folder", lambda: folder)
    monkeypatch.setattr("invtutor.worlds.mnist.announce", lambda source: None)  # that of digits has its own tests
    return folder


@pytest.fixture
def lesson(shelf: Path) -> lessons.Lesson:
    return lessons.find(write_lesson(shelf, "03_irmv1", "print('seed', seed, penalty_weight)"))


@pytest.fixture(scope="module")
def small_data(digits: Digits, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Something small in every place where a world looks for its data."""
    root, archive = tmp_path_factory.mktemp("data"), cifar_archive(cifar_pictures())
    (root / cifar10.ARCHIVE).write_bytes(archive)
    for write in (waterbirds, celeba, coinrun):
        write(root)
    animals = Menagerie(*draw_menagerie({0: 80, 1: 40, 2: 40}))
    caches = (cifar10._read, shapes.shapes, CIFARMNIST.halves, ShapesMNIST.halves)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INVTUTOR_DATA", str(root))
        patch.setattr(cifar10, "MD5", hashlib.md5(archive).hexdigest())
        patch.setattr(shapes, "TRAIN", 500)
        patch.setattr(shapes, "TEST", 100)
        patch.setattr("invtutor.worlds.digits._rendered", lambda why="": digits)
        patch.setattr("invtutor.worlds.animals._menagerie", lambda: animals)
        for cache in caches:
            cache.cache_clear()
        yield
    for cache in caches:
        cache.cache_clear()
