// Products of attention by pairs of bfloat16: a word holds two neighbours of what is summed over, so there are half as many steps.
// Weights and their gradients are rounded to bfloat16 before they are multiplied; sums and the softmax are those of numbers.
#pragma once
#include "simd/attention.h"
#include "simd/gemm_pairs.h"

namespace al::attention {

template <gemm::PairsBy by>
struct Pairs {
  using Acc = float;
  using Word = uint32_t;
  using Policy = gemm::Pairs<by>;
  static constexpr int64_t step = 2, width = kWidth<float>;

  // Neighbours of a row lie in memory as they are wanted. Odd rows and those of no whole vectors are padded by zeros.
  static Rows<uint32_t> words_of(const View& x, int64_t b, int64_t h, int64_t from, int64_t n, uint32_t* room) {
    const char* head = head_of(x, b, h);
    const int64_t cols = x.shape[3], row = x.strides[2], pitch = round_up(cols, width);
    if (x.strides[3] == 1 && cols == pitch && row % 2 == 0 && uintptr_t(head) % 4 == 0)
      return {reinterpret_cast<const uint32_t*>(head) + from * (row / 2), row / 2};
    auto* to = reinterpret_cast<bfloat16*>(room);
    for (int64_t r = 0; r < n; r++, to += pitch) {
      const auto* src = reinterpret_cast<const bfloat16*>(head) + (from + r) * row;
      for (int64_t c = 0; c < cols; c++) to[c] = src[c * x.strides[3]];
      std::fill(to + cols, to + pitch, bfloat16{0});
    }
    return {room, pitch / 2};
  }

  // Pairs of neighbouring rows, laced; behind an odd last row stands zero.
  static Rows<uint32_t> stack(Rows<uint32_t> x, int64_t n, int64_t cols, uint32_t* room) {
    uint32_t* to = room;
    for (int64_t r = 0; r < n; r += 2, to += cols) {
      const auto *low = reinterpret_cast<const uint16_t*>(x.data + r * x.stride), *high = low + 2 * x.stride;
      for (int64_t c = 0; c < cols; c += width) store(to + c, r + 1 < n ? widened(low + c) | widened(high + c) << 16 : widened(low + c));
    }
    return {room, cols};
  }

  // Along the rows: as they lie, rounded.
  static Left<uint32_t> along_rows(const float* x, int64_t rows, int64_t n, uint32_t* room) {
    auto* to = reinterpret_cast<uint16_t*>(room);
    for (int64_t r = 0; r < rows; r++, x += kKeys, to += kKeys)
      for (int64_t j = 0; j < n; j += width) *reinterpret_cast<gemm::HalfLoad*>(to + j) = gemm::nearest<by>(load(x + j));
    return {room, kKeys / 2, 1};
  }
  // Along the columns: pairs of neighbouring rows; behind an odd last row stands zero.
  static Left<uint32_t> along_columns(const float* x, int64_t rows, int64_t n, uint32_t* room) {
    uint32_t* to = room;
    for (int64_t r = 0; r < rows; r += 2, x += 2 * kKeys, to += kKeys)
      for (int64_t j = 0; j < n; j += width) {
        const Vec<uint32_t> low = wide(gemm::nearest<by>(load(x + j)));
        store(to + j, r + 1 < rows ? low | wide(gemm::nearest<by>(load(x + kKeys + j))) << 16 : low);
      }
    return {room, 1, kKeys};
  }

  static AL_INLINE Vec<uint32_t> wide(gemm::HalfVector x) { return __builtin_convertvector(x, Vec<uint32_t>); }
  static AL_INLINE Vec<uint32_t> widened(const uint16_t* p) { return wide(*reinterpret_cast<const gemm::HalfLoad*>(p)); }
};

// Calls body with how the products of these tensors are made; none is float64.
template <class Body>
void with_products(std::initializer_list<const View*> operands, Body&& body) {
  bool pairs = gemm::by_pairs();
  for (const View* x : operands) pairs = pairs && x->dtype == kBFloat16;
  if (!pairs) return body(Numbers<float>{});
  gemm::with_pairs([&]<gemm::PairsBy by>(std::integral_constant<gemm::PairsBy, by>) { body(Pairs<by>{}); });
}

}  // namespace al::attention
