"""A notebook's kernel: started, watched, held to its limits, and seen off with all that it started.

nbclient executes. It is imported only when it is needed: it takes seconds to load, and a `--help` need not wait for it.
"""

import asyncio
import atexit
import functools
import math
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]

from invtutor.course.reading import first_line
from invtutor.course.wall import MOST_PROCESSES, Wall
from invtutor.files import own_folder

__all__ = ["USUAL", "LessonError", "Limits", "run_cells", "several"]


@dataclass(frozen=True)
class Limits:
    """What the run of a lesson may take: seconds, MB of output, and MB of memory (as much as there is, if None)."""

    timeout: float = 1800.0
    max_output: float = 50.0
    memory: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not field.default and not 0 < value < math.inf:
                raise ValueError(f"Parameter `{field.name}` should be above 0 and finite. Found {value}.")


class LessonError(RuntimeError):
    """A lesson did not run to its end; the message is one line that names the lesson and the cell.

    cause: the message without where the notebook is, as far as it came.
    """

    def __init__(self, cause: str, notebook: Path | None = None):
        super().__init__(f"{cause} (see {notebook})" if notebook else cause)
        self.cause = cause


USUAL = Limits()


def run_cells(
    notebook: Any,
    path: Path,
    limits: Limits,
    quiet: bool,
    variables: Mapping[str, str],
    *,
    wall: Wall | None = None,
    go_on: bool = False,
) -> None:
    """Execute a notebook in place, by a kernel of this very Python that works where `path` lies.

    variables: what the kernel's environment has besides. wall: it works behind it, in its folder. go_on: a cell that
    raises is no failure, and the next is run. Raises LessonError where it fails or oversteps a limit.
    """
    import zmq.asyncio
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError
    from tqdm import tqdm

    # Sockets are files in a folder of this run alone: parallel runs on TCP race for ports. Their paths must be short.
    short = "/tmp" if os.name == "posix" and os.access("/tmp", os.W_OK) else tempfile.gettempdir()
    count = sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in notebook.cells)
    most = round(min(limits.max_output * 1e6, 2.0**62))
    line = ""

    class Client(NotebookClient):
        """Keeps no more than the limit of what the kernel says, and says when it is reached."""

        said = 0
        running = False
        cut = math.inf
        family: tuple[Any, ...] = ()  # who descends from the kernel, whatever it did to its variables

        def meet(self) -> None:
            with suppress(psutil.Error, AttributeError):  # there is no kernel any more
                self.family += tuple(psutil.Process(self.km.provisioner.pid).children(recursive=True))

        def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
            self.said += _weight(msg)
            return None if self.said > most else super().process_message(msg, cell, cell_index)

        async def overstepped(self) -> str:
            """The limit that the kernel has overstepped; empty where it has none."""
            if self.kc:
                monitor = self.kc.iopub_channel.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
                while await monitor.poll(0):
                    await monitor.recv_multipart()
                    self.cut = time.monotonic()
            # Cut off since seconds, and its kernel lives and computes on: one message alone was too large.
            if self.running and time.monotonic() > self.cut + 3 and await self.km.is_alive():
                self.said = most + 1
            if self.said > most:
                return f"more than {limits.max_output:g} MB of output"
            if limits.memory and _memory(mark) > limits.memory:
                return f"more than {limits.memory:g} MB of memory"
            if wall and wall.written() > limits.max_output + before:
                return f"more than {limits.max_output:g} MB of files"
            if wall and len(_processes(mark)) > MOST_PROCESSES:
                return f"more than {MOST_PROCESSES} processes"
            return ""

    def at_start(cell: Any, cell_index: int) -> None:
        nonlocal line
        line, client.running = first_line(cell), True

    def at_end(cell: Any, cell_index: int, execute_reply: Any) -> None:
        bar.update()
        client.meet()
        client.running = False
        for state in () if go_on else client.widget_state.values():
            for output in state.get("outputs", ()):
                if output["output_type"] == "error":  # the kernel takes a cell as done whose widget shows a traceback
                    raise LessonError(f"in a widget, {output['ename']}: {output['evalue']}")

    with (
        own_folder(short) as sockets,
        tqdm(total=count, desc=path.stem, unit="cell", disable=quiet, leave=False) as bar,
    ):
        files = {"transport": "ipc", "ip": f"{sockets}/k"} if os.name == "posix" else {}
        mark, before = str(sockets), wall.written() if wall else 0.0
        native = KernelSpecManager(kernel_dirs=[])  # no installed kernelspec, which may be another Python
        manager = AsyncKernelManager(
            kernel_name="python3", kernel_spec_manager=native, connection_file=f"{sockets}/kernel.json", **files
        )
        behind = wall.command(mark, {**variables, _MARK: mark}) if wall and wall.stands else []
        if manager.kernel_spec:
            words = manager.kernel_spec.argv
            if behind:
                words[:0] = behind  # which ends with us, and the kernel with it
            elif os.name == "posix":
                at = words.index("-m")
                words[at : at + 2] = ["-c", _TIED, str(os.getpid())]
        context = zmq.asyncio.Context()
        # A connection ends before a larger message is in our memory; what a kernel says of itself is smaller.
        context.setsockopt(zmq.MAXMSGSIZE, max(most, 10**6))
        manager.client = functools.partial(manager.client, context=context)  # type: ignore[method-assign]
        client = Client(
            notebook,
            km=manager,
            timeout=None,
            iopub_timeout=60,
            record_timing=False,
            resources={"metadata": {"path": str(path.parent)}},
            allow_errors=go_on,
            on_cell_execute=at_start,
            on_cell_executed=at_end,
        )
        try:
            _drive(client, limits.timeout, {**variables, _MARK: mark})
        except CellExecutionError as error:
            cause = f"{error.ename}: {error.evalue}"
        except DeadKernelError:
            cause = "the kernel died, perhaps for want of memory"
        except (RuntimeError, OSError) as error:  # the limits, too
            cause = str(error).strip() or type(error).__name__
        except Exception as error:  # nbclient's, about messages that no kernel would send of itself
            cause = f"its kernel sends what is no message: {type(error).__name__}: {error}"
        else:
            return
        finally:
            context.destroy(linger=0)
        where = f"cell [{client.code_cells_executed}] `{line}`" if line else "before the first cell"
        raise LessonError(f"{path.stem}: {where}: {cause.strip().splitlines()[0]}")


# A kernel watches for its parent's death in a thread of its own, which it has neither before it is up nor while it
# ends; a parent killed then would leave it for ever. Linux ends it together with the thread of ours that waits for it.
_TIED = """
import ctypes, os, runpy, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: who flees stays its descendant
if os.getppid() != int(sys.argv.pop(1)):
    os._exit(1)
runpy.run_module("ipykernel_launcher", run_name="__main__", alter_sys=True)
"""

_MARK = "INVTUTOR_RUN"
"""The variable by which the processes of a run are known, whatever they do to their names, parents and sessions."""


def _weight(thing: Any) -> int:
    """About the bytes that a message takes in memory."""
    if isinstance(thing, dict):
        return sum(64 + len(key) + _weight(value) for key, value in thing.items())
    if isinstance(thing, list):
        return sum(map(_weight, thing), 64)
    return len(thing) if isinstance(thing, str | bytes | memoryview) else 8


def _processes(mark: str) -> list[Any]:
    """The processes of a run: the kernel, and all that it started or left behind, where they kept its variables."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(_MARK) == mark:
                found.append(process)
    return found


def _lives(process: Any) -> bool:
    with suppress(psutil.Error):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def _memory(mark: str) -> float:
    """The MB that a run's processes hold together."""
    held = 0
    for process in _processes(mark):
        with suppress(psutil.Error):
            held += process.memory_info().rss
    return held / 1e6


def _drive(client: Any, timeout: float, variables: Mapping[str, str]) -> None:
    """Run nbclient to its end, to a limit, or to Ctrl-C, and see the kernel and its processes off in any case.

    In a thread with its own event loop: so it works under a running loop too, and nbclient cannot take over Ctrl-C.
    """
    interrupted: threading.Event = getattr(_own, "interrupted", None) or threading.Event()
    deadline = time.monotonic() + timeout
    # What comes by the kernel's messages is counted; what it or its children write past them, without end, is not.
    null = dict.fromkeys(("stdout", "stderr"), subprocess.DEVNULL)
    env = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}  # under which a kernel lets that happen

    async def drive() -> None:
        run = asyncio.ensure_future(client.async_execute(cleanup_kc=True, env={**env, **variables}, **null))
        limit = ""
        while not (run.done() or interrupted.is_set() or limit):
            await asyncio.wait({run}, timeout=0.1)
            limit = await client.overstepped()
            if time.monotonic() > deadline:
                limit = f"the time limit of {timeout:g} s for the lesson"
        if run.done():
            return run.result()
        client.meet()
        client.shutdown_kernel = "immediate"
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        atexit.unregister(client._cleanup_kernel)  # which nbclient leaves to be called where it was cancelled
        if client.km and await client.km.is_alive():  # nbclient forgets a kernel that was still starting
            await client.km.shutdown_kernel(now=True)
        if client.kc:
            client.kc.stop_channels()
        raise TimeoutError(f"stopped at {limit}")

    def whole() -> None:
        try:
            asyncio.run(drive())
        finally:
            for _ in range(10):  # what is killed may just have started another
                for process in (left := [*_processes(variables[_MARK]), *filter(_lives, client.family)]):
                    with suppress(psutil.Error):
                        process.kill()
                if not psutil.wait_procs(left, timeout=1)[0]:
                    break

    with futures.ThreadPoolExecutor(1) as thread:
        future = thread.submit(whole)
        try:
            future.result()
        except KeyboardInterrupt:
            interrupted.set()
            while not future.done():  # another Ctrl-C must not keep us from seeing the kernel off
                with suppress(KeyboardInterrupt):
                    futures.wait([future])
            raise
        except TimeoutError:
            if interrupted.is_set():  # by `several`, whose main thread has heard Ctrl-C
                raise KeyboardInterrupt from None
            raise


_own = threading.local()  # of a thread of `several`: `interrupted`, which all of them share


@contextmanager
def several(workers: int) -> Iterator[Callable[..., Iterator[Any]]]:
    """`map`, for functions that run kernels, in so many threads at once; results come in order. Ctrl-C ends the kernels
    and starts no other."""
    if workers == 1:
        yield map
        return
    interrupted = threading.Event()
    with futures.ThreadPoolExecutor(workers, "kernels", setattr, (_own, "interrupted", interrupted)) as threads:
        try:
            yield threads.map
        except BaseException:
            interrupted.set()
            threads.shutdown(wait=False, cancel_futures=True)
            raise
