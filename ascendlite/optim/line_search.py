"""A line search for the strong Wolfe conditions: Nocedal and Wright, "Numerical Optimization", algorithms 3.5 and 3.6, with cubic
interpolation and the safeguards that torch took from minFunc.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..core import Tensor

DECREASE, CURVATURE = 1e-4, 0.9  # c1 and c2 of the conditions


@dataclass(frozen=True)
class Point:
    """A place on the line: distance, loss, gradient, and slope along the line."""

    t: float
    loss: float
    grad: Tensor
    slope: float


def _cubic(a: Point, b: Point, low: float, high: float) -> float:
    """Where the cubic through two points and slopes is smallest, inside [low, high]; the middle where it has no minimum."""
    if a.t > b.t:
        a, b = b, a
    if a.t == b.t:
        return (low + high) / 2.0
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2.0
    d2 = math.sqrt(square)
    below = b.slope - a.slope + 2 * d2
    if below == 0:
        return (low + high) / 2.0
    return min(max(b.t - (b.t - a.t) * ((b.slope + d2 - d1) / below), low), high)


def search(at: Callable[[float], Point], start: Point, t: float, reach: float, evaluations: int, tolerance: float) -> Point:
    """The best point of the line that up to `evaluations` calls of `at` (but at least one) find; `reach`: the largest step a unit of t."""
    before, now = start, at(t)
    for k in range(evaluations):
        if _is_high(now, start) or (k > 1 and now.loss >= before.loss):
            return _zoom(at, start, before, now, reach, evaluations - k, tolerance)
        if abs(now.slope) <= -CURVATURE * start.slope:
            return now
        if now.slope >= 0:
            return _zoom(at, start, before, now, reach, evaluations - k, tolerance)
        ahead = _cubic(before, now, now.t + 0.01 * (now.t - before.t), now.t * 10)
        before, now = now, at(ahead)
    return min(start, now, key=lambda p: p.loss)


def _is_high(p: Point, start: Point) -> bool:
    return not p.loss <= start.loss + DECREASE * p.t * start.slope  # NaN is high


def _zoom(at: Callable[[float], Point], start: Point, a: Point, b: Point, reach: float, evaluations: int, tolerance: float) -> Point:
    low, high = (a, b) if a.loss <= b.loss or b.loss != b.loss else (b, a)
    stuck = False
    for _ in range(evaluations):
        left, right = min(low.t, high.t), max(low.t, high.t)
        if (right - left) * reach < tolerance:
            break
        t = _cubic(low, high, left, right)
        margin = 0.1 * (right - left)
        close = min(right - t, t - left) < margin
        if close and (stuck or t >= right or t <= left):
            t = right - margin if abs(t - right) < abs(t - left) else left + margin
            stuck = False
        else:
            stuck = close
        new = at(t)
        if _is_high(new, start) or new.loss >= low.loss:
            high = new
            if high.loss < low.loss:
                low, high = high, low
            continue
        if abs(new.slope) <= -CURVATURE * start.slope:
            return new
        if new.slope * (high.t - low.t) >= 0:
            high = low
        low = new
    return low
