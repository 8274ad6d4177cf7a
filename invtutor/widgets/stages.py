"""What the steppers share: the stages of meta-IRM's update, with buttons, sliders and Play."""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from typing import Generic, TypeVar

from invtutor.algorithms.meta_irm import MetaIRM
from invtutor.fields import range_of, require, valid
from invtutor.figures import Figure
from invtutor.widgets.panel import Panel, choice, slider
from invtutor.widgets.player import Player, players

__all__ = ["Stages", "listed"]

WEIGHTS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 100.0)
Theta = TypeVar("Theta")


class Stages(Panel, Player, Generic[Theta]):
    """Goes from a θ to the next: stage 0 is θ; each environment has two, its inner step and the outer loss of θ′ on the
    others; the last is the combined step.

    Step and Back go from stage to stage; Play finishes the update that way and goes on by whole updates until
    it is pressed again; Reset returns to the start. The sliders α and λ act from the present stage on.

    start: the first θ. environments: how many. inner_rate, penalty_weight: where the sliders start. largest_rate: of α,
    or the start where that is larger. pause: seconds between two pictures of Play; updates: after how many it rests.
    Raises ValueError for an inner rate that the method cannot have, and a penalty weight that the slider has not.
    """

    instead = "go(updates)"

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
        known = {f"{weight:g}": weight for weight in WEIGHTS}
        require("penalty_weight", penalty_weight in WEIGHTS, f"one of {', '.join(known)}", penalty_weight)
        inner_rate = valid(MetaIRM, "inner_rate", inner_rate)
        within = range_of(MetaIRM, "inner_rate")
        assert within is not None
        self.path = [start]
        self.stage = 0
        self.last = 2 * environments + 1
        self._pause, self._most = pause, updates
        _pause_all()
        reach = within.low, min(max(largest_rate, inner_rate), within.high)
        weighs = "The weight of the standard deviation of the outer losses."
        controls = {
            "inner_rate": slider(
                "Inner rate α", inner_rate, reach, 0.1, "How far the inner step goes.", readout_format=".1f"
            ),
            "penalty_weight": choice("Deviation weight λ", known, penalty_weight, weighs),
        }
        Panel.__init__(self, controls, self._picture, width=900, height=470)
        Player.__init__(
            self,
            {
                "Step": ("To the next stage of the update", partial(self._walk, self._step)),
                "Back": ("To the stage before", partial(self._walk, self._back)),
                "Play": ("Go on by itself; press again to pause", self._toggle),
                "Reset": ("To the start", partial(self._walk, self._reset)),
            },
        )
        sliders, image, words = self.ui.children
        self.ui.children = (sliders, self.button_row, image, words)

    # What is done

    def go(self, updates: int) -> None:
        """Make whole updates from Python and draw once; the panel then stands at the combined step."""
        with self._lock:
            for _ in range(updates):
                self._move_on()
            self.stage = self.last
            self._refresh()
            self._raise()

    def play(self) -> None:
        _pause_all()
        super().play()
        self.buttons["Play"].description = "Pause"

    def pause(self) -> None:
        super().pause()
        self.buttons["Play"].description = "Play"

    def _toggle(self) -> None:
        if self.playing:
            self.pause()
        else:
            self.play()

    def _walk(self, move: Callable[[], None]) -> None:
        self.pause()
        with self._lock:
            move()
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

    def _ask(self, action: Callable[[], None]) -> None:
        action()  # in whatever thread: it draws under the panel's lock

    def _go_on(self) -> float:
        with self._lock:
            if self.stage < self.last:
                self._step()
            elif len(self.path) < self._most:  # the first update was walked; from here on whole ones
                self._move_on()
            else:
                self.pause()
                return 0.0
            self._refresh()
        return self._pause

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


def _pause_all() -> None:
    """One stepper plays at a time: a cell run again stops its predecessor."""
    for player in list(players):
        if isinstance(player, Stages):
            player.pause()


def listed(values: Iterable[float], style: str = "g") -> str:
    return " and ".join(format(float(value), style) for value in values)
