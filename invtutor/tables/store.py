"""Results, a file a run: programs add to one folder as they like, rewrite nothing, and lose one run to a kill.

A store travels packed, its results as lines of a file beside the folder: `quick/` and `quick.jsonl` are one store. Both
are read; the folder alone is added to.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from invtutor.fields import require
from invtutor.files import made_folder, write_atomically, write_once
from invtutor.runs.recipe import Recipe

__all__ = ["MEASURED", "Result", "Store"]

MEASURED = Path(__file__).parent / "measured" / "quick"
"""The results that come with the course: real MNIST, quick profile."""


@dataclass(frozen=True, eq=False)
class Result:
    """One run as it is kept.

    metrics: of the last step (`history.GLOSSARY`). cpu: processor seconds of the run, on all threads. made: device,
    digits, versions, date, profile. Of Colored MNIST also corners, the test accuracies with the color agreeing and
    flipped (with patches, one row per color), and validation, `selection.validation_corners`; else these are empty.
    """

    recipe: Recipe
    metrics: Mapping[str, float]
    cpu: float
    made: Mapping[str, str]
    corners: Sequence[Any] = ()
    validation: Sequence[float] = ()

    def value(self, column: str) -> float | None:
        """A metric, or `train`, the mean accuracy over the training environments; None where it was not measured."""
        train = [value for name, value in self.metrics.items() if name.startswith("train ")]
        return fmean(train) if column == "train" and train else self.metrics.get(column)

    def to_json(self) -> str:
        """One line; metrics to five digits, those that are finite."""
        metrics = {name: float(f"{value:.5g}") for name, value in self.metrics.items() if math.isfinite(value)}
        values = {"recipe": json.loads(self.recipe.to_json()), "metrics": metrics, "cpu": round(self.cpu, 2)}
        return json.dumps(vars(self) | values, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, line: str | bytes) -> "Result":
        """Read what `to_json` wrote. Raises ValueError, KeyError, TypeError, AttributeError, OverflowError or
        RecursionError for anything else."""
        values = json.loads(line)
        result = cls(recipe=Recipe.from_json(json.dumps(values.pop("recipe"))), **values)
        corners = torch.tensor(result.corners, dtype=torch.float64)
        numbers = [*result.metrics.values(), *corners.flatten().tolist(), *result.validation, result.cpu]
        known = all(type(number) in (int, float) and math.isfinite(number) for number in numbers)
        require("metrics", known and len(result.metrics) > 0, "finite numbers", numbers)
        require("corners", corners.shape in ((0,), (2,), (2, 2)), "two accuracies, or two times two", result.corners)
        several = isinstance(result.validation, Sequence) and len(result.validation) in (0, 2)
        require("validation", several, "two accuracies, or none", result.validation)
        require("made", all(isinstance(word, str) for word in result.made.values()), "texts", result.made)
        return result


class Store:
    """The results in a folder, each in a file that is named by its recipe's digest, and in the packed file beside it.
    What else is in the folder is left alone.

    Raises ValueError for what is no folder and, naming file and line, for a file that should hold results and does not.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        require("out", self.folder.is_dir() or not self.folder.exists(), "a folder for results", str(folder))
        self.packed = Path(f"{self.folder}.jsonl")
        self._results: dict[str, Result] = {}
        self._seen: set[Path] = set()
        for number, line in enumerate(self._lines(), start=1):
            if line.strip():
                self._read(line, f"{self.packed}, line {number}")
        self.refresh()

    def refresh(self) -> None:
        """Read what this program, or another, has added meanwhile."""
        for path in sorted(set(self.folder.glob("[0-9a-f]" * 20 + ".json")) - self._seen):
            self._read(path.read_bytes(), str(path))
            self._seen.add(path)

    def _lines(self) -> list[bytes]:
        """Those of the packed file. Once they were appended: what a kill left of the last one does not count."""
        lines = self.packed.read_bytes().split(b"\n") if self.packed.is_file() else []
        if not lines or not lines[-1].startswith(b'{"recipe": {'):
            return lines
        try:
            json.loads(lines[-1])
        except (ValueError, RecursionError):
            return lines[:-1]
        return lines

    def _read(self, line: bytes, place: str) -> None:
        try:
            result = Result.from_json(line)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            wish = "a result of `invtutor reproduce`; mend or remove it, or choose another folder"
            raise ValueError(f"{place} is not {wish}.") from None
        self._results[result.recipe.digest] = result

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self._results.values())

    def __contains__(self, recipe: Recipe) -> bool:
        return recipe.digest in self._results

    def __getitem__(self, recipe: Recipe) -> Result:
        """The result of exactly this recipe, its seed and its device included."""
        return self._results[recipe.digest]

    def add(self, result: Result) -> None:
        """Keep a result, unless there is one of its recipe; the folder is made if need be."""
        with made_folder(self.folder):
            write_once(self.folder / f"{result.recipe.digest}.json", result.to_json() + "\n")
        self.refresh()

    def pack(self) -> None:
        """Write all that is there into the packed file; the folder is then no longer needed."""
        write_atomically(self.packed, "".join(result.to_json() + "\n" for result in self))
