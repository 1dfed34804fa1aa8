// Powers, distances, interpolation and the other ops of two to five operands.
#include <algorithm>
#include <cmath>

#include "loops.h"
#include "vmath.h"

namespace al {
namespace {

// ---- pow: small constant exponents are products and roots; the rest goes to libm ----

struct Pow {
  template <class T> T operator()(T a, T b) const {
    if constexpr (std::is_integral_v<T>) {
      using U = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
      if constexpr (std::is_signed_v<T>)
        if (b < 0) return a == 1 ? T(1) : a == -1 ? (b % 2 ? T(-1) : T(1)) : T(0);
      U base = U(a), result = 1;
      for (auto e = std::make_unsigned_t<T>(b); e; e >>= 1, base *= base)
        if (e & 1) result *= base;
      return T(result);
    } else {
      return std::pow(a, b);
    }
  }
};

struct Square { template <class T> AL_INLINE T operator()(T x, T) const { return x * x; } };
struct Cube { template <class T> AL_INLINE T operator()(T x, T) const { return x * x * x; } };
struct Root {
  template <class T>
  AL_INLINE T operator()(T x, T) const {
    return std::sqrt(x);
  }
};  // as torch: not IEEE pow
struct Identity { template <class T> AL_INLINE T operator()(T x, T) const { return x; } };
struct Inverse { template <class T> AL_INLINE T operator()(T x, T) const { return T(1) / x; } };
struct InverseSquare { template <class T> AL_INLINE T operator()(T x, T) const { return T(1) / (x * x); } };
struct One { template <class T> AL_INLINE T operator()(T, T) const { return T(1); } };

template <class T> void pow_loop(char* const* data, const int64_t* strides, int64_t n) {
  using C = compute_t<T>;
  struct Special { C exponent; LoopFn loop; };
  static constexpr Special table[] = {
      {C(2), Loop<Square, T, T, T>::run},   {C(3), Loop<Cube, T, T, T>::run},
      {C(0.5), Loop<Root, T, T, T>::run},   {C(1), Loop<Identity, T, T, T>::run},
      {C(-1), Loop<Inverse, T, T, T>::run}, {C(-2), Loop<InverseSquare, T, T, T>::run},
      {C(0), Loop<One, T, T, T>::run}};
  if (strides[2] == 0 && n > 0) {
    C exponent = to_compute(*reinterpret_cast<const T*>(data[2]));
    for (const Special& s : table) {
      if (s.exponent != exponent) continue;
      int64_t unread[3] = {strides[0], strides[1], strides[1]};  // the exponent is not looked at
      char* operands[3] = {data[0], data[1], data[1]};
      return s.loop(operands, unread, n);
    }
  }
  Loop<Pow, T, T, T>::run(data, strides, n);
}

AL_REGISTER() {
  on_numbers<2>("pow", Pow{});
  KernelEntry* entry = runtime->entry("pow");
  entry->loops[kFloat32] = pow_loop<float>;
  entry->loops[kFloat64] = pow_loop<double>;
  entry->loops[kFloat16] = pow_loop<float16>;
  entry->loops[kBFloat16] = pow_loop<bfloat16>;
}

// ---- two operands ----

struct Hypot {
  AL_INLINE double operator()(double a, double b) const { return std::hypot(a, b); }
  AL_INLINE float operator()(float a, float b) const {  // in double nothing overflows
    float y = float(std::sqrt(double(a) * a + double(b) * b));
    return vm::abs(a) == vm::kInf || vm::abs(b) == vm::kInf ? vm::kInf : y;
  }
};
struct LogAddExp {
  template <class T> AL_INLINE T operator()(T a, T b) const {
    T high = a > b ? a : b, gap = vm::abs(a - b);
    T y = high + vm::log1p(vm::exp(-gap));
    y = a == b && vm::abs(a) == std::numeric_limits<T>::infinity() ? a : y;
    return a != a || b != b ? a + b : y;
  }
};
struct LogAddExp2 {
  template <class T> AL_INLINE T operator()(T a, T b) const {
    T high = a > b ? a : b, gap = vm::abs(a - b);
    T y = high + vm::log1p(vm::exp2(-gap)) * T(1.44269504088896340736);
    y = a == b && vm::abs(a) == std::numeric_limits<T>::infinity() ? a : y;
    return a != a || b != b ? a + b : y;
  }
};
struct XLogY {
  template <class T> AL_INLINE T operator()(T x, T y) const {
    T z = x * vm::log(y);
    return x == T(0) && y == y ? T(0) : z;
  }
};

AL_REGISTER() {
  on_floats<2>("hypot", Hypot{});
  on_floats<2>("copysign", [](auto a, auto b) { return vm::copysign(a, b); });
  on_floats<2>("logaddexp", LogAddExp{});
  on_floats<2>("logaddexp2", LogAddExp2{});
  on_floats<2>("xlogy", XLogY{});
}

// ---- three to five operands ----

struct AddScaled {  // a + alpha b
  template <class T> AL_INLINE T operator()(T a, T b, T alpha) const {
    if constexpr (std::is_integral_v<T>) return T(uint64_t(a) + uint64_t(b) * uint64_t(alpha));
    else return a + alpha * b;
  }
};
struct AddCMul {
  template <class T> AL_INLINE T operator()(T x, T a, T b, T value) const {
    if constexpr (std::is_integral_v<T>) return T(uint64_t(x) + uint64_t(value) * uint64_t(a) * uint64_t(b));
    else return x + value * a * b;
  }
};
struct Lerp {  // exact at both ends
  template <class T> AL_INLINE T operator()(T a, T b, T w) const {
    T near = a + w * (b - a), far = b - (b - a) * (T(1) - w);
    return vm::abs(w) < T(0.5) ? near : far;
  }
};
struct NanToNum {
  template <class T> AL_INLINE T operator()(T x, T nan, T high, T low) const {
    constexpr T inf = std::numeric_limits<T>::infinity();
    T y = x == inf ? high : x;
    y = x == -inf ? low : y;
    return x != x ? nan : y;
  }
};

AL_REGISTER() {
  on_numbers<3>("add_scaled", AddScaled{});
  on_numbers<4>("addcmul", AddCMul{});
  on_floats<4>("addcdiv", [](auto x, auto a, auto b, auto value) { return x + value * a / b; });
  on_floats<3>("lerp", Lerp{});
  on_floats<4>("nan_to_num", NanToNum{});
}

// ---- erfinv: Giles' single-precision start (2010), then Halley steps in double on the side without
// cancellation ----

double erfinv_start(double x) {
  double w = -std::log((1.0 - x) * (1.0 + x));
  if (w < 5.0)
    return x * vm::poly(w - 2.5, 1.50140941, 0.246640727, -0.00417768164, -0.00125372503, 0.00021858087,
                        -4.39150654e-06, -3.5233877e-06, 3.43273939e-07, 2.81022636e-08);
  return x * vm::poly(std::sqrt(w) - 3.0, 2.83297682, 1.00167406, 0.00943887047, -0.0076224613, 0.00573950773,
                      -0.00367342844, 0.00134934322, 0.000100950558, -0.000200214257);
}

double erfinv(double x) {
  double a = std::fabs(x);
  if (!(a < 1.0)) return a == 1.0 ? std::copysign(std::numeric_limits<double>::infinity(), x) : std::nan("");
  double y = erfinv_start(a);
  for (int step = 0; step < 2; step++) {
    double error = a < 0.5 ? std::erf(y) - a : (1.0 - a) - std::erfc(y);
    double u = error / (1.12837916709551257390 * std::exp(-y * y));
    y -= u / (1.0 + y * u);
  }
  return std::copysign(y, x);
}

struct ErfInv {
  template <class T> T operator()(T x) const { return T(erfinv(double(x))); }
};
AL_REGISTER() { on_floats<1>("erfinv", ErfInv{}); }

// ---- a check that loops cannot make: views[0] is a 0-d bool nobody reads, views[1] the integer divisor ----

void check_divisor(const Call& c) {
  const View& divisor = *c.views[1];
  bool zero = false;
  dispatch_ints(divisor.dtype, [&]<class T>(Type<T>) {
    const T* p = ptr<T>(divisor);
    zero = std::find(p, p + numel(divisor), T(0)) != p + numel(divisor);
  });
  *ptr<bool>(*c.views[0]) = zero;
  if (zero)
    fail(c, kRuntimeError, "integer division: ZeroDivisionError: the divisor has a 0; mask it or use floats");
}
AL_KERNEL("check_divisor", check_divisor);

}  // namespace
}  // namespace al
