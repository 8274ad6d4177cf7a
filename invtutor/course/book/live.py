"""What a page needs to train by itself: digits, settings, and a tape of every method's step at two sizes.

All of it are classic scripts, so that a page that is opened from a folder may load them, and each is loaded only when a
panel asks for it.
"""

import ast
import base64
import gzip
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from invtutor.algorithms import ALGORITHMS
from invtutor.algorithms.ready import trainable
from invtutor.course.book.product import assembled
from invtutor.course.book.tape import Tape
from invtutor.course.book.two_bits import two_bits
from invtutor.course.book.writer import record
from invtutor.figures import COLORS
from invtutor.figures.gallery import INKS
from invtutor.runs.commands import options
from invtutor.runs.knobs import knobs, sign
from invtutor.runs.presets import PRESETS
from invtutor.runs.pure import batch_of, pure, start
from invtutor.runs.recipe import Recipe, label, limits
from invtutor.runs.run import Assembly, assemble, build_world
from invtutor.widgets.live_controls import LADDERS
from invtutor.worlds import WORLDS
from invtutor.worlds.colored_mnist import HELD_OUT, OOD_RATE, POOL, ColoredWorld, clean_labels
from invtutor.worlds.risks import correct

__all__ = ["FOLDER", "METHODS", "SIZES", "called", "judge_tape", "live_recipe", "mark_panels", "packed"]
__all__ += ["settings", "step_tape", "write_live"]

FOLDER = "live"  # in a site
FILES = ("trainer.js", "live.js", "exact.js", "live.css")
METHODS = ("erm", "irmv1", "vrex", "mmrex", "group_dro", "and_mask", "sand_mask", "meta_irm")
SIZES: Mapping[int, int] = {128: 500, 64: 250}  # width of the network: samples of each environment in a step
SAMPLES = 10_000  # with 2,500 digits an environment no method reaches 50 % at p = 0.9, with 5,000 none 60 %
TEST, SHOWN = 1000, 10  # test digits: judged, and drawn
PATIENCE = 200  # steps, after which λ acts: who watches does not wait longer
EVERY = 10  # steps between two looks at the test digits
FIXED = ("l2", "ramp", "early_weight", "late_rate", "restart")  # what a page takes as it is
STATED = ("flip_rates", "label_noise", "seed", "steps", "width", "batch_size")  # what a page itself puts in a command


def live_recipe(method: str, width: int = 128) -> Recipe:
    """What a page trains when nothing was changed: the quick recipe on fewer digits, and without an end to aim at."""
    sizes = {"samples": SAMPLES, "width": width, "batch_size": SIZES[width]}
    recipe = Recipe.profile("quick", method, decay="constant", **sizes)
    return recipe.but(anneal=min(recipe.anneal, PATIENCE))


def mark_panels(notebook: Any, lesson: str = "") -> bool:
    """Note in each cell that calls `live` what its panel shows first, and in what it differs from the notebook's; in
    the first that calls `Stepper`, that the page has one, too. Returns whether there is any. A panel of another world
    than Colored MNIST is left as it is: a page has no pictures to train on but its digits.

    lesson: such as 03_irmv1, whose method a panel shows where its cell names none.
    """
    topic, code = lesson.partition("_")[2], [cell for cell in notebook.cells if cell.cell_type == "code"]
    steppers = [cell for cell in code if called(cell.source, "Stepper") is not None]
    for cell in steppers[:1]:
        cell.metadata["exact"] = True
    panels = [(cell, called(cell.source, "live")) for cell in code]
    marked, own = bool(steppers), _own(code)
    for cell, words in panels:
        if words is not None and not {*words} & (WORLDS.keys() - {Recipe.world}):
            marked = True
            words = [*words, topic]
            start = next((word for known in (PRESETS, METHODS) for word in words if word in known), METHODS[0])
            missing = next((label(word) for word in words if word in ALGORITHMS and word not in METHODS), "")
            note = ""
            if missing:
                note = f"A step of {missing} is itself a training, and runs in the notebook only. "
                note += "Here are the methods it is compared with."
            elif any(own & _names(call) for call in _calls(cell.source) if _function(call) == "live"):
                method = label(PRESETS[start].method if start in PRESETS else start)
                note = f"The page trains the library's {method}; your own class runs in the notebook."
            cell.metadata["live"] = {"start": start, "note": note}
    return marked


def called(source: str, function: str) -> list[str] | None:
    """The words that a cell gives to the functions it calls, where `function` is one of them: those of `live` tell its
    method and its preset. None where it does not call it."""
    calls = _calls(source)
    if function not in map(_function, calls):
        return None
    given = [value for call in calls for value in (*call.args, *(keyword.value for keyword in call.keywords))]
    return [value.value for value in given if isinstance(value, ast.Constant) and isinstance(value.value, str)]


def _own(code: Sequence[Any]) -> set[str]:
    """The names of the classes that a notebook defines itself, and of what it assigns from these."""
    own: set[str] = set()
    for cell in code:
        for node in _nodes(cell.source):
            if isinstance(node, ast.ClassDef):
                own.add(node.name)
            elif isinstance(node, ast.Assign) and own & _names(node.value):
                own |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return own


def _nodes(source: str) -> list[ast.AST]:
    """A cell's syntax, outer parts first; none where it holds a magic of IPython."""
    try:
        return [*ast.walk(ast.parse(source))]
    except (SyntaxError, ValueError):
        return []


def _calls(source: str) -> list[ast.Call]:
    return [node for node in _nodes(source) if isinstance(node, ast.Call)]


def _function(call: ast.Call) -> str:
    return str(getattr(call.func, "attr", getattr(call.func, "id", "")))


def _names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def write_live(site: Path) -> None:
    """Write what live panels load into `live` in a site's folder. Raises ValueError, naming the operation, for a method
    whose step has one that no tape knows."""
    folder = site / FOLDER
    folder.mkdir()
    for name in FILES:
        shutil.copy(Path(__file__).parent / name, folder)
    first = live_recipe("erm")
    data = first.setting.load()
    world = build_world(first, data)[0]
    assert isinstance(world, ColoredWorld)

    def script(name: str, text: str) -> None:
        (folder / f"{name}.js").write_text(text, encoding="utf-8")

    script("digits", f"live.digits = {json.dumps(base64.b64encode(packed(world, data)).decode())};\n")
    script("settings", f"live.settings = {json.dumps(settings(data), ensure_ascii=False)};\n")
    script("two_bits", two_bits())
    for width in SIZES:
        for method in METHODS:
            name = f"{method}-{width}"
            script(name, step_tape(assemble(live_recipe(method, width), data)).script(name))
        script(f"judge-{width}", judge_tape(assemble(live_recipe("erm", width), data)).script(f"judge-{width}"))


def packed(world: ColoredWorld, data: Any) -> bytes:
    """The world's digits, compressed: 14 × 14 bytes of ink for each, environment by environment and then those of the
    test; after all of them their clean labels."""
    train = torch.cat([environment.index for environment in world.train])
    images = torch.cat([data.images[train], data.test_images[:TEST]])[:, ::2, ::2]
    labels = clean_labels(torch.cat([data.labels[train], data.test_labels[:TEST]]))
    return gzip.compress(images.numpy().tobytes() + labels.byte().numpy().tobytes(), mtime=0)


# ------------------------------------------------------------------------------------------------------------- tapes


def step_tape(ready: Assembly) -> Tape:
    """One whole step of a method: parameters, Adam's state, batch and knobs to the next, and to metrics."""
    recipe, algorithm = ready.recipe, ready.algorithm
    parameters, state = start(algorithm)
    batch = batch_of([e.subset(torch.arange(recipe.batch_size or 0)) for e in ready.environments])
    values = {name: torch.tensor(float(value)) for name, value in _turned(recipe).items()}
    taken = pure(algorithm)

    def step(*inputs: Any) -> dict[str, Any]:
        return dict(zip(("parameters", "state", "metrics"), taken(*inputs), strict=True))

    return record(step, {"parameters": parameters, "state": state, "batch": batch, "knobs": values})


def judge_tape(ready: Assembly) -> Tape:
    """Which predictions are right of the test digits, in two environments that hold the same with other colors."""
    model = ready.algorithm.model
    names = list(trainable(model))
    shape, long = ready.world.shape, torch.long
    batch = [{"inputs": torch.zeros(TEST, *shape), "labels": torch.zeros(TEST, dtype=long)} for _ in range(2)]

    def judge(parameters: Any, environments: Sequence[Mapping[str, Tensor]]) -> dict[str, Any]:
        theta = dict(zip(names, parameters, strict=True))
        return {"right": [correct(functional_call(model, theta, (e["inputs"],)), e["labels"]) for e in environments]}

    example = {"parameters": [tensor.detach() for tensor in trainable(model).values()], "batch": batch}
    return record(judge, example)


def _turned(recipe: Recipe) -> dict[str, float]:
    """The inputs of a step beside its batch: the knobs, and the L2 weight, which differs between presets."""
    return {**{name: value for name, value in knobs(recipe).items() if name != "anneal"}, "l2": recipe.l2}


# ---------------------------------------------------------------------------------------------------------- settings


def settings(data: Any) -> dict[str, Any]:
    first = live_recipe("erm")
    starts = {method: _start(live_recipe(method), data) for method in METHODS}
    for name, preset in PRESETS.items():
        if preset.method in METHODS:
            starts[name] = {**_start(_sized(preset.recipe(live_recipe(preset.method))), data), "hint": preset.hint}
    return {
        "digits": str(data),
        "real": data.source == "mnist",
        "kernel": base64.b64encode(assembled()).decode(),
        "sizes": {
            "samples": SAMPLES,
            "pool": POOL,
            "held": HELD_OUT // 2,
            "test": TEST,
            "tests": len(data.test_labels),
        },
        "shown": SHOWN,
        "every": EVERY,
        "outside": OOD_RATE,
        "rates": first.flip_rates,
        "noise": first.label_noise,
        "widths": [
            {
                "width": width,
                "batch": batch,
                "shapes": [list(p.shape) for p in assemble(live_recipe("erm", width), data).algorithm.parameters()],
            }
            for width, batch in SIZES.items()
        ],
        "methods": {method: label(method) for method in METHODS},
        "starts": starts,
        "colors": COLORS,
        "inks": [{"name": name, "parts": [*bytes.fromhex(ink[1:])]} for name, ink in [*INKS.items()][:2]],
    }


def _sized(recipe: Recipe) -> Recipe:
    return recipe.but(decay="constant", batch_size=SIZES[recipe.width])


def _start(recipe: Recipe, data: Any) -> dict[str, Any]:
    """A method's setting, as a page takes it."""
    words = re.findall(r"-p\s(\S+)", " ".join(options(recipe)))
    shown = (*STATED, *knobs(recipe))
    algorithm, fine = assemble(recipe, data).algorithm, {name: limits(name, recipe) for name in knobs(recipe)}
    return {
        "method": recipe.algorithm,
        "knobs": {
            name: {
                "sign": sign(recipe, name),
                "value": value,
                "rungs": sorted({*(rung for rung in LADDERS[name] if rung in fine[name]), value}),
            }
            for name, value in knobs(recipe).items()
        },
        "fixed": {name: getattr(recipe, name) for name in FIXED},
        "state": {name: getattr(algorithm, name).tolist() for name in algorithm.carries or ()},
        "steps": recipe.steps,
        "words": [word for word in words if word.split("=")[0] not in shown],
    }
