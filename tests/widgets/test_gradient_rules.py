"""The panels of lesson 06 and their drawings: a value is set, and the picture's bytes and the text must follow."""

import re
from types import SimpleNamespace
from typing import Any

import matplotlib
import numpy as np
import pytest
import torch

from invtutor import figures
from invtutor.exact.consistency import two_bowls
from invtutor.runs.history import History
from invtutor.widgets import gradient_rules_panel, threshold_panel


def outcome(threshold: float, seed: int = 0) -> Any:
    """A run whose accuracies grow with the steps, the test's with the threshold too."""
    records = [
        {"step": step, "train": 0.5 + step / 200, "test": 0.5 + threshold * step / 250 + seed / 100}
        for step in (0, 50, 100)
    ]
    return SimpleNamespace(history=History(records))


def outcomes(seeds: int = 1) -> dict[float, list[Any]]:
    return {threshold: [outcome(threshold, seed) for seed in range(seeds)] for threshold in (0.0, 0.5, 1.0)}


@pytest.mark.parametrize(
    ("make", "name", "values"),
    [
        (gradient_rules_panel, "curvature", (2.0, 9.0)),
        (gradient_rules_panel, "angle", (-20.0, 30.0)),
        (lambda: threshold_panel(outcomes(), 16), "threshold", (0.0, 0.5)),
    ],
    ids=["curvature", "angle", "threshold"],
)
def test_picture_and_text_follow_the_value_and_come_back(make: Any, name: str, values: tuple[float, float]) -> None:
    panel = make()
    seen = []
    for value in (*values, values[0]):
        panel.controls[name].value = value  # as the browser does
        assert panel.error is None
        assert bytes(panel.image.value).startswith(b"\x89PNG")
        seen.append((panel.image.value, panel.text))
    assert seen[0] == seen[2]
    assert seen[0][0] != seen[1][0] and seen[0][1] != seen[1][1]


def test_the_bowls_panel_says_where_each_rule_ends() -> None:
    panel = gradient_rules_panel(curvature=4.0)
    for words in ("arithmetic mean at (1.00, 0.60)", "AND-mask at (1.00, 0.40)", "geometric mean at (1.00, 0.40)"):
        assert words in panel.text
    assert "losses A 0.32, B 1.28" in panel.text, "½ · 4 · .4² and ½ · 1.6²"
    assert "the other 4.0 ε" in panel.text
    panel.set(curvature=9.0)
    assert "arithmetic mean at (1.00, 0.80)" in panel.text and "AND-mask at (1.00, 0.40)" in panel.text
    panel.set(angle=30.0)
    assert "arithmetic mean at (1.00" not in panel.text and "geometric mean at (1.00, 0.40)" in panel.text


def ends(curvature: float, angle: float) -> dict[str, np.ndarray]:
    """Where the rules end, worked out anew."""
    turn = np.exp(1j * np.radians(angle))
    rotation = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    hessians = np.diag([0.3, curvature]), rotation @ np.diag([0.3, 1.0]) @ rotation.T
    rules = {
        "arithmetic mean": lambda a, b: (a + b) / 2,
        "AND-mask": lambda a, b: np.where(a * b > 0, (a + b) / 2, 0.0),
        "geometric mean": lambda a, b: np.where(a * b > 0, np.sign(a) * np.sqrt(np.abs(a * b)), 0.0),
    }
    found = {}
    for name, rule in rules.items():
        theta = np.array([-1.0, 0.4])
        for _ in range(250):
            theta = theta - 0.08 * rule(hessians[0] @ (theta - [1, 1]), hessians[1] @ (theta - [1, -1]))
        losses = [(theta - [1, end]) @ h @ (theta - [1, end]) / 2 for h, end in zip(hessians, (1, -1), strict=True)]
        found[name] = np.array([*theta, *losses])
    return found


@pytest.mark.parametrize("curvature", [1.0, 8.0, 15.0])
@pytest.mark.parametrize("angle", [-45.0, -25.0, -5.0, 0.0, 25.0, 45.0])
def test_the_text_is_true_wherever_the_sliders_stand(curvature: float, angle: float) -> None:
    panel = gradient_rules_panel(curvature=curvature, angle=angle)
    assert f"Curvature {curvature:g}, angle {angle:g}°" in panel.text
    number = r"(-?\d+\.\d+)"
    for name, end in ends(curvature, angle).items():
        said = re.search(rf"{name} at \({number}, {number}\), losses A {number}, B {number}", panel.text)
        assert said and [float(n) for n in said.groups()] == pytest.approx(end, abs=0.0051)
    there = np.radians(np.arange(0, 180, 0.05))
    moves = torch.tensor(np.stack([np.cos(there), np.sin(there)], 1)) + torch.tensor([1.0, 0.0])
    costs = [bowl.loss(moves - torch.tensor([1.0, 0.0]) + bowl.center) for bowl in two_bowls(curvature, angle)]
    rate = max((costs[0] / costs[1]).max(), (costs[1] / costs[0]).max()).item()
    assert f"could cost the other {rate:.1f} ε" in panel.text


def test_what_a_slider_has_not_is_refused() -> None:
    panel = gradient_rules_panel()
    for wrong in ({"angle": 90.0}, {"curvature": "steep"}, {"angle": float("nan")}, {"curvature": 2.0, "angle": True}):
        with pytest.raises(ValueError, match=r"Parameter `\w+` should be a finite number in \[.+\]\. Found"):
            panel.set(**wrong)
    with pytest.raises(ValueError, match=r"Parameter `threshold` should be one of 0\.0, 0\.5, 1\.0\. Found 0\.7"):
        threshold_panel(outcomes(), 16).set(threshold=0.7)
    assert panel.values == {"curvature": 4.0, "angle": 0.0}


def test_bowls_turn_both_ways_and_one_way_the_and_stops_early() -> None:
    panel = gradient_rules_panel(curvature=8.0, angle=-25.0)
    for words in ("arithmetic mean at (0.32", "AND-mask at (0.12, 0.40)", "geometric mean at (0.12, 0.40)"):
        assert words in panel.text
    panel.set(angle=25.0)
    for words in ("arithmetic mean at (1.67", "AND-mask at (1.00, 0.40)", "geometric mean at (1.00, 0.40)"):
        assert words in panel.text


@pytest.mark.parametrize("curvature", [1.0, 15.0])
@pytest.mark.parametrize("angle", [-45.0, 45.0])
def test_paths_stay_in_the_picture_at_the_sliders_ends(curvature: float, angle: float) -> None:
    panel = gradient_rules_panel(curvature=curvature, angle=angle)
    (ax,) = panel.picture().axes
    for line in ax.lines:
        if line.get_gid() in ("path", "place"):
            x, y = np.asarray(line.get_xdata(), dtype=float), np.asarray(line.get_ydata(), dtype=float)
            assert (ax.get_xlim()[0] < x).all() and (x < ax.get_xlim()[1]).all()
            assert (ax.get_ylim()[0] < y).all() and (y < ax.get_ylim()[1]).all()


def test_the_threshold_panel_counts_signs_and_averages_seeds() -> None:
    panel = threshold_panel(outcomes(seeds=3), 16)
    assert panel.text.startswith("τ = 1: 16 of 16 signs must be alike.")
    assert "in training 100.0%, in the test 91.0% (3 seeds)" in panel.text
    panel.set(threshold=0.5)
    assert panel.text.startswith("τ = 0.5: 12 of 16") and "in the test 71.0%" in panel.text
    assert threshold_panel(outcomes(), 16, value=0.0).text.endswith("in the test 50.0% (1 seed).")


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"Parameter `value` should be one of 0, 0\.5, 1\. Found 0\.7"):
        threshold_panel(outcomes(), 16, value=0.7)
    for wrong in ({}, outcomes() | {0.2: []}):
        with pytest.raises(ValueError, match="Parameter `outcomes`"):
            threshold_panel(wrong, 16)
    with pytest.raises(ValueError, match="Parameter `columns`"):
        figures.along_threshold([0.0, 1.0], {"train": [1.0]})
    with pytest.raises(ValueError, match="Parameter `shares`"):
        figures.survivors([2, 4], {"mean": [1.0]})
    with pytest.raises(ValueError, match="Parameter `maps`"):
        figures.pixel_maps({"a": {"x": torch.zeros(2, 2)}, "b": {"y": torch.zeros(2, 2)}})


def test_nothing_jumps_and_controls_can_be_named() -> None:
    for panel, name, values in (
        (gradient_rules_panel(), "angle", (-45.0, 45.0)),
        (threshold_panel(outcomes(), 16), "threshold", (0.0, 1.0)),
    ):
        sizes = set()
        for value in values:
            panel.set(**{name: value})
            sizes.add(bytes(panel.image.value)[16:24])  # width and height in the PNG's header
        assert len(sizes) == 1
        assert all(c.description and c.tooltip and c.continuous_update for c in panel.controls.values())


# Drawings


def test_bowls_mark_the_end_of_each_path_and_their_start() -> None:
    ends = {"one": [1.0, 0.5], "two": [0.5, -1.0], "three": [0.52, -1.05]}
    paths = {name: torch.tensor([[0.0, 0.0], end]) for name, end in ends.items()}
    ax = figures.bowls({"A": two_bowls(3.0)[0]}, paths)
    marks = [tuple(np.ravel(line.get_data())) for line in ax.lines if line.get_gid() == "place"]
    assert np.allclose(marks, [(1.0, 1.0), *ends.values(), (0.0, 0.0)])
    named = {text.get_text(): text.xy for text in ax.texts}
    assert named == {"A": (1.0, 1.0), "one": (1.0, 0.5), "two and three": (0.5, -1.0), "start": (0.0, 0.0)}


def test_paths_over_two_weights_are_marked_where_they_end() -> None:
    ax = figures.weight_paths(lambda w: w.square().sum(-1), {"mean": torch.tensor([[0.0, 0.0], [1.0, 0.5]])})
    marks = [tuple(np.ravel(line.get_data())) for line in ax.lines if line.get_gid() == "place"]
    assert marks == [(1.0, 0.5)] and ax.get_legend_handles_labels()[1] == ["mean"]


def test_the_points_of_two_classes_differ_by_color_and_mark() -> None:
    points = torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    ax = figures.two_classes(points, torch.tensor([0, 1, 0]))
    zeros, ones = ax.collections
    assert zeros.get_offsets().tolist() == [[0.0, 1.0], [4.0, 5.0]] and ones.get_offsets().tolist() == [[2.0, 3.0]]
    assert not np.array_equal(zeros.get_edgecolor(), ones.get_edgecolor())


def test_survivors_leave_gaps_for_zeros() -> None:
    ax = figures.survivors([2, 4, 8], {"mask": [0.5, 0.1, 1e-3]}, measured={"mask": [0.5, 0.12, 0.0]})
    line, dots = ax.lines
    assert line.get_ydata().tolist() == [0.5, 0.1, 1e-3] and dots.get_ydata().tolist() == [0.5, 0.12]
    assert ax.get_yscale() == "log" and [text.get_text() for text in ax.texts] == ["mask"]


def test_pixel_maps_share_one_scale_and_are_named() -> None:
    maps = {row: {column: torch.rand(14, 14) for column in "xyz"} for row in ("first", "second")}
    figure = figures.pixel_maps(maps, low=0.2, high=0.9, label="share")
    *grid, bar = figure.axes
    assert [ax.get_title() for ax in grid] == ["x", "y", "z", "", "", ""]
    assert [ax.get_ylabel() for ax in grid] == ["first", "", "", "second", "", ""] and bar.get_ylabel() == "share"
    assert {ax.images[0].get_clim() for ax in grid} == {(0.2, 0.9)}
    assert np.allclose(grid[4].images[0].get_array(), maps["second"]["y"])


def test_no_figure_stays_open() -> None:
    gradient_rules_panel()
    assert not matplotlib._pylab_helpers.Gcf.get_all_fig_managers()  # type: ignore[attr-defined]
