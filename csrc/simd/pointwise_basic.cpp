// Arithmetic, sign and rounding: the pointwise ops that are a few instructions an element.
#include <cmath>
#include <limits>

#include "loops.h"

namespace al {
namespace {

template <class T> constexpr bool is_int = std::is_integral_v<T>;

// Integer arithmetic wraps: it is done on the unsigned type.
template <class T>
using wrap_t = std::make_unsigned_t<std::conditional_t<std::is_same_v<T, bool>, uint8_t, T>>;

struct Add {
  template <class T> AL_INLINE T operator()(T a, T b) const {
    if constexpr (std::is_same_v<T, bool>) return a | b;
    else if constexpr (is_int<T>) return T(wrap_t<T>(a) + wrap_t<T>(b));
    else return a + b;
  }
};
struct Sub {
  template <class T> AL_INLINE T operator()(T a, T b) const {
    if constexpr (is_int<T>) return T(wrap_t<T>(a) - wrap_t<T>(b));
    else return a - b;
  }
};
struct Mul {
  template <class T> AL_INLINE T operator()(T a, T b) const {
    if constexpr (std::is_same_v<T, bool>) return a & b;
    else if constexpr (is_int<T>) return T(uint64_t(a) * uint64_t(b));
    else return a * b;
  }
};
struct Mul32 {  // narrow integers: a product in 32 bits is vectorised
  template <class T> AL_INLINE T operator()(T a, T b) const { return T(uint32_t(a) * uint32_t(b)); }
};

// A divisor of zero is refused before the loop runs (check_divisor); here it only must not trap.
template <class T> AL_INLINE T safe_divisor(T b) { return b == 0 ? T(1) : b; }
template <class T> AL_INLINE T quotient(T a, T b) {
  if constexpr (std::is_signed_v<T>)
    if (b == T(-1)) return T(wrap_t<T>(0) - wrap_t<T>(a));  // the lowest value wraps, as torch's does
  return T(a / safe_divisor(b));
}

struct FloorDivide {
  template <class T> AL_INLINE T operator()(T a, T b) const {
    if constexpr (is_int<T>) {
      T q = quotient(a, b);
      if constexpr (std::is_signed_v<T>)
        if (b != T(-1) && (a % safe_divisor(b) != 0) && ((a < 0) != (b < 0))) q--;
      return q;
    } else {
      T rest = std::fmod(a, b), whole = (a - rest) / b;
      whole = rest != 0 && ((b < 0) != (rest < 0)) ? whole - T(1) : whole;
      T floored = std::floor(whole);
      floored = whole - floored > T(0.5) ? floored + T(1) : floored;
      floored = whole != 0 ? floored : std::copysign(T(0), a / b);
      return b == 0 ? a / b : floored;
    }
  }
};
struct TruncDivide {
  template <class T> AL_INLINE T operator()(T a, T b) const {
    if constexpr (is_int<T>) return quotient(a, b);
    else return std::trunc(a / b);
  }
};
struct Remainder {  // the sign of the divisor
  template <class T> AL_INLINE T operator()(T a, T b) const {
    if constexpr (is_int<T>) {
      if constexpr (std::is_signed_v<T>)
        if (b == T(-1)) return T(0);
      T rest = T(a % safe_divisor(b));
      return rest != 0 && ((rest < 0) != (b < 0)) ? T(rest + b) : rest;
    } else {
      T rest = std::fmod(a, b);
      return rest != 0 && ((rest < 0) != (b < 0)) ? rest + b : rest;
    }
  }
};
struct Fmod {  // the sign of the dividend
  template <class T> AL_INLINE T operator()(T a, T b) const {
    if constexpr (is_int<T>) {
      if constexpr (std::is_signed_v<T>)
        if (b == T(-1)) return T(0);
      return T(a % safe_divisor(b));
    } else {
      return std::fmod(a, b);
    }
  }
};

template <class T> AL_INLINE bool is_nan(T x) { return x != x; }
struct Maximum {  // NaN wins
  template <class T> AL_INLINE T operator()(T a, T b) const {
    if constexpr (is_int<T>) return a > b ? a : b;
    else return is_nan(a) || a > b ? a : b;
  }
};
struct Minimum {
  template <class T> AL_INLINE T operator()(T a, T b) const {
    if constexpr (is_int<T>) return a < b ? a : b;
    else return is_nan(a) || a < b ? a : b;
  }
};
struct Fmax {  // NaN loses
  template <class T> AL_INLINE T operator()(T a, T b) const { return is_nan(a) || b > a ? b : a; }
};
struct Fmin {
  template <class T> AL_INLINE T operator()(T a, T b) const { return is_nan(a) || b < a ? b : a; }
};

struct CountBool {
  int64_t operator()(bool x) const { return x; }
};

struct Abs {
  template <class T> AL_INLINE T operator()(T x) const {
    if constexpr (std::is_floating_point_v<T>) return std::fabs(x);
    else if constexpr (std::is_signed_v<T>) return x < 0 ? T(wrap_t<T>(0) - wrap_t<T>(x)) : x;
    else return x;
  }
};
struct Neg {
  template <class T> AL_INLINE T operator()(T x) const {
    if constexpr (is_int<T>) return T(wrap_t<T>(0) - wrap_t<T>(x));
    else return -x;
  }
};
struct Sign {
  template <class T> AL_INLINE T operator()(T x) const {
    if constexpr (std::is_same_v<T, bool>) return x;
    else return T((x > T(0)) - (x < T(0)));  // NaN gives 0, as torch's does
  }
};
struct Relu {
  template <class T> AL_INLINE T operator()(T x) const { return x < T(0) ? T(0) : x; }  // NaN stays
};
struct Same {
  template <class T> AL_INLINE T operator()(T x) const { return x; }
};

AL_REGISTER() {
  on_numbers<2>("add", Add{});
  on_bool<2>("add", Add{});
  on_numbers<2>("sub", Sub{});
  on_numbers<2>("mul", Mul{});
  on_bool<2>("mul", Mul{});
  add_same<2, Mul32, uint8_t>("mul");
  add_same<2, Mul32, int8_t>("mul");
  add_same<2, Mul32, int16_t>("mul");
  add_same<2, Mul32, int32_t>("mul");
  on_floats<2>("div", [](auto a, auto b) { return a / b; });
}

AL_REGISTER() {
  on_numbers<2>("floor_divide", FloorDivide{});
  on_numbers<2>("trunc_divide", TruncDivide{});
  on_numbers<2>("remainder", Remainder{});
  on_numbers<2>("fmod", Fmod{});
  on_numbers<2>("maximum", Maximum{});
  on_numbers<2>("minimum", Minimum{});
  on_bool<2>("maximum", [](bool a, bool b) { return a | b; });
  on_bool<2>("minimum", [](bool a, bool b) { return a & b; });
  on_numbers<2>("fmax", Fmax{});
  on_numbers<2>("fmin", Fmin{});
  on_bool<2>("fmax", [](bool a, bool b) { return a | b; });
  on_bool<2>("fmin", [](bool a, bool b) { return a & b; });
}

AL_REGISTER() {
  on_numbers<1>("abs", Abs{});
  on_numbers<1>("neg", Neg{});
  on_numbers<1>("sign", Sign{});
  on_bool<1>("sign", Sign{});
  on_numbers<1>("square", [](auto x) { return Mul{}(x, x); });
  add_same<1, CountBool, bool, int64_t>("square");  // a power of a bool is an integer, as in torch
  on_numbers<1>("relu", Relu{});
  on_floats<1>("reciprocal", [](auto x) { return decltype(x)(1) / x; });
  on_floats<1>("sqrt", [](auto x) { return std::sqrt(x); });
  on_floats<1>("rsqrt", [](auto x) { return decltype(x)(1) / std::sqrt(x); });
}

AL_REGISTER() {  // integers are whole already
  on_ints<1>("floor", Same{});
  on_ints<1>("ceil", Same{});
  on_ints<1>("round", Same{});
  on_ints<1>("trunc", Same{});
  on_floats<1>("floor", [](auto x) { return std::floor(x); });
  on_floats<1>("ceil", [](auto x) { return std::ceil(x); });
  on_floats<1>("round", [](auto x) { return std::nearbyint(x); });
  on_floats<1>("trunc", [](auto x) { return std::trunc(x); });
  on_floats<1>("frac", [](auto x) { return x - std::trunc(x); });
}

}  // namespace
}  // namespace al
