"""Matrix products: matmul and its kin, the affine layer, products with an addend. Every one is a launch of the native gemm.

Gradients are products of transposed views: nothing is copied to be transposed.
"""

from __future__ import annotations

import math

from ascendlite.core import DType, Op, Tensor, broadcast_shapes, can_cast, check_writable, deliver, function, overwrite
from ascendlite.core import bool as bool_
from ascendlite.errors import DTypeError, ShapeError
from ascendlite.ops.einsum import einsum
from ascendlite.ops.grouped import grouped_mm
from ascendlite.ops.tensordot import tensordot

__all__ = [
    "addbmm",
    "addmm",
    "addmv",
    "addr",
    "baddbmm",
    "bmm",
    "dot",
    "einsum",
    "grouped_mm",
    "inner",
    "linear",
    "matmul",
    "mm",
    "mv",
    "outer",
    "tensordot",
    "vdot",
]


def _check_dtypes(name: str, *tensors: Tensor | None) -> DType:
    dtypes = [t.dtype for t in tensors if t is not None]
    for other in dtypes[1:]:
        if other != dtypes[0]:
            raise DTypeError(
                f"{name}: expected operands of the same dtype, but got {dtypes[0]} and {other}; convert one with .to()"
            )
    if dtypes[0] is bool_:
        raise DTypeError(f"{name}: not implemented for dtype bool; convert the operands, for example with .float()")
    return dtypes[0]


# ---- the records ----


def _matmul_shape(a, b):
    left, right, dtype = a.shape, b.shape, a.dtype
    if len(left) == 2 and len(right) == 2 and left[1] == right[0] and dtype is b.dtype and dtype is not bool_:
        return (left[0], right[1]), dtype
    _check_dtypes("matmul", a, b)
    if a.shape[-1] != b.shape[-2]:
        raise ShapeError(
            f"matmul: shapes {tuple(a.shape)} and {tuple(b.shape)} cannot be multiplied: "
            f"{a.shape[-1]} columns meet {b.shape[-2]} rows; transpose or reshape one"
        )
    try:
        batch = broadcast_shapes(tuple(a.shape[:-2]), tuple(b.shape[:-2]))
    except RuntimeError:
        raise ShapeError(
            f"matmul: batch dims of shapes {tuple(a.shape)} and {tuple(b.shape)} do not broadcast; each pair must be equal or hold a 1"
        ) from None
    return (*batch, a.shape[-2], b.shape[-1]), dtype


def _rows(x: Tensor) -> Tensor:
    """All dims but the last as rows."""
    return x if x.ndim == 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _rows_product(a: Tensor, g: Tensor) -> Tensor:
    """The sum over all rows of a (..., K) and g (..., N): (K, N)."""
    return _matmul(_rows(a).transpose(0, 1), _rows(g))


def _left_gradient(g, y, _a, b):
    if _a.ndim == 2 and b.ndim > 2:  # one a for a batch of b: the batch joins the summed dim
        columns = g.movedim(-2, 0).reshape(g.shape[-2], math.prod(g.shape[:-2]) * g.shape[-1])
        rows = b.expand(*g.shape[:-2], *b.shape[-2:]).transpose(-2, -1)
        return _matmul(columns, _rows(rows))
    return _matmul(g, b.transpose(-2, -1))


def _right_gradient(g, y, a, _b):
    if _b.ndim == 2 and a.ndim > 2:
        return _rows_product(a, g)
    return _matmul(a.transpose(-2, -1), g)


def _product_cost(a, b, *rest):
    n = b.shape[-1]
    batch = math.prod(broadcast_shapes(tuple(a.shape[:-2]), tuple(b.shape[:-2])))
    return 2 * batch * a.shape[-2] * a.shape[-1] * n


_matmul = Op(
    "matmul",
    inputs=2,
    infer=_matmul_shape,
    vjp=(_left_gradient, _right_gradient),
    contiguous=False,
    cost=_product_cost,
    cast="low",
)


def _linear_shape(x, w, bias):
    shape, (rows, columns) = x.shape, w.shape if w.ndim == 2 else (-1, -1)
    if bias is None and x.dtype is w.dtype is not bool_ and shape and shape[-1] == columns:  # what decoding calls all the time
        return (*shape[:-1], rows), x.dtype
    dtype = _check_dtypes("linear", x, w, bias)
    if w.ndim != 2 or x.ndim == 0 or x.shape[-1] != w.shape[1]:
        raise ShapeError(
            f"linear: input of shape {tuple(x.shape)} and weight of shape {tuple(w.shape)} do not fit; "
            f"the last dim of the input must be the weight's dim 1 (shape: out_features, in_features)"
        )
    if bias is not None and tuple(bias.shape) != (w.shape[0],):
        raise ShapeError(
            f"linear: bias has shape {tuple(bias.shape)} for a weight of shape {tuple(w.shape)}; it must be ({w.shape[0]},)"
        )
    return (*x.shape[:-1], w.shape[0]), dtype


def _linear_cost(x, w, bias):
    return 2 * math.prod(x.shape) * w.shape[0]


_linear = Op(
    "linear",
    inputs=3,
    infer=_linear_shape,
    vjp=(
        lambda g, y, _x, w: _matmul(_rows(g), w).reshape(_x.shape),
        lambda g, y, x: _rows_product(g, x),
        lambda g, y, x: g,  # summed to the bias by the engine
    ),
    contiguous=False,
    cost=_linear_cost,
    cast="low",
)


def _addmm_shape(a, b, addend, alpha, beta):
    _check_dtypes("addmm", a, b, addend)
    shape, dtype = _matmul_shape(a, b)
    wanted = tuple(addend.shape)
    try:
        fits = broadcast_shapes(wanted, shape) == shape
    except RuntimeError:
        fits = False
    if not fits:
        raise ShapeError(
            f"addmm: input of shape {wanted} does not broadcast to the product's shape {shape}; reshape it"
        )
    return shape, dtype


_addmm = Op(
    "addmm",
    inputs=3,
    infer=_addmm_shape,
    vjp=(
        lambda g, y, _a, b, addend, alpha: _matmul(g, b.transpose(-2, -1)) * alpha,
        lambda g, y, a, _b, addend, alpha: _matmul(a.transpose(-2, -1), g) * alpha,
        lambda g, y, a, b, _c, alpha, beta: g * beta,
    ),
    contiguous=False,
    kernel="matmul",
    cost=_product_cost,
    cast="low",
)


def _dot_shape(a, b):
    dtype = _check_dtypes("dot", a, b)
    if a.ndim != 1 or b.ndim != 1 or a.shape != b.shape:
        raise ShapeError(
            f"dot: 1D tensors of the same length expected, but got shapes {tuple(a.shape)} and {tuple(b.shape)}; use matmul for others"
        )
    return (), dtype


_dot = Op(
    "dot", inputs=2, infer=_dot_shape, vjp=(lambda g, y, _a, b: g * b, lambda g, y, a: g * a), cast="low"
)


# ---- public functions ----


def _expect_dims(name: str, **tensors: tuple[Tensor, int]) -> None:
    for label, (tensor, ndim) in tensors.items():
        if tensor.ndim != ndim:
            raise ShapeError(
                f"{name}: {label} must be a {ndim}-D tensor, but it has shape {tuple(tensor.shape)}; reshape it or use matmul"
            )


@function(methods=("matmul",))
def matmul(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The matrix product; vectors take the place of a row (left) or a column (right), dims in front are broadcast.

    >>> al.matmul(al.ones(2, 3), al.ones(3)).tolist()
    [3.0, 3.0]
    """
    if input.ndim >= 2 and other.ndim >= 2:
        return deliver(_matmul(input, other), out)
    if input.ndim == 0 or other.ndim == 0:
        raise ShapeError(
            f"matmul: both arguments need at least 1 dim, but the shapes are {tuple(input.shape)} and {tuple(other.shape)}; use * for scalars"
        )
    if input.ndim == 1 and other.ndim == 1:
        return deliver(_dot(input, other), out)
    if input.ndim == 1:
        return deliver(_matmul(input.unsqueeze(0), other).squeeze(-2), out)
    return deliver(_matmul(input, other.unsqueeze(-1)).squeeze(-1), out)


@function(methods=("mm",))
def mm(input: Tensor, mat2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The product of two matrices."""
    if input.ndim != 2 or mat2.ndim != 2:
        _expect_dims("mm", input=(input, 2), mat2=(mat2, 2))
    return deliver(_matmul(input, mat2), out)


@function(methods=("bmm",))
def bmm(input: Tensor, mat2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The products of two batches of matrices."""
    _expect_dims("bmm", input=(input, 3), mat2=(mat2, 3))
    if input.shape[0] != mat2.shape[0]:
        raise ShapeError(
            f"bmm: batches differ: input has shape {tuple(input.shape)}, mat2 has shape {tuple(mat2.shape)}; use matmul to broadcast"
        )
    return deliver(_matmul(input, mat2), out)


@function(methods=("mv",))
def mv(input: Tensor, vec: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The product of a matrix and a vector."""
    _expect_dims("mv", input=(input, 2), vec=(vec, 1))
    return deliver(_matmul(input, vec.unsqueeze(1)).squeeze(1), out)


@function(methods=("dot",))
def dot(input: Tensor, tensor: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The sum of the products of two vectors' elements."""
    return deliver(_dot(input, tensor), out)


@function(methods=("vdot",))
def vdot(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The same as dot: there are no complex numbers here."""
    return deliver(_dot(input, other), out)


@function(methods=("inner",))
def inner(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Dot products of all pairs of rows: the sum runs over the last dim of both."""
    if input.ndim == 0 or other.ndim == 0:
        return deliver(input * other, out)
    if input.shape[-1] != other.shape[-1]:
        raise ShapeError(
            f"inner: the last dims of shapes {tuple(input.shape)} and {tuple(other.shape)} differ; they must be equal"
        )
    if input.ndim == 1 and other.ndim == 1:
        return deliver(_dot(input, other), out)
    return deliver(tensordot(input, other, ([-1], [-1])), out)


@function("ger", methods=("ger",), apart=True)
@function(methods=("outer",), apart=True)
def outer(input: Tensor, vec2: Tensor, *, out: Tensor | None = None) -> Tensor:
    """All products of an element of one vector and one of the other."""
    _expect_dims("outer", input=(input, 1), vec2=(vec2, 1))
    return deliver(input.unsqueeze(1) * vec2, out)


@function(toplevel=False)
def linear(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, *, out: Tensor | None = None
) -> Tensor:
    """`input @ weight.T + bias` in one pass; dims of the input in front of the last are rows."""
    if weight.ndim == 1:
        y = matmul(input, weight)
        return deliver(y if bias is None else y + bias, out)
    y = _linear(input, weight, bias)
    return y if out is None else deliver(y, out)


def _add_product(input: Tensor, a: Tensor, b: Tensor, beta: float, alpha: float) -> Tensor:
    if not a.dtype.is_floating_point:  # as torch: integers have integer scales
        beta, alpha = int(beta), int(alpha)
    beta, alpha = float(beta), float(alpha)
    if beta == 0:  # the addend is not read: it may hold NaN
        _addmm_shape(a, b, input, alpha, beta)
        y = _matmul(a, b)
        return y if alpha == 1 else y * (alpha if a.dtype.is_floating_point else int(alpha))
    return _addmm(a, b, input, alpha, beta)


@function(methods=("addmm",), inplace=True)
def addmm(
    input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1, out: Tensor | None = None
) -> Tensor:
    """`beta * input + alpha * (mat1 @ mat2)`."""
    _expect_dims("addmm", mat1=(mat1, 2), mat2=(mat2, 2))
    return deliver(_add_product(input, mat1, mat2, beta, alpha), out)


@function(methods=("baddbmm",), inplace=True)
def baddbmm(
    input: Tensor,
    batch1: Tensor,
    batch2: Tensor,
    *,
    beta: float = 1,
    alpha: float = 1,
    out: Tensor | None = None,
) -> Tensor:
    """`beta * input + alpha * (batch1 @ batch2)` for batches of matrices."""
    _expect_dims("baddbmm", batch1=(batch1, 3), batch2=(batch2, 3))
    if batch1.shape[0] != batch2.shape[0]:
        raise ShapeError(
            f"baddbmm: batches differ: batch1 has shape {tuple(batch1.shape)}, batch2 has shape {tuple(batch2.shape)}"
        )
    return deliver(_add_product(input, batch1, batch2, beta, alpha), out)


def _addbmm_in_place(
    self: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """In-place form of addbmm; a tensor that broadcasts to the product takes its shape, as in torch."""
    check_writable(self, "addbmm_")
    result = addbmm(self, batch1, batch2, beta=beta, alpha=alpha)
    if not can_cast(result.dtype, self.dtype):
        raise DTypeError(f"addbmm_: result type {result.dtype.name} can't be cast to the desired output type {self.dtype.name}")
    if result.shape != self.shape:
        self.resize_(result.shape)
    return overwrite(self, result, "addbmm_")


@function(methods=("addbmm",), inplace=_addbmm_in_place)
def addbmm(
    input: Tensor,
    batch1: Tensor,
    batch2: Tensor,
    *,
    beta: float = 1,
    alpha: float = 1,
    out: Tensor | None = None,
) -> Tensor:
    """`beta * input + alpha * (sum of the products of all pairs)`."""
    _expect_dims("addbmm", batch1=(batch1, 3), batch2=(batch2, 3))
    if batch1.shape[0] != batch2.shape[0] or batch1.shape[2] != batch2.shape[1]:
        raise ShapeError(
            f"addbmm: batch1 of shape {tuple(batch1.shape)} and batch2 of shape {tuple(batch2.shape)} do not fit"
        )
    left = batch1.transpose(0, 1).reshape(batch1.shape[1], -1)
    return deliver(_add_product(input, left, batch2.reshape(-1, batch2.shape[2]), beta, alpha), out)


@function(methods=("addmv",), inplace=True)
def addmv(
    input: Tensor, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1, out: Tensor | None = None
) -> Tensor:
    """`beta * input + alpha * (mat @ vec)`."""
    _expect_dims("addmv", mat=(mat, 2), vec=(vec, 1))
    column = input.unsqueeze(-1)
    return deliver(_add_product(column, mat, vec.unsqueeze(1), beta, alpha).squeeze(1), out)


@function(methods=("addr",), inplace=True, apart=True)
def addr(
    input: Tensor, vec1: Tensor, vec2: Tensor, *, beta: float = 1, alpha: float = 1, out: Tensor | None = None
) -> Tensor:
    """`beta * input + alpha * outer(vec1, vec2)`."""
    _expect_dims("addr", vec1=(vec1, 1), vec2=(vec2, 1))
    if input.dtype is vec1.dtype is vec2.dtype is bool_:
        product = vec1.unsqueeze(1) & vec2.unsqueeze(0) & bool(alpha)
        return deliver(product | input if beta else product, out)
    return deliver(_add_product(input, vec1.unsqueeze(1), vec2.unsqueeze(0), beta, alpha), out)
