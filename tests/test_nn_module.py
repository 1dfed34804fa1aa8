"""Module: registration, walking, state dicts, hooks, conversion, text and complaints; containers; utils."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import ascendlite as al
from ascendlite import nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.blocks = nn.ModuleList([nn.Linear(4, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 2))])
        self.register_buffer("steps", al.tensor(0))
        self.register_buffer("scratch", al.zeros(2), persistent=False)
        self.scale = nn.Parameter(al.ones(1))
        self.alias = self.first

    def forward(self, x: al.Tensor) -> al.Tensor:
        for block in self.blocks:
            x = block(self.first(x)) if block is self.blocks[0] else block(x)
        return x * self.scale


KEYS = [
    "scale",
    "steps",
    "first.weight",
    "first.bias",
    "blocks.0.weight",
    "blocks.0.bias",
    "blocks.1.1.weight",
    "blocks.1.1.bias",
    "alias.weight",
    "alias.bias",
]


def test_state_dict_has_parameters_and_persistent_buffers_by_dotted_name() -> None:
    assert KEYS == list(Net().state_dict())


def test_state_dict_shares_memory_and_is_detached() -> None:
    net = Net()
    saved = net.state_dict()
    assert not saved["scale"].requires_grad
    net.scale.data.fill_(5)
    assert [5.0] == saved["scale"].tolist()


def test_parameters_come_once_even_if_registered_twice() -> None:
    names = [name for name, _ in Net().named_parameters()]
    assert [k for k in KEYS if not k.startswith("alias") and k != "steps"] == names
    assert 9 == len(list(Net().named_parameters(remove_duplicate=False)))


def test_the_tree_is_walked_in_order_of_registration() -> None:
    net = Net()
    assert ["", "first", "blocks", "blocks.0", "blocks.1", "blocks.1.0", "blocks.1.1"] == [
        n for n, _ in net.named_modules()
    ]
    assert ["first", "blocks"] == [name for name, _ in net.named_children()]
    assert ["steps", "scratch"] == [name for name, _ in net.named_buffers()]


def test_loading_copies_values_and_reports_nothing_amiss() -> None:
    source, target = Net(), Net()
    report = target.load_state_dict(source.state_dict())
    assert ([], []) == tuple(report)
    assert "<All keys matched successfully>" == str(report)
    np.testing.assert_array_equal(source.first.weight.detach().numpy(), target.first.weight.detach().numpy())
    assert target.first.weight is not source.first.weight


def test_every_problem_of_a_state_dict_is_in_one_error() -> None:
    state = Net().state_dict()
    del state["scale"]
    state["more"] = al.ones(1)
    state["first.weight"] = al.ones(4, 5)
    state["first.bias"] = al.ones(7)
    with pytest.raises(RuntimeError) as caught:
        Net().load_state_dict(state)
    text = str(caught.value)
    assert 'Missing key(s) in state_dict: "scale".' in text
    assert 'Unexpected key(s) in state_dict: "more".' in text
    shapes = "copying a param with shape (4, 5) from checkpoint, the shape in current model is (4, 3)"
    assert f"size mismatch for first.weight: {shapes}" in text
    assert "size mismatch for first.bias: copying a param with shape (7,)" in text


def test_a_lenient_load_reports_missing_and_unexpected_keys() -> None:
    state = Net().state_dict()
    del state["scale"]
    state["more"] = al.ones(1)
    state["first.odd.key"] = al.ones(1)
    report = Net().load_state_dict(state, strict=False)
    assert ["scale"] == report.missing_keys
    assert ["first.odd.key", "more"] == sorted(report.unexpected_keys)


def test_assign_takes_the_tensors_themselves() -> None:
    net = nn.Linear(2, 2)
    given = {"weight": al.ones(2, 2, dtype=al.float64), "bias": nn.Parameter(al.zeros(2))}
    net.load_state_dict(given, assign=True)
    assert al.float64 == net.weight.dtype
    assert net.weight.requires_grad and isinstance(net.weight, nn.Parameter)
    assert net.bias is given["bias"]


def test_conversion_keeps_the_identity_of_parameters_and_skips_integers() -> None:
    net = Net()
    weight = net.first.weight
    net.first(al.ones(1, 3)).sum().backward()
    assert net is net.to(al.float64)
    assert weight is net.first.weight
    assert (al.float64, al.float64, al.int64) == (weight.dtype, weight.grad.dtype, net.steps.dtype)
    assert al.float16 == net.half().scale.dtype
    assert al.bfloat16 == net.bfloat16().scratch.dtype
    assert al.float32 == net.float().scale.dtype


def test_train_eval_apply_zero_grad_and_requires_grad_reach_the_whole_tree() -> None:
    net = Net()
    assert not any(m.training for m in net.eval().modules())
    assert all(m.training for m in net.train().modules())
    net(al.ones(2, 3)).sum().backward()
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    seen: list[str] = []
    net.apply(lambda m: seen.append(type(m).__name__))
    assert "Net" == seen[-1]


def test_deepcopy_and_pickle_keep_shared_modules_shared() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    net.append(net[0])
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert twin[0] is twin[2]
        assert twin[0].weight is not net[0].weight
        assert isinstance(twin[0].weight, nn.Parameter)
        np.testing.assert_array_equal(net[0].weight.detach().numpy(), twin[0].weight.detach().numpy())


def test_submodules_parameters_and_buffers_are_found_by_path() -> None:
    net = Net()
    assert net.blocks[1][1] is net.get_submodule("blocks.1.1")
    assert net.blocks[1][1].bias is net.get_parameter("blocks.1.1.bias")
    assert net.steps is net.get_buffer("steps")
    with pytest.raises(AttributeError, match=r"no attribute `9` \(looking for 'blocks.9'\)"):
        net.get_submodule("blocks.9")
    with pytest.raises(AttributeError, match="not a Parameter"):
        net.get_parameter("steps")


def test_buffers_register_by_assignment() -> None:
    net = nn.Module()
    net.table = nn.Buffer(al.ones(2), persistent=False)
    net.seen = nn.Buffer(al.ones(2))
    assert ["table", "seen"] == [name for name, _ in net.named_buffers()]
    assert ["seen"] == list(net.state_dict())


def test_assigning_none_empties_and_del_removes() -> None:
    net = Net()
    net.scale = None
    assert net.scale is None
    assert "scale" not in net.state_dict()
    del net.first
    assert not hasattr(net, "first")


class Forgetful(nn.Module):
    def __init__(self, member: object) -> None:
        self.member = member


MISTAKES = [
    (
        lambda: Forgetful(nn.Parameter(al.ones(1))),
        AttributeError,
        r"cannot assign parameter 'member' before Module.__init__",
    ),
    (lambda: Forgetful(nn.ReLU()), AttributeError, r"cannot assign module 'member' before Module.__init__"),
    (lambda: setattr(Net(), "scale", al.ones(1)), TypeError, "cannot assign 'Tensor' as parameter 'scale'"),
    (lambda: setattr(Net(), "first", 1), TypeError, "cannot assign 'int' as child module 'first'"),
    (lambda: setattr(Net(), "steps", 1), TypeError, "cannot assign 'int' as buffer 'steps'"),
    (lambda: Net().register_buffer("scale", al.ones(1)), KeyError, "attribute 'scale' already exists in Net"),
    (lambda: Net().register_parameter("a.b", None), KeyError, "contain"),
    (lambda: Net().register_parameter("", None), KeyError, "be empty"),
    (
        lambda: Net().register_parameter("p", al.ones(1)),
        TypeError,
        "'p' is a Tensor; pass a Parameter or None",
    ),
    (lambda: Net().register_buffer("b", 1), TypeError, "'b' is a int; pass a Tensor or None"),
    (lambda: Net().add_module("m", 1), TypeError, "'m' is a int; pass a Module or None"),
    (lambda: nn.Module()(1), NotImplementedError, 'missing the required "forward"'),
    (lambda: Net().wieght, AttributeError, "'Net' object has no attribute 'wieght'"),
    (lambda: Net().to(al.int32), TypeError, "floating point dtypes only, got"),
    (lambda: Net().train("yes"), ValueError, "mode is 'yes'"),
    (lambda: Net().load_state_dict([1]), TypeError, "got a list; pass a mapping"),
    (
        lambda: nn.Sequential(nn.ReLU())[1],
        IndexError,
        "index 1 is out of range for Sequential with 1 modules",
    ),
    (lambda: nn.ModuleDict({"keys": nn.ReLU()}), KeyError, "attribute 'keys' already exists in ModuleDict"),
]


@pytest.mark.parametrize(("mistake", "error", "text"), MISTAKES)
def test_mistakes_are_named(mistake, error, text) -> None:
    with pytest.raises(error, match=text):
        mistake()


def test_the_text_is_an_indented_tree() -> None:
    expected = """Net(
  (first): Linear(in_features=3, out_features=4, bias=True)
  (blocks): ModuleList(
    (0): Linear(in_features=4, out_features=4, bias=True)
    (1): Sequential(
      (0): ReLU()
      (1): Linear(in_features=4, out_features=2, bias=True)
    )
  )
  (alias): Linear(in_features=3, out_features=4, bias=True)
)"""
    assert expected == repr(Net())


def test_equal_modules_in_a_list_are_printed_once() -> None:
    assert "ModuleList(\n  (0-2): 3 x ReLU()\n  (3): Tanh()\n)" == repr(
        nn.ModuleList([*[nn.ReLU()] * 3, nn.Tanh()])
    )


# hooks


def test_forward_hooks_change_inputs_and_outputs_until_removed() -> None:
    layer = nn.Identity()
    pre = layer.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    post = layer.register_forward_hook(lambda module, args, output: output * 10)
    assert 20.0 == layer(al.tensor(1.0)).item()
    pre.remove()
    assert 10.0 == layer(al.tensor(1.0)).item()
    post.remove()
    assert 1.0 == layer(al.tensor(1.0)).item()


def test_forward_hooks_see_keyword_arguments_and_order() -> None:
    seen: list[object] = []
    layer = nn.Identity()
    layer.register_forward_hook(lambda m, args, kwargs, out: seen.append(kwargs), with_kwargs=True)
    layer.register_forward_hook(lambda m, args, out: seen.append("first"), prepend=True)
    layer(input=al.ones(1))
    assert "first" == seen[0]
    assert ["input"] == list(seen[1])


def test_a_hook_may_insist_on_being_called() -> None:
    seen: list[object] = []
    layer = nn.Linear(2, 2)
    layer.register_forward_hook(lambda m, args, out: seen.append(out), always_call=True)
    with pytest.raises(RuntimeError):
        layer(al.ones(1, 3))
    assert [None] == seen


def test_backward_hooks_see_and_change_gradients() -> None:
    seen: dict[str, object] = {}
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.data.fill_(3)

    def before(module, grad_output):
        seen["before"] = grad_output[0].tolist()
        return (grad_output[0] * 2,)

    def after(module, grad_input, grad_output):
        seen["after"] = (grad_input[0].tolist(), grad_output[0].tolist())
        return (grad_input[0] * 10,)

    layer.register_full_backward_pre_hook(before)
    layer.register_full_backward_hook(after)
    x = al.ones(1, 2, requires_grad=True)
    layer(x).sum().backward()
    assert [[1.0]] == seen["before"]
    assert ([[6.0, 6.0]], [[2.0]]) == seen["after"]
    assert [[60.0, 60.0]] == x.grad.tolist()
    assert [[2.0, 2.0]] == layer.weight.grad.tolist()


def test_backward_hooks_run_without_an_input_gradient() -> None:
    seen: list[object] = []
    layer = nn.Linear(2, 1)
    layer.register_full_backward_hook(lambda m, grad_input, grad_output: seen.append(grad_input))
    layer(al.ones(1, 2)).sum().backward()
    assert [(None,)] == seen


def test_state_dict_hooks_can_rename_keys_both_ways() -> None:
    def rename(module, state, prefix, metadata):
        state[prefix + "kernel"] = state.pop(prefix + "weight")

    def rename_back(module, state, prefix, *rest):
        state[prefix + "weight"] = state.pop(prefix + "kernel")

    layer = nn.Linear(2, 2)
    layer.register_state_dict_post_hook(rename)
    layer.register_load_state_dict_pre_hook(rename_back)
    saved = layer.state_dict()
    assert ["bias", "kernel"] == list(saved)
    layer.load_state_dict(saved)


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.count = 3

    def get_extra_state(self) -> int:
        return self.count

    def set_extra_state(self, state: int) -> None:
        self.count = state


def test_extra_state_travels_with_the_state_dict() -> None:
    saved = nn.Sequential(Counting()).state_dict()
    assert {"0._extra_state": 3} == saved
    target = nn.Sequential(Counting())
    target[0].count = 0
    target.load_state_dict(saved)
    assert 3 == target[0].count
    with pytest.raises(RuntimeError, match="_extra_state"):
        target.load_state_dict({})


# moving between libraries


def test_state_dicts_move_to_torch_and_back() -> None:
    torch = pytest.importorskip("torch")
    ours = nn.Transformer(8, 2, 1, 1, 16, dropout=0.0, batch_first=True)
    theirs = torch.nn.Transformer(8, 2, 1, 1, 16, dropout=0.0, batch_first=True)
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    again = nn.Transformer(8, 2, 1, 1, 16, dropout=0.0, batch_first=True)
    again.load_state_dict({k: al.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((2, 5, 8)).astype(np.float32)
    expected = theirs(torch.tensor(x), torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(
        expected, again(al.tensor(x), al.tensor(x)).detach().numpy(), rtol=2e-5, atol=2e-5
    )


class _Outer(nn.Module):
    """Passes on what it has not, as wrappers do."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.inner, name)


def test_a_module_may_pass_attributes_on_by_getattr():
    outer = _Outer(nn.Linear(2, 3))
    assert outer.in_features == 2
    assert outer.weight is outer.inner.weight
    with pytest.raises(AttributeError, match="'Linear' object has no attribute 'nothing'"):
        _ = outer.nothing


class _Broken(nn.Module):
    @property
    def size(self):
        return self.absent


def test_an_attribute_error_in_a_property_names_what_is_absent():
    with pytest.raises(AttributeError, match="'_Broken' object has no attribute 'absent'"):
        _ = _Broken().size
