// Attention backward: the weights of a block are made again from the logsumexp. The gradient of q is summed over blocks of
// keys, those of k and v over blocks of queries, each in a fixed order. One task a head of k and v; where these are too few
// for the threads, one a block of keys, then one a block of queries, which computes the scores twice. The bits are the same.
#include "simd/attention_pairs.h"
#include "simd/attention_rows.h"

namespace al::attention {

namespace {

struct Gradients {
  const View *dq, *dk, *dv, *dsinks;  // (B, L, H, E), (B, S, G, E), (B, S, G, V), (H)
  View g, out;                        // (B, H, L, V)
  const View* lse;                    // (B, H, L)
};

View heads_first(View x) {
  std::swap(x.shape[1], x.shape[2]);
  std::swap(x.strides[1], x.strides[2]);
  return x;
}

// One thread's room; pitches are whole vectors. Words are what products take, as `attention_pairs.h` says: laced rows and turned weights
// have a place of their own where a word is no number.
template <class K, class C = typename K::Acc>
struct Room {
  int64_t e, v;
  Scratch<typename K::Word> q, g, keys, values, key_panels, value_panels, q_stack, g_stack, key_stack, left;
  Scratch<C> numbers, out, weights, slopes, dk, dv, dq, delta;
  // dq and delta are for so many rows.
  Room(const Problem& p, int64_t dq_rows, int64_t delta_rows)
      : e(round_up(p.E, kWidth<C>)),
        v(round_up(p.V, kWidth<C>)),
        q(kQueries * e / K::step),
        g(kQueries * v / K::step),
        keys(kKeys * e / K::step),
        values(kKeys * v / K::step),
        key_panels(kKeys * words<K>(p.E)),
        value_panels(kKeys * words<K>(p.V)),
        q_stack((K::step - 1) * kQueries * e / K::step),
        g_stack((K::step - 1) * kQueries * v / K::step),
        key_stack((K::step - 1) * kKeys * e / K::step),
        left((K::step - 1) * kQueries * kKeys / K::step),
        numbers(kQueries * v),
        out(kQueries * v),
        weights(kQueries * kKeys),
        slopes(kQueries * kKeys),
        dk(kKeys * e),
        dv(kKeys * v),
        dq(dq_rows * e),
        delta(delta_rows) {}
};

template <class C>
void store_rows(const View& to, int64_t b, int64_t h, int64_t from, int64_t rows, const C* data,
                int64_t pitch) {
  const int64_t heads = to.shape[2], cols = to.shape[3];
  dispatch_floats(to.dtype, [&]<class T>(Type<T>) {
    if constexpr (std::is_same_v<compute_t<T>, C>)
      for (int64_t r = 0; r < rows; r++)
        store_floats(data + r * pitch, ptr<T>(to) + ((b * to.shape[1] + from + r) * heads + h) * cols, cols);
  });
}

template <class C>
const C* lse_of(const Problem& p, const Gradients& d, int64_t b, int64_t h) {
  return ptr<const C>(*d.lse) + (b * p.H + h) * p.L;
}

// Where rows of a gradient are summed, `pitch` apart, and whether they are added to what is there.
template <class C>
struct Target {
  C* data;
  int64_t pitch;
  bool add;
};

// Rows of head h from `from` on: where they lie, if the sum is `whole` at once and made of whole vectors; else in `room`.
template <class C>
Target<C> target_of(const View& to, int64_t b, int64_t h, int64_t from, bool whole, C* room) {
  const int64_t heads = to.shape[2], cols = to.shape[3];
  if (whole && to.dtype == dtype_of<C> && cols % kWidth<C> == 0)
    return {ptr<C>(to) + ((b * to.shape[1] + from) * heads + h) * cols, heads * cols, false};
  return {room, round_up(cols, kWidth<C>), !whole};
}

// delta[i] = sum over v of g[i, v] * out[i, v], for all queries of head h.
template <class K, class C = typename K::Acc>
void make_delta(const Problem& p, const Gradients& d, int64_t b, int64_t h, C* delta, Room<K>& room) {
  for (int64_t i = 0; i < p.L; i += kWidth<C>) {
    const int count = int(std::min<int64_t>(kWidth<C>, p.L - i));
    const Rows<C> g = rows_of(d.g, b, h, i, count, room.numbers.data),
                  out = rows_of(d.out, b, h, i, count, room.out.data);
    Vec<C> lines[kWidth<C>] = {};
    for (int r = 0; r < count; r++)
      for (int64_t c = 0; c < room.v; c += kWidth<C>)
        lines[r] = fused(load(g.data + r * g.stride + c), load(out.data + r * out.stride + c), lines[r]);
    const Vec<C> sums = sums_of_lanes<C>(lines, count);
    for (int r = 0; r < count; r++) delta[i + r] = sums[r];
  }
}

// weights = exp(scores - lse), slopes = weights * (slopes - delta) * scale: the gradient of the unscaled
// scores.
template <class C>
void slope_rows(const Scores<C>& scores, int64_t rows, const C* lse, const C* delta, C* slopes) {
  const int64_t padded = round_up(scores.n, kWidth<C>);
  const Vec<C> scale = splat(C(scores.p.scale));
  for (int64_t r = 0; r < rows; r++, lse++, delta++, slopes += kKeys) {
    const int64_t end = scores.masked(r);
    C* w = scores.row(r);
    const Vec<C> shift = splat(*lse == kNone<C> ? -kNone<C> : *lse), minus = splat(*delta);
    by_vectors<C>(end, [&]<int K>(int64_t j, std::integral_constant<int, K>) {
      Vec<C> x[K];
      scores.template shifted<K>(w, j, end, shift, x);
      vm::exp_decay<K>(x);
#pragma GCC unroll 2
      for (int k = 0; k < K; k++, j += kWidth<C>) {
        store(w + j, x[k]);
        store(slopes + j, x[k] * (load(slopes + j) - minus) * scale);
      }
    });
    clear_rest(w, end, padded);
    clear_rest(slopes, end, padded);
  }
}

// What a block of queries and n keys of head h adds to all three gradients, where they are wanted.
template <class C>
struct Sums {
  const C* delta;  // of the head's queries
  Target<C> dq, dk, dv;
};
// Keys of a block as they are multiplied with slopes.
template <class K>
using Keys = Rows<typename K::Word>;

template <class K, class C = typename K::Acc>
void block(const Problem& p, const Gradients& d, int64_t b, int64_t h, int64_t i0, int64_t rows, int64_t j0,
           int64_t n, Keys<K> keys, const Sums<C>& to, Room<K>& room) {
  using Policy = typename K::Policy;
  const auto q = K::words_of(*p.q, b, h, i0, rows, room.q.data), g = K::words_of(d.g, b, h, i0, rows, room.g.data);
  const auto keys_of = [&](int64_t r, int64_t m) { return p.keys_seen(i0 + r, m, j0, n); };
  const auto queries_of = [&](int64_t x, int64_t m) { return p.queries_seeing(j0 + x, m, i0, rows); };
  score<Policy>(rows, n, words<K>(p.E), q, room.key_panels.data, room.weights.data, kKeys, keys_of);
  score<Policy>(rows, n, words<K>(p.V), g, room.value_panels.data, room.slopes.data, kKeys, keys_of);
  slope_rows(Scores<C>{p, b, h, i0, j0, n, room.weights.data}, rows, lse_of<C>(p, d, b, h) + i0, to.delta + i0, room.slopes.data);
  const int64_t padded = round_up(n, kWidth<C>);
  const auto sum = [&](int64_t m, int64_t cols, int64_t depth, Left<typename K::Word> a, Keys<K> x, const Target<C>& y, auto&& of) {
    multiply_rows<K>(m, cols, depth, a, x, y.data, y.pitch, y.add, of);
  };
  if (to.dk.data) {
    const auto weights = K::along_columns(room.weights.data, rows, padded, room.left.data);
    sum(n, room.v, rows, weights, K::stack(g, rows, room.v, room.g_stack.data), to.dv, queries_of);
    const auto slopes = K::along_columns(room.slopes.data, rows, padded, room.left.data);
    sum(n, room.e, rows, slopes, K::stack(q, rows, room.e, room.q_stack.data), to.dk, queries_of);
  }
  if (to.dq.data) sum(rows, room.e, n, K::along_rows(room.slopes.data, rows, padded, room.left.data), keys, to.dq, keys_of);
}

// Keys that a block of queries sees among n from j0; may be negative.
int64_t seen_keys(const Problem& p, int64_t i0, int64_t rows, int64_t j0, int64_t n) {
  const bool gone = p.window && i0 >= j0 + n - 1 + p.window;
  return gone ? 0 : std::min(n, p.end_key(i0 + rows - 1) - j0);
}

template <class K>
Keys<K> pack_keys(const Problem& p, int64_t b, int64_t kv, int64_t j0, int64_t n, Room<K>& room) {
  const auto keys = K::words_of(*p.k, b, kv, j0, n, room.keys.data), values = K::words_of(*p.v, b, kv, j0, n, room.values.data);
  pack_columns(keys, n, words<K>(p.E), room.key_panels.data);
  pack_columns(values, n, words<K>(p.V), room.value_panels.data);
  return K::stack(keys, n, room.e, room.key_stack.data);
}

// dk and dv of n keys; dq too, if dq_of(head, i) says where.
template <class K, class DQ, class C = typename K::Acc>
void keys_block(const Problem& p, const Gradients& d, int64_t b, int64_t kv, int64_t j0, int64_t n,
                const C* delta, DQ&& dq_of, Room<K>& room) {
  const Keys<K> keys = pack_keys(p, b, kv, j0, n, room);
  const int64_t group = p.H / p.G, first = p.causal ? j0 / kQueries * kQueries : 0, left = p.L - first;
  const bool whole = group == 1 && left > 0 && left <= kQueries && seen_keys(p, first, left, j0, n) == n;
  const Target<C> dk = target_of(*d.dk, b, kv, j0, whole, room.dk.data), dv = target_of(*d.dv, b, kv, j0, whole, room.dv.data);
  if (!whole) {
    std::fill(dk.data, dk.data + n * dk.pitch, C(0));
    std::fill(dv.data, dv.data + n * dv.pitch, C(0));
  }
  for (int64_t x = 0; x < group; x++)
    for (int64_t i = first; i < p.L; i += kQueries) {
      const int64_t rows = std::min(kQueries, p.L - i), seen = seen_keys(p, i, rows, j0, n);
      const Sums<C> to{delta + x * p.L, dq_of(x, i), dk, dv};
      if (seen > 0) block(p, d, b, kv * group + x, i, rows, j0, seen, keys, to, room);
    }
  if (dk.data == room.dk.data) store_rows(*d.dk, b, kv, j0, n, dk.data, dk.pitch);
  if (dv.data == room.dv.data) store_rows(*d.dv, b, kv, j0, n, dv.data, dv.pitch);
}

// Whether each block of queries sees but one of keys.
bool one_block_of_keys(const Problem& p) { return p.S > 0 && p.S <= kKeys && !p.window; }

// dq of a block of queries.
template <class K, class C = typename K::Acc>
void queries_block(const Problem& p, const Gradients& d, int64_t b, int64_t h, int64_t i, const C* delta,
                   Room<K>& room) {
  const int64_t rows = std::min(kQueries, p.L - i), kv = h / (p.H / p.G);
  const Target<C> dq = target_of(*d.dq, b, h, i, one_block_of_keys(p), room.dq.data);
  if (dq.add) std::fill(dq.data, dq.data + rows * dq.pitch, C(0));
  for (int64_t j = 0; j < p.end_key(i + rows - 1); j += kKeys) {
    const int64_t n = std::min(kKeys, p.S - j), seen = seen_keys(p, i, rows, j, n);
    if (seen <= 0) continue;
    const Keys<K> keys = pack_keys(p, b, kv, j, n, room);
    block(p, d, b, h, i, rows, j, seen, keys, Sums<C>{delta, dq, {}, {}}, room);
  }
  if (dq.data == room.dq.data) store_rows(*d.dq, b, h, i, rows, dq.data, dq.pitch);
}

// The gradient of head h's sink logit from batch item b.
template <class C>
C sink_slope(const Problem& p, const Gradients& d, int64_t b, int64_t h, const C* delta) {
  const char* at = p.sinks->data + h * p.sinks->strides[0] * kItemSize[p.sinks->dtype];
  C sink = 0, total = 0;
  dispatch_floats(p.sinks->dtype,
                  [&]<class T>(Type<T>) { sink = C(to_compute(*reinterpret_cast<const T*>(at))); });
  const C* lse = lse_of<C>(p, d, b, h);
  for (int64_t i = 0; i < p.L; i++)
    if (lse[i] != kNone<C>) total -= std::exp(sink - lse[i]) * delta[i];
  return total;
}

// delta of head h, and the gradient of its sink.
template <class K, class C = typename K::Acc>
void head_sums(const Problem& p, const Gradients& d, int64_t b, int64_t h, C* delta, C* sinks, Room<K>& room) {
  make_delta(p, d, b, h, delta, room);
  if (p.sinks) sinks[b * p.H + h] = sink_slope(p, d, b, h, delta);
}

template <class K, class C = typename K::Acc>
void by_heads(const Problem& p, const Gradients& d, C* sinks) {
  const int64_t group = p.H / p.G;
  parallel_for(p.B * p.G, 1, [&](int64_t begin, int64_t end) {
    Room<K> room(p, group * p.L, group * p.L);
    C *dq = room.dq.data, *delta = room.delta.data;
    for (int64_t t = begin; t < end; t++) {
      const int64_t b = t / p.G, kv = t % p.G;
      const auto dq_of = [&](int64_t x, int64_t i) {
        return target_of(*d.dq, b, kv * group + x, i, one_block_of_keys(p), dq + (x * p.L + i) * room.e);
      };
      const bool in_room = p.L > 0 && dq_of(0, 0).data == dq;
      if (in_room) std::fill(dq, dq + group * p.L * room.e, C(0));
      for (int64_t x = 0; x < group; x++) head_sums(p, d, b, kv * group + x, delta + x * p.L, sinks, room);
      for (int64_t j = 0; j < p.S; j += kKeys) keys_block<K>(p, d, b, kv, j, std::min(kKeys, p.S - j), delta, dq_of, room);
      for (int64_t x = 0; x < group && in_room; x++)
        store_rows(*d.dq, b, kv * group + x, 0, p.L, dq + x * p.L * room.e, room.e);
    }
  });
}

template <class K, class C = typename K::Acc>
void by_blocks(const Problem& p, const Gradients& d, C* sinks) {
  Scratch<C> delta(p.B * p.H * p.L);
  auto tasks = [&](int64_t n, auto&& task) {
    parallel_for(n, 1, [&](int64_t begin, int64_t end) {
      Room<K> room(p, kQueries, 0);
      for (int64_t t = begin; t < end; t++) task(t, room);
    });
  };
  tasks(p.B * p.H, [&](int64_t t, Room<K>& room) { head_sums(p, d, t / p.H, t % p.H, delta.data + t * p.L, sinks, room); });
  const int64_t key_blocks = (p.S - 1) / kKeys + 1, query_blocks = (p.L - 1) / kQueries + 1;
  tasks(p.B * p.G * key_blocks, [&](int64_t t, Room<K>& room) {
    const int64_t head = t / key_blocks, j = t % key_blocks * kKeys;
    const C* first = delta.data + head * (p.H / p.G) * p.L;
    keys_block<K>(p, d, head / p.G, head % p.G, j, std::min(kKeys, p.S - j), first, [](int64_t, int64_t) { return Target<C>{}; }, room);
  });
  tasks(p.B * p.H * query_blocks, [&](int64_t t, Room<K>& room) {
    const int64_t head = t / query_blocks;
    queries_block(p, d, head / p.H, head % p.H, t % query_blocks * kQueries, delta.data + head * p.L, room);
  });
}

template <class K, class C = typename K::Acc>
void backward(const Problem& p, const Gradients& d) {
  Scratch<C> sinks(p.B * p.H);
  const int64_t heads = p.B * p.G, threads = runtime->num_threads(), rounds = (heads + threads - 1) / threads;
  // By blocks seven products are computed instead of five, but no thread is idle.
  if (p.L > 0 && p.S > 0 && 5 * rounds * threads > 7 * heads) by_blocks<K>(p, d, sinks.data);
  else by_heads<K>(p, d, sinks.data);
  C* total = ptr<C>(*d.dsinks);
  for (int64_t h = 0; h < p.H; h++) {
    total[h] = 0;
    for (int64_t b = 0; b < p.B && p.sinks; b++) total[h] += sinks[b * p.H + h];
  }
}

// dq, dk, dv, dsinks of g (B, L, H, V), then q, k, v, mask, sinks, out, lse as of the forward pass.
void attention_backward(const Call& call) {
  View* const* v = call.views;
  const Problem p(call, v + 5);
  const Gradients d{v[0], v[1], v[2], v[3], heads_first(*v[4]), heads_first(*v[10]), v[11]};
  if (d.lse->dtype == kFloat64) return backward<Numbers<double>>(p, d);
  with_products({p.q, p.k, p.v, &d.g}, [&]<class K>(K) { backward<K>(p, d); });
}

AL_KERNEL("attention_backward", attention_backward);

}  // namespace

}  // namespace al::attention
