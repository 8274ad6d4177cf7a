"""What the cells of a lesson call: begin, guess, build, check, show, picture, claim, finish.

A lesson is an ordinary notebook, run by a student, by nbval and by papermill alike. This module gives the three the
same path: one line that says what is used, claims that are judged where they can be, one result at the end.
"""

import base64
import inspect
import json
import math
import os
import platform
import re
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from IPython.display import Markdown, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import invtutor
from invtutor import figures
from invtutor.algorithms import ALGORITHMS, Algorithm
from invtutor.course import lessons
from invtutor.course.checks import Verdict
from invtutor.course.reading import VIEW
from invtutor.fields import Range, fit, knobs, require
from invtutor.files import finite, is_sealed, sealed, write_atomically
from invtutor.runs.budgets import PROFILES
from invtutor.runs.history import spread
from invtutor.runs.loop import Schedule
from invtutor.runs.recipe import Recipe, find_device, parameter
from invtutor.runs.run import Run, run
from invtutor.worlds import WORLDS
from invtutor.worlds.digits import Digits, load_digits

__all__ = ["STANDARD", "Sitting", "begin", "peak_memory", "picture", "show", "table"]

STANDARD: Mapping[str, object] = {
    "flip_rates": [0.1, 0.2],
    "label_noise": 0.25,
    "penalty_weight": 1e4,
    "inner_rate": 0.2,  # meta-IRM's, as in its quick recipe
    "deviation_weight": 1.6,
}
"""The setting that the prose speaks of. Claims are judged in it alone; each parameters cell starts from it."""

SEEDS = {"smoke": 2, "quick": 3, "paper": 10}

Built = TypeVar("Built", bound=Callable[..., Any])


def show(*objects: object, folded: str = "") -> None:
    """Display the library's own source of classes and functions, so that text and library cannot part.

    folded: a line to unfold it by, where a student is to write his own first and to compare then.
    """
    for thing in objects:
        code = f"```python\n{textwrap.dedent(inspect.getsource(thing)).rstrip()}\n```"  # type: ignore[arg-type]
        display(Markdown(f"<details><summary>{folded}</summary>\n\n{code}\n\n</details>" if folded else code))


def table(rows: Mapping[str, Mapping[str, object]], corner: str = "") -> None:
    """Display a table: a line for each row, with its columns in the order of the first; a row may lack some.

    corner: what stands over the names of the rows. Numbers are shown as they are given: format them before.
    """
    columns = list(next(iter(rows.values()), {}))
    lines = [[name, *(str(row.get(column, "")) for column in columns)] for name, row in rows.items()]
    every = [[corner, *columns], *lines]
    widths = [max(map(len, column)) for column in zip(*every, strict=True)]
    plain = "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in every)
    ruled = [every[0], ["---"] + ["---:"] * len(columns), *lines]
    markdown = "\n".join(f"| {' | '.join(line)} |" for line in ruled)
    display({"text/markdown": markdown, "text/plain": plain}, raw=True)


class Pictured(Protocol):
    """A panel, for whose widgets its present picture can stand."""

    def picture(self) -> Figure: ...


def picture(drawing: Figure | Axes | Pictured, alt: str) -> None:
    """Display a figure as PNG with the text that stands for it where it cannot be seen.

    A panel's picture is for where no widget can be shown (GitHub, paper): where they can, the panel itself is seen.
    """
    bundle: dict[str, Any] = {"text/plain": alt}
    if not isinstance(drawing, Figure | Axes):
        drawing = drawing.picture()
        bundle[VIEW] = {"version_major": 2, "version_minor": 0, "model_id": ""}  # shown as nothing at all
    figure = drawing.figure if isinstance(drawing, Axes) else drawing
    bundle["image/png"] = base64.b64encode(figures.png(figure)).decode()  # type: ignore[arg-type]
    display(bundle, metadata={"image/png": {"alt": alt}}, raw=True)


def peak_memory() -> float:
    """The most memory that this process has held so far, in MB of 10⁶ bytes; NaN where the system does not tell."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux, whose getrusage would count what the parent held before it started us
        found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
        return 1024 * float(found[1]) / 1e6 if found else math.nan
    try:
        import resource
    except ImportError:  # Windows
        return math.nan
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # bytes on macOS


class Sitting:
    """A lesson under way, made by `begin`.

    profile, seed, device, digits: as resolved. seeds: how many are trained, by the parameter of that name or by the
    profile. exercises: the last verdict on each, by its name. guesses: what the student expected, by question and what
    it is asked of; None where he did not say.
    """

    def __init__(self, name: str, profile: str, seed: int, device: str, digits: Digits, parameters: dict[str, Any]):
        self.name, self.profile, self.seed, self.device, self.digits = name, profile, seed, device, digits
        self.parameters = parameters
        self.seeds: int = parameters.get("seeds") or SEEDS[profile]
        self.claims: dict[str, dict[str, Any]] = {}
        self.exercises: dict[str, Verdict] = {}
        self.guesses: dict[tuple[str, str], float | None] = {}
        self._outcomes: dict[tuple[str, str], float] = {}
        self._start = time.perf_counter()

    @cached_property
    def unjudged(self) -> str:
        """Why claims are only shown in this run; empty where they are judged."""
        if self.profile == "smoke":
            return "the smoke profile is too small"
        if self.digits.source != "mnist":
            return "these digits are not MNIST"
        other = [k for k, v in STANDARD.items() if k in self.parameters and self.parameters[k] != v]
        return f"{', '.join(other)} is not the lesson's own" if other else ""

    def recipe(self, method: str | type[Algorithm], **changes: Any) -> Recipe:
        """The profile's recipe for a method, on Colored MNIST with the lesson's parameters unless the changes, as for
        `Recipe.profile`, name another `world`, which takes those that it has.

        method: a name of `ALGORITHMS`, or a class, such as one that the student has just written. Its `trained_like`
        names the method whose steps and annealing it takes.
        """
        if isinstance(method, type):
            method = ALGORITHMS.enroll(method)
        world = changes.get("world", Recipe.world)
        own = ("flip_rates", "label_noise") if world == Recipe.world else ()
        values = {"source": self.digits.source} | {k: self.parameters[k] for k in own if k in self.parameters}
        known = knobs(WORLDS[world]) if world in WORLDS else {}
        given = {name: value for name, value in values.items() if name in known}
        return Recipe.profile(self.profile, method, **{"device": self.device, "seed": self.seed} | given | changes)

    def train(self, recipe: Recipe, seeds: int | None = None, **acting: Schedule) -> list[Run]:
        """Run a recipe for this lesson's number of seeds, with a progress bar for each.

        seeds: at most so many, where fewer are enough.
        acting: functions of the step in place of the recipe's schedules, such as ``penalty_weight=my_annealing``.
        """
        every = [recipe.but(seed=recipe.seed + i) for i in range(min(seeds or self.seeds, self.seeds))]
        data = self.digits if recipe.world == Recipe.world else None  # other worlds load their own
        return [run(each, data=data, acting=acting) for each in every]

    # ----------------------------------------------------------------------------------- what the student does

    def check(self, own: Callable[..., Any], check: Callable[[Callable[..., Any]], Verdict]) -> Verdict:
        """The verdict of a self-check on what a student wrote; the last on each exercise is a mark in `result.json`.

        own: his function or class. check: one of `course.checks`.
        """
        verdict = check(own)
        self.exercises[verdict.exercise] = verdict
        return verdict

    def build(self, own: Built, check: Callable[[Callable[..., Any]], Verdict], library: Built) -> Built:
        """What the lesson goes on with: the student's own where it passes its check, else the library's.

        It says in one line which of them, and what the check found. `slope = lesson.build(my_slope,
        checks.check_slope, irmv1.slope)` stands below a stub, and the cells that follow call `slope`: with an untouched
        stub the lesson runs to its end, and whoever fills it in uses his own.
        """
        verdict = self.check(own, check)
        if verdict:
            print(f"{verdict} From here on the lesson uses yours.")
            return own
        print(f"{verdict} The lesson goes on with the library's.")
        return library

    def guess(self, question: str, /, limits: tuple[float, float] = (0.0, 1.0), **values: float | None) -> None:
        """Keep what the student expects, before it is measured: ``lesson.guess("accuracy at p = 0.9", ERM=None)``,
        where a number takes the place of None; in a name "_" stands for a space. `compare` answers. A guess is no mark.

        limits: between which numbers it lies. Raises ValueError for a value outside, or none.
        """
        asked = {_spaced(name): fit(name, float | None, value, Range(*limits)) for name, value in values.items()}
        self.guesses |= {(question, name): value for name, value in asked.items()}
        told = [f"{name} {value:g}" for name, value in asked.items() if value is not None]
        print(f"{question}: you expect {', '.join(told)}." if told else f"{question}: no guess. You may go on without.")

    def compare(
        self, question: str, /, limits: tuple[float, float] = (0.0, 1.0), **results: float | Sequence[float]
    ) -> None:
        """Show what was measured beside what was guessed, in one picture.

        results: for each that was asked of, one number per seed, or a single one.
        """
        found = {
            _spaced(name): [value] if isinstance(value, int | float) else list(value) for name, value in results.items()
        }
        guesses = {name: self.guesses.get((question, name)) for name in found}
        for name, values in found.items():
            self._outcomes[question, name] = spread(values).mean
        picture(*figures.guessed(question, guesses, found, limits))

    def claim(self, statement: str, values: float | Sequence[float], low: float, high: float) -> None:
        """Hold a statement of the prose against its measurement: the mean over seeds must lie in [low, high].

        values: one number per seed, or a single number, such as a closed form. A claim that is made again, by a cell
        that is run again, takes the place of the former. Raises AssertionError where the mean lies outside; in a
        setting that the prose does not speak of, the numbers are shown and not judged.
        """
        alone = isinstance(values, int | float)
        measured = spread([float(values)] if alone else list(values))  # type: ignore[arg-type]
        holds = low <= measured.mean <= high
        deviation = "" if measured.std is None else f" ± {measured.std:.3f}"
        seeds = "" if alone else f" over {measured.count} seeds" if measured.count > 1 else ", one seed"
        numbers, band = f"{measured.mean:.3f}{deviation}{seeds}", f"[{low:g}, {high:g}]"
        verdict = "not judged" if self.unjudged else "holds" if holds else "FAILS"
        self.claims.pop(statement, None)
        self.claims[statement] = {
            "statement": statement,
            "mean": measured.mean,
            "band": [low, high],
            "verdict": verdict,
        }
        if self.unjudged:
            print(f"– {statement}: {numbers} (expected in {band}; not judged: {self.unjudged})")
        elif holds:
            print(f"✓ {statement}: {numbers}, in {band}")
        else:
            raise AssertionError(f"{statement}: {numbers} lies outside {band}")

    def finish(
        self, headline: str, *, table: Mapping[str, Mapping[str, float]] | None = None, **metrics: float
    ) -> None:
        """Close the lesson: say what it cost, show the result to tools, and write `result.json` where `out_dir` asks.

        headline: the lesson's one figure in words. table: {method: {"p=0.1": accuracy, …}} for the course's closing
        table. `exercises` in it has a mark for each exercise that was checked: done, hint or untouched; `hints`
        what those with a hint were told; `guesses` what was expected, and what came.
        """
        seconds, memory = time.perf_counter() - self._start, peak_memory()
        result = {
            "lesson": self.name,
            "parameters": self.parameters,
            "profile": self.profile,
            "seed": self.seed,
            "seeds": self.seeds,
            "digits": self.digits.source,
            "device": device_name(self.device),
            "threads": torch.get_num_threads(),
            "headline": headline,
            "metrics": {**metrics, "table": {k: dict(v) for k, v in (table or {}).items()}},
            "claims": list(self.claims.values()),
            "exercises": {name: verdict.mark for name, verdict in self.exercises.items()},
            "hints": {name: verdict.message for name, verdict in self.exercises.items() if verdict.mark == "hint"},
            "guesses": [
                {"question": question, "of": name, "guess": guess, "result": self._outcomes.get((question, name))}
                for (question, name), guess in self.guesses.items()
            ],
            "seconds": round(seconds, 2),
            "peak_memory_mb": round(memory, 1),
            "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "versions": {
                "invtutor": version("invtutor"),
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        }
        result = finite(result)
        text = f"{headline} · {self._count()} · {seconds:.0f} s"
        text += "" if math.isnan(memory) else f", peak memory {memory:.0f} MB"
        display({"application/vnd.invtutor.result+json": result, "text/plain": text}, raw=True)
        if out_dir := self.parameters.get("out_dir"):
            Path(out_dir).mkdir(parents=True, exist_ok=True)
            _require_free(out_dir, self.name)
            write_atomically(Path(out_dir) / "result.json", sealed(json.dumps(result, allow_nan=False)))

    def _count(self) -> str:
        verdicts = [claim["verdict"] for claim in self.claims.values()]
        judged, failed = len(verdicts) - verdicts.count("not judged"), verdicts.count("FAILS")
        if failed:
            return f"{failed} of {judged} judged claims FAIL"
        return f"{judged} of {len(verdicts)} claims judged" + (", all hold" if judged else "")


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def device_name(device: str) -> str:
    """`cpu, 2 threads`, or the GPU's name."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    count = torch.get_num_threads()
    return f"cpu, {count} thread{'s' * (count > 1)}"


def _require_free(out_dir: str, name: str) -> None:
    """Raises ValueError where a result would replace anything but an older one of this lesson, as it was written."""
    result = Path(out_dir) / "result.json"
    if os.path.lexists(result):
        own = is_sealed(result) and json.loads(result.read_text(encoding="utf-8")).get("lesson") == name
        require("out_dir", own, "a folder whose result.json, if it has one, is this lesson's, and unchanged", out_dir)


def begin(name: str, variables: Mapping[str, Any] | None = None, **parameters: Any) -> Sitting:
    """Open a lesson with the values of its parameters cell, load the digits, and print one line that says what is used;
    another where that is not what the text was written for.

    variables: the notebook's, as in ``begin("03_irmv1", globals())``: those that the lesson of this name declares in
    its parameters cell are taken, whoever set them. parameters: others, or all where no lesson of the course has the
    name.
    profile `auto` is the environment variable INVTUTOR_PROFILE, else quick. Raises ValueError, naming the parameter,
    for values outside their range.
    """
    if not name:
        raise ValueError("Parameter `name` should be the lesson's. Found an empty text.")
    if variables is not None:
        parameters = {**lessons.find(name).own(variables), **parameters}
    profile = parameters.get("profile", "auto")
    if profile == "auto":
        profile = os.environ.get("INVTUTOR_PROFILE") or "quick"
    if profile not in PROFILES:
        raise ValueError(f"Parameter `profile` should be one of auto, {', '.join(PROFILES)}. Found {profile!r}.")
    for key, value in parameters.items():  # before digits are loaded
        if key not in ("profile", "source", "out_dir"):
            parameter(key, value)
    seed = parameters.get("seed", 0)
    device = str(find_device(parameters.get("device", "auto")))
    if out_dir := parameters.get("out_dir"):
        _require_free(out_dir, name)
    digits = load_digits(parameters.get("source", "auto"), quiet=True)
    lesson = Sitting(name, profile, seed, device, digits, dict(parameters))
    seeds = f"{lesson.seeds} seed{'s' * (lesson.seeds > 1)} from {seed}"
    print(f"digits: {digits} · profile: {profile}, {seeds} · device: {device_name(device)}")
    if invtutor.SPINNING:
        print("note: torch was loaded before invtutor; on busy cores `torch.set_num_threads(1)` makes training faster")
    if lesson.unjudged:
        note = "tables, pictures and their descriptions are of this run, the numbers in the text are not"
        print(f"note: {lesson.unjudged}; {note}")
    return lesson
