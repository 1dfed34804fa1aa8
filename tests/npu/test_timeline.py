"""Reports, advice and pictures of timelines."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

import ascendlite.npu.ascendc as ac
from ascendlite.npu import advice, kernel, on_chip, pictures
from ascendlite.npu.calibration.rows import Shape
from ascendlite.npu.lang.tensors import Argument
from ascendlite.npu.timeline import Timeline, timed


@kernel(kind="aiv")
def add(x: Argument, y: Argument, z: Argument, tile: int, buffers: int, spread: int) -> None:
    per = x.numel() // ac.GetBlockNum()
    start = ac.GetBlockIdx() * per
    ub = ac.LocalMemAllocator(ac.Hardware.UB)
    xl = ub.AllocSlots(x.dtype, tile, buffers)
    if spread:
        ub.Alloc(x.dtype, spread)
    yl, zl = (ub.AllocSlots(x.dtype, tile, buffers) for _ in range(2))
    for b in range(buffers):
        ac.SetFlag(ac.HardEvent.V_MTE2, b)
        ac.SetFlag(ac.HardEvent.MTE3_V, b)
    for i in ac.range(per // tile):
        s, at = i % buffers, start + i * tile
        ac.WaitFlag(ac.HardEvent.V_MTE2, s)
        ac.DataCopy(xl[s], ac.GlobalTensor(x)[at:], tile)
        ac.DataCopy(yl[s], ac.GlobalTensor(y)[at:], tile)
        ac.SetFlag(ac.HardEvent.MTE2_V, s)
        ac.WaitFlag(ac.HardEvent.MTE2_V, s)
        ac.WaitFlag(ac.HardEvent.MTE3_V, s)
        ac.Add(zl[s], xl[s], yl[s], tile)
        ac.SetFlag(ac.HardEvent.V_MTE2, s)
        ac.SetFlag(ac.HardEvent.V_MTE3, s)
        ac.WaitFlag(ac.HardEvent.V_MTE3, s)
        ac.DataCopy(ac.GlobalTensor(z)[at:], zl[s], tile)
        ac.SetFlag(ac.HardEvent.MTE3_V, s)
    for b in range(buffers):
        ac.WaitFlag(ac.HardEvent.V_MTE2, b)
        ac.WaitFlag(ac.HardEvent.MTE3_V, b)


def timeline(blocks: int = 48, tile: int = 4096, buffers: int = 1, spread: int = 0, n: int = 48 * 4096 * 32) -> Timeline:
    with on_chip("910b1"):
        return add[blocks].time(*[Shape((n,))] * 3, tile, buffers, spread)


def codes(t: Timeline) -> list[str]:
    return [a.code for a in advice.advise(t)]


def test_the_report_names_pipes_roofs_and_the_line_that_waits() -> None:
    text = timeline().report()
    assert "add on 910b1" in text
    assert "bound by HBM" in text
    assert "aiv MTE2" in text
    assert "ac.WaitFlag(ac.HardEvent.MTE2_V, s)" in text


def test_one_core_is_bound_by_its_own_copies() -> None:
    bound = timeline(1, buffers=2, tile=8192, n=8192 * 64).bound
    assert bound.name == "aiv MTE2"
    assert bound.share > 0.8


def test_more_buffers_are_advised_where_copies_wait_for_them() -> None:
    single = timeline(1, n=4096 * 64)
    assert "P05" in codes(single)
    gain = next(a.gain_us for a in advice.advise(single) if a.code == "P05")
    double = timeline(1, buffers=2, n=4096 * 64)
    assert single.us - gain <= double.us < single.us - 0.3 * gain  # two buffers bring much of what buffers without end would


def test_advice_on_buffers_names_who_waits_for_whom_and_where() -> None:
    (found,) = (a for a in advice.advise(timeline(1, n=4096 * 64)) if a.code == "P05")
    line = inspect.getsourcelines(add.function)[1] + inspect.getsource(add.function).splitlines().index("        ac.WaitFlag(ac.HardEvent.V_MTE2, s)")
    assert f"test_timeline.py:{line} (MTE2 waits " in found.place
    assert "us a core for V)" in found.place


def test_a_flag_that_orders_nothing_is_found_in_a_loop_beside_needed_ones_of_its_event() -> None:
    @kernel(kind="aiv")
    def held_up(x: Argument, y: Argument, rounds: int) -> None:
        slots = ac.LocalMemAllocator(ac.Hardware.UB).AllocSlots(x.dtype, 2048, 2)
        for b in range(2):
            ac.SetFlag(ac.HardEvent.MTE3_MTE2, b)
        for i in ac.range(rounds):
            s, t = i % 2, slots[i % 2]
            ac.WaitFlag(ac.HardEvent.MTE3_MTE2, s)
            ac.DataCopy(t, ac.GlobalTensor(x)[i * 2048 :], 2048)
            ac.SetFlag(ac.HardEvent.MTE2_V, s)
            ac.WaitFlag(ac.HardEvent.MTE2_V, s)
            ac.Adds(t, t, 1.0, 2048)
            ac.SetFlag(ac.HardEvent.V_MTE3, s)
            ac.WaitFlag(ac.HardEvent.V_MTE3, s)
            ac.DataCopy(ac.GlobalTensor(y)[i * 2048 :], t, 2048)
            ac.SetFlag(ac.HardEvent.MTE3_MTE2, s)
            ac.SetFlag(ac.HardEvent.MTE3_MTE2, s + 2)  # the next round's copy in waits for this one's copy out,
            ac.WaitFlag(ac.HardEvent.MTE3_MTE2, s + 2)  # though it goes to the other buffer
        for b in range(2):
            ac.WaitFlag(ac.HardEvent.MTE3_MTE2, b)

    with on_chip("910b1"):
        found = [a for a in advice.advise(held_up[1].time(Shape((2048 * 32,)), Shape((2048 * 32,)), 32)) if a.code == "P08"]
    begin = inspect.getsourcelines(held_up.function)[1]
    lines = [begin + i for i, line in enumerate(inspect.getsource(held_up.function).splitlines()) if "s + 2" in line]
    assert [a.place for a in found] == [", ".join(f"test_timeline.py:{line}" for line in lines)]
    assert found[0].gain_us > 1


def test_short_copies_are_advised_against() -> None:
    short, long = (timeline(tile=tile, buffers=2, n=48 * 4096 * 8) for tile in (256, 8192))
    gain = next(a.gain_us for a in advice.advise(short) if a.code == "P01")
    assert short.us - gain == pytest.approx(long.us, rel=0.1)  # what longer copies bring
    assert "P01" not in codes(long)


def test_the_gain_of_a_shift_is_what_shifting_brings() -> None:
    @kernel(kind="aiv")
    def only_adds(spread: int) -> None:
        ub = ac.LocalMemAllocator(ac.Hardware.UB)
        a = ub.Alloc("float32", 8192)
        if spread:
            ub.Alloc("float32", spread)
        b, c = ub.Alloc("float32", 8192), ub.Alloc("float32", 8192)
        for _ in ac.range(100):
            ac.Add(c, a, b, 8192)

    with on_chip("910b1"):
        conflict, apart = only_adds[1].time(0), only_adds[1].time(64)
    found = {a.code: a for a in advice.advise(conflict)}
    assert "P04" in found
    assert conflict.us - found["P04"].gain_us <= apart.us * 1.01
    assert apart.us < conflict.us


def test_uneven_work_is_seen() -> None:
    @kernel(kind="aiv")
    def uneven() -> None:
        t = ac.LocalMemAllocator(ac.Hardware.UB).Alloc("float32", 4096)
        for _ in ac.range(ac.GetBlockIdx() + 1):
            ac.Adds(t, t, 1.0, 4096)

    with on_chip("910b1"):
        assert "P06" in codes(uneven[48].time())


def test_barriers_are_seen() -> None:
    @kernel(kind="aiv")
    def barred() -> None:
        t = ac.LocalMemAllocator(ac.Hardware.UB).Alloc("float32", 64)
        for _ in ac.range(1000):
            ac.Adds(t, t, 1.0, 64)
            ac.PipeBarrier(ac.PIPE_V)

    with on_chip("910b1"):
        assert "P07" in codes(barred[1].time())


def test_a_program_is_timed_once() -> None:
    t = timeline()
    assert timed(t.program) is timed(t.program)
    assert t.us == timeline().us


def test_pictures_hold_the_instructions(tmp_path: Path) -> None:
    t = timeline(n=48 * 4096 * 4)
    t.perfetto(str(tmp_path / "t.json"))
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    names = {e["name"] for e in events if e["ph"] == "X"}
    assert {"DataCopy", "Add"} <= names
    assert all(e["dur"] >= 0 and e["ts"] >= 0 for e in events if e["ph"] == "X")
    t.html(str(tmp_path / "t.html"))
    page = (tmp_path / "t.html").read_text()
    assert "<svg" in page
    assert "http" not in page.split("<body")[1].split("<pre>")[0]
    t.png(str(tmp_path / "t.png"))
    assert (tmp_path / "t.png").stat().st_size > 5000


def test_spans_of_a_pipe_do_not_overlap_where_it_works_in_order() -> None:
    spans = pictures.with_spans(timeline(n=48 * 4096 * 4)).raw["spans"]
    adds = sorted((s[4], s[5]) for s in spans if s[1] == 1)
    assert len(adds) == 4
    assert all(a[1] <= b[0] for a, b in zip(adds, adds[1:]))
