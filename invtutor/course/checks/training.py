"""Self-checks of lesson 02: the risk, ERM, and the loop; see `verdict` for what a row is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from math import log

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from invtutor.algorithms import Algorithm, Metrics, erm
from invtutor.course.checks.clues import NO_MEAN, batches
from invtutor.course.checks.methods import Minimizing, left, linear, risks_of, small_environments
from invtutor.course.checks.verdict import NOTHING, RIGHT, Function, Hint, Rows, check
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import risk, squared_norm

__all__ = ["check_erm", "check_risk", "check_training"]


@check(
    "risk",
    "What does one sample cost, given its logit and its label? Then average.",
    [*batches(), (torch.tensor([[40.0], [-120.0], [3.0]]), torch.tensor([0, 1, 1]))],
    differentiable=["logits"],
    infinite="The value is right, but its derivative is not finite where a logit is large.",
)
def check_risk(logits: Tensor, labels: Tensor) -> Rows:
    """logits (n, 1), labels (n,) → the mean cross-entropy in nats, a scalar."""
    z, y = logits[:, 0], labels.to(logits)
    each = F.softplus(z) - y * z
    square = F.softplus(logits) - y * logits
    yield RIGHT, risk(logits, labels)
    broadcast = "Labels (n,) against logits (n, 1) broadcast to (n, n). Use logits[:, 0]."
    yield broadcast, square.mean(), square.sum() / len(y), square.sum(), square
    yield NO_MEAN, each, each[:, None]
    yield "You took the sum over samples; the risk is their mean.", each.sum()
    p = z.sigmoid()
    naive = -(y * p.log() + (1 - y) * (1 - p).log())
    lost = (
        "Where a logit is large, σ(z) is 0 or 1 to the last digit, and its logarithm infinite. Take F's …_with_logits."
    )
    yield lost, naive.mean(), torch.where(naive.isnan(), 0.0, naive).mean(), naive.nan_to_num(posinf=100.0).mean()
    yield "The labels are exchanged: label 1 wants a large logit.", (F.softplus(z) - (1 - y) * z).mean()
    yield "The sign is turned round: what is minimized must be large where predictions are bad.", -each.mean()
    yield "That counts only samples of label 1; those of label 0 cost, too.", (F.softplus(-z) * y).mean()
    yield "That counts only samples of label 0; those of label 1 cost, too.", (F.softplus(z) * (1 - y)).mean()
    yield "That is in bits; a nat is counted with the natural logarithm.", each.mean() / log(2.0)
    yield "That is the squared error of the probability.", (p - y).square().mean()
    yield "You take σ twice: the function that you call does it already.", (F.softplus(p) - y * p).mean()


@check(
    "ERM",
    "Say what is minimized, call .backward() on it, and return the numbers of the step.",
    [({}, l2, count) for l2 in (0.0, 0.1) for count in (1, 2, 3)],
    probe=left("risk"),
    compared="the gradients of a linear model's four parameters, then the risk that you return",
    tolerance=1e-6,
)
def check_erm(model: nn.Module, l2: float) -> Rows:
    """A model, and the weight of ‖θ‖² → the method."""

    def mean(batches: Sequence[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        return {"risk": risks_of(batches).mean()}

    def wrong(objective: Callable[[Tensor, Tensor], Tensor]) -> Minimizing:
        """Of the risks (environments,) and l2·‖θ‖²."""
        return Minimizing(model, lambda batches: objective(risks_of(batches), l2 * squared_norm(model)), mean)

    yield RIGHT, erm.ERM(model, l2=l2)
    yield "The L2 term is missing: self.l2 times the sum of all squared parameters.", wrong(lambda r, n: r.mean())
    yield "You add up over the environments; ERM takes their mean.", wrong(lambda r, n: r.sum() + n)
    one = wrong(lambda r, n: r[0] + n), wrong(lambda r, n: r[-1] + n)
    yield "A single environment counts; all of them do.", *one
    yield "The sign is turned round.", wrong(lambda r, n: n - r.mean()), wrong(lambda r, n: -r.mean() - n)
    yield "The L2 term is subtracted.", wrong(lambda r, n: r.mean() - n)
    yield "Half of the L2 term; the reference code has no ½.", wrong(lambda r, n: r.mean() + n / 2)
    yield "The L2 term counts once, not once per environment.", wrong(lambda r, n: r.mean() + len(r) * n)


def _trained(student: Function) -> Function:
    """What a few steps of a loop make of a linear model."""

    def after(steps: int) -> Tensor:
        model = linear()
        method = erm.ERM(model, l2=0.1)
        optimizer, generator = torch.optim.SGD(model.parameters(), lr=0.5), torch.Generator().manual_seed(2)
        loop = student(method, optimizer, small_environments(2), batch_size=4, generator=generator)
        if loop is None:
            raise Hint(NOTHING)
        if not isinstance(loop, Iterator):
            raise Hint("Let the function `yield` the metrics of each step, so that one can ask for the next.")
        told = []
        for metrics in islice(loop, steps):
            if not isinstance(metrics, Mapping) or "risk" not in metrics:
                raise Hint("Yield what `algorithm.backward` returns: the step's metrics.")
            told.append(float(metrics["risk"]))
        if len(told) < steps:
            raise Hint(f"The loop ended after {len(told)} steps; let it go on for as long as somebody asks.")
        return torch.cat([model.weight.detach().flatten(), model.bias.detach(), torch.tensor(told)])

    return after


@check(
    "training loop",
    "What happens in one step, and in which order?",
    [(1,), (2,), (4,)],
    probe=_trained,
    compared="the four parameters of a linear model after so many steps, then the risk in each step",
    tolerance=1e-5,
)
def check_training(
    algorithm: Algorithm,
    optimizer: torch.optim.Optimizer,
    environments: Sequence[Environment],
    *,
    batch_size: int,
    generator: torch.Generator,
) -> Rows:
    """→ a generator: one step each time that the next metrics are asked for."""

    def looping(*, clear: bool = True, move: bool = True, first: int = 0, anew: bool = True, seed: int | None = None,
                late: bool = False, some: int = 2, once: bool = False) -> Iterator[Metrics]:  # fmt: skip
        batch: list[Environment] = []
        while True:
            if seed is not None:
                generator.manual_seed(seed)
            if anew or not batch:
                batch = [e.sample(batch_size, generator) for e in environments[first : first + some]]
            if once:
                batch = [e.subset(torch.arange(batch_size)) for e in environments]
            if clear:
                optimizer.zero_grad()
            if late:
                optimizer.step()
            metrics = algorithm.backward(batch)
            if move and not late:
                optimizer.step()
            yield {name: float(value) for name, value in metrics.items()}

    def whole() -> Iterator[Metrics]:
        while True:
            optimizer.zero_grad()
            metrics = algorithm.backward(environments)
            optimizer.step()
            yield {name: float(value) for name, value in metrics.items()}

    yield RIGHT, looping()
    yield "Gradients add up from step to step: clear them with `optimizer.zero_grad()`.", looping(clear=False)
    still = "Nothing moves: `optimizer.step()` is missing, or gradients are cleared between `backward` and it."
    yield still, looping(move=False)
    yield "The step is taken before `backward`, with the gradients of the step before.", looping(clear=False, late=True)
    yield "You draw one batch for all steps; draw a fresh one in each.", looping(anew=False)
    yield "Every step sees the same draws: the generator's own state is to go on.", looping(seed=0)
    yield "A batch has samples of all environments, not of one.", looping(some=1), looping(first=1)
    yield "You take all samples; draw `batch_size` of each environment.", whole()
    yield "You take the first samples each time; draw them with `environment.sample`.", looping(once=True)
