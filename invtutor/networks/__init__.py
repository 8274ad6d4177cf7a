"""What learns. Each network is made of (shape, width, outputs, generator), and has `features` and a `head`."""

from collections.abc import Mapping

from invtutor.networks.convolutional import CNN
from invtutor.networks.network import Network
from invtutor.networks.perceptron import MLP
from invtutor.networks.residual import ResNet

__all__ = ["CNN", "MLP", "NETWORKS", "Network", "ResNet"]

NETWORKS: Mapping[str, type[Network]] = {"perceptron": MLP, "convolutional": CNN, "residual": ResNet}
