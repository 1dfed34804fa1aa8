// Register tiles of convolutions: a few channels by a few vectors, accumulated over the whole depth in registers.
#pragma once
#include <array>
#include <utility>

#include "simd/lanes.h"

namespace al::conv {

// 16 registers: 6 x 2 sums + 2 vectors + 1 broadcast; 32 registers: 8 x 3 + 3 + 1.
constexpr int kRows = kVectorRegisters == 32 ? 8 : 6;
constexpr int kVecs = kVectorRegisters == 32 ? 3 : 2;

// c[r][j] = (add ? c[r][j] : bias[r]) + sum over k of a[k][r] * b[offsets[k] + j]; bias may be null.
template <class T>
using PixelTile = void (*)(int64_t depth, const T* a, const T* b, const int32_t* offsets, const T* bias, bool add, T* c,
                           int64_t ldc);

template <class T, int R, int V>
void pixel_tile(int64_t depth, const T* a, const T* b, const int32_t* offsets, const T* bias, bool add, T* c, int64_t ldc) {
  constexpr int width = Lanes<T>::width;
  Vec<T> sum[R][V];
  for (int r = 0; r < R; r++)
    for (int v = 0; v < V; v++) sum[r][v] = add ? load(c + r * ldc + v * width) : splat(bias ? bias[r] : T(0));
  for (int64_t k = 0; k < depth; k++, a += R) {
    const T* x = b + offsets[k];
    Vec<T> pixels[V];
    for (int v = 0; v < V; v++) pixels[v] = load(x + v * width);
    for (int r = 0; r < R; r++) {
      const Vec<T> weight = splat(a[r]);
      for (int v = 0; v < V; v++) sum[r][v] = fused(weight, pixels[v], sum[r][v]);
    }
  }
  for (int r = 0; r < R; r++)
    for (int v = 0; v < V; v++) store(c + r * ldc + v * width, sum[r][v]);
}

// The pixels of a panel in a padded buffer: `units` windows `unit_pitch` apart, of `rows` runs of `cols`, `pitch` apart.
struct Pixels {
  int64_t units, rows, cols, unit_pitch, pitch;
};

// c[r][j] += sum over pixels of x[r][pixel] * g[pixel][j]; c and g are dense.
template <class T>
using TapTile = void (*)(const Pixels& pixels, const T* const* x, const T* g, T* c);

template <class T, int R, int V>
void tap_tile(const Pixels& pixels, const T* const* x, const T* g, T* c) {
  constexpr int width = Lanes<T>::width;
  Vec<T> sum[R][V];
  for (int r = 0; r < R; r++)
    for (int v = 0; v < V; v++) sum[r][v] = load(c + (r * V + v) * width);
  for (int64_t unit = 0; unit < pixels.units; unit++) {
    const T* at[R];
    for (int r = 0; r < R; r++) at[r] = x[r] + unit * pixels.unit_pitch;
    for (int64_t row = 0; row < pixels.rows; row++) {
      for (int64_t col = 0; col < pixels.cols; col++, g += V * width) {
        Vec<T> grads[V];
        for (int v = 0; v < V; v++) grads[v] = load(g + v * width);
        for (int r = 0; r < R; r++) {
          const Vec<T> value = splat(at[r][col]);
          for (int v = 0; v < V; v++) sum[r][v] = fused(value, grads[v], sum[r][v]);
        }
      }
      for (int r = 0; r < R; r++) at[r] += pixels.pitch;
    }
  }
  for (int r = 0; r < R; r++)
    for (int v = 0; v < V; v++) store(c + (r * V + v) * width, sum[r][v]);
}

// Tables of the instances, indexed [rows - 1][vectors - 1].
template <class T, int... I>
constexpr auto pixel_tiles(std::integer_sequence<int, I...>) {
  return std::array<PixelTile<T>, sizeof...(I)>{pixel_tile<T, I / kVecs + 1, I % kVecs + 1>...};
}
template <class T, int... I>
constexpr auto tap_tiles(std::integer_sequence<int, I...>) {
  return std::array<TapTile<T>, sizeof...(I)>{tap_tile<T, I / kVecs + 1, I % kVecs + 1>...};
}
using AllTiles = std::make_integer_sequence<int, kRows * kVecs>;

}  // namespace al::conv
