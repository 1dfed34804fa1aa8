// The bytes of an operand in a normal form, and whether two of them meet.
#pragma once
#include <cstdint>

#include "davinci/program.h"

namespace al::davinci {

// Runs of `bytes`, repeated: strides positive, largest first, wider than what they repeat wherever runs don't interleave.
struct Span {
  int64_t base = 0, bytes = 0;
  int ndim = 0;
  int64_t count[kMaxRegionDims] = {}, stride[kMaxRegionDims] = {};

  int64_t end() const {
    int64_t last = base + bytes;
    for (int d = 0; d < ndim; ++d) last += (count[d] - 1) * stride[d];
    return last;
  }
  int64_t runs() const {
    int64_t n = 1;
    for (int d = 0; d < ndim; ++d) n *= count[d];
    return n;
  }
  bool operator==(const Span&) const = default;
};

enum class Shape { kEmpty, kFine, kWild };  // kWild: numbers that no memory has

Shape normalise(const Region& region, Span& out);

// Whether a run meets [low, high).
bool meets(const Span& span, int64_t low, int64_t high);

// Whether two spans share bytes; `low`, `high`: the first bytes shared. `sure` is false if that was not decided (too many runs on
// both sides).
bool overlap(const Span& a, const Span& b, int64_t& low, int64_t& high, bool& sure);

// Calls f(low, high) for each run.
template <class F>
void for_each_run(const Span& s, F&& f) {
  const int64_t n[3] = {s.ndim > 0 ? s.count[0] : 1, s.ndim > 1 ? s.count[1] : 1, s.ndim > 2 ? s.count[2] : 1};
  for (int64_t i = 0; i < n[0]; ++i)
    for (int64_t j = 0; j < n[1]; ++j)
      for (int64_t k = 0; k < n[2]; ++k) {
        int64_t at = s.base + i * s.stride[0] + j * s.stride[1] + k * s.stride[2];
        f(at, at + s.bytes);
      }
}

}  // namespace al::davinci
