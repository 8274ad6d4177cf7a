"""Whole methods, checked by what their `backward` leaves: gradients in a small model, and the numbers of the step."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from invtutor.algorithms import irmv1, mmrex, vrex
from invtutor.algorithms.meta_irm import MetaIRM
from invtutor.course.checks.verdict import NOTHING, RIGHT, Function, Hint, Rows, check
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import risk, squared_norm

__all__ = ["Minimizing", "check_annealing", "check_irmv1", "check_meta_irm", "check_mmrex", "check_vrex", "left"]
__all__ += ["linear", "risks_of", "small_environments"]


def small_environments(count: int) -> list[Environment]:
    """Six samples with three inputs each, in environments that do not agree."""
    generator = torch.Generator().manual_seed(count)
    inputs = torch.randn(count, 6, 3, generator=generator)
    labels = (inputs[..., 0] + torch.arange(count)[:, None] * inputs[..., 1] > 0).long()
    return [Environment(f"{i}", *pair) for i, pair in enumerate(zip(inputs, labels, strict=True))]


def linear() -> nn.Linear:
    model = nn.Linear(3, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.8, -0.5, 0.3]]))
        model.bias.fill_(0.2)
    return model


def left(*metrics: str) -> Callable[[Function], Function]:
    """The probe for checks of methods: what a class, made with a linear model and these hyper-parameters, leaves after
    `backward`: the model's gradients, then the metrics of these names.

    The rows of such a check take what the class takes, and yield methods: the library's own, and `Minimizing` for
    known mistakes.
    """

    def probe(student: Function) -> Function:
        def gradients(hyper: Mapping[str, Any], l2: float, environments: int) -> Tensor:
            model = linear()
            method = student(model, **hyper, l2=l2)
            if method is None:
                raise Hint(NOTHING)
            found = method.backward(small_environments(environments))
            if model.weight.grad is None or model.bias.grad is None:
                raise Hint("After your `backward`, `.grad` is empty: call `.backward()` on the objective.")
            if not isinstance(found, Mapping):
                raise Hint(f"Return the numbers of the step by their names: {', '.join(metrics)}.")
            if missing := [name for name in metrics if name not in found]:
                raise Hint(f"Among the numbers that you return, {', '.join(missing)} is missing.")
            numbers = torch.stack([torch.as_tensor(found[name]).detach().float().reshape(()) for name in metrics])
            return torch.cat([model.weight.grad.flatten(), model.bias.grad, numbers])

        return gradients

    return probe


@dataclass(eq=False)
class Minimizing:
    """A method that minimizes some function of what each environment has, for rows of known mistakes.

    objective: of the environments' logits and labels. metrics: what `backward` returns.
    """

    model: nn.Module
    objective: Callable[[Sequence[tuple[Tensor, Tensor]]], Tensor]
    metrics: Callable[[Sequence[tuple[Tensor, Tensor]]], Mapping[str, Tensor]]

    def backward(self, environments: Sequence[Environment]) -> Mapping[str, Tensor]:
        batches = [(self.model(e.inputs), e.labels) for e in environments]
        self.objective(batches).backward()
        return self.metrics(batches)


def risks_of(batches: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    return torch.stack([risk(*batch) for batch in batches])


# Lesson 03 ------------------------------------------------------------------------------------------------------------


def _means(batches: Sequence[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    return {
        "risk": risks_of(batches).mean(),
        "penalty": torch.stack([irmv1.penalty(*batch) for batch in batches]).mean(),
    }


@check(
    "IRMv1",
    "Say what is minimized, call .backward() on it, and return the numbers of the step.",
    [({"penalty_weight": weight}, l2, count) for weight in (0.5, 100.0, 1e4) for l2 in (0.0, 0.1) for count in (2, 3)],
    probe=left("risk", "penalty"),
    compared="the gradients of a linear model's four parameters, then the risk and the penalty that you return",
    tolerance=1e-6,
)
def check_irmv1(model: nn.Module, penalty_weight: float, l2: float) -> Rows:
    """A model, λ and the weight of ‖θ‖² → the method."""
    w, most = penalty_weight, max(1.0, penalty_weight)

    def wrong(objective: Callable[..., Tensor]) -> Minimizing:
        """Of risks and penalties (environments,), and l2·‖θ‖²."""

        def of(batches: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
            penalties = torch.stack([irmv1.penalty(*batch) for batch in batches])
            return objective(risks_of(batches), penalties, l2 * squared_norm(model))

        return Minimizing(model, of, _means)

    yield RIGHT, irmv1.IRMv1(model, l2=l2, penalty_weight=penalty_weight)
    undivided = "The objective is not rescaled: divide all of it by λ where λ is larger than 1."
    yield undivided, wrong(lambda r, p, n: r.mean() + n + w * p.mean())
    yield (
        "The L2 term is missing: self.l2 times the sum of all squared parameters.",
        wrong(lambda r, p, n: (r + w * p).mean() / most),
    )
    late = wrong(lambda r, p, n: (r + w * p).mean() / most + n)
    yield "The L2 term is added after the division; it is divided together with the rest.", late
    yield "The penalty is missing.", wrong(lambda r, p, n: r.mean() + n), wrong(lambda r, p, n: (r.mean() + n) / most)
    yield "The risk is missing.", wrong(lambda r, p, n: (n + w * p.mean()) / most)
    summed = wrong(lambda r, p, n: (r.sum() + n + w * p.sum()) / most)
    yield "You add up over the environments; risk and penalty are means over them.", summed
    half = "The penalties are added up; they are averaged, as the risks are."
    yield half, wrong(lambda r, p, n: (r.mean() + n + w * p.sum()) / most)
    first = wrong(lambda r, p, n: (r[0] + n + w * p[0]) / most), wrong(lambda r, p, n: (r[-1] + n + w * p[-1]) / most)
    yield "A single environment counts; all of them do.", *first
    unweighted = wrong(lambda r, p, n: (r + p).mean() + n), wrong(lambda r, p, n: ((r + p).mean() + n) / most)
    yield "λ is missing: the penalty counts self.penalty_weight times.", *unweighted
    yield (
        "Only the penalty is divided; the risk must be, too.",
        wrong(lambda r, p, n: r.mean() + n + w * p.mean() / most),
    )
    yield "The penalty is subtracted.", wrong(lambda r, p, n: (r.mean() + n - w * p.mean()) / most)


def _moments() -> Iterator[tuple[int, float, float, int]]:
    """Steps around the switch; the last examples have none to wait for."""
    yield from ((150, 1.0, 1e4, step) for step in (0, 75, 149, 150, 151, 400))
    yield from ((0, 1.0, 100.0, step) for step in (0, 3))
    yield from ((10, 0.3, 0.2, step) for step in (5, 10))


def _acting(student: Function) -> Function:
    """What a schedule says at a step."""

    def value(switch: int, before: float, after: float, step: int) -> Any:
        schedule = student(switch, before, after)
        if schedule is None:
            raise Hint(NOTHING)
        if not callable(schedule):
            raise Hint("Return a function of the step, and not its value: `value`, without brackets after it.")
        return schedule(step)

    return value


@check(
    "annealing",
    "Which weight acts before step `switch`, and which from it on?",
    _moments(),
    probe=_acting,
)
def check_annealing(switch: int, before: float, after: float) -> Rows:
    """→ the function of the step: `before` until step `switch`, then `after`."""

    def at(value: Callable[[int], float]) -> Callable[[int], float]:
        return value

    def climbing(start: float) -> Callable[[int], float]:
        return lambda step: start + (after - start) * (min(1.0, step / switch) if switch else 1.0)

    yield RIGHT, at(lambda step: after if step >= switch else before)
    late = "The switch comes one step late: at step `switch` the second weight acts."
    yield late, at(lambda step: after if step > switch else before)
    yield "The two are exchanged: `after` acts after the switch.", at(lambda step: before if step >= switch else after)
    yield "The second weight acts from the first step on: that is training without annealing.", at(lambda step: after)
    yield "The second weight never acts.", at(lambda step: before)
    off = "Before the switch the weight is `before`, not 0: the penalty acts a little from the start."
    yield off, at(lambda step: after if step >= switch else 0.0)
    yield "The weight climbs; here it jumps, as in the authors' code.", climbing(before), climbing(0.0)
    once = at(lambda step: after if step == switch else before)
    yield "The second weight acts in one step alone; from the switch on it stays.", once


# Lesson 04 ------------------------------------------------------------------------------------------------------------


_OF_RISKS: Mapping[str, Any] = {
    "probe": left("risk", "penalty"),
    "compared": "the gradients of a linear model's four parameters, then the risk and the penalty that you return",
    "tolerance": 1e-6,
}
_SETTINGS = [({"penalty_weight": w}, l2, count) for w in (0.5, 100.0) for l2 in (0.0, 0.1) for count in (2, 3)]


def _excess_of(model: nn.Module, w: float, l2: float, penalty: Callable[[Tensor], Tensor]) -> Rows:
    """The mistakes of those who weigh a penalty on the risks (environments,)."""
    most = max(1.0, w)

    def wrong(objective: Callable[..., Tensor], of: Callable[[Tensor], Tensor] = penalty) -> Minimizing:
        """Of the risks, their penalty, and l2·‖θ‖²."""

        def risks(batches: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
            return torch.stack([risk(*batch) for batch in batches])

        return Minimizing(
            model,
            lambda batches: objective(risks(batches), of(risks(batches)), l2 * squared_norm(model)),
            lambda batches: {"risk": risks(batches).mean(), "penalty": of(risks(batches))},
        )

    def whole(r: Tensor, p: Tensor, n: Tensor) -> Tensor:
        return (r.mean() + n + w * p) / most

    undivided = "The objective is not rescaled: divide all of it by β where β is larger than 1."
    yield undivided, wrong(lambda r, p, n: r.mean() + n + w * p)
    bare = wrong(lambda r, p, n: (r.mean() + w * p) / most), wrong(lambda r, p, n: r.mean() + w * p)
    yield "The L2 term is missing: self.l2 * squared_norm(self.model).", *bare
    late = wrong(lambda r, p, n: (r.mean() + w * p) / most + n)
    yield "The L2 term is added after the division; it is divided together with the rest.", late
    yield "The penalty is missing.", wrong(lambda r, p, n: r.mean() + n), wrong(lambda r, p, n: (r.mean() + n) / most)
    yield "The mean risk is missing.", wrong(lambda r, p, n: (n + w * p) / most), wrong(lambda r, p, n: w * p / most)
    yield "You add the risks up; their mean is meant.", wrong(lambda r, p, n: (r.sum() + n + w * p) / most)
    unweighted = wrong(lambda r, p, n: r.mean() + p + n), wrong(lambda r, p, n: (r.mean() + p + n) / most)
    yield "β is missing: the penalty counts self.penalty_weight times.", *unweighted
    tilted = wrong(lambda r, p, n: r.mean() + n + w * p / most)
    yield "Only the penalty is divided; the risk must be, too.", tilted
    yield "The penalty is subtracted.", wrong(lambda r, p, n: (r.mean() + n - w * p) / most)
    others: Mapping[str, Callable[[Tensor], Tensor]] = {
        "That is still V-REx's penalty; the line to change is this one.": vrex.penalty,
        "That is MM-REx's penalty, the worst risk's excess; V-REx takes the variance.": mmrex.penalty,
        "That is the unbiased variance, divided by n − 1; divide by n.": lambda r: r.var(),
        "That is the range; the excess is the largest risk minus the *mean*.": lambda r: r.max() - r.min(),
        "That is the largest risk itself; the penalty is what it has above the mean.": lambda r: r.max(),
    }
    yield from ((hint, wrong(whole, of)) for hint, of in others.items() if of is not penalty)


@check(
    "V-REx",
    "The risks; their mean, plus l2 times the squared norm, plus the weighted variance; rescaled; then .backward().",
    _SETTINGS,
    **_OF_RISKS,
)
def check_vrex(model: nn.Module, penalty_weight: float, l2: float) -> Rows:
    """A model, β and the weight of ‖θ‖² → the method."""
    yield RIGHT, vrex.VREx(model, l2=l2, penalty_weight=penalty_weight)
    yield from _excess_of(model, penalty_weight, l2, vrex.penalty)


@check("MM-REx", "Your V-REx with another penalty: how far the worst risk lies above the mean.", _SETTINGS, **_OF_RISKS)
def check_mmrex(model: nn.Module, penalty_weight: float, l2: float) -> Rows:
    """A model, β and the weight of ‖θ‖² → the method."""
    yield RIGHT, mmrex.MMREx(model, l2=l2, penalty_weight=penalty_weight)
    yield from _excess_of(model, penalty_weight, l2, mmrex.penalty)


# Lesson 05 ------------------------------------------------------------------------------------------------------------


@check(
    "meta-IRM",
    "All parameters in one vector; the outer losses; their mean and λ·σ and the L2 term, rescaled; then .backward().",
    [
        ({"penalty_weight": weight, "inner_rate": rate}, l2, count)
        for weight, rate in ((0.5, 0.3), (10.0, 0.3), (10.0, 2.0))
        for l2, count in ((0.0, 2), (0.1, 3))
    ],
    probe=left("meta risk", "penalty"),
    compared="the gradients of a linear model's four parameters, then the mean outer loss and σ that you return",
    tolerance=1e-6,
)
def check_meta_irm(model: nn.Module, penalty_weight: float, inner_rate: float, l2: float) -> Rows:
    """A model, λ, α and the weight of ‖θ‖² → the method."""
    own = {"l2": l2, "penalty_weight": penalty_weight, "inner_rate": inner_rate}

    def method(**changes: Any) -> MetaIRM:
        return MetaIRM(model, **{**own, **changes})

    yield RIGHT, method()
    yield "The objective is not rescaled: divide all of it by λ where λ is larger than 1.", method(rescale=False)
    bare = method(l2=0.0), method(l2=0.0, rescale=False)
    yield "The L2 term is missing: self.l2 * squared_norm(self.model).", *bare
    yield "The inner gradient counts as a constant here: that is the first-order variant.", method(first_order=True)
    yield "Each θ′ is judged where it was adapted; judge it in the others.", method(same_environment=True)
    yield "No inner step is taken: α is missing, or the risks are those of θ.", method(inner_rate=0.0)
    yield "Your inner step goes up.", _climbing(method)
    light = method(penalty_weight=0.0), _weighing(method, 0.0)
    yield "σ is missing from the objective.", *light
    yield "λ is missing: σ counts self.penalty_weight times.", method(penalty_weight=1.0), _weighing(method, 1.0)


def _climbing(method: Callable[..., MetaIRM]) -> MetaIRM:
    climbing = method()
    climbing.inner_rate = -climbing.inner_rate
    return climbing


def _weighing(method: Callable[..., MetaIRM], weight: float) -> "_Scaled":
    return _Scaled(method(penalty_weight=weight, rescale=False), max(1.0, method().penalty_weight))


@dataclass(eq=False)
class _Scaled:
    """A method whose gradients are divided by a number."""

    method: MetaIRM
    by: float

    def backward(self, environments: Sequence[Environment]) -> Mapping[str, Tensor]:
        found = self.method.backward(environments)
        for parameter in self.method.parameters():
            if parameter.grad is not None:
                parameter.grad /= self.by
        return found
