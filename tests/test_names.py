"""Names of torch: those that ask and set, in-place functions at the top level, and what an absent one says."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.signal.windows

import ascendlite as al
from ascendlite import nn
from ascendlite.absent import ABSENT


def test_in_place_functions_write_into_their_argument():
    x = al.tensor([-1.0, 4.0])
    assert al.abs_(x) is x and al.sqrt_(x) is x and al.relu_(x) is x
    assert [1.0, 2.0] == x.tolist()
    assert not [n for n in al._IN_PLACE if not callable(getattr(al, n))]
    assert not [n for n in al._LAZY_NAMES if getattr(al, n, None) is None]


@pytest.mark.parametrize(("call", "text"), [
    (lambda: al.fft, "numpy.fft"), (lambda: al.FloatTensor, "al.tensor"), (lambda: al.ones(1).cuda(), "npu"), (lambda: al.ones(1).storage(), "untyped_storage"),
    (lambda: nn.DataParallel, "leave it out"), (lambda: nn.functional.conv_tbc, "conv1d"), (lambda: nn.init.xavier_normal, "_"), (lambda: nn.LinearCrossEntropyOptions, "leave it out"),
    (lambda: al.optim.SparseAdam, "Adam"), (lambda: al.linalg.eigvals, "eigvalsh"), (lambda: al.utils.tensorboard, "numbers"),
])
def test_an_absent_name_says_what_to_use(call, text):
    with pytest.raises(AttributeError, match=text):
        call()


def test_only_what_is_absent_is_listed_as_absent():
    for module, names in ABSENT.items():
        owner = {"": al, "Tensor": al.Tensor}.get(module) or eval(f"al.{module}")
        assert not [n for n in names if "*" not in n and hasattr(owner, n)], module
    with pytest.raises(AttributeError, match="no attribute 'nothing'$"):
        getattr(al, "nothing")  # noqa: B009


def test_questions_have_torchs_answers():
    x = al.ones(2, 3)
    assert not (x.is_cuda or x.is_sparse or x.is_quantized or x.is_conj() or al.is_neg(x) or x.is_pinned())
    assert x.is_set_to(x.view(2, 3)) and not x.is_set_to(x[:1])
    assert al.is_signed(x) and not al.is_signed(x.to(al.uint8)) and -1 == al.get_device(x)
    assert al.Size([2, 3]) == x.shape and al.is_storage(x.untyped_storage())
    with al.autocast("cpu", al.bfloat16):
        assert al.is_autocast_enabled()
    assert not al.is_autocast_enabled()


def test_settings_are_remembered_or_refused():
    al.use_deterministic_algorithms(True)
    assert al.are_deterministic_algorithms_enabled() and 2 == al.get_deterministic_debug_mode()
    al.set_deterministic_debug_mode("default")
    assert not al.are_deterministic_algorithms_enabled()
    al.set_float32_matmul_precision("high")
    assert "high" == al.get_float32_matmul_precision()
    al.set_float32_matmul_precision("highest")
    for call in (lambda: al.set_float32_matmul_precision("low"), lambda: al.set_deterministic_debug_mode(3), lambda: al.set_num_interop_threads(0)):
        with pytest.raises(ValueError):
            call()


def test_a_buffer_is_shared():
    memory = bytearray(np.arange(6, dtype=np.float32).tobytes())
    x = al.frombuffer(memory, dtype=al.float32, count=3, offset=8)
    assert [2.0, 3.0, 4.0] == x.tolist()
    x[0] = 7.0
    assert 7.0 == np.frombuffer(memory, np.float32)[2]
    with pytest.warns(UserWarning, match="copied"):
        assert [1, 2] == al.frombuffer(b"\x01\x02", dtype=al.uint8).tolist()
    for options in ({"offset": 24}, {"count": 7}, {"offset": 1}, {"count": 0}, {"offset": -1}):
        with pytest.raises(ValueError, match="frombuffer"):
            al.frombuffer(memory, dtype=al.float32, **options)


def test_a_range_includes_its_end():
    with pytest.warns(UserWarning, match="arange"):
        assert [1.0, 1.5, 2.0] == al.range(1, 2, 0.5).tolist()


def test_diagonals_are_filled():
    for shape, wrap in (((3, 3), False), ((2, 4), False), ((7, 3), True), ((3, 3, 3), False)):
        expected = np.zeros(shape)
        np.fill_diagonal(expected, 2.0, wrap)
        np.testing.assert_array_equal(al.zeros(*shape).fill_diagonal_(2.0, wrap).numpy(), expected)


@pytest.mark.parametrize(("fill", "ends"), [
    (lambda x: x.log_normal_(0.0, 1.0), (0.48, 1.0, 2.02)), (lambda x: x.cauchy_(1.0, 2.0), (-1.1, 1.0, 3.1)), (lambda x: x.geometric_(0.3), (1.0, 2.0, 4.0)),
])
def test_random_fills_have_the_quartiles_of_their_distribution(fill, ends):
    al.manual_seed(0)
    found = np.quantile(fill(al.empty(40000)).numpy(), [0.25, 0.5, 0.75])
    np.testing.assert_allclose(found, ends, atol=0.15)


WINDOWS = [("hann", {}), ("hamming", {}), ("blackman", {}), ("bartlett", {}), ("nuttall", {}), ("kaiser", {"beta": 5.0}), ("cosine", {}),
           ("gaussian", {"std": 2.0}), ("exponential", {"tau": 3.0}), ("general_hamming", {"alpha": 0.6}), ("general_cosine", {"a": [0.4, 0.3, 0.2]})]


@pytest.mark.parametrize("sym", [True, False])
@pytest.mark.parametrize(("name", "options"), WINDOWS)
def test_windows_are_scipys(name, options, sym):
    ref = getattr(scipy.signal.windows, name)
    for n in (0, 1, 2, 9, 10):
        expected = ref(n, *options.values(), sym=sym) if name != "exponential" else ref(n, None, 3.0, sym=sym)
        np.testing.assert_allclose(getattr(al.signal.windows, name)(n, sym=sym, dtype=al.float64, **options).numpy(), expected, atol=1e-12, err_msg=str(n))


def test_bicubic_sampling_of_the_lattice_gives_the_image_back():
    x = al.randn(1, 2, 5, 6)
    grid = nn.functional.affine_grid(al.eye(2, 3).unsqueeze(0), x.shape, align_corners=False)
    for padding in ("zeros", "border", "reflection"):
        y = nn.functional.grid_sample(x, grid, "bicubic", padding, align_corners=False)
        np.testing.assert_allclose(y.numpy(), x.numpy(), atol=1e-5)


@pytest.mark.parametrize(("call", "error", "text"), [
    (lambda: al.addcmul(al.tensor([1]), al.tensor([2]), al.tensor([3]), value=0.5), ValueError, "integers"),
    (lambda: al.tensor([1, 2]) // al.tensor([True, False]), RuntimeError, "ZeroDivisionError"),
    (lambda: al.tensor([1, 2]) % al.tensor([True, False]), RuntimeError, "ZeroDivisionError"),
    (lambda: nn.RNN(0, 5), ValueError, "input_size"),
    (lambda: nn.LSTM(3, 5)(al.ones(2, 3, dtype=al.float64)), ValueError, "does not match weight dtype"),
    (lambda: nn.RNNCell(2, 3)(al.ones(1, 2), al.ones(1, 1, 1, 3)), ValueError, "1D or 2D"),
    (lambda: nn.BatchNorm1d(3, eps=0.0)(al.ones(2, 3)), ValueError, "eps must be positive"),
    (lambda: nn.CrossEntropyLoss(ignore_index=1)(al.ones(2, 3), al.ones(2, 3)), RuntimeError, "floating point target"),
    (lambda: al.optim.SGD([("w", nn.Parameter(al.ones(1))), nn.Parameter(al.ones(1))]), ValueError, "names"),
    (lambda: al.nn.functional.glu(al.ones(2), 3), IndexError, "Dimension out of range"),
    (lambda: al.tensordot(al.ones(2), al.ones(2), (0,)), RuntimeError, "pair"),
    (lambda: al.sinkhorn(al.zeros(2, 2), 2**62), ValueError, "iterations"),
    (lambda: al.tensor(1.0).__format__(3), TypeError, "must be str"),
    (lambda: al.ones(2, 2).norm("nuc", 1), ValueError, "2-tuple"),
])
def test_mistakes_are_named(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_a_norm_without_bias_has_a_weight_only():
    assert ["weight", "running_mean", "running_var", "num_batches_tracked"] == list(nn.BatchNorm1d(3, bias=False).state_dict())


@pytest.mark.parametrize("function", [al.add, al.nn.functional.relu, al.nn.functional.interpolate, al.nn.functional.pixel_shuffle, al.subtract, al.mvlgamma])
def test_public_functions_can_be_pickled(function) -> None:
    assert pickle.loads(pickle.dumps(function)) is function


def test_a_transformer_can_be_pickled_with_its_activation() -> None:
    layer = al.nn.TransformerEncoderLayer(4, 2).eval()
    x = al.randn(3, 2, 4)
    assert bool((pickle.loads(pickle.dumps(layer))(x) == layer(x)).all())
