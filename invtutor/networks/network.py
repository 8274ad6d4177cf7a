"""What every network is: features of an example, and a linear head that reads them."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from math import gcd

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from invtutor.fields import require

__all__ = ["Network", "convolution", "image", "in_pieces", "linear", "normalization"]

PIECE = 64  # images


class Network(nn.Module, ABC):
    """features, then head. A method that looks inside knows these two names and no layer.

    head: features (n, width of the last layer) → logits (n, outputs).
    """

    head: nn.Linear

    @abstractmethod
    def features(self, inputs: Tensor) -> Tensor:
        """(n, *shape), floats or bytes → (n, head.in_features)."""

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, *shape) → logits (n, outputs)."""
        return self.head(self.features(inputs))

    def scaled(self, inputs: Tensor) -> Tensor:
        """Bytes 0 … 255 become numbers in [0, 1] of the weights' type; numbers stay as they are."""
        return inputs.to(self.head.weight.dtype) / 255 if inputs.dtype == torch.uint8 else inputs


def in_pieces(features: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """The features of images (n, …), a few hundred at a time where no gradient is asked for: what lies between the
    layers would else take a hundred times as much memory as the images."""
    if torch.is_grad_enabled():
        return features(images)
    return torch.cat([features(some) for some in images.split(PIECE)])


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
