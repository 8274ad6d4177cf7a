"""Lesson 07's panels: set a control, see picture and numbers change."""

import pytest

from invtutor.digits import Digits
from invtutor.recipes import Recipe
from invtutor.reweighting import Trace, trace
from invtutor.widgets import budget_panel, stages_panel
from invtutor.widgets.budget import STAGES


@pytest.fixture(scope="module")
def traces(digits: Digits) -> dict[float, Trace]:
    recipe = Recipe.profile("smoke", "maple", device="cpu", samples=200, width=8, steps=2)
    return {k: trace(recipe.but(budget=k), digits=digits) for k in (0.3, 0.6)}


def test_every_stage_has_its_picture(traces: dict[float, Trace]) -> None:
    panel = stages_panel(traces[0.6])
    seen = set()
    for iteration in (1, 2):
        for stage in STAGES:
            panel.set(iteration=iteration, stage=stage)
            assert panel.text.startswith(f"Iteration {iteration}, {stage[2:]}.")
            seen.add(panel.image.value)
    assert len(seen) == 10


def test_the_budget_moves_histogram_and_numbers(traces: dict[float, Trace]) -> None:
    panel = budget_panel(traces)
    assert "K = 30%" in panel.text
    before = panel.image.value
    panel.set(budget=0.6)
    assert "K = 60%" in panel.text and panel.image.value != before
    assert f"{traces[0.6].accuracy(0.9):.1%}" in panel.text and f"{traces[0.6].recall():.1%}" in panel.text


def test_no_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="Parameter `traces`"):
        budget_panel({})
