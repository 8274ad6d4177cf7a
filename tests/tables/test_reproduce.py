"""The tables as data, what fills them, stopped or not, and what they say."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from invtutor.algorithms import ALGORITHMS, ERM
from invtutor.runs.budgets import PROFILES
from invtutor.runs.history import spread
from invtutor.runs.recipe import Recipe
from invtutor.runs.run import Run, run
from invtutor.tables import executors, reading
from invtutor.tables import plan as planning
from invtutor.tables import rows as the_rows
from invtutor.tables.executors import reproduce
from invtutor.tables.plan import plan, series
from invtutor.tables.reading import beside, candidates, collect, color_balanced, layout, means, picked, settings, values
from invtutor.tables.rows import DRAWS, END, RATES, TABLES, Row, Table, usual
from invtutor.tables.selection import BY_GROUPS, CRITERIA
from invtutor.tables.store import MEASURED, Result, Store
from invtutor.worlds import colored_mnist, random_labels
from invtutor.worlds.digits import Digits

TINY = {"samples": 60, "width": 4, "batch_size": 20, "steps": 4, "anneal": 1}


@pytest.fixture
def small(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> list[Recipe]:
    """Two tables of tiny runs on the tests' digits; the recipes that were really run."""
    tables = {
        "colored_mnist": Table(
            "Small", ("train", "test p=0.9"), (Row("ERM", "erm", TINY), Row("IRMv1", "irmv1", TINY)), {"smoke": 2}
        ),
        "insufficient": Table(
            "Groups",
            ("test p=0.9",),
            (Row("ERM", "erm", TINY, "same"), Row("V-REx", "vrex", TINY | {"samples": 40}, "fewer")),
            {"smoke": 1},
        ),
    }
    started: list[Recipe] = []

    def counted(recipe: Recipe, **options: Any) -> Run:
        started.append(recipe)
        return run(recipe, **options)

    for room in (the_rows, planning, reading):
        monkeypatch.setattr(room, "TABLES", tables)
    for world in (colored_mnist, random_labels):
        monkeypatch.setattr(world, "load_digits", lambda source, quiet: digits)
    monkeypatch.setattr(executors, "run", counted)
    return started


# ------------------------------------------------------------------------------------------------- the tables


@pytest.mark.parametrize("profile", PROFILES)
def test_every_row_is_a_recipe_in_every_profile(profile: str) -> None:
    planned = plan(profile, seeds=2)
    assert len(planned) == len(set(planned.values()))
    assert {recipe.seed for recipe in planned} == {0, 1}
    for table in TABLES.values():
        assert len({row.name for row in table.rows}) == len(table.rows)
        assert table.seeds.keys() == set(PROFILES)


def test_colored_mnist_has_every_method_and_the_oracle() -> None:
    assert {row.method for row in TABLES["colored_mnist"].rows} == {*ALGORITHMS, "oracle"}
    assert {row.label for row in TABLES["ablations"].rows} >= {"full", "no deviation", "first order"}


def test_a_new_method_has_a_row_that_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(ERM):
        label = "mine"

    monkeypatch.setitem(ALGORITHMS, "mine", Mine)
    assert any("mine" in name for name in plan("quick", ["colored_mnist"], 1).values())
    last = str(layout([], "colored_mnist")).splitlines()[-1]
    assert last.startswith("mine ") and "not run (–)" in last


def test_tables_of_drawn_pictures_see_as_many_samples_a_step_in_every_row() -> None:
    for name, world in (("worst_group", "animals"), ("shapes_mnist", "shapes_mnist")):
        for row in TABLES[name].rows:
            recipe = row.recipe("quick")
            environments = {"jtt": 1, "upweighting": 1, "group_dro": 4}.get(row.method, 2)
            assert (recipe.world, recipe.network) == (world, "residual")
            if row.method == "maple":  # whose steps each train a network
                assert recipe.inner_batch == 48 and recipe.batch_size is None
                continue
            assert environments * (recipe.batch_size or 0) == 48, row.name
            assert recipe.steps == TABLES[name].rows[0].recipe("quick").steps


def test_methods_share_the_world_of_a_seed() -> None:
    recipes = [row.recipe("quick", seed=3) for row in TABLES["two_spurious"].rows]
    worlds = {(r.seed, r.flip_rates, r.label_noise, r.classes, r.patch, r.samples, r.source) for r in recipes}
    assert len(recipes) > 3 and len(worlds) == 1 and recipes[0].patch


def test_what_tables_share_is_planned_once() -> None:
    both = plan("quick", ["colored_mnist", "ablations"], 1)
    alone = [plan("quick", [name], 1) for name in ("colored_mnist", "ablations")]
    assert len(both) == sum(map(len, alone)) - 1  # meta-IRM as it is


def test_what_is_published_stands_in_a_row_of_its_table() -> None:
    content = json.loads(Path(planning.__file__).with_name("published.json").read_text(encoding="utf-8"))
    for entry in content["tables"]:
        rows = {row.label for row in TABLES[entry["table"]].rows}
        if entry["table"] == "selection":
            assert entry["group"] in CRITERIA
            assert rows <= entry["rows"].keys()  # theirs has more methods
        else:
            assert entry["rows"].keys() - {"MAPLE"} <= rows
            assert entry["group"] in {row.group for row in TABLES[entry["table"]].rows}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"profile": "fast"}, "`profile` should be one of smoke"),
        ({"profile": "quick", "tables": ["colored"]}, "`tables` should be one of colored_mnist, .* Found 'colored'"),
        ({"profile": "quick", "seeds": 0}, "`seeds` should be a whole number in .* Found 0."),
    ],
)
def test_a_wrong_plan_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan(**arguments)


# ------------------------------------------------------------------------------------------------- running


def test_a_sweep_fills_its_folder_and_a_second_one_runs_nothing(small: list[Recipe], tmp_path: Path) -> None:
    out = tmp_path / "new" / "results"
    first = reproduce(out, "smoke", quiet=True)
    assert len(first) == len(small) == len(list(out.iterdir())) == 5  # ERM of the second table is that of the first
    again = reproduce(out, "smoke", quiet=True)
    assert len(small) == 5 and [r.to_json() for r in again] == [r.to_json() for r in first]
    Store(out).pack()
    shutil.rmtree(out)
    assert len(reproduce(out, "smoke", quiet=True)) == 5 and len(small) == 5 and not out.exists()
    assert len(reproduce(out, "smoke", ["colored_mnist"], 3, quiet=True)) == 6 and len(small) == 7
    assert len(list(out.iterdir())) == 2


@pytest.mark.parametrize("stop", [KeyboardInterrupt, MemoryError])
def test_stopped_midway_it_goes_on_and_ends_the_same(
    stop: type[BaseException], small: list[Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, halted = tmp_path / "whole", tmp_path / "halted"
    wanted = [timeless(result) for result in reproduce(whole, "smoke", quiet=True)]
    small.clear()
    go_on: Callable[..., Run] = executors.run

    def fails_third(recipe: Recipe, **options: Any) -> Run:
        if len(small) == 2:
            raise stop
        return go_on(recipe, **options)

    monkeypatch.setattr(executors, "run", fails_third)
    with pytest.raises(stop):
        reproduce(halted, "smoke", quiet=True)
    kept = {path.name for path in halted.iterdir()}
    assert len(kept) == 2 and kept < {path.name for path in whole.iterdir()}
    monkeypatch.setattr(executors, "run", go_on)
    assert [timeless(result) for result in reproduce(halted, "smoke", quiet=True)] == wanted
    assert len(small) == 5 and len({recipe.to_json() for recipe in small}) == 5


def timeless(result: Result) -> dict[str, Any]:
    """What is kept, but for what no two runs share."""
    kept: dict[str, Any] = json.loads(result.to_json())
    del kept["cpu"], kept["metrics"]["seconds"], kept["made"]["date"]
    return kept


def test_two_programs_share_a_folder(small: list[Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the first trains its third recipe, another runs the whole sweep: its results stay; none is run again."""
    go_on: Callable[..., Run] = executors.run
    others: list[Result] = []

    def meanwhile(recipe: Recipe, **options: Any) -> Run:
        if len(small) == 2:
            monkeypatch.setattr(executors, "run", go_on)
            others.extend(reproduce(tmp_path, "smoke", quiet=True))
        return go_on(recipe, **options)

    monkeypatch.setattr(executors, "run", meanwhile)
    results = reproduce(tmp_path, "smoke", quiet=True)
    assert len(small) == 6, "the third was run by both"
    assert [r.to_json() for r in results] == [r.to_json() for r in others] and len(Store(tmp_path)) == 5


def test_rows_of_other_worlds(tmp_path: Path, small: list[Recipe]) -> None:
    """A world without digits runs as it is; one of digits on those that are found; what a row lacks is not run."""
    tiny = {"steps": 3, "batch_size": 20, "width": 4}
    rows = (Row("ERM", "erm", tiny | {"world": "spirals"}), Row("V-REx", "vrex", tiny | {"world": "random_labels"}))
    planning.TABLES["insufficient"] = Table("Worlds", ("train", "test", "test p=0.9"), rows, {"smoke": 1})
    spirals, labels = reproduce(tmp_path, "smoke", ["insufficient"], quiet=True)
    assert (spirals.made["digits"], labels.made["digits"]) == ("none", "rendered") == ("none", labels.recipe.source)
    assert not spirals.corners and not labels.validation and spirals.value("train") == spirals.metrics["train"]
    again = reproduce(tmp_path, "smoke", ["insufficient"], quiet=True)
    assert [r.to_json() for r in again] == [r.to_json() for r in (spirals, labels)]
    assert len(small) == 2
    for line in str(layout([spirals, labels], "insufficient", "smoke")).splitlines()[1:]:
        assert line.split()[1] != "not" and " – (–)" in line and "not run" not in line, "it ran, and has no such number"


def test_a_row_that_is_watched_keeps_what_it_saw(tmp_path: Path, small: list[Recipe]) -> None:
    tiny = {
        "world": "random_labels",
        "steps": 8,
        "samples": 80,
        "test_samples": 20,
        "width": 2,
        "network": "perceptron",
    }
    rows = (Row("τ = 0", "and_mask", tiny | {"threshold": 0.0, "every": 2, "relabeled": 0.5}), Row("ERM", "erm", tiny))
    columns = ("train at 25%", "train", "mislabelled recalled")
    planning.TABLES["insufficient"] = Table("Watched", columns, rows, {"smoke": 1})
    watched, other = reproduce(tmp_path, "smoke", ["insufficient"], quiet=True)
    assert [record["step"] for record in watched.history] == [1, 2, 4, 6, 8] and not other.history
    assert watched.value("train at 25%") == watched.history[1]["train"]
    assert watched.value("test at 70%") == watched.history[-1]["test"] == watched.value("test"), "the next look"
    assert other.value("train at 25%") is watched.value("gray at 25%") is None
    assert (
        Store(tmp_path)[watched.recipe].to_json() == watched.to_json() == Result.from_json(watched.to_json()).to_json()
    )
    assert '"history"' in watched.to_json() and '"history"' not in other.to_json()


def test_random_labels_have_a_row_for_every_threshold_and_kind_of_labels() -> None:
    rows = TABLES["random_labels"].rows
    assert {(row.recipe("quick").threshold, row.recipe("quick").relabeled) for row in rows} == {
        (threshold, share) for threshold in (0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8) for share in (0, 0.25, 1)
    }
    for profile in PROFILES:
        recipes = [row.recipe(profile) for row in rows]
        network = "perceptron" if profile == "quick" else "residual"
        assert {(r.world, r.network, r.shares, r.batch_size) for r in recipes} == {("random_labels", network, 80, 1)}
        few = few_of(profile)
        assert {recipe.network for recipe in few} == {"residual"}
        assert {(recipe.threshold, recipe.relabeled) for recipe in few} == {
            (threshold, share) for threshold in (0, 0.2) for share in (0, 0.25, 1)
        }
        assert all(1 < recipe.steps / recipe.every <= 8 for recipe in (*recipes, *few)), "it is watched on the way"
        assert (profile == "quick") != ({*few} <= {*recipes}), "the paper's network has both tables"
    own = Recipe.profile("quick", "and_mask", world="random_labels_cifar10")
    assert {(r.network, r.width, r.samples, r.steps, r.learning_rate) for r in few_of("quick")} == {
        (own.network, own.width, own.samples, own.steps, own.learning_rate)
    }, "what color pictures have"


def few_of(profile: str) -> list[Recipe]:
    return [row.recipe(profile) for row in TABLES["random_labels_residual"].rows]


def test_behind_the_mask_a_perceptron_sees_through_wrong_labels() -> None:
    """The stored rows, on three seeds of MNIST: what is learned by heart falls with τ, and so does what is learned."""
    found = {
        (r.recipe.relabeled, r.recipe.threshold, r.recipe.seed): r.metrics
        for r in Store(MEASURED)
        if (r.recipe.world, r.recipe.network) == ("random_labels", "perceptron")
    }
    for seed in range(3):
        by_heart = [found[1.0, tau, seed]["train"] for tau in (0, 0.05, 0.1, 0.2)]
        assert by_heart == sorted(by_heart, reverse=True) and by_heart[0] > 0.95 and by_heart[-1] < 0.3
        bare, masked = found[0.25, 0.0, seed], found[0.25, 0.1, seed]
        assert bare["mislabelled recalled"] > 0.95 > 0.5 > masked["mislabelled recalled"]
        assert masked["mislabelled seen through"] > 0.5 > 0.05 > bare["mislabelled seen through"]
        assert found[0.0, 0.0, seed]["test"] > found[0.0, 0.2, seed]["test"]


def test_behind_the_mask_a_residual_network_does_not_learn_by_heart() -> None:
    """The stored rows, on three seeds of MNIST."""
    found = {
        (r.recipe.relabeled, r.recipe.threshold, r.recipe.seed): r.metrics
        for r in Store(MEASURED)
        if (r.recipe.world, r.recipe.network) == ("random_labels", "residual")
    }
    assert len(found) == 18
    for seed in range(3):
        assert found[1.0, 0.0, seed]["train"] > 0.95 and found[1.0, 0.2, seed]["train"] < 0.4
        assert min(found[0.0, tau, seed]["train"] for tau in (0, 0.2)) > 0.95
        bare, masked = found[0.25, 0.0, seed], found[0.25, 0.2, seed]
        assert bare["mislabelled recalled"] > 0.95 > 0.3 > masked["mislabelled recalled"]
        assert masked["mislabelled seen through"] > 0.6 > 0.05 > bare["mislabelled seen through"]
        assert masked["test"] > bare["test"]


def test_a_run_that_diverges_is_named_and_stops_no_other(
    small: list[Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    go_on: Callable[..., Run] = executors.run

    def diverges(recipe: Recipe, **options: Any) -> Run:
        if recipe.algorithm == "irmv1" and recipe.seed == 0:
            raise FloatingPointError("risk is nan at step 3.")
        return go_on(recipe, **options)

    monkeypatch.setattr(executors, "run", diverges)
    results = reproduce(tmp_path / "results", "smoke", quiet=True)
    name = "colored_mnist: IRMv1, seed 0"
    assert len(results) == 4 and results.diverged == {name: "risk is nan at step 3."}
    assert capsys.readouterr().err == f"{name}: risk is nan at step 3.\n"
    monkeypatch.setattr(executors, "run", go_on)
    again = reproduce(tmp_path / "results", "smoke", quiet=True)
    assert len(again) == len(small) == 5 and not again.diverged, "what was not finished is run again"


def test_the_bar_names_the_run(small: list[Recipe], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reproduce(tmp_path / "results", "smoke", ["insufficient"])
    said = capsys.readouterr()
    assert "insufficient: V-REx, fewer, seed 0" in said.err and said.out == ""


# ------------------------------------------------------------------------------------------------- reading


def test_a_result_says_what_made_it_and_comes_back_whole(small: list[Recipe], tmp_path: Path) -> None:
    out = tmp_path / "results"
    (kept, *_) = reproduce(out, "smoke", quiet=True)
    read = Store(out)[kept.recipe]
    assert read.to_json() == kept.to_json() and read.recipe == kept.recipe
    assert {"profile", "digits", "device", "date", "torch", "python", "invtutor"} == read.made.keys()
    assert read.made["digits"] == read.recipe.source == "rendered" and read.cpu > 0
    fresh = run(read.recipe, progress=False)
    assert fresh.corners is not None and read.corners == pytest.approx(fresh.corners.tolist())
    trained = [value for name, value in fresh.metrics.items() if name.startswith("train p=")]
    assert read.value("train") == pytest.approx(sum(trained) / 2, abs=1e-4)
    assert read.value("test p=0.9") == pytest.approx(fresh.metrics["test p=0.9"], abs=1e-4)


def test_the_text_of_a_table(small: list[Recipe], tmp_path: Path) -> None:
    results = reproduce(tmp_path / "results", "smoke", quiet=True)
    found = collect(results, "colored_mnist", "smoke")
    assert [len(runs) for runs in found.values()] == [2, 2]
    erm = next(iter(found.values()))
    assert values(erm, "test p=0.9") == {0: erm[0].metrics["test p=0.9"], 1: erm[1].metrics["test p=0.9"]}
    measured, known = beside(results, "colored_mnist", "test p=0.9", "smoke")
    assert measured["ERM"] == list(values(erm, "test p=0.9").values()) and known["IRMv1"] == pytest.approx(
        (0.669, 0.025)
    )
    assert beside(results, "insufficient", "test p=0.9", "smoke", group="fewer")[1] == {}
    both = means(results, "test p=0.9", "colored_mnist", "insufficient", profile="smoke")
    assert both.keys() == {"ERM", "IRMv1", "V-REx"} and both["IRMv1"] == spread(measured["IRMv1"]).mean
    assert means(results, "test worst group", "colored_mnist", profile="smoke") == {}
    head, first, second = str(layout(results, "colored_mnist", "smoke")).splitlines()
    assert head.split() == ["Small", "train", "test", "p=0.9", "seeds", "s", "a", "run"]
    assert first.startswith("ERM ") and "(16.4 ± 0.8)" in first and " 2 " in first
    assert "(66.9 ± 2.5)" in second
    grouped = str(layout(results[:1], "insufficient", "smoke")).splitlines()
    assert [line.split()[0] for line in grouped] == ["Groups", "same:", "ERM", "fewer:", "V-REx"]
    assert "not run" in grouped[-1] and "not run" not in grouped[2]


def test_candidates_of_the_selection_lab(tmp_path: Path) -> None:
    """From made-up results, the left-out accuracy is read off the line of the run that went without."""
    made = []
    for row in TABLES["selection"].rows:
        corners = [1.0, 0.0] if "without" in row.group else [0.8, 0.6]
        recipe = row.recipe("quick", seed=5)
        metrics = {f"validation p={rate:g}": rate for rate in recipe.flip_rates} | {"test p=0.9": 0.5}
        made.append(Result(recipe, metrics, 1.0, {}, corners, corners))
    ((first, *others),) = candidates(made)
    assert len(others) == 4 * DRAWS - 1
    assert first.method == "ERM" and first.setting == "setting 0" and first.test == 0.5
    assert first.validation == (0.1, 0.2, 0.3)
    assert first.left_out == pytest.approx((0.9, 0.8, 0.7))
    assert CRITERIA["oracle"](first) == pytest.approx(0.62)
    assert candidates(made[:-1]) == []
    text = str(layout(made, "selection"))
    assert "50.0 (58.5 ± 3.3 s.e.)" in text and text.splitlines()[0].split()[-1] == "seeds"


def test_what_rules_pick_where_there_are_groups() -> None:
    """From made-up results: the validation's metric decides, seed by seed; the test is only told."""
    rows = TABLES["group_selection"].rows
    labels = [row.label for row in rows]
    assert all(labels.count(label) == 3 for label in labels)
    shared = {series(row.recipe("quick")) for row in TABLES["worst_group"].rows}
    assert all((series(row.recipe("quick")) in shared) == (row.group == "setting 0") for row in rows)
    made = []
    for seed in range(2):
        for row in rows:
            best = (int(row.group[-1]) + seed) % 3  # 2: for the average, 1: for the worst group
            metrics = dict.fromkeys(BY_GROUPS.values(), 0.5 + 0.1 * best)
            metrics |= {"validation worst group": 0.3 * (best == 1), "test worst group": best / 10}
            made.append(Result(row.recipe("quick", seed=seed), metrics, 1.0, {}))
    for rule, by_method in picked(made).items():
        told = 0.1 if rule == "worst group" else 0.2
        assert by_method.keys() == {*labels}
        for some in by_method.values():
            assert [result.recipe.seed for result in some] == [0, 1]
            assert [result.metrics["test worst group"] for result in some] == [told, told]
    head, *lines = str(layout(made, "group_selection")).splitlines()
    assert all(rule in head for rule in BY_GROUPS) and len(lines) == 3
    assert "20.0 ± 0.0" in lines[0] and "10.0 ± 0.0" in lines[0] and lines[0].split()[-1] == "2"
    assert [result.recipe.seed for result in picked(made[1:])["average"]["JTT"]] == [1], "one of its runs is missing"
    old = Result(made[0].recipe, {"validation": 0.9, "test worst group": 0.1}, 1.0, {})
    assert len(picked([old, *made[1:]])["average"]["JTT"]) == 1, "one was run before the rules were there"


def test_settings_of_a_method_differ_and_start_with_its_own() -> None:
    rows = [row for row in TABLES["selection"].rows if row.method == "vrex" and "without" not in row.group]
    assert len({json.dumps(dict(row.changes)) for row in rows}) == DRAWS
    own = Recipe.profile("paper", "vrex", every=END, flip_rates=RATES, samples=50_000 // 3)
    assert rows[0].recipe("paper") == own


def test_the_results_that_come_with_the_course_are_those_of_today_s_settings() -> None:
    """After a change of a quick setting: `make measured`. A new method, or a table of which nothing was run, waits for
    it."""
    results = list(Store(MEASURED))
    known = {result.recipe.algorithm for result in results}
    assert {r.made["profile"] for r in results} == {"quick"}
    made = {r.recipe.world: r.made["digits"].split()[0] for r in results}
    assert {"animals": "drawn", "coinrun": "CoinRun"}.items() <= made.items()
    assert {word for world, word in made.items() if world not in ("animals", "coinrun")} == {"mnist"}
    missing = {
        f"{name}: {row.name}": len(found)
        for name in TABLES
        if any(collect(results, name).values())
        for row, found in collect(results, name).items()
        if row.method in known and len(found) < (3 if name == "colored_mnist" else 1)
    }
    assert not missing
    assert candidates(results)


def test_a_seed_that_was_run_twice_counts_once_and_in_float32() -> None:
    row = TABLES["colored_mnist"].rows[0]
    made = [
        Result(row.recipe("smoke", seed=seed, precision=precision, source="mnist"), {"test p=0.9": value}, 1.0, {})
        for seed, precision, value in ((1, "bfloat16", 0.2), (0, "float32", 0.3), (0, "bfloat16", 0.4))
    ]
    for results in (made, made[::-1]):
        (found,) = (found for found in collect(results, "colored_mnist", "smoke").values() if found)
        assert values(found, "test p=0.9") == {0: 0.3, 1: 0.2}
    only = str(layout(made, "colored_mnist", "smoke", only=[row.label])).splitlines()
    assert len(only) == 2 and only[1].startswith(row.label)


def test_products_in_bfloat16_are_as_right_as_in_float32() -> None:
    """The stored runs of the same ten seeds in both: no mean difference is large, and two are told from zero."""
    told = set()
    made = {r.recipe: r for r in Store(MEASURED)}
    halved = [r for r in made.values() if r.recipe.precision == "bfloat16"]
    by_method = {
        name: [r for r in halved if r.recipe.algorithm == name] for name in ("erm", "irmv1", "vrex", "meta_irm")
    }
    assert sum(map(len, by_method.values())) == len(halved)
    for name, runs in by_method.items():
        whole = [made[r.recipe.but(precision="float32")] for r in runs]
        assert {r.recipe.seed for r in runs} == set(range(10))
        assert {r.recipe.steps for r in runs} == {Recipe.profile("quick", name).steps}
        for rate in (0.1, 0.2, 0.9):
            key = f"test p={rate}"
            apart = spread([a.metrics[key] - b.metrics[key] for a, b in zip(runs, whole, strict=True)])
            assert apart.low is not None and apart.high is not None
            assert abs(apart.mean) < 0.002, (name, key)
            if not apart.low < 0 < apart.high:
                told.add((name, rate))
    assert told == {("irmv1", 0.9), ("vrex", 0.2)}, "which README names"


def test_results_in_the_published_setting_fill_rows_of_its_table() -> None:
    results = list(Store(MEASURED.with_name("paper")))
    assert {result.made["profile"] for result in results} == {"paper"}
    rows = collect(results, "colored_mnist", "paper")
    assert sum(map(len, rows.values())) == len(results)
    assert all(len(found) >= 3 for row, found in rows.items() if row.method in ("erm", "irmv1", "vrex"))


def test_the_color_balanced_ceiling_is_the_middle_of_upweightings_line() -> None:
    (row,) = (row for row in TABLES["colored_mnist"].rows if row.method == "upweighting")
    made = [
        Result(row.recipe("quick", seed=seed), {"test p=0.5": value}, 1.0, {})
        for seed, value in enumerate((0.70, 0.72))
    ]
    assert color_balanced(made) == pytest.approx(0.71)
    assert color_balanced([]) is None


def test_clones_of_an_expert_on_new_levels_are_alike() -> None:
    """The stored rows, on five seeds, each with levels of its own: in pairs both masks are a little worse than Adam."""
    found = {row.method: values(runs, "test excess risk") for row, runs in collect(Store(MEASURED), "coinrun").items()}
    assert {*found} == {"erm", "temporal_mask", "and_mask"} and all(len(runs) == 5 for runs in found.values())
    for method in ("temporal_mask", "and_mask"):
        more = spread([found[method][seed] - found["erm"][seed] for seed in range(5)])
        assert more.low is not None and 0 < more.low < more.mean < 0.01


def test_what_needs_data_that_somebody_brings_is_run_where_it_is_named() -> None:
    assert {*TABLES} - {*usual()} == {"searched", "coinrun", "coinrun_residual"}
    assert not any("coinrun" in name for name in plan("quick", seeds=1).values())
    both = [plan("quick", [name], 1) for name in ("coinrun", "coinrun_residual")]
    assert {recipe.environments for planned in both for recipe in planned} == {64}
    assert [{recipe.network for recipe in planned} for planned in both] == [{"perceptron"}, {"residual"}]
    assert {*plan("paper", ["coinrun_residual"])} == {*plan("paper", ["coinrun"])}


def test_risks_are_told_in_nats_with_their_interval() -> None:
    row, *others = TABLES["coinrun"].rows
    results = [
        Result(row.recipe("quick", seed=seed), {"train": 0.5, "test": 0.4, "test excess risk": risk}, 1.0, {})
        for seed, risk in enumerate((0.09, 0.1, 0.11))
    ]
    line = str(layout(results, "coinrun")).splitlines()[1]
    assert "40.0 ± 0.0 (–)" in line and "0.1000 [0.0752, 0.1248] (–)" in line and len(others) == 2
    assert "0.1000 [0.0752, 0.1248]" in str(settings(results)) and "0.0900 (–)" in str(layout(results[:1], "coinrun"))
