"""MAPLE against finite differences, brute force and the double backward pass; and the two-bit world it must solve."""

from collections.abc import Sequence
from copy import deepcopy

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from two_bits import TEST_RATE, network, training_environments, two_bit

from invtutor.algorithms import ERM, MAPLE, inner, maple
from invtutor.algorithms.descent import descend
from invtutor.algorithms.inner import settle, slopes_along
from invtutor.runs.loop import fit
from invtutor.worlds.environment import Environment, group_of, pool
from invtutor.worlds.risks import accuracy, risk, squared_norm

DOUBLE = torch.float64


def prepared(**hyper: object) -> tuple[MAPLE, Sequence[Environment]]:
    algorithm = MAPLE(network(dtype=DOUBLE), l2=1e-3, **{"inner_steps": 20, "inner_batch": 32} | hyper)  # type: ignore[arg-type]
    return algorithm, algorithm.prepare(training_environments(dtype=DOUBLE))


# The projections


def nearest(values: Tensor, budget: float) -> Tensor:
    """The projection by its breakpoints: between two of them the sum of clamp(s − v, 0, 1) is linear in v."""
    points = torch.cat([values, values - 1, torch.zeros(1)]).clamp(min=0).unique()
    sums = torch.stack([(values - v).clamp(0, 1).sum() for v in points])
    if sums[0] <= budget:
        return values.clamp(0, 1)
    right = int((sums <= budget).nonzero()[0])
    left = right - 1
    share = (sums[left] - budget) / (sums[left] - sums[right])
    return (values - (points[left] + share * (points[right] - points[left]))).clamp(0, 1)


@pytest.mark.parametrize("budget", [0.5, 3.0, 12.0, 40.0])
@pytest.mark.parametrize("spread", [0.2, 2.0])
def test_the_projection_is_the_exact_one(budget: float, spread: float) -> None:
    values = 0.3 + spread * torch.randn(40, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    ours = maple.project(values, budget)
    assert torch.allclose(ours, nearest(values, budget).to(DOUBLE), atol=1e-9)
    assert ours.sum() <= budget + 1e-9 and ours.min() >= 0 and ours.max() <= 1


def test_no_point_within_the_budget_is_nearer_than_the_projection() -> None:
    generator = torch.Generator().manual_seed(0)
    values = 0.5 + torch.randn(6, generator=generator, dtype=DOUBLE)
    others = torch.rand(20_000, 6, generator=generator, dtype=DOUBLE)
    others = others[others.sum(1) <= 2.0]
    ours = maple.project(values, 2.0)
    assert len(others) > 1000 and (others - values).norm(dim=1).min() >= (ours - values).norm() - 1e-9


def test_what_is_within_the_budget_stays() -> None:
    inside = torch.tensor([0.2, 0.0, 1.0, 0.5], dtype=DOUBLE)
    assert torch.allclose(maple.project(inside, 1.7), inside, atol=1e-12)
    assert not maple.project(torch.tensor([-1.0, -2.0]), 1.0).any()


def test_weights_are_positive_and_inside_the_ball() -> None:
    assert torch.equal(maple.shrink(torch.tensor([0.3, -4.0]), 1.0), torch.tensor([0.3, 0.0]))
    assert torch.allclose(maple.shrink(torch.tensor([3.0, 4.0, -9.0]), 1.0), torch.tensor([0.6, 0.8, 0.0]))


# The hypergradient


def last_step(algorithm: MAPLE, before: dict[str, Tensor], shares: Tensor, total: Tensor) -> dict[str, Tensor]:
    """θ_T as a function of the shares, from a fixed θ_{T−1}: the inner problem's last step, on all samples."""
    theta = {name: tensor.detach().requires_grad_() for name, tensor in before.items()}
    logits = functional_call(algorithm.model, theta, (algorithm.inner.inputs,))
    losses = risk(logits, algorithm.inner.labels, reduction="none")
    norm = torch.stack([tensor.square().sum() for tensor in theta.values()]).sum()
    return descend(theta, shares @ losses / total + algorithm.l2 * norm, algorithm.inner_rate)


def judged(algorithm: MAPLE, theta: dict[str, Tensor], validation: Sequence[Environment]) -> Tensor:
    model = deepcopy(algorithm.model)
    scale = torch.ones((), dtype=DOUBLE, requires_grad=True)
    found = torch.stack([risk(scale * functional_call(model, theta, (e.inputs,)), e.labels) for e in validation])
    slopes = torch.stack([torch.autograd.grad(one, scale, create_graph=True)[0] for one in found])
    return {"variance": found.var(unbiased=False), "worst": found.max(), "irmv1": slopes.square().mean()}[
        algorithm.objective
    ]


@pytest.mark.parametrize("objective", ["variance", "irmv1", "worst"])
def test_the_hypergradient_by_finite_differences(objective: str) -> None:
    algorithm, validation = prepared(objective=objective, learn_weights=True, budget=0.6)
    algorithm.weights.data.uniform_(0.5, 1.0, generator=torch.Generator().manual_seed(3))
    weights = algorithm.weights.detach().clone()
    replay = deepcopy(algorithm)
    algorithm.backward(validation)
    shares = replay.draw()
    assert torch.equal(shares, algorithm.mask * weights)
    options = ((20, 32), replay.inner_rate, replay.l2, replay.generator)
    before = settle(replay.model, replay.start, replay.inner, shares, *options)
    step, n, total = 1e-4, len(shares), shares.sum()
    assert algorithm.probabilities.grad is not None and algorithm.weights.grad is not None
    largest = algorithm.probabilities.grad.abs().max().item()
    for i in range(0, n, 7):
        nudge = torch.zeros_like(shares)
        nudge[i] = step
        up, down = (
            judged(algorithm, last_step(algorithm, before, shares + sign * nudge, total), validation).item()
            for sign in (1, -1)
        )
        slope = n * (up - down) / (2 * step)  # of Φ in the share m·w of sample i
        assert algorithm.probabilities.grad[i].item() == pytest.approx(
            weights[i].item() * slope, rel=1e-4, abs=1e-6 * largest
        )
        assert algorithm.weights.grad[i].item() == pytest.approx(
            algorithm.mask[i].item() * slope, rel=1e-4, abs=1e-6 * largest
        )


def test_the_hypergradient_is_that_of_a_second_backward_pass() -> None:
    algorithm, validation = prepared()
    shares = algorithm.draw().requires_grad_()
    before = settle(
        algorithm.model, algorithm.start, algorithm.inner, shares.detach(), (20, 32), 0.1, 1e-3, algorithm.generator
    )
    phi = judged(algorithm, last_step(algorithm, before, shares, shares.sum().detach()), validation)
    (expected,) = torch.autograd.grad(phi, shares)
    other, validation = prepared()
    other.backward(validation)
    assert other.probabilities.grad is not None
    assert torch.allclose(other.probabilities.grad, len(shares) * expected, rtol=1e-8)


@pytest.mark.parametrize("part", [inner.PART, 14])
def test_slopes_along_a_direction_are_those_of_single_gradients(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inner, "PART", part)  # all at once, or seven samples of two numbers
    model, samples = network(dtype=DOUBLE), training_environments(dtype=DOUBLE)[0]
    theta = {name: parameter.detach() for name, parameter in model.named_parameters()}
    direction = [torch.full_like(tensor, 0.3) for tensor in theta.values()]
    ours = slopes_along(model, theta, direction, samples)
    for i in range(0, len(samples), 9):
        loss = risk(model(samples.inputs[i : i + 1]), samples.labels[i : i + 1])
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        assert ours[i].item() == pytest.approx(0.3 * sum(g.sum().item() for g in gradients))


# The inner problem


def test_the_inner_problem_at_equal_shares_is_erm() -> None:
    model, environments = network(dtype=DOUBLE), training_environments(dtype=DOUBLE)
    before = settle(
        model, model.state_dict(), pool(environments), torch.full((160,), 0.7, dtype=DOUBLE), (3, 8), 0.05, 1e-2,
        torch.Generator().manual_seed(0),
    )  # fmt: skip
    erm = ERM(network(dtype=DOUBLE), l2=1e-2)
    erm.model.load_state_dict(before)
    erm.backward(environments)
    for ours, then, parameter in zip(model.parameters(), before.values(), erm.parameters(), strict=True):
        assert parameter.grad is not None and parameter.grad.any()
        assert torch.allclose((then - ours) / 0.05, parameter.grad, rtol=1e-9)


def test_samples_without_a_share_do_not_exist() -> None:
    samples = training_environments(dtype=DOUBLE)[0]
    shares = torch.zeros(80, dtype=DOUBLE)
    shares[::3] = 1.0
    spoiled = Environment("spoiled", samples.inputs.clone(), 1 - samples.labels)
    spoiled.inputs[::3], spoiled.labels[::3] = samples.inputs[::3], samples.labels[::3]
    found = []
    for environment in (samples, spoiled):
        model = network(dtype=DOUBLE)
        settle(model, model.state_dict(), environment, shares, (10, 16), 0.1, 0.0, torch.Generator().manual_seed(0))
        found.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    assert torch.equal(*found)


def test_an_empty_selection_is_an_error() -> None:
    algorithm, validation = prepared()
    algorithm.probabilities.data.fill_(-1.0)
    with pytest.raises(FloatingPointError, match="No sample is left"):
        algorithm.backward(validation)


def test_it_begins_anew_each_time() -> None:
    algorithm, validation = prepared()
    start = deepcopy(dict(algorithm.start))
    for _ in range(2):
        algorithm.backward(validation)
        assert all(torch.equal(start[name], tensor) for name, tensor in algorithm.start.items())
        assert any(not torch.equal(start[name], tensor) for name, tensor in algorithm.model.state_dict().items())


# What it holds


def test_validation_is_held_out() -> None:
    environments = training_environments(dtype=DOUBLE)
    marked = [Environment(e.name, torch.full_like(e.inputs, i), e.labels) for i, e in enumerate(environments)]
    for i, e in enumerate(marked):
        e.inputs[:, 0] = 1000 * i + torch.arange(80)
    algorithm = MAPLE(network(dtype=DOUBLE), held_out=0.25)
    validation = algorithm.prepare(marked)
    assert [len(e) for e in validation] == [20, 20] and len(algorithm.inner) == 120
    seen = torch.cat([algorithm.inner.inputs[:, 0], *(e.inputs[:, 0] for e in validation)])
    assert len(seen.unique()) == 160
    assert all((e.inputs[:, 1] == i).all() for i, e in enumerate(validation))


def test_over_groups_it_compares_those_of_what_is_held_out() -> None:
    environments = training_environments(dtype=DOUBLE)
    usual, by_group = (MAPLE(network(dtype=DOUBLE), held_out=0.25, over=over) for over in ("environments", "groups"))
    whole, parts = pool(usual.prepare(environments)), by_group.prepare(environments)
    numbers = [group_of(part).unique().tolist() for part in parts]
    assert numbers == [[0], [1], [2], [3]] and sum(map(len, parts)) == len(whole) == 40
    assert torch.equal(by_group.inner.inputs, usual.inner.inputs), "what is weighed is the same"
    metrics = by_group.backward(parts)
    found = torch.stack([risk(by_group.predict(part.inputs), part.labels) for part in parts])
    assert metrics["penalty"].item() == pytest.approx(found.var(unbiased=False).item())


@pytest.mark.parametrize(
    ("sparse", "dense", "names"),
    [(True, False, ["probabilities"]), (False, True, ["weights"]), (True, True, ["probabilities", "weights"])],
)
def test_sparse_and_dense(sparse: bool, dense: bool, names: list[str]) -> None:
    algorithm, validation = prepared(learn_probabilities=sparse, learn_weights=dense)
    assert [id(tensor) for tensor in algorithm.parameters()] == [id(getattr(algorithm, name)) for name in names]
    selected = algorithm.backward(validation)["selected"]
    assert selected == (pytest.approx(0.3, abs=0.2) if sparse else 1.0)


# The lesson itself, in two bits


def test_it_takes_the_shape_and_finds_the_conflicting_samples() -> None:
    environments = [two_bit(rate, size=1600) for rate in (0.1, 0.2)]
    algorithm = MAPLE(network(width=16), held_out=0.5, inner_steps=60, inner_batch=128, inner_rate=0.3)
    validation = algorithm.prepare(environments)
    fit(algorithm, torch.optim.Adam(algorithm.parameters(), lr=0.3), validation, 30, progress=False)
    conflicting = algorithm.inner["color"] != algorithm.inner.labels
    s = maple.project(algorithm.probabilities.detach(), 0.3 * 1600)
    assert s[conflicting].mean() > 2 * s[~conflicting].mean()
    assert accuracy(algorithm.predict, two_bit(TEST_RATE)) == pytest.approx(0.75, abs=0.05)
    assert squared_norm(algorithm.model) > 0


def test_a_mask_straight_through_keeps_with_its_chance_and_has_the_smooth_slope() -> None:
    chances = torch.tensor([0.1, 0.3, 0.8])[:, None].expand(3, 50_000).clone().requires_grad_()
    noise = torch.rand(3, 50_000, generator=torch.Generator().manual_seed(0)).clamp(1e-6, 1 - 1e-6).logit()
    for temperature in (1.0, 0.1):
        mask = maple.straight_through(chances, noise, temperature)
        assert set(mask.detach().unique().tolist()) == {0.0, 1.0}
        assert torch.allclose(mask.mean(1), chances[:, 0], atol=0.01), "whatever the temperature"
        (slope,) = torch.autograd.grad(mask.sum(), chances)
        p = torch.sigmoid((chances.logit() + noise) / temperature)
        assert torch.allclose(slope, p * (1 - p) / temperature / (chances * (1 - chances)), atol=1e-4)
    assert torch.allclose(slope.mean(1), torch.ones(3), atol=0.1), "the slope's mean nears that of m = s"
