"""To judge a model without changing it: in eval mode, and with everything afterwards as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.parameter import is_lazy

__all__ = ["evaluating", "unchanged"]


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Whatever the model's layers do in here: their modes, buffers and torch's random state are then as before."""
    layers = list(model.modules())
    modes = [layer.training for layer in layers]
    buffers = [
        (layer, name, buffer, buffer.clone())
        for layer in layers
        for name, buffer in layer._buffers.items()
        if buffer is not None and not is_lazy(buffer)
    ]
    cards = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=cards):
        try:
            yield
        finally:
            for layer, mode in zip(layers, modes, strict=True):
                layer.training = mode
            for layer, name, buffer, before in buffers:
                layer._buffers[name] = buffer
                if not torch.equal(buffer, before):  # else left alone: a graph may hold it
                    with torch.no_grad():
                        buffer.copy_(before)


@contextmanager
def evaluating(predictor: object) -> Iterator[None]:
    """Eval mode in all layers of a model, or of the model whose method the predictor is; nothing of it changes."""
    model = predictor if isinstance(predictor, nn.Module) else getattr(predictor, "__self__", None)
    if not isinstance(model, nn.Module):
        yield
        return
    with unchanged(model):
        for layer in model.modules():
            layer.training = False  # not by `eval()`, which a model may have made its own
        yield
