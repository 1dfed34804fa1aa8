"""A weight in panels of columns: the order in which a product with one or two rows reads it, so that memory is one run."""

from __future__ import annotations

import math
from typing import ClassVar

from ..core import DType, Op, Tensor, bfloat16, float32, get_autocast, is_capturing, is_grad_enabled, no_grad

_COLUMNS = 64  # the widest panel of any instruction set


def _panels_shape(weight: Tensor) -> tuple[tuple[int, ...], DType]:
    n, k = weight.shape
    return (math.ceil(n / _COLUMNS) * _COLUMNS, k), weight.dtype


_lay_out = Op("panels", inputs=1, infer=_panels_shape)
_linear = Op(
    "panel_linear",
    inputs=3,
    infer=lambda x, panels, bias, n: ((*x.shape[:-1], n), x.dtype),
    cost=lambda x, panels, bias, n: 2 * math.prod(x.shape) * n,
)


class Panels:
    """A weight (N, K), laid out anew. It serves as long as the weight is the same, unchanged, and no gradient is asked for.

    >>> weight = al.nn.Parameter(al.ones(100, 800))
    >>> panels = Panels(weight)
    >>> with al.no_grad():
    ...     panels.serve(al.ones(1, 800), weight, None), panels.linear(al.ones(1, 800), None).shape
    (True, (1, 100))
    """

    ROWS: ClassVar[int] = 2
    LEAST: ClassVar[int] = 1 << 16  # elements of a weight that are worth it

    def __init__(self, weight: Tensor) -> None:
        self.weight, self._version, self._place = weight, weight._version, weight.data_ptr()
        self._n, self._k = weight.shape
        with no_grad():
            self._data = _lay_out(weight)
        self._dtype, self._device = self._data.dtype, self._data.device

    @classmethod
    def fit(cls, weight: Tensor) -> bool:
        """Whether a weight can be laid out, and is large enough for it."""
        if weight.ndim != 2 or weight.numel() < cls.LEAST or weight.device.type != "cpu" or not weight.is_contiguous():
            return False
        whole = weight.dtype is bfloat16 and weight.shape[1] % 2 == 0 and weight.data_ptr() % 4 == 0  # two steps are a word
        return weight.dtype is float32 or whole

    def serve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
        """Whether `linear` gives what the plain product of these would."""
        if weight is not self.weight or weight._version != self._version or type(x) is not Tensor or x.dtype is not self._dtype:
            return False
        shape = x.shape
        if not shape or shape[-1] != self._k or x.numel() > self.ROWS * self._k or x.device != self._device:
            return False
        if is_grad_enabled() or is_capturing() or get_autocast()[0] or weight.data_ptr() != self._place:
            return False
        return bias is None or (bias.dtype is self._dtype and bias.shape == (self._n,))

    def linear(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """x (..., K) of at most two rows @ the weight, transposed, + bias (N): the bits of `F.linear`."""
        y: Tensor = _linear(x, self._data, bias, self._n)
        return y
