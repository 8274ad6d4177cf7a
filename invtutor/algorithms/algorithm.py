"""The protocol of every method: an optimizer moves some tensors, one call fills their `.grad`, a model predicts."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Generator, Tensor, nn

from invtutor.algorithms.ready import ready, trainable
from invtutor.fields import check, require, within
from invtutor.worlds.environment import Environment
from invtutor.worlds.judging import evaluating

__all__ = ["Algorithm", "Metrics", "Scalars", "require", "within"]

Metrics = dict[str, float]
Scalars = dict[str, Tensor]  # metrics of a step before anyone has read them: to read one waits for the device


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

    # What a method is, for everyone who walks over all of them:
    label: ClassVar[str]  # in legends, tables and test ids
    least_environments: ClassVar[int] = 1
    ordered: ClassVar[bool] = False  # whether an environment's place among the others matters
    looks_inside: ClassVar[bool] = False  # whether it needs a model's `features` and `head`
    neutral: ClassVar[Mapping[str, float] | None] = None  # hyper-parameters at which it is ERM; None where it never is
    holds: ClassVar[bool | None] = None  # whether it keeps to the shape on Colored MNIST; None where that depends
    trained_like: ClassVar[str] = ""  # the method whose steps and annealing it is given, if it has none of its own
    carries: ClassVar[tuple[str, ...] | None] = ()  # attributes that a step changes; None: it is no pure function

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
        ready(self.label, self.model, environments, looks_inside=self.looks_inside)

    @abstractmethod
    def backward(self, environments: Sequence[Environment]) -> Scalars:
        """Fill `.grad` of every tensor in `parameters()` and return the step's metrics, scalars without a graph, by the
        names of history.GLOSSARY."""

    def noise(self) -> Tensor | None:
        """What a step takes at random, drawn by a generator of the method's own; None where nothing is."""
        return None

    def parameters(self) -> list[Tensor]:
        """What the optimizer moves."""
        return list(trainable(self.model).values())

    def predict(self, inputs: Tensor) -> Tensor:
        """Logits (n, outputs), in eval mode; it leaves the model as it is."""
        with evaluating(self.model):
            return self.model(inputs)

    def __str__(self) -> str:
        return self.label
