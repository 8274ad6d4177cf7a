"""AND-mask (arXiv 2009.00329): follow a gradient only where the environments agree on its sign."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from invtutor.algorithms.algorithm import Algorithm, Scalars, within
from invtutor.algorithms.descent import accumulate, trainable
from invtutor.algorithms.gradients import environment_gradients
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import precise

__all__ = ["AndMask", "agreement", "and_mask", "geometric_mean", "mask"]


def agreement(gradients: Tensor) -> Tensor:
    """|mean_e sign g_e|, (environments, *) → (*): 1 where all signs agree, 0 where they cancel or are zero."""
    return gradients.sign().mean(0).abs()


def mask(gradients: Tensor, threshold: float) -> Tensor:
    """m_τ, 1 where the agreement is at least τ, else 0: (environments, *) → (*)."""
    return (agreement(gradients) >= threshold).to(gradients)


def and_mask(gradients: Tensor, threshold: float) -> Tensor:
    """m_τ ⊙ mean_e g_e, (environments, *) → (*). τ = 0 keeps the plain mean."""
    return mask(gradients, threshold) * gradients.mean(0)


def geometric_mean(gradients: Tensor, threshold: float) -> Tensor:
    """m_τ ⊙ sign(mean_e g_e) · (∏_e |g_e|)^(1/d), taken by logarithms: (environments, *) → (*)."""
    return mask(gradients, threshold) * signed_size(gradients)


def signed_size(gradients: Tensor) -> Tensor:
    """sign(mean_e g_e) · (∏_e |g_e|)^(1/d), whether the signs agree or not: (environments, *) → (*)."""
    return gradients.mean(0).sign() * (gradients.abs() + 1e-10).log().mean(0).exp()


@dataclass(eq=False)
class AndMask(Algorithm):
    """AND-mask:  m_τ ⊙ mean_e ∇R^e(θ),  m_τ = 1[|mean_e sign ∇R^e(θ)| ≥ τ]      (Parascandolo et al. 2021, §2.3)

    The mean of gradients is an OR: one environment can carry a coordinate alone. The geometric mean is an AND: it is
    large only where all are. The mask keeps the AND's veto and the mean's size.

    paper → code:  τ → threshold (0 is ERM, 1 asks all to agree);  inverse-sparsity scaling, per tensor → rescale.
    Difference from the authors' code: the L2 term 2·l2·θ is added after the mask, as theirs by Adam's weight decay.
    """

    threshold: float = within(1.0, 0, 1)
    geometric: bool = False
    rescale: bool = True

    label = "AND-mask"
    neutral = {"threshold": 0.0}
    holds = False

    def backward(self, environments: Sequence[Environment]) -> Scalars:
        rows, by_environment = environment_gradients(self.model, environments)
        masks = {name: mask(row, self.threshold) for name, row in rows.items()}
        for name, theta in trainable(self.model).items():
            share = masks[name].mean().clamp(min=1e-10) if self.rescale else 1.0
            mean = signed_size(rows[name]) if self.geometric else rows[name].mean(0)
            accumulate(theta, masks[name] * mean / share + 2 * self.l2 * theta.detach())
        kept = [precise(m.mean()) for m in masks.values()]
        return {"risk": by_environment.mean(), "kept": reduce(torch.add, kept) / len(kept)}
