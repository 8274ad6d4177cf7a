"""Each method's mathematics against the papers' own forms, written out the long way."""

import ast
import math
from collections.abc import Callable
from inspect import getsourcefile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from two_bits import gradients, network, training_environments

import invtutor.algorithms
from invtutor.algorithms import ALGORITHMS, ERM, Algorithm, GroupDRO, IRMv1, MMREx, VREx, group_dro, irmv1, mmrex, vrex
from invtutor.fields import hints
from invtutor.worlds.risks import risk, risks, squared_norm

FILES = sorted(Path(invtutor.algorithms.__file__).parent.glob("*.py"))
DOUBLE = torch.float64


def batch(outputs: int, n: int = 60) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(outputs)
    logits = 2 * torch.randn(n, outputs, generator=generator, dtype=DOUBLE) + 0.5
    return logits, torch.randint(max(2, outputs), (n,), generator=generator)


def dummy_slope(logits: Tensor, labels: Tensor) -> Tensor:
    """The papers' way: a dummy scale at 1, one per class, and autograd, with the graph kept for a second pass."""
    scale = torch.ones(logits.shape[1], dtype=logits.dtype, requires_grad=True)
    return torch.autograd.grad(risk(logits * scale, labels), scale, create_graph=True)[0]


def gradient_of(objective: Callable[[Algorithm], Tensor], algorithm: Algorithm) -> list[Tensor]:
    """The gradient of an objective in the algorithm's parameters, by autograd alone."""
    return list(torch.autograd.grad(objective(algorithm), algorithm.parameters()))


def after_backward(algorithm: Algorithm, environments: int = 2) -> list[Tensor]:
    algorithm.backward(algorithm.prepare(training_environments(environments, dtype=DOUBLE)))
    return [tensor.grad.clone() for tensor in algorithm.model.parameters() if tensor.grad is not None]


def close(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) > 0 and all(
        torch.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in zip(one, other, strict=True)
    )


# IRMv1


@pytest.mark.parametrize("outputs", [1, 2, 5, 10])
def test_the_slope_is_the_derivative_in_the_dummy_scale(outputs: int) -> None:
    logits, labels = batch(outputs)
    assert irmv1.slope(logits, labels).shape == (outputs,)
    assert torch.allclose(irmv1.slope(logits, labels), dummy_slope(logits, labels))


def test_the_slope_by_finite_differences() -> None:
    logits, labels = batch(1)
    step = 1e-5
    difference = (risk((1 + step) * logits, labels) - risk((1 - step) * logits, labels)) / (2 * step)
    assert irmv1.slope(logits, labels).item() == pytest.approx(difference.item(), rel=1e-6)


def test_the_slope_vanishes_at_the_invariant_optimum() -> None:
    for environment in training_environments(dtype=DOUBLE):
        shape = environment.inputs[:, :1]
        assert irmv1.slope(math.log(3) * shape, environment.labels).item() == pytest.approx(0, abs=1e-12)
        color = environment.inputs[:, 1:]
        assert abs(irmv1.slope(math.log(0.85 / 0.15) * color, environment.labels).item()) > 0.05


@pytest.mark.parametrize("halves", [False, True])
@pytest.mark.parametrize("outputs", [1, 2])
def test_the_penaltys_gradient_is_that_of_two_backward_passes(outputs: int, halves: bool) -> None:
    environment, model = training_environments(dtype=DOUBLE)[0], network(outputs=outputs, dtype=DOUBLE)
    logits, labels = model(environment.inputs), environment.labels
    if halves:
        papers = (dummy_slope(logits[::2], labels[::2]) * dummy_slope(logits[1::2], labels[1::2])).sum()
    else:
        papers = dummy_slope(logits, labels).square().sum()
    ours = irmv1.penalty(logits, labels, halves=halves)
    assert ours.item() == pytest.approx(papers.item())
    parameters = list(model.parameters())
    expected = torch.autograd.grad(papers, parameters, retain_graph=True)
    assert close(list(torch.autograd.grad(ours, parameters)), list(expected))


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_product_of_halves_is_unbiased_and_the_square_is_not(outputs: int) -> None:
    # The population is finite and known; small batches are drawn from it with replacement.
    logits, labels = batch(outputs, n=500)
    truth = irmv1.slope(logits, labels).square().sum().item()
    one_by_one = torch.stack([irmv1.slope(logits[i : i + 1], labels[i : i + 1]) for i in range(500)])
    variance = one_by_one.var(0, unbiased=False).sum().item()
    generator, size, times = torch.Generator().manual_seed(0), 10, 4_000
    products, squares = torch.empty(times), torch.empty(times)
    for i in range(times):
        index = torch.randint(500, (size,), generator=generator)
        products[i] = irmv1.penalty(logits[index], labels[index], halves=True)
        squares[i] = irmv1.penalty(logits[index], labels[index])

    def error(values: Tensor) -> float:
        return 4 * values.std().item() / math.sqrt(times)

    assert products.mean().item() == pytest.approx(truth, abs=error(products))
    assert products.min() < 0
    assert squares.mean().item() == pytest.approx(truth + variance / size, abs=error(squares))
    assert variance / size > 3 * error(squares), "or else the test could not tell them apart"


def irmv1_objective(algorithm: Algorithm) -> Tensor:
    """mean risk + l2·‖θ‖² + λ·mean squared gradient in the dummy scale, all over max(1, λ)."""
    assert isinstance(algorithm, IRMv1)
    environments = training_environments(dtype=DOUBLE)
    slopes = torch.stack([dummy_slope(algorithm.model(e.inputs), e.labels) for e in environments])
    objective = risks(algorithm.model, environments).mean() + algorithm.l2 * squared_norm(algorithm.model)
    objective = objective + algorithm.penalty_weight * slopes.square().sum(1).mean()
    return objective / algorithm.penalty_weight if algorithm.penalty_weight > 1 else objective


@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize("weight", [0.5, 1.0, 91257.18613115903])
def test_irmv1_is_the_reference_objective(weight: float, outputs: int) -> None:
    algorithm = IRMv1(network(outputs=outputs, dtype=DOUBLE), penalty_weight=weight, l2=1e-3)
    assert close(after_backward(algorithm), gradient_of(irmv1_objective, algorithm))


def test_irmv1_uses_halves_when_told() -> None:
    one, other = (IRMv1(network(dtype=DOUBLE), halves=halves) for halves in (False, True))
    environments = training_environments(dtype=DOUBLE)
    square, product = (a.backward(environments)["penalty"].item() for a in (one, other))
    logits = [other.model(e.inputs) for e in environments]
    expected = [irmv1.penalty(z, e.labels, halves=True) for z, e in zip(logits, environments, strict=True)]
    assert product == pytest.approx(torch.stack(expected).mean().item()) != pytest.approx(square)


# V-REx and MM-REx


def test_vrex_penalty_in_closed_form() -> None:
    assert vrex.penalty(torch.tensor([0.3, 0.7])).item() == pytest.approx(0.4**2 / 4)
    values = torch.tensor([0.2, 0.5, 1.1], dtype=DOUBLE)
    assert vrex.penalty(values).item() == pytest.approx(values.square().mean().item() - values.mean().item() ** 2)
    assert vrex.penalty(torch.tensor([0.4, 0.4])).item() == 0


def test_mmrex_penalty_in_closed_form() -> None:
    assert mmrex.penalty(torch.tensor([0.3, 0.7])).item() == pytest.approx(0.2)
    assert mmrex.penalty(torch.tensor([0.2, 0.5, 1.1])).item() == pytest.approx(0.5)
    assert mmrex.penalty(torch.tensor([0.4, 0.4])).item() == 0


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 100.0])
def test_vrex_is_mean_plus_beta_times_variance(beta: float, count: int) -> None:
    algorithm = VREx(network(dtype=DOUBLE), penalty_weight=beta, rescale=False)

    def objective(algorithm: Algorithm) -> Tensor:
        by_environment = risks(algorithm.model, training_environments(count, dtype=DOUBLE))
        return by_environment.mean() + beta * ((by_environment - by_environment.mean()) ** 2).mean()

    assert close(after_backward(algorithm, count), gradient_of(objective, algorithm))


def test_vrex_takes_the_variance_s_derivative_at_a_running_mean() -> None:
    environments, means = training_environments(3, dtype=DOUBLE), torch.zeros(3, dtype=DOUBLE)
    algorithm = VREx(network(dtype=DOUBLE), penalty_weight=40.0, rescale=False, ema=0.75)
    environments = algorithm.prepare(environments)
    for step in range(3):
        found = risks(algorithm.model, environments)
        means = 0.75 * means + 0.25 * found.detach()
        objective = found.mean() + 40.0 * (2 / 3 * (means - means.mean()) * found).sum()
        expected = torch.autograd.grad(objective, algorithm.parameters())
        algorithm.model.zero_grad()
        metrics = algorithm.backward(environments)
        assert close([p.grad for p in algorithm.parameters()], expected), step
        assert metrics["penalty"].item() == pytest.approx(means.var(unbiased=False).item())
        with torch.no_grad():
            for parameter in algorithm.parameters():
                parameter -= 0.1 * parameter.grad


def test_a_batch_s_variance_of_risks_is_too_large_and_a_running_mean_s_is_less_so() -> None:
    draws, average, found = torch.Generator().manual_seed(0), torch.zeros(2), []
    for _ in range(4000):
        noisy = 0.6 + 0.1 * torch.randn(2, generator=draws)  # of equal risks
        average, _ = vrex.followed(average, noisy, 0.9)
        found.append(torch.stack([vrex.penalty(noisy), vrex.penalty(average)]))
    one_batch, running = torch.stack(found[100:]).mean(0).tolist()
    assert one_batch == pytest.approx(0.1**2 / 2, rel=0.1)
    assert running == pytest.approx(0.1 / 1.9 * 0.1**2 / 2, rel=0.2), "(1 − γ) / (1 + γ) of it"


def test_vrex_weighs_half_of_the_reference_codes() -> None:
    # theirs: R₁ + R₂ + w·(R₁ − R₂)², which is twice ours at β = 2w
    weight = 50.0
    algorithm = VREx(network(dtype=DOUBLE), penalty_weight=2 * weight, rescale=False)

    def half_of_theirs(algorithm: Algorithm) -> Tensor:
        first, second = risks(algorithm.model, training_environments(dtype=DOUBLE))
        return (first + second + weight * (first - second) ** 2) / 2

    assert close(after_backward(algorithm), gradient_of(half_of_theirs, algorithm))


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("beta", [0.0, 1.0, 100.0])
def test_mmrex_is_equation_7(beta: float, count: int) -> None:
    algorithm = MMREx(network(dtype=DOUBLE), penalty_weight=beta, rescale=False)
    lambda_min = (1 - beta) / count

    def equation_7(algorithm: Algorithm) -> Tensor:
        by_environment = risks(algorithm.model, training_environments(count, dtype=DOUBLE))
        return (1 - count * lambda_min) * by_environment.max() + lambda_min * by_environment.sum()

    assert close(after_backward(algorithm, count), gradient_of(equation_7, algorithm))


def test_mmrex_weighs_as_much_as_the_reference_codes() -> None:
    weight = 50.0
    algorithm = MMREx(network(dtype=DOUBLE), penalty_weight=weight, rescale=False)

    def half_of_theirs(algorithm: Algorithm) -> Tensor:
        first, second = risks(algorithm.model, training_environments(dtype=DOUBLE))
        return (first + second + weight * (first - second).abs()) / 2

    assert close(after_backward(algorithm), gradient_of(half_of_theirs, algorithm))


def test_erm_is_the_mean_risk_and_knows_no_environments() -> None:
    algorithm = ERM(network(dtype=DOUBLE))

    def pooled(algorithm: Algorithm) -> Tensor:
        environments = training_environments(dtype=DOUBLE)
        inputs, labels = (torch.cat([getattr(e, name) for e in environments]) for name in ("inputs", "labels"))
        return risk(algorithm.model(inputs), labels)

    assert close(after_backward(algorithm), gradient_of(pooled, algorithm))


def test_group_dro_moves_its_shares_towards_the_high_risks() -> None:
    before, by_environment = torch.tensor([0.5, 0.3, 0.2], dtype=DOUBLE), torch.tensor([0.1, 0.7, 0.7], dtype=DOUBLE)
    papers = before * (0.4 * by_environment).exp()
    assert torch.allclose(group_dro.reweigh(before, by_environment, 0.4), papers / papers.sum())


def test_group_dro_weighs_the_risks_by_its_shares_and_remembers_them() -> None:
    algorithm = GroupDRO(network(dtype=DOUBLE), step_size=5.0)
    environments = training_environments(3, dtype=DOUBLE)
    by_environment = risks(algorithm.model, environments).detach()
    expected = torch.full((3,), 1 / 3, dtype=DOUBLE)
    algorithm.prepare(environments)
    for _ in range(2):
        expected = group_dro.reweigh(expected, by_environment, 5.0)
        objective = expected @ risks(algorithm.model, environments)
        wanted = list(torch.autograd.grad(objective, algorithm.parameters()))
        for tensor in algorithm.parameters():
            tensor.grad = None
        algorithm.backward(environments)
        assert close(gradients(algorithm), wanted)
    assert algorithm.shares is not None and torch.allclose(algorithm.shares, expected)


# What the methods share


def weighed(kind: type[Algorithm]) -> bool:
    """Whether it divides its objective by the penalty's weight."""
    return {"penalty_weight", "rescale"} <= hints(kind).keys()


@pytest.mark.parametrize("kind", [pytest.param(k, id=k.label) for k in ALGORITHMS.values() if weighed(k)])
@pytest.mark.parametrize("weight", [0.25, 1.0, 1e4])
def test_rescaling_divides_by_the_weight_when_it_is_over_one(kind: type[Any], weight: float) -> None:
    whole, divided = (
        kind(network(dtype=DOUBLE), l2=1e-2, penalty_weight=weight, rescale=rescale) for rescale in (False, True)
    )
    expected = [gradient / max(1.0, weight) for gradient in after_backward(whole)]
    assert close(after_backward(divided), expected)


@pytest.mark.parametrize("kind", [pytest.param(k, id=k.label) for k in ALGORITHMS.values() if k.carries is not None])
@pytest.mark.parametrize("weight", [1.0, 100.0])
def test_the_l2_term_adds_its_gradient_and_is_divided_along(kind: type[Algorithm], weight: float) -> None:
    hyper: dict[str, Any] = {"penalty_weight": weight} if "penalty_weight" in hints(kind) else {}
    without, with_l2 = (kind(network(dtype=DOUBLE), l2=l2, **hyper) for l2 in (0.0, 0.3))
    divisor = weight if weighed(kind) else 1.0
    pairs = zip(after_backward(without), without.model.parameters(), strict=True)
    expected = [gradient + 2 * 0.3 * theta.detach() / divisor for gradient, theta in pairs]
    assert close(after_backward(with_l2), expected)


@pytest.mark.parametrize("name", ["erm", "irmv1", "vrex", "mmrex", "group_dro"])  # whose penalties stand here
def test_metrics_are_the_risk_and_the_penalty_before_its_weight(name: str) -> None:
    algorithm, environments = ALGORITHMS[name](network(dtype=DOUBLE)), training_environments(3, dtype=DOUBLE)
    by_environment = risks(algorithm.model, environments).detach()
    logits = [algorithm.model(e.inputs).detach() for e in environments]
    squares = [irmv1.penalty(z, e.labels) for z, e in zip(logits, environments, strict=True)]
    penalties = {
        "irmv1": torch.stack(squares).mean(),
        "vrex": vrex.penalty(by_environment),
        "mmrex": mmrex.penalty(by_environment),
    }
    expected = {"risk": by_environment.mean()} | ({"penalty": penalties[name]} if name in penalties else {})
    metrics = algorithm.backward(algorithm.prepare(environments))
    assert metrics.keys() == expected.keys()
    assert all(torch.allclose(metrics[each], expected[each]) for each in expected)


# One screen per method


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_method_fits_one_screen(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    kind = ALGORITHMS.get(path.stem)
    assert len(text.splitlines()) <= (110 if kind and kind.carries is None else 85)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.name == "backward":
            body = [
                part for part in node.body if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
            ]
            if body:
                assert body[-1].end_lineno - body[0].lineno + 1 <= 15  # type: ignore[operator]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_methods_docstring_is_its_paper(name: str) -> None:
    kind = ALGORITHMS[name]
    first = (kind.__doc__ or "").split("\n\n")[0]
    assert "R^e" in first, "the equation"
    assert any(character.isdigit() for character in first.split("(")[-1]), "and where it was published"
    assert Path(getsourcefile(kind) or "").stem == name, "one file per method, with its name"
