// Convolution and its input gradient (transposed convolution): tap convolutions on padded, cache-sized windows.
// A task is one rectangle of one output plane; blocks of input planes are copied, padded, into a buffer where each tap
// is a constant offset, and register tiles of channels x flat pixels run over (plane, tap). No im2col matrix exists.
#include "simd/conv_common.h"
#include "simd/conv_depthwise.h"
#include "simd/conv_small.h"
#include "simd/conv_tile.h"
#include "simd/conv_winograd_forward.h"

namespace al::conv {
namespace {

constexpr int64_t kBlockDepth = 288;         // 6 x 288 weights (7 KiB) + 32 planes x 3 rows x 2 lines (12 KiB) of 32 KiB L1
constexpr int64_t kSmallPlane = 256;         // outputs of a plane that take twice the depth, as all planes fit L1 anyway
constexpr int64_t kBufferItems = 24 * 1024;  // 96 KiB of floats per block of planes, of 512 KiB L2
constexpr int64_t kTaskPixels = 2048;        // enough tasks for the threads

template <class T>
struct Operands {
  const T *in, *weight, *bias;  // bias may be null
  T* out;
};

// Three axes of a tap convolution, and where its operands lie.
struct Problem {
  Axis d, h, w;
  int64_t batch, groups, in_channels, out_channels;
  int64_t in_size, in_width, in_plane;                  // of a channel, of a row, of a depth slice
  int64_t weight_group, weight_out, weight_in;          // strides
  int64_t kernel[3];
  int64_t out_size, out_first[3], out_step[3], out_stride[3];  // a channel; grid point j lands at (first + j * step) * stride
  int64_t planes() const { return in_channels * int64_t(d.taps.size()); }
  int64_t plane_taps() const { return int64_t(h.taps.size() * w.taps.size()); }
  int64_t block_planes() const {
    const int64_t depth = h.grid * w.grid <= kSmallPlane ? 2 * kBlockDepth : kBlockDepth;
    return std::clamp<int64_t>(depth / plane_taps(), 1, planes());
  }
  int64_t packed_items() const { return groups * planes() * plane_taps() * out_channels; }
};

// Weights as [group][block of planes][strip of kRows outputs][(plane, tap)][row].
template <class T>
void pack_weights(const Problem& p, const T* weight, T* packed) {
  const int64_t depth_taps = int64_t(p.d.taps.size()), block = p.block_planes();
  const int64_t strips = (p.out_channels + kRows - 1) / kRows, blocks = (p.planes() + block - 1) / block;
  parallel_for(p.groups * blocks * strips, 4, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; item++) {
      const int64_t channel = item % strips * kRows, first = item / strips % blocks * block, group = item / strips / blocks;
      const int64_t last = std::min(first + block, p.planes()), rows = std::min<int64_t>(kRows, p.out_channels - channel);
      const T* source = weight + group * p.weight_group + channel * p.weight_out;
      T* at = packed + ((group * p.planes() + first) * p.out_channels + channel * (last - first)) * p.plane_taps();
      for (int64_t plane = first; plane < last; plane++)
        for (auto& th : p.h.taps)
          for (auto& tw : p.w.taps) {
            const int64_t tap = (p.d.taps[plane % depth_taps].index * p.kernel[1] + th.index) * p.kernel[2] + tw.index;
            const T* w = source + plane / depth_taps * p.weight_in + tap;
            for (int64_t r = 0; r < rows; r++) *at++ = w[r * p.weight_out];
          }
    }
  });
}

// Rectangles of the output grid: whole rows where they fit the buffer, else pieces of one row.
struct Tiling {
  int64_t rows, cols, bands, pieces;
};

Tiling tiling(const Problem& p) {
  const int64_t halo_h = p.h.high() - p.h.low(), halo_w = p.w.high() - p.w.low();
  const int64_t phases = int64_t(p.h.phases.size() * p.w.phases.size());
  const int64_t room = kBufferItems / (p.block_planes() * phases);  // items a phase of a plane may take
  Tiling t{};
  t.cols = std::min(p.w.grid, std::max<int64_t>(64, room / (1 + halo_h) - halo_w));
  t.rows = std::clamp<int64_t>(room / (t.cols + halo_w) - halo_h, 1, p.h.grid);
  t.rows = std::min(t.rows, std::max<int64_t>(1, kTaskPixels / t.cols));
  t.bands = (p.h.grid + t.rows - 1) / t.rows;
  t.rows = (p.h.grid + t.bands - 1) / t.bands;
  t.pieces = (p.w.grid + t.cols - 1) / t.cols;
  t.cols = std::min(p.w.grid, ((p.w.grid + t.pieces - 1) / t.pieces + 15) / 16 * 16);
  return t;
}

// The lanes of one flat tile that are outputs, as runs inside a row.
struct Run {
  int64_t lane, count, out;
};

struct FlatTile {
  int64_t flat, vecs;
  size_t first_run, runs;
  bool direct;  // every lane is an output, and neighbours in memory
};

struct TileList {
  std::vector<FlatTile> tiles;
  std::vector<Run> runs;
};

TileList list_tiles(const Problem& p, const Window& v, int64_t width) {
  TileList list;
  const int64_t cols = v.w.end - v.w.begin, rows = v.h.end - v.h.begin, size = v.flat_size();
  for (int64_t flat = 0; flat < size; flat += kVecs * width) {
    FlatTile t{flat, std::min<int64_t>(kVecs, (size - flat + width - 1) / width), list.runs.size(), 0, false};
    int64_t row = flat / v.w.pitch, col = flat % v.w.pitch, lane = 0;
    for (; lane < t.vecs * width && row < rows; row++, col = 0) {
      if (const int64_t count = std::min(cols - col, t.vecs * width - lane); count > 0)
        list.runs.push_back({lane, count, (p.out_first[1] + (v.h.begin + row) * p.out_step[1]) * p.out_stride[1] +
                                              p.out_first[2] + (v.w.begin + col) * p.out_step[2]});
      lane += v.w.pitch - col;
    }
    t.runs = list.runs.size() - t.first_run;
    t.direct = t.runs == 1 && list.runs.back().count == t.vecs * width && p.out_step[2] == 1;
    if (t.runs) list.tiles.push_back(t);
  }
  return list;
}

template <class T>
void store_run(const T* from, int64_t n, int64_t step, bool add, T* to) {
  if (step != 1) {
    for (int64_t j = 0; j < n; j++) to[j * step] = add ? to[j * step] + from[j] : from[j];
    return;
  }
  constexpr int64_t width = Lanes<T>::width;
  int64_t j = 0;
  for (; j + width <= n; j += width) store(to + j, add ? load(to + j) + load(from + j) : load(from + j));
  for (; j < n; j++) to[j] = add ? to[j] + from[j] : from[j];
}

template <class T>
struct Pass {  // one block of planes of a window
  const Problem& p;
  const TileList& list;
  int64_t depth;
  const T *weights, *buffer;
  const int32_t* offsets;
  const T* bias;
  bool add;  // to what earlier blocks gave
  T* out;
};

template <class T>
inline void run_tile(const Pass<T>& a, const FlatTile& t, int64_t channel) {
  static constexpr auto tiles = pixel_tiles<T>(AllTiles{});
  constexpr int64_t width = Lanes<T>::width;
  const int64_t rows = std::min<int64_t>(kRows, a.p.out_channels - channel), lanes = t.vecs * width;
  const auto tile = tiles[(rows - 1) * kVecs + t.vecs - 1];
  const T* bias = a.bias && !a.add ? a.bias + channel : nullptr;
  const T* weights = a.weights + channel * a.depth;
  const Run* runs = a.list.runs.data() + t.first_run;
  T* to = a.out + channel * a.p.out_size;
  if (t.direct) return tile(a.depth, weights, a.buffer + t.flat, a.offsets, bias, a.add, to + runs->out, a.p.out_size);
  T scratch[kRows * kVecs * width];
  tile(a.depth, weights, a.buffer + t.flat, a.offsets, bias, false, scratch, lanes);
  for (int64_t r = 0; r < rows; r++, to += a.p.out_size)
    for (size_t i = 0; i < t.runs; i++)
      store_run(scratch + r * lanes + runs[i].lane, runs[i].count, a.p.out_step[2], a.add, to + runs[i].out);
}

// The operand that is larger is streamed, the other stays in the near caches.
template <class T>
void run_tiles(const Pass<T>& a, int64_t buffer_items) {
  if (a.p.out_channels * a.depth > buffer_items) {
    for (int64_t c = 0; c < a.p.out_channels; c += kRows)
      for (const FlatTile& t : a.list.tiles) run_tile(a, t, c);
  } else {
    for (const FlatTile& t : a.list.tiles)
      for (int64_t c = 0; c < a.p.out_channels; c += kRows) run_tile(a, t, c);
  }
}

struct Rectangle {
  int64_t image, group, slice, h0, h1, w0, w1;
};

// What the tasks of one thread share: memory, and the layout of the last window, which most tasks have in common.
template <class T>
struct Workspace {
  Scratch<T> buffer;
  Scratch<int32_t> offsets;
  Window v;
  TileList list;

  Workspace(const Problem& p, const Tiling& t)
      : buffer(p.block_planes() * plane_bound(p, t) + 4 * kVecs * Lanes<T>::width), offsets(p.block_planes() * p.plane_taps()) {
    std::fill(buffer.data, buffer.data + buffer.bytes / sizeof(T), T(0));  // lanes past the end are computed, then dropped
  }
  static int64_t plane_bound(const Problem& p, const Tiling& t) {
    return std::max(window(p.h, p.w, 0, t.rows, 0, t.cols).plane_size, window(p.h, p.w, 1, 1 + t.rows, 1, 1 + t.cols).plane_size);
  }
  void prepare(const Problem& p, const Rectangle& at) {
    if (!v.offsets.empty() && v.h.begin == at.h0 && v.h.end == at.h1 && v.w.begin == at.w0 && v.w.end == at.w1) return;
    v = window(p.h, p.w, at.h0, at.h1, at.w0, at.w1);
    list = list_tiles(p, v, Lanes<T>::width);
    for (int64_t i = 0; i < p.block_planes(); i++)
      for (int64_t t = 0; t < p.plane_taps(); t++) offsets[i * p.plane_taps() + t] = int32_t(i * v.plane_size + v.offsets[t]);
  }
};

template <class T>
void run_task(const Problem& p, const Operands<T>& o, const T* packed, const Rectangle& at, Workspace<T>& space) {
  const int64_t depth_taps = int64_t(p.d.taps.size()), block = p.block_planes();
  space.prepare(p, at);
  const Window& v = space.v;
  const T* in = o.in + (at.image * p.groups + at.group) * p.in_channels * p.in_size;
  const T* bias = o.bias ? o.bias + at.group * p.out_channels : nullptr;
  T* out = o.out + (at.image * p.groups + at.group) * p.out_channels * p.out_size +
           (p.out_first[0] + at.slice * p.out_step[0]) * p.out_stride[0];
  for (int64_t first = 0; first < p.planes(); first += block) {
    const int64_t planes = std::min(block, p.planes() - first);
    for (int64_t i = 0; i < planes; i++) {
      const Tap& tap = p.d.taps[(first + i) % depth_taps];
      const int64_t slice = at.slice + tap.offset;
      const T* plane = in + (first + i) / depth_taps * p.in_size + (slice * p.d.source_step + tap.phase) * p.in_plane;
      if (slice < 0 || slice >= p.d.phase_len(tap.phase)) plane = nullptr;
      fill_plane(p.h, p.w, v, plane, p.in_width, space.buffer.data + i * v.plane_size);
    }
    const T* weights = packed + (at.group * p.planes() + first) * p.out_channels * p.plane_taps();
    const Pass<T> pass{p, space.list, planes * p.plane_taps(), weights, space.buffer.data, space.offsets.data, bias, first > 0, out};
    run_tiles(pass, planes * v.plane_size);
  }
}

// No tap reaches these outputs: only the bias does.
template <class T>
void store_bias(const Problem& p, const Operands<T>& o) {
  for (int64_t c = 0; c < p.batch * p.groups * p.out_channels; c++) {
    const T value = o.bias ? o.bias[c % (p.groups * p.out_channels)] : T(0);
    for (int64_t i = 0; i < p.d.grid; i++)
      for (int64_t j = 0; j < p.h.grid; j++)
        for (int64_t k = 0; k < p.w.grid; k++)
          o.out[c * p.out_size + (p.out_first[0] + i * p.out_step[0]) * p.out_stride[0] +
                (p.out_first[1] + j * p.out_step[1]) * p.out_stride[1] + p.out_first[2] + k * p.out_step[2]] = value;
  }
}

template <class T>
void solve(const Problem& p, const Operands<T>& o) {
  if (p.batch * p.groups * p.out_channels * p.d.grid * p.h.grid * p.w.grid == 0) return;
  if (p.planes() * p.plane_taps() == 0) return store_bias(p, o);
  Scratch<T> packed(p.packed_items());
  pack_weights(p, o.weight, packed.data);
  const Tiling t = tiling(p);
  const int64_t per_slice = t.bands * t.pieces, tasks = p.batch * p.groups * p.d.grid * per_slice;
  parallel_for(tasks, 1, [&](int64_t begin, int64_t end) {
    Workspace<T> space(p, t);
    for (int64_t task = begin; task < end; task++) {
      const int64_t h0 = task % per_slice / t.pieces * t.rows, w0 = task % t.pieces * t.cols;
      const int64_t slice = task / per_slice % p.d.grid, unit = task / per_slice / p.d.grid;
      const Rectangle at{unit / p.groups, unit % p.groups, slice, h0, std::min(h0 + t.rows, p.h.grid), w0,
                         std::min(w0 + t.cols, p.w.grid)};
      if (at.h0 < at.h1 && at.w0 < at.w1) run_task(p, o, packed.data, at, space);
    }
  });
}

template <class T>
void forward(const Geometry& g, const Operands<T>& o) {
  Problem p{forward_axis(g, 0), forward_axis(g, 1), forward_axis(g, 2), g.batch, g.groups, g.in_channels, g.out_channels,
            g.in_size(), g.in[2], g.in[1] * g.in[2], g.out_channels * g.in_channels * g.taps(), g.in_channels * g.taps(),
            g.taps(), {g.kernel[0], g.kernel[1], g.kernel[2]}, g.out_size(), {0, 0, 0}, {1, 1, 1},
            {g.out[1] * g.out[2], g.out[2], 1}};
  solve(p, o);
}

template <class T>
void transposed(const Geometry& g, const Operands<T>& o) {
  for (int64_t a = 0; a < g.stride[0]; a++)
    for (int64_t b = 0; b < g.stride[1]; b++)
      for (int64_t c = 0; c < g.stride[2]; c++) {
        Problem p{transposed_axis(g, 0, a), transposed_axis(g, 1, b), transposed_axis(g, 2, c), g.batch, g.groups,
                  g.out_channels, g.in_channels, g.out_size(), g.out[2], g.out[1] * g.out[2],
                  g.out_channels * g.in_channels * g.taps(), g.taps(), g.in_channels * g.taps(),
                  {g.kernel[0], g.kernel[1], g.kernel[2]}, g.in_size(), {a, b, c}, {g.stride[0], g.stride[1], g.stride[2]},
                  {g.in[1] * g.in[2], g.in[2], 1}};
        solve(p, o);
      }
}

// A 3x3 convolution and its input gradient by Winograd's form; images whose results are not finite are made directly.
void forward_winograd(const Geometry& g, const Operands<float>& o) {
  const winograd::Shape s{g.batch, g.in_channels, g.out_channels, g.in[1], g.in[2], g.out[1], g.out[2], g.pad[1], g.pad[2]};
  winograd::Convolution(s).run(o.in, {o.weight, 9 * g.in_channels, 9, false}, o.bias, o.out, [&](int64_t first, int64_t last) {
    Geometry some = g;
    some.batch = last - first;
    forward(some, Operands<float>{o.in + first * g.in_channels * g.in_size(), o.weight, o.bias, o.out + first * g.out_channels * g.out_size()});
  });
}

void transposed_winograd(const Geometry& g, const Operands<float>& o) {
  const winograd::Shape s{g.batch, g.out_channels, g.in_channels, g.out[1], g.out[2], g.in[1], g.in[2], 2 - g.pad[1], 2 - g.pad[2]};
  winograd::Convolution(s).run(o.in, {o.weight, 9, 9 * g.in_channels, true}, o.bias, o.out, [&](int64_t first, int64_t last) {
    Geometry some = g;
    some.batch = last - first;
    transposed(some, Operands<float>{o.in + first * g.out_channels * g.out_size(), o.weight, o.bias, o.out + first * g.in_channels * g.in_size()});
  });
}

// conv: y; x, w, bias.
void conv_kernel(const Call& call) {
  const View &y = *call.views[0], &x = *call.views[1], &w = *call.views[2];
  const Geometry g = geometry(call, x, w, y);
  in_compute_type(call, y.dtype, [&](auto* out, const auto* in, const auto* weight, const auto* bias) {
    using T = std::remove_pointer_t<decltype(out)>;
    if constexpr (std::is_same_v<T, float>)
      if (winograd::suits(g, g.out)) return forward_winograd(g, {in, weight, bias, out});
    if (is_depthwise(g)) Depthwise<T>(g).forward(in, weight, bias, out);
    else if (is_small(g)) SmallPlanes<T>(g).forward(in, weight, bias, out);
    else forward(g, Operands<T>{in, weight, bias, out});
  });
}

// conv_input: x; y, w, bias (of x's channels).
void conv_input_kernel(const Call& call) {
  const View &x = *call.views[0], &y = *call.views[1], &w = *call.views[2];
  const Geometry g = geometry(call, x, w, y);
  in_compute_type(call, x.dtype, [&](auto* out, const auto* in, const auto* weight, const auto* bias) {
    using T = std::remove_pointer_t<decltype(out)>;
    if constexpr (std::is_same_v<T, float>)
      if (winograd::suits(g, g.in)) return transposed_winograd(g, {in, weight, bias, out});
    if (is_depthwise(g)) Depthwise<T>(g).input_gradient(in, weight, bias, out);
    else if (is_small_input(g)) SmallPlanes<T>(g).input_gradient(in, weight, bias, out);
    else transposed(g, Operands<T>{in, weight, bias, out});
  });
}

// ints: whether convolutions may go by Winograd's form.
void conv_backend(const Call& call) { winograd::allowed = call.ints[0] != 0; }

AL_KERNEL("conv", conv_kernel);
AL_KERNEL("conv_backend", conv_backend);
AL_KERNEL("conv_input", conv_input_kernel);

}  // namespace
}  // namespace al::conv
