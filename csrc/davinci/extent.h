// The bytes that an operand reaches, from its first to its last: what its region declares, and what an instruction's arguments say.
#pragma once
#include <algorithm>
#include <cstdint>
#include <string>

#include "davinci/program.h"

namespace al::davinci {

// Bytes [low, high) counted from an operand's address, in nominal bytes; numbers too large for any memory stay too large.
class Extent {
 public:
  Extent() = default;  // none
  explicit Extent(__int128 bytes, __int128 first = 0) : low_(first), high_(first + bytes), none_(bytes <= 0) {}

  // The same, `count` times at `stride` bytes.
  Extent times(__int128 count, __int128 stride) const {
    if (none_ || count <= 0) return {};
    Extent e = *this;
    const __int128 reach = std::clamp<__int128>((count - 1) * stride, -kFar, kFar);
    (reach < 0 ? e.low_ : e.high_) += reach;
    return e;
  }
  Extent with(const Extent& o) const {
    if (none_ || o.none_) return none_ ? o : *this;
    Extent e = *this;
    e.low_ = std::min(low_, o.low_), e.high_ = std::max(high_, o.high_);
    return e;
  }
  bool within(const Extent& o) const { return none_ || (!o.none_ && low_ >= o.low_ && high_ <= o.high_); }
  bool within(int64_t begin, int64_t end) const { return none_ || (low_ >= begin && high_ <= end); }
  Extent moved(int64_t bytes) const {
    Extent e = *this;
    e.low_ += bytes, e.high_ += bytes;
    return e;
  }
  // Its bytes, cut to what 64 bits hold.
  int64_t low() const { return none_ ? 0 : cut(low_); }
  int64_t high() const { return none_ ? 0 : cut(high_); }
  std::string text() const { return none_ ? "none" : number(low_) + ".." + number(high_); }

 private:
  static constexpr __int128 kFar = __int128{1} << 80;
  static int64_t cut(__int128 x) { return static_cast<int64_t>(std::clamp<__int128>(x, INT64_MIN, INT64_MAX)); }
  static std::string number(__int128 x) { return x > INT64_MAX || x < INT64_MIN ? "beyond 64 bits" : std::to_string(static_cast<int64_t>(x)); }
  __int128 low_ = 0, high_ = 0;
  bool none_ = true;
};

// What a region declares. The lanes that a mask leaves out at its front belong to it: they are read and dropped.
inline Extent extent_of(const Region& r) {
  Extent e(r.lead > 0 ? __int128{r.lead} + r.bytes : __int128{r.bytes}, r.lead > 0 ? 0 : r.lead);
  if (r.bytes <= 0) return {};
  for (int d = 0; d < r.ndim; ++d) e = e.times(r.count[d], r.stride[d]);
  return e;
}

}  // namespace al::davinci
