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
    parallel_for(rows, row_grain(n), [&](int64_t b, int64_t e) {
      Scratch<A> buffer(stage_size<T>(n));
      for (int64_t r = b; r < e; r++) {
        const A* in = stage_row(ptr<T>(x) + r * n, buffer.data, n);
        T* to = ptr<T>(y) + r * n;
        A* out = result_row(to, buffer.data);
        A mean = centred ? reduce_row<reduce::Sum, A>(in, n) / A(n) : A(0);
        A square = reduce_row<reduce::SquaredDeviations, A>(in, n, mean) / A(n);
        A rstd = A(1) / std::sqrt(square + A(eps));
        ptr<A>(means)[r] = mean;
        ptr<A>(rstds)[r] = rstd;
        scale_row(in, out, n, mean, rstd, weight.data, bias.data);
        store_row(out, to, n);
      }
    });
  });
}

// One row of the backward pass: adds to the partial sums of weight and bias, writes dx.
template <class A> struct RowGradient {
  int64_t n;
  bool centred;
  const A* weight;
  A *unit, *scaled;  // the normalised row, and the gradient times the weight

  void run(const A* g, const A* x, A* dx, A mean, A rstd, A* dweight, A* dbias) const {
    A *u = unit, *s = scaled;
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) {
      u[i] = (x[i] - mean) * rstd;
      s[i] = weight ? g[i] * weight[i] : g[i];
    }
    if (dweight) {
#pragma GCC ivdep
      for (int64_t i = 0; i < n; i++) dweight[i] += g[i] * u[i];
    }
    if (dbias) {
#pragma GCC ivdep
      for (int64_t i = 0; i < n; i++) dbias[i] += g[i];
    }
    A shift = centred ? reduce_row<reduce::Sum, A>(s, n) / A(n) : A(0);
    A slope = dot_row(s, u, n) / A(n);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) dx[i] = rstd * (s[i] - shift - u[i] * slope);
  }
};

// partial: blocks x n. Sums the blocks in order.
template <class A> void sum_blocks(const View& out, const A* partial, int64_t blocks, int64_t n) {
  if (!numel(out)) return;
  auto put = reduce::storer<A>(out.dtype);
  parallel_for(n, reduce::kGrain / std::max<int64_t>(1, blocks), [&](int64_t b, int64_t e) {
    for (int64_t j = b; j < e; j++) {
      reduce::Tree<reduce::Sum, A> tree;
      for (int64_t k = 0; k < blocks; k++) tree.add(partial[k * n + j]);
      put(tree.result(A(0)), out.data, j);
    }
  });
}

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
    const A *mean = ptr<A>(*c.views[6]), *rstd = ptr<A>(*c.views[7]);
    Scratch<A> dweight(wants_weight ? blocks * n : 0), dbias(wants_bias ? blocks * n : 0);
    int64_t padded = (n + 63) / 64 * 64;
    parallel_for(blocks, std::max<int64_t>(1, reduce::kGrain / std::max<int64_t>(1, per_block * n)),
                 [&](int64_t b, int64_t e) {
                   Scratch<A> buffer(2 * padded + 3 * stage_size<T>(n));
                   A *stage = buffer.data + 2 * padded, *stage_x = stage + stage_size<T>(n),
                     *stage_d = stage_x + stage_size<T>(n);
                   RowGradient<A> row{n, bool(c.ints[1]), weight.data, buffer.data, buffer.data + padded};
                   for (int64_t k = b; k < e; k++) {
                     A *dw = wants_weight ? dweight.data + k * n : nullptr,
                       *db = wants_bias ? dbias.data + k * n : nullptr;
                     if (dw) std::fill(dw, dw + n, A(0));
                     if (db) std::fill(db, db + n, A(0));
                     for (int64_t r = k * per_block; r < std::min(rows, (k + 1) * per_block); r++) {
                       T* to = ptr<T>(dx) + r * n;
                       A* out = result_row(to, stage_d);
                       row.run(stage_row(ptr<T>(g) + r * n, stage, n),
                               stage_row(ptr<T>(x) + r * n, stage_x, n), out, mean[r], rstd[r], dw, db);
                       store_row(out, to, n);
                     }
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
