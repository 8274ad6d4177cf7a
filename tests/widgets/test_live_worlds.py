"""The live panel in a world that it has never heard of: its knobs, its metrics, its pictures."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import ipywidgets
import numpy as np
import pytest
import torch

from invtutor import figures
from invtutor.fields import within
from invtutor.runs.knobs import switch
from invtutor.runs.recipe import Recipe
from invtutor.widgets import Live, live
from invtutor.worlds import WORLDS
from invtutor.worlds.digits import Digits
from invtutor.worlds.environment import Environment
from invtutor.worlds.world import Drawn, Setting


@dataclass(frozen=True)
class Plugged(Setting):
    """What somebody else's package might bring."""

    rates: tuple[float, ...] = within((0.1, 0.2, 0.3), 0.05, 0.9)
    noise: float | tuple[float, ...] = within(0.1, 0, 0.4)
    samples: int | None = within(None, 4, 1000)
    gain: float = within(3.0, 0, 100)
    loud: bool = False
    held_out: bool = True
    shape: Literal["vector", "gray", "photograph", "inks", "bytes"] = "vector"
    folder: str = "somewhere"

    label = "a world of one's own"

    def draw(self, data: Any, generator: torch.Generator) -> Drawn:
        sizes = {"vector": (5,), "gray": (1, 9, 6), "photograph": (3, 120, 50), "inks": (5, 7, 7), "bytes": (3, 8, 8)}

        def some(name: str, rate: float) -> Environment:
            labels = torch.randint(2, (self.samples or 30,), generator=generator)
            inputs = torch.rand(len(labels), *sizes[self.shape], generator=generator)
            inputs.flatten(1)[:, 0] = labels * self.gain
            if self.shape == "bytes":
                inputs = (255 * inputs.clamp(0, 1)).to(torch.uint8)
            conflict = (torch.rand(len(labels), generator=generator) < rate).long()
            return Environment(name, inputs, labels, {"conflict": conflict})

        names = [f"{kind} {rate:g}" for kind in ("train", "validation") for rate in self.rates]
        each = [some(name, rate) for name, rate in zip(names, 2 * self.rates, strict=True)]
        count = len(self.rates)
        return Drawn(tuple(each[:count]), tuple(each[count:]) * self.held_out, (some("test", 0.5), some("far", 0.8)))


@pytest.fixture(autouse=True)
def plugged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(WORLDS, "plugged", Plugged)
    yield


def panel(**changes: Any) -> Live:
    sizes = {"batch_size": 10, "width": 4, "steps": 10, "device": "cpu"}
    return live(Recipe.profile("smoke", "irmv1", world="plugged", **{"samples": 20} | sizes | changes))


def test_every_knob_of_a_world_has_the_control_of_its_type_and_range() -> None:
    made = panel()
    for i, rate in enumerate((0.1, 0.2, 0.3), start=1):
        slider = made.controls[f"rate_{i}"]
        assert isinstance(slider, ipywidgets.FloatSlider) and slider.description == f"Rates, {i}"
        assert (slider.value, slider.min, slider.max) == (rate, 0.05, 0.9)
    assert (made.controls["noise"].min, made.controls["noise"].max) == (0, 0.4)
    counts = [value for _, value in made.controls["samples"].options]
    assert counts == [5, 10, 20, 50, 100, 200, 500, 1000, "all"] and made.controls["samples"].value == 20
    gains = [value for _, value in made.controls["gain"].options]
    assert gains[0] == 0 and gains[-1] == 100 and 3.0 in gains
    assert isinstance(made.controls["loud"], ipywidgets.Checkbox)
    assert dict(made.controls["shape"].options)["photograph"] == "photograph"
    assert "folder" not in made.controls, "a panel offers no text"
    below = widgets(made.ui)
    assert all(control in below and control.description for control in made.controls.values())


def widgets(widget: Any) -> list[Any]:
    return [widget, *(below for child in getattr(widget, "children", ()) for below in widgets(child))]


@pytest.mark.parametrize(
    ("name", "value", "knob", "wanted"),
    [
        ("rate_2", 0.5, "rates", (0.1, 0.5, 0.3)),
        ("noise", 0.2, "noise", 0.2),
        ("samples", 50, "samples", 50),
        ("samples", None, "samples", None),
        ("samples", 33, "samples", 33),
        ("gain", 7.5, "gain", 7.5),
        ("loud", True, "loud", True),
        ("shape", "gray", "shape", "gray"),
    ],
)
def test_a_knob_of_the_world_starts_a_fresh_run(name: str, value: Any, knob: str, wanted: Any) -> None:
    made = panel()
    made.run(3)
    before = made.session
    made.set(**{name: value})
    assert made.session is not before and made.session.taken == 0 and made.error is None
    assert made.session.recipe.world_options[knob] == wanted
    made.run(2)
    made.set(method="vrex")
    assert made.session.recipe.world_options[knob] == wanted, "another method stays in the world"


def test_another_method_is_given_what_the_world_affords() -> None:
    small = Recipe.profile("quick", "erm", world="animals", width=2)
    other = switch(small, "irmv1")
    assert (other.world, other.network, other.width) == ("animals", "residual", 2)
    assert (other.batch_size, other.l2) == (small.batch_size, small.l2) and other.batch_size < 100


@pytest.mark.parametrize("wrong", [{"rate_2": 0.01}, {"samples": 3}, {"gain": 101}, {"loud": 1}, {"shape": "round"}])
def test_what_a_knob_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    made = panel()
    (name,) = wrong
    before = made.controls[name].value
    with pytest.raises(ValueError, match="Parameter `"):
        made.set(**wrong)
    assert made.controls[name].value == before and made.session.taken == 0


def words(made: Live) -> list[list[str]]:
    """What each plot says of its lines."""
    return [[text.get_text().split(":")[0] for text in ax.texts if text.get_text()] for ax in made.picture().axes[:2]]


def test_the_lines_are_the_world_s_metrics_and_equal_names_look_alike() -> None:
    made = panel()
    made.run(4)
    last = made.session.history.last
    for name in ("validation 0.1", "test", "far worst group"):
        assert f"{name} {100 * last[name]:.1f} %" in made.text
    assert "far risk" in made.text and "digits" not in made.text and "shown" not in made.text
    assert words(made) == [["0.1", "0.2", "far", "worst group", "average"], ["0.1", "0.2", "far"]], "five, at most"
    accuracy, risk, _ = made.picture().axes
    assert [line.get_color() for line in risk.lines] == [line.get_color() for line in accuracy.lines[:3]]
    bare = panel(held_out=False)
    bare.run(4)
    assert words(bare) == [["train", "far", "worst group", "average"], ["far"]]


def test_labels_of_lines_that_end_together_stay_in_the_picture_and_out_of_the_pictures() -> None:
    made = panel(shape="gray")
    made.run(10)
    made.session.history.last.update(
        {name: 1.0 for name in made.session.history.last if "risk" not in name} | {"step": 10}
    )
    made._draw()
    figure = made.picture()
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts if text.get_text()]
    assert len(boxes) == 5 and max(box.y1 for box in boxes) <= figure.bbox.y1
    assert max(box.x1 for box in boxes) < min(patch.get_window_extent().x0 for patch in figure.axes[-1].patches)


@pytest.mark.parametrize("shape", ["gray", "photograph", "inks", "bytes"])
def test_pictures_of_any_size_are_shown_and_vectors_are_not(shape: str) -> None:
    made = panel(shape=shape)
    made.run(2)
    *_, knob, wall = made.picture().axes
    assert len(made.picture().axes) == 4, "there is no accuracy curve"
    right = sum("✓" in text.get_text() for text in wall.texts)
    assert len(wall.texts) == 10 and f"{right} of the 10 samples shown" in made.text
    conflict = made.session.shown["conflict"].bool().tolist()
    assert [patch.get_visible() for patch in wall.patches] == conflict
    assert knob.get_position().width < 0.4 < panel().picture().axes[-1].get_position().width


def picture(environment: Environment) -> np.ndarray:
    """The one picture of an environment, without its frame and the white around it."""
    wall = np.asarray(figures.digits(environment, columns=1, rows=1).images[0].get_array())
    inside = np.argwhere(wall.min(-1) < 1)
    (top, left), (bottom, right) = inside.min(0), inside.max(0)
    return wall[top : bottom + 1, left : right + 1]


@pytest.mark.parametrize("size", [(9, 6), (14, 14), (300, 200)])
def test_channels_are_gray_or_colors_or_inks(size: tuple[int, int]) -> None:
    labels = torch.tensor([1])
    gray = picture(Environment("one", torch.full((1, 1, *size), 0.5), labels))
    assert np.allclose(gray, 0.5)
    assert gray.shape[0] / gray.shape[1] == pytest.approx(size[0] / size[1], rel=0.05) and max(gray.shape) <= 96
    color = torch.tensor([51, 102, 204], dtype=torch.uint8)[None, :, None, None].expand(1, 3, *size)
    assert np.allclose(picture(Environment("one", color, labels)), [0.2, 0.4, 0.8])
    assert np.allclose(picture(Environment("one", color / 255 * 4 - 2, labels)), [0, 1 / 3, 1]), "squeezed, not cut"
    inked = torch.zeros(1, 2, *size)
    inked[:, 1] = 1
    red, _, blue = picture(Environment("one", inked, labels, {"color": labels})).mean((0, 1))
    assert red > blue, "the second ink is orange"


def test_colored_mnist_has_the_sliders_that_it_had(digits: Digits) -> None:
    made = live(Recipe.profile("smoke", "irmv1", samples=60, batch_size=10, width=4, device="cpu"), data=digits)
    sliders = {name: control for name, control in made.controls.items() if name in ("flip_rate_1", "flip_rate_2")}
    assert [slider.description for slider in sliders.values()] == ["Flip rate p_e, 1", "Flip rate p_e, 2"]
    assert (made.controls["label_noise"].description, made.controls["label_noise"].max) == ("Label noise", 0.5)
    heading, _, fresh, folded, *_ = made.ui.children
    assert "A fresh run" in heading.value and folded.selected_index is None
    wanted = ["method", "flip_rate_1", "flip_rate_2", "label_noise", "seed"]
    assert list(fresh.children) == [made.controls[name] for name in wanted]
    assert [ax.get_ylabel() for ax in made.picture().axes[:4]] == ["accuracy, %", "risk, nats", "λ", "accuracy, %"]
    assert made.picture().axes[4].get_title("left") == "at p = 0.9: label → prediction; framed: color ≠ label"
    made.set(classes=10, samples=None)
    assert made.session.recipe.world_options["samples"] is None and made.session.world.classes == 10
