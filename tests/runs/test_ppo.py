"""PPO: its two formulas by hand, and a corridor that is learned."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from invtutor.networks import MLP
from invtutor.runs.kept_policy import restore, state_of
from invtutor.runs.ppo import PPO, Training, advantages, clipped_surrogate

QUICK = {"steps": 24, "minibatches": 4, "learning_rate": 5e-3}


class Corridor:
    """Eight copies of a corridor of seven places: one begins in the middle, and only the right end has a reward."""

    def __init__(self, reward: float = 1.0):
        self.places, self.reward = np.full(8, 3), reward
        self.last, self.begun = np.zeros(8, np.float32), np.ones(8, bool)

    def act(self, actions: np.ndarray) -> None:
        assert actions.shape == self.places.shape
        self.places = self.places + np.where(actions == 1, 1, -1)
        self.last = np.where(self.places == 6, self.reward, 0).astype(np.float32)
        self.begun = (self.places == 0) | (self.places == 6)
        self.places = np.where(self.begun, 3, self.places)

    def observe(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.last, np.eye(7, dtype=np.float32)[self.places], self.begun

    def callmethod(self, name: str, states: Sequence[bytes] = ()) -> Any:
        if name == "set_state":
            self.places = np.array([int(state) for state in states])
        return [str(place).encode() for place in self.places]


def training(**constants: float) -> Training:
    return Training(MLP(7, 16, outputs=3), PPO(**QUICK | constants))


def likely(trained: Training) -> tuple[Tensor, Tensor]:
    """The chance of going right, and the value, at each of the five places that are seen."""
    with torch.no_grad():
        chances, values = trained.policy(torch.eye(7)[1:6])
    return chances[:, 1].exp(), values


def test_advantages_are_those_by_hand() -> None:
    """γ = .5, λ = .5: one copy ends its episode in the second of three steps, the other goes on."""
    rewards = torch.tensor([[1.0, 0.0], [2.0, 0.0], [4.0, 8.0]])
    values = torch.tensor([[2.0, 1.0], [6.0, 2.0], [2.0, 4.0], [8.0, 2.0]])
    over = torch.tensor([[False, False], [True, False], [False, False]])
    # δ = 1 + 3 - 2, 2 - 6, 4 + 4 - 2 and 0 + 1 - 1, 0 + 2 - 2, 8 + 1 - 4
    wanted = torch.tensor([[2 - 4 / 4, 5 / 16], [-4.0, 5 / 4], [6.0, 5.0]])
    assert torch.equal(advantages(rewards, values, over, 0.5, 0.5), wanted)
    returns = advantages(rewards, torch.zeros(4, 2), over, 1.0, 1.0)
    assert returns.tolist() == [[3, 8], [2, 8], [4, 8]], "without values, and undiscounted, what is still to come"


def test_the_clipped_surrogate_is_that_by_hand() -> None:
    ratio = torch.tensor([1.5, 0.5, 1.5, 0.5, 1.1], requires_grad=True)
    gained = torch.tensor([1.0, 1.0, -1.0, -1.0, 2.0])
    found = clipped_surrogate(ratio, gained, 0.2)
    assert found.item() == pytest.approx((1.2 + 0.5 - 1.5 - 0.8 + 2.2) / 5)
    found.backward()
    assert ratio.grad is not None, "no gain by leaving further what was played"
    assert torch.allclose(ratio.grad, torch.tensor([0.0, 1.0, -1.0, 0.0, 2.0]) / 5)


def test_a_corridor_is_learned() -> None:
    """At first half of the episodes end on the right; then nearly all, and the policy knows what that is worth."""
    trained, game = training(), Corridor()
    scores = []
    for _ in range(9):
        trained.round(game)
        scores.append(trained.score)
    assert 0.2 < scores[0] < 0.8 and min(scores[-3:]) > 0.95 and trained.rounds == 9
    chances, values = likely(trained)
    assert chances.min() > 0.8 and values[1:].min() > 0.8


def test_entropy_and_values_are_learned() -> None:
    """Where no action is better than another, a sure policy comes back to chance, and values go to what is told."""
    trained = training(entropy=1.0)
    with torch.no_grad():
        trained.network.head.bias[1] = 2.0
    seen, told = torch.eye(7), torch.full((7,), 2.0)
    before = torch.full((7, 1), 0.5).log()
    for _ in range(12):
        trained.learn(seen, torch.zeros(7, 1, dtype=torch.int64), before, torch.zeros(7), told)
    chances, values = likely(trained)
    assert torch.allclose(chances, torch.full((5,), 0.5), atol=0.1) and torch.allclose(values, told[:5], atol=0.5)


def test_it_goes_on_where_it_was() -> None:
    whole, game = training(), Corridor()
    for played in range(4):
        if played == 2:
            state = {name: tensor.clone() for name, tensor in state_of(whole, game).items()}
        whole.round(game)
    other, another = training(), Corridor()
    restore(other, state, another)
    assert other.rounds == 2
    for _ in range(2):
        other.round(another)
    one, two = state_of(whole, game), state_of(other, another)
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["network.head.weight"], state["network.head.weight"])


def test_a_gradient_that_is_not_finite_is_not_taken() -> None:
    with pytest.raises(RuntimeError, match="non-finite"):
        training().round(Corridor(reward=float("inf")))


@pytest.mark.parametrize(("name", "value"), [("steps", 0), ("clip", 0.0), ("discount", 1.1), ("decay", -0.1)])
def test_constants_have_ranges(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"Parameter `{name}` should be .* in "):
        PPO(**{name: value})
