"""Labels without reason, and an environment for every example."""

import math
import random
from typing import Any

import numpy as np
import pytest
import torch

from invtutor.algorithms import AndMask
from invtutor.runs.recipe import Recipe
from invtutor.runs.rivals import by_heart
from invtutor.runs.run import Run, assemble, run
from invtutor.worlds.digits import Digits
from invtutor.worlds.random_labels import RandomLabels

SMALL = {"samples": 160, "width": 16, "shares": 40, "epochs": 4, "every": 4, "device": "cpu"}


def train(threshold: float, digits: Digits, **changes: Any) -> Run:
    return run(by_heart(threshold, **{**SMALL, **changes}), data=digits, progress=False)


@pytest.mark.parametrize("relabeled", [0.0, 1.0])
@pytest.mark.parametrize("threshold", [0.0, 0.2])
def test_a_run_is_its_seed(digits: Digits, threshold: float, relabeled: float) -> None:
    before = random.getstate(), torch.get_rng_state().tolist(), str(np.random.get_state())
    first, again, other = (train(threshold, digits, relabeled=relabeled, seed=s) for s in (1, 1, 2))
    assert (random.getstate(), torch.get_rng_state().tolist(), str(np.random.get_state())) == before
    assert first.history.records == again.history.records != other.history.records
    assert (first.recipe.threshold, first.recipe.relabeled) == (threshold, relabeled)
    assert len(first.history) == 5 and first.history.last["step"] == 16
    for column in ("risk", "kept", "train", "test"):
        assert all(map(math.isfinite, first.history.column(column)))
    assert all(first.metrics[column] == first.history.last[column] for column in ("train", "test"))


def test_no_threshold_keeps_all_and_a_threshold_little(digits: Digits) -> None:
    free, strict = (train(t, digits, relabeled=0.0).history.column("kept") for t in (0.0, 0.8))
    assert free == pytest.approx([1.0] * 5)
    assert all(0 < kept < 0.3 for kept in strict)


@pytest.mark.long
def test_the_mask_stops_learning_by_heart_and_lets_digits_through(mnist: Digits) -> None:
    options = {"samples": 200, "width": 64, "epochs": 60, "every": 300}
    learned, stopped, digits_too = (
        train(threshold, mnist, relabeled=share, **options).metrics
        for threshold, share in ((0.0, 1.0), (0.4, 1.0), (0.4, 0.0))
    )
    assert learned["train"] > 0.95 and stopped["train"] < 0.4
    assert digits_too["test"] > 0.4
    assert learned["test"] < 0.2 and stopped["test"] < 0.2


def test_each_sample_of_a_batch_is_an_environment_of_its_own(digits: Digits) -> None:
    ready = assemble(by_heart(0.2, **SMALL), digits)
    world = ready.world
    assert isinstance(ready.algorithm, AndMask) and ready.recipe.batch_size == 1
    assert [len(share) for share in ready.environments] == [4] * 40 and ready.recipe.steps == 4 * 160 // 40
    assert len({share.name for share in world.train}) == 40 and world.outputs == 10 and not world.validation
    assert len(world.pooled.index.unique()) == 160, "no digit twice"
    assert torch.equal(world.pooled["true_label"], digits.labels[world.pooled.index])
    (test,) = world.tests
    assert torch.equal(test.labels, digits.test_labels), "the test has true labels"


def test_a_share_of_the_labels_is_drawn_from_all_classes(digits: Digits) -> None:
    true, noisy, random_ = (
        RandomLabels(4000, 10, share).draw(digits, torch.Generator().manual_seed(0)).pooled
        for share in (0.0, 0.25, 1.0)
    )
    assert all(torch.equal(some["true_label"], digits.labels[some.index]) for some in (true, noisy, random_))
    assert torch.equal(true.labels, true["true_label"])
    for some, share in ((noisy, 0.25), (random_, 1.0)):
        right = (some.labels == some["true_label"]).double().mean().item()
        assert right == pytest.approx(1 - 0.9 * share, abs=4 * math.sqrt(0.1 * 0.9 * share / 4000))
    assert random_.labels.bincount(minlength=10).min() > 300


@pytest.mark.usefixtures("small_data")
@pytest.mark.parametrize("world", ["random_labels", "random_labels_cifar10", "random_labels_shapes"])
def test_the_same_runs_on_every_kind_of_pictures(world: str) -> None:
    """On CIFAR-10 from its archive. What is told of wrong labels is counted again, from the model's answers."""
    done = run(Recipe.profile("smoke", "and_mask", world=world, samples=90, shares=30, test_samples=20, relabeled=0.5))
    trained, classes = done.world, done.world.classes
    assert [len(share) for share in trained.train] == [3] * 30 and len(trained.tests[0]) == 20
    assert (classes, done.recipe.network) == (2 if world.endswith("shapes") else 10, "residual")
    logits = done.algorithm.predict(trained.pooled.inputs)
    answers = (logits[:, 0] > 0).long() if classes == 2 else logits.argmax(1)
    truth, labels = trained.pooled["true_label"], trained.pooled.labels
    wrong = labels != truth
    assert 0 < wrong.sum() < 45 and truth.max() < classes
    found = [(answers == some)[wrong].double().mean().item() for some in (labels, truth)]
    assert [done.metrics[f"mislabelled {kind}"] for kind in ("recalled", "seen through")] == found
    assert done.metrics["train"] == (answers == labels).double().mean().item()


def test_where_no_label_is_wrong_none_is_told_of(digits: Digits) -> None:
    assert not any("mislabelled" in name for name in train(0.0, digits, relabeled=0.0).history.names)


@pytest.mark.parametrize("changes", [{"samples": 39}, {"samples": 60_001}, {"shares": 161}])
def test_samples_are_checked(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"^Parameter `samples` should be .*in "):
        by_heart(0.2, **{**SMALL, **changes})


@pytest.mark.parametrize(("world", "most"), [("random_labels_cifar10", 50_000), ("random_labels_shapes", 10_000)])
def test_there_are_only_so_many_pictures(world: str, most: int) -> None:
    with pytest.raises(ValueError, match=rf"^Parameter `samples` should be in \[80, {most}\]"):
        Recipe(world=world, world_options={"samples": most + 1})
    with pytest.raises(ValueError, match=r"^Parameter `test_samples` should be .*in \[1, "):
        Recipe(world=world, world_options={"test_samples": 10_001})
