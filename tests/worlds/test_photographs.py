"""Folders of photographs in the published layouts: what is read, the groups, and what is wrong with a folder."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from downloads import COUNTS, celeba, samples, waterbirds, write_rows
from PIL import Image

from invtutor.runs.recipe import Recipe
from invtutor.runs.run import run
from invtutor.worlds import WORLDS
from invtutor.worlds.environment import group_of
from invtutor.worlds.missing import DataError
from invtutor.worlds.photographs import CelebA, Photographs, Waterbirds


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INVTUTOR_DATA", str(tmp_path))
    return tmp_path


LAYOUTS = pytest.mark.parametrize(("write", "kind"), [(waterbirds, Waterbirds), (celeba, CelebA)])


# What is read


@LAYOUTS
def test_the_published_layouts_are_read(write: Callable, kind: type[Photographs], root: Path) -> None:
    write(root)
    album = kind(size=16).load()
    assert kind(size=16).load() is album and kind(size=8).load() is not album, "opened once"
    assert (album.labels.tolist(), album.attributes.tolist(), album.splits.tolist()) == tuple(
        map(list, zip(*samples(), strict=True))
    )
    pixels = album.inputs(torch.arange(len(album.files)))
    assert pixels.shape == (74, 3, 16, 16) and pixels.dtype == torch.uint8
    middle, corner = pixels[:, :, 7, 7], pixels[:, :, 0, 0]
    assert torch.equal((middle[:, 1] > 150).long(), album.labels), "yellow is red with green"
    assert torch.equal((corner[:, 2] > 150).long(), album.attributes), "blue is water"
    assert "74 photographs in" in str(album) and album.source == kind.label


@LAYOUTS
def test_environments_are_places_and_groups_have_the_authors_numbers(
    write: Callable, kind: type[Photographs], root: Path
) -> None:
    write(root)
    world = kind(size=8).draw(kind(size=8).load(), seeded())
    assert [e.name for e in world.train] == [f"train {word}" for word in kind.attribute[1:]]
    assert [e[kind.attribute[0]].unique().tolist() for e in world.train] == [[0], [1]]
    for environments, counts in zip((world.train, world.validation, world.tests), COUNTS.values(), strict=True):
        groups = torch.cat([group_of(e) for e in environments])
        labels, places = (
            torch.cat([e.labels for e in environments]),
            torch.cat([e[kind.attribute[0]] for e in environments]),
        )
        assert groups.bincount().tolist() == list(counts) and torch.equal(groups, 2 * labels + places)
    numbers = torch.cat([e.index for e in (*world.train, *world.validation, *world.tests)])
    assert len(numbers.unique()) == len(numbers) == 74
    assert world.shape == (3, 8, 8) and world.outputs == 1 and world.train[0].plain is None


def test_conflict_is_the_rare_place_and_among_the_blond_the_rare_sex(root: Path) -> None:
    for write, kind, conflicting in ((waterbirds, Waterbirds, [1, 2]), (celeba, CelebA, [0, 3])):
        write(root)
        test = kind(size=8).draw(kind(size=8).load(), seeded()).tests[0]
        assert group_of(test)[test["conflict"] == 1].unique().tolist() == conflicting


def test_two_mixtures_share_the_conflicting_unevenly(root: Path) -> None:
    waterbirds(root)
    setting = Waterbirds(size=8, environments="mixtures")
    one, other = setting.draw(setting.load(), seeded()).train
    assert [int(e["conflict"].sum()) for e in (one, other)] == [0, 6]
    assert [int((1 - e["conflict"]).sum()) for e in (one, other)] == [18, 18]


def test_fewer_photographs_are_drawn_and_no_other_is_read(root: Path) -> None:
    waterbirds(root)
    setting = Waterbirds(size=9, samples=20, test_samples=4)
    album = setting.load()
    world, again, other = (setting.draw(album, seeded(seed)) for seed in (0, 0, 1))
    assert sum(map(len, world.train)) == 20 and (len(world.validation[0]), len(world.tests[0])) == (4, 4)
    assert torch.equal(world.tests[0].index, again.tests[0].index)
    assert not torch.equal(world.train[0].index, other.train[0].index)
    assert len(album.kept) <= 2 * 28


def test_gray_pictures_and_pictures_of_any_shape_are_squares_of_color(root: Path) -> None:
    rows = waterbirds(root)
    folder = root / "waterbird_complete95_forest2water2"
    Image.new("L", (10, 90), 77).save(folder / str(rows[0]["img_filename"]))
    Image.new("RGBA", (90, 10), (1, 2, 3, 0)).save(folder / str(rows[1]["img_filename"]), format="PNG")
    pixels = Waterbirds(size=12).load().inputs(torch.tensor([0, 1]))
    assert (pixels[0] == 77).all() and pixels[1, :, 5, 5].tolist() == [1, 2, 3]


def test_without_validation_photographs_there_is_none(root: Path) -> None:
    rows = waterbirds(root)
    write_rows(root / "waterbird_complete95_forest2water2", [row for row in rows if row["split"] != 1])
    world = Waterbirds(size=8).draw(Waterbirds(size=8).load(), seeded())
    assert world.validation == () and "train" in world.watch(lambda inputs: inputs[:, :1, 0, 0].float())


def test_a_folder_of_ones_own_is_named(root: Path) -> None:
    waterbirds(root / "mine")
    name = "mine/waterbird_complete95_forest2water2"
    for folder in (name, str(root / name)):
        assert len(Waterbirds(folder=folder).load().files) == 74


# What is measured


def test_worst_group_and_both_averages(root: Path) -> None:
    waterbirds(root)
    world = Waterbirds(size=8).draw(Waterbirds(size=8).load(), seeded())

    def by_place(inputs: torch.Tensor) -> torch.Tensor:
        return (inputs[:, 2, 0, 0].float() - 100)[:, None]

    def by_bird(inputs: torch.Tensor) -> torch.Tensor:
        return (inputs[:, 1, 4, 4].float() - 100)[:, None]

    metrics = world.watch(by_place)
    assert (metrics["test"], metrics["test worst group"]) == (0.5, 0.0)
    assert metrics["test average"] == pytest.approx(36 / 42), "as often as places fit birds in training"
    assert metrics["validation"] == 0.5
    chosen_by = {
        "validation worst class": 0.5,
        "validation worst group": 0.0,
        "validation average": metrics["test average"],
    }
    assert world.final(by_place) == {"train land": 18 / 21, "train water": 18 / 21, **chosen_by}
    assert all(world.final(by_bird)[name] == 1.0 for name in chosen_by)

    def timid(inputs: torch.Tensor) -> torch.Tensor:
        return -torch.ones(len(inputs), 1)  # it takes every bird for one of the land

    metrics = world.final(timid)
    assert metrics["validation worst class"] == metrics["validation worst group"] == 0.0 < metrics["validation average"]
    metrics = world.watch(by_bird)
    assert metrics["test"] == metrics["test worst group"] == metrics["test average"] == 1.0


@LAYOUTS
@pytest.mark.parametrize("method", ["erm", "group_dro"])
def test_a_recipe_trains_there(write: Callable, kind: type[Photographs], method: str, root: Path) -> None:
    write(root)
    world = next(name for name, each in WORLDS.items() if each is kind)
    recipe = Recipe.profile("smoke", method, world=world, network="residual", width=4, steps=2, size=16)
    assert Recipe.from_json(recipe.to_json()) == recipe
    metrics = run(recipe.but(batch_size=8), progress=False).metrics
    assert {"validation", "test", "test worst group", "test average"} <= metrics.keys()
    assert 0 <= metrics["test worst group"] <= metrics["test"] <= 1


# What is wrong


def fails(kind: type[Photographs], *parts: str) -> None:
    """One line that names what is wrong, where the data are to be had, on which terms, and how large they are."""
    with pytest.raises(DataError) as error:
        setting = kind(size=8)
        setting.draw(setting.load(), seeded())
    text = str(error.value)
    assert text.startswith(f"{kind.label} cannot be had: ") and "\n" not in text
    for part in (*parts, f"It is to be had at {kind.where[0]} (", "commercial", "GB)."):
        assert part in text


@pytest.mark.parametrize("kind", [Waterbirds, CelebA])
def test_a_missing_folder_and_missing_tables(kind: type[Photographs], root: Path) -> None:
    fails(kind, f"there is no folder {root / kind.published}")
    (root / kind.published).mkdir()
    fails(kind, "No such file or directory", kind.published)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("y", "2", "y should be one of 0, 1. Found '2'"),
        ("y", "", "y should be one of 0, 1. Found ''"),
        ("place", "water", "place should be one of 0, 1. Found 'water'"),
        ("split", "train", "split should be one of 0, 1, 2. Found 'train'"),
        ("img_filename", "../secret.jpg", "should name a file in its folder. Found '../secret.jpg'"),
        ("img_filename", "a/../../secret.jpg", "should name a file in its folder"),
        ("img_filename", "/etc/hostname", "should name a file in its folder"),
        ("img_filename", "..\\secret.jpg", "should name a file in its folder"),
        ("img_filename", "", "should name a file in its folder. Found ''"),
        ("img_filename", "001.None/None.jpg", "001.None/None.jpg is missing"),
        ("img_filename", "no\0name.jpg", "is missing"),
    ],
)
def test_a_bad_row_is_named(column: str, value: str, message: str, root: Path) -> None:
    rows = waterbirds(root)
    (root / "secret.jpg").write_bytes(b"")
    rows[4][column] = value
    write_rows(root / "waterbird_complete95_forest2water2", rows)
    fails(Waterbirds, "row 6 of ", "metadata.csv", message)


def test_a_file_that_two_rows_name(root: Path) -> None:
    rows = waterbirds(root)
    write_rows(root / "waterbird_complete95_forest2water2", [*rows, rows[3]])
    fails(Waterbirds, "row 76 of ", f"names {rows[3]['img_filename']}, as row 5 of ")


def test_damaged_photographs(root: Path) -> None:
    rows = waterbirds(root)
    path = root / "waterbird_complete95_forest2water2" / str(rows[2]["img_filename"])
    whole = path.read_bytes()
    for content in (b"", b"<html>404</html>", whole[: len(whole) // 2], b"GIF89a" + whole):
        path.write_bytes(content)
        fails(Waterbirds, "row 4 of ", f"{path} is damaged (")


def test_a_table_without_a_column_and_splits_without_photographs(root: Path) -> None:
    rows = waterbirds(root)
    folder = root / "waterbird_complete95_forest2water2"
    write_rows(folder, [row for row in rows if row["split"] != 2])
    fails(Waterbirds, "has no photographs for test of label 0 and place 0")
    write_rows(folder, [])
    fails(Waterbirds, "has no photographs for training of label 0 and place 0")
    (folder / "metadata.csv").write_text("img_filename,y,split\n")
    fails(Waterbirds, "metadata.csv should have a column place")
    (folder / "metadata.csv").write_bytes(b"\xff\xfe\x00")
    fails(Waterbirds, "codec can't decode")


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("list_attr_celeba.txt", "Male", "Mail", "should have a column Male in its second row"),
        ("list_attr_celeba.txt", "74\n", "75\n", "should have as many rows as it says. Found 74 and '75'"),
        ("list_attr_celeba.txt", "000002.jpg -1", "000002.jpg", "row 4 of "),
        ("list_attr_celeba.txt", "000002.jpg", "../000002.jpg", "../000002.jpg has no split"),
        ("list_eval_partition.txt", "000003.jpg ", "000003.jpg 7", "row 3 of "),
        ("list_eval_partition.txt", "000003.jpg", "no.jpg", "000003.jpg has no split in list_eval_partition.txt"),
    ],
)
def test_bad_tables_of_celeba(table: str, old: str, new: str, message: str, root: Path) -> None:
    celeba(root)
    path = root / "celeba" / table
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    fails(CelebA, message, table)


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"size": 7}, "size"),
        ({"size": 1000}, "size"),
        ({"samples": 0}, "samples"),
        ({"environments": "all"}, "environments"),
    ],
)
def test_knobs_out_of_range(knobs: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"Parameter `{message}` should be"):
        Waterbirds(**knobs)
