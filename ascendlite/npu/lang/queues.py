"""TPipe, TQue and TBuf: buffers handed from pipe to pipe, lowered to addresses and flags as they are used."""

from __future__ import annotations

from dataclasses import dataclass, field

from ascendlite.npu.errors import KernelError, refuse
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.declare import Memory, Pipe
from ascendlite.npu.lang.events import HardEvent
from ascendlite.npu.lang.mistakes import whole
from ascendlite.npu.lang.order import SetFlag, WaitFlag, free_event, take_events
from ascendlite.npu.lang.stateful import Turning
from ascendlite.npu.lang.sym import Sym
from ascendlite.npu.lang.tensors import LocalTensor, Slots, TPosition, allocate, memory_state
from ascendlite.npu.lang.trace import Index, current

# Who fills a queue's buffers and who empties them, by position.
_ENDS = {
    "VECIN": (Pipe.MTE2, Pipe.V), "VECOUT": (Pipe.V, Pipe.MTE3), "A1": (Pipe.MTE2, Pipe.MTE1), "B1": (Pipe.MTE2, Pipe.MTE1),
    "C1": (Pipe.MTE2, Pipe.MTE1), "A2": (Pipe.MTE1, Pipe.M), "B2": (Pipe.MTE1, Pipe.M), "C2": (Pipe.MTE1, Pipe.M), "CO1": (Pipe.M, Pipe.FIX),
}  # fmt: skip


class TPipe:
    """Gives queues and buffers their memory."""

    def __init__(self) -> None:
        memory_state().uses_pipe = True
        current().forget()  # fewer event ids from here on

    def InitBuffer(self, queue: TQue | TBuf, slots_or_bytes: int, nbytes: int | None = None) -> None:
        """`InitBuffer(queue, slots, bytes)` or `InitBuffer(buffer, bytes)`."""
        if not isinstance(queue, (TQue, TBuf)):
            raise KernelError(f"InitBuffer: this is a {type(queue).__name__}; it takes a TQue or a TBuf")
        if isinstance(queue, TBuf):
            queue._init(slots_or_bytes if nbytes is None else nbytes)
        elif nbytes is None:
            raise KernelError("InitBuffer: a TQue takes the number of slots and the bytes of each")
        else:
            queue._init(slots_or_bytes, nbytes)

    def AllocEventID(self, event: HardEvent) -> int:
        """An id of the event that no queue has and nobody else will get."""
        return take_events(event, 1)[0]

    def FetchEventID(self, event: HardEvent) -> int:
        """An id of the event that is free at the moment: for a flag that is set and waited for at once."""
        return free_event(event)

    def Destroy(self) -> None:
        """Nothing is left to do: queues drain themselves at the end of the kernel."""


class TBuf:
    """One buffer for temporary values."""

    def __init__(self, position: TPosition = TPosition.VECCALC) -> None:
        self.position = position
        self._tensor: LocalTensor | None = None

    def _init(self, nbytes: int) -> None:
        self._tensor = allocate(self.position.memory, dtypes.u8, nbytes, position=self.position)[0]

    def Get(self, dtype: object, size: int | None = None) -> LocalTensor:
        """The buffer as `size` elements (default: all that fit)."""
        if self._tensor is None:
            raise refuse("trace", "TBuf: Get before InitBuffer", current().here(), "pipe.InitBuffer(buffer, bytes)")
        whole = self._tensor.ReinterpretCast(dtype)
        return whole if size is None else whole[:size]


class TQue:
    """A queue of buffers between the pipe that fills them and the pipe that empties them.

    AllocTensor waits until the emptying pipe has freed the slot; EnQue says that it is full; DeQue waits for that; FreeTensor frees it.
    In ac.range a queue that a round leaves with as many tensors as it found goes on with the next slot in the next round.
    """

    def __init__(self, position: TPosition, depth: int = 1) -> None:
        name = position.name if isinstance(position, TPosition) else repr(position)
        if name not in _ENDS:
            raise KernelError(f"TQue: there is no queue at {name}; it takes {', '.join(f'ac.TPosition.{p}' for p in _ENDS)}")
        source, target = _ENDS[position.name]
        self.position, self.depth = position, depth
        self.full, self.free = HardEvent[f"{source.name}_{target.name}"], HardEvent[f"{target.name}_{source.name}"]
        self.slots: list[LocalTensor] = []
        self._full_ids: list[int] = []
        self._free_ids: list[int] = []
        self._state = _QueueState()

    def _init(self, slots: int, nbytes: int) -> None:
        memory, slots = self.position.memory, whole(slots)
        if memory is Memory.GM or slots < 1:
            raise KernelError(f"InitBuffer: {slots} slots at {self.position.name}; it takes at least one")
        self.slots = allocate(memory, dtypes.u8, nbytes, slots, self.position)
        self._full_ids, self._free_ids = take_events(self.full, slots), take_events(self.free, slots)
        self._state = _QueueState(slots=slots)
        tracer = current()
        tracer.stateful.append(self._state)
        for number in self._free_ids:
            SetFlag(self.free, number)
        tracer.at_end.append(self._drain)

    def _drain(self) -> None:
        """Leaves no flag set: waits for the free flags of all slots."""
        if self._state.busy:
            raise KernelError(f"TQue at {self.position.name}: {len(self._state.busy)} tensors were not freed at the end; FreeTensor each")
        for number in self._free_ids:
            WaitFlag(self.free, number)

    def AllocTensor(self, dtype: object) -> LocalTensor:
        """The next slot, when the emptying pipe has left it."""
        state = self._state
        if not self.slots:
            raise refuse("trace", "TQue: AllocTensor before InitBuffer", current().here(), "pipe.InitBuffer(queue, slots, bytes)")
        slot = state.allocated % len(self.slots)
        if slot in state.busy:
            raise refuse("trace", f"TQue at {self.position.name}: all {len(self.slots)} slots are in use", current().here(),
                         "FreeTensor what was dequeued, or give the queue more slots")
        at = self._at(slot)
        WaitFlag(self.free, self._free_ids[0] + at)
        state.allocated += 1
        state.busy[slot] = "allocated"
        return Slots(self.slots)[at].ReinterpretCast(dtype)

    def _at(self, slot: int) -> Index:
        """Which buffer a slot is: in a loop, another one in each round."""
        turn = self._state.turn
        return (slot + turn) % len(self.slots) if isinstance(turn, Sym) else slot

    def _slot(self, tensor: LocalTensor) -> int:
        for slot in range(len(self.slots)):
            if _address(Slots(self.slots)[self._at(slot)]) == _address(tensor):
                return slot
        raise refuse("trace", f"TQue at {self.position.name}: {tensor} is not one of its slots", current().here())

    def _move(self, name: str, slot: int, before: str, after: str | None) -> None:
        state = self._state.busy.get(slot)
        if state != before:
            raise refuse("trace", f"TQue at {self.position.name}: {name} of slot {slot}, which is {state or 'free'}; it must be {before}", current().here())
        if after is None:
            del self._state.busy[slot]
        else:
            self._state.busy[slot] = after

    def EnQue(self, tensor: LocalTensor) -> None:
        """The slot is filled when the filling pipe has done its earlier work."""
        slot = self._slot(tensor)
        self._move("EnQue", slot, "allocated", "full")
        self._state.order.append((slot, tensor.dtype))
        SetFlag(self.full, self._full_ids[0] + self._at(slot))

    def DeQue(self, dtype: object = None) -> LocalTensor:
        """The slot that was enqueued first, when it is filled."""
        if not self._state.order:
            raise refuse("trace", f"TQue at {self.position.name}: DeQue, but nothing is enqueued", current().here())
        slot, was = self._state.order.pop(0)
        self._move("DeQue", slot, "full", "dequeued")
        at = self._at(slot)
        WaitFlag(self.full, self._full_ids[0] + at)
        return Slots(self.slots)[at].ReinterpretCast(was if dtype is None else dtype)

    def HasTensorInQue(self) -> bool:
        """Whether something is enqueued."""
        return bool(self._state.order)

    def GetTensorCountInQue(self) -> int:
        """How many tensors are enqueued."""
        return len(self._state.order)

    def HasIdleBuffer(self) -> bool:
        """Whether AllocTensor would find a free slot."""
        return len(self._state.busy) < len(self.slots)

    def FreeTensor(self, tensor: LocalTensor) -> None:
        """The slot may be filled again when the emptying pipe has done its earlier work."""
        slot = self._slot(tensor)
        self._move("FreeTensor", slot, "dequeued", None)
        SetFlag(self.free, self._free_ids[0] + self._at(slot))


class TQueBind(TQue):
    """A queue whose buffers are filled as at `source` and emptied as at `target`: VECIN to VECOUT copies from GM to GM through UB."""

    def __init__(self, source: TPosition, target: TPosition, depth: int = 1) -> None:
        super().__init__(source, depth)
        emptied = TQue(target, depth)
        ends = _ENDS[self.position.name][0].name, _ENDS[emptied.position.name][1].name
        self.full, self.free = HardEvent["_".join(ends)], HardEvent["_".join(reversed(ends))]


def _address(tensor: LocalTensor) -> object:
    """What tensors at one address share."""
    return tensor.base.key() if isinstance(tensor.base, Sym) else tensor.base


@dataclass(slots=True)
class _QueueState(Turning):
    """Where a queue stands: slots handed out so far, what each is, which are enqueued; buffers that the loops around have moved on by."""

    slots: int = 0
    allocated: int = 0
    turn: Index = 0
    busy: dict[int, str] = field(default_factory=dict)
    order: list[tuple[int, dtypes.DType]] = field(default_factory=list)

    def save(self) -> object:
        return self.allocated, self.turn, dict(self.busy), list(self.order)

    def restore(self, state: object) -> None:
        assert isinstance(state, tuple)
        self.allocated, self.turn, busy, order = state
        self.busy, self.order = dict(busy), list(order)

    def branched(self, state: object, where: str) -> None:
        assert isinstance(state, tuple)
        _, turn, busy, order = state
        if (self.busy, self.order) != (busy, order):
            raise self._differs(where, busy)
        self._turns_as(turn, where)

    def turns(self, state: object, where: str) -> int:
        assert isinstance(state, tuple)
        allocated, turn, busy, order = state
        by = int(self.allocated - allocated) % self.slots
        if (self.busy, self.order) != self._shifted(by, busy, order):
            raise self._differs(where, busy)
        self._turns_as(turn, where)
        return by

    def _differs(self, where: str, busy: dict[int, str]) -> KernelError:
        now, before = (", ".join(f"slot {s} {what}" for s, what in sorted(b.items())) or "no tensor" for b in (self.busy, busy))
        return refuse("trace", f"{where} leaves a TQue with {now}; it found it with {before}", current().here(),
                      "free as many tensors as are allocated; to fetch for the next round, fetch once before the loop and use the last one behind it")

    def _turns_as(self, turn: Index, where: str) -> None:
        keys = [t.key() if isinstance(t, Sym) else t for t in (self.turn, turn)]
        if keys[0] != keys[1]:
            raise refuse("trace", f"{where} goes on in a TQue by a number of slots that is not known when the kernel is traced", current().here(),
                         "empty the queue before the loop within, or use Python's range for one of them")

    def _shifted(self, by: int, busy: dict[int, str], order: list[tuple[int, dtypes.DType]]) -> tuple[dict[int, str], list[tuple[int, dtypes.DType]]]:
        """What is in the queue, `by` slots on."""
        return {(s + by) % self.slots: what for s, what in busy.items()}, [((s + by) % self.slots, dtype) for s, dtype in order]

    def move_on(self, by: Index) -> None:
        self.turn = self.turn + by

    def turn_back(self, state: object, by: int, rounds: Index) -> None:
        self.restore(state)
        if self.busy and isinstance(rounds, Sym):
            self.turn = self.turn + by * rounds
        else:
            on = by * rounds if isinstance(rounds, int) else by  # where no slot is in use, any may be the next
            self.allocated += on
            self.busy, self.order = self._shifted(on, self.busy, self.order)
