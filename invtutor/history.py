"""What a run leaves behind: one flat record per watched step, and statistics over seeds."""

import json
import math
import os
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

__all__ = ["GLOSSARY", "History", "Spread", "spread", "write_atomically"]

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
    "train p=…": "accuracy in the training environment with that flip rate, in [0, 1]",
    "validation p=…": "accuracy in the validation environment with that flip rate, in [0, 1]",
    "validation risk p=…": "cross-entropy in the validation environment with that flip rate, in nats",
    "test p=…": "accuracy expected on the official test digits at that flip rate, exact over colors, in [0, 1]",
    "gray": "accuracy on the test digits with both channels lit: what the network knows about shape, in [0, 1]",
    "seconds": "wall-clock time of the training steps, in seconds",
}


def write_atomically(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file so that a reader sees the old file or the whole new one, never a part."""
    target = Path(path)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(temporary, 0o644)  # mkstemp makes files private
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


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
        """Write JSON lines, atomically."""
        write_atomically(path, "".join(json.dumps(record) + "\n" for record in self.records))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "History":
        """Read what `save` wrote."""
        return cls([json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()])


@dataclass(frozen=True)
class Spread:
    """A quantity over seeds: mean, sample standard deviation, 95 % bootstrap interval of the mean, number of seeds."""

    mean: float
    std: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.std:.3f} (95 % {self.low:.3f} to {self.high:.3f}, {self.count} seeds)"

    def percent(self) -> str:
        """As the papers print accuracies: `66.9 ± 2.5`."""
        return f"{100 * self.mean:.1f} ± {100 * self.std:.1f}"


def spread(values: Sequence[float], *, draws: int = 2000) -> Spread:
    """Summarize one value per seed. The interval is the percentile bootstrap of the mean, with a fixed generator.

    With one value the deviation is 0 and the interval is that value; where one is not finite, all is NaN. Raises
    ValueError when there is none.
    """
    if not values:
        raise ValueError("Parameter `values` should hold at least one value. Found none.")
    if not all(map(math.isfinite, values)):
        return Spread(math.nan, math.nan, math.nan, math.nan, len(values))
    generator = random.Random(0)
    means = sorted(fmean(generator.choices(values, k=len(values))) for _ in range(draws))
    low, high = means[round(0.025 * (draws - 1))], means[round(0.975 * (draws - 1))]
    return Spread(fmean(values), stdev(values) if len(values) > 1 else 0.0, low, high, len(values))
