"""The whole course headless: a line for every lesson, and a table of methods × accuracy at the end."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from invtutor.course import lessons
from invtutor.course.kernel import USUAL, LessonError, Limits
from invtutor.course.runner import Report, refuse, run_lesson
from invtutor.tables.sheet import Sheet
from invtutor.words import unknown

__all__ = ["run_course"]


def run_course(
    out: str | Path, given: Mapping[str, object], *, limits: Limits = USUAL, quiet: bool = False
) -> list[Report]:
    """Execute every lesson, each into its folder of `out`; print a line per lesson and a table of methods × accuracy.

    given: each parameter goes to the lessons that have it. A lesson that fails is told of and the rest goes on; at the
    end LessonError names those that failed. Raises ValueError before anything runs when no lesson has a parameter, or
    a lesson refuses its value. Returns the reports; the table is made of their ``metrics["table"]``,
    method -> column -> accuracy as a share, where later lessons win.
    """
    every = lessons.lessons()
    known = dict.fromkeys(name for lesson in every for name in lesson.declared)
    for name in given:
        if name not in known:
            raise ValueError(unknown(name, known, "The course"))
    lessons.refuse_own_folder(out)
    for lesson in every:
        lessons.resolve(lesson, lesson.own(given))
        refuse(lesson, Path(out) / lesson.name)
    reports, failed = [], []
    table: dict[str, dict[str, Any]] = {}
    for lesson in every:
        try:
            report = run_lesson(lesson, lesson.own(given), out=Path(out) / lesson.name, limits=limits, quiet=quiet)
        except LessonError as error:
            failed.append(lesson.name)
            print(f"{lesson.name:<18} FAILED  {error}", flush=True)
            continue
        print(report, flush=True)
        for method, row in report.record.get("metrics", {}).get("table", {}).items():
            table.setdefault(method, {}).update(row)
        reports.append(report)
    if table:
        print(f"\n{_layout(table)}")
    if failed:
        raise LessonError(f"{len(failed)} of {len(every)} lessons failed: {', '.join(failed)}")
    return reports


def _layout(table: Mapping[str, Mapping[str, Any]]) -> Sheet:
    """Methods × columns in percent; numbers are shares, texts stand as they are."""
    columns = list(dict.fromkeys(column for row in table.values() for column in row))
    rows = []
    for method, row in table.items():
        cells = ["–" if row.get(column) is None else row[column] for column in columns]
        rows.append([method, *(cell if isinstance(cell, str) else f"{100 * cell:.1f}" for cell in cells)])
    return Sheet(["accuracy, %", *columns], rows)
