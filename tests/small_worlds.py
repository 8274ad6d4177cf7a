"""Every world with little of everything, for tests that walk all of them."""

from invtutor.fields import knobs
from invtutor.runs.recipe import Recipe, own
from invtutor.worlds import WORLDS

FEW = {"samples": 24, "test_samples": 12, "environments": 3, "shares": 3, "size": 12}  # of whichever a world has


def tiny(world: str, network: str = "perceptron", method: str = "erm") -> Recipe:
    """A smoke recipe, with little of everything."""
    known = {name: value for name, value in knobs(WORLDS[world]).items() if not isinstance(value, str)}
    few = {name: value for name, value in FEW.items() if name in known}
    few |= {"source": "rendered"} if "source" in knobs(WORLDS[world]) else {}
    few |= {name: 2 for name in own(method) if name.endswith("_steps")}
    few |= {name: 8 for name in own(method) if name.endswith("_batch")}
    recipe = Recipe.profile("smoke", method, world=world, network=network, width=4, steps=2, anneal=1, every=1, **few)
    return recipe.but(batch_size=recipe.batch_size and 8)
