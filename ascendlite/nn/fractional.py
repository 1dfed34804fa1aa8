"""Fractional max pooling layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ..core import Tensor
from . import functional as F
from .module import Module
from .sizes import Size


class _FractionalMaxPool(Module):
    spatial: ClassVar[int]

    def __init__(
        self,
        kernel_size: Size,
        output_size: Size | None = None,
        output_ratio: float | Sequence[float] | None = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        kind = type(self).__name__
        if (output_size is None) == (output_ratio is None):
            raise ValueError(f"{kind}: give either output_size or output_ratio: got {output_size} and {output_ratio}")
        ratios = (output_ratio,) if isinstance(output_ratio, (int, float)) else output_ratio or ()
        if not all(0 < ratio < 1 for ratio in ratios):
            raise ValueError(f"{kind}: output_ratio must be between 0 and 1 (got {output_ratio})")
        self.kernel_size = kernel_size
        self.output_size = output_size
        self.output_ratio = output_ratio
        self.return_indices = return_indices
        if _random_samples is not None:
            self.register_buffer("_random_samples", _random_samples)
        else:
            self._random_samples = None

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """The maxima, with `return_indices` their positions too."""
        return F.FRACTIONAL_MAX_POOLS[self.spatial](
            input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices, self._random_samples
        )


class FractionalMaxPool2d(_FractionalMaxPool):
    """Maxima of (N, C, H, W) in windows at drawn steps, to an output size or to a part of the input's.

    >>> al.nn.FractionalMaxPool2d(3, output_ratio=0.5)(al.ones(2, 4, 16, 16)).shape
    (2, 4, 8, 8)
    """

    spatial = 2


class FractionalMaxPool3d(_FractionalMaxPool):
    """Maxima of (N, C, D, H, W) in windows at drawn steps, to an output size or to a part of the input's."""

    spatial = 3
