"""Self-checks of lessons 00 and 01; see `verdict` for what a row is."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from invtutor.course.checks.verdict import NOTHING, RIGHT, Function, Hint, Rows, check
from invtutor.worlds.colored_mnist import painted

__all__ = ["NO_MEAN", "batches", "check_accuracy", "check_best_clue", "check_clean", "check_color", "check_count"]
__all__ += ["check_paint", "check_pooled"]

NO_MEAN = "You give one number per sample; average them."


def batches() -> Iterator[tuple[Tensor, Tensor]]:
    """Logits (n, 1), none of them 0, and labels (n,)."""
    yield torch.tensor([[2.0], [-1.0], [0.3], [-3.0]]), torch.tensor([1, 0, 0, 1])
    generator = torch.Generator().manual_seed(0)
    for n in (5, 12, 40):
        logits = (2 * torch.randn(n, 1, generator=generator)).mul(100).round().add(0.5).div(100)
        yield logits, (torch.rand(n, generator=generator) < logits[:, 0].sigmoid()).long()


# Lesson 00 ------------------------------------------------------------------------------------------------------------


@check(
    "accuracy",
    "Which label does each logit stand for, and how many of them are right?",
    batches(),
)
def check_accuracy(logits: Tensor, labels: Tensor) -> Rows:
    """logits (n, 1), labels (n,) → share of right predictions."""
    z, y = logits[:, 0], labels
    right, square = ((z > 0) == y).double(), ((logits > 0) == y).double()
    share = right.mean()
    yield RIGHT, share
    yield "You count the wrong predictions.", 1 - share
    broadcast = "Logits are (n, 1) and labels (n,): == compares every prediction with every label. Use logits[:, 0]."
    yield broadcast, square.mean(), square, square.sum() / len(y), square.sum()
    yield "You count the right predictions; an accuracy is their share: take the mean.", right.sum()
    yield "An accuracy is a share between 0 and 1, no percentage.", 100 * share
    yield NO_MEAN, right
    half = ((z > 0.5) == y).double().mean()
    yield "A logit is no probability: label 1 begins at logit 0, not at 0.5.", half, (z.round() == y).double().mean()
    yield "argmax over a single column is always 0. With one logit, its sign decides.", (y == 0).double().mean()
    yield "That is the share of predictions of label 1. Compare them with the labels.", (z > 0).double().mean()


@check(
    "best clue",
    "How often is each of the two clues right?",
    [(0.25, 0.1), (0.25, 0.9), (0.1, 0.2), (0.4, 0.3), (0.05, 0.01), (0.3, 0.6)],
)
def check_best_clue(label_noise: float, flip_rate: float) -> Rows:
    """→ "shape" or "color"."""
    noise, rate = label_noise, flip_rate

    def word(shape: bool) -> str:
        return "shape" if shape else "color"

    right = word(noise < rate)
    yield RIGHT, right
    yield "You always say shape. At flip rate 0.1, color is right 90 % of the time.", "shape"
    yield "You always say color. At flip rate 0.9, color is right 10 % of the time.", "color"
    yield "You name the clue that is right less often.", word(noise >= rate)
    yield "You compare how often shape is right with how often color is *wrong*.", word(1 - noise > rate)
    yield "You compare how often shape is *wrong* with how often color is right.", word(noise > 1 - rate)
    yield "The words are `shape` and `color`, in small letters and alone.", right.capitalize(), right.upper()
    yield "Return the word, `shape` or `color`, and not how often it is right.", 1 - min(noise, rate)
    yield "Return the word, `shape` or `color`, and not whether it is the shape.", noise < rate, noise > rate


# Lesson 01 ------------------------------------------------------------------------------------------------------------


@check(
    "clean label",
    "Which digits belong to which label? One comparison does it.",
    [(torch.arange(10),), (torch.tensor([9, 9, 0, 5, 4, 2]),)],
)
def check_clean(digits: Tensor) -> Rows:
    """digits (n,) in 0 … 9 → clean labels (n,)."""
    yield RIGHT, (digits > 4).long(), digits > 4
    yield "The two are exchanged: 0 to 4 have label 0.", (digits < 5).long(), digits < 5
    yield "The border lies one digit off: 5 has label 1.", (digits > 5).long(), digits > 5
    yield "The border lies one digit off: 4 has label 0.", (digits > 3).long(), digits > 3
    yield "That tells odd digits from even ones.", digits % 2, 1 - digits % 2
    yield "That is the digit itself; its label is 0 or 1.", digits
    yield "Labels are whole numbers: // and not /.", digits / 5
    yield "That gives label 2 as well; divide by 5.", digits // 4
    yield "You give one label for all; give one per digit.", (digits > 4).long().sum(), (digits > 4).any()


@check(
    "paint",
    "Begin with a dark tensor of both channels. Where does each image go?",
    [
        (torch.tensor([[[0.2, 0.8]], [[1.0, 0.4]], [[0.5, 0.0]]]), torch.tensor([0, 1, 1])),
        (torch.rand(6, 14, 14, generator=torch.Generator().manual_seed(1)), torch.tensor([1, 0, 0, 1, 1, 0])),
    ],
    keeps="You changed the images in place; others still need them. Make a new tensor.",
)
def check_paint(images: Tensor, colors: Tensor) -> Rows:
    """images (n, height, width), colors (n,) → inputs (n, 2, height, width)."""
    inputs = painted(images, colors)
    yield RIGHT, inputs
    yield "The channels are exchanged: color 0 is written into channel 0.", inputs.flip(1)
    both = "Both channels hold the digit, as after `inputs[:, colors] = …`. Number the rows, too: torch.arange(n)."
    yield both, images[:, None].expand_as(inputs)
    blue, orange = (torch.stack(pair, 1) for pair in ((images, 0 * images), (0 * images, images)))
    yield "All digits are in one channel; each goes into that of its own color.", blue, orange
    yield "Everything is dark.", 0 * inputs
    yield (
        "The channels come second, after the samples: (n, 2, height, width).",
        inputs.transpose(0, 1),
        inputs.movedim(1, 3),
    )
    yield "The channels are missing: (n, 2, height, width).", images
    last = int(colors[-1])
    yield "The last digit's color is taken for all.", (blue, orange)[last]
    yield "A pixel is not lit or dark, but has a strength: keep it.", (inputs > 0).to(inputs)


@check(
    "count",
    "Which share differs? And how far do shares of n coin flips scatter?",
    [
        (torch.tensor([1, 0, 0, 1, 1]), torch.tensor([1, 1, 0, 1, 1])),
        *((torch.arange(n) % 3 // 2, torch.arange(n) % 5 // 4) for n in (30, 400)),
    ],
)
def check_count(colors: Tensor, labels: Tensor) -> Rows:
    """colors, labels (n,) → the share of flipped colors, and its standard error."""
    n = len(labels)
    share = (colors != labels).double().mean()

    def pair(share: Tensor, error: Tensor) -> Tensor:
        return torch.stack([share, error])

    variance = share * (1 - share)
    error = (variance / n).sqrt()
    yield RIGHT, pair(share, error)
    yield "You count the colors that agree; a flipped color differs.", pair(1 - share, error)
    yield "A share lies between 0 and 1: divide by n.", pair(n * share, error), pair(n * share, n * error)
    yield "The root is missing: √(q(1 − q)/n).", pair(share, variance / n)
    yield "That is how a single coin scatters; a share of n of them scatters less, by √n.", pair(share, variance.sqrt())
    yield "You divide by n outside of the root; √n belongs there.", pair(share, variance.sqrt() / n)
    yield "1 − q is missing under the root.", pair(share, (share / n).sqrt())
    yield "One of the two is missing: return the share and its standard error.", share, error
    yield "The two are exchanged: first the share, then its error.", pair(error, share)
    counted = (colors.double() - labels).mean()
    signed = "colors − labels is −1 for some flips, so that they cancel; compare with !=."
    yield signed, pair(counted, (counted * (1 - counted) / n).sqrt())
    sample = "You divide by n − 1; the standard error of a share takes n."
    yield sample, pair(share, (variance / (n - 1)).sqrt())


def _colored(student: Function) -> Function:
    """What is to be seen of colors that are drawn at random."""

    def shares(flip_rate: float) -> list[float]:
        labels = (torch.arange(9_000) % 3 == 0).long()

        def draw(seed: int) -> Tensor:
            found = student(labels.clone(), flip_rate, torch.Generator().manual_seed(seed))
            if found is None:
                raise Hint(NOTHING)
            colors = torch.as_tensor(found).detach()
            if colors.shape != labels.shape:
                raise Hint(f"One color per label: wanted shape {tuple(labels.shape)}, found {tuple(colors.shape)}.")
            if not ((colors == 0) | (colors == 1)).all():
                raise Hint(f"Colors are 0 or 1. Found {sorted(set(colors.tolist()))[:4]}.")
            return colors.long()

        colors, again, other = draw(1), draw(1), draw(2)
        flipped = (colors != labels).double()
        parts = [flipped[labels == label].mean().item() for label in (0, 1)]
        return [*parts, float(torch.equal(colors, again)), float(not torch.equal(colors, other))]

    return shares


@check(
    "coin flips",
    "Draw one number per label, from the generator. Which of them make a flip?",
    [(0.3,), (0.6,), (0.0,), (1.0,)],
    probe=_colored,
    compared="the shares of flipped colors where the label is 0 and where it is 1; whether the same generator gives "
    "the same colors again; whether another one gives others (1 is yes)",
    tolerance=0.045,  # four deviations of a share of 3,000 draws
)
def check_color(labels: Tensor, flip_rate: float, generator: torch.Generator) -> Rows:
    """labels (n,), flip_rate, generator → colors (n,) in {0, 1}."""
    n = len(labels)
    draws = torch.rand(n, generator=generator)
    flips = (draws < flip_rate).long()
    yield RIGHT, labels ^ flips
    unseeded = labels ^ (torch.rand(n) < flip_rate).long()
    yield "The same generator must give the same colors: pass it to torch.rand.", unseeded
    yield "You flip with chance 1 − flip_rate: a flip is where the draw lies *below* the rate.", labels ^ (1 - flips)
    yield "These are flips, not colors: a color is the label, exclusive or (^) the flip.", flips
    yield "Nothing is flipped.", labels
    yield "Every color is flipped.", 1 - labels
    yield "You flip label 1 alone; a flip does not depend on the label.", labels * (1 - flips)
    yield "You flip label 0 alone; a flip does not depend on the label.", labels | flips
    normal = labels ^ (torch.randn(n, generator=generator) < flip_rate).long()
    yield "Your draws follow a normal distribution; torch.rand draws evenly between 0 and 1.", normal
    yield "One draw decides for all labels. Draw one number per label.", labels ^ flips[0]
    fixed = torch.rand(n, generator=generator.manual_seed(0))
    yield "The generator's own seed is to decide; you give it a fixed one.", labels ^ (fixed < flip_rate).long()


_POOLS = [([0.1, 0.2], 0.25), ([0.1, 0.5], 0.25), ([0.1, 0.1, 0.9], 0.25), ([0.3, 0.3, 0.02], 0.25)]
_POOLS += [([0.05, 0.1], 0.25), ([0.02, 0.9, 0.1], 0.25), ([0.02, 0.3, 0.3], 0.25), ([0.05, 0.1, 0.3], 0.2)]
_POOLS += [([0.2], 0.1), ([0.9, 0.1, 0.15], 0.25)]


@check(
    "pooled",
    "Which clue wins over all training environments together, and how good is it at `test_rate`?",
    [(rates, noise, test) for rates, noise in _POOLS for test in (0.9, 0.1)],
)
def check_pooled(flip_rates: Sequence[float], label_noise: float, test_rate: float) -> Rows:
    """→ accuracy at test_rate of the single clue that is right more often in training."""
    rates, noise, test = flip_rates, label_noise, test_rate
    mean = sum(rates) / len(rates)

    def judged(color: bool) -> float:
        """The accuracy of whoever has decided for color, or for shape."""
        return 1 - test if color else 1 - noise

    yield RIGHT, judged(mean < noise)
    always = "You always follow the color. With flip rates 0.1 and 0.5, it is right less often than the shape."
    yield always, judged(True)
    never = "You always follow the shape. With flip rates 0.1 and 0.2, the color is right more often."
    yield never, judged(False)
    yield "You follow the clue that is *worse* in training.", judged(mean > noise)
    peeks = "You choose the clue by the test environment; the learner has only seen the training environments."
    yield peeks, 1 - min(test, noise)
    trained = "That is the accuracy in training. The chosen clue is now judged at `test_rate`."
    yield trained, 1 - min(mean, noise)
    votes = judged(2 * sum(rate < noise for rate in rates) > len(rates)), judged(sorted(rates)[len(rates) // 2] < noise)
    yield "You let each environment vote. Pooled, the samples count: average the flip rates.", *votes
    two = judged(sum(rates[:2]) / len(rates[:2]) < noise), judged(sum(rates[:2]) / 2 < noise)
    yield "You look at the first two environments only; there may be more, or one.", *two
    yield "You look at the first environment only.", judged(rates[0] < noise)
    yield "You look at the environment with the lowest flip rate only.", judged(min(rates) < noise)
    yield "You look at the environment with the highest flip rate only.", judged(max(rates) < noise)
    yield "You add up the flip rates; average them.", judged(sum(rates) < noise)
    turned = test if mean < noise else 1 - noise
    yield "Where the learner follows the color, its accuracy at the test is 1 − test_rate.", turned
