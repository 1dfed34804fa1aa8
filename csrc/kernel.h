// What a kernel file includes: registration, parallel loops, scratch memory and errors over the ABI.
#pragma once
#include <cstdarg>
#include <cstdio>
#include <type_traits>

#include "abi.h"

namespace al {

// Each kernel library owns one copy, set when it is loaded.
extern const Runtime* runtime;

// Calls body(begin, end) on disjoint ranges that cover [0, n). Ranges hold at least `grain` items (but the last).
// Where a range starts depends on the number of threads, so what is computed for an item must not depend on it.
template <class Body>
inline void parallel_for(int64_t n, int64_t grain, Body&& body) {
  if (n <= grain) {
    if (n > 0) body(int64_t{0}, n);
    return;
  }
  using Plain = std::remove_reference_t<Body>;
  runtime->parallel_for(n, grain, [](void* c, int64_t b, int64_t e) { (*static_cast<Plain*>(c))(b, e); }, (void*)&body);
}

// Scratch memory of a kernel, from the caching allocator.
template <class T>
struct Scratch {
  T* data;
  size_t bytes;
  explicit Scratch(int64_t n) : bytes(size_t(n) * sizeof(T)) { data = bytes ? static_cast<T*>(runtime->alloc(bytes)) : nullptr; }
  ~Scratch() { if (data) runtime->free(data, bytes); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  T& operator[](int64_t i) { return data[i]; }
};

// Records the first refusal of a call; safe from several threads (the message may come from any one of them).
__attribute__((format(printf, 3, 4))) inline void fail(const Call& call, ErrorKind kind, const char* format, ...) {
  int32_t expected = kOk;
  if (!__atomic_compare_exchange_n(&call.error->kind, &expected, (int32_t)kind, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) return;
  va_list args;
  va_start(args, format);
  vsnprintf(call.error->message, sizeof call.error->message, format, args);
  va_end(args);
}

inline int64_t numel(const View& v) {
  int64_t n = 1;
  for (int i = 0; i < v.ndim; i++) n *= v.shape[i];
  return n;
}

template <class T>
inline T* ptr(const View& v) { return reinterpret_cast<T*>(v.data); }

// A file-level registrar: AL_KERNEL("softmax", softmax);
struct Registrar {
  Registrar* next;
  void (*run)();
  static Registrar*& head();
  explicit Registrar(void (*f)()) : next(head()), run(f) { head() = this; }
};

#define AL_CONCAT_(a, b) a##b
#define AL_CONCAT(a, b) AL_CONCAT_(a, b)
// Runs its body when the library is loaded.
#define AL_REGISTER() \
  static void AL_CONCAT(al_register_, __LINE__)(); \
  static ::al::Registrar AL_CONCAT(al_registrar_, __LINE__)(AL_CONCAT(al_register_, __LINE__)); \
  static void AL_CONCAT(al_register_, __LINE__)()
#define AL_KERNEL(name, function) \
  static ::al::Registrar AL_CONCAT(al_registrar_, __LINE__)([] { ::al::runtime->entry(name)->kernel = function; })

}  // namespace al
