import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import psutil  # type: ignore[import-untyped]
import pytest

from invtutor.cli import main
from invtutor.course import copies, lessons, runner
from invtutor.course.copies import copy_lessons
from invtutor.course.kernel import LessonError, Limits
from invtutor.course.lessons import Lesson, find, resolve
from invtutor.course.links import binder_link, nbgitpuller_link
from invtutor.course.reading import VIEW
from invtutor.course.runner import refresh, run_lesson
from invtutor.course.whole import run_course
from invtutor.worlds import mnist

PARAMETERS = """\
seed: int = 0                   # first seed
profile: str = "auto"           # smoke | quick | paper
source: str = "auto"            # digits
flip_rates: list = [0.1, 0.2]   # one per environment
penalty_weight: float = 1e4     # λ
rescale: bool = True            # divide by λ
steps: int = 0                  # 0: as the profile says
out_dir: str = ""               # where result.json goes"""

FINISH = """\
import json, pathlib
record = {"lesson": LESSON, "parameters": {"seed": seed, "out_dir": out_dir}, "headline": f"seed {seed}",
          "peak_memory_mb": 100.0, "metrics": {"table": {"ERM": {"p=0.9": 0.17}}}}
_ = pathlib.Path(out_dir, "result.json").write_text(json.dumps(record))"""


def write_lesson(folder: Path, name: str, *cells: str, parameters: str = PARAMETERS, finish: bool = True) -> Path:
    """A small lesson `name` in folder, whose last cell writes result.json unless told not to."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
    title = f"# The lesson {name}\n\n**Time:** 25 minutes"
    tagged = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    sources = [*cells, *([FINISH.replace("LESSON", repr(name))] if finish else [])]
    notebook.cells = [nbformat.v4.new_markdown_cell(title), tagged, *map(nbformat.v4.new_code_cell, sources)]
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) if folder.exists() else []


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of lessons that the library takes for its own."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    monkeypatch.setattr(lessons, "folder", lambda: folder)
    monkeypatch.setattr(runner, "announce", lambda source: None)  # that of digits has its own tests
    return folder


@pytest.fixture
def lesson(shelf: Path) -> Lesson:
    return find(write_lesson(shelf, "03_irmv1", "print('seed', seed, penalty_weight)"))


# ------------------------------------------------------------------------------------------------- finding


def test_lessons_are_read_in_order(shelf: Path, lesson: Lesson) -> None:
    write_lesson(shelf, "00_start")
    (shelf / "notes.ipynb").write_text("{}")
    assert [each.name for each in lessons.lessons()] == ["00_start", "03_irmv1"]
    assert (lesson.title, lesson.minutes) == ("The lesson 03_irmv1", 25)
    assert lesson.parameters[0] == ("seed", "int", 0, "first seed")
    assert {p.name: p.default for p in lesson.parameters}["penalty_weight"] == 10_000.0


@pytest.mark.parametrize("name", ["3", "03", "03_irmv1", "03_irmv1.ipynb"])
def test_find_by_number_or_name(lesson: Lesson, name: str) -> None:
    assert find(name) == lesson


def test_find_names_the_lessons(lesson: Lesson) -> None:
    with pytest.raises(ValueError, match=r"no lesson '7'\. The lessons are: 03_irmv1\."):
        find("7")


def test_folder_beside_and_inside_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "invtutor"
    package.mkdir()
    monkeypatch.setattr(lessons, "__file__", str(package / "course" / "lessons.py"))
    assert lessons.folder() == tmp_path / "notebooks"
    (package / "notebooks").mkdir()
    assert lessons.folder() == package / "notebooks"


# ------------------------------------------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("seed", "7", 7),
        ("seed", 7, 7),
        ("penalty_weight", "1e3", 1000.0),
        ("penalty_weight", "5", 5.0),
        ("penalty_weight", 5, 5.0),
        ("rescale", "false", False),
        ("rescale", "True", True),
        ("profile", "smoke", "smoke"),
        ("flip_rates", "0.1,0.2,1", [0.1, 0.2, 1.0]),
        ("flip_rates", "[0.1, 0.3]", [0.1, 0.3]),
        ("flip_rates", (0.1, 0.3), [0.1, 0.3]),
        ("steps", "0", 0),  # the lesson's own default, though no run could have it
    ],
)
def test_resolve_gives_the_declared_type(lesson: Lesson, name: str, given: object, value: object) -> None:
    resolved = resolve(lesson, {name: given})[name]
    assert resolved == value
    assert type(resolved) is type(value)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("sed", "1", "Lesson 03_irmv1 has no parameter `sed`; did you mean `seed`?"),
        ("nothing", "1", "no parameter `nothing`; it has: seed, profile"),
        ("seed", "1.5", "Parameter `seed` should be a whole number. Found 1.5."),
        ("seed", "1e3", "whole number"),
        ("seed", "", "whole number"),
        ("seed", True, "whole number"),
        ("seed", "__import__('os')", "whole number"),
        ("seed", -1, "Parameter `seed` should be a whole number in [0, 2,000,000,000]"),
        ("seed", 2**31, "Parameter `seed` should be a whole number in [0, 2,000,000,000]"),
        ("penalty_weight", "much", "Parameter `penalty_weight` should be a finite number. Found 'much'."),
        ("penalty_weight", "nan", "a finite number"),
        ("penalty_weight", float("inf"), "a finite number"),
        ("penalty_weight", "1e999", "a finite number"),
        ("penalty_weight", 10**400, "a finite number"),
        ("penalty_weight", "-1", "Parameter `penalty_weight` should be"),
        ("rescale", "1", "Parameter `rescale` should be True or False. Found 1."),
        ("profile", 3, "Parameter `profile` should be a text. Found 3."),
        ("profile", "fast", "Parameter `profile` should be one of auto, smoke, quick, paper. Found 'fast'."),
        ("source", "cifar", "Parameter `source` should be one of"),
        ("flip_rates", "0.1", "Parameter `flip_rates` should be a list of 1 to 100 numbers. Found 0.1."),
        ("flip_rates", ["0.1", "0.2"], "a list of 1 to 100 numbers"),
        ("flip_rates", [0.1], "a list of 2 to 100 numbers in [0, 1]"),
        (
            "flip_rates",
            "0.1,1.2",
            "Parameter `flip_rates` should be a list of 2 to 100 numbers in [0, 1]. Found",
        ),
        ("steps", "-5", "Parameter `steps` should be a whole number in [1, 1,000,000]. Found -5."),
    ],
)
def test_resolve_refuses_in_one_line(lesson: Lesson, name: str, given: object, message: str) -> None:
    with pytest.raises(ValueError) as refusal:
        resolve(lesson, {name: given})
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("line", "given"),
    [("seeds: int = 5", 101), ("threshold: float = 0.5", 1.5), ("flip_rate: float = 0.1", -0.1)]
    + [("inner_rate: float = 0.3", -0.1), ("deviation_weight: float = 2.0", -1.0)]
    + [("device: str = 'auto'", device) for device in ("gpu", "cuda:99", "")],
)
def test_limits_of_lessons(tmp_path: Path, line: str, given: object) -> None:
    name = line.split(":")[0]
    with pytest.raises(ValueError, match=f"Parameter `{name}` should be"):
        resolve(find(write_lesson(tmp_path, "00_x", parameters=line)), {name: given})


# ------------------------------------------------------------------------------------------------- executing


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
    monkeypatch.setattr(runner, "announce", mnist.announce)
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


def mine(folder: Path) -> dict[str, bytes | str]:
    """All files of a folder with what they hold, and links with where they lead."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


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


# ------------------------------------------------------------------------------------------------- for students


def test_copy_never_overwrites_the_students_work(shelf: Path, tmp_path: Path) -> None:
    for name in ("00_start", "01_more", "02_erm"):
        write_lesson(shelf, name)
    target = tmp_path / "new" / "course"
    assert copy_lessons(target) == []
    assert files(target) == [".invtutor.json", "00_start.ipynb", "01_more.ipynb", "02_erm.ipynb"]
    assert copy_lessons(target) == []

    mine = target / "01_more.ipynb"
    mine.write_text(mine.read_text() + "\n")
    (target / "02_erm.ipynb").unlink()
    newer = {name: write_lesson(shelf, name, "print('newer')").read_text() for name in ("00_start", "01_more")}
    changed = mine.read_text()
    for _ in range(2):
        assert copy_lessons(target) == ["01_more.ipynb"]
        assert mine.read_text() == changed
        assert (target / "00_start.ipynb").read_text() == newer["00_start"]
        assert (target / "02_erm.ipynb").exists()

    (target / ".invtutor.json").write_text("damaged")
    write_lesson(shelf, "00_start", "print('newest')")
    unknown = [".invtutor.json", "00_start.ipynb", "01_more.ipynb"]  # nobody knows whose they are
    assert copy_lessons(target) == unknown
    mine.write_text(newer["01_more"])
    assert copy_lessons(target) == unknown[:2]
    assert (target / ".invtutor.json").read_text() == "damaged"


def test_copy_replaces_only_what_it_wrote(shelf: Path, tmp_path: Path) -> None:
    names = ("00_start", "01_more", "02_erm", "03_irmv1", "04_vrex")
    for name in names:
        write_lesson(shelf, name)
    target, outside = tmp_path / "course", tmp_path / "outside"
    outside.mkdir()
    assert copy_lessons(target) == []
    contents = {name: (target / f"{name}.ipynb").read_bytes() for name in names}
    for name in names[:3]:
        (target / f"{name}.ipynb").unlink()
    (outside / "same.ipynb").write_bytes(contents["00_start"])
    (target / "00_start.ipynb").symlink_to(outside / "same.ipynb")
    (target / "01_more.ipynb").symlink_to(outside / "nowhere.ipynb")
    (target / "02_erm.ipynb").mkdir()
    (target / "03_irmv1.ipynb").chmod(0o444)
    before = mine(tmp_path / "course")
    for name in names:
        write_lesson(shelf, name, "print('newer')")
    kept = [f"{name}.ipynb" for name in names[:4]]
    for _ in range(2):
        assert copy_lessons(target) == kept
        after = mine(target)
        assert {name: after[name] for name in kept if name in before} == {n: before[n] for n in kept if n in before}
        assert after["04_vrex.ipynb"] == (shelf / "04_vrex.ipynb").read_bytes()
        assert mine(outside) == {"same.ipynb": contents["00_start"]}


@pytest.mark.parametrize("what", ["folder", "link", "list", "numbers", "binary"])
def test_copy_leaves_a_manifest_alone_that_is_none(what: str, shelf: Path, tmp_path: Path) -> None:
    write_lesson(shelf, "00_start")
    target, outside = tmp_path / "course", tmp_path / "outside"
    target.mkdir()
    outside.write_text("{}")
    manifest = target / ".invtutor.json"
    if what == "folder":
        manifest.mkdir()
    elif what == "link":
        manifest.symlink_to(outside)
    else:
        manifest.write_bytes({"list": b"[]", "numbers": b'{"00_start.ipynb": [1]}', "binary": b"\xff\x00"}[what])
    before = mine(tmp_path)
    assert copy_lessons(target) == [".invtutor.json"]
    after = mine(tmp_path)
    assert {name: after[name] for name in before} == before and "course/00_start.ipynb" in after


def test_copy_that_was_killed_is_brought_up_to_date_by_a_newer_one(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("00_start", "01_more"):
        write_lesson(shelf, name)
    target, write = tmp_path / "course", copies.write_atomically
    copy_lessons(target)
    for fails_at in range(4):
        for name in ("00_start", "01_more"):
            write_lesson(shelf, name, f"print({fails_at})")
        calls = iter(range(10))

        def killed(path: Path, text: str | bytes, calls: Iterator[int] = calls, last: int = fails_at) -> None:
            if next(calls) == last:
                raise KeyboardInterrupt
            write(path, text)

        monkeypatch.setattr(copies, "write_atomically", killed)
        with pytest.raises(KeyboardInterrupt):
            copy_lessons(target)
        monkeypatch.setattr(copies, "write_atomically", write)
        for name in ("00_start", "01_more"):
            write_lesson(shelf, name, f"print({fails_at}, 'and newer')")
        assert copy_lessons(target) == []
        assert all((target / path.name).read_bytes() == path.read_bytes() for path in shelf.glob("*.ipynb"))


def test_copy_needs_no_right_to_write_where_nothing_is_to_be_written(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lesson(shelf, "00_start")
    copy_lessons(tmp_path / "course")
    monkeypatch.setattr(copies, "write_atomically", lambda *_: pytest.fail("it writes"))
    assert copy_lessons(tmp_path / "course") == []


def test_copy_to_where_nothing_can_be_written(shelf: Path, tmp_path: Path) -> None:
    write_lesson(shelf, "00_start")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="Cannot copy the lessons into"):
        copy_lessons(tmp_path / "file")


def test_binder_link(lesson: Lesson) -> None:
    url, badge = binder_link("me/inv.tutor", "v0.1/ab", lesson)
    assert url == "https://mybinder.org/v2/gh/me/inv.tutor/v0.1%2Fab?urlpath=lab%2Ftree%2Fnotebooks%2F03_irmv1.ipynb"
    assert badge == f"[![Binder](https://mybinder.org/badge_logo.svg)]({url})"
    wrong = [("me", "v1"), ("me/you/they", "v1"), ("https://gitlab.com/me/it", "v1"), ("me/it", ""), ("me/it", "a b")]
    wrong += [("me/.git", "v1"), ("me/..", "v1"), ("https://github.com/me", "v1"), ("git@example.org:me/it.git", "v1")]
    wrong += [("https://github.com/me/it/tree/main", "v1"), ("me/it?x", "v1"), ("mé/it", "v1"), ("", "v1")]
    for repo, ref in wrong:
        with pytest.raises(ValueError, match=r"Parameter `re(po|f)` should be"):
            binder_link(repo, ref, lesson)


@pytest.mark.parametrize(
    "pasted",
    [
        "me/it.git",
        "me/it/",
        "https://github.com/me/it",
        "https://github.com/me/it.git",
        "https://github.com/me/it/",
        "git@github.com:me/it.git",
        "ssh://git@github.com/me/it.git",
        "git://github.com/me/it.git",
        "github.com/me/it",
        "http://www.github.com/me/it",
        "https://token@github.com/me/it.git",
    ],
)
def test_a_pasted_clone_address_is_understood(lesson: Lesson, pasted: str) -> None:
    assert binder_link(pasted, "v1", lesson) == binder_link("me/it", "v1", lesson)
    links = [nbgitpuller_link("https://hub.example.org", repo, "main", lesson) for repo in (pasted, "me/it")]
    assert links[0] == links[1] and "token" not in links[0]


def test_import_needs_no_notebook_packages() -> None:
    code = """
        import sys
        for name in ("papermill", "nbclient", "nbformat", "ipywidgets", "jupyter_client"):
            sys.modules[name] = None
        import invtutor.course.lessons, invtutor.cli
    """
    root = Path(lessons.__file__).parents[2]
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=root, check=True)
