"""The static site: every page whole, readable without a network, its sliders linked to pictures."""

import base64
import functools
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import ipywidgets
import nbformat
import pytest
from small_lessons import write_lesson

from invtutor.cli import main
from invtutor.course import book, lessons
from invtutor.course.book import live
from invtutor.course.book.slides import in_slides
from invtutor.course.kernel import LessonError
from invtutor.files import foreign
from invtutor.widgets import Panel
from invtutor.widgets.panel import MIME, frames
from invtutor.worlds.digits import Digits

ALT = "A black point, the further to the right the larger the number."
PANEL = """\
import ipywidgets
from invtutor.widgets import Panel
from invtutor.course.notebook import picture

def draw(figure, x, kind):
    figure.clear()
    figure.subplots().plot(x, 0, kind)
    return f"<b>x = {x}</b>, kind {kind}"

controls = {"x": ipywidgets.IntSlider(value=1, min=0, max=3, description="The x & y")}
controls["kind"] = ipywidgets.Dropdown(options=[("dot", "o"), ("cross", "x")], description="Kind")
panel = Panel(controls, draw, width=200, height=100)
panel"""
PROSE = r"""## 2. A *formula*: $x^2$

See [the first](00_start.ipynb) and [its end](00_start.ipynb#the-lesson-00_start), $\min_x \| x \|$ and

$$ \min_\theta \Big\| \theta \Big\|^2 $$

| a | b |
|---|---|
| 1 | `$2` |

<details><summary>Solution</summary>

```python
print("$3")
```

</details>"""


class Page(HTMLParser):
    """What a page consists of: tags with their attributes, and its words."""

    def __init__(self, path: Path):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.words += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def links(self, **having: str) -> list[str]:
        return [link["href"] for link in self.all("a") if having.items() <= link.items()]


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small lessons, the second with a panel, a picture, formulas and links."""
    folder = tmp_path_factory.mktemp("shelf")
    write_lesson(folder, "00_start", "print('x < y', profile)")
    path = write_lesson(folder, "01_panel", PANEL, f"picture(panel.picture(), {ALT!r})")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell(PROSE))
    nbformat.write(notebook, path)
    return folder


@pytest.fixture(scope="module")
def site(shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("book") / "site"
    chosen = [lessons.find(path) for path in sorted(shelf.glob("*.ipynb"))]
    assert book.write_book(out, chosen, profile="smoke", quiet=True) == out / "index.html"
    return out


@pytest.fixture(scope="module")
def stored(digits: Digits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real lessons, with the outputs that are stored in them; one method of their live panels is enough here."""
    out = tmp_path_factory.mktemp("stored")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("invtutor.worlds.colored_mnist.load_digits", lambda *_, **__: digits)
        patch.setattr(live, "METHODS", ("irmv1",))
        patch.setattr(live, "SIZES", {128: 500})
        patch.setattr("invtutor.course.book.stages.SAMPLES", 200)
        assert main(["book", "--stored", "--slides", "--out", str(out)]) == 0
    return out


@pytest.fixture(params=["site", "stored"])
def pages(request: pytest.FixtureRequest) -> dict[str, Page]:
    return parsed(request.getfixturevalue(request.param))


@functools.cache
def parsed(folder: Path) -> dict[str, Page]:
    return {path.name: Page(path) for path in sorted(folder.glob("*.html"))}


def test_every_link_leads_somewhere(pages: dict[str, Page]) -> None:
    anchors = {name: {attributes.get("id") for _, attributes in page.tags} for name, page in pages.items()}
    for name, page in pages.items():
        for link in page.links():
            target, _, anchor = link.partition("#")
            assert (target or name) in pages, f"{name}: {link}"
            assert not anchor or anchor in anchors[target or name], f"{name}: {link}"


def test_a_page_needs_nothing_from_elsewhere(pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        needed = [tag.get("src") or tag.get("href", "") for kind in ("script", "link", "img") for tag in page.all(kind)]
        assert not [address for address in needed if ":" in address and not address.startswith("data:image/")], name


def test_every_picture_has_alt_text(pages: dict[str, Page]) -> None:
    pictures = [picture for page in pages.values() for picture in page.all("img")]
    assert len(pictures) > 8
    assert all(len(picture["alt"]) > 20 for picture in pictures)


def test_navigation_is_complete_and_in_order(pages: dict[str, Page]) -> None:
    others = ["instructors.html"] if "instructors.html" in pages else []
    names = [name for name in pages if name not in ("index.html", *others) and ".slides" not in name]
    assert pages["index.html"].links() == names + others
    for number, name in enumerate(names):
        page = pages[name]
        assert page.links(rel="prev") == names[:number][-1:] and page.links(rel="next") == names[number + 1 :][:1]
        assert page.links()[1] == "index.html" and set(names) <= set(page.links())
        assert [link["href"] for link in page.all("a") if link.get("aria-current")] == [name]
        assert [attributes["lang"] for attributes in page.all("html")] == ["en"]


def test_formulas_become_mathml(pages: dict[str, Page]) -> None:
    assert any(page.all("math") for page in pages.values())
    for page in pages.values():
        assert "$$" not in page.words and "\\begin" not in page.words
    for path in sorted(lessons.folder().glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                rendered = book._markdown()(cell.source)
                for formula in rendered.split("<math")[1:]:
                    assert "\\" not in formula.split("</math>")[0], f"{cell.id}: a command is not known"


def test_prose_and_outputs(site: Path) -> None:
    page = (site / "01_panel.html").read_text(encoding="utf-8")
    assert 'href="00_start.html"' in page and 'href="00_start.html#the-lesson-00_start"' in page
    assert "<code>$2</code>" in page and "<details>" in page and "$3" in page
    assert '<h2 id="2-a-formula-x2"' in page and "<munder><mo>min</mo>" in page
    assert f'alt="{ALT}"' in page
    assert "x &lt; y smoke" in (site / "00_start.html").read_text(encoding="utf-8")
    assert "in the smoke profile" in Page(site / "index.html").words


def test_a_cell_that_is_folded_in_the_notebook_is_folded_on_its_page() -> None:
    plot = nbformat.v4.new_code_cell("folded = 1", metadata={"tags": ["hide-input"]})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("seen = 1"), plot])
    resources = {"page": book._Page("x.html", "x", None), "pages": [], "frames": "none", "undescribed": ""}
    page, _ = book._exporter().from_notebook_node(notebook, resources)
    before, _, after = page.partition("<details><summary>Code</summary>")
    assert "seen" in before and "folded" in after.partition("</details>")[0]


def test_the_first_page_shows_of_each_lesson_the_picture_that_carries_its_idea(stored: Path) -> None:
    pictures = Page(stored / "index.html").all("img")
    names = [path.stem for path in sorted(lessons.folder().glob("*.ipynb"))]
    assert len(pictures) == len(names) == len({(stored / picture["src"]).read_bytes() for picture in pictures})
    for name, picture in zip(names, pictures, strict=True):
        cells = nbformat.read(lessons.find(name).path, as_version=4).cells
        (cover,) = [cell for cell in cells if "cover" in cell.metadata.get("tags", ())]
        (told,) = [
            output.metadata["image/png"]["alt"] for output in cover.outputs if "image/png" in output.get("data", ())
        ]
        assert picture["alt"] == told


def test_maple_s_stages_move_in_a_page_of_stored_outputs(stored: Path) -> None:
    page = Page(stored / "07_maple.html")
    (words,) = re.findall(r"Computed when this page was made: (\d) outer iterations", page.words)
    iterations, stages = (json.loads(slider["data-positions"]) for slider in page.all("input"))
    assert iterations == [str(each + 1) for each in range(int(words))] and len(stages) == 5
    files = [picture["src"] for picture in page.all("img") if picture["src"].startswith("frames/")]
    assert len({(stored / file).read_bytes() for file in files}) == len(files) == len(iterations) * len(stages)
    assert "Iteration 4, projection." in page.words


def test_every_section_is_found_and_no_solution(pages: dict[str, Page], site: Path, stored: Path) -> None:
    folder = stored if "08_side_by_side.html" in pages else site
    text = (folder / "search.js").read_text(encoding="utf-8")
    found = json.loads(text.removeprefix("const SECTIONS = ").rstrip(";\n"))
    for address, title, heading, words in found:
        name, _, anchor = address.partition("#")
        assert title and heading and anchor in {attributes.get("id") for _, attributes in pages[name].tags}, address
        assert not re.search(r"Solution|\*\*|<[a-z]|\$.*\$", words), address
    named = {address.partition("#")[0] for address, *_ in found}
    assert len(found) == sum(tag in ("h1", "h2") for name in named for tag, _ in pages[name].tags)


def test_slides_are_linked_hold_the_lesson_and_give_nothing_away(stored: Path) -> None:
    pages = parsed(stored)
    teaching = pages["instructors.html"]
    for path in sorted(lessons.folder().glob("*.ipynb")):
        page, told = pages[f"{path.stem}.html"], pages[f"{path.stem}.slides.html"]
        assert f"{path.stem}.slides.html" in page.links() and f"{path.stem}.slides.html" in teaching.links()
        assert set(told.links()) & {f"{name}.html" for name in (path.stem, "index")} == {f"{path.stem}.html"}
        slides = [section["id"] for section in told.all("section") if section.get("class") == "slide"]
        assert slides == [f"slide-{number + 1}" for number in range(len(slides))] and 20 < len(slides) < 60
        headings = [[a["id"] for tag, a in each.tags if tag in ("h1", "h2")] for each in (page, told)]
        assert headings[0] == headings[1], "every section, once"
        setup = "before the first section nothing is shown but pictures"
        assert "Solution" not in told.words and "A hint" not in told.words and "out_dir" not in told.words, setup
        cells = nbformat.read(path, as_version=4).cells
        pictures = [
            output.metadata["image/png"]["alt"]
            for cell in cells
            for output in cell.get("outputs", ())
            if "image/png" in output.get("data", {})
        ]
        shown = [image["alt"] for image in told.all("img") if not image["src"].startswith("frames/")]
        assert shown == pictures
        for cell in cells:
            if "exercise" in cell.metadata.get("tags", ()):
                assert cell.source in told.words, "a step is shown as it is asked"
    assert not [name for name in ("slides.js", "instructors.html") if not (stored / name).is_file()]


def test_a_slide_keeps_together_what_belongs_together() -> None:
    long = " ".join(["word"] * 90)
    prose = f"## 1. One\n\n{long}\n\nIt follows:\n\n{long}\n\n$$x$$\n\n## 2. Two\n\n```\na\n\nb\n```\n\n**Step 1.** Do"
    guess = nbformat.v4.new_code_cell(
        "lesson.guess('it', here=None)", outputs=[nbformat.v4.new_output("stream", text="no")]
    )
    claim = nbformat.v4.new_code_cell(
        "lesson.claim('it', 1, 0, 2)", outputs=[nbformat.v4.new_output("stream", text="✓ it: 1\nand a table\n")]
    )
    cells = [nbformat.v4.new_markdown_cell(prose), guess, claim, nbformat.v4.new_code_cell("x = 1")]
    slides: list[list[str]] = []
    for cell in in_slides(nbformat.v4.new_notebook(cells=cells)).cells:
        if slide := cell.metadata.get("slide"):
            assert slide == {
                "number": len(slides) + 1,
                "continued": ["", "1. One", "", "2. Two", "2. Two"][len(slides)],
            }
            slides.append([])
        slides[-1].append(cell.source if not cell.get("outputs") else cell.outputs[0].text)
    assert slides == [
        ["## 1. One", long],
        ["It follows:", f"{long}\n\n$$x$$"],
        ["## 2. Two", "```\na\n\nb\n```"],
        ["**Step 1.** Do", guess.source],
        ["and a table\n"],
    ]


def test_a_live_panel_stands_where_a_lesson_calls_it_and_on_the_first_page(stored: Path) -> None:
    calls = {
        path.stem: [
            cell.source
            for cell in nbformat.read(path, as_version=4).cells
            if re.search(r"\blive\(", cell.source) and "world=" not in cell.source  # a page has no other world's panel
        ]
        for path in lessons.folder().glob("*.ipynb")
    }
    assert sum(map(bool, calls.values())) >= 6
    for name, sources in calls.items():
        page, told = parsed(stored)[f"{name}.html"], parsed(stored)[f"{name}.slides.html"]
        panels, projected = (
            [section for section in each.all("section") if section.get("class") == "live"] for each in (page, told)
        )
        assert len(panels) == len(sources) == len(projected)
        assert [file["src"] for file in page.all("script") if "live" in file["src"]] == (
            ["live/trainer.js", "live/live.js", "live/exact.js"] if sources else []
        )
    (first,) = [section for section in Page(stored / "index.html").all("section") if section.get("class") == "live"]
    assert first["data-start"] == "irmv1"
    exact = {path.stem for path in stored.glob("*.html") if 'class="live exact"' in path.read_text(encoding="utf-8")}
    assert exact == {"05_meta_irm", "05_meta_irm.slides"}
    assert {path.name for path in (stored / "live").iterdir()} == {
        *live.FILES, "two_bits.js", "digits.js", "settings.js", "irmv1-128.js", "judge-128.js"
    }  # fmt: skip


def test_sliders_find_a_picture_and_its_words_at_every_position(site: Path) -> None:
    page = Page(site / "01_panel.html")
    sliders = [field for field in page.all("input") if field["type"] == "range"]
    assert [json.loads(slider["data-positions"]) for slider in sliders] == [["0", "1", "2", "3"], ["dot", "cross"]]
    assert [slider["value"] for slider in sliders] == ["1", "0"]
    figures = page.all("figure")
    assert [figure["data-at"] for figure in figures] == [f"{x},{kind}" for x in range(4) for kind in range(2)]
    assert [figure["data-at"] for figure in figures if "hidden" not in figure] == ["1,0"]
    assert "The x & y" in page.words and "x = 3, kind x" in page.words
    files = [picture["src"] for picture in page.all("img") if picture["src"].startswith("frames/")]
    pictures = {(site / file).read_bytes() for file in files}
    assert len(files) == len(pictures) == 8 and all(picture.startswith(b"\x89PNG") for picture in pictures)


def test_frames_are_an_even_choice_with_both_ends_and_the_present_position() -> None:
    controls = {"x": ipywidgets.FloatSlider(value=0.35, min=0, max=1, step=0.05, description="X", readout_format=".2f")}
    controls |= {"on": ipywidgets.Checkbox(value=True, description="On")}
    panel = Panel(controls, lambda figure, x, on: f"{x:.2f} {on}", width=50, height=50)
    found = frames(panel, most=16)
    assert found["controls"][0]["positions"] == ["0.00", "0.35", "0.65", "1.00"]
    assert found["controls"][1] == {"label": "On", "positions": ["no", "yes"], "start": 1}
    assert found["start"] == [1, 1] and (found["width"], found["height"]) == (50, 50)
    assert found["frames"][3]["text"] == "0.35 True" and found["frames"][3]["alt"] == "The picture for X 0.35, On yes."
    assert base64.b64decode(found["frames"][3]["png"]) == panel.image.value
    assert panel.values == {"x": 0.35, "on": True}


def test_a_panel_leaves_frames_only_where_a_book_is_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[dict[str, Any]] = []
    monkeypatch.setattr("invtutor.widgets.panel.display", lambda data, **options: shown.append(data))
    panel = Panel({"x": ipywidgets.IntSlider(max=2, description="X")}, lambda figure, x: str(x), width=50, height=50)
    monkeypatch.delenv("INVTUTOR_FRAMES", raising=False)
    panel._ipython_display_()
    assert len(shown) == 1 and MIME not in shown[0]
    monkeypatch.setenv("INVTUTOR_FRAMES", "1")
    panel._ipython_display_()
    assert len(shown[2][MIME]["frames"]) == 3


def test_nothing_is_written_where_a_lesson_fails_or_something_else_lies(tmp_path: Path) -> None:
    broken = lessons.find(write_lesson(tmp_path, "broken", "1 / 0"))
    with pytest.raises(LessonError, match="ZeroDivisionError"):
        book.write_book(tmp_path / "site", [broken], profile="smoke", quiet=True)
    with pytest.raises(ValueError, match="something that is no book"):
        book.write_book(tmp_path, [broken], profile=None)
    with pytest.raises(ValueError, match="should be one of auto, smoke"):
        book.write_book(tmp_path / "site", [broken], profile="fast", quiet=True)
    with pytest.raises(ValueError, match="Cannot write a book"):
        book.write_book(tmp_path / "broken.ipynb" / "site", [broken], profile=None)
    assert [path.name for path in tmp_path.iterdir()] == ["broken.ipynb"]


def test_a_book_replaces_an_older_one(shelf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert main(["book", "--stored", str(shelf / "00_start.ipynb"), "--out", str(tmp_path)]) == 0
    names = [".book.json", "00_start.html", "book.css", "book.js", "index.html", "search.js"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert capsys.readouterr().out.split() == [str(tmp_path / "index.html")] * 2


def test_an_older_book_goes_as_a_whole_and_nothing_else(shelf: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    first, second = (str(shelf / f"{name}.ipynb") for name in ("00_start", "01_panel"))
    assert main(["book", "--stored", first, second, "--out", str(site)]) == 0
    assert main(["book", "--stored", second, "--out", str(site)]) == 0
    assert not (site / "00_start.html").exists() and (site / "01_panel.html").exists(), "no stale page stays"
    before = {path.name: path.read_bytes() for path in site.iterdir()}
    for name, content in (("notes.txt", b"mine"), ("01_panel.html", before["01_panel.html"] + b"mine")):
        (site / name).write_bytes(content)
        assert main(["book", "--stored", first, "--out", str(site)]) == 2
        assert (site / name).read_bytes() == content and not (site / "00_start.html").exists()
        (site / name).unlink()
    (site / "folder").mkdir()
    assert main(["book", "--stored", first, "--out", str(site)]) == 2
    (site / "folder").rmdir()
    assert main(["book", "--stored", first, "--out", str(site)]) == 0, "a page that somebody removed is no hindrance"
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_what_is_not_a_book_s_folder_is_refused_before_anything_runs(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(book, "run_lesson", lambda *_, **__: pytest.fail("it runs"))
    monkeypatch.chdir(tmp_path)
    for name in ("d1", "d2", "here", "empty", "other"):
        (tmp_path / name).mkdir()
    same = [write_lesson(tmp_path / folder, "same") for folder in ("d1", "d2")]
    upper, index = write_lesson(tmp_path / "d2", "Same"), write_lesson(tmp_path / "d1", "index")
    teaching, own = (write_lesson(tmp_path / "d1", name) for name in ("instructors", "00_start.slides"))
    (tmp_path / "other/book.css").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    one = shelf / "00_start.ipynb"
    calls: list[tuple[list[Path], str, str]] = [
        (same, "site", "would be one page, same.html"),
        ([same[0], upper], "site", "would be one page, Same.html"),
        ([index], "site", "would be one page, index.html"),
        ([teaching], "site", "would be one page, instructors.html"),
        ([one, own], "site --slides", "would be one page, 00_start.slides.html"),
        ([one], ".", "is the folder you are in"),
        ([one], "d1", "has something that is no book"),
        ([one], "other", "has something that is no book"),
        ([one], "d1/same.ipynb", "has something that is no book"),
        ([one], str(lessons.folder()), "is the folder of the lessons themselves"),
    ]
    before = sorted(tmp_path.rglob("*"))
    for notebooks, out, message in calls:
        assert main(["book", *map(str, notebooks), "--out", *out.split()]) == 2
        said = capsys.readouterr().err
        assert message in said and said.count("\n") == 1, said
    assert sorted(tmp_path.rglob("*")) == before


def lay_litter(site: Path) -> dict[str, bytes]:
    """What a desktop and Jupyter leave in a folder that somebody looks into."""
    places = (
        ".DS_Store",
        "frames/.DS_Store",
        "Thumbs.db",
        "desktop.ini",
        ".ipynb_checkpoints/deep/index-checkpoint.html",
    )
    for place in places:
        (site / place).parent.mkdir(parents=True, exist_ok=True)
        (site / place).write_bytes(place.encode())
    return {place: place.encode() for place in places}


def test_what_a_desktop_and_jupyter_put_into_a_book_moves_into_the_next(shelf: Path, tmp_path: Path) -> None:
    site, command = (
        tmp_path / "site",
        ["book", "--stored", str(shelf / "00_start.ipynb"), "--out", str(tmp_path / "site")],
    )
    for prepare in (site.mkdir, lambda: None):  # first without a book, then with one
        prepare()
        left = lay_litter(site)
        for _ in range(2):
            assert main(command) == 0
            assert {place: (site / place).read_bytes() for place in left} == left
    for name in (".DS_Store ", ".ds_store", "frames/mine.txt", "checkpoints/a", "00_start.ipynb_checkpoints/a"):
        (site / name).parent.mkdir(exist_ok=True)
        (site / name).write_text("mine")
        assert main(command) == 2 and (site / name).read_text() == "mine"
        (site / name).unlink()
        if name.endswith("/a"):
            (site / name).parent.rmdir()
    (site / "Thumbs.db").unlink()
    (site / "Thumbs.db").mkdir()
    assert main(command) == 2, "a folder of that name is somebody's"
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_two_books_at_once_in_one_folder(shelf: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    pages = [shelf / "00_start.ipynb", shelf / "01_panel.ipynb"]
    command = [sys.executable, "-m", "invtutor", "book", "--stored", "--out", str(site)]
    processes = [subprocess.Popen([*command, str(page)], stderr=subprocess.PIPE, text=True) for page in pages]
    said = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert foreign(site, book.MANIFEST) is None, "it is whole"
    assert (site / "00_start.html").exists() != (site / "01_panel.html").exists(), "and one of the two"
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


@pytest.mark.parametrize("there", [True, False])
def test_stopped_while_it_is_put_in_place(
    shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    site, command = tmp_path / "site", ["book", "--stored", str(shelf / "00_start.ipynb")]
    if there:
        assert main([*command, str(shelf / "01_panel.ipynb"), "--out", str(site)]) == 0
        lay_litter(site)
    rename, before = os.rename, sorted(site.rglob("*"))

    def stops(source: Path, target: Path) -> None:
        if Path(source).name == "site" and Path(target) == site:
            monkeypatch.setattr(os, "rename", rename)
            raise KeyboardInterrupt
        rename(source, target)

    monkeypatch.setattr(os, "rename", stops)
    assert main([*command, "--out", str(site)]) == 130
    assert sorted(site.rglob("*")) == before, "the older book is back"
    assert main([*command, "--out", str(site)]) == 0
    assert (site / "00_start.html").exists() and not (site / "01_panel.html").exists()
