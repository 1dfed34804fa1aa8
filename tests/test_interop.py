"""NumPy, DLPack, einops, pickle, deepcopy and torch's files."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

import ascendlite as al
from ascendlite.errors import FileFormatError, GradError
from ascendlite.interop.numpy import dtype_of_numpy, numpy_dtype
from tests.goldenfile import FOLDER, records

EXCHANGED = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]


# ---- NumPy


@pytest.mark.parametrize("name", EXCHANGED)
def test_an_array_and_its_tensor_share_memory_both_ways(name):
    array = np.zeros(3, dtype=name)
    t = al.from_numpy(array)
    array[1] = 1
    assert t.dtype is getattr(al, name)
    assert t.tolist() == array.tolist()
    t[2] = 1
    assert array.tolist() == [0, 1, 1]
    assert np.shares_memory(t.numpy(), array)


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_ml_dtypes_arrays_become_tensors_and_back(name):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    array = np.array([1.0, -2.0, 0.5], dtype=getattr(ml_dtypes, name))
    t = al.from_numpy(array)
    assert t.dtype is getattr(al, name)
    assert t.to(al.float32).tolist() == [1.0, -2.0, 0.5]
    assert t.numpy().dtype == array.dtype
    assert dtype_of_numpy(numpy_dtype(t.dtype)) is t.dtype


def test_operators_work_with_the_array_on_either_side_and_keep_gradients():
    array, t = np.arange(3.0), al.ones(3, dtype=al.float64, requires_grad=True)
    for result in (array + t, t + array):
        assert result.tolist() == [1.0, 2.0, 3.0]
        assert result.requires_grad
    assert (np.float64(2) * al.ones(2)).dtype is al.float32
    assert np.sin(al.zeros(2)).tolist() == [0.0, 0.0]


def test_a_ufunc_without_a_counterpart_never_drops_a_gradient():
    assert isinstance(np.cbrt(al.ones(2)), al.Tensor)
    with pytest.raises(GradError):
        np.cbrt(al.ones(2, requires_grad=True))


# ---- DLPack


def test_dlpack_shares_memory_with_numpy_both_ways():
    array = np.arange(6.0).reshape(2, 3)
    t = al.from_dlpack(array.T)
    t[0, 1] = 50.0
    assert array[1, 0] == 50.0
    assert t.stride() == (1, 3)
    assert np.from_dlpack(al.arange(3)).tolist() == [0, 1, 2]


def test_a_read_only_array_gives_a_tensor_that_is_not_written():
    array = np.arange(3.0)
    array.flags.writeable = False
    t = al.from_dlpack(array)
    with pytest.raises(RuntimeError, match="read-only"):
        t.add_(1)


def test_dlpack_refuses_what_the_consumer_could_not_see():
    with pytest.raises(BufferError, match="require gradient"):
        al.ones(2, requires_grad=True).__dlpack__()
    with pytest.raises(BufferError, match="meta"):
        al.ones(2, device="meta").__dlpack_device__()
    with pytest.raises(BufferError, match="can't be exported to"):
        al.ones(2).__dlpack__(dl_device=(2, 0))


def test_a_capsule_is_taken_once():
    capsule = al.ones(2).__dlpack__()
    al.from_dlpack(capsule)
    with pytest.raises(ValueError, match="taken"):
        al.from_dlpack(capsule)


def test_a_copy_is_a_copy():
    t = al.ones(2)
    assert al.from_dlpack(t, copy=True).data_ptr() != t.data_ptr()
    assert al.from_dlpack(t).data_ptr() == t.data_ptr()


def test_a_bfloat16_tensor_keeps_its_dtype_through_a_capsule():
    t = al.from_dlpack(al.ones(3, dtype=al.bfloat16))
    assert t.dtype is al.bfloat16


# ---- einops


def test_einops_takes_our_tensors():
    einops = pytest.importorskip("einops")
    x = al.arange(24.0).reshape(2, 3, 4)
    expected = np.arange(24.0).reshape(2, 3, 4)
    assert einops.rearrange(x, "a b c -> c (a b)").tolist() == expected.transpose(2, 0, 1).reshape(4, 6).tolist()
    assert einops.reduce(x, "a b c -> a", "sum").tolist() == expected.sum((1, 2)).tolist()
    assert einops.reduce(x, "a b c -> b", "max").tolist() == expected.max((0, 2)).tolist()
    assert einops.repeat(x, "a b c -> a b c d", d=2).shape == (2, 3, 4, 2)


def test_einops_imported_after_us_is_served_too():
    pytest.importorskip("einops")
    code = "import ascendlite as al, einops; print(einops.rearrange(al.zeros(2, 3), 'a b -> b a').shape)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(3, 2)"


# ---- pickle and copy


def test_pickle_keeps_aliases():
    x = al.arange(12.0)
    whole, part, turned = pickle.loads(pickle.dumps((x, x[3:7], x.view(3, 4).transpose(0, 1))))
    whole[3] = 99.0
    assert part[0].item() == 99.0
    assert turned[3, 0].item() == 99.0
    assert x[3].item() == 3.0


def test_pickle_keeps_dtype_flag_and_attributes():
    x = al.ones(2, dtype=al.bfloat16, requires_grad=True)
    x.note = "kept"
    y = pickle.loads(pickle.dumps(x))
    assert (y.dtype, y.requires_grad, y.note) == (al.bfloat16, True, "kept")


def test_deepcopy_keeps_aliases_and_gradients_of_leaves():
    x = al.arange(4.0)
    y, part = copy.deepcopy([x, x[1:]])
    y[1] = 7.0
    assert part[0].item() == 7.0
    assert x[1].item() == 1.0
    w = al.ones(2, requires_grad=True)
    (w * 3).sum().backward()
    assert copy.deepcopy(w).grad.tolist() == [3.0, 3.0]


def test_a_computed_tensor_can_be_neither_pickled_nor_deep_copied():
    computed = al.ones(2, requires_grad=True) * 2
    with pytest.raises(RuntimeError, match="detach"):
        copy.deepcopy(computed)
    with pytest.raises(RuntimeError, match="detach"):
        pickle.dumps(computed)


def test_copy_shares_memory():
    x = al.zeros(2)
    copy.copy(x)[0] = 5.0
    assert x[0].item() == 5.0


# ---- files of torch


@pytest.mark.parametrize("name", ["zip", "stream", "protocol5"])
def test_a_state_dict_of_torch_is_read(name):
    state, expected = al.load_torch(FOLDER / f"torch_{name}.pt"), records("torch_state.json")
    assert state["weight"].tolist() == expected["weight"]
    assert state["bias"].tolist() == expected["bias"]
    assert state["turned"].tolist() == [[0.0, 4.0, 8.0], [1.0, 5.0, 9.0], [2.0, 6.0, 10.0], [3.0, 7.0, 11.0]]
    state["turned"][2, 0] = 77.0
    assert state["shared"][0].item() == 77.0
    assert state["half"].dtype is al.bfloat16
    assert state["nested"]["numbers"] == [1, 2.5, None, (True,)]
    assert state["nested"]["weight"].requires_grad
    assert (state["empty"].shape, state["dtype"], state["size"]) == ((0, 3), al.float32, (1, 2))


def test_a_pickled_module_is_refused_by_the_name_of_its_class():
    with pytest.raises(FileFormatError, match=r"torch_module\.pt.*torch\.nn\.modules\.linear\.Linear"):
        al.load_torch(FOLDER / "torch_module.pt")
