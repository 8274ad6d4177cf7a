"""The published numbers: complete, in range, each with its source and place, and equal to what stands there."""

import json
import math
import os
import re
from pathlib import Path

import pytest

from invtutor.tables import published as module
from invtutor.tables.published import Published, cells, published, sources

CONTENT = json.loads(Path(module.__file__).with_name("published.json").read_text(encoding="utf-8"))


def test_schema() -> None:
    assert CONTENT.keys() == {"unit", "spread", "sources", "tables"}
    for source in sources().values():
        assert source.keys() == {"paper", "where"} and all(source.values())
    for table in CONTENT["tables"]:
        assert table.keys() == {"table", "group", "source", "place", "spread", "trials", "columns", "rows"}
        assert table["source"] in sources()
        for row in table["rows"].values():
            assert row.keys() == {"as", "cells"} and len(row["cells"]) == len(table["columns"])


def test_every_number_tells_its_place_and_the_kind_of_its_spread() -> None:
    found = list(cells())
    assert len(found) == len(dict.fromkeys((*where, cell.source) for where, cell in found)) > 100
    for where, cell in found:
        if cell.mean is None:
            assert cell.spread is cell.kind is cell.trials is None, where
        else:
            assert all(cell.place), where
            assert 0 <= cell.mean <= 1 and cell.spread is not None and 0 <= cell.spread <= 0.2, where
            assert cell.kind in ("deviation", "standard error", "not told"), where
            assert (cell.trials is None) == (cell.kind == "not told"), where


def test_every_source_is_used() -> None:
    assert {table["source"] for table in CONTENT["tables"]} == sources().keys()


# The lines with numbers on the page of meta-IRM's authors, under its headings, as their text comes out.
PAGE = """
Colored MNIST
ERM88.6 ± 0.379.7 ± 0.616.4 ± 0.8
IRMv171.4 ± 0.970.8 ± 1.066.9 ± 2.5
V-REx71.5 ± 0.871.1 ± 0.968.6 ± 1.2
meta-IRM (Ours)70.9 ± 0.970.8 ± 1.070.4 ± 0.9
Multi-Class Problem
ERM595.2 ± 0.241.0 ± 0.6
IRMv1582.2 ± 0.462.0 ± 2.4
meta-IRM (Ours)576.4 ± 1.474.0 ± 3.6
ERM1092.6 ± 0.239.2 ± 0.9
IRMv11083.4 ± 0.558.6 ± 2.5
meta-IRM (Ours)1079.5 ± 0.673.4 ± 3.2
Insufficient Data
IRMv173.2 ± 1.671.7 ± 1.358.5 ± 2.5
V-REx75.0 ± 0.873.4 ± 0.661.3 ± 1.4
meta-IRM (Ours)70.6 ± 1.570.5 ± 1.668.3 ± 2.3
Two Spurious Features
IRMv193.5 ± 0.286.4 ± 0.313.4 ± 0.3
V-REx93.6 ± 0.486.3 ± 0.313.5 ± 0.3
meta-IRM (Ours)58.1 ± 3.156.8 ± 2.954.5 ± 4.0
Ablation Study
w/o std. loss73.0 ± 0.864.2 ± 3.2
First-order approx.62.6 ± 5.559.1 ± 6.3
Same env. (inner = meta)89.3 ± 1.613.6 ± 6.6
meta-IRM (Full)70.9 ± 0.970.4 ± 0.9
"""
NUMBER = re.compile(r"(\d\d\.\d) ± (\d\.\d)")
SEEDS = Path(os.environ.get("INVTUTOR_SEEDS") or Path(__file__).parents[3] / "shared" / "seeds")
DOCUMENTS = sorted(SEEDS.glob("*.txt"))


def tables(text: str) -> dict[tuple[str, str], list[list[float]]]:
    """By heading and row, without spaces, the numbers and their spreads of every line that has some."""
    headings, heading, found = (
        {line for line in PAGE.split("\n") if line and not NUMBER.search(line)},
        "",
        dict[tuple[str, str], list[list[float]]](),
    )
    for line in text.splitlines():
        heading = line if line in headings else heading
        if numbers := NUMBER.findall(line):
            row = re.sub(r"\s", "", NUMBER.sub("", line))
            found[heading, row] = [[float(value) for value in pair] for pair in numbers]
    return found


@pytest.mark.parametrize("text", [PAGE, *(document.read_text(encoding="utf-8") for document in DOCUMENTS)],
                         ids=["quoted", *(document.name for document in DOCUMENTS)])  # fmt: skip
def test_every_cell_is_what_the_page_has(text: str) -> None:
    """The page as it is quoted here, always; and each source document beside the checkout, where there are some."""
    wanted = tables(text)
    stored = {
        (entry["place"].removeprefix("table ").strip("“”"), row["as"].replace(" ", "")): row["cells"]
        for entry in CONTENT["tables"]
        if entry["source"] == "meta-irm" and "figure" not in entry["place"]
        for row in entry["rows"].values()
        if row["as"]
    }
    assert wanted.keys() <= stored.keys()
    assert {key: stored[key] for key in wanted} == wanted
    if wanted:
        assert stored.keys() == wanted.keys(), "a number that does not stand on the page"


def test_the_quotation_is_the_document() -> None:
    """One of the documents has all the numbers; where none are there, the quotation above was held to the cells."""
    found = [numbers for document in DOCUMENTS if (numbers := tables(document.read_text(encoding="utf-8")))]
    assert found == [tables(PAGE)] * bool(DOCUMENTS)


# DomainBed's three ColoredMNIST tables: mean and standard error of three trials at +90 %, +80 % and −90 %.
DOMAINBED = {
    "training domains": """
        ERM 71.7 0.1 72.9 0.2 10.0 0.1 | IRM 72.5 0.1 73.3 0.5 10.2 0.3 | GroupDRO 73.1 0.3 73.2 0.2 10.0 0.2
        MLDG 71.5 0.2 73.1 0.2 9.8 0.1 | DANN 71.4 0.9 73.1 0.1 10.0 0.0 | ARM 82.0 0.5 76.5 0.3 10.2 0.0
        VREx 72.4 0.3 72.9 0.4 10.2 0.0""",
    "leave one out": """
        ERM 50.0 0.2 50.1 0.2 10.0 0.0 | IRM 46.7 2.4 51.2 0.3 23.1 10.7 | GroupDRO 50.1 0.5 50.0 0.5 10.2 0.1
        MLDG 50.1 0.6 50.1 0.3 10.0 0.1 | DANN 49.9 0.1 62.1 7.0 10.0 0.1 | ARM 50.0 0.3 50.1 0.3 10.2 0.0
        VREx 50.2 0.4 50.5 0.5 10.1 0.0""",
    "oracle": """
        ERM 71.8 0.4 72.9 0.1 28.7 0.5 | IRM 72.0 0.1 72.5 0.3 58.5 3.3 | GroupDRO 73.5 0.3 73.0 0.3 36.8 2.8
        MLDG 71.9 0.3 73.5 0.2 29.1 0.9 | DANN 72.4 0.5 73.9 0.5 24.9 2.7 | ARM 84.9 0.9 76.8 0.6 27.9 2.1
        VREx 72.8 0.3 73.0 0.3 55.2 4.0""",
}


@pytest.mark.parametrize("group", DOMAINBED)
def test_domainbeds_tables_whole(group: str) -> None:
    quoted = {}
    for line in re.split(r"[|\n]", DOMAINBED[group].strip()):
        name, *numbers = line.split()
        quoted[name] = [[float(a), float(b)] for a, b in zip(numbers[::2], numbers[1::2], strict=True)]
    (entry,) = (e for e in CONTENT["tables"] if (e["source"], e["group"]) == ("domainbed", group))
    assert {row["as"]: row["cells"] for row in entry["rows"].values()} == quoted
    assert list(entry["columns"].values()) == ["+90%", "+80%", "-90%"]


def test_a_standard_error_becomes_the_deviation_that_it_came_from() -> None:
    """From three made-up trials, as DomainBed computes it, back to the deviation that we print."""
    trials = [0.5, 0.6, 0.64]
    mean = sum(trials) / 3
    error = math.sqrt(sum((value - mean) ** 2 for value in trials) / 3) / math.sqrt(3)
    cell = Published(mean, error, "standard error", 3, "domainbed", ("", "", ""))
    assert cell.std == pytest.approx(math.sqrt(sum((value - mean) ** 2 for value in trials) / 2))
    assert str(cell) == "58.0 ± 3.4 s.e."
    for kind in ("deviation", "not told"):
        assert Published(0.7, 0.01, kind, None, "irm", ("", "", "")).std == 0.01


@pytest.mark.parametrize(
    ("where", "text"),
    [
        (("colored_mnist", "meta-IRM", "test p=0.9"), "70.4 ± 0.9"),
        (("colored_mnist", "ERM", "test p=0.1"), "88.6 ± 0.3"),
        (("colored_mnist", "ERM, gray", "test p=0.9"), "73.0 ± 0.4"),
        (("colored_mnist", "MM-REx", "test p=0.9"), "66.1 ± 1.5"),
        (("insufficient", "V-REx", "test p=0.9", "12,500 per environment"), "61.3 ± 1.4"),
        (("two_spurious", "IRMv1", "test p=0.1"), "93.5 ± 0.2"),
        (("multi_class", "meta-IRM", "test p=0.9", "10 classes"), "73.4 ± 3.2"),
        (("ablations", "same environment", "test p=0.9"), "13.6 ± 6.6"),
        (("selection", "IRMv1", "test p=0.9", "oracle"), "58.5 ± 3.3 s.e."),
        (("selection", "ERM", "test p=0.9", "training domains"), "10.0 ± 0.1 s.e."),
        (("colored_mnist", "MAPLE", "test p=0.9"), "–"),
    ],
)
def test_numbers_known_by_heart(where: tuple[str, ...], text: str) -> None:
    table, row, column, *group = where
    assert str(published(table, row, column, group="".join(group))[0]) == text


def test_sources_of_one_number() -> None:
    found = published("colored_mnist", "V-REx", "test p=0.9")
    assert [entry.source for entry in found] == ["meta-irm", "rex", "fishr"]
    wanted = Published(pytest.approx(0.687), pytest.approx(0.009), "deviation", 10, "rex", ("table 2", "V-REx", "test"))
    assert found[1] == wanted
    assert [entry.source for entry in published("colored_mnist", "V-REx", "gray")] == ["fishr"]


def test_nothing_is_made_up() -> None:
    assert published("colored_mnist", "GroupDRO", "test p=0.9") == []
    assert published("multi_class", "ERM, gray", "train", group="5 classes") == [], "not on the authors' page"
    assert published("no table", "ERM", "test p=0.9") == []
    assert [entry.mean for entry in published("colored_mnist", "MAPLE", "test p=0.9")] == [None]
