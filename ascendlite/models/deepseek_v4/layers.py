"""Small layers that all parts share: the norm, and products that can be quantised."""

from __future__ import annotations

import ascendlite as al
from ascendlite import nn
from ascendlite.amp import autocast
from ascendlite.core import DType, Tensor, float32
from ascendlite.nn import functional as F

from .quantize import NONE, Quantization


def full_precision() -> autocast:
    """A context in which autocast does not touch products: what the reference computes in float32 stays so."""
    return autocast(enabled=False)


class Norm(nn.Module):
    """RMSNorm with a float32 weight, computed in float32 and cast back."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(al.ones(width, dtype=float32))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), tuple(self.weight.shape), self.weight, self.eps).to(x.dtype)


def projection(inputs: int, outputs: int, std: float, dtype: DType | None = None) -> nn.Linear:
    """A linear layer without bias, drawn from a normal distribution."""
    layer = nn.Linear(inputs, outputs, bias=False, dtype=dtype)
    nn.init.normal_(layer.weight, std=std)
    return layer


class Projection(nn.Linear):
    """One of the layers that checkpoints store in fp8: weight and input are rounded where `quantization` says so."""

    def __init__(self, inputs: int, outputs: int, std: float, dtype: DType | None = None) -> None:
        super().__init__(inputs, outputs, bias=False, dtype=dtype)
        nn.init.normal_(self.weight, std=std)
        self.quantization: Quantization = NONE

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(self.quantization.activation(input), self.quantization.weight(self.weight))
