"""Weights of DeepSeek-V4 in and out: dialects, formats, round trips, and files that lie."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import ascendlite as al
from ascendlite.errors import FileFormatError
from ascendlite.models.deepseek_v4 import CONFIGS, DeepseekV4, config_of, load_hf, names, save_hf
from ascendlite.models.deepseek_v4.codecs import decode, encode, exponents
from ascendlite.models.deepseek_v4.config_json import config_from_json, config_to_json
from ascendlite.models.deepseek_v4.formats import FP4, FP8, native_format
from ascendlite.safetensors import load_file, save_file
from tests.goldenfile import records
from tests.goldens.deepseek_v4_inputs import HF_CONFIG, uniform
from tests.test_deepseek_v4 import golden_model, golden_tokens

TINY = config_of("tiny")
KEYS = "deepseek_v4_keys.json"


def same_state(a: DeepseekV4, b: DeepseekV4) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(left[n].dtype == right[n].dtype and al.equal(left[n], right[n]) for n in left)


def tensors_of(folder: Path) -> dict[str, al.Tensor]:
    return {key: t for file in sorted(folder.glob("*.safetensors")) for key, t in load_file(file).items()}


def single(folder: Path, tensors: dict[str, al.Tensor], config_from: Path | None = None) -> None:
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "model.safetensors")
    text = json.dumps(HF_CONFIG) if config_from is None else (config_from / "config.json").read_text()
    (folder / "config.json").write_text(text)


# -- names and configs


@pytest.mark.parametrize("dialect", [names.MODULES, names.SAVED])
def test_names_are_those_of_transformers(dialect):
    expected = {key: tuple(shape) for key, shape in records(KEYS)[dialect].items()}
    found: dict[str, tuple[int, ...]] = {}
    for name, t in golden_model().state_dict().items():
        for source in names.sources(name, dialect, TINY.n_routed_experts):
            shape = tuple(t.shape) if source.expert is None else tuple(t.shape[1:])
            if source.half is not None:
                shape = (shape[0], 2 * shape[1], shape[2])
            found[source.key] = shape
    assert {key: shape for key, shape in found.items() if not key.startswith("mtp.")} == expected


def test_pro_has_as_many_tensors_as_its_published_index():
    config = CONFIGS["V4-Pro"]
    with al.device("meta"):
        state = DeepseekV4(config).state_dict()
    count = 0
    for name in state:
        keys = len(names.sources(name, names.NATIVE, config.n_routed_experts))
        count += keys * (1 if native_format(name, "fp4").block is None else 2)
    assert count == 145_116


def test_both_dialects_of_config_json_are_read():
    expected = dataclasses.replace(TINY)
    assert config_from_json(HF_CONFIG, "config.json") == expected
    assert config_from_json(records(KEYS)["config"], "config.json") == expected
    for name in ("V4-Pro", "V4-Flash", "tiny", "small"):
        for dialect in (names.NATIVE, names.SAVED):
            config = CONFIGS[name]
            again = config_from_json(json.loads(json.dumps(config_to_json(config, dialect, dtype="bfloat16"))), "config.json")
            assert again == config
    published = config_to_json(CONFIGS["V4-Pro"], names.NATIVE, dtype="bfloat16", quantized=True)
    assert published["compress_ratios"] == [128, 128, *[4, 128] * 29, 4, 0]
    assert published["expert_dtype"] == "fp4"
    assert published["rope_scaling"]["original_max_position_embeddings"] == 65536


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"scoring_func": "softmax"}, "scoring_func"), ({"model_type": "llama"}, "model_type"), ({"tie_word_embeddings": True}, "tie_word_embeddings"),
     ({"compress_ratios": None}, "compress_ratios"), ({"layer_types": ["full"] * 4}, "layer_types"), ({"hidden_size": "64"}, "hidden_size"),
     ({"compress_ratios": [0, 4]}, "compress_ratios"), ({"rope_scaling": {"type": "linear", "factor": 2}}, "yarn"),
     ({"mlp_layer_types": ["moe", "hash_moe", "moe", "moe"]}, "mlp_layer_types"), ({"compress_rates": 3}, "form")],
)  # fmt: skip
def test_a_config_json_of_another_model_is_refused(changes, named):
    with pytest.raises(FileFormatError, match=f"config.json: .*{named}"):
        config_from_json({**HF_CONFIG, **changes}, "config.json")


# -- codecs


def codes_of(kind):
    """All codes in blocks, with scales of their own."""
    if kind is FP8:
        codes = np.arange(256, dtype=np.uint8)
        codes[[0x7F, 0xFF]] = 0  # not numbers
        grid = np.resize(codes, (256, 384))
        return al.tensor(grid).view(al.float8_e4m3fn), al.tensor(np.array([[120, 130, 1], [127, 200, 3]], np.uint8)).view(al.float8_e8m0fnu)
    grid = np.resize(np.arange(256, dtype=np.uint8), (48, 32))
    return al.tensor(grid.view(np.int8)), al.tensor((np.arange(96, dtype=np.uint8) + 80).reshape(48, 2)).view(al.float8_e8m0fnu)


@pytest.mark.parametrize("kind", [FP8, FP4], ids=lambda kind: kind.name)
def test_decoding_is_exact_and_encoding_gives_the_bytes_back(kind):
    codes, scale = codes_of(kind)
    values = decode(codes, scale, kind).numpy()
    raw = codes.view(al.uint8).numpy()
    if kind is FP8:
        expected = raw.view(ml_dtypes.float8_e4m3fn).astype(np.float64)
    else:
        expected = np.stack([raw & 15, raw >> 4], -1).reshape(48, 64).astype(np.uint8).view(ml_dtypes.float4_e2m1fn).astype(np.float64)
    powers = 2.0 ** (scale.view(al.uint8).numpy().astype(np.float64) - 127)
    expected = expected * np.repeat(np.repeat(powers, kind.block[0], 0), kind.block[1], 1)[: expected.shape[0], : expected.shape[1]]
    assert np.array_equal(values, expected.astype(np.float32))
    again = encode(al.tensor(values), kind, scale)
    assert al.equal(again.codes.view(al.uint8), codes.view(al.uint8))
    assert al.equal(again.scale.view(al.uint8), scale.view(al.uint8))


@pytest.mark.parametrize("kind", [FP8, FP4], ids=lambda kind: kind.name)
@pytest.mark.parametrize("shape", [(130, 160), (3, 7, 32), (1, 32)], ids=str)
def test_encoding_is_near_and_settles_at_once(kind, shape):
    x = uniform("weights", shape) * np.exp(4 * uniform("sizes", shape))
    made = encode(al.tensor(x), kind)
    y = decode(made.codes, made.scale, kind)
    again = encode(y, kind)
    assert al.equal(made.codes.view(al.uint8), again.codes.view(al.uint8))
    assert al.equal(made.scale.view(al.uint8), again.scale.view(al.uint8))
    step = 2.0**-4 if kind is FP8 else 2.0**-2  # half of the last place
    powers = np.repeat(np.repeat(made.scale.float().numpy(), kind.block[0], -2), kind.block[1], -1)[..., : shape[-2], : shape[-1]]
    # The scale may be half of what was rounded with: the rounded values needed no more.
    bound = np.maximum(np.abs(x) * step, powers * (2.0**-9 if kind is FP8 else 0.5)) * 1.001
    assert bool((np.abs(y.numpy() - x) <= bound).all())


def test_exponents_are_exact_at_powers_of_two():
    largest = al.tensor([448.0, 448.0001, 447.9999, 896.0, 0.0, 7.0, 3.5, 1e-44])
    assert exponents(largest, 448.0).tolist() == [0, 1, 0, 1, 0, -6, -7, -127]


# -- round trips


@pytest.mark.parametrize("dtype", [al.float32, al.bfloat16], ids=str)
@pytest.mark.parametrize(("dialect", "prefix"), [(names.NATIVE, ""), (names.SAVED, "model.")])
def test_unquantised_weights_come_back_bit_for_bit(tmp_path, dtype, dialect, prefix):
    al.manual_seed(1)
    model = DeepseekV4(TINY, dtype=dtype)
    save_hf(model, tmp_path, dialect=dialect, quantized=False, max_shard_bytes=300_000)
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    assert f"{prefix}layers.2.attn.indexer.compressor.ape" in tensors_of(tmp_path)
    again = load_hf(tmp_path)
    assert again.config == TINY
    assert same_state(again, model)
    ids = golden_tokens()
    with al.no_grad():
        assert al.equal(again(ids), model(ids))


@pytest.mark.parametrize("expert_dtype", ["fp4", "fp8"])
def test_quantised_weights_are_rounded_once_and_then_keep_every_byte(tmp_path, expert_dtype):
    model = DeepseekV4(dataclasses.replace(TINY, expert_dtype=expert_dtype), dtype=al.bfloat16)
    save_hf(model, tmp_path / "a", max_shard_bytes=100_000)
    once = load_hf(tmp_path / "a")
    save_hf(once, tmp_path / "b")
    a, b = tensors_of(tmp_path / "a"), tensors_of(tmp_path / "b")
    assert a.keys() == b.keys()
    assert all(a[k].dtype == b[k].dtype and al.equal(a[k].view(al.uint8), b[k].view(al.uint8)) for k in a if a[k].itemsize == 1)
    assert all(al.equal(a[k], b[k]) for k in a if a[k].itemsize > 1)
    kinds = {"layers.0.attn.wo_a.weight": "float8_e4m3fn", "layers.0.ffn.experts.3.w2.weight": "int8" if expert_dtype == "fp4" else "float8_e4m3fn",
             "layers.0.ffn.gate.tid2eid": "int64", "layers.1.hc_ffn_scale": "float32", "layers.3.attn.indexer.weights_proj.weight": "bfloat16",
             "mtp.0.e_proj.scale": "float8_e8m0fnu", "mtp.0.hc_head_fn": "float32"}  # fmt: skip
    assert {key: a[key].dtype.name for key in kinds} == kinds
    assert same_state(load_hf(tmp_path / "b"), once)
    error = (once.layers[1].ffn.experts.w1.float() - model.layers[1].ffn.experts.w1.float()).abs().max()
    assert 0 < float(error) < 0.02


def test_scales_of_a_file_are_kept_where_a_weight_was_not_changed(tmp_path):
    save_hf(DeepseekV4(TINY, dtype=al.bfloat16), tmp_path / "a")
    loose = tensors_of(tmp_path / "a")
    key = "layers.1.attn.wq_a"
    held = loose[f"{key}.weight"].float()
    loose[f"{key}.weight"], loose[f"{key}.scale"] = (held / 4).to(al.float8_e4m3fn), (loose[f"{key}.scale"].float() * 4).to(al.float8_e8m0fnu)
    single(tmp_path / "b", loose, tmp_path / "a")
    model = load_hf(tmp_path / "b")
    save_hf(model, tmp_path / "c")
    c = tensors_of(tmp_path / "c")
    assert all(al.equal(c[k].view(al.uint8), loose[k].view(al.uint8)) for k in (f"{key}.weight", f"{key}.scale"))
    with al.no_grad():
        model.layers[1].attn.wq_a.weight.mul_(1.37)
    save_hf(model, tmp_path / "d")
    d = tensors_of(tmp_path / "d")
    expected = encode(model.layers[1].attn.wq_a.weight, FP8)
    assert al.equal(d[f"{key}.weight"].view(al.uint8), expected.codes.view(al.uint8))


def test_weights_in_the_names_of_modules_are_read(tmp_path):
    model = golden_model(4)
    fused: dict[str, al.Tensor] = {}
    for name, t in model.state_dict().items():
        source = names.sources(name, names.MODULES, 8)[0]
        if not name.startswith("mtp."):
            fused[source.key] = al.cat((fused[source.key], t), 1) if source.key in fused else t.clone()
    single(tmp_path, fused)
    again = load_hf(tmp_path)
    assert again.config.num_nextn_predict_layers == 0
    with al.no_grad():
        assert al.equal(again(golden_tokens()), model(golden_tokens()))


def test_loading_holds_the_model_once(tmp_path):
    config = dataclasses.replace(TINY, vocab_size=20_000, n_routed_experts=64)
    model = DeepseekV4(config, dtype=al.bfloat16)
    sizes = sorted(t.nbytes for t in model.state_dict().values())
    save_hf(model, tmp_path, max_shard_bytes=1_000_000)
    del model
    before = al.cpu.memory_allocated()
    al.cpu.reset_peak_memory_stats()
    held = load_hf(tmp_path)
    grown, peak = al.cpu.memory_allocated() - before, al.cpu.max_memory_allocated() - before
    assert held.config == config
    assert sum(sizes) <= grown <= sum(sizes) * 1.2  # scales, and what the allocator rounds up
    assert peak < grown + 3 * sizes[-1]


# -- transformers itself, where it is installed


def test_transformers_reads_what_is_written_and_the_other_way_round(tmp_path):
    torch = pytest.importorskip("torch", reason="a check against transformers itself: install torch and transformers >= 5.8")
    transformers = pytest.importorskip("transformers", minversion="5.8")
    model, ids = golden_model(4), golden_tokens()
    with al.no_grad():
        expected = model(ids).numpy()
    for dialect in (names.NATIVE, names.SAVED):
        save_hf(model, tmp_path / dialect, dialect=dialect, quantized=False)
        theirs, report = transformers.DeepseekV4ForCausalLM.from_pretrained(tmp_path / dialect, output_loading_info=True, dtype=torch.float32)
        assert not report["missing_keys"] and not report["mismatched_keys"]
        with torch.no_grad():
            assert np.abs(theirs(torch.from_numpy(ids.numpy())).logits.numpy() - expected).max() < 2e-5
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size="500KB")
    with al.no_grad():
        assert np.array_equal(load_hf(tmp_path / "theirs")(ids).numpy(), expected)
