"""Tables as pictures: every number stands where it should."""

import matplotlib._pylab_helpers as windows
import pytest
from matplotlib.axes import Axes

from invtutor import figures

MEASURED = {"ERM": [0.10, 0.12], "IRMv1": [0.66, 0.70, 0.68], "MAPLE": []}


def bars(ax: Axes) -> dict[str, list[tuple[float, float]]]:
    """Where error bars have their marks, by label."""
    found: dict[str, list[tuple[float, float]]] = {}
    for container in ax.containers:
        (x,), (y,) = container.lines[0].get_data()  # type: ignore[attr-defined]
        found.setdefault(container.get_label(), []).append((round(x, 3), round(y, 3)))
    return found


def test_beside() -> None:
    ax = figures.beside(MEASURED, {"IRMv1": (0.669, 0.025), "MAPLE": (0.7, None)}, ceiling=0.75)
    assert bars(ax) == {"measured": [(11.0, 0), (68.0, 1)], "published": [(66.9, 1.28), (70.0, 2.28)]}
    assert [label.get_text() for label in ax.get_yticklabels()] == ["ERM", "IRMv1", "MAPLE"]
    legend = ax.get_legend()
    names = ["best invariant 75 %", "measured", "published"]
    assert legend is not None and [text.get_text() for text in legend.get_texts()] == names
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first row is on top
    assert ax.get_xlim() == (0, 100)
    assert not windows.Gcf.figs


def test_beside_without_published_numbers_or_names() -> None:
    left, right = figures.new_figure().subplots(1, 2)
    figures.beside(MEASURED, ax=left)
    assert figures.beside(MEASURED, names=False, ax=right) is right
    assert right.get_legend() is None
    assert {label.get_text() for label in right.get_yticklabels()} == {""}


def test_differences() -> None:
    ax = figures.differences({"V-REx less IRMv1": [0.01, -0.03, 0.02], "one seed": [0.05]})
    (first, second) = (spot for spots in bars(ax).values() for spot in spots)
    assert first == (0.0, 0) and second == (5.0, 1)
    spans = [container.lines[2] for container in ax.containers]  # type: ignore[attr-defined]
    (low, _), (high, _) = spans[0][0].get_segments()[0]
    assert (low, high) == pytest.approx((-6.572, 6.572), abs=0.01), "4.303 · 2.646 / √3"
    assert spans[1] == ()


def test_no_rows() -> None:
    for draw in (figures.beside, figures.differences):
        with pytest.raises(ValueError, match="at least one row"):
            draw({})
