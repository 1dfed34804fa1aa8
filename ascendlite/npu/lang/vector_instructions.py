"""The vector unit's instructions. All share the first twelve arguments, `VECTOR_HEAD`, so that one loop drives them."""

from __future__ import annotations

from collections.abc import Mapping

from ascendlite.npu.lang.declare import PARTIAL, READ, WRITE, Instruction, Memory, Operand, Pipe

# mode 0: `count` elements in a row (repeat 1, block strides 1; repeat strides mean nothing).
# mode 1: per repeat the first `count` lanes. mode 2: per repeat the lanes whose bit is set in count (lanes 0-63), mask_hi (64-127).
# Element j of repeat r of an operand lies at base + r * rep * 32 + (j // per_block) * block * 32 + (j % per_block) * itemsize,
# where per_block = 32 // itemsize of that operand. Lanes a repeat: 256 // the largest itemsize of dst and srcs.
# scalar_kind 0: the scalar is floats[0]; 1: it is the integer in `scalar` (exact for integer formats).
VECTOR_HEAD = ("mode", "count", "mask_hi", "repeat", "dst_block", "src0_block", "src1_block", "dst_rep", "src0_rep", "src1_rep",
               "scalar_kind", "scalar")
UB = (Memory.UB,)
DST, SRC0, SRC1 = Operand("dst", UB, WRITE), Operand("src0", UB), Operand("src1", UB)
SRC = Operand("src", UB)
DST_INPLACE = Operand("dst", UB, READ | WRITE)

Types = Mapping[str, tuple[str, ...]]


def by_generation(a: str, b: str, c: str | None = None) -> Types:
    """Legal formats on 1001, on 2201 and on 3510 (default: those of 2201)."""
    return {"1001": tuple(a.split()), "2201": tuple(b.split()), "3510": tuple((b if c is None else c).split())}


# Sources: the Asc manual's page of each instruction (asc-devkit docs, products' dtype lists); 2201 has no bf16 arithmetic.
ARITHMETIC = by_generation("f16 i32 f32", "i16 f16 i32 f32", "i8 u8 i16 u16 f16 bf16 i32 u32 f32 i64 u64")
MULTIPLY = by_generation("f16 i32 f32", "i16 f16 i32 f32", "i16 u16 f16 bf16 i32 u32 f32 i64 u64")
SCALAR = by_generation("f16 f32", "i16 f16 i32 f32", "i8 u8 i16 f16 bf16 i32 f32 i64 u64")
REAL = by_generation("f16 f32", "f16 f32")
FOLDED = by_generation("f16", "f16 f32")
BITS = by_generation("i16 u16", "i16 u16", "i8 u8 i16 u16 i32 u32 i64 u64")
SHIFTS = by_generation("i16 u16 i32 u32", "i16 u16 i32 u32", "i8 u8 i16 u16 i32 u32 i64 u64")
GATHERED = by_generation("", "i16 u16 f16 bf16 i32 u32 f32", "i8 u8 i16 u16 f16 bf16 i32 u32 f32 i64 u64")
ANY16 = by_generation("i16 u16 f16 i32 u32 f32", "i16 u16 f16 bf16 i32 u32 f32", "i8 u8 i16 u16 f16 bf16 i32 u32 f32")
MUL_ADD = by_generation("f16 f32 f16,f16->f32", "f16 f32 f16,f16->f32", "i16 u16 f16 bf16 i32 u32 f32 f16,f16->f32")

# Cast: (src, dst) -> the legal rounding modes, as the manual's page of Cast has them (formats of complex numbers and f64 left out).
ROUNDING = ("CAST_NONE", "CAST_RINT", "CAST_FLOOR", "CAST_CEIL", "CAST_ROUND", "CAST_TRUNC", "CAST_ODD", "CAST_HYBRID")
_NONE, _FIVE = ("CAST_NONE",), ROUNDING[1:6]
_SIX = (*_NONE, *_FIVE)


def _pairs(modes: tuple[str, ...], text: str) -> dict[tuple[str, str], tuple[str, ...]]:
    return {(p.partition("->")[0], p.partition("->")[2]): modes for p in text.split()}


_CAST_2201 = {
    **_pairs(_NONE, "i4x2->f16 i8->f16 u8->f16 f16->f32 bf16->f32 i16->f32 i32->i16 i32->i64 i64->i32"),
    **_pairs(_SIX, "i16->f16 f16->i4x2 f16->i8 f16->u8 i32->f32"),
    **_pairs(_FIVE, "f16->i16 f16->i32 bf16->i32 f32->i16 f32->i32 f32->i64 f32->bf16 f32->f32 i64->f32"),
    **_pairs((*_SIX, "CAST_ODD"), "f32->f16"),
    **_pairs(_SIX, "i32->f16"),  # scaled by SetDeqScale; the mode has no effect
}
_CAST_1001 = {
    **_pairs(_NONE, "i8->f16 u8->f16 i16->f16 f16->f32 i32->f32"),
    **_pairs(("CAST_NONE", *ROUNDING[2:6]), "f16->i8 f16->u8"),
    **_pairs(_FIVE, "f16->i32 f32->i64"),
    **_pairs(("CAST_NONE", "CAST_ODD"), "f32->f16"),
}
_CAST_3510 = {
    **_pairs(_NONE, "i4x2->i16 i4x2->f16 i4x2->bf16 i8->i16 i8->f16 i8->i32 u8->u16 u8->f16 u8->u32 f4e2m1x2->bf16 f4e1m2x2->bf16 hif8->f16"
                    " hif8->f32 f8e5m2->f32 f8e4m3->f32 i16->i4x2 i16->u8 i16->i32 i16->u32 i16->f32 u16->u8 u16->u32 f16->f32 bf16->f32 i32->u8"
                    " i32->i16 i32->u16 i32->i64 u32->u8 u32->i16 u32->u16 i64->i32"),
    **_pairs(_FIVE, "i16->f16 f16->i4x2 f16->i8 f16->u8 f16->i16 f16->bf16 f16->i32 bf16->f4e2m1x2 bf16->f4e1m2x2 bf16->f16 bf16->i32 i32->f32"
                    " f32->i16 f32->bf16 f32->i32 f32->f32 f32->i64 i64->f32"),
    **_pairs((*_SIX, "CAST_ODD"), "f32->f16"),
    **_pairs(_SIX, "i32->f16"),
    **_pairs(("CAST_RINT",), "f32->f8e5m2 f32->f8e4m3"),
    **_pairs(("CAST_ROUND", "CAST_HYBRID"), "f16->hif8 f32->hif8"),
}
CASTS: Mapping[str, Mapping[tuple[str, str], tuple[str, ...]]] = {"1001": _CAST_1001, "2201": _CAST_2201, "3510": _CAST_3510}

COMPARE_OPS = ("LT", "GT", "EQ", "LE", "GE", "NE")
REDUCE_OPS = ("SUM", "MAX", "MIN")
REDUCE_ORDERS = ("ORDER_VALUE_INDEX", "ORDER_INDEX_VALUE", "ORDER_ONLY_VALUE", "ORDER_ONLY_INDEX")
SELECT_MODES = ("VSEL_CMPMASK_SPR", "VSEL_TENSOR_SCALAR_MODE", "VSEL_TENSOR_TENSOR_MODE")


def vector(name: str, meaning: str, operands: tuple[Operand, ...], dtypes: Types, doc: str, *, cost: str = "", extra: str = "",
           floats: str = "", fixed: Mapping[str, int] | None = None, max_block_stride: int = 255, max_repeat_stride: int = 255) -> Instruction:
    """An instruction of pipe V; its cost has the name of its meaning unless given."""
    return Instruction(name, Pipe.V, meaning, cost or meaning, operands, dtypes, (*VECTOR_HEAD, *extra.split()), tuple(floats.split()),
                       fixed or {}, doc=doc, max_block_stride=max_block_stride, max_repeat_stride=max_repeat_stride)


def binary(name: str, meaning: str, dtypes: Types, doc: str, cost: str = "") -> Instruction:
    return vector(name, meaning, (DST, SRC0, SRC1), dtypes, doc, cost=cost)


def unary(name: str, meaning: str, dtypes: Types, doc: str) -> Instruction:
    return vector(name, meaning, (DST, SRC), dtypes, doc, max_block_stride=65535)


def scalar(name: str, meaning: str, dtypes: Types, doc: str, dst: Operand = DST) -> Instruction:
    return vector(name, meaning, (dst, SRC), dtypes, doc, floats="scalar", max_block_stride=65535)


def reduction(name: str, meaning: str, op: int, dtypes: Types, doc: str, extra: str = "", operands: tuple[Operand, ...] = ()) -> Instruction:
    return vector(name, meaning, operands or (Operand("dst", UB, WRITE, -1), SRC), dtypes, doc, extra=f"op {extra}".strip(),
                  cost=f"{meaning}_{REDUCE_OPS[op].lower()}", fixed={"op": op}, max_block_stride=65535, max_repeat_stride=65535)


ELEMENTWISE = (
    binary("Add", "add", ARITHMETIC, "dst = src0 + src1 (integers wrap)"),
    binary("Sub", "sub", ARITHMETIC, "dst = src0 - src1 (integers wrap)"),
    binary("Mul", "mul", MULTIPLY, "dst = src0 * src1 (integers wrap)"),
    binary("Div", "div", by_generation("f16 f32", "f16 f32", "f16 f32 i16 u16 i32 u32 i64 u64"), "dst = src0 / src1"),
    binary("Max", "max", ARITHMETIC, "dst = max(src0, src1); NaN if either is"),
    binary("Min", "min", ARITHMETIC, "dst = min(src0, src1); NaN if either is"),
    binary("And", "and", BITS, "dst = src0 & src1, bit by bit"),
    binary("Or", "or", BITS, "dst = src0 | src1, bit by bit"),
    binary("AddRelu", "add_relu", by_generation("i16 f16 f32", "i16 f16 f32", "i16 f16 f32 i64"), "dst = max(src0 + src1, 0)", cost="add"),
    binary("SubRelu", "sub_relu", by_generation("i16 f16 f32", "i16 f16 f32", "i16 f16 f32 i64"), "dst = max(src0 - src1, 0)", cost="sub"),
    vector("MulAddDst", "mul_add_dst", (DST_INPLACE, SRC0, SRC1), MUL_ADD, "dst = src0 * src1 + dst", cost="mul"),
    vector("FusedMulAdd", "fused_mul_add", (DST_INPLACE, SRC0, SRC1), REAL, "dst = src0 * dst + src1", cost="mul"),
    vector("FusedMulAddRelu", "fused_mul_add_relu", (DST_INPLACE, SRC0, SRC1), REAL, "dst = max(src0 * dst + src1, 0)", cost="mul"),
    scalar("Adds", "adds", SCALAR, "dst = src + scalar"),
    scalar("Muls", "muls", SCALAR, "dst = src * scalar"),
    scalar("Maxs", "maxs", SCALAR, "dst = max(src, scalar)"),
    scalar("Mins", "mins", SCALAR, "dst = min(src, scalar)"),
    scalar("LeakyRelu", "leaky_relu", REAL, "dst = src >= 0 ? src : src * scalar"),
    scalar("Axpy", "axpy", by_generation("f16 f32 f16->f32", "f16 f32 f16->f32"), "dst = src * scalar + dst", DST_INPLACE),
    scalar("ShiftLeft", "shl", SHIFTS, "dst = src << scalar (scalar an integer)"),
    scalar("ShiftRight", "shr", SHIFTS, "dst = src >> scalar; arithmetic for signed formats"),
    unary("Exp", "exp", REAL, "dst = e ** src"),
    unary("Ln", "ln", REAL, "dst = natural logarithm of src"),
    unary("Abs", "abs", by_generation("f16 f32", "f16 f32", "i8 i16 f16 i32 f32 i64"), "dst = |src|"),
    unary("Reciprocal", "rec", REAL, "dst = 1 / src"),
    unary("Sqrt", "sqrt", REAL, "dst = square root of src"),
    unary("Rsqrt", "rsqrt", REAL, "dst = 1 / square root of src"),
    unary("Relu", "relu", by_generation("f16 i32 f32", "f16 i32 f32", "f16 i32 f32 i64"), "dst = max(src, 0)"),
    unary("Not", "not", BITS, "dst = ~src, bit by bit"),
)
_MASK = Operand("mask", UB)
_DST_ANY = Operand("dst", UB, WRITE)
_INDEX = Operand("index", UB)
_CAST_TYPES = {g: tuple(f"{s}->{d}" for s, d in pairs) for g, pairs in CASTS.items()}
_COMPARED = {g: tuple(f"{d}->{m}" for d in v.split() for m in ("u8", "i8")) for g, v in
             {"1001": "f16 f32", "2201": "f16 f32 i32", "3510": "i8 u8 i16 u16 f16 bf16 i32 u32 f32 i64 u64"}.items()}
_SORTED = by_generation("f16", "f16 f32")
SELECTION = (
    vector("Cast", "cast", (DST, SRC), _CAST_TYPES, "dst = src in dst's format; which pairs and rounding modes are legal: see CASTS",
           extra="rounding", floats="deq_scale", max_block_stride=65535),
    vector("Compare", "compare", (DST, SRC0, SRC1), _COMPARED,
           "bit i of dst = src0[i] op src1[i]; bits are packed, lowest first; repeats follow each other without a gap", extra="op"),
    vector("CompareScalar", "compare_scalar", (DST, SRC), _COMPARED, "bit i of dst = src[i] op scalar; as Compare", extra="op",
           floats="scalar", cost="compare"),
    vector("Select", "select", (DST, _MASK, SRC0, SRC1),
           by_generation("f16 f32", "f16 f32", "i8 u8 i16 u16 f16 bf16 i32 u32 f32 i64 u64"),
           "dst[i] = bit i of mask ? src0[i] : src1[i]. select_mode 0: each repeat uses the mask's first bits again; 1: src1 is the scalar"
           " (three regions); 2: the mask's bits go on from repeat to repeat", extra="select_mode", floats="scalar"),
    vector("Duplicate", "duplicate", (DST,), ANY16, "dst = scalar", floats="scalar", max_block_stride=65535),
    vector("CreateVecIndex", "arange", (DST,), by_generation("i16 i32 f16 f32", "i16 i32 f16 f32"),
           "dst[i] = scalar + i * step (step_kind 0: floats[1]; 1: the integer in step)", extra="step_kind step", floats="scalar step"),
    vector("Copy", "vector_copy", (DST, SRC), by_generation("i16 u16 f16 i32 u32 f32", "i16 u16 f16 bf16 i32 u32 f32"), "dst = src, lanes off the mask stay", cost="duplicate", max_block_stride=65535),
    vector("Philox", "philox", (DST,), by_generation("u32", "u32"),
           "dst[i] = word of element offset + i of the library's Philox4x32-10 numbering (csrc/simd/philox.h) at that seed; stream 0: of 32-bit draws, 1: of 64-bit ones."
           " Ours: the cards offer it as a library function", extra="seed offset stream"),
)
REDUCTIONS = tuple(
    r for op, word in enumerate(REDUCE_OPS) for r in (
        reduction(f"ReduceRepeat{word.title()}", "reduce_repeat", op, FOLDED,
                  "one value a repeat: the reduction of its active lanes, at dst + r * dst_rep of these. order 0: value and index as a pair;"
                  " 1: index and value; 2: the value; 3: the index as a u32. In a pair the index is an integer of dst's width",
                  extra="order"),
        reduction(f"BlockReduce{word.title()}", "block_reduce", op, REAL,
                  "one value a 32-byte block of src, 8 a repeat, at dst + r * dst_rep * 8 elements; blocks without an active lane give nothing"),
        reduction(f"Reduce{word.title()}", "reduce_all", op, REAL,
                  "dst[0] = the reduction of count elements (mode 0); with_index: dst[1] = the first index of it, as an integer in dst's bits",
                  extra="with_index", operands=(Operand("dst", UB, WRITE, -1), Operand("work", UB, READ | WRITE), SRC)),
    )
) + (
    reduction("PairReduceSum", "pair_reduce", 0, REAL, "dst[i] = src[2 i] + src[2 i + 1]; dst_rep in 128-byte steps"),
)
MOVES = (
    vector("Brcb", "brcb", (_DST_ANY, SRC), ANY16,
           "each of 8 elements a repeat fills one 32-byte block: block j of repeat r at dst + (r * dst_rep + j * dst_block) * 32"),
    vector("Gather", "gather", (DST, SRC, _INDEX), GATHERED,
           "dst[i] = the element of src at byte offset base + index[i] (index u32), which must lie in src; count or mask form", extra="base"),
    vector("GatherBlocks", "gather_blocks", (DST, SRC, _INDEX), by_generation("", "i16 u16 f16 bf16 i32 u32 f32"),
           "32-byte block j of repeat r of dst = the block of src at byte offset index[8 r + j] (index u32)", cost="gather"),
    vector("Scatter", "scatter", (Operand("dst", UB, WRITE | PARTIAL), SRC, _INDEX), by_generation("", "", "i16 u16 f16 bf16 i32 u32 f32"),
           "the element of dst at byte offset base + index[i] = src[i] (index u32); later ones win", extra="base"),
    vector("GatherMask", "gather_mask", (DST, SRC, _MASK), ANY16,
           "packs the chosen elements of src, in order, into dst. pattern 0: those whose bit of mask is set (bits go on from repeat to repeat);"
           " 1, 2: every even, odd one; 3-6: the first, second, third, fourth of each four; 7: all. Regions: dst, src, the mask only with"
           " pattern 0, and with counted = 1 last a destination of one i32: how many were chosen",
           extra="pattern counted"),
    vector("Transpose", "transpose", (DST, SRC), by_generation("i8 u8 i16 u16 f16", "i8 u8 i16 u16 f16 bf16 i32 u32 f32"),
           "R rows of 32 bytes (R = 16; 32 for 1-byte formats) become 32 // itemsize rows of R elements: dst[c][r] = src[r][c]. Row r of src at"
           " src + r * src_row bytes, row c of dst at dst + c * dst_row bytes; repeats advance by src0_rep and dst_rep blocks",
           extra="src_row dst_row"),
    vector("Sort32", "sort32", (DST, SRC, _INDEX), _SORTED,
           "each repeat sorts 32 elements, largest first, stable: 8-byte pairs (value, then at byte 4 its u32 index) to dst"),
    vector("MrgSort", "mrgsort", (DST, *(Operand(f"src{i}", UB) for i in range(4))), _SORTED,
           "merges `lists` (2-4) sorted lists of 8-byte pairs, of n0..n3 pairs, into dst, largest first; ties: the earlier list",
           extra="lists n0 n1 n2 n3"),
)
VECTOR_INSTRUCTIONS = ELEMENTWISE + SELECTION + REDUCTIONS + MOVES
