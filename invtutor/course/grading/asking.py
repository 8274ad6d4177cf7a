"""The exercises of a lesson, what a student's functions give for them, and the marks.

The functions answer in the notebook's own process, the verdict falls in ours: what a notebook may have made of the
checks, of its outputs or of its result sways nothing.
"""

import ast
import threading
from collections.abc import Mapping
from typing import Any

from invtutor.course import checks
from invtutor.course.lessons import Lesson
from invtutor.course.reading import parsed, read

__all__ = ["MIME", "asking", "exercises", "tell", "verdicts"]

MIME = "application/vnd.invtutor.answers+json"
_JUDGING = threading.Lock()  # checks seed torch's one generator


def exercises(lesson: Lesson) -> dict[str, str]:
    """Function → its check, by their names, as in the course's own copy of a lesson: ``lesson.build(slope,
    checks.check_slope, …)``, or ``lesson.check``."""
    found = {}
    for cell in read(lesson.path).cells:
        if cell.cell_type == "code" and "check_" in cell.source:
            for node in ast.walk(parsed(cell.source)[1]):
                if isinstance(node, ast.Call) and len(node.args) > 1 and isinstance(own := node.args[0], ast.Name):
                    check = ast.unparse(node.args[1]).rpartition(".")[2]
                    if check.startswith("check_") and check in checks.__all__:
                        found[own.id] = check
    return found


def asking(asked: Mapping[str, str]) -> str:
    """The source of a cell that makes the functions answer."""
    return f"from {__name__} import tell\n\ntell({dict(asked)!r})"


def tell(asked: Mapping[str, str]) -> None:
    """Display what the functions of this notebook, by the names in `asked`, give for their checks."""
    from IPython import get_ipython
    from IPython.display import display

    names = get_ipython().user_ns
    told = {name: getattr(checks, check).tell(names[name]) for name, check in asked.items() if name in names}
    display({MIME: told, "text/plain": ""}, raw=True)


def verdicts(asked: Mapping[str, str], cell: Any) -> list[checks.Verdict]:
    """The verdict on each exercise by what a cell of `asking` displayed, if anything."""
    shown = [output["data"][MIME] for output in cell.get("outputs", ()) if MIME in output.get("data", {})]
    told = shown[-1] if shown and isinstance(shown[-1], dict) else {}
    answers = [found if isinstance(found := told.get(name), dict) else {} for name in asked]
    with _JUDGING:
        return [getattr(checks, check).verdict(found) for check, found in zip(asked.values(), answers, strict=True)]
