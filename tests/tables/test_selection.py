"""Model selection: repainted validation digits, and rules that pick what they should from made-up candidates."""

import pytest
import torch

from invtutor.tables.selection import CRITERIA, Candidate, chosen, ranking, select
from invtutor.worlds.colored_mnist import ColoredWorld, colored_mnist, recolored
from invtutor.worlds.digits import Digits
from invtutor.worlds.environment import Environment


def world(digits: Digits, **changes: object) -> ColoredWorld:
    return colored_mnist(digits, samples=50, **changes)  # type: ignore[arg-type]


def color(inputs: torch.Tensor) -> torch.Tensor:
    """Logits of a predictor that says: the label is the lit channel."""
    lit = inputs.flatten(2).sum(2)
    return lit[:, 1:] - lit[:, :1] if lit.shape[1] == 2 else lit


CANDIDATES = [
    Candidate("ERM", "a", (0.90, 0.80), (0.88, 0.70), (1.0, 0.0), 0.10),
    Candidate("ERM", "b", (0.70, 0.60), (0.60, 0.60), (0.60, 0.40), 0.41),
    Candidate("IRMv1", "a", (0.72, 0.70), (0.70, 0.69), (0.72, 0.68), 0.69),
    Candidate("IRMv1", "b", (0.88, 0.79), (0.89, 0.71), (0.95, 0.05), 0.14),
    Candidate("IRMv1", "c", (0.10, 0.20), (0.10, 0.20), (0.02, 0.99), 0.88),
]


@pytest.mark.parametrize("classes", [2, 5])
def test_corners_of_a_predictor_that_sees_color_alone(digits: Digits, classes: int) -> None:
    assert world(digits, classes=classes).validation_corners(color) == [1.0, 0.0]


def test_recolored_changes_the_color_and_nothing_else(digits: Digits) -> None:
    environment = world(digits).validation[1]
    agreeing, flipped = recolored(environment, 0), recolored(environment, 1)
    assert torch.equal(agreeing["color"], environment.labels)
    assert torch.equal(flipped["color"], 1 - environment.labels)
    for painted in (agreeing, flipped):
        assert torch.equal(painted.inputs.sum(1), environment.inputs.sum(1))
        assert torch.equal(painted.inputs.flatten(2).sum(2) > 0, torch.nn.functional.one_hot(painted["color"], 2) > 0)
    same = environment["color"] == environment.labels
    assert torch.equal(agreeing.inputs[same], environment.inputs[same])


def patch(inputs: torch.Tensor) -> torch.Tensor:
    """Logits of a predictor that says: the label is the corner that holds the patch."""
    corners = inputs.amax(1)[:, :3]
    return (corners[:, :, -3:] - corners[:, :, :3]).sum((1, 2)).unsqueeze(1)


def test_gray_has_one_corner_twice_and_patches_two_times_two(digits: Digits) -> None:
    gray = world(digits, grayscale=True)
    low, high = gray.validation_corners(lambda inputs: inputs.flatten(1).sum(1, keepdim=True) - 60.0)
    assert low == high
    patched = world(digits, patch=True)
    assert patched.validation_corners(color) == [[1.0, 1.0], [0.0, 0.0]]
    assert patched.validation_corners(patch) == [[1.0, 0.0], [1.0, 0.0]]
    with pytest.raises(ValueError, match="should have colors"):
        recolored(Environment("plain", torch.zeros(3, 2, 14, 14), torch.zeros(3, dtype=torch.int64)), 1)


def test_recolored_moves_the_patch_and_keeps_the_digit(digits: Digits) -> None:
    environment = world(digits, patch=True).validation[0]
    moved = recolored(environment, 0, 1)
    assert torch.equal(moved["color"], environment.labels) and torch.equal(moved["patch"], 1 - environment.labels)
    assert torch.equal(moved["digit"], environment["digit"]) and torch.equal(moved.labels, environment.labels)
    below = [some.inputs.amax(1)[:, 3:] for some in (moved, environment)]
    assert torch.equal(*below)
    again = recolored(moved, 0, 1)
    assert torch.equal(again.inputs, moved.inputs)


@pytest.mark.parametrize(
    ("criterion", "erm", "irmv1", "first"),
    [
        ("training domains", "a", "b", "ERM"),
        ("leave one out", "a", "b", "IRMv1"),
        ("oracle", "b", "c", "IRMv1"),
        ("worst case", "b", "a", "IRMv1"),
    ],
)
def test_what_each_rule_picks(criterion: str, erm: str, irmv1: str, first: str) -> None:
    picked = chosen(CANDIDATES, CRITERIA[criterion])
    assert {method: candidate.setting for method, candidate in picked.items()} == {"ERM": erm, "IRMv1": irmv1}
    assert ranking(CANDIDATES, CRITERIA[criterion])[0] == first


def test_a_ranking_is_by_the_rules_own_score_and_blind_to_the_test() -> None:
    dull = Candidate("GroupDRO", "a", (0.5, 0.5), (0.5, 0.5), (0.5, 0.5), 0.99)
    for rule in ("training domains", "leave one out"):
        assert ranking([*CANDIDATES[:3], dull], CRITERIA[rule]) == ["ERM", "IRMv1", "GroupDRO"]
    assert ranking([*CANDIDATES[:3], dull], CRITERIA["oracle"]) == ["IRMv1", "GroupDRO", "ERM"]


def test_no_rule_looks_at_the_test() -> None:
    for criterion in CRITERIA.values():
        first = select(CANDIDATES[:2], criterion)
        changed = [Candidate(**{**vars(c), "test": 1 - c.test}) for c in CANDIDATES[:2]]
        assert select(changed, criterion).setting == first.setting


def test_the_first_of_equals_and_none() -> None:
    twins = [Candidate("ERM", name, (0.7,), (0.7,), (0.7, 0.7), 0.7) for name in "ab"]
    assert all(select(twins, criterion).setting == "a" for criterion in CRITERIA.values())
    with pytest.raises(ValueError):
        select([], CRITERIA["oracle"])
