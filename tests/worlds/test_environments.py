"""Colored MNIST: its counts against its rates, its ceilings against closed forms and against counts."""

from dataclasses import replace
from itertools import pairwise, product
from math import isinf, log, sqrt

import pytest
import torch

from invtutor.worlds.colored_mnist import (
    HELD_OUT,
    PATCH,
    POOL,
    ColoredWorld,
    clean_labels,
    colored_mnist,
    ink_and_color,
)
from invtutor.worlds.digits import Digits
from invtutor.worlds.environment import Environment

# Every kind of world. Many classes mean many channels, hence fewer samples there.
KINDS = {
    "two classes": {},
    "three environments": {"flip_rates": (0.05, 0.1, 0.3)},
    "noise per environment": {"label_noise": (0.1, 0.3)},
    "no label noise": {"label_noise": 0.0},
    "few samples": {"samples": 5_000},
    "five classes": {"classes": 5, "samples": 10_000},
    "ten classes": {"classes": 10, "samples": 10_000},
    "patch": {"patch": True},
}


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sigmas(chance: float, count: int) -> float:
    """Four binomial standard deviations of a share."""
    return 4 * sqrt(chance * (1 - chance) / count)


def share(mask: torch.Tensor) -> float:
    return mask.double().mean().item()


def noisy(environment: Environment, classes: int) -> torch.Tensor:
    """How far each label lies behind its clean one, in classes."""
    return (environment.labels - clean_labels(environment["digit"], classes)) % classes


def flipped(environment: Environment, classes: int) -> torch.Tensor:
    """How far each color lies behind its label, in classes."""
    return (environment["color"] - environment.labels) % classes


def tensors(environment: Environment) -> dict[str, torch.Tensor]:
    own = {name: getattr(environment, name) for name in ("inputs", "labels", "index")}
    return own | dict(environment.attributes)


def same(one: Environment, other: Environment) -> bool:
    first, second = tensors(one), tensors(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def rate_of(environment: Environment) -> float:
    """The flip rate that it is named by."""
    return float(environment.name.partition("p=")[2].split()[0])


@pytest.fixture(scope="module", params=KINDS)
def world(request: pytest.FixtureRequest, digits: Digits) -> ColoredWorld:
    return colored_mnist(digits, **KINDS[request.param], generator=generator(1))


@pytest.fixture(scope="module")
def plain(digits: Digits) -> ColoredWorld:
    return colored_mnist(digits, samples=5_000, generator=generator(2))


@pytest.fixture(scope="module")
def patched(digits: Digits) -> ColoredWorld:
    return colored_mnist(digits, samples=5_000, patch=True, generator=generator(3))


def every_environment(world: ColoredWorld) -> list[tuple[Environment, float]]:
    """All environments with their label noise."""
    mean = sum(world.label_noise) / len(world.label_noise)
    pairs = [*zip(world.train, world.label_noise, strict=True), *zip(world.validation, world.label_noise, strict=True)]
    return [*pairs, (world.test(0.5), mean), (world.test(0.9), mean)]


def test_label_noise_and_flip_rates_are_those_asked_for(world: ColoredWorld) -> None:
    for environment, noise in every_environment(world):
        count, rate, classes = len(environment), rate_of(environment), world.classes
        wrong, turned = noisy(environment, classes), flipped(environment, classes)
        assert wrong.max() <= 1 and turned.max() <= 1, "labels and colors move on by one class at most"
        assert share(wrong == 1) == pytest.approx(noise, abs=sigmas(noise, count))
        assert share(turned == 1) == pytest.approx(rate, abs=sigmas(rate, count))


def test_color_follows_the_noisy_label(world: ColoredWorld) -> None:
    for environment, _ in every_environment(world):
        wrong, turned = noisy(environment, world.classes), flipped(environment, world.classes)
        for value in wrong.unique():
            chosen = turned[wrong == value]
            rate = rate_of(environment)
            assert share(chosen == 1) == pytest.approx(rate, abs=sigmas(rate, len(chosen)))


def test_only_the_channel_of_the_color_has_ink(world: ColoredWorld) -> None:
    for environment in (*world.train, *world.validation, world.test(0.9)):
        ink = environment.inputs.sum((2, 3))
        assert environment.inputs.shape == (len(environment), world.classes, 14, 14)
        assert environment.inputs.dtype == torch.float32
        assert environment.inputs.min() >= 0.0 and environment.inputs.max() <= 1.0
        assert torch.equal(ink > 0, torch.nn.functional.one_hot(environment["color"], world.classes).bool())


def test_a_world_knows_its_sizes(world: ColoredWorld) -> None:
    assert world.shape == (world.classes, 14, 14)
    assert world.outputs == (1 if world.classes == 2 else world.classes)
    assert [rate_of(e) for e in world.train] == [rate_of(e) for e in world.validation] == list(world.flip_rates)
    sizes = [len(e) for e in world.validation]
    assert sum(sizes) == HELD_OUT and max(sizes) - min(sizes) <= 1
    assert len({len(e) for e in world.train}) == 1


def test_all_samples_are_shared_out(digits: Digits) -> None:
    assert [len(e) for e in colored_mnist(digits).train] == [25_000, 25_000]
    assert [len(e) for e in colored_mnist(digits, samples=7).train] == [7, 7]
    assert [len(e) for e in colored_mnist(digits, flip_rates=(0.1, 0.2, 0.3), samples=16_666).train] == [16_666] * 3


@pytest.mark.parametrize(
    ("classes", "labels"),
    [(2, [0] * 5 + [1] * 5), (5, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]), (10, list(range(10)))],
)
def test_clean_labels_are_equal_runs_of_digits(classes: int, labels: list[int]) -> None:
    assert clean_labels(torch.arange(10), classes).tolist() == labels


def test_images_and_labels_stay_together_and_environments_are_disjoint(digits: Digits) -> None:
    # Each image carries its own number, in two pixels that the subsampling keeps.
    images, number = digits.images.clone(), torch.arange(60_000)
    images[:, 14, 0], images[:, 14, 2] = (number // 256).byte(), (number % 256).byte()
    world = colored_mnist(replace(digits, images=images), generator=generator(0))
    numbers = []
    for environment in (*world.train, *world.validation):
        high, low = (environment.inputs.sum(1)[:, 7, :2] * 255).round().long().unbind(1)
        found = 256 * high + low
        assert torch.equal(environment["digit"], digits.labels[found])
        expected = images[found, ::2, ::2].float() / 255
        assert torch.allclose(environment.inputs.sum(1), expected)
        numbers.append(found)
    train, validation = torch.cat(numbers[:2]), torch.cat(numbers[2:])
    assert torch.equal(train.sort().values, torch.arange(POOL)), "every digit of the pool once"
    assert torch.equal(validation.sort().values, torch.arange(POOL, 60_000)), "and the held-out ones once"
    assert not torch.equal(train[:25_000].sort().values, torch.arange(0, POOL, 2)), "the pool is shuffled"


@pytest.mark.parametrize("changes", [{}, {"patch": True}, {"classes": 5}], ids=str)
def test_the_generator_decides_everything(digits: Digits, changes: dict) -> None:
    state = torch.get_rng_state()
    one, again, other = (colored_mnist(digits, samples=500, generator=generator(s), **changes) for s in (4, 4, 5))
    assert torch.equal(torch.get_rng_state(), state), "global randomness is left alone"
    pairs = [*zip(one.train, again.train, strict=True), *zip(one.validation, again.validation, strict=True)]
    assert all(same(a, b) for a, b in [*pairs, (one.test(0.3), again.test(0.3))])
    assert not any(same(a, b) for a, b in zip(one.train, other.train, strict=True))
    assert not any(same(a, b) for a, b in zip(one.validation, other.validation, strict=True))
    assert not torch.equal(one.test(0.5).labels, other.test(0.5).labels)


def test_no_generator_means_seed_zero(digits: Digits) -> None:
    one, other = colored_mnist(digits, samples=50), colored_mnist(digits, samples=50, generator=generator(0))
    assert same(one.train[0], other.train[0])


def test_the_test_file_is_the_same_at_every_rate(plain: ColoredWorld, digits: Digits) -> None:
    rates = (0.0, 0.1, 0.5, 0.9, 1.0)
    painted = [plain.test(rate) for rate in rates]
    assert all(
        torch.equal(e.labels, painted[0].labels) and torch.equal(e["digit"], digits.test_labels) for e in painted
    )
    turned = [flipped(e, 2).bool() for e in painted]
    assert not turned[0].any() and turned[-1].all()
    for fewer, more in pairwise(turned):
        assert (fewer <= more).all(), "a higher rate flips more colors, and unflips none"
    assert [e.name for e in painted] == [f"test p={rate:g}" for rate in rates]


@pytest.mark.parametrize("changes", [{}, {"patch": True}, {"classes": 5}], ids=str)
def test_corners_force_every_spurious_bit(digits: Digits, changes: dict) -> None:
    world = colored_mnist(digits, samples=10, generator=generator(0), **changes)
    bits = list(product((0, 1), repeat=len(world.tests) // 2))
    assert bits == ([(0, 0), (0, 1), (1, 0), (1, 1)] if changes.get("patch") else [(0,), (1,)])
    for b, environment in zip(bits, world.tests, strict=True):
        assert (flipped(environment, world.classes) == b[0]).all()
        assert torch.equal(environment.labels, world.test(0.5).labels)
        if len(b) == 2:
            assert (((environment["patch"] - environment.labels) % 2) == b[1]).all()


def test_patches_are_flipped_at_the_same_rate_but_independently(digits: Digits) -> None:
    world = colored_mnist(digits, patch=True, generator=generator(6))
    for environment in (*world.train, *world.validation, world.test(0.9)):
        rate, count = rate_of(environment), len(environment)
        turned, moved = flipped(environment, 2).bool(), (environment["patch"] != environment.labels)
        assert share(moved) == pytest.approx(rate, abs=sigmas(rate, count))
        assert share(turned & moved) == pytest.approx(rate**2, abs=sigmas(rate**2, count))
        for label in (0, 1):
            chosen = moved[environment.labels == label]
            assert share(chosen) == pytest.approx(rate, abs=sigmas(rate, len(chosen)))


def test_patches_are_white_squares_in_an_upper_corner(patched: ColoredWorld) -> None:
    environment = patched.train[0]
    rows = torch.arange(len(environment))
    picture = environment.inputs[rows, environment["color"]]
    left, right = picture[:, :PATCH, :PATCH], picture[:, :PATCH, -PATCH:]
    chosen = (environment["patch"] == 0)[:, None, None]
    assert torch.equal(left, chosen.expand_as(left).float())
    assert torch.equal(right, (~chosen).expand_as(right).float())


def test_a_world_without_patch_has_none(plain: ColoredWorld) -> None:
    assert "patch" not in plain.train[0].attributes and "patch" not in plain.test(0.5).attributes


def test_ink_and_color_are_the_channels_turned(plain: ColoredWorld) -> None:
    environment = plain.train[0]
    ink, color = ink_and_color(environment.inputs).unbind(1)
    assert torch.allclose(ink, environment.inputs.sum(1) / 2**0.5)
    lit = ink > 0.1
    orange = environment["color"][:, None, None].expand_as(lit)[lit] == 1
    assert torch.equal(color[lit] > 0, orange)
    assert torch.allclose(ink.square() + color.square(), environment.inputs.square().sum(1), atol=1e-5), "a turn"


def test_gray_tells_nothing_of_color_and_patch(plain: ColoredWorld, patched: ColoredWorld) -> None:
    for world in (plain, patched):
        grays = [environment.gray() for environment in world.tests]
        for gray in grays:
            assert torch.equal(gray.inputs[:, 0], gray.inputs[:, 1])
            assert torch.equal(gray.inputs, grays[0].inputs), "whatever the color and the patch were"
        assert torch.equal(grays[0].inputs[:, 0], world.test_canvas.images), "and all of the digit"


def test_taking_the_gray_view_changes_nothing(patched: ColoredWorld) -> None:
    environment = patched.train[0]
    before = environment.inputs.clone()
    environment.gray()
    assert torch.equal(environment.inputs, before)


def test_a_gray_world_is_gray_everywhere(patched: ColoredWorld, digits: Digits) -> None:
    world = colored_mnist(digits, samples=5_000, patch=True, grayscale=True, generator=generator(3))
    views = [*world.train, *world.validation, world.test(0.1), world.test(0.9), *world.tests]
    assert all(torch.equal(e.inputs[:, 0], e.inputs[:, 1]) for e in views)
    assert torch.equal(world.test(0.1).inputs, world.test(0.9).inputs)
    assert world.flip_rates == patched.flip_rates
    for gray, colored in zip((*world.train, *world.validation), (*patched.train, *patched.validation), strict=True):
        assert same(gray, colored.gray())


def test_head_is_the_first_digits(patched: ColoredWorld) -> None:
    few, all_of_them = patched.test_canvas.head(9).paint(0.4), patched.test(0.4)
    assert len(few) == 9 and same(few, all_of_them.subset(torch.arange(9)))


def test_subset_takes_an_index_or_a_mask(patched: ColoredWorld) -> None:
    environment = patched.train[0]
    index = torch.tensor([3, 1, 4])
    some = environment.subset(index)
    assert len(some) == 3 and some.name == environment.name
    assert {"color", "digit", "patch"} <= environment.attributes.keys()
    part, of = tensors(some), tensors(environment)
    assert part.keys() == of.keys() and all(torch.equal(part[name], of[name][index]) for name in of)
    reds = environment.subset(environment["color"] == 0)
    assert len(reds) == (environment["color"] == 0).sum() and (reds["color"] == 0).all()


def test_sample_draws_whole_rows_with_replacement(patched: ColoredWorld) -> None:
    environment = patched.train[0].subset(torch.arange(20))
    sampled, again = (environment.sample(1_000, generator(7)) for _ in range(2))
    assert len(sampled) == 1_000 and same(sampled, again)
    assert not same(sampled, environment.sample(1_000, generator(8)))
    index = torch.randint(20, (1_000,), generator=generator(7))
    assert same(sampled, environment.subset(index))


def test_to_moves_every_tensor(patched: ColoredWorld) -> None:
    moved = patched.to("meta")
    environments = (*moved.train, *moved.validation)
    assert {tensor.device.type for e in environments for tensor in tensors(e).values()} == {"meta"}
    canvas = ("images", "digits", "labels", "color_draws", "patch_draws", "index")
    assert {getattr(moved.test_canvas, name).device.type for name in canvas} == {"meta"}
    assert patched.train[0].inputs.device.type == "cpu"


# Ceilings: first the numbers that everybody knows, then every world against its own counts.


def entropy(chance: float) -> float:
    return -chance * log(chance) - (1 - chance) * log(1 - chance)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.2, 0.9, 1.0])
def test_shape_alone_gives_75_percent_everywhere(plain: ColoredWorld, rate: float) -> None:
    ceiling = plain.bayes("invariant")
    assert ceiling.accuracy(rate) == pytest.approx(0.75)
    assert ceiling.risk(rate) == pytest.approx(entropy(0.25)) == pytest.approx(0.56234, abs=5e-6)


def test_color_alone_gives_90_80_10(plain: ColoredWorld) -> None:
    ceiling = plain.bayes("color")
    assert [ceiling.accuracy(rate) for rate in (0.1, 0.2, 0.9)] == pytest.approx([0.9, 0.8, 0.1])
    assert (
        (ceiling.risk(0.1) + ceiling.risk(0.2)) / 2 == pytest.approx(entropy(0.15)) == pytest.approx(0.4227, abs=5e-5)
    )
    assert ceiling.risk(0.9) == pytest.approx(-0.1 * log(0.85) - 0.9 * log(0.15))


@pytest.mark.parametrize(("rate", "chance"), [(0.1, 0.3251), (0.2, 0.5004)])
def test_color_alone_learned_where_it_is_judged(digits: Digits, rate: float, chance: float) -> None:
    world = colored_mnist(digits, flip_rates=(rate,), samples=10)
    assert world.bayes("color").risk(rate) == pytest.approx(chance, abs=5e-5)


def test_pooled_clues_follow_the_color(plain: ColoredWorld) -> None:
    ceiling = plain.bayes("pooled")
    assert [ceiling.accuracy(rate) for rate in (0.1, 0.2, 0.9)] == pytest.approx([0.9, 0.8, 0.1])
    assert [ceiling.risk(rate) for rate in (0.1, 0.2, 0.9)] == pytest.approx([0.286, 0.423, 1.381], abs=5e-4)
    assert (ceiling.risk(0.1) + ceiling.risk(0.2)) / 2 == pytest.approx(0.3545, abs=5e-5)


@pytest.mark.parametrize("classes", [5, 10])
def test_pooled_clues_with_many_classes(digits: Digits, classes: int) -> None:
    world = colored_mnist(digits, classes=classes, samples=10)
    assert [world.bayes("pooled").accuracy(p) for p in (0.1, 0.2, 0.9)] == pytest.approx([0.925, 0.85, 0.325])
    assert [world.bayes("invariant").accuracy(p) for p in (0.1, 0.2, 0.9)] == pytest.approx([0.75] * 3)
    assert [world.bayes("color").accuracy(p) for p in (0.1, 0.2, 0.9)] == pytest.approx([0.9, 0.8, 0.1])


def test_pooled_clues_with_a_patch(patched: ColoredWorld) -> None:
    assert [patched.bayes("pooled").accuracy(p) for p in (0.1, 0.2, 0.9)] == pytest.approx([0.945, 0.88, 0.145])
    assert [patched.bayes("color").accuracy(p) for p in (0.1, 0.2, 0.9)] == pytest.approx([0.9, 0.8, 0.1])


def test_a_label_never_seen_in_training_has_infinite_risk(digits: Digits) -> None:
    ceiling = colored_mnist(digits, flip_rates=(0.0,), samples=10).bayes("color")
    assert ceiling.risk(0.0) == 0.0 and ceiling.accuracy(0.0) == 1.0
    assert isinf(ceiling.risk(0.5)) and ceiling.risk(0.5) > 0 and ceiling.accuracy(0.5) == pytest.approx(0.5)


def seen_by(clue: str, environment: Environment, classes: int) -> torch.Tensor:
    """What a predictor sees of each sample, as one number (n,)."""
    clean, colors = clean_labels(environment["digit"], classes), environment["color"]
    patches = environment.attributes.get("patch", torch.zeros_like(colors))
    return {"invariant": clean, "color": colors, "pooled": (clean * classes + colors) * 2 + patches}[clue]


def check_ceilings_by_counting(world: ColoredWorld) -> None:
    """A table of what the training samples say about each clue, used on the test samples."""
    tests = [world.test(rate) for rate in (0.1, 0.5, 0.9)]
    if len(set(world.label_noise)) == 1:  # else the validation labels are not as noisy as the test's
        tests += world.validation
    for clue in ("invariant", "color", "pooled"):
        table = torch.zeros(2 * world.classes**2, world.classes, dtype=torch.float64)
        for environment in world.train:
            seen = seen_by(clue, environment, world.classes)
            table.index_put_((seen, environment.labels), torch.tensor(1.0, dtype=torch.float64), accumulate=True)
        chances = table / table.sum(1, keepdim=True)
        ceiling = world.bayes(clue)
        for environment in tests:
            row, count, rate = (
                chances[seen_by(clue, environment, world.classes)],
                len(environment),
                rate_of(environment),
            )
            expected = ceiling.accuracy(rate)
            hits = share(row.argmax(1) == environment.labels)
            assert hits == pytest.approx(expected, abs=sigmas(expected, count) + 1e-9), (clue, rate)
            losses = -row[torch.arange(count), environment.labels].log()
            # 0.01 nats for the table, which was itself learned from samples
            error = 4 * losses.std().item() / sqrt(count) + 0.01
            assert losses.mean().item() == pytest.approx(ceiling.risk(rate), abs=error), (clue, rate)


def test_ceilings_agree_with_counts(world: ColoredWorld) -> None:
    check_ceilings_by_counting(world)


def test_ceilings_agree_with_counts_on_real_digits(mnist: Digits) -> None:
    check_ceilings_by_counting(colored_mnist(mnist, generator=generator(0)))


def test_real_digits_have_little_ink_where_the_patch_goes(mnist: Digits) -> None:
    # A few strokes do reach into the upper right corner, of fives above all; the gray view loses them.
    for images in (mnist.images, mnist.test_images):
        small = images[:, ::2, ::2].double()
        corners = torch.stack([small[:, :PATCH, :PATCH], small[:, :PATCH, -PATCH:]], 1)
        assert share(corners.amax((1, 2, 3)) > 0) < 0.05
        assert corners.sum() / small.sum() < 0.001


# Errors


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flip_rates": (0.1, 1.2)}, r"^Parameter `flip_rates` .+ numbers in \[0, 1\]\. Found \(0\.1, 1\.2\)\.$"),
        ({"flip_rates": (-0.1,)}, r"^Parameter `flip_rates` .+ numbers in \[0, 1\]\. Found \(-0\.1,\)\.$"),
        ({"flip_rates": (float("nan"),)}, r"^Parameter `flip_rates` .+ numbers in \[0, 1\]\. Found \(nan,\)\.$"),
        ({"flip_rates": ()}, r"^Parameter `flip_rates` should be a list of 1 to 100 .+\. Found \(\)\.$"),
        ({"label_noise": 0.6}, r"^Parameter `label_noise` .+ number in \[0, 0\.5\] or .+\. Found 0\.6\.$"),
        ({"label_noise": float("nan")}, r"^Parameter `label_noise` .+\. Found nan\.$"),
        ({"label_noise": (0.1, -0.1)}, r"^Parameter `label_noise` .+ in \[0, 0\.5\]\. Found \(0\.1, -0\.1\)\.$"),
        ({"label_noise": (0.1, 0.2, 0.3)}, r"^Parameter `label_noise` should be one number, or 2, .+\. Found \(0\.1,"),
        ({"samples": 25_001}, r"^Parameter `samples` should be in \[1, 25,000\] .+\. Found 25001\.$"),
        ({"samples": 0}, r"^Parameter `samples` should be a whole number in \[1, 50,000\] or None\. Found 0\.$"),
        ({"flip_rates": (0.1, 0.2, 0.3), "samples": 16_667}, r"^Parameter `samples` should be in \[1, 16,666\] "),
        ({"classes": 3}, r"^Parameter `classes` should be one of 2, 5, 10\. Found 3\.$"),
        ({"classes": 5, "patch": True}, r"^Parameter `patch` .+ False where there are 5 classes\. Found True\.$"),
    ],
)
def test_one_clear_error_for_what_cannot_be(digits: Digits, changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        colored_mnist(digits, **changes)


@pytest.mark.parametrize("rate", [-0.01, 1.01, float("nan")])
def test_no_painting_outside_zero_to_one(plain: ColoredWorld, rate: float) -> None:
    with pytest.raises(ValueError, match=r"^Parameter `flip_rate` should be in \[0, 1\]\. Found "):
        plain.test(rate)


def test_unknown_clue(plain: ColoredWorld) -> None:
    with pytest.raises(ValueError, match=r"^Parameter `clue` should be one of .+\. Found 'shape'\.$"):
        plain.bayes("shape")  # type: ignore[arg-type]


@pytest.mark.parametrize("rates", [(0.15, 0.35), (0.2, 0.3), (0.1, 0.4), (0.25, 0.25), (0.05, 0.15, 0.3, 0.5)])
def test_where_two_labels_are_equally_likely_the_pooled_predictor_tosses_a_coin(
    digits: Digits, rates: tuple[float, ...]
) -> None:
    """The mean flip rate is the label noise, so that color and shape, where they differ, weigh the same."""
    world = colored_mnist(digits, flip_rates=rates, label_noise=0.25, samples=10)
    for order in (world, replace(world, train=world.train[::-1])):
        pooled = order.bayes("pooled")
        for rate in (0.0, 0.1, 0.5, 0.9, 1.0):
            assert pooled.accuracy(rate) == pytest.approx((0.75 + 1 - rate) / 2)
    nearly = replace(world, label_noise=tuple(noise + 1e-6 for noise in world.label_noise))
    assert nearly.bayes("pooled").accuracy(0.9) == pytest.approx(0.1)  # color is right a little more often


def test_environments_have_names_of_their_own(digits: Digits) -> None:
    world = colored_mnist(digits, flip_rates=(0.1, 0.1 + 1e-9, 0.2, 0.2), samples=10)
    assert len({e.name for e in (*world.train, *world.validation)}) == 8
    with pytest.raises(
        ValueError, match=r"^Parameter `name` of environments should be .* Found 'train p=0.2 \(3\)' tw"
    ):
        replace(world, train=(*world.train, world.train[2]))
