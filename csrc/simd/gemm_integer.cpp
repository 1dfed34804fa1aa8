// The native back end for integers: sums wrap around as the dtype does; int8 may keep its 32 bits. Narrow dtypes that keep theirs are
// rare: they are widened to int32 first, whose tiles serve all of them.
#include "kernel.h"
#include "simd/gemm_block.h"

namespace al::gemm {

namespace {

// Elements of one matrix into another, with the conversion of a C cast.
template <class From, class To>
void convert(Matrix from, Matrix to, int64_t rows, int64_t cols) {
  if (to.col != 1) {
    std::swap(from.row, from.col);
    std::swap(to.row, to.col);
    std::swap(rows, cols);
  }
  parallel_for(rows, ceil_div(int64_t{1} << 15, std::max<int64_t>(cols, 1)), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const From* x = (const From*)from.data + i * from.row;
      To* y = (To*)to.data + i * to.row;
      for (int64_t j = 0; j < cols; j++) y[j] = To(x[j * from.col]);
    }
  });
}

// The same matrix in int32, dense in the order that it has.
template <class T>
Matrix widen(const Matrix& x, int64_t rows, int64_t cols, int32_t* room) {
  const bool by_rows = std::abs(x.col) <= std::abs(x.row);
  const Matrix wide{(char*)room, by_rows ? cols : 1, by_rows ? 1 : rows};
  convert<T, int32_t>(x, wide, rows, cols);
  return wide;
}

template <class T>
void narrow(const Problem& p) {
  Scratch<int32_t> a(p.m * p.k), b(p.k * p.n), c(p.m * p.n), add(p.add.data ? p.m * p.n : 0);
  Problem wide = p;
  wide.a = widen<T>(p.a, p.m, p.k, a.data);
  wide.b = widen<T>(p.b, p.k, p.n, b.data);
  wide.c = {(char*)c.data, p.n, 1};
  if (p.add.data) {  // not in the place of c: the product is scaled there before it is added to
    wide.add = {(char*)add.data, p.n, 1};
    convert<T, int32_t>(p.add, wide.add, p.m, p.n);
  }
  multiply<MultiplyAdd<uint32_t>, int32_t, int32_t>(wide);
  convert<int32_t, T>(wide.c, p.c, p.m, p.n);
}

}  // namespace

void native_integer(const Problem& p) {
  static const bool quads = quads_in_hardware();
  if (p.dtype == kInt8 && p.m > kFew && (quads || backend() == kPairs)) return native_quads(p);
  if (p.dtype == kInt8 && p.out_dtype == kInt32)
    return multiply<MultiplyAdd<uint32_t>, int8_t, int32_t>(p);
  switch (p.dtype) {
    case kInt64:
      return multiply<MultiplyAdd<uint64_t>, int64_t, int64_t>(p);
    case kInt32:
      return multiply<MultiplyAdd<uint32_t>, int32_t, int32_t>(p);
    case kInt16:
      return narrow<int16_t>(p);
    case kInt8:
      return narrow<int8_t>(p);
    default:
      return narrow<uint8_t>(p);
  }
}

}  // namespace al::gemm
