"""CoinRun, cloned: what an expert does in the states of many levels, learned on some levels and judged on others.

A platform game whose levels differ in background, ground and monsters (procgen, Cobbe et al. 2020, arXiv 1912.01588).
Each training level is an environment; what is asked for is the KL divergence from the expert's distribution over
actions to the clone's, on levels that nobody has trained on (Parascandolo et al. 2021, arXiv 2009.00329, §4.3).
`demonstrations.py` makes the states. Difference from the paper: its expert was trained, and showed 1000 states of a
level to a ResNet-18; by default this one searches, and shows few states, 32 pixels wide, to a small network.
"""

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from invtutor.fields import within
from invtutor.files import write_atomically
from invtutor.worlds.environment import Environment
from invtutor.worlds.missing import DataError
from invtutor.worlds.mnist import data_folder
from invtutor.worlds.risks import precise
from invtutor.worlds.world import Drawn, Metrics, Predictor, Setting

__all__ = ["ACTIONS", "FILE", "CoinRun", "Recorded", "coinrun_error", "read", "write"]

FILE = "coinrun.npz"
ACTIONS = ("right", "jump right", "left")
WHERE = "https://github.com/openai/procgen"
TERMS = "MIT license; its pictures are other people's, under CC0, CC BY and OGA-BY"
SIZE = "48 MB"
KINDS = {"frames": (np.uint8, 4), "expert": (np.float32, 2), "levels": (np.int64, 1), "unsolved": (np.int64, 1)}


def coinrun_error(why: object) -> DataError:
    """Why the game, or the states, cannot be had."""
    return DataError("CoinRun", why, WHERE, TERMS, SIZE)


@dataclass(frozen=True, eq=False)
class Recorded:
    """States in which an expert was asked. All callers of a process share the arrays: never write to them.

    frames: (n, 3, size, size) uint8. expert: (n, actions) float32, its distribution over `ACTIONS`. levels: (n,) int64,
    the level that each state is of. unsolved: int64, the levels that it could not win, of which there are no states.
    made: how, in words.
    """

    frames: np.ndarray
    expert: np.ndarray
    levels: np.ndarray
    unsolved: np.ndarray
    made: str

    @property
    def seal(self) -> str:
        """A checksum of all of it."""
        found = hashlib.sha256(self.made.encode())
        for name in KINDS:
            found.update(f"{name} {getattr(self, name).shape}".encode() + getattr(self, name).tobytes())
        return found.hexdigest()

    @property
    def source(self) -> str:
        """A word that no other states have."""
        return f"CoinRun {self.seal[:8]}"

    def __str__(self) -> str:
        return f"{len(self.levels):,} states of {len(np.unique(self.levels)):,} levels of CoinRun"


def read(path: Path) -> Recorded:
    """What a file holds. Raises ValueError, one line, for a file that this program has not written as it is."""
    try:
        if path.exists() and not path.is_file():  # to open a pipe would wait for ever
            raise OSError("no ordinary file")
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in (*KINDS, "made", "seal")}
    except KeyError as error:
        raise ValueError(f"{path} has no {' '.join(error.args[0].split()[:1])}") from None
    except Exception as error:  # numpy and zipfile raise this and that
        raise ValueError(f"{path} is damaged, or no file of `invtutor coinrun` ({error})") from None
    for name, (kind, dimensions) in KINDS.items():
        if (found[name].dtype, found[name].ndim) != (kind, dimensions):
            told = f"{found[name].shape} {found[name].dtype}"
            raise ValueError(f"{path}: {name} should have {dimensions} dimensions of {kind.__name__}. Found {told}")
    recorded = Recorded(**{name: found[name] for name in KINDS}, made=str(found["made"]))
    frames, expert, levels = recorded.frames, recorded.expert, recorded.levels
    n, size = len(levels), frames.shape[-1]
    for name, wish in (("frames", (n, 3, size, size)), ("expert", (n, len(ACTIONS)))):
        if found[name].shape != wish:
            raise ValueError(f"{path}: {name} should be {wish}, for {n} levels. Found {found[name].shape}")
    if not ((expert >= 0).all() and np.allclose(expert.sum(1), 1, atol=1e-4)):
        raise ValueError(f"{path}: expert should be probabilities that add up to 1. Found others")
    if min(0, *levels.tolist(), *recorded.unsolved.tolist()) < 0:
        raise ValueError(f"{path}: levels should be at least 0. Found {min(levels.min(), *recorded.unsolved)}")
    if str(found["seal"]) != recorded.seal:
        raise ValueError(f"{path} was changed after `invtutor coinrun` wrote it")
    return recorded


def write(path: Path, recorded: Recorded) -> None:
    """Write what `read` reads, whole or not at all."""
    content = io.BytesIO()
    parts: dict[str, Any] = {name: getattr(recorded, name) for name in KINDS}
    np.savez(content, **parts, made=recorded.made, seal=recorded.seal)
    write_atomically(path, content.getvalue())


@dataclass(frozen=True, eq=False)
class Demonstrated(Environment):
    """States with the expert's distribution over actions, (n, actions); labels are its best actions.

    In a batch each state comes with an action that the expert takes there, drawn each time: what is expected of the
    cross-entropy is then that against the distribution, the KL divergence and a constant.
    """

    expert: Tensor = None  # type: ignore[assignment]

    def each(self, change: Callable[[Tensor], Tensor]) -> "Demonstrated":
        """The environment with all its tensors changed alike."""
        changed = cast(Demonstrated, super().each(change))
        object.__setattr__(changed, "expert", change(self.expert))
        return changed

    def sample(self, size: int, generator: torch.Generator) -> "Demonstrated":
        """A minibatch, and what the expert does in it."""
        batch = cast(Demonstrated, super().sample(size, generator))
        chance = torch.rand(size, 1, generator=generator).to(batch.expert.device)
        taken = (chance > batch.expert[:, :-1].cumsum(1)).sum(1)
        object.__setattr__(batch, "labels", taken)
        return batch


class Levels(Drawn):
    """Levels to train on, and one test of all states of the others."""

    def watch(self, predict: Predictor) -> Metrics:
        """As in every world, accuracy being how often the expert's best action is the clone's; and the KL divergence
        in the test, which is by how much the clone's cross-entropy exceeds the expert's own."""
        clone = precise(predict(self.tests[0].inputs)).log_softmax(1)
        return super().watch(predict) | {"test excess risk": self.divergence(clone)}

    def final(self, predict: Predictor) -> Metrics:
        """As in every world, and the divergence of one answer for all states: what the expert does on average in those
        of training."""
        usual = precise(torch.cat([cast(Demonstrated, level).expert for level in self.train])).mean(0)
        return super().final(predict) | {"blind excess risk": self.divergence(usual.log())}

    def divergence(self, logarithms: Tensor) -> float:
        """From the expert in the test to these logarithms of probabilities, (n, actions) or (actions,)."""
        expert = precise(cast(Demonstrated, self.tests[0]).expert)
        return F.kl_div(logarithms.expand_as(expert), expert, reduction="batchmean").item()


# A perceptron: a residual network took ten times as long.
_QUICK: Mapping[str, Any] = {
    "network": "perceptron",
    "width": 64,
    "batch_size": 4,
    "steps": 200,
    "learning_rate": 3e-4,
    "decay": "cosine",
    "l2": 0.0,
    "anneal": 0,
}


@dataclass(frozen=True)
class CoinRun(Setting):
    """States of CoinRun, bytes (n, 3, size, size), and what an expert does there: `invtutor coinrun` makes them."""

    file: str = ""
    """The file of states below `$INVTUTOR_DATA`, or its full path; empty for coinrun.npz."""
    environments: int = within(64, 1, 10_000)
    """Levels to train on, drawn at random; all others are the test."""

    label = "CoinRun"
    budgets = MappingProxyType(
        {
            "smoke": {**_QUICK, "width": 4, "batch_size": 2, "steps": 3},
            "quick": _QUICK,
            "paper": {**_QUICK, "network": "residual", "batch_size": 8, "steps": 20_000, "learning_rate": 1e-3},
        }
    )

    def load(self) -> Recorded:
        """The states in the file, read once in a process. Raises `DataError`."""
        return _opened(data_folder() / (self.file or FILE))

    def draw(self, data: Recorded, generator: torch.Generator) -> Levels:
        """An environment for each training level, and the test. Raises `DataError` where a level is missing for it."""
        numbers = torch.from_numpy(np.unique(data.levels))
        if len(numbers) <= self.environments:
            why = f"the file has states of {len(numbers)} levels, and {self.environments} are to train on"
            raise coinrun_error(f"{why}; `invtutor coinrun --levels` makes more")

        every = Demonstrated(
            "test",
            torch.from_numpy(data.frames),
            torch.from_numpy(data.expert.argmax(1)),
            {"level": torch.from_numpy(data.levels)},
            expert=torch.from_numpy(data.expert),
        )
        train = numbers[torch.randperm(len(numbers), generator=generator)[: self.environments]]
        return Levels(
            tuple(replace(every.subset(every["level"] == number), name=f"level {number}") for number in train.tolist()),
            tests=(every.subset(~torch.isin(every["level"], train)),),
            outputs=len(ACTIONS),
        )


@cache
def _opened(path: Path) -> Recorded:
    if not path.is_file():
        raise coinrun_error(f"there is no file {path}; `invtutor coinrun` makes it")
    try:
        return read(path)
    except ValueError as error:
        raise coinrun_error(error) from None
