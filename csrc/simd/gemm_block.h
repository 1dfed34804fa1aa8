// The loops around the register tile: which parts are packed, in which order tiles are computed, what is split over threads.
#pragma once
#include "simd/gemm_stream.h"

namespace al::gemm {

constexpr int64_t kStage = 2;        // blocks of k whose sums are added one after the other, while c is near
constexpr int64_t kRowBlock = 144;   // rows of a packed at once: 2 x 144 x 256 x 4 B = 288 KiB of 512 KiB L2
constexpr int64_t kColBlock = 2048;  // columns of b packed at once: 2 x 2 x 256 x 2048 x 4 B = 8 MiB of L3
constexpr int64_t kLeastColumns = 128;  // columns of a task: a block of a that is packed for them pays
constexpr int64_t kTasksPerThread = 16;  // a thread that is slower for a while is helped in small parts
constexpr int64_t kPackPanels = 4;       // panels packed at once
// Up to so many rows b is packed where it is used, beyond by all threads together; the second where every thread has some panels.
constexpr int64_t kPanelRows = 640, kWidePanelRows = 1024;
constexpr int64_t kPanelsPerThread = 4;  // enough for threads to end together
constexpr int64_t kLeastTiles = 4;       // of a task, that a panel is packed for
constexpr int64_t kSmall = 48 * 48 * 48;
constexpr int64_t kWays = 8;  // lines that L1 keeps in one place
// Bytes between rows of b, times the tiles that read them: up to so many b is read where it lies. A panel costs once what it is packed
// for, rows far apart cost every tile.
constexpr int64_t kApart = 1 << 15;
constexpr int64_t kApartRows = 2 * kPage;  // bytes between rows of a that compete in L1: up to so many, many rows are read where they lie
constexpr int64_t kLineBytes = 64;  // of a cache

template <class Policy, class In, class Out>
struct Blocks : Product<Policy, In, Out> {
  using Base = Product<Policy, In, Out>;
  using typename Base::Acc;
  using typename Base::Packed;
  using Base::a, Base::accumulate, Base::add, Base::b, Base::bias, Base::c, Base::cols, Base::epilogue, Base::in_place, Base::p;
  using Base::raw, Base::raw_rows, Base::share, Base::step, Base::steps, Base::width;
  using Base::Base;

  void run() const {
    if (raw && this->work() <= kSmall && steps() <= kDepth && in_place) return small();
    if (p.m <= (ceil_div(p.n, cols) >= kPanelsPerThread * this->threads() ? kWidePanelRows : kPanelRows)) return by_panels();
    by_blocks();
  }

  // ---- tiles ----

  // Rows of a for a row loop; next: elements from a tile of them to the next one.
  struct Left {
    const Packed* data;
    Reads reads;
    int64_t row, step, next;
    int tile;
  };
  // Columns of b: their first panel, elements from a step to the next, from a panel to the next.
  struct Right {
    const Packed* data;
    int64_t step, panel;
  };

  static Left packed_left(const Packed* data, int64_t panel, int tile) { return {data, Reads::kPanel, 1, tile, panel, tile}; }
  static Right packed_right(const Packed* data, int64_t depth) { return {data, cols, Base::lines(depth) * cols}; }
  // Where they lie, rows from i and steps from k.
  Left left_at(int64_t i, int64_t k, int tile) const {
    const auto* data = (const Packed*)(a + i * p.a.row + k * step * p.a.col);
    if (raw && p.a.row == 1) return {data, Reads::kColumns, 1, p.a.col, tile, tile};
    return {data, Reads::kRows, p.a.row / step, step == 1 ? p.a.col : 1, tile * (p.a.row / step), tile};
  }
  Right right_at(int64_t k, int64_t j) const { return {(const Packed*)b + k * p.b.row + j, p.b.row, cols}; }

  static bool crowded(int64_t stride, int64_t period) { return stride * int64_t(sizeof(In)) % period == 0; }
  // Whether tiles read a where it lies: rows of whole steps, columns unless their lines compete for few places of a cache.
  bool left_in_place() const {
    if (raw && p.a.row == 1) return !crowded(p.a.col, 2 * kPage);
    if (!raw_rows || p.a.col != 1 || (crowded(p.a.row, kPage) && p.a.row * int64_t(sizeof(In)) > kApartRows && p.m > kWidePanelRows)) return false;
    return raw || (p.a.row % step == 0 && p.k % step == 0 && uintptr_t(a) % sizeof(Packed) == 0);
  }
  bool right_in_place() const {
    return raw && p.b.col == 1 && p.n % width == 0 && p.b.row * int64_t(sizeof(In)) * ceil_div(p.m, kRows) <= kApart;
  }

  // Where sums go: added to what is there, and a bias of the columns at last, if any.
  struct Sums {
    Acc* data;
    int64_t ld;
    bool add;
    const Acc* bias;
    Sums at(int64_t i, int64_t j) const { return {data + i * ld + j, ld, add, bias ? bias + j : nullptr}; }
  };
  // A part of b that is packed next, called for while tiles are computed: runs of neighbours.
  struct Ahead {
    const char* at = nullptr;
    int64_t apart = 0, bytes = 0, runs = 0, each = 0;  // each: runs that a tile calls for

    void call() {
      for (const int64_t left = std::max<int64_t>(0, runs - each); runs > left; runs--, at += apart)
        for (int64_t x = 0; x < bytes; x += kLineBytes) __builtin_prefetch(at + x, 0, 2);
    }
  };
  Ahead ahead(int64_t k, int64_t j, int64_t n, int64_t tiles) const {
    const int64_t depth = depth_at(k) * step, item = sizeof(In);
    const char* at = (const char*)(b + k * step * p.b.row + j * p.b.col);
    if (p.b.col == 1) return {at, p.b.row * item, n * item, depth, ceil_div(depth, tiles)};
    if (p.b.row == 1) return {at, p.b.col * item, depth * item, n, ceil_div(n, tiles)};
    return {};
  }

  // All rows of `left` times one panel of b; n <= cols columns of c are touched.
  static void rows_by_panel(const Left& left, int64_t m, const Packed* panel, int64_t b_step, int n, int64_t depth, const Sums& to,
                            Ahead* next = nullptr) {
    const int vecs = (n + width - 1) / width;
    TileArgs<Policy> t{depth, left.data, left.row, left.step, panel, b_step};
    alignas(64) Acc edge[kRows * cols];
    const bool whole = n == vecs * width;
    for (int64_t i = 0; i < m; i += left.tile) {
      const int rows = int(std::min<int64_t>(left.tile, m - i));
      t.c = whole ? to.data + i * to.ld : edge;
      t.ldc = whole ? to.ld : cols;
      t.add = whole && to.add;
      t.bias = whole ? to.bias : nullptr;
      if (next) next->call();
      run(left.reads, rows, vecs, t);
      if (!whole) copy_edge(edge, to.at(i, 0), rows, n);
      t.a += left.next;
    }
  }
  // Policies that pack have no other tiles.
  static AL_INLINE void run(Reads reads, int rows, int vecs, const TileArgs<Policy>& t) {
    if (raw && reads == Reads::kColumns) return run_tile<Policy, raw ? Reads::kColumns : Reads::kPanel>(rows, vecs, t);
    if (raw_rows && reads == Reads::kRows) return run_tile<Policy, raw_rows ? Reads::kRows : Reads::kPanel>(rows, vecs, t);
    run_tile<Policy, Reads::kPanel>(rows, vecs, t);
  }
  // Panels of `right`, n columns.
  static void rows_by_panels(const Left& left, int64_t m, const Right& right, int64_t n, int64_t depth, const Sums& to, Ahead* next) {
    const Packed* panel = right.data;
    for (int64_t x = 0; x < n; x += cols, panel += right.panel)
      rows_by_panel(left, m, panel, right.step, int(std::min<int64_t>(cols, n - x)), depth, to.at(0, x), next);
  }
  static void copy_edge(const Acc* edge, const Sums& to, int rows, int n) {
    Acc* c = to.data;
    const Acc* bias = to.bias;  // not asked for in the first loop: loads from null that a mask leaves out cost more than the product of a small matrix
    for (int r = 0; r < rows; r++, edge += cols, c += to.ld) {
      for (int x = 0; x < n; x++) c[x] = to.add ? c[x] + edge[x] : edge[x];
      for (int x = 0; bias && x < n; x++) c[x] += bias[x];
    }
  }
  // Of m rows. Those that are read where they compete for a place in L1 are no more than it keeps.
  int tile_rows(int64_t m) const {
    const bool few = left_in_place() && p.a.col == 1 && crowded(p.a.row, kPage);
    return int(ceil_div(m, ceil_div(m, few ? std::min<int64_t>(kRows, kWays) : kRows)));
  }

  // ---- the roads ----

  // Operands read where they lie; only a transposed or cut panel of b is packed, on the stack.
  void small() const {
    if constexpr (raw && in_place) {
      alignas(64) Packed panel[kDepth * cols];
      const int64_t depth = p.k;
      const Left left = left_at(0, 0, tile_rows(p.m));
      for (int64_t j = 0; j < p.n; j += cols) {
        const int n = int(std::min<int64_t>(cols, p.n - j));
        const bool direct = p.b.col == 1 && n % width == 0;
        if (!direct) this->pack_b(0, depth, j, n, panel);
        const Sums all{(Acc*)c, p.c.row, accumulate, bias};
        rows_by_panel(left, p.m, direct ? (const Packed*)b + j : panel, direct ? p.b.row : cols, n, depth, all.at(0, j));
        if (epilogue) this->finish((Acc*)c + j, p.c.row, 0, p.m, j, n);
      }
    }
  }

  // Up to kPanelRows rows: every task packs the panels of b it multiplies. A left operand that can't be read where it lies is
  // packed once. Where columns are too few for the threads, tasks take some of the rows.
  void by_panels() const {
    const int tile = tile_rows(p.m);
    const int64_t tiles = ceil_div(p.m, tile), blocks = ceil_div(steps(), kDepth), panel = kDepth * tile + kSlack;
    const bool left_here = left_in_place(), right_here = right_in_place();
    Scratch<Packed> left(left_here ? 0 : blocks * tiles * panel);
    share(left_here ? 0 : blocks * tiles, this->work(), kParallelWork, [&](int64_t begin, int64_t end) {
      for (int64_t q = begin; q < end; q++) {
        const int64_t k = q / tiles * kDepth, i = q % tiles * tile;
        this->pack_a(k, depth_at(k), i, std::min<int64_t>(tile, p.m - i), tile, panel, left.data + q * panel);
      }
    });
    const int64_t panels = ceil_div(p.n, cols), wanted = this->threads() * kTasksPerThread;
    const int64_t group = std::clamp<int64_t>(panels / wanted, 1, kPackPanels) * cols, groups = ceil_div(p.n, group);
    const bool packs = blocks > 1 && !right_here;  // for every part
    const int64_t all = this->threads() == 1 ? 1 : packs ? kPanelsPerThread * this->threads() : wanted;
    const int64_t parts = std::clamp<int64_t>(all / groups, 1, packs ? ceil_div(tiles, kLeastTiles) : tiles);
    const int64_t part = ceil_div(tiles, parts);  // tiles
    share(groups * parts, this->work(), kParallelWork, [&](int64_t begin, int64_t end) {
      Scratch<Packed> right(Base::lines(kDepth) * group);
      Scratch<Acc> sums(in_place ? 0 : part * tile * group);
      int64_t held = -1;
      for (int64_t t = begin; t < end; t++) {
        const int64_t j = t / parts * group, n = std::min(p.n - j, group), first = t % parts * part, i = first * tile;
        if (i >= p.m) continue;
        const int64_t m = std::min(p.m - i, part * tile), ldc = in_place ? p.c.row : group;
        Acc* to = in_place ? (Acc*)c + i * ldc + j : sums.data;
        for (int64_t k = 0; k < blocks; k++) {
          const int64_t depth = depth_at(k * kDepth);
          if (!right_here && (held != j || blocks > 1)) this->pack_panels(k * kDepth, depth, j, n, right.data);
          held = j;
          const Left rows = left_here ? left_at(i, k * kDepth, tile) : packed_left(left.data + (k * tiles + first) * panel, panel, tile);
          const int64_t next_k = (k + 1) % blocks, next_j = next_k ? j : std::min(t + 1, end - 1) / parts * group;
          Ahead next;
          if (!right_here && (next_k || next_j != j))
            next = ahead(next_k * kDepth, next_j, std::min(p.n - next_j, group), ceil_div(m, tile) * ceil_div(n, cols));
          rows_by_panels(rows, m, right_here ? right_at(k * kDepth, j) : packed_right(right.data, depth), n, depth,
                         {to, ldc, accumulate || k > 0, bias && k + 1 == blocks ? bias + j : nullptr}, &next);
        }
        if (epilogue || !in_place) this->finish(to, ldc, i, m, j, n);
      }
    });
  }
  int64_t depth_at(int64_t k) const { return std::min(kDepth, steps() - k); }

  // A block of columns and up to kStage blocks of k: one parallel region, which also packs the part of b that the next one needs.
  struct Stage {
    int64_t j, n, k, depth;
    Packed* right;
    bool exists() const { return n > 0; }
  };
  struct Grid {
    int64_t rows, row_blocks, columns, column_blocks, tiles;  // rows and columns of a task; tasks of tiles
  };

  // Many rows.
  void by_blocks() const {
    const int64_t width_n = std::min(ceil_div(p.n, cols) * cols, kColBlock);
    Scratch<Packed> right(2 * kStage * Base::lines(kDepth) * width_n);
    Scratch<Acc> sums(in_place ? 0 : p.m * width_n);
    Packed* next_right = right.data + kStage * Base::lines(kDepth) * width_n;
    Stage stage{0, width_n > p.n ? p.n : width_n, 0, stage_at(0), right.data};
    share(parts_of(stage), this->work(), kParallelWork, [&](int64_t begin, int64_t end) {
      for (int64_t q = begin; q < end; q++) pack_part(stage, q, right.data);
    });
    while (stage.exists()) {
      const Stage next = following(stage, next_right);
      const Grid grid = make_grid(stage.n);
      const int64_t tasks = grid.tiles + parts_of(next);
      Acc* to = in_place ? (Acc*)c + stage.j : sums.data;
      const int64_t ldc = in_place ? p.c.row : width_n;
      share(tasks, double(p.m) * stage.n * stage.depth * Policy::step, kParallelWork, [&](int64_t begin, int64_t end) {
        if (begin < grid.tiles) multiply(stage, grid, begin, std::min(end, grid.tiles), to, ldc);
        for (int64_t q = std::max(begin, grid.tiles); q < end; q++)
          pack_part(next, q - grid.tiles, next.right);
      });
      next_right = stage.right;
      stage = next;
    }
  }
  int64_t stage_at(int64_t k) const { return std::min(kStage * kDepth, steps() - k); }
  Stage following(const Stage& s, Packed* right) const {
    if (s.k + s.depth < steps()) return {s.j, s.n, s.k + s.depth, stage_at(s.k + s.depth), right};
    const int64_t j = s.j + s.n;
    return {j, std::min(kColBlock, p.n - j), 0, stage_at(0), right};
  }
  // To be packed; nothing where b is read where it lies.
  int64_t parts_of(const Stage& s) const { return right_in_place() ? 0 : ceil_div(s.n, part_of(s)); }
  int64_t part_of(const Stage& s) const { return std::clamp<int64_t>(s.n / cols / (2 * this->threads()), 1, kPackPanels) * cols; }
  void pack_part(const Stage& s, int64_t part, Packed* right) const {
    const int64_t x = part * part_of(s), n = std::min(part_of(s), s.n - x);
    for (int64_t k = 0; k < s.depth; k += kDepth)
      this->pack_panels(s.k + k, std::min(kDepth, s.depth - k), s.j + x, n, panel_at(s, right, k, x));
  }
  // Panels of a block of k lie one behind the other, those of the next block behind them.
  static Packed* panel_at(const Stage& s, Packed* right, int64_t k, int64_t x) {
    return right + k / kDepth * Base::lines(kDepth) * (ceil_div(s.n, cols) * cols) + x * Base::lines(std::min(kDepth, s.depth - k));
  }
  Grid make_grid(int64_t n) const {
    const int64_t threads = this->threads();
    int64_t row_blocks = ceil_div(ceil_div(p.m, kRowBlock), threads) * threads;
    const int64_t rows = ceil_div(p.m, row_blocks);
    row_blocks = ceil_div(p.m, rows);
    const int64_t wanted = threads == 1 ? 1 : ceil_div(threads * kTasksPerThread, row_blocks);
    const int64_t columns = std::max(ceil_div(ceil_div(n, wanted), cols) * cols, std::min(n, kLeastColumns));
    const int64_t column_blocks = ceil_div(n, columns);
    return {rows, row_blocks, columns, column_blocks, row_blocks * column_blocks};
  }
  void multiply(const Stage& s, const Grid& grid, int64_t begin, int64_t end, Acc* to, int64_t ldc) const {
    const int64_t panel = kDepth * kRows + kSlack, block = (grid.rows / kRows + 1) * panel;
    Scratch<Packed> left(ceil_div(s.depth, kDepth) * block);
    const bool left_here = left_in_place(), right_here = right_in_place();
    int64_t held = -1;
    for (int64_t t = begin; t < end; t++) {
      const int64_t q = t / grid.column_blocks, i = q * grid.rows, m = std::min(grid.rows, p.m - i);
      const int64_t first = t % grid.column_blocks * grid.columns, n = std::min(grid.columns, s.n - first);
      const int tile = tile_rows(m);
      for (int64_t k = 0; !left_here && held != q && k < s.depth; k += kDepth)
        this->pack_a(s.k + k, std::min(kDepth, s.depth - k), i, m, tile, panel, left.data + k / kDepth * block);
      held = q;
      for (int64_t x = first; x < first + n; x += cols)
        for (int64_t k = 0; k < s.depth; k += kDepth) {
          const int64_t depth = std::min(kDepth, s.depth - k);
          const Left rows = left_here ? left_at(i, s.k + k, tile) : packed_left(left.data + k / kDepth * block, panel, tile);
          const Right panels = right_here ? right_at(s.k + k, s.j + x) : packed_right(panel_at(s, s.right, k, x), depth);
          const Sums sums{to, ldc, accumulate || s.k + k > 0, bias && s.k + k + depth == steps() ? bias + s.j : nullptr};
          rows_by_panel(rows, m, panels.data, panels.step, int(std::min<int64_t>(cols, first + n - x)), depth, sums.at(i, x));
        }
      if (s.k + s.depth == steps() && (epilogue || !in_place)) this->finish(to + i * ldc + first, ldc, i, m, s.j + first, n);
    }
  }
};

// The road for a product.
template <class Policy, class In, class Out>
void multiply(const Problem& p) {
  if (p.m == 0 || p.n == 0) return;
  const Stream<Policy, In, Out> few(p);
  if (p.k == 0) return few.nothing();
  if constexpr (Policy::step == 1) {
    if (p.m <= kFew && p.b.col == 1 && p.n >= 2 * few.width) return few.by_rows();
    if (p.m <= kFewColumns && p.b.row == 1) return few.by_columns();
  }
  Blocks<Policy, In, Out>(p).run();
}

}  // namespace al::gemm
