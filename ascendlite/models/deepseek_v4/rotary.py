"""Rotary angles: partial (only the last elements of a head turn), interleaved, with YaRN on layers that compress.

A table covers the whole head: elements that do not turn have the frequency 0, so that one op turns a row. There is no YaRN factor on
cosines or on the softmax, and YaRN holds at every length.
"""

from __future__ import annotations

import math

import ascendlite as al
from ascendlite.core import Tensor

from .config import DeepseekV4Config


def frequencies(config: DeepseekV4Config, head_dim: int, compressed: bool) -> tuple[float, ...]:
    """Radians a position for each pair of a head, the first (head_dim - qk_rope_head_dim) / 2 of them 0."""
    dim = config.qk_rope_head_dim
    theta = config.compress_rope_theta if compressed else config.rope_theta
    plain = [theta ** (-2 * i / dim) for i in range(dim // 2)]
    turning = [w * (1 - r) + w / config.rope_factor * r for w, r in zip(plain, _ramp(config, theta), strict=True)] if compressed else plain
    return (0.0,) * ((head_dim - dim) // 2) + tuple(turning)


def _ramp(config: DeepseekV4Config, theta: float) -> list[float]:
    """YaRN (arXiv:2309.00071, section 3.2): 0 where a pair keeps its frequency, 1 where it is divided by the factor."""
    dim, length = config.qk_rope_head_dim, config.rope_original_length

    def pair_that_turns(times: float) -> float:
        return dim * math.log(length / (times * 2 * math.pi)) / (2 * math.log(theta))

    low = max(math.floor(pair_that_turns(config.rope_beta_fast)), 0)
    high = min(math.ceil(pair_that_turns(config.rope_beta_slow)), dim - 1)
    width = high - low or 0.001
    return [min(max((i - low) / width, 0.0), 1.0) for i in range(dim // 2)]


def tables(positions: Tensor, frequency: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """Cosines and sines, (*positions, pairs), of float32 angles, as the reference has them."""
    angles = positions.float().unsqueeze(-1) * al.tensor(frequency, dtype=al.float32, device=positions.device)
    return angles.cos(), angles.sin()


def turn(x: Tensor, table: tuple[Tensor, Tensor], *, inverse: bool = False) -> Tensor:
    """Rows of x turned by a table that broadcasts to them."""
    return al.rope(x, *table, interleaved=True, inverse=inverse)
