"""Empirical risk minimization, the method that everything else in the course is measured against."""

from collections.abc import Sequence
from dataclasses import dataclass

from invtutor.algorithms.algorithm import Algorithm, Metrics
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import risks, squared_norm

__all__ = ["ERM"]


@dataclass(eq=False)
class ERM(Algorithm):
    """Empirical risk minimization:  mean_e R^e(θ)      (Vapnik 1992)

    With equally large environments the mean over environments is the mean over the pooled samples: ERM does not know
    that there are environments at all.
    """

    label = "ERM"

    def backward(self, environments: Sequence[Environment]) -> Metrics:
        risk = risks(self.model, environments).mean()
        (risk + self.l2 * squared_norm(self.model)).backward()
        return {"risk": risk.item()}
