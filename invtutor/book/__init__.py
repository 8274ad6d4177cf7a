"""The course as a static site: a page for every lesson, to be read without a network and without a kernel.

Formulas become MathML, pictures keep their alt text. Lessons are executed for the book, so that every panel can leave
its pictures at all positions of its sliders (widgets/frames.py); in the page a few lines of JavaScript choose among
them.
"""

import base64
import contextlib
import html
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from invtutor import lessons
from invtutor.files import foreign, own_folder, put_in_place, same
from invtutor.lessons import Lesson

__all__ = ["build"]

HERE = Path(__file__).parent
STYLE = "book.css"
SCRIPT = "book.js"
MANIFEST = ".book.json"  # with the checksums of a book's files, by which it is known as ours


class _Page(NamedTuple):
    """A lesson in the table of contents."""

    file: str
    title: str
    minutes: int | None


def build(
    out: str | Path,
    chosen: Sequence[Lesson] = (),
    *,
    profile: str | None = "quick",
    limits: lessons.Limits = lessons.USUAL,
    quiet: bool = False,
) -> Path:
    """Write the site into the folder `out`, all of it or nothing, and return its first page.

    chosen: the lessons; none is all. profile: they are executed in it; None takes their stored outputs instead, which
    is quick and has no sliders. limits, quiet: as for `lessons.execute`. An older book in `out` is replaced as
    a whole. Raises ValueError, before anything runs, where `out` has anything else or two lessons have one name, and
    LessonError when a lesson fails.
    """
    out, every = Path(out).resolve(), list(chosen) or lessons.lessons()
    if refusal := _refusal(out, every):
        raise ValueError(refusal)
    with contextlib.ExitStack() as stack:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            scratch = stack.enter_context(own_folder(out.parent))
        except OSError as error:
            raise ValueError(f"Cannot write a book to {out}: {error.strerror}.") from None
        site = scratch / "site"
        site.mkdir()
        notebooks = [lesson.path for lesson in every]
        if profile is not None:
            notebooks = list(_executed(every, profile, scratch / "runs", limits, quiet))
        _render(every, notebooks, site, profile)
        put_in_place(site, out, MANIFEST)
    return out / "index.html"


def _refusal(out: Path, every: Sequence[Lesson]) -> str:
    """What forbids to write a book of these lessons to `out`; empty where nothing does."""
    if same(out, lessons.folder()):
        return f"{out} is the folder of the lessons themselves; choose another folder."
    if Path.cwd().is_relative_to(out):  # which would be replaced under the feet of the shell
        return f"{out} is the folder you are in; call from outside, or choose another folder."
    if stranger := foreign(out, MANIFEST):
        return f"{out} has something that is no book, or was changed since: {stranger}; choose another folder."
    paths: dict[str, Path] = {"index": Path("the book's own first page")}
    for lesson in every:  # as on systems where upper and lower case are one
        if (other := paths.setdefault(lesson.name.casefold(), lesson.path)) is not lesson.path:
            return f"{lesson.path} and {other} would be one page, {lesson.name}.html; rename one of them."
    return ""


def _executed(
    every: Sequence[Lesson], profile: str, folder: Path, limits: lessons.Limits, quiet: bool
) -> Iterator[Path]:
    """The notebook of each lesson after a run in which its panels left their frames."""
    with _environment("INVTUTOR_FRAMES", "1"):  # the kernels inherit it
        for lesson in every:
            given = {"profile": profile} if any(p.name == "profile" for p in lesson.parameters) else {}
            yield lessons.execute(lesson, given, out=folder / lesson.name, limits=limits, quiet=quiet).notebook


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


# ------------------------------------------------------------------------------------------------- pages


def _render(every: Sequence[Lesson], notebooks: Sequence[Path], site: Path, profile: str | None) -> None:
    import nbformat
    from pygments.formatters import HtmlFormatter

    from invtutor.widgets.frames import MIME

    exporter = _exporter()
    pages = [_Page(f"{lesson.name}.html", lesson.title, lesson.minutes) for lesson in every]
    shared = {"pages": pages, "profile": profile, "frames": MIME}
    for number, (lesson, path) in enumerate(zip(every, notebooks, strict=True)):
        notebook = nbformat.read(path, as_version=4)
        _move_frames(notebook, lesson, site)
        beside = {
            "previous": pages[number - 1] if number else None,
            "next": pages[number + 1] if number + 1 < len(pages) else None,
            "sections": re.findall(r"^## +(.+)$", _prose(notebook), re.MULTILINE),
        }
        body, _ = exporter.from_notebook_node(notebook, {"page": pages[number], **shared, **beside})
        (site / pages[number].file).write_text(body, encoding="utf-8")
    contents = exporter.environment.get_template("contents.html.j2").render(resources=shared)
    (site / "index.html").write_text(contents, encoding="utf-8")
    colors = HtmlFormatter(style="default").get_style_defs(".highlight")
    (site / STYLE).write_text((HERE / STYLE).read_text(encoding="utf-8") + colors + "\n", encoding="utf-8")
    shutil.copy(HERE / SCRIPT, site)


def _prose(notebook: Any) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def _move_frames(notebook: Any, lesson: Lesson, site: Path) -> None:
    """Write the frames of the lesson's panels as files; their names stand in the notebook then."""
    from invtutor.widgets.frames import MIME

    data = (output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", ()))
    for number, panel in enumerate(found[MIME] for found in data if MIME in found):
        for frame in panel["frames"]:
            frame["file"] = f"frames/{lesson.name}-{number}-{'-'.join(map(str, frame['at']))}.png"
            (site / frame["file"]).parent.mkdir(exist_ok=True)
            (site / frame["file"]).write_bytes(base64.b64decode(frame.pop("png")))


def _exporter() -> Any:
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    from invtutor.widgets.frames import MIME

    kinds = [MIME, "image/png", "text/markdown", "text/plain"]
    config = Config({"NbConvertBase": {"display_data_priority": kinds}})
    exporter = HTMLExporter(config=config, template_name=HERE.name, extra_template_basedirs=[str(HERE.parent)])
    markdown = _markdown()
    exporter.register_filter("markdown2html", markdown)
    exporter.register_filter("anchor", _anchor)
    exporter.register_filter("inline", lambda text: re.sub("^<h1[^>]*>|</h1>$", "", markdown(f"# {text}").strip()))
    return exporter


def _anchor(heading: str) -> str:
    """The name in addresses of a section with this heading, in HTML."""
    return re.sub(r"\W+", "-", html.unescape(re.sub("<[^>]+>", "", heading))).strip("-").lower()


def _markdown() -> Any:
    """Markdown to HTML: formulas as MathML, links to lessons as links to their pages, sections with an anchor."""
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def inline_math(self, body: str) -> str:
            return _formula(body)

        def block_math(self, body: str) -> str:
            return _formula(re.sub(r"\\(min|max)_", r"\\\1\\limits_", body), "block")

        def heading(self, text: str, level: int, **attrs: Any) -> str:
            return f'<h{level} id="{_anchor(text)}">{text}</h{level}>\n'

        def link(self, text: str, url: str, title: str | None = None) -> str:
            return str(super().link(text, re.sub(r"\.ipynb(?=#|$)", ".html", url), title))

    return MarkdownWithMath(renderer=Renderer(escape=False)).render


def _formula(tex: str, display: str = "inline") -> str:
    from latex2mathml.converter import convert

    return str(convert(tex.replace(r"\|", "‖"), display=display))  # which the converter knows, but not after \Big
