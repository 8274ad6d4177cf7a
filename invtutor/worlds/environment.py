"""Samples drawn under one distribution: all that a method ever sees of a world."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

__all__ = ["INTEGERS", "Environment", "conflicting", "group_of", "plain", "pool", "split"]

INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)  # of which labels may be


@dataclass(frozen=True, eq=False)
class Environment:
    """Samples drawn under one distribution. Frozen: no method of the course writes to it.

    inputs, labels: all that most methods see. Inputs are (n, …), float32, or uint8 for pictures that stay in memory as
    bytes; labels are (n,) whole numbers.
    attributes: what else is known of each sample, (n,) whole numbers by name, such as color, digit or place. Where a
    world has a spurious clue, `conflict` is 1 for samples in which it contradicts the label; where it has groups of
    another kind, `group` is their number.
    index: (n,) int64, the sample's number where it comes from, its own among all training samples; None counts from 0.
    plain: inputs → inputs without the spurious clue, the oracle's view; None where nobody can tell.
    """

    name: str
    inputs: Tensor
    labels: Tensor
    attributes: Mapping[str, Tensor] = field(default_factory=dict)
    index: Tensor = None  # type: ignore[assignment]
    plain: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        if self.index is None:
            object.__setattr__(self, "index", torch.arange(len(self.inputs), device=self.inputs.device))
        for name, value in {"labels": self.labels, "index": self.index, **self.attributes}.items():
            if not isinstance(value, Tensor) or value.dtype not in INTEGERS or value.shape != self.inputs.shape[:1]:
                found = f"{tuple(value.shape)} {value.dtype}" if isinstance(value, Tensor) else repr(value)
                wish = f"whole numbers (n,), one for each of the inputs {tuple(self.inputs.shape)}"
                raise ValueError(f"Parameter `{name}` should be {wish}. Found {found}.")
            if type(value) is Tensor and len(value) and value.device.type == "cpu" and value.min() < 0:
                raise ValueError(f"Parameter `{name}` should be at least 0. Found {value.min().item()}.")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, name: str) -> Tensor:
        """An attribute, (n,). Raises ValueError, naming those that there are."""
        if name not in self.attributes:
            known = ", ".join(self.attributes) or "none"
            raise ValueError(f"Parameter `name` should be an attribute of {self.name!r}: {known}. Found {name!r}.")
        return self.attributes[name]

    def each(self, change: Callable[[Tensor], Tensor]) -> "Environment":
        """The environment with all its tensors changed alike."""
        changed = copy(self)  # which skips the checks: they cost as much as a batch
        attributes = {name: change(value) for name, value in self.attributes.items()}
        for part, value in (("inputs", self.inputs), ("labels", self.labels), ("index", self.index)):
            object.__setattr__(changed, part, change(value))
        object.__setattr__(changed, "attributes", attributes)
        return changed

    def subset(self, index: Tensor | slice) -> "Environment":
        """The samples at `index`, (m,) int64 or a mask (n,) bool, or of a slice."""
        return self.each(lambda tensor: tensor[index])

    def singly(self) -> list["Environment"]:
        """Each sample as an environment of its own."""
        return [replace(self.subset(slice(i, i + 1)), name=f"{self.name} {i + 1}") for i in range(len(self))]

    def sample(self, size: int, generator: torch.Generator) -> "Environment":
        """A minibatch: `size` samples drawn with replacement. The generator lives on the CPU whatever the device."""
        index = torch.randint(len(self), (size,), generator=generator).to(self.labels.device)
        return self.each(lambda tensor: tensor.index_select(0, index))

    def to(self, device: str | torch.device) -> "Environment":
        """The same environment with its tensors on `device`."""
        return self.each(lambda tensor: tensor.to(device))

    def gray(self) -> "Environment":
        """The same samples with the spurious clue taken away: on Colored MNIST every channel holds the whole digit.

        This is REx's gray test ("grayscale_dup"): how much shape does a network know once color is silent? Raises
        ValueError where the world does not say how.
        """
        return replace(self, inputs=plain(self)(self.inputs))


def plain(samples: Environment) -> Callable[[Tensor], Tensor]:
    """How its inputs look without the spurious clue. Raises ValueError where the world does not say."""
    if samples.plain is None:
        wish = "from a world that can take its spurious clue away"
        raise ValueError(f"Parameter `samples` should be {wish}. Found {samples.name!r}, which cannot.")
    return samples.plain


def conflicting(samples: Environment) -> Tensor:
    """In which samples the spurious clue contradicts the label: (n,) bool. Raises ValueError where nobody can tell."""
    if "conflict" not in samples.attributes:
        wish = "from a world that knows groups, or in which samples its clue contradicts the label"
        raise ValueError(f"Parameter `samples` should be {wish}. Found {samples.name!r}, which knows neither.")
    return samples["conflict"].bool()


def group_of(samples: Environment) -> Tensor:
    """The number of each sample's group, (n,) int64: the world's own groups, else those of label and conflict."""
    if "group" in samples.attributes:
        return samples["group"].long()
    return 2 * samples.labels + conflicting(samples).long()


def pool(environments: Sequence[Environment], name: str = "pooled") -> Environment:
    """All samples of some environments as one, in their order, with the attributes that all of them have."""
    shared = [name for name in environments[0].attributes if all(name in e.attributes for e in environments)]
    inputs, labels, index = (
        torch.cat([getattr(environment, part) for environment in environments])
        for part in ("inputs", "labels", "index")
    )
    attributes = {name: torch.cat([e[name] for e in environments]) for name in shared}
    return Environment(name, inputs, labels, attributes, index, environments[0].plain)


def split(environment: Environment, share: float, generator: torch.Generator) -> tuple[Environment, Environment]:
    """Two environments that share out the samples at random: the rest, and a `share` in (0, 1) that is held out."""
    order = torch.randperm(len(environment), generator=generator).to(environment.labels.device)
    cut = round(share * len(environment))
    return environment.subset(order[cut:]), environment.subset(order[:cut])
