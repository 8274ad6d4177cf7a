"""Every lesson in a real browser: all cells run, and every control is reached and moved by keyboard."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from accessibility import barriers

from invtutor.course import book, lessons

PATIENCE = 120  # seconds for anything to happen: nothing here is timed, and the machine may be busy
LATER = {"Steps per picture"}  # acts on a training under way
STEPS = 6  # presses of a key within which a picture must change: somewhere a curve may be flat

READY = """async () => {
    const {context} = jupyterapp.shell.currentWidget;
    await context.ready;
    await context.sessionContext.ready;
    await context.sessionContext.session.kernel.info;
    return true;
}"""
RUN = """() => {
    window.finished = false;
    jupyterapp.commands.execute('notebook:run-all-cells').finally(() => { window.finished = true; });
}"""
ERRORS = """() => jupyterapp.shell.currentWidget.content.widgets
    .filter(cell => cell.model.type === 'code').flatMap(cell => cell.model.outputs.toJSON())
    .filter(output => output.output_type === 'error').map(output => output.ename + ': ' + output.evalue)"""
PANEL = ".jp-OutputArea-output:has(.jupyter-widgets)"
CONTROL = ":is(.noUi-handle, button, select, input, textarea)"
KEYS = {  # there and back; JupyterLab takes arrow keys for itself, but not from a menu that is open
    ".noUi-handle": ("ArrowRight", "ArrowLeft"),
    "select": ("Space ArrowDown Enter", "Space ArrowUp Enter"),
    "input[type=checkbox]": ("Space",),
    "button": ("Enter",),
}
# What a panel shows: the bytes of its pictures (a picture's address changes with every frame, even with an equal one),
# and its words, those of its controls left out.
SHOWN = """async panel => {
    const pictures = [];
    for (const image of panel.querySelectorAll('img')) {
        const bytes = await (await fetch(image.src)).arrayBuffer();
        pictures.push(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)).join());
    }
    const words = [...panel.querySelectorAll('.widget-html-content')].map(part => part.innerText);
    return {picture: pictures.join(), text: words.join('\\n')};
}"""
# The words beside a control, or those on a button, as far as they can be seen.
LABEL = """control => {
    const words = control.matches('button') ? control
        : control.closest(':has(> .widget-label)')?.querySelector('.widget-label');
    const box = words?.getBoundingClientRect();
    return box?.width && box.height ? words.innerText.trim() : '';
}"""
# In words, since valuenow is rounded to one decimal.
STATE = "control => [control.value, control.checked, control.getAttribute('aria-valuetext')].join()"
# Words that are cut off, also those that a menu has yet to show, and parts that reach out of the panel on the right by
# more than a widget's margin.
CLIPPED = """panel => {
    const widest = menu => {
        const pen = document.createElement('canvas').getContext('2d');
        pen.font = getComputedStyle(menu).font;
        return Math.max(...[...menu.options].map(option => pen.measureText(option.text).width)) + 24;  // the arrow
    };
    return [...panel.querySelectorAll('.widget-label, button, select, .widget-readout, .widget-html-content, img')]
    .filter(part => part.checkVisibility({visibilityProperty: true}))
    .filter(part => part.scrollWidth > part.clientWidth + 1
        || (part.matches('select') && widest(part) > part.clientWidth)
        || part.getBoundingClientRect().right > panel.getBoundingClientRect().right + 4)
    .map(part => part.innerText || part.tagName);
}"""
# Parts of a lesson that reach out of the page, or hold more than they show.
CUT_OFF = """() => [...document.querySelectorAll('main :is(p, pre, img, table, h2, math)')]
    .filter(part => part.checkVisibility())
    .filter(part => part.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .map(part => `${part.tagName} ${part.innerText.slice(0, 60)}`)"""
FOCUS = """panel => {
    const {content} = jupyterapp.shell.currentWidget;
    content.activeCellIndex = content.widgets.findIndex(cell => cell.node.contains(panel));
    content.mode = 'command';
    content.activeCell.node.focus();
}"""
LESSONS = sorted(lessons.folder().glob("*.ipynb"))


@pytest.fixture
def opened(page: Any, complaints: list[str], lab: Callable[[str], str], request: Any) -> Iterator[Any]:
    """A page with a lesson whose cells have all been run."""
    page.goto(lab(request.param.name))
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    page.wait_for_function("window.jupyterapp?.shell?.currentWidget?.context")
    page.wait_for_function(READY)
    page.evaluate(RUN)
    page.wait_for_function("window.finished", timeout=5 * PATIENCE * 1000)
    yield page
    page.evaluate("jupyterapp.serviceManager.sessions.shutdownAll()")  # a kernel would outlive its page


@pytest.mark.parametrize("opened", LESSONS, ids=lambda path: path.stem, indirect=True)
def test_every_control_of_a_lesson(opened: Any, complaints: list[str], request: Any) -> None:
    assert opened.evaluate(ERRORS) == []
    for panel in opened.locator(PANEL).all():
        controls = panel.locator(CONTROL).all()
        assert not_reached_by_tab(panel, [control for control in controls if control.is_visible()]) == []
        for control in controls:
            if control.is_visible():  # a method has not every knob
                operate(panel, control)
    for width in (1280, 800):
        opened.set_viewport_size({"width": width, "height": 900})
        for panel in opened.locator(PANEL).all():
            assert panel.evaluate(CLIPPED) == []
        if folder := request.config.getoption("--screenshots", default=None):
            photograph(opened, folder / f"{request.node.callspec.id}-{width}")
    assert complaints == []


@pytest.mark.parametrize("opened", [Path("live.ipynb")], ids=str, indirect=True)
def test_a_training_is_steered_while_it_runs(opened: Any, complaints: list[str]) -> None:
    panel = opened.locator(PANEL)
    assert opened.locator(".jp-OutputArea img:visible").count() == 1, "the panel, and not its still picture too"
    control = {it.evaluate(LABEL): it for it in panel.locator(CONTROL).all()}

    def shown() -> tuple[int, str]:
        words = panel.evaluate(SHOWN)["text"]
        return int(re.search(r"Step ([\d,]+)", words)[1].replace(",", "")), re.search(r"λ = ([\d,.]+),", words)[1]

    press(control["Steps per picture"], "Home")
    press(control["Play"], "Enter")
    wait(lambda: shown()[0] > 2, "it does not train")
    step, weight = shown()
    press(control["Penalty weight λ"], "ArrowRight")
    wait(lambda: shown()[1] != weight, "the weight is not turned")
    turned, _ = shown()
    wait(lambda: shown()[0] > turned, "it does not go on")
    assert turned >= step, "it began anew"
    press(control["Pause"], "Enter")
    wait(lambda: rests(panel), "what was paused goes on")
    assert opened.evaluate(ERRORS) == complaints == []


def test_the_book_needs_no_network_and_no_kernel(page: Any, complaints: list[str], tmp_path: Path) -> None:
    book.write_book(tmp_path, [lessons.find("00")], profile="smoke", quiet=True)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.context.set_offline(True)
    page.goto((tmp_path / "index.html").as_uri())
    page.get_by_role("link", name="00 ·").press("Enter")
    slider = page.locator(".panel").get_by_role("slider").first
    seen = {}
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "Home"):
        slider.press(key)
        (figure,) = (figure for figure in page.locator(".panel figure").all() if figure.is_visible())
        picture, words = figure.locator("img"), figure.inner_text()
        assert slider.get_attribute("aria-valuetext") in words
        assert picture.evaluate("it => it.complete && it.naturalWidth") > 100
        seen[words] = (tmp_path / picture.get_attribute("src")).read_bytes()
    assert len(seen) == len(set(seen.values())) == 3
    assert page.locator("math").first.bounding_box()["width"] > 5
    for width in (1280, 800):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert asked and all(address.startswith(("file:", "data:", "blob:")) for address in asked)
    assert barriers(page) == complaints == []


def not_reached_by_tab(panel: Any, controls: list[Any]) -> list[str]:
    """The labels of those controls that the Tab key does not come by, on its way from the panel's cell."""
    panel.evaluate(FOCUS)
    missing = dict(enumerate(controls))
    for _ in range(2 * len(controls)):  # a slider's number can be typed, too, and takes a stop of its own
        panel.page.keyboard.press("Tab")
        missing = {i: it for i, it in missing.items() if not it.evaluate("it => it === document.activeElement")}
    return [control.evaluate(LABEL) for control in missing.values()]


def operate(panel: Any, control: Any) -> None:
    """Use a control by keyboard and wait for what it does.

    A slider or a menu must change the numbers and the picture, and must not make the page jump. In a panel that has
    buttons, which do one thing after the other, either is enough; and a button may change any word of the panel.
    """
    ((there, *back),) = (keys for kind, keys in KEYS.items() if control.evaluate(f"it => it.matches('{kind}')"))
    label, height, before = control.evaluate(LABEL), panel.bounding_box()["height"], panel.evaluate(SHOWN)
    assert label, f"no label can be seen on {control.evaluate('it => it.outerHTML')}"
    if not back:
        words = panel.inner_text()
        press(control, there)
        if label == "Pause":
            wait(lambda: rests(panel), "what was paused goes on")
        else:
            wait(lambda: panel.evaluate(SHOWN) != before or panel.inner_text() != words, f"{label!r} changes nothing")
        return
    needed = 1 if panel.locator("button").count() else 2
    for _ in range(STEPS):
        state = control.evaluate(STATE)
        press(control, there)
        if control.evaluate(STATE) == state:  # it stood at its end
            there, *back = *back, there
            press(control, there)
        if label in LATER:
            return
        if wait(lambda: changes(panel, before) >= needed, patience=PATIENCE / STEPS):
            assert abs(panel.bounding_box()["height"] - height) < 1, f"{label!r} makes the page jump"
            return
    raise AssertionError(f"{label!r} changes {changes(panel, before)} of numbers and picture, not {needed}")


def press(control: Any, keys: str) -> None:
    control.focus()
    for key in keys.split():
        control.page.keyboard.press(key)
        control.page.wait_for_timeout(100)


def changes(panel: Any, before: dict[str, str]) -> int:
    """How many parts of what a panel shows, text and picture, are not as before."""
    return sum(shown != before[part] for part, shown in panel.evaluate(SHOWN).items())


def rests(panel: Any) -> bool:
    before = panel.evaluate(SHOWN)
    panel.page.wait_for_timeout(1000)
    return changes(panel, before) == 0


def wait(happened: Callable[[], bool], complaint: str = "", patience: float = PATIENCE) -> bool:
    end = time.monotonic() + patience
    while not (found := happened()) and time.monotonic() < end:
        time.sleep(0.1)
    assert found or not complaint, complaint
    return found


def photograph(page: Any, path: Path) -> None:
    """The lesson from top to bottom, in as many pictures as it takes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    page.set_viewport_size({"width": page.viewport_size["width"], "height": 2000})
    scroller = page.locator(".jp-WindowedPanel-outer")
    seen, height, whole = scroller.evaluate("it => [0, it.clientHeight, it.scrollHeight]")
    for number in range(-(-whole // height)):
        scroller.evaluate(f"it => it.scrollTo(0, {seen + number * height})")
        page.wait_for_timeout(500)
        page.screenshot(path=f"{path}-{number:02d}.png")


def test_a_lesson_is_printed_whole_and_scrolled_by_keyboard(page: Any, complaints: list[str], tmp_path: Path) -> None:
    """Without what is of use on a screen alone, in whatever width: nothing is cut off on the right. On a screen what is
    too wide is scrolled, by keyboard as well."""
    book.write_book(tmp_path / "site", [lessons.find("02")], profile=None, slides=True, quiet=True)
    page.goto((tmp_path / "site" / "02_erm.html").as_uri())
    scrolled = "[...document.querySelectorAll('main :is(pre, table, math)')].filter(x => x.scrollWidth > x.clientWidth)"
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(f"{scrolled}.every(part => part.tabIndex === 0)")
    assert page.evaluate(f"{scrolled}.length") > 0
    page.emulate_media(media="print")
    for width in (700, 1280):  # of A4's text, and that at which the contents stand beside
        page.set_viewport_size({"width": width, "height": 1000})
        assert page.locator(".contents").is_hidden() and page.locator(".beside").is_hidden()
        assert page.evaluate(CUT_OFF) == []
    printed = page.pdf(format="A4", path=tmp_path / "02.pdf")
    assert printed.startswith(b"%PDF") and len(re.findall(rb"/Type\s*/Page\b", printed)) > 5
    slides_are_turned(page, (tmp_path / "site" / "02_erm.slides.html").as_uri())
    assert complaints == []


# A page moves while its pictures come: what a key found is noted in its own turn, before the page's listener and after.
TURNS = """() => {
    const slides = [...document.querySelectorAll('.slide')];
    const seen = () => slides.findLastIndex(slide => slide.getBoundingClientRect().top < 2);
    window.turns = [];
    const rest = slide => slide.getBoundingClientRect().bottom - innerHeight;
    addEventListener('keydown', () => turns.push([seen(), rest(slides[seen()])]), true);
    addEventListener('keydown', () => turns.at(-1).push(seen()));
}"""


def slides_are_turned(page: Any, address: str) -> None:
    """By keys, and nothing is passed over: of a slide that is higher than the window forward shows the rest first."""
    page.emulate_media(media="screen")
    for width, height in ((1280, 720), (360, 640)):
        page.set_viewport_size({"width": width, "height": height})
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        count, place = page.locator(".slide").count(), 0
        page.evaluate(TURNS)
        for turn in range(6 * count):
            page.keyboard.press("PageDown" if turn % 2 else "ArrowRight")
            before, rest, place = page.evaluate("turns.at(-1)")
            assert place == before + (rest <= 2), "not one slide further, or before its end was seen"
            if place == count - 1:
                break
        assert place == count - 1
        page.keyboard.press("PageUp")
        assert page.evaluate("turns.at(-1)[2]") == count - 2
    pages = len(re.findall(rb"/Type\s*/Page\b", page.pdf(prefer_css_page_size=True)))
    assert count <= pages < 1.5 * count, "a slide is a page"
    assert barriers(page) == []
