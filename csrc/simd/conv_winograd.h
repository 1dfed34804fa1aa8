// Winograd's minimal filtering F(2x2, 3x3) of 3x3 convolutions of unit stride (Lavin and Gray 2015, section 4.1): 16 products a
// channel make the four outputs of a tile that take 36 directly. Here: what the forms of it share. Unlike the paper:
//  - vectors hold channels, so that tiles of any image and edge stand side by side; planes are turned at both ends;
//  - a block of tiles goes through all stages at once, so that what is transformed stays in the L2.
// Every output is made of its own 9 x C inputs, as with direct products; only what is not finite spreads inside a tile, and is
// looked for: see `Finite`.
#pragma once
#include "simd/conv_plan.h"
#include "simd/conv_turn.h"

namespace al::conv::winograd {

constexpr int64_t kWidth = Lanes<float>::width;
constexpr int kPlaces = 16;  // of a transformed tile, 4 x 4
constexpr int64_t kPanel = gemm::kVecs * kWidth;
using Lane = Vec<float>;

inline int64_t whole_vectors(int64_t channels) { return ceil_div(channels, kWidth) * kWidth; }

// A convolution of 3x3 taps at unit stride: out[y][x] = sum over taps of in[y + i - pad_h][x + j - pad_w] * w[i][j].
struct Shape {
  int64_t batch, in_channels, out_channels, in_h, in_w, out_h, out_w, pad_h, pad_w;
};

// Set by al.backends.set_convolution.
inline bool allowed = true;

// Which convolutions go this way: where it was faster than the other forms on one thread of a Zen 4. Channels, plane and batch, with the
// other form's time over this one's of outputs, input's gradient and weight's gradient:
//   64 -> 64, 56x56, 16: 2.1 2.1 1.9   64 -> 64, 16x16, 16:  1.7 1.7 1.5   128 -> 128, 8x8, 16: 1.6 1.6 1.4   512 -> 512, 7x7, 4: 1.0 1.0 1.2
//   16 -> 16, 32x32, 4:  1.3 1.3 1.4   12 -> 16, 32x32, 4:   1.2 1.0 1.2   8 -> 8, 32x32, 4:    0.5 0.5 1.2
// Small planes have a form of their own that leaves out the taps beyond the edges:
//   64 -> 64, 5x5, 16:   1.1 1.0 1.0   256 -> 256, 4x4, 16:  1.3 1.2 1.2   256 -> 256, 4x4, 1:  0.6 0.7 1.0   512 -> 512, 2x2, 16: 0.4 0.5 0.7
// The batch is not asked: an output must not depend on the images beside it.
constexpr int64_t kFewestChannels = 16, kFewestTiles = 4;

inline bool suits(const Geometry& g, const int64_t* plane) {
  for (int d = 0; d < 3; d++)
    if (g.kernel[d] != (d ? 3 : 1) || g.stride[d] != 1 || g.dilation[d] != 1) return false;
  const int64_t tiles = ((plane[1] + 1) / 2) * ((plane[2] + 1) / 2);
  return allowed && g.groups == 1 && g.batch > 0 && g.in[0] == 1 && g.out[0] == 1 && std::min(g.in_channels, g.out_channels) >= kFewestChannels &&
         tiles >= kFewestTiles && 3 * tiles <= plane[1] * plane[2];  // at most a quarter of the tiles' outputs lies beyond the edges
}

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
    if (turn.cols == width) return spread<float>(turn, from, (y1 - y0) * width, end, at);
    for (int64_t r = y0; r < y1; r++, from += width, at += cols * kWidth) spread<float>(turn, from, turn.cols, end, at);
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

}  // namespace al::conv::winograd
