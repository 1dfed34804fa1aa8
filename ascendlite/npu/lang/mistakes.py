"""Errors while a kernel is traced: each names the line of the kernel, whatever part of the language noticed it."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from ascendlite.npu.errors import KernelError, Site, refuse

_HERE: Final = str(Path(__file__).parent)
BETWEEN: Final = (_HERE, contextlib.__file__)  # files whose frames are no lines of a kernel
_WRONG: Final = (TypeError, AttributeError, ValueError, KeyError, OverflowError)  # what a wrong argument ends in


def _frames(traceback: TracebackType | None) -> Iterator[Site]:
    while traceback is not None:
        yield Site(traceback.tb_frame.f_code.co_filename, traceback.tb_lineno)
        traceback = traceback.tb_next


@contextlib.contextmanager
def located() -> Iterator[None]:
    """Gives errors of the language that do not say where they arose the kernel's line; errors of the kernel's own Python pass as they are."""
    try:
        yield
    except KernelError as error:
        if error.site is not None:
            raise
        raise _placed(error, error.rule or "trace", str(error)) from error
    except _WRONG as error:
        frames = list(_frames(error.__traceback__))
        if not frames[-1].file.startswith(_HERE):
            raise
        raise _placed(error, "trace", f"the call does not fit: {error}") from error


def _placed(error: BaseException, rule: str, title: str) -> KernelError:
    lines = [site for site in list(_frames(error.__traceback__))[2:] if not site.file.startswith(BETWEEN)]  # 2: from here to the kernel's function
    return refuse(rule, title, lines[-1] if lines else None)


def whole(value: object) -> int:
    """The integer that a call was given, of Python or NumPy. Raises KernelError for anything else.

    >>> import numpy as np
    >>> whole(np.int64(8)), whole(True)
    (8, 1)
    """
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise KernelError(f"an integer is needed; this is {value!r} ({type(value).__name__})") from None
