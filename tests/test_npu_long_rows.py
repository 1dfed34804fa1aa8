"""Rows too long for the unified buffer, or of which few fit: the same values as on the CPU, and no op falls to the card's own CPU."""

import pytest

import ascendlite as al
from ascendlite.npu.kernels import longrows

F = al.nn.functional
ROWS = ((3, 20000, "float32"), (2, 50257, "float16"), (5, 8200, "bfloat16"), (3, 8192, "float32"), (2, 7168, "float16"), (2, 9216, "float16"), (5, 2000, "float32"), (4, 1999, "bfloat16"))


def both(make, shape, dtype, *more):
    """Values and gradients of an op on either device."""
    results = []
    for device in ("cpu", "npu"):
        al.manual_seed(0)
        x = al.randn(*shape).to(getattr(al, dtype)).to(device).requires_grad_()
        y = make(x, *(t.to(device) for t in more))
        (y.float() * al.arange(y.numel(), dtype=al.float32).reshape(y.shape).cos().to(device)).sum().backward()
        results.append((y.detach().float().cpu(), x.grad.float().cpu()))
    return results


@pytest.mark.parametrize(("rows", "columns", "dtype"), ROWS)
@pytest.mark.parametrize("op", ["softmax", "log_softmax", "layer_norm", "rms_norm", "cross_entropy"])
def test_long_rows(op, rows, columns, dtype):
    weight = al.linspace(0.5, 1.5, columns)
    target = al.arange(rows) * 37 % columns
    target[1] = -100
    makers = {
        "softmax": (lambda x: x.softmax(-1),), "log_softmax": (lambda x: x.log_softmax(-1),),
        "layer_norm": (lambda x, w: F.layer_norm(x, (columns,), w.to(x.dtype), w.to(x.dtype)), weight),
        "rms_norm": (lambda x, w: F.rms_norm(x, (columns,), w.to(x.dtype)), weight),
        "cross_entropy": (lambda x, t: F.cross_entropy(x, t), target),
    }  # fmt: skip
    make, *more = makers[op]
    (want, dwant), (got, dgot) = both(make, (rows, columns), dtype, *more)
    tolerance = {"float32": 2e-5, "float16": 2e-3, "bfloat16": 2e-2}[dtype]
    for g, w in ((got, want), (dgot, dwant)):
        assert (g - w).abs().max().item() <= tolerance * max(w.abs().max().item(), 1e-6)


@pytest.mark.parametrize("columns", [8192, 32000, 131072])
def test_long_rows_take_a_few_passes(columns):
    rows = (1 << 25) // columns
    x = al.empty(rows, columns, device="meta")
    floor = 2 * x.nbytes / 1.6e12 * 1e6
    for op in (lambda x: x.softmax(-1), lambda x: F.layer_norm(x, (columns,)), lambda x: F.rms_norm(x, (columns,))):
        assert al.npu.estimate(op, x).device_us < 12 * floor


@pytest.mark.parametrize(("columns", "dtype"), [(300, "float16"), (1999, "bfloat16"), (2000, "float32"), (9001, "bfloat16"), (20000, "float32")])
@pytest.mark.parametrize("centred", [False, True])
def test_gradients_of_norms_and_their_parameters_run_on_the_cores(centred, columns, dtype):
    al.manual_seed(0)
    given = [al.randn(*shape).to(getattr(al, dtype)) for shape in ((4, columns), (columns,), (columns,), (4, columns))]
    found = []
    for device in ("cpu", "npu"):
        x, w, b, g = (t.to(device) for t in given)
        inputs = [t.requires_grad_() for t in ((x, w, b) if centred else (x, w))]
        y = F.layer_norm(x, (columns,), w, b) if centred else F.rms_norm(x, (columns,), w)
        with al.npu.profiler.profile() as p:
            found.append([t.float().cpu() for t in al.autograd.grad(y, inputs, g)])
    assert not [t.name for t in p.tasks if t.kind == "AI_CPU"]
    tolerance = {"float32": 1e-5, "float16": 3e-3, "bfloat16": 2e-2}[dtype]
    for got, want in zip(found[1], found[0], strict=True):
        assert (got - want).abs().max().item() <= tolerance * want.abs().max().item()


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("columns", [4096, 8192, 20000])
def test_gradients_of_norms_take_two_passes(columns, dtype):
    x, w = (al.empty(s, dtype=getattr(al, dtype), device="meta").requires_grad_() for s in ((1024, columns), (columns,)))
    told = al.npu.estimate(lambda x, w: al.autograd.grad(F.rms_norm(x, (columns,), w), (x, w), x.detach()), x, w, chip="910b2")
    assert told.device_us < 6 * 5 * x.nbytes / 1.6e12 * 1e6


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("rows", [1, 9])
def test_sums_over_rows_of_many_columns_run_on_the_cores(rows, dtype):
    x = al.randn(rows, 20003).to(getattr(al, dtype))
    with al.npu.profiler.profile() as p:
        got = x.npu().sum(0)
    assert not [t.name for t in p.tasks if t.kind == "AI_CPU"]
    assert (got.float().cpu() - x.float().sum(0)).abs().max().item() <= {"float32": 1e-5, "float16": 1e-2}[dtype]


@pytest.mark.parametrize(("rows", "columns"), [(7, 20000), (2, 20000), (7, 300)])
def test_losses_of_more_elements_than_a_position_names_are_picked_by_runs_of_rows(rows, columns, monkeypatch):
    target = al.arange(rows) * 37 % columns
    (want, dwant), _ = both(F.cross_entropy, (rows, columns), "float32", target)
    monkeypatch.setattr(longrows, "MOST", 3 * columns)  # as if positions ended there
    with al.npu.profiler.profile() as p:
        _, (got, dgot) = both(F.cross_entropy, (rows, columns), "float32", target)
    assert not [t.name for t in p.tasks if t.kind == "AI_CPU"]
    for g, w in ((got, want), (dgot, dwant)):
        assert (g - w).abs().max().item() <= 2e-5 * w.abs().max().item()


@pytest.mark.parametrize(("rows", "columns"), [(1 << 21, 2048), (1 << 15, 131072), (2, 1 << 30)])
def test_losses_of_billions_of_logits_run_on_the_cores(rows, columns):
    x, target = al.empty(rows, columns, dtype=al.float16, device="meta").requires_grad_(), al.empty(rows, dtype=al.int64, device="meta")
    told = al.npu.estimate(lambda x, t: al.autograd.grad(F.cross_entropy(x, t), x), x, target, chip="910b2")
    assert not [row.name for row in told.rows if row.kind == "AI_CPU"]
