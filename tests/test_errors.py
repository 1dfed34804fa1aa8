"""Mistakes raise the exception that a PyTorch user would catch, and nothing crashes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import ascendlite as al

CASES: dict[str, tuple[type[BaseException], str, Callable[[], object]]] = {
    "overflowing shape": (RuntimeError, "overflowed", lambda: al.zeros(2**62, 4)),
    "overflowing product": (RuntimeError, "overflowed", lambda: al.zeros(2**32, 2**32)),
    "shape beyond 64 bits": (RuntimeError, "overflowed|64 bits", lambda: al.zeros(2**70)),
    "gigantic allocation": (MemoryError, "allocate", lambda: al.zeros(2**42)),
    "negative size": (RuntimeError, "negative dimension", lambda: al.zeros(-1)),
    "size of a wrong type": (TypeError, "int", lambda: al.zeros(1.5)),
    "narrow integers as indices": (IndexError, "long, int, byte or bool", lambda: al.ones(3)[al.tensor([1], dtype=al.int8)]),
    "out is an input of cat": (RuntimeError, "single memory location", lambda: (lambda x: al.cat([x, x], out=x))(al.ones(3))),
    "out over what masked_select reads": (RuntimeError, "single memory location", lambda: (lambda x: al.masked_select(x, x > 0, out=x))(al.ones(3))),
    "padding beyond the rows": (AssertionError, "padding_idx", lambda: al.nn.functional.embedding(al.tensor([0]), al.ones(3, 2), padding_idx=5)),
    "attention of mixed ranks": (AssertionError, "3-D", lambda: al.nn.MultiheadAttention(4, 2)(al.ones(2, 2, 4), al.ones(2, 4), al.ones(2, 2, 4))),
    "an rnn without steps": (RuntimeError, "larger than 0", lambda: al.nn.LSTM(5, 6)(al.ones(0, 2, 5))),
    "a triplet of mixed ranks": (RuntimeError, "number of dimensions|same number", lambda: al.nn.functional.triplet_margin_loss(al.ones(5, 2), al.ones(5, 2), al.ones(2))),
    "a flag for a dtype": (TypeError, "no dtype", lambda: al.nn.Linear(2, 2).to("cpu", True)),
    "a float without a mask": (RuntimeError, "with a bool tensor is not supported", lambda: al.ones(2) - al.tensor([True, False])),
    "a number without a mask": (RuntimeError, "with a bool tensor is not supported", lambda: al.ones(2) - True),
    "index beyond": (IndexError, "out of bounds for dimension 0 with size 3", lambda: al.ones(3)[10]),
    "index below": (IndexError, "out of bounds", lambda: al.ones(3)[-4]),
    "index of 0-d": (IndexError, "0-dim", lambda: al.tensor(1.0)[0]),
    "huge index": (IndexError, "64 bits", lambda: al.ones(3)[2**80]),
    "too many indices": (IndexError, "too many indices", lambda: al.ones(3)[0, 0]),
    "two ellipses": (IndexError, "single ellipsis", lambda: al.ones(3, 3)[..., ..., 0]),
    "zero step": (ValueError, "step", lambda: al.ones(3)[::0]),
    "negative step": (ValueError, "greater than zero", lambda: al.ones(3)[::-1]),
    "float index": (IndexError, "valid indices", lambda: al.ones(3)[1.0]),
    "float index tensor": (IndexError, "long, int, byte or bool", lambda: al.ones(3)[al.ones(1)]),
    "mask of a wrong shape": (IndexError, "shape of the mask", lambda: al.ones(3)[al.ones(4, dtype=al.bool)]),
    "index tensor beyond": (IndexError, "out of bounds", lambda: al.ones(3)[al.tensor([0, 99])]),
    "as_strided outside": (RuntimeError, "out of bounds", lambda: al.ones(3).as_strided((2,), (10**12,))),
    "as_strided huge offset": (RuntimeError, "out of bounds", lambda: al.ones(3).as_strided((1,), (1,), 2**60)),
    "incompatible shapes": (RuntimeError, "must match the size", lambda: al.ones(2, 3) + al.ones(2, 4)),
    "view of a transposed": (RuntimeError, "reshape", lambda: al.ones(2, 3).T.view(6)),
    "wrong view": (RuntimeError, "invalid for input of size", lambda: al.ones(6).view(4)),
    "two unknown sizes": (RuntimeError, "one dimension can be inferred", lambda: al.ones(6).view(-1, -1)),
    "dim out of range": (IndexError, "Dimension out of range", lambda: al.ones(2).transpose(0, 3)),
    "duplicate dims": (RuntimeError, "duplicate|multiple", lambda: al.ones(2, 2).permute(0, 0)),
    "truth of many": (RuntimeError, "ambiguous", lambda: bool(al.ones(2))),
    "item of many": (RuntimeError, "cannot be converted to Scalar", lambda: al.ones(2).item()),
    "length of 0-d": (TypeError, "0-d", lambda: len(al.tensor(1))),
    "a list that holds itself": (ValueError, "too many dimensions", lambda: al.tensor(endless())),
    "ragged lists": (ValueError, "expected sequence of length", lambda: al.tensor([[1, 2], [3]])),
    "no number": (TypeError, "invalid data type", lambda: al.tensor(["a"])),
    "an integer beyond int64": (RuntimeError, "overflow", lambda: al.tensor([2**80])),
    "unknown device": (RuntimeError, "no device type", lambda: al.ones(1, device="cuda")),
    "second cpu": (RuntimeError, "does not exist", lambda: al.ones(1, device="cpu:1")),
    "values of meta": (RuntimeError, "no values", lambda: al.ones(1, device="meta").item()),
    "mixed devices": (RuntimeError, "same device", lambda: al.ones(1, device="meta") + al.ones(1)),
    "gradient of an integer": (RuntimeError, "floating point", lambda: al.ones(1, dtype=al.int32, requires_grad=True)),
    "numpy of a graph": (RuntimeError, "detach", lambda: al.ones(1, requires_grad=True).numpy()),
    "arange with step 0": (RuntimeError, "nonzero", lambda: al.arange(0, 1, 0)),
    "arange the wrong way": (RuntimeError, "inconsistent", lambda: al.arange(1, 0)),
    "expand of a real dim": (RuntimeError, "expanded size", lambda: al.ones(3).expand(4)),
    "narrow beyond": (RuntimeError, "exceeds", lambda: al.ones(3).narrow(0, 1, 5)),
    "17 dims": (RuntimeError, "dimensions", lambda: al.ones([1] * 17)),
    "maximum of a number": (TypeError, r"'other' \(position 2\) must be Tensor, not int", lambda: al.maximum(al.ones(1), 2)),
    "comparison of a number": (TypeError, "'input'.* must be Tensor", lambda: al.ge(2, al.ones(1))),
    "rest of a number": (TypeError, "must be Tensor", lambda: al.fmod(2, al.ones(1))),
    "logic of a number": (TypeError, "must be Tensor", lambda: al.ones(1).logical_and_(True)),
    "float_power_ in float32": (RuntimeError, "requires dtype float64", lambda: al.ones(1).float_power_(2)),
    "window in bfloat16": (ValueError, "float32 or float64", lambda: al.signal.windows.hann(3, dtype=al.bfloat16)),
    "add of a string": (TypeError, "unsupported|must be", lambda: al.ones(1) + "a"),
    "a method of something else": (TypeError, "descriptor", lambda: al.Tensor.detach(3)),
    "an attribute of something else": (TypeError, "descriptor", lambda: al.Tensor.shape.__get__(3)),
    "unknown attribute": (AttributeError, "no attribute", lambda: al.ones(1).nonsense),
    "in-place op without an argument": (TypeError, "takes 1 arguments after the tensor but 0", lambda: al.ones(1).mul_()),
    "sizes whose product overflows": (RuntimeError, "overflow", lambda: al.empty(0).reshape(2**32, 2**32)),
    "sizes whose product wraps": (RuntimeError, "overflow", lambda: al.ones(4).reshape(2**62 + 1, 4)),
    "expand beyond 64 bits": (RuntimeError, "overflow", lambda: al.ones(1, 1).expand(2**32, 2**32)),
    "unfold of 16 dims": (RuntimeError, "17 dimensions", lambda: al.ones([1] * 16).unfold(0, 1, 1)),
    "format of a vector": (TypeError, "format string", lambda: f"{al.ones(2):.2f}"),
    "a string in a tensor": (RuntimeError, "Tensor or scalar", lambda: "a" in al.ones(2)),
    "deleting an item": (TypeError, "deleting", lambda: al.ones(2).__delitem__(0)),
    "unbind of 0-d": (IndexError, "no dimensions", lambda: al.tensor(1).unbind()),
    "unflatten of 0-d": (RuntimeError, "0-d", lambda: al.tensor(1).unflatten(0, [1, 1])),
    "a number for a tensor": (TypeError, r"softmax\(\): argument 'input' \(position 1\) must be Tensor, not int", lambda: al.softmax(3, 0)),
    "a list for a tensor": (TypeError, "'target' .position 2. must be Tensor, not list", lambda: al.nn.functional.cross_entropy(al.ones(2, 2), [0, 1])),
    "a diagonal of a matrix between two": (TypeError, "integer", lambda: al.diag(al.ones(2), 0.5)),
    "a flat diagonal between two": (TypeError, "integer", lambda: al.diagflat(al.ones(2), 0.5)),
    "half a group": (TypeError, "integer", lambda: al.nn.functional.group_norm(al.ones(2, 4), 0.5)),
    "endless empty pieces": (RuntimeError, "sections", lambda: al.ones(3).tensor_split(2**62)),
    "a number among index tensors": (TypeError, "tuple of Tensors", lambda: al.ones(3).index_put_((1,), al.ones(1))),
    "a diagonal between two": (TypeError, "integer", lambda: al.diag_embed(al.ones(2), 0.5)),
    "a float for a kernel that counts ints": (
        TypeError, "softmax: the kernel reads 1 attributes that are ints: got 0; convert", lambda: al.ops.softmax._softmax(al.ones(2, 2), 1.0)
    ),
    "an integer beyond uint8": (RuntimeError, "without overflow", lambda: al.tensor([1, 300], dtype=al.uint8)),
    "not a number as an integer": (RuntimeError, "without overflow", lambda: al.tensor(float("nan"), dtype=al.int64)),
    "filling beyond int8": (RuntimeError, "without overflow", lambda: al.ones(2, dtype=al.int8).fill_(128)),
    "a number to take the shape of": (TypeError, r"view_as\(\): argument 'other' .position 2. must be Tensor, not int", lambda: al.ones(2).view_as(2)),
    "a type for a dtype": (TypeError, "'dtype' .position 4. must be dtype, not type", lambda: al.mean(al.ones(2), dtype=int)),
    "None in a list of tensors": (TypeError, "must be Tensor, not NoneType", lambda: al.stack([al.ones(1), None])),
    "turns that are a tensor": (TypeError, "index", lambda: al.rot90(al.ones(2, 2), al.ones(1))),
    "sum of float8": (RuntimeError, "sum: not implemented for dtype float8", lambda: al.ones(2).to(al.float8_e4m3fn).sum()),
    "maximum of float8": (RuntimeError, "not implemented for dtype float8", lambda: al.ones(2).to(al.float8_e5m2).max(0)),
    "integers in float8": (RuntimeError, "not implemented for dtype", lambda: al.ones(2).to(al.float8_e5m2).random_()),
    "read-only memory": (RuntimeError, "read-only", lambda: readonly().add_(1)),
}


def endless() -> list[object]:
    data: list[object] = []
    data.append(data)
    return data


def readonly() -> al.Tensor:
    import numpy as np

    a = np.ones(3)
    a.flags.writeable = False
    return al.from_numpy(a)


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_raises_a_clear_error(name: str) -> None:
    kind, text, call = CASES[name]
    with pytest.raises(kind, match=text):
        call()
