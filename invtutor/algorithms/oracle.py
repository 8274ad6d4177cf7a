"""The oracle: somebody took the spurious clue away before it learned."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from torch import Generator, Tensor

from invtutor.algorithms.algorithm import Algorithm, Scalars
from invtutor.worlds.environment import Environment, plain
from invtutor.worlds.risks import risks, squared_norm

__all__ = ["Oracle"]


@dataclass(eq=False)
class Oracle(Algorithm):
    """ERM on inputs without the spurious clue:  mean_e R^e(θ)      (the grayscale model of Arjovsky et al. 2019, §5.2)

    What it reaches can be reached; how to know which clue is spurious is what the other methods are about.

    Difference from the authors' code: theirs sums Colored MNIST's two channels into one, 196 inputs; here both hold
    the whole digit, 392 inputs. The same predictors can be had (two weights that meet the same number act as their
    sum), but the first layer has twice as many weights, which the L2 term and Adam see.
    """

    plain: Callable[[Tensor], Tensor] | None = field(default=None, init=False)

    label = "ERM, gray"
    neutral = {}  # it changes the inputs alone
    holds = True

    def prepare(self, environments: Sequence[Environment], generator: Generator | None = None) -> Sequence[Environment]:
        self.check(environments)
        self.plain = plain(environments[0])
        return [replace(environment, inputs=self.plain(environment.inputs)) for environment in environments]

    def backward(self, environments: Sequence[Environment]) -> Scalars:
        risk = risks(self.model, environments).mean()
        (risk + self.l2 * squared_norm(self.model)).backward()
        return {"risk": risk.detach()}

    def predict(self, inputs: Tensor) -> Tensor:
        return super().predict(inputs if self.plain is None else self.plain(inputs))
