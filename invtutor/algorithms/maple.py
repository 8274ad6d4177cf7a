"""MAPLE (arXiv 2301.09819): search for the weights of the samples, not for those of the network."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor
from torch.autograd import grad

from invtutor.algorithms.algorithm import Algorithm, Scalars, require, within
from invtutor.algorithms.descent import accumulate, trainable
from invtutor.algorithms.groups import groups
from invtutor.algorithms.inner import settle, slopes_along
from invtutor.algorithms.projections import project, shrink, straight_through
from invtutor.worlds.environment import Environment, pool, split
from invtutor.worlds.risks import risks

__all__ = ["MAPLE", "OBJECTIVES", "hypergradient", "project", "shrink", "straight_through"]

OBJECTIVES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "variance": lambda risks, scale: risks.var(unbiased=False),
    "worst": lambda risks, scale: risks.max(),
    "irmv1": lambda risks, scale: torch.cat([grad(r, scale, create_graph=True)[0] for r in risks]).square().mean(),
}  # Φ, from the risks (environments,) and the dummy scale, (1,), by which all logits were multiplied


def hypergradient(slopes: Tensor, others: Tensor, shares: Tensor, rate: float) -> Tensor:
    """n · ∂Φ/∂m_i = −α · w_i · ⟨∇Φ(θ_T), ∇ℓ_i(θ_{T−1})⟩ / mean(m w), through the last inner step; the mean is constant.
    slopes: the products, (n,); others: w for ∂Φ/∂m, m for ∂Φ/∂w; shares: m w; rate: α."""
    return -rate * others * slopes / shares.mean()


@dataclass(eq=False)
class MAPLE(Algorithm):
    """MAPLE:  min_{w, s} E_m Φ(R^e(θ*)),  θ* = argmin_θ Σ_i m_i w_i ℓ_i(θ) / Σ_i m_i w_i      (Zhou et al. 2022)

    A sample has a weight w and a chance s of being kept, m ~ Bernoulli(s). `backward` trains on what is kept and asks
    how Φ, of held-out risks, would change if a sample counted more. What predicts is θ*. The optimizer's steps are
    projected: w ≥ 0, ‖w‖ ≤ √n; s in [0, 1], Σ s ≤ K (budget, as a share of n).
    Differences from the authors' code: 1. validation is held out, not the training data again; 2. nothing is selected
    on the test; 3. minibatches until the last inner step; 4. ∂m/∂s is 1, straight through; theirs is a Gumbel-softmax
    sample's slope, which vanishes at s = 0 and 1 only once its temperature has risen above 1; they clip gradients'
    norms at 3 and have no ball ‖w‖ ≤ √n; 5. gradients are times n, so that Adam's ε stays small beside them.

    over: whose held-out risks Φ compares, those of the environments or of the groups of label and color; it must then
    be told the color of what is held out.
    """

    objective: Literal["variance", "worst", "irmv1"] = "variance"
    budget: float = within(0.3, 0, 1, above=True)
    learn_probabilities: bool = True
    learn_weights: bool = False
    held_out: float = within(0.3, 0, 1, above=True, below=True)
    inner_steps: int = within(200, 1, 10_000)
    inner_batch: int = within(500, 1, 10_000)
    inner_rate: float = within(0.1, 0, 10, above=True)
    over: Literal["environments", "groups"] = "environments"

    label = "MAPLE"
    carries = None  # a step trains a network
    least_environments = 2

    def fits(self, samples: Sequence[int], batch_size: int | None = None) -> None:
        super().fits(samples)
        learned = self.learn_probabilities or self.learn_weights
        require("learn_probabilities", learned, "True unless weights are learned: else MAPLE learns nothing", False)
        holds = all(0 < round(self.held_out * size) < size for size in samples)
        require("held_out", holds, f"a share that splits {min(samples):,} samples in two", self.held_out)

    def prepare(self, environments: Sequence[Environment], generator: Generator | None = None) -> Sequence[Environment]:
        environments = super().prepare(environments)
        self.generator, self.start = torch.Generator().manual_seed(0), deepcopy(self.model.state_dict())
        inner, validation = zip(*(split(e, self.held_out, self.generator) for e in environments), strict=True)
        self.inner, kept = pool(inner), self.budget if self.learn_probabilities else 1.0
        like = next(self.model.parameters())
        kind = torch.promote_types(like.dtype, torch.float32)  # as the risks are: chances of few digits add up badly
        self.weights = torch.ones(len(self.inner), dtype=kind, device=like.device).requires_grad_(self.learn_weights)
        self.probabilities = torch.full_like(self.weights, kept).requires_grad_(self.learn_probabilities)
        return groups(pool(validation)) if self.over == "groups" else validation

    def parameters(self) -> list[Tensor]:
        return [tensor for tensor in (self.probabilities, self.weights) if tensor.requires_grad]

    def backward(self, environments: Sequence[Environment]) -> Scalars:
        shares, scale = self.draw(), torch.ones(1).to(self.weights).requires_grad_()
        size = self.inner_steps, self.inner_batch
        before = settle(self.model, self.start, self.inner, shares, size, self.inner_rate, self.l2, self.generator)
        found = risks(lambda inputs: scale * self.predict(inputs), environments)  # at θ_T, and `before` is θ_{T−1}
        phi = OBJECTIVES[self.objective](found, scale)
        direction = grad(phi, [*trainable(self.model).values()], allow_unused=True, materialize_grads=True)
        slopes = slopes_along(self.model, before, direction, self.inner)
        for tensor, others in ((self.probabilities, self.weights), (self.weights, self.mask)):
            if tensor.requires_grad:
                accumulate(tensor, hypergradient(slopes, others.detach(), shares, self.inner_rate))
        return {"risk": found.mean().detach(), "penalty": phi.detach(), "selected": self.mask.mean().detach()}

    @torch.no_grad()
    def draw(self) -> Tensor:
        """Project w and s, then draw the mask m ~ Bernoulli(s); returns m w, (n,)."""
        self.weights.copy_(shrink(self.weights, len(self.weights) ** 0.5))
        kept = self.budget if self.learn_probabilities else 1.0  # a budget may change on the way
        self.probabilities.copy_(project(self.probabilities, kept * len(self.weights)))
        self.mask = torch.bernoulli(self.probabilities.cpu(), generator=self.generator).to(self.weights)
        return self.mask * self.weights
