"""Losses, against their formulas in NumPy and SciPy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy import special

import ascendlite as al
from ascendlite.core import FUNCTIONS
from tests.opcase import SINGLE, Case, away, ints, positive, raises, rand, randn

_F = SimpleNamespace(**FUNCTIONS)
_HALF = {"tol": 2.0}  # the loss is rounded element by element, then the mean


def _reductions(name: str, ref: Any, inputs: Any, **options: Any) -> list[Case]:
    """A loss of elements: mean, sum, none."""
    fn = getattr(_F, name)
    bad = raises(lambda: fn(al.zeros(2), al.zeros(2), reduction="all"), ValueError, "is not a valid value for reduction")
    return [
        Case(name, lambda *a: ref(*a).mean(), inputs, fn=fn, errors=[bad], **{**_HALF, **options}),
        Case(f"{name}:sum", lambda *a: ref(*a).sum(), inputs, fn=lambda *a: fn(*a, reduction="sum"), **{**options, "dtypes": SINGLE}),
        Case(f"{name}:none", ref, inputs, fn=lambda *a: fn(*a, reduction="none"), **options),
    ]


def _picked(x: Any, t: Any) -> Any:
    return -np.take_along_axis(special.log_softmax(x, 1), t[:, None], 1)[:, 0]


def _smoothed(x: Any, t: Any) -> Any:
    return 0.9 * _picked(x, t) - 0.1 * special.log_softmax(x, 1).mean(1)


def _weighted(x: Any, t: Any, w: Any) -> Any:
    return (_picked(x, t) * w[t]).sum() / w[t].sum()


def _huber(x: Any, t: Any) -> Any:
    d = np.abs(x - t)
    return np.where(d <= 1, 0.5 * d * d, d - 0.5)


def _logits(x: Any, t: Any) -> Any:
    return np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x)))


def _ignoring(x: Any, t: Any) -> Any:
    return _picked(x, t)[t != 1].mean()


_LOGITS, _CLASSES = randn(6, 5), ints(6, high=5)
_OUT = raises(lambda: _F.cross_entropy(al.zeros(1, 5), al.tensor([7])), IndexError, "Target 7 is out of bounds")

CASES = [
    Case("cross_entropy", lambda x, t: _picked(x, t).mean(), [_LOGITS, _CLASSES], fn=_F.cross_entropy, errors=[_OUT],
         **_HALF),
    Case("cross_entropy:none", _picked, [_LOGITS, _CLASSES], fn=lambda x, t: _F.cross_entropy(x, t, reduction="none"), **_HALF),
    Case("cross_entropy:smooth", lambda x, t: _smoothed(x, t).mean(), [_LOGITS, _CLASSES],
         fn=lambda x, t: _F.cross_entropy(x, t, label_smoothing=0.1), **_HALF),
    Case("cross_entropy:weight", _weighted, [_LOGITS, _CLASSES, positive(5)], dtypes=("float64",), grad=False,
         fn=lambda x, t, w: _F.cross_entropy(x, t, w)),
    Case("cross_entropy:ignore", _ignoring, [_LOGITS, _CLASSES], fn=lambda x, t: _F.cross_entropy(x, t, ignore_index=1), **_HALF),
    Case("cross_entropy:images", lambda x, t: _picked(np.moveaxis(x, 1, -1).reshape(-1, 4), t.ravel()).mean(),
         [randn(2, 4, 3, 2), ints(2, 3, 2, high=4)], fn=_F.cross_entropy, **_HALF),
    Case("cross_entropy:probabilities", lambda x, p: -(special.log_softmax(x, 1) * p).sum(1).mean(), [_LOGITS, rand(6, 5)],
         fn=_F.cross_entropy, tol=4.0),  # halves round each product
    Case("nll_loss", lambda x, t: -np.take_along_axis(x, t[:, None], 1).mean(), [_LOGITS, _CLASSES], fn=_F.nll_loss, grad2=False,
         errors=[raises(lambda: _F.nll_loss(al.zeros(1, 5), al.tensor([7])), IndexError, "Target 7 is out of bounds")]),
    *_reductions("mse_loss", lambda x, t: (x - t) ** 2, [randn(3, 4), randn(3, 4)]),
    *_reductions("l1_loss", lambda x, t: np.abs(x - t), [away(3, 4, low=1), away(3, 4, high=-1)], grad2=False),
    *_reductions("smooth_l1_loss", _huber, [randn(3, 4), randn(3, 4)]),
    *_reductions("huber_loss", _huber, [randn(3, 4), randn(3, 4)]),
    *_reductions("binary_cross_entropy", lambda x, t: -(t * np.log(x) + (1 - t) * np.log(1 - x)),
                 [rand(3, 4, low=0.1, high=0.9), rand(3, 4)], meta=True, tol=4.0),  # 1 - x of a rounded x
    *_reductions("binary_cross_entropy_with_logits", _logits, [randn(3, 4), rand(3, 4)]),
    Case("kl_div", lambda x, t: (t * (np.log(t) - x)).mean(), [randn(3, 4), positive(3, 4)], fn=_F.kl_div, tol=4.0,
         errors=[raises(lambda: _F.kl_div(al.zeros(2), al.ones(2), reduction="all"), ValueError, "not a valid value")]),
    Case("kl_div:log", lambda x, t: (np.exp(t) * (t - x)).sum() / 3, [randn(3, 4), randn(3, 4)], tol=4.0,
         fn=lambda x, t: _F.kl_div(x, t, reduction="batchmean", log_target=True)),
]
