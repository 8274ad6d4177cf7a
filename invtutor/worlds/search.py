"""An expert that plays CoinRun by search, over copies of the game.

Where it stands, the expert tries each action for four frames in eight copies of the game, and goes on in each copy at
random, mostly to the right, for up to 96 frames; the copies of all actions go on alike, so that they compare in pairs.
What an action is worth is the mean over its copies: the coin counts .99 to the power of the frames that it takes, being
alive in the end a little, else nothing. What it does is softmax(worth / T). It takes the best action, or now and then
any, so that more states are seen.

Kept are only states in which the actions' worths differ: in the others its choice would be noise.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from invtutor.worlds.coinrun import ACTIONS

__all__ = ["HOLD", "KEYS", "LONGEST", "Episode", "Search", "Seen"]

KEYS = np.array((7, 8, 1), np.int32)  # procgen's numbers of `ACTIONS`
HOLD, AHEAD, TRIALS = 4, 24, 8  # frames of an action, actions of a trial, trials of each action
USUAL = (0.45, 0.45, 0.1)  # how the trials go on
ALIVE, DISCOUNT, TEMPERATURE, DIFFER, SLIP = 0.2, 0.99, 0.2, 0.1, 0.1
LONGEST = 120  # actions of an episode

Seen = tuple[np.ndarray, np.ndarray]  # a frame (64, 64, 3), and what the expert does: (actions,)
Episode = Callable[[Any, bytes, np.random.Generator], list[Seen]]  # of copies of the game, from a state on
Step = tuple[bytes, bool, bool]  # where an action leads, whether the level is over there, and whether it is won


class Search:
    """The expert. copies: of the game, which it needs for an episode."""

    copies = TRIALS * len(ACTIONS)

    def __str__(self) -> str:
        return "search 1"

    def ready(self, path: Path, size: int, begun: bool, game: Callable[..., Any], quiet: bool) -> Episode:
        """There is nothing to learn."""
        return episode


def episode(game: Any, state: bytes, generator: np.random.Generator) -> list[Seen]:
    """What is seen on the way to the coin where it matters what is done; nothing where it is not reached."""
    found = list[Seen]()
    for _ in range(LONGEST):
        frame, worth, steps = trials(game, state, generator)
        if np.ptp(worth) >= DIFFER:
            weight = np.exp((worth - worth.max()) / TEMPERATURE)
            found.append((frame, weight / weight.sum()))
        slips = generator.random() < SLIP
        state, over, won = steps[int(generator.integers(len(steps)) if slips else worth.argmax())]
        if over:
            return found if won else []
    return []


def trials(game: Any, state: bytes, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, Sequence[Step]]:
    """The frame, what each action is worth, (actions,), and where it leads."""
    count = TRIALS * len(ACTIONS)
    game.callmethod("set_state", [state] * count)
    frame = game.observe()[1]["rgb"][0].copy()
    first = np.repeat(np.arange(len(ACTIONS)), TRIALS)
    worth, over, steps = np.full(count, ALIVE), np.zeros(count, bool), list[Step]()
    for turn in range(AHEAD):
        chosen = np.tile(generator.choice(len(ACTIONS), TRIALS, p=USUAL), len(ACTIONS)) if turn else first
        for held in range(1, HOLD + 1):
            game.act(KEYS[chosen])
            reward, _, begun = game.observe()  # a level that is over begins again
            ends = begun & ~over
            worth[ends] = np.where(reward[ends] > 0, DISCOUNT ** (HOLD * turn + held), 0.0)
            over |= ends
        if not turn:
            ways = zip(game.callmethod("get_state"), over.tolist(), (over & (worth > 0)).tolist(), strict=True)
            steps = list(ways)[::TRIALS]
        if over.all():
            break
    return frame, worth.reshape(-1, TRIALS).mean(1), steps
