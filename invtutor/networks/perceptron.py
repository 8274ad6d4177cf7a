"""The network of the Colored MNIST papers: a perceptron with two hidden layers of equal width."""

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

__all__ = ["MLP"]


class MLP(nn.Module):
    """inputs–width–width–outputs with ReLU, Xavier-uniform weights and zero biases (Arjovsky et al. 2019, §5.2).

    inputs: numbers per example; Colored MNIST has 2 × 14 × 14 = 392.
    width: units in each hidden layer; 390 in the published runs.
    outputs: 1 logit for two classes, else one logit per class.
    generator: the only source of randomness; None takes a fresh generator with seed 0.
    """

    def __init__(self, inputs: int = 392, width: int = 390, outputs: int = 1, generator: torch.Generator | None = None):
        super().__init__()
        generator = generator or torch.Generator().manual_seed(0)
        layers: list[nn.Module] = []
        for fan_in, fan_out in ((inputs, width), (width, width), (width, outputs)):
            linear = skip_init(nn.Linear, fan_in, fan_out)  # nn.Linear's own draw would touch global randomness
            nn.init.xavier_uniform_(linear.weight, generator=generator)
            nn.init.zeros_(linear.bias)
            layers += [linear, nn.ReLU(inplace=True)]  # in place: half the memory traffic, the same gradient
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, channels, 14, 14) or (n, inputs) → logits (n, outputs)."""
        return self.layers(inputs.flatten(1))
