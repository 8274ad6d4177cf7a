"""An expert plays CoinRun: what `invtutor coinrun` makes, and `coinrun.py` reads.

Who plays is `search.py`, or a policy that was trained. Kept are states of episodes that it wins, drawn at random. A
level's states depend on its number and on who plays alone, not on what else is made.
"""

import io
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from invtutor.fields import check, require, within
from invtutor.files import alone, check_writable, made_folder
from invtutor.worlds.coinrun import ACTIONS, KINDS, Recorded, coinrun_error, read, write
from invtutor.worlds.search import Episode, Search, Seen

__all__ = ["Demonstrations", "small"]

EPISODES = 4  # tries of a level
SIDE = 64  # of procgen's frames
PAUSE = 10.0  # seconds between two looks of the file: a kill loses no more


class Expert(Protocol):
    """Who plays; its text says what made it. copies: of the game, which it needs for an episode."""

    copies: int

    def ready(self, path: Path, size: int, begun: bool, game: Callable[..., Any], quiet: bool) -> Episode:
        """How it plays an episode: what it sees on the way to the coin, or nothing where it does not reach it.

        Called before anything is recorded in the file `path`, for frames `size` pixels wide. begun: whether states of
        this expert are there already.
        """


@dataclass(frozen=True)
class Demonstrations:
    """What is to be made. Raises ValueError, naming the field, for what cannot be."""

    levels: int = within(100, 1, 100_000)
    """Levels, from number 0 on."""
    states: int = within(16, 1, 10_000)
    """States of each; fewer where four episodes have no more."""
    size: int = within(32, 8, SIDE)
    """Side of the frames, a divisor of 64."""
    expert: Expert = field(default_factory=Search)

    def __post_init__(self) -> None:
        check(self)
        require("size", SIDE % self.size == 0, f"a divisor of {SIDE}", self.size)

    def __str__(self) -> str:
        return f"up to {self.states} states a level, {self.size} pixels wide, by {self.expert}"

    def make(self, path: Path, *, quiet: bool = False) -> Recorded:
        """Write the file, level by level; what it holds is not made again, so that a killed call loses seconds.

        Raises ValueError where something else has its name, `DataError` where there is no procgen, and OSError.
        """
        kept, path = self.there(path), Path(os.path.realpath(path))  # a link to the file stays one
        missing = [number for number in range(self.levels) if number not in _numbers(kept)]
        if not missing:
            return kept
        game = _procgen()
        check_writable(path.parent)
        made = dict[int, Recorded]()
        shown = {"desc": "levels", "total": self.levels, "initial": self.levels - len(missing), "disable": quiet}
        with made_folder(path.parent):
            play = self.expert.ready(path, self.size, bool(_numbers(kept)), game, quiet)
            written = time.monotonic()
            with tqdm(**shown, leave=False) as bar:
                try:
                    for number in missing:
                        made[number] = self.level(game, play, number)
                        bar.update()
                        if time.monotonic() - written >= PAUSE:
                            self.add(path, made)
                            made, written = {}, time.monotonic()
                finally:
                    whole = self.add(path, made)
        return whole

    def there(self, path: Path) -> Recorded:
        """What the file holds; nothing where there is none. Raises ValueError where something else has its name."""
        if not (path.exists() or path.is_symlink()):
            return self.recorded([], [])
        kept = read(path)
        require("out", kept.made == str(self), f"a new file, or one with {self}", f"{path}, {kept.made}")
        return kept

    def add(self, path: Path, made: Mapping[int, Recorded]) -> Recorded:
        """Write the file anew, with these levels besides, in their order; another call may have written meanwhile, and
        something else may have taken its name. Raises as `there` does, and OSError."""
        with alone(path.parent):
            kept = self.there(path)
            parts = [kept, *(part for number, part in made.items() if number not in _numbers(kept))]
            whole = {name: np.concatenate([getattr(part, name) for part in parts]) for name in KINDS}
            order = np.argsort(whole["levels"], kind="stable")
            whole |= {name: whole[name][order] for name in ("frames", "expert", "levels")}
            write(path, recorded := Recorded(**whole, made=kept.made))
        return recorded

    def level(self, game: Callable[..., Any], play: Episode, number: int) -> Recorded:
        """States of one level; its number alone, where there are none."""
        options = {"distribution_mode": "hard", "num_levels": 1, "start_level": number, "num_threads": 1}
        played = game(num=self.expert.copies, env_name="coinrun", rand_seed=0, **options)
        generator, found = np.random.default_rng(number), list[Seen]()
        start = played.callmethod("get_state")[0]
        for _ in range(EPISODES):
            if len(found) < self.states:
                found += play(played, start, generator)
        played.close()
        chosen = np.sort(generator.permutation(len(found))[: self.states])
        return self.recorded([found[i] for i in chosen], [number] * len(chosen), [] if found else [number])

    def recorded(self, seen: Sequence[Seen], levels: Sequence[int], unsolved: Sequence[int] = ()) -> Recorded:
        """States as they are kept."""
        return Recorded(
            small(np.array([frame for frame, _ in seen]), self.size),
            np.array([expert for _, expert in seen], np.float32).reshape(-1, len(ACTIONS)),
            np.array(levels, np.int64),
            np.array(unsolved, np.int64),
            str(self),
        )


def small(frames: np.ndarray, size: int) -> np.ndarray:
    """(n, 64, 64, 3) → (n, 3, size, size), bytes: each pixel is the mean of a block of procgen's."""
    blocks = frames.reshape(-1, size, SIDE // size, size, SIDE // size, 3)
    return blocks.mean((2, 4)).round().astype(np.uint8).transpose(0, 3, 1, 2)


def _numbers(recorded: Recorded) -> set[int]:
    """The levels that were played, won or not."""
    return {*recorded.levels.tolist(), *recorded.unsolved.tolist()}


def _procgen() -> Callable[..., Any]:
    """The game's class. Raises `DataError` where it is not installed."""
    try:
        with redirect_stderr(io.StringIO()):  # gym, which comes with it, tells of its successor
            from procgen import ProcgenGym3Env
    except ImportError as error:
        have = f"this is Python {platform.python_version()}"
        why = f"{error}; `pip install 'invtutor[coinrun]'` installs what plays it on Python 3.10 to 3.12, and {have}"
        raise coinrun_error(why) from None
    return ProcgenGym3Env
