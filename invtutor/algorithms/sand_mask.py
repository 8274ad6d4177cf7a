"""SAND-mask (arXiv 2106.02266): an AND-mask with a soft edge, which also asks that the gradients be alike in size."""

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

__all__ = ["SandMask", "soft_mask"]


def soft_mask(gradients: Tensor, threshold: float, steepness: float) -> Tensor:
    """max(0, tanh(k / σ² · (|mean_e sign g_e| − τ))) with σ² the variance over environments: (environments, *) → (*).

    A coordinate in which the environments agree counts the more, the less they differ in size. At τ = 1 nothing passes.
    """
    margin = gradients.sign().mean(0).abs() - threshold
    return (steepness * margin / (gradients.var(0, unbiased=False) + 1e-10)).tanh().clamp(min=0.0)


@dataclass(eq=False)
class SandMask(Algorithm):
    """SAND-mask:  m ⊙ mean_e ∇R^e(θ),  m = max(0, tanh(k/σ² · (|mean_e sign ∇R^e| − τ)))     (Shahtalebi et al. 2021)

    paper → code:  τ → threshold (below 1: with full agreement the margin is 1 − τ);  k → steepness;  inverse-sparsity
    scaling, per tensor → rescale.

    Differences from DomainBed's code: 1. the L2 term 2·l2·θ is added after the mask; 2. τ = 0.5 by default, since at
    its τ = 1 the mask is zero everywhere; 3. σ² divides by the number of environments d, not by d − 1 as theirs, so
    that a k here acts as k · d/(d − 1) there: twice as much with two environments.
    """

    threshold: float = within(0.5, 0, 1, below=True)
    steepness: float = within(10.0, 0, 1e6, above=True)
    rescale: bool = True

    label = "SAND-mask"
    holds = False

    def backward(self, environments: Sequence[Environment]) -> Scalars:
        rows, by_environment = environment_gradients(self.model, environments)
        kept = []
        for name, theta in trainable(self.model).items():
            mask = soft_mask(rows[name], self.threshold, self.steepness)
            kept.append(precise(mask).mean())
            gradient = mask * rows[name].mean(0) / (mask.mean().clamp(min=1e-10) if self.rescale else 1.0)
            accumulate(theta, gradient + 2 * self.l2 * theta.detach())
        return {"risk": by_environment.mean(), "kept": reduce(torch.add, kept) / len(kept)}
