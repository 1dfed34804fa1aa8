// sort, topk and kthvalue along one dim: always stable, NaN last, the lowest index first among equals.
// Positions are 32 bits: a line holds at most 2^32 items.
#include <algorithm>
#include <array>
#include <utility>

#include "keys.h"

namespace al {
namespace {

// The lines of a view along dim: begin of each line in elements, and the stride in it.
struct Lines {
  const View& v;
  int dim;
  int64_t length, step, count;
  Lines(const View& v, int64_t d)
      : v(v), dim(int(d)), length(v.shape[d]), step(v.strides[d]), count(length ? numel(v) / length : 0) {}
  int64_t begin(int64_t line) const {
    int64_t offset = 0;
    for (int i = v.ndim - 1; i >= 0; i--) {
      if (i == dim) continue;
      offset += line % v.shape[i] * v.strides[i];
      line /= v.shape[i];
    }
    return offset;
  }
};

// Least digit first, kBits at a time; a digit that all keys share costs only its count.
template <int kBits, class K>
Item<K>* radix_sort(Item<K>* items, Item<K>* other, int64_t n) {
  constexpr int kBuckets = 1 << kBits, kPasses = (sizeof(K) * 8 + kBits - 1) / kBits;
  Scratch<uint32_t> counts(int64_t{kPasses} * kBuckets);
  std::memset(counts.data, 0, counts.bytes);
  for (int64_t i = 0; i < n; i++)
    for (int p = 0; p < kPasses; p++)
      counts[p * kBuckets + int(items[i].key >> (p * kBits) & (kBuckets - 1))]++;
  for (int p = 0; p < kPasses; p++) {
    uint32_t* count = counts.data + p * kBuckets;
    if (count[items[0].key >> (p * kBits) & (kBuckets - 1)] == n) continue;
    uint32_t sum = 0;
    for (int b = 0; b < kBuckets; b++) {
      const uint32_t c = count[b];
      count[b] = sum, sum += c;
    }
    for (int64_t i = 0; i < n; i++) other[count[items[i].key >> (p * kBits) & (kBuckets - 1)]++] = items[i];
    std::swap(items, other);
  }
  return items;
}

// Sorts n items; the result is in one of the two buffers.
template <class K>
Item<K>* sort_items(Item<K>* items, Item<K>* other, int64_t n) {
  if (n > 8192) return radix_sort<11>(items, other, n);
  if (n > 24 * int64_t(sizeof(K))) return radix_sort<8>(items, other, n);  // fewer buckets to clear
  std::sort(items, items + n);
  return items;
}

// A larger key comes first when descending; equal ones keep their order.
template <class Order, class T, class K>
void load_items(const T* line, int64_t step, int64_t n, bool descending, Item<K>* items) {
  for (int64_t i = 0; i < n; i++) {
    const K key = Order::key(line[i * step]);
    items[i] = {descending ? K(~key) : key, uint32_t(i)};
  }
}

template <class T, class K>
void store_items(const View& values, const View& indices, int64_t at, int64_t step, const T* line,
                 int64_t line_step, const Item<K>* items, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    ptr<T>(values)[at + i * step] = line[int64_t(items[i].at) * line_step];
    ptr<int64_t>(indices)[at + i * step] = items[i].at;
  }
}

bool too_long(const Call& call, const char* op, int64_t length) {
  if (length < int64_t{1} << 32) return false;
  fail(call, kValueError, "%s: a line of %lld items is too long: at most 4294967295", op, (long long)length);
  return true;
}

// Calls body(line, data, items, other) for each line of x with its items loaded.
template <class Order, class T, class Body>
void for_lines(const View& x, const Lines& lines, bool descending, Body&& body) {
  using K = Key<T>;
  parallel_for(lines.count, 4096 / lines.length + 1, [&](int64_t begin, int64_t end) {
    Scratch<Item<K>> buffer(2 * lines.length);
    for (int64_t line = begin; line < end; line++) {
      const T* data = ptr<T>(x) + lines.begin(line);
      load_items<Order>(data, lines.step, lines.length, descending, buffer.data);
      body(line, data, buffer.data, buffer.data + lines.length);
    }
  });
}

// values, indices, x. ints: dim, descending.
void sort(const Call& call) {
  const View &values = *call.views[0], &indices = *call.views[1], &x = *call.views[2];
  const Lines in(x, call.ints[0]), out(values, call.ints[0]);
  if (in.count == 0 || too_long(call, "sort", in.length)) return;
  with_order(call, "sort", x.dtype, [&](auto tag, auto order) {
    using T = decltype(tag);
    for_lines<decltype(order), T>(
        x, in, call.ints[1], [&](int64_t line, const T* data, Item<Key<T>>* items, Item<Key<T>>* other) {
          const auto* sorted = sort_items(items, other, in.length);
          store_items(values, indices, out.begin(line), out.step, data, in.step, sorted, in.length);
        });
  });
}

// The k first of n items, in order: each one passes by those that are kept and changes places with what comes after it, without a branch.
// Key and place are one number.
template <int k, class Order, class T>
void first_few(const T* line, int64_t step, int64_t n, bool descending, Item<uint32_t>* items) {
  uint64_t kept[k];
  for (uint64_t& item : kept) item = ~uint64_t{0};
  for (int64_t i = 0; i < n; i++) {
    const uint32_t key = Order::key(line[i * step]);
    uint64_t item = uint64_t(descending ? ~key : key) << 32 | uint32_t(i);
    if (n > 64 && item > kept[k - 1]) continue;  // long lines have few that are kept: a branch that is foreseen
#pragma GCC unroll 8
    for (int j = 0; j < k; j++) {
      const uint64_t former = kept[j];
      kept[j] = std::min(former, item);
      item = std::max(former, item);
    }
  }
  for (int j = 0; j < k; j++) items[j] = {uint32_t(kept[j] >> 32), uint32_t(kept[j])};
}
constexpr int64_t kFew = 8;
// first_few for each k up to kFew.
template <class Order, class T, int... k>
constexpr auto few_table(std::integer_sequence<int, k...>) {
  return std::array{first_few<k + 1, Order, T>...};
}

// values, indices, x. ints: dim, largest. The k of the outputs' shape, in order.
void topk(const Call& call) {
  const View &values = *call.views[0], &indices = *call.views[1], &x = *call.views[2];
  const Lines in(x, call.ints[0]), out(values, call.ints[0]);
  const int64_t k = out.length, n = in.length;
  if (in.count == 0 || k == 0 || too_long(call, "topk", n)) return;
  with_order(call, "topk", x.dtype, [&](auto tag, auto order) {
    using T = decltype(tag);
    if constexpr (sizeof(Key<T>) == 4)
      if (k <= kFew) {
        const auto few = few_table<decltype(order), T>(std::make_integer_sequence<int, kFew>{})[k - 1];
        return parallel_for(in.count, 4096 / n + 1, [&](int64_t begin, int64_t end) {
          Item<uint32_t> items[kFew];
          for (int64_t line = begin; line < end; line++) {
            const T* data = ptr<T>(x) + in.begin(line);
            few(data, in.step, n, call.ints[1], items);
            store_items(values, indices, out.begin(line), out.step, data, in.step, items, k);
          }
        });
      }
    for_lines<decltype(order), T>(
        x, in, call.ints[1], [&](int64_t line, const T* data, Item<Key<T>>* items, Item<Key<T>>*) {
          if (k * 16 <= n) {
            std::partial_sort(items, items + k, items + n);
          } else {
            if (k < n) std::nth_element(items, items + k, items + n);
            std::sort(items, items + k);
          }
          store_items(values, indices, out.begin(line), out.step, data, in.step, items, k);
        });
  });
}

// values, indices (size 1 on dim), x. ints: dim, k from 1.
void kthvalue(const Call& call) {
  const View &values = *call.views[0], &indices = *call.views[1], &x = *call.views[2];
  const Lines in(x, call.ints[0]), out(values, call.ints[0]);
  const int64_t k = call.ints[1] - 1;
  if (in.count == 0 || too_long(call, "kthvalue", in.length)) return;
  with_order(call, "kthvalue", x.dtype, [&](auto tag, auto order) {
    using T = decltype(tag);
    for_lines<decltype(order), T>(
        x, in, false, [&](int64_t line, const T* data, Item<Key<T>>* items, Item<Key<T>>*) {
          std::nth_element(items, items + k, items + in.length);
          store_items(values, indices, out.begin(line), out.step, data, in.step, items + k, 1);
        });
  });
}

// order (rows), x (rows, columns): the order of rows by their first difference; one column is sorted as
// numbers.
void sort_rows(const Call& call) {
  const View &y = *call.views[0], &x = *call.views[1];
  const int64_t rows = numel(y), columns = rows ? numel(x) / rows : 0;
  int64_t* order = ptr<int64_t>(y);
  if (too_long(call, "unique", rows)) return;
  with_order(call, "unique", x.dtype, [&](auto tag, auto rule) {
    using T = decltype(tag);
    using Order = decltype(rule);
    const T* data = ptr<T>(x);
    if (columns == 1) {
      Scratch<Item<Key<T>>> buffer(2 * rows);
      load_items<Order>(data, 1, rows, false, buffer.data);
      const auto* sorted = sort_items(buffer.data, buffer.data + rows, rows);
      for (int64_t i = 0; i < rows; i++) order[i] = sorted[i].at;
      return;
    }
    for (int64_t i = 0; i < rows; i++) order[i] = i;
    std::stable_sort(order, order + rows, [&](int64_t a, int64_t b) {
      for (int64_t c = 0; c < columns; c++) {
        const auto p = Order::key(data[a * columns + c]), q = Order::key(data[b * columns + c]);
        if (p != q) return p < q;
      }
      return false;
    });
  });
}

AL_KERNEL("sort_rows", sort_rows);
AL_KERNEL("sort", sort);
AL_KERNEL("topk", topk);
AL_KERNEL("kthvalue", kthvalue);

}  // namespace
}  // namespace al
