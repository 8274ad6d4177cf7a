"""JTT (arXiv 2107.09044): just train twice, the second time with the first model's errors counted more."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from invtutor.algorithms.algorithm import Algorithm, Scalars, within
from invtutor.algorithms.groups import redraw
from invtutor.worlds.environment import Environment, pool
from invtutor.worlds.judging import evaluating
from invtutor.worlds.risks import correct, risk, risks, squared_norm

__all__ = ["JTT", "error_shares"]


def error_shares(samples: Environment, predict: Callable[[Tensor], Tensor], factor: float) -> Tensor:
    """`factor` where a first model errs, 1 where it is right: (n,)."""
    with torch.no_grad(), evaluating(predict):
        right = correct(predict(samples.inputs), samples.labels)
    return torch.where(right, 1.0, factor)


@dataclass(eq=False)
class JTT(Algorithm):
    """JTT:  Σ_i λ^[θ₁ errs on i] · ℓ_i(θ),  θ₁: a few steps on mean_e R^e(θ)      (Liu et al. 2021)

    `prepare` takes these steps on the pooled samples, and draws them again with that first model's errors counted λ
    times. It needs no color and no environments, but somebody must choose λ.

    paper → code:  λ_up → factor;  T → first_steps, counted in steps.

    Differences from the authors' code: 1. theirs appends the errors λ_up times, so that they count 1 + λ_up times;
    2. the second training starts from the first weights of the first.
    """

    factor: float = within(6.0, 0, 1e6, above=True)
    first_steps: int = within(20, 1, 10_000)
    first_batch: int = within(1500, 1, 50_000)
    first_rate: float = within(1e-3, 0, 1000, above=True)

    label = "JTT"
    neutral = {}  # it changes the samples alone

    def prepare(self, environments: Sequence[Environment], generator: Generator | None = None) -> Sequence[Environment]:
        self.check(environments)
        generator = generator or Generator().manual_seed(0)
        samples, first, draws = pool(environments), deepcopy(self.model), Generator()
        draws.set_state(generator.get_state())
        optimizer = torch.optim.Adam(first.parameters(), lr=self.first_rate, fused=True)
        for _ in range(self.first_steps):
            batch = samples.sample(self.first_batch, draws)
            optimizer.zero_grad()
            (risk(first(batch.inputs), batch.labels) + self.l2 * squared_norm(first)).backward()
            optimizer.step()
        return [redraw(samples, error_shares(samples, first, self.factor), generator)]

    def backward(self, environments: Sequence[Environment]) -> Scalars:
        risk = risks(self.model, environments).mean()
        (risk + self.l2 * squared_norm(self.model)).backward()
        return {"risk": risk.detach()}
