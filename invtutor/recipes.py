"""A run as plain values: the world, the method, its hyper-parameters, the loop, the seed."""

import json
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from typing import Any

import torch

from invtutor.algorithms import ERM, Algorithm, IRMv1, MMREx, VREx
from invtutor.algorithms.algorithm import Metrics
from invtutor.digits import SOURCES, Digits, load_digits
from invtutor.environments import CLASSES, World, colored_mnist
from invtutor.history import History, Spread, spread
from invtutor.networks import MLP
from invtutor.risks import accuracy, accuracy_curve, corner_accuracies, correct, risk
from invtutor.training import Schedule, cosine, fit, step_at

__all__ = ["ALGORITHMS", "PROFILES", "Recipe", "Run", "find_device", "repeat", "run", "summarize"]

ALGORITHMS: Mapping[str, type[Algorithm]] = {"erm": ERM, "irmv1": IRMv1, "vrex": VREx, "mmrex": MMREx}
DECAYS = ("constant", "cosine")
TEST_RATES = (0.1, 0.2, 0.5, 0.9)

# Every profile is the published protocol under a budget. How the quick values were chosen is told in the README.
_SHARED: dict[str, dict[str, Any]] = {
    "smoke": {"samples": 2000, "width": 32, "batch_size": 500, "steps": 40, "anneal": 15, "every": 10},
    "quick": {"width": 128, "batch_size": 1500, "steps": 350, "anneal": 150, "l2": 4e-4, "decay": "cosine"},
    "paper": {"width": 390, "batch_size": None, "steps": 501, "anneal": 190},
}
_PUBLISHED = {"l2": 1.10794568e-3, "learning_rate": 4.898536566546834e-4}
_PER_METHOD: dict[tuple[str, str], dict[str, Any]] = {
    ("quick", "erm"): {"steps": 200, "anneal": 0},
    ("paper", "erm"): {"width": 256, "anneal": 0},
    ("paper", "oracle"): {
        "width": 83,
        "steps": 101,
        "anneal": 0,
        "l2": 8.602868865e-4,
        "learning_rate": 2.8171488e-3,
    },
    ("paper", "irmv1"): _PUBLISHED | {"hyper": {"penalty_weight": 91257.18613115903}},
    ("paper", "vrex"): _PUBLISHED | {"hyper": {"penalty_weight": 91257.18613115903}},
    ("paper", "mmrex"): _PUBLISHED | {"hyper": {"penalty_weight": 91257.18613115903}},
}
PROFILES = tuple(_SHARED)


def _require(name: str, holds: bool, wish: str, found: object) -> None:
    if not holds:
        raise ValueError(f"Parameter `{name}` should be {wish}. Found {found!r}.")


@dataclass(frozen=True)
class Recipe:
    """One run, as JSON values. Raises ValueError, naming the field, for values outside their range."""

    algorithm: str = "erm"
    """The method: erm, irmv1, vrex or mmrex."""
    hyper: Mapping[str, float | bool] = field(default_factory=dict, hash=False)
    """The method's own hyper-parameters by the names of its class, such as penalty_weight; the class has the
    defaults."""
    grayscale: bool = False
    """Takes color away from every environment: with erm this is the grayscale oracle."""
    source: str = "auto"
    """Which digits: auto, mnist or rendered."""
    flip_rates: tuple[float, ...] = (0.1, 0.2)
    """The chance that the color is flipped, one per training environment."""
    label_noise: float | tuple[float, ...] = 0.25
    """The chance that a label is wrong: one number, or one per training environment."""
    classes: int = 2
    """Label classes and colors: 2, 5 or 10."""
    patch: bool = False
    """Adds the second spurious feature."""
    samples: int | None = None
    """Samples per training environment; None shares out all 50,000."""
    width: int = 390
    """Units in each of the two hidden layers."""
    l2: float = 1e-3
    """Weight of the squared norm of all parameters in the objective."""
    learning_rate: float = 1e-3
    """Adam's learning rate at the first step."""
    decay: str = "constant"
    """How the learning rate goes on once annealing is over: constant, or cosine down to zero at the last step."""
    anneal: int = 0
    """Steps with penalty weight 1 (or the full one, where that is smaller) before the full weight acts."""
    batch_size: int | None = None
    """Samples per environment and step, drawn with replacement; None is the full batch."""
    steps: int = 501
    """Optimizer steps."""
    every: int = 50
    """Steps between two records of the history."""
    seed: int = 0
    """Draws the world, the initial weights and the batches, in this order."""
    device: str = "auto"
    """auto (a GPU when there is one), cpu, cuda or cuda:N."""

    def __post_init__(self) -> None:
        _require("algorithm", self.algorithm in ALGORITHMS, f"one of {', '.join(ALGORITHMS)}", self.algorithm)
        known = {f.name for f in fields(ALGORITHMS[self.algorithm])} - {"model", "l2"}
        for name, value in self.hyper.items():
            wish = f"of {ALGORITHMS[self.algorithm].label}: {', '.join(sorted(known)) or 'it has none'}"
            _require("hyper", name in known, wish, name)
            _require(name, math.isfinite(value) and value >= 0, "a finite number, at least 0", value)
        _require("source", self.source in SOURCES, f"one of {', '.join(SOURCES)}", self.source)
        object.__setattr__(self, "flip_rates", tuple(self.flip_rates))
        for rate in self.flip_rates:
            _require("flip_rates", 0 <= rate <= 1, "in [0, 1]", rate)
        noises = self.label_noise if isinstance(self.label_noise, list | tuple) else (self.label_noise,)
        for noise in noises:
            _require("label_noise", 0 <= noise <= 0.5, "in [0, 0.5]", noise)
        if isinstance(self.label_noise, list):
            object.__setattr__(self, "label_noise", tuple(noises))
        _require("classes", self.classes in CLASSES, f"one of {CLASSES}", self.classes)
        _require("decay", self.decay in DECAYS, f"one of {', '.join(DECAYS)}", self.decay)
        for name in ("width", "steps", "every", "samples", "batch_size"):
            value = getattr(self, name)
            _require(name, value is None or value >= 1, "at least 1", value)
        _require("learning_rate", 0 < self.learning_rate < math.inf, "a finite number above 0", self.learning_rate)
        for name in ("l2", "anneal"):
            value = getattr(self, name)
            _require(name, 0 <= value < math.inf, "a finite number, at least 0", value)
        _require("seed", 0 <= self.seed < 2**31, "in [0, 2³¹)", self.seed)
        object.__setattr__(self, "hyper", dict(self.hyper))

    @classmethod
    def profile(cls, profile: str, method: str = "erm", **changes: Any) -> "Recipe":
        """A method under a budget: smoke (seconds, for tests), quick (a laptop or Binder) or paper (the published
        setting).

        method: a name of `ALGORITHMS`, or `oracle`. changes: other values for fields, or for the method's
        hyper-parameters (`penalty_weight=1e3`).
        """
        _require("profile", profile in PROFILES, f"one of {', '.join(PROFILES)}", profile)
        _require("method", method in (*ALGORITHMS, "oracle"), f"one of {', '.join(ALGORITHMS)}, oracle", method)
        values: dict[str, Any] = _SHARED[profile] | _PER_METHOD.get((profile, method), {})
        values |= {"algorithm": "erm", "grayscale": True} if method == "oracle" else {"algorithm": method}
        return cls(**values).but(**changes)

    def but(self, **changes: Any) -> "Recipe":
        """The same recipe with other values for fields or for the method's hyper-parameters."""
        names = {f.name for f in fields(self)}
        own = {name: value for name, value in changes.items() if name in names}
        hyper = {name: value for name, value in changes.items() if name not in names}
        return replace(self, **({"hyper": {**self.hyper, **hyper}} | own if hyper else own))

    def to_json(self) -> str:
        """One JSON object; `Recipe.from_json` reads it back."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))


def find_device(device: str = "auto") -> torch.device:
    """`auto` is the GPU when there is one. Raises ValueError for a device that torch does not know or cannot reach."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    _require("device", bool(re.fullmatch(r"cpu|cuda(:\d+)?", device)), "auto, cpu, cuda or cuda:N", device)
    found = torch.device(device)
    if found.type == "cuda" and not 0 <= (found.index or 0) < torch.cuda.device_count():
        raise ValueError(
            f"Parameter `device` should be present: torch sees {torch.cuda.device_count()} GPUs. Found {device!r}."
        )
    return found


@lru_cache(
    maxsize=1
)  # one world takes over 100 MB: the runs of a lesson share the last one and rebuild others when asked
def _build_world(digits: Digits, recipe: Recipe) -> tuple[World, torch.Tensor]:
    """The world of a recipe that is reduced to its world, and the generator's state once it is drawn."""
    generator = torch.Generator().manual_seed(recipe.seed)
    world = colored_mnist(
        digits,
        flip_rates=recipe.flip_rates,
        label_noise=recipe.label_noise,
        classes=recipe.classes,
        patch=recipe.patch,
        samples=recipe.samples,
        generator=generator,
    )
    world = world.gray() if recipe.grayscale else world
    return world.to(find_device(recipe.device)), generator.get_state()


WORLD_FIELDS = ("grayscale", "source", "flip_rates", "label_noise", "classes", "patch", "samples", "seed", "device")


def build_world(recipe: Recipe, digits: Digits | None = None) -> tuple[World, torch.Generator]:
    """The recipe's world, and the generator that goes on to draw the first weights and the batches.

    Both depend on the seed and the world's fields alone, so that methods compare in pairs. digits: to use in place of
    those of `recipe.source`. Raises ValueError as `colored_mnist` and `find_device` do.
    """
    bare = Recipe(**{name: getattr(recipe, name) for name in WORLD_FIELDS})
    world, state = _build_world(digits or load_digits(recipe.source, quiet=True), bare)
    generator = torch.Generator()
    generator.set_state(state)
    return world, generator


def build(recipe: Recipe, digits: Digits | None = None) -> tuple[Algorithm, World, torch.Generator]:
    """The method around its untrained model, its world, and the generator that goes on to draw the batches."""
    world, generator = build_world(recipe, digits)
    model = MLP(world.inputs, recipe.width, world.outputs, generator).to(find_device(recipe.device))
    return ALGORITHMS[recipe.algorithm](model, l2=recipe.l2, **recipe.hyper), world, generator


@dataclass(frozen=True, eq=False)
class Run:
    """What came of a recipe.

    metrics: of the last step, by the names of `history.GLOSSARY`; nothing is selected. algorithm: holds the trained
    model. corners: `risks.corner_accuracies` on the test digits. digits: those it was trained on.
    """

    recipe: Recipe
    history: History
    metrics: Metrics
    algorithm: Algorithm
    corners: torch.Tensor
    digits: Digits

    @property
    def world(self) -> World:
        """The world it was trained in, built again unless it is the last one that was."""
        return build_world(self.recipe, self.digits)[0]

    def curve(self, flip_rates: Sequence[float]) -> list[float]:
        """Expected test accuracy at each flip rate (`risks.accuracy_curve`)."""
        return accuracy_curve(self.corners, flip_rates)


def schedules(recipe: Recipe, algorithm: Algorithm) -> dict[str, Schedule]:
    """The schedules that `anneal` and `decay` ask for."""
    chosen: dict[str, Schedule] = {}
    weight = getattr(algorithm, "penalty_weight", None)
    if weight is not None:
        chosen["penalty_weight"] = step_at(recipe.anneal, min(1.0, weight), weight)
    if recipe.decay == "cosine":
        chosen["learning_rate"] = cosine(recipe.learning_rate, recipe.anneal, recipe.steps)
    return chosen


def run(recipe: Recipe, *, digits: Digits | None = None, progress: bool = True) -> Run:
    """Build the world and the model, train, and judge the last step.

    digits: to share between runs; None loads `recipe.source`. Raises ValueError as `colored_mnist` and `find_device`
    do and FloatingPointError as `training` does.
    """
    digits = digits or load_digits(recipe.source, quiet=True)
    algorithm, world, generator = build(recipe, digits)

    def watch(algorithm: Algorithm) -> Metrics:
        metrics: Metrics = {}
        for environment in world.validation:
            logits, labels = algorithm.predict(environment.inputs), environment.labels
            metrics[f"validation p={environment.flip_rate:g}"] = correct(logits, labels).double().mean().item()
            metrics[f"validation risk p={environment.flip_rate:g}"] = risk(logits, labels).item()
        curve = accuracy_curve(corner_accuracies(algorithm.predict, world), TEST_RATES)
        return metrics | {f"test p={rate:g}": value for rate, value in zip(TEST_RATES, curve, strict=True)}

    optimizer = torch.optim.Adam(algorithm.parameters(), lr=recipe.learning_rate)
    start = time.perf_counter()
    history = fit(
        algorithm,
        optimizer,
        world.train,
        recipe.steps,
        batch_size=recipe.batch_size,
        schedules=schedules(recipe, algorithm),
        generator=generator,
        watch=watch,
        every=recipe.every,
        progress=progress,
    )
    seconds = time.perf_counter() - start
    final = {f"train p={e.flip_rate:g}": accuracy(algorithm.predict, e) for e in world.train}
    final["gray"] = accuracy(algorithm.predict, world.corners[0][1].gray())
    corners = corner_accuracies(algorithm.predict, world)
    return Run(recipe, history, history.last | final | {"seconds": seconds}, algorithm, corners, digits)


def repeat(recipe: Recipe, seeds: int, *, digits: Digits | None = None, progress: bool = True) -> list[Run]:
    """The recipe with its seed, the next, and so on: `seeds` runs, each with a redrawn world, as the papers do."""
    _require("seeds", seeds >= 1, "at least 1", seeds)
    return [run(recipe.but(seed=recipe.seed + i), digits=digits, progress=progress) for i in range(seeds)]


def summarize(runs: Sequence[Run]) -> dict[str, Spread]:
    """Every final metric over the seeds."""
    return {name: spread([run.metrics[name] for run in runs]) for name in runs[0].metrics}
