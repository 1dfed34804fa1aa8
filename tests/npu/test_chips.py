"""Chip files: a row a chip against the published table, and an error that says what to do for each way to get a file wrong."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import ascendlite.npu as npu
from ascendlite.errors import ArgumentError, FileFormatError
from ascendlite.npu import chips

# name, generation, cube cores, vector cores, MHz, HBM GiB, L2 MiB, KiB of L1, L0C, UB
ROWS = (
    ("910a", "1001", 32, 32, 1000, 32, 32, 1024, 256, 256),
    ("910proa", "1001", 32, 32, 1100, 32, 32, 1024, 256, 256),
    ("910premiuma", "1001", 32, 32, 1220, 32, 32, 1024, 256, 256),
    ("910prob", "1001", 30, 30, 1150, 32, 32, 1024, 256, 256),
    ("910b-old", "1001", 30, 30, 900, 32, 32, 1024, 256, 256),
    ("910b1", "2201", 24, 48, 1850, 64, 192, 512, 128, 192),
    ("910b2", "2201", 24, 48, 1800, 64, 192, 512, 128, 192),
    ("910b2c", "2201", 24, 48, 1800, 64, 192, 512, 128, 192),
    ("910b3", "2201", 20, 40, 1800, 64, 192, 512, 128, 192),
    ("910b4", "2201", 20, 40, 1500, 32, 96, 512, 128, 192),
    ("910b4-1", "2201", 20, 40, 1500, 32, 168, 512, 128, 192),
    ("910_9391", "2201", 24, 48, 1850, 64, 192, 512, 128, 192),
    ("910_9392", "2201", 24, 48, 1850, 64, 192, 512, 128, 192),
    ("910_9381", "2201", 24, 48, 1800, 64, 192, 512, 128, 192),
    ("910_9382", "2201", 24, 48, 1800, 64, 192, 512, 128, 192),
    ("910_9372", "2201", 20, 40, 1800, 64, 192, 512, 128, 192),
    ("910_9362", "2201", 20, 40, 1500, 64, 168, 512, 128, 192),
    ("910_9363", "2201", 20, 40, 1500, 32, 168, 512, 128, 192),
    ("950dt_9571", "3510", 28, 56, 1650, 144, 128, 512, 256, 248),
    ("950dt_9581", "3510", 32, 64, 1650, 144, 128, 512, 256, 248),
    ("950dt_9591", "3510", 36, 72, 1800, 144, 128, 512, 256, 248),
    ("950pr_9579", "3510", 28, 56, 1650, 128, 128, 512, 256, 248),
    ("950pr_9589", "3510", 32, 64, 1650, 128, 128, 512, 256, 248),
    ("950pr_9599", "3510", 36, 72, 1800, 128, 128, 512, 256, 248),
    ("950pr_957b", "3510", 28, 56, 1650, 112, 112, 512, 256, 248),
    ("950pr_958b", "3510", 32, 64, 1650, 112, 112, 512, 256, 248),
)


@pytest.mark.parametrize("row", ROWS, ids=[r[0] for r in ROWS])
def test_a_chip_states_the_published_figures(row: tuple[object, ...]) -> None:
    chip = chips.load(str(row[0]))
    memory = chip.memory
    stated = (chip.name, chip.generation, chip.aic, chip.aiv, chip.clock_hz // 10**6, chip.hbm_bytes >> 30, chip.l2_bytes >> 20)
    assert row == (*stated, memory["L1"] >> 10, memory["L0C"] >> 10, memory["UB"] >> 10)


def test_every_chip_has_a_row() -> None:
    assert sorted(str(r[0]) for r in ROWS) == sorted(chips.names())


@pytest.mark.parametrize("name", [r[0] for r in ROWS])
def test_every_figure_names_its_source(name: str) -> None:
    chip = chips.load(str(name))
    assert all(tag in chip.sources for figure in chip.figures.values() for tag in figure.source.split())


def test_aliases_and_cann_names_find_their_chip() -> None:
    assert chips.load("910c") is chips.load("Ascend910_9382") is chips.load()
    assert chips.load("910B") is chips.load("910b2")
    assert chips.load("950dt") is chips.load("ascend950dt_9583")


def test_peaks_follow_from_cores_and_clock() -> None:
    assert chips.load("910b1").cube_flops_per_s("bfloat16") == pytest.approx(363.7e12, rel=1e-3)
    assert 2 * chips.load("910c").cube_flops_per_s() == pytest.approx(707.8e12, rel=1e-3)
    assert chips.load("950dt").cube_flops_per_s("mxfp4") == pytest.approx(1730e12, rel=1e-3)


def test_a_dtype_that_the_cube_cannot_take_raises() -> None:
    with pytest.raises(ArgumentError, match=r"chip 910a: the cube cannot multiply bfloat16; it takes float16, int8"):
        chips.load("910a").cube_flops_per_s("bfloat16")


def test_an_unknown_chip_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"chip: '910z' is not known; give one of .*910b1"):
        chips.load("910z")
    with pytest.raises(ArgumentError, match="there is no file"):
        chips.load(tmp_path / "none.toml")


OWN = """
name = "mine"
soc = "Mine"
product = "a chip of one's own"
family = "2201"
aic = { value = 2, unit = "cores", source = "paper" }
aiv = { value = 4, unit = "cores", source = "paper" }
clock = { value = 1000, unit = "MHz", source = "paper" }
hbm = { value = 1, unit = "GiB", source = "paper" }
l2 = { value = 8, unit = "MiB", source = "paper" }
[sources]
paper = "measured at home"
"""


def test_a_file_of_ones_own_loads_over_its_family(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(OWN)
    chip = chips.load(path)
    assert (chip.name, chip.aic, chip.memory["UB"], chip.figures["aic"].source) == ("mine", 2, 192 * 1024, "paper")


def test_a_file_that_was_edited_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    for clock in (1000, 900):
        path.write_text(OWN.replace("value = 1000", f"value = {clock}"))
        os.utime(path, ns=(clock, clock))
        assert chips.load(path).clock_hz == clock * 1e6


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('unit = "MHz"', 'unit = "GHz"', "clock has the unit 'GHz'; it must be MHz"),
        ('hbm = { value = 1, unit = "GiB", source = "paper" }', "", "hbm missing; a chip states every figure"),
        ('aic = { value = 2, unit = "cores", source = "paper" }', "aic = 2", "aic is 2; write { value"),
        ("value = 4", 'value = "four"', "aiv has the value 'four'; it must be a number of cores, 1 or more"),
        ("value = 4", "value = 0", "aiv has the value 0; it must be a number of cores, 1 or more"),
        ("value = 1000", "value = inf", "clock has the value inf; it must be a number of MHz"),
        ('source = "paper" }\nl2', 'source = "rumour" }\nl2', "hbm has the source 'rumour'; name tags of"),
        ('family = "2201"', 'family = "2200"', "family is '2200'; there are 1001, 2201, 3510"),
        ("aic =", "aicc =", "unknown aicc; figures are aic, aiv"),
        ("[sources]", "[sources", "TOML|line|Expected"),
        ('product = "a chip of one\'s own"', "", "product is None; write product"),
    ],
)
def test_a_wrong_file_says_what_to_write(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "wrong.toml"
    assert old in OWN
    path.write_text(OWN.replace(old, new))
    with pytest.raises(FileFormatError, match=message):
        chips.load(path)


def test_chips_of_one_name_do_not_share_programs(tmp_path: Path) -> None:
    import ascendlite.npu.ascendc as ac

    @npu.kernel
    def fills(x: np.ndarray) -> None:
        t = ac.LocalMemAllocator(ac.Hardware.UB).Alloc(npu.f32, 30 * 1024)  # 120 KiB
        ac.Duplicate(t, 1.0, 30 * 1024)
        ac.SetFlag(ac.HardEvent.V_MTE3, 0)
        ac.WaitFlag(ac.HardEvent.V_MTE3, 0)
        ac.DataCopy(ac.GlobalTensor(x), t, 8)

    x = np.zeros(8, np.float32)
    times = []
    for number, clock in enumerate((1000, 500)):
        path = tmp_path / f"{number}.toml"
        path.write_text(OWN.replace("value = 1000", f"value = {clock}"))
        with npu.on_chip(chips.load(path)):
            times.append(fills[1].time(x).us)
    assert times[0] < times[1]
    path.write_text(OWN + '[memory]\nUB = { value = 64, unit = "KiB", source = "paper" }\n')
    os.utime(path, ns=(1, 1))
    with npu.on_chip(chips.load(path)), pytest.raises(npu.KernelError, match="120.0 KiB live, 56.0 KiB available"):
        fills[1].check(x)
