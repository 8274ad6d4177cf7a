"""A run as plain values: the world, the method, its hyper-parameters, the loop, the seed."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from invtutor.algorithms import (
    DANN,
    ERM,
    JTT,
    MAPLE,
    Algorithm,
    AndMask,
    GroupDRO,
    IRMv1,
    MetaIRM,
    MMREx,
    SandMask,
    Upweighting,
    VREx,
)
from invtutor.algorithms.algorithm import Metrics
from invtutor.fields import Range, check, hints, one_of, range_of, require, valid, within
from invtutor.networks.perceptron import MLP
from invtutor.runs.history import History, Spread, spread
from invtutor.runs.loop import Schedule, cosine, fit, step_at
from invtutor.words import meant, shown
from invtutor.worlds.colored_mnist import POOL, Setting, World, colored_mnist
from invtutor.worlds.digits import Digits, Source, load_digits
from invtutor.worlds.risks import accuracy, accuracy_curve, corner_accuracies, correct, risk

__all__ = [
    "ALGORITHMS",
    "METHODS",
    "PROFILES",
    "Parameters",
    "Recipe",
    "Run",
    "find_device",
    "label",
    "note",
    "own",
    "owner",
]
__all__ += ["parameter", "repeat", "run", "summarize"]

ALGORITHMS: Mapping[str, type[Algorithm]] = {
    "erm": ERM,
    "irmv1": IRMv1,
    "vrex": VREx,
    "mmrex": MMREx,
    "group_dro": GroupDRO,
    "and_mask": AndMask,
    "sand_mask": SandMask,
    "meta_irm": MetaIRM,
    "maple": MAPLE,
    "upweighting": Upweighting,
    "jtt": JTT,
    "dann": DANN,
}
METHODS: Mapping[str, Mapping[str, Any]] = {
    "oracle": {"algorithm": "erm", "grayscale": True},
    **{name: {"algorithm": name, "grayscale": False} for name in ALGORITHMS},
}
"""What a method's name says of a recipe: the algorithm, and for the grayscale oracle the world that it sees."""


def label(method: str) -> str:
    """What legends and tables call a method of `METHODS`."""
    return "ERM, gray" if method == "oracle" else ALGORITHMS[method].label


Profile = Literal["smoke", "quick", "paper"]
PROFILES: tuple[Profile, ...] = get_args(Profile)
TEST_RATES = (0.1, 0.2, 0.5, 0.9)

# Every profile is the published protocol under a budget. How the quick values were chosen is told in the README.
_SHARED: dict[str, dict[str, Any]] = {
    "smoke": {"samples": 2000, "width": 32, "batch_size": 500, "steps": 40, "anneal": 15, "every": 10},
    "quick": {"width": 128, "batch_size": 1500, "steps": 450, "anneal": 200},
    "paper": {"width": 390, "batch_size": None, "steps": 501, "anneal": 190},
}
# IRM's searched values (reproduce_paper_results.sh); the REx paper says that it uses the same. Its code sums the risks
# where we take the mean, and (R₁ − R₂)² is 4 Var: against the mean its L2 counts half, its V-REx penalty double.
_L2, _WEIGHT = 1.10794568e-3, 91257.18613115903
_PUBLISHED = {"l2": _L2, "learning_rate": 4.898536566546834e-4}
# Steps of MAPLE are outer ones. Its validation part is drawn from whole; the rate and K are those of the authors' code.
_MAPLE = {"batch_size": None, "anneal": 0, "learning_rate": 1.5, "every": 1}
_PER_METHOD: dict[tuple[str, str], dict[str, Any]] = {
    ("quick", "erm"): {"steps": 200, "anneal": 0, "decay": "cosine", "l2": 4e-4},
    ("quick", "oracle"): {"steps": 200, "anneal": 0, "decay": "cosine", "l2": 4e-4},
    ("quick", "upweighting"): {"steps": 200, "anneal": 0, "decay": "cosine", "l2": 4e-4},
    ("quick", "jtt"): {"steps": 200, "anneal": 0, "decay": "cosine", "l2": 4e-4},
    ("quick", "dann"): {"steps": 200, "anneal": 0, "decay": "cosine", "l2": 4e-4},
    ("quick", "irmv1"): {"steps": 400, "anneal": 150, "decay": "cosine", "l2": 7e-4},
    ("quick", "mmrex"): {"decay": "cosine"},  # its penalty never fades, so that the last steps must
    # Batches large enough for signs that are no coin tosses, and an L2 term that takes away what no longer moves.
    ("quick", "and_mask"): {"batch_size": 5000, "steps": 180, "anneal": 120, "decay": "cosine", "l2": 1e-2},
    ("quick", "sand_mask"): {"batch_size": 5000, "steps": 180, "anneal": 120, "decay": "cosine", "l2": 1e-2},
    ("quick", "group_dro"): {"anneal": 0, "hyper": {"step_size": 1.0}},
    # Its values were not published. Chosen on validation digits (lesson 05): weight 1 is the worst case, a little more
    # extrapolates. The paper profile has the same under the full-batch budget, unsearched.
    ("quick", "meta_irm"): {
        "hyper": {"inner_rate": 0.2, "penalty_weight": 1.6},
        "batch_size": 700,
        "steps": 550,
        "anneal": 150,
        "ramp": 300,
        "decay": "cosine",
        "l2": 7e-4,
    },
    ("paper", "meta_irm"): {
        "hyper": {"inner_rate": 0.2, "penalty_weight": 1.6},
        "anneal": 150,
        "ramp": 250,
        "decay": "cosine",
        "l2": 7e-4,
    },
    ("smoke", "maple"): _MAPLE | {"steps": 4, "hyper": {"inner_steps": 20, "inner_batch": 100}},
    ("quick", "maple"): _MAPLE | {"steps": 15, "decay": "cosine"},
    ("paper", "erm"): {"width": 256, "anneal": 0},
    ("paper", "oracle"): {
        "width": 83,
        "steps": 101,
        "anneal": 0,
        "l2": 8.602868865e-4,
        "learning_rate": 2.8171488e-3,
    },
    ("paper", "irmv1"): _PUBLISHED | {"hyper": {"penalty_weight": _WEIGHT}},
    ("paper", "vrex"): _PUBLISHED | {"hyper": {"penalty_weight": 2 * _WEIGHT}, "early_weight": 2.0, "l2": _L2 / 2},
    ("paper", "maple"): _MAPLE | {"steps": 30, "hyper": {"inner_batch": 5000}},
    ("paper", "mmrex"): _PUBLISHED | {"hyper": {"penalty_weight": _WEIGHT}, "l2": _L2 / 2},
}


def own(algorithm: str) -> dict[str, Any]:
    """A method's hyper-parameters with their defaults, by their names."""
    kind = ALGORITHMS[algorithm]
    names = [name for name in hints(kind) if name not in ("model", "l2", "discriminator")]
    return {f.name: f.default for f in fields(kind) if f.name in names}


@dataclass(frozen=True)
class Recipe:
    """One run, as JSON values. Raises ValueError, naming the field, for values outside their range; the ranges of the
    world stand in `environments.Setting`, those of a method in its class."""

    algorithm: str = "erm"
    """The method, by its name in `ALGORITHMS`: erm, irmv1, vrex, …"""
    hyper: Mapping[str, float | bool | str] = field(default_factory=dict, hash=False)
    """The method's own hyper-parameters by the names of its class, such as penalty_weight; the class has the
    defaults. Numbers and switches; words where the class declares a Literal of them."""
    grayscale: bool = False
    """Takes color away from every environment: with erm this is the grayscale oracle."""
    source: Source = "auto"
    """Which digits: auto, mnist or rendered."""
    flip_rates: tuple[float, ...] = (0.1, 0.2)
    """The chance that the color is flipped, one per training environment."""
    label_noise: float | tuple[float, ...] = 0.25
    """The chance that a label is wrong: one number, or one per training environment."""
    classes: Literal[2, 5, 10] = 2
    """Label classes and colors: 2, 5 or 10."""
    patch: bool = False
    """Adds the second spurious feature."""
    samples: int | None = None
    """Samples per training environment; None shares out all 50,000."""
    width: int = within(390, 1, 4096)
    """Units in each of the two hidden layers."""
    l2: float = within(1e-3, 0, 1000)
    """Weight of the squared norm of all parameters in the objective."""
    learning_rate: float = within(1e-3, 0, 1000, above=True)
    """Adam's learning rate at the first step."""
    decay: Literal["constant", "cosine"] = "constant"
    """How the learning rate goes on once annealing is over: constant, or cosine down to zero at the last step."""
    anneal: int = within(0, 0, 1_000_000)
    """Steps with a small penalty weight, `early_weight`, before the full one acts."""
    ramp: int = within(0, 0, 1_000_000)
    """Steps over which the penalty weight then rises to the full one; 0 is at once."""
    early_weight: float = within(1.0, 0, 1e12)
    """Penalty weight before annealing ends (or the full one, where that is smaller)."""
    batch_size: int | None = within(None, 1, POOL)
    """Samples per environment and step, drawn with replacement; None is the full batch."""
    steps: int = within(501, 1, 1_000_000)
    """Optimizer steps."""
    every: int = within(50, 1, 1_000_000)
    """Steps between two records of the history."""
    seed: int = within(0, 0, 2**31 - 1)
    """Draws the world, the initial weights and the batches, in this order."""
    device: str = "auto"
    """auto (a GPU when there is one), or what torch calls a device: cpu, cuda:0, mps."""

    def __post_init__(self) -> None:
        one_of("algorithm", ALGORITHMS, self.algorithm)
        require("hyper", isinstance(self.hyper, Mapping), "names and values", self.hyper)
        kind, takes = ALGORITHMS[self.algorithm], own(self.algorithm)
        for name in self.hyper:
            wish = f"of {kind.label}: {', '.join(sorted(takes)) or 'it has none'}"
            require("hyper", name in takes, wish, name)
        object.__setattr__(self, "device", _device_words(self.device))
        setting = Setting(**{each.name: getattr(self, each.name) for each in fields(Setting)})
        for each in fields(Setting):
            object.__setattr__(self, each.name, getattr(setting, each.name))
        check(self)
        method = kind(nn.Identity(), l2=self.l2, **self.hyper)  # which itself refuses what it cannot be
        method.fits([self.samples or setting.each()] * len(self.flip_rates), self.batch_size)
        object.__setattr__(self, "hyper", {name: getattr(method, name) for name in self.hyper})

    @property
    def method(self) -> str:
        """Its name in `METHODS`."""
        return "oracle" if self.grayscale and self.algorithm == "erm" else self.algorithm

    @classmethod
    def profile(cls, profile: str, method: str = "erm", **changes: Any) -> "Recipe":
        """A method under a budget: smoke (seconds, for tests), quick (a laptop or Binder) or paper (the published
        setting).

        method: a name of `METHODS`. changes: other values for fields, or for the method's
        hyper-parameters (`penalty_weight=1e3`).
        """
        one_of("profile", PROFILES, profile)
        one_of("method", METHODS, method)
        values: dict[str, Any] = _SHARED[profile] | _PER_METHOD.get((profile, method), {})
        return cls(**{**values, **METHODS[method]}).but(**changes)

    def but(self, **changes: Any) -> "Recipe":
        """The same recipe with other values for fields or for the method's hyper-parameters."""
        names = {f.name for f in fields(self)}
        plain = {name: value for name, value in changes.items() if name in names}
        hyper = {name: value for name, value in changes.items() if name not in names}
        algorithm = plain.get("algorithm", self.algorithm)
        known = own(algorithm) if isinstance(algorithm, str) and algorithm in ALGORITHMS else {}
        for name in hyper:
            if name not in known:
                wish = f"fields of Recipe or of {algorithm}"
                message = f"Parameter `changes` should be {wish}. Found {name!r}.{meant(name, [*names, *known])}"
                raise ValueError(message)
        return replace(self, **({"hyper": {**self.hyper, **hyper}} | plain if hyper else plain))

    def to_json(self) -> str:
        """One JSON object; `Recipe.from_json` reads it back."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """Read what `to_json` wrote."""
        values = json.loads(text)
        require("text", isinstance(values, dict), "a JSON object", values)
        names = [f.name for f in fields(cls)]
        for name in values:
            require("text", name in names, f"an object with keys among {', '.join(names)}", name)
        return cls(**values)


@dataclass(frozen=True)
class Parameters:
    """What lessons' parameters may be, where they mean more or less than the field of that name."""

    profile: Literal["auto", "smoke", "quick", "paper"] = "auto"
    seed: int = within(0, 0, 2_000_000_000)  # the first of several
    seeds: int = within(1, 1, 100)
    flip_rates: tuple[float, ...] = within((0.1, 0.2), 0, 1, items=(2, 100))
    flip_rate: float = within(0.5, 0, 1)
    deviation_weight: float = within(1.0, 0, 1e12)  # meta-IRM's penalty_weight


def owner(name: str, algorithm: str | None = None) -> type | None:
    """Where a field stands, with its range: in the method, if it is named, else in the first that has one of that
    name. None for what nobody has."""
    kinds = [ALGORITHMS[algorithm]] if algorithm else [Parameters, *ALGORITHMS.values()]
    return next((kind for kind in (*kinds, Setting, Recipe) if name in hints(kind)), None)


def limits(name: str, algorithm: str) -> Range:
    """The range of a number that a recipe of this method has, for sliders."""
    kind = owner(name, algorithm)
    found = range_of(kind, name) if kind else None
    assert found is not None, name
    return found


def parameter(name: str, given: object) -> Any:
    """A lesson's parameter, within the range of the field of that name; what no field is called passes. Raises
    ValueError."""
    if name == "device":
        find_device(given)
        return given
    kind = owner(name)
    return given if kind is None else valid(kind, name, given)


def _device_words(device: object) -> str:
    """`auto`, or the name that torch has for a device. Raises ValueError for what torch does not know."""
    if device is None or (isinstance(device, str) and device == "auto"):
        return "auto"
    try:
        given = int(device) if isinstance(device, str) and device.isdecimal() else device
        known = torch.device(given)  # type: ignore[call-overload]
        if type(given) is int and known.index != given:  # torch counts to 127, and then from -128
            raise ValueError
    except Exception:  # torch raises this and that
        wish = "auto, or a device of torch such as cpu, cuda:0 or mps"
        raise ValueError(f"Parameter `device` should be {wish}. Found {shown(device)}.") from None
    return "cpu" if known.type == "cpu" else str(known)


def find_device(device: object = "auto") -> torch.device:
    """`auto`, or None, is the GPU when there is one. Raises ValueError for a device that torch does not know or cannot
    reach."""
    words = _device_words(device)
    if words == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = torch.device(words)
    try:
        reached = found.type != "meta" and torch.empty(0, device=found).device.type == found.type
    except Exception:  # torch raises this and that
        reached = False
    require("device", reached, f"one that torch can reach here: auto or cpu{_cards()}", device)
    return found


def _cards() -> str:
    count = torch.cuda.device_count()
    return f", or one of {count} GPUs from cuda:0 on" if count else ""


WORLD_FIELDS = ("grayscale", "source", "flip_rates", "label_noise", "classes", "patch", "samples", "seed", "device")

# The last world that was built, by its digits and its fields. A world takes over 100 MB: the runs of a lesson share
# one, and Binder's memory has no room for a second while it is built.
_last_world: dict[tuple[Digits, tuple[Any, ...]], tuple[World, torch.Tensor]] = {}


def build_world(recipe: Recipe, digits: Digits | None = None) -> tuple[World, torch.Generator]:
    """The recipe's world, and the generator that goes on to draw the first weights and the batches.

    Both depend on the seed and the world's fields alone, so that methods compare in pairs. digits: to use in place of
    those of `recipe.source`. Raises ValueError as `colored_mnist` and `find_device` do.
    """
    device = find_device(recipe.device)
    digits = digits or load_digits(recipe.source, quiet=True)
    key = (digits, tuple(getattr(recipe, name) for name in WORLD_FIELDS))
    generator = torch.Generator().manual_seed(recipe.seed)
    if key not in _last_world:
        _last_world.clear()
        world = colored_mnist(
            digits,
            flip_rates=recipe.flip_rates,
            label_noise=recipe.label_noise,
            classes=recipe.classes,
            patch=recipe.patch,
            samples=recipe.samples,
            generator=generator,
        )
        world = (world.gray() if recipe.grayscale else world).to(device)
        _last_world[key] = world, generator.get_state()
    world, state = _last_world[key]
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
    model. corners: `risks.corner_accuracies` on the test digits. digits: those it was trained on. note: what kept it
    from learning; empty where nothing did.
    """

    recipe: Recipe
    history: History
    metrics: Metrics
    algorithm: Algorithm
    corners: torch.Tensor
    digits: Digits
    note: str = ""

    @property
    def world(self) -> World:
        """The world it was trained in, built again unless it is the last one that was."""
        return build_world(self.recipe, self.digits)[0]

    def curve(self, flip_rates: Sequence[float]) -> list[float]:
        """Expected test accuracy at each flip rate (`risks.accuracy_curve`)."""
        return accuracy_curve(self.corners, flip_rates)


def schedules(recipe: Recipe, algorithm: Algorithm) -> dict[str, Schedule]:
    """The schedules that `anneal`, `ramp` and `decay` ask for."""
    chosen: dict[str, Schedule] = {}
    weight = getattr(algorithm, "penalty_weight", None)
    if weight is not None:
        chosen["penalty_weight"] = step_at(recipe.anneal, min(recipe.early_weight, weight), weight, recipe.ramp)
    if recipe.decay == "cosine":
        chosen["learning_rate"] = cosine(recipe.learning_rate, recipe.anneal, recipe.steps)
    return chosen


def judge(predict: Callable[[Tensor], Tensor], world: World) -> Metrics:
    """What a run watches: accuracy and risk in each validation environment, and test accuracy at `TEST_RATES`."""
    metrics: Metrics = {}
    for environment in world.validation:
        logits, labels = predict(environment.inputs), environment.labels
        metrics[environment.name] = correct(logits, labels).double().mean().item()
        metrics[environment.name.replace("validation", "validation risk")] = risk(logits, labels).item()
    curve = accuracy_curve(corner_accuracies(predict, world), TEST_RATES)
    return metrics | {f"test p={rate:g}": value for rate, value in zip(TEST_RATES, curve, strict=True)}


def run(recipe: Recipe, *, digits: Digits | None = None, progress: bool = True) -> Run:
    """Build the world and the model, train, and judge the last step.

    digits: to share between runs; None loads `recipe.source`. Raises ValueError as `colored_mnist` and `find_device`
    do and FloatingPointError as `training` does.
    """
    find_device(recipe.device)
    digits = digits or load_digits(recipe.source, quiet=True)
    algorithm, world, generator = build(recipe, digits)

    start = time.perf_counter()
    environments = algorithm.prepare(world.train, generator)
    first = [tensor.detach().clone() for tensor in algorithm.parameters()]
    optimizer = torch.optim.Adam(algorithm.parameters(), lr=recipe.learning_rate, fused=True)
    history = fit(
        algorithm,
        optimizer,
        environments,
        recipe.steps,
        batch_size=recipe.batch_size,
        schedules=schedules(recipe, algorithm),
        generator=generator,
        watch=lambda trained: judge(trained.predict, world),
        every=recipe.every,
        besides=(recipe.anneal,),  # else lines would turn where the nearest record lies
        progress=progress,
    )
    seconds = time.perf_counter() - start
    final = {e.name: accuracy(algorithm.predict, e) for e in world.train}
    shown = world.corners[0][1]  # in a gray world it is gray already
    final["gray"] = accuracy(algorithm.predict, shown if world.grayscale else shown.gray())
    corners = corner_accuracies(algorithm.predict, world)
    kept = [record["kept"] for record in history if "kept" in record]
    said = note(first, algorithm.parameters(), kept)
    return Run(recipe, history, history.last | final | {"seconds": seconds}, algorithm, corners, digits, said)


def note(first: Sequence[Tensor], last: Sequence[Tensor], kept: Sequence[float]) -> str:
    """What kept a run from learning, in a sentence; empty where nothing did.

    first, last: what the optimizer moves, before and after. kept: the shares that a mask let pass.
    """
    if all(map(torch.equal, first, last)):
        return "Nothing was learned: no parameter has moved."
    if kept and not any(kept):
        return "Nothing was learned: the mask let nothing pass."
    return ""


def repeat(recipe: Recipe, seeds: int, *, digits: Digits | None = None, progress: bool = True) -> list[Run]:
    """The recipe with its seed, the next, and so on: `seeds` runs, each with a redrawn world, as the papers do."""
    require("seeds", seeds >= 1, "at least 1", seeds)
    recipe.but(seed=recipe.seed + seeds - 1)  # refuses it now
    return [run(recipe.but(seed=recipe.seed + i), digits=digits, progress=progress) for i in range(seeds)]


def summarize(runs: Sequence[Run]) -> dict[str, Spread]:
    """Every final metric over the seeds."""
    return {name: spread([run.metrics[name] for run in runs]) for name in runs[0].metrics}
