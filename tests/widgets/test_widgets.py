"""Panels, driven from Python: a value is set, and the picture's bytes and the text must follow."""

import subprocess
import sys
import threading
from statistics import stdev
from typing import Any, cast

import ipywidgets
import pytest
import torch

from invtutor import figures
from invtutor.runs.history import History
from invtutor.runs.recipe import Recipe
from invtutor.runs.run import Run
from invtutor.widgets import Panel, flip_rate_panel, penalty_panel
from invtutor.worlds.colored_mnist import Canvas

WEIGHTS = (0.0, 1.0, 100.0, 1e4)


def canvas() -> Canvas:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (40, 28, 28), generator=generator).to(torch.uint8)
    return Canvas.draw(
        images, torch.arange(40) % 10, torch.arange(40), label_noise=0.25, classes=2, patch=False, generator=generator
    )


def run(weight: float, seed: int, penalty: bool = True) -> Run:
    def record(step: int) -> dict[str, float]:
        values = {"step": step, "risk": 0.5 + 0.01 * seed, "validation p=0.1": 0.8, "validation risk p=0.1": 0.4}
        values |= {f"test p={p}": 0.9 - p / (1 + weight) + 0.02 * seed for p in (0.1, 0.2, 0.5, 0.9)}
        return values | ({"penalty": 1e-2 / (1 + weight)} if penalty else {})

    recipe = Recipe.profile("smoke", "irmv1", penalty_weight=weight, seed=seed)
    history = History([record(step) for step in (1, 10, 20, 30, 40)])
    return Run(recipe, history, history.last | {"gray": 0.7}, *cast(Any, (None, None, None)))


def runs() -> dict[float, list[Run]]:
    return {weight: [run(weight, seed) for seed in range(2)] for weight in WEIGHTS}


def flip_panel(**options: Any) -> Panel:
    predictors = {"shape": lambda p: 0.75, "color": lambda p: 1.0 - p}
    return flip_rate_panel(canvas(), predictors, train_rates=(0.1, 0.2), ceiling=0.75, **options)


@pytest.mark.parametrize(
    ("make", "name", "values"),
    [(flip_panel, "flip_rate", (0.3, 0.9)), (lambda: penalty_panel(runs()), "weight", (0.0, 1e4))],
    ids=["flip rate", "penalty"],
)
def test_picture_and_text_follow_the_value_and_come_back(make: Any, name: str, values: tuple[float, float]) -> None:
    panel = make()
    seen = []
    for value in (*values, values[0]):
        panel.controls[name].value = value  # as the browser does
        assert panel.error is None
        assert bytes(panel.image.value).startswith(b"\x89PNG")
        seen.append((panel.image.value, panel.text))
    assert seen[0] == seen[2]
    assert seen[0][0] != seen[1][0] and seen[0][1] != seen[1][1]
    # The way there does not matter: a fresh panel shows the same.
    fresh = make()
    fresh.set(**{name: values[0]})
    assert (fresh.image.value, fresh.text) == seen[0]


def test_the_flip_rate_panel_counts_conflicts_and_accuracies() -> None:
    panel = flip_panel()
    for rate in (round(i * 0.05, 2) for i in range(21)):
        panel.set(flip_rate=rate)
        head = canvas().head(16).paint(rate)
        conflicts = int((head["color"] != head.labels).sum())
        assert panel.text.startswith(
            f"p_e = {rate:.2f}: color disagrees with the label on {conflicts} of the 16 digits"
        )
        assert f"shape 75.0 %, color {100 - 100 * rate:.1f} %." in panel.text


def test_the_penalty_panel_says_all_numbers_of_the_weight() -> None:
    panel = penalty_panel(runs(), value=100.0)
    assert panel.text.startswith("λ = 100 (2 seeds, mean ± standard deviation)")
    for words in ("test p=0.1 90.9 ± 1.4 %", "test p=0.2", "test p=0.9", "risk 0.505 ± 0.00707", "penalty 9.9e-05"):
        assert words in panel.text
    assert [label for label, _ in panel.controls["weight"].options] == ["0", "1", "100", "10,000"]
    panel.set(weight=0.0)
    assert "λ = 0" in panel.text and "test p=0.9 1.0" in panel.text


def test_the_penalty_panel_s_numbers_are_those_of_every_weight() -> None:
    panel = penalty_panel(runs())
    for weight in WEIGHTS:
        panel.set(weight=weight)
        for p in (0.1, 0.2, 0.9):
            seeds = [0.9 - p / (1 + weight) + 0.02 * seed for seed in range(2)]
            assert f"test p={p} {50 * sum(seeds):.1f} ± {100 * stdev(seeds):.1f} %" in panel.text
        assert f"penalty {1e-2 / (1 + weight):.3g} ± 0" in panel.text
        assert panel.picture().axes[2].get_title(loc="right") == f"λ = {weight:,.0f}"


def test_a_weight_without_a_penalty_leaves_a_gap() -> None:
    with_erm = runs() | {0.0: [run(0.0, 0, penalty=False)]}
    panel = penalty_panel(with_erm, value=0.0)
    assert panel.text.startswith("λ = 0 (1 seed). Accuracy") and "penalty" not in panel.text and "±" not in panel.text


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"Parameter `value` should be one of 0, 1, 100, 10,000\. Found 7\.0\."):
        penalty_panel(runs(), value=7.0)
    with pytest.raises(ValueError, match="Parameter `environments`"):
        penalty_panel(runs(), environments=("test p=0.3",))
    with pytest.raises(ValueError, match="Parameter `runs`"):
        penalty_panel(runs() | {5.0: []})
    with pytest.raises(ValueError, match="Parameter `runs`"):
        penalty_panel({})
    with pytest.raises(ValueError, match="Parameter `value`"):
        flip_panel(value=1.2)
    with pytest.raises(ValueError, match="Parameter `values` should be values for some of flip_rate"):
        flip_panel().set(rate=0.1)
    with pytest.raises(ValueError, match="visible description"):
        Panel({"x": ipywidgets.IntSlider()}, lambda figure, x: "")


def test_nothing_jumps_and_controls_can_be_seen_and_named() -> None:
    panel = flip_panel()
    assert (panel.image.width, panel.image.height) == ("900", "500")
    sizes = set()
    for rate in (0.0, 0.5, 1.0):
        panel.set(flip_rate=rate)
        sizes.add(bytes(panel.image.value)[16:24])  # width and height in the PNG's header
    assert sizes == {(900).to_bytes(4, "big") + (500).to_bytes(4, "big")}
    for control in (*panel.controls.values(), *penalty_panel(runs()).controls.values()):
        assert control.description and control.tooltip and control.continuous_update


def a_panel(draw: Any) -> Panel:
    sliders = {name: ipywidgets.IntSlider(value=1, max=10, description=name) for name in ("a", "b")}
    return Panel(sliders, draw)


def test_errors_are_shown_and_kept_and_the_panel_recovers() -> None:
    def draw(figure: figures.Figure, a: int, b: int) -> str:
        figure.clear()
        figure.subplots().plot([0, a / (b - 5)])
        return f"{a} and {b}"

    panel = a_panel(draw)
    picture = panel.image.value
    panel.controls["b"].value = 5
    assert isinstance(panel.error, ZeroDivisionError)
    assert "ZeroDivisionError" in panel.text and panel.image.value == picture
    panel.controls["b"].value = 6
    assert panel.error is None and panel.text == "1 and 6"
    with pytest.raises(ZeroDivisionError):
        panel.set(b=5)
    with pytest.raises(ZeroDivisionError):
        a_panel(lambda figure, a, b: str(1 / 0))


def test_set_draws_one_frame() -> None:
    frames = []

    def draw(figure: figures.Figure, a: int, b: int) -> str:
        frames.append((a, b))
        return ""

    panel = a_panel(draw)
    panel.set(a=3, b=4)
    assert frames == [(1, 1), (3, 4)]


def test_stale_frames_are_dropped_and_the_last_value_is_shown() -> None:
    drawing, go_on = threading.Event(), threading.Event()
    frames: list[int] = []

    def draw(figure: figures.Figure, a: int, b: int) -> str:
        frames.append(a)
        if a == 2:
            drawing.set()
            assert go_on.wait(10)
        return str(a)

    panel = a_panel(draw)
    slow = threading.Thread(target=lambda: setattr(panel.controls["a"], "value", 2))
    slow.start()
    assert drawing.wait(10)
    late = [threading.Thread(target=panel.controls["a"].set_trait, args=("value", value)) for value in (3, 4, 5)]
    for thread in late:
        before = panel._newest
        thread.start()
        while panel._newest == before:  # until it waits for the drawing
            pass
    go_on.set()
    for thread in (slow, *late):
        thread.join(10)
    assert frames == [1, 2, 5] and panel.text == "5"


def test_many_threads_leave_a_whole_picture_and_no_thread() -> None:
    panel = flip_panel()
    alive = threading.active_count()
    rates = [0.1, 0.3, 0.5, 0.7]
    threads = [threading.Thread(target=panel.controls["flip_rate"].set_trait, args=("value", rate)) for rate in rates]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert threading.active_count() == alive
    last = panel.values["flip_rate"]
    fresh = flip_panel()
    fresh.set(flip_rate=last)
    assert panel.error is None and panel.image.value == fresh.image.value and panel.text == fresh.text


def test_where_widgets_cannot_be_shown_the_numbers_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[dict[str, Any], dict[str, Any]]] = []
    monkeypatch.setattr("invtutor.widgets.panel.display", lambda data, **options: shown.append((data, options)))
    panel = flip_panel()
    panel._ipython_display_()
    bundle, options = shown[0]
    assert options == {"raw": True}
    assert bundle["text/plain"] == repr(panel) and panel.text in repr(panel) and "Flip rate" in repr(panel)
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == panel.ui.model_id


def test_the_picture_is_the_panel_s_figure_with_everything_on_it() -> None:
    panel = flip_panel(value=0.3)
    png = figures.png(panel.picture())
    panel.set(flip_rate=0.8)
    assert figures.png(panel.picture()) != png  # also what moves is in it


def test_no_pyplot() -> None:
    code = """
import sys
from ipywidgets import IntSlider
from invtutor.widgets import Panel
Panel({"a": IntSlider(description="a")}, lambda figure, a: str(figure.subplots().plot([a, 1]))).set(a=2)
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
