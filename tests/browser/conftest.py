"""Fixtures of the browser tests: a real JupyterLab on a copy of the lessons, and a headless Chromium.

Where Chromium is missing the tests are skipped and say so; with INVTUTOR_BROWSER=required they fail instead.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from invtutor.course import copies

ARTIFACTS = Path(__file__).parents[2] / "results" / "browser"  # screenshots of what failed; git ignores results/
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-quic"]
NOTEBOOKS = {  # beside the lessons
    "live.ipynb": """\
from invtutor.course.notebook import picture
from invtutor.runs.recipe import Recipe
from invtutor.widgets import live

panel = live(Recipe.profile("smoke", "irmv1", steps=100_000))
display(panel)
picture(panel, "What stands for the panel where no widget can be shown.")""",
}
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},  # would cover a corner
    "notebook-extension/tracker": {"windowingMode": "none"},  # cells out of view stay in the page
}


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "save pictures of every lesson there, at 1280 and at 800 pixels width"
    parser.addoption("--screenshots", metavar="DIR", type=Path, help=text)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if report.when == "call" and report.failed and "page" in getattr(item, "funcargs", {}):
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        shot = ARTIFACTS / f"{item.name}.png"
        item.funcargs["page"].screenshot(path=shot)  # type: ignore[attr-defined]
        report.sections.append(("screenshot", str(shot)))
    return report


# The fixtures last for a file, not for the session: playwright keeps an event loop running in this thread, which other
# tests in the same worker must not find.


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        reason = "Chromium is not installed: lessons and book were not tried in a browser"
        assert os.environ.get("INVTUTOR_BROWSER") != "required", reason
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(120_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def complaints(page: Any) -> list[str]:
    """What the page has complained of so far: errors in its console, and exceptions that nothing caught."""
    found: list[str] = []
    page.on("pageerror", lambda error: found.append(f"uncaught: {error}"))
    page.on("console", lambda said: found.append(f"{said.text} {said.location}") if said.type == "error" else None)
    return found


@pytest.fixture(scope="module")
def lab(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """A JupyterLab with nothing of this user's settings, on a free port, with a token of its own and copies of the
    lessons: the address of a notebook in it, by its file name. It has no MNIST, as where a course's link was just
    opened, and one seed; nbval and papermill run all lessons on the real digits, nbval with two seeds."""
    root = tmp_path_factory.mktemp("lab")
    copies.copy_lessons(root / "lessons")  # the browser saves what it has opened
    for path in (root / "lessons").glob("*.ipynb"):
        before, seeds, after = path.read_text(encoding="utf-8").partition("seeds: int = ")
        assert seeds and after[0] == "0", path
        path.write_text(f"{before}{seeds}1{after[1:]}", encoding="utf-8")
    for name, source in NOTEBOOKS.items():
        cells, kernel = [nbformat.v4.new_code_cell(source)], {"name": "python3", "display_name": "Python 3"}
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})  # else Lab asks for it
        nbformat.write(notebook, root / "lessons" / name)
    kinds = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    kinds += ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")
    folders = {kind: str(root / kind.lower()) for kind in kinds}
    for name, values in SETTINGS.items():
        path = Path(folders["JUPYTERLAB_SETTINGS_DIR"], "@jupyterlab", f"{name}.jupyterlab-settings")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1"]
    command += [f"--ServerApp.root_dir={root / 'lessons'}", "--LabApp.expose_app_in_browser=True"]
    own = {"OMP_NUM_THREADS": "1", "INVTUTOR_PROFILE": "smoke", "INVTUTOR_DATA": str(root / "no digits")}
    environment = {**os.environ, **folders, **own}
    for name in ("JUPYTER_TOKEN", "JUPYTER_PREFER_ENV_PATH"):
        environment.pop(name, None)
    log = root / "lab.log"
    with log.open("w") as file:
        server = subprocess.Popen(command, env=environment, stdout=file, stderr=file, start_new_session=True)
    try:
        url, token = _wait_for(lambda: _server(Path(folders["JUPYTER_RUNTIME_DIR"])), server, log)
        yield lambda name: f"{url}doc/workspaces/{Path(name).stem}/tree/{name}?token={token}"
    finally:
        server.send_signal(signal.SIGTERM)  # it ends its kernels, too
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _server(runtime: Path) -> tuple[str, str] | None:
    """The address and the token that the server has written down, once it answers there."""
    try:
        (path,) = runtime.glob("jpserver-*.json")
        said = json.loads(path.read_text())
        urllib.request.urlopen(f"{said['url']}api/status?token={said['token']}", timeout=5).close()
    except (ValueError, OSError):
        return None
    return said["url"], said["token"]


def _wait_for(found: Callable[[], Any], server: "subprocess.Popen[bytes]", log: Path) -> Any:
    for _ in range(600):
        if (it := found()) is not None:
            return it
        assert server.poll() is None, log.read_text()
        time.sleep(0.2)
    raise AssertionError(f"JupyterLab does not answer:\n{log.read_text()}")
