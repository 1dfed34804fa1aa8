"""The checks that every row of the op table goes through. Each takes a `Case` and asserts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

import ascendlite as al
from tests.opcase import FLOATS, GRADIENT_TOLERANCE, TOLERANCE, Case, Input

Shapes = Sequence[tuple[int, ...]]
_device = "cpu"


@contextmanager
def on(device: str) -> Iterator[None]:
    """Draw inputs on another device, and make it the default, so that a row's own tensors are born there too."""
    global _device
    former, _device = _device, device
    try:
        with al.device(device):
            yield
    finally:
        _device = former


def kind_of(dtype: str) -> str:
    """What an input factory is asked for."""
    return "bool" if dtype == "bool" else "uint" if dtype.startswith("u") else "int" if dtype.startswith("i") else "float"


def to_tensor(array: np.ndarray, dtype: str) -> al.Tensor:
    """A fresh tensor with these values, rounded to the dtype."""
    return al.tensor(np.ascontiguousarray(array).tolist(), dtype=getattr(al, dtype), device="cpu").reshape(array.shape).to(_device)


def to_array(t: al.Tensor) -> np.ndarray:
    """A tensor's values in float64, int64 or bool: exact, and what references compute in."""
    t = t.detach().cpu()
    wide = al.float64 if t.is_floating_point() else t.dtype if t.dtype is al.bool else al.int64
    return np.array(t.to(wide).numpy())


def as_tuple(result: Any) -> tuple[Any, ...]:
    """Outputs of an op as a tuple."""
    return tuple(result) if isinstance(result, (tuple, list)) else (result,)


def draw(case: Case, dtype: str, shapes: Shapes | None = None, seed: int = 0) -> list[al.Tensor]:
    """Fresh inputs of a row, contiguous."""
    rng = np.random.default_rng((case.seed, seed))
    return [_draw_one(x, rng, x.shape if shapes is None else shapes[k], dtype) for k, x in enumerate(case.inputs)]


def _draw_one(x: Input, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> al.Tensor:
    name = x.dtype or dtype
    return to_tensor(np.asarray(x.draw(rng, tuple(shape), kind_of(name))), name)


def wanted_dtype(case: Case, dtype: str, output: al.Tensor, k: int) -> str | None:
    """The dtype that output k must have, where the row or the rules say."""
    if case.out_dtype is not None and k == 0:
        return case.out_dtype
    return dtype if dtype in FLOATS and output.is_floating_point() else None


def assert_close(expected: Any, actual: np.ndarray, dtype: str, tol: float, where: str) -> None:
    """Values agree within the table's tolerance for the dtype; shapes and NaNs agree exactly."""
    expected = np.asarray(expected)
    assert expected.shape == actual.shape, f"{where}: shape {actual.shape}, expected {expected.shape}"
    if dtype not in TOLERANCE:
        info = np.iinfo(dtype) if dtype != "bool" else None
        wrapped = expected.astype(dtype) if info and expected.dtype.kind in "iub" else expected
        np.testing.assert_array_equal(actual, wrapped, err_msg=where)
        return
    rtol, atol = TOLERANCE[dtype]
    if dtype in ("float16", "float32"):
        with np.errstate(over="ignore"):
            expected = expected.astype(dtype)
    np.testing.assert_allclose(actual, expected.astype(np.float64), rtol * tol, atol * tol, err_msg=where)


def check_values(case: Case, inputs: Sequence[al.Tensor], outputs: Sequence[al.Tensor], where: str) -> None:
    """Outputs against the row's reference or law."""
    arrays = [to_array(t) for t in inputs]
    if case.law is not None:
        values = [to_array(y) for y in outputs]
        case.law(values[0] if len(values) == 1 else tuple(values), *arrays)
    if case.ref is None:
        return
    with np.errstate(all="ignore"):
        expected = as_tuple(case.ref(*arrays))
    assert len(expected) == len(outputs), f"{where}: {len(outputs)} outputs, expected {len(expected)}"
    for e, y in zip(expected, outputs, strict=True):
        assert_close(e, to_array(y), y.dtype.name, case.tol, where)


def check_forward(case: Case, dtype: str) -> None:
    """Values and dtypes of the results; inputs are left as they were."""
    inputs = draw(case, dtype)
    before = [to_array(t) for t in inputs]
    outputs = as_tuple(case.call(*inputs))
    for k, y in enumerate(outputs):
        wanted = wanted_dtype(case, dtype, y, k)
        assert wanted is None or y.dtype.name == wanted, f"output {k} has dtype {y.dtype.name}, expected {wanted}"
    check_values(case, inputs, outputs, f"{case.name} {dtype}")
    for t, was in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(to_array(t), was, err_msg=f"{case.name} changed its input")


def check_shapes(case: Case, shapes: Shapes) -> None:
    """Values and gradients for other shapes: 0-d, zero-size, one element, broadcast."""
    inputs = draw(case, "float32" if "float32" in case.dtypes else case.dtypes[0], shapes)
    check_values(case, inputs, as_tuple(case.call(*inputs)), f"{case.name} {list(shapes)}")
    if case.grad:
        wide = draw(case, "float64", shapes)
        check_gradient(case, wide)


def check_large(case: Case) -> None:
    """Bits of results and gradients do not depend on the number of threads."""
    dtype = next((d for d in ("float32", "int64", "bool") if d in case.dtypes), case.dtypes[0])
    inputs = draw(case, dtype, case.large)
    former = al.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            al.set_num_threads(threads)
            results.append(_results_and_gradients(case, inputs))
    finally:
        al.set_num_threads(former)
    check_values(case, inputs, as_tuple(case.call(*inputs)), f"{case.name} large")
    for threads, other in zip((2, 5), results[1:], strict=True):
        for one, more in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(one, more, err_msg=f"{case.name}: 1 and {threads} threads differ")


def _results_and_gradients(case: Case, inputs: Sequence[al.Tensor]) -> list[np.ndarray]:
    leaves = _leaves(case, inputs)
    outputs = as_tuple(case.call(*leaves))
    arrays = [to_array(y) for y in outputs]
    roots = [y for y in outputs if y.requires_grad]
    wrt = [t for t in leaves if t.requires_grad]
    if roots and wrt:
        cotangents = [al.ones_like(y) for y in roots]
        arrays += [to_array(g) for g in al.autograd.grad(roots, wrt, cotangents, allow_unused=True) if g is not None]
    return arrays


def check_gradient_against_cpu(case: Case) -> None:
    """The gradient in float32 on the device that is on is the CPU's in float64, within the table's tolerance of float32."""
    inputs = draw(case, "float32")
    actual = _forward_backward(case, inputs)[1]
    with on("cpu"):
        expected = _forward_backward(case, [t.detach().cpu().to(al.float64 if t.is_floating_point() else t.dtype) for t in inputs])[1]
    assert len(actual) == len(expected)
    for k, (e, a) in enumerate(zip(expected, actual, strict=True)):
        scale = max(1.0, float(np.abs(e).max(initial=0.0)))
        rtol, atol = TOLERANCE["float32"]
        np.testing.assert_allclose(a, e, 5 * rtol * case.tol * case.grad_tol, 10 * atol * scale * case.tol * case.grad_tol, err_msg=f"{case.name}: gradient {k}")


def _leaves(case: Case, inputs: Sequence[al.Tensor]) -> list[al.Tensor]:
    """Copies of the inputs, those that are differentiated requiring gradients."""
    return [
        t.detach().clone().requires_grad_(case.grad and x.grad and x.dtype is None and t.is_floating_point())
        for x, t in zip(case.inputs, inputs, strict=True)
    ]


# -- layouts

def transposed(t: al.Tensor) -> al.Tensor:
    """The same values, dims in reverse order in memory."""
    order = tuple(reversed(range(t.ndim)))
    return t.permute(order).contiguous().permute(order) if t.ndim else t


def strided(t: al.Tensor) -> al.Tensor:
    """The same values with gaps between them and an offset."""
    if t.ndim == 0 or t.numel() == 0:
        return t
    room = al.zeros(tuple(2 * n + 1 for n in t.shape), dtype=t.dtype)
    view = room[tuple(slice(1, None, 2) for _ in t.shape)]
    view.copy_(t)
    return view


def expanded(t: al.Tensor) -> al.Tensor:
    """Other values: the first row, repeated with stride zero."""
    return t[:1].expand(t.shape) if t.ndim and t.shape[0] > 1 else t


LAYOUTS: dict[str, Callable[[al.Tensor], al.Tensor]] = {
    "contiguous": lambda t: t, "transposed": transposed, "strided": strided, "expanded": expanded,
}


def check_layouts(case: Case, layouts: Sequence[str], shapes: Shapes | None = None) -> None:
    """Any layout gives what contiguous inputs of the same values give, gradients included."""
    dtype = next(d for d in ("float64", "float32", *case.dtypes) if d in case.dtypes)
    plain = draw(case, dtype, shapes)
    odd = [LAYOUTS[layout](t) if x.dtype is None else t for layout, x, t in zip(layouts, case.inputs, plain, strict=True)]
    same = [al.tensor(to_array(t).tolist(), dtype=t.dtype).reshape(t.shape) for t in odd]
    rtol, atol = (1e-9, 1e-9) if dtype not in ("float32", "float16", "bfloat16") else TOLERANCE[dtype]  # a sum's order is the layout's
    for where, x, y in zip(("value", "gradient"), _forward_backward(case, same), _forward_backward(case, odd), strict=True):
        for a, b in zip(x, y, strict=True):
            np.testing.assert_allclose(b, a, rtol * case.tol, atol * case.tol, err_msg=f"{case.name}: {where} for {layouts}")


def _forward_backward(case: Case, inputs: Sequence[al.Tensor]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    leaves = [
        t.detach().requires_grad_(case.grad and x.grad and x.dtype is None and t.is_floating_point())
        for x, t in zip(case.inputs, inputs, strict=True)
    ]
    outputs = as_tuple(case.call(*leaves))
    roots = [y for y in outputs if y.requires_grad]
    wrt = [t for t in leaves if t.requires_grad]
    grads: Sequence[al.Tensor | None] = ()
    if roots and wrt:
        grads = al.autograd.grad(roots, wrt, [al.ones_like(y) for y in roots], allow_unused=True)
    return [to_array(y) for y in outputs], [to_array(g) for g in grads if g is not None]


# -- gradients

def _weights(tensors: Sequence[al.Tensor], seed: int) -> list[al.Tensor]:
    rng = np.random.default_rng(seed)
    return [al.tensor(rng.standard_normal(tuple(t.shape)).tolist(), dtype=al.float64).reshape(t.shape) for t in tensors]


def _dot(tensors: Sequence[al.Tensor], weights: Sequence[al.Tensor]) -> float:
    return float(sum(float((to_array(t) * to_array(w)).sum()) for t, w in zip(tensors, weights, strict=True)))


def numeric_gradient(f: Callable[[], float], x: al.Tensor) -> np.ndarray:
    """Central differences of f in every element of x, which f reads."""
    memory = x.detach().numpy()
    result = np.zeros(memory.shape)
    for at in np.ndindex(memory.shape):
        was = memory[at]
        step = 1e-6 * max(1.0, abs(was))
        memory[at] = was + step
        high = f()
        memory[at] = was - step
        low = f()
        memory[at] = was
        result[at] = (high - low) / (2 * step)
    return result


def _assert_gradients(case: Case, f: Callable[[], float], wrt: Sequence[al.Tensor], grads: Sequence[al.Tensor | None], order: str) -> None:
    rtol, atol = (v * case.grad_tol for v in GRADIENT_TOLERANCE)
    for k, (t, g) in enumerate(zip(wrt, grads, strict=True)):
        numeric = numeric_gradient(f, t)
        if g is not None:
            assert tuple(g.shape) == tuple(t.shape) and g.dtype is t.dtype, f"{order} gradient {k}: {tuple(g.shape)} {g.dtype}"
        exact = np.zeros(numeric.shape) if g is None else to_array(g)
        scale = max(1.0, float(np.abs(exact).max(initial=0.0)))
        np.testing.assert_allclose(exact, numeric, rtol, atol * scale * (1 if order == "first" else 10), err_msg=f"{case.name}: {order} gradient {k}")


def _float_outputs(case: Case, tensors: Sequence[al.Tensor]) -> list[al.Tensor]:
    return [y for y in as_tuple(case.call(*tensors)) if y.is_floating_point()]


def check_gradient(case: Case, inputs: Sequence[al.Tensor] | None = None) -> None:
    """The gradient of a random combination of the outputs against central differences."""
    leaves = _leaves(case, inputs or draw(case, "float64"))
    outputs = _float_outputs(case, leaves)
    weights = _weights(outputs, 1)
    wrt = [t for t in leaves if t.requires_grad]
    assert wrt, f"{case.name}: no input to differentiate; set grad=False"
    kept = [(y, w) for y, w in zip(outputs, weights, strict=True) if y.requires_grad]
    assert kept, f"{case.name}: no output requires grad"
    grads = al.autograd.grad([y for y, _ in kept], wrt, [w for _, w in kept], allow_unused=True)

    def f() -> float:
        with al.no_grad():
            return _dot(_float_outputs(case, leaves), weights)

    _assert_gradients(case, f, wrt, grads, "first")


def check_second_gradient(case: Case) -> None:
    """The gradient of a random combination of the first gradients, also with respect to the incoming gradient."""
    leaves = _leaves(case, draw(case, "float64"))
    wrt = [t for t in leaves if t.requires_grad]
    incoming = [w.requires_grad_(True) for w in _weights([y for y in _float_outputs(case, leaves) if y.requires_grad], 1)]

    def first(create_graph: bool) -> list[al.Tensor]:
        roots = [y for y in _float_outputs(case, leaves) if y.requires_grad]
        found = al.autograd.grad(roots, wrt, incoming, create_graph=create_graph, allow_unused=True)
        return [g for g in found if g is not None]

    grads = first(True)
    weights = _weights(grads, 2)
    kept = [(g, w) for g, w in zip(grads, weights, strict=True) if g.requires_grad]
    assert kept, f"{case.name}: the gradient does not depend on anything; set grad2=False"
    second = al.autograd.grad([g for g, _ in kept], [*wrt, *incoming], [w for _, w in kept], allow_unused=True)
    _assert_gradients(case, lambda: _dot(first(False), weights), [*wrt, *incoming], second, "second")


# -- forms

def check_method(case: Case) -> None:
    """The method does what the function does."""
    inputs = draw(case, case.dtypes[0])
    expected = as_tuple(case.call(*inputs))
    actual = as_tuple(getattr(inputs[0], case.base)(*inputs[1:], *case.args))
    for e, a in zip(expected, actual, strict=True):
        assert e.dtype is a.dtype
        np.testing.assert_array_equal(to_array(a), to_array(e))


def check_inplace(case: Case) -> None:
    """The in-place form writes what the function returns, into the same memory, and counts as a write."""
    inputs = draw(case, case.dtypes[0])
    expected = as_tuple(case.call(*inputs))[0]
    target, rest = inputs[0].clone(), inputs[1:]
    pointer, version = target.data_ptr(), target._version
    result = case.inplace(target, *rest) if callable(case.inplace) else getattr(target, case.base + "_")(*rest, *case.args)
    assert result is target or callable(case.inplace)
    assert (target.data_ptr(), target._version > version) == (pointer, True)
    np.testing.assert_array_equal(to_array(target), to_array(expected.to(target.dtype)))


def check_inplace_gradient(case: Case) -> None:
    """The in-place form of a tensor of the graph has the gradients of the function, also where its rule reads what was overwritten."""
    def gradients(call: Callable[..., al.Tensor]) -> list[np.ndarray]:
        leaves = _leaves(case, draw(case, "float64"))
        y = call(leaves[0] * 1, *leaves[1:])
        wrt = [t for t in leaves if t.requires_grad]
        return [np.zeros(t.shape) if g is None else to_array(g) for t, g in zip(wrt, al.autograd.grad(y, wrt, _weights([y], 1), allow_unused=True), strict=True)]

    expected = gradients(lambda *t: as_tuple(case.call(*t))[0])
    actual = gradients(lambda x, *t: case.inplace(x, *t) if callable(case.inplace) else getattr(x, case.base + "_")(*t, *case.args))
    for e, a in zip(expected, actual, strict=True):
        np.testing.assert_allclose(a, e, 1e-12, 1e-12)


def check_out(case: Case) -> None:
    """`out=` gets the result, also when it is a strided view, and is returned."""
    inputs = draw(case, case.dtypes[0])
    expected = as_tuple(case.call(*inputs))[0]
    for out in (al.empty_like(expected), strided(al.ones_like(expected))):
        pointer = out.data_ptr()
        result = case.call(*inputs, out=out)
        assert result is out and out.data_ptr() == pointer
        np.testing.assert_array_equal(to_array(out), to_array(expected))


def check_meta(case: Case, dtype: str) -> None:
    """The meta device gives the same shapes and dtypes, without values."""
    inputs = draw(case, dtype)
    real = as_tuple(case.call(*inputs))
    made = as_tuple(case.call(*[t.to("meta") for t in inputs]))
    assert [(tuple(y.shape), y.dtype) for y in real] == [(tuple(y.shape), y.dtype) for y in made]
    assert {y.device.type for y in made} == {"meta"}
