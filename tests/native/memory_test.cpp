// The card's memory and the queue of its work, without Python: for the sanitizers (tools/sanitize.sh).
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include "davinci/heap.h"
#include "davinci/queue.h"
#include "runtime/runtime.h"

namespace {

using al::davinci::Heap;
using al::davinci::Queue;

void check(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "failed: %s\n", what);
  std::_Exit(1);
}

struct Block {
  char* p;
  size_t bytes;
  char mark;
  bool whole() const { return p[0] == mark && p[bytes - 1] == mark; }
};

Block filled(char* p, size_t bytes, char mark) {
  std::memset(p, mark, bytes);
  return {p, bytes, mark};
}

size_t some_bytes(std::mt19937_64& random) {
  static constexpr size_t most[] = {1, 512, 513, 4096, size_t{1} << 20, size_t{3} << 20, size_t{12} << 20};
  return 1 + random() % most[random() % std::size(most)];
}

void check_books(Heap& heap, const std::vector<Block>& blocks) {
  int64_t bytes = 0, end = 0;
  const auto live = heap.live();
  for (auto [start, size] : live) {
    check(start >= end, "blocks lie apart");
    end = start + size, bytes += size;
  }
  const auto stats = heap.stats();
  check(live.size() == blocks.size() && stats.blocks == int64_t(blocks.size()) && stats.allocated == bytes, "the books tell what lives");
  check(end <= heap.capacity() && stats.reserved >= bytes && stats.reserved <= heap.capacity(), "no more than the die has");
}

// Random requests against the blocks that a plain list says live, until the die is full again and again.
void blocks_keep_what_they_hold() {
  for (uint64_t seed = 0; seed < 8; seed++) {
    Heap heap;
    std::mt19937_64 random(seed);
    heap.configure(int64_t{64} << 20, 1);
    std::vector<Block> blocks;
    for (int step = 0; step < 600; step++) {
      if (random() % 5 < 3) {
        const size_t bytes = some_bytes(random);
        if (char* p = heap.alloc(bytes)) blocks.push_back(filled(p, bytes, char(step)));
      } else if (!blocks.empty()) {
        std::swap(blocks[random() % blocks.size()], blocks.back());
        check(blocks.back().whole(), "a block keeps its bytes");
        heap.free(blocks.back().p);
        blocks.pop_back();
      }
      if (step % 50 == 0) heap.empty_cache();
      if (step % 10 == 0) check_books(heap, blocks);
    }
    for (const Block& b : blocks) check(b.whole(), "a block keeps its bytes"), heap.free(b.p);
    heap.empty_cache();
    check(heap.stats().reserved == 0 && heap.alloc(size_t{64} << 20) != nullptr, "an emptied die is one range again");
  }
}

void add_one(void* context, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++) static_cast<int*>(context)[i]++;
}

// Work runs in order behind a host that uses the pool of threads, too, and hands out memory.
void the_queue_keeps_its_order() {
  al::set_num_threads(4);
  Queue& queue = al::davinci::queue();
  std::vector<int> shared(20000), own(20000);
  std::vector<int> order;
  for (int i = 0; i < 1500; i++) {
    queue.push([&, i] {
      order.push_back(i);
      if (i % 10 == 0) al::parallel_for(int64_t(shared.size()), 1, add_one, shared.data());
      return i == 700;
    });
    if (i % 100 == 0) al::parallel_for(int64_t(own.size()), 1, add_one, own.data());
    if (i % 250 == 0) {
      queue.settle();
      check(queue.idle() && int(order.size()) == i + 1 && order.back() == i, "all is done when it has settled");
    }
  }
  queue.settle();
  for (int i = 0; i < 1500; i++) check(order[size_t(i)] == i, "work runs in the order it was given");
  for (int x : shared) check(x == 150, "each region of the queue ran once");
  for (int x : own) check(x == 15, "each region of the host ran once");
  check(queue.outcome() && !queue.outcome(), "an overflow is told once");
}

void the_first_failure_is_told() {
  Queue& queue = al::davinci::queue();
  for (int i = 0; i < 3; i++) queue.push([i]() -> bool { throw std::runtime_error(std::to_string(i)); });
  queue.settle();
  try {
    queue.outcome();
    check(false, "a failure reaches the host");
  } catch (const std::runtime_error& e) {
    check(e.what() == std::string("0"), "the first failure is told");
  }
  check(!queue.outcome(), "a failure is told once");
}

void threads_share_the_heap() {
  Heap heap;
  heap.configure(int64_t{32} << 20, 1);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++)
    threads.emplace_back([&heap, t] {
      std::mt19937_64 random(static_cast<uint64_t>(t));
      for (int i = 0; i < 300; i++) {
        const size_t bytes = 1 + random() % 200000;
        char* p = heap.alloc(bytes);
        if (!p) continue;
        const Block b = filled(p, bytes, char(i));
        if (i % 40 == 0) heap.empty_cache();
        check(b.whole(), "no other thread has this block");
        heap.free(p);
      }
    });
  for (auto& t : threads) t.join();
  check(heap.stats().blocks == 0, "all came back");
}

void a_child_has_a_queue_of_its_own() {
  int done = 0;
  al::davinci::queue().push([&] { return done++, false; });
  const pid_t child = fork();
  if (child == 0) {
    al::davinci::queue().push([&] { return done++, false; });
    al::davinci::queue().settle();
    std::_Exit(done == 2 ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a child's queue works");
}

}  // namespace

int main(int argc, char**) {
  blocks_keep_what_they_hold();
  threads_share_the_heap();
  the_queue_keeps_its_order();
  the_first_failure_is_told();
  const bool may_fork = argc == 1;  // the thread sanitizer can't follow a fork of a threaded program
  if (may_fork) a_child_has_a_queue_of_its_own();
  std::printf("memory_test: %d passed, %d skipped\n", 4 + may_fork, !may_fork);
}
