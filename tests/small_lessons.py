"""Small lessons for the tests of what runs, copies and shows lessons."""

import os
from pathlib import Path

import nbformat

PARAMETERS = """\
seed: int = 0                   # first seed
profile: str = "auto"           # smoke | quick | paper
source: str = "auto"            # digits
flip_rates: list = [0.1, 0.2]   # one per environment
penalty_weight: float = 1e4     # λ
rescale: bool = True            # divide by λ
steps: int = 0                  # 0: as the profile says
out_dir: str = ""               # where result.json goes"""

FINISH = """\
import json, pathlib
record = {"lesson": LESSON, "parameters": {"seed": seed, "out_dir": out_dir}, "headline": f"seed {seed}",
          "peak_memory_mb": 100.0, "metrics": {"table": {"ERM": {"p=0.9": 0.17}}}}
_ = pathlib.Path(out_dir, "result.json").write_text(json.dumps(record))"""


def write_lesson(folder: Path, name: str, *cells: str, parameters: str = PARAMETERS, finish: bool = True) -> Path:
    """A small lesson `name` in folder, whose last cell writes result.json unless told not to."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
    title = f"# The lesson {name}\n\n**Time:** 25 minutes"
    tagged = nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    sources = [*cells, *([FINISH.replace("LESSON", repr(name))] if finish else [])]
    notebook.cells = [nbformat.v4.new_markdown_cell(title), tagged, *map(nbformat.v4.new_code_cell, sources)]
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) if folder.exists() else []


def mine(folder: Path) -> dict[str, bytes | str]:
    """All files of a folder with what they hold, and links with where they lead."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }
