"""The instructors' page says nothing that is not so: lessons, minutes, links, commands, presets."""

import ast
import importlib.metadata
import json
import os
import re
import shlex
import subprocess
import sys
from itertools import chain
from pathlib import Path
from statistics import fmean

import pytest
from small_lessons import write_lesson

from invtutor import cli
from invtutor.cli import main
from invtutor.course import lessons, links
from invtutor.course.lessons import find
from invtutor.course.links import first_cell, nbgitpuller_link
from invtutor.runs.recipe import Recipe

PAGE = lessons.folder() / "instructors.md"
TEXT = PAGE.read_text(encoding="utf-8")
PLANS = {"One hour": 60, "Three hours": 180, "Six hours": 360, "Four weeks": 4 * 90}


def test_it_is_a_page_and_not_a_book() -> None:
    assert 900 <= len(re.sub(r"[|*#`$-]", " ", TEXT).split()) <= 3500


@pytest.mark.parametrize("lesson", lessons.paths(), ids=lambda path: path.stem)
def test_every_lesson_is_named_and_has_its_answers(lesson: Path) -> None:
    number = lesson.stem[:2]
    assert re.search(rf"\b{number} [A-Za-z]", TEXT)
    answers = TEXT.partition("## Answers")[2].partition("\n## ")[0]
    assert re.search(rf"^\*\*[^*]*\b{number}\b", answers, re.MULTILINE)


@pytest.mark.parametrize(("plan", "minutes"), PLANS.items())
def test_the_minutes_of_a_plan_add_up(plan: str, minutes: int) -> None:
    table = re.search(rf"^### {plan}.*?(?=^##)", TEXT, re.MULTILINE | re.DOTALL)
    assert table
    assert sum(map(int, re.findall(r"^\| (\d+) \|", table[0], re.MULTILINE))) == minutes


def test_links_sections_and_exercises_exist() -> None:
    links = [target for target in re.findall(r"\]\(([^)]+)\)", TEXT) if "://" not in target]
    assert links and not [target for target in links if not (PAGE.parent / target).is_file()]
    texts = {path.stem[:2]: path.read_text(encoding="utf-8") for path in lessons.paths()}
    for number, section in re.findall(r"\b(0\d) §(\d+)", TEXT):
        assert number not in texts or f'"## {section}. ' in texts[number], (number, section)
    named = re.findall(r"exercises? (\d\.\d)(?: and (\d\.\d))?", TEXT)
    for exercise in filter(None, chain(*named)):
        assert f"Exercise {exercise}" in texts[f"0{exercise[0]}"]


def test_every_goal_and_exercise_of_a_lesson_is_on_the_map() -> None:
    """In the lesson's own words, up to the first comma."""
    table = TEXT.partition("## Goals")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d\d) \| (.+?) \| (.+?) \|$", table, re.MULTILINE)
    for path in lessons.paths():
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells)
        told = text.partition("**You will**")[2].partition("\n\n")[0].replace("**", "")
        goals = [re.split("[,;:(.]", goal)[0].strip() for goal in re.findall(r"^- (.+)$", told, re.MULTILINE)]
        mine = [(goal, practised.split(", ")) for number, goal, practised in rows if number == path.stem[:2]]
        assert [goal for goal, _ in mine] == goals
        named = {each for _, practised in mine for each in practised}
        known = {word.lower() for word in re.findall(r"\*\*(Step [\d.]*\d|Exercise [\d.]*\d)", text)}
        assert named - {"guess"} == known, path.stem
        assert "guess" not in named or "lesson.guess(" in text


def test_the_numbers_in_the_answer_to_the_two_clinics() -> None:
    """They follow from the call that the exercise shows."""
    shown = re.search(r"flip_rates=(\[[^]]*\]), samples=4000", lessons.find("08").path.read_text(encoding="utf-8"))
    assert shown
    flipped, noise = fmean(json.loads(shown[1])), Recipe().label_noise
    answer = TEXT.partition("Exercise 8.4: ")[2].partition("\n\n")[0]
    assert f"{100 * (1 - flipped):.1f} % to {100 * (1 - noise):.0f} %" in answer, "ruler and skin, over the pool"
    assert f"{100 * 2 * flipped:.0f} %" in answer and f"λ = {(1 - flipped) / flipped:.1f}" in answer, "as in lesson 07"


def test_commands_are_those_of_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = re.findall(r"(?:^|`)(invtutor [^`\n]+)", TEXT, re.MULTILINE)
    assert {call.split()[1] for call in calls} >= {"doctor", "run", "link", "lab", "course", "grade"}
    for call in calls:
        cli._parser().parse_args(shlex.split(call)[1:])  # leaves with SystemExit where it knows a word not


def test_presets_and_code_of_the_live_panel() -> None:
    from invtutor.runs.presets import PRESETS

    shown = re.search(r"Its presets are.*?(?=\n- )", TEXT, re.DOTALL)
    assert shown
    named = set(re.findall(r"\*([^*]+)\*", shown[0]))
    assert named and named <= set(PRESETS)
    everywhere = re.findall(r"live panel: ((?:\*[^*|]+\*(?:, then )?)+)", TEXT)
    assert everywhere and {name for each in everywhere for name in re.findall(r"\*([^*]+)\*", each)} <= set(PRESETS)
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec("\n".join(line.strip() for line in code.splitlines() if "import" in line), {})


# ------------------------------------------------------------------------------------------------- nbgitpuller


def test_nbgitpuller_link(tmp_path: Path) -> None:
    lesson = find(write_lesson(tmp_path, "03_irmv1"))
    expected = (
        "https://hub.example.org:8000/team/hub/user-redirect/git-pull?repo=https%3A%2F%2Fgithub.com%2Fme%2Finv.tutor"
        "&branch=term%2F2&urlpath=lab%2Ftree%2Finv.tutor%2Fnotebooks%2F03_irmv1.ipynb"
    )
    for hub in ("https://hub.example.org:8000/team", "https://hub.example.org:8000/team/"):
        assert nbgitpuller_link(hub, "me/inv.tutor", "term/2", lesson) == expected
    for hub in (
        "",
        "hub.example.org",
        "ftp://hub",
        "https://",
        "https://hub/?a=b",
        "https://hub/#a",
        "https://a b",
        "x",
    ):
        with pytest.raises(ValueError, match=r"Parameter `hub` should be a hub's address such as https://hub"):
            nbgitpuller_link(hub, "me/it", "main", lesson)
    for repo, branch in (("me", "main"), ("me/it", ""), ("me/it", "a b")):
        with pytest.raises(ValueError, match=r"Parameter `re(po|f)` should be"):
            nbgitpuller_link("https://hub", repo, branch, lesson)


def test_link_to_a_hub(capsys: pytest.CaptureFixture[str]) -> None:
    call = ["link", "me/invtutor", "--ref", "main", "--lesson", "03", "--nbgitpuller"]
    assert main([*call, "https://hub.example.org"]) == 0
    (url,) = capsys.readouterr().out.splitlines()
    assert url.startswith("https://hub.example.org/hub/user-redirect/git-pull?repo=") and "03_irmv1.ipynb" in url
    assert main([*call, ""]) == 2
    assert capsys.readouterr().err.startswith("invtutor: error: Parameter `hub` should be")


@pytest.mark.parametrize("host", ["colab", "kaggle"])
def test_link_to_somebody_elses_machine(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["link", "https://github.com/me/invtutor.git", "--ref", "v0.1.0", "--lesson", "03", f"--{host}"]) == 0
    url, badge, _, *cell = capsys.readouterr().out.splitlines()
    assert url.endswith("me/invtutor/blob/v0.1.0/notebooks/03_irmv1.ipynb") and host in url.partition("/me/")[0]
    assert badge.startswith("[![") and badge.endswith(f".svg)]({url})")
    assert "\n".join(cell) == first_cell("me/invtutor", "v0.1.0")


@pytest.mark.parametrize(
    ("there", "installed"),
    [
        ({"tqdm": "4.66.0", "invtutor": "0.1.0"}, []),
        ({"tqdm": "4.9"}, ["tqdm>=4.66", "git+https://github.com/me/invtutor@v1"]),
        ({"torch": None, "invtutor": "0.1.0"}, ["torch>=2.4"]),
    ],
)
def test_the_first_cell_installs_what_is_missing_and_nothing_that_is_there(
    there: dict[str, str | None], installed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []

    def version(package: str) -> str:
        found = there.get(package, None if package == "invtutor" else "99.0+cu130")
        if found is None:
            raise importlib.metadata.PackageNotFoundError
        return found

    source = first_cell("me/invtutor", "v1")
    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(subprocess, "check_call", called.extend)
    exec(source, {})
    assert [word for word in called if "git+" in word or ">=" in word] == installed
    assert ("--no-deps" in called) == ("invtutor" not in there)
    assert not [name for name in ("jupyterlab", "ipykernel", "ipython") if name in source]


AS_THERE = """
import json, sys
for name in {absent}:
    sys.modules[name] = None
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for number, path in enumerate({paths}):
    cells = json.load(open(path, encoding="utf-8"))["cells"]
    for code in ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"][: 1 if number else 3]:
        shell.run_cell(code).raise_error()
print("digits of", shell.user_ns["lesson"].digits)
"""


def test_lessons_begin_with_no_more_than_the_first_cell_installs(tmp_path: Path) -> None:
    """The imports of all, and `begin` of the first, in a folder with nothing in it."""
    there = {"ipykernel", "ipython", "traitlets", "jupyter_client", "pyzmq"}  # with any kernel
    extras = {"nbconvert", "bleach", "latex2mathml", "safetensors", "dask", "distributed", "jupytext"}
    absent = sorted({*links.SERVING} - there | extras)
    program = AS_THERE.format(absent=absent, paths=[*map(str, lessons.paths())])
    variables = {**os.environ, "INVTUTOR_PROFILE": "smoke", "HOME": str(tmp_path), "IPYTHONDIR": str(tmp_path)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "digits of" in done.stdout


@pytest.mark.parametrize("path", lessons.paths(), ids=lambda path: path.stem)
def test_a_lesson_becomes_a_python_file(path: Path) -> None:
    from nbconvert import ScriptExporter

    code, resources = ScriptExporter().from_filename(str(path))
    assert resources["output_extension"] == ".py"
    ast.parse(code)
