"""How graphs end, what comes back of their headers, and gradient rules that run as steps."""

from __future__ import annotations

import pytest

import ascendlite as al


def leaf(*values: float) -> al.Tensor:
    return al.tensor(values, dtype=al.float64, requires_grad=True)


def test_a_custom_function_that_saves_its_output_has_second_gradients() -> None:
    class Exp(al.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return g * y

    x = al.tensor([0.5, 1.0], requires_grad=True)
    (first,) = al.autograd.grad(Exp.apply(x).sum(), x, create_graph=True)
    (second,) = al.autograd.grad(first.sum(), x)
    assert second.tolist() == pytest.approx(x.detach().exp().tolist())


def test_ends_of_long_graphs_do_not_nest() -> None:
    class Same(al.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x + 0

        @staticmethod
        def backward(ctx, g):
            return g

    for step in (lambda y: y * 1.0, Same.apply, lambda y: y.view(2)):
        y = al.ones(2, requires_grad=True)
        for _ in range(100_000):
            y = step(y)
        del y


def test_a_header_that_comes_back_is_plain() -> None:
    x = al.ones(2, requires_grad=True)
    y = x * 2
    y.retain_grad()
    y.sum().backward()
    y.note = "mine"
    del y, x
    made = [al.ones(3) for _ in range(600)]
    assert all(t.grad is None and t.grad_fn is None and t.is_leaf and not t.requires_grad and not hasattr(t, "note") for t in made)
    assert all(t._version == 0 and t.storage_offset() == 0 and not t.is_inference() for t in made)


def test_a_rule_in_steps_agrees_with_its_python() -> None:
    # Scalars, 0-d tensors and mixed dtypes take the roads on which a program of steps gives up or promotes.
    for dtype in (al.float64, al.float32, al.bfloat16):
        x = al.tensor([0.5, 1.5], dtype=dtype, requires_grad=True)
        z = al.tensor(2.0, dtype=dtype, requires_grad=True)
        (x / z + z / x + al.tanh(x * z) - (x - 3).square() / 2 + al.atan2(x, z)).sum().backward()
        a, b = x.detach().double(), z.detach().double()
        t = 1 - (a * b).tanh() ** 2
        expected = 1 / b - b / a**2 + t * b - (a - 3) + b / (a * a + b * b)
        tolerance = 2e-2 if dtype is al.bfloat16 else 1e-5
        assert x.grad.dtype is dtype
        assert x.grad.double().tolist() == pytest.approx(expected.tolist(), abs=tolerance * 4)


def test_a_gradient_that_leads_nowhere_frees_nothing() -> None:
    x, other = (al.tensor(v, requires_grad=True) for v in ([1.0, 2.0], [3.0, 4.0]))
    y = (x * x).sum()
    assert al.autograd.grad(y, other, allow_unused=True) == (None,)
    y.backward()
    assert [2.0, 4.0] == x.grad.tolist()


def test_picks_and_ranks_keep_no_values() -> None:
    x = al.tensor([[3.0, 1.0], [2.0, 5.0]], requires_grad=True)
    z = x * 1.0
    picked, values = z[z > 1.5], z.sort(1).values
    total = picked.sum() + values[:, 0].sum()
    z.detach().zero_()
    values.detach().zero_()
    total.backward()
    assert [[1.0, 1.0], [2.0, 1.0]] == x.grad.tolist()


def test_variance_over_an_empty_tuple_of_dims_is_over_all() -> None:
    x = al.tensor([1.0, 2.0, 6.0], requires_grad=True)
    x.var(()).backward()
    assert [-2.0, -1.0, 3.0] == x.grad.tolist()


def test_a_median_shares_its_gradient_among_equals() -> None:
    x = leaf(1.0, 2.0, 2.0, 2.0, 3.0)
    x.median().backward()
    assert [0.0, 1 / 3, 1 / 3, 1 / 3, 0.0] == x.grad.tolist()
    x = leaf(2.0, float("nan"), 2.0, 5.0, 1.0)
    x.nanmedian().backward()
    assert [0.5, 0.0, 0.5, 0.0, 0.0] == x.grad.tolist()


def test_the_next_number_has_the_gradient_of_the_one_that_moved() -> None:
    x = leaf(1.0, 2.0, 3.0, float("inf"))
    al.nextafter(x, al.tensor([2.0, 2.0, 1.0, 0.0], dtype=al.float64)).sum().backward()
    assert [1.0, 0.0, 1.0, 1.0] == x.grad.tolist()


def test_a_generator_under_no_grad_takes_values_and_errors() -> None:
    @al.no_grad()
    def numbers():
        got = yield al.is_grad_enabled()
        try:
            yield got
        except KeyError:
            yield "caught", al.is_grad_enabled()

    it = numbers()
    assert next(it) is False and al.is_grad_enabled()
    assert it.send(7) == 7
    assert it.throw(KeyError("x")) == ("caught", False) and al.is_grad_enabled()
    it.close()


def test_checkpoint_keeps_the_structure_of_what_the_function_gives() -> None:
    x = leaf(1.0, 2.0)
    result = al.autograd.checkpoint(lambda d: {"a": d["x"] * 2, "b": [d["x"] * 3, 5]}, {"x": x})
    assert result["b"][1] == 5
    (result["a"] * result["b"][0]).sum().backward()
    assert [12.0, 24.0] == x.grad.tolist()


def test_a_kept_gradient_is_that_of_the_value_after_a_write() -> None:
    a = leaf(1.0).clone()
    a.retain_grad()
    a.mul_(2.0)
    a.sum().backward()
    assert [1.0] == a.grad.tolist()
    base = leaf(1.0, 2.0).clone()
    first, second = base[0], base[1]
    first.retain_grad(), second.retain_grad()
    first.mul_(2.0)
    (first + second).sum().backward()
    assert (first.grad.item(), second.grad.item()) == (1.0, 1.0)


def test_a_view_made_in_inference_mode_is_not_written_in_a_graph() -> None:
    x = leaf(1.0, 2.0) * 1.0
    with al.inference_mode():
        view = x.view(2)
        view.mul_(2.0)
    with pytest.raises(RuntimeError, match="created in no_grad mode"):
        view.mul_(2.0)


def test_an_expanded_tensor_is_filled_and_an_empty_one_is_written() -> None:
    x = al.zeros(1)
    x.expand(3).fill_(2.0)
    assert x.item() == 2.0
    assert al.ones(0).expand(2, 0).add_(1.0).shape == (2, 0)


def test_numpys_names_of_dims_are_taken() -> None:
    x = al.arange(6.0).reshape(2, 3)
    assert al.equal(x.std(axis=0, keepdims=True), x.std(0, keepdim=True))
    assert al.equal(x.max(axis=1).values, x.max(1).values)
    assert al.equal(al.all(x, axis=(0, 1)), al.all(x))
    assert al.equal(x.cumsum(axis=1), x.cumsum(1))
    with pytest.raises(TypeError, match=r"cumsum\(\) missing 1 required positional argument: 'dim'"):
        x.cumsum()


@pytest.mark.parametrize("size", [0, 1])
def test_windows_of_a_number_have_a_gradient(size) -> None:
    x = al.tensor(2.0, requires_grad=True)
    x.unfold(0, size, 1).sum().backward()
    assert x.grad.item() == size


def test_a_tensor_of_inference_mode_is_not_saved_for_a_gradient() -> None:
    with al.inference_mode():
        w = al.ones(2)
    x = al.ones(2, requires_grad=True)
    (x + w).sum().backward()  # saves nothing
    for call in (lambda: x * w, lambda: al.nn.functional.linear(w, x), lambda: Square.apply(x, w)):
        with pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
            call()


class Square(al.autograd.Function):
    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(w)
        return x * w

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0], None


@pytest.mark.parametrize("write", [
    lambda y: y.zero_(), lambda y: y.fill_(2.0), lambda y: y.copy_(al.ones(3)), lambda y: y.normal_(), lambda y: y.uniform_(), lambda y: y.index_fill_(0, al.arange(3), 1.0),
])
def test_what_was_overwritten_has_a_gradient_of_zeros(write) -> None:
    x = al.ones(3, requires_grad=True)
    y = x * 2
    write(y)
    assert al.autograd.grad(y.sum(), x)[0].tolist() == [0.0, 0.0, 0.0]


def test_a_power_in_place_has_its_gradient() -> None:
    x = al.tensor([2.0, 3.0], dtype=al.float64, requires_grad=True)
    (x * 1).float_power_(2).sum().backward()
    assert x.grad.tolist() == [4.0, 6.0]
