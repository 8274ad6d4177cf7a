"""Colored MNIST: the same digits under colors that lie differently often (Arjovsky et al. 2019, §5.2).

A digit's shape gives its clean label. The label is corrupted with probability `label_noise`; a color is drawn to agree
with the *corrupted* label, and is flipped with probability `flip_rate`. The label noise is the same everywhere, the
flip rate is not: shape is the invariant clue, color the spurious one.

    label = (clean + Bernoulli(label_noise)) mod k        color = (label + Bernoulli(flip_rate)) mod k

With k = 2 classes both sums are exclusive ors. With k = 5 or 10 they shift by one, as in Choe et al. 2020.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import inf, log
from typing import Any, Literal

import torch
from torch import Tensor

from invtutor.fields import check, require, within
from invtutor.worlds.digits import Digits, load_digits
from invtutor.worlds.environment import PATCH, Environment, with_tensors

__all__ = ["Bayes", "Canvas", "Setting", "World", "clean_labels", "colored_mnist"]

POOL, HELD_OUT = 50_000, 10_000  # of the 60,000 training digits: those to train on, and the tail for validation


def clean_labels(digits: Tensor, classes: int = 2) -> Tensor:
    """Digit classes 0 … 9 (n,) → clean labels (n,): equal runs of digits; for two classes 0–4 → 0 and 5–9 → 1."""
    return digits // (10 // classes)


@dataclass(frozen=True, eq=False)
class Canvas:
    """Digits with their noisy labels, waiting for their colors.

    A sample's color is flipped where its stored draw lies below the flip rate, so that two environments painted from
    one canvas differ only by the flips that the rates demand: a slider over the flip rate recolors few digits at a
    time.

    images: (n, 14, 14) float32 in [0, 1]; digits, labels: (n,) int64; color_draws, patch_draws: (n,) float32 in [0, 1).
    """

    images: Tensor
    digits: Tensor
    labels: Tensor
    color_draws: Tensor
    patch_draws: Tensor | None
    classes: int

    @classmethod
    def draw(
        cls,
        images: Tensor,
        digits: Tensor,
        *,
        label_noise: float,
        classes: int,
        patch: bool,
        generator: torch.Generator,
    ) -> "Canvas":
        """Raw images (n, 28, 28) uint8 are subsampled to 14 × 14 as in the reference code; labels get their noise."""
        n = len(digits)
        noise = (torch.rand(n, generator=generator) < label_noise).long()
        return cls(
            images[:, ::2, ::2] / 255.0,
            digits,
            (clean_labels(digits, classes) + noise) % classes,
            torch.rand(n, generator=generator),
            torch.rand(n, generator=generator) if patch else None,
            classes,
        )

    def head(self, n: int) -> "Canvas":
        """The first n digits."""
        return with_tensors(self, lambda tensor: tensor[:n])

    def to(self, device: str | torch.device) -> "Canvas":
        """The same canvas with its tensors on `device`."""
        return with_tensors(self, lambda tensor: tensor.to(device))

    def paint(self, flip_rate: float, *, patch_flip_rate: float | None = None, name: str = "") -> Environment:
        """The environment at a flip rate in [0, 1]; the patch follows the same rate unless told otherwise."""
        _check_rate("flip_rate", flip_rate)
        colors = (self.labels + (self.color_draws < flip_rate).long()) % self.classes
        inputs = torch.zeros(len(colors), self.classes, *self.images.shape[1:], device=self.images.device)
        rows = torch.arange(len(colors), device=colors.device)
        inputs[rows, colors] = self.images
        patches = None
        if self.patch_draws is not None:
            patch_rate = flip_rate if patch_flip_rate is None else patch_flip_rate
            _check_rate("patch_flip_rate", patch_rate)
            patches = (self.labels + (self.patch_draws < patch_rate).long()) % 2
            for side, columns in ((0, slice(0, PATCH)), (1, slice(-PATCH, None))):
                marked = patches == side
                inputs[rows[marked], colors[marked], :PATCH, columns] = 1.0
        return Environment(name or f"p={flip_rate:g}", inputs, self.labels, flip_rate, colors, self.digits, patches)


@dataclass(frozen=True)
class Bayes:
    """The best predictor that sees only some clues and has learned from all training environments, in closed form.

    Everything is counted relative to the shape (or, for `color`, relative to the color): with the shape at 0, a
    label is 0 or, by noise, 1; a color is the label or one further. Shape and color are taken to be balanced over
    the classes. Made by `World.bayes`.
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


@dataclass(frozen=True, eq=False)
class World:
    """Training environments, validation environments held out of each of them, and test digits to color at will.

    train, validation: pairwise, with the same flip rates; disjoint digits. test_canvas: digits of the official test
    file.
    label_noise: that of each training environment; the test digits get the mean. grayscale: True for the oracle's view.
    """

    train: tuple[Environment, ...]
    validation: tuple[Environment, ...]
    test_canvas: Canvas
    label_noise: tuple[float, ...]
    grayscale: bool = False

    def __post_init__(self) -> None:
        names = [environment.name for environment in (*self.train, *self.validation)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"Parameter `name` of environments should be each one's own. Found {twice[0]!r} twice.")

    @property
    def classes(self) -> int:
        """2, 5 or 10."""
        return self.test_canvas.classes

    @property
    def outputs(self) -> int:
        """Logits a network needs here: 1 for two classes, else one per class."""
        return 1 if self.classes == 2 else self.classes

    @property
    def inputs(self) -> int:
        """Numbers per example."""
        return self.train[0].inputs[0].numel()

    def test(self, flip_rate: float) -> Environment:
        """The official test digits at any flip rate in [0, 1]; the same digits and labels at every rate."""
        painted = self.test_canvas.paint(flip_rate, name=f"test p={flip_rate:g}")
        return painted.gray() if self.grayscale else painted

    @cached_property
    def corners(self) -> tuple[tuple[tuple[int, ...], Environment], ...]:
        """The test digits with every spurious bit forced: ((flipped,), environment), with patches ((flipped, moved),
        …).

        The accuracy expected at *any* flip rate is a mixture of the accuracies here (`risks.accuracy_curve`).
        """
        bits = product((0, 1), repeat=1 if self.test_canvas.patch_draws is None else 2)
        painted = ((b, self.test_canvas.paint(b[0], patch_flip_rate=b[-1], name=f"corner {b}")) for b in bits)
        return tuple((b, e.gray() if self.grayscale else e) for b, e in painted)

    def gray(self) -> "World":
        """This world without color: what the grayscale oracle trains on.

        Difference from the authors' code: theirs sums the two channels into one, 196 inputs; here both hold the whole
        digit, 392 inputs. The same predictors can be had (two weights that meet the same number act as their sum), but
        the first layer has twice as many weights, which the L2 term and Adam see.
        """
        return replace(
            self,
            train=tuple(e.gray() for e in self.train),
            validation=tuple(e.gray() for e in self.validation),
            grayscale=True,
        )

    def to(self, device: str | torch.device) -> "World":
        """The same world with all its tensors on `device`."""
        return replace(
            self,
            train=tuple(e.to(device) for e in self.train),
            validation=tuple(e.to(device) for e in self.validation),
            test_canvas=self.test_canvas.to(device),
        )

    def bayes(self, clue: Literal["invariant", "color", "pooled"]) -> Bayes:
        """The ceiling of a predictor that uses shape alone, color alone, or every clue as the pooled training data
        teach.

        For .25 label noise and flip rates .1/.2 the accuracies at p = .1/.2/.9 are 75 % everywhere, 90/80/10 and
        90/80/10.
        """
        if clue not in ("invariant", "color", "pooled"):
            raise ValueError(f"Parameter `clue` should be one of invariant, color, pooled. Found {clue!r}.")
        rates = [environment.flip_rate for environment in self.train]
        noise = sum(self.label_noise) / len(self.label_noise)
        train = tuple(zip(self.label_noise, rates, strict=True))
        return Bayes(clue, self.classes, train, noise, self.test_canvas.patch_draws is not None)


def _check_rate(name: str, value: float) -> None:
    require(name, 0.0 <= value <= 1.0, "in [0, 1]", value)  # a NaN fails here too


@dataclass(frozen=True)
class Setting:
    """What a world of Colored MNIST is drawn by. Raises ValueError for what no world can be.

    flip_rates: one per training environment. label_noise: one number, or one per training environment. classes: as
    many colors as classes. patch: adds a second spurious feature (two classes only). samples: per training
    environment; None shares out all 50,000.
    """

    flip_rates: tuple[float, ...] = within((0.1, 0.2), 0, 1)
    label_noise: float | tuple[float, ...] = within(0.25, 0, 0.5)
    classes: Literal[2, 5, 10] = 2
    patch: bool = False
    samples: int | None = within(None, 1, POOL)

    def __post_init__(self) -> None:
        check(self)
        count = len(self.flip_rates)
        if isinstance(self.label_noise, tuple):
            wish = f"one number, or {count}, as many as there are flip rates"
            require("label_noise", len(self.label_noise) == count, wish, self.label_noise)
        require("patch", not self.patch or self.classes == 2, f"False where there are {self.classes} classes", True)
        wish = f"in [1, {self.each():,}] ({POOL:,} digits for {count} environments)"
        require("samples", (self.samples or 1) <= self.each(), wish, self.samples)

    def each(self) -> int:
        """The most samples that a training environment can have."""
        return POOL // len(self.flip_rates)

    def noises(self) -> tuple[float, ...]:
        """The label noise of each training environment."""
        several = isinstance(self.label_noise, tuple)
        return self.label_noise if several else (self.label_noise,) * len(self.flip_rates)  # type: ignore[return-value]


def colored_mnist(
    digits: Digits | None = None,
    *,
    flip_rates: Sequence[float] = (0.1, 0.2),
    label_noise: float | Sequence[float] = 0.25,
    classes: int = 2,
    patch: bool = False,
    samples: int | None = None,
    generator: torch.Generator | None = None,
) -> World:
    """Build Colored MNIST. The first 50,000 training digits, shuffled, are shared out among the training
    environments, the other 10,000 among the validation environments; the official test file is kept for the test.

    digits: from `load_digits`; None loads them.
    flip_rates: one in [0, 1] per training environment.
    label_noise: in [0, 0.5]; one number, or one per training environment.
    classes: 2, 5 or 10; as many colors as classes.
    patch: adds a second spurious feature (two classes only): a 3 × 3 square in the upper left or right corner, which
        follows the label like the color, flipped at the same rate but independently. Its size and place are ours.
    samples: per training environment; None shares out all 50,000.
    generator: the only source of randomness; None takes a fresh one with seed 0.

    Raises ValueError for rates outside their range, more samples than there are digits, or another number of classes.
    """
    setting = Setting(flip_rates, label_noise, classes, patch, samples)  # type: ignore[arg-type]
    flip_rates, noises, count = setting.flip_rates, setting.noises(), len(setting.flip_rates)
    digits = digits or load_digits()
    generator = generator or torch.Generator().manual_seed(0)
    order = torch.randperm(POOL, generator=generator)
    tail = torch.arange(POOL, POOL + HELD_OUT)
    train: list[Environment] = []
    validation: list[Environment] = []
    shown = [f"{rate:g}" for rate in flip_rates]
    for i, (rate, noise) in enumerate(zip(flip_rates, noises, strict=True)):
        rule: dict[str, Any] = {"label_noise": noise, "classes": classes, "patch": patch, "generator": generator}
        # In turn: MNIST's order is not random.
        mine, held_out = order[i::count][: samples or setting.each()], tail[i::count]
        place = f"p={rate:g}" if shown.count(f"{rate:g}") == 1 else f"p={rate:g} ({i + 1})"
        for chosen, kind, environments in ((mine, "train", train), (held_out, "validation", validation)):
            canvas = Canvas.draw(digits.images[chosen], digits.labels[chosen], **rule)
            environments.append(canvas.paint(rate, name=f"{kind} {place}"))
    test = Canvas.draw(
        digits.test_images,
        digits.test_labels,
        label_noise=sum(noises) / count,
        classes=classes,
        patch=patch,
        generator=generator,
    )
    return World(tuple(train), tuple(validation), test, noises)
