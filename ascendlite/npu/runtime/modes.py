"""Numerics modes: as the card computes, saturating or not, or the same programs with every float widened."""

from __future__ import annotations

import traceback
from types import TracebackType

from ascendlite.errors import ArgumentError
from ascendlite.npu import backend
from ascendlite.npu.runtime.device import state

MODES = tuple(backend.WIDE)


def get_numerics() -> str:
    """The numerics mode that is on."""
    return state.numerics


def _set(mode: str) -> None:
    if mode == state.numerics:
        return
    backend.configure(state.chip, mode)
    state.numerics = mode


class numerics:
    """Compute in another numerics mode from here on, or inside a `with`. No tensor may be on the device when it changes.

    "device": the card's formats and rounding. "fp32", "fp64": the same programs, addresses and times, but every float is held and
    computed in 32 or 64 bits, which separates mistakes of an algorithm from rounding.

    >>> with al.npu.numerics("fp64"):
    ...     y = (al.ones(3, device="npu") / 3).sum().item()
    """

    def __init__(self, mode: str) -> None:
        if mode not in MODES:
            raise ArgumentError(f"numerics: there is no mode {mode!r}; known: {', '.join(MODES)}; npu.shadow(kernel[blocks], ...) shows by line where a "
                                "kernel's error grows")
        self._former = state.numerics
        _set(mode)

    def __enter__(self) -> numerics:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            _set(self._former)
        except RuntimeError:
            if error is None:
                raise
            traceback.clear_frames(trace)  # variables of the calls that failed hold tensors
            self._leave_after(error)

    def _leave_after(self, error: BaseException) -> None:
        try:
            _set(self._former)
        except RuntimeError as busy:
            error.add_note(f"npu.numerics: the mode stays {state.numerics!r}: {busy}, then call al.npu.numerics({self._former!r})")


class saturation:
    """Let floats of 16 bits overflow to their largest number, and raise the overflow flag, from here on or inside a `with`.

    The card does so in its saturation mode, the 910A's generation by default; in INF/NAN mode (False, the default of the others) they become
    infinite, and no flag is raised. The variable INF_NAN_MODE_ENABLE=0 starts in saturation mode, 1 in the other, as on the card.

    >>> x = al.full((1,), 60000.0, dtype=al.float16, device="npu")
    >>> with al.npu.saturation():
    ...     (x + x).item(), al.npu.get_npu_overflow_flag()
    (65504.0, True)
    >>> al.npu.clear_npu_overflow_flag()
    >>> (x + x).item(), al.npu.get_npu_overflow_flag()
    (inf, False)
    """

    def __init__(self, on: bool = True) -> None:
        if not isinstance(on, bool):
            raise ArgumentError(f"saturation: expected True or False, got {on!r}")
        self._former, state.saturation = state.saturation, on

    def __enter__(self) -> saturation:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        state.saturation = self._former
