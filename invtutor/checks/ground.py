"""Self-checks of lessons 00 to 04."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from invtutor.algorithms import mmrex, vrex
from invtutor.checks.verdict import Trial, check, near
from invtutor.risks import accuracy_curve, correct, risk

__all__ = [
    "check_accuracy",
    "check_best_clue",
    "check_color",
    "check_curve",
    "check_gray",
    "check_maximum_excess",
    "check_objective",
    "check_pooled",
    "check_slope",
    "check_variance",
]


def _batch(seed: int, n: int = 200) -> tuple[Tensor, Tensor]:
    """Logits (n, 1) and labels (n,) that agree more often than not."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, 1, generator=generator)
    return logits, (torch.rand(n, generator=generator) < logits[:, 0].sigmoid()).long()


# Lesson 00 ------------------------------------------------------------------------------------------------------------


@check("accuracy", "Which predictions does a positive logit stand for? Compare them with the labels and average.")
def check_accuracy(student: Callable[[Tensor, Tensor], Any]) -> Iterator[Trial]:
    """student(logits (n, 1), labels (n,)) → share of right predictions."""
    logits, labels = torch.tensor([[2.0], [-1.0], [0.5], [-3.0]]), torch.tensor([1, 0, 0, 0])
    found = float(student(logits, labels))
    yield 0 <= found <= 1, f"An accuracy lies between 0 and 1; yours is {found:g}. Did you forget to take the mean?"
    yield not near(found, 0.25), "You count the wrong predictions."
    hint = f"Three of four predictions are right in a small example; yours gives {found:g}. "
    hint += "Mind the shapes: (n, 1) == (n,) compares every prediction with every label. Use logits[:, 0]."
    yield near(found, 0.75), hint
    for seed in range(3):
        logits, labels = _batch(seed)
        yield near(student(logits, labels), correct(logits, labels).float().mean(), 1e-4), hint


@check("best clue", "Shape is right with chance 1 − label_noise. How often is color right at a flip rate?")
def check_best_clue(student: Callable[[float, float], Any]) -> Iterator[Trial]:
    """student(label_noise, flip_rate) → "shape" or "color"."""
    for noise, rate in ((0.25, 0.1), (0.25, 0.2), (0.25, 0.9), (0.1, 0.2), (0.4, 0.3), (0.05, 0.01)):
        wanted = "shape" if noise < rate else "color"
        found = student(noise, rate)
        yield found in ("shape", "color"), f"Return the word shape or the word color, not {found!r}."
        hint = f"With label noise {noise} and flip rate {rate}, shape is right {1 - noise:.0%} of the time. And color?"
        yield found == wanted, hint


# Lesson 01 ------------------------------------------------------------------------------------------------------------


@check("color", "Draw one number per label with torch.rand(…, generator=generator); flip where it lies below the rate.")
def check_color(student: Callable[[Tensor, float, torch.Generator], Tensor]) -> Iterator[Trial]:
    """student(labels (n,), flip_rate, generator) → colors (n,) in {0, 1}."""
    labels = (torch.arange(20_000) % 3 == 0).long()

    def draw(rate: float, seed: int = 1) -> Tensor:
        return torch.as_tensor(student(labels.clone(), rate, torch.Generator().manual_seed(seed))).long()

    colors = draw(0.3)
    yield colors.shape == labels.shape, f"One color per label: shape {tuple(labels.shape)}, not {tuple(colors.shape)}."
    yield bool(((colors == 0) | (colors == 1)).all()), "Colors are 0 or 1. An exclusive or (^) of two bits is a bit."
    yield torch.equal(draw(0.0), labels), "At flip rate 0 the color is the label."
    yield torch.equal(draw(1.0), 1 - labels), "At flip rate 1 every color is flipped."
    flipped = (colors != labels).double()
    share = flipped.mean().item()
    yield abs(share - 0.3) < 0.02, f"At flip rate 0.3 about 30 % of the colors are flipped; yours flips {share:.0%}."
    both = flipped[labels == 1].mean() - flipped[labels == 0].mean()
    yield abs(both.item()) < 0.03, "Flips do not depend on the label: one coin for all."
    yield torch.equal(draw(0.3), draw(0.3)), "The same generator must give the same colors: pass it to torch.rand."
    yield not torch.equal(draw(0.3), draw(0.3, 2)), "Another generator must give other colors."


@check("pooled", "Each training environment is equally large: average the chance that color is right over them.")
def check_pooled(student: Callable[[list[float], float, float], Any]) -> Iterator[Trial]:
    """student(flip_rates, label_noise, test_rate) → accuracy of the better single clue in training, at test_rate."""
    cases = (([0.1, 0.2], 0.25), ([0.1, 0.5], 0.25), ([0.3, 0.4], 0.25), ([0.05, 0.1, 0.3], 0.2), ([0.2, 0.2], 0.1))
    for rates, noise in cases:
        uses_color = 1 - sum(rates) / len(rates) > 1 - noise
        for test in (0.0, 0.1, 0.9, 1.0):
            wanted = 1 - test if uses_color else 1 - noise
            hint = f"flip rates {rates}, label noise {noise}, test at {test}: in training "
            hint += f"{'color' if uses_color else 'shape'} is right more often, and it is used at the test as well."
            yield near(student(list(rates), noise, test), wanted), hint


# Lesson 02 ------------------------------------------------------------------------------------------------------------


@check("gray", "Add up the channels, and put the sum into each of them.")
def check_gray(student: Callable[[Tensor], Tensor]) -> Iterator[Trial]:
    """student(inputs (n, 2, 14, 14)) → the same digits with both channels lit."""
    generator = torch.Generator().manual_seed(3)
    inputs = torch.rand(6, 2, 14, 14, generator=generator)
    inputs[torch.arange(6), torch.tensor([0, 1, 0, 1, 1, 0])] = 0.0
    before = inputs.clone()
    found = student(inputs)
    yield torch.equal(inputs, before), "You changed the inputs in place; others still need them. Make a new tensor."
    yield found.shape == inputs.shape, f"The network wants {tuple(inputs.shape)}; yours is {tuple(found.shape)}."
    yield torch.equal(found[:, 0], found[:, 1]), "Both channels must hold the same, or the color can still be read."
    half = "You halved the ink: a mean over a lit and a dark channel. The network has never seen such pale digits."
    yield not near(found[:, 0], inputs.sum(1) / 2), half
    yield near(found[:, 0], inputs.sum(1)), "The shape must survive: the digit's ink is in one of the two channels."


@check("curve", "A share 1 − p of the digits wears the agreeing color, a share p the flipped one.")
def check_curve(student: Callable[[float, float, float], Any]) -> Iterator[Trial]:
    """student(agreeing, flipped, flip_rate) → expected accuracy."""
    for agreeing, flipped in ((1.0, 0.0), (0.7, 0.7), (0.93, 0.12)):
        for rate in (0.0, 1.0, 0.5, 0.9):
            wanted = accuracy_curve(torch.tensor([agreeing, flipped]), [rate])[0]
            hint = f"{agreeing} on agreeing and {flipped} on flipped colors make {wanted:.3f} at p = {rate}."
            yield near(student(agreeing, flipped, rate), wanted), hint


# Lesson 03 ------------------------------------------------------------------------------------------------------------


@check("slope", "By the chain rule dR/dw = mean(dR/dz · z), and for the cross-entropy dR/dz = σ(z) − y.")
def check_slope(student: Callable[[Tensor, Tensor], Any]) -> Iterator[Trial]:
    """student(logits (n, 1), labels (n,)) → derivative of the risk in the dummy scale at 1."""
    logits, labels = _batch(0)
    zero = torch.as_tensor(student(torch.zeros(8, 1), torch.ones(8).long())).sum()
    yield near(zero, 0.0), "If all logits are 0, scaling them changes nothing: the slope is 0."
    bold = torch.as_tensor(student(5 * logits, labels)).sum()
    yield (
        float(bold) > 0,
        "Logits five times too bold should be scaled down: there the risk rises with w, the slope is positive.",
    )
    for seed in range(3):
        logits, labels = _batch(seed)
        found = torch.as_tensor(student(logits, labels)).sum()
        scale = torch.ones((), requires_grad=True)
        (wanted,) = torch.autograd.grad(risk(logits * scale, labels), scale)
        yield not near(found, wanted * len(labels), 1e-3), "You took the sum over samples; the risk is a mean."
        hint = "Mind the shapes: labels (n,) against logits (n, 1) broadcast to (n, n). Use labels[:, None]."
        yield near(found, wanted), hint
        leaf = logits.clone().requires_grad_()
        graph = torch.as_tensor(student(leaf, labels))
        yield graph.requires_grad, "The slope must stay differentiable in the logits: no .item(), no detach()."


@check("objective", "Add risk and weighted penalty; divide by the weight where it is larger than 1.")
def check_objective(student: Callable[[Tensor, Tensor, float], Any]) -> Iterator[Trial]:
    """student(risk, penalty, weight) → what IRMv1 minimizes."""
    mean_risk, penalty = torch.tensor(0.4), torch.tensor(0.03)
    yield near(student(mean_risk, penalty, 0.0), 0.4), "With weight 0 the method is ERM: the risk, undivided."
    yield near(student(mean_risk, penalty, 0.5), 0.415), "Weights up to 1 do not divide: risk + weight · penalty."
    yield near(student(mean_risk, penalty, 1.0), 0.43), "At weight 1 nothing changes by dividing."
    large = float(student(mean_risk, penalty, 1e4))
    yield (
        not near(large, 300.4, 1e-2),
        "Weight 10,000 gives an objective of 300: gradients jump when annealing ends. Divide.",
    )
    hint = "The risk is divided too: the optimum must not move, only the scale."
    yield near(large, (0.4 + 300) / 1e4), hint


# Lesson 04 ------------------------------------------------------------------------------------------------------------


def _risk_vectors() -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(4)
    for count in (2, 3, 5):
        yield torch.rand(count, generator=generator) + torch.arange(count)  # well apart


@check("variance", "The mean of the squared distances from the mean risk.")
def check_variance(student: Callable[[Tensor], Any]) -> Iterator[Trial]:
    """student(risks (environments,)) → V-REx's penalty."""
    yield near(student(torch.full((3,), 0.6)), 0.0), "Equal risks have no variance: the penalty is 0."
    for risks in _risk_vectors():
        found, wanted = student(risks), vrex.penalty(risks)
        hint = "That is the unbiased variance, divided by n − 1; V-REx's environments are all there are: divide by n."
        yield not near(found, risks.var(unbiased=True)), hint
        yield near(student(risks + 1), wanted, 1e-4), "Adding 1 to every risk must not change the penalty."
        yield near(student(risks.flip(0)), found), "The order of the environments must not matter."
        yield near(found, wanted), f"For risks {[round(r, 3) for r in risks.tolist()]} it is {wanted:.5f}."
    leaf = torch.tensor([0.3, 0.6], requires_grad=True)
    yield torch.as_tensor(student(leaf)).requires_grad, "The penalty must stay differentiable in the risks."


@check("objective", "The mean risk, plus β times how far the worst risk lies above the mean.")
def check_maximum_excess(student: Callable[[Tensor, float], Any]) -> Iterator[Trial]:
    """student(risks (environments,), weight) → MM-REx's objective, before any division."""
    for risks in _risk_vectors():
        yield near(student(risks, 0.0), risks.mean()), "β = 0 is ERM: the mean risk."
        yield near(student(risks, 1.0), risks.max()), "β = 1 is the worst case: the largest risk alone."
        wanted = risks.mean() + 10 * mmrex.penalty(risks)
        yield near(student(risks, 10.0), wanted, 1e-4), "β > 1 extrapolates: the same straight line goes on."
