"""Pictures are looked at by people; here we hold what can be counted: data, labels, marks, limits, bytes."""

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.legend import Legend

from invtutor import figures
from invtutor.runs.history import History
from invtutor.worlds.colored_mnist import Canvas
from invtutor.worlds.environment import Environment

RATES = [0.0, 0.25, 0.5, 0.75, 1.0]
CURVES = {"shape": [0.75] * 5, "color": [1.0, 0.75, 0.5, 0.25, 0.0]}
SIDE = 14


def canvas(n: int = 40, classes: int = 2, patch: bool = False) -> Canvas:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, 28, 28), generator=generator).to(torch.uint8)
    return Canvas.draw(
        images,
        torch.arange(n) % 10,
        torch.arange(n),
        label_noise=0.25,
        classes=classes,
        patch=patch,
        generator=generator,
    )


def history(scale: float = 1.0, steps: int = 5) -> History:
    return History([{"step": 10 * i, "risk": scale / (i + 1), "test p=0.9": 0.1 * i} for i in range(steps)])


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def curves(ax: Axes) -> dict[str, np.ndarray]:
    return {str(line.get_label()): np.asarray(line.get_ydata()) for line in ax.lines if line.get_gid() == "curve"}


def cursor_values(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts if text.get_gid() == "cursor"]


def ink(environment: Environment, ax: Axes, i: int) -> np.ndarray:
    """The picture of digit i, as it stands in the Axes."""
    left, top = (round(corner + 0.6) for corner in ax.patches[i].get_xy())
    return np.asarray(ax.images[0].get_array())[top : top + SIDE, left : left + SIDE]


# Digits


@pytest.mark.parametrize("columns", [4, 8, 10])
def test_digits_show_their_color_and_say_it(columns: int) -> None:
    environment = canvas().paint(0.5)
    ax = figures.digits(environment, columns=columns, rows=2)
    assert len(ax.texts) == len(ax.patches) == 2 * columns
    for i, (text, frame) in enumerate(zip(ax.texts, ax.patches, strict=True)):
        label, color = int(environment.labels[i]), int(environment["color"][i])
        assert text.get_text().split() == [
            "label",
            str(label),
            *(["·"] if columns <= 8 else []),
            ["blue", "orange"][color],
        ]
        assert frame.get_visible() == (label != color)
        red, _, blue = ink(environment, ax, i).mean((0, 1))
        assert (blue > red) == (color == 0)


def test_digits_without_color_are_white_and_no_color_is_named() -> None:
    environment = canvas().paint(0.5).gray()
    ax = figures.digits(environment, columns=5)
    assert texts(ax) == [f"label {label}" for label in environment.labels[:10].tolist()]
    assert not any(frame.get_visible() for frame in ax.patches)
    picture = ink(environment, ax, 0)
    assert np.allclose(picture, picture[..., :1])


def test_digits_of_ten_classes_and_patches_and_of_fewer_samples_than_places() -> None:
    ten = canvas(classes=10).paint(0.0)
    ax = figures.digits(ten, columns=8)
    assert {text.split()[-1] for text in texts(ax)} == {list(figures.INKS)[i] for i in ten.labels[:16].tolist()}
    environment = canvas(3, patch=True).paint(0.0)
    ax = figures.digits(environment)
    assert len(ax.texts) == 3
    corner = slice(0, 3) if environment.attributes.get("patch", [1])[0] == 0 else slice(-3, None)
    assert np.ptp(ink(environment, ax, 0)[:3, corner], axis=(0, 1)).max() == 0


def test_recolor_equals_drawing_anew() -> None:
    ax = figures.digits(canvas().paint(0.0), columns=8)
    figures.recolor(ax, canvas().paint(0.7))
    again = figures.digits(canvas().paint(0.7), columns=8)
    assert figures.png(ax.get_figure(root=True)) == figures.png(again.get_figure(root=True))


# Lines


def test_accuracy_curves_are_in_percent_with_all_marks() -> None:
    bands = {"color": ([0.0] * 5, [1.0] * 5)}
    ax = figures.accuracy_curves(CURVES, RATES, train_rates=(0.1, 0.2), ceiling=0.75, bands=bands, at=0.3)
    assert ax.get_xlim() == (0, 1) and ax.get_ylim() == (0, 100)
    assert "flip rate" in ax.get_xlabel() and "%" in ax.get_ylabel()
    assert curves(ax)["color"].tolist() == [100, 75, 50, 25, 0]
    assert {"chance 50 %", "shape", "color"} <= set(texts(ax))
    assert texts(ax).count("train") == 1, "two words would run together"
    assert key(ax) == ["best invariant 75 %"]
    assert len(ax.collections) == 1
    assert cursor_values(ax) == ["75.0", "70.0"]


@pytest.mark.parametrize("columns", [1, 2, 4])
def test_the_key_of_the_ceilings_stands_where_no_curve_and_no_cursor_comes(columns: int) -> None:
    figure = figures.new_figure(900, 400)
    ax = np.ravel(figure.subplots(1, columns))[-1]
    inverted = {"inverted": [0.1, 0.3, 0.5, 0.7, 1.0]}
    figures.accuracy_curves(inverted, RATES, train_rates=(0.1, 0.95), ceiling=0.75, balanced=0.705, at=0.95, ax=ax)
    figure.draw_without_rendering()
    (legend,) = (child for child in ax.get_children() if isinstance(child, Legend))
    box, words = legend.get_window_extent(), [text for text in ax.texts if text.get_text()]
    assert box.y0 > ax.get_window_extent().y1 and box.y1 <= figure.bbox.y1 and box.x0 > 0
    assert not any(box.overlaps(text.get_window_extent()) for text in words)


def key(ax: Axes) -> list[str]:
    """What the key in the corner says, apart from a legend of the curves."""
    keys = [child for child in ax.get_children() if isinstance(child, Legend) and child is not ax.get_legend()]
    return [text.get_text() for legend in keys for text in legend.get_texts()]


def test_rates_apart_have_a_word_each_and_neighbors_one_between_them() -> None:
    ax = figures.accuracy_curves(CURVES, RATES, train_rates=(0.5, 0.1, 0.2))
    assert [text.xy[0] for text in ax.texts if text.get_text() == "train"] == pytest.approx([0.15, 0.5])


@pytest.mark.parametrize("curved", [True, False])
def test_both_ceilings_stand_where_they_should_and_look_different(curved: bool) -> None:
    levels = {"ceiling": 0.75, "balanced": 0.705}
    if curved:
        ax = figures.accuracy_curves({"color": CURVES["color"]}, RATES, **levels)
        names, heights = key(ax), [float(line.get_ydata()[0]) for line in ax.lines]
    else:
        ax = figures.beside({"ERM": [0.1, 0.2]}, **levels)
        names, heights = (
            [text.get_text() for text in ax.get_legend().get_texts()],
            [line.get_xdata()[0] for line in ax.lines],
        )
    assert {"best invariant 75 %", "color-balanced 70.5 %"} <= set(names)
    dashes = [str(line._dash_pattern) for line, height in zip(ax.lines, heights, strict=True) if height in (75, 70.5)]
    assert len(set(dashes)) == len(dashes) == 2


def test_intervals_are_drawn_from_three_pairs_on() -> None:
    def spans(*pairs: float) -> int:
        return len(figures.differences({"a less b": pairs}).collections)

    assert [spans(0.1), spans(0.1, 0.2), spans(0.1, 0.2, 0.3)] == [0, 0, 1]
    assert not figures.beside({"ERM": [0.1]}).collections, "one seed has no deviation"


def test_lines_differ_by_more_than_color_and_many_lines_get_a_legend() -> None:
    five = figures.accuracy_curves({str(i): [i / 10] * 5 for i in range(5)}, RATES)
    styles = {(str(line._dash_pattern), line.get_color()) for line in five.lines if line.get_gid() == "curve"}
    assert len({dash for dash, _ in styles}) == len({color for _, color in styles}) == 5
    assert five.get_legend() is None
    six = figures.accuracy_curves({str(i): [i / 10] * 5 for i in range(6)}, RATES, at=0.5)
    assert six.get_legend() is not None and not cursor_values(six)


def test_equal_ends_get_labels_apart() -> None:
    ax = figures.accuracy_curves({name: [0.5] * 5 for name in "abc"}, RATES)
    heights = sorted(text.xyann[1] for text in ax.texts if text.get_text() in "abc")
    assert np.diff(heights).min() >= figures.NORMAL
    assert math.isclose(sum(heights), 0, abs_tol=1e-6)


def test_environment_risks_ring_what_is_judged() -> None:
    ax = figures.environment_risks({"θ": [0.3, 0.5], "θ′": [0.2, 0.6]}, [0.1, 0.2], judged={"θ′": [1]})
    theta, adapted, ring = ax.lines
    assert list(theta.get_ydata()) == [0.3, 0.5] and list(adapted.get_ydata()) == [0.2, 0.6]
    assert ring.get_xdata() == [0.2] and ring.get_ydata() == [0.6] and ring.get_markeredgecolor() == adapted.get_color()
    with pytest.raises(ValueError, match="`risks`"):
        figures.environment_risks({"θ": [0.3]}, [0.1, 0.2], judged={})


def test_cursor_moves_and_leaves_nothing_behind() -> None:
    ax = figures.accuracy_curves(CURVES, RATES, at=0.3)
    count = len(ax.get_children())
    artists = figures.move_cursor(ax, 0.9)
    assert len(ax.get_children()) == count
    assert cursor_values(ax) == ["75.0", "10.0"]
    assert all(artist.get_gid() == "cursor" for artist in artists)


def test_wrong_lengths_are_named() -> None:
    with pytest.raises(ValueError, match=r"Parameter `curves` should be 5 values each\. Found '2 for short'\."):
        figures.accuracy_curves({"short": [0.1, 0.2]}, RATES)
    with pytest.raises(ValueError, match="Parameter `weights`"):
        figures.along_penalty([-1.0], {"risk": [0.1]})


def test_what_acted_is_drawn_as_steps_and_what_was_measured_as_lines() -> None:
    records = [
        {"step": step, "penalty_weight": weight, "risk": 0.5} for step, weight in ((1, 1.0), (19, 1.0), (20, 9.0))
    ]
    ways = {
        name: figures.histories({"": History(records)}, name).lines[0].get_drawstyle()
        for name in ("penalty_weight", "risk")
    }
    assert ways == {"penalty_weight": "steps-pre", "risk": "default"}


def test_close_training_rates_share_one_word() -> None:
    narrow = figures.new_figure(400, 300).subplots()
    figures.accuracy_curves(CURVES, RATES, train_rates=(0.1, 0.2, 0.7), ax=narrow)
    words = [text for text in narrow.texts if text.get_text() == "train"]
    assert [text.xy[0] for text in words] == pytest.approx([0.15, 0.7])
    narrow.figure.draw_without_rendering()
    boxes = sorted(text.get_window_extent().extents[[0, 2]].tolist() for text in words)
    assert boxes[0][1] + 5 < boxes[1][0]


def test_digits_stand_as_close_as_they_are_told() -> None:
    ax = figures.digits(canvas().paint(0.5), columns=5, rows=1, gap=3)
    lefts = [round(frame.get_x() + 0.6) for frame in ax.patches]
    assert [right - left for left, right in itertools.pairwise(lefts)] == [SIDE + 3] * 4


def test_histories_drop_gaps_and_scale_accuracies_alone() -> None:
    runs = {"ERM": history(), "IRMv1": History([*history(), {"step": 50, "test p=0.9": 0.7}])}
    risk = figures.histories(runs, "risk", switch=20)
    assert len(curves(risk)["IRMv1"]) == 5 and curves(risk)["ERM"][0] == 1.0
    assert risk.get_ylabel() == "risk, nats" and risk.get_xlabel() == "step"
    assert "annealing ends" in texts(risk)
    accuracy = figures.histories(runs, "test p=0.9")
    assert curves(accuracy)["IRMv1"][-1] == pytest.approx(70) and accuracy.get_ylim() == (0, 100)
    both = figures.histories({"ERM": history()}, ["risk", "test p=0.9"], ylabel="risk and accuracy")
    assert set(curves(both)) == {"risk", "test p=0.9"} and both.get_ylabel() == "risk and accuracy"
    with pytest.raises(ValueError, match="penalty"):
        figures.histories({"ERM": history()}, "penalty")


def test_the_penalty_axis_has_a_zero_and_decades_of_equal_width() -> None:
    weights = [100.0, 0.0, 1.0, 10.0]  # in any order
    columns = {"test p=0.1": [0.7, 0.9, 0.8, math.nan], "test p=0.9": [0.6, 0.1, 0.2, 0.4]}
    ax = figures.along_penalty(weights, columns, at=0.0)
    place = dict(zip(weights, ax.transData.transform([(w, 0.5) for w in weights])[:, 0], strict=True))
    assert place[0.0] > ax.bbox.x0
    assert place[100.0] - place[10.0] == pytest.approx(place[10.0] - place[1.0], rel=0.02)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0", "1", "10", "10²"]
    assert ax.get_ylabel() == "test accuracy, %" and set(curves(ax)) == {"p=0.1", "p=0.9"}
    assert cursor_values(ax) == ["90.0", "10.0"]


def test_a_logarithmic_height_passes_over_zeros_and_names_decades() -> None:
    ax = figures.along_penalty([0.0, 1.0, 10.0], {"penalty": [0.0, 3e-3, 2e-5]}, log_y=True, at=10.0)
    assert ax.get_yscale() == "log" and ax.get_ylim() == pytest.approx((1e-5, 1e-2))
    ax.figure.draw_without_rendering()
    assert "10⁻³" in [tick.get_text() for tick in ax.get_yticklabels()]
    assert cursor_values(ax) == ["2e-05"]
    figures.png(figures.along_penalty([0.0, 1.0], {"penalty": [0.0, math.nan]}, log_y=True, at=0.0).figure)


def test_axes_that_are_given_are_used_and_equal_pictures_have_equal_bytes() -> None:
    def picture() -> bytes:
        figure = figures.new_figure(600, 600)
        axes = figure.subplots(3, 2).flat
        assert figures.digits(canvas().paint(0.1), columns=4, ax=axes[0]) is axes[0]
        assert figures.accuracy_curves(CURVES, RATES, ax=axes[1]) is axes[1]
        assert figures.histories({"ERM": history()}, "risk", log=True, ax=axes[2]) is axes[2]
        assert figures.along_penalty([0, 1], {"risk": [1, 2]}, ax=axes[3]) is axes[3]
        return figures.png(figure)

    first = picture()
    assert first.startswith(b"\x89PNG") and first == picture()


def test_a_screen_shows_what_a_full_drawing_shows() -> None:
    ax = figures.accuracy_curves(CURVES, RATES)
    figure = ax.get_figure(root=True)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    screen = figures.Screen(figure)
    frames = {}
    for at in (0.1, 0.9, 0.1):
        for artist in figures.move_cursor(ax, at):
            artist.set_animated(True)
        frame = screen.png()
        assert frames.setdefault(at, frame) == frame
    assert frames[0.1] != frames[0.9]
    fresh = figures.Screen(figure)
    assert fresh.png() == frames[0.1]


def test_no_pyplot_and_no_settings() -> None:
    code = """
import sys, matplotlib
before = matplotlib.rcParams.copy()
from invtutor import figures
figures.png(figures.accuracy_curves({"a": [0.5, 0.5]}, [0, 1], at=0.2).figure)
figures.png(figures.along_penalty([0, 1], {"a": [0.5, 0.5]}).figure)
assert "matplotlib.pyplot" not in sys.modules
assert matplotlib.rcParams.copy() == before
"""
    subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-W", "ignore::DeprecationWarning", "-c", code], check=True
    )


def test_curves_in_words_are_true_of_the_numbers() -> None:
    drawn = {"ERM": [0.998, 0.5, 0.003], "IRMv1": [0.671, 0.675, 0.68], "inverted": [0.1, 0.5, 0.9]}
    assert figures.in_words(drawn, [0.0, 0.5, 1.0]) == (
        "ERM falls from 99.8 % at p = 0 to 0.3 % at p = 1. "
        "IRMv1 is nearly level: from 67.1 % at p = 0 to 68.0 % at p = 1. "
        "Inverted rises from 10.0 % at p = 0 to 90.0 % at p = 1."
    )
    assert figures.in_words({}, []) == ""


def test_labels_stay_above_the_axis_and_apart() -> None:
    """Five lines that end at the bottom: their names do not reach into the numbers of the axis below."""
    ax = figures.accuracy_curves({name: [0.9, 0.7, 0.5, 0.3, 0.0] for name in "abcde"}, RATES)
    heights = sorted(text.xyann[1] for text in ax.texts if text.get_text() in "abcde")
    assert heights[0] >= 4 and all(b - a >= 12 for a, b in itertools.pairwise(heights))


def test_a_legend_of_many_curves_names_curves_alone() -> None:
    ax = figures.accuracy_curves({str(i): [i / 10] * 5 for i in range(6)}, RATES, ceiling=0.75, balanced=0.705)
    legend = ax.get_legend()
    assert legend is not None and [text.get_text() for text in legend.get_texts()] == list("012345")
