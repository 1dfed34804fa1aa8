"""Sizes and costs of the published models, equal to the published numbers; building them on `meta` takes no memory."""

from __future__ import annotations

import json
import time

import pytest

import ascendlite as al
from ascendlite import cli
from ascendlite.models.deepseek_v4 import DeepseekV4, config_of
from ascendlite.models.deepseek_v4.config_json import config_to_json
from ascendlite.models.deepseek_v4.sizes import decode_flops, mtp_training_flops, sizes_of, training_flops

PUBLISHED = {
    "V4-Pro": {"main": 1572.997, "active": 49.78, "mtp": 25.84, "kv": 5024, "kv16": 9848, "window": 4.55, "tail": 18.7},
    "V4-Flash": {"main": 284.33, "active": 13.80, "mtp": 6.61, "kv": 3509, "kv16": 6880, "window": 3.2, "tail": 12.2},
}
NAMES = tuple(PUBLISHED)


@pytest.mark.parametrize("name", NAMES)
def test_sizes_are_the_published_ones(name):
    published, sizes = PUBLISHED[name], sizes_of(config_of(name))
    assert round(sizes.main / 1e9, 3 if name == "V4-Pro" else 2) == published["main"]
    assert round(sizes.active / 1e9, 2) == published["active"]
    assert round(sizes.mtp / 1e9, 2) == published["mtp"]
    assert round(sizes.kv_bytes) == published["kv"]
    assert sizes.kv_bytes_bf16 == published["kv16"]
    assert sizes.window_bytes / 1e6 == pytest.approx(published["window"], abs=0.01)
    assert sizes.tail_bytes / 1e6 == pytest.approx(published["tail"], abs=0.05)
    assert sum(sizes.parts.values()) == sizes.main


def test_the_checkpoint_of_pro_has_the_bytes_of_its_published_index():
    assert sizes_of(config_of("V4-Pro")).checkpoint_bytes == 864_704_792_696


def test_flash_has_the_numbers_that_the_hub_counts():
    sizes = sizes_of(config_of("V4-Flash"))
    assert sizes.main + sizes.mtp + sizes.tables == 290_944_616_402


# GFLOP a token at 1024 k tokens: attention and indexer
DECODE = {
    "V4-Pro": (97.7, {4: (10.4, 0.5), 8: (10.6, 1.0), 32: (12.2, 4.0), 128: (18.4, 16.1), 256: (26.7, 32.2), 512: (43.4, 64.4), 1024: (76.7, 128.8)}),
    "V4-Flash": (26.5, {4: (2.2, 0.4), 128: (4.8, 11.3), 1024: (23.6, 90.2)}),
}
TRAINING = {"V4-Pro": {4: 312, 8: 320, 64: 341}, "V4-Flash": {4: 85.6, 8: 86.8, 64: 96.4}}


@pytest.mark.parametrize("name", NAMES)
def test_flops_are_the_published_ones(name):
    config, sizes = config_of(name), sizes_of(config_of(name))
    linear, rows = DECODE[name]
    for k, (attention, indexer) in rows.items():
        cost = decode_flops(config, sizes, 1024 * k)
        assert (round(cost.linear / 1e9, 1), round(cost.attention / 1e9, 1), round(cost.indexer / 1e9, 1)) == (linear, attention, indexer), k
    for k, total in TRAINING[name].items():
        assert round(training_flops(config, sizes, 1024 * k).total / 1e9, 0 if name == "V4-Pro" else 1) == total
    if name == "V4-Pro":
        assert round(mtp_training_flops(config, sizes).linear / 1e9, 1) == 10.8


def test_pro_builds_and_runs_on_meta_in_seconds():
    start = time.perf_counter()
    with al.device("meta"):
        model = DeepseekV4(config_of("V4-Pro"))
        logits = model(al.zeros(2, 4096, dtype=al.int64))
    assert logits.shape == (2, 4096, 129280)
    assert model.parameter_count() == 1_598_837_325_086
    assert time.perf_counter() - start < 30


def test_the_command_prints_them(capsys):
    assert cli.main(["model", "info", "v4-pro"]) == 0
    text = capsys.readouterr().out
    for part in ("1.573 T", "49.779 B", "864,704,792,696 bytes", "5,024 bytes a token", "1024K tokens"):
        assert part in text
    assert cli.main(["model", "info", "tiny", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mtp"] > 0
    assert cli.main(["model", "info", "V5"]) == 2
    assert "V4-Flash" in capsys.readouterr().err


def test_the_command_reads_a_folder(tmp_path, capsys):
    raw = config_to_json(config_of("V4-Flash"), "saved", dtype="bfloat16")
    (tmp_path / "config.json").write_text(json.dumps(raw))
    assert cli.main(["model", "info", str(tmp_path)]) == 0
    assert "284.332 B" in capsys.readouterr().out
    (tmp_path / "config.json").write_text("{")
    assert cli.main(["model", "info", str(tmp_path)]) == 2
    assert "not JSON" in capsys.readouterr().err
