// Loops of the emulated vector unit that no op of tensors has: fused forms, unsigned formats, shifts, saturation.
// The plain ones are those of the pointwise ops. Integers wrap; fused forms round once.
#include <cmath>

#include "simd/davinci_cast.h"
#include "simd/loops.h"
#include "simd/vmath.h"

namespace al {
namespace {

template <class T> AL_INLINE T relu(T x) { return x < T(0) ? T(0) : x; }  // NaN stays
template <class T> using Unsigned = std::make_unsigned_t<T>;

// 9 significant bits, to nearest even: about what Reciprocal and Rsqrt of the card give.
AL_INLINE float nine_bits(float x) {
  uint32_t u = float_bits(x);
  uint32_t rounded = (u + 0x3fffu + ((u >> 15) & 1u)) & 0xffff8000u;
  return bits_float((u & 0x7f800000u) == 0x7f800000u ? u : rounded);
}
AL_INLINE double nine_bits(double x) { return x; }

struct AddRelu {
  template <class T> AL_INLINE T operator()(T a, T b) const {
    if constexpr (std::is_integral_v<T>) return relu(T(Unsigned<T>(a) + Unsigned<T>(b)));
    else return relu(a + b);
  }
};
struct SubRelu {
  template <class T> AL_INLINE T operator()(T a, T b) const {
    if constexpr (std::is_integral_v<T>) return relu(T(Unsigned<T>(a) - Unsigned<T>(b)));
    else return relu(a - b);
  }
};
struct MulAddDst {  // inputs: the destination, then the sources
  template <class T> AL_INLINE T operator()(T d, T a, T b) const {
    if constexpr (std::is_integral_v<T>) return T(uint64_t(a) * uint64_t(b) + uint64_t(d));
    else return vm::fma(a, b, d);
  }
};
struct FusedMulAdd {
  template <class T> AL_INLINE T operator()(T d, T a, T b) const { return vm::fma(a, d, b); }
};
struct FusedMulAddRelu {
  template <class T> AL_INLINE T operator()(T d, T a, T b) const { return relu(vm::fma(a, d, b)); }
};
struct Same {
  template <class T> AL_INLINE T operator()(T x) const { return x; }
};

AL_REGISTER() {
  on_floats<2>("davinci.add_relu", AddRelu{});
  add_same<2, AddRelu, int16_t>("davinci.add_relu");
  add_same<2, AddRelu, int64_t>("davinci.add_relu");
  on_floats<2>("davinci.sub_relu", SubRelu{});
  add_same<2, SubRelu, int16_t>("davinci.sub_relu");
  add_same<2, SubRelu, int64_t>("davinci.sub_relu");
  on_floats<3>("davinci.mul_add_dst", MulAddDst{});
  add_same<3, MulAddDst, int16_t>("davinci.mul_add_dst");
  add_same<3, MulAddDst, int32_t>("davinci.mul_add_dst");
  on_floats<3>("davinci.fused_mul_add", FusedMulAdd{});
  on_floats<3>("davinci.fused_mul_add_relu", FusedMulAddRelu{});
  // float16 factors on a float32 sum: one slot that is no dtype of a sum, float16, holds the mixed form.
  add_loop<MulAddDst, float, float, float16, float16>("davinci.mul_add_mixed", kFloat16);
  add_loop<MulAddDst, float, float, float16, float16>("davinci.axpy_mixed", kFloat16);
  on_floats<1>("davinci.rec_low", [](auto x) { return nine_bits(decltype(x)(1) / x); });
  on_floats<1>("davinci.rsqrt_low", [](auto x) { return nine_bits(decltype(x)(1) / std::sqrt(x)); });
}

AL_REGISTER() {
  // Moves bits: registered by width.
  add_same<1, Same, uint8_t>("davinci.same");
  add_same<1, Same, int16_t>("davinci.same");
  add_same<1, Same, int32_t>("davinci.same");
  add_same<1, Same, int64_t>("davinci.same");
  // A shift by the width or more gives what shifting bit by bit would.
  on_ints<2>("davinci.shl", [](auto x, auto by) {
    using U = std::make_unsigned_t<decltype(x)>;
    return decltype(x)(uint64_t(by) < sizeof(x) * 8 ? uint64_t(U(x)) << (by & 63) : 0);
  });
  on_ints<2>("davinci.shr", [](auto x, auto by) {
    const int64_t most = sizeof(x) * 8 - 1;
    return decltype(x)(x >> (uint64_t(by) < uint64_t(most) ? int64_t(by) : most));
  });
}

// Unsigned formats of 16 to 64 bits, by the signed dtype of their width.
template <class F> struct AsUnsigned {
  template <class T> AL_INLINE T operator()(T a, T b) const { return T(F{}(Unsigned<T>(a), Unsigned<T>(b))); }
};
template <class F> void on_unsigned(const char* name, F) {
  add_same<2, AsUnsigned<F>, int16_t>(name);
  add_same<2, AsUnsigned<F>, int32_t>(name);
  add_same<2, AsUnsigned<F>, int64_t>(name);
}

template <class F> struct TestUnsigned {
  template <class T> AL_INLINE bool operator()(T a, T b) const { return F{}(Unsigned<T>(a), Unsigned<T>(b)); }
};
template <class F> void test_unsigned(const char* name, F) {
  add_same<2, TestUnsigned<F>, int16_t, bool>(name);
  add_same<2, TestUnsigned<F>, int32_t, bool>(name);
  add_same<2, TestUnsigned<F>, int64_t, bool>(name);
}

AL_REGISTER() {
  test_unsigned("davinci.lt_u", [](auto a, auto b) { return a < b; });
  test_unsigned("davinci.le_u", [](auto a, auto b) { return a <= b; });
  test_unsigned("davinci.gt_u", [](auto a, auto b) { return a > b; });
  test_unsigned("davinci.ge_u", [](auto a, auto b) { return a >= b; });
}

AL_REGISTER() {
  on_unsigned("davinci.max_u", [](auto a, auto b) { return a > b ? a : b; });
  on_unsigned("davinci.min_u", [](auto a, auto b) { return a < b ? a : b; });
  on_unsigned("davinci.shr_u", [](auto x, auto by) { return decltype(x)(by < sizeof(x) * 8 ? uint64_t(x) >> by : 0); });
  // A division by zero gives all ones, as an unsigned divider does; the manual leaves it open.
  on_unsigned("davinci.div_u", [](auto a, auto b) { return b == 0 ? decltype(a)(~decltype(a)(0)) : decltype(a)(a / b); });
  on_ints<2>("davinci.div", [](auto a, auto b) {
    using T = decltype(a);
    if constexpr (std::is_signed_v<T>)
      if (b == T(-1)) return T(Unsigned<T>(0) - Unsigned<T>(a));
    return b == T(0) ? T(-1) : T(a / b);
  });
}

// data[1]: a flag that is raised when a value was infinite or NaN.
template <class T> void saturate(char* const* data, const int64_t*, int64_t n) {
  if (davinci::saturate_run(reinterpret_cast<T*>(data[0]), n)) *data[1] = 1;
}

AL_REGISTER() {
  runtime->entry("davinci.saturate")->loops[kFloat16] = saturate<float16>;
  runtime->entry("davinci.saturate")->loops[kBFloat16] = saturate<bfloat16>;
}

}  // namespace
}  // namespace al
