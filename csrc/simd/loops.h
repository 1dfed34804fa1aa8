// Turns one scalar function into the 1-d loop of a pointwise op. The function is compiled once, as a
// vectorised loop over contiguous runs of the compute type; strided, broadcast and 16-bit operands pass
// through blocks in L1. So an element's value never depends on its operands' layout.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "dtypes.h"
#include "kernel.h"
#include "simd/lanes.h"
#include "simd/stream.h"

namespace al {

constexpr int64_t kBlock = 256;  // elements; 6 operands x 256 x 8 B = 12 KiB of the 32 KiB of L1
constexpr int kMaxPorts = 8;

using StageFn = void (*)(char* strided, int64_t stride, void* block, int64_t n);
using InnerFn = void (*)(void* const* operands, int64_t n);

// How one operand of a loop is laid out in memory and in a block.
struct Port {
  int32_t size;  // bytes in memory
  int32_t compute_size;  // bytes in a block
  bool converts;  // memory and block hold different types
  StageFn stage;  // memory to block for inputs, block to memory for the output
};

template <class T> void stage_in(char* src, int64_t stride, void* block, int64_t n) {
  auto* dst = static_cast<compute_t<T>*>(block);
  if (stride == int64_t(sizeof(T))) {
    load_floats(reinterpret_cast<const T*>(src), dst, n);
  } else if (stride == 0) {
    compute_t<T> value = to_compute(*reinterpret_cast<const T*>(src));
    for (int64_t i = 0; i < n; i++) dst[i] = value;
  } else {
    for (int64_t i = 0; i < n; i++) dst[i] = to_compute(*reinterpret_cast<const T*>(src + i * stride));
  }
}

template <class T> void stage_out(char* dst, int64_t stride, void* block, int64_t n) {
  auto* src = static_cast<const compute_t<T>*>(block);
  if (stride == int64_t(sizeof(T))) {
    store_floats(src, reinterpret_cast<T*>(dst), n);
  } else {
    for (int64_t i = 0; i < n; i++) *reinterpret_cast<T*>(dst + i * stride) = from_float<T>(src[i]);
  }
}

template <class T, bool is_output> constexpr Port port() {
  return {int32_t(sizeof(T)), int32_t(sizeof(compute_t<T>)), !std::is_same_v<T, compute_t<T>>,
          is_output ? stage_out<T> : stage_in<T>};
}

// Whether what runs now writes an output that the caches can't hold: it is streamed past them. Set by the entry
// "stream_output"; a wrong value costs time only.
extern std::atomic<bool> large_output;
constexpr int64_t kStreamRun = 4096;  // elements

// Runs `inner` over n elements, directly or block by block (loops.cpp).
void drive(InnerFn inner, const Port* ports, int nargs, char* const* data, const int64_t* strides, int64_t n);

// A function that says how it works on several vectors of floats: `F::vectors(result, operands...)` on arrays of Vec<float>.
template <class F> concept ByVectors = requires { F::by_vectors; };

// The contiguous loop, on compute types, so that 16-bit floats share float's.
template <class F, class R, class... A> struct Inner {
  template <size_t... I>
  static AL_INLINE void body(void* const* p, int64_t n, std::index_sequence<I...>) {
    auto* out = static_cast<R*>(p[0]);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) out[i] = R(F{}(static_cast<const A*>(p[1 + I])[i]...));
  }
  static constexpr int64_t kVectors = 4, kStep = kVectors * Lanes<float>::width;
  static constexpr int64_t kAhead = 1024;  // bytes: what is asked for while other vectors are computed
  template <bool streams, size_t... I>
  static AL_INLINE void step(float* out, const float* const* in, std::index_sequence<I...>) {
    Vec<float> x[sizeof...(A)][kVectors], y[kVectors];
    if (streams)
      for (int64_t line = 0; line < kStep * 4; line += 64) (__builtin_prefetch((const char*)in[I] + kAhead + line), ...);
#pragma GCC unroll 4
    for (int64_t k = 0; k < kVectors; k++) ((x[I][k] = load(in[I] + k * Lanes<float>::width)), ...);
    F::vectors(y, x[I]...);
#pragma GCC unroll 4
    for (int64_t k = 0; k < kVectors; k++) {
      if (streams) stream::put(out + k * Lanes<float>::width, y[k]);
      else store(out + k * Lanes<float>::width, y[k]);
    }
  }
  template <bool streams, class Index>
  static void by_vectors(void* const* p, int64_t n, Index index) {
    constexpr int count = sizeof...(A);
    float* out = static_cast<float*>(p[0]);
    const float* in[count];
    for (int a = 0; a < count; a++) in[a] = static_cast<const float*>(p[1 + a]);
    const auto some = [&](int64_t items) {  // fewer than a step
      alignas(64) float rest[count + 1][kStep] = {};
      const float* at[count];
      for (int a = 0; a < count; a++) at[a] = static_cast<const float*>(std::memcpy(rest[a], in[a], size_t(items) * sizeof(float)));
      step<false>(rest[count], at, index);
      std::memcpy(out, rest[count], size_t(items) * sizeof(float));
    };
    const auto advance = [&](int64_t items) {
      out += items, n -= items;
      for (int a = 0; a < count; a++) in[a] += items;
    };
    if (const int64_t head = streams ? std::min(n, stream::until_aligned((const char*)out) / 4) : 0; head > 0) some(head), advance(head);
    for (; n >= kStep; advance(kStep)) step<streams>(out, in, index);
    if (n > 0) some(n);
    if (streams) stream::fence();
  }
  static constexpr bool vectors = ByVectors<F> && (std::is_same_v<R, float> && ... && std::is_same_v<A, float>);
  static void run_past_caches(void* const* p, int64_t n) { by_vectors<true>(p, n, std::index_sequence_for<A...>{}); }
  static void run(void* const* p, int64_t n) {
    if constexpr (vectors)
      by_vectors<false>(p, n, std::index_sequence_for<A...>{});
    else
      body(p, n, std::index_sequence_for<A...>{});
  }
};

template <class F, class R, class... A> struct Loop {
  static constexpr int nargs = 1 + int(sizeof...(A));
  static constexpr Port ports[nargs] = {port<R, true>(), port<A, false>()...};
  static constexpr InnerFn inner = Inner<F, compute_t<R>, compute_t<A>...>::run;

  static void run(char* const* data, const int64_t* strides, int64_t n) {
    bool direct = !ports[0].converts;
    for (int k = 0; k < nargs; k++) direct &= !ports[k].converts && strides[k] == ports[k].size;
    const bool streams = n >= kStreamRun && large_output.load(std::memory_order_relaxed);
    if (direct && !streams) return inner(reinterpret_cast<void* const*>(data), n);
    using Typed = Inner<F, compute_t<R>, compute_t<A>...>;
    if constexpr (Typed::vectors && std::is_same_v<R, float>)
      if (direct) return Typed::run_past_caches(reinterpret_cast<void* const*>(data), n);
    drive(inner, ports, nargs, data, strides, n);
  }
};

// Registers F for compute dtype T: output type R, operands A...
template <class F, class R, class... A> inline void add_loop(const char* name, DType compute) {
  KernelEntry* entry = runtime->entry(name);
  entry->loops[compute] = Loop<F, R, A...>::run;
  entry->out_dtype[compute] = dtype_of<R>;
  entry->nargs = 1 + int(sizeof...(A));
}

// F over `n` operands of one type T, result R (void: T itself).
template <int n, class F, class T, class R = T> inline void add_same(const char* name) {
  if constexpr (n == 1) add_loop<F, R, T>(name, dtype_of<T>);
  else if constexpr (n == 2) add_loop<F, R, T, T>(name, dtype_of<T>);
  else if constexpr (n == 3) add_loop<F, R, T, T, T>(name, dtype_of<T>);
  else if constexpr (n == 4) add_loop<F, R, T, T, T, T>(name, dtype_of<T>);
  else add_loop<F, R, T, T, T, T, T>(name, dtype_of<T>);
}

// Tables of ops are written as calls of these: on_floats<2>("add", [](auto a, auto b) { return a + b; });
template <int n, class F> inline void on_floats(const char* name, F) {
  add_same<n, F, float>(name);
  add_same<n, F, double>(name);
  add_same<n, F, float16>(name);
  add_same<n, F, bfloat16>(name);
}
template <int n, class F> inline void on_ints(const char* name, F) {
  add_same<n, F, uint8_t>(name);
  add_same<n, F, int8_t>(name);
  add_same<n, F, int16_t>(name);
  add_same<n, F, int32_t>(name);
  add_same<n, F, int64_t>(name);
}
template <int n, class F> inline void on_bool(const char* name, F) { add_same<n, F, bool>(name); }
template <int n, class F> inline void on_numbers(const char* name, F f) {
  on_floats<n>(name, f);
  on_ints<n>(name, f);
}

// The same with a bool result.
template <int n, class F> inline void test_floats(const char* name, F) {
  add_same<n, F, float, bool>(name);
  add_same<n, F, double, bool>(name);
  add_same<n, F, float16, bool>(name);
  add_same<n, F, bfloat16, bool>(name);
}
template <int n, class F> inline void test_all(const char* name, F f) {
  test_floats<n>(name, f);
  add_same<n, F, uint8_t, bool>(name);
  add_same<n, F, int8_t, bool>(name);
  add_same<n, F, int16_t, bool>(name);
  add_same<n, F, int32_t, bool>(name);
  add_same<n, F, int64_t, bool>(name);
  add_same<n, F, bool, bool>(name);
}

}  // namespace al
