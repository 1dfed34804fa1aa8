"""Tensors as plain bytes: what pickle and the file formats share.

`read_bytes` and `writable` look at memory, `window` puts a tensor over a block of bytes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from ascendlite.core import DType, Tensor, dtype_of_name, empty, no_grad
from ascendlite.errors import DeviceError


def memory(address: int, nbytes: int) -> memoryview:
    """`nbytes` of memory, writable; whoever owns the memory must outlive the view."""
    if nbytes == 0:
        return memoryview(bytearray())
    return memoryview((ctypes.c_char * nbytes).from_address(address)).cast("B")


def tensor_bytes(t: Tensor, op: str) -> memoryview:
    """The memory of a contiguous tensor, writable; the tensor must outlive the view."""
    if t.device.type != "cpu":
        raise DeviceError(f"{op}: a tensor on '{t.device}' has no bytes on the host; move it with .to('cpu') first")
    return memory(t.data_ptr(), t.nbytes)


def new_block(content: bytes | memoryview) -> Tensor:
    """A fresh 1-d uint8 tensor with this content."""
    block = empty((len(content),), dtype=dtype_of_name("uint8"))
    memory(block.data_ptr(), len(content))[:] = content
    return block


def window(
    block: Tensor, dtype: DType, shape: Sequence[int], stride: Sequence[int], offset: int
) -> Tensor:
    """A tensor of `dtype` over the bytes of a 1-d uint8 tensor, sharing them; `offset` counts elements."""
    with no_grad():
        whole = block[: block.shape[0] // dtype.itemsize * dtype.itemsize]
        return whole.view(dtype).as_strided(tuple(shape), tuple(stride), offset).detach()
