"""Drawn animals on land and in water: what is drawn, the groups, what a network makes of them, and the cache."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor

from invtutor.networks import ResNet
from invtutor.runs.recipe import Recipe
from invtutor.runs.run import run
from invtutor.worlds import animals, mnist
from invtutor.worlds.animals import HELD_OUT, SPECIES, Animals, Menagerie, draw_menagerie
from invtutor.worlds.drawing import PLANS, TRAITS, draw_animals, draw_places
from invtutor.worlds.environment import group_of
from invtutor.worlds.grouped import TEST, TRAIN, VALIDATION
from invtutor.worlds.risks import correct, risk

FEW = {TRAIN: 400, VALIDATION: 80, TEST: 120}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def few() -> Menagerie:
    return Menagerie(*draw_menagerie(FEW))


# What is drawn


def test_one_in_twenty_conflicts_in_training_and_half_elsewhere(few: Menagerie) -> None:
    for split, counts in ((TRAIN, [190, 10, 10, 190]), (VALIDATION, [20] * 4), (TEST, [30] * 4)):
        chosen = few.splits == split
        assert (2 * few.labels + few.attributes)[chosen].bincount().tolist() == counts
    assert few.images.shape == (600, 3, 48, 48) and few.images.dtype == torch.uint8


def test_the_test_has_species_of_its_own(few: Menagerie) -> None:
    known, new = (set(few.species[few.splits == split].tolist()) for split in (TRAIN, TEST))
    assert not known & new and set(few.species[few.splits == VALIDATION].tolist()) <= set(range(2 * SPECIES))
    assert max(known) < 2 * (SPECIES - HELD_OUT) <= min(new)
    assert torch.equal(few.species % 2, few.labels), "a species is of one kind"


def test_a_seed_draws_the_same_again() -> None:
    one, same, other = (draw_menagerie({TRAIN: 40}, seed)[0] for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)
    assert len(one.flatten(1).unique(dim=0)) == 40, "no picture twice"


@pytest.mark.parametrize("label", [0, 1])
def test_an_animal_stands_in_its_frame(label: int) -> None:
    for shade in (0.0, 1.0):
        ground = torch.full((60, 3, 48, 48), shade)
        picture = draw_animals(ground, torch.rand(60, TRAITS, generator=seeded()), label, seeded(1))
        seen = ((picture - ground).abs().amax(1) > 0.02).double()
        assert picture.min() >= 0 and picture.max() <= 1
        covered = seen.mean((1, 2))
        assert covered.min() > 0.05 and covered.max() < 0.75
        border = torch.cat([seen[:, 0], seen[:, -1], seen[:, :, 0], seen[:, :, -1]], 1)
        assert border.mean() < 0.05, "hardly anything is cut off"


@pytest.mark.parametrize("place", [0, 1])
def test_places_differ_and_a_picture_of_one_is_like_another_of_it(place: int) -> None:
    traits = torch.rand(12, TRAITS, generator=seeded())
    pictures = draw_places(traits.repeat(4, 1), place, seeded(1)).view(4, 12, 3, -1)
    assert pictures.min() >= 0 and pictures.max() <= 1
    colors = pictures.mean(3)
    assert colors.std(0).mean() < 0.4 * colors.mean(0).std(0).mean()
    blue = colors[..., 2] - colors[..., 1]
    assert (blue.mean() > 0.05) == (place == 1), "water is blue"


@pytest.mark.parametrize("plan", PLANS)
def test_colors_have_traits_of_their_own(plan: object) -> None:
    asked = []

    def trait(low: float, high: float) -> Tensor:
        asked.append((low, high))
        return torch.full((1, 1, 1), (low + high) / 2)

    coat = torch.rand(1, 3, 1, 1)
    assert callable(plan) and plan(trait, lambda low, high: torch.zeros(1, 1, 1), coat, coat)
    assert 10 < len(asked) <= TRAITS - 6, "the last six are those of color and pattern"


# What a network makes of them


@pytest.mark.long
def test_animals_are_learnable_and_no_toy() -> None:
    images, labels, _, _, splits = draw_menagerie({VALIDATION: 4000, TEST: 400})
    known, new = ((splits == split).nonzero()[:, 0] for split in (VALIDATION, TEST))
    generator, steps = seeded(), 220
    model = ResNet((3, 48, 48), 4, 1, generator)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        batch = known[torch.randint(3500, (48,), generator=generator)]
        optimizer.zero_grad()
        risk(model(images[batch]), labels[batch]).backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        unseen, foreign = (correct(model(images[n]), labels[n]).double().mean() for n in (known[3500:], new))
    assert 0.95 <= unseen <= 0.999 and 0.85 <= foreign <= 0.999


def test_a_recipe_trains_there(few: Menagerie) -> None:
    recipe = Recipe.profile("smoke", "upweighting", world="animals", steps=2, samples=60, test_samples=40)
    assert (recipe.network, recipe.width) == ("residual", 4) and Recipe.from_json(recipe.to_json()) == recipe
    done = run(recipe, data=few, progress=False)
    assert {"validation", "test", "test worst group", "test average"} <= done.metrics.keys()
    order = [done.metrics[f"validation{name}"] for name in (" worst group", " worst class", "")]
    assert order == sorted(order) and 0 <= done.metrics["validation average"] <= 1
    assert 0 <= done.metrics["test worst group"] <= done.metrics["test"] <= 1
    one, other = (Animals(samples=60).draw(few, seeded(seed)).train[0] for seed in (0, 1))
    assert one.name == "train land" and not torch.equal(one.index, other.index)
    assert torch.equal(group_of(one), 2 * few.labels[one.index] + few.attributes[one.index])


# The cache


def test_pictures_are_kept_and_drawn_anew_where_the_file_is_damaged_or_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist, "cache_folder", lambda: tmp_path / "cache")
    for split, count in {TRAIN: 40, VALIDATION: 8, TEST: 8}.items():
        monkeypatch.setitem(animals.COUNTS, split, count)
    drawn = Counter[str]()

    def draw() -> tuple[Tensor, ...]:
        drawn["times"] += 1
        return draw_menagerie()

    monkeypatch.setattr(animals, "draw_menagerie", draw)
    first, again = animals._menagerie.__wrapped__(), animals._menagerie.__wrapped__()
    assert drawn["times"] == 1 and torch.equal(first.images, again.images) and "56 drawn animals" in str(again)
    path = tmp_path / "cache" / animals.FILE
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"PK" + whole):
        path.write_bytes(content)
        assert torch.equal(animals._menagerie.__wrapped__().images, first.images)
    assert drawn["times"] == 4 and path.read_bytes() == whole
    monkeypatch.setitem(animals.COUNTS, TEST, 16)
    assert len(animals._menagerie.__wrapped__().labels) == 64 and drawn["times"] == 5
