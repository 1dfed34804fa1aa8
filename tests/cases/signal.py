"""Rows of windows, of sampling at places, and of what torch asks about complex numbers."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import scipy.ndimage
import scipy.signal.windows as windows

import ascendlite as al
from ascendlite.core import FUNCTIONS
from tests.opcase import ALL, REAL, SINGLE, Case, Input, raises, rand, randn

_F = SimpleNamespace(**FUNCTIONS)


def window(name, ref):
    """A window of 9, periodic; the input only gives the dtype."""
    make = getattr(al, name)
    return Case(name, lambda x: ref(9, sym=False) + 0 * x.sum(), [randn(3, grad=False)], fn=lambda x: make(9, dtype=x.dtype, device=x.device), dtypes=SINGLE,
                grad=False, errors=[raises(lambda: make(-1), ValueError, "non-negative"), raises(lambda: make(4, dtype=al.int64), TypeError, "floating point")])


# SciPy's borders for torch's paddings: (zeros and border are the same for both meanings of corners)
_BORDERS = {("zeros", True): "grid-constant", ("zeros", False): "grid-constant", ("border", True): "nearest", ("border", False): "nearest",
            ("reflection", True): "mirror", ("reflection", False): "reflect"}


def sampled(order, padding, align):
    def ref(x, grid):
        sizes = x.shape[2:]
        places = [(g + 1) / 2 * (n - 1) if align else ((g + 1) * n - 1) / 2 for g, n in zip(np.moveaxis(grid, -1, 0)[::-1], sizes, strict=True)]
        return np.stack([[scipy.ndimage.map_coordinates(c, [p[k] for p in places], order=order, mode=_BORDERS[padding, align]) for c in image]
                         for k, image in enumerate(x)])

    return ref


def _away(rng, shape, kind):
    """Places that keep away from the lattice and the borders, where values have no derivative."""
    return (rng.integers(-6, 6, shape) + 0.5 + rng.uniform(-0.2, 0.2, shape)) / 4.0


def sample(mode, padding, align, shape=(2, 2, 4, 4)):
    grid = Input((shape[0], *(3,) * (len(shape) - 2), len(shape) - 2), _away)
    return Case(f"grid_sample:{mode},{padding},{'corners' if align else 'edges'},{len(shape) - 2}d", sampled(int(mode != "nearest"), padding, align), [randn(*shape), grid],
                fn=lambda x, g: _F.grid_sample(x, g, mode, padding, align), dtypes=SINGLE, grad=mode != "nearest", layouts=False,
                errors=[raises(lambda: _F.grid_sample(al.ones(1, 1, 2, 2), al.ones(1, 2, 2, 3)), RuntimeError, "last size of grid"),
                        raises(lambda: _F.grid_sample(al.ones(1, 1, 2, 2), al.ones(1, 2, 2, 2), "area"), ValueError, "bicubic")])


def affine(theta):
    y, x = np.meshgrid(np.linspace(-1, 1, 3), np.linspace(-1, 1, 4), indexing="ij")
    return np.einsum("hwk,nck->nhwc", np.stack([x, y, np.ones_like(x)], -1), theta)


def same(name, fn=None):
    call = fn or getattr(al, name)
    return Case(name, lambda x: x, [randn(3, 4)], fn=fn, dtypes=ALL, errors=[raises(lambda: call([1.0]), TypeError, "must be Tensor")])


CASES = [
    window("hann_window", windows.hann), window("hamming_window", windows.hamming), window("bartlett_window", windows.bartlett),
    window("blackman_window", windows.blackman), window("kaiser_window", lambda n, sym: windows.kaiser(n, 12.0, sym=sym)),
    *(sample(mode, padding, align) for mode in ("bilinear", "nearest") for padding in ("zeros", "border", "reflection") for align in (True, False)),
    sample("bilinear", "zeros", False, (1, 2, 3, 4, 4)),
    Case("affine_grid", affine, [randn(2, 2, 3)], fn=lambda t: _F.affine_grid(t, (2, 1, 3, 4), align_corners=True), dtypes=SINGLE,
         errors=[raises(lambda: _F.affine_grid(al.ones(1, 2, 2), (1, 1, 2, 2)), RuntimeError, "only supports 4D and 5D")]),
    same("conj"), same("resolve_conj"), same("resolve_neg"), same("real", lambda x: al.real(x)), same("conj_physical"),
    Case("angle", lambda x: np.where(x < 0, np.pi, 0.0), [randn(3, 4)], dtypes=REAL, out=True,
         errors=[raises(lambda: al.angle([1.0]), TypeError, "must be Tensor")]),
    Case("is_same_size", None, [rand(2, 3)], fn=lambda x: al.tensor([al.is_same_size(x, x), al.is_same_size(x, x.mT)]), law=lambda y, x: np.testing.assert_array_equal(y, [True, False]),
         grad=False, meta=False, layouts=False, errors=[raises(lambda: al.is_same_size(1, 2), TypeError, "must be Tensor")]),
    Case("is_nonzero", None, [randn(1)], fn=lambda x: al.tensor([al.is_nonzero(x), al.is_nonzero(x * 0)]), law=lambda y, x: np.testing.assert_array_equal(y, [True, False]),
         grad=False, meta=False, layouts=False, errors=[raises(lambda: al.is_nonzero(al.ones(2)), ValueError, "ambiguous")]),
]
