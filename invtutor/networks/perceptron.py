"""The network of the Colored MNIST papers: a perceptron with two hidden layers of equal width."""

from math import prod

import torch
from torch import Tensor, nn

from invtutor.networks.network import Network, linear

__all__ = ["MLP"]


class MLP(Network):
    """inputs–width–width–outputs with ReLU, Xavier-uniform weights and zero biases (Arjovsky et al. 2019, §5.2).

    shape: of an example, which is flattened, or how many numbers it has; Colored MNIST has 2 × 14 × 14 = 392.
    width: units in each hidden layer; 390 in the published runs.
    outputs: 1 logit for two classes, else one logit per class.
    generator: the only source of randomness; None takes a fresh generator with seed 0.
    """

    def __init__(
        self,
        shape: int | tuple[int, ...] = (2, 14, 14),
        width: int = 390,
        outputs: int = 1,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        generator = generator or torch.Generator().manual_seed(0)
        layers: list[nn.Module] = []
        for fan_in in (shape if isinstance(shape, int) else prod(shape), width):
            # in place: half the memory traffic, the same gradient
            layers += [linear(fan_in, width, generator), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)
        self.head = linear(width, outputs, generator)

    def embed(self, inputs: Tensor) -> Tensor:
        """(n, *shape) → (n, width)."""
        return self.layers(inputs.flatten(1))
