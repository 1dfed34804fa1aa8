// What the forward and the backward pass of attention share: the problem, visible ranges, masks, blocks in
// compute type, products. Differences from the FlashAttention papers: blocks are cut at fixed places, and
// what is masked as a whole is not computed; a query without visible keys gives zeros; an extra logit a head
// (sink) may join the denominator.
#pragma once
#include <algorithm>
#include <limits>
#include <type_traits>

#include "kernel.h"
#include "simd/gemm_pack.h"

namespace al::attention {

using gemm::kRows;
using gemm::kVecs;

constexpr int64_t kKeys = 128;  // keys of a block: 128 x 64 x 4 B = 32 KiB of k, as much of v, in L2
constexpr int64_t kQueries = 64;  // queries of a block; scores: 64 x 128 x 4 B = 32 KiB

template <class C>
constexpr int kWidth = Lanes<C>::width;
template <class C>
constexpr int kPanel = kVecs * Lanes<C>::width;

inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// Of an axis, from `first` to before `end`.
struct Span {
  int64_t first, end;
};

// q (B, H, L, E), k (B, G, S, E), v (B, G, S, V); mask broadcast to (B, H, L, S); sinks (H).
struct Problem {
  const View *q, *k, *v, *mask, *sinks;
  int64_t B, H, G, L, S, E, V;
  bool causal;
  int64_t window;  // keys that a query sees, itself the last; 0: all
  double scale;
  bool grouped = false;

  // views: q, k, v, mask, sinks; ints: causal, window; floats: scale
  Problem(const Call& call, View* const* views)
      : q(views[0]),
        k(views[1]),
        v(views[2]),
        mask(views[3]),
        sinks(views[4]),
        B(q->shape[0]),
        H(q->shape[1]),
        G(k->shape[1]),
        L(q->shape[2]),
        S(k->shape[2]),
        E(q->shape[3]),
        V(v->shape[3]),
        causal(call.ints[0]),
        window(call.ints[1]),
        scale(call.floats[0]) {}

  // Where the result of query i of head (b, h) lies in rows of V: results are (B, L, H, V).
  int64_t result_row(int64_t b, int64_t h, int64_t i) const { return grouped ? (b * H + h) * L + i : (b * L + i) * H + h; }

  // One query of each head, several heads for one of keys: the heads of a group become the queries of one, so that its keys are packed once.
  void group_heads(View& queries, View& masks) {
    const int64_t R = H / G;
    const auto regroup = [&](const View* x, View& to) {
      to = *x;
      to.shape[1] = G, to.shape[2] = R;
      to.strides[2] = x->strides[1], to.strides[1] = x->strides[1] * R;
      return &to;
    };
    q = regroup(q, queries);
    if (mask) mask = regroup(mask, masks);
    H = G, L = R, grouped = true;
  }

  // Keys [first, end) that query i may see, masks aside.
  int64_t first_key(int64_t i) const { return window ? std::clamp<int64_t>(i - window + 1, 0, S) : 0; }
  int64_t end_key(int64_t i) const { return causal ? std::min(i + 1, S) : S; }
  // Of n keys from j0, those that some of the queries [i, i + m) see: what lies outside is zero for all of them.
  Span keys_seen(int64_t i, int64_t m, int64_t j0, int64_t n) const {
    return {std::clamp<int64_t>(first_key(i) - j0, 0, n), std::clamp<int64_t>(end_key(i + m - 1) - j0, 0, n)};
  }
  // Of n queries from i0, those that see some of the keys [j, j + m).
  Span queries_seeing(int64_t j, int64_t m, int64_t i0, int64_t n) const {
    return {causal ? std::clamp<int64_t>(j - i0, 0, n) : 0, window ? std::clamp<int64_t>(j + m - 1 + window - i0, 0, n) : n};
  }
};

// Rows of numbers of the compute type.
template <class C>
struct Rows {
  const C* data;
  int64_t stride;
};

// A left operand: where its rows and its steps lie.
template <class C>
struct Left {
  const C* data;
  int64_t row, step;
};

inline const char* head_of(const View& x, int64_t b, int64_t h) {
  return x.data + (b * x.strides[0] + h * x.strides[1]) * kItemSize[x.dtype];
}

// Whether rows of this view can be read where they lie: compute type, whole vectors.
template <class C>
bool direct(const View& x) {
  return x.dtype == dtype_of<C> && x.strides[3] == 1 && x.shape[3] % kWidth<C> == 0;
}

// Rows [from, from + n) of head (b, h), columns padded by zeros to whole vectors; `room` is used unless they
// lie so.
template <class C>
Rows<C> rows_of(const View& x, int64_t b, int64_t h, int64_t from, int64_t n, C* room) {
  const char* head = head_of(x, b, h);
  if (direct<C>(x)) return {reinterpret_cast<const C*>(head) + from * x.strides[2], x.strides[2]};
  const int64_t cols = x.shape[3], pitch = round_up(cols, kWidth<C>);
  dispatch_floats(x.dtype, [&]<class T>(Type<T>) {
    if constexpr (std::is_same_v<compute_t<T>, C>) {
      for (int64_t r = 0; r < n; r++) {
        const T* src = reinterpret_cast<const T*>(head) + (from + r) * x.strides[2];
        C* dst = room + r * pitch;
        if (x.strides[3] == 1)
          load_floats(src, dst, cols);
        else
          for (int64_t c = 0; c < cols; c++) dst[c] = to_compute(src[c * x.strides[3]]);
        std::fill(dst + cols, dst + pitch, C(0));
      }
    }
  });
  return {room, pitch};
}

// Panels of the transposed rows: kPanel rows side by side, `depth` steps; rows beyond n are zero.
template <class C>
void pack_columns(Rows<C> x, int64_t n, int64_t depth, C* to) {
  using Policy = gemm::MultiplyAdd<C>;
  for (int64_t r = 0; r < n; r += kPanel<C>, to += kPanel<C> * depth) {
    const int lines = int(std::min<int64_t>(kPanel<C>, n - r));
    gemm::pack<Policy, kPanel<C>, C>(x.data + r * x.stride, x.stride, 1, lines, depth, to, kPanel<C>, depth);
  }
}

// One row by V vectors of b, from the first column of a panel on: V chains of additions hide the latency of one.
template <class P, int V, class Word = typename P::Packed, class C = typename P::Acc>
void row_by_vectors(int64_t depth, const Word* a, int64_t a_step, const Word* b, int64_t b_step, int64_t panel, C* c, bool add) {
  Vec<C> sum[V] = {};
  for (int64_t k = 0; k < depth; k++, b += b_step) {
    const Vec<Word> y = splat(a[k * a_step]);
#pragma GCC unroll 8
    for (int v = 0; v < V; v++) sum[v] = P::apply(y, load(b + v / kVecs * panel + v % kVecs * kWidth<C>), sum[v]);
  }
#pragma GCC unroll 8
  for (int v = 0; v < V; v++) store(c + v * kWidth<C>, add ? load(c + v * kWidth<C>) + sum[v] : sum[v]);
}
template <class P, class Word = typename P::Packed, class C = typename P::Acc>
void row_product(int64_t n, int64_t depth, const Word* a, int64_t a_step, const Word* b, int64_t b_step, int64_t panel, C* c, bool add) {
  const auto run = [&]<int V>(std::integral_constant<int, V>) {
    for (; n >= V * kWidth<C>; n -= V * kWidth<C>, b += V / kVecs * panel, c += V * kWidth<C>)
      row_by_vectors<P, V>(depth, a, a_step, b, b_step, panel, c, add);
  };
  run(std::integral_constant<int, 4 * kVecs>{});
  run(std::integral_constant<int, 2 * kVecs>{});
  run(std::integral_constant<int, kVecs>{});
  run(std::integral_constant<int, 1>{});  // fewer than a panel holds: the last
}

// The part of a sum that a tile takes, and how many of its columns are wanted.
struct Part {
  Span steps;
  int64_t cols = std::numeric_limits<int64_t>::max();
};

// Steps of a sum over n numbers.
template <class K>
int64_t words(int64_t n) { return (n + K::step - 1) / K::step; }

// c (m, n) = or += a (m, depth) @ b: n whole vectors; b in panels `panel` apart, steps `b_step` apart. part_of(i, m, j) is what rows
// [i, i + m) take of the panel that begins with column j; steps that end before they begin leave c as it is.
template <class P, class Parts, class Word = typename P::Packed, class C = typename P::Acc>
void product(int64_t m, int64_t n, int64_t depth, Left<Word> a, const Word* b, int64_t b_step, int64_t panel, C* c, int64_t ldc, bool add,
             Parts&& part_of) {
  if (m == 1) return row_product<P>(n, depth, a.data, a.step, b, b_step, panel, c, add);
  for (int64_t j = 0; j < n; j += kPanel<C>, b += panel) {
    for (int64_t i = 0; i < m; i += kRows) {
      const int rows = int(std::min<int64_t>(kRows, m - i));
      const auto [part, cols] = part_of(i, rows, j);
      const int vecs = int(std::min<int64_t>(kVecs, (std::min(n - j, cols) + kWidth<C> - 1) / kWidth<C>));
      if (part.end - part.first < int(add)) continue;  // nothing to add, or no part at all
      gemm::run_tile<P, gemm::Reads::kRows>(rows, vecs, {part.end - part.first, a.data + i * a.row + part.first * a.step, a.row, a.step,
                                                         b + part.first * b_step, b_step, c + i * ldc + j, ldc, add});
    }
  }
}
// Scores of m rows and n keys; those that keys_of(i, m) rules out for a whole tile are left as they are.
template <class P, class Keys, class Word = typename P::Packed, class C = typename P::Acc>
void score(int64_t m, int64_t n, int64_t depth, Rows<Word> a, const Word* panels, C* c, int64_t ldc, Keys&& keys_of) {
  const Left<Word> left{a.data, a.stride, 1};
  product<P>(m, round_up(n, kWidth<C>), depth, left, panels, kPanel<C>, kPanel<C> * depth, c, ldc, false, [&](int64_t i, int64_t rows, int64_t j) {
    const Span keys = keys_of(i, rows);
    return Part{{0, j < keys.end && j + kPanel<C> > keys.first ? depth : -1}, keys.end - j};
  });
}
// Scores of R rows: keys are turned in registers, since too few rows want their panels. Whole vectors of a depth.
template <class P, int R, class Word = typename P::Packed, class C = typename P::Acc>
void score_rows(int64_t n, int64_t depth, Rows<Word> a, Rows<Word> keys, C* c, int64_t ldc) {
  constexpr int width = kWidth<Word>;
  for (int64_t j = 0; j < n; j += width) {
    Vec<C> sum[R] = {};
    for (int64_t k = 0; k < depth; k += width) {
      Vec<Word> block[width];
#pragma GCC unroll 16
      for (int i = 0; i < width; i++) block[i] = j + i < n ? load(keys.data + (j + i) * keys.stride + k) : Vec<Word>{};
      gemm::transpose<Word>(block);
#pragma GCC unroll 16
      for (int i = 0; i < width; i++)
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) sum[r] = P::apply(splat(a.data[r * a.stride + k + i]), block[i], sum[r]);
    }
    for (int r = 0; r < R; r++) store(c + r * ldc + j, sum[r]);
  }
}
constexpr int64_t kFewRows = 4;  // so many, or fewer
template <class P, class Word = typename P::Packed, class C = typename P::Acc>
void score_few(int64_t m, int64_t n, int64_t depth, Rows<Word> a, Rows<Word> keys, C* c, int64_t ldc) {
  constexpr auto run = std::array{score_rows<P, 1>, score_rows<P, 2>, score_rows<P, 3>, score_rows<P, kFewRows>};
  run[m - 1](n, depth, a, keys, c, ldc);
}
// c (m, n) = or += a @ b, b by rows: of these, the tile of rows [i, i + m) takes rows_of(i, m), which hold all of its a that is not zero.
template <class K, class Of, class Word = typename K::Word, class C = typename K::Acc>
void multiply_rows(int64_t m, int64_t n, int64_t depth, Left<Word> a, Rows<Word> b, C* c, int64_t ldc, bool add, Of&& rows_of) {
  product<typename K::Policy>(m, n, words<K>(depth), a, b.data, b.stride, kPanel<C>, c, ldc, add, [&](int64_t i, int64_t rows, int64_t) {
    const Span of = rows_of(i, rows);
    return Part{{of.first / K::step, words<K>(of.end)}};
  });
}

// How products are made: here of numbers, each by itself; attention_pairs.h has that of pairs. A word is what one step of a sum takes.
template <class C>
struct Numbers {
  using Acc = C;
  using Word = C;
  using Policy = gemm::MultiplyAdd<C>;
  static constexpr int64_t step = 1;  // numbers in a word

  // Rows [from, from + n) of head (b, h), as words; `room` is used unless they lie so.
  static Rows<C> words_of(const View& x, int64_t b, int64_t h, int64_t from, int64_t n, C* room) { return rows_of(x, b, h, from, n, room); }
  // n rows for sums over them.
  static Rows<C> stack(Rows<C> x, int64_t, int64_t, C*) { return x; }
  // What rows of n numbers, kKeys apart, are multiplied as: along the rows, or turned and along the columns.
  static Left<C> along_rows(const C* x, int64_t, int64_t, C*) { return {x, kKeys, 1}; }
  static Left<C> along_columns(const C* x, int64_t, int64_t, C*) { return {x, 1, kKeys}; }
};

}  // namespace al::attention
