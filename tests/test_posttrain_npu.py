"""Rollouts on the emulated NPU against those on the CPU."""

from __future__ import annotations

import pytest

import ascendlite as al
from ascendlite.generation import GenerationConfig
from ascendlite.models.deepseek_v4 import DeepseekV4, config_of
from ascendlite.posttrain.rollout import Rollout, Sampler

PROMPTS = [[3, 4, 5], [6], [7, 8, 9, 10, 11], [12, 3], [5, 5, 5, 5]]


def drawn(device: str, prompts: list[list[int]] = PROMPTS, tokens: int = 9) -> list[Rollout]:
    """Rows of other lengths that end at other times, so that the NPU's rounded shapes hold padding and ended rows."""
    al.manual_seed(0)
    model = DeepseekV4(config_of("tiny")).to(device)
    config = GenerationConfig(max_new_tokens=tokens, temperature=1.5, stop_tokens=list(range(40)))
    return Sampler(model, config).draw(prompts, seeds=range(len(prompts)))


def test_rollouts_of_a_float32_model_are_those_of_the_cpu():
    expected = drawn("cpu")
    assert len({len(rollout.tokens) for rollout in expected}) > 1
    found = drawn("npu")
    assert [rollout.tokens for rollout in found] == [rollout.tokens for rollout in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def test_rollouts_in_wide_numerics_are_those_of_the_cpu():
    expected = drawn("cpu", PROMPTS[:2], 3)
    with al.npu.numerics("fp32"):
        found = drawn("npu", PROMPTS[:2], 3)
    assert [rollout.tokens for rollout in found] == [rollout.tokens for rollout in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)
