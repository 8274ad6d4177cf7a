"""Labels without reason, and an environment for every example."""

import math
import random
from typing import Any

import numpy as np
import pytest
import torch

from invtutor.algorithms import AndMask
from invtutor.runs.rivals import by_heart
from invtutor.runs.run import Run, assemble, run
from invtutor.worlds.digits import Digits
from invtutor.worlds.random_labels import CLASSES, RandomLabels

SMALL = {"samples": 160, "width": 16, "shares": 40, "epochs": 4, "every": 4, "device": "cpu"}


def train(threshold: float, digits: Digits, **changes: Any) -> Run:
    return run(by_heart(threshold, **{**SMALL, **changes}), data=digits, progress=False)


@pytest.mark.parametrize("random_labels", [False, True])
@pytest.mark.parametrize("threshold", [0.0, 0.2])
def test_a_run_is_its_seed(digits: Digits, threshold: float, random_labels: bool) -> None:
    before = random.getstate(), torch.get_rng_state().tolist(), str(np.random.get_state())
    first, again, other = (train(threshold, digits, random=random_labels, seed=s) for s in (1, 1, 2))
    assert (random.getstate(), torch.get_rng_state().tolist(), str(np.random.get_state())) == before
    assert first.history.records == again.history.records != other.history.records
    assert (first.recipe.threshold, first.recipe.random) == (threshold, random_labels)
    assert len(first.history) == 5 and first.history.last["step"] == 16
    for column in ("risk", "kept", "train", "test"):
        assert all(map(math.isfinite, first.history.column(column)))
    assert all(first.metrics[column] == first.history.last[column] for column in ("train", "test"))


def test_no_threshold_keeps_all_and_a_threshold_little(digits: Digits) -> None:
    free, strict = (train(t, digits, random=False).history.column("kept") for t in (0.0, 0.8))
    assert free == pytest.approx([1.0] * 5)
    assert all(0 < kept < 0.3 for kept in strict)


def test_the_mask_stops_learning_by_heart_and_lets_digits_through(mnist: Digits) -> None:
    options = {"samples": 200, "width": 64, "epochs": 60, "every": 300}
    learned, stopped, digits_too = (
        train(threshold, mnist, random=chance, **options).metrics
        for threshold, chance in ((0.0, True), (0.4, True), (0.4, False))
    )
    assert learned["train"] > 0.95 and stopped["train"] < 0.4
    assert digits_too["test"] > 0.4
    assert learned["test"] < 0.2 and stopped["test"] < 0.2


def test_each_sample_of_a_batch_is_an_environment_of_its_own(digits: Digits) -> None:
    ready = assemble(by_heart(0.2, **SMALL), digits)
    world = ready.world
    assert isinstance(ready.algorithm, AndMask) and ready.recipe.batch_size == 1
    assert [len(share) for share in ready.environments] == [4] * 40 and ready.recipe.steps == 4 * 160 // 40
    assert len({share.name for share in world.train}) == 40 and world.outputs == CLASSES and not world.validation
    assert len(world.pooled.index.unique()) == 160, "no digit twice"
    assert torch.equal(world.pooled["digit"], digits.labels[world.pooled.index])
    (test,) = world.tests
    assert torch.equal(test.labels, digits.test_labels), "the test has true labels"


def test_labels_are_drawn_from_the_ten_or_true(digits: Digits) -> None:
    drawn, true = (
        RandomLabels(4000, 10, chance).draw(digits, torch.Generator().manual_seed(0)).pooled for chance in (True, False)
    )
    assert torch.equal(true.labels, true["digit"]) and torch.equal(drawn["digit"], true["digit"])
    right = (drawn.labels == drawn["digit"]).double().mean().item()
    assert right == pytest.approx(0.1, abs=4 * math.sqrt(0.1 * 0.9 / 4000))
    assert drawn.labels.bincount(minlength=10).min() > 300


@pytest.mark.parametrize("changes", [{"samples": 39}, {"samples": 60_001}, {"shares": 161}])
def test_samples_are_checked(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"^Parameter `samples` should be .*in "):
        by_heart(0.2, **{**SMALL, **changes})
