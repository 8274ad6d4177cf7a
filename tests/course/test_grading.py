"""A class's notebooks graded: rows, marks that nothing in a notebook sways, and what a notebook cannot reach."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil  # type: ignore[import-untyped]
import pytest
from small_lessons import mine, write_lesson

import invtutor
from invtutor.cli import main
from invtutor.course import wall
from invtutor.course.grading import command, marks
from invtutor.course.grading.marks import grade
from invtutor.course.grading.submissions import collect
from invtutor.course.kernel import Limits
from invtutor.files import is_sealed

PARAMETERS = 'profile: str = "auto"\nout_dir: str = ""'
BUILD = """\
def my_worst(agreeing, flipped, low, high):
    raise NotImplementedError


lesson.check(my_worst, checks.check_worst_rate)"""
SHARE = "def my_best_clue(label_noise, flip_rate):\n    raise NotImplementedError\n\n\n"
SHARE += "clue = lesson.build(my_best_clue, checks.check_best_clue, None)"
START = """\
from invtutor.course import checks
class lesson:
    check = staticmethod(lambda own, check: check(own))
    build = staticmethod(lambda own, check, library: own)"""
RIGHT = "return min(agreeing + (flipped - agreeing) * p for p in (low, high))"
CLAIMS = [{"verdict": "holds", "statement": "a"}, {"verdict": "FAILS", "statement": "mine is good"}]
RESULT = f"display({{'application/vnd.invtutor.result+json': {{'claims': {CLAIMS!r}}}, 'text/plain': ''}}, raw=True)"
FORGED = """\
import json, pathlib
for name in ("result.json", "marks.csv", "../marks.csv"):
    pathlib.Path(name).write_text(json.dumps({"exercises": {"worst rate": "done"}}))
checks.check_worst_rate = lambda own: "solved"
from invtutor.course.checks.verdict import Check
Check.tell = lambda check, own: {"answers": [[None, None]]}
display({"application/vnd.invtutor.answers+json": {"my_worst": {"answers": []}}, "text/plain": ""}, raw=True)"""


@pytest.fixture
def walled() -> None:
    if why := wall.missing():
        assert os.environ.get("INVTUTOR_BROWSER") != "required", why
        pytest.skip(f"no wall was tried: {why}")


@pytest.fixture
def open_field(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (command, marks):
        monkeypatch.setattr(module, "missing", lambda: "there is none in this test")


@pytest.fixture
def folder(shelf: Path, tmp_path: Path) -> Path:
    """An empty folder for what students hand in of two short lessons, one without exercises."""
    write_lesson(shelf, "00_plain", "1", parameters=PARAMETERS, finish=False)
    begin = "def begin(name): pass\nbegin('08_short')"
    write_lesson(shelf, "08_short", begin, START, BUILD, SHARE, RESULT, parameters=PARAMETERS, finish=False)
    (tmp_path / "all").mkdir()
    return tmp_path / "all"


def hand_in(folder: Path, name: str, *more: str, worst: str = "", lesson: str = "begin('08_short')") -> Path:
    """A student's copy with a body for its first exercise, and further cells."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    exercises = [BUILD.replace("raise NotImplementedError", worst), SHARE] if worst else []
    written = write_lesson(
        path.parent, path.stem, f"def begin(name): pass\n{lesson}", *([START] if worst else []), *exercises, *more,
        parameters=PARAMETERS, finish=False,
    )  # fmt: skip
    assert written == path
    return path


def test_a_row_for_every_student_and_exercise(
    walled: None, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alice = "Alice Long_12345_assignsubmission_file_/my copy (1).ipynb"
    hand_in(folder, alice, "import helper\nprint(helper.x, profile)", RESULT, worst=RIGHT)
    (folder / alice).with_name("helper.py").write_text("x = 'found'")
    hand_in(folder, "bob/invtutor/notebooks/08_short.ipynb", "1 / 0", "print('goes on')", worst="return agreeing")
    hand_in(folder, "bob/invtutor/notebooks/.ipynb_checkpoints/08_short.ipynb")
    hand_in(folder, "08_short_=dave (2).ipynb", FORGED, worst="return 0")
    (folder / "eve.ipynb").write_text("{")
    (folder / "jos\udce9\x1b[2J.ipynb").write_text("{")  # no UTF-8, and what a terminal would obey
    (folder / "frank.ipynb").symlink_to(folder / alice)
    (folder / "gina").mkdir()
    (folder / "gina" / "x.ipynb").write_bytes((tmp_path / "shelf" / "08_short.ipynb").read_bytes())
    hand_in(folder, "other.ipynb", lesson="begin('99_none')")
    before, out = mine(folder), tmp_path / "out" / "marks.csv"
    call = ["grade", str(folder), "--out", str(out), "--profile", "smoke", "--workers", "2", "--quiet"]
    assert main(call) == 0
    said = capsys.readouterr()
    assert said.err == "" and "8 notebooks of 8 students, 6 with a fault" in said.out
    assert mine(folder) == before
    rows = {(row["student"], row["exercise"]): row for row in csv.DictReader(out.open(encoding="utf-8-sig"))}
    assert rows["Alice Long", "worst rate"] == {
        "student": "Alice Long", "notebook": alice, "lesson": "08_short", "exercise": "worst rate", "mark": "done",
        "points": "1", "hint": "", "claims": "1 holds, 1 FAILS: mine is good", "fault": "",
    }  # fmt: skip
    assert rows["Alice Long", "best clue"]["mark"] == "untouched"
    assert rows["bob", "worst rate"]["mark"] == "hint" and "not yet. " in rows["bob", "worst rate"]["hint"]
    assert rows["bob", "worst rate"]["fault"] == "cell [7] `1 / 0`: ZeroDivisionError: division by zero"
    forger = rows["'=dave (2)", "worst rate"]
    assert forger["points"] == "0" and forger["fault"].startswith("cell [7]") and "Read-only" in forger["fault"]
    assert "no JSON" in rows["eve", ""]["fault"] and "is a link" in rows["frank", ""]["fault"]
    assert rows["gina", "worst rate"]["mark"] == rows["gina", "best clue"]["mark"] == "untouched"
    assert "no lesson of this course, but 99_none" in rows["other", ""]["fault"] and len(rows) == 12
    assert rows["jos??[2J", ""]["notebook"] == "jos??[2J.ipynb"
    kept = out.with_suffix("") / alice
    texts = [o.text for c in nbformat.read(kept, 4).cells for o in c.get("outputs", []) if o.output_type == "stream"]
    assert is_sealed(kept) and texts == ["found smoke\n"]
    table = out.read_bytes()
    hand_in(folder, "new.ipynb", "import time\ntime.sleep(99)")  # in it alone the next call finds work
    ran: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(marks, "run_cells", lambda notebook, path, *_, **__: ran.append(path.name))
        assert main(call) == 0
    assert ran == ["new.ipynb"] and len(out.read_bytes().splitlines()) == len(table.splitlines()) + 2
    out.write_bytes(table)  # as somebody who knows better left it
    assert main(call) == 2
    assert "marks.csv is not this program's, or was changed since" in capsys.readouterr().err
    assert out.read_bytes() == table


ATTACKS = {
    "elsewhere": ("open(TARGET, 'w').write('mine')", "FileNotFoundError"),
    "the library": ("import invtutor\nopen(invtutor.__file__, 'a').write('#')", "OSError: [Errno 30] Read-only"),
    "a neighbor": ("import pathlib\nprint(next(pathlib.Path(TARGET).parent.iterdir()))", "FileNotFoundError"),
    "a file without end": ("while True: open('x', 'ab').write(b'x' * 10**6)", "stopped at more than 3 MB of files"),
    "output without end": ("while True: print('x' * 10**5)", "stopped at more than 3 MB of output"),
    "many processes": (
        "import os, time\nfor _ in range(260):\n    if not os.fork(): time.sleep(60)\ntime.sleep(60)",
        "stopped at more than 200 processes",
    ),
    "sleep": ("import time\ntime.sleep(600)", "stopped at the time limit of 8 s"),
    "exit": ("import os\nos._exit(0)", "the kernel died"),
    "network": ("import socket\nsocket.create_connection(('127.0.0.1', PORT), 1)", "ConnectionRefusedError"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_behind_the_wall_a_fault_is_a_row_and_nothing_is_reached(
    attack: str, walled: None, folder: Path, tmp_path: Path
) -> None:
    cell, fault = ATTACKS[attack]
    with socket.create_server(("127.0.0.1", 0)) as server:
        cell = cell.replace("PORT", str(server.getsockname()[1]))
        hand_in(folder, "mallory.ipynb", cell.replace("TARGET", repr(str(folder / "x"))), lesson="begin('00_plain')")
        limits = Limits(timeout=8 if attack == "sleep" else 60, max_output=3)
        before, package = mine(folder), Path(invtutor.__file__).read_bytes()
        (row,) = grade(folder, tmp_path / "marks.csv", profile="smoke", limits=limits, quiet=True)
    assert fault in row.fault, row
    assert (mine(folder), Path(invtutor.__file__).read_bytes()) == (before, package)
    words = [" ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])]
    assert not [line for line in words if str(tmp_path) in line]


@pytest.mark.parametrize("attack", ["elsewhere", "a file without end", "sleep", "the marks"])
def test_without_a_wall_a_change_elsewhere_ends_the_grading(
    attack: str, open_field: None, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cell, fault = ATTACKS.get(attack, ("open(TARGET, 'w').write('mine')", ""))
    target = tmp_path / "marks.csv" if attack == "the marks" else folder / "neighbor" / "x.txt"
    (folder / "neighbor").mkdir()
    hand_in(folder, "mallory.ipynb", cell.replace("TARGET", repr(str(target))), lesson="begin('00_plain')")
    hand_in(folder, "neighbor/00_plain.ipynb", "2", lesson="begin('00_plain')")
    call = ["grade", str(folder), "--out", str(tmp_path / "marks.csv"), "--quiet", "--max-output", "3"]
    status = main([*call, "--timeout", "8" if attack == "sleep" else "60"])
    said = capsys.readouterr().err
    assert said.startswith("Not walled off: there is none in this test. So one notebook at a time, and ")
    if attack in ("elsewhere", "the marks"):
        assert status == 1 and f"mallory.ipynb changed {target}: no mark after it can be trusted" in said
        assert not (tmp_path / "marks" / "neighbor").exists()
    else:
        assert status == 0 and fault in (tmp_path / "marks.csv").read_text(encoding="utf-8-sig")


def test_a_stopped_grading_goes_on_where_it_was(walled: None, folder: Path, tmp_path: Path) -> None:
    hand_in(folder, "a.ipynb", lesson="begin('00_plain')")
    hand_in(folder, "b.ipynb", "import time\ntime.sleep(600)", lesson="begin('00_plain')")
    call = f"""
import sys
from pathlib import Path
from invtutor.cli import main
from invtutor.course import lessons
lessons.folder = lambda: Path({str(tmp_path / "shelf")!r})
sys.exit(main())"""
    command = [sys.executable, "-c", call, "grade", str(folder), "--out", str(tmp_path / "marks.csv"), "--quiet"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        kept, deadline = tmp_path / "marks" / "a.ipynb", time.monotonic() + 120
        while not (tmp_path / "marks.csv").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, said) == (130, "invtutor: error: stopped\n")
    assert sorted(path.name for path in (tmp_path / "marks").iterdir()) == [".marks.json", "a.ipynb"]
    before = kept.read_bytes()
    hand_in(folder, "b.ipynb", lesson="begin('00_plain')")
    assert [row.notebook for row in grade(folder, tmp_path / "marks.csv", quiet=True)] == ["a.ipynb", "b.ipynb"]
    assert kept.read_bytes() == before


def test_what_is_wrong_is_said_before_anything_runs(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(marks, "run_cells", lambda *_, **__: pytest.fail("it runs"))
    hand_in(folder, "sub/a.ipynb", lesson="begin('00_plain')")
    (tmp_path / "marks" / "sub").mkdir(parents=True)
    (tmp_path / "marks" / "sub" / "a.ipynb").write_text("mine")
    (tmp_path / "empty").mkdir()
    for call, wish in {
        (str(folder),): "a.ipynb is not this program's",
        (str(folder), "--out", "x.txt"): "Parameter `out` should be the name of a table, ending in .csv",
        (str(folder), "--out", f"{tmp_path / 'all'}.csv"): "is where the executed copies go",
        (str(folder), "--out", str(tmp_path / "shelf" / "a.csv")): "is the folder of the lessons themselves",
        (str(tmp_path / "empty"), "--out", "a.csv"): "There is no notebook in",
        (str(tmp_path / "none"),): "There is no folder",
        (str(folder), "--workers", "0"): "Parameter `workers` should be 1 or more. Found 0.",
        (str(folder), "--profile", "slow"): "Parameter `profile` should be one of",
        (str(folder), "--lesson", "42"): "There is no lesson '42'",
    }.items():
        monkeypatch.chdir(tmp_path)
        before = mine(tmp_path)
        assert main(["grade", *call]) == 2
        assert wish in capsys.readouterr().err
        assert mine(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "student"),
    [
        ("Alice Long_12345_assignsubmission_file_/00_plain.ipynb", "Alice Long"),
        ("Zoë_9_assignsubmission_file/deep/er/x.ipynb", "Zoë"),
        ("bob/invtutor/notebooks/00_plain.ipynb", "bob"),
        ("carol_00_plain.ipynb", "carol"),
        ("00_plain-Copy1.ipynb", "00_plain-Copy1"),
        ("dave 00_plain (3).ipynb", "dave"),
        ("work.ipynb", "work"),
    ],
)
def test_who_handed_it_in(folder: Path, name: str, student: str) -> None:
    hand_in(folder, name, lesson="begin('00_plain')")
    (found,) = collect(folder, beside=folder / "marks")
    assert (found.student, found.name, found.lesson.name if found.lesson else "") == (student, name, "00_plain")


def test_one_damaged_notebook_is_a_row_and_a_table_that_somebody_edits_is_his(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "abc":
        hand_in(folder, f"{name}.ipynb", "1 + 1", lesson="begin('00_plain')")
    notebook = nbformat.read(folder / "b.ipynb", 4)
    notebook.cells[0]["attachments"] = {"x.png": {"image/png": 5}}  # which nbformat alone finds wrong
    (folder / "b.ipynb").write_text(json.dumps(notebook))
    os.mkfifo(folder / "pipe.ipynb")
    out, call = tmp_path / "marks.csv", ["grade", str(folder), "--out", str(tmp_path / "marks.csv"), "--quiet"]

    def noted(notebook: object, path: Path, *_: object, **__: object) -> None:
        if path.name == "c.ipynb":
            out.write_text("my remarks")

    monkeypatch.setattr(marks, "run_cells", noted)
    assert main(call) == 2
    assert "marks.csv is not this program's, or was changed since; move it away, or" in capsys.readouterr().err
    assert out.read_text() == "my remarks"
    out.rename(tmp_path / "mine.csv")
    assert main(call) == 0
    rows = {row["student"]: row["fault"] for row in csv.DictReader(out.open(encoding="utf-8-sig"))}
    assert rows["a"] == rows["c"] == "" and "b.ipynb cannot be read as a notebook" in rows["b"]
    assert rows["pipe"] == "It is a link, which is not followed, or no file."
