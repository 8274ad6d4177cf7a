"""A recipe becomes a training, the training a run: the one place where world, network, method and loop meet."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from invtutor.algorithms import ALGORITHMS, Algorithm
from invtutor.algorithms.algorithm import Metrics
from invtutor.algorithms.descent import accumulate
from invtutor.fields import require
from invtutor.networks import NETWORKS
from invtutor.runs.history import History, Spread, spread
from invtutor.runs.loop import Schedule, Stage, cosine, fit, step_at, training
from invtutor.runs.recipe import Recipe, find_device
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import accuracy_curve
from invtutor.worlds.world import World

__all__ = ["Assembly", "Run", "assemble", "build_world", "note", "repeat", "run", "schedules", "stage", "summarize"]

# The last world that was built, by its data and its knobs. A world takes over 100 MB: the runs of a lesson share one,
# and Binder's memory has no room for a second while it is built.
_last_world: dict[tuple[Any, ...], tuple[World, Tensor]] = {}


def build_world(recipe: Recipe, data: Any = None) -> tuple[World, torch.Generator]:
    """The recipe's world, and the generator that goes on to draw the first weights and the batches.

    Both depend on the seed and the world's knobs alone, so that methods compare in pairs. data: to use in place of what
    the world's setting loads. Raises ValueError as the setting and `find_device` do.
    """
    device = find_device(recipe.device)
    data = recipe.setting.load() if data is None else data
    key = (data, recipe.setting, recipe.seed, device)
    generator = torch.Generator().manual_seed(recipe.seed)
    if key not in _last_world:
        _last_world.clear()
        world = recipe.setting.draw(data, generator).to(device)
        _last_world[key] = world, generator.get_state()
    world, state = _last_world[key]
    generator.set_state(state)
    return world, generator


@dataclass(eq=False)
class Assembly:
    """A recipe, ready to be trained: what a lesson may change before the first step.

    algorithm: the method around its untrained network. environments: those that the loop draws from, as the method's
    `prepare` left them. generator: goes on to draw the batches.
    """

    recipe: Recipe
    data: Any
    world: World
    algorithm: Algorithm
    environments: Sequence[Environment]
    generator: torch.Generator

    def __post_init__(self) -> None:
        self._first = [tensor.detach().clone() for tensor in self.algorithm.parameters()]

    def optimizer(self) -> torch.optim.Optimizer:
        """Adam, over all that the method moves, with the decay that it does not see."""
        rate, share = self.recipe.learning_rate, self.recipe.weight_decay
        optimizer = torch.optim.AdamW(self.algorithm.parameters(), lr=rate, weight_decay=share, fused=True)
        if weight := self.recipe.l1:

            def lasso(*_: object) -> None:
                for parameter in self.algorithm.model.parameters():
                    accumulate(parameter, weight * parameter.detach().sign())

            optimizer.register_step_pre_hook(lasso)
        return optimizer

    def steps(self, acting: Mapping[str, Schedule], stage: Stage) -> Iterator[Metrics]:
        """The loop without end (`loop.training`), under other schedules and stages than the recipe's."""
        loop: dict[str, Any] = {"batch_size": self.recipe.batch_size, "generator": self.generator}
        return training(self.algorithm, self.optimizer(), self.environments, schedules=acting, stage=stage, **loop)

    def fit(
        self,
        watch: Callable[[Algorithm], Metrics] | None = None,
        *,
        acting: Mapping[str, Schedule] | None = None,
        progress: bool = True,
    ) -> History:
        """Train for the recipe's steps. watch: what is recorded besides the method's own metrics. acting: schedules in
        place of the recipe's, by name."""
        recipe = self.recipe
        return fit(
            self.algorithm,
            self.optimizer(),
            self.environments,
            recipe.steps,
            batch_size=recipe.batch_size,
            schedules={**schedules(recipe, self.algorithm), **(acting or {})},
            stage=partial(stage, recipe),
            generator=self.generator,
            watch=watch,
            every=recipe.every,
            besides=(recipe.anneal,),  # else lines would turn where the nearest record lies
            progress=progress,
        )

    def note(self, kept: Sequence[float]) -> str:
        """What kept it from learning, in a sentence; empty where nothing did. kept: the shares that a mask let pass."""
        return note(self._first, self.algorithm.parameters(), kept)


def assemble(recipe: Recipe, data: Any = None) -> Assembly:
    """World, network and method of a recipe, in the order in which they are drawn. data: as in `build_world`."""
    find_device(recipe.device)
    data = recipe.setting.load() if data is None else data
    world, generator = build_world(recipe, data)
    model = NETWORKS[recipe.network](world.shape, recipe.width, world.outputs, generator)
    model.precision = recipe.precision
    algorithm = ALGORITHMS[recipe.algorithm](model.to(find_device(recipe.device)), l2=recipe.l2, **recipe.hyper)
    algorithm.fits([len(environment) for environment in world.train], recipe.batch_size)
    environments = algorithm.prepare(world.train, generator)
    return Assembly(recipe, data, world, algorithm, environments, generator)


def schedules(recipe: Recipe, algorithm: Algorithm) -> dict[str, Schedule]:
    """The schedules that `anneal`, `ramp`, `decay` and `late_rate` ask for."""
    chosen: dict[str, Schedule] = {}
    weight, rate = getattr(algorithm, "penalty_weight", None), recipe.learning_rate
    if weight is not None:
        chosen["penalty_weight"] = step_at(recipe.anneal, min(recipe.early_weight, weight), weight, recipe.ramp)
    if recipe.decay == "cosine":
        chosen["learning_rate"] = cosine(rate, recipe.anneal, recipe.steps)
    if recipe.decay == "tenth":
        chosen["learning_rate"] = step_at(3 * recipe.steps // 4, rate, rate / 10)
    if recipe.late_rate < 1:
        whole, share = chosen.get("learning_rate", lambda _: rate), step_at(recipe.anneal, 1.0, recipe.late_rate)
        chosen["learning_rate"] = lambda step: share(step) * whole(step)
    return chosen


def stage(recipe: Recipe, step: int) -> int:
    """The part of the training that a step belongs to: 0 while annealing lasts, then 1 where `restart` asks for it."""
    return int(recipe.restart and step >= recipe.anneal)


@dataclass(frozen=True, eq=False)
class Run:
    """What came of a recipe.

    metrics: of the last step, by the names of `history.GLOSSARY`; nothing is selected. algorithm: holds the trained
    model. corners: `World.corners`, of which the accuracy curve is made; None in a world without one. data: what the
    world was drawn from. note: what kept it from learning; empty where nothing did.
    """

    recipe: Recipe
    history: History
    metrics: Metrics
    algorithm: Algorithm
    corners: Tensor | None
    data: Any
    note: str = ""

    @property
    def world(self) -> Any:
        """The world it was trained in, built again unless it is the last one that was."""
        return build_world(self.recipe, self.data)[0]

    def curve(self, flip_rates: Sequence[float]) -> list[float]:
        """Expected test accuracy at each flip rate (`risks.accuracy_curve`). Raises ValueError where there is none."""
        if self.corners is None:
            raise ValueError(f"Parameter `world` should have an accuracy curve. Found {self.recipe.world!r}.")
        return accuracy_curve(self.corners, flip_rates)


def run(
    recipe: Recipe, *, data: Any = None, acting: Mapping[str, Schedule] | None = None, progress: bool = True
) -> Run:
    """Build the world and the model, train, and judge the last step.

    data: to share between runs; None loads what the world is drawn from. acting: as for `Assembly.fit`. Raises
    ValueError as the world's setting and `find_device` do and FloatingPointError as `loop.training` does.
    """
    ready = assemble(recipe, data)
    world, predict = ready.world, ready.algorithm.predict
    start = time.perf_counter()
    history = ready.fit(lambda trained: world.watch(trained.predict), acting=acting, progress=progress)
    metrics = history.last | world.final(predict) | {"seconds": time.perf_counter() - start}
    kept = [record["kept"] for record in history if "kept" in record]
    return Run(recipe, history, metrics, ready.algorithm, world.corners(predict), ready.data, ready.note(kept))


def note(first: Sequence[Tensor], last: Sequence[Tensor], kept: Sequence[float]) -> str:
    """What kept a run from learning, in a sentence; empty where nothing did.

    first, last: what the optimizer moves, before and after. kept: the shares that a mask let pass.
    """
    if all(map(torch.equal, first, last)):
        return "Nothing was learned: no parameter has moved."
    if kept and not any(kept):
        return "Nothing was learned: the mask let nothing pass."
    return ""


def repeat(recipe: Recipe, seeds: int, *, data: Any = None, progress: bool = True) -> list[Run]:
    """The recipe with its seed, the next, and so on: `seeds` runs, each with a redrawn world, as the papers do."""
    require("seeds", seeds >= 1, "at least 1", seeds)
    recipe.but(seed=recipe.seed + seeds - 1)  # refuses it now
    return [run(recipe.but(seed=recipe.seed + i), data=data, progress=progress) for i in range(seeds)]


def summarize(runs: Sequence[Run]) -> dict[str, Spread]:
    """Every final metric over the seeds."""
    return {name: spread([run.metrics[name] for run in runs]) for name in runs[0].metrics}
