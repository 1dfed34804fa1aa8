"""What pointwise ops compute, as source for Numba: `{0}`, `{1}` ... are operands, `T` is the float type. The order of roundings is that of the native loops.

Exponentials in float32 follow the native polynomial without its fused multiply-adds: the last bit may differ.
"""

from __future__ import annotations

FORMULAS = {
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "neg": "-{0}",
    "square": "{0} * {0}",
    "sqrt": "math.sqrt({0})",
    "rsqrt": "T(1) / math.sqrt({0})",
    "reciprocal": "T(1) / {0}",
    "abs": "abs({0})",
    "relu": "(T(0) if {0} < T(0) else {0})",
    "maximum": "({0} if {0} != {0} or {0} > {1} else {1})",
    "minimum": "({0} if {0} != {0} or {0} < {1} else {1})",
    "clamp_min": "({1} if {0} < {1} or {1} != {1} else {0})",
    "clamp_max": "({1} if {0} > {1} or {1} != {1} else {0})",
    "add_scaled": "{0} + {2} * {1}",
    "addcmul": "{0} + {3} * {1} * {2}",
    "squared_error": "({0} - {1}) * ({0} - {1})",
    "leaky_relu": "({0} if {0} > T(0) else {0} * {1})",
    "leaky_relu_backward": "({0} if {1} > T(0) else {0} * {2})",
    "threshold": "({2} if {0} <= {1} else {0})",
    "threshold_backward": "(T(0) if {1} <= {2} else {0})",
    "sigmoid_backward": "{0} * (T(1) - {1}) * {1}",
    "tanh_backward": "{0} * (T(1) - {1} * {1})",
    "exp": "exp({0})",
    "sigmoid": "T(1) / (T(1) + exp(-{0}))",
    "eq": "{0} == {1}",
    "ne": "{0} != {1}",
    "lt": "{0} < {1}",
    "le": "{0} <= {1}",
    "gt": "{0} > {1}",
    "ge": "{0} >= {1}",
    "where": "({1} if {0} else {2})",
}
