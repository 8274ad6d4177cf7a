"""The rules that weigh samples, and the trace of MAPLE's search."""

import pytest
import torch
from worlds import two_bit

from invtutor import reweighting
from invtutor.algorithms import maple
from invtutor.digits import Digits
from invtutor.environments import pool, split
from invtutor.recipes import Recipe, run


def small(method: str, **changes: object) -> Recipe:
    return Recipe.profile("smoke", method, device="cpu", samples=200, width=8, **changes)


def test_groups_share_out_the_samples_by_label_and_conflict() -> None:
    samples = two_bit(0.2)
    groups = reweighting.groups(samples)
    assert len(groups) == 4 and sum(map(len, groups)) == 80
    assert sorted(len(group) for group in groups) == [8, 8, 32, 32]
    assert all(len(g.labels.unique()) == len(reweighting.conflicting(g).unique()) == 1 for g in groups)


def test_group_shares_make_the_color_say_nothing() -> None:
    samples = two_bit(0.1)
    shares = reweighting.group_shares(samples)
    conflicting = reweighting.conflicting(samples)
    assert shares[conflicting].sum().item() == pytest.approx(shares[~conflicting].sum().item()) == pytest.approx(2.0)


def test_errors_count_by_the_factor() -> None:
    samples = two_bit(0.1)
    shares = reweighting.error_shares(samples, lambda inputs: inputs[:, 1:], 7.0)
    assert torch.equal(shares == 7.0, reweighting.conflicting(samples)) and set(shares.tolist()) == {1.0, 7.0}


def test_what_has_no_share_is_never_drawn() -> None:
    samples = two_bit(0.1)
    shares = reweighting.conflicting(samples).float()
    drawn = reweighting.redraw(samples, shares, torch.Generator().manual_seed(0))
    assert len(drawn) == 80 and reweighting.conflicting(drawn).all()


def test_samples_without_colors_are_refused() -> None:
    samples = two_bit(0.1)
    with pytest.raises(ValueError, match="Parameter `samples` should have colors"):
        reweighting.conflicting(type(samples)("plain", samples.inputs, samples.labels))


def test_training_on_the_world_itself_is_a_run(digits: Digits) -> None:
    recipe = small("erm", steps=5)
    algorithm, _ = reweighting.train_on(recipe, lambda world, generator: world.train, digits=digits)
    expected = run(recipe, digits=digits, progress=False).algorithm
    assert all(torch.equal(a, b) for a, b in zip(algorithm.parameters(), expected.parameters(), strict=True))


def test_a_trace_is_a_run_and_keeps_each_turn(digits: Digits) -> None:
    recipe = small("maple", steps=3)
    trace = reweighting.trace(recipe, digits=digits)
    result = run(recipe, digits=digits, progress=False)
    assert trace.accuracy(0.9) == pytest.approx(result.metrics["test p=0.9"])
    assert len(trace.turns) == 3 and len(trace.conflicting) == len(trace.turns[0].mask)
    assert len(trace.kept) == len(trace.dropped) == 20
    first, second, last = trace.turns
    assert torch.equal(first.chances, torch.full_like(first.chances, 0.3))
    assert torch.allclose(second.chances, maple.project(first.moved, 0.3 * len(first.moved)))
    assert ((second.moved < second.chances) == (second.gradient > 0)).float().mean() > 0.5
    kept = last.mask.bool()
    assert trace.precision() == pytest.approx(trace.conflicting[kept].float().mean().item())
    assert trace.recall() == pytest.approx(kept[trace.conflicting].float().mean().item())


def test_a_trace_may_keep_the_last_turns_only(digits: Digits) -> None:
    whole, short = (reweighting.trace(small("maple", steps=3), digits=digits, last=last) for last in (None, 1))
    (turn,) = short.turns
    assert torch.equal(turn.chances, whole.turns[-1].chances) and turn.metrics == whole.turns[-1].metrics
    assert short.precision() == whole.precision() and torch.equal(short.corners, whole.corners)


def test_only_maple_is_traced(digits: Digits) -> None:
    with pytest.raises(ValueError, match="Parameter `recipe` should be one of MAPLE"):
        reweighting.trace(small("erm"), digits=digits)


def test_pool_and_split_lose_nothing() -> None:
    environments = [two_bit(0.1), two_bit(0.2)]
    whole = pool(environments)
    assert len(whole) == 160 and whole.flip_rate == pytest.approx(0.15)
    rest, held_out = split(whole, 0.25, torch.Generator().manual_seed(0))
    assert len(held_out) == 40 and len(rest) == 120
    assert rest.labels.sum() + held_out.labels.sum() == whole.labels.sum()
