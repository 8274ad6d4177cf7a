"""What was expected beside what came."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from matplotlib.axes import Axes

from invtutor.figures.base import COLORS, DIM, FAINT, NORMAL, new_figure, note, tidy

__all__ = ["guessed"]


def guessed(
    question: str,
    guesses: Mapping[str, float | None],
    results: Mapping[str, Sequence[float]],
    limits: tuple[float, float] = (0.0, 1.0),
    *,
    ax: Axes | None = None,
) -> tuple[Axes, str]:
    """A line for each result: a disc where its mean lies, dots for the seeds, and a diamond where it was expected; with
    the words that say the same. Between 0 and 1 numbers are shown in %.

    guesses: None, or nothing, where nobody guessed.
    """
    ax = tidy(ax or new_figure(800, 110 + 45 * len(results)).subplots())
    share = limits == (0.0, 1.0)
    words = []
    for place, (name, values) in enumerate(results.items()):
        mean, guess = fmean(values), guesses.get(name)
        ax.axhline(place, color=FAINT, linewidth=1, zorder=1)
        ax.plot(values, [place] * len(values), ".", color=COLORS[0], alpha=0.6)
        ax.plot([mean], [place], "o", color=COLORS[0], markersize=9)
        note(ax, f"came {_said(mean, share)}", (mean, place), (0, 8), ha="center", color=COLORS[0])
        if guess is not None:
            ax.plot([guess, mean], [place, place], color=COLORS[1], linewidth=1.5, zorder=1.5)
            ax.plot([guess], [place], "D", color=COLORS[1], markersize=8)
            note(ax, f"your guess {_said(guess, share)}", (guess, place), (0, -17), ha="center", color=COLORS[1])
        expected = "no guess" if guess is None else f"your guess {_said(guess, share)}"
        words.append(f"{name}: {expected}, came {_said(mean, share)}")
    if not any(guess is not None for guess in guesses.values()):
        ax.set_title("no guess was made", fontsize=NORMAL, color=DIM, loc="right")
    ax.set(xlim=limits, ylim=(len(results) - 0.4, -0.6), xlabel=question)
    ax.set_yticks(range(len(results)), list(results), fontsize=NORMAL)
    if share:
        ax.set_xticks([i / 10 for i in range(11)], [f"{10 * i} %" for i in range(11)])
    return ax, f"{question}. {'; '.join(words)}."


def _said(value: float, share: bool) -> str:
    return f"{100 * value:.0f} %" if share else f"{value:.3g}"
