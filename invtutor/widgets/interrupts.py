"""A kernel ignores interrupts while no cell runs. What plays meanwhile asks here to be told of them."""

import signal
import threading
from typing import Protocol
from weakref import WeakSet

__all__ = ["Player", "listen", "players"]


class Player(Protocol):
    """What plays on between two cells."""

    def interrupted(self) -> None:
        """Called in the midst of anything: ask for a pause, and do nothing else."""


players: WeakSet[Player] = WeakSet()
"""Those that play."""


def listen() -> None:
    """Let interrupts reach those that play, as long as there are some; to be called again and again while one plays,
    since a kernel sets its own handler around every message. While a cell runs, interrupts are the cell's."""
    if threading.current_thread() is not threading.main_thread():
        return
    if players and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, _tell)
    elif not players and signal.getsignal(signal.SIGINT) is _tell:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _tell(*_: object) -> None:
    for player in list(players):
        player.interrupted()
