"""DeepSeek-V4 in NumPy, float64, one text at a time, written from the equations with plain loops; it shares no code with the package.

`wrong` names mistakes that implementations are known to make: each test of one shows that it would be noticed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

Array = np.ndarray


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def softmax(x: Array, axis: int = -1) -> Array:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def softplus(x: Array) -> Array:
    return np.logaddexp(0, x)


@dataclass
class Losses:
    """What training adds to cross entropy."""

    index: float = 0.0
    balance: float = 0.0
    loads: dict[int, Array] = field(default_factory=dict)


class Reference:
    """The model; weights by the package's names."""

    def __init__(self, config: object, weights: dict[str, Array], wrong: frozenset[str] = frozenset()) -> None:
        self.c, self.wrong = config, wrong
        self.w = {name: np.asarray(value, np.float64 if value.dtype.kind == "f" else np.int64) for name, value in weights.items()}

    def rms(self, x: Array, weight: Array | float = 1.0) -> Array:
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.c.rms_norm_eps) * weight

    # -- rotation

    def frequencies(self, compressed: bool) -> Array:
        c, n = self.c, self.c.qk_rope_head_dim
        if compressed and "base theta in compressed layers" in self.wrong:
            compressed = False
        theta = c.compress_rope_theta if compressed else c.rope_theta
        w = theta ** (-np.arange(0, n, 2) / n)
        if not compressed or "no yarn" in self.wrong:
            return w

        def corr(r: float) -> float:
            return n * math.log(c.rope_original_length / (r * 2 * math.pi)) / (2 * math.log(theta))

        low, high = max(math.floor(corr(c.rope_beta_fast)), 0), min(math.ceil(corr(c.rope_beta_slow)), n - 1)
        ramp = np.clip((np.arange(n // 2) - low) / (high - low or 0.001), 0, 1)
        return w * (1 - ramp) + w / c.rope_factor * ramp

    def rotate(self, x: Array, position: Array | int, compressed: bool, sign: int = 1) -> Array:
        """x (..., D) turned by e^(i position w) on its last pairs."""
        n = self.c.qk_rope_head_dim
        angle = sign * np.asarray(position, np.float64)[..., None] * self.frequencies(compressed)
        keep, turn = x[..., :-n], x[..., -n:]
        if "rope on the first elements" in self.wrong:
            turn, keep = x[..., :n], x[..., n:]
        if "half-split rope" in self.wrong:
            z = turn[..., : n // 2] + 1j * turn[..., n // 2 :]
            z = z * np.exp(1j * angle)
            turn = np.concatenate([z.real, z.imag], -1)
        else:
            z = (turn[..., 0::2] + 1j * turn[..., 1::2]) * np.exp(1j * angle)
            turn = np.stack([z.real, z.imag], -1).reshape(turn.shape)
        return np.concatenate([turn, keep] if "rope on the first elements" in self.wrong else [keep, turn], -1)

    # -- hyper-connections

    def sinkhorn(self, a: Array) -> Array:
        eps = self.c.hc_eps
        a = softmax(a) + eps
        steps = ["columns"] + ["rows", "columns"] * (self.c.hc_sinkhorn_iters - 1)
        if "sinkhorn with rows first" in self.wrong:
            steps = ["rows", "columns"] * self.c.hc_sinkhorn_iters
        if "sinkhorn ends on rows" in self.wrong:
            steps = steps + ["rows"]
        for step in steps:
            a = a / (a.sum(-2 if step == "columns" else -1, keepdims=True) + eps)
        return a

    def hyper(self, name: str, x: Array) -> tuple[Array, Array, Array]:
        """(T, n), (T, n), (T, n, n) of streams (T, n, d)."""
        n, eps = self.c.hc_mult, self.c.hc_eps
        flat = x.reshape(x.shape[0], -1)
        m = self.rms(flat) @ self.w[name + ".fn"].T
        s, b = self.w[name + ".scale"], self.w[name + ".base"]
        pre = sigmoid(s[0] * m[:, :n] + b[:n]) + eps
        post = 2 * sigmoid(s[1] * m[:, n : 2 * n] + b[n : 2 * n])
        if "post without the factor 2" in self.wrong:
            post = post / 2
        if "post with eps" in self.wrong:
            post = post + 1e-2
        return pre, post, self.sinkhorn((s[2] * m[:, 2 * n :] + b[2 * n :]).reshape(-1, n, n))

    def around(self, name: str, norm: str, x: Array, inner: Callable[[Array], Array]) -> Array:
        pre, post, mix = self.hyper(name, x)
        y = inner(self.rms(np.einsum("tn,tnd->td", pre, x), self.w[norm]))
        how = "tji,tid->tjd" if "mix not transposed" in self.wrong else "tij,tid->tjd"
        return post[:, :, None] * y[:, None] + np.einsum(how, mix, x)

    def head(self, name: str, x: Array) -> Array:
        m = self.rms(x.reshape(x.shape[0], -1)) @ self.w[name + ".fn"].T
        pre = sigmoid(self.w[name + ".scale"] * m + self.w[name + ".base"]) + self.c.hc_eps
        return np.einsum("tn,tnd->td", pre, x)

    # -- attention

    def compress(self, name: str, x: Array, ratio: int, overlap: bool) -> Array:
        k, z = x @ self.w[name + ".wkv.weight"].T, x @ self.w[name + ".wgate.weight"].T
        ape, D = self.w[name + ".ape"], self.w[name + ".norm.weight"].shape[0]
        entries = []
        for i in range(len(x) // ratio):
            here = np.arange(i * ratio, (i + 1) * ratio)
            if overlap:
                rows = [k[here][:, D:]], [(z[here] + ape)[:, D:]]
                if i and "no overlap" not in self.wrong:
                    rows = [k[here - ratio][:, :D], *rows[0]], [(z[here - ratio] + ape)[:, :D], *rows[1]]
            else:
                rows = [k[here]], [z[here] + ape]
            values, scores = np.concatenate(rows[0]), np.concatenate(rows[1])
            entry = self.rms((softmax(scores, 0) * values).sum(0), self.w[name + ".norm.weight"])
            entries.append(self.rotate(entry, i if "rotated at the entry's number" in self.wrong else i * ratio, True))
        return np.array(entries).reshape(-1, D)

    def visible(self, t: int, ratio: int) -> int:
        return t // ratio if "a block is seen one token late" in self.wrong else (t + 1) // ratio

    def attention(self, name: str, layer: int, x: Array, losses: Losses) -> Array:
        c, w, T = self.c, self.w, len(x)
        H, D, ratio, kind = c.num_attention_heads, c.head_dim, c.layer_ratio(layer), c.layer_kind(layer)
        t = np.arange(T)
        latent = self.rms(x @ w[name + ".wq_a.weight"].T, w[name + ".q_norm.weight"])
        q = (latent @ w[name + ".wq_b.weight"].T).reshape(T, H, D)
        if "q without its norm" not in self.wrong:
            q = self.rms(q)
        q = self.rotate(q, np.repeat(t[:, None], H, 1), ratio > 0)
        kv = self.rotate(self.rms(x @ w[name + ".wkv.weight"].T, w[name + ".kv_norm.weight"]), t, ratio > 0)
        entries = self.compress(name + ".compressor", x, ratio, kind == "csa") if ratio else np.zeros((0, D))
        scores = self.index_scores(name + ".indexer", x, latent, ratio) if kind == "csa" else None
        scale = D**-0.5 * ((0.1 * math.log(c.rope_factor) + 1) ** 2 if "yarn factor on the softmax" in self.wrong and ratio else 1)
        out, divergences = np.zeros((T, H, D)), []
        for i in range(T):
            seen = list(range(self.visible(i, ratio))) if ratio else []
            if scores is not None and len(seen) > c.index_topk:
                seen = sorted(sorted(seen, key=lambda e: -scores[i, e])[: c.index_topk])
            keys = np.concatenate([kv[max(0, i - c.sliding_window + 1) : i + 1], entries[seen]])
            e = np.concatenate([q[i] @ keys.T * scale, w[name + ".attn_sink"][:, None]], 1)
            if "no sink" in self.wrong:
                e[:, -1] = -np.inf
            p = softmax(e)[:, :-1]
            out[i] = p @ keys
            if scores is not None and seen:
                target = p[:, -len(seen) :].sum(0)
                target = target / target.sum()
                divergences.append((target * (np.log(target) - np.log(softmax(scores[i, seen])))).sum())
        losses.index += float(np.mean(divergences)) if divergences else 0.0
        if "output not turned back" not in self.wrong:
            out = self.rotate(out, np.repeat(t[:, None], H, 1), ratio > 0, sign=-1)
        groups = out.reshape(T, c.o_groups, -1)
        a = w[name + ".wo_a.weight"].reshape(c.o_groups, c.o_lora_rank, -1)
        return np.einsum("tgi,gri->tgr", groups, a).reshape(T, -1) @ w[name + ".wo_b.weight"].T

    def index_scores(self, name: str, x: Array, latent: Array, ratio: int) -> Array:
        c, T = self.c, len(x)
        H, D = c.index_n_heads, c.index_head_dim
        q = self.rotate((latent @ self.w[name + ".wq_b.weight"].T).reshape(T, H, D), np.repeat(np.arange(T)[:, None], H, 1), True)
        k = self.compress(name + ".compressor", x, ratio, True)
        weights = x @ self.w[name + ".weights_proj.weight"].T * D**-0.5 * H**-0.5
        return np.einsum("th,the->te", weights, np.maximum(np.einsum("thd,ed->the", q, k), 0))

    # -- experts

    def mlp(self, w1: Array, w3: Array, w2: Array, x: Array, weight: float = 1.0, clamp: bool = True) -> Array:
        gate, up, limit = x @ w1.T, x @ w3.T, self.c.swiglu_limit
        if clamp and "no clamp" not in self.wrong:
            gate, up = np.minimum(gate, limit), np.clip(up, -limit, limit)
        return (weight * gate * sigmoid(gate) * up) @ w2.T

    def experts(self, name: str, layer: int, x: Array, tokens: Array, losses: Losses) -> Array:
        c, w = self.c, self.w
        s = np.sqrt(softplus(x @ w[name + ".gate.weight"].T))
        y = np.zeros_like(x)
        load = np.zeros(c.n_routed_experts)
        for t in range(len(x)):
            if layer < c.num_hash_layers:
                chosen = w[name + ".gate.tid2eid"][tokens[t]]
            else:
                chosen = np.argsort(-(s[t] + w[name + ".gate.bias"]))[: c.num_experts_per_tok]
            weights = s[t, chosen]
            if "bias in the weights" in self.wrong and layer >= c.num_hash_layers:
                weights = weights + w[name + ".gate.bias"][chosen]
            if "hash layers without weights" in self.wrong and layer < c.num_hash_layers:
                weights = np.ones_like(weights)
            for e, weight in zip(chosen, weights / weights.sum() * c.routed_scaling_factor, strict=True):
                y[t] += self.mlp(*(w[f"{name}.experts.{part}"][e] for part in ("w1", "w3", "w2")), x[t], weight)
            load[chosen] += 1
        if layer >= c.num_hash_layers:
            f = c.n_routed_experts / (c.num_experts_per_tok * len(x)) * load
            losses.balance += float((f * (s / s.sum(-1, keepdims=True)).mean(0)).sum())
            losses.loads[layer] = load
        shared = (w[f"{name}.shared_experts.{part}.weight"] for part in ("w1", "w3", "w2"))
        return y + self.mlp(*shared, x, clamp="shared expert without clamp" not in self.wrong)

    # -- the whole

    def block(self, name: str, layer: int, x: Array, tokens: Array, losses: Losses) -> Array:
        x = self.around(name + ".hc_attn", name + ".attn_norm.weight", x, lambda h: self.attention(name + ".attn", layer, h, losses))
        return self.around(name + ".hc_ffn", name + ".ffn_norm.weight", x, lambda h: self.experts(name + ".ffn", layer, h, tokens, losses))

    def streams(self, tokens: Array, losses: Losses) -> Array:
        x = np.repeat(self.w["embed.weight"][tokens][:, None], self.c.hc_mult, 1)
        for i in range(self.c.num_hidden_layers):
            x = self.block(f"layers.{i}", i, x, tokens, losses)
        return x

    def logits(self, x: Array) -> Array:
        return self.rms(self.head("hc_head", x), self.w["norm.weight"]) @ self.w["head.weight"].T

    def draft(self, x: Array, next_tokens: Array, losses: Losses) -> Array:
        w = self.w
        e = self.rms(w["embed.weight"][next_tokens], w["mtp.0.enorm.weight"]) @ w["mtp.0.e_proj.weight"].T
        h = self.rms(x, w["mtp.0.hnorm.weight"]) @ w["mtp.0.h_proj.weight"].T
        x = self.block("mtp.0.block", self.c.num_hidden_layers, e[:, None] + h, next_tokens, losses)
        return self.rms(self.head("mtp.0.hc_head", x), w["mtp.0.norm.weight"]) @ w["head.weight"].T


def cross_entropy(logits: Array, targets: Array) -> float:
    """Mean over targets that are not -100."""
    kept = targets >= 0
    top = logits.max(-1, keepdims=True)
    log_p = logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))
    return float(-log_p[np.arange(len(targets)), np.maximum(targets, 0)][kept].mean())
