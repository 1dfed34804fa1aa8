// unfold: windows of an image as columns; fold: its transpose, which adds overlapping windows up.
#include "simd/pool.h"

namespace al::pool {
namespace {

struct Blocks {
  int64_t kernel[2], dilation[2], pad[2], stride[2], image[2], grid[2];
  int64_t image_size() const { return image[0] * image[1]; }
  int64_t columns() const { return grid[0] * grid[1]; }
  int64_t window() const { return kernel[0] * kernel[1]; }
};

// ints: (kernel), (dilation), (padding), (stride)
Blocks blocks(const Call& call, const View& image) {
  Blocks b{};
  for (int d = 0; d < 2; d++) {
    b.kernel[d] = call.ints[1 + d];
    b.dilation[d] = call.ints[4 + d];
    b.pad[d] = call.ints[7 + d];
    b.stride[d] = call.ints[10 + d];
    b.image[d] = image.shape[image.ndim - 2 + d];
    b.grid[d] = (b.image[d] + 2 * b.pad[d] - b.dilation[d] * (b.kernel[d] - 1) - 1) / b.stride[d] + 1;
  }
  return b;
}

// Visits (kernel row and column, grid row) of one channel: body(columns row, image row or -1, first image column).
template <class Body>
void visit(const Blocks& b, Body&& body) {
  for (int64_t kh = 0; kh < b.kernel[0]; kh++)
    for (int64_t kw = 0; kw < b.kernel[1]; kw++)
      for (int64_t i = 0; i < b.grid[0]; i++) {
        const int64_t row = i * b.stride[0] - b.pad[0] + kh * b.dilation[0];
        body((kh * b.kernel[1] + kw) * b.columns() + i * b.grid[1], row < 0 || row >= b.image[0] ? -1 : row,
             kw * b.dilation[1] - b.pad[1]);
      }
}

template <class T>
void unfold_channel(const Blocks& b, const T* x, T* y) {
  visit(b, [&](int64_t to, int64_t row, int64_t first) {
    for (int64_t j = 0; j < b.grid[1]; j++) {
      const int64_t col = first + j * b.stride[1];
      y[to + j] = row < 0 || col < 0 || col >= b.image[1] ? T{} : x[row * b.image[1] + col];
    }
  });
}

template <class T, class C>
void fold_channel(const Blocks& b, const T* y, C* x) {
  std::fill(x, x + b.image_size(), C(0));
  visit(b, [&](int64_t from, int64_t row, int64_t first) {
    if (row < 0) return;
    for (int64_t j = 0; j < b.grid[1]; j++) {
      const int64_t col = first + j * b.stride[1];
      if (col >= 0 && col < b.image[1]) x[row * b.image[1] + col] += to_float(y[from + j]);
    }
  });
}

// unfold: y (N, C * window, L); x (N, C, H, W).
void unfold_kernel(const Call& call) {
  const View &y = *call.views[0], &x = *call.views[1];
  const Blocks b = blocks(call, x);
  for_float_type(call, x.dtype, "im2col", [&](auto kind) {
    using T = decltype(kind);
    const int64_t size = b.window() * b.columns();
    parallel_for(outer_size(x, 2), grain_of(size), [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; c++) unfold_channel(b, ptr<T>(x) + c * b.image_size(), ptr<T>(y) + c * size);
    });
  });
}

// fold: x (N, C, H, W); y (N, C * window, L).
void fold_kernel(const Call& call) {
  const View &x = *call.views[0], &y = *call.views[1];
  const Blocks b = blocks(call, x);
  for_float_type(call, x.dtype, "col2im", [&](auto kind) {
    using T = decltype(kind);
    const int64_t size = b.window() * b.columns();
    parallel_for(outer_size(x, 2), grain_of(size), [&](int64_t begin, int64_t end) {
      Scratch<compute_t<T>> sums(b.image_size());
      for (int64_t c = begin; c < end; c++) {
        fold_channel(b, ptr<T>(y) + c * size, sums.data);
        for (int64_t i = 0; i < b.image_size(); i++) ptr<T>(x)[c * b.image_size() + i] = from_float<T>(sums[i]);
      }
    });
  });
}

AL_KERNEL("im2col", unfold_kernel);
AL_KERNEL("col2im", fold_kernel);

}  // namespace
}  // namespace al::pool
