#include "davinci/heap.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <stdexcept>

#include "davinci/queue.h"

namespace al::davinci {
namespace {

// torch_npu's caching allocator: blocks of 512 bytes, small requests from segments of 2 MiB, middle ones from 20 MiB.
constexpr int64_t kBlock = 512, kPage = 2 << 20, kHostPage = 4096, kSmall = 1 << 20, kMiddle = 10 << 20, kMiddleSegment = 20 << 20;

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

int64_t segment_bytes(int64_t bytes) { return bytes <= kSmall ? kPage : bytes < kMiddle ? kMiddleSegment : round_up(bytes, kPage); }

}  // namespace

void Ranges::insert(int64_t start, int64_t bytes) {
  by_start_.emplace(start, bytes);
  by_size_.emplace(bytes, start);
}

void Ranges::erase(std::map<int64_t, int64_t>::iterator it) {
  by_size_.erase({it->second, it->first});
  by_start_.erase(it);
}

int64_t Ranges::take(int64_t bytes) {
  auto fit = by_size_.lower_bound({bytes, -1});
  if (fit == by_size_.end()) return -1;
  auto [size, start] = *fit;
  erase(by_start_.find(start));
  if (size > bytes) insert(start + bytes, size - bytes);
  return start;
}

void Ranges::give(int64_t start, int64_t bytes) {
  auto next = by_start_.lower_bound(start);
  if (next != by_start_.begin()) {
    auto before = std::prev(next);
    if (before->first + before->second == start) {
      start = before->first, bytes += before->second;
      erase(before);
    }
  }
  if (next != by_start_.end() && start + bytes == next->first) {
    bytes += next->second;
    erase(next);
  }
  insert(start, bytes);
}

void Ranges::remove(int64_t start, int64_t bytes) {
  auto it = std::prev(by_start_.upper_bound(start));
  int64_t first = it->first, size = it->second;
  erase(it);
  if (start > first) insert(first, start - first);
  if (first + size > start + bytes) insert(start + bytes, first + size - start - bytes);
}

bool Ranges::ends(int64_t at) const {
  auto next = by_start_.lower_bound(at);
  return next != by_start_.begin() && std::prev(next)->first + std::prev(next)->second == at;
}

Heap::~Heap() {
  if (base_) munmap(base_, static_cast<size_t>(capacity_) * wide_);
}

void Heap::configure(int64_t capacity, int wide) {
  queue().settle();
  std::lock_guard<std::mutex> lock(mutex_);
  if (!live_.empty()) throw std::runtime_error("npu: " + std::to_string(live_.size()) + " blocks of memory are in use; delete the tensors on the device first");
  if (base_) munmap(base_, static_cast<size_t>(capacity_) * wide_);
  base_ = nullptr;
  void* p = mmap(nullptr, static_cast<size_t>(capacity) * wide, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) throw std::runtime_error("npu: this machine refuses an address range of " + std::to_string(capacity * wide) + " bytes for the card's memory");
  madvise(p, static_cast<size_t>(capacity) * wide, MADV_HUGEPAGE);
  base_ = static_cast<char*>(p), capacity_ = capacity, wide_ = wide;
  unreserved_.clear(), free_.clear();
  unreserved_.give(0, capacity);
  stats_ = {};
}

bool Heap::grow(int64_t bytes) {
  int64_t segment = std::min(segment_bytes(bytes), capacity_);
  int64_t start = unreserved_.take(segment);
  if (start < 0 && segment > bytes) start = unreserved_.take(segment = round_up(bytes, kBlock));
  if (start < 0) return false;
  free_.give(start, segment);
  stats_.reserved += segment;
  stats_.peak_reserved = std::max(stats_.peak_reserved, stats_.reserved);
  return true;
}

char* Heap::alloc(size_t bytes) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (bytes > static_cast<size_t>(capacity_)) return ++stats_.failures, nullptr;
  int64_t size = round_up(static_cast<int64_t>(bytes), kBlock);
  int64_t start = free_.take(size);
  if (start < 0 && grow(size)) start = free_.take(size);
  if (start < 0) {
    release_cached();
    if (grow(size)) start = free_.take(size);
  }
  if (start < 0) return ++stats_.failures, nullptr;
  live_.emplace(start, size);
  stats_.allocated += size;
  stats_.peak_allocated = std::max(stats_.peak_allocated, stats_.allocated);
  ++stats_.blocks, ++stats_.allocations;
  return base_ + start;
}

void Heap::free(char* p) {
  std::lock_guard<std::mutex> lock(mutex_);
  auto it = live_.find(p - base_);
  if (it == live_.end()) return;  // of an earlier configuration
  free_.give(it->first, it->second);
  stats_.allocated -= it->second;
  --stats_.blocks;
  live_.erase(it);
}

// Whole pages of free ranges go back to the die, and parts of pages whose rest is there; their memory goes to the host.
void Heap::release_cached() {
  queue().settle();
  std::vector<std::pair<int64_t, int64_t>> pages;
  for (auto [start, bytes] : free_.all()) {
    int64_t end = start + bytes, first = unreserved_.ends(start) ? start : round_up(start, kPage);
    int64_t last = end == capacity_ || unreserved_.begins(end) ? end : end / kPage * kPage;
    if (last > first) pages.emplace_back(first, last - first);
  }
  for (auto [start, bytes] : pages) {
    free_.remove(start, bytes);
    unreserved_.give(start, bytes);
    stats_.reserved -= bytes;
    int64_t from = round_up(start * wide_, kHostPage), to = (start + bytes) * wide_ / kHostPage * kHostPage;
    if (to > from) madvise(base_ + from, static_cast<size_t>(to - from), MADV_DONTNEED);
  }
}

void Heap::empty_cache() {
  std::lock_guard<std::mutex> lock(mutex_);
  release_cached();
}

void Heap::reset_peaks() {
  std::lock_guard<std::mutex> lock(mutex_);
  stats_.peak_allocated = stats_.allocated, stats_.peak_reserved = stats_.reserved;
}

HeapStats Heap::stats() {
  std::lock_guard<std::mutex> lock(mutex_);
  return stats_;
}

std::vector<std::pair<int64_t, int64_t>> Heap::live() {
  std::lock_guard<std::mutex> lock(mutex_);
  return {live_.begin(), live_.end()};
}

std::vector<std::pair<int64_t, int64_t>> Heap::cached() {
  std::lock_guard<std::mutex> lock(mutex_);
  return {free_.all().begin(), free_.all().end()};
}

Heap& heap(int die) {
  static Heap* heaps = new Heap[kMaxDies];  // outlives every tensor
  return heaps[die];
}

char* behind(char* p) {
  for (int die = 0; die < kMaxDies; ++die) {
    Heap& h = heap(die);
    if (h.base() == nullptr) break;
    if (p >= h.base() && p < h.base() + h.capacity()) return h.base() + (p - h.base()) * h.wide();
  }
  return p;
}

}  // namespace al::davinci
