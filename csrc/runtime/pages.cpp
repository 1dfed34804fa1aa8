#include "runtime/pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <iterator>

namespace al {
namespace {

size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

// Memory at a multiple of 2 MiB: the kernel can back it with huge pages, so a 64 MiB result costs 32 page faults, not 16,384.
char* map_aligned(size_t bytes) {
  size_t room = bytes + kHugePage;
  void* raw = mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  char* begin = static_cast<char*>(raw);
  char* aligned = reinterpret_cast<char*>(round_up(reinterpret_cast<uintptr_t>(begin), kHugePage));
  if (aligned > begin) munmap(begin, size_t(aligned - begin));
  char* end = begin + room;
  if (end > aligned + bytes) munmap(aligned + bytes, size_t(end - aligned - bytes));
  return aligned;
}

}  // namespace

void Pages::insert(char* p, size_t bytes) {
  free_[p] = bytes;
  by_size_.insert({bytes, p});
}

void Pages::erase(std::map<char*, size_t>::iterator it) {
  by_size_.erase({it->second, it->first});
  free_.erase(it);
}

bool Pages::grow(size_t bytes, size_t may_reserve) {
  // The first segment is small and of small pages, so that a short program stays small; later ones grow with the program.
  size_t least = segments == 0 ? kHugePage : std::clamp(reserved / 4, 8 * kHugePage, 128 * kHugePage);
  size_t exact = round_up(bytes, kHugePage), size = std::max(exact, round_up(least, kHugePage));
  if (size > may_reserve) size = exact;
  if (size > may_reserve) return false;
  char* p = map_aligned(size);
  if (!p) return false;
  if (size > kHugePage) madvise(p, size, MADV_HUGEPAGE);
  mapped_[p] = {size};
  reserved += size;
  segments++;
  insert(p, size);
  return true;
}

char* Pages::take(size_t bytes, size_t may_reserve) {
  auto best = by_size_.lower_bound({bytes, nullptr});
  if (best == by_size_.end()) {
    if (!grow(bytes, may_reserve)) return nullptr;
    best = by_size_.lower_bound({bytes, nullptr});
  }
  auto [size, p] = *best;
  // Big blocks start at a huge page where the hole allows it: a view of one then never shares its first huge page.
  size_t skip = bytes >= kHugePage ? round_up(reinterpret_cast<uintptr_t>(p), kHugePage) - reinterpret_cast<uintptr_t>(p) : 0;
  if (skip + bytes > size) skip = 0;
  erase(free_.find(p));
  if (skip) insert(p, skip);
  if (size > skip + bytes) insert(p + skip + bytes, size - skip - bytes);
  return p + skip;
}

void Pages::give(char* p, size_t bytes) {
  auto next = free_.lower_bound(p);
  // Neighbouring segments may touch by accident; they stay apart, so that each can be unmapped.
  if (next != free_.end() && p + bytes == next->first && !mapped_.count(next->first)) {
    bytes += next->second;
    auto gone = next++;
    erase(gone);
  }
  if (next != free_.begin()) {
    auto before = std::prev(next);
    if (before->first + before->second == p && !mapped_.count(p)) {
      p = before->first;
      bytes += before->second;
      erase(before);
    }
  }
  insert(p, bytes);
}

void Pages::release() {
  for (auto it = mapped_.begin(); it != mapped_.end();) {
    auto hole = free_.find(it->first);
    if (hole == free_.end() || hole->second != it->second.bytes) {
      ++it;
      continue;
    }
    erase(hole);
    munmap(it->first, it->second.bytes);
    reserved -= it->second.bytes;
    segments--;
    it = mapped_.erase(it);
  }
}

}  // namespace al
