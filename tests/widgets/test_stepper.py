"""The stepper, driven from Python: buttons, sliders, its numbers and its picture."""

import asyncio
import re
import signal
import threading

import pytest
import torch
from torch import nn
from two_bits import training_environments

from invtutor.algorithms import MetaIRM
from invtutor.exact import two_bit
from invtutor.widgets import Stepper

FAR = {"start": (0.3, 0.6)}


def state(stepper: Stepper) -> tuple[bytes, str]:
    return bytes(stepper.image.value), stepper.text


def test_step_walks_every_stage_and_back_undoes_it() -> None:
    stepper = Stepper(**FAR)
    seen = [state(stepper)]
    for _ in range(7):
        stepper.press("Step")
        seen.append(state(stepper))
    assert [re.search(r"Update (\d+), stage (\d)", text)[0] for _, text in seen] == [
        *(f"Update 1, stage {k}" for k in range(6)),
        "Update 2, stage 0",
        "Update 2, stage 1",
    ]
    assert len({picture for picture, _ in seen}) == len({text for _, text in seen}) == 8
    for before in reversed(seen[:-1]):
        stepper.press("Back")
        assert state(stepper) == before
    stepper.press("Back")
    assert state(stepper) == seen[0], "there is nothing before the start"


def test_go_makes_whole_updates() -> None:
    stepper, other = Stepper(**FAR), Stepper(**FAR)
    stepper.go(2)
    for _ in range(3 * (other.last + 1) - 1):
        other.press("Step")
    assert state(stepper) == state(other)


def test_reset_goes_back_to_the_start() -> None:
    stepper = Stepper(**FAR)
    start = state(stepper)
    for _ in range(8):
        stepper.press("Step")
    stepper.press("Reset")
    assert state(stepper) == start and len(stepper.path) == 1


@pytest.mark.parametrize("rates", [(0.1, 0.2), (0.1, 0.2, 0.3)])
@pytest.mark.parametrize(("alpha", "weight"), [(0.0, 0.0), (2.0, 0.5), (2.0, 10.0)])
def test_an_update_is_that_of_the_method(rates: tuple[float, ...], alpha: float, weight: float) -> None:
    stepper = Stepper(rates, **FAR, inner_rate=alpha, penalty_weight=weight, learning_rate=2.0)
    assert stepper.last == 2 * len(rates) + 1
    for _ in range(stepper.last + 1):
        stepper.press("Step")
    algorithm = MetaIRM(nn.Linear(2, 1, bias=False).double(), inner_rate=alpha, penalty_weight=weight)
    with torch.no_grad():
        algorithm.model.weight.copy_(torch.tensor([FAR["start"]]))
    algorithm.backward(training_environments(len(rates), dtype=torch.double))
    moved = algorithm.model.weight[0] - 2.0 * algorithm.model.weight.grad[0]
    assert torch.allclose(stepper.path[-1], moved.detach(), atol=1e-7)


def test_the_text_says_the_numbers_of_the_stage() -> None:
    stepper = Stepper(**FAR, inner_rate=2.0)
    theta = torch.tensor(FAR["start"], dtype=torch.double)
    step = two_bit.adapted(theta, 0.1, 2.0)
    place = theta.clone().requires_grad_()
    (through,) = torch.autograd.grad(two_bit.risk(two_bit.adapted(place, 0.1, 2.0), 0.2), place)
    first_order = two_bit.gradient(step, 0.2)
    stepper.press("Step")
    assert f"({step[0]:.3f}, {step[1]:.3f})" in stepper.text
    stepper.press("Step")
    assert f"has {two_bit.risk(step, 0.2):.4f}" in stepper.text
    assert f"({through[0]:.3f}, {through[1]:.3f}); without" in stepper.text
    assert f"(dashed) ({first_order[0]:.3f}, {first_order[1]:.3f})" in stepper.text
    for _ in range(3):
        stepper.press("Step")
    losses = two_bit.meta_losses(theta, (0.1, 0.2), 2.0)
    assert f"mean {losses.mean():.4f} and σ = {losses.std(correction=0):.4f}" in stepper.text


def test_sliders_change_picture_and_numbers() -> None:
    stepper = Stepper(**FAR)
    stepper.press("Step")
    before = state(stepper)
    stepper.set(inner_rate=4.0)
    between = state(stepper)
    stepper.set(penalty_weight=100.0)
    assert before[0] != between[0] != stepper.image.value and before[1] != between[1]
    stepper.set(inner_rate=1.0, penalty_weight=5.0)
    assert state(stepper) == before


def test_sizes_names_and_hints() -> None:
    stepper = Stepper(**FAR)
    sizes = set()
    for _ in range(7):
        stepper.press("Step")
        sizes.add(bytes(stepper.image.value)[16:24])
    assert len(sizes) == 1
    assert list(stepper.buttons) == ["Step", "Back", "Play", "Reset"]
    assert all(button.description and button.tooltip for button in stepper.buttons.values())
    assert set(stepper.buttons.values()) <= set(stepper.ui.children[1].children)


def test_play_walks_one_update_then_whole_ones_and_pauses() -> None:
    async def scene() -> None:
        alive = threading.active_count()
        stepper = Stepper(**FAR, pause=0.0)
        stepper.press("Play")
        assert stepper.playing and stepper.buttons["Play"].description == "Pause"
        while len(stepper.path) < 4:
            await asyncio.sleep(0)
        stepper.press("Play")
        assert not stepper.playing and stepper.buttons["Play"].description == "Play"
        await asyncio.sleep(0.01)
        rest, count = state(stepper), len(stepper.path)
        await asyncio.sleep(0.05)
        assert state(stepper) == rest and len(stepper.path) == count and stepper.stage == stepper.last
        assert len(asyncio.all_tasks()) == 1 and threading.active_count() == alive

    asyncio.run(scene())


def test_play_ends_by_itself_and_step_or_a_new_panel_stops_it() -> None:
    async def scene() -> None:
        stepper = Stepper(**FAR, pause=0.0, updates=3)
        stepper.press("Play")
        while stepper.playing:
            await asyncio.sleep(0)
        assert len(stepper.path) == 3
        stepper = Stepper(**FAR, pause=0.01)
        stepper.press("Play")
        await asyncio.sleep(0)
        stepper.press("Step")
        assert not stepper.playing
        stepper.press("Play")
        Stepper(**FAR)
        assert not stepper.playing
        await asyncio.sleep(0.05)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(scene())


def test_an_interrupt_pauses_what_plays_and_says_so() -> None:
    async def scene() -> None:
        stepper = Stepper(**FAR, pause=0.001, updates=10**6)
        stepper.press("Play")
        while len(stepper.path) < 3:
            await asyncio.sleep(0.001)
        signal.raise_signal(signal.SIGINT)
        while stepper.playing:
            await asyncio.sleep(0.001)
        count = len(stepper.path)
        assert stepper.text.startswith(f"Interrupted. Update {count}, stage {stepper.last} of {stepper.last}.")
        assert stepper.buttons["Play"].description == "Play"
        await asyncio.sleep(0.02)
        assert len(stepper.path) == count and len(asyncio.all_tasks()) == 1
        stepper.press("Step")
        assert stepper.text.startswith("Update")

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a kernel does between two cells
    try:
        asyncio.run(scene())
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_step_that_fails_ends_play(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        stepper = Stepper(**FAR, pause=0.0)
        monkeypatch.setattr(stepper, "_move_on", lambda: 1 / 0)
        stepper.press("Play")
        while stepper.playing:
            await asyncio.sleep(0)
        assert stepper.buttons["Play"].description == "Play"

    asyncio.run(scene())


def test_nothing_runs_unless_it_is_asked_to() -> None:
    async def scene() -> int:
        Stepper(**FAR)
        await asyncio.sleep(0)
        return len(asyncio.all_tasks())

    assert asyncio.run(scene()) == 1


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"Parameter `penalty_weight` should be one of 0, 0\.5.* Found 3\.0\."):
        Stepper(penalty_weight=3.0)
    with pytest.raises(ValueError, match=r"Parameter `inner_rate` should be a finite number in \[0, 100\]"):
        Stepper(inner_rate=101.0)
    assert Stepper(inner_rate=7.0).values["inner_rate"] == 7.0, "beyond the slider's usual end"
    with pytest.raises(ValueError, match="Parameter `flip_rates`"):
        Stepper((0.1,))
    with pytest.raises(ValueError, match="Parameter `name` should be one of Step, Back, Play, Reset"):
        Stepper().press("Stop")
    with pytest.raises(RuntimeError, match="event loop"):
        Stepper().press("Play")


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_worlds_at_the_edge_are_drawn(noise: float) -> None:
    stepper = Stepper((0.0, 1.0), label_noise=noise)
    for _ in range(12):
        stepper.press("Step")
