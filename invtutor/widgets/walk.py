"""What the steppers share: a walk through the stages of meta-IRM's update, with buttons, sliders and Play."""

import asyncio
from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Generic, TypeVar

import ipywidgets

from invtutor.figures import Figure
from invtutor.widgets.interrupts import listen, players
from invtutor.widgets.panel import Panel

__all__ = ["Walk", "listed"]

WEIGHTS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 100.0)
Theta = TypeVar("Theta")


class Walk(Panel, Generic[Theta]):
    """Goes from a θ to the next: stage 0 is θ; each environment has two, its inner step and the outer loss of θ′ on the
    others; the last is the combined step.

    Step and Back go from stage to stage; Play finishes the update that way and goes on by whole updates until
    it is pressed again; Reset returns to the start. The sliders α and λ act from the present stage on.

    start: the first θ. environments: how many. inner_rate, penalty_weight: where the sliders start. largest_rate: of α.
    pause: seconds between two pictures of Play; updates: after how many it rests. Raises ValueError for a penalty
    weight that the slider has not.
    """

    _player: ClassVar["Walk[Any] | None"] = None  # one plays at a time: a cell run again stops its predecessor

    def __init__(
        self,
        start: Theta,
        environments: int,
        *,
        inner_rate: float,
        penalty_weight: float,
        largest_rate: float,
        pause: float,
        updates: int,
    ):
        if penalty_weight not in WEIGHTS:
            raise ValueError(
                f"Parameter `penalty_weight` should be one of {', '.join(f'{w:g}' for w in WEIGHTS)}. "
                f"Found {penalty_weight!r}."
            )
        self.path = [start]
        self.stage = 0
        self.last = 2 * environments + 1
        self._pause, self._most = pause, updates
        self._task: asyncio.Task[None] | None = None
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:  # outside of a notebook there is nobody to play to
            self._loop = None
        if Walk._player is not None:
            Walk._player.pause()
        style: dict[str, Any] = {"style": {"description_width": "initial"}, "continuous_update": True}
        controls = {
            "inner_rate": ipywidgets.FloatSlider(
                value=inner_rate,
                min=0.0,
                max=largest_rate,
                step=0.1,
                description="Inner rate α",
                tooltip="How far the inner step goes. Arrow keys move it.",
                readout_format=".1f",
                **style,
            ),
            "penalty_weight": ipywidgets.SelectionSlider(
                options=[(f"{weight:g}", weight) for weight in WEIGHTS],
                value=penalty_weight,
                description="Deviation weight λ",
                tooltip="The weight of the standard deviation of the outer losses. Arrow keys move it.",
                **style,
            ),
        }
        super().__init__(controls, self._picture, width=900, height=470)
        self.buttons = {
            name: ipywidgets.Button(description=name, tooltip=words)
            for name, words in {
                "Step": "To the next stage of the update",
                "Back": "To the stage before",
                "Play": "Go on by itself; press again to pause",
                "Reset": "To the start",
            }.items()
        }
        for name, button in self.buttons.items():
            button.on_click(lambda _, name=name: self._pressed(name))
        sliders, image, words = self.ui.children
        self.ui.children = (sliders, ipywidgets.HBox(list(self.buttons.values())), image, words)

    # What is done

    @property
    def playing(self) -> bool:
        """Whether the panel goes on by itself."""
        return Walk._player is self

    def press(self, name: str) -> None:
        """Press a button from Python: Step, Back, Play or Reset. Raises ValueError for another name, RuntimeError for
        Play where no event loop runs, and what drawing raises."""
        if name not in self.buttons:
            raise ValueError(f"Parameter `name` should be one of {', '.join(self.buttons)}. Found {name!r}.")
        if name == "Play" and self._loop is None:
            raise RuntimeError("Play needs an event loop such as a notebook's; make the panel inside of one.")
        self._pressed(name)
        self._raise()

    def go(self, updates: int) -> None:
        """Make whole updates from Python and draw once; the panel then stands at the combined step."""
        with self._lock:
            for _ in range(updates):
                self._move_on()
            self.stage = self.last
            self._refresh()
            self._raise()

    def pause(self) -> None:
        """Stop playing, if it does."""
        if self.playing:
            Walk._player = None
            players.discard(self)
            self.buttons["Play"].description = "Play"

    def interrupted(self) -> None:
        """`interrupts.Player`"""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._interrupt)

    def _pressed(self, name: str) -> None:
        if name == "Play":
            self._toggle()
            return
        self.pause()
        with self._lock:
            {"Step": self._step, "Back": self._back, "Reset": self._reset}[name]()
            self._refresh()

    def _step(self) -> None:
        if self.stage == self.last:
            self._move_on()
        self.stage = (self.stage + 1) % (self.last + 1)

    def _move_on(self) -> None:
        self.path.append(self._next())

    def _back(self) -> None:
        if self.stage == 0 and len(self.path) == 1:
            return
        if self.stage == 0:
            self.path.pop()
        self.stage = (self.stage - 1) % (self.last + 1)

    def _reset(self) -> None:
        del self.path[1:]
        self.stage = 0

    def _toggle(self) -> None:
        if self.playing:
            self.pause()
        elif self._loop is not None:
            if Walk._player is not None:
                Walk._player.pause()
            Walk._player = self
            players.add(self)
            self.buttons["Play"].description = "Pause"
            # A button may call from another thread than the loop's.
            self._loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        self._task = asyncio.ensure_future(self._play())  # kept, or it might be collected while it sleeps

    async def _play(self) -> None:
        task = asyncio.current_task()
        try:
            while self.playing and self._task is task and (self.stage < self.last or len(self.path) < self._most):
                listen()
                with self._lock:
                    if self.stage < self.last:
                        self._step()
                    else:  # the first update was walked; from here on whole ones
                        self._move_on()
                    self._refresh()
                await asyncio.sleep(self._pause)
        except KeyboardInterrupt:  # the loop must not end by it
            self._interrupt()
        finally:
            if self._task is task:
                self.pause()
            listen()

    def _interrupt(self) -> None:
        if self.playing:
            self.pause()
            self.html.value = f"<b>Interrupted.</b> {self.html.value}"

    # What a stepper is of

    @abstractmethod
    def _next(self) -> Theta:
        """θ after the combined step."""

    @abstractmethod
    def _picture(self, figure: Figure, inner_rate: float, penalty_weight: float) -> str:
        """Draw the present stage, and say its numbers."""


def listed(values: Iterable[float], style: str = "g") -> str:
    return " and ".join(format(float(value), style) for value in values)
