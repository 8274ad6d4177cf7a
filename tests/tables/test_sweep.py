"""Grids of settings: what is planned, run, gone on with, and summarised."""

import csv
import gc
import io
import json
import tracemalloc
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from invtutor.runs.recipe import Recipe
from invtutor.tables import executors
from invtutor.tables.executors import sweep
from invtutor.tables.plan import grid, series
from invtutor.tables.reading import settings
from invtutor.tables.rows import END, Row
from invtutor.tables.store import MEASURED, Result, Results, Store
from invtutor.widgets import filling

SMALL: dict[str, Any] = {"world": "spirals", "profile": "smoke", "steps": 2}


# ------------------------------------------------------------------------------------------------- the plan


def test_a_grid_is_every_combination_seed_by_seed() -> None:
    planned = grid("irmv1", {"penalty_weight": "1e2,1e3", "seed": "0:3", "halves": "True,False"})
    assert len(planned) == 12 and [recipe.seed for recipe in planned] == [0] * 4 + [1] * 4 + [2] * 4
    usual = Recipe.profile("quick", "irmv1", every=END)
    assert set(planned) == {
        usual.but(penalty_weight=weight, seed=seed, halves=halves)
        for weight in (100, 1000)
        for seed in range(3)
        for halves in (True, False)
    }
    assert next(iter(planned.values())) == "IRMv1, seed=0, penalty_weight=100, halves=True"
    assert grid("irmv1", {"penalty_weight": [1e2, 1000], "seed": range(3), "halves": (True, False)}) == planned


def test_a_grid_of_lists_of_worlds_and_of_nothing() -> None:
    rates = [recipe.flip_rates for recipe in grid("erm", {"flip_rates": "0.1,0.2;0.3,0.4,0.5"})]
    assert rates == [(0.1, 0.2), (0.3, 0.4, 0.5)]
    worlds = grid("erm", {"world": "colored_mnist,spirals", "profile": "smoke", "width": 4})
    assert list(worlds.values()) == ["ERM, colored_mnist", "ERM, spirals"]
    assert [recipe.but(every=1) for recipe in worlds] == [
        Recipe.profile("smoke", "erm", world=world, width=4, every=1) for world in ("colored_mnist", "spirals")
    ]
    assert grid("vrex", {}) == {Row("", "vrex").recipe("quick"): "V-REx"}, "and shares its results with the tables"
    assert len(grid("erm", {"seed": "1,1,1"})) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"penalty": "1"}, "irmv1 has no parameter `penalty`; did you mean `penalty_weight`?"),
        ({"penalty_weight": "1,-1"}, r"`penalty_weight` should be a finite number in \[0, 1e\+12\]. Found -1"),
        ({"penalty_weight": "1e2,"}, "`penalty_weight` should be a finite number .* Found ''"),
        ({"penalty_weight": []}, "`penalty_weight` should be one value or more"),
        ({"seed": "3:3"}, "`seed` should be one value or more, such as 1,2 or 0:10. Found '3:3'"),
        ({"seed": "0:2000000000"}, "should be at most 1,000,000 runs. Found '2,000,000,000 runs'"),
        ({"seed": "0:1001", "width": "1:1001"}, "should be at most 1,000,000 runs. Found '1,001,000 runs'"),
        ({"profile": "smoke,quick"}, "`profile` should be one of smoke"),
        ({"world": "spiral"}, "`world` should be one of .* Did you mean `spirals`?"),
        ({"world": "spirals,colored_mnist", "patch": "True"}, "irmv1 has no parameter `patch`"),
        ({"flip_rates": "0.1,0.2;0.1"}, "`flip_rates` should be a list"),
        ({"classes": "2,10", "patch": "True"}, "`patch` should be False where there are 10 classes"),
    ],
)
def test_a_wrong_grid_is_refused(given: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        sweep("irmv1", given, tmp_path / "results")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, r"`workers` should be a whole number in \[1"),
        ({"cluster": "mars"}, "`cluster` should be slurm, or the address of a scheduler, as in tls://HOST:PORT"),
        ({"cluster": "tcp://10.1.2.3:8786"}, "`cluster` should be tls://… beyond this machine"),
        ({"cluster": "tcp://0.0.0.0:8786"}, "`cluster` should be tls://… beyond this machine"),
        ({"cluster": "tcp://127.0.0.1.org:8786"}, "`cluster` should be tls://… beyond this machine"),
        ({"cluster": "tls://10.1.2.3:8786"}, "`tls` should be three files, CA, CERTIFICATE and KEY"),
        ({"cluster": "tls://a:1", "tls": ("no", "such", "file")}, "`tls` should be files that can be read. Found 'no'"),
        ({"cluster": "tcp://localhost:8786", "workers": 2}, "`workers` should be left out"),
        ({"cluster": "slurm"}, "`tls` should be three files"),
        ({"cluster": "slurm", "tls": (__file__,) * 3}, "`listen` should be the address at which jobs reach this"),
        ({"listen": "0.0.0.0"}, "`listen` should be left out"),
        ({"tls": (__file__,) * 3}, "`tls` should be left out"),
    ],
)
def test_a_wrong_place_is_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        sweep("erm", SMALL, tmp_path / "results", **options)
    assert list(tmp_path.iterdir()) == []


def test_without_the_engine_one_line_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    assert len(sweep("erm", SMALL, tmp_path, quiet=True)) == 1
    with pytest.raises(
        ValueError, match=r"^Several processes need dask.distributed: pip install 'invtutor\[cluster\]'"
    ):
        sweep("erm", {**SMALL, "seed": 1}, tmp_path, quiet=True, workers=2)


# ------------------------------------------------------------------------------------------------- one process


def test_a_table_fills_as_runs_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []
    results = sweep(
        "irmv1",
        {**SMALL, "penalty_weight": "1,10", "seed": "0:2"},
        tmp_path,
        watch=lambda r: seen.append(str(settings(r))),
    )
    assert len(results) == 4 and seen[-1] == str(settings(results)) and seen[0].count("\n") == 1
    assert "IRMv1, seed=1, penalty_weight=10" in capsys.readouterr().err
    head, *rows = seen[-1].splitlines()
    assert head.split()[:3] == ["Settings", "penalty_weight", "train"]
    assert [row.split()[1] for row in rows] == ["1", "10"] and all(row.split()[-2] == "2" for row in rows)


def test_a_table_fills_in_a_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    handle = SimpleNamespace(update=shown.append)

    def display(sheet: Any, display_id: bool) -> Any:
        shown.append(sheet)
        return handle

    monkeypatch.setattr("invtutor.widgets.filling_table.display", display)
    results = sweep("irmv1", {**SMALL, "seed": "0:2"}, tmp_path, quiet=True, watch=filling())
    assert [len(sheet.rows) for sheet in shown[:2]] == [0, 1]
    assert str(shown[-1]) == str(settings(results))


def test_settings_of_several_methods() -> None:
    made = [
        Result(Recipe.profile("quick", method, **changes), {"train a": 0.75, "test p=0.9": 0.5, "risk": 1.0}, 1.0, {})
        for method, changes in (("irmv1", {"penalty_weight": 1e4}), ("irmv1", {"penalty_weight": 20}), ("erm", {}))
    ]
    rows = list(csv.reader(io.StringIO(settings(made).written("csv"))))
    assert "penalty_weight" in rows[0] and {"train", "test p=0.9", "seeds"} < set(rows[0]) and "risk" not in rows[0]
    place = rows[0].index("penalty_weight")
    assert [(row[0], row[place]) for row in rows[1:]] == [("ERM", "–"), ("IRMv1", "20"), ("IRMv1", "10000")]


def test_results_as_a_frame() -> None:
    results = Results(list(Store(MEASURED))[:20])
    frame = results.to_frame()
    assert len(frame) == 20 and list(frame["seed"]) == [result.recipe.seed for result in results]
    assert list(frame["test p=0.9"]) == [result.metrics["test p=0.9"] for result in results]
    assert {"method", "world", "network", "penalty_weight", "cpu", "torch"} <= set(frame.columns)
    assert set(frame["method"]) == {result.recipe.algorithm for result in results}


def test_what_another_version_made_is_told(tmp_path: Path) -> None:
    line = json.loads(Path(f"{MEASURED}.jsonl").read_text(encoding="utf-8").splitlines()[0])
    line["made"]["invtutor"], line["recipe"]["pace"] = "9.9", 3
    (tmp_path / "results.jsonl").write_text(json.dumps(line))
    with pytest.raises(ValueError, match=r"or choose another folder \(it was made by invtutor '9.9', and this is "):
        Store(tmp_path / "results")


# ------------------------------------------------------------------------------------------------- many


@pytest.fixture
def stubbed(monkeypatch: pytest.MonkeyPatch) -> list[Recipe]:
    """Runs that take no time; those that were made."""
    made: list[Recipe] = []

    def result(recipe: Recipe, profile: str) -> Result:
        made.append(recipe)
        metrics = {f"train p={rate}": 0.5 for rate in (0.1, 0.2)} | {f"test p={rate}": rate for rate in (0.1, 0.2, 0.9)}
        return Result(recipe, metrics, 1.0, {"profile": profile, "device": "cpu, 1 threads"}, [0.5, 0.5], [0.5, 0.5])

    monkeypatch.setattr(executors, "_result", result)
    return made


@pytest.mark.long
def test_a_hundred_thousand_runs_fit(stubbed: list[Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run costs does not grow with their number: at most 5 kB that stay in memory, a few recipes; and the folder
    is listed for all of them together."""
    count, listed, recipes = 2000, [], []
    glob, check = Path.glob, Recipe.__post_init__
    monkeypatch.setattr(Path, "glob", lambda *call: listed.append(call) or glob(*call))
    monkeypatch.setattr(Recipe, "__post_init__", lambda recipe: recipes.append(1) or check(recipe))
    given = {**SMALL, "penalty_weight": range(1, 201), "seed": range(10)}
    tracemalloc.start()
    assert len(sweep("irmv1", given, tmp_path, quiet=True)) == len(stubbed) == count
    assert len(listed) <= 3 and len(recipes) < 8 * count
    stubbed.clear()
    recipes.clear()
    again = sweep("irmv1", given, tmp_path, quiet=True)
    assert not stubbed and len(again) == count and len(listed) <= 6 and len(recipes) < 4 * count
    assert len(settings(again).rows) == 200
    assert len({result.recipe.digest for result in again}) == count
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    del again
    gc.collect()
    freed = held - tracemalloc.get_traced_memory()[0]  # and not what threads of the tests before hold meanwhile
    tracemalloc.stop()
    assert 100 < freed / count < 5000


def test_what_seeds_share_is_told_apart_from_all_else() -> None:
    recipe = Recipe.profile("quick", "irmv1")
    for changes in ({"seed": 3}, {"device": "cpu"}, {"source": "rendered"}):
        assert series(recipe.but(**changes)) == series(recipe), changes
    for changes in ({"penalty_weight": 3.0}, {"flip_rates": (0.1, 0.3)}, {"steps": 7}, {"network": "convolutional"}):
        assert series(recipe.but(**changes)) != series(recipe), changes
    assert (
        hash(recipe) == hash(recipe.but(seed=0)) and len({hash(recipe.but(penalty_weight=w)) for w in range(50)}) == 50
    )
