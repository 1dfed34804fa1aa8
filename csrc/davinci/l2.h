// The second-level cache as the clock sees it: which lines of the global memory it holds, and what a copy finds there.
// Least recently used, kept by blocks of 64 lines; exact in lines, without sets or ways.
#pragma once
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "davinci/program.h"

namespace al::davinci {

struct Traffic {
  double hit = 0, miss = 0, evicted = 0;  // lines; evicted: dirty ones that made room
};

class L2 {
 public:
  L2(int64_t capacity_bytes, int64_t line_bytes);
  // All lines of the region, `base` being the address of its tensor. Written lines need no fetch.
  Traffic touch(const Region& region, int64_t base, bool write);
  void clear();
  int64_t block_of(int64_t address) const { return address / block_bytes_; }
  double held_bytes() const { return static_cast<double>(held_) * static_cast<double>(line_); }

 private:
  struct Block {
    int64_t id;
    uint64_t present, dirty;
    int32_t older, newer;
  };
  int32_t find(int64_t id);
  void use(int32_t block);
  void unlink(int32_t block);
  void touch_run(int64_t first, int64_t last, bool write, Traffic& out);
  void make_room(Traffic& out);

  int64_t line_, block_bytes_, capacity_, held_ = 0;
  std::vector<Block> blocks_;
  std::vector<int32_t> free_;
  std::unordered_map<int64_t, std::vector<int32_t>> pages_;  // id / kPage -> block of each
  int64_t last_page_ = -1;
  std::vector<int32_t>* last_ = nullptr;
  int32_t oldest_ = -1, newest_ = -1;
};

}  // namespace al::davinci
