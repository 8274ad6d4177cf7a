"""Lesson 07's panels: set a control, see picture and numbers change."""

import re

import pytest
import torch

from invtutor.figures.weights import two_groups
from invtutor.runs.recipe import Recipe
from invtutor.runs.reweighting import Trace, trace
from invtutor.widgets import budget_panel, stages_panel, temperature_panel
from invtutor.widgets.sample_weights import STAGES
from invtutor.worlds.digits import Digits


@pytest.fixture(scope="module")
def traces(digits: Digits) -> dict[float, Trace]:
    recipe = Recipe.profile("smoke", "maple", device="cpu", samples=200, width=8, steps=2)
    return {k: trace(recipe.but(budget=k), data=digits) for k in (0.3, 0.6)}


def test_every_stage_has_its_picture(traces: dict[float, Trace]) -> None:
    panel = stages_panel(traces[0.6])
    seen = set()
    for iteration in (1, 2):
        for stage in STAGES:
            panel.set(iteration=iteration, stage=stage)
            assert panel.text.startswith(f"Iteration {iteration}, {stage[2:]}.")
            seen.add(panel.image.value)
    assert len(seen) == 10


def test_the_text_is_true_at_every_stage(traces: dict[float, Trace]) -> None:
    found = traces[0.6]
    panel, groups = stages_panel(found), (found.conflicting, ~found.conflicting)
    for number, turn in enumerate(found.turns):
        kept = [float((turn.mask[group] > 0).double().mean()) for group in groups]
        pull = [float(-turn.gradient[group].double().mean()) for group in groups]
        mean_risk, deviation = turn.metrics["risk"], turn.metrics["penalty"] ** 0.5
        shown = {STAGES[0]: turn.chances, STAGES[2]: -turn.gradient, STAGES[3]: turn.moved}
        if number + 1 < len(found.turns):
            shown[STAGES[4]] = found.turns[number + 1].chances  # the next turn begins with the projection
        for stage in STAGES:
            panel.set(iteration=number + 1, stage=stage)
            assert f"Kept: {kept[0]:.1%} of the conflicting, {kept[1]:.1%} of the aligned" in panel.text
            assert f"mean risk {mean_risk:.3f}, Φ {deviation**2:.2e}" in panel.text
            assert f"conflicting {pull[0]:+.1e}, aligned {pull[1]:+.1e}" in panel.text
            (ax,) = panel.picture().axes
            assert ax.get_title() == f"iteration {number + 1}, {stage[2:]}"
            if stage == STAGES[1]:
                widths = [bar.get_width() for bar in ax.patches]
                share = turn.shares[found.conflicting].sum() / turn.shares.sum()
                assert widths == pytest.approx([mean_risk, deviation, float(share)])
            elif stage in shown:
                means = [float(shown[stage][group].mean()) for group in groups]
                assert f"on average {means[0]:.2g} for conflicting samples, {means[1]:.2g} for aligned" in panel.text


def test_bars_stand_at_their_values() -> None:
    values = torch.tensor([0.0, 0.0, 0.3, 1.0, 0.26, 0.34, 1.7])
    ax = two_groups(values, torch.tensor([True, True, True, True, False, False, False]), xlabel="s", span=(0.0, 1.0))
    bars = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in ax.patches]
    conflicting, aligned = bars[:11], bars[11:]
    for i, (one, other) in enumerate(zip(conflicting, aligned, strict=True)):
        assert (one[0] + other[0]) / 2 == pytest.approx(i / 10), "the pair is centered on its value"
    assert [height for _, height in conflicting] == pytest.approx([0.5, 0, 0, 0.25, 0, 0, 0, 0, 0, 0, 0.25])
    assert [height for _, height in aligned] == pytest.approx([0, 0, 0, 2 / 3, 0, 0, 0, 0, 0, 0, 1 / 3])


@pytest.mark.parametrize(("high", "low"), [(1.0, 0.9), (0.3, 0.3), (0.9, 1.0)])
def test_the_groups_names_do_not_run_into_each_other(high: float, low: float) -> None:
    """Their tallest bars stand side by side, the conflicting ones on the right or on the left."""
    conflicting = torch.arange(100) < 20
    ax = two_groups(torch.where(conflicting, high, low), conflicting, xlabel="s", span=(0.0, 1.0))
    first, second = (text.get_window_extent() for text in ax.texts)
    assert not first.overlaps(second)
    assert max(first.y1, second.y1) < ax.figure.bbox.y1, "nothing is cut off"


def test_the_budget_moves_histogram_and_numbers(traces: dict[float, Trace]) -> None:
    panel = budget_panel(traces)
    assert "K = 30%" in panel.text
    before = panel.image.value
    panel.set(budget=0.6)
    assert "K = 60%" in panel.text and panel.image.value != before
    for k, found in traces.items():
        panel.set(budget=k)
        shares, mask = found.turns[-1].shares, found.turns[-1].mask
        precision = float(shares[found.conflicting].sum() / shares.sum())
        recall = float((mask[found.conflicting] > 0).double().mean())
        ends = found.corners.tolist()  # a straight line lies between them
        at = [(1 - p) * ends[0] + p * ends[1] for p in (0.1, 0.9)]
        assert f"K = {k:.0%} of the samples. Accuracy at p = 0.1: {at[0]:.1%}, at p = 0.9: {at[1]:.1%}." in panel.text
        assert f"{precision:.1%} are conflicting (precision); {recall:.1%} of the conflicting are kept" in panel.text


def test_no_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="Parameter `traces`"):
        budget_panel({})


def test_the_temperature_moves_the_slope_and_not_the_chance() -> None:
    panel, said = temperature_panel(), {}
    for temperature in (2.0, 1.0, 0.1):
        panel.set(temperature=temperature)
        kept, slope, share = re.findall(
            r"kept ([\d.]+)%, mean slope ([\d.]+), a slope above 0.1 in ([\d.]+)%", panel.text
        )[0]
        said[temperature] = float(kept), float(slope), float(share)
    assert len({kept for kept, *_ in said.values()}) == 1 and said[1.0][0] == pytest.approx(30, abs=3)
    assert said[0.1][1] == pytest.approx(1, abs=0.15) and said[1.0][1] < 0.85
    assert said[1.0][2] > 85 and said[0.1][2] < 35
    assert temperature_panel(lambda s, *_: (s >= 0.5) + s - s.detach()).text.count("mean slope 1.00") == 1
