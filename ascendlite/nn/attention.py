"""MultiheadAttention, the layer; the function is in attention_function.py."""

from __future__ import annotations

from ..core import Device, DType, Tensor, empty
from . import init
from .attention_backends import SDPBackend as SDPBackend
from .attention_backends import sdpa_kernel as sdpa_kernel
from .attention_function import multi_head_attention_forward
from .linear import Linear
from .module import Module
from .parameter import Parameter


class MultiheadAttention(Module):
    """Attention in `num_heads` heads: (T, B, E), (S, B, E), (S, B, E) -> (T, B, E) and weights (B, T, S).

    >>> attention = al.nn.MultiheadAttention(8, 2, batch_first=True)
    >>> x = al.ones(3, 5, 8)
    >>> out, weights = attention(x, x, x)
    >>> out.shape, weights.shape
    ((3, 5, 8), (3, 5, 5))
    """

    in_proj_weight: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: str | Device | None = None,
        dtype: DType | None = None,
    ) -> None:
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"MultiheadAttention: embed_dim and num_heads must be greater than 0, got "
                f"embed_dim={embed_dim} and num_heads={num_heads}"
            )
        if embed_dim % num_heads:
            raise AssertionError(
                f"MultiheadAttention: embed_dim {embed_dim} must be divisible by num_heads {num_heads}"
            )
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.head_dim = embed_dim // num_heads
        self.add_zero_attn = add_zero_attn
        self._add_parameters(bias, add_bias_kv, device, dtype)
        self._reset_parameters()

    def _add_parameters(
        self, bias: bool, add_bias_kv: bool, device: str | Device | None, dtype: DType | None
    ) -> None:
        E, packed = self.embed_dim, self._qkv_same_embed_dim

        def add(name: str, wanted: bool, *shape: int) -> None:
            self.register_parameter(
                name, Parameter(empty(shape, device=device, dtype=dtype)) if wanted else None
            )

        add("q_proj_weight", not packed, E, E)
        add("k_proj_weight", not packed, E, self.kdim)
        add("v_proj_weight", not packed, E, self.vdim)
        add("in_proj_weight", packed, 3 * E, E)
        add("in_proj_bias", bias, 3 * E)
        self.out_proj = Linear(E, E, bias=bias, device=device, dtype=dtype)
        add("bias_k", add_bias_kv, 1, 1, E)
        add("bias_v", add_bias_kv, 1, 1, E)

    def _reset_parameters(self) -> None:
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        for bias in (self.in_proj_bias, self.out_proj.bias if self.in_proj_bias is not None else None):
            if bias is not None:
                init.zeros_(bias)
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                init.xavier_normal_(extra)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        turn = self.batch_first and query.ndim == 3
        if turn:
            query, key, value = _sequence_first(query, key, value)
        out, weights = multi_head_attention_forward(
            query,
            key,
            value,
            self.embed_dim,
            self.num_heads,
            self.in_proj_weight,
            self.in_proj_bias,
            self.bias_k,
            self.bias_v,
            self.add_zero_attn,
            self.dropout,
            self.out_proj.weight,
            self.out_proj.bias,
            training=self.training,
            key_padding_mask=key_padding_mask,
            need_weights=need_weights,
            attn_mask=attn_mask,
            use_separate_proj_weight=not self._qkv_same_embed_dim,
            q_proj_weight=self.q_proj_weight,
            k_proj_weight=self.k_proj_weight,
            v_proj_weight=self.v_proj_weight,
            average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )
        return (out.transpose(0, 1) if turn else out), weights


def _sequence_first(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(B, T, E) -> (T, B, E); what was one tensor stays one, so that it is projected once."""
    turned = {id(x): x.transpose(0, 1) for x in (query, key, value)}
    return turned[id(query)], turned[id(key)], turned[id(value)]
