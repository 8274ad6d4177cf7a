"""What students hand in: notebooks under any name, in the folders in which Moodle, nbgitpuller or they themselves put
them."""

import os
import re
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from invtutor.course import lessons
from invtutor.course.lessons import Lesson
from invtutor.course.reading import LARGEST, read
from invtutor.files import checksum

__all__ = ["Submission", "collect", "copy_in"]

MOODLE = re.compile(r"_\d+_assignsubmission_(file|onlinetext)_?.*$")
COPY = r"( \(\d+\)|-Copy\d+)?"  # what browsers and Jupyter add


@dataclass(frozen=True)
class Submission:
    """A notebook that a student handed in.

    name: its path in the folder of all. lesson: the course's own of that name; None where it is none, or cannot be
    read, which `fault` then says. untouched: its code is the lesson's own.
    """

    student: str
    name: str
    path: Path
    checksum: str
    lesson: Lesson | None
    fault: str
    untouched: bool = False


def collect(folder: Path, wanted: Collection[str] = (), *, beside: Path) -> list[Submission]:
    """What lies in a folder and those below it: all notebooks, or those of the lessons that are wanted.

    beside: a folder of ours, left out. So are hidden ones, such as Jupyter's checkpoints. A link is not followed: it
    may lead to somebody else's work.
    """
    known = {lesson.name: lesson for lesson in lessons.lessons()}
    codes = {name: _code(lesson.path) for name, lesson in known.items()}
    found = []
    for path in _notebooks(folder, beside):
        name, content, code, lesson, fault = path.relative_to(folder), b"", list[str](), None, ""
        try:
            if not stat.S_ISREG(os.lstat(path).st_mode):
                raise ValueError("It is a link, which is not followed, or no file.")
            content = path.read_bytes() if path.stat().st_size <= LARGEST else b""
            lesson = lessons.find(path)
            if lesson.name not in known:
                raise ValueError(f"It is no lesson of this course, but {lesson.name}.")
            code = _code(path)
        except (ValueError, OSError) as error:
            lesson, fault = None, str(error)
        own = known[lesson.name] if lesson else None
        if not wanted or own is None or own.name in wanted:
            untouched = own is not None and code == codes[own.name]
            found.append(
                Submission(_student(name, own), name.as_posix(), path, checksum(content), own, fault, untouched)
            )
    return found


def _notebooks(folder: Path, beside: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(n for n in folders if not n.startswith(".") and Path(parent, n) != beside)
        yield from (Path(parent, n) for n in sorted(names) if n.endswith(".ipynb") and not n.startswith("."))


def _student(name: Path, lesson: Lesson | None) -> str:
    """Who handed it in: the outermost folder, without what Moodle adds, or the file's name without the lesson's."""
    if len(name.parts) > 1:
        return MOODLE.sub("", name.parts[0]) or name.parts[0]
    known = re.escape(lesson.name) + COPY if lesson else "$"
    return re.sub(known, "", MOODLE.sub("", name.stem), count=1).strip(" _-") or name.stem


def _code(path: Path) -> list[str]:
    return [cell.source for cell in read(path).cells if cell.cell_type == "code"]


def copy_in(submission: Submission, home: Path) -> Path:
    """Copy a notebook to `home`, and from a folder that is one student's what lies there beside it: no other notebooks,
    no links, nothing hidden, 100 MB at most."""
    home.mkdir(parents=True)
    shutil.copyfile(submission.path, copied := home / submission.path.name)
    if "/" not in submission.name:  # whose files those beside it are, nobody knows
        return copied
    left = LARGEST
    for parent, folders, names in os.walk(submission.path.parent):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (Path(parent, name) for name in sorted(names) if not name.endswith(".ipynb") and name[0] != "."):
            with suppress(OSError):
                found = os.lstat(path)
                if stat.S_ISREG(found.st_mode) and found.st_size <= left:
                    left -= found.st_size
                    target = home / path.relative_to(submission.path.parent)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, target)
    return copied
