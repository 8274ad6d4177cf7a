"""What runs recipes, those of a table or those of a grid, and keeps what comes of them."""

import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from invtutor.fields import one_of
from invtutor.files import check_writable, clear
from invtutor.runs.recipe import Recipe, find_device
from invtutor.runs.run import build_world, run
from invtutor.tables import search as protocol
from invtutor.tables.engine import Engine
from invtutor.tables.plan import grid, placed, plan
from invtutor.tables.store import Result, Results, Store

__all__ = ["reproduce", "search", "sweep"]

Watch = Callable[[Results], None]


def reproduce(
    out: str | Path,
    profile: str = "quick",
    tables: Sequence[str] = (),
    seeds: int | None = None,
    *,
    source: str = "auto",
    device: str = "auto",
    precision: str = Recipe.precision,
    quiet: bool = False,
    watch: Watch | None = None,
    **engine: Any,
) -> Results:
    """Run what the tables still lack, keep each run in the folder `out` as it ends, and return the results of all that
    was asked for. Shows a bar, which names the present run.

    watch: is given, as runs end, the results so far (`widgets.filling` shows them). engine: `workers`, `cluster`,
    `listen` and `tls`, as for `Engine`. Raises ValueError as `plan`, `Engine`, `Store`, `find_device` and a world's
    `load` do, and WorkerError; what had ended is then in the folder, and the next call goes on from there. A run that
    diverges is told of in a line on stderr, and the others go on.
    """
    chosen = Engine(**engine)
    planned = plan(
        profile, tables, seeds, source=source, device=device, precision=precision
    )  # refuses what it does before anything is loaded
    return _fill(out, planned, profile, chosen, quiet, watch)


def sweep(
    method: str,
    given: Mapping[str, Any],
    out: str | Path,
    *,
    quiet: bool = False,
    watch: Watch | None = None,
    **engine: Any,
) -> Results:
    """Run a method under every combination of what is given, as `plan.grid` reads it; all else is as in `reproduce`."""
    chosen = Engine(**engine)
    return _fill(out, grid(method, given), given.get("profile", "quick"), chosen, quiet, watch)


def search(
    out: str | Path,
    profile: str = "quick",
    methods: Sequence[str] = (),
    *,
    source: str = "auto",
    device: str = "auto",
    quiet: bool = False,
    watch: Watch | None = None,
    **engine: Any,
) -> Results:
    """Run the trials of a search for settings, round by round by the protocol of the module `search`, and return those
    of all rounds. methods: some of those that it knows; none are all. All else is as in `reproduce`."""
    one_of("profile", protocol.PROFILES, profile)
    for method in methods:
        one_of("method", protocol.METHODS, method)
    chosen, results, tried = Engine(**engine), Results(), tuple(dict.fromkeys(methods)) or protocol.METHODS
    for number in range(len(protocol.ROUNDS)):
        planned = protocol.planned(results, number, profile, tried, source=source, device=device)
        found = _fill(out, planned, profile, chosen, quiet, watch)
        both = {result.recipe: result for result in (*results, *found)}
        results = Results(both.values(), {**results.diverged, **found.diverged})
    return results


def _fill(
    out: str | Path, planned: Mapping[Recipe, str], profile: str, engine: Engine, quiet: bool, watch: Watch | None
) -> Results:
    store = Store(out)
    planned = _placed(planned, engine)
    done = Results(store[recipe] for recipe in planned if recipe in store)
    clear(store.folder)  # of what killed programs left
    missing = [recipe for recipe in planned if recipe not in store]
    worlds: dict[object, int] = {}  # a process keeps the last one that it has built
    missing.sort(key=lambda recipe: worlds.setdefault((recipe.setting, recipe.seed), len(worlds)))
    if missing:
        check_writable(store.folder)  # before a run is spent on it
    looks = _now_and_then(watch)

    def due() -> Iterator[str]:
        for recipe in missing:
            if recipe in store:  # another program has run it meanwhile
                ended(recipe)
                continue
            if engine.alone:
                bar.set_description(planned[recipe])
            yield recipe.to_json()

    def ended(recipe: Recipe, why: str = "") -> None:
        if why:
            done.diverged[planned[recipe]] = why
            bar.write(f"{planned[recipe]}: {why}", file=sys.stderr)
        else:
            done.append(store[recipe])
        bar.update()
        looks(done)

    work = partial(_work, profile=profile, threads=None if engine.alone else 1)
    with ExitStack() as stack:
        shown = {"unit": "run", "disable": quiet, "leave": False}
        bar = stack.enter_context(tqdm(total=len(planned), initial=len(planned) - len(missing), **shown))
        if missing:
            add = stack.enter_context(store.adding())
            for text, result, why in stack.enter_context(closing(engine.each(work, due()))):
                recipe = Recipe.from_json(text)
                if result is not None:
                    add(Result.from_json(result))
                if not engine.alone:
                    bar.set_description(planned[recipe])
                ended(recipe, why)
    if watch:
        watch(done)
    return Results((store[recipe] for recipe in planned if recipe in store), done.diverged)


def _placed(planned: Mapping[Recipe, str], engine: Engine) -> dict[Recipe, str]:
    """The plan on devices that there are and, where worlds are made of digits, with those that are found. The devices
    of a cluster are not ours to try."""
    devices, sources = {}, {}
    for recipe in planned:
        if recipe.device not in devices:
            there = engine.cluster and recipe.device != "auto"
            devices[recipe.device] = recipe.device if there else str(find_device(recipe.device))
    for recipe in planned:
        if "source" in recipe.world_options and (where := (recipe.world, recipe.source)) not in sources:
            recipe.setting.announce()
            sources[where] = recipe.setting.load().source
    moved = {}
    for recipe, name in planned.items():
        source = sources.get((recipe.world, recipe.world_options.get("source")), "")
        moved[placed(recipe, recipe.seed, source, devices[recipe.device])] = name
    return moved


def _now_and_then(watch: Watch | None) -> Watch:
    """A watch that is called at most once a second, and takes at most a hundredth of the time."""
    due = 0.0

    def looks(results: Results) -> None:
        nonlocal due
        if watch and (start := time.monotonic()) >= due:
            watch(results)
            due = start + max(1.0, 100 * (time.monotonic() - start))

    return looks


def _work(text: str, *, profile: str, threads: int | None) -> str:
    """A recipe's result, both as JSON: between processes nothing else travels."""
    if threads:
        torch.set_num_threads(threads)
    return _result(Recipe.from_json(text), profile).to_json()


def _result(recipe: Recipe, profile: str) -> Result:
    world = build_world(recipe)[0]
    start = time.process_time()
    done = run(recipe, progress=False)
    cpu = time.process_time() - start
    on_gpu = torch.device(recipe.device).type == "cuda"
    made = {
        "profile": profile,
        "digits": getattr(done.data, "source", "none"),
        "device": torch.cuda.get_device_name(recipe.device) if on_gpu else f"cpu, {torch.get_num_threads()} threads",
        "date": datetime.now(timezone.utc).date().isoformat(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "invtutor": version("invtutor"),
    }
    corners = () if done.corners is None else done.corners.tolist()
    history = done.history.records if recipe.every < recipe.steps else ()
    return Result(recipe, done.metrics, cpu, made, corners, world.validation_corners(done.algorithm.predict), history)
