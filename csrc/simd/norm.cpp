// layer_norm and rms_norm over the last n elements: forward a row at a time, in L1; backward some rows at a time, in L2, so that weights
// and the sums of their gradients are loaded once for all of them. These sums are taken per block of rows, which depend on the shape only.
#include <cmath>

#include "rows.h"

namespace al {
namespace {

constexpr int64_t kMaxBlocks = 64;  // of rows, each with its own partial sums of the weight's gradient
constexpr int64_t kMinBlockRows = 16;

// A whole 1-d operand as the compute type, or null.
template <class A> struct Operand {
  Scratch<A> copy;
  const A* data = nullptr;
  explicit Operand(const View* v) : copy(v && v->dtype != dtype_of<A> ? numel(*v) : 0) {
    if (!v) return;
    if (copy.data) reduce::loader<A>(v->dtype)(v->data, 1, copy.data, numel(*v));
    data = copy.data ? copy.data : ptr<A>(*v);
  }
};

// A place in memory that is asked for while others are worked on, a line with every vector: memory drops what it is asked for faster than
// it answers.
struct Next {
  const char* from;
  int64_t item;  // bytes of an element

  void ask(int64_t i) const { __builtin_prefetch(from + i * item, 0, 2); }
  Next after(int64_t n) const { return {from + n * item, item}; }
};
// The row after x, where both fit the near cache; otherwise the row itself.
template <class T> Next row_after(const T* x, int64_t n) {
  const T* next = next_row(x, n);
  return {(const char*)(next ? next : x), sizeof(T)};
}

template <class A> struct Scaling {
  A mean, rstd;
  const A *weight, *bias;

  template <bool kWeight, bool kBias, bool kStreams> void run_as(const A* x, A* y, int64_t first, int64_t n, Next next) const {
    const A centre = mean, scale = rstd, *w = kWeight ? weight + first : weight, *b = kBias ? bias + first : bias;
    reduce::sweep<A>(n, [=]<class V>(int64_t i, Type<V>) {
      next.ask(i);
      V v = (reduce::get<V>(x + i) - centre) * scale;
      if constexpr (kWeight) v = v * reduce::get<V>(w + i);
      if constexpr (kBias) v = v + reduce::get<V>(b + i);
      put<kStreams>(y + i, v);
    });
  }
  // Elements [first, first + n) of a row.
  template <bool kStreams> void run(const A* x, A* y, int64_t first, int64_t n, Next next) const {
    if (weight && bias) run_as<true, true, kStreams>(x, y, first, n, next);
    else if (weight) run_as<true, false, kStreams>(x, y, first, n, next);
    else if (bias) run_as<false, true, kStreams>(x, y, first, n, next);
    else run_as<false, false, kStreams>(x, y, first, n, next);
  }
};

// What the forward pass of all rows shares.
template <class T> struct Forward {
  using A = compute_t<T>;
  int64_t n;
  bool centred, streams;
  A eps;
  const T* x;
  T* y;
  const A *weight, *bias;
  A *mean, *rstd;

  int64_t stage_items() const { return stage_size<T>(rows_together(n) * n); }
  void rows(int64_t begin, int64_t end, A* stage) const {
    const int64_t step = rows_together(n);
    for (int64_t r = begin; r < end; r += step) some(r, std::min(step, end - r), stage);
    stream::fence();
  }

  void some(int64_t first, int64_t count, A* stage) const {
    const A* in = stage_row(x + first * n, stage, count * n);
    A centres[kRowsTogether] = {}, scales[kRowsTogether] = {};
    for (int64_t r = 0; centred && r < count; r++) centres[r] = reduce_row<reduce::Sum, A>(in + r * n, n);
    for (A& sum : centres) sum /= A(n);
    for (int64_t r = 0; r < count; r++) scales[r] = reduce_row<reduce::SquaredDeviations, A>(in + r * n, n, centres[r]);
    for (A& square : scales) square = A(1) / std::sqrt(square / A(n) + eps);
    for (int64_t r = 0; r < count; r++) {
      mean[first + r] = centres[r], rstd[first + r] = scales[r];
      write({centres[r], scales[r], weight, bias}, in + r * n, first + r, row_after(x + (first + r) * n, n).after((count - 1) * n));
    }
  }
  void write(const Scaling<A>& scaling, const A* in, int64_t r, Next next) const {
    T* const to = y + r * n;
    if constexpr (!is_half<T>) {
      if (!streams) return scaling.template run<false>(in, to, 0, n, next);
      if (aligned_rows(to, n)) return scaling.template run<true>(in, to, 0, n, next);
    }
    write_row(to, n, streams, [&](int64_t first, int64_t m, A* out) {
      scaling.template run<false>(in + first, out, first, m, next.after(first));
    });
  }
};

// Outputs: y, mean, 1 / deviation. Inputs: x, weight, bias. ints: row length, whether to subtract the mean;
// floats: eps.
void norm_forward(const Call& c) {
  const View &y = *c.views[0], &x = *c.views[3];
  int64_t n = c.ints[0], rows = n ? numel(x) / n : 0;
  dispatch_floats(x.dtype, [&]<class T>(Type<T>) {
    using A = compute_t<T>;
    Operand<A> weight(c.views[4]), bias(c.views[5]);
    const Forward<T> pass{n, bool(c.ints[1]), stream::pays(numel(y) * sizeof(T)), A(c.floats[0]), ptr<T>(x), ptr<T>(y), weight.data, bias.data,
                          ptr<A>(*c.views[1]), ptr<A>(*c.views[2])};
    for_rows(rows, n, [&](int64_t b, int64_t e) {
      Scratch<A> stage(pass.stage_items());
      pass.rows(b, e, stage.data);
    });
  });
}

// One row of the backward pass: the gradient and the input, and the two sums over the row that its gradient needs.
template <class A> struct RowGradient {
  const A *g, *x;
  A mean, rstd, shift = 0, slope = 0;

  // With u = (x - mean) * rstd and s = g * weight: the means of s, where rows are centred, and of s * u.
  void add_up(int64_t n, bool centred, const A* weight) {
    using reduce::kBlock;
    reduce::Tree<reduce::Sum, A> shifts, slopes;
    for (int64_t b = 0; b < n; b += kBlock) {
      A sums[2] = {};
      add_up_block(g + b, x + b, weight ? weight + b : nullptr, std::min(kBlock, n - b), sums);
      shifts.add(sums[0]), slopes.add(sums[1]);
    }
    shift = centred ? shifts.result(A(0)) / A(n) : A(0);
    slope = slopes.result(A(0)) / A(n);
  }
  void add_up_block(const A* gs, const A* xs, const A* weight, int64_t n, A* sums) const {
    constexpr int W = Lanes<A>::width, K = 4;
    Vec<A> total[2][K] = {};
    const Vec<A> centre = splat(mean), scale = splat(rstd);
    const auto add = [&](int k, int64_t i) {
      const Vec<A> from = load(gs + i), s = weight ? from * load(weight + i) : from;
      total[0][k] += s;
      total[1][k] += s * ((load(xs + i) - centre) * scale);
    };
    int64_t i = 0;
    for (; i + K * W <= n; i += K * W) AL_EACH(k) add(k, i + k * W);
    AL_EACH(k) if (k < K - 1 && i + W <= n) add(k, i), i += W;
    for (int t = 0; t < 2; t++) sums[t] = reduce::combine_lanes<reduce::Sum>((total[t][0] + total[t][1]) + (total[t][2] + total[t][3]));
    for (; i < n; i++) {
      const A s = weight ? gs[i] * weight[i] : gs[i];
      sums[0] += s;
      sums[1] += s * ((xs[i] - mean) * rstd);
    }
  }
};

// Several rows of the backward pass, one behind the other: their second step.
template <int kRows, class A> struct RowsGradient {
  const RowGradient<A>* row;
  const A* weight;
  A *dweight, *dbias;

  // Elements [first, first + n) of each row: adds to the partial sums of weight and bias, where these are wanted, and writes dx, rows of
  // which lie `pitch` apart.
  template <bool kWeight, bool kDWeight, bool kDBias, bool kStreams> void write_as(int64_t first, int64_t n, A* dx, int64_t pitch) const {
    const A* w = kWeight ? weight + first : weight;
    A *dw = kDWeight ? dweight + first : dweight, *db = kDBias ? dbias + first : dbias;
    const A *gs = row->g + first, *xs = row->x + first;
    const int64_t length = kRows > 1 ? row[kRows - 1].g - row[kRows - 2].g : 0;
    A centre[kRows], scale[kRows], level[kRows], tilt[kRows];
    for (int r = 0; r < kRows; r++) centre[r] = row[r].mean, scale[r] = row[r].rstd, level[r] = row[r].shift, tilt[r] = row[r].slope;
    reduce::sweep<A>(n, [=]<class V>(int64_t i, Type<V>) {
      using reduce::get;
      V to_weight{}, to_bias{}, factor{};
      if constexpr (kDWeight) to_weight = get<V>(dw + i);
      if constexpr (kDBias) to_bias = get<V>(db + i);
      if constexpr (kWeight) factor = get<V>(w + i);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; r++) {
        const V from = get<V>(gs + r * length + i), u = (get<V>(xs + r * length + i) - centre[r]) * scale[r];
        if constexpr (kDWeight) to_weight = to_weight + from * u;
        if constexpr (kDBias) to_bias = to_bias + from;
        V s = from;
        if constexpr (kWeight) s = s * factor;
        put<kStreams>(dx + r * pitch + i, (s - level[r] - u * tilt[r]) * scale[r]);
      }
      if constexpr (kDWeight) reduce::put<V>(dw + i, to_weight);
      if constexpr (kDBias) reduce::put<V>(db + i, to_bias);
    });
  }
  template <bool kStreams> auto writer() const {
    using Rows = RowsGradient;
    if (!weight) return dbias ? &Rows::write_as<false, false, true, kStreams> : &Rows::write_as<false, false, false, kStreams>;
    if (!dweight) return dbias ? &Rows::write_as<true, false, true, kStreams> : &Rows::write_as<true, false, false, kStreams>;
    return dbias ? &Rows::write_as<true, true, true, kStreams> : &Rows::write_as<true, true, false, kStreams>;
  }
};

// partial: blocks x n. Sums the blocks in order, a vector of columns at a time.
template <class A> void sum_blocks(const View& out, const A* partial, int64_t blocks, int64_t n) {
  constexpr int64_t W = Lanes<A>::width;
  if (!numel(out)) return;
  auto put = reduce::storer<A>(out.dtype);
  const auto sum = [=]<class V>(int64_t j, Type<V>) {
    reduce::Tree<reduce::Sum, V> tree;
    for (int64_t k = 0; k < blocks; k++) tree.add(reduce::get<V>(partial + k * n + j));
    return tree.result(V{});
  };
  parallel_for((n + W - 1) / W, std::max<int64_t>(1, reduce::kGrain / std::max<int64_t>(1, W * blocks)), [&](int64_t b, int64_t e) {
    for (int64_t j = b * W; j < std::min(n, e * W); j += W) {
      const int64_t w = std::min(W, n - j);
      A sums[W];
      if (w == W) store(sums, sum(j, Type<Vec<A>>{}));
      else for (int64_t l = 0; l < w; l++) sums[l] = sum(j + l, Type<A>{});
      for (int64_t l = 0; l < w; l++) put(sums[l], out.data, j + l);
    }
  });
}

// What the backward pass of all rows shares. dweight and dbias may be null.
template <class T> struct Backward {
  using A = compute_t<T>;
  static constexpr int64_t kFirstCache = 32 << 10;  // bytes
  static constexpr int64_t kColumns = 512;          // of all rows that are worked on together: for these weights and sums stay in L1
  int64_t n;
  bool centred, streams;
  const T *g, *x;
  T* dx;
  const A *weight, *mean, *rstd;

  // Rows that are read again from a near cache: from the first one, where they fit it beside all sums.
  int64_t together() const {
    const int64_t bytes = n * int64_t(sizeof(A));
    if (5 * bytes <= kFirstCache) return rows_together(n);
    return is_half<T> ? 1 : std::clamp<int64_t>(kNearBytes / 2 / (2 * bytes), 1, kRowsTogether);
  }
  int64_t stage_items() const { return 2 * stage_size<T>(together() * n); }
  void rows(int64_t begin, int64_t end, A* dweight, A* dbias, A* stage) const {
    const int64_t step = together();
    for (int64_t r = begin; r < end; r += step) some(r, std::min(step, end - r), dweight, dbias, stage);
    stream::fence();
  }

  void some(int64_t first, int64_t count, A* dweight, A* dbias, A* stage) const {
    const A *gs = stage_row(g + first * n, stage, count * n), *xs = stage_row(x + first * n, stage + stage_size<T>(count * n), count * n);
    RowGradient<A> row[kRowsTogether];
    for (int64_t r = 0; r < count; r++) {
      row[r] = {gs + r * n, xs + r * n, mean[first + r], rstd[first + r]};
      row[r].add_up(n, centred, weight);
    }
    for (int64_t b = 0; b < n; b += kColumns) {
      const int64_t m = std::min(kColumns, n - b);
      int64_t r = 0;
      for (; !streams && r + 4 <= count; r += 4) write(RowsGradient<4, A>{row + r, weight, dweight, dbias}, b, m, first + r);
      for (; r < count; r++) write(RowsGradient<1, A>{row + r, weight, dweight, dbias}, b, m, first + r);
    }
  }
  // Elements [b, b + m) of the rows from r on.
  template <int kRows> void write(const RowsGradient<kRows, A>& rows, int64_t b, int64_t m, int64_t r) const {
    T* const to = dx + r * n + b;
    if constexpr (!is_half<T>) {
      if (!streams) return (rows.*rows.template writer<false>())(b, m, to, n);
      if (aligned_rows(dx, n)) return (rows.*rows.template writer<true>())(b, m, to, n);
    }
    alignas(64) A block[kRows * kColumns];
    (rows.*rows.template writer<false>())(b, m, block, kColumns);
    for (int k = 0; k < kRows; k++) store_block(block + k * kColumns, to + k * n, m, streams);
  }
};

// Outputs: dx, dweight, dbias (empty if not wanted). Inputs: g, x, weight, mean, 1 / deviation.
void norm_backward(const Call& c) {
  const View &dx = *c.views[0], &g = *c.views[3], &x = *c.views[4];
  int64_t n = c.ints[0], rows = n ? numel(x) / n : 0;
  int64_t per_block = std::max(kMinBlockRows, (rows + kMaxBlocks - 1) / kMaxBlocks);
  int64_t blocks = (rows + per_block - 1) / per_block;
  bool wants_weight = numel(*c.views[1]), wants_bias = numel(*c.views[2]);
  dispatch_floats(x.dtype, [&]<class T>(Type<T>) {
    using A = compute_t<T>;
    Operand<A> weight(c.views[5]);
    const Backward<T> pass{n, bool(c.ints[1]), stream::pays(numel(x) * sizeof(T)), ptr<T>(g), ptr<T>(x), ptr<T>(dx), weight.data,
                           ptr<A>(*c.views[6]), ptr<A>(*c.views[7])};
    Scratch<A> dweight(wants_weight ? blocks * n : 0), dbias(wants_bias ? blocks * n : 0);
    for_rows(blocks, per_block * n, [&](int64_t b, int64_t e) {
      Scratch<A> stage(pass.stage_items());
      for (int64_t k = b; k < e; k++) {
        A *dw = wants_weight ? dweight.data + k * n : nullptr, *db = wants_bias ? dbias.data + k * n : nullptr;
        if (dw) std::fill(dw, dw + n, A(0));
        if (db) std::fill(db, db + n, A(0));
        pass.rows(k * per_block, std::min(rows, (k + 1) * per_block), dw, db, stage.data);
      }
    });
    sum_blocks(*c.views[1], dweight.data, blocks, n);
    sum_blocks(*c.views[2], dbias.data, blocks, n);
  });
}

AL_KERNEL("row_norm", norm_forward);
AL_KERNEL("row_norm_backward", norm_backward);

}  // namespace
}  // namespace al
