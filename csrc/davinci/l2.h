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
  // At first the cache is full of lines that nobody here will ask for; they go first. What others wrote is written back as fast as a
  // launch writes: their share of dirty lines is taken to be its own share of writes.
  L2(int64_t capacity_bytes, int64_t line_bytes);
  // All lines of the region, `base` being the address of its tensor. Written lines need no fetch.
  Traffic touch(const Region& region, int64_t base, bool write);
  void clear();
  void restore(const L2& earlier) { *this = earlier, last_page_ = -1, last_ = nullptr; }  // the state of a copy
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
  void make_room(bool write, Traffic& out);
  bool seen_lately(const Region& region, int64_t address, Traffic& out);

  // The same region read again before many other lines were touched is there for sure: no need to look at its lines.
  struct Read { uint64_t key = 0; int64_t at = 0, lines = 0; };
  static constexpr uint64_t kReads = 1 << 14;

  int64_t line_, block_bytes_, capacity_, held_ = 0, foreign_ = 0;
  int64_t touched_ = 0;  // lines, ever
  std::vector<Read> reads_;
  Read* memo_ = nullptr;  // where the region that is being touched will be noted
  std::vector<Block> blocks_;
  std::vector<int32_t> free_;
  std::unordered_map<int64_t, std::vector<int32_t>> pages_;  // id / kPage -> block of each
  int64_t last_page_ = -1;
  std::vector<int32_t>* last_ = nullptr;
  int32_t oldest_ = -1, newest_ = -1;
};

}  // namespace al::davinci
