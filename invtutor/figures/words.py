"""What a picture of curves shows, in words: for those who cannot see it, and true of whatever was drawn."""

from collections.abc import Mapping, Sequence

__all__ = ["in_words"]

LEVEL = 0.05  # a curve that moves less than this between its ends is called level


def in_words(curves: Mapping[str, Sequence[float]], flip_rates: Sequence[float]) -> str:
    """A sentence for each curve of `accuracy_curves`: where it begins, where it ends, and which way it went."""
    sentences = []
    for name, curve in curves.items():
        first, last = curve[0], curve[-1]
        goes = "is nearly level:" if abs(last - first) < LEVEL else "falls" if last < first else "rises"
        begins, ends = (
            f"{100 * y:.1f} % at p = {p:g}" for p, y in zip((flip_rates[0], flip_rates[-1]), (first, last), strict=True)
        )
        sentences.append(f"{name[:1].upper()}{name[1:]} {goes} from {begins} to {ends}.")
    return " ".join(sentences)
