"""The GPT, its generation and its tokenizers."""

from __future__ import annotations

import math

import pytest

import ascendlite as al
from ascendlite.errors import ArgumentError, ShapeError
from ascendlite.generation import generate
from ascendlite.models.gpt import GPT, ByteTokenizer, CharTokenizer, GPTConfig, tokenizer_from_state
from ascendlite.models.gpt.config import gpt2


def _model(**changes) -> GPT:
    al.manual_seed(0)
    sizes = {"vocab_size": 11, "length": 16, "layers": 2, "heads": 2, "width": 16, **changes}
    return GPT(GPTConfig(**sizes))


@pytest.fixture(params=["rotary", "learned"])
def positions(request) -> str:
    return request.param


def test_a_fresh_model_guesses_evenly(positions):
    model = _model(positions=positions)
    tokens = al.randint(0, 11, (4, 16))
    assert float(model.loss(tokens, tokens.roll(-1, 1))) == pytest.approx(math.log(11), abs=0.1)


def test_no_place_sees_what_comes_after(positions):
    model = _model(positions=positions)
    tokens = al.randint(0, 11, (1, 16))
    changed = tokens.clone()
    changed[0, 9] = (changed[0, 9] + 1) % 11
    before, after = model(tokens), model(changed)
    assert al.allclose(before[:, :9], after[:, :9], atol=1e-6)
    assert not al.allclose(before[:, 9:], after[:, 9:], atol=1e-6)


def test_with_a_cache_the_logits_are_the_same(positions):
    model = _model(positions=positions)
    tokens = al.randint(0, 11, (2, 12))
    cache = model.new_cache(2, 16)
    with al.no_grad():
        parts = [model(tokens[:, :7], cache=cache), *(model(tokens[:, i : i + 1], cache=cache) for i in range(7, 12))]
        assert al.allclose(al.cat(parts, 1), model(tokens), atol=1e-5)
    with pytest.raises(ShapeError, match="16"):
        model(tokens[:, :5], cache=cache)


def test_it_learns_a_pattern_by_heart_and_writes_it(positions):
    model = _model(positions=positions)
    optimizer = al.optim.AdamW(model.parameters(), lr=1e-2)
    pattern = al.arange(32) % 5
    x, y = pattern[:16].unsqueeze(0), pattern[1:17].unsqueeze(0)
    for _ in range(60):
        loss = model.loss(x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss) < 0.1
    (written,) = generate(model, pattern[:6], max_new_tokens=8, temperature=0.0)
    assert written.tokens == pattern[6:14].tolist()


def test_tied_weights_are_one_parameter():
    model, free = _model(tied=True), _model()
    assert model.head.weight is model.embedding.weight
    assert free.parameter_count() - model.parameter_count() == 11 * 16
    assert model.estimate_flops() == free.estimate_flops()


def test_gpt2_has_its_124_million_parameters():
    with al.device("meta"):
        model = GPT(gpt2())
    assert model.parameter_count() == 124_439_808
    assert model(al.zeros(2, 8, dtype=al.int64, device="meta")).shape == (2, 8, 50257)


def test_a_config_that_cannot_be_is_refused():
    for changes in ({"width": 15}, {"layers": 0}, {"positions": "sine"}, {"dropout": 1.0}, {"heads": 3}):
        with pytest.raises(ArgumentError, match=next(iter(changes))):
            _model(**changes)
    with pytest.raises(ShapeError, match="17 tokens"):
        _model()(al.zeros(1, 17, dtype=al.int64))


def test_tokenizers_give_the_text_back():
    text = "Grüße, 世界!\n"
    for tokenizer in (CharTokenizer(text), ByteTokenizer()):
        again = tokenizer_from_state(tokenizer.state_dict())
        assert again.decode(tokenizer.encode(text).tolist()) == text
    with pytest.raises(ArgumentError, match="'x'"):
        CharTokenizer("abc").encode("axb")
