// Chooses the back end of a matrix product.
#include "simd/gemm.h"

#include <utility>

namespace al::gemm {

namespace {

Backend chosen = kAuto;

using Native = void (*)(const Problem&);
constexpr Native kNatives[kNumDTypes] = {nullptr,        native_integer, native_integer, native_integer,
                                         native_integer, native_integer, native_half,    native_half,
                                         native_float,   native_double};

// c transposed = b transposed @ a transposed: for outputs whose columns are the contiguous direction.
Problem flipped(const Problem& p) {
  auto turn = [](Matrix m) { return Matrix{m.data, m.col, m.row}; };
  Problem q = p;
  std::swap(q.m, q.n);
  q.a = turn(p.b);
  q.b = turn(p.a);
  q.c = turn(p.c);
  q.add = turn(p.add);
  return q;
}

}  // namespace

void set_backend(Backend backend) { chosen = backend; }
Backend backend() { return chosen; }

bool supported(int32_t dtype, int32_t out_dtype) {
  return dtype < kNumDTypes && kNatives[dtype] &&
         (dtype == out_dtype || (dtype == kInt8 && out_dtype == kInt32));
}

void gemm(const Problem& problem) {
  const Problem& p = problem;
  const bool by_columns = p.c.row == 1 && (p.c.col != 1 || (p.n == 1 && p.m > 1));
  if (by_columns) return gemm(flipped(p));
  if (chosen == kOpenBlas && openblas_gemm(p)) return;
  kNatives[p.dtype](p);
}

}  // namespace al::gemm
