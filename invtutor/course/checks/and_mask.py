"""Self-checks of lesson 06; see `verdict` for what a row is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from invtutor.algorithms import and_mask
from invtutor.algorithms.descent import accumulate, trainable
from invtutor.algorithms.gradients import environment_gradients
from invtutor.course.checks.methods import left
from invtutor.course.checks.verdict import RIGHT, Rows, check
from invtutor.exact import consistency
from invtutor.worlds.environment import Environment

__all__ = [
    "check_and_mask",
    "check_geometric_mean",
    "check_product",
    "check_signs_needed",
    "check_turn",
]

COLUMNS = "You average over the coordinates; the environments are dimension 0."


def _masked() -> Iterator[tuple[Tensor, float]]:
    generator = torch.Generator().manual_seed(6)
    some = [torch.tensor([[1.0, -1.0, 2.0], [3.0, -5.0, 2.0]])]  # all agree
    some += [torch.tensor([[10.0, 1.0], [-0.1, 2.0], [0.2, -4.0]])]  # two against one: the mean sign is 1/3
    some += [torch.tensor([[4.0, 3.0], [0.0, 1.0], [0.0, 2.0], [0.0, -1.0]])]  # no sign is no vote
    some += [torch.randn(n, 20, generator=generator) for n in (2, 3, 5)]
    yield from ((gradients, threshold) for gradients in some for threshold in (1.0, 0.3, 0.5, 0.0))


@check(
    "AND-mask",
    "Average the signs over environments; where the size of that reaches τ, keep the mean gradient.",
    _masked(),
)
def check_and_mask(gradients: Tensor, threshold: float) -> Rows:
    """gradients (environments, n), threshold → the masked mean gradient (n,)."""
    g, tau, mean = gradients, threshold, gradients.mean(0)
    signs = g.sign().mean(0)
    agreement = signs.abs()
    mask = agreement >= tau
    yield RIGHT, and_mask.and_mask(g, tau)
    yield "Full agreement must pass at τ = 1: ask for ≥, not for >.", (agreement > tau) * mean
    signed = (signs >= tau) * mean
    yield "Environments that all want less agree as well: take the size of the mean sign, .abs().", signed
    yield "You keep the sum of the gradients; the step follows their mean.", mask * g.sum(0)
    summed = (g.sign().sum(0).abs() >= tau) * mean
    yield "You compare the *sum* of the signs with τ; their mean is meant.", summed
    halved = [((vote.double().mean(0) - 0.5).abs() >= tau / 2) * mean for vote in (g > 0, g >= 0)]
    yield "A gradient of 0 is no vote: its sign is 0, neither plus nor minus.", *halved
    yield COLUMNS, (g.sign().mean(1).abs() >= tau) * g.mean(1)
    yield "You give the mask alone; it belongs before the mean gradient.", mask
    yield "You mask each environment's gradient; their mean over environments is wanted.", mask * g
    sized = (mean.abs() >= tau) * mean
    yield "Signs vote, not sizes: τ bounds the size of the mean sign, not that of the mean gradient.", sized
    yield "That is the plain mean: nothing is masked.", mean
    yield "The mask is turned round: you keep what does not agree.", ~mask * mean
    side = torch.maximum((g > 0).double().mean(0), (g < 0).double().mean(0))
    yield "τ bounds the mean sign, not the share of environments on the larger side.", (side >= tau) * mean


def _products() -> Iterator[tuple[Tensor]]:
    """Gradients (environments, n), none of them 0, and few enough that their product is a number."""
    generator = torch.Generator().manual_seed(6)
    yield (torch.tensor([[1.0, -2.0, 3.0], [4.0, -8.0, -3.0]]),)
    yield (torch.tensor([[1.0, -1.0], [8.0, -3.0], [27.0, -9.0]]),)
    yield from ((torch.randn(n, 12, generator=generator),) for n in (2, 3, 5))


def _geometric(gradients: Tensor) -> Rows:
    """The right answer and the mistakes that a product and a sum of logarithms share."""
    g, logs, signs, product = gradients, gradients.abs().log(), gradients.sign(), gradients.abs().prod(0)
    agree = signs.mean(0).abs() == 1
    sign, size, unsized = agree * signs[0], logs.mean(0).exp(), g.log().mean(0).exp()
    yield RIGHT, torch.where(agree, signs[0].double() * g.abs().double().log().mean(0).exp(), 0.0)
    yield "That is the arithmetic mean: multiply, and take the root.", g.mean(0), agree * g.mean(0)
    yield "The logarithm of a negative number is nan: take the sizes, .abs(), first.", unsized, sign * unsized
    roots = g.prod(0) ** (1 / len(g)), sign * g.prod(0) ** (1 / len(g))
    yield "The root of a negative product is nan: take the sizes, .abs(), first.", *roots
    yield "The sizes are right; the sign on which the environments agree is lost.", agree * size
    kept = [some * size for some in (signs[0], g.mean(0).sign(), signs.prod(0))]
    yield "Where the signs differ, the result must be 0.", *kept
    yield "The mean sign is more than a sign: between −1 and 1 it must become 0.", signs.mean(0) * size
    yield "Neither sign nor veto is there: where signs differ the result is 0, else it has their sign.", size
    whole = sign * product, sign * logs.sum(0).exp()
    yield "The root is missing: the product of d numbers wants its d-th root.", *whole
    square = sign * product.sqrt(), sign * (logs.sum(0) / 2).exp()
    yield "A square root is right for two environments; of d numbers it is the d-th root.", *square
    yield "exp is missing: that is the mean logarithm.", sign * logs.mean(0)
    yield COLUMNS, (signs.mean(1).abs() == 1) * signs[:, 0] * logs.mean(1).exp()


@check(
    "product",
    "Where all signs agree: that sign, times the d-th root of the product of the sizes. Else 0.",
    _products(),
    tolerance=1e-6,
)
def check_product(gradients: Tensor) -> Rows:
    """gradients (environments, n), none of them 0 → their geometric mean (n,), 0 where signs differ."""
    yield from _geometric(gradients)


@check(
    "geometric mean",
    "The same by logarithms: exp of the mean logarithm of the sizes.",
    [*_products(), (torch.tensor([[0.0, 2.0], [3.0, 8.0]]),), (torch.full((60, 1), 1e-6),)],  # whose product is 0
    tolerance=1e-7,
)
def check_geometric_mean(gradients: Tensor) -> Rows:
    """gradients (environments, n), with zeros and very many → their geometric mean (n,), 0 where signs differ."""
    g, sign = gradients, (gradients.sign().mean(0).abs() == 1) * gradients[0].sign()
    yield from _geometric(g)
    small = [sign * some.abs().prod(0) ** (1 / len(g)) for some in (g, g.double())]
    yield "Sixty factors of 0.000001 underflow to 0: add logarithms instead of multiplying.", *small


@check(
    "signs",
    "k of d signs alike make a mean sign of (2k − d)/d. From which k on is that at least τ?",
    [(16, 0.5), (10, 0.5), (3, 0.5), (16, 1.0), (16, 0.0), (2, 0.4), (7, 0.3), (80, 0.1), (3, 0.34)],
)
def check_signs_needed(environments: int, threshold: float) -> Rows:
    """→ the smallest number of equal signs that the mask lets pass."""
    d, tau = environments, threshold
    right, exact, share = consistency.signs_needed(d, tau), d * (1 + tau) / 2, d * tau
    yield RIGHT, right
    shares = round(share), int(share), -int(-d * tau // 1), share
    yield "τ is no share of signs: 8 of 16 equal signs cancel, and their mean is 0.", *shares
    yield "A number of signs is whole: round it up.", exact
    yield "You round down: with one sign less, the mean sign does not reach τ.", int(exact)
    nearest = round(exact)
    yield "You round to the nearest whole number; round up, or the mean sign does not reach τ.", nearest
    more = int(exact + 1e-9) + 1
    yield "At least τ: where the mean sign is τ exactly, it passes. You ask for one sign more.", more
    yield "All signs are needed at τ = 1 alone.", d
    yield "A majority is enough for some τ alone; for which one is part of the question.", d // 2 + 1
    against = int(d * (1 - tau) / 2 + 1e-9)
    yield "You have solved (2k − d)/d ≥ τ for the wrong side: that is how many may *disagree*.", against
    yield "That is the surplus 2k − d, not k.", 2 * right - d


@dataclass(eq=False)
class Descending:
    """A method that descends along some direction, for rows of known mistakes.

    direction: of a parameter's gradients (environments, *) and the parameter (*).
    """

    model: nn.Module
    direction: Callable[[Tensor, Tensor], Tensor]

    def backward(self, environments: Sequence[Environment]) -> Mapping[str, Tensor]:
        rows, risks = environment_gradients(self.model, environments)
        for name, theta in trainable(self.model).items():
            accumulate(theta, self.direction(rows[name], theta.detach()))
        return {"risk": risks.mean()}


@check(
    "AND-mask, whole",
    "For each parameter: the masked mean, over the share that passes, plus 2·l2·θ; `accumulate` puts it into .grad.",
    [({"threshold": tau}, l2, count) for tau in (1.0, 0.3) for l2 in (0.0, 0.7) for count in (2, 3, 5)],
    probe=left("risk"),
    compared="the gradients of a linear model's four parameters, then the risk that you return",
    tolerance=1e-6,
)
def check_and_mask_method(model: nn.Module, threshold: float, l2: float) -> Rows:
    """A model, τ and the weight of ‖θ‖² → the method."""
    tau = threshold

    def passes(g: Tensor) -> Tensor:
        return and_mask.mask(g, tau)

    def share(g: Tensor) -> Tensor:
        return passes(g).mean().clamp(min=1e-10)

    def wrong(direction: Callable[[Tensor, Tensor], Tensor]) -> Descending:
        return Descending(model, direction)

    yield RIGHT, and_mask.AndMask(model, l2=l2, threshold=tau)
    unsafe = wrong(lambda g, t: and_mask.and_mask(g, tau) / passes(g).mean() + 2 * l2 * t)
    yield "Where nothing passes you divide 0 by 0: keep the share above 0, as .clamp(min=1e-10) does.", unsafe
    short = wrong(lambda g, t: and_mask.and_mask(g, tau) + 2 * l2 * t)
    yield "The step shrinks with the share that passes: divide by that share, the mean of the mask.", short
    vetoed = wrong(lambda g, t: and_mask.and_mask(g, tau) / share(g) + passes(g) * 2 * l2 * t)
    both = wrong(lambda g, t: (and_mask.and_mask(g, tau) + passes(g) * 2 * l2 * t) / share(g))
    yield "The decay comes *after* the mask: no environment may veto it.", vetoed, both
    divided = wrong(lambda g, t: (and_mask.and_mask(g, tau) + 2 * l2 * t) / share(g))
    yield "The decay is not divided by the share: only what the mask let pass is.", divided
    voted = wrong(lambda g, t: and_mask.and_mask(g + 2 * l2 * t, tau) / share(g + 2 * l2 * t))
    yield "You add the decay to the gradients before they vote; it comes after the mask.", voted
    yield "The weight decay 2·l2·θ is missing.", wrong(lambda g, t: and_mask.and_mask(g, tau) / share(g))
    lost = wrong(lambda g, t: and_mask.and_mask(g, tau) / share(g) + l2 * t)
    yield "The derivative of l2·‖θ‖² is 2·l2·θ: you have lost the 2.", lost
    grown = wrong(lambda g, t: and_mask.and_mask(g, tau) / share(g) - 2 * l2 * t)
    yield "The sign of the decay: the optimizer goes *against* .grad, and must make θ smaller.", grown
    counted = wrong(lambda g, t: and_mask.and_mask(g, tau) / passes(g).sum().clamp(min=1) + 2 * l2 * t)
    yield "Divide by the *share* that passes, not by the number.", counted
    multiplied = wrong(lambda g, t: and_mask.and_mask(g, tau) * share(g) + 2 * l2 * t)
    yield "You multiply by the share; divide by it, so that the step keeps its length.", multiplied
    yield "That is the plain mean with its decay: nothing is masked.", wrong(lambda g, t: g.mean(0) + 2 * l2 * t)
    whole = wrong(lambda g, t: and_mask.and_mask(g, 1.0) / and_mask.mask(g, 1.0).mean().clamp(min=1e-10) + 2 * l2 * t)
    yield "τ is missing: pass self.threshold on.", whole


def _images() -> Iterator[tuple[Tensor]]:
    """Images (n, 2, height, width), blue first."""
    yield (torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]]),)
    yield (torch.tensor([[[[1.0, 0.5]], [[0.0, 0.0]]], [[[0.0, 0.0]], [[0.2, 1.0]]]]),)
    yield (torch.rand(3, 2, 4, 4, generator=torch.Generator().manual_seed(10)),)


@check(
    "turn",
    "The first new channel is blue plus orange, the second orange less blue, both divided by √2.",
    _images(),
    tolerance=1e-6,
)
def check_turn(inputs: Tensor) -> Rows:
    """inputs (n, 2, height, width), channels blue and orange → (n, 2, height, width), channels ink and color."""
    blue, orange = inputs.unbind(1)
    ink, color = blue + orange, orange - blue
    right = torch.stack([ink, color], 1) / 2**0.5
    yield RIGHT, right
    long = torch.stack([ink, color], 1), torch.stack([ink, color], 1) / 2
    yield "A turn keeps lengths: divide by √2.", *long
    yield "The color is orange less blue; you have it the other way round.", torch.stack([ink, -color], 1) / 2**0.5
    yield "Ink comes first, color second.", right.flip(1), torch.stack([color, ink], 1)
    first = torch.stack([ink, color]) / 2**0.5
    yield "The two channels are dimension 1: torch.stack([ink, color], 1).", first, first.flatten(0, 1)
    beside = torch.cat([ink, color], 1) / 2**0.5
    yield "torch.cat makes the images higher; torch.stack([ink, color], 1) makes channels.", beside
    by_image = [torch.stack([inputs[0] + inputs[-1], inputs[-1] - inputs[0]], 1) / 2**0.5]
    yield "You add two *images*; the channels are dimension 1: inputs[:, 0] and inputs[:, 1].", *by_image
    yield "You return the images as they were.", inputs
