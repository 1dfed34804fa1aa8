// Recurrent layers over whole sequences: a product and one pass over the gates per step, forward and backward in time.
// The input's share of the gates comes ready for all steps; weight gradients are left to one product over all steps.
#include <algorithm>

#include "kernel.h"
#include "simd/gemm.h"
#include "simd/vmath.h"

namespace al::rnn {
namespace {

enum Mode : int64_t { kTanh, kRelu, kLstm, kGru };

// Step sizes in units of H: gates of a step, and what is kept of it (LSTM: i f g o; GRU: r z n and the hidden share of n).
constexpr int64_t kGates[] = {1, 1, 4, 3}, kKept[] = {0, 0, 4, 4};

// ---- one row (one sample of one step) ----

template <class T>
void simple_row(int64_t mode, int64_t H, T* __restrict h) {
  if (mode == kTanh)
    for (int64_t j = 0; j < H; j++) h[j] = vm::tanh(h[j]);
  else
    for (int64_t j = 0; j < H; j++) h[j] = h[j] > T(0) ? h[j] : T(0);
}

template <class T>
void simple_row_backward(int64_t mode, int64_t H, const T* __restrict h, const T* __restrict dh, T* __restrict dgates) {
  if (mode == kTanh)
    for (int64_t j = 0; j < H; j++) dgates[j] = dh[j] * (T(1) - h[j] * h[j]);
  else
    for (int64_t j = 0; j < H; j++) dgates[j] = h[j] > T(0) ? dh[j] : T(0);
}

template <class T>
void lstm_row(int64_t H, T* gates, const T* __restrict before, T* __restrict c, T* __restrict h) {
  T *__restrict i = gates, *__restrict f = gates + H, *__restrict g = gates + 2 * H, *__restrict o = gates + 3 * H;
  for (int64_t j = 0; j < H; j++) {
    i[j] = vm::sigmoid(i[j]);
    f[j] = vm::sigmoid(f[j]);
    g[j] = vm::tanh(g[j]);
    o[j] = vm::sigmoid(o[j]);
    c[j] = f[j] * before[j] + i[j] * g[j];
    h[j] = o[j] * vm::tanh(c[j]);
  }
}

// dc: the gradient of c on entry, of the c before on return.
template <class T>
void lstm_row_backward(int64_t H, const T* gates, const T* __restrict before, const T* __restrict c, const T* __restrict dh,
                       T* __restrict dc, T* dgates) {
  const T *i = gates, *f = gates + H, *g = gates + 2 * H, *o = gates + 3 * H;
  T *__restrict di = dgates, *__restrict df = dgates + H, *__restrict dg = dgates + 2 * H, *__restrict d_o = dgates + 3 * H;
  for (int64_t j = 0; j < H; j++) {
    const T squashed = vm::tanh(c[j]), d = dc[j] + dh[j] * o[j] * (T(1) - squashed * squashed);
    di[j] = d * g[j] * i[j] * (T(1) - i[j]);
    df[j] = d * before[j] * f[j] * (T(1) - f[j]);
    dg[j] = d * i[j] * (T(1) - g[j] * g[j]);
    d_o[j] = dh[j] * squashed * o[j] * (T(1) - o[j]);
    dc[j] = d * f[j];
  }
}

template <class T>
void gru_row(int64_t H, const T* given, const T* hidden, const T* __restrict before, T* kept, T* __restrict h) {
  T *__restrict r = kept, *__restrict z = kept + H, *__restrict n = kept + 2 * H, *__restrict share = kept + 3 * H;
  for (int64_t j = 0; j < H; j++) {
    r[j] = vm::sigmoid(given[j] + hidden[j]);
    z[j] = vm::sigmoid(given[H + j] + hidden[H + j]);
    share[j] = hidden[2 * H + j];
    n[j] = vm::tanh(given[2 * H + j] + r[j] * share[j]);
    h[j] = n[j] + z[j] * (before[j] - n[j]);
  }
}

// dh: the gradient of h on entry; on return what of it goes to the h before, but for the product.
template <class T>
void gru_row_backward(int64_t H, const T* kept, const T* __restrict before, T* __restrict dh, T* dgiven, T* dhidden) {
  const T *r = kept, *z = kept + H, *n = kept + 2 * H, *share = kept + 3 * H;
  for (int64_t j = 0; j < H; j++) {
    const T dn = dh[j] * (T(1) - z[j]) * (T(1) - n[j] * n[j]);
    const T dr = dn * share[j] * r[j] * (T(1) - r[j]), dz = dh[j] * (before[j] - n[j]) * z[j] * (T(1) - z[j]);
    dgiven[j] = dhidden[j] = dr;
    dgiven[H + j] = dhidden[H + j] = dz;
    dgiven[2 * H + j] = dn;
    dhidden[2 * H + j] = dn * r[j];
    dh[j] *= z[j];
  }
}

// ---- a layer ----

struct Layer {
  int64_t mode, steps, batch, hidden;
  bool reverse;
  int64_t gates() const { return kGates[mode] * hidden; }
  int64_t kept() const { return kKept[mode] * hidden; }
  int64_t at(int64_t step) const { return reverse ? steps - 1 - step : step; }
};

// ints: mode, reverse
Layer layer(const Call& call, const View& given, const View& h0) {
  return {call.ints[0], given.shape[0], given.shape[1], h0.shape[1], call.ints[1] != 0};
}

template <class T>
T* optional(const View* v) { return v && v->data ? ptr<T>(*v) : nullptr; }

template <class Body>
void each_row(const Layer& l, Body&& body) {
  parallel_for(l.batch, std::max<int64_t>(1, 4096 / l.gates()), [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; b++) body(b);
  });
}

// (B, H) @ w^T + add, into (B, G); add is (B, G), or a row of G, or null.
template <class T>
void to_gates(const Layer& l, int32_t dtype, const T* h, const T* w, const T* add, bool one_row, T* out) {
  gemm::Problem p{};
  p.dtype = p.out_dtype = dtype;
  p.m = l.batch, p.n = l.gates(), p.k = l.hidden;
  p.a = {(char*)h, l.hidden, 1};
  p.b = {(char*)w, 1, l.hidden};
  p.c = {(char*)out, l.gates(), 1};
  if (add) p.add = {(char*)add, one_row ? 0 : l.gates(), 1};
  gemm::gemm(p);
}

// dgates @ w (+ what dh holds), into (B, H).
template <class T>
void to_hidden(const Layer& l, int32_t dtype, const T* dgates, const T* w, bool add, T* dh) {
  gemm::Problem p{};
  p.dtype = p.out_dtype = dtype;
  p.m = l.batch, p.n = l.hidden, p.k = l.gates();
  p.a = {(char*)dgates, l.gates(), 1};
  p.b = {(char*)w, l.hidden, 1};
  p.c = {(char*)dh, l.hidden, 1};
  if (add) p.add = p.c;
  gemm::gemm(p);
}

template <class T>
void forward(const Call& call) {
  const Layer l = layer(call, *call.views[3], *call.views[6]);
  const int32_t dtype = call.views[0]->dtype;
  const int64_t H = l.hidden, state = l.batch * H;
  T *out = ptr<T>(*call.views[0]), *cells = optional<T>(call.views[1]), *kept = optional<T>(call.views[2]);
  const T *given = ptr<T>(*call.views[3]), *w = ptr<T>(*call.views[4]), *bias = optional<T>(call.views[5]);
  const T *h = ptr<T>(*call.views[6]), *c = optional<T>(call.views[7]);
  Scratch<T> hidden(l.mode == kGru ? l.batch * l.gates() : 0);
  for (int64_t step = 0; step < l.steps; step++) {
    const int64_t t = l.at(step);
    const T* x = given + t * l.batch * l.gates();
    T *y = out + t * state, *keep = kept ? kept + t * l.batch * l.kept() : nullptr;
    if (l.mode == kLstm) {
      to_gates(l, dtype, h, w, x, false, keep);
      T* next = cells + t * state;
      each_row(l, [&](int64_t b) { lstm_row(H, keep + b * 4 * H, c + b * H, next + b * H, y + b * H); });
      c = next;
    } else if (l.mode == kGru) {
      to_gates(l, dtype, h, w, bias, true, hidden.data);
      each_row(l, [&](int64_t b) { gru_row(H, x + b * 3 * H, hidden.data + b * 3 * H, h + b * H, keep + b * 4 * H, y + b * H); });
    } else {
      to_gates(l, dtype, h, w, x, false, y);
      each_row(l, [&](int64_t b) { simple_row(l.mode, H, y + b * H); });
    }
    h = y;
  }
}

template <class T>
void backward(const Call& call) {
  const Layer l = layer(call, *call.views[0], *call.views[10]);
  const int32_t dtype = call.views[0]->dtype;
  const int64_t H = l.hidden, state = l.batch * H, gates = l.batch * l.gates();
  T *dgiven = ptr<T>(*call.views[0]), *dhidden = optional<T>(call.views[1]), *dh = ptr<T>(*call.views[2]), *dc = optional<T>(call.views[3]);
  const T *dout = optional<T>(call.views[4]), *dcells = optional<T>(call.views[5]);
  const T *out = ptr<T>(*call.views[6]), *cells = optional<T>(call.views[7]), *kept = optional<T>(call.views[8]);
  const T *w = ptr<T>(*call.views[9]), *h0 = ptr<T>(*call.views[10]), *c0 = optional<T>(call.views[11]);
  std::fill(dh, dh + state, T(0));
  if (dc) std::fill(dc, dc + state, T(0));
  for (int64_t step = l.steps - 1; step >= 0; step--) {
    const int64_t t = l.at(step), before = step ? l.at(step - 1) : 0;
    const T *h_before = step ? out + before * state : h0, *c_before = step && cells ? cells + before * state : c0;
    T* into = dgiven + t * gates;
    T* product = l.mode == kGru ? dhidden + t * gates : into;
    each_row(l, [&](int64_t b) {
      T *g = dh + b * H, *gc = dc ? dc + b * H : nullptr;
      if (dout)
        for (int64_t j = 0; j < H; j++) g[j] += dout[t * state + b * H + j];
      if (dcells)
        for (int64_t j = 0; j < H; j++) gc[j] += dcells[t * state + b * H + j];
      const T* keep = kept ? kept + (t * l.batch + b) * l.kept() : nullptr;
      const int64_t at = b * l.gates();
      if (l.mode == kLstm) lstm_row_backward(H, keep, c_before + b * H, cells + t * state + b * H, g, gc, into + at);
      else if (l.mode == kGru) gru_row_backward(H, keep, h_before + b * H, g, into + at, product + at);
      else simple_row_backward(l.mode, H, out + t * state + b * H, g, into + at);
    });
    to_hidden(l, dtype, product, w, l.mode == kGru, dh);
  }
}

// rnn_sequence: out (T, B, H), cells (LSTM) and kept (T, B, kept); given (T, B, G), w (G, H), bias (GRU), h0, c0 (LSTM).
void rnn_sequence(const Call& call) {
  if (call.views[0]->dtype == kFloat64) return forward<double>(call);
  forward<float>(call);
}

// rnn_sequence_backward: dgiven, dhidden (GRU; of the hidden share), dh0, dc0 (LSTM);
// dout, dcells, out, cells, kept, w, h0, c0.
void rnn_sequence_backward(const Call& call) {
  if (call.views[0]->dtype == kFloat64) return backward<double>(call);
  backward<float>(call);
}

AL_KERNEL("rnn_sequence", rnn_sequence);
AL_KERNEL("rnn_sequence_backward", rnn_sequence_backward);

}  // namespace
}  // namespace al::rnn
