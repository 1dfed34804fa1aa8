"""Where ops run on the NPU: the table is whole, and says what happens."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import ascendlite as al
from ascendlite.core import OPS
from ascendlite.npu import aicpu, coverage, reasons
from ascendlite.npu.chips import chip as chips

SOURCES = tomllib.loads((Path(chips.__file__).parent / "sources.toml").read_text())


def test_every_op_has_one_place() -> None:
    rows = coverage.table()
    assert sorted(name for names in rows.values() for name in names) == sorted(OPS)


def test_what_stays_on_the_ai_cpu_has_a_reason_and_nothing_else_has() -> None:
    program = "from ascendlite.npu import coverage; print(*coverage.table()[coverage.AI_CPU])"  # other tests of this process make ops of their own
    names = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert sorted(names) == sorted({**reasons.OPERATORS, **reasons.MISSING})
    assert all(reasons.reason(name) in coverage.text() or name in reasons.OPERATORS for name in names)
    counted = aicpu.costs()["operations"]
    assert not [name for name in names if name not in counted and OPS[name].cost is None], "an op of the AI CPU has no cost"
    assert not [name for name in counted if name not in {"other", *names, *OPS}], "a cost of what the AI CPU does not run"
    rows = {**counted, **{key: row for key, row in aicpu.costs().items() if key != "operations"}}
    assert not [name for name, row in rows.items() if not {"value", "unit", "source"} <= set(row) or row["source"] not in SOURCES]


def test_the_cost_of_an_op_of_the_ai_cpu_is_in_estimates_and_profiles() -> None:
    x = al.empty(100_000, device="meta")
    (zeta,) = al.npu.estimate(lambda t: al.special.zeta(t, t), x).rows
    assert (zeta.kind, zeta.us) == ("AI_CPU", aicpu.task_us(430 * 100_000 + 12 * 100_000))
    with al.npu.profiler.profile() as p:
        al.ones(100_000, device="npu").digamma()
    assert [t.duration_us for t in p.tasks if t.name == "digamma"] == [aicpu.task_us(60 * 100_000 + 8 * 100_000)]


def test_an_op_of_the_program_is_told_as_such() -> None:
    al.backends.set_gemm("auto")  # registers the op that switches
    assert "gemm_backend: made by this program" in coverage.text()


def test_the_table_says_what_a_profile_shows() -> None:
    x = al.ones(64, 64, device="npu")
    with al.npu.profiler.profile() as p:
        y = (x @ x).exp().sum(1)
        y.digamma()
    kinds = {t.name: t.kind for t in p.tasks}
    assert (kinds["matmul"], kinds["exp"], kinds["reduce_sum"], kinds["digamma"]) == ("AI_CORE", "AI_VECTOR_CORE", "AI_VECTOR_CORE", "AI_CPU")
    assert [coverage.home(n) for n in ("matmul", "exp", "sum", "digamma")] == ["kernel", "kernel", "kernel", "AI CPU"]
