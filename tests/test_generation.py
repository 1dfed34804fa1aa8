"""Generation: sampling against its definitions, rows that do not feel each other, stops, streams and caches."""

from __future__ import annotations

import math

import numpy as np
import pytest

import ascendlite as al
from ascendlite.errors import ArgumentError, ShapeError
from ascendlite.generation import GenerationConfig, choose, generate, restrict, row_seeds, stream
from ascendlite.generation.sampling import draw, penalize, uniform, uniforms
from ascendlite.generation.text import TextStream
from ascendlite.models.gpt import GPT, ByteTokenizer, GPTConfig
from ascendlite.nn import functional as F

PROMPTS = [[3, 1, 4, 1, 5, 9, 2], [6], [5, 3, 5], [8, 9, 7, 9]]


def _model(positions: str = "rotary", **changes) -> GPT:
    al.manual_seed(0)
    model = GPT(GPTConfig(**{"vocab_size": 41, "length": 48, "layers": 2, "heads": 2, "width": 32, "positions": positions, **changes}))
    with al.no_grad():
        for parameter in model.parameters():
            parameter.add_(al.randn(parameter.shape) * 0.15)
    return model


# -- choosing


def test_restrictions_keep_what_their_definitions_keep():
    rng = np.random.default_rng(0)
    for _ in range(20):
        logits = rng.normal(size=13).astype(np.float32) * 3
        p = np.exp(logits - logits.max())
        p /= p.sum()
        order = np.argsort(-p)
        by_k = set(order[:5].tolist())
        by_p = set(order[: int(np.searchsorted(np.cumsum(p[order]), 0.8)) + 1].tolist())
        by_min = set(np.flatnonzero(p >= 0.1 * p.max()).tolist())
        x = al.tensor(logits).unsqueeze(0)
        for kept, expected in ((restrict(x, top_k=5), by_k), (restrict(x, top_p=0.8), by_p), (restrict(x, min_p=0.1), by_min)):
            assert set(np.flatnonzero(kept[0].numpy() > -math.inf).tolist()) == expected
            assert np.array_equal(kept[0].numpy()[sorted(expected)], logits[sorted(expected)])


def test_top_p_is_taken_of_what_top_k_left():
    x = al.tensor([[3.0, 2.9, 2.8, 0.0]])  # of the first three: shares 0.37, 0.33, 0.30
    assert (restrict(x, top_k=2, top_p=0.52) > -math.inf).tolist() == [[True, False, False, False]]
    assert (restrict(x, top_k=3, top_p=0.52) > -math.inf).tolist() == [[True, True, False, False]]


def test_a_penalty_shrinks_what_was_seen():
    x = al.tensor([[2.0, -2.0, 1.0], [2.0, -2.0, 1.0]])
    assert penalize(x, [[0, 1, 1], [2]], 2.0).tolist() == [[1.0, -4.0, 1.0], [2.0, -2.0, 0.5]]


def test_draws_follow_the_distribution():
    logits = al.tensor([[0.0, 1.0, -math.inf, 2.0]])
    n = 4000
    p = F.softmax(logits, -1)[0].numpy()
    drawn = draw(logits.expand(n, 4), [uniform(11, step) for step in range(n)])[:, 0].numpy()
    counts = np.bincount(drawn, minlength=4)
    assert counts[2] == 0
    expected = n * p[[0, 1, 3]]
    assert float(((counts[[0, 1, 3]] - expected) ** 2 / expected).sum()) < 13.8  # chi squared, 2 degrees, p = 0.001


def test_seeds_of_rows_differ_and_number_zero_is_the_seed():
    assert row_seeds(5, 3)[0] == 5
    assert len({uniform(seed, step) for seed in row_seeds(0, 50) + row_seeds(1, 50) for step in range(20)}) == 2000


def test_probabilities_are_those_of_the_model_and_of_the_draw():
    logits = al.tensor([[0.0, 1.0, 2.0, -1.0]])
    config = GenerationConfig(temperature=0.5, top_k=2, logprobs=True, keep_sets=True)
    choice = choose(logits, config, [0], [0])
    token = choice.tokens[0]
    assert choice.sets == [[1, 2]]
    assert choice.logprobs[0] == pytest.approx(float(F.log_softmax(logits, -1)[0, token]))
    assert choice.drawn_logprobs[0] == pytest.approx(float(F.log_softmax(al.tensor([2.0, 4.0]), -1)[token - 1]))


def test_logits_that_are_no_distribution_are_refused():
    for value in (math.nan, math.inf):
        with pytest.raises(ArgumentError, match="logit of row 1 is"):
            choose(al.tensor([[0.0, 1.0], [value, 0.0]]), GenerationConfig(), [0, 0], [0, 0])


def test_names_of_transformers_are_understood():
    model = _model()
    prompt = [1, 2, 3]
    greedy = generate(model, prompt, temperature=0.0, max_new_tokens=4)
    assert generate(model, prompt, do_sample=False, max_new_tokens=4, pad_token_id=0, num_beams=1, top_k=0) == greedy
    two = generate(model, prompt, samples=2, max_new_tokens=4, stop_tokens=[5], seed=3)
    assert generate(model, prompt, num_return_sequences=2, max_new_tokens=np.int64(4), eos_token_id=5, seed=3, do_sample=True) == two
    for options, text in (
        ({"num_beams": 4}, "there is no num_beams: texts are drawn token by token"),
        ({"max_length": 9}, "max_new_tokens counts what is written"),
        ({"do_sample": False, "temperature": 0.7}, "leave one of them out"),
        ({"eos_token_id": 1, "stop_tokens": [1]}, "are the same"),
        ({"max_new_token": 3}, "did you mean max_new_tokens"),
        ({"max_new_tokens": 2.5}, "must be a whole number"),
        ({"temperature": "hot"}, "must be a number"),
    ):
        with pytest.raises(ArgumentError, match=text):
            generate(model, prompt, **options)
    for prompts, text in (([], "give at least one"), ([[1.5]], "whole numbers, one for each token"), (["a", [1]], "whole numbers")):
        with pytest.raises(ArgumentError, match=text):
            generate(model, prompts)


def test_a_tokenizers_end_ends_a_row_unless_others_are_named():
    model, tokenizer = _model(), _Numbers()
    free = generate(model, [1, 2, 3], temperature=0.0, max_new_tokens=6)[0].tokens
    tokenizer.eos_token_id = free[2]
    first = free.index(free[2]) + 1
    assert generate(model, [1, 2, 3], temperature=0.0, max_new_tokens=6, tokenizer=tokenizer)[0].tokens == free[:first]
    assert generate(model, [1, 2, 3], temperature=0.0, max_new_tokens=6, tokenizer=tokenizer, stop_tokens=())[0].tokens == free


class _Numbers:
    eos_token_id = 0

    def encode(self, text):
        return [int(word) for word in text.split()]

    def decode(self, tokens):
        return "".join(f"{token} " for token in tokens)


def test_options_that_cannot_be_are_refused():
    for name, value in {"temperature": -1.0, "top_k": -1, "top_p": 0.0, "min_p": 2.0, "repetition_penalty": 0.0, "samples": 0,
                        "max_new_tokens": -1, "overflow": "wrap"}.items():  # fmt: skip
        with pytest.raises(ArgumentError, match=name):
            GenerationConfig(**{name: value})
    model = _model()
    for prompts, options, text in (
        ([[]], {}, "empty"),
        ("text", {}, "tokenizer"),
        ([1], {"stop": "x"}, "tokenizer"),
        ([1], {"heat": 1}, "heat"),
        ([1] * 49, {}, "overflow='slide'"),
        ([[1], [2]], {"seed": [1]}, "1 seeds for 2 rows"),
    ):
        with pytest.raises(ArgumentError, match=text):
            generate(model, prompts, **options)


# -- rows, batches, caches


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_a_row_is_the_same_alone_and_in_any_batch_bit_for_bit(positions):
    model = _model(positions)
    seeds = row_seeds(3, len(PROMPTS))
    options = {"max_new_tokens": 20, "temperature": 0.9, "top_p": 0.95, "logprobs": True, "stop_tokens": [7]}
    together = generate(model, PROMPTS, seed=3, **options)
    assert len({len(row.tokens) for row in together}) > 1  # some ended earlier
    for row, (prompt, seed) in enumerate(zip(PROMPTS, seeds, strict=True)):
        assert generate(model, prompt, seed=[seed], **options) == [together[row]]
    backwards = generate(model, PROMPTS[::-1], seed=seeds[::-1], **options)
    assert backwards[::-1] == together


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_logprobs_are_those_of_the_training_forward_bit_for_bit(dtype):
    model = _model().to(getattr(al, dtype))
    for row in generate(model, PROMPTS, max_new_tokens=25, temperature=1.0, logprobs=True):
        text = row.prompt + row.tokens
        logits = model(al.tensor([text]))
        assert logits.requires_grad
        logprobs = F.log_softmax(logits.float(), -1)[0, len(row.prompt) - 1 : -1].gather(1, al.tensor(row.tokens).unsqueeze(1))
        assert logprobs[:, 0].tolist() == row.logprobs


def test_a_padded_training_batch_gives_the_bits_of_each_row_alone():
    model = _model()
    width = max(map(len, PROMPTS))
    padded = al.tensor([row + [0] * (width - len(row)) for row in PROMPTS])
    logits = model(padded)
    for number, row in enumerate(PROMPTS):
        assert logits[number, : len(row)].tolist() == model(al.tensor([row]))[0].tolist()


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_any_cut_of_ragged_rows_into_calls_gives_the_same_bits(positions):
    model = _model(positions)
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 41, (3, 30))
    whole = model(al.tensor(rows)).detach()
    with al.no_grad():
        cache = model.new_cache(3, 40)
        while min(cache.lengths) < 30:
            starts = list(cache.lengths)
            lengths = [int(min(rng.integers(0, 7), 30 - start)) for start in starts]
            width = max([*lengths, 1])
            tokens = [[*rows[b, s : s + n], *[40] * (width - n)] for b, (s, n) in enumerate(zip(starts, lengths, strict=True))]
            logits = model(al.tensor([[int(t) for t in row] for row in tokens]), cache=cache, lengths=lengths)
            for b, (s, n) in enumerate(zip(starts, lengths, strict=True)):
                assert logits[b, :n].tolist() == whole[b, s : s + n].tolist()


def test_a_cache_selects_rows_and_rewinds():
    model = _model()
    tokens = al.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
    with al.no_grad():
        cache = model.new_cache(2, 300)
        model(tokens, cache=cache)
        both = cache.select([1, 0, 1])
        assert both.lengths == (4, 4, 4)
        both.rewind([2, 4, 3])
        logits = model(al.tensor([[9, 9], [9, 0], [9, 0]]), cache=both, lengths=[2, 1, 1])
        expected = [[5, 6, 9, 9], [1, 2, 3, 4, 9], [5, 6, 7, 9]]
        for row, text in enumerate(expected):
            assert logits[row, 1 if row == 0 else 0].tolist() == model(al.tensor([text]))[0, -1].tolist()
    with pytest.raises(ArgumentError, match="rewind"):
        both.rewind([9, 9, 9])
    with pytest.raises(ShapeError, match="300|48"):
        model(al.zeros(2, 46, dtype=al.int64), cache=cache)
    with pytest.raises(ArgumentError, match="lengths"):
        model(tokens, cache=cache, lengths=[5, 1])


def test_samples_of_a_prompt_are_rows_of_their_own():
    model = _model()
    many = generate(model, PROMPTS[:2], max_new_tokens=6, samples=3, seed=4)
    seeds = row_seeds(4, 6)
    assert [row.prompt for row in many] == [PROMPTS[0]] * 3 + [PROMPTS[1]] * 3
    assert many[4] == generate(model, PROMPTS[1], max_new_tokens=6, seed=[seeds[4]])[0]


def test_greedy_takes_the_likeliest():
    model = _model()
    (row,) = model.generate(PROMPTS[0], max_new_tokens=5, temperature=0)
    text = list(PROMPTS[0])
    for token in row.tokens:
        assert token == int(model(al.tensor([text]))[0, -1].argmax())
        text.append(token)
    assert row.finish == "length"


def test_a_full_context_ends_a_row_or_slides():
    model = _model(length=8)
    (row,) = generate(model, [1, 2, 3], max_new_tokens=20, temperature=0)
    assert (len(row.tokens), row.finish) == (6, "context")
    prompts = [[1, 2, 3], [4, 5, 6, 7, 8, 9, 10, 11, 12]]
    slid = generate(model, prompts, max_new_tokens=20, temperature=0, overflow="slide")
    assert [len(row.tokens) for row in slid] == [20, 20]
    assert slid[0].tokens[:6] == row.tokens
    assert slid == [generate(model, prompt, max_new_tokens=20, temperature=0, overflow="slide")[0] for prompt in prompts]


def test_training_mode_and_gradients_are_left_as_they_were():
    model = _model(dropout=0.5)
    for token in stream(model, [1], max_new_tokens=3, temperature=0):
        assert model.training
        assert al.is_grad_enabled()
        assert token.row == 0
    assert generate(model, [1], max_new_tokens=0)[0].tokens == []


# -- text


def test_text_is_streamed_in_whole_characters_and_ends_before_a_stop():
    codec = ByteTokenizer()
    text = "a€b STOP and more"
    flow = TextStream(codec, ["STOP", "never"])
    pieces = [flow.push(int(t)) for t in codec.encode(text) if not flow.stopped]
    assert "".join(pieces) + flow.finish() == "a€b "
    assert flow.stopped
    assert pieces[1:4] == ["", "", "€"]
    held = TextStream(codec, ["STOP"])
    assert "".join(held.push(int(t)) for t in codec.encode("xST")) == "x"
    assert held.finish() == "ST"


def test_bytes_that_are_no_text_come_out_at_the_end():
    flow = TextStream(ByteTokenizer())
    assert flow.push(0xE2) == ""
    assert flow.finish() == "\ufffd"


def test_a_stop_text_ends_a_row():
    codec = ByteTokenizer()
    model = _model(vocab_size=256)
    (free,) = generate(model, "ab", tokenizer=codec, max_new_tokens=12, temperature=0)
    whole = codec.decode(free.tokens)
    assert free.text == whole
    stop = whole[3:5]
    (row,) = generate(model, "ab", tokenizer=codec, max_new_tokens=12, temperature=0, stop=stop)
    assert row.text == whole[: whole.index(stop)]
    assert row.finish == "stop"


# -- DeepSeek-V4: its cache, and guesses of its MTP layer


@pytest.fixture(scope="module")
def v4():
    from ascendlite.models.deepseek_v4 import DeepseekV4, config_of

    al.manual_seed(0)
    model = DeepseekV4(config_of("tiny"))
    with al.no_grad():
        for parameter in model.parameters():
            parameter.add_(al.randn(parameter.shape) * 0.05)
    return model


V4_PROMPTS = [[1, 2, 3, 4, 5, 6, 7], [8], [9, 10, 11], list(range(20, 55))]


def test_v4_rows_are_the_same_alone_together_and_in_training_bit_for_bit(v4):
    options = {"max_new_tokens": 40, "logprobs": True, "stop_tokens": [13], "temperature": 1.2}
    together = generate(v4, V4_PROMPTS, seed=[5, 6, 7, 8], **options)
    for row, seed in zip(together, (5, 6, 7, 8), strict=True):
        assert generate(v4, row.prompt, seed=[seed], **options) == [row]
        logits = v4(al.tensor([row.prompt + row.tokens]))[0, len(row.prompt) - 1 : -1]
        assert F.log_softmax(logits, -1).gather(1, al.tensor(row.tokens).unsqueeze(1))[:, 0].tolist() == row.logprobs


@pytest.mark.parametrize("options", [{"temperature": 0}, {"temperature": 0.7, "top_p": 0.9}, {"temperature": 0, "repetition_penalty": 1.3}])
def test_guessing_ahead_changes_nothing_but_the_number_of_passes(v4, options):
    options = {"max_new_tokens": 40, "stop_tokens": [13], "seed": 3, "logprobs": True, **options}
    assert v4.generate(V4_PROMPTS, speculate=True, **options) == v4.generate(V4_PROMPTS, **options)
    assert v4.generate(V4_PROMPTS[:2], speculate=True, samples=2, **options) == v4.generate(V4_PROMPTS[:2], samples=2, **options)


def test_right_guesses_are_taken(v4):
    al.manual_seed(0)
    optimizer = al.optim.AdamW(v4.parameters(), lr=3e-3)
    from ascendlite.models.deepseek_v4 import Side

    text = al.tensor([[(7 * i) % 11 + 20 for i in range(24)]])
    for _ in range(40):
        side = Side(keep_streams=True)
        loss = F.cross_entropy(v4(text, side=side)[0, :-1], text[0, 1:])
        loss = loss + F.cross_entropy(v4.draft(side, text.roll(-1, 1))[0, :-2], text[0, 2:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    tokens = list(stream(v4, text[0, :6], max_new_tokens=16, temperature=0, speculate=True))
    assert [t.token for t in tokens] == v4.generate(text[0, :6], max_new_tokens=16, temperature=0)[0].tokens
    assert sum(t.guessed for t in tokens) >= 5


def test_only_a_model_that_guesses_can_speculate():
    with pytest.raises(ArgumentError, match="GPT has none"):
        generate(_model(), [1], speculate=True)


def test_the_numbers_of_all_rows_are_those_of_numpys_philox():
    rng = np.random.default_rng(0)
    seeds = [*(int(word) for word in rng.integers(0, 2**64, 200, np.uint64)), 0, 2**64 - 1, -5]
    steps = [*(int(step) for step in rng.integers(0, 5000, 200)), 0, 1, 2]
    expected = [int(np.random.Philox(key=seed & (2**64 - 1), counter=step).random_raw(1)[0] >> 11) / 2**53 for seed, step in zip(seeds, steps, strict=True)]
    assert uniforms(seeds, steps) == expected


def test_one_row_writes_what_plain_calls_write(monkeypatch):
    model, served = _model(width=256, layers=1, length=32).eval(), []
    plain = al.nn.panels.Panels.linear
    monkeypatch.setattr(al.nn.panels.Panels, "linear", lambda self, x, bias: served.append(x.shape) or plain(self, x, bias))
    text = [3, 1, 4]
    with al.no_grad():
        for _ in range(20):
            text.append(int(model(al.tensor([text]))[0, -1].argmax()))
    assert not served
    assert generate(model, [3, 1, 4], max_new_tokens=20, temperature=0)[0].tokens == text[3:]
    assert len(served) > 20 and all(layer.panels is None for layer in model.modules() if isinstance(layer, al.nn.Linear))
