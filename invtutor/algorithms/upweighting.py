"""Upweighting: told the color, it lets every group of label and color count the same."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Generator

from invtutor.algorithms.algorithm import Algorithm, Scalars
from invtutor.algorithms.groups import group_shares, redraw
from invtutor.worlds.environment import Environment, pool
from invtutor.worlds.risks import risks, squared_norm

__all__ = ["Upweighting"]


@dataclass(eq=False)
class Upweighting(Algorithm):
    """Upweighting:  mean_g R^g(θ)  in place of  mean_e R^e(θ)      (as in Sagawa et al. 2020, arXiv 1911.08731, §3.3)

    g runs over the groups of label and color. `prepare` draws the pooled samples again, once, in proportion to 1 / n_g,
    n_g the size of a sample's group: the color then says nothing about the label. It is the reference for
    methods that must find this out, and no bound: another weighting may happen to score as high.

    Difference from the authors' code: theirs draws anew in each batch.
    """

    label = "upweighting"
    neutral = {}  # it changes the samples alone
    holds = True

    def prepare(self, environments: Sequence[Environment], generator: Generator | None = None) -> Sequence[Environment]:
        self.check(environments)
        samples = pool(environments)
        return [redraw(samples, group_shares(samples), generator)]

    def backward(self, environments: Sequence[Environment]) -> Scalars:
        risk = risks(self.model, environments).mean()
        (risk + self.l2 * squared_norm(self.model)).backward()
        return {"risk": risk.detach()}
