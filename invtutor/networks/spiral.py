"""The network of the spirals (Parascandolo et al. 2021, arXiv 2009.00329, appendix B)."""

from math import prod

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from invtutor.networks.network import Network

__all__ = ["SpiralMLP"]


class Dropout(nn.Module):
    """Dropout with a generator of its own, where torch's would take from global randomness."""

    def __init__(self, rate: float, generator: torch.Generator):
        super().__init__()
        self.rate, self.generator = rate, generator

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training or not self.rate:
            return inputs
        kept = torch.rand(inputs.shape, generator=self.generator) >= self.rate
        return inputs * kept.to(inputs.device) / (1 - self.rate)


class SpiralMLP(Network):
    """inputs–width–width–width–outputs with leaky ReLU, Kaiming-normal weights and biases .01 (ibid.).

    dropout: chance of a hidden unit to be silenced in training. batch_norm: normalizes before each nonlinearity.
    generator: the only source of randomness, dropout's included; None takes a fresh one with seed 0.
    """

    piece = None

    def __init__(
        self,
        shape: tuple[int, ...] = (18,),
        width: int = 256,
        outputs: int = 1,
        generator: torch.Generator | None = None,
        *,
        dropout: float = 0.0,
        batch_norm: bool = False,
    ):
        super().__init__()
        generator = generator or torch.Generator().manual_seed(0)
        layers: list[nn.Module] = []
        for fan_in in (prod(shape), width, width):
            layers.append(_linear(fan_in, width, generator))
            if batch_norm:
                layers.append(nn.BatchNorm1d(width))
            layers.append(nn.LeakyReLU())
            if dropout:
                layers.append(Dropout(dropout, generator))
        self.layers = nn.Sequential(*layers)
        self.head = _linear(width, outputs, generator)

    def embed(self, inputs: Tensor) -> Tensor:
        """(n, *shape) → (n, width)."""
        return self.layers(inputs.flatten(1))


def _linear(fan_in: int, fan_out: int, generator: torch.Generator) -> nn.Linear:
    layer = skip_init(nn.Linear, fan_in, fan_out)  # nn.Linear's own draw would touch global randomness
    nn.init.kaiming_normal_(layer.weight, generator=generator)
    nn.init.constant_(layer.bias, 0.01)
    return layer
