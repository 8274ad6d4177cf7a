"""Samples drawn under one distribution: all that a method ever sees of a world."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from math import nan
from typing import Any, TypeVar

import torch
from torch import Tensor

__all__ = ["INTEGERS", "Environment", "pool", "split", "with_tensors"]

PATCH = 3  # side of the square that the optional second spurious feature puts into an upper corner
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)  # of which labels may be


Samples = TypeVar("Samples")


def with_tensors(samples: Samples, change: Callable[[Tensor], Tensor]) -> Samples:
    assert is_dataclass(samples) and not isinstance(samples, type)
    values = {f.name: getattr(samples, f.name) for f in fields(samples)}
    changed: dict[str, Any] = {name: change(value) for name, value in values.items() if isinstance(value, Tensor)}
    return replace(samples, **changed)


@dataclass(frozen=True, eq=False)
class Environment:
    """Samples drawn under one distribution. Frozen: no method of the course writes to it.

    inputs, labels: all that a method sees. On Colored MNIST inputs are (n, channels, 14, 14) float32 in [0, 1], where
    only the channel of the sample's color is not zero; labels are the noisy ones, (n,) int64.
    flip_rate: how often the color disagrees with the label; NaN in a world without colors, such as the spirals.
    colors, digits: (n,) int64; the color, and the digit that was written (0 … 9); None in a world without them.
    patches: (n,) int64, 0 = upper left, 1 = upper right; None in a world without patches.
    """

    name: str
    inputs: Tensor
    labels: Tensor
    flip_rate: float = nan
    colors: Tensor | None = None
    digits: Tensor | None = None
    patches: Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("labels", "colors", "digits", "patches"):
            value = getattr(self, name)
            if value is None and name != "labels":
                continue
            if not isinstance(value, Tensor) or value.dtype not in INTEGERS or value.shape != self.inputs.shape[:1]:
                found = f"{tuple(value.shape)} {value.dtype}" if isinstance(value, Tensor) else repr(value)
                wish = f"whole numbers (n,), one for each of the inputs {tuple(self.inputs.shape)}"
                raise ValueError(f"Parameter `{name}` should be {wish}. Found {found}.")
            if len(value) and value.device.type == "cpu" and value.min() < 0:
                raise ValueError(f"Parameter `{name}` should be at least 0. Found {value.min().item()}.")

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, index: Tensor) -> "Environment":
        """The samples at `index`, (m,) int64 or a mask (n,) bool."""
        return with_tensors(self, lambda tensor: tensor[index])

    def sample(self, size: int, generator: torch.Generator) -> "Environment":
        """A minibatch: `size` samples drawn with replacement. The generator lives on the CPU whatever the device."""
        index = torch.randint(len(self), (size,), generator=generator).to(self.labels.device)
        return with_tensors(self, lambda tensor: tensor.index_select(0, index))

    def to(self, device: str | torch.device) -> "Environment":
        """The same environment with its tensors on `device`."""
        return with_tensors(self, lambda tensor: tensor.to(device))

    def gray(self) -> "Environment":
        """The same digits with color (and patch) taken away: every channel holds the whole digit.

        This is REx's gray test ("grayscale_dup"): how much shape does a network know once color is silent?
        """
        ink = self.inputs.sum(1, keepdim=True)
        if self.patches is not None:
            ink[:, :, :PATCH, :PATCH] = ink[:, :, :PATCH, -PATCH:] = 0.0  # few digits reach into them (4 %)
        return replace(self, inputs=ink.expand_as(self.inputs), patches=None)


def pool(environments: Sequence[Environment], name: str = "pooled") -> Environment:
    """All samples of some environments as one, in their order; its flip rate is that of the mixture.

    Tensors that one of them has not are None.
    """
    tensors: dict[str, Any] = {}
    for part in ("inputs", "labels", "colors", "digits", "patches"):
        values = [getattr(environment, part) for environment in environments]
        tensors[part] = None if any(value is None for value in values) else torch.cat(values)
    sizes = [len(environment) for environment in environments]
    rate = sum(size * e.flip_rate for size, e in zip(sizes, environments, strict=True)) / sum(sizes)
    return Environment(name, flip_rate=rate, **tensors)


def split(environment: Environment, share: float, generator: torch.Generator) -> tuple[Environment, Environment]:
    """Two environments that share out the samples at random: the rest, and a `share` in (0, 1) that is held out."""
    order = torch.randperm(len(environment), generator=generator).to(environment.labels.device)
    cut = round(share * len(environment))
    return environment.subset(order[cut:]), environment.subset(order[:cut])
