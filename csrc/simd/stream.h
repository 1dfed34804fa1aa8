// Stores past the caches. A cache line that is written in the ordinary way is read first; for an output that the last-level
// cache can't hold until somebody reads it, that is a quarter to a half of all traffic.
#pragma once
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include <cstdint>
#include <cstdio>
#include <cstring>

namespace al::stream {

#if defined(__SSE2__)
constexpr bool kExists = true;
#else
constexpr bool kExists = false;  // AArch64's store pair without allocation has no intrinsic
#endif

// Bytes of the cache that the cores next to each other share. Not sysconf's figure: glibc counts the whole package's on AMD.
inline int64_t last_level_bytes() {
  long kib = 0;
  if (FILE* f = std::fopen("/sys/devices/system/cpu/cpu0/cache/index3/size", "r")) {
    if (std::fscanf(f, "%ldK", &kib) != 1) kib = 0;
    std::fclose(f);
  }
  return (kib > 0 ? kib : 32 << 10) * int64_t{1024};
}

// Whether an output of so many bytes is to be streamed.
inline bool pays(int64_t bytes) {
  static const int64_t cache = last_level_bytes();
  return kExists && bytes > cache;
}

#if defined(__AVX512F__)
using Word = __m512i;
inline void put(char* to, const char* from) { _mm512_stream_si512((Word*)to, _mm512_loadu_si512(from)); }
#elif defined(__AVX2__)
using Word = __m256i;
inline void put(char* to, const char* from) { _mm256_stream_si256((Word*)to, _mm256_loadu_si256((const Word*)from)); }
#elif defined(__SSE2__)
using Word = __m128i;
inline void put(char* to, const char* from) { _mm_stream_si128((Word*)to, _mm_loadu_si128((const Word*)from)); }
#else
struct Word {
  char bytes[16];
};
inline void put(char* to, const char* from) { std::memcpy(to, from, sizeof(Word)); }
#endif

// The same from a register, to an aligned place.
template <class V> inline void put(float* to, V v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(to, v);
#elif defined(__AVX2__)
  if constexpr (sizeof(V) == 32) _mm256_stream_ps(to, v);
  else for (size_t i = 0; i < sizeof(V) / sizeof(Word); i++) put((char*)to + i * sizeof(Word), (const char*)&v + i * sizeof(Word));
#elif defined(__SSE2__)
  _mm_stream_ps(to, v);
#else
  std::memcpy(to, &v, sizeof v);
#endif
}

// Bytes from `p` to the next address that can be streamed to.
inline int64_t until_aligned(const char* p) { return int64_t(-reinterpret_cast<uintptr_t>(p) & 63); }

// Copies; other threads see it after fence().
inline void copy(char* to, const char* from, int64_t bytes) {
  const int64_t head = until_aligned(to) < bytes ? until_aligned(to) : bytes;
  std::memcpy(to, from, size_t(head));
  int64_t at = head;
  for (; at + int64_t(sizeof(Word)) <= bytes; at += sizeof(Word)) put(to + at, from + at);
  std::memcpy(to + at, from + at, size_t(bytes - at));
}

// Asks for memory that is read soon.
inline void ask(const void* from, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch((const char*)from + at, 0, 2);
}

// Zeros.
inline void clear(char* to, int64_t bytes) {
  static constexpr char zeros[sizeof(Word)] = {};
  const int64_t head = until_aligned(to) < bytes ? until_aligned(to) : bytes;
  std::memset(to, 0, size_t(head));
  int64_t at = head;
  for (; at + int64_t(sizeof(Word)) <= bytes; at += sizeof(Word)) put(to + at, zeros);
  std::memset(to + at, 0, size_t(bytes - at));
}

inline void fence() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

}  // namespace al::stream
