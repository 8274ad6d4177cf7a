"""The live panel's picture of a session: which of its numbers are drawn."""

from invtutor.figures.live import RATES, LivePicture
from invtutor.runs.recipe import Recipe
from invtutor.runs.session import Session, Snapshot, knobs, sign
from invtutor.widgets.live_controls import LADDERS, LINEAR
from invtutor.widgets.live_words import standing
from invtutor.worlds.colored_mnist import OOD_RATE, ColoredWorld

__all__ = ["draw", "drawing"]


def drawing(session: Session) -> LivePicture:
    """A picture that can follow the session."""
    recipe, world = session.recipe, session.world
    assert isinstance(world, ColoredWorld)
    knob = _main_knob(recipe)
    ladder = [value for value in LADDERS[knob] if value > 0]
    names = {f"p={e.name.partition('p=')[2]}": e.name for e in world.validation}
    ood = f"p={OOD_RATE:g}"
    return LivePicture(
        names | {f"test {ood}": f"test {ood}"},
        {label: name.replace("validation", "validation risk") for label, name in names.items()}
        | {f"test {ood}": f"test risk {ood}"},
        flip_rates=[*recipe.flip_rates, OOD_RATE],
        train_rates=recipe.flip_rates,
        ceiling=world.bayes("invariant").accuracy(OOD_RATE),
        chance=1 / world.classes,
        label=sign(recipe, knob),
        scale=None if knob in LINEAR else (ladder[0], ladder[-1]),
        shown=session.shown,
        steps=recipe.steps,
    )


def draw(picture: LivePicture, recipe: Recipe, shot: Snapshot) -> bytes:
    """The picture at a snapshot, as PNG."""
    knob, own = _main_knob(recipe), knobs(recipe)
    return picture.draw(
        shot.history,
        shot.trace,
        shot.acted[knob],
        shot.curve(RATES),
        shot.curve([*recipe.flip_rates, OOD_RATE]),
        shot.predicted.tolist(),
        own.pop(knob),
        standing(recipe, own),
    )


def _main_knob(recipe: Recipe) -> str:
    """The knob whose history is drawn."""
    return next(iter(knobs(recipe)))  # in the order of KNOBS
