"""Recurrent layers: a step is a product of the cube cores and one kernel of the vector cores for all gates; the steps follow each other.

A cell is a table: of its tensors (how many parts of H columns each has), and of a formula for each part of what it writes. Everything is float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ascendlite.core import Tensor, _core, no_grad
from ascendlite.npu import ascendc as ac
from ascendlite.npu.kernels import kernel_for
from ascendlite.npu.kernels.expression import Plan, Value, constant, relu, where
from ascendlite.npu.kernels.formulas import sigmoid, tanh
from ascendlite.npu.lang import dtypes
from ascendlite.npu.lang.rows import barrier
from ascendlite.npu.lang.tensors import Slots, allocate
from ascendlite.npu.lang.tiles import Flow, Port, my_part, scratch
from ascendlite.npu.programs import kernel
from ascendlite.npu.runtime.device import state
from ascendlite.npu.runtime.launch import launch
from ascendlite.ops.matmul import linear, matmul

f32 = dtypes.f32
TANH, RELU, LSTM, GRU = range(4)  # as ops.rnn numbers them
ROOM: Final = 1024  # numbers of a part: 15 parts in two slots each are 120 KiB of UB, the formulas' buffers some 24
WIDEST: Final = 512  # columns of a part at a time
Formula = Callable[..., Value]


@dataclass(frozen=True)
class Cell:
    """ins, outs: parts of each tensor. rules: one for each part that is written, of the parts that are read and of those written before it."""

    ins: tuple[int, ...]
    outs: tuple[int, ...]
    rules: tuple[Formula, ...]

    def plans(self) -> Iterator[Plan]:
        """The formulas as instructions on tiles."""
        known = [Value("input", "f32") for _ in range(sum(self.ins))]
        for rule in self.rules:
            yield Plan(known, rule(*known))
            known.append(Value("input", "f32"))


def _slope(y: Value) -> Value:
    """Of sigmoid, from its value."""
    return y * (1.0 - y)


def _lstm_slope(dh: Value, dout: Value, dc: Value, dcells: Value, i: Value, f: Value, g: Value, o: Value, before: Value, c: Value, *_: Value) -> Value:
    """The gradient of the new cell."""
    s = tanh(c)
    return dc + dcells + (dh + dout) * o * (1.0 - s * s)


def _gru_slope(dh: Value, carried: Value, dout: Value, r: Value, z: Value, n: Value, share: Value, before: Value, *_: Value) -> Value:
    """The gradient of what n is the tanh of."""
    return (dh + carried + dout) * (1.0 - z) * (1.0 - n * n)


# Forward: the input's share of the gates, the hidden share, the cell (LSTM) or state (GRU) before; what is kept, the cell (LSTM), the output.
# Backward: the gradient of the output from the next step, the rest of it (GRU), the output's own, those of the cell (LSTM); what was kept and was before.
CELLS: Final[dict[tuple[int, bool], Cell]] = {
    (TANH, False): Cell((1, 1), (1,), (lambda x, p: tanh(x + p),)),
    (RELU, False): Cell((1, 1), (1,), (lambda x, p: relu(x + p),)),
    (LSTM, False): Cell((4, 4, 1), (4, 1, 1), (
        lambda *v: sigmoid(v[0] + v[4]), lambda *v: sigmoid(v[1] + v[5]), lambda *v: tanh(v[2] + v[6]), lambda *v: sigmoid(v[3] + v[7]),
        lambda *v: v[10] * v[8] + v[9] * v[11],
        lambda *v: v[12] * tanh(v[13]),
    )),
    (GRU, False): Cell((3, 3, 1), (4, 1), (
        lambda *v: sigmoid(v[0] + v[3]), lambda *v: sigmoid(v[1] + v[4]), lambda *v: tanh(v[2] + v[7] * v[5]), lambda *v: v[5] * 1.0,
        lambda *v: v[9] + v[8] * (v[6] - v[9]),
    )),
    (TANH, True): Cell((1, 1, 1), (1,), (lambda dh, dout, y: (dh + dout) * (1.0 - y * y),)),
    (RELU, True): Cell((1, 1, 1), (1,), (lambda dh, dout, y: where(y > 0.0, dh + dout, constant(0.0, y)),)),
    (LSTM, True): Cell((1, 1, 1, 1, 4, 1, 1), (1, 4), (
        lambda *v: _lstm_slope(*v) * v[5],
        lambda *v: _lstm_slope(*v) * v[6] * _slope(v[4]),
        lambda *v: _lstm_slope(*v) * v[8] * _slope(v[5]),
        lambda *v: _lstm_slope(*v) * v[4] * (1.0 - v[6] * v[6]),
        lambda *v: (v[0] + v[1]) * tanh(v[9]) * _slope(v[7]),
    )),
    (GRU, True): Cell((1, 1, 1, 4, 1), (3, 3, 1), (
        lambda *v: _gru_slope(*v) * v[6] * _slope(v[3]),
        lambda *v: (v[0] + v[1] + v[2]) * (v[7] - v[5]) * _slope(v[4]),
        lambda *v: _gru_slope(*v),
        lambda *v: v[8] * 1.0, lambda *v: v[9] * 1.0, lambda *v: v[10] * v[3],
        lambda *v: (v[0] + v[1] + v[2]) * v[4],
    )),
}  # fmt: skip


class _Place:
    """The rows and columns of a tile."""

    row: Any = 0
    column: Any = 0
    rows: Any = 0
    columns: Any = 0


class _Part(Port):
    """H columns of a tensor of `parts` times H, whose tiles pass through slots of UB in rows of `pitch`."""

    def __init__(self, tensor: Any, part: int, parts: int, hidden: int, size: int, pitch: int, place: _Place) -> None:
        self.window = ac.GlobalTensor(tensor)[part * hidden :]
        self.slots = Slots(allocate(ac.Hardware.UB.value, f32, size, 2, name=f"tiles of {tensor.name}"))
        self.step, self.pitch, self.place = parts * hidden, pitch, place
        if hidden % pitch:
            for slot in self.slots.tensors:  # what lies between rows is read, too
                ac.Duplicate(slot, 0.0, size)

    def load(self, slot: Any, _start: Any, _items: Any) -> None:
        """The tile at `place`."""
        p = self.place
        ac.DataCopyPad(self.slots[slot], self.window[p.row * self.step + p.column :],
                       ac.DataCopyExtParams(p.rows, p.columns * 4, (self.step - p.columns) * 4, 0, pitch=self.pitch * 4))

    def store(self, slot: Any, _start: Any, _items: Any) -> None:
        """The tile at `place`."""
        p = self.place
        ac.DataCopyPad(self.window[p.row * self.step + p.column :], self.slots[slot],
                       ac.DataCopyExtParams(p.rows, p.columns * 4, 0, (self.step - p.columns) * 4, pitch=self.pitch * 4))


def _parts(tensors: Sequence[Any], counts: Sequence[int], hidden: int, size: int, pitch: int, place: _Place) -> list[_Part]:
    return [_Part(t, k, parts, hidden, size, pitch, place) for t, parts in zip(tensors, counts, strict=True) for k in range(parts)]


@kernel(kind="aiv")  # type: ignore[untyped-decorator]
def cell(mode: int, backward: bool, batch: int, hidden: int, rows: int, ins: Any, outs: Any) -> None:
    """One step of a recurrent cell: outs = its formulas of ins, of `batch` rows."""
    kind = CELLS[mode, backward]
    width = min(hidden, WIDEST)
    pitch, place = -(-width // 8) * 8, _Place()
    size = -(-rows * pitch // 64) * 64  # comparisons take whole repeats
    sources, targets = (_parts(tensors, counts, hidden, size, pitch, place) for tensors, counts in ((ins, kind.ins), (outs, kind.outs)))
    plans = list(kind.plans())
    rooms = [scratch(dtypes.u8, -(-int(size * max(sizes)) // 256) * 256) for sizes in _columns([plan.slots for plan in plans])]
    flow, across = Flow(sources, targets, 2), -(-hidden // width)
    first, count = my_part(-(-batch // rows) * across, 1)
    for i in ac.range(first, first + count):
        place.row, place.column = i // across * rows, i % across * width
        place.rows, place.columns = ac.min(rows, batch - place.row), ac.min(width, hidden - place.column)
        t = flow.fill(i - first, i, 1)
        tiles = list(t.ins)
        for plan, out in zip(plans, t.outs, strict=True):
            barrier()
            plan.issue(tiles, rooms, out, place.rows * pitch)
            tiles.append(out)
        flow.drain(t)
    flow.close()


def _columns(table: Sequence[Sequence[float]]) -> list[list[float]]:
    """The columns of rows of several lengths."""
    return [[row[k] for row in table if len(row) > k] for k in range(max(map(len, table)))]


def _run(mode: int, backward: bool, ins: Sequence[Tensor], outs: Sequence[Tensor]) -> None:
    batch, hidden = outs[-1].shape[0], outs[-1].shape[-1] // CELLS[mode, backward].outs[-1]
    width = min(hidden, WIDEST)
    across = -(-hidden // width)
    rows = max(1, min(ROOM // (-(-width // 8) * 8), -(-batch * across // state.chip.aiv)))
    launch(cell, mode, backward, batch, hidden, rows, tuple(ins), tuple(outs), blocks=min(state.chip.aiv, -(-batch // rows) * across), name="rnn_cell")


def _order(steps: int, reverse: bool) -> list[int]:
    return list(range(steps))[:: -1 if reverse else 1]


@kernel_for("rnn_sequence")
def _sequence(outputs: tuple[Tensor, ...], inputs: tuple[Tensor | None, ...], attrs: tuple[Any, ...]) -> Any:
    given, w, bias, h, c = (None if t is None else t.detach() for t in inputs)
    out, cells, kept = (t.detach() for t in outputs)
    mode, reverse = int(attrs[0]), bool(attrs[1])
    assert given is not None and w is not None and h is not None
    if given.dtype.name != "float32" or not given.numel():
        return NotImplemented
    given, w, h, c = given.contiguous(), w.contiguous(), h.contiguous(), None if c is None else c.contiguous()
    with no_grad():
        for t in _order(given.shape[0], reverse):
            share = linear(h, w, bias)
            if mode == LSTM:
                assert c is not None
                _run(mode, False, (given[t], share, c), (kept[t], cells[t], out[t]))
                c = cells[t]
            elif mode == GRU:
                _run(mode, False, (given[t], share, h), (kept[t], out[t]))
            else:
                _run(mode, False, (given[t], share), (out[t],))
            h = out[t]
    return None


@kernel_for("rnn_sequence_backward")
def _sequence_backward(outputs: tuple[Tensor, ...], inputs: tuple[Tensor | None, ...], attrs: tuple[Any, ...]) -> Any:
    dout, dcells, out, cells, kept, w, h0, c0 = (None if t is None else t.detach().contiguous() for t in inputs)
    dgiven, dhidden, dh0, dc0 = (t.detach() for t in outputs)
    mode, reverse = int(attrs[0]), bool(attrs[1])
    assert out is not None and w is not None and h0 is not None
    if out.dtype.name != "float32" or not out.numel():
        return NotImplemented
    order = _order(out.shape[0], reverse)
    nothing: Tensor = _core.zeros(tuple(h0.shape), dtype=out.dtype, device=out.device)
    dh, carried, dc = nothing, nothing, nothing
    with no_grad():
        for step in reversed(range(len(order))):
            t = order[step]
            own = nothing if dout is None else dout[t]
            if mode == LSTM:
                assert cells is not None and kept is not None and c0 is not None
                into: Tensor = dc0 if step == 0 else _core.empty(tuple(h0.shape), dtype=out.dtype, device=out.device)
                _run(mode, True, (dh, own, dc, nothing if dcells is None else dcells[t], kept[t], cells[order[step - 1]] if step else c0, cells[t]), (into, dgiven[t]))
                dc = into
            elif mode == GRU:
                assert kept is not None
                rest: Tensor = _core.empty(tuple(h0.shape), dtype=out.dtype, device=out.device)
                _run(mode, True, (dh, carried, own, kept[t], out[order[step - 1]] if step else h0), (dgiven[t], dhidden[t], rest))
                carried = rest
            else:
                _run(mode, True, (dh, own, out[t]), (dgiven[t],))
            dh = matmul((dhidden if mode == GRU else dgiven)[t], w)
        dh0.copy_(dh + carried if mode == GRU else dh)
    return None
