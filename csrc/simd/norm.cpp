// layer_norm and rms_norm over the last n elements: forward in one pass over a row in L1, backward in one
// pass over the gradient, with the gradients of weight and bias summed per block of rows. Blocks depend on
// the shape only.
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
  const A* from(int64_t first) const { return data ? data + first : nullptr; }
};

template <class A> void scale_row(const A* x, A* y, int64_t n, A mean, A rstd, const A* weight,
                                  const A* bias) {
  if (weight && bias) {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * rstd * weight[i] + bias[i];
  } else if (weight) {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * rstd * weight[i];
  } else {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * rstd + (bias ? bias[i] : A(0));
  }
}

// Outputs: y, mean, 1 / deviation. Inputs: x, weight, bias. ints: row length, whether to subtract the mean;
// floats: eps.
void norm_forward(const Call& c) {
  const View &y = *c.views[0], &means = *c.views[1], &rstds = *c.views[2], &x = *c.views[3];
  int64_t n = c.ints[0], rows = n ? numel(x) / n : 0;
  bool centred = c.ints[1];
  double eps = c.floats[0];
  dispatch_floats(x.dtype, [&]<class T>(Type<T>) {
    using A = compute_t<T>;
    Operand<A> weight(c.views[4]), bias(c.views[5]);
    const bool streams = stream::pays(numel(y) * sizeof(T));
    parallel_for(rows, row_grain(n), [&](int64_t b, int64_t e) {
      Scratch<A> buffer(stage_size<T>(n));
      for (int64_t r = b; r < e; r++) {
        const A* in = stage_row(ptr<T>(x) + r * n, buffer.data, n);
        A mean = centred ? reduce_row<reduce::Sum, A>(in, n) / A(n) : A(0);
        A square = reduce_row<reduce::SquaredDeviations, A>(in, n, mean) / A(n);
        A rstd = A(1) / std::sqrt(square + A(eps));
        ptr<A>(means)[r] = mean;
        ptr<A>(rstds)[r] = rstd;
        const T* next = next_row(ptr<T>(x) + r * n, n);
        write_row(ptr<T>(y) + r * n, n, streams, [&](int64_t first, int64_t m, A* out) {
          ask_row(next, first, m);
          scale_row(in + first, out, m, mean, rstd, weight.from(first), bias.from(first));
        });
      }
      stream::fence();
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
    int64_t i = 0;
    for (; i + K * W <= n; i += K * W) AL_EACH(k) {
        const Vec<A> from = load(gs + i + k * W), s = weight ? from * load(weight + i + k * W) : from;
        total[0][k] += s;
        total[1][k] += s * ((load(xs + i + k * W) - centre) * scale);
      }
    for (int t = 0; t < 2; t++) {
      A lanes[W];
      store(lanes, (total[t][0] + total[t][1]) + (total[t][2] + total[t][3]));
      for (int half = W / 2; half; half /= 2)
        for (int k = 0; k < half; k++) lanes[k] += lanes[k + half];
      sums[t] = lanes[0];
    }
    for (; i < n; i++) {
      const A s = weight ? gs[i] * weight[i] : gs[i];
      sums[0] += s;
      sums[1] += s * ((xs[i] - mean) * rstd);
    }
  }
  // Elements [first, first + n): adds to the partial sums of weight and bias, where these are wanted, and writes dx.
  template <bool kWeight, bool kDWeight, bool kDBias> void write_as(int64_t first, int64_t n, const A* weight, A* dweight, A* dbias, A* dx) const {
    const A *gs = g + first, *xs = x + first, centre = mean, scale = rstd, level = shift, tilt = slope;
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) {
      const A u = (xs[i] - centre) * scale;
      if constexpr (kDWeight) dweight[first + i] += gs[i] * u;
      if constexpr (kDBias) dbias[first + i] += gs[i];
      const A s = kWeight ? gs[i] * weight[first + i] : gs[i];
      dx[i] = scale * (s - level - u * tilt);
    }
  }
  auto writer(bool weight, bool dweight, bool dbias) const {
    if (!weight) return dbias ? &RowGradient::write_as<false, false, true> : &RowGradient::write_as<false, false, false>;
    if (!dweight) return dbias ? &RowGradient::write_as<true, false, true> : &RowGradient::write_as<true, false, false>;
    return dbias ? &RowGradient::write_as<true, true, true> : &RowGradient::write_as<true, true, false>;
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

// What the backward pass of some rows shares. dweight and dbias may be null.
template <class T> struct Backward {
  using A = compute_t<T>;
  int64_t n;
  bool centred, streams;
  const T *g, *x;
  T* dx;
  const A *weight, *mean, *rstd;

  void rows(int64_t begin, int64_t end, A* dweight, A* dbias, A* stage) const {
    using reduce::kBlock;
    alignas(64) A block[kBlock];
    for (int64_t r = begin; r < end; r++) {
      const int64_t at = r * n;
      RowGradient<A> row{stage_row(g + at, stage, n), stage_row(x + at, stage + stage_size<T>(n), n), mean[r], rstd[r]};
      row.add_up(n, centred, weight);
      const auto write = row.writer(weight, dweight, dbias);
      const T *next_g = next_row(g + at, n), *next_x = next_row(x + at, n);
      for (int64_t b = 0; b < n; b += kBlock) {
        const int64_t m = std::min(kBlock, n - b);
        T* to = dx + at + b;
        A* out = streams ? block : result_row(to, block);
        ask_row(next_g, b, m), ask_row(next_x, b, m);
        (row.*write)(b, m, weight, dweight, dbias, out);
        if ((void*)out != (void*)to) store_block(out, to, m, streams);
      }
    }
    stream::fence();
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
    parallel_for(blocks, std::max<int64_t>(1, reduce::kGrain / std::max<int64_t>(1, per_block * n)), [&](int64_t b, int64_t e) {
      Scratch<A> stage(2 * stage_size<T>(n));
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
