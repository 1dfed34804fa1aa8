"""Single ops: overhead, products, streams over memory, fused row ops, optimizer, convolution. Bytes count the least traffic: each
input read once, each output written once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from benchmarks.workload import Workload

Made = Callable[[], Any]


def add_small(lib: Any, n: int) -> Made:
    x, y = lib.randn(n, n), lib.randn(n, n)

    def run() -> None:
        for _ in range(1000):
            x + y

    return run


def matmul_small(lib: Any, n: int) -> Made:
    x, y = lib.randn(n, n), lib.randn(n, n)

    def run() -> None:
        for _ in range(1000):
            x @ y

    return run


def chain(lib: Any, n: int, ops: int) -> Made:
    x, w = lib.randn(n, n, requires_grad=True), lib.randn(n, n)

    def run() -> None:
        for _ in range(50):
            y = x
            for _ in range(ops // 2):
                y = y * w + w
            y.backward(w)
            x.grad = None

    return run


def compiled_chain(lib: Any, n: int, ops: int, compiled: bool = True) -> Made:
    """The chain with its gradient as one captured step; libraries other than ours run it eagerly, as their users do."""
    x, w = lib.randn(n, n, requires_grad=True), lib.randn(n, n)

    def step() -> Any:
        y = x
        for _ in range(ops // 2):
            y = y * w + w
        y.backward(w)
        return y.detach()  # or the values of the chain would be dead work

    captured = lib.compile(step) if compiled and lib.__name__ == "ascendlite" else step

    def run() -> None:
        for _ in range(50):
            captured()
            x.grad = None

    run()  # the first call captures
    return run


def product(lib: Any, m: int, k: int, n: int, dtype: str = "float32") -> Made:
    a, b = ((lib.randn(*shape) * (9 if dtype == "int8" else 1)).to(getattr(lib, dtype)) for shape in ((m, k), (k, n)))
    return lambda: a @ b


def add_large(lib: Any, n: int) -> Made:
    a, b = lib.randn(n), lib.randn(n)
    return lambda: a + b


def add_out(lib: Any, n: int) -> Made:
    a, b, c = lib.randn(n), lib.randn(n), lib.empty(n)
    return lambda: lib.add(a, b, out=c)


def sum_large(lib: Any, n: int) -> Made:
    a = lib.randn(n)
    return lambda: a.sum()


def forward_backward(lib: Any, fn: Callable[[Any], Any], *shape: int) -> Made:
    x, g = lib.randn(*shape, requires_grad=True), lib.randn(*shape)

    def run() -> None:
        x.grad = None
        fn(x).backward(g)

    return run


def gelu(lib: Any, n: int) -> Made:
    return forward_backward(lib, lib.nn.functional.gelu, n)


def softmax(lib: Any, n: int) -> Made:
    return forward_backward(lib, lambda x: x.softmax(-1), n, n)


def normed(lib: Any, n: int, name: str) -> Made:
    w, b = lib.ones(n, requires_grad=True), lib.zeros(n, requires_grad=True)
    if name == "layer_norm":
        return forward_backward(lib, lambda x: lib.nn.functional.layer_norm(x, (n,), w, b), n, n)
    return forward_backward(lib, lambda x: lib.nn.functional.rms_norm(x, (n,), w), n, n)


def cross_entropy(lib: Any, rows: int, classes: int) -> Made:
    x, t = lib.randn(rows, classes, requires_grad=True), lib.randint(0, classes, (rows,))

    def run() -> None:
        x.grad = None
        lib.nn.functional.cross_entropy(x, t).backward()

    return run


def embedding_gradient(lib: Any, tokens: int, rows: int, width: int) -> Made:
    w, i, g = lib.randn(rows, width, requires_grad=True), lib.randint(0, rows, (tokens,)), lib.randn(tokens, width)

    def run() -> None:
        w.grad = None
        lib.nn.functional.embedding(i, w).backward(g)

    return run


def adamw(lib: Any, n: int) -> Made:
    p = lib.nn.Parameter(lib.randn(n))
    p.grad = lib.randn(n)
    # torch's default is not its fused kernel; it is given its best.
    options = {"fused": True} if lib.__name__ == "torch" else {}
    optimizer = lib.optim.AdamW([p], lr=1e-3, **options)
    return optimizer.step


def adamw_small(lib: Any, tensors: int, n: int) -> Made:
    parameters = [lib.nn.Parameter(lib.randn(n, n)) for _ in range(tensors)]
    for p in parameters:
        p.grad = lib.randn(n, n)
    options = {"fused": True} if lib.__name__ == "torch" else {}
    optimizer = lib.optim.AdamW(parameters, lr=1e-3, **options)

    def run() -> None:
        lib.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    return run


def attention(lib: Any, batch: int, heads: int, length: int, size: int) -> Made:
    q, k, v = (lib.randn(batch, heads, length, size, requires_grad=True) for _ in range(3))
    g = lib.randn(batch, heads, length, size)

    def run() -> None:
        q.grad = k.grad = v.grad = None
        lib.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True).backward(g)

    return run


def convolution(lib: Any, batch: int, channels: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> Made:
    x, w = lib.randn(batch, channels, size, size, requires_grad=True), lib.randn(outputs, channels // groups, 3, 3, requires_grad=True)
    g = lib.randn(batch, outputs, -(-size // stride), -(-size // stride))

    def run() -> None:
        x.grad = w.grad = None
        lib.nn.functional.conv2d(x, w, stride=stride, padding=1, groups=groups).backward(g)

    return run


def _convolution_flops(batch: int, channels: int, outputs: int, size: int, stride: int = 1, groups: int = 1) -> float:
    return 3 * 2.0 * batch * (-(-size // stride)) ** 2 * outputs * (channels // groups) * 9


def _convolution_products(stride: int = 1, groups: int = 1, **sizes: Any) -> float:
    """FLOPs that are needed: 16 products make four outputs of 3x3 taps at unit stride (Winograd's F(2x2, 3x3)), not 36."""
    return _convolution_flops(stride=stride, groups=groups, **sizes) / (2.25 if stride == groups == 1 else 1)


def _gemm(name: str, m: int, k: int, n: int, **more: Any) -> Workload:
    bound = {"float32": "fma", "bfloat16": "dot_bf16", "int8": "dot_int8"}[more.get("dtype", "float32")]
    return Workload(name, "GFLOP/s", product, lambda m, k, n, dtype="float32": 2.0 * m * k * n, {"m": m, "k": k, "n": n, **more},
                    {"m": min(m, 24), "k": 24, "n": 24}, bound)


def _product_of_few(name: str, m: int, k: int, n: int) -> Workload:
    """So few rows that reading the matrix is the work."""
    return replace(_gemm(name, m, k, n), limit="read", limit_work=lambda m, k, n: 4.0 * k * n)


def _stream(name: str, make: Callable[..., Made], floats: Callable[..., float], full: dict[str, Any], smoke: dict[str, Any], limit: str) -> Workload:
    return Workload(name, "GB/s", make, lambda **sizes: 4.0 * floats(**sizes), full, smoke, limit)


def _vectors(k: int) -> Callable[..., float]:
    return lambda n: float(k) * n


def _squares(k: int) -> Callable[..., float]:
    return lambda n, **_: float(k) * n * n


M16, SMALL = {"n": 1 << 24}, {"n": 1000}
NT = "triad_streaming"  # two reads and a write that bypasses the caches
CONVOLUTIONS = {
    "64": {"channels": 64, "outputs": 64},
    "64_128_stride2": {"channels": 64, "outputs": 128, "stride": 2},
    "depthwise": {"channels": 64, "outputs": 64, "groups": 64},
    "depthwise_stride2": {"channels": 64, "outputs": 64, "groups": 64, "stride": 2},
}
OPS = [
    Workload("op_add_8x8", "ns", add_small, lambda n: 1000.0, {"n": 8}),
    Workload("op_matmul_8x8", "ns", matmul_small, lambda n: 1000.0, {"n": 8}),
    Workload("chain20_fwd_bwd", "ns", chain, lambda n, ops: 50.0 * ops, {"n": 8, "ops": 20}),
    Workload("compile_chain", "ns", compiled_chain, lambda n, ops: 50.0 * ops, {"n": 8, "ops": 20}, beside={"compiled": False}),
    *(_gemm(f"gemm_f32_{n}", n, n, n) for n in (256, 512, 1024, 2048, 4096)),
    _gemm("gemm_f32_64x4096x4096", 64, 4096, 4096),
    _product_of_few("gemm_f32_1x4096x4096", 1, 4096, 4096),
    *(_gemm(f"gemm_bf16_{n}", n, n, n, dtype="bfloat16") for n in (512, 1024, 2048, 4096)),
    *(_gemm(f"gemm_i8_{n}", n, n, n, dtype="int8") for n in (512, 1024, 2048, 4096)),
    _stream("add_16m", add_large, _vectors(3), M16, SMALL, NT),
    _stream("add_16m_out", add_out, _vectors(3), M16, SMALL, NT),
    _stream("sum_16m", sum_large, _vectors(1), M16, SMALL, "read"),
    _stream("gelu_16m_fb", gelu, _vectors(4), M16, SMALL, NT),
    _stream("softmax_4096_fb", softmax, _squares(4), {"n": 4096}, {"n": 32}, NT),
    _stream("layernorm_4096_fb", normed, _squares(4), {"n": 4096, "name": "layer_norm"}, {"n": 32}, NT),
    _stream("rmsnorm_4096_fb", normed, _squares(4), {"n": 4096, "name": "rms_norm"}, {"n": 32}, NT),
    _stream("xent_1024x50257_fb", cross_entropy, lambda rows, classes: 2.0 * rows * classes, {"rows": 1024, "classes": 50257},
            {"rows": 8, "classes": 33}, NT),
    _stream("embed_grad", embedding_gradient, lambda tokens, rows, width: float(tokens + rows) * width, {"tokens": 8192, "rows": 50257, "width": 768},
            {"tokens": 16, "rows": 20, "width": 8}, NT),
    _stream("adamw_16m", adamw, _vectors(7), M16, SMALL, NT),
    _stream("adamw_clip_148x128x128", adamw_small, lambda tensors, n: 8.0 * tensors * n * n, {"tensors": 148, "n": 128}, {"tensors": 3, "n": 8}, NT),
    Workload("attn_causal_fb", "tokens/s", attention, lambda batch, heads, length, size: float(batch * length),
             {"batch": 4, "heads": 8, "length": 1024, "size": 64}, {"batch": 1, "heads": 2, "length": 16, "size": 8}, "fma",
             lambda batch, heads, length, size: 7.0 * batch * heads * length * length * size),
    *(Workload(f"conv3x3_{name}_fb", "GFLOP/s", convolution, _convolution_flops, {"batch": 16, "size": 56, **sizes},
               {"batch": 1, "channels": 4, "outputs": 4, "size": 8, "groups": min(sizes.get("groups", 1), 4)},
               "fma" if sizes.get("groups", 1) == 1 else None, _convolution_products)
      for name, sizes in CONVOLUTIONS.items()),
]
