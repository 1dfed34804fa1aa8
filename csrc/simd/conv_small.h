// Convolutions of small planes as products of pixels. Where an output plane has few pixels, the register tiles of flat pixels are
// often padding. Here every pixel is a row of channels, and a tap is a product of the rows that read something with its weights: what
// lies outside costs nothing. A row's sums run over the channels, tap after tap, and do not depend on the images beside it.
#pragma once
#include "simd/conv_plan.h"
#include "simd/conv_turn.h"

namespace al::conv {

// Where it is faster than flat pixels, on one thread of a Zen 4; channels, plane read, kernel, stride, batch, and the other form's time over
// this one's of outputs, input's gradient and weight's gradient:
//   256 -> 512, 4x4, 3, 2, 16: 1.5 1.4 1.2   64 -> 128, 16x16, 3, 2, 16: 1.4 1.6 2.0   64 -> 128, 28x28, 3, 2, 16: 1.3 1.5 1.3
//   256 -> 64, 14x14, 1, 1, 16: 1.2 1.0 1.4  32 -> 32, 14x14, 5, 1, 16:  1.3 1.3 1.8   16 -> 16, 20x20, 3, 2, 16:  1.9 2.5 1.7
//   64 -> 128, 56x56, 3, 2, 16: 0.8 1.5 0.8  64 -> 64, 28x28, 1, 1, 16:  0.9 0.9 1.8   8 -> 16, 20x20, 5, 1, 16:   1.0 0.7 1.3
// Flat pixels of a strided input's gradient are a convolution a residue, so that larger planes go this way: 64 -> 128, 56x56, stride 2: 1.5;
// 128 -> 128, 112x112, stride 2, batch 2: 1.3.
constexpr int64_t kSmallOutput = 400, kSmallStrided = 3136;  // pixels of a plane
constexpr int64_t kLeastChannels = 16;
constexpr int64_t kPanelDepth = 2304;  // (channel, tap) of a panel of weights or sums: 2304 x 32 x 4 B = 288 KiB of 512 KiB L2
constexpr int64_t kRowsAtOnce = 2048;  // of a task: 2048 x 32 x 4 B = 256 KiB of sums
constexpr int64_t kRowsAtLeast = 64;   // for which a panel of weights is worth its packing
constexpr int64_t kMostTaps = 27;      // so that panels hold enough channels

inline bool is_small(const Geometry& g, int64_t pixels = kSmallOutput) {
  return g.groups == 1 && g.batch > 0 && g.out_size() > 0 && g.out_size() <= pixels && g.taps() <= kMostTaps &&
         std::min(g.in_channels, g.out_channels) >= kLeastChannels;
}

inline bool is_small_input(const Geometry& g) { return is_small(g, g.stride[1] > 1 && g.stride[2] > 1 ? kSmallStrided : kSmallOutput); }

template <class T>
class SmallPlanes {
 public:
  explicit SmallPlanes(const Geometry& geometry) : g(geometry), taps(g.taps()), x(g.in_channels, g.in_size()), y(g.out_channels, g.out_size()) {
    for (int64_t t = 0; t < taps; t++) {
      const size_t before = runs.size();
      for (int64_t a = 0; a < g.out[0]; a++)
        for (int64_t b = 0; b < g.out[1]; b++) add_run(t, a, b);
      every_tap &= runs.size() > before;
    }
  }

  // y (N, O, pixels) of x and w (O, C, taps); bias may be null.
  void forward(const T* in, const T* w, const T* bias, T* out) const {
    make(x, in, y, bias, out, {w, g.in_channels * taps, taps}, [](const Rows& r) { return Ends{r.x, r.y, r.x_step, r.y_step}; });
  }
  // x of y and w; bias, of x's channels, may be null.
  void input_gradient(const T* in, const T* w, const T* bias, T* out) const {
    make(y, in, x, bias, out, {w, taps, g.in_channels * taps}, [](const Rows& r) { return Ends{r.y, r.x, r.y_step, r.x_step}; });
  }
  // dw (O, C, taps) of x and the gradient of y.
  void weight_gradient(const T* in, const T* grad, T* dw) const {
    const int64_t chunk = images_at_once();  // the order of sums depends on it, so on the shapes alone
    Scratch<T> left(g.batch * x.image()), right(g.batch * y.image());
    turn(x, chunk, in, left.data);
    turn(y, chunk, grad, right.data);
    const int64_t panels = ceil_div(y.channels, kPanel), share = ceil_div(x.channels * panels, 4 * runtime->num_threads());
    const int64_t side = std::min(panel_channels(x.channels), std::max<int64_t>(2 * gemm::kRows, share)), parts = ceil_div(x.channels, side);
    parallel_for(panels * parts, 1, [&](int64_t begin, int64_t end) {
      Scratch<T> sums(side * taps * kPanel);
      for (int64_t task = begin; task < end; task++) {
        const int64_t k = task / parts * kPanel, c = task % parts * side, rows = std::min(side, x.channels - c);
        const int64_t lanes = std::min(kPanel, y.lanes() - k);
        if (!every_tap) std::fill(sums.data, sums.data + rows * taps * kPanel, T(0));
        for (int64_t n = 0; n < g.batch; n += chunk) {
          const T *a = left.data + n * x.image() + c, *b = right.data + n * y.image() + k;
          int64_t tap = -1;  // whose sums were begun last
          for_rows(std::min(chunk, g.batch - n), [&](const Rows& r) {
            const bool add = !every_tap || n > 0 || r.tap == tap;
            multiply<T>(rows, lanes, r.count, {a + r.x * x.pitch, 1, r.x_step * x.pitch}, b + r.y * y.pitch, r.y_step * y.pitch, kPanel,
                        sums.data + r.tap * kPanel, taps * kPanel, add);
            tap = r.tap;
          });
        }
        for (int64_t l = 0; l < lanes; l += kWidth)
          collect<T>({x.channels * taps, std::min(kWidth, y.channels - k - l), 1, kVecs}, sums.data + l, rows * taps,
                     dw + ((k + l) * x.channels + c) * taps);
      }
    });
  }

 private:
  static constexpr int64_t kWidth = Lanes<T>::width, kVecs = gemm::kVecs, kPanel = kVecs * kWidth;

  // Pixels of images as rows of channels, in a chunk of images pixel by pixel.
  struct Side {
    int64_t channels, pixels, pitch;
    Side(int64_t c, int64_t p) : channels(c), pixels(p), pitch(row_pitch<T>(c)) {}
    int64_t image() const { return pixels * pitch; }
    int64_t lanes() const { return ceil_div(channels, kWidth) * kWidth; }
  };
  // Pixels of y from `y` on, and those of x, stride apart, that a tap reads for them.
  struct Run {
    int64_t tap, x, y, count;
  };
  // Rows of a product: where they begin in both sides of a chunk of images, and steps, in rows.
  struct Rows {
    int64_t tap, x, y, count, x_step, y_step;
  };
  struct Ends {
    int64_t from, to, from_step, to_step;
  };
  struct Weights {
    const T* data;
    int64_t lane, step;  // from output to output and from input to input; the taps of both are contiguous
  };
  const Geometry& g;
  const int64_t taps;
  const Side x, y;
  std::vector<Run> runs;
  bool every_tap = true;  // reads something

  void add_run(int64_t t, int64_t a, int64_t b) {
    const int64_t k[3] = {t / (g.kernel[1] * g.kernel[2]), t / g.kernel[2] % g.kernel[1], t % g.kernel[2]};
    const auto reads = [&](int d, int64_t at) { return at * g.stride[d] + k[d] * g.dilation[d] - g.pad[d]; };
    const int64_t i = reads(0, a), j = reads(1, b);
    if (i < 0 || i >= g.in[0] || j < 0 || j >= g.in[1]) return;
    int64_t first = 0, last = g.out[2];
    while (first < last && reads(2, first) < 0) first++;
    while (first < last && reads(2, last - 1) >= g.in[2]) last--;
    if (first < last)
      runs.push_back({t, (i * g.in[1] + j) * g.in[2] + reads(2, first), (a * g.out[1] + b) * g.out[2] + first, last - first});
  }
  int64_t images_at_once() const { return std::clamp<int64_t>(kRowsAtOnce / std::max(x.pixels, y.pixels), 1, g.batch); }
  int64_t panel_channels(int64_t channels) const { return std::clamp<int64_t>(kPanelDepth / taps, 1, channels); }

  // to[chunk][pixel][image][channel] of planes.
  void turn(const Side& s, int64_t chunk, const T* planes, T* to) const {
    const int64_t groups = s.lanes() / kWidth, size = s.channels * s.pixels;
    parallel_for(g.batch * groups, std::max<int64_t>(1, 2048 / (s.pixels * kWidth)), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        const int64_t image = i / groups, c = i % groups * kWidth, first = image / chunk * chunk, n = std::min(chunk, g.batch - first);
        spread<T>({s.pixels, std::min(kWidth, s.channels - c), 1, n * s.pitch / kWidth}, planes + image * size + c * s.pixels, s.pixels,
                  planes + g.batch * size, to + first * s.image() + (image - first) * s.pitch + c);
      }
    });
  }

  // body(rows) for all runs over n images: at unit stride a run is one product, else the longer of its pixels and the images are rows.
  template <class Body>
  void for_rows(int64_t n, Body&& body) const {
    const int64_t step = g.stride[2];
    for (const Run& r : runs) {
      if (step == 1) body(Rows{r.tap, r.x * n, r.y * n, r.count * n, 1, 1});
      for (int64_t i = 0; step != 1 && r.count > n && i < n; i++) body(Rows{r.tap, r.x * n + i, r.y * n + i, r.count, step * n, n});
      for (int64_t i = 0; step != 1 && r.count <= n && i < r.count; i++) body(Rows{r.tap, (r.x + i * step) * n, (r.y + i) * n, n, 1, 1});
    }
  }

  // Either direction: choose(rows) says which side is read.
  template <class Choose>
  void make(const Side& from, const T* in, const Side& to, const T* bias, T* out, const Weights& w, Choose&& choose) const {
    const int64_t panels = ceil_div(to.channels, kPanel), share = ceil_div(g.batch * panels, 4 * runtime->num_threads());
    const int64_t chunk = std::min(images_at_once(), std::max(ceil_div(kRowsAtLeast, to.pixels), share)), chunks = ceil_div(g.batch, chunk);
    const int64_t side = panel_channels(from.channels);
    Scratch<T> rows(g.batch * from.image());
    turn(from, chunk, in, rows.data);
    parallel_for(panels * chunks, 1, [&](int64_t begin, int64_t end) {
      Scratch<T> panel(side * taps * kPanel), sums(chunk * to.pixels * kPanel);
      for (int64_t task = begin; task < end; task++) {
        const int64_t k = task / chunks * kPanel, first = task % chunks * chunk, n = std::min(chunk, g.batch - first);
        const int64_t lanes = std::min(kPanel, to.lanes() - k);
        start(bias, k, to.channels, n * to.pixels, sums.data);
        for (int64_t c = 0; c < from.channels; c += side) {
          const int64_t depth = std::min(side, from.channels - c);
          turn_weights(w, k, to.channels, c, depth, panel.data);
          for_rows(n, [&](const Rows& r) {
            const Ends at = choose(r);
            multiply<T>(r.count, lanes, depth, {rows.data + first * from.image() + at.from * from.pitch + c, at.from_step * from.pitch, 1},
                        panel.data + r.tap * kPanel, taps * kPanel, kPanel, sums.data + at.to * kPanel, at.to_step * kPanel, true);
          });
        }
        for (int64_t i = 0; i < n; i++)
          for (int64_t l = 0; l < lanes; l += kWidth)
            collect<T>({to.pixels, std::min(kWidth, to.channels - k - l), 1, n * kVecs}, sums.data + i * kPanel + l, to.pixels,
                       out + ((first + i) * to.channels + k + l) * to.pixels);
      }
    });
  }
  static void start(const T* bias, int64_t k, int64_t channels, int64_t rows, T* sums) {
    T line[kPanel] = {};
    for (int64_t l = 0; bias && l < std::min(kPanel, channels - k); l++) line[l] = bias[k + l];
    for (int64_t i = 0; i < rows; i++, sums += kPanel) std::copy(line, line + kPanel, sums);
  }
  // to[channel][tap][lane]
  void turn_weights(const Weights& w, int64_t k, int64_t outputs, int64_t c, int64_t depth, T* to) const {
    const T* end = w.data + g.in_channels * g.out_channels * taps;
    const int64_t lanes = std::min(kPanel, outputs - k), run = w.step == taps ? depth : 1;  // inputs whose weights are contiguous
    const T* from = w.data + k * w.lane + c * w.step;
    for (int64_t i = 0; i < depth; i += run, from += run * w.step, to += run * taps * kPanel) {
      for (int64_t at = 0; run == 1 && at < lanes * w.lane; at += 64 / sizeof(T)) __builtin_prefetch(from + 4 * w.step + at);
      for (int64_t l = 0; l < lanes; l += kWidth) {
        if (w.lane == 1 && l + kWidth <= lanes) store(to + l, load(from + l));
        else spread<T>({w.lane, std::min(kWidth, lanes - l), 1, kVecs}, from + l * w.lane, run * taps, end, to + l);
      }
    }
  }
};

}  // namespace al::conv
