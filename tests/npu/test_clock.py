"""Laws of the clock on programs written by hand: what instructions take, how copies share, what waits for what."""

from __future__ import annotations

from typing import Any

import pytest

from ascendlite.errors import FileFormatError
from ascendlite.npu import chips, clock
from tests.npu.assembler import F32, FIX, GM, L0A, L0B, L0C, L1, MTE1, MTE2, MTE3, READ, UB, WRITE, Assembler, M, S, V

CHIP = chips.load("910b1")
CYCLE_NS = 1e9 / CHIP.clock_hz


def pipe(timeline: dict[str, Any], number: int, core: int = 0) -> tuple[Any, ...]:
    """Of one core's pipe: busy, contended, conflicts, work, instructions, stalls."""
    return tuple(timeline["cores"][core][6][number])


def vector_ns(cost: str, count: int, operands: tuple[int, ...], dtype: int = F32, times: int = 8) -> float:
    """Nanoseconds of one of `times` equal instructions."""
    a = Assembler()
    for _ in range(times):
        a.vector(cost, count, operands, dtype)
    return float(pipe(clock.schedule(a.program(1, []), 1, CHIP), V)[0]) / times


APART = (2 << 16, 0, (1 << 16) + 256)  # dst in a bank of its own, sources in different groups


@pytest.mark.parametrize(("operands", "cycles"), [(APART, 86), ((2 << 16, 0, 1 << 16), 150), ((0, 0, (1 << 16) + 256), 135)])
def test_an_add_of_4096_floats_takes_the_measured_cycles(operands: tuple[int, ...], cycles: float) -> None:
    assert vector_ns("add", 4096, operands) / CYCLE_NS == pytest.approx(cycles, rel=0.02)


def test_half_the_width_takes_half_the_repeats() -> None:
    assert vector_ns("add", 4096, APART, 6) < vector_ns("add", 4096, APART)
    assert vector_ns("exp", 4096, (1 << 16, 0), 6) == pytest.approx(vector_ns("exp", 4096, (1 << 16, 0)))  # 32 a cycle in either


def test_a_barrier_shows_the_tail_of_an_instruction() -> None:
    without, between = Assembler(), Assembler()
    for a, barrier in ((without, False), (between, True)):
        for _ in range(100):
            a.vector("add", 4096, APART, F32)
            if barrier:
                a.emit("PipeBarrier", "barrier", V, 3, args=(0,))
    ends = [clock.schedule(a.program(1, []), 1, CHIP)["cores"][0][5] for a in (without, between)]
    hidden = clock.constants(CHIP)["vector_overlap"]
    assert ends[1] - ends[0] == pytest.approx(99 * hidden * CYCLE_NS, rel=0.01)


def mmad(a: Assembler, dtype: int, m: int = 128, n: int = 256, k: int = 64) -> None:
    a.emit(
        "Mmad",
        "mmad",
        M,
        regions=((L0C, F32, WRITE, -1, 0, m * n * 4), (L0A, dtype, READ, -1, 0, m * k * 2), (L0B, dtype, READ, -1, 0, n * k * 2)),
        args=(m, n, k, 1, 0, 0, 0),
    )


@pytest.mark.parametrize(("dtype", "cycles"), [(6, 512), (7, 512), (2, 256), (F32, 2048)])
def test_a_mmad_takes_its_blocks(dtype: int, cycles: int) -> None:
    a = Assembler()
    mmad(a, dtype)
    assert pipe(clock.schedule(a.program(0, []), 1, CHIP), M)[0] / CYCLE_NS == pytest.approx(cycles + 10)


def test_a_part_of_a_block_costs_a_whole_one() -> None:
    times = []
    for m in (113, 128):
        a = Assembler()
        mmad(a, 6, m=m)
        times.append(pipe(clock.schedule(a.program(0, []), 1, CHIP), M)[0])
    assert times[0] == times[1]


def reads(blocks: int, size: int = 32768, copies: int = 64, **options: Any) -> dict[str, Any]:
    a = Assembler()
    start = a.expr(7, a.expr(1), size * copies)
    with a.loop(copies) as i:
        a.load(0, a.expr(5, start, a.expr(7, i, size)), size)
    return clock.schedule(a.program(1, [size * copies * blocks]), blocks, CHIP, **options)


def test_one_core_reads_at_its_port_and_all_at_the_memory_rate() -> None:
    one, all_cores = reads(1), reads(48)
    size = 32768 * 64
    constants = clock.constants(CHIP)
    port = constants["in_ub_miss_rate"] / constants["cycle_ns"]
    assert pipe(one, MTE2)[0] == pytest.approx(size / port + constants["in_latency_miss_ns"], rel=0.01)
    assert all_cores["total_ns"] > 48 * size / constants["hbm_rate"]
    assert all_cores["total_ns"] == pytest.approx(48 * size / constants["hbm_rate"], rel=0.1)


def test_what_the_cache_holds_is_read_faster() -> None:
    l2 = clock.cache_of(CHIP)
    cold, warm = reads(48, l2=l2), reads(48, l2=l2)
    assert warm["missed_bytes"] == 0
    assert warm["total_ns"] < cold["total_ns"] / 2


def test_more_work_never_ends_earlier() -> None:
    ends = [reads(48, copies=n)["total_ns"] for n in (1, 2, 3, 5, 8, 13)]
    assert ends == sorted(ends)


def test_the_same_launch_takes_the_same_time() -> None:
    assert reads(48) == reads(48)


def test_blocks_beyond_the_cores_wait_for_their_turn() -> None:
    full, more = reads(48), reads(49)
    assert more["total_ns"] > full["total_ns"]
    assert len(more["cores"]) == 48
    assert sum(c[3] for c in more["cores"]) == 49


def test_a_flag_makes_its_pipe_wait_and_says_so() -> None:
    a = Assembler()
    a.load(0, 0, 8192)
    a.set(MTE2, V)
    a.wait(MTE2, V, site=7)
    a.vector("add", 4096, APART, F32)
    t = clock.schedule(a.program(1, [8192]), 1, CHIP)
    assert pipe(t, V)[5][MTE2] > 200
    assert next(w[:4] for w in t["waits"]) == (1, V, MTE2, 7)


def test_an_unset_flag_is_an_error_that_names_it() -> None:
    a = Assembler()
    a.wait(MTE2, V, 3)
    a.vector("add", 64, APART, F32)
    with pytest.raises(ValueError, match=r"by_hand stands still; AIV 0: V waits for flag 3 of MTE2"):
        clock.schedule(a.program(1, []), 1, CHIP)


def test_an_unknown_cost_is_an_error_that_says_where_to_add_it() -> None:
    a = Assembler()
    a.vector("frobnicate", 64, APART, F32)
    with pytest.raises(ValueError, match=r'clock: frobnicate costs "frobnicate", which costs.toml does not have'):
        clock.schedule(a.program(1, []), 1, CHIP)


def tile(a: Assembler, unit: int) -> None:
    """Three Mmads and their Fixpipe, handed over by unit flags or by an event."""
    for k in range(3):
        flag = (3 if k == 2 else 2) if unit else 0
        a.emit(
            "Mmad",
            "mmad",
            M,
            regions=((L0C, F32, WRITE, -1, 0, 131072), (L0A, 6, READ, -1, 0, 16384), (L0B, 6, READ, -1, 0, 32768)),
            args=(128, 256, 64, k == 0, flag, 0, 0),
        )
    if not unit:
        a.set(M, FIX)
        a.wait(M, FIX)
    a.emit(
        "Fixpipe",
        "fixpipe",
        FIX,
        regions=((GM, 6, WRITE, 0, 0, 65536), (L0C, F32, READ, -1, 0, 131072)),
        args=(128, 256, 512, 128, 1, 0, 3 if unit else 0, 0, 0, 1, 0, 0),
    )
    if not unit:
        a.set(FIX, M)
        a.wait(FIX, M)


def test_unit_flags_let_the_pipes_overlap() -> None:
    ends = []
    for unit in (0, 1):
        a = Assembler()
        for _ in range(4):
            tile(a, unit)
        ends.append(clock.schedule(a.program(0, [65536]), 1, CHIP)["total_ns"])
    assert ends[1] < ends[0]


def test_sync_all_lets_no_core_through_early() -> None:
    a = Assembler()
    with a.loop(a.expr(5, a.expr(1), 1)):  # block b adds b + 1 times
        a.vector("add", 4096, APART, F32)
    a.emit("SyncAll", "sync_all", S, 6, args=(1,))
    a.vector("add", 4096, APART, F32)
    t = clock.schedule(a.program(1, []), 8, CHIP)
    ends = [c[5] for c in t["cores"]]
    assert max(ends) - min(ends) < 1


def test_every_constant_has_a_unit_and_a_source() -> None:
    for generation in chips.chip.GENERATIONS:
        assert set(clock.costs(generation)) == {"memory", "cube", "core", "vector"}
    with pytest.raises(FileFormatError, match="has no generation '4000'"):
        clock.costs("4000")


@pytest.mark.parametrize("name", chips.names())
def test_every_chip_has_a_clock(name: str) -> None:
    a = Assembler()
    a.load(0, 0, 8192)
    a.set(MTE2, V)
    a.wait(MTE2, V)
    a.vector("add", 4096, APART, F32)
    a.set(V, MTE3)
    a.wait(V, MTE3)
    a.store(0, 0, 8192, 2 << 16)
    assert 1000 < clock.schedule(a.program(1, [8192]), 1, name)["total_ns"] < 4000


def test_pipes_of_l1_and_l0_take_their_rates() -> None:
    a = Assembler()
    a.emit("LoadA", "load_l0", MTE1, regions=((L0A, 6, WRITE, -1, 0, 16384), (L1, 6, READ, -1, 0, 16384)), args=(128, 64, 128, 0, 0, 1))
    a.emit("LoadB", "load_l0", MTE1, regions=((L0B, 6, WRITE, -1, 0, 32768), (L1, 6, READ, -1, 0, 32768)), args=(64, 256, 64, 0, 0, 4))
    cycles = pipe(clock.schedule(a.program(0, []), 1, CHIP), MTE1)[0] / CYCLE_NS
    assert cycles == pytest.approx(16384 / 256 + 32768 / 128 + 5 * 22.4)


def test_writes_past_the_cache_leave_the_reads_alone() -> None:
    def both(**options: Any) -> float:
        a = Assembler()
        start = a.expr(7, a.expr(1), 32768 * 160)
        with a.loop(160) as i:
            at = a.expr(5, start, a.expr(7, i, 32768))
            a.load(0, at, 32768)
            a.store(1, at, 32768, UB)
        l2 = clock.cache_of(CHIP)
        program = a.program(1, [32768 * 160 * 48] * 2)
        clock.schedule(program, 48, CHIP, l2=l2, **options)
        return float(clock.schedule(program, 48, CHIP, l2=l2, **options)["total_ns"])

    assert both(past_l2=(1,)) < both()


def test_bytes_are_counted_once() -> None:
    t = reads(48)
    size = 32768 * 64 * 48
    assert (t["read_bytes"], t["missed_bytes"], t["written_bytes"]) == (size, size, 0)
    assert all(pipe(t, MTE3, c)[0] == 0 for c in range(48))
