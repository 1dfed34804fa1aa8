"""Scaled dot-product attention: a fused kernel forward and backward that never holds the scores; further derivatives, dropout and
the gradient of a mask go through the formula in plain ops."""

from __future__ import annotations

import math
from typing import NamedTuple

from ascendlite.core import (
    Device,
    Op,
    Tensor,
    arange,
    broadcast_shapes,
    float32,
    float64,
    function,
    is_grad_enabled,
)
from ascendlite.core import (
    bool as bool_dtype,
)
from ascendlite.errors import ArgumentError, DTypeError, ShapeError
from ascendlite.ops.movement import cat
from ascendlite.ops.random import dropout
from ascendlite.ops.rope import rope, rope_tables
from ascendlite.ops.softmax import softmax

__all__ = ["rope", "rope_tables", "scaled_dot_product_attention"]

_INF = math.inf


# ---- the formula in plain ops, with the heads of q in groups: (B, G, R, L, E) ----


class Grouped(NamedTuple):
    """Operands of attention with the heads of q in groups."""

    q: Tensor
    k: Tensor
    v: Tensor
    mask: Tensor | None
    sinks: Tensor | None


def group_heads(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, sinks: Tensor | None) -> Grouped:
    """q as (B, G, R, L, E), k and v as (B, G, 1, S, E)."""
    B, H, L, E = q.shape
    G = k.shape[1]
    R = H // G
    return Grouped(
        q.reshape(B, G, R, L, E),
        k.unsqueeze(2),
        v.unsqueeze(2),
        None if mask is None else mask.reshape(B, G, R, L, k.shape[2]),
        None if sinks is None else sinks.reshape(1, G, R, 1, 1).expand(B, G, R, L, 1).to(q.dtype),
    )


def visible(L: int, S: int, causal: bool, window: int, device: Device | None = None) -> Tensor | None:
    """Which keys each query sees, (L, S); None: all."""
    if not causal and not window:
        return None
    i, j = arange(L, device=device).unsqueeze(1), arange(S, device=device)
    near = j > i - window if window else None
    if not causal:
        return near
    return j <= i if near is None else (j <= i).logical_and(near)


def _weights(x: Grouped, causal: bool, window: int, scale: float) -> tuple[Tensor, Tensor | None]:
    """The softmax over the keys, and what of it the sink takes."""
    s = (x.q @ x.k.transpose(-2, -1)) * scale
    if x.mask is not None:
        s = s.masked_fill(x.mask.logical_not(), -_INF) if x.mask.dtype == bool_dtype else s + x.mask
    seen = visible(s.shape[-2], s.shape[-1], causal, window, s.device)
    if seen is not None:
        s = s.masked_fill(seen.logical_not(), -_INF)
    if x.sinks is not None:
        p = softmax(cat([s, x.sinks], -1), -1)
        return p[..., :-1], p[..., -1:]
    if x.mask is None and not window:
        return softmax(s, -1), None
    dead = (s == -_INF).all(-1, keepdim=True)  # a query that sees nothing: zeros, not NaN
    return softmax(s.masked_fill(dead, 0.0), -1).masked_fill(dead, 0.0), None


def _composite(q, k, v, mask, sinks, causal, window, scale, dropout_p):
    x = group_heads(q, k, v, mask, sinks)
    p, _ = _weights(x, causal, window, scale)
    if dropout_p > 0:
        p = dropout(p, dropout_p, True)
    y = p @ x.v
    return y.reshape(q.shape[0], q.shape[1], q.shape[2], v.shape[3])


def _composite_gradients(g, q, k, v, mask, sinks, causal, window, scale, needs):
    """What the fused backward computes, in ops that have gradients themselves. g is (B, H, L, V)."""
    x = group_heads(q, k, v, mask, sinks)
    p, p_sink = _weights(x, causal, window, scale)
    g = g.reshape(*x.q.shape[:4], v.shape[3])
    slope = g @ x.v.transpose(-2, -1)
    delta = (p * slope).sum(-1, keepdim=True)
    slope = p * (slope - delta)
    dq = ((slope @ x.k) * scale).reshape(q.shape)
    dk = ((slope.transpose(-2, -1) @ x.q) * scale).sum(2)
    dv = (p.transpose(-2, -1) @ g).sum(2)
    dmask = slope.reshape(mask.shape) if needs[3] else None
    dsinks = (p_sink * delta).sum((0, 3, 4)).reshape(-1).neg() if needs[4] else None
    return dq, dk, dv, dmask, dsinks


# ---- the records ----


def _shapes(q, k, v, mask, sinks, causal, window, scale):
    B, H, L, _ = q.shape
    return [((B, L, H, v.shape[3]), q.dtype), ((B, H, L), float64 if q.dtype == float64 else float32)]


def _gradients(g, y, q, k, v, mask, sinks, causal, window, scale, *, needs):
    out, lse = y
    if g[0] is None:
        return None, None, None, None, None
    if is_grad_enabled() or needs[3]:
        return _composite_gradients(g[0].transpose(1, 2), q, k, v, mask, sinks, causal, window, scale, needs)
    dq, dk, dv, dsinks = _backward(g[0], q, k, v, mask, sinks, out, lse, causal, window, scale)
    return dq.transpose(1, 2), dk.transpose(1, 2), dv.transpose(1, 2), None, dsinks if needs[4] else None


def _gradient_shapes(g, q, k, v, mask, sinks, out, lse, causal, window, scale):
    B, H, L, E = q.shape
    G, S, V = k.shape[1], k.shape[2], v.shape[3]
    return [((B, L, H, E), q.dtype), ((B, S, G, E), k.dtype), ((B, S, G, V), v.dtype), ((H,), lse.dtype)]


def _cost(q, k, v, *rest):
    B, H, L, E = q.shape
    return 2 * B * H * L * k.shape[2] * (E + v.shape[3])


# Results are (B, L, H, V): what comes after joins the heads, and does not copy then.
_attention = Op(
    "attention", inputs=5, infer=_shapes, vjp_all=_gradients, contiguous=False, cost=_cost, cast="low"
)
_backward = Op(
    "attention_backward",
    inputs=8,
    infer=_gradient_shapes,
    contiguous=False,
    cost=lambda g, *rest: 5 * _cost(*rest[:3]) // 2,
)


# ---- the public function ----


def _plain(q: Tensor, k: Tensor, v: Tensor, enable_gqa: bool) -> bool:
    """Whether these are (B, H, rows, features) and fit as they are: nothing to check, to broadcast or to reshape."""
    a, b, c, dtype = q.shape, k.shape, v.shape, q.dtype
    return (
        len(a) == len(b) == len(c) == 4
        and a[3] == b[3] > 0
        and b[:3] == c[:3]
        and a[0] == b[0]
        and (a[1] == b[1] or (enable_gqa and b[1] > 0 and a[1] % b[1] == 0))
        and k.dtype is dtype
        and v.dtype is dtype
        and dtype.is_floating_point
    )


def _factor(query: Tensor, scale: float | None) -> float:
    size = query.shape[-1]
    return float(scale) if scale is not None else 1.0 / math.sqrt(size) if size else 1.0


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, factor: float) -> Tensor:
    """(B, H, L, V) of operands that fit."""
    (B, H, L, E), (_, G, S, _) = q.shape, k.shape
    if L > 1 or causal or H == G or q.device.type == "cpu":
        return _attention(q, k, v, mask, None, causal, 0, factor)[0].transpose(1, 2)
    # One query of each head: those of a group become rows of one problem, so that their keys are packed once. The CPU's kernel does so itself.
    grouped = None if mask is None else mask.reshape(B, G, H // G, S)
    y = _attention(q.reshape(B, G, H // G, E), k, v, grouped, None, False, 0, factor)[0]  # (B, R, G, V)
    return y.transpose(1, 2).reshape(B, H, 1, v.shape[3])


def _shapes_text(q: Tensor, k: Tensor, v: Tensor) -> str:
    return f"query {tuple(q.shape)}, key {tuple(k.shape)}, value {tuple(v.shape)}"


def _check(q: Tensor, k: Tensor, v: Tensor, enable_gqa: bool) -> None:
    if min(q.ndim, k.ndim, v.ndim) < 2:
        raise ShapeError(
            f"scaled_dot_product_attention: tensors of at least 2 dims expected, but got {_shapes_text(q, k, v)}"
        )
    if q.dtype != k.dtype or q.dtype != v.dtype:
        raise DTypeError(
            f"scaled_dot_product_attention: query, key and value must have the same dtype, but got {q.dtype}, {k.dtype} and {v.dtype}"
        )
    if not q.dtype.is_floating_point:
        raise DTypeError(
            f"scaled_dot_product_attention: not implemented for dtype {q.dtype}; cast to a float dtype first"
        )
    q_shape, k_shape, v_shape = q.shape, k.shape, v.shape
    if q_shape[-1] != k_shape[-1] or k_shape[-2] != v_shape[-2]:
        raise ShapeError(
            "scaled_dot_product_attention: query and key must have the same last dim, key and value the same length, "
            f"but got {_shapes_text(q, k, v)}"
        )
    if enable_gqa and (
        min(q.ndim, k.ndim, v.ndim) < 3
        or k_shape[-3] != v_shape[-3]
        or not k_shape[-3]
        or q_shape[-3] % k_shape[-3]
    ):
        raise ShapeError(
            "scaled_dot_product_attention: the heads of query must be a multiple of those of key and value, "
            f"but got {_shapes_text(q, k, v)}"
        )


def _four(x: Tensor, lead: tuple[int, ...]) -> Tensor:
    """x with leading dims `lead`, as (B, H, rows, cols)."""
    tail = tuple(x.shape[-2:])
    if tuple(x.shape[:-2]) != lead:
        x = x.expand(*lead, *tail)
    if len(lead) == 2:
        return x
    return x.unsqueeze(-3).reshape(-1, 1, *tail) if len(lead) < 2 else x.reshape(-1, lead[-1], *tail)


def _leads(q: Tensor, k: Tensor, v: Tensor, enable_gqa: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Leading dims of q and of k and v after broadcasting: they differ in the heads, when these come in groups."""
    q_lead, k_lead, v_lead = tuple(q.shape[:-2]), tuple(k.shape[:-2]), tuple(v.shape[:-2])
    if q_lead == k_lead == v_lead:
        return q_lead, k_lead
    try:
        if enable_gqa:
            batch = broadcast_shapes(q_lead[:-1], k_lead[:-1], v_lead[:-1])
            return (*batch, q_lead[-1]), (*batch, k_lead[-1])
        lead = broadcast_shapes(q_lead, k_lead, v_lead)
    except RuntimeError:
        raise ShapeError(
            f"scaled_dot_product_attention: leading dims do not broadcast: query {tuple(q.shape)}, key {tuple(k.shape)}, "
            f"value {tuple(v.shape)}; for fewer heads of key and value pass enable_gqa=True"
        ) from None
    return lead, lead


def _mask(mask: Tensor | None, lead: tuple[int, ...], L: int, S: int) -> Tensor | None:
    if mask is None:
        return None
    if mask.dtype != bool_dtype and not mask.dtype.is_floating_point:
        raise DTypeError(
            f"scaled_dot_product_attention: attn_mask must be bool (True: attend) or float (added), but it is {mask.dtype}"
        )
    try:
        return _four(mask.expand(*lead, L, S), lead)
    except RuntimeError:
        raise ShapeError(
            f"scaled_dot_product_attention: attn_mask of shape {tuple(mask.shape)} does not broadcast to {(*lead, L, S)}"
        ) from None


@function(toplevel=False)
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    *,
    sinks: Tensor | None = None,
    window: int | None = None,
) -> Tensor:
    """softmax(query @ key.T * scale + mask) @ value, over (..., heads, length, features).

    `is_causal`: query i sees keys 0 to i. `window`: it sees no key before i - window + 1. `sinks`: a logit for each head that joins
    the softmax's denominator only. A query that sees no key gives zeros. `enable_gqa`: groups of query heads share a head of key and value.
    """
    bare = attn_mask is None and sinks is None and window is None and dropout_p == 0
    if bare and _plain(query, key, value, enable_gqa):
        return _attend(query, key, value, None, bool(is_causal), _factor(query, scale))
    _check(query, key, value, enable_gqa)
    if attn_mask is not None and is_causal:
        raise ArgumentError(
            "scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True; give one of them"
        )
    if window is not None and window < 1:
        raise ArgumentError(f"scaled_dot_product_attention: window is {window}; it must be at least 1")
    if not 0 <= dropout_p <= 1:
        raise ArgumentError(
            f"scaled_dot_product_attention: dropout probability has to be between 0 and 1, but got {dropout_p}"
        )
    lead, kv_lead = _leads(query, key, value, enable_gqa)
    L, S = query.shape[-2], key.shape[-2]
    heads = lead[-1] if len(lead) > 1 else 1
    if sinks is not None and tuple(sinks.shape) != (heads,):
        raise ShapeError(
            f"scaled_dot_product_attention: sinks has shape {tuple(sinks.shape)} for {heads} heads; it must be ({heads},)"
        )
    q, k, v = _four(query, lead), _four(key, kv_lead), _four(value, kv_lead)
    mask = _mask(attn_mask, lead, L, S)
    factor = _factor(query, scale)
    if dropout_p > 0:
        y = _composite(q, k, v, mask, sinks, bool(is_causal), window or 0, factor, dropout_p)
    elif sinks is None and not window:
        y = _attend(q, k, v, mask, bool(is_causal), factor)
    else:
        y = _attention(q, k, v, mask, sinks, bool(is_causal), window or 0, factor)[0].transpose(1, 2)
    return y if len(lead) == 2 else y.reshape(*lead, L, value.shape[-1])
