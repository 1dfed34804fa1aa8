// The kernels over gemm: batched products with broadcasting, the affine layer, ragged groups, the choice of
// the back end.
#include <algorithm>

#include "dtypes.h"
#include "kernel.h"
#include "simd/gemm.h"

namespace al {

namespace {

using gemm::Matrix;
using gemm::Problem;

constexpr int kOperands = 4;  // c, a, b, add

Matrix matrix(const View& v) { return {v.data, v.strides[v.ndim - 2], v.strides[v.ndim - 1]}; }

// The dims in front of the matrices, right-aligned to the output's, with strides in bytes; dims that run on
// are merged.
struct Batch {
  int ndim = 0;
  int64_t shape[kMaxDims],
      strides[kOperands][kMaxDims] = {};  // zero: an operand that the batch does not move along

  Batch(View* const* v, int operands) {
    const View& out = *v[0];
    for (int d = 0; d < out.ndim - 2; d++) {
      if (out.shape[d] == 1) continue;
      int64_t s[kOperands] = {};
      for (int x = 0; x < operands; x++)
        s[x] = v[x] ? stride(*v[x], d - out.ndim) * kItemSize[v[x]->dtype] : 0;
      bool merge = ndim > 0;
      for (int x = 0; x < operands && merge; x++) merge = strides[x][ndim - 1] == s[x] * out.shape[d];
      if (!merge) shape[ndim++] = 1;
      shape[ndim - 1] *= out.shape[d];
      for (int x = 0; x < kOperands; x++)
        strides[x][ndim - 1] = s[x];  // an operand that is not there stays put
    }
  }
  static int64_t stride(const View& v, int from_end) {
    const int d = v.ndim + from_end;
    return d < 0 || v.shape[d] == 1 ? 0 : v.strides[d];
  }
  int64_t count() const {
    int64_t n = 1;
    for (int d = 0; d < ndim; d++) n *= shape[d];
    return n;
  }
  Problem at(Problem p, int64_t index) const {
    Matrix* m[kOperands] = {&p.c, &p.a, &p.b, &p.add};
    for (int d = ndim - 1; d >= 0; d--) {
      const int64_t i = index % shape[d];
      index /= shape[d];
      for (int x = 0; x < kOperands; x++)
        if (m[x]->data) m[x]->data += i * strides[x][d];
    }
    return p;
  }
  // With one b for all, the last batch dim is more rows.
  void fold_rows(Problem& p) {
    const int d = ndim - 1;
    const int64_t size = kItemSize[p.dtype], out_size = kItemSize[p.out_dtype];
    if (d < 0 || strides[2][d] != 0 || strides[1][d] != p.m * p.a.row * size ||
        strides[0][d] != p.m * p.c.row * out_size)
      return;
    if (p.add.data && strides[3][d] != p.m * p.add.row * out_size) return;
    p.m *= shape[d];
    ndim--;
  }
};

void run_batch(const Problem& p, const Batch& batch) {
  const int64_t n = batch.count(), threads = runtime->num_threads();
  if (n == 0) return;
  if (n == 1) return gemm::gemm(batch.at(p, 0));
  const double work = double(p.m) * p.n * p.k;
  if (n < 4 * threads && work > 1e7) {
    for (int64_t i = 0; i < n; i++) gemm::gemm(batch.at(p, i));
    return;
  }
  Problem alone = p;
  alone.serial = true;
  parallel_for(n, std::max<int64_t>(1, int64_t(1e6 / (work + 1000))), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) gemm::gemm(batch.at(alone, i));
  });
}

bool check(const Call& call, const char* name, int32_t dtype, int32_t out_dtype) {
  if (gemm::supported(dtype, out_dtype)) return true;
  fail(call, kValueError,
       "%s: not implemented for dtype %s on cpu; convert the operands, for example with .float()", name,
       kDTypeNames[dtype]);
  return false;
}

// A view right-aligned to (..., m, n): a vector of n is repeated in all rows.
Matrix addend(const View& v, const View& out) {
  return {v.data, Batch::stride(v, -2), v.ndim ? Batch::stride(v, -1) : 0};
}

// out (..., M, N) = alpha * a (..., M, K) @ b (..., K, N) + beta * add; floats: alpha, beta (both 1 if
// absent).
void matmul(const Call& call) {
  const View &out = *call.views[0], &a = *call.views[1], &b = *call.views[2];
  if (!check(call, "matmul", a.dtype, out.dtype) || numel(out) == 0) return;
  Problem p{
      a.dtype,   out.dtype,  out.shape[out.ndim - 2], out.shape[out.ndim - 1], a.shape[a.ndim - 1], matrix(a),
      matrix(b), matrix(out)};
  if (call.nviews > 3 && call.views[3]) p.add = addend(*call.views[3], out);
  if (call.floats.count > 0) p.alpha = call.floats[0];
  if (call.floats.count > 1) p.beta = call.floats[1];
  Batch batch(call.views, std::min(call.nviews, kOperands));
  batch.fold_rows(p);
  run_batch(p, batch);
}

// out (..., N) = x (..., K) @ w (N, K).T + bias (N), which may be absent.
void linear(const Call& call) {
  const View &out = *call.views[0], &x = *call.views[1], &w = *call.views[2];
  const View* bias = call.views[3];
  if (!check(call, "linear", x.dtype, out.dtype) || numel(out) == 0) return;
  Problem p{x.dtype,
            out.dtype,
            1,
            w.shape[0],
            w.shape[1],
            {x.data, 0, x.strides[x.ndim - 1]},
            {w.data, w.strides[1], w.strides[0]},
            {out.data, w.shape[0], 1}};
  if (bias) p.add = {bias->data, 0, bias->strides[0]};
  View rows[3] = {out, x, w};  // every dim in front is one of the batch; a row is a matrix of one row
  View* views[3] = {&rows[0], &rows[1], &rows[2]};
  for (int v = 0; v < 2; v++) {
    View& r = rows[v];
    r.shape[r.ndim] = r.shape[r.ndim - 1];
    r.strides[r.ndim] = r.strides[r.ndim - 1];
    r.shape[r.ndim - 1] = 1;
    r.ndim++;
  }
  Batch batch(views, 3);
  if (batch.ndim > 0) {  // the innermost run of rows makes one matrix
    const int d = --batch.ndim;
    p.m = batch.shape[d];
    p.a.row = batch.strides[1][d] / kItemSize[x.dtype];
    p.c.row = batch.strides[0][d] / kItemSize[x.dtype];
  }
  run_batch(p, batch);
}

// ---- dot ----

constexpr int64_t kDotBlock =
    4096;  // elements summed by themselves: fixed, so that threads do not change the sum

template <class T>
void dot_of(const View& out, const View& a, const View& b) {
  using Acc = compute_t<T>;
  using Wide =
      std::conditional_t<std::is_integral_v<Acc>,
                         std::make_unsigned_t<std::conditional_t<std::is_integral_v<Acc>, Acc, int>>, Acc>;
  constexpr int kSums = 32;
  const int64_t n = a.shape[0], blocks = (n + kDotBlock - 1) / kDotBlock;
  Scratch<Wide> parts(blocks + 1);
  parallel_for(blocks, 16, [&](int64_t begin, int64_t end) {
    for (int64_t q = begin; q < end; q++) {
      const int64_t from = q * kDotBlock, count = std::min(kDotBlock, n - from);
      const T *x = ptr<const T>(a) + from, *y = ptr<const T>(b) + from;
      Wide sums[kSums] = {};
      int64_t i = 0;
      for (; i + kSums <= count; i += kSums)
        for (int s = 0; s < kSums; s++) sums[s] += Wide(to_compute(x[i + s])) * Wide(to_compute(y[i + s]));
      for (; i < count; i++) sums[i % kSums] += Wide(to_compute(x[i])) * Wide(to_compute(y[i]));
      for (int half = kSums / 2; half > 0; half /= 2)
        for (int s = 0; s < half; s++) sums[s] += sums[s + half];
      parts[q] = sums[0];
    }
  });
  Wide total = 0;
  for (int64_t q = 0; q < blocks; q++) total += parts[q];
  *ptr<T>(out) = from_float<T>(compute_t<T>(total));
}

// out () = the sum over i of a[i] * b[i].
void dot(const Call& call) {
  const View &out = *call.views[0], &a = *call.views[1], &b = *call.views[2];
  const bool done = dispatch_numbers(a.dtype, [&]<class T>(Type<T>) { dot_of<T>(out, a, b); });
  if (!done) check(call, "dot", a.dtype, out.dtype);
}

// ---- ragged groups ----

// offs[g] is where group g ends. False, with the refusal recorded, unless they ascend up to `limit`.
bool read_offsets(const Call& call, const View& offs, int64_t limit, int64_t* ends) {
  int64_t before = 0;
  for (int64_t g = 0; g < offs.shape[0]; g++) {
    const char* at = offs.data + g * offs.strides[0] * kItemSize[offs.dtype];
    ends[g] =
        offs.dtype == kInt32 ? *reinterpret_cast<const int32_t*>(at) : *reinterpret_cast<const int64_t*>(at);
    if (ends[g] < before || ends[g] > limit) {
      fail(call, kValueError,
           "grouped_mm: offs[%lld] is %lld, but ends of groups must ascend from %lld to at most %lld",
           (long long)g, (long long)ends[g], (long long)before, (long long)limit);
      return false;
    }
    before = ends[g];
  }
  return true;
}

void zero_rest(const View& out, bool columns, int64_t from) {
  const int64_t size = kItemSize[out.dtype], n = out.shape[1], skip = columns ? from : 0;
  for (int64_t i = columns ? 0 : from; i < out.shape[0]; i++)
    std::fill(out.data + (i * n + skip) * size, out.data + (i + 1) * n * size, 0);
}

// Groups along the rows of a (2-d @ 3-d), the columns of b (3-d @ 2-d), or the summed dim (2-d @ 2-d, one
// product a group).
void grouped_mm(const Call& call) {
  const View &out = *call.views[0], &a = *call.views[1], &b = *call.views[2], &offs = *call.views[3];
  if (!check(call, "grouped_mm", a.dtype, out.dtype)) return;
  const bool by_rows = a.ndim == 2 && b.ndim == 3, by_cols = a.ndim == 3;
  const int64_t groups = offs.shape[0], size = kItemSize[a.dtype];
  const int64_t m = a.shape[a.ndim - 2], k = a.shape[a.ndim - 1], n = b.shape[b.ndim - 1];
  Scratch<int64_t> ends(groups + 1);
  if (!read_offsets(call, offs, by_rows ? m : by_cols ? n : k, ends.data)) return;
  Problem all{a.dtype, out.dtype, m, n, k, matrix(a), matrix(b), matrix(out)};
  for (int64_t g = 0; g < groups; g++) {
    const int64_t from = g ? ends[g - 1] : 0, count = ends[g] - from;
    Problem p = all;
    if (by_rows) {
      p.m = count;
      p.a.data += from * p.a.row * size;
      p.b.data += g * b.strides[0] * size;
      p.c.data += from * p.c.row * size;
    } else if (by_cols) {
      p.n = count;
      p.a.data += g * a.strides[0] * size;
      p.b.data += from * p.b.col * size;
      p.c.data += from * size;
    } else {
      p.k = count;
      p.a.data += from * p.a.col * size;
      p.b.data += from * p.b.row * size;
      p.c.data += g * out.strides[0] * size;
    }
    gemm::gemm(p);
  }
  if (by_rows || by_cols) zero_rest(out, by_cols, groups ? ends[groups - 1] : 0);
}

// ints: the back end; view 0, if any: the path of OpenBLAS, ended by 0. Refuses OpenBLAS where it can't be
// loaded.
void gemm_backend(const Call& call) {
  const auto wanted = gemm::Backend(call.ints[0]);
  if (call.nviews > 0 && !gemm::openblas_load(call.views[0]->data)) {
    fail(call, kRuntimeError, "gemm: %s is not an OpenBLAS with the prefix scipy_; install scipy-openblas32",
         call.views[0]->data);
    return;
  }
  gemm::set_backend(wanted);
}

AL_KERNEL("matmul", matmul);
AL_KERNEL("linear", linear);
AL_KERNEL("dot", dot);
AL_KERNEL("grouped_mm", grouped_mm);
AL_KERNEL("gemm_backend", gemm_backend);

}  // namespace

}  // namespace al
