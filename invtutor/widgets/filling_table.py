"""A table in a notebook that fills while runs are made."""

from collections.abc import Callable

from IPython.display import display

from invtutor.tables.reading import settings
from invtutor.tables.store import Results

__all__ = ["filling"]


def filling() -> Callable[[Results], None]:
    """What `tables.sweep(…, watch=filling())` calls as runs end: below the cell a line for each setting (`settings`),
    with as many seeds as are there."""
    shown = display(settings([]), display_id=True)

    def update(results: Results) -> None:
        shown.update(settings(results))

    return update
