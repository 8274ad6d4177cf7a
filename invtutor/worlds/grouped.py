"""Pictures in four groups of label × attribute, of which two are rare in training: the worst group is what counts."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor

from invtutor.fields import within
from invtutor.worlds.environment import Environment
from invtutor.worlds.world import Drawn, Setting

__all__ = ["TEST", "TRAIN", "VALIDATION", "Grouped", "Pictures"]

TRAIN, VALIDATION, TEST = range(3)  # what `splits` says


class Pictures(Protocol):
    """labels, attributes, splits: (n,) int64, of pictures that are had by their numbers."""

    @property
    def labels(self) -> Tensor: ...

    @property
    def attributes(self) -> Tensor: ...

    @property
    def splits(self) -> Tensor: ...

    def inputs(self, numbers: Tensor) -> Tensor:
        """(n, 3, size, size) uint8, or (n, features) float32."""


@dataclass(frozen=True)
class Grouped(Setting):
    """What is drawn of such pictures.

    Attributes of its environments are the place, or what stands for it; `conflict`, where it is not the usual one; and
    `group`, 2 · label + place.
    """

    samples: int | None = within(None, 2, 1_000_000)
    """Pictures to train on, drawn at random; None takes all."""
    test_samples: int | None = within(None, 1, 1_000_000)
    """Pictures for the test, and as many for validation, drawn at random; None takes all."""
    environments: Literal["places", "mixtures"] = "places"
    """What the training environments are: one for each place, or two mixtures, with a tenth of those that conflict in
    the first and the others in the second. Within one place, the place is a constant, and no method of the IRM kind
    can learn that it varies."""

    attribute: ClassVar[tuple[str, str, str]]
    """What an attribute of 0 or 1 tells, and how the two are called."""

    def draw(self, data: Any, generator: torch.Generator) -> Drawn:
        """The training environments, the validation and the test. data: `Pictures`."""
        chosen = []
        for split, most in ((TRAIN, self.samples), (VALIDATION, self.test_samples), (TEST, self.test_samples)):
            numbers = (data.splits == split).nonzero()[:, 0]
            chosen.append(numbers[torch.randperm(len(numbers), generator=generator)][:most])
        train, validation, test = chosen
        name, *words = self.attribute
        if self.environments == "places":
            parts = {f"train {words[place]}": train[data.attributes[train] == place] for place in (0, 1)}
        else:
            rare, usual = (train[self.conflict(data)[train] == conflict] for conflict in (1, 0))
            tenth, half = len(rare) // 10, len(usual) // 2
            parts = {
                "train mixture 1": torch.cat([rare[:tenth], usual[:half]]),
                "train mixture 2": torch.cat([rare[tenth:], usual[half:]]),
            }

        def environment(title: str, numbers: Tensor) -> Environment:
            labels, places = data.labels[numbers], data.attributes[numbers]
            attributes = {name: places, "conflict": self.conflict(data)[numbers]}
            attributes["group"] = 2 * labels + places
            return Environment(title, data.inputs(numbers), labels, attributes, numbers)

        held_out = (environment("validation", validation),) if len(validation) else ()
        return Drawn(
            tuple(environment(*part) for part in parts.items() if len(part[1])),
            held_out,
            (environment("test", test),),
        )

    @staticmethod
    def conflict(data: Pictures) -> Tensor:
        """Where the attribute is not what it usually is for the label: (n,) int64."""
        return data.labels ^ data.attributes
