// Attention backward: the weights of a block are made again from the logsumexp. One task a head of k and v:
// the gradient of q is summed over blocks of keys, those of k and v over queries, each in a fixed order.
#include "simd/attention.h"

namespace al::attention {

namespace {

struct Gradients {
  const View *dq, *dk, *dv, *dsinks;  // (B, L, H, E), (B, S, G, E), (B, S, G, V), (H)
  View g, out;                        // (B, H, L, V)
  const View* lse;                    // (B, H, L)
};

View heads_first(View x) {
  std::swap(x.shape[1], x.shape[2]);
  std::swap(x.strides[1], x.strides[2]);
  return x;
}

// One thread's room; pitches are whole vectors.
template <class C>
struct Room {
  int64_t e, v;
  Scratch<C> q, g, out, keys, values, key_panels, value_panels, weights, slopes, dk, dv, dq, delta;
  explicit Room(const Problem& p)
      : e(round_up(p.E, kWidth<C>)),
        v(round_up(p.V, kWidth<C>)),
        q(kQueries * e),
        g(kQueries * v),
        out(kQueries * v),
        keys(kKeys * e),
        values(kKeys * v),
        key_panels(kKeys * p.E),
        value_panels(kKeys * p.V),
        weights(kQueries * kKeys),
        slopes(kQueries * kKeys),
        dk(kKeys * e),
        dv(kKeys * v),
        dq(p.H / p.G * p.L * e),
        delta(p.H / p.G * p.L) {}
};

template <class C>
void store_rows(const View& to, int64_t b, int64_t h, int64_t from, int64_t rows, const C* data,
                int64_t pitch) {
  const int64_t heads = to.shape[2], cols = to.shape[3];
  dispatch_floats(to.dtype, [&]<class T>(Type<T>) {
    if constexpr (std::is_same_v<compute_t<T>, C>)
      for (int64_t r = 0; r < rows; r++)
        store_floats(data + r * pitch, ptr<T>(to) + ((b * to.shape[1] + from + r) * heads + h) * cols, cols);
  });
}

template <class C>
const C* lse_of(const Problem& p, const Gradients& d, int64_t b, int64_t h) {
  return ptr<const C>(*d.lse) + (b * p.H + h) * p.L;
}

// delta[i] = sum over v of g[i, v] * out[i, v], for all queries of head h.
template <class C>
void make_delta(const Problem& p, const Gradients& d, int64_t b, int64_t h, C* delta, Room<C>& room) {
  for (int64_t i = 0; i < p.L; i += kQueries) {
    const int64_t rows = std::min(kQueries, p.L - i);
    const Rows<C> g = rows_of(d.g, b, h, i, rows, room.g.data),
                  out = rows_of(d.out, b, h, i, rows, room.out.data);
    for (int64_t r = 0; r < rows; r++) {
      Vec<C> total{};
      for (int64_t c = 0; c < room.v; c += kWidth<C>)
        total = fused(load(g.data + r * g.stride + c), load(out.data + r * out.stride + c), total);
      delta[i + r] = sum_lanes<C>(total);
    }
  }
}

// weights = exp(scores - lse), slopes = weights * (slopes - delta) * scale: the gradient of the unscaled
// scores.
template <class C>
void slope_rows(const Problem& p, int64_t b, int64_t h, int64_t i0, int64_t rows, int64_t j0, int64_t n,
                const C* lse, const C* delta, Room<C>& room) {
  constexpr C inf = std::numeric_limits<C>::infinity();
  for (int64_t r = 0; r < rows; r++) {
    C *w = room.weights.data + r * kKeys, *s = room.slopes.data + r * kKeys;
    mask_row(p, b, h, i0 + r, j0, n, w);
    const Vec<C> shift = splat(lse[i0 + r] == -inf ? inf : lse[i0 + r]), minus = splat(delta[i0 + r]),
                 scale = splat(C(p.scale));
    for (int64_t j = 0; j < round_up(n, kWidth<C>); j += kWidth<C>) {
      const Vec<C> x = vexp(load(w + j) - shift);
      store(w + j, x);
      store(s + j, x * (load(s + j) - minus) * scale);
    }
  }
}

// What queries [i0, i0 + rows) of head h and n keys from j0 add to all three gradients.
template <class C>
void block(const Problem& p, const Gradients& d, int64_t b, int64_t h, int64_t i0, int64_t rows, int64_t j0,
           int64_t n, Rows<C> keys, Room<C>& room) {
  const int64_t in_group = h % (p.H / p.G);
  const Rows<C> q = rows_of(*p.q, b, h, i0, rows, room.q.data), g = rows_of(d.g, b, h, i0, rows, room.g.data);
  by_panels(rows, n, p.E, q, room.key_panels.data, room.weights.data, kKeys);
  by_panels(rows, n, p.V, g, room.value_panels.data, room.slopes.data, kKeys);
  slope_rows(p, b, h, i0, rows, j0, n, lse_of<C>(p, d, b, h), room.delta.data + in_group * p.L, room);
  by_rows(n, room.v, rows, room.weights.data, 1, kKeys, g, room.dv.data, room.v);
  by_rows(n, room.e, rows, room.slopes.data, 1, kKeys, q, room.dk.data, room.e);
  by_rows(rows, room.e, n, room.slopes.data, kKeys, 1, keys, room.dq.data + (in_group * p.L + i0) * room.e,
          room.e);
}

template <class C>
void keys_block(const Problem& p, const Gradients& d, int64_t b, int64_t kv, int64_t j0, int64_t n,
                Room<C>& room) {
  const Rows<C> keys = rows_of(*p.k, b, kv, j0, n, room.keys.data),
                values = rows_of(*p.v, b, kv, j0, n, room.values.data);
  pack_columns(keys, n, p.E, room.key_panels.data);
  pack_columns(values, n, p.V, room.value_panels.data);
  std::fill(room.dk.data, room.dk.data + n * room.e, C(0));
  std::fill(room.dv.data, room.dv.data + n * room.v, C(0));
  const int64_t first = p.causal ? j0 / kQueries * kQueries : 0,
                end = p.window ? std::min(p.L, j0 + n - 1 + p.window) : p.L;
  for (int64_t x = 0; x < p.H / p.G; x++)
    for (int64_t i = first; i < end; i += kQueries) {
      const int64_t rows = std::min(kQueries, p.L - i), seen = std::min(n, p.end_key(i + rows - 1) - j0);
      if (seen > 0) block(p, d, b, kv * (p.H / p.G) + x, i, rows, j0, seen, keys, room);
    }
  store_rows(*d.dk, b, kv, j0, n, room.dk.data, room.e);
  store_rows(*d.dv, b, kv, j0, n, room.dv.data, room.v);
}

// The gradient of head h's sink logit from batch item b.
template <class C>
C sink_slope(const Problem& p, const Gradients& d, int64_t b, int64_t h, const C* delta) {
  const char* at = p.sinks->data + h * p.sinks->strides[0] * kItemSize[p.sinks->dtype];
  C sink = 0, total = 0;
  dispatch_floats(p.sinks->dtype,
                  [&]<class T>(Type<T>) { sink = C(to_compute(*reinterpret_cast<const T*>(at))); });
  const C* lse = lse_of<C>(p, d, b, h);
  for (int64_t i = 0; i < p.L; i++)
    if (lse[i] != -std::numeric_limits<C>::infinity()) total -= std::exp(sink - lse[i]) * delta[i];
  return total;
}

template <class C>
void backward(const Problem& p, const Gradients& d) {
  const int64_t group = p.H / p.G;
  Scratch<C> sinks(p.B * p.H);
  parallel_for(p.B * p.G, 1, [&](int64_t begin, int64_t end) {
    Room<C> room(p);
    for (int64_t t = begin; t < end; t++) {
      const int64_t b = t / p.G, kv = t % p.G;
      std::fill(room.dq.data, room.dq.data + group * p.L * room.e, C(0));
      for (int64_t x = 0; x < group; x++) {
        C* delta = room.delta.data + x * p.L;
        make_delta(p, d, b, kv * group + x, delta, room);
        if (p.sinks) sinks[b * p.H + kv * group + x] = sink_slope(p, d, b, kv * group + x, delta);
      }
      for (int64_t j = 0; j < p.S; j += kKeys) keys_block(p, d, b, kv, j, std::min(kKeys, p.S - j), room);
      for (int64_t x = 0; x < group; x++)
        store_rows(*d.dq, b, kv * group + x, 0, p.L, room.dq.data + x * p.L * room.e, room.e);
    }
  });
  C* total = ptr<C>(*d.dsinks);
  for (int64_t h = 0; h < p.H; h++) {
    total[h] = 0;
    for (int64_t b = 0; b < p.B && p.sinks; b++) total[h] += sinks[b * p.H + h];
  }
}

// dq, dk, dv, dsinks of g (B, L, H, V), then q, k, v, mask, sinks, out, lse as of the forward pass.
void attention_backward(const Call& call) {
  View* const* v = call.views;
  const Problem p(call, v + 5);
  const Gradients d{v[0], v[1], v[2], v[3], heads_first(*v[4]), heads_first(*v[10]), v[11]};
  if (d.lse->dtype == kFloat64)
    backward<double>(p, d);
  else
    backward<float>(p, d);
}

AL_KERNEL("attention_backward", attention_backward);

}  // namespace

}  // namespace al::attention
