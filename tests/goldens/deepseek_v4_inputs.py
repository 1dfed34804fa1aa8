"""What the script that makes DeepSeek-V4's goldens and the tests that read them share: weights, tokens and a digest of gradients.

Weights are made of integers, not stored: a hash of (name, number of the element) gives every machine the same values.
"""

from __future__ import annotations

import zlib

import numpy as np

BUCKETS = 256
LENGTH, BATCH, VOCAB = 53, 2, 256

HF_CONFIG = {
    "vocab_size": VOCAB, "hidden_size": 64, "moe_intermediate_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 1, "head_dim": 32, "qk_rope_head_dim": 8, "q_lora_rank": 32, "o_groups": 2, "o_lora_rank": 16,
    "n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 2, "routed_scaling_factor": 2.5, "scoring_func": "sqrtsoftplus",
    "compress_ratios": [0, 128, 4, 4], "compress_rate_hca": 16, "num_hash_layers": 1, "sliding_window": 8, "index_n_heads": 4,
    "index_head_dim": 16, "index_topk": 4, "hc_mult": 4, "hc_sinkhorn_iters": 20, "hc_eps": 1e-6, "swiglu_limit": 10.0,
    "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "compress_rope_theta": 160000.0, "max_position_embeddings": 1024,
    "rope_scaling": {"type": "yarn", "factor": 16, "original_max_position_embeddings": 64, "beta_fast": 32, "beta_slow": 1},
    "tie_word_embeddings": False, "initializer_range": 0.02,
}  # fmt: skip


def hashed(name: str, count: int) -> np.ndarray:
    """`count` random-looking 64-bit numbers for a name (splitmix64)."""
    with np.errstate(over="ignore"):
        x = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(zlib.crc32(name.encode()) << 20)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def uniform(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """float32 values in [-1, 1)."""
    count = int(np.prod(shape, dtype=np.int64))
    return ((hashed(name, count) >> np.uint64(40)).astype(np.float64) / 2**23 - 1).astype(np.float32).reshape(shape)


def scale_of(name: str) -> tuple[float, float]:
    """Width and centre of a weight by its module name, so that every mechanism matters: nothing is zero, one or alike."""
    table = (
        ("norm.weight", 0.3, 1.0), ("layernorm.weight", 0.3, 1.0), ("sinks", 1.0, 0.0), ("position_bias", 1.0, 0.0), ("_hc.base", 0.7, 0.0),
        ("hc_base", 0.7, 0.0), ("scale", 0.4, 0.9), ("e_score_correction_bias", 0.1, 0.0), ("hc_fn", 0.15, 0.0), ("_hc.fn", 0.15, 0.0),
        ("embed_tokens.weight", 1.0, 0.0), ("lm_head.weight", 0.25, 0.0), ("weights_proj.weight", 0.4, 0.0),
    )  # fmt: skip
    for end, width, centre in table:
        if name.endswith(end):
            return width, centre
    return 0.2, 0.0


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The value of a weight of transformers' module of that name."""
    if name.endswith("tid2eid"):
        experts = HF_CONFIG["n_routed_experts"]
        first = (hashed(name, shape[0]) % np.uint64(experts)).astype(np.int64)
        step = 1 + (hashed(name + "+", shape[0]) % np.uint64(experts - 1)).astype(np.int64)
        return np.stack([first, (first + step) % experts], 1)
    width, centre = scale_of(name)
    return uniform(name, shape) * np.float32(width) + np.float32(centre)


def tokens(name: str) -> np.ndarray:
    """(BATCH, LENGTH) token numbers."""
    return (hashed(name, BATCH * LENGTH) % np.uint64(VOCAB)).astype(np.int64).reshape(BATCH, LENGTH)


def digest(name: str, gradient: np.ndarray) -> np.ndarray:
    """Sums of elements with random signs in random buckets, float64: an error in any element shows in its bucket."""
    flat = gradient.astype(np.float64).reshape(-1)
    if flat.size <= BUCKETS:
        return flat
    h = hashed("digest " + name, flat.size)
    signs = 1.0 - 2.0 * ((h >> np.uint64(60)) & np.uint64(1)).astype(np.float64)
    return np.bincount((h % np.uint64(BUCKETS)).astype(np.int64), weights=flat * signs, minlength=BUCKETS)
