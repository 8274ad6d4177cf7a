"""Empirical risk minimization, the method that everything else in the course is measured against."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Generator

from invtutor.algorithms.algorithm import Algorithm, Scalars
from invtutor.worlds.environment import Environment, pool
from invtutor.worlds.risks import risks, squared_norm

__all__ = ["ERM"]


@dataclass(eq=False)
class ERM(Algorithm):
    """Empirical risk minimization:  mean_e R^e(θ)      (Vapnik 1992)

    With equally large environments the mean over environments is the mean over the pooled samples: ERM does not know
    that there are environments at all. pooled: it draws its batches from all samples as one, as is usual elsewhere.
    """

    pooled: bool = False

    label = "ERM"
    neutral = {}
    holds = False

    def prepare(self, environments: Sequence[Environment], generator: Generator | None = None) -> Sequence[Environment]:
        environments = super().prepare(environments)
        return [pool(environments)] if self.pooled else environments

    def backward(self, environments: Sequence[Environment]) -> Scalars:
        risk = risks(self.model, environments).mean()
        (risk + self.l2 * squared_norm(self.model)).backward()
        return {"risk": risk.detach()}
