"""A traced function becomes a tape: which operations a page knows, and what each is there."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from invtutor.course.book.tape import (
    Formula,
    Instruction,
    Shape,
    Stretch,
    Tape,
    View,
    cell,
    loops,
    pointwise_loop,
    strides_of,
    tape,
)
from invtutor.runs.pure import trace

__all__ = ["named", "record"]


def record(function: Callable[..., Mapping[str, Any]], example: Mapping[str, Any]) -> Tape:
    """Write down a function of trees of tensors; it is called once, with the values of `example`.

    Inputs and outputs go by their places in the trees, such as `state.step`. An input takes at the end the value of the
    output of its name, so that a state is ready for the next call. Raises ValueError, naming it, for an operation that
    no tape has.
    """
    from torch._decomp import core_aten_decompositions
    from torch.fx.experimental.proxy_tensor import make_fx

    traced, names = trace(function, *example.values()), list[str]()

    def flat(*values: Tensor) -> list[Tensor]:
        results = named(traced(*_like(example, iter(values)).values()))
        names[:] = results
        return list(results.values())

    inputs = named(example)
    assert len({*map(id, inputs.values())}) == len(inputs), "a tensor by two names is traced as one input"
    without_mutation = torch.func.functionalize(flat, remove="mutations_and_views")
    graph = make_fx(without_mutation, {**core_aten_decompositions()}, tracing_mode="fake")(*inputs.values())
    _drop_copies(graph)
    writer = _Writer(graph)
    given = dict(zip(inputs, writer.arguments, strict=True))
    return tape(writer.code, given, dict(zip(names, writer.results, strict=True)), writer.scratch)


def named(tree: Any, name: str = "") -> dict[str, Any]:
    """The leaves of dictionaries and sequences by their places, such as `state.first.0`."""
    if isinstance(tree, Tensor):
        return {name: tree}
    items = tree.items() if isinstance(tree, Mapping) else enumerate(tree)
    return {key: leaf for at, part in items for key, leaf in named(part, f"{name}.{at}".lstrip(".")).items()}


def _like(tree: Any, leaves: Iterator[Any]) -> Any:
    """The same tree with other leaves."""
    if isinstance(tree, Mapping):
        return {key: _like(part, leaves) for key, part in tree.items()}
    return type(tree)(_like(part, leaves) for part in tree) if isinstance(tree, list | tuple) else next(leaves)


_COPIES = ("alias", "clone", "detach", "_to_copy", "lift_fresh_copy")


def _drop_copies(graph: fx.GraphModule) -> None:
    """Nothing on a tape is written twice: a copy is the thing itself, and all numbers are of one type."""
    for node in list(graph.graph.nodes):
        if node.op == "call_function" and _name(node.target) in _COPIES:
            result, given = (n.meta["val"].is_floating_point() for n in (node, node.args[0]))
            if given and not result:
                continue  # it cuts off decimals: an operation, and not known
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.recompile()


def _name(operation: Any) -> str:
    return str(operation.__name__).split(".")[0]


def _number(value: float) -> str:
    value = float(value)
    return repr(value) if math.isfinite(value) else str(value).replace("inf", "Infinity").replace("nan", "NaN")


_POINTWISE: Mapping[str, str] = {
    "abs": "Math.abs({0})",
    "div": "({0} / {1})",
    "eq": "+({0} === {1})",
    "exp": "Math.exp({0})",
    "ge": "+({0} >= {1})",
    "gt": "+({0} > {1})",
    "isnan": "+({0} !== {0})",
    "le": "+({0} <= {1})",
    "log": "Math.log({0})",
    "logical_and": "({0} * {1})",
    "logical_not": "+!{0}",
    "logical_or": "Math.max({0}, {1})",
    "lt": "+({0} < {1})",
    "mul": "({0} * {1})",
    "neg": "(-{0})",
    "reciprocal": "(1 / {0})",
    "relu": "Math.max({0}, 0)",
    "sigmoid": "(1 / (1 + Math.exp(-{0})))",
    "sign": "Math.sign({0})",
    "sqrt": "Math.sqrt({0})",
    "tanh": "Math.tanh({0})",
    "where": "({0} ? {1} : {2})",
}
_OF_TRUTHS = {"bitwise_and": "({0} * {1})", "bitwise_not": "+!{0}"}
_POWERS = {0.5: "Math.sqrt({0})", 1.0: "{0}", 2.0: "square({0})"}


class _Writer(fx.Interpreter):
    """Interprets a graph on views and formulas in place of tensors, and keeps the instructions."""

    def __init__(self, graph: fx.GraphModule):
        super().__init__(graph)
        self.extra_traceback = False  # to the messages of errors
        self.code: list[Instruction] = []
        self.arguments: list[View] = []
        self.results: list[View] = []
        self.scratch = 0
        self.run(*(None for node in graph.graph.nodes if node.op == "placeholder"))

    # ---------------------------------------------------------------------------------------- what a graph consists of

    def run_node(self, n: fx.Node) -> Any:
        self.node, self.shape = n, tuple(getattr(n.meta.get("val"), "shape", ()))
        return super().run_node(n)

    def placeholder(self, target: Any, args: Any, kwargs: Any) -> View:
        self.arguments.append(self._fresh(self.shape))
        return self.arguments[-1]

    def output(self, target: Any, args: Any, kwargs: Any) -> None:
        self.results = [self._stored(value) for value in args[0]]

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        name = _name(target)
        if name in _POINTWISE and kwargs.get("rounding_mode") is None:
            return self._pointwise(_POINTWISE[name], *args)
        if name in _OF_TRUTHS and self.node.meta["val"].dtype == torch.bool:
            return self._pointwise(_OF_TRUTHS[name], *args)
        operation = getattr(self, f"_op_{name}", None)
        if operation is None:
            raise ValueError(f"Parameter `function` should be of operations that a page knows. Found {target}.")
        return operation(*args, **kwargs)

    # --------------------------------------------------------------------------------------------------------- numbers

    def _op_full(self, size: Any, value: float, **_: Any) -> Formula:
        return Formula(self.shape, _number(value))

    _op_full_like = _op_full

    def _op_scalar_tensor(self, value: float, **_: Any) -> Formula:
        return Formula(self.shape, _number(value))

    def _op_empty_permuted(self, size: Any, *_: Any, **__: Any) -> Formula:
        return Formula(self.shape, "0")

    def _op_arange(self, start: float, *_: Any, **__: Any) -> Formula:
        assert math.prod(self.shape) == 1, "no loop counts its own places"
        return Formula(self.shape, _number(start))

    # ----------------------------------------------------------------------------------------------------------- views

    def _view(self, value: View | Formula, strides: Callable[[View], Sequence[int]], offset: int = 0) -> View | Formula:
        """The same numbers under another shape, that of the node."""
        if isinstance(value, Formula) and not value.operands:
            return value._replace(shape=self.shape)
        view = self._stored(value)
        return View(view.stretch, self.shape, tuple(strides(view)), view.offset + offset)

    def _op_view(self, value: View | Formula, shape: Any) -> View | Formula:
        return self._view(self._dense(value), lambda _: strides_of(self.shape))

    _op_view_copy = _op_view

    def _op_permute(self, value: View | Formula, order: Sequence[int]) -> View | Formula:
        return self._view(value, lambda view: [view.strides[place] for place in order])

    def _op_unsqueeze(self, value: View | Formula, place: int) -> View | Formula:
        place %= len(self.shape)
        return self._view(value, lambda view: [*view.strides[:place], 0, *view.strides[place:]])

    def _op_expand(self, value: View | Formula, *_: Any, **__: Any) -> View | Formula:
        new = len(self.shape) - len(value.shape)
        own = [0 if n == 1 else 1 for n in value.shape]
        return self._view(value, lambda v: [0] * new + [s * keep for s, keep in zip(v.strides, own, strict=True)])

    def _op_select(self, value: View | Formula, place: int, index: int) -> View | Formula:
        place, view = place % len(value.shape), self._stored(value)
        offset = index % view.shape[place] * view.strides[place]
        return self._view(view, lambda _: [*view.strides[:place], *view.strides[place + 1 :]], offset)

    _op_select_copy = _op_select

    # ------------------------------------------------------------------------------------------------------- pointwise

    def _op_add(self, a: Any, b: Any, *, alpha: float = 1) -> Formula | View:
        return self._pointwise("({0} + {1})" if alpha == 1 else f"({{0}} + {_number(alpha)} * {{1}})", a, b)

    def _op_sub(self, a: Any, b: Any, *, alpha: float = 1) -> Formula | View:
        return self._op_add(a, b, alpha=-alpha) if alpha != 1 else self._pointwise("({0} - {1})", a, b)

    def _op_pow(self, base: Any, exponent: Any) -> Formula | View:
        if isinstance(exponent, int | float) and exponent in _POWERS:
            return self._pointwise(_POWERS[exponent], base)
        return self._pointwise("Math.pow({0}, {1})", base, exponent)

    def _op_clamp(self, value: Any, low: float | None = None, high: float | None = None) -> Formula | View:
        text = "{0}" if low is None else f"Math.max({{0}}, {_number(low)})"
        return self._pointwise(text if high is None else f"Math.min({text}, {_number(high)})", value)

    def _op_cat(self, parts: Sequence[View | Formula], place: int = 0) -> View:
        out, offset = self._fresh(self.shape), 0
        place %= len(self.shape)
        for part in parts:
            self._store(View(out.stretch, part.shape, out.strides, offset * out.strides[place]), part)
            offset += part.shape[place]
        return out

    # ---------------------------------------------------------------------------------------- products and reductions

    def _op_mm(self, a: View | Formula, b: View | Formula) -> View:
        out = self._fresh(self.shape)
        self._product(out, self._stored(a), self._stored(b))
        return out

    def _op_bmm(self, a: View | Formula, b: View | Formula) -> View:
        out, views = self._fresh(self.shape), (self._stored(a), self._stored(b))
        for i in range(self.shape[0]):
            self._product(
                *(View(v.stretch, v.shape[1:], v.strides[1:], v.offset + i * v.strides[0]) for v in (out, *views))
            )
        return out

    def _op_addmm(self, bias: View | Formula, a: View | Formula, b: View | Formula) -> View | Formula:
        return self._pointwise("({0} + {1})", self._op_mm(a, b), bias)

    def _product(self, out: View, a: View, b: View) -> None:
        (m, k), n = a.shape, b.shape[1]
        self.scratch = max(self.scratch, k * max(m, n) + m * n)

        def write() -> str:
            factors = (f"{view.at}, {view.strides[0]}, {view.strides[1]}" for view in (a, b))
            return f"mm({', '.join(factors)}, {out.at}, {m}, {k}, {n});"

        self.code.append(Instruction(out, (a, b), write))

    def _op_sum(self, value: View | Formula, places: Sequence[int] | None = None, keep: bool = False, **_: Any) -> View:
        return self._reduce("total + {0}", value, places, keep)

    def _op_max(self, value: View | Formula) -> View:
        return self._reduce("Math.max(total, {0})", value, None, False, start="-Infinity")

    def _op_amax(self, value: View | Formula, places: Sequence[int] | None = None, keep: bool = False) -> View:
        return self._reduce("Math.max(total, {0})", value, places, keep, start="-Infinity")

    def _op_any(self, value: View | Formula, place: int, keep: bool = False) -> View:
        return self._reduce("Math.max(total, +!!{0})", value, [place], keep)

    def _op_mean(
        self, value: View | Formula, places: Sequence[int] | None = None, keep: bool = False, **_: Any
    ) -> View:
        return self._reduce("total + {0}", value, places, keep, count=1.0)

    def _op_var(
        self, value: View | Formula, places: Any = None, *, correction: float = 1, keepdim: bool = False
    ) -> View:
        view = self._stored(value)
        mean = self._reduce("total + {0}", view, places, True, count=1.0)
        spread = self._stored(Formula(view.shape, "square({0} - {1})", (view, self._spread(mean, view.shape))))
        return self._reduce("total + {0}", spread, places, keepdim, count=1.0, less=float(correction or 0))

    def _op__softmax(self, value: View | Formula, place: int, *_: Any) -> View:
        view = self._stored(value)
        top = self._reduce("Math.max(total, {0})", view, [place], True, start="-Infinity")
        raised = self._stored(Formula(view.shape, "Math.exp({0} - {1})", (view, self._spread(top, view.shape))))
        whole = self._spread(self._reduce("total + {0}", raised, [place], True), view.shape)
        return self._stored(Formula(view.shape, "({0} / {1})", (raised, whole)))

    @staticmethod
    def _spread(view: View, shape: Shape) -> View:
        """A reduced view over the shape that was reduced."""
        strides = [0 if n == 1 else stride for n, stride in zip(view.shape, view.strides, strict=True)]
        return view._replace(shape=shape, strides=tuple(strides))

    def _reduce(
        self,
        text: str,
        value: View | Formula,
        places: Sequence[int] | None,
        keep: bool,
        *,
        start: str = "0",
        count: float = 0.0,
        less: float = 0.0,
    ) -> View:
        """`total` over some places, divided, where `count` is 1, by how many numbers they hold, less `less`."""
        view = self._stored(value)
        every = range(len(view.shape))
        gone = {place % len(view.shape) for place in places} if places else {*every}
        kept = tuple(1 if place in gone else n for place, n in enumerate(view.shape))
        whole = self._fresh(kept)
        divided = f" / {_number(max(0.0, math.prod(view.shape[p] for p in gone) - less))}" if count else ""

        def write() -> str:
            over = loops(view.shape, [place for place in every if place not in gone])
            inner = loops(view.shape, sorted(gone))
            body = f"total = {text.format(cell(view))};"
            return f"{over}{{ let total = {start}; {inner}{body} {cell(whole)} = total{divided}; }}"

        self.code.append(Instruction(whole, (view,), write))
        if keep:
            return whole
        shape = tuple(n for place, n in enumerate(view.shape) if place not in gone)
        return View(whole.stretch, shape, strides_of(shape))

    # --------------------------------------------------------------------------------------------------------- storing

    @staticmethod
    def _fresh(shape: Shape) -> View:
        return View(Stretch(math.prod(shape)), shape, strides_of(shape))

    def _pointwise(self, text: str, *arguments: Any) -> Formula | View:
        """The operation, not yet stored where one alone asks for it, and where it is no single number."""
        texts, operands = list[str](), list[View]()
        for argument in arguments:
            if isinstance(argument, int | float):
                texts.append(_number(argument))
            elif isinstance(argument, Formula) and (argument.shape == self.shape or not argument.operands):
                places = (f"{{{len(operands) + i}}}" for i in range(len(argument.operands)))
                texts.append(argument.text.format(*places))
                operands += argument.operands
            else:
                texts.append(f"{{{len(operands)}}}")
                operands.append(self._stored(argument))
        formula = Formula(self.shape, text.format(*texts), tuple(operands))
        alone = len(self.node.users) == 1 and math.prod(self.shape) > 1
        return formula if alone or not operands else self._stored(formula)

    def _stored(self, value: View | Formula) -> View:
        if isinstance(value, View):
            return value
        out = self._fresh(value.shape)
        self._store(out, value)
        return out

    def _dense(self, value: View | Formula) -> View | Formula:
        """A value whose numbers lie one after the other."""
        if isinstance(value, View) and not value.dense:
            return self._stored(Formula(value.shape, "{0}", (value,)))
        return value

    def _store(self, out: View, value: View | Formula) -> None:
        formula = value if isinstance(value, Formula) else Formula(value.shape, "{0}", (value,))
        self.code.append(Instruction(out, formula.operands, lambda: pointwise_loop(out, formula)))
