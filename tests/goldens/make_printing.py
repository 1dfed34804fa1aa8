"""Makes printing.json and the torch files of this folder: texts of torch 2.13 for tensors that test_printing makes again."""

import json
from pathlib import Path

import torch

VALUES = [
    [1.0, 2.5], [1e-5, 1.0], [1e9, 1.0], [float("nan"), 1.0], [float("inf"), -2.0], [0.0, 0.0], [[1, 2], [-3, 400]],
    [[True, False]], 3.5, 7, True, [1000.0, 1.0], [0.1] * 30, list(range(50)), [[[1.5] * 3] * 2] * 2, [1e-3, 1e3],
    [12345.678], [-0.0, 1.5], [float("nan")] * 3, 1e10, [],
]  # fmt: skip
SHAPES = [[0], [0, 3], [2, 0, 3], [1001], [20, 60], [3, 4, 200], [40, 30, 2], [2, 2, 2, 2], [1, 1], [7, 7, 7, 7]]
DTYPES = ["float64", "float32", "float16", "bfloat16", "int64", "uint8", "float8_e4m3fn", "float8_e5m2"]
OPTIONS = [
    {"precision": 2}, {"threshold": 5}, {"edgeitems": 1, "threshold": 3}, {"linewidth": 40}, {"sci_mode": True},
    {"sci_mode": False}, {"profile": "full"}, {"profile": "short"}, {"edgeitems": 0, "threshold": 3},
]  # fmt: skip


def ramp(shape: list[int]) -> torch.Tensor:
    """Values of both signs without a pattern, the same everywhere: small integers over 7."""
    n = 1
    for size in shape:
        n *= size
    return ((torch.arange(n, dtype=torch.int64) * 7919 % 1013 - 506).double() / 7.0).reshape(shape)


def main() -> None:
    here = Path(__file__).parent
    rows = [{"values": repr(v), "text": repr(torch.tensor(v))} for v in VALUES]
    rows += [{"shape": s, "dtype": d, "text": repr(ramp(s).to(getattr(torch, d)))} for s in SHAPES for d in DTYPES]
    for options in OPTIONS:
        torch.set_printoptions(profile="default")
        torch.set_printoptions(**options)
        rows += [{"shape": s, "dtype": "float32", "options": options, "text": repr(ramp(s).float())} for s in ([3], [12], [5, 9], [3, 9, 3], [2000])]
    (here / "printing.json").write_text(json.dumps(rows, indent=0) + "\n")
    torch.manual_seed(0)
    base = torch.arange(12.0)
    state = torch.nn.Linear(3, 2).state_dict()
    state["shared"], state["turned"] = base[2:8], base.view(3, 4).t()
    state["half"], state["byte_float"] = torch.ones(2).bfloat16(), torch.ones(2).to(torch.float8_e4m3fn)
    state["nested"] = {"numbers": [1, 2.5, None, (True,)], "weight": torch.nn.Parameter(torch.ones(2))}
    state["empty"], state["dtype"], state["size"] = torch.zeros(0, 3), torch.float32, torch.Size([1, 2])
    for name, choice in {"zip": {}, "stream": {"_use_new_zipfile_serialization": False}, "protocol5": {"pickle_protocol": 5}}.items():
        torch.save(state, here / f"torch_{name}.pt", **choice)
    (here / "torch_state.json").write_text(json.dumps({"weight": state["weight"].tolist(), "bias": state["bias"].tolist()}) + "\n")
    torch.save(torch.nn.Linear(3, 2), here / "torch_module.pt")


if __name__ == "__main__":
    main()
