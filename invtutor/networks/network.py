"""What every network is: features of an example, and a linear head that reads them."""

from collections.abc import Callable
from contextlib import nullcontext
from math import gcd
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from invtutor.fields import require

__all__ = ["Network", "Precision", "convolution", "image", "linear", "normalization"]

Precision = Literal["float32", "bfloat16"]


class Network(nn.Module):
    """features, then head. A method that looks inside knows these two names and no layer.

    head: features (n, width of the last layer) → logits (n, outputs).
    precision: of the products on the way to the features; what follows, risks and penalties too, is in float32.
    piece: how many examples pass at a time. What lies between the layers of a full batch fits no cache, and that of
    many images no small memory; None where examples are normalized together.
    """

    head: nn.Linear
    precision: Precision = "float32"
    piece: ClassVar[int | None] = 3125

    def embed(self, inputs: Tensor) -> Tensor:
        """(n, *shape), of the weights' type → (n, head.in_features). What a network defines, if not `features`."""
        raise NotImplementedError

    def features(self, inputs: Tensor) -> Tensor:
        """(n, *shape), floats or bytes → (n, head.in_features)."""
        return self._by_pieces(self._features, inputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, *shape) → logits (n, outputs)."""
        return self._by_pieces(lambda some: self.head(self.features(some)), inputs)

    def _by_pieces(self, part: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
        if self.piece is None or len(inputs) <= self.piece:
            return part(inputs)
        return torch.cat([part(some) for some in inputs.split(self.piece)])

    def _features(self, inputs: Tensor) -> Tensor:
        halved = self.precision == "bfloat16"
        with torch.autocast(inputs.device.type, torch.bfloat16) if halved else nullcontext():
            return self.embed(self.scaled(inputs)).to(self.head.weight.dtype)

    def scaled(self, inputs: Tensor) -> Tensor:
        """Bytes 0 … 255 become numbers in [0, 1] of the weights' type; numbers stay as they are."""
        return inputs.to(self.head.weight.dtype) / 255 if inputs.dtype == torch.uint8 else inputs


# The layers' own draws would touch global randomness: they are made without, and filled from a generator.


def linear(fan_in: int, fan_out: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer with Xavier-uniform weights and zero biases."""
    layer = skip_init(nn.Linear, fan_in, fan_out)
    nn.init.xavier_uniform_(layer.weight, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer


def convolution(channels: int, filters: int, generator: torch.Generator, stride: int = 1) -> nn.Conv2d:
    """A 3 × 3 convolution that keeps height and width at stride 1, with Kaiming-normal weights. It has no biases: the
    normalization behind it has."""
    layer = skip_init(nn.Conv2d, channels, filters, 3, stride=stride, padding=1, bias=False)
    nn.init.kaiming_normal_(layer.weight, generator=generator)
    return layer


def normalization(channels: int) -> nn.GroupNorm:
    """GroupNorm with up to eight groups of two channels or more: one channel of one pixel would be all zero.

    Unlike BatchNorm it treats each example by itself, so that nothing leaks between environments, and a gradient per
    example exists.
    """
    return nn.GroupNorm(max(1, gcd(16, channels) // 2), channels)


def image(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """The shape (channels, height, width) of an example as an image: (height, width) has one channel, and a vector is
    one pixel with many."""
    given = {1: (*shape, 1, 1), 2: (1, *shape), 3: shape}.get(len(shape), (0, 0, 0))
    require("shape", min(given) > 0, "(channels, height, width), (height, width) or (numbers,)", shape)
    channels, height, width = given
    return channels, height, width
