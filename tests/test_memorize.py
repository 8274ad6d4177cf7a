"""Labels without reason, and an environment for every example."""

import math
import random

import numpy as np
import pytest
import torch
from invtutor.runs.memorize import train

from invtutor.worlds.digits import Digits

SMALL = {"samples": 160, "width": 16, "batch_size": 40, "epochs": 4, "every": 4, "progress": False}


@pytest.mark.parametrize("random_labels", [False, True])
@pytest.mark.parametrize("threshold", [0.0, 0.2])
def test_a_run_is_its_seed(digits: Digits, threshold: float, random_labels: bool) -> None:
    before = random.getstate(), torch.get_rng_state().tolist(), str(np.random.get_state())
    first, again, other = (train(threshold, digits, random_labels=random_labels, seed=s, **SMALL) for s in (1, 1, 2))
    assert (random.getstate(), torch.get_rng_state().tolist(), str(np.random.get_state())) == before
    assert first.history.records == again.history.records != other.history.records
    assert (first.threshold, first.random_labels) == (threshold, random_labels)
    assert len(first.history) == 5 and first.history.last["step"] == 16
    for column in ("risk", "kept", "train", "test"):
        assert all(map(math.isfinite, first.history.column(column)))
    assert first.train_accuracy == first.history.last["train"]
    assert first.test_accuracy == first.history.last["test"]


def test_no_threshold_keeps_all_and_a_threshold_little(digits: Digits) -> None:
    free, strict = (train(t, digits, **SMALL).history.column("kept") for t in (0.0, 0.8))
    assert free == pytest.approx([1.0] * 5)
    assert all(0 < kept < 0.3 for kept in strict)


def test_the_mask_stops_learning_by_heart_and_lets_digits_through(mnist: Digits) -> None:
    options = SMALL | {"samples": 200, "width": 64, "epochs": 60, "every": 300}
    by_heart, stopped, digits_too = (
        train(threshold, mnist, random_labels=chance, **options)
        for threshold, chance in ((0.0, True), (0.4, True), (0.4, False))
    )
    assert by_heart.train_accuracy > 0.95 and stopped.train_accuracy < 0.4
    assert digits_too.test_accuracy > 0.4
    assert by_heart.test_accuracy < 0.2 and stopped.test_accuracy < 0.2


@pytest.mark.parametrize("changes", [{"samples": 39}, {"samples": 60_001}, {"batch_size": 0}])
def test_samples_are_checked(digits: Digits, changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="`samples` should be in"):
        train(0.2, digits, **{**SMALL, **changes})
