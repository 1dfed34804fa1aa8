"""Factorizations of batches of matrices, computed by NumPy's LAPACK; their gradients are formulas in our own ops.

The formulas are those of M. Giles, "Collected matrix derivative results for forward and reverse mode AD" (2008), and, for QR, of
S. Walter and L. Lehmann, "Algorithmic differentiation of linear algebra functions" (2010).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np

from ascendlite.autograd.function import Function, FunctionCtx
from ascendlite.core import FUNCTIONS, Device, DType, Tensor, deliver, empty, from_numpy, zeros_like
from ascendlite.core.registry import OTHER_NAMES, RUNS_ARRAYS
from ascendlite.errors import DeviceError, DTypeError, ShapeError
from ascendlite.ops.create import eye

F = TypeVar("F", bound=Callable[..., Any])


class LinAlgError(RuntimeError, np.linalg.LinAlgError):
    """A matrix that the algorithm can't treat: singular, not positive definite, or no convergence."""


class QR(NamedTuple):
    """Q with orthonormal columns, R upper triangular."""

    Q: Tensor
    R: Tensor


class SVD(NamedTuple):
    """A = U diag(S) Vh, the singular values in S from large to small."""

    U: Tensor
    S: Tensor
    Vh: Tensor


class Eigh(NamedTuple):
    """Eigenvalues from small to large, and the eigenvectors as columns."""

    eigenvalues: Tensor
    eigenvectors: Tensor


def check_matrices(op: str, x: Tensor, *, square: bool = False) -> Tensor:
    """x, if it is a batch of float32 or float64 matrices."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{op}(): argument 'A' must be Tensor, not {type(x).__name__}")
    if x.ndim < 2:
        raise ShapeError(f"{op}: The input tensor A must have at least 2 dimensions; got shape {tuple(x.shape)}")
    if square and x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"{op}: A must be batches of square matrices, but they are {x.shape[-2]} by {x.shape[-1]} matrices")
    if x.dtype.name not in ("float32", "float64"):
        raise DTypeError(f"{op}: not implemented for dtype {x.dtype.name}; cast to float32 or float64 first")
    return x


def on_host(
    op: str, run: Callable[..., Any], shapes: tuple[tuple[int, ...], ...], *inputs: Tensor, dtypes: tuple[DType, ...] | None = None
) -> tuple[Tensor, ...]:
    """`run` on the inputs as arrays, its results (of those shapes, and dtypes unless they are the input's) as tensors. A device that runs
    arrays does so itself; on `meta` there are shapes only."""
    device = check_one_device(op, inputs)
    dtypes = dtypes or (inputs[0].dtype,) * len(shapes)

    def arrays(*given: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], ...]:
        results = run(*given)
        return tuple(np.asarray(r) for r in (results if isinstance(results, tuple) else (results,)))

    try:
        if device.type == "cpu":
            results = arrays(*(x.detach().numpy() for x in inputs))
            return tuple(from_numpy(np.array(r, dtype=d.name, order="C")) for r, d in zip(results, dtypes, strict=True))
        outputs = tuple(empty(*s, dtype=d, device=device) for s, d in zip(shapes, dtypes, strict=True))
        if run_arrays := RUNS_ARRAYS.get(device.type):
            run_arrays(op, arrays, outputs, inputs)
    except np.linalg.LinAlgError as error:
        raise LinAlgError(f"{op}: {error}; shape {tuple(inputs[0].shape)}") from None
    return outputs


def check_one_device(op: str, inputs: tuple[Tensor, ...]) -> Device:
    """The device of all inputs."""
    device = inputs[0].device
    for x in inputs[1:]:
        if x.device != device:
            raise DeviceError(f"{op}: expected all tensors to be on the same device, but found '{device}' and '{x.device}'; move one of them with .to()")
    return device


def delivers(fn: F) -> F:
    """`fn`, whose results are written into its argument `out` where that is given; NumPy's names of dims are taken, too."""

    @functools.wraps(fn)
    def run(*args: Any, out: Any = None, **options: Any) -> Any:
        for name, other in OTHER_NAMES.items():
            if other in options:
                options[name] = options.pop(other)
        result = fn(*args, **options)
        return result if out is None else deliver(result, out)

    return cast(F, run)


def diag(x: Tensor) -> Tensor:
    """The vectors of the last dim as diagonal matrices."""
    result: Tensor = FUNCTIONS["diag_embed"](x)
    return result


def symmetric(x: Tensor) -> Tensor:
    """The symmetric part of each matrix."""
    return (x + x.mT) * 0.5


class Inverse(Function):
    """Y = A^-1: dA = -Y^T dY Y^T."""

    @staticmethod
    def forward(ctx: FunctionCtx, op: str, a: Tensor) -> Tensor:
        (y,) = on_host(op, np.linalg.inv, (tuple(a.shape),), a)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: FunctionCtx, g: Tensor) -> tuple[Any, ...]:
        (y,) = ctx.saved_tensors
        assert y is not None
        return None, -(y.mT @ g @ y.mT)


class Solve(Function):
    """X = A^-1 B of equal batches: dB = A^-T dX, dA = -dB X^T."""

    @staticmethod
    def forward(ctx: FunctionCtx, op: str, a: Tensor, b: Tensor) -> Tensor:
        (x,) = on_host(op, np.linalg.solve, (tuple(b.shape),), a, b)
        ctx.save_for_backward(a, x)
        return x

    @staticmethod
    def backward(ctx: FunctionCtx, g: Tensor) -> tuple[Any, ...]:
        a, x = ctx.saved_tensors
        assert a is not None and x is not None
        gb = Solve.apply("solve", a.mT, g)
        return None, -(gb @ x.mT), gb


class Cholesky(Function):
    """A = L L^T: dA = sym(L^-T phi(L^T dL) L^-1), where phi halves the diagonal of the lower triangle."""

    @staticmethod
    def forward(ctx: FunctionCtx, a: Tensor) -> Tensor:
        (y,) = on_host("cholesky", np.linalg.cholesky, (tuple(a.shape),), a)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: FunctionCtx, g: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        assert y is not None
        product = (y.mT @ g).tril()
        phi = product - 0.5 * diag(product.diagonal(0, -2, -1))
        middle = Solve.apply("cholesky", y.mT, phi)
        return symmetric(Solve.apply("cholesky", y.mT, middle.mT).mT)


def gaps(x: Tensor) -> Tensor:
    """1 / (x_j - x_i), with zeros on the diagonal. Equal values have no gradient of vectors: it becomes infinite, as in torch."""
    n = x.shape[-1]
    one = eye(n, dtype=x.dtype, device=x.device)
    return (1 - one) / (x.unsqueeze(-2) - x.unsqueeze(-1) + one)


class EighFunction(Function):
    """A = V diag(w) V^T: dA = V (diag(dw) + sym-part of V^T dV times the gaps) V^T."""

    @staticmethod
    def forward(ctx: FunctionCtx, a: Tensor) -> tuple[Tensor, Tensor]:
        w, v = on_host("eigh", lambda x: tuple(np.linalg.eigh(x)), (tuple(a.shape[:-1]), tuple(a.shape)), a)
        ctx.save_for_backward(w, v)
        return w, v

    @staticmethod
    def backward(ctx: FunctionCtx, gw: Tensor, gv: Tensor) -> Tensor:
        w, v = ctx.saved_tensors
        assert w is not None and v is not None
        return symmetric(v @ (diag(gw) + (v.mT @ gv) * gaps(w)) @ v.mT)


class SVDFunction(Function):
    """A = U diag(s) V^T; gradients are of the reduced form: the real case of Giles, section 5.3, written with skew parts."""

    @staticmethod
    def forward(ctx: FunctionCtx, a: Tensor, full: bool) -> tuple[Tensor, Tensor, Tensor]:
        *batch, m, n = a.shape
        k = min(m, n)
        shapes = ((*batch, m, m if full else k), (*batch, k), (*batch, n if full else k, n))
        u, s, vh = on_host("svd", lambda x: tuple(np.linalg.svd(x, full_matrices=full)), shapes, a)
        ctx.save_for_backward(u, s, vh)
        ctx.set_materialize_grads(False)
        return u, s, vh

    @staticmethod
    def backward(ctx: FunctionCtx, gu: Tensor | None, gs: Tensor | None, gvh: Tensor | None) -> tuple[Tensor, None]:
        u, s, vh = ctx.saved_tensors
        assert u is not None and s is not None and vh is not None
        k = s.shape[-1]
        gs = zeros_like(s) if gs is None else gs
        if gu is None and gvh is None:  # of the values alone: it holds for equal ones and for zeros too
            return (u[..., :k] * gs.unsqueeze(-2)) @ vh[..., :k, :], None
        gu, gvh = zeros_like(u) if gu is None else gu, zeros_like(vh) if gvh is None else gvh
        u, vh, gu, gvh = u[..., :k], vh[..., :k, :], gu[..., :k], gvh[..., :k, :]
        v, gv = vh.mT, gvh.mT
        ut_gu, vt_gv = u.mT @ gu, v.mT @ gv
        e = gaps(s * s)
        row, column = s.unsqueeze(-2), s.unsqueeze(-1)
        middle = (e * (ut_gu - ut_gu.mT)) * row + column * (e * (vt_gv - vt_gv.mT)) + diag(gs)
        result = u @ middle @ vh
        if u.shape[-2] > s.shape[-1]:
            result = result + (gu - u @ ut_gu) / row @ vh
        if v.shape[-2] > s.shape[-1]:
            result = result + u @ ((gv - v @ vt_gv) / row).mT
        return result, None


class QRFunction(Function):
    """A = Q R, reduced, of matrices with at least as many rows as columns."""

    @staticmethod
    def forward(ctx: FunctionCtx, a: Tensor) -> tuple[Tensor, Tensor]:
        *batch, m, n = a.shape
        k = min(m, n)
        q, r = on_host("qr", lambda x: tuple(np.linalg.qr(x)), ((*batch, m, k), (*batch, k, n)), a)
        ctx.save_for_backward(q, r)
        return q, r

    @staticmethod
    def backward(ctx: FunctionCtx, gq: Tensor, gr: Tensor) -> Tensor:
        q, r = ctx.saved_tensors
        assert q is not None and r is not None
        m = r @ gr.mT - gq.mT @ q
        lower = m.tril(-1)
        copied = lower + lower.mT + diag(m.diagonal(0, -2, -1))
        result: Tensor = Solve.apply("qr", r, (gq + q @ copied).mT).mT
        return result
