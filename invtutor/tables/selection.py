"""Model selection: which of several trained candidates would one have chosen, and from what knowledge?

A method is only as good as the rule that picks its hyper-parameters (Gulrajani and Lopez-Paz 2021, §3). The rules here
are theirs, and one that trusts no single environment.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch

from invtutor.worlds.risks import accuracy_curve

__all__ = ["BY_GROUPS", "CRITERIA", "Candidate", "chosen", "ranking", "select"]


@dataclass(frozen=True)
class Candidate:
    """One setting of a method's hyper-parameters, trained, with all that a rule may look at. Accuracies in [0, 1].

    validation: on held-out samples of each training environment. left_out: in each training environment, by the same
    setting trained without it. corners: `World.validation_corners`, for the rules that know the test environment. test:
    what is reported in the end, and never looked at.
    """

    method: str
    setting: str
    validation: tuple[float, ...]
    left_out: tuple[float, ...]
    corners: tuple[float, float]
    test: float


def training_domains(candidate: Candidate) -> float:
    """Mean accuracy on held-out samples of the training environments."""
    return fmean(candidate.validation)


def leave_one_out(candidate: Candidate) -> float:
    """Mean accuracy in the environment that was left out."""
    return fmean(candidate.left_out)


def oracle(candidate: Candidate) -> float:
    """Accuracy at the test environment's flip rate, 0.9. Nobody has this at work."""
    return _line(candidate, 0.9)


def worst_case(candidate: Candidate) -> float:
    """The worse of p = 0.1 and p = 0.9: also oracle knowledge, but a predictor that trusts reversed colors fails it."""
    return min(_line(candidate, 0.1), _line(candidate, 0.9))


def _line(candidate: Candidate, rate: float) -> float:
    return accuracy_curve(torch.tensor(candidate.corners, dtype=torch.float64), [rate])[0]


Criterion = Callable[[Candidate], float]
CRITERIA: Mapping[str, Criterion] = {
    "training domains": training_domains,
    "leave one out": leave_one_out,
    "oracle": oracle,
    "worst case": worst_case,
}


BY_GROUPS: Mapping[str, str] = {
    "average, as in training": "validation average",
    "average": "validation",
    "worst class": "validation worst class",
    "worst group": "validation worst group",
}
"""In a world of groups: by name, the metric of which a rule picks the largest. The second and the third need no group
labels, but pictures in which groups are balanced; the first is what is held out of the training pictures."""


def select(candidates: Iterable[Candidate], criterion: Criterion) -> Candidate:
    """The candidate that the criterion likes best, the first of equals. Raises ValueError when there is none."""
    return max(candidates, key=criterion)


def chosen(candidates: Sequence[Candidate], criterion: Criterion) -> dict[str, Candidate]:
    """For each method, in order of appearance, its selected candidate."""
    methods = dict.fromkeys(candidate.method for candidate in candidates)
    return {method: select([c for c in candidates if c.method == method], criterion) for method in methods}


def ranking(candidates: Sequence[Candidate], criterion: Criterion) -> list[str]:
    """The methods as the rule itself would rank them, by its own score of what it picked for each, best first."""
    picked = chosen(candidates, criterion)
    return sorted(picked, key=lambda method: -criterion(picked[method]))
