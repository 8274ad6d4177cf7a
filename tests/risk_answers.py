"""What students write in lessons 04 and 05, right and wrong, for the tests of their checks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from method_answers import SHOWN, Idle
from torch import Tensor

from invtutor.algorithms import Algorithm, MetaIRM, MMREx, VREx
from invtutor.algorithms.descent import flattened
from invtutor.worlds.environment import Environment

Function = Callable[..., Any]


def rex(penalty: Function, objective: Function, told: Function | None = None) -> type[Algorithm]:
    """A class whose objective is made of the mean risk, the penalty, the squared norm, β and l2.

    penalty: of the vector of risks. told: what it returns, of mean and penalty.
    """

    @dataclass(eq=False)
    class Mine(Algorithm):
        penalty_weight: float = 1e4

        label = "mine"

        def backward(self, environments: Sequence[Environment]) -> Any:
            logits = [self.model(e.inputs)[:, 0] for e in environments]
            each = [
                F.binary_cross_entropy_with_logits(z, e.labels.float())
                for z, e in zip(logits, environments, strict=True)
            ]
            risks = torch.stack(each)
            norm = sum(parameter.square().sum() for parameter in self.model.parameters())
            objective(risks, penalty(risks), norm, self.penalty_weight, self.l2).backward()
            return told(risks, penalty(risks)) if told else {"risk": risks.mean(), "penalty": penalty(risks)}

    return Mine


def whole(r: Tensor, p: Tensor, norm: Tensor, w: float, l2: float) -> Tensor:
    return (r.mean() + l2 * norm + w * p) / max(w, 1.0)


def weighted(r: Tensor, p: Tensor, norm: Tensor, w: float, l2: float) -> Tensor:
    total = sum(r) / len(r) + l2 * norm
    return total / w + p if w > 1 else total + w * p


def variance(r: Tensor) -> Tensor:
    return (r - r.mean()).square().mean()


def excess(r: Tensor) -> Tensor:
    return r.max() - sum(r) / len(r)


def weighings(penalty: Function) -> Sequence[tuple[Function, str]]:
    return (
        (rex(penalty, lambda r, p, n, w, l2: r.mean() + l2 * n + w * p), "not rescaled"),
        (rex(penalty, lambda r, p, n, w, l2: (r.mean() + w * p) / max(w, 1)), "L2 term is missing"),
        (rex(penalty, lambda r, p, n, w, l2: (r.mean() + w * p) / max(w, 1) + l2 * n), "after the division"),
        (rex(penalty, lambda r, p, n, w, l2: r.mean() + l2 * n), "penalty is missing"),
        (rex(penalty, lambda r, p, n, w, l2: (w * p + l2 * n) / max(w, 1)), "mean risk is missing"),
        (rex(penalty, lambda r, p, n, w, l2: (r.sum() + w * p + l2 * n) / max(w, 1)), "add the risks up"),
        (rex(penalty, lambda r, p, n, w, l2: r.mean() + l2 * n + p), "β is missing"),
        (rex(penalty, lambda r, p, n, w, l2: r.mean() + l2 * n + w * p / max(w, 1)), "Only the penalty"),
        (rex(penalty, lambda r, p, n, w, l2: (r.mean() + l2 * n - w * p) / max(w, 1)), "subtracted"),
        (rex(lambda r: r.max() - r.min(), whole), "range"),
        (rex(penalty, whole, lambda r, p: {"risk": r.mean()}), "penalty is missing"),
        (rex(penalty, whole, lambda r, p: p), "by their names"),
        (Idle, "is empty"),
        (rex(penalty, lambda *parts: 2 * whole(*parts)), SHOWN),
    )


def slope(of: Tensor, theta: Tensor) -> Tensor:
    return torch.autograd.grad(of, theta, create_graph=True)[0]


def judged(theta: Tensor, risks: Sequence[Function], rate: float, pairs: Function = lambda i, j: i != j) -> Tensor:
    steps = [theta - rate * slope(risk(theta), theta) for risk in risks]
    every = range(len(risks))
    return torch.stack([risks[j](steps[i]) for i in every for j in every if pairs(i, j)])


def meta(objective: Function, losses: Function = judged) -> type[Algorithm]:
    """A class whose objective is made of mean and deviation of the outer losses, the squared norm, λ and l2."""

    class Mine(MetaIRM):
        def backward(self, environments: Sequence[Environment]) -> Any:
            theta, risks = flattened(self.model, environments)
            found = losses(theta, risks, self.inner_rate)
            mean, sigma = found.mean(), (variance(found) + 1e-12).sqrt()
            objective(mean, sigma, theta.square().sum(), self.penalty_weight, self.l2).backward()
            return {"meta risk": mean.detach(), "penalty": sigma.detach()}

    return Mine


def combined(mean: Tensor, sigma: Tensor, norm: Tensor, w: float, l2: float) -> Tensor:
    return (mean + l2 * norm + w * sigma) / max(w, 1.0)


def without_graph(theta: Tensor, risks: Sequence[Function], rate: float) -> Tensor:
    steps = [theta - rate * slope(risk(theta), theta).detach() for risk in risks]
    return torch.stack([risk(step) for i, step in enumerate(steps) for j, risk in enumerate(risks) if i != j])


def updated(theta: Tensor, risks: Sequence[Function], rate: float, weight: float, beta: float) -> Tensor:
    theta = theta.clone().requires_grad_()
    losses = judged(theta, risks, rate)
    return (theta - beta * slope(losses.mean() + weight * (variance(losses) + 1e-12).sqrt(), theta)).detach()


def updated_by(objective: Function) -> Function:
    """An outer step on a function of the outer losses and λ."""

    def update(theta: Tensor, risks: Sequence[Function], rate: float, weight: float, beta: float) -> Tensor:
        theta = theta.clone().requires_grad_()
        return theta - beta * slope(objective(judged(theta, risks, rate), weight), theta)

    return update


def sgd(theta: Tensor, risks: Sequence[Function], rate: float, weight: float, beta: float) -> Tensor:
    own = theta.clone().requires_grad_()
    optimizer = torch.optim.SGD([own], lr=beta)
    losses = judged(own, risks, rate)
    (losses.mean() + weight * losses.var(unbiased=False).add(1e-12).sqrt()).backward()
    optimizer.step()
    return own


RIGHT: dict[str, Sequence[Function]] = {
    "check_vrex": (
        VREx,
        rex(variance, whole),
        rex(lambda r: (r**2).mean() - r.mean() ** 2, whole),
        rex(lambda r: r.var(correction=0), weighted),
    ),
    "check_mmrex": (MMREx, rex(excess, whole), rex(lambda r: (r - r.mean()).max(), whole), rex(excess, weighted)),
    "check_meta_irm": (
        MetaIRM,
        meta(combined),
        meta(lambda m, s, n, w, l2: (m + l2 * n) / w + s if w > 1 else m + l2 * n + w * s),
        meta(combined, lambda *problem: judged(*problem).flip(0)),
    ),
    "check_halves": (
        lambda a, b: ((a - a.mean()) * (b - b.mean())).mean(),
        lambda a, b: (a * b).mean() - a.mean() * b.mean(),
        lambda a, b: (a - a.mean()) @ (b - b.mean()) / len(a),
        lambda a, b: torch.cov(torch.stack([a, b]), correction=0)[0, 1],
    ),
    "check_reach": (
        lambda rates, p: (p - fmean(rates)) / (max(rates) - fmean(rates)),
        lambda rates, p: (p - np.mean(rates)) / (np.max(rates) - np.mean(rates)),
        lambda rates, p: (p - sum(rates) / len(rates)) / max(r - sum(rates) / len(rates) for r in rates),
        lambda rates, p: torch.tensor((p - fmean(rates)) / (sorted(rates)[-1] - fmean(rates))),
    ),
    "check_outer_losses": (
        judged,
        lambda *problem: judged(*problem).double() + 0,
        lambda *problem: list(judged(*problem)),
        lambda t, risks, rate: torch.stack(
            [risks[j](t - rate * slope(risks[i](t), t)) for j in range(len(risks)) for i in range(len(risks)) if i != j]
        ),
    ),
    "check_update": (
        updated,
        sgd,
        lambda *problem: updated(*problem).tolist(),
        lambda *problem: updated(*problem).numpy(),
    ),
}

WRONG: dict[str, Sequence[tuple[Function, str]]] = {
    "check_vrex": (
        *weighings(variance),
        (rex(excess, whole), "MM-REx's penalty"),
        (rex(lambda r: r.var(), whole), "n − 1"),
    ),
    "check_mmrex": (
        *weighings(excess),
        (rex(variance, whole), "still V-REx's"),
        (rex(lambda r: r.max(), whole), "largest risk itself"),
    ),
    "check_meta_irm": (
        (meta(lambda m, s, n, w, l2: m + l2 * n + w * s), "not rescaled"),
        (meta(lambda m, s, n, w, l2: (m + w * s) / max(w, 1)), "L2 term is missing"),
        (meta(combined, without_graph), "first-order variant"),
        (meta(combined, lambda *problem: judged(*problem, pairs=lambda i, j: i == j)), "where it was adapted"),
        (meta(combined, lambda t, risks, rate: judged(t, risks, 0.0)), "No inner step"),
        (meta(combined, lambda t, risks, rate: judged(t, risks, -rate)), "goes up"),
        (meta(lambda m, s, n, w, l2: m + l2 * n), "σ is missing"),
        (meta(lambda m, s, n, w, l2: (m + l2 * n) / max(w, 1)), "σ is missing"),
        (meta(lambda m, s, n, w, l2: m + l2 * n + s), "λ is missing"),
        (meta(lambda m, s, n, w, l2: (m + l2 * n + s) / max(w, 1)), "λ is missing"),
        (Idle, "stopped with TypeError"),
        (meta(lambda *parts: 2 * combined(*parts)), SHOWN),
    ),
    "check_halves": (
        (lambda a, b: ((a + b) / 2).var(unbiased=False), "squared with it"),
        (lambda a, b: (variance(a) + variance(b)) / 2, "noise of each half"),
        (lambda a, b: variance(a), "the other is not used"),
        (lambda a, b: variance(b), "the other is not used"),
        (lambda a, b: (a * b).mean(), "risks themselves"),
        (lambda a, b: ((a - a.mean()) * (b - b.mean())).sum(), "take their mean"),
        (lambda a, b: ((a - a.mean()) * (b - b.mean())).mean().clamp(min=0), "may be negative"),
        (lambda a, b: ((a - a.mean()) * (b - b.mean())).mean().abs(), "may be negative"),
        (lambda a, b: (a - a.mean()) * (b - b.mean()), "one number per environment"),
        (lambda a, b: a.std(unbiased=False) * b.std(unbiased=False), "two deviations"),
        (lambda a, b: variance(a - b), "pure noise"),
        (lambda a, b: ((a - a.mean()) * (b - b.mean())).mean().item(), "gradients cannot flow"),
        (lambda a, b: ((a - a.mean()) * (b - b.mean()).detach()).mean(), "derivative is not"),
        (lambda a, b: 2 * ((a - a.mean()) * (b - b.mean())).mean(), SHOWN),
    ),
    "check_reach": (
        (lambda rates, p: (p - max(rates)) / (max(rates) - fmean(rates)), "from the largest"),
        (lambda rates, p: (p - min(rates)) / (max(rates) - fmean(rates)), "from the smallest"),
        (lambda rates, p: (p - fmean(rates)) / (max(rates) - min(rates)), "smallest and largest"),
        (lambda rates, p: p - fmean(rates), "That is the distance"),
        (lambda rates, p: (max(rates) - fmean(rates)) / (p - fmean(rates)), "upside down"),
        (lambda rates, p: fmean(rates) + p * (max(rates) - fmean(rates)), "the other question"),
        (lambda rates, p: (2 * p - min(rates) - max(rates)) / (max(rates) - min(rates)), "the middle between"),
        (lambda rates, p: 15.0, SHOWN),
    ),
    "check_outer_losses": (
        (lambda *problem: judged(*problem, pairs=lambda i, j: i == j), "where it was adapted"),
        (lambda *problem: judged(*problem, pairs=lambda i, j: True), "i = j"),
        (lambda t, risks, rate: torch.stack([risk(t) for risk in risks]), "θ itself"),
        (lambda t, risks, rate: judged(t, risks, 1.0), "inner_rate is missing"),
        (lambda t, risks, rate: judged(t, risks, -rate), "goes up"),
        (lambda *problem: judged(*problem).mean(), "stack them"),
        (lambda *problem: judged(*problem).sum(), "stack them"),
        (without_graph, "create_graph"),
        (lambda *problem: judged(*problem).detach(), "gradients cannot flow"),
        (lambda *problem: 2 * judged(*problem), SHOWN),
    ),
    "check_update": (
        (lambda t, risks, rate, w, beta: updated(t, risks, rate, w, -beta), "goes up"),
        (lambda t, risks, rate, w, beta: (t - updated(t, risks, rate, w, beta)) / beta, "That is the gradient"),
        (updated_by(lambda losses, w: losses.mean()), "σ is missing"),
        (updated_by(lambda losses, w: losses.mean() + w * variance(losses)), "weighs its root"),
        (updated_by(lambda losses, w: w * (variance(losses) + 1e-12).sqrt()), "forgets to be right"),
        (updated_by(lambda losses, w: losses.sum() + w * (variance(losses) + 1e-12).sqrt()), "take their mean"),
        (updated_by(lambda losses, w: losses.mean() + (variance(losses) + 1e-12).sqrt()), "λ is missing"),
        (lambda t, risks, rate, w, beta: updated(t, risks, rate, w, beta / max(1, w)), "divide by λ"),
        (lambda t, risks, rate, w, beta: updated(t, risks, rate, w, 1.0), "learning_rate is missing"),
        (lambda t, risks, rate, w, beta: updated(t, risks, 0.0, 0.0, beta), "step of ERM"),
        (lambda t, risks, rate, w, beta: updated(t, risks, 0.0, w, beta), "those of the θ′"),
        (lambda t, risks, rate, w, beta: updated(t, risks, rate, w, 2 * beta), SHOWN),
    ),
}
