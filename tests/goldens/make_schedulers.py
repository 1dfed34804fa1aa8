"""Writes schedulers.json: rates (and momenta) of torch 2.13's schedules.

Run: python tests/goldens/make_schedulers.py
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from scheduler_cases import CASES, METRICS, PLATEAU_CASES, STEPS
from torch.optim import lr_scheduler as schedules


def optimizer() -> torch.optim.Optimizer:
    first, second = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    return torch.optim.SGD([{"params": [first]}, {"params": [second], "lr": 0.1}], lr=0.5, momentum=0.9)


def run(opt: torch.optim.Optimizer, schedule: schedules.LRScheduler) -> dict[str, list[list[float]]]:
    lrs, momenta = [schedule.get_last_lr()], [[g["momentum"] for g in opt.param_groups]]
    for _ in range(STEPS):
        opt.step()
        schedule.step()
        lrs.append(schedule.get_last_lr())
        momenta.append([g["momentum"] for g in opt.param_groups])
    return {"lr": [list(row) for row in lrs], "momentum": momenta}


def main() -> None:
    out = {}
    for name, (kind, options) in CASES.items():
        opt = optimizer()
        out[name] = run(opt, getattr(schedules, kind)(opt, **options))
    opt = optimizer()
    out["lambda"] = run(opt, schedules.LambdaLR(opt, [lambda t: 0.9**t, lambda t: 1 / (1 + t)]))
    opt = optimizer()
    parts = [schedules.LinearLR(opt, 0.1, total_iters=5), schedules.CosineAnnealingLR(opt, T_max=12),
             schedules.ConstantLR(opt, 0.5, total_iters=3)]  # fmt: skip
    out["sequential"] = run(opt, schedules.SequentialLR(opt, parts, milestones=[5, 17]))
    opt = optimizer()
    out["multiplicative"] = run(opt, schedules.MultiplicativeLR(opt, lambda t: 1 - 0.3 / t))
    opt = optimizer()
    out["chained"] = run(opt, schedules.ChainedScheduler([schedules.ConstantLR(opt, 0.1, total_iters=4), schedules.ExponentialLR(opt, 0.9)]))
    for name, options in PLATEAU_CASES.items():
        opt = optimizer()
        plateau = schedules.ReduceLROnPlateau(opt, **options)
        rows = []
        for metric in METRICS:
            plateau.step(metric)
            rows.append([g["lr"] for g in opt.param_groups])
        out[name] = {"lr": rows}
    Path(__file__).with_name("schedulers.json").write_text(json.dumps(out, indent=0) + "\n")


if __name__ == "__main__":
    main()
