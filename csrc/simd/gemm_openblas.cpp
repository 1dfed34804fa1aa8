// The OpenBLAS back end: the library of the scipy-openblas32 package, opened when it is first asked for. It
// runs on one thread; rows are split by our pool.
#include <dlfcn.h>

#include <limits>

#include "kernel.h"
#include "simd/gemm.h"

namespace al::gemm {

namespace {

constexpr int kRowMajor = 101, kNoTrans = 111, kTrans = 112;  // cblas.h
template <class T>
using Routine = void (*)(int order, int ta, int tb, int m, int n, int k, T alpha, const T* a, int lda,
                         const T* b, int ldb, T beta, T* c, int ldc);
Routine<float> sgemm = nullptr;
Routine<double> dgemm = nullptr;

constexpr int64_t kLimit = std::numeric_limits<int32_t>::max();

// The leading dimension of a matrix one of whose strides is 1, as BLAS wants it; 0 when it has no such form.
int64_t leading(const Matrix& m, int64_t rows, int64_t cols, int* transposed) {
  *transposed = m.col == 1 || cols == 1 ? kNoTrans : kTrans;
  const int64_t ld = *transposed == kNoTrans ? m.row : m.col, least = *transposed == kNoTrans ? cols : rows;
  const int64_t inner = *transposed == kNoTrans ? (cols == 1 ? 1 : m.col) : m.row;
  const int64_t outer = *transposed == kNoTrans ? rows : cols;
  if (inner != 1) return 0;
  if (outer == 1) return least > 0 ? least : 1;
  return ld >= least && ld > 0 && ld < kLimit ? ld : 0;
}

template <class T>
bool multiply(Routine<T> routine, const Problem& p) {
  int ta, tb, tc;
  const int64_t lda = leading(p.a, p.m, p.k, &ta), ldb = leading(p.b, p.k, p.n, &tb),
                ldc = leading(p.c, p.m, p.n, &tc);
  const bool same = p.add.data == p.c.data;
  if (!routine || !lda || !ldb || !ldc || tc != kNoTrans || p.activation || (p.add.data && !same))
    return false;
  if (p.m >= kLimit || p.n >= kLimit || p.k >= kLimit || p.m == 0 || p.n == 0 || p.k == 0) return false;
  const T* a = reinterpret_cast<const T*>(p.a.data);
  T* c = reinterpret_cast<T*>(p.c.data);
  auto rows = [&](int64_t begin, int64_t end) {
    routine(kRowMajor, ta, tb, int(end - begin), int(p.n), int(p.k), T(p.alpha), a + begin * p.a.row,
            int(lda), reinterpret_cast<const T*>(p.b.data), int(ldb), same ? T(p.beta) : T(0),
            c + begin * p.c.row, int(ldc));
  };
  const double work = double(p.m) * p.n * p.k;
  if (p.serial || work < 1e6)
    rows(0, p.m);
  else
    parallel_for(p.m, (p.m + runtime->num_threads() - 1) / runtime->num_threads(), rows);
  return true;
}

}  // namespace

bool openblas_load(const char* path) {
  if (sgemm) return true;
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) return false;
  auto threads = reinterpret_cast<void (*)(int)>(dlsym(library, "scipy_openblas_set_num_threads"));
  dgemm = reinterpret_cast<Routine<double>>(dlsym(library, "scipy_cblas_dgemm"));
  sgemm = reinterpret_cast<Routine<float>>(dlsym(library, "scipy_cblas_sgemm"));
  if (!threads || !sgemm || !dgemm) {
    sgemm = nullptr;
    return false;
  }
  threads(1);
  return true;
}

bool openblas_gemm(const Problem& p) {
  if (p.dtype == kFloat32) return multiply(sgemm, p);
  if (p.dtype == kFloat64) return multiply(dgemm, p);
  return false;
}

}  // namespace al::gemm
