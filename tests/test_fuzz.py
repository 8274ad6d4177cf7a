"""The command line under whatever one can type: an exit status, one line, no traceback, nothing written."""

import functools
import math
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from invtutor import cli
from invtutor.algorithms import ALGORITHMS
from invtutor.cli import main
from invtutor.course import book, copies, lessons, runner, whole
from invtutor.course.grading import marks
from invtutor.fields import hints
from invtutor.runs.knobs import KNOBS
from invtutor.runs.recipe import Recipe, own
from invtutor.runs.run import assemble, run
from invtutor.tables import engine
from invtutor.tables.draws import METHODS
from invtutor.worlds import colored_mnist
from invtutor.worlds.digits import Digits

COUNT, RUNS = 20_000, 200
TEXTS = [
    "",
    " ",
    "x",
    "None",
    "True",
    "yes",
    "nan",
    "-inf",
    "1e999",
    "1e308",
    "-1",
    "0",
    "1",
    "2",
    "0.5",
    "1.0",
    "1e-300",
]
TEXTS += ["0.1,", "0.1,0.2", "[]", "()", "[0.1, 'x']", "0.1,0.2,0.3", "{}", "4294967296", "9" * 5000, "1_000", "१२"]
TEXTS += ["[" * 2000, "\x00", "\x1b[31m1", "\ud800", "é" * 500, "lambda: 1", "1 or 2", "cpu", "mps", "cuda:99", "meta"]
TEXTS += ["auto", "rendered", "smoke", "quick", "paper", "worst", "cosine", "groups", "5", "10", "390", "60000", "b'1'"]
OPTIONS = ["seeds", "source", "device", "precision", "profile", "workers"]
PLACES = ["workers", "cluster", "listen"]
FIELDS = [*hints(Recipe), "profile", "penaltyweight", "lr", "λ", *(name for kind in ALGORITHMS for name in own(kind))]


@pytest.fixture
def stubbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder and home; whatever would launch, train or write does nothing."""
    for name in ("work", "home"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(cli, "_parser", functools.cache(cli._parser))
    monkeypatch.setattr(lessons, "paths", functools.cache(lessons.paths))
    monkeypatch.setattr(lessons, "_inspect", functools.cache(lessons._inspect))  # reading a notebook takes 0.1 s
    for module, name in ((runner, "run_lesson"), (whole, "run_course"), (runner, "refresh"), (book, "write_book")):
        monkeypatch.setattr(module, name, lambda *_, **__: Stopped.stop())
    monkeypatch.setattr(marks, "run_cells", lambda *_, **__: Stopped.stop())
    monkeypatch.setattr(copies, "copy_lessons", lambda *_: Stopped.stop())
    monkeypatch.setattr(colored_mnist, "load_digits", lambda *_, **__: Stopped.stop())
    monkeypatch.setattr(colored_mnist, "announce", lambda *_: None)
    monkeypatch.setattr(engine.Engine, "each", lambda *_: Stopped.stop())
    monkeypatch.setattr(os, "execv", lambda *_: Stopped.stop())
    monkeypatch.setattr(subprocess, "call", lambda *_: 0)
    yield tmp_path


class Stopped(RuntimeError):
    """The place of what would have been launched: the call itself was right."""

    __module__ = "invtutor.stopped"

    @staticmethod
    def stop() -> None:
        raise Stopped("launched")


def text(rng: random.Random) -> str:
    if rng.random() < 0.7:
        return rng.choice(TEXTS)
    if rng.random() < 0.5:
        return repr(rng.choice([-1, 1]) * 10 ** rng.uniform(-12, 12))
    return "".join(chr(rng.choice([*range(32, 127), 955, 0x202E, 0x1F600])) for _ in range(rng.randrange(12)))


def name(rng: random.Random, known: list[str]) -> str:
    found = rng.choice(known)
    if rng.random() < 0.15:
        place = rng.randrange(len(found))
        found = found[:place] + rng.choice(["", "x", "_", "é"]) + found[place + 1 :]
    return found


def call(rng: random.Random, shelf: list[lessons.Lesson]) -> list[str]:
    """A command with words that may or may not suit it."""

    def pairs(known: list[str], option: str = "-p") -> list[str]:
        count = rng.choice([0, 1, 1, 1, 2, 3])
        return [word for _ in range(count) for word in (option, f"{name(rng, known)}={text(rng)}")]

    kind = rng.randrange(11)
    lesson = rng.choice(shelf)
    parameters = [parameter.name for parameter in lesson.parameters]
    if kind < 5:
        steps = [f"{rng.choice([0, 3, 10, 39, 40, 10**9, -1, 'x'])}:" for _ in range(rng.choice([0, 0, 0, 1, 2]))]
        steer = [word for step in steps for word in ("--steer", f"{step}{name(rng, list(KNOBS))}={text(rng)}")]
        return ["run", name(rng, list(ALGORITHMS)), *pairs(FIELDS), *steer]
    words = {
        5: ["run", name(rng, [lesson.name, lesson.name[:2]]), *pairs(parameters)],
        6: ["course", *pairs(parameters)],
        7: rng.choice(
            [
                ["reproduce", "--tables", name(rng, ["ablations"]), f"--{rng.choice(OPTIONS)}", text(rng)],
                ["sweep", name(rng, list(ALGORITHMS)), *pairs(FIELDS), f"--{rng.choice(PLACES)}", text(rng)],
                ["search", name(rng, list(METHODS)), f"--{rng.choice(PLACES)}", text(rng)],
                ["tables", "nowhere", f"--{rng.choice(['tables', 'format', 'profile'])}", text(rng)],
            ]
        ),
        8: ["link", text(rng), "--ref", text(rng), *rng.choice([[], ["--lesson", text(rng)]])],
        10: ["grade", text(rng).replace("/", ""), rng.choice(["--out", "--lesson", "--workers"]), text(rng)],
        9: [rng.choice(["lab", "book", "refresh", "lessons", "dance", text(rng)]), *rng.choice([[], [text(rng)]])],
    }[kind]
    limit = rng.choice(["--timeout", "--memory", "--max-output", "--fats"])
    return [*words, *([limit, text(rng)] if rng.random() < 0.2 else [])]


def test_whatever_is_typed(stubbed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng, shelf = random.Random(0), lessons.lessons()
    seen = {0: 0, 1: 0, 2: 0}
    for number in range(COUNT):
        arguments = call(rng, shelf)
        code = main(arguments)
        said = capsys.readouterr()
        seen[code] = seen.get(code, 0) + 1
        assert code in (0, 1, 2), (number, arguments, said)
        if code:
            assert said.err.startswith("invtutor: error: ") and said.err.count("\n") == 1, (number, arguments, said)
            assert said.err[:-1].isprintable() and len(said.err) < 1100 and "Traceback" not in said.err
            assert code == 2 or said.err == "invtutor: error: launched\n", (number, arguments, said)
        if number % 1000 == 0 or number == COUNT - 1:
            assert not any(path.is_file() for path in stubbed.rglob("*")) and os.listdir() == [], arguments
    assert min(seen.values()) > COUNT // 500, seen


SMALL: dict[str, Any] = {"device": "cpu", "samples": 60, "batch_size": 20, "width": 4, "steps": 4, "every": 2}
EXTREME: dict[str, list[Any]] = {
    "width": [1, 64], "l2": [0, 1e-12, 1, 1000], "learning_rate": [1e-300, 1e-9, 1, 1000], "steps": [1, 5],
    "anneal": [0, 1_000_000], "ramp": [0, 1_000_000], "samples": [1, 2, 100], "batch_size": [1, 2, 50, None],
    "every": [1, 1_000_000], "seed": [2**31 - 1], "classes": [2, 5, 10], "decay": ["constant", "cosine"],
    "flip_rates": [(0.0, 1.0), (0.5, 0.5), (0.1,) * 20], "label_noise": [0, 0.5], "patch": [True],
    "penalty_weight": [0, 1e-9, 1000], "threshold": [0, 0.999999, 1], "steepness": [1e-300, 1e6],
    "step_size": [0, 100], "inner_rate": [1e-9, 10], "factor": [1e-9, 1e6], "first_steps": [1], "first_batch": [1],
    "first_rate": [1e-300, 1000], "budget": [1e-9, 0.01, 1], "held_out": [0.02, 0.98], "inner_steps": [1, 3],
    "inner_batch": [1, 7], "objective": ["worst", "irmv1"], "over": ["groups"], "halves": [True], "rescale": [False],
    "early_weight": [0, 1e12], "grayscale": [True], "learn_weights": [True], "geometric": [True],
    "first_order": [True], "same_environment": [True],
}  # fmt: skip


def test_extreme_values_train_or_say_why(digits: Digits) -> None:
    rng, done = random.Random(1), 0
    while done < RUNS:
        method = rng.choice(list(ALGORITHMS))
        base = Recipe.profile("smoke", method, **SMALL)
        known = [field for field in EXTREME if field in {*hints(Recipe), *own(base.algorithm)}]
        changes = {field: rng.choice(EXTREME[field]) for field in rng.sample(known, rng.choice([1, 2, 3]))}
        try:
            recipe = base.but(**changes)
        except ValueError as refusal:
            assert str(refusal).startswith("Parameter `"), (method, changes)
            continue
        done += 1
        try:
            result = run(recipe, data=digits, progress=False)
        except FloatingPointError as reason:
            assert str(reason).endswith("."), (method, changes)
            continue
        values = [*result.metrics.values(), *result.corners.flatten().tolist()]
        assert all(map(math.isfinite, values)), (method, changes)
        before = assemble(recipe, digits).algorithm.parameters()
        moved = not all(map(torch.equal, before, result.algorithm.parameters()))
        assert moved or "no parameter has moved" in result.note, (method, changes)
        assert torch.isfinite(torch.tensor(values)).all()
