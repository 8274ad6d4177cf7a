"""A class's notebooks, each executed for itself, and their marks: a row for every student and exercise.

What is left of each notebook is a sealed copy, executed, which holds its rows as well: a run that was stopped goes on
where it was. The table of all is written anew after each.
"""

import csv
import io
import json
import os
import shutil
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from invtutor.course import lessons
from invtutor.course.checks import Verdict
from invtutor.course.grading.asking import asking, exercises, verdicts
from invtutor.course.grading.submissions import Submission, collect, copy_in
from invtutor.course.grading.watch import Watch
from invtutor.course.kernel import LessonError, Limits, run_cells, several
from invtutor.course.lessons import Lesson
from invtutor.course.reading import first_line, read, written
from invtutor.course.runner import inject
from invtutor.course.wall import HOME, Wall, missing
from invtutor.fields import one_of, require
from invtutor.files import (
    checksum,
    is_known,
    is_sealed,
    manifest_text,
    read_manifest,
    same,
    sealed,
    workplace,
    write_atomically,
)

__all__ = ["LIMITS", "Row", "grade"]

LIMITS = Limits(timeout=1800.0, max_output=50.0, memory=4000.0)
MANIFEST = ".marks.json"  # with the checksums of the table, by which it is known as ours
KEY = "invtutor_marks"  # of a notebook's metadata
RESULT = "application/vnd.invtutor.result+json"


class Row(NamedTuple):
    """A student and an exercise.

    mark: done, hint or untouched, as in `result.json`. points: 1 for done, else 0. hint: what the check says. claims:
    those of the lesson's text, as the student's own run found them. fault: why the notebook did not run to its end, or
    which cell failed first.
    """

    student: str
    notebook: str
    lesson: str
    exercise: str
    mark: str
    points: int
    hint: str
    claims: str
    fault: str


def grade(
    folder: str | Path,
    out: str | Path = "marks.csv",
    *,
    wanted: Sequence[Lesson] = (),
    profile: str = "quick",
    limits: Limits = LIMITS,
    network: bool = False,
    workers: int = 1,
    quiet: bool = False,
) -> list[Row]:
    """Execute all notebooks in a folder and write the table of marks to `out`, and the executed copies into the folder
    beside it that has its name without the ending.

    wanted: only notebooks of these lessons. network: notebooks may use it. workers: so many at once, where there is a
    wall (`wall.missing`); without one it is one at a time, and LessonError ends all with the first that changed
    anything outside its folder. Raises ValueError, before anything runs, where there is no notebook, or what is in the
    way is not ours.
    """
    from tqdm import tqdm

    from invtutor.runs.budgets import PROFILES

    one_of("profile", PROFILES, profile)
    require("workers", workers >= 1, "1 or more", workers)
    folder, out = Path(os.path.abspath(folder)), Path(os.path.abspath(out))
    kept = out.with_suffix("")
    _refuse(folder, out, kept)
    names = [lesson.name for lesson in wanted]
    if not (submissions := collect(folder, names, beside=kept)):
        which = f"of {', '.join(names)} " if names else ""
        raise ValueError(f"There is no notebook {which}in {folder}.")
    for submission in submissions:
        _require_ours(kept / submission.name)
    with workplace(kept, "marks") as scratch:
        grading = _Grading(submissions, out, scratch, profile, limits, network)
        left = [submission for submission in submissions if submission.name not in grading.rows]
        if missing():
            grading.watch = Watch([folder, kept, lessons.folder(), out])
        with (
            tqdm(total=len(left), desc="grading", unit="notebook", disable=quiet, leave=False) as bar,
            several(1 if grading.watch else workers) as apply,
        ):
            for _ in apply(grading.one, left):
                bar.update()
        grading.write_table()
    return grading.so_far()


def _refuse(folder: Path, out: Path, kept: Path) -> None:
    """Raises ValueError where marks must not be written here."""
    if not os.path.isdir(folder):  # Path's own raises where a name is too long
        raise ValueError(f"There is no folder {folder}.")
    if out.suffix != ".csv":
        raise ValueError(f"Parameter `out` should be the name of a table, ending in .csv. Found {str(out)!r}.")
    for place in (out.parent, kept):
        lessons.refuse_own_folder(place)
    if same(folder, kept):
        raise ValueError(f"{folder} is where the executed copies go; choose another table.")
    _require_table(out, kept)


def _require_ours(place: Path) -> None:
    """Raises ValueError where an executed copy would replace anything else."""
    if os.path.lexists(place) and not is_sealed(place):
        raise ValueError(f"{place} is not this program's, or was changed since; choose another table.")


def _require_table(out: Path, kept: Path) -> None:
    """Raises ValueError where the table would replace anything else."""
    known = read_manifest(kept / MANIFEST)
    if os.path.lexists(out) and not (known and is_known(out, known.get(out.name, ()))):
        raise ValueError(f"{out} is not this program's, or was changed since; move it away, or choose another table.")


class _Grading:
    """What the workers share: submissions, the rows so far, and the table."""

    watch: Watch | None = None  # where there is no wall

    def __init__(
        self, submissions: Sequence[Submission], out: Path, scratch: Path, profile: str, limits: Limits, network: bool
    ):
        self.submissions, self.out, self.scratch = submissions, out, scratch
        self.profile, self.limits, self.network = profile, limits, network
        self.key = [profile, *astuple(limits), network, version("invtutor")]
        self.kept, self.lock = scratch.parent, threading.Lock()
        self.rows: dict[str, list[Row]] = {}
        for submission in submissions:
            if (found := self._before(submission)) is not None:
                self.rows[submission.name] = found

    def so_far(self) -> list[Row]:
        return [row for submission in self.submissions for row in self.rows.get(submission.name, ())]

    def _before(self, submission: Submission) -> list[Row] | None:
        """The rows of a submission that need no run: it cannot be read, or is as it came, or was run before."""
        if submission.lesson is None:
            return [Row(submission.student, submission.name, "", "", "", 0, "", "", _line(submission.fault))]
        if submission.untouched:
            return self._rows(submission, None, "")
        with suppress(OSError, ValueError, KeyError, TypeError):
            marks = json.loads((self.kept / submission.name).read_bytes())["metadata"][KEY]
            if marks["of"] == [submission.checksum, *self.key]:
                return [Row(*row) for row in marks["rows"]]
        return None

    def one(self, submission: Submission) -> None:
        """Run a submission, and keep its rows in the table and in its executed copy."""
        import nbformat

        number = self.submissions.index(submission)
        private = self.scratch / str(number)
        path = copy_in(submission, private / "home")
        notebook = read(path)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = []
        assert submission.lesson
        inject(notebook, lessons.find(path).own({"profile": self.profile}))
        asked = exercises(submission.lesson)
        notebook.cells.append(nbformat.v4.new_code_cell(asking(asked) if asked else ""))
        fault, wall = "", Wall(private, _seen(), self.network, stands=self.watch is None)
        try:
            run_cells(notebook, path, self.limits, True, _variables(), wall=wall, go_on=True)
        except LessonError as error:
            fault = error.cause
        rows = self._rows(submission, notebook, fault or _first_error(notebook.cells))
        notebook.cells.pop()
        notebook.metadata[KEY] = {"of": [submission.checksum, *self.key], "rows": rows}
        text = sealed(written(notebook).replace(str(private / "home"), HOME).encode("utf-8", "replace").decode())
        shutil.rmtree(private, ignore_errors=True)
        with self.lock:
            if self.watch and (changed := self.watch.changed()):
                raise LessonError(f"{submission.name} changed {changed[0]}: no mark after it can be trusted")
            place = self.kept / submission.name
            _require_ours(place)
            place.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(place, text)
            self.rows[submission.name] = rows
            self.write_table()
            if self.watch:
                self.watch.changed()

    def _rows(self, submission: Submission, notebook: Any, fault: str) -> list[Row]:
        assert submission.lesson
        lesson = submission.lesson
        found = verdicts(exercises(lesson), notebook.cells[-1] if notebook else {})
        claims = _claims(notebook.cells[:-1]) if notebook else ""
        who, run = (submission.student, submission.name, lesson.name), (_line(claims), _line(fault))
        rows = [Row(*who, it.exercise, it.mark, int(it.passed), _hint(it), *run) for it in found]
        return rows or [Row(*who, "", "", 0, "", *run)]

    def write_table(self) -> None:
        """Write the rows so far, told of first in the manifest, so that a kill leaves no table that nobody knows.
        Raises ValueError where somebody has put anything in its place meanwhile, or has written into it."""
        _require_table(self.out, self.kept)
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(Row._fields)
        table.writerows([_harmless(value) for value in row] for row in self.so_far())
        content = text.getvalue().encode("utf-8-sig")  # by whose mark spreadsheets know UTF-8
        sums = [checksum(content)]
        if self.out.exists():
            sums.append(checksum(self.out.read_bytes()))
        write_atomically(self.kept / MANIFEST, manifest_text({self.out.name: sums}))
        write_atomically(self.out, content)


def _hint(verdict: Verdict) -> str:
    """What a verdict says behind `exercise: `, where there is more to say than that it is solved."""
    return "" if verdict else _line(verdict.message.removeprefix(f"{verdict.exercise}: "))


def _claims(cells: Sequence[Any]) -> str:
    """How the claims of a lesson's text came out, by the result that its notebook shows."""
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    shown = [output["data"][RESULT] for output in outputs if RESULT in output.get("data", {})]
    with suppress(TypeError, KeyError, AttributeError):
        told = [(str(claim["verdict"]), str(claim["statement"])) for claim in shown[-1]["claims"]] if shown else []
        counts = Counter(verdict for verdict, _ in told)
        failed = "; ".join(statement for verdict, statement in told if verdict == "FAILS")
        return ", ".join(f"{count} {verdict}" for verdict, count in counts.items()) + (f": {failed}" if failed else "")
    return ""


def _first_error(cells: Sequence[Any]) -> str:
    code = [cell for cell in cells if cell.cell_type == "code"]
    for number, cell in enumerate(code, 1):
        for output in cell.outputs:
            if output.output_type == "error":
                return f"cell [{number}] `{first_line(cell)}`: {output.ename}: {output.evalue}"
    return ""


def _line(text: str) -> str:
    """A student's words in one line of what can be printed, and not without end."""
    line = "".join(sign if sign.isprintable() else "?" for sign in " ".join(str(text).split()))
    return line if len(line) <= 500 else f"{line[:499]}…"


def _harmless(value: object) -> object:
    """A cell of the table that no spreadsheet takes for a formula, nor a terminal for anything but words: a file may
    have any bytes for its name."""
    if not isinstance(value, str):
        return value
    words = "".join(sign if sign.isprintable() else "?" for sign in value)
    return f"'{words}" if words.startswith(("=", "+", "-", "@")) else words


def _variables() -> dict[str, str]:
    named = os.environ.get("INVTUTOR_DATA")
    return {"INVTUTOR_DATA": os.path.abspath(os.path.expanduser(named))} if named else {}


def _seen() -> dict[str, Path]:
    """The lessons and the folders of digits, by the names under which a notebook behind a wall looks for them."""
    from invtutor.worlds.mnist import cache_folder

    found = {f"{HOME}/.cache/invtutor": cache_folder()}
    found |= {str(path): path for path in (lessons.folder().resolve(), *map(Path, _variables().values()))}
    return {name: path for name, path in found.items() if path.is_dir()}
