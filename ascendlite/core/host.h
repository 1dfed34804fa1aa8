// C++ that the Cython core leans on: thread-local modes, scalars in memory, and the driver of pointwise loops.
#pragma once
#include <Python.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <queue>
#include <utility>
#include <vector>

#include "dtypes.h"

namespace al {

// What `with no_grad():` and its kin set. One per thread.
struct Mode {
  bool grad = true;
  bool inference = false;
  bool anomaly = false;
  bool recording = false;  // a Recorder listens
  bool packing = false;    // saved tensors go through hooks
  bool capturing = false;  // a function is being captured, though what it does may have been refused already
  bool doubles = false;  // float64 tensors may be made on an NPU, for its own CPU
  int autocast = -1;  // dtype code, -1 = off
  int default_device = 0;
  int64_t pass = 0;  // the backward pass that runs, 0: none
};
inline thread_local Mode mode;

// Nanoseconds of the clock that never goes back: Python's time.perf_counter_ns.
inline int64_t now_ns() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Capsule { const Runtime* runtime = nullptr; };
inline Capsule host;

// Memory from the runtime's allocator, or null.
inline void* try_alloc(size_t bytes) noexcept {
  try {
    return host.runtime->alloc(bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

// Headers of one type that ended in a plain state and wait, initialised, for the next that is made.
struct Pool {
  static constexpr int kMost = 512;
  PyObject* items[kMost];
  int count = 0;
  bool keep(PyObject* o) { return count < kMost ? items[count++] = o, true : false; }
  PyObject* take() { return items[--count]; }
};

inline PyObject* weak_references(PyObject* o) {
  return *reinterpret_cast<PyObject**>(reinterpret_cast<char*>(o) + Py_TYPE(o)->tp_weaklistoffset);
}

// One node or leaf in a backward pass: what it is, its gradient so far, and how many edges have not delivered.
struct Visit {
  PyObject* target;
  PyObject* gradient;
  int64_t waiting;
  int64_t sequence;
  bool is_node;
  bool needed;
};

// A short list on the stack; a long one moves to the heap.
template <class T, int N>
struct Few {
  T near[N];
  std::vector<T> far;
  int count = 0;
  void push_back(T x) {
    if (count == N) far.assign(near, near + N);
    if (count >= N) far.push_back(x);
    else near[count] = x;
    count++;
  }
  T* data() { return count > N ? far.data() : near; }
};
using FewViews = Few<View*, 12>;
using FewInts = Few<int64_t, 24>;
using FewDoubles = Few<double, 8>;

// What a shape rule reads of a call: operands and attributes as words. Not usable when it says more than fits.
struct CallKey {
  static constexpr int kMost = 56;
  int64_t words[kMost];
  int count = 0;
  bool usable = true;
  void add(int64_t word) {
    if (count < kMost) words[count++] = word;
    else usable = false;
  }
  void add_view(const View& v, int device) {
    add(int64_t{v.dtype} | int64_t{v.ndim} << 8 | int64_t{device} << 16);
    for (int i = 0; i < v.ndim; i++) add(v.shape[i]);
  }
  void add_double(double d) {
    int64_t bits;
    std::memcpy(&bits, &d, sizeof bits);
    add(bits);
  }
  uint64_t hash() const {
    uint64_t h = count;
    for (int i = 0; i < count; i++) h = (h ^ uint64_t(words[i])) * 0x9E3779B97F4A7C15u, h ^= h >> 29;
    return h;
  }
};

// Shape rules' answers of one op. A call replaces the former one of its place.
struct Answers {
  static constexpr int kPlaces = 32, kMostDims = 6, kMostOutputs = 3;
  struct Output { int32_t dtype, ndim; int64_t shape[kMostDims]; };
  struct Answer { CallKey key; bool several; int count; Output outputs[kMostOutputs]; };
  Answer* places[kPlaces] = {};

  Answer* find(const CallKey& key) const {
    Answer* a = places[key.hash() % kPlaces];
    if (!a || a->key.count != key.count || std::memcmp(a->key.words, key.words, key.count * sizeof(int64_t))) return nullptr;
    return a;
  }
  // A place to be filled; its outputs are none yet.
  Answer* open(const CallKey& key) {
    Answer*& a = places[key.hash() % kPlaces];
    if (!a) a = new Answer;
    a->key = key;
    a->count = 0;
    a->several = false;
    return a;
  }
};

// References that end with the scope that holds them.
struct Stack {
  PyObject* items[48];
  int count = 0;
  void push(PyObject* o) { Py_INCREF(o); items[count++] = o; }
  void push_owned(PyObject* o) { items[count++] = o; }
  ~Stack() { while (count) Py_XDECREF(items[--count]); }
};

// (sequence number, slot) of a node that is ready; the newest runs first.
using ReadyQueue = std::priority_queue<std::pair<int64_t, int64_t>>;

// Sizes of `n` dims into room for kMaxDims. Few are copied as four at once: the call of memmove would cost more than they do.
inline void copy_sizes(int64_t* to, const int64_t* from, int n) {
  static_assert(kMaxDims >= 4);
  if (n <= 4) std::memcpy(to, from, 4 * sizeof(int64_t));
  else std::memcpy(to, from, n * sizeof(int64_t));
}

// Only the dims that are there: a View is mostly room for more.
inline void copy_view(View& to, const View& from) {
  to.data = from.data;
  to.dtype = from.dtype;
  to.ndim = from.ndim;
  copy_sizes(to.shape, from.shape, from.ndim);
  copy_sizes(to.strides, from.strides, from.ndim);
}

inline bool same_sizes(const View& a, const View& b) {
  if (a.ndim != b.ndim) return false;
  for (int i = 0; i < a.ndim; i++)
    if (a.shape[i] != b.shape[i]) return false;
  return true;
}

inline bool is_contiguous(const View& v) {
  int64_t expected = 1;
  for (int i = v.ndim - 1; i >= 0; i--) {
    if (v.shape[i] == 0) return true;
    if (v.shape[i] != 1) {
      if (v.strides[i] != expected) {
        for (; i >= 0; i--)
          if (v.shape[i] == 0) return true;  // without elements any strides will do
        return false;
      }
      expected *= v.shape[i];
    }
  }
  return true;
}

// The number of elements, or -1 when it overflows.
inline int64_t count_elements(const View& v) {
  int64_t n = 1;
  bool overflow = false;
  for (int i = 0; i < v.ndim; i++) {
    if (v.shape[i] == 0) return 0;
    if (__builtin_mul_overflow(n, v.shape[i], &n)) overflow = true, n = 1;
  }
  return overflow ? -1 : n;
}

// Writes C-order strides; returns the number of elements, or -1 when it overflows.
inline int64_t fill_strides(View& v) {
  int64_t n = 1;
  bool empty = false, overflow = false;
  for (int i = v.ndim - 1; i >= 0; i--) {
    v.strides[i] = n;
    if (v.shape[i] == 0) empty = true;
    int64_t m = v.shape[i] > 1 ? v.shape[i] : 1;
    if (__builtin_mul_overflow(n, m, &n)) { overflow = true; n = 1; }
  }
  if (empty) return 0;
  return overflow ? -1 : n;
}

// A pointwise loop over broadcast operands: views are right-aligned to views[0]'s shape, dims that allow it are merged,
// and long runs are split over threads. Every element is computed alone, so the split can't be seen in the result.
struct Pointwise {
  LoopFn loop;
  int nargs, ndim = 0;
  int64_t shape[kMaxDims];
  int64_t strides[kMaxViews][kMaxDims];  // bytes
  char* data[kMaxViews];

  Pointwise(LoopFn f, View* const* views, int n, const int* itemsize) : loop(f), nargs(n) {
    const View& out = *views[0];
    for (int d = out.ndim - 1; d >= 0; d--) {  // innermost first
      if (out.shape[d] == 1) continue;
      int64_t s[kMaxViews];
      for (int a = 0; a < n; a++) {
        const View& v = *views[a];
        int k = d - (out.ndim - v.ndim);
        s[a] = k < 0 || v.shape[k] == 1 ? 0 : v.strides[k] * itemsize[a];
      }
      bool merge = ndim > 0;
      for (int a = 0; a < n && merge; a++) merge = s[a] == strides[a][ndim - 1] * shape[ndim - 1];
      if (merge) {
        shape[ndim - 1] *= out.shape[d];
      } else {
        for (int a = 0; a < n; a++) strides[a][ndim] = s[a];
        shape[ndim++] = out.shape[d];
      }
    }
    for (int a = 0; a < n; a++) data[a] = views[a]->data;
    order();
    if (ndim == 0) {
      ndim = 1;
      shape[0] = 1;
      for (int a = 0; a < n; a++) strides[a][0] = itemsize[a];
    }
  }

  // The dim in which the output moves least goes innermost.
  void order() {
    for (int i = 1; i < ndim; i++)
      for (int j = i; j > 0 && std::llabs(strides[0][j]) < std::llabs(strides[0][j - 1]); j--) {
        std::swap(shape[j], shape[j - 1]);
        for (int a = 0; a < nargs; a++) std::swap(strides[a][j], strides[a][j - 1]);
      }
    int kept = 0;  // merge again in the new order
    for (int d = 1; d < ndim; d++) {
      bool merge = true;
      for (int a = 0; a < nargs && merge; a++) merge = strides[a][d] == strides[a][kept] * shape[kept];
      if (merge) {
        shape[kept] *= shape[d];
      } else if (++kept != d) {
        shape[kept] = shape[d];
        for (int a = 0; a < nargs; a++) strides[a][kept] = strides[a][d];
      }
    }
    if (ndim) ndim = kept + 1;
  }

  int64_t rows() const {
    int64_t n = 1;
    for (int d = 1; d < ndim; d++) n *= shape[d];
    return n;
  }

  // Runs `count` elements of row `row` from `first`.
  void run(int64_t row, int64_t first, int64_t count) const {
    char* p[kMaxViews];
    int64_t s[kMaxViews];
    for (int a = 0; a < nargs; a++) {
      s[a] = strides[a][0];
      p[a] = data[a] + first * s[a];
    }
    for (int d = 1; d < ndim; d++) {
      int64_t i = row % shape[d];
      row /= shape[d];
      for (int a = 0; a < nargs; a++) p[a] += i * strides[a][d];
    }
    loop(p, s, count);
  }

  static void body(void* context, int64_t begin, int64_t end) {
    auto& self = *static_cast<Pointwise*>(context);
    int64_t inner = self.shape[0];
    while (begin < end) {
      int64_t first = begin % inner, count = std::min(inner - first, end - begin);
      self.run(begin / inner, first, count);
      begin += count;
    }
  }

  void launch(int itemsize) {
    int64_t n = rows() * shape[0];
    constexpr int64_t kGrain = 16384, kLarge = int64_t{8} << 20;  // bytes from which the kernels are asked
    if (n <= 2 * kGrain) return body(this, 0, n);
    static const LoopFn stream_output = host.runtime->entry("stream_output")->loops[kBool];
    const bool large = stream_output && n * itemsize >= kLarge;
    int64_t bytes = n * itemsize;
    char *on = reinterpret_cast<char*>(&bytes), *off = nullptr;
    if (large) stream_output(&on, nullptr, 1);
    host.runtime->parallel_for(n, kGrain, body, this);
    if (large) stream_output(&off, nullptr, 1);
  }
};

inline void launch_pointwise(LoopFn loop, View* const* views, int n, const int* itemsize) {
  Pointwise(loop, views, n, itemsize).launch(itemsize[0]);
}

template <class T> inline void put(char* p, T x) { std::memcpy(p, &x, sizeof x); }
template <class T> inline T get(const char* p) { T x; std::memcpy(&x, p, sizeof x); return x; }

inline int64_t to_int(double d) {  // defined for every input
  if (!(d == d)) return 0;
  if (d >= 9223372036854775807.0) return INT64_MAX;
  if (d <= -9223372036854775808.0) return INT64_MIN;
  return int64_t(d);
}

// Stores a Python number; `i` is exact for integers, `d` for floats. Returns false for the 8-bit float formats.
inline bool store_scalar(char* p, int dtype, bool is_int, int64_t i, double d) {
  double f = is_int ? double(i) : d;
  int64_t n = is_int ? i : to_int(d);
  switch (dtype) {
    case kBool: put<uint8_t>(p, is_int ? i != 0 : d != 0); return true;
    case kUInt8: put<uint8_t>(p, uint8_t(n)); return true;
    case kInt8: put<int8_t>(p, int8_t(n)); return true;
    case kInt16: put<int16_t>(p, int16_t(n)); return true;
    case kInt32: put<int32_t>(p, int32_t(n)); return true;
    case kInt64: put<int64_t>(p, n); return true;
    case kFloat16: put<uint16_t>(p, float_to_f16_bits(float(f))); return true;
    case kBFloat16: put<uint16_t>(p, float_to_bf16_bits(float(f))); return true;
    case kFloat32: put<float>(p, float(f)); return true;
    case kFloat64: put<double>(p, f); return true;
  }
  return false;
}

inline bool is_integer(int dtype) { return dtype <= kInt64; }
inline int64_t load_int(const char* p, int dtype) {
  switch (dtype) {
    case kBool: case kUInt8: return get<uint8_t>(p);
    case kInt8: return get<int8_t>(p);
    case kInt16: return get<int16_t>(p);
    case kInt32: return get<int32_t>(p);
    default: return get<int64_t>(p);
  }
}
inline double load_float(const char* p, int dtype) {
  switch (dtype) {
    case kFloat16: return f16_bits_to_float(get<uint16_t>(p));
    case kBFloat16: return bf16_bits_to_float(get<uint16_t>(p));
    case kFloat32: return get<float>(p);
    default: return get<double>(p);
  }
}

// Whether two windows on one storage touch a common byte (by extent; conservative for interleaved windows).
inline void extent(const View& v, int itemsize, int64_t& low, int64_t& high) {
  low = high = 0;
  for (int i = 0; i < v.ndim; i++) {
    if (v.shape[i] == 0) { high = low = 0; return; }
    int64_t reach = (v.shape[i] - 1) * v.strides[i] * itemsize;
    (reach < 0 ? low : high) += reach;
  }
  high += itemsize;
}

}  // namespace al
