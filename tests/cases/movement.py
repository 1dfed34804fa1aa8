"""Rows of joining, repeating, turning, padding, triangles and grids."""

from __future__ import annotations

import numpy as np

import ascendlite as al
from ascendlite.ops.movement import pad
from tests.opcase import ALL, Case, raises, randn

TWO = [randn(3, 4), randn(3, 4)]


def joined(name, ref, **options):
    """A row of a function that joins a list of tensors."""
    options = {"inputs": TWO, "dtypes": ALL, "large": [(300, 257), (300, 257)], **options}
    return Case(name, lambda *x: ref(x), options.pop("inputs"), fn=lambda *x: getattr(al, name)(x), **options)


def padded(form, widths, mode, ref_mode, shape=(2, 3, 4), **options):
    """A row of pad against numpy.pad."""
    pairs = [(0, 0)] * (len(shape) - len(widths) // 2)
    pairs += [tuple(widths[i:i + 2]) for i in range(len(widths) - 2, -1, -2)]
    return Case(f"pad:{form}", lambda x: np.pad(x, pairs, mode=ref_mode), [randn(*shape)],
                fn=lambda x: pad(x, widths, mode), dtypes=ALL, **options)


CASES = [
    joined("cat", np.concatenate, shapes=[[(0, 4), (3, 4)], [(2, 4), (5, 4)]], errors=[
        raises(lambda: al.cat([al.ones(2, 3), al.ones(2, 4)]), RuntimeError, "cat: Sizes of tensors must match"),
        raises(lambda: al.cat([al.ones(2), al.tensor(1.0)]), RuntimeError, "zero-dimensional tensor"),
        raises(lambda: al.cat([]), RuntimeError, "non-empty list"),
        raises(lambda: al.cat([al.ones(2)], 1), IndexError, "Dimension out of range"),
        raises(lambda: al.cat(al.ones(2)), TypeError, "list of tensors"),
    ]),
    Case("cat:last dim", lambda a, b, c: np.concatenate([a, b, c], -1), [randn(3, 4), randn(3, 1), randn(3, 2)],
         fn=lambda *x: al.cat(x, -1), dtypes=ALL),
    joined("concat", np.concatenate, errors=[raises(lambda: al.concat([]), RuntimeError, "non-empty list")]),
    joined("concatenate", np.concatenate, errors=[raises(lambda: al.concatenate([]), RuntimeError, "non-empty list")]),
    joined("stack", np.stack, shapes=[[(), ()], [(0, 2), (0, 2)]], errors=[
        raises(lambda: al.stack([al.ones(2), al.ones(3)]), RuntimeError, "expects each tensor to be equal size"),
        raises(lambda: al.stack([]), RuntimeError, "non-empty"),
    ]),
    *(joined(name, ref, shapes=[[(), ()], [(5,), (5,)], [(2, 3, 4), (2, 3, 4)]],
             errors=[raises(lambda name=name: getattr(al, name)([]), RuntimeError, "non-empty list")])
      for name, ref in {"hstack": np.hstack, "vstack": np.vstack, "row_stack": np.vstack, "dstack": np.dstack,
                        "column_stack": np.column_stack}.items()),
    *(Case(name, ref, [randn(4)], dtypes=ALL, shapes=[[()], [(2, 3)], [(2, 3, 4)], [(0,)]],
           errors=[raises(lambda name=name: getattr(al, name)(1, 2), TypeError, "must be Tensor, not int")])
      for name, ref in {"atleast_1d": np.atleast_1d, "atleast_2d": np.atleast_2d, "atleast_3d": np.atleast_3d}.items()),

    Case("repeat", lambda x: np.tile(x, (2, 1, 3)), [randn(3, 4)], args=(2, 1, 3), dtypes=ALL, shapes=[[()], [(0, 2)]], errors=[
        raises(lambda: al.ones(2, 3).repeat(2), RuntimeError, "can not be smaller than number of dimensions"),
        raises(lambda: al.ones(2).repeat(-1), RuntimeError, "negative dimension"),
    ]),
    Case("repeat:once", lambda x: x.copy(), [randn(3, 4)], fn=lambda x: x.repeat(1, 1)),
    Case("tile", lambda x: np.tile(x, 3), [randn(3, 4)], args=(3,), dtypes=ALL, shapes=[[()], [(2, 0)]],
         errors=[raises(lambda: al.ones(2).tile(-1), RuntimeError, "negative dimension")]),
    Case("repeat_interleave", lambda x: np.repeat(x, 3, 1), [randn(3, 4)], args=(3, 1), dtypes=ALL, shapes=[[(0, 2)]], errors=[
        raises(lambda: al.repeat_interleave(al.ones(2), -1), RuntimeError, "non-negative, got -1"),
        raises(lambda: al.repeat_interleave(al.ones(3), al.tensor([1, 2])), RuntimeError, "same size as input along dim"),
        raises(lambda: al.repeat_interleave(al.ones(2), al.tensor([1, -2])), RuntimeError, "can not be negative"),
    ]),
    Case("repeat_interleave:counts", lambda x: np.repeat(x, [2, 0, 1], 0), [randn(3, 4)],
         fn=lambda x: al.repeat_interleave(x, al.tensor([2, 0, 1]), 0), meta=False),

    Case("flip", lambda x: x[::-1, :, ::-1], [randn(2, 3, 4)], args=((0, 2),), dtypes=ALL, shapes=[[(2, 0, 4)]],
         large=[(30, 70, 41)], errors=[
             raises(lambda: al.ones(2).flip(0, 0), RuntimeError, "appears multiple times"),
             raises(lambda: al.ones(2).flip(1), IndexError, "Dimension out of range"),
         ]),
    Case("fliplr", np.fliplr, [randn(3, 4)], dtypes=ALL, errors=[raises(lambda: al.fliplr(al.ones(2)), RuntimeError, ">= 2-d")]),
    Case("flipud", np.flipud, [randn(3, 4)], dtypes=ALL, shapes=[[(3,)]],
         errors=[raises(lambda: al.flipud(al.ones(())), RuntimeError, ">= 1-d")]),
    Case("roll", lambda x: np.roll(x, (1, -5), (0, 1)), [randn(3, 4)], args=((1, -5), (0, 1)), dtypes=ALL, shapes=[[(0, 4)]],
         large=[(300, 257)], errors=[
             raises(lambda: al.roll(al.ones(2), (1, 2), 0), RuntimeError, "must align. shifts: 2, dims: 1"),
             raises(lambda: al.roll(al.ones(2), 1, 3), IndexError, "Dimension out of range"),
         ]),
    Case("roll:flat", lambda x: np.roll(x, 5), [randn(3, 4)], fn=lambda x: al.roll(x, 5)),
    Case("rot90", lambda x: np.rot90(x, 3, (1, 2)), [randn(2, 3, 4)], args=(3, (1, 2)), dtypes=ALL, errors=[
        raises(lambda: al.rot90(al.ones(2)), RuntimeError, ">= 2-d"),
        raises(lambda: al.rot90(al.ones(2, 2), 1, (0, 0)), RuntimeError, "to be different"),
    ]),
    *(Case(f"rot90:{k}", lambda x, k=k: np.rot90(x, k), [randn(3, 4)], fn=lambda x, k=k: al.rot90(x, k)) for k in (0, 1, 2, -1)),
    Case("swapaxes", lambda x: x.swapaxes(0, 2), [randn(2, 3, 4)], args=(0, 2),
         errors=[raises(lambda: al.ones(2).swapaxes(0, 1), IndexError, "Dimension out of range")]),
    Case("swapdims", lambda x: x.swapaxes(0, 2), [randn(2, 3, 4)], args=(0, 2),
         errors=[raises(lambda: al.ones(2).swapdims(0, 1), IndexError, "Dimension out of range")]),
    Case("moveaxis", lambda x: np.moveaxis(x, 0, -1), [randn(2, 3, 4)], args=(0, -1),
         errors=[raises(lambda: al.ones(2).moveaxis(0, 1), IndexError, "Dimension out of range")]),
    Case("broadcast_tensors", lambda a, b: tuple(np.broadcast_arrays(a, b)), [randn(3, 1), randn(4)],
         errors=[raises(lambda: al.broadcast_tensors(al.ones(2), al.ones(3)), RuntimeError, "2")]),

    padded("constant", (1, 2, 0, 3), "constant", "constant", shapes=[[(1, 2, 3)], [(2, 0, 0)]], errors=[
        raises(lambda: pad(al.ones(2), (1,)), RuntimeError, "divisible by 2"),
        raises(lambda: pad(al.ones(2), (1, 1, 1, 1)), RuntimeError, "two times the input dimension"),
        raises(lambda: pad(al.ones(2), (-2, -1)), RuntimeError, "negative output size"),
        raises(lambda: pad(al.ones(1, 3), (3, 0), "reflect"), RuntimeError, "less than the corresponding input dimension"),
        raises(lambda: pad(al.ones(3), (1, 1), "reflect"), NotImplementedError, "Only 2D, 3D, 4D, 5D padding"),
        raises(lambda: pad(al.ones(1, 3), (1, 1), "mirror"), NotImplementedError, "Unrecognised padding mode mirror"),
    ]),
    Case("pad:value", lambda x: np.pad(x, ((0, 0), (1, 2)), constant_values=3), [randn(3, 4)],
         fn=lambda x: pad(x, (1, 2), value=3), dtypes=ALL[:-1]),
    Case("pad:crop", lambda x: np.pad(x[:, 1:], ((0, 0), (0, 2))), [randn(3, 4)], fn=lambda x: pad(x, (-1, 2)), dtypes=ALL),
    *(padded(mode, (2, 1, 1, 2), mode, ref, shapes=[[(4, 5, 3)]]) for mode, ref in
      {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}.items()),

    *(Case(name, getattr(np, name), [randn(3, 4)], dtypes=ALL, inplace=True, shapes=[[(2, 4, 3)], [(0, 4)]], large=[(300, 257)],
           errors=[raises(lambda name=name: getattr(al, name)(al.ones(3)), RuntimeError, "at least 2 dimensions")])
      for name in ("tril", "triu")),
    *(Case(f"{name}:{k}", lambda x, f=getattr(np, name), k=k: f(x, k), [randn(3, 4)], dtypes=ALL,
           fn=lambda x, name=name, k=k: getattr(al, name)(x, k)) for name in ("tril", "triu") for k in (-5, -1, 2, 5)),
    Case("diag", np.diag, [randn(4)], dtypes=ALL, shapes=[[(3, 4)], [(0,)]],
         errors=[raises(lambda: al.diag(al.ones(2, 2, 2)), RuntimeError, "1D or 2D tensors. Got 3D")]),
    Case("diag:offset", lambda x: np.diag(x, -2), [randn(4)], fn=lambda x: al.diag(x, -2), shapes=[[(4, 5)]]),
    Case("diagflat", lambda x: np.diagflat(x, 1), [randn(2, 3)], args=(1,), dtypes=ALL,
         errors=[raises(lambda: al.diagflat(3), TypeError, "must be Tensor, not int")]),
    Case("diag_embed", lambda x: np.stack([np.diag(r, 1) for r in x], 1), [randn(3, 4)], args=(1, 0, 2), dtypes=ALL, errors=[
        raises(lambda: al.diag_embed(al.ones(2), 0, 0, 0), RuntimeError, "cannot be identical 0, 0"),
        raises(lambda: al.diag_embed(al.ones(())), RuntimeError, "at least one dim"),
    ]),
    Case("meshgrid", lambda a, b: tuple(np.meshgrid(a, b, indexing="ij")), [randn(3), randn(4)], dtypes=ALL,
         shapes=[[(), (2,)], [(0,), (2,)]], errors=[
             raises(lambda: al.meshgrid(al.ones(2), indexing="ab"), RuntimeError, "'xy' or 'ij', but received: ab"),
             raises(lambda: al.meshgrid(al.ones(2, 2)), RuntimeError, "0D or 1D tensor"),
         ]),
    Case("meshgrid:xy", lambda a, b: tuple(np.meshgrid(a, b, indexing="xy")), [randn(3), randn(4)],
         fn=lambda a, b: al.meshgrid(a, b, indexing="xy")),
    Case("cartesian_prod", lambda a, b: np.stack([g.ravel() for g in np.meshgrid(a, b, indexing="ij")], -1),
         [randn(3), randn(2)], errors=[raises(lambda: al.cartesian_prod(al.ones(2, 2), al.ones(2)), RuntimeError, "1D tensor")]),
]
