"""Tables of words, aligned and as Markdown."""

import csv
import io

from invtutor.tables.sheet import Sheet

SHEET = Sheet(["method", "p=0.9"], [["one:"], ["ERM", "10.2 ± 0.1"], ["V-REx", "–"]])


def test_as_text() -> None:
    assert str(SHEET).splitlines() == ["method       p=0.9", "one:", "ERM     10.2 ± 0.1", "V-REx            –"]
    assert repr(SHEET) == str(SHEET)


def test_as_markdown() -> None:
    head, rule, *rows = SHEET._repr_markdown_().splitlines()
    assert head == "| method | p=0.9 |" and rule == "| :-- | --: |"
    assert rows == ["| **one:** |  |", "| ERM | 10.2\u00a0±\u00a00.1 |", "| V-REx | – |"]


def test_in_every_form() -> None:
    assert SHEET.written("text") == str(SHEET) and SHEET.written("markdown") == SHEET._repr_markdown_()
    assert list(csv.reader(io.StringIO(SHEET.written("csv")))) == [
        ["method", "p=0.9"], ["one:", ""], ["ERM", "10.2 ± 0.1"], ["V-REx", "–"]
    ]  # fmt: skip
    assert SHEET.written("latex").splitlines() == [
        r"\begin{tabular}{lr}", r"\toprule", r"method & p=0.9 \\", r"\midrule", r"one: &  \\",
        r"ERM & 10.2~$\pm$~0.1 \\", r"V-REx & -- \\", r"\bottomrule", r"\end{tabular}",
    ]  # fmt: skip
    odd = Sheet(["a_b", "50 %"], [["x & y", "{λ} \\ ~ ^ #1 $2"]])
    assert odd.written("latex").splitlines()[2] == r"a\_b & 50 \% \\"
    assert odd.written("latex").splitlines()[4] == (
        r"x \& y & \{$\lambda$\} \textbackslash{} \textasciitilde{} \textasciicircum{} \#1 \$2 \\"
    )
