"""An expert that PPO trains to play CoinRun, where there is a GPU: `invtutor coinrun --expert ppo`.

It plays what procgen's hard mode draws, levels without end, and then shows what it does on those that are recorded. Its
three actions are the world's, each held for as many frames as in the search, and it sees the frames that are kept: its
distribution, which is recorded as it is, is a function of what its clone sees. So all states of an episode that it wins
are as good as each other, where the search has some in which its choice would be noise. Episodes are played by it, too.

Who sees nothing wins half of the levels (5 of 10 is the least score of procgen's authors, who normalize by it: Cobbe et
al. 2020, arXiv 1912.01588), and with these actions a few more by always jumping to the right. A policy that, in its
last round, has not won halfway from a half to all is no expert, and nothing is recorded.

The policy lies beside the states (kept_policy.py), with all that its training goes on from: killed, it loses the round
that it was in, and seconds. None was trained in full for this course, which had no GPU at hand. Differences from the
paper, which plays as many frames: 1. there are three actions, which are held; 2. the network is the house's; 3. the
coin counts 1; 4. one process plays 64 copies, where there were four such.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from invtutor.fields import check, require, within
from invtutor.networks import ResNet
from invtutor.runs.kept_policy import check_library, policy_file, read_policy, restore, write_policy
from invtutor.runs.ppo import PPO, Training
from invtutor.runs.recipe import find_device
from invtutor.worlds.coinrun import ACTIONS
from invtutor.worlds.demonstrations import PAUSE, small
from invtutor.worlds.search import HOLD, KEYS, LONGEST, Episode, Seen

__all__ = ["Held", "TrainedExpert"]

CONSTANTS = PPO()
COPIES, WIDTH = 64, 16  # of the game, in training; of the network
WINS = 0.75  # the least share of episodes that an expert wins


@dataclass(frozen=True)
class TrainedExpert:
    """The expert, before and after its training. Raises ValueError, naming the field, for what cannot be."""

    frames: int = within(200_000_000, 1, 10_000_000_000)
    """Frames of the game to train on, in whole rounds of PPO."""
    device: str = "auto"
    """auto (a GPU when there is one), or what torch calls a device."""

    copies = 1

    def __post_init__(self) -> None:
        check(self)
        find_device(self.device)

    def __str__(self) -> str:
        return f"PPO 1, trained on {self.rounds * round_frames():,} frames"

    @property
    def rounds(self) -> int:
        """Rounds of its training."""
        return ceil(self.frames / round_frames())

    def ready(self, path: Path, size: int, begun: bool, game: Callable[..., Any], quiet: bool) -> Episode:
        """How it plays, once it is trained. Raises ValueError where the policy's file is none of ours, or has played
        more, where the states are another policy's, and where it is no expert; `DataError` without safetensors."""
        check_library()  # who lacks it should not learn so after hours
        device = find_device(self.device)
        training = Training(ResNet((3, size, size), WIDTH, len(ACTIONS) + 1).to(device), CONSTANTS)
        options = {"distribution_mode": "hard", "num_levels": 0, "start_level": 0, "num_threads": 4}
        played = game(num=COPIES, env_name="coinrun", rand_seed=0, **options)
        file = policy_file(path)
        if os.path.lexists(file):
            restore(training, read_policy(file, size), Held(played, size))
        wish = f"at least {training.rounds * round_frames():,}, on which the policy in {file} was trained"
        require("frames", training.rounds <= self.rounds, wish, self.frames)
        wish = f"a new file, or one with the policy beside it that made its states, {file.name}"
        require("out", training.rounds == self.rounds or not begun, wish, str(path))
        self.train(training, Held(played, size), file, quiet)
        played.close()
        wins = f"the policy wins {100 * training.score:.0f} % of its levels; an expert wins {100 * WINS:.0f} %"
        wish = f"more than {self.rounds * round_frames():,}, after which {wins}"
        require("frames", training.score >= WINS, wish, self.frames)
        return lambda game, state, generator: episode(training, size, game, state, generator)

    def train(self, training: Training, game: "Held", file: Path, quiet: bool) -> None:
        """All rounds that are left, and the file after the last, and every few seconds."""
        shown = {"desc": "training", "unit": " frames", "unit_scale": round_frames(), "total": self.rounds}
        written = time.monotonic()
        with tqdm(**shown, initial=training.rounds, leave=False, disable=quiet) as bar:
            while training.rounds < self.rounds:
                training.round(game)
                bar.set_postfix_str(f"wins {100 * training.score:.0f} %", refresh=False)
                bar.update()
                if training.rounds == self.rounds or time.monotonic() - written >= PAUSE:
                    write_policy(file, training, game, game.size)
                    written = time.monotonic()


class Held:
    """procgen's CoinRun as the expert plays it: actions are numbers of `ACTIONS`, and held; frames are small; the coin
    counts 1."""

    def __init__(self, game: Any, size: int):
        self.game, self.size = game, size
        self.won, self.begun = (np.zeros(0, bool),) * 2  # until the first action

    def act(self, actions: np.ndarray) -> None:
        """Of a level that is over before the action is, the next begins with it."""
        self.won, self.begun = np.zeros((2, len(actions)), bool)
        for _ in range(HOLD):
            self.game.act(KEYS[actions])
            reward, _, begun = self.game.observe()
            self.won |= reward > 0
            self.begun |= begun

    def observe(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As gym3 has it: (n,), (n, 3, size, size) bytes, (n,)."""
        return self.won, small(self.game.observe()[1]["rgb"], self.size), self.begun

    def callmethod(self, name: str, *given: Any) -> Any:
        """procgen's own."""
        return self.game.callmethod(name, *given)


def episode(training: Training, size: int, game: Any, state: bytes, generator: np.random.Generator) -> list[Seen]:
    """What the policy sees on the way to the coin; nothing where it does not reach it."""
    game.callmethod("set_state", [state])
    held, found = Held(game, size), list[Seen]()
    device = training.network.head.weight.device
    for _ in range(LONGEST):
        frame = game.observe()[1]["rgb"].copy()
        with torch.no_grad():
            chances, _ = training.policy(torch.from_numpy(small(frame, size)).to(device))
        found.append((frame[0], chances[0].cpu().double().softmax(0).numpy()))
        held.act(generator.choice(len(ACTIONS), 1, p=found[-1][1]))
        if held.begun[0]:
            return found if held.won[0] else []
    return []


def round_frames() -> int:
    """Frames that a round of PPO plays."""
    return COPIES * CONSTANTS.steps * HOLD
