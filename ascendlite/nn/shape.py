"""Layers that only move data: Flatten, Unflatten, pixel and channel shuffles, Upsample, Fold and Unfold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ..core import Tensor
from . import functional as F
from .module import Module
from .options import Optioned, options
from .sizes import Size


@options
class Flatten(Optioned):
    """Join the dimensions start_dim..end_dim into one."""

    start_dim: int = 1
    end_dim: int = -1
    shown: ClassVar = ("start_dim", "end_dim")

    def forward(self, input: Tensor) -> Tensor:
        return input.flatten(self.start_dim, self.end_dim)


class Unflatten(Module):
    """Split one dimension into several."""

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        if not isinstance(dim, int):
            raise TypeError(f"Unflatten: dim is {dim!r}; named dimensions do not exist here, pass an int")
        if any(not isinstance(n, int) for n in unflattened_size):
            raise TypeError(
                f"Unflatten: unflattened_size must be a tuple of ints, but found {tuple(unflattened_size)!r}"
            )
        self.dim = dim
        self.unflattened_size = tuple(unflattened_size)

    def forward(self, input: Tensor) -> Tensor:
        return input.unflatten(self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


@options
class PixelShuffle(Optioned):
    """(*, C * r^2, H, W) -> (*, C, H * r, W * r)."""

    upscale_factor: int
    shown: ClassVar = ("upscale_factor",)

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_shuffle(input, self.upscale_factor)


@options
class PixelUnshuffle(Optioned):
    """(*, C, H * r, W * r) -> (*, C * r^2, H, W)."""

    downscale_factor: int
    shown: ClassVar = ("downscale_factor",)

    def forward(self, input: Tensor) -> Tensor:
        return F.pixel_unshuffle(input, self.downscale_factor)


@options
class ChannelShuffle(Optioned):
    """Interleave the channels of `groups` groups."""

    groups: int
    shown: ClassVar = ("groups",)

    def forward(self, input: Tensor) -> Tensor:
        return F.channel_shuffle(input, self.groups)


class Upsample(Module):
    """Resize the spatial dimensions to `size` or by `scale_factor`."""

    def __init__(
        self,
        size: Size | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.size = size
        self.scale_factor: float | tuple[float, ...] | None = (
            tuple(float(f) for f in scale_factor)
            if isinstance(scale_factor, Sequence)
            else float(scale_factor)
            if scale_factor
            else None
        )
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )

    def extra_repr(self) -> str:
        size = f"scale_factor={self.scale_factor}" if self.scale_factor is not None else f"size={self.size}"
        return f"{size}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Nearest-neighbour resize of (N, C, H, W)."""

    def __init__(self, size: Size | None = None, scale_factor: float | Sequence[float] | None = None) -> None:
        super().__init__(size, scale_factor, "nearest")


class UpsamplingBilinear2d(Upsample):
    """Bilinear resize of (N, C, H, W) with aligned corners."""

    def __init__(self, size: Size | None = None, scale_factor: float | Sequence[float] | None = None) -> None:
        super().__init__(size, scale_factor, "bilinear", align_corners=True)


@options
class Unfold(Optioned):
    """Sliding blocks of (N, C, H, W) as columns: (N, C * kernel, L)."""

    kernel_size: Size
    dilation: Size = 1
    padding: Size = 0
    stride: Size = 1
    shown: ClassVar = ("kernel_size", "dilation", "padding", "stride")

    def forward(self, input: Tensor) -> Tensor:
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)


@options
class Fold(Optioned):
    """Sum columns of sliding blocks back into (N, C, H, W)."""

    output_size: Size
    kernel_size: Size
    dilation: Size = 1
    padding: Size = 0
    stride: Size = 1
    shown: ClassVar = ("output_size", "kernel_size", "dilation", "padding", "stride")

    def forward(self, input: Tensor) -> Tensor:
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)
