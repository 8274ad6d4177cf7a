"""Risk and accuracy against formulas written out in numpy, and the curve against much painting."""

from collections.abc import Callable
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
import torch
from torch import Tensor
from two_bits import network, training_environments

from invtutor.algorithms import irmv1
from invtutor.algorithms.jtt import error_shares
from invtutor.worlds.colored_mnist import colored_mnist
from invtutor.worlds.digits import Digits
from invtutor.worlds.risks import accuracy, accuracy_curve, correct, risk, risks, squared_norm


def drawn(n: int, outputs: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(n, outputs, generator=generator, dtype=torch.float64)
    return logits, torch.randint(max(2, outputs), (n,), generator=generator)


def test_risk_of_one_logit_is_binary_cross_entropy() -> None:
    logits, labels = drawn(50, 1)
    z, y = logits[:, 0].numpy(), labels.numpy()
    chance = 1 / (1 + np.exp(-z))
    expected = -np.mean(y * np.log(chance) + (1 - y) * np.log(1 - chance))
    assert risk(logits, labels).item() == pytest.approx(expected)
    assert risk(logits, labels).shape == ()


@pytest.mark.parametrize("classes", [2, 5, 10])
def test_risk_of_many_logits_is_cross_entropy(classes: int) -> None:
    logits, labels = drawn(50, classes)
    z = logits.numpy()
    expected = np.mean(np.log(np.exp(z).sum(1)) - z[np.arange(50), labels.numpy()])
    assert risk(logits, labels).item() == pytest.approx(expected)


def test_one_logit_and_two_agree() -> None:
    logits, labels = drawn(50, 1)
    both = torch.cat([torch.zeros_like(logits), logits], 1)
    assert risk(both, labels).item() == pytest.approx(risk(logits, labels).item())
    assert torch.equal(correct(both, labels), correct(logits, labels))


def test_correct() -> None:
    assert correct(torch.tensor([[2.0], [-1.0], [0.0], [0.5]]), torch.tensor([1, 0, 0, 0])).tolist() == [True] * 3 + [
        False
    ]
    assert correct(torch.tensor([[1.0, 3.0, 2.0], [5.0, 0.0, 0.0]]), torch.tensor([1, 2])).tolist() == [True, False]


def test_accuracy_is_the_share_of_right_predictions_and_keeps_no_graph() -> None:
    environment = training_environments()[0]
    seen = []

    def by_color(inputs: Tensor) -> Tensor:
        seen.append(torch.is_grad_enabled())
        return inputs[:, 1:]

    assert accuracy(by_color, environment) == pytest.approx(0.9)
    assert accuracy(lambda inputs: inputs[:, :1], environment) == pytest.approx(0.75)
    assert seen == [False]


def test_risks_is_the_vector_over_environments() -> None:
    environments, model = training_environments(3), network()
    vector = risks(model, environments)
    assert vector.shape == (3,) and vector.requires_grad
    assert vector.tolist() == pytest.approx([risk(model(e.inputs), e.labels).item() for e in environments])


def test_squared_norm_counts_weights_and_biases() -> None:
    model = network()
    expected = sum(float((p.detach().numpy().astype(np.float64) ** 2).sum()) for p in model.parameters())
    assert squared_norm(model).item() == pytest.approx(expected, rel=1e-6)
    with torch.no_grad():
        model.layers[0].bias += 10.0
    assert squared_norm(model).item() > expected + 100


def test_the_curve_mixes_its_corners_exactly() -> None:
    rates = [0.0, 0.25, 0.5, 1.0]
    assert accuracy_curve(torch.tensor([0.9, 0.1]), rates) == pytest.approx([0.9, 0.7, 0.5, 0.1])
    square = torch.tensor([[0.8, 0.6], [0.5, 0.1]])  # [color flipped, patch moved]
    expected = [(1 - p) ** 2 * 0.8 + (1 - p) * p * (0.6 + 0.5) + p**2 * 0.1 for p in rates]
    assert accuracy_curve(square, rates) == pytest.approx(expected)


def test_the_curve_is_a_line_and_with_a_patch_a_parabola() -> None:
    rates = [i / 10 for i in range(11)]
    line = np.array(accuracy_curve(torch.tensor([0.93, 0.21]), rates))
    assert np.diff(line, 2) == pytest.approx(np.zeros(9), abs=1e-6)
    parabola = np.array(accuracy_curve(torch.tensor([[0.8, 0.6], [0.5, 0.1]]), rates))
    assert np.diff(parabola, 3) == pytest.approx(np.zeros(8), abs=1e-6)
    assert np.diff(parabola, 2) == pytest.approx(np.full(9, 2 * 0.01 * (0.8 - 0.6 - 0.5 + 0.1)), abs=1e-6)


def cunning(inputs: Tensor) -> Tensor:
    """Goes by the color where there is little ink, by the patch where there is more, else by the ink alone."""
    ink = inputs.sum((1, 2, 3))
    low, high = ink.quantile(0.3), ink.quantile(0.7)
    color = (inputs[:, 1].sum((1, 2)) > 0).float()
    corner = (inputs[:, :, 0, -1].sum(1) > 0).float()
    bit = torch.where(ink < low, color, torch.where(ink < high, corner, (ink > ink.median()).float()))
    return (bit - 0.5)[:, None]


@pytest.mark.parametrize("patch", [False, True])
def test_the_curve_is_what_painting_often_measures(digits: Digits, patch: bool) -> None:
    generator = torch.Generator().manual_seed(9)
    world = colored_mnist(digits, samples=10, patch=patch, generator=generator)
    world = replace(world, test_canvas=world.test_canvas.head(1_000))
    corners = world.corners(cunning)
    assert corners.shape == ((2, 2) if patch else (2,))
    assert corners.max() - corners.min() > 0.2, "or else the curve says nothing"
    times = 40
    for rate, expected in zip(
        (0.0, 0.1, 0.5, 0.9, 1.0), accuracy_curve(corners, (0.0, 0.1, 0.5, 0.9, 1.0)), strict=True
    ):
        measured = []
        for _ in range(times):
            draws = torch.rand(1_000, generator=generator)
            patch_draws = torch.rand(1_000, generator=generator) if patch else None
            canvas = replace(world.test_canvas, color_draws=draws, patch_draws=patch_draws)
            measured.append(accuracy(cunning, canvas.paint(rate)))
        error = 4 * sqrt(0.25 / (1_000 * times))
        assert np.mean(measured) == pytest.approx(expected, abs=error), rate


def test_the_curve_of_a_color_reader(digits: Digits) -> None:
    world = colored_mnist(digits, samples=10)
    corners = world.corners(lambda inputs: (inputs[:, 1] - inputs[:, 0]).sum((1, 2))[:, None])
    assert corners.tolist() == [1.0, 0.0]
    assert accuracy_curve(corners, (0.1, 0.9)) == pytest.approx([0.9, 0.1])


UNFIT: dict[str, tuple[Tensor, Tensor]] = {
    "labels (n, 1)": (torch.zeros(4, 1), torch.zeros(4, 1).long()),
    "labels (n, 1) for two logits": (torch.zeros(4, 2), torch.zeros(4, 1).long()),
    "float labels": (torch.zeros(4, 1), torch.zeros(4)),
    "one-hot labels": (torch.zeros(4, 2), torch.eye(2).long().repeat(2, 1)),
    "truth values": (torch.zeros(4, 1), torch.zeros(4).bool()),
    "fewer labels": (torch.zeros(4, 1), torch.zeros(3).long()),
    "more labels": (torch.zeros(1, 1), torch.zeros(3).long()),
    "flat logits": (torch.zeros(4), torch.zeros(4).long()),
    "deep logits": (torch.zeros(4, 1, 1), torch.zeros(4).long()),
    "no samples": (torch.zeros(0, 1), torch.zeros(0).long()),
    "no logits": (torch.zeros(4, 0), torch.zeros(4).long()),
    "whole logits": (torch.zeros(4, 1).long(), torch.zeros(4).long()),
    "a label too many": (torch.zeros(4, 1), torch.tensor([0, 1, 2, 1])),
    "a label too many for three": (torch.zeros(4, 3), torch.tensor([0, 1, 2, 3])),
    "labels -1 and 1": (torch.zeros(4, 1), torch.tensor([-1, 1, 1, -1])),
    "labels of NumPy": (torch.zeros(4, 1), np.zeros(4, dtype=np.int64)),  # type: ignore[dict-item]
}
TAKERS: dict[str, Callable[[Tensor, Tensor], object]] = {
    "risk": risk,
    "risk of each": lambda logits, labels: risk(logits, labels, reduction="none"),
    "correct": correct,
    "slope": irmv1.slope,
    "penalty": irmv1.penalty,
    "penalty by halves": lambda logits, labels: irmv1.penalty(logits, labels, halves=True),
}


@pytest.mark.parametrize("unfit", UNFIT)
@pytest.mark.parametrize("taker", TAKERS)
def test_logits_and_labels_that_do_not_fit_are_refused_with_both_named(taker: str, unfit: str) -> None:
    logits, labels = UNFIT[unfit]
    with pytest.raises(ValueError, match=r"^Parameter `labels` should be .* for logits .* Found labels ") as caught:
        TAKERS[taker](logits, labels)
    assert "\n" not in str(caught.value)
    if "halves" not in taker:
        assert str(tuple(logits.shape)) in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int16, torch.uint8])
@pytest.mark.parametrize("outputs", [1, 3])
def test_labels_may_be_whole_numbers_of_any_size(dtype: torch.dtype, outputs: int) -> None:
    logits, labels = drawn(50, outputs)
    for taker in TAKERS.values():
        assert torch.equal(torch.as_tensor(taker(logits, labels.to(dtype))), torch.as_tensor(taker(logits, labels)))


def test_halves_need_two_samples() -> None:
    with pytest.raises(ValueError, match=r"n at least 1\. Found labels and logits \(0,\)"):
        irmv1.penalty(torch.zeros(1, 1), torch.zeros(1).long(), halves=True)


def test_predictors_of_another_shape_are_refused(digits: Digits) -> None:
    environment, world = training_environments()[0], colored_mnist(digits, samples=50)

    def flat(inputs: Tensor) -> Tensor:
        return inputs.flatten(1).sum(1)

    for judged in (
        lambda: accuracy(flat, environment),
        lambda: risks(flat, [environment]),
        lambda: world.corners(flat),
        lambda: world.validation_corners(flat),
        lambda: error_shares(environment, flat, 2.0),
    ):
        with pytest.raises(ValueError, match=r"^Parameter `labels` should be whole numbers"):
            judged()


def test_a_prediction_that_is_not_a_number_is_never_right() -> None:
    nan = torch.tensor([[torch.nan], [torch.nan], [2.0]])
    assert correct(nan, torch.tensor([0, 1, 1])).tolist() == [False, False, True]
    assert correct(torch.tensor([[torch.nan, 1.0], [0.0, torch.inf]]), torch.tensor([0, 1])).tolist() == [False, True]
