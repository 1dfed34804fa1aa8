"""NumPy's operators and ufuncs on tensors, and the dtypes of both sides.

What we do differently from torch: `array + tensor` works as `tensor + array` does, and both keep gradients, because a
ufunc with a counterpart here is computed here. Others are computed by NumPy and come back as tensors; a tensor that
requires a gradient is refused by them, so no gradient is lost silently.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ascendlite.core import FUNCTIONS, DType, Tensor, add_method, dtype_of_name, from_numpy
from ascendlite.errors import DTypeError

if TYPE_CHECKING:
    import numpy as np

# NumPy's ufunc -> our function.
_UFUNCS = {
    "add": "add", "subtract": "sub", "multiply": "mul", "divide": "div", "true_divide": "div", "power": "pow",
    "floor_divide": "floor_divide", "remainder": "remainder", "matmul": "matmul", "negative": "neg", "absolute": "abs",
    "exp": "exp", "expm1": "expm1", "log": "log", "log1p": "log1p", "log2": "log2", "log10": "log10", "sqrt": "sqrt",
    "square": "square", "sin": "sin", "cos": "cos", "tan": "tan", "sinh": "sinh", "cosh": "cosh", "tanh": "tanh",
    "floor": "floor", "ceil": "ceil", "trunc": "trunc", "maximum": "maximum", "minimum": "minimum",
    "equal": "eq", "not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge",
    "logical_and": "logical_and", "logical_or": "logical_or", "logical_xor": "logical_xor", "logical_not": "logical_not",
    "bitwise_and": "bitwise_and", "bitwise_or": "bitwise_or", "bitwise_xor": "bitwise_xor", "invert": "bitwise_not",
    "isnan": "isnan", "isinf": "isinf", "isfinite": "isfinite",
}  # fmt: skip


def numpy_dtype(dtype: DType) -> np.dtype:
    """NumPy's dtype for ours; bfloat16 and the 8-bit floats come from `ml_dtypes`."""
    import numpy

    try:
        return numpy.dtype(dtype.name)
    except TypeError:
        pass
    try:
        import ml_dtypes
    except ImportError:
        raise DTypeError(f"numpy: {dtype!r} has no NumPy dtype without ml_dtypes; install it, or cast first") from None
    if not hasattr(ml_dtypes, dtype.name):
        raise DTypeError(f"numpy: {dtype!r} has no counterpart in NumPy or ml_dtypes; cast it first")
    return numpy.dtype(getattr(ml_dtypes, dtype.name))


def dtype_of_numpy(dtype: object) -> DType:
    """Our dtype for NumPy's, `ml_dtypes` included."""
    import numpy

    return dtype_of_name(numpy.dtype(dtype).name)  # type: ignore[call-overload]


def _operand(value: object) -> object:
    import numpy

    if isinstance(value, numpy.generic):
        return value.item()
    return from_numpy(value) if isinstance(value, numpy.ndarray) else value


def _as_array(value: object) -> object:
    return value.numpy() if isinstance(value, Tensor) else value


def _as_tensor(value: object) -> object:
    import numpy

    if isinstance(value, tuple):
        return tuple(map(_as_tensor, value))
    return from_numpy(numpy.asarray(value)) if isinstance(value, (numpy.ndarray, numpy.generic)) else value


def array_ufunc(self: Tensor, ufunc: np.ufunc, method: str, *inputs: object, **kwargs: object) -> object:
    """NumPy's protocol: called for any ufunc or operator that meets a tensor."""
    name = _UFUNCS.get(ufunc.__name__) if method == "__call__" and not kwargs else None
    if name is not None:
        return FUNCTIONS[name](*map(_operand, inputs))
    out = kwargs.pop("out", None)
    if out is not None:
        kwargs["out"] = tuple(map(_as_array, out))  # type: ignore[call-overload]
    computed = getattr(ufunc, method)(*map(_as_array, inputs), **kwargs)
    if out is not None:
        return out[0] if len(out) == 1 else out  # type: ignore[index, arg-type]
    return _as_tensor(computed)


add_method("__array_ufunc__", array_ufunc)
