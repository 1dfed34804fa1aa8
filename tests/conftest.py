"""Test setup: the repository's root comes last on the path, so that the built package is tested and not the source folder."""

from __future__ import annotations

import sys
from pathlib import Path

import hypothesis
import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent))
hypothesis.settings.register_profile(
    "ops", max_examples=8, deadline=None, derandomize=True, database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.filter_too_much],
)
hypothesis.settings.load_profile("ops")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--numerics", default="device", help="numerics mode in which tests/test_npu_ops.py runs: device, fp32 or fp64")
