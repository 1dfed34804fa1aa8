"""What training asks of DeepSeek-V4 beyond logits, against equations in NumPy and finite differences of them; replay; recomputation."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

import ascendlite as al
from ascendlite.errors import ArgumentError
from ascendlite.models.deepseek_v4 import DeepseekV4, LossWeights, Side, config_of, objective, update_biases
from ascendlite.models.deepseek_v4.experts import sqrt_softplus
from tests.deepseek_v4_reference import Losses, Reference, cross_entropy
from tests.test_deepseek_v4 import distance, golden_model, golden_tokens

TINY = config_of("tiny")
# Entries are fewer than the indexers may choose, and routes are far from ties, so that losses are smooth.
LENGTH = 40
WEIGHTS = LossWeights(mtp=0.3, balance=0.5, indexer=0.7)


@functools.cache
def texts() -> tuple[al.Tensor, al.Tensor]:
    ids = golden_tokens()
    return ids[:, :LENGTH], ids[:, 1 : LENGTH + 1]


def state(model: DeepseekV4) -> dict[str, np.ndarray]:
    return {name: t.detach().numpy().astype(np.float64 if t.dtype.is_floating_point else np.int64) for name, t in model.state_dict().items()}


def expected_parts(weights: dict[str, np.ndarray], config) -> dict[str, float]:
    """The losses of the equations, means over the two texts."""
    made = Reference(config, weights)
    found: dict[str, list[float]] = {"next_token": [], "mtp": [], "balance": [], "indexer": []}
    for ids, targets in zip(*(t.numpy() for t in texts()), strict=True):
        losses = Losses()
        x = made.streams(ids, losses)
        found["next_token"].append(cross_entropy(made.logits(x), targets))
        drafted = made.draft(x, targets, losses)  # the targets are the next tokens
        found["mtp"].append(cross_entropy(drafted, np.append(targets[1:], -100)))
        found["balance"].append(losses.balance)
        found["indexer"].append(losses.index)
    return {name: float(np.mean(values)) for name, values in found.items()}


def total(parts: dict[str, float]) -> float:
    return parts["next_token"] + WEIGHTS.mtp * parts["mtp"] + WEIGHTS.balance * parts["balance"] + WEIGHTS.indexer * parts["indexer"]


@pytest.mark.parametrize("topk", [32, 4])
def test_every_loss_is_that_of_the_equations(topk):
    model = golden_model(topk)
    ids, targets = texts()
    losses = objective(model, ids, targets, weights=WEIGHTS)
    expected = expected_parts(state(model), model.config)
    for name, value in expected.items():
        assert float(getattr(losses, name)) == pytest.approx(value, rel=2e-5), name
    assert float(losses.total) == pytest.approx(total(expected), rel=2e-5)


GROUPS = {
    "indexers": lambda name: ".indexer." in name,
    "mtp": lambda name: name.startswith("mtp."),
    "routers": lambda name: name.endswith("ffn.gate.weight"),
    "hyper-connections": lambda name: ".hc_" in name,
    "compressors": lambda name: ".attn.compressor." in name,
    "embedding": lambda name: name == "embed.weight",
}


@functools.cache
def gradients() -> dict[str, np.ndarray]:
    model = golden_model(32)
    for p in model.parameters():
        p.grad = None
    objective(model, *texts(), weights=WEIGHTS).total.backward()
    return {name: p.grad.numpy().astype(np.float64) for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("group", GROUPS)
def test_gradients_are_the_slopes_of_the_equations(group):
    """Along a random direction in a group of weights; the indexers' loss must not move anything else, so it is left out there."""
    weights = state(golden_model(32))
    rng = np.random.default_rng(len(group))
    chosen = [name for name in gradients() if GROUPS[group](name)]
    direction = {name: rng.standard_normal(weights[name].shape) * np.abs(weights[name]).max() for name in chosen}
    step, ends = 1e-6, []
    for sign in (1, -1):
        parts = expected_parts({**weights, **{n: weights[n] + sign * step * d for n, d in direction.items()}}, golden_model(32).config)
        ends.append(total({**parts, "indexer": parts["indexer"] if group == "indexers" else 0.0}))
    slope = (ends[0] - ends[1]) / (2 * step)
    found = sum((gradients()[name] * d).sum() for name, d in direction.items())
    assert found == pytest.approx(slope, rel=1e-3, abs=1e-5)


def test_the_indexers_loss_reaches_indexers_only():
    model = golden_model(4)
    for p in model.parameters():
        p.grad = None
    objective(model, *texts(), weights=LossWeights(mtp=0.0, balance=0.0, indexer=1.0)).indexer.backward()
    touched = {name for name, p in model.named_parameters() if p.grad is not None and float(p.grad.abs().max()) > 0}
    assert touched == {name for name, _ in model.named_parameters() if ".indexer." in name}


def test_a_dense_warm_up_attends_to_every_entry():
    few, many = golden_model(4), golden_model(32)
    ids, targets = texts()
    with al.no_grad():
        dense = few.hidden(ids, side=Side(dense=True))
        assert al.equal(dense, many.hidden(ids))
        assert not al.equal(dense, few.hidden(ids))
        a = objective(few, ids, targets, dense_index=True).indexer
        assert float(a) == pytest.approx(float(objective(many, ids, targets).indexer), rel=1e-6)


def test_padding_takes_no_part_in_losses():
    model = golden_model(4)
    ids, targets = texts()
    short = objective(model, ids[:, :30], targets[:, :30], weights=WEIGHTS)
    padded = targets.clone()
    padded[:, 30:] = -100
    long = objective(model, ids, padded, weights=WEIGHTS, lengths=[30, 30])
    for name in ("next_token", "balance", "indexer", "mtp"):
        assert float(getattr(long, name)) == pytest.approx(float(getattr(short, name)), rel=1e-5), name
    assert all(al.equal(long.side.loads[layer], load) for layer, load in short.side.loads.items())


def test_packed_texts_have_the_losses_of_texts_alone():
    model = golden_model(4)
    ids, targets = (t[:1] for t in texts())
    documents = [[17, 23]]
    packed = targets.clone()
    packed[:, 16] = -100
    found = objective(model, ids, packed, weights=LossWeights(balance=0.0), documents=documents)
    a = objective(model, ids[:, :17], packed[:, :17], weights=LossWeights(balance=0.0))
    b = objective(model, ids[:, 17:], packed[:, 17:], weights=LossWeights(balance=0.0))
    assert float(found.next_token) == pytest.approx((16 * float(a.next_token) + 23 * float(b.next_token)) / 39, rel=1e-5)
    assert float(found.mtp) == pytest.approx((15 * float(a.mtp) + 22 * float(b.mtp)) / 37, rel=1e-5)


def test_biases_move_towards_the_mean_load():
    model = DeepseekV4(TINY)
    losses = objective(model, *texts())
    biases = {name: b.clone() for name, b in model.named_buffers() if name.endswith("gate.bias")}
    weights = state(model)
    loads: dict[int, np.ndarray] = {}
    for ids, targets in zip(*(t.numpy() for t in texts()), strict=True):
        found, made = Losses(), Reference(TINY, weights)
        made.draft(made.streams(ids, found), targets, found)
        for layer, load in found.loads.items():
            loads[layer] = loads.get(layer, 0) + load
    assert set(losses.side.loads) == set(loads) == {1, 2, 3, 4}
    update_biases(model, losses.side.loads, 0.25)
    for layer, load in loads.items():
        name = f"layers.{layer}.ffn.gate.bias" if layer < 4 else "mtp.0.block.ffn.gate.bias"
        expected = biases[name].numpy() - 0.25 * np.sign(load - load.mean())
        assert np.array_equal(dict(model.named_buffers())[name].numpy(), expected.astype(np.float32))


def test_sqrt_softplus_keeps_its_gradient_where_the_exponential_underflows():
    x = al.tensor([-300.0, -110.0, -60.0, -17.1, -16.9, -3.0, 0.0, 25.0, 200.0], requires_grad=True)
    y = sqrt_softplus(x)
    y.sum().backward()
    z = x.detach().numpy().astype(np.float64)
    value = np.sqrt(np.logaddexp(0, z))
    slope = 1 / (1 + np.exp(-np.maximum(z, -700))) / (2 * value)
    assert np.allclose(y.detach().numpy(), value, rtol=1e-6, atol=1e-45)
    assert np.allclose(x.grad.numpy(), slope, rtol=1e-6, atol=1e-45)


def test_choices_of_another_pass_can_be_replayed():
    ids, _ = texts()
    rollout, learner = golden_model(4), DeepseekV4(dataclasses.replace(TINY, index_topk=4))
    recorded = Side(record=True)
    with al.no_grad():
        first = rollout(ids, side=recorded)
        assert al.equal(rollout(ids, side=Side(replay=recorded)), first)
        again = Side(record=True, replay=recorded)
        learner(ids, side=again)
        free = Side(record=True)
        learner(ids, side=free)
    for layer in range(4):
        assert al.equal(again.experts[layer], recorded.experts[layer])
        assert layer == 0 or not al.equal(free.experts[layer], recorded.experts[layer])
    assert all(al.equal(again.entries[layer], recorded.entries[layer]) for layer in (2, 3))


def test_recomputing_layers_changes_no_bit():
    grads = []
    for recompute in (False, True):
        al.manual_seed(3)
        model = DeepseekV4(TINY, recompute=recompute)
        losses = objective(model, *texts(), weights=WEIGHTS)
        losses.total.backward()
        grads.append([losses.total, *(p.grad for p in model.parameters() if p.grad is not None)])
    assert len(grads[0]) == len(grads[1])
    assert all(al.equal(a, b) for a, b in zip(*grads, strict=True))


def test_drafting_by_steps_gives_the_logits_of_the_whole():
    model, (ids, targets) = golden_model(4), texts()
    with al.no_grad():
        side = Side(keep_streams=True)
        model.hidden(ids, side=side)
        whole = model.draft(side, targets)
        cache, at = model.new_cache(2, LENGTH, rewind=3), 0
        for n in (9, 1, 1, 7, 22):
            step = Side(keep_streams=True)
            model(ids[:, at : at + n], cache=cache, side=step)
            drafted = model.draft(step, targets[:, at : at + n], cache)
            assert distance(drafted, whole[:, at : at + n]) < 1e-5
            at += n
    with pytest.raises(ArgumentError, match="keep_streams"):
        model.draft(Side(), targets)


def test_the_npu_computes_the_same():
    al.manual_seed(0)
    model = DeepseekV4(TINY)
    ids, targets = (t[:, :24] for t in texts())
    results = []
    for device in ("cpu", "npu"):
        model.to(device)
        for p in model.parameters():
            p.grad = None
        x = ids.to(device)
        losses = objective(model, x, targets.to(device), weights=WEIGHTS)
        losses.total.backward()
        cache = model.new_cache(2, 24)
        steps = [model(x[:, :17], cache=cache), *(model(x[:, t : t + 1], cache=cache) for t in range(17, 24))]
        results.append((float(losses.total), al.cat(steps, 1).cpu(), {n: p.grad.cpu() for n, p in model.named_parameters() if p.grad is not None}))
    (loss, logits, grads), (npu_loss, npu_logits, npu_grads) = results
    assert npu_loss == pytest.approx(loss, rel=1e-5)
    assert distance(npu_logits, logits) < 1e-5
    assert npu_grads.keys() == grads.keys()
    for name, g in grads.items():
        assert float((npu_grads[name] - g).norm()) <= 1e-3 * float(g.norm()) + 1e-7, name


def test_it_learns_by_heart():
    al.manual_seed(0)
    model = DeepseekV4(dataclasses.replace(TINY, vocab_size=16))
    optimizer = al.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    text = (al.arange(66) * 5 % 16).reshape(2, 33)
    ids, targets = text[:, :-1], text[:, 1:]
    for _ in range(30):
        losses = objective(model, ids, targets)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        update_biases(model, losses.side.loads)
    assert float(losses.next_token) < 0.2
    assert float(losses.mtp) < 0.3
