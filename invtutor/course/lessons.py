"""The lessons as programs: find them, check what they are given, execute them headless, keep what they found.

papermill reads and injects the parameters, nbclient executes. Both, and torch, are imported only when they are needed:
they take seconds to load, and a `--help` need not wait for them.
"""

import ast
import asyncio
import atexit
import copy
import functools
import io
import json
import logging
import math
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import tokenize
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import quote, urlencode

import psutil  # type: ignore[import-untyped]

from invtutor.fields import fit, from_text
from invtutor.files import (
    checksum,
    clear,
    finite,
    is_known,
    is_sealed,
    made_folder,
    manifest_text,
    own_folder,
    read_manifest,
    same,
    sealed,
    write_atomically,
)
from invtutor.tables.sheet import Sheet
from invtutor.words import guess, shown, unknown
from invtutor.worlds.mnist import DigitsError, announce

__all__ = ["Lesson", "LessonError", "Limits", "Parameter", "Result", "binder_link", "copy_lessons", "course", "execute"]
__all__ += ["find", "folder", "lessons", "nbgitpuller_link", "read", "refresh", "resolve", "summary"]
__all__ += ["VIEW"]

VIEW = "application/vnd.jupyter.widget-view+json"


@dataclass(frozen=True)
class Limits:
    """What the run of a lesson may take: seconds, MB of output, and MB of memory (as much as there is, if None)."""

    timeout: float = 1800.0
    max_output: float = 50.0
    memory: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not field.default and not 0 < value < math.inf:
                raise ValueError(f"Parameter `{field.name}` should be above 0 and finite. Found {value}.")


class LessonError(RuntimeError):
    """A lesson did not run to its end; the message is one line that names the lesson and the cell.

    cause: the message without where the notebook is, as far as it came.
    """

    def __init__(self, cause: str, notebook: Path | None = None):
        super().__init__(f"{cause} (see {notebook})" if notebook else cause)
        self.cause = cause


class Code(str):
    """A default that is no literal, such as ``2**3``, as it stands in the lesson."""

    __repr__ = str.__str__


class Parameter(NamedTuple):
    """One line of a lesson's parameters cell: ``name: type = default  # help``."""

    name: str
    type: str
    default: Any
    help: str


@dataclass(frozen=True)
class Lesson:
    """A notebook of the course, or a copy of one under any file name.

    name: as the notebook itself says in ``begin(name, …)``, else its file's. minutes: None where its first cell does
    not say ``**Time:** 25 minutes``.
    """

    name: str
    path: Path
    title: str
    minutes: int | None
    parameters: tuple[Parameter, ...]


USUAL = Limits()


@dataclass(frozen=True)
class Result:
    """What a lesson left: its executed notebook and the content of its result.json (empty if it writes none)."""

    lesson: str
    notebook: Path
    seconds: float
    record: Mapping[str, Any]


# ------------------------------------------------------------------------------------------------- finding


def folder() -> Path:
    """Where the lessons lie: inside an installed package, else beside it in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "notebooks"
    return installed if installed.is_dir() else package.parent / "notebooks"


def lessons() -> list[Lesson]:
    """The lessons in the order of the course."""
    return [_inspect(path) for path in _paths()]


def find(name: str | Path, methods: Sequence[str] = ()) -> Lesson:
    """A lesson by the path of any notebook, such as a student's copy, or by its number (``3``, ``03``) or name.

    methods: names that may have been meant instead. Raises ValueError, with a guess or the names of all lessons, when
    there is none, and OSError for a file that may not be read.
    """
    text = str(name)
    if text.endswith(".ipynb") and os.path.isfile(text):  # Path's own raises where a name is too long
        return _inspect(Path(text).resolve())
    for path in _paths():
        if text in (path.name, path.stem) or (text.isdecimal() and int(text) == int(path.stem[:2])):
            return _inspect(path)
    known = [path.stem for path in _paths()]
    short = {stem.partition("_")[2]: stem for stem in known}
    close = guess(text, [*known, *short, *methods])
    hint = f" Did you mean `{short.get(close, close)}`?" if close else ""
    names = f" The lessons are: {', '.join(known) or f'none in {folder()}'}." if not close else ""
    names += f" The methods are: {', '.join(methods)}." if methods and not close else ""
    raise ValueError(f"There is no lesson {'or method ' * bool(methods)}{shown(text)}.{hint}{names}")


def _paths() -> list[Path]:
    return sorted(folder().glob("[0-9][0-9]_*.ipynb"))


def _inspect(path: Path) -> Lesson:
    cells = read(path).cells
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    heading = re.search(r"^#+ +(.+)$", "\n".join(texts), re.MULTILINE)
    minutes = re.search(r"\*\*Time:?\*\*:? *(\d+)", texts[0]) if texts else None
    tagged = [(number, cell) for number, cell in enumerate(cells, 1) if _is_tagged(cell, "parameters")]
    if len(tagged) > 1:
        which = " and ".join(f"{number} `{_first_line(cell)}`" for number, cell in tagged)
        raise ValueError(f"{path.name} has more than one cell tagged `parameters`: {which}. Leave the tag to one.")
    try:
        parameters = _declared(tagged[0][1].source) if tagged else ()
    except _UNREADABLE as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        why = error.msg if isinstance(error, SyntaxError) else error
        raise ValueError(f"{path.name} cannot be read as a lesson: its parameters cell{line}: {why}.") from None
    title = heading[1].strip() if heading else path.stem
    name = next(filter(None, map(_begun, cells)), path.stem)
    return Lesson(name, path, title, int(minutes[1]) if minutes else None, parameters)


def _is_tagged(cell: Any, tag: str) -> bool:
    return cell.cell_type == "code" and tag in cell.metadata.get("tags", ())


def _first_line(cell: Any) -> str:
    """The first line of a cell that has one, to name it by."""
    line = (cell.source.strip().splitlines() or [""])[0]
    return line if len(line) <= 100 else f"{line[:99]}…"


# ------------------------------------------------------------------------------------------------- reading

LARGEST = 100 * 2**20
"""Bytes of the largest notebook that is read."""


def read(path: Path) -> Any:
    """A notebook in nbformat 4.5, whatever program and system saved it, with all that is no notebook's left out.

    Raises ValueError, one line, where it cannot be read or is not in Python, and OSError where the file may not be.
    """
    try:
        return _notebook(path)
    except ValueError as error:
        raise ValueError(f"{path.name} cannot be read as a notebook: {error}.") from None


def _notebook(path: Path) -> Any:
    import nbformat

    if (size := path.stat().st_size) > LARGEST:
        raise ValueError(f"it has {size / 2**20:.0f} MB, of {LARGEST / 2**20:.0f} MB at most")
    data = path.read_bytes()
    if not data.strip():
        raise ValueError("it is empty")
    try:
        content = json.loads(data)  # UTF-8, with a byte order mark or without, and UTF-16
    except UnicodeDecodeError as error:
        wrong = f"byte 0x{data[error.start]:02x} at {error.start}"
        raise ValueError(f"it is no {error.encoding.upper()}: {wrong}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is no JSON: {error}") from None
    version = content.get("nbformat") if isinstance(content, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise ValueError("it is JSON, but no notebook")
    if not 1 <= version <= 4:
        raise ValueError(f"its format, nbformat {version}, is not known")
    metadata = _dictionary(content.get("metadata"))
    languages = [_dictionary(metadata.get(key)).get(name) for key, name in _LANGUAGES.items()]
    try:
        if version < 4:
            languages += [cell.get("language") for sheet in content.get("worksheets", ()) for cell in sheet["cells"]]
            with _silence():  # it would report on stderr what is amiss, and go on
                content = nbformat.convert(nbformat.from_dict({**content, "metadata": metadata}), 4)
        cells = [_cell(number, cell) for number, cell in enumerate(content.get("cells", ()), 1)]
        taken: set[str] = set()
        for cell in cells:
            while cell["id"] in taken:  # copied, id and all
                cell["id"] = f"copy-{len(taken)}"
            taken.add(cell["id"])
    except (ValueError, RecursionError) as error:
        raise ValueError(str(error)) from None
    except Exception as error:  # the conversion raises this and that where an old notebook is malformed
        raise ValueError(f"{type(error).__name__}: {error}") from None
    for language in languages:
        if isinstance(language, str) and language and not re.match("i?python", language, re.IGNORECASE):
            raise ValueError(f"its language is {language}, not Python")
    own = {key: value for key, value in metadata.items() if isinstance(value, dict) and key not in _LEFT_OUT}
    own["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    whole = {"nbformat": 4, "nbformat_minor": 5, "metadata": own, "cells": cells}
    content = nbformat.from_dict(nbformat.validator.normalize(whole, strip_invalid_metadata=True)[1])
    try:
        nbformat.validate(content)
    except nbformat.ValidationError as error:
        raise ValueError(str(error).partition("\n")[0]) from None
    return content


_LEFT_OUT = ("widgets", "papermill", "language_info")  # what belongs to the session or program that it comes from
_LANGUAGES = {"kernelspec": "language", "language_info": "name"}  # where a notebook's metadata name it


def _dictionary(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


@contextmanager
def _silence() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _cell(number: int, cell: Any) -> dict[str, Any]:
    cell = _dictionary(cell)
    metadata = dict(_dictionary(cell.get("metadata")))
    metadata["tags"] = list(dict.fromkeys(map(str, _list(metadata.get("tags")))))
    if not metadata["tags"]:
        del metadata["tags"]
    known = isinstance(cell.get("id"), str) and re.fullmatch(r"[\w-]{1,64}", cell["id"], re.ASCII)
    kind = cell.get("cell_type")
    kept = {"id": cell["id"] if known else f"cell-{number}", "cell_type": kind, "metadata": metadata}
    kept["source"] = _text_of(cell.get("source"))
    if kind == "code":
        outputs = [good for output in _list(cell.get("outputs")) if (good := _output(output))]
        return kept | {"execution_count": None, "outputs": outputs}
    if kind in ("markdown", "raw"):
        attachments = _dictionary(cell.get("attachments"))
        whole = {name: files for name, files in attachments.items() if files and _dictionary(files)}
        return kept | ({"attachments": whole} if whole else {})
    raise ValueError(f"its cell {number} is neither code nor text")


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text_of(value: object) -> str:
    """A text that may stand as a list of its lines, without halves of signs, which cannot be written."""
    text = value if isinstance(value, str) else "".join(map(str, _list(value)))
    return text.encode("utf-8", "replace").decode()


def _output(output: Any) -> dict[str, Any]:
    """A stored output as the format wishes it; empty where it is nothing that can be shown."""
    output = _dictionary(output)
    kind = output.get("output_type")
    if kind == "stream":
        name = "stderr" if output.get("name") == "stderr" else "stdout"
        return {"output_type": kind, "name": name, "text": _text_of(output.get("text"))}
    if kind == "error":
        said = {key: _text_of(output.get(key)) for key in ("ename", "evalue")}
        return {"output_type": kind, **said, "traceback": [*map(_text_of, _list(output.get("traceback")))]}
    if kind in ("display_data", "execute_result"):
        data = _dictionary(output.get("data"))
        data = {key: value if key.endswith("json") else _text_of(value) for key, value in data.items()}
        shown = {"output_type": kind, "data": data, "metadata": _dictionary(output.get("metadata"))}
        return shown | ({"execution_count": None} if kind == "execute_result" else {})
    return {}


_UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)  # what a cell's source can make Python raise


def _python(source: str) -> tuple[str, ast.Module]:
    """A cell's source and syntax tree, in which magics, lines that are IPython's alone, became `pass`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about an escape in somebody's text
        try:
            return source, ast.parse(source)
        except SyntaxError:
            source = re.sub(r"^([ \t]*)[%!].*$", r"\1pass", source, flags=re.MULTILINE)
            return source, ast.parse(source)


def _begun(cell: Any) -> str | None:
    """The name in a cell's ``begin(name, …)``."""
    if cell.cell_type != "code" or "begin" not in cell.source:
        return None
    with suppress(*_UNREADABLE):
        for node in ast.walk(_python(cell.source)[1]):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("begin", "notebook.begin"):
                names = node.args[:1] + [keyword.value for keyword in node.keywords if keyword.arg == "name"]
                for name in names:
                    if isinstance(name, ast.Constant) and isinstance(name.value, str):
                        return name.value
    return None


def _declared(source: str) -> tuple[Parameter, ...]:
    """The parameters of a cell: its assignments to a name, annotated or plain, with the comments behind them."""
    source, tree = _python(source)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT}
    found = {}
    for node in tree.body:
        if isinstance(node, ast.AnnAssign):
            targets, annotation = [cast("ast.expr", node.target)], ast.unparse(node.annotation)
        elif isinstance(node, ast.Assign):
            targets, annotation = node.targets, ""
        else:
            continue
        if node.value is None:
            continue
        try:
            default = ast.literal_eval(node.value)
        except (ValueError, TypeError):
            default = Code(ast.get_source_segment(source, node.value))
        for target in targets:
            if isinstance(target, ast.Name):
                help = comments.get(node.end_lineno or 0, "").lstrip("# ").rstrip()
                found[target.id] = Parameter(target.id, _kind(annotation, default), default, help)
    return tuple(found.values())


def _kind(annotation: str, default: object) -> str:
    """The type that is declared, be it as ``Optional[int]``, else that of the default."""
    words = [word.lower() for word in re.findall(r"\w+", annotation)]
    first = next((word for word in words if word not in ("typing", "optional", "union", "none")), "")
    return first if first in _KINDS else "list" if isinstance(default, tuple) else type(default).__name__


# ------------------------------------------------------------------------------------------------- parameters

_KINDS = {"int": int, "float": float, "bool": bool, "str": str, "list": list}


def resolve(lesson: Lesson, given: Mapping[str, object]) -> dict[str, Any]:
    """The given parameters as values of the lesson's declared types.

    given: values, or the texts of a command line (``"1e3"``, ``"0.1,0.2"``). Raises ValueError, one line, for a name
    that the lesson does not declare, a value of another type, or a value out of range.
    """
    declared = {parameter.name: parameter for parameter in lesson.parameters}
    for name in given:
        if name not in declared:
            raise ValueError(unknown(name, declared, f"Lesson {lesson.name}"))
    return {name: _value(declared[name], value) for name, value in given.items()}


def _value(parameter: Parameter, given: object) -> Any:
    """The value in the type that the lesson declares, and within the range of the field of that name."""
    from invtutor.runs.recipe import parameter as allowed  # not at the top: torch takes seconds to load

    if isinstance(parameter.default, Code) or parameter.type not in _KINDS:
        found = f"its default {parameter.default!r} is no plain number, text, truth value or list"
        raise ValueError(f"Parameter `{parameter.name}` cannot be set: {found}.")
    kind: Any = _KINDS[parameter.type]
    if kind is list:
        kind = tuple[type(parameter.default[0]) if parameter.default else float, ...]  # type: ignore[misc]
    value = fit(parameter.name, kind, from_text(kind, given) if isinstance(given, str) else given)
    if isinstance(value, tuple):
        value = list(value)
    if value != parameter.default:  # a lesson may mean something by a default that no run would take
        allowed(parameter.name, value)
    return value


# ------------------------------------------------------------------------------------------------- executing


def execute(
    lesson: Lesson, given: Mapping[str, object], *, out: str | Path, limits: Limits = USUAL, quiet: bool = False
) -> Result:
    """Run a lesson headless and leave it, executed, and its ``result.json`` in `out`, whole or not at all.

    given: parameters as for `resolve`. quiet: no progress bar on stderr. The executed notebook has the file name of the
    lesson, so that students' copies of one lesson stay apart. The lesson's `out_dir`, if it has one, is filled in here.
    Raises ValueError before anything runs for wrong parameters or an `out` that cannot be used, and LessonError when
    the lesson fails or oversteps a limit; then an older result stays and the notebook as far as it came is
    ``<lesson>.failed.ipynb``. What a killed run left in `out` is cleared away; whatever else is
    there, older results of this notebook excepted, stays as it is.
    """
    values = resolve(lesson, given)
    writes = any(parameter.name == "out_dir" for parameter in lesson.parameters)
    if "out_dir" in values:
        raise ValueError("Parameter `out_dir` should be left out here: the runner fills it in. Say where with `out`.")
    with _scratch(lesson, Path(out)) as (out, scratch):
        _announce_digits(lesson, values)
        notebook = read(lesson.path)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs = []
        _inject(notebook, values | ({"out_dir": str(scratch)} if writes else {}))

        def place(name: str, record: Mapping[str, Any] | None = None) -> None:
            """Put the notebook, and a record beside it, in `out`: both are whole before either is to be seen."""
            texts = {name: _text(notebook).replace(str(scratch), str(out))}
            if record:
                texts["result.json"] = json.dumps(finite(record), allow_nan=False)
            for file, text in texts.items():
                text = sealed(text.encode("utf-8", "replace").decode())  # a student's text may hold half a sign
                (scratch / f"whole-{file}").write_text(text, encoding="utf-8", newline="\n")
            for file in texts:
                if stranger := _stranger(lesson, out / file):
                    raise LessonError(f"{lesson.path.stem}: {stranger}")
                os.replace(scratch / f"whole-{file}", out / file)

        started, failed, target = time.perf_counter(), f"{lesson.path.stem}.failed.ipynb", lesson.path.name
        try:
            _run(notebook, lesson, limits, quiet)
            record = _record(lesson, scratch, out) if writes else {}
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
            (out / failed).unlink(missing_ok=True)
    return Result(lesson.name, out / target, seconds, record)


def _announce_digits(lesson: Lesson, values: Mapping[str, Any]) -> None:
    """Say on the terminal where a stand-in takes MNIST's place, and why: the lesson says so in its notebook only.
    Raises LessonError where the lesson is to have MNIST and cannot."""
    for parameter in lesson.parameters:
        if parameter.name == "source":
            try:
                announce(values.get("source", parameter.default))
            except DigitsError as error:
                raise LessonError(f"{lesson.path.stem}: {error}") from None


def _inject(notebook: Any, values: Mapping[str, object]) -> None:
    """Put a cell with these values behind the parameters cell, in place of one that papermill or we left there."""
    import nbformat

    if values:
        cells = [cell for cell in notebook.cells if not _is_tagged(cell, "injected-parameters")]
        source = "\n".join(["# Parameters", *(f"{name} = {value!r}" for name, value in values.items())])
        cell = nbformat.v4.new_code_cell(source, metadata={"tags": ["injected-parameters"]})
        place = next(number for number, cell in enumerate(cells, 1) if _is_tagged(cell, "parameters"))
        notebook.cells = [*cells[:place], cell, *cells[place:]]


@contextmanager
def _scratch(lesson: Lesson, out: Path) -> Iterator[tuple[Path, Path]]:
    """`out`, made if need be, and a folder in it that goes away again."""
    if refusal := _refusal(lesson, out):
        raise ValueError(refusal)
    with ExitStack() as stack:
        try:
            out = out.resolve()
            stack.enter_context(made_folder(out))
            scratch = stack.enter_context(own_folder(out))
        except OSError as error:
            raise ValueError(f"Cannot write results into {out}: {error.strerror}.") from None
        yield out, scratch


def _refusal(lesson: Lesson, out: Path) -> str:
    """What forbids to run this lesson into `out`; empty where nothing does."""
    if same(out, folder()):
        return f"{out} is the folder of the lessons themselves; choose another folder."
    return next(filter(None, (_stranger(lesson, out / name) for name in (lesson.path.name, "result.json"))), "")


def _stranger(lesson: Lesson, path: Path) -> str:
    """What forbids to write this lesson's result over what has this name; empty where nothing does."""
    if not os.path.lexists(path):
        return ""
    if same(path, lesson.path):
        return f"{path} is the notebook to be run; choose another folder."
    if path.suffix == ".json" and not (is_sealed(path) and _load(path).get("lesson") == lesson.name):
        return f"{path} is not a result of lesson {lesson.name}; choose another folder."
    if path.suffix == ".json" and (other := _load(path).get("notebook")) not in (None, lesson.path.name):
        return f"{path} is the result of {other}; choose another folder."
    if not is_sealed(path):
        return f"{path} is not this program's, or was changed since; choose another folder."
    return ""


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
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
    if "out_dir" in record.get("parameters", {}):
        record["parameters"]["out_dir"] = str(out)
    return record


def _text(notebook: Any) -> str:
    """The notebook as JSON, without what only a live session or papermill can use."""
    import nbformat

    for part in (notebook, *notebook.cells):
        for key in ("widgets", "papermill"):
            part.metadata.pop(key, None)
        if not part.metadata.get("tags", True):  # papermill gives every cell a list of tags
            del part.metadata["tags"]
    for cell in notebook.cells:
        if cell.cell_type == "code":  # a view without its widget's state shows only an error
            shown = [(output, output.get("data", {})) for output in cell.outputs]
            cell.outputs = [output for output, data in shown if VIEW not in data or "image/png" in data]
            for _, data in shown:
                data.pop(VIEW, None)
            cell.outputs = _joined(cell.outputs)
    return str(nbformat.v4.writes(notebook)) + "\n"


def _joined(outputs: list[Any]) -> list[Any]:
    """Outputs with each stream in one piece, as a terminal shows it: progress bars have wiped themselves out."""
    joined: list[Any] = []
    for output in outputs:
        if joined and output.output_type == "stream" and joined[-1].get("name") == output.name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    for output in joined:
        if output.output_type == "stream":
            output.text = "\n".join(line.rpartition("\r")[2] for line in output.text.split("\n"))
    return [output for output in joined if output.get("text") != ""]


def _run(notebook: Any, lesson: Lesson, limits: Limits, quiet: bool) -> None:
    """Execute the notebook in place, in its own folder, by a kernel of this very Python; LessonError if it fails."""
    import zmq.asyncio
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError
    from tqdm import tqdm

    # Sockets are files in a folder of this run alone: parallel runs on TCP race for ports. Their paths must be short.
    short = "/tmp" if os.name == "posix" and os.access("/tmp", os.W_OK) else tempfile.gettempdir()
    count = sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in notebook.cells)
    most = round(limits.max_output * 1e6)
    line = ""

    class Client(NotebookClient):
        """Keeps no more than the limit of what the kernel says, and says when it is reached."""

        said = 0
        running = False
        cut = math.inf

        def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
            self.said += _weight(msg)
            return None if self.said > most else super().process_message(msg, cell, cell_index)

        async def overstepped(self) -> str:
            """The limit that the kernel has overstepped; empty where it has none."""
            if self.kc:
                monitor = self.kc.iopub_channel.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
                while await monitor.poll(0):
                    await monitor.recv_multipart()
                    self.cut = time.monotonic()
            # Cut off since seconds, and its kernel lives and computes on: one message alone was too large.
            if self.running and time.monotonic() > self.cut + 3 and await self.km.is_alive():
                self.said = most + 1
            if self.said > most:
                return f"more than {limits.max_output:g} MB of output"
            if limits.memory and _memory(mark) > limits.memory:
                return f"more than {limits.memory:g} MB of memory"
            return ""

    def at_start(cell: Any, cell_index: int) -> None:
        nonlocal line
        line, client.running = _first_line(cell), True

    def at_end(cell: Any, cell_index: int, execute_reply: Any) -> None:
        bar.update()
        client.running = False
        for state in client.widget_state.values():
            for output in state.get("outputs", ()):
                if output["output_type"] == "error":  # the kernel takes a cell as done whose widget shows a traceback
                    raise LessonError(f"in a widget, {output['ename']}: {output['evalue']}")

    with (
        own_folder(short) as sockets,
        tqdm(total=count, desc=lesson.path.stem, unit="cell", disable=quiet, leave=False) as bar,
    ):
        files = {"transport": "ipc", "ip": f"{sockets}/k"} if os.name == "posix" else {}
        native = KernelSpecManager(kernel_dirs=[])  # no installed kernelspec, which may be another Python
        manager = AsyncKernelManager(
            kernel_name="python3", kernel_spec_manager=native, connection_file=f"{sockets}/kernel.json", **files
        )
        context = zmq.asyncio.Context()
        context.setsockopt(zmq.MAXMSGSIZE, most)  # a connection ends before a larger message is in our memory
        manager.client = functools.partial(manager.client, context=context)  # type: ignore[method-assign]
        client = Client(
            notebook,
            km=manager,
            timeout=None,
            iopub_timeout=60,
            record_timing=False,
            resources={"metadata": {"path": str(lesson.path.parent)}},
            extra_arguments=[_DIE_WITH.format(os.getpid())] if os.name == "posix" else [],
            on_cell_execute=at_start,
            on_cell_executed=at_end,
        )
        mark = str(sockets)
        try:
            _drive(client, limits.timeout, mark)
        except CellExecutionError as error:
            cause = f"{error.ename}: {error.evalue}"
        except DeadKernelError:
            cause = "the kernel died, perhaps for want of memory"
        except (RuntimeError, OSError) as error:  # the limits, too
            cause = str(error) or type(error).__name__
        else:
            return
        finally:
            context.destroy(linger=0)
        where = f"cell [{client.code_cells_executed}] `{line}`" if line else "before the first cell"
        raise LessonError(f"{lesson.path.stem}: {where}: {cause.strip().splitlines()[0]}")


# A kernel watches for its parent's death, but not before it is up: a parent killed earlier would leave it for ever.
_DIE_WITH = "--IPKernelApp.exec_lines=if __import__('os').getppid() != {}: __import__('os')._exit(1)"

_MARK = "INVTUTOR_RUN"
"""The variable by which the processes of a run are known, whatever they do to their names, parents and sessions."""


def _weight(thing: Any) -> int:
    """About the bytes that a message takes in memory."""
    if isinstance(thing, dict):
        return sum(64 + len(key) + _weight(value) for key, value in thing.items())
    if isinstance(thing, list):
        return sum(map(_weight, thing), 64)
    return len(thing) if isinstance(thing, str | bytes | memoryview) else 8


def _processes(mark: str) -> list[Any]:
    """The processes of a run: the kernel, and all that it started or left behind."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(_MARK) == mark:
                found.append(process)
    return found


def _memory(mark: str) -> float:
    """The MB that a run's processes hold together."""
    held = 0
    for process in _processes(mark):
        with suppress(psutil.Error):
            held += process.memory_info().rss
    return held / 1e6


def _drive(client: Any, timeout: float, mark: str) -> None:
    """Run nbclient to its end, to a limit, or to Ctrl-C, and see the kernel and its processes off in any case.

    In a thread with its own event loop: so it works under a running loop too, and nbclient cannot take over Ctrl-C.
    """
    interrupted = threading.Event()
    deadline = time.monotonic() + timeout
    # What comes by the kernel's messages is counted; what it or its children write past them, without end, is not.
    null = dict.fromkeys(("stdout", "stderr"), subprocess.DEVNULL)
    env = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}  # under which a kernel lets that happen

    async def drive() -> None:
        run = asyncio.ensure_future(client.async_execute(cleanup_kc=True, env=env | {_MARK: mark}, **null))
        limit = ""
        while not (run.done() or interrupted.is_set() or limit):
            await asyncio.wait({run}, timeout=0.1)
            limit = await client.overstepped()
            if time.monotonic() > deadline:
                limit = f"the time limit of {timeout:g} s for the lesson"
        if run.done():
            return run.result()
        client.shutdown_kernel = "immediate"
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        atexit.unregister(client._cleanup_kernel)  # which nbclient leaves to be called where it was cancelled
        if client.km and await client.km.is_alive():  # nbclient forgets a kernel that was still starting
            await client.km.shutdown_kernel(now=True)
        if client.kc:
            client.kc.stop_channels()
        raise TimeoutError(f"stopped at {limit}")

    def whole() -> None:
        try:
            asyncio.run(drive())
        finally:
            for _ in range(10):  # what is killed may just have started another
                for process in (left := _processes(mark)):
                    with suppress(psutil.Error):
                        process.kill()
                if not psutil.wait_procs(left, timeout=1)[0]:
                    break

    with futures.ThreadPoolExecutor(1) as thread:
        future = thread.submit(whole)
        try:
            future.result()
        except KeyboardInterrupt:
            interrupted.set()
            while not future.done():  # another Ctrl-C must not keep us from seeing the kernel off
                with suppress(KeyboardInterrupt):
                    futures.wait([future])
            raise


# ------------------------------------------------------------------------------------------------- the whole course


def course(
    out: str | Path, given: Mapping[str, object], *, limits: Limits = USUAL, quiet: bool = False
) -> list[Result]:
    """Execute every lesson, each into its folder of `out`; print a line per lesson and a table of methods × accuracy.

    given: each parameter goes to the lessons that have it. A lesson that fails is told of and the rest goes on; at the
    end LessonError names those that failed. Raises ValueError before anything runs when no lesson has a parameter, or
    a lesson refuses its value. Returns the results; the table is made of their ``metrics["table"]``,
    method -> column -> accuracy as a share, where later lessons win.
    """
    every = lessons()
    known = dict.fromkeys(parameter.name for lesson in every for parameter in lesson.parameters)
    for name in given:
        if name not in known:
            raise ValueError(unknown(name, known, "The course"))
    if same(out, folder()):
        raise ValueError(f"{out} is the folder of the lessons themselves; choose another folder.")
    own = {lesson.name: {p.name: given[p.name] for p in lesson.parameters if p.name in given} for lesson in every}
    for lesson in every:
        resolve(lesson, own[lesson.name])
        if refusal := _refusal(lesson, Path(out) / lesson.name):
            raise ValueError(refusal)
    results, failed = [], []
    table: dict[str, dict[str, Any]] = {}
    for lesson in every:
        try:
            result = execute(lesson, own[lesson.name], out=Path(out) / lesson.name, limits=limits, quiet=quiet)
        except LessonError as error:
            failed.append(lesson.name)
            print(f"{lesson.name:<18} FAILED  {error}", flush=True)
            continue
        print(summary(result), flush=True)
        for method, row in result.record.get("metrics", {}).get("table", {}).items():
            table.setdefault(method, {}).update(row)
        results.append(result)
    if table:
        print(f"\n{_layout(table)}")
    if failed:
        raise LessonError(f"{len(failed)} of {len(every)} lessons failed: {', '.join(failed)}")
    return results


def summary(result: Result) -> str:
    """One line: the lesson, its seconds, its peak memory and its headline figure."""
    memory = f"{result.record['peak_memory_mb']:6.0f} MB" if result.record.get("peak_memory_mb") is not None else ""
    line = f"{result.notebook.stem:<18} {result.seconds:6.1f} s {memory:>9}  {result.record.get('headline', '')}"
    return line.rstrip()


def _layout(table: Mapping[str, Mapping[str, Any]]) -> Sheet:
    """Methods × columns in percent; numbers are shares, texts stand as they are."""
    columns = list(dict.fromkeys(column for row in table.values() for column in row))
    rows = []
    for method, row in table.items():
        cells = ["–" if row.get(column) is None else row[column] for column in columns]
        rows.append([method, *(cell if isinstance(cell, str) else f"{100 * cell:.1f}" for cell in cells)])
    return Sheet(["accuracy, %", *columns], rows)


# ------------------------------------------------------------------------------------------------- for maintainers


def refresh(lesson: Lesson, *, limits: Limits = USUAL, quiet: bool = False) -> None:
    """Execute a lesson in the quick profile on MNIST and store the outputs in the lesson itself.

    Sources, cell ids and metadata stay as they are; progress bars, widgets and whatever else only a live session can
    show are left out. Raises LessonError when the lesson fails, or when an output names a folder of this machine.
    """
    import nbformat

    notebook = nbformat.read(lesson.path, as_version=4)
    metadata = copy.deepcopy(notebook.metadata)
    setting = {"profile": "quick", "source": "mnist"}
    chosen = "\n".join(f"{p.name} = {setting[p.name]!r}" for p in lesson.parameters if p.name in setting)
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])][:1]
    sources = [cell.source for cell in tagged]
    for cell in tagged:  # in the cell itself, so that execution counts are those of the lesson as it stands
        cell.source += "\n" + chosen
    _run(notebook, lesson, limits, quiet)
    for cell, source in zip(tagged, sources, strict=True):
        cell.source = source
    notebook.metadata = metadata
    private = [str(Path.home()), str(folder().parent.resolve()), sys.prefix, tempfile.gettempdir()]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            text = "".join(_said(output) for output in cell.outputs)
            if shown := [path for path in private if len(path) > 1 and path + os.sep in text]:
                where = f"{lesson.name}: cell [{cell.execution_count}]"
                raise LessonError(f"{where} shows a folder of this machine, {shown[0]}")
    write_atomically(lesson.path, _text(notebook))


def _said(output: Any) -> str:
    """The texts of an output, without its pictures."""
    texts = {kind: data for kind, data in output.get("data", {}).items() if kind.startswith("text/")}
    return json.dumps([output.get("text"), output.get("traceback"), texts], ensure_ascii=False)


# ------------------------------------------------------------------------------------------------- for students


MANIFEST = ".invtutor.json"


def copy_lessons(target: str | Path) -> list[str]:
    """Copy the lessons into a folder and return the names of those left alone because they are not ours to replace.

    What was copied is remembered by its SHA-256 in ``.invtutor.json`` there, so that an older copy which nobody touched
    is brought up to date. Where that file is damaged, it counts among those left alone. Raises ValueError when the
    folder cannot be written, or is that of the lessons themselves.
    """
    target = Path(target)
    if same(target, folder()):
        raise ValueError(f"{target} is the folder of the lessons themselves; choose another, or open them --in-place.")
    manifest, kept = target / MANIFEST, []
    before = read_manifest(manifest)
    news: dict[str, bytes] = {}
    after = dict(before or {})
    try:
        for path in _paths():
            content, copied = path.read_bytes(), target / path.name
            if copied.is_file() and copied.read_bytes() == content:
                pass
            elif not os.path.lexists(copied) or is_known(copied, after.get(path.name, ())):
                news[path.name] = content
            else:
                kept.append(path.name)
                continue
            after[path.name] = [checksum(content)]
        target.mkdir(parents=True, exist_ok=True)
        clear(target)
        if before is None:
            kept.insert(0, MANIFEST)
        elif news:  # told first, so that a kill leaves no copy that nobody knows
            both = {name: [*(before.get(name, []) if name in news else []), *sums] for name, sums in after.items()}
            write_atomically(manifest, manifest_text(both))
        for name, content in news.items():
            write_atomically(target / name, content)
        if before is not None and after != before:
            write_atomically(manifest, manifest_text(after))
    except OSError as error:
        raise ValueError(f"Cannot copy the lessons into {target}: {error.strerror}.") from None
    return kept


def binder_link(repo: str, ref: str, lesson: Lesson) -> tuple[str, str]:
    """The address that opens a lesson on mybinder.org, and its badge in Markdown.

    repo: ``OWNER/REPO`` on GitHub, or an address from which it is cloned. ref: a tag, branch or commit. Raises
    ValueError for anything else.
    """
    repo = _source(repo, ref)
    path = quote(f"lab/tree/notebooks/{lesson.path.name}", safe="")
    url = f"https://mybinder.org/v2/gh/{repo}/{quote(ref, safe='')}?urlpath={path}"
    return url, f"[![Binder](https://mybinder.org/badge_logo.svg)]({url})"


def nbgitpuller_link(hub: str, repo: str, branch: str, lesson: Lesson) -> str:
    """The address that fetches the course into a student's folder on a JupyterHub with nbgitpuller, and opens a lesson.

    hub: the hub's address, such as ``https://hub.example.org``. repo: as for `binder_link`. branch: a branch, since
    nbgitpuller merges its news into the student's copy, and cannot do so with a tag. Raises ValueError for anything
    else.
    """
    repo = _source(repo, branch)
    if not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9._~/-]*)?", hub):
        raise ValueError(f"Parameter `hub` should be a hub's address such as https://hub.example.org. Found {hub!r}.")
    query = {
        "repo": f"https://github.com/{repo}",
        "branch": branch,
        "urlpath": f"lab/tree/{repo.partition('/')[2]}/notebooks/{lesson.path.name}",
    }
    return f"{hub.rstrip('/')}/hub/user-redirect/git-pull?{urlencode(query, quote_via=quote, safe='')}"


def _source(repo: str, ref: str) -> str:
    """OWNER/REPO, be it given as the address of a page or a clone."""
    found = re.fullmatch(_REPOSITORY, repo.strip(), re.IGNORECASE)
    if not found or found["name"].lower() in (".", "..", ".git"):
        raise ValueError(f"Parameter `repo` should be OWNER/REPO on GitHub. Found {repo!r}.")
    if not ref or re.search(r"\s", ref):
        raise ValueError(f"Parameter `ref` should be a tag, a branch or a commit. Found {ref!r}.")
    return f"{found['owner']}/{found['name']}"


_REPOSITORY = (
    r"((https?|git|ssh|git\+ssh)://([\w.-]+@)?(www\.)?github\.com/|([\w.-]+@)?(www\.)?github\.com[:/])?"
    r"(?P<owner>[a-z0-9][a-z0-9-]*)/(?P<name>[a-z0-9._-]+?)(\.git)?/?"
)
