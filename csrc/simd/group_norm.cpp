// Group normalisation of (N, C, S): moments per sample and group of neighbouring channels; instance norm has one channel a group.
// Parameters and statistics are of the compute dtype (float for 16-bit inputs).
#include <cmath>

#include "simd/moments.h"
#include "simd/pool.h"

namespace al::moments {
namespace {

struct Groups {
  int64_t batch, channels, groups, run;
  int64_t per_group() const { return channels / groups; }
  int64_t items() const { return per_group() * run; }
};

Groups groups_of(const Call& call, const View& x) {
  Groups g{x.shape[0], x.shape[1], call.ints[0], 1};
  for (int d = 2; d < x.ndim; d++) g.run *= x.shape[d];
  return g;
}

// group_norm: y, mean, 1 / sqrt(var + eps); x, weight, bias. ints: groups. floats: eps
void group_norm_kernel(const Call& call) {
  const View& input = *call.views[3];
  const Groups s = groups_of(call, input);
  pool::for_float_type(call, input.dtype, "group_norm", [&](auto kind) {
    using T = decltype(kind);
    using C = compute_t<T>;
    const C* weight = call.views[4] ? ptr<C>(*call.views[4]) : nullptr;
    const C* bias = call.views[5] ? ptr<C>(*call.views[5]) : nullptr;
    parallel_for(s.batch * s.groups, pool::grain_of(s.items()), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        const T* x = ptr<T>(input) + i * s.items();
        T* y = ptr<T>(*call.views[0]) + i * s.items();
        const C mean = C(sum(x, s.items()) / double(s.items()));
        const C inverse = C(1 / std::sqrt(sum_squares(x, s.items(), mean) / double(s.items()) + call.floats[0]));
        ptr<C>(*call.views[1])[i] = mean;
        ptr<C>(*call.views[2])[i] = inverse;
        for (int64_t k = 0; k < s.per_group(); k++) {
          const int64_t c = i % s.groups * s.per_group() + k;
          scale_run(x + k * s.run, s.run, mean, weight ? inverse * weight[c] : inverse, bias ? bias[c] : C(0), y + k * s.run);
        }
      }
    });
  });
}

// One (sample, group): its dx, and the sums of its channels, from which dweight and dbias are made.
template <class T>
void backward_group(const Groups& s, int64_t i, const T* g, const T* x, compute_t<T> mean, compute_t<T> inverse,
                    const compute_t<T>* weight, T* dx, GradientSums* sums) {
  using C = compute_t<T>;
  const int64_t first = i % s.groups * s.per_group();
  double plain = 0, centred = 0;
  for (int64_t k = 0; k < s.per_group(); k++) {
    sums[k] = gradient_sums(g + k * s.run, x + k * s.run, s.run, mean);
    const double w = weight ? weight[first + k] : 1;
    plain += w * sums[k].plain;
    centred += w * sums[k].centred;
  }
  const double r = inverse, n = double(s.items());
  const C b = C(-r * r * r * centred / n), shift = C(-r * plain / n);
  for (int64_t k = 0; k < s.per_group(); k++) {
    const C a = weight ? inverse * weight[first + k] : inverse;
    gradient_run(g + k * s.run, x + k * s.run, s.run, mean, a, b, shift, dx + k * s.run);
  }
}

template <class T>
void backward(const Call& call, const Groups& s) {
  using C = compute_t<T>;
  const C *mean = ptr<C>(*call.views[5]), *inverse = ptr<C>(*call.views[6]);
  const C* weight = call.views[7] ? ptr<C>(*call.views[7]) : nullptr;
  Scratch<GradientSums> sums(s.batch * s.channels);
  parallel_for(s.batch * s.groups, pool::grain_of(s.items()), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++)
      backward_group(s, i, ptr<T>(*call.views[3]) + i * s.items(), ptr<T>(*call.views[4]) + i * s.items(), mean[i], inverse[i],
                     weight, ptr<T>(*call.views[0]) + i * s.items(), sums.data + i * s.per_group());
  });
  for (int64_t c = 0; c < s.channels; c++) {
    double dweight = 0, dbias = 0;
    for (int64_t n = 0; n < s.batch; n++) {
      dweight += sums[n * s.channels + c].centred * inverse[n * s.groups + c / s.per_group()];
      dbias += sums[n * s.channels + c].plain;
    }
    ptr<C>(*call.views[1])[c] = C(dweight);
    ptr<C>(*call.views[2])[c] = C(dbias);
  }
}

// group_norm_backward: dx, dweight, dbias; g, x, mean, 1 / sqrt(var + eps), weight. ints: groups
void group_norm_backward_kernel(const Call& call) {
  const View& x = *call.views[4];
  pool::for_float_type(call, x.dtype, "group_norm_backward",
                       [&](auto kind) { backward<decltype(kind)>(call, groups_of(call, x)); });
}

AL_KERNEL("group_norm", group_norm_kernel);
AL_KERNEL("group_norm_backward", group_norm_backward_kernel);

}  // namespace
}  // namespace al::moments
