"""A function as loops over one heap of numbers: what a page runs, in plain JavaScript.

Every tensor is a stretch of the heap, a view is strides over it, and pointwise operations in a row are one loop.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

__all__ = [
    "Formula",
    "Instruction",
    "Shape",
    "Stretch",
    "Tape",
    "View",
    "cell",
    "loops",
    "pointwise_loop",
    "strides_of",
]
__all__ += ["tape"]

ALIGNED = 4  # floats: a stretch begins where a vector of the processor may

Shape = tuple[int, ...]


@dataclass(eq=False)
class Stretch:
    """So many numbers of the heap; where is known once all instructions are."""

    size: int
    at: int = 0


class View(NamedTuple):
    """A tensor: numbers of a stretch, by strides."""

    stretch: Stretch
    shape: Shape
    strides: Shape
    offset: int = 0

    @property
    def at(self) -> int:
        return self.stretch.at + self.offset

    @property
    def dense(self) -> bool:
        return all(a == b or n == 1 for a, b, n in zip(self.strides, strides_of(self.shape), self.shape, strict=True))

    @property
    def single(self) -> bool:
        """Whether it holds one number, over and over or not."""
        return all(stride == 0 or n == 1 for stride, n in zip(self.strides, self.shape, strict=True))


class Formula(NamedTuple):
    """A pointwise expression that is stored nowhere: {0}, {1}, … stand for the operands. Without any it is a number."""

    shape: Shape
    text: str
    operands: tuple[View, ...] = ()


class Instruction(NamedTuple):
    out: View
    operands: Sequence[View]
    text: Callable[[], str]  # asked for when all stretches have their place


class Tape(NamedTuple):
    """What becomes of a function.

    size: of the heap, in floats. scratch: where in it the room begins in which matrix products turn their factors.
    inputs, outputs: where each stands, and how many numbers it has. text: the body of a function of the heap H and the
    matrix product mm.
    """

    size: int
    scratch: int
    inputs: Mapping[str, tuple[int, int]]
    outputs: Mapping[str, tuple[int, int]]
    text: str

    def script(self, name: str) -> str:
        """The classic script that hands it to a page's `live.part`."""
        told = json.dumps({each: getattr(self, each) for each in ("size", "scratch", "inputs", "outputs")})
        return f"live.part({json.dumps(name)}, {told}, function (H, mm) {{\n{self.text}\n}});\n"


def strides_of(shape: Shape) -> Shape:
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


def tape(code: Sequence[Instruction], inputs: Mapping[str, View], outputs: Mapping[str, View], scratch: int) -> Tape:
    """Give all stretches their places, and write the code out."""
    top = _place(code, list(inputs.values()), list(outputs.values()))
    lines = ["const square = (x) => x * x;", *(instruction.text() for instruction in code)]
    for name, new in outputs.items():
        if name in inputs:
            lines.append(f"H.copyWithin({inputs[name].at}, {new.at}, {new.at + math.prod(new.shape)});")
    where, results = (
        {name: (view.at, math.prod(view.shape)) for name, view in some.items()} for some in (inputs, outputs)
    )
    return Tape(top + scratch, top, where, results, "\n".join(lines))


# --------------------------------------------------------------------------------------------------------------- text


def loops(shape: Shape, places: Sequence[int]) -> str:
    return "".join(f"for (let i{p} = 0; i{p} < {shape[p]}; i{p}++) " for p in places if shape[p] != 1)


def cell(view: View, rank: int | None = None) -> str:
    """The number of a view at the present i0, i1, …; those of a view with fewer places are the last ones."""
    ahead = (len(view.shape) if rank is None else rank) - len(view.shape)
    steps = [
        f"i{place + ahead}" + f" * {stride}" * (stride != 1)
        for place, (stride, n) in enumerate(zip(view.strides, view.shape, strict=True))
        if stride and n != 1
    ]
    return f"H[{' + '.join([str(view.at), *steps])}]"


def pointwise_loop(out: View, formula: Formula) -> str:
    """One loop where all lies one after the other, else one for each place."""
    singles = {place: f"c{place}" for place, view in enumerate(formula.operands) if view.single}
    others = [view for view in formula.operands if not view.single]
    head = "".join(f"const {name} = H[{formula.operands[place].at}]; " for place, name in singles.items())
    if out.dense and all(view.dense and view.shape == out.shape for view in others):
        loop, cells = (
            f"for (let i = 0; i < {math.prod(out.shape)}; i++) ",
            [f"H[{v.at} + i]" for v in (out, *formula.operands)],
        )
    else:
        rank = len(out.shape)
        loop, cells = loops(out.shape, range(rank)), [cell(view, rank) for view in (out, *formula.operands)]
    target, *cells = cells
    return f"{{ {head}{loop}{target} = {formula.text.format(*(singles.get(i, c) for i, c in enumerate(cells)))}; }}"


# ------------------------------------------------------------------------------------------------------------- places


def _place(code: Sequence[Instruction], inputs: Sequence[View], outputs: Sequence[View]) -> int:
    """Give each stretch the first place that is free while it is needed; inputs keep theirs. Returns the heap's end."""
    last = {view.stretch: number for number, step in enumerate(code) for view in (step.out, *step.operands)}
    last |= {view.stretch: len(code) for view in (*inputs, *outputs)}
    taken: list[Stretch] = []  # in the order of their places

    def take(stretch: Stretch) -> None:
        at = 0
        for place, other in enumerate([*taken, None]):
            if other is None or other.at - at >= stretch.size:
                stretch.at = at
                taken.insert(place, stretch)
                return
            at = -(-(other.at + other.size) // ALIGNED) * ALIGNED

    placed = {view.stretch for view in inputs}
    for view in inputs:
        take(view.stretch)
    top = 0
    for number, step in enumerate(code):
        if step.out.stretch not in placed:
            placed.add(step.out.stretch)
            take(step.out.stretch)
        top = max(top, taken[-1].at + taken[-1].size)
        taken[:] = [stretch for stretch in taken if last[stretch] > number]
    return -(-top // ALIGNED) * ALIGNED
