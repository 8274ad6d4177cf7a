"""A wall around a stranger's notebook: bubblewrap, where there is one.

Behind it a kernel sees the system's programs, this Python, the library and the digits, none of which it can change, and
one folder that it can; no other files, no processes but its own, no network. All that it started ends with it.
"""

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil  # type: ignore[import-untyped]

__all__ = ["HOME", "MOST_PROCESSES", "Wall", "missing"]

HOME = "/home/student"
"""What the folder is called behind the wall."""

MOST_PROCESSES = 200
"""Behind a wall. Linux holds everybody to it but root, whose processes are counted now and then: grade as a user."""

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix", "/opt")
PACKAGE = Path(__file__).parents[1]
SETTINGS = ("alternatives", "fonts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types", "passwd")
ONLINE = ("hosts", "nsswitch.conf", "resolv.conf", "ssl", "ca-certificates", "pki")  # what the network takes, besides
KEPT = ("LANG", "LC_ALL", "LC_CTYPE", "OMP_NUM_THREADS", "TZ")


@dataclass(frozen=True)
class Wall:
    """The wall around one kernel.

    folder: all that it can write to is in there; its `home` is where the notebook lies. seen: further folders that it
    may read, by the names that it sees them under. stands: false where none can be built; what is in the folder is
    measured all the same.
    """

    folder: Path
    seen: Mapping[str, Path] = field(default_factory=dict)
    network: bool = False
    stands: bool = True

    def command(self, sockets: str, variables: Mapping[str, str]) -> list[str]:
        """What to put before the command of a kernel whose sockets are in that folder, with these variables alone."""
        for name in ("home", "tmp", "shm"):
            (self.folder / name).mkdir(exist_ok=True)
        words = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
        words += ["--share-net"] if self.network else []
        for path in SYSTEM:
            if os.path.islink(path):
                words += ["--symlink", os.readlink(path), path]
            else:
                words += ["--ro-bind-try", path, path]
        for name in (*SETTINGS, *(ONLINE if self.network else ())):
            words += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
        for place in _python():
            words += ["--ro-bind", place, place]
        words += ["--proc", "/proc", "--dev", "/dev", "--bind", str(self.folder / "shm"), "/dev/shm"]
        words += ["--bind", str(self.folder / "tmp"), "/tmp", "--bind", str(self.folder / "home"), HOME]
        for name, folder in self.seen.items():
            words += ["--ro-bind", str(folder), name]
        words += ["--bind", sockets, sockets, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", HOME]
        words += ["--clearenv"]
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        inside = {"HOME": HOME, "PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONPATH": os.pathsep.join(_paths())}
        for name, value in {**kept, **inside, **variables}.items():
            words += ["--setenv", name, value]
        return [*words, *_few_processes()]

    def written(self) -> float:
        """The MB in the folder that it can write to."""
        size = 0
        for parent, _, names in os.walk(self.folder):
            for name in names:
                try:
                    size += os.lstat(os.path.join(parent, name)).st_size
                except OSError:  # it is gone
                    continue
        return size / 1e6


def _python() -> list[str]:
    """What of the disk this Python needs and is not the system's, outer folders first."""
    places = [Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve().parents[1], PACKAGE]
    found = sorted({str(place) for place in (*places, *map(Path, _paths()[1:]))}, key=len)
    return [place for place in found if not f"{place}/".startswith(tuple(f"{path}/" for path in SYSTEM))]


def _paths() -> list[str]:
    """Where Python finds modules that are not its own: our package first. The folder in which we were called, or that
    of a script, may hold anything, and is left out."""
    own, left_out = str(PACKAGE.parent), {os.getcwd(), str(Path(sys.argv[0]).absolute().parent)}
    inside = tuple(f"{prefix}{os.sep}" for prefix in (sys.prefix, sys.base_prefix))
    others = (path for path in sys.path if os.path.isdir(path) and path not in left_out)
    return list(dict.fromkeys([own, *(path for path in others if not path.startswith(inside))]))


def _few_processes() -> list[str]:
    """Hold a kernel to some processes and threads more than this user has now, with which Linux may count them."""
    if not shutil.which("prlimit"):
        return []
    own = 0
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            own += process.num_threads() if process.uids().real == os.getuid() else 0
    return ["prlimit", f"--nproc={own + MOST_PROCESSES}"]


@functools.cache
def missing() -> str:
    """Why no wall can be built here; empty where one can."""
    if not shutil.which("bwrap"):
        return "bubblewrap (bwrap) is not installed"
    call = ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"]
    done = subprocess.run(call, capture_output=True, text=True, errors="replace", check=False)
    return f"bubblewrap does not work here: {' '.join(done.stderr.split())[:200]}" if done.returncode else ""
