// cross_entropy of logits (N, C) and class indices: the loss in one read of the logits, keeping only
// logsumexp of each row, and the gradient in one read and one write. With label smoothing s, a row's loss is
//   (1 - s) w[t] (lse - x[t]) + s / C * sum_c w[c] (lse - x[c]).
// nll_loss of log-probabilities (N, C) is here too.
#include <cmath>

#include "rows.h"

namespace al {
namespace {

constexpr int64_t kLossBlock = 256;  // rows whose losses are summed in order before the tree

enum Reduction { kNone, kMean, kSum };  // ints[0]

// What both passes know of the call. ints: reduction, ignored index; floats: smoothing.
template <class A> struct Targets {
  const int64_t* target;
  const View* weights;
  int64_t rows, classes, ignored;
  A smoothing;
  reduce::LoadFn<A> load;

  Targets(const Call& c, const View& x, const View& t, const View* w)
      : target(ptr<int64_t>(t)),
        weights(w),
        rows(x.shape[0]),
        classes(x.shape[1]),
        ignored(c.ints[1]),
        smoothing(A(c.floats.count ? c.floats[0] : 0)),
        load(w ? reduce::loader<A>(w->dtype) : nullptr) {}

  A weight(int64_t k) const {
    A w = 1;
    if (weights) load(weights->data + k * kItemSize[weights->dtype], 1, &w, 1);
    return w;
  }
  bool check(const Call& c) const {
    for (int64_t i = 0; i < rows; i++) {
      if (target[i] == ignored || (target[i] >= 0 && target[i] < classes)) continue;
      fail(c, kIndexError, "Target %lld is out of bounds: there are %lld classes", (long long)target[i],
           (long long)classes);
      return false;
    }
    return true;
  }
};

// Losses and weights of rows, each worth the work of so many elements, to the output: one by one, or their sum or mean in fixed blocks.
template <class A, class F> void collect(const Call& c, int64_t rows, int64_t work, F&& row_loss) {
  const View &loss = *c.views[0], &total = *c.views[1];
  auto put = reduce::storer<A>(loss.dtype);
  int64_t blocks = (rows + kLossBlock - 1) / kLossBlock;
  Scratch<A> losses(rows), weights(rows);
  for_rows(rows, work, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; i++) losses[i] = row_loss(i, weights.data + i);
  });
  reduce::Tree<reduce::Sum, double> sum, weight;
  for (int64_t k = 0; k < blocks; k++) {
    double s = 0, w = 0;
    for (int64_t i = k * kLossBlock; i < std::min(rows, (k + 1) * kLossBlock); i++)
      s += losses[i], w += weights[i];
    sum.add(s);
    weight.add(w);
  }
  ptr<A>(total)[0] = A(weight.result(0));
  if (c.ints[0] == kNone)
    for (int64_t i = 0; i < rows; i++) put(losses[i], loss.data, i);
  else put(A(c.ints[0] == kMean ? sum.result(0) / weight.result(0) : sum.result(0)), loss.data, 0);
}

// Outputs: loss, total weight, logsumexp. Inputs: logits, target, weight.
void cross_entropy(const Call& c) {
  const View &x = *c.views[3], &lse = *c.views[2];
  dispatch_floats(x.dtype, [&]<class T>(Type<T>) {
    using A = compute_t<T>;
    Targets<A> t(c, x, *c.views[4], c.views[5]);
    if (!t.check(c)) return;
    int64_t n = t.classes;
    Scratch<A> weights(t.weights ? n : 0);
    if (t.weights) t.load(t.weights->data, 1, weights.data, n);
    A all_weights = t.weights ? reduce_row<reduce::Sum, A>(weights.data, n) : A(n);
    collect<A>(c, t.rows, n, [&](int64_t i, A* weight) {
      int64_t k = t.target[i];
      *weight = 0;
      if (k == t.ignored) {
        ptr<A>(lse)[i] = 0;
        return A(0);
      }
      Scratch<A> buffer(stage_size<T>(n));
      const A* row = stage_row(ptr<T>(x) + i * n, buffer.data, n);
      const auto [top, sum] = sum_exp_row(row, n);
      const A above = std::log(sum), log_sum = top + above;
      ptr<A>(lse)[i] = log_sum;
      *weight = t.weight(k);
      A loss = *weight * (top - row[k] + above);
      if (t.smoothing == 0) return loss;
      A weighted = t.weights ? dot_row(weights.data, row, n) : reduce_row<reduce::Sum, A>(row, n);
      return (1 - t.smoothing) * loss + t.smoothing / A(n) * (all_weights * log_sum - weighted);
    });
  });
}

// The factor of a row's gradient.
template <class A> A row_factor(const Call& c, const View& g, const View& total, int64_t i) {
  A value;
  reduce::loader<A>(g.dtype)(g.data + (c.ints[0] == kNone ? i : 0) * kItemSize[g.dtype], 1, &value, 1);
  return c.ints[0] == kMean ? value / ptr<A>(total)[0] : value;
}

// exp(x[i] - shift) * scale to y, past the caches where `kStreams`.
template <bool kStreams, class A> void scaled_exp(const A* x, A* y, int64_t n, A shift, A scale) {
  constexpr int W = Lanes<A>::width, K = 4;
  const auto some = [&]<int M>(std::integral_constant<int, M>, int64_t count) {  // at most M vectors
    constexpr int K = M;
    Vec<A> v[K];
    AL_EACH(k) v[k] = load_some(x + k * W, lanes_left<A>(count, k), A(0)) - splat(shift);
    vm::exp_decay<K>(v);
    AL_EACH(k) store_some(y + k * W, v[k] * splat(scale), lanes_left<A>(count, k));
    x += count, y += count, n -= count;
  };
  if (kStreams) some(std::integral_constant<int, K>{}, std::min(n, stream::until_aligned((const char*)y) / int64_t(sizeof(A))));
  for (; n >= K * W; x += K * W, y += K * W, n -= K * W) {
    Vec<A> v[K];
    AL_EACH(k) v[k] = load(x + k * W) - splat(shift);
    vm::exp_decay<K>(v);
    AL_EACH(k) put<kStreams>(y + k * W, v[k] * splat(scale));
  }
  if (n > W) some(std::integral_constant<int, K>{}, n);
  else if (n > 0) some(std::integral_constant<int, 1>{}, n);
}

// Output: dlogits. Inputs: gradient, logits, target, weight, total weight, logsumexp.
void cross_entropy_backward(const Call& c) {
  const View &d = *c.views[0], &g = *c.views[1], &x = *c.views[2];
  dispatch_floats(x.dtype, [&]<class T>(Type<T>) {
    using A = compute_t<T>;
    Targets<A> t(c, x, *c.views[3], c.views[4]);
    int64_t n = t.classes;
    const A* lse = ptr<A>(*c.views[6]);
    Scratch<A> weights(t.weights ? n : 0);
    if (t.weights) t.load(t.weights->data, 1, weights.data, n);
    A all_weights = t.weights ? reduce_row<reduce::Sum, A>(weights.data, n) : A(n);
    const bool streams = stream::pays(numel(d) * sizeof(T));
    for_rows(t.rows, n, [&](int64_t b, int64_t e) {
      Scratch<A> buffer(stage_size<T>(n));
      for (int64_t i = b; i < e; i++) {
        T* to = ptr<T>(d) + i * n;
        const int64_t k = t.target[i];
        if (k == t.ignored) {
          std::fill(to, to + n, T{});
          continue;
        }
        const A* row = stage_row(ptr<T>(x) + i * n, buffer.data, n);
        const A factor = row_factor<A>(c, g, *c.views[5], i), hit = (1 - t.smoothing) * t.weight(k) * factor;
        const A spread = t.smoothing / A(n) * factor, scale = hit + spread * all_weights, shift = lse[i];
        const A* w = weights.data;
        if constexpr (!is_half<T>)
          if (spread == 0) {
            (streams ? scaled_exp<true, A> : scaled_exp<false, A>)(row, to, n, shift, scale);
            to[k] -= hit;
            continue;
          }
        write_row(to, n, streams, [=](int64_t first, int64_t m, A* out) {
          exp_block(row + first, out, m, shift, (const char*)(row + first + reduce::kBlock));
#pragma GCC ivdep
          for (int64_t j = 0; j < m; j++) out[j] *= scale;
          if (spread != 0)
            for (int64_t j = 0; j < m; j++) out[j] -= spread * (w ? w[first + j] : A(1));
          if (k >= first && k < first + m) out[k - first] -= hit;
        });
      }
      stream::fence();
    });
  });
}

// Outputs: loss, total weight. Inputs: log-probabilities, target, weight.
void nll_loss(const Call& c) {
  const View& x = *c.views[2];
  dispatch_floats(x.dtype, [&]<class T>(Type<T>) {
    using A = compute_t<T>;
    Targets<A> t(c, x, *c.views[3], c.views[4]);
    if (!t.check(c)) return;
    collect<A>(c, t.rows, 1, [&](int64_t i, A* weight) {
      int64_t k = t.target[i];
      *weight = k == t.ignored ? A(0) : t.weight(k);
      return k == t.ignored ? A(0) : -*weight * to_float(ptr<T>(x)[i * t.classes + k]);
    });
  });
}

// Output: gradient of the log-probabilities. Inputs: gradient, target, weight, total weight.
void nll_loss_backward(const Call& c) {
  const View &d = *c.views[0], &g = *c.views[1];
  dispatch_floats(d.dtype, [&]<class T>(Type<T>) {
    using A = compute_t<T>;
    Targets<A> t(c, d, *c.views[2], c.views[3]);
    for_rows(t.rows, t.classes, [&](int64_t b, int64_t e) {
      for (int64_t i = b; i < e; i++) {
        T* to = ptr<T>(d) + i * t.classes;
        std::fill(to, to + t.classes, T{});
        int64_t k = t.target[i];
        if (k != t.ignored) to[k] = from_float<T>(-t.weight(k) * row_factor<A>(c, g, *c.views[4], i));
      }
    });
  });
}

AL_KERNEL("cross_entropy", cross_entropy);
AL_KERNEL("cross_entropy_backward", cross_entropy_backward);
AL_KERNEL("nll_loss", nll_loss);
AL_KERNEL("nll_loss_backward", nll_loss_backward);

}  // namespace
}  // namespace al
