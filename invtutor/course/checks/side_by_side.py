"""Self-checks of lesson 08. What is decorated is the right answer; see `verdict.check`."""

import random
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from invtutor.course.checks.verdict import check
from invtutor.tables.selection import CRITERIA, Candidate, select

__all__ = ["check_paired_differences", "check_training_domains", "check_worst_rate"]

Seeds = Mapping[int, float]


def _pairs() -> Iterator[tuple[Seeds, Seeds]]:
    yield {0: 0.7, 1: 0.6}, {0: 0.5, 1: 0.9}
    yield {1: 0.6, 0: 0.7}, {0: 0.5, 1: 0.3}
    yield {0: 0.7, 1: 0.6, 5: 0.9}, {5: 0.5, 1: 0.3, 2: 0.1}


def _common(first: Seeds, second: Seeds) -> list[int]:
    return sorted(first.keys() & second.keys())


@check(
    "paired differences",
    "Go through the seeds that both mappings have, and take the second from the first.",
    examples=_pairs,
    mistakes={
        "Return one difference per seed, not one number: its spread is what we are after.": (
            lambda a, b: fmean(a[s] - b[s] for s in _common(a, b)),
            lambda a, b: sum(a[s] - b[s] for s in _common(a, b)),
            lambda a, b: sum(a.values()) - sum(b.values()),
            lambda a, b: fmean(a.values()) - fmean(b.values()),
        ),
        "The sign is turned round: the first less the second.": lambda a, b: [b[s] - a[s] for s in _common(a, b)],
        "A difference has a sign: the second may be the better one.": lambda a, b: [
            abs(a[s] - b[s]) for s in _common(a, b)
        ],
        "Pair by seed, not by place: the mappings need not have the same order.": (
            lambda a, b: [x - y for x, y in zip(a.values(), b.values(), strict=False)]
        ),
        "Pair by seed: you sort the accuracies themselves.": (
            lambda a, b: [x - y for x, y in zip(sorted(a.values()), sorted(b.values()), strict=False)]
        ),
        "The differences are right; give them in the order of the seeds.": (
            lambda a, b: [a[s] - b[s] for s in a if s in b],
            lambda a, b: [a[s] - b[s] for s in b if s in a],
        ),
        "A seed that only one of them has is no pair: leave it out.": (
            lambda a, b: [a[s] - b.get(s, 0) for s in sorted(a)],
            lambda a, b: [a.get(s, 0) - b.get(s, 0) for s in sorted(a.keys() | b.keys())],
            lambda a, b: [a.get(s, 0) - b[s] for s in sorted(b)],
        ),
        "Return the differences alone, in order: no mapping.": (
            lambda a, b: {s: a[s] - b[s] for s in _common(a, b)},
            lambda a, b: {s: a[s] - b[s] for s in a if s in b},
        ),
        "Those are the seeds that both have; their differences are wanted.": _common,
        "You give the first's accuracies; take the second's from them.": lambda a, b: [a[s] for s in _common(a, b)],
    },
)
def check_paired_differences(first: Seeds, second: Seeds) -> list[float]:
    """{seed: accuracy}, {seed: accuracy} → first less second for every seed that both have, by seed."""
    return [first[seed] - second[seed] for seed in _common(first, second)]


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
    examples=_candidates,
    mistakes={
        "You choose by `test`. That is the number nobody may choose by.": lambda some: max(some, key=lambda c: c.test),
        "That is the oracle's choice: it looks at `corners`.": lambda some: select(some, CRITERIA["oracle"]),
        "That is the choice of the worst case: it looks at `corners`.": lambda some: select(
            some, CRITERIA["worst case"]
        ),
        "That is leave-one-out's choice: it looks at `left_out`.": lambda some: select(some, CRITERIA["leave one out"]),
        "You return the worst candidate.": lambda some: min(some, key=CRITERIA["training domains"]),
        "You choose by the best of the validation environments; take their mean.": (
            lambda some: max(some, key=lambda c: max(c.validation))
        ),
        "You choose by the worst of the validation environments; take their mean.": (
            lambda some: max(some, key=lambda c: min(c.validation))
        ),
        "You choose by the first validation environment; take the mean of all.": (
            lambda some: max(some, key=lambda c: c.validation[0]),
            lambda some: max(some, key=lambda c: c.validation),
        ),
        "You choose by the last validation environment; take the mean of all.": (
            lambda some: max(some, key=lambda c: c.validation[-1])
        ),
        "Return the candidate itself, not its place.": (
            lambda some: some.index(select(some, CRITERIA["training domains"]))
        ),
        "Return the candidate itself, not its accuracy.": (
            lambda some: max(map(CRITERIA["training domains"], some)),
            lambda some: select(some, CRITERIA["training domains"]).test,
        ),
        "Return the candidate itself, not the name of its setting.": (
            lambda some: select(some, CRITERIA["training domains"]).setting
        ),
        "That is the first candidate, whatever its accuracies.": lambda some: some[0],
        "That is the last candidate, whatever its accuracies.": lambda some: some[-1],
    },
)
def check_training_domains(candidates: Sequence[Candidate]) -> Candidate:
    """→ the candidate with the best mean accuracy on held-out samples of the training environments."""
    return select(candidates, CRITERIA["training domains"])


def _lines() -> Iterator[tuple[float, float, float, float]]:
    for agreeing, flipped in ((1.0, 0.0), (0.05, 0.9), (0.7, 0.7), (0.72, 0.66)):
        yield from ((agreeing, flipped, low, high) for low, high in ((0.1, 0.9), (0.3, 0.4), (0.0, 1.0)))


def _at(agreeing: float, flipped: float, rate: float) -> float:
    return (1 - rate) * agreeing + rate * flipped


@check(
    "worst rate",
    "The accuracy is a straight line in p. Where is a straight line lowest?",
    examples=_lines,
    mistakes={
        "It is not always `high`: a predictor that trusts reversed colors is worst at `low`.": (
            lambda a, f, low, high: _at(a, f, high)
        ),
        "It is not always `low`: a predictor that trusts colors is worst at `high`.": (
            lambda a, f, low, high: _at(a, f, low)
        ),
        "That is the best rate of the interval.": lambda a, f, low, high: max(_at(a, f, low), _at(a, f, high)),
        "That is the mean over the interval.": lambda a, f, low, high: _at(a, f, (low + high) / 2),
        "The ends of the interval are `low` and `high`, not 0 and 1.": lambda a, f, low, high: min(a, f),
        "The shares are exchanged: a share p of the digits wears the *flipped* color.": (
            lambda a, f, low, high: min(_at(f, a, low), _at(f, a, high))
        ),
        "Return the accuracy there, not the rate.": (
            lambda a, f, low, high: low if _at(a, f, low) < _at(a, f, high) else high,
            lambda a, f, low, high: low if _at(a, f, low) <= _at(a, f, high) else high,
        ),
        "Return one number, the lower of the two ends.": (
            lambda a, f, low, high: (_at(a, f, low), _at(a, f, high)),
            lambda a, f, low, high: [_at(a, f, low), _at(a, f, high)],
        ),
        "You multiply each accuracy by a rate; at one p, both kinds of digits count: (1 − p)·a + p·f.": (
            lambda a, f, low, high: min((1 - low) * a, high * f),
            lambda a, f, low, high: min(low * a, high * f),
        ),
    },
)
def check_worst_rate(agreeing: float, flipped: float, low: float, high: float) -> float:
    """→ the lowest expected accuracy at any flip rate p in [low, high]."""
    return min(_at(agreeing, flipped, low), _at(agreeing, flipped, high))
