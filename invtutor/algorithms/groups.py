"""Groups of samples, and samples drawn again in proportion to what they should count."""

import torch
from torch import Generator, Tensor

from invtutor.worlds.environment import Environment, group_of

__all__ = ["group_shares", "groups", "redraw"]


def groups(samples: Environment) -> list[Environment]:
    """The samples by group (`environment.group_of`), without empty groups."""
    numbers = group_of(samples)
    return [samples.subset(numbers == number) for number in numbers.unique().tolist()]


def group_shares(samples: Environment) -> Tensor:
    """1 / (size of the sample's group), (n,): every group counts the same."""
    numbers = group_of(samples)
    return 1.0 / numbers.bincount()[numbers]


def redraw(samples: Environment, shares: Tensor, generator: Generator | None = None) -> Environment:
    """As many samples, drawn with replacement in proportion to `shares`, (n,)."""
    generator = generator or Generator().manual_seed(0)
    index = torch.multinomial(shares.cpu(), len(samples), replacement=True, generator=generator)
    return samples.subset(index.to(samples.labels.device))
