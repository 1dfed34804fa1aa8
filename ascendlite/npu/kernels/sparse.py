"""Attention over chosen rows: the vector cores gather what each place sees, then the attention kernels run with a place as a batch.

Forward and backward as two kernels each; the scores are never held, the gathered rows are, a run of places at a time. Of small tables
nothing is gathered: see sparse_whole.
"""

from __future__ import annotations

from typing import Any, Final

from ascendlite.core import Tensor, _core, no_grad
from ascendlite.npu import ascendc as ac
from ascendlite.npu import wide
from ascendlite.npu.kernels import copies, kernel_for
from ascendlite.npu.kernels.attention import Case, best_tiles, run
from ascendlite.npu.kernels.elementwise import blocks_for
from ascendlite.npu.kernels.flash_backward import row_products
from ascendlite.npu.kernels.flash_parts import LOWEST
from ascendlite.npu.kernels.flash_plan import Lie, Problem
from ascendlite.npu.kernels.products import FORMATS
from ascendlite.npu.kernels.rowwise import rows_of
from ascendlite.npu.kernels.sparse_whole import Whole, worthwhile
from ascendlite.npu.kernels.tables import IDS, ROOM, Ids
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.events import HardEvent
from ascendlite.npu.lang.order import SetFlag, WaitFlag, take_events
from ascendlite.npu.lang.rows import barrier
from ascendlite.npu.lang.tiles import my_part, scratch
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.device import state
from ascendlite.npu.runtime.launch import launch
from ascendlite.ops.movement import cat

Tensors = tuple[Any, ...]
AT_ONCE: Final = 1 << 24  # elements of gathered rows that are held
_FLOAT32: Final = _core.DTYPE_NAMES["float32"]
_LEAST: Final = -(1 << 31)
f32 = dtypes.f32


def _row(index: Ids, i: Any, pick: Any, rows: int, each: int) -> Any:
    """Where pick `pick`, the i-th in UB, lies in the table; what names nothing is row 0 of its batch."""
    value: Any = ac.GetValue(index.room, i, _LEAST, rows - 1)
    return pick // each * rows + ac.max(value, 0)


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def take_picks(table: Any, index: Any, seen: Any, bias: Any, n: int, rows: int, columns: int, each: int, group: int) -> None:
    """seen[i] = the row of the table that index[i] names, `each` picks a batch; bias[i] = 0, or -inf where it names nothing."""
    source, target, hidden = ac.GlobalTensor(table), ac.GlobalTensor(seen), ac.GlobalTensor(bias)
    size = source.dtype.itemsize
    pitch = -(-columns * size // 32) * 32 // size
    room, picks = scratch(source.dtype, group * pitch), Ids(index, group)
    most = -(-group // 64) * 64
    number, mask, bits = scratch(f32, most), scratch(f32, most), scratch(dtypes.u8, -(-most // 256) * 32)
    ac.Duplicate(number, 0.0, most)
    full, free = take_events(HardEvent.MTE2_MTE3, 1)[0], take_events(HardEvent.MTE3_MTE2, 1)[0]
    done = take_events(HardEvent.V_MTE2, 1)[0]
    made, left = take_events(HardEvent.V_MTE3, 1)[0], take_events(HardEvent.MTE3_V, 1)[0]
    SetFlag(HardEvent.MTE3_MTE2, free)
    SetFlag(HardEvent.V_MTE2, done)
    SetFlag(HardEvent.MTE3_V, left)
    first, count = my_part(n, group)
    for at in ac.range(first, first + count, group):
        m = ac.min(group, first + count - at)
        WaitFlag(HardEvent.V_MTE2, done)
        picks.load(at, m)  # what follows is issued when they are there
        ac.Cast(number, picks.room, "CAST_NONE" if picks.room.dtype is dtypes.i32 else "CAST_RINT", m)
        SetFlag(HardEvent.V_MTE2, done)
        barrier()
        ac.CompareScalar(bits, number, 0.0, "GE", most)
        WaitFlag(HardEvent.MTE3_V, left)
        ac.Duplicate(mask, 0.0, most)
        barrier()
        ac.Select(mask, bits, mask, -float("inf"), "VSEL_TENSOR_SCALAR_MODE", most)
        SetFlag(HardEvent.V_MTE3, made)
        WaitFlag(HardEvent.V_MTE3, made)
        ac.DataCopyPad(hidden[at:], mask, m)
        SetFlag(HardEvent.MTE3_V, left)
        WaitFlag(HardEvent.MTE3_MTE2, free)
        for i in ac.range(m):
            ac.DataCopyPad(room[i * pitch :], source[_row(picks, i, at + i, rows, each) * columns :], columns)
        picks.done()
        SetFlag(HardEvent.MTE2_MTE3, full)
        WaitFlag(HardEvent.MTE2_MTE3, full)
        ac.DataCopyPad(target[at * columns :], room, ac.DataCopyExtParams(m, columns * size, 0, 0))
        SetFlag(HardEvent.MTE3_MTE2, free)
    WaitFlag(HardEvent.MTE3_MTE2, free)
    WaitFlag(HardEvent.V_MTE2, done)
    WaitFlag(HardEvent.MTE3_V, left)
    picks.finish()


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def add_picks(g: Any, index: Any, table: Any, n: int, rows: int, columns: int, each: int, group: int) -> None:
    """The row of the table that index[i] names += g[i], in the order in which the cores get there; g is 0 where it names nothing."""
    source, target = ac.GlobalTensor(g), ac.GlobalTensor(table)
    pitch = -(-columns // 8) * 8
    room, picks = scratch(f32, group * pitch), Ids(index, group)
    full, free = take_events(HardEvent.MTE2_MTE3, 1)[0], take_events(HardEvent.MTE3_MTE2, 1)[0]
    SetFlag(HardEvent.MTE3_MTE2, free)
    ac.SetAtomicAdd(f32)
    first, count = my_part(n, group)
    for at in ac.range(first, first + count, group):
        m = ac.min(group, first + count - at)
        picks.load(at, m)
        WaitFlag(HardEvent.MTE3_MTE2, free)
        ac.DataCopyPad(room, source[at * columns :], ac.DataCopyExtParams(m, columns * 4, 0, 0))
        SetFlag(HardEvent.MTE2_MTE3, full)
        WaitFlag(HardEvent.MTE2_MTE3, full)
        for i in ac.range(m):
            ac.DataCopyPad(target[_row(picks, i, at + i, rows, each) * columns :], room[i * pitch :], columns)
        picks.done()
        SetFlag(HardEvent.MTE3_MTE2, free)
    ac.SetAtomicNone()
    WaitFlag(HardEvent.MTE3_MTE2, free)
    picks.finish()


def _group(columns: int, itemsize: int, picks: int) -> int:
    return max(1, min(IDS, ROOM // (-(-columns * itemsize // 32) * 32), picks))


class _Run:
    """Some places of some batches: their queries, picks and tables; all contiguous."""

    def __init__(self, q: Tensor, table: Tensor, index: Tensor, scale: float) -> None:
        self.q, self.table, self.index = q, table, index
        self.B, self.T, self.H, self.D = q.shape
        self.N, self.S = table.shape[1], index.shape[2]
        P, H, S, D = self.B * self.T, self.H, self.S, self.D
        self.picks = P * S
        rows = Lie(S * D, 0, D)
        self.problem = Problem(P, 1, 1, H, S, D, D, False, 0, scale, Lie(H * D, 0, D), rows, rows, Lie(S, 0, 0), picked=True)

    def empty(self, *shape: int, dtype: Any = _FLOAT32) -> Tensor:
        made: Tensor = _core.empty(shape, dtype=dtype, device=self.q.device)
        return made

    def gather(self) -> tuple[Tensor, Tensor]:
        """The rows that each place sees, and what hides those that are none."""
        seen, bias = self.empty(self.picks * self.D, dtype=self.q.dtype), self.empty(self.picks)
        group = _group(self.D, self.q.itemsize, self.picks)
        launch(take_picks, self.table, self.index, seen, bias, self.picks, self.N, self.D, self.T * self.S, group, blocks=blocks_for(seen.nbytes),
               name="sparse_attention_gather")
        return seen, bias

    def scatter(self, dseen: Tensor, dtable: Tensor) -> None:
        """Adds gradients of gathered rows to those of the table."""
        group = _group(self.D, 4, self.picks)
        launch(add_picks, dseen, self.index, dtable, self.picks, self.N, self.D, self.T * self.S, group, blocks=blocks_for(dseen.nbytes),
               name="sparse_attention_scatter")

    def case(self, which: str, sinks: bool = False) -> Case:
        back = None if which == "flash" else Lie(self.H * self.D, 0, self.D)
        return Case(which, self.problem, self.q.dtype.name, "float32", sinks, back)


def _parts(q: Tensor, index: Tensor) -> list[tuple[slice, slice]]:
    """Batches and places that are worked on at once: all, or runs of places of one batch."""
    B, T, _, D = q.shape
    width = index.shape[2] * D
    if B * T * width <= AT_ONCE:
        return [(slice(0, B), slice(0, T))]
    step = max(1, AT_ONCE // width)
    return [(slice(b, b + 1), slice(t, min(t + step, T))) for b in range(B) for t in range(0, T, step)]


def _taken(q: Tensor, rows: Tensor, entries: Tensor | None, index: Tensor) -> bool:
    """Whether the kernels take the operands, and every number names a row: a look from outside the card, so that a wrong one is an error."""
    if q.dtype.name not in FORMATS or state.chip.generation == "1001" or not (q.numel() and index.numel()):
        return False
    count = rows.shape[1] + (0 if entries is None else entries.shape[1])
    return bool(count) and (index.is_meta or wide.within(index, high=count - 1))


def _joined(q: Tensor, rows: Tensor, entries: Tensor | None) -> tuple[Tensor, Tensor]:
    """Contiguous queries, and the one table."""
    table = rows.detach() if entries is None or not entries.numel() else cat([rows.detach(), entries.detach()], 1)
    return q.detach().contiguous(), table.contiguous()


def _of_all(q: Tensor, index: Tensor) -> Tensor:
    """An index for every batch."""
    return index.detach().expand(q.shape[0], *index.shape[1:]).contiguous()


def _flat(t: Tensor) -> Tensor:
    return t.contiguous().reshape(-1)


@kernel_for("sparse_attention")
def _sparse_attention(outputs: Tensors, inputs: Tensors, attrs: Tensors) -> Any:
    q, rows, entries, index, sinks = inputs
    if not _taken(q, rows, entries, index):
        return NotImplemented
    with no_grad():
        q, table = _joined(q, rows, entries)
        if worthwhile(q, table.shape[1], index.shape[2]):
            return _over_all_rows(outputs, q, table, index, sinks, float(attrs[0]))
        index = _of_all(q, index)
        parts = _parts(q, index)
        for batches, places in parts:
            part = _Run(_some(q, batches, places), table[batches].contiguous(), _some(index, batches, places), float(attrs[0]))
            case = part.case("flash", sinks is not None)
            if best_tiles(case, state.chip) is None:
                return NotImplemented
            seen, bias = part.gather()
            alone = len(parts) == 1
            y, lse = outputs if alone else (part.empty(*part.q.shape, dtype=q.dtype), part.empty(part.B, part.T, part.H))
            run(case, (_flat(part.q), seen, seen, bias, None if sinks is None else sinks.detach()), (y, lse))
            if not alone:
                outputs[0][batches, places].copy_(y)
                outputs[1][batches, places].copy_(lse)
    return None


def _over_all_rows(outputs: Tensors, q: Tensor, table: Tensor, index: Tensor, sinks: Tensor | None, scale: float) -> Any:
    whole = Whole(q, table, index, scale)
    flat = _flat(table)
    each = None if sinks is None else sinks.detach().repeat(q.shape[1])
    return run(whole.case("flash", sinks is not None), (_flat(q), flat, flat, whole.mask, each), outputs)


def _some(t: Tensor, batches: slice, places: slice) -> Tensor:
    return t[batches, places].contiguous()


@kernel_for("sparse_attention_backward")
def _sparse_attention_backward(outputs: Tensors, inputs: Tensors, attrs: Tensors) -> Any:
    g, q, rows, entries, index, sinks, y, lse = inputs
    r = rows_of(1, q.shape[3], q.itemsize, 2, 2)
    if not _taken(q, rows, entries, index) or r is None:
        return NotImplemented
    with no_grad():
        q, table = _joined(q, rows, entries)
        dtable = _core.empty(table.shape, dtype=_FLOAT32, device=q.device)
        delta = _core.empty(q.shape[:3], dtype=_FLOAT32, device=q.device)
        layout = rows_of(delta.numel(), q.shape[3], q.itemsize, 2, 2)
        assert layout is not None
        launch(row_products, g.detach().contiguous(), y.detach().contiguous(), delta, layout, blocks=blocks_for(q.nbytes), name="attention_delta")
        if worthwhile(q, table.shape[1], index.shape[2]):
            whole, flat = Whole(q, table, index, float(attrs[0])), _flat(table)
            head = (_flat(g.detach()), _flat(q), flat, flat, whole.mask, lse.detach(), delta)
            if any(run(whole.case(which), head, results) is NotImplemented for which, results in (("flash_dq", outputs[:1]), ("flash_dkv", (dtable, None)))):
                return NotImplemented
        elif _gathered(outputs[0], (g, lse, delta), q, table, _of_all(q, index), dtable, float(attrs[0])) is NotImplemented:
            return NotImplemented
        _deliver(outputs, dtable, rows.shape[1], entries, sinks, lse.detach(), delta)
    return None


def _gathered(dq: Tensor, given: Tensors, q: Tensor, table: Tensor, index: Tensor, dtable: Tensor, scale: float) -> Any:
    """dq and the table's gradient, a run of places at a time."""
    copies.fill(dtable, 0.0)
    for batches, places in _parts(q, index):
        part = _Run(_some(q, batches, places), table[batches].contiguous(), _some(index, batches, places), scale)
        if any(best_tiles(part.case(which), state.chip) is None for which in ("flash_dq", "flash_dkv")):
            return NotImplemented
        seen, bias = part.gather()
        kept = tuple(_some(t.detach(), batches, places) for t in given)
        dq[batches, places].copy_(_gradients(part, seen, bias, kept, dtable[batches]))
    return None


def _gradients(part: _Run, seen: Tensor, bias: Tensor, kept: Tensors, dtable: Tensor) -> Tensor:
    """dq; gradients of the gathered rows are added to the table's."""
    g, lse, delta = kept
    head = (_flat(g), _flat(part.q), seen, seen, bias, lse, delta)
    dq, dseen = part.empty(*part.q.shape, dtype=part.q.dtype), part.empty(part.picks * part.D)
    run(part.case("flash_dq"), head, (dq,))
    run(part.case("flash_dkv"), head, (dseen, None))
    part.scatter(dseen, dtable)
    return dq


def _deliver(outputs: Tensors, dtable: Tensor, count: int, entries: Tensor | None, sinks: Tensor | None, lse: Tensor, delta: Tensor) -> None:
    outputs[1].copy_(dtable[:, :count])
    if entries is not None and entries.numel():
        outputs[2].copy_(dtable[:, count:])
    if sinks is not None:
        share = (sinks.detach() - lse.clamp(min=LOWEST)).exp() * delta
        outputs[3].copy_(-share.sum((0, 1)))
