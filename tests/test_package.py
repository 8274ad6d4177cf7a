"""What a stranger finds: files that agree with one another, and nothing that should not be in a repository."""

import ast
import pkgutil
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import invtutor
from invtutor.algorithms import ALGORITHMS
from invtutor.course import lessons

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.splitlines()]


def test_the_version_is_written_once_and_again() -> None:
    assert f'version = "{invtutor.__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_every_public_name_can_be_had() -> None:
    for name in invtutor.__all__:
        assert getattr(invtutor, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        invtutor.nonsense  # noqa: B018


def test_no_name_hides_a_module() -> None:
    packages = [
        invtutor,
        *(import_module(m.name) for m in pkgutil.walk_packages(invtutor.__path__, "invtutor.") if m.ispkg),
    ]
    for package in packages:
        for found in pkgutil.iter_modules(package.__path__):
            if found.name != "__main__":  # it is a program, and no name
                module = import_module(f"{package.__name__}.{found.name}")
                assert getattr(package, found.name) is module, module.__name__


def test_links_of_readme_and_lessons_lead_somewhere() -> None:
    texts = {ROOT: README} | {p: p.read_text(encoding="utf-8") for p in lessons.folder().glob("*.ipynb")}
    for place, text in texts.items():
        folder = place if place.is_dir() else place.parent
        for target in re.findall(r"\]\(([\w./-]+\.(?:ipynb|png|md))\)", text):
            assert (folder / target).exists(), f"{place.name}: {target}"


def test_the_readme_names_every_lesson_and_method() -> None:
    for path in lessons.folder().glob("*.ipynb"):
        assert f"notebooks/{path.name}" in README
    for name in ALGORITHMS:
        assert name in README


def imported(folder: Path) -> dict[str, list[str]]:
    """The packages that the Python files of a folder import, each with these files."""
    found: dict[str, list[str]] = {}
    for path in folder.glob("*.py") if folder == ROOT else folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                found.setdefault(name.split(".")[0], []).append(path.as_posix())
    return {name: paths for name, paths in found.items() if name not in sys.stdlib_module_names}


def test_what_is_imported_is_declared() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    base, extras = project.split("[project.optional-dependencies]")
    where = {
        "book": ("book/",),
        "features": ("worlds/frozen.py",),
        "cluster": ("tables/engine.py",),
        "coinrun": ("worlds/demonstrations.py", "runs/kept_policy.py"),
    }  # what an extra brings is imported nowhere else
    lines = (base, *(extras.split(f"{extra} =")[1].split("\n")[0] for extra in where))
    needed, *brought = (set(re.findall(r'"([\w-]+)(?:\[\w+\])?>=', line)) for line in lines)
    distributions = {
        "axe_playwright_python": "axe-playwright-python",
        "IPython": "ipython",
        "zmq": "pyzmq",
        "PIL": "pillow",
        "dask_jobqueue": "dask-jobqueue",
        "procgen": "procgen-mirror",
    }
    inside = {distributions.get(name, name): paths for name, paths in imported(ROOT / "invtutor").items()}
    assert len(inside) > 15
    for extra, names in zip(where, brought, strict=True):
        there = {name for name, paths in inside.items() if any(part in path for part in where[extra] for path in paths)}
        assert there - {"invtutor"} <= needed | names
        needed = needed | (names & there)
    assert inside.keys() - {"invtutor", "pandas"} <= needed  # pandas: where it is installed
    own = {path.stem for path in (ROOT / "tests").rglob("*.py")} | {"invtutor"}
    tested = {distributions.get(name, name) for name in (imported(ROOT / "tests") | imported(ROOT)).keys() - own}
    assert tested <= needed | set(re.findall(r'"([\w-]+)(?:\[\w+\])?>=', extras))


def test_constraints_pin_every_dependency() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    pinned = set(re.findall(r"^([\w-]+)==", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE))
    needed = set(re.findall(r'"([\w-]+)>=', project))
    assert needed <= pinned


def test_binder_installs_what_the_package_needs_and_no_cuda() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    needed = dict(re.findall(r'"([\w-]+)>=([\d.]+)"', project.split("[project.optional-dependencies]")[0]))
    needed.pop("hatchling")
    environment = (ROOT / "binder" / "environment.yml").read_text(encoding="utf-8")
    found = dict(re.findall(r"- ([\w-]+)>=([\d.]+)", environment))
    conda = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base"}  # their names on conda-forge
    assert found == {conda.get(name, name): bound for name, bound in needed.items()}
    assert "cuda" not in re.sub("#.*", "", environment).lower()


def test_no_data_and_no_large_file_is_committed() -> None:
    for path in tracked():
        assert not re.search(r"ubyte|\.(gz|npz|pt|pkl|pickle)$", path.name)
        assert path.stat().st_size < 2_000_000, path
