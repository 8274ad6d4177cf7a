"""Records: by name, on disk, over seeds."""

import json
import math
from collections.abc import Callable
from math import isnan, sqrt
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from invtutor.runs.history import GLOSSARY, History, Spread, spread, student_t

RECORDS = [{"step": 1, "risk": 0.7}, {"step": 2, "risk": 0.6, "gray": 0.5}, {"step": 3, "gray": 0.55}]


def test_records_and_names_keep_their_order() -> None:
    filled = History()
    for record in RECORDS:
        filled.append(record)
    assert len(filled) == 3 and list(filled) == RECORDS and filled.last == RECORDS[-1]
    assert filled.names == ["step", "risk", "gray"]


def test_a_column_has_nan_where_a_step_has_nothing() -> None:
    column = History(RECORDS).column("gray")
    assert isnan(column[0]) and column[1:] == [0.5, 0.55]
    assert History(RECORDS).column("step") == [1, 2, 3]


def test_an_unknown_column_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(ValueError, match=r"^Parameter `name` should be one of step, risk, gray\. Found 'penalty'\.$"):
        History(RECORDS).column("penalty")


def test_a_history_does_not_share_the_list_it_was_made_from() -> None:
    given = list(RECORDS)
    History(given).append({"step": 4})
    assert len(given) == 3


def test_save_and_load_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    records = [*RECORDS, {"step": 4, "risk": 1 / 3, "penalty": 1e-300}]
    History(records).save(path)
    assert History.load(path).records == records, "every digit"
    assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] == records
    History([]).save(path)
    assert History.load(path).records == []


def test_writing_into_no_folder_fails(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        History(RECORDS).save(tmp_path / "nowhere" / "history.jsonl")


def test_spread_against_numpy() -> None:
    values = np.random.default_rng(0).normal(0.67, 0.03, 40)
    summary = spread(values.tolist())
    assert summary.count == 40
    assert summary.mean == pytest.approx(values.mean())
    assert summary.std == pytest.approx(values.std(ddof=1))
    reach = 2.0227 * values.std(ddof=1) / sqrt(40)  # t for 39 degrees of freedom, from a printed table
    assert (summary.low, summary.high) == pytest.approx((values.mean() - reach, values.mean() + reach), abs=1e-6)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 9, 10, 29, 30])
def test_students_t_against_the_integral_of_its_density(freedom: int) -> None:
    scale = math.gamma((freedom + 1) / 2) / (math.sqrt(freedom * math.pi) * math.gamma(freedom / 2))
    grid = np.linspace(0, student_t(freedom), 200_001)
    density = scale * (1 + grid**2 / freedom) ** (-(freedom + 1) / 2)
    share = 2 * (density[1:] + density[:-1]).mean() / 2 * grid[-1]
    assert share == pytest.approx(0.95, abs=1e-8)


NORMAL = (lambda generator, size: generator.normal(0.68, 0.02, size), 0.68)
SKEWED = (lambda generator, size: 0.72 - generator.gamma(8.0, 0.005, size), 0.72 - 8 * 0.005)  # skewness −.7


@pytest.mark.parametrize("count", [3, 4, 5, 10])
@pytest.mark.parametrize(("draw", "true"), [NORMAL, SKEWED], ids=["normal", "skewed"])
def test_the_interval_holds_the_true_mean_as_often_as_it_says(
    draw: Callable[[np.random.Generator, tuple[int, int]], np.ndarray], true: float, count: int
) -> None:
    """Of 3,000 studies with a few seeds each, 95 ± 3 % have the true mean in their interval."""
    studies = [spread(values) for values in draw(np.random.default_rng(1), (3000, count)).tolist()]
    covered = fmean(s.low is not None and s.high is not None and s.low <= true <= s.high for s in studies)
    assert covered == pytest.approx(0.95, abs=0.03)


def test_few_values_say_no_more_than_they_can() -> None:
    assert spread([0.25]) == Spread(0.25, None, None, None, 1)
    assert spread([0.2, 0.3]) == Spread(0.25, pytest.approx(0.0707, abs=1e-4), None, None, 2)
    assert [str(spread(values)) for values in ([0.25], [0.2, 0.3])] == ["0.250 (1 seed)", "0.250 ± 0.071 (2 seeds)"]
    assert spread([0.25]).percent() == "25.0"


def test_no_value_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"^Parameter `values` should hold at least one value\. Found none\.$"):
        spread([])


def test_a_spread_is_printed_as_the_papers_do() -> None:
    summary = Spread(0.669, 0.0254, 0.65, 0.68, 10)
    assert summary.percent() == "66.9 ± 2.5"
    assert str(summary) == "0.669 ± 0.025 (95 % 0.650 to 0.680, 10 seeds)"


def test_the_glossary_explains_every_name() -> None:
    assert all(name.strip() and len(text.split()) > 3 for name, text in GLOSSARY.items())


def test_what_is_not_finite_is_null_in_the_file_and_nan_again(tmp_path: Path) -> None:
    History([{"step": 1, "risk": math.nan, "test": 0.5}, {"step": 2, "risk": math.inf}]).save(tmp_path / "h.jsonl")
    assert (tmp_path / "h.jsonl").read_text().splitlines()[0] == '{"step": 1, "risk": null, "test": 0.5}'
    loaded = History.load(tmp_path / "h.jsonl")
    assert all(map(math.isnan, loaded.column("risk"))) and loaded.records[0]["test"] == 0.5
