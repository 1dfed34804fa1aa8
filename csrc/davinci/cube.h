// What the cube's entries in the library of loops take: data and, in place of strides, these sizes.
#pragma once
#include <cstdint>

namespace al::davinci {

// data: c, a, b. A of m x k in fractals of 16 rows x 32 bytes, B of k x n in transposed ones, C in blocks of 16 x 16.
enum MmadSize : int {
  kMmadM, kMmadN, kMmadK,
  kMmadAdd,      // c += a b, else c = a b
  kMmadHf32,     // 0: off; 1: f32 inputs cut to 10 bits of mantissa, ties to even; 2: ties toward zero
  kMmadByColumn, // A's fractals column by column (Nz), else row by row (Zz)
  kMmadScale,    // of wide memories
  kNumMmadSizes
};

// data: dst, src, scales (one float a column, or one for all), overflow flag (a byte).
enum FixpipeSize : int {
  kFixM, kFixN, kFixSrcRows,
  kFixDstRow,     // bytes from row to row of dst
  kFixDstBlock,   // Nz: bytes from column block to column block; 0: rows are whole
  kFixQuant, kFixRelu, kFixSaturate,
  kNumFixSizes
};
enum Quant : int { kQuantNone, kQuantConvert, kQuantScale, kQuantColumns };

// data: dst, src: n fractals of 16 x 16 two-byte elements, or 8 x 8 four-byte ones, transposed; sizes: bytes from one to the next.
enum TurnSize : int { kTurnDst, kTurnSrc };

}  // namespace al::davinci
