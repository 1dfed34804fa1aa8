"""Ops that run as other ops of the device: what the table calls composites. They know layouts and formulas, no instruction."""

from __future__ import annotations

import math
from typing import Any, Final

from ascendlite.core import Tensor, _core, no_grad
from ascendlite.npu.kernels import COMPOSITES, kernel_for, products
from ascendlite.ops.attention import Grouped, group_heads, visible

Tensors = tuple[Any, ...]
COMPOSITES.update(("cat", "pad_constant"))
_FLOAT32: Final = _core.DTYPE_NAMES["float32"]


def _deliver(outputs: Tensors, results: Tensors) -> None:
    for out, result in zip(outputs, results, strict=True):
        if result is not None:
            out.detach().copy_(result.reshape(out.shape))


def detached(tensors: Tensors) -> list[Any]:
    """The operands without their history."""
    return [None if t is None else t.detach() for t in tensors]


def _wide_product(a: Tensor, b: Tensor) -> Tensor:
    """a b with the sums as they come from the accumulator: float32."""
    batch = _core.broadcast_shapes(tuple(a.shape[:-2]), tuple(b.shape[:-2]))
    out: Tensor = _core.empty((*batch, a.shape[-2], b.shape[-1]), dtype=_FLOAT32, device=a.device)
    if out.numel() and products.multiply(out, a, b) is NotImplemented:
        out.copy_(a @ b)
    return out


def _scores(x: Grouped, causal: bool, window: int, scale: float) -> Tensor:
    """Scaled and masked scores in float32, (B, G, R, L, S)."""
    s = _wide_product(x.q, x.k.transpose(-2, -1)) * scale
    if x.mask is not None:
        s = s.masked_fill(x.mask.logical_not(), -math.inf) if x.mask.dtype.name == "bool" else s + x.mask.to(_FLOAT32)
    seen = visible(s.shape[-2], s.shape[-1], causal, window, s.device)
    return s if seen is None else s.masked_fill(seen.logical_not(), -math.inf)


def attention(outputs: Tensors, inputs: Tensors, attrs: Tensors) -> Any:
    """Scores, softmax and sum as three steps; the scores are held. A query that sees nothing gives zeros."""
    causal, window, scale = attrs[:3]
    if inputs[0].dtype.name not in products.FORMATS:
        return NotImplemented
    with no_grad():
        x = group_heads(*detached(inputs))
        s = _scores(x, bool(causal), int(window), scale)
        peak = s.amax(-1, keepdim=True)
        if x.sinks is not None:
            peak = peak.maximum(x.sinks.to(_FLOAT32))
        peak = peak.masked_fill(peak == -math.inf, 0.0)
        e = (s - peak).exp()
        total = e.sum(-1, keepdim=True)
        if x.sinks is not None:
            total = total + (x.sinks.to(_FLOAT32) - peak).exp()
        p = e / total.masked_fill(total == 0, 1.0)
        y = (p.to(x.v.dtype) @ x.v).reshape(*inputs[0].shape[:3], inputs[2].shape[3])
        _deliver(outputs, (y.transpose(1, 2), total.log() + peak))
    return None


def attention_backward(outputs: Tensors, inputs: Tensors, attrs: Tensors) -> Any:
    """The probabilities again from the kept logarithms; then ds = p (g v - sum) scale, and three products."""
    g, q, k, v, mask, sinks, _, lse = detached(inputs)
    causal, window, scale = attrs[:3]
    if q.dtype.name not in products.FORMATS:
        return NotImplemented
    with no_grad():
        x = group_heads(q, k, v, mask, sinks)
        lead = x.q.shape[:4]
        g = g.transpose(1, 2).reshape(*lead, v.shape[3])
        lse = lse.reshape(*lead, 1)
        p = (_scores(x, bool(causal), int(window), scale) - lse.masked_fill(lse == -math.inf, 0.0)).exp()
        slope = _wide_product(g, x.v.transpose(-2, -1))
        delta = (p * slope).sum(-1, keepdim=True)
        ds = (p * (slope - delta) * scale).to(q.dtype)
        dq = ds @ x.k
        dk = (ds.transpose(-2, -1) @ x.q).sum(2)
        dv = (p.to(q.dtype).transpose(-2, -1) @ g).sum(2)
        dsinks = None if x.sinks is None else -((x.sinks.to(_FLOAT32) - lse).exp() * delta).sum((0, 3, 4)).reshape(-1)
        _deliver(outputs, (dq.reshape(q.shape).transpose(1, 2), dk.transpose(1, 2), dv.transpose(1, 2), dsinks))
    return None


@kernel_for("cat")
def _cat(outputs: Tensors, inputs: Tensors, attrs: Tensors) -> None:
    """Each tensor copied to its place."""
    out, dim, at = outputs[0].detach(), attrs[0], 0
    with no_grad():
        for t in inputs:
            if t.ndim == out.ndim and t.shape[dim]:
                out.narrow(dim, at, t.shape[dim]).copy_(t.detach())
                at += t.shape[dim]


@kernel_for("pad_constant")
def _pad(outputs: Tensors, inputs: Tensors, attrs: Tensors) -> None:
    """The number everywhere, then what is kept of the tensor in its place."""
    out, x, value = outputs[0].detach(), inputs[0].detach(), inputs[1].detach()
    with no_grad():
        if any(n > 0 for pair in attrs for n in pair):
            out.copy_(value.expand(tuple(out.shape)))
        for d, (before, after) in enumerate(zip(*attrs, strict=True)):
            x = x.narrow(d, max(0, -before), x.shape[d] + min(0, before) + min(0, after))
            out = out.narrow(d, max(0, before), x.shape[d])
        if x.numel():
            out.copy_(x)
