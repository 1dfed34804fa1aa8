// Kernels whose answer is a place or a count: nonzero, searchsorted, histc, and runs of equal rows for
// unique.
#include <cmath>

#include "keys.h"

namespace al {
namespace {

constexpr int64_t kBlock = 16384;  // items counted together: fixed, so that places never depend on threads

// Truth of stored bits: floats are true but for the two zeros; NaN is true.
template <class T>
inline bool truth(T bits, bool is_float) {
  return is_float ? T(bits << 1) != 0 : bits != 0;
}

bool has_two_zeros(int32_t dtype) { return dtype >= kFloat16 && dtype <= kFloat8E5M2; }

void count_blocks(const View& x, int64_t* counts) {
  const int64_t n = numel(x);
  const bool is_float = has_two_zeros(x.dtype);
  with_bits(x.dtype, [&](auto tag) {
    using T = decltype(tag);
    parallel_for((n + kBlock - 1) / kBlock, 1, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; b++) {
        const T* p = ptr<T>(x) + b * kBlock;
        const int64_t size = n - b * kBlock < kBlock ? n - b * kBlock : kBlock;
        int64_t count = 0;
        for (int64_t i = 0; i < size; i++) count += truth(p[i], is_float);
        counts[b] = count;
      }
    });
  });
}

// count (0-d int64), x.
void nonzero_count(const Call& call) {
  const View& x = *call.views[1];
  const int64_t blocks = (numel(x) + kBlock - 1) / kBlock;
  Scratch<int64_t> counts(blocks);
  count_blocks(x, counts.data);
  int64_t total = 0;
  for (int64_t b = 0; b < blocks; b++) total += counts[b];
  *ptr<int64_t>(*call.views[0]) = total;
}

// Linear places of the true items of one block, relative to its start.
template <class T>
int64_t block_places(const View& x, int64_t block, int32_t* places) {
  const int64_t n = numel(x), rest = n - block * kBlock, size = rest < kBlock ? rest : kBlock;
  const bool is_float = has_two_zeros(x.dtype);
  const T* p = ptr<T>(x) + block * kBlock;
  int64_t count = 0;
  for (int64_t i = 0; i < size; i++) {
    places[count] = int32_t(i);  // without a branch: overwritten unless counted
    count += truth(p[i], is_float);
  }
  return count;
}

// Turns places of one block into coordinates, from column `at` of y on; the row is advanced, not divided out.
void write_places(const View& y, const View& x, int64_t block, const int32_t* places, int64_t count,
                  int64_t at) {
  const int last = x.ndim - 1;
  int64_t* out = ptr<int64_t>(y);
  const int64_t stride = y.strides[0], columns = x.shape[last];
  int64_t outer[kMaxDims], row = block * kBlock / columns, first = row * columns;
  for (int d = last - 1; d >= 0; d--) outer[d] = row % x.shape[d], row /= x.shape[d];
  for (int64_t k = 0; k < count; k++, at++) {
    const int64_t i = block * kBlock + places[k];
    while (i >= first + columns) {
      first += columns;
      for (int d = last - 1; d >= 0 && ++outer[d] == x.shape[d]; d--) outer[d] = 0;
    }
    for (int d = 0; d < last; d++) out[d * stride + at] = outer[d];
    out[last * stride + at] = i - first;
  }
}

// y (ndim, count), x: the coordinates of what nonzero_count counted. A writer in another thread can't make it
// overrun.
void nonzero(const Call& call) {
  const View &y = *call.views[0], &x = *call.views[1];
  const int64_t blocks = (numel(x) + kBlock - 1) / kBlock;
  Scratch<int64_t> starts(blocks + 1);
  count_blocks(x, starts.data);
  int64_t total = 0;
  for (int64_t b = 0; b <= blocks; b++) {
    const int64_t count = b < blocks ? starts[b] : 0;
    starts[b] = total, total += count;
  }
  if (total != y.shape[1])
    return fail(call, kRuntimeError,
                "nonzero: the tensor was written to while it was read; clone() it first");
  with_bits(x.dtype, [&](auto tag) {
    parallel_for(x.ndim ? blocks : 0, 1, [&](int64_t begin, int64_t end) {
      Scratch<int32_t> places(kBlock + 1);
      for (int64_t b = begin; b < end; b++) {
        const int64_t count = block_places<decltype(tag)>(x, b, places.data),
                      room = starts[b + 1] - starts[b];
        write_places(y, x, b, places.data, count < room ? count : room, starts[b]);
      }
    });
  });
}

// The first place in sorted line[0..n) that is not before `key` (right: that is after it).
template <class Order, class T>
int64_t place(const T* line, const int64_t* order, int64_t n, Key<T> key, bool right) {
  int64_t low = 0, high = n;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    const Key<T> here = Order::key(line[order ? order[middle] : middle]);
    if (right ? !(here > key) : here < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

// places, boundaries (..., n), values (..., m), sorter (or absent). ints: right. One line of boundaries
// serves all when 1-d.
void searchsorted(const Call& call) {
  const View &y = *call.views[0], &line = *call.views[1], &values = *call.views[2];
  const View* sorter = call.nviews > 3 ? call.views[3] : nullptr;
  const int64_t n = line.shape[line.ndim - 1], total = numel(y);
  const int64_t each = line.ndim == 1 || total == 0 ? total : values.shape[values.ndim - 1];
  if (total == 0) return;
  with_order(call, "searchsorted", line.dtype, [&](auto tag, auto order) {
    using T = decltype(tag);
    using Order = decltype(order);
    parallel_for(total, 1024, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        const int64_t offset = i / each * n;
        const int64_t* ids = sorter ? ptr<int64_t>(*sorter) + offset : nullptr;
        ptr<int64_t>(y)[i] =
            place<Order, T>(ptr<T>(line) + offset, ids, n, Order::key(ptr<T>(values)[i]), call.ints[0]);
      }
    });
  });
}

// counts, x (float32 or float64). floats: low, high. Values outside and NaN are not counted; high itself is.
void histc(const Call& call) {
  const View &y = *call.views[0], &x = *call.views[1];
  const double low = call.floats[0], high = call.floats[1];
  const int64_t bins = numel(y), n = numel(x);
  with_number(call, "histc", x.dtype, [&](auto tag) {
    using T = decltype(tag);
    T* counts = ptr<T>(y);
    for (int64_t b = 0; b < bins; b++) counts[b] = T(0);
    for (int64_t i = 0; i < n; i++) {
      const double v = double(ptr<T>(x)[i]);
      if (!(v >= low && v <= high)) continue;
      const int64_t b = int64_t((v - low) / (high - low) * double(bins));
      counts[b < bins ? b : bins - 1] += T(1);
    }
  });
}

// ids (int64, one a row), x (rows, columns), order (rows): numbers the runs of equal rows met in that order,
// from 0. NaN differs from itself here, as in PyTorch's unique.
void number_runs(const Call& call) {
  const View &y = *call.views[0], &x = *call.views[1], &order = *call.views[2];
  const int64_t rows = numel(y), columns = rows ? numel(x) / rows : 0;
  int64_t* ids = ptr<int64_t>(y);
  const int64_t* at = ptr<int64_t>(order);
  with_order(call, "unique", x.dtype, [&](auto tag, auto rule) {
    using T = decltype(tag);
    using Order = decltype(rule);
    auto same = [&](const T* a, const T* b) {
      for (int64_t c = 0; c < columns; c++) {
        const bool nan =
            x.dtype >= kFloat16 && Order::key(a[c]) == Order::key(T(sizeof(T) == 2 ? 0x7fff : ~T(0)));
        if (Order::key(a[c]) != Order::key(b[c]) || nan) return false;
      }
      return true;
    };
    for (int64_t i = 0; i < rows; i++)
      ids[i] = i == 0 ? 0 : ids[i - 1] + !same(ptr<T>(x) + at[i - 1] * columns, ptr<T>(x) + at[i] * columns);
  });
}

AL_KERNEL("nonzero_count", nonzero_count);
AL_KERNEL("nonzero", nonzero);
AL_KERNEL("searchsorted", searchsorted);
AL_KERNEL("histc", histc);
AL_KERNEL("number_runs", number_runs);

}  // namespace
}  // namespace al
