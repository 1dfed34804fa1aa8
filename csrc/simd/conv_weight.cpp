// The weight gradient of convolutions: dw[oc, ic, k] = sum over images and pixels of x[ic, pixel at tap k] * g[oc, pixel].
// A task owns some input planes of one group and a fixed run of images; gradients are transposed into pixel-major panels,
// sums stay in registers over the pixels of a window. Runs of images are added up in order: no dependence on threads.
#include "simd/conv_common.h"
#include "simd/conv_tile.h"

namespace al::conv {
namespace {

constexpr int64_t kBlockRows = 576;     // (plane, tap) sums a task owns
constexpr int64_t kWindowPixels = 256;  // panel of 256 x 16 gradients: 16 KiB of 32 KiB L1
constexpr int64_t kTasks = 64;          // independent of the thread count: the order of the sums must be

struct Layout {
  Axis d, h, w;
  int64_t planes, plane_taps, block, blocks, chunks, lanes;  // lanes: output channels, padded to whole vectors
  int64_t rows, cols;
  bool dots;  // too few output channels for a vector: sums run along pixels instead
  int64_t partial_items(const Geometry& g) const { return chunks * g.groups * planes * plane_taps * lanes; }
};

template <class T>
Layout layout(const Geometry& g) {
  constexpr int64_t width = Lanes<T>::width;
  Layout l{forward_axis(g, 0), forward_axis(g, 1), forward_axis(g, 2), g.in_channels * g.kernel[0],
           g.kernel[1] * g.kernel[2], 0, 0, 0, 0, 0, 0, g.out_channels <= 3};
  l.lanes = l.dots ? g.out_channels : (g.out_channels + width - 1) / width * width;
  l.block = std::clamp<int64_t>(kBlockRows / l.plane_taps, 1, l.planes);
  l.blocks = (l.planes + l.block - 1) / l.block;
  l.chunks = std::clamp<int64_t>(kTasks / (g.groups * l.blocks), 1, g.batch);
  l.cols = std::min(g.out[2], kWindowPixels);
  l.rows = std::min(g.out[1], std::max<int64_t>(1, kWindowPixels / l.cols));
  return l;
}

// g of one window as [strip][pixel][lane]; missing channels are zero.
template <class T>
void transpose_gradients(const Geometry& g, const Window& v, const T* grad, T* panel) {
  constexpr int64_t strip = kVecs * Lanes<T>::width, width = Lanes<T>::width;
  const int64_t rows = v.h.end - v.h.begin, cols = v.w.end - v.w.begin;
  for (int64_t c = 0; c < g.out_channels; c += strip) {
    const int64_t lanes = std::min(strip, (g.out_channels - c + width - 1) / width * width);
    for (int64_t l = 0; l < lanes; l++)
      for (int64_t i = 0; i < rows; i++) {
        T* to = panel + i * cols * lanes + l;
        const T* from = grad + (c + l) * g.out_size() + (v.h.begin + i) * g.out[2] + v.w.begin;
        const bool real = c + l < g.out_channels;
        for (int64_t j = 0; j < cols; j++) to[j * lanes] = real ? from[j] : T(0);
      }
    panel += rows * cols * lanes;
  }
}

template <class T>
void add_panels(const Layout& l, const Window& v, const T* const* x, int64_t sums, const T* panel, T* c) {
  static constexpr auto tiles = tap_tiles<T>(AllTiles{});
  constexpr int64_t width = Lanes<T>::width;
  const int64_t rows = v.h.end - v.h.begin, cols = v.w.end - v.w.begin;
  for (int64_t lane = 0; lane < l.lanes; lane += kVecs * width) {
    const int64_t vecs = std::min<int64_t>(kVecs, (l.lanes - lane) / width);
    for (int64_t r = 0; r < sums; r += kRows) {
      const int64_t some = std::min<int64_t>(kRows, sums - r);
      tiles[(some - 1) * kVecs + vecs - 1](rows, cols, v.w.pitch, x + r, panel, c + r * l.lanes + lane, l.lanes);
    }
    panel += rows * cols * vecs * width;
  }
}

template <class T>
T dot(const Window& v, const T* x, const T* grad, int64_t grad_pitch) {
  constexpr int64_t width = Lanes<T>::width;
  const int64_t rows = v.h.end - v.h.begin, cols = v.w.end - v.w.begin, whole = cols / width * width;
  Vec<T> sum{};
  T rest = 0;
  for (int64_t i = 0; i < rows; i++, x += v.w.pitch, grad += grad_pitch) {
    for (int64_t j = 0; j < whole; j += width) sum = fused(load(x + j), load(grad + j), sum);
    for (int64_t j = whole; j < cols; j++) rest += x[j] * grad[j];
  }
  for (int64_t j = 0; j < width; j++) rest += sum[j];
  return rest;
}

template <class T>
void add_dots(const Geometry& g, const Layout& l, const Window& v, const T* const* x, int64_t sums, const T* grad, T* c) {
  const T* at = grad + v.h.begin * g.out[2] + v.w.begin;
  for (int64_t r = 0; r < sums; r++)
    for (int64_t lane = 0; lane < l.lanes; lane++) c[r * l.lanes + lane] += dot(v, x[r], at + lane * g.out_size(), g.out[2]);
}

template <class T>
struct Workspace {
  Scratch<T> buffer, panel;
  Scratch<const T*> pointers;
  Workspace(const Layout& l, int64_t plane_size)
      : buffer(l.block * plane_size), panel(l.dots ? 0 : l.rows * l.cols * l.lanes), pointers(l.block * l.plane_taps) {}
};

// Adds what one depth slice of the gradients of one image gives to the sums of planes [first, last).
template <class T>
void add_slice(const Geometry& g, const Layout& l, int64_t slice, int64_t first, int64_t last, const T* x, const T* grad,
               Workspace<T>& space, T* sums) {
  const T* slice_grad = grad + slice * g.out[1] * g.out[2];
  for (int64_t h = 0; h < g.out[1]; h += l.rows)
    for (int64_t w = 0; w < g.out[2]; w += l.cols) {
      const Window v = window(l.h, l.w, h, std::min(h + l.rows, g.out[1]), w, std::min(w + l.cols, g.out[2]));
      int64_t n = 0;
      for (int64_t p = first; p < last; p++) {
        const Tap& tap = l.d.taps[p % g.kernel[0]];
        const int64_t at = (slice + tap.offset) * g.stride[0] + tap.phase;
        const T* plane = at < 0 || at >= g.in[0] ? nullptr : x + p / g.kernel[0] * g.in_size() + at * g.in[1] * g.in[2];
        T* buffer = space.buffer.data + (p - first) * v.plane_size;
        fill_plane(l.h, l.w, v, plane, g.in[2], buffer);
        for (int64_t offset : v.offsets) space.pointers[n++] = buffer + offset;
      }
      if (l.dots) {
        add_dots(g, l, v, space.pointers.data, n, slice_grad, sums);
      } else {
        transpose_gradients(g, v, slice_grad, space.panel.data);
        add_panels(l, v, space.pointers.data, n, space.panel.data, sums);
      }
    }
}

// dw[group][oc][row] = sum over chunks, in order, of partial[chunk][group][row][lane].
template <class T>
void sum_chunks(const Geometry& g, const Layout& l, const T* partial, T* dw) {
  const int64_t rows = l.planes * l.plane_taps, items = g.groups * rows * l.lanes;
  parallel_for(g.groups * g.out_channels, std::max<int64_t>(1, 4096 / rows), [&](int64_t begin, int64_t end) {
    for (int64_t channel = begin; channel < end; channel++) {
      const T* from = partial + channel / g.out_channels * rows * l.lanes + channel % g.out_channels;
      for (int64_t r = 0; r < rows; r++) {
        T sum = from[r * l.lanes];
        for (int64_t k = 1; k < l.chunks; k++) sum += from[k * items + r * l.lanes];
        dw[channel * rows + r] = sum;
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
  const int64_t tasks = l.chunks * g.groups * l.blocks, rows = l.planes * l.plane_taps;
  parallel_for(tasks, 1, [&](int64_t begin, int64_t end) {
    const int64_t size = std::max(window(l.h, l.w, 0, l.rows, 0, l.cols).plane_size,
                                  window(l.h, l.w, 1, 1 + l.rows, 1, 1 + l.cols).plane_size);
    Workspace<T> space(l, size);
    for (int64_t task = begin; task < end; task++) {
      const int64_t first = task % l.blocks * l.block, group = task / l.blocks % g.groups, chunk = task / l.blocks / g.groups;
      const int64_t last = std::min(first + l.block, l.planes);
      T* sums = partial.data + ((chunk * g.groups + group) * rows + first * l.plane_taps) * l.lanes;
      std::fill(sums, sums + (last - first) * l.plane_taps * l.lanes, T(0));
      for (int64_t n = chunk * g.batch / l.chunks; n < (chunk + 1) * g.batch / l.chunks; n++)
        for (int64_t slice = 0; slice < g.out[0]; slice++)
          add_slice(g, l, slice, first, last, x + (n * g.groups + group) * g.in_channels * g.in_size(),
                    grad + (n * g.groups + group) * g.out_channels * g.out_size(), space, sums);
    }
  });
  sum_chunks(g, l, partial.data, dw);
}

// conv_weight: w; x, y.
void conv_weight_kernel(const Call& call) {
  const View &w = *call.views[0], &x = *call.views[1], &y = *call.views[2];
  const Geometry g = geometry(call, x, w, y);
  in_compute_type(call, w.dtype, [&](auto* out, const auto* in, const auto* grad, const auto*) {
    weight_gradient(g, in, grad, out);
  });
}

AL_KERNEL("conv_weight", conv_weight_kernel);

}  // namespace
}  // namespace al::conv
