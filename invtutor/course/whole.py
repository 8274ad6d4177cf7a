"""The whole course headless: a line for every lesson, and a table of methods × accuracy at the end."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from invtutor.course import lessons
from invtutor.course.kernel import USUAL, LessonError, Limits, several
from invtutor.course.lessons import Lesson
from invtutor.course.runner import Report, refuse, run_lesson
from invtutor.fields import require
from invtutor.tables.sheet import Sheet
from invtutor.words import unknown

__all__ = ["run_course"]


def run_course(
    out: str | Path, given: Mapping[str, object], *, limits: Limits = USUAL, quiet: bool = False, workers: int = 1
) -> list[Report]:
    """Execute every lesson, each into its folder of `out`; print a line per lesson and a table of methods × accuracy.

    workers: lessons at a time, which share the cores; with several there are no progress bars.

    given: each parameter goes to the lessons that have it. A lesson that fails is told of and the rest goes on; at the
    end LessonError names those that failed. Raises ValueError before anything runs when no lesson has a parameter, or
    a lesson refuses its value. Returns the reports; the table is made of their ``metrics["table"]``,
    method -> column -> accuracy as a share, where later lessons win.
    """
    require("workers", type(workers) is int and 1 <= workers <= 100, "a whole number in [1, 100]", workers)
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
    shared = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // workers))}
    variables = {} if workers == 1 or shared.keys() & os.environ.keys() else shared

    def execute(lesson: Lesson) -> Report | LessonError:
        options: dict[str, Any] = {"limits": limits, "quiet": quiet or workers > 1, "variables": variables}
        try:
            return run_lesson(lesson, lesson.own(given), out=Path(out) / lesson.name, **options)
        except LessonError as error:
            return error

    with several(workers) as apply:
        for lesson, report in zip(every, apply(execute, every), strict=True):
            if isinstance(report, LessonError):
                failed.append(lesson.name)
                print(f"{lesson.name:<18} FAILED  {report}", flush=True)
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
