#include "davinci/core.h"

#include <sys/mman.h>

#include <cstring>
#include <map>
#include <mutex>
#include <new>

namespace al::davinci {
namespace {

constexpr int64_t kPage = 4096;
constexpr size_t kKept = 64;  // memories of one scale that wait for the next launch

struct Pool {
  std::mutex mutex;
  std::map<int64_t, std::vector<std::unique_ptr<LocalMemories>>> free;  // by scale
};

Pool& pool() {
  static auto* all = new Pool;
  return *all;
}

}  // namespace

LocalMemories::LocalMemories(int64_t scale) : bytes_(0) {
  for (int64_t bytes : kMemoryBytes) bytes_ += (bytes * scale + kPage - 1) / kPage * kPage;
  void* p = mmap(nullptr, static_cast<size_t>(bytes_), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  pages_ = static_cast<char*>(p);
  char* next = pages_;
  for (int m = 0; m < kNumMemories; ++m) {
    memories_[m] = next;
    next += (kMemoryBytes[m] * scale + kPage - 1) / kPage * kPage;
  }
}

LocalMemories::~LocalMemories() { munmap(pages_, static_cast<size_t>(bytes_)); }

void LocalMemories::poison() { std::memset(pages_, 0xff, static_cast<size_t>(bytes_)); }

void LocalMemories::forget() { madvise(pages_, static_cast<size_t>(bytes_), MADV_DONTNEED); }

BorrowedMemories::BorrowedMemories(int64_t scale) : scale_(scale) {
  {
    std::lock_guard<std::mutex> hold(pool().mutex);
    auto& free = pool().free[scale];
    if (!free.empty()) {
      held_ = std::move(free.back());
      free.pop_back();
    }
  }
  if (!held_) held_ = std::make_unique<LocalMemories>(scale);
}

BorrowedMemories::~BorrowedMemories() {
  if (!held_) return;
  std::lock_guard<std::mutex> hold(pool().mutex);
  auto& free = pool().free[scale_];
  if (free.size() < kKept) free.push_back(std::move(held_));
}

}  // namespace al::davinci
