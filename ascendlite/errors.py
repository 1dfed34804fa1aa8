"""The library's exceptions. Each derives from the built-in that a PyTorch user would catch in the same situation.

A text reads `op: what is wrong: both values; what to do`.
"""

from __future__ import annotations


class AscendLiteError(Exception):
    """Base of every error that the library raises on purpose."""


class ShapeError(AscendLiteError, RuntimeError):
    """Shapes or strides that do not fit together, or that do not fit in memory."""


class DimensionError(AscendLiteError, IndexError):
    """A dimension that the tensor does not have."""


class BoundsError(AscendLiteError, IndexError, RuntimeError):
    """An index value outside the tensor. torch raises IndexError for x[i] and RuntimeError for gather and its kin."""


class DTypeError(AscendLiteError, NotImplementedError, TypeError):
    """A dtype that the operation does not take, or a conversion that would lose the kind of number.

    torch raises RuntimeError, NotImplementedError (which is a RuntimeError) or TypeError here.
    """


class DeviceError(AscendLiteError, RuntimeError):
    """Tensors on different devices, or an operation that the device does not have."""


class GradError(AscendLiteError, RuntimeError):
    """A gradient that can't be computed: no graph, freed buffers, a saved tensor modified in place."""


class OutOfMemoryError(AscendLiteError, RuntimeError, MemoryError):
    """The device can't give the memory that was asked for."""


class ArgumentError(AscendLiteError, RuntimeError, ValueError):
    """A value outside what the operation is defined for."""


class AssertedShapeError(ShapeError, AssertionError):
    """Shapes that torch's own Python code refuses by an AssertionError (multi-head attention)."""


class AssertedValueError(ArgumentError, AssertionError):
    """A value that torch's own Python code refuses by an AssertionError."""


class CompileError(AscendLiteError, RuntimeError):
    """A function that `compile(..., fullgraph=True)` can't capture, or a compiler that is not installed."""


class FileFormatError(AscendLiteError, ValueError):
    """A file that is damaged, lies about its contents, or is of another format."""
