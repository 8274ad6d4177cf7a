"""The papers' tables (`rows`), what fills them (`plan`, `executors`), where that is kept (`store`), what it says
(`reading`)."""

from importlib import import_module
from typing import Any

# Where each name lives. They are fetched when asked for: who wants a `sheet` alone need not wait for torch.
_HOMES = {
    "executors": ("reproduce", "search", "sweep"),
    "reading": (
        "beside",
        "candidates",
        "collect",
        "color_balanced",
        "layout",
        "means",
        "picked",
        "settings",
        "theirs",
        "values",
    ),
    "rows": ("TABLES",),
    "store": ("MEASURED", "Store"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
