"""Errors of the device's work that are told when the host waits, as the card tells them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

import ascendlite as al
import ascendlite.npu as npu
from ascendlite.errors import ShapeError
from ascendlite.nn import functional as F


@pytest.fixture(autouse=True)
def late() -> Iterator[None]:
    npu.set_launch_blocking(False)
    yield
    npu.restart_device()
    npu.set_launch_blocking(True)


def table() -> al.Tensor:
    return al.ones(3, 4, device="npu")


def far() -> al.Tensor:
    return al.tensor([7], device="npu")


FAULTS: dict[str, Callable[[], object]] = {
    "index": lambda: table()[far()],
    "embedding": lambda: F.embedding(far(), table()),
    "gather": lambda: table().gather(0, far()[None]),
    "scatter": lambda: table().scatter(0, far()[None], 1.0),
    "cross_entropy": lambda: F.cross_entropy(table(), al.tensor([0, 1, 9], device="npu")),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_an_index_out_of_bounds_goes_by_until_the_host_waits(fault: Callable[[], object]) -> None:
    kept = fault()
    with pytest.raises(npu.AsyncError, match=r"npu:0: .* failed on stream 0 \(error 507015\): .*; al.npu.set_launch_blocking\(True\)") as caught:
        npu.synchronize()
    assert isinstance(caught.value.__cause__, IndexError) and kept is not None


def test_a_copy_to_the_host_waits() -> None:
    row = table()[far()]
    with pytest.raises(npu.AsyncError, match="index 7 is out of bounds"):
        row.cpu()
    with pytest.raises(npu.AsyncError):
        row.sum().item()


def test_a_stream_that_failed_stays_so_until_the_restart() -> None:
    x = table()
    table()[far()]
    x.add_(1)
    for _ in range(2):
        with pytest.raises(npu.AsyncError):
            npu.synchronize()
    npu.restart_device()
    npu.synchronize()
    assert x.tolist() == [[1.0] * 4] * 3  # the addition came after the failure, and was dropped
    assert (x + 1).tolist() == [[2.0] * 4] * 3


def test_another_stream_goes_on() -> None:
    x, side, event = table(), npu.Stream(), npu.Event()
    npu.synchronize()
    with npu.stream(side):
        table()[far()]
    event.record(side)
    assert (x + 1).tolist() == [[2.0] * 4] * 3
    for wait in (side.synchronize, event.synchronize):
        with pytest.raises(npu.AsyncError, match=f"stream {side.stream_id} "):
            wait()


def test_what_the_host_sees_is_raised_at_the_call() -> None:
    with pytest.raises(ShapeError):
        table() @ table()
    with pytest.raises(al.errors.DTypeError):
        table().double()
    npu.synchronize()


def test_turning_it_off_tells_what_failed() -> None:
    table()[far()]
    with pytest.raises(npu.AsyncError):
        npu.set_launch_blocking(True)
    npu.restart_device()
    npu.set_launch_blocking(True)
    with pytest.raises(IndexError, match="index 7"):
        table()[far()]
    with pytest.raises(TypeError, match="expected True or False, got 1"):
        npu.set_launch_blocking(1)  # type: ignore[arg-type]


def test_the_environment_asks_for_it() -> None:
    program = "import ascendlite as al; al.ones(3, device='npu')[al.tensor([7], device='npu')]; print('went by'); al.npu.synchronize()"
    done = subprocess.run([sys.executable, "-P", "-c", program], env={"ASCEND_LAUNCH_BLOCKING": "0", **os.environ}, capture_output=True, text=True, check=False)
    assert done.stdout == "went by\n" and "AsyncError: npu:0" in done.stderr
