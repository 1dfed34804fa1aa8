// Winograd's minimal filtering F(2x2, 3x3) of 3x3 convolutions of unit stride (Lavin and Gray 2015, section 4.1): 16 products a
// channel make the four outputs of a tile that take 36 directly. Here: what the forms of it share. Unlike the paper:
//  - vectors hold channels, so that tiles of any image and edge stand side by side; planes are turned at both ends;
//  - a block of tiles goes through all stages at once, so that what is transformed stays in the L2.
// Every output is made of its own 9 x C inputs, as with direct products; only what is not finite spreads inside a tile, and is
// looked for: see `spoils`.
#pragma once
#include "simd/conv_plan.h"
#include "simd/gemm_pack.h"

namespace al::conv::winograd {

constexpr int64_t kWidth = Lanes<float>::width;
constexpr int kPlaces = 16;  // of a transformed tile, 4 x 4
constexpr int64_t kPanel = gemm::kVecs * kWidth;
using Policy = gemm::MultiplyAdd<float>;
using Lane = Vec<float>;

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t whole_vectors(int64_t channels) { return ceil_div(channels, kWidth) * kWidth; }
// Floats from one tile to the next: an odd number of cache lines, so that tiles spread over the sets of the L1.
inline int64_t tile_pitch(int64_t channels) { return (ceil_div(channels, 16) | 1) * 16; }

// A convolution of 3x3 taps at unit stride: out[y][x] = sum over taps of in[y + i - pad_h][x + j - pad_w] * w[i][j].
struct Shape {
  int64_t batch, in_channels, out_channels, in_h, in_w, out_h, out_w, pad_h, pad_w;
};

// Set by al.backends.set_convolution.
inline bool allowed = true;

// Which convolutions go this way: where it was faster than direct products on one thread of a Zen 4, by channels, plane and batch. The
// direct form's time over this one's, of outputs, input's gradient and weight's gradient:
//   64 -> 64, 56x56, 16: 2.1 2.1 1.9    128 -> 128, 8x8, 16: 2.6 2.5 2.1    256 -> 256, 4x4, 16: 2.0 1.7 1.9    512 -> 512, 7x7, 4: 1.7 1.6 1.3
//   16 -> 16, 32x32, 4:  1.3 1.3 1.4    12 -> 16, 32x32, 4:  1.2 1.0 1.2    8 -> 8, 32x32, 4:    0.5 0.5 1.2    64 -> 64, 3x3, 4:   1.2 1.0 1.1
// Few tiles do not pay for their filters: 512 -> 512, 2x2, 16: 1.2 0.7 1.2; 256 -> 256, 4x4, 1: 0.8 0.5 0.8; 512 -> 512, 7x7, 1: 1.2 1.3 1.2.
// An output must not depend on the images beside it, so what makes outputs asks for tiles of an image, the weight's gradient for all.
constexpr int64_t kFewestChannels = 16, kFewestTiles = 4, kFewestSummands = 16;

inline bool suits(const Geometry& g, int64_t images, int64_t height, int64_t width, int64_t fewest) {
  for (int d = 0; d < 3; d++)
    if (g.kernel[d] != (d ? 3 : 1) || g.stride[d] != 1 || g.dilation[d] != 1) return false;
  const int64_t tiles = ((height + 1) / 2) * ((width + 1) / 2);
  return allowed && g.groups == 1 && g.in[0] == 1 && g.out[0] == 1 && std::min(g.in_channels, g.out_channels) >= kFewestChannels &&
         images * tiles >= fewest && 5 * tiles <= 2 * height * width;  // at most 3 of 8 outputs of the tiles are beyond the edges
}
inline bool suits_forward(const Geometry& g) { return suits(g, 1, g.out[1], g.out[2], kFewestTiles); }
inline bool suits_input(const Geometry& g) { return suits(g, 1, g.in[1], g.in[2], kFewestTiles); }
inline bool suits_weight(const Geometry& g) { return suits(g, g.batch, g.out[1], g.out[2], kFewestSummands); }

// A rectangle of tiles in each of some images, numbered image by image, row by row.
struct Block {
  int64_t image, images, y, rows, x, cols;
  int64_t tiles() const { return images * rows * cols; }
};

// How the tiles of all images are cut into blocks of up to `most` tiles.
struct Blocks {
  int64_t batch, tile_rows, tile_cols, images, rows, cols;
  Blocks(const Shape& s, int64_t most) : batch(s.batch), tile_rows(ceil_div(s.out_h, 2)), tile_cols(ceil_div(s.out_w, 2)) {
    cols = ceil_div(tile_cols, ceil_div(tile_cols, most));
    rows = ceil_div(tile_rows, ceil_div(tile_rows, std::max<int64_t>(1, most / cols)));
    images = rows == tile_rows && cols == tile_cols ? std::clamp<int64_t>(most / (rows * cols), 1, batch) : 1;
  }
  int64_t bands() const { return ceil_div(tile_rows, rows); }
  int64_t pieces() const { return ceil_div(tile_cols, cols); }
  int64_t count() const { return ceil_div(batch, images) * bands() * pieces(); }
  int64_t tiles() const { return images * rows * cols; }  // of a whole block
  Block operator[](int64_t i) const {
    const int64_t x = i % pieces() * cols, y = i / pieces() % bands() * rows, image = i / pieces() / bands() * images;
    return {image, std::min(images, batch - image), y, std::min(rows, tile_rows - y), x, std::min(cols, tile_cols - x)};
  }
};

// Runs of `cols` numbers of each of `lanes` lines that are `stride` apart, and the same as vectors of lanes, runs `pitch` vectors apart.
struct Turn {
  int64_t stride, lanes, cols, pitch;
};

// to[i] = numbers i of the lines. Lanes beyond the last repeat it; up to `end` the memory can be read.
inline void spread(const Turn& turn, const float* from, int64_t n, const float* end, float* to) {
  const int64_t last = (turn.lanes - 1) * turn.stride, gap = (turn.pitch - turn.cols) * kWidth;
  int64_t col = 0;
  const auto put = [&](Lane v) __attribute__((always_inline)) {
    store(to, v);
    to += kWidth;
    if (++col == turn.cols) col = 0, to += gap;
  };
  for (int64_t i = 0; i < n; i += kWidth, from += kWidth) {
    Lane block[kWidth];
    if (end - from >= last + kWidth) {
#pragma GCC unroll 16
      for (int64_t l = 0; l < kWidth; l++) block[l] = load(from + std::min(l * turn.stride, last));
    } else {
      for (int64_t l = 0; l < kWidth; l++) {
        alignas(64) float line[kWidth] = {};
        for (int64_t k = 0; k < std::min(kWidth, n - i); k++) line[k] = from[std::min(l * turn.stride, last) + k];
        block[l] = load(line);
      }
    }
    gemm::transpose<float>(block);
    if (i + kWidth <= n) {
#pragma GCC unroll 16
      for (int64_t k = 0; k < kWidth; k++) put(block[k]);
    } else {
      for (int64_t k = 0; k < n - i; k++) put(block[k]);
    }
  }
}

// The way back: numbers i of the lines = from[i].
inline void collect(const Turn& turn, const float* from, int64_t n, float* to) {
  const int64_t gap = (turn.pitch - turn.cols) * kWidth;
  int64_t col = 0;
  const auto take = [&]() __attribute__((always_inline)) {
    const Lane v = load(from);
    from += kWidth;
    if (++col == turn.cols) col = 0, from += gap;
    return v;
  };
  for (int64_t i = 0; i < n; i += kWidth, to += kWidth) {
    Lane block[kWidth];
    if (i + kWidth <= n) {
#pragma GCC unroll 16
      for (int64_t k = 0; k < kWidth; k++) block[k] = take();
      gemm::transpose<float>(block);
      for (int64_t l = 0; l < std::min(kWidth, turn.lanes); l++) store(to + l * turn.stride, block[l]);
    } else {
      alignas(64) float lines[kWidth * kWidth];
      for (int64_t k = 0; k < n - i; k++) store(lines + k * kWidth, take());
      for (int64_t l = 0; l < std::min(kWidth, turn.lanes); l++)
        for (int64_t k = 0; k < n - i; k++) to[l * turn.stride + k] = lines[k * kWidth + l];
    }
  }
}

// Planes of a tensor (N, C, H, W), kWidth channels at a time, as padded pictures of vectors.
struct Planes {
  const float *data, *end;
  int64_t channels, height, width;
  Planes(const float* d, int64_t batch, int64_t c, int64_t h, int64_t w)
      : data(d), end(d + batch * c * h * w), channels(c), height(h), width(w) {}

  // Rows [y, y + rows) and columns [x, x + cols) of the channels from `channel` on; zero outside of the planes.
  void picture(int64_t image, int64_t channel, int64_t y, int64_t rows, int64_t x, int64_t cols, float* to) const {
    const int64_t y0 = std::clamp<int64_t>(y, 0, height), y1 = std::clamp<int64_t>(y + rows, y0, height);
    const int64_t x0 = std::clamp<int64_t>(x, 0, width), x1 = std::clamp<int64_t>(x + cols, x0, width);
    const auto zero = [&](int64_t row, int64_t first, int64_t last) {
      for (int64_t i = first; i < last; i++) store(to + (row * cols + i) * kWidth, Lane{});
    };
    for (int64_t r = 0; r < rows; r++) {
      const bool inside = y + r >= y0 && y + r < y1 && x0 < x1;
      zero(r, 0, inside ? x0 - x : cols);
      if (inside) zero(r, x1 - x, cols);
    }
    if (y0 == y1 || x0 == x1) return;
    const Turn turn{height * width, std::min(kWidth, channels - channel), x1 - x0, cols};
    const float* from = data + ((image * channels + channel) * height + y0) * width + x0;
    float* at = to + ((y0 - y) * cols + x0 - x) * kWidth;
    if (turn.cols == width) return spread(turn, from, (y1 - y0) * width, end, at);
    for (int64_t r = y0; r < y1; r++, from += width, at += cols * kWidth) spread(turn, from, turn.cols, end, at);
  }
};

// v[place][tile][channel] = B' d B of the 4x4 inputs d of each tile; what tiles in a row share of B' d is made once.
inline void transform_inputs(const Shape& s, const Planes& in, const Block& b, int64_t channel, int64_t channels, float* picture,
                             int64_t pitch, int64_t places, float* v) {
  const int64_t rows = 2 * b.rows + 2, cols = 2 * b.cols + 2;
  for (int64_t c = 0; c < channels; c += kWidth) {
    float* to = v + c;
    for (int64_t n = 0; n < b.images; n++) {
      in.picture(b.image + n, channel + c, 2 * b.y - s.pad_h, rows, 2 * b.x - s.pad_w, cols, picture);
      for (int64_t y = 0; y < b.rows; y++) {
        const float* at = picture + 2 * y * cols * kWidth;
        const auto column = [&](Lane* t) __attribute__((always_inline)) {
          const Lane d0 = load(at), d1 = load(at + cols * kWidth), d2 = load(at + 2 * cols * kWidth), d3 = load(at + 3 * cols * kWidth);
          t[0] = d0 - d2, t[1] = d1 + d2, t[2] = d2 - d1, t[3] = d1 - d3;
          at += kWidth;
        };
        Lane t0[4], t1[4], t2[4], t3[4];
        column(t0);
        column(t1);
        for (int64_t x = 0; x < b.cols; x++, to += pitch) {
          column(t2);
          column(t3);
#pragma GCC unroll 4
          for (int i = 0; i < 4; i++) {
            float* place = to + 4 * i * places;
            store(place, t0[i] - t2[i]);
            store(place + places, t1[i] + t2[i]);
            store(place + 2 * places, t2[i] - t1[i]);
            store(place + 3 * places, t1[i] - t3[i]);
            t0[i] = t2[i], t1[i] = t3[i];
          }
        }
      }
    }
  }
}

// Sums of 0 * x: zero as long as every x was finite.
struct Finite {
  Lane sum{};
  void see(Lane x) { sum = fused(x, Lane{}, sum); }
  bool spoils() const {
    bool some = false;
    for (int64_t l = 0; l < kWidth; l++) some |= sum[l] != 0;
    return some;
  }
};

// c (m, n) = or += a (m, depth) * b (depth, n), n whole vectors; `next` is from panel to panel of b.
struct Factor {
  const float* data;
  int64_t row, step;
};
inline void multiply(int64_t m, int64_t n, int64_t depth, Factor a, const float* b, int64_t b_step, int64_t next, float* c,
                     int64_t ldc, bool add) {
  const int64_t tile = ceil_div(m, ceil_div(m, gemm::kRows));
  for (int64_t j = 0; j < n; j += kPanel, b += next) {
    const int vecs = int(std::min(kPanel, n - j) / kWidth);
    for (int64_t i = 0; i < m; i += tile)
      gemm::run_tile<Policy, false>(int(std::min(tile, m - i)), vecs,
                                    {depth, a.data + i * a.row, a.row, a.step, b, b_step ? b_step : vecs * kWidth, c + i * ldc + j, ldc, add});
  }
}

}  // namespace al::conv::winograd
