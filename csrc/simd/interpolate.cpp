// Resampling of 1 to 3 spatial dimensions, one dimension after another, from tables of taps; and its transpose.
// Differs from the textbook: dimensions that shrink go first, so that the intermediate stays small.
#include <cmath>
#include <numeric>

#include "simd/pool.h"

namespace al::pool {
namespace {

enum Mode : int64_t { kNearest, kNearestExact, kLinear, kCubic };

template <class C>
struct Taps {  // output o reads inputs at[o * n + t] with weights weight[o * n + t]
  int64_t n, in, out;
  std::vector<int64_t> at;
  std::vector<C> weight;
};

struct Resampling {
  int nd;
  int64_t mode;
  bool align_corners;
  double scale[3];  // outputs per input as the caller gave it, 0: from the sizes
};

// torch computes positions of nearest neighbours in float32 whatever the dtype, and so must we to pick the same pixel.
template <class C>
Taps<C> nearest_taps(int64_t in, int64_t out, double scale, bool centred) {
  Taps<C> t{1, in, out, {}, std::vector<C>(out, C(1))};
  const float step = scale > 0 ? float(1.0 / scale) : float(in) / float(out);
  for (int64_t o = 0; o < out; o++)
    t.at.push_back(std::min(int64_t(std::floor((float(o) + (centred ? 0.5f : 0.0f)) * step)), in - 1));
  return t;
}

template <class C>
C source_position(const Resampling& r, int64_t in, int64_t out, double scale, int64_t o) {
  if (r.align_corners) return out > 1 ? C(o) * (C(in - 1) / C(out - 1)) : C(0);
  const C step = scale > 0 ? C(1.0 / scale) : C(in) / C(out);
  return step * (C(o) + C(0.5)) - C(0.5);
}

template <class C>
Taps<C> linear_taps(const Resampling& r, int64_t in, int64_t out, double scale) {
  Taps<C> t{2, in, out, {}, {}};
  for (int64_t o = 0; o < out; o++) {
    const C at = std::max(C(0), source_position<C>(r, in, out, scale, o));
    const int64_t low = std::min(int64_t(at), in - 1);
    const C rest = std::min(at - C(low), C(1));
    t.at.insert(t.at.end(), {low, std::min(low + 1, in - 1)});
    t.weight.insert(t.weight.end(), {C(1) - rest, rest});
  }
  return t;
}

template <class C>
Taps<C> cubic_taps(const Resampling& r, int64_t in, int64_t out, double scale) {
  constexpr C a = C(-0.75);  // Keys' constant as torch and OpenCV take it
  const auto near = [](C x) { return ((a + 2) * x - (a + 3)) * x * x + 1; };
  const auto far = [](C x) { return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a; };
  Taps<C> t{4, in, out, {}, {}};
  for (int64_t o = 0; o < out; o++) {
    const C at = source_position<C>(r, in, out, scale, o), low = std::floor(at), rest = at - low;
    for (int64_t k = -1; k <= 2; k++) t.at.push_back(std::clamp<int64_t>(int64_t(low) + k, 0, in - 1));
    t.weight.insert(t.weight.end(), {far(rest + 1), near(rest), near(1 - rest), far(2 - rest)});
  }
  return t;
}

template <class C>
Taps<C> make_taps(const Resampling& r, int64_t in, int64_t out, double scale) {
  switch (r.mode) {
    case kNearest: return nearest_taps<C>(in, out, scale, false);
    case kNearestExact: return nearest_taps<C>(in, out, scale, true);
    case kLinear: return linear_taps<C>(r, in, out, scale);
    default: return cubic_taps<C>(r, in, out, scale);
  }
}

// (before, in, after) -> (before, out, after)
template <class C>
void apply(const Taps<C>& t, int64_t before, int64_t after, const C* x, C* y) {
  for (int64_t a = 0; a < before; a++, x += t.in * after) {
    for (int64_t o = 0; o < t.out; o++, y += after) {
      const int64_t* at = &t.at[o * t.n];
      const C* w = &t.weight[o * t.n];
      for (int64_t i = 0; i < after; i++) y[i] = x[at[0] * after + i] * w[0];
      for (int64_t k = 1; k < t.n; k++)
        for (int64_t i = 0; i < after; i++) y[i] += x[at[k] * after + i] * w[k];
    }
  }
}

// (before, out, after) -> (before, in, after), the transpose of apply.
template <class C>
void apply_transposed(const Taps<C>& t, int64_t before, int64_t after, const C* g, C* x) {
  std::fill(x, x + before * t.in * after, C(0));
  for (int64_t a = 0; a < before; a++, x += t.in * after)
    for (int64_t o = 0; o < t.out; o++, g += after)
      for (int64_t k = 0; k < t.n; k++) {
        C* to = x + t.at[o * t.n + k] * after;
        const C w = t.weight[o * t.n + k];
        for (int64_t i = 0; i < after; i++) to[i] += g[i] * w;
      }
}

// ints: (output size of the op), mode, align_corners. floats: three scales.
Resampling resampling(const Call& call) {
  const int nd = int(call.ints[0]);
  return {nd, call.ints[nd + 1], call.ints[nd + 2] != 0, {call.floats[0], call.floats[1], call.floats[2]}};
}

// Runs the passes over one plane; returns where the result lies.
template <class C>
const C* run_passes(const std::vector<Taps<C>>& taps, const std::vector<int>& order, bool transposed, const C* from, C* buffers[2]) {
  int64_t size[3];
  for (int d = 0; d < 3; d++) size[d] = transposed ? taps[d].out : taps[d].in;
  int side = 0;
  for (int d : order) {
    const int64_t before = d == 0 ? 1 : d == 1 ? size[0] : size[0] * size[1];
    const int64_t after = d == 2 ? 1 : d == 1 ? size[2] : size[1] * size[2];
    (transposed ? apply_transposed<C> : apply<C>)(taps[d], before, after, from, buffers[side]);
    size[d] = transposed ? taps[d].in : taps[d].out;
    from = buffers[side];
    side ^= 1;
  }
  return from;
}

template <class C>
struct Passes {
  std::vector<Taps<C>> taps;
  std::vector<int> order;
  int64_t in_size, out_size, largest;  // items of a plane; largest: bound of what lies between two passes
};

template <class C>
Passes<C> plan(const Resampling& r, const View& x, const View& y, bool transposed) {
  int64_t in[3], out[3];
  extents(x, r.nd, in);
  extents(y, r.nd, out);
  Passes<C> p{{}, {}, in[0] * in[1] * in[2], out[0] * out[1] * out[2], 1};
  for (int d = 0; d < 3; d++) {
    const bool real = d >= 3 - r.nd;
    p.taps.push_back(real ? make_taps<C>(r, in[d], out[d], r.scale[d]) : nearest_taps<C>(1, 1, 0, false));
    if (real) p.order.insert(p.order.begin(), d);
    p.largest *= std::max(in[d], out[d]);
  }
  std::stable_sort(p.order.begin(), p.order.end(), [&](int a, int b) { return out[a] * in[b] < out[b] * in[a]; });
  if (transposed) std::reverse(p.order.begin(), p.order.end());
  return p;
}

template <class T>
void resample(const Call& call, bool transposed) {
  using C = compute_t<T>;
  const View &to = *call.views[0], &from = *call.views[1];
  const Resampling r = resampling(call);
  const Passes<C> p = plan<C>(r, transposed ? to : from, transposed ? from : to, transposed);
  const int64_t from_size = transposed ? p.out_size : p.in_size, to_size = transposed ? p.in_size : p.out_size;
  parallel_for(outer_size(from, r.nd), grain_of(from_size + to_size), [&](int64_t begin, int64_t end) {
    Scratch<C> one(p.largest), two(p.largest), wide(std::is_same_v<T, C> ? 0 : from_size);
    C* buffers[2] = {one.data, two.data};
    for (int64_t i = begin; i < end; i++) {
      const T* source = ptr<T>(from) + i * from_size;
      const C* plane;
      if constexpr (std::is_same_v<T, C>) {
        plane = source;
      } else {
        for (int64_t k = 0; k < from_size; k++) wide[k] = to_float(source[k]);
        plane = wide.data;
      }
      const C* result = run_passes(p.taps, p.order, transposed, plane, buffers);
      for (int64_t k = 0; k < to_size; k++) ptr<T>(to)[i * to_size + k] = from_float<T>(result[k]);
    }
  });
}

// interpolate: y; x. interpolate_backward: x; y.
void interpolate_kernel(const Call& call) {
  for_float_type(call, call.views[0]->dtype, "interpolate", [&](auto kind) { resample<decltype(kind)>(call, false); });
}
void interpolate_backward_kernel(const Call& call) {
  for_float_type(call, call.views[0]->dtype, "interpolate", [&](auto kind) { resample<decltype(kind)>(call, true); });
}

AL_KERNEL("interpolate", interpolate_kernel);
AL_KERNEL("interpolate_backward", interpolate_backward_kernel);

}  // namespace
}  // namespace al::pool
