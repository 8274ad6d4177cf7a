"""MAPLE's stages in a page without a kernel: its steps run in no browser, so a short search runs when it is made."""

from typing import Any

from invtutor.course.book.live import called
from invtutor.runs.recipe import Recipe
from invtutor.runs.reweighting import trace

__all__ = ["SAMPLES", "STEPS", "fill_stages"]

SAMPLES, STEPS = 2500, 4  # of an environment, and outer iterations: a few seconds


def fill_stages(notebook: Any) -> None:
    """Give each cell that shows `stages_panel`, and was stored without, the panel's frames of such a search."""
    from nbformat.v4 import new_output

    from invtutor.widgets import stages_panel
    from invtutor.widgets.panel import MIME, frames

    cells = [
        cell for cell in notebook.cells if cell.cell_type == "code" and called(cell.source, "stages_panel") is not None
    ]
    cells = [cell for cell in cells if not any(MIME in output.get("data", {}) for output in cell.outputs)]
    if not cells:
        return
    recipe = Recipe.profile("quick", "maple", samples=SAMPLES, steps=STEPS)
    data = recipe.setting.load()
    told = f"Computed when this page was made: {STEPS} outer iterations of MAPLE on 2 × {SAMPLES:,} {data}."
    shown = frames(stages_panel(trace(recipe, data=data, progress=False)))
    for cell in cells:
        for kind, content in (("text/html", f"<p>{told}</p>"), (MIME, shown)):
            cell.outputs.append(new_output("display_data", {kind: content, "text/plain": told}))
