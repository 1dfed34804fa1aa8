"""Convolution layers and their transposes in 1, 2 and 3 dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from ..core import Device, DType, Tensor, empty
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter
from .sizes import Size, spread

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _ConvBase(Module):
    """Weights and options of a convolution over `spatial` dimensions."""

    spatial: ClassVar[int]
    transposed: ClassVar[bool] = False
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size,
        padding: Size | str,
        output_padding: Size,
        dilation: Size,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: str | Device | None,
        dtype: DType | None,
    ) -> None:
        super().__init__()
        _check_channels(type(self).__name__, in_channels, out_channels, groups)
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = spread(kernel_size, self.spatial)
        self.stride = spread(stride, self.spatial)
        self.padding = padding if isinstance(padding, str) else spread(padding, self.spatial)
        self.dilation = spread(dilation, self.spatial)
        self.output_padding = spread(output_padding, self.spatial)
        self.groups = groups
        self.padding_mode = padding_mode
        self._check_padding()
        leading = (
            (in_channels, out_channels // groups)
            if self.transposed
            else (out_channels, in_channels // groups)
        )
        self.weight = Parameter(empty((*leading, *self.kernel_size), device=device, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(empty(out_channels, device=device, dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def _check_padding(self) -> None:
        name = type(self).__name__
        modes = _PADDING_MODES[:1] if self.transposed else _PADDING_MODES
        if self.padding_mode not in modes:
            raise ValueError(
                f"{name}: padding_mode must be one of {modes}, but got padding_mode={self.padding_mode!r}"
            )
        if isinstance(self.padding, str):
            if self.padding not in ("same", "valid"):
                raise ValueError(
                    f"{name}: invalid padding string {self.padding!r}, should be one of 'valid', 'same'"
                )
            if self.padding == "same" and any(s != 1 for s in self.stride):
                raise ValueError(
                    f"{name}: padding='same' is not supported for strided convolutions (stride {self.stride})"
                )

    def reset_parameters(self) -> None:
        # a=sqrt(5) gives uniform(-1/sqrt(fan_in), 1/sqrt(fan_in)), torch's choice
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            init.uniform_by_fan_in_(self.bias, self.weight)

    def _edges(self) -> list[int]:
        """Padding in the order `pad` wants: last dimension first, both sides of each."""
        if self.padding == "valid":
            return [0] * (2 * self.spatial)
        edges: list[int] = []
        for i in reversed(range(self.spatial)):
            if isinstance(self.padding, str):
                total = self.dilation[i] * (self.kernel_size[i] - 1)
                edges += [total // 2, total - total // 2]
            else:
                edges += [self.padding[i]] * 2
        return edges

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        )
        zeros, ones = (0,) * self.spatial, (1,) * self.spatial
        extras = [
            ("padding", self.padding, zeros),
            ("dilation", self.dilation, ones),
            ("output_padding", self.output_padding, zeros),
            ("groups", self.groups, 1),
        ]
        text += "".join(f", {name}={value}" for name, value, usual in extras if value != usual)
        text += "" if self.bias is not None else ", bias=False"
        return text if self.padding_mode == "zeros" else f"{text}, padding_mode={self.padding_mode}"


def _check_channels(name: str, in_channels: int, out_channels: int, groups: int) -> None:
    if groups <= 0:
        raise ValueError(f"{name}: groups must be a positive integer, got {groups}")
    if in_channels % groups != 0:
        raise ValueError(f"{name}: in_channels {in_channels} must be divisible by groups {groups}")
    if out_channels % groups != 0:
        raise ValueError(f"{name}: out_channels {out_channels} must be divisible by groups {groups}")


class _Conv(_ConvBase):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: str | Device | None = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            0,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._edges(), mode=self.padding_mode)
            padding = (0,) * self.spatial
        return F.CONVOLUTIONS[self.spatial](
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )


class Conv1d(_Conv):
    """Convolution of (N, C, L) or (C, L).

    >>> al.nn.Conv1d(4, 8, kernel_size=3, padding=1)(al.ones(2, 4, 10)).shape
    (2, 8, 10)
    """

    spatial = 1


class Conv2d(_Conv):
    """Convolution of (N, C, H, W) or (C, H, W)."""

    spatial = 2


class Conv3d(_Conv):
    """Convolution of (N, C, D, H, W) or (C, D, H, W)."""

    spatial = 3


class _ConvTranspose(_ConvBase):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        device: str | Device | None = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            output_padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        output_padding = self.output_padding if output_size is None else self._padding_for(input, output_size)
        assert not isinstance(self.padding, str), self.padding
        return F.TRANSPOSED_CONVOLUTIONS[self.spatial](
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            output_padding,
            self.groups,
            self.dilation,
        )

    def _padding_for(self, input: Tensor, output_size: Sequence[int]) -> tuple[int, ...]:
        """The output_padding that makes the result as large as asked."""
        wanted = tuple(output_size)[-self.spatial :]
        if len(output_size) not in (self.spatial, input.ndim) or isinstance(self.padding, str):
            raise ValueError(
                f"{type(self).__name__}: output_size {tuple(output_size)} must have {self.spatial} or "
                f"{input.ndim} elements"
            )
        least = [
            (input.shape[input.ndim - self.spatial + i] - 1) * self.stride[i]
            - 2 * self.padding[i]
            + self.dilation[i] * (self.kernel_size[i] - 1)
            + 1
            for i in range(self.spatial)
        ]
        most = [low + stride - 1 for low, stride in zip(least, self.stride, strict=True)]
        if any(not low <= size <= high for low, size, high in zip(least, wanted, most, strict=True)):
            raise ValueError(
                f"{type(self).__name__}: requested an output size of {wanted}, but valid sizes range from "
                f"{least} to {most} (for an input of {tuple(input.shape)})"
            )
        return tuple(size - low for size, low in zip(wanted, least, strict=True))


class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution of (N, C, L) or (C, L)."""

    spatial = 1


class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution of (N, C, H, W) or (C, H, W)."""

    spatial = 2


class ConvTranspose3d(_ConvTranspose):
    """Transposed convolution of (N, C, D, H, W) or (C, D, H, W)."""

    spatial = 3
