"""What a self-check is: it tries a student's function by its properties and hints at what is wrong.

A check never raises because of the student's function; it returns a `Verdict` that shows itself in the notebook. It
draws its own examples, so a function cannot pass by returning a remembered number.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch

__all__ = ["Trial", "Verdict", "check", "near"]

Trial = tuple[bool, str]  # (does the property hold, the hint for when it does not)


@dataclass(frozen=True)
class Verdict:
    """The outcome of a self-check: true when the exercise is solved."""

    passed: bool
    message: str

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return f"{'✓' if self.passed else '✗'} {self.message}"


def check(title: str, start: str) -> Callable[[Callable[..., Iterator[Trial]]], Callable[..., Verdict]]:
    """Turn a generator of trials into a check. `start` is the hint for a stub that has not been filled in."""

    def decorate(trials: Callable[..., Iterator[Trial]]) -> Callable[..., Verdict]:
        @wraps(trials)
        def judge(student: Callable[..., Any]) -> Verdict:
            try:
                for holds, hint in trials(student):
                    if not holds:
                        return Verdict(False, f"{title}: not yet. {hint}")
            except NotImplementedError:
                return Verdict(False, f"{title}: not written yet. {start}")
            except Exception as error:  # whatever the student's code raises is theirs to read
                return Verdict(False, f"{title}: your function stopped with {type(error).__name__}: {error}")
            return Verdict(True, f"{title}: solved.")

        return judge

    return decorate


def near(found: Any, wanted: Any, tolerance: float = 1e-5) -> bool:
    found = torch.as_tensor(found, dtype=torch.float64)
    wanted = torch.as_tensor(wanted, dtype=torch.float64)
    return found.shape == wanted.shape and bool(torch.allclose(found, wanted, atol=tolerance, rtol=1e-4))
