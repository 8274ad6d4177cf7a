"""What a run leaves behind: one flat record per watched step, and statistics over seeds."""

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean, stdev

from invtutor.files import finite, write_atomically

__all__ = ["GLOSSARY", "History", "Spread", "spread", "student_t"]

GLOSSARY = {
    "step": "optimizer steps taken; the batch metrics are from just before the last of them, the others from after it",
    "risk": "mean over training environments of the cross-entropy, in nats, on the step's batch",
    "meta risk": "meta-IRM: mean risk of the adapted parameters on the other environments of the step's batch, in nats",
    "kept": "AND-mask and its kin: share of the gradient that the mask lets pass, averaged over parameter tensors",
    "selected": "MAPLE: share of its training samples that the step's mask keeps",
    "penalty": "the method's penalty on the step's batch, before its weight",
    "penalty_weight": "the penalty's weight λ or β at this step",
    "learning_rate": "the optimizer's learning rate at this step",
    "train": "accuracy over all training samples, in [0, 1]",
    "test": "accuracy over all test samples, in [0, 1]",
    "test excess risk": "KL divergence from the expert's distribution to the model's, mean over test states, in nats",
    "blind excess risk": "the same, of one answer for all states: the expert's mean distribution in training",
    "mislabelled recalled": "share of training samples with a wrong label for which it is predicted, in [0, 1]",
    "mislabelled seen through": "share of training samples with a wrong label for which the true one is predicted",
    "train p=…": "accuracy in the training environment with that flip rate, in [0, 1]",
    "validation p=…": "accuracy in the validation environment with that flip rate, in [0, 1]",
    "validation risk p=…": "cross-entropy in the validation environment with that flip rate, in nats",
    "test … worst group": "accuracy in the worst group of that test environment, in [0, 1]",
    "test … average": "accuracy in that test environment, were its groups as large as in training, in [0, 1]",
    "validation worst group": "accuracy in the worst group of the validation, in [0, 1]",
    "validation worst class": "accuracy in the worst class of the validation, in [0, 1]",
    "validation average": "accuracy in the validation, were its groups as large as in training, in [0, 1]",
    "test p=…": "accuracy expected on the official test digits at that flip rate, exact over colors, in [0, 1]",
    "gray": "accuracy on the test digits with both channels lit: what the network knows about shape, in [0, 1]",
    "seconds": "wall-clock time of the training steps, in seconds",
}


class History:
    """Records of a run, in the order of their steps; names are those of `GLOSSARY`."""

    def __init__(self, records: Sequence[dict[str, float]] = ()):
        self.records: list[dict[str, float]] = list(records)

    def append(self, record: dict[str, float]) -> None:
        """Add one step's record."""
        self.records.append(record)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[dict[str, float]]:
        return iter(self.records)

    @property
    def last(self) -> dict[str, float]:
        """The record of the last watched step."""
        return self.records[-1]

    @property
    def names(self) -> list[str]:
        """Every name that occurs, in order of appearance."""
        return list(dict.fromkeys(name for record in self.records for name in record))

    def column(self, name: str) -> list[float]:
        """The values of one name, NaN where a step has none. Raises ValueError for a name that never occurs."""
        if name not in self.names:
            raise ValueError(f"Parameter `name` should be one of {', '.join(self.names)}. Found {name!r}.")
        return [record.get(name, math.nan) for record in self.records]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write JSON lines, atomically; a value that is not finite is null there, and NaN when it is read again."""
        write_atomically(path, "".join(json.dumps(finite(record), allow_nan=False) + "\n" for record in self.records))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "History":
        """Read what `save` wrote."""
        records = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
        return cls([{k: math.nan if v is None else v for k, v in record.items()} for record in records])


@dataclass(frozen=True)
class Spread:
    """A quantity over seeds: mean, sample standard deviation, 95 % interval of the mean, number of seeds.

    std: None with one seed. low, high: None with fewer than three.
    """

    mean: float
    std: float | None
    low: float | None
    high: float | None
    count: int

    def __str__(self) -> str:
        seeds = f"{self.count} seed{'s' * (self.count > 1)}"
        deviation = "" if self.std is None else f" ± {self.std:.3f}"
        interval = "" if self.low is None else f"95 % {self.low:.3f} to {self.high:.3f}, "
        return f"{self.mean:.3f}{deviation} ({interval}{seeds})"

    def percent(self) -> str:
        """As the papers print accuracies: `66.9 ± 2.5`; with one seed `66.9`."""
        return f"{100 * self.mean:.1f}" + ("" if self.std is None else f" ± {100 * self.std:.1f}")


def spread(values: Sequence[float]) -> Spread:
    """Summarize one value per seed. The interval is Student's: mean ± t · std / √count.

    It holds the true mean in 95 % of all such samples if the values are normal, and nearly so if they are mildly
    skewed. One value has neither deviation nor interval. Two have no interval: t is 12.7, and it would say nothing.
    Where a value is not finite, all numbers are NaN. Raises ValueError when there is none.
    """
    if not values:
        raise ValueError("Parameter `values` should hold at least one value. Found none.")
    count = len(values)
    if not all(map(math.isfinite, values)):
        return Spread(math.nan, math.nan, math.nan, math.nan, count)
    mean, std = fmean(values), stdev(values) if count > 1 else None
    if std is None or count < 3:
        return Spread(mean, std, None, None, count)
    reach = student_t(count - 1) * std / math.sqrt(count)
    return Spread(mean, std, mean - reach, mean + reach, count)


@cache
def student_t(freedom: int) -> float:
    """The t within whose reach Student's distribution holds 95 %, for 1, 2, … degrees of freedom.

    With whole degrees the share within ±t is a finite sum in the angle arctan(t/√ν) (Abramowitz and Stegun 1964,
    26.7.3 and 26.7.4); we bisect for the angle.
    """

    def within(angle: float) -> float:
        term, total = (math.cos(angle) if freedom % 2 else 1.0), 0.0
        for i in range(1 + freedom % 2, freedom, 2):
            total += term
            term *= math.cos(angle) ** 2 * i / (i + 1)
        inner = math.sin(angle) * total
        return 2 / math.pi * (angle + inner) if freedom % 2 else inner

    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle) < 0.95 else (low, middle)
    return math.sqrt(freedom) * math.tan(low)
