"""How tensors are written: torch's text for the same values, summarised past a threshold.

It reads values through `tolist` only, and knows no device and no storage.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from ascendlite.core import Tensor, dtype_of_name, get_default_device, get_default_dtype


@dataclass(frozen=True)
class PrintOptions:
    """What `set_printoptions` sets; `sci_mode` None lets the values decide."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


PROFILES = {
    "default": PrintOptions(),
    "short": PrintOptions(precision=2, edgeitems=2),
    "full": PrintOptions(threshold=math.inf),
}
_options = PROFILES["default"]

# Formats without arithmetic are printed as the values they stand for.
_WIDENED = {"float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu", "hifloat8"}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how tensors are printed from now on; `profile` is "default", "short" or "full"."""
    global _options
    if profile is not None and profile not in PROFILES:
        raise ValueError(f"set_printoptions: there is no profile {profile!r}; known: {', '.join(PROFILES)}")
    base = _options if profile is None else PROFILES[profile]
    _options = replace(
        base,
        precision=base.precision if precision is None else precision,
        threshold=base.threshold if threshold is None else threshold,
        edgeitems=base.edgeitems if edgeitems is None else edgeitems,
        linewidth=base.linewidth if linewidth is None else linewidth,
        sci_mode=sci_mode,
    )


def get_printoptions() -> dict[str, int | float | bool | None]:
    """The present options, to be given back to `set_printoptions` by name."""
    return asdict(_options)


@contextlib.contextmanager
def printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> Iterator[None]:
    """Print differently inside a `with` block."""
    global _options
    before = _options
    set_printoptions(precision, threshold, edgeitems, linewidth, profile, sci_mode)
    try:
        yield
    finally:
        _options = before


# ---- values: nested lists, with Ellipsis where something is left out


def _nested(t: Tensor, summarize: bool, edge: int) -> object:
    if t.ndim == 0:
        return t.item()
    cut = summarize and (t.shape[0] > 2 * edge or edge == 0)
    if t.ndim == 1:
        if cut:
            return [*t[:edge].tolist(), ..., *(t[-edge:].tolist() if edge else ())]
        return t.tolist()
    size = t.shape[0]
    if cut:
        head = [_nested(t[i], summarize, edge) for i in range(edge)]
        return [*head, ..., *(_nested(t[i], summarize, edge) for i in range(size - edge, size))]
    return [_nested(t[i], summarize, edge) for i in range(size)]


def _flat(nested: object) -> Iterator[float]:
    if not isinstance(nested, list):
        yield nested  # type: ignore[misc]
        return
    for item in nested:
        if item is not ...:
            yield from _flat(item)


@dataclass(frozen=True)
class _Format:
    """One element's text: `mode` is "value", "whole" (`3.`), "fixed" or "sci", padded on the left to `width`."""

    mode: str
    width: int
    precision: int

    def text(self, value: float) -> str:
        return self.bare(value).rjust(self.width)

    def bare(self, value: float) -> str:
        if self.mode == "value":
            return str(value)
        if self.mode == "whole":
            return f"{value:.0f}." if math.isfinite(value) else f"{value:.0f}"
        return f"{value:.{self.precision}{'e' if self.mode == 'sci' else 'f'}}"


def _choose_format(values: list[float], floating: bool, options: PrintOptions) -> _Format:
    if not floating:
        return _Format("value", max([1, *(len(str(value)) for value in values)]), options.precision)
    # Zeros and non-finite values take no part in choosing the mode or the width.
    regular = [value for value in values if value and math.isfinite(value)]
    if not regular:
        return _Format("whole", 1, options.precision)
    smallest, largest = min(map(abs, regular)), max(map(abs, regular))
    sci = options.sci_mode
    if sci is None:
        sci = largest / smallest > 1000.0 or largest > 1.0e8 or smallest < 1.0e-4
    whole = all(value == math.ceil(value) for value in regular)
    bare = _Format("sci" if sci else "whole" if whole else "fixed", 1, options.precision)
    return replace(bare, width=max([1, *(len(bare.bare(value)) for value in regular)]))


def _render(nested: object, ndim: int, indent: int, form: _Format, options: PrintOptions) -> str:
    if ndim == 0:
        return form.text(nested)  # type: ignore[arg-type]
    items: list[object] = nested  # type: ignore[assignment]
    if ndim == 1:
        gap = " ..." if options.edgeitems else "..."
        texts = [gap if item is ... else form.text(item) for item in items]  # type: ignore[arg-type]
        per_line = max(1, (options.linewidth - indent) // (form.width + 2))
        lines = [", ".join(texts[i : i + per_line]) for i in range(0, len(texts), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    blocks = ["..." if item is ... else _render(item, ndim - 1, indent + 1, form, options) for item in items]
    return "[" + ("," + "\n" * (ndim - 1) + " " * (indent + 1)).join(blocks) + "]"


def _contents(t: Tensor, indent: int) -> str:
    if t.is_meta:
        return "..."
    if t.numel() == 0:
        return "[]"
    t = t.detach()
    if t.dtype.name == "float4_e2m1fn_x2":
        nested = _nested(t.view(dtype_of_name("uint8")), t.numel() > _options.threshold, _options.edgeitems)
    else:
        nested = _nested(t, t.numel() > _options.threshold, _options.edgeitems)
    form = _choose_format(list(_flat(nested)), t.dtype.is_floating_point, _options)
    return _render(nested, t.ndim, indent, form, _options)


def _suffixes(t: Tensor) -> list[str]:
    suffixes = []
    default = t.dtype is get_default_dtype()
    if t.device.type != get_default_device().type:
        suffixes.append(f"device='{t.device}'")
    if t.is_meta or not _options.edgeitems or (t.numel() == 0 and t.ndim != 1):
        suffixes.append(f"size={tuple(t.shape)}")
    implied = t.numel() and not t.is_meta and t.dtype.name in ("int64", "bool")
    if not default and not implied:
        suffixes.append(f"dtype={t.dtype!r}")
    if t.grad_fn is not None:
        suffixes.append(f"grad_fn=<{t.grad_fn.name()}>")
    elif t.requires_grad:
        suffixes.append("requires_grad=True")
    return suffixes


def tensor_repr(t: Tensor) -> str:
    """The text of a tensor, as torch writes it.

    >>> import ascendlite as al
    >>> al.tensor([[1.0, 2.5], [3.0, float("nan")]])
    tensor([[1.0000, 2.5000],
            [3.0000,    nan]])
    """
    kind = type(t).__name__
    prefix = ("tensor" if kind in ("Tensor", "Parameter", "Buffer") else kind) + "("
    text = prefix + _contents(t, len(prefix))
    line_length = len(text) - text.rfind("\n") + 1
    for suffix in _suffixes(t):
        if line_length + len(suffix) + 2 > _options.linewidth:
            text += ",\n" + " " * len(prefix) + suffix
            line_length = len(prefix) + len(suffix)
        else:
            text += ", " + suffix
            line_length += len(suffix) + 2
    return text + ")"
