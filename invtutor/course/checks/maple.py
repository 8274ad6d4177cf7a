"""Self-checks of lesson 07; see `verdict` for what a row is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from invtutor.algorithms import maple
from invtutor.algorithms.algorithm import Scalars
from invtutor.algorithms.descent import accumulate, trainable
from invtutor.algorithms.inner import settle, slopes_along
from invtutor.course.checks.verdict import NOTHING, RIGHT, Function, Hint, Rows, check
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import risks

__all__ = ["check_balancing_budget", "check_draw", "check_influence", "check_maple", "check_projection"]


def _chances() -> Iterator[tuple[Tensor, Tensor, float]]:
    """Chances (n,), logistic noise (n,) and a temperature."""
    yield torch.tensor([0.5, 0.5, 0.2, 0.9]), torch.tensor([0.3, -0.3, 2.0, -1.0]), 1.0
    yield torch.tensor([0.5, 0.5, 0.2, 0.9]), torch.tensor([0.3, -0.3, 2.0, -1.0]), 0.5
    generator = torch.Generator().manual_seed(11)
    for temperature in (1.0, 0.2):
        yield 0.05 + 0.9 * torch.rand(12, generator=generator), torch.randn(12, generator=generator), temperature


@check(
    "draw",
    "Add the noise to the log-odds of s, divide by T, take σ; round that, and let the gradient through all the same.",
    _chances(),
    differentiable=["chances"],
    slopes="The mask is right; its slope is not that of the smooth function, σ((log-odds of s + noise)/T).",
)
def check_draw(chances: Tensor, noise: Tensor, temperature: float) -> Rows:
    """chances s (n,) in (0, 1), logistic noise (n,), T → the mask (n,) of 0 and 1, with the smooth function's slope."""
    right = maple.straight_through(chances, noise, temperature)
    yield RIGHT, right
    soft = torch.sigmoid((chances.logit() + noise) / temperature)
    yield "That is the smooth function itself; a mask is 0 or 1: round it.", soft
    yield "The mask is turned round: 1 where the smooth function is at least one half.", 1 - right
    yield "The noise is missing: without it the mask keeps every s above one half.", (chances >= 0.5).double()
    yield "Take the log-odds of s, log(s/(1 − s)), before you add the noise.", (chances + noise >= 0.5).double()
    yield "The logarithm of s alone is not the log-odds, log(s/(1 − s)).", (chances.log() + noise >= 0).double()
    yield "The noise is subtracted; add it.", (chances.logit() - noise >= 0).double()
    yield "Everything is kept.", torch.ones_like(chances)


def _budgets() -> Iterator[tuple[Tensor, float]]:
    yield torch.tensor([0.9, 0.5, 0.1]), 1.0
    yield torch.tensor([0.25, 0.0, 1.0]), 2.0  # lies within: it stays
    yield torch.tensor([1.8, -1.2, 0.4]), 3.0  # lies within once it is clamped
    yield torch.tensor([3.0, 1.5, 1.2, -1.0]), 1.0
    generator = torch.Generator().manual_seed(7)
    yield from ((0.3 + torch.randn(40, generator=generator), budget) for budget in (1.0, 5.0, 20.0))


def _ratio(values: Tensor, budget: float) -> Tensor:
    return values * min(1.0, budget / max(values.sum().item(), 1e-9))


def _solve(values: Tensor, budget: float, *, low: float = 0.0, above: bool = True) -> float:
    """The least v from `low` on for which clamp(values − v, 0, 1), or without the 1, is within the budget."""
    high = max(values.max().item(), low)
    for _ in range(60):
        middle = (low + high) / 2
        fits = (values - middle).clamp(0, 1 if above else None).sum() <= budget
        low, high = (low, middle) if fits else (middle, high)
    return high


@check(
    "projection",
    "Look for a v ≥ 0 with clamp(values − v, 0, 1).sum() ≤ budget; halve an interval until it is small.",
    _budgets(),
    tolerance=2e-3,
)
def check_projection(values: Tensor, budget: float) -> Rows:
    """values (n,), budget → the nearest point (n,) with entries in [0, 1] and a sum of at most budget."""
    clamped, n, v = values.clamp(0, 1), len(values), _solve(values, budget)
    yield RIGHT, maple.project(values, budget)
    ratios = "Dividing keeps the ratios; the *nearest* point comes from taking the same v from everybody."
    yield ratios, _ratio(clamped, budget)
    loose = "You divide, and do not clamp: entries lie in [0, 1], and the *nearest* point takes one v from everybody."
    yield loose, _ratio(values, budget), values * budget / values.sum()
    yield "You clamp to [0, 1] and forget the budget.", clamped
    even = [(some - max(some.sum().item() - budget, 0) / n).clamp(0, 1) for some in (clamped, values)]
    rest = "You take the excess in equal parts and clamp after that: who ends at 0 or 1 leaves a rest to the others."
    yield rest, *even
    given = (values - _solve(values, budget, low=-10.0)).clamp(0, 1)
    yield "v is at least 0: what lies within the budget must stay, and nobody is given more.", given
    largest = values >= values.sort(descending=True).values[min(int(budget), n) - 1]
    best = "You keep the largest values and drop the others; the nearest point takes the same v from everybody."
    yield best, clamped * largest, largest
    above = (values - _solve(values, budget, above=False)).clamp(min=0)
    yield "You do not clamp above: entries are at most 1.", above
    yield "Everything is 0: v is too large.", torch.zeros_like(values)
    after = (clamped - _solve(clamped, budget)).clamp(0, 1)
    yield "You clamp first and take v off afterwards: clamp(values − v, 0, 1) takes it off before.", after
    yield "You return v; the values are wanted from which it was taken.", v


def _models() -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor, Tensor, float]]:
    """A linear model's inputs (n, d), labels (n,), θ (d,), direction (d,), mask (n,) and the rate."""
    inputs, theta, direction = (
        torch.tensor([[1.0, 0], [0, 1], [1, 1]]),
        torch.tensor([0.5, -0.5]),
        torch.tensor([1.0, 2]),
    )
    yield inputs, torch.tensor([1, 0, 1]), theta, direction, torch.tensor([1.0, 0, 1]), 0.5
    generator = torch.Generator().manual_seed(8)
    for n, rate in ((6, 0.1), (20, 0.5)):
        inputs, theta, direction = (torch.randn(*size, generator=generator) for size in ((n, 4), (4,), (4,)))
        labels = torch.randint(2, (n,), generator=generator)
        yield inputs, labels, theta, direction, (torch.arange(n) % 3 > 0).float(), rate


@check(
    "hypergradient",
    "The gradient of a sample's loss is (σ(x·θ) − y)·x. How far does that step lead along v?",
    _models(),
    tolerance=1e-5,
)
def check_influence(
    inputs: Tensor, labels: Tensor, theta: Tensor, direction: Tensor, mask: Tensor, rate: float
) -> Rows:
    """inputs (n, d), labels (n,), theta (d,), direction (d,), mask (n,), rate → ∂Φ/∂m (n,), at w = 1.

    MAPLE holds the normalizer Σ m constant. Whoever differentiates it, too, has a right answer as well.
    """
    logits, along, scale = inputs @ theta, inputs @ direction, -rate / mask.sum()
    error = logits.sigmoid() - labels
    slopes = error * along
    right = scale * slopes
    in_full = scale * (slopes - (mask * slopes).sum() / mask.sum())  # in which Σ m moves with m
    yield RIGHT, right, in_full
    yield "The sign: the inner step goes *down* the loss, θ − α∇ℓ.", -right
    kept = "A sample that is not kept has a derivative, too: what if it were? Do not multiply by the mask."
    yield kept, mask * right, mask * in_full
    yield "Divide by Σ m: the inner loss is a mean over what is kept.", -rate * slopes
    yield "Divide by the number of samples that are kept, Σ m, not by n.", -rate * slopes / len(mask)
    yield "The rate of the inner step is missing.", -slopes / mask.sum()
    no_sigmoid = scale * (logits - labels) * along
    yield "The σ is missing: the error compares a probability with the label, σ(x·θ) − y.", no_sigmoid
    astray = scale * error, scale * error * logits
    yield "`direction` is missing: you need the gradient's part along it, x·direction.", *astray
    no_label = scale * logits.sigmoid() * along
    yield "The label is missing: the gradient of the loss is (σ(x·θ) − y)·x.", no_label
    yield "You add up over the samples; one number per sample is wanted.", right.sum(), (mask * right).sum()


@check(
    "balancing budget",
    "How many samples conflict? How many aligned ones are needed beside them?",
    [([0.1, 0.2],), ([0.25, 0.25, 0.1],), ([0.9, 0.8],), ([0.1, 0.9],), ([0.3, 0.9],), ([0.2],)],
)
def check_balancing_budget(flip_rates: Sequence[float]) -> Rows:
    """flip rates, of equal environments → the share of all samples in the largest color-balanced subset."""
    rates, total, count = flip_rates, sum(flip_rates), len(flip_rates)
    mean = total / count

    def balanced(conflicting: float) -> float:
        return 2 * min(conflicting, 1 - conflicting)

    yield RIGHT, balanced(mean)
    yield "That is the share of conflicting samples alone: as many aligned ones belong beside them.", mean
    yield "When most colors are reversed, the aligned samples are the rare ones.", 2 * mean
    rarer = balanced(mean) / 2
    yield "That is the share of the rarer kind alone: as many of the other belong beside it.", rarer
    each = sum(map(balanced, rates)) / count
    yield "You balance each environment by itself; the subset is of all samples, pooled.", each
    yield "You add up the flip rates; average them.", total, 2 * total, balanced(total)
    yield "You divide by two, as if there always were two environments.", balanced(total / 2)
    yield "You look at the lowest flip rate only.", balanced(min(rates))
    yield "You look at the highest flip rate only.", balanced(max(rates))
    yield "You look at the first environment only.", balanced(rates[0])
    yield "That is the share of aligned samples.", 1 - mean
    yield "That is what a balanced subset leaves out.", 1 - balanced(mean)


# The whole turn -------------------------------------------------------------------------------------------------------


def _searched(student: Function) -> Function:
    """The probe for `check_maple`: what a class leaves in `.grad` of s in two turns, and the metrics of the second."""

    def two_turns(budget: float, inner_rate: float, environments: int) -> Tensor:
        generator = torch.Generator().manual_seed(environments)
        inputs = torch.randn(environments, 20, 3, generator=generator)
        labels = (inputs[..., 0] + torch.arange(environments)[:, None] * inputs[..., 1] > 0).long()
        model = nn.Linear(3, 1)
        with torch.no_grad():
            model.weight.copy_(torch.tensor([[0.3, -0.2, 0.1]]))
            model.bias.fill_(0.1)
        method = student(model, budget=budget, inner_rate=inner_rate, inner_steps=4, inner_batch=5)
        if method is None:
            raise Hint(NOTHING)
        pairs = zip(inputs, labels, strict=True)
        validation = method.prepare([Environment(f"{i}", *pair) for i, pair in enumerate(pairs)])
        left = list[Tensor]()
        for _ in range(2):
            method.probabilities.grad = None
            found = method.backward(validation)
            if method.probabilities.grad is None:
                raise Hint("After your `backward`, self.probabilities.grad is empty: `accumulate` fills it.")
            if not isinstance(found, Mapping) or not {"risk", "penalty"} <= found.keys():
                raise Hint("Return the numbers of the step by their names: risk, the mean, and penalty, Φ.")
            left.append(method.probabilities.grad.clone())
            with torch.no_grad():
                method.probabilities -= 0.2 * left[-1].sign()  # a step, so that the second turn is another
        numbers = [torch.as_tensor(found[name]).detach().float().reshape(1) for name in ("risk", "penalty")]
        return torch.cat([*left, *numbers])

    return two_turns


@dataclass(eq=False)
class Searching(maple.MAPLE):
    """MAPLE with a part exchanged, for rows of known mistakes.

    objective_of: Φ, of the validation risks. slope: of the products, m and α. blind: trains on all. warm: goes on from
    the last weights. late: takes the products at θ_T.
    """

    objective_of: Callable[[Tensor], Tensor] = lambda found: found.var(unbiased=False)
    slope: Callable[[Tensor, Tensor, float], Tensor] = lambda slopes, m, rate: -rate * slopes / m.mean()
    blind: bool = False
    warm: bool = False
    late: bool = False

    def backward(self, environments: Sequence[Environment]) -> Scalars:
        mask = self.draw()
        kept, size = torch.ones_like(mask) if self.blind else mask, (self.inner_steps, self.inner_batch)
        start = {name: value.clone() for name, value in self.model.state_dict().items()} if self.warm else self.start
        before = settle(self.model, start, self.inner, kept, size, self.inner_rate, self.l2, self.generator)
        found = risks(self.predict, environments)
        phi = self.objective_of(found)
        direction = torch.autograd.grad(phi, [*trainable(self.model).values()])
        at = {name: value.detach().clone() for name, value in trainable(self.model).items()} if self.late else before
        slopes = slopes_along(self.model, at, direction, self.inner)
        accumulate(self.probabilities, self.slope(slopes, mask, self.inner_rate))
        return {"risk": found.mean().detach(), "penalty": phi.detach()}


@check(
    "MAPLE, whole",
    "Draw, settle, measure Φ on the validation samples, take its gradient, the products, and n·∂Φ/∂m: in this order.",
    [(0.5, 0.1, 2), (0.3, 0.3, 2), (0.5, 0.1, 3)],
    probe=_searched,
    compared="n·∂Φ/∂s in two turns of a small problem, then the mean risk and Φ of the second",
    tolerance=1e-6,
)
def check_maple(model: nn.Module, **options: Any) -> Rows:
    """A model and MAPLE's options → the method."""

    def wrong(**changed: Any) -> Searching:
        return Searching(model, **options, **changed)

    yield RIGHT, maple.MAPLE(model, **options)
    yield (
        "The sign: the last inner step goes *down* the losses, so that ∂Φ/∂m has a minus.",
        wrong(slope=lambda slopes, m, rate: rate * slopes / m.mean()),
    )
    yield (
        "A sample that is not kept has a derivative, too: do not multiply by the mask.",
        wrong(slope=lambda slopes, m, rate: -rate * m * slopes / m.mean()),
    )
    yield (
        "Divide by the mean of the mask: the inner loss is a mean over what is kept.",
        wrong(slope=lambda slopes, m, rate: -rate * slopes),
    )
    yield (
        "Gradients are times n: divide by the *mean* of the mask, not by its sum.",
        wrong(slope=lambda slopes, m, rate: -rate * slopes / m.sum()),
    )
    yield (
        "The rate of the inner step, self.inner_rate, is missing.",
        wrong(slope=lambda slopes, m, rate: -slopes / m.mean()),
    )
    yield (
        "Φ is the *variance* of the validation risks; you take their mean.",
        wrong(objective_of=lambda found: found.mean()),
    )
    yield "Φ is the variance; you take its root.", wrong(objective_of=lambda found: found.std(unbiased=False))
    yield (
        "The variance divides by the number of environments: unbiased=False.",
        wrong(objective_of=lambda found: found.var()),
    )
    yield "You train on all samples: pass the mask to `settle`.", wrong(blind=True)
    yield (
        "Each turn starts from the same first weights, self.start, not from where the last one ended.",
        wrong(warm=True),
    )
    yield (
        "The products are taken *before* the last inner step, at θ_{T−1}: pass on what `settle` returns.",
        wrong(late=True),
    )
