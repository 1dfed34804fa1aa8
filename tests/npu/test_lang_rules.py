"""What tracing refuses: one kernel a rule, with the text that the user reads. The lines named are those of this file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ascendlite.npu as npu
import ascendlite.npu.ascendc as ac

half, f32 = npu.f16, npu.f32


def refused(body: Callable[..., None], kind: str = "aiv", chip: str = "910b1", blocks: int = 1) -> npu.KernelError:
    """The error of tracing a kernel with one f32 tensor of 4096 elements."""
    with npu.on_chip(chip), pytest.raises(npu.KernelError) as raised:
        npu.kernel(body, kind=kind)[blocks].trace(np.zeros(4096, np.float32))
    return raised.value


def ub(size: int = 4096, dtype: Any = f32) -> Any:
    return ac.LocalMemAllocator(ac.Hardware.UB).Alloc(dtype, size)


def line_of(body: Callable[..., None], offset: int) -> int:
    return body.__code__.co_firstlineno + offset


def test_r01_lists_what_is_live() -> None:
    def kernel(x):
        memory = ac.LocalMemAllocator(ac.Hardware.UB)
        xi, yo = (memory.Alloc(f32, 24_576) for _ in (0, 1))
        ac.DataCopy(xi, ac.GlobalTensor(x), 4096)
        small = memory.Alloc(f32, 64)
        ac.Add(yo, xi, small, 64)

    error = refused(kernel)
    first = line_of(kernel, 2)
    assert error.rule == "R01"
    assert str(error).splitlines() == [
        "error[R01]: UB overflow in `kernel`: 192.2 KiB live, 184.0 KiB available (192 - 8 reserved)",
        f"     96.0 KiB  xi   f32[24576]   test_lang_rules.py:{first}   live lines {first + 1}-{first + 3}",
        f"     96.0 KiB  yo   f32[24576]   test_lang_rules.py:{first}   live lines {first + 3}-{first + 3}",
        "      0.2 KiB  small",
        "   = help: 8448 bytes too many; a smaller tile, or fewer slots of `xi`",
    ]


def test_r02_names_the_line_and_the_offset() -> None:
    def kernel(x):
        t = ub()
        ac.Exp(t, t[4:], 64)

    assert str(refused(kernel)) == (
        "error[R02]: Exp: src0 starts at byte 16 of UB; it must be a multiple of 32\n"
        f"  --> test_lang_rules.py:{line_of(kernel, 2)}   ac.Exp(t, t[4:], 64)\n"
        "   = help: offsets into f32 tensors must be multiples of 8 elements")


def r02_l0a(x):
    ac.LocalTensor(ac.TPosition.A2, 256, half, 256)


def r03_length(x):
    ac.DataCopy(ub(), ac.GlobalTensor(x), 5)


def r03_gap(x):
    ac.DataCopy(ub(), ac.GlobalTensor(x), ac.DataCopyParams(2, 1, 70_000, 0))


def r04_cube_event(x):
    ac.SetFlag(ac.HardEvent.M_FIX, 0)


def r05_event_id(x):
    ac.SetFlag(ac.HardEvent.V_MTE2, 8)


def r05_of_pipe(x):
    ac.TPipe()
    ac.SetFlag(ac.HardEvent.V_MTE2, 6)


def r11_within(x):
    t = ub()
    ac.Exp(t[8:], t, 128)


def r11_later(x):
    t = ub()
    ac.Exp(t[64:], t, 256)


def r11_first_source(x):
    t = ub()
    ac.Add(t, t, t[64:], 64, 4, (1, 1, 1, 0, 0, 8))


def r11_other_size(x):
    t = ub()
    ac.Cast(t, t.ReinterpretCast(half), "CAST_NONE", 64)


def r12_repeat(x):
    t = ub(32_768)
    ac.Add(t, t, t, 64, 256, (1, 1, 1, 0, 0, 0))


def r12_mask(x):
    t = ub()
    ac.Add(t, t, t, 65, 1, (1, 1, 1, 8, 8, 8))


def r12_bitmap(x):
    t = ub()
    ac.Add(t, t, t, (0, 1), 1, (1, 1, 1, 8, 8, 8))


def r13_repeat_stride(x):
    t = ub()
    ac.Add(t, t, t, 64, 1, (1, 1, 1, 256, 8, 8))


def r13_block_stride(x):
    t = ub()
    ac.Add(t, t, t, 64, 1, (1, 1, 256, 8, 8, 8))


def r15_vector(x):
    t = ub(128)
    ac.Add(t[64:], t[64:], t[64:], 65)


def r15_copy(x):
    ac.DataCopy(ub(), ac.GlobalTensor(x)[64:], 4096)


def r19_flag(x):
    ac.CrossCoreSetFlag(0, ac.PIPE_V, 16)


def r22_mmad_on_vector(x):
    ac.Mmad(*(ac.LocalTensor(p, 0, d, 256) for p, d in ((ac.TPosition.CO1, f32), (ac.TPosition.A2, half), (ac.TPosition.B2, half))), 16, 16, 16)


def r22_ub_on_cube(x):
    ub()


def r22_add_on_cube(x):
    t = ac.LocalTensor(ac.TPosition.VECCALC, 0, f32, 64)
    ac.Add(t, t, t, 64)


def r22_gm_operand(x):
    ac.Add(ac.GlobalTensor(x), ub(), ub(), 64)


def r22_cast_pair(x):
    t = ub()
    ac.Cast(t.ReinterpretCast(npu.bf16), ub(64, half), "CAST_RINT", 64)


def r22_cast_mode(x):
    t = ub()
    ac.Cast(t.ReinterpretCast(half), ub(64), "CAST_HYBRID", 64)


def r22_path(x):
    l1 = ac.LocalMemAllocator(ac.Hardware.L1).Alloc(f32, 256)
    l0c = ac.LocalMemAllocator(ac.Hardware.L0C).Alloc(f32, 256)
    ac.DataCopy(l0c, l1, 256)


def r22_fixpipe_to_ub(x):
    l0c = ac.LocalMemAllocator(ac.Hardware.L0C).Alloc(f32, 256)
    ac.Fixpipe(ac.LocalTensor(ac.TPosition.VECCALC, 0, f32, 256), l0c, 16, 16)


def r23_size(x):
    c, a, b = (ac.LocalMemAllocator(h).Alloc(d, 4096) for h, d in ((ac.Hardware.L0C, f32), (ac.Hardware.L0A, half), (ac.Hardware.L0B, half)))
    ac.Mmad(c, a, b, 16, 16, 4096)


def r23_offset(x):
    a, l1 = ac.LocalMemAllocator(ac.Hardware.L0A).Alloc(half, 256), ac.LocalMemAllocator(ac.Hardware.L1).Alloc(half, 1024)
    ac.LoadA(a, l1, 16, 16, 8)


def r07_atomic_left(x):
    ac.SetAtomicAdd(f32)
    ac.DataCopy(ac.GlobalTensor(x), ub(), 64)


def r07_atomic_in_branch(x):
    with ac.If(ac.GetBlockIdx()):
        ac.SetAtomicMax(f32)
    ac.DataCopy(ac.GlobalTensor(x), ub(), 64)
    ac.SetAtomicNone()


VECTOR = (r07_atomic_left, r07_atomic_in_branch, r03_length, r03_gap, r04_cube_event, r05_event_id, r05_of_pipe, r11_within, r11_later, r11_first_source, r11_other_size, r12_repeat, r12_mask, r12_bitmap,
          r13_repeat_stride, r13_block_stride, r15_vector, r15_copy, r19_flag, r22_mmad_on_vector, r22_gm_operand, r22_cast_pair, r22_cast_mode)
CUBE = (r02_l0a, r22_ub_on_cube, r22_add_on_cube, r22_path, r22_fixpipe_to_ub, r23_size, r23_offset)


@pytest.mark.parametrize("body", [*VECTOR, *CUBE], ids=lambda b: b.__name__)
def test_a_kernel_that_breaks_one_rule_names_it_and_its_line(body: Callable[..., None]) -> None:
    error = refused(body, "aic" if body in CUBE else "aiv")
    assert error.rule == body.__name__[:3].upper()
    first = str(error).splitlines()
    assert first[0].startswith(f"error[{error.rule}]: ")
    assert error.site is not None and error.site.file == __file__
    assert f"--> test_lang_rules.py:{error.site.line}   {error.site.text}" in str(error)


def test_repeats_may_accumulate_into_their_source() -> None:
    def kernel(x):
        t = ub()
        ac.Add(t, t[64:], t, 64, 4, (1, 1, 1, 0, 8, 0))
        ac.Add(t, t, t, 4096)

    with npu.on_chip("910b1"):
        assert npu.kernel(kernel)[1].trace(np.zeros(4096, np.float32)).names == ("Add",)


@pytest.mark.parametrize(("chip", "kind", "kib"), [("910b1", "aiv", 184), ("910a", "aiv", 256), ("950dt", "aiv", 248)])
def test_a_kernel_may_fill_its_memory(chip: str, kind: str, kib: int) -> None:
    def kernel(x, n):
        t = ub(n, npu.u8)
        ac.DataCopy(t, ac.GlobalTensor(x).ReinterpretCast(npu.u8), 32)

    x = np.zeros(64, np.float32)
    with npu.on_chip(chip):
        npu.kernel(kernel, kind=kind)[1].trace(x, kib * 1024)
        with pytest.raises(npu.KernelError, match="R01"):
            npu.kernel(kernel, kind=kind)[1].trace(x, kib * 1024 + 32)
