// Planes and weights as rows of channels, which is how products read them, and back; and those products.
#pragma once
#include <algorithm>

#include "simd/gemm_pack.h"

namespace al::conv {

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
// Numbers from one row of channels to the next: an odd number of cache lines, so that rows spread over the sets of the L1.
template <class T>
int64_t row_pitch(int64_t channels) {
  constexpr int64_t line = 64 / sizeof(T);
  return (ceil_div(channels, line) | 1) * line;
}

// Runs of `cols` numbers of each of `lanes` lines that are `stride` apart, and the same as vectors of lanes, runs `pitch` vectors apart.
struct Turn {
  int64_t stride, lanes, cols, pitch;
};

// to[i] = numbers i of the lines. Lanes beyond the last repeat it; up to `end` the memory can be read.
template <class T>
void spread(const Turn& turn, const T* from, int64_t n, const T* end, T* to) {
  constexpr int64_t kWidth = Lanes<T>::width;
  const int64_t last = (turn.lanes - 1) * turn.stride, gap = (turn.pitch - turn.cols) * kWidth;
  int64_t col = 0;
  const auto put = [&](Vec<T> v) __attribute__((always_inline)) {
    store(to, v);
    to += kWidth;
    if (++col == turn.cols) col = 0, to += gap;
  };
  for (int64_t i = 0; i < n; i += kWidth, from += kWidth) {
    Vec<T> block[kWidth];
    if (end - from >= last + kWidth) {
#pragma GCC unroll 16
      for (int64_t l = 0; l < kWidth; l++) block[l] = load(from + std::min(l * turn.stride, last));
    } else {
      for (int64_t l = 0; l < kWidth; l++) {
        alignas(64) T line[kWidth] = {};
        for (int64_t k = 0; k < std::min(kWidth, n - i); k++) line[k] = from[std::min(l * turn.stride, last) + k];
        block[l] = load(line);
      }
    }
    gemm::transpose<T>(block);
#pragma GCC unroll 16
    for (int64_t k = 0; k < kWidth; k++)
      if (k < n - i) put(block[k]);
  }
}

// The way back: numbers i of the lines = from[i].
template <class T>
void collect(const Turn& turn, const T* from, int64_t n, T* to) {
  constexpr int64_t kWidth = Lanes<T>::width;
  const int64_t gap = (turn.pitch - turn.cols) * kWidth;
  int64_t col = 0;
  const auto take = [&]() __attribute__((always_inline)) {
    const Vec<T> v = load(from);
    from += kWidth;
    if (++col == turn.cols) col = 0, from += gap;
    return v;
  };
  for (int64_t i = 0; i < n; i += kWidth, to += kWidth) {
    Vec<T> block[kWidth];
    if (i + kWidth <= n) {
#pragma GCC unroll 16
      for (int64_t k = 0; k < kWidth; k++) block[k] = take();
      gemm::transpose<T>(block);
      for (int64_t l = 0; l < std::min(kWidth, turn.lanes); l++) store(to + l * turn.stride, block[l]);
    } else {
      alignas(64) T lines[kWidth * kWidth];
      for (int64_t k = 0; k < n - i; k++) store(lines + k * kWidth, take());
      for (int64_t l = 0; l < std::min(kWidth, turn.lanes); l++)
        for (int64_t k = 0; k < n - i; k++) to[l * turn.stride + k] = lines[k * kWidth + l];
    }
  }
}

// c (m, n) = or += a (m, depth) * b (depth, n), n whole vectors; `next` is from panel to panel of b.
template <class T>
struct Factor {
  const T* data;
  int64_t row, step;
};
template <class T>
void multiply(int64_t m, int64_t n, int64_t depth, std::type_identity_t<Factor<T>> a, const T* b, int64_t b_step, int64_t next, T* c,
              int64_t ldc, bool add) {
  constexpr int64_t kWidth = Lanes<T>::width, kPanel = gemm::kVecs * kWidth;
  const int64_t tile = ceil_div(m, ceil_div(m, gemm::kRows));
  for (int64_t j = 0; j < n; j += kPanel, b += next) {
    const int vecs = int(std::min(kPanel, n - j) / kWidth);
    for (int64_t i = 0; i < m; i += tile)
      gemm::run_tile<gemm::MultiplyAdd<T>, gemm::Reads::kRows>(int(std::min(tile, m - i)), vecs,
                                                   {depth, a.data + i * a.row, a.row, a.step, b, b_step ? b_step : vecs * kWidth, c + i * ldc + j, ldc, add});
  }
}

}  // namespace al::conv
