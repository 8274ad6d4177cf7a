"""What a page needs for the exact world of two bits: for each method a tape that tells all of a moment of its descent.

The four cases are counted out as samples, so that every risk is that of `exact.two_bit` to the last digit.
"""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from invtutor.algorithms import ALGORITHMS, Algorithm
from invtutor.algorithms.descent import descend, risk_at
from invtutor.course.book.tape import Tape
from invtutor.course.book.writer import record
from invtutor.exact.two_bit import cases
from invtutor.figures import COLORS
from invtutor.runs.knobs import sign
from invtutor.runs.pure import Batch, State, batch_of, filled
from invtutor.runs.recipe import Recipe, label
from invtutor.worlds.colored_mnist import OOD_RATE
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import correct

__all__ = ["METHODS", "NOISE", "RATES", "moment_tape", "two_bits"]

METHODS: Mapping[str, Mapping[str, float]] = {  # with the knobs with which a page begins
    "erm": {"learning_rate": 3.0},
    "irmv1": {"penalty_weight": 1000.0, "learning_rate": 10.0},
    "vrex": {"penalty_weight": 1000.0, "learning_rate": 30.0},
    "meta_irm": {"penalty_weight": 10.0, "inner_rate": 1.0, "learning_rate": 3.0},
}
LADDERS: Mapping[str, list[float]] = {
    "penalty_weight": [0, 0.5, 1, 2, 5, 10, 100, 1000, 10_000],
    "inner_rate": [0, 0.1, 0.3, 1, 2, 3, 5],
    "learning_rate": [0.1, 0.3, 1, 3, 10, 30],
}
RATES, NOISE = (0.1, 0.2), 0.25
SAMPLES = 400  # of an environment: enough to count out all chances in steps of 1/20


class TwoWeights(nn.Module):
    """The logit w_shape·s + w_color·c."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(2))

    def forward(self, inputs: Tensor) -> Tensor:
        return (inputs * self.weights).sum(1, keepdim=True)


def two_bits() -> str:
    """The script with settings and tapes."""
    settings = {
        "methods": {name: {"label": label(name), "knobs": _signed(name)} for name in METHODS},
        "ladders": LADDERS,
        "rates": RATES,
        "outside": OOD_RATE,
        "noise": NOISE,
        "cases": cases().tolist(),
        "samples": SAMPLES,
        "colors": COLORS,
    }
    parts = [moment_tape(method).script(f"two_bits-{method}") for method in METHODS]
    return f"live.two_bits = {json.dumps(settings, ensure_ascii=False)};\n" + "".join(parts)


def _signed(method: str) -> dict[str, Any]:
    recipe, words = Recipe.profile("quick", method), {"learning_rate": "Step size"}  # no Adam here
    return {name: {"sign": words.get(name) or sign(recipe, name), "value": v} for name, v in METHODS[method].items()}


def moment_tape(method: str) -> Tape:
    """θ, the environments' samples and the knobs → every environment's risk, gradient and accuracy, what the method
    makes of them, and where a step of plain descent goes. The last environment is only judged."""
    algorithm = ALGORITHMS[method](TwoWeights())
    environments = [_counted(rate) for rate in (*RATES, OOD_RATE)]
    algorithm.prepare(environments[:-1])
    example = {
        "theta": torch.zeros(2),
        "batch": batch_of(environments),
        "state": {name: getattr(algorithm, name) for name in algorithm.carries or ()},
        "knobs": {name: torch.tensor(value) for name, value in METHODS[method].items()},
    }
    return record(partial(_moment, algorithm), example)


def _moment(
    algorithm: Algorithm, theta: Tensor, batch: Batch, state: State, knobs: Mapping[str, Any]
) -> dict[str, Any]:
    (moved,), _, metrics = filled(algorithm)([theta], state, batch[:-1], knobs)
    assert moved.grad is not None
    leaf = theta.detach().clone().requires_grad_()
    placed = {"weights": leaf}
    losses = [risk_at(algorithm.model, placed, e["inputs"], e["labels"]) for e in batch]
    told: dict[str, Any] = {
        "risks": torch.stack([loss.detach() for loss in losses]),
        "gradients": [torch.autograd.grad(loss, leaf, retain_graph=True)[0] for loss in losses],
        "accuracies": torch.stack([_accuracy(algorithm.model, leaf.detach(), e) for e in batch]),
        "gradient": moved.grad,
        "metrics": metrics,
        "moved": theta - knobs["learning_rate"] * moved.grad,
    }
    if "inner_rate" in knobs:
        steps = [descend(placed, loss, knobs["inner_rate"], first_order=True) for loss in losses[:-1]]
        told["adapted"] = [step["weights"].detach() for step in steps]
    return told


def _accuracy(model: nn.Module, theta: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
    logits = torch.func.functional_call(model, {"weights": theta}, (batch["inputs"],))
    return correct(logits, batch["labels"]).float().mean()


def _counted(rate: float, noise: float = NOISE) -> Environment:
    """An environment of which each sample agrees with the label or not, in shape and color, as (s, c) = ±1."""
    shape, color = (((1 + cases()[:, place]) / 2) for place in (0, 1))
    chances = (noise + shape * (1 - 2 * noise)) * (rate + color * (1 - 2 * rate))
    inputs = cases().float().repeat_interleave((SAMPLES * chances).round().long(), 0)
    return Environment(f"p={rate:g}", inputs, torch.ones(SAMPLES, dtype=torch.long))
