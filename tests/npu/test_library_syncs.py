"""The hazard check on the library's own kernels: proved as the device runs them, and every flag and barrier in them is needed somewhere."""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import pytest

import ascendlite as al
import ascendlite.npu as npu
from ascendlite.npu import kernels, mutation
from ascendlite.npu.checker import Sharing
from ascendlite.npu.errors import Site
from ascendlite.npu.programs import Traced
from ascendlite.npu.proof import Launchable, launches_ask, proof
from ascendlite.ops import fused_optim

Program = tuple[Traced, Sharing]


def tensor(*shape: int, dtype: al.dtype = al.float32) -> al.Tensor:
    """Zeros; integers come from the host: they are read as indices by what runs on the card's own CPU, and no kernel that fills them is run here."""
    return al.zeros(shape, dtype=dtype, device="npu") if dtype.is_floating_point else al.zeros(shape, dtype=dtype).to("npu")


def pointwise() -> None:
    x, y = tensor(900, 1700), tensor(900, 1700)
    al.add(x, y)
    x.add_(y)
    al.exp(x)
    al.where(x > 0, x, y)
    x.half().bfloat16()
    x + y[0]
    al.sqrt(tensor(3, 5))
    al.cos(tensor(700, 700))
    for size in (70, 900):
        i = tensor(700, size, dtype=al.int64)
        i * i - 3
        al.where(i < 5, i, i)


def products() -> None:
    a, b = tensor(7000, 1100, dtype=al.float16), tensor(1100, 1900, dtype=al.float16)
    a @ b
    a[:20, :1000].contiguous() @ b[:1000, :40].contiguous()
    tensor(384, 8192, dtype=al.float16) @ tensor(8192, 1024, dtype=al.float16)
    tensor(2, 20000) @ tensor(20000, 2)
    al.addmm(tensor(7000, 1900, dtype=al.float16), a, b, beta=0.5)
    for dtype in (al.float16, al.float32):
        for m, k, n in ((3000, 400, 5000), (3000, 40, 5000), (384, 8192, 1024)):
            al.nn.functional.linear(tensor(m, k, dtype=dtype), tensor(n, k, dtype=dtype), tensor(n, dtype=dtype))
    al.baddbmm(tensor(60, 1, 200, dtype=al.float16), tensor(60, 300, 64, dtype=al.float16), tensor(60, 64, 200, dtype=al.float16))


def convolutions() -> None:
    al.conv2d(tensor(2, 40, 30, 30), tensor(200, 40, 3, 3), tensor(200), padding=1)
    al.conv2d(tensor(4, 4, 60, 700, dtype=al.float16), tensor(4, 4, 3, 3, dtype=al.float16), stride=2)
    al.conv2d(tensor(1, 130, 8, 8, dtype=al.float16), tensor(300, 130, 5, 5, dtype=al.float16))


def filters() -> None:
    for size, channels, outputs, groups in (((60, 70), 40, 48, 1), ((30, 30), 96, 96, 96), ((12, 300), 70, 20, 1)):
        x, w = tensor(3, channels, *size, dtype=al.float16), tensor(outputs, channels // groups, 3, 3, dtype=al.float16).requires_grad_()
        al.conv2d(x, w, padding=1, groups=groups).sum().backward()


def channels() -> None:
    x, weight, bias = tensor(300, 64, 20, 20).requires_grad_(), tensor(64).requires_grad_(), tensor(64).requires_grad_()
    al.nn.functional.batch_norm(x, None, None, weight, bias, training=True).sum().backward()
    for size in (20, 50):
        x = tensor(300, 64, size, size, dtype=al.float16).requires_grad_()
        al.nn.functional.group_norm(x, 8).sum().backward()


def spreads() -> None:
    for columns in (64, 72):
        x = tensor(30000, 4, columns)
        for other in (tensor(30000, 4, 1), tensor(30000, 1, columns), tensor(columns)):
            x * other
            other - x
        tensor(30000, 1, columns) / tensor(30000, 4, 1)
        tensor(90000, 1) + tensor(columns)
        tensor(9000, 4, 4) @ tensor(9000, 4, columns)
        tensor(9000, 2, 4).transpose(1, 2) @ tensor(9000, 2, columns)


def pools() -> None:
    functional = al.nn.functional
    for x in (tensor(3, 64, 56, 56), tensor(60, 64, 14, 14, dtype=al.float16)):
        x.requires_grad_()
        functional.max_pool2d(x, 3, 2, 1).sum().backward()
        functional.avg_pool2d(x, 3, 2, 1).sum().backward()
        functional.interpolate(x, size=(31, 40), mode="bilinear").sum().backward()


def copies() -> None:
    x = tensor(9000, 500)
    x.T.contiguous()
    x[1:, 1:].contiguous()
    x[1:, ::2].contiguous()
    x[:, :1].expand(9000, 500).contiguous()
    tensor(3, 40, 6, 300, 64, dtype=al.float16).permute(1, 3, 0, 2, 4).contiguous()
    for columns in (6, 900):
        tensor(3000, 2, dtype=al.int64)[:, :1].expand(3000, columns).contiguous()


def rows() -> None:
    for columns in (40, 72, 900, 5000):
        x = tensor(40000 if columns < 2000 else 3000, columns)
        al.softmax(x, 1)
        al.log_softmax(x, 1)
        al.nn.functional.layer_norm(x, (columns,), tensor(columns), tensor(columns))
        al.nn.functional.rms_norm(x, (columns,), tensor(columns))
    half = tensor(900, dtype=al.float16)
    al.nn.functional.layer_norm(tensor(3000, 900, dtype=al.float16), (900,), half, half)


def long_rows() -> None:
    for dtype in (al.float32, al.float16):
        x, weight = tensor(150, 20000, dtype=dtype), tensor(20000, dtype=dtype)
        al.softmax(x, 1)
        al.nn.functional.layer_norm(x, (20000,), weight, weight)
        x.var(1)
        x.std(1)
        x.argmax(1)
        x.requires_grad_()
        target = tensor(150, dtype=al.int64)
        al.nn.functional.cross_entropy(x, target).backward()
        for options in ({}, {"weight": weight}):
            al.nn.functional.cross_entropy(x, target, label_smoothing=0.1, **options).backward()
        al.nn.functional.nll_loss(x, target, weight).backward()
        al.autograd.grad(al.log_softmax(x, 1), x, al.zeros_like(x))
        al.autograd.grad(al.softmax(x, 1), x, al.zeros_like(x))
        weight.requires_grad_()
        al.autograd.grad(al.nn.functional.rms_norm(x, (20000,), weight), (x, weight), al.zeros_like(x))
        x, scale, shift = (tensor(*shape, dtype=dtype).requires_grad_() for shape in ((150, 9001), (9001,), (9001,)))
        al.autograd.grad(al.nn.functional.layer_norm(x, (9001,), scale, shift), (x, scale, shift), al.zeros_like(x))


def reductions() -> None:
    for shape in ((5000, 700), (90, 20000)):
        x = tensor(*shape)
        x.sum()
        x.sum(0)
        x.sum(1)
        x.amax(1)
    tensor(90000, 4, 64).sum(1)
    tensor(90, 3, 32, dtype=al.float16).amax(1)
    tensor(40000, 8192).sum()


def losses() -> None:
    x, target = tensor(3000, 900), tensor(3000, dtype=al.int64)
    weight = tensor(900)
    x.requires_grad_()
    for options in ({}, {"label_smoothing": 0.1}, {"label_smoothing": 0.1, "weight": weight}):
        al.nn.functional.cross_entropy(x, target, **options).backward()
    al.nn.functional.cross_entropy(x.detach().half().requires_grad_(), target, weight.half(), label_smoothing=0.1).backward()
    al.nn.functional.nll_loss(x, target, weight).backward()
    al.nn.functional.nll_loss(tensor(3000, 900, dtype=al.float16).requires_grad_(), target, tensor(900, dtype=al.float16)).backward()


def tables() -> None:
    weight, index = tensor(5000, 384), tensor(30000, dtype=al.int64)
    al.nn.functional.embedding(index, weight)
    weight.index_add(0, index[:900], tensor(900, 384))
    weight[:, :100].index_copy(0, index[:900], tensor(900, 100))
    places = tensor(9000, 6, dtype=al.int64)
    weight = tensor(9000, 384)
    weight.gather(1, places)
    weight.scatter(1, places, tensor(9000, 6))
    weight.scatter_add(1, places, tensor(9000, 6))
    numbers = tensor(16000, 90, dtype=al.int64)
    numbers.scatter(1, tensor(16000, 1, dtype=al.int64), 1)
    numbers.scatter(1, tensor(16000, 6, dtype=al.int64), 1)
    numbers.int().scatter_add(1, tensor(16000, 6, dtype=al.int64), tensor(16000, 6, dtype=al.int32))


def optimizers() -> None:
    weights = [al.nn.Parameter(tensor(*shape)) for shape in ((900, 700), (3,), (700, 20))]
    for weight in weights:
        weight.grad = tensor(*weight.shape)
    al.optim.AdamW(weights).step()
    al.optim.Adam(weights, weight_decay=0.1, maximize=True, amsgrad=True).step()
    halves = [al.nn.Parameter(tensor(900, 700, dtype=al.float16))]
    halves[0].grad = tensor(900, 700, dtype=al.float16)
    al.optim.Adam(halves, weight_decay=0.1).step()
    for options in ({}, {"momentum": 0.9, "weight_decay": 0.1}, {"momentum": 0.9, "nesterov": True}):
        descent = al.optim.SGD(weights, lr=0.1, **options)
        descent.step()
        descent.step()
    for dtype in (al.float32, al.float16):
        grads = [tensor(*weight.shape, dtype=dtype) for weight in weights]
        fused_optim.scale_(grads, 0.5)
        for order in (2.0, float("inf")):
            fused_optim.grad_norm(grads, order)
    fused_optim.grad_norm([tensor(99, 1000)])  # the last core has nothing


def attend(q: al.Tensor, k: al.Tensor, v: al.Tensor, *more: al.Tensor, **options: bool | int | al.Tensor) -> None:
    """Attention and its gradients."""
    y = al.nn.functional.scaled_dot_product_attention(*(t.requires_grad_() for t in (q, k, v)), *more, **options)
    al.autograd.grad(y, (q, k, v), y.detach())


def attention() -> None:
    attend(tensor(2, 4, 5, 6), tensor(2, 4, 7, 6), tensor(2, 4, 7, 3))
    attend(*(tensor(1, 14, 300, 64, dtype=al.float16) for _ in range(3)), is_causal=True)
    attend(tensor(1, 30, 130, 72, dtype=al.bfloat16), *(tensor(1, 10, 200, 72, dtype=al.bfloat16) for _ in range(2)),
           is_causal=True, window=100, enable_gqa=True, sinks=tensor(30))  # fmt: skip
    attend(*(tensor(1, 30, 150, 16) for _ in range(3)), tensor(150, 150, dtype=al.bool))
    attend(*(tensor(4, 30, 40, 200) for _ in range(3)), tensor(1, 40, dtype=al.bool))
    attend(*(tensor(4, 30, 40, 16, dtype=al.float16) for _ in range(3)), tensor(40, 40))


def rotary() -> None:
    for dtype in (al.float32, al.float16):
        al.rope(tensor(3, 5000, 2, 48, dtype=dtype), tensor(5000, 1, 24), tensor(5000, 1, 24), interleaved=True)
        al.rope(tensor(3, 4, 2048, 48, dtype=dtype), tensor(2048, 16), tensor(2048, 16))


def draws() -> None:
    x = tensor(1200, 1100)
    al.rand(1200, 1100, device="npu")
    al.dropout(x, 0.5)
    al.rand(7, device="cpu")
    al.randn(700, 1100, device="npu")
    for dtype, range_ in ((al.int64, 100), (al.int64, 1 << 20), (al.int32, 100)):
        al.core.OPS["philox_integers"].launch((tensor(1200, 1100, dtype=dtype),), (), (0, range_, 7, 64))


def ranks() -> None:
    for dtype in (al.float32, al.float16):
        tensor(900, 300, dtype=dtype).sort(1)
        tensor(9000, 256, dtype=dtype).topk(8)


def long_ranks() -> None:
    for dtype in (al.float32, al.float16):
        for shape in ((3, 20001), (250, 5000)):
            tensor(*shape, dtype=dtype).sort(1)
            tensor(*shape, dtype=dtype).topk(3000, 1)
    for size in (5000, 9000):
        tensor(30, size).gather(1, tensor(30, 9000, dtype=al.int64))


def choices() -> None:
    nonzero = al.core.OPS["nonzero"]
    for shape in ((90, 1000), (5000,)):
        nonzero(tensor(*shape), 2000)
        nonzero(tensor(*shape, dtype=al.bool), 2000)


def chosen_rows() -> None:
    index = tensor(1, 130, 26, dtype=al.int64)
    q, rows = tensor(1, 130, 24, 512, dtype=al.float16).requires_grad_(), tensor(1, 700, 512, dtype=al.float16).requires_grad_()
    y = al.nn.functional.sparse_attention(q, rows, index, sinks=tensor(24))
    al.autograd.grad(y, (q, rows), y.detach())
    more = tensor(1, 130, 100, dtype=al.int32)  # several tiles of picks a core
    al.nn.functional.sparse_attention(tensor(1, 130, 24, 64), tensor(1, 700, 64), more)
    al.nn.functional.sparse_attention(tensor(4, 4000, 2, 16), tensor(4, 30, 16), tensor(4, 4000, 9, dtype=al.int32))  # of a small table


def matrices() -> None:
    for n, count in ((4, 9000), (2, 200), (1, 5)):
        x = tensor(count, n, n).requires_grad_()
        y = al.nn.functional.sinkhorn(x, 4)
        al.autograd.grad(y, x, y.detach())


def groups() -> None:
    for rows, summed, columns, ends, dtype in ((800, 260, 390, (100, 100, 130, 500, 730), al.float16), (9, 16, 20, (1, 4, 9), al.float32)):
        x, w = tensor(rows, summed, dtype=dtype).requires_grad_(), tensor(len(ends), summed, columns, dtype=dtype).requires_grad_()
        y = al.nn.functional.grouped_mm(x, w, offs=al.tensor(ends, device="npu"))
        al.autograd.grad(y, (x, w), y.detach())


def scans() -> None:
    for shape, dim in (((7000, 300), 1), ((60, 40, 200), 1), ((30000,), 0), ((300, 16), 0), ((2, 5000, 3), 1)):
        for dtype in (al.float32, al.float16):
            x = tensor(*shape, dtype=dtype).requires_grad_()
            al.cumsum(x, dim).sum().backward()
            al.logcumsumexp(x.detach(), dim)
            al.cummax(x.detach(), dim)
        al.cumsum(tensor(*shape, dtype=al.int64), dim)
    al.core.OPS["cumsum"](tensor(700, 300, dtype=al.int64), 1, True, False)


def flips() -> None:
    for dtype in (al.float32, al.float16, al.int64):
        tensor(60, 40, 300, dtype=dtype).flip(0, 2)
        tensor(900, 20000, dtype=dtype).flip(1)
    tensor(300, 5000).flip(0)


def recurrent_layers() -> None:
    for layer in (al.nn.LSTM, al.nn.GRU, al.nn.RNN):
        for batch, hidden in ((100, 600), (900, 44)):
            net = layer(16, hidden).to("npu")
            y = net(tensor(2, batch, 16))[0]
            al.autograd.grad(y, list(net.parameters()), y.detach())


CALLS: dict[str, Callable[[], None]] = {
    f.__name__: f for f in (pointwise, spreads, products, convolutions, filters, channels, pools, copies, rows, long_rows, reductions, losses, tables, optimizers, attention, rotary,
                            draws, ranks, long_ranks, choices, scans, chosen_rows, matrices, groups, recurrent_layers, flips)
}


# Helpers that are safe wherever they are called, though the flags of these kernels' loops order them too: words of the line or of that before.
# Numbers of a row, read or written between its parts, have flags of their own. A queue's first AllocTensor waits for what InitBuffer set. The last one orders writes to rows that data choose: the same row twice is no hazard to the check, but another result.
NEEDLESS = ("work.new_stat()", "in rows.number(row, ", 'ac.Cast(wide, raw, "CAST_NONE", columns)', "Duplicate(made, 0.0, self.size)", "how much of a slot is written depends on data", "that is written twice keeps what came last")


# Calls that launch further kernels, at sizes that need not show what these need: the modules whose syncs are looked at.
BY_DATA = ("groups", "long_ranks")  # data decide the flow: checked along the ends of what is declared and a typical value, and never called proved
ONLY = {"choices": ("nonzeros",), "long_ranks": ("longsort", "longpicks"), "scans": ("scan_tiles", "scan_words"), "long_rows": ("row_parts", "streams", "tiles", "longlosses", "elements"), "groups": ("grouped",), "recurrent_layers": ("recurrent",), "channels": ("channels",), "filters": ("filter_gradient",), "pools": ("pools", "resizing"), "attention": ("flash",), "chosen_rows": ("flash", "sparse")}


def lines_at(site: Site) -> str:
    return linecache.getline(site.file, site.line - 1) + site.text


def launched(call: Callable[[], None]) -> list[Program]:
    """The programs that a call launches, each once."""
    found: dict[tuple[int, Sharing], Program] = {}

    def ask(traced: Launchable, sharing: Sharing) -> bool:
        assert isinstance(traced, Traced)
        found[id(traced), sharing] = traced, sharing
        return False  # nothing need run

    # What a kernel that did not run would have written is not looked at, either.
    known = {"in_range": lambda ids, rows: True, "not_negative": lambda ids: True}
    with launches_ask(ask), patch.multiple("ascendlite.npu.kernels.tables", **known):
        call()
    return list(found.values())


@pytest.mark.parametrize("name", CALLS)
def test_kernels_of_the_library_are_proved(name: str) -> None:
    for traced, sharing in launched(CALLS[name]):
        result = proof(traced, sharing)
        assert result.proved or (name in BY_DATA and result.clean), str(result)


def test_each_sync_of_a_library_kernel_is_needed_in_some_shape() -> None:
    needed: dict[str, bool] = {}
    for call in CALLS.values():
        for traced, sharing in launched(call):
            only = ONLY.get(call.__name__, ("",))
            if not any(Path(site.file).name.startswith(only) for site in traced.sites):
                continue
            for mutant in mutation.mutants(traced, sharing):
                if any(words in lines_at(site) for words in NEEDLESS for site in mutant.group.sites):
                    continue
                # What belongs together differs from shape to shape: each line must be among what is needed in one of them.
                kind = mutant.group.name.split(" at ")[0].split("[")[0]
                for site in mutant.group.sites:
                    line = f"{traced.name}: {kind}, {site.place}"
                    needed[line] = needed.get(line, False) or not mutant.redundant
    assert [line for line, is_needed in needed.items() if not is_needed] == []


def test_every_kernel_module_of_the_library_is_among_them() -> None:
    seen = {Path(site.file).name for call in CALLS.values() for traced, _ in launched(call) for site in traced.sites}
    written = {Path(inspect.getfile(m)).name for m in vars(kernels).values() if isinstance(m, ModuleType) and "ac." in inspect.getsource(m)}
    assert written - seen == set()


def test_a_launch_on_the_device_is_checked_before_it_runs() -> None:
    from ascendlite.npu.runtime.launch import launch
    from tests.npu.faulty_kernels import r16_read_too_early

    x, y = tensor(8192), tensor(8192)
    with pytest.raises(npu.HazardError, match="R16"):
        launch(r16_read_too_early, x, y, False, blocks=1)
