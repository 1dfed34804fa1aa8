"""Hooks on saved tensors, on several gradients at once, and other names of `autograd.graph`; averages of weights; `testing`."""

from __future__ import annotations

import pytest

import ascendlite as al
from ascendlite.autograd import graph
from ascendlite.optim.swa_utils import SWALR, AveragedModel, get_ema_avg_fn, get_ema_multi_avg_fn, update_bn

X = al.tensor([0.3, -1.2, 2.0], dtype=al.float64)


def loss(x: al.Tensor) -> al.Tensor:
    a, b = (x * x.exp()).split([1, 2])
    return (al.cat([a, b.sin()]).cumsum(0) * al.logsumexp(x, 0)).max(0).values


class Cube(al.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x * x * x
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return g * 3 * y / x


@pytest.mark.parametrize("fn", [loss, lambda x: Cube.apply(x * 2).sum(), lambda x: Cube.apply(x).sum()])
@pytest.mark.parametrize("hooks", [lambda: graph.saved_tensors_hooks(lambda t: t.numpy().copy(), al.from_numpy), graph.save_on_cpu])
def test_gradients_of_all_orders_come_through_hooks(fn, hooks) -> None:
    found = []
    for context in (hooks(), al.enable_grad()):
        x = X.clone().requires_grad_()
        with context:
            (g,) = al.autograd.grad(fn(x), x, create_graph=True)
        (g * g).sum().backward()
        found.append((g.detach(), x.grad))
    al.testing.assert_close(found[0], found[1])


def test_what_is_packed_is_what_the_rules_read() -> None:
    packed = []
    x = X.clone().requires_grad_()
    with graph.saved_tensors_hooks(lambda t: packed.append(t.shape) or t * 2, lambda t: t):
        y = x * al.tensor([1.0, 2.0, 3.0], dtype=al.float64)
    assert [(3,)] == packed[:1]
    y.sum().backward()
    assert [2.0, 4.0, 6.0] == x.grad.tolist()


def test_a_packed_tensor_may_be_overwritten() -> None:
    x = al.ones(3, requires_grad=True)
    z = x * 2
    with graph.save_on_cpu():
        y = z.exp()
    w = y * 1.0
    y.detach().mul_(7)  # outside of hooks this is refused
    w.sum().backward()
    al.testing.assert_close(x.grad, al.full((3,), 2.0).mul(al.tensor(2.0).exp()))


def test_hooks_can_be_nested_and_refused() -> None:
    x = al.ones(2, requires_grad=True)
    names = []
    with graph.saved_tensors_hooks(lambda t: names.append("outer") or t, lambda t: t):
        with graph.saved_tensors_hooks(lambda t: names.append("inner") or t, lambda t: t):
            x.exp()
        x.exp()
    x.exp()
    assert ["inner", "outer"] == names
    with graph.disable_saved_tensors_hooks("not here"), pytest.raises(RuntimeError, match="not here"), graph.save_on_cpu():
        pass
    with graph.saved_tensors_hooks(lambda t: t, lambda t: 1):
        y = x.exp()
    with pytest.raises(TypeError, match="unpack_hook expected to be a Tensor but got result of type int"):
        y.sum().backward()


def test_a_hook_waits_for_several_gradients() -> None:
    a, b = (al.ones(2, requires_grad=True) for _ in range(2))
    seen: list[list[bool]] = []
    handle = graph.register_multi_grad_hook([a, b], lambda grads: seen.append([g is not None for g in grads]))
    (a * b).sum().backward()
    handle.remove()
    (a * b).sum().backward()
    assert [[True, True]] == seen


def test_a_pass_that_reaches_some_tensors_tells_of_these() -> None:
    a, b = al.ones(2, requires_grad=True), al.ones(2, requires_grad=True)
    seen: list[list[bool]] = []
    firsts: list[list[float]] = []
    graph.register_multi_grad_hook([a, b], lambda grads: seen.append([g is not None for g in grads]))
    graph.register_multi_grad_hook([a, b], lambda grad: firsts.append(grad.tolist()), mode="any")
    (a * 2).sum().backward()
    (a * 3).sum().backward()
    (b * 4).sum().backward()
    assert seen == [[True, False], [True, False], [False, True]]
    assert firsts == [[2.0, 2.0], [3.0, 3.0], [4.0, 4.0]]


def test_increment_version_is_a_write() -> None:
    x = al.ones(2, requires_grad=True)
    z = x * 1.0
    y = z * z
    graph.increment_version(z)
    with pytest.raises(RuntimeError, match="increment_version"):
        y.sum().backward()


def test_averages_of_weights_are_means_or_decay() -> None:
    model = al.nn.Sequential(al.nn.Linear(2, 2), al.nn.BatchNorm1d(2))
    mean, ema, plain = AveragedModel(model), AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9)), AveragedModel(model, avg_fn=get_ema_avg_fn(0.9))
    expected = 0.0
    for k in range(1, 5):
        al.nn.init.constant_(model[0].weight, float(k))
        model[1].running_mean.fill_(k)
        for averaged in (mean, ema, plain):
            averaged.update_parameters(model)
        expected = float(k) if k == 1 else 0.9 * expected + 0.1 * k
    assert 2.5 == mean.module[0].weight[0, 0].item() and 4 == int(mean.n_averaged)
    for averaged in (ema, plain):
        al.testing.assert_close(averaged.module[0].weight, al.full((2, 2), expected))
    assert [4.0, 4.0] == mean.module[1].running_mean.tolist()
    data = al.randn(64, 2)
    update_bn([(part, 0) for part in data.split(16)], mean)
    inner = mean.module[0](data)
    al.testing.assert_close(mean.module[1].running_mean, inner.mean(0), rtol=1e-5, atol=1e-5)
    assert 0.1 == mean.module[1].momentum


def test_the_rate_goes_to_swa_lr_and_stays() -> None:
    for strategy, rates in (("linear", [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]), ("cos", [1.0, 0.8535533905932737, 0.5, 0.14644660940672627, 0.0, 0.0])):
        opt = al.optim.SGD([al.nn.Parameter(al.ones(1))], lr=1.0)
        schedule = SWALR(opt, swa_lr=0.0, anneal_epochs=4, anneal_strategy=strategy)
        found = []
        for _ in rates:
            found.append(schedule.get_last_lr()[0])
            opt.step()
            schedule.step()
        assert rates == pytest.approx(found, abs=1e-12)
    assert isinstance(schedule, al.optim.lr_scheduler._LRScheduler)


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda: al.testing.assert_close(al.tensor([1.0, 2.0]), al.tensor([1.0, 2.5])), AssertionError, r"Mismatched elements: 1 / 2 \(50.0%\)\nGreatest absolute difference: 0.5 at index \(1,\)"),
    (lambda: al.testing.assert_close(al.ones(2), al.ones(2, dtype=al.float64)), AssertionError, "'dtype' do not match"),
    (lambda: al.testing.assert_close(al.ones(2), al.ones(3)), AssertionError, "'shape' do not match"),
    (lambda: al.testing.assert_close({"a": [1, 2.0]}, {"a": [1, 2.1]}), AssertionError, r"Expected 2.1 but got 2.0(.|\n)*\['a'\]\[1\]"),
    (lambda: al.testing.assert_close(al.tensor([al.nan]), al.tensor([al.nan])), AssertionError, "not close"),
    (lambda: al.testing.assert_close(1.0, 1.0, rtol=1e-3), ValueError, "both be specified"),
    (lambda: AveragedModel(al.nn.ReLU(), avg_fn=get_ema_avg_fn(), multi_avg_fn=get_ema_multi_avg_fn()), AssertionError, "Only one"),
    (lambda: get_ema_avg_fn(1.5), ValueError, "Invalid decay value 1.5"),
    (lambda: graph.nothing, AttributeError, "no attribute"), (lambda: graph.GradientEdge, AttributeError, "retain_grad"),
    (lambda: al.autograd.Variable(3), TypeError, "must be Tensor"),
])
def test_mistakes_are_named(call, error, text) -> None:
    with pytest.raises(error, match=text):
        call()


def test_older_and_rarer_names_of_torch() -> None:
    x = al.autograd.Variable(al.ones(2, 3), requires_grad=True)
    assert isinstance(x, al.Tensor) and isinstance(x, al.autograd.Variable) and x.requires_grad
    y = al.arange(6.0)
    assert y.as_strided_((2, 2), (2, 1)) is y and [[0.0, 1.0], [2.0, 3.0]] == y.tolist()
    assert [0.0, 1.0] == al.tensor([0.4, 1.0]).hardshrink().tolist()
    assert al.utils.dlpack.from_dlpack(y).tolist() == y.tolist() and al.utils.data is al.data
    z = al.ones(4)
    assert al.dropout_(z, 1.0, True) is z and [0.0] * 4 == z.tolist()
    with al.autocast("cpu"):
        assert al.bfloat16 is al.get_autocast_dtype("cpu")


def test_index_errors_name_the_function() -> None:
    for name, values in (("index_add_", (al.ones(1),)), ("index_copy_", (al.ones(1),)), ("index_fill", (1.0,)), ("index_select", ())):
        with pytest.raises(IndexError, match=f"{name}: index 5 is out of bounds for dimension 0 with size 3"):
            getattr(al.ones(3), name)(0, al.tensor([5]), *values)
    with pytest.raises(IndexError, match="gather: index 5 is out of bounds"):
        al.ones(3).gather(0, al.tensor([5]))


def test_a_kept_gradient_has_gone_through_all_hooks() -> None:
    x = al.ones(2, requires_grad=True)
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 10)
    y.sum().backward()
    assert [[10.0, 10.0], [20.0, 20.0]] == [y.grad.tolist(), x.grad.tolist()]


@pytest.mark.parametrize("leaf", [True, False])
@pytest.mark.parametrize("hook, error, text", [
    (lambda g: g.sum(), RuntimeError, "has changed the size of value: the gradient is .3,., it returned .."),
    (lambda g: g.double(), RuntimeError, "has changed the type of value"),
    (lambda g: 1.0, TypeError, "returned float; return None to keep the gradient"),
])  # fmt: skip
def test_a_hook_returns_a_gradient_of_the_same_kind(hook, error: type[Exception], text: str, leaf: bool) -> None:
    x = al.ones(3, requires_grad=True)
    y = x * 2
    (x if leaf else y).register_hook(hook)
    with pytest.raises(error, match=text):
        y.sum().backward()


def test_a_leaf_is_not_marked_dirty() -> None:
    class Add(al.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.add_(1)

        @staticmethod
        def backward(ctx, g):
            return g

    with pytest.raises(RuntimeError, match="AddBackward: a leaf Variable that requires grad is being used in an in-place operation"):
        Add.apply(al.ones(2, requires_grad=True))


def test_a_batch_of_weightings_gives_the_rows_of_a_jacobian() -> None:
    x = al.tensor([1.0, 2.0, 3.0], requires_grad=True)
    unused = al.ones(2, requires_grad=True)
    rows, none = al.autograd.grad(x * x, (x, unused), al.eye(3), is_grads_batched=True, create_graph=True, allow_unused=True)
    assert [al.diag(2 * x).tolist(), None] == [rows.tolist(), none]
    assert [2.0, 2.0, 2.0] == al.autograd.grad(rows.sum(), x)[0].tolist()
    with pytest.raises(RuntimeError, match="needs grad_outputs that share a first dim"):
        al.autograd.grad(x.sum(), x, al.ones(()), is_grads_batched=True)
