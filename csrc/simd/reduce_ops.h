// The operations of the reduction driver (reduce.h). Each function takes scalars and vectors alike.
#pragma once
#include <limits>

#include "reduce.h"
#include "vmath.h"

namespace al::reduce {

struct Plain {
  static constexpr bool centred = false, transcendental = false;
  template <class V> static V map(V x, V) { return x; }
};

struct Sum : Plain {
  template <class A> static A identity() { return A(0); }
  template <class V> static V combine(V a, V b) { return a + b; }
};

struct Prod : Plain {
  template <class A> static A identity() { return A(1); }
  template <class V> static V combine(V a, V b) { return a * b; }
};

// NaN wins over every number.
struct Max : Plain {
  template <class A> static A identity() {
    using L = std::numeric_limits<A>;
    return L::has_infinity ? -L::infinity() : L::lowest();
  }
  template <class V> static V combine(V a, V b) { return (a > b) | (a != a) ? a : b; }
};

struct Min : Plain {
  template <class A> static A identity() {
    using L = std::numeric_limits<A>;
    return L::has_infinity ? L::infinity() : L::max();
  }
  template <class V> static V combine(V a, V b) { return (a < b) | (a != a) ? a : b; }
};

struct SumSquares : Sum {
  template <class V> static V map(V x, V) { return x * x; }
};

struct SquaredDeviations : Sum {
  static constexpr bool centred = true;
  template <class V> static V map(V x, V c) {
    V d = x - c;
    return d * d;
  }
};

// exp(x) for x <= 0, where what is below 2^-126 may as well be zero. NaN stays.
AL_INLINE float exp_decay(float x) {
  float clipped = x < -87.0f ? -87.0f : x, y = vm::exp_normal(clipped);
  return x < -87.0f ? 0.0f : y;
}
AL_INLINE double exp_decay(double x) { return std::exp(x); }

// c is the maximum.
struct SumExp : Sum {
  using Then = Sum;
  static constexpr bool centred = true, transcendental = true;
  template <class A> static A map(A x, A c) { return exp_decay(x - c); }
};

}  // namespace al::reduce
