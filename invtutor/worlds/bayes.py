"""The best that can be done with some clues of Colored MNIST, in closed form."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import inf, log
from typing import Literal

__all__ = ["Bayes"]


@dataclass(frozen=True)
class Bayes:
    """The best predictor that sees only some clues and has learned from all training environments, in closed form.

    Everything is counted relative to the shape (or, for `color`, relative to the color): with the shape at 0, a
    label is 0 or, by noise, 1; a color is the label or one further. Shape and color are taken to be balanced over
    the classes. Made by `ColoredWorld.bayes`.
    """

    clue: Literal["invariant", "color", "pooled"]
    classes: int
    train: tuple[tuple[float, float], ...]  # (label noise, flip rate) of each training environment
    test_noise: float
    patch: bool

    def _outcomes(self, noise: float, rate: float) -> Iterator[tuple[float, tuple[int, ...], int]]:
        """All (probability, what the predictor sees, label in its coordinates) of an environment."""
        for wrong, flipped, moved in product((0, 1), (0, 1), (0, 1) if self.patch else (0,)):
            probability = (noise if wrong else 1 - noise) * (rate if flipped else 1 - rate)
            if self.patch:
                probability *= rate if moved else 1 - rate
            color = (wrong + flipped) % self.classes
            seen = {"invariant": (), "color": (), "pooled": (color, (wrong + moved) % 2 if self.patch else 0)}[
                self.clue
            ]
            yield probability, seen, (wrong - color) % self.classes if self.clue == "color" else wrong

    @cached_property
    def _posterior(self) -> dict[tuple[int, ...], list[float]]:
        joint: dict[tuple[int, ...], list[float]] = {}
        for noise, rate in self.train:
            for probability, seen, label in self._outcomes(noise, rate):
                joint.setdefault(seen, [0.0] * self.classes)[label] += probability
        return {seen: [mass / max(sum(row), 1e-300) for mass in row] for seen, row in joint.items()}

    def accuracy(self, flip_rate: float) -> float:
        """Chance to be right at a flip rate, in [0, 1]. Between labels that are equally likely, up to the rounding of
        floats, it tosses a coin: of two such labels each counts half."""
        best = {
            seen: [label for label, mass in enumerate(row) if mass >= max(row) - 1e-9]
            for seen, row in self._posterior.items()
        }
        return sum(
            p / len(best[seen]) for p, seen, label in self._outcomes(self.test_noise, flip_rate) if label in best[seen]
        )

    def risk(self, flip_rate: float) -> float:
        """Expected cross-entropy at a flip rate, in nats."""
        total = 0.0
        for probability, seen, label in self._outcomes(self.test_noise, flip_rate):
            if probability > 0.0:
                mass = self._posterior[seen][label]
                total -= probability * (log(mass) if mass > 0.0 else -inf)
        return total
