"""invtutor: a course on invariant learning, and the small library that its lessons show."""

import os
import sys
from contextlib import suppress
from importlib import import_module

# A waiting OpenMP thread spins by default and starves its neighbors when the cores are busy (a classroom server,
# Binder, two kernels at once): a small network then trains up to a hundred times slower. Torch reads this when it
# loads; a user's own value wins. Where torch was there first, `notebook.begin` says what helps.
SPINNING = "torch" in sys.modules and not {"OMP_WAIT_POLICY", "OMP_NUM_THREADS"} & os.environ.keys()
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# For the kernels that we start: glibc then gives tensors of some MB back to the system when they die, where it would
# keep and fragment them. It slows no run and makes the peak of a lesson some 80 MB smaller.
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", "4000000")

# Kernels run in their lessons' folders: a relative path would mean another place there.
if folder := os.environ.get("INVTUTOR_DATA"):
    with suppress(OSError):  # the folder that one is in may be gone
        os.environ["INVTUTOR_DATA"] = os.path.abspath(os.path.expanduser(folder))
del folder

__version__ = "0.1.0"

# Where each name lives. They are fetched when asked for: `invtutor --help` need not wait for torch, and
# `invtutor doctor` can report a torch that does not load.
_HOMES = {
    "algorithms": ("ERM", "MAPLE", "Algorithm", "AndMask", "GroupDRO", "IRMv1", "MMREx", "MetaIRM", "SandMask", "VREx"),
    "worlds.digits": ("Digits", "load_digits"),
    "worlds.colored_mnist": ("colored_mnist",),
    "worlds.environment": ("Environment",),
    "worlds.world": ("World",),
    "runs.history": ("History", "Spread", "spread"),
    "networks.perceptron": ("MLP",),
    "runs.recipe": ("Recipe",),
    "runs.run": ("Run", "assemble", "repeat", "run", "summarize"),
    "worlds.risks": ("accuracy", "accuracy_curve", "risk"),
    "runs.loop": ("fit",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'invtutor' has no attribute {name!r}")
    return getattr(import_module(f"invtutor.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
