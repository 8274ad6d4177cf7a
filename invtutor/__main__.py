"""The command, and `python -m invtutor`: Ctrl-C while it still loads ends it as later."""

import os
import signal
import sys
from contextlib import suppress

__all__ = ["main"]


def main() -> int:
    known = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if known:  # else the shell has us ignore it
        signal.signal(signal.SIGINT, _stop)
    from invtutor import cli

    if known:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return cli.main()


def _stop(*_: object) -> None:
    """At once: nothing has begun, and an exception in an import may become another."""
    with suppress(OSError):
        os.write(2, b"invtutor: error: stopped\n")
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main())
