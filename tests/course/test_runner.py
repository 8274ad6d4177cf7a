"""Lessons run headless, one or all: what is left, what stays as it was, and what ends them."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import psutil  # type: ignore[import-untyped]
import pytest
from small_lessons import FINISH, files, mine, write_lesson

from invtutor.cli import main
from invtutor.course import lessons, runner
from invtutor.course.kernel import LessonError, Limits
from invtutor.course.lessons import Lesson, find
from invtutor.course.reading import VIEW
from invtutor.course.runner import refresh, run_lesson
from invtutor.course.whole import run_course
from invtutor.worlds import mnist

ANNOUNCE = mnist.announce  # which the shelf silences


def test_execute_leaves_notebook_and_result(lesson: Lesson, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = lesson.path.read_bytes()
    out = tmp_path / "out"
    result = run_lesson(lesson, {"seed": "7"}, out=out)
    assert files(out) == ["03_irmv1.ipynb", "result.json"]
    kept = json.loads((out / "result.json").read_text())
    assert kept.pop("seal") and result.record == kept
    assert result.record["parameters"] == {"seed": 7, "out_dir": str(out)}
    assert str(result).split()[-2:] == ["seed", "7"]
    assert "100 MB" in str(result)
    notebook = nbformat.read(result.notebook, as_version=4)
    nbformat.validate(notebook)
    assert notebook.cells[2].metadata.tags == ["injected-parameters"]
    assert notebook.cells[3].outputs[0].text == "seed 7 10000.0\n"
    assert set(notebook.metadata) == {"kernelspec", "language_info", "seal"}
    assert ".invtutor-" not in result.notebook.read_text()
    assert lesson.path.read_bytes() == before
    assert "03_irmv1" in capfd.readouterr().err  # the progress bar
    run_lesson(lesson, {}, out=out, quiet=True)  # again into the same folder
    assert json.loads((out / "result.json").read_text())["headline"] == "seed 0"
    assert capfd.readouterr() == ("", "")


def test_kernel_is_this_python_in_the_lessons_folder(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "jupyter" / "kernels" / "python3"
    elsewhere.mkdir(parents=True)
    spec = {"argv": ["/nowhere/python", "{connection_file}"], "display_name": "x", "language": "python"}
    (elsewhere / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")
    probe = "import sys, os, zmq\nfrom ipykernel.kernelapp import IPKernelApp\nkernel = IPKernelApp.instance()\n"
    probe += "print(sys.executable, os.getcwd(), kernel.transport, kernel.ip, kernel.connection_file, sep='|')"
    path = write_lesson(shelf, "00_x", probe, parameters="seed: int = 0", finish=False)
    result = run_lesson(find(path), {}, out=tmp_path / "out", quiet=True)
    assert result.record == {}
    said = nbformat.read(result.notebook, as_version=4).cells[2].outputs[0].text.strip().split("|")
    assert said[:3] == [sys.executable, str(shelf), "ipc"]
    sockets = Path(said[3]).parent
    assert Path(said[4]).parent == sockets
    assert not sockets.exists()


@pytest.mark.parametrize("given", [{"sed": "1"}, {"seed": "x"}, {"seed": -1}, {"out_dir": "there"}])
def test_wrong_parameters_write_nothing(lesson: Lesson, tmp_path: Path, given: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        run_lesson(lesson, given, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["timeout", "max_output", "memory"])
def test_wrong_limits(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"Parameter `{name}` should be above 0 and finite. Found {value}"):
        Limits(**{name: value})


def test_a_stand_in_is_told_of_on_the_terminal_before_anything_runs(
    lesson: Lesson, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []
    mnist._say.cache_clear()
    monkeypatch.setattr(mnist, "ensure", lambda: "all four files are missing in here")
    monkeypatch.setattr(mnist, "announce", ANNOUNCE)
    monkeypatch.setattr(runner, "run_cells", lambda *_: said.append(capsys.readouterr().out))
    for given in ({"source": "rendered"}, {}, {}):
        with pytest.raises(LessonError, match=r"left no result\.json"):
            run_lesson(lesson, given, out=tmp_path / "out")
    assert said == ["", "Digits: a rendered stand-in, not MNIST: all four files are missing in here.\n", ""]
    with pytest.raises(LessonError, match=r"^03_irmv1: MNIST cannot be had: all four files are missing in here\.$"):
        run_lesson(lesson, {"source": "mnist"}, out=tmp_path / "new")
    assert len(said) == 3 and files(tmp_path / "new") == []


def test_out_that_cannot_be_used(lesson: Lesson, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"Cannot write results into .*file"):
        run_lesson(lesson, {}, out=tmp_path / "file" / "out")
    other = tmp_path / "other"
    other.mkdir()
    for content in ('{"lesson": "00_start"}', "half of a fi"):
        (other / "result.json").write_text(content)
        with pytest.raises(ValueError, match="is not a result of lesson 03_irmv1; choose another folder"):
            run_lesson(lesson, {}, out=other)
        assert files(other) == ["result.json"]
        assert (other / "result.json").read_text() == content


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "run_cells", lambda *_: pytest.fail("it runs"))


@pytest.mark.parametrize(
    "way", ["plain", "link to the folder", "link to the notebook", "hard link", "own copy", "folder"]
)
def test_out_that_would_replace_a_notebook_is_refused(
    way: str, shelf: Path, still: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = write_lesson(tmp_path, "03_irmv1"), tmp_path / "out"
    if way == "plain":
        out = tmp_path
    elif way == "link to the folder":
        out.symlink_to(tmp_path)
    else:
        out.mkdir()
        target = out / path.name
        if way == "link to the notebook":
            target.symlink_to(path)
        elif way == "hard link":
            target.hardlink_to(path)
        elif way == "own copy":
            write_lesson(out, "03_irmv1", "my answers")
        else:
            target.mkdir()
    before = mine(tmp_path)
    assert main(["run", str(path), "--out", str(out), "-p", "seed=5"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "; choose another folder." in said
    assert mine(tmp_path) == before


def test_out_that_is_the_folder_of_the_lessons_is_refused(
    shelf: Path, still: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_lesson(shelf, "00_start")
    stranger = write_lesson(tmp_path, "mine")
    (tmp_path / "link").symlink_to(shelf)
    before = mine(tmp_path)
    for out in (shelf, tmp_path / "link", tmp_path / "shelf/../shelf"):
        for command in (["run", "00"], ["run", str(stranger)], ["course"], ["lab"]):
            assert main([*command, *(["--out"] if command != ["lab"] else []), str(out)]) == 2
            said = capsys.readouterr().err
            assert said.count("\n") == 1 and "is the folder of the lessons themselves; choose another" in said
    assert mine(tmp_path) == before


def test_files_in_out_that_are_not_ours_stay(shelf: Path, tmp_path: Path) -> None:
    """An executed notebook that a student went on with is his; so is a failed one in which he looks for the fault."""
    out = tmp_path / "out"
    path = write_lesson(tmp_path, "02_erm", "if seed == 5:\n    1 / 0")
    lesson = find(path)
    with pytest.raises(LessonError, match="ZeroDivisionError"):
        run_lesson(lesson, {"seed": 5}, out=out, quiet=True)
    failed = out / "02_erm.failed.ipynb"
    failed.write_text(failed.read_text().replace("1 / 0", "1 / 1"))
    for name in (".running-x", ".invtutor-x"):
        (out / name).mkdir()
        (out / name / "notes").write_text("mine")
    (out / "notes.ipynb").write_text("mine")
    before = mine(out)
    with pytest.raises(LessonError, match=r"ZeroDivisionError.*its notebook is not kept: .*failed.ipynb is not this"):
        run_lesson(lesson, {"seed": 5}, out=out, quiet=True)
    assert mine(out) == before
    run_lesson(lesson, {"seed": 6}, out=out, quiet=True)
    after = mine(out)
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {"02_erm.ipynb", "result.json"}
    for name in ("02_erm.ipynb", "result.json"):
        text = (out / name).read_text()
        (out / name).write_text(text.replace("seed", "sead", 1))
        changed = mine(out)
        with pytest.raises(ValueError, match="choose another folder"):
            run_lesson(lesson, {"seed": 7}, out=out, quiet=True)
        assert mine(out) == changed
        (out / name).write_text(text)
    run_lesson(lesson, {"seed": 7}, out=out, quiet=True)


def test_failing_lesson_names_the_cell_and_keeps_the_older_result(shelf: Path, tmp_path: Path) -> None:
    breaks = "# divide\nif seed == 5:\n    1 / 0"
    lesson, out = find(write_lesson(shelf, "02_erm", "print('fine')", breaks)), tmp_path / "out"
    run_lesson(lesson, {"seed": 4}, out=out, quiet=True)
    older = {name: (out / name).read_bytes() for name in files(out)}
    with pytest.raises(LessonError, match=r"^02_erm: cell \[4\] `# divide`: ZeroDivisionError: division by zero"):
        run_lesson(lesson, {"seed": 5}, out=out, quiet=True)
    assert files(out) == ["02_erm.failed.ipynb", "02_erm.ipynb", "result.json"]
    assert {name: (out / name).read_bytes() for name in older} == older
    failed = nbformat.read(out / "02_erm.failed.ipynb", as_version=4)
    assert failed.cells[4].execution_count == 4
    assert failed.cells[4].outputs[0].ename == "ZeroDivisionError"
    run_lesson(lesson, {"seed": 6}, out=out, quiet=True)
    assert files(out) == ["02_erm.ipynb", "result.json"]  # the failure is mended and gone


@pytest.mark.parametrize(
    ("cell", "cause"),
    [
        ("import ipywidgets\nwith ipywidgets.Output():\n    1 / 0", "in a widget, ZeroDivisionError: division by zero"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "the kernel died"),
        ("raise ValueError('first\\nsecond')", "ValueError: first"),
    ],
)
def test_other_failures(shelf: Path, tmp_path: Path, cell: str, cause: str) -> None:
    path = write_lesson(shelf, "02_erm", cell, parameters="seed: int = 0", finish=False)
    with pytest.raises(LessonError) as failure:
        run_lesson(find(path), {}, out=tmp_path / "out", quiet=True)
    assert str(failure.value).startswith(f"02_erm: cell [2] `{cell.splitlines()[0]}`: {cause}")
    assert "\n" not in str(failure.value)
    assert files(tmp_path / "out") == ["02_erm.failed.ipynb"]


def test_lesson_that_forgets_its_result(shelf: Path, tmp_path: Path) -> None:
    with pytest.raises(LessonError, match=r"02_erm: ran to its end but left no result\.json"):
        run_lesson(find(write_lesson(shelf, "02_erm", finish=False)), {}, out=tmp_path / "out", quiet=True)


def test_time_limit_stops_the_kernel(shelf: Path, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    cell = f"import os, pathlib, time\n_ = pathlib.Path({str(note)!r}).write_text(str(os.getpid()))\ntime.sleep(600)"
    lesson = find(write_lesson(shelf, "02_erm", cell))
    started = time.monotonic()
    with pytest.raises(LessonError, match=r"cell \[3\] `import os, pathlib, time`: stopped at the time limit of 8 s"):
        run_lesson(lesson, {}, out=tmp_path / "out", limits=Limits(timeout=8), quiet=True)
    assert time.monotonic() - started < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


def test_time_limit_before_the_kernel_is_there(lesson: Lesson, tmp_path: Path) -> None:
    before = psutil.Process().children()
    with pytest.raises(LessonError, match=r"^03_irmv1: before the first cell: stopped at the time limit of 0\.01 s"):
        run_lesson(lesson, {}, out=tmp_path / "out", limits=Limits(timeout=0.01), quiet=True)
    assert psutil.Process().children() == before


def test_interrupt_leaves_nothing_behind(shelf: Path, tmp_path: Path) -> None:
    note, out = tmp_path / "note", tmp_path / "out"
    cell = f"""\
import os, pathlib, time
from ipykernel.kernelapp import IPKernelApp
_ = pathlib.Path({str(note) + ".part"!r}).write_text(f"{{os.getpid()}}|{{IPKernelApp.instance().ip}}")
os.replace({str(note) + ".part"!r}, {str(note)!r})
time.sleep(600)"""
    path = write_lesson(shelf, "02_erm", cell)
    call = "import sys; from invtutor.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", call, "run", str(path), "--out", str(out), "--quiet"]
    root = str(Path(lessons.__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while not note.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, said) == (130, "invtutor: error: stopped\n")
    pid, ip = note.read_text().split("|")
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)
    assert not Path(ip).parent.exists()
    assert files(out) == []


def test_two_at_once(lesson: Lesson, tmp_path: Path) -> None:
    def one(seed: int) -> str:
        return str(run_lesson(lesson, {"seed": seed}, out=tmp_path / str(seed), quiet=True).record["headline"])

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(one, range(1, 5))) == [f"seed {seed}" for seed in range(1, 5)]


# ------------------------------------------------------------------------------------------------- course, refresh


def test_course_goes_on_after_a_failure(shelf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_lesson(shelf, "00_start")
    write_lesson(shelf, "01_fails", "raise SystemError('broken')", parameters="steps: int = 3", finish=False)
    vrex = FINISH.replace("LESSON", "'02_vrex'").replace('{"ERM": {"p=0.9": 0.17}}', "TABLE")
    vrex = vrex.replace("TABLE", '{"ERM": {"p=0.9": 0.2}, "V-REx": {"p=0.1": "70.0 ± 1.0", "p=0.9": 0.69}}')
    write_lesson(shelf, "02_vrex", vrex, finish=False)
    with pytest.raises(LessonError, match="1 of 3 lessons failed: 01_fails"):
        run_course(tmp_path / "out", {"seed": "3"}, quiet=True)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("00_start") and said[0].endswith("100 MB  seed 3")
    assert said[1].startswith("01_fails           FAILED  01_fails: cell [2] `raise SystemError('broken')`: System")
    assert said[2].startswith("02_vrex")
    table = ["accuracy, %  p=0.9       p=0.1", "ERM           20.0           –", "V-REx         69.0  70.0 ± 1.0"]
    assert said[3:] == ["", *table]


@pytest.mark.parametrize("last", [True, False])
def test_course_looks_at_every_folder_before_anything_runs(
    last: bool, shelf: Path, still: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("00_start", "01_more", "02_erm"):
        write_lesson(shelf, name)
    out = tmp_path / "out"
    (out / "02_erm").mkdir(parents=True)
    (out / "02_erm" / ("result.json" if last else "02_erm.ipynb")).write_text('{"lesson": "02_erm"}')
    before = mine(tmp_path)
    assert main(["course", "--out", str(out)]) == 2
    assert "02_erm" in capsys.readouterr().err
    assert mine(tmp_path) == before and files(out) == ["02_erm", f"02_erm/{os.listdir(out / '02_erm')[0]}"]


def test_course_refuses_before_anything_runs(shelf: Path, tmp_path: Path) -> None:
    write_lesson(shelf, "00_start")
    write_lesson(shelf, "01_more", parameters="seed: int = 0\nthreshold: float = 0.5")
    for given, message in [
        ({"trheshold": "1"}, "The course has no parameter `trheshold`; did you mean `threshold`?"),
        ({"threshold": "2"}, "Parameter `threshold` should be a finite number in"),
        ({"out_dir": "x"}, "Parameter `out_dir` should be left out"),
    ]:
        with pytest.raises(ValueError, match=message.replace("?", r"\?")):
            run_course(tmp_path / "out", given)
    assert not (tmp_path / "out").exists()


def test_refresh_stores_outputs_and_nothing_else(shelf: Path) -> None:
    cells = [
        "import sys, ipywidgets\nprint(profile, source, out_dir == '')\nprint('bar', file=sys.stderr)",
        "display(ipywidgets.IntSlider())\ndisplay('a picture')\n"
        f"display({{{VIEW!r}: {{'model_id': ''}}, 'image/png': '', 'text/plain': 'of a panel'}}, raw=True)",
    ]
    path = write_lesson(shelf, "03_irmv1", *cells, finish=False)
    before = nbformat.read(path, as_version=4)
    refresh(find("03"), quiet=True)
    after = nbformat.read(path, as_version=4)
    assert after.metadata == before.metadata
    for old, new in zip(before.cells, after.cells, strict=True):
        assert (old.source, old.id, old.metadata) == (new.source, new.id, new.metadata)
    code = [cell for cell in after.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [1, 2, 3]
    assert [(o.name, o.text) for o in code[1].outputs] == [("stdout", "quick mnist True\n")]
    assert [dict(o.data) for o in code[2].outputs] == [
        {"text/plain": "'a picture'"},
        {"image/png": "", "text/plain": "of a panel"},
    ]
    assert files(shelf) == ["03_irmv1.ipynb"]


@pytest.mark.parametrize("cell", ["1 / 0", "import sys; print(sys.prefix + '/lib')"])
def test_refresh_refuses_failures_and_this_machines_folders(shelf: Path, cell: str) -> None:
    path = write_lesson(shelf, "03_irmv1", cell, finish=False)
    before = path.read_bytes()
    with pytest.raises(LessonError, match=r"03_irmv1: cell \[2\]"):
        refresh(find(path), quiet=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("who", ["an editor", "its owner"])
def test_refresh_replaces_nothing_that_somebody_else_wrote_or_protects(
    who: str, shelf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_lesson(shelf, "03_irmv1")
    monkeypatch.setattr(runner, "run_cells", lambda *_: path.write_text("mine"))
    if who == "its owner":
        path.chmod(0o444)
    before = path.read_bytes() if who == "its owner" else b"mine"
    assert main(["refresh", "03"]) == (2 if who == "its owner" else 1)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "stays as it is" in said and path.read_bytes() == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names")
def test_a_pipe_in_a_results_place_is_not_waited_for(shelf: Path, still: None, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "result.json")
    with pytest.raises(ValueError, match="is not a result of lesson 03_irmv1; choose another folder"):
        run_lesson(find(write_lesson(shelf, "03_irmv1")), {}, out=tmp_path)


ODD = [
    {"peak_memory_mb": "much", "headline": "\x1b[2Ja\nb"},
    {"peak_memory_mb": 10**400, "headline": 5, "parameters": ["out_dir"]},
    {"parameters": None, "metrics": [], "nbformat": 4},
    {"nbformat": 4, "metadata": 5, "more": "\ud800"},
]


@pytest.mark.parametrize("odd", [*ODD, "a pipe", "deep"])
def test_a_lessons_own_result_may_say_anything(
    odd: Any, shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_lesson(shelf, "x" * 249)

    def leave(notebook: Any, *_: object) -> None:
        place = Path(lessons.ast.literal_eval(notebook.cells[2].source.split(" = ")[1]), "result.json")
        if odd == "a pipe":
            os.mkfifo(place)
        else:
            place.write_text("[" * 5000 if odd == "deep" else json.dumps({"lesson": path.stem, **odd}))

    monkeypatch.setattr(runner, "run_cells", leave)
    status = main(["run", str(path), "--out", str(tmp_path / "out")])
    said = capsys.readouterr()
    assert status == isinstance(odd, str) and said.err.count("\n") == status, said
    assert all(line.isprintable() for line in said.out.splitlines())
    assert status or files(tmp_path / "out") == ["result.json", path.name]
