// A few rows times a weight that was laid out for them: panels of columns in the order in which they are read, so that memory is one run.
// The sums are those of every other road, in the same order.
#include <initializer_list>

#include "simd/gemm_product.h"

namespace al::gemm {

namespace {

constexpr int kPanel = 32;  // columns: few, so that threads end together
constexpr int kPanelVecs = kPanel / Lanes<float>::width;  // chains of additions side by side
constexpr int64_t kRowsOfPanels = 2;
constexpr int64_t kAhead = 4096;  // bytes, asked for in time; they pass by the second cache, where the program that calls lies

template <class In>
constexpr int kSteps = int(sizeof(float) / sizeof(In));  // values of k in a word

// Words of the columns of a panel side by side. Columns that do not exist are zeros.
template <class In>
void pack_panels(const In* w, int64_t n, int64_t k, float* to) {
  const int64_t words = k / kSteps<In>;
  parallel_for(ceil_div(n, kPanel), 1, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; p++) {
      const int lines = int(std::min<int64_t>(kPanel, n - p * kPanel));
      pack_across<kPanel>(reinterpret_cast<const float*>(w + p * kPanel * k), words, lines, words, to + p * kPanel * words, kPanel);
    }
  });
}

// The sums of M rows, k values apart, with a panel.
template <class In, int M>
void panel_sums(const float* panel, const float* left, int64_t k, float* total) {
  constexpr int width = Lanes<float>::width;
  for (int64_t from = 0; from < k; from += kDepth) {
    Vec<float> sum[M][kPanelVecs] = {};
    for (int64_t at = from; at < std::min(k, from + kDepth); at += kSteps<In>, panel += kPanel) {
#pragma GCC unroll 4
      for (int64_t line = 0; line < kPanel * 4; line += 64) __builtin_prefetch((const char*)panel + kAhead + line, 0, 0);
#pragma GCC unroll 8
      for (int v = 0; v < kPanelVecs; v++) {
        const Vec<float> x = load(panel + v * width);
#pragma GCC unroll 2
        for (int i = 0; i < M; i++) {
          const float* y = left + i * k + at;
          if constexpr (kSteps<In> == 1) {
            sum[i][v] = fused(splat(y[0]), x, sum[i][v]);
          } else {  // the lower half comes first in memory
            const Vec<uint32_t> both = (Vec<uint32_t>)x;
            sum[i][v] = fused(splat(y[0]), (Vec<float>)(both << 16), sum[i][v]);
            sum[i][v] = fused(splat(y[1]), (Vec<float>)(both & 0xffff0000u), sum[i][v]);
          }
        }
      }
    }
#pragma GCC unroll 2
    for (int i = 0; i < M; i++)
#pragma GCC unroll 8
      for (int v = 0; v < kPanelVecs; v++) {
        float* to = total + i * kPanel + v * width;
        store(to, from ? load(to) + sum[i][v] : sum[i][v]);
      }
  }
}

// The first lines of what the caller will read next, under way while it does something else; a waiting thread fetches its own part.
void ask_for_first(const View& following) {
  for (int64_t at = 0; at < kAhead; at += 64) __builtin_prefetch(following.data + at, 0, 2);
}

template <class In>
void multiply_panels(const Problem& p, const float* panels, const View* following) {
  const Product<MultiplyAdd<float>, In, In> product(p);
  if (p.k == 0) return product.nothing();
  Scratch<float> left(p.m * p.k);
  for (int64_t i = 0; i < p.m * p.k; i++) left.data[i] = to_compute(product.a[i]);
  const auto sums = p.m == 1 ? panel_sums<In, 1> : panel_sums<In, 2>;
  if (following) runtime->read_next(following->data, size_t(numel(*following)) * sizeof(In));
  product.share(ceil_div(p.n, kPanel), product.work(), kParallelStream, [&](int64_t begin, int64_t end) {
    alignas(64) float total[kRowsOfPanels * kPanel];
    for (int64_t q = begin; q < end; q++) {
      sums(panels + q * kPanel * (p.k / kSteps<In>), left.data, p.k, total);
      product.finish(total, kPanel, 0, p.m, q * kPanel, std::min<int64_t>(kPanel, p.n - q * kPanel));
    }
  });
  if (following) ask_for_first(*following);
}

// out: the panels, in elements of w (N, K), for whole words: N to the next multiple of 32, times K.
void panels(const Call& call) {
  const View &out = *call.views[0], &w = *call.views[1];
  float* to = ptr<float>(out);
  if (w.dtype == kBFloat16) return pack_panels(ptr<const bfloat16>(w), w.shape[0], w.shape[1], to);
  pack_panels(ptr<const float>(w), w.shape[0], w.shape[1], to);
}

// out (..., N) = x (..., K), of one or two rows, @ the weight of `panels` + bias (N), which may be absent, as may the panels of the product
// that is likely to follow.
void panel_linear(const Call& call) {
  const View &out = *call.views[0], &x = *call.views[1], &weight = *call.views[2];
  const View *bias = call.views[3], *following = call.views[4];
  const int64_t n = out.shape[out.ndim - 1], k = x.shape[x.ndim - 1], rows = n ? numel(out) / n : 0;
  if (rows == 0) return;
  Problem p{x.dtype, x.dtype, rows, n, k, {x.data, k, 1}, {}, {out.data, n, 1}};
  if (bias) p.add = {bias->data, 0, 1};
  if (x.dtype == kBFloat16) return multiply_panels<bfloat16>(p, ptr<const float>(weight), following);
  multiply_panels<float>(p, ptr<const float>(weight), following);
}

View rows_of(void* data, int32_t dtype, int64_t rows, int64_t n) { return {static_cast<char*>(data), dtype, 2, {rows, n}, {n, 1}}; }

// Another kernel, as an op of its own would run it.
struct Other {
  KernelEntry* entry;
  explicit Other(const char* name) : entry(runtime->entry(name)) {}
  void operator()(const Call& call, std::initializer_list<View*> views, int outs, std::initializer_list<int64_t> ints = {},
                  std::initializer_list<double> floats = {}) const {
    entry->kernel({views.begin(), int32_t(views.size()), outs, {ints.begin(), int64_t(ints.size())}, {floats.begin(), int64_t(floats.size())}, call.error});
  }
};

template <class In>
void gated(const Call& call) {
  View &out = *call.views[0], &x = *call.views[1], &scale = *call.views[2];
  const View &pair = *call.views[3], &back = *call.views[4], *following = call.views[5];
  const int64_t k = x.shape[x.ndim - 1], rows = k ? numel(x) / k : 0, inner = call.ints[0];
  if (rows == 0) return;
  static const Other norm("row_norm"), swiglu("swiglu");
  Scratch<In> room(rows * (2 * k + 3 * inner));
  Scratch<float> statistics(2 * rows);
  In *normed = room.data, *both = normed + rows * k, *act = both + 2 * rows * inner, *result = act + rows * inner;
  const auto product = [&](In* from, int64_t depth, const View& panels, In* to, int64_t n, const View* next) {
    multiply_panels<In>({x.dtype, x.dtype, rows, n, depth, {(char*)from, depth, 1}, {}, {(char*)to, n, 1}}, ptr<float>(panels), next);
  };
  View h = rows_of(normed, x.dtype, rows, k), mean = rows_of(statistics.data, kFloat32, 1, rows), rstd = rows_of(statistics.data + rows, kFloat32, 1, rows);
  norm(call, {&h, &mean, &rstd, &x, &scale, nullptr}, 3, {k, 0}, {call.floats[0]});
  product(normed, k, pair, both, 2 * inner, &back);
  for (int64_t r = 0; r < rows; r++) {
    View y = rows_of(act + r * inner, x.dtype, 1, inner), a = rows_of(both + 2 * r * inner, x.dtype, 1, inner), b = a;
    b.data += inner * sizeof(In);
    swiglu(call, {&y, &a, &b}, 1);
  }
  product(act, inner, back, result, k, following);
  for (int64_t i = 0; i < rows * k; i++) ptr<In>(out)[i] = from_float<In>(to_compute(ptr<const In>(x)[i]) + to_compute(result[i]));
}

// out = x + down(swiglu(gate(h), up(h))) with h = x / sqrt(mean(x^2) + eps) * scale, of one or two rows: each step rounds as the op that it
// is. Inputs: x, scale, the panels of gate and up together and those of down, and what is likely to follow; ints: the columns of gate.
void panel_gated(const Call& call) { call.views[1]->dtype == kBFloat16 ? gated<bfloat16>(call) : gated<float>(call); }

AL_KERNEL("panels", panels);
AL_KERNEL("panel_linear", panel_linear);
AL_KERNEL("panel_gated", panel_gated);

}  // namespace

}  // namespace al::gemm
