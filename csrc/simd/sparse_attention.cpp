// Attention over chosen rows: each query names rows, which are keys and values of all its heads. Heads lie in lanes, so that a
// row's element is broadcast; every sum runs over slots in their order, and slots that name nothing take no part: what a query
// gives depends on no other, and not on how many empty slots it has.
#include "rows.h"

namespace al {
namespace {

constexpr int64_t kTogether = 4;  // rows worked on at a time
constexpr int64_t kParts = 8;     // tasks that add gradients of rows, each in a table of its own; fixed, so that sums are

inline int64_t up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// views: query (B, T, H, D), rows (B, N, D), entries (B, E, D) or none, index (B or 1, T, S), sinks (H) or none
struct Problem {
  const View *q, *rows, *entries, *index, *sinks;
  int64_t B, T, H, D, N, E, S;
  double scale;
  Problem(const Call& c, int first)
      : q(c.views[first]), rows(c.views[first + 1]), entries(c.views[first + 2]), index(c.views[first + 3]),
        sinks(c.views[first + 4]), B(q->shape[0]), T(q->shape[1]), H(q->shape[2]), D(q->shape[3]), N(rows->shape[1]),
        E(entries ? entries->shape[1] : 0), S(index->shape[2]), scale(c.floats[0]) {}

  int64_t picked(int64_t b, int64_t t, int64_t s) const {
    int64_t at = ((index->shape[0] == 1 ? 0 : b) * T + t) * S + s;
    return index->dtype == kInt64 ? ptr<const int64_t>(*index)[at] : ptr<const int32_t>(*index)[at];
  }
  int64_t grain() const { return std::max<int64_t>(1, 65536 / std::max<int64_t>(1, S * H * D)); }
};

// What one thread needs for one query at a time. T: of the tensors; C: computed in.
template <class T> struct Room {
  using C = compute_t<T>;
  static constexpr int64_t W = Lanes<C>::width;
  const Problem& p;
  int64_t heads, n = 0;
  Scratch<const C*> seen;     // the rows that the query names
  Scratch<int64_t> slot, row;  // where they stand in the index, and which they are
  Scratch<C> staged, q, out, weights, top, total;

  explicit Room(const Problem& problem)
      : p(problem), heads(up(p.H, W)), seen(p.S), slot(p.S), row(p.S), staged(is_half<T> ? p.S * p.D : 0), q(p.D * heads),
        out(p.D * heads), weights(p.S * heads), top(heads), total(heads) {}

  bool gather(const Call& c, int64_t b, int64_t t) {
    n = 0;
    for (int64_t s = 0; s < p.S; s++) {
      int64_t i = p.picked(b, t, s);
      if (i < 0) continue;
      if (i >= p.N + p.E) {
        fail(c, kIndexError, "sparse_attention: index %lld names no row: there are %lld rows and %lld entries", (long long)i,
             (long long)p.N, (long long)p.E);
        return false;
      }
      const T* x = i < p.N ? ptr<const T>(*p.rows) + (b * p.N + i) * p.D : ptr<const T>(*p.entries) + (b * p.E + i - p.N) * p.D;
      if constexpr (is_half<T>) {
        load_floats(x, staged.data + n * p.D, p.D);
        seen[n] = staged.data + n * p.D;
      } else {
        seen[n] = x;
      }
      row[n] = i, slot[n++] = s;
    }
    return true;
  }

  // (H, D) of a query, as (D, heads).
  void turn_in(const View& x, int64_t b, int64_t t, C* to) {
    const T* from = ptr<const T>(x) + (b * p.T + t) * p.H * p.D;
    std::fill_n(to, p.D * heads, C(0));
    for (int64_t h = 0; h < p.H; h++)
      for (int64_t d = 0; d < p.D; d++) to[d * heads + h] = to_compute(from[h * p.D + d]);
  }
  void turn_out(const C* from, const View& x, int64_t b, int64_t t) {
    T* to = ptr<T>(x) + (b * p.T + t) * p.H * p.D;
    for (int64_t h = 0; h < p.H; h++)
      for (int64_t d = 0; d < p.D; d++) to[h * p.D + d] = from_float<T>(from[d * heads + h]);
  }

  // to[s, h] = factor * sum_d x[d, h] seen[s][d]
  void products(const C* x, C factor, C* to) {
    for (int64_t s = 0; s < n; s += kTogether) {
      const C* r[kTogether];
      for (int64_t k = 0; k < kTogether; k++) r[k] = seen[std::min(s + k, n - 1)];
      for (int64_t h = 0; h < heads; h += W) {
        Vec<C> acc[kTogether] = {};
        for (int64_t d = 0; d < p.D; d++) {
          Vec<C> v = load(x + d * heads + h);
          for (int64_t k = 0; k < kTogether; k++) acc[k] = fused(splat(r[k][d]), v, acc[k]);
        }
        for (int64_t k = 0; k < kTogether && s + k < n; k++) store(to + (s + k) * heads + h, acc[k] * splat(factor));
      }
    }
  }

  // to[d, h] = sum_s w[s, h] seen[s][d]
  void sums(const C* w, C* to) {
    std::fill_n(to, p.D * heads, C(0));
    for (int64_t s = 0; s < n; s += kTogether) {
      int64_t count = std::min(kTogether, n - s);
      const C* r[kTogether];
      for (int64_t k = 0; k < kTogether; k++) r[k] = seen[s + std::min(k, count - 1)];
      for (int64_t h = 0; h < heads; h += W) {
        Vec<C> by[kTogether] = {};  // zero for rows that are not there: adding 0 times a finite row changes nothing
        for (int64_t k = 0; k < count; k++) by[k] = load(w + (s + k) * heads + h);
        for (int64_t d = 0; d < p.D; d++) {
          Vec<C> acc = load(to + d * heads + h);
          for (int64_t k = 0; k < kTogether; k++) acc = fused(splat(r[k][d]), by[k], acc);
          store(to + d * heads + h, acc);
        }
      }
    }
  }

  // Scores, then weights without their divisor, their largest score and their sum, the sink's share in it.
  void softmax() {
    products(q.data, C(p.scale), weights.data);
    const C* sinks = p.sinks ? ptr<const C>(*p.sinks) : nullptr;
    for (int64_t h = 0; h < heads; h++) top[h] = sinks && h < p.H ? sinks[h] : -std::numeric_limits<C>::infinity();
    for (int64_t s = 0; s < n; s++)
      for (int64_t h = 0; h < heads; h++) top[h] = reduce::Max::combine(top[h], weights[s * heads + h]);
    for (int64_t h = 0; h < heads; h++) {
      if (!(top[h] > -std::numeric_limits<C>::infinity())) top[h] = std::isnan(top[h]) ? top[h] : C(0);
      total[h] = sinks && h < p.H ? exp_decay(sinks[h] - top[h]) : C(0);
    }
    for (int64_t s = 0; s < n; s++) {
      C* line = weights.data + s * heads;
#pragma GCC ivdep
      for (int64_t h = 0; h < heads; h++) {
        line[h] = exp_decay(line[h] - top[h]);
        total[h] += line[h];
      }
    }
  }
};

template <class F> void for_queries(const Call& c, const Problem& p, F&& work) {
  dispatch_floats(p.q->dtype, [&]<class T>(Type<T>) {
    parallel_for(p.B * p.T, p.grain(), [&](int64_t first, int64_t end) {
      Room<T> room(p);
      for (int64_t i = first; i < end; i++) {
        if (!room.gather(c, i / p.T, i % p.T)) return;
        room.turn_in(*p.q, i / p.T, i % p.T, room.q.data);
        room.softmax();
        work(room, i / p.T, i % p.T);
      }
    });
  });
}

// y (B, T, H, D), logarithms of the softmax's divisors (B, T, H)
void sparse_attention(const Call& c) {
  Problem p(c, 2);
  for_queries(c, p, [&]<class T>(Room<T>& room, int64_t b, int64_t t) {
    using C = compute_t<T>;
    room.sums(room.weights.data, room.out.data);
    C* lse = ptr<C>(*c.views[1]) + (b * p.T + t) * p.H;
    for (int64_t h = 0; h < p.H; h++) {
      lse[h] = room.total[h] == 0 ? std::numeric_limits<C>::infinity() : room.top[h] + C(std::log(room.total[h]));
      room.total[h] = room.total[h] == 0 ? C(0) : 1 / room.total[h];
    }
    for (int64_t d = 0; d < p.D; d++)
      for (int64_t h = 0; h < p.H; h++) room.out[d * room.heads + h] *= room.total[h];
    room.turn_out(room.out.data, *c.views[0], b, t);
  });
}

// Weights summed over heads, (B, T, S)
void sparse_attention_mass(const Call& c) {
  Problem p(c, 1);
  for_queries(c, p, [&]<class T>(Room<T>& room, int64_t b, int64_t t) {
    using C = compute_t<T>;
    C* y = ptr<C>(*c.views[0]) + (b * p.T + t) * p.S;
    std::fill_n(y, p.S, C(0));
    for (int64_t s = 0; s < room.n; s++)
      for (int64_t h = 0; h < p.H; h++)
        if (room.total[h] != 0) y[room.slot[s]] += room.weights[s * room.heads + h] / room.total[h];
  });
}

// ---- backward: gradients of q, rows, entries, sinks from (g, q, rows, entries, index, sinks, y, lse) ----

template <class T> struct Backward {
  using C = compute_t<T>;
  static constexpr int64_t W = Lanes<C>::width;
  const Call& c;
  const Problem& p;
  int64_t pitch;
  Room<T> room;
  Scratch<C> g, slopes, delta, flat_q, flat_g;

  Backward(const Call& call, const Problem& problem)
      : c(call), p(problem), pitch(up(p.D, W)), room(p), g(p.D * room.heads), slopes(p.S * room.heads), delta(room.heads),
        flat_q(p.H * pitch), flat_g(p.H * pitch) {}

  void flatten(const View& x, int64_t b, int64_t t, C* to) {
    for (int64_t h = 0; h < p.H; h++) {
      load_floats(ptr<const T>(x) + ((b * p.T + t) * p.H + h) * p.D, to + h * pitch, p.D);
      std::fill(to + h * pitch + p.D, to + (h + 1) * pitch, C(0));
    }
  }

  // Weights, and slopes of the scores times the scale.
  void slopes_of(int64_t b, int64_t t) {
    const int64_t heads = room.heads;
    const C* lse = ptr<const C>(*c.views[11]) + (b * p.T + t) * p.H;
    room.products(room.q.data, C(p.scale), room.weights.data);
    room.products(g.data, C(1), slopes.data);
    std::fill_n(delta.data, heads, C(0));
    for (int64_t d = 0; d < p.D; d++)
      for (int64_t h = 0; h < heads; h++) delta[h] += g[d * heads + h] * room.out[d * heads + h];
    for (int64_t h = 0; h < heads; h++) room.top[h] = h < p.H ? lse[h] : C(0);
    for (int64_t s = 0; s < room.n; s++)
      for (int64_t h = 0; h < heads; h++) {
        C w = exp_decay(std::min(room.weights[s * heads + h] - room.top[h], C(0)));
        room.weights[s * heads + h] = w;
        slopes[s * heads + h] = w * (slopes[s * heads + h] - delta[h]) * C(p.scale);
      }
  }

  void query(int64_t b, int64_t t, C* table, C* dsinks) {
    if (!room.gather(c, b, t)) return;
    room.turn_in(*p.q, b, t, room.q.data);
    room.turn_in(*c.views[4], b, t, g.data);
    room.turn_in(*c.views[10], b, t, room.out.data);
    slopes_of(b, t);
    flatten(*p.q, b, t, flat_q.data);
    flatten(*c.views[4], b, t, flat_g.data);
    for (int64_t s = 0; s < room.n; s++) add_row(s, table + room.row[s] * pitch);
    if (p.sinks)
      for (int64_t h = 0; h < p.H; h++)
        dsinks[h] -= exp_decay(std::min(ptr<const C>(*p.sinks)[h] - room.top[h], C(0))) * delta[h];
    room.sums(slopes.data, room.out.data);
    room.turn_out(room.out.data, *c.views[0], b, t);
  }

  // The row is key and value: sum over heads of slope q + weight g.
  void add_row(int64_t s, C* to) {
    const C *slope = slopes.data + s * room.heads, *weight = room.weights.data + s * room.heads;
    for (int64_t d = 0; d < pitch; d += W) {
      Vec<C> acc = load(to + d);
      for (int64_t h = 0; h < p.H; h++) {
        acc = fused(splat(slope[h]), load(flat_q.data + h * pitch + d), acc);
        acc = fused(splat(weight[h]), load(flat_g.data + h * pitch + d), acc);
      }
      store(to + d, acc);
    }
  }
};

// Adds the parts' tables in their order, and writes rows of T.
template <class T, class C> void write_rows(const View& to, const C* tables, int64_t parts, int64_t stride, int64_t first, int64_t D, int64_t pitch) {
  const int64_t B = to.shape[0], n = to.shape[1];
  parallel_for(B * n, row_grain(parts * D), [&](int64_t begin, int64_t end) {
    Scratch<C> sum(D);
    for (int64_t i = begin; i < end; i++) {
      const C* from = tables + (i / n) * parts * stride + (first + i % n) * pitch;
      std::copy_n(from, D, sum.data);
      for (int64_t k = 1; k < parts; k++)
        for (int64_t d = 0; d < D; d++) sum[d] += from[k * stride + d];
      store_floats(sum.data, ptr<T>(to) + i * D, D);
    }
  });
}

// views: dq, drows, dentries, dsinks; g, q, rows, entries, index, sinks, y, lse
void sparse_attention_backward(const Call& c) {
  Problem p(c, 5);
  const int64_t parts = std::max<int64_t>(1, kParts / std::max<int64_t>(1, p.B));
  dispatch_floats(p.q->dtype, [&]<class T>(Type<T>) {
    using C = compute_t<T>;
    const int64_t pitch = up(p.D, Lanes<C>::width), stride = (p.N + p.E) * pitch;
    Scratch<C> tables(p.B * parts * stride), sinks(p.B * parts * p.H);
    std::fill_n(sinks.data, p.B * parts * p.H, C(0));
    parallel_for(p.B * parts, 1, [&](int64_t begin, int64_t end) {
      Backward<T> work(c, p);
      for (int64_t i = begin; i < end; i++) {
        C* table = tables.data + i * stride;
        std::fill_n(table, stride, C(0));
        const int64_t k = i % parts;
        for (int64_t t = p.T * k / parts; t < p.T * (k + 1) / parts; t++) work.query(i / parts, t, table, sinks.data + i * p.H);
      }
    });
    write_rows<T>(*c.views[1], tables.data, parts, stride, 0, p.D, pitch);
    if (p.entries) write_rows<T>(*c.views[2], tables.data, parts, stride, p.N, p.D, pitch);
    C* dsinks = ptr<C>(*c.views[3]);
    std::fill_n(dsinks, p.H, C(0));
    for (int64_t i = 0; i < p.B * parts; i++)
      for (int64_t h = 0; h < p.H; h++) dsinks[h] += sinks[i * p.H + h];
  });
}

AL_KERNEL("sparse_attention", sparse_attention);
AL_KERNEL("sparse_attention_mass", sparse_attention_mass);
AL_KERNEL("sparse_attention_backward", sparse_attention_backward);

}  // namespace
}  // namespace al
