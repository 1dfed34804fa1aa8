// The emulated vector unit's Cast: one loop a pair of formats and rounding mode, over contiguous runs.
#include "simd/davinci_cast.h"

#include <string>
#include <utility>

#include "davinci/formats.h"
#include "kernel.h"

namespace al::davinci {
namespace {

template <class S> AL_INLINE auto value_of(S x) {
  if constexpr (std::is_integral_v<S>) return x;
  else return to_compute(x);
}

// One number from S to D. Floats: to the grid by round_to, then stored to nearest; integers are held to D's range.
template <int mode, class D, class S> AL_INLINE D cast_one(S source) {
  const auto x = value_of(source);
  using X = std::decay_t<decltype(x)>;
  constexpr bool from_int = std::is_integral_v<X>;
  if constexpr (std::is_integral_v<D> && from_int) {
    if (std::in_range<D>(x)) return D(x);
    return x < X(0) ? std::numeric_limits<D>::min() : std::numeric_limits<D>::max();
  } else if constexpr (std::is_integral_v<D>) {
    return to_integer<D, mode>(x);
  } else if constexpr (std::is_same_v<D, double>) {
    return double(x);
  } else if constexpr (std::is_same_v<D, hifloat8>) {
    return mode == kHybrid ? hif8_hybrid(float(x)) : from_float<hifloat8>(float(x));
  } else {
    const float wide = [&] {
      if constexpr (from_int) return integer_to_float<std::is_same_v<D, float> ? mode : int(kRint)>(x);
      else return float(x);
    }();
    if constexpr (std::is_same_v<D, float16> || std::is_same_v<D, bfloat16>) return from_float<D>(round_to<D, mode>(wide));
    else return from_float<D>(wide);
  }
}

template <int mode, class D, class S> void cast_run(char* const* data, const int64_t*, int64_t n) {
  auto* to = reinterpret_cast<D*>(data[0]);
  auto* from = reinterpret_cast<const S*>(data[1]);
  constexpr bool nearest = mode == kNone || mode == kRint;
  if constexpr (nearest && std::is_same_v<D, float> && is_half<S>) {
    load_floats(from, to, n);
  } else if constexpr (nearest && std::is_same_v<S, float> && is_half<D>) {
    store_floats(from, to, n);
  } else {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) to[i] = cast_one<mode, D>(from[i]);
  }
}

template <class T> constexpr int format_of() {
  if constexpr (std::is_same_v<T, uint16_t>) return kU16;
  else if constexpr (std::is_same_v<T, uint32_t>) return kU32;
  else if constexpr (std::is_same_v<T, uint64_t>) return kU64;
  else return dtype_of<T>;
}

template <class S, class D, int... modes> void pair() {
  KernelEntry* entry = runtime->entry((std::string("davinci.cast ") + format_name(format_of<S>()) + " " + format_name(format_of<D>())).c_str());
  ((entry->loops[modes] = cast_run<modes, D, S>), ...);
}
template <class S, class... D> void exact() { (pair<S, D, kNone>(), ...); }
template <class S, class... D> void five() { (pair<S, D, kRint, kFloor, kCeil, kRound, kTrunc>(), ...); }
template <class S, class... D> void six() { (pair<S, D, kNone, kRint, kFloor, kCeil, kRound, kTrunc>(), ...); }

AL_REGISTER() {  // 2201 (and what of it 1001 has)
  exact<int8_t, float16>();
  exact<uint8_t, float16>();
  exact<float16, float>();
  exact<bfloat16, float>();
  exact<int16_t, float>();
  exact<int32_t, int16_t, int64_t>();
  exact<int64_t, int32_t>();
  six<int16_t, float16>();
  six<float16, int8_t, uint8_t>();
  six<int32_t, float>();
  five<float16, int16_t, int32_t>();
  five<bfloat16, int32_t>();
  five<float, int16_t, int32_t, int64_t, bfloat16>();
  five<int64_t, float>();
  pair<float, float16, kNone, kRint, kFloor, kCeil, kRound, kTrunc, kOdd>();
}

AL_REGISTER() {  // 3510
  five<float16, bfloat16>();
  five<bfloat16, float16>();
  pair<float, float8_e4m3fn, kRint>();
  pair<float, float8_e5m2, kRint>();
  pair<float16, hifloat8, kRound, kHybrid>();
  pair<float, hifloat8, kRound, kHybrid>();
  exact<float8_e4m3fn, float>();
  exact<float8_e5m2, float>();
  exact<hifloat8, float16, float>();
  exact<int8_t, int16_t, int32_t>();
  exact<uint8_t, uint16_t, uint32_t>();
  exact<int16_t, int32_t, uint8_t>();
  exact<uint16_t, uint32_t>();
  exact<int32_t, uint8_t, uint16_t>();
  exact<uint32_t, uint8_t, uint16_t, int16_t>();
}

AL_REGISTER() {  // what floats are in wide memories
  six<float, int8_t, uint8_t>();
  six<double, int8_t, uint8_t, int16_t, int32_t, int64_t>();
  exact<int8_t, float, double>();
  exact<uint8_t, float, double>();
  exact<int16_t, double>();
  exact<int32_t, double>();
  exact<int64_t, double>();
}

template <int mode, class F> void integral_run(char* const* data, const int64_t*, int64_t n) {
  auto* to = reinterpret_cast<F*>(data[0]);
  auto* from = reinterpret_cast<const F*>(data[1]);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; i++) to[i] = to_integral<mode>(from[i]);
}
template <class F, int... modes> void integral() {
  KernelEntry* entry = runtime->entry(std::is_same_v<F, float> ? "davinci.integral float32" : "davinci.integral float64");
  ((entry->loops[modes] = integral_run<modes, F>), ...);
}

// int32 times the scale that SetDeqScale gave: data[2] is one float (or double).
template <class D, class X> void dequantize(char* const* data, const int64_t*, int64_t n) {
  auto* to = reinterpret_cast<D*>(data[0]);
  auto* from = reinterpret_cast<const int32_t*>(data[1]);
  const X scale = *reinterpret_cast<const X*>(data[2]);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; i++) to[i] = from_float<D>(X(from[i]) * scale);
}

AL_REGISTER() {
  integral<float, kRint, kFloor, kCeil, kRound, kTrunc>();
  integral<double, kRint, kFloor, kCeil, kRound, kTrunc>();
  KernelEntry* entry = runtime->entry("davinci.dequantize");
  entry->loops[kFloat16] = dequantize<float16, float>;
  entry->loops[kFloat32] = dequantize<float, float>;
  entry->loops[kFloat64] = dequantize<double, double>;
}

}  // namespace
}  // namespace al::davinci
