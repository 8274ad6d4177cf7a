"""An expert plays CoinRun, by search: what `invtutor coinrun` makes, and `coinrun.py` reads.

Where it stands, the expert tries each action for four frames in eight copies of the game, and goes on in each copy at
random, mostly to the right, for up to 96 frames; the copies of all actions go on alike, so that they compare in pairs.
What an action is worth is the mean over its copies: the coin counts .99 to the power of the frames that it takes, being
alive in the end a little, else nothing. What it does is softmax(worth / T). It takes the best action, or now and then
any, so that more states are seen.

Kept are states of episodes that it wins, and only those in which the actions' worths differ: in the others its choice
would be noise. A level's states depend on its number alone, not on what else is made.
"""

import io
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from invtutor.fields import check, require, within
from invtutor.files import check_writable, made_folder
from invtutor.worlds.coinrun import ACTIONS, KINDS, Recorded, coinrun_error, read, write

__all__ = ["Demonstrations"]

KEYS = np.array((7, 8, 1), np.int32)  # procgen's numbers of `ACTIONS`
HOLD, AHEAD, TRIALS = 4, 24, 8  # frames of an action, actions of a trial, trials of each action
USUAL = (0.45, 0.45, 0.1)  # how the trials go on
ALIVE, DISCOUNT, TEMPERATURE, DIFFER, SLIP = 0.2, 0.99, 0.2, 0.1, 0.1
EPISODES, LONGEST = 4, 120  # tries of a level, and actions of each
SIDE = 64  # of procgen's frames
PAUSE = 10.0  # seconds between two looks of the file: a kill loses no more

Seen = tuple[np.ndarray, np.ndarray]  # a frame (64, 64, 3), and what the expert does: (actions,)
Step = tuple[bytes, bool, bool]  # where an action leads, whether the level is over there, and whether it is won


@dataclass(frozen=True)
class Demonstrations:
    """What is to be made. Raises ValueError, naming the field, for what cannot be."""

    levels: int = within(100, 1, 100_000)
    """Levels, from number 0 on."""
    states: int = within(16, 1, 10_000)
    """States of each; fewer where four episodes have no more."""
    size: int = within(32, 8, SIDE)
    """Side of the frames, a divisor of 64."""

    def __post_init__(self) -> None:
        check(self)
        require("size", SIDE % self.size == 0, f"a divisor of {SIDE}", self.size)

    def __str__(self) -> str:
        return f"up to {self.states} states a level, {self.size} pixels wide, by search 1"

    def make(self, path: Path, *, quiet: bool = False) -> Recorded:
        """Write the file, level by level; what it holds is not made again, so that a killed call loses seconds.

        Raises ValueError where something else has its name, `DataError` where there is no procgen, and OSError.
        """
        kept = self.there(path)
        missing = [number for number in range(self.levels) if number not in _numbers(kept)]
        if not missing:
            return kept
        game = _procgen()
        check_writable(path.parent)
        made, written = dict[int, Recorded](), time.monotonic()
        shown = {"desc": "levels", "total": self.levels, "initial": self.levels - len(missing), "disable": quiet}
        with made_folder(path.parent), tqdm(**shown, leave=False) as bar:
            try:
                for number in missing:
                    made[number] = self.level(game, number)
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
        kept = self.there(path)
        parts = [kept, *(part for number, part in made.items() if number not in _numbers(kept))]
        whole = {name: np.concatenate([getattr(part, name) for part in parts]) for name in KINDS}
        order = np.argsort(whole["levels"], kind="stable")
        whole |= {name: whole[name][order] for name in ("frames", "expert", "levels")}
        write(path, recorded := Recorded(**whole, made=kept.made))
        return recorded

    def level(self, game: Callable[..., Any], number: int) -> Recorded:
        """States of one level; its number alone, where there are none."""
        options = {"distribution_mode": "hard", "num_levels": 1, "start_level": number, "num_threads": 1}
        played = game(num=TRIALS * len(ACTIONS), env_name="coinrun", rand_seed=0, **options)
        generator, found = np.random.default_rng(number), list[Seen]()
        start = played.callmethod("get_state")[0]
        for _ in range(EPISODES):
            if len(found) < self.states:
                found += episode(played, start, generator)
        played.close()
        chosen = np.sort(generator.permutation(len(found))[: self.states])
        return self.recorded([found[i] for i in chosen], [number] * len(chosen), [] if found else [number])

    def recorded(self, seen: Sequence[Seen], levels: Sequence[int], unsolved: Sequence[int] = ()) -> Recorded:
        """States as they are kept: each pixel is the mean of a block of procgen's."""
        block = SIDE // self.size
        frames = [frame.reshape(self.size, block, self.size, block, 3).mean((1, 3)).round() for frame, _ in seen]
        return Recorded(
            np.array(frames, np.uint8).reshape(-1, self.size, self.size, 3).transpose(0, 3, 1, 2),
            np.array([expert for _, expert in seen], np.float32).reshape(-1, len(ACTIONS)),
            np.array(levels, np.int64),
            np.array(unsolved, np.int64),
            str(self),
        )


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
