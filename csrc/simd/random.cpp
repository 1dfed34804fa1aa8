// Random kernels. ints of all: seed, offset last; an element's value depends on the seed and (offset + index)
// alone.
#include <cmath>

#include "dtypes.h"
#include "philox.h"

namespace al {
namespace {

struct Key {
  uint64_t seed, offset;
  explicit Key(const Call& call)
      : seed(uint64_t(call.ints[call.ints.count - 2])), offset(uint64_t(call.ints[call.ints.count - 1])) {}
};

struct BFloat {
  uint16_t bits;
  operator float() const {
    const uint32_t u = uint32_t(bits) << 16;
    float f;
    std::memcpy(&f, &u, 4);
    return f;
  }
};

inline BFloat round_bfloat(float v) {
  uint32_t u;
  std::memcpy(&u, &v, 4);
  if (v != v) return {uint16_t(u >> 16 | 64)};
  return {uint16_t((u + 0x7fff + (u >> 16 & 1)) >> 16)};
}

template <class T, class V>
inline T rounded(V v) {
  if constexpr (std::is_same_v<T, BFloat>) return round_bfloat(float(v));
  else return T(v);
}

// Calls f(T{}) for the float dtypes.
template <class F>
void with_float(const Call& call, const char* op, int32_t dtype, F&& f) {
  switch (dtype) {
    case kFloat16: return f(float16{});
    case kBFloat16: return f(BFloat{});
    case kFloat32: return f(float{});
    case kFloat64: return f(double{});
    default:
      fail(call, kRuntimeError, "%s: not implemented for dtype code %d on cpu; use a float dtype", op, dtype);
  }
}

template <class T>
constexpr bool kWide = std::is_same_v<T, double>;
template <class T>
using Compute = std::conditional_t<kWide<T>, double, float>;

inline uint64_t word64(const Words& words, int k) {
  const int at = k / kLanes * 2 * kLanes + k % kLanes;
  return words.w[at] | uint64_t(words.w[at + kLanes]) << 32;
}

// Fills y by a rule from words to one value each: of(uint32_t) for floats up to 32 bits, of(uint64_t) for
// doubles.
template <class T, class Rule>
void fill(const View& y, const Key& key, Rule of) {
  constexpr int kGroup = kWide<T> ? 2 * kLanes : 4 * kLanes;
  for_groups<kGroup>(numel(y), key.offset, [&](uint64_t group, int skip, int64_t begin, int64_t count) {
    Words words;
    philox(key.seed, group, kWide<T> ? kStream64 : kStream32, words);
    T values[kGroup];
    if constexpr (kWide<T>)
      for (int k = 0; k < kGroup; k++) values[k] = of(word64(words, k));
    else
      for (int k = 0; k < kGroup; k++) values[k] = rounded<T>(of(words.w[k]));
    std::memcpy(ptr<T>(y) + begin, values + skip, size_t(count) * sizeof(T));
  });
}

// floats: low, high. In [low, high): fewer bits for the narrow dtypes, so that rounding does not reach
// `high`.
void uniform(const Call& call) {
  const View& y = *call.views[0];
  const Key key(call);
  with_float(call, "uniform_", y.dtype, [&](auto tag) {
    using T = decltype(tag);
    using C = Compute<T>;
    constexpr int kDrop = std::is_same_v<T, BFloat> ? 16 : std::is_same_v<T, float16> ? 13 : 0;
    const C low = C(call.floats[0]), high = C(call.floats[1]), range = high - low;
    fill<T>(y, key, [=](auto word) {
      C u = unit(word);
      if constexpr (kDrop) u = float(int32_t(word >> 8 >> kDrop)) * (0x1p-24f * float(1 << kDrop));
      const C v = low + u * range;
      return v < high ? v : low;
    });
  });
}

// Box-Muller: words in pairs, so that the pair (k, k + 16) of a group shares a radius.
template <class T>
void normal_group(const Words& words, Compute<T> mean, Compute<T> std, T* values) {
  if constexpr (kWide<T>) {
    for (int k = 0; k < kLanes; k++) {
      const double r = std::sqrt(-2.0 * std::log(open_unit(word64(words, k)))) * std;
      const double angle = unit(word64(words, k + kLanes)) * 6.283185307179586;
      values[k] = mean + r * std::cos(angle), values[k + kLanes] = mean + r * std::sin(angle);
    }
  } else {
    for (int half = 0; half < 4; half += 2)
      for (int k = 0; k < kLanes; k++) {
        float sine, cosine;
        sincos_turns(float(int32_t(words.w[(half + 1) * kLanes + k])) * 0x1p-32f, sine, cosine);
        const float r = std::sqrt(-2.0f * fast_log(open_unit(words.w[half * kLanes + k]))) * std;
        values[half * kLanes + k] = rounded<T>(mean + r * cosine);
        values[(half + 1) * kLanes + k] = rounded<T>(mean + r * sine);
      }
  }
}

// floats: mean, std.
void normal(const Call& call) {
  const View& y = *call.views[0];
  const Key key(call);
  with_float(call, "normal_", y.dtype, [&](auto tag) {
    using T = decltype(tag);
    constexpr int kGroup = kWide<T> ? 2 * kLanes : 4 * kLanes;
    const auto mean = Compute<T>(call.floats[0]), std = Compute<T>(call.floats[1]);
    for_groups<kGroup>(numel(y), key.offset, [&](uint64_t group, int skip, int64_t begin, int64_t count) {
      Words words;
      philox(key.seed, group, kWide<T> ? kStream64 : kStream32, words);
      T values[kGroup];
      normal_group<T>(words, mean, std, values);
      std::memcpy(ptr<T>(y) + begin, values + skip, size_t(count) * sizeof(T));
    });
  });
}

// floats: rate.
void exponential(const Call& call) {
  const View& y = *call.views[0];
  const Key key(call);
  with_float(call, "exponential_", y.dtype, [&](auto tag) {
    using T = decltype(tag);
    const auto scale = Compute<T>(-1.0 / call.floats[0]);
    fill<T>(y, key, [=](auto word) {
      if constexpr (kWide<T>) return std::log(open_unit(word)) * scale;
      else return fast_log(open_unit(word)) * scale;
    });
  });
}

template <class Store>
void fill_integers(const View& y, const Key& key, int64_t low, uint64_t range, Store store) {
  for_groups<2 * kLanes>(numel(y), key.offset, [&](uint64_t group, int skip, int64_t begin, int64_t count) {
    Words words;
    philox(key.seed, group, kStream64, words);
    for (int64_t i = 0; i < count; i++) {
      const uint64_t word = word64(words, skip + int(i));
      const uint64_t draw =
          range ? uint64_t((unsigned __int128)word * range >> 64) : word;  // bias below range / 2^64
      store(begin + i, int64_t(uint64_t(low) + draw));
    }
  });
}

// ints: low, range (0: all 2^64), seed, offset. In [low, low + range).
void integers(const Call& call) {
  const View& y = *call.views[0];
  const Key key(call);
  auto run = [&](auto tag) {
    using T = decltype(tag);
    fill_integers(y, key, call.ints[call.ints.count - 4], uint64_t(call.ints[call.ints.count - 3]),
                  [out = ptr<T>(y)](int64_t i, int64_t v) { out[i] = rounded<T>(v); });
  };
  switch (y.dtype) {
    case kBool:
      return fill_integers(y, key, call.ints[call.ints.count - 4], uint64_t(call.ints[call.ints.count - 3]),
                           [out = ptr<bool>(y)](int64_t i, int64_t v) { out[i] = v != 0; });
    case kUInt8: return run(uint8_t{});
    case kInt8: return run(int8_t{});
    case kInt16: return run(int16_t{});
    case kInt32: return run(int32_t{});
    case kInt64: return run(int64_t{});
    default: return with_float(call, "randint", y.dtype, run);
  }
}

// y, p (of y's shape, or 0-d). One with probability p.
void bernoulli(const Call& call) {
  const View &y = *call.views[0], &p = *call.views[1];
  const Key key(call);
  const int64_t step = p.ndim == 0 ? 0 : 1;
  auto run = [&](auto out_tag) {
    using T = decltype(out_tag);
    with_float(call, "bernoulli", p.dtype, [&](auto tag) {
      using P = decltype(tag);
      for_groups<4 * kLanes>(
          numel(y), key.offset, [&](uint64_t group, int skip, int64_t begin, int64_t count) {
            Words words;
            philox(key.seed, group, kStream32, words);
            for (int64_t i = 0; i < count; i++) {
              const double chance = double(Compute<P>(ptr<P>(p)[(begin + i) * step]));
              if (!(chance >= 0 && chance <= 1))
                return fail(call, kRuntimeError,
                            "bernoulli: probabilities must be in [0, 1]: got %g; clamp them first", chance);
              ptr<T>(y)[begin + i] = rounded<T>(words.w[skip + i] * 0x1p-32 < chance ? 1.0f : 0.0f);
            }
          });
    });
  };
  switch (y.dtype) {
    case kBool:
    case kUInt8:
    case kInt8: return run(uint8_t{});
    case kInt16: return run(int16_t{});
    case kInt32: return run(int32_t{});
    case kInt64: return run(int64_t{});
    default: return with_float(call, "bernoulli", y.dtype, run);
  }
}

// A Poisson variate of a rate: values are visited from the mode outwards, and the one on which `u` in [0, 1) comes to lie is drawn.
// So a value takes one number of the generator and some 2 sqrt(rate) steps.
double poisson_of(double rate, double u) {
  const double mode = std::floor(rate);
  int sign;  // std::lgamma writes a global
  const double peak = rate == 0 ? 1 : std::exp(mode * std::log(rate) - rate - lgamma_r(mode + 1, &sign));
  double above = mode, below = mode, rising = peak, falling = peak;
  u -= peak;
  while (u >= 0) {
    rising *= rate / ++above;
    if ((u -= rising) < 0) return above;
    if (below > 0) {
      falling *= below-- / rate;
      if ((u -= falling) < 0) return below;
    } else if (rising < 0x1p-60) return above;  // what rounding left of u
    if (rising < 0x1p-60 && falling < 0x1p-60) return mode;
  }
  return mode;
}

// y, rates.
void poisson(const Call& call) {
  const View &y = *call.views[0], &rates = *call.views[1];
  const Key key(call);
  with_float(call, "poisson", y.dtype, [&](auto tag) {
    using T = decltype(tag);
    for_groups<2 * kLanes>(numel(y), key.offset, [&](uint64_t group, int skip, int64_t begin, int64_t count) {
      Words words;
      philox(key.seed, group, kStream64, words);
      for (int64_t i = 0; i < count; i++) {
        const double rate = double(Compute<T>(ptr<T>(rates)[begin + i]));
        if (!(rate >= 0 && rate <= 1e9))
          return fail(call, kRuntimeError, "poisson: invalid Poisson rate, expected rates from 0 to 1e9: got %g; clamp them first", rate);
        ptr<T>(y)[begin + i] = rounded<T>(poisson_of(rate, unit(word64(words, skip + int(i)))));
      }
    });
  });
}

// y, x. floats: p. Zero with probability p, else x / (1 - p). The same call on a gradient is the backward
// pass: no mask is kept.
void dropout(const Call& call) {
  const View &y = *call.views[0], &x = *call.views[1];
  const Key key(call);
  const double p = call.floats[0];
  const uint32_t threshold = p >= 1 ? UINT32_MAX : uint32_t(p * 4294967296.0);
  const double scale = p >= 1 ? 0 : 1 / (1 - p);
  with_float(call, "dropout", y.dtype, [&](auto tag) {
    using T = decltype(tag);
    const auto factor = Compute<T>(scale);
    for_groups<4 * kLanes>(numel(y), key.offset, [&](uint64_t group, int skip, int64_t begin, int64_t count) {
      Words words;
      philox(key.seed, group, kStream32, words);
      const T* from = ptr<T>(x) + begin;
      T* to = ptr<T>(y) + begin;
      auto keep = [&](int64_t items) {
        for (int64_t i = 0; i < items; i++) {
          const auto v = Compute<T>(from[i]) * factor;
          to[i] = rounded<T>(words.w[skip + i] >= threshold && scale != 0 ? v : Compute<T>(0));
        }
      };
      if (count == 4 * kLanes) keep(4 * kLanes);  // a loop of constant length vectorises better
      else keep(count);
    });
  });
}

// y: a permutation of 0..n-1 by Fisher and Yates; step i uses draw i.
void randperm(const Call& call) {
  const View& y = *call.views[0];
  const Key key(call);
  const int64_t n = numel(y);
  Scratch<uint64_t> draws(n);
  for_groups<2 * kLanes>(n, key.offset, [&](uint64_t group, int skip, int64_t begin, int64_t count) {
    Words words;
    philox(key.seed, group, kStream64, words);
    for (int64_t i = 0; i < count; i++) draws[begin + i] = word64(words, skip + int(i));
  });
  int64_t* out = ptr<int64_t>(y);
  for (int64_t i = 0; i < n; i++) out[i] = i;
  for (int64_t i = 0; i + 1 < n; i++) {
    const int64_t j = i + int64_t((unsigned __int128)draws[i] * uint64_t(n - i) >> 64), v = out[i];
    out[i] = out[j], out[j] = v;
  }
}

AL_KERNEL("philox_uniform", uniform);
AL_KERNEL("philox_normal", normal);
AL_KERNEL("philox_exponential", exponential);
AL_KERNEL("philox_integers", integers);
AL_KERNEL("philox_bernoulli", bernoulli);
AL_KERNEL("philox_poisson", poisson);
AL_KERNEL("dropout", dropout);
AL_KERNEL("randperm", randperm);

}  // namespace
}  // namespace al
