"""An inner problem: train on weighted samples, near to the minimum, and ask how its solution leans on each sample."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from invtutor.algorithms.descent import Parameters, descend
from invtutor.algorithms.ready import trainable
from invtutor.worlds.environment import Environment
from invtutor.worlds.judging import evaluating
from invtutor.worlds.risks import risk, squared_norm

__all__ = ["settle", "slopes_along"]

PART = 1_960_000  # numbers, as many as 5,000 inputs of Colored MNIST have


def settle(
    model: nn.Module,
    start: Parameters,
    samples: Environment,
    shares: Tensor,
    size: tuple[int, int],
    rate: float,
    l2: float,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Train the model in place, near to the minimum of Σ_i shares_i ℓ_i / Σ_i shares_i + l2·‖θ‖²: from `start`, by SGD
    with momentum .9, its rate decaying to 0 along half a cosine, `size` = (steps, samples a step), drawn in proportion
    to `shares` (n,) with replacement; then by one plain step at the full rate on all samples that have a share.

    Returns the parameters before that last step. Raises FloatingPointError where no share is above 0.
    """
    samples, shares = samples.subset(shares > 0), shares[shares > 0]
    if not len(shares):
        raise FloatingPointError("No sample is left to train on. Try a larger budget or a smaller learning rate.")
    model.load_state_dict(dict(start))
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, weight_decay=2 * l2)
    draws = torch.multinomial(shares.cpu(), size[0] * size[1], replacement=True, generator=generator)
    for step, index in enumerate(draws.view(size).to(shares.device)):
        optimizer.param_groups[0]["lr"] = 0.5 * rate * (1 + math.cos(math.pi * step / size[0]))
        optimizer.zero_grad()
        risk(model(samples.inputs[index]), samples.labels[index]).backward()
        optimizer.step()
    optimizer.zero_grad()
    theta = trainable(model)
    before = {name: parameter.detach().clone() for name, parameter in theta.items()}
    with evaluating(model):
        weighted = shares @ risk(model(samples.inputs), samples.labels, reduction="none") / shares.sum()
    after = descend(theta, weighted + l2 * squared_norm(model), rate, first_order=True)
    with torch.no_grad():
        for name, parameter in theta.items():
            parameter.copy_(after[name])
    return before


def slopes_along(model: nn.Module, theta: Parameters, direction: Sequence[Tensor], samples: Environment) -> Tensor:
    """⟨direction, ∇ℓ_i(θ)⟩ of every sample, (n,), without its gradient; direction has a tensor per parameter. Since
    Σ_i u_i ⟨direction, ∇ℓ_i⟩ is linear in u, its derivatives in u are the products: two backward passes, in parts."""
    leaves, slopes = {name: tensor.detach().requires_grad_() for name, tensor in theta.items()}, list[Tensor]()
    size = max(1, PART // samples.inputs[0].numel())
    for inputs, labels in zip(samples.inputs.split(size), samples.labels.split(size), strict=True):
        with evaluating(model):
            losses = risk(functional_call(model, leaves, (inputs,)), labels, reduction="none")
        u = torch.ones_like(losses, requires_grad=True)
        gradients = torch.autograd.grad(losses, list(leaves.values()), u, create_graph=True, allow_unused=True)
        used = [(g, d) for g, d in zip(gradients, direction, strict=True) if g is not None]
        slopes += torch.autograd.grad([g for g, _ in used], u, [d for _, d in used])
    return torch.cat(slopes)
