"""Windows on a core's memories and on the kernel's arguments, and who hands out addresses."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from ascendlite.npu.errors import KernelError, refuse
from ascendlite.npu.lang import dtypes, sym
from ascendlite.npu.lang.buffers import Buffer
from ascendlite.npu.lang.declare import ALIGNMENT, ATOMIC, CORE_OF, WRITE, Memory
from ascendlite.npu.lang.dtypes import DType
from ascendlite.npu.lang.mistakes import whole
from ascendlite.npu.lang.sym import Sym
from ascendlite.npu.lang.trace import Index, Tracer, current

RESERVED_UB = {"2201": 8 * 1024}  # the framework's part of UB (manual: local memory of the static-tensor style)
MIXED_UB = 256  # taken by the messages between cube and vector cores in a mixed kernel (R01)


class Hardware(Enum):
    """A memory, for LocalMemAllocator."""

    UB, L1, L0A, L0B, L0C, BIAS, FIXBUF = (Memory.UB, Memory.L1, Memory.L0A, Memory.L0B, Memory.L0C, Memory.BT, Memory.FB)


class TPosition(Enum):
    """A logical place; each lies in one memory."""

    GM, VECIN, VECOUT, VECCALC, A1, B1, C1, A2, B2, C2, CO1, C2PIPE2GM = range(12)

    @property
    def memory(self) -> Memory:
        return _MEMORY_OF[self.name]


_MEMORY_OF = {
    "GM": Memory.GM, "VECIN": Memory.UB, "VECOUT": Memory.UB, "VECCALC": Memory.UB, "A1": Memory.L1, "B1": Memory.L1, "C1": Memory.L1,
    "A2": Memory.L0A, "B2": Memory.L0B, "C2": Memory.BT, "CO1": Memory.L0C, "C2PIPE2GM": Memory.FB,
}  # fmt: skip


class CacheMode(Enum):
    """Whether a global tensor goes through the second-level cache."""

    CACHE_MODE_NORMAL = 0
    CACHE_MODE_DISABLE = 1


@dataclass(frozen=True, slots=True)
class Argument:
    """A tensor that the kernel was called with: its place among the arguments, shape and format. Its data is not known."""

    index: int
    dtype: DType
    shape: tuple[int, ...]
    name: str = ""

    def __add__(self, start: Index) -> GlobalTensor:
        """From element `start` on, as of a pointer: for SetGlobalBuffer."""
        return GlobalTensor(self)[start:]

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def numel(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def nbytes(self) -> int:
        return self.numel() * self.itemsize


class LocalTensor:
    """`size` elements of a local memory from byte `base` on. `t[n:]` and `t[n]` are the rest from element n on."""

    __slots__ = ("_key", "_words", "base", "buffer", "dtype", "memory", "position", "size")

    def __init__(self, position: TPosition | Memory, base: Index, dtype: object, size: int, buffer: int = -1) -> None:
        self.memory = position.memory if isinstance(position, TPosition) else position
        self.position = position if isinstance(position, TPosition) else None
        self.base: Index = base
        self.dtype: DType = dtypes.as_dtype(dtype)
        self.size: Index = size
        self.buffer = buffer
        self._words: dict[int, tuple[int, ...]] = {}
        self._key: tuple[object, ...] | None = None
        if buffer < 0:
            self.buffer = _own_buffer(self)

    def __repr__(self) -> str:
        return f"{self.dtype.name}[{self.size}] in {self.memory.name} at {self.base}"

    def __getitem__(self, key: slice | Index) -> LocalTensor:
        start, size = _window(key, self.size)
        if start is None:
            return self._view(self.base, self.dtype, size)
        return self._view(self.base + start * self.dtype.itemsize, self.dtype, size)

    def _view(self, base: Index, dtype: DType, size: Index) -> LocalTensor:
        new = LocalTensor.__new__(LocalTensor)
        new.memory, new.position, new.base, new.dtype, new.size, new.buffer = self.memory, self.position, base, dtype, size, self.buffer
        new._words, new._key = {}, None
        return new

    def ReinterpretCast(self, dtype: object) -> LocalTensor:
        """The same bytes in another format."""
        new = dtypes.as_dtype(dtype)
        return self._view(self.base, new, self.size * self.dtype.itemsize // new.itemsize)

    def key(self) -> tuple[object, ...]:
        """What two equal windows of one trace share."""
        if self._key is None:
            base, size = self.base, self.size
            self._key = (self.memory, base.key() if isinstance(base, Sym) else base, self.dtype.code, size.key() if isinstance(size, Sym) else size,
                         self.buffer)
        return self._key

    __iter__ = None  # else Python would ask for t[0], t[1], ... without end

    def GetSize(self) -> Index:
        return self.size

    def GetValue(self, index: Index, lowest: int | None = None, highest: int | None = None, typical: Index | None = None) -> Any:
        """ac.GetValue of this tensor."""
        from ascendlite.npu.lang.order import GetValue

        return GetValue(self, index, lowest, highest, typical)

    def SetValue(self, index: Index, value: Any) -> None:
        """ac.SetValue of this tensor."""
        from ascendlite.npu.lang.order import SetValue

        SetValue(self, index, value)

    def words(self, access: int) -> tuple[int, ...]:
        """The first words of an operand: memory, format, access, buffer, base."""
        found = self._words.get(access)
        if found is None:
            found = (int(self.memory), self.dtype.code, access, self.buffer + 1, current().table.node(self.base))
            self._words[access] = found
        return found


class GlobalTensor:
    """A window on an argument of the kernel. `g[n:]` and `g[n]` are the rest from element n on.

    `GlobalTensor()` and `GlobalTensor(npu.f16)` show nothing until SetGlobalBuffer says what.
    """

    __slots__ = ("argument", "base", "dtype", "size")
    memory = Memory.GM
    argument: Argument
    base: Index
    dtype: DType
    size: Index

    def __init__(self, argument: Argument | GlobalTensor | DType | None = None, base: Index = 0, dtype: object = None, size: Index | None = None) -> None:
        if argument is None or isinstance(argument, DType):
            self.argument, self.base, self.size = _NO_ARGUMENT, 0, 0
            self.dtype = dtypes.u8 if argument is None else argument
            return
        if not isinstance(argument, (Argument, GlobalTensor)):
            raise refuse("trace", f"GlobalTensor: {type(argument).__name__} is not a tensor argument of the kernel", current().here(),
                         "pass the array or tensor to the kernel")
        window = argument if isinstance(argument, GlobalTensor) else None
        self.argument = window.argument if window else argument  # type: ignore[assignment]
        self.base = base + (window.base if window else 0)
        self.dtype = argument.dtype if dtype is None else dtypes.as_dtype(dtype)
        whole: Index = window.size if window else self.argument.nbytes // self.dtype.itemsize
        self.size = whole if size is None else size

    def SetGlobalBuffer(self, address: Argument | GlobalTensor, size: Index | None = None) -> None:
        """Shows `size` elements (default: all) of an argument of the kernel, or of its part from `x + offset` on."""
        if not isinstance(address, (Argument, GlobalTensor)):
            raise refuse("trace", f"SetGlobalBuffer: {type(address).__name__} is not a tensor argument of the kernel", current().here(),
                         "pass the array or tensor to the kernel")
        given = address.dtype if self.argument is _NO_ARGUMENT and self.dtype is dtypes.u8 else self.dtype
        window = address if isinstance(address, GlobalTensor) else GlobalTensor(address)
        if given is not window.dtype:
            window = window.ReinterpretCast(given)
        self.argument, self.base, self.dtype = window.argument, window.base, given
        self.size = window.size if size is None else size

    def __repr__(self) -> str:
        return f"{self.dtype.name}[{self.size}] of argument {self.argument.index} at byte {self.base}"

    def __getitem__(self, key: slice | Index) -> GlobalTensor:
        new = GlobalTensor.__new__(GlobalTensor)
        new.argument, new.dtype = self.argument, self.dtype
        start, new.size = _window(key, self.size)
        new.base = self.base if start is None else self.base + start * self.dtype.itemsize
        return new

    __iter__ = None  # else Python would ask for g[0], g[1], ... without end
    GetSize, GetValue, SetValue = LocalTensor.GetSize, LocalTensor.GetValue, LocalTensor.SetValue

    def SetL2CacheHint(self, mode: CacheMode) -> None:
        """Writes to the argument go around the cache (CACHE_MODE_DISABLE), in the whole kernel. Changes times, no values."""
        past_l2 = current().past_l2
        (past_l2.add if mode is CacheMode.CACHE_MODE_DISABLE else past_l2.discard)(self.argument.index)

    def ReinterpretCast(self, dtype: object) -> GlobalTensor:
        """The same bytes in another format."""
        new = dtypes.as_dtype(dtype)
        same = new.itemsize == self.dtype.itemsize
        return GlobalTensor(self.argument, self.base, new, self.size if same else self.size * self.dtype.itemsize // new.itemsize)

    def words(self, access: int) -> tuple[int, ...]:
        tracer = current()
        if self.argument is _NO_ARGUMENT:
            raise refuse("trace", "the GlobalTensor shows nothing yet", tracer.here(), "SetGlobalBuffer(x) first, x an argument of the kernel")
        if access & (WRITE | ATOMIC):
            tracer.written.add(self.argument.index)
        return (0, self.dtype.code, access, self.argument.index + 1, tracer.table.node(self.base))


_NO_ARGUMENT = Argument(-1, dtypes.u8, (0,), "SetGlobalBuffer was not called")
Tensor = LocalTensor | GlobalTensor


def _window(key: slice | Index, size: Index) -> tuple[Index | None, Index]:
    """Start and size of a window."""
    if type(key) is slice and key.stop is None and key.step is None and type(key.start) is int and key.start >= 0:  # most windows: t[n:]
        return key.start, size - key.start
    if not isinstance(key, slice):
        return (start := _start(key)), size - start
    if key.step is not None and key.step != 1:
        raise refuse("trace", f"slice: the step is {key.step}; windows are contiguous", current().here(), "use the strides of the instruction")
    stop = size if key.stop is None else key.stop if isinstance(key.stop, Sym) else whole(key.stop)
    if key.start is None:
        return None, stop
    return (start := _start(key.start)), stop - start


def _start(value: Index) -> Index:
    if isinstance(value, Sym):
        return value
    if (start := whole(value)) < 0:
        raise refuse("R15", f"a window from element {start} on starts before its tensor; unlike in Python, it does not count from the end", current().here(),
                     "start at size - n for the last n elements")
    return start


# -- allocation


class _State:
    """What one trace has handed out."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self.buffers: list[Buffer] = []
        self.top: dict[Memory, int] = dict.fromkeys(Memory, 0)
        self.uses_pipe = False
        self.overflow: set[Memory] = set()

    def add(self, buffer: Buffer) -> int:
        """The number of a buffer, the same in all classes of blocks."""
        self.buffers.append(buffer)
        return self.tracer.buffers.setdefault(buffer, len(self.tracer.buffers))

    def save(self) -> object:
        return len(self.buffers), dict(self.top)

    def restore(self, state: object) -> None:
        assert isinstance(state, tuple)
        self.top = dict(state[1])
        del self.buffers[state[0] :]


def memory_state(tracer: Tracer | None = None) -> _State:
    """The allocations of the running trace."""
    tracer = tracer or current()
    for one in tracer.stateful:
        if isinstance(one, _State):
            return one
    made = _State(tracer)
    tracer.stateful.append(made)
    return made


def capacity(tracer: Tracer, memory: Memory) -> int:
    """Bytes of a memory that a kernel may use."""
    whole = tracer.chip.memory[memory.name]
    if memory is Memory.UB:
        whole -= RESERVED_UB.get(tracer.generation, 0) + (MIXED_UB if tracer.kind == "mix" else 0)
    return whole


def allocate(memory: Memory, dtype: DType, size: Index, slots: int = 1, position: TPosition | None = None, name: str = "") -> list[LocalTensor]:
    """`slots` tensors of `size` elements, each from an aligned address on. name: for messages; by default the variable's."""
    tracer, state = current(), memory_state()
    core = CORE_OF.get(memory)
    if core != tracer.core and tracer.generation != "1001":
        raise refuse("R22", f"{memory.name} belongs to the {'vector' if core == 'aiv' else 'cube'} core; this is the code of the other", tracer.here(),
                     "in a mixed kernel branch on ac.IsAIC()")
    size = size if isinstance(size, Sym) else whole(size)
    if isinstance(size, Sym) or size <= 0:
        raise refuse("R01", f"Alloc: the size is {size}; it must be a positive number known when the kernel is traced", tracer.here())
    align = ALIGNMENT[memory]
    each = -(-size * dtype.itemsize // align) * align
    base = -(-state.top[memory] // align) * align
    state.top[memory] = base + each * slots
    if state.top[memory] > capacity(tracer, memory):
        state.overflow.add(memory)
    site = tracer.here()
    index = state.add(Buffer(memory, base, each * slots, slots, dtype, size, site, name))
    return [LocalTensor(position or memory, base + i * each, dtype, size, index) for i in range(slots)]


def _own_buffer(tensor: LocalTensor) -> int:
    """A buffer for a tensor at an address that the kernel chose."""
    tracer, state = current(), memory_state()
    if tensor.memory is Memory.GM:
        raise KernelError("LocalTensor: GM is not a local memory; use GlobalTensor")
    if not isinstance(tensor.base, Sym) and tensor.base % ALIGNMENT[tensor.memory]:
        raise refuse("R02", f"LocalTensor at byte {tensor.base} of {tensor.memory.name}; it must start at a multiple of {ALIGNMENT[tensor.memory]}",
                     tracer.here())
    size = sym.bounds(tensor.size)[1]
    end = sym.bounds(tensor.base)[1] + size * tensor.dtype.itemsize
    if end > tracer.chip.memory[tensor.memory.name]:
        raise refuse("R01", f"LocalTensor ends at byte {end}; {tensor.memory.name} has {tracer.chip.memory[tensor.memory.name]}", tracer.here())
    site = tracer.here()
    base = sym.bounds(tensor.base)[0]
    return state.add(Buffer(tensor.memory, base, end - base, 1, tensor.dtype, size, site))


class LocalMemAllocator:
    """Hands out a memory from its start on. Allocators of the same memory continue each other.

    >>> ub = ac.LocalMemAllocator(ac.Hardware.UB)       # doctest: +SKIP
    >>> x = ub.Alloc(npu.f16, 8192)                     # doctest: +SKIP
    """

    def __init__(self, hardware: Hardware) -> None:
        if not isinstance(hardware, Hardware):
            raise KernelError(f"LocalMemAllocator: {hardware!r} is no memory; it takes {', '.join(f'ac.Hardware.{h.name}' for h in Hardware)}")
        self.memory = hardware.value
        memory_state()

    def Alloc(self, dtype: object, size: int) -> LocalTensor:
        """`size` elements from the next aligned address on."""
        return allocate(self.memory, dtypes.as_dtype(dtype), size)[0]

    def AllocSlots(self, dtype: object, size: int, slots: int) -> Slots:
        """`slots` buffers of `size` elements each, chosen by an index that may be an expression."""
        tensors = allocate(self.memory, dtypes.as_dtype(dtype), size, slots)
        return Slots(tensors)

    def GetCurAddr(self) -> int:
        return memory_state().top[self.memory]


class Slots:
    """Equal buffers one after the other: `slots[i % n]` with an index of ac.range is a tensor whose address is an expression."""

    def __init__(self, tensors: list[LocalTensor]) -> None:
        self.tensors = tensors
        self.pitch = int(tensors[1].base) - int(tensors[0].base) if len(tensors) > 1 else 0  # addresses of allocations are numbers

    def __len__(self) -> int:
        return len(self.tensors)

    def __getitem__(self, index: Index) -> LocalTensor:
        if not isinstance(index, Sym):
            return self.tensors[index]
        low, high = sym.bounds(index)
        if low < 0 or high >= len(self):
            raise refuse("trace", f"slot {low}..{high} of {len(self)}; the index must lie within", current().here(), f"use i % {len(self)}")
        first = self.tensors[0]
        return first._view(first.base + index * self.pitch, first.dtype, first.size)
