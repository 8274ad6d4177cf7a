import errno
import json
import os
import re
import signal
import subprocess
import sys
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_lessons import write_lesson

import invtutor
from invtutor import doctor
from invtutor.__main__ import main as command
from invtutor.cli import main
from invtutor.course import lessons, runner
from invtutor.runs import session as sessions
from invtutor.runs.recipe import Recipe
from invtutor.tables import executors, plan, reading
from invtutor.tables.rows import Row, Table
from invtutor.tables.store import MEASURED
from invtutor.worlds import colored_mnist
from invtutor.worlds.digits import Digits


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of two lessons that the library takes for its own, and an empty working folder."""
    folder, work = tmp_path / "shelf", tmp_path / "work"
    folder.mkdir()
    work.mkdir()
    write_lesson(folder, "00_start")
    write_lesson(tmp_path, "elsewhere")
    write_lesson(folder, "03_irmv1", "if seed == 5:\n    raise RuntimeError('broken')")
    monkeypatch.setattr(lessons, "folder", lambda: folder)
    monkeypatch.chdir(work)
    return folder


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[str]]]:
    """The commands that would have replaced this process, on a desktop and as nobody special."""
    commands: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda path, command: commands.append(command))
    monkeypatch.setattr(subprocess, "call", lambda command: 0)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(webbrowser, "get", lambda: object())
    monkeypatch.setenv("DISPLAY", ":0")
    yield commands


# ------------------------------------------------------------------------------------------------- run, course


def test_run(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "3", "-p", "seed=7", "-p", "penalty_weight=1e3", "--quiet"]) == 0
    said = capsys.readouterr()
    assert "seed 7" in said.out and "100 MB" in said.out and " s " in said.out
    assert f"Notebook and result.json in {Path('results/03_irmv1').resolve()}" in said.out
    assert said.err == ""
    assert json.loads(Path("results/03_irmv1/result.json").read_text())["headline"] == "seed 7"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "9"], "There is no lesson '9'. The lessons are: 00_start, 03_irmv1."),
        (["run", "missing.ipynb"], "There is no lesson 'missing.ipynb'"),
        (["run", "3", "-p", "sed=1"], "Lesson 03_irmv1 has no parameter `sed`; did you mean `seed`?"),
        (["run", "3", "-p", "seed=x"], "Parameter `seed` should be a whole number. Found 'x'."),
        (["run", "3", "-p", "penalty_weight=-1"], "Parameter `penalty_weight` should be"),
        (["run", "3", "-p", "seed"], "Option -p should be NAME=VALUE. Found 'seed'."),
        (["run", "3", "-p", "=1"], "Option -p should be NAME=VALUE. Found '=1'."),
        (["run", "3", "-p", "seed=1", "-p", "seed=2"], "Parameter `seed` is given twice."),
        (["run", "3", "--timeout", "0"], "Parameter `timeout` should be above 0"),
        (
            ["run", "3", "--timeout", "soon"],
            "argument --timeout: Parameter `timeout` should be above 0 and finite.",
        ),
        (["run"], "the following arguments are required: lesson"),
        (["run", "3", "--fast"], "unrecognized arguments: --fast"),
        (["run", "vrexx"], "There is no lesson or method 'vrexx'. Did you mean `vrex`?"),
        (["run", "dan"], "There is no lesson or method 'dan'. Did you mean `dann`?"),
        (
            ["run", "irmv1", "-p", "penaltyweight=2"],
            "irmv1 has no parameter `penaltyweight`; did you mean `penalty_weight",
        ),
        (
            ["run", "irmv1", "-p", "profile=qick"],
            "Parameter `profile` should be one of smoke, quick, paper.",
        ),
        (
            ["run", "irmv1", "-p", "device=mps"],
            "Parameter `device` should be one that torch can reach here: auto or",
        ),
        (["run", "irmv1", "-p", "samples=100000"], "Parameter `samples` should be"),
        (["run", "irmv1", "-p", "flip_rates=[]"], "Parameter `flip_rates` should be"),
        (["run", "meta_irm", "-p", "flip_rates=0.1,"], "Parameter `flip_rates` should be 2 or more: meta-IRM"),
        (["run", "irmv1", "--timeout", "nan"], "Parameter `timeout` should be above 0"),
        (["run", "irmv1", "--timeout", "-1"], "Parameter `timeout` should be above 0"),
        (["run", "irmv1", "--steer", "9:penaltyweight=2"], "Option --steer should be STEP:NAME=VALUE, NAME one of"),
        (["run", "irmv1", "--steer", "40:anneal=9", "--steer", "9:anneal=2"], "Parameter `changes` should be in order"),
        (["run", "irmv1", "--steer", "40:penalty_weight=-1"], "Parameter `penalty_weight` should be"),
        (["run", "irmv1", "--steer", "40:threshold=1"], "Parameter `name` should be a knob of IRMv1"),
        (["run", "irmv1", "--steer", "99999:anneal=1"], "Parameter `changes` should be in order"),
        (["reproduce", "--tables", "colored_mnst"], "Parameter `tables` should be one of"),
        (["reproduce", "--seeds", "-1"], "Parameter `seeds` should be"),
        (["reproduce", "--seeds", "1000000000"], "Parameter `seeds` should be"),
        (["course", "-p", "lamda=1"], "The course has no parameter `lamda`"),
        (["course", "-p", "seed=-1"], "Parameter `seed` should be"),
        (["course", "--workers", "0"], "Parameter `workers` should be a whole number in [1, 100]. Found 0."),
        (["sweep", "irmv"], "Parameter `method` should be one of"),
        (["sweep", "irmv1", "-p", "seed"], "Option -p should be NAME=VALUE. Found 'seed'."),
        (["sweep", "irmv1", "-p", "penalty=1"], "irmv1 has no parameter `penalty`; did you mean `penalty_weight`?"),
        (["sweep", "irmv1", "-p", "seed=3:3"], "Parameter `seed` should be one value or more, such as 1,2 or 0:10."),
        (["sweep", "irmv1", "-p", "device=tpu"], "Parameter `device` should be auto, or a device of torch"),
        (["sweep", "erm", "--cluster", "tcp://10.0.0.1:80"], "Parameter `cluster` should be tls://… beyond this"),
        (["sweep", "erm", "--workers", "-1"], "Parameter `workers` should be a whole number in [1, 10,000]. Found -1."),
        (["search", "vrx"], "Parameter `method` should be one of irmv1, vrex, meta_irm. Found 'vrx'. Did you mean"),
        (["search", "erm"], "Parameter `method` should be one of irmv1, vrex, meta_irm. Found 'erm'."),
        (["search", "--profile", "paper"], "Parameter `profile` should be one of smoke, quick. Found 'paper'."),
        (["search", "vrex", "--workers", "0"], "Parameter `workers` should be a whole number in [1, 10,000]. Found 0."),
        (["search", "vrex", "--device", "tpu"], "Parameter `device` should be auto, or a device of torch"),
        (["reproduce", "--cluster", "slurm"], "Parameter `tls` should be three files"),
        (["tables", "--tables", "colored"], "Parameter `tables` should be one of colored_mnist, insufficient"),
        (["tables", "--format", "pdf"], "Parameter `format` should be one of text, csv, latex, markdown. Found 'pdf'"),
        (["tables", "--profile", "fast"], "Parameter `profile` should be one of smoke, quick, paper. Found 'fast'."),
        (["tables", "nowhere"], "There are no results in nowhere."),
        (["refresh", "9"], "There is no lesson '9'"),
        (["reproduce", "--tables", "colored"], "Parameter `tables` should be one of colored_mnist, insufficient"),
        (["reproduce", "--profile", "fast"], "Parameter `profile` should be one of smoke, quick, paper. Found 'fast'."),
        (["reproduce", "--seeds", "0"], "Parameter `seeds` should be a whole number in [1, 1,000]. Found 0."),
        (
            ["reproduce", "--source", "usps"],
            "Parameter `source` should be one of auto, mnist, rendered. Found 'usps'.",
        ),
        (["reproduce", "--precision", "float16"], "Parameter `precision` should be one of float32, bfloat16. Found"),
        (["reproduce", "--device", "tpu"], "Parameter `device` should be auto, or a device of torch"),
        (["reproduce", "--out", sys.executable], "Parameter `out` should be a folder for results. Found"),
        (["run", "irmv1", "--out", str(lessons.PACKAGE)], f"{lessons.PACKAGE} is the folder of this program; choose"),
        (["sweep", "irmv1", "--out", str(lessons.PACKAGE)], f"{lessons.PACKAGE} is the folder of this program; choose"),
        (["sweep", "erm", "--cluster", "tcp://127.0.0.1:99999"], "Parameter `cluster` should be slurm, or the address"),
        (["link", "me/it", "--ref", 'v"1'], "Parameter `ref` should be a tag, a branch or a commit. Found"),
        (["link", "me", "--ref", "v1"], "Parameter `repo` should be OWNER/REPO on GitHub. Found 'me'."),
        (["link", "me/it"], "the following arguments are required: --ref"),
        (["lab", "there", "--in-place"], "Give either DIR or --in-place"),
        (["lab", "--lesson", "9"], "There is no lesson '9'"),
        (["lab", "--lesson", "../elsewhere.ipynb"], "elsewhere.ipynb is no lesson of the course, nor in invtutor-less"),
        (["link", "me/it", "--ref", "v1", "--lesson", "../elsewhere.ipynb"], "elsewhere.ipynb is no lesson of the cou"),
        (["dance"], "invalid choice: 'dance'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_a_wrong_call_is_one_line_and_writes_nothing(
    shelf: Path, started: list[list[str]], capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"invtutor: error: {message}") or message in said.err
    assert said.err.startswith("invtutor: error: ") and said.err.count("\n") == 1
    assert said.out == ""
    assert list(Path().iterdir()) == []
    assert started == []


@pytest.mark.parametrize("command", ["run", "sweep", "search", "reproduce"])
def test_no_result_comes_among_the_lessons(shelf: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    before = sorted(shelf.iterdir())
    method = {"reproduce": [], "search": ["vrex"]}.get(command, ["erm"])
    assert main([command, *method, "--out", str(shelf)]) == 2
    said = capsys.readouterr().err
    assert said == f"invtutor: error: {shelf} is the folder of the lessons themselves; choose another folder.\n"
    assert sorted(shelf.iterdir()) == before


def test_a_failing_lesson_names_its_cell(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "03", "-p", "seed=5", "--out", "there", "--quiet"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("invtutor: error: 03_irmv1: cell [3] `if seed == 5:`: RuntimeError: broken")
    assert said.count("\n") == 1
    assert [path.name for path in Path("there").iterdir()] == ["03_irmv1.failed.ipynb"]


def test_course(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["course", "--out", "all", "--quiet", "-p", "seed=5"]) == 1
    said = capsys.readouterr()
    assert [line.split()[0] for line in said.out.splitlines() if line] == ["00_start", "03_irmv1", "accuracy,", "ERM"]
    assert said.err == "invtutor: error: 1 of 2 lessons failed: 03_irmv1\n"
    assert Path("all/00_start/result.json").exists()
    assert main(["course", "--out", "both", "--workers", "2", "-p", "seed=5"]) == 1
    both = capsys.readouterr()
    assert both.err == said.err and Path("both/00_start/result.json").exists()
    assert [line.split()[0] for line in both.out.splitlines() if line] == ["00_start", "03_irmv1", "accuracy,", "ERM"]


def test_reproduce(
    digits: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(colored_mnist, "load_digits", lambda source, quiet: digits)
    tiny = {"samples": 60, "width": 4, "batch_size": 20, "steps": 4, "anneal": 1}
    rows = (Row("ERM", "erm", tiny), Row("V-REx", "vrex", tiny))
    for room in (plan, reading):
        monkeypatch.setattr(room, "TABLES", {"two_spurious": Table("Small", ("test p=0.9",), rows)})
    call = ["reproduce", "--profile", "smoke", "--tables", "two_spurious", "--seeds", "2", "--quiet"]
    assert main(call) == 0
    said = capsys.readouterr()
    assert "(13.5 ± 0.3)" in said.out and said.out.endswith(f"4 runs in {Path('results/smoke')}\n")
    assert said.err == ""
    before = sorted(Path("results/smoke").iterdir())
    assert len(before) == 4
    assert main(call) == 0
    assert capsys.readouterr().out == said.out and sorted(Path("results/smoke").iterdir()) == before
    lines = Path("before.jsonl")  # results as they were kept once, and as they are packed
    lines.write_text("".join(path.read_text(encoding="utf-8") for path in before[:3]), encoding="utf-8")
    assert main([*call, "--out", str(lines)]) == 0
    assert capsys.readouterr().out.endswith("4 runs in before\n")
    assert [path.name for path in Path("before").iterdir()] == [before[3].name]

    def diverges(*_: object, **__: object) -> None:
        raise FloatingPointError("risk is nan at step 3.")

    monkeypatch.setattr(executors, "run", diverges)
    assert main([*call, "--seeds", "3"]) == 1
    said = capsys.readouterr()
    assert said.out.endswith(f"4 runs in {Path('results/smoke')}\n") and said.err.splitlines() == [
        "two_spurious: ERM, seed 2: risk is nan at step 3.",
        "two_spurious: V-REx, seed 2: risk is nan at step 3.",
        "invtutor: error: 2 of the runs diverged; they are named above.",
    ]


def test_sweep_and_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    call = ["sweep", "irmv1", "-p", "world=spirals", "-p", "profile=smoke", "-p", "steps=2", "--quiet"]
    assert main([*call, "-p", "penalty_weight=1,10", "-p", "seed=0:2"]) == 0
    said = capsys.readouterr()
    assert said.out.endswith(f"\n4 runs in {Path('results/sweep')}\n") and said.err == ""
    assert main(["tables", "results/sweep"]) == 0
    assert capsys.readouterr().out.strip() in said.out
    assert main(["tables", "--tables", "ablations", "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith("meta-IRM's ablations,test p=0.1,test p=0.9,seeds,s a run\nfull,")
    assert main(["tables"]) == 0
    assert len(re.findall(r"(?m) seeds|Model selection", capsys.readouterr().out)) >= 6


def test_interrupt(shelf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "run_lesson", stop)
    assert main(["run", "3"]) == 130
    assert capsys.readouterr().err == "invtutor: error: stopped\n"


# ------------------------------------------------------------------------------------------------- lab


def test_lab_copies_and_opens(shelf: Path, started: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab"]) == 0 or started
    root = Path("invtutor-lessons").resolve()
    expected = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}"]
    assert started == [[*expected, "--LabApp.default_url=/lab/tree/00_start.ipynb"]]
    assert (root / "03_irmv1.ipynb").exists()
    mine = root / "00_start.ipynb"
    mine.write_text("mine")
    main(["lab", "--lesson", "3", "--no-browser"])
    assert started[1][-2:] == ["--LabApp.default_url=/lab/tree/03_irmv1.ipynb", "--no-browser"]
    assert mine.read_text() == "mine"
    assert "00_start.ipynb has changes of yours and stays as it is" in capsys.readouterr().out
    main(["lab", "elsewhere"])
    assert Path("elsewhere/00_start.ipynb").exists()
    assert not any("token" in part for command in started for part in command)


def test_lab_in_place_copies_nothing(shelf: Path, started: list[list[str]]) -> None:
    main(["lab", "--in-place"])
    assert f"--ServerApp.root_dir={shelf}" in started[0]
    assert list(Path().iterdir()) == []


def test_lab_as_root_without_a_browser(shelf: Path, started: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    main(["lab"])
    assert started[0][-2:] == ["--no-browser", "--allow-root"]

    def nothing() -> None:
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(webbrowser, "get", nothing)
    main(["lab"])
    assert "--no-browser" in started[1]


# ------------------------------------------------------------------------------------------------- the rest


def test_a_method_whose_result_cannot_be_written(
    shelf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", "erm", "-p", "profile=smoke", "-p", "steps=2", "-p", "world=spirals", "--out", "out"]
    Path("file").write_text("mine")
    assert main([*command[:-1], "file/out"]) == 2, "nothing can be written there: refused before it is trained"
    assert (
        capsys.readouterr().err
        == f"invtutor: error: Cannot write results into {Path('file/out').resolve()}: Not a directory.\n"
    )

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(sessions, "write_atomically", full)
    assert main(command) == 1
    assert (
        capsys.readouterr().err
        == "invtutor: error: Trained, but cannot write results into out: No space left on device.\n"
    )
    assert not Path("out").exists()


def test_a_result_that_another_call_wrote_meanwhile_stays(
    shelf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call, replay = ["-p", "profile=smoke", "-p", "steps=2", "-p", "world=spirals", "--out", "out"], sessions.replay

    def meanwhile(recipe: Recipe, *words: Any, **options: Any) -> object:
        if recipe.algorithm == "erm":
            assert main(["run", "vrex", *call]) == 0
        return replay(recipe, *words, **options)

    monkeypatch.setattr(sessions, "replay", meanwhile)
    assert main(["run", "erm", *call]) == 1
    said = capsys.readouterr().err
    assert said == "invtutor: error: Trained, but out/result.json is not a result of erm; choose another folder.\n"
    assert json.loads(Path("out/result.json").read_text())["method"] == "vrex"


def test_lessons(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lessons"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "00_start  The lesson 00_start  (25 minutes)"
    assert said[1].split("  ") == ["", "", "seed: int = 0", *[""] * 10, " first seed"]
    assert any(line.split() == ["source:", "str", "=", "'auto'", "digits"] for line in said)


def test_link(shelf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["link", "me/invtutor", "--ref", "v0.1.0", "--lesson", "03"]) == 0
    url, badge = capsys.readouterr().out.splitlines()
    assert url.endswith("/gh/me/invtutor/v0.1.0?urlpath=lab%2Ftree%2Fnotebooks%2F03_irmv1.ipynb")
    assert badge.endswith(f"({url})")


def test_refresh(shelf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    refreshed: list[str] = []
    monkeypatch.setattr(runner, "refresh", lambda lesson, **_: refreshed.append(lesson.name))
    assert (main(["refresh"]), main(["refresh", "03", "3"])) == (0, 0)
    assert refreshed == ["00_start", "03_irmv1", "03_irmv1"]
    assert capsys.readouterr().out.splitlines()[-1] == "03_irmv1 refreshed"


def test_doctor(shelf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(doctor._ESSENTIAL, "digits", lambda: "rendered")
    assert main(["doctor"]) == 0
    said = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert said["Python"] == f"{'.'.join(map(str, sys.version_info[:3]))} ({sys.executable})"
    assert "thread" in said["device"] and "GiB available" in said["memory"]
    assert said["lessons"] == f"2 in {shelf}"
    assert {"torch", "torchvision", "jupyterlab", "ipykernel", "ipywidgets", "nbclient", "papermill"} <= set(said)


def test_doctor_lists_apples_device_where_torch_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    assert "mps" not in doctor._devices()
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    assert doctor._devices().endswith(", mps")


def test_doctor_survives_broken_imports(
    shelf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> str:
        raise RuntimeError("operator torchvision::nms\ndoes not exist")

    monkeypatch.setitem(doctor._ESSENTIAL, "digits", lambda: "rendered")
    monkeypatch.setitem(doctor._OPTIONAL, "torchvision", broken)
    assert main(["doctor"]) == 0  # the course runs without it
    assert "torchvision  FAILS: RuntimeError: operator torchvision::nms does not exist\n" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert main(["doctor"]) == 1
    assert "ipywidgets   FAILS: ModuleNotFoundError" in capsys.readouterr().out


def test_doctor_says_which_digits_and_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INVTUTOR_DATA", str(tmp_path))
    monkeypatch.setattr("invtutor.worlds.mnist.cache_folder", lambda: tmp_path / "cache")
    found = doctor._digits()
    assert found.startswith("a rendered stand-in, unless MNIST can be downloaded: all four files are missing in ")
    assert found.endswith(str(tmp_path / "MNIST" / "raw")) and list(tmp_path.iterdir()) == []
    monkeypatch.setattr("invtutor.worlds.mnist.FILES", {})
    assert doctor._digits() == f"real MNIST in {tmp_path}"


@pytest.mark.parametrize("command", ["lab", "run", "course", "lessons", "doctor", "link", "refresh"])
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert f"Example: invtutor {command}" in " ".join(capsys.readouterr().out.split())


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("invtutor ")


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii"])
@pytest.mark.parametrize("module", ["invtutor", "invtutor.cli"])
def test_every_terminal_can_show_what_is_said(tmp_path: Path, encoding: str, module: str) -> None:
    env = os.environ | {"PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", module]
    listed = subprocess.run([*command, "lessons"], env=env, capture_output=True, cwd=tmp_path, check=False)
    assert listed.returncode == 0 and listed.stderr == b"" and b"?, the weight of IRMv1" in listed.stdout
    wrong = subprocess.run([*command, "run", "λ"], env=env, capture_output=True, cwd=tmp_path, check=False)
    assert wrong.returncode == 2 and wrong.stderr.count(b"\n") == 1 and b"Traceback" not in wrong.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device is full here")
def test_what_nobody_hears(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """A reader who has enough, as `head` has; a full disk; streams that are closed."""
    read, write = os.pipe()
    os.close(read)
    full = "invtutor: error: [Errno 28] No space left on device\n"
    for file, status, said in ((write, 141, ""), ("/dev/full", 1, full)):
        with open(file, "w") as stream:  # which Python closes when it ends
            monkeypatch.setattr(sys, "stdout", stream)
            assert main(["--version"]) == status
        assert capfd.readouterr().err == said
    monkeypatch.setattr(sys, "stdout", None)
    with open("/dev/full", "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        assert main(["dance"]) == 2
    capfd.readouterr()
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert (main(["--version"]), main(["dance"])) == (0, 2)
    for name in ("stdin", "stdout", "stderr"):
        getattr(sys, name).close()
    assert capfd.readouterr() == ("", "")


def test_ctrl_c_while_it_loads(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    class Loading:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "invtutor.cli":
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(sys, "meta_path", [Loading(), *sys.meta_path])
    monkeypatch.delitem(sys.modules, "invtutor.cli")
    monkeypatch.delattr(invtutor, "cli")
    monkeypatch.setattr(os, "_exit", sys.exit)
    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit, match=r"^130$"):
            command()
    finally:
        signal.signal(signal.SIGINT, before)
    assert capfd.readouterr().err == "invtutor: error: stopped\n"


def test_what_nobody_thought_of_is_one_line(
    shelf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise RuntimeError("out of\nluck")

    monkeypatch.setattr(lessons, "lessons", broken)
    assert main(["lessons"]) == 1
    assert capsys.readouterr().err == "invtutor: error: RuntimeError: out of luck\n"
    monkeypatch.setenv("INVTUTOR_TRACEBACK", "1")
    with pytest.raises(RuntimeError, match="luck"):
        main(["lessons"])


def test_damaged_results_are_refused_by_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, line = tmp_path / "results.jsonl", Path(f"{MEASURED}.jsonl").read_text(encoding="utf-8").splitlines()[0]
    path.write_text(f"{line}\n[]\n", encoding="utf-8")
    assert main(["reproduce", "--out", str(path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"invtutor: error: {path}, line 2 is not a result") and said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["results.jsonl"]
