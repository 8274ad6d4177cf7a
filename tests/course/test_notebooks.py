"""What every lesson must have, read from the notebook files, and the exercises: stubs hint, solutions pass."""

import re
from pathlib import Path

import nbformat
import pytest

from invtutor.course import checks, lessons
from invtutor.course.notebook import STANDARD

PATHS = sorted(lessons.folder().glob("*.ipynb"))
ALWAYS = {"seed", "profile", "source", "device", "flip_rates", "label_noise", "out_dir"}


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
    words = sum(len(cell.source.split()) for cell in cells(notebook, "markdown"))
    assert 1000 <= words <= 2500
    assert max(len(cell.source.splitlines()) for cell in cells(notebook, "code")) <= 30


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


def test_every_claim_holds(notebook: nbformat.NotebookNode) -> None:
    mime = "application/vnd.invtutor.result+json"
    (result,) = (output.data[mime] for output in outputs(notebook) if mime in output.get("data", {}))
    assert result["claims"]
    assert {claim["verdict"] for claim in result["claims"]} == {"holds"}
    assert result["peak_memory_mb"] < 1200


def test_stubs_hint_and_solutions_pass(notebook: nbformat.NotebookNode) -> None:
    exercises = tagged(notebook, "exercise")
    assert len(exercises) >= 2
    for index in exercises:
        stub, answer = notebook.cells[index].source, notebook.cells[index + 1].source
        assert answer.startswith("<details><summary>Solution</summary>")
        assert "</details>" in answer
        (solution,) = re.findall(r"```python\n(.*?)```", answer, re.DOTALL)
        for source, solved in ((stub, False), (solution, True)):
            body, call = source.rstrip().rsplit("\n", 1)
            scope: dict[str, object] = {"checks": checks}
            exec("import torch\nfrom torch import Tensor\n" + body, scope)
            verdict = eval(call, scope)
            assert isinstance(verdict, checks.Verdict)
            assert verdict.passed is solved, verdict
            assert solved or "not written yet" in verdict.message


def test_torch_is_imported_after_invtutor(notebook: nbformat.NotebookNode) -> None:
    """It reads how its threads should wait when it loads; see invtutor/__init__.py."""
    code = "\n".join(cell.source for cell in cells(notebook, "code"))
    found = re.search(r"^(import|from) torch\b", code, re.MULTILINE)
    assert not found or found.start() > code.index("from invtutor")
