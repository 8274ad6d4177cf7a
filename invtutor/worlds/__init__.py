"""What is learned from, and what is measured there."""

from invtutor.plugins import Registry
from invtutor.worlds.animals import Animals
from invtutor.worlds.cifar_mnist import CIFARMNIST, ShapesMNIST
from invtutor.worlds.coinrun import CoinRun
from invtutor.worlds.colored_mnist import ColoredMNIST
from invtutor.worlds.photographs import CelebA, Waterbirds
from invtutor.worlds.random_labels import RandomLabels, RandomLabelsCIFAR10, RandomLabelsShapes
from invtutor.worlds.spirals import Spirals
from invtutor.worlds.world import Setting

__all__ = ["WORLDS"]

WORLDS: Registry[type[Setting]] = Registry(
    "worlds",
    {
        "colored_mnist": ColoredMNIST,
        "spirals": Spirals,
        "random_labels": RandomLabels,
        "random_labels_cifar10": RandomLabelsCIFAR10,
        "random_labels_shapes": RandomLabelsShapes,
        "cifar_mnist": CIFARMNIST,
        "shapes_mnist": ShapesMNIST,
        "animals": Animals,
        "waterbirds": Waterbirds,
        "celeba": CelebA,
        "coinrun": CoinRun,
    },
)
"""The worlds' settings, by the names that recipes and commands call them."""
