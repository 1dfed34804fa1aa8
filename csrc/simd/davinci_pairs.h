// The emulated cube's products of bfloat16 by pairs, where they have the bits of the sum in order: the earlier of two neighbours of k goes high,
// the numbers are finite, and none is so small that a sum could be subnormal. Twice as fast as products one by one.
#pragma once
#include <cstring>

#include "davinci/cube.h"
#include "simd/gemm.h"
#include "simd/gemm_pack.h"
#include "simd/pairs.h"

namespace al::davinci {
namespace {

#if defined(__AVX512F__) || defined(AL_WIDE_BY_HALVES)

#if defined(__AVX512F__)
constexpr auto kPairsBy = gemm::PairsBy::kInstruction;
#else
constexpr auto kPairsBy = gemm::PairsBy::kEmulation;
#endif

struct InOrder {
  using Acc = float;
  using Packed = uint32_t;
  static constexpr int step = 2;
  static constexpr bool offset = false;
  static AL_INLINE Vec<float> apply(Vec<uint32_t> a, Vec<uint32_t> b, Vec<float> sum) { return gemm::add_pair_products<kPairsBy>(a, b, sum); }
};

constexpr int kPairs = 8;  // of a line of a fractal
typedef uint32_t Line __attribute__((vector_size(4 * kPairs)));
typedef Line LooseLine __attribute__((aligned(2), may_alias));

AL_INLINE Line load_line(const char* at) { return *reinterpret_cast<const LooseLine*>(at); }
template <class V> AL_INLINE V exchange_halves(V x) { return x << 16 | x >> 16; }

// The least and the largest biased exponent of the numbers that are not 0.
struct Exponents { int low, high; };

Exponents exponents(const char* data, int64_t bytes) {
  Vec<uint16_t> low = splat(uint16_t(0xffff)), high{};
  for (int64_t i = 0; i < bytes; i += kVectorBytes) {
    const Vec<uint16_t> x = load(reinterpret_cast<const uint16_t*>(data + i)) & uint16_t(0x7fff), less = x - uint16_t(1);  // 0 becomes the largest
    low = less < low ? less : low;
    high = x > high ? x : high;
  }
  uint16_t least = 0xffff, most = 0;
  for (int i = 0; i < Lanes<uint16_t>::width; i++) least = std::min(least, uint16_t(low[i])), most = std::max(most, uint16_t(high[i]));
  return {(least + 1) >> 7, most >> 7};
}

// Products and sums are multiples of the product of the last bits of the least numbers, at least 2^-126 here: none is subnormal but 0. Nor does
// one of up to 2^12 terms overflow.
bool sums_are_normal(Exponents a, Exponents b) {
  constexpr int bias = 127, bits_below = 7;
  return a.low > 0 && b.low > 0 && a.high < 255 && b.high < 255 && a.low + b.low - 2 * (bias + bits_below) >= -126 &&
         a.high + 1 + b.high + 1 - 2 * bias + 12 <= 127;
}

// Rows of A as words of pairs, `ld` words apart.
void pair_rows(const char* a, const int64_t* size, uint32_t* to, int64_t ld) {
  const int64_t m = size[kMmadM], k = size[kMmadK], k_blocks = (k + 15) / 16, m_blocks = (m + 15) / 16;
  for (int64_t i = 0; i < m_blocks; i++)
    for (int64_t j = 0; j < k_blocks; j++) {
      const char* fractal = a + (size[kMmadByColumn] ? j * m_blocks + i : i * k_blocks + j) * 512;
      const int rows = int(std::min<int64_t>(16, m - i * 16));
      for (int r = 0; r < rows; r++) *reinterpret_cast<LooseLine*>(to + (i * 16 + r) * ld + j * kPairs) = exchange_halves(load_line(fractal + r * 32));
    }
  for (int64_t r = 0; k % 2 && r < m; r++) to[r * ld + k / 2] &= 0xffff0000u;
}

// 16 columns of B as a panel of words of pairs. Two fractals are a square of words.
void pair_panel(const char* b, const int64_t* size, int64_t column, uint32_t* panel) {
  const int64_t k = size[kMmadK], k_blocks = (k + 15) / 16, pitch = (size[kMmadN] + 15) / 16 * 512;
  for (int64_t j = 0; j < k_blocks; j += 2) {
    const char *first = b + j * pitch + column * 512, *second = j + 1 < k_blocks ? first + pitch : first;
    Vec<uint32_t> square[16];
    for (int r = 0; r < 16; r++)
      square[r] = exchange_halves(__builtin_shufflevector(load_line(first + r * 32), load_line(second + r * 32), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    gemm::transpose<uint32_t>(square);
    for (int r = 0; r < 16; r++) store(panel + (j * kPairs + r) * 16, square[r]);
  }
  for (int i = 0; k % 2 && i < 16; i++) panel[k / 2 * 16 + i] &= 0xffff0000u;
}

// C of blocks of 16 columns; false where the product has to be made one by one.
bool mmad_by_pairs(char* const* data, const int64_t* size) {
  static const bool has = gemm::pairs_in_hardware();
  if (!has) return false;
  const int64_t m = size[kMmadM], n = size[kMmadN], k = size[kMmadK], k_blocks = (k + 15) / 16, m16 = (m + 15) / 16 * 16, n_blocks = (n + 15) / 16;
  if (!sums_are_normal(exponents(data[1], m16 * k_blocks * 32), exponents(data[2], k_blocks * n_blocks * 512))) return false;
  const int64_t ld = k_blocks * kPairs, depth = (k + 1) / 2;
  Scratch<uint32_t> a(m * ld), panel((ld + kPairs) * 16);
  pair_rows(data[1], size, a.data, ld);
  auto* c = reinterpret_cast<float*>(data[0]);
  const int tile = int((m + (m + gemm::kRows - 1) / gemm::kRows - 1) / ((m + gemm::kRows - 1) / gemm::kRows));
  for (int64_t j = 0; j < n_blocks; j++, c += m16 * 16) {
    pair_panel(data[2], size, j, panel.data);
    for (int64_t i = 0; i < m; i += tile)
      gemm::run_tile<InOrder, gemm::Reads::kRows>(int(std::min<int64_t>(tile, m - i)), 1, {depth, a.data + i * ld, ld, 1, panel.data, 16, c + i * 16, 16, size[kMmadAdd] != 0});
  }
  return true;
}

#else
bool mmad_by_pairs(char* const*, const int64_t*) { return false; }
#endif

}  // namespace
}  // namespace al::davinci
