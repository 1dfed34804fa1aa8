"""Arguments and functions of torch that are older or rarer spellings of what is here."""

import pytest

import ascendlite as al

F = al.nn.functional


def test_a_gradient_penalty_in_its_usual_spelling():
    x = al.tensor([1.0, -2.0], requires_grad=True)
    (g,) = al.autograd.grad(outputs=(x**3).sum(), inputs=x, grad_outputs=al.tensor(1.0), create_graph=True, retain_graph=True, only_inputs=True)
    (second,) = al.autograd.grad(g.sum(), x)
    assert second.tolist() == [6.0, -12.0]
    with pytest.warns(FutureWarning, match="only_inputs=False is ignored"):
        al.autograd.grad((x * 2).sum(), x, only_inputs=False)


def test_strategies_of_derivatives_are_checked():
    x = al.tensor([1.0, 2.0])
    functional = al.autograd.functional
    assert functional.jacobian(lambda t: t * t, x, vectorize=True, strategy="forward-mode").tolist() == [[2.0, 0.0], [0.0, 4.0]]
    assert functional.hessian(lambda t: (t**3).sum(), x, outer_jacobian_strategy="forward-mode").tolist() == [[6.0, 0.0], [0.0, 12.0]]
    with pytest.raises(ValueError, match="'forward-mode' or 'reverse-mode'"):
        functional.jacobian(lambda t: t, x, strategy="sideways")


def test_stateless_functional_call_replaces_parameters():
    layer = al.nn.Linear(2, 1, bias=False)
    assert al.nn.utils.stateless.functional_call(layer, {"weight": al.tensor([[1.0, 2.0]])}, al.tensor([[3.0, 4.0]])).item() == 11.0


class Doubled(al.nn.Module):
    def forward(self, x: al.Tensor) -> al.Tensor:
        return x * 2

    def right_inverse(self, x: al.Tensor) -> al.Tensor:
        return x / 2


def test_parametrizations_move_to_another_module():
    parametrize = al.nn.utils.parametrize
    source, target = al.nn.Linear(3, 2), al.nn.Linear(3, 2)
    assert parametrize.transfer_parametrizations_and_params(source, target) is target
    parametrize.register_parametrization(source, "weight", Doubled())
    parametrize.transfer_parametrizations_and_params(source, target)
    assert parametrize.type_before_parametrizations(target) is al.nn.Linear is parametrize.type_before_parametrizations(al.nn.Linear(1, 1))
    assert target.weight.tolist() == source.weight.tolist()
    assert target.parametrizations.weight.original is source.parametrizations.weight.original


def test_linear_cross_entropy_is_the_two_after_one_another():
    x, w, b, t = al.randn(5, 3), al.randn(4, 3), al.randn(4), al.tensor([0, 3, -100, 1, 2])
    assert F.linear_cross_entropy(x, w, t, linear_bias=b).item() == F.cross_entropy(F.linear(x, w, b), t).item()
    spread = F.linear_cross_entropy(x, al.randn(4, 2, 3), al.zeros(5, 2, dtype=al.int64), reduction="none")
    assert spread.shape == (5, 2)
    layer = al.nn.LinearCrossEntropyLoss(3, 4, out_features=(2,), bias=True)
    assert layer.linear.weight.shape == (8, 3) and layer(x, al.zeros(5, 2, dtype=al.int64)).ndim == 0
    with pytest.raises(RuntimeError, match="dimensionality 1 or 2, got 3"):
        F.linear_cross_entropy(al.ones(1, 5, 3), w, t)


def test_a_loader_takes_the_flags_of_torchs():
    data = al.data.TensorDataset(al.arange(4))
    assert [x.tolist() for (x,) in al.data.DataLoader(data, 2, in_order=True, pin_memory_device="")] == [[0, 1], [2, 3]]


def test_what_a_mapped_function_draws_is_the_same_different_or_an_error():
    x = al.zeros(3, 2)
    same = al.vmap(lambda row: row + al.rand(2), randomness="same")(x)
    assert (same == same[0]).all()
    different = al.vmap(lambda row: row + al.rand(2), randomness="different")(x)
    assert not (different == different[0]).all()
    with pytest.raises(RuntimeError, match="called random operation while in randomness error mode"):
        al.vmap(lambda row: row + al.rand(2), randomness="error")(x)
    assert al.vmap(lambda row: row * 2, randomness="error")(x).shape == (3, 2)
    with pytest.raises(RuntimeError, match="'error', 'different' or 'same'"):
        al.vmap(al.sum, randomness="any")


def test_after_the_same_draws_the_sequence_goes_on():
    al.manual_seed(3)
    al.vmap(lambda row: row + al.rand(2), randomness="same")(al.zeros(3, 2))
    after = al.rand(2)
    al.manual_seed(3)
    first = al.rand(2)
    assert al.rand(2).tolist() == after.tolist() != first.tolist()


def test_jacfwd_takes_has_aux_by_position_and_svd_no_driver():
    slope, aux = al.func.jacfwd(lambda x: (x * 3, x + 1), 0, True)(al.tensor([1.0]))
    assert slope.tolist() == [[3.0]] and aux.tolist() == [2.0]
    assert al.linalg.svd(al.eye(2), driver=None).S.tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match="names a solver of CUDA"):
        al.linalg.svdvals(al.eye(2), driver="gesvd")


@pytest.mark.parametrize("need_weights", [True, False])
def test_static_keys_and_values_stand_for_projected_ones(need_weights):
    E, heads = 8, 2
    x, w, out = al.randn(3, 2, E), al.randn(3 * E, E), al.eye(E)

    def attend(**more):
        return F.multi_head_attention_forward(x, x, x, E, heads, w, None, None, None, False, 0.0, out, None, need_weights=need_weights, **more)[0]

    k, v = (F.linear(x, w[i * E : (i + 1) * E]).reshape(3, 2 * heads, E // heads).transpose(0, 1) for i in (1, 2))
    al.testing.assert_close(attend(static_k=k, static_v=v), attend())
    assert not al.allclose(attend(static_k=k, static_v=v * 2), attend())
    with pytest.raises(AssertionError, match="expecting static_k of shape"):
        attend(static_k=k[:1])
