// gather and scatter along one dim, with all reductions; bincount. Their indices never wrap, as in PyTorch.
#include "strided.h"

namespace al {
namespace {

bool in_bounds(const Call& call, int64_t i, int64_t dim, int64_t size) {
  if (uint64_t(i) < uint64_t(size)) return true;
  fail(call, kIndexError, "index %lld is out of bounds for dimension %lld with size %lld", (long long)i,
       (long long)dim, (long long)size);
  return false;
}

// The same for a run of indices; the first loop has no way out, so that compilers vectorise it.
bool all_in_bounds(const Call& call, const int64_t* ids, int64_t step, int64_t n, int64_t dim, int64_t size) {
  int bad = 0;
  for (int64_t i = 0; i < n; i++) bad |= uint64_t(ids[i * step]) >= uint64_t(size);
  if (!bad) return true;
  for (int64_t i = 0; i < n; i++)
    if (!in_bounds(call, ids[i * step], dim, size)) break;
  return false;
}

// Offset in v of a row of `index`, where rows count all dims but two; the coordinate of a third adds nothing
// to the offset.
int64_t row_offset(const View& index, const View& v, int64_t row, int outside1, int outside2, int ignored) {
  int64_t offset = 0;
  for (int i = index.ndim - 1; i >= 0; i--) {
    if (i == outside1 || i == outside2) continue;
    if (i != ignored) offset += row % index.shape[i] * v.strides[i];
    row /= index.shape[i];
  }
  return offset;
}

// y, x, index: y has the shape of index. ints: dim. 0-d operands arrive as 1-d.
void gather(const Call& call) {
  const View &y = *call.views[0], &x = *call.views[1], &index = *call.views[2];
  const int dim = int(call.ints[0]), last = index.ndim - 1;
  const int64_t n = numel(y);
  if (n == 0) return;
  const int64_t columns = index.shape[last], size = x.shape[dim], step = x.strides[dim];
  const int64_t along = dim == last ? 0 : x.strides[last], ids_step = index.strides[last];
  with_bits(y.dtype, [&](auto tag) {
    using T = decltype(tag);
    parallel_for(n / columns, 8192 / columns + 1, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++) {
        const T* from = ptr<T>(x) + row_offset(index, x, row, last, last, dim);
        const int64_t* ids = ptr<int64_t>(index) + row_offset(index, index, row, last, last, -1);
        T* to = ptr<T>(y) + row * columns;
        if (!all_in_bounds(call, ids, ids_step, columns, dim, size)) return;
        if (step == 1 && along == 0 && ids_step == 1)
          for (int64_t c = 0; c < columns; c++) to[c] = from[ids[c]];
        else
          for (int64_t c = 0; c < columns; c++) to[c] = from[ids[c * ids_step] * step + c * along];
      }
    });
  });
}

struct Set {
  template <class T>
  static T of(T, T b) {
    return b;
  }
};
struct Sum {
  static bool of(bool a, bool b) { return a | b; }
  static float of(float a, float b) { return a + b; }
  static double of(double a, double b) { return a + b; }
  template <class T>
  static T of(T a, T b) {
    return T(uint64_t(a) + uint64_t(b));
  }  // wraps
};
struct Product {
  static bool of(bool a, bool b) { return a & b; }
  static float of(float a, float b) { return a * b; }
  static double of(double a, double b) { return a * b; }
  template <class T>
  static T of(T a, T b) {
    return T(uint64_t(a) * uint64_t(b));
  }
};
struct Largest {
  template <class T>
  static T of(T a, T b) {
    return b > a || b != b ? b : a;
  }
};  // NaN wins and stays
struct Smallest {
  template <class T>
  static T of(T a, T b) {
    return b < a || b != b ? b : a;
  }
};

constexpr int64_t kColumns = 256;  // columns of one task: what stays in the first cache with its indices

// One line along the last dim.
template <class Mode, class T>
void scatter_line(T* to, int64_t to_step, const T* from, int64_t from_step, const int64_t* ids,
                  int64_t ids_step, int64_t n) {
  for (int64_t k = 0; k < n; k++) {
    T& target = to[ids[k * ids_step] * to_step];
    target = Mode::of(target, from[k * from_step]);
  }
}

// y already holds x. One task meets all items of its lines in order, so the order of sums never changes.
template <class Mode, class T>
void scatter_lines(const Call& call, const View& y, const View& index, const View& source, int dim) {
  const int64_t items = index.shape[dim], size = y.shape[dim], ids_step = index.strides[dim];
  parallel_for(numel(index) / items, 8192 / items + 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const int64_t* ids = ptr<int64_t>(index) + row_offset(index, index, row, dim, dim, -1);
      if (!all_in_bounds(call, ids, ids_step, items, dim, size)) return;
      scatter_line<Mode>(ptr<T>(y) + row_offset(index, y, row, dim, dim, -1), y.strides[dim],
                         ptr<T>(source) + row_offset(index, source, row, dim, dim, -1), source.strides[dim],
                         ids, ids_step, items);
    }
  });
}

// The same where dim is not the last: lines are met side by side, a block of columns a task.
template <class Mode, class T>
void scatter_columns(const Call& call, const View& y, const View& index, const View& source, int dim) {
  const int last = index.ndim - 1;
  const int64_t columns = index.shape[last], blocks = (columns + kColumns - 1) / kColumns;
  const int64_t items = index.shape[dim], width = columns < kColumns ? columns : kColumns;
  const int64_t y_step = y.strides[last], s_step = source.strides[last], ids_step = index.strides[last];
  auto run = [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; task++) {
      const int64_t row = task / blocks, first = task % blocks * kColumns;
      const int64_t count = columns - first < kColumns ? columns - first : kColumns;
      T* to = ptr<T>(y) + row_offset(index, y, row, dim, last, -1) + first * y_step;
      const T* from = ptr<T>(source) + row_offset(index, source, row, dim, last, -1) + first * s_step;
      const int64_t* ids =
          ptr<int64_t>(index) + row_offset(index, index, row, dim, last, -1) + first * ids_step;
      for (int64_t k = 0; k < items; k++, ids += index.strides[dim], from += source.strides[dim]) {
        if (!all_in_bounds(call, ids, ids_step, count, dim, y.shape[dim])) return;
        for (int64_t c = 0; c < count; c++) {
          T& target = to[ids[c * ids_step] * y.strides[dim] + c * y_step];
          target = Mode::of(target, from[c * s_step]);
        }
      }
    }
  };
  parallel_for(numel(index) / (items * columns) * blocks, 8192 / (items * width) + 1, run);
}

template <class Mode, class T>
void scatter_into(const Call& call, const View& y, const View& index, const View& source, int dim) {
  if (dim == index.ndim - 1) scatter_lines<Mode, T>(call, y, index, source, dim);
  else scatter_columns<Mode, T>(call, y, index, source, dim);
}

// y, x, index, source (covers index; any strides). ints: dim, mode: 0 set, 1 sum, 2 product, 3 largest, 4
// smallest.
void scatter(const Call& call) {
  const View &y = *call.views[0], &x = *call.views[1], &index = *call.views[2], &source = *call.views[3];
  const int dim = int(call.ints[0]);
  copy_view(y, x);
  if (numel(index) == 0) return;
  auto number = [&](auto mode) {
    with_number(call, "scatter", y.dtype,
                [&](auto tag) { scatter_into<decltype(mode), decltype(tag)>(call, y, index, source, dim); });
  };
  switch (call.ints[1]) {
    case 0:
      return with_bits(y.dtype,
                       [&](auto tag) { scatter_into<Set, decltype(tag)>(call, y, index, source, dim); });
    case 1: return number(Sum{});
    case 2: return number(Product{});
    case 3: return number(Largest{});
    default: return number(Smallest{});
  }
}

// counts, x (int64), weights (or absent). The length of counts was found before; every x is in it.
void bincount(const Call& call) {
  const View &y = *call.views[0], &x = *call.views[1];
  const View* weights = call.nviews > 2 ? call.views[2] : nullptr;
  const int64_t n = numel(x), bins = numel(y);
  if (bins) std::memset(y.data, 0, size_t(bins * item_size(y.dtype)));
  auto count = [&](auto* out, auto weight) {
    for (int64_t i = 0; i < n; i++) {
      const int64_t v = ptr<int64_t>(x)[i];
      if (!in_bounds(call, v, 0, bins)) return;
      out[v] += weight(i);
    }
  };
  if (!weights) count(ptr<int64_t>(y), [](int64_t) { return int64_t{1}; });
  else if (weights->dtype == kFloat32)
    count(ptr<float>(y), [&](int64_t i) { return ptr<float>(*weights)[i]; });
  else count(ptr<double>(y), [&](int64_t i) { return ptr<double>(*weights)[i]; });
}

AL_KERNEL("gather", gather);
AL_KERNEL("scatter", scatter);
AL_KERNEL("bincount", bincount);

}  // namespace
}  // namespace al
