// The allocator and the thread pool without Python, for the sanitizers: tools/sanitize.sh builds and runs it.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>
#include <vector>

#include "runtime/runtime.h"

namespace {

void check(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "failed: %s\n", what);
  std::_Exit(1);
}

struct Sum {
  std::vector<int> data;
  std::atomic<int64_t> total{0};
};

void add_range(void* context, int64_t begin, int64_t end) {
  auto& s = *static_cast<Sum*>(context);
  int64_t part = 0;
  for (int64_t i = begin; i < end; i++) part += s.data[size_t(i)]++;
  s.total += part;
}

void every_item_is_visited_once() {
  Sum s;
  s.data.assign(100000, 0);
  for (int turn = 0; turn < 300; turn++) {
    al::set_num_threads(turn % 6 + 1);
    s.total = 0;
    al::parallel_for(int64_t(s.data.size()), turn % 2 ? 100 : 30000, add_range, &s);
    check(s.total == int64_t(s.data.size()) * turn, "every item is visited once");
  }
}

void nested_and_concurrent_regions_run() {
  al::set_num_threads(4);
  std::atomic<int> visits{0};
  auto outer = [](void* c, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++)
      al::parallel_for(10, 1, [](void* inner, int64_t b, int64_t e) { *static_cast<std::atomic<int>*>(inner) += int(e - b); }, c);
  };
  std::vector<std::thread> callers;
  for (int t = 0; t < 3; t++)
    callers.emplace_back([&] { for (int i = 0; i < 100; i++) al::parallel_for(8, 1, outer, &visits); });
  for (auto& c : callers) c.join();
  check(visits == 3 * 100 * 8 * 10, "nested and concurrent regions run");
}

void a_failure_reaches_the_caller() {
  for (int i = 0; i < 50; i++) {
    bool caught = false;
    try {
      al::parallel_for(64, 1, [](void*, int64_t begin, int64_t) { if (begin > 20) throw std::bad_alloc(); }, nullptr);
    } catch (const std::bad_alloc&) {
      caught = true;
    }
    check(caught, "a failure reaches the caller");
  }
}

void sleeping_workers_wake() {
  Sum s;
  s.data.assign(1000, 0);
  for (int i = 0; i < 20; i++) {
    usleep(500);
    al::parallel_for(1000, 1, add_range, &s);
  }
  check(s.data[999] == 20, "sleeping workers wake");
}

void blocks_are_whole_and_return() {
  int64_t before = al::memory_stats().allocated;
  auto churn = [](unsigned seed) {
    std::vector<std::pair<char*, size_t>> held;
    for (int i = 0; i < 4000; i++) {
      seed = seed * 1664525u + 1013904223u;
      size_t bytes = (size_t{1} << (seed >> 28)) * 7 + seed % 97 + (i % 500 == 0 ? size_t{3} << 20 : 0);
      auto* p = static_cast<char*>(al::allocate(bytes));
      check(p && reinterpret_cast<uintptr_t>(p) % 64 == 0, "blocks are aligned");
      p[0] = p[bytes - 1] = char(i);
      held.push_back({p, bytes});
      if (held.size() > 50) {
        auto& [q, n] = held[seed % held.size()];
        al::release(q, n);
        held[seed % held.size()] = held.back();
        held.pop_back();
      }
    }
    for (auto& [p, bytes] : held) al::release(p, bytes);
  };
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 4; t++) threads.emplace_back(churn, t + 1);
  for (auto& t : threads) t.join();
  check(al::memory_stats().allocated == before, "every byte returns");
  check(al::memory_stats().active == 0, "every block returns");
}

void blocks_move_between_threads() {
  std::vector<std::pair<void*, size_t>> made;
  for (int round = 0; round < 20; round++) {
    std::thread([&] { for (size_t b : {64u, 5000u, 200000u, 4000000u}) made.push_back({al::allocate(b), b}); }).join();
    for (auto& [p, b] : made) al::release(p, b);
    made.clear();
  }
  check(al::memory_stats().active == 0, "blocks may be freed by another thread");
}

void limits_hold() {
  al::empty_cache();
  al::set_memory_limit(al::memory_stats().reserved + (8 << 20));
  check(al::allocate(64 << 20) == nullptr, "the limit is kept");
  check(al::allocate(size_t{1} << 60) == nullptr, "gigantic requests are refused");
  al::set_memory_limit(0);
}

void a_child_has_a_pool_of_its_own() {
  al::set_num_threads(3);
  pid_t child = fork();
  if (child == 0) {
    every_item_is_visited_once();
    std::_Exit(0);
  }
  int status = 1;
  waitpid(child, &status, 0);
  check(status == 0, "a child has a pool of its own");
}

}  // namespace

int main(int argc, char**) {
  every_item_is_visited_once();
  nested_and_concurrent_regions_run();
  a_failure_reaches_the_caller();
  sleeping_workers_wake();
  blocks_are_whole_and_return();
  blocks_move_between_threads();
  limits_hold();
  bool may_fork = argc == 1;  // the thread sanitizer can't follow a fork of a threaded program
  if (may_fork) a_child_has_a_pool_of_its_own();
  std::printf("runtime_test: %d passed, %d skipped\n", 7 + may_fork, !may_fork);
}
