"""Temporal AND-mask (arXiv 2009.00329): an AND-mask whose environments are the batches of the last steps."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

import torch
from torch import Generator, Tensor

from invtutor.algorithms.algorithm import Algorithm, Scalars, within
from invtutor.algorithms.descent import accumulate
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import precise, risks

__all__ = ["TemporalMask"]


@dataclass(eq=False)
class TemporalMask(Algorithm):
    """Temporal AND-mask:  1[|a| ≥ τ] ⊙ g,  a ← β₃ a + (1 − β₃) sign g,  g = mean_e ∇R^e(θ)
                                                                            (Parascandolo et al. 2021, §4.3, CoinRun)

    With many environments a gradient of each is dear. This asks in their place whether a coordinate's sign stays the
    same from batch to batch: one number a parameter, and no gradient but the usual one.

    paper → code:  τ → threshold (0 is ERM);  β₃ → memory;  a → averages, all in one vector.

    Its defaults are the values that the paper found for CoinRun, with an Adam whose β₁ was .21 and that is .9 here. The
    mask acts on what Adam sees; the L2 term 2·l2·θ is added after it. A recipe's `weight_decay` is the paper's, which
    Adam does not see.
    """

    threshold: float = within(0.36, 0, 1)
    memory: float = within(0.79, 0, 1, below=True)
    averages: Tensor | None = field(default=None, init=False)

    label = "temporal AND-mask"
    neutral = {"threshold": 0.0}
    carries = ("averages",)
    holds = False

    def prepare(self, environments: Sequence[Environment], generator: Generator | None = None) -> Sequence[Environment]:
        environments = super().prepare(environments)
        self.averages = torch.cat([torch.zeros_like(theta).flatten() for theta in self.parameters()])
        return environments

    def backward(self, environments: Sequence[Environment]) -> Scalars:
        assert self.averages is not None, "`prepare` makes them"
        risk, own = risks(self.model, environments).mean(), self.parameters()
        gradients = torch.autograd.grad(risk, own, allow_unused=True, materialize_grads=True)
        signs = torch.cat([gradient.sign().flatten() for gradient in gradients])
        self.averages = self.memory * self.averages + (1 - self.memory) * signs
        masks = (self.averages.abs() >= self.threshold).split([theta.numel() for theta in own])
        for theta, gradient, mask in zip(own, gradients, masks, strict=True):
            accumulate(theta, mask.view_as(theta) * gradient + 2 * self.l2 * theta.detach())
        return {"risk": risk.detach(), "kept": reduce(torch.add, [precise(m).mean() for m in masks]) / len(masks)}
