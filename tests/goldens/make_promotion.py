"""Writes promotion.json with torch: result dtypes of every pair of dtypes as tensors, 0-d tensors and Python scalars.

Run: python tests/goldens/make_promotion.py   (needs torch)
"""

import json
from pathlib import Path

import torch

NAMES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"]
SCALARS = {"True": True, "3": 3, "2.5": 2.5}


def operand(name: str, ndim: int) -> torch.Tensor:
    return torch.ones([2] * ndim, dtype=getattr(torch, name))


rows = []
for a in NAMES:
    for b in NAMES:
        for da in (0, 1):
            for db in (0, 1):
                result = torch.result_type(operand(a, da), operand(b, db))
                rows.append([a, da, b, db, str(result).removeprefix("torch.")])
    for text, value in SCALARS.items():
        for da in (0, 1):
            rows.append([a, da, text, -1, str(torch.result_type(operand(a, da), value)).removeprefix("torch.")])
Path(__file__).with_name("promotion.json").write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")
