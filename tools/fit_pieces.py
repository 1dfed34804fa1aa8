"""Fits the tables of csrc/simd/pieces.h and prints them, with the worst relative error of each in units of 2^-24:
`python tools/fit_pieces.py`.

A piece's polynomial is a minimax fit by Lawson's iteration (weights of least squares grow where the error is large), on Chebyshev points. Its
coefficients are rounded to float32 one after the other, from the constant on, and the rest is fitted again each time.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

Function = Callable[[np.ndarray], np.ndarray]
PIECES, POINTS, ITERATIONS = 32, 400, 25


def tail(a: np.ndarray) -> np.ndarray:
    """P(X > a) of the standard normal."""
    return np.array([0.5 * math.erfc(x / math.sqrt(2)) for x in a])


def gelu_slope(a: np.ndarray) -> np.ndarray:
    """The derivative of gelu at -a."""
    return tail(a) - a * (np.exp(-a * a / 2) / math.sqrt(2 * math.pi))


def erf(a: np.ndarray) -> np.ndarray:
    return np.array([math.erf(x) for x in a])


def fit(f: Function, size: Function, width: float, terms: int, zero_at_zero: bool) -> tuple[np.ndarray, float]:
    """float32 coefficients, (terms, PIECES), of pieces about k * width, and the worst error relative to `size`."""
    table, worst = np.zeros((terms, PIECES), np.float32), 0.0
    for k in range(PIECES):
        high = width / 2 * 1.0001
        low = -high if k else 1e-4 if zero_at_zero else 0.0
        d = (low + high) / 2 + (high - low) / 2 * np.cos(np.pi * (np.arange(POINTS) + 0.5) / POINTS)
        y, scale = f(k * width + d), 1 / size(k * width + d)
        fixed = {0: 0.0} if zero_at_zero and k == 0 else {}
        lawson = np.ones_like(d)
        for _ in range(ITERATIONS):
            found = solve(d, y, scale, np.sqrt(lawson), fixed, terms)
            lawson *= abs((polynomial(found, d) - y) * scale) + 1e-30
            lawson /= lawson.mean()
        for term in range(terms):
            if term not in fixed:
                fixed[term] = float(np.float32(found[term]))
                found = solve(d, y, scale, np.sqrt(lawson), fixed, terms)
        worst = max(worst, float(abs((polynomial(fixed, d) - y) * scale).max()))
        table[:, k] = [fixed[term] for term in range(terms)]
    return table, worst


def polynomial(coefficients: dict[int, float], d: np.ndarray) -> np.ndarray:
    return sum((c * d**term for term, c in coefficients.items()), np.zeros_like(d))


def solve(d: np.ndarray, y: np.ndarray, scale: np.ndarray, weight: np.ndarray, fixed: dict[int, float], terms: int) -> dict[int, float]:
    """The least squares of what is not fixed."""
    free = [term for term in range(terms) if term not in fixed]
    if not free:
        return fixed
    columns = np.stack([d**term for term in free], 1) * (scale * weight)[:, None]
    norms = abs(columns).max(0)
    found = np.linalg.lstsq(columns / norms, (y - polynomial(fixed, d)) * scale * weight, rcond=None)[0] / norms
    return {**dict(zip(free, found.tolist(), strict=True)), **fixed}


def literal(value: np.float32) -> str:
    """The shortest that reads as this float."""
    text = min((f"{float(value):.{digits}g}" for digits in range(5, 10) if np.float32(f"{float(value):.{digits}g}") == value), key=len)
    return text + ("f" if "." in text or "e" in text else ".0f")


# name: function, what errors are relative to, width of a piece, terms, whether it is zero at zero
TABLES: dict[str, tuple[Function, Function, float, int, bool]] = {
    "kNormalTailPieces": (tail, tail, 45 / 256, 7, False),
    "kGeluSlopePieces": (gelu_slope, lambda a: np.maximum(abs(gelu_slope(a)), 0.03 * (a < 1)), 45 / 256, 7, False),  # it crosses zero
    "kTanhPieces": (np.tanh, np.tanh, 19 / 64, 7, True),
    "kErfPieces": (erf, erf, 33 / 256, 6, True),
}


def main() -> None:
    for name, (f, size, width, terms, zero_at_zero) in TABLES.items():
        table, worst = fit(f, size, width, terms, zero_at_zero)
        print(f"// {name}: {worst * 2**24:.2f}")
        for row in table:
            texts = [literal(value) for value in row]
            print("    {" + ",\n     ".join(", ".join(texts[i : i + 8]) for i in range(0, PIECES, 8)) + "},")


if __name__ == "__main__":
    main()
