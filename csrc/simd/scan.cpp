// Running sums, products, extremes and linear recurrences along one dim, forwards or backwards.
// Sums and products of floats run in double. Columns next to each other are scanned together.
#include <cmath>

#include "rows.h"

namespace al {
namespace {

constexpr int64_t kColumns = 64;

template <class T> using Wide = std::conditional_t<is_floating<T>, double, T>;
template <class T> Wide<T> widen(T x) {
  if constexpr (is_floating<T>) return double(to_float(x));
  else return x;
}
template <class T> T narrow(Wide<T> x) {
  if constexpr (is_half<T>) return from_float<T>(float(x));
  else return T(x);
}

// Calls f(base, first row, step, columns) for each strip of columns.
template <class F> void walk(const Rows& r, bool reverse, F&& f) {
  int64_t strips = (r.inner + kColumns - 1) / kColumns, n = r.length;
  parallel_for(r.outer * strips, row_grain(4 * n * std::min(kColumns, r.inner)), [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; t++) {
      int64_t column = t % strips * kColumns, w = std::min(kColumns, r.inner - column);
      int64_t base = t / strips * n * r.inner + column;
      f(base, reverse ? n - 1 : 0, reverse ? -1 : 1, w);
    }
  });
}

struct Add {
  static constexpr int first = 0;
  template <class S> static S step(S state, S x) { return state + x; }
};
struct Multiply {
  static constexpr int first = 1;
  template <class S> static S step(S state, S x) { return state * x; }
};

template <class F> void dispatch_scan(int32_t dtype, F&& f) {
  dispatch_types<float, double, bfloat16, float16, int64_t>(dtype, f);
}

template <class Op, class T>
void scan_row(const T* in, T* out, int64_t i, int64_t step, int64_t n, bool exclusive) {
  Wide<T> state = Op::first;
  for (int64_t k = 0; k < n; k++, i += step) {
    Wide<T> next = Op::step(state, widen(in[i]));
    out[i] = narrow<T>(exclusive ? state : next);
    state = next;
  }
}

// ints: dim, reverse, exclusive (the element itself is left out).
template <class Op> void cumulate(const Call& c) {
  const View &y = *c.views[0], &x = *c.views[1];
  if (numel(x) == 0) return;
  Rows r(x, c.ints[0]);
  bool exclusive = c.ints[2];
  dispatch_scan(x.dtype, [&]<class T>(Type<T>) {
    const T* in = ptr<T>(x);
    T* out = ptr<T>(y);
    walk(r, c.ints[1], [&](int64_t base, int64_t first, int64_t step, int64_t w) {
      if (r.inner == 1) return scan_row<Op>(in + base, out + base, first, step, r.length, exclusive);
      Wide<T> state[kColumns];
      for (int64_t j = 0; j < w; j++) state[j] = Op::first;
      for (int64_t k = 0, i = first; k < r.length; k++, i += step) {
        int64_t at = base + i * r.inner;
        for (int64_t j = 0; j < w; j++) {
          Wide<T> next = Op::step(state[j], widen(in[at + j]));
          out[at + j] = narrow<T>(exclusive ? state[j] : next);
          state[j] = next;
        }
      }
    });
  });
}

// y[i] = a[i] + b[i] * y[i - 1], or y[i + 1] when reversed. ints: dim, reverse.
void linear_scan(const Call& c) {
  const View &y = *c.views[0], &a = *c.views[1], &b = *c.views[2];
  if (numel(a) == 0) return;
  Rows r(a, c.ints[0]);
  dispatch_scan(a.dtype, [&]<class T>(Type<T>) {
    const T *add = ptr<T>(a), *factor = ptr<T>(b);
    T* out = ptr<T>(y);
    walk(r, c.ints[1], [&](int64_t base, int64_t first, int64_t step, int64_t w) {
      Wide<T> state[kColumns] = {};
      for (int64_t k = 0, i = first; k < r.length; k++, i += step) {
        int64_t at = base + i * r.inner;
        for (int64_t j = 0; j < w; j++) {
          Wide<T> carried = k ? widen(factor[at + j]) * state[j] : Wide<T>(0);
          state[j] = widen(add[at + j]) + carried;
          out[at + j] = narrow<T>(state[j]);
        }
      }
    });
  });
}

// Outputs: values, indices (of the last among equals). ints: dim.
template <bool is_max> void running_extremum(const Call& c) {
  const View &y = *c.views[0], &index = *c.views[1], &x = *c.views[2];
  if (numel(x) == 0) return;
  Rows r(x, c.ints[0]);
  dispatch_scan(x.dtype, [&]<class T>(Type<T>) {
    const T* in = ptr<T>(x);
    T* out = ptr<T>(y);
    int64_t* where = ptr<int64_t>(index);
    walk(r, false, [&](int64_t base, int64_t, int64_t, int64_t w) {
      Wide<T> best[kColumns];
      int64_t found[kColumns];
      for (int64_t i = 0; i < r.length; i++) {
        int64_t at = base + i * r.inner;
        for (int64_t j = 0; j < w; j++) {
          Wide<T> value = widen(in[at + j]);
          bool better = i == 0 || value != value || (is_max ? value >= best[j] : value <= best[j]);
          if (better) best[j] = value, found[j] = i;
          out[at + j] = narrow<T>(best[j]);
          where[at + j] = found[j];
        }
      }
    });
  });
}

// log(exp(a) + exp(b)), also of infinities.
double log_add(double a, double b) {
  double high = a > b || a != a ? a : b, low = high == a ? b : a;
  return std::isinf(high) && high == low ? high : high + std::log1p(std::exp(low - high));
}

// ints: dim, reverse.
void logcumsumexp(const Call& c) {
  const View &y = *c.views[0], &x = *c.views[1];
  if (numel(x) == 0) return;
  Rows r(x, c.ints[0]);
  dispatch_floats(x.dtype, [&]<class T>(Type<T>) {
    const T* in = ptr<T>(x);
    T* out = ptr<T>(y);
    walk(r, c.ints[1], [&](int64_t base, int64_t first, int64_t step, int64_t w) {
      double state[kColumns];
      for (int64_t k = 0, i = first; k < r.length; k++, i += step) {
        int64_t at = base + i * r.inner;
        for (int64_t j = 0; j < w; j++) {
          state[j] = k ? log_add(state[j], widen(in[at + j])) : widen(in[at + j]);
          out[at + j] = narrow<T>(state[j]);
        }
      }
    });
  });
}

AL_KERNEL("cumsum", cumulate<Add>);
AL_KERNEL("cumprod", cumulate<Multiply>);
AL_KERNEL("linear_scan", linear_scan);
AL_KERNEL("cummax", running_extremum<true>);
AL_KERNEL("cummin", running_extremum<false>);
AL_KERNEL("logcumsumexp", logcumsumexp);

}  // namespace
}  // namespace al
