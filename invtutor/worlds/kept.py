"""What was drawn is kept in the user's cache, so that it is drawn once."""

import os
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from invtutor.files import clear, own_folder
from invtutor.worlds import mnist

__all__ = ["kept"]


def kept(
    name: str, parts: Sequence[str], make: Callable[[], tuple[Tensor, ...]], whole: Callable[..., bool]
) -> tuple[Tensor, ...]:
    """The tensors, called `parts`, in the file `name` of the cache; where it is missing, damaged, or holds anything
    that is not `whole`, they are made and kept there."""
    path = mnist.cache_folder() / name
    clear(path.parent)
    try:
        with np.load(path, allow_pickle=False) as file:
            tensors = tuple(torch.from_numpy(file[part]) for part in parts)
        if whole(*tensors):
            return tensors
    except Exception:  # whatever is wrong with the file, a new one mends it
        pass
    tensors = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with own_folder(path.parent) as scratch:
            np.savez(scratch / name, **{part: t.numpy() for part, t in zip(parts, tensors, strict=True)})  # type: ignore[arg-type]
            os.replace(scratch / name, path)
    except OSError:
        pass  # nothing is lost but the seconds of the next time
    return tensors
