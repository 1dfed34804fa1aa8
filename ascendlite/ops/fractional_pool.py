"""Fractional max pooling (B. Graham, "Fractional Max-Pooling", 2014): windows at steps that are drawn, overlapping, of a given output size."""

from __future__ import annotations

from collections.abc import Sequence

from ascendlite.core import Tensor, arange, float32, float64, function, int64
from ascendlite.errors import ShapeError
from ascendlite.ops.adaptive_pool import check_planes
from ascendlite.ops.movement import cat
from ascendlite.ops.random import rand

Size = int | Sequence[int]
Ratio = float | Sequence[float]
Pooled = Tensor | tuple[Tensor, Tensor]


def _pair(value: Size, n: int) -> tuple[int, ...]:
    return (value,) * n if isinstance(value, int) else tuple(value)


def _output_size(op: str, sizes: tuple[int, ...], output_size: Size | None, output_ratio: Ratio | None) -> tuple[int, ...]:
    if output_size is not None:
        return _pair(output_size, len(sizes))
    if output_ratio is None:
        raise ValueError(f"{op} requires specifying either an output_size or an output_ratio")
    ratios = (output_ratio,) * len(sizes) if isinstance(output_ratio, (int, float)) else tuple(output_ratio)
    if len(ratios) != len(sizes):
        raise ValueError(f"{op} requires output_ratio to either be a single number or a tuple of {len(sizes)}: got {ratios}")
    return tuple(int(size * ratio) for size, ratio in zip(sizes, ratios, strict=True))


def _starts(sample: Tensor, size: int, out: int, kernel: int) -> Tensor:
    """Where the windows of each plane begin along one dim: (planes, out)."""
    sample = sample.unsqueeze(1)
    step = (size - kernel) / (out - 1) if out > 1 else 0.0
    steps = arange(out - 1, dtype=sample.dtype, device=sample.device)
    inner = ((steps + sample) * step).to(int64) - (sample * step).to(int64)
    return cat([inner, (sample * 0).to(int64) + (size - kernel)], 1)


def _places(samples: Tensor, sizes: tuple[int, ...], outs: tuple[int, ...], kernels: tuple[int, ...], order: tuple[int, ...]) -> Tensor:
    """Flat positions in a plane of what each window sees: (planes, *outs, window)."""
    n = len(sizes)
    places = arange(1, device=samples.device).reshape((1,) * (2 * n + 1))
    for d in range(n):
        starts = _starts(samples[:, order[d]], sizes[d], outs[d], kernels[d])
        shape = [1] * (2 * n + 1)
        shape[0], shape[1 + d] = starts.shape
        window = [1] * (2 * n + 1)
        window[1 + n + d] = kernels[d]
        along = starts.reshape(shape) + arange(kernels[d], device=samples.device).reshape(window)
        places = places * sizes[d] + along
    return places.flatten(n + 1)


def _pool(
    n: int, input: Tensor, kernel_size: Size, output_size: Size | None, output_ratio: Ratio | None, return_indices: bool, samples: Tensor | None
) -> Pooled:
    op = f"fractional_max_pool{n}d"
    check_planes(op, n, input)
    lead, sizes = input.shape[: input.ndim - n], input.shape[input.ndim - n :]
    kernels, outs = _pair(kernel_size, n), _output_size(op, sizes, output_size, output_ratio)
    if len(kernels) != n or len(outs) != n:
        raise ShapeError(f"{op}: kernel_size and output_size must be a number or {n} of them: got {kernels} and {outs}")
    for size, out, kernel in zip(sizes, outs, kernels, strict=True):
        if kernel < 1 or out < 1 or out + kernel - 1 > size:
            raise ShapeError(f"{op}: a window of {kernel} and an output of {out} are too large for an input of {size}: window + output - 1 must fit")
    flat = input.reshape(-1, *sizes).flatten(1)
    kind = float64 if input.dtype is float64 else float32
    if samples is None:
        samples = rand(flat.shape[0], n, dtype=kind, device=input.device)
    elif samples.numel() != flat.shape[0] * n:
        raise ShapeError(f"{op}: _random_samples must have {n} numbers for each of the {flat.shape[0]} planes: got shape {list(samples.shape)}")
    # torch takes the samples of a picture in the order (W, H), those of a volume in the order (D, H, W)
    order = (1, 0) if n == 2 else (0, 1, 2)
    places = _places(samples.detach().reshape(-1, n).to(kind), sizes, outs, kernels, order).flatten(1, n)
    seen = flat.detach().gather(1, places.flatten(1)).reshape(places.shape)
    index = places.gather(2, seen.argmax(2, keepdim=True)).squeeze(2)
    result = flat.gather(1, index).reshape(*lead, *outs)
    return (result, index.reshape(*lead, *outs)) if return_indices else result


@function(toplevel=False)
def fractional_max_pool2d(
    input: Tensor, kernel_size: Size, output_size: Size | None = None, output_ratio: Ratio | None = None, return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Pooled:
    """Maxima of (N, C, H, W) or (C, H, W) in windows at drawn steps; with `return_indices`, their flat positions in the plane too.

    >>> al.nn.functional.fractional_max_pool2d(al.ones(1, 8, 8), 2, output_size=5).shape
    (1, 5, 5)
    """
    return _pool(2, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


@function(toplevel=False)
def fractional_max_pool3d(
    input: Tensor, kernel_size: Size, output_size: Size | None = None, output_ratio: Ratio | None = None, return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Pooled:
    """Maxima of (N, C, D, H, W) or (C, D, H, W) in windows at drawn steps; with `return_indices`, their flat positions too."""
    return _pool(3, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)
