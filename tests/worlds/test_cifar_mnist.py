"""CIFARMNIST and its relative with drawn shapes: exact counts, halves that can be exchanged, downloads that are not
whole."""

import hashlib
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from downloads import Pictures, cifar_archive, cifar_pictures
from torch import Tensor

from invtutor.runs.recipe import Recipe
from invtutor.runs.run import run
from invtutor.worlds import cifar10, cifar_mnist
from invtutor.worlds.cifar_mnist import CIFARMNIST, Halves, ShapesMNIST, counted, undigited, zeros_and_ones
from invtutor.worlds.digits import Digits
from invtutor.worlds.environment import Environment, group_of
from invtutor.worlds.missing import DataError
from invtutor.worlds.shapes import draw_shapes
from invtutor.worlds.world import Drawn


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def halves(digits: Digits) -> Halves:
    """Pictures that tell their class and their number by a color, so that one sees what was stacked."""

    def pictures(count: int) -> tuple[Tensor, Tensor]:
        labels, numbers = torch.arange(count) % 2, torch.arange(count)
        colors = torch.stack([100 + labels, numbers // 256, numbers % 256], 1).byte()
        return colors[:, :, None, None].expand(-1, -1, 32, 32), labels

    return Halves("rendered", "colors", (pictures(10_000), pictures(2000)), zeros_and_ones(digits))


@pytest.fixture(scope="module")
def world(halves: Halves) -> Drawn:
    return CIFARMNIST().draw(halves, seeded())


# The construction


def test_the_published_sizes_and_shapes(world: Drawn) -> None:
    assert [len(e) for e in (*world.train, *world.validation, *world.tests)] == [4500, 4500, 500, 500, 1000]
    assert [e.name for e in (*world.train, *world.tests)] == ["train p=0.001", "train p=0.3", "test p=0.9"]
    assert world.shape == (3, 64, 32) and world.train[0].inputs.dtype == torch.uint8
    assert (world.outputs, world.classes) == (1, 2)
    assert CIFARMNIST().sizes() == [4500, 4500]


def test_agreement_and_noise_are_counted_out_within_each_label(world: Drawn) -> None:
    # int(n · r) of each label agree, as in the reference: int(2250 · .999) = 2247, int(500 · .1) = 50
    for environment, agreeing in zip((*world.train, *world.tests), (2247, 1575, 50), strict=True):
        half = len(environment) // 2
        for label in (0, 1):
            mine = environment.labels == label
            assert mine.sum() == half
            assert (environment["digit"][mine] == label).sum() == agreeing
            assert (environment["picture"][mine] == label).sum() == half - half // 10
        assert torch.equal(environment["conflict"], environment["digit"] ^ environment.labels)
        assert group_of(environment).bincount().tolist() == [agreeing, half - agreeing] * 2
    both = (world.train[1]["conflict"] & (world.train[1]["picture"] ^ world.train[1].labels)).float().mean().item()
    assert both == pytest.approx(0.3 * 0.1, abs=0.01), "noise and flips do not know of each other"


@pytest.mark.parametrize(("rate", "ones"), [(0.0, 0), (0.3, 750), (0.001, 3), (1.0, 2500), (0.5, 1250)])
def test_counted_shares(rate: float, ones: int) -> None:
    labels = torch.arange(5000) % 2
    marks = counted(labels, rate, seeded())
    assert [int(marks[labels == label].sum()) for label in (0, 1)] == [ones, ones]


def test_a_digit_stands_on_its_picture(world: Drawn, halves: Halves, digits: Digits) -> None:
    for environment, (images, _) in zip((world.train[0], world.tests[0]), halves.pictures, strict=True):
        above, below = environment.inputs.split(32, 2)
        assert torch.equal(below, images[environment.index])
        assert torch.equal(below[:, 0, 0, 0].long() - 100, environment["picture"])
        assert (above == above[:, :1]).all(), "the digit is gray"
        assert not above[:, :, [0, 1, 30, 31]].any() and not above[:, :, :, [0, 1, 30, 31]].any()
    of_class = {label: digits.images[digits.labels == label] for label in (0, 1)}
    for row, digit in zip(world.train[1].inputs[:50], world.train[1]["digit"][:50].tolist(), strict=True):
        assert (of_class[digit] == row[0, 2:30, 2:30]).flatten(1).all(1).any()


def test_no_picture_is_used_twice(world: Drawn) -> None:
    numbers = torch.cat([e.index for e in (*world.train, *world.validation)])
    assert len(numbers.unique()) == len(numbers) == 10_000
    assert len(world.tests[0].index.unique()) == 1000


def test_the_oracle_sees_pictures_alone(world: Drawn) -> None:
    inputs = world.tests[0].inputs
    seen = world.tests[0].gray().inputs
    assert not seen[:, :, :32].any() and torch.equal(seen[:, :, 32:], inputs[:, :, 32:])
    assert inputs[:, :, :32].any() and torch.equal(seen, undigited(inputs))


def test_the_picture_is_the_stronger_clue(world: Drawn) -> None:
    def share(environments: tuple[Environment, ...], clue: str) -> float:
        return torch.cat([e[clue] == e.labels for e in environments]).double().mean().item()

    assert share(world.train, "picture") == share(world.tests, "picture") == 0.9
    assert share(world.train, "digit") == pytest.approx(0.85, abs=1e-3) and share(world.tests, "digit") == 0.1


def test_the_generator_draws_everything(halves: Halves) -> None:
    state = torch.get_rng_state()
    one, again, other = (CIFARMNIST(samples=90).draw(halves, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.train[0].inputs, again.train[0].inputs)
    assert not torch.equal(one.train[0].index, other.train[0].index)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("rates", [(0.5,), (0.1, 0.2, 0.3), (0.2, 0.2), tuple(i / 7 for i in range(7))])
def test_any_number_of_environments_can_take_all(halves: Halves, rates: tuple[float, ...]) -> None:
    setting = CIFARMNIST(flip_rates=rates)
    for samples in (setting.each(), setting.each() - 1):
        world = CIFARMNIST(flip_rates=rates, samples=samples).draw(halves, seeded())
        assert [len(e) for e in world.train] == [samples] * len(rates)
        assert len({e.name for e in (*world.train, *world.validation)}) == 2 * len(rates)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"samples": 4501}, r"`samples` should be in \[2, 4,500\] \(9,000 pictures for 2 environments\). Found 4501"),
        ({"flip_rates": (0.1, 1.5)}, "`flip_rates` should be a list of 1 to 100 numbers"),
        ({"label_noise": 0.6}, "`label_noise` should be"),
        ({"test_samples": 5000}, "`test_samples` should be"),
        ({"source": "cifar"}, "`source` should be one of auto, mnist, rendered"),
    ],
)
def test_what_no_world_can_be_is_refused_before_anything_is_read(knobs: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"Parameter {message}"):
        CIFARMNIST(**knobs)


# Drawn shapes


def test_shapes_are_balanced_bytes_of_many_kinds() -> None:
    images, labels = draw_shapes(1200, seeded())
    assert images.shape == (1200, 3, 32, 32) and images.dtype == torch.uint8
    assert labels.bincount().tolist() == [600, 600]
    assert len(images.unique(dim=0)) == 1200
    assert torch.equal(images, draw_shapes(1200, seeded())[0])
    assert images.float().mean().item() == pytest.approx(127, abs=8)


def test_shapes_differ_by_their_corners_alone() -> None:
    # Neither color nor brightness tells a triangle from a square; a square covers more of the middle.
    images, labels = draw_shapes(4000, seeded(1))
    colors = images.float().mean((2, 3))
    assert (colors[labels == 0].mean(0) - colors[labels == 1].mean(0)).abs().max() < 4


def test_shapes_take_the_pictures_place(digits: Digits) -> None:
    halves = ShapesMNIST.halves(digits)
    assert ShapesMNIST.halves(digits) is halves, "drawn once in a process"
    assert str(halves) == f"{digits} on drawn triangles and squares" and halves.source == digits.source
    world = ShapesMNIST(samples=90, test_samples=20).draw(halves, seeded())
    picture = halves.pictures[0][0][world.train[0].index[0]]
    assert torch.equal(world.train[0].inputs[0, :, 32:], picture)


@pytest.mark.parametrize(("method", "network"), [("erm", "convolutional"), ("upweighting", "perceptron")])
def test_a_recipe_trains_there(digits: Digits, method: str, network: str) -> None:
    recipe = Recipe.profile(
        "smoke", method, world="shapes_mnist", network=network, width=8, steps=3, samples=50, test_samples=20
    )
    assert Recipe.from_json(recipe.to_json()) == recipe
    done = run(recipe, data=ShapesMNIST.halves(digits), progress=False)
    assert {
        "validation p=0.001",
        "validation p=0.3",
        "test p=0.9",
        "test p=0.9 worst group",
        "gray",
    } <= done.metrics.keys()
    assert all(0 <= done.metrics[name] <= 1 for name in ("test p=0.9", "test p=0.9 worst group", "gray"))


# Downloads


@pytest.fixture
def records() -> Pictures:
    return cifar_pictures()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty data folder, and nothing read before or after."""
    monkeypatch.setenv("INVTUTOR_DATA", str(tmp_path))
    for cache in (cifar10._read, CIFARMNIST.halves):
        cache.cache_clear()
    yield tmp_path
    for cache in (cifar10._read, CIFARMNIST.halves):
        cache.cache_clear()


def put_archive(folder: Path, records: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    content = cifar_archive(records)
    folder.mkdir(exist_ok=True)
    (folder / "cifar-10-binary.tar.gz").write_bytes(content)
    monkeypatch.setattr(cifar10, "MD5", hashlib.md5(content).hexdigest())


def put_batches(folder: Path, records: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    """What torchvision keeps, with its checksums."""
    from torchvision.datasets import CIFAR10

    place, lists = folder / CIFAR10.base_folder, {}
    place.mkdir(parents=True)
    for name, rows in records.items():
        content = pickle.dumps({"data": np.stack([p for _, p in rows]), "labels": [label for label, _ in rows]})
        (place / name).write_bytes(content)
        lists[name] = [name, hashlib.md5(content).hexdigest()]
    meta = pickle.dumps({"label_names": [str(i) for i in range(10)]})
    (place / "batches.meta").write_bytes(meta)
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": hashlib.md5(meta).hexdigest()})
    monkeypatch.setattr(CIFAR10, "test_list", [lists.pop("test_batch")])
    monkeypatch.setattr(CIFAR10, "train_list", list(lists.values()))


@pytest.mark.parametrize("put", [put_archive, put_batches])
@pytest.mark.parametrize("below", ["", "CIFAR10"])
def test_both_downloads_are_read_alike(
    put: Callable, below: str, root: Path, records: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root / below, records, monkeypatch)
    (images, labels), (unseen, unseen_labels) = cifar10.cifar10()
    assert images.shape == (150, 3, 32, 32) and unseen.shape == (30, 3, 32, 32) and images.dtype == torch.uint8
    assert labels[:4].tolist() == [1, 9, 0, 1] and labels.dtype == torch.int64 and len(unseen_labels) == 30
    label, pixels = records["data_batch_2"][3]
    assert labels[33] == label and images[33].flatten().tolist() == pixels.tolist()


def test_cifarmnist_runs_on_a_download_and_says_what_it_is(
    root: Path, records: Pictures, digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_archive(root, records, monkeypatch)
    monkeypatch.setattr(cifar_mnist, "load_digits", lambda *_, **__: digits)
    recipe = Recipe.profile("smoke", "irmv1", world="cifar_mnist", network="convolutional", width=4, steps=2)
    done = run(recipe.but(samples=18, test_samples=12), progress=False)
    assert str(done.data).endswith("on CIFAR-10's automobiles and trucks") and "test p=0.9" in done.metrics
    environment = done.world.train[0]
    trucks = torch.cat([labels[labels > 0] == 9 for labels in [cifar10.cifar10()[0][1]]])
    assert torch.equal(environment["picture"], trucks[environment.index].long()), "automobiles are 0, trucks 1"


def test_what_is_missing_is_named_with_where_it_is_to_be_had(root: Path, digits: Digits) -> None:
    wish = f"CIFAR-10 cannot be had: neither cifar-10-binary.tar.gz nor torchvision's folder is in {root}. "
    wish += "It is to be had at https://www.cs."
    with pytest.raises(DataError) as error:
        CIFARMNIST.halves(digits)
    said = str(error.value)
    assert said.startswith(wish) and said.endswith("Krizhevsky 2009; 162 MB).") and "\n" not in said


def test_a_damaged_download_is_named(root: Path, records: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    put_archive(root, records, monkeypatch)
    content = bytearray((root / "cifar-10-binary.tar.gz").read_bytes())
    content[len(content) // 2] ^= 1
    (root / "cifar-10-binary.tar.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"cifar-10-binary.tar.gz in .* is damaged, wrong checksum"):
        cifar10.cifar10()
    (root / "cifar-10-binary.tar.gz").unlink()
    put_batches(root, records, monkeypatch)
    (root / "cifar-10-batches-py" / "data_batch_3").write_bytes(b"cos\nsystem\n(S'touch owned'\ntR.")
    with pytest.raises(DataError, match=r"cifar-10-batches-py is damaged: a file is missing or has a wrong"):
        cifar10.cifar10()
    assert not Path("owned").exists(), "no pickle is opened that is not as published"
