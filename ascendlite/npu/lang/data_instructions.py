"""Instructions that move data, the cube's, and those that order others. Sizes, strides and offsets are in bytes unless said."""

from __future__ import annotations

from ascendlite.npu.lang.declare import ATOMIC, WRITE, Instruction, Memory, Operand, Pipe, Sync

GM, UB, L1, L0A, L0B, L0C, BT, FB = Memory

# The pipe of a copy by (source, destination) and generation. What is not here does not exist: on 2201 the vector and cube cores share
# only GM (and L2); 3510 adds UB -> L1 and L0C -> UB (Fixpipe), and drops L1 -> GM.
_BOTH = {
    (GM, UB): Pipe.MTE2, (GM, L1): Pipe.MTE2, (UB, GM): Pipe.MTE3, (UB, UB): Pipe.V, (L1, BT): Pipe.MTE1, (L1, FB): Pipe.FIX,
}
COPY_PIPES: dict[str, dict[tuple[Memory, Memory], Pipe]] = {
    "1001": {(GM, UB): Pipe.MTE2, (GM, L1): Pipe.MTE2, (UB, GM): Pipe.MTE3, (UB, UB): Pipe.V, (L1, UB): Pipe.MTE1, (UB, L1): Pipe.MTE3,
             (L0C, UB): Pipe.V, (UB, L0C): Pipe.V},
    "2201": {**_BOTH, (L1, GM): Pipe.MTE3},
    "3510": {**_BOTH, (UB, L1): Pipe.MTE3, (L1, UB): Pipe.MTE1},
}

# (from, to, format, format): the copies that convert. The bias table holds numbers of the
# accumulator; its source may be f32, f16 or bf16.
CONVERTED = {(L1, BT, "f16", "f32"), (L1, BT, "bf16", "f32")}

ATOMIC_OPS = ("none", "add", "max", "min")
_ATOMICS = {"1001": ("f32",), "2201": ("i8", "i16", "i32", "f16", "bf16", "f32"), "3510": ("i8", "i16", "i32", "f16", "bf16", "f32")}
# SetAtomicAdd/Max/Min write nothing into the program: they set `atomic` of the copies that follow, whose destination is then kAtomic.
ATOMIC_DTYPES = _ATOMICS

# Bytes of dst row (o, i), o < outer, i < inner, from dst + o * dst_outer + i * dst_inner on:
#   `left` bytes of fill, `bytes` bytes from src + o * src_outer + i * src_inner, `right` bytes of fill.
# fill 0: none (left = right = 0); 1: the number floats[0] in dst's format; 2: the row's first element again (what DataCopyPad does
# when it rounds a row up to 32 bytes unasked). atomic: index in ATOMIC_OPS; dst is then read and written.
COPY_ARGS = ("outer", "inner", "bytes", "dst_outer", "dst_inner", "src_outer", "src_inner", "left", "right", "fill", "atomic")
_ANYWHERE = tuple(Memory)
_PAIR = (Operand("dst", _ANYWHERE, WRITE), Operand("src", _ANYWHERE))
_EITHER = ("aiv", "aic")
_ND = ("rows", "cols", "src_ld", "dst_rows", "matrices", "src_matrix", "dst_matrix", "dst_row")

COPIES = (
    Instruction("DataCopy", Pipe.MTE2, "copy", "copy", _PAIR, args=COPY_ARGS, floats=("pad",), cores=_EITHER,
                doc="Copies rows between two memories; whole 32-byte blocks (R03), at most 65535 blocks of gap. The pipe follows from the"
                    " memories (COPY_PIPES). L1 to BT: f16 and bf16 become f32."),
    Instruction("DataCopyPad", Pipe.MTE2, "copy", "copy", _PAIR, args=COPY_ARGS, floats=("pad",), cores=_EITHER,
                doc="Copies rows of any number of bytes between GM and UB (or L1); rows in UB start at 32-byte blocks and are filled up to them."),
    Instruction("DataCopyNd2Nz", Pipe.MTE2, "nd2nz", "nd2nz", (Operand("dst", (L1, UB), WRITE), Operand("src", (GM,))), args=_ND, cores=_EITHER,
                doc="`matrices` row-major matrices of rows x cols elements (rows `src_ld` bytes apart, matrices `src_matrix` bytes apart) into"
                    " Nz: element (r, c) at dst + (c // c0) * dst_rows * 32 + r * dst_row + (c % c0) * itemsize, c0 = 32 // itemsize, dst_row = 32"
                    " unless rows interleave; matrices `dst_matrix` bytes apart. Columns are filled with zeros up to c0, rows up to the"
                    " smaller of dst_rows and the next multiple of 16."),
    Instruction("DataCopyNz2Nd", Pipe.MTE3, "nz2nd", "copy", (Operand("dst", (GM,), WRITE), Operand("src", (UB, L1))),
                args=("rows", "cols", "dst_ld", "src_rows", "atomic"), cores=_EITHER,
                doc="The reverse of DataCopyNd2Nz for one matrix: row r of dst starts at dst + r * dst_ld; src has src_rows rows a column block."),
    Instruction("InitConstValue", Pipe.MTE2, "fill", "fill", (Operand("dst", (L1, L0A, L0B), WRITE),), args=("bytes",), floats=("value",),
                cores=("aic",), doc="Fills `bytes` bytes with one number of dst's format (MTE2 for L1, MTE1 for L0A and L0B)."),
)

# Layouts in L0: a fractal is 16 rows of 32 bytes (16 x c0 elements, 512 bytes).
# A of m x k in L0A. layout 0 (Zz: 1001, 2201): element (r, c) in fractal (r // 16) * k_blocks + c // c0, within it row r % 16.
#                    layout 1 (Nz: 3510): fractal (c // c0) * m_blocks + r // 16.
# B of k x n in L0B (Zn): element (r, c) in fractal (r // c0) * n_blocks + c // 16; within it row c % 16, column r % c0.
# C of m x n in L0C: blocks of 16 x 16 results, column of blocks by column: element (r, c) at ((c // 16) * m16 + r) * 16 + c % 16 elements,
# m16 = m rounded up to 16 (mmad), or `src_rows` (fixpipe).
_MATRIX = {"1001": ("f16", "i8", "u8"), "2201": ("f16", "bf16", "f32", "i8", "i4x2"),
           "3510": ("f16", "bf16", "f32", "i8", "f8e4m3", "f8e5m2", "hif8", "f4e2m1x2", "f4e1m2x2")}
_MMAD = {
    "1001": ("f16,f16->f32", "f16,f16->f16", "i8,i8->i32", "u8,u8->i32", "u8,i8->i32"),
    "2201": ("f16,f16->f32", "bf16,bf16->f32", "f32,f32->f32", "i8,i8->i32", "i4x2,i4x2->i32"),
    "3510": ("f16,f16->f32", "bf16,bf16->f32", "f32,f32->f32", "i8,i8->i32", "f8e4m3,f8e4m3->f32", "f8e4m3,f8e5m2->f32", "f8e5m2,f8e4m3->f32",
             "f8e5m2,f8e5m2->f32", "hif8,hif8->f32", "f4e2m1x2,f4e2m1x2->f32", "f4e1m2x2,f4e1m2x2->f32"),
}
# Fixpipe's conversions by generation. quant 0: none; 1: plain conversion (f32 -> f16, bf16); 2: times floats[0]; 3: times the column's scale
# in the third region (FB: u64 whose low 32 bits are an f32). To i8: rounded to nearest even, saturated. There is no i32 -> bf16.
QUANT_MODES = ("none", "convert", "scale", "scale_columns")
_FIXPIPE = {
    "1001": (),
    "2201": ("f32->f32", "f32->f16", "f32->bf16", "f32->i8", "i32->i32", "i32->f16", "i32->i8"),
    "3510": ("f32->f32", "f32->f16", "f32->bf16", "f32->i8", "i32->i32", "i32->f16", "i32->i8", "i32->bf16", "f32->f8e4m3", "f32->hif8"),
}
_L0 = Operand("dst", (L0A, L0B), WRITE)
CUBE = (
    Instruction("LoadA", Pipe.MTE1, "load_a", "load_l0", (Operand("dst", (L0A,), WRITE), Operand("src", (L1,))), _MATRIX,
                ("m", "k", "src_rows", "transpose", "layout", "loads"), cores=("aic",),
                doc="m x k of the Nz matrix at src (src_rows rows a column block) into L0A. transpose 1: src holds k x m. src's base is the"
                    " first element's; whole fractals move. `loads`: how many LoadData it stands for."),
    Instruction("LoadB", Pipe.MTE1, "load_b", "load_l0", (Operand("dst", (L0B,), WRITE), Operand("src", (L1,))), _MATRIX,
                ("k", "n", "src_rows", "transpose", "layout", "loads"), cores=("aic",),
                doc="k x n of the Nz matrix at src into L0B (Zn). transpose 0: src holds k x n, fractals are transposed on the way; 1: src holds"
                    " n x k (the product is A times the stored matrix transposed), fractals move as they are."),
    Instruction("LoadData", Pipe.MTE1, "load2d", "load_l0", (_L0, Operand("src", (L1,))), _MATRIX,
                ("repeat", "src_stride", "dst_stride", "transpose", "loads"), cores=("aic",),
                doc="`repeat` fractals of 512 bytes, src_stride and dst_stride bytes from one to the next; transpose 1: each is transposed"
                    " (2-byte formats, as 16 x 16)."),
    Instruction("LoadData3D", Pipe.MTE1, "load3d", "load3d", (_L0, Operand("src", (L1,))), _MATRIX,
                ("l1_h", "l1_w", "channels", "k_extent", "m_extent", "k_start", "m_start", "stride_w", "stride_h", "filter_w", "filter_h",
                 "dilation_w", "dilation_h", "pad_left", "pad_right", "pad_top", "pad_bottom", "transpose", "layout", "loads"), ("pad",),
                cores=("aic",),
                doc="im2col: src is an image NC1HWC0 of l1_h x l1_w x channels. Row m of the matrix is output pixel m (row-major), column"
                    " k = ((c1 * filter_h + fh) * filter_w + fw) * c0 + c. Rows m_start.. of m_extent and columns k_start.. of k_extent go to"
                    " L0A, or, as k x m, to L0B; transpose 1: k x m to L0A (2-byte formats). Outside of the image: floats[0]. Fields: l1_h, l1_w"
                    " 1..32767; stride 1..63; filter, dilation 1..255; padding 0..255; extents 1..65535; m_start a multiple of 16, k_start of c0 (R23)."),
    Instruction("Mmad", Pipe.M, "mmad", "mmad",
                (Operand("c", (L0C,), WRITE, 1024), Operand("a", (L0A,)), Operand("b", (L0B,)), Operand("bias", (BT,))), _MMAD,
                ("m", "n", "k", "init", "unit_flag", "hf32", "layout"), cores=("aic",),
                doc="c = a b (init 1), c + a b (init 0), bias + a b (init 2; bias, the optional fourth region, has n numbers of c's format)."
                    " Operands hold whole fractals; m, n, k in 1..4095 count what is valid. unit_flag 0, 2 (keep) or 3 (flip). hf32 1: f32 inputs are"
                    " cut to 10 bits of mantissa (to nearest even). layout: of a."),
    Instruction("Fixpipe", Pipe.FIX, "fixpipe", "fixpipe",
                (Operand("dst", (GM, L1, UB), WRITE), Operand("src", (L0C,)), Operand("scales", (FB,))), _FIXPIPE,
                ("m", "n", "dst_ld", "src_rows", "quant", "relu", "unit_flag", "nz", "atomic", "matrices", "src_matrix", "dst_matrix"), ("scale",),
                cores=("aic",),
                doc="m x n results to dst. nz 0: row r at dst + r * dst_ld; nz 1: Nz, element (r, c) at dst + (c // c0) * dst_ld + r * 32 +"
                    " (c % c0) * itemsize. relu 1: max(x, 0) before the conversion. See QUANT_MODES. UB only on 3510."),
)

SCALAR_MATH = ("add", "sub", "mul", "div", "min", "max", "sqrt")  # as enum ScalarMath of csrc/davinci/program.h
_FLAG = ("pipe", "event")
_SCALAR = Operand("src", (GM, UB))
SCALARS = (
    Instruction("GetValue", Pipe.S, "get_value", "scalar", (_SCALAR,), args=("slot", "lowest", "highest", "[typical]"), cores=_EITHER, sync=Sync.GET_VALUE,
                doc="Reads one element into a scalar slot; the value must lie within lowest..highest; typical: what the clock takes it for."),
    Instruction("SetValue", Pipe.S, "set_value", "scalar", (Operand("dst", (GM, UB), WRITE),), args=("kind", "scalar"), floats=("value",),
                cores=_EITHER, doc="Writes one element: floats[0] (kind 0) or the integer (kind 1). To GM: through the core's data cache (R21)."),
    Instruction("ScalarMath", Pipe.S, "scalar_math", "scalar", args=("slot", "operation"), floats=("a", "b"), cores=_EITHER,
                doc="Arithmetic of the scalar unit on numbers that GetValue read, in single precision: operation " + ", ".join(SCALAR_MATH) + "."),
    Instruction("DataCacheCleanAndInvalid", Pipe.S, "cache_clean", "scalar", (Operand("dst", (GM,), WRITE),), cores=_EITHER,
                sync=Sync.CACHE_CLEAN, doc="Scalar writes to this part of GM become visible to other pipes and cores, and theirs here."),
)
ORDER = (
    Instruction("SetFlag", Pipe.S, "none", "sync", args=_FLAG, cores=_EITHER, sync=Sync.SET_FLAG,
                doc="Runs on the source pipe: sets the flag for the destination pipe when all earlier work of the source is done."),
    Instruction("WaitFlag", Pipe.S, "none", "sync", args=_FLAG, cores=_EITHER, sync=Sync.WAIT_FLAG,
                doc="Runs on the destination pipe: holds it until the source pipe's flag is set, and clears it."),
    Instruction("PipeBarrier", Pipe.S, "none", "barrier", args=("all",), cores=_EITHER, sync=Sync.BARRIER,
                doc="Later work of the pipe waits for earlier work; all 1: of all pipes of the core (then it runs on S)."),
    Instruction("CrossCoreSetFlag", Pipe.S, "none", "cross_sync", args=("mode", "id"), cores=_EITHER, sync=Sync.CROSS_SET,
                doc="Mode 0: to all cores of the kind; 1: between the two vector cores of a group; 2: between a cube core and its vector cores."),
    Instruction("CrossCoreWaitFlag", Pipe.S, "none", "cross_sync", args=("id",), cores=_EITHER, sync=Sync.CROSS_WAIT,
                doc="Holds all later instructions of the core until the flag's counter is above zero, and takes one."),
    Instruction("SyncAll", Pipe.S, "none", "sync_all", args=("own_kind",), cores=_EITHER, sync=Sync.SYNC_ALL,
                doc="All cores wait for each other (own_kind 1: those of this kind); all blocks must be resident (R20)."),
)
DATA_INSTRUCTIONS = COPIES + CUBE + SCALARS + ORDER

__all__ = ["ATOMIC", "ATOMIC_DTYPES", "ATOMIC_OPS", "CONVERTED", "COPY_ARGS", "COPY_PIPES", "DATA_INSTRUCTIONS", "QUANT_MODES", "SCALAR_MATH"]
