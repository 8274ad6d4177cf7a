"""Results a file a run: nothing is lost, nothing rewritten, whoever writes and whatever is killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from invtutor.runs.recipe import Recipe
from invtutor.tables.store import MEASURED, Result, Store

LINES = Path(f"{MEASURED}.jsonl").read_text(encoding="utf-8").splitlines()
LINE = next(line for line in LINES if '"erm"' in line)


def result(seed: int = 0, **metrics: float) -> Result:
    return Result(Recipe.profile("smoke", seed=seed), {"test p=0.9": 0.5, **metrics}, 1.0, {"device": "cpu"})


def test_a_result_has_a_file_of_its_own(tmp_path: Path) -> None:
    store, one = Store(tmp_path / "new" / "results"), result(3)
    assert len(store) == 0 and one.recipe not in store and not store.folder.exists()
    store.add(one)
    assert [path.name for path in store.folder.iterdir()] == [f"{one.recipe.digest}.json"]
    assert (store.folder / f"{one.recipe.digest}.json").read_text(encoding="utf-8") == one.to_json() + "\n"
    other = Store(store.folder)
    assert one.recipe in other and one.recipe.but(seed=4) not in other
    assert other[one.recipe].to_json() == one.to_json()


def test_what_another_program_has_added_is_seen_and_stays(tmp_path: Path) -> None:
    mine, theirs = Store(tmp_path), Store(tmp_path)
    theirs.add(result(0, gray=0.1))
    assert len(mine) == 0
    mine.add(result(0, gray=0.2))
    assert mine[result(0).recipe].value("gray") == 0.1
    theirs.add(result(1))
    mine.refresh()
    assert len(mine) == 2


def test_packed_and_in_a_folder_are_one_store(tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    store.add(result(0))
    store.pack()
    store.add(result(1))
    again = Store(tmp_path / "results")
    assert {r.recipe.seed for r in again} == {0, 1}
    again.pack()
    shutil.rmtree(again.folder)
    assert [r.to_json() for r in Store(again.folder)] == [r.to_json() for r in again]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.jsonl"]


def test_the_results_that_come_with_the_course_are_read(tmp_path: Path) -> None:
    lines = Path(f"{MEASURED}.jsonl").read_text(encoding="utf-8").splitlines()
    store = Store(MEASURED)
    assert len(store) == len(lines) > 700
    for line, kept in zip(lines, store, strict=True):
        assert kept.metrics == json.loads(line)["metrics"]
        assert json.loads(kept.to_json())["metrics"] == kept.metrics


def test_what_has_a_results_place_is_named_before_the_run(tmp_path: Path) -> None:
    store, one = Store(tmp_path / "results"), result(0)
    store.add(one)
    place = store.folder / f"{one.recipe.digest}.json"
    for foreign in (result(1).to_json(), None):
        place.unlink()
        place.write_text(foreign) if foreign else place.mkdir()
        with pytest.raises(ValueError, match=rf"{place.name} is in the way of the result of another recipe; move or"):
            _ = one.recipe in Store(store.folder)


def test_inside_of_a_folder_its_packed_form_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "results")
    store.add(result(0))
    store.pack()
    (store.folder / f"{result(0).recipe.digest}.json").unlink()
    monkeypatch.chdir(store.folder)
    assert len(Store(".")) == len(Store("")) == 1


def test_half_a_line_that_a_kill_left_does_not_count(tmp_path: Path) -> None:
    packed = tmp_path / "results.jsonl"
    packed.write_text(f"{LINE}\n\n{LINE[: len(LINE) // 2]}", encoding="utf-8")
    assert len(Store(tmp_path / "results")) == 1
    packed.write_text(LINE, encoding="utf-8")  # whole, though an editor has left its end out
    assert len(Store(tmp_path / "results")) == 1


def test_any_world_has_results(tmp_path: Path) -> None:
    """Without colors, a result is its metrics; one that is not finite was not measured."""
    recipe = Recipe.profile("smoke")
    metrics = {"worst group": 0.4, "train a": 0.5, "train b": 0.7, "x": float("nan")}
    Store(tmp_path).add(Result(recipe, metrics, 1.0, {}))
    read = Store(tmp_path)[recipe]
    assert read.value("worst group") == 0.4 and read.value("train") == pytest.approx(0.6)
    assert read.value("x") is None and read.value("test p=0.9") is None
    assert list(read.corners) == list(read.validation) == []


def test_what_else_is_in_the_folder_is_left_alone(tmp_path: Path) -> None:
    names = ["notes.txt", "result.json", f"{'0' * 19}.json", f"{'0' * 20}.json.bak", f"{'0' * 20}.jsonl", ".0.json"]
    for name in names:
        (tmp_path / name).write_text("mine")
    (tmp_path / "folder").mkdir()
    store = Store(tmp_path)
    store.add(result())
    store.pack()
    tmp_path.with_name(f"{tmp_path.name}.jsonl").unlink()
    assert len(store) == 1 and {(tmp_path / name).read_text() for name in names} == {"mine"}
    assert len(list(tmp_path.iterdir())) == len(names) + 2


@pytest.mark.parametrize(
    "wrong",
    [
        lambda line: line[: len(line) // 2],
        lambda line: "",
        lambda line: "[]",
        lambda line: "[" * 100_000,
        lambda line: '{"lesson": "03_irmv1"}',
        lambda line: line.replace('"erm"', '"ermine"'),
        lambda line: line.replace('"cpu"', '"gpu"'),
        lambda line: json.dumps(json.loads(line) | {"metrics": {}}),
        lambda line: json.dumps(json.loads(line) | {"metrics": None}),
        lambda line: json.dumps(json.loads(line) | {"metrics": {"gray": "much"}}),
        lambda line: json.dumps(json.loads(line) | {"corners": [1, "x"]}),
        lambda line: json.dumps(json.loads(line) | {"validation": {}}),
        lambda line: json.dumps(json.loads(line) | {"history": [{"train": 0.5}]}),
        lambda line: json.dumps(json.loads(line) | {"history": [{"step": 1, "train": None}]}),
        lambda line: json.dumps(json.loads(line) | {"history": 3}),
        lambda line: json.dumps(json.loads(line) | {"made": []}),
        lambda line: json.dumps(json.loads(line) | {"cpu": None}),
        lambda line: json.dumps(json.loads(line) | {"cpu": -1.0}),
        lambda line: json.dumps(json.loads(line) | {"metrics": {"test \x1b[2J": 0.5}}),  # which a terminal would obey
        lambda line: json.dumps(json.loads(line) | {"x": 1}),
        lambda line: json.dumps(json.loads(line) | {"recipe": {"algorithm": "erm", "pace": 3}}),
        lambda line: '{"recipe": {' + '"a": [' * 5000,
    ],
)
def test_a_damaged_file_is_named_and_left_alone(wrong: Callable[[str], str], tmp_path: Path) -> None:
    folder, packed = tmp_path / "results", tmp_path / "results.jsonl"
    damaged = f"{LINE}\n{wrong(LINE) or '0'}\n{LINE}\n"
    packed.write_text(damaged, encoding="utf-8")
    with pytest.raises(ValueError, match=r"results\.jsonl, line 2 is not a result of `invtutor reproduce`; mend or"):
        Store(folder)
    assert packed.read_text(encoding="utf-8") == damaged
    packed.unlink()
    folder.mkdir()
    file = folder / f"{'0' * 20}.json"
    file.write_text(wrong(LINE), encoding="utf-8")
    with pytest.raises(ValueError, match=rf"{file.name} is not a result of"):
        Store(folder)
    assert file.read_text(encoding="utf-8") == wrong(LINE)


def test_what_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff")
    with pytest.raises(ValueError, match=r"`out` should be a folder for results. Found '.*picture\.png'"):
        Store(tmp_path / "picture.png")


# ------------------------------------------------------------------------------------------------- many at once

PROGRAM = """
import os, signal, sys, time
from types import SimpleNamespace

from invtutor.tables import executors, plan
from invtutor.tables.rows import Row, Table
from invtutor.tables.store import Result
from invtutor.worlds import colored_mnist

out, link = sys.argv[1], os.link
shared, alone = Table("Shared", ("a",), (Row("ERM", "erm"),)), Table("Alone", ("a",), (Row("V-REx", "vrex"),))
plan.TABLES = {"shared": shared, "alone": alone}
colored_mnist.load_digits = lambda *_, **__: SimpleNamespace(source="rendered")


def work(who, table, seeds, kill_at=0):
    '''Fill a table with runs that take no time; be killed when so many files are whole but not yet in place.'''
    links = 0

    def result(recipe, *_):
        time.sleep(0.002 * (1 + (recipe.seed + who) % 7))  # now this one is the first, now that
        return Result(recipe, {"a": 1.0}, 1.0, {"by": str(who)})

    def watched(source, target):
        nonlocal links
        links += 1
        if links == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        link(source, target)
        os.write(1, f"{os.path.basename(target)} {who}\\n".encode())

    executors._result, os.link = result, watched
    return executors.reproduce(out, "smoke", [table], seeds, source="rendered", quiet=True)  # which nothing is said of


ready, go = os.pipe()


def forked(*task):
    if (child := os.fork()) == 0:
        os.close(go)
        os.read(ready, 1)  # until all are there
        try:
            work(*task)
            os._exit(0)
        except BaseException as error:
            os.write(2, repr(error).encode())
        os._exit(1)
    return child


children = [forked(0, "alone", 20, 10)] + [forked(who, "shared", 40) for who in range(1, 8)]
os.close(go)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
print("codes", *codes, flush=True)
print("again", len(work(8, "alone", 20)), len(work(9, "shared", 40)))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_eight_processes_write_one_store_and_one_is_killed(tmp_path: Path) -> None:
    """Every run that had ended is there, as the first that ended it wrote it, and a rerun does the rest alone."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert f"codes {-signal.SIGKILL} 0 0 0 0 0 0 0\n" in done.stdout and done.stdout.endswith("again 20 40\n")
    said = [line.split() for line in done.stdout.splitlines() if ".json " in line]
    kept = dict(said)
    assert len(kept) == len(said), "a file was written twice"
    assert len(kept) == 60
    assert sum(who == "0" for who in kept.values()) == 9 and sum(who == "8" for who in kept.values()) == 11
    assert "9" not in kept.values() and len(set(kept.values()) - {"0", "8"}) > 1
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept), "nothing half-written"
    for read in Store(tmp_path):
        assert kept[f"{read.recipe.digest}.json"] == read.made["by"]
