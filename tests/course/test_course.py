"""The course as people run it: as a whole, on a machine without MNIST, and from an installed wheel."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from invtutor.cli import main
from invtutor.course import lessons

ROOT = Path(__file__).parents[2]


def call(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_the_wheel_carries_the_lessons_and_runs_them(tmp_path: Path) -> None:
    empty, site = tmp_path / "empty", tmp_path / "site"
    empty.mkdir()
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    call(*build, str(ROOT), cwd=empty)
    (wheel,) = tmp_path.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    call(*pip, str(wheel), cwd=empty)
    run = [sys.executable, str(site / "bin" / "invtutor"), "run", "00_start", "-p", "profile=smoke", "--out", "here"]
    done = call(*run, cwd=empty, PYTHONPATH=str(site))
    assert "00_start" in done.stdout
    assert sorted(path.name for path in empty.iterdir()) == ["here"]
    assert json.loads((empty / "here" / "result.json").read_text())["lesson"] == "00_start"
    where = "import invtutor.course.lessons; print(invtutor.course.lessons.folder())"
    assert str(site) in call(sys.executable, "-c", where, cwd=empty, PYTHONPATH=str(site)).stdout


def test_the_course_without_mnist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `make course` calls, with other parameters, on the rendered digits, where there is neither a data folder nor
    a network: a line a lesson, a folder a lesson, every cell run, and one table from all their methods. Of two lessons:
    the browser's tests run all of them without MNIST."""
    monkeypatch.setenv("INVTUTOR_DATA", str(tmp_path / "nothing"))
    (tmp_path / "lessons").mkdir()
    for name in ("00", "04"):
        shutil.copy(lessons.find(name).path, tmp_path / "lessons")
    monkeypatch.setattr(lessons, "folder", lambda: tmp_path / "lessons")
    given = ["-p", "profile=smoke", "-p", "source=rendered", "-p", "seed=4"]
    assert main(["course", *given, "--quiet", "--out", str(tmp_path / "results")]) == 0
    lines = capsys.readouterr().out.splitlines()
    for lesson in lessons.lessons():
        assert sum(line.startswith(lesson.name) for line in lines) == 1
        folder = tmp_path / "results" / lesson.name
        record = json.loads((folder / "result.json").read_text())
        assert (record["seed"], record["digits"]) == (4, "rendered")
        executed = nbformat.read(folder / f"{lesson.name}.ipynb", as_version=4)
        assert all(cell.execution_count for cell in executed.cells if cell.cell_type == "code")
    assert {"ERM", "IRMv1", "V-REx", "MM-REx"} <= {line.split()[0] for line in lines if "%" not in line and line}
