"""A guess beside its result, and the risks under a dummy scale: what is drawn is what the words say."""

import pytest

from invtutor import figures


@pytest.mark.parametrize(
    ("limits", "guess", "values", "words"),
    [
        ((0.0, 1.0), 0.5, [0.1, 0.3], "ERM: your guess 50 %, came 20 %"),
        ((0.0, 1.0), None, [0.1], "ERM: no guess, came 10 %"),
        ((0.0, 40.0), 30.0, [12.0, 14.0], "ERM: your guess 30, came 13"),
    ],
)
def test_guess_and_result_lie_on_one_line(
    limits: tuple[float, float], guess: float | None, values: list[float], words: str
) -> None:
    ax, told = figures.guessed("a number", {"ERM": guess}, {"ERM": values}, limits)
    assert told == f"a number. {words}."
    assert ax.get_xlim() == limits and [label.get_text() for label in ax.get_yticklabels()] == ["ERM"]
    places = {line.get_marker(): list(line.get_xdata()) for line in ax.lines}
    assert places["o"] == [sum(values) / len(values)] and places["."] == values
    assert places.get("D") == (None if guess is None else [guess])
    assert ("no guess was made" in ax.get_title(loc="right")) is (guess is None)


def test_an_environment_s_best_scale_is_marked_and_said() -> None:
    scales = [0.5, 1.0, 1.5]
    curves = {"p=0.1": [0.5, 0.4, 0.3], "p=0.2": [0.2, 0.3, 0.5]}
    figure, told = figures.dummy_scales({"ERM": curves, "oracle": {"p=0.1": [0.2, 0.1, 0.2]}}, scales)
    assert "ERM: lowest at w = 1.50 for p=0.1 and 0.50 for p=0.2; oracle: lowest at w = 1.00 for p=0.1." in told
    left, right = figure.axes
    discs = [
        (line.get_xdata()[0], round(float(line.get_ydata()[0]), 9)) for line in left.lines if line.get_marker() == "o"
    ]
    assert discs == [(1.5, -0.1), (0.5, -0.1)], "as differences from w = 1"
    assert (left.get_title(), right.get_title()) == ("ERM", "oracle")
    arrows = [[text for text in ax.texts if text.arrow_patch is not None] for ax in (left, right)]
    assert [len(each) for each in arrows] == [2, 0], "no arrow where w = 1 is best"
