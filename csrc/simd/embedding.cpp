// Rows of a table by index, and the gradient of the table: positions are bucketed by row, so that each row is
// written once, summed in the order of the positions.
#include <cstring>

#include "rows.h"

namespace al {
namespace {

constexpr int64_t kAhead = 2;          // rows: what no prefetcher can foresee is asked for
constexpr int64_t kAskBytes = 1 << 10;  // of them; the rest follows in order

// Output: rows. Inputs: table (V, D), indices.
void embedding(const Call& c) {
  const View &y = *c.views[0], &table = *c.views[1], &ids = *c.views[2];
  int64_t count = numel(ids), size = table.shape[0], row = table.shape[1] * kItemSize[table.dtype];
  const int64_t* id = ptr<int64_t>(ids);
  parallel_for(count, row_grain(table.shape[1]), [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; i++) {
      if (id[i] < 0 || id[i] >= size) {
        return fail(c, kIndexError, "index out of range in self: index %lld, the table has %lld rows",
                    (long long)id[i], (long long)size);
      }
      if (i + kAhead < e) stream::ask(table.data + id[i + kAhead] * row, std::min(row, kAskBytes));
      std::memcpy(y.data + i * row, table.data + id[i] * row, row);
    }
  });
}

// The positions of each row's indices, in order: positions[first[v] .. first[v + 1]).
struct Buckets {
  Scratch<int64_t> first, positions;
  Buckets(const int64_t* id, int64_t count, int64_t rows) : first(rows + 2), positions(count) {
    std::memset(first.data, 0, first.bytes);
    for (int64_t i = 0; i < count; i++) first[id[i] + 2]++;
    for (int64_t v = 2; v <= rows + 1; v++) first[v] += first[v - 1];
    for (int64_t i = 0; i < count; i++) positions[first[id[i] + 1]++] = i;
  }
};

constexpr int64_t kStripe = 512;  // columns of a task: 2 KiB of float sums

// Output: gradient of the table. Inputs: gradient of the rows, indices. ints: padding row or -1, divide by
// frequency, add to what the output holds.
void embedding_backward(const Call& c) {
  const View &d = *c.views[0], &g = *c.views[1], &ids = *c.views[2];
  int64_t rows = d.shape[0], n = d.shape[1], count = numel(ids), padding = c.ints[1];
  bool by_frequency = c.ints[2], adds = c.ints[3];
  if (numel(d) == 0) return;
  Buckets buckets(ptr<int64_t>(ids), count, rows);
  int64_t stripes = (n + kStripe - 1) / kStripe;
  dispatch_floats(d.dtype, [&]<class T>(Type<T>) {
    using A = compute_t<T>;
    const bool streams = !adds && stream::pays(numel(d) * sizeof(T));
    parallel_for(rows * stripes, row_grain(std::min(n, kStripe)), [&](int64_t b, int64_t e) {
      alignas(64) A sum[kStripe], item[kStripe];
      char *zeros = nullptr, *end_of_zeros = nullptr;  // where nothing is added: cleared in one go, while the next gradient comes
      const auto clear = [&] {
        if (streams) stream::clear(zeros, end_of_zeros - zeros);
        else std::memset(zeros, 0, size_t(end_of_zeros - zeros));
        zeros = end_of_zeros = nullptr;
      };
      for (int64_t t = b; t < e; t++) {
        int64_t v = t / stripes, column = t % stripes * kStripe, w = std::min(kStripe, n - column);
        int64_t begin = buckets.first[v], end = v == padding ? begin : buckets.first[v + 1];
        T* to = ptr<T>(d) + v * n + column;
        if (begin == end) {
          if (adds) continue;
          if (!zeros) zeros = (char*)to;
          end_of_zeros = (char*)(to + w);
          continue;
        }
        stream::ask(ptr<T>(g) + buckets.positions[begin] * n + column, w * int64_t(sizeof(T)));
        if (zeros) clear();
        for (int64_t j = 0; j < w; j++) sum[j] = 0;
        for (int64_t k = begin; k < end; k++) {
          const A* x = stage_row(ptr<T>(g) + buckets.positions[k] * n + column, item, w);
#pragma GCC ivdep
          for (int64_t j = 0; j < w; j++) sum[j] += x[j];
        }
        A scale = by_frequency ? A(1) / A(end - begin) : A(1);
        for (int64_t j = 0; j < w; j++) sum[j] *= scale;
        if (adds) {
          const A* held = stage_row(to, item, w);
          for (int64_t j = 0; j < w; j++) sum[j] = held[j] + sum[j];
        }
        store_block(sum, to, w, streams);
      }
      if (zeros) clear();
      stream::fence();
    });
  });
}

AL_KERNEL("embedding", embedding);
AL_KERNEL("embedding_backward", embedding_backward);

}  // namespace
}  // namespace al
