"""The lessons: found, read, and given parameters."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from small_lessons import write_lesson

from invtutor.course import lessons
from invtutor.course.lessons import Lesson, find, resolve

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
    monkeypatch.setattr(lessons, "PACKAGE", package)
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


def test_import_needs_neither_torch_nor_notebook_packages() -> None:
    code = """
        import sys
        for name in ("torch", "papermill", "nbclient", "nbformat", "ipywidgets", "jupyter_client"):
            sys.modules[name] = None
        import invtutor.course.lessons, invtutor.cli
    """
    root = Path(lessons.__file__).parents[2]
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=root, check=True)
