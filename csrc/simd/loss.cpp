// Losses of an element and its target, as pointwise loops.
#include <cmath>

#include "loops.h"
#include "vmath.h"

namespace al {
namespace {

struct SquaredError {
  template <class T> AL_INLINE T operator()(T x, T t) const { return (x - t) * (x - t); }
};

// Logarithms are held at -100, as in PyTorch, so that a sure and wrong prediction has a finite loss.
struct BinaryCrossEntropy {
  template <class T> AL_INLINE T operator()(T x, T t) const {
    T yes = vm::log(x), no = vm::log1p(-x);
    yes = yes < T(-100) ? T(-100) : yes;
    no = no < T(-100) ? T(-100) : no;
    return (t - T(1)) * no - t * yes;
  }
};

// Of a logit: softplus(x) - t x.
struct BinaryCrossEntropyLogits {
  template <class T> AL_INLINE T operator()(T x, T t) const {
    T positive = x > T(0) ? x : (x != x ? x : T(0));
    return positive - x * t + vm::log1p(vm::exp(-vm::abs(x)));
  }
};

struct SmoothL1 {
  template <class T> AL_INLINE T operator()(T x, T t, T beta) const {
    T d = vm::abs(x - t);
    return d < beta ? T(0.5) * d * d / beta : d - T(0.5) * beta;
  }
};

struct Huber {
  template <class T> AL_INLINE T operator()(T x, T t, T delta) const {
    T d = vm::abs(x - t);
    return d <= delta ? T(0.5) * d * d : delta * (d - T(0.5) * delta);
  }
};

AL_REGISTER() {
  on_floats<2>("squared_error", SquaredError{});
  on_floats<2>("binary_cross_entropy", BinaryCrossEntropy{});
  on_floats<2>("binary_cross_entropy_logits", BinaryCrossEntropyLogits{});
  on_floats<3>("smooth_l1", SmoothL1{});
  on_floats<3>("huber", Huber{});
}

}  // namespace
}  // namespace al
