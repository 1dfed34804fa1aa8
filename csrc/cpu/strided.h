// Walking strided windows: groups of dims with two strides each, merged where both run on.
#pragma once
#include "items.h"

namespace al {

// A set of dims walked together in two memories a and b; strides in elements. Without dims it holds one item.
struct Walk {
  int n = 0;
  int64_t shape[kMaxDims], a[kMaxDims], b[kMaxDims];

  // Appends a dim inside the others; size 1 is dropped, and a dim that the last one continues into is merged.
  void add(int64_t size, int64_t stride_a, int64_t stride_b) {
    if (size == 1) return;
    if (n && a[n - 1] == size * stride_a && b[n - 1] == size * stride_b) {
      shape[n - 1] *= size, a[n - 1] = stride_a, b[n - 1] = stride_b;
      return;
    }
    shape[n] = size, a[n] = stride_a, b[n] = stride_b, n++;
  }
  int64_t count() const {
    int64_t c = 1;
    for (int i = 0; i < n; i++) c *= shape[i];
    return c;
  }
  // Offsets of the item at a linear position (last dim fastest).
  void at(int64_t position, int64_t& offset_a, int64_t& offset_b) const {
    offset_a = offset_b = 0;
    for (int i = n - 1; i >= 0; i--) {
      int64_t c = position % shape[i];
      position /= shape[i];
      offset_a += c * a[i], offset_b += c * b[i];
    }
  }
};

// Runs over positions [begin, end) of a walk: body(count, offset_a, offset_b, stride_a, stride_b) for each
// stretch of the last dim.
template <class Body>
inline void for_stretches(const Walk& w, int64_t begin, int64_t end, Body&& body) {
  if (begin >= end) return;
  if (w.n == 0) return body(int64_t{1}, int64_t{0}, int64_t{0}, int64_t{1}, int64_t{1});
  if (w.n == 1) return body(end - begin, begin * w.a[0], begin * w.b[0], w.a[0], w.b[0]);
  const int last = w.n - 1;
  const int64_t inner = w.shape[last];
  int64_t outer[kMaxDims], rest = begin / inner, skip = begin % inner, offset_a, offset_b;
  for (int i = last - 1; i >= 0; i--) outer[i] = rest % w.shape[i], rest /= w.shape[i];
  w.at(begin, offset_a, offset_b);
  while (begin < end) {
    const int64_t count = inner - skip < end - begin ? inner - skip : end - begin;
    body(count, offset_a, offset_b, w.a[last], w.b[last]);
    begin += count;
    offset_a -= skip * w.a[last], offset_b -= skip * w.b[last], skip = 0;
    for (int i = last - 1; i >= 0; i--) {  // the next stretch, as an odometer counts
      offset_a += w.a[i], offset_b += w.b[i];
      if (++outer[i] < w.shape[i]) break;
      offset_a -= w.shape[i] * w.a[i], offset_b -= w.shape[i] * w.b[i], outer[i] = 0;
    }
  }
}

// Copies a stretch of n elements of type T.
template <class T>
inline void copy_stretch(T* to, int64_t to_stride, const T* from, int64_t from_stride, int64_t n) {
  if (to_stride == 1 && from_stride == 1) {
    if (n < 8)
      for (int64_t i = 0; i < n; i++) to[i] = from[i];
    else std::memcpy(to, from, size_t(n) * sizeof(T));
  } else {
    for (int64_t i = 0; i < n; i++) to[i * to_stride] = from[i * from_stride];
  }
}

// Copies all of a walk: to[a] = from[b]. Any strides, negative and zero included.
inline void copy_walk(char* to, const char* from, const Walk& w, int32_t dtype) {
  const int64_t n = w.count();
  if (n == 0) return;
  with_bits(dtype, [&](auto tag) {
    using T = decltype(tag);
    parallel_for(n, 32768, [&](int64_t begin, int64_t end) {
      for_stretches(w, begin, end, [&](int64_t count, int64_t oa, int64_t ob, int64_t sa, int64_t sb) {
        copy_stretch(reinterpret_cast<T*>(to) + oa, sa, reinterpret_cast<const T*>(from) + ob, sb, count);
      });
    });
  });
}

// Copies x into y of the same shape, unless they are one memory.
inline void copy_view(const View& y, const View& x) {
  if (y.data == x.data) return;
  Walk w;
  for (int i = 0; i < y.ndim; i++) w.add(y.shape[i], y.strides[i], x.strides[i]);
  copy_walk(y.data, x.data, w, y.dtype);
}

}  // namespace al
