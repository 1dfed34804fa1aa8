// Max pooling in two passes a row of outputs: down the columns of the window (contiguous), then along the row.
// Ties go to the first position in row-major order and a NaN beats every number, so gradients go where torch sends them.
#include <limits>

#include "simd/lanes.h"
#include "simd/pool.h"

namespace al::pool {
namespace {

template <class C>
struct Best {
  C* value;
  int32_t* at;  // position in the input plane
};

template <class T, class C>
void descend(const T* row, int32_t position, int64_t n, bool first, Best<C> best) {
  C* __restrict value = best.value;
  int32_t* __restrict at = best.at;
  if (first) {
    for (int64_t i = 0; i < n; i++) {
      value[i] = to_float(row[i]);
      at[i] = position + int32_t(i);
    }
    return;
  }
  for (int64_t i = 0; i < n; i++) {
    const C v = to_float(row[i]);
    const bool take = (v > value[i]) | (v != v);
    value[i] = take ? v : value[i];
    at[i] = take ? position + int32_t(i) : at[i];
  }
}

// Joins column w of the columns' bests into an output's best.
template <class C>
inline void join(C v, int32_t p, C& value, int32_t& at) {
  const bool nan = v != v, held_nan = value != value;
  const bool take = (v > value) | ((v == value) & (p < at)) | (nan & (!held_nan | (p > at)));
  value = take ? v : value;
  at = take ? p : at;
}

// Outputs [begin, end) of a row that all have `taps` columns and follow each other by `stride`, from column `first` on.
struct Run {
  int64_t begin, end, first, stride, taps;
  bool whole;  // vectors of outputs, with a vector of columns to read behind the last
};

// A row of columns with room beside it, and the outputs of a row, in whole vectors.
struct Row {
  int64_t before, columns, outputs;
  std::vector<Run> runs;
};

// Equal windows close to each other see columns that never win beyond the edges: one run of whole vectors.
Row row_of(const Windows& w) {
  const auto& spans = w.spans[2];
  const int64_t before = w.first < 0 ? -w.first : 0, outputs = (w.out[2] + kVectorBytes / 4 - 1) / (kVectorBytes / 4) * (kVectorBytes / 4);
  if (w.kernel > 0 && w.stride <= 2 && 2 * w.out[2] >= kVectorBytes / 4) {
    const int64_t stride = w.stride, reach = before + w.first + (outputs - 1) * stride + (w.kernel - 1) * w.step[2] + kVectorBytes / 4;
    return {before, std::max(reach, before + w.in[2]), outputs, {{0, outputs, before + w.first, stride, w.kernel, true}}};
  }
  const auto taps = [&](int64_t o) { return (spans[o].end - spans[o].begin + w.step[2] - 1) / w.step[2]; };
  std::vector<Run> runs;
  for (int64_t o = 0, end; o < w.out[2]; o = end) {
    const int64_t stride = o + 1 < w.out[2] ? spans[o + 1].begin - spans[o].begin : 1;
    end = o + 1;
    while (end < w.out[2] && taps(end) == taps(o) && spans[end].begin - spans[end - 1].begin == stride) end++;
    runs.push_back({o, end, spans[o].begin, stride, taps(o), false});
  }
  return {0, w.in[2], w.out[2], runs};
}

// The same for whole vectors of outputs that are two columns apart: even lanes of two vectors, which compilers leave to single lanes.
inline void sweep_second(Best<float> columns, const Run& run, int64_t step, Best<float> out) {
  constexpr int64_t width = Lanes<float>::width;
  Vec<int32_t> even;
  for (int64_t l = 0; l < width; l++) even[l] = int32_t(2 * l);
  for (int64_t o = run.begin; o < run.end; o += width) {
    Vec<float> value{};
    Vec<int32_t> at{};
    for (int64_t k = 0; k < run.taps; k++) {
      const int64_t from = run.first + k * step + 2 * (o - run.begin);
      const Vec<float> v = __builtin_shuffle(load(columns.value + from), load(columns.value + from + width), even);
      const Vec<int32_t> p = __builtin_shuffle(load(columns.at + from), load(columns.at + from + width), even);
      const Vec<int32_t> nan = v != v, held_nan = value != value;
      const Vec<int32_t> take = (v > value) | ((v == value) & (p < at)) | (nan & (~held_nan | (p > at))) | splat(k == 0 ? -1 : 0);
      value = take ? v : value;
      at = take ? p : at;
    }
    store(out.value + o, value);
    store(out.at + o, at);
  }
}

template <class C>
void sweep(Best<C> columns, const Run& run, int64_t step, Best<C> out) {
  if constexpr (std::is_same_v<C, float>)
    if (run.whole && run.stride == 2) return sweep_second(columns, run, step, out);
  C* __restrict value = out.value + run.begin;
  int32_t* __restrict at = out.at + run.begin;
  const int64_t count = run.end - run.begin;
  for (int64_t k = 0; k < run.taps; k++) {
    const C* v = columns.value + run.first + k * step;
    const int32_t* p = columns.at + run.first + k * step;
    const auto pass = [&](auto s) {
      if (k == 0)
        for (int64_t o = 0; o < count; o++) value[o] = v[o * s], at[o] = p[o * s];
      else
        for (int64_t o = 0; o < count; o++) join(v[o * s], p[o * s], value[o], at[o]);
    };
    if (run.stride == 1) pass(std::integral_constant<int64_t, 1>{});
    else if (run.stride == 2) pass(std::integral_constant<int64_t, 2>{});
    else pass(run.stride);
  }
}

template <class T>
void max_plane(const Windows& w, const Row& line, const T* x, T* y, int64_t* index, Best<compute_t<T>> columns, Best<compute_t<T>> row) {
  for (const Span& d : w.spans[0])
    for (const Span& h : w.spans[1]) {
      bool first = true;
      for (int64_t i = d.begin; i < d.end; i += w.step[0])
        for (int64_t j = h.begin; j < h.end; j += w.step[1], first = false) {
          const int64_t position = (i * w.in[1] + j) * w.in[2];
          descend(x + position, int32_t(position), w.in[2], first, Best<compute_t<T>>{columns.value + line.before, columns.at + line.before});
        }
      for (const Run& run : line.runs) sweep(columns, run, w.step[2], row);
      for (int64_t o = 0; o < w.out[2]; o++) *y++ = from_float<T>(row.value[o]);
      for (int64_t o = 0; o < w.out[2]; o++) *index++ = row.at[o];
    }
}

void max_pool(const Call& call, const Windows& w, int nd) {
  const View &y = *call.views[0], &index = *call.views[1], &x = *call.views[2];
  if (w.in_size() > std::numeric_limits<int32_t>::max())
    return fail(call, kValueError, "max_pool: a plane has %lld elements: more than 2^31 - 1; split the input", (long long)w.in_size());
  const Row line = row_of(w);
  for_float_type(call, x.dtype, "max_pool", [&](auto kind) {
    using T = decltype(kind);
    using C = compute_t<T>;
    parallel_for(outer_size(x, nd), grain_of(w.in_size()), [&](int64_t begin, int64_t end) {
      Scratch<C> values(line.columns + line.outputs);
      Scratch<int32_t> places(line.columns + line.outputs);
      std::fill(values.data, values.data + line.columns, -std::numeric_limits<C>::infinity());
      std::fill(places.data, places.data + line.columns, std::numeric_limits<int32_t>::max());
      const Best<C> columns{values.data, places.data}, row{values.data + line.columns, places.data + line.columns};
      for (int64_t i = begin; i < end; i++)
        max_plane(w, line, ptr<T>(x) + i * w.in_size(), ptr<T>(y) + i * w.out_size(), ptr<int64_t>(index) + i * w.out_size(), columns,
                  row);
    });
  });
}

// max_pool: y, index; x.
void max_pool_kernel(const Call& call) {
  max_pool(call, fixed_windows(call, *call.views[2], *call.views[0], true), int(call.ints[0]));
}

void adaptive_max_pool_kernel(const Call& call) {
  max_pool(call, adaptive_windows(call, *call.views[2], *call.views[0]), int(call.ints[0]));
}

struct Planes {
  int64_t count, in, out;
};

Planes planes(const View& in, const View& out, int nd) {
  Planes p{outer_size(in, nd), 1, 1};
  for (int d = 0; d < nd; d++) {
    p.in *= in.shape[in.ndim - 1 - d];
    p.out *= out.shape[out.ndim - 1 - d];
  }
  return p;
}

// plane_scatter: x; g, index. Adds each g to its position of its plane. ints: (size of x)
void plane_scatter(const Call& call) {
  const View &x = *call.views[0], &g = *call.views[1], &index = *call.views[2];
  const Planes p = planes(x, g, int(call.ints[0]));
  for_float_type(call, x.dtype, "plane_scatter", [&](auto kind) {
    using T = decltype(kind);
    parallel_for(p.count, grain_of(p.in), [&](int64_t begin, int64_t end) {
      Scratch<compute_t<T>> sums(p.in);
      for (int64_t i = begin; i < end; i++) {
        std::fill(sums.data, sums.data + p.in, 0);
        const int64_t* at = ptr<int64_t>(index) + i * p.out;
        for (int64_t o = 0; o < p.out; o++) sums[at[o]] += to_float(ptr<T>(g)[i * p.out + o]);
        for (int64_t j = 0; j < p.in; j++) ptr<T>(x)[i * p.in + j] = from_float<T>(sums[j]);
      }
    });
  });
}

// plane_gather: y; x, index. ints: number of spatial dimensions
void plane_gather(const Call& call) {
  const View &y = *call.views[0], &x = *call.views[1], &index = *call.views[2];
  const Planes p = planes(x, y, int(call.ints[0]));
  for_float_type(call, x.dtype, "plane_gather", [&](auto kind) {
    using T = decltype(kind);
    parallel_for(p.count, grain_of(p.out), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin * p.out; i < end * p.out; i++)
        ptr<T>(y)[i] = ptr<T>(x)[i / p.out * p.in + ptr<int64_t>(index)[i]];
    });
  });
}

AL_KERNEL("max_pool", max_pool_kernel);
AL_KERNEL("adaptive_max_pool", adaptive_max_pool_kernel);
AL_KERNEL("plane_scatter", plane_scatter);
AL_KERNEL("plane_gather", plane_gather);

}  // namespace
}  // namespace al::pool
