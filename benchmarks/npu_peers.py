"""The same three kernels in our kernel language, in NumPy, in Triton and in Pallas, and a GPT's training step on a device.

Each `BY_KERNEL(size)` gives (run, check); `numpy_KERNEL(size)` gives a run. Kernels compute in the tiles that the others use, too: 64 x 64 of a
product, thousands of elements of a sum, a row or 8 of a softmax.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Run = Callable[[], Any]
Pair = tuple[Run, Run]


def _matrices(n: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    return draw.standard_normal((n, n), np.float32), draw.standard_normal((n, n), np.float32)


def _close(found: Any, expected: np.ndarray, tolerance: float) -> None:
    worst = float(np.abs(np.asarray(found, np.float32) - expected).max())
    assert worst <= tolerance, f"wrong by {worst}"


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def numpy_matmul_512(n: int) -> Run:
    a, b = _matrices(n)
    c = np.empty_like(a)
    return lambda: np.matmul(a, b, out=c)


def numpy_add_1m(n: int) -> Run:
    x, y = np.ones(n, np.float32), np.ones(n, np.float32)
    z = np.empty_like(x)
    return lambda: np.add(x, y, out=z)


def numpy_softmax_1024(n: int) -> Run:
    x = _matrices(n)[0]
    return lambda: _softmax(x)


# -- the emulated device


def npu_matmul_512(n: int) -> Pair:
    import ascendlite.npu as npu
    import ascendlite.npu.ascendc as ac
    from ascendlite.npu.lang.cube_tiles import Product

    @npu.kernel(kind="aic")
    def matmul(a: Any, b: Any, c: Any, n: int) -> None:
        ag, bg, cg = (ac.GlobalTensor(t) for t in (a, b, c))
        product = Product(a.dtype, npu.f32, bm=64, bn=64, bk=64, kl1=64)
        for m0, n0, rows, columns in product.my_tiles(n, n):
            product.multiply(ag[m0 * n :], n, bg[n0:], n, rows, columns, n)
            product.store(cg[m0 * n + n0 :], n, rows, columns)
        product.finish()

    a, b = (m.astype(np.float16) for m in _matrices(n))
    c = np.empty((n, n), np.float32)
    return lambda: matmul(a, b, c, n), lambda: _close(c, a.astype(np.float32) @ b.astype(np.float32), 1e-2)


def npu_add_1m(n: int) -> Pair:
    import ascendlite.npu as npu
    import ascendlite.npu.ascendc as ac
    from ascendlite.npu.lang.tiles import pipeline

    @npu.kernel(kind="aiv")
    def add(x: Any, y: Any, z: Any, n: int) -> None:
        for t in pipeline(n, 4096, ins=(x, y), outs=(z,)):
            ac.Add(t.outs[0], t.ins[0], t.ins[1], t.count)

    x, y, z = np.ones(n, np.float32), np.ones(n, np.float32), np.empty(n, np.float32)
    return lambda: add(x, y, z, n), lambda: _close(z, x + y, 0)


def npu_softmax_1024(n: int) -> Pair:
    """The library's kernel."""
    import ascendlite as al

    host = _matrices(n)[0]
    x = al.from_numpy(host).to("npu")
    out: list[Any] = [None]

    def run() -> None:
        out[0] = al.softmax(x, 1)

    return run, lambda: _close(out[0].to("cpu").numpy(), _softmax(host), 1e-6)


# -- Triton, with TRITON_INTERPRET=1


def triton_add_1m(n: int) -> Pair:
    import torch
    import triton

    from benchmarks.npu_triton import add

    x, y, z = torch.ones(n), torch.ones(n), torch.empty(n)
    return lambda: add[(triton.cdiv(n, 1024),)](x, y, z, n, BLOCK=1024), lambda: _close(z, np.full(n, 2, np.float32), 0)


def triton_matmul_512(n: int) -> Pair:
    import torch

    from benchmarks.npu_triton import matmul

    a, b = _matrices(n)
    x, y, z = torch.from_numpy(a), torch.from_numpy(b), torch.empty(n, n)
    return lambda: matmul[(n // 64, n // 64)](x, y, z, n, TILE=64), lambda: _close(z, a @ b, 1e-2)


def triton_softmax_1024(n: int) -> Pair:
    import torch

    from benchmarks.npu_triton import softmax

    x = _matrices(n)[0]
    source, target = torch.from_numpy(x), torch.empty(n, n)
    return lambda: softmax[(n,)](source, target, n, WIDTH=n), lambda: _close(target, _softmax(x), 1e-6)


# -- Pallas, with interpret=True


def _pallas(kernel: Any, shape: tuple[int, ...], grid: tuple[int, ...], inputs: list[Any], specs: list[Any], out: Any) -> tuple[Run, list[Any]]:
    import jax
    from jax.experimental import pallas as pl

    call = pl.pallas_call(kernel, out_shape=jax.ShapeDtypeStruct(shape, np.float32), grid=grid, in_specs=specs, out_specs=out, interpret=True)
    result: list[Any] = [None]

    def run() -> None:
        result[0] = call(*inputs).block_until_ready()

    return run, result


def pallas_add_1m(n: int) -> Pair:
    from jax.experimental import pallas as pl

    def add(x: Any, y: Any, z: Any) -> None:
        z[...] = x[...] + y[...]

    block = min(8192, n)
    spec = pl.BlockSpec((block,), lambda i: (i,))
    run, result = _pallas(add, (n,), (n // block,), [np.ones(n, np.float32)] * 2, [spec, spec], spec)
    return run, lambda: _close(result[0], np.full(n, 2, np.float32), 0)


def pallas_matmul_512(n: int) -> Pair:
    from jax.experimental import pallas as pl

    def matmul(a: Any, b: Any, c: Any) -> None:
        c[...] = a[...] @ b[...]

    a, b = _matrices(n)
    specs = [pl.BlockSpec((64, n), lambda i, j: (i, 0)), pl.BlockSpec((n, 64), lambda i, j: (0, j))]
    run, result = _pallas(matmul, (n, n), (n // 64, n // 64), [a, b], specs, pl.BlockSpec((64, 64), lambda i, j: (i, j)))
    return run, lambda: _close(result[0], a @ b, 1e-2)


def pallas_softmax_1024(n: int) -> Pair:
    import jax
    from jax.experimental import pallas as pl

    def softmax(x: Any, y: Any) -> None:
        y[...] = jax.nn.softmax(x[...], axis=1)

    x = _matrices(n)[0]
    spec = pl.BlockSpec((8, n), lambda i: (i, 0))
    run, result = _pallas(softmax, (n, n), (n // 8,), [x], [spec], spec)
    return run, lambda: _close(result[0], _softmax(x), 1e-6)


# -- a training step


def training_step(device: str, dtype: str, sizes: dict[str, int]) -> Run:
    import ascendlite as al
    from benchmarks.training import make_gpt

    class On:
        """The library, creating on the device."""

        nn = al.nn

        @staticmethod
        def arange(*range_of: int) -> Any:
            return al.arange(*range_of, device=device)

    al.manual_seed(0)
    model = make_gpt(On, sizes["layers"], sizes["heads"], sizes["width"], sizes["block"], 65).to(device)
    optimizer = al.optim.AdamW(model.parameters(), lr=1e-3)
    ids, targets = (al.randint(0, 65, (sizes["batch"], sizes["block"])).to(device) for _ in range(2))

    def run() -> None:
        with al.autocast(device, dtype=getattr(al, dtype)):
            loss = al.nn.functional.cross_entropy(model(ids).view(-1, 65), targets.view(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return run
