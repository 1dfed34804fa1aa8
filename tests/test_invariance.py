"""A row's result does not depend on the rows beside it: the law that batch-invariant generation stands on, op by op.

Each op is run on many rows at once and on slices of them down to one row, on one and two threads; every bit must agree.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

import ascendlite as al
from ascendlite.core import Tensor
from ascendlite.nn import functional as F

CUTS = (1, 2, 3, 4, 5, 7, 8, 13, 16, 31, 64, 193)  # rows of a slice: around register tiles, panels and blocks
ROWS = 200


def _weights(n: int, k: int, dtype: str) -> Tensor:
    return (al.randn(n, k) / k**0.5).to(getattr(al, dtype))


# Shapes of products in models: short and long sums, widths that are no multiple of a vector, a vocabulary.
PRODUCTS = {"square": (64, 64), "odd": (51, 37), "long": (96, 1100), "wide": (1536, 576), "vocabulary": (3001, 96), "pages": (40, 2048)}

OPS: dict[str, tuple[int, Callable[[Tensor], Tensor]]] = {
    "rms_norm": (577, lambda x: F.rms_norm(x, 577, al.linspace(0.5, 1, 577).to(x.dtype), 1e-6)),
    "layer_norm": (577, lambda x: F.layer_norm(x, (577,))),
    "softmax": (1001, lambda x: F.softmax(x, -1)),
    "short softmax": (9, lambda x: F.softmax(x, -1)),
    "short layer_norm": (65, lambda x: F.layer_norm(x, (65,))),
    "log_softmax": (1001, lambda x: F.log_softmax(x, -1)),
    "silu": (77, F.silu),
    "gelu": (77, F.gelu),  # some of its arguments are in the far tail
    "gelu_tanh": (77, lambda x: F.gelu(x, approximate="tanh")),
    "swiglu": (77, lambda x: F.swiglu(x, x * 2)),
    "exp": (77, al.exp),
    "cumsum": (1001, lambda x: x.cumsum(-1)),
    "sum": (1001, lambda x: x.sum(-1)),
    "sort": (101, lambda x: al.sort(x, -1)[0]),
    "topk": (101, lambda x: al.topk(x, 5)[0]),
}


def _bits(x: Tensor) -> list:
    return x.float().tolist()


def _check(fn: Callable[[Tensor], Tensor], x: Tensor) -> None:
    whole = fn(x)
    for cut in CUTS:
        for start in (0, ROWS - cut):
            assert _bits(fn(x[start : start + cut])) == _bits(whole[start : start + cut]), f"{cut} rows from {start}"


@pytest.fixture(params=[1, 2])
def threads(request):
    before = al.get_num_threads()
    al.set_num_threads(request.param)
    yield request.param
    al.set_num_threads(before)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", PRODUCTS)
def test_a_row_of_a_product_does_not_feel_the_others(name, dtype, threads):
    al.manual_seed(0)
    n, k = PRODUCTS[name]
    weight, bias = _weights(n, k, dtype), _weights(n, 1, dtype)[:, 0]
    x = al.randn(ROWS, k).to(getattr(al, dtype))
    for fn in (lambda x: F.linear(x, weight), lambda x: F.linear(x, weight, bias), lambda x: x @ weight.T.contiguous()):
        _check(fn, x)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("n", "k"), [(1024, 64), (131, 502), (1536, 576), (70, 1100), (4099, 16)])
def test_weights_that_are_laid_out_give_the_same_bits(n, k, dtype, threads):
    al.manual_seed(0)
    for bias in (False, True):
        layer = al.nn.Linear(k, n, bias=bias).to(getattr(al, dtype))
        x = (al.randn(5, k) * 3).to(getattr(al, dtype))
        with al.no_grad():
            plain = layer(x)
            with al.nn.utils.reading_weights(layer):
                assert layer.panels.serve(x[:1], layer.weight, layer.bias) and not layer.panels.serve(x, layer.weight, layer.bias)
                for rows in (x[:1], x[1:3], x[4], x[:2].view(2, 1, k), x):
                    assert _bits(layer(rows)) == _bits(F.linear(rows, layer.weight, layer.bias))
                assert _bits(layer(x[2:3])) == _bits(plain[2:3])


def test_laid_out_weights_know_whose_turn_is_next():
    layers = [al.nn.Linear(256, 256) for _ in range(3)]
    model = al.nn.Sequential(*layers, al.nn.Linear(2, 2))
    with al.no_grad(), al.nn.utils.reading_weights(model):
        assert [layer.panels.following for layer in layers] == [layer.panels for layer in layers[1:] + layers[:1]]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_layers_side_by_side_give_the_same_bits(dtype, threads):
    al.manual_seed(0)
    layers = [al.nn.Linear(512, n, bias=False).to(getattr(al, dtype)) for n in (576, 192, 192)]
    x, side_by_side = al.randn(5, 512).to(getattr(al, dtype)), al.nn.utils.side_by_side
    same = lambda rows, got: [_bits(y.contiguous()) for y in got] == [_bits(F.linear(rows, layer.weight)) for layer in layers]
    before = al.cpu.memory_allocated()
    with al.no_grad(), al.nn.utils.reading_weights(al.nn.ModuleList(layers)):
        for rows in (x[:1], x[1:3], x[4], x[:2].view(2, 1, 512), x):
            assert same(rows, side_by_side(rows, *layers)) and same(rows, [layer(rows) for layer in layers])
        assert layers[0].panels.group is layers[2].panels.group is not None
        assert side_by_side(x[:1]) == [] and len(side_by_side(x[:1], layers[0])) == 1
        assert same(x[:1], side_by_side(x[:1], *reversed(layers))[::-1])  # another order
        seen = []
        with layers[1].register_forward_hook(lambda *call: seen.append(call)):
            assert same(x[:1], side_by_side(x[:1], *layers)) and len(seen) == 1
        layers[1].weight.mul_(2)
        assert same(x[:1], side_by_side(x[:1], *layers))
        with al.enable_grad():
            assert side_by_side(x[:1], *layers)[2].requires_grad
    assert al.cpu.memory_allocated() - before < layers[0].weight.nbytes  # nothing waits for the collector of cycles


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_gated_perceptron_in_one_op_gives_the_same_bits(dtype, threads):
    al.manual_seed(0)
    norm, gate, up, down = model = al.nn.ModuleList(
        [al.nn.RMSNorm(576, 1e-5), *(al.nn.Linear(k, n, bias=False) for k, n in ((576, 544), (576, 544), (544, 576)))]
    ).to(getattr(al, dtype))
    x = (al.randn(5, 576) * 3).to(getattr(al, dtype))
    plain = lambda rows: _bits(rows + down(F.swiglu(gate(norm(rows)), up(norm(rows)))))
    served, whole = [], al.nn.panels.Together.gated
    fused = lambda rows: _bits(al.nn.utils.gated_residual(rows, norm, gate, up, down))
    with al.no_grad(), pytest.MonkeyPatch.context() as patch, al.nn.utils.reading_weights(model):
        norm.weight.uniform_(-2, 2)
        patch.setattr(al.nn.panels.Together, "gated", lambda self, *args: served.append(args) or whole(self, *args))
        for rows in (x[:1], x[1:3], x[4], x[:2].view(2, 1, 576), x):
            assert fused(rows) == plain(rows)
        assert len(served) == 4  # five rows are no row that is read alone
        seen = []
        for module in (norm, gate, up, down):  # what hooks and other forwards see is what they would see
            with module.register_forward_hook(lambda *call: seen.append(call[0])):
                assert fused(x[:1]) == plain(x[:1])
            assert module in seen
        down.forward = lambda h: al.ones_like(x[:1])
        assert fused(x[:1]) == _bits(x[:1] + 1)
        del down.forward
        down.weight.mul_(2)
        assert fused(x[:1]) == plain(x[:1])
        assert len(served) == 4
        with al.enable_grad():
            assert al.nn.utils.gated_residual(x[:1], norm, gate, up, down).requires_grad


def test_laid_out_weights_serve_only_what_they_are():
    al.manual_seed(0)
    layer = al.nn.Linear(512, 256)
    x, compiled = al.randn(1, 512), al.compile(layer)
    fresh = lambda: _bits(F.linear(x, layer.weight, layer.bias))
    with al.no_grad(), al.nn.utils.reading_weights(layer):
        panels = layer.panels
        serves = lambda: panels.serve(x, layer.weight, layer.bias)
        assert serves() and _bits(compiled(x)) == fresh()
        with al.enable_grad():
            assert not serves() and layer(x).requires_grad
        with al.autocast("cpu"):
            assert layer(x).dtype is al.bfloat16
        layer.weight.mul_(2)  # a change by an operation
        assert not serves() and _bits(layer(x)) == fresh() == _bits(compiled(x))
    assert layer.panels is None and _bits(layer(x)) == fresh()
    with al.no_grad(), al.nn.utils.reading_weights(layer):
        layer.weight.data = al.randn(256, 512)  # another tensor in its place
        assert _bits(layer(x)) == fresh()
        layer.weight = al.nn.Parameter(al.randn(256, 512))
        assert _bits(layer(x)) == fresh()
    with al.no_grad():
        layer.weight.zero_()
        assert compiled(x).tolist() == [layer.bias.tolist()]


# Generation sorts and sums in float32 and float64 only.
@pytest.mark.parametrize(("name", "dtype"), [(n, d) for n in OPS for d in ("float32", "bfloat16") if d == "float32" or n not in ("cumsum", "sort", "topk")])
def test_a_row_of_an_op_does_not_feel_the_others(name, dtype, threads):
    al.manual_seed(1)
    width, fn = OPS[name]
    _check(fn, (al.randn(ROWS, width) * 3).to(getattr(al, dtype)))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("groups", "size"), [(4, 64), (1, 40), (2, 7)])
def test_a_query_does_not_feel_the_queries_beside_it_nor_later_keys(dtype, groups, size, threads):
    al.manual_seed(2)
    T, H = 300, 4
    q, k, v = (al.randn(1, n, T, size).to(getattr(al, dtype)) for n in (H, groups, groups))
    whole = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    for end in (1, 2, 47, 48, 49, 127, 128, 129, 200, 257, 300):
        alone = F.scaled_dot_product_attention(q[:, :, end - 1 : end], k[:, :, :end], v[:, :, :end], enable_gqa=True)
        assert _bits(alone[0, :, 0]) == _bits(whole[0, :, end - 1])
        chunk = max(0, end - 5)
        mask = al.arange(T) <= al.arange(chunk, end).unsqueeze(1)  # a chunk of queries, keys beyond it masked
        some = F.scaled_dot_product_attention(q[:, :, chunk:end], k, v, mask, enable_gqa=True)
        assert _bits(some[0]) == _bits(whole[0, :, chunk:end])


def test_a_row_of_a_ragged_product_does_not_feel_its_group(threads):
    al.manual_seed(3)
    x, w = al.randn(40, 300), al.randn(3, 300, 70)
    whole = F.grouped_mm(x, w, offs=al.tensor([11, 25, 40], dtype=al.int32))
    for number, (start, end) in enumerate(((0, 11), (11, 25), (25, 40))):
        for row in (start, (start + end) // 2, end - 1):
            ends = [0] * number + [1] * (3 - number)
            alone = F.grouped_mm(x[row : row + 1], w, offs=al.tensor(ends, dtype=al.int32))
            assert _bits(alone[0]) == _bits(whole[row])


@pytest.mark.parametrize("masked", [False, True])
def test_one_query_of_grouped_heads_is_what_repeated_keys_give(masked):
    al.manual_seed(4)
    B, H, G, S = 2, 6, 2, 37
    q, k, v = (al.randn(B, n, t, 16).requires_grad_() for n, t in ((H, 1), (G, S), (G, S)))
    mask = (al.rand(B, H, 1, S) < 0.7) if masked else None
    grouped = F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True)
    repeated = F.scaled_dot_product_attention(q, k.repeat_interleave(H // G, 1), v.repeat_interleave(H // G, 1), mask)
    assert _bits(grouped) == _bits(repeated)
    slope = al.randn(B, H, 1, 16)
    for a, b in zip(al.autograd.grad(grouped, (q, k, v), slope), al.autograd.grad(repeated, (q, k, v), slope), strict=True):
        assert al.allclose(a, b, atol=1e-6)
