"""How fast the course is on this machine: `make bench`. A benchmark, not a test: it judges nothing."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import fmean, median

from invtutor import Recipe, load_digits, repeat, summarize  # isort: skip  (before torch: it sets how threads wait)

import torch

from invtutor.algorithms.algorithm import Algorithm, Metrics
from invtutor.runs.loop import training
from invtutor.runs.recipe import find_device
from invtutor.runs.run import assemble, build_world, run
from invtutor.widgets import flip_rate_panel, live
from invtutor.worlds.colored_mnist import OOD_RATE
from invtutor.worlds.risks import accuracy_curve

SEEDS = 5
PAPER_SEEDS = 10
MATRIX = 2048
# Seconds a seed, the accuracy at p = 0.9 that is wished for, and the published one, where one is to be reached.
GOALS = {
    "irmv1": (5, 0.695, 0.669),
    "vrex": (5, 0.695, 0.686),
    "meta_irm": (12, 0.695, 0.704),
    "maple": (12, 0.685, None),
}


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median wall-clock seconds of a call, after one that is not counted."""
    taken = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return median(taken[1:])


def say(what: str, found: str, goal: str = "") -> None:
    print(f"{what:<52} {found:<44} {goal}".rstrip(), flush=True)


def imports() -> None:
    for statement in ("import invtutor", "from invtutor import run"):
        taken = seconds(lambda code=statement: subprocess.run([sys.executable, "-c", code], check=True), 3)
        say(f"`{statement}` in a fresh Python", f"{taken:.2f} s")


def peak(device: torch.device) -> float:
    """GFLOP/s of a large float32 matrix product, the best of a few."""
    a, b = torch.rand(2, MATRIX, MATRIX, device=device)
    best = min(seconds(lambda: a @ b, 3) for _ in range(3))
    return 2 * MATRIX**3 / best / 1e9


def step(what: str, profile: str, gflops: float, goal: str) -> float:
    """Seconds of an IRMv1 step; the full batch is the 60,000 samples of the published run."""
    recipe = Recipe.profile(profile, "irmv1")
    ready = assemble(recipe)
    environments = ready.environments if recipe.batch_size else (*ready.world.train, *ready.world.validation)
    options = {"batch_size": recipe.batch_size, "generator": ready.generator}
    steps = training(ready.algorithm, ready.optimizer(), environments, **options)
    taken = seconds(lambda: next(steps), 200 if recipe.batch_size else 4)
    samples, width = sum(recipe.batch_size or len(e) for e in environments), recipe.width
    # 2 operations per weight and sample forward, 2 for the weight's gradient, 2 for the inputs' gradient; the first
    # layer's inputs need none.
    work = 2 * samples * (2 * 392 * width + 3 * (width * width + width)) / 1e9
    say(f"{what}, {samples:,} samples, width {width}", f"{taken:.4f} s, {work / taken:.0f} GFLOP/s")
    say("  share of the matrix product's speed", f"{work / taken / gflops:.0%}", goal)
    return taken


def approach(recipe: Recipe) -> list[tuple[float, float]]:
    """Seconds of training, without those of looking, and the accuracy expected in the test at p = 0.9, in steps."""
    ready, found, looking, start = assemble(recipe), list[tuple[float, float]](), 0.0, time.perf_counter()

    def look(trained: Algorithm) -> Metrics:
        nonlocal looking
        now = time.perf_counter()
        corners = ready.world.corners(trained.predict)
        assert corners is not None
        found.append((now - start - looking, *accuracy_curve(corners, [OOD_RATE])))
        looking += time.perf_counter() - now
        return {}

    ready.fit(look, progress=False)
    return found


def arrival(approaches: list[list[tuple[float, float]]], goal: float) -> tuple[float, float]:
    """Mean seconds a seed until the mean accuracy over seeds has reached the goal for good, and the last mean; where it
    never does, the seconds are those of the whole training."""
    means = [(fmean(s for s, _ in column), fmean(a for _, a in column)) for column in zip(*approaches, strict=True)]
    below = [i for i, (_, accuracy) in enumerate(means) if accuracy < goal]
    return means[min(below[-1] + 1 if below else 0, len(means) - 1)][0], means[-1][1]


def methods(full: float) -> None:
    for method, (budget, wish, published) in GOALS.items():
        recipe = Recipe.profile("quick", method, source=load_digits(quiet=True).source)
        start = time.perf_counter()
        runs = repeat(recipe, SEEDS, progress=False)
        taken = (time.perf_counter() - start) / SEEDS
        ood = summarize(runs)[f"test p={OOD_RATE:g}"]
        label = str(runs[0].algorithm)
        say(f"{label}, quick profile, seeds 0 to {SEEDS - 1}", f"{taken:.2f} s a seed", f"goal < {budget} s")
        say("  accuracy at p = 0.9", str(ood), f"goal ≥ {wish:.3f}")
        if published is None:
            continue
        seconds_to, last = arrival([approach(recipe.but(seed=seed, every=10)) for seed in range(SEEDS)], published)
        what = f"  to the published {published:.3f}, mean over seeds"
        if last < published:
            say(what, f"not reached: {last:.3f} after {seconds_to:.1f} s")
            continue
        say(what, f"{seconds_to:.1f} s of training a seed")
        say(
            "  501 full-batch steps take",
            f"{501 * full:.0f} s, {501 * full / seconds_to:.0f} × as long",
            "goal ≥ 120 ×",
        )


def paper_table() -> None:
    """The four methods of meta-IRM's Colored MNIST table in the published setting: only a GPU has the time."""
    start = time.perf_counter()
    for method in ("erm", "irmv1", "vrex", "meta_irm"):
        runs = repeat(Recipe.profile("paper", method), PAPER_SEEDS, progress=False)
        say(f"{runs[0].algorithm}, paper profile, {PAPER_SEEDS} seeds", str(summarize(runs)["test p=0.9"]))
    say("  all four together", f"{time.perf_counter() - start:.0f} s")


def widget() -> None:
    world = build_world(Recipe.profile("quick"))[0]
    predictors = {clue: world.bayes(clue).accuracy for clue in ("invariant", "color", "pooled")}
    panel = flip_rate_panel(world.test_canvas, predictors)
    rates = iter([0.05 * (1 + i % 19) for i in range(40)])
    taken = seconds(lambda: panel.set(flip_rate=next(rates)), 20)
    say("widget: a change to its new picture", f"{taken:.3f} s", "goal < 0.1 s")


def live_panel() -> None:
    """A student's panel: the quick recipe on 500 samples per environment, played for some seconds."""
    digits = load_digits(quiet=True)
    recipe = Recipe.profile("quick", "irmv1", source=digits.source, samples=500, batch_size=500, steps=10**6)

    async def play() -> None:
        start = time.perf_counter()
        panel = live(recipe, data=digits)
        say("live panel: the call to its first picture", f"{time.perf_counter() - start:.2f} s", "goal < 1 s")
        panel.set(speed=100)
        panel.press("play")
        await asyncio.sleep(2)  # for what torch and matplotlib load late
        steps, pictures, start = panel.session.taken, panel.pictures, time.perf_counter()
        await asyncio.sleep(6)
        taken = time.perf_counter() - start
        say("live panel: steps a second", f"{(panel.session.taken - steps) / taken:.0f}", "goal ≥ 50")
        say("live panel: pictures a second", f"{(panel.pictures - pictures) / taken:.1f}", "goal ≥ 5")
        panel.session.snapshot()  # judging the model is no part of it
        start = time.perf_counter()
        panel._draw()
        say("live panel: drawing alone", f"{time.perf_counter() - start:.3f} s", "goal < 0.06 s")
        panel.close()

    asyncio.run(play())


def main() -> None:
    digits, device = load_digits(quiet=True), find_device()
    threads = torch.get_num_threads()
    say("torch, device", f"{torch.__version__}, {device}, {threads} threads")
    say("digits", str(digits))
    imports()
    torch.set_num_threads(1)  # one core, as runs of a table have
    gflops = peak(device)
    say(f"one thread: matrix product {MATRIX} × {MATRIX}, float32", f"{gflops:.0f} GFLOP/s")
    run(Recipe.profile("smoke"), progress=False)  # the first run of a process pays for what torch loads late
    step("quick step", "quick", gflops, "goal ≥ 55 %")
    methods(step("full-batch step", "paper", gflops, "goal ≥ 60 %"))
    torch.set_num_threads(threads)
    say("all threads again", f"{threads}")
    widget()
    live_panel()
    if device.type == "cuda":
        paper_table()
    else:
        say("ten-seed paper table of four methods", "not run: it takes a GPU")


if __name__ == "__main__":
    main()
