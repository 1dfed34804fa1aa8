// Matrix products and convolutions of small planes without Python: for the sanitizers (tools/sanitize.sh), and for instruction
// sets that run in an emulator only (tools/cross_aarch64.sh). Integers as floats, so that every sum is exact.
// In pieces of three items on one thread, then on two threads of the pool.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "runtime/runtime.h"
#include "simd/conv_small.h"
#include "simd/conv_winograd_forward.h"
#include "simd/conv_winograd_weight.h"
#include "simd/gemm_block.h"

namespace al {
const Runtime* runtime;
namespace gemm {
void gemm(const Problem& problem) { multiply<MultiplyAdd<float>, float, float>(problem); }
}  // namespace gemm
}  // namespace al

namespace {

using al::gemm::Matrix;

void* take(size_t bytes) { return std::aligned_alloc(64, bytes ? (bytes + 63) / 64 * 64 : 64); }
void give(void* p, size_t) { std::free(p); }
void in_pieces(int64_t n, int64_t, al::ParallelBody body, void* context) {
  for (int64_t i = 0; i < n; i += 3) body(context, i, std::min(n, i + 3));
}
int two() { return 2; }

void check(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "failed: %s\n", what);
  std::_Exit(1);
}

float at(const Matrix& m, int64_t i, int64_t j) { return reinterpret_cast<const float*>(m.data)[i * m.row + j * m.col]; }

void product(int64_t m, int64_t n, int64_t k, bool turn_a, bool turn_b) {
  std::vector<float> a(size_t(m * k)), b(size_t(k * n)), c(size_t(m * n));
  for (size_t i = 0; i < a.size(); i++) a[i] = float(i * 7 % 13) - 6;
  for (size_t i = 0; i < b.size(); i++) b[i] = float(i * 5 % 11) - 5;
  const Matrix left{reinterpret_cast<char*>(a.data()), turn_a ? 1 : k, turn_a ? m : 1},
      right{reinterpret_cast<char*>(b.data()), turn_b ? 1 : n, turn_b ? k : 1};
  al::gemm::gemm({al::kFloat32, al::kFloat32, m, n, k, left, right, {reinterpret_cast<char*>(c.data()), n, 1}});
  for (int64_t i = 0; i < m; i += m > 50 ? 37 : 1)
    for (int64_t j = 0; j < n; j += n > 200 ? 61 : 1) {
      float sum = 0;
      for (int64_t q = 0; q < k; q++) sum += at(left, i, q) * at(right, q, j);
      check(sum == c[size_t(i * n + j)], "every road of a product gives the exact sum");
    }
}

void products() {
  for (int64_t m : {1, 2, 3, 4, 17, 192, 385, 400})
    for (int64_t k : {1, 7, 17, 256, 300, 523})
      for (int64_t n : {1, 8, 15, 17, 33, 64, 130, 2060})
        if (m * k * n <= 40'000'000)
          for (int turn = 0; turn < 4; turn++) product(m, n, k, turn & 1, turn & 2);
}

// Ones: an output counts the taps that lie inside.
void small_planes() {
  const al::conv::Geometry g{3, 1, 8, 16, {1, 5, 6}, {1, 2, 4}, {1, 3, 3}, {1, 2, 2}, {0, 1, 2}, {1, 2, 1}};
  const std::vector<float> x(3 * 8 * 30, 1), w(16 * 72, 1), grad(3 * 16 * 8, 1);
  std::vector<float> y(grad.size()), dx(x.size()), dw(w.size());
  const al::conv::SmallPlanes<float> planes(g);
  planes.forward(x.data(), w.data(), nullptr, y.data());
  planes.input_gradient(grad.data(), w.data(), nullptr, dx.data());
  planes.weight_gradient(x.data(), grad.data(), dw.data());
  double sums[3] = {};
  for (float v : y) sums[0] += v;
  for (float v : dx) sums[1] += v;
  for (float v : dw) sums[2] += v;
  check(y[0] == 16 && sums[0] == sums[1] && sums[0] == sums[2], "a convolution and its gradients count the same taps");
}

// Ones, odd sizes and channels: the same law, and a number that is not finite is told.
void winograd_planes() {
  namespace form = al::conv::winograd;
  const form::Shape s{3, 17, 70, 5, 47, 7, 45, 2, 0}, back{3, 70, 17, 7, 45, 5, 47, 0, 2};
  std::vector<float> x(3 * 17 * 5 * 47, 1), w(17 * 70 * 9, 1), grad(3 * 70 * 7 * 45, 1), y(grad.size()), dx(x.size()), dw(w.size());
  const auto none = [](int64_t, int64_t) { check(false, "finite results are not made again"); };
  form::Convolution(s).run(x.data(), {w.data(), 17 * 9, 9, false}, nullptr, y.data(), none);
  form::Convolution(back).run(grad.data(), {w.data(), 9, 17 * 9, true}, nullptr, dx.data(), none);
  check(form::WeightGradient(s).run(x.data(), grad.data(), dw.data()), "a finite gradient is told to be so");
  double sums[3] = {};
  for (float v : y) sums[0] += v;
  for (float v : dx) sums[1] += v;
  for (float v : dw) sums[2] += v;
  check(y[0] == 17 * 3 && sums[0] == sums[1] && sums[0] == sums[2], "Winograd's form and its gradients count the same taps");
  x.back() = __builtin_inff();
  int64_t images = 0;
  form::Convolution(s).run(x.data(), {w.data(), 17 * 9, 9, false}, nullptr, y.data(), [&](int64_t first, int64_t last) { images += 10 * first + last; });
  check(images == 23, "the last image is made again");
  check(!form::WeightGradient(s).run(x.data(), grad.data(), dw.data()), "an infinite gradient is told to be so");
}

}  // namespace

int main() {
  static const al::Runtime alone{take, give, in_pieces, two, nullptr}, pool{take, give, al::parallel_for, al::get_num_threads, nullptr};
  al::set_num_threads(2);
  for (const al::Runtime* services : {&alone, &pool}) {
    al::runtime = services;
    products();
    small_planes();
    winograd_planes();
  }
  std::puts("kernels_test: passed");
}
