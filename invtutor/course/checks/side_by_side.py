"""Self-checks of lesson 08; see `verdict` for what a row is."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean

from invtutor.course.checks.verdict import RIGHT, Rows, check
from invtutor.tables.selection import CRITERIA, Candidate, select

__all__ = ["check_paired_differences", "check_training_domains", "check_worst_rate"]

Seeds = Mapping[int, float]


@check(
    "paired differences",
    "Go through the seeds that both mappings have, and take the second from the first.",
    [
        ({0: 0.7, 1: 0.6}, {0: 0.5, 1: 0.9}),
        ({1: 0.6, 0: 0.7}, {0: 0.5, 1: 0.3}),
        ({0: 0.7, 1: 0.6, 5: 0.9}, {5: 0.5, 1: 0.3, 2: 0.1}),
    ],
)
def check_paired_differences(first: Seeds, second: Seeds) -> Rows:
    """{seed: accuracy}, {seed: accuracy} → first less second for every seed that both have, by seed."""
    a, b = first, second
    common = sorted(a.keys() & b.keys())
    pairs = {s: a[s] - b[s] for s in common}
    right = list(pairs.values())
    yield RIGHT, right
    one = fmean(right), sum(right), sum(a.values()) - sum(b.values()), fmean(a.values()) - fmean(b.values())
    yield "Return one difference per seed, not one number: its spread is what we are after.", *one
    yield "The sign is turned round: the first less the second.", [-one for one in right]
    yield "A difference has a sign: the second may be the better one.", [*map(abs, right)]
    by_place = [x - y for x, y in zip(a.values(), b.values(), strict=False)]
    yield "Pair by seed, not by place: the mappings need not have the same order.", by_place
    by_size = [x - y for x, y in zip(sorted(a.values()), sorted(b.values()), strict=False)]
    yield "Pair by seed: you sort the accuracies themselves.", by_size
    in_order = [pairs[s] for s in a if s in b], [pairs[s] for s in b if s in a]
    yield "The differences are right; give them in the order of the seeds.", *in_order
    seeds = sorted(a), sorted(a.keys() | b.keys()), sorted(b)
    filled = [[a.get(s, 0) - b.get(s, 0) for s in some] for some in seeds]
    yield "A seed that only one of them has is no pair: leave it out.", *filled
    yield "Return the differences alone, in order: no mapping.", pairs
    yield "Those are the seeds that both have; their differences are wanted.", common
    yield "You give the first's accuracies; take the second's from them.", [a[s] for s in common]


def _candidates() -> Iterator[tuple[Sequence[Candidate]]]:
    generator = random.Random(8)
    yield (
        [
            Candidate("IRMv1", "a", (0.7, 0.7), (0.7, 0.7), (0.7, 0.7), 0.70),
            Candidate("IRMv1", "b", (0.9, 0.8), (0.8, 0.7), (0.9, 0.1), 0.10),
            Candidate("IRMv1", "c", (0.6, 0.5), (0.6, 0.6), (0.5, 0.6), 0.72),
            Candidate("IRMv1", "d", (0.95, 0.4), (0.9, 0.9), (0.5, 0.5), 0.50),
        ],
    )
    for count in (5, 9, 9, 9):
        drawn = [[round(generator.random(), 2) for _ in range(7)] for _ in range(count)]
        yield (
            [Candidate("V-REx", str(i), (a, b), (c, g), (d, e), f) for i, (a, b, c, d, e, f, g) in enumerate(drawn)],
        )


@check(
    "training domains",
    "Which candidate has the best mean of its `validation` accuracies? Return the candidate.",
    _candidates(),
)
def check_training_domains(candidates: Sequence[Candidate]) -> Rows:
    """→ the candidate with the best mean accuracy on held-out samples of the training environments."""
    mean = CRITERIA["training domains"]
    right = select(candidates, mean)

    def best(score: Callable[[Candidate], object]) -> Candidate:
        return max(candidates, key=score)  # type: ignore[arg-type]

    yield RIGHT, right
    yield "You choose by `test`. That is the number nobody may choose by.", best(lambda c: c.test)
    yield "That is the oracle's choice: it looks at `corners`.", select(candidates, CRITERIA["oracle"])
    yield "That is the choice of the worst case: it looks at `corners`.", select(candidates, CRITERIA["worst case"])
    yield "That is leave-one-out's choice: it looks at `left_out`.", select(candidates, CRITERIA["leave one out"])
    yield "You return the worst candidate.", min(candidates, key=mean)
    highest, lowest = best(lambda c: max(c.validation)), best(lambda c: min(c.validation))
    yield "You choose by the best of the validation environments; take their mean.", highest
    yield "You choose by the worst of the validation environments; take their mean.", lowest
    first = best(lambda c: c.validation[0]), best(lambda c: c.validation)
    yield "You choose by the first validation environment; take the mean of all.", *first
    yield "You choose by the last validation environment; take the mean of all.", best(lambda c: c.validation[-1])
    yield "Return the candidate itself, not its place.", candidates.index(right)
    yield "Return the candidate itself, not its accuracy.", mean(right), right.test
    yield "Return the candidate itself, not the name of its setting.", right.setting
    yield "That is the first candidate, whatever its accuracies.", candidates[0]
    yield "That is the last candidate, whatever its accuracies.", candidates[-1]


@check(
    "worst rate",
    "The accuracy is a straight line in p. Where is a straight line lowest?",
    [
        (agreeing, flipped, low, high)
        for agreeing, flipped in ((1.0, 0.0), (0.05, 0.9), (0.7, 0.7), (0.72, 0.66))
        for low, high in ((0.1, 0.9), (0.3, 0.4), (0.0, 1.0))
    ],
)
def check_worst_rate(agreeing: float, flipped: float, low: float, high: float) -> Rows:
    """→ the lowest expected accuracy at any flip rate p in [low, high]."""
    a, f = agreeing, flipped

    def at(p: float) -> float:
        return (1 - p) * a + p * f

    left, right = at(low), at(high)
    yield RIGHT, min(left, right)
    yield "It is not always `high`: a predictor that trusts reversed colors is worst at `low`.", right
    yield "It is not always `low`: a predictor that trusts colors is worst at `high`.", left
    yield "That is the best rate of the interval.", max(left, right)
    yield "That is the mean over the interval.", (left + right) / 2
    yield "The ends of the interval are `low` and `high`, not 0 and 1.", min(a, f)
    exchanged = min(at(1 - low), at(1 - high))
    yield "The shares are exchanged: a share p of the digits wears the *flipped* color.", exchanged
    rates = low if left < right else high, low if left <= right else high
    yield "Return the accuracy there, not the rate.", *rates
    yield "Return one number, the lower of the two ends.", (left, right)
    product = "You multiply each accuracy by a rate; at one p, both kinds of digits count: (1 − p)·a + p·f."
    yield product, min((1 - low) * a, high * f), min(low * a, high * f)
