"""The search for settings: what is drawn, which settings come into the next round, and what the stored trials chose."""

from pathlib import Path
from typing import Any

import pytest

from invtutor.runs.recipe import Recipe
from invtutor.tables import draws, executors, search
from invtutor.tables.executors import search as run_search
from invtutor.tables.rows import TABLES
from invtutor.tables.store import MEASURED, Result, Store

CELL = "12,500 per environment"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """One world, four settings, two rounds."""
    monkeypatch.setattr(search, "COUNT", 4)
    monkeypatch.setattr(search, "ROUNDS", ((4, 1), (2, 3)))
    monkeypatch.setattr(search, "CELLS", {CELL: {"samples": 200}})


@pytest.mark.parametrize("method", draws.METHODS)
def test_settings_are_drawn_once_and_see_as_many_samples(method: str) -> None:
    drawn = draws.drawn(method)
    draws.drawn.cache_clear()
    assert drawn == draws.drawn(method) and len(drawn) == draws.COUNT
    usual = Recipe.profile("quick", method, **drawn[0])
    assert len({repr(changes) for changes in drawn}) == draws.COUNT
    assert usual.batch_size is not None
    for changes in drawn[1:]:
        recipe = usual.but(**changes)
        assert recipe.batch_size is not None
        assert recipe.batch_size * recipe.steps == pytest.approx(usual.batch_size * usual.steps, rel=0.01)
        assert 0 < recipe.anneal + recipe.ramp < recipe.steps and recipe.width == usual.width
    with pytest.raises(ValueError, match="`method` should be one of irmv1, vrex, meta_irm"):
        draws.drawn("erm")


def made(recipe: Recipe, value: float) -> Result:
    """A trial that is right on this share of the digits, whatever their color."""
    return Result(recipe, {"test p=0.9": 1 - value}, 1.0, {}, (), (value, value))


def test_the_best_settings_come_into_the_next_round(small: None) -> None:
    first = search.planned([], 0, "smoke", ["vrex"])
    assert [recipe.seed for recipe in first] == [100] * 4
    scores = [0.5, 0.7, 0.6, 0.4]
    done = [made(recipe, value) for recipe, value in zip(first, scores, strict=True)]
    assert search.kept(done, 1, "smoke", ["vrex"]) == {(CELL, "vrex"): [1, 2]}
    second = search.planned(done, 1, "smoke", ["vrex"])
    assert [recipe.seed for recipe in second] == [100, 101, 102] * 2
    assert [name.split(", ")[-2] for name in second.values()] == ["setting 1"] * 3 + ["setting 2"] * 3
    later = dict(zip(second, [0.7, 0.3, 0.3, 0.6, 0.5, 0.5], strict=True))
    done += [made(recipe, value) for recipe, value in later.items()]
    assert search.kept(done, 2, "smoke", ["vrex"]) == {(CELL, "vrex"): [2]}, "the best over all its seeds"
    gone = [result for result in done if result.recipe not in list(second)[4:]]
    assert search.kept(gone, 2, "smoke", ["vrex"]) == {(CELL, "vrex"): [1]}, "one that diverged is the worst"
    assert "60.0" not in str(search.layout(done, "smoke", ["vrex"])), "means, not the first seed"
    assert "53.3 ± 5.8" in str(search.layout(done, "smoke", ["vrex"]))


def test_a_score_is_that_of_the_worse_colors_on_validation_digits() -> None:
    recipe = Recipe.profile("smoke", "vrex")
    values: list[Any] = [(1.0, 0.0), (0.0, 1.0), ((1.0, 0.5), (0.5, 0.0))]
    scores = [search.score(Result(recipe, {"test p=0.9": 1.0}, 1.0, {}, (), value)) for value in values]
    assert scores == pytest.approx([0.1, 0.1, 2 * 0.09 * 0.5 + 0.01])


def test_a_search_goes_on_where_it_was(small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, ran = executors.run, list[Recipe]()

    def run(recipe: Recipe, **options: Any) -> Any:
        ran.append(recipe)
        if recipe.l2 == draws.drawn("vrex", "smoke")[1]["l2"]:
            raise FloatingPointError("risk is nan at step 3.")
        return real(recipe, **options)

    monkeypatch.setattr(executors, "run", run)
    options: dict[str, Any] = {"source": "rendered", "device": "cpu", "quiet": True}
    results = run_search(tmp_path, "smoke", ["vrex"], **options)
    lost = len(results.diverged)
    assert lost and len(ran) == len(results) + lost and "setting 1" in next(iter(results.diverged))
    assert all(result.recipe.seed >= search.FIRST and len(result.validation) == 2 for result in results)
    assert str(search.layout(results, "smoke", ["vrex"])).count("\n") == 2
    ran.clear()
    again = run_search(tmp_path, "smoke", ["vrex"], **options)
    assert len(ran) == lost and len(again) == len(results), "what diverged alone is tried again"


def test_the_stored_trials_are_whole_and_chose_what_the_table_has() -> None:
    trials = Store(MEASURED.with_name("search"))
    assert len(trials) == len(draws.CELLS) * len(draws.METHODS) * (40 + 2 * 10 + 3 * 3) == 1035
    for number in range(len(search.ROUNDS)):
        missing = [name for recipe, name in search.planned(trials, number).items() if recipe not in trials]
        assert not missing, "as many trials for each method and world"
    assert all(result.validation for result in trials), "each was judged"
    reported = {result.recipe.seed for result in Store(MEASURED.with_name("quick"))}
    assert not reported & {result.recipe.seed for result in trials}
    chosen = {cell: place for cell, (place,) in search.kept(trials, len(search.ROUNDS)).items()}
    rows = {(row.group, row.method): row.changes for row in TABLES["searched"].rows}
    for (cell, method), place in chosen.items():
        assert rows.pop((cell, method)) == {**draws.CELLS[cell], **draws.drawn(method)[place]}
    for (cell, method), changes in rows.items():
        assert cell == "10 classes" and changes == {"classes": 10, **draws.drawn(method)[chosen["5 classes", method]]}
