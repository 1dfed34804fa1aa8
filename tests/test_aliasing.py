"""Who shares memory with whom, and which writes that forbids: the laws that random programs in step with PyTorch found broken."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import ascendlite as al


def leaf() -> al.Tensor:
    return al.arange(6.0).reshape(2, 3).requires_grad_()  # a view itself


def untracked(base: al.Tensor) -> al.Tensor:
    with al.no_grad():
        return base.view(-1)


FORBIDDEN: dict[str, tuple[str, Callable[[], object]]] = {
    "a slice of a leaf that is a view": ("view of a leaf", lambda: leaf()[0].mul_(2)),
    "an item of a leaf that is a view": ("view of a leaf", lambda: leaf().__setitem__(0, 5.0)),
    "a view made without gradient, of a leaf": ("created in no_grad", lambda: untracked(al.ones(2, requires_grad=True)).mul_(2)),
    "a view made without gradient, of a result": ("created in no_grad", lambda: untracked(al.ones(2, requires_grad=True) * 1).mul_(2)),
    "transposing a leaf in place": ("leaf Variable", lambda: leaf().t_()),
    "out= that needs a gradient": ("automatic differentiation", lambda: al.add(al.ones(2), 1, out=al.ones(2, requires_grad=True))),
    "out= that overlaps its input": ("single memory location", lambda: overlapping_out()),
    "out= of a loop on another device": ("same device, but out= is on meta", lambda: al.add(al.ones(2), 1, out=al.ones(2, device="meta"))),
    "out= of a sum on another device": ("same device, but out= is on cpu", lambda: al.sum(al.ones(2, device="npu"), out=al.ones(()))),
    "out= of two, on another device": ("same device, but out= is on cpu", lambda: al.sort(al.ones(2, device="npu"), out=(al.ones(2), al.ones(2, dtype=al.int64)))),
    "the gradient switch of a result": ("leaf variables", lambda: setattr(leaf() * 2, "requires_grad", True)),
}


def overlapping_out() -> None:
    x = al.arange(5.0)
    al.add(x[:-1], 1, out=x[1:])


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_write_that_breaks_the_graph_raises(name: str) -> None:
    text, write = FORBIDDEN[name]
    with pytest.raises(RuntimeError, match=text):
        write()


# What lies over the memory that is written: (the six numbers 0..5, a 3-element window of them, positions that are no window).
WRITES_OVER_SOURCES: dict[str, Callable[[al.Tensor], object]] = {
    "index_put_": lambda x: x.index_put_((al.tensor([0, 1, 2]),), x[1:4]),
    "index_put_, the position": lambda x: x.index_put_((x[:2],), al.tensor([5, 6])),
    "x[index] =": lambda x: x.__setitem__(al.tensor([0, 1, 2]), x[1:4]),
    "index_add_": lambda x: x.index_add_(0, al.tensor([0, 1, 2]), x[1:4]),
    "index_copy_": lambda x: x.index_copy_(0, al.tensor([0, 1, 2]), x[1:4]),
    "index_fill_, the position": lambda x: x.index_fill_(0, x[:2], 9),
    "index_reduce_": lambda x: x.index_reduce_(0, al.tensor([0, 1, 2]), x[1:4], "prod"),
    "put_": lambda x: x.put_(al.tensor([0, 1, 2]), x[1:4]),
    "scatter_": lambda x: x.scatter_(0, al.tensor([0, 1, 2]), x[1:4]),
    "scatter_add_": lambda x: x.scatter_add_(0, al.tensor([0, 1, 2]), x[1:4]),
    "scatter_reduce_": lambda x: x.scatter_reduce_(0, al.tensor([0, 1, 2]), x[1:4], "sum"),
    "addr_": lambda x: x[:4].view(2, 2).addr_(x[:2], x[2:4]),
    "copy_ that broadcasts": lambda x: x[:3].copy_(x[1:2]),
    "take out=": lambda x: al.take(x, al.tensor([2, 1]), out=x[:2]),
    "gather out=": lambda x: al.gather(x, 0, al.tensor([2, 1]), out=x[:2]),
    "index_select out=": lambda x: al.index_select(x, 0, al.tensor([2, 1]), out=x[:2]),
    "cat out=": lambda x: al.cat([x[:1], x[2:3]], out=x[:2]),
    "hstack out=": lambda x: al.hstack([x[:1], x[2:3]], out=x[:2]),
    "stack out=": lambda x: al.stack([x[1], x[2]], out=x[:2]),
    "scatter out=": lambda x: al.scatter(x, 0, al.tensor([2, 1]), 7, out=x),
    "scatter_add out=": lambda x: al.scatter_add(x, 0, al.tensor([2]), al.tensor([1]), out=x),
    "scatter_reduce out=": lambda x: al.scatter_reduce(x, 0, al.tensor([2]), al.tensor([1]), "sum", out=x),
    "index_add out=": lambda x: al.index_add(x, 0, al.tensor([0, 1, 2]), x[1:4], out=x),
    "index_copy out=": lambda x: al.index_copy(x, 0, al.tensor([0]), al.tensor([9]), out=x),
    "index_reduce out=": lambda x: al.index_reduce(x, 0, al.tensor([0]), al.tensor([9]), "prod", out=x),
    "addr out=": lambda x: al.addr(x[:4].view(2, 2), x[:2], x[2:4], out=x[:4].view(2, 2)),
    "outer out=": lambda x: al.outer(x[:2], x[2:4], out=x[:4].view(2, 2)),
    "take_along_dim out=": lambda x: al.take_along_dim(x, al.tensor([2, 1]), 0, out=x[:2]),
    "kthvalue out=": lambda x: al.kthvalue(x.view(2, 3), 2, out=(x[:2], al.zeros(2, dtype=al.int64))),
    "mode out=, the indices": lambda x: al.mode(x.view(2, 3), out=(al.zeros(2, dtype=al.int64), x[:2])),
    "max along a dim, out=": lambda x: al.max(x.view(2, 3), 1, out=(x[1:3], al.zeros(2, dtype=al.int64))),
    "min along a dim, out=": lambda x: al.min(x.view(2, 3), 1, out=(x[1:3], al.zeros(2, dtype=al.int64))),
    "aminmax out=": lambda x: al.aminmax(x.view(2, 3), dim=1, out=(x[1:3], al.zeros(2, dtype=al.int64))),
    "diff out=": lambda x: al.diff(x, out=x[:5]),
    "cross out=": lambda x: al.cross(x[:3], x[3:], out=x[:3]),
    "linalg.cross out=": lambda x: al.linalg.cross(x[:3], x[3:], out=x[:3]),
    "kron out=": lambda x: al.kron(x[:2], x[2:3], out=x[:2]),
    "nonzero out=": lambda x: al.nonzero(x, out=x[:5].view(5, 1)),
}


def test_the_larger_of_two_may_be_written_over_one_of_them() -> None:
    x = al.arange(6)
    assert al.max(x, 6 - x, out=x) is x
    assert x.tolist() == [6, 5, 4, 3, 4, 5]


@pytest.mark.parametrize("device", ["cpu", "npu"])
@pytest.mark.parametrize("name", WRITES_OVER_SOURCES)
def test_a_write_over_its_own_source_is_refused_and_nothing_written(name: str, device: str) -> None:
    with al.device(device):
        x = al.arange(6)
        with pytest.raises(RuntimeError, match="refer to a single memory location"):
            WRITES_OVER_SOURCES[name](x)
    assert x.tolist() == [0, 1, 2, 3, 4, 5]


def test_windows_that_interleave_can_be_source_and_target() -> None:
    x = al.arange(6)
    x[::2].index_put_((al.tensor([0, 1, 2]),), x[1::2])
    x[1::2].index_add_(0, al.tensor([0, 1, 2]), x[::2])
    assert x.tolist() == [1, 2, 3, 6, 5, 10]


def test_a_refused_out_is_not_written() -> None:
    x = al.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError):
        al.exp(x, out=x)
    assert (x.tolist(), x._version) == ([1.0, 1.0], 0)


def test_views_made_without_gradient_can_be_written_without_gradient() -> None:
    x = al.ones(2, requires_grad=True)
    with al.no_grad():
        x.view(-1).mul_(3)
    assert x.tolist() == [3.0, 3.0]


@pytest.mark.parametrize("change", [lambda x: x.t_(), lambda x: x.unsqueeze_(0), lambda x: x.squeeze_(), lambda x: x.transpose_(0, 1)])
def test_a_reshape_in_place_counts_as_a_write(change: Callable[[al.Tensor], object]) -> None:
    x = al.ones(1, 2)
    change(x)
    assert x._version == 1


@pytest.mark.parametrize("copy", [lambda x: x.repeat(2), lambda x: x.repeat(1, 2), lambda x: x.repeat_interleave(2, 0), lambda x: x.tile(3)])
def test_repeats_are_copies(copy: Callable[[al.Tensor], al.Tensor]) -> None:
    x = al.ones(1)
    copy(x).add_(1)
    assert x.tolist() == [1.0]


def test_tensors_without_elements_are_contiguous() -> None:
    assert al.ones(3, 4, 2)[:, 4:, ::2].is_contiguous()
    assert al.ones(2, 3)[:, :0].T.is_contiguous()


def test_ravel_is_contiguous() -> None:
    assert al.ones(1).expand(3).ravel().stride() == (1,)


def test_a_list_of_lists_indexes_dim_by_dim() -> None:
    x = al.arange(9).reshape(3, 3)
    assert x[[[0, 1], [1, 2]]].tolist() == [1, 5]
    x[[[0, 1], [1, 2]]] = 7
    assert x.tolist() == [[0, 7, 2], [3, 4, 7], [6, 7, 8]]


def test_views_of_scalars_are_new_tensors() -> None:
    x = al.tensor(1.0)
    assert x.movedim(0, 0) is not x
    assert al.ones(2).t()._is_view()
    assert x.mT is x


def test_shifts_of_a_number_by_a_tensor() -> None:
    assert (1 << al.tensor([2, 3])).tolist() == [4, 8]
    assert (16 >> al.tensor([2, 3])).tolist() == [4, 2]


def test_reversed_is_a_tensor() -> None:
    assert reversed(al.arange(3)).tolist() == [2, 1, 0]


def test_a_computed_tensor_transposed_in_place_has_its_gradient() -> None:
    x = al.arange(6.0).reshape(2, 3).requires_grad_()
    y = x * 2
    y.t_()
    (y * al.arange(6.0).reshape(3, 2)).sum().backward()
    assert x.grad.tolist() == [[0.0, 4.0, 8.0], [2.0, 6.0, 10.0]]


@pytest.mark.parametrize("view", [lambda x: x.T, lambda x: x[0], lambda x: x.view(-1), lambda x: x.unfold(0, 1, 1), lambda x: x.unbind()[0]])
def test_a_view_saves_nothing_and_can_be_passed_twice(view: Callable[[al.Tensor], al.Tensor]) -> None:
    x = al.ones(2, 2, requires_grad=True)
    y = view(x)
    y.sum().backward()
    once = x.grad.tolist()
    y.sum().backward()
    assert x.grad.tolist() == [[2 * g for g in row] for row in once]


def test_a_quotient_can_be_overwritten() -> None:
    x = al.tensor([4.0], requires_grad=True)
    y = x / x.detach().requires_grad_()
    y += 1
    y.backward()
    assert x.grad.tolist() == [0.25]
