"""Records: by name, on disk, over seeds."""

import json
from math import isnan, sqrt
from pathlib import Path

import numpy as np
import pytest
import torch

from invtutor import history
from invtutor.history import GLOSSARY, History, Spread, spread, write_atomically

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


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_write_replaces_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    for text in ("old", "new: λ = 10⁴\n"):
        write_atomically(path, text)
        assert path.read_text(encoding="utf-8") == text
    assert files(tmp_path) == ["notes.txt"]


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "notes.txt"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "half of it, then \ud800")
    assert path.read_text(encoding="utf-8") == "old" and files(tmp_path) == ["notes.txt"]

    def fails(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(history.os, "replace", fails)
    with pytest.raises(OSError, match="no space"):
        write_atomically(path, "new")
    assert path.read_text(encoding="utf-8") == "old" and files(tmp_path) == ["notes.txt"]


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "notes.txt", []
    write_atomically(path, "old")
    replace = history.os.replace

    def look_first(source: str, target: Path) -> None:
        assert Path(source).parent == path.parent, "else the move might be a copy"
        seen.append((path.read_text(encoding="utf-8"), Path(source).read_text(encoding="utf-8")))
        replace(source, target)

    monkeypatch.setattr(history.os, "replace", look_first)
    write_atomically(path, "new")
    assert seen == [("old", "new")]


def test_writing_into_no_folder_fails(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        History(RECORDS).save(tmp_path / "nowhere" / "history.jsonl")


def test_spread_against_numpy() -> None:
    values = np.random.default_rng(0).normal(0.67, 0.03, 40)
    summary = spread(values.tolist())
    assert summary.count == 40
    assert summary.mean == pytest.approx(values.mean())
    assert summary.std == pytest.approx(values.std(ddof=1))
    # the bootstrap of a mean is nearly normal, with the population's deviation
    error = values.std() / sqrt(40)
    assert summary.low == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
    assert summary.high == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)


def test_the_interval_lies_within_the_values_and_is_always_the_same() -> None:
    state, values = torch.get_rng_state(), [0.61, 0.7, 0.66, 0.69, 0.3]
    summary = spread(values)
    assert min(values) <= summary.low < summary.mean < summary.high <= max(values)
    assert summary == spread(values)
    assert torch.equal(torch.get_rng_state(), state)


def test_one_value_has_no_deviation() -> None:
    assert spread([0.25]) == Spread(0.25, 0.0, 0.25, 0.25, 1)


def test_no_value_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"^Parameter `values` should hold at least one value\. Found none\.$"):
        spread([])


def test_a_spread_is_printed_as_the_papers_do() -> None:
    summary = Spread(0.669, 0.0254, 0.65, 0.68, 10)
    assert summary.percent() == "66.9 ± 2.5"
    assert str(summary) == "0.669 ± 0.025 (95 % 0.650 to 0.680, 10 seeds)"


def test_the_glossary_explains_every_name() -> None:
    assert all(name.strip() and len(text.split()) > 3 for name, text in GLOSSARY.items())
