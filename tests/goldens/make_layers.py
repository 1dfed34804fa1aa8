"""Writes layers.npz: parameters, outputs and gradients of torch 2.13's layers.

Run: python tests/goldens/make_layers.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from layer_cases import CASES, SHAPES


def masks() -> dict[str, np.ndarray]:
    padding5, padding6 = np.zeros((3, 5), bool), np.zeros((3, 6), bool)
    padding5[1, 4:] = padding6[0, 5:] = padding6[2, 3:] = True
    mask56 = np.zeros((5, 6), bool)
    mask56[0, 1:3] = mask56[3, 0] = True
    causal5 = np.triu(np.full((5, 5), -np.inf, np.float64), 1)
    return {"padding5": padding5, "padding6": padding6, "mask56": mask56, "causal5": causal5}


def leaves(result: Any) -> list[torch.Tensor]:
    if isinstance(result, torch.Tensor):
        return [result]
    return [leaf for part in result if part is not None for leaf in leaves(part)]


def tensor(key: Any, values: dict[str, np.ndarray], given: dict[str, torch.Tensor]) -> Any:
    """The input `key` as a tensor (for a tuple: a tuple of them), the same one each time."""
    if isinstance(key, tuple):
        return tuple(tensor(k, values, given) for k in key)
    if key not in given:
        value = torch.tensor(values[f"input.{key}"])
        given[key] = value.double().requires_grad_() if key in SHAPES else value
    return given[key]


def main() -> None:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    rng = np.random.default_rng(1)
    # inputs and parameters are float32 numbers, computing is in float64, results are stored as float32
    out: dict[str, np.ndarray] = {
        f"input.{k}": rng.standard_normal(shape).astype(np.float32) for k, shape in SHAPES.items()
    }
    out |= {f"input.{k}": mask for k, mask in masks().items()}
    for name, (kind, options, inputs, call) in CASES.items():
        layer = getattr(torch.nn, kind)(**options)
        for param in layer.parameters():  # biases and norms start at constants: move them
            param.data += 0.1 * torch.randn_like(param)
            param.data = param.data.float().double()
        for key, value in layer.state_dict().items():
            out[f"{name}.state.{key}"] = value.numpy().copy()
        given: dict[str, torch.Tensor] = {}
        args = [tensor(key, out, given) for key in inputs]
        kwargs = {k: tensor(v, out, given) if isinstance(v, str) else v for k, v in call.items()}
        results = leaves(layer(*args, **kwargs))
        sum((r * torch.cos(torch.arange(r.numel())).reshape(r.shape)).sum() for r in results).backward()
        for i, r in enumerate(results):
            out[f"{name}.out.{i}"] = r.detach().numpy()
        for key, value in given.items():
            if value.grad is not None:
                out[f"{name}.grad.{key}"] = value.grad.numpy()
        for key, param in layer.named_parameters():
            if param.grad is not None:
                out[f"{name}.grad_of.{key}"] = param.grad.numpy()
        for key, buffer in layer.named_buffers():
            out[f"{name}.after.{key}"] = buffer.numpy().copy()
    out = {k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in out.items()}
    np.savez_compressed(Path(__file__).with_name("layers.npz"), **out)


if __name__ == "__main__":
    main()
