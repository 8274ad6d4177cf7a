"""The stepper on digits, driven from Python: its stages are those of the method, and the model stays as it was."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from invtutor.algorithms import MetaIRM
from invtutor.runs.recipe import Recipe
from invtutor.runs.run import assemble
from invtutor.widgets import DigitStepper
from invtutor.worlds.colored_mnist import recolored
from invtutor.worlds.digits import Digits
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import accuracy, risk

Start = tuple[nn.Module, list[Environment], tuple[float, ...]]


@pytest.fixture(params=[(0.1, 0.2), (0.1, 0.2, 0.3)], ids=["two", "three"])
def start(request: pytest.FixtureRequest, digits: Digits) -> Start:
    recipe = Recipe.profile("smoke", "erm", source=digits.source, flip_rates=request.param, samples=300, width=8)
    ready = assemble(recipe, digits)
    return ready.algorithm.model, list(ready.world.train), request.param


@pytest.mark.parametrize(("alpha", "weight"), [(0.0, 0.5), (0.5, 10.0)])
def test_an_update_is_that_of_the_method(start: Start, alpha: float, weight: float) -> None:
    model, environments, rates = start
    stepper = DigitStepper(model, environments, rates, inner_rate=alpha, penalty_weight=weight, learning_rate=0.7)
    for _ in range(stepper.last + 1):
        stepper.press("Step")
    assert stepper.text.startswith(f"Update 2, stage 0 of {2 * len(environments) + 1}.")
    assert all(parameter.grad is None for parameter in model.parameters()), "the model is not touched"
    MetaIRM(model, inner_rate=alpha, penalty_weight=weight).backward(environments)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        assert torch.allclose(stepper.path[-1][name], parameter - 0.7 * parameter.grad, atol=1e-7)


def test_the_text_says_the_numbers_of_the_stage(start: Start) -> None:
    model, environments, rates = start
    stepper = DigitStepper(model, environments, rates, inner_rate=0.5)
    words, pictures = [stepper.text], {bytes(stepper.image.value)}
    for _ in range(stepper.last):
        stepper.press("Step")
        words.append(stepper.text)
        pictures.add(bytes(stepper.image.value))
    assert len(set(words)) == len(pictures) == stepper.last + 1
    adapted = deepcopy(model)
    risks = [risk(adapted(e.inputs), e.labels) for e in environments]
    assert f"has the risks {risks[0]:.4f} and {risks[1]:.4f}" in words[0]
    risks[0].backward()
    torch.optim.SGD(adapted.parameters(), lr=0.5).step()
    there = [f"{risk(adapted(e.inputs), e.labels):.4f}" for e in environments]
    assert f"from {risks[0]:.4f} to {there[0]}" in words[1]
    assert f"θ′ of p = 0.1 has {' and '.join(there[1:])}" in words[2]
    metrics = MetaIRM(model, inner_rate=0.5).backward(environments)
    assert f"mean {metrics['meta risk']:.4f}, σ = {metrics['penalty']:.4f}" in stepper.text
    for _ in range(stepper.last):
        stepper.press("Back")
    assert stepper.text == words[0]


def test_what_an_inner_step_changes_can_be_seen_and_is_ringed_where_it_is_judged(start: Start) -> None:
    model, environments, rates = start
    stepper = DigitStepper(model, environments, rates, inner_rate=0.1)
    for stage in range(1, stepper.last):
        stepper.press("Step")
        named = {ax.get_ylabel(): ax for ax in stepper.picture().axes}
        risks, change = named["risk, nats"], named["risk less that of θ, nats"]
        before, after = (np.asarray(line.get_ydata()) for line in risks.lines if line.get_gid() == "curve")
        zero, moved = (np.asarray(line.get_ydata()) for line in change.lines if line.get_gid() == "curve")
        assert np.allclose(zero, 0) and np.allclose(moved, after - before)
        places = change.transData.transform([(0.1, value) for value in moved])[:, 1]
        level = change.transData.transform((0.1, 0.0))[1]
        assert np.abs(places - level).max() > 30, "pixels"
        rings = [line.get_xydata()[0] for line in change.lines if line.get_gid() == "judged"]
        i, outer = (stage - 1) // 2, stage % 2 == 0
        others = [j for j in range(len(environments)) if j != i] if outer else []
        assert np.allclose(rings, [(rates[j], moved[j]) for j in others] or rings)
        assert len(rings) == len(others) and not [line for line in risks.lines if line.get_gid() == "judged"]


def test_accuracy_is_that_of_the_same_digits_recolored(start: Start) -> None:
    model, environments, rates = start
    stepper = DigitStepper(model, environments, rates)
    for rate, shift in ((0.0, 0), (1.0, 1)):
        found = [accuracy(model, recolored(environment, shift)) for environment in environments]
        assert stepper.accuracy(rate) == pytest.approx(sum(found) / len(found), abs=1e-6)
    assert f"{stepper.accuracy(0.1):.0%} at p = 0.1 and on {stepper.accuracy(0.9):.0%} at p = 0.9" in stepper.text


def test_sliders_act(start: Start) -> None:
    stepper = DigitStepper(*start)
    seen = [stepper.text]
    for name, value in (("inner_rate", 1.5), ("penalty_weight", 100.0)):
        stepper.set(**{name: value})
        seen.append(stepper.text)
    assert len(set(seen)) == 3


def test_wrong_arguments_are_named(start: Start) -> None:
    model, environments, rates = start
    with pytest.raises(ValueError, match="`environments` should be at least two"):
        DigitStepper(model, environments[:1], rates[:1])
    with pytest.raises(ValueError, match="`penalty_weight` should be one of"):
        DigitStepper(model, environments, rates, penalty_weight=3.0)
