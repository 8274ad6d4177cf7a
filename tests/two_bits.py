"""The two-bit world: Colored MNIST without the digits. A shape bit is right 75 % of the time, a color bit more often
in training (flipped with probability .1 and .2) and hardly ever in the test (.9).

The samples are counted out, not drawn, so that every frequency is exact and the Bayes ceilings of the environments
hold to the last digit.
"""

from itertools import product

import torch

from invtutor.algorithms import Algorithm
from invtutor.networks.perceptron import MLP
from invtutor.worlds.environment import Environment

TRAIN_RATES, TEST_RATE, LABEL_NOISE = (0.1, 0.2), 0.9, 0.25


def two_bit(flip_rate: float, *, size: int = 80, dtype: torch.dtype = torch.float32) -> Environment:
    """An environment whose inputs (size, 2) are shape and color as −1 or 1, in shuffled order."""
    rows: list[tuple[int, int, int]] = []
    for shape, wrong, flipped in product((0, 1), repeat=3):
        chance = (LABEL_NOISE if wrong else 1 - LABEL_NOISE) * (flip_rate if flipped else 1 - flip_rate)
        rows += [(shape, shape ^ wrong, shape ^ wrong ^ flipped)] * round(chance * size / 2)
    if len(rows) != size:
        raise ValueError(f"{size} samples cannot be shared out exactly at flip rate {flip_rate}.")
    bits = torch.tensor(rows)[torch.randperm(size, generator=torch.Generator().manual_seed(0))]
    shape, labels, colors = bits.unbind(1)
    inputs = (2 * torch.stack([shape, colors], 1) - 1).to(dtype)
    attributes = {"color": colors, "digit": 5 * shape, "conflict": (colors != labels).long()}
    return Environment(f"p={flip_rate:g}", inputs, labels, attributes, plain=without_color)


def without_color(inputs: torch.Tensor) -> torch.Tensor:
    """The oracle's view."""
    return inputs * inputs.new_tensor([1, 0])


def training_environments(count: int = 2, *, dtype: torch.dtype = torch.float32) -> tuple[Environment, ...]:
    """Two environments at .1 and .2, or three with one at .3."""
    return tuple(two_bit(rate, dtype=dtype) for rate in (*TRAIN_RATES, 0.3)[:count])


def network(*, seed: int = 0, width: int = 8, outputs: int = 1, dtype: torch.dtype = torch.float32) -> MLP:
    """A network for two bits. Its biases are not zero, so that a test sees what is done to them."""
    generator = torch.Generator().manual_seed(seed)
    model = MLP(2, width, outputs, generator)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.uniform_(parameter, -0.1, 0.1, generator=generator)
    return model.to(dtype)


def gradients(algorithm: Algorithm) -> list[torch.Tensor]:
    """Copies of the gradients of all that the optimizer moves."""
    return [tensor.grad.clone() for tensor in algorithm.parameters() if tensor.grad is not None]
