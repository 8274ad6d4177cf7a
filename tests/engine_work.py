"""What workers are given to do in the tests; they import it by its name."""

import time


def slow(number: int) -> int:
    time.sleep(0.1)
    return number * number


def some_diverge(number: int) -> int:
    if number % 3 == 1:
        raise FloatingPointError(f"risk is nan at step {number}.")
    return number


def some_fail(number: int) -> int:
    if number == 4:
        raise RuntimeError("MNIST cannot be had: no network.")
    return number


def how_it_is_watched(name: str) -> object:
    from dask import config  # a worker's own

    return config.get(name)
