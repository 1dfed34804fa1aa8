// Attention forward: blocks of queries by blocks of keys, the softmax kept as a running maximum and sum; the
// scores of one block are all that exists of them.
#include "simd/attention_pairs.h"
#include "simd/attention_rows.h"

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

// A row's weights against `shift`, in place of its scores; zeros behind them, up to n. The sums of each lane.
template <class C>
AL_INLINE Vec<C> weigh(const Scores<C>& scores, C* s, int64_t end, int64_t n, Vec<C> shift) {
  Vec<C> total{};
  by_vectors<C>(end, [&]<int K>(int64_t j, std::integral_constant<int, K>) {
    Vec<C> x[K];
    scores.template shifted<K>(s, j, end, shift, x);
    vm::exp_decay<K>(x);
#pragma GCC unroll 2
    for (int k = 0; k < K; k++) {
      store(s + j + k * kWidth<C>, x[k]);
      total += x[k];
    }
  });
  clear_rest(s, end, n);
  return total;
}

// Of a row's scores, the largest of each lane.
template <class C>
AL_INLINE Vec<C> largest(const Scores<C>& scores, const C* s, int64_t end) {
  Vec<C> best = splat(kNone<C>);
  by_vectors<C>(end, [&]<int K>(int64_t j, std::integral_constant<int, K>) {
    Vec<C> x[K];
    scores.template shifted<K>(s, j, end, Vec<C>{}, x);
#pragma GCC unroll 2
    for (int k = 0; k < K; k++) best = vm::larger(x[k], best);
  });
  return best;
}

// Of `count` rows from r, as many as a vector has lanes or fewer: turns scores into weights against the new maxima; what was summed before,
// unless these keys are the first, is scaled to these.
template <class C>
void update_rows(const Scores<C>& scores, int64_t r, int count, bool first, C* tops, C* sums, C* out, int64_t cols) {
  const int64_t padded = round_up(scores.n, kWidth<C>);
  Vec<C> lines[kWidth<C>] = {};
  int64_t end[kWidth<C>];
  for (int k = 0; k < count; k++) {
    end[k] = scores.masked(r + k);
    lines[k] = largest(scores, scores.row(r + k), end[k]);
  }
  const Vec<C> none = splat(kNone<C>), old = first ? none : load(tops + r), top = vm::larger(maxima_of_lanes<C>(lines, count), old);
  const Vec<C> shift = top == none ? Vec<C>{} : top;
  for (int k = 0; k < count; k++) lines[k] = weigh(scores, scores.row(r + k), end[k], padded, splat(C(shift[k])));
  Vec<C> sum = sums_of_lanes<C>(lines, count);
  if (!first) {
    Vec<C> decay[1] = {old - top};
    vm::exp_decay<1>(decay);
    const Vec<C> factor = old == none ? Vec<C>{} : decay[0];
    sum += load(sums + r) * factor;
    for (int k = 0; k < count; k++)
      for (int64_t j = 0; j < cols && factor[k] != 1; j += kWidth<C>) store(out + k * cols + j, load(out + k * cols + j) * splat(C(factor[k])));
  }
  store(tops + r, top);
  store(sums + r, sum);
}

template <class K, class C = typename K::Acc>
void add_keys(const Problem& p, int64_t b, int64_t h, int64_t i0, int64_t rows, int64_t j0, int64_t n, bool first,
              Rows<typename K::Word> q, Room<K>& room) {
  const int64_t g = h / (p.H / p.G), cols = round_up(p.V, kWidth<C>), padded = round_up(n, kWidth<C>);
  const auto keys = K::words_of(*p.k, b, g, j0, n, room.keys.data);
  const auto values = K::stack(K::words_of(*p.v, b, g, j0, n, room.values.data), n, cols, room.stack.data);
  const auto keys_of = [&](int64_t r, int64_t m) { return p.keys_seen(i0 + r, m, j0, n); };
  if (rows <= kFewRows && words<K>(p.E) % kWidth<C> == 0) {
    score_few<typename K::Policy>(rows, n, words<K>(p.E), q, keys, room.scores.data, kKeys);
  } else {
    pack_columns(keys, n, words<K>(p.E), room.panels.data);
    score<typename K::Policy>(rows, n, words<K>(p.E), q, room.panels.data, room.scores.data, kKeys, keys_of);
  }
  const Scores<C> scores{p, b, h, i0, j0, n, room.scores.data};
  for (int64_t r = 0; r < rows; r += kWidth<C>)
    update_rows(scores, r, int(std::min<int64_t>(kWidth<C>, rows - r)), first, room.top.data, room.sum.data, room.out.data + r * cols, cols);
  const auto weights = K::along_rows(room.scores.data, rows, padded, room.weights.data);
  multiply_rows<K>(rows, cols, n, weights, values, room.out.data, cols, !first, keys_of);
}

// The extra logit of head h.
template <class C>
C sink_of(const Problem& p, int64_t h) {
  const char* at = p.sinks->data + h * p.sinks->strides[0] * kItemSize[p.sinks->dtype];
  C sink = 0;
  dispatch_floats(p.sinks->dtype, [&]<class T>(Type<T>) { sink = C(to_compute(*reinterpret_cast<const T*>(at))); });
  return sink;
}

inline float log_of(float x) { return vm::log(x); }
inline double log_of(double x) { return std::log(x); }

// The factor of up to a vector of rows that are summed, and the logarithms of their denominators, to lse.
template <class C>
Vec<C> finish_rows(const Problem& p, int64_t h, Vec<C> top, Vec<C> sum, int count, C* lse) {
  const Vec<C> none = splat(kNone<C>);
  Vec<C> factor = splat(C(1));
  if (p.sinks) {
    const Vec<C> sink = splat(sink_of<C>(p, h)), next = vm::larger(sink, top);
    Vec<C> decay[2] = {top - next, sink - next};
    vm::exp_decay<2>(decay);
    factor = top == none ? Vec<C>{} : decay[0];
    sum = sum * factor + (next == none ? Vec<C>{} : decay[1]);
    top = next;
  }
  C logs[kWidth<C>];
  for (int l = 0; l < kWidth<C>; l++) logs[l] = log_of(C(sum[l]));
  const auto nothing = sum == Vec<C>{};
  const Vec<C> y = nothing ? none : top + load(logs);
  for (int k = 0; k < count; k++) lse[k] = y[k];
  return nothing ? Vec<C>{} : factor / sum;
}

// A row of V numbers times a factor, to the result's row.
template <class C>
void store_row(C* o, C factor, const View& out, int64_t at, int64_t V) {
  const bool direct = out.dtype == dtype_of<C>;
  C* to = direct ? ptr<C>(out) + at : o;
  int64_t c = 0;
  for (; c + kWidth<C> <= V; c += kWidth<C>) store(to + c, load(o + c) * splat(factor));
  for (; c < V; c++) to[c] = o[c] * factor;
  if (direct) return;
  dispatch_floats(out.dtype, [&]<class T>(Type<T>) {
    if constexpr (std::is_same_v<compute_t<T>, C>) store_floats(o, ptr<T>(out) + at, V);
  });
}

// Queries [i0, i0 + rows) of head (b, h), to out (B, L, H, V) and lse (B, H, L), the logarithm of the
// softmax's denominator.
template <class K, class C = typename K::Acc>
void block(const Problem& p, int64_t b, int64_t h, int64_t i0, int64_t rows, const View& out, const View& lse,
           Room<K>& room) {
  const int64_t cols = round_up(p.V, kWidth<C>), end = p.end_key(i0 + rows - 1), begin = p.first_key(i0) / kKeys * kKeys;
  if (begin >= end) {
    std::fill(room.out.data, room.out.data + rows * cols, C(0));
    std::fill(room.sum.data, room.sum.data + rows, C(0));
    std::fill(room.top.data, room.top.data + rows, kNone<C>);
  }
  const auto q = K::words_of(*p.q, b, h, i0, rows, room.q.data);
  for (int64_t j = begin; j < end; j += kKeys) add_keys<K>(p, b, h, i0, rows, j, std::min(kKeys, end - j), j == begin, q, room);
  for (int64_t r = 0; r < rows; r += kWidth<C>) {
    const int count = int(std::min<int64_t>(kWidth<C>, rows - r));
    const Vec<C> factor = finish_rows<C>(p, h, load(room.top.data + r), load(room.sum.data + r), count, ptr<C>(lse) + (b * p.H + h) * p.L + i0 + r);
    for (int k = 0; k < count; k++) store_row(room.out.data + (r + k) * cols, C(factor[k]), out, p.result_row(b, h, i0 + r + k) * p.V, p.V);
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
