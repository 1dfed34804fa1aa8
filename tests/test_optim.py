"""Optimizers: torch's trajectories, torch's state dicts, torch's complaints."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

import ascendlite as al
from ascendlite.optim import ASGD, LBFGS, SGD, Adadelta, Adafactor, Adagrad, Adam, Adamax, AdamW, Lion, Muon, NAdam, Optimizer, RAdam, RMSprop, Rprop
from tests.goldenfile import TOLERANCE, arrays, assert_close
from tests.goldens.optim_cases import CASES, LBFGS_CASES, LBFGS_START, LBFGS_STEPS, MUON_CASES, MUON_SHAPES, STEPS

GOLDEN = arrays("optim.npz")
KINDS = {kind.__name__: kind for kind in (SGD, Adam, AdamW, RMSprop, Adagrad, Adadelta, Adamax, NAdam, RAdam, Rprop, ASGD, Adafactor)}


def parameters(dtype: al.dtype = al.float64) -> list[al.nn.Parameter]:
    return [al.nn.Parameter(al.tensor(GOLDEN[f"start.{i}"]).to(dtype)) for i in range(2)]


def make(name: str, params: list[al.nn.Parameter], **more: object) -> Optimizer:
    kind, options = CASES[name]
    groups = [{"params": [params[0]]}, {"params": [params[1]], "lr": options["lr"] / 2}]
    return KINDS[kind](groups, **options, **more)


def step(optimizer: Optimizer, params: list[al.nn.Parameter], t: int) -> None:
    for i, param in enumerate(params):
        param.grad = None if (t, i) == (2, 1) else al.tensor(GOLDEN[f"grad.{t}.{i}"]).to(param.dtype)
    optimizer.step()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", CASES)
def test_the_trajectory_is_torchs(name: str, dtype: str) -> None:
    params = parameters(getattr(al, dtype))
    optimizer = make(name, params)
    for t in range(STEPS):
        step(optimizer, params, t)
        for i, param in enumerate(params):
            assert_close(GOLDEN[f"{name}.{t}.{i}"], param, TOLERANCE[dtype], f"step {t}, parameter {i}")


@pytest.mark.parametrize(
    "name", [name for name, (kind, _) in CASES.items() if kind in ("SGD", "Adam", "AdamW")]
)
def test_plain_ops_walk_the_same_path_as_the_fused_pass(name: str) -> None:
    params = parameters()
    optimizer = make(name, params, fused=False)
    for t in range(STEPS):
        step(optimizer, params, t)
    for i, param in enumerate(params):
        assert_close(GOLDEN[f"{name}.{STEPS - 1}.{i}"], param, TOLERANCE["float64"])


@pytest.mark.parametrize("name", CASES)
def test_the_state_dict_has_torchs_entries(name: str) -> None:
    params = parameters()
    optimizer = make(name, params)
    for t in range(STEPS):
        step(optimizer, params, t)
    saved = optimizer.state_dict()
    flat = {f"{name}.state.{n}.{key}": v for n, state in saved["state"].items() for key, v in state.items()}
    expected = {key: value for key, value in GOLDEN.items() if key.startswith(f"{name}.state.")}
    assert expected.keys() == flat.keys()
    for key, value in expected.items():
        assert_close(value, flat[key], TOLERANCE["float64"], key)
    assert [[0], [1]] == [group["params"] for group in saved["param_groups"]]


@pytest.mark.parametrize("name", CASES)
def test_a_resumed_optimizer_goes_on_bit_for_bit(name: str) -> None:
    params = parameters(al.float32)
    optimizer = make(name, params)
    for t in range(3):
        step(optimizer, params, t)
    twins = [al.nn.Parameter(p.detach().clone()) for p in params]
    resumed = make(name, twins)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for t in range(3, STEPS):
        step(optimizer, params, t)
        step(resumed, twins, t)
    for param, twin in zip(params, twins, strict=True):
        np.testing.assert_array_equal(param.detach().numpy(), twin.detach().numpy())


def test_loading_keeps_the_options_that_were_saved() -> None:
    first = SGD([al.nn.Parameter(al.ones(2))], lr=0.5, momentum=0.9)
    second = SGD([al.nn.Parameter(al.ones(2))], lr=0.1)
    second.load_state_dict(first.state_dict())
    assert (0.5, 0.9) == (second.param_groups[0]["lr"], second.param_groups[0]["momentum"])


def test_lion_follows_the_paper() -> None:
    start, grads = GOLDEN["start.0"], [GOLDEN[f"grad.{t}.0"] for t in range(STEPS)]
    param = al.nn.Parameter(al.tensor(start))
    optimizer = Lion([param], lr=0.01, betas=(0.9, 0.95), weight_decay=0.1)
    momentum, expected = np.zeros_like(start), start.copy()
    for grad in grads:
        expected -= 0.01 * (np.sign(0.9 * momentum + 0.1 * grad) + 0.1 * expected)
        momentum = 0.95 * momentum + 0.05 * grad
        param.grad = al.tensor(grad)
        optimizer.step()
    assert_close(expected, param, TOLERANCE["float64"])


def muon_reference(start: np.ndarray, grads: list[np.ndarray], lr: float) -> np.ndarray:
    """Section 2.4 of the DeepSeek-V4 report, in NumPy."""
    weight, momentum = start.copy(), np.zeros_like(start)
    for grad in grads:
        momentum = 0.95 * momentum + grad
        x = 0.95 * momentum + grad
        x = x / np.linalg.norm(x)
        for a, b, c in [(3.4445, -4.7750, 2.0315)] * 8 + [(2.0, -1.5, 0.5)] * 2:
            s = x @ x.T
            x = a * x + b * s @ x + c * s @ s @ x
        weight = weight * (1 - lr * 0.1) - lr * x * math.sqrt(max(weight.shape)) * 0.18
    return weight


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5)])
def test_muon_follows_the_report(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(2)
    start, grads = rng.standard_normal(shape), [rng.standard_normal(shape) for _ in range(4)]
    param = al.nn.Parameter(al.tensor(start))
    optimizer = Muon([param], lr=0.02)
    for grad in grads:
        param.grad = al.tensor(grad)
        optimizer.step()
    assert_close(muon_reference(start, grads, 0.02), param, 1e-10)


@pytest.mark.parametrize("name", MUON_CASES)
def test_muon_with_torchs_arguments_walks_as_torchs(name: str) -> None:
    options = MUON_CASES[name]
    params = [al.nn.Parameter(al.tensor(GOLDEN[f"muon.start.{i}"])) for i in range(len(MUON_SHAPES))]
    optimizer = Muon(params, **options)
    for t in range(STEPS):
        for i, param in enumerate(params):
            param.grad = al.tensor(GOLDEN[f"muon.grad.{t}.{i}"])
        optimizer.step()
        for i, param in enumerate(params):  # entries of the step are below lr; the iterations round to bfloat16
            assert_close(GOLDEN[f"{name}.{t}.{i}"], param, options["lr"] * 2**-7 * (t + 1), name)


def test_muon_refuses_what_torchs_refuses() -> None:
    param = al.nn.Parameter(al.ones(2, 2))
    for options in ({"adjust_lr_fn": "best"}, {"ns_steps": 100}, {"ns_coefficients": (1.0, 2.0)}):
        with pytest.raises(ValueError, match=r"is not supported; use|must be less than 100|exactly 3 values"):
            Muon([param], **options)


def test_muon_makes_singular_values_one() -> None:
    matrix = np.random.default_rng(3).standard_normal((16, 40))
    singular = np.linalg.svd(al.optim.muon.orthogonalize(al.tensor(matrix)).numpy(), compute_uv=False)
    np.testing.assert_allclose(singular, 1.0, atol=5e-3)


def test_muon_treats_each_matrix_of_a_batch_on_its_own() -> None:
    rng = np.random.default_rng(4)
    start, grad = rng.standard_normal((3, 4, 6)), rng.standard_normal((3, 4, 6))
    batch = al.nn.Parameter(al.tensor(start))
    batch.grad = al.tensor(grad)
    Muon([batch], lr=0.02).step()
    for i in range(3):
        assert_close(muon_reference(start[i], [grad[i]], 0.02), batch[i], 1e-10)


@pytest.mark.parametrize("shape", [(3,), (), (2, 3, 4, 5)])
def test_muon_refuses_what_is_no_matrix(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"Muon: only matrices .* give it to AdamW"):
        Muon([al.nn.Parameter(al.zeros(shape))])


def test_a_closure_is_run_with_gradients_and_gives_the_result() -> None:
    weight = al.nn.Parameter(al.ones(2))
    optimizer = SGD([weight], lr=0.1)

    def closure() -> al.Tensor:
        optimizer.zero_grad()
        loss = (weight * weight).sum()
        loss.backward()
        return loss

    with al.no_grad():
        loss = optimizer.step(closure)
    assert 2.0 == loss.item()
    np.testing.assert_allclose(weight.detach().numpy(), 0.8, rtol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_strides_of_gradients_and_parameters_change_no_value(name: str) -> None:
    kind, options = CASES[name]
    wide = al.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    plain = [al.nn.Parameter(wide.clone()), al.nn.Parameter(al.ones(3))]
    strided = [al.nn.Parameter(wide.t().contiguous().t()), al.nn.Parameter(al.ones(3))]
    for params in (plain, strided):
        params[1].grad = al.tensor([0.5, -1.0, 2.0])
    plain[0].grad = wide.cos()
    strided[0].grad = wide.cos().t().contiguous().t()
    assert not strided[0].is_contiguous() and not strided[0].grad.is_contiguous()
    for params in (plain, strided, turned := [al.nn.Parameter(wide.clone())]):
        if params is turned:
            turned[0].grad = strided[0].grad
        optimizer = KINDS[kind](params, **options)
        for _ in range(2):
            optimizer.step()
    for other in (*zip(plain, strided, strict=True), (plain[0], turned[0])):
        al.testing.assert_close(*other)


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW, RMSprop, Adagrad, Lion, Muon])
def test_a_step_on_meta_needs_no_values(kind: type[Optimizer]) -> None:
    param = al.nn.Parameter(al.ones(3, 2, device="meta"))
    param.grad = al.ones(3, 2, device="meta")
    kind([param], lr=0.1).step()
    assert (3, 2) == param.shape
    assert "meta" == al.nn.utils.clip_grad_norm_([param], 1.0).device.type


def test_zero_grad_drops_gradients_or_fills_zeros() -> None:
    weight = al.nn.Parameter(al.ones(2))
    optimizer = SGD([weight], lr=0.1)
    weight.grad = al.ones(2)
    optimizer.zero_grad(set_to_none=False)
    assert [0.0, 0.0] == weight.grad.tolist()
    optimizer.zero_grad()
    assert weight.grad is None


def test_hooks_run_around_a_step_until_removed() -> None:
    seen: list[str] = []
    weight = al.nn.Parameter(al.ones(1))
    weight.grad = al.ones(1)
    optimizer = SGD([weight], lr=0.1)
    before = optimizer.register_step_pre_hook(lambda *args: seen.append("before"))
    optimizer.register_step_post_hook(lambda *args: seen.append("after"))
    optimizer.step()
    before.remove()
    optimizer.step()
    assert ["before", "after", "after"] == seen


def weight() -> al.nn.Parameter:
    return al.nn.Parameter(al.ones(1))


SHARED = weight()

# what is wrong, the error, its text
MISTAKES = [
    (lambda: SGD([], lr=0.1), ValueError, "empty parameter list"),
    (lambda: SGD(al.ones(1), lr=0.1), TypeError, "should be an iterable of Tensors"),
    (lambda: SGD([weight()], lr=-1.0), ValueError, r"Invalid learning rate: -1\.0"),
    (lambda: SGD([weight()], momentum=-0.5), ValueError, r"Invalid momentum value: -0\.5"),
    (lambda: SGD([weight()], weight_decay=-1), ValueError, "Invalid weight_decay value: -1"),
    (lambda: SGD([weight()], nesterov=True), ValueError, "Nesterov momentum requires"),
    (lambda: Adam([weight()], betas=(1.0, 0.9)), ValueError, r"Invalid beta parameter at index 0: 1\.0"),
    (lambda: Adam([weight()], betas=(0.9, -0.1)), ValueError, r"Invalid beta parameter at index 1: -0\.1"),
    (lambda: Adam([weight()], eps=-1e-8), ValueError, "Invalid epsilon value"),
    (lambda: AdamW([weight()], lr=float("nan")), ValueError, "Invalid learning rate: nan"),
    (lambda: SGD([{"params": [SHARED]}, {"params": [SHARED]}]), ValueError, "more than one parameter group"),
    (lambda: SGD([1.0]), TypeError, "can only optimize Tensors, but one of the params is float"),
    (lambda: SGD([weight() * 2]), ValueError, "can't optimize a non-leaf Tensor"),
    (lambda: SGD([{"params": {weight()}}]), TypeError, "ordered collections"),
    (lambda: SGD([weight()]).add_param_group([]), TypeError, "param_group must be a dict"),
]


@pytest.mark.parametrize(("mistake", "error", "text"), MISTAKES)
def test_mistakes_are_named(mistake, error, text) -> None:
    with pytest.raises(error, match=text):
        mistake()


def test_a_state_dict_of_other_groups_is_refused() -> None:
    one = SGD([weight()])
    with pytest.raises(ValueError, match="different number of parameter groups: 2, the optimizer has 1"):
        one.load_state_dict(SGD([{"params": [weight()]}, {"params": [weight()]}]).state_dict())
    with pytest.raises(ValueError, match="group 0: 2 parameters, the optimizer has 1"):
        one.load_state_dict(SGD([weight(), weight()]).state_dict())


def test_the_repr_lists_groups_and_options() -> None:
    text = repr(SGD([weight()], lr=0.5))
    assert text.startswith("SGD (\nParameter Group 0\n")
    assert "    lr: 0.5\n" in text


def test_state_moves_to_torch_and_back() -> None:
    torch = pytest.importorskip("torch")
    param = al.nn.Parameter(al.ones(3))
    ours = AdamW([param], lr=0.1)
    theirs = torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))], lr=0.1)
    param.grad = al.ones(3)
    ours.step()
    saved = ours.state_dict()
    saved["state"] = {
        n: {k: torch.tensor(v.numpy()) for k, v in state.items()} for n, state in saved["state"].items()
    }
    theirs.load_state_dict(saved)
    twin = theirs.param_groups[0]["params"][0]
    twin.data = torch.tensor(param.detach().numpy().copy())
    param.grad, twin.grad = al.ones(3) * 2, torch.ones(3) * 2
    ours.step()
    theirs.step()
    np.testing.assert_allclose(twin.detach().numpy(), param.detach().numpy(), rtol=1e-6)


def valley(p: al.Tensor) -> al.Tensor:
    """Rosenbrock's function, smallest at (1, 1)."""
    return (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2


@pytest.mark.parametrize("case", LBFGS_CASES)
def test_lbfgs_walks_through_the_valley_as_torch(case: str) -> None:
    p = al.nn.Parameter(al.tensor(LBFGS_START, dtype=al.float64))
    optimizer = LBFGS([p], **LBFGS_CASES[case])

    def closure() -> al.Tensor:
        optimizer.zero_grad()
        loss = valley(p)
        loss.backward()
        return loss

    for t in range(LBFGS_STEPS):
        loss = optimizer.step(closure)
        np.testing.assert_allclose(p.detach().numpy(), GOLDEN[f"{case}.{t}"], rtol=1e-6)
        np.testing.assert_allclose(float(loss), GOLDEN[f"{case}.loss.{t}"], rtol=1e-6, atol=1e-12)
        assert optimizer.state_dict()["state"][0]["func_evals"] == GOLDEN[f"{case}.evaluations.{t}"]


def test_lbfgs_keeps_its_state_by_torchs_names() -> None:
    p = al.nn.Parameter(al.tensor(LBFGS_START))
    optimizer = LBFGS([p], history_size=2, max_iter=3)

    def closure() -> al.Tensor:
        optimizer.zero_grad()
        loss = valley(p)
        loss.backward()
        return loss

    optimizer.step(closure)
    state = optimizer.state_dict()["state"][0]
    names = {"func_evals", "n_iter", "d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad", "prev_loss", "al"}
    assert [names, 2] == [state.keys(), len(state["al"])]


def test_lbfgs_names_its_mistakes() -> None:
    p = al.nn.Parameter(al.zeros(2))
    with pytest.raises(TypeError, match="closure"):
        LBFGS([p]).step()
    with pytest.raises(ValueError, match="one"):
        LBFGS([{"params": [p]}, {"params": [al.nn.Parameter(al.zeros(1))]}])
    with pytest.raises(ValueError, match="strong_wolfe"):
        LBFGS([p], line_search_fn="weak")
