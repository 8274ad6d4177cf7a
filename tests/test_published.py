"""The published numbers: complete, in range, each with its source, and some of them by heart."""

import json
from pathlib import Path

import pytest

from invtutor import published as module
from invtutor.published import Published, published, sources

CONTENT = json.loads(Path(module.__file__).with_name("published.json").read_text(encoding="utf-8"))


def test_schema() -> None:
    assert CONTENT.keys() == {"unit", "sources", "tables"}
    for source in sources().values():
        assert source.keys() == {"paper", "where"} and all(source.values())
    for table in CONTENT["tables"]:
        assert table.keys() == {"table", "group", "source", "place", "columns", "rows"}
        assert table["source"] in sources()
        for label, row in table["rows"].items():
            assert len(row) == len(table["columns"]), label
            for cell in row:
                assert cell is None or len(cell) == 2
                mean, std = cell or (None, None)
                assert mean is None or (table["place"] and 0 <= mean <= 100)
                assert std is None or 0 <= std <= 20


def test_every_source_is_used() -> None:
    assert {table["source"] for table in CONTENT["tables"]} == sources().keys()


@pytest.mark.parametrize(
    ("where", "text"),
    [
        (("colored_mnist", "meta-IRM", "test p=0.9"), "70.4 ± 0.9"),
        (("colored_mnist", "ERM", "test p=0.1"), "88.6 ± 0.3"),
        (("insufficient", "V-REx", "test p=0.9", "12,500 per environment"), "61.3 ± 1.4"),
        (("two_spurious", "IRMv1", "test p=0.1"), "93.5 ± 0.2"),
        (("multi_class", "meta-IRM", "test p=0.9", "10 classes"), "73.4 ± 3.2"),
        (("ablations", "same environment", "test p=0.9"), "13.6 ± 6.6"),
        (("selection", "IRMv1", "test p=0.9", "oracle"), "58.5 ± 3.3"),
        (("selection", "ERM", "test p=0.9", "training domains"), "10.0"),
        (("colored_mnist", "MAPLE", "test p=0.9"), "–"),
    ],
)
def test_numbers_known_by_heart(where: tuple[str, ...], text: str) -> None:
    table, row, column, *group = where
    assert str(published(table, row, column, group="".join(group))[0]) == text


def test_sources_of_one_number() -> None:
    found = published("colored_mnist", "V-REx", "test p=0.9")
    assert [entry.source for entry in found] == ["meta-irm", "rex", "fishr"]
    assert found[1] == Published(pytest.approx(0.687), pytest.approx(0.009), "rex", "table 2")
    assert [entry.source for entry in published("colored_mnist", "V-REx", "gray")] == ["fishr"]


def test_nothing_is_made_up() -> None:
    assert published("colored_mnist", "GroupDRO", "test p=0.9") == []
    assert published("no table", "ERM", "test p=0.9") == []
    assert [entry.mean for entry in published("colored_mnist", "MAPLE", "test p=0.9")] == [None]
