"""Rounding ops of DeepSeek-V4, each alone against exact codecs (ml_dtypes), and models that use them."""

from __future__ import annotations

import dataclasses

import ml_dtypes
import numpy as np
import pytest

import ascendlite as al
from ascendlite.errors import ArgumentError
from ascendlite.models.deepseek_v4 import DeepseekV4, Quantization, config_of, load_hf, objective, save_hf
from ascendlite.models.deepseek_v4.formats import FP8, native_format
from ascendlite.models.deepseek_v4.layers import Projection
from ascendlite.models.deepseek_v4.quantize import fake_fp4, fake_fp8, fake_fp8_weight, fake_hif8, hadamard
from tests.goldens.deepseek_v4_inputs import uniform
from tests.test_deepseek_v4 import distance, golden_model, golden_tokens

TINY = config_of("tiny")


def expected_rows(x: np.ndarray, block: int, limit: float, least: float, code: type) -> np.ndarray:
    """The published kernels' rule in float64: the scale is 2 ** ceil(log2(largest / limit)) for each block of a row."""
    y = np.zeros_like(x, dtype=np.float64)
    for start in range(0, x.shape[-1], block):
        part = x[..., start : start + block].astype(np.float64)
        largest = np.maximum(np.abs(part).max(-1, keepdims=True), least)
        mantissa, exponent = np.frexp(largest / limit)
        scale = np.where(largest == 0, 1.0, 2.0 ** np.where(mantissa == 0.5, exponent - 1, exponent))
        y[..., start : start + block] = (part / scale).astype(code).astype(np.float64) * scale
    return y


def sample(*shape: int) -> np.ndarray:
    """Values of very different sizes, a row of zeros, and powers of two that lie on the edges of scales."""
    x = uniform("sample", shape) * np.exp(6 * uniform("size", shape[:-1] + (1,)))
    x[0] = 0
    x[1, :4] = [448.0, -448.0, 6.0, 0.5]
    return x


@pytest.mark.parametrize(("block", "width"), [(64, 448), (128, 256), (64, 24), (128, 200)])
def test_fp8_is_the_published_rule(block, width):
    x = sample(9, width)
    assert np.array_equal(fake_fp8(al.tensor(x), block).numpy(), expected_rows(x, block, 448.0, 1e-4, ml_dtypes.float8_e4m3fn))


@pytest.mark.parametrize("width", [32, 128, 40])
def test_fp4_is_the_published_rule(width):
    x = sample(9, width)
    assert np.array_equal(fake_fp4(al.tensor(x)).numpy(), expected_rows(x, 32, 6.0, 0.0, ml_dtypes.float4_e2m1fn))


def test_fp8_weights_have_a_scale_for_each_square():
    x = sample(200, 300)
    y = np.zeros(x.shape)
    for i in range(0, 200, 128):
        for j in range(0, 300, 128):
            part = x[i : i + 128, j : j + 128]
            y[i : i + 128, j : j + 128] = expected_rows(part.reshape(1, -1), part.size, 448.0, 0.0, ml_dtypes.float8_e4m3fn).reshape(part.shape)
    assert np.array_equal(fake_fp8_weight(al.tensor(x)).numpy(), y)


def hif8_values() -> np.ndarray:
    """All finite HiFloat8 values (arXiv:2409.16626, table 1): exponents -22 to 15, with 0 to 3 bits of mantissa."""
    found = [0.0]
    for e in range(-22, 16):
        bits = 0 if e < -15 else 3 if abs(e) < 4 else 2 if abs(e) < 8 else 1
        found += [2.0**e * (1 + m / 2**bits) for m in range(2**bits)]
    found.remove(1.5 * 2.0**15)  # its code means infinity
    return np.array(sorted(found))


def test_hif8_is_the_nearest_value_and_ties_go_away_from_zero():
    values = hif8_values()
    x = np.concatenate([values, (values[1:] + values[:-1]) / 2, np.abs(uniform("hif8", (500,))) * 40000 ** np.abs(uniform("e", (500,)))])
    x = x[(x >= 2.0**-22) & (x < 1.25 * 2.0**15)].astype(np.float32)
    above = np.searchsorted(values, x)
    low, high = values[np.maximum(above - 1, 0)], values[np.minimum(above, len(values) - 1)]
    nearest = np.where(x - low < high - x, low, high)
    for sign in (1, -1):
        assert np.array_equal(fake_hif8(al.tensor(sign * x)).numpy(), sign * nearest)


@pytest.mark.parametrize("op", [fake_fp8, fake_fp4, fake_hif8, fake_fp8_weight], ids=lambda op: op.__name__)
def test_gradients_go_straight_through(op):
    x = al.tensor(sample(6, 64), requires_grad=True)
    g = al.tensor(uniform("g", (6, 64)))
    y = op(x)
    (y * g).sum().backward()
    assert al.equal(x.grad, g)
    assert al.equal(op(y.detach()), y.detach())
    low = op(al.tensor(sample(6, 64)).bfloat16())
    assert low.dtype == al.bfloat16
    assert op(al.zeros(4, 64, device="meta")).shape == (4, 64)


def test_the_hadamard_turn_is_its_own_inverse_and_changes_no_score():
    h = hadamard(128, al.ones(1))
    assert distance(h @ h, al.eye(128)) < 1e-6
    assert set(np.unique(np.abs(h.numpy()))) == {np.float32(128**-0.5)}
    q, k = (al.tensor(uniform(name, (5, 128))) for name in "qk")
    assert distance((q @ h) @ (k @ h).T, q @ k.T) < 1e-4
    with pytest.raises(ArgumentError, match="power of two"):
        hadamard(24, al.ones(1))


PARTS = {
    "kv": "fp8", "activations": "fp8", "weights": "fp8", "experts": "fp4", "index": "fp4",
}  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_each_switch_rounds_something_and_nothing_breaks(part):
    model, ids = DeepseekV4(dataclasses.replace(TINY, index_topk=4)), golden_tokens()
    model.load_state_dict(golden_model(4).state_dict())
    with al.no_grad():
        plain = model(ids)
        model.quantize(Quantization(**{part: PARTS[part]}))
        off = distance(model(ids), plain)
        model.quantize(Quantization())
        assert al.equal(model(ids), plain)
    assert 1e-3 < off < 20


@pytest.mark.parametrize("quantization", [Quantization.published(), Quantization.qat(), Quantization(kv="hif8", activations="hif8", weights="hif8")])
def test_steps_with_a_cache_round_as_the_whole_does(quantization):
    model, ids = DeepseekV4(dataclasses.replace(TINY, index_topk=4), quantization=quantization), golden_tokens()
    with al.no_grad():
        whole = model(ids)
        cache = model.new_cache(2, ids.shape[1])
        parts = [model(ids[:, :30], cache=cache), *(model(ids[:, t : t + 1], cache=cache) for t in range(30, 53))]
    assert al.equal(al.cat(parts, 1), whole)


def test_compressors_routers_and_hyper_connections_keep_their_precision():
    """Running them in fp8 is a mistake that others made."""
    model = DeepseekV4(TINY, quantization=Quantization.published())
    rounded = {name for name, module in model.named_modules() if isinstance(module, Projection)}
    assert not any(".compressor." in name or "gate" in name or "hc_" in name or name.endswith("weights_proj") for name in rounded)
    kinds = {name.split(".", 2)[2] for name in rounded if name.startswith("layers.3.")}
    assert kinds == {*(f"attn.{w}" for w in ("wq_a", "wq_b", "wkv", "wo_a", "wo_b", "indexer.wq_b")), *(f"ffn.shared_experts.w{i}" for i in (1, 2, 3))}
    assert all(native_format(f"{name}.weight", "fp4") is FP8 for name in rounded)


def test_only_elements_that_do_not_turn_are_rounded_in_entries():
    x = al.tensor(sample(5, 512))
    y = Quantization(kv="fp8").entry(x, 64)
    assert al.equal(y[:, 448:], x[:, 448:])
    assert al.equal(y[:, :448], fake_fp8(x[:, :448], 64))
    assert not al.equal(y[:, :448], x[:, :448])


def test_what_is_trained_for_fp4_is_what_a_checkpoint_holds(tmp_path):
    model, ids = DeepseekV4(TINY, quantization=Quantization(weights="fp8", experts="fp4")), golden_tokens()
    with al.no_grad():
        trained = model(ids)
    save_hf(model, tmp_path)
    deployed = load_hf(tmp_path, dtype=al.float32)
    for name, p in deployed.named_parameters():  # the other formats of a checkpoint round too; here only fp8 and fp4 are looked at
        if name not in deployed.stored_scales:
            p.data = model.get_parameter(name).detach()
    with al.no_grad():
        assert al.equal(deployed(ids), trained)


def test_a_quantised_model_learns():
    al.manual_seed(0)
    model = DeepseekV4(dataclasses.replace(TINY, vocab_size=16), quantization=Quantization.published())
    optimizer = al.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    text = (al.arange(66) * 5 % 16).reshape(2, 33)
    first = None
    for _ in range(12):
        losses = objective(model, text[:, :-1], text[:, 1:])
        first = float(losses.next_token) if first is None else first
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
    assert all(p.grad is not None for p in model.parameters())
    assert float(losses.next_token) < 0.7 * first


def test_a_rounding_that_is_not_known_is_refused():
    with pytest.raises(ArgumentError, match="experts is 'int4'; it must be None or one of fp8, hif8, fp4"):
        Quantization(experts="int4")
