"""Killed a hundred times: nothing of the user's is touched, nothing half-written, nothing left running or locked.

One process imports everything once; each command runs in a fork of it, which is the leader of a process group of its
own, and is killed with its group at a random operation on files, or at a random time. Around it lie decoys: all that a
user could have that looks like ours.
"""

import hashlib
import json
import os
import random
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil  # type: ignore[import-untyped]
import pytest
from small_lessons import write_lesson
from test_faults import COMMAND, reaper  # noqa: F401

from invtutor import files
from invtutor.course import lessons
from invtutor.course.book import MANIFEST
from invtutor.tables.store import Store

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and looks at processes as Linux has them")

DRIVER = """
import hashlib, json, os, resource, signal, sys, time, traceback
from pathlib import Path

import nbclient, nbconvert, nbformat, papermill, torch, jupyter_client.manager, latex2mathml.converter, tqdm

from invtutor.course import book, lessons
from invtutor import cli
from invtutor.worlds import colored_mnist, digits, mnist
from invtutor.runs import session
from invtutor.tables import executors
from invtutor.tables.rows import TABLES, Row, Table
from invtutor.widgets import panel

root = Path(sys.argv[1])
torch.set_num_threads(1)
digits.draw_digits(2)  # typefaces are searched for once
lessons.folder = lambda: root / "shelf"
digits.TRAIN, digits.TEST = 300, 200
os.execv = lambda *_: sys.exit(0)  # JupyterLab itself
access = os.access
os.access = lambda path, *how, **options: path != "/tmp" and access(path, *how, **options)

images = torch.randint(256, (60_000, 28, 28), dtype=torch.uint8)
crude = digits.Digits("rendered", images, torch.arange(60_000) % 10, images[:10_000], torch.arange(10_000) % 10)
colored_mnist.load_digits = lambda *_, **__: crude
tiny = {"samples": 60, "width": 4, "batch_size": 20, "steps": 4, "anneal": 1}
rows = tuple(Row(name, name, tiny) for name in ("erm", "vrex"))
TABLES.clear()
TABLES["two_spurious"] = Table("Small", ("test p=0.9",), rows, {"smoke": 3, "quick": 3})

mirror = root / "mirror"
small = {path.name: path.read_bytes() for path in mirror.iterdir() if path.suffix != ".gz"}
mnist.FILES = {name: (len(small[name]), hashlib.sha256(small[name]).hexdigest()) for name in mnist.FILES}
mnist.MIRRORS = [f"{mirror.as_uri()}/"]


def command(words):
    if words[0] != "digits":
        return cli.main(words)
    try:
        return digits.load_digits(words[1], quiet=True).source != words[1]
    except digits.DigitsError as error:
        print("invtutor: error:", error)
        return 1


def changes(event, args):
    if event == "open":
        return isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    return event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.truncate", "subprocess.Popen")


def child(job, pipe, said):
    os.setsid()
    for stream in (1, 2):
        os.dup2(said, stream)
    os.environ.update(job["env"])
    if job["limit"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["limit"], job["limit"]))
    count = 0

    def count_and_kill(event, args):
        nonlocal count
        if changes(event, args):
            count += 1
            if count == job["at"]:
                os.killpg(0, signal.SIGKILL)

    sys.addaudithook(count_and_kill)
    code = command(job["words"])
    os.write(pipe, json.dumps([code, count]).encode())


def begin(job):
    read, write = os.pipe()
    said = os.open(root / "said", os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    if (pid := os.fork()) == 0:
        try:
            child(job, write, said)
        except BaseException:
            os.write(said, traceback.format_exc().encode())
        finally:
            os._exit(0)
    os.close(write), os.close(said)
    return pid, read


print("ready", flush=True)
for line in sys.stdin:
    job = json.loads(line)
    started = time.monotonic()
    begun = [begin(job) for _ in range(job["copies"])]
    if job["seconds"]:
        time.sleep(job["seconds"])
        try:
            os.killpg(begun[0][0], signal.SIGKILL)
        except ProcessLookupError:
            pass  # not yet its group's leader, or over
    answers = []
    for pid, read in begun:
        answers.append(json.loads(os.read(read, 1000) or "null"))
        os.close(read)
        os.waitpid(pid, 0)
    told = {"answers": answers, "seconds": time.monotonic() - started, "said": (root / "said").read_text()}
    print(json.dumps(told), flush=True)
"""


def snapshot(folder: Path) -> dict[str, tuple[int, str]]:
    """Everything in a folder: its kind and permissions, and what it holds."""
    found = {}
    for parent, folders, names in os.walk(folder):
        for path in (Path(parent, name) for name in folders + names):
            mode, content = path.lstat().st_mode, ""
            if stat.S_ISLNK(mode):
                content = os.readlink(path)
            elif stat.S_ISREG(mode):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path.relative_to(folder))] = (mode, content)
    return found


def decoys(folder: Path, outside: Path, *, result: bool = True) -> None:
    """All that somebody could have in a folder that looks like ours."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("invtutor-notes", "invtutor-lessons", "invtutor", ".running-x", ".book-x", ".download-x"):
        (folder / name).mkdir()
        (folder / name / "result.json").write_text("mine")
    for name in (".invtutor-forged", ".invtutor-empty", ".running-empty", ".rendered-3.npz-x"):
        (folder / name).mkdir()
    (folder / ".invtutor-forged" / files.MARKER).write_text("A folder of invtutor's own, which it removes again: 1:2\n")
    shutil.copytree(outside / "scratch", folder / ".invtutor-copied")
    for name in (".invtutor-file", ".result.json.x", "mine.failed.ipynb", "00_start.failed.ipynb", "whole", "empty"):
        (folder / name).write_text("" if name == "empty" else "mine")
    (folder / ".invtutor-link").symlink_to(outside / "scratch")
    (folder / "link.ipynb").symlink_to(outside / "notes.txt")
    (folder / "dangling.json").symlink_to("nowhere")
    if result:
        (folder / "result.json").write_text('{"lesson": "00_start", "mine": true}')
    (folder / "read-only").mkdir()
    (folder / "read-only" / "file").write_text("mine")
    (folder / "read-only" / "file").chmod(0o444)
    (folder / "read-only").chmod(0o555)


def _reads(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() and not path.is_symlink() else b"no file"


class Ended(NamedTuple):
    """Exit statuses, None for a command that was killed or let an exception out; how often it changed files."""

    codes: list[int | None]
    count: int
    seconds: float
    said: str


class Machine:
    """A user's machine in a folder: home, cache, temporary folder, data, lessons, results; decoys in each."""

    def __init__(self, root: Path):
        self.root = root
        outside = root / "outside"
        with files.own_folder(root) as scratch:
            (scratch / "file").write_text("of a run")
            shutil.copytree(scratch, outside / "scratch")  # its marker tells of another folder
        (outside / "notes.txt").write_text("mine")
        (root / "shelf").mkdir()
        for name in ("00_start", "01_more"):
            write_lesson(root / "shelf", name, "from pathlib import Path\nPath(out_dir, 'deep').mkdir()", "print(seed)")
        mirror = root / "mirror"
        mirror.mkdir()
        generator = np.random.default_rng(0)
        kinds = {"train-images": (16, 30, 784), "train-labels": (8, 30, 1), "t10k-images": (16, 20, 784)}
        for kind, (head, count, size) in (kinds | {"t10k-labels": (8, 20, 1)}).items():
            name = f"{kind}-idx{3 if 'images' in kind else 1}-ubyte"
            content = bytes(head) + generator.integers(0, 10, count * size, dtype=np.uint8).tobytes()
            (mirror / name).write_bytes(content)
            subprocess.run(["gzip", "-k", str(mirror / name)], check=True)
        for name in (
            "home",
            "temp",
            "data",
            "data/MNIST/raw",
            "cache/invtutor",
            "shelf",
            "out/00_start",
            "out/01_more",
        ):
            decoys(root / name, outside, result=not name.startswith("out/"))
        for name in ("lab", "method", "tables", "books", "work"):
            decoys(root / name, outside, result=name != "method")
        (root / "shelf/00_start.failed.ipynb").unlink()  # would be taken for a lesson
        self.before = snapshot(root)
        self.mark = root.name
        environment = {"HOME": root / "home", "XDG_CACHE_HOME": root / "cache", "TMPDIR": root / "temp"}
        environment |= {"INVTUTOR_DATA": root / "data", "INVTUTOR_SAFETY": self.mark}
        self.environment = os.environ | {name: str(value) for name, value in environment.items()}
        command = [sys.executable, "-W", "ignore", "-c", DRIVER, str(root)]
        self.driver = subprocess.Popen(
            command, cwd=root / "work", stdin=-1, stdout=-1, text=True, env=self.environment, bufsize=1
        )
        assert self.driver.stdout and self.driver.stdout.readline() == "ready\n"

    def call(
        self, words: list[str], *, at: int = 0, seconds: float = 0.0, copies: int = 1, limit: int = 0, **env: str
    ) -> Ended:
        """Run a command to its end, or kill it at an operation on files, or after so many seconds; copies at once; with
        files of at most so many bytes."""
        assert self.driver.stdin and self.driver.stdout
        job = {"words": words, "at": at, "seconds": seconds, "copies": copies, "limit": limit, "env": env}
        self.driver.stdin.write(json.dumps(job) + "\n")
        told = json.loads(self.driver.stdout.readline())
        codes, counts = zip(*(answer or (None, 0) for answer in told["answers"]), strict=True)
        return Ended(list(codes), counts[0], told["seconds"], told["said"])

    def untouched(self) -> None:
        """Every decoy is as it was."""
        now = snapshot(self.root)
        assert {path: now.get(path) for path in self.before} == self.before

    def orphans(self) -> list[psutil.Process]:
        """Processes of ours beside the driver."""
        found = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get("INVTUTOR_SAFETY") == self.mark
            except psutil.Error:
                continue
            if ours and process.pid != self.driver.pid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        return found

    def quiet(self) -> None:
        """Within seconds, nothing runs any more."""
        deadline = time.monotonic() + 20
        while orphans := self.orphans():
            assert time.monotonic() < deadline, [process.cmdline() for process in orphans]
            time.sleep(0.02)

    def made(self) -> set[str]:
        """What is there beside the decoys, what all tests share, and Python's own trials of a temporary folder, which a
        process that is killed at that moment leaves."""
        trials = {f"temp/{path.name}" for path in (self.root / "temp").glob("?" * 8) if _reads(path) in (b"", b"blat")}
        return set(snapshot(self.root)) - set(self.before) - {"said"} - trials


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    root = Path(tempfile.mkdtemp(prefix="safe-"))
    machine = Machine(root)
    yield machine
    machine.driver.kill()
    machine.driver.wait()
    for folder in root.rglob("read-only"):
        folder.chmod(0o755)
    shutil.rmtree(root)


# ------------------------------------------------------------------------------------------------- kills


def runs(root: Path) -> None:
    for path in [*root.glob("out/*/0*.ipynb"), *root.glob("out/*/result.json"), *root.glob("method/result.json")]:
        assert path.name.endswith("failed.ipynb") or files.is_sealed(path), path


def sites(root: Path) -> None:
    site = root / "books/site"
    assert files.foreign(site, MANIFEST) is None
    assert not site.exists() or {"00_start.html", "01_more.html", "index.html"} <= set(os.listdir(site))


def copies(root: Path) -> None:
    for path in root.glob("lab/0?_*[!d].ipynb"):
        assert "failed" in path.name or path.read_bytes() == (root / "shelf" / path.name).read_bytes()


def rows(root: Path) -> None:
    store = Store(root / "tables")
    assert len(store) == len(list(store.folder.glob("?" * 20 + ".json"))) <= 6


def raw(root: Path) -> None:
    for path in root.glob("data/MNIST/raw/*-ubyte"):
        assert path.read_bytes() == (root / "mirror" / path.name).read_bytes()


def drawn(root: Path) -> None:
    for path in root.glob("cache/invtutor/*.npz"):
        with np.load(path) as content:
            assert len(content["labels"]) == 300


RUN = ["--quiet", "--out", "../out/00_start"]
COMMANDS: dict[str, tuple[list[str], int, Callable[[Path], None]]] = {  # words, how many kills, what must hold then
    "run LESSON": (["run", "00", *RUN], 18, runs),
    "course": (["course", "--quiet", "--out", "../out"], 8, runs),
    "run METHOD": (
        ["run", "vrex", "-p", "profile=smoke", "-p", "samples=60", "-p", "width=4", "--out", "../method"], 12, runs
    ),
    "reproduce": (
        ["reproduce", "--profile", "smoke", "--source", "rendered", "--quiet", "--out", "../tables"], 14, rows
    ),
    "book": (["book", "--stored", "--out", "../books/site"], 14, sites),
    "book, executed": (["book", "--profile", "smoke", "--quiet", "--out", "../books/site"], 5, sites),
    "lab": (["lab", "../lab"], 15, copies),
    "digits, mnist": (["digits", "mnist"], 9, raw),
    "digits, rendered": (["digits", "rendered"], 9, drawn),
}  # fmt: skip


def test_there_are_a_hundred_kills() -> None:
    assert sum(kills for _, kills, _ in COMMANDS.values()) >= 100


def scratch(made: set[str]) -> list[str]:
    return [path for path in made if path.rpartition("/")[2].startswith(".invtutor-")]


def clear(machine: Machine) -> None:
    """As before the first command."""
    for path in sorted(machine.made(), reverse=True):
        there = machine.root / path
        if there.is_dir() and not there.is_symlink():
            shutil.rmtree(there)
        else:
            there.unlink()


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_at_random_moments(name: str, machine: Machine, reaper: None) -> None:  # noqa: F811
    words, kills, whole = COMMANDS[name]
    rng = random.Random(name)
    clear(machine)
    first = machine.call(words)
    assert first.codes == [0], first
    made = machine.made()
    assert made and not scratch(made)
    machine.untouched()
    for kill in range(kills):
        if kill % 3 == 0:  # from nothing, and over what an earlier run has left
            clear(machine)
        at, seconds = (rng.randint(1, first.count), 0.0) if kill % 2 else (0, rng.uniform(0.02, first.seconds))
        killed = machine.call(words, at=at, seconds=seconds)
        machine.untouched()
        whole(machine.root)
        machine.quiet()
        if kill % 3 == 2 or kill == kills - 1:
            again = machine.call(words)
            assert again.codes == [0], (at, seconds, killed, again)
            assert machine.made() == made, (at, seconds)
            whole(machine.root)
    machine.untouched()


# ------------------------------------------------------------------------------------------------- other troubles


@pytest.mark.parametrize("name", ["run LESSON", "course", "reproduce", "lab", "digits, mnist", "digits, rendered"])
def test_two_at_once_in_one_folder(name: str, machine: Machine, reaper: None) -> None:  # noqa: F811
    words, _, whole = COMMANDS[name]
    clear(machine)
    ended = machine.call(words, copies=2)
    assert ended.codes == [0, 0], ended
    machine.untouched()
    whole(machine.root)
    machine.quiet()
    assert not scratch(machine.made())


@pytest.mark.parametrize("name", ["run METHOD", "reproduce", "book", "lab", "digits, mnist", "digits, rendered"])
def test_a_disk_that_takes_little(name: str, machine: Machine) -> None:
    """As a full one, for files of more than a kilobyte: one line, what is there stays, and later it goes on."""
    words, _, whole = COMMANDS[name]
    clear(machine)
    ended = machine.call(words, limit=1500 if "mnist" in name else 1000)
    if name == "digits, rendered":
        assert ended.codes == [0], "they are drawn again the next time"
    else:
        assert ended.codes in ([1], [2]), ended
        assert ended.said.count("invtutor: error: ") == 1 and "File too large" in ended.said, ended
        assert "Traceback" not in ended.said
    machine.untouched()
    whole(machine.root)
    assert not scratch(machine.made())
    assert machine.call(words).codes == [0]


@pytest.mark.parametrize("name", ["run LESSON", "run METHOD", "lab", "digits, rendered"])
def test_a_home_and_a_cache_that_cannot_be_written(name: str, machine: Machine) -> None:
    clear(machine)
    nowhere = {"HOME": "/proc/nowhere", "XDG_CACHE_HOME": "/proc/nowhere/cache"}
    ended = machine.call(COMMANDS[name][0], **nowhere)
    assert ended.codes == [0], ended
    machine.untouched()


CALLS = """doctor
--help
run --help
lessons
link me/it --ref v1
link me/it --ref v1 --lesson 99
run nonsense
run 00 -p nothing=1
run 00 -p seed=x
run 00 --out LESSONS
run vrex -p width=-1
course --out SHELF
course -p nothing=1
book --out SHELF
book --out .
book --out ../books
book ../lab/mine.failed.ipynb --out ../new
lab SHELF
lab ../work/empty
reproduce --tables nothing --out ../new/all
reproduce --out ../work/result.json
reproduce --out ../outside/notes.txt
reproduce --out SHELF/00_start.ipynb
reproduce --seeds 0""".splitlines()


def test_what_only_tells_and_what_is_refused_writes_nothing(machine: Machine) -> None:
    clear(machine)
    (machine.root / "said").unlink(missing_ok=True)
    before, shelf = snapshot(machine.root), str(machine.root / "shelf")
    environment = machine.environment | {
        "INVTUTOR_DATA": str(machine.root / "mistyped"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for call in CALLS:
        words = [word.replace("SHELF", shelf).replace("LESSONS", str(lessons.folder())) for word in call.split()]
        if call in ("doctor", "run 00 --out LESSONS"):  # the real command, and all that its imports do
            run = subprocess.run([COMMAND, *words], cwd=machine.root / "work", env=environment, check=False)
            code = run.returncode
        else:
            ended = machine.call(words, INVTUTOR_DATA=str(machine.root / "mistyped"))
            (code,) = ended.codes
            (machine.root / "said").unlink()
        assert code == (0 if call in CALLS[:5] else 2), (call, code)
        assert snapshot(machine.root) == before, call
