"""Self-checks of lesson 09; see `verdict` for what a row is."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from invtutor.algorithms.group_dro import reweigh
from invtutor.course.checks.verdict import RIGHT, Hint, Rows, check
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import worst_and_average

__all__ = ["check_background", "check_group_weights", "check_singles", "check_worst_and_average"]


def _judged() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Whether each test sample is right (n,), its group (n,), and the groups of the training samples (m,)."""
    known = torch.tensor([0] * 6 + [1] + [2] * 3)
    yield torch.tensor([1.0, 1, 0, 1, 0, 0]), torch.tensor([0, 0, 1, 1, 2, 2]), known
    generator = torch.Generator().manual_seed(9)
    for counts in ((95, 5, 5, 95), (60, 10, 20, 40), (50, 20, 0, 90)):
        groups = torch.arange(80) % 4
        groups[(groups == 2) & (counts[2] == 0)] = 3  # nobody is of that group, here or there
        chance = torch.tensor([0.9, 0.3, 0.5, 0.8])[groups]
        right = (torch.rand(80, generator=generator) < chance).float()
        yield right, groups, torch.arange(4).repeat_interleave(torch.tensor(counts))


@check(
    "worst and average",
    "What is the accuracy in each group that occurs? The first number is the least of them.",
    _judged(),
)
def check_worst_and_average(right: Tensor, groups: Tensor, known: Tensor) -> Rows:
    """→ accuracy in the worst group; the groups' mean accuracy with the shares that they have in training."""
    present = groups.unique().tolist()
    each = torch.tensor([right[groups == group].mean() for group in present])
    sizes = torch.tensor([float((known == group).sum()) for group in present])
    here = torch.tensor([float((groups == group).sum()) for group in present])
    worst, average = worst_and_average(right, groups, known)
    yield RIGHT, (worst, average)
    plain = "The average is that of the test itself; weight each group by its share among `known`."
    yield plain, (worst, right.mean())
    alike = "In your average all groups count the same; weight each by its share among `known`."
    yield alike, (worst, each.mean())
    missing = [right[groups == group].mean().nan_to_num(0) for group in range(4)]
    holes = "A group that does not occur has no accuracy: go through `groups.unique()`."
    yield holes, (min(missing), average), (torch.nan, average), (torch.nan, torch.nan), (worst, torch.nan)
    yield "The two are exchanged: the worst group comes first.", (average, worst)
    yield "Return two numbers; this is the worst group alone.", worst
    yield "Return two numbers; this is the average alone.", average
    yield "That is the best group, not the worst.", (each.max(), average)
    rare = "You take the group that is rarest in training; the worst is the one with the lowest accuracy."
    yield rare, (each[sizes.argmin()], average)
    yield "Those are shares of errors; accuracies are wanted.", (1 - each.min(), 1 - average)
    number = "Return the accuracy in the worst group, not the group's number."
    yield number, (present[int(each.argmin())], average)
    summed = "Divide by the number of training samples: the shares add up to 1."
    yield summed, (worst, each @ sizes)
    counted = "Divide by the group's own size: an accuracy is a share of *its* samples."
    yield counted, (min(each * here) / len(right), average), (min(each * here) / len(right), each @ here / len(right))


def _weights() -> Iterator[tuple[Tensor, Tensor, float]]:
    """Weights q (groups,), risks (groups,) and η."""
    yield torch.tensor([0.25, 0.25, 0.25, 0.25]), torch.tensor([0.1, 2.0, 1.0, 0.1]), 0.5
    yield torch.tensor([0.7, 0.1, 0.2]), torch.tensor([0.2, 1.5, 0.4]), 1.0
    yield torch.tensor([0.1, 0.9]), torch.tensor([3.0, 0.5]), 0.1


@check(
    "group weights",
    "Multiply each weight by exp(η · its risk). What must all of them add up to?",
    _weights(),
)
def check_group_weights(shares: Tensor, risks: Tensor, step_size: float) -> Rows:
    """q (groups,), risks (groups,), η → the new q."""
    raised = shares * (step_size * risks).exp()
    yield RIGHT, reweigh(shares, risks, step_size)
    yield "The weights must add up to 1: divide by their sum.", raised
    down = shares * (-step_size * risks).exp()
    yield "The sign: a group with a *high* risk gains weight.", down / down.sum()
    forgotten = "You forget the weights so far: multiply `shares` by the exponentials."
    yield forgotten, torch.softmax(step_size * risks, 0)
    soft = "The softmax of `shares + η · risks` takes exp of the weights, too; softmax needs their logarithm."
    yield soft, torch.softmax(shares + step_size * risks, 0)
    added = shares + step_size * risks
    yield "You add; the step multiplies, q · exp(η R).", added / added.sum(), added
    linear = shares * (1 + step_size * risks)
    yield "1 + η R is only the beginning of the exponential.", linear / linear.sum(), linear
    straight = shares * step_size * risks
    yield "The exponential is missing: q · exp(η R).", straight / straight.sum(), straight, shares * risks
    whole = shares * risks.exp()
    yield "η is missing: q · exp(η R).", whole / whole.sum(), whole
    yield "Divide by the sum of the new weights, not by their largest.", raised / raised.max()
    yield "Divide by the sum of the new weights, not by their number.", raised / len(raised)
    hard = torch.nn.functional.one_hot(risks.argmax(), len(risks))
    yield "That is all weight on the worst group: a step of any size, not η.", hard.double()
    yield "The weights are as they were.", shares


def _batches() -> Iterator[tuple[Environment]]:
    yield (Environment("batch", torch.tensor([[1.0, 0], [0, 1], [1, 1]]), torch.tensor([0, 1, 1])),)
    inputs = torch.randn(6, 2, 3, generator=torch.Generator().manual_seed(9))
    yield (Environment("batch", inputs, torch.tensor([1, 0, 0, 1, 1, 0])),)


def _belonging(function: Callable[[Environment], Sequence[Environment]]) -> Callable[[Environment], Tensor]:
    """For each environment that a function returns: how often each sample of the batch is in it, times 1 + the label
    that it has there."""

    def belonging(samples: Environment) -> Tensor:
        made = function(samples)
        if made is None or isinstance(made, Tensor):
            return made
        every = [made] if isinstance(made, Environment) else list(made)
        if not all(isinstance(each, Environment) for each in every):
            raise Hint("Return environments: `samples.subset(…)` makes one of some of the samples.")
        if any(each.inputs.dim() < samples.inputs.dim() for each in every):
            raise Hint(
                "A batch of one is a batch, too: take `[i]` or `slice(i, i + 1)`, not `i`, which drops its axis."
            )
        rows = samples.inputs.flatten(1)
        found = [(each.inputs.flatten(1)[:, None] == rows).all(2).double() for each in every]
        return torch.stack([same.T @ (1.0 + each.labels).double() for same, each in zip(found, every, strict=True)])

    return belonging


@check(
    "batch of one",
    "`samples.subset(…)` takes the samples at some places. Which places has the first environment?",
    _batches(),
    probe=_belonging,
    compared="how often each sample (in columns) is in each environment (in rows), times 1 + its label there",
)
def check_singles(samples: Environment) -> Rows:
    """A batch → each of its samples as an environment of its own, in their order."""
    singles, n = samples.singly(), len(samples)
    yield RIGHT, singles
    yield "That is one environment; each sample needs one of its own.", [samples], samples
    yield "The order is turned round: the first sample comes first.", singles[::-1]
    yield "Each environment holds all samples.", [samples] * n
    by_label = [samples.subset(samples.labels == label) for label in (0, 1)]
    yield "Those are environments by label: whoever knows the environment knows the answer.", by_label
    yield "The same sample again and again.", [singles[0]] * n, [singles[-1]] * n
    yield "The last sample is missing.", singles[:-1]
    yield "The first sample is missing.", singles[1:]
    pairs = [samples.subset(slice(i, i + 2)) for i in range(0, n, 2)]
    yield "Those are environments of two samples; take one for each.", pairs
    grown = [samples.subset(slice(0, i + 1)) for i in range(n)]
    yield "Your environments grow: from i to i + 1, not from the start.", grown
    rest = [samples.subset(torch.arange(n) != i) for i in range(n)]
    yield "You leave one out of each; the one that you leave out is wanted.", rest
    alike = [[replace(each, labels=samples.labels[slice(i, i + 1)]) for each in singles] for i in (0, n - 1)]
    yield "All have the same label: take each sample's own.", *alike


@check(
    "background",
    "How many fish are there on this ground for each animal of the land? A logit is the logarithm of such odds.",
    [
        (torch.tensor([[4275.0, 225.0], [225.0, 4275.0]]),),
        (torch.tensor([[90.0, 10.0], [30.0, 50.0]]),),
        (torch.tensor([[1.0, 3.0], [20.0, 5.0], [8.0, 7.0]]),),
    ],
)
def check_background(counts: Tensor) -> Rows:
    """How many samples of label 0 and 1 there are in each place, (places, 2) → the best logit in each place,
    (places,)."""
    land, fish = counts.unbind(1)
    share = fish / (land + fish)
    yield RIGHT, (fish / land).log()
    yield "Those are the odds; a logit is their logarithm.", fish / land
    yield "That is the share of fish, a probability; a logit is the log of the odds.", share
    yield "That is the logarithm of a share; take that of the odds, share / (1 − share).", share.log()
    yield "The sign: label 1 is fish, so its count is the numerator.", (land / fish).log()
    yield "You compare places with one another; compare the labels within each place.", (counts[-1] / counts[0]).log()
    pooled = (fish.sum() / land.sum()).log()
    yield "That is the best constant for all places together; each place has its own.", pooled.expand_as(land), pooled
    yield "A difference of counts is no logit; take the logarithm of their ratio.", fish - land
    yield "That is a decision; say how sure one may be: the log-odds.", (fish > land).double(), (fish - land).sign()
    yield (
        "That logarithm has the base 2 or 10; the logit has the natural one.",
        (fish / land).log2(),
        (fish / land).log10(),
    )
    yield "A logit for each place is wanted, not one for each label.", counts.log()
