"""CoinRun: the file of states, what is drawn of it, and an expert that plays a stub of the game."""

import math
import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from downloads import coinrun, states
from small_games import Game, installed

from invtutor.cli import main
from invtutor.runs.recipe import Recipe
from invtutor.runs.run import assemble, run
from invtutor.worlds import demonstrations, search
from invtutor.worlds.coinrun import ACTIONS, FILE, CoinRun, Demonstrated, Recorded, read, write
from invtutor.worlds.demonstrations import Demonstrations
from invtutor.worlds.missing import DataError
from invtutor.worlds.search import Episode


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INVTUTOR_DATA", str(tmp_path))
    coinrun(tmp_path)
    return tmp_path / FILE


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# The file


def test_what_is_written_is_read(file: Path) -> None:
    wanted, found = states(), read(file)
    assert all(np.array_equal(getattr(found, part), getattr(wanted, part)) for part in ("frames", "expert", "levels"))
    assert (found.unsolved.tolist(), found.made, found.source) == ([7], wanted.made, wanted.source)
    assert [path.name for path in file.parent.iterdir()] == [FILE]


def saved(path: Path, **changes: Any) -> None:
    """A file with other parts, or without those that are None."""
    parts = {name: getattr(GOOD, name) for name in ("frames", "expert", "levels", "unsolved", "made", "seal")} | changes
    np.savez(path, **{name: part for name, part in parts.items() if part is not None})


GOOD = states()
FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda path: path.unlink(), "there is no file .*; `invtutor coinrun` makes it"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "there is no file"),
    "empty": (lambda path: path.write_bytes(b""), "is damaged, or no file of `invtutor coinrun`"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-900]), "is damaged"),
    "a bit": (lambda path: path.write_bytes(path.read_bytes().replace(b"\x07", b"\x08")), "is damaged"),
    "text": (lambda path: path.write_text("level,action\n"), "is damaged, or no file of"),
    "one array": (lambda path: np.save(path.open("wb"), np.zeros(3)), "is damaged, or no file of"),
    "pickled": (lambda path: saved(path, unsolved=np.array([{}])), "is damaged, or no file of"),
    "foreign": (lambda path: np.savez(path, x=np.zeros(3)), "has no frames"),
    "no levels": (lambda path: saved(path, levels=None), "has no levels"),
    "floats": (lambda path: saved(path, frames=GOOD.frames / 255.0), "frames should have 4 dimensions of uint8"),
    "gray": (lambda path: saved(path, frames=GOOD.frames[:, :1]), r"frames should be \(20, 3, 12, 12\)"),
    "oblong": (lambda path: saved(path, frames=GOOD.frames[..., :9]), r"frames should be \(20, 3, 9, 9\)"),
    "too few": (lambda path: saved(path, expert=GOOD.expert[1:]), r"expert should be \(20, 3\), for 20"),
    "two actions": (lambda path: saved(path, expert=GOOD.expert[:, :2]), r"expert should be \(20, 3\)"),
    "too sure": (lambda path: saved(path, expert=2 * GOOD.expert), "expert should be probabilities that add up to 1"),
    "NaN": (lambda path: saved(path, expert=GOOD.expert * math.nan), "expert should be probabilities"),
    "negative": (lambda path: saved(path, expert=np.float32([[2, -1, 0]] * 20)), "expert should be probabilities"),
    "levels below 0": (lambda path: saved(path, levels=GOOD.levels - 3), "levels should be at least 0. Found -3"),
    "changed": (lambda path: saved(path, frames=255 - GOOD.frames), "was changed after `invtutor coinrun` wrote it"),
    "one level": (lambda path: write(path, states(1)), "states of 1 levels, and 4 are to train on"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_file_is_one_line(fault: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil, message = FAULTS[fault]
    spoil(file)
    out = file.parent / "out"
    call = ["run", "erm", "-p", "world=coinrun", "-p", "profile=smoke", "-p", "environments=4", "--out", str(out)]
    assert main(call) == 1
    said = capsys.readouterr().err
    assert re.match(rf"invtutor: error: CoinRun cannot be had: .*{message}", said) and said.count("\n") == 1
    assert "github.com/openai/procgen (MIT license; its pictures" in said and said.endswith("; 48 MB).\n")
    assert not out.exists()


def test_a_file_may_have_another_name(file: Path) -> None:
    file.rename(file.with_name("mine.npz"))
    for name in ("mine.npz", str(file.with_name("mine.npz"))):
        assert CoinRun(file=name).load().source == states().source
    with pytest.raises(DataError, match="there is no file"):
        CoinRun().load()


# The world


def test_levels_are_environments_and_others_the_test(file: Path) -> None:
    data = read(file)
    world, other = (CoinRun(environments=3).draw(data, seeded(seed)) for seed in (0, 1))
    levels = [int(environment["level"].unique()) for environment in world.train]
    assert [environment.name for environment in world.train] == [f"level {number}" for number in levels]
    (test,) = world.tests
    assert len(set(levels)) == 3 and not set(levels) & set(test["level"].tolist()) and len(test) == 8
    assert [environment.name for environment in other.train] != [environment.name for environment in world.train]
    for environment in (*world.train, test):
        assert isinstance(environment, Demonstrated)
        assert torch.equal(environment.expert, torch.from_numpy(data.expert)[environment.index])
        assert torch.equal(environment.labels, environment.expert.argmax(1))
        assert torch.equal(environment.inputs, torch.from_numpy(data.frames)[environment.index])


def test_a_batch_has_the_experts_actions(file: Path) -> None:
    """As often as it takes them: within five standard deviations, and other ones each time."""
    level = CoinRun(environments=3).draw(read(file), seeded()).train[0]
    batch = level.sample(20_000, seeded(1))
    assert isinstance(batch, Demonstrated) and set(batch.labels.tolist()) == {0, 1, 2}
    for state in range(len(level)):
        drawn = batch.labels[batch.index == level.index[state]]
        shares = drawn.bincount(minlength=len(ACTIONS)) / len(drawn)
        assert torch.allclose(shares, level.expert[state], atol=2.5 / math.sqrt(len(drawn)))
    same = level.sample(50, seeded(2))
    assert torch.equal(same.labels, level.sample(50, seeded(2)).labels)
    assert torch.equal(level.labels, level.expert.argmax(1)), "the level itself keeps its best actions"


def test_the_divergence_is_what_cross_entropy_has_too_much(file: Path) -> None:
    recipe = Recipe.profile("smoke", "erm", world="coinrun", environments=3)
    done = run(recipe, progress=False)
    (test,) = done.world.tests
    p = test.expert.double()
    q = done.algorithm.predict(test.inputs).double().softmax(1)
    assert done.metrics["test excess risk"] == pytest.approx((p * (p / q).log()).sum(1).mean().item())
    assert done.metrics["test"] == (q.argmax(1) == p.argmax(1)).double().mean().item()
    known = torch.cat([level.expert for level in done.world.train]).double().mean(0)
    assert done.metrics["blind excess risk"] == pytest.approx((p * (p / known).log()).sum(1).mean().item())
    perfect = {len(each): each.expert.log() for each in (done.world.pooled, test) if isinstance(each, Demonstrated)}
    blind = torch.zeros(len(done.world.pooled), len(ACTIONS))
    right = done.world.watch(lambda inputs: perfect.get(len(inputs), blind))
    assert (right["test"], right["test excess risk"]) == (1, pytest.approx(0, abs=1e-6))
    assert done.data.source.startswith("CoinRun ") and "20 states of 5 levels" in str(done.data)


def test_it_learns_what_frames_tell(file: Path) -> None:
    """Frames whose color says what the expert does: the divergence goes down on levels that were not trained on."""
    one = states(8)
    color = np.eye(3, dtype=np.uint8)[one.expert.argmax(1)] * 200
    write(file.with_name("clear.npz"), replace(one, frames=np.repeat(color, 144, 1).reshape(-1, 3, 12, 12)))
    options = {"world": "coinrun", "file": "clear.npz", "environments": 5, "network": "perceptron", "width": 16}
    ready = assemble(Recipe.profile("smoke", "erm", **options, batch_size=16, steps=60, learning_rate=1e-2))
    before = ready.world.watch(ready.algorithm.predict)
    after = ready.fit(lambda trained: ready.world.watch(trained.predict), progress=False).last
    assert after["test"] == 1 and after["test excess risk"] < before["test excess risk"]


# The expert


@pytest.fixture
def game(monkeypatch: pytest.MonkeyPatch) -> type[Game]:
    monkeypatch.setattr(search, "AHEAD", 8)
    monkeypatch.setattr(search, "LONGEST", 30)
    return installed(monkeypatch)


def made(path: Path, *options: str) -> list[str]:
    return ["coinrun", "--states", "5", "--size", "16", "--out", str(path), *options]


def test_an_expert_is_recorded(game: type[Game], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "mine.npz"
    assert main(made(path, "--levels", "4")) == 0
    data, said = read(path), capsys.readouterr()
    assert said.out.splitlines() == [
        f"15 states of 3 levels of CoinRun in {path}",
        "Left out, since the expert did not win them: level 2",
    ]
    assert "levels" in said.err and game.played == [0, 1, 2, 3] and data.unsolved.tolist() == [2]
    assert data.frames.shape == (15, 3, 16, 16) and data.levels.tolist() == [0] * 5 + [1] * 5 + [3] * 5
    places = data.frames[:, 0, 0, 0]
    assert all((frame == place).all() for frame, place in zip(data.frames, places, strict=True))
    before_the_pit = data.expert[(places > 9) & (places < 14)]
    assert len(before_the_pit) and (before_the_pit.argmax(1) == ACTIONS.index("jump right")).all()
    assert np.ptp(np.log(data.expert), 1).min() >= search.DIFFER / search.TEMPERATURE - 1e-5
    assert CoinRun(environments=2).draw(data, seeded()).shape == (3, 16, 16)


def test_killed_it_goes_on_and_ends_the_same(game: type[Game], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, killed = tmp_path / "whole.npz", tmp_path / "killed.npz"
    assert main(made(whole, "--levels", "5", "--quiet")) == 0
    monkeypatch.setattr(demonstrations, "PAUSE", 0.0)
    go_on, kept = Demonstrations.level, demonstrations.write

    def level(self: Demonstrations, game: Any, play: Episode, number: int) -> Recorded:
        if number == 3:
            monkeypatch.setattr(demonstrations, "write", lambda *_: None)  # nor does it write on its way out
            raise SystemExit(137)
        return go_on(self, game, play, number)

    monkeypatch.setattr(Demonstrations, "level", level)
    assert main(made(killed, "--levels", "5", "--quiet")) == 137
    monkeypatch.setattr(Demonstrations, "level", go_on)
    monkeypatch.setattr(demonstrations, "write", kept)
    assert read(killed).levels.tolist() == [0] * 5 + [1] * 5 and read(killed).unsolved.tolist() == [2]
    game.played.clear()
    assert main(made(killed, "--levels", "5", "--quiet")) == 0 and game.played == [3, 4]
    assert killed.read_bytes() == whole.read_bytes()
    assert main(made(killed, "--levels", "4", "--quiet")) == 0 and game.played == [3, 4], "all of it is there"


def test_after_an_interrupt_nothing_is_lost(
    game: type[Game], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    go_on = Demonstrations.level

    def level(self: Demonstrations, game: Any, play: Episode, number: int) -> Recorded:
        if number == 1:
            raise KeyboardInterrupt
        return go_on(self, game, play, number)

    monkeypatch.setattr(Demonstrations, "level", level)
    path = tmp_path / "mine.npz"
    assert main(made(path, "--levels", "3", "--quiet")) == 130
    assert capsys.readouterr().err == "invtutor: error: stopped\n" and set(read(path).levels.tolist()) == {0}


def test_without_procgen_it_says_how_to_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "procgen", None)
    assert main(made(tmp_path / "new" / "mine.npz")) == 1
    (line,) = capsys.readouterr().err.splitlines()
    python = ".".join(map(str, sys.version_info[:2]))
    assert (
        "`pip install 'invtutor[coinrun]'`" in line and f"on Python 3.10 to 3.12, and this is Python {python}" in line
    )
    assert "procgen" in line and not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--levels", "0"], r"Parameter `levels` should be .*in \[1, 100,000\]. Found 0."),
        (["--states", "0"], "Parameter `states` should be"),
        (["--size", "20"], "Parameter `size` should be a divisor of 64. Found 20."),
        (["--size", "many"], "argument --size: invalid int value: 'many'"),
    ],
)
def test_wrong_options_are_refused(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["coinrun", "--out", str(tmp_path / "new.npz"), *options]) == 2
    assert re.match(f"invtutor: error: {message}", capsys.readouterr().err) and not any(tmp_path.iterdir())


@pytest.mark.parametrize("what", ["text", "other states", "a folder", "a pipe"])
def test_what_is_not_its_own_is_not_replaced(
    what: str, game: type[Game], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.npz"
    if what == "a folder":
        path.mkdir()
    elif what == "a pipe":
        os.mkfifo(path)
    elif what == "text":
        path.write_text("mine")
    else:
        write(path, states())
    before = path.is_file() and path.read_bytes()
    assert main(made(path)) == 2 and not game.played
    message = (
        "should be a new file, or one with up to 5 states" if what == "other states" else "or no file of `invtutor"
    )
    assert message in capsys.readouterr().err
    assert (path.is_file() and path.read_bytes()) == before and [*tmp_path.iterdir()] == [path]


def test_a_link_to_the_file_stays_one(game: type[Game], tmp_path: Path) -> None:
    link, path = tmp_path / "link.npz", tmp_path / "disk" / "states.npz"
    path.parent.mkdir()
    for levels in ("1", "2"):
        assert main(made(path if levels == "1" else link, "--levels", levels, "--quiet")) == 0
        if levels == "1":
            link.symlink_to(path)
    assert link.is_symlink() and len(np.unique(read(path).levels)) == 2


@pytest.mark.parametrize("what", ["text", "levels of another call"])
def test_what_takes_the_name_meanwhile_is_not_lost(
    what: str, game: type[Game], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, path, go_on = tmp_path / "whole.npz", tmp_path / "mine.npz", Demonstrations.level
    assert main(made(whole, "--levels", "5", "--quiet")) == 0

    def level(self: Demonstrations, game: Any, play: Episode, number: int) -> Recorded:
        if number == 1 and not path.exists():
            path.write_bytes(b"mine" if what == "text" else whole.read_bytes())
        return go_on(self, game, play, number)

    monkeypatch.setattr(Demonstrations, "level", level)
    assert main(made(path, "--levels", "3", "--quiet")) == (2 if what == "text" else 0)
    assert path.read_bytes() == (b"mine" if what == "text" else whole.read_bytes())
