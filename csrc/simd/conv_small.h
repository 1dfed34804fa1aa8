// Convolutions of small planes as matrix products. Where an output plane has few pixels, the register tiles of flat pixels are
// mostly padding; a matrix of patches, a row for each pixel of every image, then costs little beside the product. The product's
// sums run over (channel, tap) in blocks of their own, and a row of it does not depend on the images beside it.
#pragma once
#include "dtypes.h"
#include "simd/conv_plan.h"
#include "simd/gemm.h"

namespace al::conv {

constexpr int64_t kSmallOutput = 32;         // pixels of a plane up to which forward and input gradient go this way
constexpr int64_t kSmallOutputWeight = 128;  // the same for the weight's gradient
constexpr int64_t kLeastDepth = 64, kLeastChannels = 16;
constexpr int64_t kPatchItems = 1 << 20;  // of a chunk of images: 4 MiB of floats

inline bool is_small(const Geometry& g, int64_t pixels) {
  return g.groups == 1 && g.out_size() > 0 && g.out_size() <= pixels && g.in_channels * g.taps() >= kLeastDepth &&
         g.out_channels >= kLeastChannels;
}

template <class T>
class SmallPlanes {
 public:
  explicit SmallPlanes(const Geometry& geometry)
      : g(geometry), pixels(g.out_size()), depth(g.in_channels * g.taps()) {
    chunk = std::clamp<int64_t>(kPatchItems / (pixels * depth), 1, std::max<int64_t>(g.batch, 1));
    for (int64_t a = 0; a < g.out[0]; a++)
      for (int64_t b = 0; b < g.out[1]; b++)
        for (int64_t c = 0; c < g.out[2]; c++) add_sources(a, b, c);
  }

  // y (N, O, pixels) of x and w (O, depth); bias may be null.
  void forward(const T* x, const T* w, const T* bias, T* y) const {
    Scratch<T> patches(chunk * pixels * depth), rows(chunk * pixels * g.out_channels);
    for_chunks([&](int64_t first, int64_t images) {
      const int64_t n = images * pixels;
      gather(x + first * g.in_channels * g.in_size(), images, patches.data);
      product(n, g.out_channels, depth, {patches.data, depth, 1}, {w, 1, depth}, rows.data, false);
      turn(images, g.out_channels, rows.data, bias, y + first * g.out_channels * pixels);
    });
  }
  // x of y and w; bias, of x's channels, may be null.
  void input_gradient(const T* y, const T* w, const T* bias, T* x) const {
    Scratch<T> patches(chunk * pixels * depth), rows(chunk * pixels * g.out_channels);
    for_chunks([&](int64_t first, int64_t images) {
      turn_back(images, y + first * g.out_channels * pixels, rows.data);
      product(images * pixels, depth, g.out_channels, {rows.data, g.out_channels, 1}, {w, depth, 1}, patches.data, false);
      scatter(patches.data, images, bias, x + first * g.in_channels * g.in_size());
    });
  }
  // dw (O, depth) of x and the gradient of y.
  void weight_gradient(const T* x, const T* y, T* dw) const {
    Scratch<T> patches(chunk * pixels * depth), rows(chunk * pixels * g.out_channels);
    for_chunks([&](int64_t first, int64_t images) {
      gather(x + first * g.in_channels * g.in_size(), images, patches.data);
      turn_back(images, y + first * g.out_channels * pixels, rows.data);
      product(g.out_channels, depth, images * pixels, {rows.data, 1, g.out_channels}, {patches.data, depth, 1}, dw, first > 0);
    });
  }

 private:
  struct Side {
    const T* data;
    int64_t row, col;
  };
  const Geometry& g;
  int64_t pixels, depth, chunk;  // chunk: images at once, a matter of the shapes alone
  std::vector<int32_t> source;   // of (pixel, tap) in an input plane; -1: outside

  void add_sources(int64_t a, int64_t b, int64_t c) {
    const int64_t at[3] = {a, b, c};
    for (int64_t t = 0; t < g.taps(); t++) {
      const int64_t k[3] = {t / (g.kernel[1] * g.kernel[2]), t / g.kernel[2] % g.kernel[1], t % g.kernel[2]};
      int64_t place = 0;
      for (int d = 0; d < 3; d++) {
        const int64_t i = at[d] * g.stride[d] + k[d] * g.dilation[d] - g.pad[d];
        place = place < 0 || i < 0 || i >= g.in[d] ? -1 : place * g.in[d] + i;
      }
      source.push_back(int32_t(place));
    }
  }
  template <class Body>
  void for_chunks(Body&& body) const {
    for (int64_t first = 0; first < g.batch; first += chunk) body(first, std::min(chunk, g.batch - first));
  }
  static void product(int64_t m, int64_t n, int64_t k, Side a, Side b, T* c, bool add) {
    const auto matrix = [](Side s) {
      return gemm::Matrix{const_cast<char*>(reinterpret_cast<const char*>(s.data)), s.row, s.col};
    };
    gemm::Problem p{dtype_of<T>, dtype_of<T>, m, n, k, matrix(a), matrix(b), matrix({c, n, 1})};
    if (add) p.add = p.c;
    gemm::gemm(p);
  }
  // patches[(image, pixel)][(channel, tap)] of x (images, C, plane).
  void gather(const T* x, int64_t images, T* patches) const {
    const int64_t taps = g.taps();
    parallel_for(images * pixels, std::max<int64_t>(1, 8192 / depth), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++) {
        const T* plane = x + row / pixels * g.in_channels * g.in_size();
        const int32_t* at = source.data() + row % pixels * taps;
        T* to = patches + row * depth;
        for (int64_t c = 0; c < g.in_channels; c++, plane += g.in_size(), to += taps)
          for (int64_t t = 0; t < taps; t++) to[t] = at[t] < 0 ? T(0) : plane[at[t]];
      }
    });
  }
  // The sums of patches over the places they were taken from.
  void scatter(const T* patches, int64_t images, const T* bias, T* x) const {
    const int64_t taps = g.taps(), size = g.in_size();
    parallel_for(images * g.in_channels, std::max<int64_t>(1, 8192 / (pixels * taps)), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        T* plane = x + i * size;
        const T* from = patches + i / g.in_channels * pixels * depth + i % g.in_channels * taps;
        std::fill(plane, plane + size, bias ? bias[i % g.in_channels] : T(0));
        for (int64_t p = 0; p < pixels; p++, from += depth)
          for (int64_t t = 0; t < taps; t++)
            if (const int32_t at = source[p * taps + t]; at >= 0) plane[at] += from[t];
      }
    });
  }
  // y[image][o][pixel] = rows[(image, pixel)][o] + bias[o].
  void turn(int64_t images, int64_t channels, const T* rows, const T* bias, T* y) const {
    parallel_for(images * channels, std::max<int64_t>(1, 8192 / pixels), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        const int64_t o = i % channels;
        const T* from = rows + i / channels * pixels * channels + o;
        for (int64_t p = 0; p < pixels; p++) y[i * pixels + p] = from[p * channels] + (bias ? bias[o] : T(0));
      }
    });
  }
  void turn_back(int64_t images, const T* y, T* rows) const {
    const int64_t channels = g.out_channels;
    parallel_for(images * pixels, std::max<int64_t>(1, 8192 / channels), [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++) {
        const T* from = y + row / pixels * pixels * channels + row % pixels;
        for (int64_t o = 0; o < channels; o++) rows[row * channels + o] = from[o * pixels];
      }
    });
  }
};

}  // namespace al::conv
