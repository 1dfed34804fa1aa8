// Rotary positions: pairs of elements of a row are turned by angles given as cosines and sines.
#include <algorithm>

#include "dtypes.h"
#include "kernel.h"

namespace al {

namespace {

// Element offsets of row `index` of out's leading dims in a view that broadcasts to them; its last dim is
// left out.
int64_t row_offset(const View& v, const View& out, int64_t index) {
  int64_t offset = 0;
  for (int d = out.ndim - 2; d >= 0; d--) {
    const int64_t i = index % out.shape[d];
    index /= out.shape[d];
    const int k = d - (out.ndim - v.ndim);
    if (k >= 0 && v.shape[k] != 1) offset += i * v.strides[k];
  }
  return offset;
}

// A row in the compute type; `room` is used where it does not lie so.
template <class T>
const compute_t<T>* row_in(const T* p, int64_t stride, int64_t n, compute_t<T>* room) {
  if constexpr (std::is_same_v<T, compute_t<T>>) {
    if (stride == 1) return p;
  }
  if (stride == 1)
    load_floats(p, room, n);
  else
    for (int64_t i = 0; i < n; i++) room[i] = to_compute(p[i * stride]);
  return room;
}

template <class C>
void turn_halves(const C* __restrict x, const C* __restrict c, const C* __restrict s, C sign, C* __restrict y,
                 int64_t n) {
  for (int64_t i = 0; i < n; i++) y[i] = x[i] * c[i] - x[i + n] * (s[i] * sign);
  for (int64_t i = 0; i < n; i++) y[i + n] = x[i + n] * c[i] + x[i] * (s[i] * sign);
}
template <class C>
void turn_pairs(const C* __restrict x, const C* __restrict c, const C* __restrict s, C sign, C* __restrict y,
                int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    const C a = x[2 * i], b = x[2 * i + 1], turn = s[i] * sign;
    y[2 * i] = a * c[i] - b * turn;
    y[2 * i + 1] = b * c[i] + a * turn;
  }
}

template <class T, class A>
void rotate(const View& out, const View& x, const View& cos, const View& sin, bool interleaved,
            bool inverse) {
  using C = compute_t<T>;
  const int64_t cols = out.shape[out.ndim - 1], n = cos.shape[cos.ndim - 1], rows = numel(out) / cols;
  const C sign = inverse ? C(-1) : C(1);
  parallel_for(rows, std::max<int64_t>(1, 16384 / cols), [&](int64_t begin, int64_t end) {
    Scratch<C> room(4 * cols);
    C* y = room.data + 3 * cols;
    for (int64_t r = begin; r < end; r++) {
      const C* a = row_in(ptr<const T>(x) + row_offset(x, out, r), x.strides[x.ndim - 1], cols, room.data);
      C *c = room.data + cols, *s = room.data + 2 * cols;
      const A *from_c = ptr<const A>(cos) + row_offset(cos, out, r),
              *from_s = ptr<const A>(sin) + row_offset(sin, out, r);
      for (int64_t i = 0; i < n; i++) c[i] = C(to_compute(from_c[i * cos.strides[cos.ndim - 1]]));
      for (int64_t i = 0; i < n; i++) s[i] = C(to_compute(from_s[i * sin.strides[sin.ndim - 1]]));
      if (interleaved)
        turn_pairs(a, c, s, sign, y, n);
      else
        turn_halves(a, c, s, sign, y, n);
      std::copy(a + 2 * n, a + cols, y + 2 * n);
      store_floats(y, ptr<T>(out) + r * cols, cols);
    }
  });
}

// out = x (..., D) with the first 2n elements of each row turned by cos, sin (..., n); ints: interleaved,
// inverse.
void rope(const Call& call) {
  const View &out = *call.views[0], &x = *call.views[1], &cos = *call.views[2], &sin = *call.views[3];
  if (numel(out) == 0) return;
  dispatch_floats(x.dtype, [&]<class T>(Type<T>) {
    if (cos.dtype == x.dtype) return rotate<T, T>(out, x, cos, sin, call.ints[0], call.ints[1]);
    if (cos.dtype == kFloat32) return rotate<T, float>(out, x, cos, sin, call.ints[0], call.ints[1]);
    fail(call, kValueError, "rope: tables of dtype %s for x of dtype %s; make them float32 or of x's dtype",
         kDTypeNames[cos.dtype], kDTypeNames[x.dtype]);
  });
}

AL_KERNEL("rope", rope);

}  // namespace

}  // namespace al
