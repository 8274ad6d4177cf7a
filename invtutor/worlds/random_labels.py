"""Every example an environment: what a mask does to labels that have no reason.

Random labels can be learned by heart, one example at a time, and by nothing else: no two examples agree on why. With
each example of a batch as an environment of its own, a mask keeps the coordinates in which the examples agree more
than coins do. What many share passes, what only one needs does not (Parascandolo et al. 2021, arXiv 2009.00329, §4.2,
on CIFAR-10; the same here on digits and on drawn shapes, small enough for a CPU).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor

from invtutor.fields import require, within
from invtutor.worlds import shapes
from invtutor.worlds.cifar10 import cifar10
from invtutor.worlds.digits import TEST, TRAIN, Digits, Source, load_digits
from invtutor.worlds.environment import Environment
from invtutor.worlds.mnist import announce
from invtutor.worlds.risks import correct, precise
from invtutor.worlds.world import Drawn, Metrics, Predictor, Setting

__all__ = ["RandomLabels", "RandomLabelsCIFAR10", "RandomLabelsShapes", "Relabeled"]


@dataclass(frozen=True, eq=False)
class Pictures:
    """Color pictures as `Digits` are kept: (n, 3, 32, 32) uint8. All callers of a process share the tensors: never
    write to them."""

    source: str
    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor

    def __str__(self) -> str:
        return f"{self.source} ({len(self.labels):,} + {len(self.test_labels):,})"


@cache
def _pictures(source: str, parts: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Pictures:
    """Of the images and labels for training and for the test."""
    return Pictures(source, *parts[0], *parts[1])


def _inputs(images: Tensor) -> Tensor:
    """Digits as on Colored MNIST, (n, 28, 28) uint8 → (n, 14, 14) float32 in [0, 1]; color pictures as they are."""
    return images[:, ::2, ::2] / 255.0 if images.dim() == 3 else images


class Shared(Drawn):
    """Examples shared out among environments. `label` is wrong where it is not the attribute `true_label`."""

    def watch(self, predict: Predictor) -> Metrics:
        """As in every world and, where labels are wrong, how they are answered: by the label that was given, or by the
        true one."""
        wrong = self.pooled.subset(self.pooled.labels != self.pooled["true_label"])
        metrics = super().watch(predict)
        if len(wrong):
            logits = predict(wrong.inputs)
            for name, answer in (("recalled", wrong.labels), ("seen through", wrong["true_label"])):
                metrics[f"mislabelled {name}"] = precise(correct(logits, answer)).mean().item()
        return metrics


@dataclass(frozen=True)
class Relabeled(Setting):
    """Pictures with their classes, some with labels drawn at random. The test has true labels.

    One sample drawn from each share makes a batch in which each is an environment of its own: batches of size 1.
    """

    samples: int = within(1000, 1, TRAIN)
    """Training examples."""
    shares: int = within(80, 1, 1000)
    """Environments among which the samples are shared out."""
    relabeled: float = within(1.0, 0, 1)
    """The share of training examples whose label is drawn from all classes, once. One that is drawn as it was is not
    wrong."""
    test_samples: int | None = within(None, 1, TEST)
    """Test examples; None takes all."""

    classes: ClassVar[int] = 10
    most: ClassVar[tuple[int, int]] = TRAIN, TEST  # how many examples there are for training and for the test

    def __post_init__(self) -> None:
        super().__post_init__()
        train, test = self.most
        require("samples", self.shares <= self.samples <= train, f"in [{self.shares}, {train}]", self.samples)
        require("test_samples", (self.test_samples or 1) <= test, f"in [1, {test}]", self.test_samples)

    def sizes(self) -> list[int]:
        """How many samples each share has."""
        return [len(share) for share in torch.arange(self.samples).tensor_split(self.shares)]

    def draw(self, data: Digits | Pictures, generator: torch.Generator) -> Drawn:
        """The shares of the training examples, and the test."""
        chosen = torch.randperm(len(data.labels), generator=generator)[: self.samples]
        truth = data.labels[chosen]
        drawn = torch.randint(self.classes, (self.samples,), generator=generator)
        count = round(self.relabeled * self.samples)
        turned = torch.arange(count) * self.samples // max(1, count)  # spread over the shares, of a random order
        labels = truth.index_copy(0, turned, drawn[turned])
        known = Environment("train", _inputs(data.images[chosen]), labels, {"true_label": truth}, chosen)
        asked = torch.arange(len(data.test_labels))
        if self.test_samples is not None:
            asked = torch.randperm(len(asked), generator=generator)[: self.test_samples]
        unseen = data.test_labels[asked]
        test = Environment("test", _inputs(data.test_images[asked]), unseen, {"true_label": unseen}, asked)
        shares = [
            replace(known.subset(index), name=f"share {number + 1}")
            for number, index in enumerate(torch.arange(self.samples).tensor_split(self.shares))
        ]
        return Shared(tuple(shares), tests=(test,), outputs=1 if self.classes == 2 else self.classes)


# The paper's setting, with GroupNorm (`networks.ResNet`): 80 epochs of 625 steps, Adam's weight decay of 1e-6.
_PAPER: Mapping[str, Any] = {
    "network": "residual",
    "width": 64,
    "samples": 50_000,
    "batch_size": 1,
    "steps": 50_000,
    "learning_rate": 5e-4,
    "decay": "tenth",
    "l2": 5e-7,
    "anneal": 0,
}
_QUICK: Mapping[str, Any] = {**_PAPER, "width": 4, "samples": 2000, "steps": 1500, "learning_rate": 5e-3, "l2": 0.0}
_FEW = {"samples": 400, "test_samples": 1000, "steps": 240}
_SMOKE = {**_QUICK, "width": 2, "samples": 160, "test_samples": 100, "steps": 4}


@dataclass(frozen=True)
class RandomLabels(Relabeled):
    """The ten digits."""

    source: Source = "auto"
    """Which digits: auto, mnist or rendered."""

    label = "random labels"
    budgets = MappingProxyType(
        {
            "smoke": _SMOKE,
            "quick": {**_QUICK, **_FEW, "network": "perceptron", "width": 64},
            "paper": _PAPER,
        }
    )

    def load(self) -> Digits:
        """The digits of `source`."""
        return load_digits(self.source, quiet=True)

    def announce(self) -> None:
        """Say on the terminal that a stand-in takes the place of MNIST, where it does."""
        announce(self.source)


@dataclass(frozen=True)
class RandomLabelsCIFAR10(Relabeled):
    """CIFAR-10's pictures, bytes (n, 3, 32, 32)."""

    label = "random labels, CIFAR-10"
    most = 50_000, 10_000
    budgets = MappingProxyType({"smoke": _SMOKE, "quick": _QUICK, "paper": _PAPER})

    def load(self) -> Pictures:
        """CIFAR-10. Raises `DataError` where it is not there."""
        return _pictures("CIFAR-10", cifar10())


@dataclass(frozen=True)
class RandomLabelsShapes(Relabeled):
    """Drawn triangles and squares, bytes (n, 3, 32, 32): two classes."""

    label = "random labels, shapes"
    classes = 2
    most = shapes.TRAIN, shapes.TEST
    budgets = MappingProxyType(
        {
            "smoke": _SMOKE,
            "quick": {**_QUICK, **_FEW},
            "paper": {**_PAPER, "samples": 10_000, "steps": 10_000},
        }
    )

    def load(self) -> Pictures:
        """The pictures, the same in every process."""
        return _pictures("drawn shapes", shapes.shapes())
