// Depthwise convolutions of planes, one channel in and out a group: a plane lies padded in the near caches, where every tap is a
// constant offset, and whole rows are made several vectors at a time with the weights in registers. Sums run over the taps in the
// order of the kernel, from the bias on.
#pragma once
#include <array>
#include <utility>

#include "simd/conv_plan.h"

namespace al::conv {

constexpr int64_t kDepthwiseItems = 1 << 16;  // of a padded plane: 256 KiB of floats of 512 KiB L2
constexpr int kTapsAtOnce = 9;                // 9 weights and 4 sums, or 9 sums, of 16 registers
constexpr int64_t kDepthwiseTasks = 32;       // wanted of the weight's gradient; fixed, as the order of its sums must be

// y[j] = bias + sum over t < n of weights[t] * x[offsets[t] + j], j < cols; a vector of x beyond can be read.
template <class T>
using RowOfTaps = void (*)(int n, const T* x, const int32_t* offsets, const T* weights, T bias, T* y, int64_t cols);

// N taps, or (0) as many as are asked for.
template <class T, int N>
void row_of_taps(int n, const T* x, const int32_t* offsets, const T* weights, T bias, T* y, int64_t cols) {
  constexpr int64_t width = Lanes<T>::width;
  const int taps = N ? N : n;
  Vec<T> held[N ? N : 1];
#pragma GCC unroll 16
  for (int t = 0; t < N; t++) held[t] = splat(weights[t]);
  const auto sums = [&]<int V>(std::integral_constant<int, V>, const T* from, T* to) {
    Vec<T> sum[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) sum[v] = splat(bias);
#pragma GCC unroll 16
    for (int t = 0; t < taps; t++) {
      const Vec<T> weight = N ? held[N ? t : 0] : splat(weights[t]);
      const T* at = from + offsets[t];
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) sum[v] = fused(weight, load(at + v * width), sum[v]);
    }
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) store(to + v * width, sum[v]);
  };
  constexpr std::integral_constant<int, 1> one;
  constexpr std::integral_constant<int, 4> four;
  int64_t j = 0;
  for (; j + 4 * width <= cols; j += 4 * width) sums(four, x + j, y + j);
  for (; j + width <= cols; j += width) sums(one, x + j, y + j);
  if (j == cols) return;
  if (cols >= width) return sums(one, x + cols - width, y + cols - width);
  T lanes[width];
  sums(one, x, lanes);
  for (; j < cols; j++) y[j] = lanes[j];
}

// sums[t] += sum over rows and columns of x[row * x_pitch + offsets[t] + col] * grad[row * cols + col]
template <class T>
using PlaneOfTaps = void (*)(const T* x, int64_t x_pitch, const int32_t* offsets, const T* grad, int64_t rows, int64_t cols, Vec<T>* sums);

template <class T, int N>
void plane_of_taps(const T* x, int64_t x_pitch, const int32_t* offsets, const T* grad, int64_t rows, int64_t cols, Vec<T>* sums) {
  constexpr int64_t width = Lanes<T>::width;
  Vec<T> sum[N] = {}, lanes;
  for (int64_t l = 0; l < width; l++) lanes[l] = T(l);
  const auto rest = cols >= width ? lanes >= splat(T(width - cols % width)) : lanes < splat(T(cols));
  for (int64_t row = 0; row < rows; row++, x += x_pitch, grad += cols) {
    int64_t j = 0;
    for (; j + width <= cols; j += width) {
      const Vec<T> g = load(grad + j);
#pragma GCC unroll 16
      for (int t = 0; t < N; t++) sum[t] = fused(load(x + offsets[t] + j), g, sum[t]);
    }
    if (j == cols) continue;
    // The last vector ends with the row, its first lanes are done; a short row has a vector of its own, whose last lanes are none. What
    // lies there may be infinite: it must not meet zeros.
    const int64_t at = cols >= width ? cols - width : 0;
    Vec<T> g{};
    if (cols >= width) g = rest ? load(grad + at) : Vec<T>{};
    else for (int64_t l = 0; l < cols; l++) g[l] = grad[l];
#pragma GCC unroll 16
    for (int t = 0; t < N; t++) {
      const Vec<T> some = load(x + offsets[t] + at);
      sum[t] = fused(rest ? some : Vec<T>{}, g, sum[t]);
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < N; t++) sums[t] += sum[t];
}

template <class T, int... N>
constexpr auto rows_of_taps(std::integer_sequence<int, N...>) {
  return std::array<RowOfTaps<T>, sizeof...(N)>{row_of_taps<T, N>...};
}
template <class T, int... N>
constexpr auto planes_of_taps(std::integer_sequence<int, N...>) {
  return std::array<PlaneOfTaps<T>, sizeof...(N)>{plane_of_taps<T, N + 1>...};
}

// The taps of one run of outputs.
struct TapList {
  std::vector<int32_t> offsets, index;
  int size() const { return int(offsets.size()); }
  template <class T>
  const T* pick(const T* weights, T* to) const {
    for (int t = 0; t < size(); t++) to[t] = weights[index[t]];
    return to;
  }
};

template <class T>
class Depthwise {
 public:
  explicit Depthwise(const Geometry& geometry) : g(geometry) {}

  // y of x and w (C, taps); bias may be null.
  void forward(const T* x, const T* w, const T* bias, T* y) const {
    const Axis ah = forward_axis(g, 1), aw = forward_axis(g, 2);
    const Window v = window(ah, aw, 0, g.out[1], 0, g.out[2]);
    const TapList taps = forward_taps(ah, aw, v);
    planes(g.out_size() + g.in_size(), [&](int64_t begin, int64_t end) {
      Scratch<T> buffer(v.plane_size + kSlack), weights(taps.size() + 1);
      std::fill(buffer.data, buffer.data + v.plane_size + kSlack, T(0));
      for (int64_t i = begin; i < end; i++) {
        const int64_t c = i % g.groups;
        fill_plane(ah, aw, v, x + i * g.in_size(), g.in[2], buffer.data);
        taps.pick(w + c * g.taps(), weights.data);
        const T first = bias ? bias[c] : T(0);
        T* to = y + i * g.out_size();
        for (int64_t row = 0; row < g.out[1]; row++, to += g.out[2])
          run_row(taps, buffer.data + row * v.w.pitch, weights.data, first, to, g.out[2]);
      }
    });
  }

  // x of y and w; bias, of x's channels, may be null.
  void input_gradient(const T* y, const T* w, const T* bias, T* x) const {
    const Transposed t(g);
    planes(g.out_size() + g.in_size(), [&](int64_t begin, int64_t end) {
      Scratch<T> buffer(t.items() + kSlack), weights(t.parts.size() * g.taps()), rows(g.stride[2] * t.row_pitch);
      std::fill(buffer.data, buffer.data + t.items() + kSlack, T(0));
      for (int64_t i = begin; i < end; i++) {
        const int64_t c = i % g.groups;
        for (int64_t row = 0; row < g.out[1]; row++)
          copy_run(y + i * g.out_size() + row * g.out[2], g.out[2], buffer.data + (t.lead_h + row) * t.pitch + t.lead_w);
        for (size_t q = 0; q < t.parts.size(); q++) t.parts[q].pick(w + c * g.taps(), weights.data + q * g.taps());
        for (int64_t row = 0; row < g.in[1]; row++)
          transposed_row(t, row, buffer.data, weights.data, bias ? bias[c] : T(0), rows.data, x + i * g.in_size() + row * g.in[2]);
      }
    });
  }

  // dw (C, taps) of x and the gradient of y. Runs of images are added up in order.
  void weight_gradient(const T* x, const T* y, T* dw) const {
    const Axis ah = forward_axis(g, 1), aw = forward_axis(g, 2);
    const Window v = window(ah, aw, 0, g.out[1], 0, g.out[2]);
    const TapList taps = forward_taps(ah, aw, v);
    const int64_t chunks = std::clamp<int64_t>(kDepthwiseTasks / g.groups, 1, g.batch), n = g.groups * g.taps();
    Scratch<T> partial(chunks * n);
    parallel_for(chunks * g.groups, std::max<int64_t>(1, chunks * kWork / (g.batch * g.out_size())), [&](int64_t begin, int64_t end) {
      Scratch<T> buffer(v.plane_size + kSlack);
      Scratch<Vec<T>> sums(taps.size());
      std::fill(buffer.data, buffer.data + v.plane_size + kSlack, T(0));
      for (int64_t task = begin; task < end; task++) {
        const int64_t c = task % g.groups, chunk = task / g.groups;
        std::fill(sums.data, sums.data + taps.size(), Vec<T>{});
        for (int64_t image = chunk * g.batch / chunks; image < (chunk + 1) * g.batch / chunks; image++) {
          const int64_t plane = image * g.groups + c;
          fill_plane(ah, aw, v, x + plane * g.in_size(), g.in[2], buffer.data);
          add_plane(taps, buffer.data, v.w.pitch, y + plane * g.out_size(), sums.data);
        }
        for (int t = 0; t < taps.size(); t++) partial[chunk * n + c * g.taps() + taps.index[t]] = sum_of(sums[t]);
      }
    });
    for (int64_t i = 0; i < n; i++) {
      dw[i] = partial[i];
      for (int64_t chunk = 1; chunk < chunks; chunk++) dw[i] += partial[chunk * n + i];
    }
  }

 private:
  static constexpr int64_t width = Lanes<T>::width, kSlack = 4 * width, kWork = 1 << 14;
  const Geometry g;

  template <class Body>
  void planes(int64_t items, Body&& body) const {
    parallel_for(g.batch * g.groups, std::max<int64_t>(1, kWork / items), body);
  }

  TapList forward_taps(const Axis& ah, const Axis& aw, const Window& v) const {
    TapList list;
    for (auto& th : ah.taps)
      for (auto& tw : aw.taps) list.index.push_back(int32_t(th.index * g.kernel[2] + tw.index));
    for (int64_t offset : v.offsets) list.offsets.push_back(int32_t(offset));
    return list;
  }

  // Inputs of one residue of rows and one of columns are a convolution of unit stride over the outputs; all read one padded plane.
  struct Transposed {
    int64_t lead_h = 0, lead_w = 0, rows, pitch, row_pitch;
    std::vector<Axis> h, w;
    std::vector<TapList> parts;  // [residue of rows][residue of columns]

    explicit Transposed(const Geometry& g) : rows(g.out[1]), pitch(g.out[2]) {
      for (int64_t a = 0; a < g.stride[1]; a++) h.push_back(transposed_axis(g, 1, a));
      for (int64_t b = 0; b < g.stride[2]; b++) w.push_back(transposed_axis(g, 2, b));
      for (auto& axis : h) lead_h = std::max(lead_h, -axis.low()), rows = std::max(rows, axis.grid + axis.high());
      for (auto& axis : w) lead_w = std::max(lead_w, -axis.low()), pitch = std::max(pitch, axis.grid + axis.high());
      rows += lead_h;
      pitch += lead_w;
      row_pitch = (w[0].grid + width - 1) / width * width;  // the first residue has the most
      for (auto& ah : h)
        for (auto& aw : w) parts.push_back(list(g, ah, aw));
    }
    int64_t items() const { return rows * pitch; }
    TapList list(const Geometry& g, const Axis& ah, const Axis& aw) const {
      TapList taps;
      for (auto& th : ah.taps)
        for (auto& tw : aw.taps) {
          taps.offsets.push_back(int32_t((th.offset + lead_h) * pitch + tw.offset + lead_w));
          taps.index.push_back(int32_t(th.index * g.kernel[2] + tw.index));
        }
      return taps;
    }
  };

  void run_row(const TapList& taps, const T* x, const T* weights, T bias, T* y, int64_t cols) const {
    static constexpr auto table = rows_of_taps<T>(std::make_integer_sequence<int, kTapsAtOnce + 1>{});
    table[taps.size() <= kTapsAtOnce ? taps.size() : 0](taps.size(), x, taps.offsets.data(), weights, bias, y, cols);
  }

  void transposed_row(const Transposed& t, int64_t row, const T* buffer, const T* weights, T bias, T* rows, T* to) const {
    const int64_t s = g.stride[2], part = row % g.stride[1] * s;
    const T* from = buffer + row / g.stride[1] * t.pitch;
    for (int64_t b = 0; b < s; b++)
      run_row(t.parts[part + b], from, weights + (part + b) * g.taps(), bias, s == 1 ? to : rows + b * t.row_pitch, t.w[b].grid);
    if (s == 2) return lace(rows, rows + t.row_pitch, g.in[2], to);
    for (int64_t b = 0; s > 1 && b < s; b++)
      for (int64_t j = 0; j < t.w[b].grid; j++) to[j * s + b] = rows[b * t.row_pitch + j];
  }
  // to[2j] = a[j], to[2j + 1] = b[j] for n items; the last vectors may overlap those before.
  static void lace(const T* a, const T* b, int64_t n, T* to) {
    using Index = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
    Vec<Index> low;
    for (int64_t l = 0; l < width; l++) low[l] = Index(l / 2 + l % 2 * width);
    const auto put = [&](int64_t j) {
      const Vec<T> x = load(a + j), y = load(b + j);
      store(to + 2 * j, __builtin_shuffle(x, y, low));
      store(to + 2 * j + width, __builtin_shuffle(x, y, low + Index(width / 2)));
    };
    const int64_t pairs = n / 2;
    int64_t j = 0;
    for (; j + width <= pairs; j += width) put(j);
    if (j < pairs && pairs >= width) put(pairs - width), j = pairs;
    for (; j < pairs; j++) to[2 * j] = a[j], to[2 * j + 1] = b[j];
    if (n % 2) to[n - 1] = a[pairs];
  }

  void add_plane(const TapList& taps, const T* x, int64_t pitch, const T* grad, Vec<T>* sums) const {
    static constexpr auto table = planes_of_taps<T>(std::make_integer_sequence<int, kTapsAtOnce>{});
    for (int t = 0; t < taps.size(); t += kTapsAtOnce) {
      const int n = std::min(kTapsAtOnce, taps.size() - t);
      table[n - 1](x, pitch, taps.offsets.data() + t, grad, g.out[1], g.out[2], sums + t);
    }
  }
  static T sum_of(Vec<T> v) {
    T sum = v[0];
    for (int64_t l = 1; l < width; l++) sum += v[l];
    return sum;
  }
};

// Whether this is a convolution for the above.
inline bool is_depthwise(const Geometry& g) {
  if (g.in_channels != 1 || g.out_channels != 1 || g.batch * g.groups * g.in_size() * g.out_size() == 0) return false;
  if (g.in[0] != 1 || g.out[0] != 1 || g.kernel[0] != 1 || g.pad[0] != 0 || g.taps() == 0) return false;
  const int64_t h = g.in[1] + 2 * g.pad[1] + g.kernel[1] * g.dilation[1], w = g.in[2] + 2 * g.pad[2] + g.kernel[2] * g.dilation[2];
  return h * w <= kDepthwiseItems;
}

}  // namespace al::conv
