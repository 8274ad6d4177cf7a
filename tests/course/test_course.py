"""The course as people run it: plain papermill, an installed wheel, a machine without MNIST."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

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
def test_plain_papermill(name: str, tmp_path: Path) -> None:
    source, target = lessons.find(name).path, tmp_path / "out.ipynb"
    options = ["-p", "profile", "smoke", "-p", "seed", "4", "-p", "out_dir", str(tmp_path)]
    options += ["--execution-timeout", "300", "--no-progress-bar"]
    call(sys.executable, "-m", "papermill", str(source), str(target), *options, cwd=tmp_path)
    assert json.loads((tmp_path / "result.json").read_text())["seed"] == 4
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


def test_the_whole_course_without_mnist(tmp_path: Path) -> None:
    """What `make course` calls, on the rendered digits, where there is neither a data folder nor a network."""
    environment = {"INVTUTOR_DATA": str(tmp_path / "nothing"), "INVTUTOR_PROFILE": "smoke"}
    command = [str(Path(sys.executable).with_name("invtutor")), "course", "-p", "source=rendered", "--quiet"]
    done = call(*command, cwd=tmp_path, **environment)
    lines = done.stdout.splitlines()
    for name in NAMES:
        assert sum(line.startswith(name) for line in lines) == 1
        assert json.loads((tmp_path / "results" / name / "result.json").read_text())["digits"] == "rendered"
    assert any("IRMv1" in line and "%" in line for line in lines)
