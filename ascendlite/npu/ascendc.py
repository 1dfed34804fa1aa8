"""The kernel language under the name that kernels use: `import ascendlite.npu.ascendc as ac`."""

from __future__ import annotations

import difflib
from typing import Any, Final

from ascendlite.npu.lang import ascendc as _names
from ascendlite.npu.lang.ascendc import *  # noqa: F403
from ascendlite.npu.lang.ascendc import max as max
from ascendlite.npu.lang.ascendc import min as min
from ascendlite.npu.lang.ascendc import range as range
from ascendlite.npu.lang.ascendc import sqrt as sqrt

__all__ = list(_names.__all__)

# Names of the vendor's manual that have no counterpart here, and what does the same.
_INSTEAD: Final = {
    "GetBlockSize": "blocks are 32 bytes", "SetGlobalBuffer": "x = ac.GlobalTensor(); x.SetGlobalBuffer(argument)",
    "SetVectorMask": "the mask argument of the instruction", "ResetMask": "the mask argument of the instruction",
    "SetMaskCount": "the count form of the instruction", "SetMaskNorm": "the mask form of the instruction", "GetTPipePtr": "the TPipe that the kernel made", "printf": "Python's print: it shows expressions while the kernel is traced",
    "PRINTF": "Python's print: it shows expressions while the kernel is traced", "DumpTensor": "a DataCopy to a tensor of the caller",
    "ASSERT": "Python's assert", "LoadDataWithTranspose": "ac.LoadB, or ac.LoadData(..., trans=True)", "Fill": "ac.InitConstValue",
    "SetFixPipeConfig": "the arguments of ac.Fixpipe", "SetFixpipePreQuantFlag": "quant= and scale= of ac.Fixpipe",
    "DataCopyExtParams2": "ac.DataCopyExtParams", "Subs": "ac.Adds with -scalar", "Divs": "ac.Muls with 1 / scalar", "Neg": "ac.Muls with -1",
    "GetSystemCycle": "kernel.time(...)", "Matmul": "ac.Mmad, or ac.DataCopy with Nd2NzParams, LoadA, LoadB, Mmad and Fixpipe as tests/examples/matmul.py",
    **dict.fromkeys(("half", "float16_t"), "npu.f16"), **dict.fromkeys(("bfloat16_t", "bfloat16"), "npu.bf16"),
    **dict.fromkeys(("float32", "float_t"), "npu.f32"), **{f"{kind}{n}_t": f"npu.{kind[0]}{n}" for kind in ("int", "uint") for n in (8, 16, 32, 64)},
    **dict.fromkeys((
        "Gelu", "FasterGelu", "Silu", "Swish", "Sigmoid", "Tanh", "SoftMax", "LayerNorm", "RmsNorm", "Erf", "Power", "Sum", "Mean", "TopK", "Broadcast",
        "Sin", "Cos", "Log", "Clamp", "Round", "Floor", "Ceil", "Trunc",
    ), "basic instructions: the library above them is not emulated; ascendlite/npu/kernels writes such functions out"),
}  # fmt: skip


def __getattr__(name: str) -> Any:
    close = difflib.get_close_matches(name, _names.__all__, 3, 0.75)
    hint = f"; use {_INSTEAD[name]}" if name in _INSTEAD else f"; did you mean {', '.join(close)}?" if close else "; docs/instructions.md lists all names"
    raise AttributeError(f"module 'ascendlite.npu.ascendc' has no attribute {name!r}{hint}")
