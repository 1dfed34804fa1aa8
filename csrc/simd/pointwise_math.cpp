// Exponentials, logarithms, trigonometric and hyperbolic functions, error functions.
#include <cmath>

#include "loops.h"
#include "pieces.h"

namespace al {
namespace {

struct Exp {
  template <class T> AL_INLINE T operator()(T x) const { return vm::exp(x); }
  static constexpr bool by_vectors = true;
  template <int K> static AL_INLINE void vectors(vm::Many<K>& y, const vm::Many<K>& x) {
    AL_EACH(k) y[k] = x[k];
    vm::exp<K>(y);
  }
};

struct Tanh {
  template <class T> AL_INLINE T operator()(T x) const { return vm::tanh(x); }
#if defined(__AVX512F__)
  static constexpr bool by_vectors = true;
  template <int K> static AL_INLINE void vectors(vm::Many<K>& y, const vm::Many<K>& x) { vm::tanh<K>(y, x); }
#endif
};
struct Erf {
  template <class T> AL_INLINE T operator()(T x) const { return vm::erf(x); }
#if defined(__AVX512F__)
  static constexpr bool by_vectors = true;
  template <int K> static AL_INLINE void vectors(vm::Many<K>& y, const vm::Many<K>& x) { vm::erf<K>(y, x); }
#endif
};

AL_REGISTER() {
  on_floats<1>("exp", Exp{});
  on_floats<1>("exp2", [](auto x) { return vm::exp2(x); });
  on_floats<1>("expm1", [](auto x) { return vm::expm1(x); });
  on_floats<1>("log", [](auto x) { return vm::log(x); });
  on_floats<1>("log2", [](auto x) { return vm::log2(x); });
  on_floats<1>("log10", [](auto x) { return vm::log10(x); });
  on_floats<1>("log1p", [](auto x) { return vm::log1p(x); });
}

AL_REGISTER() {
  on_floats<1>("sinh", [](auto x) { return vm::sinh(x); });
  on_floats<1>("cosh", [](auto x) { return vm::cosh(x); });
  on_floats<1>("tanh", Tanh{});
  on_floats<1>("asinh", [](auto x) { return vm::asinh(x); });
  on_floats<1>("acosh", [](auto x) { return vm::acosh(x); });
  on_floats<1>("atanh", [](auto x) { return vm::atanh(x); });
  on_floats<1>("asin", [](auto x) { return vm::asin(x); });
  on_floats<1>("acos", [](auto x) { return vm::acos(x); });
  on_floats<1>("atan", [](auto x) { return vm::atan(x); });
  on_floats<2>("atan2", [](auto y, auto x) { return vm::atan2(y, x); });
  on_floats<1>("erf", Erf{});
  on_floats<1>("erfc", [](auto x) { return vm::erfc(x); });
}

// sin, cos, tan: a block with an argument out of the fast reduction's reach goes to libm, element by element.
template <class Fast, float (*libm)(float)> void trig_inner(void* const* p, int64_t n) {
  auto* y = static_cast<float*>(p[0]);
  auto* x = static_cast<const float*>(p[1]);
  constexpr int64_t chunk = 64;
  for (int64_t i = 0; i < n; i += chunk) {
    int64_t count = n - i < chunk ? n - i : chunk;
    int wide = 0;
    for (int64_t k = i; k < i + count; k++) wide |= vm::abs(x[k]) > vm::kTrigLimit;
    if (wide) {
      for (int64_t k = i; k < i + count; k++)
        y[k] = vm::abs(x[k]) > vm::kTrigLimit ? libm(x[k]) : Fast{}(x[k]);
    } else {
#pragma GCC ivdep
      for (int64_t k = i; k < i + count; k++) y[k] = Fast{}(x[k]);
    }
  }
}

template <class T, class Fast, float (*libm)(float)>
void trig_loop(char* const* data, const int64_t* strides, int64_t n) {
  static constexpr Port ports[2] = {port<T, true>(), port<T, false>()};
  drive(trig_inner<Fast, libm>, ports, 2, data, strides, n);
}

template <float (*libm)(float), class Fast> void trig(const char* name, Fast f) {
  on_floats<1>(name, f);
  KernelEntry* entry = runtime->entry(name);
  entry->loops[kFloat32] = trig_loop<float, Fast, libm>;
  entry->loops[kFloat16] = trig_loop<float16, Fast, libm>;
  entry->loops[kBFloat16] = trig_loop<bfloat16, Fast, libm>;
}

AL_REGISTER() {
  trig<::sinf>("sin", [](auto x) { return vm::sin(x); });
  trig<::cosf>("cos", [](auto x) { return vm::cos(x); });
  trig<::tanf>("tan", [](auto x) { return vm::tan(x); });
}

}  // namespace
}  // namespace al
