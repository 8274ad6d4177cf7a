"""Two spirals under a shortcut: a data set in which the easy answer holds in every environment, and nowhere else.

Each input is two numbers that lie on one of two interleaved spirals, the mechanism, and next to them a vector that is
+signature for one class and −signature for the other, the shortcut. Every environment has its own signature, drawn at
random; in the test each example has. To learn all signatures by heart is easy, to untwist the spirals is hard, and
only the spirals are the same everywhere (Parascandolo et al. 2021, arXiv 2009.00329, §4.1 and appendix B).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from invtutor.fields import within
from invtutor.worlds.environment import Environment
from invtutor.worlds.world import Drawn, Setting

__all__ = ["AS_IN_THE_CODE", "Spirals"]

REVOLUTIONS = 3
AS_IN_THE_CODE: Mapping[str, Any] = MappingProxyType({"scale": 1.0, "batch_size": 256, "epochs": 150})
"""The setting of the authors' code, where it differs from the paper's and ours."""


def _mechanism(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points on the spirals (count, 2), each coordinate of variance 1, and their labels (count,)."""
    radius = 0.08 + 0.92 * torch.rand(count, generator=generator)
    labels = torch.randint(2, (count,), generator=generator)
    angle = math.pi * (2 * REVOLUTIONS * radius + labels)
    blurred = radius + 0.04 * torch.rand(count, generator=generator) - 0.02
    points = torch.stack([angle.cos(), angle.sin()], 1) * blurred[:, None]
    return points / points.std(0, unbiased=False), labels


def unsigned(inputs: Tensor) -> Tensor:
    """The mechanism alone: the shortcut's numbers are zero."""
    return torch.cat([inputs[:, :2], torch.zeros_like(inputs[:, 2:])], 1)


@dataclass(frozen=True)
class Spirals(Setting):
    """What the spirals are drawn by. Inputs are (n, 2 + shortcut) float32, the mechanism first."""

    environments: int = within(16, 1, 1000)
    """Training environments, each with a signature of its own."""
    samples: int = within(1024, 2, 100_000)
    """Samples in each training environment."""
    shortcut: int = within(16, 1, 1000)
    """Dimensions of the shortcut."""
    scale: float = within(0.1, 0, 1000)
    """Standard deviation of the shortcut's numbers over environments; the mechanism's is 1."""
    test_samples: int = within(2000, 2, 100_000)
    """Samples of the test."""

    label = "spirals"
    budgets = MappingProxyType({"smoke": {"environments": 4, "samples": 64}})

    def sizes(self) -> list[int]:
        """How many samples each training environment has."""
        return [self.samples] * self.environments

    def draw(self, data: Any, generator: torch.Generator) -> Drawn:
        """The training environments and the test; it needs no data."""
        train = []
        for index in range(self.environments):
            points, labels = _mechanism(self.samples, generator)
            signature = self.scale * torch.randn(self.shortcut, generator=generator)
            inputs = torch.cat([points, (2 * labels - 1)[:, None] * signature], 1)
            numbers = torch.arange(index * self.samples, (index + 1) * self.samples)
            train.append(Environment(f"environment {index + 1}", inputs, labels, index=numbers, plain=unsigned))
        points, labels = _mechanism(self.test_samples, generator)
        noise = self.scale * torch.randn(self.test_samples, self.shortcut, generator=generator)
        test = Environment("test", torch.cat([points, noise], 1), labels, plain=unsigned)
        return Drawn(tuple(train), tests=(test,))
