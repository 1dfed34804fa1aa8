// Sinkhorn's normalisation of many small matrices, forward and backward. A group of matrices lies side by side, an element
// of each in a lane, so that every step is a loop over lanes; what a matrix gives depends on no other.
#include "rows.h"

namespace al {
namespace {

constexpr int kLanes = 16;
constexpr int64_t kMostRows = 16;  // checked where the op is called

template <class A> struct Group {
  const int64_t n;
  const A eps;
  A sum[kLanes];

  // a[i][j] /= sum over one index + eps; the divisors are kept where `kept` is given.
  void normalise(A* a, bool rows, A* kept) {
    for (int64_t i = 0; i < n; i++) {
      int64_t first = rows ? i * n : i, step = rows ? 1 : n;
      for (int l = 0; l < kLanes; l++) sum[l] = eps;
      for (int64_t j = 0; j < n; j++)
        for (int l = 0; l < kLanes; l++) sum[l] += a[(first + j * step) * kLanes + l];
      for (int64_t j = 0; j < n; j++)
        for (int l = 0; l < kLanes; l++) a[(first + j * step) * kLanes + l] /= sum[l];
      if (kept)
        for (int l = 0; l < kLanes; l++) kept[i * kLanes + l] = sum[l];
    }
  }

  // The gradient before a normalisation: (g - sum(g a)) / divisor, with its result a.
  void normalise_backward(A* g, const A* a, bool rows, const A* divisor) {
    for (int64_t i = 0; i < n; i++) {
      int64_t first = rows ? i * n : i, step = rows ? 1 : n;
      for (int l = 0; l < kLanes; l++) sum[l] = 0;
      for (int64_t j = 0; j < n; j++)
        for (int l = 0; l < kLanes; l++)
          sum[l] += g[(first + j * step) * kLanes + l] * a[(first + j * step) * kLanes + l];
      for (int64_t j = 0; j < n; j++)
        for (int l = 0; l < kLanes; l++) {
          int64_t at = (first + j * step) * kLanes + l;
          g[at] = (g[at] - sum[l]) / divisor[i * kLanes + l];
        }
    }
  }

  // Softmax of every row, in place.
  void softmax(A* a) {
    for (int64_t i = 0; i < n; i++) {
      A* row = a + i * n * kLanes;
      A top[kLanes];
      for (int l = 0; l < kLanes; l++) top[l] = row[l], sum[l] = 0;
      for (int64_t j = 1; j < n; j++)
        for (int l = 0; l < kLanes; l++) top[l] = reduce::Max::combine(top[l], row[j * kLanes + l]);
      for (int64_t j = 0; j < n; j++)
        for (int l = 0; l < kLanes; l++) {
          A e = exp_decay(row[j * kLanes + l] - top[l]);
          row[j * kLanes + l] = e;
          sum[l] += e;
        }
      for (int64_t j = 0; j < n; j++)
        for (int l = 0; l < kLanes; l++) row[j * kLanes + l] /= sum[l];
    }
  }

  void add_eps(A* a) {
    for (int64_t i = 0; i < n * n * kLanes; i++) a[i] += eps;
  }
};

template <class A> void gather(const A* x, A* group, int64_t size, int64_t count) {
  for (int64_t l = 0; l < kLanes; l++)
    for (int64_t i = 0; i < size; i++) group[i * kLanes + l] = l < count ? x[l * size + i] : A(0);
}
template <class A> void scatter(const A* group, A* y, int64_t size, int64_t count) {
  for (int64_t l = 0; l < count; l++)
    for (int64_t i = 0; i < size; i++) y[l * size + i] = group[i * kLanes + l];
}

// Calls work(first matrix, how many) for all groups.
template <class F> void for_groups(const View& x, int64_t iterations, F&& work) {
  int64_t n = x.shape[x.ndim - 1], count = numel(x) / (n * n);
  int64_t groups = (count + kLanes - 1) / kLanes;
  parallel_for(groups, row_grain(n * n * kLanes * 4 * iterations), [&](int64_t b, int64_t e) {
    for (int64_t g = b; g < e; g++) work(g * kLanes, std::min<int64_t>(kLanes, count - g * kLanes));
  });
}

void sinkhorn(const Call& c) {
  const View &y = *c.views[0], &x = *c.views[1];
  int64_t iterations = c.ints[0], n = x.shape[x.ndim - 1], size = n * n;
  if (numel(x) == 0) return;
  dispatch_types<float, double>(x.dtype, [&]<class T>(Type<T>) {
    for_groups(x, iterations, [&](int64_t first, int64_t count) {
      T a[kMostRows * kMostRows * kLanes];
      Group<T> group{n, T(c.floats[0]), {}};
      gather(ptr<T>(x) + first * size, a, size, count);
      group.softmax(a);
      group.add_eps(a);
      group.normalise(a, false, nullptr);
      for (int64_t k = 1; k < iterations; k++) {
        group.normalise(a, true, nullptr);
        group.normalise(a, false, nullptr);
      }
      scatter(a, ptr<T>(y) + first * size, size, count);
    });
  });
}

// Inputs: gradient, the forward pass's input. The steps are computed again and kept: a few kilobytes a group.
void sinkhorn_backward(const Call& c) {
  const View &d = *c.views[0], &g = *c.views[1], &x = *c.views[2];
  int64_t iterations = c.ints[0], n = x.shape[x.ndim - 1], size = n * n, steps = 2 * iterations - 1;
  if (numel(x) == 0) return;
  dispatch_types<float, double>(x.dtype, [&]<class T>(Type<T>) {
    for_groups(x, 3 * iterations, [&](int64_t first, int64_t count) {
      int64_t cell = size * kLanes, line = n * kLanes;
      Scratch<T> buffer(cell * (steps + 2) + line * steps);
      T *soft = buffer.data, *grad = soft + cell, *states = grad + cell, *divisors = states + steps * cell;
      Group<T> group{n, T(c.floats[0]), {}};
      gather(ptr<T>(x) + first * size, soft, size, count);
      gather(ptr<T>(g) + first * size, grad, size, count);
      group.softmax(soft);
      for (int64_t k = 0; k < steps; k++) {
        std::copy_n(k ? states + (k - 1) * cell : soft, cell, states + k * cell);
        if (!k) group.add_eps(states);
        group.normalise(states + k * cell, k % 2 == 1, divisors + k * line);
      }
      for (int64_t k = steps - 1; k >= 0; k--)
        group.normalise_backward(grad, states + k * cell, k % 2 == 1, divisors + k * line);
      for (int64_t i = 0; i < n; i++) {  // of the softmax: p (g - sum(g p))
        T *p = soft + i * line, *gr = grad + i * line;
        for (int l = 0; l < kLanes; l++) group.sum[l] = 0;
        for (int64_t j = 0; j < line; j++) group.sum[j % kLanes] += gr[j] * p[j];
        for (int64_t j = 0; j < line; j++) gr[j] = p[j] * (gr[j] - group.sum[j % kLanes]);
      }
      scatter(grad, ptr<T>(d) + first * size, size, count);
    });
  });
}

AL_KERNEL("sinkhorn", sinkhorn);
AL_KERNEL("sinkhorn_backward", sinkhorn_backward);

}  // namespace
}  // namespace al
