"""Files and devices: tensors come back to where they were, unless the caller says otherwise."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

import ascendlite as al
from ascendlite import safetensors as st
from ascendlite.errors import DeviceError


def saved(value: object) -> io.BytesIO:
    file = io.BytesIO()
    al.save(value, file)
    file.seek(0)
    return file


def test_tensors_come_back_to_the_device_they_were_saved_from(tmp_path: Path) -> None:
    value = {"here": al.arange(4), "there": al.arange(6, dtype=al.float32, device="npu").requires_grad_(), "eighth": al.ones(3, device="npu").to(al.float8_e4m3fn)}
    al.save(value, tmp_path / "file.safetensors")
    for source in (tmp_path / "file.safetensors", saved(value)):
        back = al.load(source)
        assert {name: str(t.device) for name, t in back.items()} == {"here": "cpu", "there": "npu:0", "eighth": "npu:0"}
        assert back["there"].requires_grad
        assert back["there"].is_leaf
        assert all(back[name].dtype == t.dtype and al.equal(back[name].float().cpu(), t.float().cpu()) for name, t in value.items())


@pytest.mark.parametrize("target", ["cpu", "npu", "npu:1", al.device("cpu")])
def test_the_caller_chooses_the_device(target: object) -> None:
    back = al.load(saved({"here": al.ones(2), "there": al.zeros(3, device="npu")}), map_location=target)
    assert {t.device for t in back.values()} == {al.ones(1, device=target).device}


def test_windows_on_one_storage_share_it_on_their_device() -> None:
    x = al.arange(12, dtype=al.float32, device="npu").reshape(3, 4)
    back = al.load(saved([x[0], x[:, 1], x.T]))
    back[2].fill_(7.0)
    assert [str(t.device) for t in back] == ["npu:0"] * 3
    assert back[0].cpu().tolist() == [7.0] * 4
    assert back[1].cpu().tolist() == [7.0] * 3


def test_a_device_that_is_not_here_is_named() -> None:
    file = saved({"w": al.ones(2, device="npu:1")})
    former = al.npu.chip().name
    al.npu.set_chip("910b2")
    try:
        with pytest.raises(DeviceError, match=r"'w' goes to npu:1: .*choose a device by map_location"):
            al.load(file)
    finally:
        al.npu.set_chip(former)
    file.seek(0)
    assert al.load(file, "cpu")["w"].tolist() == [1.0, 1.0]


def test_files_of_others_go_to_the_cpu(tmp_path: Path) -> None:
    st.save_file({"w": al.ones(2, device="npu")}, tmp_path / "w.safetensors")
    assert str(al.load(tmp_path / "w.safetensors")["w"].device) == "cpu"
    assert str(al.load(tmp_path / "w.safetensors", "npu")["w"].device) == "npu:0"
