"""Whole methods as students write them, right and wrong, for the tests of their checks; SHOWN: no mistake is known."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from invtutor.algorithms import ERM, MAPLE, Algorithm, AndMask, IRMv1
from invtutor.algorithms.inner import settle, slopes_along
from invtutor.algorithms.irmv1 import slope
from invtutor.runs import loop
from invtutor.runs.loop import step_at
from invtutor.worlds.colored_mnist import painted
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import risk, risks, squared_norm

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


def mean(values: Sequence[Tensor], *dimensions: int) -> Tensor:
    return torch.stack(list(values)).mean(*dimensions)


def whole(r: Sequence[Tensor], p: Sequence[Tensor], norm: Tensor, w: float, l2: float) -> Tensor:
    return (mean(r) + l2 * norm + w * mean(p)) / max(w, 1.0)


def weighted(r: Sequence[Tensor], p: Sequence[Tensor], norm: Tensor, w: float, l2: float) -> Tensor:
    total = sum(r) / len(r) + l2 * norm + w * sum(p) / len(p)
    return total / w if w > 1 else total


def masking(direction: Callable[..., Tensor], told: Callable[..., Any] | None = None) -> type[Algorithm]:
    """A class that descends along a direction, made of a parameter's gradients as a list, the parameter, τ and l2."""

    @dataclass(eq=False)
    class Mine(Algorithm):
        threshold: float = 1.0

        label = "mine"

        def backward(self, environments: Sequence[Environment]) -> Any:
            found, risks = list[Any](), list[Tensor]()
            for environment in environments:
                logits = self.model(environment.inputs)[:, 0]
                risks.append(F.binary_cross_entropy_with_logits(logits, environment.labels.float()))
                found.append(torch.autograd.grad(risks[-1], list(self.model.parameters())))
            for theta, *gradients in zip(self.model.parameters(), *found, strict=True):
                theta.grad = direction(gradients, theta.detach(), self.threshold, self.l2)
            return told(risks) if told else {"risk": sum(risks).item() / len(risks)}  # type: ignore[union-attr]

    return Mine


def passing(gradients: Sequence[Tensor], threshold: float) -> Tensor:
    votes = sum((g > 0).float() - (g < 0).float() for g in gradients)
    return (abs(votes) / len(gradients) >= threshold).float()  # type: ignore[union-attr, return-value]


def rescaled(g: Sequence[Tensor], t: Tensor, tau: float, l2: float) -> Tensor:
    kept = passing(g, tau)
    return kept * mean(g, 0) / (kept.mean() + 1e-9) + 2 * l2 * t


def searching(gradient: Callable[..., Any], told: Callable[..., Any] | None = None, **how: Any) -> type[MAPLE]:
    """A class whose turn leaves `gradient`, of the products, the mask and α.

    how: `phi` of the validation risks, `start` of the method, `keep` of the mask.
    """

    @dataclass(eq=False)
    class Mine(MAPLE):
        label = "mine"

        def backward(self, environments: Sequence[Environment]) -> Any:
            mask = self.draw()
            start = how["start"](self) if "start" in how else self.start
            kept = how["keep"](mask) if "keep" in how else mask
            size = self.inner_steps, self.inner_batch
            before = settle(self.model, start, self.inner, kept, size, self.inner_rate, self.l2, self.generator)
            found = torch.stack(
                [
                    F.binary_cross_entropy_with_logits(self.predict(e.inputs)[:, 0], e.labels.float())
                    for e in environments
                ]
            )
            phi = how.get("phi", variance)(found)
            direction = torch.autograd.grad(phi, list(self.model.parameters()))
            slopes = slopes_along(self.model, before, direction, self.inner)
            left = gradient(slopes, mask, self.inner_rate)
            if left is not None:
                self.probabilities.grad = left
            numbers = {"risk": found.mean().item(), "penalty": phi.item()}
            return told(numbers) if told else numbers

    return Mine


def variance(risks: Tensor) -> Tensor:
    return (risks - risks.mean()).square().mean()


def through(slopes: Tensor, mask: Tensor, rate: float) -> Tensor:
    return -rate * slopes / mask.mean()


class Idle(IRMv1):
    def backward(self, environments: Sequence[Environment]) -> Any:
        return {"risk": 0.0, "penalty": 0.0}


@dataclass(eq=False)
class MyERM(Algorithm):
    label = "mine"

    def backward(self, environments: Sequence[Environment]) -> Any:
        total = sum(risk(self.model(e.inputs), e.labels) for e in environments) / len(environments)
        (total + self.l2 * sum(p.pow(2).sum() for p in self.model.parameters())).backward()
        return {"risk": total.detach()}


def plain(objective: Callable[..., Tensor]) -> type[Algorithm]:
    """A class whose objective is made of the vector of risks and l2 times the squared norm."""

    class Mine(MyERM):
        def backward(self, environments: Sequence[Environment]) -> Any:
            found = risks(self.model, environments)
            objective(found, self.l2 * squared_norm(self.model)).backward()
            return {"risk": found.detach().mean()}

    return Mine


def scatter(share: Any, labels: Tensor) -> Any:
    return (share * (1 - share) / len(labels)) ** 0.5


def counted(flips: Tensor, labels: Tensor) -> tuple[Any, Any]:
    share = flips.double().mean()
    return share, scatter(share, labels)


def every_channel(images: Tensor, colors: Tensor) -> Tensor:
    inputs = torch.zeros(len(images), 2, *images.shape[1:])
    inputs[:, colors] = images[:, None]
    return inputs


def loops(algorithm: Any, optimizer: Any, environments: Any, *, batch_size: int, generator: Any) -> Iterator[Any]:
    while True:
        batch = []
        for environment in environments:
            batch.append(environment.sample(batch_size, generator))
        for parameter in algorithm.parameters():
            parameter.grad = None
        numbers = algorithm.backward(batch)
        optimizer.step()
        yield numbers


def slips(order: str) -> Callable[..., Any]:
    """A loop that does what the letters say: draw, clear, backward, step; D draws only once."""

    def loop(algorithm: Any, optimizer: Any, environments: Any, *, batch_size: int, generator: Any) -> Iterator[Any]:
        batch: list[Any] = []
        numbers: Any = {"risk": 0.0}
        while True:
            for letter in order:
                if letter == "d" or (letter == "D" and not batch):
                    batch = [e.sample(batch_size, generator) for e in environments]
                elif letter == "c":
                    optimizer.zero_grad()
                elif letter == "b":
                    numbers = algorithm.backward(batch)
                elif letter == "s":
                    optimizer.step()
            yield numbers

    return loop


def narrowed(*given: Any, **named: Any) -> Iterator[Any]:
    return loops(given[0], given[1], given[2][:1], **named)


def all_of_them(algorithm: Any, optimizer: Any, environments: Any, *, batch_size: int, generator: Any) -> Iterator[Any]:
    while True:
        optimizer.zero_grad()
        numbers = algorithm.backward(environments)
        optimizer.step()
        yield numbers


RIGHT: dict[str, Sequence[Callable[..., Any]]] = {
    "check_clean": (
        lambda digits: digits // 5,
        lambda digits: (digits >= 5).long(),
        lambda digits: [int(digit in (5, 6, 7, 8, 9)) for digit in digits],
        lambda digits: torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])[digits],
        lambda digits: digits > 4,
    ),
    "check_paint": (
        painted,
        lambda images, colors: torch.stack([images * (colors == c)[:, None, None] for c in (0, 1)], 1),
        lambda images, colors: F.one_hot(colors, 2)[:, :, None, None] * images[:, None],
        lambda images, colors: torch.stack(
            [torch.stack([i, 0 * i] if c == 0 else [0 * i, i]) for i, c in zip(images, colors, strict=True)]
        ),
    ),
    "check_count": (
        lambda c, y: ((c != y).double().mean(), ((c != y).double().mean() * (c == y).double().mean() / len(y)) ** 0.5),
        lambda c, y: [q := sum(a != b for a, b in zip(c.tolist(), y.tolist(), strict=True)) / len(y), scatter(q, y)],
        lambda c, y: torch.stack([(c ^ y).double().mean(), (c ^ y).double().std(unbiased=False) / len(y) ** 0.5]),
        lambda c, y: np.array([(c != y).numpy().mean(), (c != y).numpy().std() / math.sqrt(len(y))]),
    ),
    "check_risk": (
        risk,
        lambda z, y: F.binary_cross_entropy_with_logits(z[:, 0], y.float()),
        lambda z, y: F.binary_cross_entropy_with_logits(z, y[:, None].float()),
        lambda z, y: (torch.logaddexp(torch.zeros(len(y)), z[:, 0]) - y * z[:, 0]).mean(),
        lambda z, y: -F.logsigmoid((2 * y - 1) * z[:, 0]).mean(),
    ),
    "check_erm": (
        ERM,
        MyERM,
        plain(lambda r, n: r.mean() + n),
        plain(lambda r, n: n + r.sum() / len(r)),
    ),
    "check_training": (loop.training, loops, slips("dcbs"), slips("cdbs")),
    "check_irmv1": (
        IRMv1,
        irm(whole),
        irm(weighted),
        irm(whole, lambda r, p: {"penalty": mean(p).item(), "risk": mean(r).item(), "more": 1.0}),
    ),
    "check_annealing": (
        step_at,
        lambda switch, before, after: lambda step: [before, after][step >= switch],
        lambda switch, before, after: lambda step: before if step < switch else after,
        lambda switch, before, after: lambda step: torch.tensor(before if step < switch else after),
    ),
    "check_penalty": (
        lambda z, y: ((z[:, 0].sigmoid() - y) * z[:, 0]).mean() ** 2,
        lambda z, y: ((z.sigmoid() - y[:, None]) * z).mean(0).pow(2),
        lambda z, y: torch.square(torch.mean((z[:, 0].sigmoid() - y) * z[:, 0])),
        lambda z, y: (slope(z, y) * slope(z, y)).sum(),
    ),
    "check_slope_halves": (
        lambda z, y: slope(z[::2], y[::2]) * slope(z[1::2], y[1::2]),
        lambda z, y: (slope(z[: len(y) // 2], y[: len(y) // 2]) * slope(z[len(y) // 2 :], y[len(y) // 2 :])).sum(),
        lambda z, y: torch.stack([slope(*each) for each in zip(z.chunk(2), y.chunk(2), strict=True)]).prod(),
        lambda z, y: math.prod(slope(z[i::2], y[i::2]).item() for i in range(2)),
    ),
    "check_and_mask_method": (
        AndMask,
        masking(rescaled),
        masking(lambda g, t, tau, l2: torch.where(passing(g, tau) > 0, rescaled(g, t, tau, l2), 2 * l2 * t)),
        masking(lambda g, t, tau, l2: l2 * t + rescaled(g, t, tau, 0.0) + l2 * t, lambda r: {"risk": mean(r), "a": 1}),
    ),
    "check_maple": (
        MAPLE,
        searching(through),
        searching(lambda slopes, m, rate: slopes * (-rate * len(m) / m.sum())),
        searching(through, lambda numbers: numbers | {"selected": 0.3}, phi=lambda r: r.var(correction=0)),
    ),
}

WRONG: dict[str, Sequence[tuple[Callable[..., Any], str]]] = {
    "check_clean": (
        (lambda digits: (digits < 5).long(), "exchanged"),
        (lambda digits: (digits > 5).long(), "5 has label 1"),
        (lambda digits: (digits >= 4).long(), "4 has label 0"),
        (lambda digits: digits % 2, "odd digits"),
        (lambda digits: digits, "itself"),
        (lambda digits: digits / 5, "whole numbers"),
        (lambda digits: digits // 4, "label 2"),
        (lambda digits: (digits > 4).any(), "one label for all"),
        (lambda digits: digits // 6 + 1, SHOWN),
    ),
    "check_paint": (
        (lambda images, colors: painted(images, 1 - colors), "exchanged"),
        (lambda images, colors: torch.stack([images, images], 1), "Both channels"),
        (lambda images, colors: painted(images, 0 * colors), "one channel"),
        (lambda images, colors: torch.zeros(len(images), 2, *images.shape[1:]), "dark"),
        (lambda images, colors: painted(images, colors).movedim(1, 0), "come second"),
        (lambda images, colors: images, "missing"),
        (lambda images, colors: every_channel(images, colors), "Both channels"),
        (lambda images, colors: (painted(images, colors) > 0).float(), "strength"),
        (lambda images, colors: 2 * painted(images, colors), SHOWN),
    ),
    "check_count": (
        (lambda c, y: counted(c == y, y), "differs"),
        (lambda c, y: ((c != y).sum(), scatter((c != y).double().mean(), y)), "divide by n"),
        (lambda c, y: ((c != y).double().mean(), scatter((c != y).double().mean(), y) ** 2), "root is missing"),
        (lambda c, y: ((c != y).double().mean(), (c != y).double().std(unbiased=False)), "single coin"),
        (
            lambda c, y: ((c != y).double().mean(), (c != y).double().std(unbiased=False) / len(y)),
            "outside of the root",
        ),
        (lambda c, y: ((c != y).double().mean(), ((c != y).double().mean() / len(y)) ** 0.5), "1 − q is missing"),
        (lambda c, y: (c != y).double().mean(), "One of the two"),
        (lambda c, y: counted(c != y, y)[::-1], "exchanged"),
        (lambda c, y: ((c != y).double().mean(), (c != y).double().std() / len(y) ** 0.5), "n − 1"),
        (lambda c, y: (0.1, 0.01), SHOWN),
    ),
    "check_risk": (
        (lambda z, y: F.binary_cross_entropy_with_logits(z.expand(-1, len(y)), y.float().expand(len(y), -1)), "(n, n)"),
        (
            lambda z, y: F.binary_cross_entropy_with_logits(z[:, 0], y.float(), reduction="none"),
            "one number per sample",
        ),
        (lambda z, y: F.binary_cross_entropy_with_logits(z[:, 0], y.float(), reduction="sum"), "sum over samples"),
        (lambda z, y: F.binary_cross_entropy(z[:, 0].sigmoid(), y.float()), "infinite"),
        (lambda z, y: F.binary_cross_entropy_with_logits(z[:, 0], 1 - y.float()), "labels are exchanged"),
        (lambda z, y: -F.binary_cross_entropy_with_logits(z[:, 0], y.float()), "sign"),
        (lambda z, y: risk(z, y) / math.log(2), "bits"),
        (lambda z, y: F.mse_loss(z[:, 0].sigmoid(), y.float()), "squared error"),
        (lambda z, y: F.binary_cross_entropy_with_logits(z[:, 0].sigmoid(), y.float()), "twice"),
        (lambda z, y: risk(z, y).item(), "gradients cannot flow"),
        (lambda z, y: risk(z, y) + 1, SHOWN),
    ),
    "check_erm": (
        (plain(lambda r, n: r.mean()), "L2 term is missing"),
        (plain(lambda r, n: r.sum() + n), "You add up"),
        (plain(lambda r, n: r[0] + n), "single environment"),
        (plain(lambda r, n: r[-1] + n), "single environment"),
        (plain(lambda r, n: n - r.mean()), "turned round"),
        (plain(lambda r, n: r.mean() - n), "subtracted"),
        (plain(lambda r, n: r.mean() + n / 2), "no ½"),
        (plain(lambda r, n: r.mean() + len(r) * n), "once per environment"),
        (plain(lambda r, n: r.log().mean() + n), SHOWN),
    ),
    "check_training": (
        (slips("dbs"), "zero_grad"),
        (slips("dcb"), "Nothing moves"),
        (slips("dcsb"), "Nothing moves"),
        (slips("dbcs"), "Nothing moves"),
        (slips("dsb"), "taken before"),
        (slips("Dcbs"), "fresh one"),
        (narrowed, "not of one"),
        (all_of_them, "all samples"),
        (lambda *given, **named: loops(*given, **{**named, "generator": torch.Generator().manual_seed(0)}), SHOWN),
        (lambda *given, **named: iter([next(loops(*given, **named))]), "ended after 1 steps"),
        (lambda *given, **named: {"risk": 0.0}, "`yield`"),
        (slips("dcbss"), SHOWN),
    ),
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
        (lambda switch, before, after: lambda step: after if step > switch else before, "one step late"),
        (lambda switch, before, after: lambda step: after if step < switch else before, "exchanged"),
        (lambda switch, before, after: lambda step: after, "first step on"),
        (lambda switch, before, after: lambda step: before, "never acts"),
        (lambda switch, before, after: lambda step: 0.0 if step < switch else after, "not 0"),
        (lambda switch, before, after: lambda step: after * (min(1, step / switch) if switch else 1), "climbs"),
        (lambda switch, before, after: lambda step: after if step == switch else before, "one step alone"),
        (lambda switch, before, after: after, "function of the step"),
        (lambda switch, before, after: lambda step: None, "`return`"),
        (lambda switch, before, after: lambda step: after / switch, "ZeroDivisionError"),
        (lambda switch, before, after: lambda step: 2 * before if step < switch else after, SHOWN),
    ),
    "check_penalty": (
        (lambda z, y: slope(z, y).sum(), "slope itself"),
        (lambda z, y: slope(z, y).sum().abs(), "size"),
        (lambda z, y: ((z[:, 0].sigmoid() - y) * z[:, 0]).square().mean(), "average then"),
        (lambda z, y: ((z[:, 0].sigmoid() - y) * z[:, 0]).square(), "one number per sample"),
        (lambda z, y: slope(z, y).square().sum() / 2, "no ½"),
        (lambda z, y: slope(z, y).sum() ** 4, "twice"),
        (lambda z, y: -(slope(z, y).sum() ** 2), "turned round"),
        (lambda z, y: slope(z, y).square().sum().item(), "gradients cannot flow"),
        (lambda z, y: slope(z, y).square().sum() + 1, SHOWN),
    ),
    "check_slope_halves": (
        (lambda z, y: slope(z, y).square().sum(), "whole batch"),
        (lambda z, y: (slope(z[::2], y[::2]) ** 2 + slope(z[1::2], y[1::2]) ** 2) / 2, "each half's"),
        (lambda z, y: slope(z[::2], y[::2]) ** 2 + slope(z[1::2], y[1::2]) ** 2, "add up the squares"),
        (lambda z, y: ((slope(z[::2], y[::2]) + slope(z[1::2], y[1::2])) / 2) ** 2, "You average the slopes"),
        (lambda z, y: slope(z[::2], y[::2]) + slope(z[1::2], y[1::2]), "add up the slopes"),
        (lambda z, y: slope(z[::2], y[::2]) * slope(z[::2], y[::2]), "share its noise"),
        (lambda z, y: (slope(z[::2], y[::2]) * slope(z[1::2], y[1::2])).abs(), "may be negative"),
        (lambda z, y: slope(z[::2], y[::2]) * slope(z[1::2], y[1::2]) / 2, SHOWN),
    ),
    "check_and_mask_method": (
        (masking(lambda g, t, tau, l2: passing(g, tau) * mean(g, 0) + 2 * l2 * t), "shrinks with the share"),
        (
            masking(lambda g, t, tau, l2: passing(g, tau) * mean(g, 0) / passing(g, tau).mean() + 2 * l2 * t),
            "divide 0 by 0",
        ),
        (masking(lambda g, t, tau, l2: rescaled(g, passing(g, tau) * t, tau, l2)), "*after* the mask"),
        (masking(lambda g, t, tau, l2: rescaled(g, t / passing(g, tau).mean(), tau, l2)), SHOWN),
        (masking(lambda g, t, tau, l2: rescaled([one + 2 * l2 * t for one in g], t, tau, 0.0)), "before they vote"),
        (masking(lambda g, t, tau, l2: rescaled(g, t, tau, 0.0)), "2·l2·θ is missing"),
        (masking(lambda g, t, tau, l2: rescaled(g, t, tau, l2 / 2)), "lost the 2"),
        (masking(lambda g, t, tau, l2: rescaled(g, t, tau, -l2)), "sign of the decay"),
        (masking(lambda g, t, tau, l2: mean(g, 0) + 2 * l2 * t), "nothing is masked"),
        (masking(lambda g, t, tau, l2: rescaled(g, t, 1.0, l2)), "τ is missing"),
        (masking(rescaled, lambda r: mean(r)), "by their names"),
        (masking(rescaled, lambda r: None), "by their names"),
        (masking(lambda g, t, tau, l2: 2 * rescaled(g, t, tau, l2)), SHOWN),
    ),
    "check_maple": (
        (searching(lambda slopes, m, rate: rate * slopes / m.mean()), "The sign"),
        (searching(lambda slopes, m, rate: -rate * m * slopes / m.mean()), "multiply by the mask"),
        (searching(lambda slopes, m, rate: -rate * slopes), "a mean over what is kept"),
        (searching(lambda slopes, m, rate: -rate * slopes / m.sum()), "not by its sum"),
        (searching(lambda slopes, m, rate: -slopes / m.mean()), "self.inner_rate"),
        (searching(through, phi=lambda r: r.mean()), "you take their mean"),
        (searching(through, phi=lambda r: r.std(correction=0)), "take its root"),
        (searching(through, phi=lambda r: r.var()), "unbiased=False"),
        (searching(through, keep=torch.ones_like), "train on all samples"),
        (
            searching(through, start=lambda self: {k: v.clone() for k, v in self.model.state_dict().items()}),
            "self.start",
        ),
        (searching(through, lambda numbers: numbers["risk"]), "by their names"),
        (searching(lambda *_: None), "is empty"),
        (searching(lambda slopes, m, rate: 2 * through(slopes, m, rate)), SHOWN),
    ),
}
