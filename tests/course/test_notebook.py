"""What a lesson's cells call."""

import json
import math
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure

from invtutor.algorithms import ALGORITHMS, Algorithm, irmv1
from invtutor.course import checks, notebook
from invtutor.course.reading import VIEW
from invtutor.files import sealed
from invtutor.widgets import Panel, live
from invtutor.worlds.digits import Digits


@pytest.fixture(autouse=True)
def as_if_mnist(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    """Crude digits that say they are MNIST's, of which alone the claims speak."""
    monkeypatch.setattr(notebook, "load_digits", lambda source, quiet: replace(digits, source="mnist"))
    monkeypatch.delenv("INVTUTOR_PROFILE", raising=False)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    collected: list[Any] = []
    monkeypatch.setattr(notebook, "display", lambda *things, **_: collected.extend(things))
    return collected


def test_begin_says_what_is_used_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    lesson = notebook.begin("x", profile="quick", seed=3, device="cpu", flip_rates=[0.1, 0.2])
    (line,) = capsys.readouterr().out.splitlines()
    assert str(lesson.digits) in line
    assert "profile: quick, 3 seeds from 3" in line
    assert "device: cpu" in line


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({"profile": "smoke"}, "the smoke profile is too small"),
        ({"flip_rates": [0.1, 0.5]}, "flip_rates is not the lesson's own"),
        ({"label_noise": 0.1, "penalty_weight": 1.0}, "label_noise, penalty_weight is not the lesson's own"),
    ],
)
def test_begin_warns_where_the_text_speaks_of_another_run(
    parameters: dict[str, Any], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook.begin("x", **parameters)
    _, note = capsys.readouterr().out.splitlines()
    assert note.startswith(f"note: {why}; ") and note.endswith("the numbers in the text are not")


def test_begin_takes_the_lesson_s_own_of_all_that_the_notebook_knows() -> None:
    known = {"seed": 4, "flip_rates": [0.1, 0.3], "penalty_weight": 5.0, "budget": 0.5, "torch": torch}
    assert notebook.begin("03_irmv1", known).parameters == {
        "seed": 4,
        "flip_rates": [0.1, 0.3],
        "penalty_weight": 5.0,
    }
    with pytest.raises(ValueError, match="Did you mean `03_irmv1`"):
        notebook.begin("03_irmv2", known)


def test_begin_says_why_there_is_no_mnist_and_judges_nothing(
    digits: Digits, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    why = "all four files are missing in here"
    monkeypatch.setattr(notebook, "load_digits", lambda source, quiet: replace(digits, why=why))
    lesson = notebook.begin("x", profile="quick")
    line, note = capsys.readouterr().out.splitlines()
    assert line.startswith(f"digits: rendered stand-in digits (60,000 + 10,000), not MNIST: {why} · profile: quick")
    assert note.startswith("note: these digits are not MNIST; ")
    lesson.claim("elsewhere", 0.9, 0.0, 0.1)
    assert "not judged: these digits are not MNIST" in capsys.readouterr().out


def test_the_profile_comes_from_the_parameter_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert notebook.begin("x").profile == "quick"
    monkeypatch.setenv("INVTUTOR_PROFILE", "smoke")
    assert notebook.begin("x").profile == "smoke"
    assert notebook.begin("x", profile="paper").profile == "paper"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("profile", "fast"),
        ("seed", -1),
        ("flip_rates", [0.1, 1.2]),
        ("label_noise", 0.7),
        ("penalty_weight", math.nan),
        ("device", "abacus"),
    ],
)
def test_a_value_out_of_range_is_refused_at_once(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"Parameter `{name}` should be"):
        notebook.begin("x", **{name: value})


def test_claims_hold_fail_or_are_not_judged(capsys: pytest.CaptureFixture[str]) -> None:
    lesson = notebook.begin("x", profile="quick")
    lesson.claim("fine", [0.4, 0.6], 0.4, 0.6)
    assert "✓ fine: 0.500 ± 0.141 over 2 seeds, in [0.4, 0.6]" in capsys.readouterr().out
    for values in ([0.7], [math.nan]):
        with pytest.raises(AssertionError, match="too much"):
            lesson.claim("too much", values, 0.4, 0.6)
    for parameters in ({"profile": "smoke"}, {"flip_rates": [0.1, 0.3]}, {"penalty_weight": 10.0}):
        notebook.begin("x", **parameters).claim("elsewhere", 0.9, 0.0, 0.1)
        assert "not judged" in capsys.readouterr().out


def test_a_claim_says_no_spread_where_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    lesson = notebook.begin("x", profile="quick")
    capsys.readouterr()
    lesson.claim("closed form", 0.75, 0.7, 0.8)
    lesson.claim("one run", [0.75], 0.7, 0.8)
    assert capsys.readouterr().out == "✓ closed form: 0.750, in [0.7, 0.8]\n✓ one run: 0.750, one seed, in [0.7, 0.8]\n"


def test_cells_may_be_run_twice_and_in_another_order(tmp_path: Path, shown: list[Any]) -> None:
    lesson = notebook.begin("x", profile="quick", out_dir=str(tmp_path))
    claims: list[Any] = [("first", 0.1, 0.0, 1.0), ("second", 0.2, 0.0, 1.0), ("third", 2.0, 0.0, 1.0)]
    with pytest.raises(AssertionError, match="third"):
        for claim in claims:
            lesson.claim(*claim)
    lesson.finish("too early")
    assert "1 of 3 judged claims FAIL" in shown[-1]["text/plain"]
    for claim in [("third", 0.3, 0.0, 1.0), *claims[:2]]:
        lesson.claim(*claim)
    lesson.finish("done")
    assert "3 of 3 claims judged, all hold" in shown[-1]["text/plain"]
    kept = json.loads((tmp_path / "result.json").read_text())["claims"]
    assert {claim["statement"]: claim["mean"] for claim in kept} == {"first": 0.1, "second": 0.2, "third": 0.3}
    assert {claim["verdict"] for claim in kept} == {"holds"} and len(kept) == 3


def test_the_result_records_what_numbers_depend_on(tmp_path: Path, shown: list[Any]) -> None:
    notebook.begin("x", profile="smoke", out_dir=str(tmp_path)).finish("done")
    assert json.loads((tmp_path / "result.json").read_text())["threads"] == torch.get_num_threads()
    assert "0 of 0 claims judged" in shown[-1]["text/plain"] and "all hold" not in shown[-1]["text/plain"]


def test_recipes_follow_the_lesson() -> None:
    recipe = notebook.begin("x", profile="smoke", seed=5, flip_rates=[0.3, 0.4]).recipe("irmv1", penalty_weight=7.0)
    assert (recipe.seed, recipe.flip_rates, recipe.source) == (5, (0.3, 0.4), "mnist")
    assert recipe.hyper["penalty_weight"] == 7.0


def test_recipes_of_another_world_take_what_it_knows_of_the_lesson() -> None:
    lesson = notebook.begin("x", profile="smoke", seed=5, flip_rates=[0.3, 0.4])
    shapes, spirals = (lesson.recipe("erm", world=world) for world in ("shapes_mnist", "spirals"))
    assert (shapes.source, shapes.flip_rates, shapes.seed) == ("mnist", (0.001, 0.3), 5)
    assert "source" not in spirals.world_options
    with pytest.raises(ValueError, match="Parameter `world`"):
        lesson.recipe("erm", world="nowhere")
    (run,) = lesson.train(spirals.but(network="spiral", steps=2, batch_size=8), seeds=1)
    assert run.data is None, "not the lesson's digits"


def test_train_gives_one_run_per_seed() -> None:
    lesson = notebook.begin("x", profile="smoke", seed=5)
    runs = lesson.train(lesson.recipe("erm", steps=2))
    assert [run.recipe.seed for run in runs] == [5, 6]
    assert len(lesson.train(lesson.recipe("erm", steps=2), seeds=1)) == 1


def test_the_lesson_goes_on_with_what_is_right(
    tmp_path: Path, shown: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    def stub(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def mine(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return ((logits[:, 0].sigmoid() - labels) * logits[:, 0]).mean()

    def wrong(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return -mine(logits, labels)

    lesson = notebook.begin("x", profile="smoke", out_dir=str(tmp_path))
    capsys.readouterr()
    for own, used, words in (
        (stub, irmv1.slope, "✗ slope: not written yet."),
        (wrong, irmv1.slope, "✗ slope: not yet. The sign"),
        (mine, mine, "✓ slope: solved. From here on the lesson uses yours."),
    ):
        assert lesson.build(own, checks.check_slope, irmv1.slope) is used
        (line,) = capsys.readouterr().out.splitlines()
        assert line.startswith(words) and line.endswith("library's.") is (used is not mine)
    lesson.check(lambda *_: stub(*_), checks.check_objective)
    lesson.check(lambda risk, penalty, weight: risk, checks.check_variance)
    lesson.finish("done")
    record = json.loads((tmp_path / "result.json").read_text())
    assert record["exercises"] == {"slope": "done", "objective": "hint", "variance": "hint"}
    assert record["hints"].keys() == {"objective", "variance"} and "not yet" in record["hints"]["variance"]


@pytest.fixture
def own_method(monkeypatch: pytest.MonkeyPatch) -> type[Algorithm]:
    """A student's method; the registry is as before when the test is over."""
    monkeypatch.setattr(ALGORITHMS, "data", dict(ALGORITHMS))

    @dataclass(eq=False)
    class MyIRMv1(irmv1.IRMv1):
        label = "my IRMv1"
        trained_like = "irmv1"

    return MyIRMv1


def test_a_student_s_method_is_trained_as_its_model_and_steered(own_method: type[Algorithm]) -> None:
    lesson = notebook.begin("x", profile="quick")
    mine, theirs = lesson.recipe(own_method), lesson.recipe("irmv1")
    assert mine.but(algorithm="irmv1", hyper=theirs.hyper) == theirs, "the same budget"
    lesson = notebook.begin("x", profile="smoke")
    one, other = (lesson.train(lesson.recipe(method), seeds=1)[0].history.records for method in (own_method, "irmv1"))
    assert one == other
    (annealed,) = lesson.train(lesson.recipe(own_method), seeds=1, penalty_weight=lambda step: 3.0)
    assert annealed.history.last["penalty_weight"] == 3.0
    panel = live(own_method, data=lesson.digits)
    assert panel.session and panel.session.recipe.algorithm == "MyIRMv1"
    panel.run(1)
    panel.set(penalty_weight=100.0)
    panel.close()


def test_guess_and_result_stand_in_one_picture(
    tmp_path: Path, shown: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    lesson = notebook.begin("x", profile="smoke", out_dir=str(tmp_path))
    capsys.readouterr()
    lesson.guess("accuracy at p = 0.9", ERM=0.5, oracle=None)
    lesson.guess("flips", (0, 100), of_all=None)
    assert capsys.readouterr().out.splitlines()[0] == "accuracy at p = 0.9: you expect ERM 0.5."
    for value in (1.5, math.nan, "half"):
        with pytest.raises(ValueError, match="Parameter `ERM` should be"):
            lesson.guess("accuracy at p = 0.9", ERM=value)  # type: ignore[arg-type]
    lesson.compare("accuracy at p = 0.9", ERM=[0.1, 0.2], oracle=0.7)
    words = "accuracy at p = 0.9. ERM: your guess 50 %, came 15 %; oracle: no guess, came 70 %."
    assert shown[-1]["text/plain"] == words and shown[-1]["image/png"]
    lesson.finish("done")
    first, second, third = json.loads((tmp_path / "result.json").read_text())["guesses"]
    assert first == {"question": "accuracy at p = 0.9", "of": "ERM", "guess": 0.5, "result": pytest.approx(0.15)}
    assert (second["guess"], second["result"], third["result"]) == (None, 0.7, None)
    assert third["of"] == "of all", "a name is said in words"


def test_a_result_replaces_only_one_of_its_lesson(tmp_path: Path, shown: list[Any]) -> None:
    result = tmp_path / "result.json"
    for _ in range(2):
        notebook.begin("x", profile="smoke", out_dir=str(tmp_path)).finish("half")
    lesson = notebook.begin("x", profile="smoke", out_dir=str(tmp_path))
    others = [sealed(text) for text in ('{"lesson": "y"}', '{"method": "erm"}')]
    for text in ("mine", '{"lesson": "x"}', result.read_text().replace("half", "mine"), *others):
        result.write_text(text)
        with pytest.raises(ValueError, match=r"Parameter `out_dir` should be a folder whose result\.json"):
            notebook.begin("x", profile="smoke", out_dir=str(tmp_path))
        with pytest.raises(ValueError, match="Parameter `out_dir`"):
            lesson.finish("half")
        assert result.read_text() == text


def test_finish_writes_the_result(tmp_path: Path, shown: list[Any]) -> None:
    lesson = notebook.begin("x", profile="smoke", seed=5, out_dir=str(tmp_path / "new"))
    lesson.claim("shown", 0.5, 0.0, 1.0)
    lesson.finish("half", table={"ERM": {"p=0.1": 0.5}}, extra=2.0)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["result.json"]
    result = json.loads((tmp_path / "new" / "result.json").read_text())
    assert result["headline"] == "half"
    assert result["metrics"] == {"extra": 2.0, "table": {"ERM": {"p=0.1": 0.5}}}
    assert result["parameters"]["seed"] == 5
    assert result["seconds"] >= 0
    assert result["peak_memory_mb"] > 50
    assert result["versions"].keys() == {"invtutor", "torch", "python"}
    assert result.pop("seal") and shown[-1]["application/vnd.invtutor.result+json"] == result


def test_a_lesson_without_a_folder_writes_nothing(
    tmp_path: Path, shown: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    notebook.begin("x", profile="smoke", out_dir="").finish("done")
    assert not list(tmp_path.iterdir())


def test_peak_memory_is_this_process_own() -> None:
    """Not what its parent held when it was started, which getrusage reports on Linux."""
    ballast = torch.ones(100_000_000)  # 400 MB
    assert notebook.peak_memory() > 400
    code = "from invtutor.course.notebook import peak_memory; print(peak_memory())"
    child = float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert 50 < child < notebook.peak_memory() - 200
    del ballast


def test_a_system_that_does_not_tell_the_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shown: list[Any]
) -> None:
    (tmp_path / "status").write_text("Name:\tpython\nVmRSS:\t1000 kB\n")
    monkeypatch.setattr(
        notebook, "Path", lambda path: tmp_path / "status" if path == "/proc/self/status" else Path(path)
    )
    assert math.isnan(notebook.peak_memory())
    lesson = notebook.begin("x", profile="smoke", out_dir=str(tmp_path / "out"))
    lesson.claim("a diverged run", math.nan, 0, 1)
    lesson.finish("done", table={"ERM": {"p=0.1": math.inf}}, gap=math.nan)

    def refuse(text: str) -> None:
        pytest.fail(f"{text} is no JSON")

    found = json.loads((tmp_path / "out/result.json").read_text(), parse_constant=refuse)
    assert found["peak_memory_mb"] is None and found["metrics"] == {"gap": None, "table": {"ERM": {"p=0.1": None}}}
    assert found["claims"][0]["mean"] is None
    found.pop("seal")
    assert shown[-1]["application/vnd.invtutor.result+json"] == found and "memory" not in shown[-1]["text/plain"]


def test_picture_carries_its_alt_text(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr(notebook, "display", lambda data, metadata, raw: seen.update(data=data, metadata=metadata))
    notebook.picture(Figure(), "an empty figure")
    assert seen["metadata"]["image/png"]["alt"] == seen["data"]["text/plain"] == "an empty figure"
    assert VIEW not in seen["data"]
    notebook.picture(Panel({}, lambda figure: "numbers"), "a panel")
    assert seen["data"][VIEW]["model_id"] == "", "where widgets can be shown, the panel stands there already"
    assert seen["data"]["image/png"] and seen["data"]["text/plain"] == "a panel"


def test_a_table_is_one_where_it_can_be_and_columns_of_text_elsewhere(shown: list[Any]) -> None:
    notebook.table({"ERM": {"p=0.1": "90.0", "p=0.9": 10}, "best": {"p=0.9": "75.0"}}, "accuracy, %")
    wanted = "| accuracy, % | p=0.1 | p=0.9 |\n| --- | ---: | ---: |\n| ERM | 90.0 | 10 |\n| best |  | 75.0 |"
    assert shown[0]["text/markdown"] == wanted
    plain = "accuracy, %  p=0.1  p=0.9\nERM          90.0   10\nbest                75.0"
    assert shown[0]["text/plain"] == plain


def test_show_gives_the_source(shown: list[Any]) -> None:
    notebook.show(notebook.picture)
    assert shown[0].data.startswith("```python\ndef picture(")
    notebook.show(notebook.picture, folded="to compare with yours")
    assert shown[1].data.startswith("<details><summary>to compare with yours</summary>\n\n```python\ndef picture(")
