"""The loop: batches, schedules, and what it does when numbers go wrong."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import cos, inf, nan, pi

import pytest
import torch
from two_bits import network, training_environments

from invtutor.algorithms import ERM, Algorithm, IRMv1, Metrics
from invtutor.runs.loop import cosine, fit, step_at, training
from invtutor.worlds.environment import Environment


@dataclass(eq=False)
class Spy(Algorithm):
    """Writes down what it is called with; its metrics are chosen beforehand."""

    penalty_weight: float = 7.0
    metrics: Sequence[Metrics] = ({"risk": 1.0},)
    batches: list[list[Environment]] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    label = "Spy"

    def backward(self, environments: Sequence[Environment]) -> Metrics:
        for parameter in self.parameters():
            parameter.grad = torch.ones_like(parameter) if parameter.grad is None else parameter.grad + 1
        self.batches.append(list(environments))
        self.weights.append(self.penalty_weight)
        return dict(self.metrics[min(len(self.batches), len(self.metrics)) - 1])


def spy(**options: object) -> tuple[Spy, torch.optim.Optimizer]:
    algorithm = Spy(network(), **options)  # type: ignore[arg-type]
    return algorithm, torch.optim.SGD(algorithm.parameters(), lr=0.5)


def theta(algorithm: Algorithm) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in algorithm.parameters()])


def test_step_at() -> None:
    schedule = step_at(3, 1.0, 1e4)
    assert [schedule(step) for step in range(5)] == [1.0, 1.0, 1.0, 1e4, 1e4]
    assert step_at(0, 1.0, 5.0)(0) == 5.0
    assert [step_at(3, 1.0, 2.0, ramp=4)(step) for step in (2, 3, 5, 7, 8)] == [1.0, 1.0, 1.5, 2.0, 2.0]


def test_cosine() -> None:
    schedule = cosine(0.1, 20, 120)
    assert [schedule(step) for step in (0, 20, 45, 70, 120, 150)] == pytest.approx(
        [0.1, 0.1, 0.05 * (1 + cos(pi / 4)), 0.05, 0.0, 0.0], abs=1e-12
    )


def test_each_metrics_asked_for_is_one_step() -> None:
    algorithm, optimizer = spy()
    start, steps = theta(algorithm), training(algorithm, optimizer, training_environments())
    assert not algorithm.batches, "nothing happens before it is asked for"
    for count in (1, 2, 3):
        assert next(steps) == {"risk": 1.0}
        assert torch.allclose(theta(algorithm), start - 0.5 * count), "one step, from a gradient that starts at zero"
    assert len(list(islice(steps, 200))) == 200, "and there is no end"


def test_training_lowers_the_risk() -> None:
    algorithm = ERM(network())
    optimizer = torch.optim.Adam(algorithm.parameters(), lr=0.01)
    metrics = list(islice(training(algorithm, optimizer, training_environments()), 100))
    assert metrics[-1]["risk"] < 0.5 < metrics[0]["risk"]


def test_the_full_batch_is_the_environments_themselves() -> None:
    algorithm, optimizer = spy()
    environments = training_environments(3)
    next(training(algorithm, optimizer, environments))
    assert all(a is b for a, b in zip(algorithm.batches[0], environments, strict=True))


def test_a_batch_is_drawn_from_each_environment_at_each_step() -> None:
    environments, seen = training_environments(3), []
    for seed in (5, 5, 6):
        algorithm, optimizer = spy()
        generator = torch.Generator().manual_seed(seed)
        list(islice(training(algorithm, optimizer, environments, batch_size=11, generator=generator), 2))
        assert [[len(e) for e in batch] for batch in algorithm.batches] == [[11] * 3] * 2
        assert [e.name for e in algorithm.batches[0]] == [e.name for e in environments]
        seen.append([e.inputs for batch in algorithm.batches for e in batch])
    assert all(torch.equal(a, b) for a, b in zip(seen[0], seen[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(seen[0], seen[2], strict=True))
    assert not torch.equal(seen[0][0], seen[0][3]), "each step draws anew"


def test_no_generator_means_seed_zero_and_no_global_randomness() -> None:
    state, drawn = torch.get_rng_state(), []
    for generator in (None, torch.Generator().manual_seed(0)):
        algorithm, optimizer = spy()
        next(training(algorithm, optimizer, training_environments(), batch_size=9, generator=generator))
        drawn.append(algorithm.batches[0][0].inputs)
    assert torch.equal(*drawn) and torch.equal(torch.get_rng_state(), state)


def test_schedules_drive_the_penalty_weight_and_the_learning_rate() -> None:
    algorithm, optimizer = spy()
    start, rates = theta(algorithm), (0.5, 0.25, 0.125)
    schedules = {"penalty_weight": step_at(2, 1.0, 9.0), "learning_rate": rates.__getitem__}
    metrics = list(islice(training(algorithm, optimizer, training_environments(), schedules=schedules), 3))
    assert algorithm.weights == [1.0, 1.0, 9.0], "the step's own weight, from the first step on"
    assert torch.allclose(theta(algorithm), start - sum(rates))
    assert [m["penalty_weight"] for m in metrics] == [1.0, 1.0, 9.0]
    assert [m["learning_rate"] for m in metrics] == list(rates)


def test_with_a_new_stage_the_optimizer_starts_anew() -> None:
    found = []
    for stage, optimizers in ((lambda step: step >= 4, 1), (None, 2), (None, 1), (lambda step: 7, 1)):
        algorithm, generator = IRMv1(network()), torch.Generator().manual_seed(3)
        for steps in (10,) if optimizers == 1 else (4, 6):
            optimizer = torch.optim.Adam(algorithm.parameters(), lr=0.01)
            taken = training(
                algorithm, optimizer, training_environments(), batch_size=20, stage=stage, generator=generator
            )
            list(islice(taken, steps))
        found.append(theta(algorithm))
    restarted, two, plain, one_stage = found
    assert torch.equal(restarted, two), "as with a new optimizer after four steps"
    assert torch.equal(plain, one_stage) and not torch.equal(plain, two)


def test_the_scheduled_weight_reaches_the_objective() -> None:
    # With the penalty switched off by a schedule, IRMv1 is ERM.
    histories = []
    for kind, schedules in ((IRMv1, {"penalty_weight": lambda step: 0.0}), (ERM, {})):
        algorithm = kind(network())
        optimizer = torch.optim.Adam(algorithm.parameters(), lr=0.01)
        history = fit(algorithm, optimizer, training_environments(), 20, schedules=schedules, every=1, progress=False)
        histories.append(history.column("risk"))
    assert histories[0] == pytest.approx(histories[1], rel=1e-5)


@pytest.mark.parametrize("kind", [ERM, IRMv1])
@pytest.mark.parametrize("name", ["penalty_wait", "lr"])
def test_an_unknown_schedule_is_refused_at_once(kind: type[Algorithm], name: str) -> None:
    algorithm = kind(network())
    optimizer = torch.optim.Adam(algorithm.parameters())
    with pytest.raises(ValueError, match=rf"^Parameter `schedules` should name .+\. Found '{name}'\.$"):
        training(algorithm, optimizer, training_environments(), schedules={name: lambda step: 1.0})


def test_erm_has_no_penalty_weight_to_schedule() -> None:
    algorithm = ERM(network())
    with pytest.raises(ValueError, match="ERM"):
        training(
            algorithm, torch.optim.Adam(algorithm.parameters()), [], schedules={"penalty_weight": lambda step: 1.0}
        )


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_training_stops_at_a_metric_that_is_not_finite(value: float) -> None:
    algorithm, optimizer = spy(metrics=({"risk": 1.0}, {"risk": 1.0, "penalty": 0.0}, {"risk": 1.0, "penalty": value}))
    steps = training(algorithm, optimizer, training_environments())
    list(islice(steps, 2))
    before = theta(algorithm)
    with pytest.raises(FloatingPointError, match=rf"^Spy: penalty is {value} at step 2\."):
        next(steps)
    assert torch.equal(theta(algorithm), before), "the step is not taken"


def test_a_real_explosion_is_named() -> None:
    algorithm = ERM(network())
    optimizer = torch.optim.SGD(algorithm.parameters(), lr=1e30)
    with pytest.raises(FloatingPointError, match=r"^ERM: risk is (nan|inf) at step [1-9]"):
        fit(algorithm, optimizer, training_environments(), 10, progress=False)


@pytest.mark.parametrize(
    ("steps", "every", "expected"),
    [(7, 3, [1, 3, 6, 7]), (6, 3, [1, 3, 6]), (1, 50, [1]), (3, 1, [1, 2, 3]), (2, 50, [1, 2])],
)
def test_fit_records_the_first_step_every_few_and_the_last(steps: int, every: int, expected: list[int]) -> None:
    algorithm, optimizer = spy()
    history = fit(algorithm, optimizer, training_environments(), steps, every=every, progress=False)
    assert history.column("step") == expected
    assert len(algorithm.batches) == steps


def test_fit_records_steps_besides() -> None:
    algorithm, optimizer = spy()
    history = fit(algorithm, optimizer, training_environments(), 12, every=5, besides=(7, 40), progress=False)
    assert history.column("step") == [1, 5, 7, 10, 12]


def test_fit_watches_without_gradients_after_the_step() -> None:
    algorithm, optimizer = spy()
    start, seen = theta(algorithm), []

    def watch(watched: Algorithm) -> Metrics:
        assert watched is algorithm and not torch.is_grad_enabled()
        seen.append((start - theta(algorithm)).mean().item())
        return {"gray": 0.5}

    history = fit(algorithm, optimizer, training_environments(), 5, every=2, watch=watch, progress=False)
    assert seen == pytest.approx([0.5, 1.0, 2.0, 2.5]), "at steps 1, 2, 4 and 5"
    assert history.last == {"step": 5, "risk": 1.0, "gray": 0.5}
    assert torch.is_grad_enabled()


def test_fit_is_the_same_steps_as_training() -> None:
    results = []
    for through_fit in (True, False):
        algorithm = IRMv1(network())
        optimizer = torch.optim.Adam(algorithm.parameters(), lr=0.01)
        options = {"batch_size": 20, "schedules": {"penalty_weight": step_at(5, 1.0, 100.0)}}
        generator = torch.Generator().manual_seed(3)
        if through_fit:
            fit(algorithm, optimizer, training_environments(), 10, generator=generator, progress=False, **options)
        else:
            list(islice(training(algorithm, optimizer, training_environments(), generator=generator, **options), 10))
        results.append(theta(algorithm))
    assert torch.equal(*results)


def test_the_progress_bar_can_be_turned_off(capsys: pytest.CaptureFixture[str]) -> None:
    algorithm, optimizer = spy()
    fit(algorithm, optimizer, training_environments(), 3, progress=False)
    assert capsys.readouterr() == ("", "")
    fit(algorithm, optimizer, training_environments(), 3)
    printed = capsys.readouterr()
    assert printed.out == "" and "Spy" in printed.err
