"""Every example an environment: what a mask does to labels that have no reason.

Random labels can be learned by heart, one example at a time, and by nothing else: no two examples agree on why. With
each example of a batch as an environment of its own, a mask keeps the coordinates in which the examples agree more
than coins do. What many share passes, what only one needs does not (Parascandolo et al. 2021, arXiv 2009.00329, §4.2,
on CIFAR-10; here on MNIST, small enough for a CPU).
"""

from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from torch import Tensor

from invtutor.fields import require, within
from invtutor.worlds.digits import TRAIN, Digits, Source, load_digits
from invtutor.worlds.environment import Environment
from invtutor.worlds.mnist import announce
from invtutor.worlds.world import Drawn, Setting

__all__ = ["CLASSES", "RandomLabels"]

CLASSES = 10


def _pixels(images: Tensor) -> Tensor:
    """(n, 28, 28) uint8 → (n, 14, 14) float32 in [0, 1], as on Colored MNIST."""
    return images[:, ::2, ::2] / 255.0


@dataclass(frozen=True)
class RandomLabels(Setting):
    """The ten digits, some with labels drawn at random. The test has true labels.

    One sample drawn from each share makes a batch in which each is an environment of its own: batches of size 1.
    """

    samples: int = within(1000, 1, TRAIN)
    """Training digits."""
    shares: int = within(80, 1, 1000)
    """Environments among which the samples are shared out."""
    random: bool = True
    """Draws each label from the ten, once; else they are true."""
    source: Source = "auto"
    """Which digits: auto, mnist or rendered."""

    label = "random labels"
    budgets = MappingProxyType({"smoke": {"samples": 160}})

    def __post_init__(self) -> None:
        super().__post_init__()
        require("samples", self.samples >= self.shares, f"in [{self.shares}, {TRAIN}]", self.samples)

    def sizes(self) -> list[int]:
        """How many samples each share has."""
        return [len(share) for share in torch.arange(self.samples).tensor_split(self.shares)]

    def load(self) -> Digits:
        """The digits of `source`."""
        return load_digits(self.source, quiet=True)

    def announce(self) -> None:
        """Say on the terminal that a stand-in takes the place of MNIST, where it does."""
        announce(self.source)

    def draw(self, data: Digits, generator: torch.Generator) -> Drawn:
        """The shares of the training digits, and the test."""
        chosen = torch.randperm(len(data.labels), generator=generator)[: self.samples]
        drawn = torch.randint(CLASSES, (self.samples,), generator=generator)
        labels = drawn if self.random else data.labels[chosen]
        known = Environment("train", _pixels(data.images[chosen]), labels, {"digit": data.labels[chosen]}, chosen)
        unseen = Environment("test", _pixels(data.test_images), data.test_labels, {"digit": data.test_labels})
        shares = [
            replace(known.subset(index), name=f"share {number + 1}")
            for number, index in enumerate(torch.arange(self.samples).tensor_split(self.shares))
        ]
        return Drawn(tuple(shares), tests=(unseen,), outputs=CLASSES)
