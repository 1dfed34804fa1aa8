"""Rotary embedding and copies of rows on the NPU: as on the CPU, whichever rows share their angles or their descriptor."""

from __future__ import annotations

import numpy as np
import pytest

import ascendlite as al

SHAPES = {  # x, its angles
    "heads in front": ((2, 3, 70, 64), (70, 32)), "heads behind": ((2, 70, 3, 64), (70, 1, 16)), "narrow": ((2, 3, 70, 24), (70, 8)),
    "ones in front": ((2, 3, 64, 64), (1, 1, 64, 32)), "wide halves": ((4, 2, 7, 256), (7, 128)), "halves that are no blocks": ((2, 2, 300, 20), (300, 10)),
    "angles of each of the batch": ((2, 6, 128, 64), (2, 1, 128, 32)), "the same for all": ((2, 5, 6), (1, 3)), "a prime number of rows": ((3, 2, 211, 40), (211, 16)),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("name", SHAPES)
def test_rows_turn_as_on_the_cpu(name: str, interleaved: bool, dtype: str) -> None:
    rng = np.random.default_rng(0)
    x, angles, g = (rng.standard_normal(s).astype(np.float32) for s in (*SHAPES[name], SHAPES[name][0]))
    found = []
    for device in ("cpu", "npu"):
        t = al.tensor(x, dtype=getattr(al, dtype), device=device).requires_grad_()
        y = al.rope(t, al.tensor(np.cos(angles), device=device), al.tensor(np.sin(angles), device=device), interleaved=interleaved)
        assert y.device.type == device
        found.append([v.detach().cpu().float().numpy() for v in (y, *al.autograd.grad(y, t, al.tensor(g).to(y.dtype).to(device)))])
    for expected, actual in zip(*found, strict=True):
        np.testing.assert_allclose(actual, expected, *{"float32": (1e-6, 1e-6), "float16": (1e-3, 1e-3), "bfloat16": (8e-3, 8e-3)}[dtype])


def test_angles_that_heads_share_are_not_copied_for_each() -> None:
    x, angles = (al.empty(*s, device="meta") for s in SHAPES["heads in front"])
    assert ["rope"] == [row.name for row in al.npu.estimate(al.rope, x, angles, angles).rows]


@pytest.mark.parametrize("order", [(1, 3, 0, 2, 4), (1, 2, 0, 3, 4), (3, 0, 2, 1, 4), (2, 1, 3, 0, 4)])
def test_rows_in_another_order_are_copied_whole(order: tuple[int, ...]) -> None:
    x = np.arange(3 * 5 * 4 * 70 * 24, dtype=np.float32).reshape(3, 5, 4, 70, 24)
    y = al.tensor(x, device="npu").permute(*order)
    np.testing.assert_array_equal(y.contiguous().cpu().numpy(), x.transpose(order))
    target = al.zeros(tuple(y.shape[:-1]) + (30,), device="npu")
    target[..., 3:27].copy_(y)
    np.testing.assert_array_equal(target.cpu().numpy()[..., 3:27], x.transpose(order))
    assert not target.cpu().numpy()[..., :3].any()
