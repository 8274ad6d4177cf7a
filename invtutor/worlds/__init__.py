"""What is learned from, and what is measured there."""

from invtutor.plugins import plugged
from invtutor.worlds.cifar_mnist import CIFARMNIST, ShapesMNIST
from invtutor.worlds.colored_mnist import ColoredMNIST
from invtutor.worlds.photographs import CelebA, Waterbirds
from invtutor.worlds.random_labels import RandomLabels
from invtutor.worlds.spirals import Spirals
from invtutor.worlds.world import Setting

__all__ = ["WORLDS"]

WORLDS: dict[str, type[Setting]] = {
    "colored_mnist": ColoredMNIST,
    "spirals": Spirals,
    "random_labels": RandomLabels,
    "cifar_mnist": CIFARMNIST,
    "shapes_mnist": ShapesMNIST,
    "waterbirds": Waterbirds,
    "celeba": CelebA,
    **plugged("worlds"),
}
"""The worlds' settings, by the names that recipes and commands call them."""
