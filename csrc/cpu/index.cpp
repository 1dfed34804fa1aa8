// Advanced indexing: index (read) and index_put (write or add). One plan serves index_select, take, index_add
// and their kin.
//
// Dims of x fall in three groups: front (before the index dims in the result), indexed (replaced by the dims
// of the indices) and rest. A row is the part of x under one front position and one index position; rows are
// what is copied.
#include "strided.h"

namespace al {
namespace {

int64_t min_of(int64_t a, int64_t b) { return a < b ? a : b; }

struct Plan {
  Walk front, rest;         // a: in x; b: in values
  int64_t picks = 1;        // positions of the broadcast indices
  int64_t values_dims = 0;  // dims of values before the index dims
};

// Offsets into x that the indices stand for, one a pick, negative indices wrapped if allowed. False when one
// is out of bounds.
bool resolve(const Call& call, const View& x, int first, const int64_t* slots, bool wrap, int64_t* offsets,
             int64_t picks) {
  std::memset(offsets, 0, size_t(picks) * sizeof(int64_t));
  for (int dim = 0; dim < x.ndim; dim++) {
    if (slots[dim] < 0) continue;
    const View& index = *call.views[first + slots[dim]];
    const int64_t size = x.shape[dim], stride = x.strides[dim], lowest = wrap ? -size : 0;
    Walk w;
    for (int i = 0; i < index.ndim; i++) w.add(index.shape[i], index.strides[i], 0);
    parallel_for(picks, 16384, [&](int64_t begin, int64_t end) {
      int64_t* out = offsets + begin;
      for_stretches(w, begin, end, [&](int64_t count, int64_t offset, int64_t, int64_t step, int64_t) {
        const int64_t* p = ptr<int64_t>(index) + offset;
        for (int64_t i = 0; i < count; i++) {
          int64_t v = p[i * step];
          if (v < lowest || v >= size) {
            fail(call, kIndexError, "index %lld is out of bounds for dimension %d with size %lld",
                 (long long)v, dim, (long long)size);
            v = 0;
          }
          *out++ += (v < 0 ? v + size : v) * stride;
        }
      });
    });
  }
  return call.error->kind == kOk;
}

// ints: slots (a tuple: for each dim of x the number of its index, or -1), then how many dims of x stand in
// front.
Plan make_plan(const Call& call, const View& x, const View& values, int first) {
  Plan plan;
  const int64_t* slots = call.ints.from(1, x.ndim);
  const int64_t front = call.ints[1 + x.ndim];
  const View& index = *call.views[first];
  for (int i = 0; i < index.ndim; i++) plan.picks *= index.shape[i];
  int at = 0;
  for (int i = 0; i < front; i++) plan.front.add(x.shape[i], x.strides[i], values.strides[at++]);
  plan.values_dims = at;
  at += index.ndim;
  for (int i = int(front); i < x.ndim; i++)
    if (slots[i] < 0) plan.rest.add(x.shape[i], x.strides[i], values.strides[at++]);
  return plan;
}

// Rows of one element: a plain gather of each front position.
template <class T>
void gather_elements(const View& y, const View& x, const Plan& plan, const int64_t* offsets) {
  const int64_t picks = plan.picks;
  parallel_for(plan.front.count() * picks, 8192, [&](int64_t begin, int64_t end) {
    while (begin < end) {
      int64_t from, to, skip = begin % picks, count = min_of(picks - skip, end - begin);
      plan.front.at(begin / picks, from, to);
      const T* source = ptr<T>(x) + from;
      T* target = ptr<T>(y) + begin;
      for (int64_t i = 0; i < count; i++) target[i] = source[offsets[skip + i]];
      begin += count;
    }
  });
}

// y, x, indices...: y is contiguous. ints: slots, front, wrap.
void index(const Call& call) {
  const View &y = *call.views[0], &x = *call.views[1];
  const Plan plan = make_plan(call, x, y, 2);
  Scratch<int64_t> offsets(plan.picks);
  if (!resolve(call, x, 2, call.ints.from(1, x.ndim), call.ints[2 + x.ndim], offsets.data, plan.picks) || numel(y) == 0)
    return;
  const int64_t row = plan.rest.count(), picks = plan.picks;
  with_bits(y.dtype, [&](auto tag) {
    using T = decltype(tag);
    if (row == 1) return gather_elements<T>(y, x, plan, offsets.data);
    parallel_for(plan.front.count() * picks, 16384 / row + 1, [&](int64_t begin, int64_t end) {
      int64_t from = 0, unused, at = -1;
      for (int64_t i = begin; i < end; i++) {
        if (i / picks != at) plan.front.at(at = i / picks, from, unused);
        const T* source = ptr<T>(x) + from + offsets[i % picks];
        T* target = ptr<T>(y) + i * row;
        for_stretches(plan.rest, 0, row, [&](int64_t n, int64_t oa, int64_t ob, int64_t sa, int64_t sb) {
          copy_stretch(target + ob, sb, source + oa, sa, n);
        });
      }
    });
  });
}

struct Set {
  template <class T>
  static void put(T& to, T from) {
    to = from;
  }
};
struct Add {
  static void put(bool& to, bool from) { to = to | from; }
  static void put(float& to, float from) { to += from; }
  static void put(double& to, double from) { to += from; }
  template <class T>
  static void put(T& to, T from) {
    to = T(uint64_t(to) + uint64_t(from));
  }  // wraps
};

// Where the values of a pick are: offsets into the values for each position of the index dims.
void values_offsets(const View& values, int64_t front, int index_dims, const int64_t* shape, int64_t* out) {
  Walk w;
  for (int i = 0; i < index_dims; i++) w.add(shape[i], values.strides[front + i], 0);
  int64_t at = 0;
  for_stretches(w, 0, w.count(), [&](int64_t count, int64_t offset, int64_t, int64_t step, int64_t) {
    for (int64_t i = 0; i < count; i++) out[at++] = offset + i * step;
  });
}

// What one worker may write: front positions, destinations and columns of rows. Every destination is met in
// the order of the picks by one worker only, so that results do not depend on the number of workers.
struct Share {
  int64_t front_begin, front_end, lowest, highest, column_begin, column_end;
};

template <class Mode, class T>
void put_share(T* y, const T* values, const Plan& plan, const int64_t* to, const int64_t* from,
               const Share& share) {
  for (int64_t f = share.front_begin; f < share.front_end; f++) {
    int64_t to_front, from_front;
    plan.front.at(f, to_front, from_front);
    for (int64_t j = 0; j < plan.picks; j++) {
      if (to[j] < share.lowest || to[j] >= share.highest) continue;
      T* target = y + to_front + to[j];
      const T* source = values + from_front + from[j];
      for_stretches(plan.rest, share.column_begin, share.column_end,
                    [&](int64_t n, int64_t oa, int64_t ob, int64_t sa, int64_t sb) {
                      T* t = target + oa;
                      const T* s = source + ob;
                      if (sa == 1 && sb == 1)
                        for (int64_t i = 0; i < n; i++) Mode::put(t[i], s[i]);
                      else
                        for (int64_t i = 0; i < n; i++) Mode::put(t[i * sa], s[i * sb]);
                    });
    }
  }
}

constexpr int kBuckets = 256, kMostWorkers = 64;

// Cuts of the destinations from `lowest` on, a multiple of `step` apart, so that each worker has about the same to do: the rows of its
// picks and, if it `copies`, all that lies there. Returns how much of it all the busiest one has.
double cut_evenly(const int64_t* to, int64_t picks, int64_t row, int64_t lowest, int64_t highest, int64_t step, bool copies,
                  int64_t workers, int64_t* cuts) {
  const int64_t width = ((highest - lowest) / kBuckets / step + 1) * step;
  const double scale = 1.0 / double(width);
  double load[kBuckets + 1] = {}, all = double(picks * row), done = 0, most = 0;
  for (int64_t j = 0; j < picks; j++) load[int64_t(double(to[j] - lowest) * scale)] += double(row);
  int64_t at = 0;
  if (copies) all += double(highest - lowest);
  cuts[0] = lowest;
  for (int64_t w = 1; w <= workers; w++) {
    const double before = done;
    for (; lowest + at * width < highest && (w == workers || done < all * double(w) / double(workers)); at++)
      done += load[at] + (copies ? double(min_of(width, highest - lowest - at * width)) : 0.0);
    cuts[w] = min_of(lowest + at * width, highest);
    most = done - before > most ? done - before : most;
  }
  return most / all;
}

// Whether both are contiguous.
bool side_by_side(const View& y, const View& x) {
  Walk w;
  for (int i = 0; i < y.ndim; i++) w.add(y.shape[i], y.strides[i], x.strides[i]);
  return w.n == 0 || (w.n == 1 && w.a[0] == 1 && w.b[0] == 1);
}

// y becomes x with the values put. Every worker has destinations of its own, near each other, and copies them itself where they are whole
// rows side by side: what one core has in its cache another one would wait for.
template <class Mode, class T>
void put_all(const View& y, const View& x, const View& values, const Plan& plan, const int64_t* to, const int64_t* from) {
  const int64_t fronts = plan.front.count(), row = plan.rest.count(), picks = plan.picks;
  const int64_t workers = fronts * row * picks < 32768 ? 1 : min_of(runtime->num_threads(), kMostWorkers);
  const bool whole = fronts == 1 && side_by_side(y, x) && (plan.rest.n == 0 || (plan.rest.n == 1 && plan.rest.a[0] == 1));
  const bool copies = whole && y.data != x.data && workers > 1;
  int64_t lowest = whole ? 0 : INT64_MAX, highest = whole ? numel(y) : INT64_MIN, cuts[kMostWorkers + 1];
  for (int64_t j = 0; j < picks && !whole; j++) {
    lowest = min_of(lowest, to[j]);
    highest = to[j] >= highest ? to[j] + 1 : highest;
  }
  const bool by_front = fronts >= 2 * workers;
  const double most = by_front ? 1.0 : cut_evenly(to, picks, row, lowest, highest, whole ? row : 1, copies, workers, cuts);
  const bool by_column = !by_front && most * double(workers) > 1.5 && row >= 128 * workers;
  const bool by_row = !by_front && !by_column;
  if (!(copies && by_row)) copy_view(y, x);
  parallel_for(workers, 1, [&](int64_t begin, int64_t end) {
    for (int64_t w = begin; w < end; w++) {
      auto cut = [&](int64_t last, int64_t k) { return last / workers * k + (k == workers ? last % workers : 0); };
      Share share{0, fronts, lowest, highest, 0, row};
      if (by_front) share.front_begin = cut(fronts, w), share.front_end = cut(fronts, w + 1);
      if (by_column) share.column_begin = cut(row, w), share.column_end = cut(row, w + 1);
      if (by_row) share.lowest = cuts[w], share.highest = cuts[w + 1];
      if (copies && by_row)
        std::memcpy(ptr<T>(y) + share.lowest, ptr<T>(x) + share.lowest, size_t(share.highest - share.lowest) * sizeof(T));
      put_share<Mode>(ptr<T>(y), ptr<T>(values), plan, to, from, share);
    }
  });
}

// y, x, values, indices...: y starts as x. ints: slots, front, accumulate, wrap. Values are expanded to the
// indexed shape.
void index_put(const Call& call) {
  const View &y = *call.views[0], &x = *call.views[1], &values = *call.views[2], &first = *call.views[3];
  const Plan plan = make_plan(call, y, values, 3);
  Scratch<int64_t> offsets(2 * plan.picks);
  int64_t *to = offsets.data, *from = to + plan.picks;
  if (!resolve(call, y, 3, call.ints.from(1, y.ndim), call.ints[3 + x.ndim], to, plan.picks)) return;
  if (plan.picks == 0 || plan.front.count() * plan.rest.count() == 0) return copy_view(y, x);
  values_offsets(values, plan.values_dims, first.ndim, first.shape, from);
  const bool accumulate = call.ints[2 + x.ndim];
  if (!accumulate)
    with_bits(y.dtype, [&](auto tag) { put_all<Set, decltype(tag)>(y, x, values, plan, to, from); });
  else
    with_number(call, "index_put", y.dtype,
                [&](auto tag) { put_all<Add, decltype(tag)>(y, x, values, plan, to, from); });
}

AL_KERNEL("index", index);
AL_KERNEL("index_put", index_put);

}  // namespace
}  // namespace al
