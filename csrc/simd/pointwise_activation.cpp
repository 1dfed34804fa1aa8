// Activation functions and their one-pass backward loops: f(x) and f_backward(g, x).
#include <cmath>

#include "loops.h"
#include "pieces.h"

namespace al {
namespace {

using vm::Many;

struct Silu {
  template <class T> AL_INLINE T operator()(T x) const { return x / (T(1) + vm::exp(-x)); }
  static constexpr bool by_vectors = true;
  template <int K> static AL_INLINE void vectors(Many<K>& y, const Many<K>& x) {
    AL_EACH(k) y[k] = -x[k];
    vm::exp<K>(y);
    AL_EACH(k) y[k] = x[k] / (splat(1.0f) + y[k]);
  }
};
struct SiluBackward {
  template <class T> AL_INLINE T operator()(T g, T x) const {
    T s = vm::sigmoid(x);
    return g * s * (T(1) + x * (T(1) - s));
  }
  static constexpr bool by_vectors = true;
  template <int K> static AL_INLINE void vectors(Many<K>& d, const Many<K>& g, const Many<K>& x) {
    AL_EACH(k) d[k] = x[k];
    vm::sigmoid<K>(d);
    AL_EACH(k) d[k] = g[k] * d[k] * (splat(1.0f) + x[k] * (splat(1.0f) - d[k]));
  }
};

struct Gelu {
  template <class T> AL_INLINE T operator()(T x) const {
    return x * vm::normal(x).cdf;
  }
  static constexpr bool by_vectors = true;
  template <int K> static AL_INLINE void vectors(Many<K>& y, const Many<K>& x) {
    vm::gelu<K>(y, x);
  }
};
struct GeluBackward {
  template <class T> AL_INLINE T operator()(T g, T x) const {
    auto n = vm::normal(x);
    T bounded = x > T(40)    ? T(40)
                : x < T(-40) ? T(-40)
                             : x;  // the density is 0 out there, infinity times it is not
    return g * (n.cdf + bounded * n.pdf);
  }
  static constexpr bool by_vectors = true;
  template <int K> static AL_INLINE void vectors(Many<K>& d, const Many<K>& g, const Many<K>& x) {
    vm::gelu_slope<K>(d, x);
    AL_EACH(k) d[k] *= g[k];
  }
};

// The tanh form: 0.5 x (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3).
constexpr double kGeluScale = 0.79788456080286535588, kGeluCube = 0.044715;
struct GeluTanh {
  template <class T> AL_INLINE T operator()(T x) const {
    T u2 = T(2 * kGeluScale) * x * (T(1) + T(kGeluCube) * x * x);
    return x / (T(1) + vm::exp(-u2));
  }
  static constexpr bool by_vectors = true;
  template <int K> static AL_INLINE void vectors(Many<K>& y, const Many<K>& x) {
    AL_EACH(k) y[k] = -(splat(float(2 * kGeluScale)) * x[k] * (splat(1.0f) + splat(float(kGeluCube)) * x[k] * x[k]));
    vm::exp<K>(y);
    AL_EACH(k) y[k] = x[k] / (splat(1.0f) + y[k]);
  }
};
struct GeluTanhBackward {
  template <class T> AL_INLINE T operator()(T g, T x) const {
    T b = x > T(40) ? T(40) : x < T(-40) ? T(-40) : x, z = b * b;
    T s = vm::sigmoid(T(2 * kGeluScale) * b * (T(1) + T(kGeluCube) * z));
    T slope = T(2 * kGeluScale) * (T(1) + T(3 * kGeluCube) * z);
    T y = g * (s + b * s * (T(1) - s) * slope);
    return x != x ? x : y;
  }
  static constexpr bool by_vectors = true;
  template <int K> static AL_INLINE void vectors(Many<K>& d, const Many<K>& g, const Many<K>& x) {
    Many<K> b, z, s;
    const vm::Floats one = splat(1.0f), scale = splat(float(2 * kGeluScale));
    AL_EACH(k) {
      b[k] = vm::at_least(vm::at_most(x[k], 40.0f), -40.0f);
      z[k] = b[k] * b[k];
      s[k] = scale * b[k] * (one + splat(float(kGeluCube)) * z[k]);
    }
    vm::sigmoid<K>(s);
    AL_EACH(k) d[k] = g[k] * (s[k] + b[k] * s[k] * (one - s[k]) * (scale * (one + splat(float(3 * kGeluCube)) * z[k])));
  }
};

struct Sigmoid {
  template <class T> AL_INLINE T operator()(T x) const { return vm::sigmoid(x); }
  static constexpr bool by_vectors = true;
  template <int K> static AL_INLINE void vectors(Many<K>& y, const Many<K>& x) {
    AL_EACH(k) y[k] = x[k];
    vm::sigmoid<K>(y);
  }
};

AL_REGISTER() {
  on_floats<1>("sigmoid", Sigmoid{});
  on_floats<2>("sigmoid_backward", [](auto g, auto y) { return g * (decltype(y)(1) - y) * y; });
  on_floats<2>("tanh_backward", [](auto g, auto y) { return g * (decltype(y)(1) - y * y); });
  on_floats<1>("silu", Silu{});
  on_floats<2>("silu_backward", SiluBackward{});
  on_floats<1>("gelu", Gelu{});
  on_floats<2>("gelu_backward", GeluBackward{});
  on_floats<1>("gelu_tanh", GeluTanh{});
  on_floats<2>("gelu_tanh_backward", GeluTanhBackward{});
}

struct Softplus {
  template <class T> AL_INLINE T operator()(T x, T beta, T threshold) const {
    T z = x * beta, y = vm::log1p(vm::exp(z)) / beta;
    return z > threshold ? x : y;
  }
};
struct SoftplusBackward {
  template <class T> AL_INLINE T operator()(T g, T x, T beta, T threshold) const {
    T z = x * beta, y = g * vm::sigmoid(z);
    return z > threshold ? g : y;
  }
};
struct LogSigmoid { template <class T> AL_INLINE T operator()(T x) const { return T(0) - vm::softplus(-x); } };

struct Mish {  // tanh(log(1 + e^x)) = m / (m + 2), m = e^x (e^x + 2)
  template <class T> AL_INLINE T operator()(T x) const {
    T e = vm::exp(x > T(20) ? T(20) : x), m = e * (e + T(2));
    return x * (m / (m + T(2)));
  }
};
struct MishBackward {
  template <class T> AL_INLINE T operator()(T g, T x) const {
    T b = x > T(20) ? T(20) : x < T(-800) ? T(-800) : x;
    T e = vm::exp(b), m = e * (e + T(2)), t = m / (m + T(2));
    return g * (t + b * (T(1) - t * t) * (e / (T(1) + e)));
  }
};

AL_REGISTER() {
  on_floats<3>("softplus", Softplus{});
  on_floats<4>("softplus_backward", SoftplusBackward{});
  on_floats<1>("logsigmoid", LogSigmoid{});
  on_floats<2>("logsigmoid_backward", [](auto g, auto x) { return g * vm::sigmoid(-x); });
  on_floats<1>("mish", Mish{});
  on_floats<2>("mish_backward", MishBackward{});
}

struct Elu {  // elu, selu and celu: scale * (x or alpha (e^(input_scale x) - 1))
  template <class T> AL_INLINE T operator()(T x, T alpha, T scale, T input_scale) const {
    T negative = alpha * scale * vm::expm1(x * input_scale);
    return x > T(0) ? x * scale : negative;
  }
};
struct EluBackward {
  template <class T> AL_INLINE T operator()(T g, T x, T alpha, T scale, T input_scale) const {
    T negative = g * (alpha * scale * input_scale) * vm::exp(x * input_scale);
    return x > T(0) ? g * scale : negative;
  }
};

AL_REGISTER() {
  on_floats<4>("elu", Elu{});
  on_floats<5>("elu_backward", EluBackward{});
  on_floats<2>("leaky_relu", [](auto x, auto slope) { return x > decltype(x)(0) ? x : x * slope; });
  on_floats<3>("leaky_relu_backward",
               [](auto g, auto x, auto slope) { return x > decltype(x)(0) ? g : g * slope; });
  on_numbers<3>("threshold", [](auto x, auto limit, auto value) { return x <= limit ? value : x; });
  on_floats<3>("threshold_backward",
               [](auto g, auto x, auto limit) { return x <= limit ? decltype(x)(0) : g; });
}

struct Inside {  // g where low < x < high
  template <class T> AL_INLINE T operator()(T g, T x, T low, T high) const {
    return (x <= low) | (x >= high) ? T(0) : g;
  }
};
struct InsideOrOn {
  template <class T> AL_INLINE T operator()(T g, T x, T low, T high) const {
    return (x >= low) & (x <= high) ? g : T(0);
  }
};
template <class T> AL_INLINE T clip(T x, T low, T high) {
  T y = x < low ? low : x;
  return y > high ? high : y;
}
struct HardSwishBackward {
  template <class T> AL_INLINE T operator()(T g, T x) const {
    T middle = g * (x / T(3) + T(0.5));
    T y = x <= T(-3) ? T(0) : middle;
    return x >= T(3) ? g : y;
  }
};
struct HardSigmoidBackward {
  template <class T>
  AL_INLINE T operator()(T g, T x) const {
    return (x > T(-3)) & (x < T(3)) ? g / T(6) : T(0);
  }
};

AL_REGISTER() {
  on_floats<4>("hardtanh_backward", Inside{});
  on_floats<4>("clamp_backward", InsideOrOn{});
  on_floats<1>("hardswish", [](auto x) {
    using T = decltype(x);
    return x * clip(x + T(3), T(0), T(6)) / T(6);
  });
  on_floats<2>("hardswish_backward", HardSwishBackward{});
  on_floats<1>("hardsigmoid", [](auto x) {
    using T = decltype(x);
    return clip(x + T(3), T(0), T(6)) / T(6);
  });
  on_floats<2>("hardsigmoid_backward", HardSigmoidBackward{});
}

// ---- swiglu: silu(a) b ----

// Blocks hold whole runs of vectors; what lies beyond n is computed and dropped.
constexpr int kTogether = 4;

template <class Body> void by_vectors(int64_t n, Body&& body) {
  constexpr int64_t width = Lanes<float>::width;
  static_assert(kBlock % (kTogether * width) == 0);
  for (int64_t i = 0; i < n; i += kTogether * width) body(i);
}
template <int K> AL_INLINE void load_many(Many<K>& x, const float* from) { AL_EACH(k) x[k] = load(from + k * Lanes<float>::width); }
template <int K> AL_INLINE void store_many(const Many<K>& x, float* to) { AL_EACH(k) store(to + k * Lanes<float>::width, x[k]); }

AL_INLINE void swiglu_block(float* y, const float* a, const float* b, int64_t n) {
  by_vectors(n, [=](int64_t i) {
    Many<kTogether> x, s;
    load_many(x, a + i);
    Silu::vectors(s, x);
    load_many(x, b + i);
    for (int k = 0; k < kTogether; k++) s[k] *= x[k];
    store_many(s, y + i);
  });
}
void swiglu_block(double* y, const double* a, const double* b, int64_t n) {
  for (int64_t i = 0; i < n; i++) y[i] = Silu{}(a[i]) * b[i];
}

AL_INLINE void swiglu_gradient_block(float* ga, float* gb, const float* g, const float* a, const float* b, int64_t n) {
  by_vectors(n, [=](int64_t i) {
    Many<kTogether> x, y, s, gi;
    load_many(x, a + i), load_many(y, b + i), load_many(s, a + i), load_many(gi, g + i);
    vm::sigmoid<kTogether>(s);
    const vm::Floats one = splat(1.0f);
    for (int k = 0; k < kTogether; k++) {
      const vm::Floats slope = s[k] * (one + x[k] * (one - s[k]));
      x[k] = gi[k] * x[k] * s[k];
      y[k] = gi[k] * y[k] * slope;
    }
    store_many(x, gb + i), store_many(y, ga + i);
  });
}
void swiglu_gradient_block(double* ga, double* gb, const double* g, const double* a, const double* b, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    const double s = vm::sigmoid(a[i]), gi = g[i], slope = s * (1 + a[i] * (1 - s));
    gb[i] = gi * a[i] * s;
    ga[i] = gi * b[i] * slope;
  }
}

// Runs body(blocks, n) on float blocks of operands that all have one shape and dtype; the first `outs` are
// written.
template <int outs, int count, class Body> void blockwise(const Call& c, Body&& body) {
  dispatch_floats(c.views[0]->dtype, [&]<class T>(Type<T>) {
    using C = compute_t<T>;
    parallel_for(numel(*c.views[0]), 1 << 14, [&](int64_t begin, int64_t end) {
      alignas(64) C block[count][kBlock];
      for (int64_t i = begin; i < end; i += kBlock) {
        int64_t n = end - i < kBlock ? end - i : kBlock;
        for (int k = outs; k < count; k++) load_floats(ptr<T>(*c.views[k]) + i, block[k], n);
        body(block, n);
        for (int k = 0; k < outs; k++) store_floats(block[k], ptr<T>(*c.views[k]) + i, n);
      }
    });
  });
}

void swiglu(const Call& c) {  // views: y, a, b
  blockwise<1, 3>(c, [](auto& v, int64_t n) { swiglu_block(v[0], v[1], v[2], n); });
}

void swiglu_backward(const Call& c) {  // views: ga, gb, g, a, b
  blockwise<2, 5>(c, [](auto& v, int64_t n) { swiglu_gradient_block(v[0], v[1], v[2], v[3], v[4], n); });
}

AL_KERNEL("swiglu", swiglu);
AL_KERNEL("swiglu_backward", swiglu_backward);

}  // namespace
}  // namespace al
