"""The course as a static site: a page for every lesson, to be read without a network and without a kernel.

Formulas become MathML, pictures keep their alt text. Lessons are executed for the book, so that every panel can leave
its pictures at all positions of its sliders (widgets/panel.py); in the page a few lines of JavaScript choose among
them.
"""

import base64
import html
import os
import re
import shutil
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from invtutor.course import lessons
from invtutor.course.kernel import USUAL, LessonError, Limits
from invtutor.course.lessons import Lesson
from invtutor.course.reading import read
from invtutor.course.runner import run_lesson
from invtutor.files import foreign, put_in_place, workplace

__all__ = ["write_book"]

HERE = Path(__file__).parent
STYLE = "book.css"
UNDESCRIBED = "picture without description"
SCRIPT = "book.js"
SLIDES = ".slides"  # in the name of their page, after its lesson's
SLIDES_SCRIPT = "slides.js"
INSTRUCTORS = "instructors"
MANIFEST = ".book.json"  # with the checksums of a book's files, by which it is known as ours


class _Page(NamedTuple):
    """A lesson in the table of contents."""

    file: str
    title: str
    minutes: int | None


def write_book(
    out: str | Path,
    chosen: Sequence[Lesson] = (),
    *,
    profile: str | None = "quick",
    slides: bool = False,
    limits: Limits = USUAL,
    quiet: bool = False,
) -> Path:
    """Write the site into the folder `out`, all of it or nothing, and return its first page.

    chosen: the lessons; none is all. profile: they are executed in it; None takes their stored outputs instead, which
    is quick and has no sliders. slides: of each lesson, too. limits, quiet: as for `run_lesson`. An older book in `out`
    is replaced as a whole. Raises ValueError, before anything runs, where `out` has anything else or two lessons have
    one name, and LessonError when a lesson fails.
    """
    out, every = Path(os.path.realpath(out)), list(chosen) or lessons.lessons()
    _refuse(out, every, slides)
    with workplace(out.parent, "a book") as scratch:
        site = scratch / "site"
        site.mkdir()
        notebooks = [lesson.path for lesson in every]
        if profile is not None:
            notebooks = [_executed(lesson, profile, scratch / "runs", limits, quiet) for lesson in every]
        _render(every, notebooks, site, profile, slides)
        put_in_place(site, out, MANIFEST)
    return out / "index.html"


def _refuse(out: Path, every: Sequence[Lesson], slides: bool) -> None:
    """Raises ValueError where a book of these lessons must not, or cannot, be written to `out`."""
    try:
        with suppress(FileNotFoundError):
            os.lstat(out)  # whether there can be this name
    except OSError as error:
        raise ValueError(f"Cannot write a book to {out}: {error.strerror}.") from None
    lessons.refuse_own_folder(out)
    if Path.cwd().is_relative_to(out):  # which would be replaced under the feet of the shell
        raise ValueError(f"{out} is the folder you are in; call from outside, or choose another folder.")
    if stranger := foreign(out, MANIFEST):
        what = f"something that is no book, or was changed since: {stranger}"
        raise ValueError(f"{out} has {what}; choose another folder.")
    pages = {"index": Path("the book's own first page"), INSTRUCTORS: Path("the instructors' page")}
    for lesson in every:
        for name in (lesson.path.stem, *([f"{lesson.path.stem}{SLIDES}"] if slides else [])):
            if (
                other := pages.setdefault(name.casefold(), lesson.path)
            ) is not lesson.path:  # some systems have one case
                raise ValueError(f"{lesson.path} and {other} would be one page, {name}.html; rename one of them.")


def _executed(lesson: Lesson, profile: str, folder: Path, limits: Limits, quiet: bool) -> Path:
    """The notebook of a lesson after a run in which its panels left their frames."""
    given, out = lesson.own({"profile": profile}), folder / lesson.path.stem
    try:
        return run_lesson(
            lesson, given, out=out, limits=limits, quiet=quiet, variables={"INVTUTOR_FRAMES": "1"}
        ).notebook
    except LessonError as error:
        raise LessonError(error.cause) from None  # the notebook goes away with the scratch


# ------------------------------------------------------------------------------------------------- pages


def _render(every: Sequence[Lesson], notebooks: Sequence[Path], site: Path, profile: str | None, slides: bool) -> None:
    from pygments.formatters import HtmlFormatter

    from invtutor.course.book import search
    from invtutor.course.book.live import mark_panels, write_live
    from invtutor.course.book.slides import in_slides
    from invtutor.course.book.stages import fill_stages
    from invtutor.widgets.panel import MIME

    exporter, projector = _exporter(), _exporter("slides.html.j2")
    projector.register_preprocessor(lambda notebook, resources: (in_slides(notebook), resources), enabled=True)
    pages = [_Page(f"{lesson.path.stem}.html", lesson.title, lesson.minutes) for lesson in every]
    shared: dict[str, Any] = {"pages": pages, "profile": profile, "frames": MIME, "undescribed": UNDESCRIBED}
    trains, covers, found = False, dict[str, dict[str, str]](), list[tuple[str, str, search.Section]]()

    def write(file: str, page: str) -> None:
        (site / file).write_text(page, encoding="utf-8", errors="replace")  # a file's name may hold half a sign

    def converted(by: Any, notebook: Any, resources: dict[str, Any]) -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about outputs that can only be shown alive
            try:
                return str(by.from_notebook_node(notebook, shared | resources)[0])
            except Exception as error:  # a converter's, about something unforeseen in a stranger's notebook
                name = resources["page"].file.removesuffix(".html")
                raise LessonError(f"{name}.ipynb cannot become a page: {type(error).__name__}: {error}") from None

    for number, path in enumerate(notebooks):
        notebook = read(path)
        if profile is None:
            fill_stages(notebook)
        _move_frames(notebook, number, site)
        if cover := _cover(notebook, f"covers/{number}.png", site):
            covers[pages[number].file] = cover
        found += [
            (quote(os.fsencode(pages[number].file)), pages[number].title, each) for each in search.sections(notebook)
        ]
        trains |= (here := mark_panels(notebook, every[number].path.stem))
        others: dict[str, Any] = {
            "page": pages[number],
            "live": here,
            "previous": pages[number - 1] if number else None,
            "next": pages[number + 1] if number + 1 < len(pages) else None,
            "sections": re.findall(r"^## +(.+)$", _prose(notebook), re.MULTILINE),
            "slides": f"{every[number].path.stem}{SLIDES}.html" if slides else "",
        }
        write(pages[number].file, converted(exporter, notebook, others))
        if slides:
            write(others["slides"], converted(projector, notebook, others))

    def rendered(template: str, **resources: Any) -> str:
        return str(exporter.environment.get_template(template).render(resources=shared | resources))

    teaching = _for_instructors(every, slides)
    write("index.html", rendered("contents.html.j2", live=trains, covers=covers, instructors=bool(teaching)))
    if teaching:
        page = _Page(f"{INSTRUCTORS}.html", "For instructors", None)
        write(page.file, rendered("instructors.html.j2", page=page, text=teaching))
    if slides:
        shutil.copy(HERE / SLIDES_SCRIPT, site)
    filters = exporter.environment.filters
    write(search.SCRIPT, search.script(found, filters["inline"], filters["anchor"]))
    if trains:
        write_live(site)
    colors = HtmlFormatter(style="default").get_style_defs(".highlight")
    write(STYLE, (HERE / STYLE).read_text(encoding="utf-8") + colors + "\n")
    shutil.copy(HERE / SCRIPT, site)


def _for_instructors(every: Sequence[Lesson], slides: bool) -> str:
    """The page for instructors that lies beside the lessons, in Markdown, with links to their slides; empty where there
    is none, or where it speaks of lessons that the book has not."""
    path, stems = every[0].path.with_name(f"{INSTRUCTORS}.md"), [lesson.path.stem for lesson in every]
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if not text or not {*re.findall(r"\]\((\w+)\.ipynb", text)} <= {*stems}:
        return ""
    links = [f"- [{lesson.title}]({stem}{SLIDES}.html)" for lesson, stem in zip(every, stems, strict=True) if slides]
    return "\n".join([text, *(["## Slides\n", *links] if slides else [])])


def _prose(notebook: Any) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def _move_frames(notebook: Any, lesson: int, site: Path) -> None:
    """Write the frames of a lesson's panels as files; their names stand in the notebook then.

    A panel that is not as ours are leaves only its words.
    """
    from invtutor.widgets.panel import MIME

    panels = [output["data"] for cell in notebook.cells for output in cell.get("outputs", ()) if "data" in output]
    for number, data in enumerate(found for found in panels if MIME in found):
        try:
            for place, frame in enumerate(data[MIME]["frames"]):
                frame["at"] = [int(position) for position in frame["at"]]
                frame["file"] = f"frames/{lesson}-{number}-{place}.png"
                picture = base64.b64decode(frame.pop("png"))
                (site / frame["file"]).parent.mkdir(exist_ok=True)
                (site / frame["file"]).write_bytes(picture)
            for control in data[MIME]["controls"]:
                control["label"], control["positions"][control["start"]]
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError):
            del data[MIME]


def _cover(notebook: Any, file: str, site: Path) -> dict[str, str]:
    """The picture of a lesson's cell with the tag `cover`, which carries its idea, written as a file: its name and alt
    text; empty where there is none."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()) if "cover" in cell.metadata.get("tags", ()) else ():
            alt = output.get("metadata", {}).get("image/png", {}).get("alt")
            with suppress(KeyError, TypeError, ValueError, AttributeError):  # not as ours are
                picture = base64.b64decode(output["data"]["image/png"])
                (site / file).parent.mkdir(exist_ok=True)
                (site / file).write_bytes(picture)
                return {"file": file, "alt": str(alt or UNDESCRIBED)}
    return {}


def _exporter(template: str = "index.html.j2") -> Any:
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    from invtutor.widgets.panel import MIME

    kinds = [MIME, "image/svg+xml", "image/png", "image/jpeg", "text/html", "text/markdown", "text/latex", "text/plain"]
    config = Config({"NbConvertBase": {"display_data_priority": kinds}})
    base = [str(HERE.parent)]
    exporter = HTMLExporter(
        config=config, template_name=HERE.name, template_file=template, extra_template_basedirs=base
    )
    clean = _cleaner()

    def prose(text: str, attachments: Mapping[str, Any] | None = None) -> str:
        return str(clean(_markdown(attachments)(text)))

    exporter.register_filter("prose", prose)
    exporter.register_filter("clean", clean)
    exporter.register_filter("anchor", _anchor)
    exporter.register_filter("inline", lambda text: re.sub("^<h1[^>]*>|</h1>$", "", prose(f"# {text}").strip()))
    exporter.register_filter("address", lambda file: quote(os.fsencode(file)))
    exporter.register_filter("base64", lambda text: base64.b64encode(text.encode()).decode())
    return exporter


_TAGS = re.findall(
    r"\w+",
    """
    a abbr b blockquote br caption code col colgroup dd del details div dl dt em figcaption figure h1 h2 h3
    h4 h5 h6 hr i img ins kbd li mark ol p pre q s samp small span strong sub summary sup table tbody td
    tfoot th thead tr tt u ul var math maction menclose merror mfrac mi mmultiscripts mn mo mover mpadded
    mphantom mprescripts mroot mrow ms mspace msqrt mstyle msub msubsup msup mtable mtd mtext mtr munder
    munderover none semantics
    """,
)
_ATTRIBUTES = re.findall(
    r"\w+",
    """
    accent accentunder align alt class colspan columnalign columnlines columnspacing depth dir display
    displaystyle fence form headers height href id lang linethickness lspace mathcolor mathsize mathvariant
    maxsize minsize movablelimits notation open rowlines rowspacing rowspan rspace scope scriptlevel
    separator separators span src start stretchy style symmetric title voffset width xmlns
    """,
)


def _cleaner() -> Any:
    """HTML without what could run, look or call home in a reader's browser: a stranger's may hold anything."""
    from bleach import Cleaner
    from bleach.css_sanitizer import CSSSanitizer

    def fine(tag: str, name: str, value: str) -> bool:
        embedded = value.strip().lower().startswith("data:")
        return name in _ATTRIBUTES and (not embedded or (tag == "img" and value.startswith("data:image/")))

    cleaner = Cleaner(
        tags=_TAGS,
        attributes=fine,
        protocols=["http", "https", "mailto", "data"],
        css_sanitizer=CSSSanitizer(allowed_css_properties=["text-align"]),
        strip=True,
    )
    words = re.compile(r"<(script|style)\b.*?(</\1\s*>|$)", re.DOTALL | re.IGNORECASE)  # of tags that go, these go, too
    image = f'<img alt="{UNDESCRIBED}" '

    def clean(text: str) -> str:
        text = re.sub(r"<img (?![^>]*alt=)", image, cleaner.clean(words.sub("", text)))
        return re.sub(r"<th\b([^>]*)>\s*</th>", r"<td\1></td>", text)  # an empty corner is no heading

    return clean


def _anchor(heading: str) -> str:
    """The name in addresses of a section with this heading, in HTML."""
    return re.sub(r"\W+", "-", html.unescape(re.sub("<[^>]+>", "", heading))).strip("-").lower()


def _markdown(attachments: Mapping[str, Any] | None = None) -> Any:
    """Markdown to HTML: formulas as MathML, links to lessons as links to their pages, sections with an anchor."""
    from nbconvert.filters.markdown_mistune import InvalidNotebook, IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def inline_math(self, body: str) -> str:
            return _formula(body)

        def block_math(self, body: str) -> str:
            return _formula(re.sub(r"\\(min|max)_", r"\\\1\\limits_", body), "block")

        def heading(self, text: str, level: int, **attrs: Any) -> str:
            return f'<h{level} id="{_anchor(text)}">{text}</h{level}>\n'

        def link(self, text: str, url: str, title: str | None = None) -> str:
            return str(super().link(text, re.sub(r"\.ipynb(?=#|$)", ".html", url), title))

        def image(self, text: str, url: str, title: str | None = None) -> str:
            try:
                return str(super().image(text or UNDESCRIBED, url, title))
            except (InvalidNotebook, LookupError, TypeError, AttributeError):  # none of that name, or a damaged one
                return f"<em>(a picture that is missing: {html.escape(text or url)})</em>"

    return MarkdownWithMath(renderer=Renderer(escape=False, attachments=dict(attachments or {}))).render


def _formula(tex: str, display: str = "inline") -> str:
    from latex2mathml.converter import convert

    try:
        return str(convert(tex.replace(r"\|", "‖"), display=display))  # which the converter knows, but not after \Big
    except Exception:  # the converter raises this and that where the formula is malformed
        return f"<code>{html.escape(tex)}</code>"
