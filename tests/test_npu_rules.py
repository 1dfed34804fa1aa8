"""The rules of the hazard check on programs written by hand: for every rule one that breaks it and one that differs just enough not to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.npu_assembler import (
    CAPACITY,
    FIX,
    GM,
    L0A,
    L0B,
    L0C,
    L1,
    MTE1,
    MTE2,
    MTE3,
    READ,
    UB,
    WRITE,
    Assembler,
    M,
    S,
    V,
)  # fmt: skip

T = 8192


def aiv(*sizes: int) -> Assembler:
    return Assembler("aiv", sizes or (1 << 20, 1 << 20, 1 << 20))


def capacity(ok: bool) -> Assembler:
    p = aiv()
    p.load(CAPACITY[UB] - T, T if ok else T + 32)
    return p


def alignment(ok: bool) -> Assembler:
    p = aiv()
    p.load(64 if ok else 48, 32)
    return p


def event_id(ok: bool) -> Assembler:
    p = aiv()
    p.order(V, MTE2, 7 if ok else 8)
    return p


def set_twice(ok: bool) -> Assembler:
    p = aiv()
    p.set(MTE2, V, 0)
    if ok:
        p.wait(MTE2, V, 0)
        p.order(V, MTE2, 1)
    p.set(MTE2, V, 0)
    p.wait(MTE2, V, 0)
    return p


def set_before_the_wait_is_known(ok: bool) -> Assembler:
    p = aiv()
    p.order(MTE2, V, 0)
    if ok:
        p.order(V, MTE2, 0)
    p.order(MTE2, V, 0)
    return p


def flag_left(ok: bool) -> Assembler:
    p = aiv()
    p.set(MTE2, V, 3)
    if ok:
        p.wait(MTE2, V, 3)
    return p


def counter_left(ok: bool) -> Assembler:
    p = Assembler("mix")
    p.core = "aic"
    p.cross_set(FIX, 2, 8)
    p.core = "aiv"
    if ok:
        p.cross_wait(8)
    return p


def same_pipe(ok: bool) -> Assembler:
    p = aiv()
    p.fill(0, 256)
    if ok:
        p.barrier(V)
    p.vector(256, 0, 256)
    return p


def same_destination(ok: bool) -> Assembler:
    p = aiv()
    p.load(0, 256)
    if ok:
        p.barrier(MTE2)
    p.load(128, 256)
    return p


def cube(p: Assembler, m: int, n: int, init: bool, unit: int = 0) -> None:
    size = m * n * 4
    p.op(
        M,
        "mmad",
        [(L0C, WRITE if init else READ | WRITE, 0, size), (L0A, READ, 0, m * 32), (L0B, READ, 0, n * 32)],
        (m, n, 16, int(init), unit, 0, 0),
    )


def loaded(m: int, n: int) -> Assembler:
    p = Assembler("aic", (1 << 20, 1 << 20))
    p.load(0, (m + n) * 32, memory=L1)
    p.order(MTE2, MTE1)
    p.op(MTE1, "load_a", [(L0A, WRITE, 0, m * 32), (L1, READ, 0, m * 32)])
    p.op(MTE1, "load_b", [(L0B, WRITE, 0, n * 32), (L1, READ, m * 32, n * 32)])
    p.order(MTE1, M)
    return p


def fixpipe(p: Assembler, size: int, unit: int = 0, at: int = 0) -> None:
    p.op(FIX, "fixpipe", [(GM, WRITE, at, size // 2, [], 1), (L0C, READ, 0, size)], (16, 16, 32, 16, 1, 0, unit, 0, 0, 1, 0, 0))


def accumulate(ok: bool) -> Assembler:
    p = loaded(32, 64)
    cube(p, 32, 64, True)
    if ok:
        p.barrier(M)
    cube(p, 32, 64, False)
    return p


def unit_flag(ok: bool) -> Assembler:
    p = loaded(32, 64)
    cube(p, 32, 64, True, 3)
    fixpipe(p, 32 * 64 * 4, 3 if ok else 2)
    cube(p, 32, 64, True, 3)
    fixpipe(p, 32 * 64 * 4, 3 if ok else 2)
    return p


def unit_flag_on_one_side(ok: bool) -> Assembler:
    p = loaded(32, 64)
    cube(p, 32, 64, True, 3 if ok else 0)
    fixpipe(p, 32 * 64 * 4, 3)
    return p


def overlap_within(ok: bool) -> Assembler:
    p = aiv()
    p.fill(0, 512)
    p.barrier(V)
    p.vector(0 if ok else 32, 0, 256)
    return p


def repeats(ok: bool) -> Assembler:
    p = aiv()
    p.op(V, "duplicate", [(UB, WRITE, 0, 256)], (1, 64, 0, 255 if ok else 256, 1, 1, 1, 8, 8, 8, 0, 0))
    return p


def strides(ok: bool) -> Assembler:
    p = aiv()
    p.op(V, "duplicate", [(UB, WRITE, 0, 256)], (1, 64, 0, 1, 1, 1, 1, 255 if ok else 256, 8, 8, 0, 0))
    return p


def unwritten(ok: bool) -> Assembler:
    p = aiv()
    if ok:
        p.fill(256, 256)
        p.barrier(V)
    p.vector(0, 256, 256)
    p.order(V, MTE3)
    p.store(0, 256)
    return p


def accumulate_on_nothing(ok: bool) -> Assembler:
    p = loaded(64, 64)
    cube(p, 64, 64, ok)
    return p


def out_of_bounds(ok: bool) -> Assembler:
    p = aiv(4096)
    p.load(0, 256, 4096 - 256 if ok else 4096 - 224)
    return p


def race(ok: bool) -> Assembler:
    p = aiv()
    p.load(0, 256)
    if ok:
        p.order(MTE2, V)
    p.vector(256, 0, 256)
    return p


def overwritten_while_read(ok: bool) -> Assembler:
    p = race(True)
    if ok:
        p.order(V, MTE2)
    p.load(128, 32)
    return p


def blocks_overlap(ok: bool) -> Assembler:
    p = aiv()
    p.load(0, 256)
    p.order(MTE2, MTE3)
    p.store(0, 256, ("*", ("block",), 256 if ok else 224))
    return p


def blocks_read_what_others_write(ok: bool) -> Assembler:
    p = aiv()
    p.fill(0, 256)
    p.order(V, MTE3)
    p.store(0, 256, ("*", ("block",), 256), 1)
    if ok:
        p.sync_all()
    p.load(256, 512, 0, 1)
    return p


def mixed_cores(ok: bool) -> Assembler:
    p = Assembler("mix", (1 << 20, 1 << 20))
    p.core = "aic"
    p.op(FIX, "store", [(GM, WRITE, 0, 512, [], 0)])
    if ok:
        p.cross_set(FIX, 2, 8)
    p.core = "aiv"
    if ok:
        p.cross_wait(8)
    p.load(0, 256, ("*", ("sub",), 256), 0)
    return p


def deadlock(ok: bool) -> Assembler:
    p = aiv()
    p.wait(MTE2, V, 0) if not ok else p.order(MTE2, V, 0)
    return p


def both_wait_first(ok: bool) -> Assembler:
    p = aiv()
    if ok:
        p.set(V, MTE2, 0)
    p.wait(V, MTE2, 0)
    p.set(MTE2, V, 0)
    p.wait(MTE2, V, 0)
    if not ok:
        p.set(V, MTE2, 0)
    return p


def uneven_barrier(ok: bool) -> Assembler:
    p = aiv()
    p.sync_all()
    if not ok:
        p.when(("block",))
        p.sync_all()
        p.end()
    return p


def cross_id(ok: bool) -> Assembler:
    p = Assembler("mix")
    p.core = "aic"
    p.cross_set(FIX, 2, 10 if ok else 16)
    p.core = "aiv"
    if ok:
        p.cross_wait(10)
    return p


def counter_runs_over(ok: bool) -> Assembler:
    p = Assembler("mix")
    p.core = "aic"
    p.loop(0, 15 if ok else 16)
    p.cross_set(FIX, 2, 8)
    p.end()
    p.core = "aiv"
    p.loop(0, 15 if ok else 16)
    p.cross_wait(8)
    p.end()
    return p


def more_blocks_than_cores(ok: bool) -> Assembler:
    p = aiv()
    if not ok:
        p.sync_all()
    return p


def scalar_write_to_gm(ok: bool) -> Assembler:
    p = aiv()
    p.op(S, "set_value", [(GM, WRITE, 0, 4, [], 1)])
    if ok:
        p.op(S, "cache_clean", [(GM, WRITE, 0, 64, [], 1)], sync="DataCacheCleanAndInvalid")
    p.order(S, MTE2)
    p.load(0, 32, 0, 1)
    return p


def wrong_core(ok: bool) -> Assembler:
    p = Assembler("aic", (1 << 20,))
    p.op(MTE1 if ok else V, "nothing")
    return p


def scalar_read(ok: bool) -> Assembler:
    p = aiv()
    p.fill(0, 256)
    if ok:
        p.order(V, S)
    p.get_value(UB, 0, 0, 0, 10)
    return p


CASES: list[tuple[int, Callable[[bool], Assembler], int]] = [
    (1, capacity, 1), (2, alignment, 1), (5, event_id, 1), (6, set_twice, 1), (6, set_before_the_wait_is_known, 1), (7, flag_left, 1),
    (7, counter_left, 1), (8, same_pipe, 1), (8, same_destination, 1), (9, accumulate, 1), (10, unit_flag, 1),
    (10, unit_flag_on_one_side, 1), (11, overlap_within, 1), (12, repeats, 1), (13, strides, 1), (14, unwritten, 1),
    (14, accumulate_on_nothing, 1), (15, out_of_bounds, 1), (16, race, 1), (16, overwritten_while_read, 1), (17, blocks_overlap, 8),
    (17, blocks_read_what_others_write, 2), (17, mixed_cores, 1), (18, deadlock, 1), (18, both_wait_first, 1), (18, uneven_barrier, 2),
    (19, cross_id, 1), (19, counter_runs_over, 1), (20, more_blocks_than_cores, 49), (21, scalar_write_to_gm, 1), (22, wrong_core, 1),
    (24, scalar_read, 1),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "make", "blocks"), CASES, ids=[f"R{r:02}-{m.__name__}" for r, m, _ in CASES])
def test_a_rule_finds_what_breaks_it_and_nothing_else(rule: int, make: Callable[[bool], Assembler], blocks: int) -> None:
    assert make(True).rules(blocks) == []
    assert rule in make(False).rules(blocks)
