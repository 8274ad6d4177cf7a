"""Methods, worlds and networks of other packages: by entry point from an installed one, or by one call."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import invtutor
from invtutor.algorithms import ALGORITHMS, Algorithm, Metrics
from invtutor.runs.recipe import Recipe
from invtutor.runs.run import run
from invtutor.worlds.digits import Digits
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import risks

PACKAGE = '''
"""A package that somebody else has written."""

from dataclasses import dataclass

import torch
from torch import nn

from invtutor.algorithms import Algorithm
from invtutor.fields import within
from invtutor.networks import Network
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import risks
from invtutor.worlds.world import Drawn, Setting


@dataclass(eq=False)
class Soft(Algorithm):
    """log mean_e exp R^e(θ)."""

    penalty_weight: float = within(1.0, 0, 10)
    label = "Soft"

    def backward(self, environments):
        found = risks(self.model, environments)
        (self.penalty_weight * found.exp().mean().log()).backward()
        return {"risk": found.detach().mean()}


@dataclass(frozen=True)
class Coins(Setting):
    """Numbers whose sign is the label."""

    tosses: int = within(50, 1, 1000)
    label = "coins"

    def draw(self, data, generator):
        def some(name, start):
            inputs = torch.randn(self.tosses, 3, generator=generator)
            numbers = torch.arange(start, start + self.tosses)
            return Environment(name, inputs, (inputs[:, 0] > 0).long(), index=numbers)

        train = some("one", 0), some("other", self.tosses)
        return Drawn(train, tests=(some("toss", 0),))


class Line(Network):
    """A head, and nothing else."""

    def __init__(self, shape, width=1, outputs=1, generator=None):
        super().__init__()
        self.head = nn.Linear(*shape, outputs)

    def features(self, inputs):
        return inputs
'''
ENTRIES = """
[invtutor.algorithms]
mymethod = stranger:Soft
broken = stranger:Nothing

[invtutor.worlds]
myworld = stranger:Coins

[invtutor.networks]
mynet = stranger:Line
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder in which a package with three entry points stands as pip would leave it, and a fourth that is broken."""
    site = tmp_path / "site"
    about = site / "stranger-1.0.dist-info"
    about.mkdir(parents=True)
    (site / "stranger.py").write_text(PACKAGE, encoding="utf-8")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRIES)
    return site


def command(site: Path, *words: str, program: str = "") -> subprocess.CompletedProcess[str]:
    ours = Path(invtutor.__file__).parents[1]
    path = os.pathsep.join([str(site), str(ours), os.environ.get("PYTHONPATH", "")])
    words = (sys.executable, *(("-c", program) if program else ("-m", "invtutor", *words)))
    return subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, cwd=site)


def test_a_package_brings_a_method_a_world_and_a_network(installed: Path, tmp_path: Path) -> None:
    helped = command(installed, "run", "--help")
    told = " ".join(helped.stdout.split())
    assert helped.returncode == 0 and all(name in told for name in ("mymethod", "myworld", "mynet"))
    options = ("world=myworld", "network=mynet", "profile=smoke", "device=cpu", "penalty_weight=2", "tosses=30")
    given = [word for option in options for word in ("-p", option)]
    done = command(installed, "run", "mymethod", *given, "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    recipe = record["recipe"]
    assert (record["method"], recipe["world"], recipe["network"]) == ("mymethod", "myworld", "mynet")
    assert recipe["hyper"] == {"penalty_weight": 2.0} and recipe["world_options"] == {"tosses": 30}
    assert record["data"] == "myworld" and {"train", "toss", "risk"} <= record["metrics"].keys()
    assert all(0 <= record["metrics"][name] <= 1 for name in ("train", "toss"))
    assert "mymethod" in record["command"] and "world=myworld" in record["command"]


PROGRAM = """
from invtutor import tables
from invtutor.runs.recipe import Recipe
from invtutor.widgets import live

panel = live(Recipe.profile("smoke", "mymethod", world="myworld", network="mynet", device="cpu", tosses=30))
panel.run(3)
print(*panel.controls)
print(panel.text)
print(tables.layout([], "colored_mnist"))
"""


def test_the_panel_and_the_tables_know_them(installed: Path) -> None:
    shown = command(installed, program=PROGRAM)
    assert shown.returncode == 0, shown.stderr
    controls, *text = shown.stdout.splitlines()
    assert {"penalty_weight", "tosses", "seed"} <= set(controls.split())
    assert any("toss" in line and "%" in line for line in text)
    assert any(line.startswith("Soft") and "not run" in line for line in text)


def test_a_package_that_does_not_load_is_told_of_and_left_out(installed: Path, tmp_path: Path) -> None:
    helped = command(installed, "run", "--help")
    assert helped.returncode == 0 and "broken" not in helped.stdout
    assert "stranger:Nothing, from an installed package, does not load" in helped.stderr
    refused = command(installed, "run", "broken", "--out", str(tmp_path / "out"))
    assert refused.returncode == 2 and not (tmp_path / "out").exists()


@dataclass(eq=False)
class Mine(Algorithm):
    """mean_e R^e(θ), and nothing else."""

    label = "Mine"

    def backward(self, environments: Sequence[Environment]) -> Metrics:
        found = risks(self.model, environments).mean()
        found.backward()
        return {"risk": found.detach()}


def test_a_class_is_enrolled_under_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ALGORITHMS, "data", dict(ALGORITHMS))
    assert ALGORITHMS.enroll(ALGORITHMS["irmv1"]) == "irmv1"
    again = type("Mine", (Mine,), {})
    for kind in (Mine, again):
        assert ALGORITHMS.enroll(kind) == "Mine" and ALGORITHMS["Mine"] is kind
    with pytest.raises(ValueError, match="Parameter `name` should be another than those of algorithms: "):
        ALGORITHMS.enroll(type("vrex", (Mine,), {}))


def test_one_call_adds_a_method(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALGORITHMS, "mine", Mine)
    small = {"device": "cpu", "l2": 0.0, "samples": 60, "width": 4, "steps": 4}
    mine, erm = (
        run(Recipe.profile("smoke", name, **small), data=digits, progress=False).history.records
        for name in ("mine", "erm")
    )
    assert mine == erm, "which is what it is"
