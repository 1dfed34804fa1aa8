"""Gradients of parts of a tensor are added to the whole one's in place: equal to sums of dense ones, and never into memory of others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any

import numpy as np
import pytest

import ascendlite as al
from ascendlite import Tensor
from ascendlite.nn import functional as F

TWICE = [0, 3, 3, 1]  # a place that is picked again
PARTS: dict[str, Callable[[Tensor], Tensor]] = {
    "dense": lambda x: x * 3,
    "itself": lambda x: x,
    "select": lambda x: x[1],
    "select last": lambda x: x.select(-1, 2),
    "slice": lambda x: x[1:3],
    "step": lambda x: x[:, ::2],
    "nothing": lambda x: x[2:2],
    "narrow": lambda x: x.narrow(2, 1, 3),
    "split": lambda x: al.cat(x.split([1, 3], 0)[::-1]),
    "one of chunk": lambda x: x.chunk(2, 2)[1],
    "unbind": lambda x: x.unbind(1)[0] * x.unbind(1)[2],
    "index": lambda x: x[al.tensor(TWICE, device=x.device)],
    "index of another dim": lambda x: x[:, :, al.tensor(TWICE, device=x.device)],
    "index of two": lambda x: x[al.tensor(TWICE, device=x.device), al.tensor([1, 2, 2, 0], device=x.device)],
    "mask": lambda x: x[x.detach() > 0],
    "no index": lambda x: x[al.zeros(0, dtype=al.int64, device=x.device)],
    "index_select": lambda x: x.index_select(1, al.tensor([2, 2, 0], device=x.device)),
    "take": lambda x: x.take(al.tensor([5, 0, 5], device=x.device)),
    "gather": lambda x: x.gather(0, al.tensor(TWICE, device=x.device).reshape(1, 1, 4).expand(2, 3, 4)),
    "diagonal": lambda x: x.diagonal(1, 0, 2),
    "as_strided": lambda x: x.as_strided((2, 3), (7, 2), 1),
    "part of a part": lambda x: x[1:][al.tensor([2, 0, 2], device=x.device)][:, 1],
    "view": lambda x: x.view(2, -1)[1],
    "of a moved one": lambda x: x.permute(2, 0, 1)[3],
}


def numbers(*shape: int, device: str = "cpu", dtype: al.DType = al.float32) -> Tensor:
    """Small whole numbers: their sums are exact in any order."""
    return al.randint(-4, 5, shape).to(dtype).to(device)


def gradient(parts: list[str], create_graph: bool, leaf: bool = True, device: str = "cpu") -> Tensor:
    """Of a (4, 3, 4) tensor whose parts are used in the given order, each with a weight of its own."""
    al.manual_seed(0)
    x = numbers(4, 3, 4, device=device).requires_grad_()
    whole = x if leaf else x * 1
    used = [PARTS[name](whole) for name in parts]
    weights = [numbers(*y.shape, device=device) for y in used]
    total = sum((y * w).sum() for y, w in zip(used, weights, strict=True))
    (g,) = al.autograd.grad(total, x, create_graph=create_graph)
    return g.detach()


@contextmanager
def heard() -> Iterator[list[tuple[str, tuple[int, ...]]]]:
    """(op, shape of its result) of every op that runs inside."""
    found: list[tuple[str, tuple[int, ...]]] = []

    def listener(op: Any, inputs: Any, attrs: Any, outputs: Any, began: int, backward: bool) -> None:
        found.append((op.name, tuple(outputs[0].shape)))

    remove = al.core.add_listener(listener, timed=True)
    try:
        yield found
    finally:
        remove()


@pytest.mark.parametrize("leaf", [True, False], ids=["leaf", "made"])
@pytest.mark.parametrize("first", PARTS)
def test_parts_in_any_order_give_what_dense_gradients_add_up_to(first: str, leaf: bool) -> None:
    for second, third in product(PARTS, ("dense", "select", "index")):
        parts = [first, second, third]
        assert gradient(parts, False, leaf).tolist() == gradient(parts, True, leaf).tolist(), parts


@pytest.mark.parametrize("part", PARTS)
def test_parts_on_the_npu_give_what_they_give_on_the_cpu(part: str) -> None:
    for other in ("dense", "slice", part):
        assert gradient([other, part, other], False, device="npu").cpu().tolist() == gradient([other, part, other], True).tolist()


def test_no_dense_tensor_is_added_for_a_part() -> None:
    x = al.randn(8, 16, 4, requires_grad=True)
    loss = sum((x[k] * x[k]).sum() for k in range(8))
    with heard() as ops:
        loss.backward()
    shapes = Counter(shape for name, shape in ops if name == "add")
    assert shapes == {(16, 4): 15}
    assert not any(shape == (8, 16, 4) for name, shape in ops if name != "select")


def test_the_gradient_of_a_pass_is_not_written_where_the_user_holds_it() -> None:
    x = numbers(4, 3).requires_grad_()
    h = x * 1
    part = h[1:3]
    given, of_part = numbers(4, 3), numbers(2, 3)
    before = given.tolist()
    al.autograd.backward([h, part], [given, of_part])
    expected = np.array(before)
    expected[1:3] += of_part.numpy()
    assert given.tolist() == before
    assert x.grad.tolist() == expected.tolist()


def test_what_a_hook_or_retain_grad_keeps_stays_as_it_was() -> None:
    x = numbers(4, 3).requires_grad_()
    h = x * 1
    part = h[1]  # older: its gradient comes after that of the view
    same = h.view(4, 3)
    kept: list[Tensor] = []
    same.register_hook(lambda g: kept.append(g))
    same.retain_grad()
    h.retain_grad()
    w = numbers(4, 3)
    ((same * w).sum() + (part * 2).sum()).backward()
    expected = w.numpy().copy()
    expected[1] += 2
    assert kept[0].tolist() == same.grad.tolist() == w.tolist()
    assert h.grad.tolist() == x.grad.tolist() == expected.tolist()


def test_a_gradient_that_two_inputs_share_is_not_written() -> None:
    x, other = numbers(4, 3).requires_grad_(), numbers(4, 3).requires_grad_()
    h, k = x * 1, other * 1
    part = h[al.tensor([1, 1])]
    ((h + k).sum() + part.sum()).backward()  # both get the gradient of the sum itself
    assert other.grad.tolist() == [[1.0] * 3] * 4
    assert x.grad.tolist() == [[1.0] * 3, [3.0] * 3, [1.0] * 3, [1.0] * 3]
    assert x.grad.data_ptr() != other.grad.data_ptr()


def test_leaves_of_one_gradient_do_not_share_it() -> None:
    a, b = numbers(3).requires_grad_(), numbers(3).requires_grad_()
    s = (a + b)[1:]
    ((a + b).sum() + s.sum()).backward()
    a.grad.add_(1)
    assert (a.grad.tolist(), b.grad.tolist()) == ([2.0, 3.0, 3.0], [1.0, 2.0, 2.0])


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_added_to_the_gradient_that_a_leaf_has(part: str) -> None:
    x = numbers(4, 3, 4).requires_grad_()
    before = numbers(4, 3, 4)
    y = PARTS[part](x)
    w = numbers(*y.shape)
    (expected,) = al.autograd.grad((y * w).sum(), x, create_graph=True)
    x.grad = before.clone()
    held = x.grad
    (PARTS[part](x) * w).sum().backward()
    assert x.grad is held
    assert held.tolist() == (before + expected).tolist()


def test_a_leaf_with_a_gradient_is_written_where_the_part_is() -> None:
    x = al.randn(8, 16, requires_grad=True)
    x.grad = al.randn(8, 16)
    loss = x[3].sum()
    with heard() as ops:
        loss.backward()
    assert ("add", (16,)) in ops
    assert not any(shape == (8, 16) for _, shape in ops)


def test_hooks_of_a_leaf_see_the_gradient_of_the_pass_alone() -> None:
    x = numbers(3).requires_grad_()
    x.grad = al.ones(3)
    seen: list[Any] = []
    x.register_hook(lambda g: seen.append(g.tolist()))
    x.register_post_accumulate_grad_hook(lambda t: seen.append(t.grad.tolist()))
    x[1].backward()
    assert seen == [[0.0, 1.0, 0.0], [1.0, 2.0, 1.0]]


def test_a_gradient_that_lies_in_the_leafs_own_is_read_before_it_is_written() -> None:
    x = numbers(4).requires_grad_()
    x.grad = al.tensor([1.0, 2.0, 3.0, 4.0])
    x[1:].backward(x.grad[:3])
    assert x.grad.tolist() == [1.0, 3.0, 5.0, 7.0]


def test_grad_leaves_the_gradient_of_leaves_alone() -> None:
    x = numbers(3).requires_grad_()
    x.grad = al.ones(3)
    (g,) = al.autograd.grad(x[1], x)
    assert (g.tolist(), x.grad.tolist()) == ([0.0, 1.0, 0.0], [1.0] * 3)
    x[2].backward(inputs=[x])
    assert x.grad.tolist() == [1.0, 1.0, 2.0]


def test_second_gradients_of_parts() -> None:
    x = al.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=al.float64, requires_grad=True)
    (g,) = al.autograd.grad(x[0].pow(3).sum() + x[al.tensor([0, 0, 1])].pow(2).sum() + x[:, 1].pow(3).sum(), x, create_graph=True)
    (h,) = al.autograd.grad(g.sum(), x)
    assert h.tolist() == [[6 + 4, 12 + 4 + 12], [2, 2 + 24]]


def test_parts_of_one_of_several_outputs() -> None:
    x = al.tensor([3.0, 1.0, 2.0], requires_grad=True)
    values, _ = x.topk(2)
    (values[0] * 5 + (values * 2).sum() + values[1:].sum() + values[al.tensor([0, 0])].sum()).backward()
    assert x.grad.tolist() == [9.0, 0.0, 3.0]


@pytest.mark.parametrize("dtype", [al.bfloat16, al.float16])
def test_picks_of_halves_are_added_up_in_float32(dtype: al.DType) -> None:
    x = al.zeros(2, dtype=dtype, requires_grad=True)
    many = al.zeros(3000, dtype=al.int64)
    (x[many].float().sum() + (x * 2).sum() + x.gather(0, many).float().sum() + x[0] * 4).backward()
    assert x.grad.tolist() == [al.tensor(6006.0).to(dtype).item(), 2.0]


def test_parts_under_anomaly_mode_and_autocast() -> None:
    x = numbers(4, 4).requires_grad_()
    with al.autograd.detect_anomaly(), al.autocast("cpu", dtype=al.bfloat16):
        ((x[1:3] @ x).sum() + x[0].sum() + x[al.tensor([0, 0])].sum()).backward()
    v = x.detach()
    expected = al.zeros(4, 4)
    expected += v[1:3].sum(0)[:, None]
    expected[1:3] += v.sum(1)
    expected[0] += 3
    assert x.grad.tolist() == expected.tolist()


def test_per_example_gradients_of_parts() -> None:
    x = numbers(3, 4)
    found = al.func.vmap(al.func.grad(lambda row: row[0] * row[1] + row[1:3].pow(2).sum()))(x)
    v = x.numpy()
    expected = np.stack([v[:, 1], v[:, 0] + 2 * v[:, 1], 2 * v[:, 2], 0 * v[:, 3]], 1)
    assert found.tolist() == expected.tolist()


def test_a_compiled_step_with_parts_equals_eager_bit_for_bit() -> None:
    pytest.importorskip("numba")
    al.manual_seed(0)
    start, bias = al.randn(4, 8, 8), al.randn(3, 8)

    def make() -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
        w, b = start.clone().requires_grad_(), bias.clone().requires_grad_()

        def step(x: Tensor) -> Tensor:
            h = x
            for k in range(4):
                h = (h @ w[k]).tanh() + h[:, :1] * w[k, 0]
            loss = (h * h).mean() + w[1:3].pow(2).sum() + (w * w).sum() + w[al.tensor([0, 2, 2])].sum() + (h + b[1]).mean()
            loss.backward()
            return loss.detach()

        return w, b, step

    eager_w, eager_b, eager = make()
    compiled_w, compiled_b, step = make()
    compiled = al.compile(step)
    for call in range(4):  # the gradients of the calls add up
        x = al.randn(5, 8)
        assert compiled(x).tolist() == eager(x).tolist()
        assert compiled_w.grad.tolist() == eager_w.grad.tolist(), f"call {call}"
        assert compiled_b.grad.tolist() == eager_b.grad.tolist(), f"call {call}"
    assert compiled.refused is None and compiled.reports()


@pytest.mark.parametrize("options", [{}, {"padding_idx": 2}, {"scale_grad_by_freq": True}], ids=["plain", "padding", "by frequency"])
@pytest.mark.parametrize("dtype", [al.float32, al.bfloat16])
def test_a_table_that_is_used_twice_gets_both_gradients(dtype: al.DType, options: dict[str, Any]) -> None:
    table = numbers(5, 3, dtype=dtype).requires_grad_()
    ids = al.tensor([[1, 2, 1], [4, 1, 2]])

    def loss() -> Tensor:
        return (F.embedding(ids, table, **options) @ table.mT).float().sum() + F.embedding(ids[0], table).float().sum()

    (expected,) = al.autograd.grad(loss(), table, create_graph=True)
    with heard() as ops:
        loss().backward()
    assert table.grad.tolist() == expected.tolist()
    assert Counter(name for name, _ in ops if name in ("embedding", "embedding_backward"))["embedding_backward"] == 2


def test_the_costs_of_parts_are_counted() -> None:
    x = al.randn(6, 4, requires_grad=True)
    loss = x[al.tensor([1, 2])].sum() + x.sum()
    with al.meta.count_costs() as costs:
        loss.backward()
    assert costs.by_op["index_put"].calls == 1


# -- index_put itself


DESTINATIONS = {
    "few of many": lambda: al.randperm(1500)[:200],
    "all": lambda: al.randperm(1500),
    "again and again": lambda: al.randint(0, 1500, (4000,)),
    "one": lambda: al.full((500,), 1499),
    "near": lambda: al.randint(700, 706, (500,)),
    "the last ones": lambda: al.arange(1300, 1500),
}


@pytest.mark.parametrize("columns", [1, 7, 130, 300])
@pytest.mark.parametrize("where", DESTINATIONS)
def test_rows_that_are_put_are_the_same_on_any_number_of_threads(where: str, columns: int) -> None:
    al.manual_seed(1)
    x, rows = al.randn(1500, columns), DESTINATIONS[where]()
    values = al.randn(rows.numel(), columns)
    added, written = x.numpy().copy(), x.numpy().copy()
    np.add.at(added, rows.numpy(), values.numpy())
    for row, value in zip(rows.tolist(), values.numpy(), strict=True):
        written[row] = value
    threads = al.get_num_threads()
    try:
        for n in (1, 2, 3, 5):
            al.set_num_threads(n)
            assert np.array_equal(x.index_add(0, rows, values).numpy(), added)
            assert np.array_equal(x.clone().index_add_(0, rows, values).numpy(), added)
            assert np.array_equal(x.index_copy(0, rows, values).numpy(), written)
            assert np.array_equal(x.mT.contiguous().mT.index_add(0, rows, values).numpy(), added)
            assert np.array_equal(al.stack([x, x]).index_put((None, rows), al.stack([values, values]), True)[1].numpy(), added)
    finally:
        al.set_num_threads(threads)
