"""What the course finds on this machine, down to the digits; it changes nothing."""

import functools
import importlib
import importlib.metadata
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from invtutor.course import lessons

__all__ = ["report", "version"]


def version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _imported(package: str) -> str:
    importlib.import_module(package)
    return version(package)


def _torchvision() -> str:
    # Its import makes a folder for torch's compiler unless there is one, and here nothing is to be made.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", tempfile.gettempdir())
    return _imported("torchvision")


def _devices() -> str:
    import torch

    cards = [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
    apple = ["mps"] if torch.backends.mps.is_available() else []
    return ", ".join([f"cpu, {torch.get_num_threads()} threads", *cards, *apple])


def _memory() -> str:
    import psutil  # type: ignore[import-untyped]

    memory = psutil.virtual_memory()
    total, free = memory.total, memory.available
    limit = Path("/sys/fs/cgroup/memory.max")  # a container's own limit, as on Binder
    if limit.exists() and (text := limit.read_text().strip()).isdecimal():
        total = min(total, int(text))
        free = min(free, total - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    return f"{total / 2**30:.1f} GiB, {free / 2**30:.1f} GiB available"


def _digits() -> str:
    from invtutor.worlds import mnist

    wrong = mnist.look()
    if wrong:
        return f"a rendered stand-in, unless MNIST can be downloaded: {wrong}"
    return f"real MNIST in {mnist.data_folder()}"


def _brought(world: str) -> str:
    """What a world reads that somebody has to bring; or why it cannot, and where that is to be had."""
    from invtutor.worlds import WORLDS
    from invtutor.worlds.missing import DataError

    try:
        return str(WORLDS[world]().load())
    except DataError as error:
        return str(error).partition(" cannot be had: ")[2]


_PACKAGES = ("jupyterlab", "ipykernel", "ipywidgets", "nbclient", "papermill")
_ESSENTIAL: Mapping[str, Callable[[], str]] = {
    "Python": lambda: f"{platform.python_version()} ({sys.executable})",
    "torch": functools.partial(_imported, "torch"),
    "device": _devices,
    "digits": _digits,
    "lessons": lambda: f"{len(lessons.lessons())} in {lessons.folder()}",
    **{package: functools.partial(_imported, package) for package in _PACKAGES},
}
_OPTIONAL: Mapping[str, Callable[[], str]] = {
    "torchvision": _torchvision,
    "memory": _memory,
    "CIFAR-10": lambda: _brought("random_labels_cifar10"),
    "Waterbirds": lambda: _brought("waterbirds"),
    "CelebA": lambda: _brought("celeba"),
    "CoinRun": lambda: _brought("coinrun"),
}


def report() -> int:
    """Print a line for each thing; 1 where something essential fails, else 0."""
    status = 0
    for name, check in {**_ESSENTIAL, **_OPTIONAL}.items():
        try:
            found = check()
        except Exception as error:  # a broken installation raises anything, and that is what we are here to report
            found = f"FAILS: {type(error).__name__}: {' '.join(str(error).split())}"
            status |= name in _ESSENTIAL
        print(f"{name:<12} {found}")
    return status
