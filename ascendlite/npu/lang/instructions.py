"""The instruction table: one declaration per instruction, by name. What the language, the executor and the clock agree on.

The fields of an executed instruction follow its declaration: region i is operand i (an optional last operand may be missing), argument i is
`args[i]`, float i is `floats[i]`. Vector instructions begin with `VECTOR_HEAD`; their repeated footprints are regions too.
docs/instructions.md is generated from this table.
"""

from __future__ import annotations

from ascendlite.npu.lang.data_instructions import COPY_ARGS, COPY_PIPES, DATA_INSTRUCTIONS
from ascendlite.npu.lang.declare import GENERATIONS, Instruction, Memory, Operand, Pipe, Sync
from ascendlite.npu.lang.vector_instructions import CASTS, ROUNDING, VECTOR_HEAD, VECTOR_INSTRUCTIONS

INSTRUCTIONS: dict[str, Instruction] = {i.name: i for i in VECTOR_INSTRUCTIONS + DATA_INSTRUCTIONS}

__all__ = ["CASTS", "COPY_ARGS", "COPY_PIPES", "GENERATIONS", "INSTRUCTIONS", "ROUNDING", "VECTOR_HEAD", "Instruction", "Memory", "Operand",
           "Pipe", "Sync"]
