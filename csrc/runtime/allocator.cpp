// The caching allocator. Blocks up to 1 MiB come in size classes: each thread keeps free lists (no lock, no atomics), and trades
// batches with a shared pool. Larger blocks come page-wise by best fit. Nothing goes back to the system before empty_cache().
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <new>

#include "runtime/pages.h"
#include "runtime/runtime.h"

namespace al {
namespace {

constexpr int kClasses = 16 + 10 * 8;  // 64-byte steps to 1 KiB, then 8 steps a doubling to 1 MiB: at most 12.5% is wasted
constexpr size_t kLargest = size_t{1} << 20;
constexpr size_t kSlab = size_t{64} << 10;  // cut into blocks of one class of up to kSlab / 4
constexpr size_t kSmall = kSlab / 4;
constexpr size_t kThreadBytes = size_t{2} << 20;  // what a thread keeps of a class, at most

int class_of(size_t bytes) {
  if (bytes <= 1024) return bytes ? int((bytes - 1) / 64) : 0;
  size_t s = bytes - 1;
  int log = 63 - __builtin_clzll(s);
  return 16 + (log - 10) * 8 + int((s >> (log - 3)) & 7);
}

size_t size_of(int c) {
  if (c < 16) return size_t(c + 1) * 64;
  int log = 10 + (c - 16) / 8;
  return size_t(9 + (c - 16) % 8) << (log - 3);
}

struct Block { Block* next; };

struct List {
  Block* head = nullptr;
  int64_t count = 0;
  void push(void* p) {
    auto* b = static_cast<Block*>(p);
    b->next = head;
    head = b;
    count++;
  }
  void* pop() {
    Block* b = head;
    head = b->next;
    count--;
    return b;
  }
};

// Single-writer counters: read by others, so relaxed atomics that cost a plain add.
struct Counter {
  std::atomic<int64_t> value{0};
  int64_t get() const { return value.load(std::memory_order_relaxed); }
  void set(int64_t v) { value.store(v, std::memory_order_relaxed); }
  void add(int64_t d) { set(get() + d); }
};

struct Cache {
  List lists[kClasses];
  Counter held, peak, allocations, frees;  // held: bytes since the last flush; peak: its maximum
  Cache *next = nullptr, *before = nullptr;
};

struct Shared {
  std::mutex mutex;
  Pages pages;
  List lists[kClasses];
  Cache* caches = nullptr;
  int64_t allocations = 0, frees = 0, max_reserved = 0;
  size_t limit = 0;
  std::atomic<int64_t> held{0}, peak{0};
  pthread_key_t key;
};

std::atomic<bool> poison{false};
#define AL_FAST_TLS __attribute__((tls_model("initial-exec")))
AL_FAST_TLS constinit thread_local Cache* cache = nullptr;
AL_FAST_TLS constinit thread_local bool ended = false;  // this thread's cache is gone: destructors of others still free

size_t machine_memory() {
  size_t bytes = size_t(sysconf(_SC_PHYS_PAGES)) * size_t(sysconf(_SC_PAGE_SIZE));
  if (FILE* f = std::fopen("/sys/fs/cgroup/memory.max", "r")) {
    unsigned long long limit;
    if (std::fscanf(f, "%llu", &limit) == 1) bytes = std::min(bytes, size_t(limit));
    std::fclose(f);
  }
  return bytes;
}

void thread_ends(void*);
void lock_shared();
void unlock_shared();

Shared& shared() {
  static auto* s = [] {
    auto* made = new Shared;  // never destroyed: threads may outlive static objects
    made->limit = machine_memory();
    pthread_key_create(&made->key, thread_ends);
    pthread_atfork(lock_shared, unlock_shared, unlock_shared);
    return made;
  }();
  return *s;
}
void lock_shared() { shared().mutex.lock(); }
void unlock_shared() { shared().mutex.unlock(); }

void raise_to(std::atomic<int64_t>& peak, int64_t value) {
  int64_t was = peak.load(std::memory_order_relaxed);
  while (was < value && !peak.compare_exchange_weak(was, value, std::memory_order_relaxed)) {
  }
}

// Moves a thread's byte counts to the shared ones. Exact for one thread; the peak is a bound's bound for several.
void flush(Shared& s, Cache& c) {
  raise_to(s.peak, s.held.load(std::memory_order_relaxed) + c.peak.get());
  s.held.fetch_add(c.held.get(), std::memory_order_relaxed);
  c.held.set(0);
  c.peak.set(0);
}

Cache* open_cache() {
  Shared& s = shared();
  auto* c = new Cache;
  std::lock_guard lock(s.mutex);
  c->next = s.caches;
  if (s.caches) s.caches->before = c;
  s.caches = c;
  pthread_setspecific(s.key, c);
  return cache = c;
}

size_t may_reserve(const Shared& s) { return s.limit > s.pages.reserved ? s.limit - s.pages.reserved : 0; }

// Class blocks that are whole page runs go back to the pages, where they merge.
void drain(Shared& s) {
  for (int c = 0; c < kClasses; c++)
    if (size_of(c) > kSmall)
      while (s.lists[c].head) s.pages.give(static_cast<char*>(s.lists[c].pop()), (size_of(c) + kPage - 1) / kPage * kPage);
}

char* take_pages(Shared& s, size_t bytes) {
  bytes = (bytes + kPage - 1) / kPage * kPage;
  char* p = s.pages.take(bytes, may_reserve(s));
  if (!p) {  // give back what is cached and try once more
    drain(s);
    s.pages.release();
    p = s.pages.take(bytes, may_reserve(s));
  }
  s.max_reserved = std::max(s.max_reserved, int64_t(s.pages.reserved));
  return p;
}

bool refill(Cache& mine, int c) {
  Shared& s = shared();
  size_t size = size_of(c);
  std::lock_guard lock(s.mutex);
  int64_t batch = std::clamp<int64_t>(int64_t(kSlab / size), 1, 64);
  for (; batch && s.lists[c].head; batch--) mine.lists[c].push(s.lists[c].pop());
  if (mine.lists[c].head) return true;
  if (size > kSmall) {
    char* p = take_pages(s, size);
    if (p) mine.lists[c].push(p);
    return p != nullptr;
  }
  char* slab = take_pages(s, kSlab);
  if (!slab) return false;
  for (size_t at = kSlab / size; at--;) mine.lists[c].push(slab + at * size);
  return true;
}

void spill(Cache& mine, int c, int64_t keep) {
  Shared& s = shared();
  std::lock_guard lock(s.mutex);
  while (mine.lists[c].count > keep) s.lists[c].push(mine.lists[c].pop());
}

int64_t most_kept(int c) { return std::max<int64_t>(int64_t(kThreadBytes / size_of(c)), 2); }
const struct Limits {
  int64_t count[kClasses];
  Limits() { for (int c = 0; c < kClasses; c++) count[c] = std::min<int64_t>(most_kept(c), 512); }
} limits;

void thread_ends(void* p) {
  auto* c = static_cast<Cache*>(p);
  Shared& s = shared();
  for (int k = 0; k < kClasses; k++) spill(*c, k, 0);
  std::lock_guard lock(s.mutex);
  flush(s, *c);
  s.allocations += c->allocations.get();
  s.frees += c->frees.get();
  (c->before ? c->before->next : s.caches) = c->next;
  if (c->next) c->next->before = c->before;
  cache = nullptr;
  ended = true;
  delete c;
}

// A thread that is ending, after its cache was closed: straight to the shared lists.
void* allocate_late(size_t bytes) {
  Cache once;
  void* p;
  Shared& s = shared();
  if (bytes > kLargest) {
    std::lock_guard lock(s.mutex);
    p = take_pages(s, bytes);
  } else {
    int c = class_of(bytes);
    p = refill(once, c) ? once.lists[c].pop() : nullptr;
    spill(once, c, 0);
  }
  return p;
}

void account(Cache& c, int64_t bytes) {
  int64_t held = c.held.get() + bytes;
  c.held.set(held);
  if (held > c.peak.get()) c.peak.set(held);
}

void* allocate_large(Cache& c, size_t bytes) {
  Shared& s = shared();
  if (bytes > s.limit) return nullptr;
  std::lock_guard lock(s.mutex);
  char* p = take_pages(s, bytes);
  if (!p) return nullptr;
  account(c, int64_t((bytes + kPage - 1) / kPage * kPage));
  flush(s, c);
  return p;
}

void deallocate_large(Cache* c, void* p, size_t bytes) {
  Shared& s = shared();
  size_t whole = (bytes + kPage - 1) / kPage * kPage;
  std::lock_guard lock(s.mutex);
  s.pages.give(static_cast<char*>(p), whole);
  if (c) flush(s, *c);
  s.held.fetch_sub(int64_t(whole), std::memory_order_relaxed);
}

void fill_poison(void* p, size_t bytes) { if (p) std::memset(p, 0xff, bytes); }

}  // namespace

void* allocate(size_t bytes) noexcept {
  Cache* mine = cache;
  if (!mine) [[unlikely]] {
    if (ended) return allocate_late(bytes);
    mine = open_cache();
  }
  void* p;
  if (bytes > kLargest) [[unlikely]] {
    p = allocate_large(*mine, bytes);
    if (!p) return nullptr;
  } else {
    int c = class_of(bytes);
    if (!mine->lists[c].head && !refill(*mine, c)) [[unlikely]] return nullptr;
    p = mine->lists[c].pop();
    account(*mine, int64_t(size_of(c)));
  }
  mine->allocations.add(1);
  if (poison.load(std::memory_order_relaxed)) [[unlikely]] fill_poison(p, bytes);
  return p;
}

void release(void* p, size_t bytes) noexcept {
  if (!p) return;
  Cache* mine = cache;
  if (poison.load(std::memory_order_relaxed)) [[unlikely]] fill_poison(p, bytes);
  if (!mine) [[unlikely]] {
    if (!ended) mine = open_cache();
    else if (bytes <= kLargest) {
      Shared& s = shared();
      std::lock_guard lock(s.mutex);
      s.lists[class_of(bytes)].push(p);
      s.held.fetch_sub(int64_t(size_of(class_of(bytes))), std::memory_order_relaxed);
      return;
    }
  }
  if (mine) mine->frees.add(1);
  if (bytes > kLargest) [[unlikely]] return deallocate_large(mine, p, bytes);
  int c = class_of(bytes);
  mine->lists[c].push(p);
  mine->held.add(-int64_t(size_of(c)));
  if (mine->lists[c].count > limits.count[c]) [[unlikely]] spill(*mine, c, limits.count[c] / 2);
}

MemoryStats memory_stats() {
  Shared& s = shared();
  std::lock_guard lock(s.mutex);
  if (cache) flush(s, *cache);
  MemoryStats m{};
  int64_t frees = s.frees;
  m.allocated = s.held.load();
  m.max_allocated = s.peak.load();
  m.allocations = s.allocations;
  for (Cache* c = s.caches; c; c = c->next) {
    m.max_allocated = std::max(m.max_allocated, m.allocated + c->peak.get());
    m.allocated += c->held.get();
    m.allocations += c->allocations.get();
    frees += c->frees.get();
  }
  m.max_allocated = std::max(m.max_allocated, m.allocated);
  m.reserved = int64_t(s.pages.reserved);
  m.max_reserved = s.max_reserved;
  m.active = m.allocations - frees;
  m.segments = s.pages.segments;
  m.limit = int64_t(s.limit);
  return m;
}

void* allocate_or_throw(size_t bytes) {
  void* p = allocate(bytes);
  if (!p) throw std::bad_alloc();
  return p;
}

void reset_peak() {
  int64_t now = memory_stats().allocated;
  Shared& s = shared();
  std::lock_guard lock(s.mutex);
  s.peak.store(now);
  for (Cache* c = s.caches; c; c = c->next) c->peak.set(std::max<int64_t>(c->held.get(), 0));  // of idle threads; a busy one sets its own
  s.max_reserved = int64_t(s.pages.reserved);
}

void empty_cache() {
  Shared& s = shared();
  if (cache)
    for (int c = 0; c < kClasses; c++) spill(*cache, c, 0);
  std::lock_guard lock(s.mutex);
  drain(s);
  s.pages.release();
}

void set_memory_limit(int64_t bytes) {
  Shared& s = shared();
  std::lock_guard lock(s.mutex);
  s.limit = bytes > 0 ? size_t(bytes) : machine_memory();
}

void set_poison(bool on) { poison.store(on); }

}  // namespace al
