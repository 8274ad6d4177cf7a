"""A stub of procgen's CoinRun."""

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from invtutor.worlds import demonstrations


class Game:
    """A stub of procgen's: a walk to the right, where a pit has to be jumped over; a frame shows how far one is.

    In level 2 there is no coin. played: the numbers of the levels that were begun, -1 for levels without end.
    """

    played: list[int]

    def __init__(self, num: int, env_name: str, start_level: int, distribution_mode: str, **options: int):
        assert (env_name, distribution_mode, options.pop("rand_seed")) == ("coinrun", "hard", 0)
        assert options in ({"num_levels": 1, "num_threads": 1}, {"num_levels": 0, "num_threads": 4})
        self.played.append(start_level if options["num_levels"] else -1)
        self.level, self.place = start_level, np.zeros(num, int)
        self.reward, self.begun = np.zeros(num, np.float32), np.ones(num, bool)

    def callmethod(self, name: str, states: Any = None) -> Any:
        if name == "get_state":
            return [bytes([place]) for place in self.place]
        assert name == "set_state" and len(states) == len(self.place)
        self.place = np.array([state[0] for state in states])
        return None

    def act(self, keys: np.ndarray) -> None:
        self.place = np.maximum(self.place + np.where(keys == 1, -1, 1), 0)
        fell = (self.place == 14) & (keys != 8)
        won = (self.place == 30) & (self.level != 2)
        self.reward, self.begun = 10.0 * won, fell | won
        self.place = np.where(self.begun, 0, np.minimum(self.place, 200))

    def observe(self) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
        frames = np.broadcast_to(self.place.astype(np.uint8)[:, None, None, None], (len(self.place), 64, 64, 3))
        return self.reward, {"rgb": frames}, self.begun

    def close(self) -> None:
        pass


def installed(monkeypatch: pytest.MonkeyPatch) -> type[Game]:
    """The stub in procgen's place, with fewer tries of a level."""
    monkeypatch.setattr(Game, "played", [], raising=False)
    monkeypatch.setattr(demonstrations, "EPISODES", 3)
    monkeypatch.setitem(sys.modules, "procgen", SimpleNamespace(ProcgenGym3Env=Game))
    return Game
