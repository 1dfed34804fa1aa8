// A product and what its roads share: how parts are packed, how a finished tile is stored, what is split over threads.
#pragma once
#include "kernel.h"
#include "simd/gemm.h"
#include "simd/gemm_pack.h"

namespace al::gemm {

// Steps of k summed in registers before they are added to c: part of the definition of the result.
constexpr int64_t kDepth = 256;
constexpr int64_t kParallelWork = 1 << 20;    // multiplications worth a thread
constexpr int64_t kParallelStream = 1 << 15;  // the same where they wait for memory
constexpr int64_t kPage = 4096;               // bytes: lines so far apart share a place in L1

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

template <class Policy, class In, class Out>
struct Product {
  using Acc = typename Policy::Acc;
  using Packed = typename Policy::Packed;
  static constexpr int step = Policy::step, width = Lanes<Packed>::width, cols = kCols<Policy>;
  static constexpr bool in_place =
      sizeof(Out) == sizeof(Acc) && std::is_floating_point_v<Out> == std::is_floating_point_v<Acc>;
  static constexpr bool raw =
      step == 1 && std::is_same_v<In, Packed>;  // tiles can read the operands where they lie
  static constexpr bool raw_rows = raw || (step > 1 && sizeof(In) * step == sizeof(Packed));  // those of a

  const Problem& p;
  const In *a, *b;
  Out* c;
  const Out* add;
  bool accumulate, epilogue;
  const Acc* bias = nullptr;  // of the columns, where tiles add it

  explicit Product(const Problem& problem)
      : p(problem),
        a((const In*)p.a.data),
        b((const In*)p.b.data),
        c((Out*)p.c.data),
        add((const Out*)p.add.data) {
    accumulate = in_place && add == c && p.beta == 1 && p.alpha == 1 && !p.activation;
    if constexpr (in_place)
      if (add && !accumulate && p.add.row == 0 && p.add.col == 1 && p.alpha == 1 && p.beta == 1 && !p.activation) bias = (const Acc*)add;
    epilogue = !accumulate && !bias && (add || p.alpha != 1 || p.activation);
  }

  // ---- storing ----

  // Sums of rows x n outputs at (i, j): scaled, added to, activated, rounded. s may be c itself.
  void finish(Acc* s, int64_t lds, int64_t i, int64_t rows, int64_t j, int64_t n) const {
    for (int64_t r = 0; r < rows; r++, s += lds) {
      if (p.alpha != 1) {
        const Acc alpha = Acc(compute_alpha());
        for (int64_t x = 0; x < n; x++) s[x] *= alpha;
      }
      if (add && !accumulate) add_row(s, add + (i + r) * p.add.row + j * p.add.col, n);
      if (p.activation) p.activation(s, n);
      Out* to = c + (i + r) * p.c.row + j;
      if constexpr (is_floating<Out>) {
        if ((void*)to != (void*)s) store_floats(s, to, n);
      } else {
        if ((void*)to != (void*)s)
          for (int64_t x = 0; x < n; x++) to[x] = Out(s[x]);
      }
    }
  }
  auto compute_alpha() const {
    if constexpr (std::is_floating_point_v<Acc>)
      return p.alpha;
    else
      return int64_t(p.alpha);
  }
  void add_row(Acc* s, const Out* from, int64_t n) const {
    Acc beta;
    if constexpr (std::is_floating_point_v<Acc>)
      beta = Acc(p.beta);
    else
      beta = Acc(int64_t(p.beta));
    const int64_t col = p.add.col;
    if (col == 1) {
      for (int64_t x = 0; x < n; x++) s[x] += beta * Acc(to_compute(from[x]));
    } else {
      for (int64_t x = 0; x < n; x++) s[x] += beta * Acc(to_compute(from[x * col]));
    }
  }

  // ---- packing ----

  void pack_b(int64_t k, int64_t depth, int64_t j, int n, Packed* to) const {
    pack<Policy, cols, In>(b + k * step * p.b.row + j * p.b.col, p.b.col, p.b.row, n, depth, to, cols,
                           p.k - k * step);
    if constexpr (Policy::offset) Policy::template start_sums<cols>(to, depth);
  }
  // Rows [i, i + m) in panels of `tile` rows, `panel` elements apart.
  void pack_a(int64_t k, int64_t depth, int64_t i, int64_t m, int tile, int64_t panel, Packed* to) const {
    for (int64_t r = 0; r < m; r += tile, to += panel) {
      const int rows = int(std::min<int64_t>(tile, m - r));
      pack<Policy, kRows, In>(a + k * step * p.a.col + (i + r) * p.a.row, p.a.row, p.a.col, rows, depth, to,
                              rows, p.k - k * step);
      if constexpr (Policy::offset) Policy::add_offset(to, rows * depth);
    }
  }

  // Panels of `depth` steps that hold columns [j, j + n) of b, one behind the other. Rows of b that lie side by side are
  // read through all panels at once, and the columns to the right are called for meanwhile.
  void pack_panels(int64_t k, int64_t depth, int64_t j, int64_t n, Packed* to) const {
    const int64_t whole = step == 1 && p.b.col == 1 ? n / cols : 0;
    if constexpr (step == 1) {
      const In* from = b + k * p.b.row + j;
      for (int64_t s = 0; whole && s < depth; s++, from += p.b.row)
        for (int64_t q = 0; q < whole; q++) {
          Packed* panel = to + (q * depth + s) * cols;
#pragma GCC unroll 4
          for (int v = 0; v < cols; v += width) store(panel + v, load_as<In, Packed>(from + q * cols + v));
          __builtin_prefetch(from + (whole + q) * cols, 0, 2);
        }
    }
    for (int64_t x = whole * cols; x < n; x += cols)
      pack_b(k, depth, j + x, int(std::min<int64_t>(cols, n - x)), to + x * lines(depth));
  }
  int64_t steps() const { return ceil_div(p.k, step); }
  // Of a panel of b.
  static constexpr int64_t lines(int64_t depth) { return depth + Policy::offset; }

  // ---- threads ----

  double work() const { return double(p.m) * p.n * p.k; }
  int64_t threads() const { return p.serial ? 1 : runtime->num_threads(); }

  // body(begin, end) over n tasks that together make `work` multiplications; a thread is worth `least` of them.
  template <class Body>
  void share(int64_t n, double work, int64_t least, Body&& body) const {
    if (p.serial || work < 2.0 * least) return body(int64_t{0}, n);
    parallel_for(n, std::max<int64_t>(1, int64_t(n * (least / work))), body);
  }

  // No k at all.
  void nothing() const {
    Scratch<Acc> zeros(p.n);
    for (int64_t i = 0; i < p.m; i++) {
      std::fill(zeros.data, zeros.data + p.n, Acc(0));
      if (!accumulate) finish(zeros.data, p.n, i, 1, 0, p.n);
    }
  }
};

}  // namespace al::gemm
