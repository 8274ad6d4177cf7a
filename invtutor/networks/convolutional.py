"""A small convolutional network for images of any size."""

import torch
from torch import Tensor, nn

from invtutor.networks.network import Network, convolution, image, linear, normalization

__all__ = ["CNN"]


class CNN(Network):
    """Four 3 × 3 convolutions, the second with stride 2, each with GroupNorm and ReLU; then the mean over all pixels.

    The channels are those of the network that DomainBed takes for MNIST (Gulrajani and Lopez-Paz 2021). Unlike theirs
    it normalizes before the ReLU: behind it, the means of a group's channels would add up to a constant.

    shape: (channels, height, width); (height, width) has one channel, and (numbers,) is an image of one pixel.
    width: channels of the first convolution, 64 in DomainBed; the others have twice as many.
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
        channels, layers = self.shape[0], list[nn.Module]()
        for filters, stride in ((width, 1), (2 * width, 2), (2 * width, 1), (2 * width, 1)):
            layers += [convolution(channels, filters, generator, stride), normalization(filters), nn.ReLU(inplace=True)]
            channels = filters
        self.layers = nn.Sequential(*layers)
        self.head = linear(channels, outputs, generator)

    def embed(self, inputs: Tensor) -> Tensor:
        """(n, *shape) → (n, 2 · width)."""
        return self.layers(inputs.reshape(-1, *self.shape)).mean((2, 3))
