"""Photographs as a network sees them that was trained elsewhere and stays as it is: features for a small network.

The network is torchvision's ResNet-18, -34 or -50 without its last layer, its weights a file in the safetensors form,
which unlike torchvision's own holds nothing but numbers. Photographs pass through it once; what it makes of them is
kept in the user's cache.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from invtutor.worlds.grouped import Pictures
from invtutor.worlds.kept import kept
from invtutor.worlds.missing import DataError

__all__ = ["Frozen"]

NAMES = ("resnet18", "resnet34", "resnet50")
WHERE = "https://huggingface.co/timm, as resnet18.tv_in1k", "BSD 3-clause", "47 MB"
MEAN, DEVIATION = (
    (0.485, 0.456, 0.406),
    (0.229, 0.224, 0.225),
)  # of ImageNet's colors, in which the networks were taught
BATCH = 100


@dataclass(frozen=True, eq=False)
class Frozen:
    """An album's photographs as features. album: `Pictures` with a `key` that no other photographs have."""

    album: Any
    weights: Path

    @property
    def labels(self) -> Tensor:
        return self.album.labels

    @property
    def attributes(self) -> Tensor:
        return self.album.attributes

    @property
    def splits(self) -> Tensor:
        return self.album.splits

    def __str__(self) -> str:
        return f"{self.album}, seen through {self.weights}"

    def inputs(self, numbers: Tensor) -> Tensor:
        """(n, features) float32. Raises `DataError` where photographs or weights cannot be read."""
        return self._features[numbers]

    @cached_property
    def _features(self) -> Tensor:
        if not self.weights.is_file():  # nor is a device read, which may have no end
            raise DataError("The frozen network", f"there is no file {self.weights}", *WHERE)
        try:
            taught = hashlib.sha256(self.weights.read_bytes()).hexdigest()
        except OSError as error:
            raise DataError("The frozen network", error, *WHERE) from None
        name = hashlib.sha256(f"{taught} {self.album.key}".encode()).hexdigest()[:20]
        count = len(self.labels)

        def whole(features: Tensor) -> bool:
            return (features.dtype, features.dim(), len(features)) == (torch.float32, 2, count)

        (features,) = kept(f"features-{name}.npz", ("features",), lambda: (seen(self.album, self.weights),), whole)
        return features


def seen(album: Pictures, weights: Path) -> Tensor:
    """What the network makes of all photographs: (n, 512) float32, or (n, 2048) of ResNet-50."""
    network, parts = _network(weights), torch.arange(len(album.labels)).split(BATCH)
    mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, DEVIATION))
    with torch.inference_mode():
        rows = [network((album.inputs(part) / 255 - mean) / deviation) for part in tqdm(parts, "features", leave=False)]
    return torch.cat(rows).clone()


def _network(weights: Path) -> nn.Module:
    """The network whose weights a file holds, without its last layer. Raises `DataError` where it holds no such."""
    try:
        from safetensors.torch import load_file
        from torchvision import models
    except ImportError as error:
        why = f"{error}; `pip install invtutor[features]` installs what reads it"
        raise DataError("The frozen network", why, *WHERE) from None
    try:
        found = {key: value.float() for key, value in load_file(weights).items() if "num_batches" not in key}
    except Exception as error:  # the library's own error is none that can be named without it
        raise DataError("The frozen network", f"{weights} is damaged ({error})", *WHERE) from None
    for name in NAMES:
        with torch.device("meta"):
            network: nn.Module = getattr(models, name)()
        wanted = {key: value.shape for key, value in network.state_dict().items() if "num_batches" not in key}
        if wanted == {key: value.shape for key, value in found.items()}:
            network.load_state_dict(found, strict=False, assign=True)
            network.fc = nn.Identity()
            return network.eval()
    raise DataError("The frozen network", f"{weights} has not the weights of {', '.join(NAMES)}", *WHERE)
