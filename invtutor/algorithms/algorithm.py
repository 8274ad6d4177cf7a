"""The protocol of every method: an optimizer moves some tensors, one call fills their `.grad`, a model predicts."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor, nn

from invtutor.environments import Environment

__all__ = ["Algorithm", "Metrics"]

Metrics = dict[str, float]


@dataclass(eq=False)
class Algorithm(ABC):
    """A published method around a model. `backward` stands exactly where `loss.backward()` stands in the usual loop.

    model: maps inputs (n, channels, 14, 14) to logits (n, outputs).
    l2: weight of ‖θ‖² in the objective, over weights and biases; the reference code adds it to the loss (it is no
        optimizer's weight decay), so that it is divided together with the loss where a method rescales.
    """

    model: nn.Module
    l2: float = field(default=0.0, kw_only=True)

    label: ClassVar[str]  # what legends, tables and test ids call the method

    def prepare(self, environments: Sequence[Environment]) -> Sequence[Environment]:
        """See the training environments once, before the optimizer is made; returns those that the loop draws from."""
        return environments

    @abstractmethod
    def backward(self, environments: Sequence[Environment]) -> Metrics:
        """Fill `.grad` of every tensor in `parameters()` and return the step's metrics (history.GLOSSARY)."""

    def parameters(self) -> list[Tensor]:
        """What the optimizer moves."""
        return list(self.model.parameters())

    def predict(self, inputs: Tensor) -> Tensor:
        """Logits (n, outputs)."""
        return self.model(inputs)

    def __str__(self) -> str:
        return self.label
