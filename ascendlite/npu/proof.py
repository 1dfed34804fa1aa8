"""When a kernel is checked: before its first launch, unless a block of code says otherwise."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

from ascendlite.npu.checker import Checkable, CheckResult, Sharing, check


class Launchable(Checkable, Protocol):
    """A traced kernel that keeps its proofs, by which of its arguments share memory."""

    @property
    def proofs(self) -> dict[Sharing, CheckResult]: ...


Ask = Callable[[Launchable, Sharing], bool]
_SETTINGS: Final = threading.local()


def proof(traced: Launchable, sharing: Sharing) -> CheckResult:
    """What the check says of the kernel; it is checked once."""
    found = traced.proofs.get(sharing)
    if found is None:
        found = traced.proofs[sharing] = check(traced, sharing)
    return found


def _prove(traced: Launchable, sharing: Sharing) -> bool:
    proof(traced, sharing).raise_errors()
    return True


def may_run(traced: Launchable, sharing: Sharing) -> bool:
    """Whether a launch goes on; raises HazardError if the kernel breaks a rule."""
    ask: Ask = getattr(_SETTINGS, "ask", _prove)
    if ask is _prove:
        known = traced.proofs.get(sharing)
        if known is not None and not known.findings:
            return True
    return ask(traced, sharing)


@contextmanager
def launches_ask(ask: Ask) -> Iterator[None]:
    """Launches of this block ask this function whether they run."""
    before = getattr(_SETTINGS, "ask", _prove)
    _SETTINGS.ask = ask
    try:
        yield
    finally:
        _SETTINGS.ask = before


@contextmanager
def unchecked() -> Iterator[None]:
    """Kernels launched in this block run as they are: to see what a hazard does. Not for work.

    >>> import ascendlite.npu as npu
    >>> with npu.unchecked():
    ...     pass
    """
    with launches_ask(lambda traced, sharing: True):
        yield


def sharing_of(ranges: Sequence[tuple[int, int]]) -> Sharing:
    """Which arguments share memory, from (address, bytes) of each; two empty tuples if none do.

    >>> sharing_of([(4096, 256), (8192, 256)])
    ((), ())
    >>> sharing_of([(4096, 256), (8192, 256), (4160, 64)])
    ((0, 1, 0), (0, 0, 64))
    """
    end = 0
    if len(ranges) == 1:
        return (), ()
    for address, nbytes in sorted(ranges):
        if address < end:
            return _shared(ranges)
        end = address + nbytes
    return (), ()


def _shared(ranges: Sequence[tuple[int, int]]) -> Sharing:
    """Arguments that overlap, directly or through others, lie in one storage."""
    order = sorted(range(len(ranges)), key=lambda i: ranges[i][0])
    groups: list[list[int]] = []
    end = -1
    for i in order:
        address, nbytes = ranges[i]
        if groups and address < end:
            groups[-1].append(i)
        else:
            groups.append([i])
            end = address
        end = max(end, address + nbytes)
    if len(groups) == len(ranges):
        return (), ()
    storage, offset = [0] * len(ranges), [0] * len(ranges)
    for number, members in enumerate(sorted(groups, key=min)):
        for i in members:
            storage[i], offset[i] = number, ranges[i][0] - ranges[members[0]][0]
    return tuple(storage), tuple(offset)
