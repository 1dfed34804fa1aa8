"""The guard of a training step: faults, skipped steps, spikes, and dumps that name tensor and op."""

from __future__ import annotations

import json
import math

import pytest

import ascendlite as al
from ascendlite.npu.runtime.device import state
from ascendlite.posttrain import TrainingError
from ascendlite.posttrain.guard import Guard, StepResult
from tests.posttrain_runs import digest, gpt, sft


class _Poison:
    """Makes a module's output NaN in some of its calls."""

    def __init__(self, module, calls) -> None:
        self.calls, self.number = calls, 0
        module.register_forward_hook(self._spoil)

    def _spoil(self, module, inputs, output):
        self.number += 1
        return al.log(output * 0 - 1) if self.number in self.calls else output


def weights(trainer):
    return [p.detach().tolist() for p in trainer.model.parameters()]


def test_a_fault_of_the_machine_is_computed_again_and_changes_nothing():
    clean, hit = sft(None), sft(None)
    _Poison(hit.model.norm, {5})  # one micro-batch once
    for trainer in (clean, hit):
        al.manual_seed(3)  # of the dropout
        trainer.train()
    assert [(e.step, e.action) for e in hit.guard.events] == [(3, "transient")]
    assert digest(hit) == digest(clean)


def test_a_step_that_is_bad_twice_is_skipped_and_the_run_goes_on():
    trainer = sft(None)
    _Poison(trainer.model.norm, {5, 7})
    trainer.train()
    assert [(e.step, e.action) for e in trainer.guard.events] == [(3, "skipped")]
    assert trainer.state.log_history[2]["skipped"] == 1 and "loss" not in trainer.state.log_history[2]
    assert all(math.isfinite(v) for p in trainer.model.parameters() for v in p.detach().flatten().tolist())


def test_too_many_bad_steps_end_the_run_with_a_dump_that_names_the_op(tmp_path):
    trainer = sft(tmp_path)
    trainer.model.blocks[0].mlp_norm.weight.data[3] = math.inf
    with pytest.raises(TrainingError, match=r"3 bad steps in a row; not finite: blocks.0.mlp_norm.weight \(infinity\); op"):
        trainer.train()
    (folder,) = tmp_path.glob("dump-step-*")
    report = json.loads((folder / "report.json").read_text())
    assert report["parameters_not_finite"] == ["blocks.0.mlp_norm.weight (infinity)"]
    assert {p.name for p in folder.iterdir()} >= {"batch.safetensors", "model.safetensors", "report.json"}
    assert al.load(folder / "batch.safetensors")[0]["tokens"].ndim == 2


def test_an_op_that_makes_nan_is_named(tmp_path):
    trainer = sft(tmp_path, max_bad_steps=1)
    _Poison(trainer.model.blocks[0].down, set(range(100)))
    with pytest.raises(TrainingError, match="op 'log' in module 'blocks.0.down' gave NaN"):
        trainer.train()


def test_spikes_are_skipped():
    guard = Guard(5.0, 3, None)
    model = gpt()
    for step in range(12):
        assert guard.run(step, lambda: StepResult(1.0, 1.0), model, dict) is not None
    assert guard.run(12, lambda: StepResult(1.0, 5.1), model, dict) is None
    assert guard.run(13, lambda: StepResult(1.0, 4.9), model, dict) is not None
    assert [(e.step, e.action) for e in guard.events] == [(12, "skipped")]


def test_the_flag_of_a_device_that_saturates_counts_as_an_overflow(monkeypatch):
    monkeypatch.setattr(state, "saturation", True)
    trainer = sft(None, fp16=True, device="npu")
    scale, weight = trainer.scale, next(iter(trainer.model.parameters()))
    for factor, overflowed in ((1.0, False), (60000.0, True), (1.0, False)):
        scale.begin()
        before = scale.get_scale()
        large = al.full((8,), factor, dtype=al.float16, device="npu") * 2
        weight.grad = al.zeros_like(weight) + large.max()
        scale.unscale_(trainer.optimizer)
        assert large.max().item() == (65504 if overflowed else 2) and scale.overflowed == overflowed
        scale.finish()
        assert scale.get_scale() == before * (0.5 if overflowed else 1)


def test_an_overflow_in_float16_on_the_npu_halves_the_scale_and_the_run_goes_on():
    trainer = sft(None, fp16=True, max_steps=6, device="npu")
    scale = trainer.scale.state_dict()["scale"]
    trainer.scale.load_state_dict({**trainer.scale.state_dict(), "scale": scale * 2**6})
    before = weights(trainer)
    rows = [trainer.training_step()]
    assert rows[0]["skipped"] == 1 and weights(trainer) == before
    rows += [trainer.training_step() for _ in range(11)]
    for row, after in zip(rows, rows[1:], strict=False):
        assert after["loss_scale"] == row["loss_scale"] * (0.5 if row["skipped"] else 1)
    assert {event.action for event in trainer.guard.events} == {"scale halved"}
    assert all(math.isfinite(v) for p in trainer.model.parameters() for v in p.detach().flatten().tolist())
    losses = [row["loss"] for row in rows if not row["skipped"]]
    assert all(map(math.isfinite, losses)) and losses[-1] < losses[0]


def test_float16_learns_what_float32_learns():
    runs = [sft(None, fp16=fp16, max_steps=5) for fp16 in (False, True)]
    for trainer in runs:
        trainer.model.eval()
        trainer.train()
    wide, low = ([row["loss"] for row in trainer.state.log_history] for trainer in runs)
    assert low == pytest.approx(wide, rel=0.05)
