"""The residual network of the AND-mask paper's memorization experiment, for images of any size."""

import torch
from torch import Tensor, nn

from invtutor.networks.network import Network, convolution, image, linear, normalization

__all__ = ["ResNet"]


class ResNet(Network):
    """Four blocks of 3 × 3 convolutions, the second and the last with a residual branch of two more; then the maximum
    over all pixels, times 1/8 (Parascandolo et al. 2021, on CIFAR-10; the form is Page's "How to train your ResNet").

    Differences from the authors' code: 1. GroupNorm stands where theirs has BatchNorm, which mixes the examples of a
    batch, and so their environments: with it no example has a gradient of its own; 2. the head has biases.

    shape: (channels, height, width); (height, width) has one channel, and (numbers,) is an image of one pixel.
    width: channels of the first block, 64 in their code; the others have 2, 4 and 8 times as many.
    outputs: 1 logit for two classes, else one logit per class.
    generator: the only source of randomness; None takes a fresh generator with seed 0.
    """

    piece = 64

    def __init__(
        self, shape: tuple[int, ...], width: int = 64, outputs: int = 1, generator: torch.Generator | None = None
    ):
        super().__init__()
        self.shape = image(shape)
        generator = generator or torch.Generator().manual_seed(0)
        halved = nn.MaxPool2d(2, ceil_mode=True)  # which leaves a single pixel as it is
        self.layers = nn.Sequential(
            block(self.shape[0], width, generator),
            block(width, 2 * width, generator),
            halved,
            Residual(2 * width, generator),
            block(2 * width, 4 * width, generator),
            halved,
            block(4 * width, 8 * width, generator),
            halved,
            Residual(8 * width, generator),
        )
        self.head = linear(8 * width, outputs, generator)

    def embed(self, inputs: Tensor) -> Tensor:
        """(n, *shape) → (n, 8 · width)."""
        return self.layers(inputs.reshape(-1, *self.shape)).amax((2, 3)) / 8


def block(channels: int, filters: int, generator: torch.Generator) -> nn.Sequential:
    """(n, channels, height, width) → (n, filters, height, width)."""
    return nn.Sequential(convolution(channels, filters, generator), normalization(filters), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """x + F(x), where F is two blocks."""

    def __init__(self, channels: int, generator: torch.Generator):
        super().__init__()
        self.branch = nn.Sequential(block(channels, channels, generator), block(channels, channels, generator))

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, channels, height, width) → the same shape."""
        return inputs + self.branch(inputs)
