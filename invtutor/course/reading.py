"""Notebooks as anybody's program saved them, made plain: nbformat 4.5, Python, and nothing that is no notebook's.

nbformat takes a while to load and is imported only when it is needed, so that a `--help` need not wait for it.
"""

import ast
import json
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

__all__ = ["LARGEST", "UNREADABLE", "VIEW", "cells", "first_line", "is_tagged", "parsed", "read", "written"]

LARGEST = 100 * 2**20
"""Bytes of the largest notebook that is read."""


def read(path: Path) -> Any:
    """A notebook in nbformat 4.5, whatever program and system saved it, with all that is no notebook's left out.

    Raises ValueError, one line, where it cannot be read or is not in Python, and OSError where the file may not be.
    """
    with _named(path):
        return _valid(*_plain(_loaded(path)))


def cells(path: Path) -> list[Any]:
    """The cells of such a notebook alone, for those who only look at it: without nbformat, which takes as long to load
    as torch. Raises as `read` does, but for what only nbformat's validation would find."""
    with _named(path):
        return [SimpleNamespace(**cell) for cell in _plain(_loaded(path))[1]]


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} cannot be read as a notebook: {error}.") from None


def _loaded(path: Path) -> dict[str, Any]:
    """The JSON of a notebook of a format that is known."""
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
    return content


def _plain(content: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What is a notebook's own of its metadata, and its cells."""
    metadata = _dictionary(content.get("metadata"))
    languages = [_dictionary(metadata.get(key)).get(name) for key, name in _LANGUAGES.items()]
    try:
        if content["nbformat"] < 4:
            import nbformat

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
    return own, cells


def _valid(metadata: dict[str, Any], cells: list[dict[str, Any]]) -> Any:
    import nbformat

    whole = {"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": cells}
    content = nbformat.from_dict(nbformat.validator.normalize(whole, strip_invalid_metadata=True)[1])
    try:
        nbformat.validate(content)
    except nbformat.ValidationError as error:
        raise ValueError(str(error).partition("\n")[0]) from None
    return content


VIEW = "application/vnd.jupyter.widget-view+json"
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
    tags = dict.fromkeys(str(tag) for tag in _list(metadata.pop("tags", None)))
    if valid := [tag for tag in tags if tag and "," not in tag]:
        metadata["tags"] = valid
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


UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)  # what a cell's source can make Python raise


def parsed(source: str) -> tuple[str, ast.Module]:
    """A cell's source and syntax tree, in which magics, lines that are IPython's alone, became `pass`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about an escape in somebody's text
        try:
            return source, ast.parse(source)
        except SyntaxError:
            source = re.sub(r"^([ \t]*)[%!].*$", r"\1pass", source, flags=re.MULTILINE)
            return source, ast.parse(source)


def is_tagged(cell: Any, tag: str) -> bool:
    return cell.cell_type == "code" and tag in cell.metadata.get("tags", ())


def first_line(cell: Any) -> str:
    """The first line of a cell that has one, to name it by."""
    line = (cell.source.strip().splitlines() or [""])[0]
    return line if len(line) <= 100 else f"{line[:99]}…"


def written(notebook: Any) -> str:
    """The notebook as JSON, without what only a live session or papermill can use."""
    import nbformat

    for part in (notebook, *notebook.cells):
        for key in ("widgets", "papermill"):
            part.metadata.pop(key, None)
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
