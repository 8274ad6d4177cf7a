"""The house's floors: imports point down only, and what stays outside stays outside."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import invtutor

ROOT = Path(invtutor.__file__).parent
PLUMBING = {"algorithms", "algorithms.algorithm", "algorithms.descent", "algorithms.groups", "algorithms.inner"}
PLUMBING |= {"algorithms.gradients", "algorithms.projections", "algorithms.ready", "algorithms.scale"}

FLOORS = {
    0: {"words", "fields", "files", "plugins"},
    1: {"worlds", "networks"},
    2: {"algorithms"},
    3: {"exact", "runs"},
    4: {"figures", "tables"},
    5: {"widgets"},
    6: {"course"},
    7: {"doctor", "cli", "__main__"},
}
# Steps to a neighbor, where a floor has no rooms of several files.
BESIDE = {("fields", "words"), ("plugins", "fields"), ("cli", "doctor"), ("__main__", "cli")}
# Where lower is not enough to be allowed.
ONLY = {
    "algorithms": {"worlds.environment", "worlds.risks", "worlds.judging", "fields", "networks", "plugins"},
    "exact": {"algorithms"},
}

# Packages that one room alone may know; those in LAZY only inside of functions, so that the rest works without them.
ROOMS = {
    "torchvision": {"worlds"},
    "PIL": {"worlds"},
    "matplotlib": {"worlds", "figures", "course"},
    "ipywidgets": {"widgets"},
    "IPython": {"widgets", "course"},
    "papermill": {"course"},
    "nbclient": {"course"},
    "nbformat": {"course"},
    "nbconvert": {"course"},
    "pygments": {"course"},
    "latex2mathml": {"course"},
    "bleach": {"course"},
    "zmq": {"course"},
    "jupyter_client": {"course"},
    "filelock": {"files"},
    "dask": {"tables"},
    "distributed": {"tables"},
    "dask_jobqueue": {"tables"},
    "pandas": {"tables"},
}
LAZY = {"torchvision", "PIL", "papermill", "nbclient", "nbformat", "jupyter_client", "dask", "distributed"}
LAZY |= {"dask_jobqueue", "pandas", "nbconvert", "pygments", "latex2mathml", "bleach", "zmq"}


class Import(NamedTuple):
    module: str  # who imports, by its path below invtutor, such as algorithms.erm
    name: str  # what, in full, such as invtutor.worlds.risks.risk
    line: int
    lazy: bool


MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
    if "notebooks" not in path.parts
}


def trees() -> Iterator[tuple[str, ast.Module]]:
    for module, path in MODULES.items():
        yield module, ast.parse(path.read_text(encoding="utf-8"))


def imports() -> list[Import]:
    found = []
    for module, tree in trees():
        inside = {
            id(node)
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
            for node in ast.walk(function)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{module}, line {node.lineno}: imports are absolute here"
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            found += [Import(module, name, node.lineno, id(node) in inside) for name in names]
    return found


IMPORTS = imports()


def room(module: str) -> str:
    """algorithms.erm → algorithms."""
    return module.split(".")[0]


def floor(module: str) -> int:
    return next(number for number, rooms in FLOORS.items() if room(module) in rooms)


def inner(name: str) -> str | None:
    """invtutor.algorithms.vrex.penalty → algorithms.vrex; None for what is not ours."""
    if name.split(".")[0] != "invtutor":
        return None
    parts = name.split(".")[1:]
    while parts and ".".join(parts) not in MODULES:
        parts.pop()
    return ".".join(parts)


def test_every_module_has_a_floor() -> None:
    known = set().union(*FLOORS.values()) | {"__init__"}
    assert {room(module) for module in MODULES} <= known, "a new module: give it a floor, in the design and here"


def test_imports_point_down_only() -> None:
    wrong = []
    for module, name, line, _ in IMPORTS:
        target = inner(name)
        if target is None or module == "__init__":  # the front door names what is behind it
            continue
        here, there = room(module), room(target)
        if target == "":  # the front door itself
            fine = floor(module) == max(FLOORS) or name == "invtutor"  # whose door has no imports
        elif here == there or (here, there) in BESIDE:
            fine = True
        elif here in ONLY:
            fine = bool({target, there} & ONLY[here])
        else:
            fine = floor(target) < floor(module)
        if not fine:
            wrong.append(f"{module}, line {line}: {name}")
    assert not wrong


def test_imports_have_no_circle() -> None:
    below: dict[str, set[str]] = {module: set() for module in MODULES}
    for module, name, _, _ in IMPORTS:
        if (target := inner(name)) and target != module:
            below[module].add(target)
    while free := {module for module, targets in below.items() if not targets & below.keys()}:
        below = {module: targets for module, targets in below.items() if module not in free}
    assert not below, "these import each other"


def test_the_table_sees_a_wrong_import() -> None:
    # The two kinds of slips that the walk must not miss: a package's name by `from`, and a lazy import.
    assert inner("invtutor.figures") == "figures"
    assert inner("invtutor.algorithms.vrex.penalty") == "algorithms.vrex"
    assert inner("invtutor.algorithms.VREx") == "algorithms"
    assert inner("invtutor.__version__") == "" and inner("torch.nn") is None
    assert any(entry.lazy for entry in IMPORTS) and not all(entry.lazy for entry in IMPORTS)


def test_methods_do_not_know_each_other() -> None:
    methods = {m for m in MODULES if m.startswith("algorithms.")} - PLUMBING
    assert methods
    wrong = [
        f"{i.module}, line {i.line}: {i.name}" for i in IMPORTS if i.module in methods and inner(i.name) in methods
    ]
    assert not wrong


@pytest.mark.parametrize("package", ROOMS)
def test_a_package_is_known_to_its_rooms_alone(package: str) -> None:
    found = [entry for entry in IMPORTS if entry.name.split(".")[0] == package]
    wrong = [f"{e.module}, line {e.line}: {e.name}" for e in found if room(e.module) not in ROOMS[package]]
    assert not wrong
    if package in LAZY:
        assert not [f"{e.module}, line {e.line}: {e.name}" for e in found if not e.lazy]


def test_matplotlib_waits_until_typefaces_are_drawn() -> None:
    assert all(e.lazy for e in IMPORTS if e.module == "worlds.typefaces" and e.name.split(".")[0] == "matplotlib")


def fresh(program: str) -> list[str]:
    """The lines that a program prints in a new process."""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT.parent, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_front_door_needs_none_of_the_optional_packages() -> None:
    blocked = ["ipywidgets", "papermill", "nbclient", "nbformat", "dask", "torchvision", "IPython", "matplotlib"]
    program = f"""
import sys
for name in {blocked}:
    sys.modules[name] = None
import invtutor
for name in invtutor.__all__:
    getattr(invtutor, name)
print(*(name for name in sys.modules if name.startswith("invtutor.")))
"""
    loaded = [name.removeprefix("invtutor.") for name in fresh(program)]
    assert "runs.recipe" in loaded and not [name for name in loaded if floor(name) > 3]


def test_the_front_door_opens_without_waiting_for_torch() -> None:
    assert fresh("import sys, invtutor; print(invtutor.__version__, 'torch' in sys.modules)")[1] == "False"


def test_the_front_door_knows_what_it_has() -> None:
    assert set(invtutor.__all__) <= set(dir(invtutor))
    assert "fit" in invtutor.__all__ and invtutor.colored_mnist.__module__ == "invtutor.worlds.colored_mnist"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        invtutor.nothing  # noqa: B018


def test_no_pyplot() -> None:
    # Its current figure is global: two callbacks at once would draw into each other's picture.
    wrong = [f"{e.module}, line {e.line}" for e in IMPORTS if "pyplot" in e.name.split(".") or "pylab" in e.name]
    wrong += [
        f"{module}, line {node.lineno}"
        for module, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "pyplot"
    ]
    assert not wrong


def test_no_pickle() -> None:
    # A pickle runs code when it is read.
    picklers = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    readers = {"torch.load", "torch.save", "torch.jit.load", "torch.package"}
    wrong = [
        f"{e.module}, line {e.line}: {e.name}"
        for e in IMPORTS
        if e.name.split(".")[0] in picklers or any(e.name.startswith(reader) for reader in readers)
    ]
    for module, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in readers:
                wrong.append(f"{module}, line {node.lineno}: {ast.unparse(node)}")
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("np.load", "numpy.load"):
                options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                if options.get("allow_pickle") != "False":
                    wrong.append(f"{module}, line {node.lineno}: {ast.unparse(node)}")
    assert not wrong


def test_no_notebook_bar() -> None:
    # tqdm's notebook bar is a widget, which a page without a kernel cannot show.
    assert not [f"{e.module}, line {e.line}" for e in IMPORTS if e.name.startswith(("tqdm.notebook", "tqdm.auto"))]
