"""Drawing by probabilities: bernoulli and multinomial."""

from __future__ import annotations

from ascendlite.core import Generator, Op, Tensor, deliver, doubles_on_npu, empty, float64, full, function, int64, next_philox, zeros_like
from ascendlite.errors import ArgumentError, DTypeError, ShapeError
from ascendlite.ops.random import EXPONENTIAL, UNIFORM, drawn, float_only, like_of
from ascendlite.ops.search import searchsorted

BERNOULLI = Op("philox_bernoulli", inputs=1, infer=lambda p: p)


@function(methods=("bernoulli",))
def bernoulli(
    input: Tensor, p: float | None = None, *, generator: Generator | None = None, out: Tensor | None = None
) -> Tensor:
    """Ones with the probabilities that the input holds (or with probability p, in its shape); else zeros."""
    chances = float_only(input, "bernoulli").detach().contiguous() if p is None else chance_of(p, "bernoulli", input)
    return deliver(drawn(BERNOULLI, like_of(input, None, None), generator, inputs=(chances,)), out)


# The gradient is torch's: none reaches the rates.
_POISSON = Op("philox_poisson", inputs=1, infer=lambda rates, seed, offset: rates, vjp=(lambda g, _y, rates, seed, offset: zeros_like(rates),))


@function()
def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Poisson variates with the rates that the input holds, in its dtype; rates reach from 0 to 1e9.

    >>> al.poisson(al.zeros(3))
    tensor([0., 0., 0.])
    """
    rates = float_only(input, "poisson").contiguous()
    seed, offset = (0, 0) if input.device.type == "meta" else next_philox(generator, input.numel())
    return _POISSON(rates, seed, offset)


@doubles_on_npu()
def chance_of(p: float, op: str, like: Tensor) -> Tensor:
    if not 0 <= p <= 1:
        raise ArgumentError(f"{op}: expects p to be in [0, 1], but got p={p}")
    return full((), p, dtype=float64, device=like.device)


@function(methods=("multinomial",))
def multinomial(
    input: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Indices drawn by the weights in each row, with or without putting them back."""
    if input.ndim not in (1, 2):
        raise ShapeError(f"multinomial: prob_dist must be 1 or 2 dim: got {input.ndim}")
    float_only(input, "multinomial")
    if num_samples <= 0:
        raise ArgumentError(f"multinomial: cannot sample n_sample <= 0 samples: got {num_samples}")
    if out is not None and out.dtype is not int64:
        raise DTypeError(f"multinomial: expects Long tensor out, got: {out.dtype}")
    return deliver(_drawn_by_weight(input, num_samples, replacement, generator), out)


def _told(answer: Tensor, on_meta: bool) -> bool:
    """What a tensor says of values; those of meta nobody knows, and they are taken to be right."""
    return on_meta if answer.is_meta else bool(answer)


@doubles_on_npu()
def _drawn_by_weight(input: Tensor, num_samples: int, replacement: bool, generator: Generator | None) -> Tensor:
    weights = input.detach().to(float64)
    if not replacement and num_samples > input.shape[-1]:
        raise ArgumentError(
            "multinomial: cannot sample n_sample > prob_dist.size(-1) samples without "
            f"replacement: {num_samples} of {input.shape[-1]}"
        )
    if _told(((weights < 0) | ~weights.isfinite()).any(), False):
        raise ArgumentError("multinomial: probability tensor contains either `inf`, `nan` or element < 0")
    if not _told((weights.sum(-1) > 0).all(), True):
        raise ArgumentError("multinomial: invalid multinomial distribution (sum of probabilities <= 0)")
    if not replacement:
        race = drawn(EXPONENTIAL, empty(weights.shape, dtype=float64, device=input.device), generator, 1.0)
        return (weights / race).topk(num_samples, -1).indices
    ends = weights.cumsum(-1)
    new = empty((*input.shape[:-1], num_samples), dtype=float64, device=input.device)
    places = drawn(UNIFORM, new, generator, 0.0, 1 - 2**-52) * ends.narrow(-1, ends.shape[-1] - 1, 1)
    return searchsorted(ends, places, right=True)
