// Reductions of at most 128 numbers, as the emulated vector unit makes them; selection by flags; random words.
#include <algorithm>

#include "kernel.h"
#include "simd/loops.h"
#include "simd/philox.h"

namespace al {
namespace {

constexpr int kMost = 128;
enum Op : int64_t { kSum, kMax, kMin };

template <class T> AL_INLINE T better(T a, T b, bool largest) {  // NaN wins
  const bool first = (a != a) | (largest ? a > b : a < b);
  return first ? a : b;
}

typedef float Eight __attribute__((vector_size(32)));
typedef int32_t Order __attribute__((vector_size(32)));

// Sums of neighbours of two vectors, in order.
AL_INLINE Eight add_pairs(Eight a, Eight b) {
  return __builtin_shuffle(a, b, Order{0, 2, 4, 6, 8, 10, 12, 14}) + __builtin_shuffle(a, b, Order{1, 3, 5, 7, 9, 11, 13, 15});
}

// Neighbours are added, level by level; 16-bit formats are rounded at each. x has room for kMost numbers.
template <class T> compute_t<T> tree_sum(compute_t<T>* x, int64_t n) {
  int64_t width = 1;
  while (width < n) width *= 2;
  for (int64_t i = n; i < width; i++) x[i] = 0;
  if constexpr (std::is_same_v<T, float>) {
    auto* v = reinterpret_cast<Eight*>(x);
    for (; width >= 16; width /= 2)
      for (int64_t i = 0; i < width / 16; i++) v[i] = add_pairs(v[2 * i], v[2 * i + 1]);
  }
  T rounded[kMost];
  for (width /= 2; width > 0; width /= 2) {
    for (int64_t i = 0; i < width; i++) x[i] = x[2 * i] + x[2 * i + 1];
    if constexpr (!std::is_same_v<T, compute_t<T>>) {
      store_floats(x, rounded, width);
      load_floats(rounded, x, width);
    }
  }
  return x[0];
}

// Eight at a time, then those; the result does not depend on the order. A NaN of any lane wins.
template <bool largest, class C> C extreme(C* x, int64_t n) {
  typedef C Vector __attribute__((vector_size(8 * sizeof(C))));
  for (; n % 8; n++) x[n] = x[0];
  Vector best = *reinterpret_cast<const Vector*>(x);
  for (int64_t k = 8; k < n; k += 8) {
    const Vector next = *reinterpret_cast<const Vector*>(x + k);
    best = (best != best) | (largest ? best > next : best < next) ? best : next;
  }
  C found = best[0];
  for (int i = 1; i < 8; i++) found = better(found, best[i], largest);
  return found;
}

// data: one value, n numbers, index (int64) or null; size: the Op.
template <class T> void reduce(char* const* data, const int64_t* size, int64_t n) {
  if (n < 1) return;
  alignas(64) compute_t<T> x[kMost];
  std::fill(x, x + 8, compute_t<T>(0));  // or GCC fears for the lanes of a short first vector
  load_floats(reinterpret_cast<const T*>(data[1]), x, n);
  const auto value = size[0] == kSum ? tree_sum<T>(x, n) : size[0] == kMax ? extreme<true>(x, n) : extreme<false>(x, n);
  if (data[2] && size[0] != kSum) {
    int64_t first = 0;
    while (first < n - 1 && !(x[first] == value || x[first] != x[first])) first++;
    std::memcpy(data[2], &first, sizeof first);
  }
  *reinterpret_cast<T*>(data[0]) = from_float<T>(value);
}

// One value of each 8 neighbours, eight times eight at once. data: n values, 8 n numbers; size: the Op.
void reduce_eights(char* const* data, const int64_t* size, int64_t n) {
  auto* to = reinterpret_cast<float*>(data[0]);
  const auto* from = reinterpret_cast<const float*>(data[1]);
  const auto fold = [&](auto&& join) {
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
      Eight v[8];
      std::memcpy(v, from + 8 * i, sizeof v);
      for (int left = 4; left; left /= 2)
        for (int k = 0; k < left; k++) v[k] = join(v[2 * k], v[2 * k + 1]);
      std::memcpy(to + i, v, sizeof(Eight));
    }
    for (; i < n; i++) {
      char* one[] = {reinterpret_cast<char*>(to + i), const_cast<char*>(reinterpret_cast<const char*>(from + 8 * i)), nullptr};
      reduce<float>(one, size, 8);
    }
  };
  const auto neighbours = [](Eight a, Eight b, auto&& pick) {
    return pick(__builtin_shuffle(a, b, Order{0, 2, 4, 6, 8, 10, 12, 14}), __builtin_shuffle(a, b, Order{1, 3, 5, 7, 9, 11, 13, 15}));
  };
  if (size[0] == kSum) return fold([](Eight a, Eight b) { return add_pairs(a, b); });
  if (size[0] == kMax)
    return fold([&](Eight a, Eight b) { return neighbours(a, b, [](Eight x, Eight y) { return (x != x) | (x > y) ? x : y; }); });
  fold([&](Eight a, Eight b) { return neighbours(a, b, [](Eight x, Eight y) { return (x != x) | (x < y) ? x : y; }); });
}

struct Select {
  template <class T> AL_INLINE T operator()(bool flag, T a, T b) const { return flag ? a : b; }
};

// data: words; size: seed, number of the first element, stream.
void philox_words(char* const* data, const int64_t* size, int64_t n) {
  auto* to = reinterpret_cast<uint32_t*>(data[0]);
  Words words;
  for (int64_t i = 0; i < n;) {
    const uint64_t element = uint64_t(size[1] + i), within = element % 64;
    philox(uint64_t(size[0]), element / 64, Stream(size[2]), words);
    const int64_t some = std::min<int64_t>(n - i, int64_t(64 - within));
    std::memcpy(to + i, words.w + within, size_t(some) * 4);
    i += some;
  }
}

AL_REGISTER() {
  KernelEntry* entry = runtime->entry("davinci.reduce");
  entry->loops[kFloat16] = reduce<float16>;
  entry->loops[kBFloat16] = reduce<bfloat16>;
  entry->loops[kFloat32] = reduce<float>;
  entry->loops[kFloat64] = reduce<double>;
  runtime->entry("davinci.reduce_eights")->loops[kFloat32] = reduce_eights;
  add_loop<Select, uint8_t, bool, uint8_t, uint8_t>("davinci.select", kUInt8);
  add_loop<Select, int16_t, bool, int16_t, int16_t>("davinci.select", kInt16);
  add_loop<Select, int32_t, bool, int32_t, int32_t>("davinci.select", kInt32);
  add_loop<Select, int64_t, bool, int64_t, int64_t>("davinci.select", kInt64);
  runtime->entry("davinci.philox")->loops[0] = philox_words;
}

}  // namespace
}  // namespace al
