"""Samples by label and conflict, and samples drawn again in proportion to what they should count."""

import torch
from torch import Generator, Tensor

from invtutor.worlds.environment import Environment

__all__ = ["conflicting", "group_shares", "groups", "redraw"]


def conflicting(samples: Environment) -> Tensor:
    """Whose color is not their label's: (n,) bool."""
    if samples.colors is None:
        raise ValueError(f"Parameter `samples` should have colors. Found none in {samples.name!r}.")
    return samples.colors != samples.labels


def groups(samples: Environment) -> list[Environment]:
    """The samples by label and conflict, which for two classes is by label and color; without empty groups."""
    keys = 2 * samples.labels + conflicting(samples).long()
    return [samples.subset(keys == key) for key in keys.unique().tolist()]


def group_shares(samples: Environment) -> Tensor:
    """1 / (size of the sample's group of label and conflict), (n,): every group counts the same."""
    keys = 2 * samples.labels + conflicting(samples).long()
    return 1.0 / keys.bincount()[keys]


def redraw(samples: Environment, shares: Tensor, generator: Generator | None = None) -> Environment:
    """As many samples, drawn with replacement in proportion to `shares`, (n,)."""
    generator = generator or Generator().manual_seed(0)
    index = torch.multinomial(shares.cpu(), len(samples), replacement=True, generator=generator)
    return samples.subset(index.to(samples.labels.device))
