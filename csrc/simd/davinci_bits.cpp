// Comparisons of floats that write bits, selections that read them, and operations with one number for all elements.
#include <algorithm>
#include <cstring>

#include "dtypes.h"
#include "kernel.h"
#include "simd/lanes.h"

namespace al::davinci {
namespace {

typedef float Eight __attribute__((vector_size(32)));
typedef Eight LooseEight __attribute__((aligned(4), may_alias));
typedef int32_t Flags __attribute__((vector_size(32)));

AL_INLINE uint8_t bits_of(Flags set) {
#if defined(__AVX__)
  return uint8_t(_mm256_movemask_ps((__m256)set));
#else
  uint8_t bits = 0;
  for (int i = 0; i < 8; i++) bits |= uint8_t((set[i] & 1) << i);
  return bits;
#endif
}

// bits = a op b. data: bits (whole bytes), a, b; size: 1 if b is one number for all.
template <class F> void compare_bits(char* const* data, const int64_t* size, int64_t n) {
  auto* bits = reinterpret_cast<uint8_t*>(data[0]);
  auto *a = reinterpret_cast<const float*>(data[1]), *b = reinterpret_cast<const float*>(data[2]);
  const Eight one = Eight{} + b[0];
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const Eight x = *reinterpret_cast<const LooseEight*>(a + i), y = size[0] ? one : *reinterpret_cast<const LooseEight*>(b + i);
    bits[i / 8] = bits_of(F{}(x, y));
  }
  for (; i < n; i++) {
    const Eight x = Eight{} + a[i], y = Eight{} + b[size[0] ? 0 : i];
    const int at = int(i % 8), set = F{}(x, y)[0] & 1;
    bits[i / 8] = uint8_t((bits[i / 8] & ~(1 << at)) | set << at);
  }
}

// dst = bit ? a : b, from whole bytes of bits on. data: dst, bits, a, b; size: 1 if b is one number for all.
template <class T> void select_bits(char* const* data, const int64_t* size, int64_t n) {
  typedef T Vector __attribute__((vector_size(8 * sizeof(T))));
  typedef Vector Loose __attribute__((aligned(sizeof(T)), may_alias));
  const Vector bit = {1, 2, 4, 8, 16, 32, 64, 128};
  auto* to = reinterpret_cast<T*>(data[0]);
  auto *a = reinterpret_cast<const T*>(data[2]), *b = reinterpret_cast<const T*>(data[3]);
  auto* bits = reinterpret_cast<const uint8_t*>(data[1]);
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const Vector set = ((Vector{} + T(bits[i / 8])) & bit) != 0;
    const Vector x = *reinterpret_cast<const Loose*>(a + i), y = size[0] ? Vector{} + b[0] : *reinterpret_cast<const Loose*>(b + i);
    *reinterpret_cast<Loose*>(to + i) = (x & set) | (y & ~set);
  }
  for (; i < n; i++) to[i] = bits[i / 8] >> (i % 8) & 1 ? a[i] : b[size[0] ? 0 : i];
}

// dst = a op number. data: dst, a, number.
template <class F> void with_number(char* const* data, const int64_t*, int64_t n) {
  auto* to = reinterpret_cast<float*>(data[0]);
  auto* a = reinterpret_cast<const float*>(data[1]);
  float number;
  std::memcpy(&number, data[2], sizeof number);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; i++) to[i] = F{}(a[i], number);
}

template <class F> void add_number(const char* name, F) { runtime->entry(name)->loops[kFloat32] = with_number<F>; }

AL_REGISTER() {
  KernelEntry* compare = runtime->entry("davinci.compare_bits");  // by operation: lt gt eq le ge ne
  auto put = [&]<class F>(int op, F) { compare->loops[op] = compare_bits<F>; };
  put(0, [](Eight a, Eight b) -> Flags { return a < b; });
  put(1, [](Eight a, Eight b) -> Flags { return a > b; });
  put(2, [](Eight a, Eight b) -> Flags { return a == b; });
  put(3, [](Eight a, Eight b) -> Flags { return a <= b; });
  put(4, [](Eight a, Eight b) -> Flags { return a >= b; });
  put(5, [](Eight a, Eight b) -> Flags { return a != b; });
  runtime->entry("davinci.select_bits")->loops[kInt16] = select_bits<int16_t>;
  runtime->entry("davinci.select_bits")->loops[kInt32] = select_bits<int32_t>;
  add_number("davinci.number add", [](float a, float b) { return a + b; });
  add_number("davinci.number mul", [](float a, float b) { return a * b; });
  add_number("davinci.number maximum", [](float a, float b) { return (a != a) | (a > b) ? a : b; });
  add_number("davinci.number minimum", [](float a, float b) { return (a != a) | (a < b) ? a : b; });
}

}  // namespace
}  // namespace al::davinci
