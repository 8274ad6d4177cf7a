"""A table of words: aligned where it is printed, a table that fits its page where a notebook shows it."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Sheet"]


@dataclass(frozen=True, repr=False)
class Sheet:
    """Cells of text. head: the columns' names; the first column names the rows. rows: each as long as head, or of one
    cell, which is a heading for those below it."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        lines = [self.head, *self.rows]
        widths = [max(map(len, column)) for column in zip(*(line for line in lines if len(line) > 1), strict=True)]
        texts = []
        for first, *others in lines:
            cells = [first.ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(others, widths[1:], strict=False))]
            texts.append("  ".join(cells).rstrip())
        return "\n".join(texts)

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        rule = [":--", *["--:"] * (len(self.head) - 1)]
        bold = [[f"**{row[0]}**", *[""] * (len(self.head) - 1)] if len(row) == 1 else row for row in self.rows]
        text = "\n".join(f"| {' | '.join(cells)} |" for cells in (self.head, rule, *bold))
        return text.replace(" ± ", "\u00a0±\u00a0")  # a cell breaks elsewhere
