// What a reduction reads and writes: the kept and reduced dims of a strided tensor, and elements as the
// accumulator's type.
#pragma once
#include "dtypes.h"
#include "kernel.h"

namespace al::reduce {

// The kept and the reduced dims of an input, merged where memory allows.
struct Plan {
  int kept = 0, reduced = 0;
  int64_t kept_size[kMaxDims], kept_stride[kMaxDims], size[kMaxDims], stride[kMaxDims];
  int64_t outputs = 1, length = 1;

  void push(int64_t* sizes, int64_t* strides, int& count, int64_t n, int64_t s) {
    if (n == 1) return;
    if (count && strides[count - 1] == n * s) {
      sizes[count - 1] *= n;
      strides[count - 1] = s;
    } else {
      sizes[count] = n;
      strides[count++] = s;
    }
  }

  Plan(const View& x, uint32_t mask, bool any_order = true) {
    int order[kMaxDims], n = 0;
    for (int d = 0; d < x.ndim; d++) {
      if (!(mask >> d & 1)) {
        push(kept_size, kept_stride, kept, x.shape[d], x.strides[d]);
        outputs *= x.shape[d];
        continue;
      }
      length *= x.shape[d];
      int at = n++;
      for (; any_order && at && x.strides[order[at - 1]] < x.strides[d]; at--) order[at] = order[at - 1];
      order[at] = d;
    }
    for (int i = 0; i < n; i++) push(size, stride, reduced, x.shape[order[i]], x.strides[order[i]]);
  }

  int64_t kept_offset(int64_t index, int dims) const {
    int64_t offset = 0;
    for (int d = dims - 1; d >= 0; d--) {
      offset += index % kept_size[d] * kept_stride[d];
      index /= kept_size[d];
    }
    return offset;
  }
  int64_t offset(int64_t index) const {
    if (reduced == 1) return index * stride[0];
    int64_t sum = 0;
    for (int d = reduced - 1; d >= 0; d--) {
      sum += index % size[d] * stride[d];
      index /= size[d];
    }
    return sum;
  }
  bool by_columns() const {
    return kept && kept_stride[kept - 1] == 1 && !(reduced && stride[reduced - 1] == 1);
  }
};

// ints: number of dims, the dims, ...
inline uint32_t dims_mask(const Call& c) {
  uint32_t mask = 0;
  for (int64_t i = 0; i < c.ints[0]; i++) mask |= 1u << c.ints[1 + i];
  return mask;
}

// Reads elements of any dtype as the accumulator's type, and writes results back.
template <class A> using LoadFn = void (*)(const char* src, int64_t stride, A* dst, int64_t n);
template <class A> using StoreFn = void (*)(A value, char* dst, int64_t index);

template <class T, class A> void load_run(const char* from, int64_t stride, A* dst, int64_t n) {
  auto* src = reinterpret_cast<const T*>(from);
  if constexpr (is_floating<T>) {
    if (stride == 1) return load_floats(src, dst, n);
    for (int64_t i = 0; i < n; i++) dst[i] = A(to_float(src[i * stride]));
  } else {
    if (stride == 1)
      for (int64_t i = 0; i < n; i++) dst[i] = A(src[i]);
    else
      for (int64_t i = 0; i < n; i++) dst[i] = A(src[i * stride]);
  }
}

template <class T, class A> void store_one(A value, char* dst, int64_t index) {
  auto* p = reinterpret_cast<T*>(dst) + index;
  if constexpr (is_half<T>) *p = from_float<T>(float(value));
  else *p = T(value);
}

template <class A, class T> constexpr bool accumulates =
    std::is_same_v<A, int64_t> ? !is_floating<T> : is_floating<T> && std::is_same_v<A, compute_t<T>>;

template <class A> LoadFn<A> loader(int32_t dtype) {
  LoadFn<A> fn = nullptr;
  dispatch_all(dtype, [&]<class T>(Type<T>) {
    if constexpr (accumulates<A, T>) fn = load_run<T, A>;
  });
  return fn;
}
template <class A> StoreFn<A> storer(int32_t dtype) {
  StoreFn<A> fn = nullptr;
  dispatch_all(dtype, [&]<class T>(Type<T>) { fn = store_one<T, A>; });
  return fn;
}

// Calls f with the accumulator's type for the dtype: float for 16-bit floats, int64 for integers and bool.
template <class F> void with_accumulator(int32_t dtype, F&& f) {
  if (dtype == kFloat64) f(Type<double>{});
  else if (dtype == kFloat32 || dtype == kFloat16 || dtype == kBFloat16) f(Type<float>{});
  else f(Type<int64_t>{});
}

// A kernel over the one input views[1] (or views[2], after two outputs) that refuses dtypes without arithmetic.
template <void (*kernel)(const Call&), int input = 1> void computing(const Call& c) {
  int32_t dtype = c.views[input]->dtype;
  if (dtype > kFloat64)
    return fail(c, kRuntimeError, "not implemented for dtype %s; cast to a wider float first", kDTypeNames[dtype]);
  kernel(c);
}

}  // namespace al::reduce
