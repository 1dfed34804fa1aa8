// Average pooling and its gradient: sums down the columns of a window first (contiguous), then along the row.
#include "simd/pool.h"

namespace al::pool {
namespace {

struct Divisor {
  bool include_pad;
  int64_t fixed;  // 0: none
};

inline int64_t share(const Span& s, const Divisor& d) { return d.include_pad ? s.count : s.end - s.begin; }

template <class C>
inline C divisor(const Divisor& d, const Span& a, const Span& b, const Span& c) {
  return d.fixed ? C(d.fixed) : C(share(a, d) * share(b, d) * share(c, d));
}

template <class T>
void average_plane(const Windows& w, const Divisor& div, const T* x, T* y, compute_t<T>* columns) {
  using C = compute_t<T>;
  for (const Span& d : w.spans[0])
    for (const Span& h : w.spans[1]) {
      std::fill(columns, columns + w.in[2], C(0));
      for (int64_t i = d.begin; i < d.end; i++)
        for (int64_t j = h.begin; j < h.end; j++) {
          const T* row = x + (i * w.in[1] + j) * w.in[2];
          for (int64_t k = 0; k < w.in[2]; k++) columns[k] += to_float(row[k]);
        }
      for (const Span& c : w.spans[2]) {
        C sum = 0;
        for (int64_t k = c.begin; k < c.end; k++) sum += columns[k];
        *y++ = from_float<T>(sum / divisor<C>(div, d, h, c));
      }
    }
}

template <class T>
void spread_plane(const Windows& w, const Divisor& div, const T* g, compute_t<T>* x, compute_t<T>* columns) {
  using C = compute_t<T>;
  std::fill(x, x + w.in_size(), C(0));
  for (const Span& d : w.spans[0])
    for (const Span& h : w.spans[1]) {
      std::fill(columns, columns + w.in[2], C(0));
      for (const Span& c : w.spans[2]) {
        const C part = to_float(*g++) / divisor<C>(div, d, h, c);
        for (int64_t k = c.begin; k < c.end; k++) columns[k] += part;
      }
      for (int64_t i = d.begin; i < d.end; i++)
        for (int64_t j = h.begin; j < h.end; j++) {
          C* row = x + (i * w.in[1] + j) * w.in[2];
          for (int64_t k = 0; k < w.in[2]; k++) row[k] += columns[k];
        }
    }
}

void average(const Call& call, const Windows& w, const Divisor& div) {
  const View &y = *call.views[0], &x = *call.views[1];
  for_float_type(call, x.dtype, "avg_pool", [&](auto kind) {
    using T = decltype(kind);
    parallel_for(outer_size(x, int(call.ints[0])), grain_of(w.in_size()), [&](int64_t begin, int64_t end) {
      Scratch<compute_t<T>> columns(w.in[2]);
      for (int64_t i = begin; i < end; i++)
        average_plane(w, div, ptr<T>(x) + i * w.in_size(), ptr<T>(y) + i * w.out_size(), columns.data);
    });
  });
}

void spread(const Call& call, const Windows& w, const Divisor& div) {
  const View &x = *call.views[0], &g = *call.views[1];
  for_float_type(call, x.dtype, "avg_pool_backward", [&](auto kind) {
    using T = decltype(kind);
    using C = compute_t<T>;
    parallel_for(outer_size(x, int(call.ints[0])), grain_of(w.in_size()), [&](int64_t begin, int64_t end) {
      Scratch<C> columns(w.in[2]), plane(std::is_same_v<T, C> ? 0 : w.in_size());
      for (int64_t i = begin; i < end; i++) {
        T* to = ptr<T>(x) + i * w.in_size();
        const T* from = ptr<T>(g) + i * w.out_size();
        if constexpr (std::is_same_v<T, C>) {
          spread_plane(w, div, from, to, columns.data);
        } else {
          spread_plane(w, div, from, plane.data, columns.data);
          for (int64_t k = 0; k < w.in_size(); k++) to[k] = from_float<T>(plane[k]);
        }
      }
    });
  });
}

// ints after the three tuples: count_include_pad, divisor_override (0: none)
Divisor divisor_of(const Call& call) {
  const int64_t* flags = call.ints.from(3 * (call.ints[0] + 1), 2);
  return {flags[0] != 0, flags[1]};
}

// avg_pool: y; x. avg_pool_backward: x; y.
void avg_pool_kernel(const Call& call) { average(call, fixed_windows(call, *call.views[1], *call.views[0], false), divisor_of(call)); }
void avg_pool_backward_kernel(const Call& call) {
  spread(call, fixed_windows(call, *call.views[0], *call.views[1], false), divisor_of(call));
}
void adaptive_avg_pool_kernel(const Call& call) { average(call, adaptive_windows(call, *call.views[1], *call.views[0]), {false, 0}); }
void adaptive_avg_pool_backward_kernel(const Call& call) {
  spread(call, adaptive_windows(call, *call.views[0], *call.views[1]), {false, 0});
}

AL_KERNEL("avg_pool", avg_pool_kernel);
AL_KERNEL("avg_pool_backward", avg_pool_backward_kernel);
AL_KERNEL("adaptive_avg_pool", adaptive_avg_pool_kernel);
AL_KERNEL("adaptive_avg_pool_backward", adaptive_avg_pool_backward_kernel);

}  // namespace
}  // namespace al::pool
