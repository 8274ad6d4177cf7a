"""`invtutor grade` on the command line."""

import argparse
import sys
from collections import Counter

from invtutor.course import lessons
from invtutor.course.kernel import Limits
from invtutor.course.wall import missing

__all__ = ["options", "run"]


def options(grade: argparse.ArgumentParser) -> None:
    """Give the parser of the command what is its own; that of all who execute notebooks is there."""
    grade.add_argument("folder", metavar="FOLDER", help="what the students handed in, with all folders below it")
    text = "the table; executed copies go into the folder beside it that has its name (default: %(default)s)"
    grade.add_argument("--out", metavar="CSV", default="marks.csv", help=text)
    text = "only notebooks of this lesson, any number of times (default: all)"
    grade.add_argument("--lesson", action="append", default=[], metavar="NAME", help=text)
    text = "execute them in it: smoke, which judges no claims, quick or paper (default: %(default)s)"
    grade.add_argument("--profile", default="quick", metavar="NAME", help=text)
    grade.add_argument("--network", action="store_true", help="let the notebooks use the network")
    text = "so many at once, where they are walled off (default: %(default)s)"
    grade.add_argument("--workers", type=int, default=1, metavar="N", help=text)
    grade.set_defaults(memory=4000.0)
    grade.epilog = (
        f"{grade.epilog}. Each notebook runs in a private copy, behind bubblewrap (bwrap) where it is installed, with "
        "4000 MB of memory unless you say otherwise. Grade as an ordinary user: for root, Linux counts no processes."
    )


def run(arguments: argparse.Namespace, limits: Limits) -> int:
    from invtutor.course.grading.marks import grade  # with torch, which takes seconds to load

    wanted = [lessons.find(name) for name in arguments.lesson]
    if why := missing():
        note = "one notebook at a time, and the first that changes anything outside its folder ends the grading"
        print(f"Not walled off: {why}. So {note}.", file=sys.stderr)
    names = ("profile", "network", "workers", "quiet")
    given = {name: getattr(arguments, name) for name in names}
    rows = grade(arguments.folder, arguments.out, wanted=wanted, limits=limits, **given)
    students, notebooks = {row.student for row in rows}, {row.notebook for row in rows}
    marks = Counter(row.mark for row in rows if row.mark)
    faults = len({row.notebook for row in rows if row.fault})
    print(f"{len(notebooks)} notebooks of {len(students)} students, {faults} with a fault")
    print(f"{', '.join(f'{count} {mark}' for mark, count in marks.items()) or 'no exercise'}; see {arguments.out}")
    return 0
