"""What orders instructions, what a core knows of itself, and scalars read and written one at a time."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, overload

from ascendlite.npu.errors import KernelError, refuse
from ascendlite.npu.lang import sym
from ascendlite.npu.lang.declare import READ, WRITE, Memory, Pipe
from ascendlite.npu.lang.events import HardEvent
from ascendlite.npu.lang.instructions import INSTRUCTIONS
from ascendlite.npu.lang.memo import remembered
from ascendlite.npu.lang.movement import check_room
from ascendlite.npu.lang.sym import Sym
from ascendlite.npu.lang.tensors import GlobalTensor, LocalTensor, Tensor, memory_state
from ascendlite.npu.lang.trace import Index, Tracer, current
from ascendlite.npu.lang.vector import FloatScalar, Scalar, scalar_of

PIPE_S, PIPE_V, PIPE_M, PIPE_MTE1, PIPE_MTE2, PIPE_MTE3, PIPE_FIX = Pipe
PIPE_ALL = None
_PIPES_OF = {"aiv": {Pipe.S, Pipe.V, Pipe.MTE2, Pipe.MTE3}, "aic": {Pipe.S, Pipe.M, Pipe.MTE1, Pipe.MTE2, Pipe.MTE3, Pipe.FIX}}
EVENTS = 8
KEPT_BY_PIPE = 6  # ids from here on belong to TPipe when it is used (R05)
MODES = {"1001": (), "2201": (0, 1, 2), "3510": (0, 1, 2, 4)}  # of cross-core flags
LARGEST_CROSS_FLAG = 15
_ANY = 1 << 62  # a real number's range is not declared


def _event(tracer: Tracer, name: str, event: HardEvent, number: Index) -> None:
    """R04 and R05."""
    have = _PIPES_OF[tracer.core]
    if tracer.generation != "1001" and not (event.source in have and event.target in have):
        kind = "vector" if tracer.core == "aiv" else "cube"
        raise refuse("R04", f"{name}: a {kind} core has no event {event.name}; its pipes are {', '.join(sorted(p.name for p in have))}", tracer.here())
    low, high = sym.bounds(number)
    if low < 0 or high >= EVENTS:
        raise refuse("R05", f"{name}: the event id is {low if low == high else f'{low}..{high}'}; ids are 0..{EVENTS - 1}", tracer.here())
    if high >= KEPT_BY_PIPE and memory_state(tracer).uses_pipe:
        raise refuse("R05", f"{name}: event id {high} belongs to TPipe; a kernel that uses it has 0..{KEPT_BY_PIPE - 1}", tracer.here())


def _flag(name: str, event: HardEvent, number: Index, pipe: Pipe, other: Pipe) -> None:
    tracer = current()
    _event(tracer, name, event, number)
    node = tracer.table.node
    tracer.emit(tracer.opcode(INSTRUCTIONS[name]), int(pipe), 0, (), (node(int(other)), node(number)))


def _hard(name: str, event: HardEvent) -> HardEvent:
    if not isinstance(event, HardEvent):
        raise refuse("R04", f"{name}: the event is {event!r}; it must be a HardEvent, as ac.HardEvent.MTE2_V", current().here())
    return event


@remembered
def SetFlag(event: HardEvent, event_id: Index) -> None:
    """The destination pipe may go on past its WaitFlag when all earlier work of the source pipe is done."""
    _flag("SetFlag", _hard("SetFlag", event), event_id, event.source, event.target)


@remembered
def WaitFlag(event: HardEvent, event_id: Index) -> None:
    """Holds the destination pipe until the source pipe has set the flag, and clears it."""
    _flag("WaitFlag", _hard("WaitFlag", event), event_id, event.target, event.source)


def _pipe(name: str, pipe: Pipe) -> Pipe:
    if not isinstance(pipe, Pipe):
        raise refuse("R22", f"{name}: the pipe is {pipe!r}; it must be a pipe, as ac.PIPE_V", current().here())
    return pipe


@remembered
def PipeBarrier(pipe: Pipe | None) -> None:
    """Later work of the pipe waits for its earlier work; PIPE_ALL: of all pipes of the core."""
    tracer = current()
    everything = pipe is PIPE_ALL
    where = Pipe.S if pipe is None else _pipe("PipeBarrier", pipe)
    if not everything and where not in _PIPES_OF[tracer.core] and tracer.generation != "1001":
        raise refuse("R22", f"PipeBarrier: this core has no pipe {where.name}; it has {', '.join(sorted(p.name for p in _PIPES_OF[tracer.core]))}", tracer.here())
    tracer.emit(tracer.opcode(INSTRUCTIONS["PipeBarrier"]), int(where), 0, (), (tracer.table.node(int(everything)),))


def _cross(name: str, flag_id: Index) -> Tracer:
    """R19 as far as it shows before the program runs."""
    tracer = current()
    low, high = sym.bounds(flag_id)
    if low < 0 or high > LARGEST_CROSS_FLAG:
        raise refuse("R19", f"{name}: the flag id is {low if low == high else f'{low}..{high}'}; ids are 0..{LARGEST_CROSS_FLAG}", tracer.here())
    return tracer


def CrossCoreSetFlag(mode: int, pipe: Pipe, flag_id: Index) -> None:
    """Tells other cores that the earlier work of the pipe is done. Mode 0: all of this kind; 1: both vector cores of a group; 2: cube and vector cores."""
    tracer = _cross("CrossCoreSetFlag", flag_id)
    if mode not in MODES[tracer.generation]:
        raise refuse("R22", f"CrossCoreSetFlag: mode {mode} is not one of {MODES[tracer.generation]} on {tracer.chip.name} ({tracer.generation})", tracer.here())
    if _pipe("CrossCoreSetFlag", pipe) not in _PIPES_OF[tracer.core]:
        raise refuse("R22", f"CrossCoreSetFlag: this core has no pipe {pipe.name}", tracer.here())
    node = tracer.table.node
    tracer.emit(tracer.opcode(INSTRUCTIONS["CrossCoreSetFlag"]), int(pipe), 0, (), (node(mode), node(flag_id)))


def CrossCoreWaitFlag(flag_id: Index) -> None:
    """Holds all later instructions of this core until the flag was set, once for each wait."""
    tracer = _cross("CrossCoreWaitFlag", flag_id)
    tracer.emit(tracer.opcode(INSTRUCTIONS["CrossCoreWaitFlag"]), int(Pipe.S), 0, (), (tracer.table.node(flag_id),))


class _Ids:
    """Event ids that queues and pipelines have taken, by event."""

    def __init__(self) -> None:
        self.taken: dict[HardEvent, int] = {}

    def save(self) -> object:
        return dict(self.taken)

    def restore(self, state: object) -> None:
        assert isinstance(state, dict)
        self.taken = dict(state)


def _ids(tracer: Tracer) -> _Ids:
    for one in tracer.stateful:
        if isinstance(one, _Ids):
            return one
    tracer.stateful.append(made := _Ids())
    return made


def free_event(event: HardEvent) -> int:
    """The next free id of an event, which stays free (R05)."""
    ids = _ids(current())
    first = take_events(event, 1)[0]
    ids.taken[event] = first
    return first


def take_events(event: HardEvent, count: int) -> list[int]:
    """The next free ids of an event (R05)."""
    tracer = current()
    ids = _ids(tracer)
    first = ids.taken.get(_hard("TPipe", event), 0)
    limit = KEPT_BY_PIPE if memory_state(tracer).uses_pipe else EVENTS
    if first + count > limit:
        raise refuse("R05", f"{first + count} ids of {event.name} are needed; the kernel has {limit}", tracer.here(),
                     "use fewer queues or slots, or one queue for several tensors")
    ids.taken[event] = first + count
    return [*builtins.range(first, first + count)]


def _soft(tracer: Tracer, gm: GlobalTensor, ub: LocalTensor | None, cores: int) -> None:
    """What the form with memory asks for."""
    if cores != tracer.blocks:
        raise refuse("R20", f"SyncAll: {cores} cores are waited for, of {tracer.blocks} in the launch", tracer.here(), "all cores of the launch must take part")
    for name, tensor in (("gmWorkspace", gm), ("ubWorkspace", ub)):
        if tensor is None or tensor.dtype.name != "i32":
            raise refuse("R22", f"SyncAll: {name} is {tensor}; it must be a tensor of i32", tracer.here())
        size = sym.bounds(tensor.size)[0] if tensor.size is not None else cores * 8
        if size < cores * 8:
            raise refuse("R15", f"SyncAll: {name} has {size} numbers; it needs 32 bytes a core, {cores * 8}", tracer.here())


def SyncAll(isAIVOnly: bool | GlobalTensor = True, ubWorkspace: LocalTensor | None = None, usedCores: int = 0) -> None:
    """All cores wait for each other; in a mixed kernel isAIVOnly=False means cube and vector cores together.

    SyncAll(gmWorkspace, ubWorkspace[, usedCores]), which polls memory on the card, is taken for the form without memory; it wants 32 bytes a
    core of both, and all cores of the launch.
    """
    tracer = current()
    if isinstance(isAIVOnly, GlobalTensor):
        _soft(tracer, isAIVOnly, ubWorkspace, usedCores or tracer.blocks)
        isAIVOnly = True
    own = int(isAIVOnly or tracer.kind != "mix")
    tracer.emit(tracer.opcode(INSTRUCTIONS["SyncAll"]), int(Pipe.S), 0, (), (tracer.table.node(own),))


# -- what a core knows of itself


def GetBlockIdx() -> Index:
    """The index of this core: of the block; on the vector cores of a mixed kernel, of the core (2 * group + sub-block)."""
    tracer = current()
    block = tracer.block_index()
    return block * 2 + tracer.sub_block_index() if tracer.kind == "mix" and tracer.core == "aiv" else block


def GetBlockNum() -> int:
    """Blocks of this launch (groups, in a mixed kernel)."""
    return current().blocks


def GetSubBlockIdx() -> Index:
    """0 or 1: which vector core of the group of a mixed kernel; else 0."""
    return current().sub_block_index()


def GetSubBlockNum() -> int:
    """Vector cores in a group."""
    return 2 if current().kind == "mix" else 1


def IsAIC() -> bool:
    """Whether this is the code of a cube core."""
    return current().core == "aic"


def IsAIV() -> bool:
    """Whether this is the code of a vector core."""
    return current().core == "aiv"


# -- integers of the program


def CeilDiv(a: Index, b: Index) -> Index:
    """a / b, rounded up."""
    return (a + b - 1) // b


def CeilAlign(a: Index, b: Index) -> Index:
    """a rounded up to a multiple of b."""
    return (a + b - 1) // b * b


Number = Index | float | FloatScalar


def _extreme(op: str, whole: Callable[[Index, Index], Index], numbers: tuple[Number, ...]) -> Number:
    """Of integers an expression; where one is a real number that GetValue read, the scalar unit compares."""
    best, *others = numbers
    for other in others:
        real = best if isinstance(best, FloatScalar) else other
        best = real._with(op, best, other) if isinstance(real, FloatScalar) else whole(best, other)  # type: ignore[arg-type]
    return best


@overload
def min(a: Index, b: Index, *more: Index) -> Index: ...
@overload
def min(a: Number, b: Number, *more: Number) -> Number: ...
def min(a: Any, b: Any, *more: Any) -> Any:
    """The smallest: of integers that are known per block or iteration only, too, and of real numbers that GetValue read."""
    return _extreme("min", sym.minimum, (a, b, *more))


@overload
def max(a: Index, b: Index, *more: Index) -> Index: ...
@overload
def max(a: Number, b: Number, *more: Number) -> Number: ...
def max(a: Any, b: Any, *more: Any) -> Any:
    """The largest: of integers that are known per block or iteration only, too, and of real numbers that GetValue read."""
    return _extreme("max", sym.maximum, (a, b, *more))


@overload
def sqrt(x: FloatScalar) -> FloatScalar: ...
@overload
def sqrt(x: float) -> float: ...
def sqrt(x: float | FloatScalar) -> float | FloatScalar:
    """The square root: of a real number that GetValue read by the scalar unit, of a Python number when the kernel is traced."""
    return x._with("sqrt", x, 0.0) if isinstance(x, FloatScalar) else math.sqrt(x)


def select(condition: Index, a: Index, b: Index) -> Index:
    """a where the condition holds, else b: a choice between integers."""
    return sym.select(condition, a, b)


def range(start: Index, stop: Index | None = None, step: Index = 1) -> Iterator[Index]:
    """A loop that stays a loop in the program; its index is an expression. Python's range unrolls instead.

    The body is traced twice, to see that no Python variable carries something from one iteration to the next, and once more where a queue
    goes on with its next slot in the next iteration.
    """
    return current().loop(*((0, start) if stop is None else (start, stop)), step)


def If(condition: Index) -> AbstractContextManager[None]:
    """`with ac.If(condition):` runs its block where the condition holds, which may depend on the loop or on data."""
    return current().branch(condition)


def Else() -> AbstractContextManager[None]:
    """`with ac.Else():` right after the block of an If."""
    return current().otherwise()


# -- scalars


def _element(name: str, tensor: Tensor, index: Index) -> Tensor:
    tracer = current()
    if not isinstance(tensor, (LocalTensor, GlobalTensor)):
        raise refuse("R22", f"{name}: the tensor is of type {type(tensor).__name__}; it takes GlobalTensor and LocalTensor", tracer.here())
    if tensor.memory not in (Memory.GM, Memory.UB):
        raise refuse("R22", f"{name}: the tensor lies in {tensor.memory.name}; scalars are read and written in GM and UB", tracer.here())
    one = tensor[index]
    check_room(tracer, name, "the element", one, one.dtype.itemsize, one.dtype.itemsize)
    return one


def GetValue(tensor: Tensor, index: Index, lowest: int | None = None, highest: int | None = None, typical: Index | None = None) -> Sym | FloatScalar:
    """Reads one element. An integer must be declared to lie in lowest..highest, which bounds what is computed from it.

    typical: what the clock takes it for, which knows no data; and where it decides the flow, one of the ways that the check goes.
    The default is the middle of the range.

    A real number can be the scalar of a vector instruction.
    """
    tracer = current()
    one = _element("GetValue", tensor, index)
    whole = not one.dtype.is_floating_point
    if whole and (lowest is None or highest is None):
        raise refuse("trace", "GetValue: the range of the integer is not declared", tracer.here(), "GetValue(tensor, index, lowest, highest)")
    low, high = (int(lowest or 0), int(highest or 0)) if whole else (-_ANY, _ANY)
    if low > high:
        raise refuse("trace", f"GetValue: the range {low}..{high} holds no integer", tracer.here(), "GetValue(tensor, index, lowest, highest)")
    slot = tracer.scalars
    tracer.scalars += 1
    node = tracer.table.node
    operands = one.words(READ) + (node(one.dtype.itemsize), 0)
    expected = () if typical is None else (node(typical),)
    tracer.emit(tracer.opcode(INSTRUCTIONS["GetValue"]), int(Pipe.S), 1, operands, (node(slot), node(low), node(high), *expected))
    return tracer.table.source(sym.SCALAR, slot, low, high, None) if whole else FloatScalar(slot)


def SetValue(tensor: Tensor, index: Index, value: Scalar) -> None:
    """Writes one element."""
    tracer = current()
    one = _element("SetValue", tensor, index)
    (kind, integer), words = scalar_of("SetValue", value, one.dtype)
    node = tracer.table.node
    tracer.emit(tracer.opcode(INSTRUCTIONS["SetValue"]), int(Pipe.S), 1, one.words(WRITE) + (node(one.dtype.itemsize), 0), (node(kind), node(integer)),
                (1, *words))


def DataCacheCleanAndInvalid(tensor: GlobalTensor, count: Index | None = None) -> None:
    """Scalar writes to `count` elements of GM (default: all of the window) become visible to other pipes and cores."""
    tracer = current()
    if not isinstance(tensor, GlobalTensor):
        raise KernelError(f"DataCacheCleanAndInvalid: it takes a GlobalTensor, not a {type(tensor).__name__}")
    size = (tensor.size if count is None else count) * tensor.dtype.itemsize
    tracer.emit(tracer.opcode(INSTRUCTIONS["DataCacheCleanAndInvalid"]), int(Pipe.S), 1, tensor.words(WRITE) + (tracer.table.node(size), 0), ())


__all__ = ["CeilAlign", "CeilDiv", "CrossCoreSetFlag", "CrossCoreWaitFlag", "DataCacheCleanAndInvalid", "Else", "GetBlockIdx", "GetBlockNum",
           "GetSubBlockIdx", "GetSubBlockNum", "GetValue", "HardEvent", "If", "IsAIC", "IsAIV", "PIPE_ALL", "PIPE_FIX", "PIPE_M", "PIPE_MTE1",
           "PIPE_MTE2", "PIPE_MTE3", "PIPE_S", "PIPE_V", "PipeBarrier", "SetFlag", "SetValue", "SyncAll", "WaitFlag", "max", "min", "range", "select"]
