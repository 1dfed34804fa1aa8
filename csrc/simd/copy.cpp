// Copies and casts between any two strided views of one shape. Equal dtypes move bytes (transposes in
// blocks); casts go through an intermediate type: a block in L1 when neither side is that type already.
#include <algorithm>
#include <cstdlib>

#include "float8.h"
#include "kernel.h"

namespace al {
namespace {

constexpr int64_t kBlock = 256;      // elements of a block on the way through the intermediate type
constexpr int64_t kGrain = 1 << 15;  // elements a thread takes at least
constexpr int64_t kStrip = 128;      // rows of a strip: 512 B or more of each source row are read in one go
constexpr int64_t kTile = 32;  // side of a transposed tile: 2 x 32 x 32 x 8 B = 16 KiB of the 32 KiB of L1

// ---- shape: the dims of a copy, innermost last, sorted by the destination's strides and merged ----

struct Plan {
  int ndim = 0;
  int64_t shape[kMaxDims], dst[kMaxDims], src[kMaxDims];  // strides in bytes
};

Plan make_plan(const View& dst, const View& src) {
  Plan p;
  int order[kMaxDims];
  for (int i = 0; i < dst.ndim; i++)
    if (dst.shape[i] != 1) order[p.ndim++] = i;
  std::stable_sort(order, order + p.ndim,
                   [&](int a, int b) { return std::abs(dst.strides[a]) > std::abs(dst.strides[b]); });
  int used = 0;
  for (int k = 0; k < p.ndim; k++) {
    int64_t n = dst.shape[order[k]];
    int64_t d = dst.strides[order[k]] * kItemSize[dst.dtype],
            s = src.strides[order[k]] * kItemSize[src.dtype];
    if (used > 0 && p.dst[used - 1] == n * d && p.src[used - 1] == n * s) {
      p.shape[used - 1] *= n, p.dst[used - 1] = d, p.src[used - 1] = s;
    } else {
      p.shape[used] = n, p.dst[used] = d, p.src[used] = s;
      used++;
    }
  }
  if (used == 0) p.shape[0] = 1, p.dst[0] = kItemSize[dst.dtype], p.src[0] = kItemSize[src.dtype], used = 1;
  p.ndim = used;
  return p;
}

// Calls row(dst offset, src offset) for the rows [begin, end) of the outer `outer` dims, in C order.
template <class Row> void each_row(const Plan& p, int outer, int64_t begin, int64_t end, Row&& row) {
  int64_t index[kMaxDims], rest = begin, d = 0, s = 0;
  for (int i = outer - 1; i >= 0; i--) {
    index[i] = rest % p.shape[i], rest /= p.shape[i];
    d += index[i] * p.dst[i], s += index[i] * p.src[i];
  }
  for (int64_t r = begin; r < end; r++) {
    row(d, s);
    for (int i = outer - 1; i >= 0; i--) {
      d += p.dst[i], s += p.src[i];
      if (++index[i] < p.shape[i]) break;
      d -= p.dst[i] * p.shape[i], s -= p.src[i] * p.shape[i], index[i] = 0;
    }
  }
}

int64_t product(const int64_t* shape, int n) {
  int64_t r = 1;
  for (int i = 0; i < n; i++) r *= shape[i];
  return r;
}

// ---- rows of bytes ----

using RowFn = void (*)(char* dst, int64_t dst_stride, const char* src, int64_t src_stride, int64_t n);

template <class T> void move_row(char* dst, int64_t ds, const char* src, int64_t ss, int64_t n) {
  if (ds == int64_t(sizeof(T)) && ss == ds) {
    memmove(dst, src, size_t(n) * sizeof(T));
  } else if (ds == int64_t(sizeof(T)) && ss == 0) {
    std::fill_n(reinterpret_cast<T*>(dst), n, *reinterpret_cast<const T*>(src));
  } else if (ds == int64_t(sizeof(T))) {
    for (int64_t i = 0; i < n; i++) reinterpret_cast<T*>(dst)[i] = *reinterpret_cast<const T*>(src + i * ss);
  } else {
    for (int64_t i = 0; i < n; i++)
      *reinterpret_cast<T*>(dst + i * ds) = *reinterpret_cast<const T*>(src + i * ss);
  }
}

// dst[i][j] = src[j][i] for eight by eight 4-byte elements in registers: interleave pairs, then quads, then
// halves.
typedef uint32_t Row8 __attribute__((vector_size(32), aligned(4), may_alias));
AL_INLINE Row8 low_pairs(Row8 a, Row8 b) { return __builtin_shuffle(a, b, (Row8){0, 8, 1, 9, 4, 12, 5, 13}); }
AL_INLINE Row8 high_pairs(Row8 a, Row8 b) {
  return __builtin_shuffle(a, b, (Row8){2, 10, 3, 11, 6, 14, 7, 15});
}
AL_INLINE Row8 low_quads(Row8 a, Row8 b) { return __builtin_shuffle(a, b, (Row8){0, 1, 8, 9, 4, 5, 12, 13}); }
AL_INLINE Row8 high_quads(Row8 a, Row8 b) {
  return __builtin_shuffle(a, b, (Row8){2, 3, 10, 11, 6, 7, 14, 15});
}
AL_INLINE Row8 low_halves(Row8 a, Row8 b) {
  return __builtin_shuffle(a, b, (Row8){0, 1, 2, 3, 8, 9, 10, 11});
}
AL_INLINE Row8 high_halves(Row8 a, Row8 b) {
  return __builtin_shuffle(a, b, (Row8){4, 5, 6, 7, 12, 13, 14, 15});
}

void transpose_eight(char* dst, int64_t dst_row, const char* src, int64_t src_row) {
  Row8 r[8], t[8];
  for (int k = 0; k < 8; k++) r[k] = *reinterpret_cast<const Row8*>(src + k * src_row);
  for (int k = 0; k < 8; k += 2) t[k] = low_pairs(r[k], r[k + 1]), t[k + 1] = high_pairs(r[k], r[k + 1]);
  for (int k = 0; k < 8; k += 4)
    for (int h = 0; h < 2; h++)
      r[k + 2 * h] = low_quads(t[k + h], t[k + 2 + h]), r[k + 2 * h + 1] = high_quads(t[k + h], t[k + 2 + h]);
  for (int k = 0; k < 4; k++) {
    *reinterpret_cast<Row8*>(dst + k * dst_row) = low_halves(r[k], r[k + 4]);
    *reinterpret_cast<Row8*>(dst + (k + 4) * dst_row) = high_halves(r[k], r[k + 4]);
  }
}

// dst[i][j] = src[j][i] for a tile: reads rows of src, writes rows of dst, meets itself in L1.
template <class T>
void transpose_tile(char* dst, int64_t dst_row, const char* src, int64_t src_row, int64_t rows,
                    int64_t cols) {
  if (sizeof(T) == 4 && rows == kTile && cols == kTile) {
    for (int64_t i = 0; i < kTile; i += 8)
      for (int64_t j = 0; j < kTile; j += 8)
        transpose_eight(dst + i * dst_row + j * 4, dst_row, src + j * src_row + i * 4, src_row);
    return;
  }
  T tile[kTile][kTile + 1];
  for (int64_t j = 0; j < cols; j++)
    for (int64_t i = 0; i < rows; i++) tile[j][i] = reinterpret_cast<const T*>(src + j * src_row)[i];
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < cols; j++) reinterpret_cast<T*>(dst + i * dst_row)[j] = tile[j][i];
}

// The dim of src that is contiguous, when dst's innermost is not: a transpose. -1 if there is none.
int transposed_dim(const Plan& p, int64_t itemsize) {
  if (p.ndim < 2 || p.dst[p.ndim - 1] != itemsize || std::abs(p.src[p.ndim - 1]) <= itemsize) return -1;
  if (p.shape[p.ndim - 1] < 4) return -1;
  for (int i = 0; i < p.ndim - 1; i++)
    if (p.src[i] == itemsize && p.shape[i] >= 4) return i;
  return -1;
}

template <class T> void copy_transposed(Plan p, int dim, char* dst, const char* src) {
  for (int i = dim; i + 2 < p.ndim; i++) {  // to the last place but one
    std::swap(p.shape[i], p.shape[i + 1]), std::swap(p.dst[i], p.dst[i + 1]),
        std::swap(p.src[i], p.src[i + 1]);
  }
  const int outer = p.ndim - 2;
  const int64_t rows = p.shape[outer], cols = p.shape[outer + 1], strips = (rows + kStrip - 1) / kStrip;
  const int64_t total = product(p.shape, outer) * strips;
  parallel_for(total, std::max<int64_t>(1, kGrain / (kStrip * cols)), [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; k++)
      each_row(p, outer, k / strips, k / strips + 1, [&](int64_t d, int64_t s) {
        const int64_t first = k % strips * kStrip, last = std::min(rows, first + kStrip);
        for (int64_t j = 0; j < cols; j += kTile)
          for (int64_t i = first; i < last; i += kTile)
            transpose_tile<T>(dst + d + i * p.dst[outer] + j * p.dst[outer + 1], p.dst[outer],
                              src + s + i * p.src[outer] + j * p.src[outer + 1], p.src[outer + 1],
                              std::min(kTile, last - i), std::min(kTile, cols - j));
      });
  });
}

// ---- casts: load into one of four intermediate types that holds the source exactly, store from it ----

using LoadFn = void (*)(const char* src, int64_t stride, void* block, int64_t n);
using StoreFn = void (*)(const void* block, char* dst, int64_t stride, int64_t n);
enum Middle { kMidInt32, kMidInt64, kMidFloat, kMidDouble };

template <class T> struct MiddleOf { using type = compute_t<T>; };
template <> struct MiddleOf<bool> { using type = int32_t; };
template <> struct MiddleOf<uint8_t> { using type = int32_t; };
template <> struct MiddleOf<int8_t> { using type = int32_t; };
template <> struct MiddleOf<int16_t> { using type = int32_t; };

template <class T> void load_row(const char* src, int64_t stride, void* block, int64_t n) {
  using M = typename MiddleOf<T>::type;
  M* dst = static_cast<M*>(block);
  if (stride == int64_t(sizeof(T))) {
    if constexpr (is_half<T>) return load_floats(reinterpret_cast<const T*>(src), dst, n);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) dst[i] = M(to_compute(reinterpret_cast<const T*>(src)[i]));
  } else {
    for (int64_t i = 0; i < n; i++) dst[i] = M(to_compute(*reinterpret_cast<const T*>(src + i * stride)));
  }
}

template <class T, class M> AL_INLINE T convert(M x) {
  if constexpr (std::is_same_v<T, bool>) return x != M(0);
  else if constexpr (std::is_integral_v<T> && std::is_floating_point_v<M>) return float_to_int<T>(x);
  else if constexpr (std::is_arithmetic_v<T>) return T(x);
  else return from_float<T>(float(x));
}

template <class T, class M> void store_row(const void* block, char* dst, int64_t stride, int64_t n) {
  const M* src = static_cast<const M*>(block);
  if (stride == int64_t(sizeof(T))) {
    if constexpr (is_half<T> && std::is_same_v<M, float>)
      return store_floats(src, reinterpret_cast<T*>(dst), n);
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) reinterpret_cast<T*>(dst)[i] = convert<T>(src[i]);
  } else {
    for (int64_t i = 0; i < n; i++) *reinterpret_cast<T*>(dst + i * stride) = convert<T>(src[i]);
  }
}

struct Codec {
  Middle middle;
  bool is_middle;  // stored as the intermediate type itself
  LoadFn load;
  StoreFn store[4];  // by Middle
};

template <class M> constexpr Middle middle_code() {
  if constexpr (std::is_same_v<M, int32_t>) return kMidInt32;
  else if constexpr (std::is_same_v<M, int64_t>) return kMidInt64;
  else if constexpr (std::is_same_v<M, float>) return kMidFloat;
  else return kMidDouble;
}

template <class T> constexpr Codec codec() {
  using M = typename MiddleOf<T>::type;
  return {middle_code<M>(), std::is_same_v<T, M>, load_row<T>,
          {store_row<T, int32_t>, store_row<T, int64_t>, store_row<T, float>, store_row<T, double>}};
}

constexpr Codec kCodecs[kNumDTypes] = {
    codec<bool>(), codec<uint8_t>(), codec<int8_t>(), codec<int16_t>(), codec<int32_t>(), codec<int64_t>(),
    codec<float16>(), codec<bfloat16>(), codec<float>(), codec<double>(), codec<float8_e4m3fn>(),
    codec<float8_e5m2>(), codec<float8_e8m0fnu>(), {kMidFloat, false, nullptr, {}}, codec<hifloat8>()};
constexpr int64_t kMiddleSize[4] = {4, 8, 4, 8};

void cast_row(const Codec& to, char* dst, int64_t ds, const Codec& from, const char* src, int64_t ss,
              int64_t n) {
  alignas(64) char block[kBlock * 8];
  const int64_t middle_size = kMiddleSize[from.middle];
  const StoreFn store = to.store[from.middle];
  if (from.is_middle && ss == middle_size) return store(src, dst, ds, n);
  if (to.is_middle && to.middle == from.middle && ds == middle_size) return from.load(src, ss, dst, n);
  if (ss == 0) from.load(src, 0, block, std::min(n, kBlock));
  for (int64_t i = 0; i < n; i += kBlock) {
    int64_t count = std::min(kBlock, n - i);
    if (ss != 0) from.load(src + i * ss, ss, block, count);
    store(block, dst + i * ds, ds, count);
  }
}

// ---- the kernels ----

template <class Row> void run_rows(const Plan& p, Row&& row) {
  const int outer = p.ndim - 1;
  const int64_t n = p.shape[outer], rows = product(p.shape, outer);
  if (rows == 1)
    return parallel_for(n, kGrain,
                        [&](int64_t b, int64_t e) { row(b * p.dst[outer], b * p.src[outer], e - b); });
  parallel_for(rows, std::max<int64_t>(1, kGrain / std::max<int64_t>(n, 1)), [&](int64_t begin, int64_t end) {
    each_row(p, outer, begin, end, [&](int64_t d, int64_t s) { row(d, s, n); });
  });
}

void copy_views(const Call& c, const View& dst, const View& src) {
  if (numel(dst) == 0) return;
  const Plan p = make_plan(dst, src);
  const int last = p.ndim - 1;
  if (dst.dtype == src.dtype) {
    return dispatch_width(dst.dtype, [&]<class T>(Type<T>) {
      int dim = transposed_dim(p, sizeof(T));
      if (dim >= 0) return copy_transposed<T>(p, dim, dst.data, src.data);
      run_rows(p, [&](int64_t d, int64_t s, int64_t n) {
        move_row<T>(dst.data + d, p.dst[last], src.data + s, p.src[last], n);
      });
    });
  }
  if (dst.dtype == kFloat4E2M1x2 || src.dtype == kFloat4E2M1x2)
    return fail(c, kRuntimeError,
                "copy: %s cannot be cast to %s: one float4_e2m1fn_x2 element holds two values; "
                "use fp4_encode or fp4_decode",
                kDTypeNames[src.dtype], kDTypeNames[dst.dtype]);
  const Codec &to = kCodecs[dst.dtype], &from = kCodecs[src.dtype];
  run_rows(p, [&](int64_t d, int64_t s, int64_t n) {
    cast_row(to, dst.data + d, p.dst[last], from, src.data + s, p.src[last], n);
  });
}

void copy(const Call& c) { copy_views(c, *c.views[0], *c.views[1]); }

void fill(const Call& c) {
  View value = *c.views[0];
  value.data = c.views[1]->data, value.dtype = c.views[1]->dtype;
  std::fill_n(value.strides, value.ndim, 0);
  copy_views(c, *c.views[0], value);
}

// Pairs of float values <-> packed bytes; both contiguous, the float side twice as long.
void fp4_encode(const Call& c) {
  const float* x = ptr<float>(*c.views[1]);
  uint8_t* y = ptr<uint8_t>(*c.views[0]);
  parallel_for(numel(*c.views[0]), kGrain, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; i++)
      y[i] = uint8_t(float_to_e2m1(x[2 * i]) | float_to_e2m1(x[2 * i + 1]) << 4);
  });
}
void fp4_decode(const Call& c) {
  const uint8_t* x = ptr<uint8_t>(*c.views[1]);
  float* y = ptr<float>(*c.views[0]);
  parallel_for(numel(*c.views[1]), kGrain, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; i++)
      y[2 * i] = e2m1_to_float(x[i] & 15), y[2 * i + 1] = e2m1_to_float(x[i] >> 4);
  });
}

AL_KERNEL("copy", copy);
AL_KERNEL("fill", fill);
AL_KERNEL("fp4_encode", fp4_encode);
AL_KERNEL("fp4_decode", fp4_decode);

}  // namespace
}  // namespace al
