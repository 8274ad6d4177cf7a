"""The self-checks: right answers pass however they are written; a hint names the mistake it has recognized, or shows
what went in, what was wanted and what was found."""

import itertools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from statistics import fmean, pvariance
from typing import Any

import elsewhere_answers
import method_answers
import numpy as np
import pytest
import risk_answers
import torch
import torch.nn.functional as F
from torch import Tensor

from invtutor.algorithms import maple
from invtutor.course import checks
from invtutor.tables.selection import Candidate

Function = Callable[..., Any]
SHOWN = "wanted"  # no known mistake: the check shows an example
CUT = "gradients cannot flow"
NAMES = sorted(name for name in checks.__all__ if name.startswith("check_"))


# ------------------------------------------------------------------------------ right answers, written differently


def looped_accuracy(logits: Tensor, labels: Tensor) -> float:
    right = 0
    for logit, label in zip(logits.tolist(), labels.tolist(), strict=True):
        right += int((logit[0] > 0) == (label == 1))
    return right / len(labels)


def drawn_one_by_one(labels: Tensor, rate: float, generator: torch.Generator) -> list[int]:
    draws = torch.rand(len(labels), generator=generator).tolist()
    return [1 - label if draw < rate else label for label, draw in zip(labels.tolist(), draws, strict=True)]


def flipped_in_place(labels: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    flips = torch.bernoulli(torch.full((len(labels),), rate), generator=generator).bool()
    labels[flips] = 1 - labels[flips]
    return labels


def numpy_colors(labels: Tensor, rate: float, generator: torch.Generator) -> np.ndarray:
    return np.where(torch.rand(len(labels), generator=generator).numpy() < rate, 1 - labels.numpy(), labels.numpy())


def pooled_by_counting(rates: list[float], noise: float, test: float) -> float:
    right = 0.0
    for rate in rates:
        right += (1 - rate) / len(rates)
    if right > 1 - noise:
        return 1 - test
    return 1 - noise


def gray_by_hand(inputs: Tensor) -> Tensor:
    result = torch.empty_like(inputs)
    for i in range(len(inputs)):
        for channel in (0, 1):
            result[i, channel] = inputs[i, 0] + inputs[i, 1]
    return result


def slope_by_autograd(logits: Tensor, labels: Tensor) -> Tensor:
    scale = torch.ones((), requires_grad=True)
    risk = F.binary_cross_entropy_with_logits(scale * logits[:, 0], labels.to(logits))
    return torch.autograd.grad(risk, scale, create_graph=True)[0]


def slope_in_a_loop(logits: Tensor, labels: Tensor) -> Tensor:
    total = torch.zeros(())
    for logit, label in zip(logits[:, 0], labels, strict=True):
        total = total + (1 / (1 + torch.exp(-logit)) - label) * logit
    return total / len(labels)


def divided_in_place(risk: Tensor, penalty: Tensor, weight: float) -> Tensor:
    total = risk + weight * penalty
    if weight > 1:
        total /= weight
    return total


def variance_in_a_loop(risks: Tensor) -> Tensor:
    mean = sum(risks) / len(risks)
    return sum((risk - mean) ** 2 for risk in risks) / len(risks)  # type: ignore[return-value]


def stepped_by_backward(theta: Tensor, risk: Function, rate: float) -> Tensor:
    return theta - rate * torch.func.grad(risk)(theta)


def stepped_by_entry(theta: Tensor, risk: Function, rate: float) -> Tensor:
    slope = torch.autograd.grad(risk(theta), [theta], create_graph=True)[0]
    return torch.stack([theta[i] - rate * slope[i] for i in range(len(theta))])


def masked_by_loops(gradients: Tensor, threshold: float) -> list[float]:
    result = []
    for column in gradients.T.tolist():
        votes = sum((g > 0) - (g < 0) for g in column)
        result.append(sum(column) / len(column) if abs(votes) / len(column) >= threshold else 0.0)
    return result


def geometric_by_loops(gradients: Tensor) -> list[float]:
    result = []
    for column in gradients.T.tolist():
        size = math.exp(fmean(math.log(abs(g) + 1e-300) for g in column))
        result.append(size if min(column) > 0 else -size if max(column) < 0 else 0.0)
    return result


def turned_by_matrix(inputs: Tensor) -> Tensor:
    matrix = torch.tensor([[1.0, 1.0], [-1.0, 1.0]]) / math.sqrt(2)
    return torch.einsum("oc,nchw->nohw", matrix, inputs)


def turned_in_place(inputs: Tensor) -> Tensor:
    turned = torch.empty_like(inputs)
    turned[:, 0] = (inputs[:, 0] + inputs[:, 1]) * 0.5**0.5
    turned[:, 1] = (inputs[:, 1] - inputs[:, 0]) * 0.5**0.5
    return turned


def geometric_by_numpy(gradients: Tensor) -> np.ndarray:
    g = gradients.numpy().astype(float)
    agree = np.abs(np.sign(g).mean(0)) == 1
    return agree * np.sign(g[0]) * np.exp(np.log(np.abs(g)).mean(0))


def projected_by_sorting(values: Tensor, budget: float) -> Tensor:
    if values.clamp(0, 1).sum() <= budget:
        return values.clamp(0, 1)
    breaks = torch.cat([values, values - 1]).sort().values
    sums = torch.stack([(values - v).clamp(0, 1).sum() for v in breaks])
    i = int((sums > budget).sum())
    low, high = breaks[i - 1], breaks[i]
    share = (sums[i - 1] - budget) / (sums[i - 1] - sums[i])
    return (values - (low + share * (high - low)).clamp(min=0)).clamp(0, 1)


def projected_in_place(values: Tensor, budget: float) -> Tensor:
    low, high = 0.0, max(0.0, float(values.max()))
    for _ in range(50):
        low, high = (
            (low, (low + high) / 2)
            if (values - (low + high) / 2).clamp(0, 1).sum() <= budget
            else ((low + high) / 2, high)
        )
    return values.sub_(high).clamp_(0, 1)


def drawn_through_the_odds(chances: Tensor, noise: Tensor, temperature: float) -> Tensor:
    odds = (chances / (1 - chances) * noise.exp()) ** (1 / temperature)
    soft = odds / (1 + odds)
    mask = torch.zeros_like(soft)
    mask[soft >= 0.5] = 1.0
    return mask + (soft - soft.detach())


def influence_by_autograd(x: Tensor, y: Tensor, theta: Tensor, v: Tensor, m: Tensor, rate: float) -> Tensor:
    mask, total = m.clone().requires_grad_(), m.sum()
    leaf = theta.clone().requires_grad_()
    losses = F.binary_cross_entropy_with_logits(x @ leaf, y.to(x), reduction="none")
    (slope,) = torch.autograd.grad((mask * losses).sum() / total, leaf, create_graph=True)
    return torch.autograd.grad((theta - rate * slope) @ v, mask)[0]


def influence_in_full(x: Tensor, y: Tensor, theta: Tensor, v: Tensor, m: Tensor, rate: float) -> Tensor:
    mask, leaf = m.clone().requires_grad_(), theta.clone().requires_grad_()
    losses = F.binary_cross_entropy_with_logits(x @ leaf, y.to(x), reduction="none")
    (slope,) = torch.autograd.grad((mask * losses).sum() / mask.sum(), leaf, create_graph=True)
    return torch.autograd.grad((theta - rate * slope) @ v, mask)[0]


def influence_in_a_loop(x: Tensor, y: Tensor, theta: Tensor, v: Tensor, m: Tensor, rate: float) -> Iterator[Tensor]:
    for sample, label in zip(x, y, strict=True):
        yield -rate * ((sample @ theta).sigmoid() - label) * (sample @ v) / m.sum()


def differences_in_a_loop(a: dict[int, float], b: dict[int, float]) -> list[float]:
    result = []
    for seed in sorted(a):
        if seed in b:
            result.append(a[seed] - b[seed])
    return result


def best_in_a_loop(some: Sequence[Candidate]) -> Candidate:
    best = some[0]
    for candidate in some[1:]:
        if sum(candidate.validation) > sum(best.validation):
            best = candidate
    return best


RIGHT: dict[str, Sequence[Function]] = {
    "check_accuracy": (
        lambda z, y: ((z[:, 0] > 0) == y.bool()).float().mean().item(),
        looped_accuracy,
        lambda z, y: np.mean((z.numpy()[:, 0] > 0) == y.numpy()),
        lambda z, y: (z.squeeze(1).sigmoid().round().long() == y).sum() / len(y),
        lambda z, y: ((z > 0).long() == y[:, None]).double().mean(0),  # shape (1,): one number all the same
    ),
    "check_best_clue": (
        lambda noise, rate: "shape" if 1 - noise > 1 - rate else "color",
        lambda noise, rate: max([("shape", 1 - noise), ("color", 1 - rate)], key=lambda pair: pair[1])[0],
        lambda noise, rate: ["color", "shape"][noise < rate],
        lambda noise, rate: min({noise: "shape", rate: "color"}.items())[1],
    ),
    "check_color": (
        lambda labels, rate, generator: labels ^ (torch.rand(len(labels), generator=generator) < rate).long(),
        drawn_one_by_one,
        flipped_in_place,
        numpy_colors,
        lambda labels, rate, generator: (torch.rand(len(labels), generator=generator) < rate) != labels.bool(),
    ),
    "check_pooled": (
        lambda rates, noise, test: 1 - test if sum(rates) / len(rates) < noise else 1 - noise,
        pooled_by_counting,
        lambda rates, noise, test: np.where(np.mean(rates) < noise, 1 - test, 1 - noise),
        lambda rates, noise, test: max((1 - fmean(rates), 1 - test), (1 - noise, 1 - noise))[1],
    ),
    "check_gray": (
        lambda inputs: inputs + inputs.flip(1),
        gray_by_hand,
        lambda inputs: np.repeat(inputs.numpy().sum(1, keepdims=True), 2, axis=1),
        lambda inputs: inputs.amax(1, keepdim=True).repeat(1, 2, 1, 1).double(),
        lambda inputs: torch.stack([inputs.sum(1)] * 2, 1),
    ),
    "check_curve": (
        lambda agreeing, flipped, p: agreeing + p * (flipped - agreeing),
        lambda agreeing, flipped, p: np.dot([1 - p, p], [agreeing, flipped]),
        lambda agreeing, flipped, p: torch.tensor(agreeing).lerp(torch.tensor(flipped), p),
        lambda agreeing, flipped, p: sum(w * a for w, a in zip((1 - p, p), (agreeing, flipped), strict=True)),
    ),
    "check_slope": (
        lambda z, y: torch.mean((torch.sigmoid(z[:, 0]) - y) * z[:, 0]),
        slope_by_autograd,
        slope_in_a_loop,
        lambda z, y: ((z.double().sigmoid() - y[:, None]) * z).mean(0),
        lambda z, y: (z.sigmoid().T - y) @ z / len(y),  # shape (1, 1): one number all the same
    ),
    "check_objective": (
        lambda risk, penalty, w: risk + w * penalty if w <= 1 else risk / w + penalty,
        divided_in_place,
        lambda risk, penalty, w: (risk + w * penalty) * min(1.0, 1 / w if w else 1.0),
        lambda risk, penalty, w: torch.stack([risk, w * penalty]).sum() / max(1, w),
    ),
    "check_variance": (
        lambda r: (r**2).mean() - r.mean() ** 2,
        variance_in_a_loop,
        lambda r: r.var(correction=0),
        lambda r: (r[:, None] - r).square().mean() / 2,
        lambda r: (r - r.mean()).pow(2).sum() / r.numel(),
    ),
    "check_maximum_excess": (
        lambda r, beta: (1 - beta) * r.mean() + beta * r.max(),
        lambda r, beta: r.mean() + beta * (r - r.mean()).max(),
        lambda r, beta: sum(r) / len(r) + beta * (max(r) - sum(r) / len(r)),
        lambda r, beta: r.mean().lerp(r.max(), beta),
    ),
    "check_inner_step": (
        lambda t, risk, rate: t - rate * torch.autograd.grad(risk(t), t, create_graph=True)[0],
        stepped_by_backward,
        stepped_by_entry,
        lambda t, risk, rate: torch.add(t, torch.autograd.grad(risk(t), t, create_graph=True)[0], alpha=-rate),
    ),
    "check_deviation": (
        lambda x: (x - x.mean()).square().mean().add(1e-12).sqrt(),
        lambda x: (x.square().mean() - x.mean() ** 2).clamp(min=1e-12).sqrt(),
        lambda x: (sum((one - sum(x) / len(x)) ** 2 for one in x) / len(x) + 1e-10) ** 0.5,  # type: ignore[operator]
        lambda x: torch.sqrt(x.var(unbiased=False) + 1e-9),
        lambda x: x.std(unbiased=False),  # whose derivative PyTorch takes as 0 where all are equal
    ),
    "check_orders": (
        lambda t, r, a, u, b, v: (
            b * (t - r * a * (t - u) - v),
            (1 - r * a) * b * (t * (1 - r * a) + r * a * u - v),
        ),
        lambda t, r, a, u, b, v: [b * (t - r * a * (t - u) - v) * factor for factor in (1, 1 - r * a)],
        lambda t, r, a, u, b, v: np.array([1, 1 - r * a]) * b * (t - r * a * (t - u) - v),
        lambda t, r, a, u, b, v: (torch.tensor(b * (t - r * a * (t - u) - v)) * f for f in (1, 1 - r * a)),
    ),
    "check_and_mask": (
        lambda g, tau: torch.where(g.sign().sum(0).abs() >= tau * len(g), g.sum(0) / len(g), 0.0),
        masked_by_loops,
        lambda g, tau: (np.abs(np.sign(g.numpy()).mean(0)) >= tau) * g.numpy().mean(0),
        lambda g, tau: g.double().mean(0).mul_(g.sign().mean(0).abs_() >= tau),
    ),
    "check_geometric_mean": (
        lambda g: (g.sign().sum(0) / len(g)).trunc() * torch.exp2(torch.log2(g.abs().double()).sum(0) / len(g)),
        geometric_by_loops,
        geometric_by_numpy,
        lambda g: ((g > 0).all(0).double() - (g < 0).all(0).double()) * g.double().abs().log().mean(0).exp(),
    ),
    "check_product": (
        lambda g: torch.where(g.sign().mean(0).abs() == 1, g[0].sign() * g.abs().prod(0) ** (1 / len(g)), 0.0),
        geometric_by_loops,
        geometric_by_numpy,
        lambda g: ((g > 0).all(0).double() - (g < 0).all(0).double()) * g.double().abs().log().mean(0).exp(),
    ),
    "check_turn": (
        lambda x: torch.stack([x.sum(1), x[:, 1] - x[:, 0]], 1) / 2**0.5,
        turned_by_matrix,
        turned_in_place,
        lambda x: np.stack([x.numpy().sum(1), np.diff(x.numpy(), axis=1)[:, 0]], 1) / np.sqrt(np.float32(2)),
    ),
    "check_signs_needed": (
        lambda d, tau: min(k for k in range(d + 1) if (2 * k - d) / d >= tau - 1e-9),
        lambda d, tau: math.ceil(d * (1 + tau) / 2 - 1e-9),
        lambda d, tau: float(math.ceil(round(d * (1 + tau) / 2, 6))),
        lambda d, tau: next(filter(lambda k: 2 * k - d >= tau * d - 1e-9, itertools.count())),
    ),
    "check_projection": (
        maple.project,
        projected_by_sorting,
        projected_in_place,
        lambda values, budget: projected_by_sorting(values.double(), budget).numpy(),
        lambda values, budget: (float(v) for v in projected_by_sorting(values, budget)),
    ),
    "check_draw": (
        maple.straight_through,
        drawn_through_the_odds,
        lambda s, noise, t: (soft := ((s / (1 - s)).log() + noise).div(t).sigmoid()) + (soft.round() - soft).detach(),
        lambda s, noise, t: (
            torch.where((z := (s.logit() + noise) / t) >= 0, 1.0, 0.0) + z.sigmoid() - z.sigmoid().detach()
        ),
    ),
    "check_influence": (
        lambda x, y, theta, v, m, rate: -rate * ((x @ theta).sigmoid() - y) * (x @ v) / m.sum(),
        influence_by_autograd,
        influence_in_full,
        influence_in_a_loop,
        lambda x, y, theta, v, m, rate: (
            -rate * (1 / (1 + np.exp(-(x @ theta).numpy())) - y.numpy()) * (x @ v).numpy() / m.numpy().sum()
        ),
    ),
    "check_balancing_budget": (
        lambda rates: 2 * min(sum(rates), len(rates) - sum(rates)) / len(rates),
        lambda rates: 1 - abs(1 - 2 * fmean(rates)),
        lambda rates: 2 * np.minimum(np.mean(rates), 1 - np.mean(rates)),
        lambda rates: torch.tensor([fmean(rates), 1 - fmean(rates)]).min() * 2,
    ),
    "check_paired_differences": (
        lambda a, b: [a[seed] - b[seed] for seed in sorted(a.keys() & b.keys())],
        differences_in_a_loop,
        lambda a, b: (a[seed] - b[seed] for seed in sorted(set(a) & set(b))),
        lambda a, b: np.array([a[s] - b[s] for s in sorted(a) if s in b]),
        lambda a, b: {s: a[s] - b[s] for s in sorted(a) if s in b}.values(),
    ),
    "check_training_domains": (
        lambda some: sorted(some, key=lambda c: sum(c.validation))[-1],
        best_in_a_loop,
        lambda some: max(some, key=lambda c: np.mean(c.validation)),
        lambda some: some[int(torch.tensor([c.validation for c in some]).mean(1).argmax())],
    ),
    "check_worst_rate": (
        lambda a, f, low, high: min(a + (f - a) * p for p in (low, high)),
        lambda a, f, low, high: a + (f - a) * (high if f < a else low),
        lambda a, f, low, high: np.min([(1 - p) * a + p * f for p in np.linspace(low, high, 11)]),
        lambda a, f, low, high: sorted(((1 - low) * a + low * f, (1 - high) * a + high * f))[0],
    ),
}


# ------------------------------------------------------------------------------ wrong ones, and what is said of them


def slope(theta: Tensor, risk: Function) -> Tensor:
    return torch.autograd.grad(risk(theta), theta, create_graph=True)[0]


def adapted(theta: float, rate: float, a: float, u: float) -> float:
    return theta - rate * a * (theta - u)


def forgets_return(*_: object, **__: object) -> None:
    """What a `return` would have given goes nowhere."""


def changed(theta: Tensor, risk: Function, rate: float) -> Tensor:
    step = rate * slope(theta, risk).detach()
    theta.data.sub_(step)
    return theta * 1


WRONG: dict[str, Sequence[tuple[Function, str]]] = {
    "check_accuracy": (
        (lambda z, y: ((z > 0) == y).float().mean(), "compares every prediction"),
        (lambda z, y: ((z[:, 0] > 0) != y).float().mean(), "wrong predictions"),
        (lambda z, y: ((z[:, 0] > 0) == y).sum(), "take the mean"),
        (lambda z, y: (z.argmax(1) == y).float().mean(), "argmax over a single column"),
        (lambda z, y: ((z[:, 0] > 0.5) == y).float().mean(), "no probability"),
        (lambda z, y: (z > 0).float().mean(), "share of predictions of label 1"),
        (lambda z, y: ((z[:, 0] > 0) == y).float(), "one number per sample"),
        (lambda z, y: round(100 * ((z[:, 0] > 0) == y).double().mean().item(), 6), "no percentage"),
        (lambda z, y: ((z[:, 0] > 0) == y).float().mean() / 2, SHOWN),
        (lambda z, y: 0.5, SHOWN),
        (lambda z, y: ((z[:, 0] > 0) == y).mean(), "stopped with RuntimeError"),
    ),
    "check_best_clue": (
        (lambda noise, rate: "shape", "always say shape"),
        (lambda noise, rate: "color", "always say color"),
        (lambda noise, rate: "shape" if noise > rate else "color", "less often"),
        (lambda noise, rate: "shape" if 1 - noise > rate else "color", "color is *wrong*"),
        (lambda noise, rate: "shape" if noise > 1 - rate else "color", "shape is *wrong*"),
        (lambda noise, rate: "Shape" if noise < rate else "Color", "small letters"),
        (lambda noise, rate: max(1 - noise, 1 - rate), "not how often"),
        (lambda noise, rate: noise < rate, "not whether"),
        (lambda noise, rate: "shape" if noise < 0.2 else "color", SHOWN),
        (lambda noise, rate: ["shape"] if noise < rate else ["color"], SHOWN),
    ),
    "check_color": (
        (lambda y, p, g: y, "Nothing is flipped"),
        (lambda y, p, g: 1 - y, "Every color is flipped"),
        (lambda y, p, g: y ^ (torch.rand(len(y)) < p).long(), "same generator"),
        (lambda y, p, g: y ^ (torch.rand(len(y), generator=g) > p).long(), "*below* the rate"),
        (lambda y, p, g: (torch.rand(len(y), generator=g) < p).long(), "These are flips"),
        (lambda y, p, g: y & (torch.rand(len(y), generator=g) > p).long(), "label 1 alone"),
        (lambda y, p, g: y | (torch.rand(len(y), generator=g) < p).long(), "label 0 alone"),
        (lambda y, p, g: y ^ (torch.rand(1, generator=g) < p).long(), "One draw decides"),
        (lambda y, p, g: y ^ (torch.randn(len(y), generator=g) < p).long(), "normal distribution"),
        (lambda y, p, g: y ^ (torch.rand(len(y), generator=torch.manual_seed(3)) < p).long(), "a fixed one"),
        (lambda y, p, g: y ^ (torch.rand(len(y), generator=g) < p / 2).long(), SHOWN),
        (lambda y, p, g: y + (torch.rand(len(y), generator=g) < p).long(), "Colors are 0 or 1"),
        (lambda y, p, g: (y ^ (torch.rand(len(y), generator=g) < p).long())[:, None], "One color per label"),
    ),
    "check_pooled": (
        (lambda rates, noise, test: 1 - test, "always follow the color"),
        (lambda rates, noise, test: 1 - noise, "always follow the shape"),
        (lambda rates, noise, test: 1 - test if (rates[0] + rates[-1]) / 2 < noise else 1 - noise, SHOWN),
        (lambda rates, noise, test: 1 - test if sum(rates[:2]) / 2 < noise else 1 - noise, "first two"),
        (lambda rates, noise, test: max(1 - test, 1 - noise), "by the test environment"),
        (lambda rates, noise, test: max(1 - sum(rates) / len(rates), 1 - noise), "accuracy in training"),
        (
            lambda rates, noise, test: 1 - test if sum(rate < noise for rate in rates) > len(rates) / 2 else 1 - noise,
            "each environment vote",
        ),
        (lambda rates, noise, test: 1 - test if min(rates) < noise else 1 - noise, "lowest flip rate"),
        (lambda rates, noise, test: 1 - test if max(rates) < noise else 1 - noise, "highest flip rate"),
        (lambda rates, noise, test: 1 - test if sum(rates) < noise else 1 - noise, "average them"),
        (lambda rates, noise, test: test if sum(rates) / len(rates) < noise else 1 - noise, "1 − test_rate"),
        (lambda rates, noise, test: 1 - test if sum(rates) / len(rates) < 0.25 else 1 - noise, SHOWN),
        (lambda rates, noise, test: 1 - test if sum(rates) / len(rates) < noise else noise, SHOWN),
    ),
    "check_gray": (
        (lambda x: x.mean(1, keepdim=True).expand_as(x), "halves"),
        (lambda x: x.sum(1), "two channels"),
        (lambda x: x.sum(1, keepdim=True), "two channels"),
        (lambda x: x.add_(x.flip(1).clone()), "in place"),
        (lambda x: x, "changed nothing"),
        (lambda x: x.flip(1), "exchanged"),
        (lambda x: torch.cat([x.sum(1, keepdim=True), torch.zeros_like(x[:, :1])], 1), "one channel for all"),
        (lambda x: x[:, :1].repeat(1, 2, 1, 1), "first channel"),
        (lambda x: (x.sum(1, keepdim=True) > 0).float().expand_as(x), "has a strength"),
        (lambda x: 0 * x, "digits are gone"),
        (lambda x: 2 * x.sum(1, keepdim=True).expand_as(x), SHOWN),
        (lambda x: 1 - x.sum(1, keepdim=True).expand_as(x), SHOWN),
    ),
    "check_curve": (
        (lambda a, f, p: a, "whose color is flipped"),
        (lambda a, f, p: (1 - p) * a, "whose color is flipped"),
        (lambda a, f, p: f, "whose color agrees"),
        (lambda a, f, p: p * a + (1 - p) * f, "exchanged"),
        (lambda a, f, p: (a + f) / 2, "both accuracies alike"),
        (lambda a, f, p: a - p, "does not use `flipped`"),
        (lambda a, f, p: a + p * f, "not all of them"),
        (lambda a, f, p: a + p * (a - f), "wrong way round"),
        (lambda a, f, p: max(a, f), "the better of the two"),
        (lambda a, f, p: ((1 - p) * a + p * f) / 2, SHOWN),
        (lambda a, f, p: min(a, f), SHOWN),
    ),
    "check_slope": (
        (lambda z, y: ((z.sigmoid() - y) * z).mean(), "broadcast"),
        (lambda z, y: ((z.sigmoid() - y[:, None]) * z).sum(), "the sum over samples"),
        (lambda z, y: ((y[:, None] - z.sigmoid()) * z).mean(), "sign is turned"),
        (lambda z, y: ((z.sigmoid() - y[:, None]) * z).mean().item(), CUT),
        (lambda z, y: ((z.sigmoid() - y[:, None]) * z).mean().detach(), CUT),
        (lambda z, y: np.mean((1 / (1 + np.exp(-z.numpy()[:, 0])) - y.numpy()) * z.numpy()[:, 0]), CUT),
        (lambda z, y: ((z.sigmoid().detach() - y[:, None]) * z).mean(), "derivative is not"),
        (lambda z, y: ((z.sigmoid() - y[:, None]) * z).mean() ** 2, "square"),
        (lambda z, y: ((z - y[:, None]) * z).mean(), "σ is missing"),
        (lambda z, y: (z.sigmoid() - y[:, None]).mean(), "factor z"),
        (lambda z, y: (z.sigmoid() - y[:, None]) * z / len(y), "divided by n"),
        (lambda z, y: (z.sigmoid() - y[:, None]) * z, "one number per sample"),
        (lambda z, y: F.binary_cross_entropy_with_logits(z[:, 0], y.float()), "risk itself"),
        (lambda z, y: ((z.sigmoid() - y[:, None]) * z).mean() / 2, SHOWN),
        (lambda z, y: ((z.tanh() - y[:, None]) * z).mean(), SHOWN),
    ),
    "check_objective": (
        (lambda risk, penalty, w: risk + w * penalty, "Divide"),
        (lambda risk, penalty, w: (risk + w * penalty) / w if w > 0 else risk, "below 1"),
        (lambda risk, penalty, w: risk + w * penalty / max(1, w), "Only the penalty"),
        (lambda risk, penalty, w: risk / max(1, w) + w * penalty, "Only the risk"),
        (lambda risk, penalty, w: ((risk + w * penalty) / max(1, w)).item(), CUT),
        (lambda risk, penalty, w: (risk + w * penalty.detach()) / max(1, w), "derivative is not"),
        (lambda risk, penalty, w: (risk + w * penalty) / (1 + w), "1 + weight"),
        (lambda risk, penalty, w: (w * risk + penalty) / max(1, w), "not to the risk"),
        (lambda risk, penalty, w: risk + penalty, "weight is missing"),
        (lambda risk, penalty, w: (risk - w * penalty) / max(1, w), "subtracted"),
        (lambda risk, penalty, w: (risk + w**2 * penalty) / max(1, w), SHOWN),
        (lambda risk, penalty, w: (risk + w * penalty) / max(2, w), SHOWN),
    ),
    "check_variance": (
        (lambda r: r.var(), "unbiased"),
        (lambda r: r.std(unbiased=False), "standard deviation"),
        (lambda r: (r.max() - r.min()) ** 2, "largest and the smallest"),
        (lambda r: (r[0] - r[1]) ** 2 / 4, "first two"),
        (lambda r: (r**2).mean(), "distances from the mean"),
        (lambda r: (r - r.mean()).square().sum(), "add up"),
        (lambda r: (r - r.mean()).abs().mean(), "by their squares"),
        (lambda r: (r - r.mean()).mean(), "cancel"),
        (lambda r: r.max() - r.min(), "range"),
        (lambda r: (r - r.mean()).square(), "one number per environment"),
        (lambda r: torch.tensor(pvariance(r.tolist())), CUT),
        (lambda r: r.var(unbiased=False) / 2, SHOWN),
        (lambda r: (r - r.median()).square().mean(), SHOWN),
        (lambda r: r.var(unbiased=False) + 1, SHOWN),
    ),
    "check_maximum_excess": (
        (lambda r, beta: r.mean() + beta * r.max(), "worst case"),
        (lambda r, beta: r.max(), "β = 0"),
        (lambda r, beta: r.mean(), "ERM, the mean risk, whatever"),
        (lambda r, beta: r.mean() + beta * (r.max() - r.min()), "range"),
        (lambda r, beta: beta * (r.max() - r.mean()), "mean risk is missing"),
        (lambda r, beta: r.mean() + beta * r.var(unbiased=False), "V-REx"),
        (lambda r, beta: (r.mean() + beta * (r.max() - r.mean())) / max(1, beta), "before any division"),
        (lambda r, beta: r.mean() - beta * (r.max() - r.mean()), "turned round"),
        (lambda r, beta: (r.mean() + beta * (r.max() - r.mean())).item(), CUT),
        (lambda r, beta: r.mean() + beta * (r.max() - r.mean()).item(), "derivative is not"),
        (lambda r, beta: r.sum() + beta * (r.max() - r.mean()), "take their mean"),
        (lambda r, beta: r.mean() + beta * (r.max() - r.median()), SHOWN),
        (lambda r, beta: r.mean() + beta**2 * (r.max() - r.mean()), SHOWN),
    ),
    "check_inner_step": (
        (lambda t, risk, rate: t + rate * slope(t, risk), "goes up"),
        (lambda t, risk, rate: t - slope(t, risk), "inner_rate is missing"),
        (lambda t, risk, rate: (t - rate * slope(t, risk)).detach(), CUT),
        (lambda t, risk, rate: t - rate * slope(t, risk).detach(), "create_graph"),
        (lambda t, risk, rate: t - rate * torch.autograd.grad(risk(t), t)[0], "create_graph"),
        (changed, "changed theta"),
        (lambda t, risk, rate: slope(t, risk), "That is the gradient"),
        (lambda t, risk, rate: -rate * slope(t, risk), "step alone"),
        (lambda t, risk, rate: t - rate * risk(t), "the risk itself"),
        (lambda t, risk, rate: t - rate * slope(t, risk).sign(), "equally long"),
        (lambda t, risk, rate: t - rate * t, "shrinks"),
        (lambda t, risk, rate: t - 2 * rate * slope(t, risk), SHOWN),
        (lambda t, risk, rate: t - rate * slope(t, risk).mean(), SHOWN),
    ),
    "check_deviation": (
        (lambda x: x.std(), "n − 1"),
        (lambda x: x.var(unbiased=False), "variance"),
        (lambda x: (x - x.mean()).square().mean().sqrt(), "not finite"),
        (lambda x: x.max() - x.min(), "range"),
        (lambda x: x.detach().std(unbiased=False), CUT),
        (lambda x: (x - x.mean()).abs().mean(), "average their sizes"),
        (lambda x: (x - x.mean()).norm(), "take their mean"),
        (lambda x: x.square().mean().sqrt(), "distances from the mean"),
        (lambda x: x.mean(), "mean loss"),
        (lambda x: (x.var(unbiased=False) + 0.1).sqrt(), SHOWN),
        (lambda x: 2 * (x.var(unbiased=False) + 1e-12).sqrt(), SHOWN),
    ),
    "check_orders": (
        (lambda t, r, a, u, b, v: (b * (t - v),) * 2, "judges θ′"),
        (lambda t, r, a, u, b, v: (b * (adapted(t, r, a, u) - v),) * 2, "one more factor"),
        (lambda t, r, a, u, b, v: (b * (adapted(t, r, a, u) - v), 0.0), SHOWN),
        (lambda t, r, a, u, b, v: (0.0, 0.0), SHOWN),
        (
            lambda t, r, a, u, b, v: tuple(f * b * (adapted(t, r, a, u) - v) for f in (1 - r * a, 1)),
            "exchanged",
        ),
        (lambda t, r, a, u, b, v: tuple(f * b * (adapted(t, r, a, u) - v) for f in (1, 1 - r * b)), "1 − α·b"),
        (lambda t, r, a, u, b, v: tuple(f * b * (adapted(t, r, a, u) - v) for f in (1, 1 + r * a)), "1 + α·a"),
        (lambda t, r, a, u, b, v: tuple(f * (adapted(t, r, a, u) - v) for f in (1, 1 - r * a)), "factor b"),
        (lambda t, r, a, u, b, v: b * (adapted(t, r, a, u) - v), "two numbers"),
        (lambda t, r, a, u, b, v: tuple(f * b * (t - r * a * t - v) for f in (1, 1 - r * a)), "does not know u"),
        (lambda t, r, a, u, b, v: tuple(f * b * (adapted(t, r, a, u) + v) for f in (1, 1 - r * a)), SHOWN),
    ),
    "check_and_mask": (
        (lambda g, tau: (g.sign().mean(0).abs() > tau) * g.mean(0), "not for >"),
        (lambda g, tau: (g.sign().mean(0) >= tau) * g.mean(0), ".abs()"),
        (lambda g, tau: (g.sign().mean(0).abs() >= tau) * g.sum(0), "the sum"),
        (lambda g, tau: (g.sign().sum(0).abs() >= tau) * g.mean(0), "their mean is meant"),
        (lambda g, tau: ((g > 0).double().mean(0) - 0.5).abs().ge(tau / 2) * g.mean(0), "no vote"),
        (lambda g, tau: (g.sign().mean(1).abs() >= tau) * g.mean(1), "dimension 0"),
        (lambda g, tau: (g.sign().mean(0).abs() >= tau).float(), "mask alone"),
        (lambda g, tau: (g.sign().mean(0).abs() < tau) * g.mean(0), "turned round"),
        (lambda g, tau: g.mean(0), "nothing is masked"),
        (lambda g, tau: (g.mean(0).abs() >= tau) * g.mean(0), "Signs vote"),
        (lambda g, tau: (g.sign().mean(0).abs() >= tau) * g, "each environment's"),
        (lambda g, tau: g, SHOWN),
        (lambda g, tau: (g.sign().mean(0).abs() >= tau) * g.median(0).values, SHOWN),
    ),
    "check_geometric_mean": (
        (lambda g: g.mean(0), "arithmetic"),
        (lambda g: g.log().mean(0).exp(), "nan"),
        (lambda g: g.abs().log().mean(0).exp(), "Neither sign nor veto"),
        (lambda g: g.abs().log().mean(0).exp() * g[0].sign(), "must be 0"),
        (lambda g: g.abs().log().mean(0).exp() * g.sign().mean(0), "mean sign is more"),
        (lambda g: g.abs().prod(0) * (g.sign().mean(0).abs() == 1) * g[0].sign(), "root is missing"),
        (lambda g: g.abs().prod(0).sqrt() * (g.sign().mean(0).abs() == 1) * g[0].sign(), "A square root"),
        (lambda g: g.abs().prod(0) ** (1 / len(g)) * (g.sign().mean(0).abs() == 1) * g[0].sign(), "underflow"),
        (lambda g: g.abs().log().mean(0).exp() * (g.sign().mean(0).abs() == 1), "is lost"),
        (lambda g: g.abs().log().mean(0) * (g.sign().mean(0).abs() == 1) * g[0].sign(), "exp is missing"),
        (lambda g: 2 * g.abs().log().mean(0).exp() * (g.sign().mean(0).abs() == 1) * g[0].sign(), SHOWN),
        (lambda g: g.abs().min(0).values * (g.sign().mean(0).abs() == 1) * g[0].sign(), SHOWN),
    ),
    "check_product": (
        (lambda g: g.mean(0), "arithmetic"),
        (lambda g: g.prod(0) ** (1 / len(g)), "negative product is nan"),
        (lambda g: g.abs().prod(0) ** (1 / len(g)), "Neither sign nor veto"),
        (lambda g: g.abs().prod(0) ** (1 / len(g)) * g[0].sign(), "must be 0"),
        (lambda g: g.abs().prod(0) * (g.sign().mean(0).abs() == 1) * g[0].sign(), "root is missing"),
        (lambda g: g.abs().prod(0).sqrt() * (g.sign().mean(0).abs() == 1) * g[0].sign(), "A square root"),
        (lambda g: g.abs().prod(0) ** (1 / len(g)) * (g.sign().mean(0).abs() == 1), "is lost"),
        (lambda g: g.abs().max(0).values * (g.sign().mean(0).abs() == 1) * g[0].sign(), SHOWN),
    ),
    "check_turn": (
        (lambda x: torch.stack([x.sum(1), x[:, 1] - x[:, 0]], 1), "keeps lengths"),
        (lambda x: torch.stack([x.sum(1), x[:, 0] - x[:, 1]], 1) / 2**0.5, "other way round"),
        (lambda x: torch.stack([x[:, 1] - x[:, 0], x.sum(1)], 1) / 2**0.5, "Ink comes first"),
        (lambda x: torch.stack([x.sum(1), x[:, 1] - x[:, 0]]) / 2**0.5, "dimension 1"),
        (lambda x: torch.cat([x.sum(1), x[:, 1] - x[:, 0]], 1) / 2**0.5, "makes the images higher"),
        (lambda x: x, "as they were"),
        (lambda x: x.flip(1), SHOWN),
        (lambda x: x.sum(1), SHOWN),
    ),
    "check_signs_needed": (
        (lambda d, tau: round(d * tau), "no share"),
        (lambda d, tau: math.ceil(d * tau), "no share"),
        (lambda d, tau: d * (1 + tau) / 2, "round it up"),
        (lambda d, tau: int(d * (1 + tau) / 2), "round down"),
        (lambda d, tau: int(d * (1 + tau) / 2) + 1, "one sign more"),
        (lambda d, tau: d, "τ = 1 alone"),
        (lambda d, tau: d // 2 + 1, "majority"),
        (lambda d, tau: round(d * (1 + tau) / 2), "nearest"),
        (lambda d, tau: math.ceil(d * (1 + tau) / 2 - 1e-9) * 2 - d, "surplus"),
        (lambda d, tau: 0, SHOWN),
        (lambda d, tau: math.ceil(d * (1 + tau / 2) / 2), SHOWN),
    ),
    "check_projection": (
        (lambda s, budget: s.clamp(0, 1) * min(1, budget / s.clamp(0, 1).sum()), "same v"),
        (lambda s, budget: s * min(1, budget / s.sum()), "do not clamp"),
        (lambda s, budget: s.clamp(0, 1), "forget the budget"),
        (
            lambda s, budget: (s.clamp(0, 1) - (s.clamp(0, 1).sum() - budget).clamp(min=0) / len(s)).clamp(0, 1),
            "equal parts",
        ),
        (lambda s, budget: torch.zeros(len(s)), "Everything is 0"),
        (lambda s, budget: (s >= s.sort(descending=True).values[min(int(budget), len(s)) - 1]).float(), "largest"),
        (lambda s, budget: maple.project(s.clamp(0, 1), budget), "clamp first"),
        (lambda s, budget: maple.project(s, budget) + 0.1, SHOWN),
        (lambda s, budget: maple.project(s, budget / 2), SHOWN),
        (lambda s, budget: maple.project(s, budget)[None], SHOWN),
    ),
    "check_draw": (
        (lambda s, noise, t: ((s.logit() + noise) / t).sigmoid(), "smooth function itself"),
        (lambda s, noise, t: ((s.logit() + noise) / t).sigmoid().round(), "its slope is not that"),
        (lambda s, noise, t: maple.straight_through(s, -noise, t), "subtracted"),
        (lambda s, noise, t: maple.straight_through(s, 0 * noise, t), "noise is missing"),
        (lambda s, noise, t: 1 - maple.straight_through(s, noise, t), "turned round"),
        (lambda s, noise, t: maple.straight_through(s, noise, 1.0), "its slope is not that"),
        (lambda s, noise, t: ((s.logit() + noise) >= 0).float() + s - s.detach(), "its slope is not that"),
        (lambda s, noise, t: (s + noise >= 0.5).float(), "log-odds of s"),
        (lambda s, noise, t: (s.log() + noise >= 0).float(), "logarithm of s alone"),
        (lambda s, noise, t: maple.straight_through(s, noise - 3, t), SHOWN),
    ),
    "check_influence": (
        (lambda x, y, t, v, m, rate: rate * ((x @ t).sigmoid() - y) * (x @ v) / m.sum(), "sign"),
        (lambda x, y, t, v, m, rate: -rate * m * ((x @ t).sigmoid() - y) * (x @ v) / m.sum(), "not kept"),
        (lambda x, y, t, v, m, rate: -rate * ((x @ t).sigmoid() - y) * (x @ v), "Divide by Σ m"),
        (lambda x, y, t, v, m, rate: -rate * ((x @ t).sigmoid() - y) * (x @ v) / len(m), "not by n"),
        (lambda x, y, t, v, m, rate: -((x @ t).sigmoid() - y) * (x @ v) / m.sum(), "rate of the inner step"),
        (lambda x, y, t, v, m, rate: -rate * ((x @ t) - y) * (x @ v) / m.sum(), "σ is missing"),
        (lambda x, y, t, v, m, rate: -rate * ((x @ t).sigmoid() - y) / m.sum(), "`direction` is missing"),
        (lambda x, y, t, v, m, rate: -rate * (x @ t).sigmoid() * (x @ v) / m.sum(), "label is missing"),
        (lambda x, y, t, v, m, rate: (-rate * ((x @ t).sigmoid() - y) * (x @ v) / m.sum()).sum(), "add up"),
        (lambda x, y, t, v, m, rate: -rate * ((x @ t).sigmoid() - y) * (x @ v) / m.sum() ** 2, SHOWN),
        (lambda x, y, t, v, m, rate: -rate * ((x @ v).sigmoid() - y) * (x @ t) / m.sum(), SHOWN),
    ),
    "check_balancing_budget": (
        (lambda rates: fmean(rates), "conflicting samples alone"),
        (lambda rates: 2 * fmean(rates), "most colors"),
        (lambda rates: fmean(2 * min(p, 1 - p) for p in rates), "each environment by itself"),
        (lambda rates: min(fmean(rates), 1 - fmean(rates)), "rarer kind alone"),
        (lambda rates: 2 * min(sum(rates), 1 - sum(rates)), "average them"),
        (lambda rates: 2 * min(rates[0], 1 - rates[0]), "first environment"),
        (lambda rates: 1 - fmean(rates), "aligned samples"),
        (lambda rates: 2 * min(max(rates), 1 - max(rates)), "highest"),
        (lambda rates: 2 * min(min(rates), 1 - min(rates)), "lowest"),
        (lambda rates: 0.3, SHOWN),
        (lambda rates: min(1.0, 2 * fmean(rates)), SHOWN),
    ),
    "check_paired_differences": (
        (lambda a, b: sum(a.values()) - sum(b.values()), "not one number"),
        (lambda a, b: [b[s] - a[s] for s in sorted(a.keys() & b.keys())], "sign"),
        (lambda a, b: [abs(a[s] - b[s]) for s in sorted(a.keys() & b.keys())], "may be the better"),
        (lambda a, b: [x - y for x, y in zip(a.values(), b.values(), strict=True)], "by seed"),
        (lambda a, b: [a[s] - b[s] for s in a if s in b], "order of the seeds"),
        (lambda a, b: [a[s] - b.get(s, 0) for s in sorted(a)], "no pair"),
        (lambda a, b: {s: a[s] - b[s] for s in sorted(a.keys() & b.keys())}, "no mapping"),
        (lambda a, b: sorted(a.keys() & b.keys()), "Those are the seeds"),
        (lambda a, b: [a[s] - b[s] for s in sorted(a)], "stopped with KeyError"),
        (lambda a, b: [a[s] / b[s] for s in sorted(a.keys() & b.keys())], SHOWN),
        (lambda a, b: [], SHOWN),
    ),
    "check_training_domains": (
        (lambda some: max(some, key=lambda c: c.test), "nobody may choose by"),
        (lambda some: min(some, key=lambda c: sum(c.validation)), "the worst"),
        (lambda some: max(some, key=lambda c: 0.1 * c.corners[0] + 0.9 * c.corners[1]), "oracle"),
        (lambda some: max(some, key=lambda c: sum(c.left_out)), "leave-one-out"),
        (lambda some: max(some, key=lambda c: max(c.validation)), "by the best of"),
        (lambda some: max(some, key=lambda c: c.validation[0]), "first validation"),
        (lambda some: max(range(len(some)), key=lambda i: sum(some[i].validation)), "not its place"),
        (lambda some: max(sum(c.validation) / len(c.validation) for c in some), "not its accuracy"),
        (lambda some: some[0], "first candidate"),
        (lambda some: max(some, key=lambda c: c.corners[0]), SHOWN),
        (lambda some: min(some, key=lambda c: c.test), SHOWN),
        (lambda some: [max(some, key=lambda c: sum(c.validation))], SHOWN),
    ),
    "check_worst_rate": (
        (lambda a, f, low, high: (1 - high) * a + high * f, "not always `high`"),
        (lambda a, f, low, high: (1 - low) * a + low * f, "not always `low`"),
        (lambda a, f, low, high: min(a, f), "not 0 and 1"),
        (lambda a, f, low, high: a + (f - a) * (low + high) / 2, "the mean"),
        (lambda a, f, low, high: max(a + (f - a) * low, a + (f - a) * high), "best rate"),
        (lambda a, f, low, high: [a + (f - a) * low, a + (f - a) * high], "one number"),
        (lambda a, f, low, high: high if f < a else low, "not the rate"),
        (lambda a, f, low, high: min(f + (a - f) * low, f + (a - f) * high), "exchanged"),
        (lambda a, f, low, high: min((1 - low) * a, high * f), "(1 − p)·a + p·f"),
        (lambda a, f, low, high: 0.0, SHOWN),
        (lambda a, f, low, high: min(a, f) + low, SHOWN),
    ),
}


RIGHT |= method_answers.RIGHT | risk_answers.RIGHT | elsewhere_answers.RIGHT
WRONG |= method_answers.WRONG | risk_answers.WRONG | elsewhere_answers.WRONG


def unwritten(*_: object, **__: object) -> None:
    raise NotImplementedError


def broken(*_: object, **__: object) -> None:
    raise KeyError("mine")


def told(check: Any, student: Function) -> Any:
    """What another process hears of a student's answers."""
    return json.loads(json.dumps(check.tell(student)))


@pytest.mark.parametrize("made_up", [{"answers": []}, {"answers": 3}, {"answers": [[{}, 1]] * 5}, {"x": 1}])
def test_what_cannot_be_read_is_no_answer(made_up: dict[str, Any]) -> None:
    assert checks.check_slope.verdict(made_up).message == "slope: not yet. What your function gave cannot be read."
    assert checks.check_slope.verdict({}).mark == "untouched"


def test_every_check_has_enough_answers() -> None:
    assert NAMES == sorted(RIGHT) == sorted(WRONG)
    assert min(map(len, RIGHT.values())) >= 4
    assert min(map(len, WRONG.values())) >= 8


@pytest.mark.parametrize(
    ("name", "student"), [pytest.param(n, f, id=f"{n}-{i}") for n in NAMES for i, f in enumerate(RIGHT[n])]
)
def test_a_right_answer_passes_however_it_is_written(name: str, student: Function) -> None:
    check = getattr(checks, name)
    verdict = check(student)
    assert verdict, verdict
    assert repr(verdict).startswith("✓")
    assert check.verdict(told(check, student)) == verdict


@pytest.mark.parametrize(
    ("name", "student", "hint"),
    [pytest.param(n, f, h, id=f"{n}-{i}") for n in NAMES for i, (f, h) in enumerate(WRONG[n])],
)
def test_a_mistake_is_named_where_it_is_known_and_else_shown(name: str, student: Function, hint: str) -> None:
    check = getattr(checks, name)
    verdict = check(student)
    assert not verdict.passed
    assert hint in verdict.message, verdict
    assert repr(verdict).startswith("✗")
    assert check.verdict(told(check, student)) == verdict
    accused = [known for known in check.mistakes if known in verdict.message]
    assert len(accused) <= (hint != SHOWN), verdict
    assert verdict.mark == "hint" and verdict.exercise == check.title
    if hint == SHOWN:
        assert "With " in verdict.message
        assert "found" in verdict.message


@pytest.mark.parametrize("name", NAMES)
def test_stubs_and_slips_are_called_by_their_names(name: str) -> None:
    check = getattr(checks, name)
    untouched = check(unwritten)
    assert untouched.mark == "untouched" and "not written yet" in untouched.message
    assert "KeyError: 'mine'" in check(broken).message
    assert "`return`" in check(forgets_return).message
    assert "itself" in check(0.5).message
    assert not check(lambda: 1)
    assert check(partial(RIGHT[name][0])), "any callable will do"


@pytest.mark.parametrize("name", NAMES)
def test_known_mistakes_are_told_apart(name: str) -> None:
    """No mistake looks like the right answer, or like one with another hint, in all examples."""
    check = getattr(checks, name)
    for hint, known in check.mistakes.items():
        for wrong in known if isinstance(known, Sequence) else [known]:
            verdict = check(wrong)
            assert not verdict.passed, hint
            assert hint in verdict.message or "cannot flow" in verdict.message, verdict


def test_a_check_leaves_global_randomness_alone() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    checks.check_color(RIGHT["check_color"][0])
    assert torch.equal(torch.rand(3), wanted)
