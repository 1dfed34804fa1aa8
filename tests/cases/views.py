"""Views: the same memory in another shape. Values against NumPy's views; what shares memory is the matter of the core's own tests."""

from __future__ import annotations

import numpy as np

import ascendlite as al
from tests.opcase import ALL, Case, raises, randn

Shape = (2, 3, 4)
OUT_OF_RANGE = "Dimension out of range"


def view(name, ref, fn, error, *, shape=Shape, shapes=(), **options):
    """A row of a view: any dtype, gradients, and its error."""
    return Case(name, ref, [randn(*shape)], fn=fn, dtypes=ALL, shapes=shapes, errors=[error], **options)


CASES = [
    view("reshape", lambda x: x.reshape(4, 6), lambda x: al.reshape(x, (4, -1)),
         raises(lambda: al.reshape(al.ones(6), (4, -1)), RuntimeError, "invalid for input of size 6")),
    view("flatten", lambda x: x.reshape(2, 12), lambda x: al.flatten(x, 1), raises(lambda: al.flatten(al.ones(2, 3), 2), IndexError, OUT_OF_RANGE)),
    view("ravel", lambda x: x.reshape(-1), lambda x: al.ravel(x), raises(lambda: al.ravel("text"), (TypeError, AttributeError), "str"),
         shapes=[[()], [(0, 3)]]),
    view("unflatten", lambda x: x.reshape(2, 3, 2, 2), lambda x: al.unflatten(x, 2, (2, -1)),
         raises(lambda: al.unflatten(al.ones(2, 3), 1, (2, 2)), RuntimeError, "unflatten")),
    view("squeeze", lambda x: x.reshape(3, 1), lambda x: al.squeeze(x, 0), raises(lambda: al.squeeze(al.ones(2), 3), IndexError, OUT_OF_RANGE),
         shape=(1, 3, 1)),
    view("squeeze:all", lambda x: np.squeeze(x), lambda x: al.squeeze(x), raises(lambda: al.squeeze(al.ones(2), -2), IndexError, OUT_OF_RANGE),
         shape=(1, 3, 1), shapes=[[()], [(1, 1)], [(0, 1)]]),
    view("unsqueeze", lambda x: x[:, None], lambda x: al.unsqueeze(x, 1), raises(lambda: al.unsqueeze(al.ones(2), 3), IndexError, OUT_OF_RANGE)),
    view("permute", lambda x: x.transpose(2, 0, 1), lambda x: al.permute(x, (2, 0, -2)),
         raises(lambda: al.permute(al.ones(2, 3), (0, 0)), RuntimeError, "(repeated|duplicate|unique)")),
    view("transpose", lambda x: x.swapaxes(0, 2), lambda x: al.transpose(x, 0, -1),
         raises(lambda: al.transpose(al.ones(2, 3), 0, 2), IndexError, OUT_OF_RANGE), shapes=[[(0, 2, 3)]]),
    view("t", lambda x: x.T, lambda x: al.t(x), raises(lambda: al.t(al.ones(2, 2, 2)), RuntimeError, "t"), shape=(3, 4), shapes=[[(4,)], [()]]),
    view("adjoint", lambda x: x.swapaxes(-1, -2), lambda x: al.adjoint(x), raises(lambda: al.adjoint(al.ones(2)), RuntimeError, "matrices")),
    view("movedim", lambda x: np.moveaxis(x, (0, 1), (2, 0)), lambda x: al.movedim(x, (0, 1), (2, 0)),
         raises(lambda: al.movedim(al.ones(2, 3), (0, 1), (0,)), RuntimeError, "movedim")),
    view("broadcast_to", lambda x: np.broadcast_to(x, (2, 2, 3, 4)), lambda x: al.broadcast_to(x, (2, 2, 3, 4)),
         raises(lambda: al.broadcast_to(al.ones(2), (3,)), RuntimeError, "must match")),
    view("narrow", lambda x: x[:, 1:3], lambda x: al.narrow(x, 1, -2, 2), raises(lambda: al.narrow(al.ones(3), 0, 2, 2), RuntimeError, "narrow")),
    view("select", lambda x: x[:, 2], lambda x: al.select(x, 1, -1), raises(lambda: al.select(al.ones(3), 0, 3), IndexError, "out of bounds")),
    view("split", lambda x: tuple(np.split(x, [2], 1)), lambda x: al.split(x, 2, 1), raises(lambda: al.split(al.ones(4), [1, 2]), RuntimeError, "split")),
    view("split_with_sizes", lambda x: (x[..., :1], x[..., 1:]), lambda x: al.split_with_sizes(x, (1, 3), 2),
         raises(lambda: al.split_with_sizes(al.ones(4), (1, 2)), RuntimeError, "split")),
    view("chunk", lambda x: (x[..., :2], x[..., 2:]), lambda x: al.chunk(x, 2, 2), raises(lambda: al.chunk(al.ones(4), 0), RuntimeError, "chunk")),
    view("tensor_split", lambda x: tuple(np.array_split(x, 3, 2)), lambda x: al.tensor_split(x, 3, 2),
         raises(lambda: al.tensor_split(al.ones(4), 0), RuntimeError, "tensor_split")),
    view("unbind", lambda x: tuple(x[:, k] for k in range(3)), lambda x: al.unbind(x, 1), raises(lambda: al.unbind(al.ones(2), 1), IndexError, OUT_OF_RANGE)),
    view("diagonal", lambda x: np.diagonal(x, 1, 1, 2), lambda x: al.diagonal(x, 1, 1, 2),
         raises(lambda: al.diagonal(al.ones(2, 2), 0, 0, 0), RuntimeError, "identical")),
    view("as_strided", lambda x: np.lib.stride_tricks.sliding_window_view(x.reshape(-1), 4)[2:8:2],
         lambda x: al.as_strided(x.contiguous(), (3, 4), (2, 1), 2),
         raises(lambda: al.as_strided(al.ones(4), (3, 3), (1, 1)), RuntimeError, "as_strided|out of bounds"), layouts=False),
    view("clone", lambda x: x.copy(), lambda x: al.clone(x), raises(lambda: al.clone(2.0), TypeError, "clone|Tensor|float"), shapes=[[()], [(0,)]]),
]
