// What the machine can give with this instruction set: fused multiply-adds in registers, and streams over memory. For benchmarks.
#include <cstring>

#include "kernel.h"
#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace al {
namespace {

#if defined(__AVX512F__)
using Vec = __m512;
inline Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
inline void stream(float* p, Vec v) { _mm512_stream_ps(p, v); }
inline void fence() { _mm_sfence(); }
#elif defined(__AVX2__)
using Vec = __m256;
inline Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
inline void stream(float* p, Vec v) { _mm256_stream_ps(p, v); }
inline void fence() { _mm_sfence(); }
#elif defined(__aarch64__)
using Vec = float32x4_t;
inline Vec fma(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }
inline void stream(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }
inline void fence() {}
#else
using Vec = float __attribute__((vector_size(16)));
inline Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
inline void stream(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }
inline void fence() {}
#endif
// Makes a value unknown to the compiler.
#if defined(__aarch64__)
inline void hide(Vec& v) { asm volatile("" : "+w"(v)); }
#elif defined(__AVX512F__)
inline void hide(Vec& v) { asm volatile("" : "+v"(v)); }
#elif defined(__x86_64__)
inline void hide(Vec& v) { asm volatile("" : "+x"(v)); }
#else
inline void hide(Vec& v) { asm volatile("" : "+m"(v)); }
#endif
constexpr int kLanes = sizeof(Vec) / sizeof(float);
inline Vec load(const char* p) { Vec v; std::memcpy(&v, p, sizeof v); return v; }

// What a step of products does to each 32 bits of a sum. Those by instructions that not every machine of the set has are written by hand.
struct Floats {
  static constexpr int kProducts = 1;
  static Vec apply(Vec a, Vec b, Vec sum) { return fma(sum, a, b); }
};
#if defined(__AVX512F__)
struct Pairs {  // of bfloat16
  static constexpr int kProducts = 2;
  static Vec apply(Vec a, Vec b, Vec sum) { asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b)); return sum; }
};
struct Quads {  // of int8
  static constexpr int kProducts = 4;
  static Vec apply(Vec a, Vec b, Vec sum) { asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b)); return sum; }
};
#endif

// n rounds of 12 independent chains: enough to hide the latency of two pipes. data[0]: where the FLOPs done are written.
template <class Step>
void multiply_add(char* const* data, const int64_t*, int64_t n) {
  constexpr int kChains = 12;
  Vec acc[kChains], a, b;
  for (int i = 0; i < kLanes; i++) a[i] = 0.5f, b[i] = 1.0f;
  for (auto& x : acc) {
    x = a;
    hide(x);  // equal chains would be computed once
  }
  for (int64_t i = 0; i < n; i++) {
#pragma GCC unroll 12
    for (auto& x : acc) x = Step::apply(a, b, x);
  }
  Vec sum{};
  for (auto& x : acc) sum += x;
  asm volatile("" ::"r"(&sum) : "memory");
  double flops = 2.0 * Step::kProducts * kChains * kLanes * double(n);
  std::memcpy(data[0], &flops, sizeof flops);
}

// n floats, a multiple of 64.
void read(char* const* data, const int64_t*, int64_t n) {
  Vec sum[4] = {};
  constexpr int64_t kStep = 4 * sizeof(Vec);
  for (const char *p = data[0], *end = p + n * 4; p < end; p += kStep)
    for (int k = 0; k < 4; k++) sum[k] += load(p + k * sizeof(Vec));
  asm volatile("" ::"r"(&sum) : "memory");
}

// a = b + s * c
void triad(char* const* data, const int64_t*, int64_t n) {
  auto* a = reinterpret_cast<float*>(data[0]);
  auto *b = reinterpret_cast<const float*>(data[1]), *c = reinterpret_cast<const float*>(data[2]);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; i++) a[i] = b[i] + 3.0f * c[i];
}

// The same, past the caches: no line is read only to be overwritten.
void triad_streaming(char* const* data, const int64_t*, int64_t n) {
  Vec s;
  for (int i = 0; i < kLanes; i++) s[i] = 3.0f;
  for (int64_t i = 0; i < n; i += kLanes)
    stream(reinterpret_cast<float*>(data[0]) + i, fma(s, load(data[2] + i * 4), load(data[1] + i * 4)));
  fence();
}

void add_probe(const char* name, LoopFn loop, int nargs) {
  KernelEntry* entry = runtime->entry(name);
  entry->loops[kFloat32] = loop;
  entry->nargs = nargs;
}

AL_REGISTER() {
  add_probe("measure_fma", multiply_add<Floats>, 1);
#if defined(__AVX512F__)
  if (__builtin_cpu_supports("avx512bf16")) add_probe("measure_dot_bf16", multiply_add<Pairs>, 1);
  if (__builtin_cpu_supports("avx512vnni")) add_probe("measure_dot_int8", multiply_add<Quads>, 1);
#endif
  add_probe("measure_read", read, 1);
  add_probe("measure_triad", triad, 3);
  add_probe("measure_triad_streaming", triad_streaming, 3);
}

}  // namespace
}  // namespace al

extern "C" __attribute__((visibility("default"))) const char* al_instruction_set() { return AL_INSTRUCTION_SET; }
