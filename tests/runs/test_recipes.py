"""Recipes: plain values, checked on the way in; runs that come out the same every time."""

import json
import re
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from invtutor.algorithms import ALGORITHMS, MAPLE, IRMv1, VREx
from invtutor.fields import hints
from invtutor.runs.budgets import PROFILES
from invtutor.runs.history import GLOSSARY
from invtutor.runs.recipe import Recipe, find_device
from invtutor.runs.run import Run, assemble, build_world, repeat, run, schedules, stage, summarize
from invtutor.runs.session import Session
from invtutor.worlds.digits import Digits
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import accuracy, risk

METHODS = tuple(ALGORITHMS)


def smoke(method: str = "erm", **changes: Any) -> Recipe:
    return Recipe.profile("smoke", method, **{"device": "cpu"} | changes)


def tiny(method: str = "erm", **changes: Any) -> Recipe:
    """Less than smoke: for tests that do not ask what was learned."""
    sizes = {"samples": 60, "batch_size": 20, "width": 4, "steps": 4, "every": 2, "anneal": 2}
    return smoke(method, **sizes | changes)


@pytest.fixture(scope="module")
def runs(digits: Digits) -> dict[str, Run]:
    """Every method once, in the smoke profile."""
    return {method: run(smoke(method), data=digits, progress=False) for method in METHODS}


def timeless(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name != "seconds"}


# Plain values


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("profile", PROFILES)
def test_every_method_has_every_profile(profile: str, method: str) -> None:
    recipe = Recipe.profile(profile, method)
    assert recipe.algorithm == method
    assert Recipe.from_json(recipe.to_json()) == recipe


def test_profiles_grow() -> None:
    for method in METHODS:
        small, middle, large = (Recipe.profile(profile, method) for profile in ("smoke", "quick", "paper"))
        assert small.steps < middle.steps and small.samples and middle.samples is None
        assert large.batch_size is None
        if method == "maple":  # whose own steps are outer ones, on all of its validation samples
            assert small.batch_size is None and small.hyper["inner_steps"] < MAPLE.inner_steps
        else:
            assert small.batch_size < middle.batch_size  # type: ignore[operator]


PUBLISHED = {"width": 390, "steps": 501, "anneal": 190, "l2": 1.10794568e-3, "learning_rate": 4.898536566546834e-4}
SUMMED = PUBLISHED | {"l2": PUBLISHED["l2"] / 2}  # REx adds its L2 term to the sum of two risks


@pytest.mark.parametrize(
    ("method", "expected", "hyper"),
    [
        ("erm", {"width": 256, "steps": 501, "l2": 1e-3, "learning_rate": 1e-3}, {}),
        ("oracle", {"width": 83, "steps": 101, "l2": 8.602868865e-4, "learning_rate": 2.8171488e-3}, {}),
        ("irmv1", PUBLISHED, {"penalty_weight": 91257.18613115903}),
        ("vrex", SUMMED, {"penalty_weight": 2 * 91257.18613115903}),
        ("mmrex", SUMMED, {"penalty_weight": 91257.18613115903}),
    ],
)
def test_the_paper_profile_is_the_published_setting(method: str, expected: dict, hyper: dict) -> None:
    recipe = Recipe.profile("paper", method)
    protocol = {"flip_rates": (0.1, 0.2), "label_noise": 0.25, "classes": 2, "samples": None, "decay": "constant"}
    assert {name: getattr(recipe, name) for name in expected | protocol} == expected | protocol
    assert recipe.early_weight == (2.0 if method == "vrex" else 1.0), "REx's 1, against the mean and the variance"
    assert recipe.hyper.items() >= hyper.items() and recipe.batch_size is None and not recipe.patch


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe(
            "irmv1",
            {"penalty_weight": 1e3, "halves": True},
            world_options={"flip_rates": (0.1, 0.2, 0.3), "label_noise": (0.1, 0.2, 0.3)},
        ),
        Recipe(
            "vrex",
            world_options={"classes": 10, "samples": 100},
            batch_size=10,
            decay="cosine",
            device="cuda:1",
        ),
        Recipe(world_options={"flip_rates": (0.2,), "label_noise": (0.25,)}),
        Recipe("dann", world="spirals", world_options={"scale": 1}, network="spiral_dropout", l1=1e-5),
    ],
    ids=["default", "three environments", "ten classes", "one environment", "another world"],
)
def test_json_round_trip(recipe: Recipe) -> None:
    text = recipe.to_json()
    assert Recipe.from_json(text) == recipe
    assert Recipe.from_json(text).to_json() == text
    assert set(json.loads(text)) == {f.name for f in fields(Recipe)}
    assert hash(Recipe.from_json(text)) == hash(recipe)


def test_a_profile_takes_changes_of_fields_and_of_the_methods_own() -> None:
    recipe = Recipe.profile("quick", "irmv1", penalty_weight=1e3, steps=7)
    assert recipe.penalty_weight == recipe.hyper["penalty_weight"] == 1e3 and recipe.steps == 7


def test_but_changes_what_it_is_told_and_nothing_else() -> None:
    recipe = Recipe("irmv1", {"penalty_weight": 1e3, "rescale": False})
    other = recipe.but(penalty_weight=5.0, seed=3)
    assert other == replace(recipe, hyper={"penalty_weight": 5.0, "rescale": False}, seed=3)
    assert (recipe.penalty_weight, recipe.rescale, recipe.seed) == (1e3, False, 0), "the first is left alone"
    assert recipe.but() == recipe
    assert recipe.but(hyper={}).hyper == Recipe("irmv1").hyper
    assert recipe.but(hyper={"rescale": True}, penalty_weight=2.0).hyper.get("rescale") is True
    assert recipe.but(flip_rates=(0.3,)).but(classes=5).world_options == {
        **recipe.world_options,
        "flip_rates": (0.3,),
        "classes": 5,
    }


def test_another_method_or_world_brings_its_own() -> None:
    recipe = Recipe("irmv1", {"penalty_weight": 1e3}, world_options={"classes": 5})
    assert recipe.but(algorithm="vrex").hyper == Recipe("vrex").hyper
    assert recipe.but(algorithm="vrex", penalty_weight=2.0).penalty_weight == 2.0
    spirals = recipe.but(world="spirals", environments=4)
    assert spirals.world_options == {**Recipe(world="spirals").world_options, "environments": 4}
    assert spirals.hyper == recipe.hyper
    with pytest.raises(ValueError, match=r"^Parameter `changes` should be fields of Recipe, of .+ Found 'flip_rates'"):
        spirals.but(flip_rates=(0.1, 0.2))


def test_a_recipe_does_not_share_what_it_was_made_from() -> None:
    hyper, rates = {"penalty_weight": 1.0}, [0.1, 0.2]
    recipe = Recipe("vrex", hyper, world_options={"flip_rates": rates})
    hyper["penalty_weight"], rates[0] = 2.0, 0.9
    assert recipe.penalty_weight == 1.0 and recipe.flip_rates == (0.1, 0.2)


nan, inf = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("algorithm", ["best", "", None, ["erm"], 3]),
        ("world", ["moon", "", None, ["spirals"], 3]),
        ("network", ["brain", "", None, 3]),
        ("world_options", [None, 3, [("a", 1)], "x", {"moons": 1}]),
        ("hyper", [None, 3, [("a", 1)], "x"]),
        ("grayscale", [1, 0, "yes", None]),
        ("source", ["fashion", None, 0]),
        ("flip_rates", [(0.1, 1.2), (-0.1,), (nan,), (), None, 0.1, "0.1", ("a",), (True,), [[0.1]], (0.1,) * 101]),
        ("label_noise", [0.6, -0.1, nan, (0.1, 0.6), (), (0.1,), (0.1, 0.2, 0.3), None, True, "x", 10**400]),
        ("classes", [3, 0, 2.0, True, "2", None, [2]]),
        ("patch", ["yes", 1, None]),
        ("decay", ["linear", None, 1]),
        ("width", [0, -1, 2**32, 10**5000, 8.0, True, None, "8", [8]]),
        ("steps", [0, 1e3, None, 10**9]),
        ("every", [0, 2.5]),
        ("samples", [0, 25_001, 60_000, 1.5, "all", True]),
        ("batch_size", [0, 2.0, 10**9]),
        ("learning_rate", [0.0, -1e-3, inf, nan, 1e308, None, "fast", [1e-3], True]),
        ("l2", [-1.0, inf, nan, None, 1e308]),
        ("anneal", [-1, inf, None, 10**30]),
        ("late_rate", [0.0, 1.1, nan, None, "x"]),
        ("restart", [1, 0, "yes", None]),
        ("ramp", [-1, 0.5]),
        ("seed", [-1, 2**31, 0.0, None, True]),
        ("device", ["banana", "", -1, 3.5, True, [], "cuda:x"]),
    ],
)
def test_values_out_of_range_are_named(name: str, values: list) -> None:
    for value in values:
        own = {name: value} if name in hints(Recipe) else {"world_options": {name: value}}
        with pytest.raises(ValueError, match=rf"^Parameter `{name}` should be .+\. Found .+[.?]$"):
            Recipe(**own)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=rf"^Parameter `{name}` "):
            Recipe().but(**{name: value})


@pytest.mark.parametrize(
    ("method", "changes", "name"),
    [
        ("and_mask", {"threshold": 5}, "threshold"),
        ("and_mask", {"threshold": 1 + 1e-9}, "threshold"),
        ("sand_mask", {"threshold": 1.0}, "threshold"),
        ("sand_mask", {"steepness": 0}, "steepness"),
        ("irmv1", {"rescale": 3.7}, "rescale"),
        ("irmv1", {"penalty_weight": None}, "penalty_weight"),
        ("vrex", {"penalty_weight": [1.0]}, "penalty_weight"),
        ("mmrex", {"penalty_weight": True}, "penalty_weight"),
        ("irmv1", {"halves": True, "batch_size": 1}, "halves"),
        ("irmv1", {"halves": True, "samples": 1, "batch_size": None}, "halves"),
        ("meta_irm", {"flip_rates": (0.1,)}, "flip_rates"),
        ("meta_irm", {"inner_rate": 1e308}, "inner_rate"),
        ("dann", {"flip_rates": (0.1,)}, "flip_rates"),
        ("group_dro", {"over": "colors"}, "over"),
        ("jtt", {"factor": 0}, "factor"),
        ("jtt", {"first_steps": 0}, "first_steps"),
        ("maple", {"flip_rates": (0.1,)}, "flip_rates"),
        ("maple", {"budget": 7}, "budget"),
        ("maple", {"budget": 0}, "budget"),
        ("maple", {"budget": 1e308}, "budget"),
        ("maple", {"held_out": 1.5}, "held_out"),
        ("maple", {"held_out": 0.3, "samples": 1}, "held_out"),
        ("maple", {"inner_steps": 0}, "inner_steps"),
        ("maple", {"inner_steps": 2.5}, "inner_steps"),
        ("maple", {"inner_batch": 0.5}, "inner_batch"),
        ("maple", {"inner_rate": 0}, "inner_rate"),
        ("maple", {"inner_rate": 1e308}, "inner_rate"),
        ("maple", {"objective": ["worst"]}, "objective"),
        ("maple", {"learn_probabilities": False}, "learn_probabilities"),
    ],
)
def test_what_no_method_can_learn_with(method: str, changes: dict, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^Parameter `{name}` should be .+\. Found .+\.$"):
        Recipe.profile("smoke", method, **changes)


def test_values_are_kept_in_one_form() -> None:
    cpu: Any = torch.device("cpu")
    one = Recipe("irmv1", {"penalty_weight": 1}, world_options={"label_noise": 0, "flip_rates": [0, 1]}, device=cpu)
    spelled = {"flip_rates": (0.0, 1.0), "label_noise": 0.0}
    other = Recipe("irmv1", {"penalty_weight": 1.0}, world_options=spelled, device="cpu")
    assert one == other and one.to_json() == other.to_json()
    given: Any = {"width": np.int64(8), "seed": torch.tensor(3), "l2": np.float32(0.5)}
    found = Recipe(**given, world_options={"flip_rates": np.ones(2)})
    expected = Recipe(width=8, seed=3, l2=0.5, world_options={"flip_rates": (1.0, 1.0)})
    assert found == expected == Recipe.from_json(found.to_json())


@pytest.mark.parametrize(
    ("method", "changes", "said"),
    [
        ("erm", {"learning_rate": 1e-300}, "no parameter has moved"),
        ("sand_mask", {"steepness": 1e-320, "l2": 0.1}, "the mask let nothing pass"),
        ("erm", {}, ""),
        ("and_mask", {}, ""),
    ],
)
def test_a_run_says_what_kept_it_from_learning(method: str, changes: dict, said: str, digits: Digits) -> None:
    note = run(tiny(method, **changes), data=digits, progress=False).note
    assert said in note and bool(said) == bool(note)


@pytest.mark.parametrize("value", [-1.0, inf, nan])
def test_the_methods_own_values_are_checked_too(value: float) -> None:
    with pytest.raises(ValueError, match=r"^Parameter `penalty_weight` should be a finite number.+\. Found "):
        Recipe("irmv1", {"penalty_weight": value})


@pytest.mark.parametrize(("method", "name"), [("erm", "penalty_weight"), ("irmv1", "lambda"), ("vrex", "halves")])
def test_a_method_takes_only_what_it_has(method: str, name: str) -> None:
    with pytest.raises(
        ValueError, match=rf"^Parameter `hyper` should .+{ALGORITHMS[method].label}.+ Found '{name}'\.$"
    ):
        Recipe(method, {name: 1.0})
    for reserved in ("model", "l2"):
        with pytest.raises(ValueError, match="`hyper`"):
            Recipe(method, {reserved: 1.0})


def test_unknown_profiles_and_methods() -> None:
    with pytest.raises(ValueError, match=r"^Parameter `profile` should be one of smoke, quick, paper\. Found 'fast'\."):
        Recipe.profile("fast")
    message = rf"^Parameter `method` should be one of {', '.join(ALGORITHMS)}\. Found 'IRM1'\. Did you mean `irmv1`\?$"
    with pytest.raises(ValueError, match=message):
        Recipe.profile("smoke", "IRM1")


# Devices


def test_devices() -> None:
    assert find_device("cpu") == torch.device("cpu")
    assert find_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert find_device(None) == find_device("auto") and find_device(torch.device("cpu")) == torch.device("cpu")
    assert Recipe(device=None).device == "auto" and Recipe(device=0).device == Recipe(device="0").device == "cuda:0"  # type: ignore[arg-type]


class OnlySingle(TorchDispatchMode):
    """As on Apple's mps, where it is a TypeError to make float64 of anything."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        taken, given = (
            {each.dtype for each in tree_leaves(it) if isinstance(each, torch.Tensor)} for it in (args, found)
        )
        if taken and torch.float64 in given - taken:
            raise TypeError(f"{func}: this device has no float64")
        return found


@pytest.mark.parametrize("method", METHODS)
def test_a_device_without_float64(method: str, digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    ready = assemble(tiny(method), digits)
    optimizer = ready.optimizer()
    monkeypatch.setattr("invtutor.worlds.risks.SINGLE", {"cpu"})
    with OnlySingle():
        for _ in range(2):
            optimizer.zero_grad()
            metrics = ready.algorithm.backward([e.sample(20, ready.generator) for e in ready.environments])
            optimizer.step()
        for judge in (ready.world.watch, ready.world.final, ready.world.outside):
            metrics |= judge(ready.algorithm.predict)
    assert all(np.isfinite(float(value)) for value in metrics.values())


UNREACHED = ["banana", "", "cpu:x", "meta", "hpu", "vulkan", f"cuda:{torch.cuda.device_count()}"]


@pytest.mark.parametrize("device", UNREACHED)
def test_a_device_that_cannot_be_used(device: str, digits: Digits) -> None:
    message = rf"^Parameter `device` should .+\. Found '{re.escape(device)}'\.$"
    with pytest.raises(ValueError, match=message):
        find_device(device)
    with pytest.raises(ValueError, match=message):
        run(tiny(device=device), data=digits, progress=False)


# Building and running


@pytest.mark.parametrize("method", METHODS)
def test_build_makes_what_the_recipe_says(method: str, digits: Digits) -> None:
    ready = assemble(tiny(method, classes=5, flip_rates=(0.1, 0.2, 0.3), l2=0.5), digits)
    algorithm, world = ready.algorithm, ready.world
    assert type(algorithm) is ALGORITHMS[method] and algorithm.l2 == 0.5
    assert [len(e) for e in world.train] == [60] * 3 and world.classes == 5
    assert algorithm.predict(world.train[0].inputs).shape == (60, 5)


def test_build_passes_the_methods_own_values(digits: Digits) -> None:
    algorithm = assemble(tiny("irmv1", penalty_weight=3.0, halves=True, rescale=False), digits).algorithm
    assert isinstance(algorithm, IRMv1)
    assert (algorithm.penalty_weight, algorithm.halves, algorithm.rescale) == (3.0, True, False)


def equal(one: Environment, other: Environment) -> bool:
    pairs = [(getattr(one, name), getattr(other, name)) for name in ("inputs", "labels", "index")]
    pairs += [(one[name], other[name]) for name in ("color", "digit")]
    return one is other or all(torch.equal(a, b) for a, b in pairs)


def test_worlds_and_first_weights_are_paired_across_methods(digits: Digits) -> None:
    def built(recipe: Recipe) -> tuple[list[Environment], list[torch.Tensor], torch.Tensor]:
        world, generator = build_world(recipe, digits)
        model = assemble(recipe, digits).algorithm.model
        environments = [*world.train, *world.validation, world.test(0.9)]
        return environments, list(model.parameters()), generator.get_state()

    environments, weights, state = built(tiny("erm"))
    for method in ALGORITHMS:
        # the hyper-parameters of the method and of the loop change neither the world nor the first weights
        recipe = tiny(method, steps=9, batch_size=7, learning_rate=0.1, anneal=1, l2=0.1, every=3)
        others, first, after = built(recipe)
        assert all(equal(a, b) for a, b in zip(environments, others, strict=True))
        assert all(torch.equal(a, b) for a, b in zip(weights, first, strict=True))
        assert torch.equal(state, after), "so that the weights and the batches are paired, too"
    others, first, _ = built(tiny("erm", seed=1))
    assert not any(equal(a, b) for a, b in zip(environments, others, strict=True))
    assert not torch.equal(weights[0], first[0])


def test_other_digits_make_another_world(digits: Digits) -> None:
    inverted = replace(digits, labels=9 - digits.labels)
    one, other = (assemble(tiny(), source).world for source in (digits, inverted))
    assert torch.equal(one.train[0]["digit"], 9 - other.train[0]["digit"])


def test_training_does_not_touch_the_first_weights_of_the_next_run(digits: Digits) -> None:
    first = assemble(tiny("vrex"), digits).algorithm.model.state_dict()
    trained = run(tiny("vrex"), data=digits, progress=False).algorithm.model.state_dict()
    again = assemble(tiny("vrex"), digits).algorithm.model.state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], trained[name]) for name in first)


def test_schedules(digits: Digits) -> None:
    chosen = schedules(smoke("irmv1", anneal=15), IRMv1(torch.nn.Identity(), penalty_weight=1e4))
    assert set(chosen) == {"penalty_weight"}
    assert [chosen["penalty_weight"](step) for step in (0, 14, 15)] == [1.0, 1.0, 1e4]
    small = schedules(smoke("vrex", anneal=15), VREx(torch.nn.Identity(), penalty_weight=0.2))["penalty_weight"]
    assert [small(step) for step in (0, 14, 15)] == [0.2] * 3, "annealing never raises a small weight"
    ramp = smoke("vrex", anneal=15, ramp=10)
    risen = schedules(ramp, VREx(torch.nn.Identity(), penalty_weight=5.0))["penalty_weight"]
    assert [risen(step) for step in (14, 15, 20, 25, 39)] == [1.0, 1.0, 3.0, 5.0, 5.0], "from 1 along a straight line"
    algorithm = assemble(tiny("erm"), digits).algorithm
    assert schedules(smoke("erm"), algorithm) == {}
    decayed = schedules(smoke("erm", decay="cosine", learning_rate=0.5, anneal=20, steps=40), algorithm)[
        "learning_rate"
    ]
    assert [decayed(step) for step in (0, 20, 30, 40)] == pytest.approx([0.5, 0.5, 0.25, 0.0])
    for decay, expected in (("constant", [0.5, 0.05, 0.05]), ("cosine", [0.5, 0.05, 0.025])):
        recipe = smoke("erm", decay=decay, late_rate=0.1, learning_rate=0.5, anneal=20, steps=40)
        late = schedules(recipe, algorithm)["learning_rate"]
        assert [late(step) for step in (19, 20, 30)] == pytest.approx(expected)


def test_a_recipe_may_start_adam_anew_after_annealing(digits: Digits) -> None:
    assert [stage(smoke("vrex", restart=True, anneal=15), step) for step in (0, 14, 15, 40)] == [0, 0, 1, 1]
    assert not any(stage(smoke("vrex", anneal=15), step) for step in (0, 14, 15, 40))
    usual = {name: tiny("vrex", anneal=4, steps=8, restart=name) for name in (False, True)}
    early, late = ({name: run(r.but(steps=steps), data=digits) for name, r in usual.items()} for steps in (4, 8))
    assert early[True].history.records == early[False].history.records
    assert late[True].history.records != late[False].history.records
    session = Session(usual[True], data=digits)
    session.step(2)
    session.steer("anneal", 6)
    session.step(6)
    moved = run(usual[True].but(anneal=6), data=digits)
    assert all(map(torch.equal, session.algorithm.parameters(), moved.algorithm.parameters())), "where it ends now"


@pytest.mark.parametrize("method", METHODS)
def test_the_same_recipe_gives_the_same_run(method: str, digits: Digits) -> None:
    one, again, other = (
        run(tiny(method, seed=seed, decay="cosine"), data=digits, progress=False) for seed in (0, 0, 1)
    )
    assert one.history.records == again.history.records, "bit for bit"
    assert timeless(one.metrics) == timeless(again.metrics)
    assert torch.equal(one.corners, again.corners)
    assert one.history.records != other.history.records


def test_every_metric_is_explained(runs: dict[str, Run], digits: Digits) -> None:
    many = run(tiny("irmv1", decay="cosine", flip_rates=(0.05, 1 / 3, 0)), data=digits, progress=False)
    for result in (*runs.values(), many):
        for name in (*result.metrics, *result.history.names):
            assert re.sub(r"p=\d+(\.\d+)?$", "p=…", name) in GLOSSARY, name


def test_every_explained_name_occurs(digits: Digits) -> None:
    names: set[str] = set()
    for method in ("irmv1", "meta_irm", "and_mask", "maple"):
        names |= run(tiny(method, decay="cosine"), data=digits, progress=False).metrics.keys()
    found = {re.sub(r"p=\d+(\.\d+)?$", "p=…", name) for name in names}
    elsewhere = {"train", "test", "test … worst group", "test … average"}
    elsewhere |= {f"validation {name}" for name in ("worst group", "worst class", "average")}
    elsewhere |= {"mislabelled recalled", "mislabelled seen through", "test excess risk", "blind excess risk"}
    assert found == set(GLOSSARY) - elsewhere, "those are of worlds without flip rates"


@pytest.mark.parametrize("method", METHODS)
def test_metrics_are_those_of_the_last_step(method: str, runs: dict[str, Run]) -> None:
    result = runs[method]
    world, predict = result.world, result.algorithm.predict
    assert result.history.last["step"] == result.recipe.steps == result.metrics["step"]
    assert result.history.last.items() <= result.metrics.items()
    for environment in world.train:
        assert environment.name.startswith("train p=")
        assert result.metrics[environment.name] == accuracy(predict, environment)
    for environment in world.validation:
        assert result.metrics[environment.name] == accuracy(predict, environment)
        held_out = risk(predict(environment.inputs), environment.labels).item()
        assert result.metrics[environment.name.replace("validation", "validation risk")] == held_out
    assert [result.metrics[f"test p={p:g}"] for p in (0.1, 0.2, 0.5, 0.9)] == result.curve((0.1, 0.2, 0.5, 0.9))
    # the curve is the expectation over colors; one drawing of them lies near it
    drawn = accuracy(predict, world.test(0.9))
    assert result.metrics["test p=0.9"] == pytest.approx(drawn, abs=0.02)
    assert result.metrics["gray"] == accuracy(predict, world.test(0.3).gray()), "whatever the colors were"
    assert all(0.0 <= value <= 1.0 for name, value in result.metrics.items() if re.match("train|test|gray", name))
    assert result.metrics["seconds"] > 0


def test_the_oracles_curve_is_flat(runs: dict[str, Run]) -> None:
    result = runs["oracle"]
    assert result.corners[0] == result.corners[1]
    assert result.curve([0.0, 0.3, 1.0]) == pytest.approx([result.metrics["gray"]] * 3, abs=1e-6)
    assert result.metrics["test p=0.9"] > 0.6, "and it sees the shape"


def test_erms_curve_falls(runs: dict[str, Run]) -> None:
    assert runs["erm"].corners[0] - runs["erm"].corners[1] > 0.2
    assert runs["erm"].metrics["test p=0.9"] < 0.5 < runs["oracle"].metrics["test p=0.9"]


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": 5},
        {"patch": True},
        {"flip_rates": (0.2,)},
        {"flip_rates": [0.1, 0.2, 0.3], "label_noise": [0.1, 0.2, 0.25]},
        {"flip_rates": [0.2], "label_noise": [0.1]},
        {"batch_size": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["irmv1", "oracle"])
def test_every_kind_of_world_runs(method: str, changes: dict, digits: Digits) -> None:
    result = run(tiny(method, **changes), data=digits, progress=False)
    rates = changes.get("flip_rates", (0.1, 0.2))
    assert {f"train p={p:g}" for p in rates} <= set(result.metrics)
    assert result.corners.shape == ((2, 2) if changes.get("patch") else (2,))
    if method == "oracle":
        assert result.corners.unique().numel() == 1


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"flip_rates": ()}, "flip_rates"),
        ({"samples": 30_000}, "samples"),
        ({"label_noise": (0.1, 0.2, 0.25)}, "label_noise"),
        ({"patch": True, "classes": 5}, "patch"),
    ],
)
def test_what_no_world_can_be(changes: dict, name: str, digits: Digits) -> None:
    with pytest.raises(ValueError, match=f"^Parameter `{name}` should "):
        run(tiny(**changes), data=digits, progress=False)


def test_progress(digits: Digits, capsys: pytest.CaptureFixture[str]) -> None:
    run(tiny("irmv1"), data=digits, progress=False)
    assert capsys.readouterr() == ("", "")
    run(tiny("irmv1"), data=digits)
    assert "IRMv1" in capsys.readouterr().err


def test_repeat_counts_seeds_up_and_summarize_spreads_them(digits: Digits) -> None:
    results = repeat(tiny("vrex", seed=5), 3, data=digits, progress=False)
    assert [result.recipe.seed for result in results] == [5, 6, 7]
    alone = run(tiny("vrex", seed=6), data=digits, progress=False)
    assert timeless(alone.metrics) == timeless(results[1].metrics), "a run does not depend on those before it"
    summary = summarize(results)
    assert set(summary) == set(results[0].metrics)
    values = [result.metrics["risk"] for result in results]
    assert len(set(values)) == 3 and summary["risk"].count == 3
    assert (summary["risk"].mean, summary["risk"].std) == pytest.approx((np.mean(values), np.std(values, ddof=1)))


def test_no_seeds_are_no_runs(digits: Digits) -> None:
    with pytest.raises(ValueError, match=r"^Parameter `seeds` should be at least 1\. Found 0\.$"):
        repeat(tiny(), 0, data=digits)


def test_a_run_leaves_digits_and_recipe_alone(digits: Digits) -> None:
    tensors = (digits.images, digits.labels, digits.test_images, digits.test_labels)
    versions, recipe = [tensor._version for tensor in tensors], tiny("mmrex", patch=True)
    before = asdict(recipe)
    run(recipe, data=digits, progress=False)
    assert [tensor._version for tensor in tensors] == versions and asdict(recipe) == before


def test_words_are_those_that_the_class_declares() -> None:
    assert Recipe("maple", {"objective": "worst", "budget": 0.2}).hyper["objective"] == "worst"
    with pytest.raises(ValueError, match=r"^Parameter `objective` should be one of variance, worst, irmv1\."):
        Recipe("maple", {"objective": "best"})
    with pytest.raises(ValueError, match=r"^Parameter `budget` should be a finite number"):
        Recipe("maple", {"budget": "much"})


# One canonical text


def test_equal_recipes_have_one_text_and_one_digest_and_others_another() -> None:
    recipe = Recipe("irmv1", {"penalty_weight": 2.0, "halves": True}, world_options={"classes": 5, "label_noise": 0.1})
    turned = Recipe("irmv1", {"halves": True, "penalty_weight": 2}, world_options={"label_noise": 0.1, "classes": 5})
    spelled = Recipe("irmv1", recipe.hyper, world_options=recipe.world_options, seed=0, l2=0.001, width=390)
    shuffled = json.dumps(dict(reversed(json.loads(recipe.to_json()).items())))
    for same in (turned, spelled, Recipe.from_json(recipe.to_json()), Recipe.from_json(shuffled)):
        assert same == recipe and same.to_json() == recipe.to_json() and same.digest == recipe.digest
    assert recipe.but(flip_rates=(-0.0, 1), l2=-0.0).digest == recipe.but(flip_rates=(0, 1), l2=0).digest
    changes = ({"seed": 1}, {"penalty_weight": 3.0}, {"classes": 10}, {"network": "residual"}, {"l1": 1.0})
    assert len({recipe.digest, *(recipe.but(**change).digest for change in changes)}) == 6
    assert re.fullmatch("[0-9a-f]{20}", recipe.digest)


@pytest.mark.parametrize("method", METHODS)
def test_a_text_from_before_worlds_had_names_is_read(method: str) -> None:
    recipe = Recipe.profile("quick", method, flip_rates=(0.1, 0.3), classes=5)
    flat = json.loads(recipe.to_json())
    options = flat.pop("world_options")
    for name in ("world", "network", "l1", "weight_decay"):
        del flat[name]
    assert Recipe.from_json(json.dumps(flat | options)) == recipe


def test_erm_in_a_gray_world_was_the_oracle() -> None:
    old = {"algorithm": "erm", "hyper": {}, "grayscale": True, "flip_rates": [0.1, 0.2], "width": 83}
    assert Recipe.from_json(json.dumps(old)) == Recipe("oracle", width=83)
    assert Recipe.from_json(json.dumps(old | {"algorithm": "irmv1"})).grayscale


@pytest.mark.parametrize(
    ("changes", "meant"),
    [({"world": "spiral"}, "spirals"), ({"network": "percepton"}, "perceptron"), ({"flip_rate": 0.1}, "flip_rates")],
)
def test_what_is_unknown_is_refused_with_a_guess(changes: dict, meant: str) -> None:
    with pytest.raises(ValueError, match=rf"Did you mean `{meant}`\?$"):
        Recipe().but(**changes)


def test_recipes_share_the_parts_that_they_have_in_common() -> None:
    """A sweep has a hundred thousand of them in memory."""
    one = Recipe.profile("smoke", "irmv1", flip_rates=[0.1, 0.3])
    other, third = one.but(seed=1, steps=7), one.but(penalty_weight=7.0, flip_rates=(0.1, 0.4))
    assert one.setting is other.setting and one.hyper is other.hyper and one.world_options is other.world_options
    assert third.setting is not one.setting and (third.penalty_weight, one.penalty_weight) == (7.0, 1e4)
    assert third.flip_rates == (0.1, 0.4) and one.flip_rates == (0.1, 0.3)
    for near in (np.array([0.1, 0.3 + 1e-12]), [0.1, torch.tensor(0.3 + 1e-6)]):  # which print as the same
        assert one.but(flip_rates=near).flip_rates[1] > 0.3 == one.but(flip_rates=[0.1, 0.3]).flip_rates[1]
    with pytest.raises(ValueError, match="flip_rates"):
        one.but(flip_rates=[2.0, 0.1])
