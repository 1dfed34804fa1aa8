// The integer side of convolutions: which input element a kernel tap reads, and how a rectangle of outputs is laid out
// so that every tap is one constant offset. Knows no dtype and no vector.
//
// Every convolution here is a "tap convolution": out[j] = sum over taps of in_phase[j + offset] * w[tap], per dimension.
//  - Strided: input index o*s + k*d - p = s*(o + floor((kd-p)/s)) + mod(kd-p, s), so a tap reads a phase of the input.
//  - Transposed: outputs i = r + s*j of one residue r are a unit-stride convolution over the taps with (r+p-kd) % s == 0.
#pragma once
#include <algorithm>
#include <vector>

#include "kernel.h"
#include "simd/lanes.h"

namespace al::conv {

struct Geometry {  // always three spatial dimensions; missing ones lead and are 1
  int64_t batch, groups, in_channels, out_channels;  // channels of one group
  int64_t in[3], out[3], kernel[3], stride[3], pad[3], dilation[3];
  int64_t in_size() const { return in[0] * in[1] * in[2]; }
  int64_t out_size() const { return out[0] * out[1] * out[2]; }
  int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
};

// A 1x1 convolution of unit stride and no padding sees its pixels as one long row.
inline Geometry flattened(Geometry g) {
  for (int d = 0; d < 3; d++)
    if (g.kernel[d] != 1 || g.stride[d] != 1 || g.pad[d] != 0 || g.in[d] != g.out[d]) return g;
  const int64_t pixels = g.in_size();
  for (int d = 0; d < 3; d++) g.in[d] = g.out[d] = d == 2 ? pixels : 1;
  return g;
}

// ints: (stride), (padding), (dilation), groups; the shapes of x (N, C, ...), w (O, C / groups, ...) and y (N, O, ...).
inline Geometry geometry(const Call& call, const View& x, const View& w, const View& y) {
  Geometry g{};
  const int nd = x.ndim - 2, lead = 3 - nd;
  const int64_t* ints = call.ints.from(0, 3 * (nd + 1) + 1);
  g.groups = ints[3 * (nd + 1)];
  g.batch = x.shape[0];
  g.in_channels = x.shape[1] / g.groups;
  g.out_channels = y.shape[1] / g.groups;
  for (int d = 0; d < 3; d++) {
    const int k = d - lead;
    const bool real = k >= 0;
    g.in[d] = real ? x.shape[k + 2] : 1;
    g.out[d] = real ? y.shape[k + 2] : 1;
    g.kernel[d] = real ? w.shape[k + 2] : 1;
    g.stride[d] = real ? ints[1 + k] : 1;
    g.pad[d] = real ? ints[nd + 2 + k] : 0;
    g.dilation[d] = real ? ints[2 * (nd + 1) + 1 + k] : 1;
  }
  return flattened(g);
}

inline int64_t floor_div(int64_t a, int64_t b) { return (a >= 0 ? a : a - b + 1) / b; }

struct Tap {
  int64_t phase, offset, index;  // index: which element of the kernel
};

// One dimension of a tap convolution.
struct Axis {
  int64_t source_len, source_step;  // input extent, and the distance of neighbours of one phase
  int64_t grid;                     // outputs of this dimension
  std::vector<Tap> taps;
  std::vector<int64_t> phases;  // distinct phases among the taps
  int64_t low() const {
    int64_t v = taps.empty() ? 0 : taps[0].offset;
    for (auto& t : taps) v = std::min(v, t.offset);
    return v;
  }
  int64_t high() const {
    int64_t v = taps.empty() ? 0 : taps[0].offset;
    for (auto& t : taps) v = std::max(v, t.offset);
    return v;
  }
  int64_t phase_len(int64_t r) const { return r < source_len ? (source_len - r + source_step - 1) / source_step : 0; }
  int64_t phase_slot(int64_t r) const { return std::find(phases.begin(), phases.end(), r) - phases.begin(); }
};

inline void add_tap(Axis& axis, Tap tap) {
  axis.taps.push_back(tap);
  if (axis.phase_slot(tap.phase) == int64_t(axis.phases.size())) axis.phases.push_back(tap.phase);
}

inline Axis forward_axis(const Geometry& g, int d) {
  Axis axis{g.in[d], g.stride[d], g.out[d], {}, {}};
  for (int64_t k = 0; k < g.kernel[d]; k++) {
    const int64_t at = k * g.dilation[d] - g.pad[d], offset = floor_div(at, g.stride[d]);
    add_tap(axis, {at - offset * g.stride[d], offset, k});
  }
  return axis;
}

// Inputs r, r + s, r + 2s, ... of the forward convolution, as outputs of a convolution over its outputs.
inline Axis transposed_axis(const Geometry& g, int d, int64_t r) {
  const int64_t s = g.stride[d];
  Axis axis{g.out[d], 1, r < g.in[d] ? (g.in[d] - r + s - 1) / s : 0, {}, {}};
  for (int64_t k = 0; k < g.kernel[d]; k++) {
    const int64_t at = r + g.pad[d] - k * g.dilation[d];
    if (at - floor_div(at, s) * s == 0) add_tap(axis, {0, floor_div(at, s), k});
  }
  return axis;
}

// Placement of one dimension of a rectangle of outputs [begin, end) in a padded buffer: position b of phase r holds
// input (b - lead + begin) * step + r, or zero outside.
struct Placement {
  int64_t begin, end, lead, pitch;
};

inline Placement place(const Axis& axis, int64_t begin, int64_t end) {
  const int64_t low = axis.low(), high = axis.high(), grid = end - begin;
  Placement tight{begin, end, -low, grid + high - low};
  if (begin != 0 || end != axis.grid) return tight;
  // The zeros after one row serve as the zeros before the next.
  int64_t length = 0;
  for (int64_t r : axis.phases) length = std::max(length, axis.phase_len(r));
  const int64_t lead = std::max({int64_t{0}, -low, grid + high - length, grid - length});
  return length + lead < tight.pitch ? Placement{begin, end, lead, length + lead} : tight;
}

// A rectangle of outputs in one plane, the buffer of its inputs, and the offset of each (tap_h, tap_w) in it.
struct Window {
  Placement h, w;
  int64_t phase_size, plane_size;
  std::vector<int64_t> offsets;
  int64_t flat_size() const { return (h.end - h.begin - 1) * w.pitch + (w.end - w.begin); }
};

inline Window window(const Axis& ah, const Axis& aw, int64_t h0, int64_t h1, int64_t w0, int64_t w1) {
  Window v{place(ah, h0, h1), place(aw, w0, w1), 0, 0, {}};
  const int64_t rows = h1 - h0 + ah.high() - ah.low();
  v.h = {h0, h1, -ah.low(), rows};
  v.phase_size = rows * v.w.pitch + std::max<int64_t>(v.w.lead, 0);
  // Whole cache lines, and not a multiple of 1 KiB of floats, where the planes would share few sets of the L1.
  v.plane_size = (v.phase_size * int64_t(ah.phases.size() * aw.phases.size()) + 15) / 16 * 16;
  if (v.plane_size % 256 == 0) v.plane_size += 16;
  for (auto& th : ah.taps)
    for (auto& tw : aw.taps) {
      const int64_t slot = ah.phase_slot(th.phase) * int64_t(aw.phases.size()) + aw.phase_slot(tw.phase);
      v.offsets.push_back(slot * v.phase_size + (th.offset + v.h.lead) * v.w.pitch + tw.offset + v.w.lead);
    }
  return v;
}

// Short runs are inlined: a call of memmove costs as much as copying a row of 28.
template <class T>
inline void copy_run(const T* from, int64_t n, T* to) {
  constexpr int64_t width = Lanes<T>::width;
  int64_t i = 0;
  for (; i + width <= n; i += width) store(to + i, load(from + i));
  for (; i < n; i++) to[i] = from[i];
}

// The last vector begins where it ends with the run: what follows the run is not read.
template <class T>
inline void copy_every_second(const T* from, int64_t n, T* to) {
  constexpr int64_t width = Lanes<T>::width;
  using Index = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  Vec<Index> even, last;
  for (int64_t l = 0; l < width; l++) even[l] = Index(2 * l), last[l] = Index(2 * l + (l >= width / 2));
  int64_t i = 0;
  for (; i + width < n; i += width) store(to + i, __builtin_shuffle(load(from + 2 * i), load(from + 2 * i + width), even));
  if (n >= width) {
    const T* end = from + 2 * (n - width);
    return store(to + n - width, __builtin_shuffle(load(end), load(end + width - 1), last));
  }
  for (; i < n; i++) to[i] = from[2 * i];
}

template <class T>
inline void zero_run(int64_t n, T* to) {
  for (int64_t i = 0; i < n; i++) to[i] = T(0);
}

// Copies one input plane (null: zeros) into the buffer of a window.
template <class T>
void fill_plane(const Axis& ah, const Axis& aw, const Window& v, const T* plane, int64_t row_stride, T* out) {
  const int64_t shift = v.w.lead - v.w.begin, tail = std::max<int64_t>(v.w.lead, 0), pitch = v.w.pitch;
  for (int64_t ph : ah.phases)
    for (int64_t pw : aw.phases) {
      const int64_t first = std::clamp<int64_t>(shift, 0, pitch);
      const int64_t last = std::clamp<int64_t>(aw.phase_len(pw) + shift, first, pitch);
      for (int64_t b = 0; b < v.h.pitch; b++, out += pitch) {
        const int64_t row = b - v.h.lead + v.h.begin;
        if (!plane || row < 0 || row >= ah.phase_len(ph)) {
          zero_run(pitch, out);
          continue;
        }
        const T* source = plane + (row * ah.source_step + ph) * row_stride + pw - shift * aw.source_step;
        zero_run(first, out);
        if (aw.source_step == 1) copy_run(source + first, last - first, out + first);
        else if (aw.source_step == 2) copy_every_second(source + 2 * first, last - first, out + first);
        else
          for (int64_t c = first; c < last; c++) out[c] = source[c * aw.source_step];
        zero_run(pitch - last, out + last);
      }
      zero_run(tail, out);
      out += tail;
    }
}

}  // namespace al::conv
