"""The self-checks: right answers pass however they are written, and each common mistake gets its own hint."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from invtutor import checks
from invtutor.algorithms import maple

RIGHT: dict[str, Callable[..., Any]] = {
    "check_accuracy": lambda logits, labels: ((logits[:, 0] > 0) == labels.bool()).float().mean().item(),
    "check_best_clue": lambda noise, rate: "shape" if 1 - noise > 1 - rate else "color",
    "check_color": lambda labels, rate, generator: (
        labels ^ (torch.rand(len(labels), generator=generator) < rate).long()
    ),
    "check_pooled": lambda rates, noise, test: 1 - test if sum(rates) / len(rates) < noise else 1 - noise,
    "check_gray": lambda inputs: inputs + inputs.flip(1),
    "check_curve": lambda agreeing, flipped, rate: agreeing + rate * (flipped - agreeing),
    "check_slope": lambda z, y: torch.mean((torch.sigmoid(z[:, 0]) - y) * z[:, 0]),
    "check_objective": lambda risk, penalty, w: risk + w * penalty if w <= 1 else risk / w + penalty,
    "check_variance": lambda risks: (risks**2).mean() - risks.mean() ** 2,
    "check_maximum_excess": lambda risks, beta: (1 - beta) * risks.mean() + beta * risks.max(),
    "check_and_mask": lambda g, tau: torch.where(g.sign().sum(0).abs() >= tau * len(g), g.sum(0) / len(g), 0.0),
    "check_geometric_mean": lambda g: (
        (g.sign().sum(0) / len(g)).trunc() * torch.exp2(torch.log2(g.abs()).sum(0) / len(g))
    ),
    "check_signs_needed": lambda d, tau: min(k for k in range(d + 1) if (2 * k - d) / d >= tau - 1e-9),
    "check_inner_step": lambda theta, risk, rate: (
        theta - rate * torch.autograd.grad(risk(theta), theta, create_graph=True)[0]
    ),
    "check_deviation": lambda losses: (losses - losses.mean()).square().mean().add(1e-12).sqrt(),
    "check_orders": lambda theta, rate, a, u, b, v: (
        b * (theta - rate * a * (theta - u) - v),
        (1 - rate * a) * b * (theta * (1 - rate * a) + rate * a * u - v),
    ),
    "check_projection": maple.project,
    "check_influence": lambda x, y, theta, v, m, rate: -rate * ((x @ theta).sigmoid() - y) * (x @ v) / m.sum(),
    "check_balancing_budget": lambda rates: 2 * min(sum(rates), len(rates) - sum(rates)) / len(rates),
    "check_paired_differences": lambda a, b: [a[seed] - b[seed] for seed in sorted(a.keys() & b.keys())],
    "check_training_domains": lambda some: sorted(some, key=lambda c: sum(c.validation))[-1],
    "check_worst_rate": lambda agreeing, flipped, low, high: min(
        agreeing + (flipped - agreeing) * p for p in (low, high)
    ),
}


def slope(theta: torch.Tensor, risk: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    return torch.autograd.grad(risk(theta), theta, create_graph=True)[0]


WRONG: list[tuple[str, Callable[..., Any], str]] = [
    ("check_accuracy", lambda logits, labels: ((logits > 0) == labels).float().mean(), "(n, 1)"),
    ("check_accuracy", lambda logits, labels: ((logits[:, 0] > 0) != labels).float().mean(), "wrong predictions"),
    ("check_accuracy", lambda logits, labels: ((logits[:, 0] > 0) == labels).sum(), "take the mean"),
    ("check_best_clue", lambda noise, rate: "shape", "And color?"),
    ("check_best_clue", lambda noise, rate: None, "Return the word"),
    ("check_color", lambda labels, rate, generator: labels, "flip rate 1"),
    ("check_color", lambda labels, rate, generator: labels ^ (torch.rand(len(labels)) < rate).long(), "same generator"),
    (
        "check_color",
        lambda labels, rate, generator: (torch.rand(len(labels), generator=generator) < rate).long(),
        "rate 0",
    ),
    ("check_pooled", lambda rates, noise, test: 1 - test, "shape is right more often"),
    ("check_gray", lambda inputs: inputs.mean(1, keepdim=True).expand_as(inputs), "halved"),
    ("check_gray", lambda inputs: inputs.sum(1), "network wants"),
    ("check_gray", lambda inputs: inputs.add_(inputs.flip(1).clone()), "in place"),
    ("check_gray", lambda inputs: inputs, "Both channels"),
    ("check_curve", lambda agreeing, flipped, rate: agreeing, "at p = 1.0"),
    ("check_slope", lambda z, y: ((z.sigmoid() - y) * z).mean(), "broadcast"),
    ("check_slope", lambda z, y: ((z.sigmoid() - y[:, None]) * z).sum(), "sum over samples"),
    ("check_slope", lambda z, y: ((y[:, None] - z.sigmoid()) * z).mean(), "too bold"),
    ("check_slope", lambda z, y: ((z.sigmoid() - y[:, None]) * z).mean().item(), "differentiable"),
    ("check_objective", lambda risk, penalty, w: risk + w * penalty, "Divide"),
    ("check_objective", lambda risk, penalty, w: (risk + w * penalty) / max(w, 1e-9), "ERM"),
    ("check_objective", lambda risk, penalty, w: risk + w * penalty / max(1, w), "divided too"),
    ("check_variance", lambda risks: risks.var(), "unbiased"),
    ("check_variance", lambda risks: (risks**2).mean(), "no variance"),
    ("check_maximum_excess", lambda risks, beta: risks.mean() + beta * risks.max(), "worst case"),
    ("check_maximum_excess", lambda risks, beta: risks.max(), "β = 0"),
    ("check_inner_step", lambda t, risk, rate: t + rate * slope(t, risk), "goes up"),
    ("check_inner_step", lambda t, risk, rate: t - slope(t, risk), "times inner_rate"),
    ("check_inner_step", lambda t, risk, rate: (t - rate * slope(t, risk)).detach(), "lost its graph"),
    ("check_inner_step", lambda t, risk, rate: t - rate * slope(t, risk).detach(), "create_graph"),
    ("check_inner_step", lambda t, risk, rate: t.data.sub_(rate * slope(t, risk)), "changed theta"),
    ("check_deviation", lambda losses: losses.std(), "n − 1"),
    ("check_deviation", lambda losses: losses.var(unbiased=False), "variance"),
    ("check_deviation", lambda losses: (losses - losses.mean()).square().mean().sqrt(), "NaN"),
    ("check_deviation", lambda losses: losses.max() - losses.min(), "it is"),
    ("check_deviation", lambda losses: losses.detach().std(unbiased=False), "differentiable"),
    ("check_orders", lambda theta, rate, a, u, b, v: (b * (theta - v),) * 2, "judges θ′"),
    ("check_orders", lambda theta, rate, a, u, b, v: (b * (theta - rate * a * (theta - u) - v),) * 2, "more factor"),
    ("check_orders", lambda theta, rate, a, u, b, v: (b * (theta - rate * a * (theta - u) - v), 0.0), "chain rule"),
    ("check_orders", lambda theta, rate, a, u, b, v: (0.0, 0.0), "is"),
    ("check_and_mask", lambda g, tau: (g.sign().mean(0).abs() > tau) * g.mean(0), "not for >"),
    ("check_and_mask", lambda g, tau: (g.sign().mean(0) >= tau) * g.mean(0), ".abs()"),
    ("check_and_mask", lambda g, tau: (g.sign().mean(0).abs() >= tau) * g.sum(0), "the sum"),
    ("check_and_mask", lambda g, tau: (g.sign().sum(0).abs() >= tau) * g.mean(0), "veto"),
    ("check_and_mask", lambda g, tau: ((g > 0).double().mean(0) - 0.5).abs().ge(tau / 2) * g.mean(0), "zero gradient"),
    ("check_and_mask", lambda g, tau: (g.sign().mean(1).abs() >= tau) * g.mean(1), "dimension 0"),
    ("check_and_mask", lambda g, tau: g, "dimension 0"),
    ("check_geometric_mean", lambda g: g.mean(0), "arithmetic"),
    ("check_geometric_mean", lambda g: g.log().mean(0).exp(), "nan"),
    ("check_geometric_mean", lambda g: g.abs().log().mean(0).exp(), "sign"),
    ("check_geometric_mean", lambda g: g.abs().prod(0) * g.mean(0).sign(), "root"),
    ("check_geometric_mean", lambda g: g.abs().log().mean(0).exp() * g[0].sign(), "do not agree"),
    ("check_geometric_mean", lambda g: g.abs().prod(0).sqrt() * (g.sign().mean(0).abs() == 1) * g[0].sign(), "third"),
    (
        "check_geometric_mean",
        lambda g: g.abs().prod(0) ** (1 / len(g)) * (g.sign().mean(0).abs() == 1) * g[0].sign(),
        "underflow",
    ),
    ("check_signs_needed", lambda d, tau: round(d * tau), "no share"),
    ("check_signs_needed", lambda d, tau: d * (1 + tau) / 2, "round"),
    ("check_signs_needed", lambda d, tau: int(d * (1 + tau) / 2), "are needed"),
    ("check_projection", lambda s, budget: s.clamp(0, 1) * min(1, budget / s.clamp(0, 1).sum()), "same v"),
    ("check_projection", lambda s, budget: s * min(1, budget / s.sum()), "Clamp"),
    ("check_projection", lambda s, budget: s.clamp(0, 1), "budget is 1"),
    ("check_influence", lambda x, y, t, v, m, rate: rate * ((x @ t).sigmoid() - y) * (x @ v) / m.sum(), "sign"),
    (
        "check_influence",
        lambda x, y, t, v, m, rate: -rate * m * ((x @ t).sigmoid() - y) * (x @ v) / m.sum(),
        "not kept",
    ),
    ("check_influence", lambda x, y, t, v, m, rate: -rate * ((x @ t).sigmoid() - y) * (x @ v), "Divide by Σ m"),
    ("check_influence", lambda x, y, t, v, m, rate: -rate * ((x @ t).sigmoid() - y) * (x @ v) / len(m), "not by n"),
    ("check_balancing_budget", lambda rates: sum(rates) / len(rates), "reversed"),
    ("check_balancing_budget", lambda rates: 2 * sum(rates) / len(rates), "most colors"),
    ("check_paired_differences", lambda a, b: sum(a.values()) - sum(b.values()), "not one number"),
    ("check_paired_differences", lambda a, b: [b[s] - a[s] for s in sorted(a.keys() & b.keys())], "The sign"),
    ("check_paired_differences", lambda a, b: [x - y for x, y in zip(a.values(), b.values(), strict=True)], "by seed"),
    ("check_paired_differences", lambda a, b: [a[s] - b[s] for s in a if s in b], "order of the seeds"),
    ("check_paired_differences", lambda a, b: [a[s] - b.get(s, 0) for s in sorted(a)], "no pair"),
    ("check_training_domains", lambda some: max(some, key=lambda c: c.test), "nobody may choose by"),
    ("check_training_domains", lambda some: min(some, key=lambda c: sum(c.validation)), "the worst"),
    ("check_training_domains", lambda some: max(some, key=lambda c: 0.1 * c.corners[0] + 0.9 * c.corners[1]), "oracle"),
    ("check_training_domains", lambda some: 0, "candidate itself"),
    ("check_worst_rate", lambda a, f, low, high: (1 - high) * a + high * f, "not always `high`"),
    ("check_worst_rate", lambda a, f, low, high: min(a, f), "not 0 and 1"),
    ("check_worst_rate", lambda a, f, low, high: a + (f - a) * (low + high) / 2, "the mean"),
    ("check_worst_rate", lambda a, f, low, high: max(a + (f - a) * low, a + (f - a) * high), "best rate"),
]


def unwritten(*_: object) -> None:
    raise NotImplementedError


def broken(*_: object) -> None:
    raise KeyError("mine")


def test_every_check_is_covered() -> None:
    assert {name for name in checks.__all__ if name.startswith("check_")} == RIGHT.keys()


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_function_passes_an_empty_or_broken_one_does_not(name: str) -> None:
    check = getattr(checks, name)
    assert check(RIGHT[name]), check(RIGHT[name])
    assert "not written yet" in check(unwritten).message
    assert "KeyError" in check(broken).message
    assert not check(lambda *_: None)


@pytest.mark.parametrize(("name", "student", "hint"), WRONG)
def test_a_mistake_gets_its_hint(name: str, student: Callable[..., Any], hint: str) -> None:
    verdict = getattr(checks, name)(student)
    assert not verdict.passed
    assert hint in verdict.message, verdict
    assert repr(verdict).startswith("✗")
