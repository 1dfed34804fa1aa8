// Who touched which bytes last: interval maps of one core's local memories and of the memory that cores share.
#pragma once
#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

namespace al::davinci {

constexpr int kPipesOfGroup = 24;  // three cores; eight numbers each, of which the pipes take seven

enum EpochFlag : uint8_t {
  kInitialised = 1,  // every byte was written, perhaps earlier
  kByUnitFlag = 2,   // handed over by the unit flags of L0C
  kSmallMmad = 4,    // too short to hide the latency of its accumulation (R09)
};

// The last write and, per pipe, the last read since. A pipe's instructions are in order, so its last one stands for all.
struct LocalSegment {
  int32_t low, high, next;
  uint32_t write = 0;                                 // ticket; 0: never written
  uint8_t write_pipe = 0, flags = 0, unit_reads = 0;  // bit of a pipe: its last read was handed over by unit flags
  uint32_t reads[7] = {};
};

// Segments of one local memory in address order, found through a page table.
class LocalShadow {
 public:
  explicit LocalShadow(int64_t bytes = 0) : pages_((bytes + kPage - 1) / kPage, 0) {
    if (bytes) segments_.push_back({0, static_cast<int32_t>(bytes), -1});
  }

  // Calls f(segment) for those that make up [low, high), cut to fit; `whole`: they end up the same, so they become one.
  template <class F>
  void visit(int32_t low, int32_t high, bool whole, F&& f) {
    int32_t at = pages_[low / kPage];
    while (segments_[at].high <= low) at = segments_[at].next;
    if (segments_[at].low < low) at = split(at, low);
    const int32_t first = at;
    for (;;) {
      if (segments_[at].high > high) split(at, high);
      f(segments_[at]);
      if (segments_[at].high == high) break;
      at = segments_[at].next;
    }
    if (whole && first != at) join(first, at);
  }

 private:
  static constexpr int32_t kPage = 256;

  void point(int32_t low, int32_t high, int32_t segment) {
    for (int32_t p = (low + kPage - 1) / kPage; p * kPage < high; ++p) pages_[p] = segment;
  }

  int32_t split(int32_t at, int32_t where) {
    int32_t made;
    if (free_.empty()) {
      made = static_cast<int32_t>(segments_.size());
      segments_.push_back(segments_[at]);
    } else {
      made = free_.back();
      free_.pop_back();
      segments_[made] = segments_[at];
    }
    segments_[made].low = where;
    segments_[at].high = where;
    segments_[at].next = made;
    point(where, segments_[made].high, made);
    return made;
  }

  void join(int32_t first, int32_t last) {
    for (int32_t s = segments_[first].next; s != segments_[last].next; s = segments_[s].next) free_.push_back(s);
    point(segments_[first].high, segments_[last].high, first);
    segments_[first].high = segments_[last].high;
    segments_[first].next = segments_[last].next;
  }

  std::vector<LocalSegment> segments_;
  std::vector<int32_t> pages_;  // the segment that holds a page's first byte
  std::vector<int32_t> free_;
};

// Of memory that the cores of a group share. Atomic updates don't exclude each other, so they are kept like reads.
struct SharedSegment {
  int64_t high;
  uint32_t write = 0;
  uint8_t write_pipe = 0;
  bool any_reads = false, any_atomics = false;
  bool dirty = false;             // the last write is in the scalar unit's cache only
  uint8_t cached = 0, stale = 0;  // bit of a core: its scalar unit holds a copy; an outdated one
  uint32_t reads[kPipesOfGroup] = {}, atomics[kPipesOfGroup] = {};
};

class SharedShadow {
 public:
  // As LocalShadow's; bytes that nobody touched yet get a segment of their own.
  template <class F>
  void visit(int64_t low, int64_t high, F&& f) {
    auto it = segments_.upper_bound(low);
    if (it != segments_.begin() && std::prev(it)->second.high > low) {
      auto before = std::prev(it);
      it = before->first < low ? split(before, low) : before;
    }
    while (low < high) {
      if (it == segments_.end() || it->first > low) {
        int64_t end = it == segments_.end() ? high : std::min(high, it->first);
        it = segments_.emplace_hint(it, low, SharedSegment{end});
      }
      if (it->second.high > high) split(it, high);
      f(it->first, it->second);
      low = it->second.high;
      ++it;
    }
  }

  const std::map<int64_t, SharedSegment>& segments() const { return segments_; }

 private:
  using Map = std::map<int64_t, SharedSegment>;
  Map::iterator split(Map::iterator at, int64_t where) {
    SharedSegment rest = at->second;
    at->second.high = where;
    return segments_.emplace_hint(std::next(at), where, rest);
  }
  Map segments_;
};

}  // namespace al::davinci
