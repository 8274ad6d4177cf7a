"""Every example an environment: what a mask does to labels that have no reason.

Random labels can be learned by heart, one example at a time, and by nothing else: no two examples agree on why. With
each example of a batch as an environment of its own, a mask keeps the coordinates in which the examples agree more
than coins do. What many share passes, what only one needs does not (Parascandolo et al. 2021, arXiv 2009.00329, §4.2,
on CIFAR-10; here on MNIST, small enough for a CPU).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from invtutor.algorithms import Algorithm, AndMask
from invtutor.algorithms.algorithm import Metrics
from invtutor.networks.perceptron import MLP
from invtutor.runs.history import History
from invtutor.runs.loop import fit
from invtutor.worlds.digits import Digits
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import accuracy

__all__ = ["CLASSES", "Outcome", "train"]

CLASSES = 10


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a run: `train` and `test` of the history's records are accuracies, and so are these two, of the
    last step. The test has true labels; nothing is selected."""

    threshold: float
    random_labels: bool
    history: History
    train_accuracy: float
    test_accuracy: float
    algorithm: Algorithm


def _pixels(images: Tensor) -> Tensor:
    """(n, 28, 28) uint8 → (n, 14, 14) float32 in [0, 1], as on Colored MNIST."""
    return images[:, ::2, ::2] / 255.0


def train(
    threshold: float,
    digits: Digits,
    *,
    random_labels: bool = False,
    seed: int = 0,
    samples: int = 1000,
    width: int = 128,
    batch_size: int = 80,
    epochs: int = 40,
    learning_rate: float = 3e-3,
    every: int = 50,
    progress: bool = True,
) -> Outcome:
    """Learn the ten digits from `samples` training digits, with an AND-mask over single examples.

    threshold: of the mask; 0 is the usual gradient. random_labels: each label is drawn from the ten at random, once.
    batch_size: examples per step, each an environment. seed: draws the labels, the digits, the first weights and the
    batches. Raises ValueError where there are fewer samples than a batch has.
    """
    if not 1 <= batch_size <= samples <= len(digits.labels):
        raise ValueError(f"Parameter `samples` should be in [{batch_size}, {len(digits.labels)}]. Found {samples!r}.")
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(digits.labels), generator=generator)[:samples]
    drawn = torch.randint(CLASSES, (samples,), generator=generator)
    known = Environment("train", _pixels(digits.images[chosen]), drawn if random_labels else digits.labels[chosen])
    unseen = Environment("test", _pixels(digits.test_images), digits.test_labels)
    # As many shares as a batch has examples: one example drawn from each share makes a batch of environments.
    shares = [known.subset(index) for index in torch.arange(samples).tensor_split(batch_size)]
    algorithm = AndMask(MLP(14 * 14, width, CLASSES, generator), threshold)

    def watch(algorithm: Algorithm) -> Metrics:
        return {"train": accuracy(algorithm.predict, known), "test": accuracy(algorithm.predict, unseen)}

    history = fit(
        algorithm,
        torch.optim.Adam(algorithm.parameters(), lr=learning_rate, fused=True),
        shares,
        max(1, epochs * samples // batch_size),
        batch_size=1,
        generator=generator,
        watch=watch,
        every=every,
        progress=progress,
    )
    return Outcome(threshold, random_labels, history, history.last["train"], history.last["test"], algorithm)
