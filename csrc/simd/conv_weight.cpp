// The weight gradient of convolutions: dw[oc, ic, k] = sum over images and pixels of x[ic, pixel at tap k] * g[oc, pixel].
// A task owns some input planes of one group and a fixed run of images; gradients are transposed into pixel-major panels,
// sums stay in registers over the pixels of some windows. Runs of images are added up in order: no dependence on threads.
#include "simd/conv_common.h"
#include "simd/conv_depthwise.h"
#include "simd/conv_small.h"
#include "simd/conv_tile.h"
#include "simd/conv_winograd_weight.h"

namespace al::conv {
namespace {

constexpr int64_t kBlockRows = 576;     // (plane, tap) sums a task owns
constexpr int64_t kPanelPixels = 256;   // panel of 256 x 16 gradients: 16 KiB of 32 KiB L1
constexpr int64_t kTasks = 32;          // wanted; independent of the thread count, as the order of the sums must be
constexpr int64_t kPartials = 1 << 22;  // items that runs of images may take for their own sums

struct Layout {
  Axis d, h, w;
  int64_t planes, plane_taps, block, blocks, chunks, lanes;  // lanes: output channels, padded to whole vectors
  int64_t rows, cols, units;                                 // of a panel; a unit is a depth slice of an image
  bool dots;  // too few output channels for a vector: sums run along pixels instead
  int64_t sums() const { return planes * plane_taps; }
  int64_t partial_items(const Geometry& g) const { return chunks * g.groups * sums() * lanes; }
};

template <class T>
Layout layout(const Geometry& g) {
  constexpr int64_t width = Lanes<T>::width;
  Layout l{forward_axis(g, 0), forward_axis(g, 1), forward_axis(g, 2), g.in_channels * g.kernel[0],
           g.kernel[1] * g.kernel[2], 0, 0, 0, 0, 0, 0, 1, g.out_channels <= 3};
  l.lanes = l.dots ? g.out_channels : (g.out_channels + width - 1) / width * width;
  l.block = std::clamp<int64_t>(kBlockRows / l.plane_taps, 1, l.planes);
  const int64_t most = std::clamp<int64_t>(kPartials / (g.groups * l.sums() * l.lanes), 1, g.batch);
  const auto blocks = [&] { return (l.planes + l.block - 1) / l.block; };
  while (l.block * l.plane_taps > kBlockRows / 2 && g.groups * blocks() * most < kTasks / 2) l.block = (l.block + 1) / 2;
  l.blocks = blocks();
  l.chunks = std::clamp<int64_t>(kTasks / (g.groups * l.blocks), 1, most);
  l.cols = std::min(g.out[2], kPanelPixels);
  l.rows = std::min(g.out[1], std::max<int64_t>(1, kPanelPixels / l.cols));
  if (l.rows == g.out[1] && l.cols == g.out[2])
    l.units = std::clamp<int64_t>(kPanelPixels / (l.rows * l.cols), 1, (g.batch + l.chunks - 1) / l.chunks * g.out[0]);
  return l;
}

// The operands of one group.
template <class T>
struct Operands {
  const T *x, *grad;
  int64_t x_image, grad_image;  // strides of images
};

// g of one window as pixels first... of the panel [strip][pixel][lane], which has `pixels`; missing channels are zero.
template <class T>
void transpose_gradients(const Geometry& g, const Window& v, const T* grad, int64_t first, int64_t pixels, T* panel) {
  constexpr int64_t width = Lanes<T>::width, strip = kVecs * width;
  const int64_t rows = v.h.end - v.h.begin, cols = v.w.end - v.w.begin;
  for (int64_t c = 0; c < g.out_channels; c += strip) {
    const int64_t lanes = std::min(strip, (g.out_channels - c + width - 1) / width * width);
    const int64_t real = std::min(lanes, g.out_channels - c);
    for (int64_t i = 0; i < rows; i++) {
      const T* from = grad + c * g.out_size() + (v.h.begin + i) * g.out[2] + v.w.begin;
      T* to = panel + (first + i * cols) * lanes;
      for (int64_t j = 0; j < cols; j += width) {  // a square at a time, so that what is written stays in L1
        const int64_t end = std::min(j + width, cols);
        for (int64_t l = 0; l < lanes; l++)
          for (int64_t k = j; k < end; k++) to[k * lanes + l] = l < real ? from[l * g.out_size() + k] : T(0);
      }
    }
    panel += pixels * lanes;
  }
}

// sums: [strip][count][lane]
template <class T>
void add_panels(const Layout& l, const Pixels& pixels, const T* const* x, int64_t count, const T* panel, T* sums) {
  static constexpr auto tiles = tap_tiles<T>(AllTiles{});
  constexpr int64_t width = Lanes<T>::width;
  for (int64_t lane = 0; lane < l.lanes; lane += kVecs * width) {
    const int64_t vecs = std::min<int64_t>(kVecs, (l.lanes - lane) / width);
    for (int64_t r = 0; r < count; r += kRows) {
      const int64_t some = std::min<int64_t>(kRows, count - r);
      tiles[(some - 1) * kVecs + vecs - 1](pixels, x + r, panel, sums + r * vecs * width);
    }
    panel += pixels.units * pixels.rows * pixels.cols * vecs * width;
    sums += count * vecs * width;
  }
}

template <class T>
T dot(const Pixels& pixels, const T* x, const T* grad, int64_t grad_pitch) {
  constexpr int64_t width = Lanes<T>::width;
  const int64_t whole = pixels.cols / width * width;
  Vec<T> sum{};
  T rest = 0;
  for (int64_t i = 0; i < pixels.rows; i++, x += pixels.pitch, grad += grad_pitch) {
    for (int64_t j = 0; j < whole; j += width) sum = fused(load(x + j), load(grad + j), sum);
    for (int64_t j = whole; j < pixels.cols; j++) rest += x[j] * grad[j];
  }
  for (int64_t j = 0; j < width; j++) rest += sum[j];
  return rest;
}

template <class T>
struct Workspace {
  Scratch<T> buffer, panel;
  Scratch<const T*> pointers;
  Window v;
  Workspace(const Layout& l, int64_t plane_size)
      : buffer(l.units * l.block * plane_size), panel(l.dots ? 0 : l.units * l.rows * l.cols * l.lanes),
        pointers(l.block * l.plane_taps) {}
};

// Adds what a window of units [begin, end) gives to the sums of planes [first, last).
template <class T>
void add_window(const Geometry& g, const Layout& l, const Operands<T>& o, int64_t begin, int64_t end, int64_t first, int64_t last,
                Workspace<T>& space, T* sums) {
  const Window& v = space.v;
  const Pixels pixels{end - begin, v.h.end - v.h.begin, v.w.end - v.w.begin, (last - first) * v.plane_size, v.w.pitch};
  for (int64_t unit = begin; unit < end; unit++) {
    const int64_t image = unit / g.out[0], slice = unit % g.out[0];
    for (int64_t p = first; p < last; p++) {
      const Tap& tap = l.d.taps[p % g.kernel[0]];
      const int64_t at = (slice + tap.offset) * g.stride[0] + tap.phase;
      const T* plane = o.x + image * o.x_image + p / g.kernel[0] * g.in_size() + at * g.in[1] * g.in[2];
      fill_plane(l.h, l.w, v, at < 0 || at >= g.in[0] ? nullptr : plane, g.in[2],
                 space.buffer.data + (unit - begin) * pixels.unit_pitch + (p - first) * v.plane_size);
    }
    const T* grad = o.grad + image * o.grad_image + slice * g.out[1] * g.out[2];
    const int64_t area = pixels.rows * pixels.cols;
    if (!l.dots) transpose_gradients(g, v, grad, (unit - begin) * area, pixels.units * area, space.panel.data);
  }
  int64_t n = 0;
  for (int64_t p = 0; p < last - first; p++)
    for (int64_t offset : v.offsets) space.pointers[n++] = space.buffer.data + p * v.plane_size + offset;
  if (!l.dots) return add_panels(l, pixels, space.pointers.data, n, space.panel.data, sums);
  for (int64_t unit = begin; unit < end; unit++) {
    const T* grad = o.grad + unit / g.out[0] * o.grad_image + unit % g.out[0] * g.out[1] * g.out[2] + v.h.begin * g.out[2] + v.w.begin;
    for (int64_t lane = 0; lane < l.lanes; lane++)
      for (int64_t r = 0; r < n; r++)
        sums[lane * n + r] +=
            dot(pixels, space.pointers[r] + (unit - begin) * pixels.unit_pitch, grad + lane * g.out_size(), g.out[2]);
  }
}

template <class T>
void run_task(const Geometry& g, const Layout& l, const Operands<T>& o, int64_t first_image, int64_t last_image, int64_t first,
              int64_t last, Workspace<T>& space, T* sums) {
  for (int64_t h = 0; h < g.out[1]; h += l.rows)
    for (int64_t w = 0; w < g.out[2]; w += l.cols) {
      space.v = window(l.h, l.w, h, std::min(h + l.rows, g.out[1]), w, std::min(w + l.cols, g.out[2]));
      const int64_t end = last_image * g.out[0];
      for (int64_t unit = first_image * g.out[0]; unit < end; unit += l.units)
        add_window(g, l, o, unit, std::min(unit + l.units, end), first, last, space, sums);
    }
}

// dw[group][oc][sum] = partial[chunk][group][block][strip][sum][lane], added up over the chunks in order.
template <class T>
void sum_chunks(const Geometry& g, const Layout& l, const T* partial, T* dw) {
  const int64_t strip = l.dots ? 1 : kVecs * Lanes<T>::width, block = l.block * l.plane_taps;
  const int64_t items = g.groups * l.sums() * l.lanes;
  parallel_for(g.groups * g.out_channels, std::max<int64_t>(1, 4096 / l.sums()), [&](int64_t begin, int64_t end) {
    for (int64_t channel = begin; channel < end; channel++) {
      const int64_t c = channel % g.out_channels, first_lane = c / strip * strip, lanes = std::min(strip, l.lanes - first_lane);
      const T* group = partial + channel / g.out_channels * l.sums() * l.lanes;
      for (int64_t first = 0; first < l.sums(); first += block) {
        const int64_t count = std::min(block, l.sums() - first);
        const T* from = group + first * l.lanes + first_lane * count + c % strip;
        for (int64_t r = 0; r < count; r++) {
          T sum = from[r * lanes];
          for (int64_t k = 1; k < l.chunks; k++) sum += from[k * items + r * lanes];
          dw[channel * l.sums() + first + r] = sum;
        }
      }
    }
  });
}

template <class T>
void weight_gradient(const Geometry& g, const T* x, const T* grad, T* dw) {
  const int64_t dw_items = g.groups * g.out_channels * g.in_channels * g.taps();
  if (dw_items == 0) return;
  if (g.batch * g.out_size() == 0) return std::fill(dw, dw + dw_items, T(0)), void();
  const Layout l = layout<T>(g);
  Scratch<T> partial(l.partial_items(g));
  parallel_for(l.chunks * g.groups * l.blocks, 1, [&](int64_t begin, int64_t end) {
    Workspace<T> space(l, std::max(window(l.h, l.w, 0, l.rows, 0, l.cols).plane_size,
                                   window(l.h, l.w, 1, 1 + l.rows, 1, 1 + l.cols).plane_size));
    for (int64_t task = begin; task < end; task++) {
      const int64_t first = task % l.blocks * l.block, group = task / l.blocks % g.groups, chunk = task / l.blocks / g.groups;
      const int64_t last = std::min(first + l.block, l.planes);
      const Operands<T> o{x + group * g.in_channels * g.in_size(), grad + group * g.out_channels * g.out_size(),
                          g.groups * g.in_channels * g.in_size(), g.groups * g.out_channels * g.out_size()};
      T* sums = partial.data + ((chunk * g.groups + group) * l.sums() + first * l.plane_taps) * l.lanes;
      std::fill(sums, sums + (last - first) * l.plane_taps * l.lanes, T(0));
      run_task(g, l, o, chunk * g.batch / l.chunks, (chunk + 1) * g.batch / l.chunks, first, last, space, sums);
    }
  });
  sum_chunks(g, l, partial.data, dw);
}

bool weight_winograd(const Geometry& g, const float* x, const float* grad, float* dw) {
  const winograd::Shape s{g.batch, g.in_channels, g.out_channels, g.in[1], g.in[2], g.out[1], g.out[2], g.pad[1], g.pad[2]};
  return winograd::WeightGradient(s).run(x, grad, dw);
}

// conv_weight: w; x, y.
void conv_weight_kernel(const Call& call) {
  const View &w = *call.views[0], &x = *call.views[1], &y = *call.views[2];
  const Geometry g = geometry(call, x, w, y);
  in_compute_type(call, w.dtype, [&](auto* out, const auto* in, const auto* grad, const auto*) {
    using T = std::remove_pointer_t<decltype(out)>;
    if constexpr (std::is_same_v<T, float>)
      if (winograd::suits(g, g.out) && weight_winograd(g, in, grad, out)) return;
    if (is_depthwise(g)) Depthwise<T>(g).weight_gradient(in, grad, out);
    else if (is_small(g)) SmallPlanes<T>(g).weight_gradient(in, grad, out);
    else weight_gradient(g, in, grad, out);
  });
}

AL_KERNEL("conv_weight", conv_weight_kernel);

}  // namespace
}  // namespace al::conv
