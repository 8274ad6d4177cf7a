"""What the live panel says: what it does, where to look, the numbers of its picture, and the command of its steps."""

import html
from collections.abc import Mapping

from invtutor.runs.knobs import knobs, sign
from invtutor.runs.presets import PRESETS, hint
from invtutor.runs.recipe import Recipe
from invtutor.runs.session import Session, Snapshot
from invtutor.widgets.live_controls import number

__all__ = ["look_for", "numbers", "spoken_command", "standing", "state", "stopped"]


def state(session: Session) -> str:
    """Where a training stands that does not go on by itself."""
    taken, steps = session.taken, session.recipe.steps
    if taken == 0:
        return "Ready at step 0."
    if taken % steps:
        return f"Paused at step {taken}."
    times = "the recipe's last" if taken == steps else f"{taken // steps} times the recipe's {steps}"
    return f"Paused at step {taken}, {times}. Play goes on."


def stopped(error: BaseException, session: Session | None) -> str:
    """What stopped it, as HTML; where that was a step of the session's, it was the last."""
    told = html.escape(f"{type(error).__name__}: {error}".rstrip(": "))
    last = f" Step {session.taken} was the last. Reset starts anew." if session and session.failure else ""
    return f"<b>Stopped by an error. {told}</b>{last}"


def look_for(preset: str, session: Session) -> str:
    """Where to look in a preset's run, as HTML; nothing where the settings are the student's own."""
    return f"<b>What to look for:</b> {html.escape(hint(preset, session))}" if preset in PRESETS else ""


def numbers(session: Session, shot: Snapshot) -> str:
    """The text twin of the picture, as HTML."""
    recipe, last, trace = session.recipe, shot.history.last, shot.trace.last
    accuracies, risks = shot.accuracies, shot.risks
    right = ", ".join(f"{name} {100 * last[name]:.1f} %" for name in accuracies)
    others = [name for name in ("risk", "penalty", "kept") if name in last]
    spoken = ", ".join(f"{name} {(last | trace)[name]:.3g}" for name in [*others, *risks])
    hits, kind = int((shot.predicted == session.shown.labels.cpu()).sum()), session.shown.attributes
    seen = f"{hits} of the {len(session.shown)} {'digits' if 'digit' in kind else 'samples'} shown"
    return (
        f"<b>Step {shot.step}, {html.escape(str(session.algorithm))}</b>: "
        f"{standing(recipe, knobs(recipe))}{_annealing(session)}.<br>"
        f"Accuracy: {right}{f'; {seen}' * (session.shown.inputs.dim() == 4)}.<br>Risks in nats: {spoken}."
    )


def standing(recipe: Recipe, values: Mapping[str, float]) -> str:
    """Knobs by their signs, and where they stand."""
    return ", ".join(f"{sign(recipe, name)} = {number(value)}" for name, value in values.items())


def spoken_command(session: Session) -> str:
    """The command that takes a session's steps, and what it does, as HTML."""
    turned = sum(change.step < session.taken for change in session.changes)
    note = (
        f"It turns knobs {turned} time{'s' * (turned > 1)} on the way, as you did."
        if turned
        else "No knob was turned on the way."
    )
    which = "Takes these very steps." if session.taken else "Takes the first step, since none is taken yet."
    return f"<code>{html.escape(session.command())}</code><br>{which} {note}"


def _annealing(session: Session) -> str:
    """How the penalty weight acts from here on, where that is not what it is set to."""
    recipe, name = session.recipe, "penalty_weight"
    if name not in knobs(recipe) or session.acting(name) == knobs(recipe)[name]:
        return ""
    full = recipe.anneal + recipe.ramp
    rise = f", then rises until step {full}" * (recipe.ramp > 0)
    when = f"until step {recipe.anneal}{rise}" if session.taken < recipe.anneal else f"and rises until step {full}"
    return f" ({sign(recipe, name)} acts as {session.acting(name):.4g} {when})"
