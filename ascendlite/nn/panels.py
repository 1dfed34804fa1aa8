"""A weight in panels of columns: the order in which a product with one or two rows reads it, so that memory is one run."""

from __future__ import annotations

from typing import ClassVar

from ..core import Contents, Tensor, bfloat16, float32, is_plain, no_grad
from ..ops.panels import lay_out, panel_linear


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
        self._contents = Contents(weight)
        self._n, self._k = weight.shape
        self._sizes = {self._k * rows for rows in range(self.ROWS + 1)}
        with no_grad():
            self._data = lay_out(weight)
        self._dtype, self._device = self._data.dtype, self._data.device
        self.following: Panels | None = None  # whose product is likely to be the next one: threads that wait fetch it meanwhile

    @classmethod
    def fit(cls, weight: Tensor) -> bool:
        """Whether a weight can be laid out, and is large enough for it."""
        if weight.ndim != 2 or weight.numel() < cls.LEAST or weight.device.type != "cpu" or not weight.is_contiguous():
            return False
        whole = weight.dtype is bfloat16 and weight.shape[1] % 2 == 0 and weight.data_ptr() % 4 == 0  # two steps are a word
        return weight.dtype is float32 or whole

    def serve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
        """Whether `linear` gives what the plain product of these would."""
        if not (is_plain() and self._contents.kept(weight) and type(x) is Tensor and x.dtype is self._dtype and x.device is self._device):
            return False
        if x.numel() not in self._sizes or not x.ndim or x.shape[-1] != self._k:
            return False
        return bias is None or (bias.dtype is self._dtype and bias.shape == (self._n,))

    def linear(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """x (..., K) of at most two rows @ the weight, transposed, + bias (N): the bits of `F.linear`."""
        following = self.following
        y: Tensor = panel_linear(x, self._data, bias, following and following._data, self._n)
        return y
