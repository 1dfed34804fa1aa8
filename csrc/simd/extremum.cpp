// The largest or smallest element along one dim and where it is first. NaN wins over every number.
#include "reduce_ops.h"

namespace al::reduce {
namespace {

template <class Op, class A> bool beats(A a, A b) {
  return (std::is_same_v<Op, Max> ? a > b : a < b) | ((a != a) & (b == b));
}

// Blocks are first reduced with vectors; only the winning block is searched.
template <class Op, class A> struct Search {
  static constexpr int64_t kStep = 8 * Lanes<A>::width;  // elements that are compared without looking at each
  const Source<A>& s;
  int64_t blocks() const { return (s.plan.length + kBlock - 1) / kBlock; }
  int64_t size(int64_t block) const { return std::min(kBlock, s.plan.length - block * kBlock); }

  A best(int64_t base, int64_t block) const {
    alignas(64) A buffer[kBlock];
    return reduce_block<Op>(s.block(base, block * kBlock, size(block), buffer), size(block), A(0));
  }
  template <class V> static auto same(V a, V b) { return (a == b) | ((a != a) & (b != b)); }
  static bool holds(const A* x, A value) {
    auto hits = same(load(x), splat(value));
    for (int k = 1; k < 8; k++) hits |= same(load(x + k * Lanes<A>::width), splat(value));
    uint64_t words[sizeof hits / 8], any = 0;
    std::memcpy(words, &hits, sizeof hits);
    for (uint64_t word : words) any |= word;
    return any;
  }
  int64_t find(int64_t base, int64_t block, A value) const {
    alignas(64) A buffer[kBlock];
    const A* x = s.block(base, block * kBlock, size(block), buffer);
    int64_t i = 0;
    while (i + kStep <= size(block) && !holds(x + i, value)) i += kStep;
    while (!same(x[i], value)) i++;
    return block * kBlock + i;
  }
};

template <class Op, class A> void along_rows(const Source<A>& s, const View& y, const View& index) {
  Search<Op, A> search{s};
  const Plan& p = s.plan;
  int64_t blocks = search.blocks(), *out = ptr<int64_t>(index);
  StoreFn<A> put = storer<A>(y.dtype);
  auto finish = [&](int64_t i, auto&& best_of) {
    int64_t base = p.kept_offset(i, p.kept), winner = 0;
    A best = best_of(0);
    for (int64_t b = 1; b < blocks; b++) {
      A value = best_of(b);
      if (beats<Op>(value, best)) best = value, winner = b;
    }
    out[i] = search.find(base, winner, best);
    put(best, y.data, i);
  };
  if (p.length <= kGrain) {
    return for_rows(p.outputs, p.length, [&](int64_t b, int64_t e) {
      for (int64_t i = b; i < e; i++)
        finish(i, [&](int64_t block) { return search.best(p.kept_offset(i, p.kept), block); });
    });
  }
  Scratch<A> best(p.outputs * blocks);
  parallel_for(p.outputs * blocks, kGrain / kBlock, [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; t++) best[t] = search.best(p.kept_offset(t / blocks, p.kept), t % blocks);
  });
  for (int64_t i = 0; i < p.outputs; i++) finish(i, [&](int64_t block) { return best[i * blocks + block]; });
}

// The last kept dim lies contiguous: a strip of columns walks down together.
template <class Op, class A> void along_columns(const Source<A>& s, const View& y, const View& index) {
  using Index = std::conditional_t<sizeof(A) == 4, int32_t, int64_t>;  // as wide as A, for the vectoriser
  constexpr int64_t strip = 256;
  const Plan& p = s.plan;
  StoreFn<A> put = storer<A>(y.dtype);
  int64_t inner = p.kept_size[p.kept - 1], strips = (inner + strip - 1) / strip, outer = p.outputs / inner;
  int64_t step = p.reduced ? p.stride[0] : 0;
  int64_t work = std::min(strip, inner) * p.length;
  parallel_for(outer * strips, std::max<int64_t>(1, kGrain / work), [&](int64_t b, int64_t e) {
    alignas(64) A row[strip], best[strip];
    alignas(64) Index at[strip];
    for (int64_t t = b; t < e; t++) {
      int64_t column = t % strips * strip, w = std::min(strip, inner - column), o = t / strips;
      const char* from = s.data + (p.kept_offset(o, p.kept - 1) + column) * s.itemsize;
      s.load(from, 1, best, w);
      for (int64_t j = 0; j < w; j++) at[j] = 0;
      for (int64_t r = 1; r < p.length; r++) {
        s.load(from + r * step * s.itemsize, 1, row, w);
#pragma GCC ivdep
        for (int64_t j = 0; j < w; j++) {
          bool better = beats<Op>(row[j], best[j]);
          best[j] = better ? row[j] : best[j];
          at[j] = better ? Index(r) : at[j];
        }
      }
      for (int64_t j = 0; j < w; j++) {
        put(best[j], y.data, o * inner + column + j);
        ptr<int64_t>(index)[o * inner + column + j] = at[j];
      }
    }
  });
}

// Outputs: values, indices. ints: dim, keepdim.
template <class Op> void extremum(const Call& c) {
  const View &y = *c.views[0], &index = *c.views[1], &x = *c.views[2];
  Plan plan(x, 1u << c.ints[0]);
  if (plan.outputs == 0) return;
  with_accumulator(x.dtype, [&]<class A>(Type<A>) {
    Source<A> source(plan, x);
    bool columns = plan.by_columns() && plan.length <= std::numeric_limits<int32_t>::max();
    columns ? along_columns<Op>(source, y, index) : along_rows<Op>(source, y, index);
  });
}

AL_KERNEL("max_dim", (computing<extremum<Max>, 2>));
AL_KERNEL("min_dim", (computing<extremum<Min>, 2>));

}  // namespace
}  // namespace al::reduce
