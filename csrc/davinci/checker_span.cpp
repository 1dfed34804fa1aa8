#include "davinci/checker_span.h"

#include <algorithm>

namespace al::davinci {
namespace {

constexpr int64_t kLargest = int64_t{1} << 50;  // no address, stride or length is larger
constexpr int64_t kMostCount = 1 << 20;         // so that the product of three fits
constexpr int64_t kMostRuns = 1 << 16;          // of the span with fewer runs, that overlap() looks at one by one

bool wild(int64_t x) { return x > kLargest || x < -kLargest; }

// Takes repetition that leaves no gap into the run, and into one dimension what two of them say.
void merge(Span& s) {
  while (s.ndim && s.stride[s.ndim - 1] <= s.bytes) {
    --s.ndim;
    s.bytes += (s.count[s.ndim] - 1) * s.stride[s.ndim];
    s.count[s.ndim] = s.stride[s.ndim] = 0;
  }
  for (int d = 0; d + 1 < s.ndim;) {
    if (s.stride[d] != s.stride[d + 1] * s.count[d + 1]) {
      ++d;
      continue;
    }
    s.count[d] *= s.count[d + 1], s.stride[d] = s.stride[d + 1];
    for (int e = d + 1; e + 1 < s.ndim; ++e) s.count[e] = s.count[e + 1], s.stride[e] = s.stride[e + 1];
    --s.ndim;
    s.count[s.ndim] = s.stride[s.ndim] = 0;
  }
}

// Whether dimensions d.. of the span, from `base` on, meet [low, high).
bool meets_from(const Span& s, int d, int64_t base, int64_t low, int64_t high) {
  int64_t extent = s.bytes;
  for (int e = d; e < s.ndim; ++e) extent += (s.count[e] - 1) * s.stride[e];
  if (base >= high || base + extent <= low) return false;
  if (d == s.ndim) return true;
  const int64_t inner = extent - (s.count[d] - 1) * s.stride[d], stride = s.stride[d];
  int64_t first = base + inner > low ? 0 : (low - base - inner) / stride + 1;
  int64_t last = std::min(s.count[d] - 1, (high - 1 - base) / stride);
  if (first > last) return false;
  if (d + 1 == s.ndim) return true;
  // What lies within [low, high) as a whole is met; only ends need a closer look, unless repetitions interleave.
  if (inner <= stride && last - first >= 2) return true;
  for (int64_t i = first; i <= last; ++i)
    if (meets_from(s, d + 1, base + i * stride, low, high)) return true;
  return false;
}

Shape shape_of(const Region& r, Span& out) {
  out = Span{};
  if (r.bytes < 0 || wild(r.base) || wild(r.bytes) || wild(r.lead)) return Shape::kWild;
  out.base = r.base + r.lead, out.bytes = r.bytes;
  int64_t reach = r.bytes;
  for (int d = 0; d < r.ndim; ++d) {
    if (r.count[d] <= 0) return r.count[d] < 0 ? Shape::kWild : Shape::kEmpty;
    if (wild(r.stride[d]) || r.count[d] > kMostCount) return Shape::kWild;
    int64_t span;
    if (__builtin_mul_overflow(r.count[d] - 1, r.stride[d], &span) || wild(span)) return Shape::kWild;
    reach += span < 0 ? -span : span;
    if (wild(reach)) return Shape::kWild;
    if (r.count[d] == 1 || r.stride[d] == 0) continue;
    if (span < 0) out.base += span;
    out.count[out.ndim] = r.count[d];
    out.stride[out.ndim++] = r.stride[d] < 0 ? -r.stride[d] : r.stride[d];
  }
  if (!r.bytes) return Shape::kEmpty;
  for (int d = 1; d < out.ndim; ++d)
    for (int e = d; e > 0 && out.stride[e - 1] < out.stride[e]; --e) {
      std::swap(out.stride[e - 1], out.stride[e]);
      std::swap(out.count[e - 1], out.count[e]);
    }
  if (out.ndim) merge(out);
  return Shape::kFine;
}

}  // namespace

Shape normalise(const Region& r, Span& out) {
  const Shape shape = shape_of(r, out);
  if (shape == Shape::kWild) {  // something to print
    out = Span{};
    out.base = std::clamp(r.base, -kLargest, kLargest), out.bytes = std::clamp<int64_t>(r.bytes, 0, kLargest);
  }
  return shape;
}

bool meets(const Span& s, int64_t low, int64_t high) { return meets_from(s, 0, s.base, low, high); }

bool overlap(const Span& a, const Span& b, int64_t& low, int64_t& high, bool& sure) {
  sure = true;
  low = std::max(a.base, b.base), high = std::min(a.end(), b.end());
  if (low >= high) return false;
  if (!a.ndim && !b.ndim) return true;
  const bool swap = a.runs() > b.runs();
  const Span &few = swap ? b : a, &many = swap ? a : b;
  if (few.runs() > kMostRuns) {
    sure = false;
    return true;
  }
  bool found = false;
  for_each_run(few, [&](int64_t from, int64_t to) {
    if (found || !meets(many, from, to)) return;
    found = true;
    low = std::max(from, many.base), high = std::min(to, many.end());
  });
  return found;
}

}  // namespace al::davinci
