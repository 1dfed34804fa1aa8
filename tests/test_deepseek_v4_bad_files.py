"""Folders of DeepSeek-V4 that are damaged or lie: each is refused by an error that names key and file."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

import ascendlite as al
from ascendlite.errors import ArgumentError, FileFormatError
from ascendlite.models.deepseek_v4 import DeepseekV4, config_of, load_hf, save_hf
from ascendlite.safetensors import load_file, save_file
from tests.test_deepseek_v4 import golden_model
from tests.test_deepseek_v4_files import single

TINY = config_of("tiny")


@pytest.fixture
def sharded(tmp_path) -> Path:
    return save_hf(DeepseekV4(TINY, dtype=al.bfloat16), tmp_path, max_shard_bytes=200_000)


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def rewrite(file: Path, change: Callable[[dict[str, al.Tensor]], None]) -> None:
    held = load_file(file)
    change(held)
    save_file(held, file)


def edit_header(file: Path, change: Callable[[dict], None]) -> None:
    raw = file.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + length :])


def edit_index(folder: Path, change: Callable[[dict], None]) -> None:
    file = folder / "model.safetensors.index.json"
    raw = json.loads(file.read_text())
    change(raw)
    file.write_text(json.dumps(raw))


def first_of(folder: Path, ending: str) -> tuple[Path, str]:
    for file in shards(folder):
        for key in load_file(file):
            if key.endswith(ending):
                return file, key
    raise AssertionError(ending)


def refused(folder: Path, *parts: str) -> None:
    with pytest.raises(FileFormatError) as caught:
        load_hf(folder)
    assert all(part in str(caught.value) for part in parts), str(caught.value)


def test_a_truncated_file_is_refused(sharded):
    file = shards(sharded)[1]
    file.write_bytes(file.read_bytes()[:-7])
    refused(sharded, file.name)


def test_an_oversized_file_is_refused(sharded):
    file = shards(sharded)[1]
    file.write_bytes(file.read_bytes() + b"\0" * 9)
    refused(sharded, file.name)


def test_overlapping_tensors_are_refused(sharded):
    file, _ = first_of(sharded, "w1.weight")

    def overlap(header: dict) -> None:
        names_ = [k for k in header if k != "__metadata__"]
        header[names_[1]]["data_offsets"] = header[names_[0]]["data_offsets"]

    edit_header(file, overlap)
    refused(sharded, file.name)


def test_a_shape_that_does_not_fit_its_bytes_is_refused(sharded):
    file, key = first_of(sharded, "attn.wq_a.weight")
    edit_header(file, lambda header: header[key].update(shape=[1, 1]))
    refused(sharded, file.name)


def test_a_weight_of_another_shape_is_refused(sharded):
    file, key = first_of(sharded, "attn_norm.weight")
    edit_header(file, lambda header: header[key].update(shape=[8, 8]))
    refused(sharded, file.name, key, "(8, 8)", "(64,)")


def test_a_key_in_two_files_is_refused(sharded):
    file, key = first_of(sharded, "attn_norm.weight")
    other = next(f for f in shards(sharded) if f != file)
    rewrite(other, lambda held: held.update({key: al.ones(64, dtype=al.bfloat16)}))
    refused(sharded, key)


def test_a_key_twice_in_the_index_is_refused(sharded):
    file = sharded / "model.safetensors.index.json"
    text = file.read_text()
    line = next(line for line in text.splitlines() if "attn_norm" in line).strip().rstrip(",")
    file.write_text(text.replace('"weight_map": {', '"weight_map": {' + line + ","))
    refused(sharded, "twice")


def test_an_index_that_promises_too_much_is_refused(sharded):
    edit_index(sharded, lambda raw: raw["weight_map"].update({"layers.9.x": shards(sharded)[0].name}))
    refused(sharded, "layers.9.x", shards(sharded)[0].name)


def test_an_index_that_names_no_file_is_refused(sharded):
    shards(sharded)[2].unlink()
    refused(sharded, "00003")


def test_an_index_with_a_wrong_total_is_refused(sharded):
    edit_index(sharded, lambda raw: raw["metadata"].update(total_size=5))
    refused(sharded, "total_size is 5")


def test_a_missing_and_a_strange_weight_are_refused(sharded):
    file, key = first_of(sharded, "attn_sink")
    rewrite(file, lambda held: held.update({key + "s": held.pop(key)}))
    edit_index(sharded, lambda raw: raw["weight_map"].update({key + "s": raw["weight_map"].pop(key)}))
    refused(sharded, "missing", key)
    rewrite(file, lambda held: held.update({key: held[key + "s"].clone()}))
    edit_index(sharded, lambda raw: raw.update(weight_map={**raw["weight_map"], key: file.name}, metadata={}))
    refused(sharded, "unknown", key + "s")


@pytest.mark.parametrize(
    ("ending", "change", "parts"),
    [("attn.wq_a.scale", lambda t: t.new_zeros((2, 2), dtype=al.uint8).view(al.float8_e8m0fnu), ("scale", "(2, 2)", "(1, 1)")),
     ("attn.wq_a.scale", lambda t: t.float(), ("F32", "F8_E8M0")),
     ("attn.wq_a.scale", lambda t: al.full((1, 1), 255, dtype=al.uint8).view(al.float8_e8m0fnu), ("no number",)),
     ("attn.wq_a.weight", lambda t: t.view(al.uint8), ("U8",)),
     ("tid2eid", lambda t: t + 5, ("experts from 5 to 12", "8")),
     ("tid2eid", lambda t: t.float(), ("float32", "int64"))],
    ids=["scale shape", "scale dtype", "scale nan", "codes", "experts", "table dtype"],
)  # fmt: skip
def test_a_lying_tensor_is_refused(sharded, ending, change, parts):
    file, key = first_of(sharded, ending)
    rewrite(file, lambda held: held.update({key: change(held[key])}))
    edit_index(sharded, lambda raw: raw.update(metadata={}))
    refused(sharded, file.name, key, *parts)


def test_a_missing_scale_is_refused(sharded):
    file, key = first_of(sharded, "attn.wq_a.scale")
    rewrite(file, lambda held: held.pop(key))
    edit_index(sharded, lambda raw: raw.update(metadata={}) or raw["weight_map"].pop(key))
    refused(sharded, key, "nowhere")


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_hf(tmp_path)
    single(tmp_path, {"a": al.ones(2), "b": al.ones(2)})
    with pytest.raises(ArgumentError, match="no known dialect"):
        load_hf(tmp_path)
    with pytest.raises(ArgumentError, match="only native"):
        save_hf(golden_model(), tmp_path, dialect="saved", quantized=True)
