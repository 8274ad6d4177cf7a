"""What a self-check is: it compares a student's function with the right one, on examples that the student can read.

An exercise is one generator. It takes what the student's function takes and yields rows of a hint and values: first
`RIGHT` with the right answer (or several, where there are), then each known mistake's hint with what those return who
need it. A hint names a mistake only where it was *recognized*: the student's values equal those of a known mistake in
every example. Otherwise it shows the first example that goes wrong: what went in, what was wanted, what was found. A
check never raises because of the student's function; it returns a `Verdict` that shows itself in the notebook.
"""

import base64
import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, update_wrapper
from itertools import islice
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

__all__ = ["NOTHING", "RIGHT", "Answer", "Check", "Function", "Hint", "Mark", "Rows", "Verdict", "check"]

Function = Callable[..., Any]
Rows = Iterator[tuple[Any, ...]]
Mark = Literal["done", "hint", "untouched"]

RIGHT = "right"
NOTHING = "Your function returns nothing (None). Is the `return` missing?"
CUT = (
    "The value is right, but gradients cannot flow through it: no .item(), no .detach(), no NumPy, no float() and no "
    "torch.no_grad() on the way."
)


@dataclass(frozen=True)
class Verdict:
    """The outcome of a self-check: true when the exercise is solved.

    exercise: the check's title. mark: done; hint, where something is written and not right; untouched, where the stub
    still stands. message: what the student reads.
    """

    exercise: str
    mark: Mark
    message: str

    @property
    def passed(self) -> bool:
        return self.mark == "done"

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return f"{'✓' if self.passed else '✗'} {self.message}"


class Hint(Exception):
    """What a student should read; raised wherever a check finds it out."""


class Answer(NamedTuple):
    """What a student's function gave for one example: its value, and that value's slopes where they are asked for (None
    where gradients cannot flow)."""

    value: Any
    slopes: Tensor | None


class Told(NamedTuple):
    """A value that is no numbers, as another process told of it."""

    kind: str
    words: str

    def __repr__(self) -> str:
        return self.words


@dataclass(eq=False, repr=False)
class Check:
    """The check of one exercise, called with the student's function.

    rows: the generator. start: the hint for a stub that has not been filled in. examples: arguments to try, the first
    ones easy to read. probe: makes of a function the one whose values are compared, where its own are random;
    `compared` says what these are. differentiable: names of arguments in which the value must be differentiable;
    `slopes` is the hint for a wrong derivative, `infinite` for one that is not finite. keeps: the hint for a function
    that changes its arguments; empty allows it.
    """

    rows: Callable[..., Rows]
    title: str
    start: str
    examples: Sequence[tuple[Any, ...]]
    probe: Callable[[Function], Function] = lambda function: function
    differentiable: Sequence[str] = ()
    slopes: str = "The value is right; its derivative is not. Is a part of it taken as a constant?"
    infinite: str = "The value is right, but its derivative is not finite."
    keeps: str = ""
    compared: str = ""
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        self.names = list(inspect.signature(self.probe(self.rows)).parameters)
        self.leaves = [self.names.index(name) for name in self.differentiable]
        update_wrapper(self, self.rows)

    def __call__(self, student: Function) -> Verdict:
        return self._verdict(lambda: self._answers(student))

    def tell(self, student: Function) -> dict[str, Any]:
        """The student's answers as JSON, for a `verdict` in another process, which nothing in this one can sway."""
        try:
            return {"answers": [[_packed(part) for part in answer] for answer in self._answers(student)]}
        except NotImplementedError:
            return {}
        except Hint as hint:
            return {"hint": str(hint)}

    def verdict(self, told: dict[str, Any]) -> Verdict:
        """The verdict on what `tell` gave, be it damaged or made up."""

        def answers() -> list[Answer]:
            if not told:
                raise NotImplementedError
            if "hint" in told:
                raise Hint(str(told["hint"]))
            try:
                found = [Answer(*map(_unpacked, parts)) for parts in told["answers"]]
            except Exception:  # whatever a stranger may have made of it
                found = []
            if len(found) != len(self.examples):
                raise Hint("What your function gave cannot be read.")
            return found

        return self._verdict(answers)

    def _verdict(self, answers: Callable[[], list[Answer]]) -> Verdict:
        try:
            with torch.random.fork_rng(devices=[]):
                self._judge(answers())
        except NotImplementedError:
            return Verdict(self.title, "untouched", f"{self.title}: not written yet. {self.start}")
        except Hint as hint:
            return Verdict(self.title, "hint", f"{self.title}: not yet. {hint}")
        return Verdict(self.title, "done", f"{self.title}: solved.")

    @cached_property
    def known(self) -> dict[str, list[Function]]:
        """Hint → the functions of those who need it; with the right ones."""
        found: list[tuple[Any, ...]] = []

        def all_rows(*arguments: Any, **named: Any) -> Any:
            found[:] = self.rows(*arguments, **named)
            return found[0][1]

        self._call(all_rows, self.examples[0])
        return {
            hint: [self._column(number, place) for place in range(1, len(values) + 1)]
            for number, (hint, *values) in enumerate(found)
        }

    @property
    def mistakes(self) -> dict[str, list[Function]]:
        return {hint: functions for hint, functions in self.known.items() if hint != RIGHT}

    def _column(self, number: int, place: int) -> Function:
        """One value of one row, as a function."""
        return lambda *given, **named: next(islice(self.rows(*given, **named), number, None))[place]

    def _call(self, function: Function, arguments: Sequence[Any]) -> tuple[Any, list[Any]]:
        own = [_copy(argument, leaf=i in self.leaves) for i, argument in enumerate(arguments)]
        return _value(self.probe(function)(*own)), own

    def _tried(self, student: Function, arguments: Sequence[Any]) -> tuple[Any, list[Any]]:
        """A student's value, and the arguments it was given. Raises Hint for what is no value at all."""
        try:
            value, own = self._call(student, arguments)
        except (NotImplementedError, Hint):
            raise
        except (Exception, SystemExit) as error:  # whatever the student's code raises is theirs to read
            if self.leaves and "requires grad" in str(error) and "numpy" in str(error).lower():
                raise Hint(CUT) from error
            where = f"with {self._told(arguments)} it stopped with {type(error).__name__}: {error}"
            raise Hint(f"Your function cannot be run: {where}") from error
        if value is None:
            raise Hint(NOTHING)
        tensors = [pair for pair in zip(own, arguments, strict=True) if isinstance(pair[1], Tensor)]
        if self.keeps and not all(torch.equal(after, before) for after, before in tensors):
            raise Hint(self.keeps)
        return value, own

    def _answers(self, student: Function) -> list[Answer]:
        if not callable(student):
            raise Hint("Hand over the function itself: its name, without brackets after it.")
        with torch.random.fork_rng(devices=[]):  # the student's own draws go on where they were
            torch.manual_seed(0)
            return [self._answer(*self._tried(student, arguments)) for arguments in self.examples]

    def _answer(self, value: Any, own: Sequence[Any]) -> Answer:
        flows = self.leaves and isinstance(value, Tensor) and value.requires_grad
        return Answer(value, _slopes(value, own, self.leaves) if flows else None)

    def _judge(self, found: Sequence[Answer]) -> None:
        answer, *others = self.known[RIGHT]
        torch.manual_seed(0)
        wanted = [self._answer(*self._call(answer, arguments)) for arguments in self.examples]
        values = [value for value, _ in found]
        if any(self._agree(function, values) for function in others):
            return
        for arguments, value, (right, _) in zip(self.examples, values, wanted, strict=True):
            if not self._same(value, right):
                raise Hint(self._recognized(values) or self._compared(arguments, value, right))
        if self.leaves:
            for (_, slopes), (_, wish) in zip(found, wanted, strict=True):
                if slopes is None:
                    raise Hint(CUT)
                if not self._same(slopes, wish):
                    raise Hint(self.slopes if slopes.isfinite().all() else self.infinite)

    def _recognized(self, values: Sequence[Any]) -> str:
        agreed = (hint for hint, wrong in self.mistakes.items() if any(self._agree(one, values) for one in wrong))
        return next(agreed, "")

    def _agree(self, function: Function, values: Sequence[Any]) -> bool:
        """Whether a function has these values in all examples."""
        known = (self._call(function, arguments)[0] for arguments in self.examples)
        return all(self._same(value, other) for value, other in zip(values, known, strict=True))

    def _compared(self, arguments: Sequence[Any], value: Any, right: Any) -> str:
        words = f"With {self._told(arguments)}: wanted {_seen(right, value)}, found {_seen(value, right)}."
        return f"{words} Compared are {self.compared}." if self.compared else words

    def _told(self, arguments: Sequence[Any]) -> str:
        return ", ".join(f"{name} = {_seen(_value(a))}" for name, a in zip(self.names, arguments, strict=True))

    def _same(self, found: Any, wanted: Any) -> bool:
        if isinstance(found, Told) and not isinstance(wanted, Tensor):
            return found == _told(wanted)
        if not (isinstance(found, Tensor) and isinstance(wanted, Tensor)):
            return type(found) is type(wanted) and bool(found == wanted)
        if wanted.dim() == 0 and found.numel() == 1:  # one number is one number, whatever its shape
            found = found.reshape(())
        return (found.shape, found.dtype) == (wanted.shape, wanted.dtype) and torch.allclose(
            found.detach(), wanted.detach(), rtol=1e-4, atol=self.tolerance, equal_nan=True
        )


def check(title: str, start: str, examples: Iterable[tuple[Any, ...]], **options: Any) -> Callable[..., Check]:
    """Make a check of the exercise that is decorated; options as for `Check`."""
    return lambda rows: Check(rows, title, start, tuple(examples), **options)


def _copy(argument: Any, *, leaf: bool) -> Any:
    if isinstance(argument, Tensor):
        return argument.clone().requires_grad_() if leaf else argument.clone()
    return copy.deepcopy(argument)  # examples serve again


def _value(found: Any) -> Any:
    """What a function returned as a tensor of float64, however it was written; what is no numbers stays as it is."""
    if found is None or isinstance(found, str):
        return found
    if isinstance(found, Iterator) or hasattr(found, "mapping"):  # a generator, a view of a dict's values
        found = list(found)
    try:
        if isinstance(found, list | tuple) and any(isinstance(item, Tensor) for item in found):
            found = torch.stack([torch.as_tensor(item) for item in found])
        number = torch.as_tensor(found)
    except (TypeError, ValueError, RuntimeError):
        return found
    return found if number.is_complex() else number.double()


def _told(value: Any) -> Told:
    return Told(type(value).__qualname__, repr(value)[:10_000])


def _packed(value: Any) -> Any:
    """A value of `_value` as JSON."""
    if not isinstance(value, Tensor):
        return None if value is None else _told(value)
    numbers = value.detach().contiguous().cpu().numpy()
    return {
        "dtype": str(numbers.dtype),
        "shape": list(numbers.shape),
        "bytes": base64.b64encode(numbers.tobytes()).decode(),
    }


_KINDS = (torch.float16, torch.float32, torch.float64, torch.complex64, torch.complex128)


def _unpacked(told: Any) -> Any:
    if told is None:
        return None
    if isinstance(told, list):
        return Told(*map(str, told))
    kind = {str(kind).partition(".")[2]: kind for kind in _KINDS}[told["dtype"]]
    data = bytearray(base64.b64decode(told["bytes"]))
    flat = torch.frombuffer(data, dtype=kind) if data else torch.empty(0, dtype=kind)
    return flat.reshape(told["shape"])


def _slopes(value: Tensor, own: Sequence[Any], leaves: Sequence[int]) -> Tensor:
    """The derivative of the value, or of the sum of its entries, in the arguments that want one."""
    inputs = [own[i] for i in leaves]
    slopes = torch.autograd.grad(value.sum(), inputs, allow_unused=True, retain_graph=True)
    return torch.cat([(torch.zeros_like(x) if g is None else g).flatten() for g, x in zip(slopes, inputs, strict=True)])


def _seen(value: Any, other: Any = None) -> str:
    """A value in few words; where its shape is not that of the other, its shape as well."""
    if not isinstance(value, Tensor):
        words = repr(value)
        return words if len(words) <= 100 else f"{words[:100]}…"
    numbers = _listed(value.detach()) if value.numel() <= 24 else f"{_listed(value.detach().flatten()[:6])[:-1]}, …]"
    unlike = isinstance(other, Tensor) and other.shape != value.shape and max(other.numel(), value.numel()) > 1
    return f"{numbers} of shape {tuple(value.shape)}" if unlike or value.numel() > 24 else numbers


def _listed(value: Tensor) -> str:
    if value.dim():
        return f"[{', '.join(map(_listed, value))}]"
    return f"{value.item():.4g}".replace("-", "−")
