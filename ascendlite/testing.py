"""Comparisons for tests by the names of `torch.testing`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ascendlite.core import Tensor, as_tensor, dtype_of_name, float64, int64, promote_types

__all__ = ["assert_allclose", "assert_close"]

# dtype -> (relative, absolute) tolerance, torch's; others must be equal
TOLERANCES = {
    "float16": (1e-3, 1e-5), "bfloat16": (1.6e-2, 1e-5), "float32": (1.3e-6, 1e-5), "float64": (1e-7, 1e-7),
}  # fmt: skip
Message = str | Callable[[str], str] | None


def assert_close(
    actual: Any, expected: Any, *, allow_subclasses: bool = True, rtol: float | None = None, atol: float | None = None, equal_nan: bool = False,
    check_device: bool = True, check_dtype: bool = True, check_layout: bool = True, check_stride: bool = False, msg: Message = None,
) -> None:
    """AssertionError unless |actual - expected| <= atol + rtol * |expected| for all elements of tensors, arrays, numbers, and
    nests of them. Without tolerances: those of the less precise dtype; integers must be equal.

    >>> al.testing.assert_close(al.tensor([1.0, 2.0]), al.tensor([1.0, 2.000001]))
    """
    if (rtol is None) != (atol is None):
        raise ValueError(f"assert_close: rtol and atol must both be specified or both be unspecified, but got rtol={rtol} and atol={atol}")
    limits = None if rtol is None or atol is None else (rtol, atol)
    checks = {"device": check_device, "dtype": check_dtype, "stride": check_stride}
    fault = _fault(actual, expected, limits, equal_nan, checks, "")
    if fault is not None:
        raise AssertionError(msg(fault) if callable(msg) else msg or fault)


def assert_allclose(actual: Any, expected: Any, rtol: float | None = None, atol: float | None = None, equal_nan: bool = True, msg: str = "") -> None:
    """`assert_close` that looks at neither dtype nor device."""
    assert_close(actual, expected, rtol=rtol, atol=atol, equal_nan=equal_nan, check_device=False, check_dtype=False, msg=msg or None)


Limits = tuple[float, float] | None


def _fault(actual: Any, expected: Any, limits: Limits, equal_nan: bool, checks: Mapping[str, bool], where: str) -> str | None:
    """What is wrong with the first pair that differs, or None."""
    at = f"\n\nThe failure occurred for item {where}" if where else ""
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        if actual.keys() != expected.keys():
            return f"The keys of the mappings do not match: {sorted(map(str, actual))} and {sorted(map(str, expected))}{at}"
        pairs: Any = [(k, actual[k], expected[k]) for k in actual]
    elif _is_list(actual) and _is_list(expected):
        if len(actual) != len(expected):
            return f"The length of the sequences mismatch: {len(actual)} != {len(expected)}{at}"
        pairs = [(k, a, e) for k, (a, e) in enumerate(zip(actual, expected, strict=True))]
    elif actual is None or expected is None:
        return None if actual is expected else f"None mismatch: {actual} is not {expected}{at}"
    else:
        found = _differ(actual, expected, limits, equal_nan, checks)
        return None if found is None else found + at
    faults = (_fault(a, e, limits, equal_nan, checks, f"{where}[{k!r}]") for k, a, e in pairs)
    return next((f for f in faults if f is not None), None)


def _is_list(x: Any) -> bool:
    return isinstance(x, Sequence) and not isinstance(x, (str, Tensor))


def _differ(actual: Any, expected: Any, limits: Limits, equal_nan: bool, checks: Mapping[str, bool]) -> str | None:
    tensors = isinstance(actual, Tensor) and isinstance(expected, Tensor)
    a, e = (x.detach() if isinstance(x, Tensor) else as_tensor(x, dtype=float64 if isinstance(x, float) else None) for x in (actual, expected))
    kind = "Tensor-likes" if a.ndim or tensors else "Scalars"
    if a.shape != e.shape:
        return f"The values for attribute 'shape' do not match: {tuple(a.shape)} != {tuple(e.shape)}."
    if tensors and checks["device"] and a.device != e.device:
        return f"The values for attribute 'device' do not match: {a.device} != {e.device}."
    if tensors and checks["dtype"] and a.dtype is not e.dtype:
        return f"The values for attribute 'dtype' do not match: {a.dtype} != {e.dtype}."
    if tensors and checks["stride"] and a.stride() != e.stride():
        return f"The values for attribute 'stride()' do not match: {a.stride()} != {e.stride()}."
    pairs = [TOLERANCES.get(t.dtype.name, (0.0, 0.0)) for t in (a, e)]
    rtol, atol = limits or (max(p[0] for p in pairs), max(p[1] for p in pairs))
    dtype = promote_types(a.dtype, e.dtype)
    wide = float64 if dtype.is_floating_point or dtype is dtype_of_name("bool") else int64
    return _report(kind, a.cpu().to(wide), e.cpu().to(wide), rtol, atol, equal_nan)


def _report(kind: str, a: Tensor, e: Tensor, rtol: float, atol: float, equal_nan: bool) -> str | None:
    error = (a - e).abs()
    close = (a == e) | ((error <= atol + rtol * e.abs()) & e.isfinite())
    if equal_nan:
        close = close | ((a != a) & (e != e))
    wrong = int((~close).sum())
    if not wrong:
        return None
    equal = rtol == atol == 0
    head = f"{kind} are not {'equal' if equal else 'close'}!\n\n"
    if not a.ndim:
        allowed = "" if equal else f" (up to {atol} allowed)"
        return f"{head}Expected {e.item()} but got {a.item()}.\nAbsolute difference: {error.item()}{allowed}"
    lines = [f"Mismatched elements: {wrong} / {a.numel()} ({100 * wrong / a.numel():.1f}%)"]
    for name, values, allowed_ in (("absolute", error, atol), ("relative", error / e.abs(), rtol)):
        shown = values.to(float64).masked_fill(close, 0.0).reshape(-1)
        place = int(shown.argmax())
        index, rest = [], place
        for size in reversed(a.shape):
            rest, k = divmod(rest, size)
            index.append(k)
        lines.append(f"Greatest {name} difference: {shown[place].item()} at index {tuple(reversed(index))}" + ("" if equal else f" (up to {allowed_} allowed)"))
    return head + "\n".join(lines)
