"""Files: what is saved comes back, what is damaged is refused by name, what is killed leaves the earlier file whole."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import time
import zipfile
from collections import OrderedDict

import pytest

import ascendlite as al
from ascendlite import safetensors as st
from ascendlite.errors import FileFormatError, ShapeError
from tests.goldenfile import FOLDER


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.safetensors"


# ---- what is saved comes back


def _same(a, b) -> bool:
    if isinstance(a, al.Tensor):
        return a.dtype is b.dtype and a.shape == b.shape and a.tolist() == b.tolist() and a.requires_grad == b.requires_grad
    if isinstance(a, dict):
        return type(a) is type(b) and list(a) == list(b) and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(_same, a, b))
    return type(a) is type(b) and a == b


def test_nested_values_come_back_as_they_were(path):
    value = {
        "step": 3, "pi": 3.14159, "none": None, "yes": True, "text": "ü\ud800", "bytes": b"\0\xff", "big": -(2**100), "inf": float("-inf"),
        "list": [1, (2, [al.ones(2, 3)]), {}], 5: "number key", (1, "a"): "tuple key", "ordered": OrderedDict(b=1, a=al.zeros(0, 4)),
        "grad": al.ones(2, requires_grad=True), "scalar": al.tensor(7), "dtype": al.bfloat16, "a.b": al.ones(1), "a": {"b": al.zeros(1)},
    }  # fmt: skip
    al.save(value, path)
    assert _same(value, al.load(path))


@pytest.mark.parametrize("name", [*st.header.NAMES, "hifloat8"])
def test_every_dtype_comes_back_bit_for_bit(path, name):
    bits = al.arange(64, dtype=al.uint8) % 2
    t = bits.view(getattr(al, name)) if name != "bool" else bits.to(al.bool)
    al.save({"t": t}, path)
    back = al.load(path)["t"]
    assert back.dtype is t.dtype
    assert back.shape == t.shape
    assert back.view(al.uint8).tolist() == t.view(al.uint8).tolist()


def test_tensors_that_share_memory_share_it_again_and_are_stored_once(path):
    x = al.arange(1000.0)
    al.save([x, x[500:], x.view(10, 100).transpose(0, 1), x], path)
    assert path.stat().st_size < 8000
    whole, part, turned, again = al.load(path)
    whole[500] = -1.0
    assert (part[0].item(), turned[0, 5].item(), again[500].item()) == (-1.0, -1.0, -1.0)


def test_a_small_view_does_not_drag_its_storage_into_the_file(path):
    al.save({"row": al.zeros(1000, 1000)[0]}, path)
    assert path.stat().st_size < 5000


def test_files_and_paths_hold_the_same(path):
    value = {"a": al.arange(5), "n": [1, 2]}
    buffer = io.BytesIO()
    al.save(value, buffer)
    path.write_bytes(buffer.getvalue())
    buffer.seek(0)
    assert _same(value, al.load(path))
    assert _same(value, al.load(buffer))
    assert _same(value, al.load(str(path)))


def test_a_plain_safetensors_file_loads_as_a_dict(path):
    st.save_file({"w": al.ones(2)}, path, {"made": "by hand"})
    assert al.load(path)["w"].tolist() == [1.0, 1.0]


def test_what_cannot_be_saved_is_named_by_its_place(path):
    with pytest.raises(TypeError, match=r"model\.layers\.0 is a builtins\.object"):
        al.save({"model": {"layers": [object()]}}, path)
    loop: list = []
    loop.append(loop)
    with pytest.raises(ValueError, match="contains itself"):
        al.save(loop, path)
    assert not path.exists()


# ---- safetensors


def test_safe_open_reads_what_is_asked_for(path):
    st.save_file({"a": al.arange(12.0).reshape(3, 4), "b": al.zeros(0, 2)}, path, {"k": "v"})
    with st.safe_open(path) as file:
        assert sorted(file.keys()) == ["a", "b"]
        assert file.metadata() == {"k": "v"}
        part = file.get_slice("a")
        assert (part.get_shape(), part.get_dtype()) == ([3, 4], "F32")
        rows = part[1:, ::2]
        assert file.get_slice("b")[:].shape == (0, 2)
        with pytest.raises(KeyError, match="no tensor 'c'"):
            file.get_tensor("c")
    assert rows.tolist() == [[4.0, 6.0], [8.0, 10.0]]
    rows[0, 0] = 1.0


def test_shards_are_read_through_their_index(tmp_path):
    tensors = {f"t{i}": al.full((100,), float(i)) for i in range(5)}
    index = st.save_sharded(tensors, tmp_path, max_shard_bytes=800)
    assert len(list(tmp_path.glob("*.safetensors"))) == 3
    assert _same(tensors, st.load_file(index))
    assert _same(tensors, st.load_file(tmp_path))


def test_shared_memory_is_refused_where_the_format_cannot_say_it(path):
    x = al.zeros(4)
    with pytest.raises(ShapeError, match="'a' and 'b' share memory"):
        st.save_file({"a": x, "b": x[1:]}, path)


# ---- malformed safetensors


def _raw(header: bytes | dict | str, data: bytes = b"", length: int | None = None) -> bytes:
    if isinstance(header, dict):
        header = json.dumps(header)
    header = header.encode("utf-8", "surrogatepass") if isinstance(header, str) else header
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def _one(data: bytes = bytes(8), **changes) -> bytes:
    spec = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}
    return _raw({"a": {k: v for k, v in spec.items() if v is not ...}}, data)


_TWO = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
MALFORMED = {
    "empty": b"", "seven bytes": bytes(7), "length 0": _raw(b"", length=0), "length beyond": _raw(b"{}", length=100),
    "length 2^63": _raw(b"{}", length=2**63), "length 2^64-1": _raw(b"{}", length=2**64 - 1), "length over limit": _raw(b"{}", length=100_000_001),
    "truncated header": _one()[:20], "truncated data": _one()[:-1], "byte order mark": _raw("\ufeff{}"), "nul padded": _raw(b"{}\0\0"),
    "not utf-8": _raw(b'{"\xff":1}'), "lone surrogate": _raw(b'{"\\ud800":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'),
    "leading space": _raw(b" {}"), "trailing garbage": _raw(b"{}x"), "deep nesting": _raw("[" * 100_000 + "]" * 100_000),
    "huge number": _raw('{"a":{"dtype":"F32","shape":[' + "9" * 100_000 + '],"data_offsets":[0,0]}}'),
    "duplicate": _raw('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}', b"ab"),
    "metadata list": _raw({"__metadata__": [1]}), "metadata number": _raw({"__metadata__": {"a": 1}}),
    "dtype unknown": _one(dtype="F31"), "dtype missing": _one(dtype=...), "dtype number": _one(dtype=3), "shape negative": _one(shape=[-2]),
    "shape float": _one(shape=[2.0]), "shape bool": _one(shape=[True, 2]), "shape text": _one(shape="2"), "shape null": _one(shape=None),
    "shape wraps": _one(shape=[2**33, 2**31, 2]), "shape product wraps to size": _one(shape=[2**62, 2**2 + 0, 2]),
    "zero times huge": _one(b"", shape=[0, 2**63, 2**63], data_offsets=[0, 0]), "thousand dims": _one(bytes(4), shape=[1] * 1000, data_offsets=[0, 4]),
    "offsets missing": _one(data_offsets=...), "offsets reversed": _one(data_offsets=[8, 0]), "offsets negative": _one(data_offsets=[-8, 0]),
    "offsets wrap": _one(data_offsets=[2**64 - 4, 4]), "offsets beyond": _one(data_offsets=[0, 16]), "one offset": _one(data_offsets=[8]),
    "hole": _raw({**_TWO, "b": {"dtype": "F32", "shape": [1], "data_offsets": [8, 12]}}, bytes(12)),
    "overlap": _raw({**_TWO, "b": {"dtype": "F32", "shape": [1], "data_offsets": [2, 6]}}, bytes(6)),
    "shared by many": _raw({f"n{i}": _TWO["a"] for i in range(10_000)}, bytes(4)), "trailing bytes": _one() + b"PK\x03\x04 and more",
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_file_is_refused_with_its_name(path, name):
    path.write_bytes(MALFORMED[name])
    for read in (al.load, st.load_file):
        with pytest.raises(FileFormatError, match=r"file\.safetensors"):
            read(path)
    with pytest.raises(FileFormatError):
        st.load(MALFORMED[name])


def test_strange_names_are_only_names(path):
    names = ["", "a\0b", "../../etc/passwd", "x" * 1_000_000]
    st.save_file({name: al.ones(1) for name in names}, path)
    assert sorted(st.load_file(path)) == sorted(names)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "index",
    [b"not json", b"[" * 100_000, b"{}", b'{"weight_map": 3}', b'{"weight_map": {"a": "../other.safetensors"}}',
     b'{"weight_map": {"a": "/etc/passwd"}}', b'{"weight_map": {"a": 3}}', b'{"weight_map": {"a": ".."}}',
     b'{"weight_map": {"b": "model.safetensors"}}'],
)  # fmt: skip
def test_a_damaged_index_is_refused(tmp_path, index):
    st.save_file({"a": al.ones(1)}, tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors.index.json").write_bytes(index)
    with pytest.raises(FileFormatError):
        st.load_file(tmp_path / "model.safetensors.index.json")


@pytest.mark.parametrize(
    "tree",
    ["", "3", "{}", '{"version": 9, "root": 1}', '{"version": 1, "root": {"code": "x"}}', '{"version": 1, "root": {"tensor": "b"}}',
     '{"version": 1, "root": {"tensor": "a", "shape": [9], "stride": [1], "offset": 0}}',
     '{"version": 1, "root": {"tensor": "a", "shape": [1], "stride": [1], "offset": -1}}',
     '{"version": 1, "root": {"tensor": "a", "shape": [2], "stride": [9223372036854775807], "offset": 0}}',
     '{"version": 1, "root": {"tensor": "a", "dtype": "int64"}}', '{"version": 1, "root": {"float": "x"}}',
     '{"version": 1, "root": {"dict": [[[1], 2]]}}', '{"version": 1, "root": ' + "[" * 100_000],
)  # fmt: skip
def test_a_damaged_structure_is_refused(path, tree):
    st.save_file({"a": al.ones(3)}, path, {"ascendlite": tree})
    with pytest.raises(FileFormatError, match=r"file\.safetensors"):
        al.load(path)


@pytest.mark.parametrize("content", [pickle.dumps({"a": 1}), b"PK\x03\x04rest", b"\x93NUMPYrest"])
def test_a_file_of_another_format_is_named(path, content):
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="this is a"):
        al.load(path)


# ---- malformed torch files


class _Run:
    def __reduce__(self):
        return os.system, ("touch /tmp/must-not-exist",)


def _zip(program: bytes, **members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", program)
        for name, content in members.items():
            archive.writestr(f"archive/data/{name}", content)
    return buffer.getvalue()


def _tensor_program(numel: int, shape: tuple, stride: tuple, offset: int) -> bytes:
    # torch._utils._rebuild_tensor_v2(storage, offset, shape, stride, False, OrderedDict())
    ints = b"".join(b"\x8a\x09" + n.to_bytes(9, "little", signed=True) for n in shape)
    steps = b"".join(b"\x8a\x09" + n.to_bytes(9, "little", signed=True) for n in stride)
    number = b"\x8a\x09" + numel.to_bytes(9, "little", signed=True)
    storage = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpu" + number + b"tQ"
    place = b"\x8a\x09" + offset.to_bytes(9, "little", signed=True)
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + storage + place + b"(" + ints + b"t(" + steps + b"t\x89ccollections\nOrderedDict\n)RtR."


BAD_PROGRAMS = {
    **{f"exec protocol {n}": pickle.dumps(_Run(), protocol=n) for n in range(6)},
    "getattr chain": b"\x80\x02c__builtin__\ngetattr\nc__builtin__\n__import__\nX\x04\0\0\0evil\x86R.",
    "underflow": b"\x80\x02R.", "pop empty": b"0.", "no mark": b"\x80\x02t.", "truncated": b"\x80\x02X\xff\0\0\0a", "no stop": b"\x80\x02N",
    "memo bomb": b"\x80\x02Nr\xff\xff\xff\x7f.", "long bomb": b"\x80\x02\x8b\xff\xff\xff\x7f.", "text bomb": b"\x80\x02X\xff\xff\xff\x7f.",
    "text8 bomb": b"\x80\x04\x8d" + b"\xff" * 8 + b".", "frame bomb": b"\x80\x04\x95" + b"\xff" * 8 + b"R.", "unknown opcode": b"\x80\x02\xee.",
    "setitem on list": b"\x80\x02]NNs.", "append to dict": b"\x80\x02}Na.", "build on list": b"\x80\x02]}b.", "call of a number": b"\x80\x02K\x01)R.",
    "deep key": b"\x80\x02}" + b"N" + b"\x85" * 200_000 + b"Ns.", "persistent text": b"\x80\x02X\x01\0\0\0aQ.", "unbalanced": b"\x80\x02NN.",
    "instance opcode": b"(S'echo'\nios\nsystem\n.", "text protocol": b"cos\nsystem\n(S'echo'\ntR.", "protocol 9": b"\x80\x09N.",
    "storage missing": _tensor_program(2, (2,), (1,), 0).replace(b"X\x01\0\0\x000", b"X\x01\0\0\x009"),
    "storage too long": _tensor_program(3, (2,), (1,), 0), "storage negative": _tensor_program(-2, (2,), (1,), 0),
    "storage wraps": _tensor_program(2**62 + 2, (2,), (1,), 0), "shape beyond": _tensor_program(2, (3,), (1,), 0),
    "stride beyond": _tensor_program(2, (2,), (2,), 0), "offset beyond": _tensor_program(2, (2,), (1,), 1),
    "offset negative": _tensor_program(2, (1,), (1,), -1), "stride negative": _tensor_program(2, (2,), (-1,), 1),
    "stride wraps": _tensor_program(2, (2,), (2**63,), 0), "shape huge": _tensor_program(2, (2**40, 2**40), (0, 0), 0),
    "too many dims": _tensor_program(2, (1,) * 60, (1,) * 60, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_PROGRAMS)
def test_a_hostile_pickle_is_refused_and_never_run(tmp_path, name):
    path = tmp_path / "file.pt"
    for content in (_zip(BAD_PROGRAMS[name], **{"0": bytes(8)}), BAD_PROGRAMS[name]):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match=r"file\.pt"):
            al.load_torch(path)
    assert not os.path.exists("/tmp/must-not-exist")


def test_the_hand_made_program_is_otherwise_sound(tmp_path):
    path = tmp_path / "file.pt"
    path.write_bytes(_zip(_tensor_program(2, (2,), (1,), 0), **{"0": struct.pack("<ff", 1.0, 2.0)}))
    assert al.load_torch(path).tolist() == [1.0, 2.0]


def test_a_deeply_nested_pickle_neither_crashes_nor_hangs(tmp_path):
    path = tmp_path / "file.pt"
    path.write_bytes(_zip(b"\x80\x02N" + b"\x85" * 200_000 + b"."))
    al.load_torch(path)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("name", ["zip", "stream"])
def test_a_truncated_torch_file_is_refused(tmp_path, name, kept):
    content = (FOLDER / f"torch_{name}.pt").read_bytes()
    path = tmp_path / "file.pt"
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(FileFormatError, match=r"file\.pt"):
        al.load_torch(path)


def test_a_compressed_archive_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(50_000_000))
    with pytest.raises(FileFormatError, match="compressed"):
        al.load_torch(path)


def test_any_single_damaged_byte_is_refused_or_harmless(tmp_path):
    path = tmp_path / "file.pt"
    content = (FOLDER / "torch_zip.pt").read_bytes()
    for place in range(0, len(content), 37):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        with contextlib.suppress(FileFormatError):
            al.load_torch(path)


# ---- saving is all or nothing


_SAVER = """
import sys, ascendlite as al
state = {str(k): al.full((200_000,), float(k)) for k in range(20)}
print("ready", flush=True)
while True:
    al.save(state, sys.argv[1])
"""


def test_a_killed_save_leaves_a_whole_file_and_the_next_one_cleans_up(path):
    al.save({"0": al.zeros(1)}, path)
    for pause_seconds in (0.01, 0.05, 0.12):
        process = subprocess.Popen([sys.executable, "-P", "-c", _SAVER, str(path)], stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"ready\n"
        time.sleep(pause_seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert "0" in al.load(path)
    al.save({"0": al.zeros(1)}, path)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_failed_save_keeps_the_earlier_file(path):
    al.save({"a": 1}, path)
    with pytest.raises(TypeError):
        al.save({"a": object()}, path)
    with pytest.raises(RuntimeError):
        al.save({"a": al.ones(2, device="meta")}, path)
    assert al.load(path) == {"a": 1}
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_link_goes_on_pointing_at_the_file(path, tmp_path):
    al.save({"a": 1}, path)
    link = tmp_path / "link.safetensors"
    link.symlink_to(path)
    al.save({"a": 2}, link)
    assert link.is_symlink()
    assert al.load(path) == {"a": 2}


def test_a_list_is_no_file_of_named_tensors(tmp_path):
    with pytest.raises(TypeError, match="expected a dict of names and tensors, got list; ascendlite.save"):
        st.save_file([al.ones(1)], tmp_path / "x.safetensors")
    assert not (tmp_path / "x.safetensors").exists()
