"""Rows of the op tests: one `Case` an op (or a form of it). `tests/cases/<family>.py` holds the list `CASES` of a family.

A row says what the op is (`fn`), what it must equal (`ref`, over NumPy arrays in float64, int64 or bool), and from what inputs.
`tests/test_ops.py` turns every row into checks: forward in every dtype, first and second gradient against central differences in
float64, odd layouts, other shapes, method, in-place form, `out=`, `meta`, thread counts, and the documented errors.

    CASES = [
        # unary and binary pointwise ops: shapes, broadcasting, 0-d, zero-size, method, in-place and out= come by themselves
        unary("exp", np.exp),
        unary("log", np.log, positive(3, 4)),
        unary("relu", lambda x: np.maximum(x, 0), away(3, 4), dtypes=REAL),
        binary("atan2", np.arctan2, errors=[raises(lambda: al.atan2(al.ones(2), al.ones(3)), RuntimeError, "atan2: ")]),

        # fn is al.<name> unless given; `args` follow the tensors; the name may carry a form after a colon
        Case("softmax", scipy_softmax, [randn(3, 4)], args=(1,), shapes=[[(0, 4)]], large=[(300, 257)],
             errors=[raises(lambda: al.softmax(al.ones(2), 5), IndexError, "Dimension out of range")]),
        Case("sum:keepdim", lambda x: x.sum(1, keepdims=True), [randn(3, 4)], fn=lambda x: al.sum(x, 1, keepdim=True)),

        # several outputs: return a tuple from both; integer inputs have a fixed dtype
        Case("sort", lambda x: (np.sort(x), np.argsort(x)), [distinct(3, 5)]),
        Case("gather", lambda x, i: np.take_along_axis(x, i, 1), [randn(3, 4), ints(3, 2, high=4)], fn=lambda x, i: al.gather(x, 1, i)),

        # no reference but a law: `law(outputs, *arrays)` asserts; outputs are arrays
        Case("bernoulli", None, [rand(200)], law=lambda y, p: assert_binary(y), grad=False, meta=True),
    ]

Every public op needs at least one row, and one of its rows needs an error (pointwise rows have one by themselves).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

HALVES = ("bfloat16", "float16")
FLOATS = ("float32", "float64", *HALVES)
INTEGERS = ("uint8", "int8", "int16", "int32", "int64")
REAL = FLOATS + INTEGERS
ALL = (*REAL, "bool")
SINGLE = ("float32", "float64")

# (rtol, atol) by the dtype of the result. A row loosens it by `tol`, and says why in a comment.
TOLERANCE = {
    "float64": (1e-10, 1e-11),
    "float32": (2e-5, 2e-6),
    "float16": (2e-3, 2e-3),
    "bfloat16": (1.6e-2, 1.6e-2),
}
GRADIENT_TOLERANCE = (2e-5, 2e-6)  # central differences in float64 with steps near 1e-6


@dataclass(frozen=True)
class Input:
    """How one input is drawn: `draw(rng, shape, kind)` gives values, kind is "float", "int", "uint" or "bool"."""

    shape: tuple[int, ...]
    draw: Callable[[np.random.Generator, tuple[int, ...], str], np.ndarray]
    dtype: str | None = None  # fixed; None: the dtype under test
    grad: bool = True  # whether it takes part in gradient checks (fixed dtypes never do)


def _interval(low: float, high: float, avoid: tuple[float, ...] = (), gap: float = 0.1) -> Callable[..., np.ndarray]:
    def draw(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> np.ndarray:
        if kind == "bool":
            return rng.integers(0, 2, shape).astype(bool)
        if kind != "float":
            least = max(int(np.ceil(low)), 0 if kind == "uint" else -9)
            return rng.integers(least, max(least + 1, min(int(np.floor(high)), 9)) + 1, shape)
        x = rng.uniform(low, high, shape)
        for point in avoid:
            near = np.abs(x - point) < gap
            x = np.where(near, point + np.where(x >= point, gap, -gap) * (1 + rng.random(shape)), x)
        return x

    return draw


def randn(*shape: int, scale: float = 1.0, grad: bool = True) -> Input:
    """Normal numbers; small integers of both signs for integer dtypes."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> np.ndarray:
        return rng.standard_normal(shape) * scale if kind == "float" else _interval(-5, 6)(rng, shape, kind)

    return Input(shape, draw, grad=grad)


def rand(*shape: int, low: float = 0.0, high: float = 1.0, grad: bool = True) -> Input:
    """Uniform numbers in [low, high]."""
    return Input(shape, _interval(low, high), grad=grad)


def positive(*shape: int, low: float = 0.3, high: float = 3.0) -> Input:
    """Numbers well above zero."""
    return Input(shape, _interval(low, high))


def away(*shape: int, kinks: Sequence[float] = (0.0,), low: float = -3.0, high: float = 3.0, gap: float = 0.1) -> Input:
    """Uniform numbers that keep `gap` away from points where the op has no derivative."""
    return Input(shape, _interval(low, high, tuple(kinks), gap))


def distinct(*shape: int, grad: bool = True) -> Input:
    """Well separated numbers in random order: for max, sort, median and their kin."""

    def draw(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> np.ndarray:
        n = int(np.prod(shape))
        if kind == "bool":
            return rng.integers(0, 2, shape).astype(bool)
        ranks = rng.permutation(n).reshape(shape)
        return (ranks - n // 2) * 0.25 if kind == "float" else ranks % 100 - (0 if kind == "uint" else min(n, 100) // 2)

    return Input(shape, draw, grad=grad)


def ints(*shape: int, low: int = 0, high: int = 10, dtype: str = "int64") -> Input:
    """Integers in [low, high) of a fixed dtype: indices, counts, classes."""
    return Input(shape, lambda rng, shape, kind: rng.integers(low, high, shape), dtype, False)


def bools(*shape: int) -> Input:
    """A mask."""
    return Input(shape, lambda rng, shape, kind: rng.integers(0, 2, shape).astype(bool), "bool", False)


def const(values: Any, dtype: str | None = None, grad: bool = False) -> Input:
    """Given values. `shapes` and Hypothesis leave rows with such inputs alone unless the shape is the same."""
    array = np.asarray(values)
    return Input(array.shape, lambda rng, shape, kind: array, dtype, grad)


@dataclass(frozen=True)
class Raises:
    """A call that must be refused, with what, and a regular expression that the text must contain."""

    call: Callable[[], Any]
    error: type[BaseException]
    match: str


def raises(call: Callable[[], Any], error: type[BaseException], match: str) -> Raises:
    """A documented error of an op."""
    return Raises(call, error, match)


@dataclass(frozen=True)
class Case:
    """One row. The defaults fit a differentiable op of floats; see the module's docstring for examples."""

    name: str  # the public function, and after a colon the form that this row tests
    ref: Callable[..., Any] | None
    inputs: Sequence[Input]
    fn: Callable[..., Any] | None = None  # over tensors; None: the public function of that name
    args: tuple[Any, ...] = ()  # follow the tensors when fn is None
    dtypes: Sequence[str] = FLOATS
    grad: bool = True
    grad2: bool = True
    law: Callable[..., None] | None = None  # instead of ref
    pointwise: bool = False  # any broadcastable shapes are legal
    inplace: bool | Callable[..., Any] = False  # True: the method `<name>_`; or a function that writes into its first tensor
    out: bool = False  # takes out=
    method: bool | None = None  # None: checked when fn is None and Tensor has it
    meta: bool = True  # runs on the meta device
    layouts: bool = True  # transposed, strided and expanded inputs
    shapes: Sequence[Sequence[tuple[int, ...]]] = ()  # further input shapes: zero-size, 0-d, one element
    large: Sequence[tuple[int, ...]] | None = None  # input shapes big enough for threads
    out_dtype: str | None = None  # of the (first) result; None: the dtype under test, or integer, or bool
    errors: Sequence[Raises] = field(default_factory=tuple)
    tol: float = 1.0  # factor on TOLERANCE
    grad_tol: float = 1.0  # factor on GRADIENT_TOLERANCE
    seed: int = 0

    @property
    def base(self) -> str:
        """The public name that the row covers."""
        return self.name.partition(":")[0]

    def public(self) -> Callable[..., Any]:
        """The public function."""
        from ascendlite.core import FUNCTIONS

        return FUNCTIONS[self.base]

    def refusals(self) -> Sequence[Raises]:
        """The errors to check: those of the row, or what every pointwise op refuses: no tensor, and shapes that do not broadcast."""
        if self.errors or not self.pointwise:
            return self.errors
        import ascendlite as al

        if len(self.inputs) == 1:
            return [Raises(lambda: self.call("text"), TypeError, "must be Tensor or a number, not str")]
        tensors = [al.ones(2 + k, dtype=getattr(al, self.inputs[k].dtype or self.dtypes[0])) for k in range(len(self.inputs))]
        return [Raises(lambda: self.call(*tensors), RuntimeError, "must match the size of tensor b")]

    def call(self, *tensors: Any, **kwargs: Any) -> Any:
        """The op on tensors."""
        if self.fn is not None:
            return self.fn(*tensors, **kwargs)
        return self.public()(*tensors, *self.args, **kwargs)


_POINTWISE_LARGE = (67, 1031)


def unary(name: str, ref: Callable[..., Any], x: Input | None = None, **options: Any) -> Case:
    """A pointwise op of one tensor."""
    x = x or randn(3, 4)
    given = {"pointwise": True, "inplace": True, "out": True, "large": [_POINTWISE_LARGE], **options}
    return Case(name, ref, [x], **given)


def binary(name: str, ref: Callable[..., Any], a: Input | None = None, b: Input | None = None, **options: Any) -> Case:
    """A pointwise op of two tensors."""
    given = {"pointwise": True, "inplace": True, "out": True, "large": [_POINTWISE_LARGE, _POINTWISE_LARGE], **options}
    return Case(name, ref, [a or randn(3, 4), b or randn(3, 4)], **given)
