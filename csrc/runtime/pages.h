// Whole pages for the allocator: best fit over big segments, neighbours merged. Not thread-safe: the allocator locks.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <utility>

namespace al {

constexpr size_t kPage = 4096;
constexpr size_t kHugePage = size_t{2} << 20;

class Pages {
 public:
  char* take(size_t bytes, size_t may_reserve);  // null when no segment fits and no new one may be or could be mapped
  void give(char* p, size_t bytes);
  void release();  // unmaps the segments that are wholly free
  size_t reserved = 0;
  int64_t segments = 0;

 private:
  struct Segment { size_t bytes; };
  bool grow(size_t bytes, size_t may_reserve);
  void insert(char* p, size_t bytes);
  void erase(std::map<char*, size_t>::iterator it);

  std::map<char*, Segment> mapped_;
  std::map<char*, size_t> free_;                 // by address, to merge neighbours
  std::set<std::pair<size_t, char*>> by_size_;   // the same, for the best fit
};

}  // namespace al
