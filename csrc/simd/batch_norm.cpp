// Batch normalisation of (N, C, S): moments per channel over N and S, and the backward pass with all three gradients.
// Parameters and statistics are of the compute dtype (float for 16-bit inputs).
#include <cmath>

#include "simd/moments.h"
#include "simd/pool.h"

namespace al::moments {
namespace {

struct Sizes {
  int64_t batch, channels, run;
  int64_t count() const { return batch * run; }
};

Sizes sizes(const View& x) {
  Sizes s{x.shape[0], x.shape[1], 1};
  for (int d = 2; d < x.ndim; d++) s.run *= x.shape[d];
  return s;
}

template <class C>
const C* optional(const View* v) { return v ? ptr<const C>(*v) : nullptr; }

// Calls body(start) for the runs of a channel, in order.
template <class Body>
void each_run(const Sizes& s, int64_t channel, Body&& body) {
  for (int64_t n = 0; n < s.batch; n++) body((n * s.channels + channel) * s.run);
}

template <class T>
void normalise(const Call& call, const Sizes& s, const T* x) {
  using C = compute_t<T>;
  const C *weight = optional<C>(call.views[5]), *bias = optional<C>(call.views[6]);
  C *mean = ptr<C>(*call.views[1]), *inverse = ptr<C>(*call.views[2]), *variance = ptr<C>(*call.views[3]);
  parallel_for(s.channels, pool::grain_of(s.count()), [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; c++) {
      double total = 0, squares = 0;
      each_run(s, c, [&](int64_t at) { total += sum(x + at, s.run); });
      mean[c] = C(total / double(s.count()));
      each_run(s, c, [&](int64_t at) { squares += sum_squares(x + at, s.run, mean[c]); });
      variance[c] = C(squares / double(s.count()));
      inverse[c] = C(1 / std::sqrt(squares / double(s.count()) + call.floats[0]));
      const C scale = weight ? inverse[c] * weight[c] : inverse[c], shift = bias ? bias[c] : C(0);
      each_run(s, c, [&](int64_t at) { scale_run(x + at, s.run, mean[c], scale, shift, ptr<T>(*call.views[0]) + at); });
    }
  });
}

// The same for S = 1, where the channels of a row are neighbours: a task takes kColumns of them.
constexpr int64_t kColumns = 64;

template <class T>
void normalise_columns(const Call& call, const Sizes& s, const T* x) {
  using C = compute_t<T>;
  const C *weight = optional<C>(call.views[5]), *bias = optional<C>(call.views[6]);
  C *mean = ptr<C>(*call.views[1]), *inverse = ptr<C>(*call.views[2]), *variance = ptr<C>(*call.views[3]);
  parallel_for((s.channels + kColumns - 1) / kColumns, pool::grain_of(s.batch * kColumns), [&](int64_t begin, int64_t end) {
    for (int64_t first = begin * kColumns; first < std::min(end * kColumns, s.channels); first += kColumns) {
      const int64_t n = std::min(kColumns, s.channels - first);
      double total[kColumns] = {}, squares[kColumns] = {};
      C scale[kColumns], shift[kColumns];
      for (int64_t row = 0; row < s.batch; row++)
        for (int64_t c = 0; c < n; c++) total[c] += to_float(x[row * s.channels + first + c]);
      for (int64_t c = 0; c < n; c++) mean[first + c] = C(total[c] / double(s.batch));
      for (int64_t row = 0; row < s.batch; row++)
        for (int64_t c = 0; c < n; c++) {
          const double d = to_float(x[row * s.channels + first + c]) - mean[first + c];
          squares[c] += d * d;
        }
      for (int64_t c = 0, k = first; c < n; c++, k++) {
        variance[k] = C(squares[c] / double(s.batch));
        inverse[k] = C(1 / std::sqrt(squares[c] / double(s.batch) + call.floats[0]));
        scale[c] = weight ? inverse[k] * weight[k] : inverse[k];
        shift[c] = bias ? bias[k] : C(0);
      }
      for (int64_t row = 0; row < s.batch; row++)
        for (int64_t c = 0, k = row * s.channels + first; c < n; c++, k++)
          ptr<T>(*call.views[0])[k] = from_float<T>((to_float(x[k]) - mean[first + c]) * scale[c] + shift[c]);
    }
  });
}

// batch_norm: y, mean, 1 / sqrt(var + eps), var; x, weight, bias. floats: eps
void batch_norm_kernel(const Call& call) {
  const View& x = *call.views[4];
  pool::for_float_type(call, x.dtype, "batch_norm", [&](auto kind) {
    using T = decltype(kind);
    (sizes(x).run == 1 ? normalise_columns<T> : normalise<T>)(call, sizes(x), ptr<T>(x));
  });
}

template <class T>
void backward(const Call& call, const Sizes& s, const T* g, const T* x) {
  using C = compute_t<T>;
  const C *mean = ptr<C>(*call.views[5]), *inverse = ptr<C>(*call.views[6]), *weight = optional<C>(call.views[7]);
  parallel_for(s.channels, pool::grain_of(s.count()), [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; c++) {
      GradientSums sums{};
      each_run(s, c, [&](int64_t at) {
        const GradientSums part = gradient_sums(g + at, x + at, s.run, mean[c]);
        sums.plain += part.plain;
        sums.centred += part.centred;
      });
      const double r = inverse[c], scale = weight ? r * weight[c] : r, n = double(s.count());
      ptr<C>(*call.views[1])[c] = C(sums.centred * r);
      ptr<C>(*call.views[2])[c] = C(sums.plain);
      const C a = C(scale), b = C(-scale * r * r * sums.centred / n), shift = C(-scale * sums.plain / n);
      each_run(s, c, [&](int64_t at) {
        gradient_run(g + at, x + at, s.run, mean[c], a, b, shift, ptr<T>(*call.views[0]) + at);
      });
    }
  });
}

template <class T>
void backward_columns(const Call& call, const Sizes& s, const T* g, const T* x) {
  using C = compute_t<T>;
  const C *mean = ptr<C>(*call.views[5]), *inverse = ptr<C>(*call.views[6]), *weight = optional<C>(call.views[7]);
  parallel_for((s.channels + kColumns - 1) / kColumns, pool::grain_of(s.batch * kColumns), [&](int64_t begin, int64_t end) {
    for (int64_t first = begin * kColumns; first < std::min(end * kColumns, s.channels); first += kColumns) {
      const int64_t n = std::min(kColumns, s.channels - first);
      double plain[kColumns] = {}, centred[kColumns] = {};
      C a[kColumns], b[kColumns], shift[kColumns];
      for (int64_t row = 0; row < s.batch; row++)
        for (int64_t c = 0, k = row * s.channels + first; c < n; c++, k++) {
          plain[c] += to_float(g[k]);
          centred[c] += double(to_float(g[k])) * (to_float(x[k]) - mean[first + c]);
        }
      for (int64_t c = 0, k = first; c < n; c++, k++) {
        const double r = inverse[k], scale = weight ? r * weight[k] : r;
        ptr<C>(*call.views[1])[k] = C(centred[c] * r);
        ptr<C>(*call.views[2])[k] = C(plain[c]);
        a[c] = C(scale);
        b[c] = C(-scale * r * r * centred[c] / double(s.batch));
        shift[c] = C(-scale * plain[c] / double(s.batch));
      }
      for (int64_t row = 0; row < s.batch; row++)
        for (int64_t c = 0, k = row * s.channels + first; c < n; c++, k++)
          ptr<T>(*call.views[0])[k] =
              from_float<T>(a[c] * to_float(g[k]) + (b[c] * (to_float(x[k]) - mean[first + c]) + shift[c]));
    }
  });
}

// batch_norm_backward: dx, dweight, dbias; g, x, mean, 1 / sqrt(var + eps), weight.
void batch_norm_backward_kernel(const Call& call) {
  const View &g = *call.views[3], &x = *call.views[4];
  pool::for_float_type(call, x.dtype, "batch_norm_backward", [&](auto kind) {
    using T = decltype(kind);
    (sizes(x).run == 1 ? backward_columns<T> : backward<T>)(call, sizes(x), ptr<T>(g), ptr<T>(x));
  });
}

// channel_affine: y; x, scale, shift, both per channel.
void channel_affine_kernel(const Call& call) {
  const View& x = *call.views[1];
  const Sizes s = sizes(x);
  pool::for_float_type(call, x.dtype, "channel_affine", [&](auto kind) {
    using T = decltype(kind);
    using C = compute_t<T>;
    const C *scale = ptr<C>(*call.views[2]), *shift = ptr<C>(*call.views[3]);
    if (s.run == 1)  // the channels of a row are neighbours
      return parallel_for(s.batch, pool::grain_of(s.channels), [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; n++) {
          const T* from = ptr<T>(x) + n * s.channels;
          T* to = ptr<T>(*call.views[0]) + n * s.channels;
          for (int64_t c = 0; c < s.channels; c++) to[c] = from_float<T>(to_float(from[c]) * scale[c] + shift[c]);
        }
      });
    parallel_for(s.batch * s.channels, pool::grain_of(s.run), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++)
        scale_run(ptr<T>(x) + i * s.run, s.run, C(0), scale[i % s.channels], shift[i % s.channels],
                  ptr<T>(*call.views[0]) + i * s.run);
    });
  });
}

AL_KERNEL("batch_norm", batch_norm_kernel);
AL_KERNEL("batch_norm_backward", batch_norm_backward_kernel);
AL_KERNEL("channel_affine", channel_affine_kernel);

}  // namespace
}  // namespace al::moments
