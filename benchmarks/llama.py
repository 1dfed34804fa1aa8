"""Decoding with SmolLM2-135M's shapes, one row: our Llama as `generate` runs it, and the same model in PyTorch's eager mode.

Weights are random: speed does not depend on them. Ours are laid out once for reading, as `generate` does it before the first token.
PyTorch's model keeps its keys and values in tensors made once, as a careful user would.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

SIZES = {"layers": 30, "width": 576, "heads": 9, "groups": 3, "inner": 1536, "vocabulary": 49152, "prompt": 64, "count": 16}
SMALL = {"layers": 2, "width": 16, "heads": 2, "groups": 1, "inner": 24, "vocabulary": 32, "prompt": 4, "count": 3}


def _ours(lib: Any, dtype: str, s: dict[str, int]) -> Callable[[], Any]:
    from ascendlite.models.llama import Llama, LlamaConfig

    config = LlamaConfig(s["vocabulary"], s["width"], s["inner"], s["layers"], s["heads"], s["groups"], tie_word_embeddings=True)
    model = Llama(config).to(getattr(lib, dtype)).eval()
    prompt, cache = list(range(s["prompt"])), None
    reading = lib.nn.utils.reading_weights(model)

    def run() -> None:
        nonlocal cache
        with lib.no_grad():
            if cache is None:
                reading.__enter__()  # for good: the model ends with the benchmark
                cache = model.new_cache(1, s["prompt"] + s["count"])
                model.hidden(lib.tensor([prompt]), cache=cache)
            cache.rewind([s["prompt"]])
            token = lib.zeros(1, 1, dtype=lib.int64)
            for _ in range(s["count"]):
                token = model(token, cache=cache)[:, -1].argmax(-1, keepdim=True)

    return run


def _eager(torch: Any, dtype: str, s: dict[str, int]) -> Callable[[], Any]:
    F, D = torch.nn.functional, s["width"] // s["heads"]
    made = lambda *shape: (torch.randn(*shape) * 0.02).to(getattr(torch, dtype))
    shapes = {"q": (s["width"], s["width"]), "k": (s["groups"] * D, s["width"]), "v": (s["groups"] * D, s["width"]), "o": (s["width"], s["width"]),
              "gate": (s["inner"], s["width"]), "up": (s["inner"], s["width"]), "down": (s["width"], s["inner"])}  # fmt: skip
    layers = [{name: made(*shape) for name, shape in shapes.items()} for _ in range(s["layers"])]
    embedding, ones = made(s["vocabulary"], s["width"]), torch.ones(s["width"]).to(getattr(torch, dtype))
    places = s["prompt"] + s["count"]
    angles = torch.arange(places)[:, None] * 10000.0 ** (-torch.arange(0, D, 2) / D)
    cos, sin = (torch.cat((t, t), -1).to(getattr(torch, dtype)) for t in (angles.cos(), angles.sin()))
    caches = [[made(1, s["groups"], places, D) for _ in range(2)] for _ in layers]

    def turned(x: Any, at: int) -> Any:
        a, b = x.chunk(2, -1)
        return x * cos[at] + torch.cat((-b, a), -1) * sin[at]

    def step(token: Any, at: int) -> Any:
        x = embedding[token]  # (1, 1, C)
        for w, (keys, values) in zip(layers, caches, strict=True):
            h = F.rms_norm(x, (s["width"],), ones, 1e-6)
            q, k, v = (F.linear(h, w[name]).view(1, 1, -1, D).transpose(1, 2) for name in "qkv")
            keys[:, :, at : at + 1], values[:, :, at : at + 1] = turned(k, at), v
            y = F.scaled_dot_product_attention(turned(q, at), keys[:, :, : at + 1], values[:, :, : at + 1], enable_gqa=True)
            x = x + F.linear(y.transpose(1, 2).reshape(1, 1, -1), w["o"])
            h = F.rms_norm(x, (s["width"],), ones, 1e-6)
            x = x + F.linear(F.silu(F.linear(h, w["gate"])) * F.linear(h, w["up"]), w["down"])
        return F.linear(F.rms_norm(x, (s["width"],), ones, 1e-6), embedding)

    def run() -> None:
        with torch.inference_mode():
            token = torch.zeros(1, 1, dtype=torch.int64)
            for n in range(s["count"]):
                token = step(token, s["prompt"] + n)[:, -1].argmax(-1, keepdim=True)

    return run


def decode_llama(lib: Any, dtype: str, **sizes: int) -> Callable[[], Any]:
    """One call writes `count` tokens after a prompt that was read before."""
    return (_ours if lib.__name__ == "ascendlite" else _eager)(lib, dtype, sizes)


def read_bytes(dtype: str, **s: int) -> float:
    """Bytes of weights that a call reads: every weight once a token."""
    D = s["width"] // s["heads"]
    layer = 2 * s["width"] ** 2 + 2 * s["width"] * s["groups"] * D + 3 * s["width"] * s["inner"]
    return float(s["count"] * (s["layers"] * layer + s["vocabulary"] * s["width"]) * (4 if dtype == "float32" else 2))
