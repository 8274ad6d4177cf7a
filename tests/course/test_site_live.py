"""What a page trains with: tapes of known operations, digits, settings, and panels where lessons call them."""

import gzip
from itertools import pairwise

import nbformat
import pytest
import torch

from invtutor.course import lessons
from invtutor.course.book import live
from invtutor.course.book.product import assembled
from invtutor.course.book.writer import record
from invtutor.runs.presets import PRESETS
from invtutor.runs.run import assemble
from invtutor.worlds.digits import Digits


def test_an_operation_that_no_tape_knows_is_named() -> None:
    with pytest.raises(ValueError, match=r"^Parameter `function` .+ Found aten\.cumsum\.default\.$"):
        record(lambda x: {"y": x.cumsum(0)}, {"x": torch.ones(3)})
    with pytest.raises(ValueError, match=r"Found aten\._to_copy\.default"):
        record(lambda x: {"y": x.long()}, {"x": torch.ones(3)})


def test_a_tape_gives_each_number_a_place_while_it_is_needed() -> None:
    tape = record(lambda x, y: {"y": x @ y, "z": (x * 2).exp().sum(0)}, {"x": torch.ones(5, 5), "y": torch.ones(5, 5)})
    places = sorted([*tape.inputs.values(), tape.outputs["z"]])
    assert all(at + count <= after for (at, count), (after, _) in pairwise(places))
    assert tape.text.count("for (") == 3, "one loop for a row of pointwise operations, two for a sum"
    assert "copyWithin" in tape.text.splitlines()[-1] and tape.scratch <= tape.size
    with pytest.raises(AssertionError, match="by two names"):
        record(lambda x, y: {"z": x + y}, dict.fromkeys("xy", torch.ones(3)))


def test_every_knob_is_an_input(digits: Digits) -> None:
    ready = assemble(live.live_recipe("meta_irm", 64), digits)
    tape = live.step_tape(ready)
    knobs = {name.removeprefix("knobs.") for name in tape.inputs if name.startswith("knobs.")}
    assert knobs == {"l2", "learning_rate", "penalty_weight", "inner_rate"}
    assert {name for name in tape.outputs if name.startswith("metrics.")} == {
        f"metrics.{name}" for name in ("risk", "meta risk", "penalty")
    }
    assert {name for name in tape.inputs if name.split(".")[0] in ("parameters", "state")} <= set(tape.outputs)


def test_the_module_is_one_small_function() -> None:
    assert assembled().startswith(b"\0asm\1\0\0\0") and len(assembled()) < 400


def test_digits_are_those_of_the_recipe_s_world(digits: Digits) -> None:
    world = assemble(live.live_recipe("irmv1"), digits).world
    content = gzip.decompress(live.packed(world, digits))
    count = 2 * live.SAMPLES + live.TEST
    ink = torch.frombuffer(bytearray(content), dtype=torch.uint8)[: 196 * count].view(-1, 14, 14)
    assert len(content) == 197 * count
    for place, environment in enumerate(world.train):
        mine = ink[place * live.SAMPLES :][: live.SAMPLES]
        assert torch.equal(mine / 255.0, environment.inputs.sum(1))
    assert torch.equal(ink[2 * live.SAMPLES :] / 255.0, world.test_canvas.head(live.TEST).images)


def test_settings_hold_every_preset_of_their_methods(digits: Digits) -> None:
    starts = live.settings(digits)["starts"]
    assert set(starts) == {*live.METHODS, *(name for name, preset in PRESETS.items() if preset.method in live.METHODS)}
    for start in starts.values():
        for knob in start["knobs"].values():
            assert knob["value"] in knob["rungs"]
        words = dict(word.split("=") for word in start["words"])
        assert words["samples"] == str(live.SAMPLES) and not {"width", "steps", *start["knobs"]} & words.keys()


NOTEBOOK_ONLY = "A step of MAPLE is itself a training, and runs in the notebook only. "
NOTEBOOK_ONLY += "Here are the methods it is compared with."


def test_a_panel_begins_with_what_its_cell_names() -> None:
    sources = {
        "live(lesson.recipe('vrex', penalty_weight=0.0))": ("vrex", ""),
        "x = live(recipe)\nx.set(preset='no annealing')": ("no annealing", ""),
        "live(lesson.recipe('maple', samples=5))": ("erm", NOTEBOOK_ONLY),
        "live(Mine)": ("erm", ""),
    }
    cells = [nbformat.v4.new_code_cell(source) for source in [*sources, "alive(1)", "%matplotlib\nlive(1)"]]
    notebook = nbformat.v4.new_notebook(cells=[*cells, nbformat.v4.new_markdown_cell("live()")])
    assert live.mark_panels(notebook)
    found = [cell.metadata.get("live") for cell in notebook.cells]
    assert found == [*({"start": start, "note": note} for start, note in sources.values()), None, None, None]
    assert not live.mark_panels(nbformat.v4.new_notebook(cells=cells[-2:]))
    elsewhere = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("live(recipe('erm', world='animals'))")])
    assert not live.mark_panels(elsewhere) and "live" not in elsewhere.cells[0].metadata, "a page has digits alone"
    own = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("live(Mine)")])
    assert live.mark_panels(own, "03_irmv1") and own.cells[0].metadata["live"] == {"start": "irmv1", "note": ""}


def test_a_page_says_that_it_trains_the_library_s_method_where_the_notebook_trains_the_student_s() -> None:
    said = "The page trains the library's {}; your own class runs in the notebook."
    expected = {"02": "ERM", "03": "IRMv1", "04": "V-REx", "05": "meta-IRM", "06": "AND-mask"}
    for path in lessons.paths():
        notebook, number = nbformat.read(path, as_version=4), path.stem[:2]
        live.mark_panels(notebook, path.stem)
        notes = [cell.metadata["live"]["note"] for cell in notebook.cells if "live" in cell.metadata]
        own = [said.format(expected[number])] if number in expected else [NOTEBOOK_ONLY] if number == "07" else [""]
        assert notes == (own if notes else []), path.stem
        assert notes or number not in (*expected, "07")
    sources = ["class Mine(VREx): ...", "chosen = recipe(Mine)\nlive(recipe('vrex'))", "live(chosen, 'no annealing')"]
    notebook = nbformat.v4.new_notebook(cells=[*map(nbformat.v4.new_code_cell, sources)])
    live.mark_panels(notebook)
    assert [cell.metadata["live"]["note"] for cell in notebook.cells[1:]] == ["", said.format("IRMv1")]
