// Attention forward: blocks of queries by blocks of keys, the softmax kept as a running maximum and sum; the
// scores of one block are all that exists of them.
#include "simd/attention_pairs.h"

namespace al::attention {

namespace {

constexpr int64_t kParallelWork = 1 << 18;  // multiplications worth a thread
constexpr int64_t kPacking = 4;  // of keys and values, in rows of queries that take as long

// One thread's room.
template <class K, class C = typename K::Acc>
struct Room {
  Scratch<typename K::Word> q, keys, panels, values, stack, weights;
  Scratch<C> scores, out, top, sum;
  explicit Room(const Problem& p)
      : q(kQueries * round_up(p.E, kWidth<C>) / K::step),
        keys(kKeys * round_up(p.E, kWidth<C>) / K::step),
        panels(kKeys * words<K>(p.E)),
        values(kKeys * round_up(p.V, kWidth<C>) / K::step),
        stack((K::step - 1) * kKeys * round_up(p.V, kWidth<C>) / K::step),
        weights((K::step - 1) * kQueries * kKeys / K::step),
        scores(kQueries * kKeys),
        out(kQueries * round_up(p.V, kWidth<C>)),
        top(kQueries),
        sum(kQueries) {}
};

// Turns `seen` scores into weights against the new maximum; what was summed before is scaled to it.
template <class C>
void update_row(C* s, int64_t seen, C* top, C* sum, C* out, int64_t out_cols) {
  Vec<C> best = splat(*top);
  for (int64_t j = 0; j < seen; j += kWidth<C>) {
    const Vec<C> x = load(s + j);
    best = x > best ? x : best;
  }
  const C next = max_lanes<C>(best), none = -std::numeric_limits<C>::infinity();
  const Vec<C> shift = splat(next == none ? C(0) : next);
  Vec<C> total{};
  for (int64_t j = 0; j < seen; j += kWidth<C>) {
    const Vec<C> w = vexp(load(s + j) - shift);
    store(s + j, w);
    total += w;
  }
  if (next != *top) {
    const Vec<C> factor = splat(*top == none ? C(0) : std::exp(*top - next));
    for (int64_t j = 0; j < out_cols; j += kWidth<C>) store(out + j, load(out + j) * factor);
    *sum *= factor[0];
    *top = next;
  }
  *sum += sum_lanes<C>(total);
}

template <class K, class C = typename K::Acc>
void add_keys(const Problem& p, int64_t b, int64_t h, int64_t i0, int64_t rows, int64_t j0, int64_t n,
              Rows<typename K::Word> q, Room<K>& room) {
  const int64_t g = h / (p.H / p.G), cols = round_up(p.V, kWidth<C>), padded = round_up(n, kWidth<C>);
  pack_columns(K::words_of(*p.k, b, g, j0, n, room.keys.data), n, words<K>(p.E), room.panels.data);
  const auto values = K::stack(K::words_of(*p.v, b, g, j0, n, room.values.data), n, cols, room.stack.data);
  const auto keys_of = [&](int64_t r, int64_t m) { return p.keys_seen(i0 + r, m, j0, n); };
  score<typename K::Policy>(rows, n, words<K>(p.E), q, room.panels.data, room.scores.data, kKeys, keys_of);
  for (int64_t r = 0; r < rows; r++) {
    C* s = room.scores.data + r * kKeys;
    const int64_t seen = mask_row(p, b, h, i0 + r, j0, n, s);
    update_row(s, seen, &room.top[r], &room.sum[r], room.out.data + r * cols, cols);
    std::fill(s + seen, s + padded, C(0));
  }
  const auto weights = K::along_rows(room.scores.data, rows, padded, room.weights.data);
  add_rows<K>(rows, cols, n, weights, values, room.out.data, cols, keys_of);
}

// Queries [i0, i0 + rows) of head (b, h), to out (B, L, H, V) and lse (B, H, L), the logarithm of the
// softmax's denominator.
template <class K, class C = typename K::Acc>
void block(const Problem& p, int64_t b, int64_t h, int64_t i0, int64_t rows, const View& out, const View& lse,
           Room<K>& room) {
  const int64_t cols = round_up(p.V, kWidth<C>);
  const C none = -std::numeric_limits<C>::infinity();
  std::fill(room.out.data, room.out.data + rows * cols, C(0));
  std::fill(room.sum.data, room.sum.data + rows, C(0));
  std::fill(room.top.data, room.top.data + rows, none);
  const auto q = K::words_of(*p.q, b, h, i0, rows, room.q.data);
  const int64_t end = p.end_key(i0 + rows - 1);
  for (int64_t j = p.first_key(i0) / kKeys * kKeys; j < end; j += kKeys)
    add_keys<K>(p, b, h, i0, rows, j, std::min(kKeys, end - j), q, room);
  for (int64_t r = 0; r < rows; r++) {
    C top = room.top[r], sum = room.sum[r];
    C* o = room.out.data + r * cols;
    C factor = 1;
    if (p.sinks) {
      const char* at = p.sinks->data + h * p.sinks->strides[0] * kItemSize[p.sinks->dtype];
      C sink = 0;
      dispatch_floats(p.sinks->dtype,
                      [&]<class T>(Type<T>) { sink = C(to_compute(*reinterpret_cast<const T*>(at))); });
      const C next = std::max(top, sink);
      factor = top == none ? C(0) : std::exp(top - next);
      sum = sum * factor + (next == none ? C(0) : std::exp(sink - next));
      top = next;
    }
    factor = sum == 0 ? C(0) : factor / sum;
    for (int64_t c = 0; c < p.V; c++) o[c] *= factor;
    ptr<C>(lse)[(b * p.H + h) * p.L + i0 + r] = sum == 0 ? none : top + std::log(sum);
    const int64_t at = p.result_row(b, h, i0 + r) * p.V;
    dispatch_floats(out.dtype, [&]<class T>(Type<T>) {
      if constexpr (std::is_same_v<compute_t<T>, C>) store_floats(o, ptr<T>(out) + at, p.V);
    });
  }
}

template <class K>
void forward(const Problem& p, const View& out, const View& lse) {
  const int64_t blocks = (p.L + kQueries - 1) / kQueries;
  const int64_t rows = std::min(p.L, kQueries), work = (rows + kPacking) * p.S * (p.E + p.V);
  parallel_for(p.B * p.H * blocks, std::max<int64_t>(1, kParallelWork / std::max<int64_t>(1, work)), [&](int64_t begin, int64_t end) {
    Room<K> room(p);
    for (int64_t t = begin; t < end; t++) {
      const int64_t i = t % blocks * kQueries, bh = t / blocks;
      block<K>(p, bh / p.H, bh % p.H, i, std::min(kQueries, p.L - i), out, lse, room);
    }
  });
}

// out (B, L, H, V), lse (B, H, L) of q, k, v, mask, sinks (the last two may be absent).
void attention(const Call& call) {
  const View &out = *call.views[0], &lse = *call.views[1];
  Problem p(call, call.views + 2);
  if (numel(lse) == 0) return;
  View queries, masks;
  if (p.L == 1 && p.H > p.G && !p.causal && !p.window && !p.sinks) p.group_heads(queries, masks);
  if (lse.dtype == kFloat64) return forward<Numbers<double>>(p, out, lse);
  with_products({p.q, p.k, p.v}, [&]<class K>(K) { forward<K>(p, out, lse); });
}

AL_KERNEL("attention", attention);

}  // namespace

}  // namespace al::attention
