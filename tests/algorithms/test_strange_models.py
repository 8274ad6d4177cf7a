"""Models of one's own: each trains with every method, or one line names the layer and the method before it does."""

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from two_bits import training_environments

from invtutor.algorithms import ALGORITHMS, Algorithm
from invtutor.algorithms.gradients import environment_gradients
from invtutor.fields import hints
from invtutor.runs.loop import fit, training
from invtutor.worlds.environment import Environment
from invtutor.worlds.judging import evaluating, unchanged
from invtutor.worlds.risks import accuracy, risk, risks

WIDTH = 6


class Tied(nn.Module):
    """One matrix, used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 1)
        self.second.weight = self.first.weight

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(F.relu(self.second(F.relu(self.first(inputs)))))


class Unused(nn.Module):
    """A layer that nothing asks."""

    def __init__(self) -> None:
        super().__init__()
        self.idle, self.first, self.last = nn.Linear(3, 3), nn.Linear(2, WIDTH), nn.Linear(WIDTH, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(F.relu(self.first(inputs)))


class Counting(nn.Module):
    """Buffers that move even in eval mode: one in place, one by a new tensor."""

    calls: Tensor
    last_mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(2, WIDTH), nn.Linear(WIDTH, 1)
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.register_buffer("last_mean", torch.zeros(2))

    def forward(self, inputs: Tensor) -> Tensor:
        self.calls += 1
        self.last_mean = inputs.detach().mean(0)
        return self.last(F.relu(self.first(inputs)))


class Restless(nn.Module):
    """Dropout that no mode stops."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(2, WIDTH), nn.Linear(WIDTH, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(F.dropout(F.relu(self.first(inputs)), 0.5, training=True))


def plain(*middle: nn.Module, outputs: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, WIDTH), *middle, nn.ReLU(), nn.Linear(WIDTH, outputs))


def frozen() -> nn.Module:
    model = plain()
    model[0].requires_grad_(False)
    return model


def partly_in_eval_mode() -> nn.Module:
    model = plain(nn.BatchNorm1d(WIDTH), nn.Dropout(0.3))
    model[1].eval()
    return model


def attention() -> nn.Module:
    return nn.Sequential(nn.Linear(2, WIDTH), nn.Unflatten(1, (1, WIDTH)), nn.TransformerEncoderLayer(
        WIDTH, 2, 8, batch_first=True), nn.Flatten(), nn.Linear(WIDTH, 1))  # fmt: skip


TRAINS: dict[str, Callable[[], nn.Module]] = {
    "batch norm": lambda: plain(nn.BatchNorm1d(WIDTH)),
    "batch norm without memory": lambda: plain(nn.BatchNorm1d(WIDTH, track_running_stats=False)),
    "dropout": lambda: plain(nn.Dropout(0.5)),
    "layer and group norm": lambda: plain(nn.LayerNorm(WIDTH), nn.GroupNorm(2, WIDTH)),
    "random slopes": lambda: plain(nn.RReLU()),
    "frozen": frozen,
    "partly in eval mode": partly_in_eval_mode,
    "tied": Tied,
    "unused": Unused,
    "buffers": Counting,
    "restless": Restless,
    "lazy": lambda: nn.Sequential(nn.LazyLinear(WIDTH), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(1)),
    "linear": lambda: nn.Linear(2, 1),
    "two logits": lambda: plain(outputs=2),
    "bfloat16": lambda: nn.Sequential(Cast(torch.bfloat16), plain().bfloat16()),
    "spectral norm": lambda: nn.Sequential(
        nn.utils.parametrizations.spectral_norm(nn.Linear(2, WIDTH)), nn.ReLU(), nn.Linear(WIDTH, 1)
    ),
    "attention": attention,
}


class Cast(nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.to(self.dtype)


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "float16": (lambda: nn.Sequential(Cast(torch.float16), plain().half()), r"float16 in `1.0.weight` \(Linear\)"),
    "another dtype": (lambda: plain().double(), r"layer `0` \(Linear\): "),
    "another width": (lambda: nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(4, 1)), r"layer `2` \(Linear\): "),
    "no parameters": (lambda: nn.Sequential(nn.Flatten(), nn.ReLU()), "Found none in Sequential"),
    "all frozen": (lambda: plain().requires_grad_(False), "Found none in Sequential"),
    "flat": (lambda: nn.Sequential(plain(), nn.Flatten(0)), r"logits \(2, outputs\).* Found \(2,\) from Sequential"),
    "deep": (lambda: nn.Sequential(plain(), nn.Unflatten(1, (1, 1))), r"Found \(2, 1, 1\) from Sequential"),
    "no tensor": (lambda: nn.Sequential(plain(), Pair()), "Found tuple from Sequential"),
}


class Pair(nn.Module):
    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        return inputs, inputs


def build(name: str, make: Callable[[], nn.Module]) -> Algorithm:
    torch.manual_seed(0)
    model = make()
    short = {"inner_steps": 3, "inner_batch": 20, "budget": 0.6, "first_steps": 2, "first_batch": 20}
    kind = ALGORITHMS[name]
    return kind(model, l2=1e-3, **{name: value for name, value in short.items() if name in hints(kind)})


METHODS = sorted(name for name, kind in ALGORITHMS.items() if not kind.looks_inside)


@pytest.mark.parametrize("method", sorted(ALGORITHMS.keys() - set(METHODS)))
def test_a_model_without_features_and_a_head_is_refused_by_who_looks_inside(method: str) -> None:
    algorithm = build(method, plain)
    wish = f"have `features` and a linear `head`, which {algorithm.label} looks at"
    with pytest.raises(ValueError, match=f"^Parameter `model` should {wish}. Found Sequential without.$"):
        algorithm.prepare(training_environments())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("strange", TRAINS)
def test_a_strange_model_trains(strange: str, method: str) -> None:
    algorithm = build(method, TRAINS[strange])
    environments = algorithm.prepare(training_environments())
    before = {name: tensor.detach().clone() for name, tensor in algorithm.model.named_parameters()}
    optimizer = torch.optim.Adam(algorithm.parameters(), lr=0.01)
    if strange == "attention" and ALGORITHMS[method].carries is None:  # its fast backward pass has no derivative
        with pytest.raises(ValueError, match=r"^Parameter `model` should be one that MAPLE can train\. Found in "):
            fit(algorithm, optimizer, environments, 1, progress=False)
        return
    history = fit(algorithm, optimizer, environments, 3, every=1, progress=False)
    assert all(torch.isfinite(torch.tensor(list(record.values()))).all() for record in history)
    after = dict(algorithm.model.named_parameters())
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved, "something trains"
    assert {name for name, parameter in after.items() if not parameter.requires_grad} & moved == set()
    assert 0 <= accuracy(algorithm.predict, environments[0]) <= 1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("strange", REFUSED)
def test_what_cannot_train_is_refused_in_one_line_before_a_step(strange: str, method: str) -> None:
    make, words = REFUSED[strange]
    algorithm = build(method, make)
    before = copy.deepcopy(algorithm.model.state_dict())
    label = re.escape(algorithm.label)
    with pytest.raises(ValueError, match=rf"^Parameter `model` should .*{label}.*{words}") as caught:
        algorithm.prepare(training_environments())
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=words):
        training(algorithm, torch.optim.SGD([torch.zeros(1, requires_grad=True)]), training_environments())
    assert all(torch.equal(before[name], tensor) for name, tensor in algorithm.model.state_dict().items())


def test_what_shows_in_the_first_pass_only_is_named_too() -> None:
    """One sample a step is nothing for BatchNorm in training, and everything for the others."""
    algorithm = build("and_mask", TRAINS["batch norm"])
    optimizer = torch.optim.Adam(algorithm.parameters())
    with pytest.raises(
        ValueError, match=r"that AND-mask can train\. Found in layer `1` \(BatchNorm1d\): Expected more"
    ):
        fit(algorithm, optimizer, training_environments(), 1, batch_size=1, progress=False)


def test_other_bad_input_is_refused_by_name() -> None:
    good = training_environments()
    for method in METHODS:
        algorithm = build(method, plain)
        with pytest.raises(ValueError, match=r"^Parameter `environments` should hold samples"):
            algorithm.prepare([])
        with pytest.raises(ValueError, match=r"`labels` should be in \[0, 1\] for logits .* from 0 to 7\.$"):
            algorithm.prepare([replace(good[0], labels=good[0].labels * 7)])
    with pytest.raises(ValueError, match=r"^Parameter `environments` should hold at least two for meta-IRM"):
        build("meta_irm", plain).backward(good[:1])
    bad = replace(good[0], inputs=good[0].inputs / 0)
    algorithm = build("erm", plain)
    with pytest.raises(FloatingPointError, match=r"at step 0\. Inputs of 'p=0.1' are not finite\.$"):
        fit(algorithm, torch.optim.Adam(algorithm.parameters()), [bad, good[1]], 1, progress=False)
    with torch.no_grad():
        algorithm.model[0].bias[0] = torch.nan  # type: ignore[index,union-attr]
    with pytest.raises(FloatingPointError, match=r"at step 0\. The model's '0.bias' is not finite\.$"):
        fit(algorithm, torch.optim.Adam(algorithm.parameters()), good, 1, progress=False)


JUDGED = [name for name in TRAINS if name not in ("lazy", "bfloat16")]


@pytest.mark.parametrize("strange", JUDGED)
@pytest.mark.parametrize("judge", ["predict", "accuracy of it", "accuracy of the model", "of its method"])
def test_to_judge_changes_nothing(strange: str, judge: str) -> None:
    algorithm = build("erm", TRAINS[strange])
    environment, model = training_environments()[0], algorithm.model
    how: dict[str, Callable[[], Any]] = {
        "predict": lambda: algorithm.predict(environment.inputs).detach(),
        "accuracy of it": lambda: torch.tensor(accuracy(algorithm.predict, environment)),
        "accuracy of the model": lambda: torch.tensor(accuracy(model, environment)),
        "of its method": lambda: torch.tensor(accuracy(model.forward, environment)),
    }
    modes = [layer.training for layer in model.modules()]
    state, randomness = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    found = [how[judge]() for _ in range(3)]
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
    assert torch.equal(randomness, torch.get_rng_state())
    assert [layer.training for layer in model.modules()] == modes
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())


def test_modes_come_back_after_an_exception_and_eval_is_not_asked() -> None:
    model = partly_in_eval_mode()
    model.eval = lambda: pytest.fail("it may be the model's own")  # type: ignore[method-assign]
    modes = [layer.training for layer in model.modules()]
    assert len(set(modes)) == 2
    with pytest.raises(ZeroDivisionError), evaluating(model):
        assert not any(layer.training for layer in model.modules())
        raise ZeroDivisionError
    assert [layer.training for layer in model.modules()] == modes
    with unchanged(model):
        model.train()
    assert [layer.training for layer in model.modules()] == modes


def test_a_gradient_passes_through_a_prediction() -> None:
    algorithm = build("erm", TRAINS["batch norm"])
    environment = training_environments()[0]
    wanted = copy.deepcopy(algorithm.model).eval()
    risk(algorithm.predict(environment.inputs), environment.labels).backward()
    risk(wanted(environment.inputs), environment.labels).backward()
    pairs = zip(algorithm.model.parameters(), wanted.parameters(), strict=True)
    assert all(torch.equal(one.grad, other.grad) for one, other in pairs)  # type: ignore[arg-type]


@pytest.mark.parametrize("strange", ["batch norm", "batch norm without memory", "frozen", "tied", "unused", "buffers"])
def test_gradients_of_environments_are_those_of_backward(strange: str) -> None:
    environments = training_environments(3)
    torch.manual_seed(0)
    model, other = TRAINS[strange](), TRAINS[strange]()
    other.load_state_dict(model.state_dict())
    rows, found = environment_gradients(model, environments)
    assert torch.allclose(found, risks(other, environments))
    for index, environment in enumerate(environments):
        other.zero_grad()
        risk(other(environment.inputs), environment.labels).backward()
        trained = {name: parameter for name, parameter in other.named_parameters() if parameter.requires_grad}
        assert rows.keys() == trained.keys()
        for name, parameter in trained.items():
            grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            assert torch.allclose(rows[name][index], grad, atol=1e-6), name


def environment_of(**changes: Any) -> Environment:
    good = training_environments()[0]
    own = {name: changes.pop(name) for name in ("inputs", "labels", "index") if name in changes}
    return replace(good, **own, attributes={**good.attributes, **changes})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("labels", torch.zeros(80)),
        ("labels", torch.zeros(80, 1).long()),
        ("labels", torch.zeros(79).long()),
        ("labels", torch.zeros(80).bool()),
        ("labels", -torch.ones(80).long()),
        ("labels", [0] * 80),
        ("labels", None),
        ("index", torch.zeros(79).long()),
        ("index", torch.zeros(80)),
        ("index", -torch.ones(80).long()),
        ("color", torch.zeros(81).long()),
        ("digit", torch.zeros(80)),
        ("patch", torch.zeros(2, 40).long()),
        ("conflict", torch.zeros(80).bool()),
        ("place", -torch.ones(80).long()),
        ("inputs", torch.zeros(79, 2)),
    ],
)
def test_an_environment_is_of_one_size_and_its_labels_are_whole_numbers(name: str, value: Any) -> None:
    named = "labels" if name == "inputs" else name
    with pytest.raises(ValueError, match=rf"^Parameter `{named}` should be .* Found "):
        environment_of(**{name: value})
