"""What somebody brought and is not as it was published: one line on the command line each, and nothing written."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from downloads import celeba, cifar_archive, cifar_pictures, coinrun, waterbirds, write_rows

from invtutor import doctor
from invtutor.cli import main
from invtutor.worlds import cifar10
from invtutor.worlds.cifar_mnist import CIFARMNIST
from invtutor.worlds.digits import Digits
from invtutor.worlds.photographs import CelebA, Waterbirds

ARCHIVE = cifar_archive(cifar_pictures())


@pytest.fixture
def root(tmp_path: Path, digits: Digits, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty data folder, and nothing read before or after."""
    monkeypatch.setenv("INVTUTOR_DATA", str(tmp_path))
    monkeypatch.setattr("invtutor.worlds.digits._rendered", lambda why="": digits)
    caches = cifar10._read, CIFARMNIST.halves, Waterbirds.open, CelebA.open
    for cache in caches:
        cache.cache_clear()
    yield tmp_path
    for cache in caches:
        cache.cache_clear()


def archive(content: bytes) -> Callable[[Path], object]:
    return lambda root: (root / cifar10.ARCHIVE).write_bytes(content)


def batches(root: Path) -> None:
    (root / "cifar-10-batches-py").mkdir()
    (root / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")


def birds(column: str, value: str) -> Callable[[Path], None]:
    """The fifth row says something else."""

    def write(root: Path) -> None:
        rows = waterbirds(root)
        rows[4][column] = value
        write_rows(root / Waterbirds.published, rows)

    return write


def no_fish_out_of_water(root: Path) -> None:
    rows = waterbirds(root)
    write_rows(root / Waterbirds.published, [row for row in rows if (row["y"], row["place"]) != (1, 0) or row["split"]])


def no_place(root: Path) -> None:
    waterbirds(root)
    table = root / Waterbirds.published / "metadata.csv"
    table.write_text(table.read_text().replace("place,", "ground,", 1))


def photograph(content: bytes) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        name = waterbirds(root)[0]["img_filename"]
        (root / Waterbirds.published / str(name)).write_bytes(content)

    return write


def faces(table: str, old: str, new: str) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        celeba(root)
        path = root / CelebA.published / table
        path.write_text(path.read_text().replace(old, new))

    return write


LISTED, SPLIT = "list_attr_celeba.txt", "list_eval_partition.txt"
FAULTS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "CIFAR-10 absent": ("cifar_mnist", lambda root: None, "neither cifar-10-binary.tar.gz nor torchvision's folder"),
    "a truncated archive": ("cifar_mnist", archive(ARCHIVE[:5000]), "cifar-10-binary.tar.gz in .* is damaged, wrong"),
    "a foreign archive": ("random_labels_cifar10", archive(ARCHIVE), "cifar-10-binary.tar.gz in .* is damaged, wrong"),
    "foreign batches": ("random_labels_cifar10", batches, "a file is missing or has a wrong checksum"),
    "Waterbirds absent": ("waterbirds", lambda root: None, "there is no folder"),
    "an empty folder": ("waterbirds", lambda root: (root / Waterbirds.published).mkdir(), "No such file"),
    "a missing column": ("waterbirds", no_place, "metadata.csv should have a column place"),
    "a label out of range": ("waterbirds", birds("y", "2"), "row 6 of .* y should be one of 0, 1. Found '2'"),
    "a place out of range": ("waterbirds", birds("place", "-1"), "row 6 of .* place should be one of 0, 1. Found '-1'"),
    "a photograph missing": ("waterbirds", birds("img_filename", "no.jpg"), "row 6 of .*no.jpg is missing"),
    "an empty group": ("waterbirds", no_fish_out_of_water, "no photographs for training of label 1 and place 0"),
    "half a photograph": ("waterbirds", photograph(b"\xff\xd8\xff\xe0"), "row 2 of .* is damaged"),
    "a page in its place": ("waterbirds", photograph(b"<html>404</html>"), "row 2 of .* is damaged"),
    "CelebA absent": ("celeba", lambda root: None, "there is no folder"),
    "no hair": ("celeba", faces(LISTED, "Blond_Hair", "Hat"), "should have a column Blond_Hair"),
    "a hair color out of range": (
        "celeba",
        faces(LISTED, "-1  1  1", "-1  1  7"),
        "Blond_Hair should be",
    ),
    "no faces for the test": ("celeba", faces(SPLIT, " 2\n", " 0\n"), "no photographs for test of label . and male ."),
    "no weights": ("waterbirds -p features=no.safetensors", waterbirds, "there is no file .*no.safetensors"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_line_and_nothing_written(fault: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world, spoil, message = FAULTS[fault]
    spoil(root)
    there = {path: path.is_file() and path.read_bytes() for path in root.rglob("*")}
    options = ["-p", f"world={world.split()[0]}", *world.split()[1:], "-p", "profile=smoke", "--out", str(root / "out")]
    assert main(["run", "erm", *options]) == 1
    said = capsys.readouterr().err.rpartition("\r")[2]  # without a bar that is gone
    assert re.match(rf"invtutor: error: .* cannot be had: .*{message}", said) and said.count("\n") == 1
    assert re.search(r"It is to be had at https://\S+.* \(.+; .*\d [MG]B\)\.\n$", said)
    assert {path: path.is_file() and path.read_bytes() for path in root.rglob("*")} == there
    assert not Path("owned").exists()


def test_doctor_says_what_is_to_be_brought_and_where_it_is_to_be_had(root: Path) -> None:
    coinrun(root)
    told = {name: doctor._OPTIONAL[name]() for name in ("CIFAR-10", "Waterbirds", "CelebA", "CoinRun")}
    assert told["CoinRun"] == "20 states of 5 levels of CoinRun"
    assert told["Waterbirds"].startswith("there is no folder") and told["Waterbirds"].endswith("; about 0.5 GB).")
    assert "torchvision's folder is in" in told["CIFAR-10"] and "for non-commercial research; 1.4 GB" in told["CelebA"]
