// The loops around the register tile: which parts are packed, what is split over threads, how a finished tile
// is stored.
#pragma once
#include "kernel.h"
#include "simd/gemm.h"
#include "simd/gemm_pack.h"

namespace al::gemm {

// Steps of k summed in registers before they are added to c: part of the definition of the result.
constexpr int64_t kDepth = 256;
constexpr int64_t kRowBlock = 144;   // rows of a packed at once: 144 x 256 x 4 B = 144 KiB of 512 KiB L2
constexpr int64_t kColBlock = 4096;  // columns of b packed at once: 256 x 4096 x 4 B = 4 MiB of L3
// Up to so many rows b is packed panel by panel where it is used, beyond by all threads together.
constexpr int64_t kPanelRows = 192;
constexpr int64_t kSmall = 48 * 48 * 48;
constexpr int64_t kParallelWork = 1 << 20;  // multiplications worth a thread

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

  const Problem& p;
  const In *a, *b;
  Out* c;
  const Out* add;
  bool accumulate, epilogue;

  explicit Product(const Problem& problem)
      : p(problem),
        a((const In*)p.a.data),
        b((const In*)p.b.data),
        c((Out*)p.c.data),
        add((const Out*)p.add.data) {
    accumulate = in_place && add == c && p.beta == 1 && p.alpha == 1 && !p.activation;
    epilogue = !accumulate && (add || p.alpha != 1 || p.activation);
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

  // ---- tiles ----

  struct Left {
    const Packed* data;
    int64_t row, step;
    bool packed;
    int64_t panel;
    int tile;
  };  // rows of a for a row loop

  // All rows of `left` times one panel of b; n <= cols columns of c are touched.
  static void rows_by_panel(const Left& left, int64_t m, const Packed* panel, int64_t b_step, int n,
                            int64_t depth, Acc* to, int64_t ldc, bool add_to) {
    const int vecs = (n + width - 1) / width;
    TileArgs<Policy> t{depth, left.data, left.row, left.step, panel, b_step, to, ldc, add_to};
    alignas(64) Acc edge[kRows * cols];
    const bool whole = n == vecs * width;
    for (int64_t i = 0; i < m; i += left.tile) {
      const int rows = int(std::min<int64_t>(left.tile, m - i));
      t.c = whole ? to + i * ldc : edge;
      t.ldc = whole ? ldc : cols;
      t.add = whole && add_to;
      if (left.packed)
        run_tile<Policy, true>(rows, vecs, t);
      else
        run_tile<Policy, false>(rows, vecs, t);
      if (!whole) copy_edge(edge, to + i * ldc, ldc, rows, n, add_to);
      t.a += left.packed ? left.panel : left.tile * left.row;
    }
  }
  static void copy_edge(const Acc* edge, Acc* to, int64_t ldc, int rows, int n, bool add_to) {
    for (int r = 0; r < rows; r++, edge += cols, to += ldc)
      for (int x = 0; x < n; x++) to[x] = add_to ? to[x] + edge[x] : edge[x];
  }
  static int tile_rows(int64_t m) { return int(ceil_div(m, ceil_div(m, kRows))); }

  // ---- packing ----

  void pack_b(int64_t k, int64_t depth, int64_t j, int n, Packed* to) const {
    pack<Policy, cols, In>(b + k * step * p.b.row + j * p.b.col, p.b.col, p.b.row, n, depth, to, cols,
                           p.k - k * step);
  }
  // Rows [i, i + m) in panels of `tile` rows, `panel` elements apart.
  void pack_a(int64_t k, int64_t depth, int64_t i, int64_t m, int tile, int64_t panel, Packed* to) const {
    for (int64_t r = 0; r < m; r += tile, to += panel) {
      const int rows = int(std::min<int64_t>(tile, m - r));
      pack<Policy, kRows, In>(a + k * step * p.a.col + (i + r) * p.a.row, p.a.row, p.a.col, rows, depth, to,
                              rows, p.k - k * step);
    }
  }
  int64_t steps() const { return ceil_div(p.k, step); }

  // body(begin, end) over n tasks that together make `work` multiplications.
  template <class Body>
  void share(int64_t n, Body&& body) const {
    const double work = double(p.m) * p.n * p.k;
    if (p.serial || work < 2.0 * kParallelWork) return body(int64_t{0}, n);
    parallel_for(n, std::max<int64_t>(1, int64_t(n * (kParallelWork / work))), body);
  }

  // ---- the roads ----

  void run() const {
    if (p.m == 0 || p.n == 0) return;
    if (p.k == 0) return nothing();
    const double work = double(p.m) * p.n * p.k;
    if (raw && work <= kSmall && steps() <= kDepth && in_place) return small();
    if (p.m <= 4 && p.b.col == 1 && p.n >= 2 * width && step == 1) return stream_rows();
    if (p.m <= kPanelRows) return by_panels();
    by_blocks();
  }

  void nothing() const {
    Scratch<Acc> zeros(p.n);
    for (int64_t i = 0; i < p.m; i++) {
      std::fill(zeros.data, zeros.data + p.n, Acc(0));
      if (!accumulate) finish(zeros.data, p.n, i, 1, 0, p.n);
    }
  }

  // Operands read where they lie; only a transposed or cut panel of b is packed, on the stack.
  void small() const {
    if constexpr (raw && in_place) {
      alignas(64) Packed panel[kDepth * cols];
      const int64_t depth = p.k;
      const Left left{(const Packed*)a, p.a.row, p.a.col, false, 0, tile_rows(p.m)};
      for (int64_t j = 0; j < p.n; j += cols) {
        const int n = int(std::min<int64_t>(cols, p.n - j));
        const bool direct = p.b.col == 1 && n % width == 0;
        if (!direct) pack_b(0, depth, j, n, panel);
        rows_by_panel(left, p.m, direct ? (const Packed*)b + j : panel, direct ? p.b.row : cols, n, depth,
                      (Acc*)c + j, p.c.row, accumulate);
        if (epilogue) finish((Acc*)c + j, p.c.row, 0, p.m, j, n);
      }
    }
  }

  // A few rows of a: one pass over the rows of b, sums in a strip that stays in L1.
  void stream_rows() const {
    if constexpr (step == 1) {
      const int64_t threads = p.serial ? 1 : runtime->num_threads();
      const int64_t strip = std::min<int64_t>(1024, ceil_div(ceil_div(p.n, threads), 64) * 64);
      share(ceil_div(p.n, strip), [&](int64_t begin, int64_t end) {
        alignas(64) Acc sum[4 * 1024], total[4 * 1024];
        for (int64_t s = begin; s < end; s++) {
          const int64_t j = s * strip, n = std::min(strip, p.n - j);
          if (accumulate) load_strip(total, strip, j, n);
          for (int64_t k = 0; k < p.k; k += kDepth) {
            std::fill(sum, sum + p.m * strip, Acc(0));
            stream_block(sum, strip, j, n, k, std::min(p.k, k + kDepth));
            const bool keep = accumulate || k > 0;
            for (int64_t x = 0; x < p.m * strip; x++) total[x] = keep ? total[x] + sum[x] : sum[x];
          }
          finish(total, strip, 0, p.m, j, n);
        }
      });
    }
  }
  void load_strip(Acc* total, int64_t strip, int64_t j, int64_t n) const {
    for (int64_t i = 0; i < p.m; i++)
      for (int64_t x = 0; x < n; x++) total[i * strip + x] = Acc(to_compute(c[i * p.c.row + j + x]));
  }
  void stream_block(Acc* sum, int64_t strip, int64_t j, int64_t n, int64_t k, int64_t end) const {
    const int64_t ld = p.b.row;
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
    int64_t v = 0;
    for (; v + width <= n; v += width) {
      Vec<Acc> t = load(s + v);
      t = Policy::apply(y[0], load_as<In, Packed>(x + v), t);
      t = Policy::apply(y[1], load_as<In, Packed>(x1 + v), t);
      t = Policy::apply(y[2], load_as<In, Packed>(x2 + v), t);
      t = Policy::apply(y[3], load_as<In, Packed>(x3 + v), t);
      store(s + v, t);
      if (v % (64 / int64_t(sizeof(In))) == 0)
        for (int q = 4; q < 8; q++) __builtin_prefetch(x + q * ld + v);
    }
    if (v < n) {
      stream_one(s + v, x + v, n - v, y[0]);
      stream_one(s + v, x1 + v, n - v, y[1]);
      stream_one(s + v, x2 + v, n - v, y[2]);
      stream_one(s + v, x3 + v, n - v, y[3]);
    }
  }

  // Up to kPanelRows rows: a is packed once; every task packs the panels of b it multiplies.
  void by_panels() const {
    const int tile = tile_rows(p.m);
    const int64_t tiles = ceil_div(p.m, tile), blocks = ceil_div(steps(), kDepth),
                  panel = kDepth * tile + kSlack;
    Scratch<Packed> left(blocks * tiles * panel);
    share(blocks, [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; k++)
        pack_a(k * kDepth, std::min(kDepth, steps() - k * kDepth), 0, p.m, tile, panel,
               left.data + k * tiles * panel);
    });
    const int64_t panels = ceil_div(p.n, cols), threads = p.serial ? 1 : runtime->num_threads();
    const int64_t group = std::clamp<int64_t>(panels / (threads * 4), 1, 16);
    share(ceil_div(panels, group), [&](int64_t begin, int64_t end) {
      alignas(64) Packed right[kDepth * cols];
      Scratch<Acc> sums(in_place ? 0 : p.m * group * cols);
      for (int64_t g = begin; g < end; g++) {
        const int64_t j = g * group * cols, n = std::min(p.n - j, group * cols);
        Acc* to = in_place ? (Acc*)c + j : sums.data;
        const int64_t ldc = in_place ? p.c.row : group * cols;
        for (int64_t k = 0; k < blocks; k++) {
          const int64_t depth = std::min(kDepth, steps() - k * kDepth);
          const Left rows{left.data + k * tiles * panel, 0, 0, true, panel, tile};
          for (int64_t x = 0; x < n; x += cols) {
            const int some = int(std::min<int64_t>(cols, n - x));
            pack_b(k * kDepth, depth, j + x, some, right);
            rows_by_panel(rows, p.m, right, cols, some, depth, to + x, ldc, accumulate || k > 0);
          }
        }
        if (epilogue || !in_place) finish(to, ldc, 0, p.m, j, n);
      }
    });
  }

  // Many rows: a block of b is packed by all threads, then each takes blocks of rows.
  void by_blocks() const {
    const int64_t threads = p.serial ? 1 : runtime->num_threads();
    const int64_t width_n = std::min(ceil_div(p.n, cols) * cols, kColBlock);
    Scratch<Packed> right(kDepth * width_n);
    Scratch<Acc> sums(in_place ? 0 : p.m * width_n);
    int64_t row_blocks = ceil_div(ceil_div(p.m, kRowBlock), threads) * threads;
    const int64_t block = ceil_div(ceil_div(p.m, row_blocks), kRows) * kRows;
    row_blocks = ceil_div(p.m, block);
    for (int64_t j = 0; j < p.n; j += width_n) {
      const int64_t n = std::min(width_n, p.n - j), panels = ceil_div(n, cols);
      Acc* to = in_place ? (Acc*)c + j : sums.data;
      const int64_t ldc = in_place ? p.c.row : width_n;
      for (int64_t k = 0; k < steps(); k += kDepth) {
        const int64_t depth = std::min(kDepth, steps() - k);
        share(panels, [&](int64_t begin, int64_t end) {
          for (int64_t q = begin; q < end; q++)
            pack_b(k, depth, j + q * cols, int(std::min<int64_t>(cols, n - q * cols)),
                   right.data + q * cols * depth);
        });
        const bool last = k + depth == steps();
        share(row_blocks, [&](int64_t begin, int64_t end) {
          block_rows(begin, end, block, j, n, k, depth, right.data, to, ldc, last);
        });
      }
    }
  }
  void block_rows(int64_t begin, int64_t end, int64_t block, int64_t j, int64_t n, int64_t k, int64_t depth,
                  const Packed* right, Acc* to, int64_t ldc, bool last) const {
    Scratch<Packed> left((block / kRows + 1) * (kDepth * kRows + kSlack));
    for (int64_t q = begin; q < end; q++) {
      const int64_t i = q * block, m = std::min(block, p.m - i), panel = depth * kRows + kSlack;
      const int tile = tile_rows(m);
      pack_a(k, depth, i, m, tile, panel, left.data);
      const Left rows{left.data, 0, 0, true, panel, tile};
      for (int64_t x = 0; x < n; x += cols) {
        const int some = int(std::min<int64_t>(cols, n - x));
        rows_by_panel(rows, m, right + x * depth, cols, some, depth, to + i * ldc + x, ldc,
                      accumulate || k > 0);
      }
      if (last && (epilogue || !in_place)) finish(to + i * ldc, ldc, i, m, j, n);
    }
  }
};

}  // namespace al::gemm
