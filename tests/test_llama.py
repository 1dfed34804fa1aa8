"""The Llama family against transformers' goldens, its files in both layouts, and files that must be refused."""

from __future__ import annotations

import json
import shutil
import struct

import numpy as np
import pytest

import ascendlite as al
from ascendlite.errors import ArgumentError, FileFormatError
from ascendlite.generation import generate
from ascendlite.models.llama import Llama, LlamaConfig, RopeScaling, config_from_hf, find_smollm2, load_gguf, load_hf, save_hf
from ascendlite.models.llama.gguf_file import GGUFFile
from ascendlite.nn import functional as F
from tests.gguf_file import permuted, write
from tests.goldenfile import FOLDER, arrays

NAMES = ["llama2", "llama3", "linear", "yarn", "mistral", "qwen2", "qwen3"]
TINY = LlamaConfig(vocab_size=50, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                   max_position_embeddings=64, initializer_range=0.2)  # fmt: skip
gguf = pytest.importorskip("gguf", reason="GGUF files need ascendlite[text]")


@pytest.fixture(scope="module")
def tiny() -> Llama:
    al.manual_seed(1)
    return Llama(TINY)


def _weights(model: Llama) -> dict[str, np.ndarray]:
    return {name: p.detach().numpy() for name, p in model.named_parameters()}


# -- the model


@pytest.mark.parametrize("name", NAMES)
def test_logits_and_gradients_are_those_of_transformers(name):
    golden = arrays(f"llama/{name}.npz")
    model = load_hf(FOLDER / "llama" / name)
    ids = al.tensor(golden["ids"].astype(np.int64))
    logits = model(ids)
    assert np.abs(logits.detach().numpy()[:, ::7] - golden["logits"]).max() < 2e-5 * max(1.0, np.abs(golden["logits"]).max())
    F.cross_entropy(logits[:, :-1].reshape(-1, 40), ids[:, 1:].reshape(-1)).backward()
    gradient = model.model.layers[0].self_attn.k_proj.weight.grad.numpy()
    assert np.abs(gradient - golden["gradient"]).max() < 1e-4 * np.abs(golden["gradient"]).max()


@pytest.mark.parametrize("name", ["llama3", "qwen3"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_rows_decode_to_the_bits_of_the_training_forward_alone_and_together(name, dtype):
    model = load_hf(FOLDER / "llama" / name, dtype=getattr(al, dtype))
    prompts = [[1, 2, 3, 4, 5, 6, 7], [8], [9, 10, 11]]
    options = {"max_new_tokens": 30, "logprobs": True, "stop_tokens": [13], "temperature": 1.5}
    together = generate(model, prompts, seed=[5, 6, 7], **options)
    for row, seed in zip(together, (5, 6, 7), strict=True):
        assert generate(model, row.prompt, seed=[seed], **options) == [row]
        logits = model(al.tensor([row.prompt + row.tokens]))[0, len(row.prompt) - 1 : -1]
        assert logits.requires_grad
        assert F.log_softmax(logits.float(), -1).gather(1, al.tensor(row.tokens).unsqueeze(1))[:, 0].tolist() == row.logprobs


def test_texts_packed_in_a_row_do_not_see_each_other():
    model = load_hf(FOLDER / "llama" / "qwen3")
    texts = [[1, 2, 3, 4, 5], [6, 7], [8, 9, 10]]
    packed = al.tensor([texts[0] + texts[1] + [0], texts[2] + [0] * 5])
    logits = model.head(model.hidden(packed, documents=[[5, 2], [3]]))
    for row, start, text in ((0, 0, texts[0]), (0, 5, texts[1]), (1, 0, texts[2])):
        assert logits[row, start : start + len(text)].tolist() == model(al.tensor([text]))[0].tolist()


# Published sizes: the model cards' safetensors totals.
SIZES = {
    "SmolLM2-135M": (134_515_008, LlamaConfig(49152, 576, 1536, 30, 9, 3, tie_word_embeddings=True)),
    "Llama-2-7B": (6_738_415_616, LlamaConfig(32000, 4096, 11008, 32, 32)),
    "Llama-3.1-8B": (8_030_261_248, LlamaConfig(128256, 4096, 14336, 32, 32, 8)),
    "Qwen2.5-0.5B": (494_032_768, LlamaConfig(151936, 896, 4864, 24, 14, 2, tie_word_embeddings=True, attention_bias=True)),
    "Qwen3-0.6B": (596_049_920, LlamaConfig(151936, 1024, 3072, 28, 16, 8, head_dim=128, tie_word_embeddings=True, qk_norm=True)),
}


@pytest.mark.parametrize("name", SIZES)
def test_published_models_have_their_published_sizes(name):
    count, config = SIZES[name]
    with al.device("meta"):
        model = Llama(config)
        assert model(al.zeros(1, 4, dtype=al.int64)).shape == (1, 4, config.vocab_size)
    assert model.parameter_count() == count


def test_a_config_that_cannot_be_is_refused():
    base = {"vocab_size": 8, "hidden_size": 12, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    for changes, text in (
        ({"num_key_value_heads": 3}, "num_key_value_heads"),
        ({"num_attention_heads": 5}, "head_dim"),
        ({"vocab_size": 0}, "vocab_size"),
        ({"head_dim": 3}, "even"),
        ({"rope_theta": 0.0}, "rope_theta"),
        ({"rope_scaling": RopeScaling("factors", factors=(1.0,))}, "rope factors"),
    ):
        with pytest.raises(ArgumentError, match=text):
            LlamaConfig(**{**base, **changes})
    for kind, values, text in (("dynamic", {}, "dynamic"), ("linear", {"factor": 0.5}, "factor"), ("llama3", {"factor": 2.0}, "pre-training")):
        with pytest.raises(ArgumentError, match=text):
            RopeScaling(kind, **values)
    hf = {**base, "model_type": "llama"}
    for changes, text in (
        ({"model_type": "bert"}, "'bert'"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"hidden_size": None}, "hidden_size"),
        ({"rope_scaling": {"rope_type": "longrope"}}, "longrope"),
        ({"rope_scaling": 3}, "rope_scaling"),
        ({"vocab_size": "many"}, "vocab_size"),
    ):
        with pytest.raises(ArgumentError, match=text):
            config_from_hf({**hf, **changes} if changes.get("hidden_size", 1) else {k: v for k, v in hf.items() if k != "hidden_size"})


def test_a_sliding_window_bounds_the_texts():
    raw = json.loads((FOLDER / "llama" / "mistral" / "config.json").read_text())
    assert raw["sliding_window"] == 64
    assert config_from_hf(raw).max_position_embeddings == 64


# -- Hugging Face folders


@pytest.mark.parametrize("name", [n for n in NAMES if n != "mistral"])
def test_what_is_saved_is_loaded_bit_for_bit(name, tmp_path):
    model = load_hf(FOLDER / "llama" / name)
    again = load_hf(save_hf(model, tmp_path / "saved", max_shard_bytes=9000))
    assert (tmp_path / "saved" / "model.safetensors.index.json").is_file()
    assert again.config == model.config
    ids = al.tensor([[1, 2, 3, 4]])
    assert again(ids).tolist() == model(ids).tolist()


def test_a_folder_that_does_not_hold_together_is_refused(tmp_path):
    source = FOLDER / "llama" / "llama2"
    raw = json.loads((source / "config.json").read_text())

    def broken(config: object = None, cut: int | None = None, text: str | None = None) -> str:
        folder = tmp_path / "broken"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder)
        if text is not None or config is not None:
            (folder / "config.json").write_text(json.dumps(config) if text is None else text)
        if cut is not None:
            data = (folder / "model.safetensors").read_bytes()
            (folder / "model.safetensors").write_bytes(data[:cut])
        return str(folder)

    for options, text in (
        ({"text": "{"}, "config.json: not JSON"),
        ({"config": [1]}, "an object was expected"),
        ({"config": {**raw, "num_hidden_layers": 3}}, "9 are missing, such as model.layers.2"),
        ({"config": {**raw, "num_hidden_layers": 10**9}}, "1000000000 blocks"),
        ({"config": {**raw, "num_hidden_layers": 1}}, "9 are unknown, such as model.layers.1"),
        ({"config": {**raw, "intermediate_size": 32}}, r"gate_proj.weight has the shape \(24, 16\), the config makes it \(32, 16\)"),
        ({"config": {**raw, "quantization_config": {"quant_method": "gptq"}}}, "quantised"),
        ({"config": {**raw, "model_type": "mamba"}}, "'mamba'"),
        ({"cut": 5000}, "model.safetensors"),
    ):
        with pytest.raises(FileFormatError, match=text):
            load_hf(broken(**options))
    folder = tmp_path / "pickle"
    folder.mkdir()
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        load_hf(folder)
    shutil.copy(source / "config.json", folder)
    (folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="is a pickle"):
        load_hf(folder)


# -- GGUF


@pytest.mark.parametrize(("name", "arch"), [("llama2", "llama"), ("qwen2", "qwen2"), ("qwen3", "qwen3")])
def test_a_gguf_file_gives_the_weights_of_the_folder_that_it_was_made_from(name, arch, tmp_path):
    model = load_hf(FOLDER / "llama" / name)
    again = load_gguf(write(tmp_path / "model.gguf", model.config, _weights(model), arch=arch))
    ours = {n: p.tolist() for n, p in again.named_parameters()}
    assert ours == {n: p.tolist() for n, p in model.named_parameters()}
    ids = al.tensor([[3, 1, 4, 1, 5]])
    assert again(ids).tolist() == model(ids).tolist()


def _decoded(kind: str, raw: np.ndarray) -> np.ndarray:
    """Blocks of 32 weights as ggml-common.h lays them out."""
    if kind == "Q8_0":
        scale = raw[:, :2].copy().view(np.float16).astype(np.float32)
        return raw[:, 2:].view(np.int8).astype(np.float32) * scale
    head = 2 if kind == "Q4_0" else 4
    scale = raw[:, :2].copy().view(np.float16).astype(np.float32)
    nibbles = np.concatenate([raw[:, head:] & 15, raw[:, head:] >> 4], axis=1).astype(np.float32)
    if kind == "Q4_0":
        return (nibbles - 8) * scale
    return nibbles * scale + raw[:, 2:4].copy().view(np.float16).astype(np.float32)


@pytest.mark.parametrize(("kind", "error"), [("F16", 1e-3), ("BF16", 5e-3), ("Q8_0", 8e-3), ("Q4_0", 0.15), ("Q4_1", 0.12)])
def test_quantised_weights_are_decoded_as_their_format_says(kind, error, tiny, tmp_path):
    weights = _weights(tiny)
    path = write(tmp_path / "model.gguf", TINY, weights, kind)
    model = load_gguf(path, dtype=al.float32)
    name = "model.layers.1.self_attn.q_proj.weight"
    found = dict(model.named_parameters())[name].detach().numpy()
    assert np.abs(found - weights[name]).max() < error * np.abs(weights[name]).max()
    if kind.startswith("Q"):
        with GGUFFile(path) as file:
            entry = file.entries["blk.1.attn_q.weight"]
            raw = np.frombuffer(path.read_bytes()[entry.start : entry.start + entry.nbytes], np.uint8)
        expected = _decoded(kind, raw.reshape(64 * 64 // 32, -1)).reshape(64, 64)
        assert np.array_equal(permuted(found, 4), expected)
    else:
        assert load_gguf(path).lm_head.weight.dtype.name == {"F16": "float16", "BF16": "bfloat16"}[kind]


def test_rope_factors_of_a_file_are_llama3s_scaling(tmp_path):
    model = load_hf(FOLDER / "llama" / "llama2")
    path = tmp_path / "model.gguf"
    weights = _weights(model)
    write(path, model.config, {**weights, "rope_freqs.weight": np.array([1.0, 3.0], np.float32)})
    again = load_gguf(path)
    assert again.config.rope_scaling == RopeScaling("factors", factors=(1.0, 3.0))
    with pytest.raises(ArgumentError, match="rope factors"):
        save_hf(again, tmp_path / "saved")


def _keys(path, **changes) -> bytes:
    """The file with 8 bytes at a place changed."""
    data = bytearray(path.read_bytes())
    for place, value in changes.items():
        at = int(place[1:])
        data[at : at + 8] = struct.pack("<Q", value)
    return bytes(data)


def test_a_damaged_gguf_file_is_refused_and_named(tiny, tmp_path):
    path = write(tmp_path / "model.gguf", TINY, _weights(tiny))
    whole = path.read_bytes()
    with GGUFFile(path) as file:
        first = min(entry.start for entry in file.entries.values())
    bad = tmp_path / "bad.gguf"
    for data, text in (
        (b"PK\3\4" + whole[4:], "does not start with GGUF"),
        (b"GGUF", "needs 4 bytes"),
        (whole[:4] + struct.pack("<I", 1) + whole[8:], "version 1"),
        (whole[: first // 2], "bad.gguf"),
        (whole[:-64], "it was cut"),
        (_keys(path, p16=2**62), "key"),
        (_keys(path, p8=2**62), "tensor"),
        (_keys(path, p24=2**60), "name of key 0 of"),
        (whole.replace(b"llama.block_count", b"llama.block_kount"), "'llama.block_count' is missing"),
        (whole.replace(b"blk.1.attn_q.weight", b"blk.0.attn_q.weight"), "'blk.0.attn_q.weight' is there twice"),
        (whole.replace(b"blk.1.attn_q.weight", b"blk.1.attn_x.weight"), "1 are missing, such as model.layers.1.self_attn.q_proj.weight"),
        (whole.replace(b"llama.rope.freq_base", b"llama.context_length"), "'llama.context_length' is there twice"),
        (whole.replace(b"llama.block_count\4\0\0\0\2\0\0\0", b"llama.block_count\4\0\0\0\2\0\0\1"), "16777218 blocks"),
    ):
        bad.write_bytes(data)
        with pytest.raises(FileFormatError, match=text) as caught:
            load_gguf(bad)
        assert "bad.gguf" in str(caught.value)
    with pytest.raises(FileNotFoundError):
        load_gguf(tmp_path / "none.gguf")


def test_any_flipped_byte_of_a_header_loads_or_is_refused(tiny, tmp_path):
    path = write(tmp_path / "model.gguf", TINY, _weights(tiny))
    whole = path.read_bytes()
    with GGUFFile(path) as file:
        first = min(entry.start for entry in file.entries.values())
    rng = np.random.default_rng(0)
    bad = tmp_path / "bad.gguf"
    for _ in range(150):
        data = bytearray(whole[: first + int(rng.integers(0, len(whole) - first))] if rng.random() < 0.2 else whole)
        for at in rng.integers(0, first, rng.integers(1, 4)):
            data[at] = rng.integers(0, 256)
        bad.write_bytes(data)
        try:
            load_gguf(bad)
        except FileFormatError as error:
            assert "bad.gguf" in str(error)


# -- the real one


def _reference(path, ids: list[int]) -> np.ndarray:
    """Logits of SmolLM2 in NumPy, read by the gguf package, with neighbours turning as llama.cpp does; float64 inside."""
    reader = gguf.GGUFReader(path)
    w = {t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float64) for t in reader.tensors}
    x = w["token_embd.weight"][ids]
    T, H, G, D = len(ids), 9, 3, 64
    angles = np.arange(T)[:, None] * 100000.0 ** (-np.arange(0, D, 2) / D)
    turn = np.exp(1j * angles)[:, None]  # (T, 1, D / 2)

    def norm(x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * w[name]

    def rotated(x):
        z = (x[..., ::2] + 1j * x[..., 1::2]) * turn
        return np.stack([z.real, z.imag], -1).reshape(x.shape)

    for n in range(30):
        h = norm(x, f"blk.{n}.attn_norm.weight")
        q, k, v = (h @ w[f"blk.{n}.attn_{c}.weight"].T for c in "qkv")
        q, k, v = rotated(q.reshape(T, H, D)), rotated(k.reshape(T, G, D)), v.reshape(T, G, D)
        k, v = k.repeat(H // G, 1), v.repeat(H // G, 1)
        s = np.einsum("thd,shd->hts", q, k) / 8 + np.triu(np.full((T, T), -np.inf), 1)
        p = np.exp(s - s.max(-1, keepdims=True))
        y = np.einsum("hts,shd->thd", p / p.sum(-1, keepdims=True), v).reshape(T, H * D)
        x = x + y @ w[f"blk.{n}.attn_output.weight"].T
        h = norm(x, f"blk.{n}.ffn_norm.weight")
        gate = h @ w[f"blk.{n}.ffn_gate.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ w[f"blk.{n}.ffn_up.weight"].T)) @ w[f"blk.{n}.ffn_down.weight"].T
    return norm(x, "output_norm.weight") @ w["token_embd.weight"].T


def _has_smollm2() -> bool:
    try:
        return find_smollm2().is_file()
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not _has_smollm2(), reason="SmolLM2's 93 MB are not installed: ascendlite fetch smollm2")
def test_smollm2_gives_the_logits_of_an_independent_reference_and_speaks_english():
    pytest.importorskip("tokenizers", reason="its tokenizer needs ascendlite[text]")
    from ascendlite.text import TemplateChat, tokenizer_from_gguf

    path = find_smollm2()
    model = load_gguf(path)
    with GGUFFile(path) as file:
        tokenizer = tokenizer_from_gguf(file.values, str(path))
    prompt = tokenizer.encode(TemplateChat(tokenizer.template).render([{"role": "user", "content": "What is the capital of France?"}]))
    expected = _reference(path, prompt)
    with al.no_grad():
        logits = model(al.tensor([prompt]))[0].numpy()
    assert np.abs(logits - expected).max() < 1e-4 * np.abs(expected).max()
    (answer,) = model.generate(prompt, max_new_tokens=20, temperature=0, tokenizer=tokenizer, stop_tokens=tokenizer.stop_tokens)
    assert answer.text == "The capital of France is Paris."


@pytest.mark.skipif(not _has_smollm2(), reason="SmolLM2's 93 MB are not installed: ascendlite fetch smollm2")
def test_smollm2_writes_the_bits_of_its_training_forward_in_any_batch():
    pytest.importorskip("tokenizers", reason="its tokenizer needs ascendlite[text]")
    from ascendlite.models.pretrained import load_pretrained

    found = load_pretrained("smollm2", dtype=al.bfloat16)
    prompts = [found.tokenizer.encode(text) for text in ("The sea", "Once upon a time there was a king who")]
    options = {"max_new_tokens": 8, "temperature": 0.8, "top_p": 0.95, "logprobs": True}
    together = generate(found.model, prompts, seed=[1, 2], **options)
    for row, seed in zip(together, (1, 2), strict=True):
        assert generate(found.model, row.prompt, seed=[seed], **options) == [row]
        logits = found.model(al.tensor([row.prompt + row.tokens]))[0, len(row.prompt) - 1 : -1]
        assert F.log_softmax(logits.float(), -1).gather(1, al.tensor(row.tokens).unsqueeze(1))[:, 0].tolist() == row.logprobs
