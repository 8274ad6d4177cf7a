"""The papers' tables: what fills them (`plan`, `executors`), where that is kept (`store`), what it says (`reading`)."""

from importlib import import_module
from typing import Any

# Where each name lives. They are fetched when asked for: who wants a `sheet` alone need not wait for torch.
_HOME = {"TABLES": "plan", "MEASURED": "store", "Store": "store"}
_HOME |= dict.fromkeys(("beside", "candidates", "collect", "color_balanced", "layout", "theirs", "values"), "reading")

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
