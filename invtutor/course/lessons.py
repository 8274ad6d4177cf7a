"""The lessons: where they lie, what they say of themselves, and which parameters they take."""

import ast
import io
import os
import re
import tokenize
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from invtutor.course import reading
from invtutor.course.reading import UNREADABLE, first_line, is_tagged, parsed
from invtutor.fields import fit, from_text
from invtutor.files import same
from invtutor.words import guess, shown, unknown

__all__ = ["Lesson", "Parameter", "find", "folder", "lessons", "paths", "refuse_own_folder", "resolve"]

PACKAGE = Path(__file__).parents[1]


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

    @property
    def declared(self) -> dict[str, Parameter]:
        return {parameter.name: parameter for parameter in self.parameters}

    def own(self, given: Mapping[str, object]) -> dict[str, object]:
        """What of this is for this lesson: the parameters that it declares."""
        return {name: given[name] for name in self.declared if name in given}


def folder() -> Path:
    """Where the lessons lie: inside an installed package, else beside it in a checkout."""
    installed = PACKAGE / "notebooks"
    return installed if installed.is_dir() else PACKAGE.parent / "notebooks"


def refuse_own_folder(out: str | Path) -> None:
    """Raises ValueError where something is to be written into the folder of the lessons, or of the library."""
    for own, what in ((folder(), "of the lessons themselves"), (PACKAGE, "of this program")):
        if same(out, own):
            raise ValueError(f"{out} is the folder {what}; choose another folder.")


def lessons() -> list[Lesson]:
    """The lessons in the order of the course."""
    return [_inspect(path) for path in paths()]


def find(name: str | Path, methods: Sequence[str] = ()) -> Lesson:
    """A lesson by the path of any notebook, such as a student's copy, or by its number (``3``, ``03``) or name.

    methods: names that may have been meant instead. Raises ValueError, with a guess or the names of all lessons, when
    there is none, and OSError for a file that may not be read.
    """
    text = str(name)
    if text.endswith(".ipynb") and os.path.isfile(text):  # Path's own raises where a name is too long
        return _inspect(Path(text).resolve())
    for path in paths():
        if text in (path.name, path.stem) or (text.isdecimal() and int(text) == int(path.stem[:2])):
            return _inspect(path)
    known = [path.stem for path in paths()]
    short = {stem.partition("_")[2]: stem for stem in known}
    close = guess(text, [*known, *short, *methods])
    hint = f" Did you mean `{short.get(close, close)}`?" if close else ""
    names = f" The lessons are: {', '.join(known) or f'none in {folder()}'}." if not close else ""
    names += f" The methods are: {', '.join(methods)}." if methods and not close else ""
    raise ValueError(f"There is no lesson {'or method ' * bool(methods)}{shown(text)}.{hint}{names}")


def paths() -> list[Path]:
    return sorted(folder().glob("[0-9][0-9]_*.ipynb"))


def _inspect(path: Path) -> Lesson:
    cells = reading.cells(path)
    texts = [cell.source for cell in cells if cell.cell_type == "markdown"]
    heading = re.search(r"^#+ +(.+)$", "\n".join(texts), re.MULTILINE)
    minutes = re.search(r"\*\*Time:?\*\*:? *(\d+)", texts[0]) if texts else None
    tagged = [(number, cell) for number, cell in enumerate(cells, 1) if is_tagged(cell, "parameters")]
    if len(tagged) > 1:
        which = " and ".join(f"{number} `{first_line(cell)}`" for number, cell in tagged)
        raise ValueError(f"{path.name} has more than one cell tagged `parameters`: {which}. Leave the tag to one.")
    try:
        parameters = _declared(tagged[0][1].source) if tagged else ()
    except UNREADABLE as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        why = error.msg if isinstance(error, SyntaxError) else error
        raise ValueError(f"{path.name} cannot be read as a lesson: its parameters cell{line}: {why}.") from None
    title = heading[1].strip() if heading else path.stem
    name = next(filter(None, map(_begun, cells)), path.stem)
    return Lesson(name, path, title, int(minutes[1]) if minutes else None, parameters)


def _begun(cell: Any) -> str | None:
    """The name in a cell's ``begin(name, …)``."""
    if cell.cell_type != "code" or "begin" not in cell.source:
        return None
    with suppress(*UNREADABLE):
        for node in ast.walk(parsed(cell.source)[1]):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("begin", "notebook.begin"):
                names = node.args[:1] + [keyword.value for keyword in node.keywords if keyword.arg == "name"]
                for name in names:
                    if isinstance(name, ast.Constant) and isinstance(name.value, str):
                        return name.value
    return None


def _declared(source: str) -> tuple[Parameter, ...]:
    """The parameters of a cell: its assignments to a name, annotated or plain, with the comments behind them."""
    source, tree = parsed(source)
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
    declared = lesson.declared
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
