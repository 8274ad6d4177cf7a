"""What goes wrong around the course: kills, full disks, forbidden folders, bad parameters, closed kernels."""

import ctypes
import functools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jupyter_client.manager
import nbformat
import psutil  # type: ignore[import-untyped]
import pytest
from small_lessons import files, write_lesson

from invtutor.cli import main
from invtutor.course import lessons, runner
from invtutor.files import sealed

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="looks at processes, mounts and users as Linux has them"
)

COMMAND = str(Path(sys.executable).with_name("invtutor"))


OLDER = sealed('{"lesson": "02_erm", "headline": "older"}')  # what an earlier run left
NOTEBOOK = sealed('{"metadata": {}, "nbformat": 4, "cells": []}')


def start(*arguments: str, cwd: Path, before: tuple[str, ...] = (), **options: object) -> subprocess.Popen[str]:
    """The real command, as a process of its own; `before` are the words in front of it."""
    command = [*before, COMMAND, *arguments]
    return subprocess.Popen(command, cwd=cwd, stdout=-1, stderr=-1, text=True, **options)  # type: ignore[call-overload]


def end(process: subprocess.Popen[str], seconds: float = 120) -> tuple[int, str]:
    """Exit status and stderr."""
    try:
        _, said = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return process.returncode, said


def wait(holds: Callable[[], object], seconds: float = 60) -> object:
    """What `holds` answers as soon as that is true."""
    deadline = time.monotonic() + seconds
    while not (answer := holds()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)
    return answer


def one_line(said: str) -> bool:
    start = said.startswith("invtutor: error: ") and "Traceback" not in said
    return start and said.endswith("\n") and said[:-1].isprintable() and len(said) < 1100


@pytest.fixture
def reaper() -> Iterator[None]:
    """Orphans come to this process, as they come to the session's manager on a desktop, and not to process 1.

    A kernel that asks whether its parent is process 1 would live on there.
    """
    set_child_subreaper = 36
    libc = ctypes.CDLL(None)
    own = set(psutil.Process().children())
    libc.prctl(set_child_subreaper, 1, 0, 0, 0)
    yield
    libc.prctl(set_child_subreaper, 0, 0, 0, 0)
    for orphan in set(psutil.Process().children()) - own:
        if gone(orphan):
            orphan.wait()  # else it would stay a zombie for the tests that follow


def words(process: psutil.Process) -> list[str]:
    """Its command line; none of a process that has ended."""
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


# ------------------------------------------------------------------------------------------------- kills


def test_a_run_killed_at_any_moment(tmp_path: Path, reaper: None) -> None:
    rng = random.Random(4)
    lesson = write_lesson(tmp_path, "00_start", "import time\ntime.sleep(1)", "time.sleep(1)")
    out, command = tmp_path / "out", ["run", str(lesson), "--quiet"]
    out.mkdir()
    older = {"result.json": sealed('{"lesson": "00_start"}'), "00_start.ipynb": NOTEBOOK}
    for name, text in older.items():
        (out / name).write_text(text)

    def kernels(process: subprocess.Popen[str]) -> list[psutil.Process]:
        assert process.poll() is None, process.communicate()
        return [each for each in psutil.Process(process.pid).children() if "ipykernel" in " ".join(words(each))]

    def in_the_imports(process: subprocess.Popen[str]) -> None:
        time.sleep(rng.uniform(0, 1.5))

    def before_the_kernel_watches_its_parent(process: subprocess.Popen[str]) -> None:
        wait(lambda: kernels(process))

    def in_the_cells(process: subprocess.Popen[str]) -> None:
        wait(lambda: kernels(process))
        time.sleep(rng.uniform(0.5, 2))

    def when_the_lesson_is_over(process: subprocess.Popen[str]) -> None:
        wait(lambda: kernels(process) and list(out.glob(".invtutor-*/result.json")))

    folders = []
    for moment in (
        in_the_imports, before_the_kernel_watches_its_parent, in_the_cells, in_the_cells, when_the_lesson_is_over
    ):  # fmt: skip
        process = start(*command, "--out", str(out), cwd=tmp_path)
        moment(process)
        left = kernels(process)
        folders += [Path(word).parent for each in left for word in words(each) if word.endswith("kernel.json")]
        process.kill()
        end(process)
        assert {name: (out / name).read_text() for name in older} == older
        assert [name for name in os.listdir(out) if not name.startswith(".invtutor-")] == [*older]
        wait(functools.partial(all, map(gone, left)), 10)
    assert len(folders) == 4
    assert end(start(*command, "--out", str(out), cwd=tmp_path)) == (0, "")
    assert files(out) == ["00_start.ipynb", "result.json"]
    assert json.loads((out / "result.json").read_text())["parameters"]["seed"] == 0
    nbformat.validate(nbformat.read(out / "00_start.ipynb", as_version=4))
    assert not any(folder.exists() for folder in folders)


def test_no_kernel_outlives_a_killed_run_while_no_thread_of_its_own_can_watch(tmp_path: Path, reaper: None) -> None:
    busy = "import ctypes, pathlib\npathlib.Path('busy').touch()\nctypes.PyDLL(None).sleep(600)  # holds Python's lock"
    path = write_lesson(tmp_path, "00_start", busy)
    process = start("run", str(path), "--out", str(tmp_path / "out"), "--quiet", cwd=tmp_path)
    wait((tmp_path / "busy").exists)
    (kernel,) = psutil.Process(process.pid).children()
    process.kill()
    end(process)
    wait(functools.partial(gone, kernel), 10)


def test_two_ctrl_c_end_it_at_once_and_leave_nothing(tmp_path: Path) -> None:
    rng, out = random.Random(5), tmp_path / "out"
    path = write_lesson(tmp_path, "02_erm", "import time\ntime.sleep(600)")
    process = start("run", str(path), "--out", str(out), "--quiet", cwd=tmp_path)
    (kernel,) = wait(psutil.Process(process.pid).children)
    time.sleep(rng.uniform(0.5, 1.5))
    process.send_signal(signal.SIGINT)
    time.sleep(rng.uniform(0, 0.1))
    process.send_signal(signal.SIGINT)
    code, said = end(process, 20)
    assert code == 130 and one_line(said), said
    assert gone(kernel) and files(out) == []


# ------------------------------------------------------------------------------------------------- at once


def test_two_lessons_at_once_and_one_lesson_twice(tmp_path: Path) -> None:
    for name in ("00_start", "01_more"):
        write_lesson(tmp_path, name, "import time\ntime.sleep(1)", "print('x' * seed)")
    calls = [("00_start", 1), ("01_more", 2), ("01_more", 3)]
    commands = [["run", f"{name}.ipynb", "--quiet", "-p", f"seed={seed}"] for name, seed in calls]
    running = [start(*command, cwd=tmp_path) for command in commands]  # each lesson into its own folder of results
    assert [end(process) for process in running] == [(0, "")] * 3
    assert files(tmp_path / "results") == [
        "00_start", "00_start/00_start.ipynb", "00_start/result.json", "01_more", "01_more/01_more.ipynb",
        "01_more/result.json",
    ]  # fmt: skip
    assert json.loads((tmp_path / "results/01_more/result.json").read_text())["headline"] in ("seed 2", "seed 3")


def test_two_lessons_at_once_in_one_folder(tmp_path: Path) -> None:
    """One of them has it; the other is refused, at the latest when it would write over the first one's result."""
    out = tmp_path / "out"
    for name in ("00_start", "01_more"):
        write_lesson(tmp_path, name, "import time\ntime.sleep(1)")
    running = [
        start("run", f"{name}.ipynb", "--quiet", "--out", "out", cwd=tmp_path) for name in ("00_start", "01_more")
    ]
    ended = dict(zip(("00_start", "01_more"), map(end, running), strict=True))
    (won,) = (name for name, (code, _) in ended.items() if code == 0)
    (lost,) = ended.keys() - {won}
    assert one_line(ended[lost][1]) and f"is not a result of lesson {lost}; choose another folder" in ended[lost][1]
    assert json.loads((out / "result.json").read_text())["lesson"] == won
    assert set(files(out)) - {f"{lost}.failed.ipynb"} == {f"{won}.ipynb", "result.json"}


# ------------------------------------------------------------------------------------------------- disks, folders


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A folder with a result, beside a lesson whose notebook comes to 300 kB."""
    write_lesson(tmp_path, "02_erm", "print('x' * 300_000)")
    out = tmp_path / "out"
    out.mkdir()
    (out / "result.json").write_text(OLDER)
    (out / "02_erm.ipynb").write_text(NOTEBOOK)
    return out


@pytest.mark.parametrize(
    ("free", "status", "message"),
    [
        ("100k", 1, "02_erm: ran, but cannot be written into OUT: No space left on device"),
        ("8k", 2, "Cannot write results into OUT: No space left on device"),  # not even begun
    ],
)
def test_a_full_disk(older: Path, tmp_path: Path, free: str, status: int, message: str) -> None:
    """On a file system of that size, which only the command and its children see."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("may not mount a file system here")
    script = f"""
        mkdir ../saved && mount -t tmpfs -o size={free} tmpfs . && cd "$PWD" && cp ../out.older/* . || exit 99
        [ {free} = 100k ] || dd if=/dev/zero of=filler bs=4k 2>/dev/null
        "$@"; code=$?
        rm -f filler; cp -a . ../saved; exit $code
    """
    older.rename(tmp_path / "out.older")
    older.mkdir()
    before = ("unshare", "--mount", "sh", "-c", script, "sh")
    code, said = end(start("run", "../02_erm.ipynb", "--out", ".", "--quiet", cwd=older, before=before))
    if code == 99:
        pytest.skip("may not mount a file system here")
    assert code == status and one_line(said), said
    assert message.replace("OUT", str(older)) in said
    saved = tmp_path / "saved"
    assert files(saved) == ["02_erm.ipynb", "result.json"]
    assert ((saved / "result.json").read_text(), (saved / "02_erm.ipynb").read_text()) == (OLDER, NOTEBOOK)


@pytest.mark.parametrize(
    ("blocks", "status", "message"),
    [(100, 1, "cannot be written into OUT: File too large"), (0, 2, "Cannot write results into OUT: File too large")],
)
def test_files_that_may_not_grow(older: Path, tmp_path: Path, blocks: int, status: int, message: str) -> None:
    """Blocks of 512 or 1,024 bytes; at 0 it is not even begun."""
    before = ("sh", "-c", f'ulimit -f {blocks}; exec "$@"', "sh")
    code, said = end(start("run", "02_erm.ipynb", "--out", "out", "--quiet", cwd=tmp_path, before=before))
    assert code == status and one_line(said), said
    assert message.replace("OUT", str(older)) in said
    assert files(older) == ["02_erm.ipynb", "result.json"]
    assert ((older / "result.json").read_text(), (older / "02_erm.ipynb").read_text()) == (OLDER, NOTEBOOK)


@pytest.fixture
def bound() -> tuple[str, ...]:
    """The words before a command that bind it to permissions, as they bind everybody but root."""
    words = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    if words and (not shutil.which("setpriv") or subprocess.run([*words, "true"], check=False).returncode):
        pytest.skip("root, and cannot give up its powers here")
    return words


def test_folders_and_files_that_are_forbidden(tmp_path: Path, bound: tuple[str, ...]) -> None:
    free, shut = tmp_path / "free", tmp_path / "shut"
    out = shut / "out"
    for folder in (free, shut, out):
        folder.mkdir()
    path = write_lesson(shut, "02_erm")
    (out / "result.json").write_text(OLDER)
    for folder in (out, shut):
        folder.chmod(0o555)

    def run(target: Path, home: Path) -> tuple[int, str]:
        words = ("run", str(path), "--out", str(target), "--quiet")
        return end(start(*words, cwd=free, before=bound, env=os.environ | {"HOME": str(home)}))

    for target, cause in ((out, "Permission denied"), (shut / "new", "Permission denied"), (Path("/proc/x"), "No ")):
        code, said = run(target, free)
        assert code == 2 and one_line(said), said
        assert f"Cannot write results into {target}: {cause}" in said
    assert files(shut) == ["02_erm.ipynb", "out", "out/result.json"]
    assert (out / "result.json").read_text() == OLDER
    assert run(free / "out", shut)[0] == 0  # a home and a lesson's folder that cannot be written are no hindrance
    assert files(free) == ["out", "out/02_erm.ipynb", "out/result.json"]
    path.chmod(0)
    code, said = run(free / "out", free)
    assert code == 1 and one_line(said) and "Permission denied" in said
    for folder in (out, shut):
        folder.chmod(0o755)


def test_damaged_digits_stop_a_lesson_that_needs_them(tmp_path: Path) -> None:
    """What the library does with them is in test_digits.py; this is what a student sees of it."""
    raw = tmp_path / "data/MNIST/raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte").write_text("<html>")
    write_lesson(tmp_path, "02_erm", "from invtutor.worlds.digits import load_digits\nload_digits('mnist')")
    offline = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9") | {"no_proxy": ""}
    env = os.environ | offline | {"INVTUTOR_DATA": str(tmp_path / "data")}
    code, said = end(start("run", "02_erm.ipynb", "--quiet", "--out", "out", cwd=tmp_path, env=env))
    assert code == 1 and one_line(said), said
    assert "cell [3] `from invtutor.worlds.digits import load_digits`: DigitsError: MNIST cannot be had: " in said
    assert "train-images-idx3-ubyte (damaged, 6 of 47,040,016 bytes)" in said
    assert files(tmp_path / "out") == ["02_erm.failed.ipynb"]
    assert (raw / "train-images-idx3-ubyte").read_text() == "<html>"


# ------------------------------------------------------------------------------------------------- bad parameters

NOT = {  # texts that are no value of a type
    "int": ["1.5", "1e3", "0x", "1 2", "--1", "1+1", "9" * 5000, "-", "1,2", "१२"],
    "float": ["nan", "-inf", "1e999", "1.0.0", ".", "1,2", "e", "0.1 0.2", "٣٫٥"],
    "bool": ["1", "0", "yes", "tru", "[True]", "None"],
    "list": [
        "0.1",
        "{0.1, 0.2}",
        "[0.1, 'x']",
        "[[0.1], [0.2]]",
        "[True, False]",
        "[nan, 0.1]",
        "[0.1, 0.2",
        "[1e999]",
    ],
    "str": ["", "nothing of the kind", "😀", "quick\x00", "../..", "cpu ", "None"],
}
NEVER = ["", " ", "None", "x", "{}", "lambda: 1", "__import__('os').abort()", "b'1'", "\x1b[31m1", "1\r\n2", "\u202e1"]
NEVER += [
    "[" * 3000,
    "(" * 99 + ")" * 99,
    "\ud800",
    "é" * 2000,
    "inf",
    "-1e-9",
    "-1",
    "[[]]",
    "1_",
    "'",
    "\\",
    "\t\v\f\x85",
]


def bad_pair(rng: random.Random, lesson: lessons.Lesson) -> list[str]:
    """Options that the lesson should refuse: a wrong name, a wrong type, a value out of range, a malformed pair."""
    parameter = rng.choice(lesson.parameters)
    name = parameter.name
    kind = rng.randrange(10)
    if kind == 0:  # nearly its name
        position = rng.randrange(len(name))
        wrong = rng.choice([
            name[:position] + name[position + 1 :], name + rng.choice("s_0 é\x07"), name.upper(), f" {name}",
            name.replace("e", "е") + "\u200b", f"--{name}", name[::-1] + "x",
        ])  # fmt: skip
        known = [each.name for each in lesson.parameters]
        return ["-p", f"{wrong if wrong not in known else 'x'}={parameter.default}"]
    if kind == 1:
        return rng.choice(
            [["-p", name], ["-p", f"={name}"], ["-p", ""], ["-p"], ["-p", f"{name}=1", "-p", f"{name}=1"]]
        )
    if kind == 2 and parameter.type in ("int", "float"):
        return ["-p", f"{name}={rng.choice(['-1', '-7', f'-{10**30}'])}"]
    if kind == 3 and parameter.name == "flip_rates":
        rates = [rng.uniform(0, 1) for _ in range(rng.randrange(1, 5))]
        rates[rng.randrange(len(rates))] = rng.choice([-0.1, 1.1, 1e300, -1e-300])
        return ["-p", f"{name}={rates}"]
    texts = NOT[parameter.type]
    if parameter.type != "str" and rng.random() < 0.5:
        texts = NEVER
    return ["-p", f"{name}={rng.choice(texts)}"]


def test_500_bad_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Drawn from the lessons as they are, so that new lessons and their parameters are covered."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lessons, "_inspect", functools.cache(lessons._inspect))  # reading a notebook takes 0.1 s
    monkeypatch.setattr(runner, "run_cells", lambda *_: pytest.fail("it runs"))
    rng, every = random.Random(0), lessons.lessons()
    for i in range(500):
        lesson = rng.choice(every)
        course = rng.random() < 0.1
        arguments = ["course"] if course else ["run", lesson.name]
        arguments += bad_pair(rng, lesson)
        if rng.random() < 0.1:
            arguments += rng.choice([["--timeout", "nan"], ["--timeout", "-1"], ["--timeout", "1s"], ["--fats"]])
        code = main(arguments)
        said = capsys.readouterr()
        assert (code, said.out, one_line(said.err)) == (2, "", True), (i, arguments, code, said)
        assert os.listdir() == [], arguments


def test_bad_lessons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    default = nbformat.v4.new_code_cell("x: int = y", metadata={"tags": ["parameters"]})
    texts = [
        "",
        "text",
        "[]",
        "{}",
        '"x"',
        '{"nbformat": 4}',
        "\x00",
        nbformat.writes(nbformat.v4.new_notebook(cells=[default])),
    ]
    for number, text in enumerate(texts):
        (folder / f"{number}.ipynb").write_text(text)
    (folder / "folder.ipynb").mkdir()
    names = [str(path) for path in folder.iterdir()]
    names += [
        "",
        "-1",
        "99",
        "9" * 5000,
        "00_strat",
        "a" * 3000 + ".ipynb",
        "\x1b[2J",
        "../00_start.ipynb",
        "é\n",
        "\x00.ipynb",
    ]
    for name in names:
        code = main(["run", name, "-p", "x=1"])
        said = capsys.readouterr()
        assert (code, said.out, one_line(said.err)) == (2, "", True), (name, code, said)
    assert os.listdir() == ["elsewhere"]


def test_some_bad_calls_of_the_real_command(tmp_path: Path) -> None:
    rng, every = random.Random(1), lessons.lessons()
    calls = [["run", lesson.name, *bad_pair(rng, lesson)] for lesson in rng.choices(every, k=2)]
    calls += [["run", "00", "-p", "sed\x1b[31m=1"], ["course", "--fats"], ["run", "\udcff.ipynb"]]
    for arguments in calls:
        arguments = [
            word.replace("\x00", "").replace("\ud800", "\udcff") for word in arguments
        ]  # no command line has these
        code, said = end(start(*arguments, cwd=tmp_path))
        assert code == 2 and one_line(said), (arguments, said)
    assert files(tmp_path) == []


# ------------------------------------------------------------------------------------------------- kernels

OPEN = """
import threading
from invtutor import Recipe, load_digits
from invtutor.course.notebook import peak_memory
from invtutor.widgets import live
threads = set(threading.enumerate())
digits, recipe = load_digits("rendered"), Recipe.profile("quick", "irmv1")
panels = [live(recipe, data=digits, key="one"), live(Recipe.profile("quick", "meta_irm"), data=digits, key="two")]
for panel in panels:
    panel.press("play")
"""
LOOK = """
import asyncio
while min(panel.session.taken for panel in panels) < 5:
    await asyncio.sleep(0.1)
new = {thread for thread in set(threading.enumerate()) - threads if type(thread).__module__ != "zmq.utils.garbage"}
print(new or "none", all(panel.playing for panel in panels))
print(peak_memory())
"""


@pytest.mark.parametrize("kill", [False, True], ids=["shut down", "killed"])
def test_two_live_panels_and_then_the_kernel_goes(kill: bool, reaper: None) -> None:
    """Both train while the kernel is told to go: no process stays, no thread was there, and memory is Binder's."""
    folder = tempfile.mkdtemp(prefix="faults-")
    manager = jupyter_client.manager.KernelManager(transport="ipc", ip=f"{folder}/k")
    manager.start_kernel()
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        said: list[str] = []

        def hear(message: dict[str, Any]) -> None:
            content = message["content"]
            said.extend(content.get("traceback") or [content["text"]] if {"text", "traceback"} & content.keys() else [])

        for code in (OPEN, LOOK):
            client.execute_interactive(code, output_hook=hear, timeout=120)
        threads, memory = "".join(said).splitlines()
        assert threads == "none True"
        assert float(memory) < 1200
        kernel = psutil.Process(manager.provisioner.pid)
        family = [kernel, *kernel.children(recursive=True)]
        started = time.monotonic()
        manager.shutdown_kernel(now=kill)
        assert time.monotonic() - started < 4, "it had to be killed"
        wait(lambda: all(map(gone, family)), 10)
    finally:
        client.stop_channels()
        if manager.has_kernel:
            manager.shutdown_kernel(now=True)
        shutil.rmtree(folder)
