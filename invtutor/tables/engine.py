"""Where runs are made: in this process, in several of this machine, or on a cluster, by dask.distributed."""

import logging
import platform
import re
import threading
from asyncio import CancelledError
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain, islice
from pathlib import Path
from shutil import which
from typing import Any, TypeVar

from invtutor.fields import check, require, within

__all__ = ["Engine", "WorkerError"]

Task = TypeVar("Task")
Done = TypeVar("Done")

HERE = "127.0.0.1"
BOARD = f"{HERE}:0"  # of dask's pages: whoever asks for none gets port 8787, and a worker's is open to everybody
_ADDRESS = re.compile(r"(tcp|tls)://(\[[0-9a-fA-F:.]+\]|[\w.-]+):([0-9]{1,5})")
_LOOPBACK = re.compile(r"127(\.\d{1,3}){3}|localhost|\[::1\]")

MEMORY = "4 GB"  # of a job, where dask's settings name none
KILLS = 20  # of a task's workers, before it is taken for their murderer
AHEAD = 256  # tasks that a scheduler is given before they are due
ANSWER, START = 30, 300  # seconds for a scheduler to answer, and for the first worker: a busy machine is slow
PULSE = 3  # seconds between two looks at whether a worker was given up

_DEAF = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"  # Ctrl-C is ours alone: workers end with us
# A hundred looks a second at what a worker is doing, and fifty at its clock, cost a run a twentieth of its time.
_UNWATCHED = {"distributed": {"worker": {"profile": {"enabled": False}}, "admin": {"tick": {"interval": "1s"}}}}


class WorkerError(RuntimeError):
    """Workers could not be reached, or one of them cannot do the work; the message is one line."""


@dataclass(frozen=True)
class Engine:
    """Makes runs. Raises ValueError, naming the field, for what does not go together.

    One process is the default: others take seconds to start. Nothing listens beyond this machine but the scheduler
    of SLURM's jobs, at the address that `listen` names and under the certificates in `tls`; a scheduler elsewhere is
    spoken to under such certificates alone, since who can speak to one can run programs on its workers.
    """

    workers: int = within(1, 1, 10_000)
    """Processes on this machine, each with one thread; with SLURM, its jobs."""
    cluster: str = ""
    """Where the workers are: here, if empty; those of a scheduler, tcp://127.0.0.1:PORT or tls://HOST:PORT; slurm."""
    listen: str = ""
    """The address at which SLURM's jobs reach this machine."""
    tls: tuple[str, ...] = within((), 0, 0, items=(0, 3))
    """Three PEM files: the authority's certificate, one that it has signed, and the key of that."""

    def __post_init__(self) -> None:
        check(self)
        address = _ADDRESS.fullmatch(self.cluster)
        wish = "slurm, or the address of a scheduler, as in tls://HOST:PORT"
        reachable = address is not None and 0 < int(address[3]) < 2**16
        require("cluster", self.cluster in ("", "slurm") or reachable, wish, self.cluster)
        if address:
            near = _LOOPBACK.fullmatch(address[2]) is not None
            wish = "tls://… beyond this machine: who reaches a scheduler without certificates can run programs on it"
            require("cluster", near or address[1] == "tls", wish, self.cluster)
            require("workers", self.workers == 1, "left out: a scheduler has its own", self.workers)
        secret = self.cluster == "slurm" or (address is not None and address[1] == "tls")
        wish = "three files, CA, CERTIFICATE and KEY" if secret else "left out: it is for slurm and tls://…"
        require("tls", len(self.tls) == (3 if secret else 0), wish, self.tls)
        for file in self.tls:
            require("tls", Path(file).is_file(), "files that can be read", file)
        wish = (
            "the address at which jobs reach this machine" if self.cluster == "slurm" else "left out: it is for slurm"
        )
        require("listen", bool(self.listen) == (self.cluster == "slurm"), wish, self.listen)

    @property
    def alone(self) -> bool:
        """Whether all is done in this process."""
        return self.workers == 1 and not self.cluster

    def each(
        self, work: Callable[[Task], Done], tasks: Iterable[Task]
    ) -> Generator[tuple[Task, Done | None, str], None, None]:
        """Each task, as it ends, with what came of it; or, where that is None, why it diverged.

        tasks: are drawn as they are due. A task whose worker is killed is done again. Raises ValueError where the
        engine is not installed, and WorkerError for workers that cannot be had or cannot do the work; alone, whatever
        the work raises but FloatingPointError.
        """
        if self.alone:
            for task in tasks:
                try:
                    yield task, work(task), ""
                except FloatingPointError as error:
                    yield task, None, str(error) or type(error).__name__
            return
        with self._client() as client:
            from distributed import KilledWorker, as_completed

            ours, waiting, ended = _versions(), iter(tasks), as_completed(loop=client.loop)
            running: dict[str, Task] = {}

            def submit(count: int) -> None:
                for task in islice(waiting, count):
                    future = client.submit(_told, work, task, ours, pure=False)
                    running[future.key] = task
                    ended.add(future)

            submit(AHEAD)
            for future in ended:
                task = running.pop(future.key)
                try:
                    done, why, trouble = future.result()
                except KilledWorker:
                    done, why, trouble = None, f"{KILLS} of its workers were killed.", ""
                except CancelledError as error:
                    if client.status != "running":
                        raise WorkerError(f"Workers cannot go on: the scheduler is gone ({error}).") from None
                    waiting = chain([task], waiting)  # it was done, and lost with its worker before we had it
                    submit(1)
                    continue
                except Exception as error:
                    raise WorkerError(f"Workers cannot go on: {type(error).__name__}: {error}.") from None
                if trouble:
                    raise WorkerError(trouble)
                yield task, done, why
                future.release()
                submit(1)

    @contextmanager
    def _client(self) -> Iterator[Any]:
        """A client of workers; those that it has started end with it."""
        try:
            import distributed
        except ImportError:
            raise ValueError("Several processes need dask.distributed: pip install 'invtutor[cluster]'.") from None

        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # a killed worker is no news: it is replaced
        security = distributed.Security()
        if self.tls:
            authority, *own = self.tls
            roles = [f"tls_{role}_{part}" for role in ("client", "scheduler", "worker") for part in ("cert", "key")]
            security = distributed.Security(
                require_encryption=True, tls_ca_file=authority, **dict(zip(roles, own * 3, strict=True))
            )
        with ExitStack() as stack:
            try:
                scheduler: Any = self.cluster
                if self.cluster == "":
                    security = distributed.Security.temporary()
                    scheduler = stack.enter_context(self._local(security))
                elif self.cluster == "slurm":
                    scheduler = stack.enter_context(self._slurm(security))
                options = {"security": security, "timeout": ANSWER, "set_as_default": False}
                client = stack.enter_context(distributed.Client(scheduler, **options))
                if self.cluster != "slurm":  # whose jobs may wait for hours
                    client.wait_for_workers(1, timeout=ANSWER if self.cluster else START)
            except (OSError, RuntimeError) as error:
                where = f" at {self.cluster}" if self.cluster else ""
                raise WorkerError(f"No workers can be had{where}: {error or type(error).__name__}.") from None
            yield client

    def _local(self, security: Any) -> Any:
        """Workers on this machine. Who else works on it could run programs in our name, were there no certificates."""
        from dask import config
        from distributed import LocalCluster

        options = {
            "n_workers": self.workers,
            "threads_per_worker": 1,
            "host": HERE,
            "protocol": "tls://",
            "security": security,
            "dashboard_address": BOARD,
            "worker_dashboard_address": BOARD,
            "memory_limit": 0,
            "config": config.merge(config.config, _UNWATCHED),
            "silence_logs": logging.CRITICAL,
            "preload": [_DEAF],
            "scheduler_kwargs": {"allowed_failures": KILLS},
        }
        with suppress(RuntimeError):  # one was killed before it was up: once more
            return _Kept(self.workers, LocalCluster(**options))
        return _Kept(self.workers, LocalCluster(**options))

    def _slurm(self, security: Any) -> Any:
        """A scheduler here, whose workers are SLURM's jobs, as dask's own settings (`jobqueue.slurm`) shape them."""
        from dask import config
        from dask_jobqueue import SLURMCluster

        if not which("sbatch"):
            raise OSError("there is no `sbatch` on this machine")

        return SLURMCluster(
            n_workers=self.workers,
            cores=1,
            processes=1,
            memory=config.get("jobqueue.slurm.memory") or MEMORY,
            security=security,
            scheduler_options={"host": self.listen, "dashboard_address": BOARD, "allowed_failures": KILLS},
            worker_extra_args=["--dashboard-address", BOARD],
        )


class _Kept:
    """A local cluster in which nobody is missing for long: dask itself gives up a worker that is killed while it
    starts."""

    def __init__(self, count: int, cluster: Any):
        self.count, self.cluster, self.over = count, cluster, threading.Event()
        self.keeper = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> Any:
        self.keeper.start()
        return self.cluster.__enter__()

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.keeper.join()
        self.cluster.__exit__(*error)

    def _keep(self) -> None:
        missed: set[Any] = set()
        while not self.over.wait(PULSE):
            gone = set(self.cluster.worker_spec) - set(self.cluster.workers)
            for name in gone & missed:
                self.cluster.worker_spec.pop(name, None)
            if gone & missed:
                self.cluster.scale(self.count)
            missed = gone - missed


_one = threading.Lock()


def _told(work: Callable[[Task], Done], task: Task, theirs: str) -> tuple[Done | None, str, str]:
    """What a worker has to say of a task: what came of it, why it diverged, or why it cannot be done here."""
    if (ours := _versions()) != theirs:
        return None, "", f"A worker on {platform.node()} has {ours}; here it is {theirs}."
    with _one:  # a worker of several threads: runs share a world and torch's state
        try:
            return work(task), "", ""
        except FloatingPointError as error:
            return None, str(error) or type(error).__name__, ""
        except Exception as error:
            return None, "", f"A worker on {platform.node()} failed: {type(error).__name__}: {error}"


def _versions() -> str:
    """What results depend on to the last bit, and workers to the first."""
    python = ".".join(platform.python_version_tuple()[:2])
    return f"invtutor {version('invtutor')}, torch {version('torch')}, Python {python}"
