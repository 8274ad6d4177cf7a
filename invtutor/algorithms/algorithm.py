"""The protocol of every method: an optimizer moves some tensors, one call fills their `.grad`, a model predicts."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Generator, Tensor, nn

from invtutor.algorithms.ready import ready, trainable
from invtutor.fields import check, require, within
from invtutor.worlds.environment import Environment
from invtutor.worlds.judging import evaluating

__all__ = ["Algorithm", "Metrics", "require", "within"]

Metrics = dict[str, float]


@dataclass(eq=False)
class Algorithm(ABC):
    """A published method around a model. `backward` stands exactly where `loss.backward()` stands in the usual loop.

    model: maps inputs (n, channels, 14, 14) to logits (n, outputs).
    l2: weight of ‖θ‖² in the objective, over weights and biases; the reference code adds it to the loss (it is no
        optimizer's weight decay), so that it is divided together with the loss where a method rescales.
    Raises ValueError for a hyper-parameter outside its range, which stands with its field.
    """

    model: nn.Module
    l2: float = within(0.0, 0, 1000, kw_only=True)

    label: ClassVar[str]  # what legends, tables and test ids call the method
    least_environments: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check(self)

    def fits(self, samples: Sequence[int], batch_size: int | None = None) -> None:
        """Raises ValueError where it could learn nothing from environments of so many samples each."""
        wish = f"{self.least_environments} or more: {self.label} learns from what differs between them"
        require("flip_rates", len(samples) >= self.least_environments, wish, len(samples))

    def prepare(self, environments: Sequence[Environment], generator: Generator | None = None) -> Sequence[Environment]:
        """See the training environments once, before the optimizer is made; returns those that the loop draws from.
        generator: of the loop, for what is drawn here; None takes a fresh one with seed 0."""
        self.check(environments)
        return environments

    def check(self, environments: Sequence[Environment]) -> None:
        """Raise ValueError, naming method and layer, where the model cannot be trained on these environments."""
        ready(self.label, self.model, environments)

    @abstractmethod
    def backward(self, environments: Sequence[Environment]) -> Metrics:
        """Fill `.grad` of every tensor in `parameters()` and return the step's metrics (history.GLOSSARY)."""

    def parameters(self) -> list[Tensor]:
        """What the optimizer moves."""
        return list(trainable(self.model).values())

    def predict(self, inputs: Tensor) -> Tensor:
        """Logits (n, outputs), in eval mode; it leaves the model as it is."""
        with evaluating(self.model):
            return self.model(inputs)

    def __str__(self) -> str:
        return self.label
