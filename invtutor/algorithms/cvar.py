"""CVaR DRO: only the worst share of the samples counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from invtutor.algorithms.algorithm import Algorithm, Scalars, within
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import risk, squared_norm

__all__ = ["CVaRDRO", "tail_shares"]


def tail_shares(losses: Tensor, share: Tensor | float) -> Tensor:
    """q, (m,) → (m,): 1/(αm) on the ⌊αm⌋ largest of m losses, the rest of 1 on the next, and 0 on all others."""
    size = share * len(losses)
    ranks = torch.arange(len(losses), dtype=losses.dtype, device=losses.device)
    by_rank = (size - ranks).clamp(0, 1) / size
    return torch.zeros_like(losses).scatter(0, losses.argsort(descending=True), by_rank)


@dataclass(eq=False)
class CVaRDRO(Algorithm):
    """CVaR DRO:  max_q Σ_i q_i ℓ_i(θ), 0 ≤ q_i ≤ 1/(αm), Σ_i q_i = 1,  not mean_e R^e(θ)      (Levy et al. 2020)

    The mean of the worst share α of the m losses of a step, whatever environment they come from: the worst case over
    all groups, known or not, that hold at least that share of the samples. Where labels are noisy, the worst samples
    are those with a wrong label as much as those whose color misleads.

    paper → code:  α → share (1 is ERM);  q* → tail_shares, held fixed in the gradient.

    Reference: arXiv 2010.05893, eq. 3. Difference from the authors' code: none that is known, but that it is one of
    many there; in batches where α·m is small the worst case is estimated too low, here as there.
    """

    share: float = within(0.2, 0, 1, above=True)

    label = "CVaR DRO"
    neutral = {"share": 1.0}

    def backward(self, environments: Sequence[Environment]) -> Scalars:
        losses = torch.cat([risk(self.model(e.inputs), e.labels, reduction="none") for e in environments])
        worst = tail_shares(losses.detach(), self.share) @ losses
        (worst + self.l2 * squared_norm(self.model)).backward()
        return {"risk": losses.mean().detach(), "penalty": (worst - losses.mean()).detach()}
