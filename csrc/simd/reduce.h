// One driver for all reductions over any dims of a strided tensor. An operation is a struct of small
// functions:
//   map(x, c)      what an element gives; c is the output's centre (mean, maximum), for those that have one
//   combine(a, b)  associative and commutative; for scalars and vectors alike
// The order of combination is a fixed tree over blocks of elements: it knows neither the threads nor the
// other outputs.
#pragma once
#include <algorithm>

#include "lanes.h"
#include "reduce_plan.h"

namespace al::reduce {

constexpr int64_t kBlock = 1024;      // elements combined by vector accumulators before the tree starts
constexpr int64_t kChunkBlocks = 32;  // a power of two: blocks that one task takes of one output
constexpr int64_t kRows = 32;         // the same for columns: rows of a block,
constexpr int64_t kChunkRows = 16;    // blocks of a chunk
constexpr int64_t kTile = 1024;       // columns of a tile: 4 KiB of float accumulators a level
constexpr int64_t kGrain = 32768;     // elements below which threads cost more than they give
constexpr int kLevels = 48;

inline int64_t row_grain(int64_t length) {
  return std::max<int64_t>(1, kGrain / std::max<int64_t>(length, 1));
}
// body(begin, end) on ranges of rows, by threads where there are elements enough, and then in pieces that go round evenly.
template <class F> void for_rows(int64_t rows, int64_t length, F&& body) {
  constexpr int64_t kPieces = 8;  // of what pays for a thread
  const int64_t grain = row_grain(length);
  parallel_for(rows, rows <= grain ? rows : std::max<int64_t>(1, grain / kPieces), body);
}

// Partial results of equal weight are combined two by two: a binary counter, whose tree is the same however
// the sequence is cut at multiples of a power of two.
template <class Op, class A> struct Tree {
  A level[kLevels];
  uint64_t count = 0;
  void add(A value) {
    int k = 0;
    for (uint64_t c = count++; c & 1; c >>= 1) value = Op::combine(level[k++], value);
    level[k] = value;
  }
  A result(A empty) {
    bool any = false;
    A value = empty;
    for (int k = 0; k < kLevels && count >> k; k++) {
      if (!(count >> k & 1)) continue;
      value = any ? Op::combine(level[k], value) : level[k];
      any = true;
    }
    return value;
  }
};

// All lanes of a vector: the upper half with the lower one, until one is left.
template <int first, class V, size_t... I> AL_INLINE auto some_lanes(V v, std::index_sequence<I...>) {
  return __builtin_shufflevector(v, v, (first + int(I))...);
}
template <class Op, class V> AL_INLINE auto combine_lanes(V v) {
  constexpr int half = int(sizeof(V) / sizeof(v[0])) / 2;
  if constexpr (half == 1) {
    return Op::combine(v[0], v[1]);
  } else if constexpr (sizeof(V) > 16) {
    constexpr auto index = std::make_index_sequence<half>{};
    return combine_lanes<Op>(Op::combine(some_lanes<0>(v, index), some_lanes<half>(v, index)));
  } else {
    const V both = Op::combine(v, __builtin_shufflevector(v, v, 2, 3, 0, 1));
    return Op::combine(both[0], both[1]);
  }
}

// Up to kBlock contiguous elements.
template <class Op, class A> A reduce_block(const A* x, int64_t n, A c) {
  if constexpr (Op::transcendental) {  // first a loop of its own, for the compiler to vectorise
    alignas(64) A mapped[kBlock];
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) mapped[i] = Op::map(x[i], c);
    return reduce_block<typename Op::Then>(mapped, n, c);
  } else {
    constexpr int W = Lanes<A>::width, U = 8;
    A result = Op::template identity<A>();
    int64_t i = 0;
    if (n >= W) {
      Vec<A> acc[U], centre = splat(c);
      for (int k = 0; k < U; k++) acc[k] = splat(result);
      for (; i + U * W <= n; i += U * W)
        for (int k = 0; k < U; k++) acc[k] = Op::combine(acc[k], Op::map(load(x + i + k * W), centre));
#pragma GCC unroll 8
      for (int k = 0; k < U - 1; k++)  // each in its register
        if (i + W <= n) acc[k] = Op::combine(acc[k], Op::map(load(x + i), centre)), i += W;
      for (int half = U / 2; half; half /= 2)
        for (int k = 0; k < half; k++) acc[k] = Op::combine(acc[k], acc[k + half]);
      result = combine_lanes<Op>(acc[0]);
    }
    for (; i < n; i++) result = Op::combine(result, Op::map(x[i], c));
    return result;
  }
}

// How one reduction reads its input: kept and reduced dims, base address, and whether blocks may be used
// where they lie.
template <class A> struct Source {
  const Plan& plan;
  const char* data;
  int64_t itemsize;
  bool direct;
  LoadFn<A> load;
  Source(const Plan& p, const View& x)
      : plan(p),
        data(x.data),
        itemsize(kItemSize[x.dtype]),
        direct(x.dtype == dtype_of<A>),
        load(loader<A>(x.dtype)) {}
  Source(const Plan& p, const View& x, LoadFn<A> mapping)
      : plan(p), data(x.data), itemsize(kItemSize[x.dtype]), direct(false), load(mapping) {}

  // Elements [begin, begin + n) of the reduced dims, from an output's base offset.
  const A* block(int64_t base, int64_t begin, int64_t n, A* buffer) const {
    if (plan.reduced == 0) {
      load(data + base * itemsize, 1, buffer, n);
      return buffer;
    }
    int64_t run = plan.size[plan.reduced - 1], step = plan.stride[plan.reduced - 1];
    for (int64_t i = 0; i < n;) {
      int64_t at = begin + i, take = plan.reduced == 1 ? n : std::min(n - i, run - at % run);
      const char* from = data + (base + plan.offset(at)) * itemsize;
      if (take == n && step == 1 && direct) return reinterpret_cast<const A*>(from);
      load(from, step, buffer + i, take);
      i += take;
    }
    return buffer;
  }
};

template <class Op, class A> A reduce_chunk(const Source<A>& s, int64_t base, int64_t begin, int64_t end,
                                            A c) {
  alignas(64) A buffer[kBlock];
  if (end - begin <= kBlock)
    return reduce_block<Op>(s.block(base, begin, end - begin, buffer), end - begin, c);
  Tree<Op, A> tree;
  for (int64_t b = begin; b < end; b += kBlock) {
    int64_t n = std::min(kBlock, end - b);
    tree.add(reduce_block<Op>(s.block(base, b, n, buffer), n, c));
  }
  return tree.result(Op::template identity<A>());
}

// Takes the results: the final step (a root, a division) and the store.
template <class A> struct Sink {
  void (*put)(void* context, A value, int64_t index);
  void* context;
  template <class F> Sink(F&& f)
      : put([](void* c, A value, int64_t i) { (*static_cast<std::remove_reference_t<F>*>(c))(value, i); }),
        context((void*)&f) {}
  void operator()(A value, int64_t index) const { put(context, value, index); }
};

// Each output is a run of elements.
template <class Op, class A> void by_rows(const Source<A>& s, const A* centre, const Sink<A>& out) {
  const Plan& p = s.plan;
  constexpr int64_t chunk = kBlock * kChunkBlocks;
  int64_t chunks = (p.length + chunk - 1) / chunk;
  if (chunks <= 1) {
    return for_rows(p.outputs, p.length, [&](int64_t b, int64_t e) {
      for (int64_t i = b; i < e; i++) out(reduce_chunk<Op, A>(s, p.kept_offset(i, p.kept), 0, p.length, centre ? centre[i] : A(0)), i);
    });
  }
  Scratch<A> partial(p.outputs * chunks);
  parallel_for(p.outputs * chunks, 1, [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; t++) {
      int64_t i = t / chunks, begin = t % chunks * chunk;
      partial[t] = reduce_chunk<Op, A>(s, p.kept_offset(i, p.kept), begin, std::min(begin + chunk, p.length),
                                       centre ? centre[i] : A(0));
    }
  });
  for (int64_t i = 0; i < p.outputs; i++) {
    Tree<Op, A> tree;
    for (int64_t k = 0; k < chunks; k++) tree.add(partial[i * chunks + k]);
    out(tree.result(Op::template identity<A>()), i);
  }
}

// Calls f(j, type) for every j in [0, w): for whole vectors as Vec<A>, then for single elements as A.
template <class A, class F> AL_INLINE void sweep(int64_t w, F&& f) {
  int64_t j = 0;
  for (; j + Lanes<A>::width <= w; j += Lanes<A>::width) f(j, Type<Vec<A>>{});
  for (; j < w; j++) f(j, Type<A>{});
}
template <class V, class A> AL_INLINE V get(const A* p) {
  if constexpr (std::is_same_v<V, A>) return *p;
  else return load(p);
}
template <class V, class A> AL_INLINE void put(A* p, V v) {
  if constexpr (std::is_same_v<V, A>) *p = v;
  else store(p, v);
}

template <class Op, class A> void combine_into(A* a, const A* b, int64_t w) {
  sweep<A>(w, [=]<class V>(int64_t j, Type<V>) { put<V>(a + j, Op::combine(get<V>(a + j), get<V>(b + j))); });
}

// Up to kRows rows of w columns each into acc.
template <class Op, class A> void reduce_rows(const A* const* rows, int64_t n, A* acc, const A* c,
                                              int64_t w) {
  int64_t r = n & 3;
  const A *p0 = rows[0], *p1 = rows[r > 1 ? 1 : 0], *p2 = rows[r > 2 ? 2 : 0];
  sweep<A>(w, [=]<class V>(int64_t j, Type<V>) {
    V centre = Op::centred ? get<V>(c + j) : V{}, a = V{} + Op::template identity<A>();
    if (r > 0) a = Op::map(get<V>(p0 + j), centre);
    if (r > 1) a = Op::combine(a, Op::map(get<V>(p1 + j), centre));
    if (r > 2) a = Op::combine(a, Op::map(get<V>(p2 + j), centre));
    put<V>(acc + j, a);
  });
  for (; r + 4 <= n; r += 4) {
    const A *x0 = rows[r], *x1 = rows[r + 1], *x2 = rows[r + 2], *x3 = rows[r + 3];
    sweep<A>(w, [=]<class V>(int64_t j, Type<V>) {
      V centre = Op::centred ? get<V>(c + j) : V{};
      V a = Op::combine(Op::map(get<V>(x0 + j), centre), Op::map(get<V>(x1 + j), centre));
      V b = Op::combine(Op::map(get<V>(x2 + j), centre), Op::map(get<V>(x3 + j), centre));
      put<V>(acc + j, Op::combine(get<V>(acc + j), Op::combine(a, b)));
    });
  }
}

// The same where map is a loop of its own.
template <class Op, class A> void reduce_mapped_rows(const A* const* rows, int64_t n, A* acc, const A* c,
                                                     int64_t w) {
  alignas(64) A mapped[kTile];
  for (int64_t r = 0; r < n; r++) {
    const A* x = rows[r];
#pragma GCC ivdep
    for (int64_t j = 0; j < w; j++) mapped[j] = Op::map(x[j], c[j]);
    if (r == 0) std::memcpy(acc, mapped, w * sizeof(A));
    else combine_into<Op>(acc, mapped, w);
  }
}

// The rows [begin, end) of a tile of columns. levels holds kTile accumulators per level of the tree, the
// result comes in acc.
template <class Op, class A>
void reduce_tile(const Source<A>& s, int64_t base, int64_t begin, int64_t end, int64_t w, const A* c,
                 A* levels, A* stage, A* acc) {
  uint64_t count = 0;
  for (int64_t b = begin; b < end; b += kRows) {
    int64_t n = std::min(kRows, end - b);
    const A* rows[kRows];
    for (int64_t r = 0; r < n; r++) {
      const char* from = s.data + (base + s.plan.offset(b + r)) * s.itemsize;
      if (s.direct) {
        rows[r] = reinterpret_cast<const A*>(from);
      } else {
        s.load(from, 1, stage + r * kTile, w);
        rows[r] = stage + r * kTile;
      }
    }
    if constexpr (Op::transcendental) reduce_mapped_rows<Op>(rows, n, acc, c, w);
    else reduce_rows<Op>(rows, n, acc, c, w);
    int k = 0;
    for (uint64_t bits = count++; bits & 1; bits >>= 1) combine_into<Op>(acc, levels + k++ * kTile, w);
    if (b + n == end && count == uint64_t{1} << k) return;  // all of it is in acc
    std::memcpy(levels + k * kTile, acc, w * sizeof(A));
  }
  bool any = false;
  for (int k = 0; count >> k; k++) {
    if (!(count >> k & 1)) continue;
    if (any) combine_into<Op>(acc, levels + k * kTile, w);
    else std::memcpy(acc, levels + k * kTile, w * sizeof(A));
    any = true;
  }
}

// The last kept dim lies contiguous in memory: whole rows are combined.
template <class Op, class A> void by_columns(const Source<A>& s, const A* centre, const Sink<A>& out) {
  const Plan& p = s.plan;
  constexpr int64_t chunk = kRows * kChunkRows;
  int64_t inner = p.kept_size[p.kept - 1], outer = p.outputs / std::max<int64_t>(inner, 1);
  int64_t chunks = std::max<int64_t>(1, (p.length + chunk - 1) / chunk), tile = std::min(kTile, inner);
  while (tile > kTile / 4 && outer * chunks * inner < 8 * tile) tile = (tile / 2 + 15) / 16 * 16;  // something for every thread to do
  int64_t tiles = (inner + tile - 1) / std::max<int64_t>(tile, 1);
  int64_t work = tile * std::max<int64_t>(1, std::min(p.length, chunk));
  Scratch<A> partial(chunks > 1 ? p.outputs * chunks : 0);
  parallel_for(outer * tiles * chunks, std::max<int64_t>(1, kGrain / std::max<int64_t>(work, 1)),
               [&](int64_t b, int64_t e) {
                 Scratch<A> scratch(kTile * (s.direct ? 7 : 7 + kRows));
                 A *acc = scratch.data, *levels = acc + kTile, *stage = acc + 7 * kTile;
                 for (int64_t t = b; t < e; t++) {
                   int64_t begin = t % chunks * chunk, column = t / chunks % tiles * tile,
                           o = t / chunks / tiles;
                   int64_t w = std::min(tile, inner - column), first = o * inner + column;
                   int64_t base = p.kept_offset(o, p.kept - 1) + column;
                   for (int64_t j = 0; p.length == 0 && j < w; j++) acc[j] = Op::template identity<A>();
                   reduce_tile<Op>(s, base, begin, std::min(begin + chunk, p.length), w,
                                   centre ? centre + first : nullptr, levels, stage, acc);
                   if (chunks > 1)
                     std::memcpy(partial.data + t % chunks * p.outputs + first, acc, w * sizeof(A));
                   else
                     for (int64_t j = 0; j < w; j++) out(acc[j], first + j);
                 }
               });
  if (chunks == 1) return;
  parallel_for(p.outputs, std::max<int64_t>(1, kGrain / chunks), [&](int64_t b, int64_t e) {
    sweep<A>(e - b, [&]<class V>(int64_t j, Type<V>) {
      Tree<Op, V> tree;
      for (int64_t k = 0; k < chunks; k++) tree.add(get<V>(partial.data + k * p.outputs + b + j));
      const V sums = tree.result(V{});
      if constexpr (std::is_same_v<V, A>) out(sums, b + j);
      else for (int l = 0; l < Lanes<A>::width; l++) out(sums[l], b + j + l);
    });
  });
}

template <class Op, class A> void run(const Source<A>& source, const A* centre, const Sink<A>& out) {
  if (source.plan.outputs == 0) return;
  if (source.plan.by_columns()) by_columns<Op, A>(source, centre, out);
  else by_rows<Op, A>(source, centre, out);
}

}  // namespace al::reduce
