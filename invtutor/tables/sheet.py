"""A table of words: aligned where it is printed, a table that fits its page where a notebook shows it."""

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["FORMATS", "Sheet"]

FORMATS = ("text", "csv", "latex", "markdown")
_LATEX = {"\\": r"\textbackslash{}", "±": r"$\pm$", "–": "--", "λ": r"$\lambda$", "σ": r"$\sigma$", "α": r"$\alpha$"}
_LATEX |= (
    {"τ": r"$\tau$"}
    | {sign: f"\\{sign}" for sign in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
)


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

    def written(self, form: str) -> str:
        """The table in one of `FORMATS`; LaTeX's is a tabular, with the rules of booktabs."""
        forms: list[Callable[[Sheet], str]] = [Sheet.__str__, Sheet._csv, Sheet._latex, Sheet._repr_markdown_]
        return dict(zip(FORMATS, forms, strict=True))[form](self)

    def _repr_markdown_(self) -> str:
        rule = [":--", *["--:"] * (len(self.head) - 1)]
        lines = (self.head, rule, *self._filled("**{}**"))
        text = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        return text.replace(" ± ", "\u00a0±\u00a0")  # a cell breaks elsewhere

    def _csv(self) -> str:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.head, *self._filled("{}")])
        return text.getvalue().rstrip("\n")

    def _latex(self) -> str:
        def line(cells: Sequence[str]) -> str:
            return (
                " & ".join(re.sub(".", lambda found: _LATEX.get(found[0], found[0]), cell) for cell in cells) + r" \\"
            )

        rows = [line(cells).replace(" $\\pm$ ", "~$\\pm$~") for cells in self._filled("{}")]
        columns = f"l{'r' * (len(self.head) - 1)}"
        lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", line(self.head), r"\midrule", *rows]
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])

    def _filled(self, heading: str) -> list[Sequence[str]]:
        """The rows, each as long as head."""
        empty = [""] * (len(self.head) - 1)
        return [[heading.format(row[0]), *empty] if len(row) == 1 else row for row in self.rows]
