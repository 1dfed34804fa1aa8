"""Padding layers in 1, 2 and 3 dimensions: zeros, a constant, reflection, replication, circular."""

from __future__ import annotations

from typing import ClassVar

from ..core import Tensor
from . import functional as F
from .module import Module
from .sizes import Size, spread


class _Pad(Module):
    """Pad the last `spatial` dimensions: one number, or (left, right, top, bottom, front, back)."""

    spatial: ClassVar[int]
    mode: ClassVar[str] = "constant"

    def __init__(self, padding: Size) -> None:
        super().__init__()
        self.padding = spread(padding, 2 * self.spatial)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ZeroPad(_Pad):
    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", 0.0)


class _ConstantPad(_Pad):
    def __init__(self, padding: Size, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ReflectionPad(_Pad):
    mode = "reflect"


class _ReplicationPad(_Pad):
    mode = "replicate"


class _CircularPad(_Pad):
    mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        n = self.spatial
        if input.ndim not in (n + 1, n + 2):
            raise ValueError(f"CircularPad{n}d: expected {n + 1}D or {n + 2}D input (got {input.ndim}D input); add or drop dims")
        return super().forward(input)


class ZeroPad1d(_ZeroPad):
    """Zeros around (N, C, W)."""

    spatial = 1


class ZeroPad2d(_ZeroPad):
    """Zeros around (N, C, H, W)."""

    spatial = 2


class ZeroPad3d(_ZeroPad):
    """Zeros around (N, C, D, H, W)."""

    spatial = 3


class ConstantPad1d(_ConstantPad):
    """A constant around (N, C, W)."""

    spatial = 1


class ConstantPad2d(_ConstantPad):
    """A constant around (N, C, H, W)."""

    spatial = 2


class ConstantPad3d(_ConstantPad):
    """A constant around (N, C, D, H, W)."""

    spatial = 3


class ReflectionPad1d(_ReflectionPad):
    """The mirrored inside around (N, C, W)."""

    spatial = 1


class ReflectionPad2d(_ReflectionPad):
    """The mirrored inside around (N, C, H, W)."""

    spatial = 2


class ReflectionPad3d(_ReflectionPad):
    """The mirrored inside around (N, C, D, H, W)."""

    spatial = 3


class ReplicationPad1d(_ReplicationPad):
    """The edge values around (N, C, W)."""

    spatial = 1


class ReplicationPad2d(_ReplicationPad):
    """The edge values around (N, C, H, W)."""

    spatial = 2


class ReplicationPad3d(_ReplicationPad):
    """The edge values around (N, C, D, H, W)."""

    spatial = 3


class CircularPad1d(_CircularPad):
    """The opposite side around (N, C, W)."""

    spatial = 1


class CircularPad2d(_CircularPad):
    """The opposite side around (N, C, H, W)."""

    spatial = 2


class CircularPad3d(_CircularPad):
    """The opposite side around (N, C, D, H, W)."""

    spatial = 3
