"""A lesson as slides for a wall: its sections in pieces that are read from afar, without hints and solutions."""

import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from invtutor.course.book.live import called
from invtutor.course.reading import is_tagged
from invtutor.widgets.panel import MIME

__all__ = ["in_slides"]

FULL = 150  # words on a slide, about; whatever else stands there counts as so many words
PICTURE, ROW, LINE = 100, 12, 5  # a picture; a row of a table; a line of code, or of what was printed
PICTURES = {MIME, "image/svg+xml", "image/png", "image/jpeg"}
FOLDED = re.compile(r"<details>.*?</details>", re.DOTALL)
HEADING = re.compile(r"#{1,3} +(.+)")
APART = re.compile(r"#{1,3} |\*\*(Step|Exercise)\b")  # is never in the middle of a slide


def in_slides(notebook: Any) -> Any:
    """A copy of a lesson in smaller cells. The first of each slide has in its metadata, as `slide`, the number and the
    heading that is continued, if there is one; each cell of code, as `code`, whether that is open, folded or left out.
    """
    told, pieces = deepcopy(notebook), list(_pieces(notebook))
    heading, number, filled, announced = "", 0, 0, False
    for place, cell in enumerate(pieces):
        source = cell.source if cell.cell_type == "markdown" else ""
        needed = size = _size(cell)
        if source.endswith(":") and place + 1 < len(pieces):  # it stays with what it announces
            needed += _size(pieces[place + 1])
        if not number or APART.match(source) or (filled + needed > FULL and not announced):
            begun = HEADING.match(source)
            number, filled = number + 1, 0
            cell.metadata["slide"] = {"number": number, "continued": "" if begun else heading}
            heading = begun[1] if begun else heading
        guess = cell.cell_type == "code" and called(cell.source, "guess") is not None  # the answer is on the next one
        filled, announced = FULL if guess else filled + size, source.endswith(":")
    told.cells = pieces
    return told


def _pieces(notebook: Any) -> Iterator[Any]:
    """What is shown of a lesson's cells, prose by its paragraphs. Of the setup, before the first section, only pictures
    are; an exercise and a guess are shown as they are asked, without what an untouched one prints; no claims are."""
    begun = False
    for place, cell in enumerate(deepcopy(notebook.cells)):
        begun |= cell.cell_type == "markdown" and cell.source.startswith("## ")
        if cell.cell_type == "markdown" and (begun or not place):
            for text in _paragraphs(FOLDED.sub("", cell.source)):
                piece = deepcopy(cell)
                piece.source = text
                yield piece
        elif cell.cell_type == "code":
            asked = is_tagged(cell, "exercise") or called(cell.source, "guess") is not None
            left_out = is_tagged(cell, "hide-input") or called(cell.source, "show") is not None
            cell.metadata["code"] = "open" if asked else "" if left_out else "folded"
            cell.outputs = [] if asked else [*_without_claims(cell)]
            drawn = {"live", "exact"} & cell.metadata.keys() or any(PICTURES & _kinds(each) for each in cell.outputs)
            if drawn or (begun and (asked or cell.outputs)):
                yield cell


def _without_claims(cell: Any) -> Iterator[Any]:
    """A cell's outputs, of those of `lesson.claim` only what else was printed."""
    claims = called(cell.source, "claim") is not None
    for output in cell.outputs:
        if claims and output.output_type == "stream":
            lines = str(output.text).splitlines(keepends=True)
            output.text = "".join(line for line in lines if not line.startswith(("✓ ", "✗ ")))
        if output.get("text") != "":
            yield output


def _paragraphs(text: str) -> Iterator[str]:
    """Those of Markdown; code, a formula and an indented part are in one piece with what is before them."""
    block = ""
    for part in re.split(r"\n\s*\n", text.strip()):
        inside = block.count("```") % 2 or block.count("$$") % 2
        if block and not inside and not part.startswith((" ", "$$")):
            yield block
            block = part
        else:
            block = f"{block}\n\n{part}".lstrip()
    if block:
        yield block


def _size(cell: Any) -> int:
    """About how much of a slide a cell takes, in words."""
    if cell.cell_type != "code":
        return _words(cell.source)
    lines = {"open": len(cell.source.splitlines()), "folded": 1, "": 0}[cell.metadata["code"]]
    panels = FULL * len({"live", "exact"} & cell.metadata.keys())
    return panels + LINE * lines + sum(map(_output, cell.outputs))


def _output(output: Any) -> int:
    kinds, data = _kinds(output), output.get("data", {})
    if PICTURES & kinds:
        return PICTURE
    if rich := kinds & {"text/html", "text/markdown"}:
        return _words(str(data[rich.pop()]))
    return LINE * len(str(output.get("text", data.get("text/plain", ""))).splitlines())


def _kinds(output: Any) -> set[str]:
    return {*output.get("data", {})}


def _words(text: str) -> int:
    shown, rows = FOLDED.sub("", text), text.count("\n|") + text.count("<tr")
    return max(len(shown.split()), ROW * rows) + LINE * text.count("<details>")
