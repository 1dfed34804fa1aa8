// How the convolution kernels see dtypes: float and double in place, 16-bit floats through float copies.
#pragma once
#include "dtypes.h"
#include "simd/conv_plan.h"

namespace al::conv {

// A float copy of a 16-bit operand, or null.
template <class H>
struct Widened {
  Scratch<float> copy;
  explicit Widened(const View* v, bool fill = true) : copy(v ? numel(*v) : 0) {
    if (!v || !fill) return;
    const H* from = ptr<H>(*v);
    parallel_for(numel(*v), 1 << 15, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) copy.data[i] = to_float(from[i]);
    });
  }
};

template <class H, class Body>
void through_float(const Call& call, Body&& body) {
  const View* bias = call.nviews > 3 ? call.views[3] : nullptr;
  Widened<H> out(call.views[0], false), a(call.views[1]), b(call.views[2]), c(bias);
  body(out.copy.data, static_cast<const float*>(a.copy.data), static_cast<const float*>(b.copy.data),
       static_cast<const float*>(c.copy.data));
  H* to = ptr<H>(*call.views[0]);
  parallel_for(numel(*call.views[0]), 1 << 15, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) to[i] = from_float<H>(out.copy.data[i]);
  });
}

template <class T, class Body>
void in_place(const Call& call, Body&& body) {
  const T* bias = call.nviews > 3 && call.views[3] ? ptr<const T>(*call.views[3]) : nullptr;
  body(ptr<T>(*call.views[0]), ptr<const T>(*call.views[1]), ptr<const T>(*call.views[2]), bias);
}

// Runs body(out, first, second, bias) on pointers of the type that is computed in.
template <class Body>
void in_compute_type(const Call& call, int32_t dtype, Body&& body) {
  switch (dtype) {
    case kFloat32: return in_place<float>(call, body);
    case kFloat64: return in_place<double>(call, body);
    case kFloat16: return through_float<float16>(call, body);
    case kBFloat16: return through_float<bfloat16>(call, body);
    default: fail(call, kValueError, "conv: dtype %d is not a floating dtype", dtype);
  }
}

}  // namespace al::conv
