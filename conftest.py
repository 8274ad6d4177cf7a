"""What every pytest run needs, the library's tests and `pytest --nbval-lax notebooks` alike."""

import os
import shutil
import tempfile
from pathlib import Path

# Small networks train fastest on one thread, and many times slower when two threads share a busy core. This stands
# before torch is imported, and notebook kernels inherit it. A user's value wins.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import jupyter_client.manager
import nbval.kernel

_folders: list[Path] = []


def _kernel_manager(**options: object) -> jupyter_client.manager.KernelManager:
    """A kernel that talks over sockets in a folder of its own.

    Over TCP two kernels that start at once can be given the same port, and one dies. Over ipc the default path is the
    same in every process, so that two runs would read each other's messages: hence a new folder for each kernel. It is
    made in the system's short temporary folder, since a socket's path may have some 100 characters only.
    """
    folder = Path(tempfile.mkdtemp(prefix="nbval-"))
    _folders.append(folder)
    return jupyter_client.manager.KernelManager(transport="ipc", ip=str(folder / "kernel"), **options)


nbval.kernel.KernelManager = _kernel_manager  # nbval has no option for the transport


def pytest_sessionfinish() -> None:
    """Remove the sockets' folders, when the last kernel is gone."""
    for folder in _folders:
        shutil.rmtree(folder, ignore_errors=True)
