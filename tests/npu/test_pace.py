"""Long loops: leaving out rounds that are alike gives the time, the work and the waits of the full simulation."""

from __future__ import annotations

from typing import Any

import pytest

from ascendlite.npu import clock
from ascendlite.npu.calibration import vector
from ascendlite.npu.calibration.rows import Shape
from ascendlite.npu.kernels import products
from ascendlite.npu.kernels.product_plans import Outline, Plan
from ascendlite.npu.programs import Traced, on_chip
from ascendlite.npu.timeline import PIPES, Timeline


def product(m: int, k: int, n: int, tiles: tuple[int, int, int, int]) -> Traced:
    s = products.Shape(1, m, n, k, k, n, 0, 0, False, False)
    return products.product.trace(Outline(m * k, "float16"), Outline(k * n, "float16"), None, Outline(m * n, "float16"), s, Plan(tiles))


def ladder(cores: int, tile: int, buffers: int) -> Traced:
    half = Shape((4096, 8192))
    return vector.add_ladder[cores].trace(half, half, half, tile, buffers, 0, False)


def trace(name: str) -> Traced:
    with on_chip("910b1"):
        return {
            "products in small tiles": lambda: product(4096, 512, 6144, (64, 128, 128, 512)),
            "products that reuse": lambda: product(8192, 1024, 8192, (128, 256, 64, 256)),
            "add on one core": lambda: ladder(1, 4096, 1),
            "add on eight cores": lambda: ladder(8, 2048, 2),
            "one instruction a round": lambda: vector.adds_in_a_row[1].trace(4096, 1000, 128, 65792),
        }[name]()  # fmt: skip


def both(program: Traced) -> tuple[Timeline, Timeline]:
    return Timeline.of(program), Timeline.of(program, what_if=clock.WhatIf(in_full=True))


@pytest.mark.parametrize("name", ["products in small tiles", "products that reuse", "add on one core", "add on eight cores", "one instruction a round"])
def test_rounds_left_out_change_nothing_that_matters(name: str) -> None:
    short, full = both(trace(name))
    assert short.raw["rounds_left_out"] > 0
    assert full.raw["rounds_left_out"] == 0
    assert short.us == pytest.approx(full.us, rel=0.01)
    assert short.raw["instructions"] == full.raw["instructions"]
    for total in ("read_bytes", "written_bytes", "hbm_bytes", "l2_bytes"):
        assert short.raw[total] == pytest.approx(full.raw[total], rel=0.02, abs=1e6), total
    for kind in full.kinds:
        for pipe in PIPES:
            assert short.busy_us(pipe, kind) == pytest.approx(full.busy_us(pipe, kind), rel=0.02, abs=0.5), pipe


def test_waits_are_those_of_all_rounds() -> None:
    short, full = both(trace("products that reuse"))

    def waits(t: Timeline) -> dict[Any, float]:
        return {(w.pipe, w.cause, w.site): w.us for w in t.waits if w.us > 0.05 * t.us * 24}

    assert waits(short) == pytest.approx(waits(full), rel=0.05)


def test_a_loop_of_few_rounds_is_timed_in_full() -> None:
    with on_chip("910b1"):
        assert Timeline.of(product(1024, 1024, 1024, (128, 128, 128, 256))).raw["rounds_left_out"] == 0


def test_a_cache_that_is_kept_sees_every_round() -> None:
    program = trace("add on one core")
    cache = clock.cache_of("910b1")
    assert Timeline.of(program, l2=cache).raw["rounds_left_out"] == 0
    assert cache.held_bytes == 192 << 20
