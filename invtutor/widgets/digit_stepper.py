"""One update of meta-IRM, stage by stage on a network and its digits."""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.func import functional_call

from invtutor import figures
from invtutor.algorithms.descent import descend, risk_at
from invtutor.algorithms.meta_irm import MetaIRM
from invtutor.fields import require
from invtutor.figures import Figure
from invtutor.widgets.stages import Stages, listed
from invtutor.worlds.colored_mnist import recolored
from invtutor.worlds.environment import Environment
from invtutor.worlds.risks import accuracy_curve, correct

__all__ = ["DigitStepper"]


class DigitStepper(Stages[dict[str, Tensor]]):
    """Walks meta-IRM's update on a network: the risks of θ and of θ′ in every environment; below, on a scale of its
    own, by how much θ′ differs, with a ring where it is judged; beside them θ's accuracy over the flip rate, on the
    same digits recolored. Its stages, buttons and sliders: `Stages`.

    model: where θ starts; it is not changed. environments: at least two, with colors and no patches, at their flip
    rates; a thousand samples each are drawn at once. learning_rate: of the outer step, plain gradient descent. The
    others are those of `Stages`. Raises ValueError for fewer than two environments and for a penalty weight that the
    slider has not.
    """

    def __init__(
        self,
        model: nn.Module,
        environments: Sequence[Environment],
        flip_rates: Sequence[float],
        *,
        inner_rate: float = 0.2,
        penalty_weight: float = 2.0,
        learning_rate: float = 0.3,
        pause: float = 0.5,
        updates: int = 60,
    ):
        require("environments", len(environments) >= 2, "at least two", len(environments))
        self._model, self._environments = deepcopy(model), list(environments)
        self._rates = list(flip_rates)
        self._learning_rate = learning_rate
        start = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
        self._painted = [[recolored(environment, shift) for environment in environments] for shift in (0, 1)]
        self._before = self._corners(start)
        super().__init__(
            start,
            len(environments),
            inner_rate=inner_rate,
            penalty_weight=penalty_weight,
            largest_rate=2.0,
            pause=pause,
            updates=updates,
        )

    def accuracy(self, flip_rate: float) -> float:
        """θ's accuracy on the environments' digits, in [0, 1], were their colors flipped at that rate."""
        return accuracy_curve(self._corners(self.path[-1]), [flip_rate])[0]

    def _risks(self, theta: dict[str, Tensor]) -> list[float]:
        with torch.no_grad():
            return [risk_at(self._model, theta, e.inputs, e.labels).item() for e in self._environments]

    def _corners(self, theta: dict[str, Tensor]) -> Tensor:
        """Accuracy where all colors agree with the label, and where none does (2,): the ends of a straight line."""
        with torch.no_grad():
            hits = [
                torch.cat([correct(functional_call(self._model, theta, (e.inputs,)), e.labels) for e in painted])
                for painted in self._painted
            ]
        return torch.stack([hit.double().mean() for hit in hits])

    def _adapted(self, i: int) -> dict[str, Tensor]:
        theta = {name: value.clone().requires_grad_() for name, value in self.path[-1].items()}
        loss = risk_at(self._model, theta, self._environments[i].inputs, self._environments[i].labels)
        stepped = descend(theta, loss, self.values["inner_rate"], first_order=True)  # its place alone is shown
        return {name: value.detach() for name, value in stepped.items()}

    def _next(self) -> dict[str, Tensor]:
        model = deepcopy(self._model)
        model.load_state_dict(self.path[-1])
        MetaIRM(model, **self.values).backward(self._environments)
        torch.optim.SGD(model.parameters(), lr=self._learning_rate).step()
        return {name: parameter.detach() for name, parameter in model.named_parameters()}

    def _picture(self, figure: Figure, inner_rate: float, penalty_weight: float) -> str:
        figure.clear()
        axes = figure.subplot_mosaic([["risks", "right"], ["change", "right"]], width_ratios=(2, 3))
        theta = self.path[-1]
        risks = self._risks(theta)
        every = range(len(self._rates))
        adapted = [self._risks(self._adapted(i)) for i in every]
        losses = torch.tensor([[adapted[i][j] for j in every if j != i] for i in every]).flatten()
        sigma = losses.std(correction=0)
        lines, judged = {"θ": risks}, {}
        i, outer = (self.stage - 1) // 2, self.stage % 2 == 0
        if self.stage == 0:
            words = f"θ has the risks {listed(risks, '.4f')} nats in the environments with p = {listed(self._rates)}."
        elif self.stage == self.last:
            lines["after the step"] = after = self._risks(self._next())
            words = f"The combined step leads to the risks {listed(after, '.4f')}."
        else:
            lines[name := f"θ′ of p = {self._rates[i]:g}"] = adapted[i]
            others = [j for j in every if j != i]
            words = (
                f"Inner step: −{inner_rate:g} times the gradient at p = {self._rates[i]:g} takes the risk there from "
                f"{risks[i]:.4f} to {adapted[i][i]:.4f}."
            )
            if outer:
                judged[name] = others
                words = (
                    f"Outer loss: at p = {listed(self._rates[j] for j in others)}, {name} has "
                    f"{listed((adapted[i][j] for j in others), '.4f')}, where θ has "
                    f"{listed((risks[j] for j in others), '.4f')}."
                )
        figures.environment_risks(lines, self._rates, judged={}, ax=axes["risks"])
        change = {name: [value - at for value, at in zip(values, risks, strict=True)] for name, values in lines.items()}
        figures.environment_risks(
            change, self._rates, judged=judged, ylabel="risk less that of θ, nats", ax=axes["change"]
        )
        ends = {"θ": self._corners(theta).tolist(), "start": self._before.tolist()}
        figures.accuracy_curves(ends, [0, 1], train_rates=self._rates, ax=axes["right"])
        return (
            f"<b>Update {len(self.path)}, stage {self.stage} of {self.last}.</b> {words}<br>"
            f"Outer losses: mean {losses.mean():.4f}, σ = {sigma:.4f}, mean + {penalty_weight:g}·σ = "
            f"{losses.mean() + penalty_weight * sigma:.4f}. "
            f"θ is right on {self.accuracy(0.1):.0%} at p = 0.1 and on {self.accuracy(0.9):.0%} at p = 0.9."
        )
