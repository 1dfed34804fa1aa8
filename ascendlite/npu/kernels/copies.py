"""Copies, casts and fills: between the host and the device, and on the device."""

from __future__ import annotations

from typing import Any

from ascendlite.core import Tensor, _core
from ascendlite.npu import wide
from ascendlite.npu.kernels import elementwise, gathers, strided
from ascendlite.npu.runtime import stream

# A host-device copy crosses the NPU-CPU link: 151 GB/s read and 110 GB/s write inside a node, 1.0 us (CloudMatrix384, arXiv 2506.12708, table 1).
HOST_TO_DEVICE_BYTES_PER_US = 151_000.0
DEVICE_TO_HOST_BYTES_PER_US = 110_000.0
HOST_LINK_US = 1.0


def transfer(target: Tensor, source: Tensor, dry: bool) -> None:
    """Between host and device: the dtype may change, as it does on the host."""
    upload = source.is_cpu
    rate = HOST_TO_DEVICE_BYTES_PER_US if upload else DEVICE_TO_HOST_BYTES_PER_US
    index = (target if upload else source).device.index or 0
    name = "MemcpyH2D" if upload else "MemcpyD2H"
    queue = stream.current_stream(index)
    queue.submit(stream.Task(name, "MEMCPY", HOST_LINK_US + source.nbytes / rate, queue.stream_id, index, tensors=stream.shapes((source,))))
    if not upload:
        queue.synchronize()  # the values are read now
    if dry:
        return
    if upload:
        wide.upload(target, source)
    else:
        _core.copy_native(target, wide.on_host(source))


def on_device(target: Tensor, source: Tensor) -> Any:
    """Between tensors of one die."""
    if elementwise.overlapping(target):
        return NotImplemented
    if target.dtype is source.dtype and not (target.is_contiguous() and source.is_contiguous()):
        ways = (strided.copy, gathers.repeat, _spread_bytes, _apart)
        return None if any(way(target, source) is not NotImplemented for way in ways) else NotImplemented
    if not source.is_contiguous():
        source = source.detach().contiguous()
    if target.is_contiguous():
        return elementwise.convert(target, source)
    fresh = _core.empty(tuple(target.shape), dtype=target.dtype, device=target.device)
    return NotImplemented if elementwise.convert(fresh, source) is NotImplemented else strided.copy(target, fresh)


def _spread_bytes(target: Tensor, source: Tensor) -> Any:
    """Bytes that stand still along the target's rows: as integers of 16 bits, for which there is a kernel."""
    if target.dtype.name not in ("bool", "int8", "uint8") or not target.is_contiguous():
        return NotImplemented
    small = source.detach()
    for d, step in enumerate(source.stride()):
        small = small.narrow(d, 0, 1) if step == 0 and small.shape[d] else small
    wide_ = _core.empty(tuple(target.shape), dtype=_core.DTYPE_NAMES["int16"], device=target.device)
    if strided.copy(wide_, small.to(wide_.dtype).expand(target.shape)) is NotImplemented:
        return NotImplemented
    return elementwise.convert(target, wide_)


def _apart(target: Tensor, source: Tensor) -> Any:
    """To a target with gaps by way of one without, where no kernel knows both layouts."""
    if target.is_contiguous() or not target.numel():
        return NotImplemented
    fresh = _core.empty(tuple(target.shape), dtype=target.dtype, device=target.device)
    return NotImplemented if on_device(fresh, source) is NotImplemented else strided.copy(target, fresh)


def fill(target: Tensor, value: float) -> Any:
    """Set every element: those of a target without gaps in the order of memory, others by copies of one number or of many."""
    if elementwise.overlapping(target):
        return NotImplemented
    target = target.detach()
    target = target.permute(*sorted(range(target.ndim), key=lambda d: -target.stride(d)))
    if target.is_contiguous():
        return elementwise.fill(target, value)
    if not target.numel():
        return None
    one = target.itemsize in (2, 4) and target.stride(target.ndim - 1) == 1 < target.shape[-1]  # spread along rows in UB
    fresh = _core.empty((1,) * target.ndim if one else tuple(target.shape), dtype=target.dtype, device=target.device)
    return NotImplemented if elementwise.fill(fresh, value) is NotImplemented else strided.copy(target, fresh.expand(target.shape))
