"""Ending a run at a step's end when it is asked to."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def stop_on_signal() -> Iterator[Callable[[], bool]]:
    """Inside, Ctrl-C and SIGTERM only set what the yielded function tells; a second one interrupts at once."""
    wanted = False

    def want(number: int, frame: FrameType | None) -> None:
        nonlocal wanted
        if wanted:
            raise KeyboardInterrupt
        wanted = True

    if threading.current_thread() is not threading.main_thread():  # only the main thread can have handlers
        yield lambda: wanted
        return
    before = {number: signal.signal(number, want) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: wanted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
