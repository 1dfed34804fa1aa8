// Comparisons, tests, logic, bits and selection.
#include <cmath>

#include "loops.h"

namespace al {
namespace {

template <class T> AL_INLINE bool truth(T x) { return x != T(0); }

template <class F> void bits(const char* name, F f) {
  on_ints<2>(name, f);
  on_bool<2>(name, f);
}

// A shift by the width or more, or by a negative count, shifts everything out.
template <class T> constexpr int kWidth = int(sizeof(T)) * 8;
struct ShiftLeft {
  template <class T> AL_INLINE T operator()(T a, T b) const {
    using U = std::make_unsigned_t<T>;
    bool inside = b >= T(0) && b < T(kWidth<T>);
    return inside ? T(U(a) << (inside ? b : T(0))) : T(0);
  }
};
struct ShiftRight {
  template <class T> AL_INLINE T operator()(T a, T b) const {
    bool inside = b >= T(0) && b < T(kWidth<T>);
    T spread =
        std::is_unsigned_v<T> ? T(0) : T(a < T(0) ? -1 : 0);  // what is left when all bits are shifted out
    return inside ? T(a >> (inside ? b : T(0))) : spread;
  }
};

AL_REGISTER() {
  test_all<2>("eq", [](auto a, auto b) { return a == b; });
  test_all<2>("ne", [](auto a, auto b) { return a != b; });
  test_all<2>("lt", [](auto a, auto b) { return a < b; });
  test_all<2>("le", [](auto a, auto b) { return a <= b; });
  test_all<2>("gt", [](auto a, auto b) { return a > b; });
  test_all<2>("ge", [](auto a, auto b) { return a >= b; });
}

AL_REGISTER() {
  test_all<2>("logical_and", [](auto a, auto b) { return bool(truth(a) & truth(b)); });
  test_all<2>("logical_or", [](auto a, auto b) { return bool(truth(a) | truth(b)); });
  test_all<2>("logical_xor", [](auto a, auto b) { return truth(a) != truth(b); });
  test_all<1>("logical_not", [](auto x) { return !truth(x); });
}

AL_REGISTER() {
  test_all<1>("isnan", [](auto x) { return x != x; });
  test_all<1>("isinf", [](auto x) {
    using T = decltype(x);
    if constexpr (std::is_floating_point_v<T>) return std::fabs(x) == std::numeric_limits<T>::infinity();
    else return false;
  });
  test_all<1>("isfinite", [](auto x) {
    using T = decltype(x);
    if constexpr (std::is_floating_point_v<T>) return std::fabs(x) <= std::numeric_limits<T>::max();
    else return true;
  });
  test_all<1>("isposinf", [](auto x) {
    using T = decltype(x);
    if constexpr (std::is_floating_point_v<T>) return x == std::numeric_limits<T>::infinity();
    else return false;
  });
  test_all<1>("isneginf", [](auto x) {
    using T = decltype(x);
    if constexpr (std::is_floating_point_v<T>) return x == -std::numeric_limits<T>::infinity();
    else return false;
  });
  test_all<1>("signbit", [](auto x) {
    using T = decltype(x);
    if constexpr (std::is_same_v<T, float>) return (float_bits(x) >> 31) != 0;
    else if constexpr (std::is_same_v<T, double>) return (__builtin_bit_cast(uint64_t, x) >> 63) != 0;
    else return bool(x < T(0));
  });
}

AL_REGISTER() {
  bits("bitwise_and", [](auto a, auto b) { return decltype(a)(a & b); });
  bits("bitwise_or", [](auto a, auto b) { return decltype(a)(a | b); });
  bits("bitwise_xor", [](auto a, auto b) { return decltype(a)(a ^ b); });
  on_ints<1>("bitwise_not", [](auto x) { return decltype(x)(~x); });
  on_bool<1>("bitwise_not", [](bool x) { return !x; });
  on_ints<2>("bitwise_left_shift", ShiftLeft{});
  on_ints<2>("bitwise_right_shift", ShiftRight{});
}

struct Where {
  template <class T> AL_INLINE T operator()(bool c, T a, T b) const { return c ? a : b; }
};
template <class T> void add_where() { add_loop<Where, T, bool, T, T>("where", dtype_of<T>); }

AL_REGISTER() {
  add_where<bool>();
  add_where<uint8_t>();
  add_where<int8_t>();
  add_where<int16_t>();
  add_where<int32_t>();
  add_where<int64_t>();
  add_where<float>();
  add_where<double>();
  add_where<float16>();
  add_where<bfloat16>();
}

struct Clamp {  // NaN stays; the upper bound wins when the bounds cross
  template <class T> AL_INLINE T operator()(T x, T low, T high) const {
    T raised = x < low || low != low ? low : x;
    return raised > high || high != high ? high : raised;
  }
};
struct ClampMin {
  template <class T> AL_INLINE T operator()(T x, T low) const { return x < low || low != low ? low : x; }
};
struct ClampMax {
  template <class T> AL_INLINE T operator()(T x, T high) const { return x > high || high != high ? high : x; }
};

AL_REGISTER() {
  on_numbers<3>("clamp", Clamp{});
  on_numbers<2>("clamp_min", ClampMin{});
  on_numbers<2>("clamp_max", ClampMax{});
  on_bool<2>("clamp_min", [](bool a, bool b) { return a | b; });
  on_bool<2>("clamp_max", [](bool a, bool b) { return a & b; });
}

}  // namespace
}  // namespace al
