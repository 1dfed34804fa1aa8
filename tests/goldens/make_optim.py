"""Writes optim.npz: parameters after every step of torch 2.13's optimizers.

Run: python tests/goldens/make_optim.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from optim_cases import CASES, STEPS

SHAPES = ((3, 4), (5,))


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
    np.savez_compressed(Path(__file__).with_name("optim.npz"), **out)


if __name__ == "__main__":
    main()
