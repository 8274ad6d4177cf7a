"""Lessons become text files and notebooks again, by the commands that CONTRIBUTING gives, and lose nothing."""

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupytext.cli import jupytext

from invtutor.cli import _parser
from invtutor.course import lessons

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("## Translating")[2].partition("\n## ")[0]
CHOSEN = ("01", "04", "06")  # with tables, folded cells and formulas in lists


def told(notebook: Any) -> list[Any]:
    """All that a lesson consists of; blanks at the end of prose are none of it."""
    cells = [dict(cell) for cell in notebook.cells]
    return [{**cell, "source": cell["source"].rstrip()} if cell["cell_type"] == "markdown" else cell for cell in cells]


def test_a_translated_lesson_differs_in_its_texts_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (commands,) = re.findall(r"```\n(.*?)```", TEXT, re.DOTALL)
    (making, *_), *calls = [shlex.split(line) for line in commands.splitlines()]
    assert making == "mkdir" and [call[0] for call in calls] == ["jupytext"] * 2
    folder = Path(calls[0][-1]).parent
    folder.mkdir()
    chosen = [lessons.find(number).path for number in CHOSEN]
    for path in chosen:
        shutil.copy(path, folder)
    for call in calls:
        jupytext([*call[1:-1], "--quiet", *map(str, sorted(Path().glob(call[-1])))])
        for path in folder.glob("*.md"):  # on the way back nobody reads them any more
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace("**You will**", "**Sie werden**"), encoding="utf-8")
    for path in chosen:
        ours, theirs = (nbformat.read(each, as_version=4) for each in (path, folder / path.name))
        for before, after in zip(told(ours), told(theirs), strict=True):
            assert after == {**before, "source": before["source"].replace("**You will**", "**Sie werden**")}
        assert any("Sie werden" in cell.source for cell in theirs.cells)
        assert {**theirs.metadata, "jupytext": None} == {**ours.metadata, "jupytext": None}
        found, original = (lessons.find(each) for each in (folder / path.name, path))
        assert (found.name, found.minutes, found.parameters) == (original.name, original.minutes, original.parameters)


def test_commands_for_a_translated_folder_are_those_of_the_command_line() -> None:
    calls = [" ".join(call.split()) for call in re.findall(r"`(invtutor [^`]+)`", TEXT)]
    assert {call.split()[1] for call in calls} == {"lab", "run", "book", "refresh", "grade"}
    for call in calls:
        if " lessons-de" in call:
            _parser().parse_args(shlex.split(call)[1:])
