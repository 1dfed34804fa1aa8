// A few rows times a matrix: one pass over b where it lies, at the speed of memory.
#pragma once
#include "simd/gemm_product.h"

namespace al::gemm {

constexpr int kFew = 4;         // rows
constexpr int kFewColumns = 2;  // the same where b lies by columns: more keep too few sums in registers

template <class Policy, class In, class Out>
struct Stream : Product<Policy, In, Out> {
  using Base = Product<Policy, In, Out>;
  using typename Base::Acc;
  using typename Base::Packed;
  using Base::a, Base::accumulate, Base::b, Base::c, Base::cols, Base::p, Base::width;
  using Base::Base;
  static constexpr int64_t kSums = 4096, kLine = 64 / sizeof(In);

  // Rows of b are contiguous: sums of a strip of columns stay in L1. The longer the runs of b, the better memory serves them.
  void by_rows() const {
    strips(std::min<int64_t>(kSums / p.m / 64 * 64, ceil_div(ceil_div(p.n, this->threads()), 64) * 64), &Stream::rows_of_b);
  }
  // Columns of b are contiguous, as those of a weight that is used transposed.
  void by_columns() const {
    if constexpr (kSquares) {
      Scratch<float> left(p.m * p.k);
      for (int64_t i = 0; i < p.m; i++)
        for (int64_t k = 0; k < p.k; k++) left[i * p.k + k] = float(to_compute(a[i * p.a.row + k * p.a.col]));
      strips(cols, kColumns[p.m - 1], left.data);
    } else {
      strips(2 * cols, kColumns[p.m - 1]);
    }
  }

  // The sums over k in [k, end) of the columns [j, j + n), in rows of `strip`.
  using Block = void (Stream::*)(Acc* sum, int64_t strip, int64_t j, int64_t n, int64_t k, int64_t end, const float* left) const;

  // left: the rows of a as floats, where the block wants them.
  void strips(int64_t strip, Block block, const float* left = nullptr) const {
    this->share(ceil_div(p.n, strip), this->work(), kParallelStream, [&](int64_t begin, int64_t end) {
      alignas(64) Acc sum[kSums], total[kSums];
      if (left) ask_for_first(begin * strip);
      for (int64_t s = begin; s < end; s++) {
        const int64_t j = s * strip, n = std::min(strip, p.n - j);
        if (accumulate) load_strip(total, strip, j, n);
        for (int64_t k = 0; k < p.k; k += kDepth) {
          (this->*block)(sum, strip, j, n, k, std::min(p.k, k + kDepth), left);
          const bool keep = accumulate || k > 0;
          for (int64_t i = 0; i < p.m; i++)
            for (int64_t x = i * strip; x < i * strip + n; x++) total[x] = keep ? total[x] + sum[x] : sum[x];
        }
        this->finish(total, strip, 0, p.m, j, n);
      }
    });
  }
  void load_strip(Acc* total, int64_t strip, int64_t j, int64_t n) const {
    for (int64_t i = 0; i < p.m; i++)
      for (int64_t x = 0; x < n; x++) total[i * strip + x] = Acc(to_compute(c[i * p.c.row + j + x]));
  }

  // ---- by rows ----

  void rows_of_b(Acc* sum, int64_t strip, int64_t j, int64_t n, int64_t k, int64_t end, const float*) const {
    const int64_t ld = p.b.row;
    std::fill(sum, sum + p.m * strip, Acc(0));
    for (; k + 4 <= end; k += 4)
      for (int64_t i = 0; i < p.m; i++)
        stream_four(sum + i * strip, b + k * ld + j, ld, n, a + i * p.a.row + k * p.a.col);
    for (; k < end; k++)
      for (int64_t i = 0; i < p.m; i++) {
        const Vec<Acc> y = splat(Acc(to_compute(a[i * p.a.row + k * p.a.col])));
        stream_one(sum + i * strip, b + k * ld + j, n, y);
      }
  }
  void stream_one(Acc* s, const In* x, int64_t n, Vec<Acc> y) const {
    int64_t v = 0;
    for (; v + width <= n; v += width)
      store(s + v, Policy::apply(y, load_as<In, Packed>(x + v), load(s + v)));
    for (; v < n; v++) s[v] = Policy::apply(y, splat(Packed(to_compute(x[v]))), splat(s[v]))[0];
  }
  void stream_four(Acc* s, const In* x, int64_t ld, int64_t n, const In* left) const {
    const In *x1 = x + ld, *x2 = x1 + ld, *x3 = x2 + ld;
    Vec<Acc> y[4];
    for (int q = 0; q < 4; q++) y[q] = splat(Acc(to_compute(left[q * p.a.col])));
    const bool ask = n * int64_t(sizeof(In)) < kPage;  // the machine fetches ahead by itself on long runs, better than it is told to
    int64_t v = 0;
    for (; v + width <= n; v += width) {
      Vec<Acc> t = load(s + v);
      t = Policy::apply(y[0], load_as<In, Packed>(x + v), t);
      t = Policy::apply(y[1], load_as<In, Packed>(x1 + v), t);
      t = Policy::apply(y[2], load_as<In, Packed>(x2 + v), t);
      t = Policy::apply(y[3], load_as<In, Packed>(x3 + v), t);
      store(s + v, t);
      if (ask && v % (64 / int64_t(sizeof(In))) == 0)
        for (int q = 4; q < 8; q++) __builtin_prefetch(x + q * ld + v);
    }
    if (v < n) {
      stream_one(s + v, x + v, n - v, y[0]);
      stream_one(s + v, x1 + v, n - v, y[1]);
      stream_one(s + v, x2 + v, n - v, y[2]);
      stream_one(s + v, x3 + v, n - v, y[3]);
    }
  }

  // ---- by columns ----

  // bfloat16 is moved in pairs of steps, with half the shuffles: the lower half of 32 bits comes first in memory.
  static constexpr bool kPairs = std::is_same_v<In, bfloat16> && std::is_same_v<Packed, float>;
  static constexpr bool kSquares = kPairs || (std::is_same_v<In, float> && std::is_same_v<Packed, float>);

  template <int M>
  void columns_of_b(Acc* sum, int64_t strip, int64_t j, int64_t n, int64_t k, int64_t end, const float* left) const {
    int64_t x = 0;
    if constexpr (kSquares) {
      // Where lines compete for one place in L1 each of them is read whole, some at a time.
      const bool crowded = p.b.col * int64_t(sizeof(In)) % kPage == 0;
      for (; x + cols <= n; x += cols)
        crowded ? squares<M, kVecs, 1>(sum + x, strip, j + x, k, end, left) : squares<M, kVecs, kVecs>(sum + x, strip, j + x, k, end, left);
    } else {
      if (M == 1 && p.b.col * int64_t(sizeof(In)) >= kPage)  // more of them hide the latency of memory
        for (; x + 2 * cols <= n; x += 2 * cols) lines<M, 2 * kVecs>(sum + x, strip, j + x, k, end);
      for (; x + cols <= n; x += cols) lines<M, kVecs>(sum + x, strip, j + x, k, end);
    }
    if (x < n) last_lines<M>(sum + x, strip, j + x, int(n - x), k, end);
  }

  // V vectors of columns of 32-bit words, N at a time through a cache line of each. Four words of each line are turned in registers,
  // so k runs in the order of every other road.
  template <int M, int V, int N>
  void squares(Acc* to, int64_t strip, int64_t j, int64_t k, int64_t end, const float* left) const {
    constexpr int64_t group = kPairs ? 8 : 4;  // steps
    const int64_t pitch = p.b.col * sizeof(In);
    const char* from = (const char*)(b + j * p.b.col);
    Vec<float> sum[M][V] = {};
    for (int64_t stop; k + group <= end; k = stop) {
      stop = std::min(k + kLine, end - (end - k) % group);
#pragma GCC unroll 4
      for (int v = 0; v < V; v += N)
        for (int64_t q = k; q < stop; q += group) {
          ask_for_next<V>(from, pitch, k, (q - k) * N + v * kLine, group * N);
          add_group<N, M, V>(from, pitch, v, q, left, sum);
        }
    }
    store_sums<M, V>(sum, to, strip, j, k, end);
  }
  // The first columns of a task: from then on each asks for the next.
  void ask_for_first(int64_t j) const {
    const char* from = (const char*)(b + j * p.b.col);
    const int64_t row = p.k * int64_t(sizeof(In)), bytes = std::min<int64_t>(std::min<int64_t>(cols, p.n - j) * row, 8 * kPage);
    if (p.b.col != p.k) return;
    for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(from + at, 0, 2);
  }
  // A cache line of each column by the time that k has passed one, a few with each group: the part [done, done + now) of V * kLine.
  // Where columns lie one behind the other the next ones are read as one run of memory, as the machine likes it.
  template <int V>
  AL_INLINE void ask_for_next(const char* from, int64_t pitch, int64_t k, int64_t done, int64_t now) const {
    constexpr int64_t columns = V * width;
    const int64_t row = p.k * int64_t(sizeof(In)), at = k * int64_t(sizeof(In));
    const bool dense = pitch == row && pitch < 4 * kPage;
    const int64_t apart = dense ? 64 : pitch;
    const char* next = from + (dense ? columns * (pitch + at) : at + ahead_of(pitch, columns)) + done * width / kLine * apart;
    for (int l = 0; l < now * width / kLine; l++, next += apart) __builtin_prefetch(next, 0, 2);
  }
  // A group of steps for the vectors from v to v + N, whose chains of additions are laced.
  template <int N, int M, int V>
  AL_INLINE void add_group(const char* from, int64_t pitch, int v, int64_t k, const float* left, Vec<float> (&sum)[M][V]) const {
    Vec<float> x[N][4];
#pragma GCC unroll 4
    for (int u = 0; u < N; u++) load_group(from + (v + u) * width * pitch + k * int64_t(sizeof(In)), pitch, x[u]);
#pragma GCC unroll 4
    for (int i = 0; i < M; i++) {
      const float* y = left + i * p.k + k;
#pragma GCC unroll 8
      for (int q = 0; q < (kPairs ? 8 : 4); q++)
#pragma GCC unroll 4
        for (int u = 0; u < N; u++) sum[i][v + u] = fused(splat(y[q]), step_of(x[u], q), sum[i][v + u]);
    }
  }
  static AL_INLINE void load_group(const char* at, int64_t pitch, Vec<float>* x) {
#if defined(__x86_64__)
    asm volatile("" : "+r"(at));  // or the compiler keeps a pointer for every line, in memory
#endif
#pragma GCC unroll 4
    for (int l = 0; l < 4; l++) x[l] = load_quarters(at + (l == 3 ? 3 * pitch : l * pitch), 4 * pitch);
    transpose_quads<float>(x);
  }
  static AL_INLINE Vec<float> step_of(const Vec<float>* x, int q) {
    if constexpr (!kPairs) return x[q];
    const Vec<uint32_t> both = (Vec<uint32_t>)x[q / 2];
    return (Vec<float>)(q % 2 ? both & 0xffff0000u : both << 16);
  }

  // Where to ask for lines in time, in bytes: the machine does not fetch ahead on so many. Those of the next columns are next, or where
  // lines are long their own.
  static int64_t ahead_of(int64_t pitch, int64_t columns) { return pitch >= kPage ? 8 * 64 : columns * pitch; }
  // V vectors of columns. Squares of b are transposed in registers, so k runs in the order of every other road. Cache lines are used
  // whole, since those of one step may compete for one place in L1.
  template <int M, int V>
  void lines(Acc* to, int64_t strip, int64_t j, int64_t k, int64_t end) const {
    constexpr int64_t item = sizeof(In), step = width * item;
    const int64_t pitch = p.b.col * item, ahead = ahead_of(pitch, V * width);
    const In* from = b + j * p.b.col;
    Vec<Acc> sum[M][V] = {};
    for (int64_t stop; k + width <= end; k = stop) {
      stop = std::min(k + kLine, end - (end - k) % width);
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) {
        const char* square = (const char*)(from + k) + v * width * pitch;
        for (int l = 0; l < width; l++) __builtin_prefetch(square + l * pitch + ahead, 0, 2);
        for (int64_t at = k; at < stop; at += width, square += step) {
          Vec<Packed> x[width];
          load_square(square, pitch, x);
#pragma GCC unroll 4
          for (int i = 0; i < M; i++)
#pragma GCC unroll 16
            for (int q = 0; q < width; q++) sum[i][v] = Policy::apply(left(i, at + q), x[q], sum[i][v]);
        }
      }
    }
    store_sums<M, V>(sum, to, strip, j, k, end);
  }
  // Sums of whole squares, and the steps that are left.
  template <int M, int V>
  AL_INLINE void store_sums(Vec<Acc> (&sum)[M][V], Acc* to, int64_t strip, int64_t j, int64_t k, int64_t end) const {
    const In* from = b + j * p.b.col;
#pragma GCC unroll 4
    for (int i = 0; i < M; i++)
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) store(to + i * strip + v * width, sum[i][v]);
    for (; k < end; k++)
      for (int l = 0; l < V * width; l++)
        for (int i = 0; i < M; i++) add_one(to[i * strip + l], i, k, convert<Packed>(from[l * p.b.col + k]));
  }
  static AL_INLINE void load_square(const char* at, int64_t pitch, Vec<Packed>* x) {
#if defined(__x86_64__)
    asm volatile("" : "+r"(at));  // or the compiler keeps a pointer for every line, in memory
#endif
    const int64_t three = 3 * pitch;
#pragma GCC unroll 16
    for (int l = 0; l < width; l++) {
      const char* line = at + l / 4 * (4 * pitch) + (l % 4 == 3 ? three : l % 4 * pitch);
      x[l] = load_as<In, Packed>(reinterpret_cast<const In*>(line));
    }
    transpose<Packed>(x);
  }
  AL_INLINE void add_one(Acc& sum, int64_t i, int64_t k, Packed x) const {
    sum = Policy::apply(left(i, k), splat(x), splat(sum))[0];
  }
  // Fewer than `cols` columns from j on.
  template <int M>
  void last_lines(Acc* to, int64_t strip, int64_t j, int n, int64_t k, int64_t end) const {
    alignas(64) Packed panel[kDepth * cols + kSlack];
    Vec<Acc> sum[M][kVecs] = {};
    this->pack_b(k, end - k, j, n, panel);
    for (const Packed* x = panel; k < end; k++, x += cols)
#pragma GCC unroll 4
      for (int i = 0; i < M; i++)
#pragma GCC unroll 4
        for (int v = 0; v < kVecs; v++) sum[i][v] = Policy::apply(left(i, k), load(x + v * width), sum[i][v]);
    for (int i = 0; i < M; i++)
      for (int v = 0; v < kVecs; v++) store(to + i * strip + v * width, sum[i][v]);
  }
  AL_INLINE Vec<Packed> left(int64_t i, int64_t k) const {
    return splat(convert<Packed>(a[i * p.a.row + k * p.a.col]));
  }
  static constexpr Block kColumns[kFewColumns] = {&Stream::columns_of_b<1>, &Stream::columns_of_b<2>};
};

}  // namespace al::gemm
