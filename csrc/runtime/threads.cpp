// The thread pool: one parallel region at a time; a region inside a region, or beside one, runs in its caller.
// Each thread works through a share of [0, n) in pieces that become smaller, then helps the others: a thread whose core is
// slower for a while holds the region up by one small piece. Which thread computes an item can't be seen in the result:
// kernels promise that.
// On a busy machine the scheduler may leave a worker on the core of its caller, where neither spinning nor work gets on; the
// caller then sends it away.
// Workers spin for a moment after their work, since the next op is near, then sleep on a futex: to wake one whose core went idle
// costs some 30 us. A worker that is told what it will read next fetches it into its caches meanwhile: a program that reads many weights
// with small serial ops between them (decoding) leaves the memory idle otherwise.
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <exception>
#include <system_error>
#include <thread>
#include <utility>

#include "runtime/runtime.h"
#include "runtime/spin.h"

namespace al {
namespace {

constexpr int kMaxThreads = 256;
constexpr int64_t kUnits = 32;  // of a share: a piece holds some of them, the last ones a single unit
constexpr int64_t kFraction = 4;  // a piece is this part of what is left of its share
constexpr int64_t kFetch = 1024;  // bytes that a worker asks for between two breaths: what a core asks for faster than memory gives is dropped
constexpr auto kSpin = std::chrono::microseconds(40);
constexpr auto kLinger = std::chrono::microseconds(300);  // a Python program's next op is often further away than kSpin
enum State : uint32_t { kIdle, kPosted, kAsleep };

void futex_wait(std::atomic<uint32_t>& word, uint32_t value) {
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}
void futex_wake(std::atomic<uint32_t>& word) { syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0); }

bool spin_or_linger(std::atomic<uint32_t>& word, uint32_t value) { return spin_while(word, value, kSpin, kLinger); }

// Units that nobody has taken yet.
struct alignas(128) Share {
  std::atomic<int64_t> next{0};
  int64_t end = 0;

  bool take(int64_t& from, int64_t& to) {
    from = next.load(std::memory_order_relaxed);
    do {
      if (from >= end) return false;
      to = from + (end - from - 1) / kFraction + 1;
    } while (!next.compare_exchange_weak(from, to, std::memory_order_relaxed));
    return true;
  }
};

struct Ahead {
  const char* from = nullptr;
  int64_t bytes = 0;
};

struct Region {
  int64_t n, unit;  // items, and items in a unit
  int parts;
  ParallelBody body;
  void* context;
  Ahead ahead;
};

struct alignas(128) Slot {
  std::atomic<uint32_t> state{kIdle};
  std::atomic<int> core{-1};  // where the worker was seen last
  std::atomic<pid_t> id{0};   // of the worker's thread, when it runs
  bool started = false;
};

struct Pool {
  Slot slots[kMaxThreads];
  Share shares[kMaxThreads];
  alignas(128) std::atomic<uint32_t> pending{0};  // workers of the region that still run; high bit: the caller sleeps
  std::exception_ptr failure;
  std::atomic_flag failed = ATOMIC_FLAG_INIT;
  Region region{};
};
constexpr uint32_t kCallerSleeps = 1u << 31;

std::atomic<Pool*> pool{nullptr};  // a forked child leaves its parent's pool behind
std::atomic_flag busy = ATOMIC_FLAG_INIT;
std::atomic<int> wanted_threads{0};
thread_local Ahead next_ahead;

void run_shares(Pool& p, int part) {
  const Region& r = p.region;
  for (int turn = 0; turn < r.parts; turn++) {
    Share& share = p.shares[(part + turn) % r.parts];
    for (int64_t from, to; share.take(from, to);) r.body(r.context, from * r.unit, std::min(r.n, to * r.unit));
  }
}

void run_guarded(Pool& p, int part) {
  try {
    run_shares(p, part);
  } catch (...) {
    if (!p.failed.test_and_set()) p.failure = std::current_exception();
  }
}

void finish(Pool& p) {
  if (p.pending.fetch_sub(1, std::memory_order_acq_rel) == (kCallerSleeps | 1)) futex_wake(p.pending);
}

// Of what a region will read, the bytes of one of its parts.
Ahead part_of(Ahead ahead, int part, int parts) {
  const int64_t begin = ahead.bytes * part / parts, end = ahead.bytes * (part + 1) / parts;
  return {ahead.from + begin, end - begin};
}

// Fetches it until there is work; what is left of it waits for the next pause.
void fetch(Ahead& ahead, const std::atomic<uint32_t>& state) {
  for (; ahead.bytes > 0 && state.load(std::memory_order_relaxed) == kIdle; ahead.from += kFetch, ahead.bytes -= kFetch) {
    for (int64_t line = 0; line < kFetch; line += 64) __builtin_prefetch(ahead.from + line, 0, 3);
    relax();
  }
}

void work(Pool& p, int part) {
  auto& state = p.slots[part].state;
  Ahead ahead;
  p.slots[part].id.store(pid_t(syscall(SYS_gettid)), std::memory_order_release);
  for (;;) {
    p.slots[part].core.store(sched_getcpu(), std::memory_order_relaxed);
    if (!spin_or_linger(state, kIdle)) {
      uint32_t idle = kIdle;
      if (state.compare_exchange_strong(idle, kAsleep))
        while (state.load(std::memory_order_acquire) == kAsleep) futex_wait(state, kAsleep);
    }
    run_guarded(p, part);
    if (p.region.ahead.from) ahead = part_of(p.region.ahead, part, p.region.parts);
    state.store(kIdle, std::memory_order_release);
    finish(p);
    fetch(ahead, state);
  }
}

bool start(Pool& p, int part) {
  if (p.slots[part].started) return true;
  sigset_t all, former;  // signals are for the threads of the program, not for ours
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &former);
  try {
    std::thread worker(work, std::ref(p), part);
    pthread_setname_np(worker.native_handle(), "ascendlite");
    worker.detach();
    p.slots[part].started = true;
  } catch (const std::system_error&) {  // the system gives no more threads: do with those that run
  }
  pthread_sigmask(SIG_SETMASK, &former, nullptr);
  return p.slots[part].started;
}

void wait(Pool& p) {
  for (;;) {
    uint32_t left = p.pending.load(std::memory_order_acquire);
    if (left == 0) return;
    if (spin_or_linger(p.pending, left)) continue;
    if (!p.pending.compare_exchange_strong(left, left | kCallerSleeps)) continue;
    while ((left = p.pending.load(std::memory_order_acquire)) != kCallerSleeps) futex_wait(p.pending, left);
    p.pending.store(0, std::memory_order_relaxed);
    return;
  }
}

void in_child() {
  pool.store(nullptr);
  busy.clear();
}

Pool& current_pool() {
  Pool* p = pool.load(std::memory_order_acquire);
  if (p) return *p;
  static const int hooked = pthread_atfork(nullptr, nullptr, in_child);
  (void)hooked;
  p = new Pool;  // never destroyed: workers may outlive static objects
  pool.store(p, std::memory_order_release);
  return *p;
}

void split(Pool& p, int64_t n, int64_t grain, int parts, ParallelBody body, void* context, Ahead ahead) {
  const int64_t unit = std::max(grain, (n - 1) / (parts * kUnits) + 1), units = (n - 1) / unit + 1;
  p.region = {n, unit, parts, body, context, ahead};
  for (int t = 0; t < parts; t++) {
    p.shares[t].next.store(units * t / parts, std::memory_order_relaxed);
    p.shares[t].end = units * (t + 1) / parts;
  }
}

// Keeps a worker that shares the caller's core off it, where there is another core.
void part_company(Slot& slot, int core) {
  const pid_t id = slot.id.load(std::memory_order_acquire);
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (id == 0 || sched_getaffinity(0, sizeof cores, &cores) != 0) return;
  CPU_CLR(core, &cores);
  if (CPU_COUNT(&cores) > 0) sched_setaffinity(id, sizeof cores, &cores);
  slot.core.store(-1, std::memory_order_relaxed);
}

void run_region(Pool& p, int parts) {
  const int core = sched_getcpu();
  for (int i = 1; i < parts; i++)
    if (p.slots[i].core.load(std::memory_order_relaxed) == core) part_company(p.slots[i], core);
  p.pending.store(uint32_t(parts - 1), std::memory_order_relaxed);
  for (int i = 1; i < parts; i++)
    if (p.slots[i].state.exchange(kPosted, std::memory_order_acq_rel) == kAsleep) futex_wake(p.slots[i].state);
  run_guarded(p, 0);
  wait(p);
}

}  // namespace

void parallel_for(int64_t n, int64_t grain, ParallelBody body, void* context) {
  const Ahead ahead = std::exchange(next_ahead, {});
  if (n <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  int parts = int(std::min<int64_t>((n - 1) / grain + 1, get_num_threads()));
  if (parts == 1 || busy.test_and_set(std::memory_order_acquire)) return body(context, 0, n);
  Pool& p = current_pool();
  for (int i = 1; i < parts; i++)
    if (!start(p, i)) parts = i;
  split(p, n, grain, parts, body, context, ahead);
  run_region(p, parts);
  std::exception_ptr failure = std::exchange(p.failure, nullptr);
  if (failure) p.failed.clear();
  busy.clear(std::memory_order_release);
  if (failure) std::rethrow_exception(failure);
}

void read_next(const void* from, size_t bytes) { next_ahead = {static_cast<const char*>(from), int64_t(bytes)}; }

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::clamp(CPU_COUNT(&set), 1, kMaxThreads);
  return std::clamp(int(std::thread::hardware_concurrency()), 1, kMaxThreads);
}

int get_num_threads() {
  int n = wanted_threads.load(std::memory_order_relaxed);
  if (n == 0) wanted_threads.store(n = usable_cores(), std::memory_order_relaxed);
  return n;
}

void set_num_threads(int n) { wanted_threads.store(std::clamp(n, 1, kMaxThreads), std::memory_order_relaxed); }

}  // namespace al
