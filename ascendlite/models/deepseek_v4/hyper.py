"""Manifold-constrained hyper-connections (mHC, arXiv:2512.24880): the residual stream is n streams, mixed by a doubly stochastic matrix.

The places of eps, the factor 2 of `post`, and the order of Sinkhorn's steps are the reference implementation's. All in float32.
"""

from __future__ import annotations

import ascendlite as al
from ascendlite import nn
from ascendlite.core import Tensor, float32
from ascendlite.nn import functional as F

from .config import DeepseekV4Config
from .layers import full_precision


def initial_fn(rows: int, columns: int, std: float) -> nn.Parameter:
    return nn.Parameter(al.randn(rows, columns, dtype=float32) * std)


class HyperConnection(nn.Module):
    """Weights that take the streams into a sub-layer and its result back into them."""

    def __init__(self, config: DeepseekV4Config) -> None:
        super().__init__()
        self.streams, self.iterations, self.eps, self.norm_eps = config.hc_mult, config.hc_sinkhorn_iters, config.hc_eps, config.rms_norm_eps
        n = self.streams
        self.fn = initial_fn(n * (n + 2), n * config.hidden_size, config.initializer_range)
        self.base = nn.Parameter(al.zeros(n * (n + 2), dtype=float32))
        self.scale = nn.Parameter(al.ones(3, dtype=float32))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The sub-layer's input, (B, T, d), then `post`, (B, T, n), and `mix`, (B, T, n, n), for `join`, of streams (B, T, n, d)."""
        B, T, n, d = x.shape
        with full_precision():
            flat = F.rms_norm(x.reshape(B, T, n * d).float(), (n * d,), eps=self.norm_eps)
            scale = al.cat([self.scale[i : i + 1].expand(count) for i, count in enumerate((n, n, n * n))])
            m = F.linear(flat, self.fn) * scale + self.base
            pre = m[..., :n].sigmoid() + self.eps
            post = m[..., n : 2 * n].sigmoid() * 2
            mix = F.sinkhorn(m[..., 2 * n :].reshape(B, T, n, n), self.iterations, self.eps)
        return collapse(x, pre), post, mix


def collapse(x: Tensor, weights: Tensor) -> Tensor:
    """The weighted sum of the streams, in their dtype: (B, T, n, d) and (B, T, n) to (B, T, d)."""
    return (x * weights.unsqueeze(-1)).sum(2).to(x.dtype)


def join(x: Tensor, y: Tensor, post: Tensor, mix: Tensor) -> Tensor:
    """The streams behind a sub-layer: stream j is post_j y + sum_i mix_ij x_i."""
    with full_precision():
        mixed = mix.transpose(-2, -1) @ x.to(mix.dtype)
    return (y.unsqueeze(2) * post.unsqueeze(-1) + mixed).to(x.dtype)


class HyperHead(nn.Module):
    """Takes the streams at the end of the stack into one."""

    def __init__(self, config: DeepseekV4Config) -> None:
        super().__init__()
        self.eps, self.norm_eps = config.hc_eps, config.rms_norm_eps
        self.fn = initial_fn(config.hc_mult, config.hc_mult * config.hidden_size, config.initializer_range)
        self.base = nn.Parameter(al.zeros(config.hc_mult, dtype=float32))
        self.scale = nn.Parameter(al.ones(1, dtype=float32))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, n, d) to (B, T, d)."""
        B, T, n, d = x.shape
        with full_precision():
            flat = F.rms_norm(x.reshape(B, T, n * d).float(), (n * d,), eps=self.norm_eps)
            return collapse(x, (F.linear(flat, self.fn) * self.scale + self.base).sigmoid() + self.eps)
