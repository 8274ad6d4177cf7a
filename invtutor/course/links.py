"""Addresses that open a lesson elsewhere: on Binder, and on a JupyterHub that has nbgitpuller."""

import re
from urllib.parse import quote, urlencode

from invtutor.course.lessons import Lesson

__all__ = ["binder_link", "nbgitpuller_link"]


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


def _source(repo: str, ref: str) -> str:
    """OWNER/REPO, be it given as the address of a page or a clone."""
    found = re.fullmatch(_REPOSITORY, repo.strip(), re.IGNORECASE)
    if not found or found["name"].lower() in (".", "..", ".git"):
        raise ValueError(f"Parameter `repo` should be OWNER/REPO on GitHub. Found {repo!r}.")
    if not ref or re.search(r"\s", ref):
        raise ValueError(f"Parameter `ref` should be a tag, a branch or a commit. Found {ref!r}.")
    return f"{found['owner']}/{found['name']}"


_REPOSITORY = (
    r"((https?|git|ssh|git\+ssh)://([\w.-]+@)?(www\.)?github\.com/|([\w.-]+@)?(www\.)?github\.com[:/])?"
    r"(?P<owner>[a-z0-9][a-z0-9-]*)/(?P<name>[a-z0-9._-]+?)(\.git)?/?"
)
