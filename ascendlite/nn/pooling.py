"""Pooling layers: the options of a pool, and one row for each number of dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ..core import Tensor
from . import functional as F
from .options import Optioned, options
from .sizes import Size, spread


@options
class _MaxPool(Optioned):
    """Maximum of every window."""

    kernel_size: Size
    stride: Size | None = None
    padding: Size = 0
    dilation: Size = 1
    return_indices: bool = False
    ceil_mode: bool = False
    spatial: ClassVar[int]
    shown: ClassVar = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.stride = self.kernel_size if self.stride is None else self.stride

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return F.MAX_POOLS[self.spatial](
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )


class MaxPool1d(_MaxPool):
    """Maximum of windows of (N, C, L)."""

    spatial = 1


class MaxPool2d(_MaxPool):
    """Maximum of windows of (N, C, H, W).

    >>> al.nn.MaxPool2d(2)(al.ones(1, 3, 8, 8)).shape
    (1, 3, 4, 4)
    """

    spatial = 2


class MaxPool3d(_MaxPool):
    """Maximum of windows of (N, C, D, H, W)."""

    spatial = 3


@options
class _MaxUnpool(Optioned):
    """Values back at the places that max-pooling took them from."""

    kernel_size: Size
    stride: Size | None = None
    padding: Size = 0
    spatial: ClassVar[int]
    shown: ClassVar = ("kernel_size", "stride", "padding")

    def __post_init__(self) -> None:
        super().__post_init__()
        stride = self.kernel_size if self.stride is None else self.stride
        self.kernel_size, self.stride, self.padding = (
            spread(size, self.spatial) for size in (self.kernel_size, stride, self.padding)
        )

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        return F.MAX_UNPOOLS[self.spatial](
            input, indices, self.kernel_size, self.stride, self.padding, output_size
        )


class MaxUnpool1d(_MaxUnpool):
    """The partial inverse of MaxPool1d."""

    spatial = 1


class MaxUnpool2d(_MaxUnpool):
    """The partial inverse of MaxPool2d."""

    spatial = 2


class MaxUnpool3d(_MaxUnpool):
    """The partial inverse of MaxPool3d."""

    spatial = 3


@options
class AvgPool1d(Optioned):
    """Mean of windows of (N, C, L)."""

    kernel_size: Size
    stride: Size | None = None
    padding: Size = 0
    ceil_mode: bool = False
    count_include_pad: bool = True
    shown: ClassVar = ("kernel_size", "stride", "padding")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.stride = spread(self.kernel_size if self.stride is None else self.stride, 1)
        self.kernel_size = spread(self.kernel_size, 1)
        self.padding = spread(self.padding, 1)

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )


@options
class _AvgPool(Optioned):
    kernel_size: Size
    stride: Size | None = None
    padding: Size = 0
    ceil_mode: bool = False
    count_include_pad: bool = True
    divisor_override: int | None = None
    spatial: ClassVar[int]
    shown: ClassVar = ("kernel_size", "stride", "padding")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.stride = self.kernel_size if self.stride is None else self.stride

    def forward(self, input: Tensor) -> Tensor:
        return F.AVG_POOLS[self.spatial](
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


class AvgPool2d(_AvgPool):
    """Mean of windows of (N, C, H, W)."""

    spatial = 2


class AvgPool3d(_AvgPool):
    """Mean of windows of (N, C, D, H, W)."""

    spatial = 3


@options
class _LPPool(Optioned):
    norm_type: float
    kernel_size: Size
    stride: Size | None = None
    ceil_mode: bool = False
    spatial: ClassVar[int]
    shown: ClassVar = ("norm_type", "kernel_size", "stride", "ceil_mode")

    def forward(self, input: Tensor) -> Tensor:
        return F.LP_POOLS[self.spatial](
            input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode
        )


class LPPool1d(_LPPool):
    """p-norm of windows of (N, C, L)."""

    spatial = 1


class LPPool2d(_LPPool):
    """p-norm of windows of (N, C, H, W)."""

    spatial = 2


class LPPool3d(_LPPool):
    """p-norm of windows of (N, C, D, H, W)."""

    spatial = 3


OutputSize = int | None | Sequence[int | None]


@options
class _AdaptiveAvgPool(Optioned):
    output_size: OutputSize
    spatial: ClassVar[int]
    shown: ClassVar = ("output_size",)

    def forward(self, input: Tensor) -> Tensor:
        return F.ADAPTIVE_AVG_POOLS[self.spatial](input, self.output_size)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Means of (N, C, L) at a given output size."""

    spatial = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Means of (N, C, H, W) at a given output size; None keeps a dimension."""

    spatial = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Means of (N, C, D, H, W) at a given output size; None keeps a dimension."""

    spatial = 3


@options
class _AdaptiveMaxPool(Optioned):
    output_size: OutputSize
    return_indices: bool = False
    spatial: ClassVar[int]
    shown: ClassVar = ("output_size",)

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return F.ADAPTIVE_MAX_POOLS[self.spatial](input, self.output_size, self.return_indices)


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Maxima of (N, C, L) at a given output size."""

    spatial = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Maxima of (N, C, H, W) at a given output size; None keeps a dimension."""

    spatial = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Maxima of (N, C, D, H, W) at a given output size; None keeps a dimension."""

    spatial = 3
