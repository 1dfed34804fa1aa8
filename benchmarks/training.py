"""Whole training steps and decoding, on models written once with the names that both libraries have."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from benchmarks.llama import SIZES, SMALL, decode_llama, read_bytes
from benchmarks.resnet import train_resnet
from benchmarks.workload import Workload

Made = Callable[[], Any]


def make_gpt(lib: Any, layers: int, heads: int, width: int, block: int, vocabulary: int) -> Any:
    """A GPT-2-shaped decoder with learned positions and tied nothing."""
    nn, F = lib.nn, lib.nn.functional

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x: Any, cache: Any = None) -> Any:
            B, T, C = x.shape
            q, k, v = (t.view(B, T, heads, C // heads).transpose(1, 2) for t in self.qkv(self.norm1(x)).split(C, 2))
            if cache is not None:
                k, v = cache.append(k, v)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=cache is None)  # (B, H, T, D)
            x = x + self.out(y.transpose(1, 2).reshape(B, T, C))
            return x + self.down(F.gelu(self.up(self.norm2(x))))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(block, width)
            self.blocks = nn.ModuleList([Block() for _ in range(layers)])
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)

        def forward(self, ids: Any, caches: Any = None, start: int = 0) -> Any:
            x = self.tokens(ids) + self.places(lib.arange(start, start + ids.shape[1]))
            for k, layer in enumerate(self.blocks):
                x = layer(x, None if caches is None else caches[k])
            return self.head(self.norm(x))

    return GPT()


class Cache:
    """Keys and values of one layer, in room for the whole length."""

    def __init__(self, lib: Any, heads: int, length: int, size: int) -> None:
        self.k, self.v, self.used = lib.zeros(1, heads, length, size), lib.zeros(1, heads, length, size), 0

    def append(self, k: Any, v: Any) -> tuple[Any, Any]:
        end = self.used + k.shape[2]
        self.k[:, :, self.used : end] = k
        self.v[:, :, self.used : end] = v
        self.used = end
        return self.k[:, :, :end], self.v[:, :, :end]


def train_gpt(lib: Any, layers: int, heads: int, width: int, block: int, batch: int, vocabulary: int = 65, autocast: bool = False,
              compiled: bool = False) -> Made:
    """A step of AdamW. `compiled`: ours is captured and replayed, other libraries run as ever."""
    lib.manual_seed(0)
    model = make_gpt(lib, layers, heads, width, block, vocabulary)
    optimizer = lib.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    x, y = lib.randint(0, vocabulary, (batch, block)), lib.randint(0, vocabulary, (batch * block,))

    def run() -> None:
        optimizer.zero_grad()
        with lib.autocast("cpu", dtype=lib.bfloat16, enabled=autocast):
            loss = lib.nn.functional.cross_entropy(model(x).view(-1, vocabulary), y)
        loss.backward()
        lib.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    if compiled and lib.__name__ == "ascendlite":
        run = lib.compile(run)
        for _ in range(3):  # the optimizer makes its state, then the step is captured
            run()
    return run


def gpt_tokens(layers: int, heads: int, width: int, block: int, batch: int, **_: Any) -> float:
    return float(batch * block)


def gpt_flops(layers: int, heads: int, width: int, block: int, batch: int, vocabulary: int = 65, **_: Any) -> float:
    """Forward and backward: 6 FLOPs a weight and token, and causal attention (7 products of half a square)."""
    weights = layers * 12 * width * width + vocabulary * width
    return float(batch * block) * (6.0 * weights + 7.0 * layers * block * width)


def train_mlp(lib: Any, batch: int, width: int) -> Made:
    lib.manual_seed(0)
    nn = lib.nn
    model = nn.Sequential(nn.Linear(784, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))
    optimizer = lib.optim.Adam(model.parameters(), lr=1e-3)
    x, y = lib.randn(batch, 784), lib.randint(0, 10, (batch,))

    def run() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    return run


def experts(lib: Any, tokens: int, experts: int, width: int, hidden: int) -> Made:
    """The two best of `experts` for each token; each expert computes its own tokens only."""
    F = lib.nn.functional
    x = lib.randn(tokens, width, requires_grad=True)
    router = lib.randn(width, experts, requires_grad=True)
    up = (lib.randn(experts, width, hidden) * 0.05).requires_grad_()
    down = (lib.randn(experts, hidden, width) * 0.05).requires_grad_()
    g = lib.randn(tokens, width)

    def run() -> None:
        for t in (x, router, up, down):
            t.grad = None
        weight, chosen = (x @ router).softmax(-1).topk(2, -1)
        y = lib.zeros(tokens, width)
        for e in range(experts):
            row, place = lib.where(chosen == e)
            h = F.gelu(x[row] @ up[e]) @ down[e]
            y = y.index_add(0, row, h * weight[row, place].unsqueeze(1))
        y.backward(g)

    return run


def grouped_experts(lib: Any, tokens: int, experts: int, width: int, hidden: int) -> Made:
    """The same with the library's grouped product, where it has one: tokens sorted by expert, one product for all."""
    if not hasattr(lib, "grouped_mm"):
        raise AttributeError("grouped_mm")
    F = lib.nn.functional
    x = lib.randn(tokens, width, requires_grad=True)
    router = lib.randn(width, experts, requires_grad=True)
    up = (lib.randn(experts, width, hidden) * 0.05).requires_grad_()
    down = (lib.randn(experts, hidden, width) * 0.05).requires_grad_()
    g = lib.randn(tokens, width)

    def run() -> None:
        for t in (x, router, up, down):
            t.grad = None
        weight, chosen = (x @ router).softmax(-1).topk(2, -1)
        flat = chosen.flatten()
        order = flat.argsort(stable=True)
        ends = lib.bincount(flat, minlength=experts).cumsum(0).to(lib.int32)
        row = order // 2
        h = lib.grouped_mm(F.gelu(lib.grouped_mm(x[row], up, offs=ends)), down, offs=ends)
        y = lib.zeros(tokens, width).index_add(0, row, h * weight.flatten()[order].unsqueeze(1))
        y.backward(g)

    return run


def decode(lib: Any, layers: int, heads: int, width: int, length: int) -> Made:
    lib.manual_seed(0)
    model = make_gpt(lib, layers, heads, width, length, 65)
    model.eval()

    def run() -> None:
        caches = [Cache(lib, heads, length, width // heads) for _ in range(layers)]
        ids = lib.zeros(1, 1, dtype=lib.int64)
        reading = lib.nn.utils.reading_weights(model) if lib.__name__ == "ascendlite" else contextlib.nullcontext()
        with lib.inference_mode(), reading:
            for place in range(length - 1):
                ids = model(ids, caches, place)[:, -1].argmax(-1, keepdim=True)

    return run


TINY = {"layers": 1, "heads": 2, "width": 16, "block": 8, "batch": 2}
SMALL_GPT = {"layers": 4, "heads": 4, "width": 128, "block": 64, "batch": 12}
CHAR = {"layers": 6, "heads": 6, "width": 384, "block": 256, "batch": 8}
MOE = {"tokens": 2048, "experts": 8, "width": 256, "hidden": 512}
SMALL_MOE = {"tokens": 32, "experts": 4, "width": 8, "hidden": 8}


def _moe_flops(tokens: int, experts: int, width: int, hidden: int) -> float:
    return 3 * 2.0 * 2 * 2 * tokens * width * hidden


RESNET = {"batch": 16, "width": 64, "size": 64}

TRAINING = [
    Workload("mlp_train", "samples/s", train_mlp, lambda batch, width: float(batch), {"batch": 128, "width": 1024}, {"batch": 4, "width": 16}, "fma",
             lambda batch, width: 6.0 * batch * (784 * width + width * width + width * 10)),
    Workload("gpt_char_train", "tokens/s", train_gpt, gpt_tokens, CHAR, TINY, "fma", gpt_flops),
    Workload("gpt_char_train_bf16", "tokens/s", train_gpt, gpt_tokens, {**CHAR, "autocast": True}, TINY),
    Workload("gpt_tiny_train", "tokens/s", train_gpt, gpt_tokens, SMALL_GPT, TINY, "fma", gpt_flops),
    Workload("compile_gpt_small", "tokens/s", train_gpt, gpt_tokens, {**SMALL_GPT, "compiled": True}, TINY, "fma", gpt_flops,
             beside={"compiled": False}),
    Workload("moe_fb", "tokens/s", experts, lambda tokens, **_: float(tokens), MOE, SMALL_MOE, "fma", _moe_flops),
    Workload("moe_grouped_fb", "tokens/s", grouped_experts, lambda tokens, **_: float(tokens), MOE, SMALL_MOE, "fma", _moe_flops),
    Workload("resnet18_train", "images/s", train_resnet, lambda batch, **_: float(batch), RESNET, {"batch": 2, "width": 8, "size": 32}),
    Workload("decode_kv", "tokens/s", decode, lambda length, **_: float(length - 1), {"layers": 6, "heads": 6, "width": 384, "length": 256},
             {"layers": 1, "heads": 2, "width": 16, "length": 6}, "read",
             lambda layers, heads, width, length: 4.0 * (length - 1) * (layers * 12 * width * width + 65 * width)),
    *(Workload(f"decode_smollm2_{short}", "tokens/s", decode_llama, lambda count, **_: float(count), {"dtype": dtype, **SIZES}, SMALL, "read", read_bytes)
      for short, dtype in (("f32", "float32"), ("bf16", "bfloat16"))),
]
