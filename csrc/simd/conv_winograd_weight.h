// Winograd's form of the gradient of a convolution's weight, the transposition of the forward one: dw = G' (sum over tiles of
// (A dy A') x (B' d B)) G. A task owns kSide x kSide channels and a run of blocks of tiles; runs are added up in order, and what
// they are depends on the shapes alone.
#pragma once
#include "simd/conv_winograd.h"

namespace al::conv::winograd {

constexpr int64_t kSide = 64;          // sums of a task: 16 x 64 x 64 x 4 B = 256 KiB of 1 MiB L2
constexpr int64_t kWeightTiles = 56;   // with 16 x 56 x 2 x 80 x 4 B = 560 KiB beside them
constexpr int64_t kWeightTasks = 16;   // wanted
constexpr int64_t kRunTiles = 128;     // that a run has at least: its sums go to memory and back

class WeightGradient {
 public:
  explicit WeightGradient(const Shape& shape)
      : s(shape), in_parts(ceil_div(s.in_channels, kSide)), out_parts(ceil_div(s.out_channels, kSide)), blocks(s, kWeightTiles),
        runs(std::clamp<int64_t>(s.batch * blocks.tile_rows * blocks.tile_cols / kRunTiles, 1,
                                 std::clamp<int64_t>(kWeightTasks / (in_parts * out_parts), 1, blocks.count()))) {}

  // dw (O, C, 3, 3) of in and the gradient of out; false where something is not finite, and dw has to be made directly.
  bool run(const float* in, const float* grad, float* dw) const {
    const int64_t parts = in_parts * out_parts;
    const Planes planes(in, s.batch, s.in_channels, s.in_h, s.in_w), grads(grad, s.batch, s.out_channels, s.out_h, s.out_w);
    bool spoiled = false;
    Scratch<float> all(runs > 1 ? runs * parts * kTask : 0);
    parallel_for(runs * parts, 1, [&](int64_t begin, int64_t end) {
      Workspace space(blocks, runs > 1 ? 0 : kTask);
      for (int64_t task = begin; task < end; task++) {
        float* sums = runs > 1 ? all.data + task * kTask : space.sums.data;
        const int64_t run = task / parts;
        for (int64_t i = run * blocks.count() / runs; i < (run + 1) * blocks.count() / runs; i++)
          add_block(planes, grads, blocks[i], at(task % parts), space, i > run * blocks.count() / runs, sums);
        if (runs == 1) finish(sums, at(task), space.picture.data, dw, spoiled);
      }
    });
    parallel_for(runs > 1 ? parts : 0, 1, [&](int64_t begin, int64_t end) {
      Scratch<float> taps(kPicture);
      for (int64_t part = begin; part < end; part++) finish(all.data + part * kTask, at(part), taps.data, dw, spoiled);
    });
    return !spoiled;
  }

 private:
  static constexpr int64_t kTask = kPlaces * kSide * kSide, kPitch = kSide + 16;
  static constexpr int64_t kPicture = kSide * 9 * kWidth;  // of the taps of kWidth output channels
  const Shape s;
  const int64_t in_parts, out_parts;
  const Blocks blocks;
  const int64_t runs;

  struct Part {
    int64_t in, ins, out, outs;  // first channels and how many
  };
  Part at(int64_t part) const {
    const int64_t c = part % in_parts * kSide, k = part / in_parts * kSide;
    return {c, std::min(kSide, s.in_channels - c), k, std::min(kSide, s.out_channels - k)};
  }
  struct Workspace {
    Scratch<float> v, w, picture, sums;
    Workspace(const Blocks& b, int64_t n)
        : v(kPlaces * b.tiles() * kPitch), w(kPlaces * b.tiles() * kPitch),
          picture(std::max((2 * b.rows + 2) * (2 * b.cols + 2) * kWidth, kPicture)), sums(n) {}
  };

  // sums[place][input channel][output channel] = or += what a block of tiles gives.
  void add_block(const Planes& planes, const Planes& grads, const Block& b, const Part& part, Workspace& space, bool add,
                 float* sums) const {
    const int64_t places = b.tiles() * kPitch;
    transform_inputs(s, planes, b, part.in, part.ins, space.picture.data, kPitch, places, space.v.data);
    transform_gradients(grads, b, part.out, part.outs, space.picture.data, places, space.w.data);
    for (int place = 0; place < kPlaces; place++)
      multiply<float>(part.ins, whole_vectors(part.outs), b.tiles(), {space.v.data + place * places, 1, kPitch}, space.w.data + place * places,
               kPitch, kPanel, sums + place * kSide * kSide, kSide, add);
  }

  // w[place][tile][channel] = A dy A' of the 2x2 gradients of each tile.
  static void transform_gradients(const Planes& grads, const Block& b, int64_t channel, int64_t channels, float* picture, int64_t places,
                                  float* w) {
    const int64_t cols = 2 * b.cols;
    for (int64_t k = 0; k < channels; k += kWidth) {
      float* to = w + k;
      for (int64_t n = 0; n < b.images; n++) {
        grads.picture(b.image + n, channel + k, 2 * b.y, 2 * b.rows, 2 * b.x, cols, picture);
        const float* at = picture;
        for (int64_t y = 0; y < b.rows; y++, at += cols * kWidth)
          for (int64_t x = 0; x < b.cols; x++, at += 2 * kWidth, to += kPitch) {
            const Lane a = load(at), c = load(at + kWidth), d = load(at + cols * kWidth), e = load(at + (cols + 1) * kWidth);
            const Lane left[4] = {a, a + d, a - d, -d}, right[4] = {c, c + e, c - e, -e};
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
              float* place = to + 4 * i * places;
              store(place, left[i]);
              store(place + places, left[i] + right[i]);
              store(place + 2 * places, left[i] - right[i]);
              store(place + 3 * places, -right[i]);
            }
          }
      }
    }
  }

  // dw = G' u G, u the sums of all runs in order.
  void finish(const float* sums, const Part& part, float* taps, float* dw, bool& spoiled) const {
    const int64_t parts = in_parts * out_parts * kTask, run = 9 * part.ins;
    for (int64_t k = 0; k < part.outs; k += kWidth) {
      Finite finite;
      for (int64_t c = 0; c < part.ins; c++) finish_filter(sums + c * kSide + k, parts, taps + c * 9 * kWidth, finite);
      if (finite.spoils()) __atomic_store_n(&spoiled, true, __ATOMIC_RELAXED);
      collect<float>({s.in_channels * 9, std::min(kWidth, part.outs - k), run, run}, taps, run, dw + ((part.out + k) * s.in_channels + part.in) * 9);
    }
  }
  void finish_filter(const float* from, int64_t parts, float* taps, Finite& finite) const {
    Lane t[3][4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
      Lane u[4];
#pragma GCC unroll 4
      for (int i = 0; i < 4; i++) {
        const float* at = from + (4 * i + j) * kSide * kSide;
        u[i] = load(at);
        for (int64_t run = 1; run < runs; run++) u[i] += load(at + run * parts);
      }
      const Lane half = (u[1] + u[2]) * splat(0.5f);
      t[0][j] = u[0] + half, t[1][j] = (u[1] - u[2]) * splat(0.5f), t[2][j] = half + u[3];
    }
#pragma GCC unroll 3
    for (int i = 0; i < 3; i++, taps += 3 * kWidth) {
      const Lane half = (t[i][1] + t[i][2]) * splat(0.5f), tap[3] = {t[i][0] + half, (t[i][1] - t[i][2]) * splat(0.5f), half + t[i][3]};
#pragma GCC unroll 3
      for (int j = 0; j < 3; j++) {
        finite.see(tap[j]);
        store(taps + j * kWidth, tap[j]);
      }
    }
  }
};

}  // namespace al::conv::winograd
