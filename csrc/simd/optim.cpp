// Optimizer steps over many tensors in one parallel pass, and the norm and scaling of all gradients together.
// Tensors are cut into chunks of fixed size, so that neither results nor balance depend on how many tensors
// there are.
#include <cmath>
#include <vector>

#include "rows.h"

namespace al {
namespace {

constexpr int64_t kPiece = 16384;  // elements of a task
constexpr int64_t kStage = 512;    // elements of low precision converted at a time

// A run of elements of the tensor with this number.
struct Piece {
  int64_t tensor, begin, size;
};

// views[first .. first + count), cut into pieces.
std::vector<Piece> cut(const Call& c, int64_t first, int64_t count) {
  std::vector<Piece> pieces;
  for (int64_t k = 0; k < count; k++)
    for (int64_t n = numel(*c.views[first + k]), b = 0; b < n; b += kPiece)
      pieces.push_back({k, b, std::min(kPiece, n - b)});
  return pieces;
}

// Elements of one operand as the compute type A: in place where memory holds A, otherwise through a buffer.
template <class A> struct Port {
  View* view;
  alignas(64) A buffer[kStage];

  bool direct() const { return view->dtype == dtype_of<A>; }
  A* read(int64_t at, int64_t n) {
    if (direct()) return ptr<A>(*view) + at;
    reduce::loader<A>(view->dtype)(view->data + at * kItemSize[view->dtype], 1, buffer, n);
    return buffer;
  }
  void write(int64_t at, int64_t n) {
    dispatch_types<bfloat16, float16>(view->dtype, [&]<class T>(Type<T>) {
      if constexpr (std::is_same_v<A, float>) store_floats(buffer, ptr<T>(*view) + at, n);
    });
  }
};

// ints: tensors, decoupled, maximize, keep the largest second moment. floats: step size, sqrt of the bias
// correction of the second moment, beta1, beta2, eps, weight decay, learning rate.
template <class A> struct Adam {
  bool decoupled, maximize, largest;
  A step_size, root_correction, rest1, beta2, rest2, eps, decay, shrink;

  explicit Adam(const Call& c)
      : decoupled(c.ints[1]),
        maximize(c.ints[2]),
        largest(c.ints[3]),
        step_size(A(c.floats[0])),
        root_correction(A(c.floats[1])),
        rest1(A(1 - c.floats[2])),
        beta2(A(c.floats[3])),
        rest2(A(1 - c.floats[3])),
        eps(A(c.floats[4])),
        decay(decoupled ? A(0) : A(c.floats[5])),
        shrink(decoupled ? A(1 - c.floats[6] * c.floats[5]) : A(1)) {}

  // root / root_correction, rounded correctly: with the reciprocal rounded correctly, one step of refinement of the quotient gives its
  // rounding (Markstein 1990). A division costs three times as much.
  AL_INLINE A corrected(A root, A reciprocal) const {
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA) || defined(__aarch64__)
    const A quotient = root * reciprocal, refined = vm::fma(vm::fma(-quotient, root_correction, root), reciprocal, quotient);
    return quotient < std::numeric_limits<A>::infinity() ? refined : quotient;
#else
    return root / root_correction;
#endif
  }
  template <bool keeps_largest>
  void run(A* __restrict p, const A* __restrict g, A* __restrict m, A* __restrict v, A* __restrict top,
           int64_t n) const {
    const A sign = maximize ? A(-1) : A(1), reciprocal = A(1) / root_correction;
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) {
      A grad = sign * g[i] + decay * p[i];
      m[i] = m[i] + rest1 * (grad - m[i]);
      v[i] = v[i] * beta2 + rest2 * grad * grad;
      A second = v[i];
      if constexpr (keeps_largest) second = top[i] = top[i] > v[i] ? top[i] : v[i];
      p[i] = p[i] * shrink - step_size * (m[i] / (corrected(std::sqrt(second), reciprocal) + eps));
    }
  }
};

// Outputs: parameters, first moments, second moments, largest second moments if kept. Inputs: gradients.
void adam(const Call& c) {
  int64_t count = c.ints[0], groups = c.ints[3] ? 4 : 3;
  if (!count) return;
  std::vector<Piece> pieces = cut(c, 0, count);
  auto pass = [&]<class A>(Type<A>) {
    Adam<A> rule(c);
    parallel_for(int64_t(pieces.size()), 2, [&](int64_t b, int64_t e) {
      for (int64_t k = b; k < e; k++) {
        const Piece& piece = pieces[k];
        Port<A> ports[5];
        bool direct = true;
        for (int64_t j = 0; j <= groups; j++) {
          ports[j].view = c.views[j * count + piece.tensor];
          direct &= ports[j].direct();
        }
        int64_t step = direct ? piece.size : kStage;
        for (int64_t at = piece.begin, end = at + piece.size; at < end; at += step) {
          int64_t n = std::min(step, end - at);
          A* x[5] = {};
          for (int64_t j = 0; j <= groups; j++) x[j] = ports[j].read(at, n);
          if (groups == 4) rule.template run<true>(x[0], x[4], x[1], x[2], x[3], n);
          else rule.template run<false>(x[0], x[3], x[1], x[2], nullptr, n);
          for (int64_t j = 0; j < groups; j++)
            if (!ports[j].direct()) ports[j].write(at, n);
        }
      }
    });
  };
  if (c.views[0]->dtype == kFloat64) pass(Type<double>{});
  else pass(Type<float>{});
}

// ints: tensors, has momentum, nesterov, maximize, first step. floats: learning rate, momentum, dampening,
// weight decay.
template <class A> struct Sgd {
  bool has_momentum, nesterov, first;
  A sign, lr, momentum, keep, decay;

  explicit Sgd(const Call& c)
      : has_momentum(c.ints[1]),
        nesterov(c.ints[2]),
        first(c.ints[4]),
        sign(c.ints[3] ? A(-1) : A(1)),
        lr(A(c.floats[0])),
        momentum(A(c.floats[1])),
        keep(A(1 - c.floats[2])),
        decay(A(c.floats[3])) {}

  void run(A* __restrict p, A* __restrict buffer, const A* __restrict g, int64_t n) const {
    if (!has_momentum) {
#pragma GCC ivdep
      for (int64_t i = 0; i < n; i++) p[i] -= lr * (sign * g[i] + decay * p[i]);
      return;
    }
    A held = first ? A(0) : momentum, added = first ? A(1) : keep;
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) {
      A grad = sign * g[i] + decay * p[i], moved = (first ? A(0) : held * buffer[i]) + added * grad;
      buffer[i] = moved;
      p[i] -= lr * (nesterov ? grad + momentum * moved : moved);
    }
  }
};

// Outputs: parameters, momentum buffers if any. Inputs: gradients.
void sgd(const Call& c) {
  int64_t count = c.ints[0], groups = c.ints[1] ? 2 : 1;
  if (!count) return;
  std::vector<Piece> pieces = cut(c, 0, count);
  auto pass = [&]<class A>(Type<A>) {
    Sgd<A> rule(c);
    parallel_for(int64_t(pieces.size()), 2, [&](int64_t b, int64_t e) {
      for (int64_t k = b; k < e; k++) {
        const Piece& piece = pieces[k];
        Port<A> ports[3];
        for (int64_t j = 0; j <= groups; j++) ports[j].view = c.views[j * count + piece.tensor];
        for (int64_t at = piece.begin, end = at + piece.size; at < end; at += kStage) {
          int64_t n = std::min(kStage, end - at);
          A* x[3] = {};
          for (int64_t j = 0; j <= groups; j++) x[j] = ports[j].read(at, n);
          rule.run(x[0], groups == 2 ? x[1] : nullptr, x[groups], n);
          for (int64_t j = 0; j < groups; j++)
            if (!ports[j].direct()) ports[j].write(at, n);
        }
      }
    });
  };
  if (c.views[0]->dtype == kFloat64) pass(Type<double>{});
  else pass(Type<float>{});
}

// The norm of order 2 (ints[0] = 0) or the largest absolute value (1) of all inputs together. Output: 0-d.
void total_norm(const Call& c) {
  bool largest = c.ints[0];
  std::vector<Piece> pieces = cut(c, 1, c.nviews - 1);
  Scratch<double> partial(int64_t(pieces.size()) + 1);
  parallel_for(int64_t(pieces.size()), 2, [&](int64_t b, int64_t e) {
    for (int64_t k = b; k < e; k++) {
      const Piece& piece = pieces[k];
      const View& v = *c.views[1 + piece.tensor];
      dispatch_floats(v.dtype, [&]<class T>(Type<T>) {
        using A = compute_t<T>;
        Scratch<A> buffer(stage_size<T>(piece.size));
        const A* x = stage_row(ptr<T>(v) + piece.begin, buffer.data, piece.size);
        if (largest) {
          A high = reduce_row<reduce::Max, A>(x, piece.size), low = reduce_row<reduce::Min, A>(x, piece.size);
          partial[k] = high > -low || high != high ? high : -low;
        } else {
          partial[k] = dot_row(x, x, piece.size);
        }
      });
    }
  });
  double total = 0;
  for (size_t k = 0; k < pieces.size(); k++)
    total =
        largest ? (partial[k] > total || partial[k] != partial[k] ? partial[k] : total) : total + partial[k];
  reduce::storer<double>(c.views[0]->dtype)(largest ? total : std::sqrt(total), c.views[0]->data, 0);
}

// Outputs: tensors to scale. Input: the factor, 0-d. A factor of one leaves memory alone.
void scale_all(const Call& c) {
  double factor = 1;
  const View& f = *c.views[c.nouts];
  dispatch_floats(f.dtype, [&]<class T>(Type<T>) { factor = double(to_float(*ptr<T>(f))); });
  if (factor == 1) return;
  std::vector<Piece> pieces = cut(c, 0, c.nouts);
  parallel_for(int64_t(pieces.size()), 2, [&](int64_t b, int64_t e) {
    for (int64_t k = b; k < e; k++) {
      const Piece& piece = pieces[k];
      const View& v = *c.views[piece.tensor];
      dispatch_floats(v.dtype, [&]<class T>(Type<T>) {
        using A = compute_t<T>;
        T* x = ptr<T>(v) + piece.begin;
        Scratch<A> buffer(stage_size<T>(piece.size));
        A* y = const_cast<A*>(stage_row(x, buffer.data, piece.size));
#pragma GCC ivdep
        for (int64_t i = 0; i < piece.size; i++) y[i] *= A(factor);
        store_row(y, x, piece.size);
      });
    }
  });
}

AL_KERNEL("adam_step", adam);
AL_KERNEL("sgd_step", sgd);
AL_KERNEL("total_norm", total_norm);
AL_KERNEL("scale_all", scale_all);

}  // namespace
}  // namespace al
