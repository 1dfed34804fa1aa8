"""In which format each weight is stored in the published checkpoints, and how many bytes that takes."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ascendlite.errors import ArgumentError


@dataclass(frozen=True)
class Format:
    """`bits` an element; `block`: rows and columns that share one e8m0 scale of a byte (None: no scale)."""

    name: str
    bits: int
    block: tuple[int, int] | None = None

    def nbytes(self, shape: Sequence[int]) -> int:
        """Bytes of a tensor of this shape, its scales among them; matrices are the last two dims."""
        elements = math.prod(shape) * self.bits // 8
        if self.block is None:
            return elements
        return elements + math.prod(scale_shape(shape, self.block))


def scale_shape(shape: Sequence[int], block: tuple[int, int]) -> tuple[int, ...]:
    """The shape of the scales of a matrix, or of a stack of them."""
    return (*shape[:-2], math.ceil(shape[-2] / block[0]), math.ceil(shape[-1] / block[1]))


F32, BF16, I64 = Format("float32", 32), Format("bfloat16", 16), Format("int64", 64)
FP8 = Format("fp8", 8, (128, 128))
FP4 = Format("fp4", 4, (1, 32))
FORMATS = {f.name: f for f in (F32, BF16, I64, FP8, FP4)}

_EXPERTS = re.compile(r"ffn\.experts\.w[123]$")
# The first pattern that is found in a name of ours says its format.
_TABLE = (
    (r"tid2eid$", I64),
    (r"\bhc_(attn|ffn|head)\.", F32),
    (r"(attn_sink|\.ape|gate\.bias)$", F32),
    (r"attn\.(wq_a|wq_b|wkv|wo_a|wo_b)\.weight$", FP8),
    (r"indexer\.wq_b\.weight$", FP8),
    (r"shared_experts\.w[123]\.weight$", FP8),
    (r"(e_proj|h_proj)\.weight$", FP8),
    (r"\.weight$", BF16),
)  # fmt: skip


def native_format(name: str, expert_dtype: str) -> Format:
    """The published format of one of our tensors; `expert_dtype` is "fp4" (instruct) or "fp8" (base)."""
    if _EXPERTS.search(name):
        return FORMATS[expert_dtype]
    for pattern, kind in _TABLE:
        if re.search(pattern, name):
            return kind
    if name in ("embed.weight", "head.weight", "norm.weight"):
        return BF16
    raise ArgumentError(f"deepseek_v4: there is no weight {name!r}; names are those of state_dict()")
