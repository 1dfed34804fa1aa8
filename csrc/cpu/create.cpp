// Kernels that make numbers from nothing but their place: linspace, logspace, tril_indices.
#include <cmath>

#include "items.h"

namespace al {
namespace {

// Counted from both ends, as PyTorch does, so that both ends are exact and the sequence is symmetric.
template <class T, class Rule>
void sequence(const View& y, double start, double end, Rule rule) {
  using C = std::conditional_t<std::is_same_v<T, float>, float, double>;
  const int64_t n = numel(y);
  const C first = C(start), last = C(end), step = n > 1 ? (last - first) / C(n - 1) : C(0);
  parallel_for(n, 8192, [&](int64_t begin, int64_t stop) {
    for (int64_t i = begin; i < stop; i++)
      ptr<T>(y)[i] = T(rule(i < n / 2 || n == 1 ? first + step * C(i) : last - step * C(n - 1 - i)));
  });
}

// y. floats: start, end.
void linspace(const Call& call) {
  const View& y = *call.views[0];
  with_number(call, "linspace", y.dtype, [&](auto tag) {
    sequence<decltype(tag)>(y, call.floats[0], call.floats[1], [](auto v) { return v; });
  });
}

// y. floats: start, end, base.
void logspace(const Call& call) {
  const View& y = *call.views[0];
  const double base = call.floats[2];
  with_number(call, "logspace", y.dtype, [&](auto tag) {
    using T = decltype(tag);
    sequence<T>(y, call.floats[0], call.floats[1], [=](auto v) { return std::pow(decltype(v)(base), v); });
  });
}

// y (2, count). ints: rows, columns, offset, upper. Coordinates of one triangle, row by row.
void triangle_indices(const Call& call) {
  const View& y = *call.views[0];
  const int64_t rows = call.ints[0], columns = call.ints[1], offset = call.ints[2], count = y.shape[1];
  const bool upper = call.ints[3];
  with_number(call, "tril_indices", y.dtype, [&](auto tag) {
    using T = decltype(tag);
    T* out = ptr<T>(y);
    int64_t at = 0;
    for (int64_t r = 0; r < rows; r++) {
      int64_t cut = r + offset + (upper ? 0 : 1);
      cut = cut < 0 ? 0 : cut > columns ? columns : cut;
      for (int64_t c = upper ? cut : 0; c < (upper ? columns : cut) && at < count; c++, at++)
        out[at] = T(r), out[count + at] = T(c);
    }
  });
}

AL_KERNEL("linspace", linspace);
AL_KERNEL("logspace", logspace);
AL_KERNEL("triangle_indices", triangle_indices);

}  // namespace
}  // namespace al
