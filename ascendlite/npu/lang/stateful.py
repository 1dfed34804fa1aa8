"""What changes while a kernel is traced: how a loop's body that is traced again, or a branch, finds and leaves it."""

from __future__ import annotations

from typing import Protocol

from ascendlite.npu.lang.sym import Sym

Index = int | Sym


class Stateful(Protocol):
    """Something that changes while a kernel is traced and must be as before when a loop's body is traced again."""

    def save(self) -> object: ...
    def restore(self, state: object) -> None: ...


class Lasting:
    """State of the core that must not depend on which branches ran, nor on how often a loop did."""

    __slots__ = ()

    def stays(self, state: object, where: str) -> None:
        raise NotImplementedError


class Turning:
    """What hands out slots in turn: in a loop, the next round goes on where the last one stopped."""

    __slots__ = ()

    def branched(self, state: object, where: str) -> None:
        """Raises where a branch, which began in this state, leaves another one that matters to what follows."""
        raise NotImplementedError

    def turns(self, state: object, where: str) -> int:
        """Slots that a round, which began in this state, went on by; 0 where the next may begin at the same one. Raises where they differ in more."""
        raise NotImplementedError

    def move_on(self, by: Index) -> None:
        raise NotImplementedError

    def turn_back(self, state: object, by: int, rounds: Index) -> None:
        raise NotImplementedError
