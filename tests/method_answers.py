"""Whole methods as students write them, right and wrong, for the tests of their checks; SHOWN: no mistake is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from invtutor.algorithms import Algorithm, IRMv1
from invtutor.worlds.environment import Environment

SHOWN = "wanted"


def irm(objective: Callable[..., Tensor], told: Callable[..., Any] | None = None) -> type[Algorithm]:
    """A class whose objective is made of a list of risks, one of penalties, the squared norm, λ and l2.

    told: what it returns, of risks and penalties.
    """

    @dataclass(eq=False)
    class Mine(Algorithm):
        penalty_weight: float = 1e4

        label = "mine"

        def backward(self, environments: Sequence[Environment]) -> Any:
            risks, penalties = [], []
            for environment in environments:
                scale = torch.ones((), requires_grad=True)
                logits = self.model(environment.inputs)[:, 0]
                risks.append(F.binary_cross_entropy_with_logits(scale * logits, environment.labels.float()))
                penalties.append(torch.autograd.grad(risks[-1], scale, create_graph=True)[0] ** 2)
            norm = sum((parameter**2).sum() for parameter in self.model.parameters())
            objective(risks, penalties, norm, self.penalty_weight, self.l2).backward()
            numbers = {"risk": sum(risks) / len(risks), "penalty": sum(penalties) / len(penalties)}
            return told(risks, penalties) if told else numbers

    return Mine


def mean(values: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean()


def whole(r: Sequence[Tensor], p: Sequence[Tensor], norm: Tensor, w: float, l2: float) -> Tensor:
    return (mean(r) + l2 * norm + w * mean(p)) / max(w, 1.0)


def weighted(r: Sequence[Tensor], p: Sequence[Tensor], norm: Tensor, w: float, l2: float) -> Tensor:
    total = sum(r) / len(r) + l2 * norm + w * sum(p) / len(p)
    return total / w if w > 1 else total


class Idle(IRMv1):
    def backward(self, environments: Sequence[Environment]) -> Any:
        return {"risk": 0.0, "penalty": 0.0}


RIGHT: dict[str, Sequence[Callable[..., Any]]] = {
    "check_irmv1": (
        IRMv1,
        irm(whole),
        irm(weighted),
        irm(whole, lambda r, p: {"penalty": mean(p).item(), "risk": mean(r).item(), "more": 1.0}),
    ),
    "check_annealing": (
        lambda step, anneal, full: min(1.0, full) if step < anneal else full,
        lambda step, anneal, full: [min(1.0, full), full][step >= anneal],
        lambda step, anneal, full: full if step >= anneal or full < 1 else 1.0,
        lambda step, anneal, full: torch.tensor(full if step >= anneal else min(full, 1.0)),
    ),
}

WRONG: dict[str, Sequence[tuple[Callable[..., Any], str]]] = {
    "check_irmv1": (
        (irm(lambda r, p, n, w, l2: mean(r) + l2 * n + w * mean(p)), "not rescaled"),
        (irm(lambda r, p, n, w, l2: (mean(r) + w * mean(p)) / max(w, 1)), "L2 term is missing"),
        (irm(lambda r, p, n, w, l2: (mean(r) + w * mean(p)) / max(w, 1) + l2 * n), "after the division"),
        (irm(lambda r, p, n, w, l2: mean(r) + l2 * n), "penalty is missing"),
        (irm(lambda r, p, n, w, l2: (w * mean(p) + l2 * n) / max(w, 1)), "risk is missing"),
        (irm(lambda r, p, n, w, l2: (sum(r) + l2 * n + w * sum(p)) / max(w, 1)), "You add up"),
        (irm(lambda r, p, n, w, l2: (mean(r) + l2 * n + w * sum(p)) / max(w, 1)), "penalties are added up"),
        (irm(lambda r, p, n, w, l2: whole(r[:1], p[:1], n, w, l2)), "single environment"),
        (irm(lambda r, p, n, w, l2: mean(r) + l2 * n + mean(p)), "λ is missing"),
        (irm(lambda r, p, n, w, l2: mean(r) + l2 * n + w * mean(p) / max(w, 1)), "Only the penalty"),
        (irm(lambda r, p, n, w, l2: (mean(r) + l2 * n - w * mean(p)) / max(w, 1)), "subtracted"),
        (irm(whole, lambda r, p: {"risk": mean(r)}), "penalty is missing"),
        (irm(whole, lambda r, p: mean(r)), "by their names"),
        (Idle, "is empty"),
        (irm(lambda *parts: 2 * whole(*parts)), SHOWN),
    ),
    "check_annealing": (
        (lambda step, anneal, full: 1.0 if step < anneal else full, "stays as it is"),
        (lambda step, anneal, full: min(1.0, full) if step <= anneal else full, "one step late"),
        (lambda step, anneal, full: full if step < anneal else min(1.0, full), "exchanged"),
        (lambda step, anneal, full: full, "first step on"),
        (lambda step, anneal, full: 1.0, "never acts"),
        (lambda step, anneal, full: 0.0 if step < anneal else full, "not 0"),
        (lambda step, anneal, full: full * (min(1.0, step / anneal) if anneal else 1.0), "climbs"),
        (lambda step, anneal, full: 0.0, SHOWN),
        (lambda step, anneal, full: full / anneal, "ZeroDivisionError"),
    ),
}
