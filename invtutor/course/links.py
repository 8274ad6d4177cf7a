"""Addresses that open a lesson elsewhere: on Binder, on a JupyterHub that has nbgitpuller, on Colab and on Kaggle."""

import re
from importlib.metadata import requires
from urllib.parse import quote, urlencode

from invtutor.course.lessons import Lesson

__all__ = ["binder_link", "first_cell", "hosted_link", "nbgitpuller_link"]


def binder_link(repo: str, ref: str, lesson: Lesson) -> tuple[str, str]:
    """The address that opens a lesson on mybinder.org, and its badge in Markdown.

    repo: ``OWNER/REPO`` on GitHub, or an address from which it is cloned. ref: a tag, branch or commit. Raises
    ValueError for anything else.
    """
    repo = _source(repo, ref)
    path = quote(f"lab/tree/notebooks/{lesson.path.name}", safe="")
    url = f"https://mybinder.org/v2/gh/{repo}/{quote(ref, safe='')}?urlpath={path}"
    return url, f"[![Binder](https://mybinder.org/badge_logo.svg)]({url})"


def nbgitpuller_link(hub: str, repo: str, branch: str, lesson: Lesson) -> str:
    """The address that fetches the course into a student's folder on a JupyterHub with nbgitpuller, and opens a lesson.

    hub: the hub's address, such as ``https://hub.example.org``. repo: as for `binder_link`. branch: a branch, since
    nbgitpuller merges its news into the student's copy, and cannot do so with a tag. Raises ValueError for anything
    else.
    """
    repo = _source(repo, branch)
    if not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9._~/-]*)?", hub):
        raise ValueError(f"Parameter `hub` should be a hub's address such as https://hub.example.org. Found {hub!r}.")
    query = {
        "repo": f"https://github.com/{repo}",
        "branch": branch,
        "urlpath": f"lab/tree/{repo.partition('/')[2]}/notebooks/{lesson.path.name}",
    }
    return f"{hub.rstrip('/')}/hub/user-redirect/git-pull?{urlencode(query, quote_via=quote, safe='')}"


HOSTS = {  # what comes before a notebook's place on GitHub, and the badge
    "colab": (
        "https://colab.research.google.com/github/",
        "https://colab.research.google.com/assets/colab-badge.svg",
    ),
    "kaggle": (
        "https://www.kaggle.com/kernels/welcome?src=https://github.com/",
        "https://www.kaggle.com/static/images/open-in-kaggle.svg",
    ),
}
SERVING = ("ipykernel", "ipython", "jupyter_client", "jupyterlab", "nbclient", "papermill", "pyzmq", "traitlets")
"""What no lesson needs where a kernel is up already; to exchange them under it would break it."""


def hosted_link(host: str, repo: str, ref: str, lesson: Lesson) -> tuple[str, str]:
    """The address that opens a lesson on Colab or Kaggle, and its badge in Markdown; repo and ref as for Binder."""
    start, badge = HOSTS[host]
    url = f"{start}{_source(repo, ref)}/blob/{quote(ref, safe='')}/notebooks/{lesson.path.name}"
    return url, f"[![{host.capitalize()}]({badge})]({url})"


def first_cell(repo: str, ref: str) -> str:
    """The source of a first cell for a lesson on somebody else's machine: it installs the library and what that needs,
    as far as it is missing or too old, and leaves alone what is there, such as torch."""
    bounds = [re.match(r"([\w-]+)>=([\d.]+)", line) for line in requires("invtutor") or () if "extra ==" not in line]
    needed = {found[1]: found[2] for found in bounds if found and found[1] not in SERVING}
    return f"""\
import importlib.metadata, re, subprocess, sys

def found(package):
    try:
        return [int(part) for part in re.findall(r"\\d+", importlib.metadata.version(package))]
    except importlib.metadata.PackageNotFoundError:
        return []

needed = {needed!r}
missing = [f"{{name}}>={{low}}" for name, low in needed.items() if found(name) < [*map(int, low.split("."))]]
pip = [sys.executable, "-m", "pip", "install", "--quiet"]
if missing:
    subprocess.check_call([*pip, *missing])
if not found("invtutor"):
    subprocess.check_call([*pip, "--no-deps", "git+https://github.com/{_source(repo, ref)}@{ref}"])"""


def _source(repo: str, ref: str) -> str:
    """OWNER/REPO, be it given as the address of a page or a clone."""
    found = re.fullmatch(_REPOSITORY, repo.strip(), re.IGNORECASE)
    if not found or found["name"].lower() in (".", "..", ".git"):
        raise ValueError(f"Parameter `repo` should be OWNER/REPO on GitHub. Found {repo!r}.")
    if not re.fullmatch(_REF, ref) or ".." in ref:
        raise ValueError(f"Parameter `ref` should be a tag, a branch or a commit. Found {ref!r}.")
    return f"{found['owner']}/{found['name']}"


_REF = r"\w[\w./+=-]*"  # what git allows and neither an address nor the code of a cell takes for something else
_REPOSITORY = (
    r"((https?|git|ssh|git\+ssh)://([\w.-]+@)?(www\.)?github\.com/|([\w.-]+@)?(www\.)?github\.com[:/])?"
    r"(?P<owner>[a-z0-9][a-z0-9-]*)/(?P<name>[a-z0-9._-]+?)(\.git)?/?"
)
