"""Laws of the engine: orders of derivative, in-place writes, hooks, memory, depth, threads."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

import ascendlite as al
from ascendlite.errors import GradError


def leaf(*values: float) -> al.Tensor:
    return al.tensor(list(values), dtype=al.float64, requires_grad=True)


def test_gradients_of_a_product_are_the_other_factors() -> None:
    x, y = leaf(2.0, 3.0), leaf(5.0, 7.0)
    (x * y).sum().backward()
    assert [5.0, 7.0] == x.grad.tolist()
    assert [2.0, 3.0] == y.grad.tolist()


def test_gradients_accumulate_over_passes() -> None:
    x = leaf(1.0, 2.0)
    for _ in range(3):
        (x * x).sum().backward()
    assert [6.0, 12.0] == x.grad.tolist()


def test_the_third_derivative_of_a_cube_is_six() -> None:
    x = al.tensor(2.0, dtype=al.float64, requires_grad=True)
    y = x * x * x
    for _ in range(3):
        (y,) = al.autograd.grad(y, x, create_graph=True)
    assert 6.0 == y.item()


def test_broadcasting_is_undone_in_the_gradient() -> None:
    x, b = al.ones(4, 3, requires_grad=True), al.ones(3, requires_grad=True)
    (x + b).sum().backward()
    assert (3,) == b.grad.shape
    assert [4.0, 4.0, 4.0] == b.grad.tolist()


def test_a_chain_of_100_000_ops_goes_backward() -> None:
    x = al.ones(2, requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y * 1.0
    y.sum().backward()
    assert [1.0, 1.0] == x.grad.tolist()


def test_a_deep_graph_is_dropped_without_recursion() -> None:
    y = al.ones(2, requires_grad=True)
    for _ in range(300_000):
        y = y + 1.0
    del y


def test_a_wide_fan_in_sums_every_branch() -> None:
    x = al.ones(2, requires_grad=True)
    total = x * 0.0
    for _ in range(20_000):
        total = total + x
    total.sum().backward()
    assert [20_000.0, 20_000.0] == x.grad.tolist()


def test_a_graph_is_freed_without_the_cycle_collector() -> None:
    gc.disable()
    try:
        x = al.ones(3, requires_grad=True)
        y = (x.exp() * 2).exp()
        alive = weakref.ref(y)
        del y
        assert alive() is None
    finally:
        gc.enable()


def test_a_second_backward_without_retain_graph_raises() -> None:
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(GradError, match="second time"):
        y.backward()


def test_retain_graph_allows_a_second_backward() -> None:
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert [4.0, 8.0] == x.grad.tolist()


def test_overwriting_a_saved_tensor_raises_and_names_the_op() -> None:
    x = leaf(1.0, 2.0)
    y = x * x
    z = y * y
    y.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation.*add_"):
        z.sum().backward()


def test_overwriting_what_nobody_saved_is_fine() -> None:
    x = leaf(1.0, 2.0)
    y = x + 1.0
    y.mul_(3.0)
    y.sum().backward()
    assert [3.0, 3.0] == x.grad.tolist()


def test_an_in_place_write_through_a_view_reaches_the_base() -> None:
    x = leaf(1.0, 1.0, 1.0, 1.0)
    y = x * 2.0
    y[1:3].mul_(y[0:2].clone())
    y.sum().backward()
    assert [6.0, 8.0, 4.0, 2.0] == x.grad.tolist()


def test_a_view_taken_before_the_base_was_written_sees_the_new_history() -> None:
    x = leaf(1.0, 2.0)
    y = x * 1.0
    first = y[0]
    y.mul_(10.0)
    first.backward()
    assert [10.0, 0.0] == x.grad.tolist()


def test_writing_into_a_leaf_that_requires_grad_raises() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(GradError, match="leaf Variable"):
        x.add_(1.0)
    with pytest.raises(GradError, match="view of a leaf"):
        x[0] = 5.0


def test_writing_into_an_expanded_tensor_raises() -> None:
    with pytest.raises(RuntimeError, match="single memory location"):
        al.zeros(3).expand(2, 3).add_(1.0)


def test_a_shifted_copy_onto_itself_raises() -> None:
    x = al.arange(5.0)
    with pytest.raises(RuntimeError, match="clone"):
        x[1:] = x[:-1]


def test_assignment_has_gradients_on_both_sides() -> None:
    x, v = leaf(1.0, 2.0, 3.0), leaf(7.0)
    y = x * 2.0
    y[1:2] = v
    (y * y).sum().backward()
    assert [8.0, 0.0, 24.0] == x.grad.tolist()
    assert [14.0] == v.grad.tolist()


def test_unused_inputs_raise_unless_allowed() -> None:
    x, y = leaf(1.0), leaf(2.0)
    with pytest.raises(GradError, match="allow_unused"):
        al.autograd.grad((x * 2).sum(), [x, y])
    assert al.autograd.grad((x * 2).sum(), [x, y], allow_unused=True)[1] is None


def test_grad_stops_at_an_inner_tensor() -> None:
    x = leaf(3.0)
    y = x * x
    (g,) = al.autograd.grad((y * y).sum(), y)
    assert [18.0] == g.tolist()
    assert x.grad is None


def test_hooks_may_replace_gradients() -> None:
    x = leaf(1.0)
    y = x * 2.0
    handle = y.register_hook(lambda g: g * 10.0)
    y.sum().backward(retain_graph=True)
    assert [20.0] == x.grad.tolist()
    handle.remove()
    y.sum().backward()
    assert [22.0] == x.grad.tolist()


def test_retain_grad_keeps_the_gradient_of_an_inner_tensor() -> None:
    x = leaf(3.0)
    y = x * x
    y.retain_grad()
    (y * 4.0).sum().backward()
    assert [4.0] == y.grad.tolist()


def test_no_grad_records_nothing_and_nests() -> None:
    x = leaf(1.0)
    with al.no_grad():
        assert not (x * 2).requires_grad
        with al.enable_grad():
            assert (x * 2).requires_grad
    assert (x * 2).requires_grad

    @al.no_grad()
    def f() -> al.Tensor:
        return x * 2

    assert not f().requires_grad


def test_no_grad_belongs_to_one_thread() -> None:
    seen = []
    with al.no_grad():
        worker = threading.Thread(target=lambda: seen.append(al.is_grad_enabled()))
        worker.start()
        worker.join()
    assert [True] == seen


def test_inference_tensors_stay_out_of_graphs() -> None:
    with al.inference_mode():
        x = al.ones(2) * 2
    w = leaf(1.0, 1.0)
    with pytest.raises(GradError, match="[Ii]nference"):
        x.add_(1.0)
    assert not x.requires_grad
    assert (w * x.clone()).requires_grad


def test_threads_may_run_backward_at_once_over_shared_leaves() -> None:
    w = al.ones(64, requires_grad=True)

    def work() -> None:
        for _ in range(50):
            y = w
            for _ in range(20):
                y = y * 1.0
            y.sum().backward()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [200.0] * 64 == w.grad.tolist()


def test_gradients_of_two_leaves_do_not_share_memory() -> None:
    x, y = leaf(1.0), leaf(1.0)
    (x + y).sum().backward()
    x.grad.zero_()
    assert [1.0] == y.grad.tolist()


def test_anomaly_mode_names_the_op_that_made_a_nan() -> None:
    x = leaf(0.0)
    with pytest.raises(GradError, match="nan"), al.autograd.detect_anomaly():
        (x.sqrt() * 0.0).sum().backward()


def test_backward_checks_its_arguments() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="scalar outputs"):
        (x * 2).backward()
    with pytest.raises(RuntimeError, match="shape"):
        (x * 2).backward(al.ones(3))
    with pytest.raises(RuntimeError, match="does not require grad"):
        al.ones(1).sum().backward()


def test_grad_assignments_are_checked() -> None:
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match="size"):
        x.grad = al.ones(3, dtype=al.float64)
    with pytest.raises(TypeError):
        x.grad = 3.0


class Cube(al.autograd.Function):
    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        return x * x * x

    @staticmethod
    def backward(ctx, g):  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        return 3 * x * x * g


def test_a_custom_function_has_first_and_second_gradients() -> None:
    x = leaf(2.0, 3.0)
    assert al.autograd.gradcheck(Cube.apply, x)
    assert al.autograd.gradgradcheck(Cube.apply, x)


def test_gradcheck_finds_a_wrong_gradient() -> None:
    class Wrong(al.autograd.Function):
        @staticmethod
        def forward(ctx, x):  # type: ignore[no-untyped-def]
            return x * 2

        @staticmethod
        def backward(ctx, g):  # type: ignore[no-untyped-def]
            return g * 3

    with pytest.raises(GradError, match="Jacobian mismatch"):
        al.autograd.gradcheck(Wrong.apply, leaf(1.0))


def test_a_custom_function_may_write_in_place() -> None:
    class Double(al.autograd.Function):
        @staticmethod
        def forward(ctx, x):  # type: ignore[no-untyped-def]
            x.mul_(2.0)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):  # type: ignore[no-untyped-def]
            return g * 2

    x = leaf(1.0, 2.0)
    y = x * 1.0
    z = Double.apply(y)
    z.sum().backward()
    assert z is y
    assert [2.0, 2.0] == x.grad.tolist()


def test_checkpoint_gives_the_same_gradients() -> None:
    w, x = leaf(2.0, 3.0), leaf(1.0, 5.0)

    def f(x: al.Tensor) -> al.Tensor:
        return (w * x).exp() * x

    f(x).sum().backward()
    expected = (w.grad.tolist(), x.grad.tolist())
    w.grad = x.grad = None
    al.autograd.checkpoint(f, x).sum().backward()
    assert expected == (w.grad.tolist(), x.grad.tolist())


def test_checkpoint_reaches_parameters_when_no_input_needs_a_gradient() -> None:
    w = leaf(2.0)
    al.autograd.checkpoint(lambda x: (w * x).exp(), al.ones(1, dtype=al.float64)).sum().backward()
    assert w.grad is not None


def test_as_strided_windows_that_overlap_sum_their_gradients() -> None:
    x = leaf(1.0, 2.0, 3.0, 4.0)
    x.as_strided((3, 2), (1, 1)).sum().backward()
    assert [1.0, 2.0, 2.0, 1.0] == x.grad.tolist()


def test_unfold_and_diagonal_have_gradients() -> None:
    x = al.arange(12.0, dtype=al.float64).reshape(3, 4).requires_grad_()
    assert al.autograd.gradcheck(lambda x: x.unfold(1, 2, 1) * 2, x)
    assert al.autograd.gradcheck(lambda x: x.diagonal(1) * 2, x)
    assert al.autograd.gradgradcheck(lambda x: x.unfold(1, 3, 1) ** 2, x)


def test_pieces_of_a_tensor_join_their_gradients() -> None:
    x = al.arange(12.0, dtype=al.float64).reshape(3, 4).requires_grad_()
    assert al.autograd.gradcheck(lambda x: x.split([1, 3], dim=1)[1] * 2, x)
    assert al.autograd.gradcheck(lambda x: sum(k * row for k, row in enumerate(x)), x)
    assert al.autograd.gradgradcheck(lambda x: x.chunk(2, dim=1)[0] * x.unbind(1)[3].reshape(3, 1), x)


@pytest.mark.parametrize("cut", [lambda y: y.tensor_split(2), lambda y: y.unsafe_chunk(2), lambda y: (y[:2], y[2:])])
def test_an_in_place_write_through_a_piece_reaches_the_base(cut) -> None:
    x = leaf(1.0, 2.0, 3.0, 4.0)
    y = x * 1.0
    first, _ = cut(y)
    first.mul_(10.0)
    y.sum().backward()
    assert [10.0, 10.0, 1.0, 1.0] == x.grad.tolist()


@pytest.mark.parametrize("cut", [lambda y: y.split(2), lambda y: y.chunk(2), lambda y: y.unbind(), list])
def test_one_of_several_views_is_not_written_in_a_graph(cut) -> None:
    y = leaf(1.0, 2.0, 3.0, 4.0) * 1.0
    for view in (cut(y)[0], cut(y)[1].unsqueeze(0)):  # a view of a view, too
        with pytest.raises(RuntimeError, match="returns multiple views"):
            view.mul_(10.0)
    first, *_ = cut(y)
    y.mul_(2.0)
    with pytest.raises(RuntimeError, match="itself or through its base"):
        first * 2
    plain = cut(al.ones(4))[0]
    plain.mul_(3.0)
    with pytest.raises(RuntimeError, match="returns multiple views"):
        plain.mul_(al.ones(()).requires_grad_())
    with al.no_grad():
        cut(y)[0].mul_(2.0)
