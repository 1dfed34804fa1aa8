"""Rows of copies of views, tensors with a piece replaced, unpooling, and shapes forced on a tensor."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

import ascendlite as al
from ascendlite.core import FUNCTIONS
from tests.opcase import ALL, SINGLE, Case, const, ints, raises, randn

_F = SimpleNamespace(**FUNCTIONS)
RANGE = "Dimension out of range"


def replaced(place):
    def ref(x, src):
        y = x.copy()
        y[place] = src
        return y

    return ref


def unpooled(x, places, size):
    y = np.zeros((*x.shape[:2], int(np.prod(size))), x.dtype)
    np.put_along_axis(y, places.reshape(*x.shape[:2], -1), x.reshape(*x.shape[:2], -1), 2)
    return y.reshape(*x.shape[:2], *size)


def copy(name, fn, ref, wrong, error=IndexError, match=RANGE):
    """A view as a copy: the values, and no shared memory."""
    return Case(name, ref, [randn(2, 3)], fn=fn, dtypes=SINGLE, errors=[raises(wrong, error, match)])


CASES = [
    copy("narrow_copy", lambda x: al.narrow_copy(x, 1, 1, 2), lambda x: x[:, 1:], lambda: al.narrow_copy(al.ones(2), 1, 0, 1)),
    copy("view_copy", lambda x: al.view_copy(x.contiguous(), (3, 2)), lambda x: x.reshape(3, 2), lambda: al.view_copy(al.ones(2), (3,)),
         RuntimeError, "shape"),
    copy("permute_copy", lambda x: al.permute_copy(x, (1, 0)), np.transpose, lambda: al.permute_copy(al.ones(2), (1,))),
    copy("transpose_copy", lambda x: al.transpose_copy(x, 0, 1), np.transpose, lambda: al.transpose_copy(al.ones(2), 0, 1)),
    copy("t_copy", al.t_copy, np.transpose, lambda: al.t_copy(al.ones(2, 2, 2)), RuntimeError, "<= 2 dimensions"),
    copy("squeeze_copy", lambda x: al.squeeze_copy(x.unsqueeze(0), 0), lambda x: x, lambda: al.squeeze_copy(al.ones(2), 1)),
    copy("unsqueeze_copy", lambda x: al.unsqueeze_copy(x, 1), lambda x: x[:, None], lambda: al.unsqueeze_copy(al.ones(2), 2)),
    copy("unfold_copy", lambda x: al.unfold_copy(x, 1, 2, 1), lambda x: np.lib.stride_tricks.sliding_window_view(x, 2, 1),
         lambda: al.unfold_copy(al.ones(2), 1, 1, 1)),
    copy("expand_copy", lambda x: al.expand_copy(x, (2, 2, 3)), lambda x: np.broadcast_to(x, (2, 2, 3)), lambda: al.expand_copy(al.ones(2), (3,)),
         RuntimeError, "must match the existing size"),
    copy("diagonal_copy", al.diagonal_copy, lambda x: x.diagonal().copy(), lambda: al.diagonal_copy(al.ones(2, 2), 0, 0, 2)),
    copy("alias_copy", al.alias_copy, lambda x: x, lambda: al.alias_copy(3), TypeError, "must be Tensor"),
    copy("as_strided_copy", lambda x: al.as_strided_copy(x.contiguous(), (2, 2), (1, 2)), lambda x: x.reshape(-1)[[[0, 2], [1, 3]]],
         lambda: al.as_strided_copy(al.ones(2), (2,), (1, 1)), RuntimeError, "mismatch in length"),
    copy("split_copy", lambda x: al.split_copy(x, 2, 1), lambda x: (x[:, :2], x[:, 2:]), lambda: al.split_copy(al.ones(2), 1, 1)),
    copy("split_with_sizes_copy", lambda x: al.split_with_sizes_copy(x, [1, 2], 1), lambda x: (x[:, :1], x[:, 1:]),
         lambda: al.split_with_sizes_copy(al.ones(2), [1, 1], 1)),
    copy("unbind_copy", al.unbind_copy, tuple, lambda: al.unbind_copy(al.ones(2), 1)),
    Case("select_scatter", replaced(np.s_[:, 1]), [randn(2, 3), randn(2)], fn=lambda x, s: al.select_scatter(x, s, 1, 1),
         errors=[raises(lambda: al.select_scatter(al.ones(2, 3), al.ones(3), 1, 0), RuntimeError, "equal to the slice of self")]),
    Case("as_strided_scatter", replaced(np.s_[::2, 1]), [randn(4, 3), randn(2)], fn=lambda x, s: al.as_strided_scatter(x.contiguous(), s, (2,), (6,), 1),
         errors=[raises(lambda: al.as_strided_scatter(al.ones(3), al.ones(2), (1,), (1,)), RuntimeError, "equal to the slice of self")]),
    Case("slice_scatter", replaced(np.s_[:, 1:5:2]), [randn(2, 6), randn(2, 2)], fn=lambda x, s: al.slice_scatter(x, s, 1, 1, 5, 2),
         errors=[raises(lambda: al.slice_scatter(al.ones(3), al.ones(2)), RuntimeError, "equal to the slice of self")]),
    Case("vsplit", lambda x: tuple(np.vsplit(x, 2)), [randn(4, 3)], args=(2,), dtypes=ALL, errors=[
        raises(lambda: al.vsplit(al.ones(4), 2), RuntimeError, "at least 2 dimension"),
        raises(lambda: al.vsplit(al.ones(4, 2), 3), RuntimeError, "not divisible by the split_size 3"),
    ]),
    Case("unsafe_split", lambda x: (x[:2], x[2:]), [randn(3, 2)], args=(2,),
         errors=[raises(lambda: al.unsafe_split(al.ones(3), 1, 1), IndexError, RANGE)]),
    Case("unsafe_chunk", lambda x: (x[:2], x[2:]), [randn(3, 2)], args=(2,),
         errors=[raises(lambda: al.unsafe_chunk(al.ones(3), 0), RuntimeError, "greater than 0")]),
    Case("unsafe_split_with_sizes", lambda x: (x[:1], x[1:]), [randn(3, 2)], args=([1, 2],),
         errors=[raises(lambda: al.unsafe_split_with_sizes(al.ones(3), [1, 1]), RuntimeError, "sum exactly to 3")]),
    Case("nonzero_static", lambda: np.array([[1], [-1], [-1]]), [], fn=lambda: al.nonzero_static(al.tensor([0, 5]), size=3), grad=False,
         dtypes=("float32",), layouts=False, meta=False,
         errors=[raises(lambda: al.nonzero_static(al.ones(2), size=-1), RuntimeError, "non-negative integer")]),
    Case("scalar_tensor", lambda: np.array(2.5), [], fn=lambda: al.scalar_tensor(2.5), grad=False, dtypes=("float32",), layouts=False,
         meta=False, errors=[raises(lambda: al.scalar_tensor("a"), TypeError, ".")]),
    Case("unravel_index", lambda i: np.unravel_index(i, (3, 4)), [ints(2, 5, high=12)], fn=lambda i: al.unravel_index(i, (3, 4)),
         grad=False, dtypes=("float32",), errors=[
             raises(lambda: al.unravel_index(al.ones(2), (2,)), TypeError, "to be integer dtype"),
             raises(lambda: al.unravel_index(al.tensor([1]), (-2,)), ValueError, "cannot have negative values"),
         ]),
    *(Case(f"max_unpool{n}d", lambda x, i, n=n: unpooled(x, i, (4,) * n), [randn(1, 2, *(2,) * n), const(places, "int64")], dtypes=SINGLE,
           fn=lambda x, i, n=n: getattr(_F, f"max_unpool{n}d")(x, i, 2), layouts=False, errors=[
               raises(lambda n=n: getattr(_F, f"max_unpool{n}d")(al.ones(1, *(2,) * n), al.ones(1, *(2,) * n).long() * 99, 2),
                      RuntimeError, "Found an invalid index"),
               raises(lambda n=n: getattr(_F, f"max_unpool{n}d")(al.ones(1, *(2,) * n), al.zeros(1, *(2,) * n).long(), 2, output_size=(9,) * n),
                      ValueError, "invalid output_size"),
           ], meta=False)
      for n, places in ((1, [[[1, 2], [0, 3]]]), (2, np.array([0, 3, 9, 14] * 2).reshape(1, 2, 2, 2)),
                        (3, np.array([0, 3, 9, 14, 33, 39, 60, 54] * 2).reshape(1, 2, 2, 2, 2)))),
]
