"""The numbers in README's tables are those of the runs that come with the course."""

import re
from pathlib import Path
from statistics import fmean, median

import pytest

from invtutor.runs.history import spread
from invtutor.runs.recipe import Recipe, label
from invtutor.runs.trained_expert import WINS, TrainedExpert
from invtutor.tables import draws, search
from invtutor.tables.plan import series
from invtutor.tables.published import published
from invtutor.tables.reading import collect, values
from invtutor.tables.rows import END, TABLES
from invtutor.tables.store import MEASURED, Store
from invtutor.worlds import WORLDS
from invtutor.worlds.demonstrations import Demonstrations

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
RESULTS = list(Store(MEASURED))
ROWS = {row.label: values(found, "test p=0.9") for row, found in collect(RESULTS, "colored_mnist").items()}


def line(first: str) -> list[str]:
    """The cells of the table line that begins with a word."""
    (found,) = re.findall(rf"^\| {first} \|(.*)\|$", README, re.MULTILINE)
    return [cell.strip() for cell in found.split("|")]


def methods() -> list[str]:
    """The header above the line `measured`."""
    above = README[: README.index("\n| measured |")].splitlines()
    cells = [cell.strip() for cell in above[-2].strip("|").split("|")][1:]
    return [label("oracle") if cell == "gray" else cell for cell in cells]


def test_measured_and_published_side_by_side() -> None:
    assert len(methods()) >= 10
    for name, measured, known in zip(methods(), line("measured"), line("published"), strict=True):
        assert len(ROWS[name]) == 10
        assert measured == spread(list(ROWS[name].values())).percent(), name
        found = published("colored_mnist", name, "test p=0.9")[:1]
        assert known == (str(found[0]) if found else "–"), name


def test_what_bfloat16_saves() -> None:
    seconds = []
    for precision in ("bfloat16", "float32"):
        found = []
        for method in ("irmv1", "vrex", "meta_irm"):
            usual = series(Recipe.profile("quick", method, precision=precision).but(every=END))
            found.append(fmean(result.cpu for result in RESULTS if series(result.recipe) == usual))
        seconds.append("{:.1f}, {:.1f} and {:.1f}".format(*found))
    told = " ".join(README.split())
    assert f"took {seconds[0]} processor seconds a seed in place of {seconds[1]}, beside" in told


@pytest.mark.parametrize("name", ["IRMv1", "V-REx", "meta-IRM", "MAPLE"])
def test_five_seeds(name: str) -> None:
    five = [value for seed, value in ROWS[name].items() if seed < 5]
    assert len(five) == 5
    (cell,) = line(f"{name}: accuracy at p = 0.9; time a seed")
    assert cell.startswith(f"{spread(five).percent()} %")


def test_how_far_meta_irm_is_from_its_published_number() -> None:
    known = published("colored_mnist", "meta-IRM", "test p=0.9")[0].mean
    assert known is not None and "meta-IRM misses its published number by one and a half points" in README
    assert known - spread(list(ROWS["meta-IRM"].values())).mean == pytest.approx(0.015, abs=0.004)


def test_what_was_never_run_on_real_data_is_named() -> None:
    """As far as the runs that come with the course can tell: a world that reads files nobody may pass on has none."""
    real = {name for name, kind in WORLDS.items() if kind.__module__.endswith("photographs") or "cifar" in name}
    (told,) = (part for part in README.split("\n\n") if part.startswith("| world | data | run on them |"))
    said = {
        name: row.strip(" |").split("|")[-1] for row in told.splitlines()[2:] for name in re.findall("`(.+?)`", row)
    }
    assert said.keys() == WORLDS.keys() and "Nor was a frozen ResNet run with ImageNet's weights" in README
    assert {name for name, word in said.items() if word.strip() == "never"} == real and len(real) == 4
    assert not real & {result.recipe.world for result in RESULTS}
    made = {result.recipe.world: result.made["digits"].split()[0] for result in RESULTS}
    assert {made[name] for name, word in said.items() if word.split()[0].startswith("yes")} == {"mnist", "CoinRun"}
    for name, table in TABLES.items():
        relatives = [row for row in table.rows if "world" in row.changes]
        assert not any(published(name, row.label, column) for row in relatives for column in table.columns)


def test_what_the_search_kept() -> None:
    (told,) = (part for part in README.split("\n\n") if part.startswith("`invtutor search` makes such a choice"))
    trials, text = Store(MEASURED.with_name("search")), " ".join(told.split())
    worlds = {5: "five"}[len(draws.CELLS)]
    assert (
        f"in {worlds} worlds: {draws.COUNT} settings each" in text and f"{len(trials):,} trials on validation" in text
    )
    kept = {key for key, (place,) in search.kept(trials, len(search.ROUNDS)).items() if place == 0}
    at = {samples: {m for cell, m in kept if cell == f"{samples} per environment"} for samples in ("25,000", "12,500")}
    assert "At 25,000 samples per environment it kept the values that all three methods then had" in text
    assert at == {"25,000": {*draws.METHODS}, "12,500": {"irmv1", "vrex"}}
    assert sum(method == "vrex" for _, method in kept) == 3, "most of V-REx's, as lesson 08 says"


def test_what_adam_s_new_start_is_worth() -> None:
    parts = [" ".join(part.split()) for part in README.split("\n\n")]
    (told,) = (part for part in parts if part.startswith("Over the ten seeds reported"))
    assert "V-REx with both is half a point better at p = 0.5 than without either" in told
    assert "the restart alone or the shorter steps alone gain nothing" in told
    found = {row.label: values(some, "test p=0.5") for row, some in collect(RESULTS, "restart").items()}
    gains = {
        name: spread([values[seed] - found["goes on"][seed] for seed in range(10)]) for name, values in found.items()
    }
    assert gains["starts anew, shorter steps"].mean == pytest.approx(0.005, abs=0.001)
    assert gains["starts anew, shorter steps"].low > 0
    assert max(gains[name].mean for name in ("starts anew", "goes on, shorter steps")) < 0


@pytest.mark.parametrize(("label", "method"), [("IRMv1", "irmv1"), ("V-REx", "vrex"), ("meta-IRM", "meta_irm")])
def test_how_the_quick_profile_was_chosen(label: str, method: str) -> None:
    recipe = Recipe.profile("quick", method)
    batch, decay, late, l2, anneal, steps, _ = line(label)
    assert recipe.restart and float(late) == recipe.late_rate
    assert {"none": "constant", "cosine after annealing": "cosine"}[decay] == recipe.decay
    assert (float(l2), int(anneal), int(steps)) == (recipe.l2, recipe.anneal, recipe.steps)
    assert batch == f"{recipe.batch_size:,}"
    usual = f"{recipe.width} and minibatches of {Recipe.profile('quick', 'mmrex').batch_size:,} samples per environment"
    assert usual in " ".join(README.split())


def test_what_mm_rex_shares_with_v_rex() -> None:
    ours, theirs = (Recipe.profile("quick", method) for method in ("mmrex", "vrex"))
    assert (ours.batch_size, ours.steps) == (theirs.batch_size, theirs.steps)
    (told,) = (" ".join(part.split()) for part in README.split("\n\n") if part.startswith("MM-REx has V-REx's batches"))
    assert (ours.late_rate, ours.decay, ours.l2) == (0.2, "cosine", 2e-3)
    assert f"to a fifth once annealing ends, after {ours.anneal} steps" in told and "its L2 is 2e-3" in told


def test_random_labels_and_a_residual_network() -> None:
    found = {(row.group, row.label): some for row, some in collect(RESULTS, "random_labels_residual").items()}
    (told,) = (" ".join(part.split()) for part in README.split("\n\n") if part.startswith("With random labels"))
    place = 0
    for group, column in (
        ("random labels", "train"),
        ("true labels", "train"),
        ("25 % noisy labels", "mislabelled recalled"),
        ("25 % noisy labels", "mislabelled seen through"),
        ("25 % noisy labels", "test"),
    ):
        for tau in ("τ = 0", "τ = 0.2"):
            measured = spread(list(values(found[group, tau], column).values()))
            assert measured.count == 3
            place = told.index(f"{measured.percent()} %", place) + 1
    assert 60 < sorted(run.cpu for some in found.values() for run in some)[9] < 80, "some 70 s"
    assert {(some[0].recipe.width, some[0].recipe.samples) for some in found.values()} == {(4, 2000)}


def test_clones_on_coinrun() -> None:
    rows = {row.label: (row.recipe("quick"), found) for row, found in collect(RESULTS, "coinrun").items()}
    told = " ".join(README[README.index("CoinRun (`-p world=coinrun`)") :].split())
    place = 0
    for name, (recipe, found) in rows.items():
        risk = spread(list(values(found, "test excess risk").values()))
        place = told.index(f"{risk.mean:.4f} [{risk.low:.4f}, {risk.high:.4f}]", place)
        assert (risk.count, recipe.environments, recipe.network) == (5, 64, "perceptron"), name
        assert max(values(found, "train").values()) < 0.55 and max(values(found, "test").values()) < 0.5
    assert f"from {Demonstrations().states} states a level" in told and len(rows) == 3
    residual = {row.label: found for row, found in collect(RESULTS, "coinrun_residual").items()}
    blind = values(residual["ERM"], "blind excess risk")
    ends = {name: values(found, "test excess risk") for name, found in residual.items()}
    for risks in (blind, *ends.values()):
        risk = spread(list(risks.values()))
        place = told.index(f"{risk.mean:.4f} [{risk.low:.4f}, {risk.high:.4f}]", place)
    for _, found in rows.values():
        assert all(risk > blind[seed] for seed, risk in values(found, "test excess risk").items())
    for name, base in (*((name, blind) for name in ends), *((name, ends["ERM"]) for name in [*ends][1:])):
        apart = spread([ends[name][seed] - base[seed] for seed in range(5)])
        assert apart.low is not None and apart.high is not None and apart.low < 0 < apart.high, name
    assert {found[0].recipe.steps for found in residual.values()} == {100}
    assert f"on {TrainedExpert().frames:,} frames" in told and f"fewer than {100 * WINS:.0f} % of its levels" in told


@pytest.mark.parametrize("name", re.findall(r"^\| (.+), full batches \|", README, re.MULTILINE))
def test_the_published_setting(name: str) -> None:
    found = collect(Store(MEASURED.with_name("paper")), "colored_mnist", "paper")
    (runs,) = (runs for row, runs in found.items() if row.label == name)
    *cells, seeds = line(f"{name}, full batches")
    for rate, cell in zip((0.1, 0.2, 0.9), cells, strict=True):
        measured = spread([run.metrics[f"test p={rate}"] for run in runs])
        known = published("colored_mnist", name, f"test p={rate}")
        assert cell == f"{measured.percent()} ({known[0] if known else '–'})"
        assert measured.count == int(seeds) == len({run.recipe.seed for run in runs})
    usual = Recipe.profile("paper", runs[0].recipe.algorithm, precision="bfloat16")
    names = ("precision", "steps", "batch_size", "width")
    assert {tuple(getattr(run.recipe, n) for n in names) for run in runs} == {tuple(getattr(usual, n) for n in names)}
    low, high = {"IRMv1": (150, 210), "V-REx": (150, 210), "meta-IRM": (450, 510)}.get(name, (0, 600))
    assert low < median(run.cpu for run in runs) < high, "some three minutes; eight"
