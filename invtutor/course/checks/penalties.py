"""Self-checks of lessons 02 to 04; see `verdict` for what a row is."""

from collections.abc import Iterator, Sequence
from statistics import fmean

import torch
import torch.nn.functional as F
from torch import Tensor

from invtutor.algorithms import irmv1, mmrex, vrex
from invtutor.course.checks.clues import NO_MEAN, batches
from invtutor.course.checks.verdict import RIGHT, Rows, check
from invtutor.worlds.risks import accuracy_curve

__all__ = ["check_curve", "check_gray", "check_halves", "check_maximum_excess", "check_objective", "check_penalty"]
__all__ += ["check_reach", "check_slope", "check_slope_halves", "check_variance"]

# Lesson 02 ------------------------------------------------------------------------------------------------------------


def _pictures() -> Iterator[tuple[Tensor]]:
    """Inputs (n, 2, side, side), of which one channel each is lit."""
    yield (torch.tensor([[[[0.2, 0.8]], [[0.0, 0.0]]], [[[0.0, 0.0]], [[1.0, 0.4]]]]),)
    inputs = torch.rand(6, 2, 14, 14, generator=torch.Generator().manual_seed(3))
    inputs[torch.arange(6), torch.tensor([0, 1, 0, 1, 1, 0])] = 0.0
    yield (inputs,)


@check(
    "gray",
    "What does each channel hold now, and what should it?",
    _pictures(),
    keeps="You changed the inputs in place; others still need them. Make a new tensor.",
)
def check_gray(inputs: Tensor) -> Rows:
    """inputs (n, 2, 14, 14) → the same digits with both channels lit."""
    ink, dark = inputs.sum(1, keepdim=True), torch.zeros_like(inputs[:, :1])

    def both(channel: Tensor) -> Tensor:
        return channel.expand_as(inputs)

    yield RIGHT, both(ink)
    pale = "That halves the ink: a mean over a lit and a dark channel. The network has never seen such pale digits."
    yield pale, both(ink / 2)
    yield "The network wants two channels: put the sum into each of them.", ink[:, 0], ink
    yield "You changed nothing: the color can still be read from the channel that is lit.", inputs
    yield "You exchanged the channels, which turns each color into the other.", inputs.flip(1)
    one = torch.cat([ink, dark], 1), torch.cat([dark, ink], 1)
    yield "You lit one channel for all: every digit has the same color now, and it is a color.", *one
    yield "You took the first channel for both: digits of the other color are gone.", both(inputs[:, :1])
    yield "You took the second channel for both: digits of the other color are gone.", both(inputs[:, 1:])
    yield "The digits are gone: every pixel is 0.", both(dark)
    yield "You add up over the digits, dimension 0; the channels are dimension 1.", both(inputs.sum(0, keepdim=True))
    yield "A pixel is not lit or dark, but has a strength: keep it.", both((ink > 0).to(ink))


@check(
    "curve",
    "How many of the digits wear which color at this flip rate?",
    [(1.0, 0.0, 0.9), (0.93, 0.12, 0.2), (0.1, 0.8, 0.9), (0.7, 0.7, 0.5), (0.8, 0.3, 0.0), (0.8, 0.3, 1.0)],
)
def check_curve(agreeing: float, flipped: float, flip_rate: float) -> Rows:
    """→ expected accuracy at a flip rate."""
    a, f, p = agreeing, flipped, flip_rate
    yield RIGHT, accuracy_curve(torch.tensor([a, f], dtype=torch.float64), [p])[0]
    swapped = p * a + (1 - p) * f
    yield "The shares are exchanged: a share `flip_rate` of the digits wears the *flipped* color.", swapped
    yield "You leave out the digits whose color is flipped.", a, (1 - p) * a
    yield "You leave out the digits whose color agrees.", f, p * f
    alike = (a + f) / 2
    yield "You take both accuracies alike; weigh them by how many digits wear which color.", alike
    yield "The agreeing digits are a share 1 − p, not all of them.", a + p * f
    turned = a + p * (a - f)
    yield "The difference is taken off the wrong way round: at p = 1 the accuracy is `flipped`.", turned
    yield "That takes p off the accuracy; it does not use `flipped`.", a - p
    yield "You multiply the two accuracies; no digit wears both colors.", a ** (1 - p) * f**p
    yield "You take the better of the two; the digits decide which color they wear.", max(a, f)


# Lesson 03 ------------------------------------------------------------------------------------------------------------


@check(
    "slope",
    "How does the loss of one sample change when its logit is multiplied by w? Then average.",
    [*batches(), (torch.zeros(3, 1), torch.tensor([1, 0, 1]))],
    differentiable=["logits"],
)
def check_slope(logits: Tensor, labels: Tensor) -> Rows:
    """logits (n, 1), labels (n,) → derivative of the risk in the dummy scale at 1, a scalar."""
    z, y, n = logits[:, 0], labels, len(labels)
    error = z.sigmoid() - y
    each, square = error * z, (logits.sigmoid() - y) * logits
    slope = each.mean()
    yield RIGHT, irmv1.slope(logits, labels)[0]
    broadcast = "Labels (n,) against logits (n, 1) broadcast to (n, n). Use labels[:, None]."
    yield broadcast, square.mean(), square.sum() / n, square.sum(), square
    yield "You took the sum over samples; the risk is a mean.", each.sum()
    yield NO_MEAN, each, each[:, None]
    yield "You give one number per sample, each divided by n; add them up.", each / n, each[:, None] / n
    yield "That is the slope's square, IRMv1's penalty. The slope itself has a sign.", slope**2
    no_sigmoid = ((z - y) * z).mean()
    yield "The σ is missing: dR/dz = σ(z) − y compares a probability with the label.", no_sigmoid
    yield "The factor z is missing: w multiplies the logit, so that dz/dw is the logit itself.", error.mean()
    yield "The sign is turned round: dR/dz = σ(z) − y.", -slope
    yield "The size alone is not the slope: it has a sign.", slope.abs()
    risk = F.binary_cross_entropy_with_logits(z, y.to(z))
    yield "That is the risk itself, not its derivative in w.", risk
    product = "That is the product of two means, which (n,) times (n, 1) gives as well; take the mean of n products."
    yield product, error.mean() * z.mean()


@check(
    "penalty",
    "Make of a slope, which has a sign, something that is 0 where the slope is and positive elsewhere.",
    batches(),
    differentiable=["logits"],
)
def check_penalty(logits: Tensor, labels: Tensor) -> Rows:
    """logits (n, 1), labels (n,) → IRMv1's penalty, a scalar."""
    slope = irmv1.slope(logits, labels)[0]
    each = (logits[:, 0].sigmoid() - labels) * logits[:, 0]
    yield RIGHT, irmv1.penalty(logits, labels)
    yield "That is the slope itself; what is minimized must not become negative.", slope
    yield "That is the slope's size; the penalty is its square, which is smooth where it is 0.", slope.abs()
    squares = "You square each sample's part and average then; the slope is the mean, and *it* is squared."
    yield squares, each.square().mean()
    yield "You give one number per sample; square the slope, which is their mean.", each.square(), each
    yield "Half of it; the paper's penalty has no ½.", slope.square() / 2
    yield "The square was taken twice.", slope.square().square()
    yield "The sign is turned round: a penalty is not negative.", -slope.square()


@check("halves", "Two independent estimates of one slope: what is the mean of their product?", batches())
def check_slope_halves(logits: Tensor, labels: Tensor) -> Rows:
    """logits (n, 1), labels (n,) → the square of the slope, estimated from two halves of the batch, a scalar."""
    half = (len(labels) + 1) // 2
    parts = [(logits[::2], labels[::2]), (logits[1::2], labels[1::2])]
    cut = [(logits[:half], labels[:half]), (logits[half:], labels[half:])]
    short = [(logits[: len(labels) // 2], labels[: len(labels) // 2])]
    short += [(logits[len(labels) // 2 :], labels[len(labels) // 2 :])]

    def slopes(halves: list[tuple[Tensor, Tensor]]) -> Tensor:
        return torch.cat([irmv1.slope(*each) for each in halves])

    yield RIGHT, *(slopes(each).prod() for each in (parts, cut, short))
    whole = irmv1.penalty(logits, labels)
    yield "That is the square of the slope on the whole batch, which is too large on average.", whole
    square = "You square each half's slope: both squares are too large on average. Multiply the two slopes."
    yield square, *(slopes(each).square().mean() for each in (parts, cut, short))
    squared = (slopes(each).square().sum() for each in (parts, cut, short))
    yield "You add up the squares of both slopes. Multiply the two slopes.", *squared
    mean = "You average the slopes and square then; that is the whole batch again. Multiply them."
    yield mean, *(slopes(each).mean().square() for each in (parts, cut, short))
    yield "You add up the slopes. Multiply them.", *(slopes(each).sum() for each in (parts, cut, short))
    one = (slopes(each)[0].square() for each in (parts, cut, short))
    yield "Both factors come from one half; they share its noise.", *one
    prices = (slopes(each).prod().abs() for each in (parts, cut, short))
    yield "A product of two noisy slopes may be negative; that is what makes its mean right.", *prices


_RISKS = [torch.tensor(risk, dtype=torch.float64) for risk in (0.4, 0.6, 0.03, 0.2)]


@check(
    "objective",
    "What is minimized at this weight, and by what is all of it divided?",
    [(*pair, weight) for pair in zip(_RISKS[:2], _RISKS[2:], strict=True) for weight in (0.0, 0.5, 1.0, 4.0, 1e4)],
    differentiable=["risk", "penalty"],
    tolerance=1e-6,
)
def check_objective(risk: Tensor, penalty: Tensor, weight: float) -> Rows:
    """→ what IRMv1 minimizes."""
    w, total, most = weight, risk + weight * penalty, max(1.0, weight)
    yield RIGHT, total / most
    jumps = "Undivided, weight 10,000 gives an objective in the hundreds: gradients jump when annealing ends. Divide."
    yield jumps, total
    always = total / w if w else risk, total / max(w, 1e-9), total / max(w, 1e-12), risk / w + penalty if w else risk
    below = "You divide by weights below 1 as well, which makes the objective larger; weights up to 1 do not divide."
    yield below, *always
    tilted = risk + w * penalty / most, risk / most + w * penalty
    yield "Only the penalty is divided. The risk must be, too, or the optimum moves.", tilted[0]
    yield "Only the risk is divided. The penalty must be, too, or the optimum moves.", tilted[1]
    plus = "You divide by 1 + weight; the method divides by the weight, and only where it is larger than 1."
    yield plus, total / (1 + w)
    yield "The weight belongs to the penalty, not to the risk.", (w * risk + penalty) / most
    yield "The risk is missing.", w * penalty / most, w * penalty
    yield "The penalty is missing.", risk, risk / most
    unweighted = risk + penalty
    yield "The weight is missing: the penalty counts `weight` times.", unweighted, unweighted / most
    least = total / (min(1.0, w) or 1e-9), total / min(1.0, w) if w else risk
    yield "min and max are exchanged: divide by the *larger* of 1 and the weight.", *least
    yield "The penalty is subtracted; what is minimized must grow with it.", (risk - w * penalty) / most


# Lesson 04 ------------------------------------------------------------------------------------------------------------

_RISK_VECTORS = [
    torch.tensor(risks, dtype=torch.float64)
    for risks in ([0.3, 0.7], [0.6, 0.6, 0.6], [0.5, 1.4, 0.2], [0.4, 2.0, 0.1, 0.4, 1.1])
]


@check(
    "variance",
    "The mean of the squared distances from the mean risk.",
    [(risks,) for risks in _RISK_VECTORS],
    differentiable=["risks"],
)
def check_variance(risks: Tensor) -> Rows:
    """risks (environments,) → V-REx's penalty."""
    mean = risks.mean()
    distances = risks - mean
    squares, span, two = distances.square(), risks.max() - risks.min(), (risks[0] - risks[1]) ** 2
    yield RIGHT, vrex.penalty(risks)
    unbiased = "That is the unbiased variance, divided by n − 1; the environments are all there are: divide by n."
    yield unbiased, risks.var()
    roots = risks.std(unbiased=False), (squares.mean() + 1e-12).sqrt()
    yield "That is the standard deviation, the root of the penalty.", *roots
    yield "That is the standard deviation, with n − 1: the penalty is its square, with n.", risks.std()
    yield "That is the range, largest minus smallest; with three environments or more it forgets those between.", span
    ends = span**2, span**2 / 4, span**2 / 2
    yield "That is made of the largest and the smallest risk alone; all environments count.", *ends
    yield "You take the first two environments only.", two / 4, two, two / 2
    raw = risks**2
    yield "You square the risks themselves; square their distances from the mean risk.", raw.mean(), raw.sum()
    yield "You add up the squared distances; take their mean.", squares.sum()
    sizes = distances.abs()
    yield "Distances count by their squares here, not by their sizes.", sizes.mean(), sizes.sum()
    zero = distances.mean()
    yield "Distances above and below the mean cancel: square each before you average.", zero, zero**2
    yield "You give one number per environment; take the mean.", squares
    yield "That is the mean risk.", mean


@check(
    "objective",
    "The mean risk, plus β times how far the worst risk lies above the mean.",
    [(risks, beta) for risks in _RISK_VECTORS if risks.std() for beta in (0.0, 1.0, 10.0)],
    differentiable=["risks"],
)
def check_maximum_excess(risks: Tensor, beta: float) -> Rows:
    """risks (environments,), β → MM-REx's objective, before any division."""
    mean, worst, total = risks.mean(), risks.max(), risks.sum()
    excess = worst - mean
    right = mean + beta * mmrex.penalty(risks)
    yield RIGHT, right
    above = "β = 1 must be the worst case, the largest risk alone: weigh what the worst risk has *above* the mean."
    yield above, mean + beta * worst
    yield "That is the worst case whatever β is; β = 0 is ERM, the mean risk.", worst
    yield "That is ERM, the mean risk, whatever β is.", mean
    span = mean + beta * (worst - risks.min())
    yield "You weigh the range, largest minus smallest; the excess is the largest minus the *mean*.", span
    yield "That is the penalty; the mean risk is missing.", beta * excess, excess
    yield "You divide by β; here the objective is wanted before any division.", right / max(1.0, beta)
    yield "The sign is turned round: a worst risk above the mean must cost something.", mean - beta * excess
    variance = mean + beta * risks.var(unbiased=False)
    yield "That is V-REx's objective; MM-REx takes the worst risk's excess over the mean.", variance
    yield "You add up the risks; take their mean.", total + beta * excess, total + beta * (worst - total)
    yield "You start from the worst risk; start from the mean.", worst + beta * excess


@check(
    "halves",
    "Take the distances from the mean risk in each half; multiply the two halves' distances; take the mean.",
    [
        tuple(torch.tensor(half, dtype=torch.float64) for half in halves)
        for halves in (
            ([0.3, 0.7], [0.4, 0.6]),
            ([0.5, 0.4], [0.3, 0.6]),
            ([0.5, 1.4, 0.2], [0.7, 1.0, 0.4]),
            ([0.6, 0.9, 0.2, 0.5], [0.1, 0.8, 0.5, 0.4]),
        )
    ],
    differentiable=["first", "second"],
)
def check_halves(first: Tensor, second: Tensor) -> Rows:
    """The risks (environments,) on one half of a batch, and on the other → their variance, right on average."""
    a, b, both = first - first.mean(), second - second.mean(), (first + second) / 2
    product = vrex.penalty_by_halves(first, second)
    yield RIGHT, product
    yield "That is the variance on the whole batch: its noise is squared with it.", both.var(unbiased=False)
    squares = (a.square().mean() + b.square().mean()) / 2
    yield "That squares the noise of each half; multiply one half's distances by the other's.", squares
    yield "That is one half's variance, and the other is not used.", a.square().mean(), b.square().mean()
    yield "You multiply the risks themselves; multiply their distances from the mean.", (first * second).mean()
    yield "You add the products up; take their mean.", (a * b).sum()
    yield "You divide by n − 1; the environments are all there are: divide by n.", (a * b).sum() / (len(a) - 1)
    cut = product.clamp(min=0), product.abs(), (a * b).abs().mean()
    yield "The product may be negative, and must be: cut off at 0, it is too large on average again.", *cut
    yield "You give one number per environment; take the mean.", a * b
    roots = a.square().mean().sqrt() * b.square().mean().sqrt()
    yield "That is the product of two deviations, never negative; multiply before you average.", roots
    yield "That is the variance of what differs between the halves: pure noise.", (first - second).var(unbiased=False)


@check(
    "reach",
    "β = 0 is the mean flip rate, β = 1 the largest: how many such distances from the mean is p?",
    [([0.1, 0.2], 0.9), ([0.1, 0.2], 0.5), ([0.1, 0.2], 0.2), ([0.1, 0.5], 0.9), ([0.1, 0.2, 0.6], 0.9)],
)
def check_reach(flip_rates: Sequence[float], p: float) -> Rows:
    """→ the β at which MM-REx minimizes the risk at flip rate p."""
    middle, least, most = fmean(flip_rates), min(flip_rates), max(flip_rates)
    reach = most - middle
    yield RIGHT, (p - middle) / reach
    yield "You count from the largest flip rate; β = 0 is the mean of all.", (p - most) / reach
    yield "You count from the smallest flip rate; β = 0 is the mean of all.", (p - least) / reach
    whole = (p - middle) / (most - least)
    yield "You divide by the distance between smallest and largest; β = 1 goes from the mean to the largest.", whole
    yield "That is the distance; count how many steps from the mean to the largest rate it takes.", p - middle
    yield "The fraction is upside down.", reach / (p - middle)
    yield "That answers the other question: where a given β leads.", middle + p * reach
    yield (
        "You take the middle between smallest and largest; β = 0 is the mean of all.",
        _from_the_midrange(least, most, p),
    )


def _from_the_midrange(least: float, most: float, p: float) -> float:
    return (p - (least + most) / 2) / ((most - least) / 2)
