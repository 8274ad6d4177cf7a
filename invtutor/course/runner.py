"""A lesson run headless: what it is given, what it leaves, and what it must not touch."""

import copy
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from invtutor.course import lessons
from invtutor.course.kernel import USUAL, LessonError, Limits, run_cells
from invtutor.course.lessons import Lesson
from invtutor.course.reading import is_tagged, read, written
from invtutor.files import checksum, finite, is_known, is_sealed, same, sealed, workplace, write_atomically

__all__ = ["Report", "inject", "refresh", "refuse", "run_lesson"]


@dataclass(frozen=True)
class Report:
    """What a lesson left: its executed notebook and the content of its result.json (empty if it writes none)."""

    lesson: str
    notebook: Path
    seconds: float
    record: Mapping[str, Any]

    def __str__(self) -> str:
        """One line: the lesson, its seconds, its peak memory and its headline figure."""
        # A student's own record may say anything.
        held, headline = (self.record.get(name) for name in ("peak_memory_mb", "headline"))
        memory = f"{held:6.0f} MB" if isinstance(held, int | float) and 0 <= held < 1e9 else ""
        line = f"{self.notebook.stem:<18} {self.seconds:6.1f} s {memory:>9}  {headline or ''}"
        return "".join(sign if sign.isprintable() else "?" for sign in " ".join(line.splitlines())).rstrip()


def run_lesson(
    lesson: Lesson,
    given: Mapping[str, object],
    *,
    out: str | Path,
    limits: Limits = USUAL,
    quiet: bool = False,
    variables: Mapping[str, str] | None = None,
) -> Report:
    """Run a lesson headless and leave it, executed, and its ``result.json`` in `out`, whole or not at all.

    given: parameters as for `resolve`. quiet: no progress bar on stderr. variables: what the kernel's environment has
    besides. The executed notebook has the file name of the lesson, so that students' copies of one lesson stay apart.
    The lesson's `out_dir`, if it has one, is filled in here. Raises ValueError before anything runs for wrong
    parameters or an `out` that cannot be used, and LessonError when the lesson fails or oversteps a limit; then an
    older result stays and the notebook as far as it came is ``<lesson>.failed.ipynb``. What a killed run left in `out`
    is cleared away; whatever else is there, older results of this notebook excepted, stays as it is.
    """
    values = lessons.resolve(lesson, given)
    if "out_dir" in values:
        raise ValueError("Parameter `out_dir` should be left out here: the runner fills it in. Say where with `out`.")
    refuse(lesson, out := Path(out))
    notebook = read(lesson.path)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    with workplace(out, "results") as scratch:
        out = scratch.parent
        _announce_digits(lesson, values)
        inject(notebook, values | lesson.own({"out_dir": str(scratch)}))

        def place(name: str, record: Mapping[str, Any] | None = None) -> None:
            """Put the notebook, and a record beside it, in `out`: both are whole before either is to be seen."""
            texts = {name: written(notebook).replace(str(scratch), str(out))}
            if record:
                texts["result.json"] = json.dumps(finite(record), allow_nan=False, ensure_ascii=False)
            for number, text in enumerate(texts.values()):
                text = sealed(text.encode("utf-8", "replace").decode())  # a student's text may hold half a sign
                (scratch / f"whole-{number}").write_text(text, encoding="utf-8", newline="\n")
            for number, file in enumerate(texts):
                if stranger := _stranger(lesson, out / file):
                    raise LessonError(f"{lesson.path.stem}: {stranger}")
                os.replace(scratch / f"whole-{number}", out / file)

        started, failed, target = time.perf_counter(), f"{lesson.path.stem}.failed.ipynb", lesson.path.name
        try:
            run_cells(notebook, lesson.path, limits, quiet, variables or {})
            record = _record(lesson, scratch, out) if "out_dir" in lesson.declared else {}
        except LessonError as error:
            try:
                place(failed)
            except OSError as full:
                raise LessonError(f"{error} (its notebook could not be written: {full.strerror})") from None
            except LessonError as taken:
                raise LessonError(f"{error} (its notebook is not kept: {taken})") from None
            raise LessonError(str(error), out / failed) from None
        seconds = time.perf_counter() - started
        try:
            place(target, record)
        except OSError as error:
            raise LessonError(f"{lesson.path.stem}: ran, but cannot be written into {out}: {error.strerror}") from None
        if not _stranger(lesson, out / failed):
            with suppress(OSError):  # the longest name has no place for `failed`
                (out / failed).unlink(missing_ok=True)
    return Report(lesson.name, out / target, seconds, record)


def _announce_digits(lesson: Lesson, values: Mapping[str, Any]) -> None:
    """Say on the terminal where a stand-in takes MNIST's place, and why: the lesson says so in its notebook only.
    Raises LessonError where the lesson is to have MNIST and cannot."""
    if "source" in lesson.declared:
        from invtutor.worlds.mnist import DigitsError, announce  # not at the top: torch takes seconds to load

        try:
            announce(values.get("source", lesson.declared["source"].default))
        except DigitsError as error:
            raise LessonError(f"{lesson.path.stem}: {error}") from None


def inject(notebook: Any, values: Mapping[str, object]) -> None:
    """Put a cell with these values behind the parameters cell, in place of one that papermill or we left there."""
    import nbformat

    if values:
        cells = [cell for cell in notebook.cells if not is_tagged(cell, "injected-parameters")]
        source = "\n".join(["# Parameters", *(f"{name} = {value!r}" for name, value in values.items())])
        cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["injected-parameters"]})
        place = next(number for number, cell in enumerate(cells, 1) if is_tagged(cell, "parameters"))
        notebook.cells = [*cells[:place], cell, *cells[place:]]


def refuse(lesson: Lesson, out: Path) -> None:
    """Raises ValueError where this lesson must not be run into `out`."""
    lessons.refuse_own_folder(out)
    for name in (lesson.path.name, "result.json"):
        if stranger := _stranger(lesson, out / name):
            raise ValueError(stranger)


def _stranger(lesson: Lesson, path: Path) -> str:
    """What forbids to write this lesson's result over what has this name; empty where nothing does."""
    if not os.path.lexists(path):
        return ""
    if same(path, lesson.path):
        return f"{path} is the notebook to be run; choose another folder."
    if path.suffix == ".json":
        found = _load(path)
        if not is_sealed(path) or found.get("lesson") != lesson.name:
            return f"{path} is not a result of lesson {lesson.name}; choose another folder."
        if (other := found.get("notebook")) not in (None, lesson.path.name):
            return f"{path} is the result of {other}; choose another folder."
    if not is_sealed(path):
        return f"{path} is not this program's, or was changed since; choose another folder."
    return ""


def _load(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where it holds none, or is no file: to open a pipe would wait for ever."""
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _record(lesson: Lesson, scratch: Path, out: Path) -> dict[str, Any]:
    record = _load(scratch / "result.json")
    if record.get("lesson") != lesson.name:
        raise LessonError(f"{lesson.path.stem}: ran to its end but left no result.json of lesson {lesson.name}")
    if stranger := _stranger(lesson, out / "result.json"):  # of another lesson that ran into this folder meanwhile
        raise LessonError(f"{lesson.path.stem}: ran to its end, but {stranger}")
    record.pop("seal", None)
    record["notebook"] = lesson.path.name
    if isinstance(parameters := record.get("parameters"), dict) and "out_dir" in parameters:
        parameters["out_dir"] = str(out)
    return record


def refresh(lesson: Lesson, *, limits: Limits = USUAL, quiet: bool = False) -> None:
    """Execute a lesson in the quick profile on MNIST and store the outputs in the lesson itself.

    Sources, cell ids and metadata stay as they are; progress bars, widgets and whatever else only a live session can
    show are left out. Raises LessonError when the lesson fails, when an output names a folder of this machine, or when
    somebody else has written the lesson meanwhile; and ValueError where it is a link or write-protected.
    """
    import nbformat

    before = [checksum(lesson.path.read_bytes())]
    if not is_known(lesson.path, before):
        raise ValueError(f"{lesson.path} is a link or write-protected, and stays as it is.")
    notebook = nbformat.read(lesson.path, as_version=4)
    metadata = copy.deepcopy(notebook.metadata)
    setting = lesson.own({"profile": "quick", "source": "mnist"})
    chosen = "\n".join(f"{name} = {value!r}" for name, value in setting.items())
    tagged = [cell for cell in notebook.cells if is_tagged(cell, "parameters")]
    sources = [cell.source for cell in tagged]
    for cell in tagged:  # in the cell itself, so that execution counts are those of the lesson as it stands
        cell.source += "\n" + chosen
    run_cells(notebook, lesson.path, limits, quiet, {})
    for cell, source in zip(tagged, sources, strict=True):
        cell.source = source
    notebook.metadata = metadata
    private = [os.path.expanduser("~"), str(lessons.folder().parent.resolve()), sys.prefix, tempfile.gettempdir()]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            text = "".join(_said(output) for output in cell.outputs)
            if shown := [path for path in private if len(path) > 1 and path + os.sep in text]:
                where = f"{lesson.name}: cell [{cell.execution_count}]"
                raise LessonError(f"{where} shows a folder of this machine, {shown[0]}")
    if not is_known(lesson.path, before):
        raise LessonError(f"{lesson.name}: somebody has written it while it ran, and so it stays as it is")
    write_atomically(lesson.path, written(notebook))


def _said(output: Any) -> str:
    """The texts of an output, without its pictures."""
    texts = {kind: data for kind, data in output.get("data", {}).items() if kind.startswith("text/")}
    return json.dumps([output.get("text"), output.get("traceback"), texts], ensure_ascii=False)
