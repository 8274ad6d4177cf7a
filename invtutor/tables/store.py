"""Results, a file a run: programs add to one folder as they like, rewrite nothing, and lose one run to a kill.

A store travels packed, its results as lines of a file beside the folder: `quick/` and `quick.jsonl` are one store. Both
are read; the folder alone is added to.
"""

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from sys import intern
from typing import Any

import torch

from invtutor.fields import require
from invtutor.files import made_folder, own_folder, write_atomically, write_once
from invtutor.runs.recipe import Recipe
from invtutor.words import shown

__all__ = ["MEASURED", "Result", "Results", "Store"]

MEASURED = Path(__file__).parent / "measured" / "quick"
"""The results that come with the course: real MNIST, quick profile; `paper` beside it has the published one."""


_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)


def _shared(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; its names and words are in memory once, however many results have them."""
    return {intern(name): intern(value) if type(value) is str else value for name, value in pairs}


def _of_another_version(line: str | bytes) -> str:
    """What to say of a result that another version of this package has made; empty where none did."""
    try:
        made, ours = json.loads(line)["made"]["invtutor"], version("invtutor")
    except _UNREADABLE:
        return ""
    return f" (it was made by invtutor {shown(made)}, and this is {ours})" if made != ours else ""


def _rounded(record: Mapping[str, float]) -> dict[str, float]:
    """To five digits what is finite."""
    return {name: float(f"{value:.5g}") for name, value in record.items() if math.isfinite(value)}


@dataclass(frozen=True, eq=False)
class Result:
    """One run as it is kept.

    metrics: of the last step (`history.GLOSSARY`). cpu: processor seconds of the run, on all threads. made: device,
    digits, versions, date, profile. Of Colored MNIST also corners, the test accuracies with the color agreeing and
    flipped (with patches, one row per color), and validation, the same of its validation; else both are empty. history:
    the records of a recipe that asks for more than the last step.
    """

    recipe: Recipe
    metrics: Mapping[str, float]
    cpu: float
    made: Mapping[str, str]
    corners: Sequence[Any] = ()
    validation: Sequence[Any] = ()
    history: Sequence[Mapping[str, float]] = ()

    def value(self, column: str) -> float | None:
        """A metric, or `train`, the mean accuracy over the training environments, or one on the way, as in `test at
        50%` of the steps; None where it was not measured."""
        if " at " in column:
            name, share = column.split(" at ")
            due = float(share.rstrip("%")) / 100 * self.recipe.steps
            return next((record.get(name) for record in self.history if record["step"] >= due), None)
        train = [value for name, value in self.metrics.items() if name.startswith("train ")]
        return fmean(train) if column == "train" and train else self.metrics.get(column)

    def to_json(self) -> str:
        """One line; metrics to five digits, those that are finite."""
        values = {"recipe": json.loads(self.recipe.to_json()), "cpu": round(self.cpu, 2)}
        values |= {"metrics": _rounded(self.metrics), "history": [_rounded(record) for record in self.history]}
        said = {name: value for name, value in (vars(self) | values).items() if name != "history" or value}
        return json.dumps(said, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, line: str | bytes) -> "Result":
        """Read what `to_json` wrote. Raises one of `_UNREADABLE` for anything else."""
        values = json.loads(line, object_pairs_hook=_shared)
        result = cls(recipe=Recipe.from_values(values.pop("recipe")), **values)
        corners = {name: torch.tensor(getattr(result, name), dtype=torch.float64) for name in ("corners", "validation")}
        records = all(isinstance(record, dict) and "step" in record for record in result.history)
        require("history", records, "records by step", result.history)
        watched = [number for record in result.history for number in record.values()]
        accuracies = [number for some in corners.values() for number in some.flatten().tolist()]
        numbers = [*result.metrics.values(), *watched, *accuracies, result.cpu]
        known = all(type(number) in (int, float) and math.isfinite(number) for number in numbers)
        require("metrics", known and len(result.metrics) > 0, "finite numbers", numbers)
        require("metrics", all(map(str.isprintable, result.metrics)), "named by words", list(result.metrics))
        require("cpu", result.cpu >= 0, "seconds", result.cpu)
        for name, some in corners.items():
            require(name, some.shape in ((0,), (2,), (2, 2)), "two accuracies, or two times two", getattr(result, name))
        require("made", all(isinstance(word, str) for word in result.made.values()), "texts", result.made)
        return result


class Results(list[Result]):
    """What was asked for, of what is there. diverged: by the name of each run that ended otherwise, why."""

    def __init__(self, results: Iterable[Result] = (), diverged: Mapping[str, str] | None = None):
        super().__init__(results)
        self.diverged = dict(diverged or {})

    def to_frame(self) -> Any:
        """A `pandas.DataFrame` with a row for each run: what its recipe says, its metrics, what it cost and what made
        it. Raises ImportError where there is no pandas."""
        import pandas

        rows = []
        for result in self:
            recipe = result.recipe
            named = {"method": recipe.algorithm, "world": recipe.world, "network": recipe.network}
            made = {name: value for name, value in result.made.items() if name not in recipe.values}
            rows.append({**named, **recipe.values, **result.metrics, "cpu": result.cpu, **made})
        return pandas.DataFrame(rows)


class Store:
    """The results in a folder, each in a file that is named by its recipe's digest, and in the packed file beside it.
    What else is in the folder is left alone.

    Raises ValueError for what is no folder and, naming file and line, for a file that should hold results and does not.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        require("out", self.folder.is_dir() or not self.folder.exists(), "a folder for results", str(folder))
        named = self.folder.name not in ("", "..")  # `.` has its name from the folder above
        self.packed = Path(f"{self.folder if named else self.folder.resolve()}.jsonl")
        self._results: dict[str, Result] = {}
        self._seen: set[str] = set()
        for number, line in enumerate(self._lines(), start=1):
            if line.strip():
                self._read(line, f"{self.packed}, line {number}")
        self.refresh()

    def refresh(self) -> None:
        """Read what this program, or another, has added meanwhile."""
        for path in sorted(self.folder.glob("[0-9a-f]" * 20 + ".json")):
            self._look(path.stem)

    def _look(self, digest: str) -> None:
        """Read the file of this name, once it is there."""
        path = self.folder / f"{digest}.json"
        if digest not in self._seen and path.is_file():
            self._read(path.read_bytes(), str(path))
            self._seen.add(digest)

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
        except _UNREADABLE:
            wish = "a result of `invtutor reproduce`; mend or remove it, or choose another folder"
            raise ValueError(f"{place} is not {wish}{_of_another_version(line)}.") from None
        self._results[result.recipe.digest] = result

    def __len__(self) -> int:
        return len(self._results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self._results.values())

    def __contains__(self, recipe: Recipe) -> bool:
        """Also where another program has added it meanwhile. Raises ValueError where something else has its place."""
        if recipe.digest not in self._results:
            taken = os.path.lexists(place := self.folder / f"{recipe.digest}.json")
            self._look(recipe.digest)
            if taken and recipe.digest not in self._results:
                raise ValueError(f"{place} is in the way of the result of another recipe; move or remove it.")
        return recipe.digest in self._results

    def __getitem__(self, recipe: Recipe) -> Result:
        """The result of exactly this recipe, its seed and its device included."""
        return self._results[recipe.digest]

    def add(self, result: Result) -> None:
        """Keep a result, unless there is one of its recipe; the folder is made if need be."""
        with self.adding() as add:
            add(result)

    @contextmanager
    def adding(self) -> Iterator[Callable[[Result], None]]:
        """`add` for who adds many: one scratch folder serves them all."""
        with made_folder(self.folder), own_folder(self.folder) as scratch:

            def add(result: Result) -> None:
                digest = result.recipe.digest
                write_once(self.folder / f"{digest}.json", result.to_json() + "\n", scratch)
                self._look(digest)

            yield add

    def pack(self) -> None:
        """Write all that is there into the packed file; the folder is then no longer needed."""
        write_atomically(self.packed, "".join(result.to_json() + "\n" for result in self))
