"""Writes optim.npz: parameters after every step of torch 2.13's optimizers.

Run: python tests/goldens/make_optim.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from optim_cases import CASES, LBFGS_CASES, LBFGS_START, LBFGS_STEPS, MUON_CASES, MUON_SHAPES, STEPS

SHAPES = ((3, 4), (5,))


def valley_walk(name: str, options: dict[str, Any]) -> dict[str, Any]:
    p = torch.nn.Parameter(torch.tensor(LBFGS_START, dtype=torch.float64))
    optimizer = torch.optim.LBFGS([p], **options)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2
        loss.backward()
        return loss

    out: dict[str, Any] = {}
    for t in range(LBFGS_STEPS):
        loss = optimizer.step(closure)
        out[f"{name}.loss.{t}"] = loss.item()
        out[f"{name}.{t}"] = p.detach().numpy().copy()
        out[f"{name}.evaluations.{t}"] = optimizer.state_dict()["state"][0]["func_evals"]
    return out


def muon_walk(name: str, options: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    params = [torch.nn.Parameter(torch.tensor(inputs[f"muon.start.{i}"])) for i in range(len(MUON_SHAPES))]
    optimizer = torch.optim.Muon(params, **options)
    out: dict[str, Any] = {}
    for t in range(STEPS):
        for i, param in enumerate(params):
            param.grad = torch.tensor(inputs[f"muon.grad.{t}.{i}"])
        optimizer.step()
        out |= {f"{name}.{t}.{i}": param.detach().numpy().copy() for i, param in enumerate(params)}
    return out


def main() -> None:
    rng = np.random.default_rng(0)
    starts = [rng.standard_normal(shape) for shape in SHAPES]
    # the second parameter misses a gradient in step 2
    grads = [[rng.standard_normal(shape) for shape in SHAPES] for _ in range(STEPS)]
    out = {f"start.{i}": s for i, s in enumerate(starts)}
    out |= {f"grad.{t}.{i}": g for t, row in enumerate(grads) for i, g in enumerate(row)}
    for name, (kind, options) in CASES.items():
        params = [torch.nn.Parameter(torch.tensor(s)) for s in starts]
        # the second group has half the rate
        groups = [{"params": [params[0]]}, {"params": [params[1]], "lr": options["lr"] / 2}]
        optimizer = getattr(torch.optim, kind)(groups, **options, foreach=False)
        for t in range(STEPS):
            for i, param in enumerate(params):
                param.grad = None if (t, i) == (2, 1) else torch.tensor(grads[t][i])
            optimizer.step()
            for i, param in enumerate(params):
                out[f"{name}.{t}.{i}"] = param.detach().numpy().copy()
        for number, state in optimizer.state_dict()["state"].items():
            for key, value in state.items():
                out[f"{name}.state.{number}.{key}"] = value.numpy().copy()
    for name, options in LBFGS_CASES.items():
        out |= valley_walk(name, options)
    for i, shape in enumerate(MUON_SHAPES):
        out[f"muon.start.{i}"] = rng.standard_normal(shape)
        out |= {f"muon.grad.{t}.{i}": rng.standard_normal(shape) for t in range(STEPS)}
    for name, options in MUON_CASES.items():
        out |= muon_walk(name, options, out)
    np.savez_compressed(Path(__file__).with_name("optim.npz"), **out)


if __name__ == "__main__":
    main()
