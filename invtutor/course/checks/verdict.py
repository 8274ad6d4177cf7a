"""What a self-check is: it compares a student's function with the right one, on examples that the student can read.

A hint names a mistake only where it was *recognized*: the student's values equal those of a known mistake in every
example. Otherwise it shows the first example that goes wrong: what went in, what was wanted, what was found. A check
never raises because of the student's function; it returns a `Verdict` that shows itself in the notebook.
"""

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from torch import Tensor

__all__ = ["Function", "Hint", "Verdict", "check"]

Function = Callable[..., Any]
Examples = Callable[[], Iterable[tuple[Any, ...]]]

CUT = (
    "The value is right, but gradients cannot flow through it: no .item(), no .detach(), no NumPy, no float() and no "
    "torch.no_grad() on the way."
)


@dataclass(frozen=True)
class Verdict:
    """The outcome of a self-check: true when the exercise is solved."""

    passed: bool
    message: str

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return f"{'✓' if self.passed else '✗'} {self.message}"


class Hint(Exception):
    """What a student should read; raised wherever a check finds it out."""


def check(
    title: str,
    start: str,
    *,
    examples: Examples,
    mistakes: Mapping[str, Function | Sequence[Function]],
    also: Sequence[Function] = (),
    probe: Callable[[Function], Function] = lambda function: function,
    differentiable: Sequence[str] = (),
    slopes: str = "The value is right; its derivative is not. Is a part of it taken as a constant?",
    infinite: str = "The value is right, but its derivative is not finite.",
    keeps: str = "",
    compared: str = "",
    tolerance: float = 1e-4,
) -> Callable[[Function], Callable[[Function], Verdict]]:
    """Make a check of the right answer, the function that is decorated.

    start: the hint for a stub that has not been filled in. examples: arguments to try, the first ones easy to read.
    mistakes: hint → the function (or functions) that whoever needs the hint has written. also: other right answers,
    where an exercise has more than one. probe: makes of a function the one whose values are compared, where its own
    are random; `compared` says what these are. differentiable: names of arguments in which the value must be
    differentiable; `slopes` is the hint for a wrong derivative, `infinite` for one that is not finite. keeps: the hint
    for a function that changes its arguments; empty allows it.
    """

    def decorate(answer: Function) -> Callable[[Function], Verdict]:
        names = list(inspect.signature(probe(answer)).parameters)
        leaves = [names.index(name) for name in differentiable]

        def call(function: Function, arguments: Sequence[Any]) -> tuple[Any, list[Any]]:
            own = [_copy(argument, leaf=i in leaves) for i, argument in enumerate(arguments)]
            value = _value(probe(function)(*own))
            return value, own

        def tried(student: Function, arguments: Sequence[Any]) -> tuple[Any, list[Any]]:
            """A student's value, and the arguments it was given. Raises Hint for what is no value at all."""
            try:
                value, own = call(student, arguments)
            except (NotImplementedError, Hint):
                raise
            except (Exception, SystemExit) as error:  # whatever the student's code raises is theirs to read
                if leaves and "requires grad" in str(error) and "numpy" in str(error).lower():
                    raise Hint(CUT) from error
                where = f"with {_told(names, arguments)} it stopped with {type(error).__name__}: {error}"
                raise Hint(f"Your function cannot be run: {where}") from error
            if value is None:
                raise Hint("Your function returns nothing (None). Is the `return` missing?")
            tensors = [pair for pair in zip(own, arguments, strict=True) if isinstance(pair[1], Tensor)]
            if keeps and not all(torch.equal(after, before) for after, before in tensors):
                raise Hint(keeps)
            return value, own

        def judge(student: Function) -> None:
            if not callable(student):
                raise Hint("Hand over the function itself: its name, without brackets after it.")
            cases = list(examples())
            found = [tried(student, arguments) for arguments in cases]
            values = [value for value, _ in found]
            wanted = [call(answer, arguments)[0] for arguments in cases]
            if any(_agree(function, values) for function in also):
                return
            for arguments, value, right in zip(cases, values, wanted, strict=True):
                if not _same(value, right, tolerance):
                    raise Hint(_recognized(values) or _compared(arguments, value, right))
            for arguments, (value, own) in zip(cases, found, strict=True):
                if leaves and not (isinstance(value, Tensor) and value.requires_grad):
                    raise Hint(CUT)
                right, theirs = call(answer, arguments)
                slope, wish = (_slopes(*pair, leaves) for pair in ((value, own), (right, theirs)))
                if not _same(slope, wish, tolerance):
                    raise Hint(slopes if slope.isfinite().all() else infinite)

        def _recognized(values: Sequence[Any]) -> str:
            for hint, known in mistakes.items():
                if any(_agree(wrong, values) for wrong in (known if isinstance(known, Sequence) else [known])):
                    return hint
            return ""

        def _compared(arguments: Sequence[Any], value: Any, right: Any) -> str:
            words = f"With {_told(names, arguments)}: wanted {_seen(right, value)}, found {_seen(value, right)}."
            return f"{words} Compared are {compared}." if compared else words

        def _agree(function: Function, values: Sequence[Any]) -> bool:
            """Whether a function has these values in all examples."""
            try:
                known = (call(function, arguments)[0] for arguments in examples())
                return all(_same(value, other, tolerance) for value, other in zip(values, known, strict=True))
            except Exception:  # a mistake need not run on each example
                return False

        @wraps(answer)
        def checked(student: Function) -> Verdict:
            try:
                with torch.random.fork_rng(devices=[]):  # the student's own draws go on where they were
                    torch.manual_seed(0)
                    judge(student)
            except NotImplementedError:
                return Verdict(False, f"{title}: not written yet. {start}")
            except Hint as hint:
                return Verdict(False, f"{title}: not yet. {hint}")
            return Verdict(True, f"{title}: solved.")

        checked.mistakes, checked.examples = mistakes, examples  # type: ignore[attr-defined]
        return checked

    return decorate


def _copy(argument: Any, *, leaf: bool) -> Any:
    if isinstance(argument, Tensor):
        return argument.clone().requires_grad_() if leaf else argument.clone()
    return copy.copy(argument)


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


def _same(found: Any, wanted: Any, tolerance: float) -> bool:
    if not (isinstance(found, Tensor) and isinstance(wanted, Tensor)):
        return type(found) is type(wanted) and bool(found == wanted)
    if wanted.dim() == 0 and found.numel() == 1:  # one number is one number, whatever its shape
        found = found.reshape(())
    return found.shape == wanted.shape and torch.allclose(
        found.detach(), wanted.detach(), rtol=1e-4, atol=tolerance, equal_nan=True
    )


def _slopes(value: Tensor, own: Sequence[Any], leaves: Sequence[int]) -> Tensor:
    """The derivative of the value, or of the sum of its entries, in the arguments that want one; () where none does."""
    inputs = [own[i] for i in leaves]
    if not inputs:
        return torch.zeros(0)
    slopes = torch.autograd.grad(value.sum(), inputs, allow_unused=True, retain_graph=True)
    return torch.cat([(torch.zeros_like(x) if g is None else g).flatten() for g, x in zip(slopes, inputs, strict=True)])


def _told(names: Sequence[str], arguments: Sequence[Any]) -> str:
    return ", ".join(f"{name} = {_seen(_value(a))}" for name, a in zip(names, arguments, strict=True))


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
