"""What learns. Each network is made of (shape, width, outputs, generator), and has `features` and a `head`."""

from collections.abc import Callable
from functools import partial

from invtutor.networks.convolutional import CNN
from invtutor.networks.network import Network
from invtutor.networks.perceptron import MLP
from invtutor.networks.residual import ResNet
from invtutor.networks.spiral import SpiralMLP
from invtutor.plugins import Registry

__all__ = ["CNN", "MLP", "NETWORKS", "Network", "ResNet", "SpiralMLP"]

NETWORKS: Registry[Callable[..., Network]] = Registry(
    "networks",
    {
        "perceptron": MLP,
        "convolutional": CNN,
        "residual": ResNet,
        "spiral": SpiralMLP,
        "spiral_dropout": partial(SpiralMLP, dropout=0.5),
        "spiral_batch_norm": partial(SpiralMLP, batch_norm=True),
    },
)
"""The networks, by the names that recipes call them."""
