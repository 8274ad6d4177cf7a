"""What plays on between two cells: a task in the notebook's event loop, its buttons, and its ears.

A kernel ignores interrupts while no cell runs. What plays meanwhile is told of them here.
"""

import asyncio
import signal
import threading
from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar
from weakref import WeakSet

import ipywidgets

from invtutor.fields import one_of

__all__ = ["Player", "players"]


class Player:
    """Goes on by itself until it is paused, has done its part, or the kernel is interrupted.

    buttons: for each name the words that explain it and what it does. `_ask` does it: callbacks may come from another
    thread than the loop's.
    """

    playing = False
    instead: ClassVar[str]  # of Play, where no event loop runs

    def __init__(self, buttons: Mapping[str, tuple[str, Callable[[], None]]]):
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:  # outside of a notebook there is nobody to play to
            self._loop = None
        self._owner = threading.get_ident()
        self._task: asyncio.Task[None] | None = None
        self.buttons = {
            name: ipywidgets.Button(description=name.capitalize(), tooltip=words, layout={"width": "110px"})
            for name, (words, _) in buttons.items()
        }
        self._actions = {name: action for name, (_, action) in buttons.items()}
        for name, button in self.buttons.items():
            button.on_click(partial(self._clicked, name))
        self.button_row = ipywidgets.HBox(list(self.buttons.values()), layout={"flex_flow": "row wrap"})

    def press(self, name: str) -> None:
        """Press a button by its name. Raises ValueError for an unknown name, RuntimeError for Play where no event loop
        runs, and what comes of it."""
        one_of("name", self.buttons, name)
        self._ask(self._actions[name])
        self._raise()

    def play(self) -> None:
        """Go on until it ends or is paused. Raises RuntimeError where no event loop runs."""
        if self._loop is None:
            raise RuntimeError(f"Play needs the event loop of a notebook. Here, use {self.instead}.")
        if not self.playing:
            self.playing = True
            players.add(self)
            self._loop.call_soon_threadsafe(self._begin)

    def pause(self) -> None:
        """Stop playing, if it does."""
        self.playing = False
        players.discard(self)
        task, self._task = self._task, None
        if task is not None and threading.get_ident() == self._owner and task is not asyncio.current_task():
            task.cancel()  # from another thread it ends at its next turn

    def interrupted(self) -> None:
        """The kernel was interrupted; called in the midst of anything."""
        assert self._loop is not None  # it plays
        self._loop.call_soon_threadsafe(self._ask, self._interrupt)

    def _clicked(self, name: str, button: object) -> None:
        self._ask(self._actions[name])

    def _begin(self) -> None:
        if self.playing and self._task is None:
            _listen()
            self._task = asyncio.ensure_future(self._play_on())  # kept, or it might be collected while it sleeps

    async def _play_on(self) -> None:
        task = asyncio.current_task()
        try:
            while self._task is task:
                _listen()
                await asyncio.sleep(self._go_on())
        except KeyboardInterrupt:  # the loop must not end by it
            self._ask(self._interrupt)
        finally:
            if self._task is task:
                self._ask(self.pause)
            _listen()

    # What a player is of

    @abstractmethod
    def _ask(self, action: Callable[[], None]) -> None:
        """Do it, now or soon, in the thread that may do it."""

    @abstractmethod
    def _go_on(self) -> float:
        """Do the next bit, or pause; returns how many seconds to wait then."""

    @abstractmethod
    def _interrupt(self) -> None:
        """Pause, and say why."""

    @abstractmethod
    def _raise(self) -> None:
        """Raise the error of the last action, if there was one."""


players: WeakSet[Player] = WeakSet()
"""Those that play."""


def _listen() -> None:
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
