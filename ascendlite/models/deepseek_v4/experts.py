"""Mixture of experts: routing by a hash of the token or by score, the experts as grouped products, and a shared expert."""

from __future__ import annotations

from dataclasses import dataclass

import ascendlite as al
from ascendlite import nn
from ascendlite.core import DType, Tensor, float32
from ascendlite.nn import functional as F

from .config import DeepseekV4Config
from .layers import Projection, full_precision
from .quantize import NONE, Quantization
from .side import Side

_TINY_EXP = -17.0  # below, log1p(e^x) is e^x to float32's last bit


def sqrt_softplus(x: Tensor) -> Tensor:
    """sqrt(log(1 + e^x)), with a finite gradient where e^x underflows: it is e^(x/2) there."""
    low = x < _TINY_EXP
    return al.where(low, (x.clamp(max=0.0) * 0.5).exp(), F.softplus(x.clamp(min=_TINY_EXP)).sqrt())


def clamped_swiglu(gate: Tensor, up: Tensor, limit: float) -> Tensor:
    """silu(min(gate, limit)) * clamp(up, -limit, limit)."""
    return al.swiglu(gate.clamp(max=limit), up.clamp(-limit, limit))


@dataclass(frozen=True)
class Routes:
    """Which experts each of N tokens goes to, (N, K), with which weights, and all scores, (N, E)."""

    experts: Tensor
    weights: Tensor
    scores: Tensor


class Gate(nn.Module):
    """Scores of the experts, in float32; the first layers choose by a table of tokens, the others by score plus a balancing bias."""

    bias: Tensor | None
    tid2eid: Tensor | None

    def __init__(self, config: DeepseekV4Config, layer: int) -> None:
        super().__init__()
        self.config = config
        E, K = config.n_routed_experts, config.num_experts_per_tok
        self.weight = nn.Parameter(al.randn(E, config.hidden_size, dtype=float32) * config.initializer_range)
        hashed = layer < config.num_hash_layers
        self.register_buffer("bias", None if hashed else al.zeros(E, dtype=float32))
        self.register_buffer("tid2eid", _spread(config.vocab_size, E, K) if hashed else None)

    def forward(self, x: Tensor, tokens: Tensor, replayed: Tensor | None) -> Routes:
        """Routes for x, (N, d), and its tokens, (N,)."""
        with full_precision():
            scores = sqrt_softplus(F.linear(x.float(), self.weight))
        if replayed is not None:
            experts = replayed
        elif self.tid2eid is not None:
            experts = self.tid2eid.index_select(0, tokens)
        else:
            assert self.bias is not None
            experts = al.topk(scores.detach() + self.bias, self.config.num_experts_per_tok).indices
        chosen = al.gather(scores, 1, experts)
        weights = chosen / (chosen.sum(-1, keepdim=True) + 1e-20) * self.config.routed_scaling_factor
        return Routes(experts, weights, scores)


def _spread(vocab: int, experts: int, chosen: int) -> Tensor:
    """A table for training from scratch: every token has different experts, and every expert nearly as many tokens."""
    token = al.arange(vocab).unsqueeze(1)
    stride = max(1, experts // chosen)
    return (token * 7 + al.arange(chosen) * stride).remainder(experts)


class Experts(nn.Module):
    """The routed experts, (E, out, in) a matrix, as products of groups of tokens."""

    def __init__(self, config: DeepseekV4Config, dtype: DType | None = None) -> None:
        super().__init__()
        self.limit = config.swiglu_limit
        self.quantization: Quantization = NONE
        E, d, m, std = config.n_routed_experts, config.hidden_size, config.moe_intermediate_size, config.initializer_range
        self.w1, self.w3, self.w2 = (nn.Parameter(al.randn(E, *shape, dtype=dtype) * std) for shape in ((m, d), (m, d), (d, m)))

    def forward(self, x: Tensor, routes: Routes) -> Tensor:
        """The weighted sum of the chosen experts' results, float32, (N, d)."""
        N, K = routes.experts.shape
        flat = routes.experts.reshape(-1)
        by_expert, order = al.sort(flat, stable=True)
        ends = al.searchsorted(by_expert, al.arange(self.w1.shape[0], device=x.device), right=True)
        quant = self.quantization
        rows = quant.activation(x).index_select(0, order.div(K, rounding_mode="floor"))
        gate, up = (al.grouped_mm(rows, quant.expert(w).transpose(1, 2), offs=ends) for w in (self.w1, self.w3))
        weights = routes.weights.reshape(-1).index_select(0, order).unsqueeze(1)
        inner = (clamped_swiglu(gate, up, self.limit) * weights).to(x.dtype)
        y = al.grouped_mm(quant.activation(inner), quant.expert(self.w2).transpose(1, 2), offs=ends)
        back = al.argsort(order)
        return y.float().index_select(0, back).view(N, K, -1).sum(1)


class SharedExpert(nn.Module):
    """The expert that sees every token."""

    def __init__(self, config: DeepseekV4Config, dtype: DType | None = None) -> None:
        super().__init__()
        self.limit = config.swiglu_limit
        d, m, std = config.hidden_size, config.moe_intermediate_size * config.n_shared_experts, config.initializer_range
        self.w1, self.w3 = Projection(d, m, std, dtype), Projection(d, m, std, dtype)
        self.w2 = Projection(m, d, std, dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.w2(clamped_swiglu(self.w1(x), self.w3(x), self.limit))


class MoE(nn.Module):
    """The feed-forward part of a layer."""

    def __init__(self, config: DeepseekV4Config, layer: int, dtype: DType | None = None) -> None:
        super().__init__()
        self.layer = layer
        self.gate = Gate(config, layer)
        self.experts = Experts(config, dtype)
        self.shared_experts = SharedExpert(config, dtype) if config.n_shared_experts else None

    def forward(self, x: Tensor, tokens: Tensor, side: Side) -> tuple[Tensor, Routes]:
        """(B, T, d) and its tokens, (B, T), to (B, T, d) and the routes."""
        B, T, d = x.shape
        flat = x.reshape(B * T, d)
        replayed = side.replayed_experts(self.layer)
        routes = self.gate(flat, tokens.reshape(-1), None if replayed is None else replayed.reshape(B * T, -1))
        y = self.experts(flat, routes)
        if self.shared_experts is not None:
            y = y + self.shared_experts(flat)
        return y.to(x.dtype).view(B, T, d), routes


def loads_of(routes: Routes, real: Tensor | None) -> Tensor:
    """How many tokens chose each expert, float32, (E,), without padding (`real`, (B, T), false)."""
    (N, K), E = routes.experts.shape, routes.scores.shape[1]
    ones = al.ones(N, K, device=routes.scores.device) if real is None else real.reshape(-1, 1).float().expand(N, K)
    return al.zeros(E, device=ones.device).scatter_add(0, routes.experts.reshape(-1), ones.reshape(-1))


def balance_loss(routes: Routes, real: Tensor | None, batch: int) -> Tensor:
    """sum_e f_e P_e, a mean over sequences (arXiv:2412.19437, equations 17 to 20, without the factor alpha).

    f_e = E / (K T) times how many of a sequence's T tokens chose e; P_e = the mean of the tokens' normalised scores.
    """
    E, K = routes.scores.shape[1], routes.experts.shape[1]
    chosen = al.zeros(routes.scores.shape, dtype=float32, device=routes.scores.device).scatter(1, routes.experts, value=1.0)
    share = routes.scores / routes.scores.sum(-1, keepdim=True)
    chosen, share = (t.view(batch, -1, E) for t in (chosen, share))
    if real is not None:
        mask = real.unsqueeze(-1).float()
        chosen, share = chosen * mask, share * mask
        tokens = mask.sum(1).clamp(min=1.0)  # (B, 1)
    else:
        tokens = al.full((batch, 1), float(chosen.shape[1]), dtype=float32, device=chosen.device)
    f, p = chosen.sum(1) * (E / K) / tokens, share.sum(1) / tokens
    return (f * p).sum(-1).mean()
