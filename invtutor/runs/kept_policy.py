"""A policy on its way, in a file of the safetensors form, which holds nothing but numbers: its weights, what Adam
remembers of each, where the copies of its game are, and the draws still to come. A training that goes on from there
takes the same steps as one that was never stopped (on a CPU; a GPU adds in any order).

Its header holds a checksum of all of it, by which this program knows it as its own.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from invtutor.files import checksum, write_atomically
from invtutor.runs.ppo import Game, Training
from invtutor.worlds.coinrun import coinrun_error

__all__ = ["check_library", "policy_file", "read_policy", "restore", "state_of", "write_policy"]

MARK = "invtutor"
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # what Adam remembers of a parameter


def policy_file(path: Path) -> Path:
    """Where the policy lies that made the states in a file."""
    return path.with_name(f"{path.stem}-policy.safetensors")


def state_of(training: Training, game: Game) -> dict[str, Tensor]:
    """All that a training goes on from, after a round."""
    found = {f"network.{name}": tensor for name, tensor in training.network.state_dict().items()}
    for number, moments in training.optimizer.state_dict()["state"].items():
        found |= {f"adam.{number}.{name}": moments[name] for name in MOMENTS}
    copies = game.callmethod("get_state")
    return found | {
        "copies": torch.frombuffer(bytearray(b"".join(copies)), dtype=torch.uint8),
        "lengths": torch.tensor([len(copy) for copy in copies]),
        "generator": training.generator.get_state(),
        "progress": torch.tensor([training.rounds, training.score], dtype=torch.float64),
    }


def restore(training: Training, state: Mapping[str, Tensor], game: Game) -> None:
    """Put a new training, and its game, where `state_of` found another of the same constants."""
    training.network.load_state_dict({name: state[f"network.{name}"] for name in training.network.state_dict()})
    adam = training.optimizer.state_dict()
    numbers = adam["param_groups"][0]["params"]
    adam["state"] = {number: {name: state[f"adam.{number}.{name}"] for name in MOMENTS} for number in numbers}
    training.optimizer.load_state_dict(adam)
    copies = state["copies"].split(state["lengths"].tolist())
    game.callmethod("set_state", [copy.numpy().tobytes() for copy in copies])
    training.generator.set_state(state["generator"])
    rounds, training.score = state["progress"].tolist()
    training.rounds = int(rounds)


def write_policy(path: Path, training: Training, game: Game, size: int) -> None:
    """Write what `read_policy` reads, whole or not at all. Raises ValueError where something else has its name."""
    if os.path.lexists(path):
        read_policy(path, size)
    state = state_of(training, game)
    there = os.path.realpath(path)  # a link to it stays one
    write_atomically(there, check_library().torch.save(state, {MARK: _seal(state, size)}))


def read_policy(path: Path, size: int) -> dict[str, Tensor]:
    """The state of a training on frames of this size. Raises ValueError, one line, for a file that this program has not
    written as it is."""
    library = check_library()
    try:
        if not path.is_file():  # nor is a device read, which may have no end
            raise OSError("it is no file")
        with library.safe_open(path, "pt") as file:
            found = (file.metadata() or {}).get(MARK)
            state = {name: file.get_tensor(name) for name in sorted(file.keys())}
    except Exception as error:  # the library's own error is none that can be named without it
        raise ValueError(f"{path} is damaged, or no policy of `invtutor coinrun` ({error})") from None
    if found != _seal(state, size):
        raise ValueError(f"{path} was changed, or is no policy of `invtutor coinrun` for frames {size} pixels wide")
    return state


def _seal(state: dict[str, Tensor], size: int) -> str:
    """What the header says of them."""
    return f"a policy by PPO 1, {size} pixels wide, sealed {checksum(check_library().torch.save(state))}"


def check_library() -> Any:
    """safetensors. Raises `DataError` where it is not installed."""
    try:
        import safetensors.torch
    except ImportError as error:
        raise coinrun_error(f"{error}; `pip install 'invtutor[coinrun]'` installs what keeps a policy") from None
    return safetensors
