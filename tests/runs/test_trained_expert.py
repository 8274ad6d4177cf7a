"""The expert by PPO: its training, its file, and what it shows, on a stub of the game."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_games import Game, installed

from invtutor.cli import main
from invtutor.networks import ResNet
from invtutor.runs import trained_expert
from invtutor.runs.kept_policy import check_library, policy_file, read_policy
from invtutor.runs.ppo import PPO, Training
from invtutor.runs.trained_expert import Held, TrainedExpert
from invtutor.worlds.coinrun import ACTIONS, read

ROUND = 8 * 16 * 4  # copies, steps, frames of an action
ENOUGH = 8 * ROUND


def little(monkeypatch: pytest.MonkeyPatch) -> type[Game]:
    """A training of seconds, on the stub."""
    few = {"COPIES": 8, "WIDTH": 2, "LONGEST": 20}
    few |= {"CONSTANTS": PPO(steps=16, epochs=2, minibatches=2, learning_rate=2e-2)}
    for name, value in few.items():
        monkeypatch.setattr(trained_expert, name, value)
    return installed(monkeypatch)


@pytest.fixture
def game(monkeypatch: pytest.MonkeyPatch) -> type[Game]:
    return little(monkeypatch)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """States of an expert, whose training nothing stopped; its policy lies beside them."""
    path = tmp_path_factory.mktemp("whole") / "new" / "mine.npz"
    with pytest.MonkeyPatch.context() as monkeypatch:
        game = little(monkeypatch)
        assert main(made(path, ENOUGH - 1)) == 0, "whole rounds are played"
        assert game.played == [-1, 0, 1, 2, 3]
    return path


def made(path: Path, frames: int = ENOUGH, *options: str) -> list[str]:
    call = ["coinrun", "--expert", "ppo", "--levels", "4", "--states", "5", "--size", "8", "--quiet"]
    return [*call, "--out", str(path), "--frames", str(frames), "--device", "cpu", *options]


def test_an_expert_is_trained_and_recorded(whole: Path, game: type[Game], capsys: pytest.CaptureFixture[str]) -> None:
    data, state = read(whole), read_policy(policy_file(whole), 8)
    assert {each.name for each in whole.parent.iterdir()} == {"mine.npz", "mine-policy.safetensors"}
    assert data.made == f"up to 5 states a level, 8 pixels wide, by PPO 1, trained on {ENOUGH:,} frames"
    assert data.frames.shape == (15, 3, 8, 8) and data.levels.tolist() == [0] * 5 + [1] * 5 + [3] * 5
    assert (data.expert.argmax(1) == ACTIONS.index("jump right")).all(), "which alone crosses every pit"
    rounds, score = state["progress"].tolist()
    assert rounds == 8 and score > trained_expert.WINS
    # What is recorded is the policy's own distribution, of the frames as they are kept.
    network = ResNet((3, 8, 8), 2, len(ACTIONS) + 1)
    network.load_state_dict({name[8:]: tensor for name, tensor in state.items() if name.startswith("network.")})
    with torch.no_grad():
        chances = network(torch.from_numpy(data.frames))[:, :-1].softmax(1)
    assert np.allclose(chances.numpy(), data.expert, atol=1e-5)
    assert main(made(whole)) == 0 and not game.played, "all of it is there"
    assert capsys.readouterr().out.splitlines() == [
        f"15 states of 3 levels of CoinRun in {whole}",
        "Left out, since the expert did not win them: level 2",
    ]


def test_killed_it_goes_on_and_ends_with_the_same_weights(
    whole: Path, game: type[Game], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, go_on, rounds = tmp_path / "killed.npz", Training.round, list[int]()
    monkeypatch.setattr(trained_expert, "PAUSE", 0.0)

    def dies(self: Training, game: Any) -> None:
        if self.rounds == 3:
            raise SystemExit(137)
        go_on(self, game)

    monkeypatch.setattr(Training, "round", dies)
    assert main(made(path)) == 137 and [*tmp_path.iterdir()] == [policy_file(path)]
    (link := policy_file(path)).rename(tmp_path / "on another disk")
    link.symlink_to(tmp_path / "on another disk")
    monkeypatch.setattr(Training, "round", lambda self, game: (rounds.append(self.rounds), go_on(self, game)))
    assert main(made(path)) == 0 and rounds == [3, 4, 5, 6, 7] and link.is_symlink()
    assert policy_file(path).read_bytes() == policy_file(whole).read_bytes()
    assert path.read_bytes() == whole.read_bytes()


def test_a_policy_that_does_not_win_is_no_expert(
    game: type[Game], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is recorded, and its training is not lost."""
    path = tmp_path / "mine.npz"
    assert main(made(path, 1)) == 2 and game.played == [-1]
    message = rf"should be more than {ROUND}, after which the policy wins \d+ % of its levels; an expert wins 75 %"
    assert re.search(message, capsys.readouterr().err)
    assert [*tmp_path.iterdir()] == [policy_file(path)] and read_policy(policy_file(path), 8)["progress"][0] == 1


def test_states_of_two_policies_are_not_mixed(
    whole: Path, game: type[Game], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, other = tmp_path / "mine.npz", tmp_path / "other.npz"
    path.write_bytes(whole.read_bytes())
    policy_file(other).write_bytes(policy_file(whole).read_bytes())
    for call, message in (
        (made(path, ROUND), "`out` should be a new file, or one with up to 5 states"),
        (made(path, ENOUGH, "--levels", "5"), "`out` should be a new file, or one with the policy beside it that made"),
        (made(other, ROUND), f"`frames` should be at least {ENOUGH:,}, on which the policy in"),
    ):
        assert main(call) == 2 and message in capsys.readouterr().err
    assert {*tmp_path.iterdir()} == {path, policy_file(other)} and path.read_bytes() == whole.read_bytes()
    assert policy_file(other).read_bytes() == policy_file(whole).read_bytes()


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda path: path.write_text("mine"), "is damaged, or no policy of `invtutor coinrun`"),
    "a folder": (lambda path: path.mkdir(), "is damaged, or no policy of `invtutor coinrun`"),
    "a dead link": (lambda path: path.symlink_to("nowhere"), "is damaged, or no policy of `invtutor coinrun`"),
    "a pickle": (lambda path: path.write_bytes(b"\x80\x04K\x01."), "is damaged, or no policy of `invtutor coinrun`"),
    "foreign": (lambda path: save_file({"x": torch.ones(2)}, path), "was changed, or is no policy of"),
    "changed": (lambda path: save_file({"x": torch.ones(2)}, path, {"invtutor": "mine"}), "was changed, or is no"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_not_its_own_is_neither_read_nor_replaced(
    fault: str, game: type[Game], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.npz"
    spoil, message = FAULTS[fault]
    spoil(policy_file(path))
    before = policy_file(path).is_file() and policy_file(path).read_bytes()
    assert main(made(path)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and [*tmp_path.iterdir()] == [policy_file(path)]
    assert (policy_file(path).is_file() and policy_file(path).read_bytes()) == before


def test_a_policy_is_sealed_with_its_size(
    game: type[Game], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.npz"
    file = policy_file(path)
    assert main(made(path, 1)) == 2
    assert main([*made(path, 1), "--size", "16"]) == 2
    assert "no policy of `invtutor coinrun` for frames 16 pixels wide" in capsys.readouterr().err
    state = load_file(file)
    state["network.head.bias"] += 1
    with check_library().safe_open(file, "pt") as opened:
        save_file(state, file, opened.metadata())
    with pytest.raises(ValueError, match="was changed"):
        read_policy(file, 8)
    file.unlink()
    go_on = Training.round
    monkeypatch.setattr(Training, "round", lambda self, game: (go_on(self, game), file.write_text("mine")))
    assert main(made(path, 1)) == 2 and file.read_text() == "mine", "put there while it trained"


def test_an_action_is_held_and_the_coin_counts_one(game: type[Game]) -> None:
    options = {"rand_seed": 0, "num_levels": 1, "num_threads": 1}
    held = Held(game(2, "coinrun", 0, "hard", **options), 8)
    held.act(np.array([0, 2]))
    won, frames, begun = held.observe()
    assert frames.shape == (2, 3, 8, 8) and frames.dtype == np.uint8 and frames[:, 0, 0, 0].tolist() == [4, 0]
    assert not won.any() and not begun.any()
    held.callmethod("set_state", [bytes([28]), bytes([13])])
    held.act(np.array([1, 0]))
    won, frames, begun = held.observe()
    assert won.tolist() == [True, False] and begun.tolist() == [True, True], "the coin, and the pit"
    assert frames[:, 0, 0, 0].tolist() == [2, 3], "and on in the next level"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--expert", "ppo", "--frames", "0"], r"Parameter `frames` should be .*in \[1, 10,000,000,000\]. Found 0."),
        (["--expert", "ppo", "--device", "gpu"], "Parameter `device` should be auto, or a device of torch"),
        (["--frames", "100"], "Option --frames is for `--expert ppo`: a search is not trained."),
        (["--expert", "search", "--device", "cpu"], "Option --device is for `--expert ppo`"),
        (["--expert", "dqn"], "argument --expert: invalid choice: 'dqn'"),
    ],
)
def test_wrong_options_are_refused(
    options: list[str], message: str, game: type[Game], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["coinrun", "--out", str(tmp_path / "new.npz"), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.match(f"invtutor: error: {message}", line) and not any(tmp_path.iterdir()) and not game.played


def test_without_safetensors_it_says_how_to_have_it(
    game: type[Game], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    assert main(made(tmp_path / "new" / "mine.npz")) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "`pip install 'invtutor[coinrun]'` installs what keeps a policy" in line and not any(tmp_path.iterdir())
    assert not game.played


def test_help_tells_the_budget(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["coinrun", "--help"]) == 0
    assert f"(default: {TrainedExpert().frames:,})" in " ".join(capsys.readouterr().out.split())
