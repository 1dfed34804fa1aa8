// Winograd's form of a convolution, and of the gradient of its input, which is one with turned taps.
#pragma once
#include "simd/conv_winograd.h"

namespace al::conv::winograd {

constexpr int64_t kBlockItems = 160 * 1024;  // of transformed inputs and products: 640 KiB of 1 MiB L2
constexpr int64_t kLeastTiles = 2 * gemm::kRows;
constexpr int64_t kFilterRun = 32;  // input channels whose taps are turned at once

// A filter of output channel k and input channel c is 9 floats at k * out_stride + c * in_stride; turned: read from the last to the first.
struct Filters {
  const float* data;
  int64_t out_stride, in_stride;
  bool turned;
};

class Convolution {
 public:
  explicit Convolution(const Shape& shape)
      : s(shape), lanes(whole_vectors(s.out_channels)), in_pitch(row_pitch<float>(s.in_channels)), out_pitch(row_pitch<float>(s.out_channels)),
        blocks(s, tiles_at_once()) {}

  // out of in, filters and bias (may be null); afterwards `again(first, last)` makes images that have to be made directly.
  template <class Again>
  void run(const float* in, const Filters& w, const float* bias, float* out, Again&& again) const {
    if (s.batch * s.out_channels * s.out_h * s.out_w == 0) return;
    Scratch<float> u(kPlaces * lanes * s.in_channels);
    transform_filters(w, u.data);
    const Planes planes(in, s.batch, s.in_channels, s.in_h, s.in_w);
    std::vector<char> spoiled(s.batch);
    parallel_for(blocks.count(), 1, [&](int64_t begin, int64_t end) {
      Scratch<float> v(kPlaces * blocks.tiles() * in_pitch), m(kPlaces * blocks.tiles() * out_pitch);
      Scratch<float> picture((2 * blocks.rows + 2) * (2 * blocks.cols + 2) * kWidth);
      for (int64_t i = begin; i < end; i++) {
        const Block b = blocks[i];
        transform_inputs(s, planes, b, 0, s.in_channels, picture.data, in_pitch, b.tiles() * in_pitch, v.data);
        for (int place = 0; place < kPlaces; place++)
          multiply<float>(b.tiles(), lanes, s.in_channels, {v.data + place * b.tiles() * in_pitch, in_pitch, 1},
                   u.data + place * lanes * s.in_channels, 0, kPanel * s.in_channels, m.data + place * b.tiles() * out_pitch, out_pitch,
                   false);
        transform_outputs(b, m.data, bias, picture.data, out, spoiled.data());
      }
    });
    for (int64_t first = 0, last; first < s.batch; first = last) {
      for (last = first + 1; last < s.batch && spoiled[last] == spoiled[first];) last++;
      if (spoiled[first]) again(first, last);
    }
  }

 private:
  const Shape s;
  const int64_t lanes, in_pitch, out_pitch;  // lanes: output channels, padded to whole vectors
  const Blocks blocks;

  // As the L2 holds; fewer where threads would wait for each other. No output depends on it.
  int64_t tiles_at_once() const {
    const int64_t all = s.batch * ceil_div(s.out_h, 2) * ceil_div(s.out_w, 2);
    const int64_t share = ceil_div(all, 4 * runtime->num_threads());
    return std::max(kLeastTiles, std::min(kBlockItems / (kPlaces * (in_pitch + out_pitch)), share));
  }

  // u[place][panel of output channels][input channel][lane] = G g G'.
  void transform_filters(const Filters& w, float* u) const {
    const int64_t groups = lanes / kWidth, runs = ceil_div(s.in_channels, kFilterRun), places = lanes * s.in_channels;
    parallel_for(groups * runs, 1, [&](int64_t begin, int64_t end) {
      Scratch<float> taps(kFilterRun * 9 * kWidth);
      for (int64_t item = begin; item < end; item++) {
        const int64_t k = item % groups * kWidth, first = item / groups * kFilterRun, count = std::min(kFilterRun, s.in_channels - first);
        const float *from = w.data + k * w.out_stride + first * w.in_stride, *last = w.data + s.in_channels * s.out_channels * 9;
        const Turn turn{w.out_stride, std::min(kWidth, s.out_channels - k), 9 * count, 9 * count};
        if (w.in_stride == 9) spread<float>(turn, from, 9 * count, last, taps.data);
        for (int64_t c = 0; w.in_stride != 9 && c < count; c++)
          spread<float>({w.out_stride, turn.lanes, 9, 9}, from + c * w.in_stride, 9, last, taps.data + c * 9 * kWidth);
        const int64_t panel = k / kPanel * kPanel, step = std::min(kPanel, lanes - panel);
        float* to = u + panel * s.in_channels + first * step + k - panel;
        for (int64_t c = 0; c < count; c++, to += step) transform_filter(taps.data + c * 9 * kWidth, w.turned, places, to);
      }
    });
  }
  static void transform_filter(const float* taps, bool turned, int64_t places, float* to) {
    Lane t[4][3];
#pragma GCC unroll 3
    for (int j = 0; j < 3; j++) {
      const auto tap = [&](int i) { return load(taps + (turned ? 8 - (3 * i + j) : 3 * i + j) * kWidth); };
      const Lane g0 = tap(0), g1 = tap(1), g2 = tap(2), half = (g0 + g2) * splat(0.5f), middle = g1 * splat(0.5f);
      t[0][j] = g0, t[1][j] = half + middle, t[2][j] = half - middle, t[3][j] = g2;
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++, to += 4 * places) {
      const Lane half = (t[i][0] + t[i][2]) * splat(0.5f), middle = t[i][1] * splat(0.5f);
      store(to, t[i][0]);
      store(to + places, half + middle);
      store(to + 2 * places, half - middle);
      store(to + 3 * places, t[i][2]);
    }
  }

  // out = A' m A + bias, of m[place][tile][channel].
  void transform_outputs(const Block& b, const float* m, const float* bias, float* picture, float* out, char* spoiled) const {
    const int64_t places = b.tiles() * out_pitch, cols = 2 * b.cols;
    const int64_t y = 2 * b.y, x = 2 * b.x, height = std::min(2 * b.rows, s.out_h - y), width = std::min(cols, s.out_w - x);
    for (int64_t k = 0; k < s.out_channels; k += kWidth) {
      const Turn turn{s.out_h * s.out_w, std::min(kWidth, s.out_channels - k), width, cols};
      alignas(64) float start[kWidth] = {};
      for (int64_t l = 0; bias && l < turn.lanes; l++) start[l] = bias[k + l];
      const float* at = m + k;
      for (int64_t n = 0; n < b.images; n++) {
        Finite finite;
        float* to = picture;
        for (int64_t i = 0; i < b.rows; i++, to += cols * kWidth)
          for (int64_t j = 0; j < b.cols; j++, at += out_pitch, to += 2 * kWidth)
            transform_tile(at, places, load(start), to, cols * kWidth, finite);
        if (finite.spoils()) __atomic_store_n(spoiled + b.image + n, 1, __ATOMIC_RELAXED);
        float* plane = out + ((b.image + n) * s.out_channels + k) * turn.stride + y * s.out_w + x;
        if (width == s.out_w) {
          collect<float>(turn, picture, height * width, plane);
        } else {
          for (int64_t i = 0; i < height; i++) collect<float>(turn, picture + i * cols * kWidth, width, plane + i * s.out_w);
        }
      }
    }
  }
  AL_INLINE static void transform_tile(const float* m, int64_t places, Lane start, float* to, int64_t row, Finite& finite) {
    Lane top[4], bottom[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++, m += places) {
      const Lane m0 = load(m), m1 = load(m + 4 * places), m2 = load(m + 8 * places), m3 = load(m + 12 * places);
      top[j] = m0 + m1 + m2, bottom[j] = m1 - m2 - m3;
    }
    const auto put = [&](const Lane* t, float* at) __attribute__((always_inline)) {
      const Lane left = t[0] + t[1] + t[2] + start, right = t[1] - t[2] - t[3] + start;
      finite.see(left);
      finite.see(right);
      store(at, left);
      store(at + kWidth, right);
    };
    put(top, to);
    put(bottom, to + row);
  }
};

}  // namespace al::conv::winograd
