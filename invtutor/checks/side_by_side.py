"""Self-checks of lesson 08."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from invtutor.checks.verdict import Trial, check, near
from invtutor.selection import CRITERIA, Candidate, select

__all__ = ["check_paired_differences", "check_training_domains", "check_worst_rate"]


@check("paired differences", "Go through the seeds that both mappings have, and take the second from the first.")
def check_paired_differences(student: Callable[[Mapping[int, float], Mapping[int, float]], Any]) -> Iterator[Trial]:
    """student({seed: accuracy}, {seed: accuracy}) → first less second for every seed that both have, by seed."""
    found = student({0: 0.7, 1: 0.6}, {0: 0.5, 1: 0.3})
    yield hasattr(found, "__len__"), "Return one difference per seed, not one number: its spread is what we are after."
    yield not near(list(found), [-0.2, -0.3]), "The sign: the first less the second."
    yield near(list(found), [0.2, 0.3]), "Seeds 0 and 1 with 0.7, 0.6 and 0.5, 0.3 differ by 0.2 and 0.3."
    found = student({1: 0.6, 0: 0.7}, {0: 0.5, 1: 0.3})
    yield near(sorted(found), [0.2, 0.3]), "Pair by seed, not by place: the mappings need not have the same order."
    yield near(list(found), [0.2, 0.3]), "The differences are right; give them in the order of the seeds."
    found = student({0: 0.7, 1: 0.6, 5: 0.9}, {5: 0.5, 1: 0.3, 2: 0.1})
    hint = "A seed that only one of them has is no pair: leave it out."
    yield near(list(found), [0.3, 0.4]), hint


def _candidates(count: int, generator: random.Random) -> list[Candidate]:
    drawn = [[generator.random() for _ in range(6)] for _ in range(count)]
    return [Candidate("IRMv1", str(i), (a, b), (c, c), (d, e), f) for i, (a, b, c, d, e, f) in enumerate(drawn)]


@check("training domains", "Which candidate has the best mean of its `validation` accuracies? Return the candidate.")
def check_training_domains(student: Callable[[Sequence[Candidate]], Any]) -> Iterator[Trial]:
    """student(candidates) → the one with the best mean accuracy on held-out samples of the training environments."""
    generator, wanted = random.Random(8), CRITERIA["training domains"]
    clear = [  # every mistake picks another one
        Candidate("IRMv1", "a", (0.7, 0.7), (0.7, 0.7), (0.7, 0.7), 0.70),
        Candidate("IRMv1", "b", (0.9, 0.8), (0.8, 0.7), (0.9, 0.1), 0.10),
        Candidate("IRMv1", "c", (0.6, 0.5), (0.6, 0.6), (0.5, 0.6), 0.72),
        Candidate("IRMv1", "d", (0.3, 0.4), (0.5, 0.5), (0.5, 0.5), 0.50),
    ]
    for some in (clear, *(_candidates(count, generator) for count in (5, 9))):
        found = student(some)
        yield isinstance(found, Candidate), "Return the candidate itself, not its place or its accuracy."
        if found != select(some, wanted):
            yield (
                found != max(some, key=lambda c: c.test),
                "You look at `test`. That is the number nobody may choose by.",
            )
            yield found != select(some, CRITERIA["oracle"]), "That is the oracle's choice."
            yield found != min(some, key=wanted), "You return the worst candidate."
            yield False, "Take the mean of `validation` for each candidate, and the largest of these means."


@check("worst rate", "The accuracy is a straight line in p. Where is a straight line lowest?")
def check_worst_rate(student: Callable[[float, float, float, float], Any]) -> Iterator[Trial]:
    """student(agreeing, flipped, low, high) → the lowest expected accuracy at any flip rate p in [low, high]."""
    for agreeing, flipped in ((1.0, 0.0), (0.05, 0.9), (0.7, 0.7), (0.72, 0.66)):
        for low, high in ((0.0, 1.0), (0.1, 0.9), (0.3, 0.4)):
            ends = [(1 - p) * agreeing + p * flipped for p in (low, high)]
            found = float(student(agreeing, flipped, low, high))
            if near(found, min(ends)):
                continue
            hint = "It is not always `high`: a predictor that trusts reversed colors is worst at `low`."
            yield not near(found, ends[1]), hint
            yield not near(found, max(ends)), "That is the best rate of the interval."
            yield not near(found, sum(ends) / 2), "That is the mean over the interval."
            yield not near(found, min(agreeing, flipped)), "The ends of the interval are `low` and `high`, not 0 and 1."
            yield False, f"With {agreeing} and {flipped}, over p in [{low}, {high}], the lowest is {min(ends):.3f}."
