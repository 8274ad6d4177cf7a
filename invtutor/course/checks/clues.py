"""Self-checks of lessons 00 and 01. What is decorated is the right answer; see `verdict.check`."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from invtutor.course.checks.verdict import Function, Hint, check
from invtutor.worlds.risks import correct

__all__ = ["NO_MEAN", "batches", "check_accuracy", "check_best_clue", "check_color", "check_pooled"]

NO_MEAN = "You give one number per sample; average them."


def batches() -> Iterator[tuple[Tensor, Tensor]]:
    """Logits (n, 1), none of them 0, and labels (n,)."""
    yield torch.tensor([[2.0], [-1.0], [0.3], [-3.0]]), torch.tensor([1, 0, 0, 1])
    generator = torch.Generator().manual_seed(0)
    for n in (5, 12, 40):
        logits = (2 * torch.randn(n, 1, generator=generator)).mul(100).round().add(0.5).div(100)
        yield logits, (torch.rand(n, generator=generator) < logits[:, 0].sigmoid()).long()


# Lesson 00 ------------------------------------------------------------------------------------------------------------


@check(
    "accuracy",
    "Which predictions does a positive logit stand for? Compare them with the labels and average.",
    examples=batches,
    mistakes={
        "You count the wrong predictions.": lambda z, y: ((z[:, 0] > 0) != y).double().mean(),
        "Logits are (n, 1) and labels (n,): == compares every prediction with every label. Use logits[:, 0].": (
            lambda z, y: ((z > 0) == y).double().mean(),
            lambda z, y: ((z > 0) == y).double(),
            lambda z, y: ((z > 0) == y).sum() / len(y),
            lambda z, y: ((z > 0) == y).sum(),
        ),
        "You count the right predictions; an accuracy is their share: take the mean.": (
            lambda z, y: ((z[:, 0] > 0) == y).sum()
        ),
        "An accuracy is a share between 0 and 1, no percentage.": lambda z, y: (
            100 * ((z[:, 0] > 0) == y).double().mean()
        ),
        NO_MEAN: lambda z, y: ((z[:, 0] > 0) == y).double(),
        "A logit is no probability: label 1 begins at logit 0, not at 0.5.": (
            lambda z, y: ((z[:, 0] > 0.5) == y).double().mean(),
            lambda z, y: (z[:, 0].round() == y).double().mean(),
        ),
        "argmax over a single column is always 0. With one logit, its sign decides.": (
            lambda z, y: (y == 0).double().mean()
        ),
        "That is the share of predictions of label 1. Compare them with the labels.": (
            lambda z, y: (z > 0).double().mean()
        ),
    },
)
def check_accuracy(logits: Tensor, labels: Tensor) -> Any:
    """logits (n, 1), labels (n,) → share of right predictions."""
    return correct(logits, labels).double().mean()


def _odds() -> Iterator[tuple[float, float]]:
    yield from ((0.25, 0.1), (0.25, 0.9), (0.1, 0.2), (0.4, 0.3), (0.05, 0.01), (0.3, 0.6))


@check(
    "best clue",
    "Shape is right with chance 1 − label_noise. How often is color right at a flip rate?",
    examples=_odds,
    mistakes={
        "You always say shape. At flip rate 0.1, color is right 90 % of the time.": lambda noise, rate: "shape",
        "You always say color. At flip rate 0.9, color is right 10 % of the time.": lambda noise, rate: "color",
        "You name the clue that is right less often.": lambda noise, rate: "color" if noise < rate else "shape",
        "You compare how often shape is right with how often color is *wrong*.": lambda noise, rate: (
            "shape" if 1 - noise > rate else "color"
        ),
        "You compare how often shape is *wrong* with how often color is right.": lambda noise, rate: (
            "shape" if noise > 1 - rate else "color"
        ),
        "The words are `shape` and `color`, in small letters and alone.": (
            lambda noise, rate: "Shape" if noise < rate else "Color",
            lambda noise, rate: "SHAPE" if noise < rate else "COLOR",
        ),
        "Return the word, `shape` or `color`, and not how often it is right.": lambda noise, rate: 1 - min(noise, rate),
        "Return the word, `shape` or `color`, and not whether it is the shape.": (
            lambda noise, rate: noise < rate,
            lambda noise, rate: noise > rate,
        ),
    },
)
def check_best_clue(label_noise: float, flip_rate: float) -> str:
    """→ "shape" or "color"."""
    return "shape" if label_noise < flip_rate else "color"


# Lesson 01 ------------------------------------------------------------------------------------------------------------


def _colored(student: Function) -> Function:
    """What is to be seen of colors that are drawn at random."""

    def shares(flip_rate: float) -> list[float]:
        labels = (torch.arange(9_000) % 3 == 0).long()

        def draw(seed: int) -> Tensor:
            found = student(labels.clone(), flip_rate, torch.Generator().manual_seed(seed))
            if found is None:
                raise Hint("Your function returns nothing (None). Is the `return` missing?")
            colors = torch.as_tensor(found).detach()
            if colors.shape != labels.shape:
                raise Hint(f"One color per label: wanted shape {tuple(labels.shape)}, found {tuple(colors.shape)}.")
            if not ((colors == 0) | (colors == 1)).all():
                raise Hint(f"Colors are 0 or 1. Found {sorted(set(colors.tolist()))[:4]}.")
            return colors.long()

        colors, again, other = draw(1), draw(1), draw(2)
        flipped = (colors != labels).double()
        parts = [flipped[labels == label].mean().item() for label in (0, 1)]
        return [*parts, float(torch.equal(colors, again)), float(not torch.equal(colors, other))]

    return shares


@check(
    "color",
    "Draw one number per label with torch.rand(…, generator=generator); flip where it lies below the rate.",
    examples=lambda: [(0.3,), (0.6,), (0.0,), (1.0,)],
    probe=_colored,
    compared="the shares of flipped colors where the label is 0 and where it is 1; whether the same generator gives "
    "the same colors again; whether another one gives others (1 is yes)",
    tolerance=0.045,  # four deviations of a share of 3,000 draws
    mistakes={
        "The same generator must give the same colors: pass it to torch.rand.": (
            lambda labels, rate, generator: labels ^ (torch.rand(len(labels)) < rate).long()
        ),
        "You flip with chance 1 − flip_rate: a flip is where the draw lies *below* the rate.": (
            lambda labels, rate, generator: labels ^ (torch.rand(len(labels), generator=generator) >= rate).long()
        ),
        "These are flips, not colors: a color is the label, exclusive or (^) the flip.": (
            lambda labels, rate, generator: torch.rand(len(labels), generator=generator) < rate
        ),
        "Nothing is flipped.": lambda labels, rate, generator: labels,
        "Every color is flipped.": lambda labels, rate, generator: 1 - labels,
        "You flip label 1 alone; a flip does not depend on the label.": (
            lambda labels, rate, generator: labels * (torch.rand(len(labels), generator=generator) >= rate).long()
        ),
        "You flip label 0 alone; a flip does not depend on the label.": (
            lambda labels, rate, generator: labels | (torch.rand(len(labels), generator=generator) < rate).long()
        ),
        "Your draws follow a normal distribution; torch.rand draws evenly between 0 and 1.": (
            lambda labels, rate, generator: labels ^ (torch.randn(len(labels), generator=generator) < rate).long()
        ),
        "One draw decides for all labels. Draw one number per label.": (
            lambda labels, rate, generator: labels ^ (torch.rand(1, generator=generator) < rate).long()
        ),
        "The generator's own seed is to decide; you give it a fixed one.": (
            lambda labels, rate, generator: (
                labels ^ (torch.rand(len(labels), generator=generator.manual_seed(0)) < rate).long()
            )
        ),
    },
)
def check_color(labels: Tensor, flip_rate: float, generator: torch.Generator) -> Tensor:
    """labels (n,), flip_rate, generator → colors (n,) in {0, 1}."""
    return labels ^ (torch.rand(len(labels), generator=generator) < flip_rate).long()


def _pools() -> Iterator[tuple[list[float], float, float]]:
    pools = [([0.1, 0.2], 0.25), ([0.1, 0.5], 0.25), ([0.1, 0.1, 0.9], 0.25), ([0.3, 0.3, 0.02], 0.25)]
    pools += [
        ([0.05, 0.1], 0.25),
        ([0.02, 0.9, 0.1], 0.25),
        ([0.02, 0.3, 0.3], 0.25),
        ([0.05, 0.1, 0.3], 0.2),
        ([0.2], 0.1),
        ([0.9, 0.1, 0.15], 0.25),
    ]
    yield from ((rates, noise, test) for rates, noise in pools for test in (0.9, 0.1))


def _pooled(uses_color: Callable[[list[float], float], bool]) -> Function:
    """Whoever decides so in training, at the test."""
    return lambda rates, noise, test: 1 - test if uses_color(rates, noise) else 1 - noise


@check(
    "pooled",
    "Each training environment is equally large: average the chance that color is right over them.",
    examples=_pools,
    mistakes={
        "You always follow the color. With flip rates 0.1 and 0.5, it is right less often than the shape.": (
            _pooled(lambda rates, noise: True)
        ),
        "You always follow the shape. With flip rates 0.1 and 0.2, the color is right more often.": (
            _pooled(lambda rates, noise: False)
        ),
        "You follow the clue that is *worse* in training.": (
            _pooled(lambda rates, noise: sum(rates) / len(rates) > noise)
        ),
        "You choose the clue by the test environment; the learner has only seen the training environments.": (
            lambda rates, noise, test: 1 - min(test, noise)
        ),
        "That is the accuracy in training. The chosen clue is now judged at `test_rate`.": (
            lambda rates, noise, test: 1 - min(sum(rates) / len(rates), noise)
        ),
        "You let each environment vote. Pooled, the samples count: average the flip rates.": (
            _pooled(lambda rates, noise: 2 * sum(rate < noise for rate in rates) > len(rates)),
            _pooled(lambda rates, noise: sorted(rates)[len(rates) // 2] < noise),
        ),
        "You look at the first two environments only; there may be more, or one.": (
            _pooled(lambda rates, noise: sum(rates[:2]) / len(rates[:2]) < noise),
            _pooled(lambda rates, noise: sum(rates[:2]) / 2 < noise),
        ),
        "You look at the first environment only.": _pooled(lambda rates, noise: rates[0] < noise),
        "You look at the environment with the lowest flip rate only.": _pooled(lambda rates, noise: min(rates) < noise),
        "You look at the environment with the highest flip rate only.": (
            _pooled(lambda rates, noise: max(rates) < noise)
        ),
        "You add up the flip rates; average them.": _pooled(lambda rates, noise: sum(rates) < noise),
        "Where the learner follows the color, its accuracy at the test is 1 − test_rate.": (
            lambda rates, noise, test: test if sum(rates) / len(rates) < noise else 1 - noise
        ),
    },
)
def check_pooled(flip_rates: Sequence[float], label_noise: float, test_rate: float) -> float:
    """→ accuracy at test_rate of the single clue that is right more often in training."""
    return 1 - test_rate if sum(flip_rates) / len(flip_rates) < label_noise else 1 - label_noise
