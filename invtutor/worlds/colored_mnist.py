"""Colored MNIST: the same digits under colors that lie differently often (Arjovsky et al. 2019, §5.2).

A digit's shape gives its clean label. The label is corrupted with probability `label_noise`; a color is drawn to agree
with the *corrupted* label, and is flipped with probability `flip_rate`. The label noise is the same everywhere, the
flip rate is not: shape is the invariant clue, color the spurious one.

    label = (clean + Bernoulli(label_noise)) mod k        color = (label + Bernoulli(flip_rate)) mod k

With k = 2 classes both sums are exclusive ors. With k = 5 or 10 they shift by one, as in Choe et al. 2020.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from itertools import product
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor

from invtutor.fields import require, within
from invtutor.worlds.bayes import Bayes
from invtutor.worlds.digits import Digits, Source, load_digits
from invtutor.worlds.environment import Environment
from invtutor.worlds.mnist import announce
from invtutor.worlds.risks import accuracy, accuracy_curve, correct, precise, risk
from invtutor.worlds.world import Metrics, Predictor, Setting, World

__all__ = ["OOD_RATE", "TEST_RATES", "Canvas", "ColoredMNIST", "ColoredWorld", "clean_labels", "colored_mnist"]
__all__ += ["flipped", "ink_and_color", "painted", "recolored"]

POOL, HELD_OUT = 50_000, 10_000  # of the 60,000 training digits: those to train on, and the tail for validation
PATCH = 3  # side of the square that the optional second spurious feature puts into an upper corner
TEST_RATES = (0.1, 0.2, 0.5, 0.9)
OOD_RATE = TEST_RATES[-1]


def clean_labels(digits: Tensor, classes: int = 2) -> Tensor:
    """Digit classes 0 … 9 (n,) → clean labels (n,): equal runs of digits; for two classes 0–4 → 0 and 5–9 → 1."""
    return digits // (10 // classes)


def flipped(classes: Tensor, chance: float, generator: torch.Generator, count: int = 2) -> Tensor:
    """Classes (n,), each changed with this chance: to the next, which for two classes is the other one."""
    return (classes + (torch.rand(len(classes), generator=generator) < chance).long()) % count


def painted(images: Tensor, colors: Tensor, count: int = 2) -> Tensor:
    """Images (n, height, width) and colors (n,) → inputs (n, count, height, width): each in its color's channel, the
    others dark."""
    inputs = torch.zeros(len(colors), count, *images.shape[1:], device=images.device)
    inputs[torch.arange(len(colors), device=colors.device), colors] = images
    return inputs


def marked(inputs: Tensor, colors: Tensor, patches: Tensor) -> None:
    """Put a patch into the upper left corner of each input, (n, 2, height, width), where `patches` is 0, and into the
    right one where it is 1, in the input's color; in place."""
    for side, columns in ((0, slice(0, PATCH)), (1, slice(-PATCH, None))):
        here = patches == side
        inputs[here.nonzero()[:, 0], colors[here], :PATCH, columns] = 1.0


def recolored(environment: Environment, shift: int, patch_shift: int = 0) -> Environment:
    """The same samples, each in the color (label + shift) mod k: shift 0 agrees with the label, 1 is the flip; and each
    with the patch (label + patch_shift) mod 2, where there are patches: what ink a digit has in the upper corners is
    then lost.

    Raises ValueError where color cannot be repainted: in a world without colors.
    """
    if "color" not in environment.attributes:
        raise ValueError("Parameter `environment` should have colors.")
    classes, patch = environment.inputs.shape[1], "patch" in environment.attributes
    colors = (environment.labels + shift) % classes
    told = {"color": colors, "conflict": (colors != environment.labels).long()}
    inputs = painted(uncolored(environment.inputs, patch)[:, 0], colors, classes)
    if patch:
        told["patch"] = (environment.labels + patch_shift) % 2
        marked(inputs, colors, told["patch"])
    return replace(environment, inputs=inputs, attributes={**environment.attributes, **told})


def uncolored(inputs: Tensor, patch: bool = False) -> Tensor:
    """The same digits with color (and patch) taken away: every channel holds the whole digit."""
    ink = inputs.amax(1, keepdim=True)
    if patch:
        ink[:, :, :PATCH, :PATCH] = ink[:, :, :PATCH, -PATCH:] = 0.0  # few digits reach into them (4 %)
    return ink.expand_as(inputs)


def ink_and_color(inputs: Tensor) -> Tensor:
    """The two channels of each pixel turned by 45°, (n, 2, height, width): their sum is the ink, their difference, the
    second less the first, the color."""
    blue, orange = inputs.unbind(1)
    return torch.stack([blue + orange, orange - blue], 1).div_(2**0.5)  # in place: the whole world may pass


@dataclass(frozen=True, eq=False)
class Canvas:
    """Digits with their noisy labels, waiting for their colors.

    A sample's color is flipped where its stored draw lies below the flip rate, so that two environments painted from
    one canvas differ only by the flips that the rates demand: a slider over the flip rate recolors few digits at a
    time.

    images: (n, 14, 14) float32 in [0, 1]; digits, labels: (n,) int64; color_draws, patch_draws: (n,) float32 in [0, 1).
    index: (n,) int64, a digit's number in its file.
    """

    images: Tensor
    digits: Tensor
    labels: Tensor
    color_draws: Tensor
    patch_draws: Tensor | None
    classes: int
    index: Tensor

    @classmethod
    def draw(
        cls,
        images: Tensor,
        digits: Tensor,
        index: Tensor,
        *,
        label_noise: float,
        classes: int,
        patch: bool,
        generator: torch.Generator,
    ) -> "Canvas":
        """Raw images (m, 28, 28) uint8 at `index`, (n,), are subsampled to 14 × 14 as in the reference code; labels get
        their noise."""
        images, digits, n = images[index], digits[index], len(index)
        return cls(
            images[:, ::2, ::2] / 255.0,
            digits,
            flipped(clean_labels(digits, classes), label_noise, generator, classes),
            torch.rand(n, generator=generator),
            torch.rand(n, generator=generator) if patch else None,
            classes,
            index,
        )

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Canvas":
        values = {part.name: getattr(self, part.name) for part in fields(self)}
        changed: dict[str, Any] = {name: change(value) for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, **changed)

    def head(self, n: int) -> "Canvas":
        """The first n digits."""
        return self._each(lambda tensor: tensor[:n])

    def to(self, device: str | torch.device) -> "Canvas":
        """The same canvas with its tensors on `device`."""
        return self._each(lambda tensor: tensor.to(device))

    def paint(self, flip_rate: float, *, patch_flip_rate: float | None = None, name: str = "") -> Environment:
        """The environment at a flip rate in [0, 1]; the patch follows the same rate unless told otherwise."""
        _check_rate("flip_rate", flip_rate)
        colors = (self.labels + (self.color_draws < flip_rate).long()) % self.classes
        inputs = painted(self.images, colors, self.classes)
        attributes = {"color": colors, "digit": self.digits, "conflict": (colors != self.labels).long()}
        patch = self.patch_draws is not None
        if self.patch_draws is not None:
            patch_rate = flip_rate if patch_flip_rate is None else patch_flip_rate
            _check_rate("patch_flip_rate", patch_rate)
            attributes["patch"] = (self.labels + (self.patch_draws < patch_rate).long()) % 2
            marked(inputs, colors, attributes["patch"])
        view = partial(uncolored, patch=patch)
        return Environment(name or f"p={flip_rate:g}", inputs, self.labels, attributes, self.index, view)


@dataclass(frozen=True, eq=False)
class ColoredWorld(World):
    """Training environments, validation environments held out of each of them, and test digits to color at will.

    train, validation: pairwise, at `flip_rates`; disjoint digits. test_canvas: digits of the official test file.
    label_noise: that of each training environment; the test digits get the mean. grayscale: True for the oracle's view.
    """

    train: tuple[Environment, ...]
    validation: tuple[Environment, ...]
    test_canvas: Canvas
    flip_rates: tuple[float, ...]
    label_noise: tuple[float, ...]
    grayscale: bool = False

    @property
    def classes(self) -> int:
        """2, 5 or 10."""
        return self.test_canvas.classes

    @property
    def outputs(self) -> int:  # type: ignore[override]
        """1 for two classes, else one per class."""
        return 1 if self.classes == 2 else self.classes

    def test(self, flip_rate: float) -> Environment:
        """The official test digits at any flip rate in [0, 1]; the same digits and labels at every rate."""
        return self._seen(self.test_canvas.paint(flip_rate, name=f"test p={flip_rate:g}"))

    @cached_property
    def tests(self) -> tuple[Environment, ...]:
        """The test digits with every spurious bit forced: agreeing, then flipped; with patches two times two.

        The accuracy expected at *any* flip rate is a mixture of the accuracies here (`risks.accuracy_curve`).
        """
        return tuple(
            self._seen(self.test_canvas.paint(bits[0], patch_flip_rate=bits[-1], name=f"corner {bits}"))
            for bits in self._bits
        )

    @property
    def _bits(self) -> Iterator[tuple[int, ...]]:
        """Of the color and, where there are patches, of the patch: 0 agrees with the label, 1 is flipped."""
        return product((0, 1), repeat=1 if self.test_canvas.patch_draws is None else 2)

    def _seen(self, environment: Environment) -> Environment:
        return environment.gray() if self.grayscale else environment

    def to(self, device: str | torch.device) -> "ColoredWorld":
        """The same world with all its tensors on `device`."""
        return replace(
            self,
            train=tuple(e.to(device) for e in self.train),
            validation=tuple(e.to(device) for e in self.validation),
            test_canvas=self.test_canvas.to(device),
        )

    def watch(self, predict: Predictor) -> Metrics:
        """`held_out`, and the accuracy expected in the test at `TEST_RATES`."""
        curve = accuracy_curve(self.corners(predict), TEST_RATES)
        return self.held_out(predict) | {
            f"test p={rate:g}": value for rate, value in zip(TEST_RATES, curve, strict=True)
        }

    def corners(self, predict: Predictor) -> Tensor:
        """Accuracy in each of `tests`: (2,) for agreeing and flipped color; with patches (2, 2)."""
        return _square([accuracy(predict, environment) for environment in self.tests])

    def validation_corners(self, predict: Predictor) -> list[Any]:
        """As `corners`, as lists, of the validation digits with every spurious bit forced."""
        accuracies = []
        for bits in self._bits:
            environments = [e if self.grayscale else recolored(e, *bits) for e in self.validation]
            with torch.no_grad():
                hits = torch.cat([correct(predict(e.inputs), e.labels) for e in environments])
            accuracies.append(precise(hits).mean().item())
        return _square(accuracies).tolist()

    def outside(self, predict: Predictor) -> Metrics:
        """The risk expected in the test at `OOD_RATE`."""
        risks = [risk(predict(e.inputs), e.labels).item() for e in self.tests]
        (value,) = accuracy_curve(_square(risks), [OOD_RATE])
        return {f"test risk p={OOD_RATE:g}": value}

    def shown(self, count: int) -> Environment:
        """A few test digits at `OOD_RATE`."""
        return self._seen(self.test_canvas.head(count).paint(OOD_RATE, name=f"test p={OOD_RATE:g}"))

    def bayes(self, clue: Literal["invariant", "color", "pooled"]) -> Bayes:
        """The ceiling of a predictor that uses shape alone, color alone, or every clue as the pooled training data
        teach.

        For .25 label noise and flip rates .1/.2 the accuracies at p = .1/.2/.9 are 75 % everywhere, 90/80/10 and
        90/80/10.
        """
        if clue not in ("invariant", "color", "pooled"):
            raise ValueError(f"Parameter `clue` should be one of invariant, color, pooled. Found {clue!r}.")
        noise = sum(self.label_noise) / len(self.label_noise)
        train = tuple(zip(self.label_noise, self.flip_rates, strict=True))
        return Bayes(clue, self.classes, train, noise, self.test_canvas.patch_draws is not None)


def _square(values: Sequence[float]) -> Tensor:
    """One value for each of `tests`, as `accuracy_curve` takes them."""
    flat = torch.tensor(values, dtype=torch.float64)
    return flat if len(flat) == 2 else flat.view(2, 2)


def _check_rate(name: str, value: float) -> None:
    require(name, 0.0 <= value <= 1.0, "in [0, 1]", value)  # a NaN fails here too


@dataclass(frozen=True)
class ColoredMNIST(Setting):
    """What a world of Colored MNIST is drawn by. Raises ValueError for what no world can be.

    The first 50,000 training digits, shuffled, are shared out among the training environments, the other 10,000 among
    the validation environments; the official test file is kept for the test. The patch, a 3 × 3 square in the upper
    left or right corner, follows the label like the color, flipped at the same rate but independently; its size and
    place are ours.
    """

    flip_rates: tuple[float, ...] = within((0.1, 0.2), 0, 1)
    """The chance that the color is flipped, one per training environment."""
    label_noise: float | tuple[float, ...] = within(0.25, 0, 0.5)
    """The chance that a label is wrong: one number, or one per training environment."""
    classes: Literal[2, 5, 10] = 2
    """Label classes and colors: 2, 5 or 10."""
    patch: bool = False
    """Adds a second spurious feature (two classes only)."""
    samples: int | None = within(None, 1, POOL)
    """Samples per training environment; None shares out all 50,000."""
    grayscale: bool = False
    """Takes color away from every environment."""
    source: Source = "auto"
    """Which digits: auto, mnist or rendered."""

    label = "Colored MNIST"
    budgets = MappingProxyType({"smoke": {"samples": 2000}})

    def __post_init__(self) -> None:
        super().__post_init__()
        count = len(self.flip_rates)
        if isinstance(self.label_noise, tuple):
            wish = f"one number, or {count}, as many as there are flip rates"
            require("label_noise", len(self.label_noise) == count, wish, self.label_noise)
        require("patch", not self.patch or self.classes == 2, f"False where there are {self.classes} classes", True)
        wish = f"in [1, {self.each():,}] ({POOL:,} digits for {count} environments)"
        require("samples", (self.samples or 1) <= self.each(), wish, self.samples)

    def sizes(self) -> list[int]:
        """How many samples each training environment has."""
        return [self.samples or self.each()] * len(self.flip_rates)

    def load(self) -> Digits:
        """The digits of `source`."""
        return load_digits(self.source, quiet=True)

    def announce(self) -> None:
        """Say on the terminal that a stand-in takes the place of MNIST, where it does."""
        announce(self.source)

    def draw(self, data: Digits, generator: torch.Generator) -> ColoredWorld:
        """The world, from the digits."""
        noises, count = self.noises(), len(self.flip_rates)
        order = torch.randperm(POOL, generator=generator)
        tail = torch.arange(POOL, POOL + HELD_OUT)
        train: list[Environment] = []
        validation: list[Environment] = []
        names = [f"{rate:g}" for rate in self.flip_rates]
        for i, (rate, noise) in enumerate(zip(self.flip_rates, noises, strict=True)):
            rule: dict[str, Any] = {"label_noise": noise, "classes": self.classes, "patch": self.patch}
            # In turn: MNIST's order is not random.
            mine, held_out = order[i::count][: self.samples or self.each()], tail[i::count]
            place = f"p={rate:g}" if names.count(f"{rate:g}") == 1 else f"p={rate:g} ({i + 1})"
            for chosen, kind, environments in ((mine, "train", train), (held_out, "validation", validation)):
                canvas = Canvas.draw(data.images, data.labels, chosen, generator=generator, **rule)
                environments.append(canvas.paint(rate, name=f"{kind} {place}"))
        test = Canvas.draw(
            data.test_images,
            data.test_labels,
            torch.arange(len(data.test_labels)),
            label_noise=sum(noises) / count,
            classes=self.classes,
            patch=self.patch,
            generator=generator,
        )
        if self.grayscale:
            train, validation = ([e.gray() for e in some] for some in (train, validation))
        return ColoredWorld(tuple(train), tuple(validation), test, self.flip_rates, noises, self.grayscale)

    def each(self) -> int:
        """The most samples that a training environment can have."""
        return POOL // len(self.flip_rates)

    def noises(self) -> tuple[float, ...]:
        """The label noise of each training environment."""
        several = isinstance(self.label_noise, tuple)
        return self.label_noise if several else (self.label_noise,) * len(self.flip_rates)  # type: ignore[return-value]


def colored_mnist(
    digits: Digits | None = None, *, generator: torch.Generator | None = None, **knobs: Any
) -> ColoredWorld:
    """Build Colored MNIST.

    digits: from `load_digits`; None loads them. generator: the only source of randomness; None takes a fresh one with
    seed 0. knobs: fields of `ColoredMNIST`. Raises ValueError for rates outside their range, more samples than there
    are digits, or another number of classes.
    """
    setting = ColoredMNIST(**knobs)
    return setting.draw(digits or load_digits(setting.source), generator or torch.Generator().manual_seed(0))
