"""Every lesson in the quick profile, by papermill's parameters: do its claims hold for seeds it was not written on?

In a file of its own, so that one worker runs these, the longest tests, while the others do the rest.
"""

import json
from pathlib import Path

import pytest

from invtutor.course import lessons, runner

NAMES = [path.stem for path in sorted(lessons.folder().glob("*.ipynb"))]


@pytest.mark.parametrize("name", NAMES)
def test_lesson_in_the_quick_profile_with_another_seed(name: str, tmp_path: Path) -> None:
    result = runner.run_lesson(lessons.find(name), {"profile": "quick", "seed": 100}, out=tmp_path, quiet=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{name}.ipynb", "result.json"]
    record = json.loads((tmp_path / "result.json").read_text())
    assert record.pop("seal"), "by which the next run knows the file for its own"
    assert record["seed"] == record["parameters"]["seed"] == 100
    assert record["claims"]
    wanted = "holds" if record["digits"] == "mnist" else "not judged"  # the prose speaks of MNIST
    assert {claim["verdict"] for claim in record["claims"]} == {wanted}
    assert record["peak_memory_mb"] < 1200
    assert record == result.record
