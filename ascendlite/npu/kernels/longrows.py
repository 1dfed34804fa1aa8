"""Softmax and norms of rows that do not fit the unified buffer: a core streams a row in parts.

A few very long rows, and gradients of norms, are reductions and element-wise passes in float32: each a kernel of the device, the values between
them in its memory.
"""

from __future__ import annotations

from typing import Any, Final

from ascendlite.core import Tensor, _core, no_grad
from ascendlite.npu.kernels import streams
from ascendlite.npu.kernels.elementwise import blocks_for
from ascendlite.npu.runtime.launch import launch

Tensors = tuple[Any, ...]
_FLOAT32: Final = _core.DTYPE_NAMES["float32"]
MOST: Final = (1 << 31) - 1  # elements that int32 positions can name
LEAST_PART: Final = 1024  # columns that are worth a pass
LEAST_ROWS: Final = 3  # that are streamed, one by a core: fewer are faster by passes of all cores


def _deliver(outputs: Tensors, results: Tensors) -> None:
    for out, result in zip(outputs, results, strict=True):
        if out is not None and out.numel():
            out.detach().copy_(result.reshape(out.shape))


def streamed(x: Tensor, columns: int) -> tuple[int, int] | None:
    """(rows, columns) if the rows are streamed."""
    rows = x.numel() // columns
    return (rows, columns) if rows >= LEAST_ROWS else None


def blocks_of(x: Tensor, columns: int) -> int:
    """Cores: at most one a row."""
    return min(blocks_for(x.nbytes), x.numel() // columns)


def softmax(y: Tensor, x: Tensor, log: bool) -> None:
    """exp(x - max) / sum along the last dim, or its logarithm."""
    size = streamed(x, x.shape[-1])
    if size:
        part = streams.part_of(2 * x.itemsize, 4)
        launch(streams.softmax_parts, x.detach().contiguous(), y.detach(), *size, part, log, blocks=blocks_of(x, size[1]), name="log_softmax" if log else "softmax")
        return
    with no_grad():
        v = x.detach().to(_FLOAT32)
        v = v - v.amax(-1, keepdim=True)
        e = v.exp()
        total = e.sum(-1, keepdim=True)
        _deliver((y,), (v - total.log() if log else e / total,))


def softmax_backward(dx: Tensor, g: Tensor, y: Tensor, log: bool) -> None:
    """y (g - sum g y), or g - exp(y) sum g for the logarithm."""
    size = streamed(y, y.shape[-1])
    if size:
        part, name = streams.part_of(3 * y.itemsize, 8), "log_softmax_backward" if log else "softmax_backward"
        launch(streams.softmax_backward_parts, g.detach().contiguous(), y.detach().contiguous(), dx.detach(), *size, part, log, blocks=blocks_of(y, size[1]), name=name)
        return
    with no_grad():
        g, y = g.detach().to(_FLOAT32), y.detach().to(_FLOAT32)
        result = g - y.exp() * g.sum(-1, keepdim=True) if log else y * (g - (g * y).sum(-1, keepdim=True))
        _deliver((dx,), (result,))


def row_norm(outputs: Tensors, x: Tensor, weight: Tensor | None, bias: Tensor | None, n: int, centred: bool, eps: float) -> None:
    """(x - mean) rstd weight + bias over rows of n elements; rms_norm where it is not centred."""
    size = streamed(x, n)
    if size and all(t is not None and t.is_contiguous() for t in outputs):
        tables = [None if t is None else t.detach().contiguous() for t in (weight, bias)]
        part = streams.part_of(2 * x.itemsize + sum(t.itemsize for t in tables if t is not None), 8)
        launch(streams.norm_parts, x.detach().contiguous(), *tables, *[t.detach() for t in outputs], *size, part, centred, eps, blocks=blocks_of(x, n),
               name="layer_norm" if centred else "rms_norm")
        return
    with no_grad():
        v = x.detach().reshape(-1, n).to(_FLOAT32)
        mean = v.mean(-1, keepdim=True) if centred else None
        d = v if mean is None else v - mean
        rstd = (d.norm(2, -1, keepdim=True).square() / n + eps).rsqrt()
        y = d * rstd
        if weight is not None:
            y = y * weight.detach().reshape(n).to(_FLOAT32)
        if bias is not None:
            y = y + bias.detach().reshape(n).to(_FLOAT32)
        _deliver(outputs, (y, mean if mean is not None else rstd * 0.0, rstd))


def norm_backward(given: Tensors, n: int, centred: bool, name: str) -> bool:
    """A kernel that streams (g, x, weight, mean, rstd, dx, dweight, dbias), if UB holds the sums of a row's columns; one for each where it holds one."""
    g, _, weight = given[:3]
    tables = [None if weight is None else weight.detach().contiguous()]
    moved = 3 * g.itemsize + sum(t.itemsize for t in tables if t is not None)
    operands = [None if t is None else t.detach() for t in (*given[:2], *tables, *given[3:])]
    size, (dweight, dbias) = streamed(g, n), operands[6:]
    for choices in ([(dweight, dbias)], [(dweight, None), (None, dbias)]):
        part = streams.part_of(moved, 12, 4 * n * max(sum(t is not None for t in pair) for pair in choices))
        if size is not None and part >= LEAST_PART and given[5].is_contiguous():
            for pair in choices:
                launch(streams.norm_backward_parts, *operands[:6], *pair, *size, part, centred, blocks=blocks_of(g, n), name=name)
            return True
    return False


def row_norm_backward(outputs: Tensors, g: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, rstd: Tensor, n: int, centred: bool) -> None:
    """Gradients of x, and of weight and bias where they are asked for."""
    with no_grad():
        g, v, scale = g.detach().reshape(-1, n).to(_FLOAT32), x.detach().reshape(-1, n).to(_FLOAT32), rstd.detach().reshape(-1, 1)
        unit = (v - mean.detach().reshape(-1, 1) if centred else v) * scale
        gw = g if weight is None else g * weight.detach().reshape(n).to(_FLOAT32)
        dx = gw - unit * (gw * unit).mean(-1, keepdim=True)
        if centred:
            dx = dx - gw.mean(-1, keepdim=True)
        dweight = (g * unit).sum(0) if outputs[1].numel() else None
        dbias = g.sum(0) if outputs[2].numel() else None
        _deliver(outputs, (dx * scale, dweight, dbias))
