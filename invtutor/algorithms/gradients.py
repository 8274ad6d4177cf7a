"""The gradients of single environments, which masks compare."""

from collections.abc import Mapping, Sequence
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from invtutor.algorithms.ready import trainable
from invtutor.worlds.environment import Environment
from invtutor.worlds.judging import unchanged
from invtutor.worlds.risks import cross_entropy, fitting, risk

__all__ = ["environment_gradients"]

_at_once = WeakKeyDictionary[nn.Module, dict[tuple[bool, ...], bool]]()  # models that vmap takes, by their modes


def environment_gradients(model: nn.Module, environments: Sequence[Environment]) -> tuple[dict[str, Tensor], Tensor]:
    """The gradient of each environment's risk, one row per environment: {parameter: (environments, *)}, and the risks
    (environments,). Environments of equal size are differentiated at once, unless the model has layers that do not
    allow it, such as BatchNorm and dropout in training: then in turn."""
    theta, sizes = trainable(model), {len(environment) for environment in environments}
    if len(sizes) == 1 and _takes(model, environments):
        return _gradients_at_once(model, environments)
    rows, risks = [], [risk(model(e.inputs), e.labels) for e in environments]
    for each in risks:
        rows.append(torch.autograd.grad(each, list(theta.values()), allow_unused=True, materialize_grads=True))
    stacked = {name: torch.stack(row) for name, row in zip(theta, zip(*rows, strict=True), strict=True)}
    return stacked, torch.stack(risks).detach()


def _gradients_at_once(model: nn.Module, environments: Sequence[Environment]) -> tuple[dict[str, Tensor], Tensor]:
    def risk_of(parameters: Mapping[str, Tensor], inputs: Tensor, labels: Tensor) -> Tensor:
        logits = functional_call(model, dict(parameters), (inputs,))
        return cross_entropy(logits, fitting(logits, labels, values=False))

    theta = {name: parameter.detach() for name, parameter in trainable(model).items()}
    inputs, labels = (torch.stack([getattr(e, name) for e in environments]) for name in ("inputs", "labels"))
    return vmap(grad_and_value(risk_of), in_dims=(None, 0, 0))(theta, inputs, labels)


def _takes(model: nn.Module, environments: Sequence[Environment]) -> bool:
    """Whether the model as it is can be differentiated at once, tried on two samples of two environments."""
    known, modes = _at_once.setdefault(model, {}), tuple(layer.training for layer in model.modules())
    if modes not in known:
        few = [environment.subset(torch.arange(min(2, len(environment)))) for environment in environments[:2]]
        with unchanged(model):
            try:
                known[modes] = bool(_gradients_at_once(model, few))
            except Exception:  # functorch raises this and that
                known[modes] = False
    return known[modes]
