"""The panels of the site that train by themselves: their steps are the library's, and they need no network."""

import base64
import re
import shlex
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from accessibility import barriers
from small_lessons import write_lesson
from torch import Tensor

from invtutor.course import book, lessons
from invtutor.course.book import two_bits
from invtutor.course.book.live import EVERY, METHODS, TEST, live_recipe
from invtutor.exact import two_bit
from invtutor.exact.meta_update import MetaIRMProblem
from invtutor.runs.commands import parse_change, read_recipe
from invtutor.runs.knobs import knobs
from invtutor.runs.recipe import Recipe
from invtutor.runs.run import assemble, schedules, stage
from invtutor.worlds.digits import Digits
from invtutor.worlds.risks import accuracy

ANNEAL, LAST = 12, {128: 22, 64: 100}  # steps: until λ jumps, and in all, by width
MOMENTS = (0, 1, 6, 11, 12, 13, 16, 21)
TRAINED = "99_live"  # a lesson beside the real ones, with one panel
LIVE = "live(lesson.recipe('irmv1'))"
PANEL = "document.querySelector('.live').panel"
STEP = """async ([name, given]) => {
    await live.load(name);
    const decoded = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
    window.heaps ??= {};
    const heap = (heaps[name] ??= heapOf(live.parts[name], new WebAssembly.Module(decoded(live.settings.kernel))));
    for (const [input, text] of Object.entries(given)) heap.put(input, new Float32Array(decoded(text).buffer));
    heap.run();
    const encoded = (numbers) => {
        const bytes = new Uint8Array(numbers.slice().buffer);
        let text = "";
        for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
        return btoa(text);
    };
    return Object.fromEntries(Object.keys(heap.tape.outputs).map((output) => [output, encoded(heap.get(output))]));
}"""


@pytest.fixture(scope="module")
def site(mnist: Digits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lessons as they are stored, and one more."""
    folder = tmp_path_factory.mktemp("live")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("invtutor.worlds.colored_mnist.load_digits", lambda *_, **__: mnist)
        trained = lessons.find(write_lesson(folder, TRAINED, LIVE))
        book.write_book(folder / "site", [*lessons.lessons(), trained], profile=None)
    return folder / "site"


@pytest.fixture
def panel(page: Any, site: Path) -> Any:
    return opened(page, site)


def opened(page: Any, site: Path) -> Any:
    """The lesson's panel at step 0, without a network."""
    page.context.set_offline(True)
    page.goto((site / f"{TRAINED}.html").as_uri())
    page.locator(".live").scroll_into_view_if_needed()
    page.wait_for_function(f"{PANEL}?.state?.taken === 0")
    return page.locator(".live")


def choose(panel: Any, name: str, value: str) -> None:
    panel.locator("label", has_text=name).locator("select").select_option(value)


def turn(panel: Any, name: str, value: float) -> None:
    """As a hand does: the slider goes to the rung of that value, and says so."""
    slider = panel.locator("label", has_text=name).locator("input")
    for at in range(int(slider.get_attribute("max")) + 1):
        slider.fill(str(at))
        if slider.get_attribute("aria-valuetext") == f"{value:,g}":
            return
    raise AssertionError(f"{name} has no rung {value:g}")


def rests(page: Any, taken: int) -> None:
    page.wait_for_function(f"{PANEL}.state && !{PANEL}.state.playing && {PANEL}.state.taken === {taken}")


def text_of(array: Any) -> str:
    return base64.b64encode(np.ascontiguousarray(array, np.float32).tobytes()).decode()


class Moment(NamedTuple):
    """A step of torch's: what it began with, by the names of a tape's inputs, and what came of it."""

    given: dict[str, Any]
    gradient: Tensor
    parameters: list[Tensor]
    metrics: dict[str, float]
    carried: dict[str, Tensor]


def trained(recipe: Recipe, digits: Digits) -> tuple[list[Moment], dict[int, list[float]]]:
    """Steps of the loop at some moments, and the accuracy under agreeing and flipped color after every ten."""
    ready = assemble(recipe, digits)
    algorithm, optimizer, acting = ready.algorithm, ready.optimizer(), schedules(recipe, ready.algorithm)
    parameters, canvas = algorithm.parameters(), ready.world.test_canvas.head(TEST)
    corners, moments, judged = [canvas.paint(float(flip)) for flip in (0, 1)], [], {}
    for step in range(recipe.steps):
        if step and stage(recipe, step) != stage(recipe, step - 1):
            optimizer.state.clear()
        values = {name: schedule(step) for name, schedule in acting.items()}
        optimizer.param_groups[0]["lr"] = rate = values.pop("learning_rate", recipe.learning_rate)
        for name, value in values.items():
            setattr(algorithm, name, value)
        batch = [e.sample(recipe.batch_size, ready.generator) for e in ready.environments]
        given: dict[str, Any] = {f"state.{name}": getattr(algorithm, name).clone() for name in algorithm.carries or ()}
        for place, parameter in enumerate(parameters):
            known, none = optimizer.state.get(parameter, {}), torch.zeros_like(parameter)
            given["state.step"] = known.get("step", torch.zeros(())).clone()
            given[f"state.first.{place}"] = known.get("exp_avg", none).clone()
            given[f"state.second.{place}"] = known.get("exp_avg_sq", none).clone()
            given[f"parameters.{place}"] = parameter.detach().clone()
        for place, e in enumerate(batch):
            given |= {f"batch.{place}.inputs": e.inputs, f"batch.{place}.labels": e.labels}
        for name in ("l2", *(name for name in knobs(recipe) if hasattr(algorithm, name))):
            given[f"knobs.{name}"] = torch.tensor(float(getattr(algorithm, name)))
        given["knobs.learning_rate"] = torch.tensor(rate)
        optimizer.zero_grad()
        metrics = {name: value.item() for name, value in algorithm.backward(batch).items()}
        optimizer.step()
        if step in MOMENTS:
            gradient = torch.cat([parameter.grad.flatten() for parameter in parameters])  # type: ignore[union-attr]
            carried = {name: getattr(algorithm, name) for name in algorithm.carries or ()}
            after = [parameter.detach().clone() for parameter in parameters]
            moments.append(Moment(given, gradient, after, metrics, carried))
        if (step + 1) % EVERY == 0:
            judged[step + 1] = [accuracy(algorithm.predict, environment) for environment in corners]
    return moments, judged


@pytest.mark.parametrize("method", METHODS)
def test_a_step_is_torch_s(page: Any, panel: Any, complaints: list[str], mnist: Digits, method: str) -> None:
    for width, steps in LAST.items():
        recipe = live_recipe(method, width).but(anneal=ANNEAL, steps=steps)
        moments, judged = trained(recipe, mnist)
        errors = []
        for moment in moments:
            given = {name: text_of(value) for name, value in moment.given.items()}
            told = page.evaluate(STEP, [f"{method}-{width}", given])
            found = {
                name: torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.float32)
                for name, text in told.items()
            }
            metrics = {name: found[f"metrics.{name}"].item() for name in moment.metrics}
            assert metrics == pytest.approx(moment.metrics, rel=5e-3, abs=1e-6)
            places = range(len(moment.parameters))
            after, before = (
                torch.cat([some[f"state.first.{i}"].flatten() for i in places]) for some in (found, moment.given)
            )
            gradient = (after - 0.9 * before) / 0.1  # what Adam saw
            errors.append(((gradient - moment.gradient).norm() / moment.gradient.norm()).item())
            for place, theirs in enumerate(moment.parameters):
                ours = found[f"parameters.{place}"].view_as(theirs)
                assert (ours - theirs).abs().median() < 1e-3 * recipe.learning_rate
            for name, theirs in moment.carried.items():
                assert torch.allclose(found[f"state.{name}"], theirs, atol=1e-5)
        assert len(errors) == len(MOMENTS) and np.median(errors) < 1e-4 and max(errors) < 5e-3, errors
        print(method, width, f"median {np.median(errors):.1e}, largest {max(errors):.1e}")

    # And from the page's own draws, which are torch's, the same run.
    page.evaluate(f"live.settings.starts.{method}.steps = {steps}")
    choose(panel, "Network", str(width))
    choose(panel, "Method", method)
    page.wait_for_function(f"{PANEL}.state?.taken === 0 && {PANEL}.begun.method === '{method}'")
    if "penalty_weight" in knobs(recipe):
        page.evaluate(f"{PANEL}.turn('anneal', {ANNEAL})")
    panel.get_by_role("button", name="Play").click()
    rests(page, steps)
    records = {record["taken"]: record["corners"] for record in page.evaluate(f"{PANEL}.records")}
    for step, expected in judged.items():
        for rate in (0.1, 0.2, 0.9):
            theirs, ours = ((1 - rate) * agreeing + rate * flipped for agreeing, flipped in (expected, records[step]))
            assert abs(theirs - ours) <= 0.005, (step, rate)
    assert not complaints


def test_the_story_from_a_folder(page: Any, panel: Any, complaints: list[str]) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    choose(panel, "Network", "64")
    choose(panel, "Method", "irmv1")
    page.wait_for_function(f"{PANEL}.state?.taken === 0 && {PANEL}.begun.width === 64")
    now = f"{PANEL}.accuracies({PANEL}.records[{PANEL}.records.length - 1].corners)[2]"
    assert page.evaluate(now)["name"] == "p = 0.9"
    panel.get_by_role("button", name="Play").click()
    page.wait_for_function(f"{now}.value >= 0.6")
    turn(panel, "λ", 1.0)
    page.wait_for_function(f"{PANEL}.state.playing || {PANEL}.play()")
    page.wait_for_function(f"{now}.value < 0.2")
    panel.get_by_role("button", name="Pause").click()
    page.wait_for_function(f"!{PANEL}.state.playing")

    words = shlex.split(panel.locator("code").text_content())
    assert words[:3] == ["invtutor", "run", "irmv1"]
    recipe = read_recipe("irmv1", dict(word.split("=", 1) for flag, word in pairwise(words) if flag == "-p"))
    *_, change = [parse_change(word.partition("=")[2]) for word in words if word.startswith("--steer=")]
    taken = page.evaluate(f"{PANEL}.state.taken")
    assert recipe == live_recipe("irmv1", 64).but(steps=taken)
    assert change.name == "penalty_weight" and change.value == 1 and 150 < change.step < taken
    twin = panel.locator(".numbers").inner_text()
    assert f"Step {taken}, IRMv1: λ = 1" in twin and f"p = 0.9 {100 * page.evaluate(now)['value']:.1f} %" in twin
    assert all(address.split(":")[0] in ("file", "data", "blob") for address in asked) and not complaints


def test_it_is_steered_by_keys_and_a_hidden_page_pauses(page: Any, panel: Any, complaints: list[str]) -> None:
    choose(panel, "Network", "64")
    page.wait_for_function(f"{PANEL}.state?.taken === 0 && {PANEL}.begun.width === 64")
    panel.get_by_role("button", name="Step").focus()
    page.keyboard.press("Enter")
    rests(page, 1)
    panel.locator("label", has_text="Label noise").locator("input").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"{PANEL}.state?.taken === 0 && {PANEL}.begun.noise === 0.3")
    panel.get_by_role("button", name="Play").focus()
    page.keyboard.press("Space")
    page.wait_for_function(f"{PANEL}.state.taken > 3")
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true})")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_function(f"!{PANEL}.state.playing")
    assert "Paused while the page was hidden" in panel.get_by_role("status").inner_text()
    choose(panel, "Preset", "α too large: inverted")
    page.wait_for_function(f"{PANEL}.state?.taken === 0 && {PANEL}.begun.method === 'meta_irm'")
    assert "What to look for: each inner step overshoots" in panel.get_by_role("status").inner_text()
    assert panel.locator("label", has_text="α").locator(".value").inner_text() == "3"
    assert not complaints


def test_a_page_that_is_slow_shows_a_part_at_a_time(page: Any, panel: Any, complaints: list[str]) -> None:
    choose(panel, "Network", "64")
    page.wait_for_function(f"{PANEL}.state?.taken === 0 && {PANEL}.begun.width === 64")
    parts = {name: panel.locator(name) for name in (".wide", ".chart:not(.wide)", ".digits", ".numbers")}

    def changed() -> list[str]:
        before = dict(seen)
        seen.update({name: part.inner_html() for name, part in parts.items()})
        return [name for name in parts if seen[name] != before.get(name)]

    seen: dict[str, str] = {}
    changed()
    page.evaluate(f"window.frames = []; window.requestAnimationFrame = act => frames.push(act); {PANEL}.play()")
    page.wait_for_function(f"{PANEL}.records.length > 3", polling=50)
    assert changed() == [] and page.evaluate("frames.length") == 1, "nothing before the page comes to it"
    came = []
    for _ in parts:
        page.wait_for_function("frames.length === 1", polling=50)
        page.evaluate("frames.shift()(0)")
        came.append(changed())
    assert sorted(came) == [[name] for name in sorted(parts)]
    page.evaluate(f"{PANEL}.give({{ kind: 'pause' }})")
    page.wait_for_function(f"!{PANEL}.state.playing", polling=50)
    assert f"Step {page.evaluate(f'{PANEL}.state.taken')}, IRMv1" in panel.locator(".numbers").inner_text()
    assert not complaints


@pytest.mark.parametrize("name", ["digits", "settings", "irmv1-128"])
@pytest.mark.parametrize("content", [None, "", "live.digits = 'H4sIAAAA';"], ids=["missing", "empty", "damaged"])
def test_what_is_missing_or_damaged_is_a_sentence(
    page: Any, site: Path, tmp_path: Path, name: str, content: str | None
) -> None:
    copy = shutil.copytree(site, tmp_path / "site")
    file = copy / "live" / f"{name}.js"
    file.unlink() if content is None else file.write_text(content)
    page.goto((copy / f"{TRAINED}.html").as_uri())
    page.locator(".live").scroll_into_view_if_needed()
    page.get_by_text(f"live/{name}.js is {'missing' if content is None else 'damaged'}").wait_for()


def test_it_trains_without_webassembly_and_without_a_worker(
    page: Any, site: Path, tmp_path: Path, complaints: list[str]
) -> None:
    page.add_init_script("delete window.WebAssembly; delete window.Worker")
    panel = opened(page, site)
    panel.get_by_role("button", name="Step").click()
    rests(page, 1)
    assert "has no WebAssembly" in panel.get_by_role("status").inner_text()
    ours = page.evaluate(f"{PANEL}.state.metrics")
    other = opened(page.context.browser.new_page(), site)
    other.get_by_role("button", name="Step").click()
    rests(other.page, 1)
    assert other.page.evaluate(f"{PANEL}.state.wasm")
    assert other.page.evaluate(f"{PANEL}.state.metrics") == pytest.approx(ours, rel=1e-4)
    other.page.close()
    assert not complaints


def of_the_method(method: str, theta: Tensor, chosen: dict[str, float]) -> Tensor:
    """What a method minimizes in the exact world, by its paper."""
    risks, weight = two_bit.risks(theta, two_bits.RATES), chosen.get("penalty_weight", 0.0)
    if method == "meta_irm":
        return MetaIRMProblem(two_bits.RATES, chosen["inner_rate"], weight).objective(theta)
    slopes = torch.stack([(theta * two_bit.gradient(theta, rate)).sum() for rate in two_bits.RATES])
    penalty = {"erm": 0.0, "irmv1": slopes.square().mean(), "vrex": risks.var(unbiased=False)}[method]
    return (risks.mean() + weight * penalty) / max(1.0, weight)


def test_two_weights_descend_in_the_exact_world(page: Any, site: Path, complaints: list[str]) -> None:
    page.context.set_offline(True)
    page.goto((site / "05_meta_irm.html").as_uri())
    panel, its = page.locator(".exact"), "document.querySelector('.exact').panel"
    page.wait_for_function(f"{its}?.now")
    for method, chosen in two_bits.METHODS.items():
        choose(panel, "Method", method)
        for place in ([1.1, 1.7], [0.4, -0.3], [2.0, 0.5]):
            told, theta = page.evaluate(f"{its}.at({place})"), torch.tensor(place, dtype=torch.double).requires_grad_()
            for number, rate in enumerate((*two_bits.RATES, 0.9)):
                assert told["risks"][number] == pytest.approx(two_bit.risk(theta, rate).item(), rel=1e-5)
                assert told[f"gradients.{number}"] == pytest.approx(two_bit.gradient(theta, rate).tolist(), abs=1e-6)
                assert told["accuracies"][number] == pytest.approx(two_bit.accuracy(theta, rate).item(), abs=1e-6)
            (gradient,) = torch.autograd.grad(of_the_method(method, theta, chosen), theta)
            assert told["gradient"] == pytest.approx(gradient.tolist(), rel=1e-3, abs=2e-6), (method, place)
            moved = (theta - chosen["learning_rate"] * gradient).tolist()
            assert told["moved"] == pytest.approx(moved, rel=1e-3, abs=1e-4), (method, place)
    inner = [two_bit.adapted(theta, rate, 1.0).tolist() for rate in two_bits.RATES]
    assert [told["adapted.0"], told["adapted.1"]] == [pytest.approx(step, abs=1e-5) for step in inner]

    panel.get_by_role("button", name="Step", exact=True).press("Enter")
    panel.get_by_role("button", name="20 steps").press("Enter")
    assert "After 21 steps" in panel.get_by_role("status").inner_text()
    assert abs(page.evaluate(f"{its}.path[21][1]")) < 0.2, "meta-IRM leaves the color"
    turn(panel, "Flip rate p2", 0.9)
    assert "After 0 steps" in panel.get_by_role("status").inner_text() and panel.locator("td").count() == 15
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280 and not complaints


def test_a_section_is_found_by_keyboard(page: Any, site: Path, complaints: list[str]) -> None:
    page.context.set_offline(True)
    page.goto((site / "index.html").as_uri())
    page.get_by_role("searchbox", name="Search the lessons").focus()
    page.keyboard.type("meta-irm second derivatives")
    search = page.get_by_role("search")
    assert re.match(r"\d+ section", search.get_by_role("status").inner_text())
    assert all("meta-IRM" in item for item in search.locator("li a").all_inner_texts()[:1])
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    page.wait_for_url("**/05_meta_irm.html#*")
    assert page.locator(":target").count() == 1
    page.go_back()
    page.get_by_role("searchbox").fill("zebra")
    assert search.get_by_role("status").inner_text() == "No section has all of these words."
    assert search.locator("li").count() == 0 and not complaints


def test_no_page_has_a_barrier(page: Any, site: Path, complaints: list[str]) -> None:
    page.set_viewport_size({"width": 360, "height": 800})  # where most is scrolled
    for path in sorted(site.glob("*.html")):
        page.goto(path.as_uri())
        if path.stem in ("index", TRAINED):  # the panels of the others are no different
            page.locator(".live").scroll_into_view_if_needed()
            page.wait_for_function(f"{PANEL}?.state?.taken === 0")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path.name
        assert page.evaluate("document.getAnimations().length") == 0, "nothing moves that nobody has asked to"
        assert barriers(page) == [], path.name
    assert not complaints
