"""What every lesson must have, read from the notebook files, and the exercises: stubs hint, solutions pass."""

import ast
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from invtutor.course import lessons
from invtutor.course.notebook import STANDARD
from invtutor.worlds.digits import Digits

PATHS = sorted(lessons.folder().glob("*.ipynb"))
ALWAYS = {"seed", "seeds", "profile", "source", "device", "out_dir"}
COLORED = {"flip_rates", "label_noise"}


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def notebook(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def cells(notebook: nbformat.NotebookNode, kind: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == kind]


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in cells(notebook, "code") for output in cell.outputs]


def tagged(notebook: nbformat.NotebookNode, tag: str) -> list[int]:
    return [i for i, cell in enumerate(notebook.cells) if tag in cell.metadata.get("tags", [])]


def test_the_course_is_complete_and_in_order() -> None:
    assert [path.stem[:2] for path in PATHS] == [f"{i:02d}" for i in range(len(PATHS))]
    assert len(PATHS) >= 5


def test_the_first_cell_says_what_one_learns_and_how_long_it_takes(path: Path, notebook: nbformat.NotebookNode) -> None:
    first = notebook.cells[0].source
    assert first.startswith(f"# {path.stem[:2]} · ")
    assert "**You will**" in first
    assert lessons.find(path.stem).minutes


def test_length_of_prose_and_cells(notebook: nbformat.NotebookNode) -> None:
    prose = [re.sub(r"```python\n.*?```", "", cell.source, flags=re.DOTALL) for cell in cells(notebook, "markdown")]
    words = sum(len(text.split()) for text in prose)  # without the code of solutions
    assert 1000 <= words <= 2500
    code = cells(notebook, "code")
    assert max(len(cell.source.splitlines()) for cell in code) <= 30
    for cell in code:
        folded = "hide-input" in cell.metadata.get("tags", [])
        assert folded == cell.metadata.get("jupyter", {}).get("source_hidden", False), (
            "one program folds it, another not"
        )
        assert folded or len(cell.source.splitlines()) <= 15, cell.source.splitlines()[0]


def test_it_ends_with_recap_references_and_what_comes_next(notebook: nbformat.NotebookNode) -> None:
    prose = "\n".join(cell.source for cell in cells(notebook, "markdown"))
    for part in ("## Recap", "**References", "**Next:**"):
        assert part in prose


def test_parameters_are_plain_annotated_and_standard(path: Path, notebook: nbformat.NotebookNode) -> None:
    (index,) = tagged(notebook, "parameters")
    for line in notebook.cells[index].source.splitlines():
        assert re.fullmatch(r"\w+: (int|float|str|bool|list) = [^#]+  # .+", line), line
    found = {parameter.name: parameter for parameter in lessons.find(path.stem).parameters}
    assert found.keys() >= ALWAYS
    assert found.keys() >= COLORED or path.stem == "09_elsewhere", "which has other worlds"
    for name, value in STANDARD.items():
        assert name not in found or found[name].default == value


def test_outputs_are_stored_whole_and_clean(notebook: nbformat.NotebookNode) -> None:
    code = cells(notebook, "code")
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert "widgets" not in notebook.metadata
    assert notebook.metadata.kernelspec.name == "python3"
    text = nbformat.writes(notebook)
    assert not re.search(r"/(home|root|tmp|work|Users)/", text)
    assert all(output.output_type != "error" for output in outputs(notebook))


def test_stored_outputs_come_from_the_quick_profile_on_real_mnist(notebook: nbformat.NotebookNode) -> None:
    streams = "".join(output.text for output in outputs(notebook) if output.output_type == "stream")
    assert "digits: real MNIST" in streams
    assert "profile: quick" in streams
    assert "device: " in streams


def test_every_picture_has_alt_text(notebook: nbformat.NotebookNode) -> None:
    pictures = [output for output in outputs(notebook) if "image/png" in output.get("data", {})]
    assert pictures
    for picture in pictures:
        assert len(picture.metadata["image/png"]["alt"]) > 40


def test_every_alt_text_is_written_by_the_run(notebook: nbformat.NotebookNode) -> None:
    """A sentence that stands in the cell whole could be of another picture than the run's."""
    calls = [node for cell in cells(notebook, "code") for node in ast.walk(ast.parse(cell.source))]
    told = [call.args[-1] for call in calls if isinstance(call, ast.Call) and ast.unparse(call.func) == "picture"]
    assert told and not [ast.unparse(text) for text in told if isinstance(text, ast.Constant)]


def test_every_claim_holds(notebook: nbformat.NotebookNode) -> None:
    mime = "application/vnd.invtutor.result+json"
    (result,) = (output.data[mime] for output in outputs(notebook) if mime in output.get("data", {}))
    assert result["claims"]
    assert {claim["verdict"] for claim in result["claims"]} == {"holds"}
    assert result["peak_memory_mb"] < 1200


@pytest.fixture
def solutions(notebook: nbformat.NotebookNode) -> list[tuple[str, str]]:
    """Stub and solution of each exercise."""
    found = []
    for index in tagged(notebook, "exercise"):
        answer = notebook.cells[index + 1].source
        hints = re.findall(r"<summary>(.*?)</summary>", answer)
        assert hints[-1] == "Solution" and set(hints[:-1]) <= {"A hint", "A stronger hint"}
        assert answer.count("</details>") == len(hints)
        (solution,) = re.findall(r"```python\n(.*?)```", answer.partition("<summary>Solution</summary>")[2], re.DOTALL)
        found.append((notebook.cells[index].source, solution))
    return found


def test_stubs_hint_and_solutions_pass(
    path: Path,
    notebook: nbformat.NotebookNode,
    solutions: list[tuple[str, str]],
    digits: Digits,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One after the other, after nothing but the imports and the parameters: a step may use the steps before it."""
    assert len(solutions) >= 2
    monkeypatch.setattr("invtutor.course.notebook.load_digits", lambda source, quiet: digits)
    (parameters,) = tagged(notebook, "parameters")
    first = [cell.source for cell in notebook.cells[: parameters + 1] if cell.cell_type == "code"]
    for place, mark in ((0, "untouched"), (1, "done")):
        scope: dict[str, Any] = {}
        for source in (*first, f"profile = 'smoke'\nlesson = begin({path.stem!r}, globals())"):
            exec(source, scope)
        for number, pair in enumerate(solutions):
            exec(pair[place], scope)
            verdicts = list(scope["lesson"].exercises.values())
            assert len(verdicts) == number + 1, "each has a name of its own"
            assert verdicts[-1].mark == mark, verdicts[-1]


def test_what_is_built_is_used_in_the_cells_that_follow(notebook: nbformat.NotebookNode) -> None:
    code = [(ast.parse(cell.source), "exercise" in cell.metadata.get("tags", [])) for cell in cells(notebook, "code")]
    for place, (tree, _) in enumerate(code):
        used = {
            node.id
            for later, stub in code[place + 1 :]
            for node in ast.walk(later)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and not stub
        }
        for node in tree.body:
            if isinstance(node, ast.Assign) and "lesson.build(" in ast.unparse(node.value):
                assert ast.unparse(node.targets[0]) in used


def test_torch_is_imported_after_invtutor(notebook: nbformat.NotebookNode) -> None:
    """It reads how its threads should wait when it loads; see invtutor/__init__.py."""
    code = "\n".join(cell.source for cell in cells(notebook, "code"))
    found = re.search(r"^(import|from) torch\b", code, re.MULTILINE)
    assert not found or found.start() > code.index("from invtutor")
