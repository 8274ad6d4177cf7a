"""The methods that weigh samples by a rule, and the trace of MAPLE's search."""

import pytest
import torch
from two_bits import network, two_bit

from invtutor.algorithms import ERM, JTT, GroupDRO, Upweighting, groups, jtt, maple
from invtutor.runs import reweighting
from invtutor.runs.recipe import Recipe
from invtutor.runs.run import run
from invtutor.worlds.digits import Digits
from invtutor.worlds.environment import Environment, conflicting, pool, split


def small(method: str, **changes: object) -> Recipe:
    return Recipe.profile("smoke", method, device="cpu", samples=200, width=8, **changes)


def test_groups_share_out_the_samples_by_label_and_conflict() -> None:
    samples = two_bit(0.2)
    found = groups.groups(samples)
    assert len(found) == 4 and sum(map(len, found)) == 80
    assert sorted(len(group) for group in found) == [8, 8, 32, 32]
    assert all(len(g.labels.unique()) == len(conflicting(g).unique()) == 1 for g in found)


def test_group_shares_make_the_color_say_nothing() -> None:
    samples = two_bit(0.1)
    shares = groups.group_shares(samples)
    against = conflicting(samples)
    assert shares[against].sum().item() == pytest.approx(shares[~against].sum().item()) == pytest.approx(2.0)


def test_errors_count_by_the_factor() -> None:
    samples = two_bit(0.1)
    shares = jtt.error_shares(samples, lambda inputs: inputs[:, 1:], 7.0)
    assert torch.equal(shares == 7.0, conflicting(samples)) and set(shares.tolist()) == {1.0, 7.0}


def test_what_has_no_share_is_never_drawn() -> None:
    samples = two_bit(0.1)
    shares = conflicting(samples).float()
    drawn = groups.redraw(samples, shares, torch.Generator().manual_seed(0))
    assert len(drawn) == 80 and conflicting(drawn).all()


def test_samples_without_conflict_are_refused() -> None:
    samples = two_bit(0.1)
    with pytest.raises(ValueError, match=r"^Parameter `samples` should be from a world .+ Found 'bare', which"):
        conflicting(Environment("bare", samples.inputs, samples.labels, {"color": samples["color"]}))


def test_groups_of_the_worlds_own_go_before_those_of_label_and_conflict() -> None:
    samples = two_bit(0.1)
    place = torch.arange(80) % 5
    found = groups.groups(Environment("own", samples.inputs, samples.labels, {**samples.attributes, "group": place}))
    assert [len(group) for group in found] == [16] * 5


def test_upweighting_draws_groups_of_one_size() -> None:
    drawn = Upweighting(network()).prepare([two_bit(0.1)] * 50, torch.Generator().manual_seed(0))
    sizes = [len(group) for group in groups.groups(drawn[0])]
    assert len(drawn) == 1 and sum(sizes) == 4000 and sizes == pytest.approx([1000] * 4, rel=0.15)


def test_jtt_counts_what_a_short_erm_gets_wrong() -> None:
    environments, model = [two_bit(0.1), two_bit(0.2)], network(width=32)
    before = [parameter.clone() for parameter in model.parameters()]
    method, generator = JTT(model, factor=1e6, first_steps=300, first_rate=0.01), torch.Generator().manual_seed(0)
    (drawn,) = method.prepare(environments, generator)
    assert all(map(torch.equal, before, model.parameters())), "the first model is another one"
    erm = ERM(network(width=32))
    optimizer = torch.optim.Adam(erm.parameters(), lr=0.01)
    samples, draws = pool(environments), torch.Generator().manual_seed(0)
    for _ in range(300):
        optimizer.zero_grad()
        erm.backward([samples.sample(1500, draws)])
        optimizer.step()
    assert (jtt.error_shares(drawn, erm.predict, 1e6) == 1e6).all()


def test_group_dro_takes_groups_where_it_is_told_to() -> None:
    environments = [two_bit(0.1), two_bit(0.2)]
    assert GroupDRO(network()).prepare(environments) is environments
    assert len(GroupDRO(network(), over="groups").prepare(environments)) == 4


@pytest.mark.parametrize("method", ["upweighting", "jtt", "dann", "group_dro"])
def test_methods_of_lessons_are_methods_by_name(method: str, digits: Digits) -> None:
    changes = {"over": "groups"} if method == "group_dro" else {}
    one, again = (run(small(method, steps=5, **changes), data=digits, progress=False) for _ in "ab")
    assert one.history.records == again.history.records and 0 <= one.metrics["test p=0.9"] <= 1


def test_a_trace_is_a_run_and_keeps_each_turn(digits: Digits) -> None:
    recipe = small("maple", steps=3)
    trace = reweighting.trace(recipe, data=digits)
    result = run(recipe, data=digits, progress=False)
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
    whole, short = (reweighting.trace(small("maple", steps=3), data=digits, last=last) for last in (None, 1))
    (turn,) = short.turns
    assert torch.equal(turn.chances, whole.turns[-1].chances) and turn.metrics == whole.turns[-1].metrics
    assert short.precision() == whole.precision() and torch.equal(short.corners, whole.corners)


def test_only_maple_is_traced(digits: Digits) -> None:
    with pytest.raises(ValueError, match="Parameter `recipe` should be one of MAPLE"):
        reweighting.trace(small("erm"), data=digits)


def test_pool_and_split_lose_nothing() -> None:
    environments = [two_bit(0.1), two_bit(0.2)]
    whole = pool(environments)
    assert len(whole) == 160 and conflicting(whole).sum() == sum(conflicting(e).sum() for e in environments)
    rest, held_out = split(whole, 0.25, torch.Generator().manual_seed(0))
    assert len(held_out) == 40 and len(rest) == 120
    assert rest.labels.sum() + held_out.labels.sum() == whole.labels.sum()
