"""How the hazard check sees programs as a whole: loops, blocks, scalars, shared memory; that nothing crashes it and that it is fast."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from tests.npu_assembler import ATOMIC, GM, MTE2, MTE3, READ, UB, WRITE, Assembler, S, V
from tests.test_npu_rules import T, aiv


def double_buffered(tiles: int, without: int = -1) -> Assembler:
    """A vector add, two buffers an operand; `without`: the event that is left out."""
    p = Assembler("aiv", (1 << 24,) * 3)
    events = [(s, d, e) for s, d in ((V, MTE2), (MTE2, V), (MTE3, V), (V, MTE3)) for e in (0, 1)]
    kept = [e for i, e in enumerate(events) if i != without]

    def flag(make: Callable[[int, int, int], int], *event: int) -> None:
        if event in kept:
            make(*event)

    for b in (0, 1):
        flag(p.set, V, MTE2, b)
        flag(p.set, MTE3, V, b)
    for i in range(tiles):
        b, gm = i % 2, i * T
        x, y, z = b * T, (2 + b) * T, (4 + b) * T
        flag(p.wait, V, MTE2, b)
        p.load(x, T, gm, 0)
        p.load(y, T, gm, 1)
        flag(p.set, MTE2, V, b)
        flag(p.wait, MTE2, V, b)
        flag(p.wait, MTE3, V, b)
        p.op(V, "add", [(UB, WRITE, z, T), (UB, READ, x, T), (UB, READ, y, T)])
        flag(p.set, V, MTE2, b)
        flag(p.set, V, MTE3, b)
        flag(p.wait, V, MTE3, b)
        p.store(z, T, gm, 2)
        flag(p.set, MTE3, V, b)
    for b in (0, 1):
        flag(p.wait, V, MTE2, b)
        flag(p.wait, MTE3, V, b)
    return p


def test_a_double_buffered_loop_is_clean() -> None:
    assert double_buffered(7).check() == []


@pytest.mark.parametrize("event", range(8))
def test_a_double_buffered_loop_needs_each_of_its_events(event: int) -> None:
    assert 16 in double_buffered(7, without=event).rules()


def test_a_finding_names_both_instructions_and_their_bytes() -> None:
    p = aiv()
    p.load(0, 512, 64)
    p.vector(1024, 256, 256)
    (found,) = p.check()
    later, earlier = found["parties"]
    assert (later["pipe"], later["site"], later["ordinal"], later["low"], later["high"]) == (V, 1, 1, 256, 512)
    assert (earlier["pipe"], earlier["site"], earlier["ordinal"], earlier["low"], earlier["high"]) == (MTE2, 0, 1, 0, 512)
    assert (found["low"], found["high"]) == (256, 512)


def test_a_deadlock_lists_what_waits_and_for_what() -> None:
    p = Assembler("mix", (4096,))
    p.core = "aic"
    p.cross_wait(9)
    p.core = "aiv"
    p.when(("-", 1, ("sub",)))
    p.cross_set(MTE3, 2, 9)
    p.end()
    (found,) = p.check()
    assert found["rule"] == 18
    assert [(w["core"], w["pipe"]) for w in found["parties"]] == [(0, S)]
    assert found["numbers"][:6] == [1, 9, 0, 1, 0, 0b110]  # core 1 has set it once, core 2 has not


def test_blocks_that_do_the_same_are_checked_once() -> None:
    p = aiv()
    p.load(0, 256, ("*", ("block",), 256))
    p.vector(512, 0, 256)
    (found,) = p.check(8)
    assert found["blocks"] == list(range(8))
    assert p.report(8)["classes"] == 1


def test_blocks_that_differ_in_length_are_checked_apart() -> None:
    p = aiv()
    p.load(0, ("*", 32, ("+", 1, ("block",))))
    assert p.report(4)["classes"] == 4


def test_arguments_that_share_memory_are_one() -> None:
    p = aiv(4096, 4096)
    p.load(0, 256, 0, 0)
    p.order(MTE2, MTE3)
    p.store(0, 256, 128, 1)
    p.load(256, 256, 0, 0)
    assert p.rules() == []
    assert p.rules(storage=[0, 0], offset=[0, 0]) == [16]
    assert p.rules(storage=[0, 0], offset=[0, 1024]) == []


def test_atomic_updates_of_blocks_are_noted_not_refused() -> None:
    p = aiv()
    p.fill(0, 256)
    p.order(V, MTE3)
    p.store(0, 256, 0, 1, ATOMIC | WRITE | READ)
    assert p.rules(1) == []
    assert p.rules(4) == [101]


def test_atomic_updates_conflict_with_plain_reads() -> None:
    p = aiv()
    p.fill(0, 256)
    p.order(V, MTE3)
    p.store(0, 256, 0, 1, ATOMIC | WRITE | READ)
    p.load(512, 256, 0, 1)
    assert p.rules() == [16]


def test_the_whole_declared_range_of_a_scalar_is_checked() -> None:
    def paged(slots: int, highest: int) -> Assembler:
        p = aiv(256, slots * 256)
        p.load(0, 32, 0, 0)
        p.order(MTE2, S)
        p.get_value(UB, 0, 0, 0, highest)
        p.load(256, 256, ("*", ("scalar", 0), 256), 1)
        return p

    assert paged(8, 7).rules() == []
    assert paged(8, 8).rules() == [15]


def test_places_that_may_meet_are_unsupported_not_clean() -> None:
    p = aiv()
    p.load(0, 32, 0, 0)
    p.order(MTE2, S)
    p.get_value(UB, 0, 0, 0, 7)
    p.load(("+", 256, ("*", ("scalar", 0), 256)), 256, 0, 0)
    p.load(256, 256, 0, 0)
    assert p.rules() == [8]
    q = aiv()
    q.load(0, 32, 0, 0)
    q.order(MTE2, S)
    q.get_value(UB, 0, 0, 0, 7)
    q.load(256, 256, 0, 0)
    q.load(("+", 256, ("*", ("scalar", 0), 256)), 256, 0, 0)
    assert q.rules() == [100]


def test_flow_that_depends_on_data_is_unsupported() -> None:
    p = aiv()
    p.load(0, 32, 0, 0)
    p.order(MTE2, S)
    p.get_value(UB, 0, 0, 0, 1)
    p.when(("scalar", 0))
    p.load(256, 64)
    p.vector(512, 256, 64)
    p.end()
    assert p.rules() == [16, 100]  # and both sides were looked at


def test_strided_operands_meet_only_where_their_rows_do() -> None:
    def columns(at: int) -> Assembler:
        p = aiv()
        p.op(MTE2, "copy", [(UB, WRITE, 0, 32, [(600, 128)]), (GM, READ, 0, 32 * 600, [], 0)])
        p.op(V, "duplicate", [(UB, WRITE, at, 64, [(600, 128)])], (1, 64, 0, 1, 1, 1, 1, 8, 8, 8, 0, 0))
        return p

    assert columns(32).rules() == []
    assert columns(64).rules() == []
    assert columns(96).rules() == [16]


def padded(store: int, rows: int = 4) -> Assembler:
    """Rows of 96 bytes, 64 of them loaded, worked on as one; then `store` bytes of each row leave."""
    p = aiv()
    p.op(MTE2, "copy", [(UB, WRITE, 0, 64, [(rows, 96)]), (GM, READ, 0, 64 * rows, [], 0)])
    p.order(MTE2, V)
    p.vector(1024, 0, 96 * rows)
    p.barrier(V)
    p.op(V, "abs", [(UB, WRITE, 2048, 32, [(3 * rows, 64)]), (UB, READ, 1024, 32, [(3 * rows, 32)])], (1, 8, 0, 3 * rows, 1, 1, 1, 2, 1, 0, 0, 0))
    p.order(V, MTE3)
    p.op(MTE3, "copy", [(GM, WRITE, 0, store // 32 * 32 * rows, [], 1), (UB, READ, 2048, 32, [(rows, 192), (store // 32, 64)])])
    return p


def test_padding_that_nobody_wrote_may_be_computed_with_but_not_stored() -> None:
    assert padded(64).rules() == []
    assert padded(96).rules() == [14]


def random_program(seed: int) -> Assembler:
    """Instructions without sense: any operand, any flag."""
    r = random.Random(seed)
    p = Assembler(r.choice(["aiv", "aic", "mix"]), (4096, 4096, 1 << 16))
    huge = [0, 1, -1, 7, 255, 4096, 1 << 20, 1 << 40, -(1 << 40)]

    def number() -> object:
        x = r.choice([*huge, r.randrange(8192)])
        return x if r.random() < 0.8 else ("+", ("*", ("block",), r.choice(huge[:6])), x)

    def operand() -> tuple[object, ...]:
        dims = [(r.choice([1, 2, 3, 100, 5000]), number()) for _ in range(r.randrange(4))]
        small = r.random() < 0.7
        return (r.randrange(8), r.randrange(1, 16), r.randrange(64) * 32 if small else number(), r.choice([32, 256, 31]) if small else number(), dims,
                r.randrange(-1, 3))  # fmt: skip

    for core in ("aic", "aiv"):
        p.core = core
        for _ in range(r.randrange(60)):
            kind = r.random()
            a, b, c = r.randrange(7), r.randrange(7), r.choice([0, 1, 2, 7, 8, 15, 16, -1])
            if kind < 0.5:
                p.op(
                    a,
                    r.choice(["add", "mmad", "fixpipe", "copy", "reduce_all"]),
                    [operand() for _ in range(r.randrange(5))],
                    [r.choice([0, 1, 2, 3, 255, 256]) for _ in range(12)],
                )
            elif kind < 0.6:
                p.order(a, b, c)
            elif kind < 0.7:
                p.set(a, b, c) if r.random() < 0.5 else p.wait(a, b, c)
            elif kind < 0.8:
                p.barrier(None if r.random() < 0.3 else a)
            elif kind < 0.86:
                p.cross_set(a, r.randrange(-1, 4), c)
            elif kind < 0.9:
                p.cross_wait(c)
            elif kind < 0.93:
                p.sync_all(r.randrange(2))
            elif kind < 0.97:
                p.get_value(r.choice([UB, GM]), 0, r.randrange(3), 0, 5, r.randrange(-1, 3))
            else:
                p.op(S, "cache_clean", [operand()], sync="DataCacheCleanAndInvalid")
    return p


def test_programs_without_sense_never_crash_the_check() -> None:
    for seed in range(150):
        program = random_program(seed)
        for blocks in (1, 3):
            assert isinstance(program.check(blocks), list)


def test_the_check_of_a_long_program_is_fast() -> None:
    p = Assembler("aiv", (1 << 30,) * 3)
    for b in (0, 1):
        p.set(V, MTE2, b)
        p.set(MTE3, V, b)
    (_, i) = p.loop(0, 8000)
    b, gm = ("%", ("loop", i), 2), ("*", ("loop", i), T)
    at = ("*", b, T)
    p.wait(V, MTE2, b)
    p.load(at, T, gm, 0)
    p.load(("+", 2 * T, at), T, gm, 1)
    p.order(MTE2, V, b)
    p.wait(MTE3, V, b)
    p.op(V, "add", [(UB, WRITE, ("+", 4 * T, at), T), (UB, READ, at, T), (UB, READ, ("+", 2 * T, at), T)])
    p.set(V, MTE2, b)
    p.order(V, MTE3, b)
    p.store(("+", 4 * T, at), T, gm, 2)
    p.set(MTE3, V, b)
    p.end()
    for b in (0, 1):
        p.wait(V, MTE2, b)
        p.wait(MTE3, V, b)
    start = time.perf_counter()
    report = p.report()
    seconds = time.perf_counter() - start
    assert report["findings"] == []
    assert report["instructions"] > 95_000
    assert seconds < 2.0  # a tenth of it alone on a core: the machine that runs tests is shared
