// One pool of threads. A region splits [0, n) into pieces; each thread works through a share of its own, then helps the
// others. Which thread computes an item can't be seen in the result: kernels promise that.
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <new>
#include <thread>

#include "runtime/runtime.h"

namespace al {
namespace {

constexpr int kMaxThreads = 256;
constexpr int kPiecesPerThread = 4;
constexpr auto kSpin = std::chrono::microseconds(40);  // a train of small regions finds the workers awake

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

struct alignas(64) Share {
  std::atomic<int64_t> next{0};
  int64_t end = 0;
};

struct Pool {
  std::atomic<uint32_t> generation{0};
  std::atomic<int> running{0};       // workers that have not finished the region
  std::atomic<bool> busy{false};
  std::atomic<bool> out_of_memory{false};
  int wanted = 1;                    // threads of a region, the caller included
  int started = 0;                   // workers that exist
  int active = 1;                    // threads of the present region
  int64_t pieces = 0, piece = 0, n = 0;
  ParallelBody body = nullptr;
  void* context = nullptr;
  Share shares[kMaxThreads];
};

Pool* pool_pointer = nullptr;
thread_local bool inside_region = false;

int usable_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, int(std::thread::hardware_concurrency()));
}

void after_fork_in_child() {
  // The workers stayed in the parent; a lock may have been held by one of them.
  if (pool_pointer) {
    int wanted = pool_pointer->wanted;
    pool_pointer = new Pool;
    pool_pointer->wanted = wanted;
  }
  inside_region = false;
  memory_after_fork();
}

Pool& pool() {
  static bool once = [] {
    pool_pointer = new Pool;
    pool_pointer->wanted = std::min(usable_cores(), kMaxThreads);
    pthread_atfork(nullptr, nullptr, after_fork_in_child);
    return true;
  }();
  (void)once;
  return *pool_pointer;
}

void run_piece(Pool& p, int64_t k) {
  int64_t begin = k * p.piece, end = std::min(p.n, begin + p.piece);
  try {
    p.body(p.context, begin, end);
  } catch (const std::bad_alloc&) {
    p.out_of_memory = true;
  }
}

void work(Pool& p, int self) {
  for (int turn = 0; turn < p.active; turn++) {
    Share& share = p.shares[(self + turn) % p.active];
    for (;;) {
      int64_t k = share.next.fetch_add(1, std::memory_order_relaxed);
      if (k >= share.end) break;
      run_piece(p, k);
    }
  }
}

void worker(Pool* p, int self, uint32_t seen) {
  inside_region = true;
  for (;;) {
    auto deadline = std::chrono::steady_clock::now() + kSpin;
    int turns = 0;
    while (p->generation.load(std::memory_order_acquire) == seen) {
      relax();
      if (++turns % 64 == 0 && std::chrono::steady_clock::now() > deadline) p->generation.wait(seen, std::memory_order_acquire);
    }
    seen = p->generation.load(std::memory_order_acquire);
    if (self < p->active) {
      work(*p, self);
      p->running.fetch_sub(1, std::memory_order_release);
    }
  }
}

void start_workers(Pool& p) {
  while (p.started < p.wanted - 1) {
    std::thread(worker, &p, p.started + 1, p.generation.load()).detach();
    p.started++;
  }
}

void split(Pool& p, int64_t n, int64_t grain) {
  int64_t most = (n + grain - 1) / grain;
  p.active = int(std::min<int64_t>(p.wanted, most));
  p.pieces = std::min<int64_t>(most, int64_t(p.active) * kPiecesPerThread);
  p.piece = (n + p.pieces - 1) / p.pieces;
  p.pieces = (n + p.piece - 1) / p.piece;
  p.n = n;
  for (int t = 0; t < p.active; t++) {
    p.shares[t].next.store(p.pieces * t / p.active, std::memory_order_relaxed);
    p.shares[t].end = p.pieces * (t + 1) / p.active;
  }
}

void wait_for_workers(Pool& p) {
  int turns = 0;
  while (p.running.load(std::memory_order_acquire) > 0) {
    relax();
    if (++turns > 4096) {
      std::this_thread::yield();
      turns = 0;
    }
  }
}

}  // namespace

void parallel_for(int64_t n, int64_t grain, ParallelBody body, void* context) {
  if (n <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  Pool& p = pool();
  bool expected = false;
  if (n <= grain || p.wanted == 1 || inside_region || !p.busy.compare_exchange_strong(expected, true)) {
    body(context, 0, n);  // small, nested, or another Python thread has the pool
    return;
  }
  start_workers(p);
  p.body = body;
  p.context = context;
  p.out_of_memory = false;
  split(p, n, grain);
  p.running.store(p.active - 1, std::memory_order_relaxed);
  p.generation.fetch_add(1, std::memory_order_release);
  p.generation.notify_all();
  inside_region = true;
  work(p, 0);
  inside_region = false;
  wait_for_workers(p);
  bool failed = p.out_of_memory;
  p.busy.store(false, std::memory_order_release);
  if (failed) throw std::bad_alloc();
}

int get_num_threads() { return pool().wanted; }

void set_num_threads(int n) {
  Pool& p = pool();
  while (p.busy.exchange(true)) std::this_thread::yield();
  p.wanted = std::clamp(n, 1, kMaxThreads);
  p.busy = false;
}

}  // namespace al
