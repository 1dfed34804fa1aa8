"""Histograms with their edges, optionally weighted or as a density."""

from __future__ import annotations

from typing import NamedTuple

from ascendlite.core import Tensor, deliver, function, ones_like, zeros
from ascendlite.errors import ArgumentError, DTypeError, ShapeError
from ascendlite.ops.create import linspace
from ascendlite.ops.scatter import scatter_add
from ascendlite.ops.search import searchsorted

Range = tuple[float, float]


class Histogram(NamedTuple):
    """Counts (or weights, or a density) and the edges of their bins."""

    hist: Tensor
    bin_edges: Tensor


def _edges(x: Tensor, bins: int | Tensor, range: Range | None) -> Tensor:
    if isinstance(bins, Tensor):
        if bins.ndim != 1 or bins.numel() < 1:
            raise ShapeError(f"histogram: bins must be a one-dimensional tensor of edges: got {list(bins.shape)}")
        return bins.to(x.dtype, copy=True)  # of the result, which may be written into
    if bins <= 0:
        raise ArgumentError(f"histogram: bins must be > 0: got {bins}")
    low, high = range or ((x.amin().item(), x.amax().item()) if x.numel() else (0.0, 1.0))
    if low > high:
        raise ArgumentError(f"histogram: max must not be less than min: got {low} and {high}")
    if not (abs(low) < float("inf") and abs(high) < float("inf")):
        raise ArgumentError(f"histogram: range of [{low}, {high}] is not finite; pass range")
    if low == high:  # as NumPy: a bin of width 1 around the value
        low, high = low - 0.5, high + 0.5
    return linspace(low, high, bins + 1, dtype=x.dtype, device=x.device)


@function(methods=("histogram",))
def histogram(
    input: Tensor,
    bins: int | Tensor,
    *,
    range: Range | None = None,
    weight: Tensor | None = None,
    density: bool = False,
    out: tuple[Tensor, Tensor] | None = None,
) -> Histogram:
    """What falls into each of `bins` equal bins, or between given edges; the last bin holds its right edge too."""
    if not input.dtype.is_floating_point:
        raise DTypeError(f"histogram: not implemented for {input.dtype}; cast to a float dtype")
    if weight is not None and weight.shape != input.shape:
        raise ShapeError(
            f"histogram: weight must have the same shape as input: got {list(weight.shape)} and {list(input.shape)}"
        )
    x = input.detach().reshape(-1)
    edges = _edges(x, bins, range)
    count = edges.numel() - 1
    inside = (x >= edges[0]) & (x <= edges[-1])
    x = x[inside]
    weights = ones_like(x) if weight is None else weight.detach().to(x.dtype).reshape(-1)[inside]
    places = (searchsorted(edges, x, right=True) - 1).clamp(max=count - 1)
    hist = scatter_add(zeros((count,), dtype=x.dtype, device=x.device), 0, places, weights)
    if density:
        hist = hist / (hist.sum() * (edges[1:] - edges[:-1]))
    return deliver(Histogram(hist, edges), out)
