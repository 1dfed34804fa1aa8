"""Activations as modules: each row is a function of `functional` and its options."""

from __future__ import annotations

from typing import ClassVar

from ..core import Device, DType, Tensor, full
from ..errors import AssertedValueError
from . import functional as F
from .module import Module
from .options import Optioned, options
from .parameter import Parameter

_INPLACE = ("inplace",)


@options
class ReLU(Optioned):
    """max(x, 0)."""

    inplace: bool = False
    shown: ClassVar = _INPLACE

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(input, self.inplace)


@options
class ReLU6(Optioned):
    """min(max(x, 0), 6)."""

    inplace: bool = False
    shown: ClassVar = _INPLACE

    def forward(self, input: Tensor) -> Tensor:
        return F.relu6(input, self.inplace)


@options
class RReLU(Optioned):
    """Leaky ReLU with a slope drawn at random in training."""

    lower: float = 1.0 / 8
    upper: float = 1.0 / 3
    inplace: bool = False
    shown: ClassVar = ("lower", "upper", "inplace")

    def forward(self, input: Tensor) -> Tensor:
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)


@options
class Threshold(Optioned):
    """x where x > threshold, else value."""

    threshold: float
    value: float
    inplace: bool = False
    shown: ClassVar = ("threshold", "value", "inplace")

    def forward(self, input: Tensor) -> Tensor:
        return F.threshold(input, self.threshold, self.value, self.inplace)


@options
class Hardtanh(Optioned):
    """x clamped to [min_val, max_val]."""

    min_val: float = -1.0
    max_val: float = 1.0
    inplace: bool = False
    shown: ClassVar = ("min_val", "max_val", "inplace")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_val <= self.min_val:
            raise AssertedValueError(
                f"Hardtanh: max_val {self.max_val} is not above min_val {self.min_val}; swap them"
            )

    def forward(self, input: Tensor) -> Tensor:
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)


@options
class Sigmoid(Optioned):
    """1 / (1 + exp(-x))."""

    def forward(self, input: Tensor) -> Tensor:
        return F.sigmoid(input)


@options
class Tanh(Optioned):
    """Hyperbolic tangent."""

    def forward(self, input: Tensor) -> Tensor:
        return F.tanh(input)


@options
class SiLU(Optioned):
    """x * sigmoid(x)."""

    inplace: bool = False
    shown: ClassVar = _INPLACE

    def forward(self, input: Tensor) -> Tensor:
        return F.silu(input, self.inplace)


@options
class Mish(Optioned):
    """x * tanh(softplus(x))."""

    inplace: bool = False
    shown: ClassVar = _INPLACE

    def forward(self, input: Tensor) -> Tensor:
        return F.mish(input, self.inplace)


@options
class Hardswish(Optioned):
    """x * relu6(x + 3) / 6."""

    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        return F.hardswish(input, self.inplace)


@options
class Hardsigmoid(Optioned):
    """relu6(x + 3) / 6."""

    inplace: bool = False

    def forward(self, input: Tensor) -> Tensor:
        return F.hardsigmoid(input, self.inplace)


@options
class ELU(Optioned):
    """x, and alpha * (exp(x) - 1) below zero."""

    alpha: float = 1.0
    inplace: bool = False
    shown: ClassVar = ("alpha", "inplace")

    def forward(self, input: Tensor) -> Tensor:
        return F.elu(input, self.alpha, self.inplace)


@options
class CELU(Optioned):
    """x, and alpha * (exp(x / alpha) - 1) below zero."""

    alpha: float = 1.0
    inplace: bool = False
    shown: ClassVar = ("alpha", "inplace")

    def forward(self, input: Tensor) -> Tensor:
        return F.celu(input, self.alpha, self.inplace)


@options
class SELU(Optioned):
    """Scaled ELU with self-normalising constants."""

    inplace: bool = False
    shown: ClassVar = _INPLACE

    def forward(self, input: Tensor) -> Tensor:
        return F.selu(input, self.inplace)


@options
class GLU(Optioned):
    """First half of `dim` times the sigmoid of the second half."""

    dim: int = -1
    shown: ClassVar = ("dim",)

    def forward(self, input: Tensor) -> Tensor:
        return F.glu(input, self.dim)


@options
class GELU(Optioned):
    """x * Phi(x), by erf or by the tanh approximation."""

    approximate: str = "none"
    shown: ClassVar = ("approximate",)

    def forward(self, input: Tensor) -> Tensor:
        return F.gelu(input, approximate=self.approximate)


@options
class Hardshrink(Optioned):
    """x, and 0 within [-lambd, lambd]."""

    lambd: float = 0.5

    def extra_repr(self) -> str:
        return f"{self.lambd}"

    def forward(self, input: Tensor) -> Tensor:
        return F.hardshrink(input, self.lambd)


@options
class Softshrink(Optioned):
    """x moved towards 0 by lambd."""

    lambd: float = 0.5

    def extra_repr(self) -> str:
        return f"{self.lambd}"

    def forward(self, input: Tensor) -> Tensor:
        return F.softshrink(input, self.lambd)


@options
class Tanhshrink(Optioned):
    """x - tanh(x)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.tanhshrink(input)


@options
class LeakyReLU(Optioned):
    """x, and negative_slope * x below zero."""

    negative_slope: float = 1e-2
    inplace: bool = False
    shown: ClassVar = ("negative_slope", "inplace")

    def forward(self, input: Tensor) -> Tensor:
        return F.leaky_relu(input, self.negative_slope, self.inplace)


@options
class LogSigmoid(Optioned):
    """log(sigmoid(x))."""

    def forward(self, input: Tensor) -> Tensor:
        return F.logsigmoid(input)


@options
class Softplus(Optioned):
    """log(1 + exp(beta * x)) / beta, linear above threshold."""

    beta: float = 1.0
    threshold: float = 20.0
    shown: ClassVar = ("beta", "threshold")

    def forward(self, input: Tensor) -> Tensor:
        return F.softplus(input, self.beta, self.threshold)


@options
class Softsign(Optioned):
    """x / (1 + |x|)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.softsign(input)


def _class_dim(dim: int | None, ndim: int) -> int:
    # torch's implicit dimension where none is named: 0 for 0, 1 and 3 dimensions, else 1
    return dim if dim is not None else 0 if ndim in (0, 1, 3) else 1


@options
class Softmax(Optioned):
    """Softmax over `dim`."""

    dim: int | None = None
    shown: ClassVar = ("dim",)

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(input, _class_dim(self.dim, input.ndim))


@options
class LogSoftmax(Optioned):
    """Logarithm of the softmax over `dim`."""

    dim: int | None = None
    shown: ClassVar = ("dim",)

    def forward(self, input: Tensor) -> Tensor:
        return F.log_softmax(input, _class_dim(self.dim, input.ndim))


@options
class Softmin(Optioned):
    """Softmax of -x over `dim`."""

    dim: int | None = None
    shown: ClassVar = ("dim",)

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(-input, _class_dim(self.dim, input.ndim))


@options
class Softmax2d(Optioned):
    """Softmax over the channels of (N, C, H, W) or (C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (3, 4):
            raise ValueError(
                f"Softmax2d: expected 3 or 4 dimensions, got {input.ndim} (shape {tuple(input.shape)})"
            )
        return F.softmax(input, -3)


class PReLU(Module):
    """Leaky ReLU with a learnt slope, one or one per channel."""

    weight: Parameter

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        device: str | Device | None = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(full((num_parameters,), init, device=device, dtype=dtype))

    def reset_parameters(self) -> None:
        self.weight.data.fill_(self.init)

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"
