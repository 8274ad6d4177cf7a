"""The commands of tables: ``reproduce | sweep | search | tables``. What they run comes with torch, and only then."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from invtutor.fields import one_of
from invtutor.tables.sheet import FORMATS, Sheet
from invtutor.words import named

__all__ = ["add"]

Command = Callable[[Callable[[argparse.Namespace], int], str, str], argparse.ArgumentParser]


def add(command: Command) -> None:
    """Add them to a parser. command: makes one of a function, what it does, and an example."""
    text = "run the papers' tables and print them beside what is published; killed, it goes on where it was"
    added = command(reproduce, text, "--tables colored_mnist ablations --seeds 3")
    text = "the budget: smoke, quick or paper, whose full batches want a GPU (default: %(default)s)"
    added.add_argument("--profile", default="quick", metavar="NAME", help=text)
    added.add_argument(
        "--tables",
        nargs="+",
        default=[],
        metavar="NAME",
        help="which tables (default: all but `searched` and CoinRun's)",
    )
    text = "seeds a row, 0 to N-1 (default: each table's own number)"
    added.add_argument("--seeds", type=int, metavar="N", help=text)
    added.add_argument("--source", default="auto", metavar="NAME", help="digits: auto, mnist or rendered")
    added.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda or cuda:N")
    text = "of products: float32, or bfloat16, faster where processor or GPU have it (default: %(default)s)"
    added.add_argument("--precision", default="float32", metavar="NAME", help=text)
    _execution(added, "results/PROFILE")

    text = "train a method under every combination of settings; killed, it goes on where it was"
    added = command(sweep, text, "irmv1 -p penalty_weight=1e2,1e3,1e4 -p seed=0:10 --workers 2")
    added.add_argument("method", help="a method, such as vrex; `invtutor run --help` lists them")
    text = "alternatives for a parameter, as in 1e2,1e3 or 0:10 (0 to 9), or 0.1,0.2;0.1,0.3 where each is a list"
    added.add_argument("-p", dest="given", action="append", default=[], metavar="NAME=VALUES", help=text)
    _execution(added, "results/sweep")

    text = "choose settings on validation digits, by one protocol for all methods; killed, it goes on where it was"
    added = command(search, text, "vrex irmv1 --workers 2")
    text = "irmv1, vrex or meta_irm (default: all three; 1,035 trials, one to three hours of two cores)"
    added.add_argument("methods", nargs="*", metavar="METHOD", help=text)
    added.add_argument("--profile", default="quick", metavar="NAME", help="smoke or quick (default: %(default)s)")
    added.add_argument("--source", default="auto", metavar="NAME", help="digits: auto, mnist or rendered")
    added.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda or cuda:N")
    _execution(added, "results/search")

    added = command(tables, "print the tables of a folder of results", "results/sweep --format csv")
    text = "what `reproduce` or `sweep` has filled (default: the results that come with the course)"
    added.add_argument("folder", nargs="?", metavar="DIR", help=text)
    text = "which tables, or settings: a line for each setting (default: those with results; else settings)"
    added.add_argument("--tables", nargs="+", default=[], metavar="NAME", help=text)
    added.add_argument("--profile", default="quick", metavar="NAME", help="smoke, quick or paper (default: quick)")
    text = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]} (default: %(default)s)"
    added.add_argument("--format", default="text", metavar="NAME", help=text)


def _execution(added: argparse.ArgumentParser, usual: str) -> None:
    text = f"the folder of results, a file a run; what it or DIR.jsonl holds is not run again (default: {usual})"
    added.add_argument("--out", metavar="DIR", help=text)
    text = "processes, each with one thread; with slurm, its jobs (default: 1)"
    added.add_argument("--workers", type=int, default=1, metavar="N", help=text)
    text = "workers elsewhere: a dask scheduler's address, tcp://127.0.0.1:PORT or tls://HOST:PORT; or slurm"
    added.add_argument("--cluster", default="", metavar="WHERE", help=text)
    text = "for tls:// and slurm: the authority's certificate, one that it has signed, and its key"
    added.add_argument("--tls", nargs=3, default=(), metavar=("CA", "CERTIFICATE", "KEY"), help=text)
    text = "for slurm: the address at which its jobs reach this machine"
    added.add_argument("--listen", default="", metavar="ADDRESS", help=text)
    added.add_argument("--quiet", action="store_true", help="no progress bar")


def _said(arguments: argparse.Namespace, *more: str) -> dict[str, Any]:
    """The options of `_execution`, and others, as `executors` takes them."""
    return {name: getattr(arguments, name) for name in ("workers", "cluster", "tls", "listen", "quiet", *more)}


def reproduce(arguments: argparse.Namespace) -> int:
    from invtutor.tables import executors, reading
    from invtutor.tables.rows import usual

    out = _folder(arguments.out or f"results/{arguments.profile}")
    options = _said(arguments, "profile", "tables", "seeds", "source", "device", "precision")
    results = executors.reproduce(out, **options)
    print(f"{reading.UNITS}; in brackets what is published.")
    for table in arguments.tables or usual():
        print(f"\n{reading.layout(results, table, arguments.profile)}")
    return _ended(results, out)


def sweep(arguments: argparse.Namespace) -> int:
    from invtutor.tables import executors, reading

    out = _folder(arguments.out or "results/sweep")
    results = executors.sweep(arguments.method, named(arguments.given), out, **_said(arguments))
    print(f"{reading.UNITS}.\n\n{reading.settings(results)}")
    return _ended(results, out)


def search(arguments: argparse.Namespace) -> int:
    from invtutor.tables import executors, reading
    from invtutor.tables.search import METHODS, layout

    out = _folder(arguments.out or "results/search")
    results = executors.search(out, **_said(arguments, "profile", "methods", "source", "device"))
    print(f"{reading.UNITS}.\n\n{layout(results, arguments.profile, arguments.methods or METHODS)}")
    return _ended(results, out)


def tables(arguments: argparse.Namespace) -> int:
    one_of("format", FORMATS, arguments.format)
    from invtutor.runs.budgets import PROFILES
    from invtutor.tables import reading
    from invtutor.tables.rows import TABLES
    from invtutor.tables.store import MEASURED, Store

    one_of("profile", PROFILES, arguments.profile)
    for name in arguments.tables:
        one_of("tables", (*TABLES, "settings"), name)
    store = Store(_folder(arguments.folder or MEASURED.with_name(arguments.profile)))
    if not len(store):
        raise ValueError(f"There are no results in {store.folder}.")
    filled = (name for name in TABLES if any(reading.collect(store, name, arguments.profile).values()))
    sheets: list[Sheet] = []
    for name in arguments.tables or list(filled) or ["settings"]:
        sheets.append(reading.settings(store) if name == "settings" else reading.layout(store, name, arguments.profile))
    print("\n\n".join(sheet.written(arguments.format) for sheet in sheets))
    return 0


def _folder(name: str | Path) -> Path:
    """Of results; their packed form stands for the folder beside it, to which new runs go."""
    return Path(name).with_suffix("") if Path(name).suffix == ".jsonl" else Path(name)


def _ended(results: Any, out: Path) -> int:
    print(f"\n{len(results)} runs in {out}")
    if results.diverged:
        raise FloatingPointError(f"{len(results.diverged)} of the runs diverged; they are named above.")
    return 0
