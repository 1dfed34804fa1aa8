"""A weight in panels of columns, its product with one or two rows, and a pre-norm perceptron of such: `nn.panels` says when these serve."""

from __future__ import annotations

import math

from ascendlite.core import DType, Op, Tensor

COLUMNS = 32  # of a panel


def _panels_shape(weight: Tensor) -> tuple[tuple[int, ...], DType]:
    n, k = weight.shape
    return (math.ceil(n / COLUMNS) * COLUMNS, k), weight.dtype


lay_out = Op("panels", inputs=1, infer=_panels_shape, cost=lambda weight: 0)  # moves only
panel_linear = Op(
    "panel_linear",
    inputs=4,
    infer=lambda x, panels, bias, following, n: ((*x.shape[:-1], n), x.dtype),
    cost=lambda x, panels, bias, following, n: 2 * math.prod(x.shape) * n,
)
panel_gated = Op(
    "panel_gated",
    inputs=5,
    infer=lambda x, scale, pair, back, following, inner, eps: (x.shape, x.dtype),
    cost=lambda x, scale, pair, back, following, inner, eps: 6 * math.prod(x.shape) * inner,
)
