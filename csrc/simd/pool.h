// Windows of pooling, as tables per dimension; fixed and adaptive windows differ only in how the table is made.
#pragma once
#include <algorithm>
#include <vector>

#include "dtypes.h"
#include "kernel.h"

namespace al::pool {

struct Span {  // inputs begin, begin + step, ... < end; count: what an average divides by, padding included
  int64_t begin, end, count;
};

struct Windows {
  int64_t in[3], out[3], step[3];
  int64_t kernel, first, stride;  // taps of every window along a row, where the first one begins and how they follow; 0: they differ
  std::vector<Span> spans[3];
  int64_t in_size() const { return in[0] * in[1] * in[2]; }
  int64_t out_size() const { return out[0] * out[1] * out[2]; }
};

// Spatial extents of a view whose last nd dimensions are spatial; missing ones lead and are 1.
inline void extents(const View& v, int nd, int64_t* out) {
  for (int d = 0; d < 3; d++) out[d] = d < 3 - nd ? 1 : v.shape[v.ndim - 3 + d];
}

inline int64_t outer_size(const View& v, int nd) {
  int64_t n = 1;
  for (int i = 0; i < v.ndim - nd; i++) n *= v.shape[i];
  return n;
}

// ints: (kernel), (stride), (padding), then (dilation) if the op has one.
inline Windows fixed_windows(const Call& call, const View& x, const View& y, bool dilated) {
  Windows w{};
  const int nd = int(call.ints[0]);
  extents(x, nd, w.in);
  extents(y, nd, w.out);
  for (int d = 0; d < 3; d++) {
    const int k = d - (3 - nd);
    const auto at = [&](int list, int64_t missing) { return k < 0 ? missing : call.ints[list * (nd + 1) + 1 + k]; };
    const int64_t kernel = at(0, 1), stride = at(1, 1), pad = at(2, 0), step = dilated ? at(3, 1) : 1;
    w.step[d] = step;
    if (d == 2) w.kernel = kernel, w.first = -pad, w.stride = stride;
    for (int64_t o = 0; o < w.out[d]; o++) {
      const int64_t first = o * stride - pad, last = std::min(first + (kernel - 1) * step + 1, w.in[d] + pad);
      const int64_t begin = first < 0 ? first + (-first + step - 1) / step * step : first;
      w.spans[d].push_back({begin, std::min(last, w.in[d]), last - first});
    }
  }
  return w;
}

// ints: (output size). Window o covers floor(o * in / out) to ceil((o + 1) * in / out).
inline Windows adaptive_windows(const Call& call, const View& x, const View& y) {
  Windows w{};
  const int nd = int(call.ints[0]);
  extents(x, nd, w.in);
  extents(y, nd, w.out);
  for (int d = 0; d < 3; d++) {
    w.step[d] = 1;
    for (int64_t o = 0; o < w.out[d]; o++) {
      const int64_t begin = o * w.in[d] / w.out[d], end = ((o + 1) * w.in[d] + w.out[d] - 1) / w.out[d];
      w.spans[d].push_back({begin, end, end - begin});
    }
  }
  return w;
}

// Calls body(T{}) with the element type of a floating dtype.
template <class Body>
void for_float_type(const Call& call, int32_t dtype, const char* op, Body&& body) {
  switch (dtype) {
    case kFloat32: return body(float{});
    case kFloat64: return body(double{});
    case kFloat16: return body(float16{});
    case kBFloat16: return body(bfloat16{});
    default: fail(call, kValueError, "%s: %s is not a floating dtype; cast the input", op, kDTypeNames[dtype]);
  }
}

inline int64_t grain_of(int64_t items) { return std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(items, 1)); }

}  // namespace al::pool
