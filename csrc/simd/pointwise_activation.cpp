// Activation functions and their one-pass backward loops: f(x) and f_backward(g, x).
#include <cmath>

#include "loops.h"
#include "vmath.h"

namespace al {
namespace {

struct Silu { template <class T> AL_INLINE T operator()(T x) const { return x / (T(1) + vm::exp(-x)); } };
struct SiluBackward {
  template <class T> AL_INLINE T operator()(T g, T x) const {
    T s = vm::sigmoid(x);
    return g * s * (T(1) + x * (T(1) - s));
  }
};

struct Gelu {
  template <class T> AL_INLINE T operator()(T x) const {
    return x * vm::normal(x).cdf;
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
};

// The tanh form: 0.5 x (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3).
constexpr double kGeluScale = 0.79788456080286535588, kGeluCube = 0.044715;
struct GeluTanh {
  template <class T> AL_INLINE T operator()(T x) const {
    T u2 = T(2 * kGeluScale) * x * (T(1) + T(kGeluCube) * x * x);
    return x / (T(1) + vm::exp(-u2));
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
};

AL_REGISTER() {
  on_floats<1>("sigmoid", [](auto x) { return vm::sigmoid(x); });
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
struct LogSigmoid { template <class T> AL_INLINE T operator()(T x) const { return -vm::softplus(-x); } };

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

template <class C> AL_INLINE void swiglu_block(C* ga, C* gb, const C* g, const C* a, const C* b, int64_t n) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; i++) {
    C s = vm::sigmoid(a[i]), gi = g[i];
    C slope = s * (C(1) + a[i] * (C(1) - s));
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
  blockwise<1, 3>(c, [](auto& v, int64_t n) {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) v[0][i] = Silu{}(v[1][i]) * v[2][i];
  });
}

void swiglu_backward(const Call& c) {  // views: ga, gb, g, a, b
  blockwise<2, 5>(c, [](auto& v, int64_t n) { swiglu_block(v[0], v[1], v[2], v[3], v[4], n); });
}

AL_KERNEL("swiglu", swiglu);
AL_KERNEL("swiglu_backward", swiglu_backward);

}  // namespace
}  // namespace al
