// The memory of an emulated card: one address range a die, blocks of it handed out and cached as the vendor's framework caches them.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace al::davinci {

// Free ranges of an address space: best fit, neighbours merged.
class Ranges {
 public:
  // The start of `bytes` free bytes, or -1.
  int64_t take(int64_t bytes);
  void give(int64_t start, int64_t bytes);
  void clear() { by_start_.clear(), by_size_.clear(); }
  const std::map<int64_t, int64_t>& all() const { return by_start_; }
  void remove(int64_t start, int64_t bytes);  // a part of one free range
  bool begins(int64_t at) const { return by_start_.count(at) != 0; }  // whether a range does
  bool ends(int64_t at) const;

 private:
  void erase(std::map<int64_t, int64_t>::iterator it);
  void insert(int64_t start, int64_t bytes);
  std::map<int64_t, int64_t> by_start_;            // start -> bytes
  std::set<std::pair<int64_t, int64_t>> by_size_;  // (bytes, start)
};

struct HeapStats {
  int64_t allocated = 0, peak_allocated = 0;  // bytes in blocks
  int64_t reserved = 0, peak_reserved = 0;    // bytes taken from the die, free blocks included
  int64_t blocks = 0, allocations = 0, failures = 0;
};

class Heap {
 public:
  ~Heap();
  // `wide`: host bytes that stand behind one byte of the card (more than 1 when narrow types are computed in float or double).
  // The heap must be empty. Throws std::runtime_error if blocks live.
  void configure(int64_t capacity, int wide);
  char* alloc(size_t bytes);  // nullptr when the die is full
  void free(char* p);
  void empty_cache();
  void reset_peaks();
  HeapStats stats();
  int64_t capacity() const { return capacity_; }
  int wide() const { return wide_; }
  char* base() const { return base_; }
  std::vector<std::pair<int64_t, int64_t>> live();    // (offset, bytes)
  std::vector<std::pair<int64_t, int64_t>> cached();  // the free ranges of what was taken from the die

 private:
  bool grow(int64_t bytes);
  void release_cached();
  std::mutex mutex_;
  char* base_ = nullptr;
  int64_t capacity_ = 0;
  int wide_ = 1;
  Ranges unreserved_, free_;
  std::map<int64_t, int64_t> live_;
  HeapStats stats_;
};

constexpr int kMaxDies = 64;
Heap& heap(int die);

// The bytes that stand behind an address of the card: the same in device mode, spread where the memories are wide. Foreign addresses stay.
char* behind(char* p);

}  // namespace al::davinci
