"""What methods share that look beneath the risk: risks at other parameters, and one differentiable step."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from invtutor.algorithms.ready import trainable
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import risk

__all__ = ["Parameters", "accumulate", "descend", "flattened", "risk_at", "trainable"]

Parameters = Mapping[str, Tensor]


def risk_at(model: nn.Module, parameters: Parameters, inputs: Tensor, labels: Tensor) -> Tensor:
    """The risk of the model with other parameters in place of its own, a scalar, differentiable in them."""
    return risk(functional_call(model, dict(parameters), (inputs,)), labels)


def flattened(model: nn.Module, environments: Sequence[Environment]) -> tuple[Tensor, list[Callable[[Tensor], Tensor]]]:
    """All that is trained as one vector θ (n,), and each environment's risk as a function of such a vector, so that an
    equation for θ can be written as a paper writes it. What is made of θ leaves its gradient in the parameters."""
    own = trainable(model)
    sizes = [parameter.numel() for parameter in own.values()]

    def risk_of(environment: Environment) -> Callable[[Tensor], Tensor]:
        def at(theta: Tensor) -> Tensor:
            parts = zip(own.items(), theta.split(sizes), strict=True)
            placed = {name: part.view_as(parameter) for (name, parameter), part in parts}
            return risk_at(model, placed, environment.inputs, environment.labels)

        return at

    return torch.cat([parameter.flatten() for parameter in own.values()]), [risk_of(e) for e in environments]


def descend(parameters: Parameters, loss: Tensor, rate: float, *, first_order: bool = False) -> dict[str, Tensor]:
    """θ − rate · ∇loss(θ), one step of gradient descent through which gradients flow.

    loss: a scalar that was computed from `parameters`. first_order: the step's gradient counts as a constant, so that
    a derivative of the result sees no second derivatives of the loss.
    """
    gradients = torch.autograd.grad(
        loss,
        list(parameters.values()),
        create_graph=not first_order,
        retain_graph=True,
        allow_unused=True,
        materialize_grads=True,
    )
    return {name: theta - rate * g for (name, theta), g in zip(parameters.items(), gradients, strict=True)}


def accumulate(parameter: Tensor, gradient: Tensor) -> None:
    """Add to `.grad`, as `loss.backward()` does."""
    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
