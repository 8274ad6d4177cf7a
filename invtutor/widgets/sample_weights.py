"""Panels of lesson 07: one outer iteration of MAPLE stage by stage, and the budget."""

from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets
import torch
from torch import Tensor

from invtutor.algorithms.maple import MAPLE, project, straight_through
from invtutor.fields import require
from invtutor.figures import Figure
from invtutor.figures.weights import budget_curves, slopes_of_a_mask, two_groups
from invtutor.runs.reweighting import Trace
from invtutor.widgets.panel import Panel, choice, slider

__all__ = ["STAGES", "budget_panel", "stages_panel", "temperature_panel"]

STAGES = ("1 draw the mask", "2 train and judge", "3 hypergradient", "4 optimizer's step", "5 projection")


def stages_panel(trace: Trace) -> Panel:
    """Sliders over the outer iterations of a sparse run (`learn_probabilities`) and over the stages of one."""
    conflicting = trace.conflicting
    limit = float(trace.recipe.hyper.get("budget", MAPLE.budget)) * len(conflicting)

    def draw(figure: Figure, iteration: int, stage: str) -> str:
        figure.clear()
        ax, turn = figure.subplots(), trace.turns[iteration - 1]
        number = STAGES.index(stage)
        kept = [turn.mask[group].mean().item() for group in (conflicting, ~conflicting)]
        pull = [-turn.gradient[group].mean().item() for group in (conflicting, ~conflicting)]
        if number == 1:
            names = ["mean risk R (nats)", "√Φ, deviation of the risks (nats)", "share of conflicting samples"]
            values = [turn.metrics["risk"], turn.metrics["penalty"] ** 0.5, trace.precision(iteration - 1)]
            ax.barh(names, values, color="#0072B2")
            ax.invert_yaxis()
            ax.set_xlim(0, max(0.8, 1.2 * max(values)))
            for row, value in enumerate(values):
                ax.text(value + 0.01, row, f"{value:.3f}", va="center")
            spoken = ", ".join(f"{name} {value:.3f}" for name, value in zip(names, values, strict=True))
        else:
            last = project(turn.moved, limit)
            pictures: tuple[Any, ...] = (
                (turn.chances, "s, the chance of being kept, before", (0.0, 1.0)),
                None,
                (-turn.gradient, "n · (−∂Φ/∂m): to the right, this sample should count more", None),
                (turn.moved, "s after Adam's step, not yet within its limits", (-2.0, 3.0)),
                (last, "s after the projection", (0.0, 1.0)),
            )
            shown, xlabel, span = pictures[number]
            two_groups(shown, conflicting, xlabel=xlabel, span=span, ax=ax)
            means = [shown[group].mean().item() for group in (conflicting, ~conflicting)]
            spoken = f"{xlabel}; on average {means[0]:.2g} for conflicting samples, {means[1]:.2g} for aligned ones"
        ax.set_title(f"iteration {iteration}, {stage[2:]}")
        return (
            f"<b>Iteration {iteration}, {stage[2:]}.</b> Shown: {spoken}.<br>"
            f"Kept: {kept[0]:.1%} of the conflicting, {kept[1]:.1%} of the aligned. "
            f"Validation: mean risk {turn.metrics['risk']:.3f}, Φ {turn.metrics['penalty']:.2e}.<br>"
            f"Mean pull on s (n · −∂Φ/∂m): conflicting {pull[0]:+.1e}, aligned {pull[1]:+.1e}."
        )

    style = {"description_width": "initial"}
    controls = {
        "iteration": ipywidgets.IntSlider(1, 1, len(trace.turns), description="Outer iteration", style=style),
        "stage": ipywidgets.Dropdown(
            options=STAGES, description="Stage", style=style
        ),  # a slider has no room for words
    }
    return Panel(controls, draw, height=360)


def budget_panel(traces: Mapping[float, Trace]) -> Panel:
    """A slider over budgets that were run: where s lies, and accuracy, precision and recall over the budget.

    traces: one by budget. Raises ValueError where there is none.
    """
    require("traces", len(traces) > 0, "at least one run", traces)
    budgets = sorted(traces)
    columns = {
        "accuracy at p = 0.9": [traces[k].accuracy(0.9) for k in budgets],
        "precision": [traces[k].precision() for k in budgets],
        "recall": [traces[k].recall() for k in budgets],
    }

    def draw(figure: Figure, budget: float) -> str:
        figure.clear()
        left, right = figure.subplots(1, 2)
        trace = traces[budget]
        two_groups(trace.turns[-1].chances, trace.conflicting, xlabel="s at the end", span=(0.0, 1.0), ax=left)
        budget_curves(budgets, columns, now=budget, ax=right)
        return (
            f"<b>K = {budget:.0%} of the samples.</b> Accuracy at p = 0.1: {trace.accuracy(0.1):.1%}, at p = 0.9: "
            f"{trace.accuracy(0.9):.1%}. Of the samples kept {trace.precision():.1%} are conflicting (precision); "
            f"{trace.recall():.1%} of the conflicting are kept (recall)."
        )

    start = min(budgets, key=lambda k: abs(k - 0.3))
    control = choice("Budget K / n", {f"{k:.0%}": k for k in budgets}, start, "One of the budgets that were run.")
    return Panel({"budget": control}, draw, height=380)


def temperature_panel(
    draw: Callable[[Tensor, Tensor, float], Tensor] = straight_through, *, temperature: float = 1.0
) -> Panel:
    """A slider over the temperature of a mask that is drawn straight through: how often it keeps, its slope on average,
    and how many draws carry that slope.

    draw: (chances, noise, temperature) → the mask, differentiable in the chances. temperature: where the slider starts.
    """
    places = torch.linspace(0.05, 0.95, 19)
    noise = torch.rand(19, 2000, generator=torch.Generator().manual_seed(0)).clamp(1e-6, 1 - 1e-6).logit()

    def picture(figure: Figure, temperature: float) -> str:
        figure.clear()
        chances = places[:, None].expand_as(noise).clone().requires_grad_()
        mask = draw(chances, noise, temperature)
        (slopes,) = torch.autograd.grad(mask.sum(), chances)
        mean, carried, kept = slopes.mean(1), (slopes > 0.1).float().mean(1), mask.detach().mean(1)
        slopes_of_a_mask(places.tolist(), mean.tolist(), carried.tolist(), ax=figure.subplots())
        at = 5  # s = 0.3
        return (
            f"<b>T = {temperature:g}.</b> At s = {places[at]:.1f}, over 2,000 draws: kept {kept[at]:.1%}, mean slope "
            f"{mean[at]:.2f}, a slope above 0.1 in {carried[at]:.1%} of the draws, the largest {slopes[at].max():.3g}."
        )

    told = "How smooth the function is whose slope is taken."
    return Panel(
        {"temperature": slider("Temperature T", temperature, (0.05, 2.0), 0.05, told)}, picture, width=800, height=330
    )
