// Register tiles of matrix products: R rows by V vectors of outputs, summed over k in registers.
#pragma once
#include <algorithm>
#include <array>
#include <utility>

#include "dtypes.h"
#include "simd/lanes.h"

namespace al::gemm {

// 16 registers: 6 x 2 sums, 2 vectors of b, 1 of a; 32 registers: 14 x 2 + 2 + 1.
constexpr int kRows = kVectorRegisters == 32 ? 14 : 6;
constexpr int kVecs = 2;

// How one step of the sum is made. Packed: what panels hold; step: values of k in one Packed. offset: the left operand has an
// offset, and a panel of b ends with a line of what that makes sums start from.
template <class T>
struct MultiplyAdd {
  using Acc = T;
  using Packed = T;
  static constexpr int step = 1;
  static constexpr bool offset = false;
  static AL_INLINE Vec<T> apply(Vec<T> a, Vec<T> b, Vec<T> sum) {
    if constexpr (std::is_floating_point_v<T>)
      return fused(a, b, sum);
    else
      return a * b + sum;
  }
};

template <class Policy>
constexpr int kCols = kVecs * Lanes<typename Policy::Packed>::width;

template <class Policy>
struct TileArgs {
  int64_t depth;  // steps
  const typename Policy::Packed* a;
  int64_t a_row, a_step;  // of an a that is no panel
  const typename Policy::Packed* b;
  int64_t b_step;
  typename Policy::Acc* c = nullptr;
  int64_t ldc = 0;
  bool add = false;  // c += sum instead of c = sum
  const typename Policy::Acc* bias = nullptr;  // of the columns, added at last, if any
};

template <class Policy>
using Tile = void (*)(const TileArgs<Policy>&);

// How a tile reads its rows of a: each where it lies; all of a step side by side, where they lie; a panel that holds R values a step.
enum class Reads { kRows, kColumns, kPanel };

// GCC's own with an intent to write is one to read, unless it is built for PREFETCHW (which every processor of 64 bits takes): a line that
// another core has read would still be claimed by the store.
AL_INLINE void prefetch_to_write(const void* p) {
#if defined(__x86_64__)
  asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(p)));
#else
  __builtin_prefetch(p, 1);
#endif
}

constexpr int kAhead = 8;  // steps, of columns: further apart than what a prefetcher follows

template <class Policy, int R, int V, Reads reads>
void tile(const TileArgs<Policy>& t) {
  using Acc = typename Policy::Acc;
  using Packed = typename Policy::Packed;
  constexpr int width = Lanes<Packed>::width;
  Vec<Acc> sum[R][V];
  const Packed* b = t.b;
#pragma GCC unroll 16
  for (int r = 0; r < R; r++) {
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) sum[r][v] = Policy::offset ? (Vec<Acc>)load(t.b + t.depth * t.b_step + v * width) : Vec<Acc>{};
  }
  const int64_t a_row = reads == Reads::kRows ? t.a_row : 1, a_step = reads == Reads::kPanel ? R : t.a_step, b_step = t.b_step;
  // A pointer serves as many rows as an address reaches from it: rows apart by a stride, its double and itself.
  constexpr int reach = reads == Reads::kRows ? 3 : R;
  const Packed* a[(R + reach - 1) / reach];
#pragma GCC unroll 16
  for (int r = 0; r < R; r += reach) a[r / reach] = t.a + r * a_row;
  const auto step = [&]() __attribute__((always_inline)) {
    Vec<Packed> x[V];
    if constexpr (reads == Reads::kColumns) {
      __builtin_prefetch(a[0] + kAhead * a_step);
      __builtin_prefetch(a[0] + kAhead * a_step + R - 1);
    }
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) x[v] = load(b + v * width);
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
      Vec<Packed> y = splat(a[r / reach][r % reach * a_row]);
      if constexpr (Policy::offset && reads != Reads::kPanel) y = Policy::with_offset(y);
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) sum[r][v] = Policy::apply(y, x[v], sum[r][v]);
    }
#pragma GCC unroll 16
    for (auto& rows : a) {
      rows += a_step;
      asm("" : "+r"(rows));  // else the compiler makes one pointer and offsets of them, which do not fit the registers
    }
    b += b_step;
  };
  // A row of c is called for with each step: all at once they keep out the first lines of a and b.
  const Acc* wanted = t.c;
  int64_t k = t.depth;
  for (int64_t stop = std::max<int64_t>(0, k - R); k > stop; k--, wanted += t.ldc) {
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) prefetch_to_write(wanted + v * width);
    step();
  }
#pragma GCC unroll 4
  for (; k > 0; k--) step();
#pragma GCC unroll 16
  for (int r = 0; r < R; r++)
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) {
      Acc* c = t.c + r * t.ldc + v * width;
      if (t.add) sum[r][v] = load(c) + sum[r][v];
      store(c, t.bias ? sum[r][v] + load(t.bias + v * width) : sum[r][v]);
    }
}

// Tables of the instances, by rows - 1 and vectors - 1.
template <class Policy, Reads reads, int... I>
constexpr auto make_tiles(std::integer_sequence<int, I...>) {
  return std::array<Tile<Policy>, sizeof...(I)>{tile<Policy, I / kVecs + 1, I % kVecs + 1, reads>...};
}
template <class Policy, Reads reads>
constexpr auto kTiles = make_tiles<Policy, reads>(std::make_integer_sequence<int, kRows * kVecs>{});

template <class Policy, Reads reads>
AL_INLINE void run_tile(int rows, int vecs, const TileArgs<Policy>& args) {
  kTiles<Policy, reads>[(rows - 1) * kVecs + vecs - 1](args);
}

}  // namespace al::gemm
