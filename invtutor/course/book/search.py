"""What the first page's search looks through: the sections of all lessons with their words, in a classic script."""

import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

__all__ = ["SCRIPT", "Section", "script", "sections"]

SCRIPT = "search.js"
FOLDED = re.compile(r"<details>.*?</details>|```.*?```", re.DOTALL)  # hints and solutions are not to be found
MARKS = {
    r"!\[[^\]]*\]\([^)]*\)": "",
    r"\[([^\]]*)\]\([^)]*\)": r"\1",
    r"\$+([^$]+)\$+": r"\1",
    r"<[a-z/][^>]*>": "",
    r"\*\*|\*(?=\S)|(?<=\S)\*|`|^[#>|-]+ ?|\|": "",
    r"\s+": " ",
}


class Section(NamedTuple):
    """A heading in Markdown, and the words below it."""

    heading: str
    words: str


def sections(notebook: Any) -> Iterator[Section]:
    """The parts of a lesson's prose, at its headings of the first two levels; what is folded is left out."""
    prose = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    parts = re.split(r"^##? +(.+)$", FOLDED.sub("", prose), flags=re.MULTILINE)
    for heading, text in zip(parts[1::2], parts[2::2], strict=True):
        for mark, plain in MARKS.items():
            text = re.sub(mark, plain, text, flags=re.MULTILINE)
        yield Section(heading, text.strip())


def script(
    found: Iterable[tuple[str, str, Section]], inline: Callable[[str], str], anchor: Callable[[str], str]
) -> str:
    """The script of sections, each with its page's address and title.

    inline: Markdown to HTML; anchor: that to the name in addresses.
    """
    entries = []
    for address, title, section in found:
        heading = inline(section.heading)
        plain = [html.unescape(re.sub("<[^>]+>", "", text)) for text in (inline(title), heading)]
        entries.append([f"{address}#{anchor(heading)}", *plain, section.words])
    return f"const SECTIONS = {json.dumps(entries, ensure_ascii=False)};\n".replace("</", "<\\/")
