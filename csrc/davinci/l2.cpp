#include "davinci/l2.h"

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <string>

namespace al::davinci {
namespace {
constexpr int64_t kLines = 64;   // of a block: the bits of a word
constexpr int64_t kPage = 4096;  // blocks in one table
constexpr int64_t kMostLine = 1 << 20;
constexpr int64_t kFresh = 8;    // part of the cache that may be used before a region is looked up again
}  // namespace

L2::L2(int64_t capacity_bytes, int64_t line_bytes)
    : line_(line_bytes), block_bytes_(kLines * line_bytes), capacity_(capacity_bytes / std::max<int64_t>(line_bytes, 1)), reads_(kReads) {
  if (line_bytes < 1 || line_bytes > kMostLine || capacity_bytes < line_bytes)
    throw std::invalid_argument("clock: a cache of " + std::to_string(capacity_bytes) + " bytes in lines of " + std::to_string(line_bytes) + "; it needs a line at least");
  foreign_ = capacity_;
}

void L2::clear() {
  blocks_.clear(), free_.clear(), pages_.clear();
  last_page_ = -1, last_ = nullptr, oldest_ = newest_ = -1, held_ = touched_ = 0, foreign_ = capacity_;
  reads_.assign(kReads, {});
}

int32_t L2::find(int64_t id) {
  const int64_t page = id / kPage;
  if (page != last_page_) {
    auto& table = pages_[page];
    if (table.empty()) table.assign(kPage, -1);
    last_page_ = page, last_ = &table;
  }
  int32_t& at = (*last_)[id % kPage];
  if (at >= 0) return at;
  if (free_.empty()) {
    at = static_cast<int32_t>(blocks_.size());
    blocks_.push_back({id, 0, 0, -1, -1});
  } else {
    at = free_.back();
    free_.pop_back();
    blocks_[at] = {id, 0, 0, -1, -1};
  }
  blocks_[at].older = newest_;
  if (newest_ >= 0) blocks_[newest_].newer = at;
  newest_ = at;
  if (oldest_ < 0) oldest_ = at;
  return at;
}

void L2::unlink(int32_t block) {
  const Block& b = blocks_[block];
  (b.older >= 0 ? blocks_[b.older].newer : oldest_) = b.newer;
  (b.newer >= 0 ? blocks_[b.newer].older : newest_) = b.older;
}

void L2::use(int32_t block) {
  if (block == newest_) return;
  unlink(block);
  blocks_[block].older = newest_, blocks_[block].newer = -1;
  blocks_[newest_].newer = block;
  newest_ = block;
}

void L2::make_room(bool write, Traffic& out) {
  const int64_t go = std::min(foreign_, held_ + foreign_ - capacity_);
  if (go > 0) {
    foreign_ -= go;
    if (write) out.evicted += static_cast<double>(go);
  }
  while (held_ > capacity_ && oldest_ >= 0 && oldest_ != newest_) {
    const int32_t victim = oldest_;
    const Block b = blocks_[victim];
    out.evicted += std::popcount(b.dirty);
    held_ -= std::popcount(b.present);
    unlink(victim);
    pages_[b.id / kPage][b.id % kPage] = -1;
    free_.push_back(victim);
  }
}

// Bytes [first, last): every line that they touch.
void L2::touch_run(int64_t first, int64_t last, bool write, Traffic& out) {
  int64_t line = first / line_;
  const int64_t end = (last + line_ - 1) / line_;
  while (line < end) {
    const int64_t id = line / kLines, from = line % kLines, to = std::min(kLines, from + end - line);
    const uint64_t mask = (to - from == kLines ? ~uint64_t{0} : ((uint64_t{1} << (to - from)) - 1)) << from;
    const int32_t at = find(id);
    use(at);
    Block& b = blocks_[at];
    const int fresh = std::popcount(mask & ~b.present);
    out.miss += fresh;
    out.hit += static_cast<double>(to - from - fresh);
    held_ += fresh;
    b.present |= mask;
    if (write) b.dirty |= mask;
    line += to - from;
  }
}

bool L2::seen_lately(const Region& r, int64_t address, Traffic& out) {
  auto mix = [](uint64_t h, int64_t v) { return (h ^ static_cast<uint64_t>(v)) * 0x9E3779B97F4A7C15u; };
  uint64_t key = mix(mix(1, address), r.bytes);
  for (int d = 0; d < r.ndim; ++d) key = mix(mix(key, r.count[d]), r.stride[d]);
  key ^= key >> 32;
  memo_ = &reads_[key & (kReads - 1)];
  // A line leaves only when as many others as the cache holds were used after it.
  if (memo_->key != key || touched_ - memo_->at > capacity_ / kFresh) {
    *memo_ = {key, touched_, 0};
    return false;
  }
  out.hit = static_cast<double>(memo_->lines);
  touched_ += memo_->lines;
  return true;
}

Traffic L2::touch(const Region& r, int64_t base, bool write) {
  Traffic out;
  if (!write && seen_lately(r, base + r.base, out)) return out;
  int64_t index[kMaxRegionDims] = {};
  if (r.bytes <= 0) return out;
  for (int d = 0; d < r.ndim; ++d)
    if (r.count[d] <= 0) return out;
  for (;;) {
    int64_t at = base + r.base;
    for (int d = 0; d < r.ndim; ++d) at += index[d] * r.stride[d];
    touch_run(at, at + r.bytes, write, out);
    int d = r.ndim - 1;
    for (; d >= 0 && ++index[d] == r.count[d]; --d) index[d] = 0;
    if (d < 0) break;
  }
  const int64_t lines = static_cast<int64_t>(out.hit + out.miss);
  touched_ += lines;
  if (!write) memo_->lines = lines;
  make_room(write, out);
  return out;
}

}  // namespace al::davinci
