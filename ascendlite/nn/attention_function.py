"""multi_head_attention_forward: projections, masks and heads around scaled dot-product attention."""

from __future__ import annotations

import math

from ..core import Tensor, zeros, zeros_like
from ..errors import AssertedShapeError, DTypeError
from ..ops.attention import scaled_dot_product_attention
from ..ops.matmul import linear
from ..ops.movement import cat, pad
from ..ops.random import dropout
from ..ops.softmax import softmax

_NAME = "multi_head_attention"
Masks = tuple[Tensor | None, Tensor | None]  # of scores, of keys


def _additive(mask: Tensor | None, like: Tensor, name: str) -> Tensor | None:
    """A mask as numbers to add to the scores: True in a boolean mask means "do not attend"."""
    if mask is None:
        return None
    if mask.dtype.is_floating_point:
        return mask if mask.dtype == like.dtype else mask.to(like.dtype)
    if str(mask.dtype).rpartition(".")[2] != "bool":
        raise DTypeError(
            f"{_NAME}: {name} has dtype {mask.dtype}; only bool and floating types are supported"
        )
    return zeros(tuple(mask.shape), dtype=like.dtype, device=like.device).masked_fill_(mask, float("-inf"))


def _check_shapes(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    key_padding_mask: Tensor | None,
    heads: int,
    attn_mask: Tensor | None,
) -> None:
    n = query.ndim
    shapes = f"query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}"
    if n not in (2, 3) or key.ndim != n or value.ndim != n:
        raise AssertedShapeError(f"{_NAME}: query, key and value must all be 3-D (batched) or all 2-D: {shapes}")
    if tuple(key.shape[:-1]) != tuple(value.shape[:-1]):
        raise AssertedShapeError(f"{_NAME}: key's sequence and batch dims do not match value's: {shapes}")
    B, T, S = (query.shape[1] if n == 3 else 1), query.shape[0], key.shape[0]
    wanted = (B, S) if n == 3 else (S,)
    if key_padding_mask is not None and tuple(key_padding_mask.shape) != wanted:
        raise AssertedShapeError(
            f"{_NAME}: key_padding_mask has shape {tuple(key_padding_mask.shape)}, expected {wanted}"
        )
    if attn_mask is not None and tuple(attn_mask.shape) not in ((T, S), (B * heads, T, S)):
        raise AssertedShapeError(
            f"{_NAME}: attn_mask has shape {tuple(attn_mask.shape)}, expected {(T, S)} or {(B * heads, T, S)}"
        )


def _project_packed(
    query: Tensor, key: Tensor, value: Tensor, weight: Tensor | None, bias: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    if weight is None:
        raise ValueError(f"{_NAME}: use_separate_proj_weight is False but in_proj_weight is None")
    E = query.shape[-1]
    if query is key and key is value:
        q, k, v = linear(query, weight, bias).chunk(3, -1)
        return q, k, v
    w_q, w_k, w_v = weight.chunk(3)
    b_q, b_k, b_v = (None, None, None) if bias is None else bias.split(E)
    return linear(query, w_q, b_q), linear(key, w_k, b_k), linear(value, w_v, b_v)


def _project_separate(
    inputs: tuple[Tensor, Tensor, Tensor],
    weights: tuple[Tensor | None, Tensor | None, Tensor | None],
    bias: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    biases = (None, None, None) if bias is None else bias.chunk(3)
    projected = []
    for name, x, weight, b in zip("qkv", inputs, weights, biases, strict=True):
        if weight is None:
            raise ValueError(f"{_NAME}: use_separate_proj_weight is True but {name}_proj_weight is None")
        projected.append(linear(x, weight, b))
    return projected[0], projected[1], projected[2]


def _merge_masks(attn_mask: Tensor | None, key_padding_mask: Tensor | None, B: int, H: int) -> Tensor | None:
    """Both masks as one that broadcasts to (B, H, T, S)."""
    mask = attn_mask
    if mask is not None:
        mask = mask.reshape(B, H, *mask.shape[-2:]) if mask.ndim == 3 else mask.reshape(1, 1, *mask.shape)
    if key_padding_mask is None:
        return mask
    padding = key_padding_mask.reshape(B, 1, 1, -1)
    return padding if mask is None else mask + padding


def _one_more(mask: Tensor | None) -> Tensor | None:
    return None if mask is None else pad(mask, (0, 1))


def _heads(x: Tensor, B: int, H: int) -> Tensor:
    return x.reshape(x.shape[0], B, H, -1).permute(1, 2, 0, 3)  # (T, B, E) -> (B, H, T, D)


def _attend(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout_p: float, causal: bool
) -> tuple[Tensor, Tensor | None]:
    """Attention that shows its weights, so it has to hold them; `causal` is in the mask already."""
    scores = (q * (1.0 / math.sqrt(q.shape[-1]))) @ k.transpose(-2, -1)  # (B, H, T, S)
    weights = softmax(scores if mask is None else scores + mask, -1)
    if dropout_p > 0.0:
        weights = dropout(weights, dropout_p)
    return weights @ v, weights


def _attend_unseen(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout_p: float, causal: bool
) -> tuple[Tensor, Tensor | None]:
    return scaled_dot_product_attention(q, k, v, mask, dropout_p, causal), None


def _extended(
    k: Tensor, v: Tensor, masks: Masks, bias_k: Tensor | None, bias_v: Tensor | None, zero: bool
) -> tuple[Tensor, Tensor, Masks]:
    """Keys and values with a learnt position and a zero one at the end; masks let both be attended to."""
    B, E = k.shape[1:]
    if bias_k is not None and bias_v is not None:
        k, v = cat([k, bias_k.expand(1, B, E)]), cat([v, bias_v.expand(1, B, E)])
        masks = (_one_more(masks[0]), _one_more(masks[1]))
    if zero:
        k, v = cat([k, zeros_like(k[:1])]), cat([v, zeros_like(v[:1])])
        masks = (_one_more(masks[0]), _one_more(masks[1]))
    return k, v, masks


def _batched(x: Tensor | None, dim: int) -> Tensor | None:
    return None if x is None else x.unsqueeze(dim)


def multi_head_attention_forward(
    query: Tensor, key: Tensor, value: Tensor, embed_dim_to_check: int, num_heads: int,
    in_proj_weight: Tensor | None, in_proj_bias: Tensor | None, bias_k: Tensor | None, bias_v: Tensor | None,
    add_zero_attn: bool, dropout_p: float, out_proj_weight: Tensor, out_proj_bias: Tensor | None,
    training: bool = True, key_padding_mask: Tensor | None = None, need_weights: bool = True,
    attn_mask: Tensor | None = None, use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None, k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None, static_k: Tensor | None = None, static_v: Tensor | None = None,
    average_attn_weights: bool = True, is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """Attention of (T, B, E) queries over (S, B, *) keys and values: the output and, if asked, weights.

    `static_k` and `static_v` (B heads, S, E / heads) stand in place of projected keys and values.
    """
    _check_shapes(query, key, value, key_padding_mask, num_heads, attn_mask)
    _check_heads(query, embed_dim_to_check, num_heads, is_causal, attn_mask)
    unbatched = query.ndim == 2
    if unbatched:
        lifted = {id(x): x.unsqueeze(1) for x in (query, key, value)}
        query, key, value = (lifted[id(x)] for x in (query, key, value))
        key_padding_mask = _batched(key_padding_mask, 0)
    T, B, E = query.shape
    causal = (
        is_causal and key_padding_mask is None and not need_weights and bias_k is None and not add_zero_attn
    )
    mask = None if causal else _additive(attn_mask, query, "attn_mask")
    masks = (mask, _additive(key_padding_mask, query, "key_padding_mask"))
    if use_separate_proj_weight:
        weights = (q_proj_weight, k_proj_weight, v_proj_weight)
        q, k, v = _project_separate((query, key, value), weights, in_proj_bias)
    else:
        q, k, v = _project_packed(query, key, value, in_proj_weight, in_proj_bias)
    k = k if static_k is None else _given(static_k, "static_k", B, num_heads, E, bias_k)
    v = v if static_v is None else _given(static_v, "static_v", B, num_heads, E, bias_v)
    k, v, masks = _extended(k, v, masks, bias_k, bias_v, add_zero_attn)
    q, k, v = (_heads(x, B, num_heads) for x in (q, k, v))
    run = _attend if need_weights else _attend_unseen
    out, shown = run(q, k, v, _merge_masks(*masks, B, num_heads), dropout_p if training else 0.0, causal)
    out = linear(out.permute(2, 0, 1, 3).reshape(T, B, E), out_proj_weight, out_proj_bias)
    shown = shown.mean(1) if shown is not None and average_attn_weights else shown
    if unbatched:
        return out.squeeze(1), None if shown is None else shown.squeeze(0)
    return out, shown


def _given(static: Tensor, name: str, batch: int, heads: int, embed_dim: int, bias: Tensor | None) -> Tensor:
    """Keys or values of heads as projections have them, (S, B, E)."""
    if bias is not None:
        raise AssertedShapeError(f"{_NAME}: a bias cannot be added to {name}; leave one of them out")
    if static.ndim != 3 or static.shape[0] != batch * heads or static.shape[2] != embed_dim // heads:
        raise AssertedShapeError(f"{_NAME}: expecting {name} of shape ({batch * heads}, S, {embed_dim // heads}), but got {tuple(static.shape)}")
    return static.reshape(batch, heads, -1, embed_dim // heads).permute(2, 0, 1, 3).reshape(-1, batch, embed_dim)


def _check_heads(
    query: Tensor, embed_dim: int, heads: int, is_causal: bool, attn_mask: Tensor | None
) -> None:
    if query.shape[-1] != embed_dim:
        raise AssertedShapeError(
            f"{_NAME}: was expecting embedding dimension of {embed_dim}, but got {query.shape[-1]} "
            f"(query {tuple(query.shape)})"
        )
    if embed_dim % heads:
        raise AssertedShapeError(f"{_NAME}: embed_dim {embed_dim} not divisible by num_heads {heads}")
    if is_causal and attn_mask is None:
        raise RuntimeError(f"{_NAME}: is_causal is only a hint; need attn_mask if specifying it")
