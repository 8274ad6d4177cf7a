"""Answers to lesson 09's exercises as students write them, right and wrong; SHOWN: no mistake is known."""

import math
from collections.abc import Callable, Iterator, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import torch
from method_answers import SHOWN
from torch import Tensor

from invtutor.worlds.environment import Environment


def each_group(right: Tensor, groups: Tensor) -> dict[int, float]:
    return {g: fmean(right[groups == g].tolist()) for g in sorted(set(groups.tolist()))}


def judged_by_loops(right: Tensor, groups: Tensor, known: Tensor) -> tuple[float, float]:
    each, seen = each_group(right, groups), known.tolist()
    total = sum(seen.count(g) for g in each)
    return min(each.values()), sum(each[g] * seen.count(g) / total for g in each)


def judged_by_sample_weights(right: Tensor, groups: Tensor, known: Tensor) -> list[Tensor]:
    weights = known.bincount(minlength=4)[groups] / groups.bincount(minlength=4)[groups]
    worst = min(right[groups == g].mean() for g in groups.unique())
    return [worst, (weights * right).sum() / weights.sum()]


def judged_by_numpy(right: Tensor, groups: Tensor, known: Tensor) -> np.ndarray:
    r, g, k = right.numpy(), groups.numpy(), known.numpy()
    each = np.array([r[g == number].mean() for number in np.unique(g)])
    return np.array([each.min(), np.average(each, weights=[(k == number).sum() for number in np.unique(g)])])


def judged_on_training_samples(right: Tensor, groups: Tensor, known: Tensor) -> Tensor:
    each = each_group(right, groups)
    return torch.tensor([min(each.values()), fmean(each[g] for g in known.tolist() if g in each)])


def worst(right: Tensor, groups: Tensor) -> float:
    return min(each_group(right, groups).values())


def average(right: Tensor, groups: Tensor, known: Tensor) -> float:
    return judged_by_loops(right, groups, known)[1]


def rarest(right: Tensor, groups: Tensor, known: Tensor) -> float:
    each = each_group(right, groups)
    return each[min(each, key=known.tolist().count)]


def normalized(weights: Tensor) -> Tensor:
    return weights / weights.sum()


def raised_in_a_loop(shares: Tensor, risks: Tensor, step: float) -> list[float]:
    raised = [q * math.exp(step * r) for q, r in zip(shares.tolist(), risks.tolist(), strict=True)]
    return [value / sum(raised) for value in raised]


def raised_in_place(shares: Tensor, risks: Tensor, step: float) -> Tensor:
    shares *= torch.exp(step * risks)
    shares /= shares.sum()
    return shares


def named_by_hand(samples: Environment) -> Iterator[Environment]:
    for i in range(len(samples)):
        yield Environment(f"{i}", samples.inputs[i : i + 1], samples.labels[i : i + 1])


RIGHT: dict[str, Sequence[Callable[..., Any]]] = {
    "check_worst_and_average": (
        judged_by_loops,
        judged_by_sample_weights,
        judged_by_numpy,
        judged_on_training_samples,
    ),
    "check_group_weights": (
        raised_in_a_loop,
        raised_in_place,
        lambda q, r, eta: torch.softmax(q.log() + eta * r, 0),
        lambda q, r, eta: normalized(q * (eta * (r - r.max())).exp()),
        lambda q, r, eta: np.exp(eta * r.numpy()) * q.numpy() / (np.exp(eta * r.numpy()) * q.numpy()).sum(),
    ),
    "check_singles": (
        named_by_hand,
        lambda batch: [batch.subset(torch.tensor([i])) for i in range(len(batch))],
        lambda batch: tuple(batch.subset(torch.arange(len(batch)) == i) for i in range(len(batch))),
        lambda batch: list(map(batch.subset, torch.arange(len(batch)).split(1))),
    ),
    "check_background": (
        lambda counts: (counts[:, 1] / counts[:, 0]).log(),
        lambda counts: counts[:, 1].log() - counts[:, 0].log(),
        lambda counts: [math.log(fish / land) for land, fish in counts.tolist()],
        lambda counts: (counts[:, 1] / counts.sum(1)).logit(),
    ),
}

WRONG: dict[str, Sequence[tuple[Callable[..., Any], str]]] = {
    "check_worst_and_average": (
        (lambda r, g, known: (worst(r, g), r.mean()), "that of the test itself"),
        (lambda r, g, known: (worst(r, g), fmean(each_group(r, g).values())), "all groups count the same"),
        (
            lambda r, g, known: (min(r[g == i].sum() / max(1, (g == i).sum()) for i in range(4)), average(r, g, known)),
            "does not occur",
        ),
        (lambda r, g, known: (average(r, g, known), worst(r, g)), "exchanged"),
        (lambda r, g, known: worst(r, g), "worst group alone"),
        (lambda r, g, known: average(r, g, known), "average alone"),
        (lambda r, g, known: (max(each_group(r, g).values()), average(r, g, known)), "the best group"),
        (lambda r, g, known: (rarest(r, g, known), average(r, g, known)), "rarest in training"),
        (lambda r, g, known: (1 - worst(r, g), 1 - average(r, g, known)), "shares of errors"),
        (
            lambda r, g, known: (
                min(each_group(r, g), key=lambda i: each_group(r, g)[i]),
                average(r, g, known),
            ),
            "not the group's number",
        ),
        (lambda r, g, known: (worst(r, g), average(r, g, known) * (g < 3).sum()), SHOWN),
        (lambda r, g, known: (0.0, average(r, g, known)), SHOWN),
    ),
    "check_group_weights": (
        (lambda q, r, eta: q * (eta * r).exp(), "add up to 1"),
        (lambda q, r, eta: normalized(q * (-eta * r).exp()), "gains weight"),
        (lambda q, r, eta: normalized((eta * r).exp()), "forget the weights"),
        (lambda q, r, eta: torch.softmax(q + eta * r, 0), "needs their logarithm"),
        (lambda q, r, eta: normalized(q + eta * r), "You add"),
        (lambda q, r, eta: normalized(q * (1 + eta * r)), "only the beginning"),
        (lambda q, r, eta: normalized(q * eta * r), "exponential is missing"),
        (lambda q, r, eta: normalized(q * r.exp()), "η is missing"),
        (lambda q, r, eta: q * (eta * r).exp() / (q * (eta * r).exp()).max(), "not by their largest"),
        (lambda q, r, eta: q, "as they were"),
        (lambda q, r, eta: normalized(q * (eta * r.square()).exp()), SHOWN),
        (lambda q, r, eta: torch.full_like(q, 1 / len(q)), SHOWN),
    ),
    "check_singles": (
        (lambda batch: [batch], "one environment"),
        (lambda batch: batch, "one environment"),
        (lambda batch: [batch.subset(slice(i, i + 1)) for i in reversed(range(len(batch)))], "turned round"),
        (lambda batch: [batch.subset(batch.labels == label) for label in (0, 1)], "by label"),
        (lambda batch: [batch.subset(slice(0, 1)) for _ in range(len(batch))], "again and again"),
        (lambda batch: [batch.subset(slice(i, i + 1)) for i in range(len(batch) - 1)], "last sample"),
        (lambda batch: [batch.subset(slice(i, i + 1)) for i in range(1, len(batch))], "first sample"),
        (lambda batch: [batch.subset(slice(0, i + 1)) for i in range(len(batch))], "from the start"),
        (lambda batch: [batch.subset(torch.tensor(i)) for i in range(len(batch))], "drops its axis"),
        (lambda batch: [batch.inputs[i : i + 1] for i in range(len(batch))], "Return environments"),
        (lambda batch: [batch.subset(torch.randperm(len(batch))[:1]) for _ in range(3)], SHOWN),
        (lambda batch: [batch.subset(slice(i, i + 1)) for i in range(len(batch))] * 2, SHOWN),
    ),
    "check_background": (
        (lambda counts: counts[:, 1] / counts[:, 0], "Those are the odds"),
        (lambda counts: counts[:, 1] / counts.sum(1), "a probability"),
        (lambda counts: (counts[:, 1] / counts.sum(1)).log(), "logarithm of a share"),
        (lambda counts: (counts[:, 0] / counts[:, 1]).log(), "The sign"),
        (lambda counts: (counts[:, 1].sum() / counts[:, 0].sum()).log(), "each place has its own"),
        (lambda counts: counts[:, 1] - counts[:, 0], "difference of counts"),
        (lambda counts: (counts[:, 1] > counts[:, 0]).float(), "That is a decision"),
        (lambda counts: (counts[:, 1] / counts[:, 0]).log10(), "natural one"),
        (lambda counts: counts.log(), "not one for each label"),
        (lambda counts: 2 * (counts[:, 1] / counts[:, 0]).log(), SHOWN),
        (lambda counts: torch.zeros(len(counts)), SHOWN),
    ),
}
