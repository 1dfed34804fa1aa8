"""The guard of a training step: faults, skipped steps, spikes, and dumps that name tensor and op."""

from __future__ import annotations

import json
import math

import pytest

import ascendlite as al
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
