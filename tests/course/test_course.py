"""The course as people run it: plain papermill, an installed wheel, a machine without MNIST."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from invtutor.cli import main
from invtutor.course import lessons

NAMES = [path.stem for path in sorted(lessons.folder().glob("*.ipynb"))]
ROOT = Path(__file__).parents[2]


def call(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.parametrize("name", NAMES)
def test_plain_papermill_without_mnist(name: str, tmp_path: Path) -> None:
    """Other parameters, on the rendered digits, where there is neither a data folder nor a network."""
    source, target = lessons.find(name).path, tmp_path / "out.ipynb"
    options = ["-p", "profile", "smoke", "-p", "seed", "4", "-p", "source", "rendered", "-p", "out_dir", str(tmp_path)]
    options += ["--execution-timeout", "300", "--no-progress-bar"]
    command = [sys.executable, "-m", "papermill", str(source), str(target), *options]
    call(*command, cwd=tmp_path, INVTUTOR_DATA=str(tmp_path / "nothing"))
    record = json.loads((tmp_path / "result.json").read_text())
    assert (record["seed"], record["digits"]) == (4, "rendered")
    executed = nbformat.read(target, as_version=4)
    assert all(cell.execution_count for cell in executed.cells if cell.cell_type == "code")


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


def test_a_course_of_three_lessons_without_mnist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `make course` calls: a line a lesson, a folder a lesson, and one table from all their methods."""
    chosen = [lesson for lesson in lessons.lessons() if lesson.name[:2] in ("00", "03", "04")]
    monkeypatch.setattr(lessons, "lessons", lambda: chosen)
    monkeypatch.setenv("INVTUTOR_DATA", str(tmp_path / "nothing"))
    monkeypatch.setenv("INVTUTOR_PROFILE", "smoke")
    assert main(["course", "-p", "source=rendered", "--quiet", "--out", str(tmp_path / "results")]) == 0
    lines = capsys.readouterr().out.splitlines()
    for lesson in chosen:
        assert sum(line.startswith(lesson.name) for line in lines) == 1
        assert json.loads((tmp_path / "results" / lesson.name / "result.json").read_text())["digits"] == "rendered"
    assert {"IRMv1", "V-REx"} <= {line.split()[0] for line in lines if "%" not in line and line}
