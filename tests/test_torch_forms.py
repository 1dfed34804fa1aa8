"""Forms of calls that code written for torch uses: keywords, pairs of outputs, limits of other dtypes, edge shapes."""

from __future__ import annotations

import numpy as np
import pytest

import ascendlite as al
import ascendlite.nn.functional as F
from ascendlite.errors import BoundsError

X = np.array([[3.0, 1.0, 2.0], [6.0, 4.0, 5.0]], np.float32)


@pytest.mark.parametrize("shape, trailing", [((0, 3), (3,)), ((2, 0), (0,)), ((0,), (0,))])
def test_the_norm_of_no_rows_has_zero_gradients(shape: tuple[int, ...], trailing: tuple[int, ...]) -> None:
    x, w, b = (al.ones(n).requires_grad_() for n in (shape, trailing, trailing))
    F.layer_norm(x, trailing, w, b).sum().backward()
    assert [x.grad.shape, w.grad.tolist(), b.grad.tolist()] == [shape, [0.0] * trailing[0], [0.0] * trailing[0]]


def test_casts_take_a_memory_format() -> None:
    assert al.ones(2).double(memory_format=al.preserve_format).dtype is al.float64


def test_flip_takes_dims_by_name() -> None:
    assert al.tensor(X).flip(dims=[1]).tolist() == X[:, ::-1].tolist()
    with pytest.raises(TypeError, match="flip: missing or repeated argument 'dims'"):
        al.tensor(X).flip(0, dims=[1])


def test_the_limits_of_an_integer_range_become_integers_first() -> None:
    assert al.arange(3.9, dtype=al.int64).tolist() == [0, 1, 2]
    assert al.linspace(4.3, -3, 5, dtype=al.int64).tolist() == [4, 2, 0, -1, -3]
    assert al.arange(0, 2, 0.5, out=al.empty(0)).tolist() == [0.0, 0.5, 1.0, 1.5]
    with pytest.raises(ValueError, match="step must be nonzero"):
        al.arange(0, 64, 0.5, out=al.empty(0, dtype=al.int64))


@pytest.mark.parametrize("name, args, options", [("kthvalue", (2, 1), {}), ("cummax", (1,), {}), ("cummin", (1,), {}), ("aminmax", (), {"dim": 1})])
def test_pairs_are_written_into_a_pair(name: str, args: tuple[int, ...], options: dict[str, int]) -> None:
    wanted = getattr(al, name)(al.tensor(X), *args, **options)
    out = tuple(al.empty(t.shape, dtype=t.dtype) for t in wanted)
    assert getattr(al, name)(al.tensor(X), *args, out=out, **options)[0] is out[0]
    assert [t.tolist() for t in out] == [t.tolist() for t in wanted]


@pytest.mark.parametrize("call", [
    lambda x, out: al.log_softmax(x, 1, out=out), lambda x, out: al.softmax(x, 1, out=out), lambda x, out: F.gelu(x, out=out),
    lambda x, out: F.hardshrink(x, out=out), lambda x, out: F.logsigmoid(x, out=out),
    lambda x, out: F.linear(x, al.eye(3), out=out), lambda x, out: al.isin(x, 3.0, out=out),
])
def test_results_are_written_into_out(call) -> None:
    x = al.tensor(X)
    wanted = call(x, None)
    out = al.empty(wanted.shape, dtype=wanted.dtype)
    assert call(x, out) is out and out.tolist() == wanted.tolist()


def test_an_out_whose_elements_share_memory_is_refused() -> None:
    with pytest.raises(RuntimeError, match="out=: unsupported operation: more than one element"):
        al.cumsum(al.tensor(X), 1, out=al.zeros(3).expand(2, 3))


@pytest.mark.parametrize("error", [IndexError, RuntimeError, BoundsError])
def test_an_index_out_of_bounds_is_caught_by_either_builtin(error: type[Exception]) -> None:
    with pytest.raises(error, match="index 9 is out of bounds"):
        al.gather(al.ones(3), 0, al.tensor([9]))


def test_gather_takes_an_empty_index_of_any_integers() -> None:
    assert al.gather(al.ones(3), 0, al.empty(0, dtype=al.uint8)).shape == (0,)


def test_the_cosine_of_broadcast_vectors_runs_over_the_common_shape() -> None:
    a, b = al.ones(1, 2, 3), al.ones(2, 1, 3)
    assert F.cosine_similarity(a, b, dim=-2).tolist() == pytest.approx(np.ones((2, 3)))


def test_a_place_filled_twice_counts_once_in_the_gradient() -> None:
    value = al.tensor(2.0).requires_grad_()
    al.zeros(3).index_fill(0, al.tensor([1, 1, 2]), value).sum().backward()
    assert value.grad.item() == 2.0


def test_float_power_in_place_keeps_the_dtype() -> None:
    assert al.tensor([2.0], dtype=al.float64).float_power_(3).tolist() == [8.0]


def test_long_and_short_names_are_one_function() -> None:
    assert al.arctan2(al.tensor(1.0), al.tensor(1.0)).item() == al.atan2(al.tensor(1.0), al.tensor(1.0)).item()


@pytest.mark.parametrize("pool, shape", [(F.avg_pool2d, (1, 1, 4, 4)), (F.avg_pool3d, (1, 1, 2, 2, 2))])
def test_means_of_windows_are_written_into_out(pool, shape: tuple[int, ...]) -> None:
    out = al.empty(0)
    assert pool(al.ones(shape), 2, out=out) is out and set(out.reshape(-1).tolist()) == {1.0}


def test_variances_that_do_not_fit_are_a_value_error() -> None:
    with pytest.raises(ValueError, match="var is of incorrect size"):
        F.gaussian_nll_loss(al.ones(10, 2, 3), al.ones(10, 2, 3), al.ones(10, 2, 2))


@pytest.mark.parametrize("layer, shape", [
    (al.nn.BatchNorm2d(2), (2, 2, 3, 3)), (al.nn.InstanceNorm2d(2), (2, 2, 3, 3)), (al.nn.GroupNorm(1, 2), (2, 2, 3)),
    (al.nn.LayerNorm(3), (2, 3)), (al.nn.RMSNorm(3), (2, 3)),
], ids=["batch", "instance", "group", "layer", "rms"])  # fmt: skip
def test_the_output_of_a_norm_may_be_overwritten(layer: al.nn.Module, shape: tuple[int, ...]) -> None:
    x = al.randn(shape)
    gradients = []
    for after in (al.nn.ReLU(inplace=True), al.nn.ReLU()):
        leaf = x.clone().requires_grad_()
        (g,) = al.autograd.grad(after(layer(leaf)).pow(2).sum(), leaf, create_graph=True)
        (second,) = al.autograd.grad(g.pow(2).sum(), leaf)
        gradients.append((g.tolist(), second.tolist()))
    assert gradients[0] == gradients[1]


def test_leading_ones_of_a_written_value_are_no_dims() -> None:
    x = al.zeros(2, 3)
    x[True] = al.ones(1, 1, 2, 3)
    x[al.tensor([0, 1])] += al.ones(1, 1, 2, 3)[0, 0]
    x[al.tensor([1])] = al.full((1, 1, 1, 3), 5.0)
    assert x.tolist() == [[2.0] * 3, [5.0] * 3]


def test_bytes_are_a_mask_for_index_put() -> None:
    mask = al.tensor([1, 0, 1], dtype=al.uint8)
    assert al.zeros(3).index_put_((mask,), al.tensor([4.0, 6.0])).tolist() == [4.0, 0.0, 6.0]


def test_sizes_may_be_tensors_and_bounds_named() -> None:
    n = al.tensor(3)
    assert al.randn(n).shape == al.ones(1).repeat(n).shape == al.randint(high=5, size=(3,)).shape == (3,)


def test_all_of_no_bytes_is_one() -> None:
    assert al.ones(2, 0, dtype=al.uint8).all(1).tolist() == [1, 1]


def test_a_leaf_may_be_made_in_inference_mode() -> None:
    with al.inference_mode():
        x = al.ones(2, requires_grad=True)
        assert (x.requires_grad, (x * 2).requires_grad, x.is_inference()) == (True, False, True)
    with pytest.raises(RuntimeError, match="inference"):
        al.autograd.grad((x * x).sum(), x)


def test_asarray_shares_copies_or_refuses() -> None:
    array = np.zeros(2, np.float32)
    al.asarray(array, copy=True)[0] = 7.0
    al.asarray(array, copy=False)[1] = 2.0
    assert array.tolist() == [0.0, 2.0]
    x = al.ones(1, requires_grad=True)
    assert al.asarray([1.0], requires_grad=True).requires_grad and al.asarray(x) is x
    assert al.asarray(x, copy=True).grad_fn is not None and not al.asarray(x, requires_grad=False).requires_grad
    for source, options in (([1.0], {}), (array, {"dtype": al.float64})):
        with pytest.raises(ValueError, match="copy=False"):
            al.asarray(source, copy=False, **options)


def test_gradcheck_takes_the_switches_it_can_keep() -> None:
    x = al.ones(2, dtype=al.float64, requires_grad=True)
    assert al.autograd.gradcheck(al.exp, x, check_batched_grad=False, check_forward_ad=False)
    with pytest.raises(ValueError, match="not supported"):
        al.autograd.gradcheck(al.exp, x, check_forward_ad=True)


@pytest.mark.parametrize("by_axis, by_dim", [
    (lambda x: x.unsqueeze(axis=1), lambda x: x.unsqueeze(1)),
    (lambda x: x.select(axis=1, index=2), lambda x: x.select(1, 2)),
    (lambda x: x.narrow(axis=1, start=1, length=2), lambda x: x.narrow(1, 1, 2)),
    (lambda x: x.gather(axis=1, index=al.tensor([[0], [2]])), lambda x: x.gather(1, al.tensor([[0], [2]]))),
    (lambda x: x.index_select(axis=1, index=al.tensor([2])), lambda x: x.index_select(1, al.tensor([2]))),
    (lambda x: x.index_add(axis=0, index=al.tensor([1]), source=x[:1]), lambda x: x.index_add(0, al.tensor([1]), x[:1])),
    (lambda x: x.scatter(axis=1, index=al.tensor([[0], [2]]), src=x), lambda x: x.scatter(1, al.tensor([[0], [2]]), x)),
    (lambda x: x.unflatten(axis=1, sizes=(3, 1)), lambda x: x.unflatten(1, (3, 1))),
    (lambda x: x.renorm(2, axis=0, maxnorm=1.0), lambda x: x.renorm(2, 0, 1.0)),
    (lambda x: x.aminmax(axis=1).max, lambda x: x.aminmax(dim=1).max),
    (lambda x: al.trapezoid(x, axis=0), lambda x: al.trapezoid(x, dim=0)),
])
def test_numpy_names_of_a_dim_that_stands_before_others(by_axis, by_dim) -> None:
    x = al.tensor(X)
    assert by_axis(x).tolist() == by_dim(x).tolist()


@pytest.mark.parametrize("call, name", [
    (lambda x: x.gather(1), "index"), (lambda x: x.gather(index=x.long()), "dim"), (lambda x: x.unsqueeze(), "dim"), (lambda x: x.narrow(0, 1), "length"),
    (lambda x: x.select(0), "index"),
])
def test_an_argument_that_is_left_out_is_named(call, name: str) -> None:
    with pytest.raises(TypeError, match=f"missing.*'{name}'"):
        call(al.tensor(X))


def test_a_bool_is_not_subtracted_whatever_alpha_is() -> None:
    for other in (True, al.tensor([True])):
        with pytest.raises(RuntimeError, match="with a bool tensor is not supported"):
            al.tensor([1, 2]).sub(other, alpha=2)
    with pytest.raises(RuntimeError, match="Boolean alpha only supported for Boolean results: alpha is True, the result .*int64"):
        al.add(al.tensor([1, 2]), 1, alpha=True)
    assert al.add(al.tensor([True, False]), True, alpha=2).dtype is al.bool


def test_results_never_share_memory_that_torch_copies() -> None:
    x, edges = al.ones(1, 1, 2, 2), al.tensor([0.0, 1.0, 2.0])
    for y, source in ((F.pixel_shuffle(x, 1), x), (F.pixel_unshuffle(x, 1), x), (al.histogram(al.ones(3), edges).bin_edges, edges)):
        assert y.data_ptr() != source.data_ptr() and y.tolist() == source.tolist()


def test_a_convolution_of_integers_is_contiguous() -> None:
    x, w = al.arange(24).reshape(1, 2, 3, 4), al.arange(16).reshape(2, 2, 2, 2)
    for y in (F.conv2d(x, w), F.conv_transpose2d(x, w)):
        assert y.is_contiguous() and y.view(-1).tolist() == y.flatten().tolist()


@pytest.mark.parametrize("p, norm, slope", [(0.5, 9.0, [0.0, 3.0, 1.5]), (-1.0, 0.0, [0.0, 0.0, 0.0])])
def test_a_norm_of_small_order_has_the_subgradient_0_at_0(p: float, norm: float, slope: list[float]) -> None:
    x = al.tensor([0.0, 1.0, 4.0], dtype=al.float64, requires_grad=True)
    y = al.linalg.vector_norm(x, p)
    y.backward()
    assert y.item() == pytest.approx(norm)  # (1 + 2)^2 for p = 1/2, whose slope is sqrt(9 / |x|); an infinite power leaves none for p = -1
    assert x.grad.tolist() == pytest.approx(slope)


def test_logit_takes_bools() -> None:
    assert al.logit(al.tensor([True, False])).tolist() == [float("inf"), float("-inf")]


def test_a_power_of_bools_is_a_bool_where_the_exponent_is() -> None:
    b = al.tensor([True, False])
    assert [(b**True).tolist(), (b**False).tolist(), b.clone().pow_(False).tolist()] == [[True, False], [True, True], [True, True]]
    for call in (lambda: b**b, lambda: True**b, lambda: b ** al.tensor(True)):
        with pytest.raises(NotImplementedError, match="pow: not supported on bool tensors"):
            call()


@pytest.mark.parametrize("name, args", [("argmax", ()), ("argmin", (0,)), ("median", ()), ("median", (0,)), ("nanmedian", ()), ("kthvalue", (1,)), ("topk", (1,))])
def test_bools_have_no_rank(name: str, args: tuple[int, ...]) -> None:
    with pytest.raises(RuntimeError, match=f"{name}: not supported on bool tensors; cast"):
        getattr(al, name)(al.tensor([True, False]), *args)


def test_lerp_takes_one_dtype_but_for_a_0d_weight() -> None:
    x, wide = al.ones(2), al.ones(2, dtype=al.float64)
    assert x.lerp(3 * x, al.tensor(0.5, dtype=al.float64)).tolist() == [2.0, 2.0]
    for call in (lambda: x.lerp(wide, 0.5), lambda: x.lerp_(x, wide), lambda: al.lerp(x[0], wide[0], 0.5)):
        with pytest.raises(RuntimeError, match="lerp: expected dtype float32 for `(end|weight)` but got dtype float64"):
            call()
    with pytest.raises(TypeError, match="lerp"):
        x.lerp(2.0, 0.5)


def test_a_place_of_an_expanded_tensor_is_filled_where_any_of_its_views_is_masked() -> None:
    x = al.zeros(2, 1, requires_grad=True)
    y = x * 1
    y.expand(2, 3).masked_fill_(al.tensor([[True, False, False], [False, False, False]]), 5.0)
    y.sum().backward()
    assert [y.tolist(), x.grad.tolist()] == [[[5.0], [0.0]], [[0.0], [1.0]]]


@pytest.mark.parametrize("name, values", [("sum", [6]), ("prod", [6]), ("cumsum", [1, 3, 6]), ("cumprod", [1, 2, 6])])
def test_an_integer_out_asks_for_integer_sums(name: str, values: list[int]) -> None:
    x, dim = al.tensor([1.5, 2.5, 3.0]), {} if name in ("sum", "prod") else {"dim": 0}
    for dtype in (al.int32, al.int64):
        assert getattr(al, name)(x, **dim, out=al.empty(0, dtype=dtype)).reshape(-1).tolist() == values
    with pytest.raises(RuntimeError, match="Expected out tensor to have dtype int64, but got int32 instead"):
        getattr(al, name)(x, **dim, dtype=al.int64, out=al.empty(0, dtype=al.int32))


def test_running_sums_are_never_bools() -> None:
    with pytest.raises(RuntimeError, match="cumsum: not implemented for dtype bool"):
        al.cumsum(al.ones(2), 0, dtype=al.bool)
    with pytest.raises(RuntimeError, match="logcumsumexp: not implemented for dtype int64; cast"):
        al.logcumsumexp(al.tensor([1]), 0)


@pytest.mark.parametrize("call", [
    lambda x: F.layer_norm(x, (2,)), lambda x: F.rms_norm(x, (2,), eps=0.1), F.glu, lambda x: F.kl_div(x, x), lambda x: al.logcumsumexp(x, 0),
])  # fmt: skip
def test_integers_have_no_norms_gates_nor_logarithms(call) -> None:
    with pytest.raises(NotImplementedError, match="not implemented for dtype int64; cast to a float dtype first"):
        call(al.tensor([1, 2]))


def test_functions_of_two_tensors_take_no_numbers() -> None:
    for name in ("atan2", "logaddexp", "logaddexp2", "igamma", "igammac", "dist"):
        with pytest.raises(TypeError, match="must be Tensor, not float"):
            getattr(al, name)(al.ones(2), 2.0)
    assert al.special.xlog1py(al.ones(1), 0).tolist() == al.special.xlog1py(0, al.ones(1)).tolist() == [0.0]


def test_norms_take_numpys_names_of_dims() -> None:
    x = al.tensor(X)
    assert al.linalg.norm(x, axis=0, keepdims=True).tolist() == x.norm(dim=0, keepdim=True).tolist()


@pytest.mark.parametrize("name, slope", [("i1", 0.0), ("i1e", -1.0)])
def test_bessel_functions_have_a_second_derivative_at_0(name: str, slope: float) -> None:
    x = al.tensor([0.0, 1e-6], dtype=al.float64, requires_grad=True)
    (first,) = al.autograd.grad(getattr(al.special, name)(x).sum(), x, create_graph=True)
    second = al.autograd.grad(first.sum(), x)[0]
    assert abs(second[1].item() - slope) < 1e-5
    assert second[0].item() == 0.0  # torch's choice at the kink of i1e


def test_nothing_is_no_tensor() -> None:
    with pytest.raises(RuntimeError, match="tensor: can't make a tensor of 'NoneType'"):
        al.tensor(None)
