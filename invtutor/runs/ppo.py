"""PPO: a policy that learns by playing (Schulman et al. 2017, arXiv 1707.06347).

In a round it plays copies of a game for some steps, and then climbs for some epochs, in minibatches of what it saw,

    E[ min(ρ A, clip(ρ, 1 - ε, 1 + ε) A) - c (V(s) - R)² / 2 + b H(π(·|s)) ],    ρ = π(a|s) / π₀(a|s),  R = A + V₀(s)

with π₀ and V₀ as they were when it played. Its advantages A are generalized (Schulman et al. 2016, arXiv 1506.02438),

    A(t) = δ(t) + γ λ A(t+1),    δ(t) = r(t) + γ V₀(s(t+1)) - V₀(s(t)),    without what follows where an episode ends.

    γ  discount        λ  decay        ε  clip        b  entropy        c  value

In the objective's first term those of a minibatch are scaled to mean 0 and deviation 1, as in procgen's authors' code.
The constants are those of their paper (Cobbe et al. 2020, arXiv 1912.01588) and, for c and the bound of the gradient,
of that code. Differences from it: 1. rewards are not divided by a running deviation: the game says what they are;
2. the values' errors are not clipped, as they are not in PPO's paper; 3. values start near zero, as the policy does.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from invtutor.fields import check, within
from invtutor.networks import Network

__all__ = ["PPO", "Game", "Training", "advantages", "clipped_surrogate"]


class Game(Protocol):
    """n copies of a game in the form of gym3, where an episode that ends begins anew at once."""

    def observe(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The last action's reward, (n,), what is seen, (n, *shape), and whether an episode begins here, (n,)."""

    def act(self, actions: np.ndarray) -> None:
        """An action for each copy, (n,)."""

    def callmethod(self, name: str, *given: Any) -> Any:
        """get_state tells where the copies are, as n bytes objects; set_state brings them there."""


@dataclass(frozen=True)
class PPO:
    """The constants. Raises ValueError, naming the field, for what cannot be."""

    steps: int = within(256, 1, 100_000)
    epochs: int = within(3, 1, 1_000)
    minibatches: int = within(8, 1, 100_000)
    learning_rate: float = within(5e-4, 0, 1, above=True)
    discount: float = within(0.999, 0, 1)
    decay: float = within(0.95, 0, 1)
    clip: float = within(0.2, 0, 1, above=True)
    entropy: float = within(0.01, 0, 100)
    value: float = within(0.5, 0, 100)
    norm: float = within(0.5, 0, 100, above=True)

    def __post_init__(self) -> None:
        check(self)


def advantages(rewards: Tensor, values: Tensor, over: Tensor, discount: float, decay: float) -> Tensor:
    """Of each step: (steps, n). values: (steps + 1, n), the last of what is seen in the end. over: whether the step was
    its episode's last."""
    found, following = torch.empty_like(rewards), torch.zeros_like(rewards[0])
    for step in reversed(range(len(rewards))):
        next_counts = discount * ~over[step]
        delta = rewards[step] + next_counts * values[step + 1] - values[step]
        following = found[step] = delta + next_counts * decay * following
    return found


def clipped_surrogate(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """What PPO climbs: an action's chance gains nothing by leaving 1 ± clip times what it was."""
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).mean()


class Training:
    """A policy, and how far it is. rounds: those it has played. score: the reward for each episode that ended in the
    last.

    network: its last output is the value of what is seen, the others the actions' logits.
    """

    def __init__(self, network: Network, constants: PPO):
        with torch.no_grad():
            network.head.weight.mul_(0.01)  # at first all actions are about as likely
        self.network, self.constants = network, constants
        self.optimizer = torch.optim.Adam(network.parameters(), lr=constants.learning_rate, eps=1e-5)
        self.generator = torch.Generator().manual_seed(0)
        self.rounds, self.score = 0, 0.0

    def policy(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """The logarithms of the actions' chances, (n, actions), and the values, (n,)."""
        outputs = self.network(seen)
        return outputs[:, :-1].log_softmax(1), outputs[:, -1]

    def round(self, game: Game) -> None:
        """Play, and learn from it. Raises RuntimeError where the gradient is not finite."""
        self.learn(*self.play(game))
        self.rounds += 1

    @torch.no_grad()
    def play(self, game: Game) -> tuple[Tensor, ...]:
        """What was seen and done, how likely that was (its logarithm), the values and the advantages: (steps · n, …)
        each."""
        device, rows = self.network.head.weight.device, list[tuple[Tensor, ...]]()
        seen = torch.tensor(game.observe()[1], device=device)
        for _ in range(self.constants.steps):
            chances, values = self.policy(seen)
            actions = torch.multinomial(chances.exp().cpu(), 1, generator=self.generator)
            game.act(actions[:, 0].numpy())
            rewards, following, over = (torch.tensor(each, device=device) for each in game.observe())
            actions = actions.to(device)
            rows.append((seen, actions, chances.gather(1, actions), values, rewards.float(), over))
            seen = following
        frames, taken, before, worth, rewards, over = (torch.stack(each) for each in zip(*rows, strict=True))
        self.score = (rewards.sum() / over.sum().clamp(min=1)).item()
        values = torch.cat([worth, self.policy(seen)[1][None]])
        gained = advantages(rewards, values, over, self.constants.discount, self.constants.decay)
        return tuple(each.flatten(0, 1) for each in (frames, taken, before, worth, gained))

    def learn(self, seen: Tensor, taken: Tensor, before: Tensor, worth: Tensor, gained: Tensor) -> None:
        """A round's steps of Adam."""
        given = self.constants
        for _ in range(given.epochs):
            for rows in torch.randperm(len(seen), generator=self.generator).chunk(given.minibatches):
                rows = rows.to(seen.device)
                chances, values = self.policy(seen[rows])
                ratio = (chances.gather(1, taken[rows]) - before[rows]).exp()[:, 0]
                advantage = gained[rows]
                scaled = (advantage - advantage.mean()) / (advantage.std(correction=0) + 1e-8)
                missed = (values - worth[rows] - advantage).square().mean() / 2
                entropy = -(chances.exp() * chances).sum(1).mean()
                gain = clipped_surrogate(ratio, scaled, given.clip) - given.value * missed + given.entropy * entropy
                self.optimizer.zero_grad()
                (-gain).backward()
                torch.nn.utils.clip_grad_norm_(self.network.parameters(), given.norm, error_if_nonfinite=True)
                self.optimizer.step()
