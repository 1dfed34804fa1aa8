"""The clock against every measurement that its constants may be fitted on."""

from __future__ import annotations

import pytest

from ascendlite.npu import calibration, clock
from ascendlite.npu.calibration import Row

GATED = [row for row in calibration.ROWS if row.gate is not None]


@pytest.mark.parametrize("row", GATED, ids=[row.name for row in GATED])
def test_the_clock_meets_a_published_measurement(row: Row) -> None:
    result = calibration.run(row)
    if not result.kernels:
        pytest.skip("an op of this row has no kernel; it runs when the op gets one")
    assert row.gate is not None
    assert abs(result.error) <= row.gate, f"{row.name}: {result.us:.1f} us, measured {row.measured_us}"


def test_the_cube_is_busy_as_long_as_measured() -> None:
    row = next(r for r in calibration.ROWS if r.name.endswith("case 8"))
    busy = calibration.run(row).busy_us["M"]
    assert busy == pytest.approx(row.pipes["M"], rel=0.03)


def test_the_report_has_a_line_for_each_row() -> None:
    text = calibration.report(calibration.ROWS[:3])
    assert all(row.name in text for row in calibration.ROWS[:3])
    assert text.count("%") >= 6


def test_fits_name_rows_of_the_table() -> None:
    names = [row.name for row in calibration.ROWS]
    for constants in clock.costs("2201").values():
        for name, entry in constants.items():
            for part in str(entry["source"]).removeprefix("fit:").split(";") if str(entry["source"]).startswith("fit: ") else ():
                row = part.split("(")[0].strip()
                assert any(row in known for known in names), f"{name} was fitted on {row!r}, which is no row of the table"
