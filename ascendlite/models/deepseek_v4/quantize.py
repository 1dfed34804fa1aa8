"""Training as if numbers were stored in few bits: every op rounds what it is given and lets gradients through unchanged.

What the published model does to its numbers in use, each of them a switch of `Quantization`: key-value entries in fp8, activations of
fp8 products in fp8, weights in fp8, routed experts' weights in MXFP4, the indexer's queries and keys in MXFP4 behind a Hadamard turn.
HiFloat8 (arXiv:2409.16626), which needs no scale, may take the place of fp8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import ascendlite as al
from ascendlite.autograd import Function
from ascendlite.core import Tensor, no_grad
from ascendlite.errors import ArgumentError

from .codecs import LARGEST, exponents, power_of_two, rounded
from .formats import FP4, FP8

_LEAST = 1e-4  # the least magnitude that an activation's fp8 scale is made for, as in the reference


class _StraightThrough(Function):
    """The rounded values forward, the gradient as it is backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rounded: Tensor) -> Tensor:
        return rounded.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return grad, None


def straight_through(x: Tensor, rounding: Callable[[Tensor], Tensor]) -> Tensor:
    """`rounding(x)` in x's dtype, with the gradient of x."""
    with no_grad():
        made = rounding(x.detach().float()).to(x.dtype)
    return _StraightThrough.apply(x, made)  # type: ignore[no-any-return]


def _rows(x: Tensor, block: int) -> Tensor:
    """(..., n) to (..., blocks, block), padded with zeros."""
    n = x.shape[-1]
    if n % block:
        x = al.nn.functional.pad(x, (0, -n % block))
    return x.unflatten(-1, (-1, block))


def _by_rows(x: Tensor, block: int, limit: float, least: float, to_code: Callable[[Tensor], Tensor]) -> Tensor:
    blocks = _rows(x, block)
    scale = power_of_two(exponents(blocks.abs().amax(-1, keepdim=True).clamp(min=least), limit))
    return (to_code(blocks / scale) * scale).flatten(-2)[..., : x.shape[-1]]


def fake_fp8(x: Tensor, block: int = 128) -> Tensor:
    """e4m3 values with a power-of-two scale for each `block` elements of a row.

    >>> fake_fp8(al.tensor([0.3, 100.0]))
    tensor([ 0.3125, 96.0000])
    """
    return straight_through(x, lambda v: _by_rows(v, block, LARGEST[FP8.name], _LEAST, lambda t: t.to(al.float8_e4m3fn).float()))


def fake_fp4(x: Tensor, block: int = 32) -> Tensor:
    """MXFP4: e2m1 values with a power-of-two scale for each 32 elements of a row; blocks of zeros stay zeros.

    >>> fake_fp4(al.tensor([0.3, 5.0, -2.6]))
    tensor([ 0.5000,  4.0000, -3.0000])
    """
    return straight_through(x, lambda v: _by_rows(v, block, LARGEST[FP4.name], 0.0, lambda t: al.fp4_decode(al.fp4_encode(t))))


def fake_hif8(x: Tensor, block: int = 0) -> Tensor:
    """HiFloat8 values; there is no scale, and `block` is not looked at.

    >>> fake_hif8(al.tensor([0.3, 100.0]))
    tensor([ 0.3125, 96.0000])
    """
    return straight_through(x, lambda v: v.to(al.hifloat8).float())


def fake_fp8_weight(w: Tensor) -> Tensor:
    """e4m3 values of a matrix with a power-of-two scale for each 128 x 128 elements: what a checkpoint would hold."""
    return straight_through(w, lambda v: rounded(v, FP8))


def hadamard(n: int, like: Tensor) -> Tensor:
    """The normalised n x n Hadamard matrix (Sylvester's): symmetric, its own inverse."""
    if n < 1 or n & (n - 1):
        raise ArgumentError(f"hadamard: n is {n}; it must be a power of two")
    h = al.ones(1, 1, device=like.device)
    while h.shape[0] < n:
        h = al.cat((al.cat((h, h), 1), al.cat((h, -h), 1)), 0)
    return h * n**-0.5


_ACTIVATIONS: dict[str, Callable[[Tensor, int], Tensor]] = {"fp8": fake_fp8, "hif8": fake_hif8}
_WEIGHTS: dict[str, Callable[[Tensor], Tensor]] = {"fp8": fake_fp8_weight, "hif8": fake_hif8, "fp4": fake_fp4}
_INDEX: dict[str, Callable[[Tensor], Tensor]] = {"fp4": fake_fp4}


@dataclass(frozen=True)
class Quantization:
    """Which numbers are rounded, and to what; None: kept.

    `kv`: the elements of key-value entries that do not turn, in blocks of 64; `activations`: what goes into quantised products, in
    blocks of 128; `weights`: of attention, shared experts and MTP; `experts`: routed weights; `index`: the indexer's queries and keys.

    >>> Quantization.published().experts
    'fp4'
    """

    kv: str | None = None
    activations: str | None = None
    weights: str | None = None
    experts: str | None = None
    index: str | None = None

    def __post_init__(self) -> None:
        known = {"kv": [*_ACTIVATIONS], "activations": [*_ACTIVATIONS], "weights": [*_WEIGHTS], "experts": [*_WEIGHTS], "index": [*_INDEX]}
        for field in fields(self):
            value, names = getattr(self, field.name), known[field.name]
            if value is not None and value not in names:
                raise ArgumentError(f"Quantization: {field.name} is {value!r}; it must be None or one of {', '.join(names)}")

    @staticmethod
    def published() -> Quantization:
        """What the published instruct model does."""
        return Quantization(kv="fp8", activations="fp8", weights="fp8", experts="fp4", index="fp4")

    @staticmethod
    def qat() -> Quantization:
        """What post-training prepares for: MXFP4 experts and indexer."""
        return Quantization(experts="fp4", index="fp4")

    def entry(self, x: Tensor, turning: int) -> Tensor:
        """Key-value entries, (..., D), whose last `turning` elements are kept."""
        if self.kv is None:
            return x
        still = x.shape[-1] - turning
        return al.cat((_ACTIVATIONS[self.kv](x[..., :still], 64), x[..., still:]), -1)

    def activation(self, x: Tensor) -> Tensor:
        """What goes into a quantised product."""
        return x if self.activations is None else _ACTIVATIONS[self.activations](x, 128)

    def weight(self, w: Tensor) -> Tensor:
        """A matrix that checkpoints store in fp8."""
        return w if self.weights is None else _WEIGHTS[self.weights](w)

    def expert(self, w: Tensor) -> Tensor:
        """Matrices of the routed experts."""
        return w if self.experts is None else _WEIGHTS[self.experts](w)

    def index_rows(self, x: Tensor) -> Tensor:
        """The indexer's queries or keys: a Hadamard turn, which changes no score, spreads what stands out before it is rounded."""
        if self.index is None:
            return x
        return _INDEX[self.index]((x.float() @ hadamard(x.shape[-1], x)).to(x.dtype))


NONE = Quantization()
