// Bytes that nothing wrote: a vector instruction may compute with them in lanes that nobody uses (the end of a padded row), so
// what comes of them counts as unwritten too. It is an error only where such bytes leave: to GM, into a sum, a matrix, a scalar.
#include <algorithm>
#include <optional>

#include "davinci/checker_group.h"
#include "davinci/formats.h"

namespace al::davinci {
namespace {

// The bytes of an operand in the order of its elements.
class Linear {
 public:
  explicit Linear(const Region& r) : r_(r) {
    int64_t extent = r.bytes;
    for (int d = r.ndim - 1; d >= 0; --d) {
      nested_ = nested_ && (r.count[d] <= 1 || r.stride[d] >= extent);
      extent += (r.count[d] - 1) * r.stride[d];
      runs_ *= r.count[d];
    }
  }
  bool nested() const { return nested_ && r_.bytes > 0; }
  int64_t bytes() const { return runs_ * r_.bytes; }
  int64_t position(int64_t address) const {
    int64_t offset = address - r_.base - r_.lead, run = 0;
    for (int d = 0; d < r_.ndim; ++d) {
      const int64_t i = r_.count[d] > 1 ? std::min(offset / r_.stride[d], r_.count[d] - 1) : 0;
      offset -= i * r_.stride[d];
      run = run * r_.count[d] + i;
    }
    return run * r_.bytes + std::min(offset, r_.bytes);
  }
  // Calls f(low, high) for the pieces that hold positions [from, to).
  template <class F>
  void pieces(int64_t from, int64_t to, F&& f) const {
    while (from < to) {
      int64_t run = from / r_.bytes, at = r_.base + r_.lead + from % r_.bytes;
      const int64_t end = std::min(to, (run + 1) * r_.bytes);
      for (int d = r_.ndim - 1; d >= 0; --d) at += run % r_.count[d] * r_.stride[d], run /= r_.count[d];
      f(at, at + end - from);
      from = end;
    }
  }

 private:
  const Region& r_;
  int64_t runs_ = 1;
  bool nested_ = true;
};

// Rows of 32 bytes become columns: dst and src as the tracer describes them, [repeat][row] of runs.
template <class F>
void transposed(const Region& dst, const Region& src, int64_t low, int64_t high, F&& mark) {
  const int64_t size = item_size(src.dtype);
  for (int64_t q = 0; q < src.count[0]; ++q)
    for (int64_t row = 0; row < src.count[1]; ++row) {
      const int64_t at = src.base + q * src.stride[0] + row * src.stride[1];
      const int64_t from = std::max(low, at), to = std::min(high, at + src.bytes);
      for (int64_t column = (from - at) / size; from < to && column * size < to - at; ++column) {
        const int64_t element = dst.base + q * dst.stride[0] + column * dst.stride[1] + row * size;
        mark(element, element + size);
      }
    }
}

}  // namespace

void GroupCheck::pass_on_unwritten(CoreState& c, const Pending& p, Passes passes) {
  const Instr& i = p.instr;
  const Region& dst = i.regions[0];
  Span whole;
  if (!(dst.access & kWrite) || dst.memory == kGM || normalise(dst, whole) != Shape::kFine || !p.spans[0].bytes) return;
  auto mark = [&](int64_t low, int64_t high) {
    low = std::max<int64_t>(low, whole.base), high = std::min(high, whole.end());
    if (low >= high) return;
    c.shadow[dst.memory].visit(static_cast<int32_t>(low), static_cast<int32_t>(high), false,
                               [](LocalSegment& g) { g.flags = static_cast<uint8_t>(g.flags & ~kInitialised); });
  };
  for (const auto& [region, low, high] : unwritten_) {
    const Region& src = i.regions[region];
    const Linear from(src), to(dst);
    const int64_t a = passes == Passes::kBytes ? 1 : item_size(src.dtype),
                  b = passes == Passes::kBytes ? 1 : item_size(dst.dtype);
    if (passes == Passes::kTransposed && src.ndim == 2 && dst.ndim == 2) {
      transposed(dst, src, low, high, mark);
    } else if (passes != Passes::kTransposed && from.nested() && to.nested() && from.bytes() * b == to.bytes() * a) {
      to.pieces(from.position(low) / a * b, (from.position(high - 1) / a + 1) * b, mark);
    } else {
      for_each_run(whole, mark);
    }
  }
}

}  // namespace al::davinci
