"""Panels about rules for gradients: two bowls whose shape follows sliders, and thresholds that were run before."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from invtutor import figures
from invtutor.exact.consistency import START, STEPS, exchange_rate, routes, signs_needed, two_bowls
from invtutor.fields import require
from invtutor.figures import Figure
from invtutor.runs.history import History
from invtutor.widgets.panel import Panel, choice, slider

__all__ = ["gradient_rules_panel", "threshold_panel"]


def gradient_rules_panel(*, curvature: float = 4.0, angle: float = 0.0) -> Panel:
    """Sliders over the curvature of bowl A and the angle of bowl B (`consistency.two_bowls`): the paths that three
    rules take from one start, and where each ends."""

    def draw(figure: Figure, curvature: float, angle: float) -> str:
        fresh = not figure.axes
        ax = figure.subplots() if fresh else figure.axes[0]
        ax.clear()
        bowls, paths = two_bowls(curvature, angle), routes(curvature, angle)
        figures.bowls(dict(zip("AB", bowls, strict=True)), paths, ax=ax)
        if fresh:
            figures.freeze(figure)
        spoken = []
        for name, path in paths.items():
            end = path[-1]
            losses = ", ".join(f"{e} {bowl.loss(end):.2f}" for e, bowl in zip("AB", bowls, strict=True))
            spoken.append(f"{name} at ({end[0] + 0.0:.2f}, {end[1] + 0.0:.2f}), losses {losses}")
        return (
            f"<b>Curvature {curvature:g}, angle {angle:g}°</b>. After {STEPS} steps from {START}: {'; '.join(spoken)}."
            f"<br>If both minima were one, a move that costs one bowl ε could cost the other "
            f"{exchange_rate(*bowls):.1f} ε."
        )

    steep, turned = (
        "How steep bowl A is along θ₂; bowl B has 1.",
        "By how much bowl B's axes are turned from those of θ.",
    )
    sliders = {
        "curvature": slider("Curvature of A", curvature, (1.0, 15.0), 0.5, steep),
        "angle": slider("Angle of B, degrees", angle, (-45.0, 45.0), 5.0, turned),
    }
    return Panel(sliders, draw, width=760, height=470)


class Outcome(Protocol):
    """What a threshold's run must have: `train` and `test` in its history are accuracies."""

    @property
    def history(self) -> History: ...


def threshold_panel(
    outcomes: Mapping[float, Sequence[Outcome]], environments: int, *, value: float | None = None, chance: float = 0.5
) -> Panel:
    """A slider over the thresholds τ that were run: train and test accuracy along τ, and over the steps of the
    first run at the chosen one. Nothing is trained here.

    outcomes: for each τ one run per seed. environments: how many vote. value: where the slider starts; None is the
    largest. Raises ValueError where there are no runs, and for an unknown value.
    """
    thresholds = sorted(outcomes)
    some = thresholds and all(outcomes.values())
    require("outcomes", bool(some), "at least one threshold, and runs for each", thresholds)
    start = thresholds[-1] if value is None else value
    known = {f"{threshold:g}": threshold for threshold in thresholds}
    require("value", start in outcomes, f"one of {', '.join(known)}", value)

    def last(threshold: float, name: str) -> float:
        runs = outcomes[threshold]
        return sum(run.history.last[name] for run in runs) / len(runs)

    def draw(figure: Figure, threshold: float) -> str:
        figure.clear()
        along, over = figure.subplots(1, 2)
        columns = {name: [last(tau, name) for tau in thresholds] for name in ("train", "test")}
        figures.along_threshold(thresholds, columns, at=threshold, chance=chance, ax=along)
        figures.histories({"": outcomes[threshold][0].history}, ["train", "test"], ylabel="accuracy", ax=over)
        over.axhline(chance, color="gray", linewidth=1.2, linestyle=":", zorder=1)
        over.set(ylim=(0, 1.12), title=f"training at τ = {threshold:g}")
        count = len(outcomes[threshold])
        return (
            f"<b>τ = {threshold:g}</b>: {signs_needed(environments, threshold)} of {environments} signs must be alike. "
            f"Accuracy in training {last(threshold, 'train'):.1%}, in the test {last(threshold, 'test'):.1%} "
            f"({count} seed{'s' * (count > 1)})."
        )

    control = choice("Threshold τ", known, start, "One of the thresholds that were run.")
    return Panel({"threshold": control}, draw, height=380)
