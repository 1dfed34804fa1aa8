// Kernels of the reductions. Attributes: dims to reduce (count, then items), keepdim, then what the kernel
// names.
#include <cmath>

#include "reduce_ops.h"

namespace al::reduce {
namespace {

enum Finish { kKeep, kDivide, kRoot };

template <class A> A finish(Finish how, A value, int64_t length) {
  if (how == kDivide) return A(value / double(length));
  if (how == kRoot) return A(std::sqrt(value));
  return value;
}

template <class Op, class A> void reduce_as(const Plan& plan, const View& y, const View& x, Finish how) {
  StoreFn<A> put = storer<A>(y.dtype);
  run<Op, A>(Source<A>(plan, x), nullptr,
             [&](A value, int64_t i) { put(finish(how, value, plan.length), y.data, i); });
}

template <class Op, Finish how = kKeep> void reduce(const Call& c) {
  const View &y = *c.views[0], &x = *c.views[1];
  Plan plan(x, dims_mask(c));
  with_accumulator(x.dtype, [&]<class A>(Type<A>) { reduce_as<Op, A>(plan, y, x, how); });
}

// Undoes a broadcast: sums to the shape of the output, aligned at the last dim.
void sum_to(const Call& c) {
  const View &y = *c.views[0], &x = *c.views[1];
  uint32_t mask = 0;
  for (int d = 0, lead = x.ndim - y.ndim; d < x.ndim; d++)
    if (d < lead || y.shape[d - lead] != x.shape[d]) mask |= 1u << d;
  Plan plan(x, mask);
  with_accumulator(x.dtype, [&]<class A>(Type<A>) { reduce_as<Sum, A>(plan, y, x, kKeep); });
}

template <class T> void load_nonzero(const char* from, int64_t stride, int64_t* dst, int64_t n) {
  auto* src = reinterpret_cast<const T*>(from);
  for (int64_t i = 0; i < n; i++) {
    if constexpr (is_floating<T>) dst[i] = to_float(src[i * stride]) != 0;
    else dst[i] = src[i * stride] != T(0);
  }
}
template <class T> void load_number(const char* from, int64_t stride, int64_t* dst, int64_t n) {
  auto* src = reinterpret_cast<const T*>(from);
  for (int64_t i = 0; i < n; i++) {
    if constexpr (is_floating<T>) dst[i] = to_float(src[i * stride]) == to_float(src[i * stride]);
    else dst[i] = 1;
  }
}

struct IfNonzero {
  template <class T> static constexpr LoadFn<int64_t> load = load_nonzero<T>;
};
struct IfNumber {
  template <class T> static constexpr LoadFn<int64_t> load = load_number<T>;
};

// Reductions of a truth about each element: counts, any, all.
template <class Op, class Predicate> void reduce_truth(const Call& c) {
  const View &y = *c.views[0], &x = *c.views[1];
  Plan plan(x, dims_mask(c));
  LoadFn<int64_t> load = nullptr;
  dispatch_all(x.dtype, [&]<class T>(Type<T>) { load = Predicate::template load<T>; });
  StoreFn<int64_t> put = storer<int64_t>(y.dtype);
  run<Op, int64_t>(Source<int64_t>(plan, x, load), nullptr, [&](int64_t value, int64_t i) {
    bool none = value == Op::template identity<int64_t>();  // nothing is not any, and nothing is all
    put(none ? value > 0 : value, y.data, i);
  });
}

template <class F> void with_floats(int32_t dtype, F&& f) {
  if (dtype == kFloat64) f(Type<double>{});
  else f(Type<float>{});
}

void sum_squares_root(const Call& c) {
  const View &y = *c.views[0], &x = *c.views[1];
  Plan plan(x, dims_mask(c));
  with_floats(x.dtype, [&]<class A>(Type<A>) { reduce_as<SumSquares, A>(plan, y, x, kRoot); });
}

// A first reduction gives each output's centre, a second one combines what lies around it. Rows do both while
// in cache.
template <class First, class Second, class A, class Centre>
void reduce_twice(const Source<A>& source, const Centre& centre, const Sink<A>& out) {
  const Plan& p = source.plan;
  if (p.by_columns() || p.length > kBlock * kChunkBlocks) {
    Scratch<A> centres(p.outputs);
    run<First, A>(source, nullptr, [&](A value, int64_t i) { centres[i] = centre(value, i); });
    return run<Second, A>(source, centres.data, out);
  }
  for_rows(p.outputs, p.length, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; i++) {
      int64_t base = p.kept_offset(i, p.kept);
      A c = centre(reduce_chunk<First, A>(source, base, 0, p.length, A(0)), i);
      out(reduce_chunk<Second, A>(source, base, 0, p.length, c), i);
    }
  });
}

// Outputs: variance (or its root), mean. ints: ..., root; floats: correction. Two passes: exact where one
// would cancel.
void var_mean(const Call& c) {
  const View &y = *c.views[0], &m = *c.views[1], &x = *c.views[2];
  bool root = c.ints[c.ints.count - 1];
  Plan plan(x, dims_mask(c));
  with_floats(x.dtype, [&]<class A>(Type<A>) {
    StoreFn<A> put = storer<A>(y.dtype);
    double length = double(plan.length), degrees = std::max(0.0, length - c.floats[0]);
    auto centre = [&](A value, int64_t i) {
      A mean = A(value / length);
      put(mean, m.data, i);
      return mean;
    };
    reduce_twice<Sum, SquaredDeviations, A>(Source<A>(plan, x), centre, [&](A value, int64_t i) {
      A variance = A(value / degrees);
      put(root ? std::sqrt(variance) : variance, y.data, i);
    });
  });
}

void logsumexp(const Call& c) {
  const View &y = *c.views[0], &x = *c.views[1];
  Plan plan(x, dims_mask(c));
  with_floats(x.dtype, [&]<class A>(Type<A>) {
    StoreFn<A> put = storer<A>(y.dtype);
    Scratch<A> top(plan.outputs);
    auto centre = [&](A value, int64_t i) {
      top[i] = value;
      return std::isinf(value) ? A(0) : value;
    };
    reduce_twice<Max, SumExp, A>(Source<A>(plan, x), centre, [&](A value, int64_t i) {
      put(std::isinf(top[i]) ? top[i] : std::log(value) + top[i], y.data, i);
    });
  });
}

AL_KERNEL("sum", (computing<reduce<Sum>>));
AL_KERNEL("sum_to", (computing<sum_to>));
AL_KERNEL("mean", (computing<reduce<Sum, kDivide>>));
AL_KERNEL("prod_dims", (computing<reduce<Prod>>));
AL_KERNEL("amax", (computing<reduce<Max>>));
AL_KERNEL("amin", (computing<reduce<Min>>));
AL_KERNEL("norm2", (computing<sum_squares_root>));
AL_KERNEL("any", (computing<reduce_truth<Max, IfNonzero>>));
AL_KERNEL("all", (computing<reduce_truth<Min, IfNonzero>>));
AL_KERNEL("count_nonzero", (computing<reduce_truth<Sum, IfNonzero>>));
AL_KERNEL("count_numbers", (computing<reduce_truth<Sum, IfNumber>>));
AL_KERNEL("var_mean", (computing<var_mean, 2>));
AL_KERNEL("logsumexp", (computing<logsumexp>));

}  // namespace
}  // namespace al::reduce
