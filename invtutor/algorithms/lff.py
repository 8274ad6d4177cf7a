"""LfF: a twin that learns the easy clue tells which samples contradict it."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace

import torch
from torch import Generator, Tensor, nn

from invtutor.algorithms.algorithm import Algorithm, Scalars, within
from invtutor.worlds.environment import Environment, pool
from invtutor.worlds.risks import risk, squared_norm

__all__ = ["LfF", "relative_difficulty"]


def relative_difficulty(biased: Tensor, debiased: Tensor) -> Tensor:
    """W = ℓ_b / (ℓ_b + ℓ_d), (n,) each: near 1 where the twin errs and the model does not, ½ where they are equal."""
    return biased / (biased + debiased).clamp(min=1e-8)


@dataclass(eq=False)
class LfF(Algorithm):
    """LfF:  Σ_i W_i ℓ_i(θ) / Σ_i W_i  in place of  mean_e R^e(θ),  W = ℓ_b / (ℓ_b + ℓ_d)      (Nam et al. 2020)

    A twin b learns beside the model d, with weights p_y^q on its gradients, p_y its own probability of the label: what
    it finds easy it learns ever more, which is the generalized cross-entropy (1 − p_y^q) / q. The model looks at what
    the twin gets wrong. It needs no color and no environments, but the right clue has to be the harder one.

    paper → code:  q → exponent (0: the twin learns what the model learns, and it is ERM);  W → relative_difficulty;
    ℓ_b, ℓ_d → running: means over each sample's visits, .7 of the old and .3 of the new, as shares of their class's
    largest;  b → twin.

    Reference: arXiv 2007.02561. Differences from the authors' code: 1. the twin starts from the model's weights; 2. its
    gradient lacks a factor q, which Adam does not see; 3. the weighted mean where they sum W ℓ / n.
    """

    exponent: float = within(0.7, 0, 10)
    memory: float = within(0.7, 0, 1, below=True)
    twin: nn.Module | None = field(default=None, init=False)
    running: Tensor | None = field(default=None, init=False)

    label = "LfF"
    neutral = {"exponent": 0.0}
    carries = ("running",)

    def prepare(self, environments: Sequence[Environment], generator: Generator | None = None) -> Sequence[Environment]:
        environments = super().prepare(environments)
        self.twin, sizes = deepcopy(self.model), [len(e) for e in environments]
        numbers = torch.arange(sum(sizes), device=environments[0].labels.device).split(sizes)
        classes = max(int(e.labels.max()) for e in environments) + 1
        self.running = environments[0].inputs.new_zeros(2, sum(sizes), classes, dtype=torch.float32)
        return [replace(e, index=own) for e, own in zip(environments, numbers, strict=True)]

    def parameters(self) -> list[Tensor]:
        twins = self.twin.parameters() if self.twin else ()
        return super().parameters() + [tensor for tensor in twins if tensor.requires_grad]

    def backward(self, environments: Sequence[Environment]) -> Scalars:
        assert self.twin is not None and self.running is not None, "`prepare` makes them"
        seen = pool(environments)
        inputs, labels = seen.inputs, seen.labels.long()
        losses = torch.stack([risk(network(inputs), labels, reduction="none") for network in (self.twin, self.model)])
        new, place = losses.detach(), (slice(None), seen.index, labels)
        old, self.running = self.running[place], self.running.clone()
        self.running[place] = torch.where(old > 0, self.memory * old + (1 - self.memory) * new, new).to(old)
        weights = relative_difficulty(*(self.running[place] / self.running.amax(1)[:, labels])).to(new)
        easy = (losses[0] * (-self.exponent * new[0]).exp()).mean()
        norms = squared_norm(self.twin) + squared_norm(self.model)
        (easy + weights @ losses[1] / weights.sum() + self.l2 * norms).backward()
        return {"risk": losses[1].mean().detach()}
