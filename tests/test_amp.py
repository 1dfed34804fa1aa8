"""Mixed precision: autocast dtypes, nesting and threads; the gradient scaler's arithmetic."""

from __future__ import annotations

import threading

import pytest

import ascendlite as al
from ascendlite.amp import GradScaler, autocast


def product() -> al.Tensor:
    return al.ones(2, 3) @ al.ones(3, 2)


def test_products_run_in_sixteen_bits_and_losses_in_float32() -> None:
    with autocast("cpu", dtype=al.bfloat16):
        y = product()
        assert al.bfloat16 == y.dtype
        assert al.float32 == al.nn.functional.softmax(y, -1).dtype
        assert al.float32 == al.nn.functional.mse_loss(y, al.zeros(2, 2)).dtype
    assert al.float32 == product().dtype


def test_a_linear_layer_gets_float32_gradients() -> None:
    layer = al.nn.Linear(3, 2)
    with autocast("cpu", dtype=al.bfloat16):
        out = layer(al.ones(4, 3))
        assert al.bfloat16 == out.dtype
        loss = out.float().sum()
    loss.backward()
    assert al.float32 == layer.weight.grad.dtype
    assert [4.0, 4.0] == layer.bias.grad.tolist()


def test_autocast_nests_and_can_be_switched_off_inside() -> None:
    with autocast("cpu", dtype=al.bfloat16):
        with autocast("cpu", enabled=False):
            assert al.float32 == product().dtype
        with autocast("cpu", dtype=al.float16):
            assert al.float16 == product().dtype
        assert al.bfloat16 == product().dtype


def test_autocast_ends_when_the_body_raises() -> None:
    with pytest.raises(KeyError), autocast("cpu"):
        raise KeyError
    assert al.float32 == product().dtype


def test_autocast_decorates() -> None:
    @autocast("cpu", dtype=al.bfloat16)
    def forward() -> al.Tensor:
        """Multiply."""
        return product()

    assert al.bfloat16 == forward().dtype
    assert ("forward", "Multiply.") == (forward.__name__, forward.__doc__)


def test_autocast_holds_for_its_thread_only() -> None:
    seen: list[object] = []
    with autocast("cpu", dtype=al.bfloat16):
        thread = threading.Thread(target=lambda: seen.append(product().dtype))
        thread.start()
        thread.join()
    assert [al.float32] == seen


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: autocast("abacus"), RuntimeError, "device_type 'abacus' is unknown"),
        (lambda: autocast(1), ValueError, "device_type is 1"),
        (lambda: autocast("cpu", dtype=al.float64), ValueError, "is not a 16-bit floating type"),
        (lambda: GradScaler(growth_factor=1.0), ValueError, r"growth factor must be > 1.0, got 1.0"),
        (lambda: GradScaler(backoff_factor=1.5), ValueError, r"between 0 and 1, got 1.5"),
    ],
)
def test_mistakes_are_named(make, error, text) -> None:
    with pytest.raises(error, match=text):
        make()


def setup(**options: float) -> tuple[al.nn.Parameter, al.optim.SGD, GradScaler]:
    weight = al.nn.Parameter(al.ones(2))
    return weight, al.optim.SGD([weight], lr=0.5), GradScaler("cpu", init_scale=8.0, **options)


def test_a_step_sees_unscaled_gradients() -> None:
    weight, optimizer, scaler = setup()
    scaler.scale(weight.sum()).backward()
    assert [8.0, 8.0] == weight.grad.tolist()
    scaler.step(optimizer)
    scaler.update()
    assert [0.5, 0.5] == weight.tolist()
    assert 8.0 == scaler.get_scale()


def test_gradients_can_be_unscaled_early_for_clipping() -> None:
    weight, optimizer, scaler = setup()
    scaler.scale(weight.sum()).backward()
    scaler.unscale_(optimizer)
    assert [1.0, 1.0] == weight.grad.tolist()
    with pytest.raises(RuntimeError, match="already been called on this optimizer"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    assert [0.5, 0.5] == weight.tolist()
    with pytest.raises(RuntimeError, match="already been called since the last update"):
        scaler.step(optimizer)


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_an_overflow_skips_the_step_and_shrinks_the_scale(bad: float) -> None:
    weight, optimizer, scaler = setup()
    weight.grad = al.tensor([1.0, bad])
    assert scaler.step(optimizer) is None
    scaler.update()
    assert [1.0, 1.0] == weight.tolist()
    assert 4.0 == scaler.get_scale()


def test_the_scale_grows_after_enough_good_steps() -> None:
    weight, optimizer, scaler = setup(growth_interval=2)
    scales = []
    for _ in range(4):
        weight.grad = al.ones(2)
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
    assert [8.0, 16.0, 16.0, 32.0] == scales


def test_update_without_a_step_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="no inf checks were recorded"):
        setup()[2].update()


def test_the_state_resumes() -> None:
    weight, optimizer, scaler = setup(growth_interval=3)
    weight.grad = al.ones(2)
    scaler.step(optimizer)
    scaler.update()
    other = GradScaler("cpu")
    other.load_state_dict(scaler.state_dict())
    assert scaler.state_dict() == other.state_dict()
    assert {"scale", "growth_factor", "backoff_factor", "growth_interval", "_growth_tracker"} == set(
        other.state_dict()
    )


def test_a_disabled_scaler_does_nothing() -> None:
    weight, optimizer, _ = setup()
    scaler = GradScaler("cpu", enabled=False)
    loss = weight.sum()
    assert scaler.scale(loss) is loss
    loss.backward()
    scaler.step(optimizer)
    scaler.update()
    assert [0.5, 0.5] == weight.tolist()
    assert ({}, 1.0) == (scaler.state_dict(), scaler.get_scale())


def test_functions_with_their_own_gradient_run_under_autocast() -> None:
    class Product(al.autograd.Function):
        @staticmethod
        @al.amp.custom_fwd(device_type="cpu", cast_inputs=al.float32)
        def forward(ctx, a, b):
            seen.append((a.dtype, al.is_autocast_enabled()))
            ctx.save_for_backward(a, b)
            return a @ b

        @staticmethod
        @al.amp.custom_bwd(device_type="cpu")
        def backward(ctx, g):
            a, b = ctx.saved_tensors
            seen.append(al.is_autocast_enabled())
            return g @ b.mT, a.mT @ g

    seen: list[object] = []
    a = al.ones(2, 2, dtype=al.bfloat16).requires_grad_()
    with autocast("cpu"):
        out = Product.apply(a, al.ones(2, 2))
        assert al.float32 == out.dtype
        out.sum().backward()
    assert [(al.float32, False), False] == seen
    assert al.bfloat16 == a.grad.dtype
    with pytest.raises(ValueError, match="device_type"):
        al.amp.custom_fwd(device_type=3)
    assert al.amp.is_autocast_available("npu") and not al.amp.is_autocast_available("cuda")
