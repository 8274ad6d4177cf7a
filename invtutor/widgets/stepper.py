"""One update of meta-IRM, stage by stage on the exact problem of two weights."""

from collections.abc import Callable, Sequence
from itertools import cycle
from math import log
from typing import Any

import torch
from torch import Tensor

from invtutor import figures
from invtutor.exact import two_bit
from invtutor.exact.meta_update import MetaIRMProblem, Update
from invtutor.fields import require
from invtutor.figures import Axes, Figure
from invtutor.widgets.stages import Stages, listed

__all__ = ["Stepper"]

AXES: dict[str, Any] = {"xlabel": "w_shape", "ylabel": "w_color"}
CLOSE = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # half a close-up's width: the first that holds all arrows of the update
GRAY = "#666666"


class Stepper(Stages[Tensor]):
    """Walks meta-IRM's update on contours of the exact risks of `two_bit`. Its stages, buttons and sliders: `Stages`.

    flip_rates: of the training environments, at least two. start: (w_shape, w_color); None is where ERM ends.
    learning_rate: of the outer step, plain gradient descent. The others are those of `Stages`. Raises ValueError for
    fewer than two environments and for a penalty weight that the slider has not.
    """

    def __init__(
        self,
        flip_rates: Sequence[float] = (0.1, 0.2),
        *,
        label_noise: float = 0.25,
        start: tuple[float, float] | None = None,
        inner_rate: float = 1.0,
        penalty_weight: float = 5.0,
        learning_rate: float = 3.0,
        pause: float = 0.5,
        updates: int = 60,
    ):
        require("flip_rates", len(flip_rates) >= 2, "at least two", list(flip_rates))
        self._rates, self._noise, self._learning_rate = tuple(flip_rates), label_noise, learning_rate
        mean = sum(flip_rates) / len(flip_rates)
        self._shape, self._erm = (_log_odds(label_noise), 0.0), (_log_odds(label_noise), _log_odds(mean))
        super().__init__(
            torch.tensor(start or self._erm, dtype=torch.double),
            len(flip_rates),
            inner_rate=inner_rate,
            penalty_weight=penalty_weight,
            largest_rate=5.0,
            pause=pause,
            updates=updates,
        )

    @property
    def _problem(self) -> MetaIRMProblem:
        return MetaIRMProblem(self._rates, **self.values, label_noise=self._noise)

    def _next(self) -> Tensor:
        return self.path[-1] + self._move(self._problem.update(self.path[-1]))

    def _move(self, update: Update) -> Tensor:
        return -self._learning_rate * update.gradient

    # What is shown

    def _picture(self, figure: Figure, inner_rate: float, penalty_weight: float) -> str:
        figure.clear()
        near, whole = figure.subplots(1, 2)
        theta, problem = self.path[-1], self._problem
        update = problem.update(theta)
        words = self._stage(near, problem, update)
        figures.place(near, theta, "θ", offset=(-16, 6))
        figures.plane(problem.objective, x=(-0.6, 2.4), y=(-0.8, 2.2), **AXES, ax=whole)
        whole.set_title("all of the plane: the objective, the path", fontsize=figures.NORMAL)
        for point, name, mark in ((self._erm, "ERM", "x"), (self._shape, "shape alone", "+")):
            figures.place(whole, point, name, offset=(8, -14), marker=mark, color=GRAY)
        figures.path(whole, torch.stack(self.path))
        figures.place(whole, theta)
        accuracies = " and ".join(f"{two_bit.accuracy(theta, p, self._noise):.0%} at p = {p:g}" for p in (0.1, 0.9))
        return (
            f"<b>Update {len(self.path)}, stage {self.stage} of {self.last}.</b> {words}<br>"
            f"θ = {_pair(theta)} is right on {accuracies}."
        )

    def _stage(self, ax: Axes, problem: MetaIRMProblem, update: Update) -> str:
        """Draw the close-up of the present stage, and say its numbers."""
        theta, move = self.path[-1], self._move(update)
        i, outer = (self.stage - 1) // 2, self.stage % 2 == 0
        pulls = -self._learning_rate * update.outer

        def plane(title: str, height: Callable[[Tensor], Tensor], color: str = GRAY) -> None:
            reach = torch.cat([update.adapted - theta, pulls, move[None]]).abs().max()
            half = next((size for size in CLOSE if size > 1.2 * reach), CLOSE[-1])
            x, y = ((value - half, value + half) for value in theta.tolist())
            figures.plane(height, x=x, y=y, color=color, **AXES, ax=ax)
            ax.set_title(title, fontsize=figures.NORMAL)

        if self.stage == 0:
            plane("close up: θ, on the mean risk", lambda w: two_bit.risks(w, self._rates, self._noise).mean(0))
            risks = listed(two_bit.risks(theta, self._rates, self._noise), ".4f")
            return f"At θ the risks are {risks} nats, in the environments with p = {listed(self._rates)}."
        if self.stage == self.last:
            plane("close up: the combined step, on the objective", problem.objective)
            for pull, color in zip(pulls, cycle(figures.COLORS)):
                figures.arrow(ax, theta, pull, color=color)
            figures.arrow(ax, theta, move)
            divided = f", divided by λ = {problem.penalty_weight:g}," if problem.penalty_weight > 1 else ""
            return (
                f"The outer losses have the mean {update.losses.mean():.4f} and σ = {update.sigma:.4f}; the gradient "
                f"of mean + {problem.penalty_weight:g}·σ{divided} is {_pair(update.gradient)}, and the step goes to "
                f"{_pair(theta + move)}."
            )
        color, rate = figures.COLORS[i % 5], self._rates[i]
        others = listed([r for j, r in enumerate(self._rates) if j != i])
        if not outer:
            plane(
                f"close up: inner step, on the risk at p = {rate:g}",
                lambda w: two_bit.risk(w, rate, self._noise),
                color,
            )
            figures.arrow(ax, theta, update.adapted[i] - theta, color=color)
            risk, gradient = (of(theta, rate, self._noise) for of in (two_bit.risk, two_bit.gradient))
            return (
                f"Inner step: at p = {rate:g} the risk is {risk:.4f} and its gradient {_pair(gradient)}; "
                f"−{problem.inner_rate:g} times it leads to θ′ = {_pair(update.adapted[i])}."
            )
        other = figures.COLORS[(i + 1) % len(self._rates) % 5]
        plane(f"close up: θ′ judged at p = {others}", lambda w: problem.on_others(i, w), other)
        figures.place(ax, update.adapted[i], "θ′", color=color, marker="s")
        figures.arrow(ax, theta, -self._learning_rate * update.shortcut[i], color=GRAY, dashed=True)
        figures.arrow(ax, theta, pulls[i], color=color)
        return (
            f"Outer loss: at p = {others}, θ′ of p = {rate:g} has {update.losses[i]:.4f}. Its gradient in θ, through "
            f"the inner step, is {_pair(update.outer[i])}; without second derivatives (dashed) "
            f"{_pair(update.shortcut[i])}."
        )


def _log_odds(chance: float) -> float:
    chance = min(max(chance, 0.01), 0.99)  # a clue that never fails would deserve infinite weight
    return log((1 - chance) / chance)


def _pair(point: Tensor) -> str:
    return f"({point[0]:.3f}, {point[1]:.3f})"
