"""The command line: ``invtutor lab | run | course | book | grade | lessons | doctor | link | refresh | coinrun``, and
tables."""

import argparse
import functools
import io
import os
import signal
import subprocess
import sys
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

from invtutor import doctor
from invtutor.course import copies, kernel, lessons, links, runner, whole
from invtutor.course.grading import command as grading
from invtutor.files import same
from invtutor.tables import commands as tables
from invtutor.words import named, shown

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0, 1 for what fails on the way, 2 for a wrong call, 130 after Ctrl-C."""
    endings = [each for each in ("SIGTERM", "SIGHUP") if argv is None and hasattr(signal, each)]
    for each in endings:  # the real command: told to end, or left by its terminal, it cleans up as after Ctrl-C
        if signal.getsignal(number := getattr(signal, each)) is not signal.SIG_IGN:  # as `nohup` sets it
            signal.signal(number, signal.default_int_handler)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed; else the first file that we open would have its number
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal, or a pipe, that has no λ
            stream.reconfigure(errors="backslashreplace" if stream is sys.stderr else "replace")
    try:
        os.getcwd()
    except OSError:
        return _complain("The folder that you are in is gone; change to another.", 1)
    try:
        return _called(argv)
    except ValueError as error:
        return _complain(error, 2)
    except KeyboardInterrupt:
        if argv is None:  # one more Ctrl-C, while Python itself ends, would change the status
            for each in ("SIGINT", *endings):
                signal.signal(getattr(signal, each), signal.SIG_IGN)
        return _complain("stopped", 130)
    except Exception as error:  # a disk that is full, digits that cannot be had, and what nobody thought of
        if _unheard() and isinstance(error, BrokenPipeError):  # who read us has enough, as in `invtutor lessons | head`
            return 141
        if os.environ.get("INVTUTOR_TRACEBACK"):
            raise
        told = isinstance(error, OSError | FloatingPointError) or type(error).__module__.startswith("invtutor")
        return _complain(error if told else f"{type(error).__name__}: {error}", 1)


def _called(argv: Sequence[str] | None) -> int:
    """Run the command; what it has printed is out when it returns, or an OSError says that it is not."""
    try:
        arguments = _parser().parse_args(argv)
        if out := getattr(arguments, "out", None):
            lessons.refuse_own_folder(out)
        status = int(arguments.command(arguments))
    except SystemExit as ended:  # argparse, after --help or a wrong call
        status = int(ended.code or 0)
    sys.stdout.flush()
    return status


def _unheard() -> bool:
    """Whether there is nobody, or no room, for what we print. It is then left: Python, which would write it when it
    ends, would complain and change the status."""
    lost = False
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
            lost = True
    return lost


def _complain(message: object, status: int) -> int:
    """One line on stderr, whatever the message quotes: no control characters, and not without end."""
    line = " ".join(str(message).split())
    line = "".join(character if character.isprintable() else ascii(character)[1:-1] for character in line)
    with suppress(OSError):  # nobody, or no room, for it: the status tells
        print(f"invtutor: error: {line if len(line) <= 1000 else f'{line[:600]} … {line[-300:]}'}", file=sys.stderr)
    _unheard()
    return status


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(_complain(message, 2))

    def format_help(self) -> str:
        if self.prog.endswith(" run"):  # only now: they come with torch, which takes seconds to load
            from invtutor.networks import NETWORKS
            from invtutor.worlds import WORLDS

            self.epilog = (
                f"{self.epilog}. Methods: {', '.join(_methods())}. A method may be trained elsewhere: "
                f"-p world=…, of {', '.join(WORLDS)}; -p network=…, of {', '.join(NETWORKS)}."
            )
        return super().format_help()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="invtutor", description="A course on invariant learning, in notebooks you can steer.")
    parser.add_argument("--version", action="version", version=f"invtutor {doctor.version('invtutor')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(function: Callable[[argparse.Namespace], int], text: str, example: str) -> argparse.ArgumentParser:
        name = function.__name__.strip("_")
        epilog = f"Example: invtutor {name} {example}".rstrip()
        added = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=epilog)
        added.set_defaults(command=function)
        return added

    def execution(added: argparse.ArgumentParser, *, parameters: bool) -> argparse.ArgumentParser:
        if parameters:
            text = "set a parameter of the lesson, any number of times; `invtutor lessons` lists them"
            added.add_argument("-p", dest="given", action="append", default=[], metavar="NAME=VALUE", help=text)
        usual = kernel.USUAL
        text = "stop a lesson after so many seconds (default: %(default)g)"
        number = functools.partial(_above_zero, "timeout")
        added.add_argument("--timeout", type=number, default=usual.timeout, metavar="S", help=text)
        text = "stop a lesson whose cells show so much (default: %(default)g MB)"
        number = functools.partial(_above_zero, "max_output")
        added.add_argument("--max-output", type=number, default=usual.max_output, metavar="MB", help=text)
        text = "stop a lesson that takes so much memory (default: as much as there is)"
        number = functools.partial(_above_zero, "memory")
        added.add_argument("--memory", type=number, default=usual.memory, metavar="MB", help=text)
        added.add_argument("--quiet", action="store_true", help="no progress bar")
        return added

    lab = command(_lab, "open the lessons in JupyterLab", "my-course --lesson 03")
    lab.add_argument("folder", nargs="?", metavar="DIR", help="copy them there first (default: invtutor-lessons)")
    lab.add_argument("--lesson", default="00", help="the lesson to open (default: %(default)s)")
    lab.add_argument("--in-place", action="store_true", help="open the originals, as in a checkout; copies nothing")
    lab.add_argument("--no-browser", action="store_true", help="print the address instead of opening a browser")

    text = "execute one lesson headless, or train one method"
    run = command(_run, text, "03_irmv1 -p penalty_weight=1e3 -p seed=7 --out results/a")
    run.add_argument("lesson", help="number, name or path of the lesson; or a method such as vrex, to train that")
    run.add_argument("--out", metavar="DIR", help="for the notebook and result.json (default: results/LESSON)")
    text = "of a method: turn a knob after so many steps, any number of times, as the live panel does"
    run.add_argument("--steer", action="append", default=[], metavar="STEP:NAME=VALUE", help=text)
    execution(run, parameters=True)

    course = command(_course, "execute every lesson headless, ending in one table", "-p source=rendered --quiet")
    course.add_argument("--out", metavar="DIR", default="results", help="one folder per lesson (default: %(default)s)")
    text = "lessons at a time, which share the cores (default: %(default)s)"
    course.add_argument("--workers", type=int, default=1, metavar="N", help=text)
    execution(course, parameters=True)

    text = "make a static site of the lessons, whose sliders need no kernel"
    book = command(_book, text, "02 03 --out site")
    book.add_argument("lesson", nargs="*", help="the lessons (default: all)")
    book.add_argument("--out", metavar="DIR", default="results/book", help="the site (default: %(default)s)")
    outputs = book.add_mutually_exclusive_group()
    text = "execute the lessons in it: smoke, quick or paper (default: %(default)s)"
    outputs.add_argument("--profile", default="quick", metavar="NAME", help=text)
    text = "execute nothing: show the outputs that are stored in the lessons, without sliders"
    outputs.add_argument("--stored", action="store_true", help=text)
    book.add_argument("--slides", action="store_true", help="slides of each lesson as well, linked from its page")
    execution(book, parameters=False)

    tables.add(command)
    text = "execute the notebooks of a class and write a table of marks; stopped, it goes on where it was"
    grading.options(execution(command(_grade, text, "submissions --lesson 03 --workers 4"), parameters=False))

    command(_lessons, "list the lessons with their parameters", "")
    command(_doctor, "report what the course finds on this machine, down to the digits", "")

    text = "print a lesson's address on Binder and its badge, or its address on a JupyterHub, Colab or Kaggle"
    link = command(_link, text, "me/invtutor --ref v0.1.0 --lesson 03")
    link.add_argument("repo", metavar="OWNER/REPO", help="the repository on GitHub")
    link.add_argument("--ref", required=True, help="tag, branch or commit; Binder starts a built tag faster")
    text = "address of a JupyterHub that has nbgitpuller; --ref is then a branch"
    where = link.add_mutually_exclusive_group()
    where.add_argument("--nbgitpuller", metavar="HUB_URL", help=text)
    for host in links.HOSTS:
        text = f"address on {host.capitalize()}, its badge, and a first cell that installs what is missing there"
        where.add_argument(f"--{host}", dest="host", action="store_const", const=host, help=text)
    link.add_argument("--lesson", default="00", help="the lesson to open (default: %(default)s)")

    text = "let an expert play CoinRun and record what the world `coinrun` is made of; stopped, it goes on where it was"
    coinrun = command(_coinrun, text, "--levels 200 --out data/coinrun.npz")
    coinrun.add_argument("--levels", type=int, metavar="N", help="levels, 0 to N-1")
    coinrun.add_argument("--states", type=int, metavar="N", help="states of each, at most")
    coinrun.add_argument("--size", type=int, metavar="N", help="side of the frames in pixels, a divisor of 64")
    text = "who plays: a search (default), or a policy that PPO trains first, for which a GPU should be there"
    coinrun.add_argument("--expert", choices=("search", "ppo"), default="search", help=text)
    text = "of ppo: frames to train on (default: 200,000,000)"
    coinrun.add_argument("--frames", type=int, metavar="N", help=text)
    text = "of ppo: what to train it on (default: a GPU if there is one)"
    coinrun.add_argument("--device", metavar="NAME", help=text)
    text = "the file (default: coinrun.npz where the world looks for it); a policy lies beside it"
    coinrun.add_argument("--out", metavar="FILE", help=text)
    coinrun.add_argument("--quiet", action="store_true", help="no progress bar")

    refresh = command(_refresh, "execute lessons and store their outputs in them (for maintainers)", "03 04")
    refresh.add_argument("lesson", nargs="*", help="the lessons (default: all)")
    execution(refresh, parameters=False)
    return parser


def _above_zero(name: str, text: str) -> float:
    """The value of an option that limits a run."""
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"Parameter `{name}` should be above 0 and finite. Found {shown(text)}.")
    return number


def _named_lessons(arguments: argparse.Namespace) -> list[lessons.Lesson]:
    """Each once, however often and in however many ways it is named."""
    return list({found.path: found for found in map(lessons.find, arguments.lesson)}.values())


def _of_course(name: str, besides: Path | None = None) -> lessons.Lesson:
    """A lesson of the course, or a notebook that lies in the folder `besides`. Raises ValueError for any other."""
    found = lessons.find(name)
    own = found.path.name in [path.name for path in lessons.paths()]
    if not (own or (besides and same(found.path.parent, besides))):
        raise ValueError(f"{found.path} is no lesson of the course{f', nor in {besides}' if besides else ''}.")
    return found


def _limits(arguments: argparse.Namespace) -> kernel.Limits:
    return kernel.Limits(arguments.timeout, arguments.max_output, arguments.memory)


# ------------------------------------------------------------------------------------------------- commands


def _lab(arguments: argparse.Namespace) -> int:
    if arguments.in_place and arguments.folder:
        raise ValueError("Give either DIR or --in-place: nothing is copied in place.")
    folder = lessons.folder() if arguments.in_place else Path(arguments.folder or "invtutor-lessons")
    first = _of_course(arguments.lesson, besides=folder).path.name
    if not arguments.in_place:
        for name in copies.copy_lessons(folder):
            print(f"{folder / name} has changes of yours and stays as it is.")
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder.resolve()}"]
    command.append(f"--LabApp.default_url=/lab/tree/{quote(os.fsencode(first))}")
    if arguments.no_browser or not _has_browser():
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    if os.name == "posix":  # Ctrl-C is then Jupyter's alone
        os.execv(command[0], command)
    return subprocess.call(command)


def _has_browser() -> bool:
    """Whether a window can open here: on Linux that takes a display, whatever text browsers are installed."""
    if sys.platform.startswith("linux") and not any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))):
        return False
    try:
        return bool(webbrowser.get())
    except webbrowser.Error:
        return False


def _run(arguments: argparse.Namespace) -> int:
    methods = _methods() if arguments.lesson.isidentifier() else ()  # lessons' names begin with their numbers
    if arguments.lesson in methods:
        return _run_method(arguments)
    lesson = lessons.find(arguments.lesson, methods)
    if arguments.steer:
        raise ValueError("Option --steer is for a method, such as `invtutor run irmv1`; a lesson has no knobs.")
    out = arguments.out or Path("results") / lesson.path.stem
    given = named(arguments.given)
    report = runner.run_lesson(lesson, given, out=out, limits=_limits(arguments), quiet=arguments.quiet)
    print(report)
    print(f"Notebook{' and result.json' if report.record else ''} in {report.notebook.parent}")
    return 0


def _methods() -> tuple[str, ...]:
    from invtutor.algorithms import ALGORITHMS  # with torch, which takes seconds to load

    return tuple(ALGORITHMS)


def _run_method(arguments: argparse.Namespace) -> int:
    from invtutor.runs.commands import parse_change, read_recipe
    from invtutor.runs.session import execute

    recipe = read_recipe(arguments.lesson, named(arguments.given))
    changes = [parse_change(text) for text in arguments.steer]
    out = Path(arguments.out or Path("results") / arguments.lesson)
    session = execute(recipe, changes, out)
    last, names = session.history.last, session.snapshot().accuracies
    print(
        f"{session.algorithm}, step {session.taken}: {', '.join(f'{name} {100 * last[name]:.1f} %' for name in names)}"
    )
    if session.note():
        print(f"Note: {session.note()}")
    print(f"result.json in {out}")
    return 0


def _course(arguments: argparse.Namespace) -> int:
    given = named(arguments.given)
    workers = arguments.workers
    whole.run_course(arguments.out, given, limits=_limits(arguments), quiet=arguments.quiet, workers=workers)
    return 0


def _book(arguments: argparse.Namespace) -> int:
    from invtutor.course import book

    chosen = _named_lessons(arguments)
    profile, limits = None if arguments.stored else arguments.profile, _limits(arguments)
    slides, quiet = arguments.slides, arguments.quiet
    print(book.write_book(arguments.out, chosen, profile=profile, slides=slides, limits=limits, quiet=quiet))
    return 0


def _grade(arguments: argparse.Namespace) -> int:
    return grading.run(arguments, _limits(arguments))


def _lessons(arguments: argparse.Namespace) -> int:
    for lesson in lessons.lessons():
        minutes = f"  ({lesson.minutes} minutes)" if lesson.minutes else ""
        print(f"{lesson.name}  {lesson.title}{minutes}")
        for parameter in lesson.parameters:
            print(f"    {f'{parameter.name}: {parameter.type} = {parameter.default!r}':<34}  {parameter.help}".rstrip())
    return 0


def _link(arguments: argparse.Namespace) -> int:
    lesson = _of_course(arguments.lesson)
    if arguments.host:
        print(*links.hosted_link(arguments.host, arguments.repo, arguments.ref, lesson), sep="\n")
        print(f"\n{links.first_cell(arguments.repo, arguments.ref)}")
    elif arguments.nbgitpuller is None:
        print(*links.binder_link(arguments.repo, arguments.ref, lesson), sep="\n")
    else:
        print(links.nbgitpuller_link(arguments.nbgitpuller, arguments.repo, arguments.ref, lesson))
    return 0


def _refresh(arguments: argparse.Namespace) -> int:
    for lesson in _named_lessons(arguments) or lessons.lessons():
        runner.refresh(lesson, limits=_limits(arguments), quiet=arguments.quiet)
        print(f"{lesson.name} refreshed")
    return 0


def _coinrun(arguments: argparse.Namespace) -> int:
    from invtutor.worlds.coinrun import FILE
    from invtutor.worlds.demonstrations import Demonstrations
    from invtutor.worlds.mnist import data_folder

    out = Path(arguments.out or data_folder() / FILE)
    training, given = (
        {name: value for name in names if (value := getattr(arguments, name)) is not None}
        for names in (("frames", "device"), ("levels", "states", "size"))
    )
    if arguments.expert == "ppo":
        from invtutor.runs.trained_expert import TrainedExpert

        given["expert"] = TrainedExpert(**training)
    elif training:
        raise ValueError(f"Option --{next(iter(training))} is for `--expert ppo`: a search is not trained.")
    made = Demonstrations(**given).make(out, quiet=arguments.quiet)
    print(f"{made} in {out}")
    if len(made.unsolved):
        print(f"Left out, since the expert did not win them: {', '.join(f'level {n}' for n in made.unsolved)}")
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    return doctor.report()


if __name__ == "__main__":
    sys.exit(main())
