"""Notebooks as instructors collect them: renamed, damaged, saved by other systems, in other languages, out of hand."""

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nbformat
import psutil  # type: ignore[import-untyped]
import pytest

from invtutor.cli import main
from invtutor.course.kernel import LessonError, Limits
from invtutor.course.lessons import find, resolve
from invtutor.course.reading import LARGEST, read
from invtutor.course.runner import run_lesson
from invtutor.widgets.panel import MIME

BEGIN = """\
import json, pathlib
def begin(name, **parameters):
    record = {"lesson": name, "parameters": parameters, "headline": f"seed {parameters['seed']}"}
    _ = pathlib.Path(parameters["out_dir"], "result.json").write_text(json.dumps(record))"""
PARAMETERS = 'seed: int = 3  # first seed\nout_dir: str = ""'


def cell(source: Any, kind: str = "code", **more: Any) -> dict[str, Any]:
    code = {"outputs": [], "execution_count": None} if kind == "code" else {}
    return {"cell_type": kind, "metadata": {}, "source": source, **code, **more}


def tagged(source: str = PARAMETERS, **more: Any) -> dict[str, Any]:
    return cell(source, **{"metadata": {"tags": ["parameters"]}, **more})


def notebook(*cells: Any, **more: Any) -> dict[str, Any]:
    """A lesson as JSON, `cells` in place of its own; None among `more` leaves a key out."""
    kept = cells or (
        cell("# A lesson", "markdown"),
        tagged(),
        cell(BEGIN),
        cell("begin('00_x', seed=seed, out_dir=out_dir)"),
    )
    whole = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": list(kept), **more}
    return {key: value for key, value in whole.items() if value is not None}


def write(path: Path, content: object) -> Path:
    """The content as a file: bytes as they are, all else as JSON."""
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def run(path: Path, *options: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit status and what was said on stderr, which is nothing or one line."""
    status = main(["run", str(path), "--quiet", "--out", str(path.parent / "out"), *options])
    said = capsys.readouterr().err
    assert "Traceback" not in said and said.count("\n") == bool(status) and said[:-1].isprintable(), said
    return status, said


# ------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    "name",
    [
        "00_x (1)",
        "alice_00_x",
        "00_x-Copy1",
        "Übung 1",
        'it\'s "mine"',
        "-p",
        "#1?",
        "100%",
        ".hidden",
        "a.b",
        "x" * 200,
    ],
)
def test_a_copy_has_the_lessons_name_whatever_its_file_is_called(tmp_path: Path, name: str) -> None:
    found = find(write(tmp_path / f"{name}.ipynb", notebook()))
    assert (found.name, found.path.stem) == ("00_x", name)
    assert [tuple(parameter) for parameter in found.parameters] == [
        ("seed", "int", 3, "first seed"), ("out_dir", "str", "", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("lesson = begin('02_erm', seed=seed)", "02_erm"),
        ("%matplotlib inline\nif True:\n    begin(name='02_erm')", "02_erm"),
        ("from invtutor.course import notebook\nnotebook.begin(\n    '02_erm'\n)", "02_erm"),
        ("begin(NAME)", "file"),
        ("'begin(\"02_erm\")'", "file"),
        ("# begin('02_erm')", "file"),
        ("match.begin('02_erm')", "file"),
        ("begin('02_erm'", "file"),
        ("begin = 1", "file"),
    ],
)
def test_the_name_is_read_from_begin_and_else_from_the_file(tmp_path: Path, source: str, name: str) -> None:
    assert find(write(tmp_path / "file.ipynb", notebook(cell(source)))).name == name


def test_renamed_copies_run_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("00_x (1)", "alice_00_x"):
        assert main(["run", str(write(tmp_path / f"{name}.ipynb", notebook())), "--quiet", "-p", "seed=7"]) == 0
        out = tmp_path / "results" / name
        assert sorted(os.listdir(out)) == [f"{name}.ipynb", "result.json"]
        record = json.loads((out / "result.json").read_text())
        assert (record["lesson"], record["headline"]) == ("00_x", "seed 7")
        nbformat.validate(nbformat.read(out / f"{name}.ipynb", as_version=4))
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "00_x",
        "Notebook",
        "alice_00_x",
        "Notebook",
    ]


# ------------------------------------------------------------------------------------------------- files


def version_3(**more: Any) -> dict[str, Any]:
    code = {"cell_type": "code", "language": "python", "metadata": {}, "outputs": [], "input": "x = 1", **more}
    heading = {"cell_type": "heading", "level": 1, "metadata": {}, "source": "Old"}
    return {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [{"cells": [heading, code]}]}


TEXT = json.dumps(notebook(cell("print('ä')", "code"), tagged()), ensure_ascii=False)
WIDGETS = {"application/vnd.jupyter.widget-state+json": {"state": {"a": {"model_name": "X"}}, "version_major": 2}}
OUTPUTS = ("stream", "error", "display_data", "execute_result", "nothing")
READ = {
    "with a byte order mark": b"\xef\xbb\xbf" + TEXT.encode(),
    "in UTF-16": TEXT.encode("utf-16"),
    "with Windows' line ends": json.dumps(notebook(), indent=1).replace("\n", "\r\n").encode(),
    "with other line ends in cells": notebook(tagged("seed = 1\r\nprofile = 'a'\r\n")),
    "nbformat 3": version_3(),
    **{f"nbformat 4.{minor}": notebook(nbformat_minor=minor) for minor in (0, 1, 2, 3, 4, 5, 6)},
    "without a minor version": notebook(nbformat_minor=None),
    "without metadata": notebook(metadata=None),
    "with metadata of another kind": notebook(metadata=[1]),
    "without cells": notebook(cells=[]),
    "with lines as a list": notebook(tagged(["seed = 1\n", "x = 2"])),  # type: ignore[arg-type]
    "with tags of another kind": notebook(cell("seed = 1", metadata={"tags": "parameters"})),
    "without cells' metadata": notebook(cell("x", metadata=None)),
    "with ids twice": notebook(cell("x", id="a"), cell("x", id="a"), cell("x", id="copy-2"), cell("x", id="ä b")),
    "without outputs": notebook({"cell_type": "code", "source": "x"}),
    "with damaged outputs": notebook(cell("x", outputs=[None, {}, *({"output_type": kind} for kind in OUTPUTS)])),
    "with damaged cells' metadata": notebook(
        cell("x", metadata={"collapsed": "yes", "tags": [1], "name": 5, "a": [2]})
    ),
    "with keys that are none of ours": notebook(cell("x", prompt_number=3, collapsed=True), signature="x"),
    "with widget state": notebook(metadata={"widgets": WIDGETS, "kernelspec": None}),
    "with half a sign": b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": "x = \'\\ud800\'"}]}',
    "of a kernel that is elsewhere": notebook(metadata={"kernelspec": {"name": "conda-env-x", "language": "python"}}),
    "of a kernel without a language": notebook(metadata={"kernelspec": {"name": "x"}, "language_info": {}}),
    "of IPython": notebook(metadata={"language_info": {"name": "ipython"}}),
}


@pytest.mark.parametrize("kind", READ)
def test_a_notebook_is_read_whoever_saved_it(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.ipynb", READ[kind])
    find(path)
    content = read(path)
    nbformat.validate(content)
    assert content.nbformat == 4 and "widgets" not in content.metadata
    nbformat.v4.writes(content).encode()
    assert capsys.readouterr() == ("", "")


def test_texts_survive_their_encoding(tmp_path: Path) -> None:
    for kind in ("with a byte order mark", "in UTF-16"):
        assert read(write(tmp_path / "a.ipynb", READ[kind])).cells[0].source == "print('ä')"
    assert read(write(tmp_path / "a.ipynb", version_3())).cells[0].source == "# Old"


REFUSED = {
    "empty": (b"", "it is empty"),
    "blank": (b" \n", "it is empty"),
    "half a file": (TEXT.encode()[:100], "it is no JSON: "),
    "a web page": (b"<!DOCTYPE html>", "it is no JSON: Expecting value: line 1 column 1"),
    "a picture": (b"\x89PNG\r\n\x1a\n", "it is no UTF-8: byte 0x89 at 0"),
    "Latin-1": (TEXT.encode("latin-1"), "it is no UTF-8: byte 0xe4 at "),
    "zeros": (b"\0" * 99, "it is no "),
    "a merge's conflict": (b"<<<<<<< HEAD\n" + TEXT.encode(), "it is no JSON: "),
    "deep": (b"[" * 100_000, "it is no JSON: "),
    **{f"JSON {text}": (text.encode(), "it is JSON, but no notebook") for text in ("[]", "{}", "5", "null", '"x"')},
    "a number as text": (notebook(nbformat="4"), "it is JSON, but no notebook"),
    "nbformat 5": (notebook(nbformat=5), "its format, nbformat 5, is not known"),
    "nbformat 0": (notebook(nbformat=0), "its format, nbformat 0, is not known"),
    "cells that are a number": (notebook(cells=5), "cannot be read as a notebook: "),
    "cells of another kind": (notebook(cell("x", "chart")), "its cell 1 is neither code nor text"),
    "cells that are texts": (notebook(cell("x"), "print(1)"), "its cell 2 is neither code nor text"),
    "nbformat 3, damaged": ({"nbformat": 3, "worksheets": [5]}, "cannot be read as a notebook: "),
    "R": (notebook(metadata={"kernelspec": {"name": "ir", "language": "R"}}), "its language is R, not Python"),
    "Julia": (notebook(metadata={"language_info": {"name": "julia"}}), "its language is julia, not Python"),
    "Ruby, long ago": (version_3(language="ruby"), "its language is ruby, not Python"),
    "a syntax error": (notebook(tagged("seed = 0\nx = = 1")), "its parameters cell, line 2: invalid syntax"),
    "a null byte": (notebook(tagged("seed = 0\0")), "its parameters cell"),
    "parameters twice": (
        notebook(tagged("seed = 0"), cell("1"), tagged("seed = 0\nx = 1")),
        "more than one cell tagged `parameters`: 1 `seed = 0` and 3 `seed = 0`",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_notebook_is_refused_in_one_line(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    content, message = REFUSED[kind]
    status, said = run(write(tmp_path / "a (1).ipynb", content), "-p", "seed=7", capsys=capsys)
    assert status == 2 and message in said and "a (1).ipynb" in said, said
    assert os.listdir(tmp_path) == ["a (1).ipynb"]


def test_a_huge_notebook_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.ipynb", notebook())
    os.truncate(path, LARGEST + 1)
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail("was read"))
    with pytest.raises(ValueError, match="it has 100 MB, of 100 MB at most"):
        find(path)


# ------------------------------------------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    ("line", "parameter"),
    [
        ("seed: int = 0  # first seed", ("seed", "int", 0, "first seed")),
        ("seed = 5", ("seed", "int", 5, "")),
        ("rate = -1e-3 # small", ("rate", "float", -0.001, "small")),
        ("rate: float = 1", ("rate", "float", 1, "")),
        ('out_dir: str = "a#b=c"', ("out_dir", "str", "a#b=c", "")),
        ('text = "a # b"  # c # d', ("text", "str", "a # b", "c # d")),
        ("rates: list[float] = [\n    .1,  # one\n    .2,\n]  # two", ("rates", "list", [0.1, 0.2], "two")),
        ("rates = (.1, .2)", ("rates", "list", (0.1, 0.2), "")),
        ("rates: typing.List[float] = []", ("rates", "list", [], "")),
        ("seed: Optional[int] = None", ("seed", "int", None, "")),
        ("seed: 'int | None' = None", ("seed", "int", None, "")),
        ("text = '''a\nb = 1  # c\n'''  # d", ("text", "str", "a\nb = 1  # c\n", "d")),
        ("seed: int = 2**3", ("seed", "int", "2**3", "")),
        ("path = os.path.join('a', 'b')  # c", ("path", "Code", "os.path.join('a', 'b')", "c")),
        ("size = 3; seed = 4  # both", ("size", "int", 3, "both")),
        ("%matplotlib inline\nseed = 1  # x", ("seed", "int", 1, "x")),
        ("a = b = 1", ("a", "int", 1, "")),
        (r"text = '\d'  # not a known escape", ("text", "str", "\\d", "not a known escape")),
    ],
)
def test_parameters_are_read_from_the_syntax_tree(
    tmp_path: Path, line: str, parameter: tuple[Any, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert tuple(find(write(tmp_path / "a.ipynb", notebook(tagged(line)))).parameters[0]) == parameter
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "line", ["import os", "x: int", "x.y = 1", "x[0] = 1", "a, b = 1, 2", "x += 1", "# seed = 0", ""]
)
def test_what_declares_no_parameter(tmp_path: Path, line: str) -> None:
    assert find(write(tmp_path / "a.ipynb", notebook(tagged(line)))).parameters == ()


@pytest.mark.parametrize(
    "line", ["seed: int = 2**3", "seed = None", "seed = {}", "seed: dict[str, int] = {}", "seed = f()"]
)
def test_a_default_that_is_no_literal_is_refused_only_where_it_is_set(tmp_path: Path, line: str) -> None:
    found = find(write(tmp_path / "a.ipynb", notebook(tagged(line))))
    assert resolve(found, {}) == {}
    with pytest.raises(ValueError, match=r"^Parameter `seed` cannot be set: its default .* is no plain number"):
        resolve(found, {"seed": "7"})


def test_without_a_tagged_cell_there_are_no_parameters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.ipynb", notebook(cell("seed = 1"), cell("print(seed)")))
    assert find(path).parameters == ()
    status, said = run(path, "-p", "seed=7", capsys=capsys)
    assert status == 2 and "Lesson a has no parameter `seed`; it has: none." in said
    assert run(path, capsys=capsys) == (0, "")
    assert os.listdir(tmp_path / "out") == ["a.ipynb"]


def test_parameters_reach_the_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that are set, and those that stand there; an earlier run's, copied or not, go."""
    earlier = cell("seed = 1", metadata={"tags": ["injected-parameters"]})
    first = tagged('seed: int = 3\nsize: int = 2**3\ntext: str = "a#b=c"  # kept\nout_dir: str = ""')
    shown = cell("print(seed, size, text)")
    path = write(
        tmp_path / "a.ipynb",
        notebook(first, earlier, earlier, shown, cell(BEGIN), cell("begin('00_x', seed=seed, out_dir=out_dir)")),
    )
    assert run(path, "-p", "seed=7", capsys=capsys) == (0, "")
    cells = nbformat.read(tmp_path / "out" / "a.ipynb", as_version=4).cells
    assert [each.metadata.get("tags", []) for each in cells] == [["parameters"], ["injected-parameters"], [], [], []]
    assert cells[2].outputs[0].text == "7 8 a#b=c\n"
    assert json.loads((tmp_path / "out" / "result.json").read_text())["headline"] == "seed 7"
    status, said = run(path, "-p", "size=7", capsys=capsys)
    assert status == 2 and "Parameter `size` cannot be set: its default 2**3 is no plain number" in said


# ------------------------------------------------------------------------------------------------- out of hand

ENDLESS = {
    "print": "while True: print('x' * 2000)",
    "one text": "print('x' * 40_000_000)",
    "many small": "while True: display(1)",
    "update_display": "handle = display(0, display_id=True)\nwhile True: handle.update('x' * 100_000)",
    "clear_output": "from IPython.display import clear_output\nwhile True: clear_output(); print('x' * 10_000)",
    "stderr": "import sys\nwhile True: sys.stderr.write('x' * 100_000)",
    "a child": "import os\nos.system('yes')",
    "comms": "from comm import create_comm\nwhile True: create_comm('x', data={'a': 'x' * 100_000})",
    "a widget": "import ipywidgets, itertools\ntext = ipywidgets.Text()\n"
    "for n in itertools.count(): text.value = f'{n:100000}'",
    "a widget's output": "import ipywidgets\nwith ipywidgets.Output():\n    while True: print('x' * 10_000)",
    "a traceback": "raise ValueError('x' * 40_000_000)",
    "buffers": "from comm import create_comm\nc = create_comm('x')\nwhile True: c.send({}, buffers=[b'x' * 10**6])",
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_output_is_bounded(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a.ipynb", notebook(cell("1"), cell(ENDLESS[kind])))
    line = ENDLESS[kind].splitlines()[0]
    with pytest.raises(LessonError) as failure:
        run_lesson(find(path), {}, out=tmp_path / "out", limits=Limits(timeout=120, max_output=2), quiet=True)
    said, failed = str(failure.value), tmp_path / "out" / "a.failed.ipynb"
    assert said == f"a: cell [2] `{line}`: stopped at more than 2 MB of output (see {failed})"
    assert failed.stat().st_size < 12e6
    nbformat.validate(nbformat.read(failed, as_version=4))


def test_the_runner_stays_small(tmp_path: Path) -> None:
    """What the kernel prints without end is not gathered in the memory of who runs it."""
    paths = [write(tmp_path / f"{n}.ipynb", notebook(cell(source))) for n, source in enumerate(("1", ENDLESS["print"]))]
    program = f"""
import resource
from invtutor.cli import main
for path in {[*map(str, paths)]}:
    print(main(["run", path, "--quiet", "--out", {str(tmp_path / "out")!r}, "--max-output", "5"]))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * {1 if sys.platform == "darwin" else 1024})"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    numbers = [int(line) for line in done.stdout.splitlines() if line.isdecimal()]
    assert (numbers[0], numbers[2]) == (0, 1) and "stopped at more than 5 MB of output" in done.stderr
    assert numbers[3] - numbers[1] < 150e6


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("input('name? ')", "StdinNotImplementedError: "),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import os; os._exit(3)", "the kernel died"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "the kernel died"),
        ("x = [0] * 10**8", "stopped at more than 400 MB of memory"),
        ("import os; os.fork() or [0] * 10**8; os.wait()", "stopped at more than 400 MB of memory"),
        ("while True:\n    try: sum(range(10**6))\n    except BaseException: pass", "stopped at the time limit of 5 s"),
        ("1 +", "SyntaxError: invalid syntax"),
        ("raise KeyError", "KeyError: "),
        (
            "k = get_ipython().kernel; k.session.send(k.iopub_socket, 'error', {}, parent=k.get_parent('shell'))",
            "its kernel sends what is no message: KeyError: 'ename'",
        ),
    ],
)  # fmt: skip
def test_a_fault_is_one_line(tmp_path: Path, source: str, cause: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "a.ipynb", notebook(cell("1"), cell(source)))
    limits = ("--timeout", "5") if "time limit" in cause else ("--memory", "400")
    status, said = run(path, *limits, capsys=capsys)
    assert status == 1 and f"a: cell [2] `{source.splitlines()[0]}`: {cause}" in said, said


@pytest.mark.skipif(os.name != "posix", reason="starts processes as Unix has them")
@pytest.mark.parametrize("ending", ["'fine'", "1 / 0", "os._exit(1)", "time.sleep(99)"])
def test_no_process_outlives_a_run(tmp_path: Path, ending: str) -> None:
    """Children, orphans, and those that fled into a session of their own; after a good end and a bad one."""
    note = tmp_path / "pids"
    source = f"""\
import os, subprocess, time
children = [subprocess.Popen(["sleep", "600"]), subprocess.Popen(["sleep", "600"], start_new_session=True)]
bare = subprocess.run(["sh", "-c", "env -i setsid sleep 600 >/dev/null 2>&1 & echo $!"], stdout=-1, text=True).stdout
orphan = subprocess.run(["sh", "-c", "sleep 600 >/dev/null 2>&1 & echo $!"], stdout=-1, text=True).stdout
forked = os.fork()
if forked == 0:
    os.setsid()
    time.sleep(600)
_ = open({str(note)!r}, "w").write(f"{{children[0].pid}} {{children[1].pid}} {{orphan}} {{forked}} {{bare}}")"""
    path = write(tmp_path / "a.ipynb", notebook(cell(source), cell(ending)))
    try:
        run_lesson(find(path), {}, out=tmp_path / "out", limits=Limits(timeout=6), quiet=True)
    except LessonError as error:
        assert "'fine'" not in str(error)
    pids = [int(word) for word in note.read_text().split()]
    assert len(pids) == 5
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


# ------------------------------------------------------------------------------------------------- as a page

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def shown(data: Any, kind: str = "display_data", **more: Any) -> dict[str, Any]:
    return cell("x", outputs=[{"output_type": kind, "data": data, "metadata": {}, **more}])


ATTACHED = cell("![a b](attachment:a.png)", "markdown", attachments={"a.png": {"image/png": PNG}})
UNDESCRIBED = 'alt="picture without description" src='
ERROR = {"output_type": "error", "ename": "KeyError", "evalue": "<x>"}
DESCRIBED = {"image/png": {"alt": "A <dot>"}}
HARMFUL = "<img src=x onerror=alert(1)>a<iframe src='http://x'></iframe><script>alert(1)</script><style>b {}</style>"
PAGES = {
    "a picture": (shown({"image/png": PNG + "\n"}), f'<img {UNDESCRIBED}"data:image/png;base64,{PNG}"'),
    "a described picture": (shown({"image/png": PNG}, metadata=DESCRIBED), 'alt="A &lt;dot&gt;"'),
    "a photograph": (shown({"image/jpeg": "/9j/"}), f'{UNDESCRIBED}"data:image/jpeg;base64,/9j/"'),
    "a drawing": (shown({"image/svg+xml": ["<svg ", "onload='x()'/>"]}), f'{UNDESCRIBED}"data:image/svg+xml;base64,'),
    "no picture": (shown({"image/png": '"><script>alert(1)</script>'}), "base64,"),
    "HTML": (shown({"text/html": "<table><tr><td onclick='x()'>5"}), "<table><tbody><tr><td>5</td>"),
    "harmful HTML": (shown({"text/html": HARMFUL}), f'<div class="output"><img {UNDESCRIBED}"x"/>a</div>'),
    "a link that runs": (shown({"text/html": "<a href=' JaVascript:alert(1)'>b</a>"}), "<a>b</a>"),
    "LaTeX": (shown({"text/latex": "$$x^2$$"}), "<msup>"),
    "Markdown": (shown({"text/markdown": "*a*<script>alert(1)</script>"}), "<em>a</em>"),
    "text": (shown({"text/plain": "\x1b[31m<b>\x1b[0m"}), "&lt;b&gt;"),
    "what is alive only": (shown({"application/javascript": "alert(1)", "application/x": {}}), "</main>"),
    "a panel that is none": (shown({MIME: {"frames": [{"at": ["../x"], "png": PNG}]}, "text/plain": "a"}), ">a</pre>"),
    "an error": (cell("x", outputs=[{**ERROR, "traceback": ["\x1b[1;31mE\x1b[0m: <b>"]}]), "E</span>: &lt;b&gt;</pre>"),
    "an error alone": (cell("x", outputs=[ERROR]), '<pre class="output error">KeyError: &lt;x&gt;</pre>'),
    "damaged TeX": (cell(r"$\frac{a$ and $$\begin{x}$$", "markdown"), r"<code>\begin{x}</code>"),
    "a missing attachment": (cell("![a b](attachment:none)", "markdown"), "<em>(a picture that is missing: a b)</em>"),
    "a damaged attachment": (cell("![](attachment:a)", "markdown", attachments={"a": 5}), "a picture that is missing"),
    "an attachment": (ATTACHED, f'<img alt="a b" src="data:image/png;base64,{PNG}"'),
    "an undescribed attachment": ({**ATTACHED, "source": "![](attachment:a.png)"}, f'<img {UNDESCRIBED}"data:'),
    "harmful prose": (cell(f"# {HARMFUL}\n\n{HARMFUL}b", "markdown"), f'"><img {UNDESCRIBED}"x"/>a</h1>'),
    "a raw cell": (cell("<script>alert(1)</script>", "raw"), '<pre class="output">&lt;script&gt;'),
    "nbformat 3": (None, "Old"),
}  # fmt: skip


@pytest.mark.parametrize("kind", PAGES)
def test_a_strangers_notebook_becomes_a_page(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    content, wanted = PAGES[kind]
    path = write(tmp_path / "a.ipynb", version_3() if content is None else notebook(content))
    assert main(["book", "--stored", "--slides", str(path), "--out", str(tmp_path / "site")]) == 0
    assert capsys.readouterr().err == ""
    page, slides = ((tmp_path / "site" / name).read_text(encoding="utf-8") for name in ("a.html", "a.slides.html"))
    assert wanted in page, page.split("<main")[1]
    for body in (page.split("<body")[1], slides.split("<body")[1]):
        assert "<script" not in body and "<img src=x" not in body and "onerror=alert(1)>" not in body
    assert not (tmp_path / "site" / "frames").exists()


def test_names_are_escaped_and_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["'\"><img src=x onerror=alert(1)>", "a#b?c%20d", "Übung (1)"]
    paths = [str(write(tmp_path / f"{name}.ipynb", notebook(cell("x")))) for name in names]
    assert main(["book", "--stored", *paths, "--out", "site"]) == 0
    for file in ("index.html", *(f"{name}.html" for name in names)):
        page = (tmp_path / "site" / file).read_text(encoding="utf-8")
        assert "onerror" not in page.replace("onerror%3Dalert", "").replace("&gt;&lt;img src=x onerror=", "").replace(
            "quot;&gt;&lt;img", ""
        ), page
        links = re.findall(r'href="([^"#]+\.html)"', page)
        assert {unquote(link) for link in links} - {"index.html"} == {f"{name}.html" for name in names}
        assert not any(sign in link for link in links for sign in "?'<> ")
