// What the core and the kernels agree on: dtypes, views, calls, and how a kernel library registers itself.
// Knows no tensor, no gradient and no Python.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <typeinfo>

namespace al {

constexpr int kMaxDims = 16;
constexpr int kMaxViews = 32;  // operands of one kernel call that live on the caller's stack

// The order is the promotion order inside a kind, and the index of every per-dtype table.
enum DType : int32_t {
  kBool, kUInt8, kInt8, kInt16, kInt32, kInt64, kFloat16, kBFloat16, kFloat32, kFloat64,
  kFloat8E4M3, kFloat8E5M2, kFloat8E8M0, kFloat4E2M1x2, kHiFloat8,
  kNumDTypes
};

// A strided window on memory. Strides count elements, not bytes; they may be zero or negative.
struct View {
  char* data;
  int32_t dtype;
  int32_t ndim;
  int64_t shape[kMaxDims];
  int64_t strides[kMaxDims];
};

enum ErrorKind : int32_t { kOk, kIndexError, kShapeError, kValueError, kRuntimeError, kMemoryError };

// Filled by a kernel that refuses its input; the core raises it at the caller's line.
struct Error {
  int32_t kind;
  char message[500];
};

// A kernel counts its attributes by kind: a whole number that was given as a float is missing among the ints. TypeError in Python.
struct MissingAttribute : std::bad_cast {
  char message[100];
  MissingAttribute(long long wanted, long long given, const char* kind) {
    std::snprintf(message, sizeof message, "the kernel reads %lld attributes that are %s: got %lld; convert the others", wanted, kind, given);
  }
  const char* what() const noexcept override { return message; }
};

// The attributes of one kind, in order.
template <class T>
struct Attributes {
  const T* data;
  int64_t count;
  const T* from(int64_t first, int64_t n) const {
    if (first < 0 || n < 0 || first + n > count) throw MissingAttribute(first + n, count, T(1) / 2 == 0 ? "ints" : "floats");
    return data + first;
  }
  T operator[](int64_t i) const { return *from(i, 1); }
};

// One launch. Views: outputs first, then inputs; an absent optional operand is nullptr.
struct Call {
  View* const* views;
  int32_t nviews;
  int32_t nouts;
  Attributes<int64_t> ints;  // bools, ints and tuples (length, then items) among the attributes
  Attributes<double> floats;
  Error* error;
};

using KernelFn = void (*)(const Call& call);

// The inner loop of a pointwise op over n elements: data[0..nouts) are outputs, then inputs; strides in bytes.
using LoopFn = void (*)(char* const* data, const int64_t* strides, int64_t n);

// Everything known of one named kernel. Pointwise ops fill `loops`; other ops fill `kernel`.
struct KernelEntry {
  const char* name;
  KernelFn kernel;
  LoopFn loops[kNumDTypes];  // by the dtype the op computes in
  int32_t out_dtype[kNumDTypes];  // dtype of output 0 for that compute dtype
  int32_t nargs;  // operands of the loop, outputs included
};

using ParallelBody = void (*)(void* context, int64_t begin, int64_t end);

// Services of the host process that kernels use.
struct Runtime {
  void* (*alloc)(size_t bytes);            // 64-byte aligned; throws std::bad_alloc
  void (*free)(void* pointer, size_t bytes);
  void (*parallel_for)(int64_t n, int64_t grain, ParallelBody body, void* context);
  int (*num_threads)();
  KernelEntry* (*entry)(const char* name);  // find or create
  void (*read_next)(const void* from, size_t bytes);  // what the caller's region after the next one will read, its parts in order
};

}  // namespace al
