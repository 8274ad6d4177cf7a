"""CIFARMNIST: a digit stands on a color picture; the picture gives the label, and the digit mostly says the same.

Shah et al. 2020 (arXiv 2006.07710) stack the two, MAPLE (arXiv 2301.09819) and BIRM make environments of them. The
picture is the invariant clue and the *stronger* one: it is right 90 % of the time, where the digit is right 85 % of the
time in training. Whoever fails here does so because digits are easier to learn, not because they are worth more.

Either half can be had without the other: where there is no CIFAR-10, drawn shapes take the place of its pictures, in a
world with a name of its own, and the digits may be MNIST's or the stand-in's.

Differences from the authors' code: 1. a tenth is held out of each training environment, where theirs validates on the
test environment; 2. test and training samples come from the official test and training files, where theirs mix both;
3. wrong labels are counted out, like wrong digits, where theirs are drawn.
"""

from dataclasses import dataclass
from functools import cache
from math import floor
from types import MappingProxyType

import torch
import torch.nn.functional as F
from torch import Tensor

from invtutor.fields import require, within
from invtutor.worlds.cifar10 import cifar10
from invtutor.worlds.digits import Digits, Source, load_digits
from invtutor.worlds.environment import Environment
from invtutor.worlds.mnist import announce
from invtutor.worlds.shapes import shapes
from invtutor.worlds.world import SMALL_RESIDUAL, Drawn, Setting

__all__ = ["CIFARMNIST", "Halves", "ShapesMNIST", "undigited"]

AUTOMOBILE, TRUCK = 1, 9  # CIFAR-10's numbers of the two classes
EACH = 4500  # training samples of each class, in all environments together; a ninth as many are held out
SIDE = 32


@dataclass(frozen=True, eq=False)
class Halves:
    """Two classes of color pictures and two of digits, for training and for the test. All callers of a process share
    the tensors: never write to them.

    pictures: images (n, 3, 32, 32) uint8. digits: images (n, 28, 28) uint8. Labels are (n,), 0 or 1.
    """

    source: str
    text: str
    pictures: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]
    digits: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]

    def __str__(self) -> str:
        return self.text


class Deck:
    """The samples of two classes, shuffled. Each is dealt once."""

    def __init__(self, labels: Tensor, generator: torch.Generator):
        shuffled = torch.randperm(len(labels), generator=generator)
        self.left = [shuffled[labels[shuffled] == label] for label in (0, 1)]

    def deal(self, labels: Tensor) -> Tensor:
        """The numbers of samples with these labels, (n,)."""
        dealt = torch.empty_like(labels)
        for label in (0, 1):
            wanted = labels == label
            dealt[wanted], self.left[label] = self.left[label].split(
                [count := int(wanted.sum()), len(self.left[label]) - count]
            )
        return dealt


def counted(labels: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Ones for a share `rate` of each label's samples, zeros for ⌊n · (1 − rate)⌋ of its n: (n,) int64."""
    marks = torch.ones_like(labels)
    for label in (0, 1):
        places = (labels == label).nonzero()[:, 0]
        kept = floor(len(places) * (1 - rate) + 1e-9)  # .7 · 2,500 may be a little below 1,750
        marks[places[torch.randperm(len(places), generator=generator)[:kept]]] = 0
    return marks


def undigited(inputs: Tensor) -> Tensor:
    """The same inputs with the digit's half black."""
    return torch.cat([torch.zeros_like(inputs[:, :, :SIDE]), inputs[:, :, SIDE:]], 2)


@dataclass(frozen=True)
class Dominoes(Setting):
    """What is drawn of two halves: a digit, 0 or 1, padded and gray, on top of a picture of one of two classes.

    Inputs are (n, 3, 64, 32) uint8. Labels are the picture's class, or by noise the other; the digit is the label, or
    flipped the other. Both are counted out exactly within each label, and labels are balanced.
    """

    flip_rates: tuple[float, ...] = within((0.001, 0.3), 0, 1)
    """The share of digits that contradict the label, one per training environment."""
    test_rate: float = within(0.9, 0, 1)
    """The same share in the test."""
    label_noise: float = within(0.1, 0, 0.5)
    """The share of labels that contradict the picture."""
    samples: int | None = within(None, 2, 2 * EACH)
    """Samples per training environment; None takes all. A ninth as many are held out for validation."""
    test_samples: int = within(1000, 2, 1800)
    """Samples of the test."""
    source: Source = "auto"
    """Which digits: auto, mnist or rendered."""

    budgets = MappingProxyType({"smoke": {"samples": 450, "test_samples": 200}})

    def __post_init__(self) -> None:
        super().__post_init__()
        wish = f"in [2, {self.each():,}] ({2 * EACH:,} pictures for {len(self.flip_rates)} environments)"
        require("samples", (self.samples or 2) <= self.each(), wish, self.samples)

    @staticmethod
    def halves(digits: Digits) -> Halves:
        """The digits, with the pictures that stand below them."""
        raise NotImplementedError

    def each(self) -> int:
        """The most samples that a training environment can have."""
        return 2 * (EACH // len(self.flip_rates))

    def sizes(self) -> list[int]:
        """How many samples each training environment has."""
        return [self.samples or self.each()] * len(self.flip_rates)

    def load(self) -> Halves:
        """The digits of `source`, and the pictures. Raises `DataError` where there are none."""
        return self.halves(load_digits(self.source, quiet=True))

    def announce(self) -> None:
        """Say on the terminal that a stand-in takes the place of MNIST, where it does."""
        announce(self.source)

    def draw(self, data: Halves, generator: torch.Generator) -> Drawn:
        """The training and validation environments, of other samples each, and the test."""
        (pictures, unseen_pictures), (digits, unseen_digits) = data.pictures, data.digits
        train, validation = list[Environment](), list[Environment]()
        decks = Deck(pictures[1], generator), Deck(digits[1], generator)
        for i, (rate, size) in enumerate(zip(self.flip_rates, self.sizes(), strict=True)):
            place = f"p={rate:g}" if self.flip_rates.count(rate) == 1 else f"p={rate:g} ({i + 1})"
            for kind, some, count in (("train", train, size), ("validation", validation, max(2, 2 * (size // 18)))):
                some.append(self._stack(f"{kind} {place}", count, rate, pictures[0], digits[0], decks, generator))
        decks = Deck(unseen_pictures[1], generator), Deck(unseen_digits[1], generator)
        images = unseen_pictures[0], unseen_digits[0]
        name, size = f"test p={self.test_rate:g}", self.test_samples
        test = self._stack(name, size, self.test_rate, *images, decks, generator)
        return Drawn(tuple(train), tuple(validation), (test,))

    def _stack(
        self,
        name: str,
        size: int,
        rate: float,
        pictures: Tensor,
        digits: Tensor,
        decks: tuple[Deck, Deck],
        generator: torch.Generator,
    ) -> Environment:
        labels = (torch.randperm(size, generator=generator) < size // 2).long()
        wrong, conflict = (counted(labels, share, generator) for share in (self.label_noise, rate))
        below, above = (deck.deal(labels ^ turned) for deck, turned in zip(decks, (wrong, conflict), strict=True))
        padded = F.pad(digits[above], (2, 2, 2, 2))[:, None].expand(-1, 3, -1, -1)
        attributes = {"picture": labels ^ wrong, "digit": labels ^ conflict, "conflict": conflict}
        return Environment(name, torch.cat([padded, pictures[below]], 2), labels, attributes, below, undigited)


@dataclass(frozen=True)
class CIFARMNIST(Dominoes):
    """MNIST's 0 and 1 on CIFAR-10's automobiles (0) and trucks (1)."""

    label = "CIFARMNIST"

    @staticmethod
    @cache
    def halves(digits: Digits) -> Halves:
        """The digits on CIFAR-10's pictures."""
        parts = [
            (images, (labels == TRUCK).long(), (labels == AUTOMOBILE) | (labels == TRUCK))
            for images, labels in cifar10()
        ]
        train, test = ((images[of_two], labels[of_two]) for images, labels, of_two in parts)
        return Halves(
            digits.source, f"{digits} on CIFAR-10's automobiles and trucks", (train, test), zeros_and_ones(digits)
        )


@dataclass(frozen=True)
class ShapesMNIST(Dominoes):
    """MNIST's 0 and 1 on drawn triangles (0) and squares (1)."""

    label = "shapes under MNIST"
    budgets = MappingProxyType(
        {
            **Dominoes.budgets,
            "quick": {**SMALL_RESIDUAL, "samples": 3000, "batch_size": 24, "steps": 120},
        }
    )

    @staticmethod
    @cache
    def halves(digits: Digits) -> Halves:
        """The digits on drawn shapes, the same in every process."""
        return Halves(digits.source, f"{digits} on drawn triangles and squares", shapes(), zeros_and_ones(digits))


def zeros_and_ones(digits: Digits) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The digits 0 and 1 of the training file and of the test file, with their labels."""
    files = (digits.images, digits.labels), (digits.test_images, digits.test_labels)
    train, test = ((images[labels < 2], labels[labels < 2]) for images, labels in files)
    return train, test
