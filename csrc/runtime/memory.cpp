// A caching allocator: freed blocks wait in lists by size class and are handed out again, so that a steady training loop
// takes no page faults. Blocks of 2 MiB and more lie on huge pages.
#include <sys/mman.h>

#include <atomic>
#include <new>
#include <unordered_map>

#include "runtime/runtime.h"

namespace al {
namespace {

constexpr size_t kAlign = 64;
constexpr size_t kSmall = 1024;            // up to here a class is a multiple of 64 bytes
constexpr size_t kLarge = size_t{1} << 20; // from here a block is a mapping of its own
constexpr size_t kHuge = size_t{1} << 21;  // a huge page
constexpr size_t kArena = size_t{4} << 20; // smaller blocks are cut from arenas of this size
constexpr int kPerDoubling = 8;            // classes between powers of two: at most 12.5% is lost
constexpr int kClasses = 16 + 8 * 40;
constexpr int kNearby = 2;                 // a cached large block up to this many classes above may serve

struct FreeBlock { FreeBlock* next; };

struct SpinLock {
  std::atomic_flag flag = ATOMIC_FLAG_INIT;
  void lock() { while (flag.test_and_set(std::memory_order_acquire)) relax(); }
  void unlock() { flag.clear(std::memory_order_release); }
  static void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
};

struct Cache {
  SpinLock lock;
  FreeBlock* free_list[kClasses] = {};
  char* arena = nullptr;
  size_t arena_left = 0;
  std::unordered_map<void*, int> large_class;  // of blocks that are mappings of their own
  MemoryStats stats{};
};

Cache& cache() {
  static Cache* c = new Cache;  // never destroyed: tensors may outlive static destructors
  return *c;
}

struct Hold {
  SpinLock& lock;
  explicit Hold(SpinLock& l) : lock(l) { lock.lock(); }
  ~Hold() { lock.unlock(); }
};

int class_of(size_t bytes) {
  if (bytes <= kSmall) return int((bytes + kAlign - 1) / kAlign) - (bytes > 0);
  int top = 63 - __builtin_clzll(bytes - 1);  // 2^top <= bytes-1
  size_t step = (size_t{1} << top) / kPerDoubling;
  int part = int((bytes - 1 - (size_t{1} << top)) / step);
  return 16 + (top - 10) * kPerDoubling + part;
}

size_t class_bytes(int c) {
  if (c < 16) return size_t(c + 1) * kAlign;
  int top = 10 + (c - 16) / kPerDoubling, part = (c - 16) % kPerDoubling;
  return (size_t{1} << top) + (size_t{1} << top) / kPerDoubling * size_t(part + 1);
}

// A fresh mapping aligned to a huge page.
char* map_memory(size_t bytes) {
  size_t span = bytes + kHuge;
  char* p = static_cast<char*>(mmap(nullptr, span, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (p == MAP_FAILED) return nullptr;
  char* aligned = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(p) + kHuge - 1) / kHuge * kHuge);
  if (aligned > p) munmap(p, size_t(aligned - p));
  size_t tail = size_t(p + span - (aligned + bytes));
  if (tail) munmap(aligned + bytes, tail);
  if (bytes >= kHuge) madvise(aligned, bytes, MADV_HUGEPAGE);
  return aligned;
}

size_t mapped_bytes(int c) { return (class_bytes(c) + 4095) / 4096 * 4096; }

void count_reserved(Cache& c, int64_t bytes) {
  c.stats.reserved += bytes;
  if (c.stats.reserved > c.stats.max_reserved) c.stats.max_reserved = c.stats.reserved;
}

void drop_large(Cache& c) {
  for (int k = class_of(kLarge); k < kClasses; k++)
    while (FreeBlock* b = c.free_list[k]) {
      c.free_list[k] = b->next;
      c.large_class.erase(b);
      c.stats.reserved -= int64_t(mapped_bytes(k));
      munmap(b, mapped_bytes(k));
    }
}

void* cut_from_arena(Cache& c, size_t bytes) {
  if (c.arena_left < bytes) {
    char* fresh = map_memory(kArena);
    if (!fresh) return nullptr;
    c.arena = fresh;
    c.arena_left = kArena;
    count_reserved(c, int64_t(kArena));
  }
  char* p = c.arena;
  c.arena += bytes;
  c.arena_left -= bytes;
  return p;
}

void* new_large(Cache& c, int k) {
  char* p = map_memory(mapped_bytes(k));
  if (!p) {
    drop_large(c);
    p = map_memory(mapped_bytes(k));
  }
  if (!p) return nullptr;
  c.large_class[p] = k;
  count_reserved(c, int64_t(mapped_bytes(k)));
  return p;
}

void* pop(Cache& c, int k) {
  FreeBlock* b = c.free_list[k];
  if (b) c.free_list[k] = b->next;
  return b;
}

void* take(Cache& c, int& k) {
  if (void* p = pop(c, k)) return p;
  if (class_bytes(k) < kLarge) return cut_from_arena(c, class_bytes(k));
  for (int near = k + 1; near <= k + kNearby && near < kClasses; near++)
    if (void* p = pop(c, near)) {
      k = near;
      return p;
    }
  return new_large(c, k);
}

}  // namespace

void* allocate(size_t bytes) noexcept {
  if (bytes == 0) bytes = 1;
  if (bytes >= (size_t{1} << 46)) return nullptr;
  Cache& c = cache();
  Hold hold(c.lock);
  int k = class_of(bytes);
  void* p = take(c, k);
  if (!p) return nullptr;
  c.stats.allocated += int64_t(class_bytes(k));
  if (c.stats.allocated > c.stats.max_allocated) c.stats.max_allocated = c.stats.allocated;
  c.stats.allocations++;
  c.stats.active++;
  return p;
}

void* allocate_or_throw(size_t bytes) {
  void* p = allocate(bytes);
  if (!p) throw std::bad_alloc();
  return p;
}

void release(void* pointer, size_t bytes) noexcept {
  if (!pointer) return;
  if (bytes == 0) bytes = 1;
  Cache& c = cache();
  Hold hold(c.lock);
  int k = class_of(bytes);
  if (class_bytes(k) >= kLarge) k = c.large_class.find(pointer)->second;
  auto* b = static_cast<FreeBlock*>(pointer);
  b->next = c.free_list[k];
  c.free_list[k] = b;
  c.stats.allocated -= int64_t(class_bytes(k));
  c.stats.active--;
}

void empty_cache() {
  Cache& c = cache();
  Hold hold(c.lock);
  drop_large(c);
}

void reset_peak() {
  Cache& c = cache();
  Hold hold(c.lock);
  c.stats.max_allocated = c.stats.allocated;
  c.stats.max_reserved = c.stats.reserved;
}

MemoryStats memory_stats() {
  Cache& c = cache();
  Hold hold(c.lock);
  return c.stats;
}

void memory_after_fork() { cache().lock.unlock(); }

}  // namespace al
