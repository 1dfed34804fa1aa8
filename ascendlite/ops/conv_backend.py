"""How convolutions are summed on the CPU: by Winograd's form where it is faster, or directly."""

from __future__ import annotations

from ascendlite.core import Op
from ascendlite.errors import ArgumentError

FORMS = ("direct", "auto")

_select = Op("conv_backend", inputs=0, infer=lambda form: [])
_chosen = "auto"


def set_convolution(form: str) -> None:
    """Choose how convolutions are summed: "auto" (Winograd's form where it is faster) or "direct"."""
    global _chosen
    if form not in FORMS:
        raise ArgumentError(f"convolution: {form!r} is unknown; choose 'auto' or 'direct'")
    _select.launch((), (), (FORMS.index(form),))
    _chosen = form


def get_convolution() -> str:
    """How convolutions are summed."""
    return _chosen
