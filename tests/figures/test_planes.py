"""Planes and phase diagrams: what is counted on them."""

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes

from invtutor import figures


def bowl(points: torch.Tensor) -> torch.Tensor:
    return points.square().sum(-1)


def a_plane() -> Axes:
    return figures.plane(bowl, x=(-1, 2), y=(-2, 1), levels=[0.25, 1.0], xlabel="a", ylabel="b")


def test_contours_lie_where_the_function_has_their_height() -> None:
    ax = a_plane()
    assert ax.get_xlim() == (-1, 2) and ax.get_ylim() == (-2, 1) and ax.get_aspect() == 1
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("a", "b")
    (contours,) = (found for found in ax.collections if hasattr(found, "levels"))
    for level, line in zip(contours.levels, contours.get_paths(), strict=True):
        assert np.allclose((line.vertices**2).sum(1), level, atol=0.01)


def test_paths_places_and_arrows_stand_where_they_are_put() -> None:
    ax = a_plane()
    figures.path(ax, torch.tensor([[0.0, 0.0], [1.0, 0.5]]))
    figures.place(ax, torch.tensor([0.5, -1.0]), "here")
    figures.arrow(ax, (0, 0), torch.tensor([1.0, -1.0]))
    lines = {line.get_gid(): line.get_xydata().tolist() for line in ax.lines}
    assert lines["path"] == [[0.0, 0.0], [1.0, 0.5]] and lines["place"] == [[0.5, -1.0]]
    named = [text for text in ax.texts if text.get_text() == "here"]
    assert [text.xy for text in named] == [(0.5, -1.0)]
    assert [(text.xy, text.xyann) for text in ax.texts if getattr(text, "arrow_patch", None)] == [((1, -1), (0, 0))]
    figures.arrow(ax, (0, 0), (1, 1), dashed=True)
    shafts = [text.arrow_patch for text in ax.texts if getattr(text, "arrow_patch", None)][1:]
    assert [shaft.get_linestyle() for shaft in shafts] == ["--", "-"]


def test_regions_have_a_tint_a_name_and_words() -> None:
    outcomes = [[0, 1, 1], [2, 1, 0]]
    words = [["a", "b", "c"], ["d", "e", "f"]]
    ax = figures.regions(outcomes, [0.1, 1.0, 10.0], [1, 2], ["red", "green", "blue", "unseen"], words=words)
    (cells,) = ax.collections
    assert np.array_equal(cells.get_array(), outcomes)
    assert [text.get_text() for text in ax.texts] == list("abcdef")
    assert [text.get_position() for text in ax.texts][:4] == [(0, 0), (1, 0), (2, 0), (0, 1)]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["red", "green", "blue"]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0.1", "1", "10"]


def test_shades_are_white_at_zero_and_explained_by_a_bar() -> None:
    values = torch.tensor([[-1.0, 0.0, 0.5], [2.0, 1.0, -0.5]])
    ax = figures.shades(values, [0.1, 1.0, 10.0], [1, 2], reach=1.0, label="weight", xlabel="λ")
    (cells,) = ax.collections
    assert np.array_equal(cells.get_array(), values) and cells.get_clim() == (-1, 1)
    below, zero, above = (cells.to_rgba(value)[:3] for value in (-1.0, 0.0, 1.0))
    assert np.allclose(zero, 1, atol=0.01) and below[2] > below[0] and above[0] > above[2]  # blue, white, orange
    (bar,) = (other for other in ax.figure.axes if other is not ax)
    assert bar.get_ylabel() == "weight"
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0.1", "1", "10"] and ax.get_xlabel() == "λ"


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="Parameter `x` should be a range"):
        figures.plane(bowl, x=(1, 1), y=(0, 1))
    for outcomes, names, wrong in (
        ([[0, 1]], ["a", "b"], "outcomes"),
        ([[0], [2]], ["a", "b"], "outcomes"),
        ([[0], [0]], list("abcdef"), "names"),
    ):
        with pytest.raises(ValueError, match=f"Parameter `{wrong}`"):
            figures.regions(outcomes, [1.0], [1.0, 2.0], names)
    for values, reach, wrong in (([[0.0]], 1.0, "values"), ([[0.0], [1.0]], 0.0, "reach")):
        with pytest.raises(ValueError, match=f"Parameter `{wrong}`"):
            figures.shades(values, [1.0], [1.0, 2.0], reach=reach, label="")


def test_borders_part_what_differs_and_name_each_outcome_inside_it() -> None:
    outcomes = torch.zeros(6, 8, dtype=torch.long)
    outcomes[:, 5:] = 1
    ax = figures.shades(outcomes, range(8), range(6), reach=1.0, label="")
    figures.borders(ax, outcomes, {0: "left", 1: "right", 2: "nowhere"})
    borders = [line for line in ax.lines if line.get_gid() == "border"]
    assert len(borders) == 6 and {x for line in borders for x in line.get_xdata()} == {4.5}
    named = {text.get_text(): text.xy for text in ax.texts}
    assert named.keys() == {"left", "right"}
    assert outcomes[tuple(reversed(named["left"]))] == 0 and outcomes[tuple(reversed(named["right"]))] == 1
    assert 0 < named["left"][0] < 4 and 0 < named["left"][1] < 5
