"""What methods share that look beneath the risk: one differentiable step, and the gradients of single environments."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from invtutor.environments import Environment
from invtutor.risks import risk

__all__ = ["Parameters", "accumulate", "descend", "environment_gradients", "risk_at"]

Parameters = Mapping[str, Tensor]


def risk_at(model: nn.Module, parameters: Parameters, inputs: Tensor, labels: Tensor) -> Tensor:
    """The risk of the model with other parameters in place of its own, a scalar, differentiable in them."""
    return risk(functional_call(model, dict(parameters), (inputs,)), labels)


def descend(parameters: Parameters, loss: Tensor, rate: float, *, first_order: bool = False) -> dict[str, Tensor]:
    """θ − rate · ∇loss(θ), one step of gradient descent through which gradients flow.

    loss: a scalar that was computed from `parameters`. first_order: the step's gradient counts as a constant, so that
    a derivative of the result sees no second derivatives of the loss.
    """
    gradients = torch.autograd.grad(loss, list(parameters.values()), create_graph=not first_order, retain_graph=True)
    return {name: theta - rate * g for (name, theta), g in zip(parameters.items(), gradients, strict=True)}


def environment_gradients(model: nn.Module, environments: Sequence[Environment]) -> tuple[dict[str, Tensor], Tensor]:
    """The gradient of each environment's risk, one row per environment: {parameter: (environments, *)}, and the risks
    (environments,). Environments of equal size are differentiated at once."""
    theta = {name: parameter.detach() for name, parameter in model.named_parameters()}

    def risk_of(parameters: Parameters, inputs: Tensor, labels: Tensor) -> Tensor:
        return risk_at(model, parameters, inputs, labels)

    one = grad_and_value(risk_of)
    if len({len(environment) for environment in environments}) == 1:
        inputs, labels = (torch.stack([getattr(e, name) for e in environments]) for name in ("inputs", "labels"))
        return vmap(one, in_dims=(None, 0, 0))(theta, inputs, labels)
    rows, risks = zip(*(one(theta, e.inputs, e.labels) for e in environments), strict=True)
    return {name: torch.stack([row[name] for row in rows]) for name in theta}, torch.stack(risks)


def accumulate(parameter: Tensor, gradient: Tensor) -> None:
    """Add to `.grad`, as `loss.backward()` does."""
    parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
