"""Runs in other processes: the same to the last bit, whatever is killed; and nobody else is let in."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from distributed import Security
from engine_work import how_it_is_watched, slow, some_diverge, some_fail

from invtutor.tables import engine
from invtutor.tables.engine import Engine, WorkerError
from invtutor.tables.executors import sweep
from invtutor.tables.store import Result, Store

HOME = Path(__file__).parents[1]
GIVEN: dict[str, Any] = {"world": "spirals", "profile": "smoke", "steps": "20,30", "seed": "0:3"}


@contextmanager
def dask(folder: Path, *options: str) -> Iterator[tuple[str, list[psutil.Process]]]:
    """A scheduler and two workers, started as separate commands on this machine; its address, and the workers."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(HOME), *filter(None, sys.path)])}
    told = folder / "scheduler.json"
    commands = [
        ["scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address", "127.0.0.1:0"],
        ["worker", "--host", "127.0.0.1", "--nworkers", "2", "--nthreads", "1", "--dashboard-address", "127.0.0.1:0"],
    ]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "dask", *command, "--scheduler-file", str(told), *options],
            env=environment, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for command in commands
    ]  # fmt: skip
    try:
        wait(lambda: told.exists() and len(children(started[1])) >= 2)
        yield json.loads(told.read_text())["address"], started
    finally:
        for process in (*children(started[1]), *started):  # to end in order takes them a minute
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for process in started:
            process.wait()


def children(process: subprocess.Popen[bytes] | None = None) -> list[psutil.Process]:
    """The worker processes below one, or below this."""
    found = []
    for child in psutil.Process(process and process.pid).children(recursive=True):
        with suppress(psutil.Error):
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def wait(there: Callable[[], bool]) -> None:
    end = time.monotonic() + 300
    while not there():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[Any]]]:
    with dask(tmp_path_factory.mktemp("dask")) as running:
        yield running


def timeless(results: list[Result]) -> list[Any]:
    """What is kept, but for what no two runs share."""
    kept = [json.loads(result.to_json()) for result in results]
    for values in kept:
        del values["cpu"], values["metrics"]["seconds"], values["made"]["date"]
    return kept


def test_results_are_those_of_one_process(cluster: tuple[str, list[Any]], tmp_path: Path) -> None:
    alone = sweep("irmv1", GIVEN, tmp_path / "alone", quiet=True)
    together = sweep("irmv1", GIVEN, tmp_path / "together", quiet=True, cluster=cluster[0])
    assert len(alone) == 6 and timeless(alone) == timeless(together)
    assert len(sweep("irmv1", GIVEN, tmp_path / "together", quiet=True, cluster="tcp://localhost:1")) == 6, (
        "none to run"
    )


@pytest.mark.long
def test_a_killed_program_leaves_whole_rows_and_the_next_goes_on(
    cluster: tuple[str, list[Any]], tmp_path: Path
) -> None:
    few = {**GIVEN, "seed": "0:12", "steps": "60"}
    words = [f"-p{name}={value}" for name, value in few.items()]
    command = [sys.executable, "-m", "invtutor", "sweep", "irmv1", *words, "--cluster", cluster[0], "--out", "rows"]
    driver = subprocess.Popen(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(HOME.parent)}, stderr=-3)
    wait(lambda: len(list(tmp_path.glob("rows/*.json"))) >= 3)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    kept = {path: path.read_bytes() for path in (tmp_path / "rows").glob("*.json")}
    assert 3 <= len(kept) < 12 and len(Store(tmp_path / "rows")) == len(kept)
    assert len(sweep("irmv1", few, tmp_path / "rows", quiet=True, cluster=cluster[0])) == 12
    assert all(path.read_bytes() == content for path, content in kept.items())
    assert not list((tmp_path / "rows").glob(".*"))


def test_killed_workers_lose_nothing(cluster: tuple[str, list[Any]]) -> None:
    rng, killed, over = random.Random(0), [], threading.Event()

    def kill() -> None:
        while len(killed) < 3 and not over.wait(rng.uniform(0.1, 0.6)):
            with suppress(psutil.Error, IndexError):
                rng.choice(children(cluster[1][1])).send_signal(signal.SIGKILL)
                killed.append(time.monotonic())

    thread, done = threading.Thread(target=kill), []
    try:
        for each in Engine(cluster=cluster[0]).each(slow, range(60)):
            done.append(each)
            if len(done) == 1:  # now the workers are up
                thread.start()
    finally:
        over.set()
        thread.join()
    assert sorted(done) == [(number, number**2, "") for number in range(60)] and len(killed) == 3


def test_what_diverges_is_told_and_what_cannot_be_done_stops(
    cluster: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Engine(cluster=cluster[0])
    done = {number: why for number, result, why in place.each(some_diverge, range(6)) if result is None}
    assert done == {1: "risk is nan at step 1.", 4: "risk is nan at step 4."}
    assert [why for *_, why in Engine().each(some_diverge, range(2))] == ["", "risk is nan at step 1."]
    with pytest.raises(WorkerError, match=r"^A worker on .* failed: RuntimeError: MNIST cannot be had: no network\.$"):
        list(place.each(some_fail, range(6)))
    monkeypatch.setattr(engine, "_versions", lambda: "invtutor 9.9")
    with pytest.raises(WorkerError, match=r"^A worker on .* has invtutor .*, torch .*; here it is invtutor 9\.9\.$"):
        list(place.each(slow, range(2)))


def test_a_scheduler_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "ANSWER", 1)
    with pytest.raises(WorkerError, match=r"^No workers can be had at tcp://127\.0\.0\.1:9: ") as told:
        list(Engine(cluster="tcp://127.0.0.1:9").each(slow, range(2)))
    assert "\n" not in str(told.value)


def certificates(folder: Path) -> tuple[str, str, str]:
    """Temporary ones, in files."""
    made = Security.temporary()
    contents = (made.tls_ca_file, made.tls_client_cert, made.tls_client_key)
    names = tuple(str(folder / name) for name in ("ca.pem", "certificate.pem", "key.pem"))
    folder.mkdir()
    for name, content in zip(names, contents, strict=True):
        Path(name).write_text(content)
    return names  # type: ignore[return-value]


def test_certificates_let_in_and_keep_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, others = certificates(tmp_path / "ours"), certificates(tmp_path / "others")
    options = ["--protocol", "tls"]
    for name, file in zip(("--tls-ca-file", "--tls-cert", "--tls-key"), ours, strict=True):
        options += [name, file]
    with dask(tmp_path, *options) as (address, _):
        assert address.startswith("tls://127.0.0.1:")
        assert sorted(Engine(cluster=address, tls=ours).each(slow, range(3))) == [(0, 0, ""), (1, 1, ""), (2, 4, "")]
        monkeypatch.setattr(engine, "ANSWER", 2)
        for place in (Engine(cluster=address, tls=others), Engine(cluster=address.replace("tls", "tcp"))):
            with pytest.raises(WorkerError, match=r"^No workers can be had at "):
                list(place.each(slow, range(2)))


def test_processes_of_this_machine_listen_to_it_alone_and_end_with_us() -> None:
    me, listening, others = psutil.Process(), set(), children()
    for _, squared, _ in Engine(workers=2).each(slow, range(8)):
        assert squared is not None
        for process in (me, *children()):
            listening |= {c.laddr.ip for c in process.net_connections() if c.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}
    wait(lambda: set(children()) <= set(others))
    assert not any(c.status == psutil.CONN_LISTEN for c in me.net_connections("tcp"))


def test_processes_of_this_machine_are_not_profiled() -> None:
    names = ["distributed.worker.profile.enabled", "distributed.admin.tick.interval", "distributed.admin.event-loop"]
    found = {name: told for name, told, _ in Engine(workers=2).each(how_it_is_watched, names)}
    assert [found[name] for name in names] == [False, "1s", "tornado"]
