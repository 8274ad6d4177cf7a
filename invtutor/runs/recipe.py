"""A run as plain values: the world, the network, the method, the loop, the seed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal

import torch
from torch import nn

from invtutor.algorithms import ALGORITHMS
from invtutor.fields import Range, check, hints, knobs, one_of, range_of, require, valid, within
from invtutor.networks import NETWORKS
from invtutor.networks.network import Precision
from invtutor.runs.budgets import PER_METHOD, PROFILES, SHARED
from invtutor.words import meant, shown
from invtutor.worlds import WORLDS
from invtutor.worlds.world import Setting

__all__ = ["Parameters", "Recipe", "find_device", "label", "limits", "own", "owner", "parameter"]


_NOTHING = nn.Identity()  # the model of a method that is made for its checks alone


def label(method: str) -> str:
    """What legends and tables call a method of `ALGORITHMS`."""
    return ALGORITHMS[method].label


_shared: dict[tuple[Any, ...], tuple[Any, dict[str, Any]]] = {}  # by the class and the values of its knobs


def _made(kind: type[Any], given: Mapping[str, Any], *first: Any) -> tuple[Any, dict[str, Any]]:
    """What these values make of a world or a method, checked, and all its knobs by name: one for all the recipes that
    say the same, since a sweep has a hundred thousand in memory. Raises ValueError as `kind` does."""
    defaults = {name: value for name, value in knobs(kind).items() if name != "l2"}
    values = {name: valid(kind, name, given.get(name, value)) for name, value in defaults.items()}
    if (key := (kind, *values.values())) not in _shared:
        if len(_shared) == 1000:
            _shared.clear()
        made = kind(*first, **values)
        _shared[key] = made, {name: getattr(made, name) for name in values}
    return _shared[key]


def own(algorithm: str) -> dict[str, Any]:
    """A method's hyper-parameters with their defaults, by their names."""
    return {name: value for name, value in knobs(ALGORITHMS[algorithm]).items() if name != "l2"}


@dataclass(frozen=True)
class Recipe:
    """One run, as JSON values. Raises ValueError, naming the field, for values outside their range; the ranges of a
    world's knobs stand in its class, those of a method's hyper-parameters in the method's.

    Knobs and hyper-parameters that are not given take their defaults, so that two recipes are equal where their runs
    are.
    """

    algorithm: str = "erm"
    """The method, by its name in `algorithms.ALGORITHMS`: erm, irmv1, vrex, …"""
    hyper: Mapping[str, float | bool | str] = field(default_factory=dict)
    """The method's own hyper-parameters by the names of its class, such as penalty_weight. Numbers and switches; words
    where the class declares a Literal of them."""
    world: str = "colored_mnist"
    """The world, by its name in `worlds.WORLDS`."""
    world_options: Mapping[str, Any] = field(default_factory=dict)
    """The world's knobs by the names of its class, such as flip_rates."""
    network: str = "perceptron"
    """The network, by its name in `networks.NETWORKS`."""
    width: int = within(390, 1, 4096)
    """Units in each hidden layer, or channels."""
    l2: float = within(1e-3, 0, 1000)
    """Weight of the squared norm of all parameters in the objective."""
    l1: float = within(0.0, 0, 1000)
    """Weight of the sum of all parameters' absolute values, whose gradient each step sees besides the method's."""
    weight_decay: float = within(0.0, 0, 1000)
    """Share of each parameter that a step takes away besides, times the learning rate: unlike `l2` it is nothing that
    Adam sees (AdamW)."""
    precision: Precision = "float32"
    """Of the products in the network: bfloat16 is faster where the processor, or the GPU, has it."""
    learning_rate: float = within(1e-3, 0, 1000, above=True)
    """Adam's learning rate at the first step."""
    decay: Literal["constant", "cosine", "tenth"] = "constant"
    """How the learning rate goes on once annealing is over: constant; cosine down to zero at the last step; or a tenth
    for the last quarter of the steps."""
    late_rate: float = within(1.0, 0, 1, above=True)
    """Share of the learning rate that is left once annealing is over, before it decays. Adam's steps do not shrink with
    a penalty's gradient: where that is a sign, as that of a deviation or of a maximum is, a batch's noise is as large
    as the step, and small steps average it."""
    restart: bool = False
    """Whether Adam starts anew once annealing is over. Its running means are of another objective's gradients, and the
    mean of their squares would last for a thousand steps. DomainBed does so, too."""
    anneal: int = within(0, 0, 1_000_000)
    """Steps with a small penalty weight, `early_weight`, before the full one acts."""
    ramp: int = within(0, 0, 1_000_000)
    """Steps over which the penalty weight then rises to the full one; 0 is at once."""
    early_weight: float = within(1.0, 0, 1e12)
    """Penalty weight before annealing ends (or the full one, where that is smaller)."""
    batch_size: int | None = within(None, 1, 50_000)
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
        for name, registry in (("algorithm", ALGORITHMS), ("world", WORLDS), ("network", NETWORKS)):
            one_of(name, registry, getattr(self, name))
        kind = ALGORITHMS[self.algorithm]
        for name, label, takes in (
            ("hyper", kind.label, own(self.algorithm)),
            ("world_options", WORLDS[self.world].label, knobs(WORLDS[self.world])),
        ):
            given = getattr(self, name)
            require(name, isinstance(given, Mapping), "names and values", given)
            for each in given:
                require(name, each in takes, f"of {label}: {', '.join(sorted(takes)) or 'it has none'}", each)
        object.__setattr__(self, "device", _device_words(self.device))
        check(self)
        setting, options = _made(WORLDS[self.world], self.world_options)
        method, hyper = _made(kind, self.hyper, _NOTHING)  # which itself refuses what it cannot be
        if (sizes := setting.sizes()) is not None:
            method.fits(sizes, self.batch_size)
        object.__setattr__(self, "hyper", hyper)
        object.__setattr__(self, "world_options", options)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __getattr__(self, name: str) -> Any:
        """A knob of the world or a hyper-parameter of the method, by its own name."""
        for part in ("world_options", "hyper"):
            if name in (options := self.__dict__.get(part, {})):
                return options[name]
        raise AttributeError(f"{type(self).__name__} has no {name!r}")

    @property
    def setting(self) -> Setting:
        """The world's knobs, checked."""
        return _made(WORLDS[self.world], self.world_options)[0]

    @classmethod
    def profile(cls, profile: str, method: str = "erm", **changes: Any) -> "Recipe":
        """A method under a budget: smoke (seconds, for tests), quick (a laptop or Binder) or paper (the published
        setting).

        method: a name of `ALGORITHMS`. changes: other values for fields, for the world's knobs (`flip_rates=[.1, .3]`)
        or the method's hyper-parameters (`penalty_weight=1e3`).
        """
        one_of("profile", PROFILES, profile)
        one_of("method", ALGORITHMS, method)
        budget = PER_METHOD.get((profile, ALGORITHMS[method].trained_like or method), {})
        hyper = {name: value for name, value in budget.get("hyper", {}).items() if name in own(method)}
        values = {"algorithm": method, **SHARED[profile], **budget, "hyper": hyper}
        world = changes.get("world", cls.world)
        one_of("world", WORLDS, world)
        return cls(**values, world=world).but(**{**WORLDS[world].budgets.get(profile, {}), **changes})

    def but(self, **changes: Any) -> "Recipe":
        """The same recipe with other values for fields, for the world's knobs or for the method's hyper-parameters."""
        plain = {name: value for name, value in changes.items() if name in hints(Recipe)}
        kinds: dict[str, type[Any] | None] = {}
        for part, key, registry in (("hyper", "algorithm", ALGORITHMS), ("world_options", "world", WORLDS)):
            chosen = plain.get(key, getattr(self, key))
            kinds[part] = registry.get(chosen) if isinstance(chosen, str) else None
            if key in plain and plain[key] != getattr(self, key):
                plain.setdefault(part, {})  # the other's own
        for name, value in changes.items():
            if name in hints(Recipe):
                continue
            home = next((part for part, kind in kinds.items() if kind and name in knobs(kind)), None)
            if home is None:
                known = [*hints(Recipe), *(each for kind in kinds.values() if kind for each in knobs(kind))]
                wish = f"fields of Recipe, of {plain.get('algorithm', self.algorithm)} or of its world"
                raise ValueError(f"Parameter `changes` should be {wish}. Found {name!r}.{meant(name, known)}")
            plain[home] = {**plain.get(home, getattr(self, home)), name: value}
        return replace(self, **plain)

    @property
    def values(self) -> dict[str, Any]:
        """All that it says beside its method, world and network, knobs and hyper-parameters by their own names."""
        nested = ("algorithm", "hyper", "world", "world_options", "network")
        plain = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in nested}
        return {**self.world_options, **plain, **self.hyper}

    def to_json(self) -> str:
        """One JSON object, the same for equal recipes; `Recipe.from_json` reads it back."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        return json.dumps(plain, sort_keys=True, ensure_ascii=False)

    @cached_property
    def digest(self) -> str:
        """Twenty hexadecimal digits, the same for equal recipes and for no others."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:20]

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """Read what `to_json` wrote, or wrote when recipes held the knobs of Colored MNIST beside their own."""
        return cls.from_values(json.loads(text))

    @classmethod
    def from_values(cls, values: Any) -> "Recipe":
        """As `from_json`, from what a JSON text has been read into."""
        require("text", isinstance(values, dict), "a JSON object", values)
        if "world" not in values:
            options = {name: values.pop(name) for name in knobs(WORLDS[cls.world]) if name in values}
            if values.get("algorithm") == "erm" and options.get("grayscale"):
                values["algorithm"], options["grayscale"] = "oracle", False
            values["world_options"] = options
        names = [each.name for each in fields(cls)]
        for name in values:
            require("text", name in names, f"an object with keys among {', '.join(names)}", name)
        return cls(**values)


@dataclass(frozen=True)
class Parameters:
    """What lessons' parameters may be, where they mean more or less than the field of that name."""

    profile: Literal["auto", "smoke", "quick", "paper"] = "auto"
    seed: int = within(0, 0, 2_000_000_000)  # the first of several
    seeds: int = within(0, 0, 100)  # 0: as the profile says
    flip_rates: tuple[float, ...] = within((0.1, 0.2), 0, 1, items=(2, 100))
    flip_rate: float = within(0.5, 0, 1)
    deviation_weight: float = within(1.0, 0, 1e12)  # meta-IRM's penalty_weight


def owner(name: str, recipe: Recipe | None = None) -> type | None:
    """Where a field stands, with its range: in the recipe's method, its world or the recipe itself; without a recipe in
    the first class that has one of that name. None for what nobody has."""
    if recipe is None:
        kinds: list[type[Any]] = [Parameters, *ALGORITHMS.values(), *WORLDS.values()]
    else:
        kinds = [ALGORITHMS[recipe.algorithm], WORLDS[recipe.world]]
    return next((kind for kind in (*kinds, Recipe) if name in hints(kind)), None)


def limits(name: str, recipe: Recipe) -> Range:
    """The range of a number that a recipe of this method and world has, for sliders."""
    kind = owner(name, recipe)
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
