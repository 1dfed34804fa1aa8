"""The plan of a matrix product: few are timed, and the one taken is as good as the best of all."""

from __future__ import annotations

import pytest

from ascendlite.npu import chips
from ascendlite.npu.kernels import product_costs, product_plans, products
from ascendlite.npu.kernels.product_plans import LEAST_GAIN, Plan

CHIP = chips.load("910b1")


def shape(m: int, k: int, n: int, *, batch: int = 1, trans_a: bool = False, trans_b: bool = False, hf32: bool = False) -> products.Shape:
    steps = (m * k, k * n) if batch > 1 else (0, 0)
    return products.Shape(batch, m, n, k, m if trans_a else k, k if trans_b else n, *steps, trans_a, trans_b, hf32=hf32)


SHAPES = {
    "skewed, float32": ("float32", shape(400, 900, 300)),
    "deep, float32": ("float32", shape(100, 1000, 300)),
    "gates of a layer, float32": ("float32", shape(300, 400, 1200)),
    "whole tiles, float32": ("float32", shape(512, 512, 512)),
    "HF32": ("float32", shape(1024, 300, 700, hf32=True)),
    "one row, float32": ("float32", shape(1, 4096, 4096)),
    "rows of odd bytes, float16": ("float16", shape(10, 3000, 3000)),
    "transposed, float16": ("float16", shape(1000, 250, 1300, trans_b=True)),
    "both transposed, bfloat16": ("bfloat16", shape(333, 700, 1015, trans_a=True, trans_b=True)),
    "deep and narrow, float16": ("float16", shape(64, 5000, 80)),
    "a batch, float16": ("float16", shape(100, 70, 90, batch=16)),
    "many rounds, float16": ("float16", shape(1500, 1500, 1500)),
}


def of_all(s: products.Shape, dtype: str) -> float:
    """Microseconds of the plan that would be taken if all were timed."""
    itemsize = products.FORMATS[dtype]
    short = min(products._us(s, Plan(tiles), dtype, dtype, CHIP) for tiles in products._apart(s, products.TILES[itemsize], CHIP))
    longer = [products._us(s, plan, dtype, dtype, CHIP) for plan in products._further(s, itemsize, CHIP)]
    return min([short, *(us for us in longer if us < short * LEAST_GAIN)])


@pytest.mark.parametrize("name", list(SHAPES))
def test_the_plan_taken_is_within_3_percent_of_the_best_of_all(name: str) -> None:
    dtype, s = SHAPES[name]
    taken = products.best_plan(s, dtype, dtype, CHIP)
    assert products._us(s, taken, dtype, dtype, CHIP) <= 1.03 * of_all(s, dtype)


def test_at_most_five_plans_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = []
    real = products._us
    monkeypatch.setattr(products, "_us", lambda *args: timed.append(args) or real(*args))
    for m in range(90, 1000, 130):
        timed.clear()
        products.best_plan(shape(m, 1001 - m, 517), "float32", "float32", CHIP)
        assert 1 <= len(timed) <= 5


@pytest.mark.parametrize("name", list(SHAPES))
def test_the_estimate_is_near_the_clock(name: str) -> None:
    dtype, s = SHAPES[name]
    plan = products.best_plan(s, dtype, dtype, CHIP)
    extra = products._extra_us(s, plan, dtype, dtype, CHIP)
    assert product_costs.product_us(s, plan, dtype, dtype, CHIP) + extra == pytest.approx(products._us(s, plan, dtype, dtype, CHIP), rel=0.3)


def test_an_estimate_grows_with_each_size() -> None:
    base = {"m": 500, "k": 700, "n": 900}
    plan = Plan(products.TILES[2][2])

    def us(**sizes: int) -> float:
        return product_costs.product_us(shape(**base | sizes), plan, "float16", "float16", CHIP)

    assert all(us(**{name: 4 * size}) > 1.5 * us() for name, size in base.items())


def test_rows_that_begin_anywhere_are_read_slower() -> None:
    s, plan = shape(2048, 2048 + 8, 2048 + 8), Plan(products.TILES[2][0])
    laid = products.Plan(plan.tiles, pad_a=True, pad_b=True)
    assert product_plans.padded_row(2048 + 8, 2) % 256 == 0
    assert product_costs.product_us(s, plan, "float16", "float16", CHIP) > 1.1 * product_costs.product_us(s, laid, "float16", "float16", CHIP)
