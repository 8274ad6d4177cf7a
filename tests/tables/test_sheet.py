"""Tables of words, aligned and as Markdown."""

from invtutor.tables.sheet import Sheet

SHEET = Sheet(["method", "p=0.9"], [["one:"], ["ERM", "10.2 ± 0.1"], ["V-REx", "–"]])


def test_as_text() -> None:
    assert str(SHEET).splitlines() == ["method       p=0.9", "one:", "ERM     10.2 ± 0.1", "V-REx            –"]
    assert repr(SHEET) == str(SHEET)


def test_as_markdown() -> None:
    head, rule, *rows = SHEET._repr_markdown_().splitlines()
    assert head == "| method | p=0.9 |" and rule == "| :-- | --: |"
    assert rows == ["| **one:** |  |", "| ERM | 10.2\u00a0±\u00a00.1 |", "| V-REx | – |"]
