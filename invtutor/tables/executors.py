"""What runs a table's recipes."""

import platform
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import torch
from tqdm import tqdm

from invtutor.files import check_writable, clear
from invtutor.runs.recipe import Recipe, find_device
from invtutor.runs.run import build_world, run
from invtutor.tables.plan import plan
from invtutor.tables.selection import validation_corners
from invtutor.tables.store import Result, Store

__all__ = ["reproduce"]


def reproduce(
    out: str | Path,
    profile: str = "quick",
    tables: Sequence[str] = (),
    seeds: int | None = None,
    *,
    source: str = "auto",
    device: str = "auto",
    quiet: bool = False,
) -> list[Result]:
    """Run what the tables still lack, keep each run in the folder `out` as it ends, and return the results of all that
    was asked for. Shows a bar, which names the present run.

    Raises ValueError as `plan`, `Store`, `find_device` and a world's `load` do, and FloatingPointError, naming the run,
    for one that diverges; what had ended is then in the folder, and the next call goes on from there.
    """
    known = plan(profile, tables, seeds, source=source)  # refuses what it does before anything is loaded
    place = str(find_device(device))
    store = Store(out)
    if of_digits := [recipe.setting for recipe in known if "source" in recipe.world_options]:
        of_digits[0].announce()
        source = of_digits[0].load().source
    planned = plan(profile, tables, seeds, source=source, device=place)
    missing = {recipe: name for recipe, name in planned.items() if recipe not in store}
    clear(store.folder)  # of what killed programs left
    if missing:
        check_writable(store.folder)  # before a run is spent on it
    with tqdm(total=len(planned), initial=len(planned) - len(missing), unit="run", disable=quiet, leave=False) as bar:
        for recipe, name in missing.items():
            bar.set_description(name)
            store.refresh()
            if recipe not in store:  # else another program has run it meanwhile
                try:
                    store.add(_result(recipe, profile))
                except FloatingPointError as error:
                    raise FloatingPointError(f"{name}: {error}") from None
            bar.update()
    return [store[recipe] for recipe in planned]


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
    return Result(recipe, done.metrics, cpu, made, corners, validation_corners(done.algorithm.predict, world))
