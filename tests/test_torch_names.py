"""Names and spellings of torch programs: modules they import, devices they mention, layers of several processes."""

from __future__ import annotations

import warnings
from collections import OrderedDict, defaultdict, deque, namedtuple

import numpy as np
import pytest
from ascendlite.nn.modules.batchnorm import _BatchNorm

import ascendlite as al
from ascendlite.utils import _pytree
from ascendlite.utils.data import DataLoader

Pair = namedtuple("Pair", "left right")


def test_torchs_module_names_are_our_modules():
    assert DataLoader is al.data.DataLoader
    assert al.utils.data is al.data
    assert isinstance(al.nn.BatchNorm2d(3), _BatchNorm)
    assert al.nn.modules.loss is al.nn.loss


def test_a_nest_comes_back_from_its_leaves():
    tree = {"b": [1, (2, None)], "a": Pair(3, OrderedDict(x=4)), "c": defaultdict(list, y=deque([5, 6], 3)), "d": []}
    leaves, spec = _pytree.tree_flatten(tree)
    assert leaves == [1, 2, None, 3, 4, 5, 6]
    back = _pytree.tree_unflatten(leaves, spec)
    assert back == tree and type(back["a"]) is Pair and back["c"].default_factory is list and back["c"]["y"].maxlen == 3
    assert _pytree.tree_map(lambda a, b: (a, b), [1, [2]], [3, [[4]]]) == [(1, 3), [(2, [4])]]
    assert _pytree.tree_map_only(int, lambda n: -n, [1, "s", (2,)]) == [-1, "s", (-2,)]


def test_nests_of_other_forms_are_refused():
    _, spec = _pytree.tree_flatten([1, 2])
    with pytest.raises(ValueError, match="has 2 leaves, and 3 are given"):
        _pytree.tree_unflatten([1, 2, 3], spec)
    with pytest.raises(ValueError, match="nests differ"):
        _pytree.tree_map(max, [1, 2], [1])


def test_autocast_for_a_device_that_is_not_here_changes_nothing():
    ones = al.ones(2, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with al.autocast("cpu"), al.autocast("cuda", enabled=False):
            assert (ones @ ones).dtype is al.bfloat16
    with pytest.warns(UserWarning, match="no device 'cuda' here"), al.autocast("cuda", dtype=al.float16) as state:
        assert not state.enabled
        assert (ones @ ones).dtype is al.float32
    with pytest.raises(RuntimeError, match="'cadu' is unknown"):
        al.autocast("cadu")


def test_asarray_keeps_the_history_of_a_tensor_unless_told_otherwise():
    x = al.ones(2, requires_grad=True) * 2
    assert al.asarray(x) is x
    assert al.asarray(x, copy=True).grad_fn is not None
    assert not al.asarray(x, requires_grad=False).requires_grad


def test_addbmm_in_place_widens_what_broadcasts():
    x = al.ones(1, 5)
    assert x.addbmm_(al.ones(2, 3, 4), al.ones(2, 4, 5)) is x
    assert x.shape == (3, 5) and (x == 9).all()
    with pytest.raises(RuntimeError, match="does not broadcast"):
        al.ones(2, 5).addbmm_(al.ones(2, 3, 4), al.ones(2, 4, 5))


def test_the_fields_of_std_mean_say_what_they_hold():
    result = al.std_mean(al.tensor([1.0, 3.0, 5.0]))
    assert (result.std.item(), result.mean.item()) == (2.0, 3.0)


def test_a_batch_norm_of_one_process_is_a_batch_norm():
    net = al.nn.Sequential(al.nn.BatchNorm1d(3), al.nn.ModuleList([al.nn.BatchNorm2d(2, affine=False)]))
    made = al.nn.SyncBatchNorm.convert_sync_batchnorm(net)
    assert [type(m) for m in made.modules() if isinstance(m, _BatchNorm)] == [al.nn.SyncBatchNorm] * 2
    x = al.randn(5, 3)
    plain = al.nn.BatchNorm1d(3)
    assert al.equal(made[0](x), plain(x))
    assert al.equal(made[0].running_var, plain.running_var)
    with pytest.raises(ValueError, match="at least 2D input"):
        made[0](al.ones(3))
    with pytest.raises(RuntimeError, match="one process here"):
        al.nn.SyncBatchNorm(3, process_group=1)


def adaptive(**options):
    al.manual_seed(0)
    return al.nn.AdaptiveLogSoftmaxWithLoss(8, 20, [4, 10, 15], div_value=2.0, **options).double()


@pytest.mark.parametrize("bias", (False, True))
def test_adaptive_softmax_is_a_distribution_whose_entries_its_loss_reads(bias):
    layer = adaptive(head_bias=bias)
    assert [tuple(p.shape) for p in layer.tail.parameters()] == [(4, 8), (6, 4), (2, 8), (5, 2), (1, 8), (5, 1)]
    x, target = al.randn(40, 8, dtype=al.float64), al.arange(40) % 20
    table = layer.log_prob(x)
    np.testing.assert_allclose(table.exp().sum(1).tolist(), 1.0, rtol=1e-12)
    output, loss = layer(x, target)
    np.testing.assert_allclose(output.tolist(), table[al.arange(40), target].tolist(), rtol=1e-12)
    np.testing.assert_allclose(loss.item(), -output.mean().item(), rtol=1e-15)
    np.testing.assert_allclose(layer(x[7], target[7]).output.item(), output[7].item(), rtol=1e-12)
    head = layer.head(x).argmax(1)
    assert al.equal(layer.predict(x), head.where(head < 4, table.argmax(1)))
    assert al.autograd.gradcheck(lambda v: layer(v, target[:6])[1], (x[:6].requires_grad_(),))


def test_adaptive_softmax_refuses_what_is_no_class():
    layer = adaptive()
    x = al.randn(2, 8, dtype=al.float64)
    with pytest.raises(RuntimeError, match=r"should be in \[0, 19\], but values in range \[1, 20\]"):
        layer(x, al.tensor([1, 20]))
    with pytest.raises(RuntimeError, match="same size in the batch dimension"):
        layer(x, al.tensor([1]))
    for cutoffs in ([], [4, 4], [0, 3], [20], [5, 3]):
        with pytest.raises(ValueError, match="unique integers in increasing order"):
            al.nn.AdaptiveLogSoftmaxWithLoss(8, 20, cutoffs)


def test_a_choice_of_attention_kernels_changes_no_bit():
    from ascendlite.nn.attention import SDPBackend, sdpa_kernel

    q = al.randn(1, 2, 5, 8)
    with sdpa_kernel([SDPBackend.MATH, SDPBackend.FLASH_ATTENTION]):
        chosen = al.nn.functional.scaled_dot_product_attention(q, q, q)
    assert al.equal(chosen, al.nn.functional.scaled_dot_product_attention(q, q, q))
    with pytest.raises(TypeError, match="one or more of SDPBackend, got 'math'"), sdpa_kernel(["math"]):
        pass
