"""Whether a model can be trained at all: found out before the first step, and said in one line."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from invtutor.worlds.environment import Environment
from invtutor.worlds.judging import evaluating
from invtutor.worlds.risks import fitting

__all__ = ["culprit", "ready", "trainable"]

FLOATS = (torch.float32, torch.float64, torch.bfloat16)  # in float16 Adam's ε and the methods' own are zero


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are not frozen, by name; tied ones once."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def culprit(model: nn.Module, inputs: Tensor) -> str:
    """The innermost layer in which the model fails on these inputs, in words; the model itself where none does."""
    names, running = {layer: name for name, layer in model.named_modules()}, list[nn.Module]()
    hooks = [layer.register_forward_pre_hook(lambda layer, _: running.append(layer)) for layer in names]
    hooks += [layer.register_forward_hook(lambda *_: running.pop() and None) for layer in names]
    try:
        model(inputs)
    except Exception:  # what it is has been told already
        pass
    finally:
        for hook in hooks:
            hook.remove()
    found = running[-1] if running else model
    return f"layer `{names[found]}` ({type(found).__name__})" if names[found] else type(found).__name__


@torch.no_grad()
def ready(method: str, model: nn.Module, environments: Sequence[Environment], *, looks_inside: bool = False) -> None:
    """Let lazy layers take their shapes, and raise ValueError, naming layer and method, where nothing can train.

    looks_inside: the model must have `features` and a linear `head` that reads them, as `networks.Network` has.
    """
    if not environments or not all(map(len, environments)):
        raise ValueError(f"Parameter `environments` should hold samples for {method}. Found none.")
    with evaluating(model):
        for environment in environments:
            few = environment.inputs[:2]
            try:
                logits = model(few)
            except Exception as error:
                wish = f"take {method}'s inputs {tuple(few.shape[1:])} {few.dtype}"
                found = f"{culprit(model, few)}: {' '.join(str(error).split())}"
                raise ValueError(f"Parameter `model` should {wish}. Found in {found}") from None
            if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(few) or not logits.shape[1]:
                shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
                wish = f"give {method} logits ({len(few)}, outputs) for {len(few)} inputs"
                raise ValueError(f"Parameter `model` should {wish}. Found {shape} from {type(model).__name__}.")
            fitting(logits.new_zeros(len(environment), logits.shape[1]), environment.labels)
    parameters = trainable(model)
    for name, parameter in parameters.items():
        if parameter.dtype not in FLOATS:
            layer = type(model.get_submodule(name.rpartition(".")[0])).__name__
            wish = f"hold numbers that {method} can train, such as float32"
            raise ValueError(f"Parameter `model` should {wish}. Found {parameter.dtype} in `{name}` ({layer}).")
    features, head = (getattr(model, name, None) for name in ("features", "head"))
    if looks_inside and not (callable(features) and isinstance(head, nn.Linear)):
        wish = f"have `features` and a linear `head`, which {method} looks at"
        raise ValueError(f"Parameter `model` should {wish}. Found {type(model).__name__} without.")
    if not parameters:
        wish = f"have parameters that {method} can move"
        raise ValueError(f"Parameter `model` should {wish}. Found none in {type(model).__name__}.")
