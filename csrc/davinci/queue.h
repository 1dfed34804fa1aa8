// Work of the card that runs behind the host's back, in the order it was given.
#pragma once
#include <array>
#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>

namespace al::davinci {

// One thread works through the queue. Who touches the card's memory from the host lets it settle first.
class Queue {
 public:
  using Work = std::function<bool()>;  // whether a number overflowed

  // Adds work; waits while the queue is full. One thread at a time (Python's lock sees to it).
  void push(Work work);
  bool full() const { return pushed_.load(std::memory_order_relaxed) - done_.load(std::memory_order_acquire) >= kSlots; }
  bool idle() const { return pushed_.load(std::memory_order_relaxed) == done_.load(std::memory_order_acquire); }
  // Waits until all that was pushed is done.
  void settle();
  // Whether anything overflowed since the last call. Throws what the first work that failed since then threw.
  bool outcome();
  // In the child of a fork, where the thread is gone: the queue is empty (it settled before) and starts another.
  void forget_thread() { started_ = false; }

 private:
  static constexpr uint32_t kSlots = 256;
  void start();
  void work();
  void run(Work& work);

  std::array<Work, kSlots> ring_;
  alignas(128) std::atomic<uint32_t> pushed_{0};
  alignas(128) std::atomic<uint32_t> done_{0};
  std::atomic<bool> overflow_{false};
  std::mutex mutex_;  // of the failure
  std::exception_ptr failure_;
  bool started_ = false;
};

Queue& queue();

}  // namespace al::davinci
