#include "davinci/queue.h"

#include <pthread.h>

#include <chrono>
#include <csignal>
#include <thread>
#include <utility>

#include "runtime/spin.h"

namespace al::davinci {
namespace {

using std::chrono::microseconds;
constexpr microseconds kSpin{40}, kLinger{300};  // of the thread: as the workers of the pool
constexpr microseconds kHostSpin{10};            // of the host, which may hold the core that a worker of the pool wants

void await_change(std::atomic<uint32_t>& word, uint32_t value, microseconds spin, microseconds linger) {
  while (!spin_while(word, value, spin, linger)) word.wait(value);
}

}  // namespace

void Queue::push(Work work) {
  if (!started_) start();
  for (uint32_t done; pushed_.load(std::memory_order_relaxed) - (done = done_.load(std::memory_order_acquire)) >= kSlots;)
    await_change(done_, done, kHostSpin, kHostSpin);
  const uint32_t at = pushed_.load(std::memory_order_relaxed);
  ring_[at % kSlots] = std::move(work);
  pushed_.store(at + 1, std::memory_order_release);
  pushed_.notify_one();
}

void Queue::settle() {
  const uint32_t target = pushed_.load(std::memory_order_acquire);
  for (uint32_t done; static_cast<int32_t>((done = done_.load(std::memory_order_acquire)) - target) < 0;)
    await_change(done_, done, kHostSpin, kHostSpin);
}

bool Queue::outcome() {
  std::exception_ptr failure;
  {
    std::lock_guard<std::mutex> hold(mutex_);
    failure = std::exchange(failure_, nullptr);
  }
  if (failure) std::rethrow_exception(failure);
  return overflow_.exchange(false);
}

void Queue::start() {
  sigset_t all, former;  // signals are for the threads of the program
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &former);
  std::thread thread(&Queue::work, this);
  pthread_setname_np(thread.native_handle(), "ascendlite-npu");
  thread.detach();
  pthread_sigmask(SIG_SETMASK, &former, nullptr);
  started_ = true;
}

void Queue::work() {
  for (;;) {
    const uint32_t at = done_.load(std::memory_order_relaxed);
    if (pushed_.load(std::memory_order_acquire) == at) await_change(pushed_, at, kSpin, kLinger);
    run(ring_[at % kSlots]);
    done_.store(at + 1, std::memory_order_release);
    done_.notify_all();
  }
}

void Queue::run(Work& work) {
  try {
    if (work()) overflow_ = true;
  } catch (...) {
    std::lock_guard<std::mutex> hold(mutex_);
    if (!failure_) failure_ = std::current_exception();
  }
  work = nullptr;
}

Queue& queue() {
  static Queue* const only = new Queue;  // never destroyed: its thread may outlive static objects
  static const int hooked = pthread_atfork([] { only->settle(); }, nullptr, [] { only->forget_thread(); });
  (void)hooked;
  return *only;
}

}  // namespace al::davinci
