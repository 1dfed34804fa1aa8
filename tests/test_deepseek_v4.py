"""DeepSeek-V4: parity with transformers (goldens) and with equations in NumPy, cached steps, padding, packing."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

import ascendlite as al
from ascendlite.errors import ArgumentError, ShapeError
from ascendlite.models.deepseek_v4 import CONFIGS, DeepseekV4, DeepseekV4Config, Side, config_of, names
from ascendlite.nn.functional import sinkhorn
from tests.deepseek_v4_reference import Losses, Reference
from tests.goldenfile import arrays
from tests.goldens.deepseek_v4_inputs import LENGTH, digest, tokens, uniform, weight

TINY = config_of("tiny")
CASES = {"all": 32, "top4": 4}  # entries that the indexer may choose, of 13


def golden_value(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The golden script's value of one of our tensors; MTP's, which transformers lacks, are drawn alike."""
    if name.startswith("mtp."):
        return uniform(name, shape) * np.float32(0.2) + np.float32(name.endswith("norm.weight"))
    source = names.sources(name, names.MODULES, TINY.n_routed_experts)[0]
    if source.half is None:
        return weight(source.key, shape)
    fused = weight(source.key, (shape[0], 2 * shape[1], shape[2]))
    return np.ascontiguousarray(fused[:, source.half * shape[1] : (source.half + 1) * shape[1]])


@functools.cache
def golden_model(topk: int = 32, recompute: bool = False) -> DeepseekV4:
    model = DeepseekV4(dataclasses.replace(TINY, index_topk=topk), recompute=recompute)
    model.load_state_dict({name: al.tensor(golden_value(name, tuple(t.shape))) for name, t in model.state_dict().items()})
    return model


def golden_tokens(what: str = "ids") -> al.Tensor:
    return al.tensor(tokens(f"{arrays('deepseek_v4.npz')['all/seed']} {what}"))


@functools.cache
def whole() -> tuple[al.Tensor, al.Tensor]:
    """Tokens and their logits in one pass."""
    ids = golden_tokens()
    with al.no_grad():
        return ids, golden_model(4)(ids)


def distance(a: al.Tensor, b: al.Tensor) -> float:
    return float((a - b).abs().max())


# -- parity


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_transformers(case):
    expected = arrays("deepseek_v4.npz")[f"{case}/logits"]
    with al.no_grad():
        logits = golden_model(CASES[case])(golden_tokens()).numpy()[:, :, ::4]
    assert np.abs(logits - expected).max() < 2e-5  # on a scale of 5


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_every_gradient_is_that_of_transformers(case, recompute):
    golden, model = arrays("deepseek_v4.npz"), golden_model(CASES[case], recompute)
    for p in model.parameters():
        p.grad = None
    loss = model.loss(golden_tokens(), golden_tokens("targets"))
    loss.backward()
    assert float(loss) == pytest.approx(float(golden[f"{case}/loss"]), abs=1e-6)
    found: dict[str, np.ndarray] = {}
    for name, p in model.named_parameters():
        if p.grad is None:
            assert ".indexer." in name or name.startswith("mtp."), name
            continue
        source = names.sources(name, names.MODULES, TINY.n_routed_experts)[0]
        value = p.grad.numpy()
        found[source.key] = np.concatenate([found[source.key], value], 1) if source.key in found else value
    assert set(found) == {key.removeprefix(f"{case}/grad/") for key in golden if key.startswith(f"{case}/grad/")}
    for key, value in found.items():
        expected = golden[f"{case}/grad/{key}"]
        error = np.linalg.norm(digest(key, value) - expected) / np.linalg.norm(expected)
        assert error < 1e-4, f"{key}: off by {error:.2g}"


def reference(topk: int = 32, wrong: tuple[str, ...] = ()) -> Reference:
    model = golden_model(topk)
    return Reference(model.config, {name: t.numpy() for name, t in model.state_dict().items()}, frozenset(wrong))


def test_logits_are_those_of_the_equations():
    ids, logits = whole()
    made = reference(4)
    for row, expected in zip(ids.numpy(), logits.numpy(), strict=True):
        assert np.abs(made.logits(made.streams(row, Losses())) - expected).max() < 5e-5


MISTAKES = (
    "half-split rope", "rope on the first elements", "post without the factor 2", "post with eps", "sinkhorn ends on rows",
    "mix not transposed", "yarn factor on the softmax", "rotated at the entry's number", "base theta in compressed layers", "no yarn",
    "output not turned back", "a block is seen one token late", "no overlap", "no sink", "q without its norm", "bias in the weights",
    "hash layers without weights",
)  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_parity_would_notice(mistake):
    ids, logits = whole()
    made = reference(4, (mistake,))
    off = np.abs(made.logits(made.streams(ids.numpy()[0], Losses())) - logits.numpy()[0]).max()
    assert off > 1e-3, f"{mistake} changes the logits by {off:.2g} only"


def test_sinkhorn_starts_from_the_softmax_and_ends_on_columns():
    a = uniform("sinkhorn", (50, 4, 4)) * 6
    found = sinkhorn(al.tensor(a), 3, 1e-2).numpy()  # a large eps shows where it goes

    def expected(*wrong: str) -> np.ndarray:
        made = reference(wrong=wrong)
        made.c = dataclasses.replace(TINY, hc_sinkhorn_iters=3, hc_eps=1e-2)
        return made.sinkhorn(a.astype(np.float64))

    assert np.abs(found - expected()).max() < 1e-6
    for mistake in ("sinkhorn with rows first", "sinkhorn ends on rows"):
        assert np.abs(found - expected(mistake)).max() > 5e-5
    fine = sinkhorn(al.tensor(a), 20, 1e-6).numpy()
    assert np.abs(fine.sum(-2) - 1).max() < 1e-5


def test_clamps_hold_in_routed_and_shared_experts():
    model = DeepseekV4(TINY)
    moe = model.layers[1].ffn
    al.nn.init.normal_(moe.experts.w1, std=2.0)
    with al.no_grad():
        for p in (moe.experts.w3, moe.shared_experts.w1.weight, moe.shared_experts.w3.weight):
            p.copy_(al.randn(*p.shape) * 2)
    x = al.randn(1, 9, TINY.hidden_size) * 3
    ids = al.zeros(1, 9, dtype=al.int64)
    y = moe(x, ids, Side())[0]
    weights = {name: t.detach().numpy() for name, t in model.state_dict().items()}
    expected = Reference(TINY, weights).experts("layers.1.ffn", 1, x[0].numpy().astype(np.float64), ids[0].numpy(), Losses())
    scale = np.abs(expected).max()
    assert np.abs(y[0].detach().numpy() - expected).max() < 1e-4 * scale
    for mistake in ("no clamp", "shared expert without clamp"):
        other = Reference(TINY, weights, frozenset((mistake,)))
        off = np.abs(other.experts("layers.1.ffn", 1, x[0].numpy().astype(np.float64), ids[0].numpy(), Losses()) - expected).max()
        assert off > 1e-2 * scale


# -- steps


@pytest.mark.parametrize("pieces", [(13, 9, 17, 14), (3, 5, 1, 2, 42), (20, 1, 1, 31), (1,) * LENGTH], ids=str)
def test_any_pieces_through_a_cache_give_the_logits_of_the_whole(pieces):
    ids, logits = whole()
    cache, at, parts = golden_model(4).new_cache(2, LENGTH), 0, []
    for n in pieces:
        parts.append(golden_model(4)(ids[:, at : at + n], cache=cache))
        at += n
    assert cache.lengths == (LENGTH, LENGTH)
    assert distance(al.cat(parts, 1), logits) < 1e-5


def test_decoding_is_bit_equal_to_the_whole_and_to_other_batches():
    ids, logits = whole()
    for rows in ([0], [1], [1, 0, 1]):
        cache = golden_model(4).new_cache(len(rows), LENGTH)
        for t in range(LENGTH):
            step = golden_model(4)(ids[rows, t : t + 1], cache=cache)
            assert al.equal(step, logits[rows, t : t + 1]), (rows, t)


def test_rows_of_a_batch_go_on_at_their_own_pace_and_can_be_rewound():
    ids, logits = whole()
    model, rng = golden_model(4), np.random.default_rng(0)
    cache = model.new_cache(2, LENGTH, rewind=5)
    at = [0, 0]
    while min(at) < LENGTH:
        counts = [int(min(rng.integers(0, 9), LENGTH - a)) for a in at]
        width = max(*counts, 1)
        step = al.zeros(2, width, dtype=al.int64)
        for b, n in enumerate(counts):
            step[b, :n] = ids[b, at[b] : at[b] + n]
        found = model(step, cache=cache, lengths=counts)
        for b, n in enumerate(counts):
            assert n == 0 or distance(found[b, :n], logits[b, at[b] : at[b] + n]) < 1e-5
        at = [a + n for a, n in zip(at, counts, strict=True)]
        if rng.random() < 0.3:
            at = [max(0, a - 2) for a in at]
            cache.rewind(at)
    assert cache.lengths == (LENGTH, LENGTH)


def test_a_cache_keeps_the_rows_that_are_selected():
    ids, logits = whole()
    model = golden_model(4)
    cache = model.new_cache(2, LENGTH)
    model(ids[:, :30], cache=cache)
    picked = cache.select([1, 1, 0])
    assert distance(model(ids[[1, 1, 0], 30:], cache=picked), logits[[1, 1, 0], 30:]) < 1e-5
    assert cache.lengths == (30, 30)


def test_padding_on_the_right_changes_nothing():
    ids, logits = whole()
    padded = al.cat((ids, ids[:, :11]), 1)
    assert al.equal(golden_model(4)(padded, lengths=[LENGTH, LENGTH])[:, :LENGTH], logits)
    assert al.equal(golden_model(4)(ids[:1]), logits[:1])


def test_packed_texts_do_not_see_each_other():
    ids, _ = whole()
    model, documents = golden_model(4), [[10, 20, 23], [17, 30]]
    with al.no_grad():
        packed = model(ids, documents=documents)
        for b, row in enumerate(documents):
            start = 0
            for n in row:
                alone = model(ids[b : b + 1, start : start + n])
                assert distance(packed[b, start : start + n], alone[0]) < 1e-5
                start += n


def test_a_call_that_cannot_be_is_refused():
    model = golden_model(4)
    ids = al.zeros(2, 5, dtype=al.int64)
    with pytest.raises(ShapeError, match="6 tokens, more than the 5"):
        model(al.zeros(2, 6, dtype=al.int64), cache=model.new_cache(2, 5))
    with pytest.raises(ArgumentError, match="lengths"):
        model(ids, lengths=[5, 6])
    with pytest.raises(ShapeError, match="2 rows, the cache has 3"):
        model(ids, cache=model.new_cache(3, 5))
    cache = model.new_cache(2, 9, rewind=1)
    model(ids, cache=cache)
    with pytest.raises(ArgumentError, match="larger rewind"):
        cache.rewind([3, 5])
    with pytest.raises(ArgumentError, match="documents"):
        model(ids, documents=[[5], [5]], lengths=[5, 5])


def test_equal_scores_choose_the_earliest_entries_and_never_one_that_is_not_there_yet():
    model = DeepseekV4(dataclasses.replace(TINY, index_topk=4))
    for layer in (2, 3):
        al.nn.init.zeros_(model.layers[layer].attn.indexer.weights_proj.weight)  # every score is exactly 0
    side = Side(record=True)
    with al.no_grad():
        model(golden_tokens(), side=side)
    for layer in (2, 3):
        chosen = side.entries[layer].numpy()
        for t in range(LENGTH):
            seen = min(4, (t + 1) // 4)
            assert (chosen[:, t] == [*range(seen), *[-1] * (4 - seen)]).all()


# -- configs and dtypes


def test_the_published_configs_have_their_layers():
    pro, flash = CONFIGS["V4-Pro"], CONFIGS["V4-Flash"]
    assert [pro.layers_of(kind) for kind in ("window", "csa", "hca")] == [0, 30, 31]
    assert [flash.layers_of(kind) for kind in ("window", "csa", "hca")] == [2, 21, 20]
    assert config_of("v4-pro") is pro
    assert DeepseekV4Config(**pro.state_dict()) == pro
    with pytest.raises(ArgumentError, match="V4-Flash"):
        config_of("V5")


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"hidden_size": 0}, "hidden_size"), ({"compress_ratios": (0, 4)}, "compress_ratios"), ({"o_groups": 3}, "o_groups"),
     ({"qk_rope_head_dim": 34}, "qk_rope_head_dim"), ({"num_experts_per_tok": 9}, "num_experts_per_tok"), ({"expert_dtype": "int4"}, "expert_dtype"),
     ({"rope_theta": 0.0}, "rope_theta"), ({"num_nextn_predict_layers": 2}, "num_nextn_predict_layers")],
)  # fmt: skip
def test_a_config_that_cannot_be_is_refused(changes, named):
    with pytest.raises(ArgumentError, match=named):
        dataclasses.replace(TINY, **changes)


def test_a_bfloat16_model_keeps_in_float32_what_the_reference_keeps():
    model = DeepseekV4(TINY, dtype=al.bfloat16)
    wide = {name.split(".", 2)[-1] if name.startswith("layers.") else name for name, p in model.named_parameters() if p.dtype == al.float32}
    for part in ("hc_attn.fn", "hc_ffn.base", "attn.attn_sink", "attn.compressor.ape", "attn.compressor.wkv.weight", "attn.indexer.compressor.wgate.weight",
                 "ffn.gate.weight", "attn_norm.weight", "hc_head.scale", "norm.weight"):  # fmt: skip
        assert part in wide
    assert not wide & {"attn.wq_a.weight", "attn.wo_b.weight", "ffn.experts.w1", "ffn.shared_experts.w2.weight", "embed.weight"}
    logits = model(al.tensor([[1, 2, 3, 4, 5, 6, 7, 8]]))
    assert logits.dtype == al.float32
    assert bool(logits.isfinite().all())


def test_casting_a_model_is_making_it_in_that_dtype():
    made = {name: t.dtype for name, t in DeepseekV4(TINY, dtype=al.bfloat16).state_dict().items()}
    for cast in (DeepseekV4(TINY).bfloat16(), DeepseekV4(TINY).to("cpu", al.bfloat16), DeepseekV4(TINY).to(dtype=al.bfloat16)):
        assert {name: t.dtype for name, t in cast.state_dict().items()} == made
    assert {p.dtype for p in DeepseekV4(TINY, dtype=al.bfloat16).float().parameters()} == {al.float32}


def test_autocast_leaves_in_float32_what_the_reference_keeps():
    model, ids = golden_model(4), golden_tokens()
    block, x = model.layers[1], model.embed(ids).unsqueeze(2).expand(-1, -1, 4, -1)
    with al.no_grad():
        plain = [*block.hc_attn(x), block.ffn.gate(x[:, :, 0].reshape(-1, 64), ids.reshape(-1), None).scores, model.hc_head(x)]
        with al.amp.autocast("cpu", dtype=al.bfloat16):
            cast = [*block.hc_attn(x), block.ffn.gate(x[:, :, 0].reshape(-1, 64), ids.reshape(-1), None).scores, model.hc_head(x)]
            low = model(ids)
        assert all(al.equal(a, b) for a, b in zip(plain, cast, strict=True))
        assert low.dtype == al.float32
        off = (low - whole()[1]).abs().mean()
    assert 1e-4 < float(off) < 0.3


def test_the_hash_table_is_part_of_the_state():
    state = DeepseekV4(TINY).state_dict()
    assert state["layers.0.ffn.gate.tid2eid"].shape == (256, 2)
    assert "layers.0.ffn.gate.bias" not in state
    assert state["layers.1.ffn.gate.bias"].dtype == al.float32
    assert int((state["layers.0.ffn.gate.tid2eid"][:, 0] == state["layers.0.ffn.gate.tid2eid"][:, 1]).sum()) == 0
