"""The live panel's picture of a session: which of its numbers are drawn."""

from invtutor.figures.live import RATES, Curve, LivePicture
from invtutor.runs.knobs import knobs, sign
from invtutor.runs.recipe import Recipe
from invtutor.runs.session import Session, Snapshot
from invtutor.widgets.live_controls import scale
from invtutor.widgets.live_words import standing
from invtutor.worlds.colored_mnist import OOD_RATE

__all__ = ["draw", "drawing"]

LINES = 5  # of accuracy, at most


def drawing(session: Session) -> LivePicture:
    """A picture that can follow the session."""
    recipe, shot, shown = session.recipe, session.snapshot(), session.shown
    accuracies, risks = _lines(session, shot)
    rule = "; framed: color ≠ label" if "color" in shown.attributes else "; framed: clue ≠ label"
    where = shown.name.replace("test p=", "at p = ")
    return LivePicture(
        accuracies,
        risks,
        label=sign(recipe, _main_knob(recipe)),
        scale=scale(_main_knob(recipe)),
        steps=recipe.steps,
        curve=_curve(session, shot),
        shown=shown if shown.inputs.dim() == 4 else None,
        title=f"{where}: label → prediction{rule * ('conflict' in shown.attributes)}",
    )


def draw(picture: LivePicture, session: Session, shot: Snapshot) -> bytes:
    """The picture at a snapshot, as PNG."""
    recipe, curve = session.recipe, _curve(session, shot)
    knob, own = _main_knob(recipe), knobs(recipe)
    return picture.draw(
        shot.history,
        shot.trace,
        shot.acted[knob],
        shot.curve(RATES),
        shot.curve(curve.flip_rates if curve else ()),
        shot.predicted.tolist(),
        own.pop(knob),
        standing(recipe, own),
    )


def _main_knob(recipe: Recipe) -> str:
    """The knob whose history is drawn."""
    return next(iter(knobs(recipe)))  # in the order of KNOBS


def _lines(session: Session, shot: Snapshot) -> tuple[dict[str, str], dict[str, str]]:
    """The metrics that are drawn, accuracies and risks by their labels: those of training or validation, and those of
    the last test environment, where the course looks for failure."""
    accuracies, risks = shot.accuracies, shot.risks
    held_out = {environment.name for environment in session.world.validation} or {"train"}
    tests, judged = [name for name in accuracies if name not in held_out], session.world.tests[-1].name
    last = [name for name in tests if f"{name} ".startswith(f"{judged} ")] or tests[-1:]
    drawn = [name for name in accuracies if name in held_out][: LINES - len(last)] + last

    def label(name: str) -> str:
        return name.replace(" risk", "").removeprefix("validation ").removeprefix(f"{judged} ")

    by_label = {label(name): name for name in drawn}
    return by_label, {label(name): name for name in risks if label(name) in by_label or name in shot.trace.last}


def _curve(session: Session, shot: Snapshot) -> Curve | None:
    """Of the accuracy over the flip rate, in a world that has one; with its ceiling where that is known."""
    if shot.corners is None:
        return None
    world = session.world
    rates, bayes = getattr(world, "flip_rates", ()), getattr(world, "bayes", None)
    ceiling = bayes("invariant").accuracy(OOD_RATE) if bayes else None
    return Curve([*rates[: LINES - 1], OOD_RATE], rates, ceiling, 1 / world.classes)
