"""Attention over chosen rows: each query names the rows that it sees, and all its heads share them, as keys and as values.

One kernel forward and one backward; where a device has none, and for further derivatives, the formula in plain ops."""

from __future__ import annotations

import math

from ascendlite.core import DType, Op, Tensor, arange, float32, float64, function, int32, int64, is_grad_enabled, no_grad, zeros
from ascendlite.errors import DTypeError, ShapeError
from ascendlite.ops.movement import cat
from ascendlite.ops.softmax import softmax

__all__ = ["sparse_attention", "sparse_attention_mass"]

_AT_ONCE = 1 << 24  # elements of gathered rows that the formula in plain ops holds at a time


def _joined(rows: Tensor, entries: Tensor | None) -> Tensor:
    return rows if entries is None else cat([rows, entries], 1)


def _accumulator(q: Tensor) -> DType:
    return float64 if q.dtype == float64 else float32


def _gathered(table: Tensor, index: Tensor) -> Tensor:
    """table[b, index[b, t, s]]: (B, N, D) and (B or 1, T, S) to (B, T, S, D)."""
    B, N, D = table.shape
    T, S = index.shape[1:]
    base = arange(B, device=table.device).reshape(B, 1, 1) * N
    flat = (index.clamp(min=0) + base).reshape(-1)
    return table.reshape(B * N, D).index_select(0, flat).reshape(B, T, S, D)


def _weights(q: Tensor, seen: Tensor, index: Tensor, sinks: Tensor | None, scale: float) -> Tensor:
    """(B, T, H, S): the softmax over what is seen and the sink, whose share is left out."""
    B, T, H, _ = q.shape
    hidden = (index < 0).unsqueeze(2)
    scores = (q @ seen.transpose(-2, -1) * scale).masked_fill(hidden, -math.inf)
    sink = zeros(H, dtype=q.dtype, device=q.device) - math.inf if sinks is None else sinks.to(q.dtype)
    scores = cat([sink.reshape(1, 1, H, 1).expand(B, T, H, 1), scores], -1)
    if sinks is None:  # a query that sees nothing gives zeros
        dead = (index < 0).all(-1).reshape(-1, T, 1, 1)
        return softmax(scores.masked_fill(dead, 0.0), -1)[..., 1:].masked_fill(dead, 0.0)
    return softmax(scores, -1)[..., 1:]


def _runs(q: Tensor, index: Tensor, width: int) -> list[tuple[Tensor, Tensor]]:
    """Queries and their index in runs, so that few rows are held at a time."""
    step = max(1, _AT_ONCE // max(1, q.shape[0] * index.shape[2] * width))
    return [(q[:, i : i + step], index[:, i : i + step]) for i in range(0, q.shape[1], step)]


def _composite(q: Tensor, table: Tensor, index: Tensor, sinks: Tensor | None, scale: float) -> Tensor:
    parts = []
    for some, picks in _runs(q, index, table.shape[2]):
        seen = _gathered(table, picks).to(_accumulator(q))
        parts.append((_weights(some.to(seen.dtype), seen, picks, sinks, scale) @ seen).to(q.dtype))
    return parts[0] if len(parts) == 1 else cat(parts, 1)


def _mass_composite(q: Tensor, table: Tensor, index: Tensor, sinks: Tensor | None, scale: float) -> Tensor:
    parts = []
    for some, picks in _runs(q, index, table.shape[2]):
        seen = _gathered(table, picks).to(_accumulator(q))
        parts.append(_weights(some.to(seen.dtype), seen, picks, sinks, scale).sum(2))
    return parts[0] if len(parts) == 1 else cat(parts, 1)


def _check(op: str, q: Tensor, rows: Tensor, index: Tensor, entries: Tensor | None, sinks: Tensor | None) -> None:
    if q.ndim != 4 or rows.ndim != 3 or index.ndim != 3:
        raise ShapeError(
            f"{op}: query, rows and index have the shapes {tuple(q.shape)}, {tuple(rows.shape)} and {tuple(index.shape)}; "
            "they must be (B, T, H, D), (B, N, D) and (B, T, S)"
        )
    if not q.dtype.is_floating_point:
        raise DTypeError(f"{op}: not implemented for dtype {q.dtype}; cast to a float dtype first")
    if index.dtype not in (int32, int64):
        raise DTypeError(f"{op}: index must be int32 or int64, but it is {index.dtype}; cast it")
    B, T, H, D = q.shape
    for name, t in (("rows", rows), ("entries", entries)):
        if t is not None and (t.ndim != 3 or t.shape[0] != B or t.shape[2] != D or t.dtype != q.dtype):
            raise ShapeError(
                f"{op}: {name} are {t.dtype} of shape {tuple(t.shape)} for a query that is {q.dtype} of shape {tuple(q.shape)}; "
                f"they must be {q.dtype}, ({B}, rows, {D})"
            )
    if index.shape[0] not in (1, B) or index.shape[1] != T:
        raise ShapeError(f"{op}: index has the shape {tuple(index.shape)} for a query of shape {tuple(q.shape)}; it must be ({B} or 1, {T}, S)")
    if sinks is not None and tuple(sinks.shape) != (H,):
        raise ShapeError(f"{op}: sinks have the shape {tuple(sinks.shape)} for {H} heads; it must be ({H},)")


# ---- the records ----


def _shapes(q, rows, entries, index, sinks, scale):
    return [q, (q.shape[:3], _accumulator(q))]


def _gradient_shapes(g, q, rows, entries, index, sinks, y, lse, scale):
    gone = ((0, 0, q.shape[3]), q.dtype)
    return [q, rows, gone if entries is None else entries, ((q.shape[2],), _accumulator(q))]


def _gradients(g, y, q, rows, entries, index, sinks, scale, *, needs):
    if g[0] is None:
        return None, None, None, None, None
    if is_grad_enabled():
        return _plain_gradients(g[0], q, rows, entries, index, sinks, scale)
    dq, drows, dentries, dsinks = _backward(g[0], q, rows, entries, index, sinks, y[0], y[1], scale)
    return dq, drows, None if entries is None else dentries, None, None if sinks is None else dsinks


def _plain_gradients(g, q, rows, entries, index, sinks, scale):
    """What the fused backward computes, in ops that have gradients themselves."""
    table = _joined(rows, entries).to(_accumulator(q))
    seen = _gathered(table, index)
    g, wide = g.to(seen.dtype), q.to(seen.dtype)
    p = _weights(wide, seen, index, sinks, scale)
    slope = g @ seen.transpose(-2, -1)
    delta = (p * slope).sum(-1, keepdim=True)  # (B, T, H, 1)
    slope = p * (slope - delta)
    dseen = slope.transpose(-2, -1) @ wide * scale + p.transpose(-2, -1) @ g
    B, N, D = table.shape
    flat = (index.clamp(min=0) + arange(B, device=q.device).reshape(B, 1, 1) * N).reshape(-1)
    dtable = zeros(B * N, D, dtype=seen.dtype, device=q.device).index_add(0, flat, dseen.reshape(-1, D)).reshape(B, N, D)
    count = rows.shape[1]
    dentries = None if entries is None else dtable[:, count:]
    dsinks = None if sinks is None else ((p.sum(-1, keepdim=True) - 1) * delta).sum((0, 1, 3))
    return (slope @ seen * scale).to(q.dtype), dtable[:, :count], dentries, None, dsinks


def _cost(q, rows, entries, index, sinks, scale):
    return 4 * q.numel() * index.shape[2]


_attention = Op("sparse_attention", inputs=5, infer=_shapes, vjp_all=_gradients, cost=_cost)
_backward = Op("sparse_attention_backward", inputs=8, infer=_gradient_shapes, cost=lambda g, q, rows, entries, index, *rest: 10 * q.numel() * index.shape[2])
_mass = Op("sparse_attention_mass", inputs=5, infer=lambda q, rows, entries, index, sinks, scale: (
    (*q.shape[:2], index.shape[2]), _accumulator(q)), cost=lambda *x: _cost(*x) // 2)  # fmt: skip


# Devices that run an op by kernels of their own; elsewhere it is the formula in plain ops.
_FUSED = {"sparse_attention": ("cpu", "meta", "npu"), "sparse_attention_mass": ("cpu", "meta")}


def _fused(op: Op, q: Tensor) -> bool:
    return q.device.type in _FUSED[op.name]


@function(toplevel=False)
def sparse_attention(
    query: Tensor, rows: Tensor, index: Tensor, *, entries: Tensor | None = None, sinks: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """Attention of query, (B, T, H, D), to the rows that index, (B or 1, T, S), names for each place: (B, T, H, D).

    A row, (B, N, D), is key and value of all heads. Numbers from N on name `entries`, (B, E, D); negative ones name nothing, wherever
    they stand. `sinks`: a logit for each head that joins the softmax's denominator only. A query that sees no row gives zeros. The
    scale is D ** -0.5 unless given.

    >>> x = al.randn(1, 5, 8)
    >>> al.nn.functional.sparse_attention(x.unsqueeze(2), x, al.tensor([[[0], [0], [1], [2], [3]]])).shape
    (1, 5, 1, 8)
    """
    _check("sparse_attention", query, rows, index, entries, sinks)
    factor = query.shape[-1] ** -0.5 if scale is None else float(scale)
    sinks = None if sinks is None else sinks.to(_accumulator(query))
    if _fused(_attention, query):
        return _attention(query, rows, entries, index, sinks, factor)[0]
    return _composite(query, _joined(rows, entries), index, sinks, factor)


@function(toplevel=False)
def sparse_attention_mass(
    query: Tensor, rows: Tensor, index: Tensor, *, entries: Tensor | None = None, sinks: Tensor | None = None, scale: float | None = None
) -> Tensor:
    """What `sparse_attention` weighs each named row with, summed over the heads: (B, T, S), float32 or wider, without gradient."""
    _check("sparse_attention_mass", query, rows, index, entries, sinks)
    factor = query.shape[-1] ** -0.5 if scale is None else float(scale)
    sinks = None if sinks is None else sinks.to(_accumulator(query))
    with no_grad():
        if _fused(_mass, query):
            return _mass(query, rows, entries, index, sinks, factor)
        return _mass_composite(query, _joined(rows, entries), index, sinks, factor)
